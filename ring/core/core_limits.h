/*
 * core_limits: what of a core's options may change while it runs.
 *
 * Owner    The caller. Threads: the core's own, in a core_mail for example.
 * Units    As in struct core_options.
 */
#ifndef RINGCAST_RING_CORE_LIMITS_H
#define RINGCAST_RING_CORE_LIMITS_H

#include <stdint.h>

struct core;

/* The options of core_create say what each is. */
struct core_limits {
    uint32_t conn_count_max; /* up to that of core_create, which the slab is made for */
    uint64_t heartbeat_interval_ns;
    uint64_t idle_timeout_ns;
    uint64_t max_lag_ns;
};
void core_set_limits(struct core *core, const struct core_limits *limits);
/* Its next ping comes no later than an interval from now: for one that was opened under a longer
 * interval. */
void core_hasten_ping(struct core *core, uint32_t conn);

#endif
