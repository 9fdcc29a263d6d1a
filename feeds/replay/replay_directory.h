/*
 * replay_directory: the files of a recording, in the order of their names.
 *
 * Owner    The caller. Threads: one at a time.
 * Memory   The paths.
 * Errors   A negative errno. -ENODATA: there is none in the directory.
 */
#ifndef RINGCAST_FEEDS_REPLAY_DIRECTORY_H
#define RINGCAST_FEEDS_REPLAY_DIRECTORY_H

#include <stdint.h>

#include "feeds/replay/line_reader.h"

#define REPLAY_DIRECTORY_PATTERN "ringcast-*.sbe.zst"

struct replay_directory {
    char **paths;
    uint32_t count;
};

int replay_directory_open(struct replay_directory *directory, const char *path);
/* -EINVAL: it is a FIFO. */
int replay_directory_open_file(const struct replay_directory *directory, uint32_t index,
                               struct line_reader *reader);
void replay_directory_close(struct replay_directory *directory);

#endif
