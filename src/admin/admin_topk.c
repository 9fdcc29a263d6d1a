#include "src/admin/admin_topk.h"

#include <errno.h>
#include <stdlib.h>

#include "codec/base/check.h"
#include "codec/md.h"
#include "src/admin/admin_roll.h"
#include "src/base/quality.h"
#include "src/market/channel_rates.h"
#include "src/market/channels.h"
#include "src/symbols/symbols.h"

#define ADMIN_TOPK 10
#define ADMIN_TOPK_MAX 100

struct admin_topk {
    uint32_t count;
    struct roll_channel *channels; /* ADMIN_TOPK_MAX, the most frames first */
    float rates[ADMIN_TOPK_MAX];
};

/* Into its place among the first k. */
static void admin_topk_insert(struct admin_topk *top, uint32_t k, uint32_t channel, float rate)
{
    uint32_t place = top->count < k ? top->count++ : k - 1;
    for (; place > 0 && top->rates[place - 1] < rate; place--) {
        top->channels[place].channel = top->channels[place - 1].channel;
        top->rates[place] = top->rates[place - 1];
    }
    top->channels[place].channel = channel;
    top->rates[place] = rate;
}

/* Of those that feeds publish: a variant's number may have another name at any time. */
static void admin_topk_find(struct admin_topk *top, uint32_t k, const struct symbols *symbols)
{
    uint32_t count = channels_count(symbols->channels);
    assert_always(k > 0 && k <= ADMIN_TOPK_MAX);
    for (uint32_t i = 0; i < count; i++) {
        float rate;
        bool is_of_feed = channels_get(symbols->channels, i)->group != CHANNELS_VARIANTS_GROUP;
        bool is_known = is_of_feed && channel_rates_get(symbols->rates, i, &rate);
        if (is_known && rate > 0 && (top->count < k || rate > top->rates[k - 1])) {
            admin_topk_insert(top, k, i, rate);
        }
    }
}

static json_t *admin_topk_symbols(const struct admin_topk *top, const struct symbols *symbols)
{
    json_t *rows = json_array();
    for (uint32_t i = 0; i < top->count; i++) {
        const struct roll_channel *row = &top->channels[i];
        const struct channel *channel = channels_get(symbols->channels, row->channel);
        json_array_append_new(rows,
                              json_pack("{s:s, s:s, s:f, s:I}", "symbol", channel->symbol, "type",
                                        md_type_name((enum md_type)channel->type),
                                        "frames_per_second", (double)top->rates[i], "subscribers",
                                        (json_int_t)atomic_load_explicit(&row->subscriber_count,
                                                                         memory_order_relaxed)));
    }
    return rows;
}

/* Of all clients, those for which something is wrong. */
static void admin_topk_pick_laggards(struct roll *roll)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < roll->picked_count; i++) {
        const struct roll_row *row = roll->picked[i];
        bool is_poor = row->quality != QUALITY_UNKNOWN && row->quality < 100;
        if (row->lag_frames > 0 || row->frames_lost > 0 || is_poor) {
            roll->picked[count++] = roll->picked[i];
        }
    }
    roll->picked_count = count;
}

void admin_topk(struct admin_page *page)
{
    static const char *const names[] = {"k", NULL};
    const struct symbols *symbols = page->sources->symbols;
    struct admin_topk top = {.count = 0};
    uint64_t k;
    if (!admin_roll_takes(page, names) ||
        !admin_page_number(page, "k", 1, ADMIN_TOPK_MAX, ADMIN_TOPK, &k)) {
        return;
    }
    top.channels = calloc(ADMIN_TOPK_MAX, sizeof *top.channels);
    if (top.channels == NULL) {
        admin_page_refuse(page, -ENOMEM);
        return;
    }
    struct admin_roll_filter all = {.encoding = -1};
    admin_topk_find(&top, (uint32_t)k, symbols);
    struct roll roll = {.channels = top.channels, .channel_count = top.count};
    if (admin_roll_list(page, &roll, &all)) {
        admin_topk_pick_laggards(&roll);
        admin_roll_sort(roll.picked, roll.picked_count, ADMIN_ROLL_LAG, true);
        json_t *laggards = admin_roll_show(page, &roll, 0, (uint32_t)k);
        if (laggards != NULL) {
            admin_page_json(page, MHD_HTTP_OK,
                            json_pack("{s:o, s:o}", "symbols", admin_topk_symbols(&top, symbols),
                                      "laggards", laggards));
        }
    }
    admin_roll_end(&roll);
}
