/* Links that end while what all share is used up. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <stdio.h>
#include <string.h>

#include "bench/bench_null_engine.h"
#include "codec/base/units.h"
#include "ring/link/input.h"
#include "ring/link/link.h"
#include "ring/link/links.h"
#include "ring/link/opening.h"
#include "ring/link/receiver.h"

#define LINKS (LINKS_INPUTS_MAX + 2)

static struct links links;
static struct core_counters counters;
static _Atomic uint32_t open_count;
static _Atomic uint32_t place_count;

static void on_clock(void *context, struct core_time *time_out)
{
    (void)context;
    *time_out = (struct core_time){.now_ns = NS_PER_SECOND, .wall_ns = NS_PER_SECOND};
}

static void on_log(void *context, struct core *core, int level, const char *text)
{
    (void)context, (void)core, (void)level, (void)text;
}

static int set_up(void **state)
{
    static const struct handshake_site site = {.path_count = 0};
    static const struct core_document document = {.path = NULL};
    static const struct core_ops ops = {.log = on_log};
    char error[ENGINE_ERROR_BYTES_MAX];
    const struct links_options options = {
        .link_count = LINKS,
        .encoding_count = 1,
        .place_count_max = LINKS,
        .message_bytes_max = LINK_HEAD_BYTES_MAX,
        .out_pool_bytes = OUT_POOL_BYTES_TOUCHED,
        .site = &site,
        .document = &document,
        .conn_count = &open_count,
        .place_count = &place_count,
        .counters = &counters,
        .ops = &ops,
        .clock = on_clock,
        .open_engine = bench_null_engine_open,
    };
    (void)state;
    memset(&counters, 0, sizeof counters);
    bench_null_engine_expect(0, 0);
    return links_open(&links, &options, error);
}

static int tear_down(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < LINKS; i++) {
        links.links[i].stage = LINK_FREE; /* Their descriptors are none. */
    }
    links_close(&links);
    return 0;
}

static struct link *open_link(void)
{
    uint32_t index = links.free_first;
    assert_true(opening_begin(&links, BENCH_NULL_FD_FIRST + (int)index, OPENING_TCP, 0));
    return links_at(&links, index);
}

static void receive(struct link *link, const char *text)
{
    struct io_uring_cqe cqe = {
        .res = (int)strlen(text),
        .flags = IORING_CQE_F_MORE | IORING_CQE_F_BUFFER,
    };
    memcpy(links.engine.recv_buffers, text, strlen(text));
    receiver_on_recv(&links, link, &cqe);
}

static void a_half_request_that_makes_room_does_not_cut_last_words(void **state)
{
    struct link *refused = open_link();
    struct link *oldest = open_link();
    (void)state;
    receive(refused, "GET / HT");
    receive(oldest, "GET / HT");
    for (uint32_t i = 2; i < LINKS_INPUTS_MAX; i++) {
        receive(open_link(), "GET / HT");
    }
    receive(refused, "\r\n\r\n");
    assert_int_equal(refused->stage, LINK_CLOSING);
    receive(open_link(), "GET / HT");
    assert_int_equal(refused->stage, LINK_CLOSING);
    assert_true(refused->out.bytes > 0);
    assert_int_equal(oldest->stage, LINK_HANDSHAKING);
    receive(open_link(), "GET / HT");
    assert_int_equal(oldest->stage, LINK_DOOMED);
}

static void who_is_closed_while_the_pool_is_empty_is_counted_once(void **state)
{
    struct link *other = open_link();
    struct link *link = open_link();
    (void)state;
    link_enter(&links, link, LINK_STREAMING);
    while (out_chain_append(&links.out_pool, &other->out, "x", 1) == 0) {
    }
    link_close(&links, link, 4114, "idle", "idle");
    assert_int_equal(link->stage, LINK_DOOMED);
    assert_int_equal(link->close_code, 4114);
    assert_int_equal(counter_get(&counters.closed_slow), 0);
    link_enter(&links, other, LINK_STREAMING);
    link_queue(&links, other, "x", 1);
    assert_int_equal(other->stage, LINK_DOOMED);
    assert_int_equal(other->close_code, 4108);
    assert_int_equal(counter_get(&counters.closed_slow), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_half_request_that_makes_room_does_not_cut_last_words,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_is_closed_while_the_pool_is_empty_is_counted_once,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
