#include "codec/ws_handshake.h"

/* SHA1() looks the algorithm up for each call, which takes longer than the digest. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "codec/base/check.h"

#define HANDSHAKE_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455 section 1.3 */
#define HANDSHAKE_KEY_BYTES 24
#define HANDSHAKE_ACCEPT_BYTES 28
#define HANDSHAKE_METHOD_BYTES_MAX 32

struct handshake_slice {
    const char *text;
    size_t bytes;
};

/* The head is read from left to right and the first fault counts, so that a verdict on a part
 * of the head stays the verdict on all of it. */
struct handshake_reader {
    const char *at;
    const char *end;
};

struct handshake_field {
    struct handshake_slice name;
    struct handshake_slice value; /* without the blanks around it */
};

struct handshake_line {
    struct handshake_slice method, target, version;
};

/* What the header fields of a request or an answer said. */
struct handshake_seen {
    unsigned host_count, key_count, version_count, accept_count;
    bool has_upgrade;    /* "websocket" in Upgrade */
    bool has_connection; /* "Upgrade" in Connection */
    bool has_body;
    bool has_extensions;
    bool extensions_are_bad; /* not well-formed */
    bool protocols_offered;
    enum handshake_protocol protocol;
    struct ws_deflate_offers offers;
    struct handshake_slice host, key, version, accept, user_agent;
};

static const struct handshake_answer {
    const char *status_line; /* NULL: never refused with it */
    const char *extra;       /* header lines */
    const char *text;
} handshake_answers[HANDSHAKE_STATUS_COUNT] = {
    [HANDSHAKE_OK] = {NULL, "", "ok"},
    [HANDSHAKE_NEED_MORE] = {NULL, "", "the request head is not complete"},
    [HANDSHAKE_NOT_HTTP] = {"400 Bad Request", "",
                            "this is not HTTP: connect with a WebSocket client (ws://)"},
    [HANDSHAKE_BAD_REQUEST] = {"400 Bad Request", "",
                               "this is a WebSocket endpoint: send a well-formed HTTP/1.1 GET "
                               "with one Host, Upgrade: websocket and Connection: Upgrade"},
    [HANDSHAKE_BAD_KEY] = {"400 Bad Request", "",
                           "send one Sec-WebSocket-Key: 16 random bytes in base64"},
    [HANDSHAKE_NOT_FOUND] = {"404 Not Found", "", "no such path: use /, /ws or /v1"},
    [HANDSHAKE_BAD_METHOD] = {"405 Method Not Allowed", "Allow: GET\r\n", "use GET"},
    [HANDSHAKE_BAD_VERSION] = {"426 Upgrade Required",
                               "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
                               "send Sec-WebSocket-Version: 13"},
    [HANDSHAKE_BAD_PROTOCOL] = {"400 Bad Request", "",
                                "offer the subprotocol md.json.v1 or md.sbe.v1, or none"},
    [HANDSHAKE_BAD_EXTENSIONS] = {"400 Bad Request", "",
                                  "write Sec-WebSocket-Extensions as RFC 6455 says: "
                                  "name; parameter; parameter=value, name"},
    [HANDSHAKE_URI_TOO_LONG] = {"414 URI Too Long", "",
                                "keep the request target within 2048 bytes"},
    [HANDSHAKE_TOO_LONG] = {"431 Request Header Fields Too Large", "",
                            "keep the request head within 8192 bytes and 100 header fields"},
    [HANDSHAKE_BUSY] = {"503 Service Unavailable", "Retry-After: 5\r\n",
                        "too many connections: try again in 5 seconds"},
    [HANDSHAKE_STOPPING] = {"503 Service Unavailable", "Retry-After: 5\r\n",
                            "this server is stopping: try another one, or again in 5 seconds"},
};

static bool handshake_is_target_char(char c)
{
    return c > ' ' && c < 0x7f;
}

/* Blank, tab, visible or obs-text (RFC 9110 section 5.5): no other control character. */
static bool handshake_is_value_char(char c)
{
    return c == '\t' || ((unsigned char)c >= ' ' && c != 0x7f);
}

static bool handshake_equal(struct handshake_slice slice, const char *text)
{
    return slice.bytes == strlen(text) && memcmp(slice.text, text, slice.bytes) == 0;
}

static bool handshake_equal_any_case(struct handshake_slice slice, const char *text)
{
    return slice.bytes == strlen(text) && strncasecmp(slice.text, text, slice.bytes) == 0;
}

static struct handshake_slice handshake_trim(struct handshake_slice slice)
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
static bool handshake_next_element(struct handshake_slice *list,
                                   struct handshake_slice *element_out)
{
    if (list->bytes == 0) {
        return false;
    }
    const char *comma = memchr(list->text, ',', list->bytes);
    size_t element_bytes = comma != NULL ? (size_t)(comma - list->text) : list->bytes;
    size_t taken = element_bytes + (comma != NULL);
    *element_out = handshake_trim((struct handshake_slice){list->text, element_bytes});
    list->text += taken;
    list->bytes -= taken;
    return true;
}

static bool handshake_list_has(struct handshake_slice list, const char *token)
{
    struct handshake_slice element;
    while (handshake_next_element(&list, &element)) {
        if (handshake_equal_any_case(element, token)) {
            return true;
        }
    }
    return false;
}

/* The longest run of allowed characters from here. */
static struct handshake_slice handshake_run(struct handshake_reader *reader, bool (*allowed)(char))
{
    struct handshake_slice run = {.text = reader->at};
    while (reader->at < reader->end && allowed(*reader->at)) {
        reader->at++;
    }
    run.bytes = (size_t)(reader->at - run.text);
    return run;
}

/* Takes exactly this text. fault: what it is if other bytes are there. */
static enum handshake_status handshake_expect(struct handshake_reader *reader, const char *text,
                                              enum handshake_status fault)
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
static enum handshake_status handshake_read_version(struct handshake_reader *reader,
                                                    struct handshake_slice *version_out)
{
    version_out->text = reader->at;
    enum handshake_status status = handshake_expect(reader, "HTTP/", HANDSHAKE_NOT_HTTP);
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
    version_out->bytes = 8;
    return HANDSHAKE_OK;
}

static enum handshake_status handshake_read_request_line(struct handshake_reader *reader,
                                                         struct handshake_line *line)
{
    line->method = handshake_run(reader, ws_is_token_char);
    if (line->method.bytes > HANDSHAKE_METHOD_BYTES_MAX) {
        return HANDSHAKE_NOT_HTTP;
    }
    enum handshake_status status = handshake_expect(reader, " ", HANDSHAKE_NOT_HTTP);
    if (status != HANDSHAKE_OK) {
        return status;
    }
    if (line->method.bytes == 0) {
        return HANDSHAKE_NOT_HTTP;
    }
    line->target = handshake_run(reader, handshake_is_target_char);
    if (line->target.bytes > HANDSHAKE_TARGET_BYTES_MAX) {
        return HANDSHAKE_URI_TOO_LONG;
    }
    status = handshake_expect(reader, " ", HANDSHAKE_NOT_HTTP);
    if (status != HANDSHAKE_OK) {
        return status;
    }
    if (line->target.bytes == 0) {
        return HANDSHAKE_NOT_HTTP;
    }
    status = handshake_read_version(reader, &line->version);
    return status != HANDSHAKE_OK ? status : handshake_expect(reader, "\r\n", HANDSHAKE_NOT_HTTP);
}

/* One "name: value" line. */
static enum handshake_status handshake_read_field(struct handshake_reader *reader,
                                                  struct handshake_field *field)
{
    field->name = handshake_run(reader, ws_is_token_char);
    if (field->name.bytes == 0) {
        return HANDSHAKE_BAD_REQUEST; /* Among others a folded line. */
    }
    enum handshake_status status = handshake_expect(reader, ":", HANDSHAKE_BAD_REQUEST);
    if (status != HANDSHAKE_OK) {
        return status;
    }
    field->value = handshake_trim(handshake_run(reader, handshake_is_value_char));
    return handshake_expect(reader, "\r\n", HANDSHAKE_BAD_REQUEST);
}

static const char *const handshake_protocols[] = {
    [HANDSHAKE_JSON] = "md.json.v1",
    [HANDSHAKE_SBE] = "md.sbe.v1",
};

static void handshake_see_protocols(struct handshake_seen *seen, struct handshake_slice list)
{
    struct handshake_slice element;
    while (handshake_next_element(&list, &element)) {
        seen->protocols_offered |= element.bytes > 0;
        for (unsigned i = HANDSHAKE_JSON; seen->protocol == 0 && i <= HANDSHAKE_SBE; i++) {
            seen->protocol = handshake_equal(element, handshake_protocols[i]) ? i : 0;
        }
    }
}

static void handshake_see(struct handshake_seen *seen, const struct handshake_field *field)
{
    struct handshake_slice name = field->name;
    struct handshake_slice value = field->value;
    if (handshake_equal_any_case(name, "Host")) {
        seen->host_count++;
        seen->host = value;
    } else if (handshake_equal_any_case(name, "Upgrade")) {
        seen->has_upgrade |= handshake_list_has(value, "websocket");
    } else if (handshake_equal_any_case(name, "Connection")) {
        seen->has_connection |= handshake_list_has(value, "Upgrade");
    } else if (handshake_equal_any_case(name, "Sec-WebSocket-Key")) {
        seen->key_count++;
        seen->key = value;
    } else if (handshake_equal_any_case(name, "Sec-WebSocket-Version")) {
        seen->version_count++;
        seen->version = value;
    } else if (handshake_equal_any_case(name, "Sec-WebSocket-Accept")) {
        seen->accept_count++;
        seen->accept = value;
    } else if (handshake_equal_any_case(name, "Sec-WebSocket-Protocol")) {
        handshake_see_protocols(seen, value);
    } else if (handshake_equal_any_case(name, "Sec-WebSocket-Extensions")) {
        seen->has_extensions |= value.bytes > 0;
        seen->extensions_are_bad |= !ws_extensions_parse(&seen->offers, value.text, value.bytes);
    } else if (handshake_equal_any_case(name, "User-Agent")) {
        seen->user_agent = value;
    } else if (handshake_equal_any_case(name, "Transfer-Encoding")) {
        seen->has_body = true;
    } else if (handshake_equal_any_case(name, "Content-Length")) {
        seen->has_body |= !handshake_equal(value, "0");
    }
}

/* All header lines and the empty line behind them. */
static enum handshake_status handshake_read_fields(struct handshake_reader *reader,
                                                   struct handshake_seen *seen)
{
    for (unsigned field_count = 0;; field_count++) {
        if (reader->at == reader->end) {
            return HANDSHAKE_NEED_MORE;
        }
        if (*reader->at == '\r') {
            return handshake_expect(reader, "\r\n", HANDSHAKE_BAD_REQUEST);
        }
        if (field_count == HANDSHAKE_HEADERS_MAX) {
            return HANDSHAKE_TOO_LONG;
        }
        struct handshake_field field;
        enum handshake_status status = handshake_read_field(reader, &field);
        if (status != HANDSHAKE_OK) {
            return status;
        }
        handshake_see(seen, &field);
    }
}

static int handshake_base64_value(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = c != '\0' ? strchr(digits, c) : NULL;
    return found != NULL ? (int)(found - digits) : -1;
}

/* 16 bytes are 21 digits, one whose low 4 bits are over and therefore 0, and two pads. */
static bool handshake_key_is_valid(struct handshake_slice key)
{
    if (key.bytes != HANDSHAKE_KEY_BYTES || key.text[22] != '=' || key.text[23] != '=') {
        return false;
    }
    for (size_t i = 0; i < 22; i++) {
        if (handshake_base64_value(key.text[i]) < 0) {
            return false;
        }
    }
    return (handshake_base64_value(key.text[21]) & 15) == 0;
}

static struct handshake_slice handshake_path(struct handshake_slice target)
{
    const char *query = memchr(target.text, '?', target.bytes);
    return (struct handshake_slice){
        .text = target.text,
        .bytes = query != NULL ? (size_t)(query - target.text) : target.bytes,
    };
}

static bool handshake_path_is_ours(struct handshake_slice path)
{
    return handshake_equal(path, "/") || handshake_equal(path, "/ws") ||
           handshake_equal(path, "/v1");
}

static enum handshake_status handshake_judge(const struct handshake_line *line,
                                             const struct handshake_seen *seen)
{
    if (memcmp(line->version.text, "HTTP/1.", 7) != 0 || line->version.text[7] == '0') {
        return HANDSHAKE_BAD_REQUEST;
    }
    if (!handshake_equal(line->method, "GET")) {
        return HANDSHAKE_BAD_METHOD;
    }
    if (!handshake_path_is_ours(handshake_path(line->target))) {
        return HANDSHAKE_NOT_FOUND;
    }
    if (seen->host_count != 1 || seen->host.bytes == 0 || seen->has_body || !seen->has_upgrade ||
        !seen->has_connection || seen->version_count > 1) {
        return HANDSHAKE_BAD_REQUEST;
    }
    if (seen->version_count == 0 || !handshake_equal(seen->version, "13")) {
        return HANDSHAKE_BAD_VERSION;
    }
    if (seen->key_count != 1 || !handshake_key_is_valid(seen->key)) {
        return HANDSHAKE_BAD_KEY;
    }
    if (seen->protocols_offered && seen->protocol == HANDSHAKE_NO_PROTOCOL) {
        return HANDSHAKE_BAD_PROTOCOL;
    }
    if (seen->extensions_are_bad) {
        return HANDSHAKE_BAD_EXTENSIONS;
    }
    return HANDSHAKE_OK;
}

/* The part of the bytes that may belong to the head. */
static struct handshake_reader handshake_reader_of(const uint8_t *bytes, size_t bytes_count)
{
    size_t head_bytes_max = bytes_count < HANDSHAKE_BYTES_MAX ? bytes_count : HANDSHAKE_BYTES_MAX;
    const char *text = (const char *)bytes;
    return (struct handshake_reader){.at = text, .end = text + head_bytes_max};
}

/* A head that is not complete within the limit never will be. */
static enum handshake_status handshake_unless_too_long(enum handshake_status status,
                                                       size_t bytes_count)
{
    bool is_full = bytes_count >= HANDSHAKE_BYTES_MAX;
    return status == HANDSHAKE_NEED_MORE && is_full ? HANDSHAKE_TOO_LONG : status;
}

enum handshake_status handshake_parse(const uint8_t *bytes, size_t bytes_count,
                                      struct handshake_request *request_out)
{
    if (bytes_count == 0) {
        return HANDSHAKE_NEED_MORE;
    }
    struct handshake_reader reader = handshake_reader_of(bytes, bytes_count);
    struct handshake_line line = {0};
    struct handshake_seen seen = {0};
    enum handshake_status status = handshake_read_request_line(&reader, &line);
    if (status == HANDSHAKE_OK) {
        status = handshake_read_fields(&reader, &seen);
    }
    if (status == HANDSHAKE_OK) {
        status = handshake_judge(&line, &seen);
    }
    if (status != HANDSHAKE_OK && status != HANDSHAKE_NOT_FOUND) {
        return handshake_unless_too_long(status, bytes_count);
    }
    struct handshake_slice path = handshake_path(line.target);
    *request_out = (struct handshake_request){
        .head_bytes = (size_t)(reader.at - (const char *)bytes),
        .key = seen.key.text,
        .protocol = seen.protocol,
        .user_agent = seen.user_agent.text,
        .user_agent_bytes = seen.user_agent.bytes,
        .offers = seen.offers,
        .path = path.text,
        .path_bytes = path.bytes,
    };
    return status;
}

const char *handshake_header(const uint8_t *head, size_t head_bytes, const char *name, uint32_t nth,
                             size_t *value_bytes_out)
{
    struct handshake_reader reader = handshake_reader_of(head, head_bytes);
    struct handshake_line line;
    struct handshake_field field;
    if (handshake_read_request_line(&reader, &line) != HANDSHAKE_OK) {
        return NULL;
    }
    while (handshake_read_field(&reader, &field) == HANDSHAKE_OK) {
        if (handshake_equal_any_case(field.name, name) && nth-- == 0) {
            *value_bytes_out = field.value.bytes;
            return field.value.text;
        }
    }
    return NULL;
}

const char *handshake_target(const uint8_t *head, size_t head_bytes, size_t *target_bytes_out)
{
    struct handshake_reader reader = handshake_reader_of(head, head_bytes);
    struct handshake_line line;
    if (handshake_read_request_line(&reader, &line) != HANDSHAKE_OK) {
        return NULL;
    }
    *target_bytes_out = line.target.bytes;
    return line.target.text;
}

/* out holds HANDSHAKE_ACCEPT_BYTES and a terminator. */
static void handshake_accept_key(char *out, const char *key)
{
    char text[HANDSHAKE_KEY_BYTES + sizeof HANDSHAKE_GUID - 1];
    uint8_t digest[SHA_DIGEST_LENGTH];
    memcpy(text, key, HANDSHAKE_KEY_BYTES);
    memcpy(text + HANDSHAKE_KEY_BYTES, HANDSHAKE_GUID, sizeof HANDSHAKE_GUID - 1);
    SHA_CTX context;
    SHA1_Init(&context);
    SHA1_Update(&context, text, sizeof text);
    SHA1_Final(digest, &context);
    int bytes = EVP_EncodeBlock((uint8_t *)out, digest, sizeof digest);
    assert_always(bytes == HANDSHAKE_ACCEPT_BYTES);
}

size_t handshake_accept(char *out, const struct handshake_request *request)
{
    char accept[HANDSHAKE_ACCEPT_BYTES + 1];
    char extensions[WS_DEFLATE_ANSWER_BYTES_MAX] = "";
    bool deflates = request->deflate.is_on;
    handshake_accept_key(accept, request->key);
    bool is_chosen = request->protocol != HANDSHAKE_NO_PROTOCOL;
    if (deflates) {
        ws_deflate_answer(extensions, &request->deflate);
    }
    int bytes =
        snprintf(out, HANDSHAKE_RESPONSE_BYTES_MAX,
                 "HTTP/1.1 101 Switching Protocols\r\n"
                 "Upgrade: websocket\r\n"
                 "Connection: Upgrade\r\n"
                 "Sec-WebSocket-Accept: %s\r\n"
                 "%s%s%s%s%s%s\r\n",
                 accept, is_chosen ? "Sec-WebSocket-Protocol: " : "",
                 is_chosen ? handshake_protocols[request->protocol] : "", is_chosen ? "\r\n" : "",
                 deflates ? "Sec-WebSocket-Extensions: " : "", extensions, deflates ? "\r\n" : "");
    assert_always(bytes > 0 && bytes < HANDSHAKE_RESPONSE_BYTES_MAX);
    return (size_t)bytes;
}

size_t handshake_refuse_with(char *out, const char *status_line, const char *extra,
                             const char *text)
{
    int bytes = snprintf(out, HANDSHAKE_RESPONSE_BYTES_MAX,
                         "HTTP/1.1 %s\r\n"
                         "%s"
                         "Content-Type: text/plain; charset=utf-8\r\n"
                         "Content-Length: %zu\r\n"
                         "Connection: close\r\n"
                         "\r\n"
                         "%s\n",
                         status_line, extra, strlen(text) + 1, text);
    assert_always(bytes > 0 && bytes < HANDSHAKE_RESPONSE_BYTES_MAX);
    return (size_t)bytes;
}

size_t handshake_refuse(char *out, enum handshake_status status)
{
    assert_always((unsigned)status < HANDSHAKE_STATUS_COUNT);
    const struct handshake_answer *answer = &handshake_answers[status];
    assert_always(answer->status_line != NULL);
    return handshake_refuse_with(out, answer->status_line, answer->extra, answer->text);
}

size_t handshake_document(char *out, const char *content_type, size_t document_bytes)
{
    int bytes = snprintf(out, HANDSHAKE_RESPONSE_BYTES_MAX,
                         "HTTP/1.1 200 OK\r\n"
                         "Content-Type: %s\r\n"
                         "Content-Length: %zu\r\n"
                         "Cache-Control: max-age=3600\r\n"
                         "Connection: close\r\n"
                         "\r\n",
                         content_type, document_bytes);
    assert_always(bytes > 0 && bytes < HANDSHAKE_RESPONSE_BYTES_MAX);
    return (size_t)bytes;
}

const char *handshake_status_text(enum handshake_status status)
{
    assert_always((unsigned)status < HANDSHAKE_STATUS_COUNT);

    return handshake_answers[status].text;
}

size_t handshake_client_request(char *out, size_t out_bytes, const char *host, const char *path,
                                const char *key, const struct handshake_wish *wish)
{
    static const char deflate[] = "Sec-WebSocket-Extensions: permessage-deflate; "
                                  "server_no_context_takeover; client_no_context_takeover\r\n";
    bool has_protocol = wish->protocol != HANDSHAKE_NO_PROTOCOL;
    int bytes = snprintf(out, out_bytes,
                         "GET %s HTTP/1.1\r\n"
                         "Host: %s\r\n"
                         "Upgrade: websocket\r\n"
                         "Connection: Upgrade\r\n"
                         "Sec-WebSocket-Key: %s\r\n"
                         "Sec-WebSocket-Version: 13\r\n"
                         "%s%s%s%s\r\n",
                         path, host, key, has_protocol ? "Sec-WebSocket-Protocol: " : "",
                         has_protocol ? handshake_protocols[wish->protocol] : "",
                         has_protocol ? "\r\n" : "", wish->deflate ? deflate : "");
    return bytes > 0 && (size_t)bytes < out_bytes ? (size_t)bytes : 0;
}

/* "HTTP/1.1 101 Switching Protocols"; the phrase may be missing. */
static enum handshake_status handshake_read_status_line(struct handshake_reader *reader)
{
    enum handshake_status status = handshake_expect(reader, "HTTP/1.1 101", HANDSHAKE_BAD_REQUEST);
    if (status != HANDSHAKE_OK) {
        return status;
    }
    struct handshake_slice phrase = handshake_run(reader, handshake_is_value_char);
    if (phrase.bytes > 0 && phrase.text[0] != ' ') {
        return HANDSHAKE_BAD_REQUEST;
    }
    return handshake_expect(reader, "\r\n", HANDSHAKE_BAD_REQUEST);
}

/* What a valid answer grants, against what was asked for. */
static enum handshake_status handshake_check_wish(const struct handshake_seen *seen,
                                                  const struct handshake_wish *wish)
{
    if (wish->protocol == HANDSHAKE_SBE && seen->protocol != HANDSHAKE_SBE) {
        return HANDSHAKE_BAD_PROTOCOL;
    }
    bool deflates = !seen->extensions_are_bad && seen->offers.count == 1 &&
                    seen->offers.offers[0].server_no_takeover;
    return seen->has_extensions == wish->deflate && (deflates || !wish->deflate)
               ? HANDSHAKE_OK
               : HANDSHAKE_BAD_EXTENSIONS;
}

enum handshake_status handshake_check_response(const uint8_t *bytes, size_t bytes_count,
                                               const char *key, const struct handshake_wish *wish,
                                               size_t *head_bytes_out)
{
    if (bytes_count == 0) {
        return HANDSHAKE_NEED_MORE;
    }
    struct handshake_reader reader = handshake_reader_of(bytes, bytes_count);
    struct handshake_seen seen = {0};
    enum handshake_status status = handshake_read_status_line(&reader);
    if (status == HANDSHAKE_OK) {
        status = handshake_read_fields(&reader, &seen);
    }
    if (status != HANDSHAKE_OK) {
        return handshake_unless_too_long(status, bytes_count);
    }
    char accept[HANDSHAKE_ACCEPT_BYTES + 1];
    handshake_accept_key(accept, key);
    if (!seen.has_upgrade || !seen.has_connection || seen.accept_count != 1 ||
        !handshake_equal(seen.accept, accept)) {
        return HANDSHAKE_BAD_REQUEST;
    }
    status = handshake_check_wish(&seen, wish);
    if (status != HANDSHAKE_OK) {
        return status;
    }
    *head_bytes_out = (size_t)(reader.at - (const char *)bytes);
    return HANDSHAKE_OK;
}
