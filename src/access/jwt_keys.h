/*
 * jwt_keys: what JWTs are verified by, read from files of keys and of secrets.
 *
 * Owner    main, through access: keys are loaded before the cores start.
 * Threads  Constant once loaded.
 * Memory   JWT_KEYS_MAX keys, and a copy of a file while it is read.
 * Errors   -EINVAL or -ENOMEM with error_out, which says what the file was taken for and what to
 *          do, and never has a key in it. No key of the file has been added then.
 * Source   RFC 7468 (PEM), 7517 (JWK sets), 7518 (oct), 8037 (OKP), 9864 (the name Ed25519);
 *          docs/decisions/0010.
 *
 * A file of keys never becomes a secret, whatever it holds: anybody who has a public key could
 * sign with it. A secret comes from a file of its own, or from a key of type oct in a JWK set.
 */
#ifndef RINGCAST_SRC_JWT_KEYS_H
#define RINGCAST_SRC_JWT_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JWT_KEYS_MAX 16
#define JWT_KID_BYTES_MAX 64
#define JWT_SECRET_BYTES_MIN 32 /* RFC 7518 section 3.2 */
#define JWT_SECRET_BYTES_MAX 1024
#define JWT_KEYS_ED25519_BYTES 32 /* a public key */
#define JWT_KEYS_WORDS_BYTES_MAX 384

enum jwt_algorithm {
    JWT_HS256,
    JWT_EDDSA,
};

/* Of a key, its kid, and the issuer and audience that it is used with. */
#define JWT_FINGERPRINT_BYTES 16

struct jwt_key {
    enum jwt_algorithm algorithm;
    uint8_t fingerprint[JWT_FINGERPRINT_BYTES]; /* of jwt_keys_take_fingerprints */
    char kid[JWT_KID_BYTES_MAX + 1];            /* "": none */
    uint8_t secret[JWT_SECRET_BYTES_MAX];
    size_t secret_bytes;
    void *public_key;                             /* EVP_PKEY, */
    uint8_t public_bytes[JWT_KEYS_ED25519_BYTES]; /* and what it is; of a secret: zeros */
};

struct jwt_keys {
    struct jwt_key keys[JWT_KEYS_MAX];
    uint32_t count;
    uint32_t ignored_count;                 /* keys of JWK sets that are not for us */
    char ignored[JWT_KEYS_WORDS_BYTES_MAX]; /* the first of them, and why */
    const char *issuer;                     /* NULL: any; both have at most 255 bytes */
    const char *audience;                   /* a token that names audiences must name this one */
};

/* text: PEM public keys, or a JWK set with keys of type OKP and oct. */
int jwt_keys_load(struct jwt_keys *keys, const char *text, size_t text_bytes, char *error_out,
                  size_t error_bytes);

/* A secret for HS256. Blanks and newlines at the end are not part of it. */
int jwt_keys_load_secret(struct jwt_keys *keys, const char *text, size_t text_bytes,
                         char *error_out, size_t error_bytes);
void jwt_keys_deinit(struct jwt_keys *keys);

/* Once all are loaded. */
void jwt_keys_take_fingerprints(struct jwt_keys *keys);
/* Whether a key is among them that has this fingerprint. */
bool jwt_keys_have(const struct jwt_keys *keys, const uint8_t fingerprint[JWT_FINGERPRINT_BYTES]);
/* Whether they are the same, in the same order. */
bool jwt_keys_are_same(const struct jwt_keys *left, const struct jwt_keys *right);

/* For the log: how many keys of which kind there are, which were ignored, and why. */
void jwt_keys_describe(const struct jwt_keys *keys, char *out, size_t out_bytes);

#endif
