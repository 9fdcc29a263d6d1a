/*
 * json_scan: reads JSON from its text in one pass, value by value, for readers that know which
 * members they want and must not allocate.
 *
 * What it passes is valid JSON (RFC 8259) in valid UTF-8, also where the caller is not interested,
 * except that only the caller can see a key that comes twice. A number keeps its own text.
 *
 * Owner    The caller. Threads: pure functions.
 * Memory   Values are parts of the text. Nothing is allocated.
 * Errors   false, and from then on for ever: it is not JSON, or nested too deeply.
 */
#ifndef RINGCAST_FEEDS_JSON_SCAN_H
#define RINGCAST_FEEDS_JSON_SCAN_H

#include "codec/md.h"

#define JSON_SCAN_DEPTH_MAX 128

enum json_scan_kind {
    JSON_SCAN_NULL,
    JSON_SCAN_FALSE,
    JSON_SCAN_TRUE,
    JSON_SCAN_NUMBER,
    JSON_SCAN_STRING,
    JSON_SCAN_ARRAY, /* Its members come next: json_scan_more, json_scan_skip_rest. */
    JSON_SCAN_OBJECT,
};

struct json_scan_value {
    enum json_scan_kind kind;
    bool has_escape;  /* of a string; otherwise text is what it stands for */
    bool is_plain;    /* a number without exponent and of at most 18 digits: is decimal */
    const char *text; /* of a number, or of a string between its quotes */
    size_t bytes;
    struct md_decimal decimal;
};

struct json_scan {
    const char *at;
    const char *end;
    bool failed;
};

/* ---- Walking ---- */

/* The next value. Of an array or object only the bracket is passed. */
bool json_scan_value(struct json_scan *scan, struct json_scan_value *value_out);

/* Another member of the array or object that was begun: it comes next. false: it has ended, or
 * failed. is_first: true after the bracket; then set to false. */
bool json_scan_more(struct json_scan *scan, enum json_scan_kind kind, bool *is_first);

/* A key of an object, and the colon. */
bool json_scan_key(struct json_scan *scan, struct json_scan_value *key_out);

/* The rest of a value that json_scan_value has returned: the members of an array or object. */
bool json_scan_skip_rest(struct json_scan *scan, const struct json_scan_value *value);

/* Nothing but blanks follows. */
bool json_scan_is_at_end(struct json_scan *scan);

/* ---- Values ---- */

/* Copies a string with its escapes decoded, as far as out_bytes; returns the whole length. */
size_t json_scan_text(const struct json_scan_value *string, char *out, size_t out_bytes);

/* A number, or a string with the text of one. false: it is neither, or decimal_parse and
 * decimal_parse_u64 refuse it. */
bool json_scan_decimal(const struct json_scan_value *value, struct md_decimal *decimal_out);
bool json_scan_u64(const struct json_scan_value *value, uint64_t *value_out);

#endif
