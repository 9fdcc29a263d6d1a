/*
 * session_heartbeat: HEARTBEAT, on request and for a client that gets no frames.
 *
 * A client that gets no frame is sent one after a second, then at doubling intervals up to
 * heartbeat_interval. It names up to SESSION_HEARTBEAT_CHANNELS_MAX channels, the next ones each
 * time. Clients that subscribe to whole types only are sent the same lists, which are written once
 * for all while no frame comes: thousands of clients cost little on a closed market.
 *
 * Memory   SESSION_HEARTBEAT_LISTS_MAX lists, about 45 KB each.
 */
#ifndef RINGCAST_SRC_SESSION_HEARTBEAT_H
#define RINGCAST_SRC_SESSION_HEARTBEAT_H

#include "ring/core/core_conn.h"
#include "src/request/request.h"
#include "src/session/session_state.h"

#define SESSION_HEARTBEAT_CHANNELS_MAX 1000

int session_heartbeat_create(struct sessions *sessions);
void session_heartbeat_destroy(struct sessions *sessions);

/* request: NULL when the client sent none. */
void session_heartbeat(struct sessions *sessions, struct core *core, uint32_t conn,
                       const struct request *request);

/* core_ops.on_quiet: once in each second of silence. */
void session_heartbeat_on_quiet(void *context, struct core *core, uint32_t conn, uint64_t now_ns);

/* "CHANNEL": with a comma before it, except for the first. */
void session_heartbeat_put_channel(struct reply *reply, uint32_t i, uint32_t channel);
void session_heartbeat_put_counts(struct reply *reply, const struct core_conn_stats *stats);

#endif
