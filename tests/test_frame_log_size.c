/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <string.h>
#include <unistd.h>

#include "ring/board/frame_log_size.h"
#include "tests/emulator.h"

#define CHANNELS 5000
#define FRAME_BYTES_MAX 4096

static uint64_t seed = 1;

static uint32_t draw(uint32_t limit)
{
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(seed >> 33) % limit;
}

/* Frames of all sizes, each of which is saved when it leaves the log as its channel's last. */
static void write_frames(struct frame_log *log, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t bytes = 1 + draw(FRAME_BYTES_MAX);
        memset(frame_log_reserve(log), 'x', bytes);
        frame_log_commit(log, draw(CHANNELS), 0, FRAME_FULL_IMAGE, bytes, 0);
    }
    frame_log_publish(log);
}

static void a_log_never_takes_more_than_its_most(void **state)
{
    (void)state;
    struct frame_log *log;
    struct frame_log_options options = {
        .capacity_bytes = 4 * MIB,
        .frame_bytes_max = FRAME_BYTES_MAX,
        .channel_count_max = CHANNELS,
        .reader_count = 1,
        .is_lazy = true,
    };
    uint64_t most = frame_log_size_most(&options);
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    assert_int_equal(frame_log_create(&log, &options), 0);
    assert_int_equal(frame_log_size_now(log), page); /* its header */
    for (uint32_t round = 0; round < 40; round++) {
        write_frames(log, 1000);
        assert_true(frame_log_size_now(log) <= most);
    }
    /* All has been in use: no image finds room any more. */
    assert_true(log->images_unsaved_count > 0);
    assert_true(frame_log_size_now(log) > most * 3 / 4);
    frame_log_clear(log);
    assert_int_equal(frame_log_size_now(log), page);
    frame_log_destroy(log);
}

static void one_that_is_not_lazy_takes_bytes_and_descriptors_at_once(void **state)
{
    (void)state;
    EMULATOR_LACKS("madvise");
    for (uint64_t capacity = MIB; capacity <= 8 * MIB; capacity *= 2) {
        struct frame_log *log;
        struct frame_log_options options = {
            .capacity_bytes = capacity,
            .frame_bytes_max = FRAME_BYTES_MAX,
            .channel_count_max = CHANNELS,
            .reader_count = 1,
        };
        uint64_t at_once = frame_log_size_at_once(&options);
        assert_int_equal(frame_log_create(&log, &options), 0);
        uint64_t now = frame_log_size_now(log);
        assert_in_range(now, at_once, at_once + (uint64_t)sysconf(_SC_PAGESIZE));
        assert_true(frame_log_size_most(&options) > now);
        frame_log_destroy(log);
    }
}

static void the_most_is_two_and_a_half_times_the_capacity_and_what_channels_take(void **state)
{
    (void)state;
    struct frame_log_options options = {
        .capacity_bytes = 64 * MIB,
        .frame_bytes_max = 64 * KIB,
        .channel_count_max = 65536,
        .reader_count = 1,
    };
    uint64_t most = frame_log_size_most(&options);
    assert_int_equal(frame_log_size_at_once(&options), 96 * MIB);
    assert_in_range(most, 167 * MIB, 168 * MIB); /* docs/memory.md */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_never_takes_more_than_its_most),
        cmocka_unit_test(one_that_is_not_lazy_takes_bytes_and_descriptors_at_once),
        cmocka_unit_test(the_most_is_two_and_a_half_times_the_capacity_and_what_channels_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
