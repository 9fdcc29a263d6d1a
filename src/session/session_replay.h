/*
 * session_replay: REPLAY.
 */
#ifndef RINGCAST_SRC_SESSION_REPLAY_H
#define RINGCAST_SRC_SESSION_REPLAY_H

#include "src/session/session_call.h"

bool session_replay(struct session_call *call);
void session_replay_on_end(void *context, struct core *core, uint32_t conn,
                           const struct core_replayed *channels, uint32_t count, bool is_whole);

#endif
