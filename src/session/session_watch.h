/*
 * session_watch: new channels, for the clients that wait for them.
 *
 * A channel appears between two slices of other work, and 5 000 may appear at once for thousands of
 * clients. So a new channel only holds the clients that need to know of it: their frames wait in
 * the log. Each then catches up in slices of its own, in the order of the channels: DEFINITION
 * where it gets SBE, and a subscription where one of its patterns covers the channel. A client that
 * knows of all channels is released.
 *
 * Units    core_spend(): a slice is CORE_SLICE_UNITS.
 */
#ifndef RINGCAST_SRC_SESSION_WATCH_H
#define RINGCAST_SRC_SESSION_WATCH_H

#include "src/session/session_state.h"

/* How many channels a whole type has. */
int64_t session_watch_group_count(struct sessions *sessions, enum md_type type);

/* core_ops.on_channel: a channel has appeared, before its first frame. */
void session_watch_channel(struct sessions *sessions, struct core *core, uint32_t channel);

/* A slice, of a client that session_patterns_are_behind. true: it knows of all channels. */
bool session_watch_go_on(struct sessions *sessions, struct core *core, uint32_t conn);

#endif
