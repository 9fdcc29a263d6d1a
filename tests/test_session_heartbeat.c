/* HEARTBEAT over a core that is a double (session_double.h): what it names, and when it comes. */
#include "tests/session_double.h"

#include <stdio.h>
#include <string.h>

/* Seconds of silence; writes those after which a HEARTBEAT came to text, as "1 3 7". */
static char beats[256];

static const char *be_quiet(uint32_t conn, uint32_t seconds)
{
    beats[0] = '\0';
    for (uint32_t second = 1; second <= seconds; second++) {
        uint32_t before = core->text_count;
        session_ops.on_quiet(core->sessions, core, conn, second * NS_PER_SECOND);
        if (core->text_count > before) {
            size_t length = strlen(beats);
            snprintf(beats + length, sizeof beats - length, "%s%u", length == 0 ? "" : " ", second);
        }
    }
    return beats;
}

/* ---- What it names ---- */

static void a_heartbeat_tells_the_next_seq_of_each_channel(void **state)
{
    (void)state;
    ask(SUBSCRIBE("\"000002.SZ\",\"600000.SH\"", QUOTE), "SUBSCRIBED");
    forget_texts();
    be_quiet(0, 1);
    assert_int_equal(core->text_count, 1);
    assert_string_equal(text_of(core->texts[0], "type"), "HEARTBEAT");
    const json_t *data = json_object_get(core->texts[0], "data");
    const json_t *seqs = json_object_get(data, "next_seq");
    assert_int_equal(json_object_size(seqs), 2);
    assert_int_equal(number_of(seqs, "1"), 101);
    assert_int_equal(number_of(seqs, "2"), 102);
    assert_int_equal(number_of(data, "sent"), 5);
    assert_int_equal(number_of(data, "lost"), 2);
    assert_int_equal(number_of(data, "conflated"), 1);
    const json_t *hashes = json_object_get(data, "hash");
    assert_int_equal(json_object_size(hashes), 2);
    assert_string_equal(text_of(hashes, "1"), "00ab000000000001");
    assert_string_equal(text_of(hashes, "2"), "00ab000000000002");
}

static void a_heartbeat_comes_when_it_is_asked_for(void **state)
{
    (void)state;
    ask(SUBSCRIBE("\"000002.SZ\"", QUOTE), "SUBSCRIBED");
    const json_t *data = ask("{\"type\":\"heartbeat\",\"id\":9}", "HEARTBEAT");
    assert_int_equal(number_of(core->texts[0], "id"), 9);
    assert_int_equal(number_of(json_object_get(data, "next_seq"), "1"), 101);
}

static void a_client_that_is_behind_is_promised_nothing(void **state)
{
    (void)state;
    ask(SUBSCRIBE("\"000002.SZ\"", QUOTE), "SUBSCRIBED");
    core->is_behind = true;
    const json_t *data = ask("{\"type\":\"HEARTBEAT\"}", "HEARTBEAT");
    assert_int_equal(json_object_size(json_object_get(data, "next_seq")), 0);
    assert_int_equal(json_object_size(json_object_get(data, "hash")), 0);
    assert_int_equal(number_of(data, "sent"), 5);
}

static void check_pages(const char *subscribe, int channel_count, size_t last)
{
    char symbol[16];
    const size_t sizes[] = {1000, 1000, last, 1000};
    for (int i = 0; i < channel_count; i++) {
        snprintf(symbol, sizeof symbol, "%d.SZ", i);
        open_channel(symbol, MD_QUOTE);
    }
    ask(subscribe, "SUBSCRIBED");
    for (size_t i = 0; i < 4; i++) {
        forget_texts();
        say(0, "{\"type\":\"HEARTBEAT\"}");
        const json_t *data = json_object_get(core->texts[0], "data");
        assert_int_equal(json_object_size(json_object_get(data, "next_seq")), sizes[i]);
    }
}

static void heartbeats_name_many_channels_page_by_page(void **state)
{
    (void)state;
    check_pages(SUBSCRIBE("\"*.SZ\"", QUOTE), 2500, 500);
}

static void heartbeats_name_a_whole_type_page_by_page(void **state)
{
    (void)state;
    check_pages(SUBSCRIBE("\"*\"", QUOTE), 2500, 500);
}

static void no_page_is_empty(void **state)
{
    (void)state;
    check_pages(SUBSCRIBE("\"*\"", QUOTE), 2000, 1000);
}

/* Of the channels, each of which is asked for once for all clients. */
static void lists_of_whole_types_are_written_once_while_no_frame_comes(void **state)
{
    (void)state;
    for (uint32_t conn = 0; conn < CONNS; conn++) {
        if (conn > 0) {
            open_conn(conn);
        }
        say(conn, SUBSCRIBE("\"*\"", QUOTE));
    }
    forget_texts();
    core->seq_count = 0;
    for (uint32_t conn = 0; conn < CONNS; conn++) {
        be_quiet(conn, 1);
    }
    assert_int_equal(core->text_count, CONNS);
    assert_int_equal(core->seq_count, 3);
    for (uint32_t conn = 0; conn < CONNS; conn++) {
        const json_t *data = json_object_get(core->texts[conn], "data");
        assert_int_equal(json_object_size(json_object_get(data, "next_seq")), 3);
        assert_int_equal(number_of(json_object_get(data, "next_seq"), "2"), 102);
        assert_int_equal(json_object_size(json_object_get(data, "hash")), 3);
    }
    core->newest_seq++; /* A frame. */
    be_quiet(1, 2);
    assert_int_equal(core->seq_count, 6);
    forget_texts();
    say(2, SUBSCRIBE("\"000001.SZ\"", "\"trade\"")); /* Its lists are its own now. */
    core->seq_count = 0;
    be_quiet(2, 2);
    const json_t *data = json_object_get(core->texts[1], "data");
    assert_int_equal(json_object_size(json_object_get(data, "next_seq")), 4);
    assert_int_equal(core->seq_count, 4);
}

/* ---- When it comes ---- */

static void heartbeats_come_at_doubling_distances_up_to_the_interval(void **state)
{
    (void)state;
    assert_string_equal(be_quiet(0, 130), "1 3 7 15 31 61 91 121");
    core->frames_sent++;
    forget_texts();
    assert_string_equal(be_quiet(0, 20), "1 3 7 15");
    core->frames_sent++;
    assert_string_equal(be_quiet(0, 2), "1");
    assert_string_equal(be_quiet(0, 2), "1"); /* The third second of this silence. */
}

static void an_interval_of_a_second_has_no_distances(void **state)
{
    (void)state;
    assert_string_equal(be_quiet(0, 9), "1 2 3 4 5 6 7 8 9");
}

static void a_silence_of_days_is_counted(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 10000; i++) {
        forget_texts();
        be_quiet(0, 30);
    }
    forget_texts();
    be_quiet(0, 60);
    assert_int_equal(core->text_count, 2);
}

static int set_up_second(void **state)
{
    heartbeat_interval_ns = NS_PER_SECOND;
    set_up(state);
    heartbeat_interval_ns = 30 * NS_PER_SECOND;
    return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_WIDE(name) cmocka_unit_test_setup_teardown(name, set_up_wide, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_heartbeat_tells_the_next_seq_of_each_channel),
        TEST(a_heartbeat_comes_when_it_is_asked_for),
        TEST(a_client_that_is_behind_is_promised_nothing),
        TEST_WIDE(heartbeats_name_many_channels_page_by_page),
        TEST_WIDE(heartbeats_name_a_whole_type_page_by_page),
        TEST_WIDE(no_page_is_empty),
        TEST(lists_of_whole_types_are_written_once_while_no_frame_comes),
        TEST(heartbeats_come_at_doubling_distances_up_to_the_interval),
        cmocka_unit_test_setup_teardown(an_interval_of_a_second_has_no_distances, set_up_second,
                                        tear_down),
        TEST(a_silence_of_days_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
