#include "feeds/ingest/ingest_ticks.h"

#include <inttypes.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/utf8.h"
#include "feeds/ingest/ingest_reply.h"

#define INGEST_TICKS_FAULTS_LOGGED_MAX 10
#define INGEST_TICKS_HOLE_LOG_NS NS_PER_SECOND

static void ingest_ticks_refuse(struct ingest_producer *producer, uint64_t q, const char *reason)
{
    producer->ingest->feed.counters.refused++;
    producer->refused_count++;
    ingest_reply_refused(producer, q, reason);
}

/* ---- The producer's own numbers ---- */

static void ingest_ticks_note_hole(struct ingest_producer *producer, uint64_t q)
{
    struct ingest *ingest = producer->ingest;
    ingest->feed.counters.holes++;
    producer->hole_count++;
    if (producer->hole_count > 1 &&
        ingest->steady_ns - producer->hole_ns < INGEST_TICKS_HOLE_LOG_NS) {
        return;
    }
    producer->hole_ns = ingest->steady_ns;
    ingest_log(ingest, FEED_WARNING,
               "ingest: %s: a hole in its numbers: %" PRIu64 " to %" PRIu64 " did not come",
               producer->label, producer->place->q + 1, q - 1);
}

/* Gives the tick its number, if it has none, and counts it as handled. false: it was handled
 * before, or there is no number for it. */
static bool ingest_ticks_follow(struct ingest_producer *producer, uint64_t *q)
{
    struct ingest_place *place = producer->place;
    uint64_t next = place->q + 1;
    ingest_reply_ack_soon(producer);
    if (*q == 0 && next > INT64_MAX) {
        ingest_ticks_refuse(producer, 0, "no number is left for it; begin a new epoch");
        return false;
    }
    *q = *q == 0 ? next : *q;
    if (__builtin_expect(*q != next && place->has_q, 0)) {
        if (*q < next) {
            producer->ingest->feed.counters.duplicates++;
            producer->duplicate_count++;
            return false;
        }
        ingest_ticks_note_hole(producer, *q);
    }
    place->q = *q;
    place->has_q = true;
    return true;
}

/* q: 0 where it could not be read. The number of a message that can be read in part is handled. */
static void ingest_ticks_malformed(struct ingest_producer *producer, uint64_t q, const char *fault)
{
    struct ingest *ingest = producer->ingest;
    if (q != 0 && !ingest_ticks_follow(producer, &q)) {
        return;
    }
    ingest->feed.counters.malformed++;
    producer->malformed_count++;
    if (ingest->faults_logged < INGEST_TICKS_FAULTS_LOGGED_MAX) {
        ingest->faults_logged++;
        ingest_log(ingest, FEED_WARNING, "ingest: %s: malformed: %s%s", producer->label, fault,
                   ingest->faults_logged == INGEST_TICKS_FAULTS_LOGGED_MAX
                       ? " (further ones are only counted)"
                       : "");
    }
    ingest_reply_refused(producer, q, fault);
}

/* ---- Channels ---- */

/* INGEST_CHANNELS_NONE: the tick is refused for the reason. */
static uint32_t ingest_ticks_admit(struct ingest_producer *producer, const char *symbol,
                                   size_t symbol_bytes, enum md_type type, const char **reason_out)
{
    struct ingest *ingest = producer->ingest;
    const struct feed_admission *admission = ingest->feed.sink->admission;
    if (producer->has_grant &&
        !admission->may_publish(admission->context, &producer->grant, symbol, symbol_bytes, type)) {
        *reason_out = "the token does not permit this symbol and type";
        return INGEST_CHANNELS_NONE;
    }
    if (symbol_bytes == 0 || symbol_bytes > MD_SYMBOL_BYTES_MAX ||
        !utf8_is_valid((const uint8_t *)symbol, symbol_bytes)) {
        *reason_out = "symbol is not 1 to 32 bytes of UTF-8";
        return INGEST_CHANNELS_NONE;
    }
    uint32_t channel = ingest_channels_open(&ingest->channels, symbol, symbol_bytes, type);
    if (channel == INGEST_CHANNELS_NONE || !ingest_channel_set_add(&producer->channels, channel)) {
        *reason_out = "there is no channel for it: the channel table of the server is full, or the "
                      "symbol has a *, a quote or a control character";
        return INGEST_CHANNELS_NONE;
    }
    return channel;
}

static uint32_t ingest_ticks_channel(struct ingest_producer *producer, const char *symbol,
                                     size_t symbol_bytes, enum md_type type,
                                     const char **reason_out)
{
    uint32_t channel =
        ingest_channels_find(&producer->ingest->channels, symbol, symbol_bytes, type);
    return channel != INGEST_CHANNELS_NONE && ingest_channel_set_has(&producer->channels, channel)
               ? channel
               : ingest_ticks_admit(producer, symbol, symbol_bytes, type, reason_out);
}

/* For stream_ticks: INGEST_CHANNELS_NONE is tried again, and its reason found, with each tick. */
static uint32_t ingest_ticks_value(void *context, const char *symbol, size_t symbol_bytes,
                                   enum md_type type)
{
    const char *reason;
    return ingest_ticks_channel(context, symbol, symbol_bytes, type, &reason);
}

void ingest_ticks_silence(struct ingest_producer *producer)
{
    const struct feed_sink *sink = producer->ingest->feed.sink;
    const struct ingest_channel_set *set = &producer->channels;
    producer->is_silent = true;
    for (uint32_t word = 0; word < set->word_count; word++) {
        for (uint64_t bits = set->bits[word]; bits != 0; bits &= bits - 1) {
            sink->silent(sink->context, word * 64 + (uint32_t)__builtin_ctzll(bits));
        }
    }
}

static bool ingest_ticks_keeps(void *context, uint32_t channel, const char *symbol,
                               size_t symbol_bytes, enum md_type type)
{
    const struct ingest_producer *producer = context;
    const struct feed_sink *sink = producer->ingest->feed.sink;
    bool may_publish = sink->admission->may_publish(sink->admission->context, &producer->grant,
                                                    symbol, symbol_bytes, type);
    if (!may_publish && !producer->is_silent) {
        sink->silent(sink->context, channel);
    }
    return may_publish;
}

void ingest_ticks_limit(struct ingest_producer *producer)
{
    struct stream_ticks_table *table = &producer->table;
    assert_always(producer->has_grant);
    ingest_channel_set_limit(&producer->channels, &producer->ingest->channels, ingest_ticks_keeps,
                             producer);
    for (uint32_t ch = 0; ch < table->channel_count; ch++) {
        uint32_t *value = &table->channels[ch].value;
        if (*value != INGEST_CHANNELS_NONE &&
            !ingest_channel_set_has(&producer->channels, *value)) {
            *value = INGEST_CHANNELS_NONE; /* It is tried again with each tick. */
        }
    }
}

/* ---- Messages ---- */

static void ingest_ticks_publish(struct ingest_producer *producer, struct md_update *update,
                                 uint32_t channel, uint64_t q)
{
    const struct feed_sink *sink = producer->ingest->feed.sink;
    update->channel = channel;
    update->ts_recv_ns = producer->input.recv_ns;
    update->source_seq = q;
    update->source_epoch = producer->place->epoch;
    sink->publish(sink->context, update);
    producer->ingest->feed.counters.ticks++;
    producer->tick_count++;
}

static void ingest_ticks_gap(struct ingest_producer *producer)
{
    struct ingest *ingest = producer->ingest;
    struct ingest_gap gap;
    const char *fault =
        ingest_control_read_gap(&gap, producer->input.message, producer->input.message_bytes);
    uint32_t channel = INGEST_CHANNELS_NONE;
    if (fault == NULL && !gap.has_ch) {
        channel = ingest_ticks_channel(producer, gap.symbol, gap.symbol_bytes, gap.type, &fault);
    } else if (fault == NULL && producer->input.form == INGEST_FORM_LINES) {
        ingest->feed.counters.skipped++; /* It is of ringcast-tap --json: the ch is not our own. */
        return;
    } else if (fault == NULL) {
        const struct stream_ticks_channel *bound = stream_ticks_find(&producer->table, gap.ch);
        channel = bound == NULL ? INGEST_CHANNELS_NONE : bound->value;
        fault = channel == INGEST_CHANNELS_NONE ? "GAP: ch is not bound, or may not be published"
                                                : NULL;
    }
    if (fault != NULL) {
        ingest_ticks_malformed(producer, 0, fault);
        return;
    }
    ingest->feed.sink->lost(ingest->feed.sink->context, channel);
}

static void ingest_ticks_define(struct ingest_producer *producer)
{
    const char *fault =
        stream_ticks_define(&producer->table, producer->input.message,
                            producer->input.message_bytes, ingest_ticks_value, producer);
    if (fault != NULL) {
        ingest_ticks_malformed(producer, 0, fault);
    }
}

/* A recording begins, perhaps behind another one: it has channels and numbers of its own. */
static void ingest_ticks_begin_recording(struct ingest_producer *producer)
{
    stream_ticks_table_deinit(&producer->table);
    if (!producer->is_named) {
        producer->own_place.has_q = false;
        producer->own_place.q = 0;
    }
}

/* false: HELLO. */
static bool ingest_ticks_control(struct ingest_producer *producer, const char *kind)
{
    bool is_gap = strcmp(kind, "GAP") == 0;
    bool is_definition = strcmp(kind, "DEFINITION") == 0;
    const char *fault = ingest_control_check_length(producer->input.message_bytes);
    if (strcmp(kind, "HELLO") == 0) {
        return false;
    }
    if ((is_gap || is_definition) && fault != NULL) {
        ingest_ticks_malformed(producer, 0, fault);
    } else if (is_gap) {
        ingest_ticks_gap(producer);
    } else if (is_definition) {
        ingest_ticks_define(producer);
    } else if (strcmp(kind, "HEARTBEAT") != 0) {
        producer->ingest->feed.counters.skipped++;
        if (strcmp(kind, "RECORDING") == 0) {
            ingest_ticks_begin_recording(producer);
        }
    }
    return true;
}

static bool ingest_ticks_take_json(struct ingest_producer *producer)
{
    struct ingest *ingest = producer->ingest;
    struct frame_tick tick;
    const char *reason;
    switch (frame_ticks_parse(ingest->frames, producer->input.message,
                              producer->input.message_bytes, &tick)) {
    case FRAME_TICKS_OTHER:
        return ingest_ticks_control(producer, tick.kind);
    case FRAME_TICKS_MALFORMED:
        ingest_ticks_malformed(producer, tick.q, tick.fault);
        return true;
    case FRAME_TICKS_TICK:
        break;
    }
    if (!ingest_ticks_follow(producer, &tick.q)) {
        return true;
    }
    uint32_t channel =
        ingest_ticks_channel(producer, tick.symbol, tick.symbol_bytes, tick.update.type, &reason);
    if (channel == INGEST_CHANNELS_NONE) {
        ingest_ticks_refuse(producer, tick.q, reason);
    } else {
        ingest_ticks_publish(producer, &tick.update, channel, tick.q);
    }
    return true;
}

/* Of a channel that could not be opened when it was defined. */
static uint32_t ingest_ticks_open_late(struct ingest_producer *producer, uint32_t ch,
                                       const char **reason_out)
{
    struct stream_ticks_channel *bound = stream_ticks_find(&producer->table, ch);
    assert_always(bound != NULL);
    bound->value =
        ingest_ticks_channel(producer, bound->symbol, bound->symbol_bytes, bound->type, reason_out);
    return bound->value;
}

static bool ingest_ticks_take_binary(struct ingest_producer *producer)
{
    struct ingest *ingest = producer->ingest;
    struct stream_tick tick;
    const char *reason;
    enum stream_ticks_status status = stream_ticks_parse(ingest->stream, &producer->table,
                                                         (const uint8_t *)producer->input.message,
                                                         producer->input.message_bytes, &tick);
    if (status == STREAM_TICKS_JSON) {
        return ingest_ticks_take_json(producer);
    }
    if (status == STREAM_TICKS_MALFORMED) {
        ingest_ticks_malformed(producer, tick.q, tick.fault);
        return true;
    }
    if (!ingest_ticks_follow(producer, &tick.q)) {
        return true;
    }
    uint32_t channel = tick.channel->value;
    if (__builtin_expect(channel == INGEST_CHANNELS_NONE, 0)) {
        channel = ingest_ticks_open_late(producer, tick.update.channel, &reason);
    }
    if (channel == INGEST_CHANNELS_NONE) {
        ingest_ticks_refuse(producer, tick.q, reason);
    } else {
        ingest_ticks_publish(producer, &tick.update, channel, tick.q);
    }
    return true;
}

bool ingest_ticks_take(struct ingest_producer *producer)
{
    return producer->input.form == INGEST_FORM_BINARY ? ingest_ticks_take_binary(producer)
                                                      : ingest_ticks_take_json(producer);
}
