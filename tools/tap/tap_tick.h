/*
 * tap_tick: one tick as ringcast-tap shows it: the fields of a JSON data frame, found without
 * parsing it as a whole.
 *
 * Memory   Nothing is allocated; everything points into the frame.
 * Threads  Pure functions.
 * Units    Times are nanoseconds since the Unix epoch; 0: not given.
 * Source   docs/protocol.md, "Data frames".
 */
#ifndef RINGCAST_TOOLS_TAP_TICK_H
#define RINGCAST_TOOLS_TAP_TICK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A piece of JSON text, as it was sent. */
struct tap_slice {
    const char *text;
    size_t bytes;
};

struct tap_tick {
    const uint8_t *json; /* The data frame in JSON; for SBE: a JSON frame with the same values. */
    size_t json_bytes;
    size_t wire_bytes; /* of the payload as it was received */
    uint64_t channel, seq;
    uint64_t ts_event_ns, ts_recv_ns, ts_pub_ns;
    struct tap_slice symbol, type; /* without their quotes, escapes as sent */
    struct tap_slice data;         /* an object, with its braces */
};

/* Fills all but wire_bytes. What the frame does not have is 0, or empty. */
void tap_tick_read(struct tap_tick *tick_out, const uint8_t *json, size_t json_bytes);

/* The next key, without its quotes, and value of an object; *at points into it, at first behind its
 * brace. false: there are no more. */
bool tap_tick_next(const char **at, const char *end, struct tap_slice *key_out,
                   struct tap_slice *value_out);

/* A string without its quotes; anything else as it is. */
struct tap_slice tap_tick_inside(struct tap_slice value);

bool tap_tick_is(struct tap_slice slice, const char *text);

#endif
