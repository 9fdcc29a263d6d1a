#include "src/tls/tls_server.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "src/tls/tls_files.h"
#include "src/tls/tls_threads.h"
#include "src/tls/tls_tickets.h"

enum tls_server_file {
    TLS_SERVER_CERTIFICATES,
    TLS_SERVER_CLIENT_CA,
    TLS_SERVER_CLIENT_CRL,
    TLS_SERVER_TICKET_KEY,
};

const char *const tls_server_files[TLS_SERVER_FILES] = {
    [TLS_SERVER_CERTIFICATES] = "tls-certificate",
    [TLS_SERVER_CLIENT_CA] = "tls-client-ca",
    [TLS_SERVER_CLIENT_CRL] = "tls-client-crl",
    [TLS_SERVER_TICKET_KEY] = "tls-ticket-key-file",
};

struct tls_server {
    struct tls_loaded loaded;
    struct tls_tickets *tickets; /* NULL: of a check */
    struct tls_threads *threads; /* NULL: not yet */
};

/* ---- Files ---- */

static void tls_server_hash(uint8_t digest_out[TLS_SERVER_DIGEST_BYTES], const void *bytes,
                            size_t count)
{
    int is_done = EVP_Digest(bytes, count, digest_out, NULL, EVP_sha256(), NULL);
    assert_always(is_done == 1);
}

/* digest: of the files before, and of this one as well afterwards. One that cannot be read any more
 * has been loaded already: the watch sees what has become of it. */
static void tls_server_mix(struct tls_digest *digest, const char *path)
{
    uint8_t both[2 * TLS_SERVER_DIGEST_BYTES] = {0};
    char error[TLS_ERROR_BYTES_MAX];
    struct tls_file file;
    if (path == NULL) {
        return;
    }
    memcpy(both, digest->bytes, TLS_SERVER_DIGEST_BYTES);
    if (tls_files_read(&file, "tls", path, error) == 0) {
        tls_server_hash(both + TLS_SERVER_DIGEST_BYTES, file.text, file.bytes);
        tls_files_free(&file);
    }
    tls_server_hash(digest->bytes, both, sizeof both);
}

static void tls_server_digest(struct tls_digest digests_out[TLS_SERVER_FILES],
                              const struct tls_options *options)
{
    assert_always(options->certificate_count <= TLS_CERTIFICATES_MAX);
    memset(digests_out, 0, TLS_SERVER_FILES * sizeof *digests_out);
    for (uint32_t i = 0; i < options->certificate_count; i++) {
        struct tls_digest *digest = &digests_out[TLS_SERVER_CERTIFICATES];
        tls_server_mix(digest, options->certificates[i].chain);
        tls_server_mix(digest, options->certificates[i].key);
        tls_server_mix(digest, options->certificates[i].ocsp);
    }
    tls_server_mix(&digests_out[TLS_SERVER_CLIENT_CA], options->client_ca);
    tls_server_mix(&digests_out[TLS_SERVER_CLIENT_CRL], options->client_crl);
    tls_server_mix(&digests_out[TLS_SERVER_TICKET_KEY], options->ticket_key_file);
}

int tls_server_renew(struct tls_server *tls, const struct tls_options *options,
                     struct tls_loaded *loaded_out, char error_out[TLS_CONTEXT_ERROR_BYTES_MAX])
{
    struct tls_loaded loaded = {.stamp = tls_files_stamp(options)};
    int error = tls_context_load(&loaded.context, options, tls->tickets, error_out);
    if (error == 0) {
        tls_server_digest(loaded.digests, options);
        *loaded_out = loaded;
    }
    return error;
}

void tls_loaded_drop(struct tls_loaded *loaded)
{
    if (loaded->context != NULL) {
        tls_context_release(loaded->context);
        loaded->context = NULL;
    }
}

/* ---- Its life ---- */

static int tls_server_no_memory(struct tls_server *tls, int error, char *error_out)
{
    tls_server_destroy(tls);
    return tls_error_write(error_out, error, "tls-port", NULL, "%s; free some memory",
                           strerror(-error));
}

int tls_server_create(struct tls_server **tls_out, const struct tls_options *options,
                      bool with_threads, char error_out[TLS_CONTEXT_ERROR_BYTES_MAX])
{
    struct tls_server *tls = calloc(1, sizeof *tls);
    int error = tls == NULL ? -ENOMEM : with_threads ? tls_tickets_open(&tls->tickets) : 0;
    if (error < 0) {
        return tls_server_no_memory(tls, error, error_out);
    }
    error = tls_server_renew(tls, options, &tls->loaded, error_out);
    if (error < 0) {
        tls_server_destroy(tls);
        return error;
    }
    *tls_out = tls;
    return 0;
}

int tls_server_start(struct tls_server *tls, uint32_t thread_count, struct core *const *cores,
                     uint32_t core_count, char *error_out, size_t error_bytes)
{
    assert_always(tls->tickets != NULL);
    return tls_threads_open(&tls->threads, tls->loaded.context, thread_count, cores, core_count,
                            error_out, error_bytes);
}

void tls_server_destroy(struct tls_server *tls)
{
    if (tls == NULL) {
        return;
    }
    if (tls->threads != NULL) {
        tls_threads_close(tls->threads);
    }
    tls_loaded_drop(&tls->loaded);
    tls_tickets_close(tls->tickets);
    free(tls);
}

struct tls_service *tls_server_service(struct tls_server *tls)
{
    return tls == NULL ? NULL : tls_threads_service(tls->threads);
}

const struct tls_loaded *tls_server_loaded(const struct tls_server *tls)
{
    return &tls->loaded;
}

void tls_server_take(struct tls_server *tls, struct tls_loaded *loaded)
{
    assert_always(loaded->context != NULL);
    tls_threads_swap(tls->threads, loaded->context);
    tls_loaded_drop(&tls->loaded);
    tls->loaded = *loaded;
    *loaded = (struct tls_loaded){.context = NULL};
}
