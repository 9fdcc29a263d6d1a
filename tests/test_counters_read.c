/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ring/board/counters_read.h"

/* A file as another version might write it: places, sizes and numbers are not this one's. */
struct foreign {
    struct counters_header header;
    uint64_t more_header[2];
    struct {
        struct counters_scope_entry scope;
        uint64_t more[1];
    } scopes[4];
    uint64_t numbers[3][8]; /* of three cores */
    struct {
        struct counters_entry entry;
        uint64_t more[4];
    } entries[4];
    struct {
        struct counters_thread thread;
        uint64_t more[1];
    } threads[1];
};

static struct foreign foreign;
static struct counters_read seen;

#define AT(member) (uint32_t) offsetof(struct foreign, member)

static int set_up(void **state)
{
    (void)state;
    foreign = (struct foreign){
        .header = {.magic = COUNTERS_MAGIC,
                   .version = COUNTERS_VERSION + 1,
                   .core_count = 3,
                   .header_bytes = AT(scopes),
                   .file_bytes = sizeof foreign,
                   .scopes_at = AT(scopes),
                   .scope_bytes = sizeof foreign.scopes[0],
                   .scope_count = 4,
                   .entries_at = AT(entries),
                   .entry_bytes = sizeof foreign.entries[0],
                   .entry_count = 4,
                   .threads_at = AT(threads),
                   .thread_bytes = sizeof foreign.threads[0],
                   .thread_count = 1},
        .scopes = {[COUNTERS_CORE] = {.scope = {"core", AT(numbers), 64, .count = 3}},
                   [3] = {.scope = {"feed", AT(numbers), 8, .count = 2}}},
        .numbers = {{1, 2, 10, 5, 6, 1}, {30, 20, 20, 5, 7, 1}, {100, 10, 30, 0, 8, 2}},
        .entries = {{.entry = {"turns", .scope = COUNTERS_CORE, .kind = COUNTERS_COUNTER}},
                    {.entry = {"turn_max_ns", .scope = COUNTERS_CORE, .offset = 8,
                               .kind = COUNTERS_MAX, .unit = COUNTERS_NS}},
                    /* Under 16; 16, 24; 32, 48; from 64 on. */
                    {.entry = {"wait", .scope = COUNTERS_CORE, .offset = 16,
                               .kind = COUNTERS_HISTOGRAM, .unit = COUNTERS_NS, .first_bits = 4,
                               .buckets = 4, .steps = 2}},
                    {.entry = {"ticks", .scope = 3}}},
        .threads = {{.thread = {"core-0", .tid = 7, .progress_at = AT(numbers)}}},
    };
    return 0;
}

static int read_foreign(void)
{
    return counters_read_memory(&seen, &foreign, sizeof foreign);
}

/* Whether the file is refused, or the entry. */
static bool is_refused(uint32_t index)
{
    struct counters_entry entry;
    return read_foreign() < 0 || !counters_read_entry(&seen, index, &entry);
}

static void a_file_of_another_version_is_read_by_its_tables(void **state)
{
    (void)state;
    struct counters_entry entry;
    struct counters_thread thread;
    assert_int_equal(read_foreign(), 0);
    assert_true(counters_read_find(&seen, COUNTERS_CORE, "turns", &entry));
    assert_int_equal(counters_read_instances(&seen, &entry), 3);
    assert_int_equal(counters_read_value(&seen, &entry, 1), 30);
    assert_int_equal(counters_read_value(&seen, &entry, COUNTERS_READ_ALL), 131);
    assert_true(counters_read_find(&seen, COUNTERS_CORE, "turn_max_ns", &entry));
    assert_int_equal(counters_read_value(&seen, &entry, COUNTERS_READ_ALL), 20);
    assert_true(counters_read_entry(&seen, 3, &entry)); /* of a scope that this version has not */
    assert_string_equal(seen.scopes[entry.scope].name, "feed");
    assert_int_equal(counters_read_instances(&seen, &entry), 2);
    assert_false(counters_read_find(&seen, COUNTERS_PUBLISHER, "turns", &entry));
    assert_true(counters_read_thread(&seen, 0, &thread));
    assert_string_equal(thread.name, "core-0");
    assert_int_equal(counters_read_progress(&seen, &thread), 1);
}

static void a_percentile_is_the_limit_that_the_share_is_below(void **state)
{
    (void)state;
    static struct counters_read_histogram histogram;
    struct counters_entry entry;
    assert_int_equal(read_foreign(), 0);
    assert_true(counters_read_find(&seen, COUNTERS_CORE, "wait", &entry));
    counters_read_histogram(&seen, &entry, COUNTERS_READ_ALL, &histogram);
    assert_int_equal(histogram.sum, 60);
    assert_int_equal(histogram.count, 10 + 21 + 4);
    assert_int_equal(counters_read_limit(&histogram, 0), 16);
    assert_int_equal(counters_read_limit(&histogram, 1), 24);
    assert_int_equal(counters_read_limit(&histogram, 2), 32);
    assert_true(counters_read_limit(&histogram, 3) == UINT64_MAX);
    assert_int_equal(counters_read_percentile(&histogram, 0), 16);
    assert_int_equal(counters_read_percentile(&histogram, 10.0 / 35), 16);
    assert_int_equal(counters_read_percentile(&histogram, 0.5), 24);
    assert_int_equal(counters_read_percentile(&histogram, 1), 32);
    assert_int_equal(counters_read_below(&histogram, 15), 0);
    assert_int_equal(counters_read_below(&histogram, 24), 31);
    assert_int_equal(counters_read_below(&histogram, UINT64_MAX), 35);
    counters_read_histogram(&seen, &entry, 0, &histogram);
    assert_int_equal(histogram.count, 5 + 6 + 1);
}

static void of_an_empty_histogram_all_is_zero(void **state)
{
    (void)state;
    static struct counters_read_histogram histogram;
    struct counters_entry entry;
    memset(foreign.numbers, 0, sizeof foreign.numbers);
    assert_int_equal(read_foreign(), 0);
    assert_true(counters_read_find(&seen, COUNTERS_CORE, "wait", &entry));
    counters_read_histogram(&seen, &entry, COUNTERS_READ_ALL, &histogram);
    assert_int_equal(counters_read_percentile(&histogram, 0.99), 0);
    assert_int_equal(counters_read_percentile(&histogram, 1), 0);
}

static void what_is_no_counters_file_or_an_older_one_is_told_apart(void **state)
{
    (void)state;
    foreign.header.version = 5;
    assert_int_equal(read_foreign(), -EPROTONOSUPPORT);
    assert_int_equal(seen.header.version, 5);
    foreign.header.magic = 0;
    assert_int_equal(read_foreign(), -EBADMSG);
    assert_int_equal(counters_read_memory(&seen, &foreign, 0), -EBADMSG);
}

static void a_file_cut_anywhere_is_refused(void **state)
{
    (void)state;
    for (size_t bytes = sizeof(uint64_t); bytes < sizeof foreign; bytes++) {
        assert_int_equal(counters_read_memory(&seen, &foreign, bytes), -ERANGE);
    }
}

static void a_place_outside_of_the_file_is_refused(void **state)
{
    static uint32_t *const sizes[] = {
        &foreign.header.header_bytes,
        &foreign.header.file_bytes,
        &foreign.header.scopes_at,
        &foreign.header.scope_bytes,
        &foreign.header.scope_count,
        &foreign.header.entries_at,
        &foreign.header.entry_bytes,
        &foreign.header.entry_count,
        &foreign.header.threads_at,
        &foreign.header.thread_bytes,
        (uint32_t *)&foreign.header.thread_count,
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        static const uint32_t values[] = {UINT32_MAX, UINT32_MAX - 7, sizeof foreign + 8};
        for (size_t j = 0; j < 3; j++) {
            set_up(state);
            *sizes[i] = values[j];
            assert_int_equal(read_foreign(), -ERANGE);
        }
    }
}

static void a_place_that_is_no_multiple_of_8_is_refused(void **state)
{
    static uint32_t *const places[] = {&foreign.header.scopes_at,
                                       &foreign.header.entries_at,
                                       &foreign.header.threads_at,
                                       &foreign.header.entry_bytes,
                                       &foreign.scopes[COUNTERS_CORE].scope.at,
                                       &foreign.scopes[COUNTERS_CORE].scope.bytes};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        set_up(state);
        *places[i] -= 4;
        assert_true(is_refused(0));
    }
}

static void an_entry_outside_of_its_scope_is_refused(void **state)
{
    assert_false(is_refused(0));
    foreign.entries[0].entry.offset = 64 - 8;
    assert_false(is_refused(0));
    foreign.entries[0].entry.offset = 64;
    assert_true(is_refused(0));
    foreign.entries[0].entry.offset = 4;
    assert_true(is_refused(0));
    foreign.entries[0].entry.offset = UINT32_MAX - 7;
    assert_true(is_refused(0));
    set_up(state);
    foreign.entries[0].entry.scope = 4;
    assert_true(is_refused(0));
    foreign.entries[0].entry.scope = 255;
    assert_true(is_refused(0));
    set_up(state);
    foreign.entries[0].entry.kind = 99;
    assert_true(is_refused(0));
    assert_false(is_refused(1)); /* The others are read. */
    set_up(state);
    foreign.scopes[COUNTERS_CORE].scope.count = UINT32_MAX;
    assert_true(is_refused(0));
    set_up(state);
    foreign.scopes[COUNTERS_CORE].scope.at = sizeof foreign - 64;
    assert_true(is_refused(0));
}

static void a_histogram_of_no_sense_is_refused(void **state)
{
    struct counters_entry *entry = &foreign.entries[2].entry;
    assert_false(is_refused(2));
    entry->buckets = 6;
    assert_true(is_refused(2)); /* longer than its scope */
    set_up(state);
    entry->steps = 0;
    assert_true(is_refused(2));
    entry->steps = 3;
    assert_true(is_refused(2));
    set_up(state);
    entry->buckets = 1;
    assert_true(is_refused(2));
    entry->steps = 1;
    assert_true(is_refused(2));
    entry->buckets = 2;
    assert_false(is_refused(2));
    set_up(state);
    entry->first_bits = 63;
    assert_true(is_refused(2));
    entry->first_bits = 255;
    assert_true(is_refused(2));
    entry->first_bits = 0;
    assert_true(is_refused(2)); /* Nothing is narrower than 1. */
}

static void text_without_an_end_is_ended(void **state)
{
    (void)state;
    struct counters_entry entry;
    memset(foreign.entries[0].entry.meaning, 'x', sizeof foreign.entries[0].entry.meaning);
    assert_int_equal(read_foreign(), 0);
    assert_true(counters_read_entry(&seen, 0, &entry));
    assert_int_equal(strlen(entry.meaning), sizeof entry.meaning - 1);
}

static void a_progress_word_outside_of_the_file_is_refused(void **state)
{
    (void)state;
    struct counters_thread thread;
    foreign.threads[0].thread.progress_at = sizeof foreign;
    assert_int_equal(read_foreign(), 0);
    assert_false(counters_read_thread(&seen, 0, &thread));
}

static void what_is_no_file_is_refused(void **state)
{
    (void)state;
    char path[] = "/tmp/ringcast-counters-XXXXXX";
    assert_int_equal(counters_read_open(&seen, "/tmp"), -EBADMSG);
    assert_int_equal(counters_read_open(&seen, "/tmp/ringcast-missing"), -ENOENT);
    int fd = mkstemp(path);
    assert_int_equal(counters_read_open(&seen, path), -EBADMSG); /* empty */
    assert_int_equal(write(fd, &foreign, sizeof foreign), sizeof foreign);
    assert_int_equal(counters_read_open(&seen, path), 0);
    assert_false(counters_read_is_live(&seen));
    counters_read_close(&seen);
    close(fd);
    unlink(path);
}

#define TEST(function) cmocka_unit_test_setup(function, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_of_another_version_is_read_by_its_tables),
        TEST(a_percentile_is_the_limit_that_the_share_is_below),
        TEST(of_an_empty_histogram_all_is_zero),
        TEST(what_is_no_counters_file_or_an_older_one_is_told_apart),
        TEST(a_file_cut_anywhere_is_refused),
        TEST(a_place_outside_of_the_file_is_refused),
        TEST(a_place_that_is_no_multiple_of_8_is_refused),
        TEST(an_entry_outside_of_its_scope_is_refused),
        TEST(a_histogram_of_no_sense_is_refused),
        TEST(text_without_an_end_is_ended),
        TEST(a_progress_word_outside_of_the_file_is_refused),
        TEST(what_is_no_file_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
