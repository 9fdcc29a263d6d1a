/*
 * bench_roles: what connections do that behave badly.
 *
 * Owner    A thread's conns. Threads: the thread's. Memory: none of its own.
 * Units    Times as in bench_conn.h.
 */
#ifndef RINGCAST_TOOLS_BENCH_ROLES_H
#define RINGCAST_TOOLS_BENCH_ROLES_H

#include <stdbool.h>
#include <stdint.h>

struct bench_conn;
struct bench_thread;

/* Connected, nothing sent. true: the role has done what it does; no upgrade is to be sent. */
bool bench_roles_on_connected(struct bench_thread *thread, struct bench_conn *conn);

/* Upgraded, nothing subscribed. true: as above. */
bool bench_roles_on_upgraded(struct bench_thread *thread, struct bench_conn *conn);

void bench_roles_on_subscribed(struct bench_thread *thread, struct bench_conn *conn);

/* UNSUBSCRIBED has come. */
void bench_roles_on_unsubscribed(struct bench_thread *thread, struct bench_conn *conn);

/* The socket is closed: who comes again is told when. */
void bench_roles_on_ended(struct bench_thread *thread, struct bench_conn *conn);

/* About every 10 ms: lets those act whose time has come. */
void bench_roles_act(struct bench_thread *thread, uint64_t now_ns);

#endif
