/*
 * tls_record: seals and opens single TLS records, with keys that the caller has. No handshake, no
 * connection, no SSL object.
 *
 * Owner    The caller owns keys and bytes; a core (or a tool's thread) has one struct tls_ciphers.
 * Threads  One per struct tls_ciphers.
 * Memory   A cipher context for each suite, made by tls_ciphers_open. Records are sealed and opened
 *          in place. Keys are as secret as what they protect: their owner wipes them.
 * Errors   enum tls_status; what is malformed is never read beyond its length.
 * Source   RFC 8446 section 5 (TLS 1.3); RFC 5246 section 6.2, RFC 5288, RFC 7905 (TLS 1.2).
 */
#ifndef RINGCAST_CODEC_TLS_RECORD_H
#define RINGCAST_CODEC_TLS_RECORD_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_HEADER_BYTES 5
#define TLS_TAG_BYTES 16
#define TLS_KEY_BYTES_MAX 32
#define TLS_IV_BYTES 12
#define TLS_PLAIN_BYTES_MAX 16384
/* On the wire, header included: of TLS 1.3 and of TLS 1.2. */
#define TLS_RECORD_BYTES_MAX_13 (TLS_HEADER_BYTES + TLS_PLAIN_BYTES_MAX + 256)
#define TLS_RECORD_BYTES_MAX_12 (TLS_HEADER_BYTES + TLS_PLAIN_BYTES_MAX + 2048)
#define TLS_RECORD_BYTES_MAX TLS_RECORD_BYTES_MAX_12
#define TLS_EXPLICIT_BYTES 8 /* of the nonce, in each AES-GCM record of TLS 1.2 */
/* What a sealed record is longer than its plaintext, at most. */
#define TLS_OVERHEAD_BYTES_MAX (TLS_HEADER_BYTES + TLS_EXPLICIT_BYTES + TLS_TAG_BYTES)

enum tls_version {
    TLS_1_2 = 2,
    TLS_1_3 = 3,
};

enum tls_suite {
    TLS_AES_128_GCM,
    TLS_AES_256_GCM,
    TLS_CHACHA20_POLY1305,
    TLS_SUITE_COUNT,
};

enum tls_type { /* RFC 8446 appendix B.1 */
                TLS_CHANGE_CIPHER_SPEC = 20,
                TLS_ALERT = 21,
                TLS_HANDSHAKE = 22,
                TLS_APPLICATION_DATA = 23,
};

enum tls_alert { /* RFC 8446 section 6 */
                 TLS_ALERT_CLOSE_NOTIFY = 0,
                 TLS_ALERT_UNEXPECTED_MESSAGE = 10,
                 TLS_ALERT_BAD_RECORD_MAC = 20,
                 TLS_ALERT_RECORD_OVERFLOW = 22,
                 TLS_ALERT_HANDSHAKE_FAILURE = 40,
                 TLS_ALERT_ACCESS_DENIED = 49,
                 TLS_ALERT_DECODE_ERROR = 50,
                 TLS_ALERT_INTERNAL_ERROR = 80,
                 TLS_ALERT_USER_CANCELED = 90,
                 TLS_ALERT_NO_RENEGOTIATION = 100,
                 TLS_ALERT_NO_APPLICATION_PROTOCOL = 120,
};
#define TLS_ALERT_WARNING 1
#define TLS_ALERT_FATAL 2

enum tls_status {
    TLS_OK,
    TLS_NEED_MORE,
    TLS_TOO_LONG,   /* alert 22 */
    TLS_MALFORMED,  /* not a record of this version, or no room for a tag: alert 22 or 50 */
    TLS_BAD_MAC,    /* does not open: alert 20 */
    TLS_UNEXPECTED, /* of a content type that is not known, or in the clear in TLS 1.3: alert 10 */
};

/* The keys of one direction. Of TLS 1.2 with AES-GCM the iv is 4 bytes of salt, then the explicit
 * part of the nonce of record 0, to which seq is added. */
struct tls_keys {
    uint64_t seq; /* of the next record */
    uint8_t iv[TLS_IV_BYTES];
    uint8_t suite;       /* enum tls_suite */
    uint8_t version;     /* enum tls_version */
    uint16_t record_max; /* plaintext bytes of the longest record that is sealed */
    uint8_t key[TLS_KEY_BYTES_MAX];
};
static_assert(sizeof(struct tls_keys) == 56, "two and their flags are two cache lines");

struct tls_ciphers;

/* 0, -ENOMEM or -ENOTSUP (libcrypto lacks a suite, as a FIPS provider lacks ChaCha20). */
int tls_ciphers_open(struct tls_ciphers **ciphers_out);
void tls_ciphers_close(struct tls_ciphers *ciphers); /* Wipes what is left of keys. NULL: nothing */
/* Wipes the keys of the last records, which the cipher contexts still have. */
void tls_ciphers_forget(struct tls_ciphers *ciphers);

/* Where the plaintext of a sealed record begins. */
static inline size_t tls_record_front(const struct tls_keys *keys)
{
    bool is_explicit = keys->version == TLS_1_2 && keys->suite != TLS_CHACHA20_POLY1305;
    return TLS_HEADER_BYTES + (is_explicit ? TLS_EXPLICIT_BYTES : 0);
}

/* How long a record of so much plaintext is. */
static inline size_t tls_record_bytes(const struct tls_keys *keys, size_t plain_bytes)
{
    return tls_record_front(keys) + plain_bytes + (keys->version == TLS_1_3 ? 1 : 0) +
           TLS_TAG_BYTES;
}

/* Seals plain_bytes, which lie at record + tls_record_front(keys), in place; the record has room
 * for tls_record_bytes(). Returns that number, and keys->seq grows by 1; 0: libcrypto failed, and
 * nothing may be sent. */
size_t tls_record_seal(struct tls_ciphers *ciphers, struct tls_keys *keys, enum tls_type type,
                       uint8_t *record, size_t plain_bytes);

/* How long the record is that begins with these bytes. TLS_NEED_MORE: the header is not whole.
 * TLS_TOO_LONG, TLS_MALFORMED, TLS_UNEXPECTED: it will never open. */
enum tls_status tls_record_length(const struct tls_keys *keys, const uint8_t *bytes, size_t count,
                                  size_t *record_bytes_out);

/* What is in a record. */
struct tls_plain {
    enum tls_type type;
    uint8_t *bytes; /* inside the record */
    size_t count;
};

/* Opens a whole record in place; keys->seq grows by 1 with TLS_OK only. Its bytes are undefined
 * otherwise. */
enum tls_status tls_record_open(struct tls_ciphers *ciphers, struct tls_keys *keys, uint8_t *record,
                                size_t record_bytes, struct tls_plain *plain_out);

#endif
