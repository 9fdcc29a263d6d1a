/*
 * tls_context: the certificates and settings of new handshakes, as they were when they were
 * loaded. A reload makes another one; handshakes that have begun keep theirs.
 *
 * Owner    Whoever holds it; the last one to let go frees it.
 * Threads  load: main's. The others: any.
 * Memory   OpenSSL's, from load to the last release.
 * Errors   A negative errno, and one line that says which file is wrong and what to do.
 */
#ifndef RINGCAST_SRC_TLS_CONTEXT_H
#define RINGCAST_SRC_TLS_CONTEXT_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/tls_options.h"
#include "src/tls/tls_error.h"

#define TLS_CONTEXT_ERROR_BYTES_MAX TLS_ERROR_BYTES_MAX

struct tls_context;
struct tls_tickets; /* tls_tickets.h: outlives all contexts */

/* All files load, each key matches its certificate, names parse; or nothing is made. The context is
 * held once. tickets: NULL for --check-config; else a key file that is given seals from now on. */
int tls_context_load(struct tls_context **context_out, const struct tls_options *options,
                     struct tls_tickets *tickets, char error_out[TLS_CONTEXT_ERROR_BYTES_MAX]);
struct tls_context *tls_context_hold(struct tls_context *context);
void tls_context_release(struct tls_context *context);

/* What SSL_new() is to be given. Its callbacks find the context by themselves: they choose the
 * certificate by name (SNI), staple, check ALPN and tickets. The owner of an SSL holds the context.
 */
SSL_CTX *tls_context_ssl(const struct tls_context *context);

/* For pages and metrics: the certificates in the order of the options. */
struct tls_context_certificate {
    const char *file;
    const char *name;     /* the first DNS name, or else the subject */
    int64_t not_before_s; /* of the Unix clock */
    int64_t not_after_s;
};
uint32_t
tls_context_certificates(const struct tls_context *context,
                         struct tls_context_certificate certificates_out[TLS_CERTIFICATES_MAX]);

/* What is in use, and needs attention: certificates that have ended or end soon, keys that others
 * may read. They are numbered from 0; false: there is none of this number. */
bool tls_context_warning(const struct tls_context *context, uint32_t number, int64_t now_s,
                         char text_out[TLS_CONTEXT_ERROR_BYTES_MAX]);

#endif
