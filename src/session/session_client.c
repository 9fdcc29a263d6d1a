#include "src/session/session_client.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "codec/decimal.h"

#define SESSION_AUDIT_BYTES_MAX 400

/* Lines of the audit log, of one core: a flood must not bury what else there is to read. */
static const struct rate session_audit_rate = {.interval_ns = 100 * NS_PER_MS, .burst = 50};

const struct scope *session_client_scope(const struct sessions *sessions, uint32_t conn)
{
    assert_debug(conn < sessions->slab_count);
    const struct session_client *entry =
        sessions->clients == NULL ? NULL : &sessions->clients[conn];
    if (entry != NULL && entry->awaits_token) {
        return &scope_of_none;
    }
    return entry != NULL && entry->grant.scope != NULL ? entry->grant.scope : &scope_of_all;
}

bool session_client_may_see(struct session_call *call, const struct session_name *name)
{
    const struct scope *scope = session_client_scope(call->sessions, call->conn);
    session_call_spend(call, scope->pattern_count / SESSION_PATTERNS_PER_UNIT);
    return scope_covers(scope, name->text, name->bytes, name->type);
}

struct peer session_client_peer_of(const struct core_source *source)
{
    return (struct peer){.is_unix = source->is_unix, .address = source->address};
}

struct peer session_client_peer(struct core *core, uint32_t conn)
{
    struct core_source source;
    core_conn_source(core, conn, &source);
    return session_client_peer_of(&source);
}

bool session_client_is_same(const struct peer *left, const struct peer *right)
{
    return left->is_unix == right->is_unix &&
           (left->is_unix || ip_address_equal(&left->address, &right->address));
}

void session_client_write(const struct sessions *sessions, struct core *core, uint32_t conn,
                          char *out, size_t out_bytes)
{
    const struct session_client *entry =
        sessions->clients == NULL ? NULL : &sessions->clients[conn];
    char peer[CORE_PEER_TEXT_BYTES_MAX];
    char client[IP_ADDRESS_TEXT_BYTES_MAX];
    struct core_source source;
    core_conn_peer(core, conn, peer);
    core_conn_source(core, conn, &source);
    struct peer nearest = session_client_peer_of(&source);
    if (entry == NULL || !entry->has_client || session_client_is_same(&nearest, &entry->client)) {
        snprintf(out, out_bytes, "%s", peer);
        return;
    }
    ip_address_format(&entry->client.address, client);
    bool is_known = source.is_unix || source.port != 0; /* After a reset the kernel forgets it. */
    snprintf(out, out_bytes, "%s%s%s", client, is_known ? " through " : "", is_known ? peer : "");
}

void session_client_id(struct sessions *sessions, const struct core *core, uint32_t conn,
                       char text_out[SESSION_CLIENT_ID_BYTES_MAX])
{
    static_assert(SESSION_CLIENT_ID_BYTES_MAX >= DECIMAL_U64_BYTES_MAX + 12, "");
    uint64_t number = session_of(sessions, conn)->number;
    size_t bytes = 0;
    if (number != 0) {
        bytes = decimal_format_u64(text_out, core_index(core));
        text_out[bytes++] = '-';
        bytes += decimal_format_u64(text_out + bytes, number);
    }
    text_out[bytes] = '\0';
}

struct log_fields session_client_fields(struct sessions *sessions, const struct core *core,
                                        uint32_t conn, char id[SESSION_CLIENT_ID_BYTES_MAX])
{
    session_client_id(sessions, core, conn, id);
    return (struct log_fields){
        .client = id,
        .name = sessions->clients == NULL ? NULL : sessions->clients[conn].grant.name,
    };
}

/* word: FAILED, DENIED, BLOCKED, GRANTED. What others chose must have been cleaned. */
__attribute__((format(printf, 6, 7))) void session_client_audit(struct sessions *sessions,
                                                                struct core *core, uint32_t conn,
                                                                uint64_t now_ns, const char *word,
                                                                const char *format, ...)
{
    char client[2 * CORE_PEER_TEXT_BYTES_MAX];
    char what[200];
    char line[SESSION_AUDIT_BYTES_MAX];
    char id[SESSION_CLIENT_ID_BYTES_MAX];
    char skipped[64] = "";
    if (rate_take(&session_audit_rate, &sessions->audit_full_ns, now_ns) > 0) {
        sessions->audit_skipped++;
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    session_client_write(sessions, core, conn, client, sizeof client);
    if (sessions->audit_skipped > 0) {
        snprintf(skipped, sizeof skipped, " (%" PRIu32 " lines before this one were left out)",
                 sessions->audit_skipped);
        sessions->audit_skipped = 0;
    }
    snprintf(line, sizeof line, "%s: %s%s", client, what, skipped);
    struct log_fields fields = session_client_fields(sessions, core, conn, id);
    log_post_audit(1 + core_index(core), word, &fields, line);
}

void session_client_audit_scope(struct session_call *call, uint32_t count)
{
    if (count > 0) {
        assert_always(call->sessions->clients != NULL);
        session_client_audit(call->sessions, call->core, call->conn, call->now_ns, "DENIED",
                             "%" PRIu32 " subscriptions outside the scope of %s", count,
                             call->sessions->clients[call->conn].grant.name);
    }
}
