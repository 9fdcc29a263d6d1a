#include "codec/ws_decoder.h"

#include <string.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "codec/utf8.h"

#define WS_DECODER_FINAL 0x80
#define WS_DECODER_RESERVED 0x70
#define WS_DECODER_OPCODE 0x0f
#define WS_DECODER_CONTROL 0x08
#define WS_DECODER_MASKED 0x80
#define WS_DECODER_LENGTH 0x7f
#define WS_DECODER_LENGTH_16 126
#define WS_DECODER_LENGTH_64 127

/* What the caller gave and how far it is consumed. */
struct ws_decoder_input {
    uint8_t *bytes;
    size_t bytes_count;
    size_t at;
};

void ws_decoder_init(struct ws_decoder *decoder, uint32_t message_bytes_max, bool expect_mask,
                     uint8_t *buffer)
{
    memset(decoder, 0, sizeof *decoder);
    decoder->message_bytes_max = message_bytes_max;
    decoder->expect_mask = expect_mask;
    decoder->buffer = buffer;
}

bool ws_decoder_is_idle(const struct ws_decoder *decoder)
{
    return decoder->header_bytes == 0 && !decoder->in_payload && !decoder->in_message;
}

static bool ws_decoder_is_control(uint8_t opcode)
{
    return (opcode & WS_DECODER_CONTROL) != 0;
}

static enum ws_status ws_decoder_check_first(const struct ws_decoder *decoder, uint8_t first)
{
    uint8_t opcode = first & WS_DECODER_OPCODE;
    uint8_t reserved = first & WS_DECODER_RESERVED;
    bool may_be_compressed = decoder->inflates && (opcode == WS_TEXT || opcode == WS_BINARY);
    if (reserved != 0 && !(reserved == WS_COMPRESSED_BIT && may_be_compressed)) {
        return WS_RESERVED_BIT;
    }
    switch (opcode) {
    case WS_CONTINUATION:
        return decoder->in_message ? WS_OK : WS_BAD_CONTINUATION;
    case WS_TEXT:
    case WS_BINARY:
        return decoder->in_message ? WS_BAD_CONTINUATION : WS_OK;
    case WS_CLOSE:
    case WS_PING:
    case WS_PONG:
        return first & WS_DECODER_FINAL ? WS_OK : WS_BAD_CONTROL;
    default:
        return WS_BAD_OPCODE;
    }
}

static enum ws_status ws_decoder_check_second(const struct ws_decoder *decoder,
                                              const uint8_t *header)
{
    if (((header[1] & WS_DECODER_MASKED) != 0) != decoder->expect_mask) {
        return WS_NOT_MASKED;
    }
    if (ws_decoder_is_control(header[0] & WS_DECODER_OPCODE) &&
        (header[1] & WS_DECODER_LENGTH) > WS_CONTROL_BYTES_MAX) {
        return WS_BAD_CONTROL;
    }
    return WS_OK;
}

/* What a frame belongs to. */
static bool ws_decoder_is_compressed(const struct ws_decoder *decoder, uint8_t first)
{
    return (first & WS_DECODER_OPCODE) == WS_CONTINUATION ? decoder->message_compressed
                                                          : (first & WS_COMPRESSED_BIT) != 0;
}

/* What the frames of a message may hold together. */
static uint64_t ws_decoder_bytes_max(const struct ws_decoder *decoder, bool is_compressed)
{
    uint64_t bytes_max = decoder->message_bytes_max;
    return is_compressed ? WS_DEFLATE_BYTES_MAX(bytes_max) : bytes_max;
}

static enum ws_status ws_decoder_check_length(const struct ws_decoder *decoder,
                                              const uint8_t *header, uint64_t *length_out)
{
    uint64_t length = header[1] & WS_DECODER_LENGTH;
    if (length == WS_DECODER_LENGTH_16) {
        length = bytes_load_be16(header + 2);
        if (length < WS_DECODER_LENGTH_16) {
            return WS_BAD_LENGTH;
        }
    } else if (length == WS_DECODER_LENGTH_64) {
        length = bytes_load_be64(header + 2);
        if (length <= UINT16_MAX || length > INT64_MAX) {
            return WS_BAD_LENGTH;
        }
    }
    /* message_bytes is what the fragments before this one had; at most bytes_max. */
    uint64_t bytes_max =
        ws_decoder_bytes_max(decoder, ws_decoder_is_compressed(decoder, header[0]));
    if (!ws_decoder_is_control(header[0] & WS_DECODER_OPCODE) &&
        length > bytes_max - decoder->message_bytes) {
        return WS_TOO_LONG;
    }
    *length_out = length;
    return WS_OK;
}

static size_t ws_decoder_length_bytes(uint8_t second)
{
    uint8_t length = second & WS_DECODER_LENGTH;
    return length == WS_DECODER_LENGTH_64 ? 8 : length == WS_DECODER_LENGTH_16 ? 2 : 0;
}

/* Checks as much of the header as there is. WS_OK: it is complete, *header_bytes_out long, and
 * the decoder is set for its payload. */
static enum ws_status ws_decoder_parse_header(struct ws_decoder *decoder, const uint8_t *header,
                                              size_t available, size_t *header_bytes_out)
{
    enum ws_status status = ws_decoder_check_first(decoder, header[0]);
    if (status != WS_OK || available < 2) {
        return status != WS_OK ? status : WS_NEED_MORE;
    }
    status = ws_decoder_check_second(decoder, header);
    size_t header_bytes = 2 + ws_decoder_length_bytes(header[1]);
    if (status != WS_OK || available < header_bytes) {
        return status != WS_OK ? status : WS_NEED_MORE;
    }
    uint64_t length;
    status = ws_decoder_check_length(decoder, header, &length);
    if (status != WS_OK) {
        return status;
    }
    if (decoder->expect_mask) {
        header_bytes += sizeof decoder->mask;
        if (available < header_bytes) {
            return WS_NEED_MORE;
        }
        memcpy(decoder->mask, header + header_bytes - sizeof decoder->mask, sizeof decoder->mask);
    }
    decoder->frame_opcode = header[0] & WS_DECODER_OPCODE;
    decoder->frame_final = (header[0] & WS_DECODER_FINAL) != 0;
    decoder->frame_compressed = ws_decoder_is_compressed(decoder, header[0]);
    decoder->frame_bytes = length;
    decoder->frame_offset = 0;
    *header_bytes_out = header_bytes;
    return WS_OK;
}

/* Parses the header where it lies, or collects it if it comes in parts. */
static enum ws_status ws_decoder_take_header(struct ws_decoder *decoder,
                                             struct ws_decoder_input *input)
{
    size_t held = decoder->header_bytes;
    assert_always(held < sizeof decoder->header && !decoder->in_payload);

    size_t available = input->bytes_count - input->at;
    const uint8_t *header = input->bytes + input->at;
    if (held > 0) {
        size_t taken = sizeof decoder->header - held;
        taken = taken < available ? taken : available;
        memcpy(decoder->header + held, header, taken);
        header = decoder->header;
        available = held + taken;
    }
    size_t header_bytes = 0;
    enum ws_status status = ws_decoder_parse_header(decoder, header, available, &header_bytes);
    if (status == WS_OK) {
        assert_always(header_bytes > held && header_bytes <= available);
        input->at += header_bytes - held;
        decoder->header_bytes = 0;
        decoder->in_payload = true;
    } else if (status == WS_NEED_MORE) {
        assert_always(available < sizeof decoder->header);
        if (held == 0) {
            memcpy(decoder->header, header, available);
        }
        decoder->header_bytes = (uint8_t)available;
        input->at = input->bytes_count;
    }
    return status;
}

static void ws_decoder_unmask(const struct ws_decoder *decoder, uint8_t *bytes, size_t bytes_count)
{
    if (decoder->expect_mask) {
        ws_frame_mask(bytes, bytes_count, decoder->mask, decoder->frame_offset);
    }
}

/* The codes that may be sent: RFC 6455 section 7.4 and the IANA registry up to 1014. */
static bool ws_decoder_close_code_is_valid(uint16_t code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

static enum ws_status ws_decoder_check_close(const uint8_t *payload, size_t payload_bytes)
{
    if (payload_bytes == 0) {
        return WS_OK;
    }
    if (payload_bytes < 2 || !ws_decoder_close_code_is_valid(bytes_load_be16(payload))) {
        return WS_BAD_CLOSE;
    }
    return utf8_is_valid(payload + 2, payload_bytes - 2) ? WS_OK : WS_BAD_UTF8;
}

/* available: bytes of this frame's payload that were given. */
static enum ws_status ws_decoder_take_control(struct ws_decoder *decoder,
                                              struct ws_decoder_input *input, size_t available,
                                              struct ws_message *message_out)
{
    uint8_t *payload = input->bytes + input->at;
    bool is_whole = available == decoder->frame_bytes;
    assert_always(decoder->frame_offset + available <= sizeof decoder->control);

    if (!is_whole) {
        payload = memcpy(decoder->control + decoder->frame_offset, payload, available);
    }
    ws_decoder_unmask(decoder, payload, available);
    input->at += available;
    decoder->frame_offset += available;
    if (decoder->frame_offset < decoder->frame_bytes) {
        return WS_NEED_MORE;
    }
    decoder->in_payload = false;
    *message_out = (struct ws_message){
        .opcode = (enum ws_opcode)decoder->frame_opcode,
        .payload = is_whole ? payload : decoder->control,
        .payload_bytes = decoder->frame_bytes,
    };
    return decoder->frame_opcode != WS_CLOSE
               ? WS_OK
               : ws_decoder_check_close(message_out->payload, message_out->payload_bytes);
}

/* A whole unfragmented frame: handed out where it lies. */
static enum ws_status ws_decoder_take_whole(struct ws_decoder *decoder,
                                            struct ws_decoder_input *input,
                                            struct ws_message *message_out)
{
    uint8_t *payload = input->bytes + input->at;
    size_t payload_bytes = decoder->frame_bytes;
    assert_always(payload_bytes <= input->bytes_count - input->at);
    assert_debug(decoder->frame_offset == 0 && decoder->message_bytes == 0);

    ws_decoder_unmask(decoder, payload, payload_bytes);
    input->at += payload_bytes;
    decoder->in_payload = false;
    if (decoder->frame_opcode == WS_TEXT && !decoder->frame_compressed &&
        !utf8_is_valid(payload, payload_bytes)) {
        return WS_BAD_UTF8;
    }
    *message_out = (struct ws_message){
        .opcode = (enum ws_opcode)decoder->frame_opcode,
        .payload = payload,
        .payload_bytes = payload_bytes,
        .is_compressed = decoder->frame_compressed,
    };
    return WS_OK;
}

/* Moves what was given of the payload behind what the buffer holds of the message. */
static enum ws_status ws_decoder_collect(struct ws_decoder *decoder, struct ws_decoder_input *input,
                                         size_t available)
{
    if (available == 0) {
        return WS_OK;
    }
    if (decoder->buffer == NULL) {
        return WS_NEED_BUFFER;
    }
    assert_always(available <= ws_decoder_bytes_max(decoder, decoder->frame_compressed) -
                                   decoder->message_bytes);

    uint8_t *copy = decoder->buffer + decoder->message_bytes;
    memcpy(copy, input->bytes + input->at, available);
    ws_decoder_unmask(decoder, copy, available);
    input->at += available;
    decoder->frame_offset += available;
    decoder->message_bytes += (uint32_t)available;
    if (decoder->message_opcode == WS_TEXT && !decoder->frame_compressed) {
        decoder->utf8_state = utf8_check(decoder->utf8_state, copy, available);
    }
    return decoder->utf8_state == UTF8_REJECT ? WS_BAD_UTF8 : WS_OK;
}

/* WS_OK without a message (*message_out has no payload): the frame ended, the message did not. */
static enum ws_status ws_decoder_take_part(struct ws_decoder *decoder,
                                           struct ws_decoder_input *input, size_t available,
                                           struct ws_message *message_out)
{
    /* A frame of which nothing was given may still come whole and needs no buffer then. */
    if (!decoder->in_message && (available > 0 || !decoder->frame_final)) {
        decoder->in_message = true;
        decoder->message_opcode = decoder->frame_opcode;
        decoder->message_compressed = decoder->frame_compressed;
    }
    enum ws_status status = ws_decoder_collect(decoder, input, available);
    if (status != WS_OK) {
        return status;
    }
    if (decoder->frame_offset < decoder->frame_bytes) {
        return WS_NEED_MORE;
    }
    decoder->in_payload = false;
    if (!decoder->frame_final) {
        message_out->payload = NULL;
        return WS_OK;
    }
    if (decoder->utf8_state != UTF8_ACCEPT) {
        return WS_BAD_UTF8; /* The text ends inside a character. */
    }
    *message_out = (struct ws_message){
        .opcode = (enum ws_opcode)decoder->message_opcode,
        .payload = decoder->buffer != NULL ? decoder->buffer : decoder->control,
        .payload_bytes = decoder->message_bytes,
        .is_compressed = decoder->frame_compressed,
    };
    decoder->in_message = false;
    decoder->message_bytes = 0;
    return WS_OK;
}

static enum ws_status ws_decoder_take_payload(struct ws_decoder *decoder,
                                              struct ws_decoder_input *input,
                                              struct ws_message *message_out)
{
    assert_always(decoder->frame_offset <= decoder->frame_bytes);
    uint64_t wanted = decoder->frame_bytes - decoder->frame_offset;
    size_t available = input->bytes_count - input->at;
    available = wanted < available ? wanted : available;

    if (ws_decoder_is_control(decoder->frame_opcode)) {
        return ws_decoder_take_control(decoder, input, available, message_out);
    }
    if (!decoder->in_message && decoder->frame_final && available == decoder->frame_bytes) {
        return ws_decoder_take_whole(decoder, input, message_out);
    }
    return ws_decoder_take_part(decoder, input, available, message_out);
}

enum ws_status ws_decode(struct ws_decoder *decoder, uint8_t *bytes, size_t bytes_count,
                         size_t *consumed_out, struct ws_message *message_out)
{
    struct ws_decoder_input input = {.bytes = bytes, .bytes_count = bytes_count};
    enum ws_status status = WS_NEED_MORE;
    message_out->payload = NULL;
    /* Each turn consumes at least one byte or ends the loop. */
    while (input.at < bytes_count) {
        if (!decoder->in_payload) {
            status = ws_decoder_take_header(decoder, &input);
            if (status != WS_OK) {
                break;
            }
        }
        status = ws_decoder_take_payload(decoder, &input, message_out);
        if (status != WS_OK || message_out->payload != NULL) {
            break;
        }
        status = WS_NEED_MORE;
    }
    assert_always(input.at <= bytes_count);
    *consumed_out = input.at;
    return status;
}
