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
                         "%s%s%s%s\r\n",
                         path, host, key, has_protocol ? "Sec-WebSocket-Protocol: " : "",
                         has_protocol ? wish->protocol : "", has_protocol ? "\r\n" : "",
                         wish->deflate ? deflate : "");
    return bytes > 0 && (size_t)bytes < out_bytes ? (size_t)bytes : 0;
}

/* What a valid answer grants, against what was asked for. */
static enum handshake_status handshake_client_check_wish(const struct handshake_seen *seen,
                                                         const struct handshake_wish *wish)
{
    bool is_granted =
        seen->names_protocols ? seen->protocol != NULL : wish->protocol == NULL || wish->is_implied;
    if (!is_granted) {
        return HANDSHAKE_BAD_PROTOCOL;
    }
    bool deflates = !seen->extensions_are_bad && seen->offers.count == 1 &&
                    seen->offers.offers[0].server_no_takeover;
    return seen->has_extensions == wish->deflate && (deflates || !wish->deflate)
               ? HANDSHAKE_OK
               : HANDSHAKE_BAD_EXTENSIONS;
}

enum handshake_status handshake_client_check(const uint8_t *bytes, size_t bytes_count,
                                             const char *key, const struct handshake_wish *wish,
                                             size_t *head_bytes_out)
{
    if (bytes_count == 0) {
        return HANDSHAKE_NEED_MORE;
    }
    struct handshake_reader reader = handshake_head_begin(bytes, bytes_count);
    const struct handshake_protocol wished = {.name = wish->protocol};
    struct handshake_seen seen = {
        .known_protocols = &wished,
        .known_protocol_count = wish->protocol != NULL,
    };
    enum handshake_status status = handshake_head_read_answer(&reader);
    if (status == HANDSHAKE_OK) {
        status = handshake_head_read_fields(&reader, &seen);
    }
    if (status != HANDSHAKE_OK) {
        return handshake_head_unless_too_long(status, bytes_count);
    }
    char accept[HANDSHAKE_ACCEPT_BYTES + 1];
    handshake_accept_key(accept, key);
    if (!seen.has_upgrade || !seen.has_connection || seen.accept_count != 1 ||
        !handshake_head_equal(seen.accept, accept)) {
        return HANDSHAKE_BAD_REQUEST;
    }
    status = handshake_client_check_wish(&seen, wish);
    if (status != HANDSHAKE_OK) {
        return status;
    }
    *head_bytes_out = (size_t)(reader.at - (const char *)bytes);
    assert_always(*head_bytes_out > 0 && *head_bytes_out <= bytes_count);
    return HANDSHAKE_OK;
}
