/* A client, as all layers above the streams see it. */
#ifndef CLIENT_H
#define CLIENT_H

#include "options.h"
#include "stream.h"

typedef enum { NEW, OPENING, JOINING, READY, GONE } client_state;
typedef enum { MEMBER, CROWD, PROBE } client_role;

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
  int number, room, sender; /* sender: its number in the room, or -1 */
  client_role role;
  client_state state;
  bool stalled;
  /* of the transport */
  stream streams[2]; /* WebSocket: one; polling: one for GET, one for POST */
  char sid[64];
  buffer outbox; /* polling: packets for the next POST */
  bool upgraded, posting;
  /* of the chat */
  seen *seen; /* by the sender's number */
  uint32_t sent, refused;
  flight *flights; /* of a sender: by the message's number modulo the window */
} client;

#endif
