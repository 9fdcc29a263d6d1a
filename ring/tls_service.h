/*
 * tls_service: the seam between a core, which has the sockets, and who does TLS handshakes.
 *
 * The core gives a job the bytes that it received, and gets it back with bytes to send. When the
 * handshake has finished, the job has the keys, and the core seals and opens records itself.
 * src/tls implements it by OpenSSL on threads of its own; simulations by no cryptography at all.
 *
 * Owner    src, before the first core starts until all cores have ended.
 * Threads  submit, next_result, has_result: the job's core. A job belongs to its core, except from
 *          submit until next_result returns it.
 * Memory   A core has TLS_HANDSHAKES_MAX jobs, until after the service has ended. Keys and secrets
 *          in a job are wiped by who has copied them: the core.
 * Units    In the names.
 */
#ifndef RINGCAST_RING_TLS_SERVICE_H
#define RINGCAST_RING_TLS_SERVICE_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "codec/tls/tls_record.h"
#include "codec/tls/tls_secret.h"

#define TLS_HANDSHAKES_MAX 256 /* of a core, at a time; others wait unread */
#define TLS_JOB_IN_BYTES 4096
#define TLS_JOB_OUT_BYTES 20480 /* a flight of the server, with 16 KiB of certificates */
#define TLS_SERVER_NAME_BYTES_MAX 256
static_assert(TLS_JOB_OUT_BYTES >= TLS_RECORD_BYTES_MAX,
              "certificates of 16 KiB, and what is around them");
static_assert(TLS_HANDSHAKES_MAX < UINT16_MAX, "a link has the number of its job in 16 bits");
static_assert(TLS_JOB_IN_BYTES <= TLS_PLAIN_BYTES_MAX, "a job's bytes are a few records at most");

struct engine;

/* What a handshake has found out. One allocation (free). */
struct tls_peer {
    uint8_t version; /* enum tls_version */
    uint8_t suite;   /* enum tls_suite */
    bool is_resumed;
    char server_name[TLS_SERVER_NAME_BYTES_MAX]; /* that the client asked for; "": none */
    /* Of the client's certificate, which was verified: */
    bool has_certificate;
    uint64_t not_after_s; /* of the Unix clock */
    uint32_t name_count;
    /* name_count strings one after the other, as an entry of the tokens file has them: "cn:desk-1",
     * "uri:spiffe://example/desk-1", "dns:...", "email:...", "spki-sha256:HEX" (lower case). */
    char names[];
};

enum tls_outcome {
    TLS_WANTS_MORE, /* out is to be sent, then the next bytes are awaited. */
    TLS_FINISHED,   /* out is to be sent, and keys, peer and rest are there. */
    TLS_FAILED,     /* out (it has an alert, mostly) is to be sent, then the connection ends. */
};

enum tls_failure {
    TLS_FAILURE_PROTOCOL,    /* malformed, or nothing in common */
    TLS_FAILURE_CERTIFICATE, /* the client's, or it has none */
    TLS_FAILURE_ALERT,       /* the client ended it */
    TLS_FAILURE_INTERNAL,    /* memory, or libcrypto */
};

struct tls_job {
    uint32_t core; /* The core sets these two once. */
    uint32_t number;
    /* To submit: bytes that came, or is_over: the handshake, if one has begun, is given up, and
     * there is nothing else to do; the job comes back even then. */
    bool is_over;
    uint32_t in_bytes;
    uint8_t in[TLS_JOB_IN_BYTES];
    /* The result. */
    enum tls_outcome outcome;
    enum tls_failure failure; /* TLS_FAILED: what is counted, */
    const char *text;         /* and what is logged, a constant string */
    uint64_t spent_ns;        /* work, all steps so far */
    uint32_t out_bytes;
    uint8_t out[TLS_JOB_OUT_BYTES];
    /* TLS_FINISHED: records of the client that came behind its Finished, still sealed: */
    uint32_t rest_bytes;
    uint8_t rest[TLS_JOB_IN_BYTES];
    struct tls_keys tx, rx;
    uint8_t tx_secret[TLS_SECRET_BYTES_MAX], rx_secret[TLS_SECRET_BYTES_MAX]; /* of TLS 1.3 */
    struct tls_peer *peer; /* never NULL; the core's from here on */
    /* The service's; NULL when it is not in the middle of a handshake. */
    void *handshake;
};

/* Keys and secrets, when they are copied or nobody wants them. */
static inline void tls_job_wipe(struct tls_job *job)
{
    explicit_bzero(&job->tx, sizeof job->tx);
    explicit_bzero(&job->rx, sizeof job->rx);
    explicit_bzero(job->tx_secret, sizeof job->tx_secret);
    explicit_bzero(job->rx_secret, sizeof job->rx_secret);
}

struct tls_service {
    /* Never blocks and never fails. engine: the core's; a wake-up may wait for its next enter. */
    void (*submit)(struct tls_service *service, struct engine *engine, struct tls_job *job);
    /* NULL: there is none. The core is woken when there is one (core_wake). */
    struct tls_job *(*next_result)(struct tls_service *service, uint32_t core);
    bool (*has_result)(struct tls_service *service, uint32_t core);
};

#endif
