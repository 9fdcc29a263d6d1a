/*
 * log_crowd: lines about clients that come and go must not crowd out others. In each second the
 * first LOG_CROWD_LINES events have a line each, and the others are summed up in one. Sampled,
 * every LOG_CROWD_SAMPLE-th event has a line.
 *
 * Owner    One thread, which posts its lines as producer (log.h).
 * Threads  log_crowd_set_when: any. The others: the owner.
 * Units    Nanoseconds of CLOCK_MONOTONIC.
 */
#ifndef RINGCAST_SRC_LOG_CROWD_H
#define RINGCAST_SRC_LOG_CROWD_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/log.h"

#define LOG_CROWD_LINES 100
#define LOG_CROWD_SAMPLE 100

enum log_crowd_when {
    LOG_CROWD_INFO,    /* lines of INFO */
    LOG_CROWD_DEBUG,   /* lines of DEBUG */
    LOG_CROWD_SAMPLED, /* lines of INFO about a few */
};

enum log_crowd_event {
    LOG_CROWD_CONNECTED,
    LOG_CROWD_DISCONNECTED,
    LOG_CROWD_EVENT_COUNT,
};

/* All 0 at first. */
struct log_crowd {
    uint64_t began_ns;                    /* of the second */
    uint32_t line_count;                  /* that were written in it */
    uint32_t event_count;                 /* since the start; wraps */
    uint32_t more[LOG_CROWD_EVENT_COUNT]; /* without a line, so far */
};

/* For all crowds; it may change at any time. */
void log_crowd_set_when(enum log_crowd_when when);
/* The level of its lines. */
enum log_level log_crowd_level(void);

/* Whether the event has a line of its own, which the caller writes. */
bool log_crowd_has_line(struct log_crowd *crowd, enum log_crowd_event event);
/* Once a turn: at the end of the second the others are summed up. */
void log_crowd_on_turn(struct log_crowd *crowd, uint32_t producer, uint64_t now_ns);
/* Sums them up now. */
void log_crowd_sum_up(struct log_crowd *crowd, uint32_t producer);

#endif
