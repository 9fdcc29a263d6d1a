#include "src/session/session_visit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ring/core/core_conn.h"
#include "ring/tls_service.h"
#include "src/access/certificate_name.h"
#include "src/base/access_log.h"
#include "src/base/log.h"
#include "src/market/encoders.h"
#include "src/session/session_client.h"

/* From its request to its end, when the kernel may have forgotten where it came from. */
struct session_visit {
    struct peer peer; /* when has_peer */
    bool has_peer;
    const char *tls, *cipher; /* NULL: none */
    char server_name[ACCESS_LOG_NAME_BYTES_MAX];
    char certificate[ACCESS_LOG_NAME_BYTES_MAX];
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

static void session_visit_keep_tls(struct session_visit *visit, struct core *core, uint32_t conn)
{
    struct core_conn_tls tls;
    if (core_conn_tls(core, conn, &tls)) {
        visit->tls = tls.version;
        visit->cipher = tls.cipher;
        certificate_name_cut(visit->server_name, sizeof visit->server_name,
                             tls.peer == NULL ? "" : tls.peer->server_name);
    }
}

void session_visit_certificate(struct sessions *sessions, uint32_t conn, const char *name)
{
    if (sessions->visits != NULL && name != NULL) {
        struct session_visit *visit = &sessions->visits[conn];
        certificate_name_cut(visit->certificate, sizeof visit->certificate, name);
    }
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
        session_visit_keep_tls(visit, core, conn);
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

/* What a line about a refusal and one about a connection have in common. */
static struct access_log_entry session_visit_entry(const struct session_visit *visit,
                                                   const char *address)
{
    return (struct access_log_entry){
        .remote_addr = address,
        .request = visit->request,
        .tls = visit->tls,
        .cipher = visit->cipher,
        .server_name = visit->server_name,
        .certificate = visit->certificate,
        .wall_ns = session_wall_ns(),
    };
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
    struct access_log_entry entry = session_visit_entry(&sessions->visits[conn], address);
    entry.status = status;
    entry.bytes = (int64_t)bytes;
    entry.open_ns = ACCESS_LOG_UNKNOWN;
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
    struct access_log_entry entry = session_visit_entry(&sessions->visits[conn], address);
    entry.user = fields.name;
    entry.session = id;
    entry.encoding = is_sbe ? ENCODERS_SBE : ENCODERS_JSON;
    entry.status = 101;
    entry.close_code = end->close_code;
    entry.bytes = is_known ? (int64_t)sent.bytes : ACCESS_LOG_UNKNOWN;
    entry.open_ns = (int64_t)end->open_ns;
    access_log_post(1 + core_index(core), &entry);
}

void session_visit_on_leave(struct sessions *sessions, uint32_t conn)
{
    if (sessions->visits != NULL) {
        struct session_visit *visit = &sessions->visits[conn];
        visit->has_peer = false;
        visit->tls = NULL;
        visit->cipher = NULL;
        visit->server_name[0] = '\0';
        visit->certificate[0] = '\0';
        visit->request[0] = '\0';
    }
}
