/*
 * frame_log_pins: how the writer of a frame log waits for its readers (frame_log.h: Pins).
 *
 * Owner    A frame log.
 * Threads  A pin is its reader's; the writer waits.
 * Memory   A line for each reader.
 * Units    Indices of the log.
 * Errors   A reader that does not unpin is reported to the log's watch.
 */
#ifndef RINGCAST_RING_FRAME_LOG_PINS_H
#define RINGCAST_RING_FRAME_LOG_PINS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "codec/base/units.h"
#include "ring/board/counters.h"

#define FRAME_LOG_NOT_PINNED UINT64_MAX
#define FRAME_LOG_STUCK_NS NS_PER_SECOND              /* The writer then reports the reader, */
#define FRAME_LOG_STUCK_AGAIN_NS (10 * NS_PER_SECOND) /* and again each time this has passed. */

struct frame_log_pin {
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t index; /* Written by one reader. */
};

/* Where the writer reports its waits, on its own thread. All may be NULL. */
struct frame_log_watch {
    counter *waited_ns; /* grows while the writer waits */
    /* A reader keeps the writer waiting; is_over: it has let it go on. */
    void (*on_stuck)(void *context, uint32_t reader, uint64_t waited_ns, bool is_over);
    void *context;
};

/* After the tail is stored: waits until no reader pins a frame before it. Returns how many readers
 * it waited for. */
uint32_t frame_log_pins_wait(const struct frame_log_pin *pins, uint32_t reader_count,
                             const struct frame_log_watch *watch, uint64_t tail);

#endif
