/*
 * session_unsubscribe: UNSUBSCRIBE.
 */
#ifndef RINGCAST_SRC_SESSION_UNSUBSCRIBE_H
#define RINGCAST_SRC_SESSION_UNSUBSCRIBE_H

#include "src/session/session_call.h"

bool session_unsubscribe(struct session_call *call);

/* false: there was none. */
bool session_unsubscribe_star(struct session_call *call, enum md_type type);
bool session_unsubscribe_exact(struct session_call *call, uint32_t channel);

#endif
