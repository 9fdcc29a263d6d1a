/*
 * tls_clients: which certificates of clients are accepted: those of the CAs of a file, except
 * those that a CRL revokes.
 *
 * Owner    A tls_context. Threads: any number of handshakes.
 * Memory   OpenSSL's objects.
 * Errors   A negative errno, and one line; then there is nothing to free.
 */
#ifndef RINGCAST_SRC_TLS_CLIENTS_H
#define RINGCAST_SRC_TLS_CLIENTS_H

#include <openssl/types.h>
#include <openssl/x509.h>
#include <stdint.h>

#include "src/base/tls_options.h"
#include "src/tls/tls_error.h"

#define TLS_CLIENTS_DEPTH_MAX 4 /* certificates between a client's and its CA of the file */
#define TLS_CLIENTS_NAMES_BYTES_MAX 2048 /* of all CAs; longer ones are not sent to clients */
#define TLS_CLIENTS_SESSION_BYTES 32

struct tls_clients {
    enum tls_client_auth auth;
    X509_STORE *store;           /* NULL: no certificate is asked for */
    STACK_OF(X509_NAME) * names; /* sent to clients, so that they find a fitting certificate */
    int64_t crl_until_s;         /* of the Unix clock: the first CRL ends; INT64_MAX: none does */
    char *crl_file;              /* NULL: none */
    /* A hash of all that decides: a ticket from before a change does not resume. */
    uint8_t session[TLS_CLIENTS_SESSION_BYTES];
};

/* client_ca is there if and only if clients are asked for a certificate. */
int tls_clients_load(struct tls_clients *clients_out, const struct tls_options *options,
                     char error_out[TLS_ERROR_BYTES_MAX]);
void tls_clients_free(struct tls_clients *clients);

/* 0 or -ENOMEM. */
int tls_clients_apply(const struct tls_clients *clients, SSL_CTX *ssl);

#endif
