#include "src/market/publisher_feeds.h"

#include <string.h>
#include <time.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "ring/core/core_watch.h"
#include "ring/trace.h"
#include "src/base/log.h"

#define PUBLISHER_FEEDS_INLINE_BYTES (64 * KIB)    /* what core 0 fans out in a turn */
#define PUBLISHER_FEEDS_SLEEP_NS_MAX NS_PER_SECOND /* the wall clock may be set meanwhile */
#define PUBLISHER_FEEDS_ELASTIC_NS (200 * NS_PER_US)

static_assert(PUBLISHER_FEEDS_MAX <= CORE_WATCH_COUNT_MAX, "a descriptor for each feed");
static_assert(PUBLISHER_FEEDS_MAX == STALENESS_FEEDS_MAX, "stale symbols are counted by feed");

/* ---- The sink ---- */

static uint32_t publisher_feeds_open_channel(void *context, const char *symbol, size_t symbol_bytes,
                                             enum md_type type)
{
    const struct publisher_feed *feed = context;
    struct publisher_feeds *feeds = feed->feeds;
    uint32_t channel = channels_open(feeds->channels, symbol, symbol_bytes, type);
    uint32_t count = channels_count(feeds->channels);
    counter_set(&feeds->writer->counters->channels, count);
    if (channel == CHANNEL_NONE && count == CHANNELS_MAX && !feeds->table_full_logged) {
        feeds->table_full_logged = true;
        log_post(0, LOG_LEVEL_ERROR,
                 "the channel table is full: ticks of further symbols are discarded and counted");
    }
    if (channel != CHANNEL_NONE && feeds->staleness != NULL) {
        staleness_on_channel(feeds->staleness, channel, feed->number, feeds->now_ns);
    }
    return channel;
}

uint64_t publisher_feeds_slowest(const struct publisher_feeds *feeds)
{
    uint64_t slowest = frame_log_end(feeds->writer->log);
    for (uint32_t i = 0; i < feeds->writer->wait->core_count; i++) {
        uint64_t position = counter_get(&feeds->core_counters[i]->position);
        slowest = position < slowest ? position : slowest;
    }
    return slowest;
}

/* How many ticks an elastic feed may add before the slowest core is half a log behind. */
static uint32_t publisher_feeds_elastic_room(const struct publisher_feeds *feeds)
{
    uint64_t room = frame_log_half_room(feeds->writer->log, publisher_feeds_slowest(feeds));
    return room < PUBLISHER_POLL_TICKS_MAX ? (uint32_t)room : PUBLISHER_POLL_TICKS_MAX;
}

/* How many ticks may pass until the clock is read again: fewer, if they are long. */
static uint32_t publisher_feeds_portion(const struct tick_writer *writer)
{
    uint32_t ticks = PUBLISHER_PORTION_TICKS_MAX;
    if (writer->newest_bytes > PUBLISHER_PORTION_BYTES / PUBLISHER_PORTION_TICKS_MAX) {
        ticks = (uint32_t)PUBLISHER_PORTION_BYTES / writer->newest_bytes;
        ticks += ticks == 0;
    }
    return ticks < writer->room ? ticks : writer->room;
}

/* Whether the poll going on has used its time. A clock that was set back ends it, too. */
static bool publisher_feeds_time_is_up(const struct publisher_feeds *feeds)
{
    uint64_t wall_ns = clock_ns(CLOCK_REALTIME);
    return wall_ns >= feeds->poll_end_wall_ns || wall_ns < feeds->wall_ns;
}

static uint32_t publisher_feeds_room(void *context)
{
    const struct publisher_feed *feed = context;
    struct publisher_feeds *feeds = feed->feeds;
    uint32_t room = publisher_feeds_portion(feeds->writer);
    if (room > 0 && feeds->has_portion && publisher_feeds_time_is_up(feeds)) {
        return 0;
    }
    feeds->has_portion = true;
    if (room > 0 && feed->feed != NULL && feed->feed->elastic) {
        uint32_t elastic_room = publisher_feeds_elastic_room(feeds);
        room = elastic_room < room ? elastic_room : room;
    }
    return room;
}

static void publisher_feeds_watch(void *context, int fd)
{
    struct publisher_feed *feed = context;
    if (fd == feed->watched_fd) {
        return;
    }
    if (feed->watched_fd >= 0) {
        core_watch_disarm(publisher_wait_watch(feed->feeds->writer->wait), feed->number);
    }
    feed->watched_fd = fd;
}

static void publisher_feeds_log(void *context, enum feed_level level, const char *text)
{
    static const enum log_level levels[] = {
        [FEED_INFO] = LOG_LEVEL_INFO,
        [FEED_WARNING] = LOG_LEVEL_WARNING,
        [FEED_ERROR] = LOG_LEVEL_ERROR,
    };
    (void)context;
    log_post(0, levels[level], text);
}

/* ---- Opening and closing ---- */

void publisher_feeds_init(struct publisher_feeds *feeds, struct tick_writer *writer,
                          struct channels *channels, struct staleness *staleness)
{
    *feeds = (struct publisher_feeds){
        .writer = writer,
        .channels = channels,
        .staleness = staleness,
        .now_ns = clock_ns(CLOCK_MONOTONIC), /* A feed may name channels when it is opened. */
    };
}

int publisher_feeds_open(struct publisher_feeds *feeds, const char *spec,
                         const struct feed_sink *sink, char error_out[FEED_ERROR_BYTES_MAX])
{
    assert_always(feeds->count < PUBLISHER_FEEDS_MAX);
    struct publisher_feed *feed = &feeds->rows[feeds->count];
    feed->feeds = feeds;
    feed->number = feeds->count;
    feed->watched_fd = -1;
    feed->sink = *sink;
    feed->sink.context = feed;
    feed->sink.open_channel = publisher_feeds_open_channel;
    feed->sink.room = publisher_feeds_room;
    feed->sink.watch = publisher_feeds_watch;
    feed->sink.log = publisher_feeds_log;
    uint64_t wall_ns = clock_ns(CLOCK_REALTIME);
    feed->shown = feed_table_add(&feeds->table, spec, strcspn(spec, ":"), wall_ns);
    feed->sink.name = feed->shown->name;
    int error = feed_open(&feed->feed, spec, &feed->sink, wall_ns, error_out);
    feeds->count += error == 0;
    return error;
}

void publisher_feeds_close(struct publisher_feeds *feeds)
{
    for (uint32_t i = 0; i < feeds->count; i++) {
        struct feed *feed = feeds->rows[i].feed;
        feeds->rows[i].watched_fd = -1; /* No ring is left that could wait for it. */
        feed->ops->close(feed);
    }
}

/* ---- Polling ---- */

/* Feeds share a poll's ticks. An inline publisher hands its core no more than that core fans out
 * in one turn: it would only overtake it, while a feed that is late catches up. */
static uint32_t publisher_feeds_poll_ticks(const struct publisher_feeds *feeds)
{
    const struct tick_writer *writer = feeds->writer;
    uint32_t ticks = PUBLISHER_POLL_TICKS_MAX;
    assert_always(feeds->count > 0);
    if (writer->wait->is_inline && writer->newest_bytes > 0 &&
        PUBLISHER_FEEDS_INLINE_BYTES / writer->newest_bytes < ticks) {
        ticks = (uint32_t)(PUBLISHER_FEEDS_INLINE_BYTES / writer->newest_bytes);
    }
    ticks /= feeds->count;
    return ticks > 0 ? ticks : 1;
}

static uint64_t publisher_feeds_wait_ns(uint64_t due_wall_ns, uint64_t wall_ns)
{
    if (due_wall_ns == FEED_NEVER) {
        return UINT64_MAX;
    }
    if (due_wall_ns <= wall_ns) {
        return 0;
    }
    uint64_t wait_ns = due_wall_ns - wall_ns;
    return wait_ns < PUBLISHER_FEEDS_SLEEP_NS_MAX ? wait_ns : PUBLISHER_FEEDS_SLEEP_NS_MAX;
}

/* When another feed asked to be polled at its time, the poll ends then. A feed that asked to be
 * polled at once has too much to hand over: it waits for its turn. */
static uint64_t publisher_feeds_end_ns(const struct publisher_feeds *feeds, uint64_t wall_ns)
{
    uint64_t end_ns = wall_ns + FEED_POLL_NS_MAX;
    for (uint32_t i = 0; i < feeds->count; i++) {
        const struct publisher_feed *feed = &feeds->rows[i];
        end_ns = feed->is_timed && feed->due_wall_ns < end_ns ? feed->due_wall_ns : end_ns;
    }
    return end_ns;
}

/* It is polled once a second at least, so that it sees the wall clock being set. */
static bool publisher_feeds_is_due(const struct publisher_feed *feed, bool is_readable,
                                   uint64_t now_ns, uint64_t wall_ns)
{
    return feed->due_wall_ns != FEED_NEVER && (is_readable || feed->due_wall_ns <= wall_ns ||
                                               now_ns - feed->polled_ns >= NS_PER_SECOND);
}

/* Returns how long the feed may be left alone, from begin_wall_ns on, when now_ns was read. */
static uint64_t publisher_feeds_poll_one(struct publisher_feed *feed, uint64_t now_ns,
                                         uint64_t begin_wall_ns)
{
    struct publisher_feeds *feeds = feed->feeds;
    struct tick_writer *writer = feeds->writer;
    uint32_t number = feed->number;
    bool is_readable =
        feed->watched_fd >= 0 && core_watch_is_readable(publisher_wait_watch(writer->wait), number);
    uint64_t wall_ns = feeds->wall_ns;
    if (!publisher_feeds_is_due(feed, is_readable, now_ns, wall_ns)) {
        return publisher_feeds_wait_ns(feed->due_wall_ns, begin_wall_ns);
    }
    if (feed->feed->elastic && publisher_feeds_elastic_room(feeds) == 0) {
        return PUBLISHER_FEEDS_ELASTIC_NS;
    }
    writer->room = publisher_feeds_poll_ticks(feeds);
    uint64_t ticks = feed->feed->counters.ticks;
    bool is_late = feed->is_timed && wall_ns > feed->due_wall_ns;
    trace_feed_poll_begin(number, is_late ? wall_ns - feed->due_wall_ns : 0);
    feed->is_timed = false; /* Only the others end the poll. */
    feeds->poll_end_wall_ns = publisher_feeds_end_ns(feeds, wall_ns);
    feeds->has_portion = false;
    feed->polled_ns = now_ns;
    feed->due_wall_ns = feed->feed->ops->poll(feed->feed, wall_ns);
    trace_feed_poll(number, feed->feed->counters.ticks - ticks);
    feed->is_timed = feed->due_wall_ns > wall_ns;
    counter_add(&writer->counters->feed_wakes, is_readable);
    if (feed->watched_fd >= 0) {
        core_watch_arm(publisher_wait_watch(writer->wait), number, feed->watched_fd);
    }
    tick_writer_show(writer);
    feed_table_write(feed->shown, feed->feed, wall_ns);
    if (feeds->count > 1) {
        feeds->wall_ns = clock_ns(CLOCK_REALTIME); /* The others may be due by now. */
    }
    return publisher_feeds_wait_ns(feed->due_wall_ns, begin_wall_ns);
}

/* First those that asked for a time, so that they wait for no feed that always has ticks. */
uint64_t publisher_feeds_poll(struct publisher_feeds *feeds, uint64_t now_ns, uint64_t wall_ns)
{
    bool was_timed[PUBLISHER_FEEDS_MAX];
    uint64_t wait_ns = UINT64_MAX;
    feeds->now_ns = now_ns;
    feeds->wall_ns = wall_ns;
    for (uint32_t i = 0; i < feeds->count; i++) {
        was_timed[i] = feeds->rows[i].is_timed;
    }
    for (uint32_t i = 0; i < 2 * feeds->count; i++) {
        uint32_t place = (feeds->first + i) % feeds->count;
        if (was_timed[place] != (i < feeds->count)) {
            continue;
        }
        uint64_t feed_wait_ns = publisher_feeds_poll_one(&feeds->rows[place], now_ns, wall_ns);
        wait_ns = feed_wait_ns < wait_ns ? feed_wait_ns : wait_ns;
    }
    feeds->first++;
    return wait_ns;
}

void publisher_feeds_count(struct publisher_feeds *feeds)
{
    struct publisher_counters *sums = feeds->writer->counters;
    struct feed_counters sum = {0};
    for (uint32_t i = 0; i < feeds->count; i++) {
        const struct feed_counters *counters = &feeds->rows[i].feed->counters;
        sum.skipped += counters->skipped;
        sum.malformed += counters->malformed;
        sum.holes += counters->holes;
        sum.passes += counters->passes;
    }
    counter_set(&sums->feed_skipped, sum.skipped);
    counter_set(&sums->feed_malformed, sum.malformed);
    counter_set(&sums->feed_holes, sum.holes);
    counter_set(&sums->feed_passes, sum.passes);
}
