/*
 * tls_fixture: certificates and contexts in memory, and a client of OpenSSL that speaks with a
 * struct tls_job.
 */
#ifndef RINGCAST_TESTS_TLS_FIXTURE_H
#define RINGCAST_TESTS_TLS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "ring/tls_service.h"
#include "src/tls/tls_extract.h"
#include "tests/tls_maker.h"

static struct tls_fixture {
    struct tls_maker_certificate ca;    /* signs all others */
    struct tls_maker_certificate other; /* a CA that nobody knows */
    struct tls_maker_certificate ecdsa; /* of a server */
    struct tls_maker_certificate rsa;
} tls_fixture;

/* From the CA. */
static inline struct tls_maker_certificate tls_fixture_issue(const char *subject, const char *names)
{
    return tls_maker_issue(
        &(struct tls_maker_spec){.subject = subject, .names = names, .issuer = &tls_fixture.ca});
}

static inline int tls_fixture_open(void **state)
{
    (void)state;
    tls_fixture.ca =
        tls_maker_issue(&(struct tls_maker_spec){.subject = "an authority", .is_ca = true});
    tls_fixture.other =
        tls_maker_issue(&(struct tls_maker_spec){.subject = "another authority", .is_ca = true});
    tls_fixture.ecdsa = tls_fixture_issue("md.example.com", "DNS:md.example.com");
    tls_fixture.rsa = tls_maker_issue(&(struct tls_maker_spec){
        .subject = "md.example.com",
        .names = "DNS:md.example.com",
        .kind = "RSA",
        .issuer = &tls_fixture.ca,
    });
    return 0;
}

static inline int tls_fixture_close(void **state)
{
    (void)state;
    tls_maker_free(&tls_fixture.rsa);
    tls_maker_free(&tls_fixture.ecdsa);
    tls_maker_free(&tls_fixture.other);
    tls_maker_free(&tls_fixture.ca);
    return 0;
}

/* ---- Contexts ---- */

static inline SSL_CTX *tls_fixture_context(const SSL_METHOD *method,
                                           const struct tls_maker_certificate *own)
{
    SSL_CTX *context = SSL_CTX_new(method);
    assert_non_null(context);
    if (own != NULL) {
        assert_int_equal(SSL_CTX_use_certificate(context, own->x509), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(context, own->key), 1);
    }
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context), tls_fixture.ca.x509);
    return context;
}

static inline SSL_CTX *tls_fixture_server(const struct tls_maker_certificate *own)
{
    SSL_CTX *context = tls_fixture_context(TLS_server_method(), own);
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set1_groups_list(context, "X25519:P-256");
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 1);
    SSL_CTX_set_keylog_callback(context, tls_extract_keylog);
    return context;
}

/* It trusts the CA; own: NULL, or its certificate. */
static inline SSL_CTX *tls_fixture_client(const struct tls_maker_certificate *own)
{
    SSL_CTX *context = tls_fixture_context(TLS_client_method(), own);
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
