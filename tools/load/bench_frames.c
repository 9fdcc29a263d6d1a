#include "tools/load/bench_frames.h"

#include <string.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "tools/common/tick_scan.h"
#include "tools/load/bench_mqtt.h"
#include "tools/load/bench_nats.h"
#include "tools/load/bench_roles.h"

#define FRAME_FINAL_TEXT 0x81
#define FRAME_FINAL_BINARY 0x82
#define FRAME_COMPRESSED 0x40

static void bench_frames_on_tick(struct bench_frames *frames, struct bench_conn *conn,
                                 enum bench_form form, const uint8_t *payload, size_t payload_bytes)
{
    struct bench_tick_bytes tick = {form, payload, payload_bytes, frames->wire_bytes};
    bench_data_on_tick(frames->data, conn, &tick);
}

/* The connection cannot go on. */
static void bench_frames_break(struct bench_frames *frames, struct bench_conn *conn, uint16_t code,
                               const char *why, const uint8_t *bytes, size_t bytes_count)
{
    struct bench_crew *crew = frames->data->crew;
    bench_totals_malformed(&crew->totals, why, bytes, bytes_count);
    bench_conn_shut(crew, conn, code);
}

/* The number of channels in an answer's entries; the entry of a pattern has its number. */
static uint64_t bench_frames_channels(const json_t *entries)
{
    uint64_t sum = 0, count;
    size_t i;
    const json_t *entry;
    json_array_foreach(entries, i, entry)
    {
        sum += control_reply_u64(entry, "channels", &count) ? count : 1;
    }
    return sum;
}

/* A JSON frame of the server that is not a tick. */
static void bench_frames_on_reply(struct bench_frames *frames, struct bench_conn *conn,
                                  const uint8_t *payload, size_t payload_bytes)
{
    struct bench_crew *crew = frames->data->crew;
    struct control_reply reply;
    if (control_reply_parse(&reply, payload, payload_bytes) != 0) {
        bench_totals_malformed(&crew->totals, "it is no message of a ringcast", payload,
                               payload_bytes);
        if (conn->state == BENCH_CONN_SUBSCRIBING) { /* No ringcast: it would never answer. */
            bench_conn_shut(crew, conn, 1002);
        }
        return;
    }
    if (reply.type == CONTROL_GAP) {
        bench_data_on_gap(frames->data, conn, &reply);
    } else if (reply.type == CONTROL_HEARTBEAT) {
        bench_data_on_heartbeat(frames->data, conn, &reply);
    } else if (strcmp(reply.name, "DEFINITION") == 0) {
        bench_data_on_definition(frames->data, &reply);
    } else if (frames->data->requests != NULL &&
               bench_requests_take(frames->data->requests, conn, &reply)) {
        if (reply.type == CONTROL_ERROR) {
            bench_totals_refuse(&crew->totals, payload, payload_bytes);
        }
    } else if (reply.type == CONTROL_ERROR || json_array_size(reply.failed) > 0) {
        bench_totals_refuse(&crew->totals, payload, payload_bytes);
        bench_conn_shut(crew, conn, 1000);
    } else if (reply.type == CONTROL_SUBSCRIBED) {
        uint64_t channels = bench_frames_channels(reply.ok);
        if (channels > crew->totals.subscribed_channels) {
            crew->totals.subscribed_channels = channels;
        }
        bench_roles_on_subscribed(crew, conn);
    } else if (strcmp(reply.name, "UNSUBSCRIBED") == 0) {
        bench_roles_on_unsubscribed(crew, conn);
    }
    control_reply_free(&reply);
}

/* What is wrong with a frame of this first byte. */
static const char *bench_frames_why(uint8_t first)
{
    if ((first & 0x70) != 0) {
        return "a bit of an extension that was not negotiated";
    }
    return (first & 0x80) == 0 || first == (0x80 | WS_CONTINUATION)
               ? "a message in several frames, which ringcast-bench does not read"
               : "a frame of another kind than was expected";
}

/* Everything but an unfragmented text frame that looks like a tick. */
static void bench_frames_on_other(struct bench_frames *frames, struct bench_conn *conn,
                                  uint8_t first, const uint8_t *payload, size_t payload_bytes)
{
    struct bench_crew *crew = frames->data->crew;
    if (first == FRAME_FINAL_TEXT && crew->options->protocol == BENCH_RINGCAST) {
        bench_frames_on_reply(frames, conn, payload, payload_bytes);
    } else if (first == (0x80 | WS_PING) && payload_bytes <= WS_CONTROL_BYTES_MAX) {
        crew->totals.pings++;
        bench_conn_send(crew, conn, WS_PONG, payload, payload_bytes);
    } else if (first == (0x80 | WS_CLOSE)) {
        uint16_t code = payload_bytes >= 2 ? bytes_load_be16(payload) : 1005;
        bench_conn_send(crew, conn, WS_CLOSE, payload, payload_bytes >= 2 ? 2 : 0);
        bench_conn_shut(crew, conn, code);
    } else if (first != (0x80 | WS_PONG)) {
        bench_frames_break(frames, conn, 1002, bench_frames_why(first), payload, payload_bytes);
    }
}

/* ---- Brokers ---- */

static void bench_frames_on_packet(struct bench_frames *frames, struct bench_conn *conn,
                                   const struct bench_broker_packet *packet, size_t wire_bytes)
{
    struct bench_crew *crew = frames->data->crew;
    switch (packet->kind) {
    case BENCH_BROKER_PING:
        crew->totals.pings++;
        bench_conn_send(crew, conn, WS_BINARY, BENCH_NATS_PONG, sizeof BENCH_NATS_PONG - 1);
        break;
    case BENCH_BROKER_SUBSCRIBED:
        if (conn->state == BENCH_CONN_SUBSCRIBING) {
            bench_roles_on_subscribed(crew, conn);
        }
        break;
    case BENCH_BROKER_REFUSAL:
        bench_totals_refuse(&crew->totals, packet->bytes, packet->bytes_count);
        bench_conn_shut(crew, conn, 1000);
        break;
    case BENCH_BROKER_TICK:
        frames->wire_bytes = wire_bytes; /* without frame headers */
        bench_frames_on_tick(frames, conn, BENCH_FORM_TEXT, packet->bytes, packet->bytes_count);
        break;
    case BENCH_BROKER_MALFORMED:
        bench_frames_break(frames, conn, 1002,
                           "it is no MQTT packet, or one that a subscriber with QoS 0 never gets",
                           packet->bytes, packet->bytes_count);
        break;
    case BENCH_BROKER_OTHER:
        break;
    }
}

/* Handles what is complete; returns how many bytes that was. */
static size_t bench_frames_consume_packets(struct bench_frames *frames, struct bench_conn *conn,
                                           const uint8_t *bytes, size_t bytes_count)
{
    bool is_mqtt = frames->data->crew->options->protocol == BENCH_MQTT;
    size_t used = 0;
    while (conn->state != BENCH_CONN_CLOSED && used < bytes_count) {
        struct bench_broker_packet packet;
        size_t packet_bytes = is_mqtt ? bench_mqtt_read(bytes + used, bytes_count - used, &packet)
                                      : bench_nats_read(bytes + used, bytes_count - used, &packet);
        if (packet_bytes == 0) {
            break;
        }
        bench_frames_on_packet(frames, conn, &packet, packet_bytes);
        used += packet_bytes;
    }
    assert_always(used <= bytes_count);
    return used;
}

void bench_frames_on_broker(struct bench_frames *frames, struct bench_conn *conn,
                            const uint8_t *bytes, size_t bytes_count)
{
    size_t held_bytes;
    bool fits = true;
    bench_broker_held(conn->broker, &held_bytes);
    if (held_bytes == 0) {
        size_t used = bench_frames_consume_packets(frames, conn, bytes, bytes_count);
        fits = used == bytes_count ||
               bench_broker_hold(&conn->broker, bytes + used, bytes_count - used);
    } else if ((fits = bench_broker_hold(&conn->broker, bytes, bytes_count))) {
        const uint8_t *held = bench_broker_held(conn->broker, &held_bytes);
        bench_broker_drop(conn->broker,
                          bench_frames_consume_packets(frames, conn, held, held_bytes));
    }
    if (!fits) {
        bench_frames_break(frames, conn, 1009, "a packet of over 2 MiB, or no memory for it", bytes,
                           bytes_count);
    }
}

/* ---- Frames ---- */

static void bench_frames_on_frame(struct bench_frames *frames, struct bench_conn *conn,
                                  uint8_t first, const uint8_t *payload, size_t payload_bytes)
{
    struct bench_crew *crew = frames->data->crew;
    bool is_compressed = first == (FRAME_FINAL_TEXT | FRAME_COMPRESSED) ||
                         first == (FRAME_FINAL_BINARY | FRAME_COMPRESSED);
    if (is_compressed && frames->inflate != NULL) {
        if (!bench_inflate_message(frames->inflate, payload, payload_bytes, &payload,
                                   &payload_bytes)) {
            bench_frames_break(frames, conn, 1007, "it cannot be decompressed", payload,
                               payload_bytes);
            return;
        }
        first &= (uint8_t)~FRAME_COMPRESSED;
    }
    bool is_message = first == FRAME_FINAL_TEXT || first == FRAME_FINAL_BINARY;
    enum bench_protocol protocol = crew->options->protocol;
    if (protocol == BENCH_RINGCAST && first == FRAME_FINAL_TEXT &&
        tick_scan_is_data(payload, payload_bytes)) {
        bench_frames_on_tick(frames, conn, BENCH_FORM_TEXT, payload, payload_bytes);
    } else if (first == FRAME_FINAL_BINARY && crew->options->encoding == BENCH_SBE) {
        bench_frames_on_tick(frames, conn, BENCH_FORM_SBE, payload, payload_bytes);
    } else if (protocol == BENCH_PLAIN && is_message) {
        bench_frames_on_tick(frames, conn, BENCH_FORM_TEXT, payload, payload_bytes);
    } else if ((protocol == BENCH_NATS || protocol == BENCH_MQTT) && is_message) {
        bench_frames_on_broker(frames, conn, payload, payload_bytes);
    } else {
        bench_frames_on_other(frames, conn, first, payload, payload_bytes);
    }
}

/* The header of a frame. A masked one has a length that is too long. false: it is not complete;
 * *header_bytes_out are needed. */
static bool bench_frames_read_header(const uint8_t *bytes, size_t bytes_count,
                                     size_t *header_bytes_out, uint64_t *payload_bytes_out)
{
    *header_bytes_out = 2;
    if (bytes_count < 2) {
        return false;
    }
    uint64_t length = bytes[1];
    *header_bytes_out = length < 126 ? 2 : length == 126 ? 4 : 10;
    if (bytes_count < *header_bytes_out) {
        return false;
    }
    *payload_bytes_out = length < 126    ? length
                         : length == 126 ? bytes_load_be16(bytes + 2)
                         : length == 127 ? bytes_load_be64(bytes + 2)
                                         : UINT64_MAX;
    return true;
}

size_t bench_frames_needed(const uint8_t *bytes, size_t bytes_count)
{
    size_t header_bytes;
    uint64_t payload_bytes;
    bool is_known = bench_frames_read_header(bytes, bytes_count, &header_bytes, &payload_bytes);
    return is_known && payload_bytes <= BENCH_FRAME_BYTES_MAX ? header_bytes + payload_bytes
                                                              : header_bytes;
}

size_t bench_frames_consume(struct bench_frames *frames, struct bench_conn *conn,
                            const uint8_t *bytes, size_t bytes_count)
{
    struct bench_crew *crew = frames->data->crew;
    size_t used = 0;
    size_t header_bytes;
    uint64_t payload_bytes;
    while (
        bench_frames_read_header(bytes + used, bytes_count - used, &header_bytes, &payload_bytes)) {
        const uint8_t *frame = bytes + used;
        if (payload_bytes > BENCH_FRAME_BYTES_MAX) {
            bench_frames_break(frames, conn, 1002, "a masked frame, or one of over 1 MiB", frame,
                               bytes_count - used);
            return bytes_count;
        }
        if (bytes_count - used - header_bytes < payload_bytes) {
            break;
        }
        const uint8_t *payload = frame + header_bytes;
        frames->wire_bytes = header_bytes + payload_bytes;
        bench_frames_on_frame(frames, conn, frame[0], payload, payload_bytes);
        if (conn->state == BENCH_CONN_CLOSED) {
            return bytes_count;
        }
        used += header_bytes + payload_bytes;
    }
    assert_always(used <= bytes_count);
    bench_crew_totals(crew, conn)->bytes += used;
    return used;
}
