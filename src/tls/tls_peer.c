#include "src/tls/tls_peer.h"

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"

#define TLS_PEER_DIGEST_BYTES 32

/* Names one after the other: counted first, then written. */
struct tls_peer_names {
    char *bytes; /* NULL: only counted */
    size_t used;
    uint32_t count;
};

/* Text of a certificate or a hello is UTF-8 or ASCII, and printable. */
static bool tls_peer_is_text(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] < ' ' || bytes[i] == 0x7f) {
            return false;
        }
    }
    return count > 0;
}

static void tls_peer_add(struct tls_peer_names *names, const char *kind, const void *bytes,
                         size_t count)
{
    size_t kind_bytes = strlen(kind);
    if (!tls_peer_is_text(bytes, count)) {
        return;
    }
    if (names->bytes != NULL) {
        char *name = names->bytes + names->used;
        memcpy(name, kind, kind_bytes);
        memcpy(name + kind_bytes, bytes, count);
        name[kind_bytes + count] = '\0';
    }
    names->used += kind_bytes + count + 1;
    names->count++;
}

static void tls_peer_add_subject(struct tls_peer_names *names, const X509 *certificate)
{
    const X509_NAME *subject = X509_get_subject_name(certificate);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    for (; at >= 0; at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) {
        const ASN1_STRING *value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
        unsigned char *text;
        int count = ASN1_STRING_to_UTF8(&text, value);
        if (count >= 0) {
            tls_peer_add(names, "cn:", text, (size_t)count);
            OPENSSL_free(text);
        }
    }
}

static void tls_peer_add_alternative(struct tls_peer_names *names, const GENERAL_NAME *alternative)
{
    int type;
    const ASN1_STRING *value = GENERAL_NAME_get0_value(alternative, &type);
    const char *kind = type == GEN_URI     ? "uri:"
                       : type == GEN_DNS   ? "dns:"
                       : type == GEN_EMAIL ? "email:"
                                           : NULL;
    if (kind != NULL) {
        tls_peer_add(names, kind, ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
    }
}

static void tls_peer_add_key(struct tls_peer_names *names, const X509 *certificate)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[TLS_PEER_DIGEST_BYTES];
    char hex[2 * TLS_PEER_DIGEST_BYTES];
    uint8_t *key = NULL;
    int key_bytes = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &key);
    if (key_bytes > 0 &&
        EVP_Digest(key, (size_t)key_bytes, digest, NULL, EVP_sha256(), NULL) == 1) {
        for (size_t i = 0; i < sizeof digest; i++) {
            hex[2 * i] = digits[digest[i] >> 4];
            hex[2 * i + 1] = digits[digest[i] & 15];
        }
        tls_peer_add(names, "spki-sha256:", hex, sizeof hex);
    }
    OPENSSL_free(key);
}

static void tls_peer_add_all(struct tls_peer_names *names, const X509 *certificate,
                             const GENERAL_NAMES *alternatives)
{
    tls_peer_add_subject(names, certificate);
    for (int i = 0; i < sk_GENERAL_NAME_num(alternatives); i++) { /* -1: there are none */
        tls_peer_add_alternative(names, sk_GENERAL_NAME_value(alternatives, i));
    }
    tls_peer_add_key(names, certificate);
}

/* 0: it cannot be read, so that it has passed. */
static uint64_t tls_peer_not_after(const X509 *certificate)
{
    struct tm tm;
    time_t time = -1;
    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) == 1) {
        time = timegm(&tm);
    }
    return time < 0 ? 0 : (uint64_t)time;
}

static struct tls_peer *tls_peer_of(const X509 *certificate)
{
    GENERAL_NAMES *alternatives = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    struct tls_peer_names counted = {0};
    tls_peer_add_all(&counted, certificate, alternatives);
    struct tls_peer *peer = calloc(1, sizeof *peer + counted.used);
    if (peer != NULL) {
        struct tls_peer_names names = {.bytes = peer->names};
        tls_peer_add_all(&names, certificate, alternatives);
        assert_always(names.used == counted.used);
        peer->has_certificate = true;
        peer->name_count = names.count;
        peer->not_after_s = tls_peer_not_after(certificate);
    }
    GENERAL_NAMES_free(alternatives);
    return peer;
}

static void tls_peer_set_server_name(struct tls_peer *peer, const SSL *ssl)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    size_t count = name == NULL ? 0 : strlen(name);
    if (count < sizeof peer->server_name && tls_peer_is_text((const uint8_t *)name, count)) {
        memcpy(peer->server_name, name, count);
    }
}

struct tls_peer *tls_peer_create(SSL *ssl, enum tls_version version, enum tls_suite suite)
{
    const X509 *certificate = SSL_get0_peer_certificate(ssl);
    bool is_verified = certificate != NULL && SSL_get_verify_result(ssl) == X509_V_OK;
    struct tls_peer *peer =
        is_verified ? tls_peer_of(certificate) : calloc(1, sizeof(struct tls_peer));
    if (peer != NULL) {
        peer->version = (uint8_t)version;
        peer->suite = (uint8_t)suite;
        peer->is_resumed = SSL_session_reused(ssl) != 0;
        tls_peer_set_server_name(peer, ssl);
    }
    return peer;
}
