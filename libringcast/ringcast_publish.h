/*
 * ringcast_publish: publishes a program's own ticks to a ringcast server (--feed ingest).
 *
 * Owner    ringcast_publish_open creates a publisher, ringcast_publish_close frees it.
 * Threads  One thread at a time uses a publisher. No thread is started, no lock is taken. After a
 *          fork, the child calls no function with it, not even close: the buffer is shared.
 * Memory   The buffer is allocated and touched at open. It has the ticks that the server has not
 *          yet acknowledged. Only ringcast_publish_channel may allocate later: nothing is allocated
 *          for a tick. What a caller passes is borrowed for the call.
 * Units    A number is mantissa x 10^exponent, and never floating point. Times are nanoseconds
 *          since the Unix epoch, UTC; 0 is "not given".
 * Errors   0 or a negative errno. No function blocks, except open (it resolves a host name), poll
 *          (for as long as asked) and close (likewise). No function writes to the terminal or
 *          raises SIGPIPE.
 * Source   docs/feeds/publish.md; docs/feeds/ingest.md has the protocol.
 *
 * Link with -lringcast_publish. The library needs libc alone, on Linux.
 */
#ifndef RINGCAST_PUBLISH_H
#define RINGCAST_PUBLISH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RINGCAST_PUBLISH_ERROR_BYTES_MAX 512
#define RINGCAST_NONE INT64_MIN /* the mantissa of a number that is not given */

enum ringcast_type {
    RINGCAST_QUOTE,
    RINGCAST_TRADE,
    RINGCAST_BAR,
    RINGCAST_DEPTH,
    RINGCAST_STATUS,
};

enum ringcast_side {
    RINGCAST_SIDE_NONE,
    RINGCAST_SIDE_BUY,  /* The aggressor bought. */
    RINGCAST_SIDE_SELL, /* The aggressor sold. */
};

enum ringcast_action {
    RINGCAST_SNAPSHOT, /* The levels are the whole book. */
    RINGCAST_DELTA,    /* The levels replace those of the same price; size 0 removes one. */
};

/* 12.30 is {1230, -2}. */
struct ringcast_decimal {
    int64_t mantissa;
    int8_t exponent; /* -18 to 0 */
};

struct ringcast_level {
    struct ringcast_decimal price; /* always given */
    struct ringcast_decimal size;
};

struct ringcast_trade {
    uint64_t ts_event_ns;
    struct ringcast_decimal price, size;
    enum ringcast_side side;
    bool has_id;
    uint64_t id;
};

/* Always a full image. Begin with ringcast_quote_none, in which nothing is given. */
struct ringcast_quote {
    uint64_t ts_event_ns;
    struct ringcast_decimal last, open, high, low, prev_close, volume, turnover;
    const struct ringcast_level *bids; /* Best first. */
    const struct ringcast_level *asks;
    uint32_t bid_count, ask_count;
    const char *status; /* NULL: not given. */
};

/* Begin with ringcast_bar_none. */
struct ringcast_bar {
    uint64_t ts_event_ns;
    char interval[8]; /* "1m" */
    uint64_t start_ns;
    struct ringcast_decimal open, high, low, close, volume, turnover;
    bool has_count;
    uint64_t count; /* trades in the bar */
    bool closed;
};

struct ringcast_depth {
    uint64_t ts_event_ns;
    enum ringcast_action action;
    const struct ringcast_level *bids; /* Best first. */
    const struct ringcast_level *asks;
    uint32_t bid_count, ask_count;
};

struct ringcast_status {
    uint64_t ts_event_ns;
    const char *state;  /* "open", "halted", ... */
    const char *reason; /* NULL: not given. */
};

#define RINGCAST_NOT_GIVEN                                                                         \
    {                                                                                              \
        RINGCAST_NONE, 0                                                                           \
    }
static const struct ringcast_quote ringcast_quote_none __attribute__((unused)) = {
    0,
    RINGCAST_NOT_GIVEN,
    RINGCAST_NOT_GIVEN,
    RINGCAST_NOT_GIVEN,
    RINGCAST_NOT_GIVEN,
    RINGCAST_NOT_GIVEN,
    RINGCAST_NOT_GIVEN,
    RINGCAST_NOT_GIVEN,
    NULL,
    NULL,
    0,
    0,
    NULL,
};
static const struct ringcast_bar ringcast_bar_none __attribute__((unused)) = {
    0,
    "",
    0,
    RINGCAST_NOT_GIVEN,
    RINGCAST_NOT_GIVEN,
    RINGCAST_NOT_GIVEN,
    RINGCAST_NOT_GIVEN,
    RINGCAST_NOT_GIVEN,
    RINGCAST_NOT_GIVEN,
    false,
    0,
    false,
};
#undef RINGCAST_NOT_GIVEN

/* ---- A publisher ---- */

struct ringcast_publish;

struct ringcast_publish_options {
    const char *address; /* "unix:/run/ringcast.sock", "tcp:host:9100", "tcp:[::1]:9100" */
    const char *name;    /* of this producer, the same after a restart: 1 to 64 printable ASCII */
    const char *token;   /* NULL: none */
    /* Grows when the producer begins to number its ticks anew; 0: the time of open, in
     * microseconds. A producer that numbers its ticks itself and goes on after a restart gives the
     * same epoch again (ringcast_publish_set_q). */
    uint64_t epoch;
    size_t buffer_bytes; /* rounded up to a power of two; 0: 16 MiB */
    /* One tick was not taken; q is 0 when the server could not read it. It is called within
     * poll and close, and may call ringcast_publish_get_info only. NULL: counted only. */
    void (*on_refused)(void *context, uint64_t q, const char *reason);
    void *context;
};

/* Resolves the host name, which may block, and begins to connect. A server that is not there is
 * not an error: the publisher keeps trying. -EINVAL, -ENOMEM and others: error_out (NULL: not
 * wanted) has a message that explains what to do, and *publish_out is untouched. */
int ringcast_publish_open(struct ringcast_publish **publish_out,
                          const struct ringcast_publish_options *options,
                          char error_out[RINGCAST_PUBLISH_ERROR_BYTES_MAX]);

/* Waits up to drain_ms for the acknowledgement of all ticks, disconnects and frees. Returns how
 * many ticks were not acknowledged. NULL does nothing. */
uint64_t ringcast_publish_close(struct ringcast_publish *publish, int drain_ms);

/* Returns the handle of a channel, 0 to 65535, for the publish functions. Call it once for each
 * symbol and type. It works without a connection. -EINVAL: the symbol is empty, over 32 bytes or
 * not UTF-8. -ENOSPC: there are 65536 channels. -ENOMEM. */
int ringcast_publish_channel(struct ringcast_publish *publish, const char *symbol,
                             enum ringcast_type type);

/* ---- Ticks ---- */

/* Each appends one tick to the buffer and returns; ringcast_publish_flush sends. The tick gets the
 * next q, the producer's own number, beginning with 1.
 * -EAGAIN: the buffer is full of ticks that are not acknowledged; call ringcast_publish_poll and
 * try again, or leave the tick out and call ringcast_publish_gap later. -EINVAL: the channel is not
 * of that type; an exponent is not within -18 to 0; a level has no price; a side or an action does
 * not exist. -ERANGE: the prices, or the sizes, of one tick are too far apart for one exponent and
 * 64 bits, or a time, id or count is UINT64_MAX. -EMSGSIZE: over 65534 levels a side or bytes a
 * text, or larger than the buffer. -ECONNABORTED: the state is RINGCAST_PUBLISH_FAILED. */
int ringcast_publish_trade(struct ringcast_publish *publish, int channel,
                           const struct ringcast_trade *trade);
int ringcast_publish_quote(struct ringcast_publish *publish, int channel,
                           const struct ringcast_quote *quote);
int ringcast_publish_bar(struct ringcast_publish *publish, int channel,
                         const struct ringcast_bar *bar);
int ringcast_publish_depth(struct ringcast_publish *publish, int channel,
                           const struct ringcast_depth *depth);
int ringcast_publish_status(struct ringcast_publish *publish, int channel,
                            const struct ringcast_status *status);

/* Reports that the producer lost ticks of this channel: its subscribers get a GAP. Errors as above.
 */
int ringcast_publish_gap(struct ringcast_publish *publish, int channel);

/* The next tick gets this q, for a producer with numbers of its own. -EINVAL: the q is not above
 * that of the last tick, or above INT64_MAX. */
int ringcast_publish_set_q(struct ringcast_publish *publish, uint64_t q);

/* ---- Sending ---- */

/* Sends what the socket takes. 0: everything. -EAGAIN: the rest, or everything while there is no
 * connection, is kept, and ringcast_publish_poll sends it. -ECONNABORTED: FAILED. */
int ringcast_publish_flush(struct ringcast_publish *publish);

/* Does everything that is due: connects, sends, reads acknowledgements, sends heartbeats. Waits up
 * to timeout_ms for something to do (0: does not wait, -1: without limit). Call it at least each
 * few milliseconds, or whenever the descriptor is readable. 0, or -ECONNABORTED: FAILED. */
int ringcast_publish_poll(struct ringcast_publish *publish, int timeout_ms);

/* A descriptor for the caller's own event loop: ringcast_publish_poll is due when it is readable
 * (acknowledgements, a reconnect and heartbeats included). It is the same until close. */
int ringcast_publish_fd(const struct ringcast_publish *publish);

/* ---- State ---- */

enum ringcast_publish_state {
    RINGCAST_PUBLISH_WAITING,    /* not connected; the next attempt waits for its time */
    RINGCAST_PUBLISH_CONNECTING, /* the socket is connecting */
    RINGCAST_PUBLISH_GREETING,   /* HELLO was sent, WELCOME is awaited */
    RINGCAST_PUBLISH_LIVE,       /* ticks are sent */
    RINGCAST_PUBLISH_FAILED,     /* The server refused the producer for good (error); only close. */
};

struct ringcast_publish_info {
    enum ringcast_publish_state state;
    const char *error; /* of the last disconnect or attempt; "": none. Until the next call. */
    const char *server_epoch; /* of the last WELCOME; "": none. Likewise. */
    uint64_t next_q;          /* of the next tick */
    uint64_t acked_q;         /* All up to here are handled: published or refused. 0: unknown. */
    uint64_t published;       /* ticks that the publish functions accepted */
    uint64_t unacked;         /* those among them that are not acknowledged */
    uint64_t refused;         /* REFUSED of the server */
    uint64_t full;            /* -EAGAIN of the publish functions */
    uint64_t connects;        /* times that the state became LIVE */
    size_t waiting_bytes;     /* of the buffer, not acknowledged */
    size_t buffer_bytes;
};

void ringcast_publish_get_info(const struct ringcast_publish *publish,
                               struct ringcast_publish_info *info_out);

#ifdef __cplusplus
}
#endif

#endif
