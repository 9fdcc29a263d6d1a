/*
 * tls_ocsp: what the CA says about a certificate, to be stapled to it in handshakes.
 *
 * Owner    A tls_certificate. Threads: any number of readers.
 * Memory   The file.
 * Errors   A negative errno, and one line.
 * Source   RFC 6960 (the response), RFC 6066 section 8 (stapling).
 */
#ifndef RINGCAST_SRC_TLS_OCSP_H
#define RINGCAST_SRC_TLS_OCSP_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/tls/tls_error.h"

struct tls_ocsp {
    char *file; /* NULL: there is none */
    uint8_t *response;
    size_t bytes;
    bool is_revoked;
    int64_t until_s;           /* of the Unix clock; INT64_MAX: it names no end */
    _Atomic uint64_t left_out; /* handshakes that went without it, because it had ended */
};

/* The response must be about this certificate. Its signature is checked by the clients. */
int tls_ocsp_load(struct tls_ocsp *ocsp_out, const char *path, X509 *leaf,
                  char error_out[TLS_ERROR_BYTES_MAX]);
void tls_ocsp_free(struct tls_ocsp *ocsp);

/* On any thread: gives the response to a handshake whose client asked for one. Returns an
 * SSL_TLSEXT_ERR_. */
int tls_ocsp_staple(struct tls_ocsp *ocsp, SSL *ssl, int64_t now_s);

#endif
