/*
 * session_visit: what the access log (src/base/access_log.h) says of a connection when it ends.
 *
 * Memory   A slab by connection, while there is an access log. Zeroes that are never written cost
 *          nothing.
 */
#ifndef RINGCAST_SRC_SESSION_VISIT_H
#define RINGCAST_SRC_SESSION_VISIT_H

#include "ring/core_ops.h"
#include "src/session/session_state.h"

/* 0, also where there is no access log; -ENOMEM. */
int session_visit_create(struct sessions *sessions);
void session_visit_destroy(struct sessions *sessions);

/* As in core_ops. */
void session_visit_on_head(void *context, struct core *core, uint32_t conn, const uint8_t *head,
                           size_t head_bytes);
void session_visit_on_answer(void *context, struct core *core, uint32_t conn, int status,
                             size_t bytes);
void session_visit_on_close(struct sessions *sessions, struct core *core, uint32_t conn,
                            const struct core_conn_end *end);
/* Its client was let in by a certificate of this name; NULL: by a token. */
void session_visit_certificate(struct sessions *sessions, uint32_t conn, const char *name);
void session_visit_on_leave(struct sessions *sessions, uint32_t conn);

#endif
