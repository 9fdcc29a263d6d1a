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

/* Takes frames that lie side by side, from the one at *index on, while they are next of their
 * channels and begin before a position. Returns where the last of them ends. */
static uint64_t wide_take_stretch(const struct subscriber *subscriber, const struct frame_log *log,
                                  uint64_t *index, uint64_t index_end, uint64_t position_end)
{
    struct progress_seq *seqs = subscriber->group_seqs;
    const uint32_t seq_count = subscriber->group_seqs_count;
    const uint32_t groups = subscriber->group_mask;
    const struct frame_desc *descs = log->descs;
    const uint64_t desc_mask = log->desc_mask;
    uint64_t at = *index;
    uint64_t end = descs[at & desc_mask].position;
    for (; at < index_end && end < position_end; at++) {
        const struct frame_desc *desc = &descs[at & desc_mask];
        uint64_t seq = desc->seq;
        if (desc->position != end || (groups >> desc->group & 1) == 0 ||
            desc->channel >= seq_count) {
            break;
        }
        struct progress_seq *known = &seqs[desc->channel];
        if (known->next != seq || (known->first & PROGRESS_GAP_DUE) != 0) {
            break;
        }
        end += desc->frame_bytes;
        known->next = seq + 1;
    }
    *index = at;
    return end;
}

uint64_t wide_take(struct fan *fan, const struct subscriber *subscriber, struct send_plan *plan,
                   const struct wide_limits *limits)
{
    const struct frame_log *log = fan_stream(fan, subscriber)->log;
    struct plan_batch *batch = fan->batch;
    uint64_t from = plan->to;
    assert_debug(plan->iov_first + plan->iov_count == batch->iov_count);
    while (plan->to < limits->end && plan->bytes < limits->bytes &&
           plan->iov_count < limits->iovs) {
        const struct frame_desc *desc = frame_log_desc(log, plan->to);
        if ((subscriber->group_mask >> desc->group & 1) == 0) {
            plan->to++;
            continue;
        }
        uint64_t first = plan->to;
        uint64_t start = desc->position;
        uint64_t end = wide_take_stretch(subscriber, log, &plan->to, limits->end,
                                         start + limits->bytes - plan->bytes);
        if (plan->to == first) {
            break;
        }
        batch->iovs[batch->iov_count++] = (struct iovec){
            .iov_base = (void *)(uintptr_t)frame_log_at(log, start),
            .iov_len = end - start,
        };
        plan->iov_count++;
        plan->frames += (uint32_t)(plan->to - first);
        plan->bytes += end - start;
    }
    return plan->to - from;
}
