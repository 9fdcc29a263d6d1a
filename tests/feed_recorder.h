/* feed_recorder: a sink that keeps what a feed hands it, for the tests of feeds/. */
#ifndef RINGCAST_TESTS_FEED_RECORDER_H
#define RINGCAST_TESTS_FEED_RECORDER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "feeds/feed.h"

#define RECORDER_TICKS_MAX 16384 /* More are counted, but not kept. */
#define RECORDER_CHANNELS_MAX 65536
#define RECORDER_LEVELS_MAX 16 /* of each side of a tick that is kept */
#define RECORDER_LOGS_MAX 64

struct recorded_tick {
    struct md_update update;
    struct md_level bids[RECORDER_LEVELS_MAX];
    struct md_level asks[RECORDER_LEVELS_MAX];
    char state[64];
    char reason[160];
};

struct recorder {
    struct feed_sink sink;
    uint32_t room;         /* for each poll */
    uint64_t room_end;     /* the tick_count at which the room of this poll is used up; 0: unused */
    uint32_t channels_max; /* open_channel refuses more */
    uint32_t channel_count;
    uint32_t log_count;
    int watched_fd; /* -1: none */
    uint64_t tick_count;
    uint64_t lost_count;
    uint32_t lost_channel; /* of the last loss */
    uint64_t silent_count;
    uint64_t type_counts[MD_TYPE_COUNT];
    struct {
        char symbol[MD_SYMBOL_BYTES_MAX + 1];
        enum md_type type;
    } channels[RECORDER_CHANNELS_MAX];
    char logs[RECORDER_LOGS_MAX][FEED_ERROR_BYTES_MAX];
    char error[FEED_ERROR_BYTES_MAX]; /* for feed_open */
    struct recorded_tick ticks[RECORDER_TICKS_MAX];
};

static uint32_t recorder_open_channel(void *context, const char *symbol, size_t symbol_bytes,
                                      enum md_type type)
{
    struct recorder *recorder = context;
    if (symbol_bytes == 0 || symbol_bytes > MD_SYMBOL_BYTES_MAX) {
        return UINT32_MAX;
    }
    for (uint32_t i = 0; i < recorder->channel_count; i++) {
        if (recorder->channels[i].type == type &&
            strlen(recorder->channels[i].symbol) == symbol_bytes &&
            memcmp(recorder->channels[i].symbol, symbol, symbol_bytes) == 0) {
            return i;
        }
    }
    if (recorder->channel_count == recorder->channels_max) {
        return UINT32_MAX;
    }
    memcpy(recorder->channels[recorder->channel_count].symbol, symbol, symbol_bytes);
    recorder->channels[recorder->channel_count].type = type;
    return recorder->channel_count++;
}

static void recorder_keep(struct recorded_tick *tick, const struct md_level *bids,
                          uint32_t bid_count, const struct md_level *asks, uint32_t ask_count)
{
    bid_count = bid_count < RECORDER_LEVELS_MAX ? bid_count : RECORDER_LEVELS_MAX;
    ask_count = ask_count < RECORDER_LEVELS_MAX ? ask_count : RECORDER_LEVELS_MAX;
    memcpy(tick->bids, bids, bid_count * sizeof *bids);
    memcpy(tick->asks, asks, ask_count * sizeof *asks);
}

static void recorder_publish(void *context, const struct md_update *update)
{
    struct recorder *recorder = context;
    assert_always(update->channel < recorder->channel_count);
    recorder->type_counts[update->type]++;
    if (recorder->tick_count++ >= RECORDER_TICKS_MAX) {
        return;
    }
    struct recorded_tick *tick = &recorder->ticks[recorder->tick_count - 1];
    tick->update = *update;
    if (update->type == MD_QUOTE) {
        recorder_keep(tick, update->quote.bids, update->quote.bid_count, update->quote.asks,
                      update->quote.ask_count);
    } else if (update->type == MD_DEPTH) {
        recorder_keep(tick, update->depth.bids, update->depth.bid_count, update->depth.asks,
                      update->depth.ask_count);
    } else if (update->type == MD_STATUS) {
        snprintf(tick->state, sizeof tick->state, "%s", update->status.state);
        snprintf(tick->reason, sizeof tick->reason, "%s",
                 update->status.reason == NULL ? "" : update->status.reason);
    }
}

static void recorder_lost(void *context, uint32_t channel)
{
    struct recorder *recorder = context;
    assert_always(channel < recorder->channel_count);
    recorder->lost_count++;
    recorder->lost_channel = channel;
}

static void recorder_silent(void *context, uint32_t channel)
{
    struct recorder *recorder = context;
    assert_always(channel < recorder->channel_count);
    recorder->silent_count++;
}

static uint32_t recorder_room(void *context)
{
    struct recorder *recorder = context;
    if (recorder->room_end != 0 && recorder->tick_count >= recorder->room_end) {
        recorder->room_end = 0; /* This poll ends; the next has room again. */
        return 0;
    }
    recorder->room_end = recorder->room == 0 ? 0 : recorder->tick_count + recorder->room;
    return recorder->room;
}

static void recorder_watch(void *context, int fd)
{
    ((struct recorder *)context)->watched_fd = fd;
}

/* Lines about the feed's state are not kept: a test reads the state itself. */
static void recorder_log(void *context, enum feed_level level, const char *text)
{
    struct recorder *recorder = context;
    (void)level;
    if (strncmp(text, "feed recorded is ", strlen("feed recorded is ")) == 0) {
        return;
    }
    snprintf(recorder->logs[recorder->log_count++ % RECORDER_LOGS_MAX], FEED_ERROR_BYTES_MAX, "%s",
             text);
}

static inline struct recorder *recorder_create(void)
{
    struct recorder *recorder = calloc(1, sizeof *recorder);
    assert_always(recorder != NULL);
    recorder->sink = (struct feed_sink){
        .context = recorder,
        .name = "recorded",
        .open_channel = recorder_open_channel,
        .publish = recorder_publish,
        .lost = recorder_lost,
        .silent = recorder_silent,
        .room = recorder_room,
        .watch = recorder_watch,
        .log = recorder_log,
    };
    recorder->room = 1024;
    recorder->watched_fd = -1;
    recorder->channels_max = RECORDER_CHANNELS_MAX;
    return recorder;
}

static inline void recorder_destroy(struct recorder *recorder)
{
    free(recorder);
}

static inline const struct recorded_tick *recorder_tick(const struct recorder *recorder,
                                                        uint64_t index)
{
    assert_always(index < recorder->tick_count);
    assert_always(index < RECORDER_TICKS_MAX);
    return &recorder->ticks[index];
}

static inline const char *recorder_symbol(const struct recorder *recorder, uint64_t index)
{
    return recorder->channels[recorder_tick(recorder, index)->update.channel].symbol;
}

static inline bool recorder_has_log(const struct recorder *recorder, const char *part)
{
    for (uint32_t i = 0; i < recorder->log_count && i < RECORDER_LOGS_MAX; i++) {
        if (strstr(recorder->logs[i], part) != NULL) {
            return true;
        }
    }
    return false;
}

/* Polls as a publisher would, at the times the feed asks for, until it has ended or until_ns is
 * reached. Returns the simulated time. */
static inline uint64_t recorder_run(struct feed *feed, uint64_t now_ns, uint64_t until_ns)
{
    for (;;) {
        uint64_t wake_ns = feed->ops->poll(feed, now_ns);
        if (wake_ns == FEED_NEVER || wake_ns > until_ns) {
            return now_ns;
        }
        now_ns = wake_ns > now_ns ? wake_ns : now_ns;
    }
}

/* The path of a recording of ../shared/data; false, loudly: there is none. */
static inline bool recorder_find_capture(char *path, size_t path_bytes, const char *name)
{
    const char *folders[] = {getenv("RINGCAST_SHARED_DATA"), "../shared/data", "../../shared/data"};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        if (folders[i] == NULL) {
            continue;
        }
        snprintf(path, path_bytes, "%s/%s", folders[i], name);
        if (access(path, R_OK) == 0) {
            return true;
        }
    }
    printf("SKIPPED: no %s; set RINGCAST_SHARED_DATA\n", name);
    return false;
}

/* The path of a fixture in tests/data, from the checkout's root or from tests/. */
static inline const char *recorder_fixture(char *path, size_t path_bytes, const char *name)
{
    snprintf(path, path_bytes, "tests/data/%s", name);
    if (access(path, R_OK) != 0) {
        snprintf(path, path_bytes, "data/%s", name);
    }
    return path;
}

#endif
