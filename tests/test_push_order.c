/* Which encoding's clients get a tick first, and up to which tick they get all in one turn. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <string.h>

#include "tests/idle_core.h"

#define ENCODINGS (CORE_ENCODING_JSON_DEFLATE + 1)
#define CLIENTS ENCODINGS /* one of each encoding, in that order */
#define ROUNDS 4
#define FRAME_BYTES 100
#define SENDS_MAX 16

struct sent {
    uint32_t encoding;
    uint32_t frames;
};

static struct {
    uint32_t opened;
    uint32_t turns; /* since all clients are open */
    bool is_over;
    uint32_t publish_in_send_of; /* While a frame of this encoding is sent, another is published. */
    struct sent sent[SENDS_MAX]; /* since turn 1 */
    uint32_t sent_count;
} world;

static void publish_one_to_all(void)
{
    for (uint32_t i = ENCODINGS; i > 0; i--) { /* JSON last, as the writer does it */
        idle_core_publish(i - 1, 0, FRAME_FULL_IMAGE, FRAME_BYTES);
    }
}

static int on_enter(struct engine *engine, uint64_t timeout_ns)
{
    const struct io_uring_sq *sq = &engine->ring.sq;
    bool publishes = false;
    for (unsigned at = bench_null.sq_head; at != sq->sqe_tail; at++) {
        const struct io_uring_sqe *sqe = &sq->sqes[at & sq->ring_mask];
        if (sqe->opcode == IORING_OP_SEND && world.turns > 0 && !world.is_over) {
            uint32_t encoding = (uint32_t)sqe->fd - BENCH_NULL_FD_FIRST;
            assert_in_range(world.sent_count, 0, SENDS_MAX - 1);
            world.sent[world.sent_count++] = (struct sent){encoding, sqe->len / FRAME_BYTES};
            publishes |= encoding == world.publish_in_send_of;
        }
    }
    if (publishes) {
        world.publish_in_send_of = ENCODINGS;
        publish_one_to_all();
    }
    idle_core.now_ns += NS_PER_US;
    return bench_null_connect_enter(engine, timeout_ns);
}

/* The next client asks for the next encoding. */
static void on_open(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    static const char *const names[] = {"second", "third", "none"};
    struct handshake_wish wish = {.protocol = names[world.opened]};
    struct core_subscription wanted = {.policy = LAG_SKIP};
    (void)context, (void)now_ns;
    assert_int_equal(core_conn_encoding(core, conn), world.opened);
    assert_int_equal(core_subscribe(core, conn, &wanted), 0);
    world.opened++;
    bench_null.client_count = world.opened < CLIENTS ? world.opened + 1 : CLIENTS;
    bench_null.request_bytes =
        handshake_client_request(bench_null.request, sizeof bench_null.request, "bench", "/",
                                 "dGhlIHNhbXBsZSBub25jZQ==", &wish);
}

/* After the core has sent what there was. */
static void on_turn(void *context, struct core *core, uint64_t now_ns)
{
    (void)context, (void)now_ns;
    if (world.opened < CLIENTS || core->links.ready.count > 0 || world.is_over) {
        return;
    }
    world.turns++;
    if (world.turns <= ROUNDS) {
        publish_one_to_all();
    } else if (world.turns > ROUNDS + 1) {
        world.is_over = true;
        core_stop(core);
    }
}

static const struct core_ops ops = {
    .on_open = on_open,
    .on_close = idle_on_close,
    .on_quiet = idle_on_quiet,
    .on_channel = idle_on_channel,
    .on_turn = on_turn,
    .channel_count = idle_one_channel,
    .log = idle_log,
};

static void run_core(uint32_t publish_in_send_of)
{
    static const struct handshake_protocol protocols[] = {
        {"first", 0, 0}, {"second", 1, 1}, {"third", 2, 2}};
    struct core_options options = idle_core_begin(CLIENTS, ENCODINGS, NULL);
    memset(&world, 0, sizeof world);
    world.publish_in_send_of = publish_in_send_of;
    bench_null.client_count = 1;
    idle_core.encodings[CORE_ENCODING_JSON_DEFLATE].takes_json = true;
    for (uint32_t i = 0; i < ENCODINGS; i++) {
        atomic_store(&idle_core.encodings[i].run, 1);
    }
    idle_core.enter = on_enter;
    options.site.protocols = protocols;
    options.site.protocol_count = ENCODINGS;
    options.ops = &ops;
    idle_core_run(&options);
    assert_true(world.is_over);
}

static void sbe_leaves_first_and_the_two_of_json_take_turns_behind_it(void **state)
{
    (void)state;
    run_core(ENCODINGS);
    assert_int_equal(world.sent_count, ROUNDS * ENCODINGS);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        const struct sent *sent = &world.sent[round * ENCODINGS];
        assert_int_equal(sent[0].encoding, CORE_ENCODING_SBE);
        assert_int_not_equal(sent[1].encoding, CORE_ENCODING_SBE);
        assert_int_not_equal(sent[1].encoding, sent[2].encoding);
        assert_int_equal(sent[0].frames + sent[1].frames + sent[2].frames, ENCODINGS);
        if (round > 0) {
            assert_int_not_equal(sent[1].encoding, sent[1 - ENCODINGS].encoding);
        }
    }
}

/* A tick that comes while SBE is being sent is in no other encoding's send of that turn. */
static void no_encoding_gets_a_tick_in_an_earlier_turn_than_sbe(void **state)
{
    (void)state;
    run_core(CORE_ENCODING_SBE);
    uint32_t frames[ENCODINGS] = {0};
    for (uint32_t i = 0; i < world.sent_count; i++) {
        frames[world.sent[i].encoding] += world.sent[i].frames;
        assert_true(frames[world.sent[i].encoding] <= frames[CORE_ENCODING_SBE]);
    }
    for (uint32_t i = 0; i < ENCODINGS; i++) {
        assert_int_equal(frames[i], ROUNDS + 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sbe_leaves_first_and_the_two_of_json_take_turns_behind_it),
        cmocka_unit_test(no_encoding_gets_a_tick_in_an_earlier_turn_than_sbe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
