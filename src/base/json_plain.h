/*
 * json_plain: parses most messages in a fifth of the time that jansson needs.
 *
 * It knows objects, arrays, true, false, null, strings of printable ASCII without a backslash, and
 * integers of up to 18 digits. It makes no judgement: it leaves everything else, and all that is
 * wrong, to jansson.
 *
 * Threads  Any.
 * Memory   The value is the caller's: json_decref.
 */
#ifndef RINGCAST_SRC_JSON_PLAIN_H
#define RINGCAST_SRC_JSON_PLAIN_H

#include <jansson.h>

#define JSON_PLAIN_DEPTH_MAX 8 /* objects and arrays within each other */

/* The value that json_load() would return. NULL: the text is not plain, is no object, has a key
 * twice, or there is no memory. */
json_t *json_plain_parse(const char *text, size_t text_bytes);

#endif
