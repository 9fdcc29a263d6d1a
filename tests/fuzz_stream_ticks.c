/* No stream of the binary form makes its reader read or write out of bounds, and a tick that is
 * read is written and read again as the same. Input: messages, each after its length. */
#include <stdlib.h>
#include <string.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "feeds/stream_ticks.h"

#define OUT_BYTES (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct stream_ticks *reader;
static uint8_t outs[2][OUT_BYTES];

static uint32_t value_of(void *context, const char *symbol, size_t symbol_bytes, enum md_type type)
{
    (void)context;
    assert_always(symbol_bytes > 0 && symbol_bytes <= MD_SYMBOL_BYTES_MAX);
    return (uint32_t)symbol[0] << 8 | type;
}

static void check_tick(const struct stream_ticks_table *table, const struct stream_tick *tick)
{
    struct stream_tick again;
    uint32_t ch = tick->update.channel;
    assert_always(tick->channel == stream_ticks_find(table, ch));
    assert_always(tick->update.type == tick->channel->type);
    size_t bytes = stream_ticks_put(outs[0], OUT_BYTES, ch, &tick->update, tick->q);
    assert_always(bytes > STREAM_TICKS_LENGTH_BYTES);
    assert_always(stream_ticks_parse(reader, table, outs[0] + STREAM_TICKS_LENGTH_BYTES,
                                     bytes - STREAM_TICKS_LENGTH_BYTES,
                                     &again) == STREAM_TICKS_TICK);
    assert_always(again.q == tick->q);
    assert_always(stream_ticks_put(outs[1], OUT_BYTES, ch, &again.update, again.q) == bytes);
    assert_always(memcmp(outs[0], outs[1], bytes) == 0);
}

static void read_message(struct stream_ticks_table *table, const uint8_t *message, size_t bytes)
{
    struct stream_tick tick;
    uint8_t *exact = malloc(bytes + (bytes == 0)); /* Its end is watched by a sanitizer. */
    assert_always(exact != NULL);
    memcpy(exact, message, bytes);
    switch (stream_ticks_parse(reader, table, exact, bytes, &tick)) {
    case STREAM_TICKS_JSON:
        (void)stream_ticks_define(table, (const char *)exact, bytes, value_of, NULL);
        break;
    case STREAM_TICKS_TICK:
        assert_always(tick.fault == NULL);
        check_tick(table, &tick);
        break;
    case STREAM_TICKS_MALFORMED:
        assert_always(tick.fault != NULL);
        break;
    }
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stream_ticks_table table = {0};
    if (reader == NULL) {
        assert_always(stream_ticks_create(&reader) == 0);
    }
    for (uint32_t type = 0; type < MD_TYPE_COUNT; type++) {
        assert_always(stream_ticks_bind(&table, type, "A", 1, (enum md_type)type, type) == NULL);
    }
    while (size >= STREAM_TICKS_LENGTH_BYTES) {
        size_t bytes = bytes_load_le32(data);
        data += STREAM_TICKS_LENGTH_BYTES;
        size -= STREAM_TICKS_LENGTH_BYTES;
        bytes = bytes < size ? bytes : size;
        read_message(&table, data, bytes);
        data += bytes;
        size -= bytes;
    }
    stream_ticks_table_deinit(&table);
    return 0;
}
