/*
 * announce: what the server says when it is ready.
 *
 * Threads  main.
 */
#ifndef RINGCAST_SRC_ANNOUNCE_H
#define RINGCAST_SRC_ANNOUNCE_H

struct server;

/* Two lines for the log: where it listens, and with what it runs. */
void announce_ready(const struct server *server);
/* Tells the person at a terminal what to do next. */
void announce_greet(const struct server *server);

#endif
