/*
 * session_watch: channels that appear while clients wait for them.
 */
#ifndef RINGCAST_SRC_SESSION_WATCH_H
#define RINGCAST_SRC_SESSION_WATCH_H

#include "src/session/session_state.h"

/* How many channels a whole type has. */
int64_t session_watch_group_count(struct sessions *sessions, enum md_type type);

/* A channel has appeared. */
void session_watch_channel(struct sessions *sessions, struct core *core, uint32_t channel);

#endif
