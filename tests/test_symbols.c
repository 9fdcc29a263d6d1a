/* The list of symbols: their order, its pages, and what it reads of a log that is being written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/units.h"
#include "ring/board/frame_log_glance.h"
#include "src/base/pattern.h"
#include "src/market/channel_rates.h"
#include "src/market/channels.h"
#include "src/request/reply.h"
#include "src/request/request_symbols.h"
#include "src/symbols/symbols.h"

#define MANY 3000
#define FRAME_BYTES 1000

static struct channels *channels;
static struct frame_log *frames;
static struct channel_rates *rates;
static struct symbols symbols;
static struct reply reply;
static json_t *page; /* the last one */

static int set_up(void **state)
{
    static const struct frame_log_options options = {
        .capacity_bytes = FRAME_LOG_BYTES_MIN,
        .frame_bytes_max = 64 * KIB,
        .channel_count_max = CHANNELS_MAX,
        .reader_count = 1,
        .is_lazy = true,
    };
    (void)state;
    assert_int_equal(channels_create(&channels, NULL, &(struct keyed_hash){{1, 2}}), 0);
    assert_int_equal(frame_log_create(&frames, &options), 0);
    assert_int_equal(channel_rates_create(&rates), 0);
    symbols = (struct symbols){
        .channels = channels, .log = frames, .rates = rates, .epoch = "0123456789abcdef"};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    json_decref(page);
    page = NULL;
    reply_deinit(&reply);
    channel_rates_destroy(rates);
    frame_log_destroy(frames);
    channels_destroy(channels);
    return 0;
}

static uint32_t make(const char *symbol, enum md_type type)
{
    return channels_open(channels, symbol, strlen(symbol), type);
}

static void append(uint32_t channel, uint8_t flags, uint64_t ts_pub_ns)
{
    memset(frame_log_reserve(frames), 'x', FRAME_BYTES);
    frame_log_commit(frames, channel, 0, flags, FRAME_BYTES, ts_pub_ns);
    frame_log_publish(frames);
}

/* Other frames until none of before is in the log. */
static void overwrite_log(uint32_t channel)
{
    for (uint64_t end = frame_log_head(frames); frame_log_tail(frames) < end;) {
        append(channel, 0, 7);
    }
}

static const json_t *list(const char *pattern, const char *after, int64_t limit)
{
    struct request_symbols query = {.pattern = pattern, .after = after, .limit = limit};
    const char *field;
    assert_null(request_symbols_fault(&query, &field));
    reply_trim(&reply);
    symbols_write(&symbols, &query, 0, &reply);
    assert_false(reply.failed);
    json_decref(page);
    page = json_loadb(reply.text, reply.bytes, 0, NULL);
    assert_non_null(page);
    return page;
}

static const char *symbol_at(const json_t *data, size_t i)
{
    json_t *entry = json_array_get(json_object_get(data, "symbols"), i);
    return json_string_value(json_object_get(entry, "symbol"));
}

/* The entry of the only symbol's type, or NULL. */
static const json_t *type_of(const char *symbol, const char *type)
{
    size_t i;
    json_t *entry;
    json_t *types = json_object_get(
        json_array_get(json_object_get(list(symbol, "", 1), "symbols"), 0), "types");
    json_array_foreach(types, i, entry)
    {
        if (strcmp(json_string_value(json_object_get(entry, "type")), type) == 0) {
            return entry;
        }
    }
    return NULL;
}

static const char *next_of(const json_t *data)
{
    return json_string_value(json_object_get(data, "next"));
}

static int64_t number_of(const json_t *object, const char *key)
{
    assert_true(json_is_integer(json_object_get(object, key)));
    return json_integer_value(json_object_get(object, key));
}

static double rate_of(const char *symbol, const char *type)
{
    const json_t *rate = json_object_get(type_of(symbol, type), "rate");
    assert_true(json_is_real(rate));
    return json_real_value(rate);
}

static uint32_t draw(uint32_t limit)
{
    static uint64_t seed = 1;
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(seed >> 33) % limit;
}

/* ---- Order ---- */

static int by_bytes(const void *left, const void *right)
{
    return strcmp(left, right);
}

static void channels_are_in_the_byte_order_of_their_symbols(void **state)
{
    static const char *const letters[] = {"A", "B", "\xc3\xa4", ".", "a", "0", "\xe2\x82\xac"};
    static char all[MANY][MD_SYMBOL_BYTES_MAX + 1];
    (void)state;
    for (uint32_t i = 0; i < MANY; i++) {
        all[i][0] = '\0';
        for (uint32_t length = 1 + draw(8); length > 0; length--) {
            strcat(all[i], letters[draw(7)]);
        }
        make(all[i], (enum md_type)draw(MD_TYPE_COUNT));
    }
    qsort(all, MANY, sizeof all[0], by_bytes);
    uint32_t channel = channel_order_seek(&channels->order, "", false);
    uint32_t count = 0;
    const struct channel *before = NULL;
    for (uint32_t i = 0; i < MANY; i++) {
        bool is_new = i == 0 || strcmp(all[i - 1], all[i]) != 0;
        while (is_new && channel != CHANNEL_NONE &&
               strcmp(channels_get(channels, channel)->symbol, all[i]) == 0) {
            const struct channel *entry = channels_get(channels, channel);
            assert_true(before == NULL || strcmp(before->symbol, entry->symbol) != 0 ||
                        before->type < entry->type);
            before = entry;
            channel = channel_order_next(&channels->order, channel);
            count++;
        }
        uint32_t found = channel_order_seek(&channels->order, all[i], false);
        assert_string_equal(channels_get(channels, found)->symbol, all[i]);
        assert_int_equal(channel_order_seek(&channels->order, all[i], true), channel);
    }
    assert_int_equal(channel, CHANNEL_NONE);
    assert_int_equal(count, channels_count(channels));
}

static void a_search_is_short(void **state)
{
    char symbol[16];
    uint32_t levels[CHANNEL_ORDER_LEVELS] = {0};
    (void)state;
    for (uint32_t i = 0; i < CHANNELS_MAX; i++) {
        snprintf(symbol, sizeof symbol, "S%u", i);
        assert_int_equal(make(symbol, MD_QUOTE), i);
    }
    for (unsigned level = 0; level < CHANNEL_ORDER_LEVELS; level++) {
        uint32_t link = atomic_load(&channels->order.first.next[level]);
        for (; link != 0; link = atomic_load(&channels->order.links[link - 1].next[level])) {
            levels[level]++;
        }
    }
    assert_int_equal(levels[0], CHANNELS_MAX);
    assert_in_range(levels[1], 3500, 4700); /* 4096 are expected, */
    assert_in_range(levels[2], 180, 340);   /* 256 */
    assert_in_range(levels[3], 4, 40);      /* and 16. */
}

static void computed_channels_are_not_listed(void **state)
{
    (void)state;
    make("A", MD_DEPTH);
    channels_hold_variant(channels, "A", 1, MD_DEPTH, (struct variant){.depth = 5});
    channels_hold_variant(channels, "B", 1, MD_BAR, (struct variant){.bar = 1});
    const json_t *data = list("*", "", 9);
    assert_int_equal(json_array_size(json_object_get(data, "symbols")), 1);
    assert_string_equal(symbol_at(data, 0), "A");
}

/* ---- Pages ---- */

/* All pages of the pattern, against a walk through all symbols; returns how many steps they took.
 */
static uint32_t read_pages(const char *pattern, int64_t limit, char all[][8], uint32_t count)
{
    char after[MD_SYMBOL_BYTES_MAX + 1] = "";
    bool has_more = true;
    uint32_t at = 0;
    uint32_t steps = 0;
    while (has_more) {
        struct request_symbols query = {.pattern = pattern, .after = after, .limit = limit};
        struct symbols_place place = {0};
        reply_trim(&reply);
        for (; !place.is_done; steps++) {
            symbols_step(&symbols, &query, &(struct symbols_viewer){0}, &place, &reply);
        }
        reply_text(&reply, "}");
        json_decref(page);
        page = json_loadb(reply.text, reply.bytes, 0, NULL);
        size_t listed = json_array_size(json_object_get(page, "symbols"));
        assert_true(listed <= (size_t)limit);
        for (size_t i = 0; i < listed; i++, at++) {
            while (!pattern_matches(pattern, strlen(pattern), all[at], strlen(all[at]))) {
                assert_true(at + 1 < count);
                at++;
            }
            assert_string_equal(symbol_at(page, i), all[at]);
        }
        has_more = next_of(page) != NULL;
        if (has_more) {
            assert_true(listed > 0);
            assert_string_equal(next_of(page), symbol_at(page, listed - 1));
            strcpy(after, next_of(page));
        }
    }
    for (; at < count; at++) {
        assert_false(pattern_matches(pattern, strlen(pattern), all[at], strlen(all[at])));
    }
    return steps;
}

static void pages_list_each_symbol_that_matches_once(void **state)
{
    static const char *const patterns[] = {"*",     "1*",   "*7",    "12*9",
                                           "*0*1*", "1234", "12345", "77*"};
    static char all[MANY][8];
    (void)state;
    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(all[i], sizeof all[i], "%u", i * 7919 % 10007);
        make(all[i], MD_QUOTE);
        make(all[i], MD_TRADE);
    }
    qsort(all, MANY, sizeof all[0], by_bytes);
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        uint32_t steps = read_pages(patterns[i], 1000, all, MANY);
        assert_true(steps <= 2 * MANY + 100);
        /* With short pages, too, each symbol is looked at twice at most. */
        steps = read_pages(patterns[i], 5, all, MANY);
        assert_true(steps <= 2 * MANY + 3 * MANY / 5);
        assert_true(patterns[i][0] == '*' || steps < 2000);
    }
}

static void a_long_page_ends_before_its_limit(void **state)
{
    char symbol[16];
    (void)state;
    for (uint32_t i = 0; i < 1000; i++) {
        snprintf(symbol, sizeof symbol, "S%03u", i);
        for (unsigned type = 0; type < MD_TYPE_COUNT; type++) {
            make(symbol, (enum md_type)type);
        }
    }
    const json_t *data = list("*", "", 1000);
    size_t listed = json_array_size(json_object_get(data, "symbols"));
    assert_true(listed > 50 && listed < 1000);
    assert_string_equal(next_of(data), symbol_at(data, listed - 1));
    assert_true(reply.bytes < SYMBOLS_PAGE_BYTES + 1000);
}

static void each_type_has_the_settings_that_it_takes(void **state)
{
    (void)state;
    for (unsigned type = 0; type < MD_TYPE_COUNT; type++) {
        make("ALL", (enum md_type)type);
    }
    make("TRADES", MD_TRADE);
    make("BARS", MD_BAR);
    static const struct {
        const char *symbol, *type, *variants;
    } wanted[] = {
        {"ALL", "quote", "[\"interval_ms\"]"},
        {"ALL", "trade", "[]"},
        {"ALL", "bar", "[\"bar\"]"},
        {"ALL", "depth", "[\"depth\",\"interval_ms\"]"},
        {"ALL", "status", "[]"},
        {"BARS", "bar", "[]"},
        {"TRADES", "bar", "[\"bar\"]"},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        const json_t *entry = type_of(wanted[i].symbol, wanted[i].type);
        assert_non_null(entry);
        char *text = json_dumps(json_object_get(entry, "variants"), JSON_COMPACT);
        assert_string_equal(text, wanted[i].variants);
        free(text);
    }
    /* It is no channel, before somebody subscribes to it. */
    assert_null(json_object_get(type_of("TRADES", "bar"), "ch"));
    assert_null(type_of("TRADES", "quote"));
}

static void all_settings_are_offered(void **state)
{
    (void)state;
    size_t i;
    json_t *value;
    json_t *all = json_loads(VARIANT_ALL_JSON, 0, NULL);
    json_array_foreach(json_object_get(all, "depth"), i, value)
    {
        assert_true(variant_is_depth(json_integer_value(value)));
    }
    json_array_foreach(json_object_get(all, "interval_ms"), i, value)
    {
        assert_true(variant_is_interval(json_integer_value(value)));
    }
    json_array_foreach(json_object_get(all, "bar"), i, value)
    {
        assert_int_equal(variant_bar_by_name(json_string_value(value)), i + 1);
    }
    assert_int_equal(i, VARIANT_BARS_COUNT);
    json_decref(all);
}

/* ---- What the log has of it ---- */

static void the_newest_frame_tells_seq_and_time(void **state)
{
    (void)state;
    uint32_t channel = make("A", MD_TRADE);
    assert_int_equal(number_of(type_of("A", "trade"), "seq"), 0);
    assert_true(json_is_null(json_object_get(type_of("A", "trade"), "ts")));
    append(channel, 0, 100);
    append(channel, 0, 200);
    assert_int_equal(number_of(type_of("A", "trade"), "seq"), 2);
    assert_int_equal(number_of(type_of("A", "trade"), "ts"), 200);
}

static void a_frame_that_has_left_the_log_keeps_its_time(void **state)
{
    (void)state;
    uint32_t other = make("OTHER", MD_TRADE);
    append(make("IMAGE", MD_QUOTE), FRAME_FULL_IMAGE, 100);
    append(make("SAMPLED", MD_TRADE), 0, 200);
    channel_rates_sample(rates, channels, frames, NS_PER_SECOND, 1000);
    append(make("MISSED", MD_TRADE), 0, 300);
    overwrite_log(other);
    assert_int_equal(number_of(type_of("IMAGE", "quote"), "ts"), 100);
    assert_int_equal(number_of(type_of("SAMPLED", "trade"), "ts"), 200);
    assert_true(json_is_null(json_object_get(type_of("MISSED", "trade"), "ts")));
    channel_rates_sample(rates, channels, frames, 2 * NS_PER_SECOND, 2000);
    assert_int_equal(number_of(type_of("SAMPLED", "trade"), "ts"), 200);
    assert_int_equal(number_of(type_of("MISSED", "trade"), "ts"), 2000);
    channel_rates_sample(rates, channels, frames, 3 * NS_PER_SECOND, 3000);
    assert_int_equal(number_of(type_of("MISSED", "trade"), "ts"), 2000);
    assert_int_equal(number_of(type_of("MISSED", "trade"), "seq"), 1);
}

static void a_rate_is_of_the_last_five_seconds(void **state)
{
    (void)state;
    uint32_t a = make("A", MD_TRADE);
    append(a, 0, 1);
    assert_true(json_is_null(json_object_get(type_of("A", "trade"), "rate")));
    channel_rates_sample(rates, channels, frames, NS_PER_SECOND, 0);
    assert_true(json_is_null(json_object_get(type_of("A", "trade"), "rate")));
    for (uint64_t second = 2; second <= 20; second++) {
        for (int i = 0; i < 10 && second <= 10; i++) {
            append(a, 0, 1);
        }
        if (second == 5) {
            append(make("B", MD_TRADE), 0, 1);
        }
        channel_rates_sample(rates, channels, frames, second * NS_PER_SECOND, 0);
        double wanted = second <= 10 ? 10 : second < 15 ? 2.0 * (double)(15 - second) : 0;
        assert_float_equal(rate_of("A", "trade"), wanted, 0.001);
        if (second >= 5) { /* 4 seconds at first, from the first sample on */
            wanted = second == 5 ? 0.2 : second < 10 ? 0.2 : 0;
            assert_float_equal(rate_of("B", "trade"), wanted, 0.06);
        }
    }
}

/* ---- While others write ---- */

#define WRITTEN 200000
#define QUIET_EVERY 5000 /* frames; a lap has about a thousand */
#define OPENED 10000

static _Atomic uint32_t opened; /* set after channels_open has returned */
static _Atomic bool has_begun;

static uint64_t time_of(uint32_t channel, uint64_t seq)
{
    return 1000 * seq + channel + 1;
}

static void *write_all_the_time(void *context)
{
    uint64_t seqs[2] = {0};
    (void)context;
    for (uint32_t i = 0; i < WRITTEN; i++) {
        uint32_t channel = i % QUIET_EVERY == 0;
        seqs[channel]++;
        append(channel, channel == 1 ? FRAME_FULL_IMAGE : 0, time_of(channel, seqs[channel]));
        atomic_store(&has_begun, true);
    }
    atomic_store(&has_begun, false);
    return NULL;
}

static void a_glance_is_whole_however_fast_the_writer(void **state)
{
    (void)state;
    pthread_t thread;
    uint64_t seqs[2] = {0};
    assert_int_equal(pthread_create(&thread, NULL, write_all_the_time, NULL), 0);
    while (!atomic_load(&has_begun)) {
        sched_yield();
    }
    while (atomic_load(&has_begun)) {
        for (uint32_t channel = 0; channel < 2; channel++) {
            struct frame_log_glance glance = frame_log_glance(frames, channel);
            assert_true(glance.seq >= seqs[channel]);
            assert_true(glance.ts_pub_ns == 0 || glance.ts_pub_ns == time_of(channel, glance.seq));
            seqs[channel] = glance.seq;
        }
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(seqs[0] > 0);
    struct frame_log_glance quiet = frame_log_glance(frames, 1);
    assert_int_equal(quiet.seq, WRITTEN / QUIET_EVERY);
    assert_int_equal(quiet.ts_pub_ns, time_of(1, quiet.seq));
}

static void *open_all_the_time(void *context)
{
    char symbol[16];
    (void)context;
    for (uint32_t i = 0; i < OPENED; i++) {
        snprintf(symbol, sizeof symbol, "S%u", i * 7919 % 10007);
        make(symbol, MD_QUOTE);
        atomic_store(&opened, i + 1);
    }
    return NULL;
}

static void a_walk_sees_all_channels_in_order_while_others_are_opened(void **state)
{
    (void)state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, open_all_the_time, NULL), 0);
    for (uint32_t known = 0; known < OPENED;) {
        uint32_t count = 0;
        const char *before = "";
        known = atomic_load(&opened);
        uint32_t channel = channel_order_seek(&channels->order, "", false);
        for (; channel != CHANNEL_NONE; channel = channel_order_next(&channels->order, channel)) {
            const char *symbol = channels_get(channels, channel)->symbol;
            assert_true(strcmp(before, symbol) < 0);
            before = symbol;
            count++;
        }
        assert_true(count >= known);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(channels_are_in_the_byte_order_of_their_symbols),
        TEST(a_search_is_short),
        TEST(computed_channels_are_not_listed),
        TEST(pages_list_each_symbol_that_matches_once),
        TEST(a_long_page_ends_before_its_limit),
        TEST(each_type_has_the_settings_that_it_takes),
        TEST(all_settings_are_offered),
        TEST(the_newest_frame_tells_seq_and_time),
        TEST(a_frame_that_has_left_the_log_keeps_its_time),
        TEST(a_rate_is_of_the_last_five_seconds),
        TEST(a_glance_is_whole_however_fast_the_writer),
        TEST(a_walk_sees_all_channels_in_order_while_others_are_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
