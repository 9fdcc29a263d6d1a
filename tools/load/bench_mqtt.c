#include "tools/load/bench_mqtt.h"

#include <stdlib.h>
#include <string.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"

#define SUBSCRIBE 0x82 /* with the flags that it must have */
#define LENGTH_BYTES_MAX 4
#define SUBACK_FAILURE 0x80
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The types of packets that a server sends, in the upper half of the first byte. */
enum {
    TYPE_CONNACK = 2,
    TYPE_PUBLISH = 3,
    TYPE_SUBACK = 9,
    TYPE_PINGRESP = 13,
};
#define TYPES_KNOWN                                                                                \
    (1u << TYPE_CONNACK | 1u << TYPE_PUBLISH | 1u << TYPE_SUBACK | 1u << TYPE_PINGRESP)

/* ---- Packets of the client ---- */

/* A remaining length, 7 bits a byte, the lowest first; returns its bytes. */
static size_t bench_mqtt_put_length(uint8_t out[LENGTH_BYTES_MAX], size_t length)
{
    size_t bytes = 0;
    do {
        assert_always(bytes < LENGTH_BYTES_MAX);
        out[bytes++] = (uint8_t)((length & 0x7f) | (length > 0x7f ? 0x80 : 0));
        length >>= 7;
    } while (length > 0);
    return bytes;
}

/* The topic filters of SUBSCRIBE, each with QoS 0; returns their bytes. */
static size_t bench_mqtt_put_filters(uint8_t *out, const char *symbols, const char *topic)
{
    size_t used = 0;
    while (*symbols != 0) {
        size_t symbol_bytes = strcspn(symbols, ",");
        bool is_any = symbol_bytes == 1 && *symbols == '*';
        size_t bytes =
            bench_broker_topic((char *)out + used + 2, topic, is_any ? "+" : symbols, symbol_bytes);
        bytes_store_be16(out + used, (uint16_t)bytes);
        used += 2 + bytes;
        out[used++] = 0;
        symbols += symbol_bytes + (symbols[symbol_bytes] == ',');
    }
    return used;
}

void bench_mqtt_connect(uint8_t out[BENCH_MQTT_CONNECT_BYTES], uint8_t keep_alive_seconds)
{
    static const uint8_t connect[BENCH_MQTT_CONNECT_BYTES] = {
        0x10, 12, 0, 4, 'M', 'Q', 'T', 'T', 4, /* the level of 3.1.1 */
        0x02,                                  /* a clean session */
    };
    memcpy(out, connect, sizeof connect);
    out[11] = keep_alive_seconds;
}

char *bench_mqtt_subscribe_text(const char *symbols, const char *topic, size_t *bytes_out)
{
    size_t symbol_count = 1;
    for (const char *at = symbols; *at != 0; at++) {
        symbol_count += *at == ',';
    }
    size_t filters_room = symbol_count * (BENCH_BROKER_TOPIC_BYTES_MAX + 3);
    uint8_t *filters = malloc(filters_room);
    uint8_t *text = malloc(BENCH_MQTT_CONNECT_BYTES + 1 + LENGTH_BYTES_MAX + 2 + filters_room);
    if (filters == NULL || text == NULL) {
        free(filters);
        free(text);
        return NULL;
    }
    size_t filters_bytes = bench_mqtt_put_filters(filters, symbols, topic);
    assert_always(filters_bytes <= filters_room);
    bench_mqtt_connect(text, BENCH_MQTT_KEEP_ALIVE_SECONDS);
    size_t used = BENCH_MQTT_CONNECT_BYTES;
    text[used++] = SUBSCRIBE;
    used += bench_mqtt_put_length(text + used, 2 + filters_bytes);
    text[used++] = 0;
    text[used++] = 1; /* the packet's identifier */
    memcpy(text + used, filters, filters_bytes);
    free(filters);
    *bytes_out = used + filters_bytes;
    return (char *)text;
}

size_t bench_mqtt_publish_head(uint8_t *out, const char *topic, size_t topic_bytes,
                               size_t payload_bytes)
{
    size_t used = 0;
    out[used++] = TYPE_PUBLISH << 4;
    used += bench_mqtt_put_length(out + used, 2 + topic_bytes + payload_bytes);
    bytes_store_be16(out + used, (uint16_t)topic_bytes);
    used += 2;
    memcpy(out + used, topic, topic_bytes);
    return used + topic_bytes;
}

/* ---- Packets of the server ---- */

static struct bench_broker_packet bench_mqtt_refusal(const char *words)
{
    return (struct bench_broker_packet){BENCH_BROKER_REFUSAL, (const uint8_t *)words,
                                        strlen(words)};
}

static struct bench_broker_packet bench_mqtt_connack(const uint8_t *body)
{
    static const char *const refusals[] = {
        NULL,
        "CONNACK 1: the server does not speak MQTT 3.1.1",
        "CONNACK 2: the server wants a client identifier",
        "CONNACK 3: the server is unavailable",
        "CONNACK 4: the server wants another user name or password",
        "CONNACK 5: the server wants a login, or forbids this client",
    };
    uint8_t code = body[1];
    if (code == 0) {
        return (struct bench_broker_packet){BENCH_BROKER_OTHER, body, 2};
    }
    return bench_mqtt_refusal(code < COUNT(refusals) ? refusals[code]
                                                     : "CONNACK with an unknown code");
}

static struct bench_broker_packet bench_mqtt_suback(const uint8_t *body, size_t body_bytes)
{
    assert_debug(body_bytes >= 3);
    if (memchr(body + 2, SUBACK_FAILURE, body_bytes - 2) != NULL) {
        return bench_mqtt_refusal("SUBACK 0x80: the server forbids a topic of the subscription");
    }
    return (struct bench_broker_packet){BENCH_BROKER_SUBSCRIBED, body, body_bytes};
}

/* A whole packet. One of QoS 1 or 2 has no place in a subscription with QoS 0. */
static struct bench_broker_packet bench_mqtt_packet(uint8_t first, const uint8_t *body,
                                                    size_t body_bytes)
{
    uint8_t flags = first & 0x0f;
    switch (first >> 4) {
    case TYPE_PUBLISH:
        if ((flags & ~1) == 0 && body_bytes >= 2) {
            size_t head_bytes = 2 + (size_t)bytes_load_be16(body);
            if (head_bytes <= body_bytes) {
                return (struct bench_broker_packet){BENCH_BROKER_TICK, body + head_bytes,
                                                    body_bytes - head_bytes};
            }
        }
        break;
    case TYPE_CONNACK:
        if (flags == 0 && body_bytes == 2) {
            return bench_mqtt_connack(body);
        }
        break;
    case TYPE_SUBACK:
        if (flags == 0 && body_bytes >= 3) {
            return bench_mqtt_suback(body, body_bytes);
        }
        break;
    case TYPE_PINGRESP:
        if (flags == 0 && body_bytes == 0) {
            return (struct bench_broker_packet){BENCH_BROKER_OTHER, body, 0};
        }
        break;
    default:
        break;
    }
    return (struct bench_broker_packet){BENCH_BROKER_MALFORMED, body, body_bytes};
}

size_t bench_mqtt_read(const uint8_t *bytes, size_t bytes_count,
                       struct bench_broker_packet *packet_out)
{
    size_t length = 0;
    size_t at = 1;
    if (bytes_count == 0) {
        return 0;
    }
    bool is_known = (TYPES_KNOWN >> (bytes[0] >> 4) & 1) != 0; /* what is not may have no length */
    for (unsigned shift = 0;; shift += 7) {
        if (at > LENGTH_BYTES_MAX || !is_known) {
            *packet_out = (struct bench_broker_packet){BENCH_BROKER_MALFORMED, bytes, bytes_count};
            return bytes_count;
        }
        if (at >= bytes_count) {
            return 0;
        }
        uint8_t part = bytes[at++];
        length |= (size_t)(part & 0x7f) << shift;
        if ((part & 0x80) == 0) {
            break;
        }
    }
    if (bytes_count - at < length) {
        return 0;
    }
    *packet_out = bench_mqtt_packet(bytes[0], bytes + at, length);
    return at + length;
}
