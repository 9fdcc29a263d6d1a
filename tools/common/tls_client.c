#include "tools/common/tls_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "codec/base/check.h"

#define GIVE_BYTES_MAX 4096 /* A memory BIO never shrinks. */
#define RECEIVE_BYTES_MAX 16384
#define PATH_BYTES_MAX 1024

struct tls_client_context {
    SSL_CTX *ssl;
    bool insecure;
    bool has_certificate;
};

struct tls_client {
    const struct tls_client_context *context;
    SSL *ssl;
    BIO *in;  /* Sealed bytes for it; the SSL object's. */
    BIO *out; /* Sealed bytes that have not left; the SSL object's. */
    char error[TLS_CLIENT_ERROR_BYTES_MAX];
};

/* ---- The context ---- */

/* "OPTION FILE: REASON" */
static int tls_client_refuse(char *error_out, const char *option, const char *path,
                             const char *reason)
{
    snprintf(error_out, TLS_CLIENT_ERROR_BYTES_MAX, "%s %s: %s", option, path, reason);
    ERR_clear_error();
    return -EINVAL;
}

/* Why a file of PEM cannot be used: the kernel's reason, where it is that. */
static const char *tls_client_file_reason(const char *otherwise)
{
    unsigned long code = ERR_peek_error();
    return ERR_GET_LIB(code) == ERR_LIB_SYS ? strerror(ERR_GET_REASON(code)) : otherwise;
}

/* A key with a password is refused: OpenSSL would ask the terminal. */
static int tls_client_no_password(char *out, int out_bytes, int is_writing, void *context)
{
    (void)out;
    (void)out_bytes;
    (void)is_writing;
    *(bool *)context = true;
    return -1;
}

static int tls_client_load_certificate(SSL_CTX *ssl, const char *text, char *error_out)
{
    char chain[PATH_BYTES_MAX];
    bool is_encrypted = false;
    size_t chain_bytes = strcspn(text, ",");
    const char *key = text[chain_bytes] == ',' ? text + chain_bytes + 1 : chain;
    if (chain_bytes >= sizeof chain) {
        return tls_client_refuse(error_out, "--cert", text, "the name is too long");
    }
    memcpy(chain, text, chain_bytes);
    chain[chain_bytes] = 0;
    SSL_CTX_set_default_passwd_cb(ssl, tls_client_no_password);
    SSL_CTX_set_default_passwd_cb_userdata(ssl, &is_encrypted);
    if (SSL_CTX_use_certificate_chain_file(ssl, chain) != 1) {
        return tls_client_refuse(error_out, "--cert", chain,
                                 tls_client_file_reason("it has no certificate in PEM"));
    }
    if (SSL_CTX_use_PrivateKey_file(ssl, key, SSL_FILETYPE_PEM) == 1) {
        SSL_CTX_set_default_passwd_cb_userdata(ssl, NULL);
        return 0;
    }
    bool is_other = ERR_GET_REASON(ERR_peek_error()) == X509_R_KEY_VALUES_MISMATCH;
    return tls_client_refuse(error_out, "--cert", key,
                             is_encrypted ? "the key has a password: write one without, by openssl "
                                            "pkey -in FILE -out NEW"
                             : is_other   ? "the key is not that of the certificate"
                                          : tls_client_file_reason("it has no key in PEM; where it "
                                                                     "is in another file: --cert "
                                                                     "CHAIN,KEY"));
}

static int tls_client_load(SSL_CTX *ssl, const struct tls_client_options *options, char *error_out)
{
    SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(ssl, options->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    /* A certificate that --cacert names is trusted by itself, as with curl. */
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ssl), X509_V_FLAG_PARTIAL_CHAIN);
    if (options->cacert == NULL) {
        SSL_CTX_set_default_verify_paths(ssl);
    } else if (SSL_CTX_load_verify_file(ssl, options->cacert) != 1) {
        return tls_client_refuse(error_out, "--cacert", options->cacert,
                                 tls_client_file_reason("it has no certificate in PEM"));
    }
    return options->cert == NULL ? 0 : tls_client_load_certificate(ssl, options->cert, error_out);
}

int tls_client_context_create(struct tls_client_context **context_out,
                              const struct tls_client_options *options,
                              char error_out[TLS_CLIENT_ERROR_BYTES_MAX])
{
    struct tls_client_context *context = calloc(1, sizeof *context);
    assert_always(context != NULL);
    ERR_clear_error();
    context->ssl = SSL_CTX_new(TLS_client_method());
    assert_always(context->ssl != NULL);
    context->insecure = options->insecure;
    context->has_certificate = options->cert != NULL;
    int error = tls_client_load(context->ssl, options, error_out);
    if (error != 0) {
        tls_client_context_destroy(context);
        return error;
    }
    ERR_clear_error();
    *context_out = context;
    return 0;
}

void tls_client_context_destroy(struct tls_client_context *context)
{
    if (context != NULL) {
        SSL_CTX_free(context->ssl);
        free(context);
    }
}

/* ---- A connection ---- */

static bool tls_client_is_address(const char *host)
{
    uint8_t address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* SNI, and the name that is compared. An address has no SNI. */
static bool tls_client_set_host(struct tls_client *client, const char *host)
{
    if (tls_client_is_address(host)) {
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(client->ssl), host) == 1;
    }
    SSL_set_hostflags(client->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set_tlsext_host_name(client->ssl, host) == 1 &&
           SSL_set1_host(client->ssl, host) == 1;
}

struct tls_client *tls_client_create(const struct tls_client_context *context, const char *host)
{
    struct tls_client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        return NULL;
    }
    client->context = context;
    client->ssl = SSL_new(context->ssl);
    client->in = BIO_new(BIO_s_mem());
    client->out = BIO_new(BIO_s_mem());
    if (client->ssl == NULL || client->in == NULL || client->out == NULL) {
        BIO_free(client->in);
        BIO_free(client->out);
        SSL_free(client->ssl);
        free(client);
        return NULL;
    }
    SSL_set_bio(client->ssl, client->in, client->out);
    SSL_set_connect_state(client->ssl);
    if (!tls_client_set_host(client, host)) {
        tls_client_destroy(client);
        return NULL;
    }
    return client;
}

void tls_client_destroy(struct tls_client *client)
{
    if (client != NULL) {
        SSL_free(client->ssl);
        free(client);
    }
}

const char *tls_client_error(const struct tls_client *client)
{
    return client->error;
}

/* The server's certificate did not verify. */
static void tls_client_explain_certificate(struct tls_client *client, long result)
{
    const char *reason = X509_verify_cert_error_string(result);
    const char *remedy = "name its CA with --cacert FILE";
    if (result == X509_V_ERR_HOSTNAME_MISMATCH || result == X509_V_ERR_IP_ADDRESS_MISMATCH) {
        reason = "it is for another name";
        remedy = "use a name of the certificate in the URL";
    } else if (result == X509_V_ERR_CERT_HAS_EXPIRED || result == X509_V_ERR_CERT_NOT_YET_VALID) {
        remedy = "renew it, or set the clock";
    }
    snprintf(client->error, sizeof client->error,
             "the server's certificate is not accepted: %s; %s, or accept any with --insecure",
             reason, remedy);
}

/* What an error of OpenSSL means to the user. The server refuses by an alert. */
static void tls_client_explain_reason(struct tls_client *client, unsigned long code)
{
    const char *text = ERR_reason_error_string(code);
    bool has_certificate = client->context->has_certificate;
    const char *what = "TLS failed: ";
    const char *remedy = "";
    switch (ERR_GET_REASON(code)) {
    case SSL_R_WRONG_VERSION_NUMBER:
        what = "the server does not speak TLS at this port";
        text = "";
        remedy = ": use ws://, or another port";
        break;
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
        what = "the server needs a client certificate";
        text = "";
        remedy = ": give one with --cert CHAIN,KEY";
        break;
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
        remedy =
            has_certificate ? "" : "; if the server needs a client certificate: --cert CHAIN,KEY";
        break;
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
        what = "the server does not accept the certificate of --cert: ";
        break;
    default:
        break;
    }
    snprintf(client->error, sizeof client->error, "%s%s%s", what, text == NULL ? "" : text, remedy);
}

/* The first failure is the reason of all later ones. */
static int tls_client_fail(struct tls_client *client)
{
    unsigned long code = ERR_peek_error();
    long result = SSL_get_verify_result(client->ssl);
    if (client->error[0] != 0) {
        return -ECONNABORTED;
    }
    if (!client->context->insecure && result != X509_V_OK) {
        tls_client_explain_certificate(client, result);
    } else {
        tls_client_explain_reason(client, code);
    }
    ERR_clear_error();
    return -ECONNABORTED;
}

/* Sends what waits. 0, also if a full socket did not take it all; or a negative errno. */
static int tls_client_flush(struct tls_client *client, int fd)
{
    char *waiting;
    long waiting_bytes = BIO_get_mem_data(client->out, &waiting);
    while (waiting_bytes > 0) {
        ssize_t sent = send(fd, waiting, (size_t)waiting_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        }
        char taken[4096];
        for (ssize_t left = sent; left > 0;) { /* A memory BIO gives up its bytes by a read only. */
            int bytes = left < (ssize_t)sizeof taken ? (int)left : (int)sizeof taken;
            left -= BIO_read(client->out, taken, bytes);
        }
        waiting_bytes = BIO_get_mem_data(client->out, &waiting);
    }
    return 0;
}

int tls_client_handshake(struct tls_client *client, int fd)
{
    ERR_clear_error();
    int result = SSL_do_handshake(client->ssl);
    int error = SSL_get_error(client->ssl, result);
    int flushed = tls_client_flush(client, fd); /* Also the alert of a failure. */
    if (result == 1) {
        return flushed;
    }
    if (error != SSL_ERROR_WANT_READ) {
        return tls_client_fail(client);
    }
    if (flushed != 0) {
        snprintf(client->error, sizeof client->error, "closed during the TLS handshake: %s",
                 strerror(-flushed));
        return flushed;
    }
    return -EAGAIN;
}

size_t tls_client_give(struct tls_client *client, const uint8_t *sealed, size_t sealed_bytes)
{
    int bytes = sealed_bytes < GIVE_BYTES_MAX ? (int)sealed_bytes : GIVE_BYTES_MAX;
    assert_always(bytes > 0);
    int taken = BIO_write(client->in, sealed, bytes);
    assert_always(taken == bytes); /* out of memory otherwise */
    return (size_t)taken;
}

ssize_t tls_client_read(struct tls_client *client, int fd, void *out, size_t out_bytes)
{
    size_t count = 0;
    int error = SSL_ERROR_NONE;
    ERR_clear_error();
    while (count < out_bytes && error == SSL_ERROR_NONE) {
        size_t got = 0;
        int result = SSL_read_ex(client->ssl, (uint8_t *)out + count, out_bytes - count, &got);
        error = result == 1 ? SSL_ERROR_NONE : SSL_get_error(client->ssl, result);
        count += got;
    }
    (void)tls_client_flush(client,
                           fd); /* Answers to KeyUpdates. A lost one ends the stream later. */
    if (error == SSL_ERROR_NONE || error == SSL_ERROR_WANT_READ) {
        return (ssize_t)count;
    }
    int failure = error == SSL_ERROR_ZERO_RETURN ? -ECONNRESET : tls_client_fail(client);
    return count > 0 ? (ssize_t)count : failure; /* It comes again with the next read. */
}

ssize_t tls_client_send(struct tls_client *client, int fd, const void *bytes, size_t bytes_count)
{
    size_t written = 0;
    if (client == NULL) {
        return send(fd, bytes, bytes_count, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    int error = tls_client_flush(client, fd);
    if (error == 0 && BIO_ctrl_pending(client->out) > 0) {
        error = -EAGAIN;
    }
    if (error == 0) {
        ERR_clear_error();
        error = SSL_write_ex(client->ssl, bytes, bytes_count, &written) == 1
                    ? tls_client_flush(client, fd)
                    : tls_client_fail(client);
    }
    if (error != 0) {
        errno = -error;
        return -1;
    }
    return (ssize_t)written;
}

ssize_t tls_client_recv(struct tls_client *client, int fd, void *out, size_t out_bytes)
{
    uint8_t sealed[RECEIVE_BYTES_MAX];
    size_t sealed_bytes = 0;
    size_t given = 0;
    size_t count = 0;
    if (client == NULL) {
        return recv(fd, out, out_bytes, MSG_DONTWAIT);
    }
    for (;;) {
        ssize_t got = tls_client_read(client, fd, (uint8_t *)out + count, out_bytes - count);
        if (got < 0 && count == 0) {
            errno = (int)-got;
            return got == -ECONNRESET ? 0 : -1;
        }
        count += got > 0 ? (size_t)got : 0;
        if (given < sealed_bytes) { /* What out has no room for is kept. */
            given += tls_client_give(client, sealed + given, sealed_bytes - given);
            continue;
        }
        if (count > 0) {
            return (ssize_t)count;
        }
        got = recv(fd, sealed, sizeof sealed, MSG_DONTWAIT);
        if (got <= 0) {
            return got;
        }
        sealed_bytes = (size_t)got;
        given = 0;
    }
}

void tls_client_shut(struct tls_client *client, int fd)
{
    if (client != NULL && SSL_is_init_finished(client->ssl)) {
        ERR_clear_error();
        SSL_shutdown(client->ssl);
        (void)tls_client_flush(client, fd);
        ERR_clear_error();
    }
}
