#include "src/tls/tls_ocsp.h"

#include <errno.h>
#include <openssl/ocsp.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "src/tls/tls_certificate.h"
#include "src/tls/tls_files.h"

#define TLS_OCSP_OPTION "tls-certificate"

/* NULL: the response says nothing about the certificate. */
static OCSP_SINGLERESP *tls_ocsp_find(OCSP_BASICRESP *basic, X509 *leaf)
{
    for (int i = 0; i < OCSP_resp_count(basic); i++) {
        OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
        ASN1_INTEGER *serial = NULL;
        OCSP_id_get0_info(NULL, NULL, NULL, &serial,
                          (OCSP_CERTID *)OCSP_SINGLERESP_get0_id(single));
        if (ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(leaf)) == 0) {
            return single;
        }
    }
    return NULL;
}

static int tls_ocsp_take(struct tls_ocsp *ocsp, const char *path, OCSP_RESPONSE *response,
                         X509 *leaf, char error_out[TLS_ERROR_BYTES_MAX])
{
    if (response == NULL) {
        return tls_error_write(error_out, -EINVAL, TLS_OCSP_OPTION, path,
                               "it is not an OCSP response in DER; `openssl ocsp -respout` "
                               "writes one");
    }
    if (OCSP_response_status(response) != OCSP_RESPONSE_STATUS_SUCCESSFUL) {
        return tls_error_write(error_out, -EINVAL, TLS_OCSP_OPTION, path,
                               "the OCSP server refused to answer (%s); ask it again",
                               OCSP_response_status_str(OCSP_response_status(response)));
    }
    OCSP_BASICRESP *basic = OCSP_response_get1_basic(response);
    OCSP_SINGLERESP *single = basic == NULL ? NULL : tls_ocsp_find(basic, leaf);
    if (single != NULL) {
        ASN1_GENERALIZEDTIME *until = NULL;
        ocsp->is_revoked =
            OCSP_single_get0_status(single, NULL, NULL, NULL, &until) == V_OCSP_CERTSTATUS_REVOKED;
        ocsp->until_s = until == NULL ? INT64_MAX : tls_certificate_time(until);
    }
    OCSP_BASICRESP_free(basic);
    return single != NULL ? 0
                          : tls_error_write(error_out, -EINVAL, TLS_OCSP_OPTION, path,
                                            "this OCSP response is about another certificate; "
                                            "ask for a new one after a renewal");
}

int tls_ocsp_load(struct tls_ocsp *ocsp_out, const char *path, X509 *leaf,
                  char error_out[TLS_ERROR_BYTES_MAX])
{
    struct tls_file file = {0};
    int error = tls_files_read(&file, TLS_OCSP_OPTION, path, error_out);
    if (error < 0) {
        return error;
    }
    const uint8_t *at = (const uint8_t *)file.text;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)file.bytes);
    *ocsp_out = (struct tls_ocsp){0};
    error = tls_ocsp_take(ocsp_out, path, response, leaf, error_out);
    OCSP_RESPONSE_free(response);
    if (error == 0) {
        ocsp_out->file = strdup(path);
        ocsp_out->response = OPENSSL_memdup(file.text, file.bytes);
        ocsp_out->bytes = file.bytes;
    }
    tls_files_free(&file);
    if (error == 0 && (ocsp_out->file == NULL || ocsp_out->response == NULL)) {
        error = tls_error_write(error_out, -ENOMEM, TLS_OCSP_OPTION, path, "not enough memory");
    }
    if (error < 0) {
        tls_ocsp_free(ocsp_out);
    }
    assert_always((ocsp_out->response != NULL) == (error == 0));
    return error;
}

void tls_ocsp_free(struct tls_ocsp *ocsp)
{
    free(ocsp->file);
    OPENSSL_free(ocsp->response);
    *ocsp = (struct tls_ocsp){0};
}

int tls_ocsp_staple(struct tls_ocsp *ocsp, SSL *ssl, int64_t now_s)
{
    if (ocsp->file == NULL) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    if (now_s >= ocsp->until_s) {
        atomic_fetch_add_explicit(&ocsp->left_out, 1, memory_order_relaxed);
        return SSL_TLSEXT_ERR_NOACK;
    }
    uint8_t *copy = OPENSSL_memdup(ocsp->response, ocsp->bytes);
    if (copy == NULL) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    assert_always(ocsp->bytes <= TLS_CERTIFICATE_BYTES_MAX);
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, (int)ocsp->bytes); /* The handshake frees it. */
    return SSL_TLSEXT_ERR_OK;
}
