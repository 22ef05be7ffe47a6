#include "socketio.h"

#include <stdio.h>
#include <string.h>

static size_t put(char *out, size_t space, const char *pattern, const client *c) {
  return expand(out, space, pattern, opt.first_room + c->room, opt.first_client + c->number);
}

/* What a Socket.IO packet of this client has behind its type: "/room7," or nothing. */
static size_t put_namespace(const client *c, char *out, size_t space) {
  size_t length = put(out, space, opt.namespace, c);
  if (length == 1) return 0;
  out[length] = ',';
  return length + 1;
}

static void send_join(client *c) {
  char packet[2048] = "40";
  size_t length = 2 + put_namespace(c, packet + 2, 1000);
  length += put(packet + length, sizeof packet - length, opt.auth, c);
  c->state = JOINING;
  client_send(c, packet, length);
}

void send_event(client *c, long id, const char *body, size_t size) {
  static unsigned long run; /* so that nobody takes it for a message of an earlier run */
  if (!run) run = (unsigned long)clock_now();
  char packet[MAX_BODY + 1000];
  memcpy(packet, "42", 2); /* an initializer would clear all of it, for each message */
  size_t length = 2 + put_namespace(c, packet + 2, 800);
  length += (size_t)sprintf(packet + length, "%ld[\"%.100s\",\"", id, opt.event);
  memcpy(packet + length, body, size);
  length += size;
  length += (size_t)(opt.ids ? sprintf(packet + length, "\",{\"id\":\"%lx-%d-%ld\"}]", run, opt.first_client + c->number, id)
                             : sprintf(packet + length, "\"]"));
  client_send(c, packet, length);
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

void on_packet(client *c, const char *packet, size_t size) {
  if (!size) return;
  if (*packet == '0') return send_join(c);
  if (*packet == '2') return client_send(c, "3", 1);
  if (*packet == '1') return client_close(c, "closed by the server");
  if (*packet != '4' || size < 2) return;
  const char *end = packet + size;
  long id = -1;
  const char *rest = arguments(packet + 2, end, &id);
  switch (packet[1]) {
    case '0': return on_joined(c);
    case '1': return client_close(c, "disconnected by the server");
    case '2': return on_event(c, rest, (size_t)(end - rest));
    case '3': return on_ack(c, id, rest, (size_t)(end - rest));
    case '4': return client_close(c, "the server refused the join");
  }
}
