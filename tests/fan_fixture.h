/*
 * fan_fixture: a fan with one subscriber, whose JSON log has two channels.
 *
 * Owner    The test: fan_fixture_open() before, fan_fixture_close() after it.
 */
#ifndef RINGCAST_TESTS_FAN_FIXTURE_H
#define RINGCAST_TESTS_FAN_FIXTURE_H

#include <string.h>

#include "ring/fan/fan.h"

static struct fan fan;
static struct core_counters counters;
static struct frame_log *frames;

/* max_lag_ns: 0: none. */
static void fan_fixture_open(uint64_t max_lag_ns)
{
    const struct frame_log_options log_options = {
        .capacity_bytes = FRAME_LOG_BYTES_MIN,
        .frame_bytes_max = 4096,
        .channel_count_max = 2,
        .reader_count = 1,
    };
    assert_int_equal(frame_log_create(&frames, &log_options), 0);
    const struct fan_options options = {
        .subscriber_count = 1,
        .encoding_count = 1,
        .max_lag_ns = max_lag_ns,
        .counters = &counters,
        .logs = {frames},
        .takes_json = {true},
    };
    memset(&counters, 0, sizeof counters);
    assert_int_equal(fan_open(&fan, &options), 0);
    fan.channel_count = 2;
}

static int fan_fixture_close(void **state)
{
    (void)state;
    fan_unpin(&fan);
    fan_close(&fan);
    frame_log_destroy(frames);
    return 0;
}

#endif
