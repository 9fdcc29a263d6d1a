#include "feeds/ingest/ingest_output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "codec/base/check.h"

#define INGEST_OUTPUT_LENGTH_BYTES 4
/* A REFUSED, an ACK, a HEARTBEAT and the ERROR. */
#define INGEST_OUTPUT_RESERVE_BYTES (4 * INGEST_OUTPUT_MESSAGE_BYTES_MAX)

int ingest_output_init(struct ingest_output *output, int fd)
{
    *output = (struct ingest_output){.fd = fd};
    output->buffer = fd < 0 ? NULL : malloc(INGEST_OUTPUT_BYTES);
    return fd >= 0 && output->buffer == NULL ? -ENOMEM : 0;
}

void ingest_output_deinit(struct ingest_output *output)
{
    free(output->buffer);
    output->buffer = NULL;
}

bool ingest_output_has_room(const struct ingest_output *output)
{
    return INGEST_OUTPUT_BYTES - (output->end - output->begin) >= INGEST_OUTPUT_RESERVE_BYTES;
}

bool ingest_output_is_empty(const struct ingest_output *output)
{
    return output->begin == output->end;
}

bool ingest_output_put(struct ingest_output *output, bool is_binary, const char *text,
                       size_t text_bytes)
{
    size_t head_bytes = is_binary ? INGEST_OUTPUT_LENGTH_BYTES : 0;
    size_t tail_bytes = is_binary ? 0 : 1;
    uint32_t length = (uint32_t)text_bytes; /* little endian: bytes.h */
    assert_always(text_bytes <= INGEST_OUTPUT_MESSAGE_BYTES_MAX);
    if (output->fd < 0) {
        return true;
    }
    if (INGEST_OUTPUT_BYTES - output->end < head_bytes + text_bytes + tail_bytes) {
        memmove(output->buffer, output->buffer + output->begin, output->end - output->begin);
        output->end -= output->begin;
        output->begin = 0;
    }
    if (INGEST_OUTPUT_BYTES - output->end < head_bytes + text_bytes + tail_bytes) {
        return false;
    }
    memcpy(output->buffer + output->end, &length, head_bytes);
    memcpy(output->buffer + output->end + head_bytes, text, text_bytes);
    output->end += (uint32_t)(head_bytes + text_bytes);
    if (!is_binary) {
        output->buffer[output->end++] = '\n';
    }
    return true;
}

int ingest_output_flush(struct ingest_output *output)
{
    while (output->begin < output->end) {
        ssize_t sent = send(output->fd, output->buffer + output->begin, output->end - output->begin,
                            MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EINTR) {
            return -errno;
        }
        output->begin += sent < 0 ? 0 : (uint32_t)sent;
    }
    output->begin = 0;
    output->end = 0;
    return 0;
}
