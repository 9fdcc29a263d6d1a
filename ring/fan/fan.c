#include "ring/fan/fan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/memory.h"
#include "ring/fan/fanout.h"
#include "ring/fan/puller.h"
#include "ring/fan/replayer.h"

static void fan_unmap_all(struct fan *fan)
{
    size_t count = fan->subscriber_count;
    memory_unmap(fan->subscribers, count * sizeof *fan->subscribers);
    memory_unmap(fan->pasts, count * sizeof *fan->pasts);
    memory_unmap(fan->due.conns, count * sizeof *fan->due.conns);
    memory_unmap(fan->pulls.conns, count * sizeof *fan->pulls.conns);
    memory_unmap(fan->failed.conns, count * sizeof *fan->failed.conns);
    memory_unmap(fan->extents, FAN_EXTENTS_MAX * sizeof *fan->extents);
    memory_unmap(fan->replays, REPLAYER_REPLAYS_MAX * sizeof *fan->replays);
    memory_unmap(fan->batch, sizeof *fan->batch);
}

/* What every subscriber needs is touched now; what grows with use is not. */
static int fan_map_all(struct fan *fan)
{
    size_t count = fan->subscriber_count;
    fan->subscribers = memory_map(count * sizeof *fan->subscribers, MAP_POPULATE);
    fan->pasts = memory_map(count * sizeof *fan->pasts, MAP_NORESERVE);
    fan->due.conns = memory_map(count * sizeof *fan->due.conns, MAP_POPULATE);
    fan->pulls.conns = memory_map(count * sizeof *fan->pulls.conns, MAP_POPULATE);
    fan->failed.conns = memory_map(count * sizeof *fan->failed.conns, 0);
    fan->extents = memory_map(FAN_EXTENTS_MAX * sizeof *fan->extents, MAP_POPULATE);
    fan->replays = memory_map(REPLAYER_REPLAYS_MAX * sizeof *fan->replays, 0);
    fan->batch = memory_map(sizeof *fan->batch, MAP_POPULATE);
    if (fan->subscribers == NULL || fan->pasts == NULL || fan->due.conns == NULL ||
        fan->pulls.conns == NULL || fan->failed.conns == NULL || fan->extents == NULL ||
        fan->replays == NULL || fan->batch == NULL) {
        fan_unmap_all(fan);
        return -ENOMEM;
    }
    fan->due.capacity = fan->subscriber_count;
    fan->pulls.capacity = fan->subscriber_count;
    fan->failed.capacity = fan->subscriber_count;
    for (uint32_t i = 0; i < fan->subscriber_count; i++) {
        fan->subscribers[i].extent_first = SUBSCRIBER_NONE;
    }
    replayer_init(fan);
    return 0;
}

/* The first count of them, which are open. */
static void fan_close_streams(struct fan *fan, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct fan_stream *stream = &fan->streams[i];
        for (uint32_t group = 0; group < SUBSCRIBER_GROUPS_MAX; group++) {
            free(stream->groups[group].entries);
        }
        subs_deinit(&stream->subs);
        memory_unmap(stream->channels, stream->log->channel_count_max * sizeof *stream->channels);
    }
}

/* What an encoding takes is touched when it is used. */
static int fan_open_stream(struct fan_stream *stream, struct frame_log *log, bool takes_json)
{
    size_t bytes = log->channel_count_max * sizeof *stream->channels;
    *stream = (struct fan_stream){.log = log, .takes_json = takes_json};
    stream->channels = memory_map(bytes, 0);
    if (stream->channels == NULL) {
        return -ENOMEM;
    }
    int error = subs_init(&stream->subs, log->channel_count_max);
    if (error < 0) {
        memory_unmap(stream->channels, bytes);
    }
    return error;
}

int fan_open(struct fan *fan, const struct fan_options *options)
{
    assert_always(options->encoding_count <= FAN_ENCODINGS_MAX);
    *fan = (struct fan){
        .reader = options->reader,
        .subscriber_count = options->subscriber_count,
        .encoding_count = options->encoding_count,
        .max_lag_ns = options->max_lag_ns,
        .counters = options->counters,
    };
    int error = fan_map_all(fan);
    if (error < 0) {
        return error;
    }
    for (uint32_t i = 0; i < options->encoding_count; i++) {
        error = fan_open_stream(&fan->streams[i], options->logs[i], options->takes_json[i]);
        if (error < 0) {
            fan_close_streams(fan, i);
            fan_unmap_all(fan);
            return error;
        }
    }
    return 0;
}

void fan_close(struct fan *fan)
{
    for (uint32_t i = 0; i < fan->subscriber_count; i++) {
        replayer_forget(fan, &fan->subscribers[i]);
        free(fan->subscribers[i].group_seqs);
    }
    fan_close_streams(fan, fan->encoding_count);
    fan_unmap_all(fan);
}

void fan_unpin(struct fan *fan)
{
    for (uint32_t i = 0; i < fan->encoding_count; i++) {
        frame_log_unpin(fan->streams[i].log, fan->reader);
    }
}

bool fan_is_pinned(const struct fan *fan)
{
    for (uint32_t i = 0; i < fan->encoding_count; i++) {
        if (frame_log_is_pinned(fan->streams[i].log, fan->reader)) {
            return true;
        }
    }
    return false;
}

void fan_fail(struct fan *fan, struct subscriber *subscriber)
{
    if (!subscriber->has_failed) {
        subscriber->has_failed = true;
        conn_queue_push(&fan->failed, fan_index(fan, subscriber));
    }
}

struct notice *fan_add_notice(struct fan *fan, const struct subscriber *subscriber,
                              enum notice_kind kind)
{
    struct plan_batch *batch = fan->batch;
    assert_always(batch->notice_count < PLAN_NOTICES_MAX);
    struct notice *notice = &batch->notices[batch->notice_count++];
    notice->conn = fan_index(fan, subscriber);
    notice->kind = (uint8_t)kind;
    return notice;
}

void fan_join(struct fan *fan, uint32_t index, uint32_t encoding)
{
    struct subscriber *subscriber = fan_subscriber(fan, index);
    assert_always(encoding < fan->encoding_count);
    assert_always(subscriber->sub_first == SUB_NONE && subscriber->group_mask == 0);
    *subscriber = (struct subscriber){
        .mode = SUBSCRIBER_OFF,
        .encoding = (uint8_t)encoding,
        .is_due = subscriber->is_due,                 /* It may still be on these lists, */
        .is_pull_queued = subscriber->is_pull_queued, /* which skip what has nothing to do. */
        .extent_first = SUBSCRIBER_NONE,
    };
    subscriber_enter(subscriber, SUBSCRIBER_PUSHED);
}

void fan_leave(struct fan *fan, struct subscriber *subscriber)
{
    subscriber_forget_due(subscriber);
    replayer_forget(fan, subscriber);
    puller_release(fan, subscriber);
    if (subscriber->mode != SUBSCRIBER_OFF) {
        subscriber_enter(subscriber, SUBSCRIBER_OFF);
    }
}

void fan_go_on(struct fan *fan, struct subscriber *subscriber)
{
    if (subscriber->mode == SUBSCRIBER_PAUSED) {
        subscriber_enter(subscriber, SUBSCRIBER_PULLING);
        puller_enqueue(fan, subscriber);
    }
}

void fan_hold(struct fan *fan, struct subscriber *subscriber)
{
    subscriber->is_held = true;
    fanout_settle(fan, subscriber);
    if (subscriber->mode == SUBSCRIBER_PUSHED) {
        puller_start(fan, subscriber, fan_stream(fan, subscriber)->position);
    }
}

void fan_end_hold(struct fan *fan, struct subscriber *subscriber)
{
    subscriber->is_held = false;
    if (subscriber->mode == SUBSCRIBER_PULLING) {
        puller_enqueue(fan, subscriber);
    }
}
