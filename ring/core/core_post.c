#include "ring/core/core_mail.h"

#include <errno.h>
#include <time.h>

#include "codec/base/clock.h"
#include "ring/core/core_state.h"
#include "ring/link/input.h"

static_assert((CORE_MAILS_MAX & (CORE_MAILS_MAX - 1)) == 0, "a position wraps into a slot");

int core_post(struct core *core, struct core_mail *mail)
{
    struct core_mailbox *box = &core->mailbox;
    assert_always(mail->work != NULL);
    uint32_t head = atomic_load_explicit(&box->head, memory_order_relaxed);
    uint32_t waiting = head - atomic_load_explicit(&box->tail, memory_order_acquire);
    assert_always(waiting <= CORE_MAILS_MAX);
    if (waiting == CORE_MAILS_MAX) {
        return -EAGAIN;
    }
    atomic_store_explicit(&mail->is_done, false, memory_order_relaxed);
    box->mails[head % CORE_MAILS_MAX] = mail;
    atomic_store_explicit(&box->head, head + 1, memory_order_release);
    return 0;
}

bool core_trim(struct core *core)
{
    core_spend(core, CORE_MAIL_UNITS);
    return !out_pool_trim(&core->links.out_pool);
}

bool core_has_mail(const struct core *core)
{
    const struct core_mailbox *box = &core->mailbox;
    return atomic_load_explicit(&box->head, memory_order_acquire) !=
           atomic_load_explicit(&box->tail, memory_order_relaxed);
}

uint64_t core_mail_begin_turn(const struct core *core)
{
    const struct core_mailbox *box = &core->mailbox;
    if (__builtin_expect(!core_has_mail(core), 1)) {
        return 0;
    }
    uint32_t tail = atomic_load_explicit(&box->tail, memory_order_relaxed);
    return box->mails[tail % CORE_MAILS_MAX]->is_timed ? clock_ns(CLOCK_THREAD_CPUTIME_ID) : 0;
}

void core_mail_count(counter *max_ns, uint64_t began_ns)
{
    if (__builtin_expect(began_ns != 0, 0)) {
        uint64_t spent_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - began_ns;
        if (spent_ns > counter_get(max_ns)) {
            counter_set(max_ns, spent_ns);
        }
    }
}

bool core_mail_go_on(struct core *core)
{
    struct core_mailbox *box = &core->mailbox;
    input_begin_slice(&core->links, CORE_MAIL_UNITS);
    while (core_has_mail(core) && !input_slice_is_over(&core->links)) {
        uint32_t tail = atomic_load_explicit(&box->tail, memory_order_relaxed);
        struct core_mail *mail = box->mails[tail % CORE_MAILS_MAX];
        if (!mail->work(mail->context, core, core->time.now_ns)) {
            break;
        }
        atomic_store_explicit(&box->tail, tail + 1, memory_order_release);
        atomic_store_explicit(&mail->is_done, true, memory_order_release); /* It is the sender's. */
    }
    return core_has_mail(core);
}
