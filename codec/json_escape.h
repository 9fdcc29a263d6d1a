/*
 * json_escape: text inside a JSON string.
 *
 * Threads  A pure function.
 * Memory   The caller's: out holds JSON_ESCAPE_BYTES_MAX for each byte of the text.
 * Source   RFC 8259 section 7.
 */
#ifndef RINGCAST_CODEC_JSON_ESCAPE_H
#define RINGCAST_CODEC_JSON_ESCAPE_H

#include <stddef.h>

#define JSON_ESCAPE_BYTES_MAX 6 /* \u001f */

/* Writes the text, which is UTF-8, with control characters, quotes and backslashes escaped. Returns
 * where it ends. */
char *json_escape(char *out, const char *text, size_t text_bytes);

#endif
