#include "codec/tls/tls_secret.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"

#define TLS_SALT_BYTES 4 /* of the nonce of AES-GCM, TLS 1.2 */
#define TLS_LABEL_BYTES_MAX 32
#define TLS_KEY_LABEL "key expansion"
#define TLS_SEED_BYTES (sizeof TLS_KEY_LABEL - 1 + 2 * TLS_RANDOM_BYTES)
#define TLS_BLOCK_BYTES_MAX (2 * (TLS_KEY_BYTES_MAX + TLS_IV_BYTES))

static size_t tls_key_bytes(enum tls_suite suite)
{
    return suite == TLS_AES_128_GCM ? 16 : 32;
}

static const EVP_MD *tls_digest(enum tls_suite suite)
{
    return suite == TLS_AES_256_GCM ? EVP_sha384() : EVP_sha256();
}

size_t tls_secret_bytes(enum tls_suite suite)
{
    assert_always(suite < TLS_SUITE_COUNT);
    return suite == TLS_AES_256_GCM ? 48 : 32;
}

/* A digest of the suite: tls_secret_bytes() of it. */
static bool tls_hmac(enum tls_suite suite, const uint8_t *key, size_t key_bytes,
                     const uint8_t *bytes, size_t count, uint8_t *out)
{
    return HMAC(tls_digest(suite), key, (int)key_bytes, bytes, count, out, NULL) != NULL;
}

/* HKDF-Expand-Label without a context, RFC 8446 section 7.1. What is wanted is never longer than
 * a digest: one round of HKDF-Expand. */
static bool tls_expand(enum tls_suite suite, const uint8_t *secret, const char *label, uint8_t *out,
                       size_t out_bytes)
{
    static const char prefix[] = "tls13 ";
    size_t secret_bytes = tls_secret_bytes(suite);
    size_t label_bytes = sizeof prefix - 1 + strlen(label);
    assert_always(label_bytes <= TLS_LABEL_BYTES_MAX);
    assert_always(out_bytes <= secret_bytes);
    uint8_t info[3 + TLS_LABEL_BYTES_MAX + 2];
    size_t count = 3;
    bytes_store_be16(info, (uint16_t)out_bytes);
    info[2] = (uint8_t)label_bytes;
    memcpy(info + count, prefix, sizeof prefix - 1);
    memcpy(info + count + sizeof prefix - 1, label, label_bytes - (sizeof prefix - 1));
    count += label_bytes;
    info[count++] = 0; /* bytes of context */
    info[count++] = 1; /* HKDF-Expand: the first round */
    uint8_t digest[EVP_MAX_MD_SIZE];
    bool is_done = tls_hmac(suite, secret, secret_bytes, info, count, digest);
    if (is_done) {
        memcpy(out, digest, out_bytes);
    }
    OPENSSL_cleanse(digest, sizeof digest);
    return is_done;
}

bool tls_secret_keys(struct tls_keys *keys_out, enum tls_suite suite, const uint8_t *secret,
                     size_t secret_bytes)
{
    *keys_out = (struct tls_keys){
        .suite = (uint8_t)suite, .version = TLS_1_3, .record_max = TLS_PLAIN_BYTES_MAX};
    bool is_done = secret_bytes == tls_secret_bytes(suite) &&
                   tls_expand(suite, secret, "key", keys_out->key, tls_key_bytes(suite)) &&
                   tls_expand(suite, secret, "iv", keys_out->iv, TLS_IV_BYTES);
    if (!is_done) {
        OPENSSL_cleanse(keys_out, sizeof *keys_out);
    }
    return is_done;
}

bool tls_secret_update(struct tls_keys *keys, uint8_t secret[TLS_SECRET_BYTES_MAX])
{
    enum tls_suite suite = keys->suite;
    size_t secret_bytes = tls_secret_bytes(suite);
    struct tls_keys next;
    assert_always(keys->version == TLS_1_3);
    bool is_done = tls_expand(suite, secret, "traffic upd", secret, secret_bytes) &&
                   tls_secret_keys(&next, suite, secret, secret_bytes);
    if (is_done) {
        next.record_max = keys->record_max;
        *keys = next;
    }
    OPENSSL_cleanse(&next, sizeof next);
    return is_done;
}

/* The key block of TLS 1.2: P_hash of RFC 5246 section 5, with label and randoms as its seed. */
static bool tls_key_block(enum tls_suite suite, const uint8_t master[TLS_SECRET_BYTES_MAX],
                          const uint8_t seed[TLS_SEED_BYTES], uint8_t out[TLS_BLOCK_BYTES_MAX])
{
    uint8_t step[TLS_SECRET_BYTES_MAX + TLS_SEED_BYTES]; /* A(i), then the seed */
    uint8_t digest[TLS_SECRET_BYTES_MAX] = {0};
    size_t digest_bytes = tls_secret_bytes(suite);
    memcpy(step + digest_bytes, seed, TLS_SEED_BYTES);
    bool is_done = tls_hmac(suite, master, TLS_SECRET_BYTES_MAX, seed, TLS_SEED_BYTES, step);
    for (size_t at = 0; is_done && at < TLS_BLOCK_BYTES_MAX; at += digest_bytes) {
        size_t left = TLS_BLOCK_BYTES_MAX - at;
        is_done = tls_hmac(suite, master, TLS_SECRET_BYTES_MAX, step, digest_bytes + TLS_SEED_BYTES,
                           digest) &&
                  tls_hmac(suite, master, TLS_SECRET_BYTES_MAX, step, digest_bytes, step);
        memcpy(out + at, digest, left < digest_bytes ? left : digest_bytes);
    }
    OPENSSL_cleanse(step, sizeof step);
    OPENSSL_cleanse(digest, sizeof digest);
    return is_done;
}

/* RFC 5246 section 6.3: keys of the client and the server, then their ivs. No keys of a MAC. */
bool tls_secret_keys_12(struct tls_keys *client_out, struct tls_keys *server_out,
                        enum tls_suite suite, const uint8_t master[TLS_SECRET_BYTES_MAX],
                        const uint8_t client_random[TLS_RANDOM_BYTES],
                        const uint8_t server_random[TLS_RANDOM_BYTES])
{
    uint8_t seed[TLS_SEED_BYTES];
    uint8_t block[TLS_BLOCK_BYTES_MAX];
    size_t key_bytes = tls_key_bytes(suite);
    size_t iv_bytes = suite == TLS_CHACHA20_POLY1305 ? TLS_IV_BYTES : TLS_SALT_BYTES;
    memcpy(seed, TLS_KEY_LABEL, sizeof TLS_KEY_LABEL - 1);
    memcpy(seed + sizeof TLS_KEY_LABEL - 1, server_random, TLS_RANDOM_BYTES);
    memcpy(seed + TLS_SEED_BYTES - TLS_RANDOM_BYTES, client_random, TLS_RANDOM_BYTES);
    *client_out = (struct tls_keys){
        .seq = 1, .suite = (uint8_t)suite, .version = TLS_1_2, .record_max = TLS_PLAIN_BYTES_MAX};
    *server_out = *client_out;
    bool is_done = tls_key_block(suite, master, seed, block);
    if (is_done) {
        memcpy(client_out->key, block, key_bytes);
        memcpy(server_out->key, block + key_bytes, key_bytes);
        memcpy(client_out->iv, block + 2 * key_bytes, iv_bytes);
        memcpy(server_out->iv, block + 2 * key_bytes + iv_bytes, iv_bytes);
    } else {
        OPENSSL_cleanse(client_out, sizeof *client_out);
        OPENSSL_cleanse(server_out, sizeof *server_out);
    }
    OPENSSL_cleanse(block, sizeof block);
    return is_done;
}
