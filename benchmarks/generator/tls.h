/* TLS over a socket, by OpenSSL; without -DWITH_TLS there is none, and `tls_begin` says so. */
#ifndef TLS_H
#define TLS_H

#include "base.h"

#include <sys/types.h>

void *tls_begin(int fd);
/* 1: done, 0: wants to be called again when something has come, -1: failed. */
int tls_shake(void *tls);
/* As recv and send on a socket that does not block: -1 and EAGAIN, 0 at the end. */
ssize_t tls_read(void *tls, char *data, size_t size);
ssize_t tls_write(void *tls, const char *data, size_t size);
void tls_end(void *tls);

#endif
