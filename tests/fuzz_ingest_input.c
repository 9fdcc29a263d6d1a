/* A producer's stream gives the same messages wherever the reads cut it. Input: a byte that chooses
 * the cuts, and the stream, through a pipe. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "feeds/ingest/ingest_input.h"

#define MESSAGE_BYTES_MAX 200  /* so that some are too long */
#define STREAM_BYTES_MAX 60000 /* A pipe takes it at once. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct digest {
    uint64_t hash;
    uint64_t message_count;
    enum ingest_input_status end;
};

static void add_message(struct digest *digest, const struct ingest_input *input)
{
    digest->message_count++;
    digest->hash = (digest->hash ^ input->message_bytes) * 0x100000001b3;
    for (size_t i = 0; i < input->message_bytes; i++) {
        digest->hash = (digest->hash ^ (uint8_t)input->message[i]) * 0x100000001b3;
    }
}

/* Writes the next piece, or closes the pipe behind the last. */
static size_t write_piece(int *fd, const uint8_t *stream, size_t bytes, size_t piece_bytes)
{
    size_t piece = piece_bytes < bytes ? piece_bytes : bytes;
    if (piece > 0) {
        assert_always(write(*fd, stream, piece) == (ssize_t)piece);
    } else if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
    return piece;
}

/* Whoever looks at /proc/PID/fd holds a descriptor for a moment: then its close() takes effect
 * after it has returned, and the pipe seems to be empty. */
static void read_piece(struct ingest_input *input)
{
    int error;
    do {
        error = ingest_input_read(input);
    } while (error == -EAGAIN);
    assert_always(error == 0);
}

/* The pieces have 1 to piece_bytes_max bytes. */
static struct digest read_in_pieces(const uint8_t *stream, size_t bytes, size_t piece_bytes_max)
{
    struct digest digest = {.end = INGEST_INPUT_MESSAGE};
    struct ingest_input input;
    int fds[2];
    size_t at = 0;
    assert_always(pipe2(fds, O_NONBLOCK | O_CLOEXEC) == 0);
    assert_always(ingest_input_init(&input, fds[0], false) == 0);
    input.message_bytes_max = MESSAGE_BYTES_MAX;
    while (digest.end == INGEST_INPUT_MESSAGE) {
        enum ingest_input_status status = ingest_input_next(&input);
        if (status == INGEST_INPUT_MESSAGE) {
            assert_always(input.message_bytes <= MESSAGE_BYTES_MAX);
            add_message(&digest, &input);
        } else if (status == INGEST_INPUT_WAIT) {
            at += write_piece(&fds[1], stream + at, bytes - at, 1 + at * 7 % piece_bytes_max);
            read_piece(&input);
        } else {
            digest.end = status;
        }
    }
    write_piece(&fds[1], NULL, 0, 0);
    close(fds[0]);
    ingest_input_deinit(&input);
    return digest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > STREAM_BYTES_MAX) {
        return 0;
    }
    struct digest pieces = read_in_pieces(data + 1, size - 1, 1 + data[0] % 64);
    struct digest whole = read_in_pieces(data + 1, size - 1, 4096);
    assert_always(pieces.end == whole.end);
    assert_always(pieces.message_count == whole.message_count);
    assert_always(pieces.hash == whole.hash);
    return 0;
}
