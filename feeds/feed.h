/*
 * feed: a source of ticks.
 *
 * Owner    The publisher opens feeds, polls them and closes them.
 * Threads  The publisher's only. poll never blocks and never sleeps: it returns the time of the
 *          next poll, and watch() names a descriptor that brings it forward.
 * Memory   A feed allocates at open; a tick it hands over is borrowed for the call.
 * Units    now_ns is CLOCK_REALTIME in nanoseconds since the Unix epoch.
 * Errors   open: 0 or a negative errno with a message that says what to do. A feed that ends or
 *          dies says so once through the sink's log function and reports FEED_NEVER.
 */
#ifndef RINGCAST_FEEDS_FEED_H
#define RINGCAST_FEEDS_FEED_H

#include "codec/base/keyed_hash.h"
#include "codec/md.h"

#define FEED_NEVER UINT64_MAX
#define FEED_ERROR_BYTES_MAX 512

enum feed_level {
    FEED_INFO,
    FEED_WARNING,
    FEED_ERROR,
};

/* What the publisher gives to a feed. */
struct feed_sink {
    void *context;
    struct keyed_hash hash; /* for a feed's tables of names, which its source chooses */

    /* The channel of a symbol and type, made when new; UINT32_MAX: the channel table is full or
     * the symbol is not 1 to 32 bytes of UTF-8. The same pair always has the same number. */
    uint32_t (*open_channel)(void *context, const char *symbol, size_t symbol_bytes,
                             enum md_type type);

    /* One tick. It is never refused: one that cannot be encoded is counted by the publisher, and
     * its subscribers see a GAP in its place. */
    void (*publish)(void *context, const struct md_update *update);

    /* The source had something for this channel (of open_channel) that could not be had: a hole in
     * its sequence, a message that is no message. Subscribers see a GAP. */
    void (*lost)(void *context, uint32_t channel);

    /* How many more ticks this poll may hand over: 0 means return now and be polled again. */
    uint32_t (*room)(void *context);

    /* From now on the feed is also polled when fd is readable (or at its end, or broken), until
     * another takes its place; -1: no more. It must be told so before it closes fd. One that has
     * several descriptors, or waits to write, gives an epoll descriptor. For open and poll. */
    void (*watch)(void *context, int fd);

    /* A line for the operator, without newline. Rare events only. */
    void (*log)(void *context, enum feed_level level, const char *text);
};

struct feed_counters {
    uint64_t ticks;     /* handed over */
    uint64_t skipped;   /* well-formed input that is no tick */
    uint64_t malformed; /* input that does not parse */
    uint64_t holes;     /* missing stretches in the source's own sequence */
    uint64_t passes;    /* completed passes of a replay */
    uint64_t lost;      /* ticks that found the queue of the feed's thread full */
};

struct feed;

struct feed_ops {
    const char *name; /* "sim" */
    const char *help; /* keys and defaults, one per line, for --help */
    /* spec: what follows the name and its colon, or "". -EINVAL and others: error_out says which
     * key is wrong and what is valid. */
    int (*open)(struct feed **feed_out, const char *spec, const struct feed_sink *sink,
                uint64_t now_ns, char error_out[FEED_ERROR_BYTES_MAX]);
    /* Hands over what is due at now_ns, at most sink->room() ticks. Returns when it wants to be
     * polled next: a time, now_ns or less for "at once", FEED_NEVER when it has ended. It is polled
     * once a second at least. */
    uint64_t (*poll)(struct feed *feed, uint64_t now_ns);
    void (*close)(struct feed *feed);
};

/* The head of every feed's own struct. */
struct feed {
    const struct feed_ops *ops; /* of feed_open */
    const struct feed_sink *sink;
    struct feed_counters counters;
    /* May fall behind without harm (a replay flat out): the publisher polls it only while the
     * slowest core is within half a log. Others are always polled and may lap a core. */
    bool elastic;
    /* ts_event_ns of its ticks is when they should be published: how late the publisher is counts
     * from there, and from ts_recv_ns for others. */
    bool is_scheduled;
};

/* The feeds that there are: a row each in feed.c. NULL: no more. */
const struct feed_ops *feed_at(size_t index);

/* spec: NAME or NAME:key=value,key=value. Opens the named feed. An unknown name or key is
 * -EINVAL and names the nearest one. */
int feed_open(struct feed **feed_out, const char *spec, const struct feed_sink *sink,
              uint64_t now_ns, char error_out[FEED_ERROR_BYTES_MAX]);

/* For implementations: reads key=value pairs of a spec (the part after the colon; a value may
 * hold no comma). */
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

/* For implementations: one line for the operator, cut at FEED_ERROR_BYTES_MAX. */
void feed_log(const struct feed *feed, enum feed_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
