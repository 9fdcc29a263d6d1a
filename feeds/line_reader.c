#include "feeds/line_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/base/check.h"

#define LINE_READER_BLOCK_BYTES (64 * KIB)
/* The longest line with its CR and LF always fits. */
#define LINE_READER_BUFFER_BYTES (LINE_READER_LINE_BYTES_MAX + 2)

int line_reader_open(struct line_reader *reader, const char *path)
{
    int error;
    struct stat status;
    /* Not blocking: opening a FIFO would otherwise wait for its writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return -errno;
    }
    if (fstat(fd, &status) < 0) {
        error = -errno;
        goto close_file;
    }
    if (!S_ISREG(status.st_mode)) {
        error = S_ISDIR(status.st_mode) ? -EISDIR : -EINVAL;
        goto close_file;
    }
    *reader = (struct line_reader){.fd = fd, .buffer = malloc(LINE_READER_BUFFER_BYTES)};
    if (reader->buffer == NULL) {
        error = -ENOMEM;
        goto close_file;
    }
    return 0;

close_file:
    close(fd);
    return error;
}

void line_reader_close(struct line_reader *reader)
{
    free(reader->buffer);
    close(reader->fd);
    *reader = (struct line_reader){.fd = -1};
}

int line_reader_rewind(struct line_reader *reader)
{
    if (lseek(reader->fd, 0, SEEK_SET) < 0) {
        return -errno;
    }
    *reader = (struct line_reader){.fd = reader->fd, .buffer = reader->buffer};
    return 0;
}

/* Makes room and reads one block. The buffer must not be full of one line. */
static int line_reader_fill(struct line_reader *reader)
{
    /* What is left is the beginning of one line, mostly a short one; and the same first bytes of
     * the buffer, used over and over, stay in the cache. */
    if (reader->begin > 0) {
        memmove(reader->buffer, reader->buffer + reader->begin, reader->end - reader->begin);
        reader->end -= reader->begin;
        reader->begin = 0;
    }
    size_t room = LINE_READER_BUFFER_BYTES - reader->end;
    assert_always(room > 0);
    room = room < LINE_READER_BLOCK_BYTES ? room : LINE_READER_BLOCK_BYTES;

    ssize_t bytes;
    do {
        bytes = read(reader->fd, reader->buffer + reader->end, room);
    } while (bytes < 0 && errno == EINTR);
    if (bytes < 0) {
        return -errno;
    }
    reader->is_at_file_end = bytes == 0;
    reader->end += (size_t)bytes;
    return 0;
}

/* Hands over line_bytes from begin, or says that they ended a line that was too long. */
static enum line_status line_reader_tell(struct line_reader *reader, size_t line_bytes,
                                         size_t ending_bytes)
{
    bool was_discarding = reader->is_discarding;
    reader->text = reader->buffer + reader->begin;
    reader->text_bytes = line_bytes;
    if (line_bytes > 0 && reader->text[line_bytes - 1] == '\r') {
        reader->text_bytes--;
    }
    reader->begin += line_bytes + ending_bytes;
    reader->searched = 0;
    reader->is_discarding = false;
    reader->line_number++;
    assert_always(reader->begin <= reader->end);

    if (was_discarding || reader->text_bytes > LINE_READER_LINE_BYTES_MAX) {
        return LINE_READER_TOO_LONG;
    }
    return LINE_READER_LINE;
}

enum line_status line_reader_next(struct line_reader *reader)
{
    for (;;) {
        const char *unsearched = reader->buffer + reader->begin + reader->searched;
        size_t buffered = reader->end - reader->begin;
        const char *feed = memchr(unsearched, '\n', buffered - reader->searched);
        if (feed != NULL) {
            return line_reader_tell(reader, (size_t)(feed - reader->buffer) - reader->begin, 1);
        }
        if (reader->is_at_file_end) {
            bool is_partial = buffered > 0 || reader->is_discarding;
            return is_partial ? line_reader_tell(reader, buffered, 0) : LINE_READER_END;
        }
        reader->searched = buffered;
        if (buffered == LINE_READER_BUFFER_BYTES) {
            reader->begin = reader->end = reader->searched = 0;
            reader->is_discarding = true;
            return LINE_READER_AGAIN;
        }
        reader->error = line_reader_fill(reader);
        if (reader->error < 0) {
            return LINE_READER_FAILED;
        }
    }
}
