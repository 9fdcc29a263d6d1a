/*
 * peer_ticks: the ticks that every peer broadcasts, and when each is due.
 *
 * Instant i is due at start + i * burst / rate seconds exactly, and has burst ticks; tick k is of
 * symbol k mod symbols. Whoever is late makes up for it.
 *
 * Owner    The caller. Threads: one.
 * Memory   8 bytes per symbol.
 * Errors   0 or a negative errno.
 */
#ifndef RINGCAST_BENCH_PEER_TICKS_H
#define RINGCAST_BENCH_PEER_TICKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PEER_PAD_MIN 192
#define PEER_PAD_MAX 60000
#define PEER_SYMBOLS_MAX 65536
#define PEER_BURST_MAX 16384
#define PEER_RATE_MAX 100000000
#define PEER_NAME_BYTES_MAX 16 /* With the NUL. */

struct peer_spec {
    uint32_t symbols;
    uint32_t rate; /* Ticks a second, of all symbols together. */
    uint32_t burst;
    uint32_t pad; /* Bytes of a tick. */
};

struct peer_ticks {
    struct peer_spec spec;
    uint64_t start_realtime_ns;
    uint64_t start_monotonic_ns;
    uint64_t made; /* Ticks made so far: the index of the next. */
    uint64_t *seqs;
};

/* "symbols=200,rate=5000,burst=50,pad=256"; what is left out is 1, 100, 1, 256. */
int peer_spec_parse(struct peer_spec *spec_out, const char *text);

int peer_ticks_init(struct peer_ticks *ticks, const struct peer_spec *spec);
void peer_ticks_deinit(struct peer_ticks *ticks);

/* The first instant is due now. */
void peer_ticks_start(struct peer_ticks *ticks);

/* CLOCK_MONOTONIC, of the next instant; ask between instants. */
uint64_t peer_ticks_due_ns(const struct peer_ticks *ticks);

/* Writes the next tick, exactly spec.pad bytes; returns its symbol. */
uint32_t peer_ticks_make(struct peer_ticks *ticks, char *out);

void peer_symbol_name(uint32_t symbol, char name_out[PEER_NAME_BYTES_MAX]);
uint64_t peer_now_ns(int clock);

#endif
