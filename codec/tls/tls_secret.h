/*
 * tls_secret: from the secrets of a finished handshake to the keys of its records.
 *
 * Owner    The caller. Threads: any.
 * Memory   The caller's; every intermediate secret is wiped.
 * Errors   false: libcrypto failed, or a length is not the suite's; keys_out is wiped then.
 * Source   RFC 8446 sections 7.1 to 7.3 (HKDF-Expand-Label, "key", "iv", "traffic upd"); RFC 5246
 *          sections 5 and 6.3 (PRF, key block).
 */
#ifndef RINGCAST_CODEC_TLS_SECRET_H
#define RINGCAST_CODEC_TLS_SECRET_H

#include "codec/tls/tls_record.h"

#define TLS_SECRET_BYTES_MAX 48 /* SHA-384, and the master secret of TLS 1.2 */
#define TLS_RANDOM_BYTES 32

/* Of AES-256-GCM 48 (SHA-384), of the others 32 (SHA-256). */
size_t tls_secret_bytes(enum tls_suite suite);

/* TLS 1.3: the keys of one direction; seq 0, record_max TLS_PLAIN_BYTES_MAX. */
bool tls_secret_keys(struct tls_keys *keys_out, enum tls_suite suite, const uint8_t *secret,
                     size_t secret_bytes);
/* TLS 1.3, after a KeyUpdate: the secret of a direction becomes the next one, and its keys as
 * well. record_max stays. false: libcrypto failed, and the keys are as they were. */
bool tls_secret_update(struct tls_keys *keys, uint8_t secret[TLS_SECRET_BYTES_MAX]);

/* TLS 1.2: the keys of both directions; seq 1 (the Finished was 0), the explicit part of the iv 0.
 */
bool tls_secret_keys_12(struct tls_keys *client_out, struct tls_keys *server_out,
                        enum tls_suite suite, const uint8_t master[TLS_SECRET_BYTES_MAX],
                        const uint8_t client_random[TLS_RANDOM_BYTES],
                        const uint8_t server_random[TLS_RANDOM_BYTES]);

#endif
