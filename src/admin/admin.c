#include "src/admin/admin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "codec/base/version.h"
#include "codec/handshake.h"
#include "codec/ip_address.h"
#include "codec/sbe_schema.h"
#include "ring/board/counters_threads.h"
#include "src/access/access.h"
#include "src/access/rate_limit.h"
#include "src/admin/admin_connections.h"
#include "src/admin/admin_pages.h"
#include "src/admin/admin_stale.h"
#include "src/admin/admin_symbols.h"
#include "src/admin/prometheus.h"
#include "src/admin/stats.h"
#include "src/base/log.h"

#define ADMIN_MAIN_WAITS 30
#define ADMIN_MAIN_WAIT_US 10000

struct admin {
    struct MHD_Daemon *daemons[ADMIN_ADDRESSES_MAX];
    struct admin_connections connections[ADMIN_ADDRESSES_MAX]; /* by daemon */
    uint32_t daemon_count;
    pthread_mutex_t turn; /* one request of all daemons at a time */
    struct metrics *metrics;
    const struct symbols *symbols;
    const struct token_table *tokens; /* one, or none */
    struct counters_thread *thread;
    counter *turns;
    uint64_t audit_full_ns; /* see rate_take() */
};

/* A page: what to send, or body NULL when there was no memory for it. */
struct admin_page {
    struct MHD_Connection *connection;
    unsigned int status;
    const char *content_type;
    const char *cache_control;
    char *policy; /* of a page for browsers, malloc; NULL: it is none */
    char *body;   /* malloc */
    size_t body_bytes;
};

/* ---- Pages ---- */

static void admin_page_json(struct admin_page *page, unsigned int status, json_t *json)
{
    page->status = status;
    page->content_type = "application/json";
    page->body = json == NULL ? NULL : json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(12));
    page->body_bytes = page->body == NULL ? 0 : strlen(page->body);
    json_decref(json);
}

/* [{"thread":"core-1","seconds":5.2}]; NULL: nobody is stalled. */
static json_t *admin_stalled(const struct watchdog *watchdog)
{
    /* After the whole process was stopped, main needs a moment to look again. */
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    for (int i = 0; i < ADMIN_MAIN_WAITS && watchdog_main_stalled_ns(watchdog, now_ns) > 0; i++) {
        usleep(ADMIN_MAIN_WAIT_US);
        now_ns = clock_ns(CLOCK_MONOTONIC);
    }
    json_t *stalled = json_array();
    const struct counters *counters = watchdog->options.counters;
    for (uint32_t i = 0; i < counters_threads_count(counters); i++) {
        const char *name = counters_threads_get(counters, i)->name;
        uint64_t stalled_ns = watchdog_stalled_ns(watchdog, i, now_ns);
        if (stalled_ns > 0) {
            json_array_append_new(stalled,
                                  json_pack("{s:s, s:o}", "thread", name, "seconds",
                                            json_real((double)stalled_ns / (double)NS_PER_SECOND)));
        }
    }
    if (json_array_size(stalled) == 0) {
        json_decref(stalled);
        return NULL;
    }
    return stalled;
}

static void admin_page_health(struct admin *admin, struct admin_page *page)
{
    const struct metrics_options *source = metrics_options(admin->metrics);
    json_t *stalled = admin_stalled(source->watchdog);
    const char *status = stalled == NULL ? "ok" : "stalled";
    admin_page_json(
        page, stalled == NULL ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
        json_pack("{s:s, s:s, s:s, s:f, s:I, s:o*}", "status", status, "version", RINGCAST_VERSION,
                  "epoch", source->epoch, "uptime_seconds", metrics_uptime_seconds(admin->metrics),
                  "active_connections",
                  (json_int_t)metrics_sum(source->counters,
                                          offsetof(struct core_counters, conns_streaming)),
                  "stalled", stalled));
}

static void admin_page_ready(struct admin *admin, struct admin_page *page)
{
    const struct metrics_options *source = metrics_options(admin->metrics);
    enum metrics_state state = metrics_state(admin->metrics);
    json_t *stalled = admin_stalled(source->watchdog);
    bool is_stale = admin_stale_is_too_much(source);
    bool ready = state == METRICS_READY && stalled == NULL && !is_stale;
    const char *status = metrics_state_name(state);
    if (state == METRICS_READY && !ready) {
        status = stalled != NULL ? "stalled" : "stale";
    }
    admin_page_json(page, ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
                    json_pack("{s:b, s:s, s:o*, s:o*}", "ready", ready, "status", status, "stalled",
                              stalled, "staleness", is_stale ? admin_stale_json(source) : NULL));
}

static void admin_page_stats(struct admin *admin, struct admin_page *page)
{
    admin_page_json(page, MHD_HTTP_OK, stats_json(admin->metrics));
}

/* /metrics?aliases=no leaves out the names that are kept for old alert rules. */
static void admin_page_metrics(struct admin *admin, struct admin_page *page)
{
    const char *aliases =
        MHD_lookup_connection_value(page->connection, MHD_GET_ARGUMENT_KIND, "aliases");
    bool with_aliases = aliases == NULL || strcmp(aliases, "no") != 0;
    page->status = MHD_HTTP_OK;
    page->content_type = "text/plain; version=0.0.4; charset=utf-8";
    page->body = prometheus_write(admin->metrics, with_aliases, &page->body_bytes);
}

static void admin_page_symbols(struct admin *admin, struct admin_page *page)
{
    char error[ADMIN_SYMBOLS_ERROR_BYTES_MAX];
    page->status = MHD_HTTP_OK;
    page->content_type = "application/json";
    page->body = admin_symbols_write(admin->symbols, page->connection, &page->body_bytes, error);
    if (page->body == NULL && error[0] != '\0') {
        admin_page_json(page, MHD_HTTP_BAD_REQUEST, json_pack("{s:s}", "error", error));
    }
}

static void admin_page_schema(struct admin *admin, struct admin_page *page)
{
    (void)admin;
    const char *text = sbe_schema_text(&page->body_bytes);
    page->status = MHD_HTTP_OK;
    page->content_type = SBE_SCHEMA_CONTENT_TYPE;
    page->cache_control = "max-age=3600";
    page->body = malloc(page->body_bytes);
    if (page->body != NULL) {
        memcpy(page->body, text, page->body_bytes);
    }
}

static void admin_page_play(struct admin *admin, struct admin_page *page)
{
    (void)admin;
    struct admin_pages_file file = admin_pages_play();
    page->status = MHD_HTTP_OK;
    page->content_type = "text/html; charset=utf-8";
    page->policy = admin_pages_policy(&file);
    page->body_bytes = file.bytes;
    page->body = page->policy == NULL ? NULL : malloc(file.bytes);
    if (page->body != NULL) {
        memcpy(page->body, file.text, file.bytes);
    }
}

static void admin_page_index(struct admin *admin, struct admin_page *page);

static const struct admin_route {
    struct admin_pages_path shown;
    void (*write)(struct admin *admin, struct admin_page *page);
} admin_routes[] = {
    {{"/", "this list"}, admin_page_index},
    {{"/play", "a page to subscribe, watch ticks and copy messages"}, admin_page_play},
    {{"/symbols", "the symbols that clients can subscribe to, as JSON"}, admin_page_symbols},
    {{"/stats", "numbers of this server, as JSON"}, admin_page_stats},
    {{"/metrics", "numbers for Prometheus"}, admin_page_metrics},
    {{"/health", "200 while the process runs, 503 while a thread is stalled"}, admin_page_health},
    {{"/livez", "the same as /health"}, admin_page_health},
    {{"/ready", "200 while the server accepts clients, otherwise 503"}, admin_page_ready},
    {{"/readyz", "the same as /ready"}, admin_page_ready},
    {{SBE_SCHEMA_PATH, "the schema of the binary encoding, md.sbe.v1"}, admin_page_schema},
};
#define ADMIN_ROUTE_COUNT (sizeof admin_routes / sizeof admin_routes[0])

static const struct admin_route *admin_find_route(const char *path)
{
    for (size_t i = 0; i < ADMIN_ROUTE_COUNT; i++) {
        if (strcmp(admin_routes[i].shown.path, path) == 0) {
            return &admin_routes[i];
        }
    }
    return NULL;
}

/* For browsers a page, for others text. */
static void admin_page_index(struct admin *admin, struct admin_page *page)
{
    struct admin_pages_path paths[ADMIN_ROUTE_COUNT];
    (void)admin;
    for (size_t i = 0; i < ADMIN_ROUTE_COUNT; i++) {
        paths[i] = admin_routes[i].shown;
    }
    const char *accept =
        MHD_lookup_connection_value(page->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
    page->status = MHD_HTTP_OK;
    if (accept != NULL && strstr(accept, "text/html") != NULL) {
        struct admin_pages_file file = admin_pages_index();
        page->content_type = "text/html; charset=utf-8";
        page->policy = admin_pages_policy(&file);
        page->body = page->policy == NULL
                         ? NULL
                         : admin_pages_write_index(paths, ADMIN_ROUTE_COUNT, &page->body_bytes);
    } else {
        page->content_type = "text/plain; charset=utf-8";
        page->body = admin_pages_write_text(paths, ADMIN_ROUTE_COUNT, &page->body_bytes);
    }
}

static void admin_page_not_found(struct admin_page *page)
{
    json_t *paths = json_array();
    for (size_t i = 0; i < ADMIN_ROUTE_COUNT; i++) {
        json_array_append_new(paths, json_string(admin_routes[i].shown.path));
    }
    admin_page_json(page, MHD_HTTP_NOT_FOUND,
                    json_pack("{s:s, s:o}", "error", "no such path", "paths", paths));
}

/* ---- Who may see /admin/ ---- */

static bool admin_is_local(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    struct ip_address address;
    if (info == NULL || info->client_addr == NULL) {
        return false;
    }
    if (info->client_addr->sa_family == AF_INET) {
        address = ip_address_from_v4(&((const struct sockaddr_in *)info->client_addr)->sin_addr);
    } else if (info->client_addr->sa_family == AF_INET6) {
        memcpy(address.bytes, &((const struct sockaddr_in6 *)info->client_addr)->sin6_addr,
               sizeof address.bytes);
    } else {
        return false;
    }
    return ip_address_is_loopback(&address);
}

static bool admin_has_token(const struct admin *admin, struct MHD_Connection *connection)
{
    const char *token;
    size_t bytes;
    const char *value =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);
    return value != NULL && access_bearer_token(value, strlen(value), &token, &bytes) &&
           token_find(admin->tokens, token, bytes) != NULL;
}

/* Fills the page with a refusal, unless the request may be answered. */
static bool admin_may(struct admin *admin, const char *url, struct admin_page *page)
{
    if (strncmp(url, "/admin", 6) != 0 || admin_is_local(page->connection) ||
        admin_has_token(admin, page->connection)) {
        return true;
    }
    static const struct rate rate = {.interval_ns = NS_PER_SECOND / 10, .burst = 50};
    if (rate_take(&rate, &admin->audit_full_ns, clock_ns(CLOCK_MONOTONIC)) == 0) {
        log_write(LOG_LEVEL_WARNING, "audit: FAILED admin request: authentication failed");
    }
    admin_page_json(
        page, MHD_HTTP_UNAUTHORIZED,
        json_pack("{s:s}", "error",
                  admin->tokens->count > 0
                      ? "send Authorization: Bearer and the admin token"
                      : "only this host may use it; --admin-token-file permits other hosts"));
    return false;
}

static enum MHD_Result admin_send(const struct admin_page *page)
{
    assert_debug(page->status != 0);
    assert_debug(page->content_type != NULL);
    struct MHD_Response *response =
        page->body == NULL
            ? NULL
            : MHD_create_response_from_buffer(page->body_bytes, page->body, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(page->body);
        return MHD_NO; /* No memory: the connection is closed. */
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, page->content_type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, page->cache_control);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (page->policy != NULL) {
        MHD_add_response_header(response, "Content-Security-Policy", page->policy);
        MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    }
    if (page->status == MHD_HTTP_UNAUTHORIZED) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    }
    if (page->status == MHD_HTTP_METHOD_NOT_ALLOWED) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    }
    enum MHD_Result result = MHD_queue_response(page->connection, page->status, response);
    MHD_destroy_response(response);
    return result;
}

/* The library calls us for requests only: the first one shows which thread it is. */
static void admin_take_turn(struct admin *admin)
{
    if (counter_get(admin->turns) == 0) {
        (void)pthread_setname_np(pthread_self(), admin->thread->name);
        counters_threads_begin(admin->thread);
    }
    counter_add(admin->turns, 1);
}

/* The library hands a target of absolute form on as it came. NULL: it is not well-formed. */
static const char *admin_path(const char *target)
{
    struct handshake_slice path;
    bool has_authority;
    bool is_good = handshake_head_path((struct handshake_slice){target, strlen(target)}, &path,
                                       &has_authority);
    return is_good ? path.text : NULL;
}

static enum MHD_Result admin_answer(struct admin *admin, struct MHD_Connection *connection,
                                    const char *target, const char *method)
{
    struct admin_page page = {.connection = connection, .cache_control = "no-store"};
    const char *path = admin_path(target);
    const struct admin_route *route = path == NULL ? NULL : admin_find_route(path);
    bool may =
        strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
    if (path == NULL) {
        admin_page_json(&page, MHD_HTTP_BAD_REQUEST,
                        json_pack("{s:s}", "error", "the request target is not well-formed"));
    } else if (!admin_may(admin, path, &page)) {
        /* The page says so. */
    } else if (route == NULL) {
        admin_page_not_found(&page);
    } else if (!may) {
        admin_page_json(&page, MHD_HTTP_METHOD_NOT_ALLOWED,
                        json_pack("{s:s}", "error", "use GET or HEAD"));
    } else {
        route->write(admin, &page);
    }
    enum MHD_Result result = admin_send(&page);
    free(page.policy);
    return result;
}

static enum MHD_Result admin_on_request(void *context, struct MHD_Connection *connection,
                                        const char *target, const char *method, const char *version,
                                        const char *upload, size_t *upload_bytes, void **request)
{
    static int seen; /* Its address marks a request whose headers have been read. */
    struct admin *admin = context;
    enum MHD_Result result = MHD_YES;
    (void)version;
    (void)upload;
    pthread_mutex_lock(&admin->turn);
    admin_take_turn(admin);
    if (*request == NULL) {
        *request = &seen;
        admin_connections_renew(connection);
    } else if (*upload_bytes > 0) {
        *upload_bytes = 0; /* No path takes a body: read it and forget it. */
    } else {
        result = admin_answer(admin, connection, target, method);
    }
    pthread_mutex_unlock(&admin->turn);
    return result;
}

/* ---- Life cycle ---- */

static void admin_on_library_log(void *context, const char *format, va_list arguments)
{
    char text[LOG_LINE_BYTES_MAX / 2];
    (void)context;
    vsnprintf(text, sizeof text, format, arguments);
    text[strcspn(text, "\n")] = '\0';
    log_write(LOG_LEVEL_DEBUG, "admin HTTP: %s", text);
}

static bool admin_start_daemon(struct admin *admin, int fd, uint32_t connections_max)
{
    int flags = fcntl(fd, F_GETFL);
    (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    struct admin_connections *connections = &admin->connections[admin->daemon_count];
    admin_connections_init(connections, connections_max);
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_AUTO_INTERNAL_THREAD | MHD_USE_ERROR_LOG, 0, NULL, NULL, admin_on_request, admin,
        MHD_OPTION_EXTERNAL_LOGGER, admin_on_library_log, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_NOTIFY_CONNECTION, admin_connections_notify, connections,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned int)connections_max, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned int)ADMIN_TIMEOUT_SECONDS, MHD_OPTION_END);
    if (daemon == NULL) {
        close(fd);
        return false;
    }
    admin->daemons[admin->daemon_count++] = daemon;
    return true;
}

static void admin_close(const struct admin_options *options, uint32_t first)
{
    for (uint32_t i = first; i < options->fd_count; i++) {
        close(options->fds[i]);
    }
}

int admin_start(struct admin **admin_out, const struct admin_options *options, char *error_out,
                size_t error_bytes)
{
    assert_always(options->metrics != NULL);
    assert_always(options->counters != NULL);
    assert_always(options->tokens != NULL);
    assert_always(options->fd_count >= 1);
    assert_always(options->fd_count <= ADMIN_ADDRESSES_MAX);
    assert_always(options->connections_max >= 1);
    assert_always(options->connections_max <= ADMIN_CONNECTIONS_MAX);
    struct admin *admin = calloc(1, sizeof *admin);
    if (admin == NULL) {
        snprintf(error_out, error_bytes, "admin HTTP: no memory");
        admin_close(options, 0);
        return -ENOMEM;
    }
    pthread_mutex_init(&admin->turn, NULL);
    admin->tokens = options->tokens;
    admin->metrics = options->metrics;
    admin->symbols = options->symbols;
    admin->turns = &options->counters->process.admin_turns;
    admin->thread =
        counters_threads_add(options->counters, "admin", admin->turns, COUNTERS_THREAD_RESTS);
    uint32_t share = options->connections_max / options->fd_count;
    uint32_t tried_count = 0;
    bool runs = true;
    sigset_t all;
    sigset_t before;
    sigfillset(&all); /* for its threads: signals are main's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (runs && tried_count < options->fd_count) {
        runs = admin_start_daemon(admin, options->fds[tried_count++], share == 0 ? 1 : share);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!runs) {
        snprintf(error_out, error_bytes,
                 "admin HTTP: libmicrohttpd does not start; --log-level DEBUG shows why");
        admin_close(options, tried_count);
        admin_stop(admin);
        return -EIO;
    }
    *admin_out = admin;
    return 0;
}

void admin_stop(struct admin *admin)
{
    for (uint32_t i = 0; i < admin->daemon_count; i++) {
        MHD_stop_daemon(admin->daemons[i]); /* Joins its thread and closes the socket. */
    }
    pthread_mutex_destroy(&admin->turn);
    free(admin);
}
