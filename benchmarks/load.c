/* The load of the benchmarks: many Socket.IO clients in one thread, and a count of what they saw.
 *
 * Clients connect over WebSocket (Engine.IO 4, Socket.IO 5), join, and some of them post. Every
 * member counts every sender's messages, so a message that somebody did not get is found. Prints
 * one JSON object; see benchmarks/README.md for its fields and `load --help` for the options.
 *
 * It must never be the bottleneck: one epoll loop, one shared buffer to read into, no allocation
 * for a message, constant memory for the latencies. `cpu_s.load` against `seconds` shows the rest.
 *
 * From the bottom up: time and numbers, options, connections, WebSocket frames, Socket.IO packets,
 * what is counted, the phases of a run. A layer calls the next one up only through `on_...`.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PORTS = 64, MAX_PIDS = 64, MAX_BODY = 60000, READ_BUFFER = 1 << 20, SHOWN_FAULTS = 3 };

/* ---- time and numbers ------------------------------------------------------------------------ */

typedef uint64_t nanos;
#define SECOND 1000000000ull

static nanos clock_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (nanos)t.tv_sec * SECOND + (nanos)t.tv_nsec;
}

static void die(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("load: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(2);
}

static void *allocate(size_t count, size_t size) {
  void *memory = calloc(count ? count : 1, size);
  if (!memory) die("out of memory");
  return memory;
}

/* Latencies, in buckets that are 1/32 of their value wide: millions of them in 16 KiB. */
enum { SUB_BITS = 5, SUB = 1 << SUB_BITS, BUCKETS = 64 * SUB };
typedef struct {
  uint64_t count, bucket[BUCKETS];
  nanos max;
} histogram;

static void histogram_add(histogram *h, nanos value) {
  unsigned index = (unsigned)value;
  if (value >= SUB) {
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - SUB_BITS;
    index = (shift + 1) * SUB + (unsigned)((value >> shift) & (SUB - 1));
  }
  h->bucket[index]++;
  h->count++;
  if (value > h->max) h->max = value;
}

/* The upper end of the bucket in which the given part of the values is reached, in milliseconds. */
static double histogram_ms(const histogram *h, double part) {
  uint64_t wanted = (uint64_t)((double)h->count * part), seen = 0;
  for (unsigned index = 0; index < BUCKETS; index++) {
    seen += h->bucket[index];
    if (!h->count || seen <= wanted) continue;
    if (index < SUB) return index / 1e6;
    double width = (double)(1ull << (index / SUB - 1));
    double value = width * (SUB + index % SUB + 1);
    return (value < (double)h->max ? value : (double)h->max) / 1e6;
  }
  return (double)h->max / 1e6;
}

/* ---- options --------------------------------------------------------------------------------- */

static struct {
  const char *host, *path, *namespace, *auth, *event;
  int ports[MAX_PORTS], nports;
  int rooms, members, senders, window, size, connecting;
  long messages;
  double warmup, seconds, rate, patience;
  struct {
    char group[16];
    int pid;
  } pids[MAX_PIDS];
  int npids;
} opt = {.host = "127.0.0.1", .path = "/socket.io/", .namespace = "/", .auth = "", .event = "message",
         .rooms = 1, .members = 10, .senders = 1, .window = 1, .size = 200, .connecting = 50,
         .warmup = 1, .seconds = 3, .patience = 10};

static const char HELP[] =
    "load --port P [--port P ...]\n"
    "  --host H, --path P    the server (127.0.0.1, /socket.io/); clients of a room alternate between the ports\n"
    "  --rooms R             rooms (1)\n"
    "  --members M           clients in each room (10)\n"
    "  --senders S           of these post, evenly over the ports (1)\n"
    "  --window W            messages of a sender that are under way: not acknowledged, or not with everybody (1)\n"
    "  --rate N              messages a second, all together (0: as fast as the window allows)\n"
    "  --size N              bytes of a message's body, a string (200)\n"
    "  --event E             its name (message)\n"
    "  --namespace TEXT      with %r for the room's number (/)\n"
    "  --auth JSON           auth of CONNECT, with %r for the room's number and %i for the client's\n"
    "  --warmup S, --seconds S   how long to post before and while it is measured (1, 3)\n"
    "  --messages N          instead: each sender posts N, all is measured\n"
    "  --pid GROUP=PID       CPU time of this process is added to cpu_s.GROUP\n"
    "  --connecting N        clients that connect at once (50)\n"
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

static void parse_options(int argc, char **argv) {
  static const struct option names[] = {
      {"host", 1, 0, 'h'},    {"path", 1, 0, 'P'},     {"port", 1, 0, 'p'},     {"rooms", 1, 0, 'r'},
      {"members", 1, 0, 'm'}, {"senders", 1, 0, 's'},  {"window", 1, 0, 'w'},   {"rate", 1, 0, 'R'},
      {"size", 1, 0, 'z'},    {"event", 1, 0, 'e'},    {"namespace", 1, 0, 'n'}, {"auth", 1, 0, 'a'},
      {"warmup", 1, 0, 'W'},  {"seconds", 1, 0, 'S'},  {"messages", 1, 0, 'M'}, {"pid", 1, 0, 'i'},
      {"connecting", 1, 0, 'c'}, {"patience", 1, 0, 'x'}, {"help", 0, 0, '?'},  {0, 0, 0, 0}};
  for (int name; (name = getopt_long(argc, argv, "", names, NULL)) != -1;) switch (name) {
      case 'h': opt.host = optarg; break;
      case 'P': opt.path = optarg; break;
      case 'p': add_port(optarg); break;
      case 'r': opt.rooms = atoi(optarg); break;
      case 'm': opt.members = atoi(optarg); break;
      case 's': opt.senders = atoi(optarg); break;
      case 'w': opt.window = atoi(optarg); break;
      case 'R': opt.rate = atof(optarg); break;
      case 'z': opt.size = atoi(optarg); break;
      case 'e': opt.event = optarg; break;
      case 'n': opt.namespace = optarg; break;
      case 'a': opt.auth = optarg; break;
      case 'W': opt.warmup = atof(optarg); break;
      case 'S': opt.seconds = atof(optarg); break;
      case 'M': opt.messages = atol(optarg); break;
      case 'i': add_pid(optarg); break;
      case 'c': opt.connecting = atoi(optarg); break;
      case 'x': opt.patience = atof(optarg); break;
      default: fputs(HELP, stderr); exit(2);
    }
  if (!opt.nports) die("--port is missing");
  if (opt.rooms < 1 || opt.members < 1 || opt.window < 1 || opt.connecting < 1)
    die("--rooms, --members, --window and --connecting begin at 1");
  if (opt.senders < 0 || opt.senders > opt.members) die("--senders cannot be more than --members");
  if (opt.members % opt.nports) die("--members has to be a multiple of the number of ports");
  if (opt.messages && opt.rate) die("--messages and --rate do not go together");
  if (opt.size < 64 || opt.size > MAX_BODY) die("--size: from 64 to %d", MAX_BODY);
}

/* Writes `pattern` with its %r and %i; returns the length. */
static size_t expand(char *out, size_t space, const char *pattern, int room, int client) {
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

/* ---- connections ----------------------------------------------------------------------------- */

typedef enum { CONNECTING, UPGRADING, OPENING, JOINING, READY, GONE } state;

/* What a member knows of one sender of its room. */
typedef struct {
  uint32_t next, got;
} seen;

/* A message under way. Its sender posts no other in its place before everybody has it: a server that
 * acknowledges early and delivers late would have more of them in flight than another one. */
typedef struct {
  nanos posted;
  int missing; /* members that have not got it */
  bool unacked;
} flight;

typedef struct client {
  int fd, number, room, sender; /* sender: its number in the room, or -1 */
  state state;
  bool blocked;                 /* the socket took no more: EPOLLOUT is on */
  char *rest;                   /* a packet that has not come wholly */
  char *unsent;
  size_t nrest, nunsent;
  seen *seen;                   /* by the sender's number */
  uint32_t sent, refused;
  flight *flights;              /* of a sender: by the message's number modulo the window */
} client;

static int poller;
static client *clients, **senders; /* senders: by room, then by number */
static int nclients, nsenders;
static char read_buffer[READ_BUFFER];
static struct sockaddr_in *addresses;

static void on_bytes(client *c, char *data, size_t size);
static void on_gone(client *c, const char *why);
static void on_connected(client *c);

static void watch(client *c, int operation, bool writable) {
  struct epoll_event event = {.events = EPOLLIN | (writable ? (uint32_t)EPOLLOUT : 0), .data.ptr = c};
  if (epoll_ctl(poller, operation, c->fd, &event)) die("epoll_ctl: %s", strerror(errno));
  c->blocked = writable;
}

static void resolve(void) {
  addresses = allocate((size_t)opt.nports, sizeof *addresses);
  for (int i = 0; i < opt.nports; i++) {
    addresses[i].sin_family = AF_INET;
    addresses[i].sin_port = htons((uint16_t)opt.ports[i]);
    if (inet_pton(AF_INET, opt.host, &addresses[i].sin_addr) != 1) die("not an IPv4 address: %s", opt.host);
  }
}

/* Its port: members of one room take turns. */
static int port_of(const client *c) { return c->number / opt.rooms % opt.nports; }

static void connect_client(client *c) {
  int on = 1;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (c->fd < 0) die("socket: %s (ulimit -n?)", strerror(errno));
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  c->state = CONNECTING;
  struct sockaddr *address = (struct sockaddr *)&addresses[port_of(c)];
  if (connect(c->fd, address, sizeof *addresses) && errno != EINPROGRESS) die("connect: %s", strerror(errno));
  watch(c, EPOLL_CTL_ADD, true);
}

static void close_client(client *c, const char *why) {
  if (c->state == GONE) return;
  close(c->fd);
  free(c->rest);
  free(c->unsent);
  c->rest = c->unsent = NULL;
  c->nrest = c->nunsent = 0;
  on_gone(c, why);
  c->state = GONE;
}

/* Sends, or keeps what the socket does not take. */
static void transmit(client *c, const char *data, size_t size) {
  ssize_t taken = 0;
  if (c->state == GONE) return;
  if (!c->nunsent && (taken = send(c->fd, data, size, MSG_NOSIGNAL)) < 0) {
    if (errno != EAGAIN) return close_client(c, strerror(errno));
    taken = 0;
  }
  if ((size_t)taken == size) return;
  c->unsent = realloc(c->unsent, c->nunsent + size - (size_t)taken);
  if (!c->unsent) die("out of memory");
  memcpy(c->unsent + c->nunsent, data + taken, size - (size_t)taken);
  c->nunsent += size - (size_t)taken;
  if (!c->blocked) watch(c, EPOLL_CTL_MOD, true);
}

static void transmit_unsent(client *c) {
  char *data = c->unsent;
  size_t size = c->nunsent;
  c->unsent = NULL;
  c->nunsent = 0;
  if (size) transmit(c, data, size);
  free(data);
  if (c->state != GONE && !c->nunsent) watch(c, EPOLL_CTL_MOD, false);
}

/* What is not used of what came stays until more does: on_bytes says so through keep_rest. */
static void keep_rest(client *c, const char *data, size_t size) {
  c->nrest = size;
  if (!size) return;
  c->rest = realloc(c->rest, size);
  if (!c->rest) die("out of memory");
  memcpy(c->rest, data, size);
}

static void receive(client *c) {
  for (;;) {
    size_t old = c->nrest;
    if (old >= READ_BUFFER) return close_client(c, "a packet is larger than 1 MiB");
    memcpy(read_buffer, c->rest ? c->rest : "", old);
    ssize_t got = recv(c->fd, read_buffer + old, READ_BUFFER - old, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return close_client(c, got ? strerror(errno) : "closed by the server");
    on_bytes(c, read_buffer, old + (size_t)got);
    /* less than there was room for: the socket is empty, another call would only say EAGAIN */
    if (c->state == GONE || old + (size_t)got < READ_BUFFER) return;
  }
}

static void on_ready_to_write(client *c) {
  if (c->state != CONNECTING) return transmit_unsent(c);
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error) return close_client(c, strerror(error));
  watch(c, EPOLL_CTL_MOD, false);
  on_connected(c);
}

/* Waits for at most so long, and lets everything happen that is due. */
static void turn(int milliseconds) {
  static struct epoll_event events[1024];
  int count = epoll_wait(poller, events, 1024, milliseconds);
  for (int i = 0; i < count; i++) {
    client *c = events[i].data.ptr;
    if (c->state != GONE && events[i].events & EPOLLOUT) on_ready_to_write(c);
    if (c->state != GONE && events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) receive(c);
  }
}

/* ---- WebSocket ------------------------------------------------------------------------------- */

enum { TEXT = 1, CLOSE = 8, PING = 9, PONG = 10 };
static void on_packet(client *c, const char *packet, size_t size);

/* The key is zero: frames of clients must be masked, but nobody has to be fooled here. */
static void send_frame(client *c, int opcode, const char *data, size_t size) {
  char frame[MAX_BODY + 1024];
  size_t head = 2;
  if (size + 8 > sizeof frame) die("a frame of %zu bytes", size);
  frame[0] = (char)(0x80 | opcode);
  frame[1] = (char)(0x80 | (size < 126 ? size : 126));
  if (size >= 126) {
    frame[head++] = (char)(size >> 8);
    frame[head++] = (char)size;
  }
  memset(frame + head, 0, 4);
  memcpy(frame + head + 4, data, size);
  transmit(c, frame, head + 4 + size);
}

/* Reads a frame's head: returns its size, 0 when it has not come yet, and the length of what follows. */
static size_t frame_head(const unsigned char *data, size_t size, uint64_t *length) {
  if (size < 2) return 0;
  unsigned small = data[1] & 127;
  size_t head = small < 126 ? 2 : small == 126 ? 4 : 10;
  if (size < head) return 0;
  *length = small < 126 ? small : 0;
  for (size_t i = 2; i < head; i++) *length = *length << 8 | data[i];
  return head;
}

static void on_frame(client *c, int opcode, const char *data, size_t size) {
  if (opcode == TEXT)
    on_packet(c, data, size);
  else if (opcode == PING)
    send_frame(c, PONG, data, size);
  else if (opcode == CLOSE)
    close_client(c, "closed by the server");
}

static void on_frames(client *c, const char *data, size_t size) {
  size_t used = 0, head;
  uint64_t length;
  while ((head = frame_head((const unsigned char *)data + used, size - used, &length)) &&
         size - used - head >= length) {
    if (!(data[used] & 0x80)) return close_client(c, "a message in parts, which is not understood here");
    on_frame(c, data[used] & 15, data + used + head, (size_t)length);
    if (c->state == GONE) return;
    used += head + (size_t)length;
  }
  keep_rest(c, data + used, size - used);
}

static void on_connected(client *c) {
  char request[1024];
  int size = snprintf(request, sizeof request,
                      "GET %s?EIO=4&transport=websocket HTTP/1.1\r\nHost: %s:%d\r\nConnection: Upgrade\r\n"
                      "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                      "Sec-WebSocket-Key: c2lvc2VydmVyLWxvYWQtMQ==\r\n\r\n",
                      opt.path, opt.host, opt.ports[port_of(c)]);
  c->state = UPGRADING;
  transmit(c, request, (size_t)size);
}

static void on_answer(client *c, const char *data, size_t size) {
  const char *end = memmem(data, size, "\r\n\r\n", 4);
  if (!end) return keep_rest(c, data, size);
  if (size < 12 || memcmp(data, "HTTP/1.1 101", 12)) return close_client(c, "the upgrade was refused");
  c->state = OPENING;
  size_t head = (size_t)(end + 4 - data);
  on_frames(c, data + head, size - head);
}

static void on_bytes(client *c, char *data, size_t size) {
  (c->state == UPGRADING ? on_answer : on_frames)(c, data, size);
}

/* ---- Engine.IO and Socket.IO ----------------------------------------------------------------- */

static void on_joined(client *c);
static void on_event(client *c, const char *arguments, size_t size);
static void on_ack(client *c, long id, const char *answer, size_t size);

/* What a Socket.IO packet of this client begins with behind its type: "/room7," or nothing. */
static size_t put_namespace(const client *c, char *out, size_t space) {
  size_t length = expand(out, space, opt.namespace, c->room, c->number);
  if (length == 1) return 0;
  out[length] = ',';
  return length + 1;
}

static void send_join(client *c) {
  char packet[2048] = "40";
  size_t length = 2 + put_namespace(c, packet + 2, 1000);
  length += expand(packet + length, sizeof packet - length, opt.auth, c->room, c->number);
  c->state = JOINING;
  send_frame(c, TEXT, packet, length);
}

static void send_event(client *c, long id, const char *body, size_t size) {
  char packet[MAX_BODY + 1000];
  memcpy(packet, "42", 2); /* an initializer would clear all of it, for each message */
  size_t length = 2 + put_namespace(c, packet + 2, 800);
  length += (size_t)sprintf(packet + length, "%ld[\"%.100s\",\"", id, opt.event);
  memcpy(packet + length, body, size);
  memcpy(packet + length + size, "\"]", 2);
  send_frame(c, TEXT, packet, length + size + 2);
}

/* `[{...` behind the type, the namespace and the ack id, which is -1 where there is none. */
static const char *arguments(const char *packet, const char *end, long *id) {
  if (packet < end && *packet == '/') {
    packet = memchr(packet, ',', (size_t)(end - packet));
    if (!packet++) return end;
  }
  long value = -1;
  for (; packet < end && *packet >= '0' && *packet <= '9'; packet++)
    value = (value < 0 ? 0 : value * 10) + (*packet - '0');
  *id = value;
  return packet;
}

static void on_packet(client *c, const char *packet, size_t size) {
  if (!size) return;
  if (*packet == '0') return send_join(c);
  if (*packet == '2') return send_frame(c, TEXT, "3", 1);
  if (*packet == '1') return close_client(c, "closed by the server");
  if (*packet != '4' || size < 2) return;
  const char *end = packet + size;
  long id = -1;
  const char *rest = arguments(packet + 2, end, &id);
  switch (packet[1]) {
    case '0': return on_joined(c);
    case '1': return close_client(c, "disconnected by the server");
    case '2': return on_event(c, rest, (size_t)(end - rest));
    case '3': return on_ack(c, id, rest, (size_t)(end - rest));
    case '4': return close_client(c, "the server refused the join");
  }
}

/* ---- what is counted ------------------------------------------------------------------------- */

/* Since the last `begin_measuring`; and in all of what was measured: what comes later belongs to no CPU time. */
static struct figures {
  uint64_t sent, acked, deliveries;
  histogram delivery, ack;
} measured, result;

/* Since the start. */
static struct {
  nanos began;
  int ready, gone;
  uint64_t sent, acked, deliveries, refused, late, foreign;
} total;

static bool posting;

static void show_fault(const char *what, const char *detail, size_t size) {
  static int shown;
  if (shown++ >= SHOWN_FAULTS) return;
  if (size > 120) size = 120;
  fprintf(stderr, "load: %s%.*s\n", what, (int)size, detail);
}

static void on_gone(client *c, const char *why) {
  char text[160];
  int size = snprintf(text, sizeof text, "client %d: %s", c->number, why);
  show_fault("", text, (size_t)size);
  if (c->state == READY) total.ready--;
  total.gone++;
}

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
  *flight_of(c, c->sent) = (flight){.posted = now, .missing = opt.members, .unacked = true};
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

static void on_joined(client *c) {
  c->state = READY;
  total.ready++;
}

static void on_event(client *c, const char *data, size_t size) {
  size_t name = strlen(opt.event);
  if (size < name + 4 || memcmp(data, "[\"", 2) || memcmp(data + 2, opt.event, name) || data[2 + name] != '"')
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

static void on_ack(client *c, long id, const char *answer, size_t size) {
  if (id < 0 || id >= c->sent || !flight_of(c, (uint64_t)id)->unacked) return;
  flight *f = flight_of(c, (uint64_t)id);
  f->unacked = false;
  if (!memmem(answer, size, "\"ok\":true", 9)) {
    f->missing = 0;
    c->refused++;
    if (!total.refused++) show_fault("refused: ", answer, size);
  }
  total.acked++;
  measured.acked++;
  histogram_add(&measured.ack, clock_now() - f->posted);
  post_next(c);
}

/* Messages that were not refused, times those members, still there, who did not get them. */
static uint64_t count_lost(void) {
  uint64_t lost = 0;
  for (int i = 0; i < nsenders; i++) {
    client *sender = senders[i];
    for (int k = sender->room; k < nclients; k += opt.rooms) {
      if (clients[k].state == GONE) continue;
      int64_t missing = (int64_t)sender->sent - sender->refused - clients[k].seen[sender->sender].got;
      if (missing > 0) lost += (uint64_t)missing;
    }
  }
  return lost;
}

/* ---- CPU time -------------------------------------------------------------------------------- */

static double cpu_of(int pid) {
  char path[64], text[2048];
  unsigned long user = 0, system = 0;
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  FILE *file = fopen(path, "r");
  if (!file) die("process %d is gone", pid);
  size_t size = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[size] = 0;
  char *behind = strrchr(text, ')'); /* the name before it may hold anything */
  if (!behind || sscanf(behind + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
    die("cannot read %s", path);
  return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static double own_cpu(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct {
  nanos begin;
  double cpu[MAX_PIDS], own, seconds;
} meter;

static void begin_measuring(void) {
  memset(&measured, 0, sizeof measured);
  for (int i = 0; i < opt.npids; i++) meter.cpu[i] = cpu_of(opt.pids[i].pid);
  meter.own = own_cpu();
  meter.begin = clock_now();
}

static void end_measuring(void) {
  result = measured;
  meter.seconds = (double)(clock_now() - meter.begin) / 1e9;
  meter.own = own_cpu() - meter.own;
  for (int i = 0; i < opt.npids; i++) meter.cpu[i] = cpu_of(opt.pids[i].pid) - meter.cpu[i];
}

/* ---- a run ----------------------------------------------------------------------------------- */

/* Turns until `done` says so; false when `moved` has not changed for as long as the patience lasts. */
static bool turn_until(bool (*done)(void), uint64_t (*moved)(void)) {
  uint64_t before = moved();
  nanos since = clock_now();
  while (!done()) {
    turn(20);
    if (moved() != before) {
      before = moved();
      since = clock_now();
    } else if ((double)(clock_now() - since) / 1e9 > opt.patience)
      return false;
  }
  return true;
}

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

static void make_clients(void) {
  nclients = opt.rooms * opt.members;
  nsenders = opt.rooms * opt.senders;
  senders = allocate((size_t)nsenders, sizeof *senders);
  clients = allocate((size_t)nclients, sizeof *clients);
  for (int i = 0; i < nclients; i++) {
    client *c = &clients[i];
    *c = (client){.fd = -1, .number = i, .room = i % opt.rooms, .sender = -1, .state = GONE};
    c->seen = allocate((size_t)opt.senders, sizeof *c->seen);
  }
  for (int room = 0; room < opt.rooms; room++)
    for (int s = 0; s < opt.senders; s++) choose_sender(room, s);
}

static int started;
static bool all_joined(void) {
  while (started < nclients && started - total.ready - total.gone < opt.connecting)
    connect_client(&clients[started++]);
  return total.ready + total.gone == nclients;
}
static uint64_t joins(void) { return (uint64_t)(total.ready + total.gone); }

/* With --rate: posts as many as are due, the senders taking turns; none is due twice. */
static void post_due(nanos begin, uint64_t *due_so_far) {
  static int next;
  uint64_t due = (uint64_t)((double)(clock_now() - begin) / 1e9 * opt.rate);
  for (int skipped = 0; *due_so_far < due && skipped < nsenders; next = (next + 1) % nsenders) {
    skipped++;
    if (!may_post(senders[next])) continue;
    post(senders[next]);
    ++*due_so_far;
    skipped = 0;
  }
  *due_so_far = due; /* the windows are full: the server is slower than that, and the result says so */
}

static void post_first(void) {
  for (int i = 0; i < nsenders; i++) post_next(senders[i]);
}

static void post_for(double seconds) {
  nanos begin = clock_now(), end = begin + (nanos)(seconds * 1e9);
  uint64_t due = 0;
  while (clock_now() < end) {
    if (opt.rate) post_due(begin, &due);
    turn(opt.rate ? 1 : 20);
  }
}

static bool all_arrived(void) {
  for (int i = 0; i < nsenders; i++) {
    const client *c = senders[i];
    if (may_post(c)) return false;
    for (int k = 0; k < opt.window; k++)
      if (under_way(&c->flights[k])) return false;
  }
  return true;
}
static uint64_t arrivals(void) { return total.deliveries + total.acked; }

static void print_latency(const char *name, const histogram *h) {
  printf(",\"%s\":{\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f}", name, histogram_ms(h, 0.5), histogram_ms(h, 0.99),
         (double)h->max / 1e6);
}

static void print_cpu(void) {
  printf(",\"cpu_s\":{\"load\":%.3f", meter.own);
  for (int i = 0; i < opt.npids; i++) {
    double sum = 0;
    bool first = true;
    for (int k = 0; k < opt.npids; k++) {
      if (strcmp(opt.pids[k].group, opt.pids[i].group)) continue;
      first &= k >= i;
      sum += meter.cpu[k];
    }
    if (first) printf(",\"%s\":%.3f", opt.pids[i].group, sum);
  }
  printf("}");
}

static void print_result(bool complete, double connecting) {
  uint64_t lost = count_lost();
  printf("{\"clients\":%d,\"joined\":%d,\"gone\":%d,\"connect_s\":%.3f", nclients, total.ready, total.gone,
         connecting);
  printf(",\"seconds\":%.3f,\"sent\":%" PRIu64 ",\"acked\":%" PRIu64 ",\"deliveries\":%" PRIu64, meter.seconds,
         result.sent, result.acked, result.deliveries);
  print_latency("delivery_ms", &result.delivery);
  print_latency("ack_ms", &result.ack);
  print_cpu();
  printf(",\"total\":{\"sent\":%" PRIu64 ",\"acked\":%" PRIu64 ",\"deliveries\":%" PRIu64 "}", total.sent,
         total.acked, total.deliveries);
  printf(",\"refused\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"late\":%" PRIu64 ",\"foreign\":%" PRIu64, total.refused,
         lost, total.late, total.foreign);
  printf(",\"complete\":%s}\n", complete ? "true" : "false");
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
  if ((poller = epoll_create1(EPOLL_CLOEXEC)) < 0) die("epoll_create1: %s", strerror(errno));
  resolve();
  make_clients();

  total.began = clock_now();
  if (!turn_until(all_joined, joins) || total.gone) die("%d of %d clients joined", total.ready, nclients);
  double connecting = (double)(clock_now() - total.began) / 1e9;

  posting = true;
  if (opt.messages) begin_measuring();
  post_first();
  if (!opt.messages) {
    post_for(opt.warmup);
    begin_measuring();
    post_for(opt.seconds);
    end_measuring();
    posting = false;
  }
  bool complete = turn_until(all_arrived, arrivals);
  if (opt.messages) end_measuring();
  print_result(complete, connecting);
  return 0;
}
