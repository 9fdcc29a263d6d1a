/*
 * session_shrink: what a smaller scope ends, after AUTH or a reload.
 */
#ifndef RINGCAST_SRC_SESSION_SHRINK_H
#define RINGCAST_SRC_SESSION_SHRINK_H

#include "src/session/session_call.h"

/* Ends what the client's scope does not cover, and lists it in sessions->failed. */
bool session_shrink(struct session_call *call);
/* The same of what goes on while a message is answered: its replay, and books on their way. */
void session_shrink_at_once(struct session_call *call);

#endif
