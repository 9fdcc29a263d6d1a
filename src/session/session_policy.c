#include "src/session/session_policy.h"

#include "src/session/session_access.h"
#include "src/session/session_client.h"
#include "src/session/session_jobs.h"
#include "src/session/session_url.h"
#include "src/session/session_welcome.h"

/* See core_spend(). What is sent costs more than its words: the send of the turn, in the kernel. */
#define SESSION_POLICY_UNITS 12         /* a client that is judged */
#define SESSION_POLICY_ADDRESS_UNITS 40 /* whose address is asked for */
#define SESSION_POLICY_CLOSE_UNITS 2000
#define SESSION_POLICY_NOTICE_UNITS 600

/* Ends a client that the policy has no room for. */
static void session_policy_close(struct sessions *sessions, struct core *core, uint32_t conn,
                                 uint16_t code, const char *reason)
{
    struct session_client *entry = &sessions->clients[conn];
    core_spend(core, SESSION_POLICY_CLOSE_UNITS);
    counter_add(&sessions->options.counters->closed_token, 1);
    char name[sizeof entry->grant.name];
    memcpy(name, entry->grant.name, sizeof name);
    access_drop_grant(&entry->grant);
    memcpy(entry->grant.name, name, sizeof name); /* The logs name the client that ends. */
    entry->awaits_token = true; /* Whatever is still in progress may see nothing. */
    entry->has_client = true;
    entry->ends_ns = 0;
    core_close(core, conn, code, reason);
}

/* ---- Addresses ---- */

/* false: it had to be closed. */
static bool session_policy_judge_address(struct sessions *sessions, struct core *core,
                                         uint32_t conn, uint64_t now_ns)
{
    struct session_client *entry = &sessions->clients[conn];
    struct access *access = sessions->options.access;
    if (!access_asks_address(access)) {
        return true;
    }
    struct peer client = entry->client;
    if (!entry->has_client) {
        core_spend(core, SESSION_POLICY_ADDRESS_UNITS);
        client = session_client_peer(core, conn);
    }
    if (access_needs_token(access) || access_message_rate(access, &client).interval_ns != 0) {
        entry->client = client;
        entry->has_client = true;
    }
    if (entry->entry_plus_1 == 0) { /* RATE_NONE becomes 0. */
        entry->entry_plus_1 = access_hold(access, &client, now_ns) + 1;
    }
    if (!access_may_stay(access, &client)) {
        session_client_audit(sessions, core, conn, now_ns, "DENIED",
                             "this address is no longer allowed (close 4003)");
        entry->client = client;
        session_policy_close(sessions, core, conn, 4003, "policy;cause=address");
        return false;
    }
    return true;
}

/* ---- Tokens ---- */

/* No token is needed any more. */
static void session_policy_open(struct sessions *sessions, struct core *core, uint32_t conn,
                                uint64_t now_ns)
{
    struct session_client *entry = &sessions->clients[conn];
    if (!entry->has_client) {
        return;
    }
    entry->awaits_token = false;
    entry->was_warned = false;
    entry->ends_ns = 0;
    if (session_url_is_due(sessions, conn) && !core_is_held(core, conn)) {
        session_jobs_answer_url(sessions, core, conn, now_ns);
    }
}

static void session_policy_judge_token(struct sessions *sessions, struct core *core, uint32_t conn,
                                       uint64_t now_ns)
{
    struct session_client *entry = &sessions->clients[conn];
    char name[TOKEN_NAME_BYTES_MAX + 1];
    bool is_token = access_grant_certificate(&entry->grant) == NULL;
    memcpy(name, entry->grant.name, sizeof name);
    switch (access_judge(sessions->options.access, &entry->grant)) {
    case ACCESS_KEPT:
        if (!access_needs_token(sessions->options.access)) {
            session_policy_open(sessions, core, conn, now_ns);
        }
        break;
    case ACCESS_OTHER:
        core_spend(core, SESSION_POLICY_NOTICE_UNITS);
        session_jobs_shrink(sessions, core, conn, now_ns);
        break;
    case ACCESS_REVOKED:
        memcpy(entry->grant.name, name, sizeof name);
        session_client_audit(sessions, core, conn, now_ns, "FAILED",
                             "authentication failed: the %s of %s was revoked (close 4001)",
                             is_token ? "token" : "certificate", name);
        session_policy_close(sessions, core, conn, 4001, "auth;cause=revoked");
        break;
    case ACCESS_MISSING:
        if (!entry->awaits_token) {
            core_spend(core, 2 * SESSION_POLICY_NOTICE_UNITS);
            session_access_ask_token(sessions, core, conn, now_ns);
            session_jobs_shrink(sessions, core, conn, now_ns);
        }
        break;
    }
}

/* ---- All clients ---- */

static void session_policy_judge(struct sessions *sessions, struct core *core, uint32_t conn,
                                 uint64_t now_ns)
{
    core_spend(core, SESSION_POLICY_UNITS);
    session_jobs_judge(sessions, conn);
    if (session_policy_judge_address(sessions, core, conn, now_ns)) {
        session_policy_judge_token(sessions, core, conn, now_ns);
    }
}

/* Of a connection that is not open yet, or ends already, only what the policy before granted must
 * change now. */
static void session_policy_judge_grant(struct sessions *sessions, uint32_t conn)
{
    struct session_client *entry = &sessions->clients[conn];
    if (entry->kept != NULL) {
        entry->kept->key_next = 0; /* The keys are others. */
    }
    if (entry->grant.scope != NULL) {
        (void)access_judge(sessions->options.access, &entry->grant);
    }
}

void session_policy_on_open(struct sessions *sessions, struct core *core, uint32_t conn,
                            uint64_t now_ns)
{
    if (sessions->has_other_policy) {
        session_policy_judge(sessions, core, conn, now_ns);
    }
}

static void session_policy_begin(struct session_policy *policy, struct core *core)
{
    struct sessions *sessions = policy->sessions;
    struct session_options *options = &sessions->options;
    assert_always(policy->access != NULL);
    assert_always(sessions->clients != NULL);
    policy->has_begun = true;
    policy->hastens_pings = policy->limits.heartbeat_interval_ns < options->heartbeat_interval_ns;
    options->access = policy->access;
    options->subscription_count_max = policy->subscription_count_max;
    options->heartbeat_interval_ns = policy->limits.heartbeat_interval_ns;
    options->idle_timeout_ns = policy->limits.idle_timeout_ns;
    sessions->has_other_policy = true;
    access_desk_follow(&sessions->desk, policy->access);
    core_set_limits(core, &policy->limits);
    session_welcome_prepare(sessions);
}

bool session_policy_take(void *context, struct core *core, uint64_t now_ns)
{
    struct session_policy *policy = context;
    struct sessions *sessions = policy->sessions;
    if (!policy->has_begun) {
        session_policy_begin(policy, core);
    }
    for (; policy->next < sessions->slab_count; policy->next++) {
        if (core_slice_is_over(core)) {
            return false;
        }
        core_spend(core, 1);
        if (session_of(sessions, policy->next)->number == 0 || !core_is_open(core, policy->next)) {
            session_policy_judge_grant(sessions, policy->next);
            continue;
        }
        session_policy_judge(sessions, core, policy->next, now_ns);
        if (policy->hastens_pings) {
            core_hasten_ping(core, policy->next);
        }
    }
    return true;
}
