/* The load of the benchmarks: many Socket.IO clients in one thread, and a count of what they saw.
 *
 * Two groups of clients connect (Engine.IO 4, Socket.IO 5; over WebSocket or long-polling, plain or with
 * TLS): a crowd that only is there, and the members of a chat, some of whom post. Every member counts every
 * sender's messages, so a message that somebody did not get is found. Prints one JSON object; see
 * benchmarks/README.md for its fields and `load --help` for the options.
 *
 * It must never be the bottleneck: one epoll loop, one shared buffer to read into, no allocation for a
 * message, constant memory for the latencies. `cpu_s.load` against `seconds` shows the rest.
 *
 * From the bottom up, a file each: base (time, numbers), options, meter (processes), tls, stream (connections),
 * websocket and polling beside each other under transport, socketio (packets), chat (what is counted), main
 * (the phases of a run). A layer calls the next one up only through `on_...`.
 */
#include "chat.h"
#include "meter.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

/* Turns until `done` says so; false when `moved` has not changed for as long as the patience lasts. */
static bool turn_until(bool (*done)(void), uint64_t (*moved)(void)) {
  uint64_t before = moved();
  nanos since = clock_now();
  while (!done()) {
    turn(20);
    if (moved() != before) {
      before = moved();
      since = clock_now();
    } else if (seconds_since(since) > opt.patience)
      return false;
  }
  return true;
}

/* ---- connecting ------------------------------------------------------------------------------ */

static struct {
  int next, first, end, before; /* clients; and how many had joined before these */
} joining;

static uint64_t joins(void) { return (uint64_t)(total.ready + total.gone); }

static bool all_joined(void) {
  int joined = (int)joins() - joining.before;
  while (joining.next < joining.end && joining.next - joining.first - joined < opt.connecting)
    client_connect(&clients[joining.next++]);
  return joined == joining.end - joining.first;
}

static void join_clients(int first, int end) {
  joining.next = joining.first = first;
  joining.end = end;
  joining.before = (int)joins();
  if (!turn_until(all_joined, joins) || total.gone)
    die("%d of %d clients joined", total.ready, joining.before + end - first);
}

/* The crowd comes, checkpoint by checkpoint: [{"clients":...,"at_s":...,"cpu_s":{...},"rss_kib":{...}},...],
 * all since the first one. The last one is taken when it has been there for a while. */
static void crowd_comes(void) {
  reading begin = meter_read();
  int here = 0;
  printf(",\"crowd\":[");
  for (int i = 0; i <= opt.ncheckpoints + 2; i++) {
    int goal = i == 0 ? 0 : i <= opt.ncheckpoints ? opt.checkpoints[i - 1] : opt.crowd;
    if (i == opt.ncheckpoints + 1 && here == goal) continue;
    if (goal > here) join_clients(nmembers + here, nmembers + goal);
    here = goal;
    if (i == opt.ncheckpoints + 2)
      for (nanos settled = clock_now(); seconds_since(settled) < opt.settle;) turn(20);
    reading r = meter_read();
    printf("%s{\"clients\":%d,\"at_s\":%.3f", i ? "," : "", here, (double)(r.at - begin.at) / 1e9);
    meter_print_cpu(&begin, &r);
    meter_print_memory("rss_kib", &r);
    printf("}");
  }
  printf("]");
}

/* ---- leaving --------------------------------------------------------------------------------- */

enum { CLOSED_AT_ONCE = 32 };
static const double WATCHED_BEFORE = 1.0, NOISE = 0.05, MOST_LEAVING = 300;

static histogram pings;
static struct {
  reading begin, end;
} before, leaving;

/* Turns for so long, with the probe pinging. */
static void probe_for(double seconds) {
  for (nanos begin = clock_now(); seconds_since(begin) < seconds; turn(1)) probe_turn();
}

/* What the server has done since `since` is more than the probe alone made it do before. */
static bool busy(const reading *since, const reading *now) {
  double usual = (meter_cpu(&before.end, "server") - meter_cpu(&before.begin, "server")) / WATCHED_BEFORE;
  double spent = meter_cpu(now, "server") - meter_cpu(since, "server");
  return spent > 1.5 * usual * (double)(now->at - since->at) / 1e9 + NOISE;
}

static void print_probed(const char *name, const reading *begin, const reading *end) {
  printf("\"%s\":{\"seconds\":%.3f", name, (double)(end->at - begin->at) / 1e9);
  meter_print_cpu(begin, end);
  histogram_print("ping_ms", &pings);
  printf("}");
}

/* All of the crowd closes, in one go but for a look at the probe now and then. "before" is the same without
 * anybody leaving: what the pings cost. */
static void crowd_leaves(void) {
  join_clients(nclients - 1, nclients);
  probe_begin(&pings);
  before.begin = meter_read();
  probe_for(WATCHED_BEFORE);
  before.end = meter_read();
  printf(",");
  print_probed("before", &before.begin, &before.end);
  probe_begin(&pings);
  pings = (histogram){0};
  leaving.begin = leaving.end = meter_read();
  for (int i = 0; i < opt.crowd; i += CLOSED_AT_ONCE) {
    crowd_leave(i, i + CLOSED_AT_ONCE < opt.crowd ? i + CLOSED_AT_ONCE : opt.crowd);
    probe_turn();
    turn(0);
  }
  printf(",\"closing_s\":%.3f,", seconds_since(leaving.begin.at));
  while (probe_waits() || seconds_since(leaving.end.at) < opt.quiet) {
    probe_for(0.05);
    if (total.gone) die("the probe is gone");
    reading now = meter_read();
    if (busy(&leaving.end, &now)) leaving.end = now;
    if (seconds_since(leaving.begin.at) > MOST_LEAVING) die("the server does not become quiet");
  }
  print_probed("leave", &leaving.begin, &leaving.end);
}

/* ---- the chat -------------------------------------------------------------------------------- */

static figures result; /* of what was measured: what comes later belongs to no CPU time */
static reading first, most, end_of_all;

static void begin_measuring(void) {
  measured = (figures){0};
  most = first = meter_read();
}

static void end_measuring(void) {
  result = measured;
  end_of_all = meter_read();
}

static void post_for(double seconds) {
  nanos begin = clock_now();
  uint64_t due = 0;
  while (seconds_since(begin) < seconds) {
    if (opt.rate) chat_post_due(begin, &due);
    turn(opt.rate ? 1 : 20);
    meter_watch_memory(&most);
  }
}

static uint64_t arrivals(void) { return total.deliveries + total.acked; }

static void chat(void) {
  nanos began = clock_now();
  join_clients(0, nmembers);
  double connecting = seconds_since(began);
  begin_measuring();
  reading before = first;
  chat_begin();
  if (!opt.messages) {
    post_for(opt.warmup);
    begin_measuring();
    post_for(opt.seconds);
    end_measuring();
    chat_end();
  }
  bool complete = turn_until(chat_all_arrived, arrivals);
  if (opt.messages) end_measuring();
  printf(",\"connect_s\":%.3f,\"seconds\":%.3f,\"sent\":%" PRIu64 ",\"acked\":%" PRIu64 ",\"deliveries\":%" PRIu64,
         connecting, (double)(end_of_all.at - first.at) / 1e9, result.sent, result.acked, result.deliveries);
  histogram_print("delivery_ms", &result.delivery);
  histogram_print("ack_ms", &result.ack);
  meter_print_cpu(&first, &end_of_all);
  meter_print_memory("rss_before_kib", &before);
  meter_print_memory("rss_most_kib", &most);
  printf(",\"total\":{\"sent\":%" PRIu64 ",\"acked\":%" PRIu64 ",\"deliveries\":%" PRIu64 "}", total.sent,
         total.acked, total.deliveries);
  printf(",\"refused\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"late\":%" PRIu64 ",\"foreign\":%" PRIu64, total.refused,
         chat_lost(), total.late, total.foreign);
  printf(",\"stalled_gone\":%d,\"complete\":%s", total.stalled_gone, complete ? "true" : "false");
}

static void raise_limit_of_files(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit)) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv) {
  parse_options(argc, argv);
  raise_limit_of_files();
  streams_prepare();
  chat_prepare();
  total.began = clock_now();
  printf("{\"clients\":%d", nclients);
  if (opt.crowd) crowd_comes();
  if (nmembers) chat();
  int joined = total.ready, gone = total.gone;
  if (opt.leave) crowd_leaves();
  printf(",\"joined\":%d,\"gone\":%d}\n", joined, gone);
  fflush(stdout);
  while (opt.stay) turn(1000);
  return 0;
}
