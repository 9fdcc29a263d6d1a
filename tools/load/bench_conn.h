/*
 * bench_conn: the states of a connection: connect, upgrade, SUBSCRIBE, then frames.
 *
 * Owner, threads, memory, units   as in bench_crew.h
 */
#ifndef RINGCAST_TOOLS_BENCH_CONN_H
#define RINGCAST_TOOLS_BENCH_CONN_H

#include "tools/load/bench_crew.h"

/* Opens the socket and queues the connect. false: it failed and is counted. */
bool bench_conn_start(struct bench_crew *crew, struct bench_conn *conn, uint64_t now_ns);

/* The connect failed. */
void bench_conn_fail(struct bench_crew *crew, struct bench_conn *conn, int error);

/* Sends the upgrade request. 0 or a negative errno. */
int bench_conn_send_request(struct bench_crew *crew, struct bench_conn *conn);

/* Changes the state. Only a state that may follow is allowed. */
void bench_conn_enter(struct bench_crew *crew, struct bench_conn *conn, enum bench_conn_state next);

/* Notes how long a phase took, and begins the next one. */
void bench_conn_end_phase(struct bench_crew *crew, struct bench_conn *conn, enum bench_phase phase);

/* It is subscribed: from now on it is counted. */
void bench_conn_on_subscribed(struct bench_crew *crew, struct bench_conn *conn);

/* Its first tick since it was subscribed. */
void bench_conn_on_first_tick(struct bench_crew *crew, struct bench_conn *conn);

/* --snapshot: the first whole image since its subscription was sent. */
void bench_conn_on_image(struct bench_crew *crew, struct bench_conn *conn);

/* Subscribes, for --at-once. Nothing happens if it still has to wait, or has subscribed. */
void bench_conn_ask(struct bench_crew *crew, struct bench_conn *conn);

/* A reader has received something from after the window, and so everything in it. */
void bench_conn_finish(struct bench_crew *crew, struct bench_conn *conn);

/* A stalled connection begins to read again. */
void bench_conn_resume(struct bench_crew *crew, struct bench_conn *conn);

/* Counts the close under its code (0: no Close frame came) and shuts the socket down. */
void bench_conn_shut(struct bench_crew *crew, struct bench_conn *conn, uint16_t code);

/* Leaves by itself, which does not count as a close: with a Close frame or by a reset. */
void bench_conn_leave(struct bench_crew *crew, struct bench_conn *conn, bool by_reset);

/* MQTT: sends a PINGREQ for the next connections, so that each has sent one within half of the
 * keep-alive. */
void bench_conn_keep_alive(struct bench_crew *crew);

/* MQTT: DISCONNECT. */
void bench_conn_disconnect(struct bench_crew *crew, struct bench_conn *conn);

/* It has broken the protocol, and waits for the server's reaction. */
void bench_conn_wait(struct bench_crew *crew, struct bench_conn *conn);

/* Sends a small masked frame. A full socket loses it, which the peer will notice. */
void bench_conn_send(struct bench_crew *crew, struct bench_conn *conn, int opcode,
                     const void *payload, size_t payload_bytes);

/* SUBSCRIBE, or UNSUBSCRIBE with the same symbols. */
void bench_conn_send_subscribe(struct bench_crew *crew, struct bench_conn *conn, bool unsubscribe);

#endif
