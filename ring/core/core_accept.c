/* New connections, and when they have to wait. */
#include <errno.h>
#include <string.h>

#include "ring/core/core_state.h"
#include "ring/link/opening.h"
#include "ring/trace.h"

#define CORE_ACCEPT_RETRY_NS (100 * NS_PER_MS)

/* Whether its clients wait for the process that comes after this one. */
static bool core_accept_is_over(const struct core *core, uint32_t listener)
{
    return core->drain_end_ns != 0 && core->options.listeners[listener].is_kept;
}

void core_accept_arm(struct core *core)
{
    if (core->stopping_began) {
        return;
    }
    for (uint32_t i = 0; i < core->options.listener_count; i++) {
        if (core->accept_armed[i] || core_accept_is_over(core, i)) {
            continue;
        }
        struct io_uring_sqe *sqe = links_sqe(&core->links);
        engine_prepare_accept(sqe, core->options.listeners[i].fd, !core->accepts_one);
        sqe->user_data = links_tag(OP_ACCEPT, 0, i);
        core->accept_armed[i] = true;
    }
}

void core_accept_cancel(struct core *core)
{
    for (uint32_t i = 0; i < core->options.listener_count; i++) {
        if (core->accept_armed[i]) {
            struct io_uring_sqe *sqe = links_sqe(&core->links);
            engine_prepare_cancel(sqe, links_tag(OP_ACCEPT, 0, i));
            sqe->user_data = links_tag(OP_CANCEL, 0, 0);
        }
    }
}

static void core_accept_complain(struct core *core, int error)
{
    bool lacks_fds = error == -EMFILE || error == -ENFILE;
    if (core->time.now_ns < core->accept_complaint_ns) {
        return;
    }
    core->accept_complaint_ns = core->time.now_ns + CORE_COMPLAINT_NS;
    core_log(core, 3, "cannot accept connections: %s; new clients wait%s", strerror(-error),
             lacks_fds ? " until one leaves (raise `ulimit -n` or LimitNOFILE=)"
                       : ", and ringcast tries again ten times a second");
}

/* At a limit, or after an error: new connections wait in the backlog. error: 0, or what to complain
 * of in the log. */
static void core_accept_pause(struct core *core, int error)
{
    assert_always(error <= 0);
    if (core->accept_paused) {
        return;
    }
    if (error < 0) {
        core_accept_complain(core, error);
    }
    core->accept_paused = true;
    counter_add(&core->counters->accept_paused, 1);
    trace_accept_pause(core->options.index, atomic_load(core->options.conn_count));
    core_accept_cancel(core);
    core->accept_retry_ns = core->time.now_ns + CORE_ACCEPT_RETRY_NS;
}

static bool core_accept_is_at_limit(const struct core *core)
{
    return atomic_load(core->options.conn_count) >= core->options.open_count_max;
}

void core_accept_on_timer(struct core *core)
{
    if (!core->accepts_one && core_accept_is_at_limit(core)) {
        core->accept_retry_ns = core->time.now_ns + CORE_ACCEPT_RETRY_NS;
        return;
    }
    core->accept_retry_ns = UINT64_MAX;
    core->accept_paused = false;
    core_accept_arm(core);
}

/* The next one may well be accepted. All other errors last, and asking again at once would spin. */
static bool core_accept_is_one_clients_fault(int error)
{
    return error == -ECONNABORTED || error == -EINTR || error == -EAGAIN || error == -ECANCELED;
}

/* Where descriptors are short, the one that is over the limit is given up at once, so that nobody
 * waits unaccepted for a client to leave. */
static void core_accept_socket(struct core *core, int fd, uint32_t number)
{
    const struct core_listener *listener = &core->options.listeners[number];
    enum opening_kind kind = listener->is_unix  ? OPENING_UNIX
                             : listener->is_tls ? OPENING_TLS
                                                : OPENING_TCP;
    if (core->accepts_one && core_accept_is_at_limit(core)) {
        opening_turn_away(&core->links, fd, kind);
    } else if (!opening_begin(&core->links, fd, kind, number) ||
               (!core->accepts_one && core_accept_is_at_limit(core))) {
        core_accept_pause(core, 0);
    }
}

void core_accept_on_completion(struct core *core, const struct io_uring_cqe *cqe)
{
    uint32_t listener = (uint32_t)cqe->user_data;
    assert_always(listener < core->options.listener_count);
    core->accept_armed[listener] = (cqe->flags & IORING_CQE_F_MORE) != 0;
    if (cqe->res >= 0) {
        core_accept_socket(core, cqe->res, listener);
    } else if (!core_accept_is_one_clients_fault(cqe->res)) {
        core_accept_pause(core, cqe->res);
    }
    if (!core->accept_paused) {
        core_accept_arm(core);
    }
}
