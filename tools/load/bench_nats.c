#include "tools/load/bench_nats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"

size_t bench_nats_topic(char out[BENCH_BROKER_TOPIC_BYTES_MAX], const char *topic,
                        const char *symbol, size_t symbol_bytes)
{
    char token[BENCH_BROKER_TOPIC_BYTES_MAX];
    bool is_subject = strcmp(topic, "{symbol}") == 0;
    assert_always(symbol_bytes <= sizeof token);
    memcpy(token, symbol, symbol_bytes);
    /* Dots separate the tokens of a subject, and a symbol is one token. */
    for (size_t i = 0; !is_subject && i < symbol_bytes; i++) {
        token[i] = token[i] == '.' ? '_' : token[i];
    }
    return bench_broker_topic(out, topic, token, symbol_bytes);
}

char *bench_nats_subscribe_text(const char *symbols, const char *topic, size_t *bytes_out)
{
    size_t symbol_count = 1;
    for (const char *at = symbols; *at != 0; at++) {
        symbol_count += *at == ',';
    }
    size_t room =
        sizeof BENCH_NATS_CONNECT + symbol_count * (BENCH_BROKER_TOPIC_BYTES_MAX + 32) + 16;
    char *text = malloc(room);
    if (text == NULL) {
        return NULL;
    }
    size_t used = (size_t)snprintf(text, room, "%s", BENCH_NATS_CONNECT);
    for (unsigned id = 1; *symbols != 0; id++) {
        size_t symbol_bytes = strcspn(symbols, ",");
        used += (size_t)snprintf(text + used, room - used, "SUB ");
        used += bench_nats_topic(text + used, topic, symbols, symbol_bytes);
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
        if (value > BENCH_BROKER_HELD_MAX) {
            break;
        }
    }
    return value;
}

static enum bench_broker_kind bench_nats_kind_of(const uint8_t *line, size_t line_bytes)
{
    if (line_bytes == 4 && memcmp(line, "PING", 4) == 0) {
        return BENCH_BROKER_PING;
    }
    if (line_bytes == 4 && memcmp(line, "PONG", 4) == 0) {
        return BENCH_BROKER_SUBSCRIBED;
    }
    if (line_bytes > 4 && memcmp(line, "-ERR", 4) == 0) {
        return BENCH_BROKER_REFUSAL;
    }
    return line_bytes > 4 && memcmp(line, "MSG ", 4) == 0 ? BENCH_BROKER_TICK : BENCH_BROKER_OTHER;
}

size_t bench_nats_read(const uint8_t *bytes, size_t bytes_count,
                       struct bench_broker_packet *packet_out)
{
    const uint8_t *line_end = memchr(bytes, '\n', bytes_count);
    if (line_end == NULL) {
        return 0;
    }
    size_t line_bytes = (size_t)(line_end - bytes);
    size_t whole = line_bytes + 1;
    line_bytes -= line_bytes > 0 && bytes[line_bytes - 1] == '\r';
    enum bench_broker_kind kind = bench_nats_kind_of(bytes, line_bytes);
    *packet_out = (struct bench_broker_packet){kind, bytes, line_bytes};
    if (kind != BENCH_BROKER_TICK) {
        return whole;
    }
    size_t payload_bytes = bench_nats_payload_bytes(bytes, line_bytes);
    if (bytes_count < whole + payload_bytes + 2) {
        return 0;
    }
    packet_out->bytes = bytes + whole;
    packet_out->bytes_count = payload_bytes;
    return whole + payload_bytes + 2;
}
