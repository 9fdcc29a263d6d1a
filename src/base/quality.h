/*
 * quality: how well a connection has done in the last minute, as a number from 0 to 100.
 *
 * About every QUALITY_INTERVAL_NS what it has counted is compared with the sample before. Each of
 * four faults then costs points: as many as its row of the table has when it is as bad as the row
 * says, or worse, and in proportion when it is less. The score is 100 minus the mean of the
 * last QUALITY_SAMPLES costs.
 *
 * | fault | costs at most | when |
 * | --- | --- | --- |
 * | its socket was full | QUALITY_BLOCKED_POINTS | QUALITY_BLOCKED_SHARE of the time |
 * | frames were lost | QUALITY_LOST_POINTS | QUALITY_LOST_SHARE of those due |
 * | segments were retransmitted | QUALITY_AGAIN_POINTS | QUALITY_AGAIN_SHARE of those sent |
 * | pongs were missed | QUALITY_PONG_POINTS | QUALITY_PONGS in a row |
 *
 * Owner    The caller. Threads: one at a time.
 * Memory   20 bytes for each connection.
 * Source   docs/metrics.md, "Quality of connections".
 */
#ifndef RINGCAST_SRC_QUALITY_H
#define RINGCAST_SRC_QUALITY_H

#include <stdbool.h>
#include <stdint.h>

#include "codec/base/units.h"

#define QUALITY_INTERVAL_NS (20 * NS_PER_SECOND)
#define QUALITY_SAMPLES 3
#define QUALITY_SHORTEST_NS NS_PER_SECOND /* What was counted in less time says too little. */
/* After more time the counts may have run over: the next sample begins anew. */
#define QUALITY_LONGEST_NS (60 * NS_PER_SECOND)

#define QUALITY_BLOCKED_POINTS 40
#define QUALITY_LOST_POINTS 30
#define QUALITY_AGAIN_POINTS 15
#define QUALITY_PONG_POINTS 15
#define QUALITY_BLOCKED_SHARE 0.5
#define QUALITY_LOST_SHARE 0.1
#define QUALITY_AGAIN_SHARE 0.1
#define QUALITY_PONGS 2

#define QUALITY_UNKNOWN (-1)
#define QUALITY_GOOD 80 /* and more; less than QUALITY_FAIR is poor */
#define QUALITY_FAIR 50

/* Since the connection was opened; missed_pongs: just now. */
struct quality_counts {
    uint64_t blocked_ns;
    uint64_t frames_sent, frames_lost;
    uint32_t segments, segments_again; /* 0: not known */
    uint32_t missed_pongs;
};

/* One connection. All 0: none yet. Of the session's number and of the counts the low digits. */
struct quality {
    uint32_t frames_sent;
    uint32_t frames_lost : 24;
    uint32_t newest_cost : 8;
    uint32_t segments : 24;
    uint32_t middle_cost : 8;
    uint32_t segments_again : 16;
    uint32_t blocked_ms : 16;
    uint32_t number : 22; /* to tell it from the session before */
    uint32_t cost_count : 2;
    uint32_t oldest_cost : 8;
};

/* Whether it is that session's. */
bool quality_is_of(const struct quality *quality, uint64_t number);
/* Another session has the connection. */
void quality_begin(struct quality *quality, uint64_t number);
/* passed_ns: since the sample before; of the first one, since the connection was opened. */
void quality_sample(struct quality *quality, const struct quality_counts *counts,
                    uint64_t passed_ns);
/* 0 to 100; QUALITY_UNKNOWN: there is no sample yet. */
int quality_score(const struct quality *quality);

#endif
