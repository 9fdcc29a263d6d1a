/* base64url: bytes as the parts of a token have them (RFC 4648 section 5, without padding). */
#ifndef RINGCAST_TESTS_BASE64URL_H
#define RINGCAST_TESTS_BASE64URL_H

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

/* out has room for 4 / 3 of the bytes and 5 more. Returns the length without the terminator. */
static inline size_t base64url_encode(char *out, const void *bytes, size_t count)
{
    int length = EVP_EncodeBlock((uint8_t *)out, bytes, (int)count);
    for (int i = 0; i < length; i++) {
        out[i] = out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i];
    }
    while (length > 0 && out[length - 1] == '=') {
        length--;
    }
    out[length] = '\0';
    return (size_t)length;
}

#endif
