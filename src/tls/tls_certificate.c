#include "src/tls/tls_certificate.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "codec/base/check.h"
#include "src/tls/tls_files.h"

#define TLS_CERTIFICATE_OPTION "tls-certificate"
#define TLS_CERTIFICATE_FRAME_BYTES 5 /* TLS 1.3: a length of 3, and that of its extensions */

int64_t tls_certificate_time(const ASN1_TIME *time)
{
    struct tm fields = {0};
    return ASN1_TIME_to_tm(time, &fields) == 1 ? (int64_t)timegm(&fields) : 0;
}

static int tls_certificate_refuse_empty(const char *option, const char *path, const char *text,
                                        char error_out[TLS_ERROR_BYTES_MAX])
{
    const char *words = text[0] == 0x30 ? "it is DER or PKCS #12, and must be PEM; `openssl x509 "
                                          "-inform der` and `openssl pkcs12` convert it"
                                        : "it contains no certificate in PEM "
                                          "(\"-----BEGIN CERTIFICATE-----\")";
    return tls_error_write(error_out, -EINVAL, option, path, "%s", words);
}

int tls_certificate_read_all(STACK_OF(X509) * *certificates_out, const char *option,
                             const char *path, const char *text, size_t bytes,
                             char error_out[TLS_ERROR_BYTES_MAX])
{
    BIO *bio = BIO_new_mem_buf(text, (int)bytes);
    STACK_OF(X509) *all = sk_X509_new_null();
    int error = bio == NULL || all == NULL ? -ENOMEM : 0;
    X509 *certificate = NULL;
    ERR_clear_error();
    while (error == 0 && (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        error = sk_X509_push(all, certificate) > 0 ? 0 : -ENOMEM;
    }
    if (error == -ENOMEM) {
        X509_free(certificate);
        tls_error_write(error_out, error, option, path, "not enough memory");
    } else if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
        error = tls_error_write(error_out, -EINVAL, option, path,
                                "its certificate number %d is damaged (%s); copy the file again",
                                sk_X509_num(all) + 1, tls_error_reason());
    } else if (sk_X509_num(all) == 0) {
        error = tls_certificate_refuse_empty(option, path, text, error_out);
    }
    ERR_clear_error();
    BIO_free(bio);
    if (error < 0) {
        sk_X509_pop_free(all, X509_free);
        all = NULL;
    }
    assert_always((all != NULL) == (error == 0));
    *certificates_out = all;
    return error;
}

/* A passphrase is wanted: nobody is there to type it, and OpenSSL would ask the terminal. */
static int tls_certificate_on_passphrase(char *buffer, int size, int is_writing, void *was_asked)
{
    (void)buffer;
    (void)size;
    (void)is_writing;
    *(bool *)was_asked = true;
    return -1;
}

static int tls_certificate_read_key(struct tls_certificate *certificate,
                                    const struct tls_file *file,
                                    char error_out[TLS_ERROR_BYTES_MAX])
{
    const char *path = certificate->key_file;
    bool was_asked = false;
    BIO *bio = BIO_new_mem_buf(file->text, (int)file->bytes);
    if (bio == NULL) {
        return tls_error_write(error_out, -ENOMEM, TLS_CERTIFICATE_OPTION, path,
                               "not enough memory");
    }
    assert_always(certificate->key == NULL);
    certificate->key =
        PEM_read_bio_PrivateKey(bio, NULL, tls_certificate_on_passphrase, &was_asked);
    BIO_free(bio);
    ERR_clear_error();
    if (certificate->key != NULL) {
        return 0;
    }
    if (was_asked) {
        return tls_error_write(error_out, -EINVAL, TLS_CERTIFICATE_OPTION, path,
                               "the key is encrypted, and nobody is there to type its passphrase; "
                               "decrypt it with `openssl pkey -in FILE -out NEWFILE`");
    }
    if (strcmp(path, certificate->file) == 0) {
        return tls_error_write(error_out, -EINVAL, TLS_CERTIFICATE_OPTION, path,
                               "it contains no private key; give the file of the key behind a "
                               "comma: --tls-certificate CHAIN,KEY");
    }
    return tls_error_write(error_out, -EINVAL, TLS_CERTIFICATE_OPTION, path,
                           "it contains no private key in PEM (\"-----BEGIN PRIVATE KEY-----\")");
}

static int tls_certificate_check_key(const struct tls_certificate *certificate,
                                     char error_out[TLS_ERROR_BYTES_MAX])
{
    static const int kinds[] = {EVP_PKEY_EC, EVP_PKEY_RSA, EVP_PKEY_RSA_PSS, EVP_PKEY_ED25519};
    bool is_known = false;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        is_known = is_known || EVP_PKEY_get_base_id(certificate->key) == kinds[i];
    }
    if (!is_known || EVP_PKEY_get_bits(certificate->key) > TLS_CERTIFICATE_KEY_BITS_MAX) {
        return tls_error_write(error_out, -EINVAL, TLS_CERTIFICATE_OPTION, certificate->key_file,
                               "the key must be ECDSA, RSA of at most %d bits, or Ed25519",
                               TLS_CERTIFICATE_KEY_BITS_MAX);
    }
    if (X509_check_private_key(certificate->leaf, certificate->key) == 1) {
        return 0;
    }
    ERR_clear_error();
    for (int i = 0; i < sk_X509_num(certificate->chain); i++) {
        X509 *other = sk_X509_value(certificate->chain, i);
        if (X509_check_private_key(other, certificate->key) == 1) {
            return tls_error_write(error_out, -EINVAL, TLS_CERTIFICATE_OPTION, certificate->file,
                                   "the key belongs to its certificate number %d; the server's "
                                   "certificate must be the first, then those that issued it",
                                   i + 2);
        }
        ERR_clear_error();
    }
    return tls_error_write(error_out, -EINVAL, TLS_CERTIFICATE_OPTION, certificate->key_file,
                           "the key does not belong to the first certificate of %.200s; "
                           "give files that were made together",
                           certificate->file);
}

static int tls_certificate_check_length(const struct tls_certificate *certificate,
                                        char error_out[TLS_ERROR_BYTES_MAX])
{
    int bytes = i2d_X509(certificate->leaf, NULL) + TLS_CERTIFICATE_FRAME_BYTES;
    for (int i = 0; i < sk_X509_num(certificate->chain); i++) {
        bytes += i2d_X509(sk_X509_value(certificate->chain, i), NULL) + TLS_CERTIFICATE_FRAME_BYTES;
    }
    assert_always(bytes > 0);
    size_t all_bytes = (size_t)bytes + certificate->ocsp.bytes;
    return all_bytes <= TLS_CERTIFICATE_BYTES_MAX
               ? 0
               : tls_error_write(error_out, -EINVAL, TLS_CERTIFICATE_OPTION, certificate->file,
                                 "its certificates%s have %zu bytes, and may have %d; leave out "
                                 "the root, and those that did not issue the first",
                                 certificate->ocsp.bytes > 0 ? " and the OCSP response" : "",
                                 all_bytes, TLS_CERTIFICATE_BYTES_MAX);
}

static void tls_certificate_describe(struct tls_certificate *certificate)
{
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio != NULL) {
        X509_NAME_print_ex(bio, X509_get_subject_name(certificate->leaf), 0,
                           XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB);
        int bytes = BIO_read(bio, certificate->subject, sizeof certificate->subject - 1);
        certificate->subject[bytes > 0 ? bytes : 0] = '\0';
    }
    BIO_free(bio);
    certificate->has_names = X509_get_ext_by_NID(certificate->leaf, NID_subject_alt_name, -1) >= 0;
    certificate->not_before_s = tls_certificate_time(X509_get0_notBefore(certificate->leaf));
    certificate->not_after_s = tls_certificate_time(X509_get0_notAfter(certificate->leaf));
}

/* The key may be in the same file. */
static int tls_certificate_load_key(struct tls_certificate *certificate, const char *key_path,
                                    struct tls_file *chain_file,
                                    char error_out[TLS_ERROR_BYTES_MAX])
{
    struct tls_file key_file = {0};
    const struct tls_file *file = key_path == NULL ? chain_file : &key_file;
    int error = key_path == NULL
                    ? 0
                    : tls_files_read(&key_file, TLS_CERTIFICATE_OPTION, key_path, error_out);
    if (error == 0) {
        certificate->is_key_open = file->is_open_to_others;
        error = tls_certificate_read_key(certificate, file, error_out);
    }
    tls_files_free(&key_file);
    return error == 0 ? tls_certificate_check_key(certificate, error_out) : error;
}

static int tls_certificate_fill(struct tls_certificate *certificate,
                                const struct tls_certificate_files *files,
                                struct tls_file *chain_file, char error_out[TLS_ERROR_BYTES_MAX])
{
    int error = tls_certificate_read_all(&certificate->chain, TLS_CERTIFICATE_OPTION, files->chain,
                                         chain_file->text, chain_file->bytes, error_out);
    if (error < 0) {
        return error;
    }
    assert_always(sk_X509_num(certificate->chain) > 0);
    certificate->leaf = sk_X509_shift(certificate->chain);
    error = tls_certificate_load_key(certificate, files->key, chain_file, error_out);
    if (error == 0 && tls_names_read(&certificate->names, certificate->leaf) < 0) {
        error = tls_error_write(error_out, -ENOMEM, TLS_CERTIFICATE_OPTION, files->chain,
                                "not enough memory");
    }
    if (error == 0 && files->ocsp != NULL) {
        error = tls_ocsp_load(&certificate->ocsp, files->ocsp, certificate->leaf, error_out);
    }
    return error == 0 ? tls_certificate_check_length(certificate, error_out) : error;
}

int tls_certificate_load(struct tls_certificate *certificate_out,
                         const struct tls_certificate_files *files,
                         char error_out[TLS_ERROR_BYTES_MAX])
{
    *certificate_out = (struct tls_certificate){
        .file = strdup(files->chain),
        .key_file = strdup(files->key == NULL ? files->chain : files->key),
    };
    struct tls_file chain_file = {0};
    int error = certificate_out->file == NULL || certificate_out->key_file == NULL
                    ? tls_error_write(error_out, -ENOMEM, TLS_CERTIFICATE_OPTION, files->chain,
                                      "not enough memory")
                    : tls_files_read(&chain_file, TLS_CERTIFICATE_OPTION, files->chain, error_out);
    if (error == 0) {
        error = tls_certificate_fill(certificate_out, files, &chain_file, error_out);
        tls_files_free(&chain_file);
    }
    if (error < 0) {
        tls_certificate_free(certificate_out);
        return error;
    }
    assert_always(certificate_out->leaf != NULL);
    assert_always(certificate_out->key != NULL);
    tls_certificate_describe(certificate_out);
    return 0;
}

void tls_certificate_free(struct tls_certificate *certificate)
{
    free(certificate->file);
    free(certificate->key_file);
    X509_free(certificate->leaf);
    sk_X509_pop_free(certificate->chain, X509_free);
    EVP_PKEY_free(certificate->key);
    tls_names_free(&certificate->names);
    tls_ocsp_free(&certificate->ocsp);
    *certificate = (struct tls_certificate){0};
}
