#define _GNU_SOURCE
#include "transport.h"

#include <stdio.h>
#include <string.h>

/* The key is zero: frames of clients must be masked, but nobody has to be fooled here. */
void websocket_send(client *c, int opcode, const char *data, size_t size) {
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
  stream_send(&c->streams[0], frame, head + 4 + size);
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
  if (opcode == FRAME_TEXT)
    on_packet(c, data, size);
  else if (opcode == FRAME_PING)
    websocket_send(c, FRAME_PONG, data, size);
  else if (opcode == FRAME_PONG)
    on_pong(c);
  else if (opcode == FRAME_CLOSE)
    client_close(c, "closed by the server");
}

static void on_frames(client *c, const char *data, size_t size) {
  size_t used = 0, head;
  uint64_t length;
  while ((head = frame_head((const unsigned char *)data + used, size - used, &length)) &&
         size - used - head >= length) {
    if (!(data[used] & 0x80)) return client_close(c, "a message in parts, which is not understood here");
    on_frame(c, data[used] & 15, data + used + head, (size_t)length);
    if (c->state == GONE) return;
    used += head + (size_t)length;
  }
  stream_keep(&c->streams[0], data + used, size - used);
}

void websocket_opened(client *c) {
  char request[1024];
  int size = snprintf(request, sizeof request,
                      "GET %s?EIO=4&transport=websocket HTTP/1.1\r\nHost: %s:%d\r\nConnection: Upgrade\r\n"
                      "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                      "Sec-WebSocket-Key: c2lvc2VydmVyLWxvYWQtMQ==\r\n\r\n",
                      opt.path, opt.host, opt.ports[port_of(c)]);
  stream_send(&c->streams[0], request, (size_t)size);
}

void websocket_bytes(client *c, char *data, size_t size) {
  if (c->upgraded) return on_frames(c, data, size);
  const char *end = memmem(data, size, "\r\n\r\n", 4);
  if (!end) return stream_keep(&c->streams[0], data, size);
  if (size < 12 || memcmp(data, "HTTP/1.1 101", 12)) return client_close(c, "the upgrade was refused");
  c->upgraded = true;
  size_t head = (size_t)(end + 4 - data);
  on_frames(c, data + head, size - head);
}
