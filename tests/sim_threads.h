/*
 * sim_threads: the server's threads as coroutines of one thread, which a seed interleaves.
 *
 * A thread runs until it enters the kernel or waits (enter, nanosleep, sched_yield): then whoever
 * runs the threads goes on. The clocks that the server reads are those of the simulated kernel.
 *
 * Owner    A simulation; one at a time. Threads: one. Memory: a stack for each.
 */
#ifndef RINGCAST_TESTS_SIM_THREADS_H
#define RINGCAST_TESTS_SIM_THREADS_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/sim_engine.h"

#define SIM_THREADS_MAX 3

/* All of them begin with the next sim_thread_go_on. */
void sim_threads_open(void);
void sim_threads_close(void);
uint32_t sim_thread_start(void (*run)(void *context), void *context);

/* Runs a thread until it waits again; false: it still waits, or has ended. */
bool sim_thread_go_on(uint32_t thread);
bool sim_thread_has_ended(uint32_t thread);

/* Whether one runs now, and not whoever runs them. */
bool sim_threads_are_running(void);

/* When the first of the threads that wait wants to go on; 0: one can at once. */
uint64_t sim_threads_wake_ns(void);

/* Naps of the thread that has napped most often in a row. */
uint64_t sim_threads_naps(void);

/* For sim_open. */
void sim_threads_step(void *context, struct engine *engine, uint64_t timeout_ns);

#endif
