/*
 * signals: which signals end the start, which main reads, and what those do that do not end it.
 *
 * Owner    main. Threads: main's.
 * Errors   A step returns a negative errno, and has logged what went wrong.
 */
#ifndef RINGCAST_SRC_SIGNALS_H
#define RINGCAST_SRC_SIGNALS_H

struct server;

/* Steps of the start (server.h). The first: SIGINT and SIGTERM end the program at once, whatever it
 * waits for, and remove its files. server: NULL if there is none yet. */
int signals_catch_early(struct server *server);
/* SIGPIPE is ignored; SIGHUP, SIGUSR1 and SIGUSR2 wait for main. */
int signals_ignore(struct server *server);
/* From here on main reads all of them at server->signal_fd. */
int signals_open(struct server *server);

/* number: SIGHUP, SIGUSR1, SIGUSR2. */
void signals_act(struct server *server, int number);

#endif
