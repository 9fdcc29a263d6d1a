/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ring/board/control.h"
#include "src/market/channels.h"

#define EPOCH UINT64_C(0x0123456789abcdef)
#define HOT 1              /* variants that are renamed over and over, so that a reader meets it */
#define RENAMES_SEEN 30000 /* while they are made */

static struct control *control;
static struct channels *channels;
static int fd; /* what another process would be given */
static const struct layout_control *seen;

static const struct layout_entry *seen_entry(uint32_t number)
{
    const char *first = (const char *)seen + seen->channels_at;
    return (const void *)(first + (size_t)number * seen->entry_bytes);
}

static uint32_t seen_count(void)
{
    return atomic_load_explicit(&seen->channel_count, memory_order_acquire);
}

/* As layout.h says. */
static uint32_t read_entry(uint32_t number, struct layout_entry *copy)
{
    const struct layout_entry *entry = seen_entry(number);
    for (;;) {
        uint32_t version = atomic_load_explicit(&entry->name_version, memory_order_acquire);
        memcpy(copy, entry, sizeof *copy);
        atomic_thread_fence(memory_order_acquire);
        uint32_t after = atomic_load_explicit(&entry->name_version, memory_order_relaxed);
        if (version % 2 == 0 && version == after) {
            return version;
        }
    }
}

static int set_up(void **state)
{
    struct stat status;
    (void)state;
    assert_int_equal(control_create(&control, EPOCH, CHANNELS_MAX), 0);
    assert_int_equal(channels_create(&channels, control, &(struct keyed_hash){{1, 2}}), 0);
    fd = control_read_only_fd(control);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_size, 4096 + 4 * MIB);
    seen = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(seen != MAP_FAILED);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    munmap((void *)seen, seen->file.bytes);
    close(fd);
    channels_destroy(channels);
    control_destroy(control);
    return 0;
}

static uint32_t open_feed(uint32_t n)
{
    char symbol[MD_SYMBOL_BYTES_MAX + 1];
    int bytes = snprintf(symbol, sizeof symbol, "F%u", n);
    return channels_open(channels, symbol, (size_t)bytes, (enum md_type)(n % MD_TYPE_COUNT));
}

/* All parts of a name follow from its number, so that two halves of two names show. */
static uint32_t hold_variant(uint32_t n)
{
    char symbol[MD_SYMBOL_BYTES_MAX + 1];
    struct variant variant = {.interval_ms = (uint16_t)(1 + n % 60000), .depth = (uint8_t)n};
    memset(symbol, 'a' + (int)(n % 26), sizeof symbol - 1);
    int digits = snprintf(symbol, sizeof symbol, "%u", n);
    symbol[digits] = 'V';
    return channels_hold_variant(channels, symbol, MD_SYMBOL_BYTES_MAX,
                                 (enum md_type)(n % MD_TYPE_COUNT), variant);
}

/* Also by a thread of its own, where cmocka's assertions are of no use. */
static void rename_variant(uint32_t variant_index, uint64_t first_seq, uint32_t n)
{
    channels_release(channels, channels_variant(channels, variant_index));
    assert_always(channels_unname(channels, variant_index));
    channels_reuse(channels, variant_index, first_seq);
    assert_always(hold_variant(n) == channels_variant(channels, variant_index));
}

static void expect_whole(const struct layout_entry *entry)
{
    char symbol[sizeof entry->symbol + 1] = "";
    memcpy(symbol, entry->symbol, sizeof entry->symbol);
    char *end = symbol;
    assert_int_equal(entry->symbol_bytes, strlen(symbol));
    uint32_t n = (uint32_t)strtoul(symbol + (symbol[0] == 'F'), &end, 10);
    assert_int_equal(entry->type, n % MD_TYPE_COUNT);
    if (symbol[0] == 'F') {
        assert_int_equal(entry->group, entry->type);
        assert_int_equal(entry->interval_ms + entry->depth + entry->bar, 0);
        return;
    }
    assert_int_equal(entry->group, CHANNELS_VARIANTS_GROUP);
    assert_int_equal(entry->interval_ms, 1 + n % 60000);
    assert_int_equal(entry->depth, (uint8_t)n);
    assert_int_equal(*end, 'V');
    for (end++; *end != '\0'; end++) {
        assert_int_equal(*end, 'a' + (int)(n % 26));
    }
}

/* ---- Tests ---- */

static void the_file_says_what_it_is_and_nobody_else_can_write_it(void **state)
{
    struct stat status;
    (void)state;
    assert_int_equal(seen->file.magic, LAYOUT_CONTROL_MAGIC);
    assert_memory_equal(&seen->file.magic, "ringtap1", 8);
    assert_int_equal(seen->file.major, 1);
    assert_int_equal(seen->file.minor, 0);
    assert_int_equal(seen->file.header_bytes, 256);
    assert_int_equal(seen->file.bytes, 4096 + 4 * MIB);
    assert_int_equal(seen->file.epoch, EPOCH);
    assert_int_equal(seen->pid, getpid());
    assert_true(seen->started_ns > 0);
    assert_int_equal(seen->channels_at, 4096);
    assert_int_equal(seen->entry_bytes, 64);
    assert_int_equal(seen->entry_count_max, CHANNELS_MAX);
    assert_int_equal(seen->channel_count, 0);
    assert_int_equal(seen->state, LAYOUT_STARTS);
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_true(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    assert_int_equal(errno, EACCES);
    assert_true((fcntl(fd, F_GET_SEALS) & F_SEAL_FUTURE_WRITE) != 0);
}

static void every_channel_is_found_by_its_number(void **state)
{
    struct layout_entry entry;
    (void)state;
    for (uint32_t n = 0; n < 3000; n++) {
        assert_int_equal(n % 3 == 0 ? hold_variant(n) : open_feed(n), n);
    }
    struct variant bar = {.bar = variant_bar_by_name("5m")};
    assert_int_equal(channels_hold_variant(channels, "A", 1, MD_BAR, bar), 3000);
    assert_int_equal(seen_count(), 3001);
    for (uint32_t n = 0; n < 3000; n++) {
        uint32_t version = read_entry(n, &entry);
        assert_int_equal(version == 0, n % 3 != 0);
        expect_whole(&entry);
        const struct channel *channel = channels_get(channels, n);
        assert_memory_equal(entry.symbol, channel->symbol, sizeof entry.symbol);
        assert_int_equal(entry.type, channel->type);
    }
    read_entry(3000, &entry);
    assert_int_equal(entry.bar, 3);
    assert_int_equal(entry.depth + entry.interval_ms, 0);
    assert_string_equal(entry.symbol, "A");
}

static void a_number_that_gets_another_name_says_from_which_seq_on(void **state)
{
    struct layout_entry entry;
    (void)state;
    uint32_t first = hold_variant(0);
    for (uint32_t n = 1; n < CHANNELS_VARIANTS_MAX; n++) {
        hold_variant(n);
    }
    uint32_t before = read_entry(first, &entry);
    assert_int_equal(entry.first_seq, 0);
    channels_release(channels, first);
    assert_true(channels_unname(channels, 0));
    channels_reuse(channels, 0, 1234);
    /* Nobody has it: the old name stays for those who read old frames. */
    assert_int_equal(read_entry(first, &entry), before);
    assert_int_equal(entry.interval_ms, 1);
    assert_int_equal(hold_variant(9999), first);
    assert_int_equal(read_entry(first, &entry), before + 2);
    assert_int_equal(entry.interval_ms, 10000);
    assert_int_equal(entry.first_seq, 1234);
    expect_whole(&entry);
    assert_int_equal(seen_count(), CHANNELS_VARIANTS_MAX);
}

static void the_table_may_be_full(void **state)
{
    struct layout_entry entry;
    (void)state;
    for (uint32_t n = 0; n < CHANNELS_MAX; n++) {
        assert_int_equal(n < CHANNELS_VARIANTS_MAX ? hold_variant(n) : open_feed(n), n);
    }
    assert_int_equal(open_feed(CHANNELS_MAX), CHANNEL_NONE);
    assert_int_equal(hold_variant(CHANNELS_MAX), CHANNEL_NONE);
    rename_variant(7, 1, CHANNELS_MAX);
    assert_int_equal(seen_count(), CHANNELS_MAX);
    for (uint32_t n = 0; n < CHANNELS_MAX; n++) {
        read_entry(n, &entry);
        expect_whole(&entry);
    }
}

/* ---- While it is written ---- */

static _Atomic uint32_t renames_seen;

static void *hammer(void *unused)
{
    uint32_t feed = CHANNELS_VARIANTS_MAX;
    (void)unused;
    for (uint32_t n = 0; n < CHANNELS_VARIANTS_MAX; n++) {
        hold_variant(n);
    }
    for (uint32_t n = CHANNELS_VARIANTS_MAX;
         feed < CHANNELS_MAX || atomic_load(&renames_seen) < RENAMES_SEEN; n++) {
        rename_variant(n % HOT, n, n);
        if (feed < CHANNELS_MAX) {
            assert_always(open_feed(feed) == feed);
            feed++;
        }
        if (n % HOT == 0) {
            sched_yield();
        }
    }
    return NULL;
}

static void readers_see_whole_names_while_they_are_written(void **state)
{
    (void)state;
    pthread_t thread;
    struct layout_entry entry;
    struct layout_entry *known = calloc(CHANNELS_MAX, sizeof *known);
    uint32_t count = 0;
    assert_non_null(known);
    atomic_store(&renames_seen, 0);
    assert_int_equal(pthread_create(&thread, NULL, hammer, NULL), 0);
    while (count < CHANNELS_MAX || atomic_load(&renames_seen) < RENAMES_SEEN) {
        uint32_t count_before = count;
        count = seen_count();
        assert_true(count >= count_before);
        for (uint32_t n = count_before; n < count; n++) {
            read_entry(n, &known[n]);
            expect_whole(&known[n]);
        }
        for (uint32_t n = 0; n < HOT && n < count; n++) {
            uint32_t version = read_entry(n, &entry);
            uint32_t version_before = known[n].name_version;
            expect_whole(&entry);
            assert_true(version >= version_before);
            assert_true(version == version_before || entry.first_seq > known[n].first_seq);
            atomic_fetch_add(&renames_seen, version != version_before);
            known[n] = entry;
        }
        sched_yield(); /* On one CPU there is nothing new before the writer has run. */
    }
    pthread_join(thread, NULL);
    for (uint32_t n = HOT; n < CHANNELS_MAX; n++) { /* None of them has changed since. */
        assert_memory_equal(seen_entry(n), &known[n], sizeof known[n]);
    }
    free(known);
}

/* ---- Life ---- */

static void the_heart_beats_ten_times_a_second_however_often_it_is_polled(void **state)
{
    (void)state;
    uint64_t now_ns = 1000 * NS_PER_SECOND;
    control_beat(control, now_ns);
    uint64_t first = seen->heartbeat;
    for (int poll = 0; poll < 1000; poll++) {
        now_ns += NS_PER_MS;
        control_beat(control, now_ns);
    }
    assert_int_equal(seen->heartbeat, first + 10);
    control_beat(control, now_ns + 10 * NS_PER_SECOND); /* A stop is not made up for. */
    assert_int_equal(seen->heartbeat, first + 11);
}

static void the_states_come_one_after_the_other(void **state)
{
    (void)state;
    for (uint32_t next = LAYOUT_RUNS; next <= LAYOUT_ENDED; next++) {
        control_set_state(control, (enum layout_state)next);
        assert_int_equal(seen->state, next);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_file_says_what_it_is_and_nobody_else_can_write_it),
        TEST(every_channel_is_found_by_its_number),
        TEST(a_number_that_gets_another_name_says_from_which_seq_on),
        TEST(the_table_may_be_full),
        TEST(readers_see_whole_names_while_they_are_written),
        TEST(the_heart_beats_ten_times_a_second_however_often_it_is_polled),
        TEST(the_states_come_one_after_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
