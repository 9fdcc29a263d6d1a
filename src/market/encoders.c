#include "src/market/encoders.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "codec/base/check.h"
#include "codec/json_tick.h"
#include "codec/sbe_tick.h"
#include "codec/ws_deflate.h"
#include "codec/ws_frame.h"

struct encoders {
    const struct channels *channels;
    struct json_tick_head *heads; /* by channel; text_bytes 0: not made yet */
    size_t frame_bytes_max;
    size_t payload_bytes_max;
    struct ws_deflate *deflate; /* NULL: nothing is compressed */
};

/* ---- The encodings ---- */

static size_t encoders_put_gap(struct encoders *encoders, uint8_t *payload, const struct tick *tick)
{
    int bytes = snprintf((char *)payload, encoders->payload_bytes_max,
                         "{\"type\":\"GAP\",\"ts\":%" PRIu64 ",\"data\":{\"ch\":%" PRIu32
                         ",\"from\":%" PRIu64 ",\"to\":%" PRIu64 ",\"reason\":\"source\"}}",
                         tick->ts_pub_ns, tick->channel, tick->seq, tick->seq);
    assert_always(bytes > 0 && (size_t)bytes < encoders->payload_bytes_max);
    return (size_t)bytes;
}

/* A GAP, or the first tick of a channel. */
static __attribute__((noinline)) size_t
encoders_encode_first(struct encoders *encoders, uint8_t *payload, const struct tick *tick)
{
    struct json_tick_head *head = &encoders->heads[tick->channel];
    if (tick->update == NULL) {
        return encoders_put_gap(encoders, payload, tick);
    }
    const struct channel *channel = channels_get(encoders->channels, tick->channel);
    json_tick_head_init(head, (enum md_type)channel->type, channel->symbol, channel->symbol_bytes,
                        tick->channel);
    assert_always(head->text_bytes > 0);
    return json_tick_encode(payload, encoders->payload_bytes_max, head, tick->update, tick->seq,
                            tick->ts_pub_ns);
}

static size_t encoders_encode_json(struct encoders *encoders, uint8_t *frame,
                                   const struct tick *tick, const struct encoders_json *json)
{
    const struct json_tick_head *head = &encoders->heads[tick->channel];
    uint8_t *payload = frame + WS_FRAME_FINISH_GAP;
    (void)json;
    if (__builtin_expect(tick->update == NULL || head->text_bytes == 0, 0)) {
        return encoders_encode_first(encoders, payload, tick);
    }
    return json_tick_encode(payload, encoders->payload_bytes_max, head, tick->update, tick->seq,
                            tick->ts_pub_ns);
}

static size_t encoders_encode_sbe(struct encoders *encoders, uint8_t *frame,
                                  const struct tick *tick, const struct encoders_json *json)
{
    (void)json;
    if (tick->update == NULL) {
        return 0;
    }
    return sbe_tick_encode(frame + WS_FRAME_FINISH_GAP, encoders->payload_bytes_max, tick->channel,
                           tick->update, tick->seq, tick->ts_pub_ns);
}

/* The whole frame: its header says that it is compressed. */
static size_t encoders_encode_deflate(struct encoders *encoders, uint8_t *frame,
                                      const struct tick *tick, const struct encoders_json *json)
{
    size_t header_bytes = ws_frame_finished_header_bytes(json->frame);
    (void)tick;
    assert_always(header_bytes <= json->frame_bytes);
    return ws_deflate_frame(encoders->deflate, frame, encoders->frame_bytes_max, WS_TEXT,
                            json->frame + header_bytes, json->frame_bytes - header_bytes);
}

const struct encoders_row encoders_rows[CORE_ENCODINGS_MAX] = {
    [CORE_ENCODING_JSON] =
        {
            .name = "json",
            .subprotocol = ENCODERS_JSON,
            .opcode = WS_TEXT,
            .encode = encoders_encode_json,
        },
    [CORE_ENCODING_SBE] =
        {
            .name = "sbe",
            .subprotocol = ENCODERS_SBE,
            .opcode = WS_BINARY,
            .is_lazy = true,
            .encode = encoders_encode_sbe,
        },
    [CORE_ENCODING_JSON_DEFLATE] =
        {
            .name = "json+deflate",
            .subprotocol = ENCODERS_JSON,
            .opcode = WS_TEXT,
            .is_compressed = true,
            .is_lazy = true,
            .encode = encoders_encode_deflate,
        },
};

/* ---- Creation ---- */

int encoders_create(struct encoders **encoders_out, const struct encoders_options *options)
{
    assert_always(options->frame_bytes_max > WS_FRAME_FINISH_GAP);
    struct encoders *encoders = calloc(1, sizeof *encoders);
    if (encoders == NULL) {
        return -ENOMEM;
    }
    encoders->channels = options->channels;
    encoders->frame_bytes_max = options->frame_bytes_max;
    encoders->payload_bytes_max = options->frame_bytes_max - WS_FRAME_FINISH_GAP;
    if (encoders->payload_bytes_max > WS_FRAME_FINISH_BYTES_MAX) {
        encoders->payload_bytes_max = WS_FRAME_FINISH_BYTES_MAX;
    }
    encoders->heads = mmap(NULL, CHANNELS_MAX * sizeof *encoders->heads, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (encoders->heads == MAP_FAILED) {
        free(encoders);
        return -ENOMEM;
    }
    if (options->compresses) {
        struct ws_deflate_options deflate = {
            .level = WS_DEFLATE_LEVEL,
            .window_bits = WS_DEFLATE_WINDOW_BITS_MAX,
            .payload_bytes_min = options->compressed_bytes_min,
        };
        int error = ws_deflate_create(&encoders->deflate, &deflate);
        if (error < 0) {
            encoders_destroy(encoders);
            return error;
        }
    }
    *encoders_out = encoders;
    return 0;
}

void encoders_destroy(struct encoders *encoders)
{
    if (encoders != NULL) {
        munmap(encoders->heads, CHANNELS_MAX * sizeof *encoders->heads);
        ws_deflate_destroy(encoders->deflate);
        free(encoders);
    }
}

uint32_t encoders_count(bool compresses)
{
    return compresses ? CORE_ENCODING_JSON_DEFLATE + 1 : CORE_ENCODING_SBE + 1;
}

size_t encoders_payload_bytes_max(const struct encoders *encoders)
{
    return encoders->payload_bytes_max;
}

void encoders_forget_channel(struct encoders *encoders, uint32_t channel)
{
    assert_always(channel < CHANNELS_MAX);
    encoders->heads[channel].text_bytes = 0;
}
