#include "tools/load/bench_broker.h"

#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"

struct bench_broker {
    size_t bytes;
    size_t capacity;
    uint8_t *held;
};

size_t bench_broker_topic(char out[BENCH_BROKER_TOPIC_BYTES_MAX], const char *template,
                          const char *symbol, size_t symbol_bytes)
{
    static const char place[] = "{symbol}";
    const char *found = strstr(template, place);
    assert_always(found != NULL && strlen(template) <= BENCH_BROKER_TEMPLATE_BYTES_MAX);
    size_t head_bytes = (size_t)(found - template);
    const char *tail = found + sizeof place - 1;
    size_t tail_bytes = strlen(tail);
    size_t bytes = head_bytes + symbol_bytes + tail_bytes;
    assert_always(bytes <= BENCH_BROKER_TOPIC_BYTES_MAX);

    memcpy(out, template, head_bytes);
    memcpy(out + head_bytes, symbol, symbol_bytes);
    memcpy(out + head_bytes + symbol_bytes, tail, tail_bytes);
    return bytes;
}

bool bench_broker_hold(struct bench_broker **broker_out, const uint8_t *bytes, size_t bytes_count)
{
    struct bench_broker *broker = *broker_out;
    if (broker == NULL) {
        broker = *broker_out = calloc(1, sizeof *broker);
    }
    if (broker == NULL || broker->bytes + bytes_count > BENCH_BROKER_HELD_MAX) {
        return false;
    }
    if (broker->bytes + bytes_count > broker->capacity) {
        size_t capacity = 2 * (broker->bytes + bytes_count);
        uint8_t *held = realloc(broker->held, capacity);
        if (held == NULL) {
            return false;
        }
        broker->held = held;
        broker->capacity = capacity;
    }
    assert_always(broker->bytes + bytes_count <= broker->capacity);
    memcpy(broker->held + broker->bytes, bytes, bytes_count);
    broker->bytes += bytes_count;
    return true;
}

const uint8_t *bench_broker_held(const struct bench_broker *broker, size_t *bytes_out)
{
    *bytes_out = broker != NULL ? broker->bytes : 0;
    return broker != NULL ? broker->held : NULL;
}

void bench_broker_drop(struct bench_broker *broker, size_t bytes)
{
    assert_always(bytes <= broker->bytes);

    memmove(broker->held, broker->held + bytes, broker->bytes - bytes);
    broker->bytes -= bytes;
}

void bench_broker_destroy(struct bench_broker *broker)
{
    if (broker != NULL) {
        free(broker->held);
        free(broker);
    }
}
