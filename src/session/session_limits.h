/*
 * session_limits: what one client may have, and what its messages may cost. The limits themselves,
 * and what is counted, are in session_use.h; nothing but this module changes the counts.
 */
#ifndef RINGCAST_SRC_SESSION_LIMITS_H
#define RINGCAST_SRC_SESSION_LIMITS_H

#include "src/session/session_call.h"

/* How many subscriptions a client may have, and how many it has. */
uint32_t session_limits_subscriptions(const struct sessions *sessions, uint32_t conn);
uint32_t session_limits_subscribed(const struct session *session);

/* Refuses the entry when there are as many subscriptions as there may be. */
bool session_limits_is_full(struct session_call *call, const struct session_name *name);
/* An exact subscription has come (1) or gone (-1). */
void session_limits_count_exact(struct session_call *call, uint32_t channel, int change);
/* Channels of a replay that are to be exact subscriptions have come (above 0) or gone. */
void session_limits_count_replayed(struct session *session, int change);
void session_limits_forget_replay(struct session *session);
/* A book is on its way (1), or was sent or given up (-1). */
bool session_limits_has_book_room(const struct session *session);
void session_limits_count_book(struct session *session, int change);
/* Refuses the entry when the client's token does not open it. */
bool session_limits_is_forbidden(struct session_call *call, const struct session_name *name);

struct rate session_limits_message_rate(const struct sessions *sessions, uint32_t conn);
/* Takes from the rate of messages what an expensive one costs more than others. */
void session_limits_charge(struct session_call *call);

/* "limits" of WELCOME, up to the number of subscriptions, which is each client's own. Returns the
 * length. */
int session_limits_write(char *out, size_t out_bytes);

#endif
