#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "src/market/channels.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static int set_up(void **state)
{
    return channels_create((struct channels **)state, NULL, &(struct keyed_hash){{1, 2}});
}

static int tear_down(void **state)
{
    channels_destroy(*state);
    return 0;
}

static uint32_t open_text(struct channels *channels, const char *symbol, enum md_type type)
{
    return channels_open(channels, symbol, strlen(symbol), type);
}

static uint32_t find_text(const struct channels *channels, const char *symbol, enum md_type type)
{
    return channels_find(channels, symbol, strlen(symbol), type);
}

static void a_pair_of_symbol_and_type_has_one_number_for_ever(void **state)
{
    struct channels *channels = *state;
    assert_int_equal(open_text(channels, "000001.SZ", MD_QUOTE), 0);
    assert_int_equal(open_text(channels, "000001.SZ", MD_TRADE), 1);
    assert_int_equal(open_text(channels, "600000.SH", MD_QUOTE), 2);
    assert_int_equal(open_text(channels, "000001.SZ", MD_QUOTE), 0);
    assert_int_equal(channels_count(channels), 3);
    assert_int_equal(find_text(channels, "000001.SZ", MD_TRADE), 1);
    assert_string_equal(channels_get(channels, 2)->symbol, "600000.SH");
    assert_int_equal(channels_get(channels, 2)->symbol_bytes, 9);
    assert_int_equal(channels_get(channels, 1)->type, MD_TRADE);
}

static void a_symbol_that_no_feed_opened_is_not_found(void **state)
{
    struct channels *channels = *state;
    open_text(channels, "000001.SZ", MD_QUOTE);
    assert_int_equal(find_text(channels, "000001.SZ", MD_BAR), CHANNEL_NONE);
    assert_int_equal(find_text(channels, "000001.S", MD_QUOTE), CHANNEL_NONE);
    assert_int_equal(find_text(channels, "000001.SZ ", MD_QUOTE), CHANNEL_NONE);
    assert_int_equal(find_text(channels, "", MD_QUOTE), CHANNEL_NONE);
    assert_int_equal(find_text(channels, "a symbol that is longer than all of them", MD_QUOTE),
                     CHANNEL_NONE);
}

static void a_symbol_is_1_to_32_bytes_of_utf8(void **state)
{
    static const char *const bad[] = {
        "",     "123456789012345678901234567890123", "A\x01", "A\x7f", "A*", "A\"", "\xff", "A\xc3",
        "A\nB",
    };
    static const char *const good[] = {"A", "12345678901234567890123456789012", "A B", "\\",
                                       "\xe5\xb9\xb3\xe5\xae\x89"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(open_text(*state, bad[i], MD_QUOTE), CHANNEL_NONE);
    }
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_int_equal(open_text(*state, good[i], MD_QUOTE), i);
    }
}

static void the_table_takes_exactly_its_maximum(void **state)
{
    struct channels *channels = *state;
    char symbol[MD_SYMBOL_BYTES_MAX + 1];
    for (uint32_t i = 0; i < CHANNELS_MAX; i++) {
        snprintf(symbol, sizeof symbol, "S%u", i);
        assert_int_equal(open_text(channels, symbol, MD_QUOTE), i);
    }
    assert_int_equal(open_text(channels, "ONE MORE", MD_QUOTE), CHANNEL_NONE);
    assert_int_equal(channels_count(channels), CHANNELS_MAX);
    for (uint32_t i = 0; i < CHANNELS_MAX; i++) {
        snprintf(symbol, sizeof symbol, "S%u", i);
        assert_int_equal(find_text(channels, symbol, MD_QUOTE), i);
        assert_int_equal(open_text(channels, symbol, MD_QUOTE), i);
    }
    assert_int_equal(find_text(channels, "ONE MORE", MD_QUOTE), CHANNEL_NONE);
}

static uint32_t open_variant(struct channels *channels, const char *symbol, struct variant variant)
{
    return channels_hold_variant(channels, symbol, strlen(symbol), MD_DEPTH, variant);
}

static void each_variant_has_a_number_of_its_own(void **state)
{
    static const struct variant variants[] = {
        {.depth = 5},       {.depth = 10}, {.interval_ms = 100}, {.depth = 5, .interval_ms = 100},
        {.interval_ms = 5}, {.bar = 5},
    };
    struct channels *channels = *state;
    assert_int_equal(open_text(channels, "A", MD_DEPTH), 0);
    for (uint32_t i = 0; i < COUNT(variants); i++) {
        assert_int_equal(channels_find_variant(channels, "A", 1, MD_DEPTH, variants[i]),
                         CHANNEL_NONE);
        assert_int_equal(open_variant(channels, "A", variants[i]), i + 1);
        assert_int_equal(open_variant(channels, "A", variants[i]), i + 1);
        assert_int_equal(channels_find_variant(channels, "A", 1, MD_DEPTH, variants[i]), i + 1);
        assert_int_equal(channels_get(channels, i + 1)->group, CHANNELS_VARIANTS_GROUP);
        assert_int_equal(channels_get(channels, i + 1)->variant_index, i);
        assert_int_equal(channels_variant(channels, i), i + 1);
    }
    assert_int_equal(find_text(channels, "A", MD_DEPTH), 0);
    assert_int_equal(channels_get(channels, 0)->group, MD_DEPTH);
    assert_int_equal(channels_variant_count(channels), COUNT(variants));
}

static void there_are_at_most_8192_variants(void **state)
{
    struct channels *channels = *state;
    char symbol[MD_SYMBOL_BYTES_MAX + 1];
    for (uint32_t i = 0; i < CHANNELS_VARIANTS_MAX; i++) {
        snprintf(symbol, sizeof symbol, "S%u", i);
        assert_int_equal(open_variant(channels, symbol, (struct variant){.depth = 5}), i);
    }
    assert_int_equal(CHANNELS_VARIANTS_MAX, 8192);
    assert_int_equal(open_variant(channels, "X", (struct variant){.depth = 5}), CHANNEL_NONE);
    assert_int_equal(open_text(channels, "X", MD_DEPTH), CHANNELS_VARIANTS_MAX);
    assert_int_equal(open_variant(channels, "S0", (struct variant){.depth = 5}), 0);
}

/* As the publisher does, whose cores have all passed the end. */
static bool end_variant(struct channels *channels, uint32_t channel, uint64_t first_seq)
{
    uint32_t index = channels_get(channels, channel)->variant_index;
    if (!channels_unname(channels, index)) {
        return false;
    }
    channels_reuse(channels, index, first_seq);
    return true;
}

static void a_number_keeps_its_name_while_somebody_holds_it(void **state)
{
    struct channels *channels = *state;
    static const struct variant depth = {.depth = 5};
    uint32_t channel = open_variant(channels, "A", depth);
    assert_false(end_variant(channels, channel, 8));
    assert_true(channels_hold(channels, channel));
    channels_release(channels, channel);
    assert_false(end_variant(channels, channel, 8));
    channels_release(channels, channel);
    assert_int_equal(channels_find_variant(channels, "A", 1, MD_DEPTH, depth), channel);
    assert_true(channels_unname(channels, 0));
    assert_false(channels_hold(channels, channel));
    assert_int_equal(channels_find_variant(channels, "A", 1, MD_DEPTH, depth), CHANNEL_NONE);
    /* Until all cores have passed its end it is not given away. */
    assert_int_equal(open_variant(channels, "A", depth), channel + 1);
    channels_reuse(channels, 0, 8);
    assert_false(channels_hold(channels, channel));
}

static void
a_number_that_is_handed_back_has_another_name_and_begins_after_the_old_frames(void **state)
{
    struct channels *channels = *state;
    for (uint32_t i = 0; i < CHANNELS_VARIANTS_MAX; i++) {
        char symbol[MD_SYMBOL_BYTES_MAX + 1];
        snprintf(symbol, sizeof symbol, "S%u", i);
        channels_release(channels, open_variant(channels, symbol, (struct variant){.depth = 5}));
    }
    assert_true(end_variant(channels, 700, 9));
    assert_true(end_variant(channels, 7, 8));
    assert_int_equal(open_variant(channels, "X", (struct variant){.depth = 10}), 700);
    assert_int_equal(open_variant(channels, "long", (struct variant){.depth = 20}), 7);
    assert_int_equal(open_variant(channels, "Z", (struct variant){.depth = 5}), CHANNEL_NONE);
    const struct channel *channel = channels_get(channels, 700);
    assert_string_equal(channel->symbol, "X");
    assert_int_equal(channel->symbol_bytes, 1);
    assert_int_equal(channel->variant.depth, 10);
    assert_int_equal(channel->group, CHANNELS_VARIANTS_GROUP);
    assert_int_equal(channel->first_seq, 9);
    assert_int_equal(channels_get(channels, 7)->first_seq, 8);
    assert_int_equal(channels_get(channels, 8)->first_seq, 0);
    assert_int_equal(channels_count(channels), CHANNELS_VARIANTS_MAX);
    assert_int_equal(open_variant(channels, "S8", (struct variant){.depth = 5}), 8);
    assert_int_equal(channels_find_variant(channels, "S7", 2, MD_DEPTH, (struct variant){0}),
                     CHANNEL_NONE);
}

static void any_number_of_names_take_turns(void **state)
{
    struct channels *channels = *state;
    uint32_t window[64];
    for (uint32_t i = 0; i < 3 * CHANNELS_VARIANTS_MAX; i++) {
        char symbol[MD_SYMBOL_BYTES_MAX + 1];
        if (i >= COUNT(window)) {
            channels_release(channels, window[i % COUNT(window)]);
            assert_true(end_variant(channels, window[i % COUNT(window)], i));
        }
        int bytes = snprintf(symbol, sizeof symbol, "S%u", i);
        window[i % COUNT(window)] = open_variant(channels, symbol, (struct variant){.depth = 5});
        assert_int_not_equal(window[i % COUNT(window)], CHANNEL_NONE);
        for (uint32_t back = 0; back < COUNT(window) && back <= i; back++) {
            bytes = snprintf(symbol, sizeof symbol, "S%u", i - back);
            assert_int_equal(channels_find_variant(channels, symbol, (size_t)bytes, MD_DEPTH,
                                                   (struct variant){.depth = 5}),
                             window[(i - back) % COUNT(window)]);
        }
    }
    assert_int_equal(channels_count(channels), CHANNELS_VARIANTS_MAX);
}

/* Many meet in the same slots of the table. */
static void variants_of_one_symbol_are_told_apart(void **state)
{
    struct channels *channels = *state;
    for (uint32_t i = 0; i < CHANNELS_VARIANTS_MAX; i++) {
        struct variant variant = {.interval_ms = (uint16_t)(i / 8), .depth = (uint8_t)(i % 8 + 1)};
        assert_int_equal(open_variant(channels, "600000.SH", variant), i);
    }
}

static void wishes_are_counted_for_variants_only(void **state)
{
    struct channels *channels = *state;
    open_text(channels, "A", MD_DEPTH);
    channels_release(channels, open_variant(channels, "A", (struct variant){.depth = 5}));
    uint64_t before = channels_wish_count(channels);
    channels_count_subscriber(channels, 0, 1);
    channels_ask_snapshot(channels, 0);
    channels_ask_snapshot(channels, CHANNEL_NONE);
    assert_true(channels_wish_count(channels) == before);
    channels_count_subscriber(channels, 1, 1);
    channels_count_subscriber(channels, 1, 1);
    channels_count_subscriber(channels, 1, -1);
    channels_ask_snapshot(channels, 1);
    assert_true(channels_wish_count(channels) == before + 4);
    assert_int_equal(atomic_load(&channels_wish(channels, 0)->subscriber_count), 1);
    assert_int_equal(atomic_load(&channels_wish(channels, 0)->asks_snapshot), 1);
}

static void *open_variants(void *context)
{
    char symbol[MD_SYMBOL_BYTES_MAX + 1];
    for (uint32_t i = 0; i < 4000; i++) {
        snprintf(symbol, sizeof symbol, "S%u", i);
        open_variant(context, symbol, (struct variant){.depth = 5});
    }
    return NULL;
}

/* Two cores wish for the same variants while the publisher opens channels. */
static void several_threads_may_open_the_same(void **state)
{
    struct channels *channels = *state;
    pthread_t threads[2];
    char symbol[MD_SYMBOL_BYTES_MAX + 1];
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, open_variants, channels), 0);
    }
    for (uint32_t i = 0; i < 4000; i++) {
        snprintf(symbol, sizeof symbol, "S%u", i);
        assert_int_not_equal(open_text(channels, symbol, MD_DEPTH), CHANNEL_NONE);
    }
    assert_int_equal(pthread_join(threads[0], NULL), 0);
    assert_int_equal(pthread_join(threads[1], NULL), 0);
    assert_int_equal(channels_count(channels), 8000);
    assert_int_equal(channels_variant_count(channels), 4000);
    for (uint32_t i = 0; i < 4000; i++) {
        snprintf(symbol, sizeof symbol, "S%u", i);
        uint32_t channel = open_variant(channels, symbol, (struct variant){.depth = 5});
        assert_string_equal(channels_get(channels, channel)->symbol, symbol);
        uint32_t index = channels_get(channels, channel)->variant_index;
        assert_int_equal(channels_variant(channels, index), channel);
    }
}

struct reader {
    struct channels *channels;
    _Atomic bool stopping;
    _Atomic uint32_t opened; /* Set after channels_open has returned. */
    uint64_t faults;
};

static void *read_all_the_time(void *context)
{
    struct reader *reader = context;
    char symbol[MD_SYMBOL_BYTES_MAX + 1];
    for (uint32_t round = 0; !atomic_load(&reader->stopping); round++) {
        uint32_t wanted = round % 20000;
        snprintf(symbol, sizeof symbol, "S%u", wanted);
        uint32_t opened = atomic_load(&reader->opened);
        uint32_t channel = find_text(reader->channels, symbol, MD_QUOTE);
        if (channel == CHANNEL_NONE) {
            reader->faults += wanted < opened; /* It was there before we looked. */
            continue;
        }
        reader->faults += channel != wanted;
        reader->faults += channels_count(reader->channels) <= channel;
        reader->faults += strcmp(channels_get(reader->channels, channel)->symbol, symbol) != 0;
    }
    return NULL;
}

static void a_reader_sees_whole_channels_while_they_are_opened(void **state)
{
    struct reader reader = {.channels = *state};
    pthread_t thread;
    char symbol[MD_SYMBOL_BYTES_MAX + 1];
    assert_int_equal(pthread_create(&thread, NULL, read_all_the_time, &reader), 0);
    for (uint32_t i = 0; i < 20000; i++) {
        snprintf(symbol, sizeof symbol, "S%u", i);
        assert_int_equal(open_text(reader.channels, symbol, MD_QUOTE), i);
        atomic_store(&reader.opened, i + 1);
    }
    atomic_store(&reader.stopping, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(reader.faults, 0);
}

/* Symbols that all lay in the first 64 of 131 072 slots while the hash had no key. */
static void symbols_that_were_chosen_to_collide_lie_apart(void **state)
{
    struct channels *channels = *state;
    uint32_t found = 0;
    uint32_t run = 0;
    for (uint32_t i = 0; found < 400; i++) {
        char symbol[16];
        int bytes = snprintf(symbol, sizeof symbol, "A%u", i);
        uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ MD_QUOTE;
        for (int at = 0; at < bytes; at++) {
            hash = (hash ^ (uint8_t)symbol[at]) * UINT64_C(0x100000001b3);
        }
        hash ^= hash >> 32;
        if (hash % CHANNELS_SLOTS < 64) {
            assert_int_equal(channels_open(channels, symbol, (size_t)bytes, MD_QUOTE), found++);
        }
    }
    for (uint32_t i = 0; i < 2 * CHANNELS_SLOTS; i++) { /* A run may go round the end. */
        run = atomic_load(&channels->slots[i % CHANNELS_SLOTS]) == 0 ? 0 : run + 1;
        assert_true(run < 8);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_pair_of_symbol_and_type_has_one_number_for_ever),
        TEST(a_symbol_that_no_feed_opened_is_not_found),
        TEST(a_symbol_is_1_to_32_bytes_of_utf8),
        TEST(the_table_takes_exactly_its_maximum),
        TEST(each_variant_has_a_number_of_its_own),
        TEST(there_are_at_most_8192_variants),
        TEST(a_number_keeps_its_name_while_somebody_holds_it),
        TEST(a_number_that_is_handed_back_has_another_name_and_begins_after_the_old_frames),
        TEST(any_number_of_names_take_turns),
        TEST(variants_of_one_symbol_are_told_apart),
        TEST(wishes_are_counted_for_variants_only),
        TEST(several_threads_may_open_the_same),
        TEST(a_reader_sees_whole_channels_while_they_are_opened),
        TEST(symbols_that_were_chosen_to_collide_lie_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
