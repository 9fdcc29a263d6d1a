#include "src/config/options_tls.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "codec/base/check.h"
#include "src/config/option_value.h"

static_assert(OPTIONS_LIST_MAX == TLS_CERTIFICATES_MAX, "each that is given can be loaded");

/* Writes text, which begins with an option, with the place where that is given. */
static int options_tls_refuse(const struct options *options, const char *text, char *error_out)
{
    options_locate(options, text, error_out, OPTIONS_ERROR_BYTES_MAX);
    return -EINVAL;
}

/* What means nothing without another option. */
static int options_tls_check(const struct options *options, char *error_out)
{
    const struct tls_options *tls = &options->tls;
    bool has_port = options_has_tls(options);
    bool asks = options->tls_client_auth != TLS_CLIENT_AUTH_NONE;
    const char *text = NULL;
    if (has_port && options->tls_certificates.count == 0) {
        text = "--tls-port: TLS needs a certificate; give --tls-certificate CHAIN,KEY (docs/tls.md "
               "makes one)";
    } else if (!has_port && options->tls_certificates.count > 0) {
        text = "--tls-certificate: no port speaks TLS; give --tls-port PORT as well";
    } else if (!has_port && asks) {
        text = "--tls-client-auth: no port speaks TLS; give --tls-port and --tls-certificate";
    } else if (!has_port && options->tls_host != NULL) {
        text = "--tls-host: no port speaks TLS; give --tls-port and --tls-certificate";
    } else if (!has_port && tls->ticket_key_file != NULL) {
        text = "--tls-ticket-key-file: no port speaks TLS; give --tls-port and --tls-certificate";
    } else if (asks && tls->client_ca == NULL) {
        text = "--tls-client-auth: it is not said who signs the certificates of clients; give "
               "--tls-client-ca FILE";
    } else if (!asks && tls->client_ca != NULL) {
        text = "--tls-client-ca: no client is asked for a certificate; give --tls-client-auth "
               "require, or request";
    } else if (!asks && tls->client_crl != NULL) {
        text = "--tls-client-crl: no client is asked for a certificate; give --tls-client-auth and "
               "--tls-client-ca";
    }
    return text == NULL ? 0 : options_tls_refuse(options, text, error_out);
}

/* "CHAIN[,KEY[,OCSP]]", the certificate of a number. */
static int options_tls_split(struct options *options, uint32_t number, char *error_out)
{
    const char *text = options->tls_certificates.texts[number];
    const char *source = options->tls_certificates.sources[number];
    const char *parts[3] = {NULL};
    const char *at = text;
    size_t count = 0;
    bool is_over = false;
    bool is_good = true;
    while (is_good && !is_over && count < 3) {
        size_t bytes = strcspn(at, ",");
        parts[count] = option_value_keep(options, at, bytes);
        if (parts[count++] == NULL) {
            snprintf(error_out, OPTIONS_ERROR_BYTES_MAX, "--tls-certificate: not enough memory");
            return -ENOMEM;
        }
        is_good = bytes > 0;
        is_over = at[bytes] == '\0';
        at += bytes + 1;
    }
    if (!is_good || !is_over) {
        snprintf(error_out, OPTIONS_ERROR_BYTES_MAX,
                 "%s: \"%.200s\" is not valid; give one to three files, separated by commas: the "
                 "chain, its key, an OCSP response. A path has no comma",
                 source == NULL ? "--tls-certificate" : source, text);
        return -EINVAL;
    }
    options->tls.certificates[number] =
        (struct tls_certificate_files){.chain = parts[0], .key = parts[1], .ocsp = parts[2]};
    return 0;
}

int options_tls_take(struct options *options, char error_out[OPTIONS_ERROR_BYTES_MAX])
{
    uint32_t count = options->tls_certificates.count;
    int error = options_tls_check(options, error_out);
    assert_always(count <= TLS_CERTIFICATES_MAX);
    for (uint32_t i = 0; i < count && error == 0; i++) {
        error = options_tls_split(options, i, error_out);
    }
    options->tls.certificate_count = count;
    options->tls.is_13_only = options->tls_min_version == 1;
    options->tls.client_auth = (enum tls_client_auth)options->tls_client_auth;
    options->access.asks_certificates = options->tls.client_auth != TLS_CLIENT_AUTH_NONE;
    return error;
}
