/*
 * admin_route: what answers a path of the admin server: the request as a handler sees it, and the
 * answer that it makes.
 *
 * Owner    admin.c makes a page for each request and sends it.
 * Threads  The admin server's: one request at a time. A handler may block for a moment.
 * Memory   A body is malloc's, and freed by admin.c once sent.
 * Errors   A handler answers with a status and {"error":"..."} (admin_page_error). A page without a
 *          body closes the connection: there was no memory.
 */
#ifndef RINGCAST_SRC_ADMIN_ROUTE_H
#define RINGCAST_SRC_ADMIN_ROUTE_H

#include <jansson.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/ip_address.h"
#include "src/admin/admin_pages.h"
#include "src/base/roll.h"
#include "src/command/command.h"

#define ADMIN_BODY_BYTES_MAX 4096 /* of a request */
#define ADMIN_CLIENT_BYTES_MAX 64 /* of "192.0.2.1:5123", "unix:pid=4711,uid=0" */

/* What handlers may ask; all live longer than the admin server. */
struct admin_sources {
    struct metrics *metrics;
    const struct symbols *symbols;
    struct commands *commands;
    const struct options *options; /* main's: to be read by a command */
    struct drain_request *drain;
    const uint64_t *drain_timeout_ns; /* --drain-timeout; main reads it */
    struct roll_desk roll;
    struct guard *guard;
    struct dump *dump;
    /* Reads the configuration again. 0, or -EINVAL: refused; both with an answer, which is the
     * caller's. Otherwise an error of commands_call. */
    int (*reload)(void *reload_context, json_t **answer_out);
    void *reload_context;
};

struct admin_page {
    const struct admin_sources *sources;
    const struct admin_site *site; /* the paths of its port */
    struct MHD_Connection *connection;
    const char *method;
    const char *target; /* without the query, unescaped: what others chose */
    bool is_unix;       /* on the Unix socket */
    json_t *asked;      /* the JSON object in the body of a POST; NULL: it has no body */

    char client[ADMIN_CLIENT_BYTES_MAX]; /* who asks; "": not known yet */
    const char *user;                    /* "local", "owner", "admin", "read"; NULL: nobody known */

    unsigned int status;
    const char *content_type;
    const char *cache_control;
    char *policy; /* of a page for browsers, malloc; NULL: it is none */
    char *body;   /* malloc */
    size_t body_bytes;
};

/* Who may ask. This host always may, except over a web page of another site. */
enum admin_role {
    ADMIN_OPEN,  /* everybody */
    ADMIN_READ,  /* other hosts with a token of the role read or admin */
    ADMIN_WRITE, /* other hosts with a token of the role admin */
};

struct admin_route {
    struct admin_pages_path shown;
    const char *method; /* "GET", which permits HEAD, or "POST" */
    enum admin_role role;
    void (*answer)(struct admin_page *page);
};

/* What a port serves. */
struct admin_site {
    const struct admin_route *routes; /* those of one path follow one another */
    size_t count;
    bool has_operators; /* paths below /admin */
};

/* Where its TCP connection is from. false: not known, as on the Unix socket. */
bool admin_page_peer(const struct admin_page *page, struct ip_address *address_out,
                     uint16_t *port_out);
/* The value of a query parameter; NULL: it is not there. */
const char *admin_page_argument(const struct admin_page *page, const char *name);
/* A query parameter that is a whole number from min to max, or fallback when it is not there.
 * false: it is another, and the page says so. */
bool admin_page_number(struct admin_page *page, const char *name, uint64_t min, uint64_t max,
                       uint64_t fallback, uint64_t *value_out);

/* Takes over json; NULL: no memory. */
void admin_page_json(struct admin_page *page, unsigned int status, json_t *json);
void admin_page_error(struct admin_page *page, unsigned int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Lets main carry out a command. false: it did not, and the page says so. */
bool admin_page_command(struct admin_page *page, command_step *step, void *context);
/* 503, with the reason. error: -ENOMEM, or of commands_call(). */
void admin_page_refuse(struct admin_page *page, int error);

#endif
