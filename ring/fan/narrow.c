#include "ring/fan/narrow.h"

#include "ring/fan/progress.h"

static bool narrow_is_narrow(const struct subscriber *subscriber)
{
    return !subscriber->reads_json && subscriber->group_mask == 0 &&
           subscriber->sub_count <= NARROW_SUBS_MAX;
}

/* How many frames of its channels the core has, and it has not got. */
static uint64_t narrow_missing(const struct fan_stream *stream, const struct subscriber *subscriber)
{
    uint64_t missing = 0;
    for (uint32_t number = subscriber->sub_first; number != SUB_NONE;
         number = stream->subs.records[number].conn_next) {
        const struct sub *sub = &stream->subs.records[number];
        uint64_t next_seq = sub->next_seq & PROGRESS_SEQ_MASK;
        uint64_t last_seq = stream->channels[sub->channel].last_seq;
        missing += next_seq <= last_seq ? last_seq + 1 - next_seq : 0;
    }
    return missing;
}

/* 1 + the index of the frame before, of the same channel; 0: it is out of reach. */
static inline uint64_t narrow_back(const struct frame_desc *desc, uint64_t index_plus_1)
{
    return desc->previous_distance == 0 ? 0 : index_plus_1 - desc->previous_distance;
}

static void narrow_add_list(struct narrow *narrow, const struct fan_stream *stream,
                            const struct sub *sub)
{
    uint64_t next_seq = sub->next_seq & PROGRESS_SEQ_MASK;
    uint64_t at = stream->channels[sub->channel].last_index_plus_1;
    uint32_t first = narrow->frame_count;
    while (at > narrow->base) {
        const struct frame_desc *desc = frame_log_desc(stream->log, at - 1);
        assert_always(desc->channel == sub->channel);
        if (desc->seq < next_seq) {
            break;
        }
        assert_always(narrow->frame_count < NARROW_FRAMES_MAX);
        narrow->distances[narrow->frame_count++] = (uint32_t)(at - 1 - narrow->base);
        at = narrow_back(desc, at);
    }
    narrow->first[narrow->list_count] = first;
    narrow->left[narrow->list_count++] = narrow->frame_count - first;
}

bool narrow_begin(struct narrow *narrow, struct fan *fan, const struct subscriber *subscriber)
{
    const struct fan_stream *stream = fan_stream(fan, subscriber);
    if (!narrow_is_narrow(subscriber)) {
        return false;
    }
    uint64_t missing = narrow_missing(stream, subscriber);
    assert_always(subscriber->cursor <= stream->position);
    if (missing > NARROW_FRAMES_MAX ||
        missing * NARROW_SHARE > stream->position - subscriber->cursor) {
        return false;
    }
    narrow->base = subscriber->cursor;
    narrow->end = stream->position;
    narrow->list_count = 0;
    narrow->frame_count = 0;
    for (uint32_t number = subscriber->sub_first; number != SUB_NONE;
         number = stream->subs.records[number].conn_next) {
        narrow_add_list(narrow, stream, &stream->subs.records[number]);
    }
    return true;
}

uint64_t narrow_next(struct narrow *narrow)
{
    uint32_t oldest = UINT32_MAX;
    uint32_t distance = UINT32_MAX;
    for (uint32_t list = 0; list < narrow->list_count; list++) {
        if (narrow->left[list] > 0) {
            uint32_t last = narrow->distances[narrow->first[list] + narrow->left[list] - 1];
            if (last < distance) {
                distance = last;
                oldest = list;
            }
        }
    }
    if (oldest == UINT32_MAX) {
        return narrow->end;
    }
    narrow->left[oldest]--;
    return narrow->base + distance;
}

bool narrow_walk(struct fan *fan, struct subscriber *subscriber, uint64_t from, uint64_t to,
                 void (*on_frame)(struct fan *fan, struct subscriber *subscriber, uint64_t index,
                                  const struct frame_desc *desc))
{
    const struct fan_stream *stream = fan_stream(fan, subscriber);
    uint64_t steps_left = to - from;
    assert_always(from <= to);
    if (!narrow_is_narrow(subscriber) || narrow_missing(stream, subscriber) > steps_left) {
        return false;
    }
    for (uint32_t number = subscriber->sub_first; number != SUB_NONE;
         number = stream->subs.records[number].conn_next) {
        uint64_t at = stream->channels[stream->subs.records[number].channel].last_index_plus_1;
        for (; at > from && steps_left > 0; steps_left--) {
            const struct frame_desc *desc = frame_log_desc(stream->log, at - 1);
            if (at <= to) {
                fan->linked_cuts++;
                on_frame(fan, subscriber, at - 1, desc);
            }
            at = narrow_back(desc, at);
        }
        if (at > from) {
            return false;
        }
    }
    return true;
}
