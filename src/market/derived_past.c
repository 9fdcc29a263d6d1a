#include "src/market/derived_past.h"

#include <string.h>

#include "codec/base/check.h"
#include "src/market/derived_bars.h"
#include "src/market/derived_quotes.h"

#define DERIVED_PAST_NS (300 * NS_PER_SECOND) /* for trades: the longest bar */
#define DERIVED_PAST_LINKS 4096               /* followed in one poll */
#define DERIVED_PAST_FRAMES 2048 /* read in one poll: more than its ticks, so that it ends */
#define DERIVED_PAST_BARS 16     /* newest bars of a feed, to see which intervals it has */

/* Into the source's state. seen_ns: when it was published. */
static void derived_past_take(struct derived_core *core, struct derived_source *source,
                              const struct md_update *update, uint64_t seen_ns)
{
    if (source->type == MD_QUOTE) {
        derived_quotes_keep(source, update);
    } else if (source->type == MD_TRADE) {
        derived_bars_take(core, source, update, seen_ns);
    }
}

/* The log is written by this thread alone, so that no frame needs a pin here. */
static const struct md_update *derived_past_read(struct derived_core *core, uint32_t number,
                                                 const struct frame_desc *desc)
{
    return recoder_read(core->recoder, number, frame_log_at(core->options.log, desc->position),
                        desc->frame_bytes);
}

/* A full image that was saved before it was lapped. */
static void derived_past_take_saved(struct derived_core *core, struct derived_source *source)
{
    struct frame_log_image image;
    if (!frame_log_newest(core->options.log, source->channel, &image) ||
        (image.flags & FRAME_FULL_IMAGE) == 0) {
        return;
    }
    const struct md_update *update =
        recoder_read(core->recoder, source->channel, image.frame, image.frame_bytes);
    if (update != NULL) {
        derived_past_take(core, source, update, core->now_ns);
    }
}

/* Whether what came before this frame is of no use. */
static bool derived_past_is_enough(const struct derived_core *core,
                                   const struct derived_source *source,
                                   const struct frame_desc *desc)
{
    switch (source->type) {
    case MD_QUOTE:
        return true;
    default:
        return desc->ts_pub_ns + DERIVED_PAST_NS < core->wall_ns;
    }
}

/* Goes back from the channel's newest frame to where reading is to begin. */
static void derived_past_note(struct derived_core *core, struct derived_source *source)
{
    const struct frame_log *log = core->options.log;
    uint64_t tail = frame_log_tail(log);
    for (uint32_t budget = DERIVED_PAST_LINKS; core->note_next > 0 && budget > 0; budget--) {
        uint64_t index = core->note_next - 1;
        if (index < tail || index < source->taken_plus_1 ||
            core->noted_count == DERIVED_NOTED_MAX) {
            core->note_next = 0;
            return;
        }
        const struct frame_desc *desc = frame_log_desc(log, index);
        core->noted[core->noted_count++] = index;
        bool is_last = desc->previous_distance == 0 || derived_past_is_enough(core, source, desc);
        core->note_next = is_last ? 0 : core->note_next - desc->previous_distance;
    }
}

static void derived_past_read_noted(struct derived_core *core, struct derived_source *source)
{
    const struct frame_log *log = core->options.log;
    for (uint32_t budget = DERIVED_PAST_FRAMES; core->noted_count > 0 && budget > 0; budget--) {
        uint64_t index = core->noted[--core->noted_count];
        const struct frame_desc *desc = frame_log_desc(log, index);
        assert_debug(index >= source->taken_plus_1);
        source->taken_plus_1 = index + 1;
        const struct md_update *update =
            index < frame_log_tail(log) ? NULL : derived_past_read(core, source->channel, desc);
        if (update == NULL) {
            continue;
        }
        uint64_t age_ns = core->wall_ns > desc->ts_pub_ns ? core->wall_ns - desc->ts_pub_ns : 0;
        derived_past_take(core, source, update, core->now_ns > age_ns ? core->now_ns - age_ns : 0);
    }
}

struct derived_source *derived_past_go_on(struct derived_core *core)
{
    struct derived_source *source = core->waiting;
    assert_always(source != NULL);
    assert_debug(!source->is_live);
    bool is_new_round = core->note_next == 0 && core->noted_count == 0;
    if (is_new_round) {
        core->note_next = frame_log_last_plus_1(core->options.log, source->channel);
        if (core->note_next > 0 && core->note_next <= frame_log_tail(core->options.log)) {
            derived_past_take_saved(core, source);
        }
    }
    derived_past_note(core, source);
    if (core->note_next == 0) {
        derived_past_read_noted(core, source);
    }
    if (core->note_next > 0 || core->noted_count > 0 || !is_new_round) {
        return NULL; /* What came since the round began is read in the next one. */
    }
    core->waiting = source->next_waiting;
    source->next_waiting = NULL;
    source->is_live = true;
    return source;
}

void derived_past_wait(struct derived_core *core, struct derived_source *source)
{
    struct derived_source **last = &core->waiting;
    assert_always(source->next_waiting == NULL);
    while (*last != NULL) {
        last = &(*last)->next_waiting;
    }
    *last = source;
}

bool derived_past_has_bars(struct derived_core *core, uint32_t channel, uint8_t bar)
{
    const struct frame_log *log = core->options.log;
    uint64_t next = frame_log_last_plus_1(core->options.log, channel);
    for (uint32_t i = 0; i < DERIVED_PAST_BARS && next > frame_log_tail(log); i++) {
        const struct frame_desc *desc = frame_log_desc(log, next - 1);
        const struct md_update *update = derived_past_read(core, channel, desc);
        if (update != NULL && strcmp(update->bar.interval, variant_bar_name(bar)) == 0) {
            return true;
        }
        next = desc->previous_distance == 0 ? 0 : next - desc->previous_distance;
    }
    return false;
}
