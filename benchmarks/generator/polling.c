/* Long-polling as browsers do it: one connection that always waits in a GET, one for the POSTs, both kept
 * alive, each with one request under way. */
#define _GNU_SOURCE
#include "transport.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { GET, POST };
static const char SEPARATOR = 0x1e;

static void request(client *c, int which, const char *extra, const char *body, size_t nbody) {
  char head[1024];
  int size = snprintf(head, sizeof head, "%s %s?EIO=4&transport=polling%s%s HTTP/1.1\r\nHost: %s:%d\r\n%s\r\n",
                      which == GET ? "GET" : "POST", opt.path, *c->sid ? "&sid=" : "", c->sid, opt.host,
                      opt.ports[port_of(c)], extra);
  char whole[sizeof head + MAX_BODY + 1024];
  if ((size_t)size + nbody > sizeof whole) die("a request of %zu bytes", nbody);
  memcpy(whole, head, (size_t)size);
  if (nbody) memcpy(whole + size, body, nbody);
  stream_send(&c->streams[which], whole, (size_t)size + nbody);
}

static void post_outbox(client *c) {
  if (c->posting || !c->outbox.size || c->streams[POST].state != STREAM_OPEN) return;
  char extra[128];
  sprintf(extra, "Content-Type: text/plain;charset=UTF-8\r\nContent-Length: %zu\r\n", c->outbox.size);
  c->posting = true;
  buffer body = c->outbox;
  c->outbox = (buffer){0};
  request(c, POST, extra, body.data, body.size);
  buffer_clear(&body);
}

void polling_send(client *c, const char *packet, size_t size) {
  if (c->outbox.size) buffer_append(&c->outbox, &SEPARATOR, 1);
  buffer_append(&c->outbox, packet, size);
  post_outbox(c);
}

void polling_opened(client *c, int which) {
  if (which == GET)
    request(c, GET, "", NULL, 0);
  else
    post_outbox(c);
}

/* The handshake: its sid, and from now on there are two connections. */
static void on_open_packet(client *c, const char *packet, size_t size) {
  const char *sid = memmem(packet, size, "\"sid\":\"", 7), *end = packet + size;
  size_t length = 0;
  if (sid)
    for (sid += 7; sid + length < end && sid[length] != '"' && length < sizeof c->sid - 1;) length++;
  if (!length) return client_close(c, "a handshake without a sid");
  memcpy(c->sid, sid, length);
  stream_open(&c->streams[POST], c, port_of(c), opt.first_client + c->number);
}

static void on_payload(client *c, const char *data, size_t size) {
  const char *end = data + size;
  while (data < end && c->state != GONE) {
    const char *next = memchr(data, SEPARATOR, (size_t)(end - data));
    size_t length = (size_t)((next ? next : end) - data);
    if (!*c->sid) on_open_packet(c, data, length);
    if (c->state != GONE) on_packet(c, data, length);
    data += length + 1;
  }
}

/* The length of the body that follows this head, which ends with an empty line. */
static size_t content_length(const char *head, size_t size) {
  static const char NAME[] = "\r\ncontent-length:";
  for (size_t i = 0; i + sizeof NAME < size; i++)
    if (head[i] == '\r' && !strncasecmp(head + i, NAME, sizeof NAME - 1))
      return strtoul(head + i + sizeof NAME - 1, NULL, 10);
  return 0;
}

void polling_bytes(client *c, int which, char *data, size_t size) {
  const char *end = memmem(data, size, "\r\n\r\n", 4);
  size_t head = end ? (size_t)(end + 4 - data) : 0, body = end ? content_length(data, head) : 0;
  if (!end || size < head + body) return stream_keep(&c->streams[which], data, size);
  if (size > head + body) return client_close(c, "an answer that nobody asked for");
  if (memcmp(data, "HTTP/1.1 200", 12)) return client_close(c, "a request was refused");
  stream_keep(&c->streams[which], NULL, 0);
  if (which == POST) {
    c->posting = false;
    return post_outbox(c);
  }
  on_payload(c, data + head, body);
  if (c->state != GONE) request(c, GET, "", NULL, 0);
}
