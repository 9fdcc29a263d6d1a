#include "codec/handshake.h"

/* SHA1() looks the algorithm up for each call, which takes longer than the digest. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "codec/base/check.h"

#define HANDSHAKE_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455 section 1.3 */

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
    [HANDSHAKE_NOT_FOUND] = {"404 Not Found", "", "no such path"},
    [HANDSHAKE_BAD_METHOD] = {"405 Method Not Allowed", "Allow: GET, HEAD\r\n", "use GET"},
    [HANDSHAKE_BAD_VERSION] = {"426 Upgrade Required",
                               "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
                               "send Sec-WebSocket-Version: 13"},
    [HANDSHAKE_BAD_PROTOCOL] = {"400 Bad Request", "",
                                "none of the requested subprotocols is supported"},
    [HANDSHAKE_BAD_EXTENSIONS] = {"400 Bad Request", "",
                                  "write Sec-WebSocket-Extensions in the form of RFC 6455: name; "
                                  "parameter; parameter=value, name"},
    [HANDSHAKE_URI_TOO_LONG] = {"414 URI Too Long", "",
                                "keep the request target within 2048 bytes"},
    [HANDSHAKE_TOO_LONG] = {"431 Request Header Fields Too Large", "",
                            "keep the request head within 8192 bytes and 100 header fields"},
    [HANDSHAKE_BUSY] = {"503 Service Unavailable", "Retry-After: 5\r\n",
                        "too many connections: try again in 5 seconds"},
    [HANDSHAKE_STOPPING] =
        {"503 Service Unavailable", "Retry-After: 5\r\n",
         "this server is shutting down: connect to another one, or try again in 5 seconds"},
    [HANDSHAKE_NO_ROOM] = {"503 Service Unavailable", "Retry-After: 5\r\n",
                           "the server has no memory left for this subprotocol"},
};

static int handshake_base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
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

/* more_out: the segments that follow the site's path. */
static bool handshake_has_path(const struct handshake_site *site, struct handshake_slice path,
                               struct handshake_slice *more_out)
{
    for (uint32_t i = 0; i < site->path_count; i++) {
        bool may_go_on = site->paths_go_on && strcmp(site->paths[i], "/") != 0;
        if (handshake_head_path_begins(path, site->paths[i], more_out) &&
            (more_out->bytes == 0 || (may_go_on && more_out->text[0] == '/'))) {
            return true;
        }
    }
    more_out->bytes = 0;
    return site->path_count == 0;
}

/* Of a target: from these segments of its path on; there may be none, and there may be a query. */
static struct handshake_slice handshake_rest(struct handshake_slice target,
                                             struct handshake_slice more)
{
    const char *end = target.text + target.bytes;
    const char *query = memchr(target.text, '?', target.bytes);
    const char *rest = more.bytes > 0 ? more.text : query != NULL ? query : end;
    assert_always(rest >= target.text);
    assert_always(rest <= end);
    return (struct handshake_slice){rest, (size_t)(end - rest)};
}

/* What each upgrade needs. */
static enum handshake_status handshake_judge_upgrade(const struct handshake_site *site,
                                                     const struct handshake_seen *seen)
{
    if (seen->has_body || !seen->has_upgrade || !seen->has_connection || seen->version_count > 1) {
        return HANDSHAKE_BAD_REQUEST;
    }
    if (seen->version_count == 0 || !handshake_head_equal(seen->version, "13")) {
        return HANDSHAKE_BAD_VERSION;
    }
    if (seen->key_count != 1 || !handshake_key_is_valid(seen->key)) {
        return HANDSHAKE_BAD_KEY;
    }
    if (seen->protocol_count > 0 && seen->protocol == NULL && site->protocol_count > 0) {
        return HANDSHAKE_BAD_PROTOCOL;
    }
    return seen->extensions_are_bad ? HANDSHAKE_BAD_EXTENSIONS : HANDSHAKE_OK;
}

/* A target's authority counts instead of Host, which must be there all the same (RFC 9112 section
 * 3.2.2). HTTP/1.0 has neither Host nor upgrades: checks of load balancers that ask for a document.
 */
static enum handshake_status handshake_judge(const struct handshake_site *site,
                                             const struct handshake_progress *progress,
                                             struct handshake_request *request)
{
    const struct handshake_line *line = &progress->line;
    const struct handshake_seen *seen = &progress->seen;
    struct handshake_slice more;
    bool has_authority;
    assert_always(line->version.bytes == 8); /* The request line was read. */

    if (memcmp(line->version.text, "HTTP/1.", 7) != 0) {
        return HANDSHAKE_BAD_REQUEST;
    }
    if (!request->is_head && !handshake_head_equal(line->method, "GET")) {
        return HANDSHAKE_BAD_METHOD;
    }
    bool is_old = line->version.text[7] == '0';
    if (!handshake_head_path(line->target, &request->path, &has_authority) ||
        seen->host_count > 1 || (seen->host_count == 0 && !is_old) ||
        (!is_old && !has_authority && !handshake_head_is_authority(seen->host))) {
        return HANDSHAKE_BAD_REQUEST;
    }
    if (!handshake_has_path(site, request->path, &more)) {
        return HANDSHAKE_NOT_FOUND;
    }
    request->rest = handshake_rest(line->target, more);
    enum handshake_status status = handshake_judge_upgrade(site, seen);
    return status == HANDSHAKE_OK && (is_old || request->is_head) ? HANDSHAKE_BAD_REQUEST : status;
}

/* Goes on with what has come since the last call. */
static enum handshake_status handshake_read(struct handshake_progress *progress,
                                            const uint8_t *bytes, size_t bytes_count)
{
    struct handshake_reader *reader = &progress->reader;
    if (reader->at == NULL) {
        reader->at = (const char *)bytes;
    }
    handshake_head_extend(reader, bytes, bytes_count);
    if (!progress->has_line) {
        enum handshake_status status = handshake_head_read_request(reader, &progress->line);
        if (status != HANDSHAKE_OK) {
            return status;
        }
        progress->has_line = true;
    }
    return handshake_head_read_fields(reader, &progress->seen);
}

enum handshake_status handshake_parse(struct handshake_progress *progress, const uint8_t *bytes,
                                      size_t bytes_count, const struct handshake_site *site,
                                      struct handshake_request *request_out)
{
    struct handshake_seen *seen = &progress->seen;
    struct handshake_request request = {0};
    if (bytes_count == 0) {
        return HANDSHAKE_NEED_MORE;
    }
    seen->known_protocols = site->protocols;
    seen->known_protocol_count = site->protocol_count;
    enum handshake_status status =
        handshake_head_unless_too_long(handshake_read(progress, bytes, bytes_count), bytes_count);
    if (status == HANDSHAKE_NEED_MORE) {
        return status;
    }
    request.is_head = handshake_head_equal(progress->line.method, "HEAD");
    if (status == HANDSHAKE_OK) {
        request.head_bytes = (size_t)(progress->reader.at - (const char *)bytes);
        assert_always(request.head_bytes <= bytes_count);
        assert_always(request.head_bytes <= HANDSHAKE_BYTES_MAX);
        status = handshake_judge(site, progress, &request);
    }
    assert_always(status != HANDSHAKE_OK || seen->key.bytes == HANDSHAKE_KEY_BYTES);
    request.key = seen->key.text;
    request.protocol = seen->protocol;
    request.protocol_mask = seen->protocol_mask;
    request.offers = seen->offers;
    *request_out = request;
    return status;
}

uint32_t handshake_values(const uint8_t *head, size_t head_bytes, const char *name,
                          struct handshake_slice *values_out, uint32_t values_max)
{
    struct handshake_reader reader = handshake_head_begin(head, head_bytes);
    struct handshake_line line;
    struct handshake_field field;
    uint32_t count = 0;
    if (handshake_head_read_request(&reader, &line) != HANDSHAKE_OK) {
        return 0;
    }
    while (handshake_head_read_field(&reader, &field) == HANDSHAKE_OK) {
        if (handshake_head_equal_any_case(field.name, name)) {
            if (count < values_max) {
                values_out[count] = field.value;
            }
            count++;
        }
    }
    assert_debug(count <= HANDSHAKE_HEADERS_MAX);
    return count;
}

const char *handshake_target(const uint8_t *head, size_t head_bytes, size_t *target_bytes_out)
{
    struct handshake_reader reader = handshake_head_begin(head, head_bytes);
    struct handshake_line line;
    if (handshake_head_read_request(&reader, &line) != HANDSHAKE_OK) {
        return NULL;
    }
    *target_bytes_out = line.target.bytes;
    return line.target.text;
}

void handshake_accept_key(char out[HANDSHAKE_ACCEPT_BYTES + 1], const char *key)
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

static char *handshake_put(char *at, const char *end, const char *text)
{
    size_t bytes = strlen(text);
    assert_always(bytes <= (size_t)(end - at));
    memcpy(at, text, bytes);
    return at + bytes;
}

/* Without snprintf(), which takes longer than the digest. */
size_t handshake_accept(char *out, const struct handshake_request *request)
{
    char accept[HANDSHAKE_ACCEPT_BYTES + 1];
    const char *end = out + HANDSHAKE_RESPONSE_BYTES_MAX;
    handshake_accept_key(accept, request->key);
    char *at = handshake_put(out, end,
                             "HTTP/1.1 101 Switching Protocols\r\n"
                             "Upgrade: websocket\r\n"
                             "Connection: Upgrade\r\n"
                             "Sec-WebSocket-Accept: ");
    at = handshake_put(at, end, accept);
    if (request->protocol != NULL) {
        at = handshake_put(at, end, "\r\nSec-WebSocket-Protocol: ");
        at = handshake_put(at, end, request->protocol->name);
    }
    if (request->deflate.is_on) {
        char extensions[WS_DEFLATE_ANSWER_BYTES_MAX];
        ws_extensions_answer(extensions, &request->deflate);
        at = handshake_put(at, end, "\r\nSec-WebSocket-Extensions: ");
        at = handshake_put(at, end, extensions);
    }
    return (size_t)(handshake_put(at, end, "\r\n\r\n") - out);
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

size_t handshake_answer_head(const char *answer, size_t answer_bytes)
{
    const char *end = memmem(answer, answer_bytes, "\r\n\r\n", 4);
    assert_always(end != NULL);
    return (size_t)(end + 4 - answer);
}

/* Appends a name to the list of them in text: ": use /, /ws or /v1". */
static void handshake_add_name(char text[HANDSHAKE_NAMES_BYTES_MAX], uint32_t index, uint32_t count,
                               const char *name)
{
    size_t used = strlen(text);
    const char *before = index == 0 ? ": use " : index + 1 < count ? ", " : " or ";
    int bytes = snprintf(text + used, HANDSHAKE_NAMES_BYTES_MAX - used, "%s%s", before, name);
    assert_always(bytes > 0 && (size_t)bytes < HANDSHAKE_NAMES_BYTES_MAX - used);
}

size_t handshake_refuse(char *out, enum handshake_status status, const struct handshake_site *site)
{
    char text[HANDSHAKE_TEXT_BYTES_MAX];
    char names[HANDSHAKE_NAMES_BYTES_MAX] = "";
    assert_always((unsigned)status < HANDSHAKE_STATUS_COUNT);
    const struct handshake_answer *answer = &handshake_answers[status];
    assert_always(answer->status_line != NULL);
    for (uint32_t i = 0; status == HANDSHAKE_NOT_FOUND && i < site->path_count; i++) {
        handshake_add_name(names, i, site->path_count, site->paths[i]);
    }
    for (uint32_t i = 0; status == HANDSHAKE_BAD_PROTOCOL && i < site->protocol_count; i++) {
        handshake_add_name(names, i, site->protocol_count, site->protocols[i].name);
    }
    if (status == HANDSHAKE_NO_ROOM && site->protocol_count > 0) { /* The first always has room. */
        handshake_add_name(names, 0, 1, site->protocols[0].name);
    }
    int bytes = snprintf(text, sizeof text, "%s%s", answer->text, names);
    assert_always(bytes > 0 && (size_t)bytes < sizeof text);
    return handshake_refuse_with(out, answer->status_line, answer->extra, text);
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
