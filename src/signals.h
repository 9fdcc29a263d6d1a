/*
 * signals: what an operator asks of the running server by a signal that does not end it.
 *
 * Owner    main. Threads: main's.
 * Errors   None are returned: the log says what went wrong.
 */
#ifndef RINGCAST_SRC_SIGNALS_H
#define RINGCAST_SRC_SIGNALS_H

struct server;

/* number: SIGHUP, SIGUSR1, SIGUSR2. */
void signals_act(struct server *server, int number);

#endif
