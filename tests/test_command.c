/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/clock.h"
#include "src/command/command.h"

#define ROUNDS 300
#define HANG_SECONDS 60 /* The test ends then by SIGALRM. */

struct asked {
    struct commands *commands;
    _Atomic int steps_wanted; /* until it is done; 0: never */
    _Atomic int steps;
    int result;
};

static bool step(void *context, struct commands *commands, uint64_t now_ns)
{
    struct asked *asked = context;
    (void)commands, (void)now_ns;
    asked->steps++;
    return asked->steps == asked->steps_wanted;
}

static void *ask(void *context)
{
    struct asked *asked = context;
    struct command command = {.step = step, .context = asked};
    asked->result = commands_call(asked->commands, &command);
    return NULL;
}

static int set_up(void **state)
{
    static struct asked asked;
    char error[256];
    asked = (struct asked){0};
    alarm(HANG_SECONDS);
    *state = &asked;
    return commands_create(&asked.commands, error, sizeof error);
}

static int tear_down(void **state)
{
    struct asked *asked = *state;
    commands_destroy(asked->commands);
    alarm(0);
    return 0;
}

static void a_command_goes_on_until_its_step_is_the_last(void **state)
{
    struct asked *asked = *state;
    pthread_t thread;
    asked->steps_wanted = 3;
    assert_int_equal(pthread_create(&thread, NULL, ask, asked), 0);
    while (asked->steps < asked->steps_wanted) {
        commands_read(asked->commands, clock_ns(CLOCK_MONOTONIC));
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(asked->result, 0);
    assert_false(commands_read(asked->commands, clock_ns(CLOCK_MONOTONIC)));
}

static void who_waits_when_the_server_ends_is_let_go(void **state)
{
    struct asked *asked = *state;
    for (int round = 0; round < ROUNDS; round++) {
        char error[256];
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, ask, asked), 0);
        for (int i = 0; i < round % 10; i++) { /* Before it asks, before it begins, and after. */
            commands_read(asked->commands, clock_ns(CLOCK_MONOTONIC));
            usleep(20);
        }
        commands_close(asked->commands);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(asked->result, -ESHUTDOWN);
        commands_destroy(asked->commands);
        assert_int_equal(commands_create(&asked->commands, error, sizeof error), 0);
    }
}

static void what_main_does_not_begin_in_time_is_the_callers_again(void **state)
{
    struct asked *asked = *state;
    ask(asked);
    assert_int_equal(asked->result, -ETIMEDOUT);
    assert_false(commands_read(asked->commands, clock_ns(CLOCK_MONOTONIC)));
    assert_int_equal(asked->steps, 0);
}

/* One that waits for cores. */
struct waiting {
    struct command command;
    struct asked *asked;
};

static _Atomic int waiting_dropped;

static bool waiting_step(void *context, struct commands *commands, uint64_t now_ns)
{
    struct waiting *waiting = context;
    (void)commands, (void)now_ns;
    return waiting->asked->steps_wanted > 0;
}

static void waiting_drop(void *context)
{
    free(context);
    waiting_dropped++;
}

static void *wait_for_cores(void *context)
{
    struct asked *asked = context;
    struct waiting *waiting = calloc(1, sizeof *waiting);
    assert_non_null(waiting);
    waiting->asked = asked;
    waiting->command =
        (struct command){.step = waiting_step, .context = waiting, .drop = waiting_drop};
    asked->result = commands_call(asked->commands, &waiting->command);
    asked->steps = 1; /* It has returned. */
    return NULL;
}

/* The admin server answers again, and the memory lives as long as the cores may write to it. */
static void who_waits_for_a_core_that_stands_still_is_let_go(void **state)
{
    struct asked *asked = *state;
    for (int is_closed = 0; is_closed < 2; is_closed++) {
        pthread_t thread;
        waiting_dropped = 0;
        asked->steps_wanted = 0;
        asked->steps = 0;
        assert_int_equal(pthread_create(&thread, NULL, wait_for_cores, asked), 0);
        while (asked->steps == 0) {
            commands_read(asked->commands, clock_ns(CLOCK_MONOTONIC));
            usleep(1000);
        }
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(asked->result, -ETIMEDOUT);
        assert_int_equal(waiting_dropped, 0);
        asked->steps_wanted = 1;
        if (is_closed) {
            commands_close(asked->commands);
        } else {
            assert_false(commands_read(asked->commands, clock_ns(CLOCK_MONOTONIC)));
        }
        assert_int_equal(waiting_dropped, 1);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_command_goes_on_until_its_step_is_the_last),
        TEST(who_waits_when_the_server_ends_is_let_go),
        TEST(who_waits_for_a_core_that_stands_still_is_let_go),
        TEST(what_main_does_not_begin_in_time_is_the_callers_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
