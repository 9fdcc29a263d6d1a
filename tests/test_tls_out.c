/* What leaves a link that speaks TLS: its peers open each record and compare each byte, wherever
 * their sockets cut a send. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/bench_null_engine.h"
#include "codec/base/units.h"
#include "ring/link/sender.h"
#include "ring/link/tls_out.h"

#define PEERS 6 /* one for each suite of each version */
#define SOURCE_BYTES (UINT64_C(1) << 20)
#define GOT_BYTES_MAX (UINT64_C(4) << 20)
#define ALL SIZE_MAX

/* The other end of a link. */
struct peer {
    struct link *link;
    struct tls_keys rx;
    uint8_t rx_secret[TLS_SECRET_BYTES_MAX];
    bool is_raw; /* Its bytes are not opened. */
    size_t room; /* its socket takes so many bytes more */
    uint64_t wire_bytes;
    uint64_t data_records;
    uint32_t alerts, updates;
    bool is_notified, is_shut;
    uint8_t record[TLS_RECORD_BYTES_MAX]; /* the one that comes */
    size_t record_bytes;
    uint64_t frames_sent; /* bytes of the source that count as sent */
    /* What it got, and what counts as sent to it, since they were last compared. */
    size_t got_bytes, due_bytes;
    uint8_t got[GOT_BYTES_MAX], due[GOT_BYTES_MAX];
};

static struct links links;
static struct core_counters counters;
static _Atomic uint32_t open_count;
static _Atomic uint32_t place_count;
static struct plan_batch plans;
static struct peer peers[PEERS];
static struct tls_ciphers *peer_ciphers;
static uint8_t source[2 * SOURCE_BYTES]; /* frames; the second half is the first one again */
static uint64_t chance;

static uint64_t draw(uint64_t below)
{
    chance = chance * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (chance >> 33) % below;
}

/* ---- Peers ---- */

static void on_record(struct peer *peer, const struct tls_plain *plain)
{
    if (plain->type == TLS_APPLICATION_DATA) {
        assert_false(peer->is_notified);
        assert_true(peer->got_bytes + plain->count <= GOT_BYTES_MAX);
        memcpy(peer->got + peer->got_bytes, plain->bytes, plain->count);
        peer->got_bytes += plain->count;
        peer->data_records++;
    } else if (plain->type == TLS_HANDSHAKE) {
        static const uint8_t update[] = {24, 0, 0, 1, 0};
        assert_int_equal(plain->count, sizeof update);
        assert_memory_equal(plain->bytes, update, sizeof update);
        assert_true(tls_secret_update(&peer->rx, peer->rx_secret));
        peer->updates++;
    } else {
        assert_int_equal(plain->type, TLS_ALERT);
        assert_int_equal(plain->count, 2);
        peer->alerts++;
        peer->is_notified = plain->bytes[1] == TLS_ALERT_CLOSE_NOTIFY;
    }
}

static void receive(struct peer *peer, const uint8_t *bytes, size_t count)
{
    peer->wire_bytes += count;
    assert_false(peer->is_shut);
    if (peer->is_raw) {
        memcpy(peer->got + peer->got_bytes, bytes, count);
        peer->got_bytes += count;
        return;
    }
    while (count > 0) {
        size_t whole = 0;
        struct tls_plain plain;
        peer->record[peer->record_bytes++] = *bytes++;
        count--;
        enum tls_status status =
            tls_record_length(&peer->rx, peer->record, peer->record_bytes, &whole);
        if (status == TLS_OK && whole > peer->record_bytes) {
            size_t piece = whole - peer->record_bytes;
            piece = piece < count ? piece : count;
            memcpy(peer->record + peer->record_bytes, bytes, piece);
            peer->record_bytes += piece;
            bytes += piece;
            count -= piece;
        }
        if (status == TLS_OK && whole == peer->record_bytes) {
            assert_int_equal(tls_record_open(peer_ciphers, &peer->rx, peer->record, whole, &plain),
                             TLS_OK);
            on_record(peer, &plain);
            peer->record_bytes = 0;
        } else {
            assert_true(status == TLS_OK || status == TLS_NEED_MORE);
        }
    }
}

static void carry_out(struct engine *engine, const struct io_uring_sqe *sqe)
{
    int number = sqe->fd - BENCH_NULL_FD_FIRST;
    struct peer *peer = &peers[number >= 0 && number < PEERS ? number : 0];
    if (sqe->opcode == IORING_OP_SEND) {
        size_t taken = sqe->len < peer->room ? sqe->len : peer->room;
        peer->room -= peer->room == ALL ? 0 : taken;
        receive(peer, (const uint8_t *)(uintptr_t)sqe->addr, taken);
        if (taken < sqe->len) {
            bench_null_post(engine, sqe->user_data, taken > 0 ? (int)taken : -EAGAIN, 0);
        }
    } else if (sqe->opcode == IORING_OP_SHUTDOWN) {
        peer->is_shut = true;
    }
}

static int enter(struct engine *engine, uint64_t timeout_ns)
{
    const struct io_uring_sq *sq = &engine->ring.sq;
    (void)timeout_ns;
    for (; bench_null.sq_head != sq->sqe_tail; bench_null.sq_head++) {
        carry_out(engine, &sq->sqes[bench_null.sq_head & sq->ring_mask]);
    }
    return 0;
}

/* ---- Links ---- */

static void on_clock(void *context, struct core_time *time_out)
{
    (void)context;
    *time_out = (struct core_time){.now_ns = NS_PER_SECOND, .wall_ns = NS_PER_SECOND};
}

static void on_log(void *context, struct core *core, int level, const char *text)
{
    (void)context, (void)core, (void)level, (void)text;
}

static void on_clear(struct core *core, uint32_t conn)
{
    (void)core, (void)conn;
}

static int open_engine(struct engine *engine, const struct engine_options *options, char *error_out)
{
    static struct engine_ops ops;
    int error = bench_null_engine_open(engine, options, error_out);
    ops = *engine->ops;
    ops.enter = enter;
    engine->ops = &ops;
    return error;
}

static int open_links(struct tls_service *service)
{
    static const struct handshake_site site = {.path_count = 0};
    static const struct core_document document = {.path = NULL};
    static const struct core_ops ops = {.log = on_log};
    static const struct links_asks asks = {.on_clear = on_clear};
    char error[ENGINE_ERROR_BYTES_MAX];
    const struct links_options options = {
        .link_count = PEERS,
        .encoding_count = 1,
        .place_count_max = PEERS,
        .lend_bytes = UINT32_MAX,
        .lend_unix_bytes = UINT32_MAX,
        .message_bytes_max = LINK_HEAD_BYTES_MAX,
        .out_pool_bytes = 4 * OUT_POOL_BYTES_TOUCHED,
        .site = &site,
        .document = &document,
        .conn_count = &open_count,
        .place_count = &place_count,
        .tls = service,
        .counters = &counters,
        .asks = &asks,
        .ops = &ops,
        .clock = on_clock,
        .open_engine = open_engine,
    };
    memset(&counters, 0, sizeof counters);
    bench_null_engine_expect(0, 0);
    return links_open(&links, &options, error);
}

static int set_up(void **state)
{
    static struct tls_service service;
    (void)state;
    chance = 7;
    for (size_t i = 0; i < SOURCE_BYTES; i++) {
        source[i] = source[SOURCE_BYTES + i] = (uint8_t)draw(256);
    }
    memset(peers, 0, sizeof peers);
    assert_int_equal(tls_ciphers_open(&peer_ciphers), 0);
    return open_links(&service);
}

static int tear_down(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < PEERS; i++) {
        links.links[i].stage = LINK_FREE; /* Their descriptors are none. */
    }
    links_close(&links);
    tls_ciphers_close(peer_ciphers);
    return 0;
}

static struct link_tls *tls_of(const struct peer *peer)
{
    return links_tls(&links, peer->link);
}

/* In the middle of its handshake. */
static struct peer *begin_peer(uint32_t number)
{
    struct peer *peer = &peers[number];
    struct link *link = links_take(&links);
    *link = (struct link){.input = LINK_NO_INPUT, .generation = link->generation};
    link->fd = BENCH_NULL_FD_FIRST + (int)number;
    out_chain_init(&link->out);
    timer_init(&link->timer);
    link_enter(&links, link, LINK_SECURING);
    tls_out_begin(&links, link);
    memset(peer, 0, offsetof(struct peer, got));
    peer->link = link;
    peer->is_raw = true;
    peer->room = ALL;
    return peer;
}

/* Its handshake has finished. */
static void give_keys(struct peer *peer, enum tls_version version, enum tls_suite suite,
                      uint16_t record_max)
{
    struct link_tls *tls = tls_of(peer);
    uint8_t secret[TLS_SECRET_BYTES_MAX];
    memset(secret, (int)suite + 1, sizeof secret);
    if (version == TLS_1_3) {
        assert_true(tls_secret_keys(&tls->tx, suite, secret, tls_secret_bytes(suite)));
    } else {
        struct tls_keys client;
        assert_true(tls_secret_keys_12(&client, &tls->tx, suite, secret, secret, secret));
    }
    tls->tx.record_max = record_max;
    memcpy(tls->tx_secret, secret, sizeof secret);
    tls->is_keyed = true;
    peer->rx = tls->tx;
    memcpy(peer->rx_secret, secret, sizeof secret);
    peer->is_raw = false;
    link_enter(&links, peer->link, LINK_HANDSHAKING);
    link_enter(&links, peer->link, LINK_STREAMING);
}

/* Each number has a version and a suite of its own. */
static struct peer *open_peer(uint32_t number, uint16_t record_max)
{
    struct peer *peer = begin_peer(number);
    give_keys(peer, number < TLS_SUITE_COUNT ? TLS_1_3 : TLS_1_2,
              (enum tls_suite)(number % TLS_SUITE_COUNT), record_max);
    return peer;
}

/* ---- Sends ---- */

/* Frames for a peer, behind those that it has: in so many stretches. 0 bytes: its own only. */
static void plan(struct peer *peer, uint64_t bytes, uint32_t stretches)
{
    struct send_plan *plan = &plans.plans[plans.plan_count++];
    uint64_t at = peer->frames_sent % SOURCE_BYTES;
    *plan = (struct send_plan){
        .conn = links_index(&links, peer->link),
        .iov_first = plans.iov_count,
        .bytes = bytes,
        .kind = bytes > 0 ? SEND_PULL : SEND_OWN,
    };
    for (uint32_t left = stretches; bytes > 0; left--) {
        uint64_t piece = left > 1 && bytes > 1 ? 1 + draw(bytes - 1) : bytes;
        piece = piece < SOURCE_BYTES ? piece : SOURCE_BYTES;
        plans.iovs[plans.iov_count++] = (struct iovec){&source[at], piece};
        plan->iov_count++;
        at = (at + piece) % SOURCE_BYTES;
        bytes -= piece;
    }
}

static void is_due(struct peer *peer, const uint8_t *bytes, size_t count)
{
    assert_true(peer->due_bytes + count <= GOT_BYTES_MAX);
    memcpy(peer->due + peer->due_bytes, bytes, count);
    peer->due_bytes += count;
}

/* Frames of a plan count as sent. */
static void count_frames(struct peer *peer, uint64_t bytes)
{
    while (bytes > 0) {
        uint64_t piece = bytes < SOURCE_BYTES ? bytes : SOURCE_BYTES;
        is_due(peer, &source[peer->frames_sent % SOURCE_BYTES], piece);
        peer->frames_sent += piece;
        bytes -= piece;
    }
}

/* What a peer has got is what counts as sent to it, but for a record that is not complete. */
static void compare(struct peer *peer)
{
    assert_true(peer->got_bytes <= peer->due_bytes);
    assert_memory_equal(peer->got, peer->due, peer->got_bytes);
    peer->due_bytes -= peer->got_bytes;
    memmove(peer->due, peer->due + peer->got_bytes, peer->due_bytes);
    peer->got_bytes = 0;
}

static const struct send_outcome *outcome_of(uint32_t number)
{
    for (uint32_t i = 0; i < plans.outcome_count; i++) {
        if (plans.outcomes[i].plan == number) {
            return &plans.outcomes[i];
        }
    }
    return NULL;
}

/* All that is planned. */
static void send_plans(void)
{
    static uint8_t own[PEERS][OUT_POOL_BYTES_TOUCHED];
    uint32_t own_bytes[PEERS];
    struct io_uring_cqe cqe;
    for (uint32_t i = 0; i < plans.plan_count; i++) {
        const struct link *link = links_at(&links, plans.plans[i].conn);
        own_bytes[i] = link->out.bytes;
        out_chain_copy(&links.out_pool, &link->out, own[i], sizeof own[i]);
    }
    sender_send(&links, &plans);
    for (uint32_t i = 0; i < plans.plan_count; i++) {
        const struct send_plan *sent = &plans.plans[i];
        const struct link *link = links_at(&links, sent->conn);
        struct peer *peer = &peers[link->fd - BENCH_NULL_FD_FIRST];
        const struct send_outcome *outcome = outcome_of(i);
        is_due(peer, own[i], own_bytes[i] - link->out.bytes);
        if (outcome == NULL || outcome->error == 0) {
            count_frames(peer, outcome == NULL ? sent->bytes : outcome->bytes);
        }
        compare(peer);
    }
    while (engine_reap(&links.engine, &cqe)) {
    }
    plans.plan_count = 0;
    plans.iov_count = 0;
}

static void make_writable(struct peer *peer, size_t room)
{
    peer->room = room;
    if (peer->link->flow == LINK_BLOCKED) {
        link_on_writable(&links, peer->link);
    } else if (peer->link->flow == LINK_STUCK) {
        link_clear(&links, peer->link);
    }
}

/* Until nothing waits for a peer. */
static void drain(struct peer *peer)
{
    make_writable(peer, ALL);
    while (links_waiting_bytes(&links, peer->link) > 0) {
        plan(peer, 0, 0);
        send_plans();
    }
    assert_int_equal(peer->due_bytes, 0);
    assert_int_equal(peer->record_bytes, 0);
    assert_int_equal(peer->rx.seq, tls_of(peer)->tx.seq);
}

/* ---- Tests ---- */

static void send_cut_twice(struct peer *peer, size_t first, size_t second, bool updates)
{
    peer->room = first;
    link_queue(&links, peer->link, "own", 3);
    plan(peer, 17, 2); /* With these, two and a half records. */
    send_plans();
    if (updates) {
        tls_out_update_keys(&links, peer->link);
    }
    make_writable(peer, second);
    plan(peer, 17, 1);
    send_plans();
    drain(peer);
}

static void each_byte_arrives_wherever_two_sends_are_cut(void **state)
{
    (void)state;
    for (uint32_t number = 0; number < PEERS; number++) {
        struct peer *peer = open_peer(number, 8);
        size_t wire = 2 * tls_record_bytes(&peer->rx, 8) + tls_record_bytes(&peer->rx, 4);
        for (size_t first = 0; first <= wire; first++) {
            for (size_t second = 1 + first % 5; second <= 2 * wire; second += 5) {
                send_cut_twice(peer, first, second, false);
                if (peer->rx.version == TLS_1_3 && second % 2 == 0) {
                    send_cut_twice(peer, first, second, true);
                }
            }
        }
        assert_true(peer->data_records > wire);
    }
    assert_int_equal(counter_get(&counters.tls_sealed_bytes), 0);
    assert_true(counter_get(&counters.sends_full) > 0);
}

/* A step of a long life. */
static void live(struct peer *peer)
{
    static const uint8_t alert[] = {TLS_ALERT_WARNING, TLS_ALERT_USER_CANCELED};
    static const uint64_t sizes[] = {64, 300, 5000, 60000, 400000};
    uint8_t own[300];
    if (peer->link->flow != LINK_CLEAR && draw(2) == 0) {
        make_writable(peer, 1 + draw(draw(2) == 0 ? 100 : 30000));
    } else if (peer->link->flow == LINK_CLEAR) {
        peer->room = draw(4) == 0 ? draw(9000) : ALL;
    }
    if (draw(3) == 0) {
        memset(own, (int)draw(256), sizeof own);
        link_queue(&links, peer->link, own, 1 + draw(sizeof own));
    }
    if (draw(8) == 0) {
        tls_out_control(&links, peer->link, TLS_ALERT, alert, sizeof alert);
    }
    if (draw(8) == 0 && peer->rx.version == TLS_1_3) {
        tls_out_update_keys(&links, peer->link);
    }
    if (peer->link->flow == LINK_CLEAR) {
        plan(peer, draw(sizes[draw(5)]), 1 + (uint32_t)draw(8));
    }
}

static void each_byte_arrives_in_any_course_of_short_sends_and_new_keys(void **state)
{
    static const uint16_t record_max[PEERS] = {4096, 512, 16384, 4096, 1000, 4096};
    uint64_t records = 0;
    uint64_t bytes = 0;
    uint64_t updates = 0;
    (void)state;
    for (uint32_t i = 0; i < PEERS; i++) {
        open_peer(i, record_max[i]);
    }
    for (uint32_t step = 0; step < 400; step++) {
        for (uint32_t i = 0; i < PEERS; i++) {
            live(&peers[i]);
        }
        send_plans();
    }
    for (uint32_t i = 0; i < PEERS; i++) {
        drain(&peers[i]);
        records += peers[i].data_records;
        bytes += peers[i].wire_bytes;
        updates += peers[i].updates;
        assert_true(peers[i].alerts > 0);
    }
    assert_int_equal(counter_get(&counters.tls_records_out), records);
    assert_int_equal(counter_get(&counters.bytes_out), bytes);
    assert_int_equal(counter_get(&counters.tls_updates_own), updates);
    assert_int_equal(counter_get(&counters.tls_sealed_bytes), 0);
    assert_true(updates > 0);
    assert_true(counter_get(&counters.sends_short) > 0);
}

static void a_batch_ends_when_the_arena_is_short(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < PEERS; i++) {
        plan(open_peer(i, 4096), 250000, 1);
    }
    send_plans(); /* Three of them leave less than 384 KiB. */
    assert_int_equal(counter_get(&counters.send_enters), 2);
    assert_int_equal(plans.outcome_count, 0);
}

static void a_plan_longer_than_the_arena_leaves_in_parts(void **state)
{
    struct peer *peer = open_peer(0, 4096);
    uint64_t left = 3 * SOURCE_BYTES;
    uint32_t sends = 0;
    (void)state;
    link_queue(&links, peer->link, "own", 3);
    for (; left > 0; sends++) {
        uint64_t sent = peer->frames_sent;
        plan(peer, left, 1);
        send_plans();
        left -= peer->frames_sent - sent;
        assert_true(peer->frames_sent > sent);
        assert_int_equal(plans.outcome_count, left > 0);
        assert_false(left > 0 && plans.outcomes[0].is_blocked);
        assert_int_equal(peer->link->flow, LINK_CLEAR);
    }
    assert_int_equal(sends, 4);
    drain(peer);
}

static void what_is_sealed_may_be_more_than_the_arena(void **state)
{
    static const uint8_t alert[] = {TLS_ALERT_WARNING, TLS_ALERT_USER_CANCELED};
    struct peer *peer = open_peer(0, 4096);
    uint32_t count = 0;
    (void)state;
    for (; tls_of(peer)->sealed.bytes <= LINKS_ARENA_BYTES; count++) {
        tls_out_control(&links, peer->link, TLS_ALERT, alert, sizeof alert);
    }
    peer->link->is_ready = false;
    plan(peer, 100, 1);
    send_plans();
    assert_int_equal(plans.outcome_count, 1);
    assert_int_equal(plans.outcomes[0].bytes, 0);
    assert_false(plans.outcomes[0].is_blocked);
    assert_true(peer->link->is_ready);
    drain(peer);
    assert_int_equal(peer->alerts, count);
}

static void keys_change_before_the_record_that_would_be_one_too_many(void **state)
{
    struct peer *peer = open_peer(TLS_AES_128_GCM, 100);
    struct peer *old = open_peer(TLS_SUITE_COUNT + TLS_AES_128_GCM, 100);
    (void)state;
    peer->rx.seq = tls_of(peer)->tx.seq = TLS_OUT_UPDATE_SEQ - 1;
    old->rx.seq = tls_of(old)->tx.seq = TLS_OUT_UPDATE_SEQ;
    plan(peer, 100, 1);
    plan(old, 100, 1); /* TLS 1.2 cannot. */
    send_plans();
    assert_int_equal(peer->updates, 0);
    plan(peer, 100, 1);
    send_plans();
    assert_int_equal(peer->updates, 1);
    assert_int_equal(tls_of(peer)->tx.seq, 1);
    assert_int_equal(counter_get(&counters.tls_updates_own), 1);
    drain(peer);
    drain(old);
}

static void a_last_record_that_was_cut_blocks_a_link_although_all_counts_as_sent(void **state)
{
    struct peer *peer = open_peer(0, 4096);
    (void)state;
    peer->room = tls_record_bytes(&peer->rx, 100) - 1;
    plan(peer, 100, 1);
    send_plans();
    assert_int_equal(plans.outcome_count, 1);
    assert_int_equal(plans.outcomes[0].bytes, 100);
    assert_true(plans.outcomes[0].is_blocked);
    assert_int_equal(peer->link->flow, LINK_BLOCKED);
    assert_int_equal(links_waiting_bytes(&links, peer->link), 1);
    assert_int_equal(counter_get(&counters.tls_sealed_bytes), 1);
    make_writable(peer, ALL);
    assert_true(peer->link->is_ready);
    drain(peer);
    assert_int_equal(peer->data_records, 1);
}

static void the_handshake_leaves_in_the_clear_and_before_all_else(void **state)
{
    struct peer *peer = begin_peer(0);
    (void)state;
    for (size_t room = 0; room <= 12; room++) {
        make_writable(peer, room);
        tls_out_queue(&links, peer->link, "server hello", 12);
        plan(peer, 0, 0);
        is_due(peer, (const uint8_t *)"server hello", 12);
        send_plans();
        make_writable(peer, ALL);
        while (links_waiting_bytes(&links, peer->link) > 0) {
            plan(peer, 0, 0);
            send_plans();
        }
        assert_int_equal(peer->due_bytes, 0);
    }
    assert_int_equal(tls_of(peer)->tx.seq, 0);
    assert_int_equal(counter_get(&counters.tls_records_out), 0);
    give_keys(peer, TLS_1_3, TLS_AES_256_GCM, 4096);
    plan(peer, 100, 1);
    send_plans();
    drain(peer);
}

/* After a Close frame; cut: bytes that the socket takes of what is sent then. */
static void close_peer(struct peer *peer, size_t cut, bool received)
{
    peer->room = cut;
    peer->link->close_received = received;
    link_close(&links, peer->link, 1001, "bye", "test");
    for (uint32_t i = 0; i < 2; i++) { /* The second send is what was cut, or close_notify. */
        plan(peer, 0, 0);
        send_plans();
        assert_int_equal(peer->link->stage, LINK_CLOSING);
        assert_false(peer->is_shut || peer->is_notified);
        make_writable(peer, peer->room > 0 ? peer->room : 1);
        if (peer->link->is_ready && peer->room == ALL) {
            break;
        }
    }
    while (links_waiting_bytes(&links, peer->link) > 0) {
        make_writable(peer, ALL);
        plan(peer, 0, 0);
        send_plans();
    }
    links_flush(&links);
    assert_true(peer->is_notified);
    assert_int_equal(peer->alerts, 1);
    assert_int_equal(peer->link->stage, received ? LINK_DOOMED : LINK_CLOSING);
    assert_int_equal(peer->is_shut, !received);
}

static void the_last_word_of_a_link_is_close_notify(void **state)
{
    (void)state;
    for (size_t cut = 0; cut < 40; cut++) {
        for (uint32_t number = 0; number < PEERS; number++) {
            close_peer(open_peer(number, 4096), cut == 0 ? ALL : cut - 1, number % 2 == 0);
        }
        tear_down(NULL);
        set_up(NULL);
    }
}

static void a_link_that_closes_is_sent_nothing_while_it_is_blocked(void **state)
{
    struct peer *peer = open_peer(0, 4096);
    (void)state;
    peer->room = 50;
    plan(peer, 100, 1);
    send_plans();
    link_close(&links, peer->link, 1001, "bye", "test");
    peer->room = ALL;
    plan(peer, 100, 1);
    send_plans();
    assert_int_equal(peer->wire_bytes, 50);
    assert_int_equal(plans.outcomes[0].error, -ECANCELED);
    drain(peer);
    assert_int_equal(peer->frames_sent, 100);
    assert_true(peer->is_notified);
}

static void who_has_no_keys_is_closed_without_close_notify(void **state)
{
    struct peer *peer = begin_peer(0);
    (void)state;
    link_begin_closing(&links, peer->link, "test");
    tls_out_queue(&links, peer->link, "alert", 5);
    is_due(peer, (const uint8_t *)"alert", 5);
    plan(peer, 0, 0);
    send_plans();
    links_flush(&links);
    assert_true(peer->is_shut);
    assert_int_equal(peer->wire_bytes, 5);
}

static void a_fatal_alert_follows_what_is_sealed_and_ends_the_link(void **state)
{
    (void)state;
    for (uint32_t waits = 0; waits < 2; waits++) {
        struct peer *peer = open_peer(waits, 4096);
        peer->room = waits > 0 ? 50 : ALL;
        plan(peer, 100, 1);
        send_plans();
        link_queue(&links, peer->link, "forgotten", 9);
        tls_out_fail(&links, peer->link, TLS_ALERT_BAD_RECORD_MAC, "test");
        assert_int_equal(peer->link->stage, LINK_CLOSING);
        assert_string_equal(link_end_text(peer->link), "test");
        drain(peer);
        links_flush(&links);
        assert_int_equal(peer->frames_sent, 100);
        assert_int_equal(peer->alerts, 1);
        assert_false(peer->is_notified);
        assert_true(peer->is_shut);
        tls_out_fail(&links, peer->link, TLS_ALERT_BAD_RECORD_MAC, "again");
        assert_int_equal(peer->link->stage, LINK_DOOMED);
        assert_string_equal(link_end_text(peer->link), "test");
    }
}

static void a_record_whose_rest_finds_no_room_ends_its_link(void **state)
{
    struct peer *peer = open_peer(0, 4096);
    struct peer *other = open_peer(1, 4096);
    (void)state;
    while (out_chain_append(&links.out_pool, &other->link->out, "x", 1) == 0) {
    }
    peer->room = 1000;
    plan(peer, 2000, 1);
    send_plans();
    assert_int_equal(peer->link->stage, LINK_DOOMED);
    assert_int_equal(peer->link->close_code, 4108);
    assert_int_equal(plans.outcomes[0].error, -ECANCELED);
}

/* The ciphers of the server lose what they are, which libcrypto reports. */
static void a_record_that_cannot_be_sealed_ends_its_link_and_no_other(void **state)
{
    struct peer *peer = open_peer(TLS_AES_256_GCM, 4096);
    struct peer *other = open_peer(TLS_CHACHA20_POLY1305, 4096);
    EVP_CIPHER_CTX **seals = (EVP_CIPHER_CTX **)(void *)links.ciphers;
    (void)state;
    assert_int_equal(EVP_CIPHER_CTX_reset(seals[TLS_AES_256_GCM]), 1);
    plan(peer, 2000, 1);
    plan(other, 2000, 1);
    send_plans();
    assert_int_equal(peer->link->stage, LINK_DOOMED);
    assert_int_equal(peer->wire_bytes, 0);
    assert_int_equal(plans.outcome_count, 1);
    assert_int_equal(plans.outcomes[0].error, -ECANCELED);
    assert_int_equal(other->link->stage, LINK_STREAMING);
    drain(other);
}

static void nothing_of_a_link_is_left_when_it_ends(void **state)
{
    struct peer *peer = open_peer(0, 4096);
    struct link_tls *tls = tls_of(peer);
    struct link_tls fresh;
    uint32_t free_count = links.out_pool.free_count;
    (void)state;
    tls->rx = tls->tx;
    memcpy(tls->rx_secret, tls->tx_secret, sizeof tls->rx_secret);
    tls->peer = calloc(1, sizeof *tls->peer);
    tls_out_queue(&links, peer->link, source, 3000);
    assert_true(links.out_pool.free_count < free_count);
    link_doom(&links, peer->link, 0, "test");
    tls_out_end(&links, peer->link);
    memset(&fresh, 0, sizeof fresh);
    fresh.part = LINK_TLS_NO_PART;
    fresh.job = LINK_TLS_NO_PART;
    fresh.sealed.last = OUT_NONE;
    assert_memory_equal(tls, &fresh, sizeof fresh);
    assert_int_equal(links.out_pool.free_count, free_count);
    assert_int_equal(counter_get(&counters.tls_sealed_bytes), 0);
    link_end(&links, peer->link);
    assert_int_equal(links_waiting_bytes(&links, peer->link), 0);
}

/* Whether the mapping at an address is left out of core dumps: VmFlags has dd. */
static bool is_undumped(const void *address)
{
    FILE *file = fopen("/proc/self/smaps", "re");
    char line[512];
    bool is_here = false;
    bool is_marked = false;
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        uintptr_t from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2) {
            is_here = (uintptr_t)address >= from && (uintptr_t)address < to;
        } else if (is_here && strncmp(line, "VmFlags:", 8) == 0) {
            is_marked = strstr(line, " dd") != NULL;
        }
    }
    fclose(file);
    return is_marked;
}

static void keys_are_in_no_core_dump(void **state)
{
    (void)state;
    open_peer(0, 4096);
    assert_true(is_undumped(links.tls));
    assert_true(is_undumped(links.arena));
    assert_false(is_undumped(links.links));
}

static void without_tls_nothing_is_mapped_for_it(void **state)
{
    (void)state;
    assert_int_equal(open_links(NULL), 0);
    assert_null(links.tls);
    assert_null(links.arena);
    assert_null(links.ciphers);
    links_close(&links);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_byte_arrives_wherever_two_sends_are_cut),
        TEST(each_byte_arrives_in_any_course_of_short_sends_and_new_keys),
        TEST(a_batch_ends_when_the_arena_is_short),
        TEST(a_plan_longer_than_the_arena_leaves_in_parts),
        TEST(what_is_sealed_may_be_more_than_the_arena),
        TEST(keys_change_before_the_record_that_would_be_one_too_many),
        TEST(a_last_record_that_was_cut_blocks_a_link_although_all_counts_as_sent),
        TEST(the_handshake_leaves_in_the_clear_and_before_all_else),
        TEST(the_last_word_of_a_link_is_close_notify),
        TEST(a_link_that_closes_is_sent_nothing_while_it_is_blocked),
        TEST(who_has_no_keys_is_closed_without_close_notify),
        TEST(a_fatal_alert_follows_what_is_sealed_and_ends_the_link),
        TEST(a_record_whose_rest_finds_no_room_ends_its_link),
        TEST(a_record_that_cannot_be_sealed_ends_its_link_and_no_other),
        TEST(nothing_of_a_link_is_left_when_it_ends),
        TEST(keys_are_in_no_core_dump),
        cmocka_unit_test(without_tls_nothing_is_mapped_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
