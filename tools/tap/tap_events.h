/*
 * tap_events: what ringcast-tap does with what its first connection receives: one function for each
 * event. Readers (tap_reader.h) call them, and the loop (tap_loop.h).
 *
 * Owner    main.
 * Threads  One.
 */
#ifndef RINGCAST_TOOLS_TAP_EVENTS_H
#define RINGCAST_TOOLS_TAP_EVENTS_H

#include "tools/common/control_reply.h"
#include "tools/tap/tap_cursor.h"
#include "tools/tap/tap_decode.h"
#include "tools/tap/tap_list.h"
#include "tools/tap/tap_options.h"
#include "tools/tap/tap_record.h"
#include "tools/tap/tap_stats.h"
#include "tools/tap/tap_tick.h"
#include "tools/tap/tap_verify.h"

/* What all connections share. */
struct tap_sink {
    const struct tap_options *options;
    struct tap_verify *verify; /* NULL: not wanted; so are the next three */
    struct tap_stats *stats;
    struct tap_record *record;
    struct tap_cursor *cursor;
    bool is_settling;          /* It has enough: the others have yet to receive the same. */
    bool has_failed;           /* A file cannot be written. It has been reported. */
    bool wants_new_connection; /* The cursor cannot continue on this one. */
    uint64_t ticks;            /* of the first connection */
    struct tap_list list;
    struct tap_decode *decode;
    uint32_t subscribed_count; /* connections, perhaps to a part of what was asked for */
    uint32_t refused_count;    /* connections that get nothing */
    uint32_t error_count;      /* ERRORs to subscribed connections */
};

/* Whether --count ticks, or all pages of --list, have come. */
static inline bool tap_events_have_enough(const struct tap_sink *sink)
{
    return sink->list.is_done || (sink->options->count != 0 && sink->ticks >= sink->options->count);
}

/* Opens what the options ask for; verify is the caller's. An exit code; the error has been printed.
 */
int tap_events_open(struct tap_sink *sink);

/* false: a file does not have everything. */
bool tap_events_close(struct tap_sink *sink);

/* It is upgraded; nothing has been sent. */
void tap_events_on_open(struct tap_sink *sink);

void tap_events_on_tick(struct tap_sink *sink, const struct tap_tick *tick);

/* Any message that is not a tick. payload: its text. */
void tap_events_on_control(struct tap_sink *sink, const struct control_reply *reply,
                           const uint8_t *payload, size_t payload_bytes);

/* Once in each pass of the loop, at least every 50 ms. */
void tap_events_on_pass(struct tap_sink *sink, uint64_t now_ns);

/* Before the certificate. */
void tap_events_on_end(struct tap_sink *sink);

#endif
