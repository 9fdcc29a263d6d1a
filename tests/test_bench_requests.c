#include "tests/bench_fixture.h"

static struct bench_requests *const requests = &thread.requests;

/* Two connections with three requests: the first has two. Sending to no socket is a loss. */
static int begin(void **state)
{
    (void)state;
    bench_fixture_begin(
        &(struct bench_options){.symbols = "*", .connection_count = 2, .request_count = 3});
    for (int i = 0; i < 2; i++) {
        conns[i] = (struct bench_conn){.fd = -1, .state = BENCH_CONN_STREAMING};
    }
    return bench_requests_init(requests, &thread.crew);
}

static int end(void **state)
{
    (void)state;
    bench_requests_deinit(requests);
    bench_fixture_end();
    return 0;
}

/* Whether the message is an answer, ns after the beginning. */
static bool take(int index, const char *text, uint64_t ns)
{
    struct control_reply reply;
    thread.crew.now_ns = 5000 + ns;
    assert_int_equal(control_reply_parse(&reply, (const uint8_t *)text, strlen(text)), 0);
    bool is_taken = bench_requests_take(requests, &conns[index], &reply);
    control_reply_free(&reply);
    return is_taken;
}

#define ANSWER "{\"type\":\"SUBSCRIPTIONS\",\"data\":{\"subscriptions\":[]}}"
#define ERROR "{\"type\":\"ERROR\",\"data\":{\"code\":111,\"message\":\"too fast\"}}"
#define PONG "{\"type\":\"PONG\",\"data\":{}}"

static void requests_are_sent_one_after_the_other(void **state)
{
    (void)state;
    assert_int_equal(requests->unanswered, 3);
    bench_requests_begin(requests);
    assert_int_equal(requests->conns[0].left, 1);
    assert_int_equal(requests->conns[1].left, 0);
    assert_true(take(0, ANSWER, 100));
    assert_int_equal(requests->conns[0].left, 0);
    bench_requests_begin(requests); /* again: nothing happens */
    assert_true(take(0, ANSWER, 300));
    assert_int_equal(requests->unanswered, 1);
    assert_true(take(1, ANSWER, 400));
    assert_int_equal(requests->unanswered, 0);
    assert_int_equal(requests->answered, 3);
    assert_int_equal(requests->first_ns, 5000);
    assert_int_equal(requests->last_ns, 5400);
    /* 100, 200 from the first answer on, and 400 */
    assert_int_equal(requests->response.count, 3);
    assert_int_equal(requests->response.max_ns, 400);
}

static void what_was_not_asked_for_is_no_answer(void **state)
{
    (void)state;
    assert_false(take(0, ANSWER, 100));
    bench_requests_begin(requests);
    assert_false(take(0, PONG, 100));
    assert_true(take(1, ANSWER, 200));
    assert_false(take(1, ANSWER, 300));
    assert_int_equal(requests->answered, 1);
    assert_int_equal(requests->unanswered, 2);
}

static void an_error_is_an_answer_that_is_refused(void **state)
{
    (void)state;
    bench_requests_begin(requests);
    assert_true(take(0, ERROR, 100));
    assert_int_equal(requests->refused, 1);
    assert_int_equal(requests->response.count, 0);
    assert_true(take(0, ANSWER, 150)); /* The next one was sent. */
    assert_int_equal(requests->unanswered, 1);
}

static void a_connection_that_has_ended_sends_none(void **state)
{
    (void)state;
    conns[1].state = BENCH_CONN_CLOSED;
    bench_requests_begin(requests);
    assert_int_equal(requests->conns[1].left, 1);
    assert_int_equal(requests->unanswered, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(requests_are_sent_one_after_the_other, begin, end),
        cmocka_unit_test_setup_teardown(what_was_not_asked_for_is_no_answer, begin, end),
        cmocka_unit_test_setup_teardown(an_error_is_an_answer_that_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(a_connection_that_has_ended_sends_none, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
