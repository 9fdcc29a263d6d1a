#include "feeds/replay/line_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/probes.h"
#include "feeds/standard_input.h"

#define LINE_READER_BLOCK_BYTES (64 * KIB)
#define LINE_READER_AHEAD_BYTES MIB /* asked for when a block is not in memory */
#define LINE_READER_MISSES_MAX                                                                     \
    1000                           /* Then it is waited for: it may be evicted again and again.    \
                                    */
#define LINE_READER_TURN_BYTES MIB /* read of one line before others get a turn */
/* The longest line with its CR and LF always fits. */
#define LINE_READER_BUFFER_BYTES_MAX (LINE_READER_LINE_BYTES_MAX + 2)

/* Holds the FIFO open for writing, too: it is never at its end then. */
static int line_reader_open_fifo(struct line_reader *reader, const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return -errno;
    }
    close(reader->fd);
    reader->fd = fd;
    return 0;
}

static int line_reader_check_kind(struct line_reader *reader, const char *path)
{
    struct stat status;
    if (fstat(reader->fd, &status) < 0) {
        return -errno;
    }
    bool is_input = strcmp(path, "-") == 0;
    bool is_fifo = S_ISFIFO(status.st_mode);
    reader->is_stream = is_fifo || (is_input && S_ISSOCK(status.st_mode));
    if (!reader->is_stream && !S_ISREG(status.st_mode)) {
        return S_ISDIR(status.st_mode) ? -EISDIR : -EINVAL;
    }
    return is_fifo && !is_input ? line_reader_open_fifo(reader, path) : 0;
}

int line_reader_open(struct line_reader *reader, const char *path)
{
    bool is_input = strcmp(path, "-") == 0;
    /* Not blocking: opening a FIFO would otherwise wait for its writer. */
    int fd = is_input ? standard_input_open() : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return is_input ? fd : -errno;
    }
    *reader = (struct line_reader){
        .fd = fd,
        .is_input = is_input,
        .buffer = malloc(LINE_READER_BLOCK_BYTES),
        .capacity = LINE_READER_BLOCK_BYTES,
        .may_wait = true,
    };
    int error = reader->buffer == NULL ? -ENOMEM : line_reader_check_kind(reader, path);
    if (error < 0) {
        line_reader_close(reader);
    }
    return error;
}

void line_reader_close(struct line_reader *reader)
{
    free(reader->buffer);
    if (reader->is_input) {
        standard_input_close(reader->fd);
    } else {
        close(reader->fd);
    }
    *reader = (struct line_reader){.fd = -1};
}

int line_reader_rewind(struct line_reader *reader)
{
    assert_always(!reader->is_stream);
    if (lseek(reader->fd, 0, SEEK_SET) < 0) {
        return -errno;
    }
    *reader = (struct line_reader){
        .fd = reader->fd,
        .is_input = reader->is_input,
        .buffer = reader->buffer,
        .capacity = reader->capacity,
    };
    return 0;
}

/* The buffer is full of one line: twice as much room for it. */
static int line_reader_grow(struct line_reader *reader)
{
    size_t capacity = 2 * reader->capacity;
    capacity = capacity < LINE_READER_BUFFER_BYTES_MAX ? capacity : LINE_READER_BUFFER_BYTES_MAX;
    char *grown = realloc(reader->buffer, capacity);
    if (grown == NULL) {
        return -ENOMEM;
    }
    reader->buffer = grown;
    reader->capacity = capacity;
    return 0;
}

/* As read(2). EAGAIN: it is not here yet. */
static ssize_t line_reader_read(struct line_reader *reader, void *out, size_t bytes)
{
    if (reader->is_stream || reader->may_wait || reader->miss_count == LINE_READER_MISSES_MAX) {
        reader->miss_count = 0;
        return read(reader->fd, out, bytes);
    }
    struct iovec iov = {out, bytes};
    ssize_t got = preadv2(reader->fd, &iov, 1, -1, RWF_NOWAIT);
    if (got < 0 && errno == EAGAIN) {
        reader->miss_count++;
        posix_fadvise(reader->fd, lseek(reader->fd, 0, SEEK_CUR), LINE_READER_AHEAD_BYTES,
                      POSIX_FADV_WILLNEED);
        errno = EAGAIN;
        return -1;
    }
    reader->miss_count = 0;
    return got < 0 ? read(reader->fd, out, bytes) : got; /* Mostly EOPNOTSUPP. */
}

/* Makes room and reads one block. The buffer must not be full of one line. */
static int line_reader_fill(struct line_reader *reader)
{
    /* The rest is the beginning of one line, mostly a short one. Using the same first bytes of the
     * buffer again and again keeps them in the cache. */
    if (reader->begin > 0) {
        memmove(reader->buffer, reader->buffer + reader->begin, reader->end - reader->begin);
        reader->end -= reader->begin;
        reader->begin = 0;
    }
    size_t room = reader->capacity - reader->end;
    assert_always(room > 0);
    room = room < LINE_READER_BLOCK_BYTES ? room : LINE_READER_BLOCK_BYTES;

    ssize_t bytes;
    do {
        bytes = line_reader_read(reader, reader->buffer + reader->end, room);
    } while (bytes < 0 && errno == EINTR);
    if (bytes < 0) {
        return -errno;
    }
    PROBE3(feed_read, reader->fd, bytes, 0);
    reader->is_at_file_end = bytes == 0;
    reader->end += (size_t)bytes;
    return 0;
}

/* Hands over line_bytes from begin, or reports that they end a line that was too long. */
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

/* No line end is buffered: reads on. false: the caller is to be called again, or it has failed. */
static bool line_reader_read_on(struct line_reader *reader)
{
    size_t buffered = reader->end - reader->begin;
    reader->searched = buffered;
    if (buffered == LINE_READER_BUFFER_BYTES_MAX ||
        (buffered == reader->capacity && line_reader_grow(reader) < 0)) {
        reader->begin = reader->end = reader->searched = 0;
        reader->is_discarding = true;
        return false;
    }
    reader->error = line_reader_fill(reader);
    size_t turns = (reader->end - reader->begin) / LINE_READER_TURN_BYTES;
    return reader->error == 0 && turns == buffered / LINE_READER_TURN_BYTES;
}

enum line_status line_reader_next(struct line_reader *reader)
{
    reader->error = 0;
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
        if (!line_reader_read_on(reader)) {
            return reader->error == -EAGAIN ? LINE_READER_WAIT
                   : reader->error < 0      ? LINE_READER_FAILED
                                            : LINE_READER_AGAIN;
        }
    }
}

enum line_status line_reader_bytes(struct line_reader *reader, size_t bytes_min)
{
    assert_always(bytes_min > 0 && bytes_min <= LINE_READER_BLOCK_BYTES);
    reader->error = 0;
    while (reader->end - reader->begin < bytes_min && !reader->is_at_file_end) {
        reader->error = line_reader_fill(reader);
        if (reader->error < 0) {
            break;
        }
    }
    reader->text = reader->buffer + reader->begin;
    reader->text_bytes = reader->end - reader->begin;
    if (reader->error < 0) {
        return reader->error == -EAGAIN ? LINE_READER_WAIT : LINE_READER_FAILED;
    }
    return reader->text_bytes > 0 ? LINE_READER_LINE : LINE_READER_END;
}

void line_reader_consume(struct line_reader *reader, size_t bytes)
{
    assert_always(bytes <= reader->end - reader->begin);
    reader->begin += bytes;
    reader->searched = 0;
}
