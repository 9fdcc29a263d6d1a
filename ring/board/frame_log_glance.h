/*
 * frame_log_glance: the seq and time of a channel's newest frame, for a thread that is no reader of
 * the log: it pins nothing and makes nobody wait.
 *
 * Threads  Any. It reads as another process does, by the rules of layout.h.
 * Units    Nanoseconds since the Unix epoch.
 */
#ifndef RINGCAST_RING_FRAME_LOG_GLANCE_H
#define RINGCAST_RING_FRAME_LOG_GLANCE_H

#include "ring/board/frame_log.h"

struct frame_log_glance {
    uint64_t seq;       /* 0: the channel has had no frame */
    uint64_t ts_pub_ns; /* 0: none, or not known: the frame has left the log and was not saved */
};

struct frame_log_glance frame_log_glance(const struct frame_log *log, uint32_t channel);

#endif
