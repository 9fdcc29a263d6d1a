/*
 * pressure: what the cores do while the server is short of something.
 *
 * Owner    src, which keeps it as long as there are cores.
 * Threads  Written by main; read by all cores, at each request and each tick of a connection.
 * Memory   The caller's. The text of a refusal is constant.
 * Units    Nanoseconds.
 */
#ifndef RINGCAST_RING_PRESSURE_H
#define RINGCAST_RING_PRESSURE_H

#include <stdatomic.h>
#include <stdint.h>

struct pressure {
    /* Why new connections receive 503, in one line; NULL: they are admitted. */
    _Atomic(const char *) refusal;
    /* An idle client is closed after this time, if it is shorter than the configured; 0: it is not.
     */
    _Atomic uint64_t idle_ns;
};

#endif
