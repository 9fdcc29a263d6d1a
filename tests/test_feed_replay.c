#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/stat.h>

#include "codec/base/units.h"
#include "feed_recorder.h"

#define NOW_NS UINT64_C(1732078800000000000)
#define MS NS_PER_MS
#define CSV_HEADER "ts_ns,symbol,type,price,bid\n"

static char temporary_path[64];

static const char *write_file(const char *text, size_t text_bytes)
{
    snprintf(temporary_path, sizeof temporary_path, "/tmp/test_feed_replay.XXXXXX");
    int fd = mkstemp(temporary_path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, text_bytes), text_bytes);
    close(fd);
    return temporary_path;
}

static int try_open(struct recorder *recorder, struct feed **feed_out, const char *path,
                    const char *more)
{
    char spec[600];
    snprintf(spec, sizeof spec, "replay:path=%s%s", path, more);
    return feed_open(feed_out, spec, &recorder->sink, NOW_NS, recorder->error);
}

static struct feed *open_path(struct recorder *recorder, const char *path, const char *more)
{
    struct feed *feed = NULL;
    if (try_open(recorder, &feed, path, more) < 0) {
        fail_msg("%s", recorder->error);
    }
    return feed;
}

static struct feed *open_text(struct recorder *recorder, const char *text, const char *more)
{
    struct feed *feed = open_path(recorder, write_file(text, strlen(text)), more);
    unlink(temporary_path);
    return feed;
}

static void close_all(struct recorder *recorder, struct feed *feed)
{
    feed->ops->close(feed);
    recorder_destroy(recorder);
}

static void assert_counters(const struct feed *feed, uint64_t ticks, uint64_t skipped,
                            uint64_t malformed, uint64_t holes)
{
    assert_int_equal(feed->counters.ticks, ticks);
    assert_int_equal(feed->counters.skipped, skipped);
    assert_int_equal(feed->counters.malformed, malformed);
    assert_int_equal(feed->counters.holes, holes);
}

static void a_file_that_is_not_there_or_no_file_is_refused(void **state)
{
    (void)state;
    struct recorder *recorder = recorder_create();
    struct feed *feed = NULL;
    assert_int_equal(try_open(recorder, &feed, "/nowhere/at/all", ""), -ENOENT);
    assert_non_null(strstr(recorder->error, "cannot open /nowhere/at/all: No such file"));
    assert_int_equal(try_open(recorder, &feed, "/proc", ""), -ENODATA);
    assert_non_null(strstr(recorder->error, "has no recording (ringcast-*.sbe.zst)"));
    assert_int_equal(try_open(recorder, &feed, "/dev/null", ""), -EINVAL);
    assert_int_equal(feed_open(&feed, "replay", &recorder->sink, NOW_NS, recorder->error), -EINVAL);
    assert_non_null(strstr(recorder->error, "path=FILE is missing"));
    assert_null(feed);
    recorder_destroy(recorder);
}

static void a_file_of_another_format_is_refused_at_start(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *more;
        const char *part;
    } files[] = {
        {"", "", "is empty"},
        {"", ",format=csv", "contains no message or row"},
        {"hello\nworld\n", "", "cannot detect the format"},
        {"\x1f\x8b\x08", "", "is compressed"},
        {"wss://x.example <-> 1\n1: {\"type\":\"match\"}\n", "", "no known venue"},
        {"wss://binance.com <-> 1\n", "", "contains no message or row"},
        {"wss://binance.com <-> 1\n1.0: {\"type\":\"match\"}\n", "", "line 2: it is neither"},
        {CSV_HEADER "1,A.B,T,x,\n", "", "line 2: price is not a decimal"},
        {CSV_HEADER "1,A.B,T,1,\n", ",format=binance", "is not a binance recording"},
        {CSV_HEADER "1,A.B,T,1,\n", ",format=cvs", "did you mean \"csv\"?"},
        {CSV_HEADER "1,A.B,T,1,\n", ",venue=a.b", "venue=A.b is not"},
        {CSV_HEADER, "", "contains no message or row"},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct recorder *recorder = recorder_create();
        struct feed *feed = NULL;
        const char *path = write_file(files[i].text, strlen(files[i].text));
        assert_int_equal(try_open(recorder, &feed, path, files[i].more), -EINVAL);
        if (strstr(recorder->error, files[i].part) == NULL) {
            fail_msg("\"%s\" does not say \"%s\"", recorder->error, files[i].part);
        }
        assert_int_equal(recorder->channel_count, 0); /* A refused file leaves no channels. */
        unlink(path);
        recorder_destroy(recorder);
    }
}

static void a_small_coinbase_capture_gives_its_ticks_in_order(void **state)
{
    (void)state;
    static const enum md_type types[] = {MD_DEPTH, MD_DEPTH, MD_TRADE, MD_QUOTE};
    char path[200];
    struct recorder *recorder = recorder_create();
    struct feed *feed = open_path(
        recorder, recorder_fixture(path, sizeof path, "coinbase_small.ws.log"), ",speed=0");
    assert_true(feed->elastic);
    recorder_run(feed, NOW_NS, FEED_NEVER - 1);
    assert_counters(feed, 4, 3, 0, 0);
    assert_int_equal(recorder->tick_count, 4);
    for (uint64_t i = 0; i < 4; i++) {
        assert_int_equal(recorder_tick(recorder, i)->update.type, types[i]);
        assert_true(recorder_tick(recorder, i)->update.ts_recv_ns == NOW_NS);
        assert_string_equal(recorder_symbol(recorder, i), "ABC-USD.COINBASE");
    }
    assert_int_equal(recorder->log_count, 1);
    assert_true(recorder_has_log(recorder, "4 ticks (1 snapshot, 1 l2update, 1 match, 1 ticker), "
                                           "3 skipped (1 subscriptions, 1 last_match, "
                                           "1 heartbeat), 0 malformed, 0 holes"));
    close_all(recorder, feed);
}

static void holes_are_counted_and_a_new_pass_is_none(void **state)
{
    (void)state;
    char path[200];
    struct recorder *recorder = recorder_create();
    struct feed *feed =
        open_path(recorder, recorder_fixture(path, sizeof path, "binance_small.ws.log"),
                  ",loop=yes,venue=demo");
    recorder_run(feed, NOW_NS, NOW_NS + 8500 * MS); /* Three passes of 3 s, the last cut. */
    assert_int_equal(feed->counters.passes, 2);
    assert_counters(feed, 18, 2, 0, 3);
    assert_string_equal(recorder_symbol(recorder, 0), "ABCUSDT.DEMO");
    close_all(recorder, feed);
}

static void ticks_come_at_the_recorded_pace(void **state)
{
    (void)state;
    static const uint64_t expected_ns[] = {0, 250 * MS, 1750 * MS, 1750 * MS, 4750 * MS};
    struct recorder *recorder = recorder_create();
    struct feed *feed = open_text(recorder,
                                  CSV_HEADER "1700000000000000000,A.B,T,1,\n"
                                             "1700000000500000000,A.B,T,2,\n"
                                             "1700000003500000000,A.B,T,3,\n"
                                             "1700000001000000000,A.B,T,4,\n" /* back in time */
                                             "1700000009500000000,A.B,T,5,\n",
                                  ",speed=2");
    assert_false(feed->elastic);
    uint64_t now_ns = NOW_NS + 77;
    for (uint32_t i = 0; i < 5; i++) {
        uint64_t wake_ns = feed->ops->poll(feed, now_ns);
        while (recorder->tick_count <= i) {
            assert_true(wake_ns > now_ns || wake_ns == now_ns);
            now_ns = wake_ns;
            wake_ns = feed->ops->poll(feed, now_ns);
        }
        assert_true(recorder_tick(recorder, i)->update.ts_recv_ns == NOW_NS + 77 + expected_ns[i]);
    }
    assert_true(recorder_tick(recorder, 3)->update.ts_event_ns == UINT64_C(1700000001000000000));
    recorder_run(feed, now_ns, FEED_NEVER - 1);
    assert_true(feed->ops->poll(feed, now_ns) == FEED_NEVER);
    assert_int_equal(recorder->log_count, 1); /* The end is told once. */
    assert_int_equal(feed->state, FEED_DOWN);
    assert_string_equal(feed->cause, "the recording has ended");
    assert_true(feed->state_since_ns == now_ns);
    close_all(recorder, feed);
}

/* When each tick came after the first poll, in seconds. */
static void assert_pace(const char *rows, const char *more, const uint64_t *seconds, uint32_t count,
                        const char *const *logs, uint32_t log_count)
{
    char text[1000];
    snprintf(text, sizeof text, CSV_HEADER "%s", rows);
    struct recorder *recorder = recorder_create();
    struct feed *feed = open_text(recorder, text, more);
    recorder_run(feed, NOW_NS, FEED_NEVER - 1);
    assert_int_equal(recorder->tick_count, count);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(recorder_tick(recorder, i)->update.ts_recv_ns - NOW_NS,
                         seconds[i] * NS_PER_SECOND);
    }
    for (uint32_t i = 0; i < log_count; i++) {
        if (!recorder_has_log(recorder, logs[i])) {
            fail_msg("not in the log: %s", logs[i]);
        }
    }
    assert_int_equal(recorder->log_count, log_count + 1); /* and the summary */
    close_all(recorder, feed);
}

static void a_row_without_a_time_comes_with_the_one_before(void **state)
{
    (void)state;
    static const uint64_t seconds[] = {0, 0, 0, 2, 2, 3};
    assert_pace("0,A.B,T,1,\n,A.B,T,1,\n1700000000000000000,A.B,T,1,\n"
                "1700000002000000000,A.B,T,1,\nNaN,A.B,T,1,\n1700000003000000000,A.B,T,1,\n",
                "", seconds, 6, NULL, 0);
    struct recorder *recorder = recorder_create();
    struct feed *feed = open_text(recorder, CSV_HEADER "0,A.B,T,1,\n,A.B,T,2,\n", ",loop=yes");
    recorder_run(feed, NOW_NS, NOW_NS + 100 * MS);
    assert_int_equal(recorder->tick_count, 202); /* A pass takes a millisecond. */
    close_all(recorder, feed);
}

static void a_long_wait_is_told_and_one_of_a_week_is_none(void **state)
{
    (void)state;
    static const char *const jumps[] = {
        ":3: its time is 1699999999 s after the previous one",
        ":5: its time is 1700000000 s before the previous one",
        ":7: its time is 604801 s after",
    };
    static const char *const waits[] = {":3: it is due in 61 s", ":4: it is due in 604800 s"};
    static const uint64_t paced[] = {0, 0, 1, 1, 2, 2, 3};
    assert_pace("1000000000,A.B,T,1,\n1700000000000000000,A.B,T,1,\n"
                "1700000001000000000,A.B,T,1,\n1000000000,A.B,T,1,\n2000000000,A.B,T,1,\n"
                "604803000000000,A.B,T,1,\n604804000000000,A.B,T,1,\n",
                "", paced, 7, jumps, 3);
    static const uint64_t waited[] = {0, 61, 604861, 604861, 604862};
    assert_pace("1,A.B,T,1,\n61000000001,A.B,T,1,\n604861000000001,A.B,T,1,\n"
                "61000000001,A.B,T,1,\n604862000000001,A.B,T,1,\n",
                "", waited, 5, waits, 2);
    /* At ten times the speed a week takes a tenth of it. */
    static const uint64_t fast[] = {0, 60480, 60481};
    static const char *const fast_waits[] = {"it is due in 60480 s"};
    assert_pace("1,A.B,T,1,\n604800000000001,A.B,T,1,\n604810000000001,A.B,T,1,\n", ",speed=10",
                fast, 3, fast_waits, 1);
}

static void a_stamp_far_ahead_does_not_end_the_pace(void **state)
{
    (void)state;
    static const uint64_t seconds[] = {0, 1, 1, 1, 2};
    static const char *const jumps[] = {"s after", "s before"};
    assert_pace("1700000000000000000,A.B,T,1,\n1700000001000000000,A.B,T,1,\n"
                "9223372036854775807,A.B,T,1,\n1700000001000000000,A.B,T,1,\n"
                "1700000002000000000,A.B,T,1,\n",
                "", seconds, 5, jumps, 2);
}

static void only_ten_jumps_are_told(void **state)
{
    (void)state;
    char text[2000] = CSV_HEADER;
    for (int i = 0; i < 30; i++) {
        strcat(text, i % 2 == 0 ? "1,A.B,T,1,\n" : "1700000000000000000,A.B,T,1,\n");
    }
    struct recorder *recorder = recorder_create();
    struct feed *feed = open_text(recorder, text, "");
    recorder_run(feed, NOW_NS, FEED_NEVER - 1);
    assert_counters(feed, 30, 0, 0, 0);
    assert_int_equal(recorder->log_count, 11);
    assert_true(recorder_has_log(recorder, "further ones are not logged"));
    close_all(recorder, feed);
}

static void what_is_not_used_is_told_after_seconds(void **state)
{
    (void)state;
    struct recorder *recorder = recorder_create();
    struct feed *feed = open_text(
        recorder,
        "wss://binance.com <-> 1\n1.0: {\"stream\":\"a@miniTicker\",\"data\":{\"e\":\"mini\"}}\n"
        "9.0: {\"e\":\"aggTrade\",\"s\":\"A\",\"p\":\"1\"}\n99.0: {\"e\":\"x\"}\n",
        "");
    recorder_run(feed, NOW_NS, NOW_NS + 4 * NS_PER_SECOND);
    feed->ops->poll(feed, NOW_NS + 4 * NS_PER_SECOND);
    assert_int_equal(recorder->log_count, 0);
    feed->ops->poll(feed, NOW_NS + 5 * NS_PER_SECOND);
    assert_int_equal(recorder->log_count, 1);
    assert_true(recorder_has_log(recorder, "after its first seconds: 0 ticks, 1 skipped (1 mini)"));
    feed->ops->poll(feed, NOW_NS + 6 * NS_PER_SECOND);
    assert_int_equal(recorder->log_count, 1);
    close_all(recorder, feed);
}

static void a_poll_before_its_time_brings_nothing(void **state)
{
    (void)state;
    struct recorder *recorder = recorder_create();
    struct feed *feed = open_text(
        recorder, CSV_HEADER "1700000000000000000,A.B,T,1,\n1700000001000000000,A.B,T,2,\n", "");
    assert_true(feed->ops->poll(feed, NOW_NS) == NOW_NS + NS_PER_SECOND);
    assert_true(feed->ops->poll(feed, NOW_NS + 1) == NOW_NS + NS_PER_SECOND);
    assert_int_equal(recorder->tick_count, 1);
    close_all(recorder, feed);
}

static void a_clock_that_jumps_moves_the_schedule(void **state)
{
    (void)state;
    struct recorder *recorder = recorder_create();
    struct feed *feed = open_text(
        recorder, CSV_HEADER "1700000000000000000,A.B,T,1,\n1700000001000000000,A.B,T,2,\n", "");
    feed->ops->poll(feed, NOW_NS);
    uint64_t back_ns = NOW_NS - 3600 * NS_PER_SECOND;
    assert_true(feed->ops->poll(feed, back_ns) == back_ns + NS_PER_SECOND);
    assert_true(recorder_has_log(recorder, "-3600 s"));
    close_all(recorder, feed);
}

static void each_poll_stays_within_the_room(void **state)
{
    (void)state;
    char text[4000] = CSV_HEADER;
    for (int i = 0; i < 100; i++) {
        strcat(text, "1700000000000000000,A.B,T,1,\n");
    }
    struct recorder *recorder = recorder_create();
    struct feed *feed = open_text(recorder, text, ",speed=0");
    recorder->room = 7;
    assert_true(feed->ops->poll(feed, NOW_NS) <= NOW_NS);
    assert_int_equal(recorder->tick_count, 7);
    recorder->room = 0;
    assert_true(feed->ops->poll(feed, NOW_NS) <= NOW_NS);
    assert_int_equal(recorder->tick_count, 7);
    recorder->room = 1000;
    assert_true(feed->ops->poll(feed, NOW_NS) == FEED_NEVER);
    assert_int_equal(recorder->tick_count, 100);
    close_all(recorder, feed);
}

static void bad_lines_are_counted_told_and_passed_over(void **state)
{
    (void)state;
    struct recorder *recorder = recorder_create();
    struct feed *feed =
        open_text(recorder,
                  "wss://ws-feed.pro.coinbase.com <-> 1600000000.5\r\n"
                  "1.0: {\"type\":\"snapshot\",\"product_id\":\"A-B\",\"bids\":[],\"asks\":[]}\r\n"
                  "\r\n"
                  "garbage\r\n"
                  "2.0: \r\n"
                  "2.0: {\"type\":\"match\"}\r\n"
                  "3.0: {\"type\":\"snapshot\",\"product_id\":\"A-B\",\"bids\":[],\"asks\":[]}\r\n"
                  "4.0: {\"type\":\"snapshot\",\"product_id\":\"A-B\",\"bi",
                  ",speed=0");
    recorder_run(feed, NOW_NS, FEED_NEVER - 1);
    assert_counters(feed, 2, 0, 4, 0);
    assert_true(recorder_has_log(recorder, ":4: malformed: it is not <seconds>: <JSON>"));
    assert_true(recorder_has_log(recorder, ":5: malformed: it is not JSON"));
    assert_true(recorder_has_log(recorder, ":6: malformed: product_id is not a symbol"));
    assert_true(recorder_has_log(recorder, ":8: malformed: it is not JSON"));
    close_all(recorder, feed);
}

static void only_the_first_ten_bad_lines_are_told(void **state)
{
    (void)state;
    char text[4000] = CSV_HEADER "1,A.B,T,1,\n";
    for (int i = 0; i < 30; i++) {
        strcat(text, "garbage\n");
    }
    struct recorder *recorder = recorder_create();
    struct feed *feed = open_text(recorder, text, ",speed=0");
    recorder_run(feed, NOW_NS, FEED_NEVER - 1);
    assert_int_equal(recorder->log_count, 11);
    assert_true(recorder_has_log(recorder, "only counted"));
    assert_true(recorder_has_log(recorder, "30 malformed"));
    assert_counters(feed, 1, 0, 30, 0);
    close_all(recorder, feed);
}

static void lines_of_over_16_mebibytes_are_passed_over(void **state)
{
    (void)state;
    static const char rest[] = "\n2,A.B,T,2,\n";
    static const char head[] = CSV_HEADER "1,A.B,T,1,\n";
    for (size_t long_bytes = 16 * MIB - 2; long_bytes < 36 * MIB; long_bytes += 8 * MIB - 77) {
        size_t bytes = sizeof head - 1 + long_bytes + sizeof rest - 1;
        char *text = malloc(bytes + 1);
        memcpy(text, head, sizeof head - 1);
        memset(text + sizeof head - 1, 'x', long_bytes);
        memcpy(text + sizeof head - 1 + long_bytes, rest, sizeof rest);
        struct recorder *recorder = recorder_create();
        struct feed *feed = open_text(recorder, text, ",speed=0");
        recorder_run(feed, NOW_NS, FEED_NEVER - 1);
        assert_counters(feed, 2, 0, 1, 0);
        assert_int_equal(recorder_has_log(recorder, "longer than 16 MiB"), long_bytes > 16 * MIB);
        close_all(recorder, feed);
        free(text);
    }
}

static void a_loop_goes_on_where_the_last_pass_ended(void **state)
{
    (void)state;
    struct recorder *recorder = recorder_create();
    struct feed *feed = open_text(
        recorder, CSV_HEADER "1700000000000000000,A.B,T,1,\n1700000002000000000,A.B,T,2,\n",
        ",loop=yes");
    recorder_run(feed, NOW_NS, NOW_NS + 7 * NS_PER_SECOND);
    assert_int_equal(recorder->tick_count, 7); /* at 0, 2, 2, 4, 4, 6, 6 s */
    assert_true(recorder_tick(recorder, 2)->update.ts_recv_ns == NOW_NS + 2 * NS_PER_SECOND);
    assert_true(recorder_tick(recorder, 6)->update.ts_recv_ns == NOW_NS + 6 * NS_PER_SECOND);
    assert_int_equal(feed->counters.passes, 3);
    assert_int_equal(recorder->log_count, 1); /* After the first pass, then once a minute. */
    recorder_run(feed, NOW_NS + 8 * NS_PER_SECOND, NOW_NS + 130 * NS_PER_SECOND);
    assert_int_equal(recorder->log_count, 3);
    close_all(recorder, feed);
}

static void a_loop_over_one_instant_does_not_pour_without_end(void **state)
{
    (void)state;
    struct recorder *recorder = recorder_create();
    struct feed *feed = open_text(recorder, CSV_HEADER "1,A.B,T,1,\n", ",loop=yes");
    recorder_run(feed, NOW_NS, NOW_NS + 100 * MS);
    assert_int_equal(recorder->tick_count, 101);
    close_all(recorder, feed);
}

static void a_loop_ends_when_its_file_has_lost_its_ticks(void **state)
{
    (void)state;
    static const char text[] = CSV_HEADER "1,A.B,T,1,\n";
    struct recorder *recorder = recorder_create();
    struct feed *feed = open_path(recorder, write_file(text, sizeof text - 1), ",loop=yes,speed=0");
    recorder->room = 1;
    feed->ops->poll(feed, NOW_NS);
    assert_int_equal(truncate(temporary_path, 0), 0);
    recorder->room = 1024;
    recorder_run(feed, NOW_NS, FEED_NEVER - 1);
    assert_true(feed->ops->poll(feed, NOW_NS) == FEED_NEVER);
    assert_true(recorder_has_log(recorder, "a whole pass produced no tick"));
    unlink(temporary_path);
    close_all(recorder, feed);
}

/* ---- Streams ---- */

static char fifo_path[64];

/* Returns the writer's end. */
static int open_fifo(struct recorder *recorder, struct feed **feed_out, const char *more)
{
    snprintf(fifo_path, sizeof fifo_path, "/tmp/test_feed_replay.%d.fifo", (int)getpid());
    assert_int_equal(mkfifo(fifo_path, 0600), 0);
    *feed_out = open_path(recorder, fifo_path, more);
    int writer = open(fifo_path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(writer >= 0);
    unlink(fifo_path);
    return writer;
}

static void write_text(int writer, const char *text)
{
    assert_int_equal(write(writer, text, strlen(text)), strlen(text));
}

static void a_stream_is_waited_for_by_its_descriptor(void **state)
{
    (void)state;
    struct feed *feed;
    struct recorder *recorder = recorder_create();
    int writer = open_fifo(recorder, &feed, ",speed=0");
    uint64_t now_ns = NOW_NS;
    assert_true(feed->ops->poll(feed, now_ns) > now_ns);
    assert_true(recorder->watched_fd >= 0);
    assert_int_equal(feed->state, FEED_CONNECTING);
    write_text(writer, CSV_HEADER "1,A.B,T,5,\n2,A.B,T,6,");
    assert_true(feed->ops->poll(feed, now_ns) > now_ns);
    assert_int_equal(recorder->tick_count, 1);
    assert_int_equal(feed->state, FEED_LIVE);
    write_text(writer, "\n");
    recorder->room = 1; /* It may not go on after this one, whether there is more or not. */
    assert_int_equal(feed->ops->poll(feed, now_ns), now_ns);
    assert_int_equal(recorder->watched_fd, -1);
    assert_true(feed->ops->poll(feed, now_ns) > now_ns);
    assert_int_equal(recorder->tick_count, 2);
    assert_true(recorder->watched_fd >= 0);
    assert_counters(feed, 2, 0, 0, 0);
    close(writer);
    close_all(recorder, feed);
}

static void a_stream_that_waits_for_its_time_is_not_waited_for(void **state)
{
    (void)state;
    struct feed *feed;
    struct recorder *recorder = recorder_create();
    int writer = open_fifo(recorder, &feed, "");
    uint64_t now_ns = NOW_NS;
    feed->ops->poll(feed, now_ns);
    now_ns += 100 * NS_PER_SECOND; /* The schedule begins with the first item, */
    write_text(writer, CSV_HEADER "1000000000,A.B,T,5,\n4000000000,A.B,T,6,\n");
    assert_int_equal(feed->ops->poll(feed, now_ns), now_ns + 3 * NS_PER_SECOND);
    assert_int_equal(recorder->tick_count, 1); /* which is due at once. */
    assert_int_equal(recorder->watched_fd, -1);
    feed->ops->poll(feed, now_ns + 3 * NS_PER_SECOND);
    assert_int_equal(recorder->tick_count, 2);
    assert_true(recorder->watched_fd >= 0);
    close(writer);
    close_all(recorder, feed);
}

static void the_first_line_of_a_stream_tells_its_format(void **state)
{
    (void)state;
    static const struct {
        const char *more, *text, *log;
        uint64_t ticks;
    } rows[] = {
        {"",
         "wss://ws-feed.pro.coinbase.com <-> 1618677816.0\n1.5: {\"type\":\"match\",\"trade_id\":1,"
         "\"side\":\"buy\",\"size\":\"1\",\"price\":\"2\",\"product_id\":\"A-B\",\"time\":"
         "\"2021-04-17T16:43:37.1Z\"}\n",
         NULL, 1},
        {",format=csv", CSV_HEADER "1,A.B,T,5,\n", NULL, 1},
        {"", "once upon a time\n" CSV_HEADER, "cannot detect the format of", 0},
        {"", "\x1f\x8b\n", "is compressed", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct feed *feed;
        struct recorder *recorder = recorder_create();
        int writer = open_fifo(recorder, &feed, rows[i].more);
        write_text(writer, rows[i].text);
        bool has_ended = feed->ops->poll(feed, NOW_NS) == FEED_NEVER;
        assert_int_equal(has_ended, rows[i].log != NULL);
        assert_int_equal(recorder->tick_count, rows[i].ticks);
        assert_true(rows[i].log == NULL || recorder_has_log(recorder, rows[i].log));
        assert_int_equal(recorder->watched_fd < 0, has_ended);
        close(writer);
        close_all(recorder, feed);
    }
}

static void a_stream_cannot_loop(void **state)
{
    (void)state;
    struct feed *feed = NULL;
    struct recorder *recorder = recorder_create();
    snprintf(fifo_path, sizeof fifo_path, "/tmp/test_feed_replay.%d.fifo", (int)getpid());
    assert_int_equal(mkfifo(fifo_path, 0600), 0);
    assert_int_equal(try_open(recorder, &feed, fifo_path, ",loop=yes"), -EINVAL);
    assert_non_null(strstr(recorder->error, "loop=yes needs a regular file"));
    unlink(fifo_path);
    recorder_destroy(recorder);
}

static void a_csv_file_gives_all_its_types(void **state)
{
    (void)state;
    char path[200];
    struct recorder *recorder = recorder_create();
    struct feed *feed =
        open_path(recorder, recorder_fixture(path, sizeof path, "ticks_small.csv"), ",venue=XX");
    recorder_run(feed, NOW_NS, FEED_NEVER - 1);
    assert_counters(feed, 2, 0, 0, 0);
    assert_string_equal(recorder_symbol(recorder, 0), "000001.XX");
    assert_int_equal(recorder_tick(recorder, 0)->update.type, MD_TRADE);
    assert_int_equal(recorder_tick(recorder, 1)->update.type, MD_QUOTE);
    assert_true(recorder_tick(recorder, 1)->update.ts_recv_ns == NOW_NS + 43211);
    assert_true(recorder_has_log(recorder, "2 ticks (1 trade, 1 quote)"));
    close_all(recorder, feed);
}

/* Plays a real capture and asserts what shared/facts says it holds. */
static void assert_capture(const char *name, const char *more, uint64_t ticks, uint64_t skipped,
                           const char *part)
{
    char path[400];
    if (!recorder_find_capture(path, sizeof path, name)) {
        skip();
    }
    struct recorder *recorder = recorder_create();
    struct feed *feed = open_path(recorder, path, more);
    recorder_run(feed, NOW_NS, FEED_NEVER - 1);
    assert_counters(feed, ticks, skipped, 0, 0);
    assert_int_equal(recorder->tick_count, ticks);
    if (!recorder_has_log(recorder, part)) {
        fail_msg("%s", recorder->logs[0]);
    }
    close_all(recorder, feed);
}

static void the_coinbase_capture_holds_what_it_should(void **state)
{
    (void)state;
    static const char counts[] = "9933 ticks (10 snapshot, 107 ticker, 9719 l2update, 97 match), "
                                 "13 skipped (3 subscriptions, 10 last_match), 0 malformed";
    assert_capture("coinbase.ws.log", ",speed=0", 9933, 13, counts);
    assert_capture("coinbase.ws.log", ",speed=100", 9933, 13, counts);
}

static void the_binance_capture_holds_what_it_should(void **state)
{
    (void)state;
    assert_capture("binance.ws.log", ",speed=0", 265, 0,
                   "265 ticks (177 depthUpdate, 84 bookTicker, 2 aggTrade, 2 kline), 0 skipped");
}

static void the_binance_futures_capture_has_no_holes(void **state)
{
    (void)state;
    assert_capture("binance_futures.ws.log", ",speed=0", 1535, 0,
                   "(613 bookTicker, 764 depthUpdate, 67 kline, 91 aggTrade), 0 skipped");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_is_not_there_or_no_file_is_refused),
        cmocka_unit_test(a_file_of_another_format_is_refused_at_start),
        cmocka_unit_test(a_small_coinbase_capture_gives_its_ticks_in_order),
        cmocka_unit_test(holes_are_counted_and_a_new_pass_is_none),
        cmocka_unit_test(ticks_come_at_the_recorded_pace),
        cmocka_unit_test(a_row_without_a_time_comes_with_the_one_before),
        cmocka_unit_test(a_long_wait_is_told_and_one_of_a_week_is_none),
        cmocka_unit_test(a_stamp_far_ahead_does_not_end_the_pace),
        cmocka_unit_test(only_ten_jumps_are_told),
        cmocka_unit_test(what_is_not_used_is_told_after_seconds),
        cmocka_unit_test(a_poll_before_its_time_brings_nothing),
        cmocka_unit_test(a_clock_that_jumps_moves_the_schedule),
        cmocka_unit_test(each_poll_stays_within_the_room),
        cmocka_unit_test(bad_lines_are_counted_told_and_passed_over),
        cmocka_unit_test(only_the_first_ten_bad_lines_are_told),
        cmocka_unit_test(lines_of_over_16_mebibytes_are_passed_over),
        cmocka_unit_test(a_loop_goes_on_where_the_last_pass_ended),
        cmocka_unit_test(a_loop_over_one_instant_does_not_pour_without_end),
        cmocka_unit_test(a_loop_ends_when_its_file_has_lost_its_ticks),
        cmocka_unit_test(a_csv_file_gives_all_its_types),
        cmocka_unit_test(the_coinbase_capture_holds_what_it_should),
        cmocka_unit_test(the_binance_capture_holds_what_it_should),
        cmocka_unit_test(the_binance_futures_capture_has_no_holes),
        cmocka_unit_test(a_stream_is_waited_for_by_its_descriptor),
        cmocka_unit_test(a_stream_that_waits_for_its_time_is_not_waited_for),
        cmocka_unit_test(the_first_line_of_a_stream_tells_its_format),
        cmocka_unit_test(a_stream_cannot_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
