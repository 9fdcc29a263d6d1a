/*
 * shared_memory: memory that other processes can map once they have its descriptor.
 *
 * Owner    Its creator. It has no name in any file system: it ends with the last process that has
 *          it open or mapped.
 * Threads  Any one at a time.
 * Memory   Zeroed, and taken page by page as it is touched. The view begins at a multiple of
 *          LAYOUT_AREA_BYTES, like the file, so that its areas can be of huge pages.
 * Units    Bytes of the file. Those from twice_at on are mapped again, right behind the end.
 * Errors   0 or a negative errno. No function logs.
 */
#ifndef RINGCAST_RING_SHARED_MEMORY_H
#define RINGCAST_RING_SHARED_MEMORY_H

#include <stdint.h>

struct shared_memory {
    uint8_t *view;
    uint64_t bytes;    /* a multiple of pages */
    uint64_t twice_at; /* bytes: nothing is mapped twice */
    int fd;
};

/* For this user only (mode 0600), closed by exec. *memory_out is untouched on failure. */
int shared_memory_create(struct shared_memory *memory_out, const char *name, uint64_t bytes,
                         uint64_t twice_at);
/* Maps what another process made, read-only. On success the view owns the descriptor. */
int shared_memory_open(struct shared_memory *memory_out, int fd, uint64_t bytes, uint64_t twice_at);
void shared_memory_close(struct shared_memory *memory);

/* Takes the pages from at on, which may be in the second view: that one begins at bytes. */
int shared_memory_touch(struct shared_memory *memory, uint64_t at, uint64_t bytes);

/* Makes huge pages of areas, touched or not. That may fail: then they stay as they are. */
int shared_memory_collapse(struct shared_memory *memory, uint64_t at, uint64_t bytes);

/* Gives whole pages back; they read as zeros then. */
int shared_memory_punch(struct shared_memory *memory, uint64_t at, uint64_t bytes);

/* From now on no process, whatever its user, gets a writable view, writes, punches or changes the
 * size. This process is no exception, but the view that it has stays writable. */
int shared_memory_seal(struct shared_memory *memory);

/* A new read-only descriptor for another process. A process of this user can make a writable one
 * of it, unless the file is sealed. */
int shared_memory_read_only_fd(const struct shared_memory *memory);

#endif
