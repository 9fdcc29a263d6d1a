/*
 * Question  What does it cost a core to decode one client message?
 * Method    For each kind of message, write BATCH_OPS masked frames, decode them all and time
 *           that; batch_count times; sort the means; report p50, p99, p99.9, max. Binary messages
 *           show unmasking alone, text adds the check of UTF-8.
 * Run       zig build bench -- ws_decoder       (full)
 *           zig build test                      (small: proves it still works)
 */
#include "bench/bench_samples.h"
#include "codec/ws_decoder.h"

#define BATCH_OPS 64
#define MESSAGE_BYTES_MAX (16 * KIB)
#define STREAM_BYTES_MAX (BATCH_OPS * (MESSAGE_BYTES_MAX + 2 * WS_HEADER_BYTES_MAX))

static const struct bench_size {
    const char *name;
    size_t batch_count;
} sizes[] = {
    {.name = "small", .batch_count = 20},
    {.name = "full", .batch_count = 5000},
};

static const struct bench_message {
    const char *name;
    enum ws_opcode opcode;
    size_t payload_bytes;
    size_t chunk_bytes; /* The stream is given in pieces of this size; 0: at once. */
    bool is_chinese;
    size_t divisor; /* So many times fewer batches. */
} bench_messages[] = {
    {"pong of 8 bytes", WS_PONG, 8, 0, false, 1},
    {"text of 80 bytes", WS_TEXT, 80, 0, false, 1},
    {"text of 1 KiB", WS_TEXT, KIB, 0, false, 1},
    {"text of 16 KiB", WS_TEXT, 16 * KIB, 0, false, 10},
    {"Chinese text of 999 bytes", WS_TEXT, 999, 0, true, 1},
    {"binary of 32 bytes", WS_BINARY, 32, 0, false, 1},
    {"binary of 256 bytes", WS_BINARY, 256, 0, false, 1},
    {"binary of 16 KiB", WS_BINARY, 16 * KIB, 0, false, 10},
    {"text of 1 KiB, split at 700", WS_TEXT, KIB, 700, false, 1},
};

static uint8_t bench_stream[STREAM_BYTES_MAX];
static uint8_t bench_buffer[MESSAGE_BYTES_MAX];

static size_t bench_write(const struct bench_message *message)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    size_t at = 0;
    for (int op = 0; op < BATCH_OPS; op++) {
        at += ws_frame_client_header(bench_stream + at, message->opcode, message->payload_bytes,
                                     mask);
        for (size_t i = 0; i < message->payload_bytes; i++) {
            bench_stream[at + i] =
                message->is_chinese ? (uint8_t) "\xe5\xb9\xb3"[i % 3] : (uint8_t)('a' + i % 26);
        }
        ws_frame_mask(bench_stream + at, message->payload_bytes, mask, 0);
        at += message->payload_bytes;
    }
    return at;
}

/* Returns a checksum; every message must arrive. */
static uint64_t bench_decode(struct ws_decoder *decoder, size_t stream_bytes, size_t chunk_bytes)
{
    uint64_t checksum = 0;
    size_t message_count = 0;
    size_t given = 0;
    for (size_t at = 0; at < stream_bytes;) {
        given = chunk_bytes == 0 || stream_bytes - given < chunk_bytes ? stream_bytes
                                                                       : given + chunk_bytes;
        enum ws_status status = WS_OK;
        while (status == WS_OK) {
            size_t consumed;
            struct ws_message message;
            status = ws_decode(decoder, bench_stream + at, given - at, &consumed, &message);
            at += consumed;
            if (status == WS_OK) {
                message_count++;
                checksum += message.payload[message.payload_bytes - 1];
            }
        }
        assert_always(status == WS_NEED_MORE);
    }
    assert_always(message_count == BATCH_OPS);
    return checksum;
}

int main(int argument_count, char **arguments)
{
    const struct bench_size *size = &sizes[bench_is_full(argument_count, arguments)];
    struct bench_samples samples;
    bench_samples_init(&samples, size->batch_count);
    uint64_t checksum = 0;
    for (size_t i = 0; i < sizeof bench_messages / sizeof bench_messages[0]; i++) {
        struct ws_decoder decoder;
        ws_decoder_init(&decoder, MESSAGE_BYTES_MAX, true, bench_buffer);
        for (size_t batch = 0; batch < size->batch_count / bench_messages[i].divisor; batch++) {
            size_t stream_bytes = bench_write(&bench_messages[i]);
            uint64_t start_ns = bench_now_ns();
            checksum += bench_decode(&decoder, stream_bytes, bench_messages[i].chunk_bytes);
            bench_samples_add(&samples, (double)(bench_now_ns() - start_ns) / BATCH_OPS);
        }
        bench_samples_print(&samples, bench_messages[i].name);
    }
    bench_print_checksum(checksum);
    bench_samples_deinit(&samples);
    return 0;
}
