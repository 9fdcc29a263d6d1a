#include "src/tls/tls_context.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "codec/base/check.h"
#include "src/tls/tls_certificate.h"
#include "src/tls/tls_clients.h"
#include "src/tls/tls_extract.h"
#include "src/tls/tls_tickets.h"
#include "src/tls/tls_warnings.h"

#define TLS_CONTEXT_SECURITY 2    /* 112 bits, whatever openssl.cnf says: RSA of 2048 bits */
#define TLS_CONTEXT_TICKETS 1     /* sent in a handshake of TLS 1.3 */
#define TLS_CONTEXT_TICKET_S 7200 /* how long it resumes */

/* One ClientHello with a group of OpenSSL's default list can cost 153 ms (ffdhe8192). */
#define TLS_CONTEXT_GROUPS "X25519:P-256"
/* Forward secrecy and an AEAD, always. */
#define TLS_CONTEXT_SUITES_12                                                                      \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                   \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                                   \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define TLS_CONTEXT_SUITES_13                                                                      \
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
/* PRIORITIZE_CHACHA: for clients that put it first, because they have no AES in hardware. */
#define TLS_CONTEXT_SSL_OPTIONS                                                                    \
    (SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |           \
     SSL_OP_PRIORITIZE_CHACHA)

/* Certificates of the same names, each with another kind of key. */
struct tls_context_group {
    SSL_CTX *ssl;
    const struct tls_certificate *certificates[TLS_CERTIFICATES_MAX];
    uint32_t certificate_count;
};

struct tls_context {
    _Atomic uint32_t holders;
    struct tls_tickets *tickets;
    struct tls_certificate certificates[TLS_CERTIFICATES_MAX];
    uint32_t certificate_count;
    struct tls_context_group groups[TLS_CERTIFICATES_MAX]; /* The first one is for other names. */
    uint32_t group_count;
    struct tls_clients clients;
    char *open_ticket_key; /* the file, if every user may read it */
};

/* The group of the best name. NULL: none has it. */
static const struct tls_context_group *tls_context_choose(const struct tls_context *context,
                                                          const char *server_name)
{
    const struct tls_context_group *best = NULL;
    enum tls_names_match best_match = TLS_NAMES_NONE;
    for (uint32_t i = 0; i < context->group_count; i++) {
        const struct tls_context_group *group = &context->groups[i];
        enum tls_names_match match = tls_names_match(&group->certificates[0]->names, server_name);
        if (match > best_match) {
            best = group;
            best_match = match;
        }
    }
    return best;
}

static int tls_context_on_server_name(SSL *ssl, int *alert, void *argument)
{
    (void)alert;
    const struct tls_context *context = argument;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const struct tls_context_group *group = name == NULL ? NULL : tls_context_choose(context, name);
    if (group == NULL) {
        return SSL_TLSEXT_ERR_NOACK; /* The first certificate. */
    }
    /* This changes the certificate and nothing else: the settings are those of SSL_new(). */
    return SSL_set_SSL_CTX(ssl, group->ssl) == NULL ? SSL_TLSEXT_ERR_ALERT_FATAL
                                                    : SSL_TLSEXT_ERR_OK;
}

/* A client that offers protocols, and not this one, would speak another one. */
static int tls_context_on_alpn(SSL *ssl, const uint8_t **protocol_out, uint8_t *bytes_out,
                               const uint8_t *offered, unsigned offered_bytes, void *argument)
{
    (void)ssl;
    (void)argument;
    static const uint8_t ours[] = "\x08http/1.1";
    return SSL_select_next_proto((uint8_t **)protocol_out, bytes_out, ours, sizeof ours - 1,
                                 offered, offered_bytes) == OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* OpenSSL has chosen the certificate by now. */
static int tls_context_on_staple(SSL *ssl, void *argument)
{
    struct tls_context *context = argument;
    const X509 *leaf = SSL_get_certificate(ssl);
    for (uint32_t i = 0; i < context->certificate_count; i++) {
        if (context->certificates[i].leaf == leaf) {
            return tls_ocsp_staple(&context->certificates[i].ocsp, ssl, (int64_t)time(NULL));
        }
    }
    return SSL_TLSEXT_ERR_NOACK;
}

static int tls_context_on_ticket(SSL *ssl, uint8_t *name, uint8_t *iv, EVP_CIPHER_CTX *cipher,
                                 EVP_MAC_CTX *mac, int is_sealing)
{
    const struct tls_context *context = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    assert_always(context != NULL && context->tickets != NULL);
    return tls_tickets_on_ticket(context->tickets, ssl, name, iv, cipher, mac, is_sealing == 1);
}

static bool tls_context_set_callbacks(struct tls_context *context, SSL_CTX *ssl)
{
    SSL_CTX_set_keylog_callback(ssl, tls_extract_keylog);
    SSL_CTX_set_tlsext_servername_callback(ssl, tls_context_on_server_name);
    SSL_CTX_set_tlsext_servername_arg(ssl, context);
    SSL_CTX_set_alpn_select_cb(ssl, tls_context_on_alpn, NULL);
    SSL_CTX_set_tlsext_status_cb(ssl, tls_context_on_staple);
    SSL_CTX_set_tlsext_status_arg(ssl, context);
    return SSL_CTX_set_app_data(ssl, context) == 1 &&
           (context->tickets == NULL ||
            SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, tls_context_on_ticket) == 1);
}

/* NULL: not enough memory, or libssl lacks what it must have. All contexts are alike, because
 * OpenSSL looks some settings up in the one of SSL_new(), and some in that of the name. */
static SSL_CTX *tls_context_new_ssl(struct tls_context *context, bool is_13_only)
{
    SSL_CTX *ssl = SSL_CTX_new(TLS_server_method());
    bool is_good =
        ssl != NULL &&
        SSL_CTX_set_min_proto_version(ssl, is_13_only ? TLS1_3_VERSION : TLS1_2_VERSION) == 1 &&
        SSL_CTX_set_max_proto_version(ssl, TLS1_3_VERSION) == 1 &&
        SSL_CTX_set1_groups_list(ssl, TLS_CONTEXT_GROUPS) == 1 &&
        SSL_CTX_set_cipher_list(ssl, TLS_CONTEXT_SUITES_12) == 1 &&
        SSL_CTX_set_ciphersuites(ssl, TLS_CONTEXT_SUITES_13) == 1 &&
        SSL_CTX_set_num_tickets(ssl, TLS_CONTEXT_TICKETS) == 1 &&
        SSL_CTX_set_max_early_data(ssl, 0) == 1 && tls_context_set_callbacks(context, ssl) &&
        tls_clients_apply(&context->clients, ssl) == 0;
    if (!is_good) {
        SSL_CTX_free(ssl);
        return NULL;
    }
    SSL_CTX_set_security_level(ssl, TLS_CONTEXT_SECURITY);
    SSL_CTX_set_options(ssl, TLS_CONTEXT_SSL_OPTIONS);
    SSL_CTX_set_timeout(ssl, TLS_CONTEXT_TICKET_S);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_cert_list(ssl, TLS_CERTIFICATE_BYTES_MAX); /* a client's */
    /* Only the file's chain is sent, never one of the CAs of clients. */
    SSL_CTX_set_mode(ssl, SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_RELEASE_BUFFERS);
    return ssl;
}

/* The group that has the same names, or a new one. NULL: not enough memory. */
static struct tls_context_group *tls_context_group_of(struct tls_context *context,
                                                      const struct tls_certificate *certificate,
                                                      bool is_13_only)
{
    for (uint32_t i = 0; i < context->group_count; i++) {
        if (tls_names_equal(&context->groups[i].certificates[0]->names, &certificate->names)) {
            return &context->groups[i];
        }
    }
    assert_always(context->group_count < TLS_CERTIFICATES_MAX);
    struct tls_context_group *group = &context->groups[context->group_count];
    group->ssl = tls_context_new_ssl(context, is_13_only);
    if (group->ssl == NULL) {
        return NULL;
    }
    context->group_count++;
    return group;
}

static int tls_context_add(struct tls_context *context, const struct tls_certificate *certificate,
                           bool is_13_only, char error_out[TLS_CONTEXT_ERROR_BYTES_MAX])
{
    struct tls_context_group *group = tls_context_group_of(context, certificate, is_13_only);
    if (group == NULL) {
        return tls_error_write(error_out, -ENOMEM, "tls-certificate", certificate->file,
                               "libssl: %s", tls_error_reason());
    }
    int kind = EVP_PKEY_get_base_id(certificate->key);
    for (uint32_t i = 0; i < group->certificate_count; i++) {
        const struct tls_certificate *other = group->certificates[i];
        if (EVP_PKEY_get_base_id(other->key) == kind) {
            return tls_error_write(error_out, -EINVAL, "tls-certificate", certificate->file,
                                   "its names and the kind of its key are those of %.200s; leave "
                                   "one of the two out",
                                   other->file);
        }
    }
    if (SSL_CTX_use_cert_and_key(group->ssl, certificate->leaf, certificate->key,
                                 certificate->chain, 1) != 1) {
        return tls_error_write(error_out, -EINVAL, "tls-certificate", certificate->file,
                               "OpenSSL refuses it (%s); make a certificate with ECDSA P-256 and "
                               "SHA-256",
                               tls_error_reason());
    }
    assert_always(group->certificate_count < TLS_CERTIFICATES_MAX);
    group->certificates[group->certificate_count++] = certificate;
    return 0;
}

static int tls_context_load_ticket_key(struct tls_context *context, const char *path,
                                       char error_out[TLS_CONTEXT_ERROR_BYTES_MAX])
{
    struct tls_ticket_key key;
    bool is_open = false;
    int error = path == NULL ? 0 : tls_tickets_read_file(&key, &is_open, path, error_out);
    if (error == 0 && is_open && (context->open_ticket_key = strdup(path)) == NULL) {
        error =
            tls_error_write(error_out, -ENOMEM, "tls-ticket-key-file", path, "not enough memory");
    }
    if (error == 0 && context->tickets != NULL &&
        tls_tickets_use(context->tickets, path == NULL ? NULL : &key) < 0) {
        error = tls_error_write(error_out, -EIO, "tls-port", NULL,
                                "libcrypto makes no random key for session tickets");
    }
    OPENSSL_cleanse(&key, sizeof key);
    return error;
}

static int tls_context_fill(struct tls_context *context, const struct tls_options *options,
                            char error_out[TLS_CONTEXT_ERROR_BYTES_MAX])
{
    int error = tls_clients_load(&context->clients, options, error_out);
    for (uint32_t i = 0; error == 0 && i < options->certificate_count; i++) {
        struct tls_certificate *certificate = &context->certificates[i];
        error = tls_certificate_load(certificate, &options->certificates[i], error_out);
        if (error == 0) {
            context->certificate_count++;
            error = tls_context_add(context, certificate, options->is_13_only, error_out);
        }
    }
    return error == 0 ? tls_context_load_ticket_key(context, options->ticket_key_file, error_out)
                      : error;
}

int tls_context_load(struct tls_context **context_out, const struct tls_options *options,
                     struct tls_tickets *tickets, char error_out[TLS_CONTEXT_ERROR_BYTES_MAX])
{
    assert_always(options->certificate_count > 0);
    assert_always(options->certificate_count <= TLS_CERTIFICATES_MAX);
    /* libcrypto 3 crashes where it is used after its own set-up found no memory. */
    struct tls_context *context =
        OSSL_LIB_CTX_get0_global_default() == NULL ? NULL : calloc(1, sizeof *context);
    if (context == NULL) {
        return tls_error_write(error_out, -ENOMEM, "tls-certificate", NULL, "not enough memory");
    }
    context->holders = 1;
    context->tickets = tickets;
    int error = tls_context_fill(context, options, error_out);
    if (error < 0) {
        tls_context_release(context);
        return error;
    }
    assert_always(context->group_count > 0);
    assert_always(context->certificate_count == options->certificate_count);
    *context_out = context;
    return 0;
}

struct tls_context *tls_context_hold(struct tls_context *context)
{
    uint32_t holders = atomic_fetch_add_explicit(&context->holders, 1, memory_order_relaxed);
    assert_always(holders > 0);
    return context;
}

void tls_context_release(struct tls_context *context)
{
    uint32_t holders = atomic_fetch_sub_explicit(&context->holders, 1, memory_order_acq_rel);
    assert_always(holders > 0);
    if (holders > 1) {
        return;
    }
    for (uint32_t i = 0; i < context->group_count; i++) {
        SSL_CTX_free(context->groups[i].ssl);
    }
    for (uint32_t i = 0; i < context->certificate_count; i++) {
        tls_certificate_free(&context->certificates[i]);
    }
    tls_clients_free(&context->clients);
    free(context->open_ticket_key);
    free(context);
}

SSL_CTX *tls_context_ssl(const struct tls_context *context)
{
    assert_always(context->groups[0].ssl != NULL);
    return context->groups[0].ssl;
}

uint32_t
tls_context_certificates(const struct tls_context *context,
                         struct tls_context_certificate certificates_out[TLS_CERTIFICATES_MAX])
{
    for (uint32_t i = 0; i < context->certificate_count; i++) {
        const struct tls_certificate *certificate = &context->certificates[i];
        const char *first = certificate->names.first;
        certificates_out[i] = (struct tls_context_certificate){
            .file = certificate->file,
            .name = first != NULL ? first : certificate->subject,
            .not_before_s = certificate->not_before_s,
            .not_after_s = certificate->not_after_s,
        };
    }
    return context->certificate_count;
}

bool tls_context_warning(const struct tls_context *context, uint32_t number, int64_t now_s,
                         char text_out[TLS_CONTEXT_ERROR_BYTES_MAX])
{
    struct tls_warnings warnings = {.number = number, .now_s = now_s, .text_out = text_out};
    for (uint32_t i = 0; i < context->certificate_count; i++) {
        tls_warnings_of_certificate(&warnings, &context->certificates[i]);
    }
    tls_warnings_of_clients(&warnings, &context->clients);
    tls_warnings_of_open_key(&warnings, "tls-ticket-key-file", context->open_ticket_key);
    return warnings.is_written;
}
