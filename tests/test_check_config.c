/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ring/board/frame_log_size.h"
#include "src/base/log.h"
#include "src/check_config.h"

static char error[512];

static int check(uint64_t memory_bytes_max, uint64_t log_bytes)
{
    struct options options = {
        .frame_log_bytes = log_bytes,
        .memory_bytes_max = memory_bytes_max,
        .core_count = 1,
        .connections_max = 10,
        .compression = 1,
    };
    struct frame_log_options log = {
        .capacity_bytes = log_bytes,
        .frame_bytes_max = 64 * KIB,
        .channel_count_max = 65536,
        .reader_count = 1,
    };
    error[0] = '\0';
    return check_config_memory(&options, &log, error, sizeof error);
}

static void memory_for_less_than_the_json_log_is_refused_with_both_options(void **state)
{
    (void)state;
    char needed[64];
    struct frame_log_options log = {
        .capacity_bytes = MIB, .channel_count_max = 65536, .reader_count = 1};
    uint64_t most = frame_log_size_most(&log);
    assert_int_equal(check(most - 1, MIB), -EINVAL);
    assert_int_equal(strncmp(error, "--memory-max: ", 14), 0);
    assert_non_null(strstr(error, "--frame-log-bytes 1048576"));
    snprintf(needed, sizeof needed, " %" PRIu64 " bytes ", most);
    assert_non_null(strstr(error, needed));
    assert_int_equal(check(most, MIB), 0);
    assert_string_equal(error, "");
    assert_int_equal(check(most, 2 * MIB), -EINVAL);
}

static void without_a_limit_only_the_memory_counts(void **state)
{
    (void)state;
    assert_int_equal(check(0, MIB), 0);
    assert_int_equal(check(0, UINT64_C(1) << 46), -ENOMEM);
    assert_int_equal(strncmp(error, "--frame-log-bytes: ", 19), 0);
    assert_int_equal(check(UINT64_MAX, UINT64_C(1) << 46), -ENOMEM);
}

static int open_log(void **state)
{
    (void)state;
    return log_open(LOG_LEVEL_CRITICAL, false, 1);
}

static int shut_log(void **state)
{
    (void)state;
    log_close();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_for_less_than_the_json_log_is_refused_with_both_options),
        cmocka_unit_test(without_a_limit_only_the_memory_counts),
    };
    return cmocka_run_group_tests(tests, open_log, shut_log);
}
