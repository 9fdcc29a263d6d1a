/*
 * session_access: which clients may connect and send; AUTH, and the expiry of a token.
 */
#ifndef RINGCAST_SRC_SESSION_ACCESS_H
#define RINGCAST_SRC_SESSION_ACCESS_H

#include "src/session/session_call.h"

/* The ops that access control is about. */
enum core_admission session_access_on_accept(void *context, struct core *core, uint32_t conn,
                                             uint64_t now_ns, struct core_refusal *refusal_out);
enum core_grant session_access_on_request(void *context, struct core *core, uint32_t conn,
                                          uint64_t now_ns, const struct core_request *asked,
                                          struct core_refusal *refusal_out);
void session_access_on_leave(void *context, struct core *core, uint32_t conn);
void session_access_on_turn(struct sessions *sessions);
void session_access_on_tick(void *context, struct core *core, uint32_t conn, uint64_t now_ns);

/* Whether a message is within the rate; otherwise it is answered. */
bool session_access_may_speak(struct sessions *sessions, struct core *core, uint32_t conn,
                              uint64_t now_ns);
/* Whether a request may be answered before there is a token; otherwise it is refused. */
bool session_access_may_ask(struct session_call *call);
bool session_access_authenticate(struct session_call *call);
/* Ends what the client's scope does not cover, and reports it. */
bool session_access_shrink(struct session_call *call);
/* The same of its replay and its books only, at once. */
void session_access_shrink_replay(struct session_call *call);
/* The client needs a token from now on: it has 5 s for it, and is told so. */
void session_access_ask_token(struct sessions *sessions, struct core *core, uint32_t conn,
                              uint64_t now_ns);
/* Whether it is an AUTH whose token is not checked yet. */
bool session_access_is_unchecked(const struct session_call *call);

#endif
