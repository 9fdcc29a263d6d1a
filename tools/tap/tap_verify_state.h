/* tap_verify_state: the state of tap_verify, for its own files only. */
#ifndef RINGCAST_TOOLS_TAP_VERIFY_STATE_H
#define RINGCAST_TOOLS_TAP_VERIFY_STATE_H

#include <openssl/evp.h>

#include "tools/tap/tap_verify.h"

#define TAP_DIGEST_BYTES 32
#define TAP_NAME_BYTES_MAX 96

/* A frame as its first reader received it. */
struct tap_frame {
    uint64_t seq; /* 0: no reader has received it */
    uint64_t hash;
    uint64_t payload_bytes;
    uint8_t digest[TAP_DIGEST_BYTES];
};

/* One reader's place in one channel. */
struct tap_track {
    uint64_t first_seq; /* 0: no frame yet */
    uint64_t next_seq;  /* That of the next frame; before the first: the one of SUBSCRIBED, or 0. */
    uint64_t frames;
    uint64_t gap_to;      /* The last GAP's end: a book's snapshot may repeat it. */
    uint64_t hash;        /* running, after the frame chain_next - 1 */
    uint64_t chain_next;  /* 0: the chain is broken */
    uint64_t proven_next; /* Where it began, or was last compared. */
};

struct tap_channel {
    uint64_t number;
    char name[TAP_NAME_BYTES_MAX]; /* symbol and type, as in the frames */
    struct tap_track *tracks;      /* one per reader */
    struct tap_frame *window;      /* a ring by seq: base_seq up to end_seq, not included */
    uint64_t window_count;         /* a power of two */
    uint64_t base_seq;
    uint64_t end_seq;
    uint64_t goal_seq;
    uint64_t digest_first; /* The range that is digested; 0: none yet. */
    uint64_t digest_last;
    uint64_t digest_frames;
    uint64_t digest_bytes;
    bool digest_is_broken; /* A frame left the window before it could be digested. */
    EVP_MD_CTX *digest;
};

struct tap_verify {
    uint32_t reader_count;
    struct tick_scan scan;
    uint32_t *indexes; /* By channel number: index + 1. */
    struct tap_channel *channels;
    uint32_t channel_count;
    uint32_t channel_capacity;
    char epoch[64];
    uint64_t frames;
    uint64_t bytes;
    uint64_t reported_frames, reported_ranges;
    uint64_t unreported_frames, unreported_ranges;
    uint64_t duplicates;
    uint64_t differing;
    uint64_t not_compared;
    uint64_t hashes_given;
    uint64_t hash_checks;
    uint64_t proven_frames;
    uint64_t faults;
    json_t *missing;    /* the first LISTED_MAX */
    json_t *fault_list; /* likewise */
    EVP_MD *sha256;
};

/* Digests the frames that all readers have, and forgets them. */
void tap_verify_fold(struct tap_verify *verify, struct tap_channel *channel);

#endif
