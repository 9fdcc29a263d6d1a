#include "src/tls/tls_handshake.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <time.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "src/tls/tls_extract.h"
#include "src/tls/tls_failure.h"
#include "src/tls/tls_peer.h"

struct tls_handshake {
    SSL *ssl;
    BIO *in, *out; /* the SSL's */
    struct tls_extract extract;
};

/* ---- Life ---- */

static struct tls_handshake *tls_handshake_create(SSL_CTX *context)
{
    struct tls_handshake *handshake = calloc(1, sizeof *handshake);
    SSL *ssl = SSL_new(context);
    BIO *in = BIO_new(BIO_s_mem());
    BIO *out = BIO_new(BIO_s_mem());
    if (handshake == NULL || ssl == NULL || in == NULL || out == NULL) {
        BIO_free(out);
        BIO_free(in);
        SSL_free(ssl);
        free(handshake);
        return NULL;
    }
    BIO_set_mem_eof_return(in, -1); /* Empty is not the end. */
    SSL_set_bio(ssl, in, out);
    SSL_set_accept_state(ssl);
    *handshake = (struct tls_handshake){.ssl = ssl, .in = in, .out = out};
    tls_extract_begin(&handshake->extract, ssl);
    return handshake;
}

void tls_handshake_end(struct tls_job *job)
{
    struct tls_handshake *handshake = job->handshake;
    job->handshake = NULL;
    if (handshake == NULL) {
        return;
    }
    if (SSL_is_init_finished(handshake->ssl)) {
        /* Else its session would count as broken off, and could not be resumed. */
        SSL_set_shutdown(handshake->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    }
    SSL_free(handshake->ssl);
    tls_extract_end(&handshake->extract);
    free(handshake);
}

/* ---- Steps ---- */

static void tls_handshake_fail(struct tls_job *job, enum tls_failure failure, const char *text)
{
    job->outcome = TLS_FAILED;
    job->failure = failure;
    job->text = text;
}

/* Reads all that is in a BIO; false: it is more than there is room for. */
static bool tls_handshake_drain(BIO *bio, uint8_t *bytes_out, size_t bytes_max, uint32_t *count_out)
{
    size_t pending = BIO_ctrl_pending(bio);
    size_t count = 0;
    if (pending > bytes_max) {
        return false;
    }
    if (pending > 0 && (BIO_read_ex(bio, bytes_out, pending, &count) != 1 || count != pending)) {
        return false;
    }
    *count_out = (uint32_t)count;
    return true;
}

static void tls_handshake_finish(struct tls_handshake *handshake, struct tls_job *job,
                                 struct tls_ciphers *ciphers)
{
    const char *wrong = tls_extract_finish(&handshake->extract, handshake->ssl, ciphers, job);
    if (wrong == NULL &&
        !tls_handshake_drain(handshake->in, job->rest, sizeof job->rest, &job->rest_bytes)) {
        wrong = "OpenSSL left more unread than came in a step";
    }
    if (wrong == NULL) {
        job->peer = tls_peer_create(handshake->ssl, job->tx.version, job->tx.suite);
        wrong = job->peer == NULL ? "not enough memory" : NULL;
    }
    if (wrong == NULL) {
        job->outcome = TLS_FINISHED;
    } else {
        tls_job_wipe(job);
        job->out_bytes = 0; /* Neither the client may take it for finished. */
        tls_handshake_fail(job, TLS_FAILURE_INTERNAL, wrong);
    }
}

static void tls_handshake_run(struct tls_handshake *handshake, struct tls_job *job,
                              struct tls_ciphers *ciphers)
{
    assert_always(job->in_bytes <= sizeof job->in);
    size_t written = 0;
    ERR_clear_error();
    if (job->in_bytes > 0 && (BIO_write_ex(handshake->in, job->in, job->in_bytes, &written) != 1 ||
                              written != job->in_bytes)) {
        tls_handshake_fail(job, TLS_FAILURE_INTERNAL, "not enough memory");
        return;
    }
    int result = SSL_do_handshake(handshake->ssl);
    bool wants_more = result <= 0 && SSL_get_error(handshake->ssl, result) == SSL_ERROR_WANT_READ;
    if (result <= 0 && !wants_more) {
        struct tls_failed failed = tls_failure_of(handshake->ssl, result);
        tls_handshake_fail(job, failed.failure, failed.text);
    }
    if (!tls_handshake_drain(handshake->out, job->out, sizeof job->out, &job->out_bytes)) {
        tls_handshake_fail(job, TLS_FAILURE_INTERNAL, "a flight longer than 20 KiB");
    } else if (wants_more) {
        job->outcome = TLS_WANTS_MORE;
    } else if (result > 0) {
        tls_handshake_finish(handshake, job, ciphers);
    }
}

static uint64_t tls_handshake_cpu_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * NS_PER_SECOND + (uint64_t)time.tv_nsec;
}

void tls_handshake_step(struct tls_job *job, SSL_CTX *context, struct tls_ciphers *ciphers)
{
    uint64_t began_ns = tls_handshake_cpu_ns();
    assert_always(!job->is_over);
    job->text = NULL;
    job->out_bytes = 0;
    job->rest_bytes = 0;
    job->peer = NULL;
    if (job->handshake == NULL) {
        job->spent_ns = 0;
        job->handshake = tls_handshake_create(context);
    }
    if (job->handshake == NULL) {
        tls_handshake_fail(job, TLS_FAILURE_INTERNAL, "not enough memory");
    } else {
        tls_handshake_run(job->handshake, job, ciphers);
    }
    if (job->outcome != TLS_WANTS_MORE) {
        tls_handshake_end(job);
    }
    job->spent_ns += tls_handshake_cpu_ns() - began_ns;
}
