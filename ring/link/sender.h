/*
 * sender: turns plans into sends, and says what became of them.
 *
 * A batch is built, submitted, and its outcome dealt with before anything else happens: sends end
 * inside submit (docs/architecture.md), so that no buffer and no order has to be kept.
 *
 * What waits in a link's own chain goes first. A long stretch of the log is lent to the kernel: it
 * leaves by reference (sendfile(2)), in a system call of its own after the batch's enter. That
 * costs a try in vain where the socket is full, so a link that is not clear has none. A socket that
 * takes nothing by reference is sent copies from then on.
 *
 * Owner    struct links. Threads: the core's own. Memory: what was mapped at creation.
 */
#ifndef RINGCAST_RING_SENDER_H
#define RINGCAST_RING_SENDER_H

#include "ring/link/links.h"

/* Before a batch is planned: makes room for its completions. false: there was not enough; what is
 * in the queue is to be reaped first. */
bool sender_has_room(struct links *links);
/* Sends all plans of a batch, and adds the outcomes of those that did not go out as a whole. */
void sender_send(struct links *links, struct plan_batch *plans);
/* With a stretch of at least this many bytes due, it is worth a send of their own to have the bytes
 * of the link's chain out of its way. UINT32_MAX: never. */
uint32_t sender_lend_alone_bytes(const struct links *links, const struct link *link);

#endif
