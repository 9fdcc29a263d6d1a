#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec/base/units.h"
#include "codec/json_tick.h"
#include "feed_recorder.h"

#define NOW_NS UINT64_C(1732078800000000000) /* a full minute */
#define BOOK_LEVELS_MAX 10

static struct feed *open_sim(struct recorder *recorder, const char *spec)
{
    struct feed *feed = NULL;
    if (feed_open(&feed, spec, &recorder->sink, NOW_NS, recorder->error) < 0) {
        fail_msg("%s: %s", spec, recorder->error);
    }
    return feed;
}

/* Runs a sim of that spec for so long, from NOW_NS on. */
static struct recorder *record(const char *spec, uint64_t for_ns)
{
    struct recorder *recorder = recorder_create();
    struct feed *feed = open_sim(recorder, spec);
    recorder_run(feed, NOW_NS, NOW_NS + for_ns);
    feed->ops->close(feed);
    return recorder;
}

static void symbols_take_turns_and_the_first_are_well_known(void **state)
{
    (void)state;
    const char *const names[] = {"000001.SZ", "600519.SH", "300750.SZ",    "AAPL.US",
                                 "MSFT.US",   "NVDA.US",   "SIM00006.SIM", "SIM00007.SIM",
                                 "000001.SZ", "600519.SH"};
    struct recorder *recorder = record("sim:symbols=8,rate=1000", 9 * NS_PER_MS);
    assert_int_equal(recorder->tick_count, 10);
    for (uint32_t i = 0; i < 10; i++) {
        assert_string_equal(recorder_symbol(recorder, i), names[i]);
    }
    recorder_destroy(recorder);
}

static void every_pair_of_symbol_and_type_comes_equally_often(void **state)
{
    (void)state;
    /* With 2 and 4 symbols a plain k mod types would never pair some of them. */
    for (uint32_t symbol_count = 1; symbol_count <= 5; symbol_count++) {
        char spec[80];
        uint32_t counts[20] = {0};
        uint32_t tick_count = symbol_count * 4 * 3;
        snprintf(spec, sizeof spec, "sim:symbols=%u,types=quote+trade+bar+depth", symbol_count);
        struct recorder *recorder = record(spec, (tick_count - 1) * NS_PER_MS);
        assert_int_equal(recorder->tick_count, tick_count);
        assert_int_equal(recorder->channel_count, symbol_count * 4);
        for (uint32_t i = 0; i < tick_count; i++) {
            counts[recorder_tick(recorder, i)->update.channel]++;
        }
        for (uint32_t i = 0; i < symbol_count * 4; i++) {
            assert_int_equal(counts[i], 3);
        }
        recorder_destroy(recorder);
    }
}

static void the_same_seed_makes_the_same_ticks(void **state)
{
    (void)state;
    static const char same[] = "sim:seed=5,types=quote+trade+bar+depth";
    struct recorder *a = record(same, NS_PER_SECOND);
    struct recorder *b = record(same, NS_PER_SECOND);
    struct recorder *c = record("sim:seed=6,types=quote+trade+bar+depth", NS_PER_SECOND);
    assert_int_equal(a->tick_count, 1001);
    assert_int_equal(b->tick_count, 1001);
    uint32_t differing = 0;
    for (uint32_t i = 0; i < a->tick_count; i++) {
        struct json_tick_head head;
        uint8_t texts[3][4096];
        size_t bytes[3];
        const struct recorder *recorders[] = {a, b, c};
        for (uint32_t j = 0; j < 3; j++) {
            struct recorded_tick tick = *recorder_tick(recorders[j], i);
            if (tick.update.type == MD_QUOTE) {
                tick.update.quote.bids = tick.bids;
                tick.update.quote.asks = tick.asks;
            } else if (tick.update.type == MD_DEPTH) {
                tick.update.depth.bids = tick.bids;
                tick.update.depth.asks = tick.asks;
            }
            json_tick_head_init(&head, tick.update.type, "X", 1, tick.update.channel);
            bytes[j] = json_tick_encode(texts[j], sizeof texts[j], &head, &tick.update, 1, 1);
        }
        assert_int_equal(bytes[0], bytes[1]);
        assert_memory_equal(texts[0], texts[1], bytes[0]);
        differing += bytes[0] != bytes[2] || memcmp(texts[0], texts[2], bytes[0]) != 0;
    }
    assert_true(differing > 900);
    recorder_destroy(a);
    recorder_destroy(b);
    recorder_destroy(c);
}

static void the_schedule_is_exact_and_never_drifts(void **state)
{
    (void)state;
    /* 7 in 3 s: no instant but each seventh is a whole nanosecond. */
    struct recorder *recorder = record("sim:rate=7,burst=3", 3000 * NS_PER_SECOND);
    assert_int_equal(recorder->tick_count, 7001 * 3);
    for (uint64_t i = 0; i < 5000; i++) {
        uint64_t expected_ns = NOW_NS + i * 3 * NS_PER_SECOND / 7;
        for (uint64_t j = 0; j < 3; j++) {
            assert_true(recorder_tick(recorder, i * 3 + j)->update.ts_event_ns == expected_ns);
        }
    }
    recorder_destroy(recorder);
}

static void late_ticks_are_made_up_within_the_room(void **state)
{
    (void)state;
    struct recorder *recorder = recorder_create();
    struct feed *feed = open_sim(recorder, "sim:rate=1000");
    recorder->room = 64;
    uint64_t late_ns = NOW_NS + 5 * NS_PER_SECOND;
    assert_true(feed->ops->poll(feed, late_ns) <= late_ns);
    assert_int_equal(recorder->tick_count, 64);
    recorder->room = 0;
    assert_true(feed->ops->poll(feed, late_ns) <= late_ns);
    assert_int_equal(recorder->tick_count, 64);
    recorder->room = 10000;
    assert_true(feed->ops->poll(feed, late_ns) == late_ns + NS_PER_MS);
    assert_int_equal(recorder->tick_count, 5001);
    assert_true(recorder_tick(recorder, 5000)->update.ts_event_ns == late_ns);
    assert_true(recorder_tick(recorder, 0)->update.ts_event_ns == NOW_NS);
    assert_true(recorder_tick(recorder, 0)->update.ts_recv_ns == late_ns);
    assert_int_equal(recorder->log_count, 0);
    assert_false(feed->elastic);
    feed->ops->close(feed);
    recorder_destroy(recorder);
}

static void a_clock_that_jumps_moves_the_schedule(void **state)
{
    (void)state;
    struct recorder *recorder = recorder_create();
    struct feed *feed = open_sim(recorder, "sim:rate=1000");
    uint64_t now_ns = NOW_NS + 3600 * NS_PER_SECOND;
    feed->ops->poll(feed, NOW_NS);
    feed->ops->poll(feed, now_ns);
    assert_true(recorder->tick_count <= 2); /* no flood of 3.6 million */
    assert_int_equal(recorder->log_count, 1);

    now_ns = NOW_NS - 3600 * NS_PER_SECOND;
    uint64_t wake_ns = feed->ops->poll(feed, now_ns);
    assert_true(wake_ns <= now_ns + NS_PER_MS); /* no frost of two hours */
    assert_int_equal(recorder->log_count, 2);
    assert_true(recorder_has_log(recorder, "-7200 s"));
    feed->ops->close(feed);
    recorder_destroy(recorder);
}

/* Applies one level to a side of a book; asserts that what is removed was there. */
static void book_apply(struct md_level *side, uint32_t *count, struct md_level level)
{
    for (uint32_t i = 0; i < *count; i++) {
        if (side[i].price.mantissa != level.price.mantissa) {
            continue;
        }
        side[i] = level.size.mantissa == 0 ? side[--*count] : level;
        return;
    }
    assert_true(level.size.mantissa > 0);
    assert_true(*count < BOOK_LEVELS_MAX + 1);
    side[(*count)++] = level;
}

static void a_rebuilt_book_has_ten_levels_and_is_never_crossed(void **state)
{
    (void)state;
    struct recorder *recorder = record("sim:symbols=1,types=depth", 15 * NS_PER_SECOND);
    struct md_level bids[BOOK_LEVELS_MAX + 1];
    struct md_level asks[BOOK_LEVELS_MAX + 1];
    uint32_t bid_count = 0;
    uint32_t ask_count = 0;
    uint32_t snapshot_count = 0;
    for (uint64_t i = 0; i < recorder->tick_count; i++) {
        const struct recorded_tick *tick = recorder_tick(recorder, i);
        const struct md_depth *depth = &tick->update.depth;
        assert_true(i > 0 || depth->action == MD_SNAPSHOT);
        if (depth->action == MD_SNAPSHOT) {
            snapshot_count++;
            bid_count = ask_count = 0;
        }
        for (uint32_t j = 0; j < depth->bid_count; j++) {
            book_apply(bids, &bid_count, tick->bids[j]);
        }
        for (uint32_t j = 0; j < depth->ask_count; j++) {
            book_apply(asks, &ask_count, tick->asks[j]);
        }
        assert_int_equal(bid_count, BOOK_LEVELS_MAX);
        assert_int_equal(ask_count, BOOK_LEVELS_MAX);
        for (uint32_t j = 0; j < BOOK_LEVELS_MAX * BOOK_LEVELS_MAX; j++) {
            assert_true(bids[j / BOOK_LEVELS_MAX].price.mantissa > 0);
            assert_true(bids[j / BOOK_LEVELS_MAX].price.mantissa <
                        asks[j % BOOK_LEVELS_MAX].price.mantissa);
        }
    }
    assert_int_equal(snapshot_count, 16);
    recorder_destroy(recorder);
}

static void quotes_agree_with_the_trades_before_them(void **state)
{
    (void)state;
    struct recorder *recorder = record("sim:symbols=1,types=quote+trade", 10 * NS_PER_SECOND);
    int64_t volume = 0;
    int64_t turnover = 0;
    int64_t high = 0;
    int64_t low = INT64_MAX;
    uint64_t trade_count = 0;
    for (uint64_t i = 0; i < recorder->tick_count; i++) {
        const struct recorded_tick *tick = recorder_tick(recorder, i);
        if (tick->update.type == MD_TRADE) {
            const struct md_trade *trade = &tick->update.trade;
            volume += trade->size.mantissa;
            turnover += trade->size.mantissa * trade->price.mantissa;
            high = trade->price.mantissa > high ? trade->price.mantissa : high;
            low = trade->price.mantissa < low ? trade->price.mantissa : low;
            assert_int_equal(trade->id, ++trade_count);
            assert_true(trade->side == MD_SIDE_BUY || trade->side == MD_SIDE_SELL);
            continue;
        }
        const struct md_quote *quote = &tick->update.quote;
        assert_int_equal(quote->bid_count, 5);
        assert_int_equal(quote->ask_count, 5);
        assert_true(tick->bids[0].price.mantissa < tick->asks[0].price.mantissa);
        assert_true(tick->bids[1].price.mantissa < tick->bids[0].price.mantissa);
        assert_int_equal(quote->volume.mantissa, volume);
        assert_int_equal(quote->turnover.mantissa, turnover);
        assert_int_equal(quote->last.exponent, -2);
        assert_int_equal(md_is_given(quote->high), trade_count > 0);
        if (trade_count > 0) {
            assert_int_equal(quote->high.mantissa, high);
            assert_int_equal(quote->low.mantissa, low);
        }
    }
    assert_true(trade_count > 4000);
    recorder_destroy(recorder);
}

static void bars_close_when_the_minute_turns_and_add_up(void **state)
{
    (void)state;
    struct recorder *recorder =
        record("sim:symbols=1,rate=10,types=trade+bar", 181 * NS_PER_SECOND);
    uint64_t counts[4] = {0}; /* trades of each minute */
    int64_t volumes[4] = {0};
    uint32_t closed_count = 0;
    for (uint64_t i = 0; i < recorder->tick_count; i++) {
        const struct md_update *update = &recorder_tick(recorder, i)->update;
        uint64_t minute = (update->ts_event_ns - NOW_NS) / (60 * NS_PER_SECOND);
        if (update->type == MD_TRADE) {
            counts[minute]++;
            volumes[minute] += update->trade.size.mantissa;
            continue;
        }
        const struct md_bar *bar = &update->bar;
        uint64_t bar_minute = (bar->start_ns - NOW_NS) / (60 * NS_PER_SECOND);
        assert_string_equal(bar->interval, "1m");
        assert_int_equal(bar_minute, bar->closed ? minute - 1 : minute);
        assert_int_equal(bar->count, counts[bar_minute]);
        assert_int_equal(bar->volume.mantissa, volumes[bar_minute]);
        assert_true(bar->low.mantissa <= bar->open.mantissa);
        assert_true(bar->low.mantissa <= bar->close.mantissa);
        assert_true(bar->high.mantissa >= bar->open.mantissa);
        assert_true(bar->high.mantissa >= bar->close.mantissa);
        closed_count += bar->closed;
    }
    assert_int_equal(closed_count, 3);
    recorder_destroy(recorder);
}

static void every_padded_payload_has_exactly_the_length_asked_for(void **state)
{
    (void)state;
    struct recorder *recorder = recorder_create();
    struct feed *feed = NULL;
    assert_int_equal(feed_open(&feed, "sim:pad=1", &recorder->sink, NOW_NS, recorder->error),
                     -EINVAL);
    const char *smallest = strstr(recorder->error, "the smallest is pad=");
    assert_non_null(smallest);
    int pad_bytes = atoi(strstr(smallest, "=") + 1);
    assert_in_range(pad_bytes, 150, 300);
    recorder_destroy(recorder);

    char spec[40];
    snprintf(spec, sizeof spec, "sim:pad=%d", pad_bytes - 1);
    recorder = recorder_create();
    assert_int_equal(feed_open(&feed, spec, &recorder->sink, NOW_NS, recorder->error), -EINVAL);
    recorder_destroy(recorder);

    snprintf(spec, sizeof spec, "sim:pad=%d", pad_bytes);
    recorder = record(spec, NS_PER_SECOND);
    for (uint64_t i = 0; i < recorder->tick_count; i++) {
        struct json_tick_head head;
        uint8_t payload[1024];
        struct recorded_tick tick = *recorder_tick(recorder, i);
        const char *symbol = recorder_symbol(recorder, i);
        tick.update.quote.bids = tick.bids;
        tick.update.quote.asks = tick.asks;
        json_tick_head_init(&head, MD_QUOTE, symbol, strlen(symbol), UINT32_MAX);
        assert_int_equal(
            json_tick_encode(payload, sizeof payload, &head, &tick.update, UINT64_MAX, UINT64_MAX),
            pad_bytes);
    }
    recorder_destroy(recorder);
}

static void wrong_types_are_refused(void **state)
{
    (void)state;
    static const char *const specs[] = {"sim:types=quote+qoute", "sim:types=quote+quote",
                                        "sim:types=status",      "sim:types=+quote",
                                        "sim:types=quote+",      "sim:pad=500,types=quote+trade",
                                        "sim:pad=500,types=bar"};
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++) {
        struct recorder *recorder = recorder_create();
        struct feed *feed = NULL;
        assert_int_equal(feed_open(&feed, specs[i], &recorder->sink, NOW_NS, recorder->error),
                         -EINVAL);
        assert_null(feed);
        recorder_destroy(recorder);
    }
}

static void a_full_channel_table_is_said_at_open(void **state)
{
    (void)state;
    struct recorder *recorder = recorder_create();
    struct feed *feed = NULL;
    recorder->channels_max = 10;
    assert_int_equal(feed_open(&feed, "sim:symbols=11", &recorder->sink, NOW_NS, recorder->error),
                     -ENOSPC);
    assert_non_null(strstr(recorder->error, "reduce symbols"));
    recorder_destroy(recorder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(symbols_take_turns_and_the_first_are_well_known),
        cmocka_unit_test(every_pair_of_symbol_and_type_comes_equally_often),
        cmocka_unit_test(the_same_seed_makes_the_same_ticks),
        cmocka_unit_test(the_schedule_is_exact_and_never_drifts),
        cmocka_unit_test(late_ticks_are_made_up_within_the_room),
        cmocka_unit_test(a_clock_that_jumps_moves_the_schedule),
        cmocka_unit_test(a_rebuilt_book_has_ten_levels_and_is_never_crossed),
        cmocka_unit_test(quotes_agree_with_the_trades_before_them),
        cmocka_unit_test(bars_close_when_the_minute_turns_and_add_up),
        cmocka_unit_test(every_padded_payload_has_exactly_the_length_asked_for),
        cmocka_unit_test(wrong_types_are_refused),
        cmocka_unit_test(a_full_channel_table_is_said_at_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
