/*
 * json_field: strings and numbers of JSON that json_numbers_quote() may have gone through.
 *
 * Threads  Pure functions.
 * Memory   What they return belongs to the value.
 * Source   codec/json_numbers.h: a number is a string that begins with NUL.
 */
#ifndef RINGCAST_FEEDS_JSON_FIELD_H
#define RINGCAST_FEEDS_JSON_FIELD_H

#include <jansson.h>
#include <string.h>

/* A string; NULL: something else, or it has a NUL. */
static inline const char *json_field_text(const json_t *value)
{
    const char *text = json_string_value(value);
    return text != NULL && strlen(text) == json_string_length(value) ? text : NULL;
}

/* The text of a quoted number, or of a string in its place; NULL: neither. */
static inline const char *json_field_number(const json_t *value, size_t *text_bytes_out)
{
    const char *text = json_string_value(value);
    size_t text_bytes = json_string_length(value);
    size_t mark_bytes = text_bytes > 0 && text[0] == '\0';
    *text_bytes_out = text_bytes - mark_bytes;
    return text == NULL ? NULL : text + mark_bytes;
}

#endif
