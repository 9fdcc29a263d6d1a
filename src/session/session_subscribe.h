/*
 * session_subscribe: SUBSCRIBE and MODIFY.
 */
#ifndef RINGCAST_SRC_SESSION_SUBSCRIBE_H
#define RINGCAST_SRC_SESSION_SUBSCRIBE_H

#include "src/session/session_call.h"

bool session_subscribe(struct session_call *call);
bool session_subscribe_modify(struct session_call *call);

#endif
