#include "tools/bench/bench_frames.h"

#include <stdlib.h>
#include <string.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "tools/bench/bench_nats.h"
#include "tools/bench/bench_roles.h"
#include "tools/common/control_reply.h"
#include "tools/common/sbe_scan.h"
#include "tools/common/tick_scan.h"

#define FRAME_FINAL_TEXT 0x81
#define FRAME_FINAL_BINARY 0x82
#define FRAME_COMPRESSED 0x40

static struct bench_stream_totals *bench_frames_totals(struct bench_thread *thread,
                                                       const struct bench_conn *conn)
{
    return &thread->totals.streams[conn->role];
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

/* Which symbol of the load a channel is, from its first tick, so that it is known who is due it. */
static uint32_t bench_frames_symbol(const struct bench_thread *thread, const uint8_t *payload,
                                    size_t payload_bytes)
{
    const char *pattern = thread->options->symbol_pattern;
    const uint8_t *end = payload + payload_bytes;
    const uint8_t *at = memmem(payload, payload_bytes, pattern, strlen(pattern));
    if (at == NULL) {
        return BENCH_SYMBOL_NONE;
    }
    at += strlen(pattern);
    const uint8_t *quote = memchr(at, '"', (size_t)(end - at));
    return quote == NULL
               ? BENCH_SYMBOL_NONE
               : bench_load_find(thread->control->load, (const char *)at, (size_t)(quote - at));
}

/* UINT32_MAX: the number is out of range, or there are too many channels. */
static uint32_t bench_frames_new_channel(struct bench_thread *thread, uint64_t number)
{
    if (number >= BENCH_CHANNEL_NUMBER_MAX || thread->channel_count == BENCH_CHANNELS_MAX) {
        return UINT32_MAX;
    }
    uint32_t index = thread->channel_count++;
    thread->channels[index] = (struct bench_channel){
        .channel = number,
        .first_seq = UINT64_MAX,
        .symbol = BENCH_SYMBOL_NONE,
        .readers = thread->conn_count,
    };
    thread->channel_indexes[number] = index + 1;
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

/* Who got it when, and whether it is what the others got. */
static void bench_frames_note(struct bench_thread *thread, struct bench_conn *conn,
                              struct bench_channel *channel, uint64_t seq, uint64_t time_ns,
                              const uint8_t *payload, size_t payload_bytes)
{
    struct bench_tick *tick = bench_ticks_at(&channel->ticks, seq);
    if (tick == NULL) {
        return;
    }
    uint64_t hash = bench_ticks_hash(payload, payload_bytes);
    if (tick->count == 0) {
        tick->first_ns = thread->now_ns;
        tick->time_ns = time_ns;
        tick->hash = hash;
    } else if (tick->hash != hash) {
        thread->totals.differing++;
    }
    if (channel->readers > 1) {
        conn->place_sum += (double)tick->count * channel->place_unit;
        conn->place_count++;
    }
    tick->last_ns = thread->now_ns;
    tick->count++;
}

static void bench_frames_measure(struct bench_thread *thread, uint64_t time_ns,
                                 size_t payload_bytes)
{
    uint64_t latency_ns = thread->now_ns > time_ns ? thread->now_ns - time_ns : 0;
    thread->totals.window_frames++;
    thread->totals.window_wire_bytes += thread->wire_bytes;
    histogram_record(&thread->latency, latency_ns);
    if (thread->intervals != NULL) {
        uint64_t place = (time_ns - thread->window_start_ns) / thread->control->interval_ns;
        if (place < thread->control->interval_count) {
            struct bench_interval *interval = &thread->intervals[place];
            histogram_record(&interval->latency, latency_ns);
            interval->frames++;
            interval->bytes += payload_bytes;
        }
    }
}

/* The channel's first tick that any conn of this thread got. One of SBE has no symbol: DEFINITION
 * has told it before. */
static void bench_frames_identify(struct bench_thread *thread, struct bench_channel *channel,
                                  const uint8_t *payload, size_t payload_bytes)
{
    uint32_t first = thread->first_conn_index;
    if (channel->symbol == BENCH_SYMBOL_NONE) {
        channel->symbol = bench_frames_symbol(thread, payload, payload_bytes);
    }
    channel->readers = bench_load_readers(thread->control->load, channel->symbol, first,
                                          first + thread->conn_count);
    channel->place_unit = channel->readers > 1 ? 1.0 / (double)(channel->readers - 1) : 0.0;
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

/* A tick's time. One that another conn of this thread has got is known. */
static bool bench_frames_time(struct bench_thread *thread, const struct bench_channel *channel,
                              const struct pattern_place *place, enum bench_form form,
                              const uint8_t *payload, size_t payload_bytes, uint64_t *time_ns_out)
{
    const struct bench_tick *tick =
        thread->has_seqs ? bench_ticks_find(&channel->ticks, place->seq) : NULL;
    if (tick == NULL && form == BENCH_FORM_SBE) {
        return sbe_scan_time(payload, thread->options->sbe_time_at, time_ns_out);
    }
    if (tick == NULL) {
        return pattern_scan_time(&thread->scan, payload, payload_bytes, place, time_ns_out);
    }
    *time_ns_out = tick->time_ns;
    return true;
}

/* A whole image, or a change of what was before? Only books have changes. */
static bool bench_frames_is_image(enum bench_form form, const uint8_t *payload,
                                  size_t payload_bytes)
{
    static const char delta[] = "\"action\":\"delta\"";
    return form == BENCH_FORM_SBE ? sbe_scan_is_image(payload, payload_bytes)
                                  : memmem(payload, payload_bytes, delta, sizeof delta - 1) == NULL;
}

void bench_frames_on_data(struct bench_thread *thread, struct bench_conn *conn,
                          enum bench_form form, const uint8_t *payload, size_t payload_bytes)
{
    struct pattern_place place;
    struct bench_stream_totals *totals = bench_frames_totals(thread, conn);
    uint32_t index;
    uint64_t *next_seq;
    uint64_t time_ns;
    if (conn->role == BENCH_SKIMMER) {
        totals->frames++;
        if (conn->phase_ns != 0) {
            bench_conn_on_first_tick(thread, conn);
        }
        return;
    }
    bool is_tick = form == BENCH_FORM_SBE
                       ? sbe_scan_place(payload, payload_bytes, &place)
                       : pattern_scan_place(&thread->scan, payload, payload_bytes, &place);
    if (!is_tick ||
        (next_seq = bench_frames_next_seq(thread, conn, place.channel, &index)) == NULL ||
        !bench_frames_time(thread, &thread->channels[index], &place, form, payload, payload_bytes,
                           &time_ns)) {
        thread->totals.malformed++;
        return;
    }
    totals->frames++;
    if (place.seq != *next_seq && *next_seq != 0 && thread->has_seqs &&
        !bench_frames_on_jump(totals, *next_seq, place.seq)) {
        return;
    }
    *next_seq = place.seq + 1;
    if (conn->phase_ns != 0) {
        bench_conn_on_first_tick(thread, conn);
    }
    if (conn->asked_ns != 0 && thread->options->snapshot &&
        bench_frames_is_image(form, payload, payload_bytes)) {
        bench_conn_on_image(thread, conn);
    }
    if (conn->role != BENCH_READER || time_ns - thread->window_start_ns >= thread->window_ns) {
        if (time_ns >= thread->window_end_ns) {
            bench_conn_finish(thread, conn);
        }
        return;
    }
    struct bench_channel *channel = &thread->channels[index];
    bench_frames_measure(thread, time_ns, payload_bytes);
    if (!thread->has_seqs) {
        return;
    }
    if (channel->first_seq == UINT64_MAX) {
        bench_frames_identify(thread, channel, payload, payload_bytes);
    }
    channel->first_seq = place.seq < channel->first_seq ? place.seq : channel->first_seq;
    channel->last_seq = place.seq > channel->last_seq ? place.seq : channel->last_seq;
    bench_frames_note(thread, conn, channel, place.seq, time_ns, payload, payload_bytes);
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
    if (conn->role == BENCH_SKIMMER) {
        return; /* It does not know where it was. */
    }
    if (*next_seq != 0 && reply->from != *next_seq) {
        totals->gaps_wrong++;
    }
    *next_seq = reply->to + 1;
}

/* From after the window it says that there is no more to come, unless it promises what has not. */
static void bench_frames_on_heartbeat(struct bench_thread *thread, struct bench_conn *conn,
                                      const struct control_reply *reply)
{
    uint64_t time_ns;
    const char *key;
    json_t *promised;
    if (!control_reply_u64(reply->root, "ts", &time_ns) || time_ns < thread->window_end_ns) {
        return;
    }
    json_object_foreach(json_object_get(reply->data, "next_seq"), key, promised)
    {
        uint64_t channel = strtoull(key, NULL, 10);
        uint32_t place = channel < BENCH_CHANNEL_NUMBER_MAX ? thread->channel_indexes[channel] : 0;
        bool has_come =
            place > 0 && place <= conn->next_seq_count && conn->next_seqs[place - 1] > 0;
        if (has_come && (uint64_t)json_integer_value(promised) > conn->next_seqs[place - 1]) {
            return;
        }
    }
    bench_conn_finish(thread, conn);
}

void bench_frames_refused(struct bench_thread *thread, const uint8_t *payload, size_t payload_bytes)
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

/* Which symbols the channels of SBE's frames are. */
static void bench_frames_on_definition(struct bench_thread *thread,
                                       const struct control_reply *reply)
{
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(reply->data, "channels"), i, entry)
    {
        uint64_t number;
        const char *symbol = json_string_value(json_object_get(entry, "symbol"));
        if (symbol == NULL || !control_reply_u64(entry, "ch", &number) ||
            number >= BENCH_CHANNEL_NUMBER_MAX) {
            thread->totals.malformed++;
            return;
        }
        uint32_t index_plus_1 = thread->channel_indexes[number];
        uint32_t index =
            index_plus_1 > 0 ? index_plus_1 - 1 : bench_frames_new_channel(thread, number);
        if (index != UINT32_MAX) {
            thread->channels[index].symbol =
                bench_load_find(thread->control->load, symbol, strlen(symbol));
        }
    }
}

/* A JSON frame of the server that is no tick. */
static void bench_frames_on_reply(struct bench_thread *thread, struct bench_conn *conn,
                                  const uint8_t *payload, size_t payload_bytes)
{
    struct control_reply reply;
    if (control_reply_parse(&reply, payload, payload_bytes) != 0) {
        thread->totals.malformed++;
        return;
    }
    if (reply.type == CONTROL_GAP) {
        bench_frames_on_gap(thread, conn, &reply);
    } else if (reply.type == CONTROL_HEARTBEAT) {
        bench_frames_on_heartbeat(thread, conn, &reply);
    } else if (strcmp(reply.name, "DEFINITION") == 0) {
        bench_frames_on_definition(thread, &reply);
    } else if (reply.type == CONTROL_ERROR || json_array_size(reply.failed) > 0) {
        bench_frames_refused(thread, payload, payload_bytes);
        bench_conn_shut(thread, conn, 1000);
    } else if (reply.type == CONTROL_SUBSCRIBED && conn->state == BENCH_CONN_SUBSCRIBING) {
        bench_conn_on_subscribed(thread, conn, thread->now_ns);
    } else if (reply.type == CONTROL_SUBSCRIBED && conn->role == BENCH_RESUBSCRIBER) {
        bench_frames_totals(thread, conn)->sessions++;
        bench_roles_on_subscribed(thread, conn);
    } else if (strcmp(reply.name, "UNSUBSCRIBED") == 0) {
        bench_roles_on_unsubscribed(thread, conn);
    }
    control_reply_free(&reply);
}

/* Everything but an unfragmented text frame that looks like a tick. */
static void bench_frames_on_other(struct bench_thread *thread, struct bench_conn *conn,
                                  uint8_t first, const uint8_t *payload, size_t payload_bytes)
{
    if (first == FRAME_FINAL_TEXT && thread->options->protocol == BENCH_RINGCAST) {
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

static void bench_frames_on_frame(struct bench_thread *thread, struct bench_conn *conn,
                                  uint8_t first, const uint8_t *payload, size_t payload_bytes)
{
    bool is_compressed = first == (FRAME_FINAL_TEXT | FRAME_COMPRESSED) ||
                         first == (FRAME_FINAL_BINARY | FRAME_COMPRESSED);
    if (is_compressed && thread->inflate != NULL) {
        if (!bench_inflate_message(thread->inflate, payload, payload_bytes, &payload,
                                   &payload_bytes)) {
            thread->totals.malformed++;
            bench_conn_shut(thread, conn, 1007);
            return;
        }
        first &= (uint8_t)~FRAME_COMPRESSED;
    }
    bool is_message = first == FRAME_FINAL_TEXT || first == FRAME_FINAL_BINARY;
    enum bench_protocol protocol = thread->options->protocol;
    if (protocol == BENCH_RINGCAST && first == FRAME_FINAL_TEXT &&
        tick_scan_is_data(payload, payload_bytes)) {
        bench_frames_on_data(thread, conn, BENCH_FORM_TEXT, payload, payload_bytes);
    } else if (first == FRAME_FINAL_BINARY && thread->options->encoding == BENCH_SBE) {
        bench_frames_on_data(thread, conn, BENCH_FORM_SBE, payload, payload_bytes);
    } else if (protocol == BENCH_PLAIN && is_message) {
        bench_frames_on_data(thread, conn, BENCH_FORM_TEXT, payload, payload_bytes);
    } else if (protocol == BENCH_NATS && is_message) {
        bench_nats_on_message(thread, conn, payload, payload_bytes);
    } else {
        bench_frames_on_other(thread, conn, first, payload, payload_bytes);
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
        thread->wire_bytes = header_bytes + payload_bytes;
        bench_frames_on_frame(thread, conn, frame[0], payload, payload_bytes);
        if (conn->state == BENCH_CONN_CLOSED) {
            return bytes_count;
        }
        used += header_bytes + payload_bytes;
    }
    bench_frames_totals(thread, conn)->bytes += used;
    return used;
}
