#include "tools/common/terminal_text.h"

#include <string.h>

#include "codec/base/check.h"
#include "codec/utf8.h"

#define TERMINAL_TEXT_ESCAPE_BYTES 8 /* "\uNNNN" and its end */

/* How many bytes at the start go as they are. */
static size_t terminal_text_plain(const char *text, size_t text_bytes)
{
    size_t count = 0;
    while (count < text_bytes) {
        struct utf8_character at = utf8_character_at(text + count, text_bytes - count);
        if (!at.is_printable) {
            break;
        }
        count += at.bytes;
    }
    return count;
}

/* Returns how many bytes of text it stands for. */
static size_t terminal_text_escape(char out[TERMINAL_TEXT_ESCAPE_BYTES], const char *text,
                                   size_t text_bytes)
{
    struct utf8_character at = utf8_character_at(text, text_bytes);
    assert_always(at.code <= 0xffff);
    snprintf(out, TERMINAL_TEXT_ESCAPE_BYTES,
             at.code < 0x80 || !at.is_valid ? "\\x%02x" : "\\u%04x", at.code);
    return at.bytes;
}

void terminal_text_print(FILE *out, const void *text, size_t text_bytes)
{
    const char *at = text;
    const char *end = at + text_bytes;
    char escape[TERMINAL_TEXT_ESCAPE_BYTES];
    while (at < end) {
        size_t plain = terminal_text_plain(at, (size_t)(end - at));
        fwrite(at, 1, plain, out);
        at += plain;
        if (at < end) {
            at += terminal_text_escape(escape, at, (size_t)(end - at));
            fputs(escape, out);
        }
    }
}

void terminal_text_copy(char *out, size_t out_bytes, const void *text, size_t text_bytes)
{
    const char *at = text;
    const char *end = at + text_bytes;
    char piece[TERMINAL_TEXT_ESCAPE_BYTES];
    size_t used = 0;
    assert_always(out_bytes > 0);
    while (at < end) {
        struct utf8_character character = utf8_character_at(at, (size_t)(end - at));
        if (character.is_printable) {
            memcpy(piece, at, character.bytes);
            piece[character.bytes] = '\0';
            at += character.bytes;
        } else {
            at += terminal_text_escape(piece, at, (size_t)(end - at));
        }
        size_t bytes = strlen(piece);
        if (used + bytes >= out_bytes) {
            break;
        }
        memcpy(out + used, piece, bytes);
        used += bytes;
    }
    out[used] = '\0';
}
