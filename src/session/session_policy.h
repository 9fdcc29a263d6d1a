/*
 * session_policy: a core's sessions take over what a reload has changed, and judge each client
 * anew.
 *
 * Owner    The sender of the mail. What the policy before granted is there until the mail is done.
 * Threads  The core's, as the work of a core_mail.
 * Memory   The sender's.
 * Source   docs/reload.md; docs/decisions/0071.
 */
#ifndef RINGCAST_SRC_SESSION_POLICY_H
#define RINGCAST_SRC_SESSION_POLICY_H

#include "ring/core/core_limits.h"
#include "src/session/session_state.h"

struct session_policy {
    struct sessions *sessions;
    struct access *access;
    uint32_t subscription_count_max;
    struct core_limits limits;

    /* The core's own; 0 at first. */
    bool has_begun;
    bool hastens_pings;
    uint32_t next; /* Connections before it have been judged. */
};

/* A core_mail's work; context: a struct session_policy. When it is done nothing of the sessions
 * refers to the policy before, and no client gets a frame that its token does not permit. */
bool session_policy_take(void *context, struct core *core, uint64_t now_ns);

/* A connection opens: its handshake may have begun under another policy. */
void session_policy_on_open(struct sessions *sessions, struct core *core, uint32_t conn,
                            uint64_t now_ns);

#endif
