/*
 * feed: a source of ticks.
 *
 * Owner    The publisher opens feeds, polls them and closes them.
 * Threads  The publisher's only. poll never blocks and never sleeps: it returns the time of the
 *          next poll, and watch() names a descriptor that brings it forward.
 * Memory   A feed allocates at open; a tick it hands over is borrowed for the call.
 * Units    now_ns is CLOCK_REALTIME in nanoseconds since the Unix epoch.
 * Errors   open: 0 or a negative errno with a message that says what to do. A feed that ends or
 *          fails logs it once through the sink and returns FEED_NEVER.
 */
#ifndef RINGCAST_FEEDS_FEED_H
#define RINGCAST_FEEDS_FEED_H

#include "codec/base/keyed_hash.h"
#include "codec/md.h"

#define FEED_NEVER UINT64_MAX
#define FEED_ERROR_BYTES_MAX 512
#define FEED_POLL_NS_MAX 200000 /* so that no feed waits longer for another */

enum feed_level {
    FEED_INFO,
    FEED_WARNING,
    FEED_ERROR,
};

enum feed_state {
    FEED_CONNECTING, /* nothing was received yet, or the source is being connected to */
    FEED_LIVE,
    FEED_STALE, /* connected, but silent for longer than it should be */
    FEED_DOWN,  /* ended, or the source cannot be reached */
};

#define FEED_CAUSE_BYTES_MAX 128
#define FEED_GRANT_NAME_BYTES_MAX 64

/* What the token of a producer permits, from admit to drop_grant. */
struct feed_grant {
    void *handle;                             /* the sink's own; NULL: everything */
    uint32_t key_next;                        /* the sink's own, while a signature waits */
    uint64_t expires_ns;                      /* of CLOCK_REALTIME; UINT64_MAX: never */
    char name[FEED_GRANT_NAME_BYTES_MAX + 1]; /* of the token, for the log; printable ASCII */
};

/* Decides what producers may publish. For open, poll and close. */
struct feed_admission {
    void *context;
    bool needs_token; /* Producers must present a token. */
    /* Grows when other tokens have become valid, or permit something else. Then a feed asks judge
     * about each producer before it takes another tick of it, and needs_token anew; it asks admit
     * from the beginning about those that wait. */
    uint32_t revision;

    /* now_ns: of the poll. 0: the grant is to be dropped later. -EAGAIN: the signature of the token
     * waits for its turn; ask again at the next poll with the same grant, which is zeroed before
     * the first call. -EACCES: the token is not valid; -EKEYEXPIRED: it has expired; -EPERM: it may
     * not publish at all; -EUSERS: it has as many connections as it may; -ENOMEM. fault_out: a
     * constant sentence. */
    int (*admit)(void *context, const char *token, size_t token_bytes, uint64_t now_ns,
                 struct feed_grant *grant, const char **fault_out);
    bool (*may_publish)(void *context, const struct feed_grant *grant, const char *symbol,
                        size_t symbol_bytes, enum md_type type);
    void (*drop_grant)(void *context, struct feed_grant *grant);
    /* Of a new revision. 0: the grant holds as it did. 1: it permits something else. -EACCES: it
     * does not hold. */
    int (*judge)(void *context, const struct feed_grant *grant, const char **fault_out);
};

/* The functions that the publisher gives to a feed. */
struct feed_sink {
    void *context;
    const char *name;       /* of the feed, for its lines: "sim"; the second of a name is "sim#2" */
    struct keyed_hash hash; /* for a feed's tables of names, which the source chooses */
    uint64_t epoch;         /* of this run of the server; clients see it as 16 hexadecimal digits */
    const struct feed_admission *admission; /* NULL: any producer may publish anything */
    bool reuse_port; /* Sockets for producers may be those of another server, which ends soon. */

    /* The channel of a symbol and type, made when new; UINT32_MAX: the channel table is full or
     * the symbol is not 1 to 32 bytes of UTF-8. The same pair always has the same number. */
    uint32_t (*open_channel)(void *context, const char *symbol, size_t symbol_bytes,
                             enum md_type type);

    /* One tick. It is never refused: if it cannot be encoded, the publisher counts it, and its
     * subscribers receive a GAP in its place. */
    void (*publish)(void *context, const struct md_update *update);

    /* The source had something for this channel (of open_channel) that was lost: a hole in its
     * sequence, an unreadable message. Subscribers receive a GAP. */
    void (*lost)(void *context, uint32_t channel);

    /* The source of this channel is silent or gone: its symbol is stale until the next tick of any
     * of the symbol's channels but status (docs/feeds/stale.md). */
    void (*silent)(void *context, uint32_t channel);

    /* How many ticks the feed may hand over before it asks again. 0: return now, and be polled
     * again: the poll has used its ticks or its time (FEED_POLL_NS_MAX), or another feed is due. */
    uint32_t (*room)(void *context);

    /* From now on the feed is also polled when fd is readable (or at its end, or broken), until
     * another fd replaces it; -1: none. Call watch(-1) before fd is closed. A feed that has several
     * descriptors, or waits to write, gives an epoll descriptor. For open and poll. */
    void (*watch)(void *context, int fd);

    /* A line for the operator, without newline. Rare events only. */
    void (*log)(void *context, enum feed_level level, const char *text);
};

struct feed_counters {
    uint64_t ticks;      /* handed over */
    uint64_t skipped;    /* well-formed input that is not a tick */
    uint64_t malformed;  /* input that cannot be parsed */
    uint64_t holes;      /* holes in the source's own sequence */
    uint64_t passes;     /* completed passes of a replay */
    uint64_t lost;       /* ticks that found the queue of the feed's thread full */
    uint64_t refused;    /* ticks of producers that were not taken, with a REFUSED for each */
    uint64_t duplicates; /* ticks that a producer had sent before */
    uint64_t producers;  /* connected now */
};

struct feed;

struct feed_ops {
    const char *name;         /* "sim" */
    const char *help;         /* keys and defaults, one per line, for --help */
    uint32_t connections_max; /* that it accepts at a time; 0: it accepts none */
    /* spec: what follows the name and its colon, or "". -EINVAL and others: error_out names the
     * wrong key and what is valid. */
    int (*open)(struct feed **feed_out, const char *spec, const struct feed_sink *sink,
                uint64_t now_ns, char error_out[FEED_ERROR_BYTES_MAX]);
    /* Hands over the ticks that are due at now_ns, while there is room. Returns the time of the
     * next poll: now_ns or less for "at once", FEED_NEVER when the feed has ended. It is polled at
     * least once a second. */
    uint64_t (*poll)(struct feed *feed, uint64_t now_ns);
    void (*close)(struct feed *feed);
};

/* The head of every feed's own struct. */
struct feed {
    const struct feed_ops *ops; /* of feed_open */
    const struct feed_sink *sink;
    struct feed_counters counters;
    enum feed_state state;
    uint64_t state_since_ns;          /* CLOCK_REALTIME */
    uint32_t state_revision;          /* of the state and its cause */
    char cause[FEED_CAUSE_BYTES_MAX]; /* of the state, for people; empty: none */
    /* The feed may be slowed down without harm (a replay at full speed): the publisher polls it
     * only while the slowest core is within half a log. Other feeds are always polled, and may
     * overrun a core. */
    bool elastic;
    /* ts_event_ns of its ticks is the time at which they should be published. The delay of the
     * publisher counts from it; for other feeds, from ts_recv_ns. */
    bool is_scheduled;
};

/* The feeds; each has a row in feed.c. NULL: no more. */
const struct feed_ops *feed_at(size_t index);

/* spec: NAME or NAME:key=value,key=value. Opens the named feed. An unknown name or key is
 * -EINVAL and names the nearest one. */
int feed_open(struct feed **feed_out, const char *spec, const struct feed_sink *sink,
              uint64_t now_ns, char error_out[FEED_ERROR_BYTES_MAX]);

/* How many connections a feed of this spec accepts at a time in a process that may have so many
 * descriptors: a third of them at most. 0: it accepts none, or there is no such feed. */
uint32_t feed_connections_max(const char *spec, uint64_t descriptor_count);

/* For implementations: reads key=value pairs of a spec (the part after the colon; a value
 * cannot contain a comma). A BOOL key alone means yes. */
struct feed_key {
    const char *name;
    enum { FEED_KEY_U64, FEED_KEY_TEXT, FEED_KEY_BOOL, FEED_KEY_DECIMAL } kind;
    void *value;       /* uint64_t *, char[FEED_TEXT_BYTES_MAX], bool *, double * */
    uint64_t min, max; /* for U64 */
};
#define FEED_TEXT_BYTES_MAX 4096
int feed_parse_keys(const char *feed_name, const char *spec, const struct feed_key *keys,
                    size_t key_count, char error_out[FEED_ERROR_BYTES_MAX]);

/* For implementations: writes the message and returns error (a negative errno). */
int feed_fail(char error_out[FEED_ERROR_BYTES_MAX], int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* For implementations: whether this poll may hand over one more tick. *room is what the sink gave
 * last, at first 0, and less one for each tick since. */
static inline bool feed_has_room(const struct feed *feed, uint32_t *room)
{
    if (*room == 0) {
        *room = feed->sink->room(feed->sink->context);
    }
    return *room > 0;
}

/* For implementations: the feed's state, with its cause; a change is logged. Clients see the cause:
 * it contains no path and no secret. format: "": none. */
void feed_set_state(struct feed *feed, enum feed_state state, uint64_t now_ns, const char *format,
                    ...) __attribute__((format(printf, 4, 5)));

/* "connecting", "live", "stale", "down" (feed_state.c). */
const char *feed_state_name(enum feed_state state);

/* For implementations: one line for the operator, cut at FEED_ERROR_BYTES_MAX. */
void feed_log(const struct feed *feed, enum feed_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
