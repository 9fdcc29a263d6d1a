#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "codec/base/units.h"
#include "ring/board/counters_threads.h"
#include "src/admin/watchdog.h"

#define LIMIT_NS (5 * NS_PER_SECOND)
#define LOOK_NS (100 * NS_PER_MS)
/* The threads, in this order. */
enum { MAIN, LOG, CORE_0, CORE_1, PUBLISHER, THREADS };

static struct counters counters;
static struct watchdog watchdog;
static uint64_t now_ns;

static void set_up_with(bool has_publisher)
{
    struct watchdog_options options = {.counters = &counters, .limit_ns = LIMIT_NS};
    memset(&counters, 0, sizeof counters);
    counters.header.core_count = 2;
    counters.header.file_bytes = sizeof counters;
    counters_threads_add(&counters, "main", &counters.process.main_turns, 0);
    counters_threads_add(&counters, "log", &counters.process.log_turns, COUNTERS_THREAD_RESTS);
    counters_threads_add(&counters, "core-0", &counters.cores[0].turns, 0);
    counters_threads_add(&counters, "core-1", &counters.cores[1].turns, 0);
    if (has_publisher) {
        counters_threads_add(&counters, "publisher", &counters.publisher.turns, 0);
    }
    now_ns = 1000 * NS_PER_SECOND;
    watchdog_init(&watchdog, &options);
}

static int set_up(void **state)
{
    (void)state;
    set_up_with(true);
    return 0;
}

/* Looks for a while; stopped: the thread that takes no turns, or MAIN for none. */
static void look_for(uint64_t duration_ns, uint32_t stopped)
{
    for (uint64_t past_ns = 0; past_ns < duration_ns; past_ns += LOOK_NS) {
        counter_add(&counters.process.main_turns, 1);
        counter_add(&counters.cores[0].turns, stopped == CORE_0 ? 0 : 1);
        counter_add(&counters.cores[1].turns, stopped == CORE_1 ? 0 : 1);
        counter_add(&counters.publisher.turns, stopped == PUBLISHER ? 0 : 1);
        now_ns += LOOK_NS;
        watchdog_look(&watchdog, now_ns);
    }
}

static void a_thread_without_turns_stalls_after_the_limit_and_no_other(void **state)
{
    (void)state;
    for (uint32_t stopped = CORE_0; stopped <= PUBLISHER; stopped++) {
        set_up(NULL);
        look_for(NS_PER_SECOND, MAIN);
        look_for(LIMIT_NS - LOOK_NS, stopped);
        assert_false(watchdog_is_stalled(&watchdog, now_ns));
        look_for(2 * LOOK_NS, stopped);
        for (uint32_t thread = 0; thread < THREADS; thread++) {
            uint64_t stalled_ns = watchdog_stalled_ns(&watchdog, thread, now_ns);
            assert_int_equal(stalled_ns, thread == stopped ? LIMIT_NS + LOOK_NS : 0);
        }
    }
}

static void who_goes_on_is_not_stalled_any_more(void **state)
{
    (void)state;
    for (uint32_t round = 1; round <= 2; round++) {
        look_for(2 * LIMIT_NS, CORE_1);
        assert_true(watchdog_is_stalled(&watchdog, now_ns));
        look_for(LOOK_NS, MAIN);
        assert_false(watchdog_is_stalled(&watchdog, now_ns));
        assert_int_equal(atomic_load(&watchdog.stall_count), round);
    }
}

static void a_suspended_process_is_not_stalled(void **state)
{
    (void)state;
    look_for(NS_PER_SECOND, MAIN);
    now_ns += 3600 * NS_PER_SECOND;
    watchdog_look(&watchdog, now_ns); /* main runs first, when all others have yet to. */
    assert_false(watchdog_is_stalled(&watchdog, now_ns));
    look_for(NS_PER_SECOND, MAIN);
    assert_false(watchdog_is_stalled(&watchdog, now_ns));
}

static void main_stalls_when_it_looks_no_more(void **state)
{
    (void)state;
    assert_int_equal(watchdog_stalled_ns(&watchdog, MAIN, now_ns), 0); /* It has not begun. */
    look_for(LOOK_NS, MAIN);
    now_ns += LIMIT_NS - 1;
    assert_int_equal(watchdog_stalled_ns(&watchdog, MAIN, now_ns), 0);
    now_ns += 1;
    assert_int_equal(watchdog_stalled_ns(&watchdog, MAIN, now_ns), LIMIT_NS);
    look_for(LOOK_NS, MAIN);
    assert_false(watchdog_is_stalled(&watchdog, now_ns));
}

static void without_a_limit_nobody_stalls(void **state)
{
    (void)state;
    watchdog.options.limit_ns = 0;
    look_for(1000 * NS_PER_SECOND, CORE_0);
    now_ns += 1000 * NS_PER_SECOND;
    assert_false(watchdog_is_stalled(&watchdog, now_ns));
}

static void it_has_begun_when_every_thread_has_taken_a_turn(void **state)
{
    (void)state;
    counter_set(&counters.process.main_turns, 1);
    counter_set(&counters.cores[0].turns, 1);
    counter_set(&counters.cores[1].turns, 1);
    assert_false(watchdog_has_begun(&watchdog));
    counter_set(&counters.publisher.turns, 1); /* The log has had nothing to write. */
    assert_true(watchdog_has_begun(&watchdog));
}

/* An inline publisher is core 0's matter: it has no record of its own. */
static void an_inline_publisher_is_watched_as_core_0(void **state)
{
    (void)state;
    set_up_with(false);
    look_for(LOOK_NS, PUBLISHER);
    assert_true(watchdog_has_begun(&watchdog));
    look_for(2 * LIMIT_NS, CORE_0);
    assert_true(watchdog_stalled_ns(&watchdog, CORE_0, now_ns) > 0);
    assert_int_equal(counters_threads_count(&counters), PUBLISHER);
}

static void the_page_has_each_thread(void **state)
{
    (void)state;
    char *page = NULL;
    size_t bytes;
    look_for(LIMIT_NS, CORE_1);
    look_for(LIMIT_NS, CORE_1);
    FILE *out = open_memstream(&page, &bytes);
    assert_non_null(out);
    watchdog_write_prometheus(&watchdog, out, now_ns);
    fclose(out);
    assert_non_null(strstr(page, "\nringcast_thread_stalled_seconds{thread=\"core-0\"} 0\n"));
    assert_non_null(strstr(page, "\nringcast_thread_stalled_seconds{thread=\"core-1\"} 9.9\n"));
    assert_non_null(strstr(page, "\nringcast_thread_stalled_seconds{thread=\"publisher\"} 0\n"));
    assert_non_null(strstr(page, "\nringcast_thread_stalled_seconds{thread=\"main\"} 0\n"));
    assert_null(strstr(page, "log")); /* It rests. */
    assert_non_null(strstr(page, "\nringcast_thread_stalls_total 1\n"));
    free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_thread_without_turns_stalls_after_the_limit_and_no_other, set_up),
        cmocka_unit_test_setup(who_goes_on_is_not_stalled_any_more, set_up),
        cmocka_unit_test_setup(a_suspended_process_is_not_stalled, set_up),
        cmocka_unit_test_setup(main_stalls_when_it_looks_no_more, set_up),
        cmocka_unit_test_setup(without_a_limit_nobody_stalls, set_up),
        cmocka_unit_test_setup(it_has_begun_when_every_thread_has_taken_a_turn, set_up),
        cmocka_unit_test_setup(an_inline_publisher_is_watched_as_core_0, set_up),
        cmocka_unit_test_setup(the_page_has_each_thread, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
