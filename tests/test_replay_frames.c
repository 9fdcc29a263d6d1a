#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec/base/units.h"
#include "tests/feed_recorder.h"

#define NOW_NS UINT64_C(1732078800000000000)
#define FIRST_LINE "ws://localhost:8765/ <-> 1700000000.0 md.json.v1\n"
#define TRADE(symbol, seq)                                                                         \
    "1700000000.5: {'type':'trade','symbol':'" symbol "','ch':1,'seq':" #seq ",'ts_pub':9,"        \
    "'data':{'price':1." #seq "}}\n"
#define BOOK(action, seq, more)                                                                    \
    "1700000000.5: {'type':'depth','symbol':'A.B','ch':2," more "'seq':" #seq ",'ts_pub':9,"       \
    "'data':{'action':'" action "','bids':[[1," #seq "]],'asks':[]}}\n"
#define QUOTE(seq)                                                                                 \
    "1700000000.5: {'type':'quote','symbol':'A.B','ch':3,'seq':" #seq ",'data':{'last':1}}\n"

struct play {
    struct recorder *recorder;
    struct feed *feed;
};

/* Plays the text, in which single quotes stand for double ones, until NOW_NS + for_ns. */
static struct play play_for(const char *text, const char *more, uint64_t for_ns)
{
    struct play play = {.recorder = recorder_create()};
    char path[] = "/tmp/test_replay_frames.XXXXXX";
    char spec[200];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    for (const char *at = text; *at != '\0'; at++) {
        assert_int_equal(write(fd, *at == '\'' ? "\"" : at, 1), 1);
    }
    close(fd);
    snprintf(spec, sizeof spec, "replay:path=%s%s", path, more);
    if (feed_open(&play.feed, spec, &play.recorder->sink, NOW_NS, play.recorder->error) < 0) {
        fail_msg("%s", play.recorder->error);
    }
    unlink(path);
    recorder_run(play.feed, NOW_NS, NOW_NS + for_ns);
    return play;
}

static struct play play(const char *text, const char *more)
{
    return play_for(text, more, NS_PER_SECOND);
}

static void stop(struct play *play)
{
    play->feed->ops->close(play->feed);
    recorder_destroy(play->recorder);
}

static void assert_counters(const struct play *play, uint64_t ticks, uint64_t skipped,
                            uint64_t malformed, uint64_t holes)
{
    assert_int_equal(play->feed->counters.ticks, ticks);
    assert_int_equal(play->recorder->tick_count, ticks);
    assert_int_equal(play->feed->counters.skipped, skipped);
    assert_int_equal(play->feed->counters.malformed, malformed);
    assert_int_equal(play->feed->counters.holes, holes);
}

static void the_first_line_shows_the_format_whatever_the_host(void **state)
{
    (void)state;
    static const char *const texts[] = {
        FIRST_LINE TRADE("A.B", 1),
        "ws://relay.binance.example/ws <-> 1700000000.0 md.json.v1\n" TRADE("A.B", 1),
        "unix://localhost <-> 1700000000.0 md.json.v1\r\n" TRADE("A.B", 1),
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct play play_ = play(texts[i], "");
        assert_counters(&play_, 1, 0, 0, 0);
        assert_string_equal(recorder_symbol(play_.recorder, 0), "A.B");
        stop(&play_);
    }
    struct play play_ = play(TRADE("A.B", 1), ",format=ringcast");
    assert_counters(&play_, 1, 0, 0, 0);
    stop(&play_);
}

static void control_frames_are_skipped_by_name_and_bad_lines_counted(void **state)
{
    (void)state;
    struct play play_ = play(FIRST_LINE "1.5: {'type':'WELCOME','data':{}}\n" TRADE(
                                 "A.B", 1) "ws://localhost:8765/ <- 1.5: {'type':'SUBSCRIBE'}\n\n"
                                           "1.5: {'type':'GAP','data':{'ch':1,'from':2,'to':2}}\n"
                                           "1.5: {'type':'trade'\nwhat\n"
                                           "1.5: {'type':'trade','symbol':'A','data':{}}\n",
                             ",speed=0");
    assert_counters(&play_, 1, 2, 3, 0);
    assert_true(recorder_has_log(play_.recorder,
                                 "1 ticks (1 trade), 2 skipped (1 WELCOME, 1 GAP), 3 malformed"));
    assert_true(recorder_has_log(play_.recorder, ":7: malformed: it is not JSON"));
    assert_true(recorder_has_log(play_.recorder, ":9: malformed: trade: price is missing"));
    stop(&play_);
}

static void a_jump_loses_what_matters_one_by_one(void **state)
{
    (void)state;
    struct play play_ =
        play(FIRST_LINE TRADE("A.B", 5) TRADE("A.B", 6) TRADE("A.B", 8) TRADE("C.D", 1)
                 BOOK("snapshot", 3, "") BOOK("delta", 4, "") QUOTE(1) QUOTE(9),
             ",speed=0");
    assert_counters(&play_, 8, 0, 0, 1);
    assert_int_equal(play_.recorder->lost_count, 1);
    assert_int_equal(play_.recorder->lost_channel, 0);
    stop(&play_);
    play_ = play(FIRST_LINE BOOK("snapshot", 3, "") BOOK("delta", 5, "") BOOK("snapshot", 9, "")
                     BOOK("delta", 10, ""),
                 ",speed=0");
    assert_counters(&play_, 4, 0, 0, 1);
    assert_int_equal(play_.recorder->lost_count, 1);
    stop(&play_);
}

static void deltas_go_on_from_a_whole_book_in_parts(void **state)
{
    (void)state;
    struct play play_ =
        play(FIRST_LINE BOOK("delta", 6, "") BOOK("delta", 7, "")
                 BOOK("snapshot", 7, "'as_of':7,'part':1,'parts':2,")
                     BOOK("delta", 7, "'as_of':7,'part':2,'parts':2,") BOOK("delta", 8, ""),
             ",speed=0");
    assert_counters(&play_, 5, 0, 0, 0);
    assert_int_equal(play_.recorder->lost_count, 0);
    stop(&play_);
}

static void a_book_of_the_pass_before_is_void(void **state)
{
    (void)state;
    static const char text[] =
        FIRST_LINE BOOK("delta", 6, "") BOOK("snapshot", 7, "") TRADE("A.B", 1);
    struct play play_ = play_for(text, ",loop=yes", 3 * NS_PER_MS / 2);
    assert_int_equal(play_.feed->counters.passes, 2);
    assert_counters(&play_, 6, 0, 0, 0);
    assert_int_equal(play_.recorder->lost_count, 1);
    assert_int_equal(play_.recorder->lost_channel, 0);
    stop(&play_);
}

static void frames_without_a_number_are_ticks(void **state)
{
    (void)state;
    struct play play_ = play(FIRST_LINE "1: {'type':'trade','symbol':'A','data':{'price':1}}\n"
                                        "2: {'type':'trade','symbol':'A','data':{'price':2}}\n",
                             ",speed=0,venue=xyz");
    assert_counters(&play_, 2, 0, 0, 0);
    assert_string_equal(recorder_symbol(play_.recorder, 1), "A.XYZ");
    stop(&play_);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_line_shows_the_format_whatever_the_host),
        cmocka_unit_test(control_frames_are_skipped_by_name_and_bad_lines_counted),
        cmocka_unit_test(a_jump_loses_what_matters_one_by_one),
        cmocka_unit_test(deltas_go_on_from_a_whole_book_in_parts),
        cmocka_unit_test(a_book_of_the_pass_before_is_void),
        cmocka_unit_test(frames_without_a_number_are_ticks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
