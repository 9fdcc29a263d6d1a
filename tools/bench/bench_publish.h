/*
 * bench_publish: --publish-to: a publisher for servers that make no ticks themselves.
 *
 * Tick k is due at the start and k / rate seconds, whatever the server does. A late one carries the
 * time at which it was due.
 *
 * Owner    bench_run creates it before the run, stops it after the window, reads and destroys it.
 * Threads  One of its own from bench_publish_start to bench_publish_stop; then main's.
 * Memory   150 KiB, and 8 bytes for each symbol.
 * Units    CLOCK_REALTIME nanoseconds.
 * Errors   0 or a negative errno; the reason is printed.
 * Source   RFC 6455, RFC 9112; the protocols of NATS and of MQTT 3.1.1.
 */
#ifndef RINGCAST_TOOLS_BENCH_PUBLISH_H
#define RINGCAST_TOOLS_BENCH_PUBLISH_H

#include "tools/load/bench_crew.h"

struct bench_publish;

/* Connects. */
int bench_publish_create(struct bench_publish **publish_out, const struct bench_options *options,
                         const struct bench_control *control);
/* Ticks begin when the window is known. */
int bench_publish_start(struct bench_publish *publish);
void bench_publish_stop(struct bench_publish *publish);
void bench_publish_destroy(struct bench_publish *publish); /* NULL does nothing. */

/* Ticks of a symbol that were due in the window, and were published. */
uint64_t bench_publish_count(const struct bench_publish *publish, uint32_t symbol);
/* How late the latest one was. */
uint64_t bench_publish_late_ns(const struct bench_publish *publish);
/* It ended before it was stopped. */
bool bench_publish_has_failed(const struct bench_publish *publish);

#endif
