/*
 * jwt: JSON Web Tokens (RFC 7519) signed by HS256 or EdDSA (Ed25519, RFC 8037).
 *
 * Owner    The caller owns keys (jwt_keys.h) and tokens.
 * Threads  Any.
 * Memory   A verdict has the claims (jansson's), for the caller to release.
 * Errors   enum jwt_status.
 *
 * A key is for one algorithm only, the one it was loaded for: what a token says of its algorithm
 * never chooses how a key is used. EdDSA and Ed25519 (RFC 9864) are two names of one algorithm.
 */
#ifndef RINGCAST_SRC_JWT_H
#define RINGCAST_SRC_JWT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/access/jwt_keys.h"

#define JWT_BYTES_MAX 4096
#define JWT_LEEWAY_SECONDS 5 /* for clocks that differ: exp and nbf */

/* What a check of one signature by one key costs, see core_spend(). */
#define JWT_EDDSA_UNITS 4000
#define JWT_HS256_UNITS 200

enum jwt_status {
    JWT_OK,
    JWT_MALFORMED,     /* not three parts of base64url, not JSON, a key twice, too long */
    JWT_BAD_ALGORITHM, /* none of ours, or not that of the key */
    JWT_UNKNOWN_KEY,   /* its kid is not ours */
    JWT_BAD_SIGNATURE,
    JWT_EXPIRED,
    JWT_TOO_EARLY,  /* nbf */
    JWT_LATER,      /* not known yet: the budget is used up */
    JWT_BAD_CLAIMS, /* exp missing or no number; not our issuer or audience: it is for another */
    JWT_STATUS_COUNT,
};

struct jwt_verdict {
    json_t *claims;     /* Owned by the caller when JWT_OK. */
    uint64_t expires_s; /* Seconds since the epoch; the leeway is not in it. */
};

/* While units are left, signatures are checked. */
struct jwt_budget {
    int64_t units_left;
    uint64_t checked_count; /* signatures, by one key */
};

/* A check of a signature may wait: after JWT_LATER, jwt_verify goes on with the same one. */
struct jwt_check {
    struct jwt_budget *budget;
    uint32_t key_next; /* Keys before it have been tried; 0 at first. */
    bool is_right;     /* The signature is known to be right. */
};

enum jwt_status jwt_verify(const struct jwt_keys *keys, const char *token, size_t token_bytes,
                           uint64_t wall_s, struct jwt_check *check,
                           struct jwt_verdict *verdict_out);

/* For the log and the client: it says nothing of a key. */
const char *jwt_status_text(enum jwt_status status);

#endif
