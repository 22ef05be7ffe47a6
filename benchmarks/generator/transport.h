/* Engine.IO packets over WebSocket or long-polling. What is in them is for the layer above. */
#ifndef TRANSPORT_H
#define TRANSPORT_H

#include "client.h"

void client_connect(client *c);
void client_send(client *c, const char *packet, size_t size);
/* A WebSocket ping, which every server answers by itself as soon as its loop turns. */
void client_ping(client *c);
void client_deafen(client *c);
/* Closes its connections; on_gone is told why, unless that is NULL. */
void client_close(client *c, const char *why);

/* Of the layer above. */
void on_packet(client *c, const char *packet, size_t size);
void on_pong(client *c);
void on_gone(client *c, const char *why);

/* The two kinds, for transport.c only. `which` is the number of the stream. */
void websocket_opened(client *c);
void websocket_bytes(client *c, char *data, size_t size);
void websocket_send(client *c, int opcode, const char *data, size_t size);
enum { FRAME_TEXT = 1, FRAME_CLOSE = 8, FRAME_PING = 9, FRAME_PONG = 10 };

void polling_opened(client *c, int which);
void polling_bytes(client *c, int which, char *data, size_t size);
void polling_send(client *c, const char *packet, size_t size);

/* Its port's index: members of one room take turns. */
int port_of(const client *c);

#endif
