/*
 * sbe_frames: random ticks, each as JSON and as SBE, for decoders that know only the schema.
 *
 * Run  sbe_frames SEED COUNT
 *
 * A line is the JSON payload, a tab, and the SBE payload in hex, or "-" when there is none.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/json_tick.h"
#include "codec/sbe_tick.h"

#define OUT_BYTES 65536
#define LEVELS_MAX 40

static uint64_t random_state;

static uint64_t random_below(uint64_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % below;
}

static bool one_in(uint64_t count)
{
    return random_below(count) == 0;
}

/* Of any length. */
static uint64_t random_number(void)
{
    return random_below(UINT64_MAX) >> random_below(64);
}

/* The places of one tick are alike, as a venue's are, but for one in eight. */
static struct md_decimal random_decimal(int places)
{
    if (one_in(6)) {
        return md_none;
    }
    int64_t mantissa = (int64_t)(random_below(UINT64_C(1) << 62) >> random_below(62));
    int8_t exponent = (int8_t) - (one_in(8) ? (int)random_below(19) : places);
    return (struct md_decimal){one_in(5) ? -mantissa : mantissa, exponent};
}

static uint32_t random_levels(struct md_level *levels, int price_places, int size_places)
{
    uint32_t count = (uint32_t)random_below(one_in(4) ? LEVELS_MAX + 1 : 6);
    for (uint32_t i = 0; i < count; i++) {
        int64_t mantissa = (int64_t)random_below(UINT64_C(100000000000));
        levels[i].price = (struct md_decimal){mantissa, (int8_t)-price_places};
        levels[i].size = random_decimal(size_places);
    }
    return count;
}

static const char *random_text(void)
{
    static const char *const texts[] = {
        NULL, NULL, "open", "halted", "a \"quoted\"\n\\ text", "\xe5\x81\x9c\xe7\x89\x8c",
    };
    return texts[random_below(sizeof texts / sizeof texts[0])];
}

static uint64_t random_time(void)
{
    return one_in(5) ? 0 : UINT64_C(1732078800123456789) + random_below(UINT64_C(1) << 40);
}

static void random_quote(struct md_quote *quote, struct md_level (*levels)[LEVELS_MAX])
{
    int price = (int)random_below(9);
    int size = (int)random_below(9);
    *quote = (struct md_quote){
        .last = random_decimal(price),
        .open = random_decimal(price),
        .high = random_decimal(price),
        .low = random_decimal(price),
        .prev_close = random_decimal(price),
        .volume = random_decimal(size),
        .turnover = random_decimal((int)random_below(19)),
        .bids = levels[0],
        .asks = levels[1],
        .bid_count = random_levels(levels[0], price, size),
        .ask_count = random_levels(levels[1], price, size),
        .status = random_text(),
    };
}

static void random_bar(struct md_bar *bar)
{
    static const char *const intervals[] = {"", "1s", "1m", "1234567"};
    int price = (int)random_below(9);
    *bar = (struct md_bar){
        .start_ns = random_time(),
        .open = random_decimal(price),
        .high = random_decimal(price),
        .low = random_decimal(price),
        .close = random_decimal(price),
        .volume = random_decimal((int)random_below(19)),
        .turnover = random_decimal((int)random_below(19)),
        .has_count = !one_in(3),
        .count = random_number(),
        .closed = one_in(2),
    };
    strcpy(bar->interval, intervals[random_below(4)]);
}

static void random_depth(struct md_depth *depth, struct md_level (*levels)[LEVELS_MAX])
{
    int price = (int)random_below(9);
    int size = (int)random_below(9);
    *depth = (struct md_depth){
        .action = one_in(2) ? MD_SNAPSHOT : MD_DELTA,
        .bids = levels[0],
        .asks = levels[1],
        .bid_count = random_levels(levels[0], price, size),
        .ask_count = random_levels(levels[1], price, size),
        .has_checksum = one_in(2),
        .checksum = (uint32_t)random_below(UINT64_C(1) << 32),
    };
}

static void random_update(struct md_update *update, struct md_level (*levels)[LEVELS_MAX])
{
    *update = (struct md_update){
        .type = (enum md_type)random_below(MD_TYPE_COUNT),
        .channel = (uint32_t)random_below(UINT64_C(1) << 32),
        .ts_event_ns = random_time(),
        .ts_recv_ns = random_time(),
    };
    switch (update->type) {
    case MD_QUOTE:
        random_quote(&update->quote, levels);
        break;
    case MD_TRADE:
        update->trade = (struct md_trade){.price = random_decimal((int)random_below(19)),
                                          .size = random_decimal((int)random_below(19)),
                                          .side = (enum md_side)random_below(3),
                                          .has_id = !one_in(3),
                                          .id = random_number()};
        break;
    case MD_BAR:
        random_bar(&update->bar);
        break;
    case MD_DEPTH:
        random_depth(&update->depth, levels);
        break;
    default:
        update->status = (struct md_status){.state = random_text(), .reason = random_text()};
        break;
    }
}

int main(int argc, char **argv)
{
    static uint8_t out[OUT_BYTES];
    static struct md_level levels[2][LEVELS_MAX];
    random_state = (argc > 1 ? strtoull(argv[1], NULL, 0) : 1) * UINT64_C(0x9e3779b97f4a7c15) + 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    for (uint64_t i = 0; i < count; i++) {
        struct md_update update;
        random_update(&update, levels);
        uint64_t seq = 1 + random_number();
        uint64_t ts_pub_ns = 1 + random_time();
        struct json_tick_head head;
        json_tick_head_init(&head, update.type, "000001.SZ", 9, update.channel);
        size_t bytes = json_tick_encode(out, sizeof out, &head, &update, seq, ts_pub_ns);
        assert_always(bytes > 0);
        printf("%.*s\t", (int)bytes, (const char *)out);
        bytes = sbe_tick_encode(out, sizeof out, update.channel, &update, seq, ts_pub_ns);
        for (size_t at = 0; at < bytes; at++) {
            printf("%02x", out[at]);
        }
        puts(bytes == 0 ? "-" : "");
    }
    return 0;
}
