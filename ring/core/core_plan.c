/* The sends of a turn, batch by batch: what is new, what waits for single connections, those that
 * are behind, and replays. */
#include "ring/core/core_state.h"
#include "ring/fan/account.h"
#include "ring/fan/fanout.h"
#include "ring/fan/puller.h"
#include "ring/fan/replayer.h"
#include "ring/link/sender.h"
#include "ring/trace.h"

/* ---- Batches ---- */

/* Between batches completions are reaped, so that pings and control messages do not wait for a long
 * scatter; and a batch needs room for its own completions: mostly the first that a submit posts. */
static void core_begin_batch(struct core *core)
{
    if (core->step_has_begun) {
        core_reap(core);
    }
    core->step_has_begun = true;
    while (__builtin_expect(!sender_has_room(&core->links), 0)) {
        core_reap(core);
        links_enter(&core->links, 0);
    }
}

static bool core_has_planned(const struct core *core)
{
    return core->fan.batch->plan_count > 0 || core->fan.batch->notice_count > 0;
}

/* ---- New frames ---- */

static inline uint64_t core_since(uint64_t now_ns, uint64_t then_ns)
{
    return now_ns > then_ns ? now_ns - then_ns : 0;
}

/* Each frame that was due to a subscriber counts once, all with the times of the oldest. The clock
 * was last read before the first send, and is read again now. The stages are between these two
 * readings, so that flush is the sum of wait and scatter. */
static void core_count_flush(struct core *core, const struct frame_log *log)
{
    const struct fanout_reach reach = fanout_reach(&core->fan);
    const struct core_time begin = core->time;
    if (reach.frames == 0) {
        return;
    }
    core_read_clock(core);
    uint64_t end_ns = begin.wall_ns + (core->time.now_ns - begin.now_ns);
    uint64_t oldest_ns = frame_log_desc(log, reach.first)->ts_pub_ns;
    uint64_t newest_ns = frame_log_desc(log, reach.last)->ts_pub_ns;
    uint64_t wait_ns = core_since(begin.wall_ns, oldest_ns);
    uint64_t flush_ns = core_since(end_ns, oldest_ns);
    assert_debug(flush_ns >= wait_ns);
    struct core_counters *counters = core->counters;
    counters_histogram_add(&counters->wait, wait_ns, reach.frames);
    counters_histogram_add(&counters->scatter, flush_ns - wait_ns, reach.frames);
    counters_histogram_add(&counters->flush, flush_ns, reach.frames);
    counters_histogram_add(&counters->flush_newest, core_since(end_ns, newest_ns), reach.frames);
}

#define CORE_PUSHES (CORE_ENCODING_JSON_DEFLATE + 1)

/* SBE first: its clients asked for speed. JSON and compressed JSON take turns behind it. */
static const uint8_t core_push_orders[2][CORE_PUSHES] = {
    {CORE_ENCODING_SBE, CORE_ENCODING_JSON, CORE_ENCODING_JSON_DEFLATE},
    {CORE_ENCODING_SBE, CORE_ENCODING_JSON_DEFLATE, CORE_ENCODING_JSON},
};

/* A turn pushes what there is when it begins, so that no encoding gets a tick a turn earlier than
 * SBE. The writer shows the JSON frames last, and their head is read first. */
static void core_see_heads(struct core *core)
{
    static_assert(CORE_ENCODING_JSON == 0, "its head is read first");
    assert_debug(core->options.encoding_count <= CORE_PUSHES);
    for (uint32_t i = 0; i < core->options.encoding_count; i++) {
        core->push_heads[i] = frame_log_head(core->fan.streams[i].log);
    }
}

/* Notes new frames of a stream. They stay pinned until they are sent, so that it is known exactly
 * which of them a connection has not received when its socket fills up. */
static bool core_begin_push(struct core *core, uint32_t encoding)
{
    struct fan_stream *stream = &core->fan.streams[encoding];
    struct frame_log *log = stream->log;
    uint64_t head = core->push_heads[encoding];
    if (stream->position >= head || !core_follow_run(core, encoding)) {
        return false;
    }
    core->has_pushed = true;
    /* After the head: a channel exists before its first frame is published. */
    core_see_channels(core);
    if (!frame_log_pin(log, core->options.index, stream->position)) {
        counter_add(&core->counters->core_laps, 1);
        core_log(core, 2, "performance: the frame log overran core %u: its clients receive GAPs",
                 core->options.index);
        uint64_t position = stream->position;
        core_resync(core, stream);
        trace_core_lap(core->options.index, encoding, position, stream->position);
        return false;
    }
    trace_turn_begin(core->options.index, encoding, stream->position, head);
    fanout_note(&core->fan, stream, head);
    core->step_sharers = core->fan.due_count;
    trace_turn(core->options.index, stream->position - stream->batch_first, core->fan.due_count,
               encoding, stream->batch_first);
    return true;
}

static void core_end_push(struct core *core, uint32_t encoding)
{
    struct fan_stream *stream = &core->fan.streams[encoding];
    uint64_t began_ns = core->time.now_ns;
    assert_always(!fanout_has_due(&core->fan));
    core_count_flush(core, stream->log);
    trace_turn_end(core->options.index, encoding, stream->batch_first,
                   stream->position - stream->batch_first, core->fan.due_count,
                   core->time.now_ns - began_ns);
    stream->batch_first = stream->position;
    frame_log_unpin(stream->log, core->options.index);
    if (encoding == CORE_ENCODING_JSON) {
        counter_set(&core->counters->position, stream->position);
    }
}

static bool core_plan_push(struct core *core)
{
    const uint8_t *order = core_push_orders[core->push_turns % 2];
    if (core->step_stream == 0 && core->step_batch_max == 0) {
        core_see_heads(core);
    }
    for (; core->step_stream < CORE_PUSHES; core->step_stream++) {
        uint32_t encoding = order[core->step_stream];
        if (core->step_batch_max == 0) {
            if (encoding >= core->options.encoding_count || !core_begin_push(core, encoding)) {
                continue;
            }
            core->step_batch_max = PLAN_FIRST_BATCH;
        }
        if (fanout_has_due(&core->fan)) {
            core_begin_batch(core);
        }
        const struct fan_stream *stream = &core->fan.streams[encoding];
        if (fanout_plan(&core->fan, stream, core->step_batch_max) > 0) {
            core->step_batch_max = PLAN_BATCH_MAX;
            return true;
        }
        core_end_push(core, encoding);
        core->step_batch_max = 0;
    }
    return false;
}

/* ---- What waits for single connections ---- */

static void core_plan_own_of(struct core *core, uint32_t conn)
{
    struct link *link = core_link(core, conn);
    struct subscriber *subscriber = core_subscriber(core, conn);
    struct plan_batch *batch = core->fan.batch;
    link->is_ready = false;
    if (!link_is_open(link) || link->flow != LINK_CLEAR ||
        links_waiting_bytes(&core->links, link) == 0) {
        return;
    }
    if (link->stage == LINK_STREAMING && subscriber->mode == SUBSCRIBER_PULLING) {
        puller_enqueue(&core->fan, subscriber); /* Its next pull takes that along. */
        return;
    }
    batch->plans[batch->plan_count++] = (struct send_plan){
        .conn = conn,
        .iov_first = batch->iov_count,
        .kind = SEND_OWN,
        .log = subscriber->encoding,
    };
}

/* Subscribers that become ready meanwhile are served in the next turn. */
static bool core_plan_own(struct core *core)
{
    if (!core->step_has_begun) {
        if (core->options.ops->on_turn != NULL) {
            core->options.ops->on_turn(core->options.context, core, core->time.now_ns);
        }
        core->step_left = core->links.ready.count;
    }
    if (core->step_left > 0) {
        core_begin_batch(core);
    }
    for (; core->step_left > 0 && fan_has_room(core->fan.batch); core->step_left--) {
        core_plan_own_of(core, conn_queue_pop(&core->links.ready));
    }
    return core_has_planned(core);
}

/* ---- Those that are behind ---- */

static struct link_view core_view(struct core *core, uint32_t conn)
{
    const struct link *link = core_link(core, conn);
    return (struct link_view){
        .waiting_bytes = links_waiting_bytes(&core->links, link),
        .lend_bytes =
            core_may_lend(core) ? sender_lend_alone_bytes(&core->links, link) : UINT32_MAX,
    };
}

static bool core_plan_pull(struct core *core)
{
    struct fan *fan = &core->fan;
    if (!core->step_has_begun) {
        fan->pull_steps = 0;
        core->step_sharers = fan->pulls.count;
        core->step_left =
            fan->pulls.count < PULLER_CONNS_PER_TURN ? fan->pulls.count : PULLER_CONNS_PER_TURN;
    }
    if (core->step_left > 0) {
        core_begin_batch(core);
    }
    for (; core->step_left > 0 && fan->pulls.count > 0 && fan->pull_steps < PULLER_TURN_STEPS &&
           fan_has_room(fan->batch);
         core->step_left--) {
        uint32_t conn = conn_queue_pop(&fan->pulls);
        struct subscriber *subscriber = core_subscriber(core, conn);
        struct link_view view = core_view(core, conn);
        subscriber->is_pull_queued = false;
        if (subscriber->mode == SUBSCRIBER_PULLING && core_is_streaming(core, conn)) {
            assert_always(core_link(core, conn)->flow == LINK_CLEAR);
            puller_plan(fan, subscriber, &view);
        }
    }
    if (core_has_planned(core)) {
        return true;
    }
    if (core->step_has_begun) {
        fan_unpin(fan);
        counter_set(&core->counters->conns_pulling, fan->pulls.count);
    }
    return false;
}

/* ---- Replays ---- */

static void core_plan_next_replay(struct core *core)
{
    struct fan *fan = &core->fan;
    struct replay *replay = &fan->replays[fan->replay_next++ % FAN_REPLAYS_MAX];
    if (replay->conn == SUBSCRIBER_NONE || !core_is_streaming(core, replay->conn)) {
        return;
    }
    struct link_view view = core_view(core, replay->conn);
    core->step_bytes += replayer_plan(fan, replay, &view);
}

static bool core_plan_replays(struct core *core)
{
    struct fan *fan = &core->fan;
    if (!core->step_has_begun) {
        fan->replay_due_ns = UINT64_MAX;
        core->step_left = fan->replay_count > 0 ? FAN_REPLAYS_MAX : 0;
        core->step_bytes = 0;
        core->step_sharers = fan->replay_count;
    }
    if (core->step_left > 0) {
        core_begin_batch(core);
    }
    for (; core->step_left > 0 && fan_has_room(fan->batch); core->step_left--) {
        if (core->step_bytes >= REPLAYER_TURN_BYTES_MAX) {
            fan->replay_due_ns = core->time.now_ns;
            core->step_left = 0;
            break;
        }
        core_plan_next_replay(core);
    }
    if (core_has_planned(core)) {
        return true;
    }
    if (core->step_has_begun) {
        fan_unpin(fan);
    }
    return false;
}

/* ---- A turn ---- */

bool core_plan(struct core *core)
{
    static bool (*const steps[])(struct core * core) = {
        [SEND_PUSH] = core_plan_push,
        [SEND_OWN] = core_plan_own,
        [SEND_PULL] = core_plan_pull,
        [SEND_REPLAY] = core_plan_replays,
    };
    struct plan_batch *batch = core->fan.batch;
    assert_always(batch->notice_count == 0);
    batch->plan_count = 0;
    batch->iov_count = 0;
    batch->frames_sent = 0;
    for (; core->step < sizeof steps / sizeof steps[0]; core->step++) {
        if (steps[core->step](core)) {
            return true;
        }
        core->step_has_begun = false;
    }
    core->step = 0;
    core->step_stream = 0;
    core->push_turns += core->has_pushed;
    return false;
}

void core_send(struct core *core)
{
    const counter *bytes_out = &core->counters->bytes_out;
    struct plan_batch *batch = core->fan.batch;
    core_notices(core);
    trace_batch_begin(core->options.index, batch->plan_count);
    uint64_t bytes_before = counter_get(bytes_out);
    sender_send(&core->links, batch);
    account_batch(&core->fan);
    core_notices(core);
    trace_batch_submitted(core->options.index, batch->plan_count, batch->outcome_count,
                          counter_get(bytes_out) - bytes_before, core->step);
}
