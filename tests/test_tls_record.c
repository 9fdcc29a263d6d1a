#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/bytes.h"
#include "codec/base/list.h"
#include "codec/tls/tls_record.h"
#include "codec/tls/tls_secret.h"

static struct tls_ciphers *test_ciphers;

/* Returns how many bytes the digits are; spaces do not count. */
static size_t test_hex(uint8_t *out, const char *text)
{
    size_t count = 0;
    unsigned byte;
    int read;
    while (sscanf(text, " %2x%n", &byte, &read) == 1) {
        out[count++] = (uint8_t)byte;
        text += read;
    }
    return count;
}

/* RFC 8448 section 3: the secrets of the application's traffic, and all records under them. */
static const struct test_traffic {
    const char *secret;
    const char *key;
    const char *iv;
    struct {
        enum tls_type type;
        const char *plain; /* NULL: the bytes 0 to 49 */
        const char *record;
    } records[3];
} test_traffic_of[] = {
    {.secret = "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5",
     .key = "17422dda596ed5d9acd890e3c63f5051",
     .iv = "5b78923dee08579033e523d9",
     .records = {{TLS_APPLICATION_DATA, NULL,
                  "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b39"
                  "5bd54a9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4"},
                 {TLS_ALERT, "0100", "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3"}}},
    {.secret = "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643",
     .key = "9f02283b6c9c07efc26bb9f2ac92e356",
     .iv = "cf782b88dd83549aadf1e984",
     .records = {{TLS_HANDSHAKE,
                  "040000c90000001efad6aac502000000b22c035d829359ee5ff7af4ec900000000262a6494dc486d"
                  "2c8a34cb33fa90bf1b0070ad3c498883c9367c09a2be785abc55cd226097a3a982117283f82a03a1"
                  "43efd3ff5dd36d64e861be7fd61d2827db279cce145077d454a3664d4e6da4d29ee03725a6a4dafc"
                  "d0fc67d2aea70529513e3da2677fa5906c5b3f7d8f92f228bda40dda721470f9fbf297b5aea61764"
                  "6fac5c03272e970727c621a79141ef5f7de6505e5bfbc388e93343694093934ae4d3570008002a00"
                  "0400000400",
                  "17030300de3a6b8f90414a97d6959c3487680de5134a2b240e6cffac116e95d41d6af8f6b580dcf3"
                  "d11d63c758db289a015940252f55713e061dc13e078891a38efbcf5753ad8ef170ad3c7353d16d9d"
                  "a773b9ca7f2b9fa1b6c0d4a3d03f75e09c30ba1e62972ac46f75f7b981be63439b2999ce13064615"
                  "139891d5e4c5b406f16e3fc181a77ca475840025db2f0a77f81b5ab05b94c01346755f69232c8651"
                  "9d86cbeeac87aac347d143f9605d64f650db4d023e70e952ca49fe5137121c74bc2697687e248746"
                  "d6df353005f3bce18696129c8153556b3b6c6779b37bf15985684f"},
                 {TLS_APPLICATION_DATA, NULL,
                  "17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6df"
                  "fc602dcb501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d"},
                 {TLS_ALERT, "0100", "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9"}}},
};

static struct tls_keys test_keys_of(const struct test_traffic *traffic)
{
    uint8_t secret[TLS_SECRET_BYTES_MAX];
    struct tls_keys keys;
    size_t secret_bytes = test_hex(secret, traffic->secret);
    assert_true(tls_secret_keys(&keys, TLS_AES_128_GCM, secret, secret_bytes));
    return keys;
}

static void secrets_of_rfc_8448_become_its_keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        uint8_t key[TLS_KEY_BYTES_MAX] = {0};
        uint8_t iv[TLS_IV_BYTES];
        struct tls_keys keys = test_keys_of(&test_traffic_of[i]);
        assert_int_equal(test_hex(key, test_traffic_of[i].key), 16);
        assert_int_equal(test_hex(iv, test_traffic_of[i].iv), TLS_IV_BYTES);
        assert_memory_equal(keys.key, key, sizeof key);
        assert_memory_equal(keys.iv, iv, sizeof iv);
        assert_int_equal(keys.seq, 0);
        assert_int_equal(keys.version, TLS_1_3);
    }
}

static void records_of_rfc_8448_are_sealed_and_opened(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const struct test_traffic *traffic = &test_traffic_of[i];
        struct tls_keys tx = test_keys_of(traffic);
        struct tls_keys rx = tx;
        for (size_t number = 0; number < 3 && traffic->records[number].record != NULL; number++) {
            uint8_t plain[256];
            uint8_t record[256];
            uint8_t sealed[256];
            size_t plain_bytes = 50;
            for (size_t at = 0; at < plain_bytes; at++) {
                plain[at] = (uint8_t)at;
            }
            if (traffic->records[number].plain != NULL) {
                plain_bytes = test_hex(plain, traffic->records[number].plain);
            }
            size_t record_bytes = test_hex(record, traffic->records[number].record);
            memcpy(sealed + tls_record_front(&tx), plain, plain_bytes);
            assert_int_equal(tls_record_seal(test_ciphers, &tx, traffic->records[number].type,
                                             sealed, plain_bytes),
                             record_bytes);
            assert_memory_equal(sealed, record, record_bytes);

            struct tls_plain opened;
            assert_int_equal(tls_record_open(test_ciphers, &rx, record, record_bytes, &opened),
                             TLS_OK);
            assert_int_equal(opened.type, traffic->records[number].type);
            assert_int_equal(opened.count, plain_bytes);
            assert_memory_equal(opened.bytes, plain, plain_bytes);
            assert_int_equal(rx.seq, number + 1);
        }
    }
}

/* ---- Against OpenSSL's own record layer ---- */

static const struct test_suite {
    const char *name; /* OpenSSL's */
    enum tls_version version;
    enum tls_suite suite;
} test_suites[] = {
    {"TLS_AES_128_GCM_SHA256", TLS_1_3, TLS_AES_128_GCM},
    {"TLS_AES_256_GCM_SHA384", TLS_1_3, TLS_AES_256_GCM},
    {"TLS_CHACHA20_POLY1305_SHA256", TLS_1_3, TLS_CHACHA20_POLY1305},
    {"ECDHE-ECDSA-AES128-GCM-SHA256", TLS_1_2, TLS_AES_128_GCM},
    {"ECDHE-ECDSA-AES256-GCM-SHA384", TLS_1_2, TLS_AES_256_GCM},
    {"ECDHE-ECDSA-CHACHA20-POLY1305", TLS_1_2, TLS_CHACHA20_POLY1305},
};
#define TEST_SUITE_COUNT (sizeof test_suites / sizeof test_suites[0])

/* A client that has finished its handshake; the server's side is ours from there on. */
struct test_pair {
    SSL *client;
    BIO *to_client, *to_server; /* the client's */
    struct tls_keys tx, rx;
    uint8_t tx_secret[TLS_SECRET_BYTES_MAX], rx_secret[TLS_SECRET_BYTES_MAX];
    uint8_t record[TLS_RECORD_BYTES_MAX]; /* sealed or opened last */
};

static EVP_PKEY *test_key;
static X509 *test_certificate;
static char test_key_log[2][256]; /* the secrets of client and server, in digits */

static void test_make_certificate(void)
{
    test_key = EVP_EC_gen("P-256");
    test_certificate = X509_new();
    assert_non_null(test_key);
    X509_gmtime_adj(X509_getm_notBefore(test_certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(test_certificate), 3600);
    X509_set_pubkey(test_certificate, test_key);
    assert_true(X509_sign(test_certificate, test_key, EVP_sha256()) > 0);
}

static void test_on_key_log(const SSL *ssl, const char *line)
{
    static const char *const labels[] = {"CLIENT_TRAFFIC_SECRET_0 ", "SERVER_TRAFFIC_SECRET_0 "};
    (void)ssl;
    for (size_t i = 0; i < 2; i++) {
        if (strncmp(line, labels[i], strlen(labels[i])) == 0) {
            snprintf(test_key_log[i], sizeof test_key_log[i], "%s", strrchr(line, ' ') + 1);
        }
    }
}

static SSL *test_ssl(const SSL_METHOD *method, const struct test_suite *suite, BIO *in, BIO *out)
{
    SSL_CTX *context = SSL_CTX_new(method);
    int version = suite->version == TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
    assert_non_null(context);
    SSL_CTX_set_min_proto_version(context, version);
    SSL_CTX_set_max_proto_version(context, version);
    assert_int_equal(suite->version == TLS_1_3 ? SSL_CTX_set_ciphersuites(context, suite->name)
                                               : SSL_CTX_set_cipher_list(context, suite->name),
                     1);
    SSL_CTX_set_num_tickets(context, 0);
    SSL_CTX_set_keylog_callback(context, test_on_key_log);
    SSL_CTX_use_certificate(context, test_certificate);
    SSL_CTX_use_PrivateKey(context, test_key);
    SSL *ssl = SSL_new(context);
    assert_non_null(ssl);
    BIO_up_ref(in);
    BIO_up_ref(out);
    SSL_set_bio(ssl, in, out);
    SSL_CTX_free(context);
    return ssl;
}

static void test_take_keys(struct test_pair *pair, SSL *server, const struct test_suite *suite)
{
    if (suite->version == TLS_1_3) {
        size_t secret_bytes = test_hex(pair->rx_secret, test_key_log[0]);
        assert_int_equal(test_hex(pair->tx_secret, test_key_log[1]), secret_bytes);
        assert_true(tls_secret_keys(&pair->rx, suite->suite, pair->rx_secret, secret_bytes));
        assert_true(tls_secret_keys(&pair->tx, suite->suite, pair->tx_secret, secret_bytes));
        return;
    }
    uint8_t master[TLS_SECRET_BYTES_MAX];
    uint8_t client_random[TLS_RANDOM_BYTES], server_random[TLS_RANDOM_BYTES];
    SSL_SESSION_get_master_key(SSL_get_session(server), master, sizeof master);
    SSL_get_client_random(server, client_random, sizeof client_random);
    SSL_get_server_random(server, server_random, sizeof server_random);
    assert_true(tls_secret_keys_12(&pair->rx, &pair->tx, suite->suite, master, client_random,
                                   server_random));
    if (suite->suite != TLS_CHACHA20_POLY1305) {
        memset(pair->tx.iv + 4, 0xff, TLS_EXPLICIT_BYTES); /* It wraps around. */
    }
}

static void test_pair_open(struct test_pair *pair, const struct test_suite *suite)
{
    memset(pair, 0, sizeof *pair);
    pair->to_client = BIO_new(BIO_s_mem());
    pair->to_server = BIO_new(BIO_s_mem());
    pair->client = test_ssl(TLS_client_method(), suite, pair->to_client, pair->to_server);
    SSL *server = test_ssl(TLS_server_method(), suite, pair->to_server, pair->to_client);
    SSL_set_connect_state(pair->client);
    SSL_set_accept_state(server);
    int done = 0;
    for (int flight = 0; flight < 8 && done != 2; flight++) {
        done = (SSL_do_handshake(pair->client) == 1) + (SSL_do_handshake(server) == 1);
    }
    assert_int_equal(done, 2);
    assert_int_equal(BIO_pending(pair->to_client) + BIO_pending(pair->to_server), 0);
    test_take_keys(pair, server, suite);
    SSL_free(server);
}

static void test_pair_close(struct test_pair *pair)
{
    SSL_free(pair->client);
    BIO_free(pair->to_client);
    BIO_free(pair->to_server);
}

/* A random plaintext of this length, the same for the same number. */
static void test_fill(uint8_t *out, size_t count, size_t number)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = (uint8_t)((i + number) * 167 + (i >> 8));
    }
}

static void test_send(struct test_pair *pair, enum tls_type type, const void *plain, size_t count)
{
    memcpy(pair->record + tls_record_front(&pair->tx), plain, count);
    size_t record_bytes = tls_record_seal(test_ciphers, &pair->tx, type, pair->record, count);
    assert_int_equal(record_bytes, tls_record_bytes(&pair->tx, count));
    assert_int_equal(BIO_write(pair->to_client, pair->record, (int)record_bytes), record_bytes);
}

/* The next record of the client. */
static struct tls_plain test_receive(struct test_pair *pair)
{
    struct tls_plain plain;
    size_t record_bytes;
    assert_int_equal(BIO_read(pair->to_server, pair->record, TLS_HEADER_BYTES), TLS_HEADER_BYTES);
    assert_int_equal(
        tls_record_length(&pair->rx, pair->record, TLS_HEADER_BYTES - 1, &record_bytes),
        TLS_NEED_MORE);
    assert_int_equal(tls_record_length(&pair->rx, pair->record, TLS_HEADER_BYTES, &record_bytes),
                     TLS_OK);
    int rest = (int)record_bytes - TLS_HEADER_BYTES;
    assert_int_equal(BIO_read(pair->to_server, pair->record + TLS_HEADER_BYTES, rest), rest);
    assert_int_equal(tls_record_open(test_ciphers, &pair->rx, pair->record, record_bytes, &plain),
                     TLS_OK);
    return plain;
}

static void test_exchange(struct test_pair *pair, size_t count)
{
    static uint8_t sent[TLS_PLAIN_BYTES_MAX], received[TLS_PLAIN_BYTES_MAX];
    test_fill(sent, count, pair->tx.seq);
    test_send(pair, TLS_APPLICATION_DATA, sent, count);
    int got = SSL_read(pair->client, received, sizeof received);
    if (count == 0) {
        assert_int_equal(SSL_get_error(pair->client, got), SSL_ERROR_WANT_READ);
        return; /* OpenSSL writes no empty records. */
    }
    assert_int_equal(got, count);
    assert_memory_equal(received, sent, count);

    assert_int_equal(SSL_write(pair->client, sent, (int)count), count);
    struct tls_plain plain = test_receive(pair);
    assert_int_equal(plain.type, TLS_APPLICATION_DATA);
    assert_int_equal(plain.count, count);
    assert_memory_equal(plain.bytes, sent, count);
}

static void records_of_every_suite_are_those_of_openssl(void **state)
{
    (void)state;
    static struct test_pair pair;
    for (size_t i = 0; i < TEST_SUITE_COUNT; i++) {
        test_pair_open(&pair, &test_suites[i]);
        for (size_t count = 0; count <= TLS_PLAIN_BYTES_MAX;) {
            test_exchange(&pair, count);
            count += count < 300 || count > TLS_PLAIN_BYTES_MAX - 50 ? 1 : 61;
        }
        test_pair_close(&pair);
    }
}

static void padding_of_a_record_is_no_part_of_it(void **state)
{
    (void)state;
    static struct test_pair pair;
    test_pair_open(&pair, &test_suites[0]);
    SSL_set_block_padding(pair.client, 4096);
    test_exchange(&pair, 1);
    test_exchange(&pair, 4000);
    test_exchange(&pair, TLS_PLAIN_BYTES_MAX);
    test_pair_close(&pair);
}

static void keys_are_updated_both_ways(void **state)
{
    (void)state;
    static struct test_pair pair;
    static const uint8_t update[] = {24, 0, 0, 1, 0}; /* key_update, update_not_requested */
    for (size_t i = 0; i < TLS_SUITE_COUNT; i++) {
        test_pair_open(&pair, &test_suites[i]);
        pair.tx.record_max = 4096;
        for (int round = 0; round < 4; round++) {
            assert_int_equal(SSL_key_update(pair.client, SSL_KEY_UPDATE_REQUESTED), 1);
            assert_int_equal(SSL_write(pair.client, "x", 1), 1);
            struct tls_plain plain = test_receive(&pair);
            assert_int_equal(plain.type, TLS_HANDSHAKE);
            assert_int_equal(plain.count, sizeof update);
            assert_int_equal(plain.bytes[0], update[0]);
            assert_int_equal(plain.bytes[4], 1);
            assert_true(tls_secret_update(&pair.rx, pair.rx_secret));
            assert_int_equal(pair.rx.seq, 0);
            plain = test_receive(&pair);
            assert_int_equal(plain.count, 1);

            test_send(&pair, TLS_HANDSHAKE, update, sizeof update);
            assert_true(tls_secret_update(&pair.tx, pair.tx_secret));
            assert_int_equal(pair.tx.seq, 0);
            assert_int_equal(pair.tx.record_max, 4096);
            test_exchange(&pair, 100);
        }
        test_pair_close(&pair);
    }
}

static void close_notify_ends_the_clients_reading(void **state)
{
    (void)state;
    static struct test_pair pair;
    static const uint8_t notify[] = {TLS_ALERT_WARNING, TLS_ALERT_CLOSE_NOTIFY};
    for (size_t i = 0; i < TEST_SUITE_COUNT; i++) {
        uint8_t byte;
        test_pair_open(&pair, &test_suites[i]);
        test_send(&pair, TLS_ALERT, notify, sizeof notify);
        assert_int_equal(SSL_get_error(pair.client, SSL_read(pair.client, &byte, 1)),
                         SSL_ERROR_ZERO_RETURN);
        assert_int_equal(SSL_shutdown(pair.client), 1);
        struct tls_plain plain = test_receive(&pair);
        assert_int_equal(plain.type, TLS_ALERT);
        assert_memory_equal(plain.bytes, notify, sizeof notify);
        test_pair_close(&pair);
    }
}

/* ---- What must never be ---- */

/* Keys without a handshake. */
static struct tls_keys test_made_up_keys(const struct test_suite *suite)
{
    uint8_t secret[TLS_SECRET_BYTES_MAX];
    struct tls_keys client, server;
    test_fill(secret, sizeof secret, 7);
    if (suite->version == TLS_1_3) {
        assert_true(tls_secret_keys(&server, suite->suite, secret, tls_secret_bytes(suite->suite)));
    } else {
        assert_true(
            tls_secret_keys_12(&client, &server, suite->suite, secret, secret, secret + 16));
    }
    return server;
}

static void a_record_with_any_bit_flipped_does_not_open(void **state)
{
    (void)state;
    for (size_t i = 0; i < TEST_SUITE_COUNT; i++) {
        uint8_t sealed[128] = {0};
        struct tls_keys tx = test_made_up_keys(&test_suites[i]);
        const struct tls_keys rx = tx;
        size_t record_bytes = tls_record_seal(test_ciphers, &tx, TLS_APPLICATION_DATA, sealed, 50);
        for (size_t bit = 0; bit < record_bytes * 8; bit++) {
            uint8_t record[sizeof sealed];
            struct tls_keys keys = rx;
            struct tls_plain plain;
            size_t length = 0;
            memcpy(record, sealed, sizeof record);
            record[bit / 8] ^= (uint8_t)(1 << bit % 8);
            enum tls_status status = tls_record_length(&keys, record, record_bytes, &length);
            if (status == TLS_OK && length <= record_bytes) {
                status = tls_record_open(test_ciphers, &keys, record, length, &plain);
                assert_int_equal(status, TLS_BAD_MAC);
            }
            assert_true(status != TLS_OK || length > record_bytes);
            assert_int_equal(keys.seq, rx.seq);
        }
    }
}

static void a_record_opens_in_its_place_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < TEST_SUITE_COUNT; i++) {
        uint8_t records[2][64] = {{0}};
        struct tls_keys tx = test_made_up_keys(&test_suites[i]);
        struct tls_keys rx = tx;
        struct tls_plain plain;
        size_t bytes = 0;
        for (size_t number = 0; number < 2; number++) {
            bytes = tls_record_seal(test_ciphers, &tx, TLS_ALERT, records[number], 2);
        }
        uint8_t again[64];
        memcpy(again, records[0], sizeof again);
        assert_int_equal(tls_record_open(test_ciphers, &rx, again, bytes, &plain), TLS_OK);
        memcpy(again, records[0], sizeof again);
        assert_int_equal(tls_record_open(test_ciphers, &rx, again, bytes, &plain), TLS_BAD_MAC);
        assert_int_equal(tls_record_open(test_ciphers, &rx, records[1], bytes, &plain), TLS_OK);
    }
}

static int test_compare_tags(const void *left, const void *right)
{
    return memcmp(left, right, TLS_TAG_BYTES);
}

/* Of the same plaintext under the same key; two tags alike would mean two nonces alike. Of TLS 1.2
 * the tag also depends on the number, so its explicit nonces are compared. */
static void nonces_never_repeat(void **state)
{
    (void)state;
    enum { COUNT = 50000 };
    static uint8_t seen[COUNT][TLS_TAG_BYTES];
    for (size_t i = 0; i < TEST_SUITE_COUNT; i++) {
        struct tls_keys keys = test_made_up_keys(&test_suites[i]);
        bool is_explicit = tls_record_front(&keys) > TLS_HEADER_BYTES;
        keys.seq = UINT32_MAX - COUNT / 2;
        memset(keys.iv + 4, 0xff, is_explicit ? TLS_EXPLICIT_BYTES : 0);
        memset(seen, 0, sizeof seen);
        for (size_t number = 0; number < COUNT; number++) {
            uint8_t record[64] = {0};
            size_t bytes = tls_record_seal(test_ciphers, &keys, TLS_APPLICATION_DATA, record, 8);
            memcpy(seen[number],
                   is_explicit ? record + TLS_HEADER_BYTES : record + bytes - TLS_TAG_BYTES,
                   is_explicit ? TLS_EXPLICIT_BYTES : TLS_TAG_BYTES);
        }
        qsort(seen, COUNT, sizeof seen[0], test_compare_tags);
        for (size_t number = 1; number < COUNT; number++) {
            assert_int_not_equal(test_compare_tags(seen[number - 1], seen[number]), 0);
        }
    }
}

static void what_is_no_record_is_refused_by_its_header(void **state)
{
    (void)state;
    static const struct {
        uint8_t type, major;
        size_t bytes; /* behind the header */
        enum tls_status status_13, status_12;
    } cases[] = {
        {TLS_APPLICATION_DATA, 3, 17, TLS_OK, TLS_MALFORMED},
        {TLS_APPLICATION_DATA, 3, 16, TLS_MALFORMED, TLS_MALFORMED},
        {TLS_APPLICATION_DATA, 3, 24, TLS_OK, TLS_OK},
        {TLS_APPLICATION_DATA, 3, 0, TLS_MALFORMED, TLS_MALFORMED},
        {TLS_APPLICATION_DATA, 3, 16384 + 256, TLS_OK, TLS_OK},
        {TLS_APPLICATION_DATA, 3, 16384 + 257, TLS_TOO_LONG, TLS_OK},
        {TLS_APPLICATION_DATA, 3, 16384 + 2048, TLS_TOO_LONG, TLS_OK},
        {TLS_APPLICATION_DATA, 3, 16384 + 2049, TLS_TOO_LONG, TLS_TOO_LONG},
        {TLS_APPLICATION_DATA, 2, 100, TLS_MALFORMED, TLS_MALFORMED},
        {TLS_CHANGE_CIPHER_SPEC, 3, 1, TLS_UNEXPECTED, TLS_MALFORMED},
        {TLS_ALERT, 3, 26, TLS_UNEXPECTED, TLS_OK},
        {TLS_HANDSHAKE, 3, 100, TLS_UNEXPECTED, TLS_OK},
        {24, 3, 100, TLS_UNEXPECTED, TLS_UNEXPECTED},
        {19, 3, 100, TLS_UNEXPECTED, TLS_UNEXPECTED},
        {'G', 'E', 'T' << 8 | ' ', TLS_MALFORMED, TLS_MALFORMED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int version = TLS_1_2; version <= TLS_1_3; version++) {
            struct tls_keys keys = {.version = (uint8_t)version, .suite = TLS_AES_128_GCM};
            uint8_t header[TLS_HEADER_BYTES] = {cases[i].type, cases[i].major, 3};
            size_t record_bytes = 0;
            bytes_store_be16(header + 3, (uint16_t)cases[i].bytes);
            enum tls_status status = tls_record_length(&keys, header, sizeof header, &record_bytes);
            assert_int_equal(status, version == TLS_1_3 ? cases[i].status_13 : cases[i].status_12);
            assert_int_equal(record_bytes,
                             status == TLS_OK ? TLS_HEADER_BYTES + cases[i].bytes : 0);
        }
    }
}

/* Seals by hand what tls_record_seal would not: TLS 1.2 seals any bytes, and with the keys of
 * TLS 1.3 a record is made of its inner plaintext. */
static enum tls_status test_open_inner(const uint8_t *inner, size_t count)
{
    static uint8_t record[TLS_RECORD_BYTES_MAX + TLS_TAG_BYTES];
    struct tls_keys keys = test_made_up_keys(&test_suites[0]);
    struct tls_plain plain;
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int written;
    size_t length = count + TLS_TAG_BYTES;
    uint8_t header[TLS_HEADER_BYTES] = {TLS_APPLICATION_DATA, 3, 3};
    bytes_store_be16(header + 3, (uint16_t)length);
    memcpy(record, header, sizeof header);
    uint8_t *bytes = record + sizeof header;
    assert_int_equal(EVP_EncryptInit_ex(context, EVP_aes_128_gcm(), NULL, keys.key, keys.iv), 1);
    assert_int_equal(EVP_EncryptUpdate(context, NULL, &written, header, sizeof header), 1);
    assert_int_equal(EVP_EncryptUpdate(context, bytes, &written, inner, (int)count), 1);
    assert_int_equal(EVP_EncryptFinal_ex(context, bytes + count, &written), 1);
    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TLS_TAG_BYTES, bytes + count);
    EVP_CIPHER_CTX_free(context);
    return tls_record_open(test_ciphers, &keys, record, sizeof header + length, &plain);
}

static void a_plaintext_without_a_known_type_or_too_long_is_refused(void **state)
{
    (void)state;
    static uint8_t inner[TLS_PLAIN_BYTES_MAX + 2];
    assert_int_equal(test_open_inner(inner, 1), TLS_UNEXPECTED);
    assert_int_equal(test_open_inner(inner, 1000), TLS_UNEXPECTED);
    inner[3] = TLS_APPLICATION_DATA;
    assert_int_equal(test_open_inner(inner, 4), TLS_OK);
    assert_int_equal(test_open_inner(inner, TLS_PLAIN_BYTES_MAX + 1), TLS_OK);
    assert_int_equal(test_open_inner(inner, TLS_PLAIN_BYTES_MAX + 2), TLS_TOO_LONG);
    inner[3] = TLS_APPLICATION_DATA + 1;
    assert_int_equal(test_open_inner(inner, 4), TLS_UNEXPECTED);
    inner[3] = TLS_CHANGE_CIPHER_SPEC - 1;
    assert_int_equal(test_open_inner(inner, 4), TLS_UNEXPECTED);
}

static void a_secret_of_another_length_is_refused(void **state)
{
    (void)state;
    static const struct tls_keys wiped;
    const uint8_t secret[64] = {1};
    struct tls_keys keys;
    assert_false(tls_secret_keys(&keys, TLS_AES_128_GCM, secret, 48));
    assert_memory_equal(&keys, &wiped, sizeof keys);
    assert_false(tls_secret_keys(&keys, TLS_AES_256_GCM, secret, 32));
    assert_true(tls_secret_keys(&keys, TLS_AES_256_GCM, secret, 48));
}

/* ---- What libcrypto keeps ---- */

struct test_block {
    struct list_link link;
    size_t bytes;
};

static struct list_link test_blocks = {&test_blocks, &test_blocks};

static void *test_on_allocate(size_t bytes, const char *file, int line)
{
    (void)file, (void)line;
    struct test_block *block = bytes == 0 ? NULL : malloc(sizeof *block + bytes);
    if (block == NULL) {
        return NULL;
    }
    block->bytes = bytes;
    list_append(&test_blocks, &block->link);
    return block + 1;
}

static void test_on_free(void *bytes, const char *file, int line)
{
    (void)file, (void)line;
    if (bytes != NULL) {
        struct test_block *block = (struct test_block *)bytes - 1;
        list_remove(&block->link);
        free(block);
    }
}

static void *test_on_reallocate(void *bytes, size_t count, const char *file, int line)
{
    void *grown = test_on_allocate(count, file, line);
    size_t before = bytes == NULL ? 0 : ((struct test_block *)bytes - 1)->bytes;
    if (grown != NULL && bytes != NULL) {
        memcpy(grown, bytes, before < count ? before : count);
    }
    test_on_free(bytes, file, line);
    return grown;
}

/* In all that libcrypto has allocated. */
static uint32_t test_count_of(const uint8_t *bytes, size_t count)
{
    uint32_t found = 0;
    for (struct list_link *link = test_blocks.next; link != &test_blocks; link = link->next) {
        const struct test_block *block = container_of(link, struct test_block, link);
        found += memmem(block + 1, block->bytes, bytes, count) != NULL;
    }
    return found;
}

static void keys_of_the_last_records_are_forgotten(void **state)
{
    (void)state;
    for (size_t i = 0; i < TEST_SUITE_COUNT; i++) {
        uint8_t record[64] = {0};
        struct tls_keys tx = test_made_up_keys(&test_suites[i]);
        struct tls_keys rx = tx;
        struct tls_plain plain;
        size_t bytes = tls_record_seal(test_ciphers, &tx, TLS_APPLICATION_DATA, record, 8);
        assert_int_equal(tls_record_open(test_ciphers, &rx, record, bytes, &plain), TLS_OK);
        assert_true(test_count_of(tx.key, 16) > 0);
        tls_ciphers_forget(test_ciphers);
        assert_int_equal(test_count_of(tx.key, 16), 0);
        bytes = tls_record_seal(test_ciphers, &tx, TLS_APPLICATION_DATA, record, 8);
        assert_int_equal(tls_record_open(test_ciphers, &rx, record, bytes, &plain), TLS_OK);
    }
}

static int test_open(void **state)
{
    (void)state;
    test_make_certificate();
    return tls_ciphers_open(&test_ciphers);
}

static int test_close(void **state)
{
    (void)state;
    tls_ciphers_close(test_ciphers);
    tls_ciphers_close(NULL);
    EVP_PKEY_free(test_key);
    X509_free(test_certificate);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secrets_of_rfc_8448_become_its_keys),
        cmocka_unit_test(records_of_rfc_8448_are_sealed_and_opened),
        cmocka_unit_test(records_of_every_suite_are_those_of_openssl),
        cmocka_unit_test(padding_of_a_record_is_no_part_of_it),
        cmocka_unit_test(keys_are_updated_both_ways),
        cmocka_unit_test(close_notify_ends_the_clients_reading),
        cmocka_unit_test(a_record_with_any_bit_flipped_does_not_open),
        cmocka_unit_test(a_record_opens_in_its_place_only),
        cmocka_unit_test(nonces_never_repeat),
        cmocka_unit_test(what_is_no_record_is_refused_by_its_header),
        cmocka_unit_test(a_plaintext_without_a_known_type_or_too_long_is_refused),
        cmocka_unit_test(a_secret_of_another_length_is_refused),
        cmocka_unit_test(keys_of_the_last_records_are_forgotten),
    };
    if (CRYPTO_set_mem_functions(test_on_allocate, test_on_reallocate, test_on_free) != 1) {
        return 1;
    }
    return cmocka_run_group_tests(tests, test_open, test_close);
}
