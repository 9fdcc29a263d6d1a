/*
 * memory_limit: what the cgroups of this process let it use.
 *
 * It walks from the process's own cgroup, of version 1 or 2, up to the mount: each may have a
 * limit.
 *
 * Threads  Any that may block: it reads files.
 * Memory   None is kept.
 * Errors   What cannot be read is no limit.
 */
#ifndef RINGCAST_SRC_MEMORY_LIMIT_H
#define RINGCAST_SRC_MEMORY_LIMIT_H

#include <stdint.h>

#define MEMORY_LIMIT_PATH_BYTES_MAX 4096

struct memory_limit {
    uint64_t limit_bytes;     /* the smallest; 0: none */
    uint64_t used_bytes;      /* of it, without file pages that can be dropped at once */
    uint64_t available_bytes; /* the least that any of the limits leaves; UINT64_MAX: no limit */
    char path[MEMORY_LIMIT_PATH_BYTES_MAX]; /* of the file that has limit_bytes; empty: none */
};

/* root: before every path that is read; "" except in tests. */
void memory_limit_read(struct memory_limit *limit_out, const char *root);

#endif
