/*
 * idle_core: a core on the null engine, in which nothing happens by itself, for tests that are
 * about one thing only. One at a time: begin, change the options, run.
 */
#ifndef RINGCAST_TESTS_IDLE_CORE_H
#define RINGCAST_TESTS_IDLE_CORE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>
#include <string.h>

#include "bench/bench_null_engine.h"
#include "codec/base/units.h"
#include "ring/core/core_state.h"

#define IDLE_CORE_ENCODINGS_MAX 3

static struct {
    struct core *core;
    struct core_encoding encodings[IDLE_CORE_ENCODINGS_MAX];
    struct core_claims claims;
    struct core_counters counters;
    _Atomic uint32_t open_count;
    _Atomic uint32_t place_count;
    uint64_t now_ns; /* what its clock says; the test moves it */
    int (*enter)(struct engine *engine, uint64_t timeout_ns); /* NULL: the null engine's */
} idle_core;

/* ---- What src would do ---- */

static inline void idle_on_open(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    (void)context, (void)core, (void)conn, (void)now_ns;
}

static inline void idle_on_close(void *context, struct core *core, uint32_t conn,
                                 const struct core_conn_end *end)
{
    (void)context, (void)core, (void)conn, (void)end;
}

static inline void idle_on_quiet(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    (void)context, (void)core, (void)conn, (void)now_ns;
}

static inline void idle_on_channel(void *context, struct core *core, uint32_t channel)
{
    (void)context, (void)core, (void)channel;
}

static inline uint32_t idle_one_channel(void *context)
{
    (void)context;
    return 1;
}

/* Warnings and errors show in the test's output. */
static inline void idle_log(void *context, struct core *core, int level, const char *text)
{
    (void)context, (void)core;
    if (level >= 2) {
        print_message("%s\n", text);
    }
}

/* ---- The core ---- */

static inline void idle_clock(void *context, struct core_time *time_out)
{
    (void)context;
    *time_out = (struct core_time){.now_ns = idle_core.now_ns, .wall_ns = idle_core.now_ns};
}

static inline int idle_open_engine(struct engine *engine, const struct engine_options *options,
                                   char *error_out)
{
    static struct engine_ops ops;
    int error = bench_null_engine_open(engine, options, error_out);
    if (idle_core.enter != NULL) {
        ops = *engine->ops;
        ops.enter = idle_core.enter;
        engine->ops = &ops;
    }
    return error;
}

/* The first encoding is written, and all of them have such a log; NULL: a small one of one channel.
 */
static inline struct core_options idle_core_begin(uint32_t client_count, uint32_t encoding_count,
                                                  const struct frame_log_options *log_options)
{
    static const struct frame_log_options small_log = {
        .capacity_bytes = FRAME_LOG_BYTES_MIN,
        .frame_bytes_max = 4096,
        .channel_count_max = 1,
        .reader_count = 1,
    };
    memset(&idle_core, 0, sizeof idle_core);
    idle_core.now_ns = NS_PER_SECOND;
    assert_in_range(encoding_count, 1, IDLE_CORE_ENCODINGS_MAX);
    for (uint32_t i = 0; i < encoding_count; i++) {
        const struct frame_log_options *options = log_options == NULL ? &small_log : log_options;
        assert_int_equal(frame_log_create(&idle_core.encodings[i].log, options), 0);
    }
    atomic_store(&idle_core.encodings[0].run, 1);
    idle_core.claims.open_max = encoding_count - 1;
    bench_null_engine_expect(client_count, 0);
    return (struct core_options){
        .cpu = -1,
        .conn_count_max = client_count,
        .conn_count = &idle_core.open_count,
        .place_count = &idle_core.place_count,
        .heartbeat_interval_ns = 3600 * NS_PER_SECOND,
        .idle_timeout_ns = 3600 * NS_PER_SECOND,
        .listeners = {{.fd = BENCH_NULL_FD_FIRST - 1}},
        .listener_count = 1,
        .encodings = idle_core.encodings,
        .encoding_count = encoding_count,
        .claims = &idle_core.claims,
        .counters = &idle_core.counters,
        .open_engine = idle_open_engine,
        .clock = idle_clock,
    };
}

/* Until a callback stops the core; what idle_core counts stays. */
static inline void idle_core_run(const struct core_options *options)
{
    char error[ENGINE_ERROR_BYTES_MAX];
    assert_int_equal(core_create(&idle_core.core, options, error, sizeof error), 0);
    assert_int_equal(core_run(idle_core.core), 0);
    core_destroy(idle_core.core);
    for (uint32_t i = 0; i < options->encoding_count; i++) {
        frame_log_destroy(idle_core.encodings[i].log);
    }
}

static inline void idle_core_publish(uint32_t encoding, uint32_t channel, uint8_t flags,
                                     uint32_t frame_bytes)
{
    struct frame_log *log = idle_core.encodings[encoding].log;
    memset(frame_log_reserve(log), 'x', frame_bytes);
    frame_log_commit(log, channel, 0, flags, frame_bytes, idle_core.now_ns);
    frame_log_publish(log);
}

#endif
