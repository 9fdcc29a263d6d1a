#include "src/market/derived.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "codec/base/check.h"
#include "codec/json_tick_read.h"
#include "ring/io/timer_wheel.h"
#include "src/market/bar_builder.h"
#include "src/market/recoder.h"

#define DERIVED_SCAN_NS NS_PER_SECOND /* how often it is seen who is not wanted any more */
#define DERIVED_LOOK_BACK_NS (300 * NS_PER_SECOND) /* for trades: the longest bar */
#define DERIVED_NOTED_MAX (256 * 1024u)            /* frames of one channel that are read back */
#define DERIVED_NOTE_BUDGET 4096                   /* links followed in one poll, */
#define DERIVED_READ_BUDGET 2048  /* frames read: more than a poll's ticks, so that it ends */
#define DERIVED_BARS_LOOKED_AT 16 /* newest bars of a feed, to see which intervals it has */

/* One derived channel. */
struct derived_variant {
    struct derived_source *source; /* NULL: it is not being computed */
    struct derived_variant *next;  /* of the same source */
    struct timer timer;
    uint32_t channel;
    struct variant what;
    uint64_t unwanted_ns; /* since when nobody subscribes; 0: somebody does */
    uint64_t ready_ns;    /* when the next image may be published */
    bool is_pending;      /* There is something newer than what was published. */
    bool owes_snapshot;   /* of a book */
    uint32_t frame_count; /* deltas since the last checksum */
    struct book_cut *cut; /* of a book */
};

/* A feed's book, kept from its first snapshot on, whether somebody wants it or not: its frames may
 * have left the log when somebody does. */
struct derived_book {
    struct book book;
    uint64_t ts_event_ns, ts_recv_ns; /* of its newest tick */
};

/* A feed's channel that something is computed from. Its state serves all of its variants. */
struct derived_source {
    struct derived_variant *variants;
    struct derived_source *next_waiting;
    uint32_t channel;
    enum md_type type;
    bool is_live;          /* What the log held when it began has been read. */
    uint64_t taken_plus_1; /* index of the newest frame that was read from the log */
    struct md_update last; /* the newest quote */
    bool has_last;
    union {
        struct {
            struct md_level bids[DERIVED_QUOTE_LEVELS_MAX];
            struct md_level asks[DERIVED_QUOTE_LEVELS_MAX];
            char status[JSON_TICK_READ_TEXT_BYTES_MAX];
        } quote;
        struct {
            struct bar_builder builders[VARIANT_BARS_COUNT];
            uint64_t close_ns[VARIANT_BARS_COUNT]; /* when the open one is to be closed */
        } bars;
    };
};

struct derived_core {
    struct derived_options options;
    struct derived_source **sources;
    struct derived_book **books;      /* by the feed's channel; NULL: no snapshot so far */
    struct derived_variant *variants; /* by variant_index */
    struct timer_wheel wheel;
    uint64_t now_ns, wall_ns;
    uint64_t wish_count; /* as seen */
    uint64_t scan_ns;
    uint32_t active_count;

    /* Reading back: the first waiting source. */
    struct derived_source *waiting;
    uint64_t note_next; /* 1 + the index to note next; 0: all are */
    uint32_t noted_count;
    uint64_t *noted;         /* newest first */
    struct recoder *recoder; /* reads back */
    bool has_complained;     /* of no memory for a book */
    struct book_changes changes;
};

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
    timer_wheel_init(&core->wheel, 0);
    return 0;
}

uint32_t derived_count(const struct derived *derived)
{
    return derived->core->active_count;
}

static void derived_arm(struct derived_core *core, struct derived_variant *variant, uint64_t due_ns)
{
    bool is_armed = !list_empty(&variant->timer.slot_link);
    if (!is_armed || due_ns < variant->timer.deadline_ns) {
        timer_arm(&core->wheel, &variant->timer, due_ns);
    }
}

static void derived_publish(struct derived_core *core, struct derived_variant *variant,
                            uint8_t flags, const struct md_update *update)
{
    core->options.publish(core->options.context, variant->channel, flags, update);
}

/* ---- Books ---- */

static void derived_tell_book(struct derived_core *core, struct derived_variant *variant)
{
    const struct derived_book *kept = core->books[variant->source->channel];
    if (kept == NULL || !kept->book.is_whole) {
        return;
    }
    struct md_update update = {
        .type = MD_DEPTH,
        .ts_event_ns = kept->ts_event_ns,
        .ts_recv_ns = kept->ts_recv_ns,
    };
    bool owes_now = variant->owes_snapshot && core->now_ns >= variant->ready_ns;
    bool has_changed = book_cut_update(variant->cut, &kept->book, &core->changes, &update.depth);
    if (!has_changed && !owes_now) {
        return;
    }
    bool is_image = owes_now || variant->what.interval_ms != 0;
    if (is_image) {
        book_cut_image(variant->cut, &update.depth);
        variant->owes_snapshot = false;
        variant->ready_ns =
            core->now_ns + (variant->what.interval_ms != 0 ? variant->what.interval_ms * NS_PER_MS
                                                           : DERIVED_SNAPSHOT_NS);
    }
    if (is_image || ++variant->frame_count == DERIVED_CHECKSUM_FRAMES) {
        update.depth.has_checksum = true;
        update.depth.checksum = book_checksum(variant->cut);
        variant->frame_count = 0;
    }
    derived_publish(core, variant, is_image ? FRAME_FULL_IMAGE : 0, &update);
}

static void derived_complain(struct derived_core *core, const char *text)
{
    if (core->options.complain != NULL) {
        core->options.complain(core->options.context, text);
    }
}

/* The book of a channel, made with its first snapshot; NULL: there was none, or no memory. */
static struct derived_book *derived_book_of(struct derived_core *core,
                                            const struct md_update *update)
{
    struct derived_book *kept = core->books[update->channel];
    if (kept == NULL && update->depth.action == MD_SNAPSHOT) {
        kept = malloc(sizeof *kept);
        if (kept != NULL) {
            book_init(&kept->book);
        }
        core->books[update->channel] = kept;
    }
    return kept;
}

static void derived_keep_book(struct derived_core *core, const struct md_update *update)
{
    struct derived_book *kept = derived_book_of(core, update);
    bool is_kept = kept != NULL || update->depth.action == MD_DELTA;
    if (kept != NULL) {
        is_kept = book_apply(&kept->book, &update->depth);
        kept->ts_event_ns = update->ts_event_ns;
        kept->ts_recv_ns = update->ts_recv_ns;
    }
    if (!is_kept && !core->has_complained) {
        core->has_complained = true;
        derived_complain(core, "no memory for a book; what is computed from it waits for its next "
                               "snapshot");
    }
}

/* ---- Bars ---- */

static struct bar_builder *derived_builder(const struct derived_variant *variant)
{
    return &variant->source->bars.builders[variant->what.bar - 1];
}

static void derived_tell_bar(struct derived_core *core, struct derived_variant *variant)
{
    struct md_update image;
    if (derived_builder(variant)->is_open) {
        bar_builder_image(derived_builder(variant), &image);
        derived_publish(core, variant, FRAME_FULL_IMAGE, &image);
        variant->ready_ns = core->now_ns + DERIVED_BAR_NS;
    }
    variant->is_pending = false;
}

/* seen_ns: when the trade was published. */
static void derived_take_trade(struct derived_core *core, struct derived_source *source,
                               const struct md_update *update, uint64_t seen_ns)
{
    struct md_update closed;
    unsigned events[VARIANT_BARS_COUNT];
    for (uint32_t i = 0; i < VARIANT_BARS_COUNT; i++) {
        struct bar_builder *builder = &source->bars.builders[i];
        uint64_t count = builder->is_open ? builder->count : 0;
        events[i] = bar_builder_add(builder, update, &closed);
        if ((events[i] & BAR_CHANGED) != 0) {
            uint64_t left_ns = bar_builder_end_ns(builder) - bar_builder_ts(update);
            uint64_t close_ns = seen_ns + left_ns + DERIVED_BAR_GRACE_NS;
            bool is_first = count == 0 || (events[i] & BAR_CLOSED) != 0;
            if (is_first || close_ns < source->bars.close_ns[i]) {
                source->bars.close_ns[i] = close_ns;
            }
        }
        for (struct derived_variant *variant = source->variants;
             source->is_live && variant != NULL && (events[i] & BAR_CLOSED) != 0;
             variant = variant->next) {
            if (variant->what.bar == i + 1) {
                derived_publish(core, variant, FRAME_FULL_IMAGE, &closed);
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
            derived_tell_bar(core, variant);
        }
        derived_arm(core, variant,
                    variant->is_pending ? variant->ready_ns
                                        : source->bars.close_ns[variant->what.bar - 1]);
    }
}

static void derived_on_bar_timer(struct derived_core *core, struct derived_variant *variant)
{
    struct md_update closed;
    uint64_t close_ns = variant->source->bars.close_ns[variant->what.bar - 1];
    if (core->now_ns >= close_ns && bar_builder_close(derived_builder(variant), &closed)) {
        derived_publish(core, variant, FRAME_FULL_IMAGE, &closed);
        variant->is_pending = false;
        variant->ready_ns = 0;
    }
    if (variant->is_pending && core->now_ns >= variant->ready_ns) {
        derived_tell_bar(core, variant);
    }
    if (derived_builder(variant)->is_open) {
        derived_arm(core, variant, variant->is_pending ? variant->ready_ns : close_ns);
    }
}

/* A feed's own bars of the interval go on as they are. */
static void derived_relay_bar(struct derived_core *core, struct derived_source *source,
                              const struct md_update *update)
{
    for (struct derived_variant *variant = source->variants; variant != NULL;
         variant = variant->next) {
        if (strcmp(variant_bar_name(variant->what.bar), update->bar.interval) == 0) {
            derived_publish(core, variant, FRAME_FULL_IMAGE, update);
        }
    }
}

/* ---- Quotes ---- */

static void derived_keep_levels(struct md_level *kept, const struct md_level **levels,
                                uint32_t *count)
{
    *count = *count < DERIVED_QUOTE_LEVELS_MAX ? *count : DERIVED_QUOTE_LEVELS_MAX;
    if (*count > 0) {
        memcpy(kept, *levels, *count * sizeof *kept);
    }
    *levels = kept;
}

static void derived_keep_quote(struct derived_source *source, const struct md_update *update)
{
    struct md_quote *quote = &source->last.quote;
    source->last = *update;
    derived_keep_levels(source->quote.bids, &quote->bids, &quote->bid_count);
    derived_keep_levels(source->quote.asks, &quote->asks, &quote->ask_count);
    if (quote->status != NULL && strlen(quote->status) < sizeof source->quote.status) {
        strcpy(source->quote.status, quote->status);
        quote->status = source->quote.status;
    } else {
        quote->status = NULL;
    }
}

static void derived_tell_quote(struct derived_core *core, struct derived_variant *variant)
{
    if (variant->source->has_last) {
        derived_publish(core, variant, FRAME_FULL_IMAGE, &variant->source->last);
        variant->ready_ns = core->now_ns + variant->what.interval_ms * NS_PER_MS;
    }
}

/* ---- Ticks and timers ---- */

/* Of a quote or book: what is due now, or at the end of the interval. */
static void derived_tell(struct derived_core *core, struct derived_variant *variant)
{
    variant->is_pending = false;
    if (variant->source->type == MD_QUOTE) {
        derived_tell_quote(core, variant);
    } else {
        derived_tell_book(core, variant);
    }
}

static void derived_on_change(struct derived_core *core, struct derived_variant *variant)
{
    if (variant->what.interval_ms == 0 || core->now_ns >= variant->ready_ns) {
        derived_tell(core, variant);
    } else {
        variant->is_pending = true;
        derived_arm(core, variant, variant->ready_ns);
    }
}

/* Into the source's state. seen_ns: when it was published. */
static void derived_take(struct derived_core *core, struct derived_source *source,
                         const struct md_update *update, uint64_t seen_ns)
{
    if (source->type == MD_QUOTE) {
        derived_keep_quote(source, update);
        source->has_last = true;
    } else if (source->type == MD_TRADE) {
        derived_take_trade(core, source, update, seen_ns);
    }
}

void derived_on_tick(struct derived *derived, const struct md_update *update, uint64_t now_ns)
{
    struct derived_core *core = derived->core;
    struct derived_source *source = core->sources[update->channel];
    if (update->type == MD_DEPTH) {
        derived_keep_book(core, update);
    }
    if (source == NULL || !source->is_live) {
        return; /* Nobody wants it, or it will be read from the log. */
    }
    core->now_ns = now_ns > core->now_ns ? now_ns : core->now_ns;
    if (source->type == MD_BAR) {
        derived_relay_bar(core, source, update);
        return;
    }
    derived_take(core, source, update, core->now_ns);
    if (source->type == MD_TRADE) {
        return;
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

static void derived_on_timer(void *context, struct timer *timer)
{
    struct derived_core *core = context;
    struct derived_variant *variant = container_of(timer, struct derived_variant, timer);
    if (variant->source->type == MD_TRADE) {
        derived_on_bar_timer(core, variant);
    } else if (!variant->is_pending && !variant->owes_snapshot) {
        return; /* A tick was quicker. */
    } else if (core->now_ns < variant->ready_ns) {
        derived_arm(core, variant, variant->ready_ns);
    } else {
        derived_tell(core, variant);
    }
}

/* ---- Reading back ---- */

/* The log is written by this thread alone, so that no frame needs a pin here. */
static const struct md_update *derived_read(struct derived_core *core, uint32_t number,
                                            const struct frame_desc *desc)
{
    return recoder_read(core->recoder, number, frame_log_at(core->options.log, desc->position),
                        desc->frame_bytes);
}

/* A full image that was saved before it was lapped. */
static void derived_take_saved(struct derived_core *core, struct derived_source *source)
{
    struct frame_log_image image;
    if (!frame_log_newest_image(core->options.log, source->channel, &image)) {
        return;
    }
    const struct md_update *update =
        recoder_read(core->recoder, source->channel, image.frame, image.frame_bytes);
    if (update != NULL) {
        derived_take(core, source, update, core->now_ns);
    }
}

/* Whether what came before this frame is of no use. */
static bool derived_is_beginning(const struct derived_core *core,
                                 const struct derived_source *source, const struct frame_desc *desc)
{
    switch (source->type) {
    case MD_QUOTE:
        return true;
    default:
        return desc->ts_pub_ns + DERIVED_LOOK_BACK_NS < core->wall_ns;
    }
}

/* Goes back from the channel's newest frame to where reading is to begin. */
static void derived_note(struct derived_core *core, struct derived_source *source)
{
    const struct frame_log *log = core->options.log;
    uint64_t tail = frame_log_tail(log);
    for (uint32_t budget = DERIVED_NOTE_BUDGET; core->note_next > 0 && budget > 0; budget--) {
        uint64_t index = core->note_next - 1;
        if (index < tail || index < source->taken_plus_1 ||
            core->noted_count == DERIVED_NOTED_MAX) {
            core->note_next = 0;
            return;
        }
        const struct frame_desc *desc = frame_log_desc(log, index);
        core->noted[core->noted_count++] = index;
        bool is_last = desc->previous_distance == 0 || derived_is_beginning(core, source, desc);
        core->note_next = is_last ? 0 : core->note_next - desc->previous_distance;
    }
}

static void derived_read_noted(struct derived_core *core, struct derived_source *source)
{
    const struct frame_log *log = core->options.log;
    for (uint32_t budget = DERIVED_READ_BUDGET; core->noted_count > 0 && budget > 0; budget--) {
        uint64_t index = core->noted[--core->noted_count];
        const struct frame_desc *desc = frame_log_desc(log, index);
        source->taken_plus_1 = index + 1;
        const struct md_update *update =
            index < frame_log_tail(log) ? NULL : derived_read(core, source->channel, desc);
        if (update == NULL) {
            continue;
        }
        uint64_t age_ns = core->wall_ns > desc->ts_pub_ns ? core->wall_ns - desc->ts_pub_ns : 0;
        derived_take(core, source, update, core->now_ns > age_ns ? core->now_ns - age_ns : 0);
    }
}

/* A variant whose source is live says what there is. */
static void derived_begin(struct derived_core *core, struct derived_variant *variant)
{
    struct derived_source *source = variant->source;
    variant->owes_snapshot = source->type == MD_DEPTH;
    if (source->type == MD_TRADE) {
        derived_tell_bar(core, variant);
        if (derived_builder(variant)->is_open) {
            derived_arm(core, variant, source->bars.close_ns[variant->what.bar - 1]);
        }
    } else if (source->type != MD_BAR) {
        derived_tell(core, variant);
    }
}

/* The first waiting source, a step further. */
static void derived_catch_up(struct derived_core *core)
{
    struct derived_source *source = core->waiting;
    bool is_new_round = core->note_next == 0 && core->noted_count == 0;
    if (is_new_round) {
        core->note_next = frame_log_last_index_plus_1(core->options.log, source->channel);
        if (core->note_next > 0 && core->note_next <= frame_log_tail(core->options.log)) {
            derived_take_saved(core, source);
        }
    }
    derived_note(core, source);
    if (core->note_next == 0) {
        derived_read_noted(core, source);
    }
    if (core->note_next > 0 || core->noted_count > 0 || !is_new_round) {
        return; /* What came since the round began is read in the next one. */
    }
    core->waiting = source->next_waiting;
    source->next_waiting = NULL;
    source->is_live = true;
    for (struct derived_variant *variant = source->variants; variant != NULL;
         variant = variant->next) {
        derived_begin(core, variant);
    }
}

/* ---- Beginning and ending ---- */

static void derived_wait(struct derived_core *core, struct derived_source *source)
{
    struct derived_source **last = &core->waiting;
    while (*last != NULL) {
        last = &(*last)->next_waiting;
    }
    *last = source;
}

static void derived_close_source(struct derived_core *core, struct derived_source *source)
{
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
        derived_wait(core, source);
    }
    return source;
}

/* Whether the feed gives bars of that interval: one is among its newest. */
static bool derived_feed_has_bars(struct derived_core *core, uint32_t channel, uint8_t bar)
{
    const struct frame_log *log = core->options.log;
    uint64_t next = frame_log_last_index_plus_1(core->options.log, channel);
    for (uint32_t i = 0; i < DERIVED_BARS_LOOKED_AT && next > frame_log_tail(log); i++) {
        const struct frame_desc *desc = frame_log_desc(log, next - 1);
        const struct md_update *update = derived_read(core, channel, desc);
        if (update != NULL && strcmp(update->bar.interval, variant_bar_name(bar)) == 0) {
            return true;
        }
        next = desc->previous_distance == 0 ? 0 : next - desc->previous_distance;
    }
    return false;
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
        (trades == CHANNEL_NONE || derived_feed_has_bars(core, bars, channel->variant.bar));
    return takes_bars ? bars : trades;
}

static void derived_start(struct derived_core *core, uint32_t variant_index)
{
    uint32_t number = channels_variant(core->options.channels, variant_index);
    const struct channel *channel = channels_get(core->options.channels, number);
    struct derived_variant *variant = &core->variants[variant_index];
    uint32_t source_channel = derived_source_of(core, channel);
    if (source_channel == CHANNEL_NONE) {
        return;
    }
    struct book_cut *cut = channel->type == MD_DEPTH ? calloc(1, sizeof *cut) : NULL;
    struct derived_source *source = derived_open_source(core, source_channel);
    if (source == NULL || (channel->type == MD_DEPTH && cut == NULL)) {
        derived_complain(core, "no memory for a derived channel; it is tried again");
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
    while (*link != variant) {
        link = &(*link)->next;
    }
    *link = variant->next;
    timer_disarm(&core->wheel, &variant->timer);
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

static void derived_see_wish(struct derived_core *core, uint32_t variant_index)
{
    struct channel_wish *wish = channels_wish(core->options.channels, variant_index);
    struct derived_variant *variant = &core->variants[variant_index];
    bool is_wanted = atomic_load_explicit(&wish->subscriber_count, memory_order_relaxed) > 0;
    if (is_wanted && variant->source == NULL) {
        derived_start(core, variant_index);
    }
    if (variant->source == NULL) {
        return;
    }
    if (atomic_load_explicit(&wish->asks_snapshot, memory_order_relaxed) != 0 &&
        atomic_exchange_explicit(&wish->asks_snapshot, 0, memory_order_relaxed) != 0 &&
        variant->source->is_live && variant->what.interval_ms == 0) {
        variant->owes_snapshot = true;
        derived_arm(core, variant, variant->ready_ns);
    }
    if (is_wanted) {
        variant->unwanted_ns = 0;
    } else if (variant->unwanted_ns == 0) {
        variant->unwanted_ns = core->now_ns;
    } else if (core->now_ns - variant->unwanted_ns >= DERIVED_LINGER_NS) {
        derived_stop(core, variant);
    }
}

static void derived_see_wishes(struct derived_core *core)
{
    uint64_t wish_count = channels_wish_count(core->options.channels);
    if (wish_count == core->wish_count &&
        (core->active_count == 0 || core->now_ns < core->scan_ns)) {
        return;
    }
    core->wish_count = wish_count;
    core->scan_ns = core->now_ns + DERIVED_SCAN_NS;
    uint32_t count = channels_variant_count(core->options.channels);
    for (uint32_t i = 0; i < count; i++) {
        derived_see_wish(core, i);
    }
}

uint64_t derived_poll(struct derived *derived, uint64_t now_ns, uint64_t wall_ns)
{
    struct derived_core *core = derived->core;
    core->now_ns = now_ns > core->now_ns ? now_ns : core->now_ns;
    core->wall_ns = wall_ns;
    derived_see_wishes(core);
    if (core->active_count == 0) {
        return UINT64_MAX;
    }
    if (core->waiting != NULL) {
        derived_catch_up(core);
    }
    timer_wheel_advance(&core->wheel, core->now_ns, derived_on_timer, core);
    if (core->waiting != NULL) {
        return core->now_ns;
    }
    uint64_t due_ns = timer_wheel_next_ns(&core->wheel);
    return due_ns < core->scan_ns ? due_ns : core->scan_ns;
}
