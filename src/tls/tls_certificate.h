/*
 * tls_certificate: one certificate of the server, with its chain, its key and its OCSP response.
 *
 * Owner    A tls_context. Threads: any number of readers.
 * Memory   OpenSSL's objects, and copies of the paths.
 * Errors   A negative errno, and one line; then there is nothing to free.
 */
#ifndef RINGCAST_SRC_TLS_CERTIFICATE_H
#define RINGCAST_SRC_TLS_CERTIFICATE_H

#include <openssl/types.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>

#include "src/base/tls_options.h"
#include "src/tls/tls_error.h"
#include "src/tls/tls_names.h"
#include "src/tls/tls_ocsp.h"

/* Of the chain and the OCSP response: a handshake's answer has room for these. */
#define TLS_CERTIFICATE_BYTES_MAX 16384
#define TLS_CERTIFICATE_KEY_BITS_MAX 8192
#define TLS_CERTIFICATE_SUBJECT_BYTES_MAX 256

struct tls_certificate {
    char *file;
    char *key_file;
    X509 *leaf;
    STACK_OF(X509) * chain; /* without the leaf */
    EVP_PKEY *key;
    bool is_key_open; /* Every user may read it. */
    bool has_names;   /* of hosts or addresses: a subjectAltName */
    struct tls_names names;
    char subject[TLS_CERTIFICATE_SUBJECT_BYTES_MAX];
    int64_t not_before_s; /* of the Unix clock */
    int64_t not_after_s;
    struct tls_ocsp ocsp;
};

int tls_certificate_load(struct tls_certificate *certificate_out,
                         const struct tls_certificate_files *files,
                         char error_out[TLS_ERROR_BYTES_MAX]);
void tls_certificate_free(struct tls_certificate *certificate);

/* Every certificate of a PEM text. *certificates_out is NULL when there is an error. */
int tls_certificate_read_all(STACK_OF(X509) * *certificates_out, const char *option,
                             const char *path, const char *text, size_t bytes,
                             char error_out[TLS_ERROR_BYTES_MAX]);

/* Seconds of the Unix clock. */
int64_t tls_certificate_time(const ASN1_TIME *time);

#endif
