/*
 * session_client: the identity of a client, what its token permits, and the audit log.
 *
 * Memory   A slab by connection, where sessions have a policy. Zeroes that are never written cost
 *          nothing.
 */
#ifndef RINGCAST_SRC_SESSION_CLIENT_H
#define RINGCAST_SRC_SESSION_CLIENT_H

#include "src/base/log.h"
#include "src/session/session_call.h"

#define SESSION_CLIENT_ID_BYTES_MAX 32 /* "0-12" */

/* What access control knows of a connection. All 0: nothing is asked of it. */
struct session_client {
    struct peer client; /* when has_client */
    bool has_client;
    bool awaits_token;
    bool was_warned;           /* of the token's end */
    bool must_shrink;          /* Its scope has changed while a message of its was answered. */
    uint16_t refused_count;    /* messages over the rate, more than were answered */
    uint32_t entry_plus_1;     /* in the table of addresses; 0: none */
    uint64_t messages_full_ns; /* see rate_take() */
    uint64_t ends_ns;          /* when the token ends, or must have come; 0: never */
    struct access_kept *kept;  /* its request, whose token waits; NULL: it does not */
    struct access_grant grant;
};
static_assert(sizeof(struct session_client) <= 192, "counted per client that is not spared");

/* What the client may see. */
const struct scope *session_client_scope(const struct sessions *sessions, uint32_t conn);
bool session_client_may_see(struct session_call *call, const struct session_name *name);

/* Where a connection comes from, as access control knows it. */
struct peer session_client_peer_of(const struct core_source *source);
struct peer session_client_peer(struct core *core, uint32_t conn);
bool session_client_is_same(const struct peer *left, const struct peer *right);
/* "203.0.113.9:5123", and the proxy that says so where there is one. */
void session_client_write(const struct sessions *sessions, struct core *core, uint32_t conn,
                          char *out, size_t out_bytes);

/* Unique in a run: the core, and a number that grows. "": it is not open (yet). */
void session_client_id(struct sessions *sessions, const struct core *core, uint32_t conn,
                       char text_out[SESSION_CLIENT_ID_BYTES_MAX]);
/* For its log lines; id is memory for the client. */
struct log_fields session_client_fields(struct sessions *sessions, const struct core *core,
                                        uint32_t conn, char id[SESSION_CLIENT_ID_BYTES_MAX]);

/* A line of the audit log. word: FAILED, DENIED, BLOCKED, GRANTED. What others chose must have been
 * cleaned. */
void session_client_audit(struct sessions *sessions, struct core *core, uint32_t conn,
                          uint64_t now_ns, const char *word, const char *format, ...)
    __attribute__((format(printf, 6, 7)));
/* Asked for outside the scope, count times in one request. */
void session_client_audit_scope(struct session_call *call, uint32_t count);

#endif
