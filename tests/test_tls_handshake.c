/* A client of OpenSSL in memory does handshakes with the server's side, and then reads and writes
 * records by the keys that were taken out. */
#include "tests/tls_fixture.h"

#include "src/tls/tls_handshake.h"

#define TEST_STEPS_MAX 40000 /* byte by byte with client certificates */

static struct test {
    struct tls_ciphers *ciphers;
    struct tls_job *job;
    SSL_CTX *server;
    SSL_CTX *clients;
    SSL *client;
    uint32_t steps;
} test;

static const struct test_suite {
    const char *name;
    int version;
    enum tls_suite suite;
} test_suites[] = {
    {"TLS_AES_128_GCM_SHA256", TLS1_3_VERSION, TLS_AES_128_GCM},
    {"TLS_AES_256_GCM_SHA384", TLS1_3_VERSION, TLS_AES_256_GCM},
    {"TLS_CHACHA20_POLY1305_SHA256", TLS1_3_VERSION, TLS_CHACHA20_POLY1305},
    {"ECDHE+AESGCM+AES128", TLS1_2_VERSION, TLS_AES_128_GCM},
    {"ECDHE+AESGCM+AES256", TLS1_2_VERSION, TLS_AES_256_GCM},
    {"ECDHE+CHACHA20", TLS1_2_VERSION, TLS_CHACHA20_POLY1305},
};
#define TEST_SUITE_COUNT (sizeof test_suites / sizeof test_suites[0])

/* ---- Both ends ---- */

static void begin(const struct tls_maker_certificate *server,
                  const struct tls_maker_certificate *client)
{
    test.job = calloc(1, sizeof *test.job);
    assert_non_null(test.job);
    assert_int_equal(tls_ciphers_open(&test.ciphers), 0);
    test.server = tls_fixture_server(server);
    test.clients = tls_fixture_client(client);
}

static void disconnect(void)
{
    SSL_free(test.client);
    test.client = NULL;
    tls_handshake_end(test.job);
    free(test.job->peer);
    *test.job = (struct tls_job){0};
}

static void end(void)
{
    disconnect();
    SSL_CTX_free(test.clients);
    SSL_CTX_free(test.server);
    tls_ciphers_close(test.ciphers);
    free(test.job);
    ERR_clear_error();
}

static void limit_client(const struct test_suite *suite)
{
    SSL_CTX_set_min_proto_version(test.clients, suite->version);
    SSL_CTX_set_max_proto_version(test.clients, suite->version);
    int is_set = suite->version == TLS1_3_VERSION
                     ? SSL_CTX_set_ciphersuites(test.clients, suite->name)
                     : SSL_CTX_set_cipher_list(test.clients, suite->name);
    assert_int_equal(is_set, 1);
}

static void step(void)
{
    tls_handshake_step(test.job, test.server, test.ciphers);
    test.steps++;
    assert_int_equal(test.job->handshake != NULL, test.job->outcome == TLS_WANTS_MORE);
}

/* Until the server has finished or failed, or the client sends no more. extra: what the client
 * writes as soon as it may. chunk: bytes of the client in one step. */
static void shake(const char *extra, size_t chunk)
{
    bool has_written = extra == NULL;
    test.job->outcome = TLS_WANTS_MORE;
    test.steps = 0;
    while (test.job->outcome == TLS_WANTS_MORE && test.steps < TEST_STEPS_MAX) {
        int result = SSL_do_handshake(test.client);
        if (result == 1 && !has_written) {
            assert_int_equal(SSL_write(test.client, extra, (int)strlen(extra)), strlen(extra));
            has_written = true;
        }
        uint32_t before = test.steps;
        while (test.job->outcome == TLS_WANTS_MORE &&
               tls_fixture_send(test.client, test.job, chunk)) {
            step();
            tls_fixture_receive(test.client, test.job->out, test.job->out_bytes);
        }
        if (test.steps == before) {
            return; /* The client has nothing to say. */
        }
    }
    if (test.job->outcome == TLS_FINISHED) {
        assert_int_equal(SSL_do_handshake(test.client), 1);
    }
}

static void connect_whole(void)
{
    test.client = tls_fixture_connect(test.clients);
    shake(NULL, SIZE_MAX);
}

/* ---- Records ---- */

static void client_reads(const char *text)
{
    uint8_t record[TLS_RECORD_BYTES_MAX];
    char read[64];
    size_t front = tls_record_front(&test.job->tx);
    memcpy(record + front, text, strlen(text));
    size_t count =
        tls_record_seal(test.ciphers, &test.job->tx, TLS_APPLICATION_DATA, record, strlen(text));
    assert_true(count > 0);
    tls_fixture_receive(test.client, record, count);
    int read_bytes = SSL_read(test.client, read, sizeof read);
    assert_int_equal(read_bytes, strlen(text));
    assert_memory_equal(read, text, strlen(text));
}

/* A record of the client at bytes. Returns its length. */
static size_t server_opens(uint8_t *bytes, size_t count, const char *text)
{
    size_t record_bytes;
    struct tls_plain plain;
    assert_int_equal(tls_record_length(&test.job->rx, bytes, count, &record_bytes), TLS_OK);
    assert_true(record_bytes <= count);
    assert_int_equal(tls_record_open(test.ciphers, &test.job->rx, bytes, record_bytes, &plain),
                     TLS_OK);
    assert_int_equal(plain.type, TLS_APPLICATION_DATA);
    assert_int_equal(plain.count, strlen(text));
    assert_memory_equal(plain.bytes, text, strlen(text));
    return record_bytes;
}

static void server_reads(const char *text)
{
    uint8_t bytes[TLS_RECORD_BYTES_MAX];
    assert_int_equal(SSL_write(test.client, text, (int)strlen(text)), strlen(text));
    int count = BIO_read(SSL_get_wbio(test.client), bytes, sizeof bytes);
    assert_true(count > 0);
    assert_int_equal(server_opens(bytes, (size_t)count, text), count);
}

/* In turns, so that the numbers of records grow. */
static void both_talk(void)
{
    assert_int_equal(test.job->outcome, TLS_FINISHED);
    for (int i = 0; i < 3; i++) {
        client_reads("from the server");
        server_reads("from the client, who says more");
        client_reads("x");
    }
}

static bool has_keys(void)
{
    static const uint8_t none[TLS_SECRET_BYTES_MAX];
    return memcmp(test.job->tx.key, none, TLS_KEY_BYTES_MAX) != 0 ||
           memcmp(test.job->rx.key, none, TLS_KEY_BYTES_MAX) != 0 ||
           memcmp(test.job->tx_secret, none, sizeof none) != 0 ||
           memcmp(test.job->rx_secret, none, sizeof none) != 0;
}

/* ---- Keys ---- */

static void both_ends_talk_in_each_suite_with_each_certificate(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * TEST_SUITE_COUNT; i++) {
        const struct test_suite *suite = &test_suites[i / 2];
        begin(i % 2 == 0 ? &tls_fixture.ecdsa : &tls_fixture.rsa, NULL);
        limit_client(suite);
        connect_whole();
        both_talk();
        assert_int_equal(test.job->tx.suite, suite->suite);
        assert_int_equal(test.job->rx.suite, suite->suite);
        assert_int_equal(test.job->peer->suite, suite->suite);
        assert_int_equal(test.job->peer->version,
                         suite->version == TLS1_3_VERSION ? TLS_1_3 : TLS_1_2);
        assert_int_equal(test.job->tx.record_max, 4096);
        assert_false(test.job->peer->has_certificate);
        assert_true(test.job->spent_ns > 0);
        assert_int_equal(test.steps, 2);
        end();
    }
}

static void both_ends_talk_however_many_tickets_are_sent(void **state)
{
    (void)state;
    for (uint32_t tickets = 0; tickets < 4; tickets++) {
        begin(&tls_fixture.ecdsa, NULL);
        limit_client(&test_suites[0]);
        SSL_CTX_set_num_tickets(test.server, tickets);
        connect_whole();
        assert_int_equal(test.job->tx.seq, tickets);
        both_talk();
        end();
    }
}

static void both_ends_talk_when_the_client_comes_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < TEST_SUITE_COUNT; i += 3) {
        begin(&tls_fixture.ecdsa, NULL);
        limit_client(&test_suites[i]);
        test.client = tls_fixture_connect(test.clients);
        shake(NULL, 1);
        both_talk();
        assert_true(test.steps > 200);
        end();
    }
}

static void both_ends_talk_after_a_second_hello(void **state)
{
    (void)state;
    begin(&tls_fixture.ecdsa, NULL);
    SSL_CTX_set1_groups_list(test.clients, "P-384:P-256"); /* HelloRetryRequest */
    connect_whole();
    both_talk();
    assert_int_equal(test.steps, 3);
    end();
}

/* A session that the client takes from a connection which both_talk. */
static SSL_SESSION *take_session(void)
{
    connect_whole();
    both_talk();
    assert_false(test.job->peer->is_resumed);
    SSL_SESSION *session = SSL_get1_session(test.client);
    SSL_set_shutdown(test.client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    disconnect();
    return session;
}

static void resume(SSL_SESSION *session, const char *extra)
{
    test.client = tls_fixture_connect(test.clients);
    assert_int_equal(SSL_set_session(test.client, session), 1);
    shake(extra, SIZE_MAX);
    assert_int_equal(test.job->outcome, TLS_FINISHED);
    assert_true(test.job->peer->is_resumed);
}

static void both_ends_talk_after_a_session_is_resumed(void **state)
{
    (void)state;
    for (size_t i = 0; i < TEST_SUITE_COUNT; i++) {
        begin(&tls_fixture.ecdsa, NULL);
        limit_client(&test_suites[i]);
        SSL_SESSION *session = take_session();
        resume(session, NULL);
        both_talk();
        assert_int_equal(test.job->peer->suite, test_suites[i].suite);
        SSL_SESSION_free(session);
        end();
    }
}

static void short_records_are_promised_to_a_client_that_asks(void **state)
{
    (void)state;
    for (size_t i = 0; i < TEST_SUITE_COUNT; i += 3) {
        for (uint8_t code = 1; code <= 4; code++) {
            begin(&tls_fixture.ecdsa, NULL);
            limit_client(&test_suites[i]);
            SSL_CTX_set_tlsext_max_fragment_length(test.clients, code);
            connect_whole();
            assert_int_equal(test.job->tx.record_max, 256 << code);
            both_talk();
            end();
        }
    }
}

/* ---- What comes behind the handshake ---- */

static void what_comes_with_the_last_flight_is_handed_over(void **state)
{
    (void)state;
    for (size_t i = 0; i < TEST_SUITE_COUNT; i++) {
        begin(&tls_fixture.ecdsa, NULL);
        limit_client(&test_suites[i]);
        SSL_SESSION *session = NULL;
        if (test_suites[i].version == TLS1_2_VERSION) { /* Else the server speaks last. */
            session = take_session();
            resume(session, "GET / HTTP/1.1");
        } else {
            test.client = tls_fixture_connect(test.clients);
            shake("GET / HTTP/1.1", SIZE_MAX);
        }
        assert_int_equal(test.job->outcome, TLS_FINISHED);
        assert_int_equal(server_opens(test.job->rest, test.job->rest_bytes, "GET / HTTP/1.1"),
                         test.job->rest_bytes);
        both_talk();
        SSL_SESSION_free(session);
        end();
    }
}

/* All places at which the last flight with a record behind it can be cut. */
static void a_record_that_is_cut_is_handed_over_as_far_as_it_came(void **state)
{
    (void)state;
    uint32_t cuts = 0;
    for (size_t cut = 1; cut < 200; cut++) {
        begin(&tls_fixture.ecdsa, NULL);
        limit_client(&test_suites[0]);
        test.client = tls_fixture_connect(test.clients);
        SSL_do_handshake(test.client);
        tls_fixture_send(test.client, test.job, SIZE_MAX);
        step();
        tls_fixture_receive(test.client, test.job->out, test.job->out_bytes);
        assert_int_equal(SSL_do_handshake(test.client), 1);
        assert_int_equal(SSL_write(test.client, "GET /", 5), 5);
        size_t flight = BIO_ctrl_pending(SSL_get_wbio(test.client));
        assert_true(tls_fixture_send(test.client, test.job, cut));
        step();
        if (test.job->outcome == TLS_FINISHED) {
            uint8_t record[256];
            size_t count = test.job->rest_bytes;
            memcpy(record, test.job->rest, count);
            int more = BIO_read(SSL_get_wbio(test.client), record + count, sizeof record);
            count += more > 0 ? (size_t)more : 0;
            assert_int_equal(server_opens(record, count, "GET /"), count);
            cuts++;
        }
        end();
        if (cut == flight) {
            break;
        }
    }
    assert_int_equal(cuts, TLS_HEADER_BYTES + strlen("GET /") + 1 + TLS_TAG_BYTES + 1);
}

/* ---- The self-check ---- */

static void log_corrupted(const SSL *ssl, const char *line)
{
    char *copy = strdup(line);
    if (strncmp(line, "SERVER_TRAFFIC_SECRET_0", 23) == 0) {
        char *last = copy + strlen(copy) - 1;
        *last = *last == '0' ? '1' : '0';
    }
    tls_extract_keylog(ssl, copy);
    free(copy);
}

static void log_shortened(const SSL *ssl, const char *line)
{
    char *copy = strdup(line);
    if (strncmp(line, "CLIENT_TRAFFIC_SECRET_0", 23) == 0) {
        copy[strlen(copy) - 2] = '\0';
    }
    tls_extract_keylog(ssl, copy);
    free(copy);
}

static void corrupt_master(const SSL *ssl, int where, int value)
{
    (void)value;
    if ((where & SSL_CB_HANDSHAKE_DONE) != 0) {
        static const uint8_t master[TLS_SECRET_BYTES_MAX] = {1};
        SSL_SESSION_set1_master_key(SSL_get_session(ssl), master, sizeof master);
    }
}

static void refuses_to_finish(const char *text)
{
    connect_whole();
    assert_int_equal(test.job->outcome, TLS_FAILED);
    assert_int_equal(test.job->failure, TLS_FAILURE_INTERNAL);
    assert_non_null(strstr(test.job->text, text));
    assert_int_equal(test.job->out_bytes, 0);
    assert_null(test.job->peer);
    assert_false(has_keys());
    end();
}

static void keys_that_open_nothing_end_the_handshake(void **state)
{
    (void)state;
    for (size_t i = 0; i < TEST_SUITE_COUNT; i++) {
        begin(&tls_fixture.ecdsa, NULL);
        limit_client(&test_suites[i]);
        if (test_suites[i].version == TLS1_3_VERSION) {
            SSL_CTX_set_keylog_callback(test.server, log_corrupted);
        } else {
            SSL_CTX_set_info_callback(test.server, corrupt_master);
        }
        refuses_to_finish("do not open what OpenSSL sealed");
    }
}

static void keys_end_the_handshake_when_no_ticket_was_sent_as_well(void **state)
{
    (void)state;
    begin(&tls_fixture.ecdsa, NULL);
    limit_client(&test_suites[0]);
    SSL_CTX_set_num_tickets(test.server, 0);
    SSL_CTX_set_keylog_callback(test.server, log_corrupted);
    refuses_to_finish("do not open what OpenSSL sealed");
}

static void a_handshake_without_secrets_does_not_finish(void **state)
{
    (void)state;
    begin(&tls_fixture.ecdsa, NULL);
    SSL_CTX_set_keylog_callback(test.server, NULL);
    refuses_to_finish("logged no secrets");
    begin(&tls_fixture.ecdsa, NULL);
    SSL_CTX_set_keylog_callback(test.server, log_shortened);
    refuses_to_finish("no keys can be derived");
}

static void a_suite_that_is_not_known_does_not_finish(void **state)
{
    (void)state;
    begin(&tls_fixture.ecdsa, NULL);
    SSL_CTX_set_ciphersuites(test.server, "TLS_AES_128_CCM_SHA256");
    SSL_CTX_set_ciphersuites(test.clients, "TLS_AES_128_CCM_SHA256");
    refuses_to_finish("suite that is not known");
}

static void a_handshake_that_is_given_up_is_freed(void **state)
{
    (void)state;
    begin(&tls_fixture.ecdsa, NULL);
    test.client = tls_fixture_connect(test.clients);
    SSL_do_handshake(test.client);
    tls_fixture_send(test.client, test.job, SIZE_MAX);
    step();
    assert_non_null(test.job->handshake);
    tls_handshake_end(test.job);
    assert_null(test.job->handshake);
    tls_handshake_end(test.job);
    end();
}

/* ---- Clients ---- */

static bool has_name(const char *name)
{
    const struct tls_peer *peer = test.job->peer;
    const char *at = peer->names;
    for (uint32_t i = 0; i < peer->name_count; i++, at += strlen(at) + 1) {
        if (strcmp(at, name) == 0) {
            return true;
        }
    }
    return false;
}

static void require_certificates(void)
{
    SSL_CTX_set_verify(test.server, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_session_id_context(test.server, (const uint8_t *)"a", 1);
}

static void key_name(EVP_PKEY *key, char text_out[128])
{
    uint8_t digest[32];
    uint8_t *der = NULL;
    int count = i2d_PUBKEY(key, &der);
    EVP_Digest(der, (size_t)count, digest, NULL, EVP_sha256(), NULL);
    int used = snprintf(text_out, 128, "spki-sha256:");
    for (size_t i = 0; i < sizeof digest; i++) {
        used += snprintf(text_out + used, 128 - (size_t)used, "%02x", digest[i]);
    }
    OPENSSL_free(der);
}

static void knows_the_desk(const struct tls_maker_certificate *desk)
{
    char key[128];
    struct tm tm;
    key_name(desk->key, key);
    ASN1_TIME_to_tm(X509_get0_notAfter(desk->x509), &tm);
    const struct tls_peer *peer = test.job->peer;
    assert_true(peer->has_certificate);
    assert_int_equal(peer->not_after_s, timegm(&tm));
    assert_int_equal(peer->name_count, 6);
    assert_true(has_name("cn:desk-1 \xc3\xa4"));
    assert_true(has_name("uri:spiffe://example/desk-1"));
    assert_true(has_name("dns:desk-1.example.com"));
    assert_true(has_name("dns:*.desks.example.com"));
    assert_true(has_name("email:desk@example.com"));
    assert_true(has_name(key));
}

static void a_client_is_known_by_its_certificate_also_when_it_resumes(void **state)
{
    (void)state;
    struct tls_maker_certificate desk = tls_fixture_issue(
        "desk-1 \xc3\xa4",
        "URI:spiffe://example/desk-1,DNS:desk-1.example.com,DNS:*.desks.example.com,"
        "email:desk@example.com,IP:10.0.0.1,RID:1.2.3");
    for (size_t i = 0; i < TEST_SUITE_COUNT; i += 3) {
        begin(&tls_fixture.rsa, &desk);
        limit_client(&test_suites[i]);
        require_certificates();
        connect_whole();
        knows_the_desk(&desk);
        disconnect();
        SSL_SESSION *session = take_session();
        resume(session, NULL);
        knows_the_desk(&desk);
        both_talk();
        SSL_SESSION_free(session);
        end();
    }
    tls_maker_free(&desk);
}

static void add_alternative(GENERAL_NAMES *names, int type, const char *bytes, int count)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *value = ASN1_IA5STRING_new();
    ASN1_STRING_set(value, bytes, count);
    GENERAL_NAME_set0_value(name, type, value);
    sk_GENERAL_NAME_push(names, name);
}

static void names_that_read_as_others_are_left_out(void **state)
{
    (void)state;
    struct tls_maker_certificate desk = tls_fixture_issue("desk\n1", NULL);
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    add_alternative(names, GEN_DNS, "good.example.com\0.evil", 22);
    add_alternative(names, GEN_URI, "spiffe://example/\x7f", 18);
    add_alternative(names, GEN_EMAIL, "a\tb@example.com", 15);
    add_alternative(names, GEN_EMAIL, "", 0);
    add_alternative(names, GEN_DNS, "right.example.com", 17);
    X509_add1_ext_i2d(desk.x509, NID_subject_alt_name, names, 0, 0);
    assert_true(X509_sign(desk.x509, tls_fixture.ca.key, EVP_sha256()) > 0);
    begin(&tls_fixture.ecdsa, &desk);
    require_certificates();
    connect_whole();
    assert_int_equal(test.job->outcome, TLS_FINISHED);
    assert_int_equal(test.job->peer->name_count, 2);
    assert_true(has_name("dns:right.example.com"));
    end();
    tls_maker_free(&desk);
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
}

static void a_client_may_come_without_a_certificate_where_it_is_only_asked(void **state)
{
    (void)state;
    begin(&tls_fixture.ecdsa, NULL);
    SSL_CTX_set_verify(test.server, SSL_VERIFY_PEER, NULL);
    connect_whole();
    assert_false(test.job->peer->has_certificate);
    assert_int_equal(test.job->peer->name_count, 0);
    both_talk();
    end();
}

static void a_server_s_name_that_the_client_asks_for_is_known(void **state)
{
    (void)state;
    static const struct {
        const char *asked, *known;
    } names[] = {{"md.example.com", "md.example.com"}, {"md.example.com\n", ""}};
    for (size_t i = 0; i < 2 * sizeof names / sizeof names[0]; i++) {
        begin(&tls_fixture.ecdsa, NULL);
        limit_client(&test_suites[i % 2 == 0 ? 0 : 3]);
        test.client = tls_fixture_connect(test.clients);
        SSL_set_tlsext_host_name(test.client, names[i / 2].asked);
        shake(NULL, SIZE_MAX);
        assert_int_equal(test.job->outcome, TLS_FINISHED);
        assert_string_equal(test.job->peer->server_name, names[i / 2].known);
        end();
    }
}

/* ---- Failures ---- */

static void fails(enum tls_failure failure, const char *text)
{
    assert_int_equal(test.job->outcome, TLS_FAILED);
    if (test.job->failure != failure || strstr(test.job->text, text) == NULL) {
        print_error("%d: %s, not %d: %s\n", test.job->failure, test.job->text, failure, text);
    }
    assert_int_equal(test.job->failure, failure);
    assert_non_null(strstr(test.job->text, text));
    assert_null(test.job->peer);
    assert_false(has_keys());
}

/* What the client was told, as OpenSSL's reason. */
static int client_reason(void)
{
    ERR_clear_error();
    assert_int_not_equal(SSL_do_handshake(test.client), 1);
    return ERR_GET_REASON(ERR_peek_last_error());
}

static void a_client_certificate_that_is_not_good_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        struct tls_maker_spec spec;
    } rows[] = {
        {"not from an accepted CA", {.subject = "desk", .issuer = &tls_fixture.other}},
        {"not from an accepted CA", {.subject = "desk"}},
        {"has expired", {.subject = "desk", .issuer = &tls_fixture.ca, .ends_s = -60}},
        {"is not valid yet", {.subject = "desk", .issuer = &tls_fixture.ca, .begins_s = 3600}},
    };
    for (size_t i = 0; i < 2 * sizeof rows / sizeof rows[0]; i++) {
        struct tls_maker_certificate desk = tls_maker_issue(&rows[i / 2].spec);
        begin(&tls_fixture.ecdsa, &desk);
        limit_client(&test_suites[i % 2 == 0 ? 0 : 3]);
        require_certificates();
        connect_whole();
        fails(TLS_FAILURE_CERTIFICATE, rows[i / 2].text);
        assert_true(test.job->out_bytes > 0);
        end();
        tls_maker_free(&desk);
    }
}

static void a_client_without_a_certificate_is_refused_where_one_is_required(void **state)
{
    (void)state;
    for (size_t i = 0; i < TEST_SUITE_COUNT; i += 3) {
        begin(&tls_fixture.ecdsa, NULL);
        limit_client(&test_suites[i]);
        require_certificates();
        connect_whole();
        fails(TLS_FAILURE_CERTIFICATE, "sent no certificate");
        end();
    }
}

static void a_client_that_does_not_trust_the_server_is_named(void **state)
{
    (void)state;
    struct tls_maker_certificate strange = tls_maker_issue(
        &(struct tls_maker_spec){.subject = "md.example.com", .issuer = &tls_fixture.other});
    for (size_t i = 0; i < TEST_SUITE_COUNT; i += 3) {
        begin(&strange, NULL);
        limit_client(&test_suites[i]);
        connect_whole();
        fails(TLS_FAILURE_ALERT, "does not trust the CA");
        end();
    }
    tls_maker_free(&strange);
}

static void a_client_with_nothing_in_common_learns_it(void **state)
{
    (void)state;
    begin(&tls_fixture.ecdsa, NULL);
    SSL_CTX_set1_groups_list(test.clients, "P-384:X448");
    connect_whole();
    fails(TLS_FAILURE_PROTOCOL, "neither X25519 nor P-256");
    assert_int_equal(client_reason(), SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE);
    end();

    begin(&tls_fixture.ecdsa, NULL);
    SSL_CTX_set_max_proto_version(test.clients, TLS1_1_VERSION);
    SSL_CTX_set_security_level(test.clients, 0);
    connect_whole();
    fails(TLS_FAILURE_PROTOCOL, "no TLS version that is accepted");
    assert_int_equal(client_reason(), SSL_R_TLSV1_ALERT_PROTOCOL_VERSION);
    end();

    begin(&tls_fixture.ecdsa, NULL);
    SSL_CTX_set_max_proto_version(test.clients, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(test.clients, "ECDHE-RSA-AES128-GCM-SHA256");
    connect_whole();
    fails(TLS_FAILURE_PROTOCOL, "no cipher suite in common");
    assert_int_equal(client_reason(), SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE);
    end();
}

static int refuse_protocols(SSL *ssl, const uint8_t **out, uint8_t *out_bytes, const uint8_t *in,
                            unsigned in_bytes, void *context)
{
    (void)ssl, (void)out, (void)out_bytes, (void)in, (void)in_bytes, (void)context;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void a_client_without_http_learns_it(void **state)
{
    (void)state;
    begin(&tls_fixture.ecdsa, NULL);
    SSL_CTX_set_alpn_select_cb(test.server, refuse_protocols, NULL);
    SSL_CTX_set_alpn_protos(test.clients, (const uint8_t *)"\2h2", 3);
    connect_whole();
    fails(TLS_FAILURE_PROTOCOL, "does not offer http/1.1");
    assert_int_equal(client_reason(), SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
    end();
}

static void send_bytes(const void *bytes, size_t count)
{
    memcpy(test.job->in, bytes, count);
    test.job->in_bytes = (uint32_t)count;
    step();
}

static void what_is_no_handshake_is_named(void **state)
{
    (void)state;
    begin(&tls_fixture.ecdsa, NULL);
    send_bytes("GET / HTTP/1.1\r\n\r\n", 18);
    fails(TLS_FAILURE_PROTOCOL, "plain HTTP");
    send_bytes("\x16\x03\x01\x00\x04\x01\x00\x00\x00", 9);
    fails(TLS_FAILURE_PROTOCOL, "malformed handshake");
    send_bytes("\x17\x03\x03\x00\x01x", 6);
    fails(TLS_FAILURE_PROTOCOL, "unexpected message");
    end();
}

static void an_alert_of_the_client_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *alert, *text;
    } rows[] = {
        {"\x15\x03\x03\x00\x02\x01\x00", "closed the connection"},
        {"\x15\x03\x03\x00\x02\x02\x50", "internal error"},
        {"\x15\x03\x03\x00\x02\x02\x2d", "it has expired"},
        {"\x15\x03\x03\x00\x02\x02\xfe", "the client ended the handshake"},
    };
    for (size_t i = 0; i < 2 * sizeof rows / sizeof rows[0]; i++) {
        begin(&tls_fixture.ecdsa, NULL);
        limit_client(&test_suites[i % 2 == 0 ? 0 : 3]);
        test.client = tls_fixture_connect(test.clients);
        SSL_do_handshake(test.client);
        tls_fixture_send(test.client, test.job, SIZE_MAX);
        step();
        assert_int_equal(test.job->outcome, TLS_WANTS_MORE);
        send_bytes(rows[i / 2].alert, 7);
        fails(TLS_FAILURE_ALERT, rows[i / 2].text);
        end();
    }
}

/* What a thread's other handshakes left behind is not this one's. */
static void an_old_error_is_no_error_of_this_handshake(void **state)
{
    (void)state;
    begin(&tls_fixture.ecdsa, NULL);
    test.client = tls_fixture_connect(test.clients);
    SSL_do_handshake(test.client);
    tls_fixture_send(test.client, test.job, 100);
    ERR_raise(ERR_LIB_SSL, SSL_R_NO_SHARED_CIPHER);
    step();
    assert_int_equal(test.job->outcome, TLS_WANTS_MORE);
    end();
}

static void a_flight_that_has_no_room_ends_the_handshake(void **state)
{
    (void)state;
    begin(&tls_fixture.rsa, NULL);
    for (int i = 0; i < 60; i++) {
        SSL_CTX_add1_chain_cert(test.server, tls_fixture.rsa.x509);
    }
    connect_whole();
    fails(TLS_FAILURE_INTERNAL, "longer than 20 KiB");
    end();
}

/* One byte of the client's flights after the other is changed. */
static void a_changed_byte_never_lets_a_handshake_finish_with_other_keys(void **state)
{
    (void)state;
    uint32_t failed = 0;
    for (size_t i = 0; i < TEST_SUITE_COUNT; i += 3) {
        for (size_t place = 0; place < 420; place += 7) {
            size_t sent = 0;
            begin(&tls_fixture.ecdsa, NULL);
            limit_client(&test_suites[i]);
            test.client = tls_fixture_connect(test.clients);
            for (int flight = 0; flight < 2; flight++) {
                (void)SSL_do_handshake(test.client);
                if (!tls_fixture_send(test.client, test.job, SIZE_MAX)) {
                    break;
                }
                if (place >= sent && place < sent + test.job->in_bytes) {
                    test.job->in[place - sent] ^= 0x10;
                }
                sent += test.job->in_bytes;
                step();
                tls_fixture_receive(test.client, test.job->out, test.job->out_bytes);
                if (test.job->outcome != TLS_WANTS_MORE) {
                    break;
                }
            }
            assert_true(test.job->outcome != TLS_FINISHED || place >= sent);
            failed += test.job->outcome == TLS_FAILED;
            end();
        }
    }
    assert_true(failed > 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends_talk_in_each_suite_with_each_certificate),
        cmocka_unit_test(both_ends_talk_however_many_tickets_are_sent),
        cmocka_unit_test(both_ends_talk_when_the_client_comes_byte_by_byte),
        cmocka_unit_test(both_ends_talk_after_a_second_hello),
        cmocka_unit_test(both_ends_talk_after_a_session_is_resumed),
        cmocka_unit_test(short_records_are_promised_to_a_client_that_asks),
        cmocka_unit_test(what_comes_with_the_last_flight_is_handed_over),
        cmocka_unit_test(a_record_that_is_cut_is_handed_over_as_far_as_it_came),
        cmocka_unit_test(keys_that_open_nothing_end_the_handshake),
        cmocka_unit_test(keys_end_the_handshake_when_no_ticket_was_sent_as_well),
        cmocka_unit_test(a_handshake_without_secrets_does_not_finish),
        cmocka_unit_test(a_suite_that_is_not_known_does_not_finish),
        cmocka_unit_test(a_handshake_that_is_given_up_is_freed),
        cmocka_unit_test(a_client_is_known_by_its_certificate_also_when_it_resumes),
        cmocka_unit_test(names_that_read_as_others_are_left_out),
        cmocka_unit_test(a_client_may_come_without_a_certificate_where_it_is_only_asked),
        cmocka_unit_test(a_server_s_name_that_the_client_asks_for_is_known),
        cmocka_unit_test(a_client_certificate_that_is_not_good_is_named),
        cmocka_unit_test(a_client_without_a_certificate_is_refused_where_one_is_required),
        cmocka_unit_test(a_client_that_does_not_trust_the_server_is_named),
        cmocka_unit_test(a_client_with_nothing_in_common_learns_it),
        cmocka_unit_test(a_client_without_http_learns_it),
        cmocka_unit_test(what_is_no_handshake_is_named),
        cmocka_unit_test(an_alert_of_the_client_is_named),
        cmocka_unit_test(an_old_error_is_no_error_of_this_handshake),
        cmocka_unit_test(a_flight_that_has_no_room_ends_the_handshake),
        cmocka_unit_test(a_changed_byte_never_lets_a_handshake_finish_with_other_keys),
    };
    return cmocka_run_group_tests(tests, tls_fixture_open, tls_fixture_close);
}
