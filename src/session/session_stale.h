/*
 * session_stale: the stale symbols among the subscriptions of a client, for STATUS.
 */
#ifndef RINGCAST_SRC_SESSION_STALE_H
#define RINGCAST_SRC_SESSION_STALE_H

#include "src/session/session_call.h"

#define SESSION_STALE_NAMES_MAX 100

/* Finds them, in as many slices as it takes. Without memory there are none. */
bool session_stale_find(struct session_call *call);
/* Their number and the names of some. */
void session_stale_put(const struct session_call *call);

#endif
