#include "tests/sim_tls.h"

#include <stdlib.h>
#include <string.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"

#define SIM_TLS_NUMBER_BYTES 8
#define SIM_TLS_FLIGHT_BYTES_MAX 3000 /* of a client */
#define SIM_TLS_UPDATES_MAX 30        /* More in a minute are a flood. */
#define SIM_TLS_TICKET_BYTES 180
#define SIM_TLS_UPDATE_BYTES 5
#define SIM_TLS_NEW_TICKET 4 /* RFC 8446 section 4: types of handshake messages */
#define SIM_TLS_KEY_UPDATE 24

struct sim_tls_marks sim_tls_marks;

static struct tls_ciphers *sim_tls_ciphers;

/* ---- What both sides know ---- */

static uint64_t sim_tls_hash(uint64_t number, uint64_t what)
{
    uint64_t hash = (number + what) * UINT64_C(0x9e3779b97f4a7c15);
    hash = (hash ^ hash >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
    return hash ^ hash >> 32;
}

static struct sim_tls_facts sim_tls_facts_of(uint64_t number)
{
    static const uint16_t plain_max[] = {512, 1024, 2048, 4096, 4096, 4096};
    bool is_13 = sim_tls_hash(number, 1) % 3 > 0;
    struct sim_tls_facts facts = {
        .version = is_13 ? TLS_1_3 : TLS_1_2,
        .suite = (enum tls_suite)(sim_tls_hash(number, 2) % TLS_SUITE_COUNT),
        .fails = sim_tls_hash(number, 3) % 12 == 0,
        .is_resumed = sim_tls_hash(number, 4) % 2 == 0,
        .plain_max = plain_max[sim_tls_hash(number, 5) % 6],
        .ticket_count = is_13 ? (uint32_t)(sim_tls_hash(number, 6) % 3) : 0,
        .tx_seq = is_13 ? 0 : 1,
    };
    if (is_13 && sim_tls_hash(number, 7) % 3 == 0) { /* Soon its keys must change. */
        facts.tx_seq = (UINT64_C(1) << 23) - sim_tls_hash(number, 8) % 50;
    }
    return facts;
}

static void sim_tls_secret(uint64_t number, uint64_t what, uint8_t out[TLS_SECRET_BYTES_MAX])
{
    for (size_t at = 0; at < TLS_SECRET_BYTES_MAX; at += sizeof number) {
        bytes_store_be64(out + at, sim_tls_hash(number, what + at));
    }
}

struct sim_tls_side {
    struct tls_keys keys;
    uint8_t secret[TLS_SECRET_BYTES_MAX];
};

static void sim_tls_make_keys(uint64_t number, struct sim_tls_side *client,
                              struct sim_tls_side *server)
{
    struct sim_tls_facts facts = sim_tls_facts_of(number);
    size_t secret_bytes = tls_secret_bytes(facts.suite);
    bool is_done;
    sim_tls_secret(number, 100, client->secret);
    sim_tls_secret(number, 200, server->secret);
    if (facts.version == TLS_1_3) {
        is_done = tls_secret_keys(&client->keys, facts.suite, client->secret, secret_bytes) &&
                  tls_secret_keys(&server->keys, facts.suite, server->secret, secret_bytes);
    } else {
        is_done = tls_secret_keys_12(&client->keys, &server->keys, facts.suite, client->secret,
                                     client->secret, server->secret);
    }
    assert_always(is_done);
    server->keys.seq = facts.tx_seq;
    server->keys.record_max = facts.plain_max;
    if (facts.version == TLS_1_2 && facts.suite != TLS_CHACHA20_POLY1305) {
        bytes_store_be64(server->keys.iv + TLS_IV_BYTES - TLS_EXPLICIT_BYTES,
                         sim_tls_hash(number, 9));
    }
}

/* A record in the clear, whose bytes are of the number. Returns how long it is. */
static size_t sim_tls_flight(uint64_t number, size_t count, uint8_t *out)
{
    out[0] = TLS_HANDSHAKE;
    out[1] = out[2] = 3;
    bytes_store_be16(out + 3, (uint16_t)count);
    bytes_store_be64(out + TLS_HEADER_BYTES, number);
    for (size_t i = SIM_TLS_NUMBER_BYTES; i < count; i++) {
        out[TLS_HEADER_BYTES + i] = (uint8_t)(number * i);
    }
    return TLS_HEADER_BYTES + count;
}

/* Whether such a record is there as a whole. */
static bool sim_tls_has_flight(const uint8_t *bytes, size_t count, size_t *flight_bytes_out)
{
    *flight_bytes_out =
        count < TLS_HEADER_BYTES ? SIZE_MAX : TLS_HEADER_BYTES + (size_t)bytes_load_be16(bytes + 3);
    return *flight_bytes_out <= count;
}

static bool sim_tls_is_flight(uint64_t number, const uint8_t *bytes, size_t count)
{
    static uint8_t flight[TLS_RECORD_BYTES_MAX];
    sim_tls_flight(number, count - TLS_HEADER_BYTES, flight);
    return memcmp(bytes, flight, count) == 0;
}

/* ---- The service ---- */

struct sim_tls_handshake {
    bool has_hello;
    uint64_t number;
    size_t count;
    uint8_t bytes[2 * SIM_TLS_FLIGHT_BYTES_MAX + TLS_JOB_IN_BYTES];
};

static struct {
    struct {
        struct tls_job *job;
        uint64_t due_ns;
    } queue[TLS_HANDSHAKES_MAX];
    uint32_t count;
    uint32_t handshakes;
} sim_tls_jobs;

static void sim_tls_forget(struct tls_job *job)
{
    sim_tls_jobs.handshakes -= job->handshake != NULL;
    free(job->handshake);
    job->handshake = NULL;
}

static void sim_tls_fail(struct tls_job *job, uint8_t alert, const char *text)
{
    const uint8_t record[] = {TLS_ALERT, 3, 3, 0, 2, TLS_ALERT_FATAL, alert};
    job->outcome = TLS_FAILED;
    job->failure = TLS_FAILURE_PROTOCOL;
    job->text = text;
    memcpy(job->out, record, sizeof record);
    job->out_bytes = sizeof record;
    sim_tls_marks.refused++;
    sim_tls_forget(job);
}

static void sim_tls_on_hello(struct tls_job *job, struct sim_tls_handshake *handshake,
                             size_t flight_bytes)
{
    assert_always(flight_bytes == handshake->count);
    handshake->number = bytes_load_be64(handshake->bytes + TLS_HEADER_BYTES);
    assert_always(sim_tls_is_flight(handshake->number, handshake->bytes, flight_bytes));
    handshake->has_hello = true;
    handshake->count = 0;
    if (sim_tls_facts_of(handshake->number).fails) {
        sim_tls_fail(job, TLS_ALERT_HANDSHAKE_FAILURE, "nothing in common");
        return;
    }
    size_t most = sim_random(8) == 0 ? TLS_PLAIN_BYTES_MAX : 3000;
    job->out_bytes = (uint32_t)sim_tls_flight(
        handshake->number, SIM_TLS_NUMBER_BYTES + sim_random(most - 8), job->out);
}

/* Of TLS 1.2 the server's Finished, of TLS 1.3 tickets under its keys. */
static void sim_tls_write_last(struct tls_job *job, uint64_t number)
{
    struct sim_tls_facts facts = sim_tls_facts_of(number);
    if (facts.version == TLS_1_2) {
        job->out_bytes = (uint32_t)sim_tls_flight(number, 40, job->out);
    }
    for (uint32_t i = 0; i < facts.ticket_count; i++) {
        uint8_t *record = job->out + job->out_bytes;
        memset(record + tls_record_front(&job->tx), SIM_TLS_NEW_TICKET, SIM_TLS_TICKET_BYTES);
        size_t bytes =
            tls_record_seal(sim_tls_ciphers, &job->tx, TLS_HANDSHAKE, record, SIM_TLS_TICKET_BYTES);
        assert_always(bytes > 0);
        job->out_bytes += (uint32_t)bytes;
    }
}

static void sim_tls_on_finished(struct tls_job *job, const struct sim_tls_handshake *handshake,
                                size_t flight_bytes)
{
    struct sim_tls_side client, server;
    uint64_t number = handshake->number;
    assert_always(sim_tls_is_flight(number, handshake->bytes, flight_bytes));
    sim_tls_make_keys(number, &client, &server);
    job->outcome = TLS_FINISHED;
    job->tx = server.keys;
    job->rx = client.keys;
    memcpy(job->tx_secret, server.secret, sizeof job->tx_secret);
    memcpy(job->rx_secret, client.secret, sizeof job->rx_secret);
    sim_tls_write_last(job, number);
    job->rest_bytes = (uint32_t)(handshake->count - flight_bytes);
    assert_always(job->rest_bytes <= sizeof job->rest);
    memcpy(job->rest, handshake->bytes + flight_bytes, job->rest_bytes);
    assert_always(job->peer == NULL);
    job->peer = calloc(1, sizeof *job->peer);
    assert_always(job->peer != NULL);
    job->peer->version = server.keys.version;
    job->peer->suite = server.keys.suite;
    job->peer->is_resumed = sim_tls_facts_of(number).is_resumed;
    sim_tls_marks.finished++;
    sim_tls_forget(job);
}

static void sim_tls_work(struct tls_job *job)
{
    job->outcome = TLS_WANTS_MORE;
    job->out_bytes = 0;
    job->rest_bytes = 0;
    if (job->is_over) {
        sim_tls_marks.given_up += job->handshake != NULL;
        sim_tls_forget(job);
        return;
    }
    if (job->handshake == NULL) {
        job->handshake = calloc(1, sizeof(struct sim_tls_handshake));
        assert_always(job->handshake != NULL);
        job->spent_ns = 0;
        sim_tls_jobs.handshakes++;
    }
    struct sim_tls_handshake *handshake = job->handshake;
    size_t flight_bytes;
    assert_always(job->in_bytes > 0 && job->in_bytes <= sizeof job->in);
    assert_always(job->in_bytes <= sizeof handshake->bytes - handshake->count);
    memcpy(handshake->bytes + handshake->count, job->in, job->in_bytes);
    handshake->count += job->in_bytes;
    job->spent_ns += 1000;
    if (!sim_tls_has_flight(handshake->bytes, handshake->count, &flight_bytes)) {
        return;
    }
    if (handshake->has_hello) {
        sim_tls_on_finished(job, handshake, flight_bytes);
    } else {
        sim_tls_on_hello(job, handshake, flight_bytes);
    }
}

static void sim_tls_submit(struct tls_service *service, struct engine *engine, struct tls_job *job)
{
    (void)service, (void)engine;
    assert_always(sim_tls_jobs.count < TLS_HANDSHAKES_MAX);
    for (uint32_t i = 0; i < sim_tls_jobs.count; i++) {
        assert_always(sim_tls_jobs.queue[i].job != job);
    }
    uint64_t most = sim_random(50) == 0 ? 100 * NS_PER_MS : 2 * NS_PER_MS;
    sim_tls_jobs.queue[sim_tls_jobs.count].job = job;
    sim_tls_jobs.queue[sim_tls_jobs.count++].due_ns = sim.now_ns + sim_random(most);
    if (sim_tls_jobs.count > sim_tls_marks.jobs_max) {
        sim_tls_marks.jobs_max = sim_tls_jobs.count;
    }
}

/* UINT32_MAX: none. */
static uint32_t sim_tls_first_due(uint32_t core)
{
    for (uint32_t i = 0; i < sim_tls_jobs.count; i++) {
        if (sim_tls_jobs.queue[i].job->core == core && sim_tls_jobs.queue[i].due_ns <= sim.now_ns) {
            return i;
        }
    }
    return UINT32_MAX;
}

/* The work is done at the last moment. */
static struct tls_job *sim_tls_next_result(struct tls_service *service, uint32_t core)
{
    (void)service;
    uint32_t found = sim_tls_first_due(core);
    if (found == UINT32_MAX) {
        return NULL;
    }
    struct tls_job *job = sim_tls_jobs.queue[found].job;
    sim_tls_jobs.queue[found] = sim_tls_jobs.queue[--sim_tls_jobs.count];
    sim_tls_work(job);
    return job;
}

static bool sim_tls_has_result(struct tls_service *service, uint32_t core)
{
    (void)service;
    return sim_tls_first_due(core) != UINT32_MAX;
}

static struct tls_service sim_tls_service = {
    .submit = sim_tls_submit,
    .next_result = sim_tls_next_result,
    .has_result = sim_tls_has_result,
};

struct tls_service *sim_tls_open(void)
{
    memset(&sim_tls_jobs, 0, sizeof sim_tls_jobs);
    assert_always(tls_ciphers_open(&sim_tls_ciphers) == 0);
    return &sim_tls_service;
}

uint32_t sim_tls_left(void)
{
    return sim_tls_jobs.count + sim_tls_jobs.handshakes;
}

void sim_tls_close(void)
{
    tls_ciphers_close(sim_tls_ciphers);
}

/* ---- The client ---- */

void sim_tls_connect(struct sim_tls *tls, struct sim_socket *socket)
{
    static uint8_t flight[TLS_HEADER_BYTES + SIM_TLS_FLIGHT_BYTES_MAX];
    memset(tls, 0, offsetof(struct sim_tls, in));
    tls->socket = socket;
    tls->number = sim_random(UINT64_MAX);
    tls->facts = sim_tls_facts_of(tls->number);
    size_t count = SIM_TLS_NUMBER_BYTES + sim_random(SIM_TLS_FLIGHT_BYTES_MAX - 8);
    sim_client_send(socket, flight, sim_tls_flight(tls->number, count, flight));
}

static void sim_tls_seal(struct sim_tls *tls, enum tls_type type, const void *bytes, size_t count,
                         bool is_spoilt)
{
    static uint8_t record[TLS_RECORD_BYTES_MAX];
    if (count > 0) {
        memcpy(record + tls_record_front(&tls->tx), bytes, count);
    }
    size_t record_bytes = tls_record_seal(sim_tls_ciphers, &tls->tx, type, record, count);
    assert_always(record_bytes > 0);
    if (is_spoilt) {
        size_t bit = 8 * TLS_HEADER_BYTES + sim_random(8 * (record_bytes - TLS_HEADER_BYTES));
        record[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    sim_client_send(tls->socket, record, record_bytes);
}

/* In records of any length, an empty one among them now and then. */
void sim_tls_send(struct sim_tls *tls, const void *bytes, size_t count)
{
    if (tls->state != SIM_TLS_KEYED) {
        assert_always(count <= sizeof tls->waiting - tls->waiting_bytes);
        memcpy(tls->waiting + tls->waiting_bytes, bytes, count);
        tls->waiting_bytes += count;
        return;
    }
    for (const uint8_t *next = bytes; count > 0;) {
        size_t piece = 1 + sim_random(sim_random(3) == 0 ? 20 : TLS_PLAIN_BYTES_MAX);
        piece = piece < count ? piece : count;
        if (sim_random(20) == 0) {
            sim_tls_seal(tls, TLS_APPLICATION_DATA, NULL, 0, false);
        }
        if (sim_random(20) == 0) {
            sim_tls_update(tls);
        }
        sim_tls_seal(tls, TLS_APPLICATION_DATA, next, piece, false);
        next += piece;
        count -= piece;
    }
}

void sim_tls_update(struct sim_tls *tls)
{
    if (tls->state != SIM_TLS_KEYED || tls->facts.version != TLS_1_3 || sim.calm ||
        tls->updates == SIM_TLS_UPDATES_MAX) {
        return;
    }
    uint8_t asks = sim_random(2) == 0;
    const uint8_t message[SIM_TLS_UPDATE_BYTES] = {SIM_TLS_KEY_UPDATE, 0, 0, 1, asks};
    sim_tls_seal(tls, TLS_HANDSHAKE, message, sizeof message, false);
    bool is_done = tls_secret_update(&tls->tx, tls->tx_secret);
    assert_always(is_done);
    tls->owes_update |= asks;
    tls->updates++;
}

void sim_tls_notify(struct sim_tls *tls)
{
    static const uint8_t alert[] = {TLS_ALERT_WARNING, TLS_ALERT_CLOSE_NOTIFY};
    if (tls->state == SIM_TLS_KEYED) {
        sim_tls_seal(tls, TLS_ALERT, alert, sizeof alert, false);
    }
}

void sim_tls_spoil(struct sim_tls *tls)
{
    if (tls->state == SIM_TLS_KEYED) {
        sim_tls_seal(tls, TLS_APPLICATION_DATA, "spoilt", 6, true);
        tls->is_spoilt = true;
        sim_tls_marks.spoilt++;
    }
}

static void sim_tls_begin(struct sim_tls *tls)
{
    tls->state = SIM_TLS_KEYED;
    sim_tls_send(tls, tls->waiting, tls->waiting_bytes);
}

/* A record of the handshake. */
static const char *sim_tls_on_flight(struct sim_tls *tls, const uint8_t *bytes, size_t count)
{
    static uint8_t flight[TLS_HEADER_BYTES + SIM_TLS_FLIGHT_BYTES_MAX];
    if (bytes[0] == TLS_ALERT) {
        tls->state = SIM_TLS_REFUSED;
        return tls->facts.fails ? NULL : "a handshake was refused";
    }
    if (!sim_tls_is_flight(tls->number, bytes, count)) {
        return "a flight of the handshake is not what the service wrote";
    }
    if (tls->state == SIM_TLS_FINISHED) {
        sim_tls_begin(tls);
        return NULL;
    }
    struct sim_tls_side client, server;
    sim_tls_make_keys(tls->number, &client, &server);
    tls->tx = client.keys;
    tls->rx = server.keys;
    memcpy(tls->tx_secret, client.secret, sizeof tls->tx_secret);
    memcpy(tls->rx_secret, server.secret, sizeof tls->rx_secret);
    size_t length = SIM_TLS_NUMBER_BYTES + sim_random(SIM_TLS_FLIGHT_BYTES_MAX - 8);
    sim_client_send(tls->socket, flight, sim_tls_flight(tls->number, length, flight));
    if (tls->facts.version == TLS_1_2) {
        tls->state = SIM_TLS_FINISHED;
    } else {
        sim_tls_begin(tls); /* In the same segment. */
    }
    return NULL;
}

static const char *sim_tls_on_handshake(struct sim_tls *tls, const struct tls_plain *plain)
{
    if (plain->bytes[0] == SIM_TLS_NEW_TICKET && plain->count == SIM_TLS_TICKET_BYTES) {
        sim_tls_marks.tickets++;
        return NULL;
    }
    if (plain->count != SIM_TLS_UPDATE_BYTES || plain->bytes[0] != SIM_TLS_KEY_UPDATE ||
        plain->bytes[4] != 0 || tls->facts.version != TLS_1_3) {
        return "a message of the handshake that is not expected";
    }
    bool is_done = tls_secret_update(&tls->rx, tls->rx_secret);
    assert_always(is_done);
    tls->owes_update = false;
    sim_tls_marks.updates++;
    return NULL;
}

static const char *sim_tls_on_alert(struct sim_tls *tls, const struct tls_plain *plain)
{
    static const uint8_t bad_mac[] = {TLS_ALERT_FATAL, TLS_ALERT_BAD_RECORD_MAC};
    tls->is_notified = true;
    if (tls->is_spoilt && plain->count == 2 && memcmp(plain->bytes, bad_mac, 2) == 0) {
        sim_tls_marks.alerts++;
        return NULL;
    }
    if (plain->count != 2 || plain->bytes[1] != TLS_ALERT_CLOSE_NOTIFY) {
        return "an alert that is not close_notify";
    }
    sim_tls_marks.notified++;
    return NULL;
}

static const char *sim_tls_on_record(struct sim_tls *tls, uint8_t *record, size_t record_bytes,
                                     uint8_t *out, size_t *count_out)
{
    struct tls_plain plain;
    if (tls->is_notified) {
        return "a record behind close_notify";
    }
    if (tls_record_open(sim_tls_ciphers, &tls->rx, record, record_bytes, &plain) != TLS_OK) {
        return "a record does not open";
    }
    sim_tls_marks.records++;
    if (plain.type == TLS_HANDSHAKE) {
        return sim_tls_on_handshake(tls, &plain);
    }
    if (plain.type == TLS_ALERT) {
        return sim_tls_on_alert(tls, &plain);
    }
    if (plain.count == 0 || plain.count > tls->facts.plain_max) {
        return "a record is empty or too long";
    }
    memcpy(out + *count_out, plain.bytes, plain.count);
    *count_out += plain.count;
    return NULL;
}

/* Whether a record is there as a whole. */
static bool sim_tls_has_record(const struct sim_tls *tls, const uint8_t *bytes, size_t count,
                               size_t *record_bytes_out, const char **fault_out)
{
    if (tls->state != SIM_TLS_KEYED) {
        return sim_tls_has_flight(bytes, count, record_bytes_out);
    }
    enum tls_status status = tls_record_length(&tls->rx, bytes, count, record_bytes_out);
    if (status != TLS_OK && status != TLS_NEED_MORE) {
        *fault_out = "what comes is no record";
    }
    return status == TLS_OK && *record_bytes_out <= count;
}

const char *sim_tls_read(struct sim_tls *tls, uint8_t *out, size_t max, size_t *count_out)
{
    const char *fault = NULL;
    size_t room = sizeof tls->in - tls->in_bytes;
    size_t at = 0;
    size_t record_bytes;
    tls->in_bytes += sim_client_read(tls->socket, tls->in + tls->in_bytes, max < room ? max : room);
    *count_out = 0;
    while (fault == NULL &&
           sim_tls_has_record(tls, tls->in + at, tls->in_bytes - at, &record_bytes, &fault)) {
        fault = tls->state == SIM_TLS_KEYED
                    ? sim_tls_on_record(tls, tls->in + at, record_bytes, out, count_out)
                    : sim_tls_on_flight(tls, tls->in + at, record_bytes);
        at += record_bytes;
    }
    tls->in_bytes -= at;
    memmove(tls->in, tls->in + at, tls->in_bytes);
    return fault;
}
