/*
 * Question  What does it cost a feed to read one tick of a producer, as JSON text and as SBE?
 * Method    The ticks of bench_tick_kinds.h, in messages that differ in their times and numbers;
 *           batches of 64 are timed, without reading from a socket; p50, p99, p99.9, max of the
 *           means.
 * Run       zig build bench -- stream_ticks     (full)
 *           zig build test                      (small: proves it still works)
 */
#include "bench/bench_tick_kinds.h"
#include "codec/base/bytes.h"
#include "feeds/frame_ticks.h"
#include "feeds/stream_ticks.h"

#define SYMBOL "000001.SZ"

struct bench_message {
    uint8_t *bytes;
    size_t count;
};

static struct bench_message bench_texts[BENCH_BATCH_OPS];
static struct bench_message bench_messages[BENCH_BATCH_OPS];
static struct frame_ticks *bench_frames;
static struct stream_ticks *bench_reader;
static struct stream_ticks_table bench_table;

static void bench_keep(struct bench_message *message, const uint8_t *bytes, size_t count)
{
    free(message->bytes);
    message->bytes = malloc(count);
    assert_always(message->bytes != NULL);
    memcpy(message->bytes, bytes, count);
    message->count = count;
}

/* The line of a producer: the server's frame without what is the server's own. */
static void bench_keep_text(struct bench_message *message, const struct md_update *update)
{
    static uint8_t text[sizeof bench_out];
    struct json_tick_head head;
    json_tick_head_init(&head, update->type, SYMBOL, strlen(SYMBOL), BENCH_CHANNEL);
    size_t bytes = json_tick_encode(bench_out, sizeof bench_out - 1, &head, update, BENCH_SEQ, 1);
    assert_always(bytes > 0);
    bench_out[bytes] = '\0';
    const char *data = strstr((const char *)bench_out, ",\"data\":");
    assert_always(data != NULL);
    int count =
        snprintf((char *)text, sizeof text,
                 "{\"type\":\"%s\",\"symbol\":\"" SYMBOL "\",\"ts_event\":%llu,\"q\":%llu%s",
                 md_type_name(update->type), (unsigned long long)update->ts_event_ns,
                 (unsigned long long)(BENCH_SEQ + update->ts_event_ns % 1000), data);
    bench_keep(message, text, (size_t)count);
}

static void bench_make(const struct bench_tick *tick)
{
    struct md_update update = tick->update;
    for (int i = 0; i < BENCH_BATCH_OPS; i++) {
        update.ts_event_ns += 1000003;
        if (update.type == MD_QUOTE) {
            update.quote.last.mantissa = 1000 + 37 * i;
        } else if (update.type == MD_TRADE) {
            update.trade.price.mantissa += 12345 * i;
        }
        bench_keep_text(&bench_texts[i], &update);
        size_t bytes =
            stream_ticks_put(bench_out, sizeof bench_out, update.type, &update, BENCH_SEQ);
        assert_always(bytes > 0);
        bench_keep(&bench_messages[i], bench_out + STREAM_TICKS_LENGTH_BYTES,
                   bytes - STREAM_TICKS_LENGTH_BYTES);
    }
}

static uint64_t bench_read_texts(void)
{
    uint64_t checksum = 0;
    struct frame_tick tick;
    for (int i = 0; i < BENCH_BATCH_OPS; i++) {
        enum frame_ticks_status status = frame_ticks_parse(
            bench_frames, (const char *)bench_texts[i].bytes, bench_texts[i].count, &tick);
        assert_always(status == FRAME_TICKS_TICK);
        checksum += tick.update.ts_event_ns + (uint64_t)tick.update.quote.last.mantissa;
    }
    return checksum;
}

static uint64_t bench_read_messages(void)
{
    uint64_t checksum = 0;
    struct stream_tick tick;
    for (int i = 0; i < BENCH_BATCH_OPS; i++) {
        enum stream_ticks_status status = stream_ticks_parse(
            bench_reader, &bench_table, bench_messages[i].bytes, bench_messages[i].count, &tick);
        assert_always(status == STREAM_TICKS_TICK);
        checksum += tick.update.ts_event_ns + (uint64_t)tick.update.quote.last.mantissa;
    }
    return checksum;
}

static uint64_t bench_one(const char *form, const struct bench_tick *tick, size_t batch_count,
                          uint64_t (*read_batch)(void), struct bench_samples *samples)
{
    char name[64];
    uint64_t checksum = 0;
    for (size_t batch = 0; batch <= batch_count / tick->divisor; batch++) {
        uint64_t start_ns = bench_now_ns();
        checksum += read_batch();
        uint64_t elapsed_ns = bench_now_ns() - start_ns;
        if (batch > 0) { /* The first warms up. */
            bench_samples_add(samples, (double)elapsed_ns / BENCH_BATCH_OPS);
        }
    }
    snprintf(name, sizeof name, "%s: %s", form, tick->name);
    if (samples->count > 0) {
        bench_samples_print(samples, name);
    }
    return checksum;
}

int main(int argument_count, char **arguments)
{
    size_t batch_count = bench_is_full(argument_count, arguments) ? 5000 : 20;
    struct bench_samples samples;
    uint64_t checksum = 0;
    bench_samples_init(&samples, batch_count);
    assert_always(frame_ticks_create(&bench_frames) == 0);
    assert_always(stream_ticks_create(&bench_reader) == 0);
    for (uint32_t type = 0; type < MD_TYPE_COUNT; type++) {
        const char *fault =
            stream_ticks_bind(&bench_table, type, SYMBOL, strlen(SYMBOL), (enum md_type)type, type);
        assert_always(fault == NULL);
    }
    for (int i = 0; i < BENCH_LEVELS_MAX; i++) {
        bench_levels[i] = (struct md_level){D(1233 + i, -2), D(100 * (i % 50 + 1), 0)};
    }
    for (size_t i = 0; i < sizeof bench_ticks / sizeof bench_ticks[0]; i++) {
        bench_make(&bench_ticks[i]);
        checksum += bench_one("JSON", &bench_ticks[i], batch_count, bench_read_texts, &samples);
        checksum += bench_one("SBE", &bench_ticks[i], batch_count, bench_read_messages, &samples);
    }
    bench_print_checksum(checksum);
    bench_samples_deinit(&samples);
    return 0;
}
