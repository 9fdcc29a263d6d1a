/* A core's part of a round through the clients, over a core that is a double (session_double.h). */
#include "tests/session_double.h"

#include "src/roll/roll_part.h"
#include "src/session/session_state.h"

#define ROWS 8
#define NOW_NS (1000 * NS_PER_SECOND)

static struct roll_row rows[ROWS];
static struct roll_row *picked[ROWS];
static struct roll roll;
static struct core_counters counters;

static int set_up_counted(void **state)
{
    int error = set_up(state);
    counters = (struct core_counters){0};
    core->sessions->options.counters = &counters;
    return error;
}

/* Returns how many slices it took. */
static uint32_t run(enum roll_round round)
{
    struct roll_part part = {.sessions = core->sessions, .roll = &roll};
    uint32_t slices = 1;
    roll.round = round;
    core->spent = 0;
    while (!roll_part_work(&part, core, NOW_NS)) {
        core->spent = 0;
        slices++;
    }
    return slices;
}

/* All that are listed are picked. */
static void list(uint32_t capacity)
{
    roll = (struct roll){.rows = rows, .capacity = capacity, .picked = picked};
    run(ROLL_LIST);
    roll.picked_count = roll_count(&roll);
    for (uint32_t i = 0; i < roll.picked_count; i++) {
        picked[i] = &rows[i];
    }
}

static void each_open_client_has_one_row(void **state)
{
    (void)state;
    open_conn(2);
    say(2, SUBSCRIBE("\"000001.SZ\"", QUOTE));
    list(ROWS);
    assert_int_equal(roll_count(&roll), 2);
    assert_int_equal(rows[0].conn, 0);
    assert_int_equal(rows[0].number, 1);
    assert_int_equal(rows[0].subscription_count, 0);
    assert_int_equal(rows[1].conn, 2);
    assert_int_equal(rows[1].number, 2);
    assert_int_equal(rows[1].subscription_count, 1);
    assert_int_equal(rows[1].frames_sent, 5);
    assert_int_equal(rows[1].frames_lost, 2);
    assert_int_equal(rows[1].state, ROLL_STREAMING);
    assert_int_equal(rows[1].quality, QUALITY_UNKNOWN);
    assert_null(rows[1].cause);
    assert_null(rows[1].tls);
}

static void a_client_with_tls_has_its_version_and_cipher(void **state)
{
    (void)state;
    static const struct tls_peer peer = {.server_name = "example.com"};
    core->tls = &peer;
    list(ROWS);
    assert_string_equal(rows[0].tls, "1.3");
    assert_string_equal(rows[0].cipher, "AES-128-GCM");
    assert_string_equal(rows[0].certificate, "");
}

static void a_client_that_is_behind_has_lag_and_cause(void **state)
{
    (void)state;
    core->is_behind = true;
    list(ROWS);
    assert_int_equal(rows[0].state, ROLL_BLOCKED);
    assert_int_equal(rows[0].lag_ms, behind.ms);
    assert_string_equal(rows[0].cause, lag_cause_text(behind.cause));
}

static void a_client_that_ends_is_not_listed(void **state)
{
    (void)state;
    open_conn(1);
    core->is_closing[0] = true;
    list(ROWS);
    assert_int_equal(roll_count(&roll), 1);
    assert_int_equal(rows[0].conn, 1);
}

static void no_more_clients_are_listed_than_there_are_rows(void **state)
{
    (void)state;
    open_conn(1);
    open_conn(2);
    list(2);
    assert_int_equal(roll_count(&roll), 2);
}

static void a_round_goes_on_in_slices(void **state)
{
    (void)state;
    core->slice_units = 3; /* A row costs more, an empty place less. */
    open_conn(3);
    roll = (struct roll){.rows = rows, .capacity = ROWS};
    assert_true(run(ROLL_LIST) >= 2);
    assert_int_equal(roll_count(&roll), 2);
}

static void clients_that_are_picked_get_their_details(void **state)
{
    (void)state;
    core->source = (struct core_source){.is_unix = false, .port = 5123};
    list(ROWS);
    run(ROLL_DETAIL);
    assert_true(rows[0].is_there);
    assert_int_equal(rows[0].port, 5123);
    assert_false(rows[0].has_bytes);
}

static void clients_that_are_picked_are_closed_with_the_code(void **state)
{
    (void)state;
    open_conn(1);
    list(ROWS);
    roll.picked = picked + 1;
    roll.picked_count = 1;
    roll.code = 4115;
    run(ROLL_CLOSE);
    assert_int_equal(core->close_code, 4115);
    assert_false(core->is_closing[0]);
    assert_true(core->is_closing[1]);
    assert_true(rows[1].is_there);
    assert_int_equal(counter_get(&counters.closed_kicked), 1);
}

/* A client that closes by itself was not kicked. */
static void a_client_that_ends_is_not_closed_again(void **state)
{
    (void)state;
    list(ROWS);
    core->is_closing[0] = true;
    run(ROLL_CLOSE);
    assert_false(rows[0].is_there);
    assert_int_equal(core->close_code, 0);
}

static void a_newer_client_of_the_same_connection_is_left_alone(void **state)
{
    (void)state;
    list(ROWS);
    end_conn(0);
    open_conn(0);
    run(ROLL_CLOSE);
    assert_false(core->is_closing[0]);
    assert_false(rows[0].is_there);
    run(ROLL_DETAIL);
    assert_false(rows[0].is_there);
}

static void a_client_of_another_core_is_left_alone(void **state)
{
    (void)state;
    list(ROWS);
    rows[0].core++;
    run(ROLL_CLOSE);
    assert_false(core->is_closing[0]);
    assert_false(rows[0].is_there);
}

/* S94 */
static void samples_give_each_client_a_quality_of_its_own(void **state)
{
    (void)state;
    roll = (struct roll){.capacity = 0};
    roll.sampled_ns = NOW_NS - QUALITY_SHORTEST_NS + 1;
    run(ROLL_SAMPLE);
    assert_int_equal(counter_get(&counters.quality_fair), 0);
    roll.sampled_ns = NOW_NS - QUALITY_INTERVAL_NS;
    run(ROLL_SAMPLE);
    list(ROWS);
    assert_int_equal(rows[0].quality, 100 - QUALITY_LOST_POINTS); /* 2 frames of 7 */
    assert_int_equal(counter_get(&counters.quality_fair), 1);
    assert_int_equal(counter_get(&counters.quality_good), 0);
    end_conn(0);
    open_conn(0);
    list(ROWS);
    assert_int_equal(rows[0].quality, QUALITY_UNKNOWN);
}

/* S84 */
static void subscribers_of_channels_are_counted_once(void **state)
{
    (void)state;
    struct roll_channel asked[2] = {{.channel = 0}, {.channel = 1}};
    say(0, SUBSCRIBE("\"000001.SZ\"", QUOTE));
    core->slice_units = 3;
    roll = (struct roll){.rows = rows, .capacity = ROWS, .channels = asked, .channel_count = 2};
    run(ROLL_LIST);
    assert_int_equal(asked[0].subscriber_count + asked[1].subscriber_count, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_counted, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(each_open_client_has_one_row),
        TEST(a_client_with_tls_has_its_version_and_cipher),
        TEST(a_client_that_is_behind_has_lag_and_cause),
        TEST(a_client_that_ends_is_not_listed),
        TEST(no_more_clients_are_listed_than_there_are_rows),
        TEST(a_round_goes_on_in_slices),
        TEST(clients_that_are_picked_get_their_details),
        TEST(clients_that_are_picked_are_closed_with_the_code),
        TEST(a_client_that_ends_is_not_closed_again),
        TEST(a_newer_client_of_the_same_connection_is_left_alone),
        TEST(a_client_of_another_core_is_left_alone),
        TEST(samples_give_each_client_a_quality_of_its_own),
        TEST(subscribers_of_channels_are_counted_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
