/*
 * tls_options: what the configuration says of TLS: read by src/config, carried out by src/tls.
 *
 * Owner    struct options. Threads: main's.
 * Memory   Texts belong to the options that they were read from.
 */
#ifndef RINGCAST_SRC_TLS_OPTIONS_H
#define RINGCAST_SRC_TLS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#define TLS_CERTIFICATES_MAX 16

struct tls_certificate_files {
    const char *chain; /* PEM: the server's certificate, then those between it and the root */
    const char *key;   /* PEM; NULL: it is in chain as well */
    const char *ocsp;  /* DER: the response to be stapled; NULL: none */
};

enum tls_client_auth {
    TLS_CLIENT_AUTH_NONE,
    TLS_CLIENT_AUTH_REQUEST, /* A client without a certificate comes in, too. */
    TLS_CLIENT_AUTH_REQUIRE,
};

struct tls_options {
    struct tls_certificate_files certificates[TLS_CERTIFICATES_MAX];
    uint32_t certificate_count; /* 0: no TLS */
    bool is_13_only;            /* --tls-min-version 1.3 */
    uint32_t thread_count;
    enum tls_client_auth client_auth;
    const char *client_ca;       /* PEM; NULL: none */
    const char *client_crl;      /* PEM; NULL: none */
    const char *ticket_key_file; /* NULL: own keys, which nobody else has */
};

#endif
