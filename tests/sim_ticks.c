/* sim_ticks: a feed that makes whatever a feed may make, and a record of what became of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/running_hash.h"
#include "feeds/feed.h"
#include "tests/sim_memory.h"
#include "tests/sim_system.h"

#define TICKS_LEVELS_MAX 400
#define TICKS_TEXT_MAX 3000

struct ticks_feed {
    struct feed head;
    uint32_t symbol_count; /* Others come as time goes by. */
    uint64_t price[WORLD_SYMBOLS];
    bool has_book[WORLD_SYMBOLS];
};

static struct ticks_feed ticks;
static char ticks_text[TICKS_TEXT_MAX + 1];
static struct md_level ticks_levels[2][TICKS_LEVELS_MAX];

const char *ticks_symbol(uint32_t number)
{
    static const char *const symbols[WORLD_SYMBOLS] = {
        "A0.X", "A1.X", "B0.X", "A2.Y", "B1.Y", "A3.X",
        "B2.X", "A4.Y", "B3.Y", "A5.X", "C0.X", "A6.Y",
    };
    return symbols[number];
}

/* ---- The record ---- */

static struct published_frame *ticks_record(uint32_t channel, uint64_t seq)
{
    EXPECT(channel < WORLD_CHANNELS_MAX && seq > 0);
    struct published_channel *published = &world.published[channel];
    if (seq > published->room) {
        uint64_t room = 2 * seq + 14;
        published->frames = sim_memory_grow(published->frames, room * sizeof *published->frames);
        memset(published->frames + published->room, 0,
               (room - published->room) * sizeof *published->frames);
        published->room = room;
    }
    return &published->frames[seq - 1];
}

const struct published_frame *ticks_frame(uint32_t channel, uint64_t seq)
{
    EXPECT(channel < WORLD_CHANNELS_MAX && seq > 0 && seq <= world.published[channel].count);
    return &world.published[channel].frames[seq - 1];
}

static size_t ticks_header_bytes(const uint8_t *frame)
{
    uint8_t length = frame[1] & 127;
    return length < 126 ? 2 : length == 126 ? 4 : 10;
}

static void ticks_note_frame(uint32_t encoding, const struct frame_log *log,
                             const struct frame_desc *desc)
{
    const uint8_t *frame = frame_log_at(log, desc->position);
    size_t header_bytes = ticks_header_bytes(frame);
    uint64_t hash = running_hash_payload(frame + header_bytes, desc->frame_bytes - header_bytes);
    struct published_frame *record = ticks_record(desc->channel, desc->seq);
    if (encoding == CORE_ENCODING_JSON) {
        EXPECT(desc->seq == world.published[desc->channel].count + 1);
        world.published[desc->channel].count = desc->seq;
        record->json_hash = hash;
    }
    if (encoding == CORE_ENCODING_SBE && (frame[0] & 15) == WS_BINARY) {
        record->sbe_hash = hash;
    }
    record->hash[encoding] = desc->hash;
    record->hash_mask |= (uint8_t)(1u << encoding);
    record->flags = desc->flags;
}

void ticks_note(void)
{
    uint32_t count;
    struct core_encoding *encodings = encodings_table(world.encodings, &count);
    for (uint32_t i = 0; i < count; i++) {
        const struct frame_log *log = encodings[i].log;
        uint64_t tail = frame_log_tail(log);
        EXPECT(i != CORE_ENCODING_JSON || tail <= world.tapped[i]);
        world.tapped[i] = tail > world.tapped[i] ? tail : world.tapped[i];
        for (; world.tapped[i] < log->write_index; world.tapped[i]++) {
            ticks_note_frame(i, log, frame_log_desc(log, world.tapped[i]));
        }
    }
}

void ticks_forget(void)
{
    for (uint32_t channel = 0; channel < WORLD_CHANNELS_MAX; channel++) {
        free(world.published[channel].frames);
        world.published[channel] = (struct published_channel){0};
    }
    memset(world.tapped, 0, sizeof world.tapped);
}

/* ---- The feed ---- */

static struct md_decimal ticks_decimal(uint64_t mantissa)
{
    return (struct md_decimal){.mantissa = (int64_t)mantissa, .exponent = -2};
}

/* Best first; each price once. */
static uint32_t ticks_side(struct md_level *levels, uint64_t price, int step, uint32_t count_max,
                           bool may_remove)
{
    uint32_t count = (uint32_t)sim_random(count_max + 1);
    for (uint32_t i = 0; i < count; i++) {
        price = (uint64_t)((int64_t)price + step * (int64_t)(1 + sim_random(3)));
        bool removes = may_remove && sim_random(3) == 0;
        levels[i].price = ticks_decimal(price);
        levels[i].size = ticks_decimal(removes ? 0 : 1 + sim_random(100000));
    }
    return count;
}

static const char *ticks_some_text(size_t bytes_max)
{
    size_t bytes = 1 + sim_random(bytes_max);
    memset(ticks_text, 'a' + (int)sim_random(26), bytes);
    ticks_text[0] = sim_random(10) == 0 ? '"' : ticks_text[0]; /* escaped in JSON */
    ticks_text[bytes] = '\0';
    return ticks_text;
}

static void ticks_make_quote(struct md_update *update, uint64_t price)
{
    uint32_t levels = sim_random(20) == 0 ? 100 : 6;
    update->quote = md_quote_none;
    update->quote.last = ticks_decimal(price);
    update->quote.volume = ticks_decimal(sim_random(1000000));
    update->quote.bids = ticks_levels[0];
    update->quote.asks = ticks_levels[1];
    update->quote.bid_count = ticks_side(ticks_levels[0], price, -1, levels, false);
    update->quote.ask_count = ticks_side(ticks_levels[1], price, 1, levels, false);
    update->quote.status = sim_random(8) == 0 ? ticks_some_text(100) : NULL;
}

static void ticks_make_depth(struct md_update *update, uint32_t symbol)
{
    bool is_whole = !ticks.has_book[symbol] || sim_random(30) == 0;
    uint32_t levels = !is_whole ? 8 : sim_random(3) == 0 ? TICKS_LEVELS_MAX : 40;
    uint64_t price = ticks.price[symbol];
    ticks.has_book[symbol] = true;
    update->depth = (struct md_depth){
        .action = is_whole ? MD_SNAPSHOT : MD_DELTA,
        .bids = ticks_levels[0],
        .asks = ticks_levels[1],
    };
    update->depth.bid_count = ticks_side(ticks_levels[0], price, -1, levels, !is_whole);
    update->depth.ask_count = ticks_side(ticks_levels[1], price, 1, levels, !is_whole);
}

static void ticks_make_bar(struct md_update *update, uint64_t price)
{
    update->bar = (struct md_bar){
        .interval = "1m",
        .start_ns = sim_wall_ns() / (60 * NS_PER_SECOND) * (60 * NS_PER_SECOND),
        .open = ticks_decimal(price),
        .high = ticks_decimal(price + 10),
        .low = ticks_decimal(price - 10),
        .close = ticks_decimal(price),
        .volume = ticks_decimal(sim_random(1000)),
        .turnover = md_none,
    };
}

static void ticks_make(struct md_update *update, uint32_t symbol, enum md_type type)
{
    uint64_t price = ticks.price[symbol];
    switch (type) {
    case MD_QUOTE:
        ticks_make_quote(update, price);
        break;
    case MD_TRADE:
        update->trade = (struct md_trade){
            .price = ticks_decimal(price),
            .size = ticks_decimal(1 + sim_random(1000)),
            .side = MD_SIDE_BUY,
            .has_id = true,
            .id = sim_random(1000000),
        };
        break;
    case MD_BAR:
        ticks_make_bar(update, price);
        break;
    case MD_DEPTH:
        ticks_make_depth(update, symbol);
        break;
    default:
        update->status = (struct md_status){
            .state = ticks_some_text(sim_random(10) == 0 ? TICKS_TEXT_MAX : 60),
            .reason = NULL,
        };
    }
}

static void ticks_publish_one(void)
{
    /* Low symbols often, high ones rarely: their last frames are lapped. */
    uint32_t symbol = (uint32_t)sim_random(1 + sim_random(ticks.symbol_count));
    enum md_type type = (enum md_type)sim_random(MD_TYPE_COUNT);
    const struct feed_sink *sink = ticks.head.sink;
    const char *text = ticks_symbol(symbol);
    uint32_t channel = sink->open_channel(sink->context, text, strlen(text), type);
    EXPECT(channel != CHANNEL_NONE);
    ticks.price[symbol] += sim_random(7);
    ticks.price[symbol] -= sim_random(7);
    struct md_update update = {
        .type = type,
        .channel = channel,
        .ts_event_ns = sim_wall_ns() - sim_random(NS_PER_SECOND),
        .ts_recv_ns = sim_wall_ns(),
    };
    if (sim_random(100) == 0) {
        sink->lost(sink->context, channel);
    } else {
        ticks_make(&update, symbol, type);
        sink->publish(sink->context, &update);
    }
    ticks_note();
}

static uint64_t ticks_poll(struct feed *feed, uint64_t now_ns)
{
    ticks_note();
    if (world.is_calm) {
        return FEED_NEVER;
    }
    ticks.symbol_count += ticks.symbol_count < WORLD_SYMBOLS && sim_random(20) == 0;
    uint64_t burst = sim_random(60) == 0 ? 1500 : sim_random(30);
    for (; burst > 0 && feed->sink->room(feed->sink->context) > 0; burst--) {
        ticks_publish_one();
    }
    return now_ns + sim_random(4 * NS_PER_MS);
}

static void ticks_close(struct feed *feed)
{
    (void)feed;
}

static const struct feed_ops ticks_ops = {
    .name = "ticks", .poll = ticks_poll, .close = ticks_close};

/* In place of the registry's. */
int feed_open(struct feed **feed_out, const char *spec, const struct feed_sink *sink,
              uint64_t now_ns, char error_out[FEED_ERROR_BYTES_MAX])
{
    (void)spec, (void)now_ns, (void)error_out;
    ticks = (struct ticks_feed){.head = {.ops = &ticks_ops, .sink = sink, .is_scheduled = true},
                                .symbol_count = 2};
    for (uint32_t i = 0; i < WORLD_SYMBOLS; i++) {
        ticks.price[i] = 10000 + 1000 * i;
    }
    *feed_out = &ticks.head;
    return 0;
}
