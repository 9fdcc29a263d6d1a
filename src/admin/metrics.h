/*
 * metrics: what an operator may ask of the server: its counters, their names, rates.
 *
 * Owner    main creates it before the cores start and destroys it after the admin server.
 * Threads  metrics_tick: main, once a second. metrics_set_state: main. All others: any thread
 *          that may block (they take a lock that no core takes).
 * Memory   A few KiB; what the options point to lives longer.
 * Units    In the names.
 * Source   docs/metrics.md explains every name.
 */
#ifndef RINGCAST_SRC_METRICS_H
#define RINGCAST_SRC_METRICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring/board/counters.h"
#include "ring/board/counters_read.h"
#include "ring/board/frame_log.h"
#include "src/admin/watchdog.h"
#include "src/market/feed_table.h"

struct guard;
struct staleness;

enum metrics_state {
    METRICS_STARTING, /* The cores do not run yet. */
    METRICS_READY,
    METRICS_DRAINING, /* A signal has come; no new clients should. */
};

#define METRICS_LOGS_MAX 4

/* The frame log of each encoding. What it takes now, the kernel is asked. */
struct metrics_log_memory {
    struct {
        const char *encoding;
        const struct frame_log *log;
    } logs[METRICS_LOGS_MAX];
    uint32_t count;
    uint64_t bytes_max;                    /* --memory-max; 0: no limit */
    const _Atomic uint32_t *refused_count; /* requests for an encoding without room */
};

#define METRICS_CERTIFICATES_MAX 16
#define METRICS_CERTIFICATE_TEXT_BYTES_MAX 256 /* longer ones are cut */

/* A certificate that new TLS connections get. */
struct metrics_certificate {
    int64_t not_after_s; /* of the Unix clock */
    char file[METRICS_CERTIFICATE_TEXT_BYTES_MAX];
    char name[METRICS_CERTIFICATE_TEXT_BYTES_MAX];
};

struct metrics_options {
    const struct counters *counters;
    const struct frame_log *log; /* JSON's */
    const char *epoch;
    const struct watchdog *watchdog; /* NULL: none */
    struct guard *guard;             /* NULL: none */
    struct metrics_log_memory log_memory;
    _Atomic uint32_t connections_max; /* of metrics_set_limits, like: */
    uint16_t client_port;
    const int *cpus; /* one for each core; -1: not pinned */
    bool busy_poll;
    bool is_inline;           /* Core 0 runs the publisher. */
    const char *const *feeds; /* their specs */
    uint32_t feed_count;
    const struct feed_table *feed_table;  /* of as many feeds */
    const struct staleness *staleness;    /* NULL: no symbol is stale */
    _Atomic uint32_t ready_stale_percent; /* of open symbols that are stale; 0: any */
    bool is_prometheus_off;               /* /metrics is not served */
};

struct metrics;

/* 0 or -ENOMEM. */
int metrics_create(struct metrics **metrics_out, const struct metrics_options *options);
void metrics_destroy(struct metrics *metrics);

void metrics_set_state(struct metrics *metrics, enum metrics_state state);
const char *metrics_state_name(enum metrics_state state);
enum metrics_state metrics_state(const struct metrics *metrics);
void metrics_set_limits(struct metrics *metrics, uint32_t connections_max,
                        uint32_t ready_stale_percent);
/* main, after each load. */
void metrics_set_certificates(struct metrics *metrics,
                              const struct metrics_certificate *certificates, uint32_t count);
/* Returns how many there are; 0: no TLS. */
uint32_t
metrics_certificates(struct metrics *metrics,
                     struct metrics_certificate certificates_out[METRICS_CERTIFICATES_MAX]);
const struct metrics_options *metrics_options(const struct metrics *metrics);

/* The counters as any reader sees them: an entry for each row of counters_table.h. */
const struct counters_read *metrics_counters(const struct metrics *metrics);

double metrics_uptime_seconds(const struct metrics *metrics);

/* Takes a sample for the rates. */
void metrics_tick(struct metrics *metrics, uint64_t now_ns);

/* Over the last minute, or since the start when that is shorter. */
struct metrics_rates {
    double process_cpu_percent; /* of the CPUs the process may use; over 10 s */
    double host_cpu_percent;    /* over 10 s */
    double messages_per_minute; /* data frames sent */
    double ticks_per_second;
    double latency_seconds_mean; /* publication to the end of the flush that sent it */
    double error_rate;           /* data frames lost / due */
    uint64_t core_laps;          /* times a core lost a whole frame log */
};
void metrics_read_rates(struct metrics *metrics, struct metrics_rates *rates_out);

/* Frames of the log that a core has still to fan out. */
uint64_t metrics_core_lag(const struct metrics *metrics, uint32_t core);

/* The sum of a counter over all cores. */
uint64_t metrics_sum(const struct counters *counters, size_t offset);

#endif
