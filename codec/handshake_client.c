#include "codec/handshake_client.h"

#include <stdio.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/handshake.h"

size_t handshake_client_request(char *out, size_t out_bytes, const char *host, const char *path,
                                const char *key, const struct handshake_wish *wish)
{
    static const char deflate[] = "Sec-WebSocket-Extensions: permessage-deflate; "
                                  "server_no_context_takeover; client_no_context_takeover\r\n";
    bool has_protocol = wish->protocol != NULL;
    assert_always(strlen(key) == HANDSHAKE_KEY_BYTES);

    int bytes = snprintf(out, out_bytes,
                         "GET %s HTTP/1.1\r\n"
                         "Host: %s\r\n"
                         "Upgrade: websocket\r\n"
                         "Connection: Upgrade\r\n"
                         "Sec-WebSocket-Key: %s\r\n"
                         "Sec-WebSocket-Version: 13\r\n"
                         "%s%s%s%s%s\r\n",
                         path, host, key, has_protocol ? "Sec-WebSocket-Protocol: " : "",
                         has_protocol ? wish->protocol : "", has_protocol ? "\r\n" : "",
                         wish->deflate ? deflate : "", wish->headers == NULL ? "" : wish->headers);
    return bytes > 0 && (size_t)bytes < out_bytes ? (size_t)bytes : 0;
}

/* What a valid answer grants, against what was asked for. We ask for no window, so that none of
 * ours may be named. */
static enum handshake_status handshake_client_check_wish(const struct handshake_seen *seen,
                                                         const struct handshake_wish *wish)
{
    const struct ws_deflate_offer *granted = &seen->offers.offers[0];
    bool is_implied = seen->protocol_count == 0 && (wish->protocol == NULL || wish->is_implied);
    if (!is_implied && !(seen->protocol_count == 1 && seen->protocol != NULL)) {
        return HANDSHAKE_BAD_PROTOCOL;
    }
    bool is_plain = seen->offers.named_count == 0;
    bool deflates = seen->offers.named_count == 1 && seen->offers.count == 1 &&
                    granted->server_no_takeover && !granted->names_client_window;
    return !seen->extensions_are_bad && (wish->deflate ? deflates : is_plain)
               ? HANDSHAKE_OK
               : HANDSHAKE_BAD_EXTENSIONS;
}

static bool handshake_client_is_upgrade(const struct handshake_seen *seen, const char *key)
{
    char accept[HANDSHAKE_ACCEPT_BYTES + 1];
    handshake_accept_key(accept, key);
    return seen->has_upgrade && seen->has_connection && seen->accept_count == 1 &&
           handshake_head_equal(seen->accept, accept);
}

/* One answer: the reader stands behind it then. */
static enum handshake_status handshake_client_read(struct handshake_reader *reader,
                                                   struct handshake_seen *seen, unsigned *code_out)
{
    struct handshake_slice version;
    enum handshake_status status = handshake_head_read_answer(reader, &version, code_out);
    if (status != HANDSHAKE_OK) {
        return status;
    }
    bool is_interim = *code_out >= 100 && *code_out < 200;
    if (!is_interim || !handshake_head_equal(version, "HTTP/1.1")) {
        return HANDSHAKE_BAD_REQUEST;
    }
    reader->field_count = 0;
    return handshake_head_read_fields(reader, seen);
}

enum handshake_status handshake_client_check(const uint8_t *bytes, size_t bytes_count,
                                             const char *key, const struct handshake_wish *wish,
                                             size_t *at_out)
{
    const struct handshake_protocol wished = {.name = wish->protocol};
    struct handshake_reader reader = handshake_head_begin(bytes, bytes_count);
    *at_out = 0;
    for (unsigned interim_count = 0; interim_count <= HANDSHAKE_INTERIM_MAX; interim_count++) {
        struct handshake_seen seen = {
            .known_protocols = &wished,
            .known_protocol_count = wish->protocol != NULL,
        };
        unsigned code;
        enum handshake_status status = handshake_client_read(&reader, &seen, &code);
        if (status != HANDSHAKE_OK) {
            return handshake_head_unless_too_long(status, bytes_count);
        }
        if (code == 101) {
            status = handshake_client_is_upgrade(&seen, key)
                         ? handshake_client_check_wish(&seen, wish)
                         : HANDSHAKE_BAD_KEY;
        }
        if (status != HANDSHAKE_OK) {
            return status;
        }
        *at_out = (size_t)(reader.at - (const char *)bytes);
        assert_always(*at_out > 0 && *at_out <= bytes_count);
        if (code == 101) {
            return HANDSHAKE_OK;
        }
    }
    return HANDSHAKE_TOO_LONG;
}

const char *handshake_client_text(enum handshake_status status)
{
    switch (status) {
    case HANDSHAKE_BAD_KEY:
        return "it lacks Upgrade: websocket, Connection: Upgrade or the right Sec-WebSocket-Accept";
    case HANDSHAKE_BAD_PROTOCOL:
        return "its subprotocol is not what was asked for";
    case HANDSHAKE_BAD_EXTENSIONS:
        return "its extensions, or their parameters, are not what was asked for";
    case HANDSHAKE_TOO_LONG:
        return "its head is too long";
    default:
        return "";
    }
}
