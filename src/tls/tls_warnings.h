/*
 * tls_warnings: what is in use, and needs an operator's attention.
 *
 * Owner    The caller. Threads: any.
 * Memory   A text of the caller's; the warnings are found anew for each number.
 */
#ifndef RINGCAST_SRC_TLS_WARNINGS_H
#define RINGCAST_SRC_TLS_WARNINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "src/tls/tls_certificate.h"
#include "src/tls/tls_clients.h"

#define TLS_WARNINGS_DAYS 14 /* before a certificate ends */

/* A time of the Unix clock, as an operator reads it. */
struct tls_warnings_date {
    char text[sizeof "2026-01-01 12:00 UTC"];
};
struct tls_warnings_date tls_warnings_date(int64_t time_s);

struct tls_warnings {
    uint32_t number; /* of the wanted one; it counts down to 0 */
    int64_t now_s;   /* of the Unix clock */
    char *text_out;  /* TLS_ERROR_BYTES_MAX */
    bool is_written;
};

void tls_warnings_of_certificate(struct tls_warnings *warnings,
                                 const struct tls_certificate *certificate);
void tls_warnings_of_clients(struct tls_warnings *warnings, const struct tls_clients *clients);
/* Every user may read this key. path: NULL: nothing. */
void tls_warnings_of_open_key(struct tls_warnings *warnings, const char *option, const char *path);

#endif
