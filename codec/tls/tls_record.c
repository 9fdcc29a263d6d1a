#include "codec/tls/tls_record.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"

/* What is authenticated besides: of TLS 1.3 the header, of TLS 1.2 the number as well. */
#define TLS_AAD_BYTES_MAX 13

struct tls_ciphers {
    EVP_CIPHER_CTX *seal[TLS_SUITE_COUNT];
    EVP_CIPHER_CTX *open[TLS_SUITE_COUNT];
};

static const char *const tls_cipher_names[TLS_SUITE_COUNT] = {
    [TLS_AES_128_GCM] = "AES-128-GCM",
    [TLS_AES_256_GCM] = "AES-256-GCM",
    [TLS_CHACHA20_POLY1305] = "ChaCha20-Poly1305",
};

static int tls_cipher_make(EVP_CIPHER_CTX **context_out, const EVP_CIPHER *cipher, int is_seal)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    if (context == NULL) {
        return -ENOMEM;
    }
    *context_out = context;
    return EVP_CipherInit_ex(context, cipher, NULL, NULL, NULL, is_seal) == 1 ? 0 : -ENOTSUP;
}

int tls_ciphers_open(struct tls_ciphers **ciphers_out)
{
    struct tls_ciphers *ciphers = calloc(1, sizeof *ciphers);
    int error = ciphers == NULL ? -ENOMEM : 0;
    for (uint32_t suite = 0; error == 0 && suite < TLS_SUITE_COUNT; suite++) {
        EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, tls_cipher_names[suite], NULL);
        error = cipher == NULL ? -ENOTSUP : tls_cipher_make(&ciphers->seal[suite], cipher, 1);
        error = error < 0 ? error : tls_cipher_make(&ciphers->open[suite], cipher, 0);
        EVP_CIPHER_free(cipher); /* The contexts have references of their own. */
    }
    if (error < 0) {
        tls_ciphers_close(ciphers);
        return error;
    }
    *ciphers_out = ciphers;
    return 0;
}

void tls_ciphers_close(struct tls_ciphers *ciphers)
{
    for (uint32_t suite = 0; ciphers != NULL && suite < TLS_SUITE_COUNT; suite++) {
        EVP_CIPHER_CTX_free(ciphers->seal[suite]);
        EVP_CIPHER_CTX_free(ciphers->open[suite]);
    }
    free(ciphers);
}

void tls_ciphers_forget(struct tls_ciphers *ciphers)
{
    static const uint8_t zeroes[TLS_KEY_BYTES_MAX];
    for (uint32_t suite = 0; suite < TLS_SUITE_COUNT; suite++) {
        int sealed = EVP_CipherInit_ex(ciphers->seal[suite], NULL, NULL, zeroes, zeroes, -1);
        int opened = EVP_CipherInit_ex(ciphers->open[suite], NULL, NULL, zeroes, zeroes, -1);
        assert_always(sealed == 1);
        assert_always(opened == 1);
    }
}

static bool tls_is_explicit(const struct tls_keys *keys)
{
    return tls_record_front(keys) > TLS_HEADER_BYTES;
}

/* RFC 8446 section 5.3, and RFC 7905: the iv with the number in its last bytes. RFC 5288: a salt,
 * then what is in the record. */
static void tls_nonce(const struct tls_keys *keys, const uint8_t *record,
                      uint8_t nonce_out[TLS_IV_BYTES])
{
    uint8_t *tail = nonce_out + TLS_IV_BYTES - sizeof keys->seq;
    memcpy(nonce_out, keys->iv, TLS_IV_BYTES);
    if (tls_is_explicit(keys)) {
        memcpy(tail, record + TLS_HEADER_BYTES, TLS_EXPLICIT_BYTES);
    } else {
        bytes_store_be64(tail, bytes_load_be64(tail) ^ keys->seq);
    }
}

/* RFC 8446 section 5.2; RFC 5246 section 6.2.3.3. */
static int tls_aad(const struct tls_keys *keys, const uint8_t *record, size_t plain_bytes,
                   uint8_t aad_out[TLS_AAD_BYTES_MAX])
{
    if (keys->version == TLS_1_3) {
        memcpy(aad_out, record, TLS_HEADER_BYTES);
        return TLS_HEADER_BYTES;
    }
    bytes_store_be64(aad_out, keys->seq);
    memcpy(aad_out + 8, record, 3); /* type and version */
    bytes_store_be16(aad_out + 11, (uint16_t)plain_bytes);
    return TLS_AAD_BYTES_MAX;
}

/* Encrypts or decrypts count bytes at the record's front in place; the tag is behind them. */
static bool tls_crypt(struct tls_ciphers *ciphers, const struct tls_keys *keys, bool is_seal,
                      uint8_t *record, size_t count)
{
    assert_always(keys->suite < TLS_SUITE_COUNT);
    assert_always(count <= TLS_RECORD_BYTES_MAX);
    EVP_CIPHER_CTX *context = is_seal ? ciphers->seal[keys->suite] : ciphers->open[keys->suite];
    uint8_t *bytes = record + tls_record_front(keys);
    uint8_t nonce[TLS_IV_BYTES];
    uint8_t aad[TLS_AAD_BYTES_MAX];
    tls_nonce(keys, record, nonce);
    int aad_bytes = tls_aad(keys, record, count, aad);
    int written;
    if (EVP_CipherInit_ex(context, NULL, NULL, keys->key, nonce, -1) != 1 ||
        EVP_CipherUpdate(context, NULL, &written, aad, aad_bytes) != 1 ||
        EVP_CipherUpdate(context, bytes, &written, bytes, (int)count) != 1) {
        return false;
    }
    if (is_seal) {
        return EVP_CipherFinal_ex(context, bytes + count, &written) == 1 &&
               EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TLS_TAG_BYTES, bytes + count) ==
                   1;
    }
    return EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TLS_TAG_BYTES, bytes + count) == 1 &&
           EVP_CipherFinal_ex(context, bytes + count, &written) == 1;
}

size_t tls_record_seal(struct tls_ciphers *ciphers, struct tls_keys *keys, enum tls_type type,
                       uint8_t *record, size_t plain_bytes)
{
    assert_always(keys->record_max <= TLS_PLAIN_BYTES_MAX);
    assert_always(plain_bytes <= keys->record_max);
    assert_always(keys->seq < UINT64_MAX);
    size_t record_bytes = tls_record_bytes(keys, plain_bytes);
    size_t front = tls_record_front(keys);
    size_t inner_bytes = plain_bytes;
    record[0] = (uint8_t)type;
    if (keys->version == TLS_1_3) {
        record[0] = TLS_APPLICATION_DATA;
        record[front + inner_bytes++] = (uint8_t)type;
    }
    record[1] = 3;
    record[2] = 3;
    bytes_store_be16(record + 3, (uint16_t)(record_bytes - TLS_HEADER_BYTES));
    if (tls_is_explicit(keys)) {
        uint64_t first = bytes_load_be64(keys->iv + TLS_IV_BYTES - TLS_EXPLICIT_BYTES);
        bytes_store_be64(record + TLS_HEADER_BYTES, first + keys->seq);
    }
    if (!tls_crypt(ciphers, keys, true, record, inner_bytes)) {
        return 0;
    }
    keys->seq++;
    return record_bytes;
}

enum tls_status tls_record_length(const struct tls_keys *keys, const uint8_t *bytes, size_t count,
                                  size_t *record_bytes_out)
{
    if (count < TLS_HEADER_BYTES) {
        return TLS_NEED_MORE;
    }
    size_t record_bytes = TLS_HEADER_BYTES + (size_t)bytes_load_be16(bytes + 3);
    bool is_13 = keys->version == TLS_1_3;
    if (bytes[1] != 3) {
        return TLS_MALFORMED;
    }
    if (is_13 ? bytes[0] != TLS_APPLICATION_DATA
              : bytes[0] < TLS_CHANGE_CIPHER_SPEC || bytes[0] > TLS_APPLICATION_DATA) {
        return TLS_UNEXPECTED;
    }
    if (record_bytes > (is_13 ? TLS_RECORD_BYTES_MAX_13 : TLS_RECORD_BYTES_MAX_12)) {
        return TLS_TOO_LONG;
    }
    if (record_bytes < tls_record_bytes(keys, 0)) {
        return TLS_MALFORMED;
    }
    *record_bytes_out = record_bytes;
    return TLS_OK;
}

/* TLS 1.3: the type is the last byte that is not zero. */
static bool tls_strip(struct tls_plain *plain)
{
    while (plain->count > 0 && plain->bytes[plain->count - 1] == 0) {
        plain->count--;
    }
    if (plain->count == 0) {
        return false;
    }
    plain->type = plain->bytes[--plain->count];
    return plain->type >= TLS_CHANGE_CIPHER_SPEC && plain->type <= TLS_APPLICATION_DATA;
}

enum tls_status tls_record_open(struct tls_ciphers *ciphers, struct tls_keys *keys, uint8_t *record,
                                size_t record_bytes, struct tls_plain *plain_out)
{
    size_t length = 0;
    enum tls_status status = tls_record_length(keys, record, record_bytes, &length);
    if (status != TLS_OK) {
        return status;
    }
    assert_always(length == record_bytes);
    size_t front = tls_record_front(keys);
    size_t count = record_bytes - front - TLS_TAG_BYTES;
    if (!tls_crypt(ciphers, keys, false, record, count)) {
        return TLS_BAD_MAC;
    }
    struct tls_plain plain = {.type = record[0], .bytes = record + front, .count = count};
    if (count > TLS_PLAIN_BYTES_MAX + (keys->version == TLS_1_3 ? 1 : 0)) {
        return TLS_TOO_LONG;
    }
    if (keys->version == TLS_1_3 && !tls_strip(&plain)) {
        return TLS_UNEXPECTED;
    }
    keys->seq++;
    *plain_out = plain;
    return TLS_OK;
}
