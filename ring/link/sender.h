/*
 * sender: turns plans into sends, and says what became of them.
 *
 * A batch is built, submitted, and its outcome dealt with before anything else happens: sends end
 * inside submit (docs/architecture.md), so that no buffer and no order has to be kept.
 *
 * What waits in a link's own chain goes first. A long stretch of the log is lent to the kernel
 * (SEND_ZC), which sends from it without a copy, and tells later when it has done with it; the log
 * is held until then (core_loans.h). A link for which the kernel says that it copied after all (to
 * loopback, say) is lent nothing any more. Linux 6.2, for IORING_SEND_ZC_REPORT_USAGE; before, the
 * first try fails, and the link is sent copies.
 *
 * Owner    struct links. Threads: the core's own. Memory: what was mapped at creation.
 */
#ifndef RINGCAST_RING_SENDER_H
#define RINGCAST_RING_SENDER_H

#include "ring/link/links.h"

/* Before a batch is planned: makes room for its completions. false: there was not enough; what is
 * in the queue is to be reaped first. */
bool sender_has_room(struct links *links);
/* Sends all plans of a batch, and adds the outcomes of those that did not go out as a whole.
 * end_loan: of a loan that failed, for which no notification will come. */
void sender_send(struct links *links, struct plan_batch *plans,
                 void (*end_loan)(struct core *core, uint32_t loan));
/* Stretches of at least so many bytes are lent to it; UINT32_MAX: none. */
uint32_t sender_lend_bytes(const struct links *links, const struct link *link);

#endif
