#include "src/tls/tls_clients.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "src/tls/tls_certificate.h"
#include "src/tls/tls_files.h"

static_assert(TLS_CLIENTS_SESSION_BYTES == SSL_MAX_SID_CTX_LENGTH, "a SHA-256 fits");

static int tls_clients_no_memory(const char *option, const char *path,
                                 char error_out[TLS_ERROR_BYTES_MAX])
{
    return tls_error_write(error_out, -ENOMEM, option, path, "not enough memory");
}

/* Their names go to the clients, if they fit into the answer. */
static int tls_clients_take_names(struct tls_clients *clients, STACK_OF(X509) * all)
{
    int bytes = 0;
    for (int i = 0; i < sk_X509_num(all); i++) {
        bytes += i2d_X509_NAME(X509_get_subject_name(sk_X509_value(all, i)), NULL) + 2;
    }
    clients->names = sk_X509_NAME_new_null();
    int error = clients->names == NULL ? -ENOMEM : 0;
    for (int i = 0; error == 0 && bytes <= TLS_CLIENTS_NAMES_BYTES_MAX && i < sk_X509_num(all);
         i++) {
        X509_NAME *name = X509_NAME_dup(X509_get_subject_name(sk_X509_value(all, i)));
        if (name == NULL || sk_X509_NAME_push(clients->names, name) <= 0) {
            X509_NAME_free(name);
            error = -ENOMEM;
        }
    }
    return error;
}

static int tls_clients_take_cas(struct tls_clients *clients, STACK_OF(X509) * all, const char *path,
                                char error_out[TLS_ERROR_BYTES_MAX])
{
    int error = tls_clients_take_names(clients, all);
    for (int i = 0; error == 0 && i < sk_X509_num(all); i++) {
        X509 *ca = sk_X509_value(all, i);
        if (X509_check_ca(ca) == 0) {
            return tls_error_write(error_out, -EINVAL, "tls-client-ca", path,
                                   "its certificate number %d is not that of a CA; give the "
                                   "certificates of the CAs that issue those of clients",
                                   i + 1);
        }
        error = X509_STORE_add_cert(clients->store, ca) == 1 ? 0 : -ENOMEM;
    }
    return error == 0 ? 0 : tls_clients_no_memory("tls-client-ca", path, error_out);
}

static int tls_clients_take_crls(struct tls_clients *clients, const char *path,
                                 const struct tls_file *file, char error_out[TLS_ERROR_BYTES_MAX])
{
    BIO *bio = BIO_new_mem_buf(file->text, (int)file->bytes);
    int count = 0;
    int error = bio == NULL ? -ENOMEM : 0;
    X509_CRL *crl;
    ERR_clear_error();
    while (error == 0 && (crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)) != NULL) {
        const ASN1_TIME *until = X509_CRL_get0_nextUpdate(crl);
        int64_t until_s = until == NULL ? INT64_MAX : tls_certificate_time(until);
        clients->crl_until_s = until_s < clients->crl_until_s ? until_s : clients->crl_until_s;
        error = X509_STORE_add_crl(clients->store, crl) == 1 ? 0 : -ENOMEM;
        X509_CRL_free(crl);
        count++;
    }
    BIO_free(bio);
    clients->crl_file = strdup(path);
    if (error < 0 || clients->crl_file == NULL) {
        return tls_clients_no_memory("tls-client-crl", path, error_out);
    }
    bool is_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (is_end && count > 0) {
        ERR_clear_error();
        X509_STORE_set_flags(clients->store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
        return 0;
    }
    return is_end ? tls_error_write(error_out, -EINVAL, "tls-client-crl", path,
                                    "it contains no CRL in PEM (\"-----BEGIN X509 CRL-----\"); "
                                    "`openssl crl -inform der` converts one")
                  : tls_error_write(error_out, -EINVAL, "tls-client-crl", path,
                                    "its CRL number %d is damaged (%s); copy the file again",
                                    count + 1, tls_error_reason());
}

static int tls_clients_fill(struct tls_clients *clients, const struct tls_options *options,
                            const struct tls_file *ca, const struct tls_file *crl,
                            char error_out[TLS_ERROR_BYTES_MAX])
{
    STACK_OF(X509) *all = NULL;
    int error = tls_certificate_read_all(&all, "tls-client-ca", options->client_ca, ca->text,
                                         ca->bytes, error_out);
    if (error < 0) {
        return error;
    }
    clients->store = X509_STORE_new();
    error = clients->store == NULL
                ? tls_clients_no_memory("tls-client-ca", options->client_ca, error_out)
                : tls_clients_take_cas(clients, all, options->client_ca, error_out);
    sk_X509_pop_free(all, X509_free);
    if (error == 0 && options->client_crl != NULL) {
        error = tls_clients_take_crls(clients, options->client_crl, crl, error_out);
    }
    if (error == 0) {
        /* A CA of the file is believed, whoever issued its certificate. */
        X509_STORE_set_flags(clients->store, X509_V_FLAG_PARTIAL_CHAIN);
    }
    return error;
}

static int tls_clients_hash(struct tls_clients *clients, const struct tls_file *ca,
                            const struct tls_file *crl)
{
    uint8_t auth = (uint8_t)clients->auth;
    uint64_t ca_bytes = ca->bytes;
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    bool is_good = hash != NULL && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1 &&
                   EVP_DigestUpdate(hash, &auth, sizeof auth) == 1 &&
                   EVP_DigestUpdate(hash, &ca_bytes, sizeof ca_bytes) == 1 &&
                   EVP_DigestUpdate(hash, ca->text, ca->bytes) == 1 &&
                   EVP_DigestUpdate(hash, crl->text, crl->bytes) == 1 &&
                   EVP_DigestFinal_ex(hash, clients->session, NULL) == 1;
    EVP_MD_CTX_free(hash);
    return is_good ? 0 : -ENOMEM;
}

int tls_clients_load(struct tls_clients *clients_out, const struct tls_options *options,
                     char error_out[TLS_ERROR_BYTES_MAX])
{
    *clients_out = (struct tls_clients){.auth = options->client_auth, .crl_until_s = INT64_MAX};
    struct tls_file ca = {0};
    struct tls_file crl = {0};
    int error = 0;
    assert_always((options->client_auth == TLS_CLIENT_AUTH_NONE) == (options->client_ca == NULL));
    if (options->client_ca != NULL) {
        error = tls_files_read(&ca, "tls-client-ca", options->client_ca, error_out);
    }
    if (error == 0 && options->client_crl != NULL) {
        error = tls_files_read(&crl, "tls-client-crl", options->client_crl, error_out);
    }
    if (error == 0 && ca.text != NULL) {
        error = tls_clients_fill(clients_out, options, &ca, &crl, error_out);
    }
    if (error == 0 && tls_clients_hash(clients_out, &ca, &crl) < 0) {
        error = tls_error_write(error_out, -ENOMEM, "tls-port", NULL,
                                "libcrypto makes no SHA-256 (%s); check the configuration of "
                                "OpenSSL (`openssl version -d`), or free memory",
                                tls_error_reason());
    }
    tls_files_free(&ca);
    tls_files_free(&crl);
    if (error < 0) {
        tls_clients_free(clients_out);
        return error;
    }
    assert_always((clients_out->auth == TLS_CLIENT_AUTH_NONE) == (clients_out->store == NULL));
    return 0;
}

void tls_clients_free(struct tls_clients *clients)
{
    X509_STORE_free(clients->store);
    sk_X509_NAME_pop_free(clients->names, X509_NAME_free);
    free(clients->crl_file);
    *clients = (struct tls_clients){0};
}

/* Every certificate needs a CRL of its issuer, except the CA of the file itself, whose issuer may
 * be unknown: that one is taken out of the file to be revoked. */
static int tls_clients_on_verified(int is_good, X509_STORE_CTX *verification)
{
    int error = X509_STORE_CTX_get_error(verification);
    bool is_last = X509_STORE_CTX_get_error_depth(verification) ==
                   sk_X509_num(X509_STORE_CTX_get0_chain(verification)) - 1;
    if (!is_good && is_last &&
        (error == X509_V_ERR_UNABLE_TO_GET_CRL || error == X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER)) {
        X509_STORE_CTX_set_error(verification, X509_V_OK);
        return 1;
    }
    return is_good;
}

int tls_clients_apply(const struct tls_clients *clients, SSL_CTX *ssl)
{
    if (SSL_CTX_set_session_id_context(ssl, clients->session, sizeof clients->session) != 1) {
        return -ENOMEM;
    }
    if (clients->auth == TLS_CLIENT_AUTH_NONE) {
        return 0;
    }
    assert_always(clients->store != NULL); /* Or every certificate would be refused. */
    STACK_OF(X509_NAME) *names = SSL_dup_CA_list(clients->names);
    if (names == NULL) {
        return -ENOMEM;
    }
    SSL_CTX_set_client_CA_list(ssl, names);
    SSL_CTX_set1_cert_store(ssl, clients->store);
    SSL_CTX_set_verify_depth(ssl, TLS_CLIENTS_DEPTH_MAX);
    SSL_CTX_set_verify(
        ssl,
        SSL_VERIFY_PEER |
            (clients->auth == TLS_CLIENT_AUTH_REQUIRE ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
        tls_clients_on_verified);
    return 0;
}
