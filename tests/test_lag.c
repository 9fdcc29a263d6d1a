/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <linux/tcp.h>
#include <string.h>

#include "ring/fan/lag.h"

#define SEGMENT 1448

/* A second behind; the socket was busy all the time; nothing is wrong just now. */
#define BEHIND_MS 1000
static const struct tcp_info sending = {
    .tcpi_snd_mss = SEGMENT,
    .tcpi_unacked = 10,
    .tcpi_snd_wnd = 100 * SEGMENT,
    .tcpi_notsent_bytes = 100000,
    .tcpi_busy_time = BEHIND_MS * 1000,
};

static void a_window_that_is_shut_is_the_clients_fault(void **state)
{
    (void)state;
    struct tcp_info info = sending;
    info.tcpi_snd_wnd = SEGMENT - 1;
    assert_int_equal(lag_cause_of(&info, BEHIND_MS), LAG_BY_CLIENT);
    info = sending;
    info.tcpi_probes = 1;
    assert_int_equal(lag_cause_of(&info, BEHIND_MS), LAG_BY_CLIENT);
    info.tcpi_unacked = 0;
    assert_int_equal(lag_cause_of(&info, BEHIND_MS), LAG_BY_CLIENT);
}

static void loss_is_the_networks(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct tcp_info info = sending;
        info.tcpi_retransmits = i == 0;
        info.tcpi_lost = i == 1;
        info.tcpi_retrans = i == 2;
        info.tcpi_rwnd_limited = info.tcpi_busy_time;
        assert_int_equal(lag_cause_of(&info, BEHIND_MS), LAG_BY_NETWORK);
        info.tcpi_snd_wnd = 0;
        assert_int_equal(lag_cause_of(&info, BEHIND_MS), LAG_BY_CLIENT);
    }
}

static void else_it_is_what_most_of_the_time_was_waited_for(void **state)
{
    (void)state;
    struct tcp_info info = sending;
    assert_int_equal(lag_cause_of(&info, BEHIND_MS), LAG_BY_NETWORK); /* for ACKs */
    info.tcpi_rwnd_limited = BEHIND_MS * 1000 / 2;
    assert_int_equal(lag_cause_of(&info, BEHIND_MS), LAG_BY_CLIENT);
    info.tcpi_unacked = info.tcpi_notsent_bytes = 0; /* It has just read all. */
    info.tcpi_snd_wnd = 0;
    assert_int_equal(lag_cause_of(&info, BEHIND_MS), LAG_BY_CLIENT);
    info.tcpi_rwnd_limited--;
    assert_int_equal(lag_cause_of(&info, BEHIND_MS), LAG_BY_NETWORK);
    info.tcpi_sndbuf_limited = BEHIND_MS * 1000 / 2;
    assert_int_equal(lag_cause_of(&info, BEHIND_MS), LAG_BY_SERVER);
}

static void a_socket_that_had_little_to_send_waited_for_the_server(void **state)
{
    (void)state;
    struct tcp_info info = sending;
    info.tcpi_rwnd_limited = info.tcpi_busy_time = BEHIND_MS * 1000 / 2;
    assert_int_equal(lag_cause_of(&info, BEHIND_MS), LAG_BY_CLIENT);
    info.tcpi_busy_time--;
    assert_int_equal(lag_cause_of(&info, BEHIND_MS), LAG_BY_SERVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_window_that_is_shut_is_the_clients_fault),
        cmocka_unit_test(loss_is_the_networks),
        cmocka_unit_test(else_it_is_what_most_of_the_time_was_waited_for),
        cmocka_unit_test(a_socket_that_had_little_to_send_waited_for_the_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
