/*
 * session_define: DEFINITION, without which a client that gets SBE does not know what a frame is
 * of. Frames leave after the request has been answered, so that it comes first.
 */
#ifndef RINGCAST_SRC_SESSION_DEFINE_H
#define RINGCAST_SRC_SESSION_DEFINE_H

#include "src/session/session_call.h"

bool session_define_is_needed(const struct session_call *call);
void session_define_begin(struct sessions *sessions);
void session_define_add(struct sessions *sessions, uint32_t i);
/* Nothing is sent when there is none. */
void session_define_send(struct sessions *sessions, struct core *core, uint32_t conn);

/* For the names of the request, if its client needs them. */
bool session_define_names(struct session_call *call);
void session_define_one(struct sessions *sessions, struct core *core, uint32_t conn, uint32_t i);
/* For clients that subscribe to the whole type. */
void session_define_new_channel(struct sessions *sessions, struct core *core, uint32_t i);

#endif
