#include "codec/handshake_head.h"

#include <string.h>
#include <strings.h>

#include "codec/base/check.h"
#include "codec/utf8.h"

#define HANDSHAKE_HEAD_METHOD_BYTES_MAX 32

static bool handshake_head_is_target_char(char c)
{
    return c > ' ' && c < 0x7f;
}

static bool handshake_head_is_digit(char c)
{
    return c >= '0' && c <= '9';
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

/* The longest run of allowed characters from here. Inline, so that allowed() is no call. */
__attribute__((always_inline)) static inline struct handshake_slice
handshake_head_run(struct handshake_reader *reader, bool (*allowed)(char))
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

/* Whether to read the line that begins here: see struct handshake_reader. */
static bool handshake_head_is_worth_reading(struct handshake_reader *reader)
{
    size_t bytes = (size_t)(reader->end - reader->at);
    assert_always(reader->searched <= bytes);
    assert_debug(reader->tried <= reader->searched);
    bool is_new = reader->tried == 0;
    bool has_end =
        !is_new && memchr(reader->at + reader->searched, '\n', bytes - reader->searched) != NULL;
    reader->searched = bytes;
    if (bytes == 0 || (!is_new && !has_end && !reader->is_full && bytes < 2 * reader->tried)) {
        return false;
    }
    reader->tried = bytes;
    return true;
}

/* A line was read, or is to be read again from its begin. */
static enum handshake_status handshake_head_end_line(struct handshake_reader *reader,
                                                     const char *begin,
                                                     enum handshake_status status)
{
    if (status == HANDSHAKE_NEED_MORE) {
        reader->at = begin;
    } else {
        reader->searched = 0;
        reader->tried = 0;
    }
    return status;
}

static enum handshake_status handshake_head_skip_empty(struct handshake_reader *reader)
{
    enum handshake_status status = HANDSHAKE_OK;
    for (int i = 0; i < HANDSHAKE_EMPTY_LINES_MAX && status == HANDSHAKE_OK; i++) {
        if (reader->at == reader->end || *reader->at != '\r') {
            break;
        }
        status = handshake_head_expect(reader, "\r\n", HANDSHAKE_NOT_HTTP);
    }
    return status;
}

static enum handshake_status handshake_head_read_line(struct handshake_reader *reader,
                                                      struct handshake_line *line)
{
    enum handshake_status status = handshake_head_skip_empty(reader);
    if (status != HANDSHAKE_OK) {
        return status;
    }
    line->method = handshake_head_run(reader, ws_extensions_is_token_char);
    if (line->method.bytes > HANDSHAKE_HEAD_METHOD_BYTES_MAX) {
        return HANDSHAKE_NOT_HTTP;
    }
    status = handshake_head_expect(reader, " ", HANDSHAKE_NOT_HTTP);
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

enum handshake_status handshake_head_read_request(struct handshake_reader *reader,
                                                  struct handshake_line *line)
{
    const char *begin = reader->at;
    if (!handshake_head_is_worth_reading(reader)) {
        return HANDSHAKE_NEED_MORE;
    }
    return handshake_head_end_line(reader, begin, handshake_head_read_line(reader, line));
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
        seen->protocol_count += element.bytes > 0;
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
        seen->extensions_are_bad |= !ws_extensions_parse(&seen->offers, value.text, value.bytes);
    } else if (handshake_head_equal_any_case(name, "Transfer-Encoding")) {
        seen->has_body = true;
    } else if (handshake_head_equal_any_case(name, "Content-Length")) {
        seen->has_body |= !handshake_head_equal(value, "0");
    }
}

/* One header line, or the empty one that ends the head. */
static enum handshake_status handshake_head_read_one(struct handshake_reader *reader,
                                                     struct handshake_seen *seen, bool *is_last_out)
{
    struct handshake_field field;
    *is_last_out = *reader->at == '\r';
    if (*is_last_out) {
        return handshake_head_expect(reader, "\r\n", HANDSHAKE_BAD_REQUEST);
    }
    if (reader->field_count == HANDSHAKE_HEADERS_MAX) {
        return HANDSHAKE_TOO_LONG;
    }
    enum handshake_status status = handshake_head_read_field(reader, &field);
    if (status == HANDSHAKE_OK) {
        reader->field_count++;
        handshake_head_see(seen, &field);
    }
    return status;
}

enum handshake_status handshake_head_read_fields(struct handshake_reader *reader,
                                                 struct handshake_seen *seen)
{
    enum handshake_status status = HANDSHAKE_OK;
    bool is_last = false;
    while (status == HANDSHAKE_OK && !is_last) {
        const char *begin = reader->at;
        if (!handshake_head_is_worth_reading(reader)) {
            return HANDSHAKE_NEED_MORE;
        }
        status =
            handshake_head_end_line(reader, begin, handshake_head_read_one(reader, seen, &is_last));
    }
    return status;
}

enum handshake_status handshake_head_read_answer(struct handshake_reader *reader,
                                                 struct handshake_slice *version_out,
                                                 unsigned *code_out)
{
    enum handshake_status status = handshake_head_read_version(reader, version_out);
    if (status == HANDSHAKE_OK) {
        status = handshake_head_expect(reader, " ", HANDSHAKE_NOT_HTTP);
    }
    if (status != HANDSHAKE_OK) {
        return status;
    }
    struct handshake_slice code = handshake_head_run(reader, handshake_head_is_digit);
    struct handshake_slice phrase = handshake_head_run(reader, handshake_head_is_value_char);
    status = handshake_head_expect(reader, "\r\n", HANDSHAKE_NOT_HTTP);
    if (status != HANDSHAKE_OK) {
        return status;
    }
    if (code.bytes != 3 || (phrase.bytes > 0 && phrase.text[0] != ' ')) {
        return HANDSHAKE_NOT_HTTP;
    }
    *code_out =
        (unsigned)(100 * (code.text[0] - '0') + 10 * (code.text[1] - '0') + (code.text[2] - '0'));
    return HANDSHAKE_OK;
}

struct handshake_reader handshake_head_begin(const uint8_t *bytes, size_t bytes_count)
{
    struct handshake_reader reader = {.at = (const char *)bytes};
    handshake_head_extend(&reader, bytes, bytes_count);
    return reader;
}

void handshake_head_extend(struct handshake_reader *reader, const uint8_t *bytes,
                           size_t bytes_count)
{
    reader->is_full = bytes_count >= HANDSHAKE_BYTES_MAX;
    reader->end = (const char *)bytes + (reader->is_full ? HANDSHAKE_BYTES_MAX : bytes_count);
    assert_always(reader->at >= (const char *)bytes);
    assert_always(reader->at + reader->searched <= reader->end);
}

enum handshake_status handshake_head_unless_too_long(enum handshake_status status,
                                                     size_t bytes_count)
{
    bool is_full = bytes_count >= HANDSHAKE_BYTES_MAX;
    return status == HANDSHAKE_NEED_MORE && is_full ? HANDSHAKE_TOO_LONG : status;
}

/* ---- Request targets ---- */

/* Of a registered name or an IPv4 address (RFC 3986 section 3.2.2). */
static bool handshake_head_is_host_char(char c)
{
    switch (c) {
    case '0' ... '9':
    case 'A' ... 'Z':
    case 'a' ... 'z':
    case '-':
    case '.':
    case '_':
    case '~':
    case '%':
    case '!':
    case '$':
    case '&':
    case '\'':
    case '(':
    case ')':
    case '*':
    case '+':
    case ',':
    case ';':
    case '=':
        return true;
    default:
        return false;
    }
}

static bool handshake_head_is_v6_char(char c)
{
    return c == ':' || handshake_head_is_host_char(c);
}

bool handshake_head_is_authority(struct handshake_slice text)
{
    struct handshake_reader reader = {.at = text.text, .end = text.text + text.bytes};
    bool is_v6 = text.bytes > 0 && text.text[0] == '[';
    reader.at += is_v6;
    struct handshake_slice host = is_v6 ? handshake_head_run(&reader, handshake_head_is_v6_char)
                                        : handshake_head_run(&reader, handshake_head_is_host_char);
    if (host.bytes == 0 ||
        (is_v6 && handshake_head_expect(&reader, "]", HANDSHAKE_BAD_REQUEST) != HANDSHAKE_OK)) {
        return false;
    }
    if (reader.at < reader.end && *reader.at == ':') {
        reader.at++;
        handshake_head_run(&reader, handshake_head_is_digit);
    }
    return reader.at == reader.end;
}

/* How long "http://" and its kin are at the begin of a target; 0: there is none. */
static size_t handshake_head_scheme_bytes(struct handshake_slice target)
{
    static const char *const schemes[] = {"http://", "https://", "ws://", "wss://"};
    bool is_origin_form = target.bytes > 0 && target.text[0] == '/';
    for (size_t i = 0; !is_origin_form && i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t bytes = strlen(schemes[i]);
        if (target.bytes >= bytes && strncasecmp(target.text, schemes[i], bytes) == 0) {
            return bytes;
        }
    }
    return 0;
}

bool handshake_head_path(struct handshake_slice target, struct handshake_slice *path_out,
                         bool *has_authority_out)
{
    static const char root[] = "/";
    size_t scheme_bytes = handshake_head_scheme_bytes(target);
    struct handshake_slice rest = {target.text + scheme_bytes, target.bytes - scheme_bytes};
    const char *query = memchr(rest.text, '?', rest.bytes);
    rest.bytes = query != NULL ? (size_t)(query - rest.text) : rest.bytes;
    *has_authority_out = scheme_bytes > 0;
    *path_out = rest;
    if (scheme_bytes == 0) {
        return true;
    }
    const char *slash = memchr(rest.text, '/', rest.bytes);
    struct handshake_slice authority = {rest.text,
                                        slash != NULL ? (size_t)(slash - rest.text) : rest.bytes};
    *path_out = slash != NULL ? (struct handshake_slice){slash, rest.bytes - authority.bytes}
                              : (struct handshake_slice){root, sizeof root - 1};
    return handshake_head_is_authority(authority);
}

static int handshake_head_hex_value(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = c != '\0' ? strchr(digits, c >= 'A' && c <= 'F' ? c + 'a' - 'A' : c) : NULL;
    return found != NULL ? (int)(found - digits) : -1;
}

/* The byte that "%XX" at the begin of text stands for; -1: text begins with something else. */
static int handshake_head_escaped(const char *text, const char *end)
{
    int high = end - text > 2 && text[0] == '%' ? handshake_head_hex_value(text[1]) : -1;
    int low = high >= 0 ? handshake_head_hex_value(text[2]) : -1;
    return low >= 0 ? high << 4 | low : -1;
}

bool handshake_head_path_begins(struct handshake_slice path, const char *text,
                                struct handshake_slice *rest_out)
{
    const char *at = path.text;
    const char *end = path.text + path.bytes;
    for (; *text != '\0' && at < end; text++) {
        int byte = handshake_head_escaped(at, end);
        char c = byte >= 0 && *text != '/' ? (char)byte : *at;
        if (c != *text) {
            return false;
        }
        at += byte >= 0 ? 3 : 1;
    }
    assert_always(at <= end);
    *rest_out = (struct handshake_slice){at, (size_t)(end - at)};
    return *text == '\0';
}

bool handshake_head_path_is(struct handshake_slice path, const char *text)
{
    struct handshake_slice rest;
    return handshake_head_path_begins(path, text, &rest) && rest.bytes == 0;
}

bool handshake_head_next_part(struct handshake_slice *list, char separator,
                              struct handshake_slice *part_out)
{
    if (list->bytes == 0) {
        return false;
    }
    const char *end = memchr(list->text, separator, list->bytes);
    size_t bytes = end != NULL ? (size_t)(end - list->text) : list->bytes;
    size_t taken = bytes + (end != NULL);
    *part_out = (struct handshake_slice){list->text, bytes};
    assert_always(taken <= list->bytes);
    list->text += taken;
    list->bytes -= taken;
    return true;
}

bool handshake_head_decode(struct handshake_slice text, bool plus_is_blank, char *out,
                           size_t *bytes_out)
{
    const char *end = text.text + text.bytes;
    size_t count = 0;
    for (const char *at = text.text; at < end; count++) {
        int byte = handshake_head_escaped(at, end);
        if (*at == '%' && byte <= 0) {
            return false;
        }
        out[count] = *at == '%' ? (char)byte : *at == '+' && plus_is_blank ? ' ' : *at;
        at += *at == '%' ? 3 : 1;
    }
    assert_always(count <= text.bytes);
    *bytes_out = count;
    return utf8_is_valid((const uint8_t *)out, count);
}
