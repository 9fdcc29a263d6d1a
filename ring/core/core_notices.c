/* What fan has to tell becomes text, and waits for its link. */
#include <inttypes.h>
#include <stdio.h>

#include "codec/base/canary.h"
#include "ring/core/core_state.h"
#include "ring/fan/replayer.h"
#include "ring/trace.h"

#define CORE_NOTICES_GAP_BYTES_MAX 256

static void core_notices_gap(struct core *core, const struct notice *notice)
{
    static const char *const words[] = {
        [GAP_OVERRUN] = "overrun",
        [GAP_LAG] = "lag",
        [GAP_RESTART] = "restart",
    };
    char text[CORE_NOTICES_GAP_BYTES_MAX];
    size_t bytes =
        core->options.ops->write_gap(core->options.context, text, notice->channel, notice->from_seq,
                                     notice->to_seq, words[notice->reason]);
    assert_always(bytes <= sizeof text);
    trace_gap(core->options.index, notice->conn, notice->channel, notice->from_seq,
              notice->to_seq - notice->from_seq + 1, notice->reason);
    if (!CANARY(GAP_UNSENT)) {
        link_queue_frame(&core->links, core_link(core, notice->conn), WS_TEXT, text, bytes);
    }
}

static void core_notices_recode(struct core *core, const struct notice *notice)
{
    uint32_t bytes = notice->bytes;
    uint32_t encoding = core_subscriber(core, notice->conn)->encoding;
    const uint8_t *frame = core->options.ops->recode(core->options.context, encoding, notice->desc,
                                                     notice->frame, &bytes);
    link_queue(&core->links, core_link(core, notice->conn), frame, bytes);
}

static void core_notices_slow(struct core *core, uint32_t conn)
{
    struct core_lag lag;
    char reason[WS_CONTROL_BYTES_MAX];
    core_conn_lag(core, conn, &lag);
    snprintf(reason, sizeof reason, "slow;cause=%s;lag_ms=%" PRIu64, lag_cause_text(lag.cause),
             lag.ms);
    counter_add(&core->counters->closed_slow, 1);
    link_close(&core->links, core_link(core, conn), 4108, reason, "too slow");
}

static void core_notices_lag(struct core *core, uint32_t conn)
{
    struct core_lag lag;
    core_conn_lag(core, conn, &lag);
    trace_lag(core->options.index, conn, lag.ms, lag.cause);
    core->options.ops->on_lag(core->options.context, core, conn, &lag);
}

static void core_notices_one(struct core *core, const struct notice *notice)
{
    switch ((enum notice_kind)notice->kind) {
    case NOTICE_GAP:
        core_notices_gap(core, notice);
        break;
    case NOTICE_COPY:
        link_queue(&core->links, core_link(core, notice->conn), notice->frame, notice->bytes);
        break;
    case NOTICE_RECODE:
        core_notices_recode(core, notice);
        break;
    case NOTICE_LAG:
        core_notices_lag(core, notice->conn);
        break;
    case NOTICE_SLOW:
        core_notices_slow(core, notice->conn);
        break;
    case NOTICE_REPLAY_END:
        core_end_replay(core, notice->conn, notice->is_whole);
        break;
    }
}

void core_notices(struct core *core)
{
    struct plan_batch *batch = core->fan.batch;
    for (uint32_t i = 0; i < batch->notice_count; i++) {
        core_notices_one(core, &batch->notices[i]);
    }
    batch->notice_count = 0;
}
