#include "src/admin/admin_access.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "src/access/access.h"
#include "src/access/rate_limit.h"
#include "src/base/log.h"

/* What a request comes with. */
enum admin_access_right {
    ADMIN_ACCESS_NONE,
    ADMIN_ACCESS_READ,
    ADMIN_ACCESS_ALL,
};

static const char *admin_access_header(const struct admin_page *page, const char *name)
{
    return MHD_lookup_connection_value(page->connection, MHD_HEADER_KIND, name);
}

/* ---- The audit log ---- */

/* Paths are written as the table has them: what others chose does not get into the log. */
__attribute__((format(printf, 5, 6))) static void
admin_access_audit(struct admin_access *access, const struct admin_page *page,
                   const struct admin_route *route, const char *word, const char *format, ...)
{
    static const struct rate rate = {.interval_ns = NS_PER_SECOND / 10, .burst = 50};
    char what[128];
    char skipped[64] = "";
    if (rate_take(&rate, &access->audit_full_ns, clock_ns(CLOCK_MONOTONIC)) > 0) {
        access->audit_skipped++;
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    if (access->audit_skipped > 0) {
        snprintf(skipped, sizeof skipped, " (%" PRIu32 " lines before this one were left out)",
                 access->audit_skipped);
        access->audit_skipped = 0;
    }
    log_audit(word, "%s: admin request %s: %s%s", page->client,
              route == NULL ? "for an unknown path" : route->shown.path, what, skipped);
}

void admin_access_log_change(const struct admin_route *route, const struct admin_page *page)
{
    assert_always(route->role == ADMIN_WRITE);
    assert_always(page->user != NULL);
    log_audit("GRANTED", "%s: admin request %s: as %s", page->client, route->shown.path,
              page->user);
}

/* ---- Who asks ---- */

/* Of the Unix socket: whether it is this server's user, or root. */
static bool admin_access_is_owner(struct admin_page *page)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(page->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct ucred peer;
    socklen_t bytes = sizeof peer;
    if (info == NULL || getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) < 0) {
        snprintf(page->client, sizeof page->client, "unix");
        return false;
    }
    snprintf(page->client, sizeof page->client, "unix:pid=%ld,uid=%lu", (long)peer.pid,
             (unsigned long)peer.uid);
    return peer.uid == 0 || peer.uid == geteuid();
}

/* Whether its TCP connection is from this host. */
static bool admin_access_is_loopback(struct admin_page *page)
{
    char text[IP_ADDRESS_TEXT_BYTES_MAX];
    struct ip_address address;
    uint16_t port;
    if (!admin_page_peer(page, &address, &port)) {
        snprintf(page->client, sizeof page->client, "unknown");
        return false;
    }
    ip_address_format(&address, text);
    snprintf(page->client, sizeof page->client, strchr(text, ':') == NULL ? "%s:%u" : "[%s]:%u",
             text, port);
    return ip_address_is_loopback(&address);
}

static bool admin_access_is_forwarded(const struct admin_page *page)
{
    static const char *const names[] = {"Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (admin_access_header(page, names[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static enum admin_access_right admin_access_token_right(const struct admin_access *access,
                                                        const struct admin_page *page,
                                                        bool *is_given_out)
{
    const char *token;
    size_t bytes;
    const char *value = admin_access_header(page, MHD_HTTP_HEADER_AUTHORIZATION);
    *is_given_out = value != NULL && access_bearer_token(value, strlen(value), &token, &bytes);
    if (!*is_given_out) {
        return ADMIN_ACCESS_NONE;
    }
    if (token_find(access->tokens, token, bytes) != NULL) {
        return ADMIN_ACCESS_ALL;
    }
    return token_find(access->read_tokens, token, bytes) != NULL ? ADMIN_ACCESS_READ
                                                                 : ADMIN_ACCESS_NONE;
}

/* ---- Web pages ---- */

/* Whether a Host header names this server by an address, localhost or --admin-host. The name of a
 * foreign page whose address was changed to ours (DNS rebinding) is none of these. */
static bool admin_access_is_own_host(const struct admin_access *access, const char *host)
{
    struct ip_address address;
    bool is_bracketed = *host == '[';
    const char *name = host + is_bracketed;
    size_t bytes = strcspn(name, is_bracketed ? "]" : ":");
    const char *end = name + bytes;
    if (is_bracketed && *end++ != ']') {
        return false;
    }
    bool is_known = ip_address_parse(&address, name, bytes) ||
                    (bytes == strlen("localhost") && strncasecmp(name, "localhost", bytes) == 0) ||
                    (bytes == strlen(access->host) && strncasecmp(name, access->host, bytes) == 0);
    return is_known && (*end == '\0' || *end == ':');
}

/* "http://localhost:8080" is the origin of pages of the host "localhost:8080". */
static bool admin_access_is_own_origin(const char *origin, const char *host)
{
    const char *authority = strstr(origin, "://");
    return authority != NULL && strcasecmp(authority + strlen("://"), host) == 0;
}

/* What is wrong with a request that a browser may have sent for another site; NULL: nothing. */
static const char *admin_access_cross_site(const struct admin_access *access,
                                           const struct admin_page *page)
{
    const char *host = admin_access_header(page, MHD_HTTP_HEADER_HOST);
    const char *origin = admin_access_header(page, MHD_HTTP_HEADER_ORIGIN);
    if (host != NULL && !admin_access_is_own_host(access, host)) {
        return "the Host of the request is neither an address, localhost nor the name of "
               "--admin-host: ask by one of these, or send a token";
    }
    if (origin != NULL && strcmp(page->method, MHD_HTTP_METHOD_POST) == 0 &&
        (host == NULL || !admin_access_is_own_origin(origin, host))) {
        return "the Origin of the request is another site: web pages of other sites may not use "
               "this path";
    }
    return NULL;
}

/* ---- The decision ---- */

static bool admin_access_fail(struct admin_access *access, const struct admin_route *route,
                              struct admin_page *page, bool has_token, bool is_forwarded)
{
    const char *text = has_token
                           ? "this server has no admin token; a program of its host needs none"
                           : "only this host may use it; --admin-token-file permits other hosts";
    if (access->tokens->count > 0 || access->read_tokens->count > 0) {
        text = "send Authorization: Bearer and the admin token";
    } else if (is_forwarded) {
        text = "the request came through a proxy; only programs of this host may use it without a "
               "token (--admin-token-file)";
    }
    admin_access_audit(access, page, route, "FAILED", "authentication failed: %s",
                       has_token ? "the token is unknown" : "no token");
    admin_page_error(page, MHD_HTTP_UNAUTHORIZED, "%s", text);
    return false;
}

static bool admin_access_deny(struct admin_access *access, const struct admin_route *route,
                              struct admin_page *page, const char *audit, const char *text)
{
    admin_access_audit(access, page, route, "DENIED", "%s", audit);
    admin_page_error(page, MHD_HTTP_FORBIDDEN, "%s", text);
    return false;
}

static bool admin_access_permits_unix(struct admin_access *access, const struct admin_route *route,
                                      struct admin_page *page)
{
    if (!admin_access_is_owner(page)) {
        return admin_access_deny(access, route, page, "another user",
                                 "this socket is for the user of the server and for root only");
    }
    page->user = "owner";
    return true;
}

bool admin_access_permits(struct admin_access *access, enum admin_role role,
                          const struct admin_route *route, struct admin_page *page)
{
    bool has_token;
    if (page->is_unix) {
        return admin_access_permits_unix(access, route, page);
    }
    bool is_loopback = admin_access_is_loopback(page);
    enum admin_access_right right = admin_access_token_right(access, page, &has_token);
    page->user = right == ADMIN_ACCESS_ALL ? "admin" : right == ADMIN_ACCESS_READ ? "read" : NULL;
    if (role == ADMIN_OPEN || right == ADMIN_ACCESS_ALL) {
        return true;
    }
    if (right == ADMIN_ACCESS_READ) {
        return role == ADMIN_READ ||
               admin_access_deny(access, route, page, "the token is for reading",
                                 "the token is for reading; this path needs the admin token");
    }
    bool is_forwarded = admin_access_is_forwarded(page);
    if (!is_loopback || is_forwarded || has_token) {
        return admin_access_fail(access, route, page, has_token, is_forwarded);
    }
    const char *fault = admin_access_cross_site(access, page);
    if (fault != NULL) {
        return admin_access_deny(access, route, page, "a web page of another site", fault);
    }
    page->user = "local";
    return true;
}
