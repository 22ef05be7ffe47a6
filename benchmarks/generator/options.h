/* The words of the command line. `load --help` prints what they mean. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "base.h"

enum { MAX_PORTS = 64, MAX_PIDS = 64, MAX_BODY = 60000, MAX_CHECKPOINTS = 16, WAVE = 1000 };

typedef struct {
  const char *host, *path, *namespace, *auth, *event;
  int ports[MAX_PORTS], nports;
  int rooms, members, senders, stalled, window, size, connecting;
  int first_client, first_room, crowd, crowd_rooms, checkpoints[MAX_CHECKPOINTS], ncheckpoints;
  bool polling, tls, echo, ids, leave, stay;
  long messages;
  double warmup, seconds, rate, patience, settle, quiet;
  struct {
    char group[16];
    int pid;
  } pids[MAX_PIDS];
  int npids;
} options;
extern options opt;

void parse_options(int argc, char **argv);

/* Writes `pattern` with the numbers for its %r (room) and %i (client); returns the length. */
size_t expand(char *out, size_t space, const char *pattern, int room, int client);

#endif
