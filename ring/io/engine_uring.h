/*
 * engine_uring: the engine that is io_uring.
 *
 * Owner    As engine.h says. Threads: open by any; then the one that has enabled it.
 * Memory   The rings and receive buffers, which the kernel shares, from open to close.
 * Errors   0 or a negative errno, which engine_uring_explain() puts into words.
 */
#ifndef RINGCAST_RING_ENGINE_URING_H
#define RINGCAST_RING_ENGINE_URING_H

#include "ring/io/engine.h"

/* On failure error_out says what forbids io_uring and what to do. */
int engine_uring_open(struct engine *engine, const struct engine_options *options,
                      char error_out[ENGINE_ERROR_BYTES_MAX]);

/* false before Linux 6.5: there a send by reference takes a lock of the Unix-domain peer, which the
 * peer holds while its read waits for memory. One such client would stop the thread. */
bool engine_uring_sends_files_to_unix(void);

/* The words for an errno of io_uring_setup(2). */
void engine_uring_explain(int error, char *text_out, size_t text_bytes);

#endif
