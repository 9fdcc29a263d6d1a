/* No token is read out of bounds, and none that was not signed is accepted. Input: a token; when
 * it has no dot, it is put between a good header and a good signature's place. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "src/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct jwt_keys keys;
    static const char secret[] = "0123456789abcdef0123456789abcdef";
    char error[256];
    if (keys.count == 0) {
        keys.audience = "ringcast";
        assert_always(jwt_keys_load(&keys, secret, sizeof secret - 1, error, sizeof error) == 0);
    }
    struct jwt_verdict verdict;
    assert_always(jwt_verify(&keys, (const char *)data, size, 1800000000, &verdict) != JWT_OK);
    char text[2 * JWT_BYTES_MAX];
    if (size < JWT_BYTES_MAX) {
        int bytes = snprintf(text, sizeof text, "eyJhbGciOiJIUzI1NiJ9.%.*s.e30", (int)size,
                             (const char *)data);
        assert_always(jwt_verify(&keys, text, (size_t)bytes, 1800000000, &verdict) != JWT_OK);
    }
    char *copy = strndup((const char *)data, size);
    struct jwt_keys loaded = {.audience = "ringcast"};
    if (jwt_keys_load(&loaded, copy, strlen(copy), error, sizeof error) == 0) {
        assert_always(loaded.count > 0 && loaded.count <= JWT_KEYS_MAX);
    }
    jwt_keys_deinit(&loaded);
    free(copy);
    return 0;
}
