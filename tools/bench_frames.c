#include "tools/bench_frames.h"

#include <stdlib.h>
#include <string.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "tools/control_reply.h"

#define FRAME_FINAL_TEXT 0x81

static struct bench_stream_totals *bench_frames_totals(struct bench_thread *thread,
                                                       const struct bench_conn *conn)
{
    return conn->is_stalled ? &thread->totals.stalled : &thread->totals.readers;
}

void bench_frames_count_close(struct bench_stream_totals *totals, uint32_t code, uint32_t count)
{
    uint32_t i = 0;
    while (i < totals->close_code_count && totals->closes[i].code != code) {
        i++;
    }
    if (i == BENCH_CLOSE_CODES_MAX) {
        return;
    }
    if (i == totals->close_code_count) {
        totals->closes[i] = (struct bench_close_count){.code = code};
        totals->close_code_count++;
    }
    totals->closes[i].count += count;
}

/* UINT32_MAX: the number is out of range, or there are too many channels. */
static uint32_t bench_frames_new_channel(struct bench_thread *thread, uint64_t channel)
{
    if (channel >= BENCH_CHANNEL_NUMBER_MAX || thread->channel_count == BENCH_CHANNELS_MAX) {
        return UINT32_MAX;
    }
    uint32_t index = thread->channel_count++;
    thread->channels[index] = (struct bench_channel){.channel = channel, .first_seq = UINT64_MAX};
    thread->channel_indexes[channel] = index + 1;
    return index;
}

static bool bench_frames_grow(struct bench_conn *conn, uint32_t index)
{
    uint32_t count = conn->next_seq_count == 0 ? 4 : conn->next_seq_count;
    while (count <= index) {
        count *= 2;
    }
    uint64_t *next_seqs = realloc(conn->next_seqs, count * sizeof *next_seqs);
    if (next_seqs == NULL) {
        return false;
    }
    memset(next_seqs + conn->next_seq_count, 0, (count - conn->next_seq_count) * sizeof *next_seqs);
    conn->next_seqs = next_seqs;
    conn->next_seq_count = count;
    return true;
}

/* Where the conn keeps the next seq of a channel; NULL: it cannot be kept. */
static inline uint64_t *bench_frames_next_seq(struct bench_thread *thread, struct bench_conn *conn,
                                              uint64_t channel, uint32_t *index_out)
{
    uint32_t index = channel < BENCH_CHANNEL_NUMBER_MAX ? thread->channel_indexes[channel] : 0;
    index = index > 0 ? index - 1 : bench_frames_new_channel(thread, channel);
    if (index == UINT32_MAX) {
        return NULL;
    }
    if (index >= conn->next_seq_count && !bench_frames_grow(conn, index)) {
        return NULL;
    }
    *index_out = index;
    return &conn->next_seqs[index];
}

/* seq is not the next one: returns whether it is new. */
static bool bench_frames_on_jump(struct bench_stream_totals *totals, uint64_t next_seq,
                                 uint64_t seq)
{
    if (seq < next_seq) {
        totals->duplicates++;
        return false;
    }
    totals->holes++;
    totals->hole_frames += seq - next_seq;
    return true;
}

static void bench_frames_on_data(struct bench_thread *thread, struct bench_conn *conn,
                                 const uint8_t *payload, size_t payload_bytes)
{
    struct tick_fields fields;
    struct bench_stream_totals *totals = bench_frames_totals(thread, conn);
    uint32_t index;
    uint64_t *next_seq;
    if (!tick_scan(&thread->scan, payload, payload_bytes, &fields) ||
        (next_seq = bench_frames_next_seq(thread, conn, fields.channel, &index)) == NULL) {
        thread->totals.malformed++;
        return;
    }
    totals->frames++;
    if (fields.seq != *next_seq && *next_seq != 0 &&
        !bench_frames_on_jump(totals, *next_seq, fields.seq)) {
        return;
    }
    *next_seq = fields.seq + 1;
    if (conn->is_stalled || fields.ts_pub_ns - thread->window_start_ns >= thread->window_ns) {
        return;
    }
    struct bench_channel *channel = &thread->channels[index];
    channel->first_seq = fields.seq < channel->first_seq ? fields.seq : channel->first_seq;
    channel->last_seq = fields.seq > channel->last_seq ? fields.seq : channel->last_seq;
    thread->totals.window_frames++;
    histogram_record(&thread->latency,
                     thread->now_ns > fields.ts_pub_ns ? thread->now_ns - fields.ts_pub_ns : 0);
}

static void bench_frames_on_gap(struct bench_thread *thread, struct bench_conn *conn,
                                const struct control_reply *reply)
{
    struct bench_stream_totals *totals = bench_frames_totals(thread, conn);
    uint32_t index;
    uint64_t *next_seq = bench_frames_next_seq(thread, conn, reply->channel, &index);
    if (next_seq == NULL || reply->to < reply->from) {
        thread->totals.malformed++;
        return;
    }
    totals->gaps++;
    totals->gap_frames += reply->to - reply->from + 1;
    if (*next_seq != 0 && reply->from != *next_seq) {
        totals->gaps_wrong++;
    }
    *next_seq = reply->to + 1;
}

static void bench_frames_refused(struct bench_thread *thread, const uint8_t *payload,
                                 size_t payload_bytes)
{
    struct bench_totals *totals = &thread->totals;
    if (totals->refusals == 0) {
        size_t bytes = payload_bytes;
        bytes = bytes < sizeof totals->refusal_text ? bytes : sizeof totals->refusal_text - 1;
        memcpy(totals->refusal_text, payload, bytes);
        totals->refusal_text[bytes] = 0;
    }
    totals->refusals++;
}

/* A JSON frame of the server that is no tick. */
static void bench_frames_on_reply(struct bench_thread *thread, struct bench_conn *conn,
                                  const uint8_t *payload, size_t payload_bytes)
{
    struct control_reply reply;
    thread->totals.control_frames++;
    if (control_reply_parse(&reply, payload, payload_bytes) != 0) {
        thread->totals.malformed++;
        return;
    }
    if (reply.type == CONTROL_GAP) {
        bench_frames_on_gap(thread, conn, &reply);
    } else if (reply.type == CONTROL_ERROR || json_array_size(reply.failed) > 0) {
        bench_frames_refused(thread, payload, payload_bytes);
        bench_conn_shut(thread, conn, 1000);
    } else if (reply.type == CONTROL_SUBSCRIBED && conn->state == BENCH_CONN_SUBSCRIBING) {
        bench_conn_on_subscribed(thread, conn, thread->now_ns);
    }
    control_reply_free(&reply);
}

/* Everything but an unfragmented text frame that looks like a tick. */
static void bench_frames_on_other(struct bench_thread *thread, struct bench_conn *conn,
                                  uint8_t first, const uint8_t *payload, size_t payload_bytes)
{
    if (first == FRAME_FINAL_TEXT) {
        bench_frames_on_reply(thread, conn, payload, payload_bytes);
    } else if (first == (0x80 | WS_PING) && payload_bytes <= WS_CONTROL_BYTES_MAX) {
        thread->totals.pings++;
        bench_conn_send(thread, conn, WS_PONG, payload, payload_bytes);
    } else if (first == (0x80 | WS_CLOSE)) {
        uint16_t code = payload_bytes >= 2 ? bytes_load_be16(payload) : 1005;
        bench_conn_send(thread, conn, WS_CLOSE, payload, payload_bytes >= 2 ? 2 : 0);
        bench_conn_shut(thread, conn, code);
    } else if (first != (0x80 | WS_PONG)) {
        thread->totals.malformed++;
        bench_conn_shut(thread, conn, 1002);
    }
}

size_t bench_frames_needed(const uint8_t *bytes, size_t bytes_count)
{
    if (bytes_count < 2) {
        return 2;
    }
    size_t length = bytes[1] & 0x7f;
    size_t header_bytes = length < 126 ? 2 : length == 126 ? 4 : 10;
    if (bytes_count < header_bytes) {
        return header_bytes;
    }
    if (length >= 126) {
        length = length == 126 ? bytes_load_be16(bytes + 2) : bytes_load_be64(bytes + 2);
    }
    return length > BENCH_FRAME_BYTES_MAX ? header_bytes : header_bytes + length;
}

size_t bench_frames_consume(struct bench_thread *thread, struct bench_conn *conn,
                            const uint8_t *bytes, size_t bytes_count)
{
    size_t used = 0;
    while (bytes_count - used >= 2) {
        const uint8_t *frame = bytes + used;
        size_t left = bytes_count - used;
        uint64_t payload_bytes = frame[1];
        size_t header_bytes = 2;
        if (payload_bytes >= 126) {
            header_bytes = payload_bytes == 126 ? 4 : 10;
            if (left < header_bytes) {
                break;
            }
            payload_bytes = payload_bytes == 126   ? bytes_load_be16(frame + 2)
                            : payload_bytes == 127 ? bytes_load_be64(frame + 2)
                                                   : UINT64_MAX; /* masked */
        }
        if (payload_bytes > BENCH_FRAME_BYTES_MAX) {
            thread->totals.malformed++;
            bench_conn_shut(thread, conn, 1002);
            return bytes_count;
        }
        if (left - header_bytes < payload_bytes) {
            break;
        }
        const uint8_t *payload = frame + header_bytes;
        if (frame[0] == FRAME_FINAL_TEXT && tick_scan_is_data(payload, payload_bytes)) {
            bench_frames_on_data(thread, conn, payload, payload_bytes);
        } else {
            bench_frames_on_other(thread, conn, frame[0], payload, payload_bytes);
            if (conn->state == BENCH_CONN_CLOSED) {
                return bytes_count;
            }
        }
        used += header_bytes + payload_bytes;
    }
    bench_frames_totals(thread, conn)->bytes += used;
    return used;
}
