#include "src/tls/tls_warnings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <time.h>

#include "codec/base/check.h"

struct tls_warnings_date tls_warnings_date(int64_t time_s)
{
    struct tls_warnings_date date = {{0}};
    struct tm fields = {0};
    time_t time = (time_t)time_s;
    gmtime_r(&time, &fields);
    strftime(date.text, sizeof date.text, "%Y-%m-%d %H:%M UTC", &fields);
    return date;
}

/* Whether this is the one that is wanted. */
static bool tls_warnings_take(struct tls_warnings *warnings, bool is_so)
{
    if (!is_so || warnings->is_written || warnings->number-- > 0) {
        return false;
    }
    assert_always(warnings->text_out != NULL);
    warnings->is_written = true;
    return true;
}

static void tls_warnings_of_ocsp(struct tls_warnings *warnings, const struct tls_ocsp *ocsp)
{
    if (tls_warnings_take(warnings, ocsp->file != NULL && ocsp->until_s <= warnings->now_s)) {
        tls_error_write(warnings->text_out, -EINVAL, "tls-certificate", ocsp->file,
                        "this OCSP response ended on %s, and was left out of %" PRIu64
                        " handshakes; ask for a new one",
                        tls_warnings_date(ocsp->until_s).text,
                        atomic_load_explicit(&ocsp->left_out, memory_order_relaxed));
    }
    if (tls_warnings_take(warnings, ocsp->file != NULL && ocsp->is_revoked)) {
        tls_error_write(warnings->text_out, -EINVAL, "tls-certificate", ocsp->file,
                        "the CA has revoked the certificate, and clients refuse it; get a new one");
    }
}

void tls_warnings_of_certificate(struct tls_warnings *warnings,
                                 const struct tls_certificate *certificate)
{
    int64_t now_s = warnings->now_s;
    int64_t end_s = certificate->not_after_s;
    bool is_over = end_s <= now_s;
    if (tls_warnings_take(warnings, is_over)) {
        tls_error_write(warnings->text_out, -EINVAL, "tls-certificate", certificate->file,
                        "the certificate ended on %s, and clients refuse it; renew it",
                        tls_warnings_date(end_s).text);
    }
    if (tls_warnings_take(warnings, !is_over && end_s - now_s < TLS_WARNINGS_DAYS * 86400)) {
        tls_error_write(warnings->text_out, -EINVAL, "tls-certificate", certificate->file,
                        "the certificate ends on %s; renew it", tls_warnings_date(end_s).text);
    }
    if (tls_warnings_take(warnings, certificate->not_before_s > now_s)) {
        tls_error_write(warnings->text_out, -EINVAL, "tls-certificate", certificate->file,
                        "the certificate begins on %s, and clients refuse it until then; check "
                        "the clock of this machine",
                        tls_warnings_date(certificate->not_before_s).text);
    }
    if (tls_warnings_take(warnings, !certificate->has_names)) {
        tls_error_write(warnings->text_out, -EINVAL, "tls-certificate", certificate->file,
                        "the certificate has no subjectAltName, and most clients refuse it; make "
                        "one with `-addext subjectAltName=DNS:NAME`");
    }
    tls_warnings_of_open_key(warnings, "tls-certificate",
                             certificate->is_key_open ? certificate->key_file : NULL);
    tls_warnings_of_ocsp(warnings, &certificate->ocsp);
}

void tls_warnings_of_clients(struct tls_warnings *warnings, const struct tls_clients *clients)
{
    if (tls_warnings_take(warnings, clients->crl_until_s <= warnings->now_s)) {
        tls_error_write(warnings->text_out, -EINVAL, "tls-client-crl", clients->crl_file,
                        "a CRL ended on %s, and certificates of its CA are refused; get a new one",
                        tls_warnings_date(clients->crl_until_s).text);
    }
}

void tls_warnings_of_open_key(struct tls_warnings *warnings, const char *option, const char *path)
{
    if (tls_warnings_take(warnings, path != NULL)) {
        tls_error_write(warnings->text_out, -EINVAL, option, path,
                        "every user of this machine may read this key; `chmod o= FILE` ends that");
    }
}
