/*
 * tls_names: the DNS names of a certificate, and which of them a client asked for.
 *
 * Owner    The caller. Threads: any number of readers.
 * Memory   One allocation for all names.
 * Errors   -ENOMEM.
 * Source   RFC 6125 section 6.4 (a wildcard is the whole first label), RFC 5280 section 4.2.1.6.
 */
#ifndef RINGCAST_SRC_TLS_NAMES_H
#define RINGCAST_SRC_TLS_NAMES_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>

struct tls_names {
    uint32_t count;
    char **names;      /* lower case, sorted */
    const char *first; /* as the certificate has them; NULL: there is none */
};

enum tls_names_match { /* A greater one is better. */
                       TLS_NAMES_NONE,
                       TLS_NAMES_WILDCARD,
                       TLS_NAMES_EXACT,
};

int tls_names_read(struct tls_names *names_out, X509 *certificate);
void tls_names_free(struct tls_names *names);
bool tls_names_equal(const struct tls_names *a, const struct tls_names *b);
enum tls_names_match tls_names_match(const struct tls_names *names, const char *server_name);

#endif
