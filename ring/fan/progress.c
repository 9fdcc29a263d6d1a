#include "ring/fan/progress.h"

#include <stdlib.h>

static uint32_t progress_capacity(uint32_t channel_count)
{
    uint32_t capacity = 64;
    while (capacity < channel_count) {
        capacity *= 2;
    }
    return capacity;
}

bool progress_grow(struct fan *fan, struct subscriber *subscriber, uint32_t channel_count)
{
    if (channel_count <= subscriber->group_seqs_count) {
        return true;
    }
    struct fan_stream *stream = fan_stream(fan, subscriber);
    uint32_t capacity = progress_capacity(channel_count);
    uint64_t grown_bytes =
        (capacity - subscriber->group_seqs_count) * sizeof *subscriber->group_seqs;
    struct progress_seq *seqs = NULL;
    if (fan->group_seqs_bytes + grown_bytes <= PROGRESS_SEQS_BYTES_MAX) {
        seqs = realloc(subscriber->group_seqs, capacity * sizeof *seqs);
    }
    if (seqs == NULL) {
        fan_fail(fan, subscriber);
        return false;
    }
    /* A table that grows does so for channels that are new since: all of theirs is to be got. */
    bool is_new = subscriber->group_seqs_count == 0;
    for (uint32_t channel = subscriber->group_seqs_count; channel < capacity; channel++) {
        seqs[channel] = (struct progress_seq){
            .next = is_new ? stream->channels[channel].last_seq + 1 : 1,
            .first = 1,
        };
    }
    subscriber->group_seqs = seqs;
    subscriber->group_seqs_count = capacity;
    fan->group_seqs_bytes += grown_bytes;
    return true;
}

struct progress_seq *progress_group_seq(struct fan *fan, struct subscriber *subscriber,
                                        uint32_t channel)
{
    return progress_grow(fan, subscriber, channel + 1) ? &subscriber->group_seqs[channel] : NULL;
}

void progress_release(struct fan *fan, struct subscriber *subscriber)
{
    assert_always(fan->group_seqs_bytes >=
                  subscriber->group_seqs_count * sizeof(struct progress_seq));
    fan->group_seqs_bytes -= subscriber->group_seqs_count * sizeof *subscriber->group_seqs;
    free(subscriber->group_seqs);
    subscriber->group_seqs = NULL;
    subscriber->group_seqs_count = 0;
    subscriber->is_sweeping = false;
    subscriber->in_history = false;
    subscriber->reads_json = false;
    subscriber->lag_is_reported = false;
}

bool progress_find_any(struct fan *fan, struct subscriber *subscriber, uint32_t channel,
                       uint32_t group, struct progress_entry *entry)
{
    assert_debug(group < SUBSCRIBER_GROUPS_MAX);
    struct fan_stream *stream = fan_stream(fan, subscriber);
    uint32_t sub = subscriber->sub_count > 0
                       ? subs_find(&stream->subs, fan_index(fan, subscriber), channel)
                       : SUB_NONE;
    bool by_group = (subscriber->group_mask & (1u << group)) != 0;
    if (sub == SUB_NONE && !by_group) {
        return false;
    }
    struct sub *record = sub == SUB_NONE ? NULL : &stream->subs.records[sub];
    entry->policy = record != NULL ? record->policy : subscriber_group_policy(subscriber, group);
    if (!by_group) {
        entry->next = &record->next_seq;
        entry->first = &record->first_seq;
        return true;
    }
    struct progress_seq *seq = progress_group_seq(fan, subscriber, channel);
    if (seq == NULL) {
        return false;
    }
    entry->next = &seq->next;
    entry->first = &seq->first;
    return true;
}

void progress_sweep(struct subscriber *subscriber)
{
    subscriber->is_sweeping = true;
    subscriber->sweep_sub = subscriber->sub_first;
    subscriber->sweep_channel = 0;
}

void progress_lose(struct subscriber *subscriber, const struct progress_entry *entry,
                   uint64_t from_seq, uint64_t next_seq, enum gap_reason reason)
{
    if ((*entry->first & PROGRESS_GAP_DUE) == 0) {
        *entry->first = from_seq | PROGRESS_GAP_DUE | (uint64_t)reason << PROGRESS_REASON_SHIFT;
    }
    *entry->next = next_seq;
    progress_sweep(subscriber);
}
