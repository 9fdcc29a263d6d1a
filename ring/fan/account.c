#include "ring/fan/account.h"

#include "codec/base/canary.h"
#include "ring/fan/puller.h"
#include "ring/fan/replayer.h"

/* ---- Where a send stopped ---- */

/* The frame that holds a byte, among those from index from to before to. */
static uint64_t account_find_frame(const struct frame_log *log, uint64_t from, uint64_t to,
                                   uint64_t position)
{
    assert_debug(from < to);
    while (to - from > 1) {
        uint64_t middle = from + (to - from) / 2;
        if (frame_log_desc(log, middle)->position <= position) {
            from = middle;
        } else {
            to = middle;
        }
    }
    return from;
}

/* Returns the index of the first frame of which nothing was sent; the rest of one that was cut
 * leaves as a notice, so that it is finished first. *frames_out: how many left, the cut one
 * included. */
static uint64_t account_find_cut(struct fan *fan, const struct send_plan *plan, uint64_t bytes,
                                 uint32_t *frames_out)
{
    const struct frame_log *log = fan->streams[plan->log].log;
    const struct iovec *iov = &fan->batch->iovs[plan->iov_first];
    assert_always(bytes <= plan->bytes);
    assert_always(plan->from <= plan->to);
    for (uint32_t i = 0; i < plan->iov_count; i++) {
        uint64_t start = frame_log_position(log, plan->from, iov[i].iov_base);
        uint64_t first = account_find_frame(log, plan->from, plan->to, start);
        if (bytes >= iov[i].iov_len) {
            uint64_t last = account_find_frame(log, first, plan->to, start + iov[i].iov_len - 1);
            *frames_out += (uint32_t)(last - first + 1);
            bytes -= iov[i].iov_len;
            continue;
        }
        uint64_t cut = account_find_frame(log, first, plan->to, start + bytes);
        const struct frame_desc *desc = frame_log_desc(log, cut);
        *frames_out += (uint32_t)(cut - first);
        uint64_t sent_of_it = start + bytes - desc->position;
        if (sent_of_it == 0) {
            return cut;
        }
        *frames_out += 1;
        if (CANARY(REST_DROPPED)) {
            return cut + 1;
        }
        struct notice *rest = fan_add_notice(fan, fan_subscriber(fan, plan->conn), NOTICE_COPY);
        rest->frame = frame_log_at(log, desc->position + sent_of_it);
        rest->bytes = (uint32_t)(desc->frame_bytes - sent_of_it);
        return cut + 1;
    }
    return plan->to;
}

/* ---- What a send's end means ---- */

static void account_whole(struct fan *fan, struct subscriber *subscriber,
                          const struct send_plan *plan)
{
    subscriber->frames_sent += plan->frames;
    fan->batch->frames_sent += plan->frames;
    if (plan->kind == SEND_PULL) {
        puller_on_sent(fan, subscriber, plan->to);
    } else if (plan->kind == SEND_REPLAY) {
        replayer_on_sent(fan, subscriber, &fan->streams[plan->log], plan->to);
    }
}

static void account_short(struct fan *fan, struct subscriber *subscriber,
                          const struct send_plan *plan, const struct send_outcome *outcome)
{
    uint32_t frames = 0;
    uint64_t cut = account_find_cut(fan, plan, outcome->bytes, &frames);
    subscriber->frames_sent += frames;
    fan->batch->frames_sent += frames;
    if (plan->kind == SEND_PULL) {
        puller_on_cut(fan, subscriber, cut, plan->to);
    } else if (plan->kind == SEND_REPLAY) {
        replayer_on_sent(fan, subscriber, &fan->streams[plan->log], cut);
        puller_start(fan, subscriber, fan_stream(fan, subscriber)->position);
    } else if (plan->kind == SEND_PUSH) {
        puller_start(fan, subscriber, cut);
    } else if (subscriber->mode == SUBSCRIBER_PUSHED) {
        puller_start(fan, subscriber, fan_stream(fan, subscriber)->position);
    }
    if (!outcome->is_blocked) {
        puller_enqueue(fan, subscriber);
    } else if (subscriber->mode == SUBSCRIBER_PULLING) {
        subscriber_enter(subscriber, SUBSCRIBER_PAUSED);
    }
}

/* What was pushed has been accounted for as it was planned (fanout_plan). */
static void account_pushes(struct fan *fan)
{
    struct plan_batch *batch = fan->batch;
    for (uint32_t i = 0; i < batch->outcome_count; i++) {
        const struct send_outcome *outcome = &batch->outcomes[i];
        const struct send_plan *plan = &batch->plans[outcome->plan];
        struct subscriber *subscriber = fan_subscriber(fan, plan->conn);
        assert_always(plan->kind == SEND_PUSH);
        assert_debug(batch->frames_sent >= plan->frames);
        subscriber->frames_sent -= plan->frames;
        batch->frames_sent -= plan->frames;
        if (outcome->error == 0) {
            account_short(fan, subscriber, plan, outcome);
        }
    }
}

static void account_others(struct fan *fan)
{
    const struct plan_batch *batch = fan->batch;
    const struct send_outcome *outcome = batch->outcomes;
    const struct send_outcome *end = outcome + batch->outcome_count;
    for (uint32_t i = 0; i < batch->plan_count; i++) {
        const struct send_plan *plan = &batch->plans[i];
        struct subscriber *subscriber = fan_subscriber(fan, plan->conn);
        assert_always(plan->kind != SEND_PUSH);
        if (outcome == end || outcome->plan != i) {
            account_whole(fan, subscriber, plan);
            continue;
        }
        if (outcome->error == 0) {
            account_short(fan, subscriber, plan, outcome);
        }
        outcome++;
    }
    assert_always(outcome == end);
}

void account_batch(struct fan *fan)
{
    const struct plan_batch *batch = fan->batch;
    if (batch->plan_count > 0 && batch->plans[0].kind == SEND_PUSH) {
        account_pushes(fan);
    } else {
        account_others(fan);
    }
    if (batch->frames_sent > 0) {
        counter_add(&fan->counters->frames_out, batch->frames_sent);
    }
}
