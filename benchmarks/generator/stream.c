#define _GNU_SOURCE
#include "stream.h"

#include "options.h"
#include "tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Clients from one address: an address has some 28 000 ports to connect from. */
enum { READ_BUFFER = 1 << 20, FROM_ONE_ADDRESS = 12000 };

static int poller;
static char read_buffer[READ_BUFFER];
static struct sockaddr_in addresses[MAX_PORTS];

void streams_prepare(void) {
  if ((poller = epoll_create1(EPOLL_CLOEXEC)) < 0) die("epoll_create1: %s", strerror(errno));
  for (int i = 0; i < opt.nports; i++) {
    addresses[i].sin_family = AF_INET;
    addresses[i].sin_port = htons((uint16_t)opt.ports[i]);
    if (inet_pton(AF_INET, opt.host, &addresses[i].sin_addr) != 1) die("not an IPv4 address: %s", opt.host);
  }
}

static void watch(stream *s, int operation, bool writable) {
  uint32_t wanted = (s->deaf ? (uint32_t)EPOLLRDHUP : (uint32_t)EPOLLIN) | (writable ? (uint32_t)EPOLLOUT : 0);
  struct epoll_event event = {.events = wanted, .data.ptr = s};
  if (epoll_ctl(poller, operation, s->fd, &event)) die("epoll_ctl: %s", strerror(errno));
  s->blocked = writable;
}

static void choose_source(int fd, int number) {
  int on = 1, which = number / FROM_ONE_ADDRESS;
  if (!which || strncmp(opt.host, "127.", 4)) return;
  struct sockaddr_in source = {.sin_family = AF_INET};
  source.sin_addr.s_addr = htonl(127u << 24 | (uint32_t)which << 8 | 1u);
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&source, sizeof source)) die("bind: %s", strerror(errno));
}

void stream_open(stream *s, struct client *owner, int port_index, int number) {
  int on = 1;
  *s = (stream){.owner = owner, .state = STREAM_CONNECTING};
  s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (s->fd < 0) die("socket: %s (ulimit -n?)", strerror(errno));
  setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  choose_source(s->fd, number);
  struct sockaddr *address = (struct sockaddr *)&addresses[port_index];
  if (connect(s->fd, address, sizeof addresses[0]) && errno != EINPROGRESS) die("connect: %s", strerror(errno));
  watch(s, EPOLL_CTL_ADD, true);
}

void stream_close(stream *s) {
  if (s->state == STREAM_CLOSED) return;
  s->state = STREAM_CLOSED;
  if (s->tls) tls_end(s->tls);
  s->tls = NULL;
  close(s->fd);
  buffer_clear(&s->rest);
  buffer_clear(&s->unsent);
}

void stream_send(stream *s, const char *data, size_t size) {
  ssize_t taken = 0;
  if (s->state == STREAM_CLOSED) return;
  if (!s->unsent.size) {
    taken = s->tls ? tls_write(s->tls, data, size) : send(s->fd, data, size, MSG_NOSIGNAL);
    if (taken < 0 && errno != EAGAIN) return on_stream_lost(s, strerror(errno));
    if (taken < 0) taken = 0;
  }
  if ((size_t)taken == size) return;
  buffer_append(&s->unsent, data + taken, size - (size_t)taken);
  if (!s->blocked) watch(s, EPOLL_CTL_MOD, true);
}

static void send_rest(stream *s) {
  buffer waiting = s->unsent;
  s->unsent = (buffer){0};
  if (waiting.size) stream_send(s, waiting.data, waiting.size);
  buffer_clear(&waiting);
  if (s->state != STREAM_CLOSED && !s->unsent.size && s->blocked) watch(s, EPOLL_CTL_MOD, false);
}

void stream_keep(stream *s, const char *data, size_t size) { buffer_set(&s->rest, data, size); }

void stream_deafen(stream *s) {
  s->deaf = true;
  watch(s, EPOLL_CTL_MOD, s->blocked);
}

static void shake(stream *s) {
  int result = tls_shake(s->tls);
  if (result < 0) return on_stream_lost(s, "the TLS handshake failed");
  if (!result) return;
  s->state = STREAM_OPEN;
  on_stream_open(s);
}

static void receive(stream *s) {
  while (s->state == STREAM_OPEN) {
    size_t old = s->rest.size;
    if (old >= READ_BUFFER) return on_stream_lost(s, "a packet is larger than 1 MiB");
    if (old) memcpy(read_buffer, s->rest.data, old);
    ssize_t got = s->tls ? tls_read(s->tls, read_buffer + old, READ_BUFFER - old)
                         : recv(s->fd, read_buffer + old, READ_BUFFER - old, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return on_stream_lost(s, got ? strerror(errno) : "closed by the server");
    on_stream_bytes(s, read_buffer, old + (size_t)got);
    /* less than there was room for: the socket is empty, another call would only say EAGAIN.
     * (TLS gives one record at a time.) */
    if (!s->tls && old + (size_t)got < READ_BUFFER) return;
  }
}

static void connected(stream *s) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error) return on_stream_lost(s, strerror(error));
  watch(s, EPOLL_CTL_MOD, false);
  if (opt.tls) {
    s->tls = tls_begin(s->fd);
    s->state = STREAM_SHAKING;
    return shake(s);
  }
  s->state = STREAM_OPEN;
  on_stream_open(s);
}

static void happen(stream *s, uint32_t events) {
  if (s->state == STREAM_CONNECTING) return connected(s);
  if (s->state == STREAM_SHAKING) return shake(s);
  if (s->state == STREAM_OPEN && events & EPOLLOUT) send_rest(s);
  if (s->state != STREAM_OPEN) return;
  if (s->deaf && events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) return on_stream_lost(s, "closed by the server");
  if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) receive(s);
}

void turn(int milliseconds) {
  static struct epoll_event events[1024];
  int count = epoll_wait(poller, events, 1024, milliseconds);
  for (int i = 0; i < count; i++) happen(events[i].data.ptr, events[i].events);
}
