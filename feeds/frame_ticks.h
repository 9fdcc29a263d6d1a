/*
 * frame_ticks: turns the JSON text of a data frame back into the tick that it was made from.
 *
 * Reads any JSON of the documented form: keys in any order, unknown keys ignored, white space.
 * `ch`, `ts_recv` and `ts_pub` are the server's own and are not read. A key that is null counts as
 * not given. A number may also be written as a string, for producers whose numbers are floating
 * point. Numbers are read from their own text and are exact (decimal.h). A key that is read and
 * comes twice is a fault; an ignored key may.
 *
 * Owner    The caller creates and destroys it. Threads: one at a time.
 * Memory   Everything is allocated at creation, with limits. A tick borrows from the reader until
 *          the next call.
 * Errors   A text that is not as documented is a status, with a constant sentence.
 * Source   docs/protocol.md, "Data frames".
 */
#ifndef RINGCAST_FEEDS_FRAME_TICKS_H
#define RINGCAST_FEEDS_FRAME_TICKS_H

#include "codec/md.h"

#define FRAME_TICKS_LEVELS_MAX 262144 /* of each side */
#define FRAME_TICKS_LEVELS_MAX_TEXT "262144"
#define FRAME_TICKS_TEXT_BYTES_MAX 65534 /* of status, state, reason: what SBE can hold */
#define FRAME_TICKS_KIND_BYTES_MAX 31

enum frame_ticks_status {
    FRAME_TICKS_TICK,
    FRAME_TICKS_OTHER, /* A control frame, or an unknown type: see kind. */
    FRAME_TICKS_MALFORMED,
};

struct frame_tick {
    char kind[FRAME_TICKS_KIND_BYTES_MAX + 1]; /* "trade", "WELCOME"; cut to its length */
    uint8_t symbol_bytes;
    char symbol[MD_SYMBOL_BYTES_MAX];
    struct md_update update; /* without channel and ts_recv_ns */
    uint64_t seq;            /* of its channel; 0: not given */
    uint64_t q;              /* the producer's own number, 1 to 2^63 - 1; 0: not given. Also when
                              * a field is malformed, unless it is q. */
    bool is_book_part;       /* It answers a SNAPSHOT, and seq is the last one in the book. */
    const char *fault;       /* after FRAME_TICKS_MALFORMED */
};

struct frame_ticks;

/* -ENOMEM. */
int frame_ticks_create(struct frame_ticks **frames_out);
void frame_ticks_destroy(struct frame_ticks *frames);

enum frame_ticks_status frame_ticks_parse(struct frame_ticks *frames, const char *text,
                                          size_t text_bytes, struct frame_tick *tick_out);

#endif
