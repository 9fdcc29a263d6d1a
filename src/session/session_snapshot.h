/*
 * session_snapshot: SNAPSHOT of single frames; session_books makes books.
 */
#ifndef RINGCAST_SRC_SESSION_SNAPSHOT_H
#define RINGCAST_SRC_SESSION_SNAPSHOT_H

#include "src/session/session_call.h"

bool session_snapshot(struct session_call *call);

#endif
