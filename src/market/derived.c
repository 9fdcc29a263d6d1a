#include "src/market/derived.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "codec/base/check.h"
#include "src/market/derived_bars.h"
#include "src/market/derived_books.h"
#include "src/market/derived_past.h"
#include "src/market/derived_quotes.h"

#define DERIVED_SCAN_NS NS_PER_SECOND         /* how often unused channels are searched for, */
#define DERIVED_FULL_SCAN_NS (10 * NS_PER_MS) /* and when there is hardly room for others */

static_assert(DERIVED_LINGER_VARIANTS_MAX < CHANNELS_VARIANTS_MAX,
              "the last ones end before there are no more");
static_assert(DERIVED_FULL_SCAN_NS < DERIVED_SCAN_NS, "a full table is looked at more often");

static void *derived_map(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void derived_unmap(void *memory, size_t bytes)
{
    if (memory != NULL) {
        munmap(memory, bytes);
    }
}

int derived_create(struct derived *derived, const struct derived_options *options)
{
    struct derived_core *core = derived_map(sizeof *core);
    if (core == NULL) {
        return -ENOMEM;
    }
    derived->core = core;
    core->options = *options;
    core->sources = derived->sources = derived_map(CHANNELS_MAX * sizeof *core->sources);
    core->books = derived_map(CHANNELS_MAX * sizeof *core->books);
    core->variants = derived_map(CHANNELS_VARIANTS_MAX * sizeof *core->variants);
    core->noted = derived_map(DERIVED_NOTED_MAX * sizeof *core->noted);
    if (core->sources == NULL || core->books == NULL || core->variants == NULL ||
        core->noted == NULL || recoder_create(&core->recoder, options->channels) < 0) {
        derived_destroy(derived);
        return -ENOMEM;
    }
    timer_wheel_init(&core->wheel, 0, &core->variants->timer, sizeof *core->variants);
    return 0;
}

uint32_t derived_count(const struct derived *derived)
{
    return derived->core->active_count;
}

/* ---- Ticks and timers ---- */

/* Of a quote or book: what is due now, or at the end of the interval. */
static void derived_tell(struct derived_core *core, struct derived_variant *variant)
{
    variant->is_pending = false;
    if (variant->source->type == MD_QUOTE) {
        derived_quotes_tell(core, variant);
    } else {
        derived_books_tell(core, variant);
    }
}

static void derived_on_change(struct derived_core *core, struct derived_variant *variant)
{
    if (variant->what.interval_ms == 0 || core->now_ns >= variant->ready_ns) {
        derived_tell(core, variant);
    } else {
        variant->is_pending = true;
        derived_core_arm(core, variant, variant->ready_ns);
    }
}

void derived_on_tick(struct derived *derived, const struct md_update *update, uint64_t now_ns)
{
    struct derived_core *core = derived->core;
    assert_debug(update->channel < CHANNELS_MAX);
    struct derived_source *source = core->sources[update->channel];
    if (update->type == MD_DEPTH) {
        derived_books_keep(core, update);
    }
    if (source == NULL || !source->is_live) {
        return; /* Nobody wants it, or it will be read from the log. */
    }
    core->now_ns = now_ns > core->now_ns ? now_ns : core->now_ns;
    if (source->type == MD_BAR) {
        derived_bars_relay(core, source, update);
        return;
    }
    if (source->type == MD_TRADE) {
        derived_bars_take(core, source, update, core->now_ns);
        return;
    }
    if (source->type == MD_QUOTE) {
        derived_quotes_keep(source, update);
    }
    for (struct derived_variant *variant = source->variants; variant != NULL;
         variant = variant->next) {
        derived_on_change(core, variant);
    }
}

const struct book *derived_book(const struct derived *derived, uint32_t channel,
                                uint64_t *ts_event_ns_out, uint64_t *ts_recv_ns_out)
{
    const struct derived_book *kept = derived->core->books[channel];
    *ts_event_ns_out = kept == NULL ? 0 : kept->ts_event_ns;
    *ts_recv_ns_out = kept == NULL ? 0 : kept->ts_recv_ns;
    return kept == NULL ? NULL : &kept->book;
}

void derived_on_loss(struct derived *derived, uint32_t channel)
{
    struct derived_core *core = derived->core;
    struct derived_source *source = core->sources[channel];
    if (core->books[channel] != NULL) {
        core->books[channel]->book.is_whole = false;
    }
    if (source == NULL || !source->is_live) {
        return;
    }
    for (struct derived_variant *variant = source->variants; variant != NULL;
         variant = variant->next) {
        core->options.lose(core->options.context, variant->channel);
        if (source->type == MD_DEPTH) {
            variant->owes_snapshot = true; /* at once, when the book is whole again */
            variant->ready_ns = 0;
        }
    }
}

static void derived_on_timer(void *context, uint32_t variant_index)
{
    struct derived_core *core = context;
    struct derived_variant *variant = &core->variants[variant_index];
    assert_always(variant->source != NULL);
    if (variant->source->type == MD_TRADE) {
        derived_bars_on_timer(core, variant);
    } else if (!variant->is_pending && !variant->owes_snapshot) {
        return; /* A tick was quicker. */
    } else if (core->now_ns < variant->ready_ns) {
        derived_core_arm(core, variant, variant->ready_ns);
    } else {
        derived_tell(core, variant);
    }
}

/* ---- Beginning and ending ---- */

/* A variant whose source is live says what there is. */
static void derived_begin(struct derived_core *core, struct derived_variant *variant)
{
    struct derived_source *source = variant->source;
    assert_debug(source->is_live);
    variant->owes_snapshot = source->type == MD_DEPTH;
    if (source->type == MD_TRADE) {
        derived_bars_begin(core, variant);
    } else if (source->type != MD_BAR) {
        derived_tell(core, variant);
    }
}

static void derived_close_source(struct derived_core *core, struct derived_source *source)
{
    assert_always(source->variants == NULL);
    assert_debug(core->sources[source->channel] == source);
    for (struct derived_source **link = &core->waiting; *link != NULL;
         link = &(*link)->next_waiting) {
        if (*link == source) {
            if (source == core->waiting) {
                core->note_next = 0;
                core->noted_count = 0;
            }
            *link = source->next_waiting;
            break;
        }
    }
    core->sources[source->channel] = NULL;
    free(source);
}

/* The source of a channel, made when new; NULL: no memory. */
static struct derived_source *derived_open_source(struct derived_core *core, uint32_t channel)
{
    struct derived_source *source = core->sources[channel];
    if (source != NULL) {
        return source;
    }
    source = calloc(1, sizeof *source);
    if (source == NULL) {
        return NULL;
    }
    source->channel = channel;
    source->type = (enum md_type)channels_get(core->options.channels, channel)->type;
    for (uint8_t bar = 1; source->type == MD_TRADE && bar <= VARIANT_BARS_COUNT; bar++) {
        bar_builder_init(&source->bars.builders[bar - 1], variant_bar_name(bar),
                         variant_bar_ns(bar));
    }
    /* What a bar said before is not said again, and a book is kept. */
    source->is_live = source->type == MD_BAR || source->type == MD_DEPTH;
    core->sources[channel] = source;
    if (!source->is_live) {
        derived_past_wait(core, source);
    }
    return source;
}

/* What a variant is computed from: the feed's own bars of the interval, else its trades. */
static uint32_t derived_source_of(struct derived_core *core, const struct channel *channel)
{
    struct channels *channels = core->options.channels;
    if (channel->type != MD_BAR) {
        return channels_find(channels, channel->symbol, channel->symbol_bytes,
                             (enum md_type)channel->type);
    }
    uint32_t bars = channels_find(channels, channel->symbol, channel->symbol_bytes, MD_BAR);
    uint32_t trades = channels_find(channels, channel->symbol, channel->symbol_bytes, MD_TRADE);
    bool takes_bars =
        bars != CHANNEL_NONE &&
        (trades == CHANNEL_NONE || derived_past_has_bars(core, bars, channel->variant.bar));
    return takes_bars ? bars : trades;
}

static void derived_start(struct derived_core *core, uint32_t variant_index)
{
    uint32_t number = channels_variant(core->options.channels, variant_index);
    const struct channel *channel = channels_get(core->options.channels, number);
    struct derived_variant *variant = &core->variants[variant_index];
    uint32_t source_channel = derived_source_of(core, channel);
    assert_always(variant->source == NULL);
    assert_debug(channel->group == CHANNELS_VARIANTS_GROUP);
    if (source_channel == CHANNEL_NONE) {
        return;
    }
    struct book_cut *cut = channel->type == MD_DEPTH ? calloc(1, sizeof *cut) : NULL;
    struct derived_source *source = derived_open_source(core, source_channel);
    if (source == NULL || (channel->type == MD_DEPTH && cut == NULL)) {
        derived_core_complain(core, "no memory for a derived channel; ringcast tries again");
        if (source != NULL && source->variants == NULL) {
            derived_close_source(core, source);
        }
        free(cut);
        return;
    }
    if (cut != NULL) {
        cut->level_count_max = channel->variant.depth;
    }
    *variant = (struct derived_variant){
        .source = source,
        .next = source->variants,
        .channel = number,
        .what = channel->variant,
        .cut = cut,
    };
    timer_init(&variant->timer);
    source->variants = variant;
    core->active_count++;
    if (source->is_live) {
        derived_begin(core, variant);
    }
}

static void derived_stop(struct derived_core *core, struct derived_variant *variant)
{
    struct derived_source *source = variant->source;
    struct derived_variant **link = &source->variants;
    assert_always(core->active_count > 0);
    while (*link != variant) {
        assert_always(*link != NULL);
        link = &(*link)->next;
    }
    *link = variant->next;
    timer_disarm(&core->wheel, (uint32_t)(variant - core->variants));
    free(variant->cut);
    variant->cut = NULL;
    variant->source = NULL;
    core->active_count--;
    if (source->variants == NULL) {
        derived_close_source(core, source);
    }
}

void derived_destroy(struct derived *derived)
{
    struct derived_core *core = derived->core;
    for (uint32_t i = 0; core->variants != NULL && i < CHANNELS_VARIANTS_MAX; i++) {
        if (core->active_count > 0 && core->variants[i].source != NULL) {
            derived_stop(core, &core->variants[i]);
        }
    }
    for (uint32_t i = 0; core->books != NULL && i < CHANNELS_MAX; i++) {
        if (core->books[i] != NULL) {
            book_deinit(&core->books[i]->book);
            free(core->books[i]);
        }
    }
    derived_unmap(core->books, CHANNELS_MAX * sizeof *core->books);
    derived_unmap(core->sources, CHANNELS_MAX * sizeof *core->sources);
    derived_unmap(core->variants, CHANNELS_VARIANTS_MAX * sizeof *core->variants);
    derived_unmap(core->noted, DERIVED_NOTED_MAX * sizeof *core->noted);
    recoder_destroy(core->recoder);
    derived_unmap(core, sizeof *core);
}

/* ---- Wishes ---- */

/* Its name ends, and its frames. false: somebody wants it again. */
static bool derived_end(struct derived_core *core, uint32_t variant_index)
{
    struct derived_variant *variant = &core->variants[variant_index];
    uint32_t number = channels_variant(core->options.channels, variant_index);
    if (!channels_unname(core->options.channels, variant_index)) {
        return false;
    }
    if (variant->source != NULL) {
        derived_stop(core, variant);
    }
    core->options.end(core->options.context, number);
    variant->unwanted_ns = 0;
    variant->ended_plus_1 = frame_log_last_plus_1(core->options.log, number);
    assert_always(variant->ended_plus_1 != 0);
    return true;
}

/* A number without a name. When every core has passed its last frame it may get another one. */
static void derived_see_ended(struct derived_core *core, uint32_t variant_index)
{
    struct derived_variant *variant = &core->variants[variant_index];
    assert_debug(variant->source == NULL);
    if (variant->ended_plus_1 == 0) {
        return; /* It is free. */
    }
    core->used_count++;
    if (core->options.passed(core->options.context) >= variant->ended_plus_1) {
        uint32_t number = channels_variant(core->options.channels, variant_index);
        channels_reuse(core->options.channels, variant_index,
                       frame_log_next_seq(core->options.log, number));
        variant->ended_plus_1 = 0;
    }
}

static void derived_see_unwanted(struct derived_core *core, uint32_t variant_index,
                                 uint64_t linger_ns)
{
    struct derived_variant *variant = &core->variants[variant_index];
    if (variant->unwanted_ns == 0) {
        variant->unwanted_ns = core->now_ns;
    }
    if (core->now_ns - variant->unwanted_ns >= linger_ns) {
        (void)derived_end(core, variant_index); /* Else it is seen again, since it was asked for. */
    }
}

static void derived_see_wish(struct derived_core *core, uint32_t variant_index, uint64_t linger_ns)
{
    struct channel_wish *wish = channels_wish(core->options.channels, variant_index);
    struct derived_variant *variant = &core->variants[variant_index];
    if (atomic_load_explicit(&wish->is_named, memory_order_acquire) == 0) {
        derived_see_ended(core, variant_index);
        return;
    }
    core->used_count++;
    assert_debug(variant->ended_plus_1 == 0);
    bool is_wanted = atomic_load_explicit(&wish->subscriber_count, memory_order_relaxed) > 0;
    if (is_wanted && variant->source == NULL) {
        derived_start(core, variant_index);
    }
    if (variant->source != NULL &&
        atomic_load_explicit(&wish->asks_snapshot, memory_order_relaxed) != 0 &&
        atomic_exchange_explicit(&wish->asks_snapshot, 0, memory_order_relaxed) != 0 &&
        variant->source->is_live && variant->what.interval_ms == 0) {
        variant->owes_snapshot = true;
        derived_core_arm(core, variant, variant->ready_ns);
    }
    if (is_wanted) {
        variant->unwanted_ns = 0;
    } else {
        derived_see_unwanted(core, variant_index, linger_ns);
    }
}

static void derived_see_wishes(struct derived_core *core)
{
    uint64_t wish_count = channels_wish_count(core->options.channels);
    if (wish_count == core->wish_count && (core->used_count == 0 || core->now_ns < core->scan_ns)) {
        return;
    }
    uint64_t linger_ns = core->used_count > DERIVED_LINGER_VARIANTS_MAX ? 0 : DERIVED_LINGER_NS;
    uint32_t count = channels_variant_count(core->options.channels);
    core->wish_count = wish_count;
    core->scan_ns = core->now_ns + DERIVED_SCAN_NS;
    core->used_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        derived_see_wish(core, i, linger_ns);
    }
    assert_debug(core->active_count <= core->used_count);
    if (core->used_count > DERIVED_LINGER_VARIANTS_MAX) {
        core->scan_ns = core->now_ns + DERIVED_FULL_SCAN_NS;
    }
}

/* source: NULL: it still waits. */
static void derived_begin_source(struct derived_core *core, struct derived_source *source)
{
    for (struct derived_variant *variant = source == NULL ? NULL : source->variants;
         variant != NULL; variant = variant->next) {
        derived_begin(core, variant);
    }
}

uint64_t derived_poll(struct derived *derived, uint64_t now_ns, uint64_t wall_ns)
{
    struct derived_core *core = derived->core;
    core->now_ns = now_ns > core->now_ns ? now_ns : core->now_ns;
    core->wall_ns = wall_ns;
    derived_see_wishes(core);
    if (core->used_count == 0) {
        return UINT64_MAX;
    }
    if (core->waiting != NULL) {
        derived_begin_source(core, derived_past_go_on(core));
    }
    timer_wheel_advance(&core->wheel, core->now_ns, derived_on_timer, core);
    if (core->waiting != NULL) {
        return core->now_ns;
    }
    uint64_t due_ns = timer_wheel_next_ns(&core->wheel);
    return due_ns < core->scan_ns ? due_ns : core->scan_ns;
}
