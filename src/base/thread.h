/*
 * thread: starts a thread that never handles a signal.
 *
 * Threads  Any. All signals are blocked in the new thread: they are main's.
 * Errors   0 or a negative errno.
 */
#ifndef RINGCAST_SRC_THREAD_H
#define RINGCAST_SRC_THREAD_H

#include <pthread.h>

int thread_start(pthread_t *thread_out, void *(*run)(void *), void *argument);

#endif
