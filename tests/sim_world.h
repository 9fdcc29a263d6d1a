/*
 * sim_world: what the simulation's parts share: the world (sim_core.c: a core, and what is
 * published), its clients (sim_clients.c), who know what they may be sent, and a flood of others
 * (sim_flood.c). One thread.
 */
#ifndef RINGCAST_TESTS_SIM_WORLD_H
#define RINGCAST_TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring/core/core_state.h"
#include "tests/sim_peer.h"

#define CHANNELS 80 /* More than the first table of a conn that pulls groups has. */
#define CHANNELS_AT_FIRST 12
#define GROUPS 3 /* channel % 3; 0 and 2 are full images */
#define CLIENTS 24
#define ENCODINGS 2       /* The second begins and ends as clients come and go. */
#define FLOOD_CLIENTS 300 /* that come at once */
#define SOCKETS 64        /* A client may be back before its old one is closed. */
#define CONNS_MAX (CLIENTS + 8 + FLOOD_CLIENTS + CORE_SPARE_CONNS)
#define FRAME_BYTES_MAX 4096
#define NOISE_NS NS_PER_SECOND
#define CALM_NS (6 * NS_PER_SECOND)
#define DRAIN_NS (NS_PER_SECOND / 4)
#define NOT_EXPECTED 0
#define WORLD_LISTENER_FD 3
#define WORLD_TLS_LISTENER_FD 4
#define RESUMED_MAX 20 /* cursors in a message */
#define REPLAYED_MAX 4 /* channels of a replay */
#define MESSAGE_MAX (64 + 32 * RESUMED_MAX)

enum client_state {
    CLIENT_AWAY,
    CLIENT_SHAKING,
    CLIENT_READY,
};

struct expected {
    uint64_t next; /* NOT_EXPECTED: not subscribed */
    /* Conflated at some time since its last frame: what was passed over then is told by no GAP. */
    bool conflated;
    bool snapshot; /* the newest frame, next - 1, may come first */
    /* Frames up to it are of before the client resumed: none is conflated. */
    uint64_t past_seq;
    bool restart_due; /* The next GAP says that the epoch is another. */
};

struct client {
    enum client_state state;
    uint32_t conn; /* told by WELCOME */
    uint32_t encoding;
    struct sim_peer peer;
    struct sim_tls tls;
    uint64_t stalled_until_ns;
    size_t read_max;
    struct expected channels[CHANNELS];
    uint8_t group_mask;
    bool group_conflates[GROUPS];
    bool exact[CHANNELS];
    bool exact_conflates[CHANNELS];
    uint32_t asked;                 /* requests that are under way */
    bool has_limit;                 /* Asked for a max_lag_ms once. */
    uint32_t once_channel;          /* A snapshot is to come next, ... */
    bool has_replay_end;            /* A range was asked for: what it had before holds on. */
    bool replay_conflates;          /* what follows */
    uint64_t replay_last[CHANNELS]; /* the seq that is to be the last of a replay */
    uint64_t once_seq;              /* ... of this frame; 0: none. */
    bool closed_by_server;
    bool may_be_cut;      /* Asked for LAG_DISCONNECT once. */
    bool asked_for_close; /* by 4000 */
    bool was_told_of_drain;
    bool left_conflated; /* What was passed over when it unsubscribed, it cannot count. */
    uint64_t received, lost, conflated;
    /* Kept when it connects again. */
    uint64_t cursors[CHANNELS]; /* 1 + the last seq it got; 0: none */
    uint32_t epoch;
};

/* What a client had got when it read a Close frame. */
struct told {
    bool is_known;
    uint16_t code;
    uint64_t received, lost;
};

struct sim_world {
    struct core *core;
    struct core_encoding encodings[ENCODINGS];
    struct core_claims claims;
    struct core_counters counters;
    struct client clients[CLIENTS];
    uint64_t published[CHANNELS];
    uint32_t channel_count; /* Others come as time goes by. */
    uint64_t began_ns;
    char fault[256];             /* empty: none */
    const struct client *client; /* whose bytes are looked at */
    struct told told[CONNS_MAX];
    char asked[CONNS_MAX][MESSAGE_MAX]; /* by conn: its newest message */
    uint64_t ticked_ns[CONNS_MAX];      /* by conn: on_tick */
    bool is_asked;                      /* A message is being answered. */
    bool has_limit;                     /* --max-lag-ms */
    bool has_tls;                       /* Half of the clients speak it, */
    bool floods;                        /* and many come at once. */
    bool publishes_elsewhere;           /* while the core is inside enter() */
    bool is_scarce; /* The core's pools are so small that clients are cut off. */
    uint32_t out_block_count;
    uint64_t seqs_bytes;
    uint64_t next_publish_ns;
    uint64_t gaps, frames, closes, ends, runs, lags, holds;
    uint64_t resumed, resumed_in_part, past_frames, snapshots, images, replays, whole_replays;
    uint64_t recoded, as_json; /* frames of the first encoding's log for who has the second */
    uint32_t epoch;
    bool never_encodes;   /* Who wants the second encoding waits in vain. */
    bool second_is_rare;  /* Few want it, and not for long: it ends and begins often. */
    bool second_is_small; /* A core gets on faster in its log. */
    bool drains;          /* It is drained before it is stopped. */
    bool refuses;         /* It refuses new clients meanwhile. */
    uint64_t drains_at_ns;
    uint64_t flooded, waiting_max; /* served of them, and waiting at one time */
    uint64_t replaced_bytes, later, late_count, linked_frames, linked_cuts, flushed;
};

extern struct sim_world world;

/* The first fault ends the history; later ones are not noted. */
void world_fail(const char *what);

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            world_fail(#condition);                                                                \
        }                                                                                          \
    } while (0)

/* The payload of a channel's frame with this seq, the same each time; out has FRAME_BYTES_MAX. */
size_t frame_payload(char *out, uint32_t encoding, uint32_t channel, uint64_t seq);

static inline bool is_full_image(uint32_t channel)
{
    return channel % GROUPS != 1;
}

/* Reads, asks, stalls, comes and goes, as chance will have it. */
void client_step(struct client *client);

/* Before a life begins; as time goes by; shortly before the end. */
void flood_begin(void);
void flood_step(void);
void flood_check(void);

/* Keeps the cursors with which it resumes. */
void client_remember(struct client *client);

#endif
