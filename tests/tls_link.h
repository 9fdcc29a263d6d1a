/*
 * tls_link: a core on the null engine whose links speak TLS, a service that does no handshakes but
 * what the test says, and a client's keys. Nothing runs by itself: the test posts completions.
 */
#ifndef RINGCAST_TESTS_TLS_LINK_H
#define RINGCAST_TESTS_TLS_LINK_H

#include "tests/idle_core.h"

#include "ring/link/securing.h"

#define TLS_LINK_CLIENTS 400
#define TLS_LINK_SECRET_BYTE 0x5c /* all bytes of the secrets */
#define TLS_LINK_MESSAGES_BYTES_MAX 65536

static struct {
    struct core *core;
    struct links *links;
    uint32_t accepted_count;
    enum core_admission admission; /* of on_accept */
    const char *refusal;           /* of on_accept, with CORE_REFUSE */
    /* The service's: submitted, and not given back. */
    struct tls_job *submitted[TLS_HANDSHAKES_MAX];
    uint32_t submitted_count;
    struct tls_job *results[TLS_HANDSHAKES_MAX];
    uint32_t result_count;
    uint32_t over_count; /* jobs that were submitted to give a handshake up */
    /* The client's, of the last link that was secured. */
    struct tls_ciphers *ciphers;
    struct tls_keys tx, rx;
    uint8_t tx_secret[TLS_SECRET_BYTES_MAX], rx_secret[TLS_SECRET_BYTES_MAX];
    /* What src saw. */
    uint32_t opened_count, request_count;
    bool has_source;
    struct core_source source;
    char server_name[TLS_SERVER_NAME_BYTES_MAX];
    uint8_t messages[TLS_LINK_MESSAGES_BYTES_MAX]; /* payloads, one behind the other */
    size_t messages_bytes;
} tls_link;

/* ---- What src would do ---- */

static inline enum core_admission tls_link_on_accept(void *context, struct core *core,
                                                     uint32_t conn, uint64_t now_ns,
                                                     struct core_refusal *refusal_out)
{
    (void)context, (void)core, (void)conn, (void)now_ns;
    refusal_out->status_line = tls_link.refusal;
    refusal_out->text = "no";
    return tls_link.admission;
}

static inline enum core_grant tls_link_on_request(void *context, struct core *core, uint32_t conn,
                                                  uint64_t now_ns,
                                                  const struct core_request *request,
                                                  struct core_refusal *refusal_out)
{
    (void)context, (void)core, (void)conn, (void)now_ns, (void)refusal_out;
    tls_link.request_count++;
    tls_link.has_source = request->proxied != NULL;
    if (request->proxied != NULL) {
        tls_link.source = *request->proxied;
    }
    if (request->tls != NULL) {
        memcpy(tls_link.server_name, request->tls->server_name, sizeof tls_link.server_name);
    }
    return CORE_GRANTED;
}

static inline void tls_link_on_open(void *context, struct core *core, uint32_t conn,
                                    uint64_t now_ns)
{
    (void)context, (void)core, (void)conn, (void)now_ns;
    tls_link.opened_count++;
}

static inline void tls_link_on_message(void *context, struct core *core, uint32_t conn,
                                       enum ws_opcode opcode, uint8_t *payload,
                                       size_t payload_bytes, uint64_t now_ns)
{
    (void)context, (void)core, (void)conn, (void)opcode, (void)now_ns;
    size_t room = sizeof tls_link.messages - tls_link.messages_bytes;
    size_t count = payload_bytes < room ? payload_bytes : room;
    memcpy(tls_link.messages + tls_link.messages_bytes, payload, count);
    tls_link.messages_bytes += count;
}

/* ---- The service ---- */

static inline void tls_link_submit(struct tls_service *service, struct engine *engine,
                                   struct tls_job *job)
{
    (void)service, (void)engine;
    assert_in_range(tls_link.submitted_count, 0, TLS_HANDSHAKES_MAX - 1);
    assert_true(job->in_bytes > 0 || job->is_over);
    tls_link.over_count += job->is_over;
    tls_link.submitted[tls_link.submitted_count++] = job;
}

static inline struct tls_job *tls_link_next_result(struct tls_service *service, uint32_t core)
{
    (void)service, (void)core;
    return tls_link.result_count == 0 ? NULL : tls_link.results[--tls_link.result_count];
}

static inline bool tls_link_has_result(struct tls_service *service, uint32_t core)
{
    (void)service, (void)core;
    return tls_link.result_count > 0;
}

/* The oldest job that was submitted; it comes back with this outcome. */
static inline struct tls_job *tls_link_return(enum tls_outcome outcome, const char *out)
{
    static int handshake;
    assert_true(tls_link.submitted_count > 0);
    struct tls_job *job = tls_link.submitted[0];
    memmove(tls_link.submitted, tls_link.submitted + 1,
            --tls_link.submitted_count * sizeof tls_link.submitted[0]);
    tls_link.results[tls_link.result_count++] = job;
    if (job->is_over) {
        job->handshake = NULL;
        return job;
    }
    job->outcome = outcome;
    job->out_bytes = (uint32_t)strlen(out);
    memcpy(job->out, out, job->out_bytes);
    job->handshake = outcome == TLS_WANTS_MORE ? &handshake : NULL;
    job->rest_bytes = 0;
    return job;
}

static inline void tls_link_make_keys(struct tls_keys *keys, enum tls_version version,
                                      enum tls_suite suite)
{
    uint8_t secret[TLS_SECRET_BYTES_MAX];
    memset(secret, TLS_LINK_SECRET_BYTE, sizeof secret);
    assert_true(tls_secret_keys(keys, suite, secret, tls_secret_bytes(suite)));
    keys->version = (uint8_t)version;
}

static inline void tls_link_finish(struct tls_job *job, enum tls_version version,
                                   enum tls_suite suite)
{
    job->peer = calloc(1, sizeof *job->peer + 1);
    assert_non_null(job->peer);
    job->peer->version = (uint8_t)version;
    strcpy(job->peer->server_name, "md.example");
    job->spent_ns = 300 * NS_PER_US;
    tls_link_make_keys(&job->tx, version, suite);
    job->rx = job->tx;
    memset(job->tx_secret, TLS_LINK_SECRET_BYTE, sizeof job->tx_secret);
    memset(job->rx_secret, TLS_LINK_SECRET_BYTE, sizeof job->rx_secret);
    tls_link.tx = job->rx;
    tls_link.rx = job->tx;
    memcpy(tls_link.tx_secret, job->rx_secret, sizeof tls_link.tx_secret);
    memcpy(tls_link.rx_secret, job->tx_secret, sizeof tls_link.rx_secret);
}

/* ---- Life ---- */

static inline int tls_link_set_up(void **state)
{
    static const struct core_ops ops = {
        .on_accept = tls_link_on_accept,
        .on_request = tls_link_on_request,
        .on_open = tls_link_on_open,
        .on_message = tls_link_on_message,
        .on_close = idle_on_close,
        .on_quiet = idle_on_quiet,
        .on_channel = idle_on_channel,
        .channel_count = idle_one_channel,
        .log = idle_log,
    };
    static struct tls_service service = {
        .submit = tls_link_submit,
        .next_result = tls_link_next_result,
        .has_result = tls_link_has_result,
    };
    char error[ENGINE_ERROR_BYTES_MAX];
    (void)state;
    memset(&tls_link, 0, sizeof tls_link);
    tls_link.admission = CORE_ADMIT;
    assert_int_equal(tls_ciphers_open(&tls_link.ciphers), 0);
    struct core_options options = idle_core_begin(TLS_LINK_CLIENTS, 1, NULL);
    bench_null_engine_expect(0, 0);
    options.ops = &ops;
    options.tls = &service;
    assert_int_equal(core_create(&tls_link.core, &options, error, sizeof error), 0);
    tls_link.links = &tls_link.core->links;
    bench_null_engine_settle(&tls_link.links->engine);
    return 0;
}

static inline int tls_link_tear_down(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < tls_link.core->slab_count; i++) {
        struct link *link = &tls_link.links->links[i];
        if (link->stage != LINK_FREE && link->is_tls) {
            free(links_tls(tls_link.links, link)->peer);
        }
        link->stage = LINK_FREE; /* Descriptors are the test's. */
    }
    core_destroy(tls_link.core);
    frame_log_destroy(idle_core.encodings[0].log);
    tls_ciphers_close(tls_link.ciphers);
    return 0;
}

#endif
