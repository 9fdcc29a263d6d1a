#include "src/tls/tls_failure.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include "codec/base/check.h"

#define TLS_FAILURE_ALERTS_MAX 256 /* An alert is a byte. */

struct tls_failure_row {
    int reason;
    struct tls_failed failed;
};

static const char *const tls_failure_alerts[TLS_FAILURE_ALERTS_MAX] = {
    [0] = "the client closed the connection (close_notify)",
    [10] = "the client reports an unexpected message",
    [20] = "the client reports a record that does not open (bad_record_mac)",
    [22] = "the client reports a record that is too long",
    [40] = "the client reports that it has nothing in common with the server (handshake_failure)",
    [42] = "the client refuses the server's certificate (bad_certificate)",
    [43] = "the client does not support the server's certificate (unsupported_certificate)",
    [44] = "the client refuses the server's certificate: it is revoked",
    [45] = "the client refuses the server's certificate: it has expired",
    [46] = "the client refuses the server's certificate (certificate_unknown)",
    [47] = "the client reports an illegal parameter",
    [48] = "the client does not trust the CA of the server's certificate (unknown_ca)",
    [49] = "the client denies access",
    [50] = "the client cannot decode the server's message",
    [51] = "the client cannot verify the server's message (decrypt_error)",
    [70] = "the client does not accept the server's TLS version",
    [71] = "the client demands more security",
    [80] = "the client reports an internal error",
    [86] = "the client refuses a lower TLS version (inappropriate_fallback)",
    [90] = "the client's user canceled the handshake",
    [109] = "the client misses an extension",
    [110] = "the client refuses an extension",
    [112] = "the client refuses the server's name (unrecognized_name)",
    [113] = "the client refuses the stapled OCSP response",
    [116] = "the client demands a certificate",
    [120] = "the client refuses the server's ALPN protocol",
};

/* Of OpenSSL's reasons those that an operator or a client's author can do something about. */
static const struct tls_failure_row tls_failure_rows[] = {
    {SSL_R_HTTP_REQUEST, {TLS_FAILURE_PROTOCOL, "plain HTTP: this port speaks TLS"}},
    {SSL_R_HTTPS_PROXY_REQUEST, {TLS_FAILURE_PROTOCOL, "plain HTTP: this port speaks TLS"}},
    {SSL_R_WRONG_VERSION_NUMBER, {TLS_FAILURE_PROTOCOL, "not a record of TLS 1.2 or 1.3"}},
    {SSL_R_UNSUPPORTED_PROTOCOL,
     {TLS_FAILURE_PROTOCOL, "the client offers no TLS version that is accepted here"}},
    {SSL_R_VERSION_TOO_LOW,
     {TLS_FAILURE_PROTOCOL, "the client offers no TLS version that is accepted here"}},
    {SSL_R_INAPPROPRIATE_FALLBACK,
     {TLS_FAILURE_PROTOCOL, "the client was brought to offer a lower TLS version"}},
    {SSL_R_NO_SHARED_CIPHER, {TLS_FAILURE_PROTOCOL, "no cipher suite in common"}},
    {SSL_R_NO_SUITABLE_KEY_SHARE,
     {TLS_FAILURE_PROTOCOL, "no group in common: the client offers neither X25519 nor P-256"}},
    {SSL_R_NO_SHARED_GROUPS,
     {TLS_FAILURE_PROTOCOL, "no group in common: the client offers neither X25519 nor P-256"}},
    {SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM,
     {TLS_FAILURE_PROTOCOL, "no signature algorithm in common for the server's certificate"}},
    {SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS,
     {TLS_FAILURE_PROTOCOL, "no signature algorithm in common"}},
    {SSL_R_NO_APPLICATION_PROTOCOL,
     {TLS_FAILURE_PROTOCOL, "no ALPN protocol in common: the client does not offer http/1.1"}},
    {SSL_R_UNEXPECTED_MESSAGE, {TLS_FAILURE_PROTOCOL, "unexpected message"}},
    {SSL_R_EXCESSIVE_MESSAGE_SIZE,
     {TLS_FAILURE_PROTOCOL, "a message, or the client's certificates, longer than 16 KiB"}},
    {SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC,
     {TLS_FAILURE_PROTOCOL, "a record of the client does not open (bad_record_mac)"}},
    {SSL_R_DIGEST_CHECK_FAILED,
     {TLS_FAILURE_PROTOCOL, "the client saw another handshake than the server"}},
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE,
     {TLS_FAILURE_CERTIFICATE, "the client sent no certificate"}},
    {SSL_R_BAD_SIGNATURE,
     {TLS_FAILURE_CERTIFICATE, "the client does not have the key of its certificate"}},
    {ERR_R_MALLOC_FAILURE, {TLS_FAILURE_INTERNAL, "not enough memory"}},
    {ERR_R_INTERNAL_ERROR, {TLS_FAILURE_INTERNAL, "OpenSSL reports an internal error"}},
};

static const struct tls_failure_row tls_failure_verify_rows[] = {
    {X509_V_ERR_CERT_HAS_EXPIRED,
     {TLS_FAILURE_CERTIFICATE, "the client's certificate, or one of its CAs, has expired"}},
    {X509_V_ERR_CERT_NOT_YET_VALID,
     {TLS_FAILURE_CERTIFICATE, "the client's certificate is not valid yet"}},
    {X509_V_ERR_CERT_REVOKED, {TLS_FAILURE_CERTIFICATE, "the client's certificate is revoked"}},
    {X509_V_ERR_UNABLE_TO_GET_CRL,
     {TLS_FAILURE_CERTIFICATE, "there is no CRL of the CA of the client's certificate"}},
    {X509_V_ERR_CRL_HAS_EXPIRED,
     {TLS_FAILURE_CERTIFICATE, "the CRL for client certificates has expired"}},
    {X509_V_ERR_INVALID_PURPOSE,
     {TLS_FAILURE_CERTIFICATE, "the client's certificate is not one for TLS clients"}},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
     {TLS_FAILURE_CERTIFICATE, "the client's certificate is not from an accepted CA"}},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT,
     {TLS_FAILURE_CERTIFICATE, "the client's certificate is not from an accepted CA"}},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE,
     {TLS_FAILURE_CERTIFICATE, "the client's certificate is not from an accepted CA"}},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN,
     {TLS_FAILURE_CERTIFICATE, "the client's certificate is not from an accepted CA"}},
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
     {TLS_FAILURE_CERTIFICATE, "the client's certificate is not from an accepted CA"}},
};

#define ROWS(rows) rows, sizeof rows / sizeof rows[0]

static const struct tls_failed *tls_failure_find(const struct tls_failure_row *rows, size_t count,
                                                 int reason)
{
    for (size_t i = 0; i < count; i++) {
        if (rows[i].reason == reason) {
            return &rows[i].failed;
        }
    }
    return NULL;
}

static struct tls_failed tls_failure_of_alert(int alert)
{
    struct tls_failed failed = {TLS_FAILURE_ALERT, "the client ended the handshake"};
    assert_always(alert >= 0);
    if (alert < TLS_FAILURE_ALERTS_MAX && tls_failure_alerts[alert] != NULL) {
        failed.text = tls_failure_alerts[alert];
    }
    return failed;
}

static struct tls_failed tls_failure_of_certificate(const SSL *ssl)
{
    const struct tls_failed *row =
        tls_failure_find(ROWS(tls_failure_verify_rows), (int)SSL_get_verify_result(ssl));
    return row != NULL ? *row
                       : (struct tls_failed){TLS_FAILURE_CERTIFICATE,
                                             "the client's certificate does not verify"};
}

struct tls_failed tls_failure_of(SSL *ssl, int result)
{
    struct tls_failed failed = {TLS_FAILURE_PROTOCOL, "malformed handshake"};
    unsigned long error;
    if (SSL_get_error(ssl, result) == SSL_ERROR_ZERO_RETURN) {
        failed = tls_failure_of_alert(0);
    }
    /* The queue may begin with what other parts of OpenSSL said of the same. */
    while ((error = ERR_get_error()) != 0) {
        int reason = ERR_GET_REASON(error);
        bool is_ssl = ERR_GET_LIB(error) == ERR_LIB_SSL;
        if (is_ssl && reason >= SSL_AD_REASON_OFFSET &&
            reason < SSL_AD_REASON_OFFSET + TLS_FAILURE_ALERTS_MAX) {
            failed = tls_failure_of_alert(reason - SSL_AD_REASON_OFFSET);
        } else if (is_ssl && reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
            failed = tls_failure_of_certificate(ssl);
        } else if (is_ssl || reason == ERR_R_MALLOC_FAILURE) {
            const struct tls_failed *row = tls_failure_find(ROWS(tls_failure_rows), reason);
            failed = row != NULL ? *row : failed;
        }
    }
    return failed;
}
