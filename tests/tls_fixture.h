/*
 * tls_fixture: keys, certificates and contexts made in memory, and a client of OpenSSL that speaks
 * with a struct tls_job over memory.
 *
 * Memory   tls_fixture_close frees what tls_fixture_open made; the caller frees the rest.
 */
#ifndef RINGCAST_TESTS_TLS_FIXTURE_H
#define RINGCAST_TESTS_TLS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ring/tls_service.h"
#include "src/tls/tls_extract.h"

#define TLS_FIXTURE_DAY_S 86400

/* A certificate with its key. */
struct tls_fixture_pair {
    X509 *certificate;
    EVP_PKEY *key;
};

static struct tls_fixture {
    struct tls_fixture_pair ca;    /* signs all others */
    struct tls_fixture_pair other; /* a CA that nobody knows */
    struct tls_fixture_pair ecdsa;
    struct tls_fixture_pair rsa;
} tls_fixture;

/* ---- Certificates ---- */

struct tls_fixture_wish {
    const char *name;                      /* the subject's CN */
    const char *alternatives;              /* as in openssl's configuration; NULL: none */
    const struct tls_fixture_pair *issuer; /* NULL: itself */
    EVP_PKEY *key;
    int64_t from_s, to_s; /* from now */
};

static inline EVP_PKEY *tls_fixture_key_ecdsa(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    assert_non_null(key);
    return key;
}

static inline void tls_fixture_extend(X509 *certificate, const X509 *issuer, int nid,
                                      const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, (X509 *)issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static inline X509 *tls_fixture_certificate_begin(const struct tls_fixture_wish *wish)
{
    static long serial;
    X509 *certificate = X509_new();
    X509_NAME *name = X509_get_subject_name(certificate);
    const X509 *issuer = wish->issuer == NULL ? certificate : wish->issuer->certificate;
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), (long)wish->from_s);
    X509_gmtime_adj(X509_getm_notAfter(certificate), (long)wish->to_s);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)wish->name, -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
    X509_set_pubkey(certificate, wish->key);
    if (wish->issuer == NULL) {
        tls_fixture_extend(certificate, issuer, NID_basic_constraints, "critical,CA:TRUE");
    }
    if (wish->alternatives != NULL) {
        tls_fixture_extend(certificate, issuer, NID_subject_alt_name, wish->alternatives);
    }
    return certificate;
}

static inline struct tls_fixture_pair tls_fixture_sign(X509 *certificate,
                                                       const struct tls_fixture_wish *wish)
{
    EVP_PKEY *key = wish->issuer == NULL ? wish->key : wish->issuer->key;
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    return (struct tls_fixture_pair){.certificate = certificate, .key = wish->key};
}

static inline struct tls_fixture_pair tls_fixture_pair_make(const struct tls_fixture_wish *wish)
{
    return tls_fixture_sign(tls_fixture_certificate_begin(wish), wish);
}

/* Of a server or client, from the CA, for a day. */
static inline struct tls_fixture_pair tls_fixture_leaf(EVP_PKEY *key, const char *name,
                                                       const char *alternatives)
{
    return tls_fixture_pair_make(&(struct tls_fixture_wish){
        .name = name,
        .alternatives = alternatives,
        .issuer = &tls_fixture.ca,
        .key = key,
        .from_s = -TLS_FIXTURE_DAY_S,
        .to_s = TLS_FIXTURE_DAY_S,
    });
}

static inline void tls_fixture_pair_free(struct tls_fixture_pair *pair)
{
    X509_free(pair->certificate);
    EVP_PKEY_free(pair->key);
}

static inline struct tls_fixture_pair tls_fixture_authority(const char *name)
{
    return tls_fixture_pair_make(&(struct tls_fixture_wish){
        .name = name,
        .key = tls_fixture_key_ecdsa(),
        .from_s = -TLS_FIXTURE_DAY_S,
        .to_s = TLS_FIXTURE_DAY_S,
    });
}

static inline int tls_fixture_open(void **state)
{
    (void)state;
    tls_fixture.ca = tls_fixture_authority("an authority");
    tls_fixture.other = tls_fixture_authority("another authority");
    tls_fixture.ecdsa =
        tls_fixture_leaf(tls_fixture_key_ecdsa(), "md.example.com", "DNS:md.example.com");
    tls_fixture.rsa = tls_fixture_leaf(EVP_RSA_gen(2048), "md.example.com", "DNS:md.example.com");
    return 0;
}

static inline int tls_fixture_close(void **state)
{
    (void)state;
    tls_fixture_pair_free(&tls_fixture.rsa);
    tls_fixture_pair_free(&tls_fixture.ecdsa);
    tls_fixture_pair_free(&tls_fixture.other);
    tls_fixture_pair_free(&tls_fixture.ca);
    return 0;
}

/* ---- Contexts ---- */

static inline SSL_CTX *tls_fixture_context(const SSL_METHOD *method,
                                           const struct tls_fixture_pair *pair)
{
    SSL_CTX *context = SSL_CTX_new(method);
    assert_non_null(context);
    if (pair != NULL) {
        assert_int_equal(SSL_CTX_use_certificate(context, pair->certificate), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(context, pair->key), 1);
    }
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context), tls_fixture.ca.certificate);
    return context;
}

static inline SSL_CTX *tls_fixture_server(const struct tls_fixture_pair *pair)
{
    SSL_CTX *context = tls_fixture_context(TLS_server_method(), pair);
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set1_groups_list(context, "X25519:P-256");
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 1);
    SSL_CTX_set_keylog_callback(context, tls_extract_keylog);
    return context;
}

/* It trusts the CA; pair: NULL, or its certificate. */
static inline SSL_CTX *tls_fixture_client(const struct tls_fixture_pair *pair)
{
    SSL_CTX *context = tls_fixture_context(TLS_client_method(), pair);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    return context;
}

/* ---- The client's end ---- */

static inline SSL *tls_fixture_connect(SSL_CTX *context)
{
    SSL *client = SSL_new(context);
    BIO *in = BIO_new(BIO_s_mem());
    BIO *out = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(in, -1);
    BIO_set_mem_eof_return(out, -1);
    SSL_set_bio(client, in, out);
    SSL_set_connect_state(client);
    return client;
}

/* Moves the next bytes that the client sends to the job, at most count. false: there are none. */
static inline bool tls_fixture_send(SSL *client, struct tls_job *job, size_t count)
{
    int moved = BIO_read(SSL_get_wbio(client), job->in,
                         (int)(count < sizeof job->in ? count : sizeof job->in));
    job->in_bytes = moved > 0 ? (uint32_t)moved : 0;
    return moved > 0;
}

static inline void tls_fixture_receive(SSL *client, const void *bytes, size_t count)
{
    if (count > 0) {
        assert_int_equal(BIO_write(SSL_get_rbio(client), bytes, (int)count), count);
    }
}

#endif
