#include "transport.h"

int port_of(const client *c) {
  return (c->role == MEMBER ? c->number / opt.rooms : c->number) % opt.nports;
}

/* Only members poll: what the crowd costs is asked of WebSockets. */
static bool polls(const client *c) { return opt.polling && c->role == MEMBER; }

void client_connect(client *c) {
  c->state = OPENING;
  stream_open(&c->streams[0], c, port_of(c), opt.first_client + c->number);
}

void client_send(client *c, const char *packet, size_t size) {
  if (c->state == GONE) return;
  if (polls(c))
    polling_send(c, packet, size);
  else
    websocket_send(c, FRAME_TEXT, packet, size);
}

void client_ping(client *c) { websocket_send(c, FRAME_PING, "", 0); }

void client_deafen(client *c) { stream_deafen(&c->streams[0]); }

void client_close(client *c, const char *why) {
  if (c->state == GONE) return;
  stream_close(&c->streams[0]);
  stream_close(&c->streams[1]);
  buffer_clear(&c->outbox);
  if (why) on_gone(c, why);
  c->state = GONE;
}

static int which(const stream *s) { return (int)(s - s->owner->streams); }

void on_stream_open(stream *s) {
  if (polls(s->owner))
    polling_opened(s->owner, which(s));
  else
    websocket_opened(s->owner);
}

void on_stream_bytes(stream *s, char *data, size_t size) {
  if (polls(s->owner))
    polling_bytes(s->owner, which(s), data, size);
  else
    websocket_bytes(s->owner, data, size);
}

void on_stream_lost(stream *s, const char *why) { client_close(s->owner, why); }
