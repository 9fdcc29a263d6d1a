/*
 * sim_system: what the parts of the system's simulation share: the world (sim_system.c: the server
 * and its threads), what is published (sim_ticks.c), and clients that speak the client protocol
 * and check what it promises (sim_subscriber.c, sim_requests.c). One thread.
 */
#ifndef RINGCAST_TESTS_SIM_SYSTEM_H
#define RINGCAST_TESTS_SIM_SYSTEM_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring/core/core.h"
#include "src/market/channels.h"
#include "src/market/encodings.h"
#include "tests/sim_peer.h"

#define WORLD_CORES_MAX 2
#define WORLD_SUBSCRIBERS 20
#define WORLD_SOCKETS 80
#define WORLD_LISTENER_FD 3 /* of core 0; those of others follow */
#define WORLD_SYMBOLS 12
#define WORLD_CHANNELS_MAX 1024
#define WORLD_FRAME_BYTES_MAX 16384
#define WORLD_LOG_BYTES FRAME_LOG_BYTES_MIN
#define WORLD_EPOCH "00000000000000e%u"

/* How often something happened in all runs: what stays 0 is not tested any more. */
#define WORLD_MARKS(MARK)                                                                          \
    MARK(lives, "lives")                                                                           \
    MARK(inline_lives, "lives with an inline publisher")                                           \
    MARK(urls, "subscriptions by URL")                                                             \
    MARK(frames, "data frames read")                                                               \
    MARK(laps, "laps")                                                                             \
    MARK(core_laps, "laps of a core")                                                              \
    MARK(gaps_overrun, "GAPs of an overrun")                                                       \
    MARK(gaps_lag, "GAPs of a lag limit")                                                          \
    MARK(gaps_restart, "GAPs of another epoch")                                                    \
    MARK(gaps_source, "GAPs of the source")                                                        \
    MARK(conflated, "frames conflated")                                                            \
    MARK(lents, "sends by reference")                                                              \
    MARK(replaced_bytes, "bytes of lent pages given away")                                         \
    MARK(short_sends, "sends cut")                                                                 \
    MARK(full_sends, "sends into a full socket")                                                   \
    MARK(late_completions, "late completions")                                                     \
    MARK(pin_waits, "waits of the writer for a pin")                                               \
    MARK(wakes, "cores woken")                                                                     \
    MARK(clock_back, "clock steps backwards")                                                      \
    MARK(clock_forth, "clock steps forwards")                                                      \
    MARK(leaps, "leaps of time")                                                                   \
    MARK(stops, "cores stopped for a while")                                                       \
    MARK(subscribed, "entries subscribed")                                                         \
    MARK(patterns, "patterns subscribed")                                                          \
    MARK(derived, "derived channels subscribed")                                                   \
    MARK(derived_frames, "frames of derived channels")                                             \
    MARK(modified, "entries modified")                                                             \
    MARK(lists, "lists compared")                                                                  \
    MARK(listings, "listings of symbols")                                                          \
    MARK(snapshots, "snapshots")                                                                   \
    MARK(book_parts, "parts of books")                                                             \
    MARK(replays, "replays ended")                                                                 \
    MARK(replays_in_part, "replays that the log passed")                                           \
    MARK(resumed, "channels resumed whole")                                                        \
    MARK(resumed_in_part, "channels resumed with a GAP")                                           \
    MARK(scopes, "smaller scopes")                                                                 \
    MARK(scope_drops, "entries dropped by a smaller scope")                                        \
    MARK(sbe_frames, "SBE frames read")                                                            \
    MARK(deflated_frames, "compressed frames read")                                                \
    MARK(encodings_begun, "encodings begun")                                                       \
    MARK(encodings_ended, "encodings ended")                                                       \
    MARK(encodings_refused, "clients refused, for whose encoding there was no memory")             \
    MARK(left_plain, "clients left without compression, since there was no memory")                \
    MARK(heartbeats, "HEARTBEATs")                                                                 \
    MARK(lags, "LAGs")                                                                             \
    MARK(closes, "Closes read")                                                                    \
    MARK(slow_closes, "Closes of slow clients")                                                    \
    MARK(drained, "Closes of a drain")                                                             \
    MARK(resets, "connections reset while frames were due")                                        \
    MARK(errors, "ERRORs")                                                                         \
    MARK(flushed, "ticks counted by a core")                                                       \
    MARK(blocked_ns, "nanoseconds that sockets were full")                                         \
    MARK(overslept_ns, "nanoseconds overslept")                                                    \
    MARK(slow_turns, "slow turns")                                                                 \
    MARK(failed_allocations, "allocations that failed")

struct world_marks {
#define MARK(field, text) uint64_t field;
    WORLD_MARKS(MARK)
#undef MARK
};

/* ---- What was published ---- */

struct published_frame {
    uint64_t json_hash;                /* of its payload */
    uint64_t sbe_hash;                 /* 0: not written so */
    uint64_t hash[CORE_ENCODINGS_MAX]; /* running, as its descriptor has it; */
    uint8_t hash_mask;                 /* by encoding: whether there was one */
    uint8_t flags;
};

struct published_channel {
    uint64_t count; /* The newest seq. */
    uint64_t room;
    struct published_frame *frames; /* of seq 1 first */
};

/* ---- The world ---- */

struct subscriber;

struct world {
    uint64_t seed;
    uint64_t step;
    uint64_t trace;                      /* a hash of all that clients read */
    const struct subscriber *subscriber; /* whose bytes are looked at; NULL: nobody's */
    uint32_t channel;                    /* of its newest frame */
    uint64_t seq;

    /* Of a life. */
    char epoch[17];
    struct channels *channels;
    struct encodings *encodings;
    struct published_channel published[WORLD_CHANNELS_MAX];
    uint64_t tapped[CORE_ENCODINGS_MAX]; /* indices of the logs, up to which frames were noted */
    uint32_t core_count;
    uint32_t stopped; /* a core, until: */
    uint64_t stopped_until_ns;
    bool is_inline;  /* the publisher */
    bool needs_auth; /* AUTH with a token */
    bool has_lag_limit;
    bool leaps;             /* Time jumps over minutes: every limit of time may be over. */
    bool is_scarce;         /* Allocations fail. */
    uint32_t log_count_max; /* so many logs have memory at a time; 0: all */
    bool is_calm;           /* Nothing new is asked for or published. */
    bool is_ending;         /* The server is to stop, */
    bool drains;            /* after a drain. */
    uint64_t began_ns;
    uint64_t calm_ns; /* when it is to be calm */
    struct world_marks marks;
};

extern struct world world;

/* Says what was violated, and how to see it again; ends the program. */
_Noreturn void world_fail(const char *what, const char *file, int line);

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            world_fail(#condition, __FILE__, __LINE__);                                            \
        }                                                                                          \
    } while (0)

/* ---- sim_ticks ---- */

/* Notes what was written into the logs since the last time. */
void ticks_note(void);
const struct published_frame *ticks_frame(uint32_t channel, uint64_t seq);
/* The nth symbol of the world. */
const char *ticks_symbol(uint32_t number);
void ticks_forget(void);

/* ---- sim_subscriber ---- */

#define TOKEN_ALL "token-of-all-0123456789"
#define TOKEN_SOME "token-of-some-0123456789" /* A*, quotes, trades and depth */
#define TOKEN_FEW "token-of-few-0123456789"   /* A*, quotes */

/* As if they had never connected. */
void subscribers_forget(void);
void subscriber_step(struct subscriber *subscriber);
struct subscriber *subscriber_at(uint32_t number);
/* Once all is calm: it has got what it was to get. */
void subscriber_check(const struct subscriber *subscriber);
/* What it remembers for the next life. */
void subscriber_leave(struct subscriber *subscriber, bool with_reset);

#endif
