#include "tools/common/ws_client.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/un.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "tools/common/terminal_text.h"
#include "tools/common/ws_connect.h"

#define DEFAULT_PORT "8765"
#define DEFAULT_TLS_PORT "443"

static int ws_client_fail(char *error_out, int error, const char *what, const char *detail)
{
    snprintf(error_out, WS_CLIENT_ERROR_BYTES_MAX, "%s%s%s", what, detail[0] == 0 ? "" : ": ",
             detail);
    return error;
}

/* Without what may be secret: the query of the URL. */
static int ws_client_fail_url(char *error_out, int error, const char *what, const char *url)
{
    char shown[256];
    snprintf(shown, sizeof shown, "%.*s", (int)strcspn(url, "?#"), url);
    return ws_client_fail(error_out, error, what, shown);
}

static bool ws_client_copy(char *out, size_t out_bytes, const char *text, size_t text_bytes)
{
    if (text_bytes >= out_bytes) {
        return false;
    }
    memcpy(out, text, text_bytes);
    out[text_bytes] = 0;
    return true;
}

static bool ws_client_parse_port(struct ws_client_url *url, const char *text, size_t text_bytes)
{
    unsigned port = 0;
    if (text_bytes == 0 || text_bytes > 5) {
        return false;
    }
    for (size_t i = 0; i < text_bytes; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    return port >= 1 && port <= 65535 &&
           ws_client_copy(url->port, sizeof url->port, text, text_bytes);
}

/* RFC 6874: in a URL an interface follows "%25". */
static void ws_client_decode_interface(char *host)
{
    char *percent = strstr(host, "%25");
    if (percent != NULL && percent[3] != 0) {
        memmove(percent + 1, percent + 3, strlen(percent + 3) + 1);
    }
}

/* host, host:port, [v6] or [v6]:port */
static bool ws_client_parse_authority(struct ws_client_url *url, const char *text, size_t bytes)
{
    const char *host = text;
    const char *end = text + bytes;
    const char *host_end;
    if (bytes > 0 && text[0] == '[') {
        host = text + 1;
        host_end = memchr(text, ']', bytes);
        if (host_end == NULL) {
            return false;
        }
        text = host_end + 1;
    } else {
        host_end = memchr(text, ':', bytes);
        host_end = host_end == NULL ? end : host_end;
        text = host_end;
    }
    if (host_end == host ||
        !ws_client_copy(url->host, sizeof url->host, host, (size_t)(host_end - host))) {
        return false;
    }
    ws_client_decode_interface(url->host);
    if (text == end) {
        strcpy(url->port, url->is_tls ? DEFAULT_TLS_PORT : DEFAULT_PORT);
        return true;
    }
    return *text == ':' && ws_client_parse_port(url, text + 1, (size_t)(end - text - 1));
}

static int ws_client_parse_unix(struct ws_client_url *url, const char *path, char *error_out)
{
    url->is_unix = true;
    if (path[0] != '/') {
        return ws_client_fail(error_out, -EINVAL, "a Unix socket needs unix:///absolute/path", "");
    }
    if (!ws_client_copy(url->socket_path, sizeof url->socket_path, path, strlen(path))) {
        return ws_client_fail(error_out, -EINVAL, "socket path over 107 bytes", path);
    }
    strcpy(url->host, "localhost");
    strcpy(url->port, DEFAULT_PORT);
    strcpy(url->path, "/");
    return 0;
}

int ws_client_parse_url(struct ws_client_url *url_out, const char *text,
                        char error_out[WS_CLIENT_ERROR_BYTES_MAX])
{
    struct ws_client_url url = {0};
    /* Schemes are the same in any case (RFC 3986 section 3.1). */
    if (strncasecmp(text, "unix://", 7) == 0) {
        int error = ws_client_parse_unix(&url, text + 7, error_out);
        *url_out = error == 0 ? url : *url_out;
        return error;
    }
    url.is_tls = strncasecmp(text, "wss://", 6) == 0;
    if (!url.is_tls && strncasecmp(text, "ws://", 5) != 0) {
        return ws_client_fail_url(error_out, -EINVAL, "not a ws://, wss:// or unix:// URL", text);
    }
    for (const char *at = text; *at != 0; at++) {
        if ((unsigned char)*at <= ' ' || *at == 0x7f) {
            return ws_client_fail(error_out, -EINVAL,
                                  "a URL has no blanks or control characters: write them as %20",
                                  "");
        }
    }
    const char *authority = text + (url.is_tls ? strlen("wss://") : strlen("ws://"));
    size_t authority_bytes = strcspn(authority, "/?#");
    const char *path = authority + authority_bytes;
    size_t path_bytes = strcspn(path, "#");
    if (memchr(authority, '@', authority_bytes) != NULL) {
        return ws_client_fail(error_out, -EINVAL, "a URL has no user or password; use --token", "");
    }
    if (!ws_client_parse_authority(&url, authority, authority_bytes)) {
        return ws_client_fail_url(error_out, -EINVAL, "bad host or port in URL", text);
    }
    const char *slash = path[0] == '/' ? "" : "/";
    if (path_bytes + 2 > sizeof url.path) {
        return ws_client_fail(error_out, -EINVAL, "path of the URL is too long", "");
    }
    snprintf(url.path, sizeof url.path, "%s%.*s", slash, (int)path_bytes, path);
    *url_out = url;
    return 0;
}

int ws_client_secure_url(struct ws_client_url *url, const struct tls_client_options *options,
                         char error_out[WS_CLIENT_ERROR_BYTES_MAX])
{
    static_assert(TLS_CLIENT_ERROR_BYTES_MAX <= WS_CLIENT_ERROR_BYTES_MAX, "an error fits");
    struct tls_client_context *context = NULL;
    if (!url->is_tls) {
        bool has_any = options->cacert != NULL || options->cert != NULL || options->insecure;
        return !has_any ? 0
                        : ws_client_fail(error_out, -EINVAL,
                                         "--cacert, --cert and --insecure need a wss:// URL", "");
    }
    int error = tls_client_context_create(&context, options, error_out);
    url->tls = context;
    return error;
}

static bool ws_client_has(const struct ws_client_addresses *addresses,
                          const struct ws_client_address *address)
{
    for (uint32_t i = 0; i < addresses->count; i++) {
        if (memcmp(&addresses->list[i], address, sizeof *address) == 0) {
            return true;
        }
    }
    return false;
}

/* Not AI_ADDRCONFIG: it does not count loopback addresses, and an address that cannot be reached
 * fails at once. */
int ws_client_resolve(const struct ws_client_url *url, struct ws_client_addresses *addresses_out,
                      char error_out[WS_CLIENT_ERROR_BYTES_MAX])
{
    memset(addresses_out, 0, sizeof *addresses_out);
    if (url->is_unix) {
        struct sockaddr_un *un = (struct sockaddr_un *)&addresses_out->list[0].address;
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path, url->socket_path, sizeof un->sun_path);
        addresses_out->list[0].address_bytes = sizeof *un;
        addresses_out->count = 1;
        return 0;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int status = getaddrinfo(url->host, url->port, &hints, &found);
    if (status != 0) {
        snprintf(error_out, WS_CLIENT_ERROR_BYTES_MAX, "no address of host '%s': %s", url->host,
                 status == EAI_SYSTEM ? strerror(errno) : gai_strerror(status));
        return -EHOSTUNREACH;
    }
    for (const struct addrinfo *at = found; at != NULL; at = at->ai_next) {
        struct ws_client_address address = {.address_bytes = at->ai_addrlen};
        assert_always(at->ai_addrlen <= sizeof address.address);
        memcpy(&address.address, at->ai_addr, at->ai_addrlen);
        if (addresses_out->count < WS_CLIENT_ADDRESSES_MAX &&
            !ws_client_has(addresses_out, &address)) {
            addresses_out->list[addresses_out->count++] = address;
        }
    }
    freeaddrinfo(found);
    assert_always(addresses_out->count > 0);
    return 0;
}

void ws_client_key(char key_out[WS_CLIENT_KEY_BYTES + 1], const uint8_t random[16])
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t padded[18] = {0};
    memcpy(padded, random, 16);
    for (size_t i = 0; i < 6; i++) {
        const uint8_t *three = padded + 3 * i;
        key_out[4 * i] = alphabet[three[0] >> 2];
        key_out[4 * i + 1] = alphabet[(three[0] & 3) << 4 | three[1] >> 4];
        key_out[4 * i + 2] = alphabet[(three[1] & 15) << 2 | three[2] >> 6];
        key_out[4 * i + 3] = alphabet[three[2] & 63];
    }
    memcpy(key_out + 22, "==", 3);
}

size_t ws_client_request(const struct ws_client_url *url, const char *key,
                         const struct handshake_wish *wish, char out[WS_CLIENT_REQUEST_BYTES_MAX])
{
    char host[sizeof url->host + sizeof url->port + 3];
    bool is_v6 = strchr(url->host, ':') != NULL;
    int host_bytes = (int)strcspn(url->host, "%"); /* RFC 6874: an interface is ours alone. */
    snprintf(host, sizeof host, is_v6 ? "[%.*s]:%s" : "%.*s:%s", host_bytes, url->host, url->port);
    return handshake_client_request(out, WS_CLIENT_REQUEST_BYTES_MAX, host, url->path, key, wish);
}

size_t ws_client_frame(uint8_t *out, enum ws_opcode opcode, const void *payload,
                       size_t payload_bytes, const uint8_t mask[4])
{
    size_t header_bytes = ws_frame_client_header(out, opcode, payload_bytes, mask);
    assert_always(header_bytes <= WS_HEADER_BYTES_MAX);

    if (payload_bytes > 0) {
        memcpy(out + header_bytes, payload, payload_bytes);
        ws_frame_mask(out + header_bytes, payload_bytes, mask, 0);
    }
    return header_bytes + payload_bytes;
}

/* "A,B" as a JSON array; NULL when it names nothing, or is not UTF-8. */
static json_t *ws_client_list(const char *text)
{
    json_t *list = json_array();
    while (*text != 0) {
        size_t bytes = strcspn(text, ",");
        if (bytes > 0 && json_array_append_new(list, json_stringn(text, bytes)) < 0) {
            json_decref(list);
            return NULL;
        }
        text += bytes + (text[bytes] == ',');
    }
    if (json_array_size(list) == 0) {
        json_decref(list);
        return NULL;
    }
    return list;
}

/* The settings of a subscription; NULL: there are none, or no memory. */
static json_t *ws_client_delivery(const struct ws_client_subscription *subscription)
{
    json_t *delivery = json_object();
    if (subscription->interval_ms != 0) {
        json_object_set_new(delivery, "mode", json_string("conflated"));
        json_object_set_new(delivery, "interval_ms", json_integer(subscription->interval_ms));
    }
    if (subscription->on_lag != NULL) {
        json_object_set_new(delivery, "on_lag", json_string(subscription->on_lag));
    }
    if (json_object_size(delivery) == 0) {
        json_decref(delivery);
        return NULL;
    }
    return delivery;
}

static void ws_client_set_options(json_t *data, const struct ws_client_subscription *subscription)
{
    json_t *delivery = ws_client_delivery(subscription);
    if (subscription->depth != 0) {
        json_object_set_new(data, "depth", json_integer(subscription->depth));
    }
    if (subscription->bar != NULL) {
        json_object_set_new(data, "bar", json_string(subscription->bar));
    }
    if (delivery != NULL) {
        json_object_set_new(data, "delivery", delivery);
    }
    if (subscription->replay_from != 0) {
        json_object_set_new(data, "from", json_integer((json_int_t)subscription->replay_from));
    } else {
        json_object_set_new(data, "snapshot", json_boolean(subscription->snapshot));
    }
}

char *ws_client_subscribe_text(const struct ws_client_subscription *subscription)
{
    json_t *symbols = ws_client_list(subscription->symbols);
    json_t *types = ws_client_list(subscription->types);
    if (symbols == NULL || types == NULL) {
        json_decref(symbols);
        json_decref(types);
        return NULL;
    }
    json_t *data = json_pack("{s:o,s:o}", "symbols", symbols, "data_types", types);
    if (data != NULL) {
        ws_client_set_options(data, subscription);
    }
    const char *type = subscription->replay_from != 0 ? "REPLAY" : "SUBSCRIBE";
    json_t *message = json_pack("{s:s,s:i,s:o}", "type", type, "id", 1, "data", data);
    char *text = message == NULL ? NULL : json_dumps(message, JSON_COMPACT);
    json_decref(message);
    return text;
}

/* poll(2) for one descriptor; 0 or a negative errno. */
static int ws_client_wait(int fd, short events, int timeout_ms)
{
    struct pollfd item = {.fd = fd, .events = events};
    int count = poll(&item, 1, timeout_ms);
    if (count < 0) {
        return -errno;
    }
    return count == 0 ? -ETIMEDOUT : 0;
}

/* The first line of the answer's body, as far as it has been received. */
static void ws_client_body_line(char *out, size_t out_bytes, const uint8_t *answer, size_t bytes)
{
    static const char head_end[] = "\r\n\r\n";
    const uint8_t *body = memmem(answer, bytes, head_end, strlen(head_end));
    size_t count = 0;
    out[0] = '\0';
    if (body == NULL) {
        return;
    }
    body += strlen(head_end);
    while (body + count < answer + bytes && body[count] != '\r' && body[count] != '\n') {
        count++;
    }
    size_t most = (out_bytes - 1) / 4; /* A byte becomes at most four characters. */
    terminal_text_copy(out, out_bytes, body, count < most ? count : most);
}

/* Says which answer it was that does not upgrade, and why: what is wrong with it if its status line
 * does not say that, or the server's own words. */
static int ws_client_refused(char *error_out, const uint8_t *answer, size_t bytes,
                             enum handshake_status status)
{
    char line[4 * 60 + 1];
    char words[4 * 120 + 1];
    size_t line_bytes = bytes > 60 ? 60 : bytes;
    const uint8_t *line_end = memchr(answer, '\r', line_bytes);
    const char *text = handshake_client_text(status);
    line_bytes = line_end == NULL ? line_bytes : (size_t)(line_end - answer);
    terminal_text_copy(line, sizeof line, answer, line_bytes);
    if (text[0] == '\0') {
        ws_client_body_line(words, sizeof words, answer, bytes);
        text = words;
    }
    snprintf(error_out, WS_CLIENT_ERROR_BYTES_MAX, "the upgrade was refused: %s%s%s", line,
             text[0] == '\0' ? "" : ": ", text);
    const char *code = strlen(line) > strlen("HTTP/1.1 ") ? line + strlen("HTTP/1.1 ") : "";
    return strncmp(code, "429", 3) == 0 || code[0] == '5' ? -EAGAIN : -EPROTO;
}

/* The TLS handshake of wss://. */
static int ws_client_secure(struct ws_client_opened *opened, const struct ws_client_url *url,
                            int timeout_ms)
{
    uint8_t sealed[4096];
    if (!url->is_tls) {
        return 0;
    }
    assert_always(url->tls != NULL);
    opened->tls = tls_client_create(url->tls, url->host);
    if (opened->tls == NULL) {
        return ws_client_fail(opened->error, -ENOMEM, "no memory for TLS", "");
    }
    int error = tls_client_handshake(opened->tls, opened->fd);
    while (error == -EAGAIN) {
        error = ws_client_wait(opened->fd, POLLIN, timeout_ms);
        if (error != 0) {
            return ws_client_fail(opened->error, error, "no answer to the TLS handshake",
                                  strerror(-error));
        }
        ssize_t got = recv(opened->fd, sealed, sizeof sealed, 0);
        if (got < 0 && errno == EAGAIN) {
            error = -EAGAIN;
            continue;
        }
        if (got <= 0) {
            error = got < 0 ? -errno : -ECONNRESET;
            return ws_client_fail(opened->error, error, "closed during the TLS handshake", "");
        }
        for (size_t given = 0; given < (size_t)got;) {
            given += tls_client_give(opened->tls, sealed + given, (size_t)got - given);
        }
        error = tls_client_handshake(opened->tls, opened->fd);
    }
    return error == 0 ? 0 : ws_client_fail(opened->error, error, tls_client_error(opened->tls), "");
}

/* Reads the answer's head, and keeps what follows it. */
static int ws_client_upgrade(struct ws_client_opened *opened, const char *key,
                             const struct handshake_wish *wish, int timeout_ms)
{
    size_t count = 0;
    for (;;) {
        int error = ws_client_wait(opened->fd, POLLIN, timeout_ms);
        if (error != 0) {
            return ws_client_fail(opened->error, error, "no answer to the upgrade",
                                  strerror(-error));
        }
        ssize_t got = tls_client_recv(opened->tls, opened->fd, opened->rest + count,
                                      HANDSHAKE_BYTES_MAX - count);
        if (got < 0 && errno == EAGAIN) {
            continue;
        }
        if (got <= 0) {
            error = got < 0 ? -errno : -ECONNRESET;
            const char *why = opened->tls == NULL ? "" : tls_client_error(opened->tls);
            return ws_client_fail(opened->error, error, "closed during the upgrade", why);
        }
        count += (size_t)got;
        size_t at;
        enum handshake_status status = handshake_client_check(opened->rest, count, key, wish, &at);
        if (status == HANDSHAKE_OK) {
            opened->rest_bytes = count - at;
            memmove(opened->rest, opened->rest + at, count - at);
            return 0;
        }
        if (status != HANDSHAKE_NEED_MORE) {
            return ws_client_refused(opened->error, opened->rest + at, count - at, status);
        }
    }
}

/* "localhost:8765: the upgrade was refused: ..." */
static void ws_client_add_name(char *error, const struct ws_client_url *url)
{
    char what[WS_CLIENT_ERROR_BYTES_MAX];
    const char *form = strchr(url->host, ':') != NULL ? "[%s]:%s: " : "%s:%s: ";
    snprintf(what, sizeof what, "%s", error);
    int bytes = url->is_unix
                    ? snprintf(error, WS_CLIENT_ERROR_BYTES_MAX, "unix://%s: ", url->socket_path)
                    : snprintf(error, WS_CLIENT_ERROR_BYTES_MAX, form, url->host, url->port);
    assert_always(bytes > 0 && bytes < WS_CLIENT_ERROR_BYTES_MAX);
    snprintf(error + bytes, WS_CLIENT_ERROR_BYTES_MAX - (size_t)bytes, "%s", what);
}

int ws_client_open(struct ws_client_opened *opened_out, const struct ws_client_url *url,
                   struct ws_client_addresses *addresses, const struct handshake_wish *wish,
                   int timeout_ms)
{
    uint8_t random[16];
    char key[WS_CLIENT_KEY_BYTES + 1];
    char request[WS_CLIENT_REQUEST_BYTES_MAX];
    int error = 0;
    opened_out->tls = NULL;
    opened_out->fd = ws_connect(url, addresses, timeout_ms, opened_out->error);
    if (opened_out->fd < 0) {
        return opened_out->fd;
    }
    error = ws_client_secure(opened_out, url, timeout_ms);
    if (error != 0) {
        goto close_socket;
    }
    if (getrandom(random, sizeof random, 0) != sizeof random) {
        error = ws_client_fail(opened_out->error, -EIO, "no randomness", "");
        goto close_socket;
    }
    ws_client_key(key, random);
    size_t request_bytes = ws_client_request(url, key, wish, request);
    if (request_bytes == 0) {
        error = ws_client_fail(opened_out->error, -EMSGSIZE, "the upgrade request is too long", "");
        goto close_socket;
    }
    /* A server that has closed may have said why, which is read now. */
    (void)tls_client_send(opened_out->tls, opened_out->fd, request, request_bytes);
    error = ws_client_upgrade(opened_out, key, wish, timeout_ms);
    if (error != 0) {
        goto close_socket;
    }
    return 0;

close_socket:
    ws_client_add_name(opened_out->error, url);
    tls_client_destroy(opened_out->tls);
    opened_out->tls = NULL;
    close(opened_out->fd);
    opened_out->fd = -1;
    return error;
}
