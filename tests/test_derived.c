/* Derived channels over a real log and channel table, with a clock that the test moves. What they
 * publish is kept, decoded from the frames. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "codec/json_tick.h"
#include "codec/ws_frame.h"
#include "src/market/derived.h"

#define MS NS_PER_MS
#define SECOND NS_PER_SECOND
#define WALL (UINT64_C(1700000000) / 300 * 300 * NS_PER_SECOND)
#define KEPT_MAX 4096

struct kept {
    uint32_t channel;
    uint64_t at_ns;
    uint8_t flags;
    json_t *data;
};

static struct channels *channels;
static struct frame_log *frames;
static struct derived derived;
static uint64_t now_ns;
static struct kept kept[KEPT_MAX];
static uint32_t kept_count;
static uint32_t lost_count;
static uint32_t lost_channel;
static uint32_t end_count;
static uint64_t core_index;

/* ---- The publisher's part ---- */

static json_t *write_frame(uint32_t channel, uint8_t flags, const struct md_update *update)
{
    const struct channel *known = channels_get(channels, channel);
    uint8_t *frame = frame_log_reserve(frames);
    struct json_tick_head head;
    json_tick_head_init(&head, (enum md_type)known->type, known->symbol, known->symbol_bytes,
                        channel);
    size_t bytes = json_tick_encode(frame + WS_FRAME_FINISH_GAP, 60000, &head, update,
                                    frame_log_next_seq(frames, channel), WALL + now_ns);
    assert_true(bytes > 0);
    json_t *message = json_loadb((const char *)frame + WS_FRAME_FINISH_GAP, bytes, 0, NULL);
    size_t frame_bytes = ws_frame_finish(frame, WS_TEXT, bytes);
    frame_log_commit(frames, channel, known->group, flags, (uint32_t)frame_bytes, WALL + now_ns);
    frame_log_publish(frames);
    return message;
}

static void publish(void *context, uint32_t channel, uint8_t flags, const struct md_update *update)
{
    (void)context;
    assert_true(kept_count < KEPT_MAX);
    json_t *message = write_frame(channel, flags, update);
    kept[kept_count++] =
        (struct kept){channel, now_ns, flags, json_incref(json_object_get(message, "data"))};
    json_decref(message);
}

static void lose(void *context, uint32_t channel)
{
    (void)context;
    lost_count++;
    lost_channel = channel;
}

static void end(void *context, uint32_t channel)
{
    (void)context;
    json_decref(write_frame(channel, 0, &(struct md_update){.type = MD_TRADE}));
    end_count++;
}

/* The slowest core has come so far. */
static uint64_t passed(void *context)
{
    (void)context;
    return core_index == UINT64_MAX ? frame_log_head(frames) : core_index;
}

static void tick(uint32_t channel, struct md_update *update)
{
    bool is_book = update->type == MD_DEPTH && update->depth.action == MD_SNAPSHOT;
    update->channel = channel;
    update->ts_event_ns = WALL + now_ns;
    bool is_image = update->type == MD_QUOTE || update->type == MD_BAR || is_book;
    json_decref(write_frame(channel, is_image ? FRAME_FULL_IMAGE : 0, update));
    if (derived_wants(&derived, update)) {
        derived_on_tick(&derived, update, now_ns);
    }
}

static uint64_t poll_once(void)
{
    return derived_poll(&derived, now_ns, WALL + now_ns);
}

/* Time passes; what is due is done within 10 ms. */
static void pass(uint64_t ns)
{
    for (uint64_t end_ns = now_ns + ns; now_ns < end_ns;) {
        now_ns += end_ns - now_ns < 10 * MS ? end_ns - now_ns : 10 * MS;
        poll_once();
    }
}

static int set_up(void **state)
{
    struct frame_log_options log_options = {
        .capacity_bytes = MIB,
        .frame_bytes_max = 64 * KIB,
        .channel_count_max = CHANNELS_MAX,
        .reader_count = 1,
    };
    (void)state;
    assert_int_equal(channels_create(&channels, NULL, &(struct keyed_hash){{1, 2}}), 0);
    assert_int_equal(frame_log_create(&frames, &log_options), 0);
    struct derived_options options = {
        .channels = channels,
        .log = frames,
        .publish = publish,
        .lose = lose,
        .end = end,
        .passed = passed,
    };
    assert_int_equal(derived_create(&derived, &options), 0);
    now_ns = 1000 * SECOND;
    kept_count = 0;
    lost_count = 0;
    end_count = 0;
    core_index = UINT64_MAX;
    return 0;
}

static void forget(void)
{
    while (kept_count > 0) {
        json_decref(kept[--kept_count].data);
    }
}

static int tear_down(void **state)
{
    (void)state;
    forget();
    derived_destroy(&derived);
    frame_log_destroy(frames);
    channels_destroy(channels);
    return 0;
}

/* ---- Ticks and wishes ---- */

static uint32_t feed_channel(enum md_type type)
{
    return channels_open(channels, "A", 1, type);
}

static uint32_t wish(enum md_type type, struct variant variant)
{
    return channels_hold_variant(channels, "A", 1, type, variant);
}

static void quote(uint32_t channel, int64_t last)
{
    struct md_level bid = {{last - 1, -2}, {100, 0}};
    struct md_update update = {
        .type = MD_QUOTE,
        .quote = {{last, -2},
                  md_none,
                  md_none,
                  md_none,
                  md_none,
                  md_none,
                  md_none,
                  &bid,
                  NULL,
                  1,
                  0,
                  "open"},
    };
    tick(channel, &update);
    memset(&bid, 0xff, sizeof bid); /* Whoever kept the pointer would show it. */
}

static void trade(uint32_t channel, int64_t price)
{
    struct md_update update = {.type = MD_TRADE, .trade = {.price = {price, -2}, .size = {100, 0}}};
    tick(channel, &update);
}

static void book(uint32_t channel, enum md_action action, int64_t price, int64_t size)
{
    struct md_level levels[12];
    uint32_t count = action == MD_SNAPSHOT ? 12 : 1;
    for (uint32_t i = 0; i < count; i++) {
        levels[i] = (struct md_level){{price - i, -2}, {size, 0}};
    }
    struct md_update update = {
        .type = MD_DEPTH,
        .depth = {.action = action, .bids = levels, .bid_count = count},
    };
    tick(channel, &update);
}

static const char *text_of(const json_t *data, const char *key)
{
    return json_string_value(json_object_get(data, key));
}

static double last_of(const struct kept *frame)
{
    return json_number_value(json_object_get(frame->data, "last"));
}

/* ---- Conflation ---- */

static void a_quote_comes_at_most_once_an_interval_and_the_last_one_comes(void **state)
{
    (void)state;
    uint32_t source = feed_channel(MD_QUOTE);
    uint32_t channel = wish(MD_QUOTE, (struct variant){.interval_ms = 100});
    poll_once();
    poll_once();
    int64_t last = 1000;
    for (int i = 0; i < 1000; i++) { /* one each ms, for a second */
        quote(source, ++last);
        now_ns += MS;
        poll_once();
    }
    pass(300 * MS);
    assert_in_range(kept_count, 9, 11);
    for (uint32_t i = 0; i < kept_count; i++) {
        assert_int_equal(kept[i].channel, channel);
        assert_int_equal(kept[i].flags, FRAME_FULL_IMAGE);
        if (i > 0) {
            assert_true(kept[i].at_ns - kept[i - 1].at_ns >= 100 * MS);
        }
    }
    assert_true(last_of(&kept[0]) == 10.01); /* The first waits for nothing. */
    assert_true(last_of(&kept[kept_count - 1]) == 20.00);
    const json_t *bid = json_array_get(json_object_get(kept[kept_count - 1].data, "bids"), 0);
    assert_true(json_number_value(json_array_get(bid, 0)) == 19.99);
    assert_string_equal(text_of(kept[kept_count - 1].data, "status"), "open");
    uint32_t before = kept_count;
    pass(SECOND);
    assert_int_equal(kept_count, before); /* Nothing new, nothing said. */
}

static void each_interval_is_a_channel_of_its_own_and_many_subscribers_cost_nothing(void **state)
{
    (void)state;
    uint32_t source = feed_channel(MD_QUOTE);
    uint32_t fast = wish(MD_QUOTE, (struct variant){.interval_ms = 100});
    uint32_t slow = wish(MD_QUOTE, (struct variant){.interval_ms = 1000});
    for (int i = 0; i < 999; i++) {
        channels_count_subscriber(channels, fast, 1);
    }
    poll_once();
    poll_once();
    for (int i = 0; i < 2000; i++) {
        quote(source, 1000 + i);
        now_ns += MS;
        poll_once();
    }
    uint32_t counts[2] = {0, 0};
    for (uint32_t i = 0; i < kept_count; i++) {
        counts[kept[i].channel == slow]++;
    }
    assert_in_range(counts[0], 17, 20);
    assert_int_equal(counts[1], 2);
}

static void a_quiet_symbols_quote_is_read_back_from_the_log(void **state)
{
    (void)state;
    uint32_t source = feed_channel(MD_QUOTE);
    quote(source, 1234);
    quote(source, 1235);
    pass(3600 * SECOND);
    wish(MD_QUOTE, (struct variant){.interval_ms = 100});
    pass(20 * MS);
    assert_int_equal(kept_count, 1);
    assert_true(last_of(&kept[0]) == 12.35);
}

static void a_quote_that_was_lapped_is_read_from_where_it_was_saved(void **state)
{
    (void)state;
    uint32_t source = feed_channel(MD_QUOTE);
    uint32_t busy = channels_open(channels, "BUSY", 4, MD_TRADE);
    quote(source, 1235);
    for (int i = 0; i < 50000; i++) {
        trade(busy, 5);
    }
    assert_true(frame_log_tail(frames) > 1);
    wish(MD_QUOTE, (struct variant){.interval_ms = 100});
    pass(20 * MS);
    assert_int_equal(kept_count, 1);
    assert_true(last_of(&kept[0]) == 12.35);
}

/* ---- Life ---- */

static void nothing_is_computed_while_nobody_subscribes(void **state)
{
    (void)state;
    uint32_t source = feed_channel(MD_QUOTE);
    assert_true(poll_once() == UINT64_MAX);
    uint32_t channel = wish(MD_QUOTE, (struct variant){.interval_ms = 100});
    assert_false(derived.sources[source] != NULL);
    poll_once();
    assert_true(derived.sources[source] != NULL);
    assert_int_equal(derived_count(&derived), 1);
    channels_count_subscriber(channels, channel, -1);
    pass(DERIVED_LINGER_NS - SECOND);
    assert_int_equal(derived_count(&derived), 1); /* A cut of its clients leaves no hole. */
    pass(3 * SECOND);
    assert_int_equal(derived_count(&derived), 0);
    assert_false(derived.sources[source] != NULL);
    pass(2 * SECOND);
    assert_true(poll_once() == UINT64_MAX);
}

static void a_name_that_comes_back_has_seqs_of_its_own(void **state)
{
    static const struct variant variant = {.interval_ms = 100};
    (void)state;
    uint32_t source = feed_channel(MD_QUOTE);
    uint32_t channel = wish(MD_QUOTE, variant);
    poll_once();
    quote(source, 1);
    uint64_t seq = frame_log_next_seq(frames, channel);
    assert_int_equal(seq, 2);
    channels_release(channels, channel);
    pass(DERIVED_LINGER_NS + 3 * SECOND);
    assert_int_equal(end_count, 1);
    assert_int_equal(frame_log_next_seq(frames, channel), seq + 1); /* a GAP: no image is last */
    assert_int_equal(channels_find_variant(channels, "A", 1, MD_QUOTE, variant), CHANNEL_NONE);
    for (uint32_t i = 1; i < CHANNELS_VARIANTS_MAX; i++) {
        char symbol[16];
        int bytes = snprintf(symbol, sizeof symbol, "S%u", i);
        channels_hold_variant(channels, symbol, (size_t)bytes, MD_QUOTE, variant);
    }
    assert_int_equal(wish(MD_QUOTE, variant), channel);
    assert_int_equal(channels_get(channels, channel)->first_seq, seq + 1);
    pass(20 * MS);
    quote(source, 1);
    assert_true(frame_log_next_seq(frames, channel) > seq + 1);
}

static void a_number_waits_until_every_core_has_passed_its_end(void **state)
{
    static const struct variant variant = {.interval_ms = 100};
    (void)state;
    feed_channel(MD_QUOTE);
    uint32_t channel = wish(MD_QUOTE, variant);
    core_index = 0;
    channels_release(channels, channel);
    pass(DERIVED_LINGER_NS + 3 * SECOND);
    assert_int_equal(end_count, 1);
    assert_int_equal(channels->free_count, 0);
    core_index = frame_log_head(frames);
    pass(2 * SECOND);
    assert_int_equal(channels->free_count, 1);
}

/* Who wants many for a moment each does not keep others from theirs. */
static void more_variants_than_there_are_take_turns(void **state)
{
    (void)state;
    feed_channel(MD_QUOTE);
    uint32_t kept_one = wish(MD_QUOTE, (struct variant){.interval_ms = 100});
    for (uint32_t i = 0; i < 3 * CHANNELS_VARIANTS_MAX; i++) {
        char symbol[16];
        int bytes = snprintf(symbol, sizeof symbol, "S%u", i);
        channels_open(channels, symbol, (size_t)bytes, MD_QUOTE);
        uint32_t channel = channels_hold_variant(channels, symbol, (size_t)bytes, MD_QUOTE,
                                                 (struct variant){.interval_ms = 100});
        assert_int_not_equal(channel, CHANNEL_NONE);
        assert_int_not_equal(channel, kept_one);
        if (i % 100 == 99) {
            now_ns += MS;
            poll_once();
        }
        channels_release(channels, channel);
    }
    assert_true(end_count > 2 * CHANNELS_VARIANTS_MAX);
    poll_once();
    assert_true(derived_count(&derived) >= 1);
    assert_int_equal(
        channels_find_variant(channels, "A", 1, MD_QUOTE, (struct variant){.interval_ms = 100}),
        kept_one);
}

static void who_comes_back_in_time_keeps_it(void **state)
{
    (void)state;
    feed_channel(MD_QUOTE);
    uint32_t channel = wish(MD_QUOTE, (struct variant){.interval_ms = 100});
    poll_once();
    for (int i = 0; i < 5; i++) {
        channels_count_subscriber(channels, channel, -1);
        pass(DERIVED_LINGER_NS - SECOND);
        channels_count_subscriber(channels, channel, 1);
        pass(2 * SECOND);
        assert_int_equal(derived_count(&derived), 1);
    }
}

/* ---- Books ---- */

static void a_book_begins_with_a_snapshot_of_what_was_before(void **state)
{
    (void)state;
    uint32_t source = feed_channel(MD_DEPTH);
    book(source, MD_SNAPSHOT, 1000, 5);
    book(source, MD_DELTA, 1001, 7);
    book(source, MD_DELTA, 998, 0);
    uint32_t channel = wish(MD_DEPTH, (struct variant){.depth = 5});
    pass(20 * MS);
    assert_int_equal(kept_count, 1);
    assert_int_equal(kept[0].channel, channel);
    assert_int_equal(kept[0].flags, FRAME_FULL_IMAGE);
    assert_string_equal(text_of(kept[0].data, "action"), "snapshot");
    char *bids =
        json_dumps(json_object_get(kept[0].data, "bids"), JSON_COMPACT | JSON_REAL_PRECISION(6));
    assert_string_equal(bids, "[[10.01,7],[10.0,5],[9.99,5],[9.97,5],[9.96,5]]");
    free(bids);
    assert_true(json_is_integer(json_object_get(kept[0].data, "checksum")));

    book(source, MD_DELTA, 500, 9); /* far below the cut: nothing to say */
    assert_int_equal(kept_count, 1);
    book(source, MD_DELTA, 1001, 0);
    assert_int_equal(kept_count, 2);
    assert_string_equal(text_of(kept[1].data, "action"), "delta");
    assert_int_equal(kept[1].flags, 0);
    bids = json_dumps(json_object_get(kept[1].data, "bids"), JSON_COMPACT | JSON_REAL_PRECISION(6));
    assert_string_equal(bids, "[[10.01,0],[9.95,5]]");
    free(bids);
}

static void a_book_without_a_snapshot_waits_for_one(void **state)
{
    (void)state;
    uint32_t source = feed_channel(MD_DEPTH);
    book(source, MD_DELTA, 1001, 7);
    wish(MD_DEPTH, (struct variant){.depth = 5});
    pass(20 * MS);
    book(source, MD_DELTA, 1002, 7);
    assert_int_equal(kept_count, 0);
    book(source, MD_SNAPSHOT, 1000, 5);
    assert_int_equal(kept_count, 1);
    assert_string_equal(text_of(kept[0].data, "action"), "snapshot");
}

/* The book's frames, snapshot and all, have left the log when somebody wants it. */
static void a_book_outlives_the_log(void **state)
{
    (void)state;
    uint32_t source = feed_channel(MD_DEPTH);
    book(source, MD_SNAPSHOT, 1000, 5);
    book(source, MD_DELTA, 1001, 7);
    uint32_t noise = channels_open(channels, "B", 1, MD_TRADE);
    while (frame_log_tail(frames) < 2) {
        trade(noise, 1);
    }
    uint32_t channel = wish(MD_DEPTH, (struct variant){.depth = 5});
    pass(20 * MS);
    assert_int_equal(kept_count, 1);
    assert_int_equal(kept[0].channel, channel);
    char *bids =
        json_dumps(json_object_get(kept[0].data, "bids"), JSON_COMPACT | JSON_REAL_PRECISION(6));
    assert_string_equal(bids, "[[10.01,7],[10.0,5],[9.99,5],[9.98,5],[9.97,5]]");
    free(bids);
}

static void a_book_is_void_from_a_loss_to_the_next_snapshot(void **state)
{
    (void)state;
    uint32_t source = feed_channel(MD_DEPTH);
    book(source, MD_SNAPSHOT, 1000, 5);
    uint32_t channel = wish(MD_DEPTH, (struct variant){.depth = 5});
    pass(20 * MS);
    assert_int_equal(kept_count, 1);
    derived_on_loss(&derived, source);
    assert_int_equal(lost_count, 1);
    assert_int_equal(lost_channel, channel);
    book(source, MD_DELTA, 1001, 7);
    pass(SECOND);
    assert_int_equal(kept_count, 1);
    book(source, MD_SNAPSHOT, 1100, 5);
    assert_int_equal(kept_count, 2);
    assert_string_equal(text_of(kept[1].data, "action"), "snapshot");
    assert_int_equal(kept[1].flags, FRAME_FULL_IMAGE);
    /* Who comes when it is void waits, too. */
    derived_on_loss(&derived, source);
    wish(MD_DEPTH, (struct variant){.depth = 10});
    pass(SECOND);
    assert_int_equal(kept_count, 2);
    book(source, MD_SNAPSHOT, 1100, 5);
    assert_int_equal(kept_count, 4);
}

static void snapshots_that_are_asked_for_come_once_in_100_ms_however_many_ask(void **state)
{
    (void)state;
    uint32_t source = feed_channel(MD_DEPTH);
    book(source, MD_SNAPSHOT, 1000, 5);
    uint32_t channel = wish(MD_DEPTH, (struct variant){.depth = 5});
    pass(SECOND);
    assert_int_equal(kept_count, 1);
    for (int i = 0; i < 1000; i++) { /* each ms ten ask, for a second */
        for (int j = 0; j < 10; j++) {
            channels_ask_snapshot(channels, channel);
        }
        now_ns += MS;
        poll_once();
        if (i % 5 == 0) {
            book(source, MD_DELTA, 1001, 1 + i);
        }
    }
    pass(SECOND);
    uint32_t snapshots = 0;
    uint64_t before_ns = 0;
    for (uint32_t i = 1; i < kept_count; i++) {
        if (strcmp(text_of(kept[i].data, "action"), "snapshot") == 0) {
            assert_true(kept[i].at_ns - before_ns >= DERIVED_SNAPSHOT_NS);
            before_ns = kept[i].at_ns;
            snapshots++;
        }
    }
    assert_in_range(snapshots, 9, 11);
    /* The last one to ask gets one, though the book is quiet. */
    uint32_t count = kept_count;
    channels_ask_snapshot(channels, channel);
    pass(20 * MS);
    assert_int_equal(kept_count, count + 1);
}

static void every_16th_delta_has_a_checksum(void **state)
{
    uint32_t with_checksum = 0;
    (void)state;
    uint32_t source = feed_channel(MD_DEPTH);
    book(source, MD_SNAPSHOT, 1000, 5);
    wish(MD_DEPTH, (struct variant){.depth = 5});
    pass(20 * MS);
    for (int i = 0; i < 160; i++) {
        book(source, MD_DELTA, 1001, 1 + i);
        with_checksum += json_object_get(kept[kept_count - 1].data, "checksum") != NULL;
    }
    assert_int_equal(kept_count, 161);
    assert_int_equal(with_checksum, 10);
}

static void a_conflated_book_is_a_snapshot_an_interval_if_its_top_has_changed(void **state)
{
    (void)state;
    uint32_t source = feed_channel(MD_DEPTH);
    book(source, MD_SNAPSHOT, 1000, 5);
    wish(MD_DEPTH, (struct variant){.depth = 10, .interval_ms = 200});
    pass(20 * MS);
    forget();
    for (int i = 0; i < 1000; i++) {
        book(source, MD_DELTA, i % 2 == 0 ? 1001 : 400, 1 + i);
        now_ns += MS;
        poll_once();
    }
    pass(SECOND);
    assert_in_range(kept_count, 4, 6);
    for (uint32_t i = 0; i < kept_count; i++) {
        assert_string_equal(text_of(kept[i].data, "action"), "snapshot");
        assert_int_equal(kept[i].flags, FRAME_FULL_IMAGE);
        assert_int_equal(json_array_size(json_object_get(kept[i].data, "bids")), 10);
    }
    const json_t *best = json_array_get(json_object_get(kept[kept_count - 1].data, "bids"), 0);
    assert_true(json_number_value(json_array_get(best, 1)) == 999);
    book(source, MD_DELTA, 400, 1); /* below the cut */
    pass(SECOND);
    assert_true(json_number_value(json_array_get(best, 1)) == 999);
    assert_in_range(kept_count, 4, 6);
}

/* ---- Bars ---- */

static long long count_in(const struct kept *frame)
{
    return json_integer_value(json_object_get(frame->data, "count"));
}

static bool is_closed(const struct kept *frame)
{
    return json_is_true(json_object_get(frame->data, "closed"));
}

static void an_open_bar_is_told_four_times_a_second_and_closed_once(void **state)
{
    (void)state;
    uint32_t source = feed_channel(MD_TRADE);
    wish(MD_BAR, (struct variant){.bar = 1});
    pass(20 * MS);
    now_ns = 2000 * SECOND;
    for (int i = 0; i < 3000; i++) { /* three seconds */
        trade(source, 1000 + i);
        now_ns += MS;
        poll_once();
    }
    pass(2 * SECOND); /* The last one is closed by time. */
    uint32_t closed = 0;
    for (uint32_t i = 0; i < kept_count; i++) {
        if (is_closed(&kept[i])) {
            assert_int_equal(count_in(&kept[i]), 1000);
            closed++;
        } else if (i > 0 && !is_closed(&kept[i - 1])) {
            assert_true(kept[i].at_ns - kept[i - 1].at_ns >= DERIVED_BAR_NS);
        }
    }
    assert_int_equal(closed, 3);
    assert_in_range(kept_count, 12, 16);
    assert_true(is_closed(&kept[kept_count - 1]));
    uint64_t late_ns = kept[kept_count - 1].at_ns - 2003 * SECOND;
    assert_in_range(late_ns, DERIVED_BAR_GRACE_NS, DERIVED_BAR_GRACE_NS + 30 * MS);
}

static void bars_of_trades_without_size_have_no_volume(void **state)
{
    (void)state;
    uint32_t source = feed_channel(MD_TRADE);
    struct md_update unsized = {.type = MD_TRADE, .trade = {.price = {1005, -1}, .size = md_none}};
    now_ns = 3000 * SECOND;
    tick(source, &unsized); /* one in the log, one live, then one of a size */
    wish(MD_BAR, (struct variant){.bar = 3});
    pass(20 * MS);
    tick(source, &unsized);
    trade(source, 1000);
    pass(SECOND);
    assert_true(kept_count >= 2);
    const struct kept *newest = &kept[kept_count - 1];
    assert_int_equal(count_in(newest), 3);
    assert_true(json_number_value(json_object_get(newest->data, "high")) == 100.5);
    assert_null(json_object_get(newest->data, "volume"));
    assert_null(json_object_get(newest->data, "turnover"));
    now_ns = 3300 * SECOND; /* The next one is of a size alone. */
    trade(source, 1000);
    pass(SECOND);
    assert_int_equal(json_integer_value(json_object_get(kept[kept_count - 1].data, "volume")), 100);
}

static void the_last_change_of_an_open_bar_is_told(void **state)
{
    (void)state;
    uint32_t source = feed_channel(MD_TRADE);
    wish(MD_BAR, (struct variant){.bar = 3});
    pass(20 * MS);
    now_ns = 3000 * SECOND;
    trade(source, 1000);
    trade(source, 1001);
    trade(source, 1002);
    assert_int_equal(kept_count, 1);
    pass(SECOND);
    assert_int_equal(kept_count, 2);
    assert_int_equal(count_in(&kept[1]), 3);
    assert_false(is_closed(&kept[1]));
}

static void a_bar_that_is_asked_for_late_counts_the_trades_in_the_log(void **state)
{
    (void)state;
    uint32_t source = feed_channel(MD_TRADE);
    now_ns = 3000 * SECOND; /* a minute begins */
    for (int i = 0; i < 100; i++) {
        trade(source, 1000 + i);
        now_ns += SECOND;
    }
    wish(MD_BAR, (struct variant){.bar = 2});
    pass(20 * MS);
    assert_int_equal(kept_count, 1);
    assert_int_equal(count_in(&kept[0]), 40); /* since the minute began */
    assert_true(json_number_value(json_object_get(kept[0].data, "open")) == 10.60);
    wish(MD_BAR, (struct variant){.bar = 3});
    pass(20 * MS);
    assert_int_equal(kept_count, 2);
    assert_int_equal(count_in(&kept[1]), 100);
}

static void trades_between_the_wish_and_the_end_of_reading_are_not_missed(void **state)
{
    (void)state;
    uint32_t source = feed_channel(MD_TRADE);
    for (int i = 0; i < 5000; i++) { /* more than one poll reads */
        trade(source, 1000);
    }
    wish(MD_BAR, (struct variant){.bar = 3});
    int more = 0;
    while (kept_count == 0) {
        poll_once();
        trade(source, 1001);
        more++;
    }
    assert_true(more > 2);
    pass(SECOND);
    assert_int_equal(count_in(&kept[kept_count - 1]), 5000 + more);
}

static void bar(uint32_t channel, const char *interval, int64_t close)
{
    struct md_update update = {
        .type = MD_BAR,
        .bar = {.start_ns = WALL,
                .open = {close, 0},
                .high = {close, 0},
                .low = {close, 0},
                .close = {close, 0},
                .volume = md_none,
                .turnover = md_none},
    };
    strcpy(update.bar.interval, interval);
    tick(channel, &update);
}

static void a_feeds_own_bars_go_before_those_of_its_trades(void **state)
{
    (void)state;
    uint32_t trades = feed_channel(MD_TRADE);
    uint32_t bars = feed_channel(MD_BAR);
    bar(bars, "1m", 5);
    bar(bars, "1h", 6);
    uint32_t minutes = wish(MD_BAR, (struct variant){.bar = 2});
    uint32_t seconds = wish(MD_BAR, (struct variant){.bar = 1});
    pass(20 * MS);
    bar(bars, "1m", 7);
    bar(bars, "1h", 8);
    assert_int_equal(kept_count, 1);
    assert_int_equal(kept[0].channel, minutes);
    assert_int_equal(json_integer_value(json_object_get(kept[0].data, "close")), 7);
    trade(trades, 1000);
    assert_int_equal(kept_count, 2);
    assert_int_equal(kept[1].channel, seconds);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_quote_comes_at_most_once_an_interval_and_the_last_one_comes),
        TEST(each_interval_is_a_channel_of_its_own_and_many_subscribers_cost_nothing),
        TEST(a_quiet_symbols_quote_is_read_back_from_the_log),
        TEST(a_quote_that_was_lapped_is_read_from_where_it_was_saved),
        TEST(nothing_is_computed_while_nobody_subscribes),
        TEST(a_name_that_comes_back_has_seqs_of_its_own),
        TEST(a_number_waits_until_every_core_has_passed_its_end),
        TEST(more_variants_than_there_are_take_turns),
        TEST(who_comes_back_in_time_keeps_it),
        TEST(a_book_begins_with_a_snapshot_of_what_was_before),
        TEST(a_book_without_a_snapshot_waits_for_one),
        TEST(a_book_outlives_the_log),
        TEST(a_book_is_void_from_a_loss_to_the_next_snapshot),
        TEST(snapshots_that_are_asked_for_come_once_in_100_ms_however_many_ask),
        TEST(every_16th_delta_has_a_checksum),
        TEST(a_conflated_book_is_a_snapshot_an_interval_if_its_top_has_changed),
        TEST(an_open_bar_is_told_four_times_a_second_and_closed_once),
        TEST(bars_of_trades_without_size_have_no_volume),
        TEST(the_last_change_of_an_open_bar_is_told),
        TEST(trades_between_the_wish_and_the_end_of_reading_are_not_missed),
        TEST(a_bar_that_is_asked_for_late_counts_the_trades_in_the_log),
        TEST(a_feeds_own_bars_go_before_those_of_its_trades),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
