#include "src/access/jwt.h"

#include <math.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "codec/base/check.h"
#include "src/access/key_text.h"
#include "src/base/json_depth.h"
#include "src/base/json_load.h"

#define JWT_HMAC_BYTES 32
#define JWT_ED25519_SIGNATURE_BYTES 64
#define JWT_TIME_MAX 1e12 /* seconds: later is no time, but a mistake */

static_assert(JWT_HMAC_BYTES <= JWT_ED25519_SIGNATURE_BYTES, "one buffer holds either signature");

struct jwt_parts {
    const char *header, *claims, *signature;
    size_t header_bytes, claims_bytes, signature_bytes;
    size_t signed_bytes;
};

static bool jwt_split(const char *token, size_t token_bytes, struct jwt_parts *parts)
{
    const char *end = token + token_bytes;
    const char *first = memchr(token, '.', token_bytes);
    const char *second = first == NULL ? NULL : memchr(first + 1, '.', (size_t)(end - first - 1));
    if (second == NULL || memchr(second + 1, '.', (size_t)(end - second - 1)) != NULL) {
        return false;
    }
    *parts = (struct jwt_parts){
        .header = token,
        .header_bytes = (size_t)(first - token),
        .claims = first + 1,
        .claims_bytes = (size_t)(second - first - 1),
        .signature = second + 1,
        .signature_bytes = (size_t)(end - second - 1),
        .signed_bytes = (size_t)(second - token),
    };
    assert_always(parts->signed_bytes + 1 + parts->signature_bytes == token_bytes);
    return true;
}

/* An object out of a part, or NULL. */
static json_t *jwt_load_part(const char *text, size_t text_bytes)
{
    char json[JWT_BYTES_MAX];
    int bytes = key_text_base64url((uint8_t *)json, sizeof json, text, text_bytes);
    if (bytes <= 0 || !json_depth_is_within(json, (size_t)bytes, KEY_TEXT_DEPTH_MAX)) {
        return NULL;
    }
    assert_always((size_t)bytes <= sizeof json);
    json_error_t fault;
    json_t *root = json_load(json, (size_t)bytes, &fault);
    if (!json_is_object(root)) {
        json_decref(root);
        return NULL;
    }
    return root;
}

/* "crit" names extensions we would have to understand (RFC 7515 section 4.1.11). */
static enum jwt_status jwt_read_header(const json_t *header, enum jwt_algorithm *algorithm_out)
{
    const char *name = json_string_value(json_object_get(header, "alg"));
    const json_t *kid = json_object_get(header, "kid");
    if (name == NULL || (kid != NULL && !json_is_string(kid)) ||
        json_object_get(header, "crit") != NULL) {
        return JWT_MALFORMED;
    }
    bool is_eddsa = strcmp(name, "EdDSA") == 0 || strcmp(name, "Ed25519") == 0;
    *algorithm_out = is_eddsa ? JWT_EDDSA : JWT_HS256;
    return is_eddsa || strcmp(name, "HS256") == 0 ? JWT_OK : JWT_BAD_ALGORITHM;
}

static bool jwt_hmac_is_right(const struct jwt_key *key, const char *text, size_t text_bytes,
                              const uint8_t *signature, size_t signature_bytes)
{
    uint8_t right[EVP_MAX_MD_SIZE];
    assert_always(key->algorithm == JWT_HS256);
    assert_always(key->secret_bytes >= JWT_SECRET_BYTES_MIN); /* Anybody can sign with none. */
    unsigned int right_bytes = 0;
    return HMAC(EVP_sha256(), key->secret, (int)key->secret_bytes, (const uint8_t *)text,
                text_bytes, right, &right_bytes) != NULL &&
           right_bytes == JWT_HMAC_BYTES && signature_bytes == JWT_HMAC_BYTES &&
           CRYPTO_memcmp(right, signature, JWT_HMAC_BYTES) == 0;
}

static bool jwt_ed25519_is_right(const struct jwt_key *key, const char *text, size_t text_bytes,
                                 const uint8_t *signature, size_t signature_bytes)
{
    assert_always(key->algorithm == JWT_EDDSA);
    assert_always(key->public_key != NULL);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_right = context != NULL && signature_bytes == JWT_ED25519_SIGNATURE_BYTES &&
                    EVP_DigestVerifyInit(context, NULL, NULL, NULL, key->public_key) == 1 &&
                    EVP_DigestVerify(context, signature, signature_bytes, (const uint8_t *)text,
                                     text_bytes) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return is_right;
}

static bool jwt_is_candidate(const struct jwt_key *key, const char *kid)
{
    return kid == NULL || key->kid[0] == '\0' || strcmp(key->kid, kid) == 0;
}

/* Why no key is to be tried; JWT_OK: one is, at least. */
static enum jwt_status jwt_find_key(const struct jwt_keys *keys, const char *kid,
                                    enum jwt_algorithm algorithm)
{
    bool is_known = kid == NULL;
    for (uint32_t i = 0; i < keys->count; i++) {
        if (jwt_is_candidate(&keys->keys[i], kid)) {
            is_known = true;
            if (keys->keys[i].algorithm == algorithm) {
                return JWT_OK;
            }
        }
    }
    return is_known ? JWT_BAD_ALGORITHM : JWT_UNKNOWN_KEY;
}

static bool jwt_is_signed_by(const struct jwt_key *key, const char *token,
                             const struct jwt_parts *parts, struct jwt_check *check)
{
    uint8_t signature[JWT_ED25519_SIGNATURE_BYTES];
    int bytes =
        key_text_base64url(signature, sizeof signature, parts->signature, parts->signature_bytes);
    size_t signature_bytes = bytes < 0 ? 0 : (size_t)bytes;
    bool is_hmac = key->algorithm == JWT_HS256;
    check->budget->units_left -= is_hmac ? JWT_HS256_UNITS : JWT_EDDSA_UNITS;
    check->budget->checked_count++;
    return is_hmac
               ? jwt_hmac_is_right(key, token, parts->signed_bytes, signature, signature_bytes)
               : jwt_ed25519_is_right(key, token, parts->signed_bytes, signature, signature_bytes);
}

/* A token without kid may be of any key, a key without kid may be of any token: JWT_KEYS_MAX are
 * tried at most. */
static enum jwt_status jwt_check_signature(const struct jwt_keys *keys, const char *token,
                                           const struct jwt_parts *parts, const json_t *header,
                                           enum jwt_algorithm algorithm, struct jwt_check *check)
{
    const char *kid = json_string_value(json_object_get(header, "kid"));
    enum jwt_status status = jwt_find_key(keys, kid, algorithm);
    assert_always(keys->count <= JWT_KEYS_MAX);
    for (; status == JWT_OK && check->key_next < keys->count; check->key_next++) {
        const struct jwt_key *key = &keys->keys[check->key_next];
        if (key->algorithm != algorithm || !jwt_is_candidate(key, kid)) {
            continue;
        }
        if (check->budget->units_left <= 0) {
            return JWT_LATER;
        }
        if (jwt_is_signed_by(key, token, parts, check)) {
            check->is_right = true;
            return JWT_OK;
        }
    }
    return status == JWT_OK ? JWT_BAD_SIGNATURE : status;
}

/* A NumericDate, which may have a fraction. false: it is there and is none. */
static bool jwt_read_time(const json_t *claims, const char *name, bool *has_out, double *time_out)
{
    const json_t *value = json_object_get(claims, name);
    *has_out = value != NULL;
    *time_out = json_number_value(value);
    return value == NULL || (json_is_number(value) && *time_out >= 0 && *time_out <= JWT_TIME_MAX);
}

static bool jwt_is_for(const json_t *claims, const char *audience)
{
    const json_t *value = json_object_get(claims, "aud");
    if (value == NULL) {
        return true;
    }
    const char *one = json_string_value(value);
    bool is_ours = one != NULL && strcmp(one, audience) == 0;
    for (size_t i = 0; i < json_array_size(value); i++) {
        one = json_string_value(json_array_get(value, i));
        is_ours |= one != NULL && strcmp(one, audience) == 0;
    }
    return is_ours;
}

static enum jwt_status jwt_judge_claims(const struct jwt_keys *keys, const json_t *claims,
                                        uint64_t wall_s, uint64_t *expires_out)
{
    bool has_exp;
    bool has_nbf;
    double exp;
    double nbf;
    if (!jwt_read_time(claims, "exp", &has_exp, &exp) ||
        !jwt_read_time(claims, "nbf", &has_nbf, &nbf) || !has_exp) {
        return JWT_BAD_CLAIMS;
    }
    const char *issuer = json_string_value(json_object_get(claims, "iss"));
    if (keys->issuer != NULL && (issuer == NULL || strcmp(issuer, keys->issuer) != 0)) {
        return JWT_BAD_CLAIMS;
    }
    if (!jwt_is_for(claims, keys->audience)) {
        return JWT_BAD_CLAIMS;
    }
    *expires_out = (uint64_t)exp;
    if (*expires_out + JWT_LEEWAY_SECONDS <= wall_s) {
        return JWT_EXPIRED;
    }
    return has_nbf && (uint64_t)ceil(nbf) > wall_s + JWT_LEEWAY_SECONDS ? JWT_TOO_EARLY : JWT_OK;
}

/* The claims are not looked at before the signature is right. */
static enum jwt_status jwt_verify_parts(const struct jwt_keys *keys, const char *token,
                                        const struct jwt_parts *parts, const json_t *header,
                                        uint64_t wall_s, struct jwt_check *check,
                                        struct jwt_verdict *verdict)
{
    enum jwt_algorithm algorithm;
    enum jwt_status status = jwt_read_header(header, &algorithm);
    if (status == JWT_OK && !check->is_right) {
        status = jwt_check_signature(keys, token, parts, header, algorithm, check);
    }
    if (status != JWT_OK) {
        return status;
    }
    verdict->claims = jwt_load_part(parts->claims, parts->claims_bytes);
    if (verdict->claims == NULL) {
        return JWT_MALFORMED;
    }
    return jwt_judge_claims(keys, verdict->claims, wall_s, &verdict->expires_s);
}

enum jwt_status jwt_verify(const struct jwt_keys *keys, const char *token, size_t token_bytes,
                           uint64_t wall_s, struct jwt_check *check,
                           struct jwt_verdict *verdict_out)
{
    struct jwt_parts parts;
    struct jwt_verdict verdict = {0};
    if (token_bytes > JWT_BYTES_MAX || !jwt_split(token, token_bytes, &parts)) {
        return JWT_MALFORMED;
    }
    json_t *header = jwt_load_part(parts.header, parts.header_bytes);
    if (header == NULL) {
        return JWT_MALFORMED;
    }
    enum jwt_status status = jwt_verify_parts(keys, token, &parts, header, wall_s, check, &verdict);
    json_decref(header);
    if (status == JWT_OK) {
        assert_always(verdict.claims != NULL);
        assert_debug(verdict.expires_s + JWT_LEEWAY_SECONDS > wall_s);
        *verdict_out = verdict;
    } else {
        json_decref(verdict.claims);
    }
    return status;
}

const char *jwt_status_text(enum jwt_status status)
{
    static const char *const texts[JWT_STATUS_COUNT] = {
        [JWT_OK] = "ok",
        [JWT_MALFORMED] = "malformed token",
        [JWT_BAD_ALGORITHM] = "algorithm not accepted",
        [JWT_UNKNOWN_KEY] = "unknown key id",
        [JWT_BAD_SIGNATURE] = "wrong signature",
        [JWT_EXPIRED] = "token expired",
        [JWT_LATER] = "not checked yet",
        [JWT_TOO_EARLY] = "token not valid yet",
        [JWT_BAD_CLAIMS] = "token is for another issuer or audience, or has no exp",
    };
    assert_always((unsigned)status < JWT_STATUS_COUNT);
    return texts[status];
}
