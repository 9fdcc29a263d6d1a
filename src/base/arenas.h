/*
 * arenas: jemalloc's, one for each thread, made while a failure can still be reported.
 *
 * By itself jemalloc maps an arena when a new thread first allocates, and version 5.3 crashes in
 * that thread when there is no room. One arena for all would do, but a core that is stopped while
 * it allocates would then stop the admin server, which is to say so.
 *
 * Threads  main, before it starts others.
 * Errors   -ENOMEM. Without jemalloc nothing is done.
 */
#ifndef RINGCAST_SRC_ARENAS_H
#define RINGCAST_SRC_ARENAS_H

#include <stdint.h>

int arenas_create(uint32_t thread_count);

#endif
