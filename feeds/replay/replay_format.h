/*
 * replay_format: the format of a recording, by its name or by the first line of the file.
 *
 * Threads  Pure functions.
 * Errors   A negative errno with a message that says what to do.
 */
#ifndef RINGCAST_FEEDS_REPLAY_FORMAT_H
#define RINGCAST_FEEDS_REPLAY_FORMAT_H

#include "feeds/venue/venue.h"

enum replay_format_kind {
    REPLAY_FORMAT_UNKNOWN, /* The first line will show it. */
    REPLAY_FORMAT_CSV,
    REPLAY_FORMAT_VENUE,     /* a capture of a venue */
    REPLAY_FORMAT_RINGCAST,  /* a capture of a ringcast */
    REPLAY_FORMAT_RECORDING, /* of ringcast --record */
};

struct replay_format {
    enum replay_format_kind kind;
    const struct venue_ops *venue; /* of a capture of a venue */
};

/* name: "auto" (not known yet), "csv", "ringcast", "recording" or a venue's. */
int replay_format_by_name(struct replay_format *format_out, const char *name,
                          char error_out[FEED_ERROR_BYTES_MAX]);

/* line: the first one; source: where it is from, for the message. */
int replay_format_by_line(struct replay_format *format_out, const char *source, const char *line,
                          size_t line_bytes, char error_out[FEED_ERROR_BYTES_MAX]);

/* "csv", "ringcast", "recording" or the venue's. */
const char *replay_format_name(const struct replay_format *format);

/* "wss://host/path <-> seconds[ subprotocol]" or "wss://host <- seconds: sent message", in a
 * capture. */
bool replay_format_is_connection_line(const char *line, size_t line_bytes);

#endif
