/*
 * alerts: tells the operator when a number has passed its limit, once for each change.
 *
 * A rule changes its level after some ticks in a row that ask for it. It falls again when the
 * number is 5 % below the limit, so that a number that swings around it makes one alert.
 *
 * Owner    struct guard. Threads: alerts_tick: main, under its lock. The others hold the lock.
 * Memory   Fixed, in the struct.
 * Units    A value and its limit have the same unit.
 * Source   docs/protection.md has the rules.
 */
#ifndef RINGCAST_SRC_ALERTS_H
#define RINGCAST_SRC_ALERTS_H

#include <stdbool.h>
#include <stdint.h>

#define ALERTS_HISTORY_COUNT_MAX 100
#define ALERTS_TICKS 3            /* in a row, before a level changes */
#define ALERTS_FALL_PERCENT 95    /* of a limit; below, an alert ends */
#define ALERTS_CPU_CRITICAL 90    /* percent */
#define ALERTS_MEMORY_CRITICAL 95 /* percent */
#define ALERTS_DISK_CRITICAL 95   /* percent */

enum alert_rule {
    ALERT_CPU,
    ALERT_MEMORY,
    ALERT_DISK,
    ALERT_CONNECTIONS,
    ALERT_LATENCY,
    ALERT_LAPS,
    ALERT_RULES,
};

enum alert_level {
    ALERT_NONE,
    ALERT_WARNING,
    ALERT_CRITICAL,
};

/* What a rule judges, once a second. */
struct alert_reading {
    double value;
    double limit;     /* 0: the rule is off */
    const char *what; /* constant; "% of this host's memory is in use": follows the value */
};

struct alert_state {
    enum alert_level level;
    double value; /* of the last tick */
    double limit; /* of the level; of ALERT_NONE: of the one that ended */
    int64_t since_wall_s;
    /* While ticks ask for another level: how many, and the one nearest to today's. */
    uint32_t ticks;
    enum alert_level nearest;
};

struct alert_event {
    enum alert_rule rule;
    enum alert_level level; /* that has begun, or */
    bool is_cleared;        /* ended */
    double value, limit;
    int64_t wall_s;
};

struct alerts {
    struct alert_state states[ALERT_RULES];
    uint64_t event_count; /* ever; the newest are kept */
    struct alert_event events[ALERTS_HISTORY_COUNT_MAX];
};

const char *alert_rule_name(enum alert_rule rule);
/* "warning" or "critical" */
const char *alert_level_name(enum alert_level level);

/* Logs each change. */
void alerts_tick(struct alerts *alerts, const struct alert_reading readings[ALERT_RULES],
                 int64_t wall_s);

#endif
