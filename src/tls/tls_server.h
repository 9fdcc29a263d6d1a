/*
 * tls_server: all that a server has of TLS: certificates, keys of tickets, threads of handshakes.
 *
 * Owner    server: created before the cores, destroyed when they have ended and before they are
 *          destroyed.
 * Threads  main's. The service's functions: a core's (ring/tls_service.h).
 * Memory   A context (tls_context.h), and another one while a reload is in progress.
 * Errors   0 or a negative errno, and one line that begins with the option.
 */
#ifndef RINGCAST_SRC_TLS_SERVER_H
#define RINGCAST_SRC_TLS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/tls/tls_context.h"

#define TLS_SERVER_FILES 4
#define TLS_SERVER_DIGEST_BYTES 32

struct core;
struct tls_server;
struct tls_service;

/* Names of the options that name files, without their dashes. */
extern const char *const tls_server_files[TLS_SERVER_FILES];

/* Of the files of an option, by which a reload sees that they have changed. */
struct tls_digest {
    uint8_t bytes[TLS_SERVER_DIGEST_BYTES];
};

/* What was read. */
struct tls_loaded {
    struct tls_context *context;                 /* NULL: nothing */
    uint64_t stamp;                              /* of the files, before they were read */
    struct tls_digest digests[TLS_SERVER_FILES]; /* in the order of tls_server_files */
};

/* Loads all files. Without threads (--check-config) nothing can be served. */
int tls_server_create(struct tls_server **tls_out, const struct tls_options *options,
                      bool with_threads, char error_out[TLS_CONTEXT_ERROR_BYTES_MAX]);
/* cores: as tls_threads_open(). */
int tls_server_start(struct tls_server *tls, uint32_t thread_count, struct core *const *cores,
                     uint32_t core_count, char *error_out, size_t error_bytes);
void tls_server_destroy(struct tls_server *tls); /* NULL: nothing */

/* NULL of NULL: no TLS. */
struct tls_service *tls_server_service(struct tls_server *tls);
/* What new handshakes use. */
const struct tls_loaded *tls_server_loaded(const struct tls_server *tls);

/* For a reload: what the files of these options hold. */
int tls_server_renew(struct tls_server *tls, const struct tls_options *options,
                     struct tls_loaded *loaded_out, char error_out[TLS_CONTEXT_ERROR_BYTES_MAX]);
/* New handshakes use it from now on. loaded is empty afterwards. */
void tls_server_take(struct tls_server *tls, struct tls_loaded *loaded);
void tls_loaded_drop(struct tls_loaded *loaded);

#endif
