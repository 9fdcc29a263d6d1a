/*
 * roll: the clients of all cores, as an operator sees them.
 *
 * An operator's request takes one or two rounds, in which each core does its part in slices. A
 * round of ROLL_LIST writes a row for each client. From these the caller picks some, and a round of
 * ROLL_DETAIL or ROLL_CLOSE goes to the picked ones that are still there.
 *
 * Owner    The caller of a round (struct roll_desk), until it has returned.
 * Threads  During a round: the cores. Each writes rows of its own, whose numbers come from count.
 * Memory   The arrays are the caller's, malloc'ed; after an error the roll is empty, since a core
 *          may still have them. Clients that come while there is no row left are not listed.
 */
#ifndef RINGCAST_SRC_ROLL_H
#define RINGCAST_SRC_ROLL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "codec/ip_address.h"

#define ROLL_NAME_BYTES_MAX 64
#define ROLL_CERTIFICATE_BYTES_MAX 80 /* longer names are cut */

enum roll_round {
    ROLL_LIST,   /* a row for each client */
    ROLL_DETAIL, /* The picked ones get their details. */
    ROLL_CLOSE,  /* The same, and then they are closed with code. */
    ROLL_SAMPLE, /* Each client's quality is sampled: no rows. */
};

enum roll_state {
    ROLL_STREAMING,
    ROLL_BLOCKED,
    ROLL_CATCHING_UP,
};

struct roll_row {
    uint64_t number; /* of the session, which is named CORE-NUMBER: never used again */
    uint32_t core;
    uint32_t conn;
    uint64_t frames_sent, frames_lost, frames_conflated;
    uint64_t lag_frames, lag_ms;
    uint64_t opened_ns;  /* CLOCK_MONOTONIC */
    uint64_t bytes_sent; /* with has_bytes */
    struct ip_address address;
    uint16_t port; /* 0: what a proxy says has none */
    bool is_unix;  /* Then there is no address. */
    bool has_bytes;
    bool is_there;    /* of a picked one: it still is, and was visited */
    uint8_t encoding; /* enum core_encoding_number */
    uint8_t state;    /* enum roll_state */
    int8_t quality;   /* 0 to 100; QUALITY_UNKNOWN */
    uint32_t subscription_count;
    uint32_t round_trip_us;             /* 0: not known */
    const char *cause;                  /* of its lag; NULL: it has none */
    const char *tls, *cipher;           /* NULL: it speaks no TLS */
    char name[ROLL_NAME_BYTES_MAX + 1]; /* of its token or certificate; empty: it has none */
    char certificate[ROLL_CERTIFICATE_BYTES_MAX + 1]; /* empty: it has a token, or neither */
};

struct roll_channel {
    uint32_t channel;
    _Atomic uint32_t subscriber_count;
};

struct roll {
    enum roll_round round;
    bool with_details; /* ROLL_LIST writes address and bytes of all: two system calls for each */
    uint16_t code;

    struct roll_row *rows;
    uint32_t capacity;
    _Atomic uint32_t count; /* rows taken; may be more than capacity */

    struct roll_channel *channels; /* ROLL_LIST counts their subscribers, too. */
    uint32_t channel_count;

    struct roll_row **picked;
    uint32_t picked_count;

    uint64_t sampled_ns; /* ROLL_SAMPLE: when the samples before were taken; 0: there are none */
};

/* Carries out a round. 0; -ETIMEDOUT, -ESHUTDOWN: as commands_call(); -ENOMEM: no rows. ROLL_LIST
 * makes the rows. */
struct roll_desk {
    int (*run)(void *context, struct roll *roll);
    void *context;
};

static inline uint32_t roll_count(struct roll *roll)
{
    uint32_t count = atomic_load_explicit(&roll->count, memory_order_relaxed);
    return count < roll->capacity ? count : roll->capacity;
}

#endif
