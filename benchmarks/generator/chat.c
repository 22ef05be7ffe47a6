#define _GNU_SOURCE
#include "chat.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SHOWN_FAULTS = 3 };

figures measured;
totals total;
client *clients;
int nmembers, nclients;

static client **senders; /* by room, then by number */
static int nsenders;
static bool posting;

/* ---- who is there ---------------------------------------------------------------------------- */

/* Spread over the members, and taking turns on the ports: in a room, and with only one from room to room. */
static void choose_sender(int room, int s) {
  int member = s * (opt.members / opt.senders), port = (s + room) % opt.nports;
  while (member % opt.nports != port || clients[member * opt.rooms + room].sender >= 0)
    member = (member + 1) % opt.members;
  client *c = &clients[member * opt.rooms + room];
  c->sender = s;
  c->flights = allocate((size_t)opt.window, sizeof *c->flights);
  senders[room * opt.senders + s] = c;
}

/* The last ones of the room that do not post. */
static void choose_stalled(int room) {
  for (int member = opt.members - 1, left = opt.stalled; left; member--) {
    client *c = &clients[member * opt.rooms + room];
    if (c->sender >= 0) continue;
    c->stalled = true;
    left--;
  }
}

/* In waves, each into rooms of its own: so that those who come late meet as many in their room as those who
 * come early, and what differs is how many the server has. The probe behind the last one is alone. */
static int room_of_crowd(int number) {
  if (number == opt.crowd) return opt.rooms + (number / WAVE + 1) * opt.crowd_rooms;
  return opt.rooms + number / WAVE * opt.crowd_rooms + number % opt.crowd_rooms;
}

void chat_prepare(void) {
  nmembers = opt.rooms * opt.members;
  nsenders = opt.rooms * opt.senders;
  nclients = nmembers + opt.crowd + (opt.leave ? 1 : 0);
  senders = allocate((size_t)nsenders, sizeof *senders);
  clients = allocate((size_t)nclients, sizeof *clients);
  for (int i = 0; i < nclients; i++) {
    client *c = &clients[i];
    c->number = i;
    c->sender = -1;
    c->role = i < nmembers ? MEMBER : i < nmembers + opt.crowd ? CROWD : PROBE;
    if (c->role == MEMBER) c->seen = allocate((size_t)opt.senders, sizeof *c->seen);
    c->room = c->role == MEMBER ? i % opt.rooms : room_of_crowd(i - nmembers);
  }
  for (int room = 0; room < opt.rooms; room++) {
    for (int s = 0; s < opt.senders; s++) choose_sender(room, s);
    choose_stalled(room);
  }
}

static void show_fault(const char *what, const char *detail, size_t size) {
  static int shown;
  if (shown++ >= SHOWN_FAULTS) return;
  if (size > 120) size = 120;
  fprintf(stderr, "load: %s%.*s\n", what, (int)size, detail);
}

void on_joined(client *c) {
  if (c->state == READY) return;
  c->state = READY;
  total.ready++;
}

void on_gone(client *c, const char *why) {
  if (c->state == READY) total.ready--;
  if (c->stalled && posting) {
    total.stalled_gone++; /* what a server does with who does not read is its own affair */
    return;
  }
  char text[160];
  int size = snprintf(text, sizeof text, "client %d: %s", c->number, why);
  show_fault("", text, (size_t)size);
  total.gone++;
}

/* ---- posting --------------------------------------------------------------------------------- */

/* The body is "~room.sender.number.time~", filled up with x to the wanted size. */
static size_t write_body(const client *c, char *out, nanos now) {
  int size = sprintf(out, "~%d.%d.%" PRIu32 ".%" PRIu64 "~", c->room, c->sender, c->sent, now);
  memset(out + size, 'x', (size_t)(opt.size - size));
  return (size_t)opt.size;
}

static bool read_body(const char *data, size_t size, uint64_t numbers[4]) {
  const char *p = memchr(data, '~', size), *end = data + size;
  for (int i = 0; p && i < 4; i++) {
    uint64_t value = 0;
    for (p++; p < end && *p >= '0' && *p <= '9'; p++) value = value * 10 + (uint64_t)(*p - '0');
    if (p == end || *p != (i < 3 ? '.' : '~')) return false;
    numbers[i] = value;
  }
  return p != NULL;
}

static flight *flight_of(const client *sender, uint64_t number) {
  return &sender->flights[number % (uint64_t)opt.window];
}

static bool under_way(const flight *f) { return f->missing || f->unacked; }

static void post(client *c) {
  char body[MAX_BODY];
  nanos now = clock_now();
  size_t size = write_body(c, body, now);
  int missing = opt.echo ? 0 : opt.members - opt.stalled;
  *flight_of(c, c->sent) = (flight){.posted = now, .missing = missing, .unacked = true};
  total.sent++;
  measured.sent++;
  send_event(c, c->sent++, body, size);
}

static bool may_post(const client *c) {
  return posting && c->state == READY && !(opt.messages && c->sent >= opt.messages) &&
         !under_way(flight_of(c, c->sent));
}

static void post_next(client *c) {
  while (!opt.rate && may_post(c)) post(c);
}

void chat_begin(void) {
  for (int i = 0; i < nmembers; i++)
    if (clients[i].stalled) client_deafen(&clients[i]);
  posting = true;
  for (int i = 0; i < nsenders; i++) post_next(senders[i]);
}

void chat_end(void) { posting = false; }

void chat_post_due(nanos begin, uint64_t *due_so_far) {
  static int next;
  uint64_t due = (uint64_t)(seconds_since(begin) * opt.rate);
  for (int skipped = 0; *due_so_far < due && skipped < nsenders; next = (next + 1) % nsenders) {
    skipped++;
    if (!may_post(senders[next])) continue;
    post(senders[next]);
    ++*due_so_far;
    skipped = 0;
  }
  *due_so_far = due; /* the windows are full: the server is slower than that, and the result says so */
}

/* ---- what comes of it ------------------------------------------------------------------------ */

void on_event(client *c, const char *data, size_t size) {
  size_t name = strlen(opt.event);
  if (c->role != MEMBER || size < name + 4 || memcmp(data, "[\"", 2) || memcmp(data + 2, opt.event, name) ||
      data[2 + name] != '"')
    return; /* welcome, presence: not what is measured */
  uint64_t body[4];
  bool ours = read_body(data, size, body);
  if (ours && body[3] < total.began) return; /* an earlier run's, given to who came back */
  if (!ours || body[0] != (uint64_t)c->room || body[1] >= (uint64_t)opt.senders) {
    if (!total.foreign++) show_fault("a message that nobody sent here: ", data, size);
    return;
  }
  seen *s = &c->seen[body[1]];
  total.deliveries++;
  measured.deliveries++;
  histogram_add(&measured.delivery, clock_now() - body[3]);
  if (body[2] < s->next) {
    total.late++; /* behind a later one of its sender, or twice: not what was promised */
  } else {
    s->next = (uint32_t)body[2] + 1;
    s->got++;
    client *sender = senders[c->room * opt.senders + (int)body[1]];
    if (!--flight_of(sender, body[2])->missing) post_next(sender);
  }
}

static bool accepted(const client *c, long id, const char *answer, size_t size) {
  if (!opt.echo) return memmem(answer, size, "\"ok\":true", 9);
  uint64_t body[4];
  return read_body(answer, size, body) && body[0] == (uint64_t)c->room && body[1] == (uint64_t)c->sender &&
         body[2] == (uint64_t)id;
}

void on_ack(client *c, long id, const char *answer, size_t size) {
  if (c->sender < 0 || id < 0 || id >= c->sent || !flight_of(c, (uint64_t)id)->unacked) return;
  flight *f = flight_of(c, (uint64_t)id);
  f->unacked = false;
  if (!accepted(c, id, answer, size)) {
    f->missing = 0;
    c->refused++;
    if (!total.refused++) show_fault("refused: ", answer, size);
  }
  total.acked++;
  measured.acked++;
  histogram_add(&measured.ack, clock_now() - f->posted);
  post_next(c);
}

bool chat_all_arrived(void) {
  for (int i = 0; i < nsenders; i++) {
    const client *c = senders[i];
    if (may_post(c)) return false;
    for (int k = 0; k < opt.window; k++)
      if (under_way(&c->flights[k])) return false;
  }
  return true;
}

uint64_t chat_lost(void) {
  uint64_t lost = 0;
  for (int i = 0; i < nsenders && !opt.echo; i++) {
    client *sender = senders[i];
    for (int k = sender->room; k < nmembers; k += opt.rooms) {
      if (clients[k].state == GONE || clients[k].stalled) continue;
      int64_t missing = (int64_t)sender->sent - sender->refused - clients[k].seen[sender->sender].got;
      if (missing > 0) lost += (uint64_t)missing;
    }
  }
  return lost;
}

/* ---- the crowd and the probe ----------------------------------------------------------------- */

void crowd_leave(int from, int to) {
  for (int i = from; i < to; i++) {
    client *c = &clients[nmembers + i];
    if (c->state == READY) total.ready--;
    client_close(c, NULL);
  }
}

static const nanos PING_PAUSE = 2 * SECOND / 1000; /* often enough to meet any stall, and cheap */

static struct {
  histogram *times;
  nanos sent, answered; /* sent: 0 when no ping is under way */
} probe;

void probe_begin(histogram *times) {
  probe.times = times;
  probe.sent = 0;
  probe.answered = clock_now();
}

void probe_turn(void) {
  if (probe.sent || clock_now() - probe.answered < PING_PAUSE) return;
  probe.sent = clock_now();
  client_ping(&clients[nclients - 1]);
}

bool probe_waits(void) { return probe.sent; }

void on_pong(client *c) {
  if (c->role != PROBE || !probe.sent) return;
  probe.answered = clock_now();
  histogram_add(probe.times, probe.answered - probe.sent);
  probe.sent = 0;
}
