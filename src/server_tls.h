/*
 * server_tls: TLS in the server's life: certificates and the threads of handshakes before the
 * cores, other certificates by a reload.
 *
 * Owner    main. Threads: main's.
 * Memory   A context (src/tls/tls_context.h), and another one while a reload is in progress.
 * Errors   As of the steps of server.h.
 * Source   docs/tls.md, docs/reload.md; docs/decisions/0082.
 */
#ifndef RINGCAST_SRC_SERVER_TLS_H
#define RINGCAST_SRC_SERVER_TLS_H

#include <stddef.h>
#include <stdint.h>

#include "src/access/secrets.h"
#include "src/server.h"
#include "src/tls/tls_context.h"

#define SERVER_TLS_FILES 4

struct tls_service;
struct tls_threads;
struct tls_tickets;

/* Names of the options that name files, without their dashes. */
extern const char *const server_tls_files[SERVER_TLS_FILES];

/* What new handshakes use, and the files that it is from. */
struct server_tls_loaded {
    struct tls_context *context; /* NULL: none */
    uint64_t stamp;              /* tls_files_stamp(), before they were read */
    struct secrets_digest digests[SERVER_TLS_FILES];
};

struct server_tls {
    struct server_tls_loaded loaded;
    struct tls_tickets *tickets; /* NULL: --check-config */
    struct tls_threads *threads; /* NULL: not yet */

    /* server_tls_watch.c's. */
    uint64_t looked_ns;
    uint64_t warned_ns;
    uint64_t failing_ns;  /* since when the files do not load; 0: they do */
    uint64_t asked_ns;    /* when it last asked for a reload, */
    uint64_t asked_stamp; /* and of which files */
};

server_step server_tls_load;  /* All files; --check-config runs it as well. */
server_step server_tls_start; /* The threads, before the cores. */
/* Once the cores have ended, and before they are destroyed. */
void server_tls_destroy(struct server *server);

/* For cores; NULL: no TLS. */
struct tls_service *server_tls_service(const struct server *server);

/* For a reload: what the files of options hold. Without TLS before and after, loaded_out has
 * nothing. error_out begins with the option. */
int server_tls_renew(const struct server *server, const struct options *options,
                     struct server_tls_loaded *loaded_out, char *error_out, size_t error_bytes);
/* New handshakes use it from now on. loaded is empty afterwards. */
void server_tls_take(struct server *server, struct server_tls_loaded *loaded);
void server_tls_drop(struct server_tls_loaded *loaded);

#endif
