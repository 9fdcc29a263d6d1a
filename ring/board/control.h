/*
 * control: shows other processes whether the server is alive, and the names of its channels.
 *
 *   header: identity, heartbeat, state, channel_count | directory: an entry for each channel
 *
 * Owner    src creates it before the channels and destroys it after them.
 * Threads  append, rename: the thread that makes or names a channel, one at a time. beat: the
 *          publisher. set_state: main. read_only_fd: any. Other processes read, by the rules of
 *          layout.h.
 * Memory   One sealed shared_memory; a page of the directory is taken when its first entry is.
 * Units    now_ns is CLOCK_MONOTONIC.
 * Errors   0 or a negative errno. No function logs.
 */
#ifndef RINGCAST_RING_CONTROL_H
#define RINGCAST_RING_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "ring/board/layout.h"

#define CONTROL_BEAT_NS (100 * NS_PER_MS)

struct control;

int control_create(struct control **control_out, uint64_t epoch, uint32_t entry_count_max);
void control_destroy(struct control *control);

/* A descriptor for another process, which can only read. */
int control_read_only_fd(const struct control *control);

/* The next number's entry: may_change says whether it may ever be renamed. */
void control_append(struct control *control, uint32_t number, const struct layout_entry *entry,
                    bool may_change);
void control_rename(struct control *control, uint32_t number, const struct layout_entry *entry);

/* At each poll of the publisher, ten times a second at least. */
void control_beat(struct control *control, uint64_t now_ns);

/* Each comes once, or not at all, and in order. */
void control_set_state(struct control *control, enum layout_state state);

#endif
