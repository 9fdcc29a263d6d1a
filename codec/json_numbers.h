/*
 * json_numbers: numbers in JSON that a parser's int64 or double cannot represent.
 *
 * RFC 8259 section 6 sets no limit to a number, but jansson refuses the whole text because of one
 * number that it cannot represent, even in a field that is not used. When a caller's parser has
 * failed for that reason (jansson: json_error_numeric_overflow), the caller clamps a copy of the
 * text and parses again. A field with such a number is then a real number beyond each field's
 * range, and that field's own check reports it.
 *
 * Threads  Any: pure functions.
 * Memory   The caller's. Nothing is allocated.
 */
#ifndef RINGCAST_CODEC_JSON_NUMBERS_H
#define RINGCAST_CODEC_JSON_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>

/* Replaces, in place and outside of strings, each integer beyond int64 and each real number beyond
 * double by 1e308 or -1e308 and spaces. Every other byte stays as it is, and what is no JSON is
 * none afterwards. text[text_bytes] must be writable; it keeps its value. */
void json_numbers_clamp(char *text, size_t text_bytes);

/* A number as a string: NUL, and then the number's own text. */
#define JSON_NUMBERS_QUOTED_MAX(text_bytes) (5 * (text_bytes) + 8)

/* Copies the text to out, of JSON_NUMBERS_QUOTED_MAX bytes, with each number outside of strings as
 * such a string, so that a parser keeps it exactly; jansson then needs JSON_ALLOW_NUL. Returns the
 * length. What is no JSON is none afterwards. */
size_t json_numbers_quote(char *out, const char *text, size_t text_bytes);

/* Whether the text is one number, of any size, and nothing else. */
bool json_numbers_is_one(const char *text, size_t text_bytes);

#endif
