/*
 * protection: the rules by which the server protects itself and the clients it has.
 *
 * A rule begins when its value has reached its limit, and ends when the value has fallen well below
 * (hysteresis). What a rule does while it is active is in its row: it gives memory back, refuses
 * new connections, or lets clients be idle for a shorter time.
 *
 * Owner    struct guard. Threads: protection_tick: main, under its lock. Others hold the lock.
 * Memory   Fixed, in the struct.
 * Units    A value and its limit have the same unit.
 * Source   docs/protection.md has the rules.
 */
#ifndef RINGCAST_SRC_PROTECTION_H
#define RINGCAST_SRC_PROTECTION_H

#include <stdbool.h>
#include <stdint.h>

/* Of the frame log. An elastic feed keeps a core half a log behind, which is well. */
#define PROTECTION_LAG_PERCENT 75
#define PROTECTION_LAG_END_PERCENT 55
#define PROTECTION_LAG_TICKS 3            /* in a row, before it begins */
#define PROTECTION_CONNECTIONS_PERCENT 90 /* of --max-connections; where the rule begins */
#define PROTECTION_CONNECTIONS_END_PERCENT 80

enum protection_rule {
    PROTECTION_MEMORY_SOFT,
    PROTECTION_MEMORY_HARD,
    PROTECTION_DESCRIPTORS,
    PROTECTION_LAG,
    PROTECTION_CONNECTIONS,
    PROTECTION_RULES,
};

struct protection_reading {
    double value;
    double limit; /* 0: the rule is off */
};

struct protection_state {
    bool is_active;
    uint32_t ticks; /* in a row, at the limit, before it begins */
    double value;   /* of the last tick, */
    double limit;   /* and its limit */
    uint64_t action_count;
    uint64_t acted_ns; /* when it acted last */
};

struct protection {
    struct protection_state states[PROTECTION_RULES];
};

/* What is to be done now. */
struct protection_orders {
    const char *refusal; /* of new connections; NULL: none */
    bool reaps;          /* Idle clients are closed sooner. */
    bool purges;         /* Memory is to be given back, once. */
};

const char *protection_rule_name(enum protection_rule rule);

/* Logs which rules begin and end. purge_ns: the least time between two purges. */
struct protection_orders protection_tick(struct protection *protection,
                                         const struct protection_reading readings[PROTECTION_RULES],
                                         uint64_t purge_ns, uint64_t now_ns);

#endif
