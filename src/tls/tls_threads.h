/*
 * tls_threads: the threads that do TLS handshakes for the cores (ring/tls_service.h).
 *
 * A connection's handshake stays on one thread. Each pair of a core and a thread has two queues
 * with one writer and one reader, so that no lock is needed.
 *
 * Owner    server: opened before the cores run, closed after they have ended. A core is destroyed
 *          after that: its jobs are in its memory.
 * Threads  open, swap, close: main's. The service's functions: a core's, each for itself.
 * Memory   Queues for all jobs; an SSL object for each handshake that has begun (about 53 KiB).
 * Errors   0 or a negative errno.
 */
#ifndef RINGCAST_SRC_TLS_THREADS_H
#define RINGCAST_SRC_TLS_THREADS_H

#include <stddef.h>
#include <stdint.h>

#include "ring/tls_service.h"
#include "src/tls/tls_context.h"

#define TLS_THREADS_MAX 16
#define TLS_THREADS_NICE 10 /* below the cores: a handshake may wait, a tick may not */

struct core;
struct tls_threads;

/* context: held by the threads from here on (the caller's own hold stays). cores: where core_wake()
 * finds them by number; an entry is set before that core runs. The threads start at once. */
int tls_threads_open(struct tls_threads **threads_out, struct tls_context *context,
                     uint32_t thread_count, struct core *const *cores, uint32_t core_count,
                     char *error_out, size_t error_bytes);
/* No core submits any more. */
void tls_threads_close(struct tls_threads *threads);
struct tls_service *tls_threads_service(struct tls_threads *threads);
/* Handshakes that begin from now on use this context. */
void tls_threads_swap(struct tls_threads *threads, struct tls_context *context);

#endif
