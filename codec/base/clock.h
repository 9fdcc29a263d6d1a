/* clock: the kernel's clocks in nanoseconds. Any thread; no system call for CLOCK_REALTIME and
 * CLOCK_MONOTONIC where the vDSO serves them. */
#ifndef RINGCAST_CODEC_BASE_CLOCK_H
#define RINGCAST_CODEC_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#include "codec/base/units.h"

static inline uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

#endif
