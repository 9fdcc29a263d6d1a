#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "feed_recorder.h"
#include "feeds/feed_clock.h"

#define NOW_NS UINT64_C(1732078800000000000)

static int open_and_close(const char *spec, char error[FEED_ERROR_BYTES_MAX])
{
    struct recorder *recorder = recorder_create();
    struct feed *feed = NULL;
    error[0] = '\0';
    int result = feed_open(&feed, spec, &recorder->sink, NOW_NS, error);
    if (result == 0) {
        feed->ops->close(feed);
    }
    recorder_destroy(recorder);
    return result;
}

static void assert_refused(const char *spec, const char *part)
{
    char error[FEED_ERROR_BYTES_MAX];
    assert_int_equal(open_and_close(spec, error), -EINVAL);
    if (strstr(error, part) == NULL) {
        fail_msg("%s: \"%s\" does not say \"%s\"", spec, error, part);
    }
}

static void a_name_alone_opens_the_feed(void **state)
{
    (void)state;
    char error[FEED_ERROR_BYTES_MAX];
    assert_int_equal(open_and_close("sim", error), 0);
    assert_int_equal(open_and_close("sim:", error), 0);
    assert_int_equal(open_and_close("sim:rate=7,symbols=3", error), 0);
}

static void every_feed_opens_by_its_name(void **state)
{
    (void)state;
    size_t count = 0;
    for (; feed_at(count) != NULL; count++) {
        char error[FEED_ERROR_BYTES_MAX];
        open_and_close(feed_at(count)->name, error); /* Some want keys. */
        assert_null(strstr(error, "unknown feed"));
        assert_true(feed_at(count)->help[0] != '\0');
    }
    assert_true(count >= 2);
}

/* S13 */
static void the_simulated_market_is_called_mock_too(void **state)
{
    (void)state;
    char error[FEED_ERROR_BYTES_MAX];
    assert_int_equal(open_and_close("mock", error), 0);
    assert_int_equal(open_and_close("mock:rate=7,symbols=3", error), 0);
    assert_int_equal(feed_connections_max("mock", 300), feed_connections_max("sim", 300));
    assert_refused("mocks", "unknown feed");
}

static void an_unknown_feed_names_the_nearest(void **state)
{
    (void)state;
    assert_refused("sin", "did you mean \"sim\"?");
    assert_refused("reply:path=x", "did you mean \"replay\"?");
    assert_refused("", "unknown feed \"\"; valid: sim, replay");
    assert_refused("simulation-of-a-very-very-long-name-that-goes-on-and-never-ends-at-all:rate=1",
                   "unknown feed");
}

static void an_unknown_key_names_the_nearest(void **state)
{
    (void)state;
    assert_refused("sim:symbls=2", "did you mean \"symbols\"?");
    assert_refused("sim:zzzzzzzz=2", "valid: symbols, rate, burst, types, seed, pad");
    assert_refused("replay:pth=x", "did you mean \"path\"?");
}

static void a_pair_that_is_none_is_refused(void **state)
{
    (void)state;
    assert_refused("sim:rate", "\"rate\" is not key=value");
    assert_refused("sim:rate=1,", "comma");
    assert_refused("sim:,rate=1", "is not key=value");
    assert_refused("sim:rate=1,rate=2", "rate is given twice");
    assert_refused("sim:=1", "unknown key \"\"");
}

static void numbers_are_checked_against_their_range(void **state)
{
    (void)state;
    assert_refused("sim:rate=0", "rate=0 is not an integer from 1 to");
    assert_refused("sim:rate=-1", "rate=-1");
    assert_refused("sim:rate=1.5", "rate=1.5");
    assert_refused("sim:rate=", "rate=");
    assert_refused("sim:rate=99999999999999999999999999", "is not an integer");
    assert_refused("sim:pad=65001", "from 0 to 65000");
    assert_refused("replay:path=x,speed=1e3", "speed=1e3 is not a number");
    assert_refused("replay:path=x,speed=inf", "speed=inf");
    assert_refused("replay:path=x,speed=-1", "speed=-1");
    assert_refused("replay:path=x,speed=.", "speed=.");
    assert_refused("replay:path=x,loop=maybe", "neither yes nor no");
    assert_refused("replay:path=", "path= is empty");
}

static void a_value_that_is_too_long_is_refused(void **state)
{
    (void)state;
    char spec[FEED_TEXT_BYTES_MAX + 100] = "replay:path=";
    memset(spec + strlen(spec), 'x', FEED_TEXT_BYTES_MAX);
    assert_refused(spec, "is longer than 4095 bytes");
}

static void all_kinds_of_keys_are_read(void **state)
{
    (void)state;
    uint64_t number = 0;
    bool flag = false;
    double decimal = 0;
    char text[FEED_TEXT_BYTES_MAX] = "";
    char error[FEED_ERROR_BYTES_MAX];
    const struct feed_key keys[] = {
        {"number", FEED_KEY_U64, &number, 0, UINT64_MAX},
        {"flag", FEED_KEY_BOOL, &flag, 0, 0},
        {"decimal", FEED_KEY_DECIMAL, &decimal, 0, 0},
        {"text", FEED_KEY_TEXT, text, 0, 0},
    };
    assert_int_equal(feed_parse_keys("demo",
                                     "text=a=b:c,decimal=0.25,flag=YES,number=18446744073709551615",
                                     keys, 4, error),
                     0);
    assert_true(number == UINT64_MAX);
    assert_true(flag);
    assert_true(decimal == 0.25);
    assert_string_equal(text, "a=b:c");
    flag = false;
    assert_int_equal(feed_parse_keys("demo", "flag,number=1", keys, 4, error), 0);
    assert_true(flag);
}

static void a_clock_that_is_set_is_told_from_time_that_passes(void **state)
{
    (void)state;
    struct feed_clock clock;
    feed_clock_init(&clock, NOW_NS);
    assert_int_equal(feed_clock_step(&clock, NOW_NS + 9 * NS_PER_SECOND), 0);
    feed_clock_sleep(&clock, NOW_NS + 3600 * NS_PER_SECOND);
    assert_int_equal(feed_clock_step(&clock, NOW_NS + 3600 * NS_PER_SECOND), 0);
    feed_clock_sleep(&clock, 0);
    assert_int_equal(feed_clock_step(&clock, NOW_NS + 3700 * NS_PER_SECOND), 100 * NS_PER_SECOND);
    feed_clock_sleep(&clock, FEED_NEVER);
    assert_int_equal(feed_clock_step(&clock, NOW_NS), -3700 * (int64_t)NS_PER_SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_alone_opens_the_feed),
        cmocka_unit_test(every_feed_opens_by_its_name),
        cmocka_unit_test(the_simulated_market_is_called_mock_too),
        cmocka_unit_test(an_unknown_feed_names_the_nearest),
        cmocka_unit_test(an_unknown_key_names_the_nearest),
        cmocka_unit_test(a_pair_that_is_none_is_refused),
        cmocka_unit_test(numbers_are_checked_against_their_range),
        cmocka_unit_test(a_value_that_is_too_long_is_refused),
        cmocka_unit_test(all_kinds_of_keys_are_read),
        cmocka_unit_test(a_clock_that_is_set_is_told_from_time_that_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
