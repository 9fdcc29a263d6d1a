/*
 * session_cover: the channels that a pattern covers, subscribed in the core and given up again.
 */
#ifndef RINGCAST_SRC_SESSION_COVER_H
#define RINGCAST_SRC_SESSION_COVER_H

#include "src/session/session_call.h"

int session_cover_subscribe(struct core *core, uint32_t conn, uint32_t channel,
                            const struct session_pattern *pattern, bool snapshot);
/* The same of a channel that appeared while the client was held: from its first frame on. */
int session_cover_subscribe_new(struct core *core, uint32_t conn, uint32_t channel,
                                const struct session_pattern *pattern);
/* The pattern that a channel has its policy from, or NULL; what the search costs is charged. */
const struct session_pattern *session_cover_first(struct session_call *call,
                                                  const struct channel *channel);
/* Subscribes what call->at.pattern covers; at.covered is how many channels that are, or -ENOSPC. */
bool session_cover_apply(struct session_call *call);
/* Counts the channels that have come since it was counted. */
bool session_cover_count(struct session_call *call, struct session_pattern *pattern);

/* A channel that lost one of its entries stays with the first pattern that covers it. */
void session_cover_release_channel(struct session_call *call, uint32_t i);
/* Takes a pattern out of the list, into call->at.pattern; then what it covered is left to others,
 * or ended. */
void session_cover_take(struct session_call *call, uint32_t place);
bool session_cover_release(struct session_call *call);

#endif
