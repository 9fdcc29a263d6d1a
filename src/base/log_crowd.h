/*
 * log_crowd: lines about clients that come and go must not crowd out others. In each second the
 * first LOG_CROWD_LINES events have a line each, and the others are summed up in one.
 *
 * Owner    One thread, which posts its lines as producer (log.h).
 * Units    Nanoseconds of CLOCK_MONOTONIC.
 */
#ifndef RINGCAST_SRC_LOG_CROWD_H
#define RINGCAST_SRC_LOG_CROWD_H

#include <stdbool.h>
#include <stdint.h>

#define LOG_CROWD_LINES 100

enum log_crowd_event {
    LOG_CROWD_CONNECTED,
    LOG_CROWD_DISCONNECTED,
    LOG_CROWD_EVENT_COUNT,
};

/* All 0 at first. */
struct log_crowd {
    uint64_t began_ns;                    /* of the second */
    uint32_t line_count;                  /* that were written in it */
    uint32_t more[LOG_CROWD_EVENT_COUNT]; /* without a line, so far */
};

/* Whether the event has a line of its own, which the caller writes. */
bool log_crowd_has_line(struct log_crowd *crowd, enum log_crowd_event event);
/* Once a turn: at the end of the second the others are summed up. */
void log_crowd_on_turn(struct log_crowd *crowd, uint32_t producer, uint64_t now_ns);
/* Sums them up now. */
void log_crowd_sum_up(struct log_crowd *crowd, uint32_t producer);

#endif
