#include "src/base/file.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "codec/base/check.h"

/* Reads to the end, or one byte more than there may be. */
static ssize_t file_fill(int fd, char *text, size_t bytes_max)
{
    size_t used = 0;
    while (used <= bytes_max) {
        ssize_t bytes = read(fd, text + used, bytes_max + 1 - used);
        if (bytes < 0 && errno == EINTR) {
            continue;
        }
        if (bytes < 0) {
            return -errno;
        }
        if (bytes == 0) {
            break;
        }
        used += (size_t)bytes;
        assert_always(used <= bytes_max + 1);
    }
    return used > bytes_max ? -EFBIG : (ssize_t)used;
}

int file_read(int fd, size_t bytes_max, char **text_out, size_t *bytes_out)
{
    char *text = malloc(bytes_max + 1);
    ssize_t bytes = text == NULL ? -ENOMEM : file_fill(fd, text, bytes_max);
    if (bytes < 0) {
        free(text);
        return (int)bytes;
    }
    assert_always((size_t)bytes <= bytes_max);
    text[bytes] = '\0';
    *text_out = text;
    *bytes_out = (size_t)bytes;
    return 0;
}

int file_write(int fd, const void *bytes, size_t count)
{
    size_t done = 0;
    while (done < count) {
        ssize_t written = write(fd, (const char *)bytes + done, count - done);
        if (written < 0 && errno != EINTR) {
            return -errno;
        }
        done += written > 0 ? (size_t)written : 0;
    }
    return 0;
}
