/*
 * log_memory: what the frame log of each encoding takes, for /metrics and /stats.
 *
 * Owner    metrics_options has it; the logs live longer.
 * Threads  Any that may block: it asks the kernel about files. No core and no publisher is asked.
 * Units    Bytes.
 * Errors   None.
 */
#ifndef RINGCAST_SRC_LOG_MEMORY_H
#define RINGCAST_SRC_LOG_MEMORY_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

#include "ring/board/frame_log.h"

#define LOG_MEMORY_LOGS_MAX 4

struct log_memory {
    struct {
        const char *encoding;
        const struct frame_log *log;
    } logs[LOG_MEMORY_LOGS_MAX];
    uint32_t count;
    uint64_t bytes_max;                    /* --memory-max; 0: no limit */
    const _Atomic uint32_t *refused_count; /* requests for an encoding without room */
};

/* Series as Prometheus text. */
void log_memory_write(const struct log_memory *memory, FILE *out);

/* Adds frame_log_bytes, frame_logs and, if there is a limit, frame_log_bytes_max to an object. */
void log_memory_add(const struct log_memory *memory, json_t *object);

#endif
