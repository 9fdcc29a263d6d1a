#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench_frames.h"

#define STREAM_BYTES_MAX 8192

/* A thread without a ring, and one connection that is streaming. */
static struct bench_thread thread;
static struct bench_conn conn;
static uint8_t stream[STREAM_BYTES_MAX];
static size_t stream_bytes;

static void begin(void)
{
    memset(&thread, 0, sizeof thread);
    thread.channels = calloc(BENCH_CHANNELS_MAX, sizeof *thread.channels);
    thread.channel_indexes = calloc(BENCH_CHANNEL_NUMBER_MAX, sizeof *thread.channel_indexes);
    thread.window_start_ns = 1000;
    thread.window_ns = 1000;
    thread.now_ns = 5000;
    conn = (struct bench_conn){.fd = -1, .state = BENCH_CONN_STREAMING};
    stream_bytes = 0;
}

static void end(void)
{
    free(thread.channels);
    free(thread.channel_indexes);
    free(conn.next_seqs);
    free(conn.carry);
    while (thread.carry_free != NULL) {
        void *block = thread.carry_free;
        memcpy(&thread.carry_free, block, sizeof thread.carry_free);
        free(block);
    }
}

static void add_text(const char *text)
{
    size_t bytes = strlen(text);
    uint8_t *frame = stream + stream_bytes;
    assert_true(stream_bytes + bytes + WS_HEADER_BYTES_MAX <= sizeof stream);
    memcpy(frame + WS_FRAME_FINISH_GAP, text, bytes);
    stream_bytes += ws_frame_finish(frame, WS_TEXT, bytes);
}

static void add_tick(uint32_t channel, uint64_t seq, uint64_t ts_pub_ns)
{
    char text[1024];
    /* Some are short, some need the long header. */
    snprintf(text, sizeof text,
             "{\"type\":\"quote\",\"symbol\":\"A\",\"ch\":%u,\"seq\":%llu,\"ts_pub\":%llu,"
             "\"data\":{\"pad\":\"%0*d\"}}",
             channel, (unsigned long long)seq, (unsigned long long)ts_pub_ns,
             seq % 2 == 0 ? 1 : 300, 0);
    add_text(text);
}

static void feed(void)
{
    bench_conn_on_bytes(&thread, &conn, stream, stream_bytes);
}

static void frames_count_once_wherever_they_are_split(void **state)
{
    (void)state;
    for (size_t split = 0; split <= 1700; split++) {
        begin();
        for (uint64_t seq = 1; seq <= 6; seq++) {
            add_tick(7, seq, 1500);
        }
        size_t first = split < stream_bytes ? split : stream_bytes;
        bench_conn_on_bytes(&thread, &conn, stream, first);
        bench_conn_on_bytes(&thread, &conn, stream + first, stream_bytes - first);
        assert_int_equal(thread.totals.readers.frames, 6);
        assert_int_equal(thread.totals.readers.bytes, stream_bytes);
        assert_int_equal(thread.totals.readers.holes, 0);
        assert_int_equal(thread.totals.malformed, 0);
        assert_int_equal(conn.carry_bytes, 0);
        end();
    }
}

static void frames_that_come_byte_by_byte_count(void **state)
{
    (void)state;
    begin();
    for (uint64_t seq = 1; seq <= 6; seq++) {
        add_tick(7, seq, 1500);
    }
    for (size_t i = 0; i < stream_bytes; i++) {
        bench_conn_on_bytes(&thread, &conn, stream + i, 1);
    }
    assert_int_equal(thread.totals.readers.frames, 6);
    assert_int_equal(thread.totals.readers.bytes, stream_bytes);
    assert_null(conn.carry);
    end();
}

static void a_frame_belongs_to_the_window_by_its_ts_pub(void **state)
{
    (void)state;
    begin();
    add_tick(7, 1, 999);
    add_tick(7, 2, 1000);
    add_tick(7, 3, 1999);
    add_tick(7, 4, 2000);
    feed();
    assert_int_equal(thread.totals.window_frames, 2);
    assert_int_equal(thread.channels[0].first_seq, 2);
    assert_int_equal(thread.channels[0].last_seq, 3);
    assert_int_equal(thread.latency.count, 2);
    assert_int_equal(thread.latency.max_ns, 4000);
    end();
}

static void a_jump_of_seq_is_a_hole_per_channel(void **state)
{
    (void)state;
    begin();
    add_tick(7, 1, 1500);
    add_tick(9, 50, 1500);
    add_tick(7, 2, 1500);
    add_tick(9, 54, 1500);
    feed();
    assert_int_equal(thread.totals.readers.holes, 1);
    assert_int_equal(thread.totals.readers.hole_frames, 3);
    end();
}

static void a_seq_that_comes_twice_is_a_duplicate(void **state)
{
    (void)state;
    begin();
    add_tick(7, 1, 1500);
    add_tick(7, 2, 1500);
    add_tick(7, 2, 1500);
    add_tick(7, 3, 1500);
    feed();
    assert_int_equal(thread.totals.readers.duplicates, 1);
    assert_int_equal(thread.totals.window_frames, 3);
    end();
}

static void a_gap_covers_exactly_what_it_tells(void **state)
{
    (void)state;
    begin();
    add_tick(7, 1, 1500);
    add_text(
        "{\"type\":\"GAP\",\"ts\":1,\"data\":{\"ch\":7,\"from\":2,\"to\":9,\"reason\":\"lag\"}}");
    add_tick(7, 10, 1500);
    add_text("{\"type\":\"GAP\",\"ts\":1,\"data\":{\"ch\":7,\"from\":12,\"to\":12}}");
    feed();
    assert_int_equal(thread.totals.readers.holes, 0);
    assert_int_equal(thread.totals.readers.gaps, 2);
    assert_int_equal(thread.totals.readers.gap_frames, 9);
    assert_int_equal(thread.totals.readers.gaps_wrong, 1);
    end();
}

static void stalled_connections_are_counted_apart(void **state)
{
    (void)state;
    begin();
    conn.is_stalled = true;
    add_tick(7, 1, 1500);
    feed();
    assert_int_equal(thread.totals.stalled.frames, 1);
    assert_int_equal(thread.totals.readers.frames, 0);
    assert_int_equal(thread.totals.window_frames, 0);
    end();
}

static void a_masked_frame_ends_the_connection(void **state)
{
    (void)state;
    begin();
    memcpy(stream, "\x81\xff", 2);
    stream_bytes = 2;
    feed();
    assert_int_equal(thread.totals.malformed, 0); /* its length is not known yet */
    memset(stream, 0, 8);
    stream_bytes = 8;
    feed();
    assert_int_equal(thread.totals.malformed, 1);
    assert_int_equal(conn.state, BENCH_CONN_CLOSED);
    end();
}

static void a_close_frame_is_counted_under_its_code(void **state)
{
    (void)state;
    begin();
    memcpy(stream, "\x88\x02\x10\x0c", 4); /* 4108 */
    stream_bytes = 4;
    feed();
    assert_int_equal(thread.totals.readers.close_code_count, 1);
    assert_int_equal(thread.totals.readers.closes[0].code, 4108);
    assert_int_equal(conn.state, BENCH_CONN_CLOSED);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_count_once_wherever_they_are_split),
        cmocka_unit_test(frames_that_come_byte_by_byte_count),
        cmocka_unit_test(a_frame_belongs_to_the_window_by_its_ts_pub),
        cmocka_unit_test(a_jump_of_seq_is_a_hole_per_channel),
        cmocka_unit_test(a_seq_that_comes_twice_is_a_duplicate),
        cmocka_unit_test(a_gap_covers_exactly_what_it_tells),
        cmocka_unit_test(stalled_connections_are_counted_apart),
        cmocka_unit_test(a_masked_frame_ends_the_connection),
        cmocka_unit_test(a_close_frame_is_counted_under_its_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
