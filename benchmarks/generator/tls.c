#include "tls.h"

#ifndef WITH_TLS

void *tls_begin(int fd) { die("compiled without TLS (socket %d)", fd); }
int tls_shake(void *tls) { return tls ? 0 : -1; }
ssize_t tls_read(void *tls, char *data, size_t size) { return tls && data && size ? 0 : -1; }
ssize_t tls_write(void *tls, const char *data, size_t size) { return tls && data && size ? 0 : -1; }
void tls_end(void *tls) { (void)tls; }

#else

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

static SSL_CTX *context;

void *tls_begin(int fd) {
  if (!context) {
    context = SSL_CTX_new(TLS_client_method());
    if (!context) die("OpenSSL does not start");
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
  }
  SSL *tls = SSL_new(context);
  if (!tls || !SSL_set_fd(tls, fd)) die("OpenSSL has no memory");
  SSL_set_connect_state(tls);
  return tls;
}

static ssize_t outcome(SSL *tls, int result) {
  if (result > 0) return result;
  int error = SSL_get_error(tls, result);
  ERR_clear_error();
  if (error == SSL_ERROR_ZERO_RETURN) return 0;
  errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : ECONNRESET;
  return -1;
}

int tls_shake(void *tls) {
  ssize_t result = outcome(tls, SSL_do_handshake(tls));
  return result > 0 ? 1 : result < 0 && errno == EAGAIN ? 0 : -1;
}

ssize_t tls_read(void *tls, char *data, size_t size) { return outcome(tls, SSL_read(tls, data, (int)size)); }
ssize_t tls_write(void *tls, const char *data, size_t size) { return outcome(tls, SSL_write(tls, data, (int)size)); }
void tls_end(void *tls) { SSL_free(tls); }

#endif
