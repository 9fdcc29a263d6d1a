/*
 * bench_roles: the actions of connections that behave badly.
 *
 * Owner    A thread's conns. Threads: the thread's. Memory: none of its own.
 * Units    Times as in bench_crew.h.
 */
#ifndef RINGCAST_TOOLS_BENCH_ROLES_H
#define RINGCAST_TOOLS_BENCH_ROLES_H

#include "tools/load/bench_crew.h"

/* Connected, nothing sent. true: the role has acted, and no upgrade request must be sent. */
bool bench_roles_on_connected(struct bench_crew *crew, struct bench_conn *conn);

/* Upgraded, nothing subscribed. true: as above. */
bool bench_roles_on_upgraded(struct bench_crew *crew, struct bench_conn *conn);

/* SUBSCRIBED has arrived: the first, or a further one that the role has asked for. */
void bench_roles_on_subscribed(struct bench_crew *crew, struct bench_conn *conn);

/* UNSUBSCRIBED has arrived. */
void bench_roles_on_unsubscribed(struct bench_crew *crew, struct bench_conn *conn);

/* Call about every 10 ms: connections whose time has come act. */
void bench_roles_act(struct bench_crew *crew, uint64_t now_ns);

#endif
