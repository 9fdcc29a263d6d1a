#include "tools/tap/tap_decode.h"

#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/json_tick.h"
#include "codec/sbe_tick_read.h"
#include "codec/ws_deflate.h"
#include "tools/common/control_reply.h"

#define TAP_DECODE_CHANNELS_MAX (1u << 20)      /* A higher number is malformed. */
#define LEVELS_MAX (TAP_MESSAGE_BYTES_MAX / 16) /* A level has 16 bytes. */
#define TEXTS_BYTES_MAX (2 * (SBE_TICK_TEXT_BYTES_MAX + 1))

/* A channel by its DEFINITION. */
struct tap_decode_channel {
    enum md_type type;
    struct json_tick_head head;
};

/* The channels that a connection has a DEFINITION of: a bit for each. */
struct tap_decode_known {
    uint8_t *bits;
    uint32_t bytes;
};

struct tap_decode {
    uint32_t reader_count;
    struct ws_inflate *inflate;
    uint8_t *message; /* TAP_MESSAGE_BYTES_MAX */
    struct sbe_tick_room room;
    struct tap_decode_channel **channels; /* by their numbers; NULL: not defined */
    struct tap_decode_known *known;       /* one per reader */
};

static bool tap_decode_init_sbe(struct tap_decode *decode)
{
    decode->room = (struct sbe_tick_room){
        .levels = malloc(LEVELS_MAX * sizeof *decode->room.levels),
        .level_count_max = LEVELS_MAX,
        .texts = malloc(TEXTS_BYTES_MAX),
        .texts_bytes = TEXTS_BYTES_MAX,
    };
    decode->channels = calloc(TAP_DECODE_CHANNELS_MAX, sizeof(struct tap_decode_channel *));
    decode->known = calloc(decode->reader_count, sizeof *decode->known);
    return decode->room.levels != NULL && decode->room.texts != NULL && decode->channels != NULL &&
           decode->known != NULL;
}

struct tap_decode *tap_decode_create(enum tap_encoding encoding, uint32_t reader_count)
{
    struct tap_decode *decode = calloc(1, sizeof *decode);
    if (decode == NULL) {
        return NULL;
    }
    decode->reader_count = reader_count;
    decode->message = malloc(TAP_MESSAGE_BYTES_MAX);
    bool is_ready = decode->message != NULL;
    if (encoding == TAP_SBE) {
        is_ready = is_ready && tap_decode_init_sbe(decode);
    } else if (encoding == TAP_DEFLATE) {
        is_ready = is_ready && ws_inflate_create(&decode->inflate, false) == 0;
    }
    if (!is_ready) {
        tap_decode_destroy(decode);
        return NULL;
    }
    return decode;
}

void tap_decode_destroy(struct tap_decode *decode)
{
    if (decode == NULL) {
        return;
    }
    for (uint32_t i = 0; decode->channels != NULL && i < TAP_DECODE_CHANNELS_MAX; i++) {
        free(decode->channels[i]);
    }
    for (uint32_t i = 0; decode->known != NULL && i < decode->reader_count; i++) {
        free(decode->known[i].bits);
    }
    free(decode->channels);
    free(decode->known);
    free(decode->room.levels);
    free(decode->room.texts);
    free(decode->message);
    ws_inflate_destroy(decode->inflate);
    free(decode);
}

enum ws_status tap_decode_inflate(struct tap_decode *decode, struct ws_message *message)
{
    assert_always(decode->inflate != NULL);
    return ws_inflate_message(decode->inflate, message, decode->message, TAP_MESSAGE_BYTES_MAX);
}

void tap_decode_forget(struct tap_decode *decode, uint32_t reader)
{
    if (decode->known != NULL) {
        assert_always(reader < decode->reader_count);
        struct tap_decode_known *known = &decode->known[reader];
        memset(known->bits == NULL ? (uint8_t *)"" : known->bits, 0, known->bytes);
    }
}

static bool tap_decode_knows(const struct tap_decode_known *known, uint32_t number)
{
    return number / 8 < known->bytes && (known->bits[number / 8] >> number % 8 & 1) != 0;
}

static bool tap_decode_learn(struct tap_decode_known *known, uint32_t number)
{
    if (number / 8 >= known->bytes) {
        uint32_t bytes = number / 8 * 2 + 16;
        uint8_t *bits = realloc(known->bits, bytes);
        if (bits == NULL) {
            return false;
        }
        memset(bits + known->bytes, 0, bytes - known->bytes);
        known->bits = bits;
        known->bytes = bytes;
    }
    known->bits[number / 8] |= (uint8_t)(1u << number % 8);
    return true;
}

/* Whether one entry is well-formed, and agrees with earlier ones. */
static const char *tap_decode_define_one(struct tap_decode *decode, struct tap_decode_known *known,
                                         const json_t *entry)
{
    const char *symbol = json_string_value(json_object_get(entry, "symbol"));
    const char *type = json_string_value(json_object_get(entry, "type"));
    uint64_t number;
    struct tap_decode_channel channel = {.type = MD_TYPE_COUNT};
    if (type != NULL) {
        channel.type = md_type_by_name(type, strlen(type));
    }
    if (symbol == NULL || strlen(symbol) > MD_SYMBOL_BYTES_MAX || channel.type == MD_TYPE_COUNT ||
        !control_reply_u64(entry, "ch", &number) || number >= TAP_DECODE_CHANNELS_MAX) {
        return "a DEFINITION is malformed";
    }
    json_tick_head_init(&channel.head, channel.type, symbol, strlen(symbol), (uint32_t)number);
    struct tap_decode_channel **place = &decode->channels[number];
    bool is_same = *place != NULL && (*place)->type == channel.type &&
                   (*place)->head.text_bytes == channel.head.text_bytes &&
                   memcmp((*place)->head.text, channel.head.text, channel.head.text_bytes) == 0;
    const char *fault = *place != NULL && !is_same && tap_decode_knows(known, (uint32_t)number)
                            ? "a DEFINITION gives a channel another meaning"
                            : NULL;
    if (*place == NULL) {
        *place = malloc(sizeof **place);
    }
    if (*place == NULL || !tap_decode_learn(known, (uint32_t)number)) {
        return "no memory for a channel";
    }
    **place = channel;
    return fault;
}

const char *tap_decode_define(struct tap_decode *decode, uint32_t reader, const json_t *data)
{
    size_t index;
    json_t *entry;
    const char *fault = NULL;
    if (decode->known == NULL) {
        return "a DEFINITION, although the encoding is not SBE";
    }
    assert_always(reader < decode->reader_count);
    json_array_foreach(json_object_get(data, "channels"), index, entry)
    {
        const char *wrong = tap_decode_define_one(decode, &decode->known[reader], entry);
        fault = fault == NULL ? wrong : fault;
    }
    return fault;
}

const char *tap_decode_sbe(struct tap_decode *decode, uint32_t reader, const uint8_t *payload,
                           size_t payload_bytes, const uint8_t **json_out, size_t *json_bytes_out)
{
    struct sbe_tick tick;
    *json_out = NULL;
    if (decode->known == NULL) {
        return "a binary frame in the JSON encoding";
    }
    if (!sbe_tick_read(&tick, &decode->room, payload, payload_bytes)) {
        return "a binary frame is no message of md.sbe.v1";
    }
    uint32_t number = tick.update.channel;
    const struct tap_decode_channel *channel =
        number < TAP_DECODE_CHANNELS_MAX ? decode->channels[number] : NULL;
    if (channel == NULL) {
        return "a frame of SBE whose channel has no DEFINITION";
    }
    if (tick.update.type != channel->type) {
        return "a frame of SBE has another type than its DEFINITION";
    }
    *json_bytes_out = json_tick_encode(decode->message, TAP_MESSAGE_BYTES_MAX, &channel->head,
                                       &tick.update, tick.seq, tick.ts_pub_ns);
    if (*json_bytes_out == 0) {
        return "a frame of SBE is longer than 1 MiB in JSON";
    }
    *json_out = decode->message;
    assert_always(reader < decode->reader_count);
    return tap_decode_knows(&decode->known[reader], number)
               ? NULL
               : "a frame of SBE came before the DEFINITION of its channel";
}
