/*
 * trace: the boundaries of a tick's path and of a connection's life in ring and src, a function
 * each, which fires the probe of its name (docs/probes.md has each one's meaning).
 *
 * Threads  A core's, the publisher's or the admin server's, as the sections say.
 * Memory   None.
 * Units    _ns: durations in nanoseconds, monotonic; ts_: nanoseconds since 1970. Indices are those
 *          of a stream's log, 0 JSON, 1 SBE, 2 compressed JSON. conn: an index in its core, which
 *          is used again; with gen, its generation, it is not.
 *
 * Values must be at hand: a boundary costs one nop when nobody looks. Names and the places of
 * arguments are stable; new ones are appended. There is none for each send to a client.
 */
#ifndef RINGCAST_RING_TRACE_H
#define RINGCAST_RING_TRACE_H

#include <stdbool.h>

#include "codec/base/check.h"
#include "codec/base/probes.h"

/* ---- The publisher ---- */

/* late_ns: since the time that the feed had asked for; 0: it had asked for none. */
static inline void trace_feed_poll_begin(uint32_t feed, uint64_t late_ns)
{
    PROBE2(feed_poll_begin, feed, late_ns);
}

/* Its end. ticks: that it brought. */
static inline void trace_feed_poll(uint32_t feed, uint64_t ticks)
{
    PROBE2(feed_poll, feed, ticks);
}

/* In the log, not shown yet. late_ns: since the tick was received; simulated: since it was due; 0:
 * nobody knows. */
static inline void trace_publish(uint32_t channel, uint64_t seq, uint64_t index, uint64_t bytes,
                                 uint64_t ts_pub, uint64_t late_ns)
{
    PROBE6(publish, channel, seq, index, bytes, ts_pub, late_ns);
}

/* reason: 0: there is no such channel; 1: the tick fits no frame. */
static inline void trace_refuse(uint32_t channel, uint32_t reason)
{
    PROBE2(refuse, channel, reason);
}

/* In the log of another stream: before the publish of the same channel and seq. */
static inline void trace_encode(uint32_t stream, uint32_t channel, uint64_t seq, uint64_t index,
                                uint64_t bytes)
{
    PROBE5(encode, stream, channel, seq, index, bytes);
}

/* A stream begins or ends. run: odd while it is written. The indices are those of the next frame.
 */
static inline void trace_encoding(uint32_t stream, uint32_t run, uint64_t json_index,
                                  uint64_t own_index)
{
    PROBE4(encoding, stream, run, json_index, own_index);
}

/* channel has a tick that is made of those of source_channel: before its publish. */
static inline void trace_derive(uint32_t source_channel, uint32_t channel, uint64_t seq)
{
    PROBE3(derive, source_channel, channel, seq);
}

/* oldest_ns: since the ts_pub of the first. */
static inline void trace_show(uint64_t first_index, uint64_t ticks, uint64_t oldest_ns)
{
    PROBE3(show, first_index, ticks, oldest_ns);
}

static inline void trace_wake(uint32_t core)
{
    PROBE1(wake, core);
}

/* ---- A core ---- */

enum trace_how {
    TRACE_BY_MESSAGE = 1, /* of another thread */
    TRACE_BY_TIMER,
    TRACE_BY_COMPLETION, /* a client's bytes, or a new one */
};

static inline void trace_awake(uint32_t core, uint64_t asleep_ns, uint64_t asked_ns,
                               enum trace_how how)
{
    PROBE4(awake, core, asleep_ns, asked_ns, how);
}

static inline void trace_turn_begin(uint32_t core, uint32_t stream, uint64_t index, uint64_t head)
{
    PROBE4(turn_begin, core, stream, index, head);
}

static inline void trace_turn(uint32_t core, uint64_t frames, uint32_t conns, uint32_t stream,
                              uint64_t index)
{
    PROBE5(turn, core, frames, conns, stream, index);
}

static inline void trace_turn_end(uint32_t core, uint32_t stream, uint64_t index, uint64_t frames,
                                  uint32_t conns, uint64_t ns)
{
    PROBE6(turn_end, core, stream, index, frames, conns, ns);
}

static inline void trace_batch_begin(uint32_t core, uint32_t sends)
{
    PROBE2(batch_begin, core, sends);
}

static inline void trace_batch_submitted(uint32_t core, uint32_t sends, uint32_t short_sends,
                                         uint64_t bytes, uint32_t kind)
{
    PROBE5(batch_submitted, core, sends, short_sends, bytes, kind);
}

static inline void trace_core_lap(uint32_t core, uint32_t stream, uint64_t from, uint64_t to)
{
    PROBE4(core_lap, core, stream, from, to);
}

/* A turn took over 1 ms: ns without its sleep. */
static inline void trace_slow(uint32_t core, uint64_t ns)
{
    PROBE2(slow, core, ns);
}

/* ---- A connection ---- */

static inline void trace_conn_open(uint32_t core, uint32_t conn, uint32_t gen, int fd,
                                   uint32_t listener)
{
    PROBE5(conn_open, core, conn, gen, fd, listener);
}

static inline void trace_conn_state(uint32_t conn, uint32_t old, uint32_t new, uint32_t core,
                                    uint32_t gen)
{
    assert_debug(old != new);
    PROBE5(conn_state, conn, old, new, core, gen);
}

static inline void trace_conn_upgrade(uint32_t core, uint32_t conn, uint32_t gen, int fd,
                                      uint32_t peer_port, uint32_t stream)
{
    PROBE6(conn_upgrade, core, conn, gen, fd, peer_port, stream);
}

static inline void trace_conn_refuse(uint32_t core, uint32_t conn, uint32_t status,
                                     uint64_t since_accept_ns)
{
    PROBE4(conn_refuse, core, conn, status, since_accept_ns);
}

static inline void trace_conn_close(uint32_t core, uint32_t conn, uint32_t code, const char *cause,
                                    uint64_t frames_sent, uint64_t frames_lost)
{
    PROBE6(conn_close, core, conn, code, (uintptr_t)cause, frames_sent, frames_lost);
}

static inline void trace_accept_pause(uint32_t core, uint32_t conns)
{
    PROBE2(accept_pause, core, conns);
}

/* type: an enum request_type. A message that takes long has several of both. */
static inline void trace_message_begin(uint32_t core, uint32_t conn, uint32_t type)
{
    PROBE3(message_begin, core, conn, type);
}

static inline void trace_message(uint32_t core, uint32_t conn, uint32_t type, bool is_done)
{
    PROBE4(message, core, conn, type, is_done);
}

static inline void trace_control_out(uint32_t core, uint32_t conn, uint32_t opcode, uint64_t bytes)
{
    PROBE4(control_out, core, conn, opcode, bytes);
}

static inline void trace_pong(uint32_t core, uint32_t conn, uint64_t ns)
{
    PROBE3(pong, core, conn, ns);
}

static inline void trace_send_blocked(uint32_t core, uint32_t conn, int fd, uint64_t waiting_bytes)
{
    PROBE4(send_blocked, core, conn, fd, waiting_bytes);
}

static inline void trace_send_unblocked(uint32_t core, uint32_t conn, int fd, uint64_t ns)
{
    PROBE4(send_unblocked, core, conn, fd, ns);
}

static inline void trace_send_short(uint32_t core, uint32_t conn, int fd, uint64_t sent_bytes,
                                    uint64_t wanted_bytes)
{
    assert_debug(sent_bytes < wanted_bytes);
    PROBE5(send_short, core, conn, fd, sent_bytes, wanted_bytes);
}

static inline void trace_send_stuck(uint32_t core, uint32_t conn, int fd)
{
    PROBE3(send_stuck, core, conn, fd);
}

static inline void trace_send_failed(uint32_t core, uint32_t conn, int fd, uint32_t error)
{
    PROBE4(send_failed, core, conn, fd, error);
}

static inline void trace_lend(uint32_t core, uint32_t conn, uint64_t bytes, int64_t result)
{
    PROBE4(lend, core, conn, bytes, result);
}

static inline void trace_pull(uint32_t core, uint32_t conn, uint64_t cursor, uint64_t looked_at,
                              uint64_t frames, uint64_t conflated)
{
    PROBE6(pull, core, conn, cursor, looked_at, frames, conflated);
}

static inline void trace_caught_up(uint32_t core, uint32_t conn, uint64_t index)
{
    PROBE3(caught_up, core, conn, index);
}

static inline void trace_lag(uint32_t core, uint32_t conn, uint64_t ms, uint32_t cause)
{
    PROBE4(lag, core, conn, ms, cause);
}

/* verdict: 0 the log passed it, 1 max_lag, 2 it is closed. */
static inline void trace_jump(uint32_t core, uint32_t conn, uint64_t from, uint64_t to,
                              uint32_t verdict)
{
    PROBE5(jump, core, conn, from, to, verdict);
}

static inline void trace_gap(uint32_t core, uint32_t conn, uint32_t channel, uint64_t from_seq,
                             uint64_t count, uint32_t reason)
{
    assert_debug(count > 0);
    PROBE6(gap, core, conn, channel, from_seq, count, reason);
}

#define TRACE_GROUP (UINT64_C(1) << 32) /* and the number of a group, in place of a channel's */

static inline void trace_subscribe(uint32_t core, uint32_t conn, uint64_t channel, uint32_t policy,
                                   bool on, uint64_t index)
{
    PROBE6(subscribe, core, conn, channel, policy, on, index);
}

static inline void trace_snapshot(uint32_t core, uint32_t conn, uint32_t channel, uint64_t seq)
{
    PROBE4(snapshot, core, conn, channel, seq);
}

static inline void trace_resume(uint32_t core, uint32_t conn, uint32_t channel, uint64_t seq,
                                int result)
{
    PROBE5(resume, core, conn, channel, seq, result);
}

/* index: in the JSON log; 0: it is being looked for. */
static inline void trace_replay(uint32_t core, uint32_t conn, uint32_t channels, uint64_t index,
                                bool on)
{
    PROBE5(replay, core, conn, channels, index, on);
}

/* ---- The admin server ---- */

/* target: as the request has it; path: without its query. */
static inline void trace_admin_begin(const char *target)
{
    PROBE1(admin_begin, (uintptr_t)target);
}

static inline void trace_admin(const char *path, uint32_t status, uint64_t bytes)
{
    PROBE3(admin, (uintptr_t)path, status, bytes);
}

#endif
