/*
 * session_list: LIST.
 */
#ifndef RINGCAST_SRC_SESSION_LIST_H
#define RINGCAST_SRC_SESSION_LIST_H

#include "src/session/session_call.h"

bool session_list(struct session_call *call);

#endif
