/* When sends by reference are worth it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

#include "ring/io/engine_uring.h"
#include "ring/io/send_costs.h"

#define LIMIT_NS (60 * NS_PER_SECOND)
#define FDS_MAX 64

static void a_size_is_chosen_from_which_on_all_are_cheaper_by_a_fifth(void **state)
{
    (void)state;
    static const struct {
        struct send_costs costs;
        uint32_t bytes;
    } cases[] = {
        {{{1000, 1000, 1000, 1000}, {500, 500, 500, 500}}, 4096},
        {{{500, 1000, 2000, 4000}, {700, 799, 1000, 1500}}, 8192},
        {{{500, 1000, 2000, 4000}, {700, 801, 1000, 1500}}, 16384},
        {{{500, 1000, 2000, 4000}, {700, 1100, 1700, 3000}}, 32768},
        {{{500, 1000, 2000, 4000}, {700, 1100, 1700, 3200}}, 0}, /* just 0.8 */
        {{{500, 1000, 2000, 4000}, {700, 1400, 2700, 5900}}, 0},
        {{{500, 1000, 2000, 4000}, {700, 200, 2700, 5900}}, 0},     /* noise in one size */
        {{{500, 1000, 2000, 4000}, {100, 200, 300, 5900}}, 0},      /* and in all but the last */
        {{{500, 1000, 2000, 4000}, {100, 200, 1700, 1500}}, 32768}, /* a gap */
        {{{0, 0, 0, 0}, {0, 0, 0, 0}}, 0},                          /* not measured */
        {{{0, 0, 0, 0}, {1, 1, 1, 1}}, 0},
        {{{1, 1, 1, 1}, {0, 0, 0, 0}}, 4096},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(send_costs_threshold(&cases[i].costs), cases[i].bytes);
    }
}

static uint32_t open_fds(void)
{
    uint32_t count = 0;
    for (int fd = 0; fd < FDS_MAX; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

static void each_kind_of_socket_has_a_time_for_each_size_and_nothing_stays_open(void **state)
{
    (void)state;
    uint32_t before = open_fds();
    for (int is_unix = 0; is_unix < 2; is_unix++) {
        struct send_costs costs;
        int error = send_costs_measure(&costs, is_unix == 1, LIMIT_NS);
        assert_int_equal(open_fds(), before);
        if (is_unix == 1 && !engine_uring_sends_files_to_unix()) {
            assert_int_equal(error, -EOPNOTSUPP);
            assert_int_equal(send_costs_threshold(&costs), 0);
            continue;
        }
        assert_int_equal(error, 0);
        for (uint32_t i = 0; i < SEND_COSTS_SIZES; i++) {
            assert_true(costs.copy_ns[i] > 0);
            assert_true(costs.reference_ns[i] > 0);
        }
    }
}

/* The limit of open files that leaves so many. */
static rlim_t fds_limit(uint32_t free_count)
{
    int fd = 0;
    while (free_count > 0 || fcntl(fd, F_GETFD) >= 0) {
        free_count -= fcntl(fd, F_GETFD) < 0;
        fd++;
    }
    return (rlim_t)fd;
}

static void what_cannot_be_measured_is_never_and_leaves_nothing_open(void **state)
{
    (void)state;
    uint32_t before = open_fds();
    for (int is_unix = 0; is_unix < 2; is_unix++) {
        /* The file, and then each socket, is one too many. */
        for (uint32_t spare = 0; spare < (is_unix == 1 ? 3u : 4u); spare++) {
            struct rlimit limit, low;
            struct send_costs costs;
            memset(&costs, 1, sizeof costs);
            assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
            low = (struct rlimit){.rlim_cur = fds_limit(spare), .rlim_max = limit.rlim_max};
            assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
            int error = send_costs_measure(&costs, is_unix == 1, LIMIT_NS);
            assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
            assert_true(error == -EMFILE || error == -EOPNOTSUPP);
            assert_int_equal(send_costs_threshold(&costs), 0);
            assert_int_equal(costs.copy_ns[0], 0);
            assert_int_equal(open_fds(), before);
        }
    }
}

static void it_ends_when_its_time_is_over(void **state)
{
    (void)state;
    struct send_costs costs;
    uint32_t before = open_fds();
    assert_int_equal(send_costs_measure(&costs, false, 0), -ETIME);
    assert_int_equal(send_costs_threshold(&costs), 0);
    assert_int_equal(open_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_size_is_chosen_from_which_on_all_are_cheaper_by_a_fifth),
        cmocka_unit_test(each_kind_of_socket_has_a_time_for_each_size_and_nothing_stays_open),
        cmocka_unit_test(what_cannot_be_measured_is_never_and_leaves_nothing_open),
        cmocka_unit_test(it_ends_when_its_time_is_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
