#include "tools/load/bench_nats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"

struct bench_nats {
    size_t bytes;
    size_t capacity;
    uint8_t *held;
};

char *bench_nats_subscribe_text(const char *symbols, size_t *bytes_out)
{
    static const char head[] = "CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":false,"
                               "\"lang\":\"c\",\"version\":\"1\",\"protocol\":1}\r\n";
    size_t room = sizeof head + 32 * (strlen(symbols) + 2) + 16;
    char *text = malloc(room);
    if (text == NULL) {
        return NULL;
    }
    size_t used = (size_t)snprintf(text, room, "%s", head);
    for (unsigned id = 1; *symbols != 0; id++) {
        size_t symbol_bytes = strcspn(symbols, ",");
        used += (size_t)snprintf(text + used, room - used, "SUB md.");
        for (size_t i = 0; i < symbol_bytes; i++) {
            text[used++] = symbols[i] == '.' ? '_' : symbols[i];
        }
        used += (size_t)snprintf(text + used, room - used, " %u\r\n", id);
        symbols += symbol_bytes + (symbols[symbol_bytes] == ',');
    }
    *bytes_out = used + (size_t)snprintf(text + used, room - used, "PING\r\n");
    return text;
}

/* The number at the end of "MSG subject id [reply] 256". */
static size_t bench_nats_payload_bytes(const uint8_t *line, size_t line_bytes)
{
    size_t value = 0, unit = 1;
    for (; line_bytes > 0 && line[line_bytes - 1] >= '0' && line[line_bytes - 1] <= '9';
         line_bytes--, unit *= 10) {
        value += unit * (size_t)(line[line_bytes - 1] - '0');
        if (value > BENCH_NATS_HELD_MAX) {
            break;
        }
    }
    return value;
}

static enum bench_nats_kind bench_nats_kind_of(const uint8_t *line, size_t line_bytes)
{
    if (line_bytes == 4 && memcmp(line, "PING", 4) == 0) {
        return BENCH_NATS_PING;
    }
    if (line_bytes == 4 && memcmp(line, "PONG", 4) == 0) {
        return BENCH_NATS_PONG;
    }
    if (line_bytes > 4 && memcmp(line, "-ERR", 4) == 0) {
        return BENCH_NATS_REFUSAL;
    }
    return line_bytes > 4 && memcmp(line, "MSG ", 4) == 0 ? BENCH_NATS_DATA : BENCH_NATS_OTHER;
}

size_t bench_nats_read(const uint8_t *bytes, size_t bytes_count, struct bench_nats_item *item_out)
{
    const uint8_t *line_end = memchr(bytes, '\n', bytes_count);
    if (line_end == NULL) {
        return 0;
    }
    size_t line_bytes = (size_t)(line_end - bytes);
    size_t whole = line_bytes + 1;
    line_bytes -= line_bytes > 0 && bytes[line_bytes - 1] == '\r';
    enum bench_nats_kind kind = bench_nats_kind_of(bytes, line_bytes);
    *item_out = (struct bench_nats_item){kind, bytes, line_bytes};
    if (kind != BENCH_NATS_DATA) {
        return whole;
    }
    size_t payload_bytes = bench_nats_payload_bytes(bytes, line_bytes);
    if (bytes_count < whole + payload_bytes + 2) {
        return 0;
    }
    item_out->bytes = bytes + whole;
    item_out->bytes_count = payload_bytes;
    return whole + payload_bytes + 2;
}

bool bench_nats_hold(struct bench_nats **nats_out, const uint8_t *bytes, size_t bytes_count)
{
    struct bench_nats *nats = *nats_out;
    if (nats == NULL) {
        nats = *nats_out = calloc(1, sizeof *nats);
    }
    if (nats == NULL || nats->bytes + bytes_count > BENCH_NATS_HELD_MAX) {
        return false;
    }
    if (nats->bytes + bytes_count > nats->capacity) {
        size_t capacity = 2 * (nats->bytes + bytes_count);
        uint8_t *held = realloc(nats->held, capacity);
        if (held == NULL) {
            return false;
        }
        nats->held = held;
        nats->capacity = capacity;
    }
    assert_always(nats->bytes + bytes_count <= nats->capacity);
    memcpy(nats->held + nats->bytes, bytes, bytes_count);
    nats->bytes += bytes_count;
    return true;
}

const uint8_t *bench_nats_held(const struct bench_nats *nats, size_t *bytes_out)
{
    *bytes_out = nats != NULL ? nats->bytes : 0;
    return nats != NULL ? nats->held : NULL;
}

void bench_nats_drop(struct bench_nats *nats, size_t bytes)
{
    assert_always(bytes <= nats->bytes);

    memmove(nats->held, nats->held + bytes, nats->bytes - bytes);
    nats->bytes -= bytes;
}

void bench_nats_destroy(struct bench_nats *nats)
{
    if (nats != NULL) {
        free(nats->held);
        free(nats);
    }
}
