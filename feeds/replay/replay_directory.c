#include "feeds/replay/replay_directory.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"

static int replay_directory_is_file(const struct dirent *entry)
{
    return fnmatch(REPLAY_DIRECTORY_PATTERN, entry->d_name, 0) == 0;
}

static int replay_directory_compare(const struct dirent **one, const struct dirent **other)
{
    return strcmp((*one)->d_name, (*other)->d_name);
}

int replay_directory_open(struct replay_directory *directory, const char *path)
{
    struct dirent **entries;
    *directory = (struct replay_directory){0};
    int count = scandir(path, &entries, replay_directory_is_file, replay_directory_compare);
    if (count < 0) {
        return -errno;
    }
    directory->paths = calloc((size_t)count + 1, sizeof *directory->paths);
    int error = directory->paths == NULL ? -ENOMEM : count == 0 ? -ENODATA : 0;
    for (int i = 0; i < count; i++) {
        if (error == 0 && asprintf(&directory->paths[i], "%s/%s", path, entries[i]->d_name) < 0) {
            error = -ENOMEM;
        }
        directory->count += error == 0;
        free(entries[i]);
    }
    free(entries);
    if (error < 0) {
        replay_directory_close(directory);
    }
    return error;
}

int replay_directory_open_file(const struct replay_directory *directory, uint32_t index,
                               struct line_reader *reader)
{
    assert_always(index < directory->count);
    int error = line_reader_open(reader, directory->paths[index]);
    if (error == 0 && reader->is_stream) {
        line_reader_close(reader);
        error = -EINVAL;
    }
    return error;
}

void replay_directory_close(struct replay_directory *directory)
{
    for (uint32_t i = 0; i < directory->count; i++) {
        free(directory->paths[i]);
    }
    free(directory->paths);
    *directory = (struct replay_directory){0};
}
