/* idle_core_ops: what a core must have in its ops, for tests that are about other things. */
#ifndef RINGCAST_TESTS_IDLE_CORE_OPS_H
#define RINGCAST_TESTS_IDLE_CORE_OPS_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "bench/bench_null_engine.h"
#include "codec/base/units.h"
#include "ring/core/core.h"

static inline void idle_on_quiet(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    (void)context, (void)core, (void)conn, (void)now_ns;
}

static inline void idle_on_channel(void *context, struct core *core, uint32_t channel)
{
    (void)context, (void)core, (void)channel;
}

/* Warnings and errors show in the test's output. */
static inline void idle_log(void *context, struct core *core, int level, const char *text)
{
    (void)context, (void)core;
    if (level >= 2) {
        print_message("%s\n", text);
    }
}

/* Of a core on the null engine, in which nothing comes of a connection by itself. */
static inline struct core_options idle_core_options(uint32_t conn_count_max)
{
    return (struct core_options){
        .cpu = -1,
        .conn_count_max = conn_count_max,
        .heartbeat_interval_ns = 3600 * NS_PER_SECOND,
        .idle_timeout_ns = 3600 * NS_PER_SECOND,
        .listeners = {{.fd = BENCH_NULL_FD_FIRST - 1}},
        .listener_count = 1,
    };
}

#endif
