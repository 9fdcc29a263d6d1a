#include "src/server_tls.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "src/access/token.h"
#include "src/base/log.h"
#include "src/server_tls_watch.h"
#include "src/tls/tls_files.h"
#include "src/tls/tls_threads.h"
#include "src/tls/tls_tickets.h"

enum server_tls_file {
    SERVER_TLS_CERTIFICATES,
    SERVER_TLS_CLIENT_CA,
    SERVER_TLS_CLIENT_CRL,
    SERVER_TLS_TICKET_KEY,
};

const char *const server_tls_files[SERVER_TLS_FILES] = {
    [SERVER_TLS_CERTIFICATES] = "tls-certificate",
    [SERVER_TLS_CLIENT_CA] = "tls-client-ca",
    [SERVER_TLS_CLIENT_CRL] = "tls-client-crl",
    [SERVER_TLS_TICKET_KEY] = "tls-ticket-key-file",
};

/* ---- Files ---- */

/* digest: of the files before; of this one as well afterwards. One that cannot be read any more has
 * been loaded: the watch sees what has become of it. */
static void server_tls_mix(struct secrets_digest *digest, const char *path)
{
    uint8_t both[2 * TOKEN_DIGEST_BYTES] = {0};
    char error[TLS_ERROR_BYTES_MAX];
    struct tls_file file;
    if (path == NULL) {
        return;
    }
    memcpy(both, digest->bytes, TOKEN_DIGEST_BYTES);
    if (tls_files_read(&file, "tls", path, error) == 0) {
        token_digest(both + TOKEN_DIGEST_BYTES, file.text, file.bytes);
        tls_files_free(&file);
    }
    token_digest(digest->bytes, (const char *)both, sizeof both);
}

static void server_tls_digest(const struct tls_options *options,
                              struct secrets_digest digests_out[SERVER_TLS_FILES])
{
    memset(digests_out, 0, SERVER_TLS_FILES * sizeof *digests_out);
    for (uint32_t i = 0; i < options->certificate_count; i++) {
        struct secrets_digest *digest = &digests_out[SERVER_TLS_CERTIFICATES];
        server_tls_mix(digest, options->certificates[i].chain);
        server_tls_mix(digest, options->certificates[i].key);
        server_tls_mix(digest, options->certificates[i].ocsp);
    }
    server_tls_mix(&digests_out[SERVER_TLS_CLIENT_CA], options->client_ca);
    server_tls_mix(&digests_out[SERVER_TLS_CLIENT_CRL], options->client_crl);
    server_tls_mix(&digests_out[SERVER_TLS_TICKET_KEY], options->ticket_key_file);
}

static int server_tls_read(struct server_tls_loaded *loaded_out, const struct tls_options *options,
                           struct tls_tickets *tickets, char error_out[TLS_ERROR_BYTES_MAX])
{
    struct server_tls_loaded loaded = {.stamp = tls_files_stamp(options)};
    int error = tls_context_load(&loaded.context, options, tickets, error_out);
    if (error == 0) {
        server_tls_digest(options, loaded.digests);
        *loaded_out = loaded;
    }
    return error;
}

/* ---- Its life ---- */

int server_tls_load(struct server *server)
{
    char text[TLS_CONTEXT_ERROR_BYTES_MAX] = "";
    if (!options_has_tls(&server->options)) {
        return 0;
    }
    struct server_tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL) {
        return server_fail(-ENOMEM, "cannot prepare TLS", "free some memory");
    }
    server->tls = tls;
    if (!server->options.check_config) {
        int error = tls_tickets_open(&tls->tickets);
        if (error < 0) {
            return server_fail(error, "cannot make the keys of TLS session tickets",
                               "free some memory");
        }
    }
    int error = server_tls_read(&tls->loaded, &server->options.tls, tls->tickets, text);
    if (error < 0) {
        return server_refuse(server, error, text);
    }
    server_tls_warn(server);
    return 0;
}

int server_tls_start(struct server *server)
{
    char text[TLS_CONTEXT_ERROR_BYTES_MAX] = "";
    struct server_tls *tls = server->tls;
    if (tls == NULL) {
        return 0;
    }
    int error =
        tls_threads_open(&tls->threads, tls->loaded.context, server->options.tls.thread_count,
                         server->cores, server->options.core_count, text, sizeof text);
    if (error < 0) {
        log_write(LOG_LEVEL_ERROR, "cannot start the threads of TLS: %s", text);
    }
    return error;
}

struct tls_service *server_tls_service(const struct server *server)
{
    return server->tls == NULL ? NULL : tls_threads_service(server->tls->threads);
}

void server_tls_destroy(struct server *server)
{
    struct server_tls *tls = server->tls;
    if (tls == NULL) {
        return;
    }
    if (tls->threads != NULL) {
        tls_threads_close(tls->threads);
    }
    server_tls_drop(&tls->loaded);
    tls_tickets_close(tls->tickets);
    free(tls);
    server->tls = NULL;
}

/* ---- Reload ---- */

int server_tls_renew(const struct server *server, const struct options *options,
                     struct server_tls_loaded *loaded_out, char *error_out, size_t error_bytes)
{
    char text[TLS_ERROR_BYTES_MAX] = "";
    *loaded_out = (struct server_tls_loaded){.context = NULL};
    if (server->tls == NULL || !options_has_tls(options)) {
        return 0;
    }
    int error = server_tls_read(loaded_out, &options->tls, server->tls->tickets, text);
    snprintf(error_out, error_bytes, "%s", text);
    return error;
}

void server_tls_take(struct server *server, struct server_tls_loaded *loaded)
{
    struct server_tls *tls = server->tls;
    if (loaded->context == NULL) {
        return;
    }
    assert_always(tls != NULL);
    bool is_other = memcmp(tls->loaded.digests, loaded->digests, sizeof loaded->digests) != 0;
    tls_threads_swap(tls->threads, loaded->context);
    server_tls_drop(&tls->loaded);
    tls->loaded = *loaded;
    *loaded = (struct server_tls_loaded){.context = NULL};
    server_tls_publish(server);
    if (is_other) {
        server_tls_announce(server);
        server_tls_warn(server);
    }
}

void server_tls_drop(struct server_tls_loaded *loaded)
{
    if (loaded->context != NULL) {
        tls_context_release(loaded->context);
        loaded->context = NULL;
    }
}
