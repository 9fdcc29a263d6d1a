/*
 * tar: a few small files as one archive of the format ustar, which every tar(1) reads.
 *
 * Owner    The caller; an entry of tar_next points into the caller's bytes.
 * Threads  One at a time.
 * Memory   tar_add grows a buffer; tar_deinit frees it.
 * Units    Sizes are bytes.
 * Errors   A negative errno. What is read is judged as foreign bytes: -EINVAL with *fault_out.
 * Source   POSIX.1-2017, pax, ustar interchange format.
 */
#ifndef RINGCAST_SRC_TAR_H
#define RINGCAST_SRC_TAR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TAR_BYTES_MAX (64u * 1024 * 1024) /* of an archive */
#define TAR_NAME_BYTES_MAX 257            /* of an entry: 155, a slash, 100, and its end */

struct tar_entry {
    char name[TAR_NAME_BYTES_MAX]; /* without a slash in front */
    mode_t mode;                   /* permissions only */
    uid_t uid;
    gid_t gid;
    int64_t modified_s;
    const uint8_t *bytes;
    size_t size;
};

struct tar {
    uint8_t *bytes;
    size_t size;
};

/* -EINVAL: the name has a control character. -ENAMETOOLONG: ustar cannot express the name. -EFBIG:
 * over TAR_BYTES_MAX. -ENOMEM. */
int tar_add(struct tar *tar, const struct tar_entry *entry);
int tar_end(struct tar *tar);
void tar_deinit(struct tar *tar);

/* The entry at *at, which moves on. 1: an entry; 0: the end of the archive. Only regular files are
 * understood, and names that stay below the folder in which they are put. */
int tar_next(const uint8_t *bytes, size_t size, size_t *at, struct tar_entry *entry_out,
             const char **fault_out);

#endif
