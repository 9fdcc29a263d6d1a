/* Messages that cost much wait for their turn, and what is received behind them. */
#include "ring/core/core_state.h"

void core_spend(struct core *core, uint32_t units)
{
    core->spent += units;
}

bool core_slice_is_over(const struct core *core)
{
    return core->spent >= core->slice_units;
}

void conn_begin_slice(struct core *core, uint64_t units)
{
    core->spent = 0;
    core->slice_units = units;
}

static void conn_end_slice(struct core *core)
{
    uint64_t longest = atomic_load_explicit(&core->counters->slice_units_max, memory_order_relaxed);
    core->turn_spent += core->spent;
    if (core->spent > longest) {
        counter_set(&core->counters->slice_units_max, core->spent);
    }
}

void conn_wait(struct core *core, struct conn *conn)
{
    if (!conn->is_waiting) {
        conn->is_waiting = true;
        conn_queue_push(&core->waiting, conn_index(core, conn));
    }
}

void core_hold(struct core *core, uint32_t index)
{
    struct conn *conn = core_conn(core, index);
    conn->is_held = true;
    counter_add(&core->counters->messages_held, 1);
    if (conn->state != CONN_STREAMING) {
        conn_list_ending(core, conn); /* The message is dropped. */
        return;
    }
    sender_settle(core, conn);
    if (conn->mode == CONN_PUSHED) {
        puller_start(core, conn, core_stream(core, conn)->position);
    }
    conn_pause_recv(core, conn);
    conn_wait(core, conn);
}

/* It is not held any more, and what it has sent is forgotten. */
void conn_forget_unread(struct core *core, struct conn *conn)
{
    if (conn->is_held) {
        conn->is_held = false;
        if (core->options.ops->on_drop != NULL) {
            core->options.ops->on_drop(core->options.context, core, conn_index(core, conn));
        }
    }
    if (conn->has_unread) {
        conn->has_unread = false;
        out_chain_clear(&core->out_pool, &core_history(core, conn)->unread);
    }
}

static void conn_keep_unread(struct core *core, struct conn *conn, const uint8_t *bytes,
                             size_t count)
{
    struct out_chain *unread = &core_history(core, conn)->unread;
    if (!conn->has_unread) {
        out_chain_init(unread);
    }
    if (unread->bytes + count > out_pool_share(&core->out_pool) ||
        out_chain_append(&core->out_pool, unread, bytes, count) < 0) {
        conn_doom_slow(core, conn, "no room for the messages that it sent");
        return;
    }
    conn->has_unread = true;
    conn_pause_recv(core, conn);
    if (!conn_is_full(core, conn)) {
        conn_wait(core, conn);
    }
}

/* Messages of a conn, or parts of them. */
void conn_take_bytes(struct core *core, struct conn *conn, uint8_t *bytes, size_t count)
{
    size_t taken = 0;
    if (conn->state == CONN_STREAMING && !conn_is_to_pause(core, conn) &&
        core->turn_spent < CONN_READ_UNITS) {
        conn_begin_slice(core, CONN_FIRST_SLICE_UNITS);
        taken = conn_decode(core, conn, bytes, count);
        conn_end_slice(core);
    }
    if ((conn->state == CONN_STREAMING || conn->awaits_encoding) && taken < count) {
        conn_keep_unread(core, conn, bytes + taken, count - taken);
    }
}

static void conn_decode_unread(struct core *core, struct conn *conn)
{
    uint8_t bytes[CORE_RECV_BUFFER_BYTES];
    struct out_chain *unread = &core_history(core, conn)->unread;
    while (conn->state == CONN_STREAMING && conn->has_unread && !conn_must_wait(core, conn)) {
        size_t count = out_chain_copy(&core->out_pool, unread, bytes, sizeof bytes);
        out_chain_consume(&core->out_pool, unread, conn_decode(core, conn, bytes, count));
        conn->has_unread = unread->bytes > 0;
    }
}

static void conn_go_on(struct core *core, struct conn *conn)
{
    if (conn->is_held &&
        core->options.ops->on_continue(core->options.context, core, conn_index(core, conn),
                                       core->time.now_ns)) {
        conn->is_held = false;
        sender_mark_ready(core, conn);
    }
    conn_decode_unread(core, conn);
    if (conn->state != CONN_STREAMING) {
        return;
    }
    if (conn->is_held || (conn->has_unread && !conn_is_full(core, conn))) {
        conn_wait(core, conn);
    }
    conn_resume_recv(core, conn);
}

void conn_run_waiting(struct core *core)
{
    core->turn_spent = 0;
    for (uint32_t left = core->waiting.count; left > 0 && core->turn_spent < CONN_TURN_UNITS;
         left--) {
        struct conn *conn = core_conn(core, conn_queue_pop(&core->waiting));
        conn->is_waiting = false;
        conn_begin_slice(core, CORE_SLICE_UNITS);
        if (conn->state == CONN_STREAMING) {
            conn_go_on(core, conn);
        }
        conn_end_slice(core);
    }
}
