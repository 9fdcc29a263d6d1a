/*
 * pattern_scan: channel, seq and time of a tick, wherever its server writes them.
 *
 * A pattern is the text before a number: `"seq":`. Blanks outside of quotation marks do not count,
 * in the pattern or in the frame: `"seq" : 7` is found, too. The scanner first tries the place and
 * the spelling of the frame before, so that similar frames cost about 20 ns, however long.
 *
 * Owner    The caller keeps a struct pattern_scan per stream of similar frames.
 * Threads  One at a time per struct pattern_scan.
 * Memory   Nothing is allocated; nothing is read beyond payload_bytes.
 * Units    time_ns: nanoseconds since the Unix epoch, whatever the frame's unit is.
 */
#ifndef RINGCAST_TOOLS_PATTERN_SCAN_H
#define RINGCAST_TOOLS_PATTERN_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATTERN_SCAN_BYTES_MAX 32

enum pattern_field_name {
    PATTERN_CHANNEL,
    PATTERN_SEQ,
    PATTERN_TIME,
    PATTERN_FIELDS,
};

#define PATTERN_SPELLED_BYTES_MAX 64

struct pattern_field {
    char text[PATTERN_SPELLED_BYTES_MAX]; /* as the last frame spelled it, up to the number */
    uint32_t text_bytes;                  /* 0: frames have no such field */
    int32_t distance; /* from the end of the field before to the pattern, in the last frame */
    char pattern[PATTERN_SCAN_BYTES_MAX]; /* without blanks */
    uint32_t pattern_bytes;
};

struct pattern_scan {
    struct pattern_field fields[PATTERN_FIELDS];
    uint64_t time_unit_ns; /* 0: times are ISO 8601 in quotation marks */
    double number;         /* the last time that was read, in its unit; 0: it has none */
};

struct pattern_place {
    uint64_t channel; /* 0 when there is no such field; seq, too */
    uint64_t seq;
    size_t end; /* of them in the payload */
};

/* Where pattern is in the text, blanks aside. *match_bytes_out: from there up to what follows it
 * and its blanks. NULL: nowhere. */
const uint8_t *pattern_scan_search(const char *pattern, size_t pattern_bytes, const uint8_t *text,
                                   size_t text_bytes, size_t *match_bytes_out);

/* false: the pattern is too long. */
bool pattern_scan_set(struct pattern_scan *scan, enum pattern_field_name name, const char *text);

/* Which tick it is. false: a field is missing or is no number of at most 19 digits. */
bool pattern_scan_place(struct pattern_scan *scan, const uint8_t *payload, size_t payload_bytes,
                        struct pattern_place *place_out);

/* Its time, with a fraction and an exponent if it has some; UINT64_MAX: it is higher. It is apart,
 * since a tick that many connections receive has but one. false: as above. */
bool pattern_scan_time(struct pattern_scan *scan, const uint8_t *payload, size_t payload_bytes,
                       const struct pattern_place *place, uint64_t *time_ns_out);

#endif
