/*
 * session_define: DEFINITION, without which a client that gets SBE does not know what a frame is
 * of. Frames leave after the request has been answered, so that it comes first.
 */
#ifndef RINGCAST_SRC_SESSION_DEFINE_H
#define RINGCAST_SRC_SESSION_DEFINE_H

#include "src/session/session_call.h"

#define SESSION_DEFINITION_UNITS 6 /* of one channel, see core_spend() */

bool session_define_is_needed(const struct session_call *call);
void session_define_begin(struct sessions *sessions);
void session_define_add(struct sessions *sessions, uint32_t i);
/* How long the message would be; 0: it defines nothing. */
size_t session_define_bytes(const struct sessions *sessions);
/* Nothing is sent when it defines nothing. */
void session_define_send(struct sessions *sessions, struct core *core, uint32_t conn);

/* For the names of the request, if its client needs them. */
bool session_define_names(struct session_call *call);

#endif
