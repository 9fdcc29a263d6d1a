#include "src/market/publisher.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/list.h"
#include "src/base/log.h"
#include "src/market/derived.h"
#include "src/market/publisher_feeds.h"
#include "src/market/publisher_wait.h"
#include "src/market/staleness.h"
#include "src/market/tick_writer.h"
#include "src/record/record.h"

#define PUBLISHER_IMAGE_NS_MAX (10 * NS_PER_MS) /* Longer pieces were interrupted. */

struct publisher {
    /* Set before the first poll, then constant. */
    struct channels *channels;
    struct encodings *encodings;
    struct book_images *book_images;
    struct record *record; /* NULL: nothing is recorded */
    struct publisher_counters *counters;
    struct control *control;        /* NULL: none */
    void (*on_poll)(void *context); /* NULL: none */
    void *on_poll_context;

    /* The publisher's thread only. */
    struct derived derived;
    uint64_t now_ns; /* of the poll */
    struct publisher_feeds feeds;
    struct publisher_wait wait;
    struct tick_writer writer;

    /* Any thread. */
    _Alignas(CACHE_LINE_BYTES) _Atomic bool stopping;
};

static struct publisher *publisher_of(const struct publisher_feed *feed)
{
    return container_of(feed->feeds, struct publisher, feeds);
}

/* ---- What a feed is given ---- */

/* A quote, a bar or a whole book replaces what was before it. */
static uint8_t publisher_flags(const struct md_update *update)
{
    bool is_book = update->type == MD_DEPTH && update->depth.action == MD_SNAPSHOT;
    return update->type == MD_QUOTE || update->type == MD_BAR || is_book ? FRAME_FULL_IMAGE : 0;
}

static void publisher_note_late(struct publisher_counters *counters, uint64_t ts_pub_ns,
                                uint64_t since_ns)
{
    uint64_t late_ns = tick_writer_late_ns(ts_pub_ns, since_ns);
    counter_set(&counters->late_ns, late_ns);
    if (__builtin_expect(since_ns != 0, 1)) {
        counters_histogram_add(&counters->feed, late_ns, 1);
    }
}

static uint64_t publisher_passed(void *context)
{
    return publisher_feeds_slowest(&((struct publisher *)context)->feeds);
}

static void publisher_publish_gap(void *context, uint32_t number)
{
    struct publisher *publisher = context;
    tick_writer_write_gap(&publisher->writer, number);
}

static void publisher_end_channel(void *context, uint32_t number)
{
    struct publisher *publisher = context;
    tick_writer_write_gap(&publisher->writer, number);
    encodings_forget_channel(publisher->encodings, number);
}

/* The recorder gets a channel's name before its first tick. */
static void publisher_name_for_record(struct publisher *publisher, uint32_t number)
{
    if (__builtin_expect(!record_knows(publisher->record, number), 0)) {
        const struct channel *channel = channels_get(publisher->channels, number);
        record_define(publisher->record, number, channel->symbol, channel->symbol_bytes,
                      (enum md_type)channel->type);
    }
}

static void publisher_lose(void *context, uint32_t number)
{
    struct publisher *publisher = publisher_of(context);
    if (tick_writer_has_channel(&publisher->writer, number)) {
        if (publisher->record != NULL) {
            publisher_name_for_record(publisher, number);
            record_lose(publisher->record, number);
        }
        tick_writer_write_gap(&publisher->writer, number);
        derived_on_loss(&publisher->derived, number);
    }
}

static void publisher_silence(void *context, uint32_t number)
{
    const struct publisher *publisher = publisher_of(context);
    struct staleness *staleness = publisher->feeds.staleness;
    if (staleness != NULL && tick_writer_has_channel(&publisher->writer, number)) {
        staleness_on_silence(staleness, number);
    }
}

static void publisher_publish(void *context, const struct md_update *update)
{
    struct publisher_feed *feed = context;
    struct publisher *publisher = publisher_of(feed);
    uint32_t channel = update->channel;

    if (!tick_writer_has_channel(&publisher->writer, channel)) {
        publisher->writer.room -= publisher->writer.room > 0;
        tick_writer_refuse(&publisher->writer, channel);
        return;
    }
    if (publisher->feeds.staleness != NULL) {
        staleness_on_tick(publisher->feeds.staleness, channel, feed->number, publisher->now_ns);
    }
    if (publisher->record != NULL) {
        publisher_name_for_record(publisher, channel);
        record_tick(publisher->record, update);
    }
    uint8_t flags = publisher_flags(update);
    uint64_t since_ns = feed->feed->is_scheduled ? update->ts_event_ns : update->ts_recv_ns;
    uint64_t ts_pub_ns =
        tick_writer_write_tick(&publisher->writer, channel, flags, update, since_ns);
    if (__builtin_expect(ts_pub_ns == 0, 0)) {
        ts_pub_ns = tick_writer_write_parts(&publisher->writer, channel, flags, update, since_ns);
        if (ts_pub_ns == 0) {
            derived_on_loss(&publisher->derived, channel);
            return;
        }
    }
    publisher_note_late(publisher->counters, ts_pub_ns, since_ns);
    tick_writer_show_many(&publisher->writer);
    if (__builtin_expect(derived_wants(&publisher->derived, update), 0)) {
        derived_on_tick(&publisher->derived, update, publisher->now_ns);
    }
}

static void publisher_publish_derived(void *context, uint32_t channel, uint8_t flags,
                                      const struct md_update *update)
{
    struct tick_writer *writer = &((struct publisher *)context)->writer;
    if (tick_writer_write_tick(writer, channel, flags, update, 0) == 0) {
        tick_writer_write_parts(writer, channel, flags, update, 0);
    }
    tick_writer_show_many(writer);
}

static void publisher_complain(void *context, const char *text)
{
    (void)context;
    log_post(0, LOG_LEVEL_ERROR, text);
}

/* ---- Creation ---- */

static int publisher_create_derived(struct publisher *publisher)
{
    struct derived_options options = {
        .channels = publisher->channels,
        .log = publisher->writer.log,
        .publish = publisher_publish_derived,
        .lose = publisher_publish_gap,
        .end = publisher_end_channel,
        .passed = publisher_passed,
        .complain = publisher_complain,
        .context = publisher,
    };
    return derived_create(&publisher->derived, &options);
}

static int publisher_open_feeds(struct publisher *publisher,
                                const struct publisher_options *options, char *error_out,
                                size_t error_bytes)
{
    const struct feed_sink sink = {
        .hash = publisher->channels->hash,
        .epoch = options->epoch,
        .admission = options->admission,
        .reuse_port = options->reuse_port,
        .publish = publisher_publish,
        .lost = publisher_lose,
        .silent = publisher_silence,
    };
    publisher_feeds_init(&publisher->feeds, &publisher->writer, publisher->channels,
                         options->staleness);
    for (uint32_t i = 0; i < options->feed_count; i++) {
        char text[FEED_ERROR_BYTES_MAX] = "";
        int error = publisher_feeds_open(&publisher->feeds, options->feed_specs[i], &sink, text);
        const char *source = options->feed_sources[i];
        if (error < 0) {
            snprintf(error_out, error_bytes, "%s: %s", source == NULL ? "--feed" : source, text);
            return error;
        }
    }
    return 0;
}

int publisher_create(struct publisher **publisher_out, const struct publisher_options *options,
                     char *error_out, size_t error_bytes)
{
    if (options->feed_count > PUBLISHER_FEEDS_MAX) {
        snprintf(error_out, error_bytes, "at most %d feeds", PUBLISHER_FEEDS_MAX);
        return -EINVAL;
    }
    struct publisher *publisher = aligned_alloc(CACHE_LINE_BYTES, sizeof *publisher);
    if (publisher == NULL) {
        snprintf(error_out, error_bytes, "not enough memory");
        return -ENOMEM;
    }
    memset(publisher, 0, sizeof *publisher);
    publisher->channels = options->channels;
    publisher->encodings = options->encodings;
    publisher->book_images = options->book_images;
    publisher->record = options->record;
    publisher->counters = options->counters;
    publisher->control = options->control;
    publisher->on_poll = options->on_poll;
    publisher->on_poll_context = options->admission == NULL ? NULL : options->admission->context;
    publisher->wait.is_inline = true;
    publisher->writer = (struct tick_writer){
        .channels = options->channels,
        .encodings = options->encodings,
        .log = encodings_json_log(options->encodings),
        .counters = options->counters,
        .wait = &publisher->wait,
        .payload_bytes_max = encodings_payload_bytes_max(options->encodings),
    };
    tick_writer_watch_logs(&publisher->writer);
    if (publisher_create_derived(publisher) < 0) {
        snprintf(error_out, error_bytes, "not enough memory");
        free(publisher);
        return -ENOMEM;
    }
    int error = publisher_open_feeds(publisher, options, error_out, error_bytes);
    if (error < 0) {
        publisher_destroy(publisher);
        return error;
    }
    *publisher_out = publisher;
    return 0;
}

void publisher_destroy(struct publisher *publisher)
{
    publisher_feeds_close(&publisher->feeds);
    publisher_wait_close(&publisher->wait);
    derived_destroy(&publisher->derived);
    free(publisher);
}

void publisher_set_cores(struct publisher *publisher, struct core *const *cores,
                         struct core_counters *const *core_counters, uint32_t core_count)
{
    assert_always(core_count <= COUNTERS_CORES_MAX);
    for (uint32_t i = 0; i < core_count; i++) {
        publisher->wait.cores[i] = cores[i];
        publisher->feeds.core_counters[i] = core_counters[i];
    }
    publisher->wait.core_count = core_count;
}

const struct feed_table *publisher_feed_table(const struct publisher *publisher)
{
    return &publisher->feeds.table;
}

/* ---- Polling ---- */

static void publisher_count(struct publisher *publisher)
{
    struct encodings_count sbe = encodings_count(publisher->encodings, CORE_ENCODING_SBE);
    struct encodings_count deflate =
        encodings_count(publisher->encodings, CORE_ENCODING_JSON_DEFLATE);
    counter_set(&publisher->counters->sbe_frames, sbe.frames);
    counter_set(&publisher->counters->sbe_bytes, sbe.bytes);
    counter_set(&publisher->counters->deflate_frames, deflate.frames);
    counter_set(&publisher->counters->deflate_bytes, deflate.bytes);
    counter_set(&publisher->counters->channels, channels_count(publisher->channels));
    counter_set(&publisher->counters->log_head, frame_log_end(publisher->writer.log));
    counter_set(&publisher->counters->log_waits, publisher->writer.log->waited_count);
    counter_set(&publisher->counters->log_saved, publisher->writer.log->saved_count);
    counter_set(&publisher->counters->log_images_unsaved,
                publisher->writer.log->images_unsaved_count);
    counter_set(&publisher->counters->log_replaced_bytes,
                encodings_replaced_bytes(publisher->encodings));
}

/* Begins the next book that a client asks for. false: it is not time for it. */
static bool publisher_begin_image(struct publisher *publisher, uint64_t now_ns)
{
    struct book_images *images = publisher->book_images;
    uint32_t number = book_images_next(images, now_ns);
    if (number == BOOK_IMAGES_NONE) {
        return false;
    }
    uint32_t channel = images->slots[number].channel;
    struct book_images_source source = {
        .channel = channels_get(publisher->channels, channel),
        .number = channel,
        .as_of = frame_log_next_seq(publisher->writer.log, channel) - 1,
        .ts_pub_ns = clock_ns(CLOCK_REALTIME),
        .payload_bytes_max = publisher->writer.payload_bytes_max,
    };
    source.book =
        derived_book(&publisher->derived, channel, &source.ts_event_ns, &source.ts_recv_ns);
    book_images_begin(images, number, &source);
    return true;
}

/* Books that clients ask for, a piece a poll; a tenth of the time is spent on them at most. Returns
 * when the next piece is due. */
static uint64_t publisher_make_images(struct publisher *publisher, uint64_t now_ns)
{
    struct book_images *images = publisher->book_images;
    if (images == NULL || !book_images_are_asked(images)) {
        return UINT64_MAX;
    }
    if (now_ns < images->due_ns) {
        return images->due_ns;
    }
    uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
    if (images->making.number == BOOK_IMAGES_NONE && !publisher_begin_image(publisher, now_ns)) {
        return now_ns + NS_PER_MS;
    }
    if (book_images_go_on(images)) {
        tick_writer_wake_cores(&publisher->writer);
    }
    uint64_t spent_ns = clock_ns(CLOCK_MONOTONIC) - begin_ns;
    spent_ns = spent_ns < PUBLISHER_IMAGE_NS_MAX ? spent_ns : PUBLISHER_IMAGE_NS_MAX;
    images->due_ns = now_ns + BOOK_IMAGES_SHARE * spent_ns;
    return book_images_are_asked(images) ? images->due_ns : UINT64_MAX;
}

uint64_t publisher_poll(struct publisher *publisher, uint64_t now_ns)
{
    uint64_t wall_ns = clock_ns(CLOCK_REALTIME);
    publisher->now_ns = now_ns;
    counter_add(&publisher->counters->turns, 1);
    if (publisher->on_poll != NULL) {
        publisher->on_poll(publisher->on_poll_context);
    }
    if (publisher->control != NULL) {
        control_beat(publisher->control, now_ns);
    }
    uint64_t due_ns = derived_poll(&publisher->derived, now_ns, wall_ns);
    uint64_t wait_ns = due_ns == UINT64_MAX ? UINT64_MAX : due_ns > now_ns ? due_ns - now_ns : 0;
    tick_writer_show(&publisher->writer);
    uint64_t feed_wait_ns = publisher_feeds_poll(&publisher->feeds, now_ns, wall_ns);
    wait_ns = feed_wait_ns < wait_ns ? feed_wait_ns : wait_ns;
    uint64_t image_ns = publisher_make_images(publisher, now_ns);
    if (image_ns != UINT64_MAX && (image_ns <= now_ns || image_ns - now_ns < wait_ns)) {
        wait_ns = image_ns <= now_ns ? 0 : image_ns - now_ns;
    }
    publisher_feeds_count(&publisher->feeds);
    publisher_count(publisher);
    enum encodings_news news = encodings_poll(publisher->encodings, now_ns);
    if (news == ENCODINGS_BEGUN) {
        tick_writer_wake_cores(&publisher->writer);
    }
    wait_ns = news != ENCODINGS_AT_REST ? 0 : wait_ns;
    return wait_ns == UINT64_MAX ? UINT64_MAX : now_ns + wait_ns;
}

uint64_t publisher_poll_inline(void *publisher, uint64_t now_ns)
{
    return publisher_poll(publisher, now_ns);
}

/* ---- The thread ---- */

static bool publisher_is_stopping(const struct publisher *publisher)
{
    return atomic_load_explicit(&publisher->stopping, memory_order_relaxed);
}

int publisher_run(struct publisher *publisher)
{
    publisher->wait.is_inline = false;
    int error = publisher_wait_open(&publisher->wait);
    if (error < 0) {
        return error;
    }
    while (!publisher_is_stopping(publisher)) {
        uint64_t due_ns = publisher_poll(publisher, clock_ns(CLOCK_MONOTONIC));
        publisher_wait_until(&publisher->wait, due_ns);
    }
    return 0;
}

void publisher_stop(struct publisher *publisher)
{
    atomic_store_explicit(&publisher->stopping, true, memory_order_relaxed);
}
