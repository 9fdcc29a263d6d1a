#include "codec/utf8.h"

#include <string.h>

#include "codec/base/check.h"

/*
 * A state inside a character is: how many bytes must follow (bits 16 and up) and the range of
 * the next one (low in bits 8-15, high in bits 0-7). RFC 3629 section 4 restricts the second
 * byte only, so every later one has the range of a plain continuation.
 */
#define UTF8_WITHIN(remaining, low, high) ((uint32_t)(remaining) << 16 | (low) << 8 | (high))

static uint32_t utf8_after_lead(uint8_t lead)
{
    if (lead < 0x80) {
        return UTF8_ACCEPT;
    }
    if (lead < 0xc2 || lead > 0xf4) {
        return UTF8_REJECT; /* A continuation, an overlong form, or above U+10FFFF. */
    }
    if (lead < 0xe0) {
        return UTF8_WITHIN(1, 0x80, 0xbf);
    }
    if (lead < 0xf0) {
        return UTF8_WITHIN(2, lead == 0xe0 ? 0xa0 : 0x80, lead == 0xed ? 0x9f : 0xbf);
    }
    return UTF8_WITHIN(3, lead == 0xf0 ? 0x90 : 0x80, lead == 0xf4 ? 0x8f : 0xbf);
}

static uint32_t utf8_after_continuation(uint32_t state, uint8_t byte)
{
    uint32_t remaining = state >> 16;
    assert_debug(remaining >= 1 && remaining <= 3);

    if (byte < (state >> 8 & 0xff) || byte > (state & 0xff)) {
        return UTF8_REJECT;
    }
    return remaining == 1 ? UTF8_ACCEPT : UTF8_WITHIN(remaining - 1, 0x80, 0xbf);
}

/* The length of the run of ASCII at the start, counted in whole words. */
static size_t utf8_ascii_words(const uint8_t *bytes, size_t bytes_count)
{
    size_t at = 0;
    for (; bytes_count - at >= sizeof(uint64_t); at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, bytes + at, sizeof word);
        if (word & UINT64_C(0x8080808080808080)) {
            break;
        }
    }
    return at;
}

uint32_t utf8_check(uint32_t state, const uint8_t *bytes, size_t bytes_count)
{
    size_t at = 0;
    while (at < bytes_count && state != UTF8_REJECT) {
        if (state != UTF8_ACCEPT) {
            state = utf8_after_continuation(state, bytes[at++]);
            continue;
        }
        if (bytes[at] < 0x80) {
            size_t skipped = utf8_ascii_words(bytes + at, bytes_count - at);
            at += skipped > 0 ? skipped : 1;
            continue;
        }
        state = utf8_after_lead(bytes[at++]);
    }
    return state;
}

static bool utf8_is_printable(uint32_t code)
{
    bool is_control = code < 0x20 || (code >= 0x7f && code <= 0x9f);
    bool is_line_end = code == 0x2028 || code == 0x2029;
    bool is_direction = code == 0x061c || code == 0x200e || code == 0x200f ||
                        (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
    return !is_control && !is_line_end && !is_direction;
}

struct utf8_character utf8_character_at(const char *text, size_t bytes_count)
{
    assert_always(bytes_count > 0);
    uint8_t first = (uint8_t)text[0];
    uint32_t bytes = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (bytes > bytes_count || !utf8_is_valid((const uint8_t *)text, bytes)) {
        return (struct utf8_character){.code = first, .bytes = 1};
    }
    assert_debug(bytes == 1 || first >= 0xc2);
    uint32_t code = bytes == 1 ? first : first & (0x7fu >> bytes);
    for (uint32_t i = 1; i < bytes; i++) {
        code = code << 6 | ((uint8_t)text[i] & 0x3f);
    }
    return (struct utf8_character){
        .code = code, .bytes = bytes, .is_valid = true, .is_printable = utf8_is_printable(code)};
}
