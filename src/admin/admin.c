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
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "codec/handshake.h"
#include "codec/ip_address.h"
#include "ring/board/counters_threads.h"
#include "src/access/access.h"
#include "src/access/rate_limit.h"
#include "src/admin/admin_access_log.h"
#include "src/admin/admin_connections.h"
#include "src/admin/admin_routes.h"
#include "src/base/log.h"

struct admin {
    struct MHD_Daemon *daemons[ADMIN_ADDRESSES_MAX];
    struct admin_connections connections[ADMIN_ADDRESSES_MAX]; /* by daemon */
    uint32_t daemon_count;
    pthread_mutex_t turn; /* one request of all daemons at a time */
    struct admin_sources sources;
    const struct token_table *tokens; /* one, or none */
    struct counters_thread *thread;
    counter *turns;
    uint64_t audit_full_ns; /* see rate_take() */
};

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
static bool admin_may(struct admin *admin, enum admin_role role, struct admin_page *page)
{
    if (role == ADMIN_OPEN || admin_is_local(page->connection) ||
        admin_has_token(admin, page->connection)) {
        return true;
    }
    static const struct rate rate = {.interval_ns = NS_PER_SECOND / 10, .burst = 50};
    if (rate_take(&rate, &admin->audit_full_ns, clock_ns(CLOCK_MONOTONIC)) == 0) {
        log_audit("FAILED", "admin request: authentication failed");
    }
    admin_page_error(page, MHD_HTTP_UNAUTHORIZED, "%s",
                     admin->tokens->count > 0
                         ? "send Authorization: Bearer and the admin token"
                         : "only this host may use it; --admin-token-file permits other hosts");
    return false;
}

static enum MHD_Result admin_send(const struct admin_page *page, const char *allow)
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
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow);
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

/* ---- Requests ---- */

/* A request whose headers have been read: its body, as far as it has come. */
struct admin_body {
    size_t bytes; /* more than ADMIN_BODY_BYTES_MAX: it is too long, and forgotten */
    char text[ADMIN_BODY_BYTES_MAX];
};

static void admin_body_add(struct admin_body *body, const char *upload, size_t bytes)
{
    bool fits = body->bytes <= sizeof body->text && bytes <= sizeof body->text - body->bytes;
    if (fits) {
        memcpy(body->text + body->bytes, upload, bytes);
    }
    body->bytes = fits ? body->bytes + bytes : sizeof body->text + 1;
}

/* false: it is not an object, and the page says so. */
static bool admin_read_body(const struct admin_body *body, struct admin_page *page)
{
    json_error_t error;
    if (body->bytes > sizeof body->text) {
        admin_page_error(page, MHD_HTTP_CONTENT_TOO_LARGE, "the body has more than %d bytes",
                         ADMIN_BODY_BYTES_MAX);
        return false;
    }
    page->asked = body->bytes == 0
                      ? NULL
                      : json_loadb(body->text, body->bytes, JSON_REJECT_DUPLICATES, &error);
    if (body->bytes > 0 && !json_is_object(page->asked)) {
        admin_page_error(page, MHD_HTTP_BAD_REQUEST, "the body is not a JSON object");
        return false;
    }
    return true;
}

/* The row of a path and method. *path_route_out: one of the path; NULL: there is no such path. */
static const struct admin_route *admin_find_route(const char *path, const char *method,
                                                  const struct admin_route **path_route_out)
{
    size_t count;
    const struct admin_route *routes = admin_routes(&count);
    bool is_head = strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
    *path_route_out = NULL;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(routes[i].shown.path, path) == 0) {
            *path_route_out = &routes[i];
            if (strcmp(routes[i].method, is_head ? MHD_HTTP_METHOD_GET : method) == 0) {
                return &routes[i];
            }
        }
    }
    return NULL;
}

static void admin_page_not_found(struct admin_page *page)
{
    size_t count;
    json_t *paths = json_array();
    const struct admin_route *routes = admin_routes(&count);
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(paths, json_string(routes[i].shown.path));
    }
    admin_page_json(page, MHD_HTTP_NOT_FOUND,
                    json_pack("{s:s, s:o}", "error", "no such path", "paths", paths));
}

/* Other hosts do not learn which paths there are below /admin. */
static enum admin_role admin_role_of(const char *path, const struct admin_route *route)
{
    if (route != NULL) {
        return route->role;
    }
    return strncmp(path, "/admin", 6) == 0 ? ADMIN_READ : ADMIN_OPEN;
}

static enum MHD_Result admin_answer(struct admin *admin, struct MHD_Connection *connection,
                                    const char *target, const char *method,
                                    const struct admin_body *body)
{
    struct admin_page page = {
        .sources = &admin->sources, .connection = connection, .cache_control = "no-store"};
    const struct admin_route *path_route = NULL;
    const char *path = admin_path(target);
    const struct admin_route *route =
        path == NULL ? NULL : admin_find_route(path, method, &path_route);
    const char *allow =
        path_route != NULL && strcmp(path_route->method, "POST") == 0 ? "POST" : "GET, HEAD";
    if (path == NULL) {
        admin_page_error(&page, MHD_HTTP_BAD_REQUEST, "the request target is not well-formed");
    } else if (!admin_may(admin, admin_role_of(path, path_route), &page)) {
        /* The page says so. */
    } else if (path_route == NULL) {
        admin_page_not_found(&page);
    } else if (route == NULL) {
        admin_page_error(&page, MHD_HTTP_METHOD_NOT_ALLOWED, "use %s", allow);
    } else if (admin_read_body(body, &page)) {
        route->answer(&page);
    }
    admin_access_log(&page, method, target);
    enum MHD_Result result = admin_send(&page, allow);
    free(page.policy);
    json_decref(page.asked);
    return result;
}

static enum MHD_Result admin_on_request(void *context, struct MHD_Connection *connection,
                                        const char *target, const char *method, const char *version,
                                        const char *upload, size_t *upload_bytes, void **request)
{
    struct admin *admin = context;
    enum MHD_Result result = MHD_YES;
    (void)version;
    pthread_mutex_lock(&admin->turn);
    admin_take_turn(admin);
    if (*request == NULL) {
        *request = calloc(1, sizeof(struct admin_body));
        result = *request == NULL ? MHD_NO : MHD_YES; /* No memory: the connection is closed. */
        admin_connections_renew(connection);
    } else if (*upload_bytes > 0) {
        admin_body_add(*request, upload, *upload_bytes);
        *upload_bytes = 0;
    } else {
        result = admin_answer(admin, connection, target, method, *request);
    }
    pthread_mutex_unlock(&admin->turn);
    return result;
}

static void admin_on_completed(void *context, struct MHD_Connection *connection, void **request,
                               enum MHD_RequestTerminationCode code)
{
    (void)context, (void)connection, (void)code;
    free(*request);
    *request = NULL;
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
        MHD_OPTION_NOTIFY_COMPLETED, admin_on_completed, NULL, MHD_OPTION_NOTIFY_CONNECTION,
        admin_connections_notify, connections, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned int)connections_max, MHD_OPTION_CONNECTION_TIMEOUT,
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
    assert_always(options->sources.metrics != NULL);
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
    admin->sources = options->sources;
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
