/*
 * symbols: the list of symbols with what each has, as SYMBOLS and GET /symbols write it.
 *
 * A page is written in steps. A step reads one symbol, and costs about as much as
 * symbols_step() returns. All pages of a listing together look at each symbol twice at most.
 *
 * Owner    src fills struct symbols in; the place of a listing is the caller's.
 * Threads  Any: what it reads is shared with no lock (channel_order.h, frame_log_glance.h).
 * Memory   None but the reply's.
 * Units    Those of core_spend().
 * Source   docs/protocol.md, "SYMBOLS".
 */
#ifndef RINGCAST_SRC_SYMBOLS_H
#define RINGCAST_SRC_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct channel_rates;
struct channels;
struct frame_log;
struct reply;
struct request_symbols;
struct staleness;

#define SYMBOLS_PAGE_BYTES 65536 /* A page that is longer ends. */

struct symbols {
    const struct channels *channels;
    const struct frame_log *log; /* JSON's */
    const struct channel_rates *rates;
    const char *epoch;
    const struct staleness *staleness; /* NULL: no symbol is stale */
};

/* How far a page has come. All 0 but now_ns: it begins. */
struct symbols_place {
    uint64_t now_ns; /* CLOCK_MONOTONIC; of the caller, at each step */
    bool has_begun;
    bool is_done;
    uint32_t next;  /* the first channel of the symbol to be read */
    uint32_t last;  /* of the symbol that was written last */
    uint32_t count; /* symbols written */
};

/* Which symbols may be seen. type: enum md_type. */
struct symbols_viewer {
    bool (*may_see)(void *context, const char *symbol, size_t symbol_bytes, unsigned type);
    void *context;
};

/* Writes more of the object "data" to the reply, all but its closing brace; is_done: that was all.
 * query: as checked by request_symbols_fault(). */
uint32_t symbols_step(const struct symbols *symbols, const struct request_symbols *query,
                      const struct symbols_viewer *viewer, struct symbols_place *place,
                      struct reply *reply);

/* The whole page, for a client that may see everything. */
void symbols_write(const struct symbols *symbols, const struct request_symbols *query,
                   uint64_t now_ns, struct reply *reply);

#endif
