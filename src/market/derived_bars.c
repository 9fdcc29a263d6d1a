#include "src/market/derived_bars.h"

#include <string.h>

#include "codec/base/check.h"

static struct bar_builder *derived_bars_builder(const struct derived_variant *variant)
{
    assert_always(variant->what.bar >= 1);
    assert_always(variant->what.bar <= VARIANT_BARS_COUNT);
    return &variant->source->bars.builders[variant->what.bar - 1];
}

static void derived_bars_tell(struct derived_core *core, struct derived_variant *variant)
{
    struct md_update image;
    if (derived_bars_builder(variant)->is_open) {
        bar_builder_image(derived_bars_builder(variant), &image);
        derived_core_publish(core, variant, FRAME_FULL_IMAGE, &image);
        variant->ready_ns = core->now_ns + DERIVED_BAR_NS;
    }
    variant->is_pending = false;
}

void derived_bars_take(struct derived_core *core, struct derived_source *source,
                       const struct md_update *update, uint64_t seen_ns)
{
    struct md_update closed;
    unsigned events[VARIANT_BARS_COUNT];
    assert_debug(source->type == MD_TRADE);
    assert_debug(update->type == MD_TRADE);
    for (uint32_t i = 0; i < VARIANT_BARS_COUNT; i++) {
        struct bar_builder *builder = &source->bars.builders[i];
        uint64_t count = builder->is_open ? builder->count : 0;
        events[i] = bar_builder_add(builder, update, &closed);
        if ((events[i] & BAR_CHANGED) != 0) {
            uint64_t close_ns = seen_ns + bar_builder_left_ns(builder) + DERIVED_BAR_GRACE_NS;
            bool is_first = count == 0 || (events[i] & BAR_CLOSED) != 0;
            if (is_first || close_ns < source->bars.close_ns[i]) {
                source->bars.close_ns[i] = close_ns;
            }
        }
        for (struct derived_variant *variant = source->variants;
             source->is_live && variant != NULL && (events[i] & BAR_CLOSED) != 0;
             variant = variant->next) {
            if (variant->what.bar == i + 1) {
                derived_core_publish(core, variant, FRAME_FULL_IMAGE, &closed);
                variant->ready_ns = 0; /* The next bar's first image waits for nothing. */
            }
        }
    }
    for (struct derived_variant *variant = source->variants; source->is_live && variant != NULL;
         variant = variant->next) {
        if ((events[variant->what.bar - 1] & BAR_CHANGED) == 0) {
            continue;
        }
        variant->is_pending = true;
        if (core->now_ns >= variant->ready_ns) {
            derived_bars_tell(core, variant);
        }
        derived_core_arm(core, variant,
                         variant->is_pending ? variant->ready_ns
                                             : source->bars.close_ns[variant->what.bar - 1]);
    }
}

void derived_bars_on_timer(struct derived_core *core, struct derived_variant *variant)
{
    struct md_update closed;
    uint64_t close_ns = variant->source->bars.close_ns[variant->what.bar - 1];
    if (core->now_ns >= close_ns && bar_builder_close(derived_bars_builder(variant), &closed)) {
        derived_core_publish(core, variant, FRAME_FULL_IMAGE, &closed);
        variant->is_pending = false;
        variant->ready_ns = 0;
    }
    if (variant->is_pending && core->now_ns >= variant->ready_ns) {
        derived_bars_tell(core, variant);
    }
    if (derived_bars_builder(variant)->is_open) {
        derived_core_arm(core, variant, variant->is_pending ? variant->ready_ns : close_ns);
    }
}

void derived_bars_relay(struct derived_core *core, struct derived_source *source,
                        const struct md_update *update)
{
    for (struct derived_variant *variant = source->variants; variant != NULL;
         variant = variant->next) {
        if (strcmp(variant_bar_name(variant->what.bar), update->bar.interval) == 0) {
            derived_core_publish(core, variant, FRAME_FULL_IMAGE, update);
        }
    }
}

void derived_bars_begin(struct derived_core *core, struct derived_variant *variant)
{
    derived_bars_tell(core, variant);
    if (derived_bars_builder(variant)->is_open) {
        derived_core_arm(core, variant, variant->source->bars.close_ns[variant->what.bar - 1]);
    }
}
