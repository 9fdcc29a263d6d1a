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

#include "src/tls/tls_context.h"
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

/* Returns whether it can go on; 1: this end has finished. */
static int pair_step(SSL *ssl, int *reason_out)
{
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
        is_client_done = pair_step(pair->client, &pair->client_reason);
        is_server_done = pair_step(pair->server, &pair->server_reason);
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

/* The CN of the certificate that the server shows to a client that asks for a name. */
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

static void a_missing_file_is_named(void **state)
{
    (void)state;
    struct setup setup = setup_of(tls_maker_path("desk.pem"), tls_maker_path("none.key"));
    assert_refused(&setup, "tls-certificate", "none.key", "No such file");
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
        .subject = "wild", .names = "DNS:*.wild.test,DNS:OTHER.test", .issuer = &ca});
    client = tls_maker_issue(&(struct tls_maker_spec){.subject = "client", .issuer = &ca});
    struct tls_maker_certificate exact = tls_maker_issue(
        &(struct tls_maker_spec){.subject = "e", .names = "DNS:e.wild.test", .issuer = &ca});
    tls_maker_write("desk.pem", desk.x509, ca.x509, NULL);
    tls_maker_write("desk.key", NULL, NULL, desk.key);
    tls_maker_write("wild.pem", wild.x509, NULL, NULL);
    tls_maker_write("wild.key", NULL, NULL, wild.key);
    tls_maker_write("exact.pem", exact.x509, NULL, exact.key);
    tls_maker_free(&exact);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_is_chosen_by_its_name),
        cmocka_unit_test(a_missing_file_is_named),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    struct tls_maker_certificate *all[] = {&ca, &desk, &desk_rsa, &wild, &client};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        tls_maker_free(all[i]);
    }
    tls_maker_close();
    return failed;
}
