/*
 * core_watch: descriptors that end the wait of a ring when they become readable.
 *
 * Each is polled once, and polled again when the caller asks again: it is woken once for each of
 * its waits, however much arrives meanwhile, and at once if something was left unread.
 *
 * Owner    Core 0 has one, for an inline publisher. A publisher with a thread of its own embeds
 *          another, over its own ring.
 * Threads  The one that enters the ring.
 * Memory   A fixed table.
 * Errors   None. A descriptor that cannot be polled is never readable.
 */
#ifndef RINGCAST_RING_CORE_WATCH_H
#define RINGCAST_RING_CORE_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#define CORE_WATCH_COUNT_MAX 16

struct core;
struct engine;

struct core_watch {
    struct engine *engine;
    uint32_t armed_count;
    struct core_watch_row {
        uint32_t generation; /* of its newest poll */
        bool is_armed;
        bool is_readable;
    } rows[CORE_WATCH_COUNT_MAX];
};

/* The core's own: for options.publish. */
struct core_watch *core_watch_of(struct core *core);

void core_watch_init(struct core_watch *watch, struct engine *engine);

/* Begins a wait for fd to be readable, at its end or broken; none is while one goes on. */
void core_watch_arm(struct core_watch *watch, uint32_t number, int fd);

/* Ends the wait. To be called before fd is closed, and before another takes its number. */
void core_watch_disarm(struct core_watch *watch, uint32_t number);

/* Whether the wait has ended, and no other has begun. */
bool core_watch_is_readable(const struct core_watch *watch, uint32_t number);

/* A completion of the ring; those of other operations are ignored. */
void core_watch_on_completion(struct core_watch *watch, uint64_t user_data, int32_t result);

#endif
