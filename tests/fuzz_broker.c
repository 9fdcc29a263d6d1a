/* Packets of MQTT and NATS are the same whether they come whole or in pieces, and lie inside what
 * came. Input: the bytes of a server, after a byte whose lowest bit chooses the protocol and whose
 * others are the size of a piece. */
#include <stdint.h>
#include <string.h>

#include "codec/base/check.h"
#include "tools/load/bench_mqtt.h"
#include "tools/load/bench_nats.h"

#define PACKETS_MAX 64

struct seen {
    enum bench_broker_kind kind;
    size_t bytes_count;
    uint8_t first_byte; /* 0 where it has none */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t fuzz_broker_read(bool is_mqtt, const uint8_t *bytes, size_t bytes_count,
                               struct bench_broker_packet *packet_out)
{
    size_t used = is_mqtt ? bench_mqtt_read(bytes, bytes_count, packet_out)
                          : bench_nats_read(bytes, bytes_count, packet_out);
    assert_always(used <= bytes_count);
    bool is_words = packet_out->kind == BENCH_BROKER_REFUSAL && is_mqtt; /* in words of our own */
    if (used > 0 && !is_words) {
        assert_always(packet_out->bytes >= bytes);
        assert_always(packet_out->bytes_count <= used);
        assert_always(packet_out->bytes + packet_out->bytes_count <= bytes + used);
    }
    return used;
}

/* Reads on until a packet is incomplete, or ends the connection. Returns the bytes used. */
static size_t fuzz_broker_read_all(bool is_mqtt, const uint8_t *bytes, size_t bytes_count,
                                   struct seen seen[PACKETS_MAX], size_t *count)
{
    size_t used = 0;
    struct bench_broker_packet packet = {0};
    bool is_over = *count > 0 && seen[*count - 1].kind == BENCH_BROKER_MALFORMED;
    while (!is_over && *count < PACKETS_MAX && used < bytes_count) {
        size_t packet_bytes = fuzz_broker_read(is_mqtt, bytes + used, bytes_count - used, &packet);
        if (packet_bytes == 0) {
            break;
        }
        is_over = packet.kind == BENCH_BROKER_MALFORMED;
        seen[(*count)++] = (struct seen){
            .kind = packet.kind,
            .bytes_count = is_over ? 0 : packet.bytes_count, /* All that had come. */
            .first_byte = is_over || packet.bytes_count == 0 ? 0 : packet.bytes[0],
        };
        used += packet_bytes;
    }
    return used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen whole[PACKETS_MAX];
    struct seen pieces[PACKETS_MAX];
    size_t whole_count = 0;
    size_t pieces_count = 0;
    struct bench_broker *broker = NULL;
    if (size == 0) {
        return 0;
    }
    bool is_mqtt = (data[0] & 1) != 0;
    size_t piece_max = (data[0] >> 1) + 1U;
    const uint8_t *bytes = data + 1;
    size_t bytes_count = size - 1;
    fuzz_broker_read_all(is_mqtt, bytes, bytes_count, whole, &whole_count);
    for (size_t at = 0; at < bytes_count;) {
        size_t piece = bytes_count - at < piece_max ? bytes_count - at : piece_max;
        size_t held_bytes;
        if (!bench_broker_hold(&broker, bytes + at, piece)) {
            break;
        }
        const uint8_t *held = bench_broker_held(broker, &held_bytes);
        bench_broker_drop(broker,
                          fuzz_broker_read_all(is_mqtt, held, held_bytes, pieces, &pieces_count));
        at += piece;
    }
    bench_broker_destroy(broker);
    assert_always(pieces_count == whole_count);
    for (size_t i = 0; i < whole_count; i++) {
        assert_always(pieces[i].kind == whole[i].kind);
        assert_always(pieces[i].bytes_count == whole[i].bytes_count);
        assert_always(pieces[i].first_byte == whole[i].first_byte);
    }
    return 0;
}
