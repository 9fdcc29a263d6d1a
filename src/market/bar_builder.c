#include "src/market/bar_builder.h"

#include <stdio.h>

#include "codec/base/check.h"

void bar_builder_init(struct bar_builder *builder, const char *interval, uint64_t interval_ns)
{
    assert_always(interval_ns > 0);
    *builder = (struct bar_builder){.interval = interval, .interval_ns = interval_ns};
}

void bar_builder_image(const struct bar_builder *builder, struct md_update *image_out)
{
    assert_always(builder->is_open);
    *image_out = (struct md_update){
        .type = MD_BAR,
        .ts_event_ns = builder->ts_event_ns,
        .ts_recv_ns = builder->ts_recv_ns,
        .bar =
            {
                .start_ns = builder->start_ns,
                .open = builder->open,
                .high = builder->high,
                .low = builder->low,
                .close = builder->close,
                .volume = builder->is_sized ? decimal_sum_value(&builder->volume) : md_none,
                .turnover = builder->is_sized ? decimal_sum_value(&builder->turnover) : md_none,
                .has_count = true,
                .count = builder->count,
            },
    };
    snprintf(image_out->bar.interval, sizeof image_out->bar.interval, "%s", builder->interval);
}

bool bar_builder_close(struct bar_builder *builder, struct md_update *closed_out)
{
    if (!builder->is_open) {
        return false;
    }
    bar_builder_image(builder, closed_out);
    closed_out->bar.closed = true;
    builder->is_open = false;
    builder->floor_ns = builder->start_ns + 1;
    return true;
}

static void bar_builder_begin(struct bar_builder *builder, uint64_t start_ns,
                              struct md_decimal price)
{
    assert_debug(start_ns % builder->interval_ns == 0);
    assert_debug(start_ns >= builder->floor_ns);
    builder->is_open = true;
    builder->start_ns = start_ns;
    builder->open = builder->high = builder->low = price;
    builder->volume = (struct decimal_sum){0};
    builder->turnover = (struct decimal_sum){0};
    builder->is_sized = true;
    builder->count = 0;
}

static void bar_builder_count(struct bar_builder *builder, const struct md_update *update)
{
    const struct md_trade *trade = &update->trade;
    if (decimal_compare(trade->price, builder->high) > 0) {
        builder->high = trade->price;
    }
    if (decimal_compare(trade->price, builder->low) < 0) {
        builder->low = trade->price;
    }
    builder->close = trade->price;
    builder->is_sized = builder->is_sized && md_is_given(trade->size);
    if (builder->is_sized) {
        decimal_sum_add(&builder->volume, trade->size);
        decimal_sum_add_product(&builder->turnover, trade->price, trade->size);
    }
    builder->count++;
    builder->ts_event_ns = update->ts_event_ns;
    builder->ts_recv_ns = update->ts_recv_ns;
}

/* One without a time of its own came as long after the last that had one as it was received. */
static uint64_t bar_builder_ts(const struct bar_builder *builder, const struct md_update *update)
{
    uint64_t recv_ns = update->ts_recv_ns;
    if (update->ts_event_ns != 0) {
        return update->ts_event_ns;
    }
    if (builder->timed_event_ns == 0) {
        return recv_ns;
    }
    return builder->timed_event_ns +
           (recv_ns > builder->timed_recv_ns ? recv_ns - builder->timed_recv_ns : 0);
}

unsigned bar_builder_add(struct bar_builder *builder, const struct md_update *update,
                         struct md_update *closed_out)
{
    unsigned events = 0;
    uint64_t ts_ns = bar_builder_ts(builder, update);
    uint64_t start_ns = ts_ns - ts_ns % builder->interval_ns;
    if (!md_is_given(update->trade.price)) {
        return 0;
    }
    bool is_late =
        start_ns < builder->floor_ns || (builder->is_open && start_ns < builder->start_ns);
    if (is_late && ts_ns + BAR_LATE_NS_MAX >= builder->newest_ns) {
        builder->late_count++;
        return 0;
    }
    if (builder->is_open && start_ns != builder->start_ns) {
        events |= bar_builder_close(builder, closed_out) ? BAR_CLOSED : 0;
    }
    if (is_late) { /* The clock was set. */
        builder->floor_ns = 0;
        builder->newest_ns = 0;
    }
    if (update->ts_event_ns != 0) {
        builder->timed_event_ns = update->ts_event_ns;
        builder->timed_recv_ns = update->ts_recv_ns;
    }
    builder->last_ns = ts_ns;
    builder->newest_ns = ts_ns > builder->newest_ns ? ts_ns : builder->newest_ns;
    if (!builder->is_open) {
        bar_builder_begin(builder, start_ns, update->trade.price);
    }
    bar_builder_count(builder, update);
    return events | BAR_CHANGED;
}
