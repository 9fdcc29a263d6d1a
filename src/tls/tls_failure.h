/*
 * tls_failure: why a handshake failed, in words of an operator.
 *
 * Threads  Any.
 * Memory   Texts are constant. The thread's error queue is empty afterwards.
 * Source   RFC 8446 section 6 (alerts); openssl/sslerr.h, openssl/x509_vfy.h.
 */
#ifndef RINGCAST_SRC_TLS_FAILURE_H
#define RINGCAST_SRC_TLS_FAILURE_H

#include <openssl/types.h>

#include "ring/tls_service.h"

struct tls_failed {
    enum tls_failure failure;
    const char *text;
};

/* After SSL_do_handshake(ssl) returned result, and does not want more. */
struct tls_failed tls_failure_of(SSL *ssl, int result);

#endif
