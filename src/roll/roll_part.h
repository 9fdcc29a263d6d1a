/*
 * roll_part: a core's part of a round through the clients (src/base/roll.h).
 *
 * Owner    The caller of the round. Threads: work: the core's own.
 * Memory   The rows are the caller's. For the quality a table by connection, 20 bytes each, which
 *          is touched at a connection's first sample.
 * Units    core_spend(): a slice of a mail ends with CORE_MAIL_UNITS.
 */
#ifndef RINGCAST_SRC_ROLL_PART_H
#define RINGCAST_SRC_ROLL_PART_H

#include "src/base/roll.h"
#include "src/session/session.h"

/* How far a core has come in a round. */
struct roll_part {
    struct sessions *sessions;
    struct roll *roll;
    uint32_t next;           /* connection, or picked row */
    bool has_counted;        /* the subscribers of roll->channels */
    uint32_t band_counts[3]; /* of ROLL_SAMPLE: good, fair, poor */
};

/* For struct core_mail; context: struct roll_part. */
bool roll_part_work(void *context, struct core *core, uint64_t now_ns);

#endif
