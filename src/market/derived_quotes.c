#include "src/market/derived_quotes.h"

#include <string.h>

#include "codec/base/check.h"

static void derived_quotes_keep_levels(struct md_level *kept, const struct md_level **levels,
                                       uint32_t *count)
{
    *count = *count < DERIVED_QUOTE_LEVELS_MAX ? *count : DERIVED_QUOTE_LEVELS_MAX;
    if (*count > 0) {
        memcpy(kept, *levels, *count * sizeof *kept);
    }
    *levels = kept;
}

void derived_quotes_keep(struct derived_source *source, const struct md_update *update)
{
    struct md_quote *quote = &source->last.quote;
    assert_always(source->type == MD_QUOTE);
    assert_always(update->type == MD_QUOTE);
    source->last = *update;
    derived_quotes_keep_levels(source->quote.bids, &quote->bids, &quote->bid_count);
    derived_quotes_keep_levels(source->quote.asks, &quote->asks, &quote->ask_count);
    if (quote->status != NULL && strlen(quote->status) < sizeof source->quote.status) {
        strcpy(source->quote.status, quote->status);
        quote->status = source->quote.status;
    } else {
        quote->status = NULL;
    }
    source->has_last = true;
}

void derived_quotes_tell(struct derived_core *core, struct derived_variant *variant)
{
    assert_debug(variant->what.interval_ms > 0);
    if (variant->source->has_last) {
        derived_core_publish(core, variant, FRAME_FULL_IMAGE, &variant->source->last);
        variant->ready_ns = core->now_ns + variant->what.interval_ms * NS_PER_MS;
    }
}
