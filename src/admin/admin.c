#include "src/admin/admin.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <microhttpd.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/handshake.h"
#include "ring/board/counters_threads.h"
#include "ring/trace.h"
#include "src/admin/admin_access.h"
#include "src/admin/admin_access_log.h"
#include "src/admin/admin_connections.h"
#include "src/admin/admin_routes.h"
#include "src/base/log.h"

#define ADMIN_ALLOW_BYTES_MAX 64
#define ADMIN_BODY_READ_MAX ((uint64_t)64 * 1024) /* then the connection is closed */

/* Of libmicrohttpd, for one socket. */
struct admin_daemon {
    struct admin *admin;
    struct MHD_Daemon *library;
    struct admin_connections connections;
    struct admin_site site;
    bool is_unix;
};

struct admin {
    struct admin_daemon daemons[ADMIN_SOCKETS_MAX];
    uint32_t daemon_count;
    pthread_mutex_t turn; /* one request of all daemons at a time */
    struct admin_sources sources;
    struct admin_access access;
    struct counters_thread *thread;
    counter *turns;
};

/* ---- Answers ---- */

/* Every answer is sent here. What an access log says of a request is in the page. */
static enum MHD_Result admin_send(const struct admin_page *page, const char *allow)
{
    assert_debug(page->status != 0);
    assert_debug(page->body_bytes == 0 || page->content_type != NULL);
    struct MHD_Response *response =
        page->body == NULL
            ? NULL
            : MHD_create_response_from_buffer(page->body_bytes, page->body, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(page->body);
        return MHD_NO; /* No memory: the connection is closed. */
    }
    if (page->content_type != NULL) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, page->content_type);
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, page->cache_control);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (page->policy != NULL) {
        MHD_add_response_header(response, "Content-Security-Policy", page->policy);
        MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    }
    if (page->status == MHD_HTTP_UNAUTHORIZED) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    }
    if (page->status == MHD_HTTP_METHOD_NOT_ALLOWED || page->status == MHD_HTTP_NO_CONTENT) {
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
    uint64_t read_bytes; /* off the connection */
    size_t bytes;        /* more than ADMIN_BODY_BYTES_MAX: it is too long, and forgotten */
    char text[ADMIN_BODY_BYTES_MAX];
};

/* false: it does not end, and nobody waits for that. */
static bool admin_body_add(struct admin_body *body, const char *upload, size_t bytes)
{
    bool fits = body->bytes <= sizeof body->text && bytes <= sizeof body->text - body->bytes;
    if (fits) {
        memcpy(body->text + body->bytes, upload, bytes);
    }
    body->bytes = fits ? body->bytes + bytes : sizeof body->text + 1;
    body->read_bytes += bytes;
    return body->read_bytes <= ADMIN_BODY_READ_MAX;
}

/* Whether the request says that its body is longer than any that is taken. */
static bool admin_body_is_announced_too_long(struct MHD_Connection *connection)
{
    const char *length =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return length != NULL && strtoull(length, NULL, 10) > ADMIN_BODY_BYTES_MAX;
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
static const struct admin_route *admin_find_route(const struct admin_site *site, const char *path,
                                                  const char *method,
                                                  const struct admin_route **path_route_out)
{
    bool is_head = strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
    *path_route_out = NULL;
    for (size_t i = 0; i < site->count; i++) {
        const struct admin_route *route = &site->routes[i];
        if (strcmp(route->shown.path, path) == 0) {
            *path_route_out = route;
            if (strcmp(route->method, is_head ? MHD_HTTP_METHOD_GET : method) == 0) {
                return route;
            }
        }
    }
    return NULL;
}

/* The methods of a path, for the header Allow. */
static void admin_write_allow(const struct admin_site *site, const char *path,
                              char allow_out[ADMIN_ALLOW_BYTES_MAX])
{
    size_t used = 0;
    for (size_t i = 0; i < site->count; i++) {
        const struct admin_route *route = &site->routes[i];
        if (strcmp(route->shown.path, path) == 0) {
            bool is_get = strcmp(route->method, MHD_HTTP_METHOD_GET) == 0;
            used += (size_t)snprintf(allow_out + used, ADMIN_ALLOW_BYTES_MAX - used, "%s, ",
                                     is_get ? "GET, HEAD" : route->method);
            assert_always(used < ADMIN_ALLOW_BYTES_MAX);
        }
    }
    snprintf(allow_out + used, ADMIN_ALLOW_BYTES_MAX - used, "%s", MHD_HTTP_METHOD_OPTIONS);
}

static bool admin_is_for_operators(const struct admin_page *page)
{
    return page->site->has_operators && strncmp(page->target, "/admin", strlen("/admin")) == 0;
}

static void admin_page_not_found(struct admin_page *page)
{
    json_t *paths = admin_routes_paths(page->site, admin_is_for_operators(page));
    admin_page_json(page, MHD_HTTP_NOT_FOUND,
                    json_pack("{s:s, s:o}", "error", "no such path", "paths", paths));
}

/* Of a path without a row, too: other hosts do not learn which paths there are below /admin. */
static enum admin_role admin_role_of(const struct admin_page *page, const struct admin_route *route)
{
    if (route != NULL) {
        return route->role;
    }
    return admin_is_for_operators(page) ? ADMIN_READ : ADMIN_OPEN;
}

/* Fills the page, whatever the request is. */
static void admin_fill(struct admin *admin, struct admin_page *page, const char *target,
                       const struct admin_body *body, char allow_out[ADMIN_ALLOW_BYTES_MAX])
{
    const struct admin_route *any = NULL; /* a row of the path */
    page->target = admin_path(target);
    if (page->target == NULL) {
        page->target = "";
        admin_page_error(page, MHD_HTTP_BAD_REQUEST, "the request target is not well-formed");
        return;
    }
    const struct admin_route *route =
        admin_find_route(page->site, page->target, page->method, &any);
    admin_write_allow(page->site, page->target, allow_out);
    const struct admin_route *asked = route != NULL ? route : any;
    if (!admin_access_permits(&admin->access, admin_role_of(page, asked), asked, page)) {
        return; /* The page says why. */
    }
    if (any == NULL) {
        admin_page_not_found(page);
    } else if (strcmp(page->method, MHD_HTTP_METHOD_OPTIONS) == 0) {
        page->status = MHD_HTTP_NO_CONTENT;
        page->body = calloc(1, 1);
    } else if (route == NULL) {
        admin_page_error(page, MHD_HTTP_METHOD_NOT_ALLOWED, "use %s", allow_out);
    } else if (admin_read_body(body, page)) {
        if (route->role == ADMIN_WRITE) {
            admin_access_log_change(route, page);
        }
        route->answer(page);
    }
}

static enum MHD_Result admin_answer(struct admin_daemon *daemon, struct MHD_Connection *connection,
                                    const char *target, const char *method,
                                    const struct admin_body *body)
{
    struct admin *admin = daemon->admin;
    char allow[ADMIN_ALLOW_BYTES_MAX] = "";
    struct admin_page page = {.sources = &admin->sources,
                              .site = &daemon->site,
                              .connection = connection,
                              .method = method,
                              .is_unix = daemon->is_unix,
                              .cache_control = "no-store"};
    trace_admin_begin(target);
    admin_fill(admin, &page, target, body, allow);
    admin_access_log(&page, method, target);
    enum MHD_Result result = admin_send(&page, allow);
    trace_admin(page.target, page.status, page.body_bytes);
    free(page.policy);
    json_decref(page.asked);
    return result;
}

static enum MHD_Result admin_on_request(void *context, struct MHD_Connection *connection,
                                        const char *target, const char *method, const char *version,
                                        const char *upload, size_t *upload_bytes, void **request)
{
    struct admin_daemon *daemon = context;
    struct admin *admin = daemon->admin;
    enum MHD_Result result = MHD_YES;
    (void)version;
    pthread_mutex_lock(&admin->turn);
    admin_take_turn(admin);
    struct admin_body *body = *request;
    if (body == NULL) {
        admin_connections_renew(connection);
        *request = body = calloc(1, sizeof *body);
        if (body == NULL) {
            result = MHD_NO; /* No memory: the connection is closed. */
        } else if (admin_body_is_announced_too_long(connection)) {
            body->bytes = sizeof body->text + 1;
            result = admin_answer(daemon, connection, target, method, body);
        }
    } else if (*upload_bytes > 0) {
        result = admin_body_add(body, upload, *upload_bytes) ? MHD_YES : MHD_NO;
        *upload_bytes = 0;
    } else {
        result = admin_answer(daemon, connection, target, method, body);
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

/* The library has no memory for a URL with very many arguments, and would close the connection
 * without a word. Its own answer is not to be had here, so this one is written to the socket. */
static void *admin_on_url(void *context, const char *url, struct MHD_Connection *connection)
{
    static const char answer[] = "HTTP/1.1 414 URI Too Long\r\n"
                                 "Content-Type: application/json\r\n"
                                 "Content-Length: 47\r\n"
                                 "Connection: close\r\n\r\n"
                                 "{\"error\":\"the URL has more than 100 arguments\"}";
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    uint32_t count = strchr(url, '?') != NULL;
    static_assert(ADMIN_ARGUMENTS_MAX == 100, "the answer says so");
    (void)context;
    for (const char *at = strchr(url, '?'); at != NULL; at = strchr(at + 1, '&')) {
        count++;
    }
    if (count > ADMIN_ARGUMENTS_MAX + 1 && info != NULL) {
        (void)send(info->connect_fd, answer, sizeof answer - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        (void)shutdown(info->connect_fd, SHUT_RDWR);
    }
    return NULL;
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

/* How many connections a socket of this door may have: of all, an eighth is for the Unix socket,
 * and a quarter for the metrics port. Their clients keep nobody out of the admin port. */
static uint32_t admin_share(const struct admin_options *options, enum admin_door door)
{
    uint32_t counts[ADMIN_DOOR_COUNT] = {0};
    for (uint32_t i = 0; i < options->socket_count; i++) {
        counts[options->sockets[i].door]++;
    }
    uint32_t shares[ADMIN_DOOR_COUNT] = {
        [ADMIN_DOOR_UNIX] = counts[ADMIN_DOOR_UNIX] > 0 ? options->connections_max / 8 : 0,
        [ADMIN_DOOR_METRICS] = counts[ADMIN_DOOR_METRICS] > 0 ? options->connections_max / 4 : 0,
    };
    shares[ADMIN_DOOR_PORT] =
        options->connections_max - shares[ADMIN_DOOR_UNIX] - shares[ADMIN_DOOR_METRICS];
    assert_always(counts[door] > 0);
    uint32_t share = shares[door] / counts[door];
    return share == 0 ? 1 : share;
}

static bool admin_start_daemon(struct admin *admin, const struct admin_socket *from,
                               uint32_t connections_max)
{
    int flags = fcntl(from->fd, F_GETFL);
    (void)fcntl(from->fd, F_SETFL, flags | O_NONBLOCK);
    struct admin_daemon *daemon = &admin->daemons[admin->daemon_count];
    daemon->admin = admin;
    daemon->site = from->door == ADMIN_DOOR_METRICS ? admin_routes_metrics() : admin_routes();
    daemon->is_unix = from->door == ADMIN_DOOR_UNIX;
    admin_connections_init(&daemon->connections, connections_max);
    daemon->library = MHD_start_daemon(
        MHD_USE_AUTO_INTERNAL_THREAD | MHD_USE_ITC | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        admin_on_request, daemon, MHD_OPTION_EXTERNAL_LOGGER, admin_on_library_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, from->fd, MHD_OPTION_URI_LOG_CALLBACK, admin_on_url, NULL,
        MHD_OPTION_NOTIFY_COMPLETED, admin_on_completed, NULL, MHD_OPTION_NOTIFY_CONNECTION,
        admin_connections_notify, &daemon->connections, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned int)connections_max, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned int)ADMIN_TIMEOUT_SECONDS, MHD_OPTION_END);
    if (daemon->library == NULL) {
        close(from->fd);
        return false;
    }
    admin->daemon_count++;
    return true;
}

/* false: one did not start. All sockets are the daemons' then, or closed. */
static bool admin_start_daemons(struct admin *admin, const struct admin_options *options)
{
    sigset_t all;
    sigset_t before;
    bool runs = true;
    sigfillset(&all); /* for their threads: signals are main's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (uint32_t i = 0; i < options->socket_count; i++) {
        const struct admin_socket *from = &options->sockets[i];
        if (runs) {
            runs = admin_start_daemon(admin, from, admin_share(options, from->door));
        } else {
            close(from->fd);
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return runs;
}

int admin_start(struct admin **admin_out, const struct admin_options *options, char *error_out,
                size_t error_bytes)
{
    assert_always(options->sources.metrics != NULL);
    assert_always(options->counters != NULL);
    assert_always(options->tokens != NULL);
    assert_always(options->read_tokens != NULL);
    assert_always(options->host != NULL);
    assert_always(options->socket_count >= 1);
    assert_always(options->socket_count <= ADMIN_SOCKETS_MAX);
    assert_always(options->connections_max >= 1);
    assert_always(options->connections_max <= ADMIN_CONNECTIONS_MAX);
    struct admin *admin = calloc(1, sizeof *admin);
    if (admin == NULL) {
        snprintf(error_out, error_bytes, "admin HTTP: no memory");
        for (uint32_t i = 0; i < options->socket_count; i++) {
            close(options->sockets[i].fd);
        }
        return -ENOMEM;
    }
    pthread_mutex_init(&admin->turn, NULL);
    admin->access = (struct admin_access){
        .tokens = options->tokens, .read_tokens = options->read_tokens, .host = options->host};
    admin->sources = options->sources;
    admin->turns = &options->counters->process.admin_turns;
    admin->thread =
        counters_threads_add(options->counters, "admin", admin->turns, COUNTERS_THREAD_RESTS);
    if (!admin_start_daemons(admin, options)) {
        snprintf(error_out, error_bytes,
                 "admin HTTP: libmicrohttpd does not start; --log-level DEBUG shows why");
        admin_stop(admin);
        return -EIO;
    }
    *admin_out = admin;
    return 0;
}

void admin_stop(struct admin *admin)
{
    for (uint32_t i = 0; i < admin->daemon_count; i++) {
        struct MHD_Daemon *library = admin->daemons[i].library;
        /* Otherwise the library would end the socket for others, too: for the service manager that
         * has passed it. */
        MHD_socket fd = MHD_quiesce_daemon(library);
        assert_always(fd != MHD_INVALID_SOCKET);
        MHD_stop_daemon(library); /* Joins its thread. */
        close(fd);
    }
    pthread_mutex_destroy(&admin->turn);
    free(admin);
}
