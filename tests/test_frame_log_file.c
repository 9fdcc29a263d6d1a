/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ring/board/frame_log.h"
#include "tests/emulator.h"
#include "tests/frame_log_fixture.h"

/* ---- The file, as a second process sees it ---- */

/* Of the log's own file, read-only and by number: what log_follower does from another process. */
struct mapped {
    struct shared_memory memory;
    const uint8_t *file;
};

static uint64_t number_at(const uint8_t *at, uint32_t bytes)
{
    uint64_t value = 0;
    memcpy(&value, at, bytes);
    return value;
}

static struct mapped map_file(const struct frame_log *log)
{
    struct mapped mapped;
    int fd = frame_log_read_only_fd(log);
    assert_true(fd >= 0);
    uint8_t start[256];
    assert_int_equal(pread(fd, start, sizeof start, 0), sizeof start);
    assert_memory_equal(start, "ringlog1", 8);
    assert_int_equal(
        shared_memory_open(&mapped.memory, fd, number_at(start + 16, 8), number_at(start + 96, 8)),
        0);
    mapped.file = mapped.memory.view;
    return mapped;
}

static void the_header_says_where_everything_is(void **state)
{
    (void)state;
    struct frame_log *log;
    struct frame_log_options options = {
        .capacity_bytes = 2 * LOG_BYTES,
        .frame_bytes_max = 5000,
        .channel_count_max = 40000,
        .reader_count = 1,
        .encoding = 1,
        .epoch = UINT64_C(0x8877665544332211),
    };
    assert_int_equal(frame_log_create(&log, &options), 0);
    struct mapped mapped = map_file(log);
    const uint8_t *file = mapped.file;
    assert_int_equal(number_at(file + 8, 2), 1);
    assert_int_equal(number_at(file + 10, 2), 0);
    assert_int_equal(number_at(file + 12, 4), 256);
    assert_int_equal(number_at(file + 16, 8), 12 * MIB);
    assert_int_equal(number_at(file + 24, 8), options.epoch);
    assert_int_equal(number_at(file + 32, 4), 1);
    assert_int_equal(number_at(file + 36, 4), 5000);
    assert_int_equal(number_at(file + 40, 8), 2 * MIB); /* 2.44 MiB of records */
    assert_int_equal(number_at(file + 48, 4), 64);
    assert_int_equal(number_at(file + 52, 4), 40000);
    assert_int_equal(number_at(file + 56, 8), 6 * MIB); /* 1 MiB of descriptors */
    assert_int_equal(number_at(file + 64, 4), 64);
    assert_int_equal(number_at(file + 72, 8), 16384);
    assert_int_equal(number_at(file + 80, 8), 8 * MIB);
    assert_int_equal(number_at(file + 88, 8), 2 * MIB);
    assert_int_equal(number_at(file + 96, 8), 10 * MIB);
    assert_int_equal(number_at(file + 104, 8), 2 * MIB);
    shared_memory_close(&mapped.memory);
    frame_log_destroy(log);
}

/* The tag is there at the commit, before the head is; and what it stands for. */
static void a_second_process_finds_a_frame_by_its_tag(void **state)
{
    (void)state;
    struct frame_log *log = make_log();
    struct mapped mapped = map_file(log);
    const uint8_t *file = mapped.file;
    const uint8_t *descs = file + number_at(file + 56, 8);
    const uint8_t *bytes = file + number_at(file + 96, 8);
    for (uint64_t index = 0; index < 3 * (log->desc_mask + 1); index++) {
        const uint8_t *desc = descs + index % (log->desc_mask + 1) * 64;
        uint32_t channel = index % 7 == 0 ? 3 : 4;
        assert_true(number_at(desc, 8) < index + 1);
        append(log, channel, FRAME_FULL_IMAGE, 50 + index % 100);
        assert_int_equal(number_at(desc, 8), index + 1);
        assert_int_equal(number_at(file + 128, 8), frame_log_head(log));
        assert_int_equal(number_at(file + 192, 8), frame_log_tail(log));
        uint64_t position = number_at(desc + 8, 8);
        assert_int_equal(position, log->write_position - 50 - index % 100);
        assert_int_equal(number_at(desc + 16, 8), frame_log_next_seq(log, channel) - 1);
        assert_int_equal(number_at(desc + 24, 8), index);
        assert_int_equal(number_at(desc + 32, 8), frame_log_hash(log, channel));
        assert_int_equal(number_at(desc + 40, 4), channel);
        assert_int_equal(number_at(desc + 44, 4), 50 + index % 100);
        assert_int_equal(number_at(desc + 53, 1), 1);
        const uint8_t *frame = bytes + position % LOG_BYTES;
        assert_int_equal(frame[0], fill_of(index));
        assert_int_equal(frame[50 + index % 100 - 1], fill_of(index)); /* by the second view */
        const uint8_t *record = file + number_at(file + 40, 8) + (uint64_t)channel * 64;
        assert_int_equal(number_at(record, 8), index + 1);
    }
    shared_memory_close(&mapped.memory);
    frame_log_destroy(log);
}

static void a_second_process_finds_the_image_that_was_saved(void **state)
{
    (void)state;
    struct frame_log *log = make_log();
    struct mapped mapped = map_file(log);
    const uint8_t *record = mapped.file + number_at(mapped.file + 40, 8) + 5 * 64;
    const uint8_t *images = mapped.file + number_at(mapped.file + 80, 8);
    for (uint32_t round = 1; round <= 20; round++) {
        uint64_t index = log->write_index;
        uint32_t frame_bytes = 1 + (round * 911) % 3000;
        append(log, 5, FRAME_FULL_IMAGE, frame_bytes);
        append_until_tail(log, 1, index);
        assert_int_equal(number_at(record + 8, 8), round);              /* dropped_seq */
        assert_int_equal(number_at(record + 16, 8), hash_of(5, round)); /* dropped_hash */
        assert_int_equal(number_at(record + 24, 4), 2 * round);         /* image_version */
        assert_int_equal(number_at(record + 28, 4), frame_bytes);       /* image_bytes */
        assert_int_equal(number_at(record + 32, 8), round);             /* image_seq */
        assert_int_equal(number_at(record + 40, 8), index);             /* image_ts_pub_ns */
        assert_int_equal(number_at(record + 56, 8), hash_of(5, round)); /* image_hash */
        const uint8_t *image = images + number_at(record + 48, 8);
        for (uint32_t at = 0; at < frame_bytes; at++) {
            assert_int_equal(image[at], fill_of(index));
        }
    }
    shared_memory_close(&mapped.memory);
    frame_log_destroy(log);
}

/* ---- Room for images ---- */

static bool newest_is(struct frame_log *log, uint32_t channel, uint64_t index, uint32_t bytes)
{
    struct frame_log_image image;
    return frame_log_newest(log, channel, &image) && image.frame_bytes == bytes &&
           image.frame[0] == fill_of(index) && image.frame[bytes - 1] == fill_of(index);
}

/* The images of two channels after the other two grow, to 15 KiB. All rooms that they have had
 * would take more than the area: so what one has outgrown is another's, and no room is in two
 * hands. */
static uint32_t growing_bytes(uint32_t round, uint32_t channel)
{
    uint32_t step = round / 4; /* Both rooms of a channel grow before it goes on. */
    uint32_t kib = step < channel / 2 ? 0 : step - channel / 2;
    return 1 + (kib < 15 ? kib : 15) * 1024;
}

static void rooms_of_images_are_apart_and_come_back(void **state)
{
    (void)state;
    struct frame_log *log = make_log();
    for (uint32_t round = 0; round < 150; round++) {
        uint64_t indices[CHANNELS];
        for (uint32_t channel = 1; channel < CHANNELS; channel++) {
            indices[channel] = log->write_index;
            append(log, channel, FRAME_FULL_IMAGE, growing_bytes(round, channel));
        }
        append_until_tail(log, 0, indices[CHANNELS - 1]);
        for (uint32_t channel = 1; channel < CHANNELS; channel++) {
            assert_true(newest_is(log, channel, indices[channel], growing_bytes(round, channel)));
        }
    }
    assert_int_equal(growing_bytes(149, CHANNELS - 1), 1 + 15 * 1024);
    assert_int_equal(log->saved_count, 150 * (CHANNELS - 1));
    assert_int_equal(log->images_unsaved_count, 0);
    frame_log_destroy(log);
}

static void an_image_without_room_is_not_saved_and_is_counted(void **state)
{
    (void)state;
    struct frame_log_options options = small_log;
    options.channel_count_max = 100;
    struct frame_log *log = make_log_as(&options);
    struct frame_log_image image;
    struct frame_log_found found;
    uint64_t index = 0;
    /* Eighteen rooms of 56 KiB fill the area, but for 16 KiB. */
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t channel = 1; channel <= 9; channel++) {
            index = log->write_index;
            append(log, channel, FRAME_FULL_IMAGE, 50000);
        }
        append_until_tail(log, 0, index);
    }
    assert_int_equal(log->saved_count, 18);
    assert_int_equal(log->images_unsaved_count, 0);
    append(log, 10, FRAME_FULL_IMAGE, 40000);
    append(log, 8, FRAME_FULL_IMAGE, 50000);
    append(log, 9, FRAME_FULL_IMAGE, 60000); /* Its room is too small, and stays its own. */
    index = log->write_index - 1;
    append_until_tail(log, 0, index);
    assert_int_equal(log->images_unsaved_count, 2);
    assert_false(frame_log_newest(log, 10, &image));
    assert_false(frame_log_newest(log, 9, &image));
    assert_true(newest_is(log, 8, index - 1, 50000));
    frame_log_pin_oldest(log, 0);
    frame_log_seek(log, 0, 9, frame_log_head(log), &found);
    assert_true(!found.in_log && found.saved == NULL);
    assert_int_equal(found.next_seq, 4); /* What is not saved is not forgotten. */
    frame_log_unpin(log, 0);
    assert_int_equal(atomic_load(&log->records[9].image_seq), 0);
    assert_int_equal(atomic_load(&log->records[9].image_version) % 2, 0);
    append(log, 9, FRAME_FULL_IMAGE, 50000);
    index = log->write_index - 1;
    append_until_tail(log, 0, index);
    assert_true(newest_is(log, 9, index, 50000));
    frame_log_destroy(log);
}

/* ---- Sealed ---- */

static struct frame_log *make_sealed_log(uint64_t capacity_bytes)
{
    struct frame_log_options options = small_log;
    options.capacity_bytes = capacity_bytes;
    options.is_sealed = true;
    return make_log_as(&options);
}

static void a_sealed_log_is_written_and_saves_images_and_lends_nothing(void **state)
{
    (void)state;
    struct frame_log *log = make_sealed_log(LOG_BYTES);
    uint64_t pages = file_pages(log);
    append(log, 3, FRAME_FULL_IMAGE, 500);
    append_until_tail(log, 0, 0);
    assert_true(newest_is(log, 3, 0, 500));
    uint64_t offset, last = log->write_index - 1;
    const uint8_t *at = frame_log_at(log, frame_log_desc(log, last)->position);
    assert_true(frame_log_pin(log, 0, last));
    assert_false(frame_log_lend(log, 0, at, 100, &offset));
    frame_log_unpin(log, 0);
    lap(log);
    assert_int_equal(log->replaced_bytes, 0);
    /* All of it but the images is there from the start: who reads takes nothing. */
    assert_in_range(file_pages(log) - pages, 1, 512);
    frame_log_destroy(log);
}

static void a_sealed_log_is_of_huge_pages_where_the_kernel_makes_them(void **state)
{
    (void)state;
    EMULATOR_LACKS("madvise");
    struct shared_memory probe;
    assert_int_equal(shared_memory_create(&probe, "probe", 2 * MIB, 2 * MIB), 0);
    int error = shared_memory_collapse(&probe, 0, 2 * MIB);
    struct frame_log *log = make_sealed_log(2 * MIB);
    assert_int_equal(log->collapse_error, error);
    frame_log_destroy(log);
    log = make_sealed_log(MIB); /* too small for one */
    assert_true(log->collapse_error < 0);
    frame_log_destroy(log);
    shared_memory_close(&probe);
}

static void of_a_sealed_log_nobody_gets_a_writable_view(void **state)
{
    (void)state;
    struct frame_log *log = make_sealed_log(LOG_BYTES);
    char path[32];
    int fd = frame_log_read_only_fd(log);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = open(path, O_RDWR);
    assert_true(again >= 0);
    assert_true(mmap(NULL, LOG_BYTES, PROT_WRITE, MAP_SHARED, again, 0) == MAP_FAILED);
    assert_int_equal(errno, EPERM);
    assert_int_equal(fallocate(again, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
    assert_int_equal(errno, EPERM);
    close(again);
    close(fd);
    frame_log_destroy(log);
}

static void a_sealed_log_is_never_cleared(void **state)
{
    (void)state;
    struct frame_log *log = make_sealed_log(LOG_BYTES);
    int status;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(STDERR_FILENO);
        signal(SIGABRT, SIG_DFL); /* cmocka's handler would go on with the next test */
        frame_log_clear(log);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    frame_log_destroy(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_header_says_where_everything_is),
        cmocka_unit_test(a_second_process_finds_a_frame_by_its_tag),
        cmocka_unit_test(a_second_process_finds_the_image_that_was_saved),
        cmocka_unit_test(rooms_of_images_are_apart_and_come_back),
        cmocka_unit_test(an_image_without_room_is_not_saved_and_is_counted),
        cmocka_unit_test(a_sealed_log_is_written_and_saves_images_and_lends_nothing),
        cmocka_unit_test(a_sealed_log_is_of_huge_pages_where_the_kernel_makes_them),
        cmocka_unit_test(of_a_sealed_log_nobody_gets_a_writable_view),
        cmocka_unit_test(a_sealed_log_is_never_cleared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
