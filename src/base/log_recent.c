#include "src/base/log_recent.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "codec/base/check.h"
#include "src/base/file.h"

struct log_recent_line {
    uint16_t bytes;
    char text[LOG_RECENT_LINE_BYTES_MAX - 2];
};

static struct {
    pthread_mutex_t mutex;
    uint64_t count; /* put so far */
    struct log_recent_line lines[LOG_RECENT_LINES];
} log_recent = {.mutex = PTHREAD_MUTEX_INITIALIZER};

void log_recent_put(const char *line, size_t line_bytes)
{
    assert_always(line_bytes > 0);
    pthread_mutex_lock(&log_recent.mutex);
    struct log_recent_line *slot = &log_recent.lines[log_recent.count++ % LOG_RECENT_LINES];
    slot->bytes = (uint16_t)(line_bytes < sizeof slot->text ? line_bytes : sizeof slot->text);
    memcpy(slot->text, line, slot->bytes);
    slot->text[slot->bytes - 1] = '\n';
    pthread_mutex_unlock(&log_recent.mutex);
}

/* The line of a number; 0: it is not there (any more). */
static size_t log_recent_get(uint64_t number, struct log_recent_line *line_out)
{
    pthread_mutex_lock(&log_recent.mutex);
    bool is_there = number < log_recent.count && log_recent.count - number <= LOG_RECENT_LINES;
    if (is_there) {
        *line_out = log_recent.lines[number % LOG_RECENT_LINES];
    }
    pthread_mutex_unlock(&log_recent.mutex);
    return is_there ? line_out->bytes : 0;
}

int log_recent_write(int fd)
{
    struct log_recent_line line;
    pthread_mutex_lock(&log_recent.mutex);
    uint64_t end = log_recent.count;
    pthread_mutex_unlock(&log_recent.mutex);
    int error = 0;
    for (uint64_t i = end < LOG_RECENT_LINES ? 0 : end - LOG_RECENT_LINES; i < end && error == 0;
         i++) {
        size_t bytes = log_recent_get(i, &line);
        error = bytes == 0 ? 0 : file_write(fd, line.text, bytes);
    }
    return error;
}
