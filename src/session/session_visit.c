#include "src/session/session_visit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ring/core/core_conn.h"
#include "src/base/access_log.h"
#include "src/base/log.h"
#include "src/market/encoders.h"
#include "src/session/session_client.h"

/* From its request to its end, when the kernel may have forgotten where it came from. */
struct session_visit {
    struct peer peer; /* when has_peer */
    bool has_peer;
    char request[ACCESS_LOG_REQUEST_BYTES_MAX];
};

int session_visit_create(struct sessions *sessions)
{
    if (log_has_access()) {
        sessions->visits = calloc(sessions->slab_count, sizeof *sessions->visits);
    }
    return log_has_access() && sessions->visits == NULL ? -ENOMEM : 0;
}

void session_visit_destroy(struct sessions *sessions)
{
    free(sessions->visits);
}

void session_visit_on_head(void *context, struct core *core, uint32_t conn, const uint8_t *head,
                           size_t head_bytes)
{
    struct sessions *sessions = context;
    if (sessions->visits != NULL) {
        struct session_visit *visit = &sessions->visits[conn];
        assert_debug(!visit->has_peer);
        visit->peer = session_client_peer(core, conn);
        visit->has_peer = true;
        access_log_keep_request(visit->request, head, head_bytes);
    }
}

/* The client's own address where access control knows it, otherwise that of the connection. */
static void session_visit_address(const struct sessions *sessions, struct core *core, uint32_t conn,
                                  char text_out[IP_ADDRESS_TEXT_BYTES_MAX])
{
    const struct session_visit *visit = &sessions->visits[conn];
    bool has_client = sessions->clients != NULL && sessions->clients[conn].has_client;
    struct peer peer = has_client        ? sessions->clients[conn].client
                       : visit->has_peer ? visit->peer
                                         : session_client_peer(core, conn);
    if (peer.is_unix) {
        snprintf(text_out, IP_ADDRESS_TEXT_BYTES_MAX, "unix");
    } else {
        ip_address_format(&peer.address, text_out);
    }
}

void session_visit_on_answer(void *context, struct core *core, uint32_t conn, int status,
                             size_t bytes)
{
    struct sessions *sessions = context;
    char address[IP_ADDRESS_TEXT_BYTES_MAX];
    if (sessions->visits == NULL) {
        return;
    }
    session_visit_address(sessions, core, conn, address);
    struct access_log_entry entry = {
        .remote_addr = address,
        .request = sessions->visits[conn].request,
        .status = status,
        .bytes = (int64_t)bytes,
        .open_ns = ACCESS_LOG_UNKNOWN,
        .wall_ns = session_wall_ns(),
    };
    access_log_post(1 + core_index(core), &entry);
}

void session_visit_on_close(struct sessions *sessions, struct core *core, uint32_t conn,
                            const struct core_conn_end *end)
{
    char address[IP_ADDRESS_TEXT_BYTES_MAX];
    char id[SESSION_CLIENT_ID_BYTES_MAX];
    struct core_sent sent;
    if (sessions->visits == NULL) {
        return;
    }
    struct log_fields fields = session_client_fields(sessions, core, conn, id);
    session_visit_address(sessions, core, conn, address);
    bool is_known = core_conn_sent(core, conn, &sent);
    bool is_sbe = core_conn_encoding(core, conn) == CORE_ENCODING_SBE;
    struct access_log_entry entry = {
        .remote_addr = address,
        .user = fields.name,
        .request = sessions->visits[conn].request,
        .session = id,
        .encoding = is_sbe ? ENCODERS_SBE : ENCODERS_JSON,
        .status = 101,
        .close_code = end->close_code,
        .bytes = is_known ? (int64_t)sent.bytes : ACCESS_LOG_UNKNOWN,
        .open_ns = (int64_t)end->open_ns,
        .wall_ns = session_wall_ns(),
    };
    access_log_post(1 + core_index(core), &entry);
}

void session_visit_on_leave(struct sessions *sessions, uint32_t conn)
{
    if (sessions->visits != NULL) {
        sessions->visits[conn].has_peer = false;
        sessions->visits[conn].request[0] = '\0';
    }
}
