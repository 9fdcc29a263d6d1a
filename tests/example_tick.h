/* The quote of the protocol's example (docs/protocol.md), whose JSON and SBE are known to the byte.
 */
#ifndef RINGCAST_TESTS_EXAMPLE_TICK_H
#define RINGCAST_TESTS_EXAMPLE_TICK_H

#include "codec/md.h"

#define D(mantissa, exponent) ((struct md_decimal){mantissa, exponent})

static const struct md_level example_bids[] = {{{1233, -2}, {500, 0}}, {{1232, -2}, {900, 0}}};
static const struct md_level example_asks[] = {{{1234, -2}, {300, 0}}, {{1235, -2}, {100, 0}}};

static inline struct md_update example_update(enum md_type type)
{
    return (struct md_update){
        .type = type,
        .channel = 7, /* the feed's own number, which does not show */
        .ts_event_ns = 1732078800123456789,
        .ts_recv_ns = 1732078800123460000,
    };
}

static inline struct md_update example_quote(void)
{
    struct md_update update = example_update(MD_QUOTE);
    update.quote = (struct md_quote){.last = D(1234, -2),
                                     .open = D(1230, -2),
                                     .high = D(1240, -2),
                                     .low = D(1225, -2),
                                     .prev_close = D(1231, -2),
                                     .volume = D(123456, 0),
                                     .turnover = D(152345678, -2),
                                     .bids = example_bids,
                                     .asks = example_asks,
                                     .bid_count = 2,
                                     .ask_count = 2};
    return update;
}

#endif
