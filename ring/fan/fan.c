#include "ring/fan/fan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/memory.h"

static void fan_unmap_all(struct fan *fan)
{
    size_t count = fan->subscriber_count;
    memory_unmap(fan->subscribers, count * sizeof *fan->subscribers);
    memory_unmap(fan->pasts, count * sizeof *fan->pasts);
    for (uint32_t i = 0; i < FAN_PIECE_WORDS; i++) {
        memory_unmap(fan->due_pieces[i], count * sizeof *fan->due_pieces[i]);
    }
    memory_unmap(fan->due, (count + FAN_DUE_SPARE) * sizeof *fan->due);
    memory_unmap(fan->noted, sizeof *fan->noted);
    memory_unmap(fan->pulls.conns, count * sizeof *fan->pulls.conns);
    memory_unmap(fan->failed.conns, count * sizeof *fan->failed.conns);
    memory_unmap(fan->replays, FAN_REPLAYS_MAX * sizeof *fan->replays);
    memory_unmap(fan->batch, sizeof *fan->batch);
}

/* What every subscriber needs is touched now; what grows with use is not. */
static int fan_map_all(struct fan *fan)
{
    size_t count = fan->subscriber_count;
    fan->subscribers = memory_map(count * sizeof *fan->subscribers, MAP_POPULATE);
    fan->pasts = memory_map(count * sizeof *fan->pasts, MAP_NORESERVE);
    bool has_words = true;
    for (uint32_t i = 0; i < FAN_PIECE_WORDS; i++) {
        fan->due_pieces[i] =
            memory_map(count * sizeof *fan->due_pieces[i], i == 0 ? MAP_POPULATE : 0);
        has_words = has_words && fan->due_pieces[i] != NULL;
    }
    fan->due = memory_map((count + FAN_DUE_SPARE) * sizeof *fan->due, MAP_POPULATE);
    fan->noted = memory_map(sizeof *fan->noted, MAP_POPULATE);
    fan->pulls.conns = memory_map(count * sizeof *fan->pulls.conns, 0);
    fan->failed.conns = memory_map(count * sizeof *fan->failed.conns, 0);
    fan->replays = memory_map(FAN_REPLAYS_MAX * sizeof *fan->replays, 0);
    fan->batch = memory_map(sizeof *fan->batch, MAP_POPULATE);
    if (fan->subscribers == NULL || fan->pasts == NULL || !has_words || fan->due == NULL ||
        fan->noted == NULL || fan->pulls.conns == NULL || fan->failed.conns == NULL ||
        fan->replays == NULL || fan->batch == NULL) {
        fan_unmap_all(fan);
        return -ENOMEM;
    }
    fan->pulls.capacity = fan->subscriber_count;
    fan->failed.capacity = fan->subscriber_count;
    for (uint32_t i = 0; i < FAN_REPLAYS_MAX; i++) {
        fan->replays[i].conn = SUBSCRIBER_NONE;
    }
    fan->replay_due_ns = UINT64_MAX;
    return 0;
}

/* The first count of them, which are open. */
static void fan_close_streams(struct fan *fan, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct fan_stream *stream = &fan->streams[i];
        for (uint32_t list = 0; list < FAN_GROUP_LISTS; list++) {
            free(stream->group_lists[list].conns);
        }
        subs_deinit(&stream->subs);
        memory_unmap(stream->channels, stream->log->channel_count_max * sizeof *stream->channels);
    }
}

/* What an encoding takes is touched when it is used. */
static int fan_open_stream(struct fan_stream *stream, struct frame_log *log, bool takes_json,
                           const struct keyed_hash *key)
{
    size_t bytes = log->channel_count_max * sizeof *stream->channels;
    *stream = (struct fan_stream){.log = log, .takes_json = takes_json};
    stream->channels = memory_map(bytes, 0);
    if (stream->channels == NULL) {
        return -ENOMEM;
    }
    int error = subs_init(&stream->subs, log->channel_count_max, key);
    if (error < 0) {
        memory_unmap(stream->channels, bytes);
    }
    return error;
}

int fan_open(struct fan *fan, const struct fan_options *options)
{
    assert_always(options->encoding_count > 0);
    assert_always(options->encoding_count <= FAN_ENCODINGS_MAX);
    assert_always(options->subscriber_count > 0);
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
        error = fan_open_stream(&fan->streams[i], options->logs[i], options->takes_json[i],
                                &options->key);
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
        free(fan->subscribers[i].group_seqs);
    }
    for (uint32_t i = 0; i < FAN_REPLAYS_MAX; i++) {
        free(fan->replays[i].channels);
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
    assert_always(subscriber->mode != SUBSCRIBER_OFF);
    if (!subscriber->has_failed) {
        subscriber->has_failed = true;
        conn_queue_push(&fan->failed, fan_index(fan, subscriber));
    }
}

void fan_forget_due(struct fan *fan, const struct subscriber *subscriber)
{
    uint32_t index = fan_index(fan, subscriber);
    assert_always(subscriber->mode == SUBSCRIBER_PUSHED);
    if (!fan_is_due(fan, subscriber)) {
        return;
    }
    for (uint32_t i = 0; i < fan_piece_words(fan); i++) {
        fan->noted->reached[i] |= fan->due_pieces[i][index];
        fan->due_pieces[i][index] = 0;
    }
}

struct notice *fan_add_notice(struct fan *fan, const struct subscriber *subscriber,
                              enum notice_kind kind)
{
    struct plan_batch *batch = fan->batch;
    assert_always(batch->notice_count < PLAN_NOTICES_MAX);
    assert_debug(fan_index(fan, subscriber) < fan->subscriber_count);
    struct notice *notice = &batch->notices[batch->notice_count++];
    notice->conn = fan_index(fan, subscriber);
    notice->kind = (uint8_t)kind;
    return notice;
}
