/*
 * session: the client protocol of one core.
 *
 * Owner    main creates one table per core, before the core.
 * Threads  The core's thread only, through the ops.
 * Memory   A slab of 32 bytes a connection. With access control another one: a client takes 192
 *          bytes of it when it has a token or a limit, and none otherwise. Patterns are allocated
 *          as they are asked for; exact subscriptions are kept by the core alone. One buffer for
 *          answers. With compression one state, which decompresses the messages of all clients.
 * Source   docs/protocol.md.
 */
#ifndef RINGCAST_SRC_SESSION_H
#define RINGCAST_SRC_SESSION_H

#include "ring/core/core.h"
#include "src/session/session_options.h"

struct sessions;

int sessions_create(struct sessions **sessions_out, const struct session_options *options);
void sessions_destroy(struct sessions *sessions);

/* What core_options.ops and .context are to be (context: the struct sessions). */
extern const struct core_ops session_ops;

#endif
