/*
 * sample: the numbers of /stats.system and /stats.application at one moment.
 *
 * Threads  Any; the table is constant.
 * Memory   The caller's: a sample is about 170 bytes.
 * Units    In the names. Each is a double, which is exact for integers up to 2^53.
 * Source   docs/metrics.md explains every name.
 */
#ifndef RINGCAST_SRC_SAMPLE_H
#define RINGCAST_SRC_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

enum sample_number {
    SAMPLE_CPU_PERCENT,
    SAMPLE_MEMORY_PERCENT,
    SAMPLE_MEMORY_USED_MB,
    SAMPLE_MEMORY_AVAILABLE_MB,
    SAMPLE_DISK_USAGE_PERCENT,
    SAMPLE_DISK_FREE_GB,
    SAMPLE_NETWORK_BYTES_SENT,
    SAMPLE_NETWORK_BYTES_RECV,
    SAMPLE_ACTIVE_CONNECTIONS,
    SAMPLE_LOAD_1M,
    SAMPLE_LOAD_5M,
    SAMPLE_LOAD_15M,
    SAMPLE_ACTIVE_USERS, /* from here on of the application */
    SAMPLE_TOTAL_MESSAGES,
    SAMPLE_MESSAGES_PER_MINUTE,
    SAMPLE_RESPONSE_TIME_AVG,
    SAMPLE_ERROR_RATE,
    SAMPLE_PUSH_SUCCESS_RATE,
    SAMPLE_LOG_LINES_LOST,
    SAMPLE_NUMBERS,
};

struct sample_row {
    const char *name;
    bool is_integer;
};
extern const struct sample_row sample_rows[SAMPLE_NUMBERS];

struct sample {
    uint64_t taken_ns; /* CLOCK_MONOTONIC: for the order and the age */
    int64_t wall_s;    /* since the Unix epoch: shown, and may jump */
    double numbers[SAMPLE_NUMBERS];
};

#endif
