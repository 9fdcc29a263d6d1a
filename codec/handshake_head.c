#include "codec/handshake_head.h"

#include <string.h>
#include <strings.h>

#include "codec/base/check.h"

#define HANDSHAKE_HEAD_METHOD_BYTES_MAX 32

static bool handshake_head_is_target_char(char c)
{
    return c > ' ' && c < 0x7f;
}

/* Blank, tab, visible or obs-text (RFC 9110 section 5.5): no other control character. */
static bool handshake_head_is_value_char(char c)
{
    return c == '\t' || ((unsigned char)c >= ' ' && c != 0x7f);
}

bool handshake_head_equal(struct handshake_slice slice, const char *text)
{
    return slice.bytes == strlen(text) && memcmp(slice.text, text, slice.bytes) == 0;
}

bool handshake_head_equal_any_case(struct handshake_slice slice, const char *text)
{
    return slice.bytes == strlen(text) && strncasecmp(slice.text, text, slice.bytes) == 0;
}

static struct handshake_slice handshake_head_trim(struct handshake_slice slice)
{
    while (slice.bytes > 0 && (*slice.text == ' ' || *slice.text == '\t')) {
        slice.text++;
        slice.bytes--;
    }
    while (slice.bytes > 0 &&
           (slice.text[slice.bytes - 1] == ' ' || slice.text[slice.bytes - 1] == '\t')) {
        slice.bytes--;
    }
    return slice;
}

/* Takes the next element off a comma-separated list; false at its end. Elements may be empty. */
static bool handshake_head_next_element(struct handshake_slice *list,
                                        struct handshake_slice *element_out)
{
    if (list->bytes == 0) {
        return false;
    }
    const char *comma = memchr(list->text, ',', list->bytes);
    size_t element_bytes = comma != NULL ? (size_t)(comma - list->text) : list->bytes;
    size_t taken = element_bytes + (comma != NULL);
    *element_out = handshake_head_trim((struct handshake_slice){list->text, element_bytes});
    list->text += taken;
    list->bytes -= taken;
    return true;
}

static bool handshake_head_list_has(struct handshake_slice list, const char *token)
{
    struct handshake_slice element;
    while (handshake_head_next_element(&list, &element)) {
        if (handshake_head_equal_any_case(element, token)) {
            return true;
        }
    }
    return false;
}

/* The longest run of allowed characters from here. */
static struct handshake_slice handshake_head_run(struct handshake_reader *reader,
                                                 bool (*allowed)(char))
{
    struct handshake_slice run = {.text = reader->at};
    assert_debug(reader->at <= reader->end);

    while (reader->at < reader->end && allowed(*reader->at)) {
        reader->at++;
    }
    run.bytes = (size_t)(reader->at - run.text);
    return run;
}

/* Takes exactly this text. fault: what it is if other bytes are there. */
static enum handshake_status handshake_head_expect(struct handshake_reader *reader,
                                                   const char *text, enum handshake_status fault)
{
    for (; *text != '\0'; text++, reader->at++) {
        if (reader->at == reader->end) {
            return HANDSHAKE_NEED_MORE;
        }
        if (*reader->at != *text) {
            return fault;
        }
    }
    return HANDSHAKE_OK;
}

/* "HTTP/1.1": the eight characters. */
static enum handshake_status handshake_head_read_version(struct handshake_reader *reader,
                                                         struct handshake_slice *version_out)
{
    version_out->text = reader->at;
    enum handshake_status status = handshake_head_expect(reader, "HTTP/", HANDSHAKE_NOT_HTTP);
    if (status != HANDSHAKE_OK) {
        return status;
    }
    for (int i = 0; i < 3; i++, reader->at++) {
        if (reader->at == reader->end) {
            return HANDSHAKE_NEED_MORE;
        }
        char c = *reader->at;
        if (i == 1 ? c != '.' : (c < '0' || c > '9')) {
            return HANDSHAKE_NOT_HTTP;
        }
    }
    assert_debug(reader->at - version_out->text == 8);
    version_out->bytes = 8;
    return HANDSHAKE_OK;
}

enum handshake_status handshake_head_read_request(struct handshake_reader *reader,
                                                  struct handshake_line *line)
{
    line->method = handshake_head_run(reader, ws_extensions_is_token_char);
    if (line->method.bytes > HANDSHAKE_HEAD_METHOD_BYTES_MAX) {
        return HANDSHAKE_NOT_HTTP;
    }
    enum handshake_status status = handshake_head_expect(reader, " ", HANDSHAKE_NOT_HTTP);
    if (status != HANDSHAKE_OK) {
        return status;
    }
    if (line->method.bytes == 0) {
        return HANDSHAKE_NOT_HTTP;
    }
    line->target = handshake_head_run(reader, handshake_head_is_target_char);
    if (line->target.bytes > HANDSHAKE_TARGET_BYTES_MAX) {
        return HANDSHAKE_URI_TOO_LONG;
    }
    status = handshake_head_expect(reader, " ", HANDSHAKE_NOT_HTTP);
    if (status != HANDSHAKE_OK) {
        return status;
    }
    if (line->target.bytes == 0) {
        return HANDSHAKE_NOT_HTTP;
    }
    status = handshake_head_read_version(reader, &line->version);
    return status != HANDSHAKE_OK ? status
                                  : handshake_head_expect(reader, "\r\n", HANDSHAKE_NOT_HTTP);
}

enum handshake_status handshake_head_read_field(struct handshake_reader *reader,
                                                struct handshake_field *field)
{
    field->name = handshake_head_run(reader, ws_extensions_is_token_char);
    if (field->name.bytes == 0) {
        return HANDSHAKE_BAD_REQUEST; /* Among others a folded line. */
    }
    enum handshake_status status = handshake_head_expect(reader, ":", HANDSHAKE_BAD_REQUEST);
    if (status != HANDSHAKE_OK) {
        return status;
    }
    field->value = handshake_head_trim(handshake_head_run(reader, handshake_head_is_value_char));
    return handshake_head_expect(reader, "\r\n", HANDSHAKE_BAD_REQUEST);
}

static void handshake_head_see_protocols(struct handshake_seen *seen, struct handshake_slice list)
{
    struct handshake_slice element;
    assert_debug(seen->known_protocol_count <= 32); /* the bits of the mask */
    while (handshake_head_next_element(&list, &element)) {
        seen->names_protocols |= element.bytes > 0;
        for (uint32_t i = 0; i < seen->known_protocol_count; i++) {
            const struct handshake_protocol *known = &seen->known_protocols[i];
            if (handshake_head_equal(element, known->name)) {
                seen->protocol = seen->protocol == NULL ? known : seen->protocol;
                seen->protocol_mask |= UINT32_C(1) << i;
            }
        }
    }
}

static void handshake_head_see(struct handshake_seen *seen, const struct handshake_field *field)
{
    struct handshake_slice name = field->name;
    struct handshake_slice value = field->value;
    if (handshake_head_equal_any_case(name, "Host")) {
        seen->host_count++;
        seen->host = value;
    } else if (handshake_head_equal_any_case(name, "Upgrade")) {
        seen->has_upgrade |= handshake_head_list_has(value, "websocket");
    } else if (handshake_head_equal_any_case(name, "Connection")) {
        seen->has_connection |= handshake_head_list_has(value, "Upgrade");
    } else if (handshake_head_equal_any_case(name, "Sec-WebSocket-Key")) {
        seen->key_count++;
        seen->key = value;
    } else if (handshake_head_equal_any_case(name, "Sec-WebSocket-Version")) {
        seen->version_count++;
        seen->version = value;
    } else if (handshake_head_equal_any_case(name, "Sec-WebSocket-Accept")) {
        seen->accept_count++;
        seen->accept = value;
    } else if (handshake_head_equal_any_case(name, "Sec-WebSocket-Protocol")) {
        handshake_head_see_protocols(seen, value);
    } else if (handshake_head_equal_any_case(name, "Sec-WebSocket-Extensions")) {
        seen->has_extensions |= value.bytes > 0;
        seen->extensions_are_bad |= !ws_extensions_parse(&seen->offers, value.text, value.bytes);
    } else if (handshake_head_equal_any_case(name, "Transfer-Encoding")) {
        seen->has_body = true;
    } else if (handshake_head_equal_any_case(name, "Content-Length")) {
        seen->has_body |= !handshake_head_equal(value, "0");
    }
}

enum handshake_status handshake_head_read_fields(struct handshake_reader *reader,
                                                 struct handshake_seen *seen)
{
    for (unsigned field_count = 0;; field_count++) {
        if (reader->at == reader->end) {
            return HANDSHAKE_NEED_MORE;
        }
        if (*reader->at == '\r') {
            return handshake_head_expect(reader, "\r\n", HANDSHAKE_BAD_REQUEST);
        }
        if (field_count == HANDSHAKE_HEADERS_MAX) {
            return HANDSHAKE_TOO_LONG;
        }
        struct handshake_field field;
        enum handshake_status status = handshake_head_read_field(reader, &field);
        if (status != HANDSHAKE_OK) {
            return status;
        }
        handshake_head_see(seen, &field);
    }
}

enum handshake_status handshake_head_read_answer(struct handshake_reader *reader)
{
    enum handshake_status status =
        handshake_head_expect(reader, "HTTP/1.1 101", HANDSHAKE_BAD_REQUEST);
    if (status != HANDSHAKE_OK) {
        return status;
    }
    struct handshake_slice phrase = handshake_head_run(reader, handshake_head_is_value_char);
    if (phrase.bytes > 0 && phrase.text[0] != ' ') {
        return HANDSHAKE_BAD_REQUEST;
    }
    return handshake_head_expect(reader, "\r\n", HANDSHAKE_BAD_REQUEST);
}

struct handshake_reader handshake_head_begin(const uint8_t *bytes, size_t bytes_count)
{
    size_t head_bytes_max = bytes_count < HANDSHAKE_BYTES_MAX ? bytes_count : HANDSHAKE_BYTES_MAX;
    const char *text = (const char *)bytes;
    return (struct handshake_reader){.at = text, .end = text + head_bytes_max};
}

enum handshake_status handshake_head_unless_too_long(enum handshake_status status,
                                                     size_t bytes_count)
{
    bool is_full = bytes_count >= HANDSHAKE_BYTES_MAX;
    return status == HANDSHAKE_NEED_MORE && is_full ? HANDSHAKE_TOO_LONG : status;
}
