/*
 * tls_peer: what a finished handshake has found out about the client (struct tls_peer).
 *
 * Owner    The caller gets one allocation (free).
 * Threads  The handshake's.
 * Errors   NULL: not enough memory.
 * Source   RFC 5280 section 4.2.1.6 (subject alternative names); RFC 6066 section 3 (SNI).
 */
#ifndef RINGCAST_SRC_TLS_PEER_H
#define RINGCAST_SRC_TLS_PEER_H

#include <openssl/types.h>

#include "ring/tls_service.h"

/* version, suite: of the keys. Names of a certificate with NUL or control bytes are left out: they
 * would read as others. So is such a server's name. */
struct tls_peer *tls_peer_create(SSL *ssl, enum tls_version version, enum tls_suite suite);

#endif
