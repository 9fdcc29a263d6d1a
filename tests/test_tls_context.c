#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "ring/tls_service.h"
#include "src/tls/tls_certificate.h"
#include "src/tls/tls_context.h"
#include "src/tls/tls_files.h"
#include "src/tls/tls_tickets.h"
#include "tests/tls_maker.h"

static struct tls_maker_certificate ca;
static struct tls_maker_certificate desk;     /* ECDSA, desk.test */
static struct tls_maker_certificate desk_rsa; /* the same names */
static struct tls_maker_certificate wild;     /* *.wild.test, other.test */
static struct tls_maker_certificate client;   /* of a client, issued by ca */
static char error[TLS_CONTEXT_ERROR_BYTES_MAX];

/* What a test gives to tls_context_load(), one certificate after the other. */
struct setup {
    struct tls_options options;
};

static void setup_add(struct setup *setup, const char *chain, const char *key, const char *ocsp)
{
    setup->options.certificates[setup->options.certificate_count++] =
        (struct tls_certificate_files){.chain = chain, .key = key, .ocsp = ocsp};
}

static struct setup setup_of(const char *chain, const char *key)
{
    struct setup setup = {0};
    setup_add(&setup, chain, key, NULL);
    return setup;
}

static struct setup setup_of_desk(void)
{
    return setup_of(tls_maker_path("desk.pem"), tls_maker_path("desk.key"));
}

static struct tls_context *load(const struct setup *setup, struct tls_tickets *tickets)
{
    struct tls_context *context = NULL;
    error[0] = '\0';
    if (tls_context_load(&context, &setup->options, tickets, error) < 0) {
        fail_msg("%s", error);
    }
    return context;
}

/* It does not load, and the line has all of these words. */
static void assert_refused(const struct setup *setup, const char *option, const char *file,
                           const char *words)
{
    struct tls_context *context = NULL;
    error[0] = '\0';
    assert_true(tls_context_load(&context, &setup->options, NULL, error) < 0);
    assert_null(context);
    if (strncmp(error, "--", 2) != 0 || strncmp(error + 2, option, strlen(option)) != 0 ||
        strstr(error, file) == NULL || strstr(error, words) == NULL || strchr(error, '\n')) {
        fail_msg("not of %s and %s: %s", option, words, error);
    }
}

/* Two ends of a handshake in memory. */
struct pair {
    SSL_CTX *client_context;
    SSL *server, *client;
    bool is_done;
    int client_reason, server_reason; /* of ERR_GET_REASON, 0: none */
};

static SSL_CTX *pair_client_context(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    return context;
}

static void pair_open(struct pair *pair, const struct tls_context *context, SSL_CTX *client_context)
{
    BIO *ends[2];
    *pair = (struct pair){.client_context = client_context,
                          .server = SSL_new(tls_context_ssl(context)),
                          .client = SSL_new(client_context)};
    assert_int_equal(BIO_new_bio_pair(&ends[0], 1 << 17, &ends[1], 1 << 17), 1);
    SSL_set_bio(pair->server, ends[0], ends[0]);
    SSL_set_bio(pair->client, ends[1], ends[1]);
    SSL_set_accept_state(pair->server);
    SSL_set_connect_state(pair->client);
}

/* 0: the handshake goes on, 1: it has finished, -1: it has failed. */
static int pair_step(SSL *ssl, int before, int *reason_out)
{
    if (before < 0) {
        return before;
    }
    ERR_clear_error();
    int result = SSL_do_handshake(ssl);
    int why = SSL_get_error(ssl, result);
    if (result != 1 && why != SSL_ERROR_WANT_READ) {
        *reason_out = ERR_GET_REASON(ERR_peek_error());
        return -1;
    }
    return result == 1;
}

static void pair_run(struct pair *pair)
{
    int is_client_done = 0;
    int is_server_done = 0;
    for (uint32_t i = 0; i < 10 && !(is_client_done == 1 && is_server_done == 1); i++) {
        is_client_done = pair_step(pair->client, is_client_done, &pair->client_reason);
        is_server_done = pair_step(pair->server, is_server_done, &pair->server_reason);
    }
    /* TLS 1.3: the client has finished before the server judges it. */
    pair->is_done = is_client_done == 1 && is_server_done == 1;
    uint8_t byte;
    if (pair->is_done) {
        SSL_read(pair->client, &byte, 1); /* tickets */
    }
}

static void pair_close(struct pair *pair)
{
    if (pair->is_done) {
        SSL_set_shutdown(pair->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_set_shutdown(pair->server, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    }
    SSL_free(pair->client);
    SSL_free(pair->server);
    SSL_CTX_free(pair->client_context);
    ERR_clear_error();
}

/* The certificate that the server shows to a client that asks for a name. */
static void assert_shows(const struct tls_context *context, const char *server_name,
                         const char *sigalgs, const struct tls_maker_certificate *expected)
{
    struct pair pair;
    pair_open(&pair, context, pair_client_context());
    if (server_name != NULL) {
        SSL_set_tlsext_host_name(pair.client, server_name);
    }
    if (sigalgs != NULL) {
        SSL_set1_sigalgs_list(pair.client, sigalgs);
    }
    pair_run(&pair);
    assert_true(pair.is_done);
    assert_int_equal(X509_cmp(SSL_get0_peer_certificate(pair.client), expected->x509), 0);
    pair_close(&pair);
}

static void a_certificate_is_chosen_by_its_name(void **state)
{
    (void)state;
    struct setup setup = setup_of_desk();
    setup_add(&setup, tls_maker_path("wild.pem"), tls_maker_path("wild.key"), NULL);
    setup_add(&setup, tls_maker_path("exact.pem"), NULL, NULL);
    struct tls_context *context = load(&setup, NULL);
    assert_shows(context, "desk.test", NULL, &desk);
    assert_shows(context, "DESK.test", NULL, &desk);
    assert_shows(context, "a.wild.test", NULL, &wild);
    assert_shows(context, "Other.Test", NULL, &wild);
    assert_shows(context, "a.b.wild.test", NULL, &desk);
    assert_shows(context, "wild.test", NULL, &desk);
    assert_shows(context, "unknown.test", NULL, &desk);
    assert_shows(context, NULL, NULL, &desk);
    tls_context_release(context);
}

static void a_client_without_ecdsa_gets_the_rsa_certificate_of_the_same_name(void **state)
{
    (void)state;
    struct setup setup = setup_of_desk();
    setup_add(&setup, tls_maker_path("rsa.pem"), NULL, NULL);
    struct tls_context *context = load(&setup, NULL);
    assert_shows(context, "desk.test", "ECDSA+SHA256", &desk);
    assert_shows(context, "desk.test", "RSA-PSS+SHA256:RSA+SHA256", &desk_rsa);
    assert_shows(context, "desk.test", NULL, &desk);
    tls_context_release(context);
}

/* What becomes of a client that offers this. 0: a handshake, else the reason of its failure. */
struct offer {
    const char *groups, *suites_12, *suites_13, *alpn;
    int version;          /* the only one; 0: any */
    const char *expected; /* the suite that is chosen; NULL: any */
};

static int offer_reason(const struct tls_context *context, const struct offer *offer)
{
    SSL_CTX *client_context = pair_client_context();
    SSL_CTX_set_security_level(client_context, 0);
    if (offer->version != 0) {
        SSL_CTX_set_min_proto_version(client_context, offer->version);
        SSL_CTX_set_max_proto_version(client_context, offer->version);
    }
    assert_true(offer->groups == NULL || SSL_CTX_set1_groups_list(client_context, offer->groups));
    assert_true(offer->suites_12 == NULL ||
                SSL_CTX_set_cipher_list(client_context, offer->suites_12));
    assert_true(offer->suites_13 == NULL ||
                SSL_CTX_set_ciphersuites(client_context, offer->suites_13));
    if (offer->alpn != NULL) {
        SSL_CTX_set_alpn_protos(client_context, (const uint8_t *)offer->alpn,
                                (unsigned)strlen(offer->alpn));
    }
    struct pair pair;
    pair_open(&pair, context, client_context);
    pair_run(&pair);
    int reason = pair.client_reason != 0 ? pair.client_reason : pair.server_reason;
    if (pair.is_done && offer->expected != NULL) {
        assert_string_equal(SSL_get_cipher_name(pair.client), offer->expected);
    }
    if (pair.is_done && offer->alpn != NULL) {
        const uint8_t *chosen;
        unsigned bytes;
        SSL_get0_alpn_selected(pair.client, &chosen, &bytes);
        assert_int_equal(bytes, 8);
        assert_memory_equal(chosen, "http/1.1", 8);
    }
    assert_true(pair.is_done == (reason == 0));
    pair_close(&pair);
    return reason;
}

#define ALERT(number) (SSL_AD_REASON_OFFSET + (number))

static void only_two_groups_are_offered(void **state)
{
    (void)state;
    struct setup setup = setup_of_desk();
    struct tls_context *context = load(&setup, NULL);
    static const char *const refused[] = {"P-384",     "P-521",     "X448",
                                          "ffdhe2048", "ffdhe8192", "P-384:X448"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct offer offer = {.groups = refused[i], .version = TLS1_3_VERSION};
        assert_int_equal(offer_reason(context, &offer), ALERT(SSL_AD_HANDSHAKE_FAILURE));
    }
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct offer offer = {.groups = "P-384", .version = version};
        assert_int_equal(offer_reason(context, &offer), ALERT(SSL_AD_HANDSHAKE_FAILURE));
        offer.groups = "P-256";
        assert_int_equal(offer_reason(context, &offer), 0);
        offer.groups = "X448:X25519:P-256"; /* TLS 1.2: P-256 is the certificate's */
        assert_int_equal(offer_reason(context, &offer), 0);
    }
    tls_context_release(context);
}

/* S114: suites by their names in OpenSSL. */
static void only_suites_with_forward_secrecy_and_an_aead_are_offered(void **state)
{
    (void)state;
    struct setup setup = setup_of_desk();
    setup_add(&setup, tls_maker_path("rsa.pem"), NULL, NULL);
    struct tls_context *context = load(&setup, NULL);
    static const char *const refused[] = {"AES128-GCM-SHA256",         "AES256-SHA",
                                          "ECDHE-ECDSA-AES128-SHA256", "ECDHE-RSA-AES256-SHA384",
                                          "DHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-CCM",
                                          "AECDH-AES128-SHA",          "ECDHE-ECDSA-NULL-SHA"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct offer offer = {.suites_12 = refused[i], .version = TLS1_2_VERSION};
        assert_int_equal(offer_reason(context, &offer), ALERT(SSL_AD_HANDSHAKE_FAILURE));
    }
    static const char *const good[] = {
        "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES256-GCM-SHA384",   "ECDHE-RSA-CHACHA20-POLY1305"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct offer offer = {.suites_12 = good[i], .expected = good[i], .version = TLS1_2_VERSION};
        assert_int_equal(offer_reason(context, &offer), 0);
    }
    struct offer ccm = {.suites_13 = "TLS_AES_128_CCM_SHA256", .version = TLS1_3_VERSION};
    assert_int_equal(offer_reason(context, &ccm), ALERT(SSL_AD_HANDSHAKE_FAILURE));
    tls_context_release(context);
}

static void chacha20_is_chosen_for_clients_that_put_it_first(void **state)
{
    (void)state;
    struct setup setup = setup_of_desk();
    struct tls_context *context = load(&setup, NULL);
    static const char chacha[] = "TLS_CHACHA20_POLY1305_SHA256";
    struct offer offers[] = {
        {.suites_13 = "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256", .expected = chacha},
        {.suites_13 = "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256",
         .expected = "TLS_AES_128_GCM_SHA256"},
    };
    for (size_t i = 0; i < sizeof offers / sizeof offers[0]; i++) {
        assert_int_equal(offer_reason(context, &offers[i]), 0);
    }
    tls_context_release(context);
}

/* S114: TLS 1.2 and 1.3. */
static void versions_before_the_lowest_are_refused(void **state)
{
    (void)state;
    struct setup setup = setup_of_desk();
    struct tls_context *context = load(&setup, NULL);
    struct offer offer = {.version = TLS1_1_VERSION, .suites_12 = "ALL:@SECLEVEL=0"};
    assert_int_equal(offer_reason(context, &offer), ALERT(SSL_AD_PROTOCOL_VERSION));
    offer = (struct offer){.version = TLS1_2_VERSION};
    assert_int_equal(offer_reason(context, &offer), 0);
    tls_context_release(context);

    setup.options.is_13_only = true;
    context = load(&setup, NULL);
    assert_int_equal(offer_reason(context, &offer), ALERT(SSL_AD_PROTOCOL_VERSION));
    offer.version = TLS1_3_VERSION;
    assert_int_equal(offer_reason(context, &offer), 0);
    tls_context_release(context);
}

static void a_protocol_other_than_http_1_1_is_refused(void **state)
{
    (void)state;
    struct setup setup = setup_of_desk();
    struct tls_context *context = load(&setup, NULL);
    struct offer offer = {.alpn = "\x02h2"};
    assert_int_equal(offer_reason(context, &offer), ALERT(SSL_AD_NO_APPLICATION_PROTOCOL));
    offer.alpn = "\x02h2\x08http/1.1";
    assert_int_equal(offer_reason(context, &offer), 0);
    offer.alpn = "\x08http/1.1";
    assert_int_equal(offer_reason(context, &offer), 0);
    tls_context_release(context);
}

static void renegotiation_compression_and_early_data_are_off(void **state)
{
    (void)state;
    struct setup setup = setup_of_desk();
    struct tls_context *context = load(&setup, NULL);
    SSL_CTX *client_context = pair_client_context();
    SSL_CTX_set_max_proto_version(client_context, TLS1_2_VERSION);
    SSL_CTX_clear_options(client_context, SSL_OP_NO_COMPRESSION);
    struct pair pair;
    pair_open(&pair, context, client_context);
    pair_run(&pair);
    assert_true(pair.is_done);
    assert_null(SSL_get_current_compression(pair.client));
    assert_true(SSL_get_options(pair.server) & SSL_OP_NO_COMPRESSION);
    assert_int_equal(SSL_CTX_get_max_early_data(tls_context_ssl(context)), 0);
    assert_int_equal(SSL_renegotiate(pair.client), 1);
    uint8_t byte;
    SSL_do_handshake(pair.client);
    SSL_read(pair.server, &byte, 1);
    ERR_clear_error();
    assert_int_equal(SSL_do_handshake(pair.client), -1);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
    pair_close(&pair);
    tls_context_release(context);
}

/* A handshake of a client that has a ticket, or none. Returns the session with the next ticket. */
static SSL_SESSION *come_back(const struct tls_context *context, int version, SSL_SESSION *session,
                              bool *is_resumed_out)
{
    SSL_CTX *client_context = pair_client_context();
    SSL_CTX_set_min_proto_version(client_context, version);
    SSL_CTX_set_max_proto_version(client_context, version);
    SSL_CTX_use_certificate(client_context, client.x509);
    SSL_CTX_use_PrivateKey(client_context, client.key);
    struct pair pair;
    pair_open(&pair, context, client_context);
    SSL_set_tlsext_host_name(pair.client, "desk.test");
    if (session != NULL) {
        SSL_set_session(pair.client, session);
        SSL_SESSION_free(session);
    }
    pair_run(&pair);
    assert_true(pair.is_done);
    SSL_SESSION *next = SSL_get1_session(pair.client);
    assert_true(SSL_SESSION_is_resumable(next));
    assert_int_equal(SSL_SESSION_get_max_early_data(next), 0);
    *is_resumed_out = SSL_session_reused(pair.client) == 1;
    pair_close(&pair);
    return next;
}

static SSL_SESSION *assert_comes_back(const struct tls_context *context, int version,
                                      SSL_SESSION *session, bool expected)
{
    bool is_resumed = false;
    session = come_back(context, version, session, &is_resumed);
    assert_int_equal(is_resumed, expected);
    return session;
}

static void a_ticket_outlives_a_reload(void **state)
{
    (void)state;
    struct tls_tickets *tickets;
    assert_int_equal(tls_tickets_open(&tickets), 0);
    struct setup setup = setup_of_desk();
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct tls_context *context = load(&setup, tickets);
        SSL_SESSION *session = assert_comes_back(context, version, NULL, false);
        session = assert_comes_back(context, version, session, true);
        tls_context_release(context);
        context = load(&setup, tickets);
        session = assert_comes_back(context, version, session, true);
        session = assert_comes_back(context, version, session, true); /* by the newest ticket */
        tls_context_release(context);

        struct tls_tickets *others;
        assert_int_equal(tls_tickets_open(&others), 0);
        context = load(&setup, others);
        SSL_SESSION_free(assert_comes_back(context, version, session, false));
        tls_context_release(context);
        tls_tickets_close(others);
    }
    tls_tickets_close(tickets);
}

static void two_keys_that_were_renewed_still_open_tickets(void **state)
{
    (void)state;
    struct setup setup = setup_of_desk();
    for (uint32_t renewals = 0; renewals <= TLS_TICKETS_KEYS; renewals++) {
        struct tls_tickets *tickets;
        assert_int_equal(tls_tickets_open(&tickets), 0);
        struct tls_context *context = load(&setup, tickets);
        SSL_SESSION *session = assert_comes_back(context, TLS1_3_VERSION, NULL, false);
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        uint64_t now_ns = (uint64_t)now.tv_sec * NS_PER_SECOND;
        assert_int_equal(tls_tickets_renew(tickets, now_ns), 0); /* It is not 12 h old. */
        for (uint32_t i = 1; i <= renewals; i++) {
            uint64_t then_ns = now_ns + (i * 2) * TLS_TICKETS_RENEWED_NS;
            assert_int_equal(tls_tickets_renew(tickets, then_ns), 0);
            assert_int_equal(tls_tickets_renew(tickets, then_ns), 0); /* once */
        }
        session = assert_comes_back(context, TLS1_3_VERSION, session, renewals < TLS_TICKETS_KEYS);
        SSL_SESSION_free(session);
        tls_context_release(context);
        tls_tickets_close(tickets);
    }
}

static void servers_with_one_key_file_open_each_others_tickets(void **state)
{
    (void)state;
    struct tls_tickets *tickets[2];
    struct tls_context *contexts[2];
    uint8_t key[81];
    memset(key, 1, sizeof key);
    struct setup setup = setup_of_desk();
    setup.options.ticket_key_file = tls_maker_write_bytes("tickets", key, 80);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(tls_tickets_open(&tickets[i]), 0);
        contexts[i] = load(&setup, tickets[i]);
    }
    SSL_SESSION *session = assert_comes_back(contexts[0], TLS1_3_VERSION, NULL, false);
    session = assert_comes_back(contexts[1], TLS1_3_VERSION, session, true);
    assert_int_equal(tls_tickets_renew(tickets[0], UINT64_MAX), 0); /* Not that of a file. */
    session = assert_comes_back(contexts[0], TLS1_3_VERSION, session, true);
    session = assert_comes_back(contexts[1], TLS1_3_VERSION, session, true);
    tls_context_release(contexts[1]);

    /* The file is replaced: both keys open on the server that has read it, one on the other. */
    memset(key, 2, sizeof key);
    setup.options.ticket_key_file = tls_maker_write_bytes("tickets", key, 80);
    contexts[1] = load(&setup, tickets[1]);
    session = assert_comes_back(contexts[1], TLS1_3_VERSION, session, true);
    session = assert_comes_back(contexts[0], TLS1_3_VERSION, session, false);
    session = assert_comes_back(contexts[1], TLS1_3_VERSION, session, true);
    tls_context_release(contexts[1]);

    /* Without the file the key is a random one, which nobody else has. */
    setup.options.ticket_key_file = NULL;
    contexts[1] = load(&setup, tickets[1]);
    session = assert_comes_back(contexts[1], TLS1_3_VERSION, session, true);
    setup.options.ticket_key_file = tls_maker_path("tickets");
    tls_context_release(contexts[0]);
    contexts[0] = load(&setup, tickets[0]);
    SSL_SESSION_free(assert_comes_back(contexts[0], TLS1_3_VERSION, session, false));
    for (uint32_t i = 0; i < 2; i++) {
        tls_context_release(contexts[i]);
        tls_tickets_close(tickets[i]);
    }
    setup.options.ticket_key_file = tls_maker_write_bytes("tickets", key, 81);
    assert_refused(&setup, "tls-ticket-key-file", "tickets", "it has 81 bytes, and must have 80");
}

static void a_ticket_from_before_another_client_ca_does_not_resume(void **state)
{
    (void)state;
    struct tls_tickets *tickets;
    assert_int_equal(tls_tickets_open(&tickets), 0);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct setup setup = setup_of_desk();
        struct tls_context *context = load(&setup, tickets);
        SSL_SESSION *session = assert_comes_back(context, version, NULL, false);
        tls_context_release(context);

        setup.options.client_auth = TLS_CLIENT_AUTH_REQUIRE;
        setup.options.client_ca = tls_maker_write("ca.pem", ca.x509, NULL, NULL);
        context = load(&setup, tickets);
        session = assert_comes_back(context, version, session, false);
        session = assert_comes_back(context, version, session, true);
        tls_context_release(context);

        setup.options.client_crl = tls_maker_crl("crl.pem", &ca, NULL, TLS_MAKER_DAY);
        context = load(&setup, tickets);
        session = assert_comes_back(context, version, session, false);
        SSL_SESSION_free(assert_comes_back(context, version, session, true));
        tls_context_release(context);
    }
    tls_tickets_close(tickets);
}

/* A client that shows a certificate, or none. Returns the server's verdict, an X509_V_; -1: it
 * wanted one and got none. */
static long show(const struct tls_context *context, const struct tls_maker_certificate *shown,
                 const struct tls_maker_certificate *between)
{
    SSL_CTX *client_context = pair_client_context();
    if (shown != NULL) {
        assert_int_equal(SSL_CTX_use_cert_and_key(client_context, shown->x509, shown->key, NULL, 1),
                         1);
    }
    if (between != NULL) {
        SSL_CTX_add1_chain_cert(client_context, between->x509);
    }
    struct pair pair;
    pair_open(&pair, context, client_context);
    pair_run(&pair);
    long verdict = SSL_get_verify_result(pair.server);
    if (pair.server_reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
        verdict = -1;
    }
    assert_true(pair.is_done == (verdict == X509_V_OK));
    assert_true(!pair.is_done ||
                (SSL_get0_peer_certificate(pair.server) != NULL) == (shown != NULL));
    pair_close(&pair);
    return verdict;
}

/* S22 */
static void a_client_certificate_is_required_or_requested(void **state)
{
    (void)state;
    struct tls_maker_certificate stranger =
        tls_maker_issue(&(struct tls_maker_spec){.subject = "stranger"});
    struct tls_maker_certificate old = tls_maker_issue(&(struct tls_maker_spec){
        .subject = "old", .issuer = &ca, .begins_s = -9 * TLS_MAKER_DAY, .ends_s = -5});
    struct setup setup = setup_of_desk();
    setup.options.client_ca = tls_maker_write("ca.pem", ca.x509, NULL, NULL);
    setup.options.client_auth = TLS_CLIENT_AUTH_REQUIRE;
    struct tls_context *context = load(&setup, NULL);
    assert_int_equal(show(context, &client, NULL), X509_V_OK);
    assert_int_equal(show(context, NULL, NULL), -1);
    assert_int_equal(show(context, &stranger, NULL), X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT);
    assert_int_equal(show(context, &old, NULL), X509_V_ERR_CERT_HAS_EXPIRED);
    tls_context_release(context);

    setup.options.client_auth = TLS_CLIENT_AUTH_REQUEST;
    context = load(&setup, NULL);
    assert_int_equal(show(context, &client, NULL), X509_V_OK);
    assert_int_equal(show(context, NULL, NULL), X509_V_OK);
    assert_int_equal(show(context, &old, NULL), X509_V_ERR_CERT_HAS_EXPIRED);
    tls_context_release(context);
    tls_maker_free(&stranger);
    tls_maker_free(&old);
}

static void a_revoked_client_certificate_is_refused(void **state)
{
    (void)state;
    struct tls_maker_certificate between = tls_maker_issue(
        &(struct tls_maker_spec){.subject = "between", .is_ca = true, .issuer = &ca});
    struct tls_maker_certificate far =
        tls_maker_issue(&(struct tls_maker_spec){.subject = "far", .issuer = &between});
    struct setup setup = setup_of_desk();
    setup.options.client_auth = TLS_CLIENT_AUTH_REQUIRE;
    setup.options.client_ca = tls_maker_write("ca.pem", ca.x509, NULL, NULL);
    setup.options.client_crl = tls_maker_crl("crl.pem", &ca, client.x509, TLS_MAKER_DAY);
    struct tls_context *context = load(&setup, NULL);
    assert_int_equal(show(context, &client, NULL), X509_V_ERR_CERT_REVOKED);
    assert_int_equal(show(context, &far, &between), X509_V_ERR_UNABLE_TO_GET_CRL);
    tls_context_release(context);

    setup.options.client_crl = tls_maker_crl("crl.pem", &ca, desk.x509, TLS_MAKER_DAY);
    context = load(&setup, NULL);
    assert_int_equal(show(context, &client, NULL), X509_V_OK);
    tls_context_release(context);

    /* A CA of the file is believed, though the CRL of its issuer is not there. */
    setup.options.client_ca = tls_maker_write("between.pem", between.x509, NULL, NULL);
    setup.options.client_crl = tls_maker_crl("between.crl", &between, NULL, TLS_MAKER_DAY);
    context = load(&setup, NULL);
    assert_int_equal(show(context, &far, NULL), X509_V_OK);
    assert_int_equal(show(context, &client, NULL), X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
    tls_context_release(context);

    setup.options.client_crl = tls_maker_crl("between.crl", &between, NULL, -5);
    context = load(&setup, NULL);
    assert_int_equal(show(context, &far, NULL), X509_V_ERR_CRL_HAS_EXPIRED);
    assert_true(tls_context_warning(context, 0, (int64_t)time(NULL), error));
    assert_non_null(strstr(error, "a CRL ended on"));
    tls_context_release(context);
    tls_maker_free(&between);
    tls_maker_free(&far);
}

static void a_chain_of_a_client_is_at_most_16_kib_long(void **state)
{
    (void)state;
    struct tls_maker_certificate long_one = tls_maker_issue(
        &(struct tls_maker_spec){.subject = "long", .issuer = &ca, .padding = 16384});
    struct setup setup = setup_of_desk();
    setup.options.client_auth = TLS_CLIENT_AUTH_REQUEST;
    setup.options.client_ca = tls_maker_write("ca.pem", ca.x509, NULL, NULL);
    struct tls_context *context = load(&setup, NULL);
    SSL_CTX *client_context = pair_client_context();
    SSL_CTX_use_cert_and_key(client_context, long_one.x509, long_one.key, NULL, 1);
    struct pair pair;
    pair_open(&pair, context, client_context);
    pair_run(&pair);
    assert_false(pair.is_done);
    assert_int_equal(pair.server_reason, SSL_R_EXCESSIVE_MESSAGE_SIZE);
    pair_close(&pair);
    tls_context_release(context);
    tls_maker_free(&long_one);
}

/* How long the response is that a client gets which asks for one; -1: none came. */
static long staple(const struct tls_context *context, const char *sigalgs)
{
    SSL_CTX *client_context = pair_client_context();
    SSL_CTX_set_tlsext_status_type(client_context, TLSEXT_STATUSTYPE_ocsp);
    SSL_CTX_set1_sigalgs_list(client_context, sigalgs);
    struct pair pair;
    pair_open(&pair, context, client_context);
    pair_run(&pair);
    assert_true(pair.is_done);
    const uint8_t *response;
    long bytes = SSL_get_tlsext_status_ocsp_resp(pair.client, &response);
    pair_close(&pair);
    return bytes;
}

static void an_ocsp_response_is_stapled_until_it_ends(void **state)
{
    (void)state;
    struct setup setup = {0};
    setup_add(&setup, tls_maker_path("desk.pem"), tls_maker_path("desk.key"),
              tls_maker_ocsp("desk.ocsp", &ca, desk.x509, V_OCSP_CERTSTATUS_GOOD, TLS_MAKER_DAY));
    setup_add(&setup, tls_maker_path("rsa.pem"), NULL, NULL);
    struct stat status;
    assert_int_equal(stat(setup.options.certificates[0].ocsp, &status), 0);
    struct tls_context *context = load(&setup, NULL);
    assert_int_equal(staple(context, "ECDSA+SHA256"), status.st_size);
    assert_int_equal(staple(context, "RSA-PSS+SHA256"), -1); /* It is another certificate's. */
    tls_context_release(context);

    setup.options.certificates[0].ocsp =
        tls_maker_ocsp("desk.ocsp", &ca, desk.x509, V_OCSP_CERTSTATUS_GOOD, -5);
    context = load(&setup, NULL);
    assert_int_equal(staple(context, "ECDSA+SHA256"), -1);
    assert_true(tls_context_warning(context, 0, (int64_t)time(NULL), error));
    assert_non_null(strstr(error, "desk.ocsp: this OCSP response ended on "));
    assert_non_null(strstr(error, "was left out of 1 handshakes"));
    tls_context_release(context);

    setup.options.certificates[0].ocsp =
        tls_maker_ocsp("desk.ocsp", &ca, desk.x509, V_OCSP_CERTSTATUS_REVOKED, TLS_MAKER_DAY);
    context = load(&setup, NULL);
    assert_true(tls_context_warning(context, 0, (int64_t)time(NULL), error));
    assert_non_null(strstr(error, "the CA has revoked the certificate"));
    tls_context_release(context);

    setup.options.certificates[0].ocsp =
        tls_maker_ocsp("desk.ocsp", &ca, wild.x509, V_OCSP_CERTSTATUS_GOOD, TLS_MAKER_DAY);
    assert_refused(&setup, "tls-certificate", "desk.ocsp", "about another certificate");
    setup.options.certificates[0].ocsp = tls_maker_path("desk.pem");
    assert_refused(&setup, "tls-certificate", "desk.pem", "not an OCSP response in DER");
}

static void a_file_that_cannot_be_used_is_named_with_a_remedy(void **state)
{
    (void)state;
    struct tls_maker_certificate small =
        tls_maker_issue(&(struct tls_maker_spec){.subject = "s", .kind = "RSA-1024"});
    struct tls_maker_certificate odd =
        tls_maker_issue(&(struct tls_maker_spec){.subject = "o", .kind = "ED448"});
    struct tls_maker_certificate other = tls_maker_issue(
        &(struct tls_maker_spec){.subject = "x", .names = "DNS:desk.test", .issuer = &ca});
    tls_maker_write("small.pem", small.x509, NULL, small.key);
    tls_maker_write("odd.pem", odd.x509, NULL, odd.key);
    tls_maker_write("reversed.pem", ca.x509, desk.x509, desk.key);
    tls_maker_write("other.pem", other.x509, NULL, other.key);
    tls_maker_write_bytes("empty.pem", "", 0);
    tls_maker_write_bytes("der.pem", "\x30\x82\x01\x00", 4);
    tls_maker_write_bytes("damaged.pem",
                          "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 57);
    tls_maker_write_encrypted("encrypted.key", desk.key);
    const struct {
        const char *chain, *key, *file, *words;
    } faults[] = {
        {"none.pem", NULL, "none.pem", "No such file"},
        {"", NULL, "", "Is a directory"},
        {"empty.pem", NULL, "empty.pem", "it contains no certificate in PEM"},
        {"der.pem", NULL, "der.pem", "it is DER or PKCS #12"},
        {"damaged.pem", NULL, "damaged.pem", "its certificate number 1 is damaged"},
        {"desk.pem", NULL, "desk.pem", "it contains no private key; give the file of the key"},
        {"desk.pem", "none.key", "none.key", "No such file"},
        {"desk.pem", "empty.pem", "empty.pem", "it contains no private key in PEM"},
        {"desk.pem", "wild.key", "wild.key", "does not belong to the first certificate of"},
        {"reversed.pem", NULL, "reversed.pem", "the key belongs to its certificate number 2"},
        {"desk.pem", "encrypted.key", "encrypted.key", "the key is encrypted"},
        {"small.pem", NULL, "small.pem", "OpenSSL refuses it (ee key too small)"},
        {"odd.pem", NULL, "odd.pem", "the key must be ECDSA, RSA of at most 8192 bits, or"},
    };
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct setup setup = setup_of(tls_maker_path(faults[i].chain),
                                      faults[i].key ? tls_maker_path(faults[i].key) : NULL);
        assert_refused(&setup, "tls-certificate", faults[i].file, faults[i].words);
    }
    struct setup twice = setup_of_desk();
    setup_add(&twice, tls_maker_path("other.pem"), NULL, NULL);
    assert_refused(&twice, "tls-certificate", "other.pem", "leave one of the two out");
    assert_non_null(strstr(error, "desk.pem"));
    tls_maker_free(&small);
    tls_maker_free(&odd);
    tls_maker_free(&other);
}

static void a_fifo_is_refused_without_waiting(void **state)
{
    (void)state;
    const char *path = tls_maker_path("fifo");
    assert_int_equal(mkfifo(path, 0600), 0);
    struct setup setup = setup_of(path, NULL);
    assert_refused(&setup, "tls-certificate", "fifo", "it must be a regular file");
}

static void files_of_clients_are_named_with_a_remedy(void **state)
{
    (void)state;
    struct setup setup = setup_of_desk();
    setup.options.client_auth = TLS_CLIENT_AUTH_REQUIRE;
    setup.options.client_ca = tls_maker_path("none.pem");
    assert_refused(&setup, "tls-client-ca", "none.pem", "No such file");
    setup.options.client_ca = tls_maker_path("desk.key");
    assert_refused(&setup, "tls-client-ca", "desk.key", "it contains no certificate in PEM");
    setup.options.client_ca = tls_maker_path("wild.pem");
    assert_refused(&setup, "tls-client-ca", "wild.pem", "number 1 is not that of a CA");
    setup.options.client_ca = tls_maker_write("ca.pem", ca.x509, NULL, NULL);
    setup.options.client_crl = tls_maker_path("ca.pem");
    assert_refused(&setup, "tls-client-crl", "ca.pem", "it contains no CRL in PEM");
}

static void a_chain_is_at_most_16_kib_long(void **state)
{
    (void)state;
    struct setup setup = setup_of(tls_maker_path("long.pem"), NULL);
    struct tls_maker_spec spec = {.subject = "long", .names = "DNS:long.test", .padding = 1};
    struct tls_maker_certificate made = tls_maker_issue(&spec);
    uint32_t bytes = (uint32_t)i2d_X509(made.x509, NULL);
    tls_maker_free(&made);
    /* Lengths of more than 255 bytes take 2 more, and each certificate 5; signatures vary. */
    for (int beyond = 0; beyond <= 1; beyond++) {
        spec.padding = 16384 - bytes - 5 + (beyond ? 20 : -40);
        made = tls_maker_issue(&spec);
        tls_maker_write("long.pem", made.x509, NULL, made.key);
        if (beyond) {
            assert_refused(&setup, "tls-certificate", "long.pem", "and may have 16384");
        } else {
            struct tls_context *context = load(&setup, NULL);
            assert_shows(context, NULL, NULL, &made);
            tls_context_release(context);
        }
        tls_maker_free(&made);
    }
}

/* With names of CAs, and room for the signature of the longest key. */
static void the_longest_answer_fits_into_a_job(void **state)
{
    (void)state;
    char name[65] = {0};
    FILE *file = fopen(tls_maker_path("cas.pem"), "w");
    assert_non_null(file);
    for (uint32_t i = 0; i < 25; i++) { /* 79 bytes each: 1 975 of 2 048 */
        memset(name, 'a' + (int)i, sizeof name - 1);
        struct tls_maker_certificate made =
            tls_maker_issue(&(struct tls_maker_spec){.subject = name, .is_ca = true});
        assert_int_equal(PEM_write_X509(file, made.x509), 1);
        tls_maker_free(&made);
    }
    fclose(file);
    struct tls_maker_certificate made = tls_maker_issue(
        &(struct tls_maker_spec){.subject = "x", .names = "DNS:x.test", .padding = 15900});
    struct setup setup = setup_of(tls_maker_write("x.pem", made.x509, NULL, made.key), NULL);
    setup.options.client_auth = TLS_CLIENT_AUTH_REQUEST;
    setup.options.client_ca = tls_maker_path("cas.pem");
    struct tls_context *context = load(&setup, NULL);
    int short_of_bytes_max = TLS_CERTIFICATE_BYTES_MAX - i2d_X509(made.x509, NULL);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX *client_context = pair_client_context();
        SSL_CTX_set_max_proto_version(client_context, version);
        struct pair pair;
        pair_open(&pair, context, client_context);
        int reason;
        assert_int_equal(pair_step(pair.client, 0, &reason), 0);
        assert_int_equal(pair_step(pair.server, 0, &reason), 0);
        size_t bytes = BIO_ctrl_pending(SSL_get_rbio(pair.client));
        assert_in_range(bytes, 16000 + 1975, TLS_JOB_OUT_BYTES);
        assert_true(bytes + (size_t)short_of_bytes_max + TLS_CERTIFICATE_KEY_BITS_MAX / 8 <=
                    TLS_JOB_OUT_BYTES);
        pair_run(&pair);
        assert_true(pair.is_done);
        pair_close(&pair);
    }
    tls_context_release(context);
    tls_maker_free(&made);
}

/* All warnings are these, in this order; they end with NULL. */
static void assert_warns(const struct setup *setup, const char *const *words)
{
    struct tls_context *context = load(setup, NULL);
    uint32_t count = 0;
    for (; words[count] != NULL; count++) {
        if (!tls_context_warning(context, count, (int64_t)time(NULL), error) ||
            strstr(error, words[count]) == NULL) {
            fail_msg("not \"%s\": %s", words[count], error);
        }
    }
    assert_false(tls_context_warning(context, count, (int64_t)time(NULL), error));
    tls_context_release(context);
}

static void what_needs_attention_is_a_warning(void **state)
{
    (void)state;
    const struct {
        struct tls_maker_spec spec;
        mode_t mode;
        const char *words[3];
    } cases[] = {
        {{.names = "DNS:a.test"}, 0640, {NULL}},
        {{.names = "DNS:a.test"}, 0604, {"a.pem: every user of this machine may read this key"}},
        {{.names = "DNS:a.test", .ends_s = 13 * TLS_MAKER_DAY}, 0600, {"the certificate ends on"}},
        {{.names = "DNS:a.test", .ends_s = 15 * TLS_MAKER_DAY}, 0600, {NULL}},
        {{.names = "DNS:a.test", .ends_s = -5}, 0600, {"the certificate ended on 20"}},
        {{.names = "DNS:a.test", .begins_s = 600}, 0600, {"the certificate begins on 20"}},
        {{.ends_s = -5}, 0604, {"ended on", "no subjectAltName"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tls_maker_spec spec = cases[i].spec;
        spec.subject = "a";
        spec.issuer = &ca;
        struct tls_maker_certificate made = tls_maker_issue(&spec);
        const char *path = tls_maker_write("a.pem", made.x509, NULL, made.key);
        assert_int_equal(chmod(path, cases[i].mode), 0);
        struct setup setup = setup_of(path, NULL);
        const char *words[4] = {cases[i].words[0], cases[i].words[1], NULL};
        if (i + 1 == sizeof cases / sizeof cases[0]) {
            words[2] = "may read this key";
        }
        assert_warns(&setup, words);
        tls_maker_free(&made);
    }
    uint8_t key[80] = {1};
    struct setup setup = setup_of_desk();
    setup.options.ticket_key_file = tls_maker_write_bytes("tickets", key, sizeof key);
    assert_int_equal(chmod(setup.options.ticket_key_file, 0644), 0);
    assert_warns(&setup, (const char *[]){"--tls-ticket-key-file: ", NULL});
}

static void certificates_are_listed_with_their_first_names(void **state)
{
    (void)state;
    struct tls_maker_certificate bare = tls_maker_issue(
        &(struct tls_maker_spec){.subject = "bare", .names = "IP:127.0.0.1", .issuer = &ca});
    struct setup setup = setup_of(tls_maker_path("wild.pem"), tls_maker_path("wild.key"));
    setup_add(&setup, tls_maker_write("bare.pem", bare.x509, NULL, bare.key), NULL, NULL);
    struct tls_context *context = load(&setup, NULL);
    struct tls_context_certificate certificates[TLS_CERTIFICATES_MAX];
    assert_int_equal(tls_context_certificates(context, certificates), 2);
    assert_string_equal(certificates[0].name, "other.test");
    assert_string_equal(certificates[1].name, "CN=bare");
    assert_string_equal(certificates[1].file, setup.options.certificates[1].chain);
    int64_t now_s = (int64_t)time(NULL);
    assert_in_range(certificates[0].not_after_s - now_s, 89 * TLS_MAKER_DAY, 90 * TLS_MAKER_DAY);
    assert_in_range(now_s - certificates[0].not_before_s, TLS_MAKER_DAY, 2 * TLS_MAKER_DAY);

    assert_ptr_equal(tls_context_hold(context), context);
    tls_context_release(context);
    assert_shows(context, NULL, NULL, &wild); /* It is still held once. */
    tls_context_release(context);
    tls_maker_free(&bare);
}

static void a_file_that_changes_changes_the_stamp(void **state)
{
    (void)state;
    struct setup setup = setup_of(tls_maker_path("stamp.pem"), tls_maker_path("stamp.key"));
    setup.options.certificates[0].ocsp = tls_maker_path("stamp.ocsp");
    setup.options.client_ca = tls_maker_path("stamp.ca");
    setup.options.client_crl = tls_maker_path("stamp.crl");
    setup.options.ticket_key_file = tls_maker_path("stamp.tickets");
    static const char *const names[] = {"stamp.pem", "stamp.key", "stamp.ocsp",
                                        "stamp.ca",  "stamp.crl", "stamp.tickets"};
    uint64_t last = tls_files_stamp(&setup.options);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *path = tls_maker_write_bytes(names[i], "1", 1); /* It appears, */
        assert_int_not_equal(tls_files_stamp(&setup.options), last);
        last = tls_files_stamp(&setup.options);
        assert_int_equal(tls_files_stamp(&setup.options), last);
        tls_maker_write_bytes(names[i], "22", 2); /* is written, */
        assert_int_not_equal(tls_files_stamp(&setup.options), last);
        last = tls_files_stamp(&setup.options);
        tls_maker_write_bytes("stamp.new", "33", 2);
        assert_int_equal(rename(tls_maker_path("stamp.new"), path), 0); /* is replaced, */
        assert_int_not_equal(tls_files_stamp(&setup.options), last);
        last = tls_files_stamp(&setup.options);
        assert_int_equal(unlink(path), 0); /* and goes. */
        assert_int_not_equal(tls_files_stamp(&setup.options), last);
        last = tls_files_stamp(&setup.options);
    }
}

int main(void)
{
    tls_maker_open();
    ca = tls_maker_issue(&(struct tls_maker_spec){.subject = "Test CA", .is_ca = true});
    desk = tls_maker_issue(
        &(struct tls_maker_spec){.subject = "desk", .names = "DNS:desk.test", .issuer = &ca});
    desk_rsa = tls_maker_issue(&(struct tls_maker_spec){
        .subject = "desk", .names = "DNS:desk.test", .kind = "RSA", .issuer = &ca});
    wild = tls_maker_issue(&(struct tls_maker_spec){
        .subject = "wild", .names = "DNS:OTHER.test,DNS:*.wild.test", .issuer = &ca});
    client = tls_maker_issue(&(struct tls_maker_spec){.subject = "client", .issuer = &ca});
    struct tls_maker_certificate exact = tls_maker_issue(
        &(struct tls_maker_spec){.subject = "e", .names = "DNS:e.wild.test", .issuer = &ca});
    tls_maker_write("desk.pem", desk.x509, ca.x509, NULL);
    tls_maker_write("desk.key", NULL, NULL, desk.key);
    tls_maker_write("wild.pem", wild.x509, NULL, NULL);
    tls_maker_write("wild.key", NULL, NULL, wild.key);
    tls_maker_write("rsa.pem", desk_rsa.x509, NULL, desk_rsa.key);
    tls_maker_write("exact.pem", exact.x509, NULL, exact.key);
    tls_maker_free(&exact);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_is_chosen_by_its_name),
        cmocka_unit_test(a_client_without_ecdsa_gets_the_rsa_certificate_of_the_same_name),
        cmocka_unit_test(only_two_groups_are_offered),
        cmocka_unit_test(only_suites_with_forward_secrecy_and_an_aead_are_offered),
        cmocka_unit_test(chacha20_is_chosen_for_clients_that_put_it_first),
        cmocka_unit_test(versions_before_the_lowest_are_refused),
        cmocka_unit_test(a_protocol_other_than_http_1_1_is_refused),
        cmocka_unit_test(renegotiation_compression_and_early_data_are_off),
        cmocka_unit_test(a_ticket_outlives_a_reload),
        cmocka_unit_test(two_keys_that_were_renewed_still_open_tickets),
        cmocka_unit_test(servers_with_one_key_file_open_each_others_tickets),
        cmocka_unit_test(a_ticket_from_before_another_client_ca_does_not_resume),
        cmocka_unit_test(a_client_certificate_is_required_or_requested),
        cmocka_unit_test(a_revoked_client_certificate_is_refused),
        cmocka_unit_test(a_chain_of_a_client_is_at_most_16_kib_long),
        cmocka_unit_test(an_ocsp_response_is_stapled_until_it_ends),
        cmocka_unit_test(a_file_that_cannot_be_used_is_named_with_a_remedy),
        cmocka_unit_test(a_fifo_is_refused_without_waiting),
        cmocka_unit_test(files_of_clients_are_named_with_a_remedy),
        cmocka_unit_test(a_chain_is_at_most_16_kib_long),
        cmocka_unit_test(the_longest_answer_fits_into_a_job),
        cmocka_unit_test(what_needs_attention_is_a_warning),
        cmocka_unit_test(certificates_are_listed_with_their_first_names),
        cmocka_unit_test(a_file_that_changes_changes_the_stamp),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    struct tls_maker_certificate *all[] = {&ca, &desk, &desk_rsa, &wild, &client};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        tls_maker_free(all[i]);
    }
    tls_maker_close();
    return failed;
}
