/* No text that may hold a key is read out of bounds or hidden from key_text_holds; a value has one
 * text in base64url. Input: the text. */
#include <openssl/evp.h>
#include <string.h>

#include "codec/base/check.h"
#include "src/access/key_text.h"

#define FUZZ_VALUE_BYTES_MAX 96

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_key_text_base64url(const char *text, size_t text_bytes)
{
    uint8_t value[FUZZ_VALUE_BYTES_MAX];
    uint8_t again[FUZZ_VALUE_BYTES_MAX / 3 * 4 + 1];
    int bytes = key_text_base64url(value, sizeof value, text, text_bytes);
    assert_always(bytes >= -1 && bytes <= FUZZ_VALUE_BYTES_MAX);
    if (bytes < 0) {
        return;
    }
    EVP_EncodeBlock(again, value, bytes);
    for (size_t i = 0; i < text_bytes; i++) {
        uint8_t digit = again[i] == '+' ? '-' : again[i] == '/' ? '_' : again[i];
        assert_always((uint8_t)text[i] == digit);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct key_text text = {.at = (const char *)data, .bytes = size};
    char words[64];
    struct key_text trimmed = key_text_trim(text);
    assert_always(trimmed.bytes <= size);
    assert_always(trimmed.bytes == 0 || !key_text_is_blank(trimmed.at[trimmed.bytes - 1]));
    fuzz_key_text_base64url(text.at, size);
    (void)key_text_is_utf16(text);
    (void)key_text_is_der(text);
    for (int is_key = 0; is_key < 2; is_key++) {
        memset(words, 'x', sizeof words);
        bool is_known = key_text_recognise(text, is_key != 0, words, sizeof words);
        assert_always(!is_known || memchr(words, '\0', sizeof words) != NULL);
    }
    assert_always(size < 16 || key_text_holds(text, data + size - 16, 16));
    return 0;
}
