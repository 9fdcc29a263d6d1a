/*
 * bench_fixture: a thread of the bench without a ring, and its first connection, which the test
 * makes.
 */
#ifndef RINGCAST_TESTS_BENCH_FIXTURE_H
#define RINGCAST_TESTS_BENCH_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tools/load/bench_thread.h"

static struct bench_options options;
static struct bench_control control;
static struct bench_load *load;
static struct bench_thread thread;
static struct bench_conn conns[2];
static struct bench_conn *const conn = conns;

static inline void bench_fixture_set_pattern(enum pattern_field_name name, const char *text)
{
    assert_true(pattern_scan_set(&thread.data.scan, name, text));
}

/* All clients read. The window is from 1 to 2 us, and the time is 5 us. */
static inline void bench_fixture_begin(const struct bench_options *wanted)
{
    char error[WS_CLIENT_ERROR_BYTES_MAX];
    options = *wanted;
    options.symbol_pattern = "\"symbol\":\"";
    options.role_counts[BENCH_READER] = options.connection_count;
    assert_int_equal(bench_load_create(&load, &options, error), 0);
    control = (struct bench_control){.load = load};
    memset(&thread, 0, sizeof thread);
    thread.data.crew = &thread.crew;
    thread.frames.data = &thread.data;
    thread.receive.frames = &thread.frames;
    thread.crew.options = &options;
    thread.crew.control = &control;
    thread.crew.conn_count = options.connection_count;
    thread.crew.conns = conn;
    thread.data.has_seqs = true;
    thread.data.has_times = true;
    thread.data.scan.time_unit_ns = 1;
    bench_fixture_set_pattern(PATTERN_SEQ, "\"seq\":");
    bench_fixture_set_pattern(PATTERN_TIME, "\"ts_pub\":");
    thread.data.channels = calloc(BENCH_CHANNELS_MAX, sizeof *thread.data.channels);
    thread.data.channel_indexes =
        calloc(BENCH_CHANNEL_NUMBER_MAX, sizeof *thread.data.channel_indexes);
    assert_non_null(thread.data.channels);
    assert_non_null(thread.data.channel_indexes);
    thread.data.receipts.count_max = BENCH_RECEIPTS_MAX;
    thread.data.window_start_ns = 1000;
    thread.data.window_ns = 1000;
    thread.crew.now_ns = 5000;
}

static inline void bench_fixture_end_conn(struct bench_conn *ended)
{
    free(ended->next_seqs);
    free(ended->carry);
}

static inline void bench_fixture_end(void)
{
    bench_data_deinit(&thread.data);
    bench_fixture_end_conn(conn);
    bench_load_destroy(load);
    bench_receive_deinit(&thread.receive);
}

#endif
