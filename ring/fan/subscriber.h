/*
 * subscriber: what one connection is to get: its subscriptions, and how far it has come in the log.
 * Its bytes and its socket are those of the link of the same index (ring/link/link.h).
 *
 * Owner    A core, which has a slab of them. Threads: the core's own.
 * Memory   The slab; group_seqs come from a bounded pool.
 *
 * A subscriber gets data in one of two ways. While it keeps up it is *pushed*: the fan-out notes
 * what is due to it, and one send takes all (fanout.h). When its socket is full, or when it has to
 * be brought up to date first, it *pulls* (puller.h).
 */
#ifndef RINGCAST_RING_SUBSCRIBER_H
#define RINGCAST_RING_SUBSCRIBER_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/base/units.h"

#define SUBSCRIBER_GROUPS_MAX 6
#define SUBSCRIBER_POLICY_BITS 2
#define SUBSCRIBER_NONE UINT32_MAX

struct progress_seq;

enum subscriber_mode {
    SUBSCRIBER_OFF,     /* Gets nothing: its connection is opening, or ends. */
    SUBSCRIBER_PUSHED,  /* Gets what the fan-out notes. */
    SUBSCRIBER_PULLING, /* Reads the log on its own: on fan->pulls, unless it is held. */
    SUBSCRIBER_PAUSED,  /* The same, but its link takes nothing just now. */
    SUBSCRIBER_MODE_COUNT,
};

struct subscriber {
    _Alignas(CACHE_LINE_BYTES) uint8_t mode;
    uint8_t group_mask;      /* groups subscribed as a whole */
    uint8_t encoding;        /* Which of fan->streams it gets; 0 until it is chosen. */
    uint8_t group_lag_mask;  /* groups with a max_lag_ms, in its past */
    uint16_t group_policies; /* see subscriber_group_policy() */
    bool is_sweeping : 1;
    bool lag_exceeded : 1;    /* why it jumped last: max_lag, else a lap */
    bool is_pull_queued : 1;  /* on fan->pulls */
    bool has_lag_limit : 1;   /* a subscription of its has, or had, a max_lag_ms */
    bool lag_is_reported : 1; /* since it was last up to date */
    bool is_replayed : 1;     /* has one of fan->replays */
    bool in_history : 1;      /* struct subscriber_past counts; it stays in pull mode */
    bool reads_json : 1;      /* in_history, and what its own log does not have: fan_source() */
    bool has_failed : 1;      /* There is no room for it: it gets nothing more, and ends. */
    bool is_slow : 1;         /* It lagged too far and is closed: it gets nothing more. */
    bool is_held : 1;         /* A message of its is being answered; it stays in pull mode. */
    bool has_losses : 1;      /* lost or conflated frames, counted in its past */
    uint64_t frames_sent;
    uint64_t cursor;                 /* while it pulls: index of the next frame to read */
    struct progress_seq *group_seqs; /* per channel, for group_mask; NULL while pushed */
    uint32_t group_seqs_count;
    uint32_t group_place; /* in the list of those with the same group_mask */
    uint32_t sub_first;
    uint32_t sub_count;
    uint32_t sweep_sub;      /* where the sweep goes on; SUB_NONE: subs are done */
    uint32_t sweep_channel;  /* then the groups' channels */
    uint32_t frames_at_tick; /* frames_sent at its last tick */
};
static_assert(sizeof(struct subscriber) == CACHE_LINE_BYTES, "counted per connection");

/* What few subscribers need: by index, and touched when it is first used. */
struct subscriber_past {
    /* While subscriber->in_history. */
    uint64_t end;      /* Frames before this index are all sent: none conflated, none too late. */
    uint64_t first;    /* The oldest frame found that the cursor is to go back to, in the JSON log
                        * (UINT64_MAX: none), */
    uint64_t seek_at;  /* and how far the search has come: 1 + the index of the channel's frame */
    uint32_t seek_sub; /* that is read next; 0: its newest. SUB_NONE: all are found. */
    /* With subscriber->has_losses: see fan_losses(). */
    uint64_t frames_lost;
    uint64_t frames_conflated;
    /* Where subscriber->group_lag_mask says so. */
    uint16_t group_max_lag_ms[SUBSCRIBER_GROUPS_MAX];
};

/* An enum lag_policy, of a group in its group_mask. */
static inline uint32_t subscriber_group_policy(const struct subscriber *subscriber, uint32_t group)
{
    return subscriber->group_policies >> SUBSCRIBER_POLICY_BITS * group &
           ((1u << SUBSCRIBER_POLICY_BITS) - 1);
}

void subscriber_set_group_policy(struct subscriber *subscriber, uint32_t group, uint32_t policy);

/* The only place where its mode changes. */
void subscriber_enter(struct subscriber *subscriber, enum subscriber_mode next);

#endif
