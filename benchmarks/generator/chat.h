/* Who posts, who should get it, and what is counted of it: deliveries, acks, latencies and faults. */
#ifndef CHAT_H
#define CHAT_H

#include "socketio.h"

/* Since the last chat_measure, which gives what was counted before and begins anew. */
typedef struct {
  uint64_t sent, acked, deliveries;
  histogram delivery, ack;
} figures;
extern figures measured;

/* Since the start. */
typedef struct {
  nanos began;
  int ready, gone, stalled_gone;
  uint64_t sent, acked, deliveries, refused, late, foreign;
} totals;
extern totals total;

/* All clients: the members of the chat, member by member; the crowd; the probe, where there is one. */
extern client *clients;
extern int nmembers, nclients;

void chat_prepare(void);
/* From now on the stalled members do not read, and the senders post. */
void chat_begin(void);
void chat_end(void);
/* With --rate: posts what is due since `begin`, the senders taking turns; nothing is due twice. */
void chat_post_due(nanos begin, uint64_t *due_so_far);
/* Everything that was posted has been acknowledged and has come to everybody. */
bool chat_all_arrived(void);
/* Deliveries that are missing: messages that were not refused, times members who are there and read. */
uint64_t chat_lost(void);

/* The crowd leaves; from then on that somebody is gone is no news. */
void crowd_leave(int from, int to);

/* The probe's pings: one at a time, the next a little after the answer. */
void probe_begin(histogram *times);
void probe_turn(void);
bool probe_waits(void);

#endif
