#include "src/jwt.h"

#include <errno.h>
#include <math.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>

#include "codec/base/check.h"

#define JWT_HMAC_BYTES 32
#define JWT_ED25519_KEY_BYTES 32
#define JWT_ED25519_SIGNATURE_BYTES 64
#define JWT_TIME_MAX 1e12 /* seconds: later is no time, but a mistake */
#define JWT_BRACKETS_MAX 64

/* ---- base64url ---- */

static int jwt_digit(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* base64url without padding (RFC 7515 section 2); one text for one value: unused bits are 0.
 * Returns the length, -1: it is not that, or longer than out. */
static int jwt_decode(uint8_t *out, size_t out_bytes, const char *text, size_t text_bytes)
{
    uint32_t bits = 0;
    uint32_t bit_count = 0;
    size_t count = 0;
    if (text_bytes % 4 == 1) {
        return -1;
    }
    for (size_t i = 0; i < text_bytes; i++) {
        int digit = jwt_digit(text[i]);
        if (digit < 0) {
            return -1;
        }
        bits = bits << 6 | (uint32_t)digit;
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            if (count == out_bytes) {
                return -1;
            }
            out[count++] = (uint8_t)(bits >> bit_count);
            bits &= (1u << bit_count) - 1;
        }
    }
    return bits == 0 ? (int)count : -1;
}

/* ---- Keys ---- */

static void jwt_say(char *error_out, size_t error_bytes, const char *text)
{
    snprintf(error_out, error_bytes, "%s", text);
}

static int jwt_add_secret(struct jwt_keys *keys, const char *kid, const uint8_t *secret,
                          size_t secret_bytes, char *error_out, size_t error_bytes)
{
    if (secret_bytes < JWT_SECRET_BYTES_MIN || secret_bytes > JWT_SECRET_BYTES_MAX) {
        snprintf(
            error_out, error_bytes,
            "a secret for HS256 has %d to %d bytes, this one %zu; `openssl rand -hex 32` makes "
            "a good one",
            JWT_SECRET_BYTES_MIN, JWT_SECRET_BYTES_MAX, secret_bytes);
        return -EINVAL;
    }
    struct jwt_key *key = &keys->keys[keys->count++];
    key->algorithm = JWT_HS256;
    snprintf(key->kid, sizeof key->kid, "%s", kid);
    memcpy(key->secret, secret, secret_bytes);
    key->secret_bytes = secret_bytes;
    return 0;
}

static int jwt_add_public_key(struct jwt_keys *keys, const char *kid, EVP_PKEY *public_key,
                              char *error_out, size_t error_bytes)
{
    ERR_clear_error();
    if (public_key == NULL || EVP_PKEY_get_id(public_key) != EVP_PKEY_ED25519) {
        jwt_say(error_out, error_bytes,
                "it is no Ed25519 public key; `openssl genpkey -algorithm ed25519` and "
                "`openssl pkey -pubout` make one");
        EVP_PKEY_free(public_key);
        return -EINVAL;
    }
    struct jwt_key *key = &keys->keys[keys->count++];
    key->algorithm = JWT_EDDSA;
    snprintf(key->kid, sizeof key->kid, "%s", kid);
    key->public_key = public_key;
    return 0;
}

static int jwt_load_pem(struct jwt_keys *keys, const char *text, size_t text_bytes, char *error_out,
                        size_t error_bytes)
{
    BIO *bio = BIO_new_mem_buf(text, (int)text_bytes);
    EVP_PKEY *public_key = bio == NULL ? NULL : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    BIO_free(bio);
    return jwt_add_public_key(keys, "", public_key, error_out, error_bytes);
}

/* One of a JWK set (RFC 7517; RFC 8037 for OKP). */
static int jwt_load_jwk(struct jwt_keys *keys, const json_t *jwk, char *error_out,
                        size_t error_bytes)
{
    const char *type = json_string_value(json_object_get(jwk, "kty"));
    const char *kid = json_string_value(json_object_get(jwk, "kid"));
    bool is_secret = type != NULL && strcmp(type, "oct") == 0;
    bool is_public = type != NULL && strcmp(type, "OKP") == 0;
    const json_t *value = json_object_get(jwk, is_secret ? "k" : "x");
    uint8_t bytes[JWT_SECRET_BYTES_MAX];
    kid = kid == NULL ? "" : kid;
    if (keys->count == JWT_KEYS_MAX || strlen(kid) > JWT_KID_BYTES_MAX) {
        snprintf(error_out, error_bytes, "at most %d keys, and a kid of %d bytes", JWT_KEYS_MAX,
                 JWT_KID_BYTES_MAX);
        return -EINVAL;
    }
    int count = json_is_string(value) ? jwt_decode(bytes, sizeof bytes, json_string_value(value),
                                                   json_string_length(value))
                                      : -1;
    if ((!is_secret && !is_public) || count < 0) {
        jwt_say(error_out, error_bytes,
                "a key has kty \"oct\" and k, or kty \"OKP\", crv \"Ed25519\" and x, in base64url");
        return -EINVAL;
    }
    int error;
    if (is_secret) {
        error = jwt_add_secret(keys, kid, bytes, (size_t)count, error_out, error_bytes);
    } else {
        EVP_PKEY *public_key =
            count == JWT_ED25519_KEY_BYTES
                ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, bytes, (size_t)count)
                : NULL;
        error = jwt_add_public_key(keys, kid, public_key, error_out, error_bytes);
    }
    OPENSSL_cleanse(bytes, sizeof bytes);
    return error;
}

static int jwt_load_set(struct jwt_keys *keys, const char *text, size_t text_bytes, char *error_out,
                        size_t error_bytes)
{
    json_error_t fault;
    json_t *root = json_loadb(text, text_bytes, JSON_REJECT_DUPLICATES, &fault);
    const json_t *list = json_object_get(root, "keys");
    int error = json_array_size(list) > 0 ? 0 : -EINVAL;
    if (error < 0) {
        jwt_say(error_out, error_bytes, "a JWK set is {\"keys\":[...]} with at least one key");
    }
    for (size_t i = 0; error == 0 && i < json_array_size(list); i++) {
        error = jwt_load_jwk(keys, json_array_get(list, i), error_out, error_bytes);
    }
    json_decref(root);
    return error;
}

int jwt_keys_load(struct jwt_keys *keys, const char *text, size_t text_bytes, char *error_out,
                  size_t error_bytes)
{
    static const char pem[] = "-----BEGIN ";
    while (text_bytes > 0 && strchr(" \t\r\n", text[text_bytes - 1]) != NULL) {
        text_bytes--;
    }
    if (text_bytes > 0 && text[0] == '{') {
        return jwt_load_set(keys, text, text_bytes, error_out, error_bytes);
    }
    /* A PEM is a key of its own kind or a fault, but never a secret: the public key as a secret is
     * how algorithms are confused. */
    if (text_bytes >= sizeof pem - 1 && memcmp(text, pem, sizeof pem - 1) == 0) {
        return jwt_load_pem(keys, text, text_bytes, error_out, error_bytes);
    }
    return jwt_add_secret(keys, "", (const uint8_t *)text, text_bytes, error_out, error_bytes);
}

void jwt_keys_deinit(struct jwt_keys *keys)
{
    for (uint32_t i = 0; i < keys->count; i++) {
        EVP_PKEY_free(keys->keys[i].public_key);
    }
    OPENSSL_cleanse(keys->keys, sizeof keys->keys);
    keys->count = 0;
}

/* ---- Verifying ---- */

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
    return true;
}

/* Recursion in the parser is bounded by what it is given. */
static bool jwt_is_shallow(const uint8_t *json, size_t json_bytes)
{
    uint32_t opened = 0;
    for (size_t i = 0; i < json_bytes; i++) {
        opened += json[i] == '{' || json[i] == '[';
    }
    return opened <= JWT_BRACKETS_MAX;
}

/* An object out of a part, or NULL. */
static json_t *jwt_load_part(const char *text, size_t text_bytes)
{
    uint8_t json[JWT_BYTES_MAX];
    int bytes = jwt_decode(json, sizeof json, text, text_bytes);
    if (bytes <= 0 || !jwt_is_shallow(json, (size_t)bytes)) {
        return NULL;
    }
    json_t *root = json_loadb((const char *)json, (size_t)bytes, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(root)) {
        json_decref(root);
        return NULL;
    }
    return root;
}

/* The key that a header is about. A header without kid is about the first key of its algorithm;
 * "crit" names extensions we would have to understand (RFC 7515 section 4.1.11). */
static enum jwt_status jwt_choose_key(const struct jwt_keys *keys, const json_t *header,
                                      const struct jwt_key **key_out)
{
    const char *name = json_string_value(json_object_get(header, "alg"));
    const json_t *kid = json_object_get(header, "kid");
    enum jwt_algorithm algorithm = JWT_HS256;
    if (name == NULL || (kid != NULL && !json_is_string(kid)) ||
        json_object_get(header, "crit") != NULL) {
        return JWT_MALFORMED;
    }
    if (strcmp(name, "EdDSA") == 0) {
        algorithm = JWT_EDDSA;
    } else if (strcmp(name, "HS256") != 0) {
        return JWT_BAD_ALGORITHM;
    }
    enum jwt_status status = kid == NULL ? JWT_BAD_ALGORITHM : JWT_UNKNOWN_KEY;
    for (uint32_t i = 0; i < keys->count; i++) {
        const struct jwt_key *key = &keys->keys[i];
        bool is_named =
            kid == NULL || key->kid[0] == '\0' || strcmp(key->kid, json_string_value(kid)) == 0;
        if (is_named && key->algorithm == algorithm) {
            *key_out = key;
            return JWT_OK;
        }
        status = is_named ? JWT_BAD_ALGORITHM : status;
    }
    return status;
}

static bool jwt_hmac_is_right(const struct jwt_key *key, const char *text, size_t text_bytes,
                              const uint8_t *signature, size_t signature_bytes)
{
    uint8_t right[EVP_MAX_MD_SIZE];
    unsigned int right_bytes = 0;
    return HMAC(EVP_sha256(), key->secret, (int)key->secret_bytes, (const uint8_t *)text,
                text_bytes, right, &right_bytes) != NULL &&
           right_bytes == JWT_HMAC_BYTES && signature_bytes == JWT_HMAC_BYTES &&
           CRYPTO_memcmp(right, signature, JWT_HMAC_BYTES) == 0;
}

static bool jwt_ed25519_is_right(const struct jwt_key *key, const char *text, size_t text_bytes,
                                 const uint8_t *signature, size_t signature_bytes)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_right = context != NULL && signature_bytes == JWT_ED25519_SIGNATURE_BYTES &&
                    EVP_DigestVerifyInit(context, NULL, NULL, NULL, key->public_key) == 1 &&
                    EVP_DigestVerify(context, signature, signature_bytes, (const uint8_t *)text,
                                     text_bytes) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return is_right;
}

static bool jwt_signature_is_right(const struct jwt_key *key, const char *token,
                                   const struct jwt_parts *parts)
{
    uint8_t signature[JWT_ED25519_SIGNATURE_BYTES];
    int bytes = jwt_decode(signature, sizeof signature, parts->signature, parts->signature_bytes);
    if (bytes < 0) {
        return false;
    }
    return key->algorithm == JWT_HS256
               ? jwt_hmac_is_right(key, token, parts->signed_bytes, signature, (size_t)bytes)
               : jwt_ed25519_is_right(key, token, parts->signed_bytes, signature, (size_t)bytes);
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
                                        uint64_t wall_s, struct jwt_verdict *verdict)
{
    const struct jwt_key *key = NULL;
    enum jwt_status status = jwt_choose_key(keys, header, &key);
    if (status != JWT_OK) {
        return status;
    }
    if (!jwt_signature_is_right(key, token, parts)) {
        return JWT_BAD_SIGNATURE;
    }
    verdict->claims = jwt_load_part(parts->claims, parts->claims_bytes);
    if (verdict->claims == NULL) {
        return JWT_MALFORMED;
    }
    return jwt_judge_claims(keys, verdict->claims, wall_s, &verdict->expires_s);
}

enum jwt_status jwt_verify(const struct jwt_keys *keys, const char *token, size_t token_bytes,
                           uint64_t wall_s, struct jwt_verdict *verdict_out)
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
    enum jwt_status status = jwt_verify_parts(keys, token, &parts, header, wall_s, &verdict);
    json_decref(header);
    if (status == JWT_OK) {
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
        [JWT_TOO_EARLY] = "token not valid yet",
        [JWT_BAD_CLAIMS] = "token is for another issuer or audience, or has no exp",
    };
    assert_always((unsigned)status < JWT_STATUS_COUNT);
    return texts[status];
}
