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
#include <sys/stat.h>
#include <unistd.h>

#include "codec/base/version.h"
#include "ring/board/counters.h"
#include "ring/board/counters_file.h"
#include "ring/board/counters_read.h"
#include "ring/board/counters_table.h"
#include "ring/board/counters_threads.h"

static char directory[64];
static struct counters_file file;
static struct counters *counters;
static struct counters_read seen; /* as another process sees it */

/* A file of three cores, and a reader of it. */
static int set_up(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/ringcast-counters-XXXXXX");
    assert_non_null(mkdtemp(directory));
    assert_int_equal(counters_file_open(&file, directory, counters_bytes(3)), 0);
    assert_int_equal(counters_open(&counters, file.fd, 3), 0);
    assert_int_equal(counters_file_publish(&file, directory), 0);
    assert_int_equal(counters_read_open(&seen, file.path), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    counters_read_close(&seen);
    counters_close(counters);
    counters_file_close(&file);
    return rmdir(directory);
}

static uint64_t read_value(enum counters_scope scope, const char *name, uint32_t instance)
{
    struct counters_entry entry;
    if (!counters_read_find(&seen, scope, name, &entry)) {
        fail_msg("the file has no %s", name);
    }
    return counters_read_value(&seen, &entry, instance);
}

static void the_file_says_what_it_is_and_is_as_long_as_it_says(void **state)
{
    (void)state;
    struct stat status;
    assert_int_equal(stat(file.path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(status.st_size, seen.header.file_bytes);
    assert_memory_equal(&seen.header.magic, "ringcst1", 8);
    assert_int_equal(seen.header.version, COUNTERS_VERSION);
    assert_int_equal(seen.header.core_count, 3);
    assert_int_equal(seen.header.pid, getpid());
    assert_string_equal(seen.header.server_version, RINGCAST_VERSION);
    assert_true(seen.header.started_ns > 0);
    assert_int_equal(seen.scopes[COUNTERS_PROCESS].count, 1);
    assert_int_equal(seen.scopes[COUNTERS_PUBLISHER].count, 1);
    assert_int_equal(seen.scopes[COUNTERS_CORE].count, 3);
    assert_string_equal(seen.scopes[COUNTERS_CORE].name, "core");
}

static void what_is_written_through_a_struct_is_read_through_an_entry(void **state)
{
    (void)state;
    counter_add(&counters->cores[2].frames_out, 5);
    counter_add(&counters->cores[2].frames_out, 7);
    counter_set(&counters->cores[0].frames_out, 100);
    counter_set(&counters->cores[0].conns_open, 3);
    counter_add(&counters->cores[0].conns_open, (uint64_t)-1); /* Gauges go down so. */
    counter_set(&counters->cores[1].turn_max_ns, 9);
    counter_set(&counters->cores[2].turn_max_ns, 8);
    counter_set(&counters->cores[2].run_delay_ns, 11);
    counter_set(&counters->publisher.ticks, 12);
    counter_set(&counters->process.main_turns, 13);
    assert_int_equal(read_value(COUNTERS_CORE, "frames_out", 2), 12);
    assert_int_equal(read_value(COUNTERS_CORE, "frames_out", 1), 0);
    assert_int_equal(read_value(COUNTERS_CORE, "frames_out", COUNTERS_READ_ALL), 112);
    assert_int_equal(read_value(COUNTERS_CORE, "conns_open", 0), 2);
    assert_int_equal(read_value(COUNTERS_CORE, "turn_max_ns", COUNTERS_READ_ALL), 9);
    assert_int_equal(read_value(COUNTERS_CORE, "run_delay_ns", 2), 11);
    assert_int_equal(read_value(COUNTERS_PUBLISHER, "run_delay_ns", 0), 0);
    assert_int_equal(read_value(COUNTERS_PUBLISHER, "ticks", 0), 12);
    assert_int_equal(read_value(COUNTERS_PROCESS, "main_turns", 0), 13);
}

static void a_histogram_is_read_with_the_limits_it_was_written_with(void **state)
{
    (void)state;
    static const uint64_t values[] = {0,
                                      255,
                                      256,
                                      319,
                                      320,
                                      1000,
                                      1023,
                                      1024,
                                      INT32_MAX,
                                      UINT64_C(1) << 35,
                                      UINT64_C(1) << 36,
                                      UINT64_MAX / 16};
    static struct counters_read_histogram histogram;
    struct counters_entry entry;
    assert_true(counters_read_find(&seen, COUNTERS_CORE, "wait", &entry));
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        counters_histogram_add(&counters->cores[1].wait, values[i], 1 + i);
        counters_read_histogram(&seen, &entry, COUNTERS_READ_ALL, &histogram);
        uint32_t bucket = counters_histogram_bucket(values[i]);
        assert_true(histogram.buckets[bucket] >= 1 + i);
        assert_true(values[i] < counters_read_limit(&histogram, bucket));
        assert_true(bucket == 0 || values[i] >= counters_read_limit(&histogram, bucket - 1));
    }
    assert_int_equal(histogram.count, 12 * 13 / 2);
    assert_int_equal(histogram.sum, counter_get(&counters->cores[1].wait.sum_ns));
    assert_int_equal(counters_histogram_bucket(UINT64_MAX), COUNTERS_HISTOGRAM_BUCKETS - 1);
    for (uint32_t i = 0; i < COUNTERS_HISTOGRAM_BUCKETS - 1; i++) {
        uint64_t limit = counters_read_limit(&histogram, i);
        assert_int_equal(counters_histogram_bucket(limit - 1), i);
        assert_int_equal(counters_histogram_bucket(limit), i + 1);
    }
    counters_read_histogram(&seen, &entry, 0, &histogram);
    assert_int_equal(histogram.count, 0);
}

/* The table's numbers, one byte for each 8: how many entries have them. */
static void count_words(enum counters_scope scope, uint8_t *words, size_t words_count)
{
    size_t row_count;
    const struct counters_row *rows = counters_rows(&row_count);
    for (size_t i = 0; i < row_count; i++) {
        if (rows[i].scope == scope) {
            size_t count = rows[i].kind == COUNTERS_HISTOGRAM
                               ? sizeof(struct counters_histogram) / sizeof(counter)
                               : 1;
            for (size_t word = rows[i].offset / 8; count-- > 0; word++) {
                assert_true(word < words_count);
                words[word]++;
            }
        }
    }
}

/* Only the rest of a cache line, before another writer's, is nobody's. */
static void entries_do_not_overlap_and_leave_no_holes(void **state)
{
    (void)state;
    for (uint32_t scope = 0; scope < COUNTERS_SCOPES; scope++) {
        static uint8_t words[4096];
        size_t words_count = seen.scopes[scope].bytes / 8;
        assert_true(words_count <= sizeof words);
        memset(words, 0, sizeof words);
        count_words(scope, words, words_count);
        for (size_t word = 0, hole = 0; word < words_count; word++) {
            assert_true(words[word] <= 1);
            hole = words[word] == 1 ? 0 : hole + 1;
            assert_true(hole < CACHE_LINE_BYTES / 8);
            bool ends_here = hole > 0 && (word + 1 == words_count || words[word + 1] == 1);
            assert_true(!ends_here || (word + 1) % (CACHE_LINE_BYTES / 8) == 0);
        }
    }
}

/* The header is read at the root of the repository. */
static void every_member_has_an_entry(void **state)
{
    (void)state;
    static const struct {
        const char *begin;
        enum counters_scope scope;
    } structs[] = {{"\nstruct core_counters {", COUNTERS_CORE},
                   {"\nstruct publisher_counters {", COUNTERS_PUBLISHER},
                   {"\nstruct process_counters {", COUNTERS_PROCESS}};
    static char text[65536];
    FILE *header = fopen("ring/board/counters.h", "r");
    assert_non_null(header);
    text[fread(text, 1, sizeof text - 1, header)] = '\0';
    fclose(header);
    size_t member_count = 0;
    for (size_t i = 0; i < sizeof structs / sizeof structs[0]; i++) {
        const char *at = strstr(text, structs[i].begin);
        assert_non_null(at);
        const char *end = strstr(at, "\n};");
        for (at = strchr(at, ';'); at != NULL && at < end; at = strchr(at + 1, ';')) {
            char name[64];
            struct counters_entry entry;
            const char *begin = at;
            while (begin[-1] != ' ') {
                begin--;
            }
            if (memcmp(begin - 8, "counter ", 8) != 0 &&
                memcmp(begin - 10, "histogram ", 10) != 0) {
                continue; /* in a comment */
            }
            snprintf(name, sizeof name, "%.*s", (int)(at - begin), begin);
            if (!counters_read_find(&seen, structs[i].scope, name, &entry)) {
                fail_msg("%s has no entry", name);
            }
            member_count++;
        }
    }
    assert_int_equal(member_count, seen.header.entry_count);
}

static void an_entry_is_what_its_row_says(void **state)
{
    (void)state;
    size_t row_count;
    const struct counters_row *rows = counters_rows(&row_count);
    assert_int_equal(seen.header.entry_count, row_count);
    for (size_t i = 0; i < row_count; i++) {
        struct counters_entry entry;
        struct counters_entry first;
        assert_true(counters_read_entry(&seen, (uint32_t)i, &entry));
        assert_string_equal(entry.name, rows[i].name);
        assert_true(counters_read_find(&seen, rows[i].scope, rows[i].name, &first));
        assert_int_equal(first.offset, entry.offset); /* No other has the name. */
        assert_string_equal(entry.meaning, rows[i].meaning);
        assert_string_equal(entry.metric, rows[i].metric == NULL ? "" : rows[i].metric);
        assert_string_equal(entry.labels, rows[i].labels == NULL ? "" : rows[i].labels);
        assert_int_equal(entry.offset, rows[i].offset);
        assert_int_equal(entry.scope, rows[i].scope);
        assert_int_equal(entry.kind, rows[i].kind);
        assert_int_equal(entry.unit, rows[i].unit);
        size_t name_bytes = strlen(entry.name);
        bool is_ns = name_bytes > 3 && strcmp(entry.name + name_bytes - 3, "_ns") == 0;
        assert_true(is_ns == (entry.unit == COUNTERS_NS && entry.kind != COUNTERS_HISTOGRAM));
        assert_int_equal(entry.meaning[strlen(entry.meaning) - 1], '.');
    }
}

static void without_a_file_the_counters_are_in_memory(void **state)
{
    (void)state;
    struct counters *memory = NULL;
    assert_int_equal(counters_open(&memory, -1, 2), 0);
    assert_int_equal(memory->header.core_count, 2);
    counter_add(&memory->cores[1].sends, 1);
    assert_int_equal(counter_get(&memory->cores[1].sends), 1);
    counters_close(memory);
    memory = NULL;
    assert_int_equal(counters_open(&memory, -1, COUNTERS_CORES_MAX + 1), -EINVAL);
    assert_null(memory);
}

static void each_writer_has_cache_lines_of_its_own(void **state)
{
    (void)state;
    assert_int_equal(offsetof(struct counters, process) % CACHE_LINE_BYTES, 0);
    assert_int_equal(offsetof(struct counters, publisher) % CACHE_LINE_BYTES, 0);
    assert_int_equal(offsetof(struct counters, threads) % CACHE_LINE_BYTES, 0);
    assert_int_equal(offsetof(struct counters, cores) % CACHE_LINE_BYTES, 0);
    assert_int_equal(sizeof(struct core_counters) % CACHE_LINE_BYTES, 0);
    assert_int_equal(offsetof(struct core_counters, run_delay_ns) % CACHE_LINE_BYTES, 0);
    assert_int_equal(offsetof(struct publisher_counters, run_delay_ns) % CACHE_LINE_BYTES, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

static void each_thread_is_named_and_shows_its_word(void **state)
{
    (void)state;
    assert_int_equal(counters_threads_count(counters), 0);
    struct counters_thread *core =
        counters_threads_add(counters, "core-1", &counters->cores[1].turns, 0);
    counters_threads_add(counters, "log", &counters->process.log_turns, COUNTERS_THREAD_RESTS);
    assert_int_equal(counters_threads_count(counters), 2);
    const struct counters_thread *other = counters_threads_get(counters, 0);
    assert_string_equal(other->name, "core-1");
    assert_int_equal(other->tid, 0);
    counters_threads_begin(core);
    assert_int_equal(other->tid, gettid());
    assert_int_equal(other->flags, 0);
    assert_int_equal(counters_threads_get(counters, 1)->flags, COUNTERS_THREAD_RESTS);
    counter_add(&counters->cores[1].turns, 7);
    assert_int_equal(counters_threads_progress(counters, other), 7);
    assert_int_equal(counters_threads_progress(counters, counters_threads_get(counters, 1)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_file_says_what_it_is_and_is_as_long_as_it_says),
        TEST(what_is_written_through_a_struct_is_read_through_an_entry),
        TEST(a_histogram_is_read_with_the_limits_it_was_written_with),
        TEST(entries_do_not_overlap_and_leave_no_holes),
        TEST(every_member_has_an_entry),
        TEST(an_entry_is_what_its_row_says),
        TEST(without_a_file_the_counters_are_in_memory),
        TEST(each_writer_has_cache_lines_of_its_own),
        TEST(each_thread_is_named_and_shows_its_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
