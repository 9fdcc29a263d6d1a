/* Ticks of every type with values by chance, the same in each run. */
#ifndef RINGCAST_TESTS_RANDOM_TICK_H
#define RINGCAST_TESTS_RANDOM_TICK_H

#include "codec/md.h"

#define LEVELS 60 /* a side, at most */

static uint64_t seed = 88172645463325252;
static struct md_level levels[2][LEVELS];

static inline uint64_t below(uint64_t bound)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (seed >> 11) % bound;
}

static inline struct md_decimal number(void)
{
    int64_t mantissa = (int64_t)(seed >> 1) >> below(63);
    below(2);
    return (struct md_decimal){below(2) == 0 ? mantissa : -mantissa, (int8_t)-below(19)};
}

static inline struct md_decimal maybe(void)
{
    return below(3) == 0 ? md_none : number();
}

static inline uint32_t fill(uint32_t side)
{
    uint32_t count = (uint32_t)below(LEVELS + 1);
    for (uint32_t i = 0; i < count; i++) {
        levels[side][i] = (struct md_level){number(), maybe()};
    }
    return count;
}

static inline struct md_update random_update(enum md_type type)
{
    static const char *const words[] = {NULL, "open", "h\xc3\xa4lt", ""};
    struct md_update update = {.type = type};
    update.ts_event_ns = below(2) == 0 ? 0 : seed;
    update.ts_recv_ns = below(2) == 0 ? 0 : seed;
    switch (type) {
    case MD_QUOTE:
        update.quote =
            (struct md_quote){maybe(), maybe(),   maybe(),   maybe(), maybe(), maybe(),
                              maybe(), levels[0], levels[1], fill(0), fill(1), words[below(4)]};
        update.pad_bytes = below(5) == 0 ? 3000 : 0;
        break;
    case MD_TRADE:
        update.trade =
            (struct md_trade){maybe(), maybe(), (enum md_side)below(3), below(2) == 0, seed};
        break;
    case MD_BAR:
        update.bar =
            (struct md_bar){"5m",    below(2) * seed, maybe(),       maybe(), maybe(),      maybe(),
                            maybe(), maybe(),         below(2) == 0, seed,    below(2) == 0};
        break;
    case MD_STATUS:
        update.status = (struct md_status){words[below(4)], words[below(4)]};
        break;
    default:
        update.depth = (struct md_depth){(enum md_action)below(2),
                                         levels[0],
                                         levels[1],
                                         fill(0),
                                         fill(1),
                                         below(2) == 0,
                                         (uint32_t)seed};
    }
    return update;
}

#endif
