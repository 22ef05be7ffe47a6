/* TCP connections on one epoll loop, plain or with TLS: bytes in, bytes out, nothing that blocks.
 * Knows a client as the owner of a stream, and only passes it on. */
#ifndef STREAM_H
#define STREAM_H

#include "base.h"

typedef enum { STREAM_CLOSED, STREAM_CONNECTING, STREAM_SHAKING, STREAM_OPEN } stream_state;

typedef struct stream {
  int fd;
  stream_state state;
  bool blocked, deaf; /* the socket took no more: EPOLLOUT is on; it is not read */
  void *tls;
  buffer rest, unsent; /* a frame or an answer that has not come wholly; what the socket did not take */
  struct client *owner;
} stream;

void streams_prepare(void);
/* Connects to one of the ports, from the nth address of loopback that has ports left. */
void stream_open(stream *s, struct client *owner, int port_index, int number);
void stream_send(stream *s, const char *data, size_t size);
/* What was not used of what came: on_stream_bytes gets it again, with more behind it. */
void stream_keep(stream *s, const char *data, size_t size);
void stream_deafen(stream *s);
void stream_close(stream *s);

/* Waits for at most so long, and lets everything happen that is due. */
void turn(int milliseconds);

/* Of the layer above. */
void on_stream_open(stream *s);
void on_stream_bytes(stream *s, char *data, size_t size);
void on_stream_lost(stream *s, const char *why);

#endif
