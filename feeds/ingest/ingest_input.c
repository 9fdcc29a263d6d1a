#include "feeds/ingest/ingest_input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/probes.h"

#define INGEST_INPUT_LENGTH_BYTES 4
/* The longest line with its CR LF, and the longest message with its length. */
#define INGEST_INPUT_BYTES_MAX (INGEST_INPUT_MESSAGE_BYTES_MAX + INGEST_INPUT_LENGTH_BYTES)

int ingest_input_init(struct ingest_input *input, int fd, bool is_tcp)
{
    *input = (struct ingest_input){
        .fd = fd,
        .is_tcp = is_tcp,
        .message_bytes_max = INGEST_INPUT_MESSAGE_BYTES_MAX,
        .buffer = malloc(INGEST_INPUT_BYTES),
        .capacity = INGEST_INPUT_BYTES,
    };
    return input->buffer == NULL ? -ENOMEM : 0;
}

void ingest_input_deinit(struct ingest_input *input)
{
    free(input->buffer);
    input->buffer = NULL;
}

/* ---- Messages ---- */

static enum ingest_input_status ingest_input_pass(struct ingest_input *input, size_t head_bytes,
                                                  size_t message_bytes, size_t tail_bytes)
{
    input->message = input->buffer + input->begin + head_bytes;
    input->message_bytes = message_bytes;
    input->begin += head_bytes + message_bytes + tail_bytes;
    input->searched = 0;
    assert_always(input->begin <= input->end);
    return INGEST_INPUT_MESSAGE;
}

static enum ingest_input_status ingest_input_none(const struct ingest_input *input)
{
    return input->is_at_end ? INGEST_INPUT_END : INGEST_INPUT_WAIT;
}

static enum ingest_input_status ingest_input_next_binary(struct ingest_input *input)
{
    size_t buffered = input->end - input->begin;
    uint32_t bytes;
    if (buffered < INGEST_INPUT_LENGTH_BYTES) {
        return ingest_input_none(input);
    }
    memcpy(&bytes, input->buffer + input->begin, sizeof bytes); /* little endian: bytes.h */
    if (bytes > input->message_bytes_max) {
        return INGEST_INPUT_TOO_LONG;
    }
    return buffered - INGEST_INPUT_LENGTH_BYTES < bytes
               ? ingest_input_none(input)
               : ingest_input_pass(input, INGEST_INPUT_LENGTH_BYTES, bytes, 0);
}

/* Without its CR LF. */
static enum ingest_input_status ingest_input_pass_line(struct ingest_input *input,
                                                       size_t line_bytes, size_t ending_bytes)
{
    ingest_input_pass(input, 0, line_bytes, ending_bytes);
    if (line_bytes > 0 && input->message[line_bytes - 1] == '\r') {
        input->message_bytes--;
    }
    return input->message_bytes > input->message_bytes_max ? INGEST_INPUT_TOO_LONG
                                                           : INGEST_INPUT_MESSAGE;
}

static enum ingest_input_status ingest_input_next_line(struct ingest_input *input)
{
    for (;;) {
        const char *begin = input->buffer + input->begin;
        size_t buffered = input->end - input->begin;
        const char *feed = memchr(begin + input->searched, '\n', buffered - input->searched);
        enum ingest_input_status status;
        if (feed != NULL) {
            status = ingest_input_pass_line(input, (size_t)(feed - begin), 1);
        } else if (input->is_at_end && buffered > 0) {
            status = ingest_input_pass_line(input, buffered, 0);
        } else {
            input->searched = buffered;
            return buffered > input->message_bytes_max + 1 ? INGEST_INPUT_TOO_LONG
                                                           : ingest_input_none(input);
        }
        if (input->message_bytes > 0) {
            return status;
        }
    }
}

enum ingest_input_status ingest_input_next(struct ingest_input *input)
{
    size_t buffered = input->end - input->begin;
    if (input->form == INGEST_FORM_UNKNOWN) {
        if (buffered < INGEST_INPUT_LENGTH_BYTES && !input->is_at_end) {
            return INGEST_INPUT_WAIT;
        }
        bool is_binary = buffered >= INGEST_INPUT_LENGTH_BYTES &&
                         input->buffer[input->begin + INGEST_INPUT_LENGTH_BYTES - 1] == '\0';
        input->form = is_binary ? INGEST_FORM_BINARY : INGEST_FORM_LINES;
    }
    return input->form == INGEST_FORM_BINARY ? ingest_input_next_binary(input)
                                             : ingest_input_next_line(input);
}

/* ---- Reading ---- */

static int ingest_input_resize(struct ingest_input *input, size_t capacity)
{
    char *buffer = realloc(input->buffer, capacity);
    if (buffer == NULL) {
        return -ENOMEM;
    }
    input->buffer = buffer;
    input->capacity = capacity;
    return 0;
}

/* Room behind what is buffered, which is a part of one message. */
static int ingest_input_make_room(struct ingest_input *input)
{
    size_t buffered = input->end - input->begin;
    if (input->begin > 0) {
        memmove(input->buffer, input->buffer + input->begin, buffered);
        input->begin = 0;
        input->end = buffered;
    }
    if (buffered == input->capacity) {
        size_t capacity = 2 * input->capacity;
        assert_always(buffered < INGEST_INPUT_BYTES_MAX);
        return ingest_input_resize(
            input, capacity < INGEST_INPUT_BYTES_MAX ? capacity : INGEST_INPUT_BYTES_MAX);
    }
    if (input->capacity > INGEST_INPUT_BYTES && buffered < INGEST_INPUT_BYTES) {
        (void)ingest_input_resize(input, INGEST_INPUT_BYTES);
    }
    return 0;
}

/* As read(2). recv_ns becomes the kernel's time, if it gives one. */
static ssize_t ingest_input_receive(struct ingest_input *input, void *out, size_t bytes)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(struct timespec))];
    } control;
    struct iovec iov = {out, bytes};
    struct msghdr message = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof control.bytes,
    };
    ssize_t got = recvmsg(input->fd, &message, MSG_DONTWAIT);
    if (got <= 0) {
        return got;
    }
    input->recv_ns = 0;
    for (struct cmsghdr *at = CMSG_FIRSTHDR(&message); at != NULL; at = CMSG_NXTHDR(&message, at)) {
        if (at->cmsg_level == SOL_SOCKET && at->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec stamp;
            memcpy(&stamp, CMSG_DATA(at), sizeof stamp);
            input->recv_ns = (uint64_t)stamp.tv_sec * NS_PER_SECOND + (uint64_t)stamp.tv_nsec;
        }
    }
    return got;
}

static int ingest_input_read_to(struct ingest_input *input, char *out, size_t bytes,
                                size_t *got_out)
{
    ssize_t got;
    input->recv_ns = 0;
    do {
        got = input->is_tcp ? ingest_input_receive(input, out, bytes) : read(input->fd, out, bytes);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return -errno;
    }
    if (input->recv_ns == 0) {
        input->recv_ns = clock_ns(CLOCK_REALTIME);
    }
    PROBE3(feed_read, input->fd, got, input->recv_ns);
    input->is_at_end = got == 0;
    *got_out = (size_t)got;
    return 0;
}

int ingest_input_read(struct ingest_input *input)
{
    size_t got;
    int error = ingest_input_make_room(input);
    if (error < 0) {
        return error;
    }
    size_t room = input->capacity - input->end;
    room = room < INGEST_INPUT_BYTES ? room : INGEST_INPUT_BYTES;
    assert_always(room > 0);
    error = ingest_input_read_to(input, input->buffer + input->end, room, &got);
    if (error == 0) {
        input->end += got;
    }
    return error;
}

int ingest_input_discard(struct ingest_input *input)
{
    size_t got;
    input->begin = 0;
    input->end = 0;
    return ingest_input_read_to(input, input->buffer, input->capacity, &got);
}
