/*
 * session_unknown: why a name is refused with 120, and which data types its symbol has.
 */
#ifndef RINGCAST_SRC_SESSION_UNKNOWN_H
#define RINGCAST_SRC_SESSION_UNKNOWN_H

#include "src/session/session_call.h"

/* Whether a feed gives what the name, maybe of a variant, is or is computed from. */
bool session_unknown_has_source(const struct session_call *call, const struct session_name *name);

/* Refuses a symbol that has no such channel. Of its other types the answer lists those that the
 * client may see. */
void session_unknown_refuse(struct session_call *call, const struct session_name *name);

#endif
