/*
 * session_call: a client's message while it is being answered, and what that costs.
 *
 * A function that returns false is to be called again with the same call, in a later slice: all
 * that it goes on from is in call->at.
 */
#ifndef RINGCAST_SRC_SESSION_CALL_H
#define RINGCAST_SRC_SESSION_CALL_H

#include "src/request/request.h"
#include "src/session/session_patterns.h"

/* What a request costs, see core_spend(). */
#define SESSION_NAME_UNITS 4     /* a symbol and type, to look it up */
#define SESSION_ENTRY_UNITS 8    /* its entry in an answer */
#define SESSION_WARNING_UNITS 50 /* for a key that is not used, and the nearest one that is */
#define SESSION_COVER_UNITS 6    /* a channel that is subscribed or left with others */
#define SESSION_FEED_UNITS 24    /* a feed in a STATUS */
#define SESSION_HEARTBEAT_UNITS 2000
#define SESSION_PATTERNS_PER_UNIT 3 /* matched against a symbol */
#define SESSION_SCAN_CHANNELS 64
#define SESSION_SCAN_UNITS 32 /* for this many channels that are read */

/* Of the name of a pattern, whose channels are walked through. */
enum session_name_step {
    SESSION_NAME_BEGINS,
    SESSION_NAME_COVERS,   /* subscribes them */
    SESSION_NAME_COUNTS,   /* only those that have come since */
    SESSION_NAME_RELEASES, /* leaves them to others, or ends them */
};

/* How far the answer to a message has come: all that a next slice goes on from. */
struct session_place {
    uint8_t step;      /* of the request */
    uint8_t name_step; /* of one name */
    uint8_t type;
    bool is_changed; /* the settings of the pattern */
    bool is_defining;
    uint32_t name; /* symbol, cursor or pattern */
    uint32_t channel;
    uint32_t seen;   /* how many channels the last walk through them saw */
    int64_t covered; /* or a negative errno */
    struct session_pattern pattern;
    struct symbols_place listing; /* SYMBOLS */
};

struct session_call {
    struct sessions *sessions;
    struct session *session;
    struct core *core;
    uint32_t conn;
    const struct request *request;
    uint64_t now_ns;
    uint64_t received_ns;     /* wall clock */
    uint64_t units;           /* that it has cost so far */
    bool is_whole;            /* It cannot wait for another slice. */
    bool only_shrinks;        /* There is no message: see session_jobs_shrink(). */
    bool is_judged;           /* The client's scope has changed since it began. */
    uint32_t forbidden_count; /* entries refused with 103 */
    uint32_t book_count;      /* books that SNAPSHOT asked for */
    struct session_place at;
    struct session_snapshots *snapshots; /* of SNAPSHOT, owned; see session_snapshot.c */
    struct session_replay *replay;       /* of REPLAY, owned; see session_replay.c */
    struct session_stale *stale;         /* of STATUS, owned; see session_stale.c */
};

void session_call_spend(struct session_call *call, uint32_t units);
bool session_call_must_wait(const struct session_call *call);

/* For each symbol and data type of the request, until the connection ends. */
bool session_call_each_name(struct session_call *call,
                            bool (*visit)(struct session_call *call,
                                          const struct session_name *name));
/* For each channel from call->at.channel on, until the connection ends or visit returns false. */
bool session_call_each_channel(struct session_call *call,
                               bool (*visit)(struct session_call *call, uint32_t i,
                                             const struct channel *channel));
/* For each cursor. */
bool session_call_each_cursor(struct session_call *call,
                              void (*visit)(struct session_call *call,
                                            struct request_cursor cursor));

#endif
