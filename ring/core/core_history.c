/* What src may ask of the past: going on after a seq, replays, newest frames. */
#include <errno.h>
#include <stdlib.h>

#include "ring/core/core_state.h"
#include "ring/fan/fanout.h"
#include "ring/fan/history.h"
#include "ring/fan/replayer.h"
#include "ring/trace.h"

static int core_resume_channel(struct core *core, uint32_t conn, const struct core_resume *resume)
{
    struct history_reach reach;
    struct subscriber *subscriber = core_subscriber(core, conn);
    history_find_reach(&core->fan, subscriber, resume->channel, &reach);
    if (resume->is_same_epoch && resume->seq > reach.newest_seq) {
        return -ERANGE;
    }
    struct core_subscription wanted = {.channel = resume->channel,
                                       .group = resume->group,
                                       .policy = resume->policy,
                                       .tag = resume->tag};
    if (core_subscribe(core, conn, &wanted) < 0) {
        return -ENOSPC;
    }
    core_set_subscription(core, conn, resume->channel, resume->policy, resume->tag);
    return history_resume(&core->fan, subscriber, resume->channel, resume->group,
                          resume->is_same_epoch ? resume->seq + 1 : 1, resume->is_same_epoch,
                          &reach);
}

int core_resume(struct core *core, uint32_t conn, const struct core_resume *resume)
{
    if (!core_is_streaming(core, conn)) {
        return 0;
    }
    int result = core_resume_channel(core, conn, resume);
    trace_resume(core->options.index, conn, resume->channel, resume->seq, result);
    return result;
}

/* ---- Replays ---- */

/* A channel that is replayed has a subscriber more (1) or less (-1). */
static void core_count_replayed(struct core *core, const struct core_replayed *channels,
                                uint32_t count, int change)
{
    for (uint32_t i = 0; i < count; i++) {
        core_tell_subscriber(core, channels[i].channel, change);
    }
}

int core_replay(struct core *core, uint32_t conn, const struct core_replay *replay,
                const struct core_replayed *channels, uint32_t count)
{
    if (!core_is_streaming(core, conn)) {
        return 0;
    }
    int error = replayer_start(&core->fan, core_subscriber(core, conn), replay, channels, count);
    if (error == 0) {
        core_count_replayed(core, channels, count, 1);
    }
    return error;
}

void core_forget_replay(struct core *core, uint32_t conn)
{
    struct replay ended;
    if (core_subscriber(core, conn)->is_replayed) {
        struct core_replayed *channels =
            replayer_end(&core->fan, core_subscriber(core, conn), &ended);
        core_count_replayed(core, channels, ended.channel_count, -1);
        free(channels);
    }
}

void core_stop_replay(struct core *core, uint32_t conn)
{
    core_forget_replay(core, conn);
}

/* The subscriber whose replay is asked for its channels. */
struct core_keeper {
    struct core *core;
    bool (*keeps)(void *context, uint32_t channel);
    void *context;
};

static bool core_keeps(void *context, uint32_t channel)
{
    const struct core_keeper *keeper = context;
    bool is_kept = keeper->keeps(keeper->context, channel);
    if (!is_kept) {
        core_tell_subscriber(keeper->core, channel, -1);
    }
    return is_kept;
}

uint32_t core_limit_replay(struct core *core, uint32_t conn,
                           bool (*keeps)(void *context, uint32_t channel), void *context)
{
    struct core_keeper keeper = {.core = core, .keeps = keeps, .context = context};
    return replayer_limit(&core->fan, core_subscriber(core, conn), core_keeps, &keeper);
}

static bool core_is_covered(struct core *core, uint32_t conn, const struct core_replayed *channel)
{
    return core_subscription_tag(core, conn, channel->channel) >= 0 ||
           (core_subscriber(core, conn)->group_mask & (1u << channel->group)) != 0;
}

/* Live frames follow on what was sent, unless a range was asked for. */
void core_end_replay(struct core *core, uint32_t conn, bool is_whole)
{
    struct replay ended;
    struct core_replayed *channels = replayer_end(&core->fan, core_subscriber(core, conn), &ended);
    for (uint32_t i = 0; ended.wanted.to == 0 && i < ended.channel_count; i++) {
        struct core_replayed *channel = &channels[i];
        struct core_resume resume = {
            .channel = channel->channel,
            .group = channel->group,
            .policy = channel->policy,
            .tag = channel->tag,
            .is_same_epoch = true,
            .seq = channel->last_seq,
        };
        channel->result =
            core_is_covered(core, conn, channel) ? -EEXIST : core_resume(core, conn, &resume);
        if (channel->result >= 0) {
            core_set_max_lag(core, conn, channel->channel, channel->max_lag_ms);
        }
    }
    core->options.ops->on_replay_end(core->options.context, core, conn, channels,
                                     ended.channel_count, is_whole);
    core_count_replayed(core, channels, ended.channel_count, -1);
    free(channels);
}

uint64_t core_log_begins_ns(struct core *core)
{
    struct frame_log *log = fan_json(&core->fan)->log;
    uint64_t pinned = frame_log_pinned(log, core->options.index);
    uint64_t oldest = frame_log_pin_oldest(log, core->options.index);
    uint64_t ns = core->time.wall_ns;
    if (oldest < frame_log_head(log)) {
        ns = frame_log_desc(log, oldest)->ts_pub_ns;
    }
    frame_log_pin_again(log, core->options.index, pinned);
    return ns;
}

/* ---- Newest frames ---- */

static bool core_has_snapshot_room(struct core *core, uint32_t conn, uint64_t bytes)
{
    return links_waiting_bytes(&core->links, core_link(core, conn)) + bytes <=
               CORE_SNAPSHOT_BYTES_MAX &&
           core_has_room(core, conn, bytes);
}

uint64_t core_find_snapshots(struct core *core, uint32_t conn, struct core_snapshot *snapshots,
                             uint32_t count)
{
    struct subscriber *subscriber = core_subscriber(core, conn);
    struct frame_log *log = core_stream(core, conn)->log;
    uint64_t pinned = frame_log_pinned(log, core->options.index);
    uint64_t oldest = frame_log_pin_oldest(log, core->options.index);
    uint64_t bytes = 0;
    fanout_settle(&core->fan, subscriber);
    for (uint32_t i = 0; i < count; i++) {
        struct core_snapshot *snapshot = &snapshots[i];
        history_find_snapshot(&core->fan, subscriber, oldest, snapshot);
        if (snapshot->error == 0 &&
            !core_has_snapshot_room(core, conn, bytes + snapshot->frame_bytes)) {
            snapshot->error = -EAGAIN;
        }
        bytes += snapshot->error == 0 ? snapshot->frame_bytes : 0;
    }
    return pinned;
}

void core_send_snapshots(struct core *core, uint32_t conn, const struct core_snapshot *snapshots,
                         uint32_t count, uint64_t pinned)
{
    struct link *link = core_link(core, conn);
    for (uint32_t i = 0; i < count && core_is_streaming(core, conn); i++) {
        if (snapshots[i].error == 0) {
            trace_snapshot(core->options.index, conn, snapshots[i].channel, snapshots[i].as_of);
            link_queue(&core->links, link, snapshots[i].frame, snapshots[i].frame_bytes);
            puller_count_copy(&core->fan, core_subscriber(core, conn));
        }
    }
    frame_log_pin_again(core_stream(core, conn)->log, core->options.index, pinned);
}
