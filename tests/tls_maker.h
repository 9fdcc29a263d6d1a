/*
 * tls_maker: certificates, keys, CRLs and OCSP responses for tests, made by libcrypto, as files of
 * a temporary folder.
 */
#ifndef RINGCAST_TESTS_TLS_MAKER_H
#define RINGCAST_TESTS_TLS_MAKER_H

#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/base/check.h"

#define TLS_MAKER_PATH_BYTES 128
#define TLS_MAKER_PATHS_MAX 64
#define TLS_MAKER_DAY 86400L

struct tls_maker_certificate {
    EVP_PKEY *key;
    X509 *x509;
};

struct tls_maker_spec {
    const char *subject; /* the CN */
    const char *names;   /* as subjectAltName of openssl.cnf; NULL: none */
    const char *kind;    /* "EC", "RSA", "RSA-1024", "ED25519", "ED448"; NULL: EC */
    const struct tls_maker_certificate *issuer; /* NULL: itself */
    bool is_ca;
    long begins_s, ends_s; /* from now on; ends_s 0: 90 days */
    uint32_t padding;      /* bytes of a comment that nobody reads */
};

static char tls_maker_folder[] = "/tmp/ringcast-test-tls-XXXXXX";

/* One that stays, for each name. */
static inline const char *tls_maker_path(const char *name)
{
    static char paths[TLS_MAKER_PATHS_MAX][TLS_MAKER_PATH_BYTES];
    char path[TLS_MAKER_PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", tls_maker_folder, name);
    uint32_t at = 0;
    while (paths[at][0] != '\0' && strcmp(paths[at], path) != 0) {
        assert_always(++at < TLS_MAKER_PATHS_MAX);
    }
    return strcpy(paths[at], path);
}

static inline void tls_maker_open(void)
{
    umask(077);
    assert_always(mkdtemp(tls_maker_folder) != NULL);
}

static inline void tls_maker_close(void)
{
    char command[TLS_MAKER_PATH_BYTES];
    snprintf(command, sizeof command, "rm -r %s", tls_maker_folder);
    assert_always(system(command) == 0);
}

static inline void tls_maker_extend(X509 *x509, X509 *issuer, int kind, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, x509, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, kind, value);
    assert_always(extension != NULL && X509_add_ext(x509, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static inline void tls_maker_pad(X509 *x509, uint32_t bytes)
{
    char *value = malloc(bytes + 1);
    memset(value, 'x', bytes);
    value[bytes] = '\0';
    tls_maker_extend(x509, x509, NID_netscape_comment, value);
    free(value);
}

static inline EVP_PKEY *tls_maker_key(const char *kind)
{
    if (kind == NULL || strcmp(kind, "EC") == 0) {
        return EVP_EC_gen("P-256");
    }
    if (strncmp(kind, "RSA", 3) == 0) {
        return EVP_RSA_gen(strcmp(kind, "RSA-1024") == 0 ? 1024 : 2048);
    }
    return EVP_PKEY_Q_keygen(NULL, NULL, kind);
}

static inline struct tls_maker_certificate tls_maker_issue(const struct tls_maker_spec *spec)
{
    static long serial = 1000;
    struct tls_maker_certificate made = {.key = tls_maker_key(spec->kind), .x509 = X509_new()};
    X509 *issuer = spec->issuer == NULL ? made.x509 : spec->issuer->x509;
    assert_always(made.key != NULL && made.x509 != NULL);
    X509_set_version(made.x509, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made.x509), serial++);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(made.x509), "CN", MBSTRING_UTF8,
                               (const uint8_t *)spec->subject, -1, -1, 0);
    X509_set_issuer_name(made.x509, X509_get_subject_name(issuer));
    X509_gmtime_adj(X509_getm_notBefore(made.x509),
                    spec->begins_s == 0 ? -TLS_MAKER_DAY : spec->begins_s);
    X509_gmtime_adj(X509_getm_notAfter(made.x509),
                    spec->ends_s == 0 ? 90 * TLS_MAKER_DAY : spec->ends_s);
    X509_set_pubkey(made.x509, made.key);
    tls_maker_extend(made.x509, issuer, NID_basic_constraints,
                     spec->is_ca ? "critical,CA:TRUE" : "CA:FALSE");
    if (spec->names != NULL) {
        tls_maker_extend(made.x509, issuer, NID_subject_alt_name, spec->names);
    }
    if (spec->padding > 0) {
        tls_maker_pad(made.x509, spec->padding);
    }
    EVP_PKEY *signer = spec->issuer == NULL ? made.key : spec->issuer->key;
    int kind = EVP_PKEY_get_base_id(signer);
    bool has_digest = kind == EVP_PKEY_EC || kind == EVP_PKEY_RSA;
    assert_always(X509_sign(made.x509, signer, has_digest ? EVP_sha256() : NULL) > 0);
    return made;
}

static inline void tls_maker_free(struct tls_maker_certificate *made)
{
    EVP_PKEY_free(made->key);
    X509_free(made->x509);
    *made = (struct tls_maker_certificate){0};
}

/* The certificates in this order, then the key; NULL: not that one. Returns the path. */
static inline const char *tls_maker_write(const char *name, X509 *first, X509 *second,
                                          EVP_PKEY *key)
{
    const char *path = tls_maker_path(name);
    FILE *file = fopen(path, "w");
    assert_always(file != NULL);
    assert_always(first == NULL || PEM_write_X509(file, first) == 1);
    assert_always(second == NULL || PEM_write_X509(file, second) == 1);
    assert_always(key == NULL || PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1);
    fclose(file);
    return path;
}

/* With the passphrase "secret". */
static inline const char *tls_maker_write_encrypted(const char *name, EVP_PKEY *key)
{
    const char *path = tls_maker_path(name);
    FILE *file = fopen(path, "w");
    assert_always(file != NULL);
    assert_always(PEM_write_PrivateKey(file, key, EVP_aes_128_cbc(), (const uint8_t *)"secret", 6,
                                       NULL, NULL) == 1);
    fclose(file);
    return path;
}

static inline const char *tls_maker_write_bytes(const char *name, const void *bytes, size_t count)
{
    const char *path = tls_maker_path(name);
    FILE *file = fopen(path, "w");
    assert_always(file != NULL && fwrite(bytes, 1, count, file) == count);
    fclose(file);
    return path;
}

/* revoked: NULL: none. */
static inline const char *tls_maker_crl(const char *name, const struct tls_maker_certificate *ca,
                                        X509 *revoked, long ends_s)
{
    const char *path = tls_maker_path(name);
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *begins = X509_gmtime_adj(NULL, -TLS_MAKER_DAY);
    ASN1_TIME *ends = X509_gmtime_adj(NULL, ends_s);
    X509_CRL_set_version(crl, X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->x509));
    X509_CRL_set1_lastUpdate(crl, begins);
    X509_CRL_set1_nextUpdate(crl, ends);
    if (revoked != NULL) {
        X509_REVOKED *entry = X509_REVOKED_new();
        X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(revoked));
        X509_REVOKED_set_revocationDate(entry, begins);
        X509_CRL_add0_revoked(crl, entry);
    }
    FILE *file = fopen(path, "w");
    assert_always(X509_CRL_sign(crl, ca->key, EVP_sha256()) > 0);
    assert_always(file != NULL && PEM_write_X509_CRL(file, crl) == 1);
    fclose(file);
    X509_CRL_free(crl);
    ASN1_TIME_free(begins);
    ASN1_TIME_free(ends);
    return path;
}

/* status: a V_OCSP_CERTSTATUS_. */
static inline const char *tls_maker_ocsp(const char *name, const struct tls_maker_certificate *ca,
                                         X509 *leaf, int status, long ends_s)
{
    const char *path = tls_maker_path(name);
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), leaf, ca->x509);
    ASN1_TIME *begins = X509_gmtime_adj(NULL, -TLS_MAKER_DAY);
    ASN1_TIME *ends = X509_gmtime_adj(NULL, ends_s);
    assert_always(OCSP_basic_add1_status(basic, id, status, 0,
                                         status == V_OCSP_CERTSTATUS_REVOKED ? begins : NULL,
                                         begins, ends) != NULL);
    assert_always(OCSP_basic_sign(basic, ca->x509, ca->key, EVP_sha256(), NULL, 0) == 1);
    OCSP_RESPONSE *response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    FILE *file = fopen(path, "w");
    assert_always(file != NULL &&
                  ASN1_i2d_fp((i2d_of_void *)(void *)i2d_OCSP_RESPONSE, file, response) == 1);
    fclose(file);
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(begins);
    ASN1_TIME_free(ends);
    return path;
}

#endif
