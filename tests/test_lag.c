/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <linux/tcp.h>
#include <string.h>

#include "ring/lag.h"

#define SEGMENT 1448

/* Ten segments in flight in a window of a hundred; more wait. */
static const struct tcp_info sending = {
    .tcpi_snd_mss = SEGMENT,
    .tcpi_unacked = 10,
    .tcpi_snd_cwnd = 20,
    .tcpi_snd_wnd = 100 * SEGMENT,
    .tcpi_notsent_bytes = 100000,
};

static void a_window_that_is_shut_or_full_is_the_clients_fault(void **state)
{
    (void)state;
    struct tcp_info info = sending;
    info.tcpi_snd_wnd = 10 * SEGMENT;
    assert_int_equal(lag_cause_of(&info), LAG_BY_CLIENT);
    info.tcpi_snd_wnd = 11 * SEGMENT - 1;
    assert_int_equal(lag_cause_of(&info), LAG_BY_CLIENT);
    info.tcpi_snd_wnd = SEGMENT - 1;
    assert_int_equal(lag_cause_of(&info), LAG_BY_CLIENT);
    info = sending;
    info.tcpi_unacked = 0;
    info.tcpi_probes = 1;
    assert_int_equal(lag_cause_of(&info), LAG_BY_CLIENT);
}

static void loss_and_a_full_congestion_window_are_the_networks(void **state)
{
    (void)state;
    struct tcp_info info = sending;
    info.tcpi_unacked = 20;
    assert_int_equal(lag_cause_of(&info), LAG_BY_NETWORK);
    for (int i = 0; i < 3; i++) {
        info = sending;
        info.tcpi_retransmits = i == 0;
        info.tcpi_lost = i == 1;
        info.tcpi_retrans = i == 2;
        assert_int_equal(lag_cause_of(&info), LAG_BY_NETWORK);
        info.tcpi_snd_wnd = 10 * SEGMENT; /* What is lost fills the window, too. */
        assert_int_equal(lag_cause_of(&info), LAG_BY_NETWORK);
        info.tcpi_snd_wnd = 0;
        assert_int_equal(lag_cause_of(&info), LAG_BY_CLIENT);
    }
}

static void else_it_is_the_servers(void **state)
{
    (void)state;
    struct tcp_info info = sending;
    assert_int_equal(lag_cause_of(&info), LAG_BY_SERVER);
    info = (struct tcp_info){.tcpi_snd_mss = SEGMENT}; /* Nothing waits in the kernel. */
    assert_int_equal(lag_cause_of(&info), LAG_BY_SERVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_window_that_is_shut_or_full_is_the_clients_fault),
        cmocka_unit_test(loss_and_a_full_congestion_window_are_the_networks),
        cmocka_unit_test(else_it_is_the_servers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
