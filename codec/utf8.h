/*
 * utf8: validity of UTF-8 (RFC 3629: no surrogates, no overlong forms, up to U+10FFFF), and what of
 * it may be shown.
 */
#ifndef RINGCAST_CODEC_UTF8_H
#define RINGCAST_CODEC_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_ACCEPT 0
#define UTF8_REJECT 1

/* Continues from state (UTF8_ACCEPT at the start) and returns the new one: UTF8_ACCEPT at a
 * character boundary, UTF8_REJECT for ever after a fault, others inside a character. Rejects at
 * the first byte that cannot be valid any more. */
uint32_t utf8_check(uint32_t state, const uint8_t *bytes, size_t bytes_count);

static inline bool utf8_is_valid(const uint8_t *bytes, size_t bytes_count)
{
    return utf8_check(UTF8_ACCEPT, bytes, bytes_count) == UTF8_ACCEPT;
}

/* The character at the start of text, of which bytes_count is above 0. */
struct utf8_character {
    uint32_t code; /* the byte itself where is_valid is false */
    uint32_t bytes;
    bool is_valid;
    /* It neither steers a terminal (C0, DEL, C1) nor ends the line nor turns the order of what
     * stands around it (Unicode's bidirectional controls). */
    bool is_printable;
};

struct utf8_character utf8_character_at(const char *text, size_t bytes_count);

#endif
