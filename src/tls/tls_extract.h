/*
 * tls_extract: takes the keys of a finished handshake out of OpenSSL, by its public interface.
 *
 * The secrets of TLS 1.3 come from its key log, which the context must have (tls_extract_keylog);
 * those of TLS 1.2 from its session. What is derived from them is proved before it is used: it must
 * open a record that OpenSSL seals. That record is wiped and never leaves.
 *
 * Owner    The handshake. Threads: its own.
 * Memory   The caller's. Secrets are wiped: of the struct by tls_extract_end, of the job by the
 *          core that has copied them.
 * Source   RFC 8446 section 7.1; NSS key log format (draft-ietf-tls-keylogfile); SSL_CTX_set_keylog
 *          _callback(3), SSL_get_client_random(3).
 */
#ifndef RINGCAST_SRC_TLS_EXTRACT_H
#define RINGCAST_SRC_TLS_EXTRACT_H

#include <openssl/types.h>
#include <stdint.h>

#include "codec/tls/tls_record.h"
#include "codec/tls/tls_secret.h"
#include "ring/tls_service.h"

struct tls_extract_secret {
    uint8_t bytes[TLS_SECRET_BYTES_MAX];
    size_t count; /* 0: not seen */
};

/* What the key log has said. */
struct tls_extract {
    struct tls_extract_secret client, server;
};

/* For SSL_CTX_set_keylog_callback() of each context of which a handshake may take its certificate.
 * Nothing is logged. */
void tls_extract_keylog(const SSL *ssl, const char *line);

/* extract stays where it is until its end; it takes the SSL's application data. */
void tls_extract_begin(struct tls_extract *extract, SSL *ssl);
void tls_extract_end(struct tls_extract *extract);

/* The handshake has finished, and job->out is what it last put out. Sets tx, rx and their secrets
 * in the job. Returns NULL, or what is wrong: then the job has no keys. */
const char *tls_extract_finish(const struct tls_extract *extract, SSL *ssl,
                               struct tls_ciphers *ciphers, struct tls_job *job);

#endif
