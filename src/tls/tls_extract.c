#include "src/tls/tls_extract.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/objects.h>
#include <openssl/ssl.h>
#include <string.h>

#include "codec/base/check.h"

#define TLS_EXTRACT_RECORD_MAX 4096  /* Longer ones hold what a blocked client got half of. */
#define TLS_EXTRACT_TRIAL "ringcast" /* what OpenSSL seals, to be opened by the keys */
#define TLS_EXTRACT_TRIAL_BYTES (sizeof TLS_EXTRACT_TRIAL - 1)

static_assert(TLS_RANDOM_BYTES == SSL3_RANDOM_SIZE, "the key block's");
static_assert(TLS_SECRET_BYTES_MAX == SSL_MAX_MASTER_KEY_LENGTH, "the master secret's");

/* ---- The key log ---- */

/* The value of a lower-case hexadecimal digit; -1: it is none. */
static int tls_extract_digit(char digit)
{
    return digit >= '0' && digit <= '9'   ? digit - '0'
           : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
                                          : -1;
}

/* Up to the end of the line. A secret that cannot be read is one that was not seen. */
static void tls_extract_read(struct tls_extract_secret *secret, const char *hex)
{
    size_t count = 0;
    for (; hex[0] != '\0' && count < sizeof secret->bytes; hex += 2) {
        int high = tls_extract_digit(hex[0]);
        int low = high < 0 ? -1 : tls_extract_digit(hex[1]);
        if (low < 0) {
            break;
        }
        secret->bytes[count++] = (uint8_t)(high << 4 | low);
    }
    secret->count = hex[0] == '\0' ? count : 0;
}

/* "LABEL CLIENT_RANDOM SECRET" */
void tls_extract_keylog(const SSL *ssl, const char *line)
{
    struct tls_extract *extract = SSL_get_app_data(ssl);
    struct tls_extract_secret *secret = NULL;
    size_t label = strcspn(line, " ");
    const char *hex = strrchr(line, ' ');
    if (extract == NULL || hex == NULL) {
        return;
    }
    if (label == strlen("CLIENT_TRAFFIC_SECRET_0") &&
        memcmp(line, "CLIENT_TRAFFIC_SECRET_0", label) == 0) {
        secret = &extract->client;
    } else if (label == strlen("SERVER_TRAFFIC_SECRET_0") &&
               memcmp(line, "SERVER_TRAFFIC_SECRET_0", label) == 0) {
        secret = &extract->server;
    }
    if (secret != NULL) {
        tls_extract_read(secret, hex + 1);
    }
}

void tls_extract_begin(struct tls_extract *extract, SSL *ssl)
{
    *extract = (struct tls_extract){0};
    SSL_set_app_data(ssl, extract);
}

void tls_extract_end(struct tls_extract *extract)
{
    OPENSSL_cleanse(extract, sizeof *extract);
}

/* ---- Keys ---- */

static bool tls_extract_suite(const SSL *ssl, enum tls_suite *suite_out)
{
    const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
    switch (cipher == NULL ? NID_undef : SSL_CIPHER_get_cipher_nid(cipher)) {
    case NID_aes_128_gcm:
        *suite_out = TLS_AES_128_GCM;
        return true;
    case NID_aes_256_gcm:
        *suite_out = TLS_AES_256_GCM;
        return true;
    case NID_chacha20_poly1305:
        *suite_out = TLS_CHACHA20_POLY1305;
        return true;
    default:
        return false;
    }
}

/* Records in what the last step put out, which are all under the application keys: tickets. false:
 * there are others. */
static bool tls_extract_count_records(const uint8_t *bytes, size_t count, uint64_t *records_out)
{
    *records_out = 0;
    while (count > 0) {
        if (count < TLS_HEADER_BYTES || bytes[0] != TLS_APPLICATION_DATA) {
            return false;
        }
        size_t record_bytes = TLS_HEADER_BYTES + ((size_t)bytes[3] << 8 | bytes[4]);
        if (record_bytes > count) {
            return false;
        }
        bytes += record_bytes;
        count -= record_bytes;
        ++*records_out;
    }
    return true;
}

static const char *tls_extract_keys_13(const struct tls_extract *extract, enum tls_suite suite,
                                       struct tls_job *job)
{
    uint64_t records;
    if (extract->client.count == 0 || extract->server.count == 0) {
        return "OpenSSL logged no secrets";
    }
    if (!tls_secret_keys(&job->tx, suite, extract->server.bytes, extract->server.count) ||
        !tls_secret_keys(&job->rx, suite, extract->client.bytes, extract->client.count)) {
        return "no keys can be derived from the secrets";
    }
    if (!tls_extract_count_records(job->out, job->out_bytes, &records)) {
        return "OpenSSL ended the handshake with records that are no tickets";
    }
    assert_always(extract->client.count <= sizeof job->rx_secret);
    assert_always(extract->server.count <= sizeof job->tx_secret);
    memcpy(job->tx_secret, extract->server.bytes, extract->server.count);
    memcpy(job->rx_secret, extract->client.bytes, extract->client.count);
    job->tx.seq = records;
    return NULL;
}

static const char *tls_extract_keys_12(const SSL *ssl, enum tls_suite suite, struct tls_job *job)
{
    uint8_t master[TLS_SECRET_BYTES_MAX];
    uint8_t client[TLS_RANDOM_BYTES];
    uint8_t server[TLS_RANDOM_BYTES];
    const SSL_SESSION *session = SSL_get_session(ssl);
    bool is_whole = session != NULL &&
                    SSL_SESSION_get_master_key(session, master, sizeof master) == sizeof master &&
                    SSL_get_client_random(ssl, client, sizeof client) == sizeof client &&
                    SSL_get_server_random(ssl, server, sizeof server) == sizeof server &&
                    tls_secret_keys_12(&job->rx, &job->tx, suite, master, client, server);
    OPENSSL_cleanse(master, sizeof master);
    return is_whole ? NULL : "no keys can be derived from the master secret";
}

/* Where the client asked for short records (RFC 6066), they are that short. */
static uint16_t tls_extract_record_max(const SSL *ssl)
{
    const SSL_SESSION *session = SSL_get_session(ssl);
    uint8_t code = session == NULL ? 0 : SSL_SESSION_get_max_fragment_length(session);
    uint32_t bytes = code == TLSEXT_max_fragment_length_DISABLED ? TLS_EXTRACT_RECORD_MAX
                                                                 : UINT32_C(256) << code;
    return (uint16_t)(bytes < TLS_EXTRACT_RECORD_MAX ? bytes : TLS_EXTRACT_RECORD_MAX);
}

/* OpenSSL seals a record, which nobody gets. */
static bool tls_extract_seal(SSL *ssl, uint8_t *record_out, size_t record_bytes)
{
    BIO *out = SSL_get_wbio(ssl);
    size_t count;
    assert_always(BIO_ctrl_pending(out) == 0); /* What the client is to get is in the job. */
    return SSL_write_ex(ssl, TLS_EXTRACT_TRIAL, TLS_EXTRACT_TRIAL_BYTES, &count) == 1 &&
           BIO_ctrl_pending(out) == record_bytes &&
           BIO_read_ex(out, record_out, record_bytes, &count) == 1 && count == record_bytes;
}

/* It must open by a copy of the keys. Our own records begin in its place: with its number, and in
 * TLS 1.2 with the explicit part of the nonce that follows its own, which OpenSSL begins at random.
 * In TLS 1.3 our first record has its very nonce: that is safe because it never leaves. */
static bool tls_extract_try(SSL *ssl, struct tls_ciphers *ciphers, struct tls_keys *tx)
{
    uint8_t record[TLS_EXTRACT_TRIAL_BYTES + TLS_OVERHEAD_BYTES_MAX + 1];
    struct tls_keys keys = *tx;
    struct tls_plain plain;
    size_t count = tls_record_bytes(&keys, TLS_EXTRACT_TRIAL_BYTES);
    assert_always(count <= sizeof record);
    bool is_right = tls_extract_seal(ssl, record, count);
    if (is_right && tls_record_front(&keys) == TLS_HEADER_BYTES + TLS_EXPLICIT_BYTES) {
        memcpy(tx->iv + TLS_IV_BYTES - TLS_EXPLICIT_BYTES, record + TLS_HEADER_BYTES,
               TLS_EXPLICIT_BYTES);
    }
    is_right = is_right && tls_record_open(ciphers, &keys, record, count, &plain) == TLS_OK &&
               plain.type == TLS_APPLICATION_DATA && plain.count == TLS_EXTRACT_TRIAL_BYTES &&
               memcmp(plain.bytes, TLS_EXTRACT_TRIAL, TLS_EXTRACT_TRIAL_BYTES) == 0;
    OPENSSL_cleanse(&keys, sizeof keys);
    OPENSSL_cleanse(record, sizeof record);
    tls_ciphers_forget(ciphers);
    return is_right;
}

static const char *tls_extract_all(const struct tls_extract *extract, SSL *ssl,
                                   struct tls_ciphers *ciphers, struct tls_job *job)
{
    enum tls_suite suite;
    const char *wrong;
    if (!tls_extract_suite(ssl, &suite)) {
        return "OpenSSL chose a cipher suite that is not known here";
    }
    if (SSL_has_pending(ssl)) {
        return "OpenSSL has read beyond the handshake";
    }
    if (SSL_version(ssl) == TLS1_3_VERSION) {
        wrong = tls_extract_keys_13(extract, suite, job);
    } else if (SSL_version(ssl) == TLS1_2_VERSION) {
        wrong = tls_extract_keys_12(ssl, suite, job);
    } else {
        wrong = "OpenSSL chose a TLS version that is not known here";
    }
    if (wrong != NULL) {
        return wrong;
    }
    job->tx.record_max = tls_extract_record_max(ssl);
    return tls_extract_try(ssl, ciphers, &job->tx)
               ? NULL
               : "the derived keys do not open what OpenSSL sealed: this OpenSSL is not supported";
}

const char *tls_extract_finish(const struct tls_extract *extract, SSL *ssl,
                               struct tls_ciphers *ciphers, struct tls_job *job)
{
    assert_always(SSL_is_init_finished(ssl));
    const char *wrong = tls_extract_all(extract, ssl, ciphers, job);
    if (wrong != NULL) {
        tls_job_wipe(job);
    }
    return wrong;
}
