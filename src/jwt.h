/*
 * jwt: JSON Web Tokens (RFC 7519) signed by HS256 or EdDSA (Ed25519, RFC 8037).
 *
 * Owner    main, through access: keys are loaded before the cores start.
 * Threads  jwt_verify: any; keys are constant then.
 * Memory   JWT_KEYS_MAX keys. A verdict has the claims (jansson's), for the caller to release.
 * Errors   enum jwt_status; loading: a negative errno with error_out, which never has a key in it.
 *
 * A key is for one algorithm only, the one it was loaded for: what a token says of its algorithm
 * never chooses how a key is used.
 */
#ifndef RINGCAST_SRC_JWT_H
#define RINGCAST_SRC_JWT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JWT_BYTES_MAX 4096
#define JWT_KEYS_MAX 16
#define JWT_KID_BYTES_MAX 64
#define JWT_LEEWAY_SECONDS 5    /* for clocks that differ: exp and nbf */
#define JWT_SECRET_BYTES_MIN 32 /* RFC 7518 section 3.2 */
#define JWT_SECRET_BYTES_MAX 1024

enum jwt_status {
    JWT_OK,
    JWT_MALFORMED,     /* not three parts of base64url, not JSON, a key twice, too long */
    JWT_BAD_ALGORITHM, /* none of ours, or not that of the key */
    JWT_UNKNOWN_KEY,   /* its kid is not ours */
    JWT_BAD_SIGNATURE,
    JWT_EXPIRED,
    JWT_TOO_EARLY,  /* nbf */
    JWT_BAD_CLAIMS, /* exp missing or no number; not our issuer or audience: it is for another */
    JWT_STATUS_COUNT,
};

enum jwt_algorithm {
    JWT_HS256,
    JWT_EDDSA,
};

struct jwt_key {
    enum jwt_algorithm algorithm;
    char kid[JWT_KID_BYTES_MAX + 1]; /* "": none */
    uint8_t secret[JWT_SECRET_BYTES_MAX];
    size_t secret_bytes;
    void *public_key; /* EVP_PKEY */
};

struct jwt_keys {
    struct jwt_key keys[JWT_KEYS_MAX];
    uint32_t count;
    const char *issuer;   /* NULL: any */
    const char *audience; /* a token that names audiences must name this one */
};

/* text: a secret (HS256), a PEM public key (EdDSA), or a JWK set with keys of type oct and OKP.
 * Blanks and newlines at the end of a secret are not part of it. */
int jwt_keys_load(struct jwt_keys *keys, const char *text, size_t text_bytes, char *error_out,
                  size_t error_bytes);
void jwt_keys_deinit(struct jwt_keys *keys);

struct jwt_verdict {
    json_t *claims;     /* Owned by the caller when JWT_OK. */
    uint64_t expires_s; /* Seconds since the epoch; the leeway is not in it. */
};

enum jwt_status jwt_verify(const struct jwt_keys *keys, const char *token, size_t token_bytes,
                           uint64_t wall_s, struct jwt_verdict *verdict_out);

/* For the log and the client: it says nothing of a key. */
const char *jwt_status_text(enum jwt_status status);

#endif
