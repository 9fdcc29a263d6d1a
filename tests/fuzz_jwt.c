/* No token is read out of bounds, and none that was not signed is accepted; no file of keys opens
 * to someone who has the file. Input: a token, which is put between a good header and a good
 * signature's place, too; and a file of keys or a secret. */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "src/access/jwt.h"

#define AT_ONCE                                                                                    \
    &(struct jwt_check)                                                                            \
    {                                                                                              \
        .budget = &unlimited                                                                       \
    }

static struct jwt_budget unlimited = {.units_left = INT64_MAX};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whether a token that is signed with data is accepted. */
static bool fuzz_opens(const struct jwt_keys *keys, const uint8_t *data, size_t size)
{
    char token[200] = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE4MDAwMDA2MDB9";
    uint8_t signature[EVP_MAX_MD_SIZE];
    unsigned int signature_bytes;
    size_t at = strlen(token);
    HMAC(EVP_sha256(), data, (int)size, (uint8_t *)token, at, signature, &signature_bytes);
    token[at++] = '.';
    size_t end =
        at + (size_t)EVP_EncodeBlock((uint8_t *)token + at, signature, (int)signature_bytes);
    for (; at < end; at++) {
        token[at] = token[at] == '+' ? '-' : token[at] == '/' ? '_' : token[at];
    }
    end -= token[end - 1] == '=';
    struct jwt_verdict verdict;
    enum jwt_status status = jwt_verify(keys, token, end, 1800000000, AT_ONCE, &verdict);
    if (status == JWT_OK) {
        json_decref(verdict.claims);
    }
    return status == JWT_OK;
}

static void fuzz_files(const uint8_t *data, size_t size)
{
    struct jwt_keys keys = {.audience = "ringcast"};
    char error[512];
    char *copy = malloc(size);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    int status = jwt_keys_load(&keys, copy, size, error, sizeof error);
    assert_always(status == 0 ? keys.count > 0 && keys.count <= JWT_KEYS_MAX : keys.count == 0);
    assert_always(!fuzz_opens(&keys, data, size));
    bool is_key = status == 0;
    jwt_keys_deinit(&keys);
    status = jwt_keys_load_secret(&keys, copy, size, error, sizeof error);
    assert_always(keys.count == (status == 0));
    assert_always(!is_key || status < 0);
    jwt_keys_deinit(&keys);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct jwt_keys keys;
    static const char secret[] = "0123456789abcdef0123456789abcdef";
    char error[512];
    if (keys.count == 0) {
        keys.audience = "ringcast";
        assert_always(jwt_keys_load_secret(&keys, secret, sizeof secret - 1, error, sizeof error) ==
                      0);
    }
    struct jwt_verdict verdict;
    assert_always(jwt_verify(&keys, (const char *)data, size, 1800000000, AT_ONCE, &verdict) !=
                  JWT_OK);
    char text[2 * JWT_BYTES_MAX];
    if (size < JWT_BYTES_MAX) {
        int bytes = snprintf(text, sizeof text, "eyJhbGciOiJIUzI1NiJ9.%.*s.e30", (int)size,
                             (const char *)data);
        assert_always(jwt_verify(&keys, text, (size_t)bytes, 1800000000, AT_ONCE, &verdict) !=
                      JWT_OK);
    }
    fuzz_files(data, size);
    return 0;
}
