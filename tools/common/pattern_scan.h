/*
 * pattern_scan: finds channel, seq and time of a tick of any server.
 *
 * A pattern is the text before a number: `"seq":`. Blanks outside of quotation marks do not count,
 * in the pattern or in the frame: `"seq" : 7` is found, too. The scanner first tries the place and
 * the spelling of the frame before, so that similar frames of any length cost about 20 ns.
 *
 * Owner    The caller keeps a struct pattern_scan per stream of similar frames.
 * Threads  One at a time per struct pattern_scan.
 * Memory   Nothing is allocated; nothing is read beyond payload_bytes.
 * Units    time_ns: nanoseconds since the Unix epoch, for any unit in the frame.
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
    char text[PATTERN_SPELLED_BYTES_MAX]; /* the spelling of the last frame, up to the number */
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

/* The place of pattern in the text; blanks do not matter. *match_bytes_out: its length, with the
 * blanks after it. NULL: it is not in the text. */
const uint8_t *pattern_scan_search(const char *pattern, size_t pattern_bytes, const uint8_t *text,
                                   size_t text_bytes, size_t *match_bytes_out);

/* false: the pattern is too long. */
bool pattern_scan_set(struct pattern_scan *scan, enum pattern_field_name name, const char *text);

/* The channel and seq of a tick. false: a field is missing or is not a number of at most 19 digits.
 */
bool pattern_scan_place(struct pattern_scan *scan, const uint8_t *payload, size_t payload_bytes,
                        struct pattern_place *place_out);

/* The time of a tick, which may have a fraction and an exponent; UINT64_MAX: it is higher. This is
 * a function of its own because many connections receive a tick with the same time. false: as
 * above. */
bool pattern_scan_time(struct pattern_scan *scan, const uint8_t *payload, size_t payload_bytes,
                       const struct pattern_place *place, uint64_t *time_ns_out);

#endif
