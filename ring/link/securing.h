/*
 * securing: a connection's TLS handshake, from accept until it has keys (LINK_SECURING).
 *
 * Somebody else does the work (ring/tls_service.h). Here is what belongs to the socket: the PROXY
 * header in the clear, one receive at a time into a job, the answers, deadlines and limits. A link
 * that has said nothing has no job: one that says something takes one, or waits for one unread.
 *
 * Owner    struct links. Threads: the core's own, except that a job which is submitted is the
 *          service's until it comes back.
 * Memory   TLS_HANDSHAKES_MAX jobs, mapped only with options.tls, touched when first used, not in
 *          core dumps. Keys in them are wiped when they are copied, or when nobody wants them.
 * Errors   None are returned: the link of a handshake that fails ends.
 */
#ifndef RINGCAST_RING_SECURING_H
#define RINGCAST_RING_SECURING_H

#include "ring/link/links.h"

#define SECURING_BYTES_MAX 65536 /* that are received in it */
/* A handshake that has taken this long and waits for its client gives way to links that wait. */
#define SECURING_GIVE_WAY_NS (2 * NS_PER_SECOND)

void securing_on_recv(struct links *links, struct link *link, const struct io_uring_cqe *cqe);
void securing_on_timer(struct links *links, struct link *link);
/* Once a turn: what came back from the service, and who waits. */
void securing_go_on(struct links *links);
/* Whether something has come back that securing_go_on() has not seen. */
bool securing_has_result(const struct links *links);
/* Of a link that closes or ends: its place in the queue and its job go, as soon as the job is back.
 */
void securing_forget(struct links *links, struct link *link);
/* The same of one that ends, which is also not counted any more. */
void securing_end(struct links *links, struct link *link);
/* Whether all jobs are here. */
bool securing_is_idle(const struct links *links);

#endif
