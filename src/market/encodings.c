#include "src/market/encodings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/running_hash.h"
#include "codec/ws_frame.h"
#include "ring/board/frame_log_size.h"
#include "ring/trace.h"
#include "src/base/log.h"
#include "src/market/recoder.h"

const struct handshake_protocol encodings_protocols[ENCODINGS_PROTOCOL_COUNT] = {
    {ENCODERS_JSON, CORE_ENCODING_JSON, CORE_ENCODING_JSON_DEFLATE},
    {ENCODERS_SBE, CORE_ENCODING_SBE, CORE_ENCODING_SBE},
};

enum encodings_state {
    ENCODINGS_IDLE,
    ENCODINGS_SEEDING, /* Ticks are written; frames of quiet channels are being carried over. */
    ENCODINGS_WRITTEN, /* The cores were told. */
};

/* The publisher's side of a struct core_encoding. */
struct encodings_writer {
    enum encodings_state state;
    uint32_t seed_next;     /* channel */
    uint64_t idle_since_ns; /* 0: there are conns */
    uint32_t idle_refused;  /* clients without room for their encoding, when it became idle */
};

struct encodings {
    struct encodings_options options;
    struct core_encoding table[CORE_ENCODINGS_MAX];
    struct core_claims claims;
    struct encodings_writer writers[CORE_ENCODINGS_MAX];
    struct encodings_count counts[CORE_ENCODINGS_MAX];
    uint32_t count;
    uint32_t written_mask;     /* of those not idle, except JSON */
    uint32_t reported_refused; /* clients without room, as the log last said */
    uint64_t reported_ns;      /* when it did; 0: never */
    struct encoders *encoders;
    struct recoder *recoder; /* reads back what is carried over */
};

static int encodings_create_logs(struct encodings *encodings)
{
    static_assert(CORE_ENCODING_JSON == 0, "the core takes the first encoding's log as history");
    static_assert(CORE_ENCODING_SBE == 1, "struct layout_log has the numbers");
    static_assert(CORE_ENCODING_JSON_DEFLATE == 2, "struct layout_log has the numbers");
    for (uint32_t i = 0; i < encoders_count(encodings->options.compresses); i++) {
        const struct encoders_row *row = &encoders_rows[i];
        struct frame_log_options log = encodings->options.log;
        log.is_lazy = row->is_lazy;
        log.encoding = i;
        int error = frame_log_create(&encodings->table[i].log, &log);
        if (error < 0) {
            return error;
        }
        encodings->table[i].takes_json =
            strcmp(row->subprotocol, encoders_rows[CORE_ENCODING_JSON].subprotocol) == 0;
        encodings->count = i + 1;
    }
    return 0;
}

static_assert(CORE_ENCODINGS_MAX <= CORE_CLAIMS_ENCODINGS_MAX + 1, "each but JSON can be claimed");

uint32_t encodings_fit(const struct frame_log_options *log, uint64_t memory_bytes_max,
                       uint32_t wanted_count)
{
    uint64_t fit_count = memory_bytes_max / frame_log_size_most(log);
    return memory_bytes_max == 0 || fit_count > wanted_count ? wanted_count : (uint32_t)fit_count;
}

int encodings_create(struct encodings **encodings_out, const struct encodings_options *options)
{
    struct encodings *encodings = calloc(1, sizeof *encodings);
    if (encodings == NULL) {
        return -ENOMEM;
    }
    assert_always(options->log.channel_count_max == CHANNELS_MAX);
    encodings->options = *options;
    struct encoders_options encoders = {
        .channels = options->channels,
        .frame_bytes_max = options->log.frame_bytes_max,
        .compresses = options->compresses,
        .compressed_bytes_min = options->compressed_bytes_min,
    };
    int error = encoders_create(&encodings->encoders, &encoders);
    if (error == 0) {
        error = encodings_create_logs(encodings);
    }
    if (error == 0) {
        error = recoder_create(&encodings->recoder, options->channels);
    }
    if (error < 0) {
        encodings_destroy(encodings);
        return error;
    }
    uint32_t fit_count = encodings_fit(&options->log, options->memory_bytes_max, encodings->count);
    assert_always(fit_count >= 1);
    encodings->claims.open_max = fit_count - 1;
    atomic_store(&encodings->table[CORE_ENCODING_JSON].run, 1);
    *encodings_out = encodings;
    return 0;
}

void encodings_destroy(struct encodings *encodings)
{
    for (uint32_t i = 0; i < encodings->count; i++) {
        frame_log_destroy(encodings->table[i].log);
    }
    encoders_destroy(encodings->encoders);
    recoder_destroy(encodings->recoder);
    free(encodings);
}

struct core_encoding *encodings_table(struct encodings *encodings, uint32_t *count_out)
{
    *count_out = encodings->count;
    return encodings->table;
}

struct core_claims *encodings_claims(struct encodings *encodings)
{
    return &encodings->claims;
}

struct frame_log *encodings_json_log(const struct encodings *encodings)
{
    return encodings->table[CORE_ENCODING_JSON].log;
}

void encodings_forget_channel(struct encodings *encodings, uint32_t channel)
{
    encoders_forget_channel(encodings->encoders, channel);
}

size_t encodings_payload_bytes_max(const struct encodings *encodings)
{
    return encoders_payload_bytes_max(encodings->encoders);
}

struct encodings_count encodings_count(const struct encodings *encodings, uint32_t encoding)
{
    assert_debug(encoding < CORE_ENCODINGS_MAX);
    return encodings->counts[encoding];
}

uint64_t encodings_replaced_bytes(const struct encodings *encodings)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < encodings->count; i++) {
        bytes += encodings->table[i].log->replaced_bytes;
    }
    return bytes;
}

void encodings_publish(struct encodings *encodings)
{
    for (uint32_t left = encodings->written_mask; left != 0; left &= left - 1) {
        frame_log_publish(encodings->table[__builtin_ctz(left)].log);
    }
    frame_log_publish(encodings->table[CORE_ENCODING_JSON].log);
}

/* ---- Writing ---- */

static inline void encodings_commit(struct frame_log *log, const struct tick *tick, uint8_t flags,
                                    uint64_t hash, uint32_t frame_bytes)
{
    assert_debug(frame_log_next_seq(log, tick->channel) == tick->seq);
    frame_log_set_hash(log, tick->channel, hash);
    frame_log_commit(log, tick->channel, tick->group, flags, frame_bytes, tick->ts_pub_ns);
}

static inline uint64_t encodings_hash(const struct frame_log *log, uint32_t channel,
                                      const uint8_t *frame, uint32_t frame_bytes)
{
    size_t header_bytes = ws_frame_finished_header_bytes(frame);
    return running_hash_add(frame_log_hash(log, channel),
                            running_hash_payload(frame + header_bytes, frame_bytes - header_bytes));
}

/* Of an encoding other than JSON. */
static void encodings_write_one(struct encodings *encodings, uint32_t encoding,
                                const struct tick *tick, const struct encoders_json *json)
{
    const struct encoders_row *row = &encoders_rows[encoding];
    struct frame_log *log = encodings->table[encoding].log;
    uint8_t flags = tick->flags;
    uint8_t *frame = frame_log_reserve(log);
    size_t frame_bytes = row->encode(encodings->encoders, frame, tick, json);
    if (frame_bytes > 0 && !row->is_compressed) {
        frame_bytes = ws_frame_finish(frame, row->opcode, frame_bytes);
    } else if (frame_bytes == 0) {
        frame_bytes = json->frame_bytes;
        memcpy(frame, json->frame, frame_bytes);
        flags |= row->is_compressed ? 0 : FRAME_IS_JSON;
    }
    assert_always(frame_bytes <= encodings->options.log.frame_bytes_max);
    encodings->counts[encoding].frames++;
    encodings->counts[encoding].bytes += frame_bytes;
    /* Clients hash what is compressed as the JSON that it was. */
    uint64_t hash = row->is_compressed
                        ? frame_log_hash(encodings_json_log(encodings), tick->channel)
                        : encodings_hash(log, tick->channel, frame, (uint32_t)frame_bytes);
    encodings_commit(log, tick, flags, hash, (uint32_t)frame_bytes);
    trace_encode(encoding, tick->channel, tick->seq, frame_log_end(log) - 1, frame_bytes);
}

static __attribute__((noinline)) void encodings_write_others(struct encodings *encodings,
                                                             const struct tick *tick,
                                                             const struct encoders_json json)
{
    for (uint32_t left = encodings->written_mask; left != 0; left &= left - 1) {
        encodings_write_one(encodings, (uint32_t)__builtin_ctz(left), tick, &json);
    }
}

uint32_t encodings_write(struct encodings *encodings, const struct tick *tick)
{
    const struct encoders_row *row = &encoders_rows[CORE_ENCODING_JSON];
    struct frame_log *log = encodings_json_log(encodings);
    uint8_t *frame = frame_log_reserve(log);
    size_t payload_bytes = row->encode(encodings->encoders, frame, tick, NULL);
    if (__builtin_expect(payload_bytes == 0, 0)) {
        return 0;
    }
    uint32_t frame_bytes = (uint32_t)ws_frame_finish(frame, row->opcode, payload_bytes);
    encodings_commit(log, tick, tick->flags, encodings_hash(log, tick->channel, frame, frame_bytes),
                     frame_bytes);
    if (encodings->written_mask != 0) {
        encodings_write_others(encodings, tick, (struct encoders_json){frame, frame_bytes});
    }
    return frame_bytes;
}

/* ---- Beginning and ending ---- */

static void encodings_begin(struct encodings *encodings, uint32_t encoding)
{
    const struct frame_log *json = encodings->table[CORE_ENCODING_JSON].log;
    struct frame_log *log = encodings->table[encoding].log;
    uint32_t channel_count = channels_count(encodings->options.channels);
    frame_log_clear(log);
    for (uint32_t channel = 0; channel < channel_count; channel++) {
        uint8_t group = channels_get(encodings->options.channels, channel)->group;
        bool is_as_json = encoders_rows[encoding].is_compressed;
        frame_log_set_hash(log, channel,
                           is_as_json ? frame_log_hash(json, channel) : RUNNING_HASH_START);
        frame_log_set_next_seq(log, channel, group, frame_log_next_seq(json, channel));
    }
    encodings->written_mask |= 1u << encoding;
    encodings->writers[encoding] = (struct encodings_writer){.state = ENCODINGS_SEEDING};
}

/* Carries a channel's newest frame over, unless a tick of it came since the encoding began. */
static void encodings_seed(struct encodings *encodings, uint32_t encoding, uint32_t channel)
{
    const struct frame_log *json = encodings->table[CORE_ENCODING_JSON].log;
    struct frame_log *log = encodings->table[encoding].log;
    struct frame_log_image image;
    if (frame_log_last_plus_1(log, channel) > 0 || !frame_log_newest(json, channel, &image)) {
        return;
    }
    const struct channel *known = channels_get(encodings->options.channels, channel);
    struct encoders_json frame = {.frame = image.frame, .frame_bytes = image.frame_bytes};
    struct tick tick = {
        .channel = channel,
        .group = known->group,
        .seq = image.seq,
        .ts_pub_ns = image.ts_pub_ns,
        .flags = image.flags,
    };
    frame_log_set_next_seq(log, channel, known->group, image.seq);
    /* What has no name any more has ended with a GAP, which is JSON in all logs. */
    bool is_named = channels_hold(encodings->options.channels, channel);
    if (is_named) {
        tick.update = recoder_read(encodings->recoder, channel, image.frame, image.frame_bytes);
        channels_release(encodings->options.channels, channel);
    }
    encodings_write_one(encodings, encoding, &tick, &frame);
}

static enum encodings_news encodings_seed_on(struct encodings *encodings, uint32_t encoding)
{
    struct encodings_writer *writer = &encodings->writers[encoding];
    uint32_t channel_count = channels_count(encodings->options.channels);
    for (uint32_t i = 0; i < ENCODINGS_SEEDS_PER_POLL && writer->seed_next < channel_count; i++) {
        encodings_seed(encodings, encoding, writer->seed_next++);
    }
    if (writer->seed_next < channel_count) {
        return ENCODINGS_BUSY;
    }
    struct core_encoding *shared = &encodings->table[encoding];
    frame_log_publish(shared->log);
    writer->state = ENCODINGS_WRITTEN;
    /* A tick that is committed from now on is so in both logs. */
    atomic_store(&shared->first, frame_log_end(shared->log));
    atomic_store(&shared->json_first, frame_log_end(encodings_json_log(encodings)));
    uint32_t run = atomic_fetch_add(&shared->run, 1) + 1;
    trace_encoding(encoding, run, frame_log_end(encodings_json_log(encodings)),
                   frame_log_end(shared->log));
    return ENCODINGS_BEGUN;
}

/* A core that joins looks at run afterwards: it sees the end, or we see that it joined. */
static void encodings_end(struct encodings *encodings, uint32_t encoding)
{
    struct core_encoding *shared = &encodings->table[encoding];
    uint32_t run = atomic_load(&shared->run);
    atomic_store(&shared->run, run + 1);
    if (core_claims_count(&encodings->claims, encoding) > 0) {
        atomic_store(&shared->run, run);
        encodings->writers[encoding].idle_since_ns = 0;
        return;
    }
    encodings->written_mask &= ~(1u << encoding);
    encodings->writers[encoding].state = ENCODINGS_IDLE;
    trace_encoding(encoding, run + 1, frame_log_end(encodings_json_log(encodings)),
                   frame_log_end(shared->log));
    frame_log_clear(shared->log);
}

static enum encodings_news encodings_poll_one(struct encodings *encodings, uint32_t encoding,
                                              uint64_t now_ns)
{
    struct encodings_writer *writer = &encodings->writers[encoding];
    bool is_wanted = core_claims_count(&encodings->claims, encoding) > 0;
    uint32_t refused_count = core_claims_refused(&encodings->claims);
    if (writer->state == ENCODINGS_IDLE && is_wanted) {
        encodings_begin(encodings, encoding);
    } else if (writer->state == ENCODINGS_IDLE) {
        core_claims_close(&encodings->claims, encoding); /* It has ended, or nobody waited. */
    }
    if (writer->state == ENCODINGS_SEEDING) {
        return encodings_seed_on(encodings, encoding);
    }
    if (writer->state == ENCODINGS_WRITTEN && is_wanted) {
        writer->idle_since_ns = 0;
    } else if (writer->state == ENCODINGS_WRITTEN && writer->idle_since_ns == 0) {
        writer->idle_since_ns = now_ns;
        writer->idle_refused = refused_count;
    } else if (writer->state == ENCODINGS_WRITTEN) {
        bool is_needed = refused_count != writer->idle_refused; /* its room, by others */
        uint64_t linger_ns = is_needed ? ENCODINGS_SHORT_LINGER_NS : ENCODINGS_LINGER_NS;
        if (now_ns - writer->idle_since_ns >= linger_ns) {
            encodings_end(encodings, encoding);
        }
    }
    return ENCODINGS_AT_REST;
}

/* Clients were refused an encoding, or went on without compression. */
static void encodings_report(struct encodings *encodings, uint32_t refused_count)
{
    char text[LOG_LINE_BYTES_MAX];
    char names[64] = "json";
    for (uint32_t i = 1; i < encodings->count; i++) {
        if (core_claims_is_open(&encodings->claims, i)) {
            size_t used = strlen(names);
            snprintf(names + used, sizeof names - used, ", %s", encoders_rows[i].name);
        }
    }
    snprintf(text, sizeof text,
             "--memory-max: no room for the log of another encoding: %" PRIu32
             " clients were refused, or are served without compression. In use: %s; each may take "
             "%" PRIu64 " MiB. Give a larger --memory-max or a smaller --frame-log-bytes",
             refused_count - encodings->reported_refused, names,
             frame_log_size_most(&encodings->options.log) / MIB);
    log_post(0, LOG_LEVEL_WARNING, text);
    encodings->reported_refused = refused_count;
}

enum encodings_news encodings_poll(struct encodings *encodings, uint64_t now_ns)
{
    uint32_t refused_count = core_claims_refused(&encodings->claims);
    bool is_soon =
        encodings->reported_ns != 0 && now_ns - encodings->reported_ns < ENCODINGS_REPORT_NS;
    if (__builtin_expect(refused_count != encodings->reported_refused && !is_soon, 0)) {
        encodings->reported_ns = now_ns;
        encodings_report(encodings, refused_count);
    }
    enum encodings_news news = ENCODINGS_AT_REST;
    for (uint32_t i = 1; i < encodings->count; i++) {
        enum encodings_news one = encodings_poll_one(encodings, i, now_ns);
        news = one > news ? one : news;
    }
    return news;
}
