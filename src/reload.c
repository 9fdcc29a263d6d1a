#include "src/reload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "src/access/access.h"
#include "src/access/publish_access.h"
#include "src/admin/metrics.h"
#include "src/base/log.h"
#include "src/base/log_crowd.h"
#include "src/command/command.h"
#include "src/market/staleness.h"
#include "src/record/record.h"
#include "src/reload_changes.h"
#include "src/session/session_policy.h"
#include "src/tls/tls_server.h"

enum reload_stage {
    RELOAD_RESTS,
    RELOAD_POSTS,  /* Not every core's box has had room yet. */
    RELOAD_AWAITS, /* Cores and the publisher take it over. */
};

/* One that was asked for. */
struct reload_call {
    struct command command;
    struct reload *reload;
    int error; /* 0, or -EINVAL: it is refused */
    json_t *answer;
};

struct reload {
    struct server *server;
    uint32_t connections_most; /* what slabs were made for */
    struct options taken;      /* whose texts server->options borrows; at first it has none */
    struct reload_call on_signal;
    bool is_submitted; /* on_signal */
    bool comes_again;  /* A signal came while on_signal was in progress. */

    /* Of the one that is in progress. */
    enum reload_stage stage;
    uint64_t began_ns;
    struct options fresh;
    struct options merged; /* what is to run: fresh where it is live */
    struct access *access;
    struct tls_loaded tls; /* no context: no TLS */
    struct reload_changes changes;
    struct core_mail mails[COUNTERS_CORES_MAX];
    struct session_policy policies[COUNTERS_CORES_MAX];
};

/* ---- What is read ---- */

/* A pipe was read to its end at the start, and a FIFO would keep main waiting for its writer. */
static int reload_check_file(const char *option, const char *path, char *error_out,
                             size_t error_bytes)
{
    struct stat status;
    if (path == NULL || stat(path, &status) < 0 || S_ISREG(status.st_mode)) {
        return 0; /* What is not there is reported by those who read it. */
    }
    snprintf(error_out, error_bytes,
             "--%s: %.200s is not a regular file: what it held at the start cannot be read again; "
             "give a regular file, and restart the server",
             option, path);
    return -EINVAL;
}

static int reload_check_files(const struct options *options, char *error_out, size_t error_bytes)
{
    const struct access_options *access = &options->access;
    const char *const paths[SECRETS_FILES] = {access->auth_token_file, access->tokens_file,
                                              access->jwt_key_file, access->jwt_secret_file};
    int error = 0;
    for (uint32_t i = 0; i < SECRETS_FILES && error == 0; i++) {
        error = reload_check_file(secrets_files[i], paths[i], error_out, error_bytes);
    }
    return error;
}

/* Nothing without TLS, and when it is to be switched on or off. */
static int reload_read_tls(struct reload *reload, char *error_out)
{
    struct tls_server *tls = reload->server->tls;
    assert_always(reload->tls.context == NULL);
    return tls == NULL || !options_has_tls(&reload->fresh)
               ? 0
               : tls_server_renew(tls, &reload->fresh.tls, &reload->tls, error_out);
}

/* reload->fresh, reload->access and reload->tls, or none of them. */
static int reload_read(struct reload *reload, char *error_out, size_t error_bytes)
{
    struct server *server = reload->server;
    char text[OPTIONS_ERROR_BYTES_MAX] = "";
    int error = reload_check_file("config", server->options.config_path, error_out, error_bytes);
    if (error < 0) {
        return error;
    }
    error = options_parse(&reload->fresh, server->input, text);
    if (error < 0) {
        snprintf(error_out, error_bytes, "%s", text);
        return error;
    }
    error = reload_check_files(&reload->fresh, text, sizeof text);
    if (error == 0) {
        error = access_renew(&reload->access, server->access, &reload->fresh.access, &server->key,
                             text, sizeof text);
    }
    if (error == 0) {
        error = reload_read_tls(reload, text);
        if (error < 0) {
            access_destroy(reload->access);
            reload->access = NULL;
        }
    }
    if (error < 0) {
        options_locate(&reload->fresh, text, error_out, error_bytes);
        options_deinit(&reload->fresh);
    }
    return error;
}

/* ---- What main's parts take over ---- */

void server_apply(struct server *server, const struct options *old)
{
    const struct options *now = &server->options;
    if (now->log_level != old->log_level) { /* Otherwise it may have been set by POST. */
        log_set_level((enum log_level)now->log_level);
    }
    log_crowd_set_when((enum log_crowd_when)now->log_connections);
    atomic_store(&server->watchdog.options.limit_ns, now->watchdog_seconds * NS_PER_SECOND);
    metrics_set_limits(server->metrics, now->connections_max, now->ready_stale_percent);
    staleness_set_after(server->staleness, now->stale_after_ns);
    if (server->record != NULL) {
        record_set_limits(server->record, now->record_file_bytes, now->record_file_ns);
    }
}

/* ---- The steps ---- */

static int reload_refuse(struct reload_call *call, const char *text)
{
    double seconds =
        (double)(clock_ns(CLOCK_MONOTONIC) - call->reload->began_ns) / (double)NS_PER_SECOND;
    log_write(LOG_LEVEL_ERROR, "reload refused, nothing is changed: %s", text);
    call->error = -EINVAL;
    json_t *words = json_string(text);
    if (words == NULL) { /* A path, say, is no UTF-8. */
        words = json_string("refused; the log says why");
    }
    call->answer = json_pack("{s:b, s:o, s:[], s:i, s:[], s:f}", "ok", 0, "error", words, "applied",
                             "unchanged", 0, "needs_restart", "seconds", seconds);
    return -EINVAL;
}

static void reload_prepare_mails(struct reload *reload)
{
    const struct options *options = &reload->merged;
    assert_always(reload->access != NULL);
    assert_always(options->connections_max <= reload->connections_most);
    for (uint32_t i = 0; i < reload->server->core_count; i++) {
        reload->policies[i] = (struct session_policy){
            .sessions = reload->server->sessions[i],
            .access = reload->access,
            .subscription_count_max = options->subscriptions_max,
            .limits = {.conn_count_max = options->connections_max,
                       .heartbeat_interval_ns = options->heartbeat_interval_ns,
                       .idle_timeout_ns = options->idle_timeout_ns,
                       .max_lag_ns = options->lag_ms_max * NS_PER_MS},
        };
        reload->mails[i] = (struct core_mail){
            .work = session_policy_take, .context = &reload->policies[i], .is_timed = true};
    }
}

/* All that can fail. */
static int reload_begin(struct reload *reload, struct reload_call *call)
{
    char text[OPTIONS_ERROR_BYTES_MAX] = "";
    reload->began_ns = clock_ns(CLOCK_MONOTONIC);
    assert_always(reload->access == NULL);
    if (reload_read(reload, text, sizeof text) < 0) {
        return reload_refuse(call, text);
    }
    reload->merged = reload->server->options;
    struct reload_compared compared = {
        .running = &reload->server->options,
        .fresh = &reload->fresh,
        .merged = &reload->merged,
        .connections_most = reload->connections_most,
        .running_files = access_file_digests(reload->server->access),
        .fresh_files = access_file_digests(reload->access),
    };
    if (reload->tls.context != NULL) {
        compared.running_tls = tls_server_loaded(reload->server->tls)->digests;
        compared.fresh_tls = reload->tls.digests;
    }
    if (reload_changes_find(&reload->changes, &compared) < 0) {
        access_destroy(reload->access);
        reload->access = NULL;
        tls_loaded_drop(&reload->tls);
        options_deinit(&reload->fresh);
        return reload_refuse(call, "no memory");
    }
    reload_prepare_mails(reload);
    publish_access_offer(reload->server->publish_access, reload->access);
    reload->stage = RELOAD_POSTS;
    return 0;
}

/* All have the new policy. */
static void reload_end(struct reload *reload, struct reload_call *call)
{
    struct server *server = reload->server;
    struct options before = server->options;
    assert_always(reload->stage == RELOAD_AWAITS);
    access_destroy(server->access);
    server->access = reload->access;
    reload->access = NULL;
    if (reload_changes_switch_tls(&before, &reload->fresh)) {
        options_keep(&reload->fresh, &reload->taken); /* The options of TLS stay as they were. */
    }
    reload_changes_apply(&server->options, &reload->merged);
    server_apply(server, &before);
    server_take_tls(server, &reload->tls);
    options_deinit(&reload->taken); /* Nothing borrows from it any more. */
    reload->taken = reload->fresh;
    reload->fresh = (struct options){.kept = NULL};
    for (uint32_t i = 0; i < reload->taken.warning_count; i++) {
        log_write(LOG_LEVEL_WARNING, "%s", reload->taken.warnings[i]);
    }
    call->error = 0;
    call->answer = reload_changes_report(&reload->changes,
                                         (double)(clock_ns(CLOCK_MONOTONIC) - reload->began_ns) /
                                             (double)NS_PER_SECOND);
    reload->stage = RELOAD_RESTS;
}

static bool reload_step(void *context, struct commands *commands, uint64_t now_ns)
{
    struct reload_call *call = context;
    struct reload *reload = call->reload;
    (void)now_ns;
    assert_always(reload->stage == RELOAD_RESTS || reload->access != NULL);
    if (reload->stage == RELOAD_RESTS) {
        server_notify_reload(reload->server);
        if (reload_begin(reload, call) < 0) {
            server_notify_reloaded(reload->server, call->error);
            return true;
        }
    }
    if (reload->stage == RELOAD_POSTS && commands_post(commands, reload->mails)) {
        reload->stage = RELOAD_AWAITS;
    }
    if (reload->stage != RELOAD_AWAITS || !commands_are_done(commands, reload->mails) ||
        !publish_access_has_taken(reload->server->publish_access, reload->access)) {
        return false;
    }
    reload_end(reload, call);
    server_notify_reloaded(reload->server, call->error);
    return true;
}

/* ---- Who asks ---- */

static struct reload_call reload_call_of(struct reload *reload)
{
    return (struct reload_call){.command = {.step = reload_step}, .reload = reload};
}

static void reload_drop(void *context)
{
    struct reload_call *call = context;
    json_decref(call->answer);
    free(call);
}

int reload_run(void *context, json_t **answer_out)
{
    struct server *server = context;
    struct reload_call *call = malloc(sizeof *call);
    assert_always(server->reload != NULL);
    *answer_out = NULL;
    if (call == NULL) {
        return -ENOMEM;
    }
    *call = reload_call_of(server->reload);
    call->command.context = call;
    call->command.drop = reload_drop;
    int error = commands_call(server->commands, &call->command);
    if (error < 0) {
        return error; /* The call is dropped. */
    }
    error = call->error;
    *answer_out = json_incref(call->answer);
    reload_drop(call);
    return error;
}

static void reload_submit(struct server *server)
{
    struct reload *reload = server->reload;
    assert_always(!reload->is_submitted);
    reload->on_signal = reload_call_of(reload);
    reload->on_signal.command.context = &reload->on_signal;
    reload->is_submitted = true;
    reload->comes_again = false;
    commands_submit(server->commands, &reload->on_signal.command);
    server->has_commands = true;
}

void reload_on_signal(struct server *server)
{
    struct reload *reload = server->reload;
    assert_always(reload != NULL); /* main reads signals when all is made. */
    if (!reload->is_submitted) {
        reload_submit(server);
    } else if (reload->on_signal.command.has_begun) { /* Otherwise it reads what is there then. */
        reload->comes_again = true;
    }
}

void reload_go_on(struct server *server)
{
    struct reload *reload = server->reload;
    if (reload == NULL || !reload->is_submitted || !reload->on_signal.command.is_done) {
        return;
    }
    json_decref(reload->on_signal.answer);
    reload->on_signal.answer = NULL;
    reload->is_submitted = false;
    if (reload->comes_again) {
        reload_submit(server);
    }
}

/* ---- Its life ---- */

int reload_create(struct server *server)
{
    struct reload *reload = calloc(1, sizeof *reload);
    assert_always(server->core_count > 0);
    if (reload == NULL) {
        return server_fail(-ENOMEM, "cannot prepare reloads", "free some memory");
    }
    reload->server = server;
    reload->connections_most = server->options.connections_max;
    server->reload = reload;
    return 0;
}

void reload_destroy(struct reload *reload)
{
    if (reload == NULL) {
        return;
    }
    if (reload->access != NULL) { /* The server ends in the middle of one. */
        access_destroy(reload->access);
        reload_changes_drop(&reload->changes);
    }
    tls_loaded_drop(&reload->tls);
    json_decref(reload->on_signal.answer);
    options_deinit(&reload->fresh);
    options_deinit(&reload->taken);
    free(reload);
}
