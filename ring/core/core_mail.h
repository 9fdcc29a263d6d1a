/*
 * core_mail: work that another thread hands to a core, which does it between two turns' frames.
 *
 * Owner    The sender: a mail, and what it points to, stays as it is until core_mail_is_done(), or
 *          until the core was destroyed.
 * Threads  core_post: one thread for all cores. work: the core's own. core_mail_is_done: any.
 * Memory   The sender's; the box holds CORE_MAILS_MAX pointers.
 * Errors   -EAGAIN: the box is full, and the mail is not in it.
 *
 * Mails are worked off in the order in which they were posted, one after the other, at the top of
 * each turn. A core that sleeps sees its box when it wakes: the sender wakes it (core_wake), or it
 * wakes by itself within 100 ms. A core that stops leaves the mails in its box.
 */
#ifndef RINGCAST_RING_CORE_MAIL_H
#define RINGCAST_RING_CORE_MAIL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define CORE_MAILS_MAX 16    /* in a box */
#define CORE_MAIL_UNITS 8000 /* of a turn, about 0.2 ms: see core_spend() */

struct core;

struct core_mail {
    /* Once a turn, until it returns true: the work is done. It counts what it does with
     * core_spend(), and returns false when core_slice_is_over(). */
    bool (*work)(void *context, struct core *core, uint64_t now_ns);
    void *context;
    _Atomic bool is_done; /* set by the core; cleared by core_post */
    bool is_posted;       /* the sender's own note */
    bool is_timed;        /* the core counts the CPU time of the turns that begin with it */
};

int core_post(struct core *core, struct core_mail *mail);

static inline bool core_mail_is_done(const struct core_mail *mail)
{
    return atomic_load_explicit(&mail->is_done, memory_order_acquire);
}

#endif
