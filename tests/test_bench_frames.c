#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/md.h"
#include "codec/sbe_tick.h"
#include "codec/ws_deflate.h"
#include "tests/bench_fixture.h"

#define STREAM_BYTES_MAX 8192

static uint8_t stream[STREAM_BYTES_MAX];
static size_t stream_bytes;

/* The connection is streaming; another may be. */
static void begin(void)
{
    bench_fixture_begin(&(struct bench_options){.symbols = "*", .connection_count = 2});
    bench_fixture_set_pattern(PATTERN_CHANNEL, "\"ch\":");
    thread.data.window_end_ns = 2000;
    *conn = (struct bench_conn){.fd = -1, .state = BENCH_CONN_STREAMING};
    thread.crew.streaming_count = 1;
    stream_bytes = 0;
}

static struct bench_conn *second(void)
{
    conns[1] = (struct bench_conn){.fd = -1, .state = BENCH_CONN_STREAMING};
    return &conns[1];
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

static void feed_conn(struct bench_conn *fed)
{
    bench_receive_on_bytes(&thread.receive, fed, stream, stream_bytes);
    stream_bytes = 0;
}

static void feed(void)
{
    feed_conn(conn);
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
        bench_receive_on_bytes(&thread.receive, conn, stream, first);
        bench_receive_on_bytes(&thread.receive, conn, stream + first, stream_bytes - first);
        assert_int_equal(thread.crew.totals.streams[BENCH_READER].frames, 6);
        assert_int_equal(thread.crew.totals.streams[BENCH_READER].bytes, stream_bytes);
        assert_int_equal(thread.crew.totals.streams[BENCH_READER].holes, 0);
        assert_int_equal(thread.crew.totals.malformed, 0);
        assert_int_equal(conn->carry_bytes, 0);
        bench_fixture_end();
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
        bench_receive_on_bytes(&thread.receive, conn, stream + i, 1);
    }
    assert_int_equal(thread.crew.totals.streams[BENCH_READER].frames, 6);
    assert_int_equal(thread.crew.totals.streams[BENCH_READER].bytes, stream_bytes);
    assert_null(conn->carry);
    bench_fixture_end();
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
    assert_int_equal(thread.crew.totals.window_frames, 2);
    assert_int_equal(thread.data.channels[0].first_seq, 2);
    assert_int_equal(thread.data.channels[0].last_seq, 3);
    assert_int_equal(thread.data.latency.count, 2);
    assert_int_equal(thread.data.latency.max_ns, 4000);
    bench_fixture_end();
}

static void a_reader_is_finished_by_a_tick_from_after_the_window(void **state)
{
    (void)state;
    begin();
    add_tick(7, 1, 999);
    add_tick(7, 2, 1999);
    feed();
    assert_int_equal(thread.crew.finished_count, 0);
    add_tick(7, 3, 2000);
    add_tick(7, 4, 2001);
    feed();
    assert_int_equal(thread.crew.finished_count, 1);
    bench_conn_shut(&thread.crew, conn, 1001);
    assert_int_equal(thread.crew.finished_count, 0);
    assert_int_equal(thread.crew.streaming_count, 0);
    bench_fixture_end();
}

static void add_heartbeat(uint64_t ts, const char *next_seqs)
{
    char text[256];
    snprintf(text, sizeof text,
             "{\"type\":\"HEARTBEAT\",\"ts\":%llu,\"data\":{\"next_seq\":{%s},\"sent\":3}}",
             (unsigned long long)ts, next_seqs);
    add_text(text);
    feed();
}

/* What it promises and has not come may have been published in the window. */
static void a_heartbeat_finishes_a_reader_that_has_all_it_promises(void **state)
{
    (void)state;
    begin();
    add_tick(7, 1, 1500);
    add_tick(9, 50, 1500);
    feed();
    add_heartbeat(1999, "\"7\":2,\"9\":51");
    assert_int_equal(thread.crew.finished_count, 0);
    add_heartbeat(2000, "\"7\":2,\"9\":52");
    assert_int_equal(thread.crew.finished_count, 0);
    add_tick(9, 51, 1600);
    feed();
    assert_int_equal(thread.crew.finished_count, 0);
    add_heartbeat(2001, "\"7\":2,\"9\":52,\"1\":8,\"4294967296\":9,\"x\":1");
    assert_int_equal(thread.crew.finished_count, 1);
    assert_int_equal(thread.crew.totals.malformed, 0);
    bench_fixture_end();
}

static void nobody_but_readers_is_waited_for(void **state)
{
    (void)state;
    begin();
    conn->role = BENCH_SLOW;
    thread.crew.streaming_count = 0;
    add_tick(7, 1, 2500);
    feed();
    add_heartbeat(2500, "");
    assert_int_equal(thread.crew.finished_count, 0);
    bench_fixture_end();
}

static void a_channel_may_be_known_by_its_symbol(void **state)
{
    (void)state;
    bench_fixture_begin(&(struct bench_options){.symbols = "a@trade,b@trade",
                                                .connection_count = 2,
                                                .channel_is_symbol = true,
                                                .protocol = BENCH_PLAIN});
    options.symbol_pattern = "\"stream\":\"";
    *conn = (struct bench_conn){.fd = -1, .state = BENCH_CONN_STREAMING};
    stream_bytes = 0;
    add_text("{\"stream\":\"b@trade\",\"seq\":7,\"ts_pub\":1500}");
    add_text("{\"stream\":\"a@trade\",\"seq\":20,\"ts_pub\":1500}");
    add_text("{\"stream\":\"b@trade\",\"seq\":8,\"ts_pub\":1501}");
    add_text("{\"stream\":\"a@trade\",\"seq\":22,\"ts_pub\":1501}");
    feed();
    assert_int_equal(thread.crew.totals.window_frames, 4);
    assert_int_equal(thread.crew.totals.streams[BENCH_READER].holes, 1);
    assert_int_equal(thread.crew.totals.streams[BENCH_READER].hole_frames, 1);
    assert_int_equal(thread.data.channel_count, 2);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(thread.data.channels[i].channel, i == 0 ? 1 : 0);
        assert_int_equal(thread.data.channels[i].symbol, i == 0 ? 1 : 0);
    }
    add_text("{\"stream\":\"c@trade\",\"seq\":8,\"ts_pub\":1501}"); /* nobody subscribes to it */
    add_text("{\"seq\":9,\"ts_pub\":1501}");
    feed();
    assert_int_equal(thread.crew.totals.malformed, 2);
    bench_fixture_end();
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
    assert_int_equal(thread.crew.totals.streams[BENCH_READER].holes, 1);
    assert_int_equal(thread.crew.totals.streams[BENCH_READER].hole_frames, 3);
    bench_fixture_end();
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
    assert_int_equal(thread.crew.totals.streams[BENCH_READER].duplicates, 1);
    assert_int_equal(thread.crew.totals.window_frames, 3);
    bench_fixture_end();
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
    assert_int_equal(thread.crew.totals.streams[BENCH_READER].holes, 0);
    assert_int_equal(thread.crew.totals.streams[BENCH_READER].gaps, 2);
    assert_int_equal(thread.crew.totals.streams[BENCH_READER].gap_frames, 9);
    assert_int_equal(thread.crew.totals.streams[BENCH_READER].gaps_wrong, 1);
    bench_fixture_end();
}

static void stalled_connections_are_counted_apart(void **state)
{
    (void)state;
    begin();
    conn->role = BENCH_STALLED;
    add_tick(7, 1, 1500);
    feed();
    assert_int_equal(thread.crew.totals.streams[BENCH_STALLED].frames, 1);
    assert_int_equal(thread.crew.totals.streams[BENCH_READER].frames, 0);
    assert_int_equal(thread.crew.totals.window_frames, 0);
    bench_fixture_end();
}

static void light_readers_only_count_ticks_and_gaps(void **state)
{
    (void)state;
    begin();
    conn->role = BENCH_LIGHT_READER;
    add_tick(7, 1, 1500);
    add_tick(7, 5, 1500);
    add_text("{\"type\":\"GAP\",\"ts\":1,\"data\":{\"ch\":7,\"from\":9,\"to\":10}}");
    add_text("{\"type\":\"GAP\",\"ts\":1,\"data\":{\"ch\":7,\"from\":20,\"to\":20}}");
    feed();
    const struct bench_stream_totals *light = &thread.crew.totals.streams[BENCH_LIGHT_READER];
    assert_int_equal(light->frames, 2);
    assert_int_equal(light->holes, 0);
    assert_int_equal(light->gaps, 2);
    assert_int_equal(light->gap_frames, 3);
    assert_int_equal(light->gaps_wrong, 0);
    assert_int_equal(thread.crew.totals.window_frames, 0);
    bench_fixture_end();
}

/* Its payload begins behind four bytes of mask, which an unmasked one would not have. */
static void a_masked_frame_is_malformed_wherever_it_is_cut(void **state)
{
    (void)state;
    static const uint8_t masked[] = {0x81, 0x85, 1, 2, 3, 4, 'h', 'e', 'l', 'l', 'o', 0x81, 0};
    for (size_t cut = 1; cut < sizeof masked; cut++) {
        begin();
        for (size_t at = 0; at < sizeof masked; at += cut) {
            size_t bytes = sizeof masked - at < cut ? sizeof masked - at : cut;
            bench_receive_on_bytes(&thread.receive, conn, masked + at, bytes);
        }
        assert_int_equal(thread.crew.totals.malformed, 1);
        assert_int_equal(conn->state, BENCH_CONN_CLOSED);
        bench_fixture_end();
    }
}

static void a_masked_frame_ends_the_connection(void **state)
{
    (void)state;
    begin();
    memcpy(stream, "\x81\xff", 2);
    stream_bytes = 2;
    feed();
    assert_int_equal(thread.crew.totals.malformed, 0); /* its length is not known yet */
    memset(stream, 0, 8);
    stream_bytes = 8;
    feed();
    assert_int_equal(thread.crew.totals.malformed, 1);
    assert_int_equal(conn->state, BENCH_CONN_CLOSED);
    bench_fixture_end();
}

static void a_close_frame_is_counted_under_its_code(void **state)
{
    (void)state;
    begin();
    memcpy(stream, "\x88\x02\x10\x0c", 4); /* 4108 */
    stream_bytes = 4;
    feed();
    assert_int_equal(thread.crew.totals.streams[BENCH_READER].close_code_count, 1);
    assert_int_equal(thread.crew.totals.streams[BENCH_READER].closes[0].code, 4108);
    assert_int_equal(conn->state, BENCH_CONN_CLOSED);
    bench_fixture_end();
}

static void the_same_bytes_for_all_are_no_difference(void **state)
{
    (void)state;
    begin();
    struct bench_conn *other = second();
    add_tick(7, 1, 1500);
    feed();
    thread.crew.now_ns += 300;
    add_tick(7, 1, 1500);
    feed_conn(other);
    const struct bench_receipt *receipts = thread.data.receipts.receipts;
    assert_int_equal(thread.data.receipts.count, 2);
    assert_true(receipts[0].tick == receipts[1].tick);
    assert_int_equal(receipts[0].at >> BENCH_RECEIPT_CONNECTION_BITS, 5000);
    assert_int_equal(receipts[1].at >> BENCH_RECEIPT_CONNECTION_BITS, 5300);
    struct bench_tick *tick = bench_ticks_at(&thread.data.channels[0].ticks, 1);
    assert_int_equal(thread.crew.totals.differing, 0);
    assert_int_equal(tick->count, 2);
    assert_int_equal(tick->last_ns - tick->first_ns, 300);
    bench_fixture_end_conn(other);
    bench_fixture_end();
}

static void one_other_byte_is_a_difference(void **state)
{
    (void)state;
    begin();
    struct bench_conn *other = second();
    add_tick(7, 1, 1500);
    feed();
    add_tick(7, 1, 1500);
    stream[stream_bytes - 3] ^= 1;
    feed_conn(other);
    assert_int_equal(thread.crew.totals.differing, 1);
    assert_int_equal(thread.crew.totals.window_frames, 2);
    bench_fixture_end_conn(other);
    bench_fixture_end();
}

static void a_tick_without_its_fields_is_malformed(void **state)
{
    (void)state;
    begin();
    add_text("{\"type\":\"quote\",\"ch\":1,\"seq\":2}");
    add_text("{\"type\":\"quote\",\"ch\":1,\"seq\":,\"ts_pub\":3}");
    add_tick(BENCH_CHANNEL_NUMBER_MAX, 1, 1500);
    feed();
    assert_int_equal(thread.crew.totals.malformed, 3);
    assert_int_equal(thread.crew.totals.streams[BENCH_READER].frames, 0);
    assert_int_equal(conn->state, BENCH_CONN_STREAMING);
    bench_fixture_end();
}

static void a_plain_server_may_send_anything_with_a_time(void **state)
{
    (void)state;
    begin();
    options.protocol = BENCH_PLAIN;
    thread.data.has_seqs = false;
    bench_fixture_set_pattern(PATTERN_CHANNEL, "");
    bench_fixture_set_pattern(PATTERN_SEQ, "");
    bench_fixture_set_pattern(PATTERN_TIME, "at=");
    add_text("at=1500");
    add_text("at=1500 again, which is no duplicate without numbers");
    stream[stream_bytes] = 0x82; /* binary */
    memcpy(stream + stream_bytes + 1,
           "\x07"
           "at=1600",
           8);
    stream_bytes += 9;
    feed();
    assert_int_equal(thread.crew.totals.window_frames, 3);
    assert_int_equal(thread.crew.totals.malformed, 0);
    assert_int_equal(thread.crew.totals.streams[BENCH_READER].duplicates, 0);
    bench_fixture_end();
}

/* ---- SBE ---- */

static void begin_sbe(void)
{
    begin();
    options.encoding = BENCH_SBE;
    options.sbe_time_at = SBE_TICK_TS_PUB_AT;
}

static uint8_t *add_message(enum ws_opcode opcode, const void *payload, size_t bytes)
{
    uint8_t *frame = stream + stream_bytes;
    assert_true(stream_bytes + bytes + WS_HEADER_BYTES_MAX <= sizeof stream);
    memcpy(frame + WS_FRAME_FINISH_GAP, payload, bytes);
    stream_bytes += ws_frame_finish(frame, opcode, bytes);
    return stream + stream_bytes - bytes;
}

/* A depth tick of so many levels; returns where its payload is. */
static uint8_t *add_sbe(uint32_t channel, uint64_t seq, uint64_t ts_pub_ns, uint32_t levels,
                        enum md_action action)
{
    static struct md_level bids[20];
    uint8_t payload[1024];
    for (uint32_t i = 0; i < levels; i++) {
        bids[i] = (struct md_level){.price = {.mantissa = 100 - i}, .size = {.mantissa = 1}};
    }
    struct md_update update = {
        .type = MD_DEPTH,
        .ts_event_ns = ts_pub_ns - 500,
        .depth = {.action = action, .bids = bids, .bid_count = levels},
    };
    size_t bytes = sbe_tick_encode(payload, sizeof payload, channel, &update, seq, ts_pub_ns);
    assert_true(bytes > 0);
    return add_message(WS_BINARY, payload, bytes);
}

static void sbe_is_read_at_its_offsets_wherever_it_is_split(void **state)
{
    (void)state;
    for (size_t split = 0; split <= 1000; split++) {
        begin_sbe();
        for (uint64_t seq = 1; seq <= 6; seq++) {
            add_sbe(7, seq, 1500, seq % 2 == 0 ? 1 : 15, MD_DELTA);
        }
        size_t first = split < stream_bytes ? split : stream_bytes;
        bench_receive_on_bytes(&thread.receive, conn, stream, first);
        bench_receive_on_bytes(&thread.receive, conn, stream + first, stream_bytes - first);
        assert_int_equal(thread.crew.totals.window_frames, 6);
        assert_int_equal(thread.crew.totals.window_wire_bytes, stream_bytes);
        assert_int_equal(thread.crew.totals.streams[BENCH_READER].holes, 0);
        assert_int_equal(thread.crew.totals.malformed, 0);
        assert_int_equal(thread.data.channels[0].channel, 7);
        assert_int_equal(thread.data.channels[0].last_seq, 6);
        assert_int_equal(thread.data.latency.max_ns, 3500);
        assert_int_equal(conn->carry_bytes, 0);
        bench_fixture_end();
    }
}

static void sbe_and_its_text_frames_are_one_sequence(void **state)
{
    (void)state;
    begin_sbe();
    add_sbe(7, 1, 1500, 1, MD_DELTA);
    add_tick(7, 2, 1500); /* what SBE cannot represent */
    add_sbe(7, 3, 1500, 1, MD_DELTA);
    add_sbe(7, 3, 1500, 1, MD_DELTA);
    add_sbe(7, 6, 1500, 1, MD_DELTA);
    feed();
    assert_int_equal(thread.crew.totals.window_frames, 4);
    assert_int_equal(thread.crew.totals.streams[BENCH_READER].duplicates, 1);
    assert_int_equal(thread.crew.totals.streams[BENCH_READER].hole_frames, 2);
    assert_int_equal(thread.crew.totals.malformed, 0);
    bench_fixture_end();
}

static void sbe_has_three_times(void **state)
{
    (void)state;
    begin_sbe();
    options.sbe_time_at = SBE_TICK_TS_EVENT_AT;
    add_sbe(7, 1, 1600, 1, MD_DELTA);
    feed();
    assert_int_equal(thread.data.latency.max_ns, 5000 - 1100);
    options.sbe_time_at = SBE_TICK_TS_RECV_AT; /* not given */
    add_sbe(7, 2, 1600, 1, MD_DELTA);
    feed();
    assert_int_equal(thread.crew.totals.malformed, 1);
    bench_fixture_end();
}

static void what_is_no_sbe_of_ours_is_malformed(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t value;
    } faults[] = {
        {SBE_TICK_SCHEMA_AT, 0}, {SBE_TICK_BLOCK_BYTES_AT, 35}, {SBE_TICK_CHANNEL_AT + 3, 1}};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        begin_sbe();
        add_sbe(7, 1, 1500, 1, MD_DELTA)[faults[i].at] = faults[i].value;
        feed();
        assert_int_equal(thread.crew.totals.malformed, 1);
        assert_int_equal(thread.crew.totals.window_frames, 0);
        bench_fixture_end();
    }
    uint8_t payload[SBE_TICK_COMMON_BYTES] = {
        36, 0, 5, 0, SBE_TICK_SCHEMA_ID & 0xff, SBE_TICK_SCHEMA_ID >> 8};
    for (size_t bytes = 0; bytes < sizeof payload; bytes++) {
        uint8_t *exact = malloc(bytes + WS_HEADER_BYTES_MAX);
        assert_non_null(exact);
        begin_sbe();
        memcpy(exact + WS_FRAME_FINISH_GAP, payload, bytes);
        size_t frame_bytes = ws_frame_finish(exact, WS_BINARY, bytes);
        bench_receive_on_bytes(&thread.receive, conn, exact, frame_bytes);
        assert_int_equal(thread.crew.totals.malformed, 1);
        bench_fixture_end();
        free(exact);
    }
}

/* Who is due what: by the names that DEFINITION gives the numbers of SBE's channels. */
static void definitions_tell_who_is_due_what(void **state)
{
    (void)state;
    char error[WS_CLIENT_ERROR_BYTES_MAX];
    begin_sbe();
    bench_load_destroy(load);
    options.symbols = "A,B";
    options.subscription_count = 1;
    assert_int_equal(bench_load_create(&load, &options, error), 0);
    control.load = load;
    add_text("{\"type\":\"DEFINITION\",\"ts\":1,\"data\":{\"channels\":["
             "{\"symbol\":\"A\",\"type\":\"depth\",\"ch\":7},"
             "{\"symbol\":\"B\",\"type\":\"depth\",\"ch\":9}]}}");
    add_sbe(9, 1, 1500, 1, MD_DELTA);
    add_sbe(7, 1, 1500, 1, MD_DELTA);
    feed();
    for (uint32_t symbol = 0; symbol < 2; symbol++) {
        assert_int_equal(thread.data.channels[symbol].symbol, symbol);
    }
    assert_int_equal(thread.crew.totals.malformed, 0);
    bench_fixture_end();
}

static void a_snapshot_is_the_first_whole_book(void **state)
{
    (void)state;
    for (int form = 0; form < 2; form++) {
        begin_sbe();
        options.snapshot = true;
        conn->asked_ns = 4000;
        if (form == BENCH_FORM_SBE) {
            add_sbe(7, 1, 1500, 1, MD_DELTA);
        } else {
            add_text("{\"type\":\"depth\",\"ch\":7,\"seq\":1,\"ts_pub\":1500,"
                     "\"data\":{\"action\":\"delta\"}}");
        }
        feed();
        assert_int_equal(thread.crew.phases[BENCH_PHASE_SNAPSHOT].count, 0);
        thread.crew.now_ns = 6000;
        if (form == BENCH_FORM_SBE) {
            add_sbe(7, 2, 1500, 1, MD_SNAPSHOT);
        } else {
            add_text("{\"type\":\"depth\",\"ch\":7,\"seq\":2,\"ts_pub\":1500,"
                     "\"data\":{\"action\":\"snapshot\"}}");
        }
        add_sbe(7, 3, 1500, 1, MD_SNAPSHOT);
        feed();
        assert_int_equal(thread.crew.phases[BENCH_PHASE_SNAPSHOT].count, 1);
        assert_int_equal(thread.crew.phases[BENCH_PHASE_SNAPSHOT].max_ns, 2000);
        bench_fixture_end();
    }
}

/* ---- Compression ---- */

static struct ws_deflate *deflate_state;

static void begin_deflate(void)
{
    begin();
    options.encoding = BENCH_DEFLATE;
    assert_int_equal(bench_inflate_create(&thread.frames.inflate), 0);
    struct ws_deflate_options deflate_options = {.level = 1, .window_bits = 15};
    assert_int_equal(ws_deflate_create(&deflate_state, &deflate_options), 0);
}

static void end_deflate(void)
{
    ws_deflate_destroy(deflate_state);
    bench_inflate_destroy(thread.frames.inflate);
    bench_fixture_end();
}

static void add_compressed_tick(uint32_t channel, uint64_t seq, uint64_t ts_pub_ns)
{
    char text[1024];
    int bytes = snprintf(text, sizeof text,
                         "{\"type\":\"quote\",\"ch\":%u,\"seq\":%llu,\"ts_pub\":%llu,"
                         "\"data\":{\"pad\":\"%0300d\"}}",
                         channel, (unsigned long long)seq, (unsigned long long)ts_pub_ns, 0);
    size_t frame_bytes =
        ws_deflate_frame(deflate_state, stream + stream_bytes, sizeof stream - stream_bytes,
                         WS_TEXT, text, (size_t)bytes);
    assert_in_range(frame_bytes, 1, 200);
    stream_bytes += frame_bytes;
}

static void compressed_ticks_count_as_what_they_were(void **state)
{
    (void)state;
    for (size_t split = 0; split <= 600; split++) {
        begin_deflate();
        struct bench_conn *other = second();
        for (uint64_t seq = 1; seq <= 4; seq++) {
            add_compressed_tick(7, seq, 1500);
        }
        add_tick(7, 5, 1500); /* uncompressed, as short ones are */
        size_t whole = stream_bytes;
        size_t first = split < whole ? split : whole;
        bench_receive_on_bytes(&thread.receive, conn, stream, first);
        bench_receive_on_bytes(&thread.receive, conn, stream + first, whole - first);
        feed_conn(other);
        assert_int_equal(thread.crew.totals.window_frames, 10);
        assert_int_equal(thread.crew.totals.window_wire_bytes, 2 * whole);
        assert_int_equal(thread.crew.totals.streams[BENCH_READER].holes, 0);
        assert_int_equal(thread.crew.totals.malformed + thread.crew.totals.differing, 0);
        bench_fixture_end_conn(other);
        end_deflate();
    }
}

/* More of them than are kept, in turn: what is kept is never taken for another. */
static void kept_messages_are_not_mixed_up(void **state)
{
    (void)state;
    begin_deflate();
    for (uint64_t seq = 1; seq <= 300; seq++) {
        add_compressed_tick(7, seq, 1000 + seq);
        add_compressed_tick(9, 2 * seq, 1000 + seq);
        feed();
    }
    assert_int_equal(thread.crew.totals.window_frames, 600);
    assert_int_equal(thread.data.channels[0].last_seq, 300);
    assert_int_equal(thread.crew.totals.streams[BENCH_READER].holes, 299);
    assert_int_equal(thread.data.latency.max_ns, 3999);
    end_deflate();
}

static void the_same_bytes_are_inflated_once(void **state)
{
    (void)state;
    begin_deflate();
    add_compressed_tick(7, 1, 1500);
    const uint8_t *messages[3];
    for (size_t i = 0; i < 3; i++) {
        size_t bytes = 0;
        assert_true(bench_inflate_message(thread.frames.inflate, stream + 2, stream[1],
                                          &messages[i], &bytes));
        assert_int_equal(bytes, strlen("{\"type\":\"quote\",\"ch\":7,\"seq\":1,\"ts_pub\":1500,"
                                       "\"data\":{\"pad\":\"\"}}") +
                                    300);
        assert_memory_equal(messages[i], "{\"type\":\"quote\"", 15);
    }
    assert_ptr_not_equal(messages[0], messages[1]);
    assert_ptr_equal(messages[1], messages[2]);
    end_deflate();
}

static void one_other_byte_of_a_compressed_tick_is_a_difference(void **state)
{
    (void)state;
    begin_deflate();
    struct bench_conn *other = second();
    add_compressed_tick(7, 1, 1500);
    feed();
    deflate_state = (ws_deflate_destroy(deflate_state), NULL);
    struct ws_deflate_options stored = {.level = 9, .window_bits = 8};
    assert_int_equal(ws_deflate_create(&deflate_state, &stored), 0);
    add_compressed_tick(7, 1, 1500); /* other bytes of the same message: none */
    feed_conn(other);
    assert_int_equal(thread.crew.totals.window_frames, 2);
    assert_int_equal(thread.crew.totals.differing, 0);
    add_compressed_tick(7, 2, 1500);
    feed();
    add_compressed_tick(7, 2, 1501);
    feed_conn(other);
    assert_int_equal(thread.crew.totals.differing, 1);
    bench_fixture_end_conn(other);
    end_deflate();
}

static void what_cannot_be_inflated_is_malformed(void **state)
{
    (void)state;
    begin_deflate();
    add_compressed_tick(7, 1, 1500);
    stream[3] = 0x06; /* a block of a type that is none */
    feed();
    assert_int_equal(thread.crew.totals.malformed, 1);
    assert_int_equal(conn->state, BENCH_CONN_CLOSED);
    assert_int_equal(thread.crew.totals.streams[BENCH_READER].closes[0].code, 1007);
    end_deflate();
}

static void compression_that_was_not_asked_for_is_malformed(void **state)
{
    (void)state;
    begin_deflate();
    add_compressed_tick(7, 1, 1500);
    bench_inflate_destroy(thread.frames.inflate);
    thread.frames.inflate = NULL;
    feed();
    assert_int_equal(thread.crew.totals.malformed, 1);
    assert_int_equal(conn->state, BENCH_CONN_CLOSED);
    end_deflate();
}

static void a_message_in_fragments_is_malformed(void **state)
{
    (void)state;
    begin();
    options.protocol = BENCH_PLAIN;
    memcpy(stream, "\x01\x02{}", 4);
    stream_bytes = 4;
    feed();
    assert_int_equal(thread.crew.totals.malformed, 1);
    assert_non_null(strstr(thread.crew.totals.first_malformed.why, "several frames"));
    assert_int_equal(conn->state, BENCH_CONN_CLOSED);
    bench_fixture_end();
}

static void a_refused_symbol_is_told_and_ends_the_connection(void **state)
{
    (void)state;
    begin();
    conn->state = BENCH_CONN_SUBSCRIBING;
    thread.crew.in_flight = 1;
    add_text("{\"type\":\"SUBSCRIBED\",\"data\":{\"ok\":[],\"failed\":[{\"symbol\":\"X\"}]}}");
    feed();
    assert_int_equal(thread.crew.totals.refusals, 1);
    assert_non_null(strstr(thread.crew.totals.first_refusal.bytes, "\"X\""));
    assert_int_equal(conn->state, BENCH_CONN_CLOSED);
    assert_int_equal(thread.crew.in_flight, 0);
    bench_fixture_end();
}

static void more_close_codes_than_are_kept_do_no_harm(void **state)
{
    (void)state;
    struct bench_stream_totals totals = {0};
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t code = 0; code < 2 * BENCH_CLOSE_CODES_MAX; code++) {
            bench_totals_count_close(&totals, 4000 + code, 1);
        }
    }
    assert_int_equal(totals.close_code_count, BENCH_CLOSE_CODES_MAX);
    assert_int_equal(totals.closes[0].count, 2);
    assert_int_equal(totals.closes[BENCH_CLOSE_CODES_MAX - 1].count, 2);
}

static void what_a_frame_needs_is_told_by_its_header(void **state)
{
    (void)state;
    static const uint8_t longest[] = {0x81, 127, 0, 0, 0, 0, 0, 0x10, 0, 0};
    static const uint8_t too_long[] = {0x81, 127, 0, 0, 0, 0, 0, 0x10, 0, 1};
    assert_int_equal(bench_frames_needed((const uint8_t *)"\x81", 1), 2);
    assert_int_equal(bench_frames_needed((const uint8_t *)"\x81\x05", 2), 7);
    assert_int_equal(bench_frames_needed((const uint8_t *)"\x81\x7e\x01", 3), 4);
    assert_int_equal(bench_frames_needed((const uint8_t *)"\x81\x7e\x01\x00", 4), 4 + 256);
    assert_int_equal(bench_frames_needed(longest, 9), 10);
    assert_int_equal(bench_frames_needed(longest, 10), 10 + BENCH_FRAME_BYTES_MAX);
    assert_int_equal(bench_frames_needed(too_long, 10), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_count_once_wherever_they_are_split),
        cmocka_unit_test(frames_that_come_byte_by_byte_count),
        cmocka_unit_test(a_frame_belongs_to_the_window_by_its_ts_pub),
        cmocka_unit_test(a_reader_is_finished_by_a_tick_from_after_the_window),
        cmocka_unit_test(a_heartbeat_finishes_a_reader_that_has_all_it_promises),
        cmocka_unit_test(nobody_but_readers_is_waited_for),
        cmocka_unit_test(a_jump_of_seq_is_a_hole_per_channel),
        cmocka_unit_test(a_channel_may_be_known_by_its_symbol),
        cmocka_unit_test(a_seq_that_comes_twice_is_a_duplicate),
        cmocka_unit_test(a_gap_covers_exactly_what_it_tells),
        cmocka_unit_test(stalled_connections_are_counted_apart),
        cmocka_unit_test(light_readers_only_count_ticks_and_gaps),
        cmocka_unit_test(a_masked_frame_is_malformed_wherever_it_is_cut),
        cmocka_unit_test(a_masked_frame_ends_the_connection),
        cmocka_unit_test(a_close_frame_is_counted_under_its_code),
        cmocka_unit_test(the_same_bytes_for_all_are_no_difference),
        cmocka_unit_test(one_other_byte_is_a_difference),
        cmocka_unit_test(a_tick_without_its_fields_is_malformed),
        cmocka_unit_test(a_plain_server_may_send_anything_with_a_time),
        cmocka_unit_test(sbe_is_read_at_its_offsets_wherever_it_is_split),
        cmocka_unit_test(sbe_and_its_text_frames_are_one_sequence),
        cmocka_unit_test(sbe_has_three_times),
        cmocka_unit_test(what_is_no_sbe_of_ours_is_malformed),
        cmocka_unit_test(definitions_tell_who_is_due_what),
        cmocka_unit_test(a_snapshot_is_the_first_whole_book),
        cmocka_unit_test(compressed_ticks_count_as_what_they_were),
        cmocka_unit_test(kept_messages_are_not_mixed_up),
        cmocka_unit_test(the_same_bytes_are_inflated_once),
        cmocka_unit_test(one_other_byte_of_a_compressed_tick_is_a_difference),
        cmocka_unit_test(what_cannot_be_inflated_is_malformed),
        cmocka_unit_test(compression_that_was_not_asked_for_is_malformed),
        cmocka_unit_test(a_message_in_fragments_is_malformed),
        cmocka_unit_test(a_refused_symbol_is_told_and_ends_the_connection),
        cmocka_unit_test(more_close_codes_than_are_kept_do_no_harm),
        cmocka_unit_test(what_a_frame_needs_is_told_by_its_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
