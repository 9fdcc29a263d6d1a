/*
 * session_shrink: what a smaller scope ends, after AUTH.
 */
#ifndef RINGCAST_SRC_SESSION_SHRINK_H
#define RINGCAST_SRC_SESSION_SHRINK_H

#include "src/session/session_call.h"

/* Ends what the client's scope does not cover, and lists it in sessions->failed. */
bool session_shrink(struct session_call *call);

#endif
