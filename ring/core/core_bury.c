/* Where a connection ends. */
#include "ring/core/core_state.h"
#include "ring/fan/replayer.h"
#include "ring/link/conn_handshake.h"

/* Of a turn (see core_spend); what is left waits for the next, so that frames go on meanwhile. */
#define CORE_BURY_UNITS 8000
#define CORE_BURY_CONN_UNITS 60
#define CORE_BURY_SUB_UNITS 4

/* It gets no frames any more, and what it has sent is forgotten. Thousands of subscriptions take
 * several turns. */
static void core_bury_interest(struct core *core, struct conn *conn)
{
    for (uint32_t group = 0; group < CORE_GROUPS_MAX; group++) {
        if ((conn->group_mask & (1u << group)) != 0) {
            core_remove_group(core, conn, group);
        }
    }
    while (conn->sub_first != SUB_NONE && !core_slice_is_over(core)) {
        core_remove_sub(core, conn, conn->sub_first);
        core_spend(core, CORE_BURY_SUB_UNITS);
    }
    if (conn->reads_json) {
        conn->cursor = core_stream(core, conn)->position;
    }
    conn->sweeping = false;
    conn->in_history = false;
    conn->reads_json = false;
    replayer_forget(core, conn);
    conn_release_input(core, conn);
    conn_forget_unread(core, conn);
}

static void core_bury_report(struct core *core, const struct conn *conn)
{
    struct core_conn_end end = {
        .close_code = conn->close_code != 0 ? conn->close_code : 1006,
        .text = conn->close_text,
        .frames_sent = conn->frames_sent,
        .frames_lost = conn->frames_lost,
        .frames_conflated = conn->frames_conflated,
        .open_ns = core->time.now_ns - conn->opened_ns,
    };
    if (conn->close_code == 0) {
        counter_add(&core->counters->closed_reset, 1);
    }
    counter_add(&core->counters->closed, 1);
    counter_add(&core->counters->conns_streaming, (uint64_t)-1);
    core->options.ops->on_close(core->options.context, core, conn_index(core, conn), &end);
}

static void core_bury_doomed(struct core *core, struct conn *conn)
{
    sender_forget_due(conn);
    puller_release(core, conn);
    if (conn->awaits_encoding) {
        conn_handshake_stop_waiting(core, conn);
    }
    if (conn->has_encoding) {
        atomic_fetch_sub(&core_stream(core, conn)->encoding->conn_count, 1);
    }
    out_chain_clear(&core->out_pool, &conn->out);
    timer_disarm(&core->wheel, &conn->timer);
    conn_enter(core, conn, CONN_DRAINING);
    if (conn->was_opened) {
        core_bury_report(core, conn);
    }
    if (core->options.ops->on_leave != NULL) {
        core->options.ops->on_leave(core->options.context, core, conn_index(core, conn));
    }
    if (conn->recv_armed) {
        conn_cancel(core, conn, OP_RECV);
    }
    if (conn->writable_armed) {
        conn_cancel(core, conn, OP_WRITABLE);
    }
}

void core_bury(struct core *core)
{
    conn_begin_slice(core, CORE_BURY_UNITS);
    while (core->ending.count > 0 && !core_slice_is_over(core)) {
        struct conn *conn = core_conn(core, conn_queue_pop(&core->ending));
        assert_always(conn->is_ending);
        assert_always(conn->state == CONN_CLOSING || conn->state >= CONN_DOOMED);
        conn->is_ending = false;
        core_spend(core, CORE_BURY_CONN_UNITS);
        core_bury_interest(core, conn);
        if (conn->state == CONN_DOOMED) {
            core_bury_doomed(core, conn);
        }
        if (conn->sub_first != SUB_NONE) {
            conn_list_ending(core, conn);
        }
        conn_resume_recv(core, conn);
        conn_on_operation_ended(core, conn);
    }
}
