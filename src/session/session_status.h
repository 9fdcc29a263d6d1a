/*
 * session_status: messages about the client's own connection: PONG, STATUS, LAG, and the NOTICE of
 * a drain.
 */
#ifndef RINGCAST_SRC_SESSION_STATUS_H
#define RINGCAST_SRC_SESSION_STATUS_H

#include "src/session/session_call.h"

void session_status_pong(struct session_call *call);
bool session_status(struct session_call *call);
void session_status_lag(struct sessions *sessions, struct core *core, uint32_t conn,
                        const struct core_lag *lag);
void session_status_drain(struct sessions *sessions, struct core *core, uint32_t conn,
                          uint64_t close_ns, uint64_t end_ns);

#endif
