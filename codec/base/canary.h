/*
 * canary: planted bugs, each of which the simulation must find.
 *
 * Only the program sim_canary is compiled with them. In all others CANARY() is the constant false.
 */
#ifndef RINGCAST_CODEC_BASE_CANARY_H
#define RINGCAST_CODEC_BASE_CANARY_H

#include <stdbool.h>

#define CANARIES(CANARY_ROW)                                                                       \
    CANARY_ROW(GAP_UNSENT, "a GAP is counted, but not sent")                                       \
    CANARY_ROW(REST_DROPPED, "the rest of a frame that was cut is not sent")                       \
    CANARY_ROW(LENT_KEPT, "pages that the kernel may still read are overwritten")                  \
    CANARY_ROW(SUBSCRIBER_KEPT, "a subscriber that left still counts")                             \
    CANARY_ROW(SCOPE_KEPT, "a smaller scope ends no subscription")

enum canary {
    CANARY_NONE,
#define CANARY_ROW(name, text) CANARY_##name,
    CANARIES(CANARY_ROW)
#undef CANARY_ROW
        CANARY_COUNT,
};

#ifdef RINGCAST_CANARY
extern enum canary canary_planted;
#define CANARY(name) (canary_planted == CANARY_##name)
#else
#define CANARY(name) false
#endif

#endif
