#include "ring/fan/wide.h"

#include "ring/fan/progress.h"

bool wide_is_wide(const struct subscriber *subscriber)
{
    if (subscriber->sub_count > 0 || subscriber->reads_json) {
        return false;
    }
    for (uint32_t group = 0; group < SUBSCRIBER_GROUPS_MAX; group++) {
        if ((subscriber->group_mask & (1u << group)) != 0 &&
            subscriber_group_policy(subscriber, group) == LAG_CONFLATE) {
            return false;
        }
    }
    return subscriber->group_mask != 0;
}

/* Whether it is the next frame of its channel, so that no GAP is due before it. */
static inline bool wide_follows(const struct progress_seq *seq, const struct frame_desc *desc)
{
    return seq->next == desc->seq && (seq->first & PROGRESS_GAP_DUE) == 0;
}

uint64_t wide_take(struct fan *fan, struct subscriber *subscriber, struct send_plan *plan,
                   const struct wide_limits *limits)
{
    const struct frame_log *log = fan_stream(fan, subscriber)->log;
    const struct frame_desc *descs = log->descs;
    const uint64_t desc_mask = log->desc_mask;
    const struct wide_limits most = *limits;
    struct progress_seq *seqs = subscriber->group_seqs;
    const uint32_t seq_count = subscriber->group_seqs_count;
    const uint32_t groups = subscriber->group_mask;
    struct iovec *iov = &fan->batch->iovs[fan->batch->iov_count]; /* after the last */
    uint32_t iov_count = plan->iov_count;
    uint64_t bytes = plan->bytes;
    uint32_t frames = plan->frames;
    uint64_t end = UINT64_MAX; /* of the last stretch, a position */
    uint64_t index = plan->to;
    assert_debug(index <= most.end);
    for (; index < most.end && bytes < most.bytes; index++) {
        const struct frame_desc *desc = &descs[index & desc_mask];
        if ((groups >> desc->group & 1) == 0) {
            continue;
        }
        if (desc->channel >= seq_count || !wide_follows(&seqs[desc->channel], desc)) {
            break;
        }
        if (desc->position != end) {
            if (iov_count == most.iovs) {
                break;
            }
            *iov++ =
                (struct iovec){.iov_base = (void *)(uintptr_t)frame_log_at(log, desc->position)};
            iov_count++;
        }
        seqs[desc->channel].next = desc->seq + 1;
        iov[-1].iov_len += desc->frame_bytes;
        end = desc->position + desc->frame_bytes;
        bytes += desc->frame_bytes;
        frames++;
    }
    uint64_t looked_at = index - plan->to;
    fan->batch->iov_count += iov_count - plan->iov_count;
    plan->iov_count = iov_count;
    plan->bytes = bytes;
    plan->frames = frames;
    plan->to = index;
    return looked_at;
}
