#include "src/session/session_url.h"

#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "src/request/request_url.h"
#include "src/session/session_client.h"

struct session_url {
    size_t bytes;
    char text[];
};

bool session_url_keep(struct sessions *sessions, uint32_t conn, struct handshake_slice rest)
{
    struct session_url *url = malloc(sizeof *url + rest.bytes);
    assert_always(sessions->urls[conn] == NULL);
    assert_always(rest.bytes <= HANDSHAKE_TARGET_BYTES_MAX);
    if (url != NULL) {
        url->bytes = rest.bytes;
        memcpy(url->text, rest.text, rest.bytes);
        sessions->urls[conn] = url;
    }
    return url != NULL;
}

void session_url_drop(struct sessions *sessions, uint32_t conn)
{
    if (sessions->urls[conn] != NULL) {
        free(sessions->urls[conn]);
        sessions->urls[conn] = NULL;
    }
}

bool session_url_is_due(const struct sessions *sessions, uint32_t conn)
{
    return sessions->urls[conn] != NULL &&
           (sessions->clients == NULL || !sessions->clients[conn].awaits_token);
}

size_t session_url_take(struct sessions *sessions, uint32_t conn, struct request *request,
                        struct request_error *error)
{
    const struct session_url *url = sessions->urls[conn];
    assert_always(url != NULL);
    size_t bytes = url->bytes;
    request_url_parse(request, url->text, bytes, error);
    session_url_drop(sessions, conn);
    return bytes;
}
