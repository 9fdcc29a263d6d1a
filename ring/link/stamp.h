/*
 * stamp: moments in 32 bits, for the times that each connection keeps.
 *
 * A stamp is 2^20 ns (1.05 ms). The lower 32 bits of the clock's stamp wrap after 52 days, so a
 * deadline is at most 22 days away. A past stamp is moved when it is 45 days old: the owner of
 * stamps calls stamp_keep() now and then. So past and future are never confused.
 *
 * Units    Nanoseconds of one clock, given by the caller.
 */
#ifndef RINGCAST_RING_STAMP_H
#define RINGCAST_RING_STAMP_H

#include <stdbool.h>
#include <stdint.h>

#define STAMP_SHIFT 20
#define STAMP_NS (UINT64_C(1) << STAMP_SHIFT)
#define STAMP_AWAY_MAX UINT32_C(0x70000000) /* of a deadline: 22 days */
#define STAMP_AGE_MAX UINT32_C(0xe0000000)  /* of what is past: 45 days */

/* In full: what is kept is the lower half. */
static inline uint64_t stamp_of(uint64_t now_ns)
{
    return now_ns >> STAMP_SHIFT;
}

/* A deadline in this many ns, or a stamp later; never before. One further away than STAMP_AWAY_MAX
 * is that far away. */
static inline uint32_t stamp_in(uint64_t now_ns, uint64_t in_ns)
{
    uint64_t most_ns = (uint64_t)STAMP_AWAY_MAX << STAMP_SHIFT;
    uint64_t end_ns = now_ns + (in_ns < most_ns ? in_ns : most_ns);
    return (uint32_t)stamp_of(end_ns + STAMP_NS - 1);
}

static inline uint64_t stamp_deadline_ns(uint32_t deadline, uint64_t now_ns)
{
    uint64_t now = stamp_of(now_ns);
    return (now + (uint64_t)(int64_t)(int32_t)(deadline - (uint32_t)now)) << STAMP_SHIFT;
}

static inline bool stamp_is_due(uint32_t deadline, uint64_t now_ns)
{
    return (int32_t)((uint32_t)stamp_of(now_ns) - deadline) >= 0;
}

/* How long ago that was, or up to two stamps less; never more. */
static inline uint64_t stamp_age_ns(uint32_t past, uint64_t now_ns)
{
    uint32_t age = (uint32_t)stamp_of(now_ns) - past;
    return age == 0 ? 0 : (uint64_t)(age - 1) << STAMP_SHIFT;
}

/* Older than STAMP_AGE_MAX nothing is. */
static inline uint32_t stamp_keep(uint32_t past, uint64_t now_ns)
{
    uint32_t now = (uint32_t)stamp_of(now_ns);
    return now - past > STAMP_AGE_MAX ? now - STAMP_AGE_MAX : past;
}

#endif
