/* Stretches of the log that the kernel sends from without a copy: the log holds them until it says
 * that it has done with them. */
#include "codec/base/canary.h"
#include "ring/core/core_state.h"
#include "ring/link/sender.h"

#define CORE_LOANS_HOLD_BITS 12 /* of a loan's number; above them, its encoding's */
#define CORE_LOANS_HOLD_MASK ((1u << CORE_LOANS_HOLD_BITS) - 1)
static_assert(FRAME_LOG_HOLDS_MAX <= 1u << CORE_LOANS_HOLD_BITS, "");
static_assert(CORE_ENCODINGS_MAX <= 1u << (16 - CORE_LOANS_HOLD_BITS), "");

static void core_loans_take_one(struct core *core, struct send_plan *plan)
{
    const struct iovec *iov = &core->fan.batch->iovs[plan->iov_first];
    struct frame_log *log = core->fan.streams[plan->log].log;
    uint64_t position = frame_log_position(log, plan->from, iov->iov_base);
    assert_always(plan->bytes == iov->iov_len);
    position = CANARY(LOAN_UNHELD) ? 0 : position;
    uint32_t hold = frame_log_hold(log, core->options.index, position, iov->iov_len);
    if (hold == FRAME_LOG_NO_HOLD) {
        return; /* It is copied. */
    }
    core->loans[plan->log][hold] = (struct core_loan){
        .conn = plan->conn,
        .generation = core_link(core, plan->conn)->generation,
        .bytes = (uint32_t)iov->iov_len,
    };
    plan->loan = (uint32_t)plan->log << CORE_LOANS_HOLD_BITS | hold;
    counter_add(&core->counters->lent_sends, 1);
    counter_add(&core->counters->lent_bytes_held, iov->iov_len);
}

/* Plans of one stretch for links with nothing of their own. */
void core_loans_take(struct core *core)
{
    struct plan_batch *batch = core->fan.batch;
    uint32_t bytes_min = core->options.zero_copy_bytes;
    for (uint32_t i = 0; bytes_min != 0 && i < batch->plan_count; i++) {
        struct send_plan *plan = &batch->plans[i];
        if (plan->bytes < bytes_min || plan->iov_count != 1) {
            continue;
        }
        const struct link *link = core_link(core, plan->conn);
        if (link->stage == LINK_STREAMING && link->out.bytes == 0 &&
            plan->bytes >= sender_lend_bytes(&core->links, link)) {
            core_loans_take_one(core, plan);
        }
    }
}

void core_loans_end(struct core *core, uint32_t loan)
{
    uint32_t encoding = loan >> CORE_LOANS_HOLD_BITS;
    uint32_t hold = loan & CORE_LOANS_HOLD_MASK;
    assert_always(encoding < core->options.encoding_count);
    assert_always(hold < FRAME_LOG_HOLDS_MAX);
    counter_add(&core->counters->lent_bytes_held, -(uint64_t)core->loans[encoding][hold].bytes);
    frame_log_release(core->fan.streams[encoding].log, core->options.index, hold);
}

void core_loans_on_completion(struct core *core, const struct io_uring_cqe *cqe)
{
    uint32_t number = (uint32_t)cqe->user_data & 0xffff;
    if ((cqe->flags & IORING_CQE_F_NOTIF) == 0) {
        return; /* Its result was seen to. */
    }
    assert_always(number >> CORE_LOANS_HOLD_BITS < core->options.encoding_count);
    const struct core_loan *loan =
        &core->loans[number >> CORE_LOANS_HOLD_BITS][number & CORE_LOANS_HOLD_MASK];
    struct link *link = core_link(core, loan->conn);
    bool was_copied = engine_loan_was_copied(cqe);
    counter_add(was_copied ? &core->counters->lent_bytes_copied : &core->counters->lent_bytes,
                loan->bytes);
    if (was_copied && link->generation == loan->generation) {
        link->copies = true;
    }
    core_loans_end(core, number);
}
