/*
 * Question  What does it cost to compress a frame for everybody, at each level, how short does it
 *           become, and what does it cost to inflate a client's message?
 * Method    For each size and level, write JSON like a tick's (whose seq, times and prices change)
 *           and make BATCH_OPS frames of it; batch_count times; sort the means; report p50, p99,
 *           p99.9, max. The name of a case has the size of 100 bytes after compression.
 * Run       zig build bench -- ws_deflate       (full)
 *           zig build test                      (small: proves it still works)
 */
#include "bench/bench_samples.h"
#include "codec/ws_deflate.h"

#define BATCH_OPS 32
#define PAYLOAD_BYTES_MAX (16 * KIB)
#define LEVEL_MAX 6

static const struct bench_size {
    const char *name;
    size_t batch_count;
} sizes[] = {
    {.name = "small", .batch_count = 10},
    {.name = "full", .batch_count = 1500},
};

static const struct bench_payload {
    const char *name;
    size_t bytes;
    size_t divisor; /* So many times fewer batches. */
} bench_payloads[] = {
    {"256 B", 256, 1},
    {"2 KiB", 2 * KIB, 2},
    {"16 KiB", 16 * KIB, 16},
};

static uint8_t bench_text[BATCH_OPS][PAYLOAD_BYTES_MAX];
static uint8_t bench_frame[PAYLOAD_BYTES_MAX + WS_HEADER_BYTES_MAX];
static uint8_t bench_inflated[PAYLOAD_BYTES_MAX];

/* A book of many levels, as long as is asked for. */
static void bench_write(uint8_t *out, size_t bytes, uint64_t seq)
{
    char text[PAYLOAD_BYTES_MAX + 128];
    uint64_t ns = UINT64_C(1732078800123456789) + seq * 1000003;
    size_t at = (size_t)sprintf(
        text,
        "{\"type\":\"depth\",\"symbol\":\"000001.SZ\",\"ch\":1042,\"seq\":%llu,\"ts_event\":%llu,"
        "\"ts_recv\":%llu,\"ts_pub\":%llu,\"data\":{\"bids\":[",
        (unsigned long long)seq, (unsigned long long)ns, (unsigned long long)ns + 3211,
        (unsigned long long)ns + 4412);
    uint64_t random = seq * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (unsigned level = 0; at < bytes; level++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        at += (size_t)sprintf(text + at, "[%u.%02u,%u],", 12 + level / 100, level % 100,
                              (unsigned)(random >> 40) % 9000 + 100);
    }
    memcpy(out, text, bytes);
}

/* Bytes of all frames of a batch. */
static uint64_t bench_deflate(struct ws_deflate *deflate, size_t payload_bytes)
{
    uint64_t bytes = 0;
    for (int op = 0; op < BATCH_OPS; op++) {
        bytes += ws_deflate_frame(deflate, bench_frame, sizeof bench_frame, WS_TEXT, bench_text[op],
                                  payload_bytes);
    }
    return bytes;
}

static void bench_write_batch(size_t payload_bytes, size_t batch)
{
    for (int op = 0; op < BATCH_OPS; op++) {
        bench_write(bench_text[op], payload_bytes, batch * BATCH_OPS + (size_t)op);
    }
}

static uint64_t bench_level(struct bench_samples *samples, const struct bench_payload *payload,
                            int level, size_t batch_count)
{
    struct ws_deflate *deflate;
    struct ws_deflate_options options = {.level = level, .window_bits = WS_DEFLATE_WINDOW_BITS_MAX};
    assert_always(ws_deflate_create(&deflate, &options) == 0);
    uint64_t frame_bytes = 0;
    for (size_t batch = 0; batch < batch_count; batch++) {
        bench_write_batch(payload->bytes, batch);
        uint64_t start_ns = bench_now_ns();
        frame_bytes += bench_deflate(deflate, payload->bytes);
        bench_samples_add(samples, (double)(bench_now_ns() - start_ns) / BATCH_OPS);
    }
    assert_always(frame_bytes > 0);
    char name[64];
    snprintf(name, sizeof name, "deflate %s at level %d, leaves %.0f %%", payload->name, level,
             100.0 * (double)frame_bytes / (double)(batch_count * BATCH_OPS * payload->bytes));
    bench_samples_print(samples, name);
    ws_deflate_destroy(deflate);
    return frame_bytes;
}

static uint64_t bench_inflate(struct bench_samples *samples, const struct bench_payload *payload,
                              size_t batch_count)
{
    struct ws_deflate *deflate;
    struct ws_inflate *inflate;
    struct ws_deflate_options options = {.level = LEVEL_MAX,
                                         .window_bits = WS_DEFLATE_WINDOW_BITS_MAX};
    uint64_t checksum = 0;
    assert_always(ws_deflate_create(&deflate, &options) == 0);
    assert_always(ws_inflate_create(&inflate, false) == 0);
    for (size_t batch = 0; batch < batch_count; batch++) {
        bench_write_batch(payload->bytes, batch);
        size_t bytes = ws_deflate_message(deflate, bench_frame, sizeof bench_frame, bench_text[0],
                                          payload->bytes);
        uint64_t start_ns = bench_now_ns();
        for (int op = 0; op < BATCH_OPS; op++) {
            struct ws_message message = {.opcode = WS_TEXT,
                                         .payload = bench_frame,
                                         .payload_bytes = bytes,
                                         .is_compressed = true};
            assert_always(ws_inflate_message(inflate, &message, bench_inflated,
                                             sizeof bench_inflated) == WS_OK);
            checksum += message.payload[message.payload_bytes / 2];
        }
        bench_samples_add(samples, (double)(bench_now_ns() - start_ns) / BATCH_OPS);
    }
    char name[64];
    snprintf(name, sizeof name, "inflate %s", payload->name);
    bench_samples_print(samples, name);
    ws_inflate_destroy(inflate);
    ws_deflate_destroy(deflate);
    return checksum;
}

int main(int argument_count, char **arguments)
{
    const struct bench_size *size = &sizes[bench_is_full(argument_count, arguments)];
    struct bench_samples samples;
    bench_samples_init(&samples, size->batch_count);
    uint64_t checksum = 0;
    for (size_t i = 0; i < sizeof bench_payloads / sizeof bench_payloads[0]; i++) {
        const struct bench_payload *payload = &bench_payloads[i];
        size_t batch_count = size->batch_count / payload->divisor;
        batch_count = batch_count > 0 ? batch_count : 1;
        for (int level = 1; level <= LEVEL_MAX; level++) {
            checksum += bench_level(&samples, payload, level, batch_count);
        }
        checksum += bench_inflate(&samples, payload, batch_count);
    }
    bench_print_checksum(checksum);
    bench_samples_deinit(&samples);
    return 0;
}
