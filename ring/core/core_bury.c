/* Where a connection ends. */
#include "ring/core/core_state.h"
#include "ring/fan/replayer.h"
#include "ring/fan/roster.h"
#include "ring/link/input.h"
#include "ring/link/opening.h"
#include "ring/link/securing.h"
#include "ring/link/tls_in.h"
#include "ring/link/tls_out.h"
#include "ring/trace.h"

/* Of a turn (see core_spend); what is left waits for the next, so that frames go on meanwhile. */
#define CORE_BURY_UNITS 8000
#define CORE_BURY_CONN_UNITS 60
#define CORE_BURY_SUB_UNITS 20

/* It gets no frames any more. Thousands of subscriptions take several turns. */
static void core_bury_subscriber(struct core *core, struct subscriber *subscriber)
{
    core_remove_groups(core, subscriber);
    core_forget_replay(core, fan_index(&core->fan, subscriber));
    roster_leave(&core->fan, subscriber);
    while (subscriber->sub_first != SUB_NONE && !input_slice_is_over(&core->links)) {
        core_remove_sub(core, subscriber, subscriber->sub_first);
        input_spend(&core->links, CORE_BURY_SUB_UNITS);
    }
}

static void core_bury_report(struct core *core, uint32_t conn)
{
    const struct link *link = core_link(core, conn);
    const struct subscriber *subscriber = core_subscriber(core, conn);
    struct core_conn_end end = {
        .close_code = link->close_code != 0 ? link->close_code : 1006,
        .text = link_end_text(link),
        .frames_sent = subscriber->frames_sent,
        .frames_lost = fan_frames_lost(&core->fan, subscriber),
        .frames_conflated = fan_frames_conflated(&core->fan, subscriber),
        .open_ns = core->time.now_ns - (link->opened << STAMP_SHIFT),
    };
    if (link->close_code == 0) {
        counter_add(&core->counters->closed_reset, 1);
    }
    counter_add(&core->counters->closed, 1);
    counter_add(&core->counters->conns_streaming, (uint64_t)-1);
    trace_conn_close(core->options.index, conn, end.close_code, end.text, end.frames_sent,
                     end.frames_lost);
    core->options.ops->on_close(core->options.context, core, conn, &end);
}

static void core_bury_doomed(struct core *core, uint32_t conn)
{
    struct link *link = core_link(core, conn);
    uint32_t encoding = core_subscriber(core, conn)->encoding;
    if (link->has_encoding && encoding != CORE_ENCODING_JSON) {
        core_claims_leave(core->options.claims, encoding);
    }
    if (link->is_tls) {
        securing_end(&core->links, link);
        tls_out_end(&core->links, link);
    }
    link_end(&core->links, link);
    assert_always(!link->was_opened || !link->is_refused);
    if (link->was_opened) {
        core_bury_report(core, conn);
    } else {
        counter_add(&core->counters->opening_left, !link->is_refused);
        trace_conn_close(core->options.index, conn, 0, link_end_text(link), 0, 0);
    }
    if (core->options.ops->on_leave != NULL) {
        core->options.ops->on_leave(core->options.context, core, conn);
    }
}

static void core_bury_one(struct core *core, uint32_t conn)
{
    struct link *link = core_link(core, conn);
    struct subscriber *subscriber = core_subscriber(core, conn);
    assert_always(link->is_ending);
    assert_always(link->stage == LINK_CLOSING || link->stage == LINK_DOOMED ||
                  link->stage == LINK_DRAINING);
    link->is_ending = false;
    core_bury_subscriber(core, subscriber);
    input_release(&core->links, link);
    input_forget(&core->links, link);
    if (link->is_tls) {
        tls_in_release(&core->links, link);
        securing_forget(&core->links, link);
    }
    if (link->awaits_answer) {
        opening_stop_waiting(&core->links, link);
    }
    if (link->stage == LINK_DOOMED) {
        core_bury_doomed(core, conn);
    }
    if (subscriber->sub_first != SUB_NONE) {
        link_list_ending(&core->links, link);
    }
    link_resume_recv(&core->links, link);
    link_on_operation_ended(&core->links, link);
}

void core_bury(struct core *core)
{
    while (core->fan.failed.count > 0) {
        uint32_t conn = conn_queue_pop(&core->fan.failed);
        link_doom_slow(&core->links, core_link(core, conn), "too slow: no room for its positions");
    }
    input_begin_slice(&core->links, CORE_BURY_UNITS);
    while (core->links.ending.count > 0 && !input_slice_is_over(&core->links)) {
        input_spend(&core->links, CORE_BURY_CONN_UNITS);
        core_bury_one(core, conn_queue_pop(&core->links.ending));
    }
}
