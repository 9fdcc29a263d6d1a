/*
 * frame_log_holds: stretches of a log that the kernel may still read, of one reader.
 *
 * Owner    A frame log, which has one for each reader.
 * Threads  add, remove and count: the reader's. find: the writer's, which sees what was added
 *          before the reader's pin went.
 * Memory   A fixed table.
 * Units    Positions of the log: see frame_log.h.
 */
#ifndef RINGCAST_RING_FRAME_LOG_HOLDS_H
#define RINGCAST_RING_FRAME_LOG_HOLDS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "codec/base/units.h"

#define FRAME_LOG_HOLDS_MAX 1024 /* of one reader at a time */
#define FRAME_LOG_NO_HOLD UINT32_MAX

struct frame_log_hold {
    _Atomic uint64_t start; /* UINT64_MAX: free */
    _Atomic uint64_t end;
};

struct frame_log_holds {
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t count;
    _Atomic uint32_t slot_count;        /* Slots from here on were never used. */
    uint32_t free[FRAME_LOG_HOLDS_MAX]; /* the reader's own: the last ones are taken first */
    struct frame_log_hold slots[FRAME_LOG_HOLDS_MAX];
};

void frame_log_holds_init(struct frame_log_holds *holds);

/* Returns the hold's number, or FRAME_LOG_NO_HOLD: there are too many. */
uint32_t frame_log_holds_add(struct frame_log_holds *holds, uint64_t start, uint64_t end);
void frame_log_holds_remove(struct frame_log_holds *holds, uint32_t hold);

static inline uint32_t frame_log_holds_count(const struct frame_log_holds *holds)
{
    return atomic_load_explicit(&holds->count, memory_order_acquire);
}

/* The next hold, from number *next on, that has bytes between start and end. false: no more. */
bool frame_log_holds_find(const struct frame_log_holds *holds, uint64_t start, uint64_t end,
                          uint32_t *next, uint64_t *start_out, uint64_t *end_out);

#endif
