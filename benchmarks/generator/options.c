#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

options opt = {.host = "127.0.0.1", .path = "/socket.io/", .namespace = "/", .auth = "", .event = "message",
               .rooms = 1, .members = 10, .senders = 1, .window = 1, .size = 200, .connecting = 50,
               .crowd_rooms = 100, .warmup = 1, .seconds = 3, .patience = 10, .settle = 1, .quiet = 6};

static const char HELP[] =
    "load --port P [--port P ...]\n"
    "  --host H, --path P    the server (127.0.0.1, /socket.io/); clients of a room alternate between the ports\n"
    "  --tls                 over TLS; the certificate is not looked at\n"
    "  --polling             over long-polling instead of WebSocket\n"
    "  --connecting N        clients that connect at once (50)\n"
    "  --namespace TEXT      with %r for the room's number (/)\n"
    "  --auth JSON           auth of CONNECT, with %r for the room's number and %i for the client's\n"
    "  --first-client N, --first-room N   their numbers begin here (0): for several loads on one server\n"
    "the crowd, which only is there:\n"
    "  --crowd N             so many clients (0), of which each thousand comes into\n"
    "  --crowd-rooms R       so many new rooms (100) in turns, numbered behind those of the chat\n"
    "  --checkpoint N        CPU time and memory are noted when N of them are there; also at the first and the last\n"
    "  --settle S            and when so many seconds have passed (1)\n"
    "  --leave               at the end all of them go at once, until the server has been quiet for\n"
    "  --quiet S             so many seconds (6); meanwhile a client that stays pings\n"
    "  --stay                what is known is printed when they are there, and they stay until it is killed\n"
    "the chat:\n"
    "  --rooms R             rooms (1)\n"
    "  --members M           clients in each room (10); 0: no chat\n"
    "  --senders S           of these post, evenly over the ports (1)\n"
    "  --stalled N           of these do not read once everybody is there (0)\n"
    "  --window W            messages of a sender that are under way: not acknowledged, or not with everybody (1)\n"
    "  --rate N              messages a second, all together (0: as fast as the window allows)\n"
    "  --size N              bytes of a message's body, a string (200)\n"
    "  --event E             its name (message)\n"
    "  --ids                 with an id, so that a server can tell it from a repetition\n"
    "  --echo                nobody is to get it; it has to come back in the ack\n"
    "  --warmup S, --seconds S   how long to post before and while it is measured (1, 3)\n"
    "  --messages N          instead: each sender posts N, all is measured\n"
    "and\n"
    "  --pid GROUP=PID       CPU time and memory of this process are added to GROUP\n"
    "  --patience S          give up when nothing has moved for so long (10)\n";

static void add_pid(const char *text) {
  if (opt.npids == MAX_PIDS ||
      sscanf(text, "%15[^=]=%d", opt.pids[opt.npids].group, &opt.pids[opt.npids].pid) != 2)
    die("--pid wants GROUP=PID, at most %d of them, not %s", MAX_PIDS, text);
  opt.npids++;
}

static void add_port(const char *text) {
  if (opt.nports == MAX_PORTS) die("at most %d ports", MAX_PORTS);
  opt.ports[opt.nports++] = atoi(text);
}

static void add_checkpoint(const char *text) {
  if (opt.ncheckpoints == MAX_CHECKPOINTS) die("at most %d checkpoints", MAX_CHECKPOINTS);
  opt.checkpoints[opt.ncheckpoints++] = atoi(text);
}

static void check(void) {
  if (!opt.nports) die("--port is missing");
  if (opt.rooms < 1 || opt.crowd_rooms < 1 || opt.window < 1 || opt.connecting < 1)
    die("--rooms, --crowd-rooms, --window and --connecting begin at 1");
  if (opt.members < 0 || opt.senders < 0 || opt.stalled < 0 || opt.crowd < 0)
    die("--members, --senders, --stalled and --crowd begin at 0");
  if (!opt.members) opt.senders = 0;
  if (opt.senders + opt.stalled > opt.members) die("--senders and --stalled cannot be more than --members");
  if (opt.members % opt.nports) die("--members has to be a multiple of the number of ports");
  if (opt.messages && opt.rate) die("--messages and --rate do not go together");
  if (opt.size < 64 || opt.size > MAX_BODY) die("--size: from 64 to %d", MAX_BODY);
  if (opt.polling && opt.stalled) die("--polling and --stalled do not go together");
  for (int i = 0; i < opt.ncheckpoints; i++)
    if (opt.checkpoints[i] > opt.crowd || opt.checkpoints[i] <= (i ? opt.checkpoints[i - 1] : 0))
      die("each --checkpoint is above the one before it and at most --crowd");
}

void parse_options(int argc, char **argv) {
  static const struct option names[] = {
      {"host", 1, 0, 'h'},       {"path", 1, 0, 'P'},        {"port", 1, 0, 'p'},      {"tls", 0, 0, 'T'},
      {"polling", 0, 0, 'l'},    {"connecting", 1, 0, 'c'},  {"namespace", 1, 0, 'n'}, {"auth", 1, 0, 'a'},
      {"crowd", 1, 0, 'C'},      {"crowd-rooms", 1, 0, 'D'}, {"settle", 1, 0, 'E'},    {"leave", 0, 0, 'L'},
      {"checkpoint", 1, 0, 'K'}, {"quiet", 1, 0, 'q'},       {"rooms", 1, 0, 'r'},     {"members", 1, 0, 'm'},
      {"senders", 1, 0, 's'},    {"stalled", 1, 0, 'b'},     {"window", 1, 0, 'w'},    {"rate", 1, 0, 'R'},
      {"size", 1, 0, 'z'},       {"event", 1, 0, 'e'},       {"ids", 0, 0, 'I'},       {"echo", 0, 0, 'o'},
      {"warmup", 1, 0, 'W'},     {"seconds", 1, 0, 'S'},     {"messages", 1, 0, 'M'},  {"pid", 1, 0, 'i'},
      {"patience", 1, 0, 'x'},   {"stay", 0, 0, 'y'},       {"first-client", 1, 0, 'f'},
      {"first-room", 1, 0, 'g'}, {"help", 0, 0, '?'},        {0, 0, 0, 0}};
  for (int name; (name = getopt_long(argc, argv, "", names, NULL)) != -1;) switch (name) {
      case 'h': opt.host = optarg; break;
      case 'P': opt.path = optarg; break;
      case 'p': add_port(optarg); break;
      case 'T': opt.tls = true; break;
      case 'l': opt.polling = true; break;
      case 'c': opt.connecting = atoi(optarg); break;
      case 'n': opt.namespace = optarg; break;
      case 'a': opt.auth = optarg; break;
      case 'C': opt.crowd = atoi(optarg); break;
      case 'D': opt.crowd_rooms = atoi(optarg); break;
      case 'K': add_checkpoint(optarg); break;
      case 'E': opt.settle = atof(optarg); break;
      case 'L': opt.leave = true; break;
      case 'f': opt.first_client = atoi(optarg); break;
      case 'g': opt.first_room = atoi(optarg); break;
      case 'y': opt.stay = true; break;
      case 'q': opt.quiet = atof(optarg); break;
      case 'r': opt.rooms = atoi(optarg); break;
      case 'm': opt.members = atoi(optarg); break;
      case 's': opt.senders = atoi(optarg); break;
      case 'b': opt.stalled = atoi(optarg); break;
      case 'w': opt.window = atoi(optarg); break;
      case 'R': opt.rate = atof(optarg); break;
      case 'z': opt.size = atoi(optarg); break;
      case 'e': opt.event = optarg; break;
      case 'I': opt.ids = true; break;
      case 'o': opt.echo = true; break;
      case 'W': opt.warmup = atof(optarg); break;
      case 'S': opt.seconds = atof(optarg); break;
      case 'M': opt.messages = atol(optarg); break;
      case 'i': add_pid(optarg); break;
      case 'x': opt.patience = atof(optarg); break;
      default: fputs(HELP, stderr); exit(2);
    }
  check();
}

size_t expand(char *out, size_t space, const char *pattern, int room, int client) {
  size_t length = 0;
  for (const char *p = pattern; *p; p++) {
    if (length + 24 > space) die("too long: %s", pattern);
    bool number = *p == '%' && (p[1] == 'r' || p[1] == 'i');
    if (number)
      length += (size_t)sprintf(out + length, "%d", *++p == 'r' ? room : client);
    else
      out[length++] = *p;
  }
  out[length] = 0;
  return length;
}
