/* Socket.IO packets (protocol 5): joining a namespace, events and their acks. */
#ifndef SOCKETIO_H
#define SOCKETIO_H

#include "transport.h"

/* Sends opt.event with that body, and asks for an ack of that number. */
void send_event(client *c, long id, const char *body, size_t size);

/* Of the layer above. `arguments` are JSON. */
void on_joined(client *c);
void on_event(client *c, const char *arguments, size_t size);
void on_ack(client *c, long id, const char *arguments, size_t size);

#endif
