/* TLS handshakes as a core sees them: jobs, links that wait, PROXY headers, deadlines, ends. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ring/link/deadlines.h"
#include "ring/link/turn_away.h"
#include "tests/tls_link_client.h"

#define COUNT(name) counter_get(&idle_core.counters.name)

static void assert_sealed(const struct link *link, const char *bytes)
{
    uint8_t sealed[256];
    size_t count = tls_link_sealed(link, sealed, sizeof sealed);
    assert_int_equal(count, strlen(bytes));
    assert_memory_equal(sealed, bytes, count);
}

static void assert_all_jobs_are_free(void)
{
    assert_true(securing_is_idle(tls_link.links));
    assert_int_equal(tls_link.submitted_count, 0);
    assert_int_equal(COUNT(tls_running), 0);
    assert_int_equal(COUNT(tls_waiting), 0);
}

/* What core_turn() does for links that have ended. */
static void bury(void)
{
    core_read_clock(tls_link.core);
    core_bury(tls_link.core);
}

/* A link's operations are cancelled when it ends. */
static void cancel_receive(struct link *link)
{
    if (link->recv_armed) {
        tls_link_complete(link, -ECANCELED, 0);
    }
    link_on_operation_ended(tls_link.links, link);
}

static void pass_time(uint64_t ns)
{
    idle_core.now_ns += ns;
    core_read_clock(tls_link.core);
}

/* ---- The way to the keys ---- */

static void a_client_that_says_nothing_takes_no_job(void **state)
{
    (void)state;
    struct link *link = tls_link_accept();
    assert_int_equal(link->stage, LINK_SECURING);
    assert_true(link->recv_armed);
    assert_all_jobs_are_free();
    tls_link_complete(link, -ECONNRESET, 0);
    bury();
    cancel_receive(link);
    assert_int_equal(link->stage, LINK_FREE);
    assert_int_equal(COUNT(opening_left), 1);
    assert_int_equal(COUNT(tls_left), 0);
}

static void flights_go_to_the_job_and_its_answers_out_as_they_are(void **state)
{
    (void)state;
    struct link *link = tls_link_accept();
    tls_link_hello(link);
    assert_int_equal(tls_link.submitted_count, 1);
    assert_false(link->recv_armed);
    assert_int_equal(COUNT(tls_running), 1);
    assert_memory_equal(tls_link.submitted[0]->in, "\x16hello", 6);
    tls_link_return(TLS_WANTS_MORE, "server hello");
    tls_link_go_on();
    assert_sealed(link, "server hello");
    assert_true(link->recv_armed);
    tls_link_receive(link, "finished", 8);
    assert_int_equal(tls_link.submitted[0]->in_bytes, 8);
    assert_memory_equal(tls_link.submitted[0]->in, "finished", 8);
    tls_link_finish(tls_link_return(TLS_FINISHED, " ticket"), TLS_1_3, TLS_AES_128_GCM);
    tls_link_go_on();
    assert_sealed(link, "server hello ticket");
    assert_int_equal(link->stage, LINK_HANDSHAKING);
    assert_true(link->recv_armed);
    assert_all_jobs_are_free();
    assert_int_equal(COUNT(tls_full), 1);
    assert_int_equal(COUNT(tls_13), 1);
    assert_int_equal(COUNT(bytes_in), 14);
    assert_int_equal(COUNT(tls_handshake.sum_ns), 300 * NS_PER_US);
    link_doom(tls_link.links, link, 0, "test");
    bury();
    assert_int_equal(COUNT(tls_13), 0);
}

static void a_request_behind_the_handshake_is_answered_without_a_receive(void **state)
{
    (void)state;
    struct link *link = tls_link_accept();
    tls_link_hello(link);
    struct tls_job *job = tls_link_return(TLS_FINISHED, "");
    tls_link_finish(job, TLS_1_3, TLS_AES_256_GCM);
    job->rest_bytes = (uint32_t)tls_link_seal(job->rest, TLS_APPLICATION_DATA, tls_link_request,
                                              sizeof tls_link_request - 1);
    uint8_t message[16];
    size_t count = tls_link_message(message, "hi", 2);
    job->rest_bytes +=
        (uint32_t)tls_link_seal(job->rest + job->rest_bytes, TLS_APPLICATION_DATA, message, count);
    tls_link_go_on();
    assert_int_equal(link->stage, LINK_STREAMING);
    assert_string_equal(tls_link.server_name, "md.example");
    assert_null(links_tls(tls_link.links, link)->peer);
    assert_int_equal(tls_link.messages_bytes, 2);
    assert_int_equal(COUNT(tls_records_in), 2);
    assert_true(link->recv_armed);
}

static bool has_secret(const void *memory, size_t bytes)
{
    static const uint8_t secret[32] = {[0 ... 31] = TLS_LINK_SECRET_BYTE};
    return memmem(memory, bytes, secret, sizeof secret) != NULL;
}

static void a_job_keeps_no_keys_and_a_link_that_ended_neither(void **state)
{
    (void)state;
    struct link *link = tls_link_stream(TLS_1_3, TLS_AES_256_GCM);
    struct link_tls *tls = links_tls(tls_link.links, link);
    assert_true(has_secret(tls, sizeof *tls));
    struct tls_keys keys = tls->tx;
    assert_false(has_secret(tls_link.links->tls_jobs, sizeof *tls_link.links->tls_jobs));
    link_doom(tls_link.links, link, 0, "test");
    bury();
    assert_false(has_secret(tls_link.links->tls, TLS_LINK_CLIENTS * sizeof *tls));
    assert_null(memmem(tls_link.links->tls, TLS_LINK_CLIENTS * sizeof *tls, keys.key, 32));
}

/* ---- What is refused ---- */

static void who_speaks_http_on_a_tls_port_gets_a_plain_400(void **state)
{
    (void)state;
    uint8_t answer[512] = {0};
    struct link *link = tls_link_accept();
    tls_link_speak(link);
    tls_link_receive(link, "GET / HTTP/1.1\r\n", 16);
    assert_int_equal(link->stage, LINK_CLOSING);
    out_chain_copy(&tls_link.links->out_pool, &link->out, answer, sizeof answer - 1);
    assert_non_null(strstr((char *)answer, "HTTP/1.1 400 "));
    assert_non_null(strstr((char *)answer, "this port speaks TLS: use wss://"));
    assert_int_equal(COUNT(tls_not_tls), 1);
    assert_all_jobs_are_free();
    assert_true(link->recv_armed);
    tls_link_receive(link, "Host: x\r\n\r\n", 11); /* Read and forgotten. */
    assert_int_equal(link->stage, LINK_CLOSING);
}

static void who_speaks_tls_on_a_plain_port_gets_a_400(void **state)
{
    (void)state;
    uint8_t answer[512] = {0};
    struct link *link = tls_link_accept_fd(BENCH_NULL_FD_FIRST, OPENING_TCP);
    tls_link_receive(link, "\x16\x03\x01", 3);
    assert_int_equal(link->stage, LINK_CLOSING);
    out_chain_copy(&tls_link.links->out_pool, &link->out, answer, sizeof answer - 1);
    assert_non_null(strstr((char *)answer, "HTTP/1.1 400 "));
    assert_non_null(strstr((char *)answer, "this port speaks ws://, not TLS"));
}

static void a_handshake_that_fails_sends_its_alert_and_is_counted_by_reason(void **state)
{
    (void)state;
    static const enum tls_failure failures[] = {TLS_FAILURE_PROTOCOL, TLS_FAILURE_CERTIFICATE,
                                                TLS_FAILURE_ALERT, TLS_FAILURE_INTERNAL};
    for (uint32_t i = 0; i < 4; i++) {
        struct link *link = tls_link_accept();
        tls_link_hello(link);
        struct tls_job *job = tls_link_return(TLS_FAILED, "alert");
        job->failure = failures[i];
        job->text = "no";
        tls_link_go_on();
        assert_int_equal(link->stage, LINK_CLOSING);
        assert_sealed(link, "alert");
        assert_true(link->recv_armed);
        assert_all_jobs_are_free();
    }
    assert_int_equal(COUNT(tls_protocol), 1);
    assert_int_equal(COUNT(tls_certificate), 1);
    assert_int_equal(COUNT(tls_alert), 1);
    assert_int_equal(COUNT(tls_internal), 1);
}

static void who_may_not_come_in_gets_an_alert_in_the_clear(void **state)
{
    (void)state;
    static const struct {
        const char *refusal;
        uint8_t alert;
    } rows[] = {{"403 Forbidden", TLS_ALERT_ACCESS_DENIED},
                {"429 Too Many Requests", TLS_ALERT_ACCESS_DENIED},
                {"503 Service Unavailable", TLS_ALERT_INTERNAL_ERROR}};
    for (uint32_t i = 0; i < 3; i++) {
        int fds[2];
        uint8_t got[64];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        tls_link.admission = CORE_REFUSE;
        tls_link.refusal = rows[i].refusal;
        assert_true(opening_begin(tls_link.links, fds[0], OPENING_TLS, 0));
        const uint8_t alert[] = {21, 3, 3, 0, 2, 2, rows[i].alert};
        assert_int_equal(recv(fds[1], got, sizeof got, 0), sizeof alert);
        assert_memory_equal(got, alert, sizeof alert);
        assert_int_equal(recv(fds[1], got, sizeof got, 0), 0);
        close(fds[1]);
    }
}

static void who_finds_no_place_gets_internal_error(void **state)
{
    (void)state;
    int fds[2];
    uint8_t got[64];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    opening_turn_away(tls_link.links, fds[0], OPENING_TLS);
    assert_int_equal(recv(fds[1], got, sizeof got, 0), TURN_AWAY_ALERT_BYTES);
    assert_int_equal(got[6], TLS_ALERT_INTERNAL_ERROR);
    assert_int_equal(COUNT(refused_busy), 1);
    close(fds[1]);
}

static void too_many_bytes_end_a_handshake(void **state)
{
    (void)state;
    uint8_t bytes[TLS_JOB_IN_BYTES];
    memset(bytes, 0x16, sizeof bytes);
    struct link *link = tls_link_accept();
    tls_link_speak(link);
    for (uint32_t sent = 0; sent < SECURING_BYTES_MAX; sent += sizeof bytes) {
        assert_int_equal(link->stage, LINK_SECURING);
        tls_link_receive(link, bytes, sizeof bytes);
        tls_link_return(TLS_WANTS_MORE, "");
        tls_link_go_on();
    }
    tls_link_receive(link, bytes, 1);
    assert_int_equal(link->stage, LINK_DOOMED);
    assert_int_equal(COUNT(tls_protocol), 1);
}

/* ---- PROXY headers ---- */

static const char proxied[] = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n";

/* The header and the ClientHello in these two pieces. */
static void check_proxy_in_pieces(size_t split)
{
    char bytes[128];
    size_t header_bytes = sizeof proxied - 1;
    memcpy(bytes, proxied, header_bytes);
    memcpy(bytes + header_bytes, "\x16hello", 6);
    size_t count = header_bytes + 6;
    struct link *link = tls_link_accept();
    tls_link_speak(link);
    tls_link_receive(link, bytes, split);
    if (split <= header_bytes) {
        assert_int_equal(tls_link.submitted_count, 0);
        tls_link_receive(link, bytes + split, count - split);
    }
    assert_int_equal(tls_link.submitted_count, 1);
    size_t passed = split <= header_bytes ? 6 : split - header_bytes;
    assert_int_equal(tls_link.submitted[0]->in_bytes, passed);
    assert_memory_equal(tls_link.submitted[0]->in, "\x16hello", passed);
    tls_link_finish(tls_link_return(TLS_FINISHED, ""), TLS_1_3, TLS_CHACHA20_POLY1305);
    tls_link_go_on();
    tls_link.has_source = false;
    tls_link_send(link, TLS_APPLICATION_DATA, tls_link_request, sizeof tls_link_request - 1);
    assert_int_equal(link->stage, LINK_STREAMING);
    assert_true(tls_link.has_source);
    assert_int_equal(tls_link.source.port, 4711);
}

static void a_proxy_header_comes_first_in_the_clear_however_it_is_split(void **state)
{
    (void)state;
    tls_link.admission = CORE_ADMIT_PROXY;
    for (size_t split = 1; split <= sizeof proxied - 1 + 6; split++) {
        check_proxy_in_pieces(split);
    }
}

static void a_link_without_proxy_header_has_no_source_of_an_earlier_one(void **state)
{
    (void)state;
    tls_link.admission = CORE_ADMIT_PROXY;
    check_proxy_in_pieces(10);
    link_doom(tls_link.links, &tls_link.links->links[0], 0, "test");
    bury();
    cancel_receive(&tls_link.links->links[0]);
    tls_link.admission = CORE_ADMIT;
    (void)tls_link_stream(TLS_1_3, TLS_AES_128_GCM);
    assert_false(tls_link.has_source);
}

static void without_its_proxy_header_a_tls_client_gets_an_alert_and_others_a_400(void **state)
{
    (void)state;
    uint8_t sealed[16];
    tls_link.admission = CORE_ADMIT_PROXY;
    struct link *link = tls_link_accept();
    tls_link_speak(link);
    tls_link_receive(link, "\x16\x03\x01", 3);
    assert_int_equal(link->stage, LINK_CLOSING);
    assert_int_equal(tls_link_sealed(link, sealed, sizeof sealed), TURN_AWAY_ALERT_BYTES);
    assert_int_equal(sealed[6], TLS_ALERT_ACCESS_DENIED);
    bury();
    assert_all_jobs_are_free();
    link = tls_link_accept();
    tls_link_speak(link);
    tls_link_receive(link, "GET / HTTP/1.1\r\n", 16);
    assert_int_equal(link->stage, LINK_CLOSING);
    assert_true(link->out.bytes > 0);
    assert_all_jobs_are_free();
    assert_int_equal(COUNT(tls_protocol), 2);
}

/* ---- Ends and deadlines ---- */

static void a_link_that_ends_waits_for_its_job_and_the_handshake_is_given_up(void **state)
{
    (void)state;
    struct link *link = tls_link_accept();
    tls_link_hello(link);
    link_doom(tls_link.links, link, 0, "test");
    bury();
    assert_int_equal(link->stage, LINK_DRAINING);
    tls_link_return(TLS_WANTS_MORE, "server hello");
    tls_link_go_on();
    assert_int_equal(link->stage, LINK_FREE);
    assert_int_equal(tls_link.over_count, 1);
    tls_link_return(TLS_WANTS_MORE, "");
    tls_link_go_on();
    assert_all_jobs_are_free();
}

static void keys_that_come_too_late_are_wiped(void **state)
{
    (void)state;
    struct link *link = tls_link_accept();
    tls_link_hello(link);
    link_doom(tls_link.links, link, 0, "test");
    tls_link_finish(tls_link_return(TLS_FINISHED, "ticket"), TLS_1_2, TLS_AES_256_GCM);
    tls_link_go_on(); /* Doomed, and not buried. */
    bury();
    assert_int_equal(link->stage, LINK_FREE);
    assert_all_jobs_are_free();
    assert_false(has_secret(tls_link.links->tls_jobs, sizeof *tls_link.links->tls_jobs));
    assert_int_equal(COUNT(tls_12), 0);
}

static void who_leaves_in_the_middle_is_counted_and_the_handshake_given_up(void **state)
{
    (void)state;
    struct link *link = tls_link_accept();
    tls_link_hello(link);
    tls_link_return(TLS_WANTS_MORE, "server hello");
    tls_link_go_on();
    tls_link_complete(link, 0, 0);
    assert_int_equal(link->stage, LINK_DOOMED);
    bury();
    assert_int_equal(link->stage, LINK_FREE);
    assert_int_equal(COUNT(tls_left), 1);
    assert_int_equal(COUNT(opening_left), 0);
    assert_int_equal(tls_link.over_count, 1);
    tls_link_return(TLS_WANTS_MORE, "");
    tls_link_go_on();
    assert_all_jobs_are_free();
}

static void a_handshake_has_ten_seconds_and_the_request_five_from_then(void **state)
{
    (void)state;
    struct link *late = tls_link_accept();
    struct link *link = tls_link_accept();
    tls_link_hello(late);
    tls_link_hello(link);
    pass_time(9 * NS_PER_SECOND);
    deadlines_on_timer(tls_link.links, links_index(tls_link.links, late));
    assert_int_equal(late->stage, LINK_SECURING);
    tls_link_return(TLS_WANTS_MORE, "");
    tls_link_finish(tls_link_return(TLS_FINISHED, ""), TLS_1_3, TLS_AES_128_GCM);
    tls_link_go_on();
    pass_time(1002 * NS_PER_MS);
    deadlines_on_timer(tls_link.links, links_index(tls_link.links, late));
    assert_int_equal(late->stage, LINK_DOOMED);
    assert_int_equal(COUNT(tls_late), 1);
    pass_time(3900 * NS_PER_MS);
    deadlines_on_timer(tls_link.links, links_index(tls_link.links, link));
    assert_int_equal(link->stage, LINK_HANDSHAKING);
    pass_time(200 * NS_PER_MS);
    deadlines_on_timer(tls_link.links, links_index(tls_link.links, link));
    assert_int_equal(link->stage, LINK_DOOMED);
    assert_int_equal(COUNT(refused_late), 1);
}

static void a_receive_that_found_no_buffer_is_tried_again(void **state)
{
    (void)state;
    struct link *link = tls_link_accept();
    tls_link_speak(link);
    tls_link_complete(link, -ENOBUFS, 0);
    assert_int_equal(link->stage, LINK_SECURING);
    assert_true(link->recv_armed);
    assert_int_equal(COUNT(recv_no_buffer), 1);
}

/* ---- More than there are jobs for ---- */

static struct link *take_all_jobs(void)
{
    struct link *first = tls_link_accept();
    tls_link_speak(first);
    for (uint32_t i = 1; i < TLS_HANDSHAKES_MAX; i++) {
        tls_link_speak(tls_link_accept());
    }
    assert_int_equal(COUNT(tls_running), TLS_HANDSHAKES_MAX);
    return first;
}

static void who_finds_no_job_waits_unread_in_order(void **state)
{
    (void)state;
    struct link *busy = take_all_jobs();
    struct link *leaver = tls_link_accept();
    struct link *second = tls_link_accept();
    struct link *third = tls_link_accept();
    tls_link_speak(leaver);
    tls_link_speak(second);
    tls_link_speak(third);
    assert_false(second->recv_armed);
    assert_int_equal(COUNT(tls_waiting), 3);
    tls_link_go_on();
    assert_int_equal(COUNT(tls_waiting), 3);
    link_doom(tls_link.links, leaver, 0, "test");
    bury();
    assert_int_equal(COUNT(tls_waiting), 2);
    tls_link_complete(busy, 0, 0);
    bury();
    tls_link_go_on();
    assert_int_equal(COUNT(tls_waiting), 1);
    assert_true(second->recv_armed);
    assert_false(third->recv_armed);
}

static void while_others_wait_the_oldest_silent_handshakes_give_way(void **state)
{
    (void)state;
    struct link *oldest = take_all_jobs();
    struct link *waiter = tls_link_accept();
    tls_link_receive(oldest, "\x16hello", 6); /* Its job runs: it is not the client that is slow. */
    tls_link_speak(waiter);
    pass_time(SECURING_GIVE_WAY_NS - 1);
    tls_link_go_on();
    assert_int_equal(COUNT(tls_late), 0);
    pass_time(1);
    tls_link_go_on();
    assert_int_equal(oldest->stage, LINK_SECURING);
    assert_int_equal(COUNT(tls_late), 1);
    bury();
    tls_link_go_on();
    assert_true(waiter->recv_armed);
    assert_int_equal(COUNT(tls_late), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, tls_link_set_up, tls_link_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_client_that_says_nothing_takes_no_job),
        TEST(flights_go_to_the_job_and_its_answers_out_as_they_are),
        TEST(a_request_behind_the_handshake_is_answered_without_a_receive),
        TEST(a_job_keeps_no_keys_and_a_link_that_ended_neither),
        TEST(who_speaks_http_on_a_tls_port_gets_a_plain_400),
        TEST(who_speaks_tls_on_a_plain_port_gets_a_400),
        TEST(a_handshake_that_fails_sends_its_alert_and_is_counted_by_reason),
        TEST(who_may_not_come_in_gets_an_alert_in_the_clear),
        TEST(who_finds_no_place_gets_internal_error),
        TEST(too_many_bytes_end_a_handshake),
        TEST(a_proxy_header_comes_first_in_the_clear_however_it_is_split),
        TEST(a_link_without_proxy_header_has_no_source_of_an_earlier_one),
        TEST(without_its_proxy_header_a_tls_client_gets_an_alert_and_others_a_400),
        TEST(a_link_that_ends_waits_for_its_job_and_the_handshake_is_given_up),
        TEST(keys_that_come_too_late_are_wiped),
        TEST(who_leaves_in_the_middle_is_counted_and_the_handshake_given_up),
        TEST(a_handshake_has_ten_seconds_and_the_request_five_from_then),
        TEST(a_receive_that_found_no_buffer_is_tried_again),
        TEST(who_finds_no_job_waits_unread_in_order),
        TEST(while_others_wait_the_oldest_silent_handshakes_give_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
