/* The clients that /admin/clients chooses, and their order. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ring/core/core.h"
#include "src/admin/admin_roll.h"
#include "src/base/quality.h"

#define ROWS 4

static struct roll_row rows[ROWS];
static struct roll_row *picked[ROWS];

static int set_up(void **state)
{
    (void)state;
    memset(rows, 0, sizeof rows);
    for (uint32_t i = 0; i < ROWS; i++) {
        rows[i] = (struct roll_row){.core = i % 2, .number = 1 + i, .quality = 100};
        picked[i] = &rows[i];
    }
    return 0;
}

/* The sessions in this order, as "1-4 0-3 1-2 0-1". */
static const char *sorted(enum admin_roll_key key, bool is_descending)
{
    static char text[ROWS * ADMIN_ROLL_SESSION_BYTES_MAX];
    text[0] = '\0';
    admin_roll_sort(picked, ROWS, key, is_descending);
    for (uint32_t i = 0; i < ROWS; i++) {
        char session[ADMIN_ROLL_SESSION_BYTES_MAX];
        admin_roll_session(picked[i], session);
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i == 0 ? "" : " ",
                 session);
    }
    return text;
}

static void equal_clients_come_in_the_order_of_their_sessions(void **state)
{
    (void)state;
    for (int key = 0; key < ADMIN_ROLL_KEY_COUNT; key++) {
        assert_string_equal(sorted((enum admin_roll_key)key, true), "0-1 0-3 1-2 1-4");
        assert_string_equal(sorted((enum admin_roll_key)key, false), "0-1 0-3 1-2 1-4");
    }
}

static void clients_are_sorted_by_each_key_both_ways(void **state)
{
    (void)state;
    rows[1].frames_lost = 5;
    rows[2].frames_lost = 7;
    assert_string_equal(sorted(ADMIN_ROLL_LOST, true), "0-3 1-2 0-1 1-4");
    assert_string_equal(sorted(ADMIN_ROLL_LOST, false), "0-1 1-4 1-2 0-3");
    rows[3].bytes_sent = 9;
    assert_string_equal(sorted(ADMIN_ROLL_BYTES, true), "1-4 0-1 0-3 1-2");
    rows[0].opened_ns = 1;
    assert_string_equal(sorted(ADMIN_ROLL_CONNECTED, false), "0-1 0-3 1-2 1-4");
    assert_string_equal(sorted(ADMIN_ROLL_CONNECTED, true), "0-3 1-2 1-4 0-1");
    rows[3].subscription_count = 20;
    rows[1].subscription_count = 10;
    assert_string_equal(sorted(ADMIN_ROLL_SUBSCRIPTIONS, true), "1-4 1-2 0-1 0-3");
}

/* S94: a client that was not sampled yet counts as a good one. */
static void the_worst_quality_comes_first_in_ascending_order(void **state)
{
    (void)state;
    rows[2].quality = 20;
    rows[1].quality = QUALITY_UNKNOWN;
    rows[0].quality = 99;
    assert_string_equal(sorted(ADMIN_ROLL_QUALITY, false), "0-3 0-1 1-2 1-4");
    assert_string_equal(sorted(ADMIN_ROLL_QUALITY, true), "1-2 1-4 0-1 0-3");
}

/* S84: the laggards. */
static void lag_is_sorted_by_time_then_losses_then_quality(void **state)
{
    (void)state;
    rows[0].quality = 50;
    rows[1].frames_lost = 1;
    rows[2].lag_ms = 10;
    rows[2].lag_frames = 1;
    rows[3].lag_ms = 10;
    rows[3].lag_frames = 2;
    assert_string_equal(sorted(ADMIN_ROLL_LAG, true), "1-4 0-3 1-2 0-1");
}

static void no_client_is_sorted_without_fault(void **state)
{
    (void)state;
    admin_roll_sort(picked, 0, ADMIN_ROLL_LAG, true);
}

static struct ip_address address(const char *text)
{
    struct ip_address parsed;
    assert_true(ip_address_parse(&parsed, text, strlen(text)));
    return parsed;
}

static bool matches(struct admin_roll_filter filter, const struct roll_row *row)
{
    char error[ADMIN_ROLL_ERROR_BYTES_MAX];
    assert_int_equal(admin_roll_filter_init(&filter, error), 0);
    bool does = admin_roll_matches(&filter, row);
    admin_roll_filter_deinit(&filter);
    return does;
}

static void each_filter_matches_its_own(void **state)
{
    (void)state;
    struct roll_row row = {.core = 3, .number = 12, .encoding = 1, .name = "desk-1"};
    row.address = address("10.0.0.7");
    assert_true(matches((struct admin_roll_filter){.encoding = -1}, &row));
    assert_true(matches((struct admin_roll_filter){.encoding = 1}, &row));
    assert_false(matches((struct admin_roll_filter){.encoding = 0}, &row));
    assert_true(matches((struct admin_roll_filter){.name = "desk-1", .encoding = -1}, &row));
    assert_false(matches((struct admin_roll_filter){.name = "desk", .encoding = -1}, &row));
    assert_true(matches((struct admin_roll_filter){.session = "3-12", .encoding = -1}, &row));
    assert_false(matches((struct admin_roll_filter){.session = "3-1", .encoding = -1}, &row));
    assert_false(matches((struct admin_roll_filter){.session = "0-12", .encoding = -1}, &row));
    assert_true(matches((struct admin_roll_filter){.address = "10.0.0.7", .encoding = -1}, &row));
    assert_true(matches((struct admin_roll_filter){.address = "10.0.0.0/8", .encoding = -1}, &row));
    assert_false(matches((struct admin_roll_filter){.address = "::1", .encoding = -1}, &row));
    assert_false(matches((struct admin_roll_filter){.address = "unix", .encoding = -1}, &row));
    row.is_unix = true;
    row.address = (struct ip_address){{0}};
    assert_true(matches((struct admin_roll_filter){.address = "unix", .encoding = -1}, &row));
    assert_false(matches((struct admin_roll_filter){.address = "::/0", .encoding = -1}, &row));
    assert_false(matches(
        (struct admin_roll_filter){.address = "unix", .name = "desk-2", .encoding = -1}, &row));
}

static void what_is_no_session_or_address_is_refused(void **state)
{
    (void)state;
    static const char *const sessions[] = {"",
                                           "0",
                                           "0-",
                                           "-1",
                                           "0-0",
                                           "0-1-2",
                                           "0-1 ",
                                           " 0-1",
                                           "a-1",
                                           "0--1",
                                           "0-99999999999999999999"};
    static const char *const addresses[] = {"", "10.0.0", "10.0.0.0/33", "desk", "10.0.0.7:80"};
    char error[ADMIN_ROLL_ERROR_BYTES_MAX];
    for (size_t i = 0; i < sizeof sessions / sizeof sessions[0]; i++) {
        struct admin_roll_filter filter = {.session = sessions[i], .encoding = -1};
        assert_int_equal(admin_roll_filter_init(&filter, error), -EINVAL);
        assert_non_null(strstr(error, "session: "));
    }
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        struct admin_roll_filter filter = {.address = addresses[i], .encoding = -1};
        assert_int_equal(admin_roll_filter_init(&filter, error), -EINVAL);
        assert_non_null(strstr(error, "address: "));
        admin_roll_filter_deinit(&filter);
    }
}

static void addresses_are_written_as_the_log_writes_them(void **state)
{
    (void)state;
    char text[ADMIN_ROLL_ADDRESS_BYTES_MAX];
    struct roll_row row = {.address = address("10.0.0.7"), .port = 5123};
    admin_roll_address(&row, text);
    assert_string_equal(text, "10.0.0.7:5123");
    row.address = address("2001:db8::1");
    admin_roll_address(&row, text);
    assert_string_equal(text, "[2001:db8::1]:5123");
    row.port = 0;
    admin_roll_address(&row, text);
    assert_string_equal(text, "2001:db8::1");
    row.is_unix = true;
    admin_roll_address(&row, text);
    assert_string_equal(text, "unix");
}

static void encodings_are_found_by_their_names(void **state)
{
    (void)state;
    assert_int_equal(admin_roll_encoding("json"), CORE_ENCODING_JSON);
    assert_int_equal(admin_roll_encoding("sbe"), CORE_ENCODING_SBE);
    assert_int_equal(admin_roll_encoding("json+deflate"), CORE_ENCODING_JSON_DEFLATE);
    assert_int_equal(admin_roll_encoding(""), -1);
    assert_int_equal(admin_roll_encoding("xml"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(equal_clients_come_in_the_order_of_their_sessions, set_up),
        cmocka_unit_test_setup(clients_are_sorted_by_each_key_both_ways, set_up),
        cmocka_unit_test_setup(the_worst_quality_comes_first_in_ascending_order, set_up),
        cmocka_unit_test_setup(lag_is_sorted_by_time_then_losses_then_quality, set_up),
        cmocka_unit_test_setup(no_client_is_sorted_without_fault, set_up),
        cmocka_unit_test(each_filter_matches_its_own),
        cmocka_unit_test(what_is_no_session_or_address_is_refused),
        cmocka_unit_test(addresses_are_written_as_the_log_writes_them),
        cmocka_unit_test(encodings_are_found_by_their_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
