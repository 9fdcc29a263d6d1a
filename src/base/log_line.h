/*
 * log_line: how a line of the log looks: text, JSON, or with a priority for the journal.
 *
 * Threads  Any. Memory: the caller's.
 * Source   sd-daemon(3) for the priorities.
 */
#ifndef RINGCAST_SRC_LOG_LINE_H
#define RINGCAST_SRC_LOG_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/log.h"

#define LOG_LINE_PREFIX_BYTES_MAX 96
#define LOG_LINE_NAMES_BYTES_MAX 64 /* of the members of JSON */
/* JSON writes a control byte as six characters. */
#define LOG_LINE_OUT_BYTES_MAX                                                                     \
    (LOG_LINE_PREFIX_BYTES_MAX + LOG_LINE_NAMES_BYTES_MAX + 6 * LOG_LINE_BYTES_MAX)

struct log_line_style {
    bool is_json;
    bool is_journal; /* The journal adds the time. */
};

struct log_line {
    uint64_t wall_ns;
    enum log_level level;
    const char *text; /* and the texts of fields: together fewer than LOG_LINE_BYTES_MAX bytes */
    struct log_fields fields;
};

/* "INFO" */
const char *log_line_level_name(enum log_level level);

/* With its line end, without a zero. */
size_t log_line_format(char out[LOG_LINE_OUT_BYTES_MAX], const struct log_line *line,
                       struct log_line_style style);

/* "2026-01-01T12:00:00.123Z", UTC; returns its length. */
size_t log_line_format_time(char *out, size_t out_bytes, uint64_t wall_ns);

/* A text stays one line of valid UTF-8 that steers no terminal, whatever a peer sent: other bytes
 * become '?', and what is not printable '?' or \uXXXX. Without a zero; returns its length. */
size_t log_line_escape(char *out, const char *text, bool is_json);

#endif
