/*
 * frame_log_size: how much memory a frame log takes.
 *
 * Threads  Any.
 * Memory   None.
 * Errors   None: a file that cannot be asked has no bytes.
 */
#ifndef RINGCAST_RING_FRAME_LOG_SIZE_H
#define RINGCAST_RING_FRAME_LOG_SIZE_H

#include "ring/board/frame_log.h"

/* What a log touches when it is created, unless it is lazy: its bytes and their descriptors. */
uint64_t frame_log_size_at_once(const struct frame_log_options *options);

/* The most that it can ever take: those, saved images, what it knows of each channel, holds. */
uint64_t frame_log_size_most(const struct frame_log_options *options);

/* What its file takes now, without the holds and what only this process keeps of channels. It asks
 * the kernel. */
uint64_t frame_log_size_now(const struct frame_log *log);

#endif
