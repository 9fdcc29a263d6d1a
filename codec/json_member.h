/*
 * json_member: the text of a member of a JSON object, byte for byte as it was sent: what a parser
 * gives back has lost 1.50 and 1E5, and numbers that it cannot hold.
 *
 * Threads  Any: a pure function.
 * Memory   The value is a part of the text. Nothing is allocated, and no nesting is too deep.
 */
#ifndef RINGCAST_CODEC_JSON_MEMBER_H
#define RINGCAST_CODEC_JSON_MEMBER_H

#include <stdbool.h>
#include <stddef.h>

struct json_member {
    const char *text;
    size_t bytes;
};

/* Finds the value of the first member with this key. The key has letters and digits only, and may
 * be written with escapes. false: there is no such member, or the text is not an object as far as
 * it was read. What follows the value is not read, and the value is not checked: parse the text,
 * too. */
bool json_member_find(const char *text, size_t text_bytes, const char *key,
                      struct json_member *value_out);

#endif
