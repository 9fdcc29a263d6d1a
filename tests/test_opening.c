/* Requests that wait for their grant or their encoding, or find no room for it: many of them, on a
 * core of its own. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <string.h>

#include "ring/link/opening.h"
#include "tests/idle_core.h"

#define CLIENTS 600 /* more than twice as many as there are inputs */
#define QUIET_NS (60 * NS_PER_MS)

static struct {
    uint64_t all_asked_ns; /* when the last request had come */
    uint32_t quiet_enters; /* since then, until the encoding began */
    uint64_t began_ns;     /* when the encoding began */
    uint32_t opened;       /* conns told by on_open, */
    uint32_t plain;        /* of them, served in the first encoding */
    uint32_t inflated;     /* of them, with permessage-deflate */
    uint32_t turns_until_opened;
    uint32_t closed;         /* and by on_close */
    uint64_t waiters_at_end; /* of a run in which nobody is served */
    bool begins;
    uint64_t stop_ns;      /* how long the core stands still behind the first accept */
    uint32_t silent_count; /* times the kernel is entered then before it has the requests */
    uint64_t again_ns;     /* how long it stands still again at each of those times */
} world;

static void begin_encoding(void)
{
    world.began_ns = idle_core.now_ns;
    atomic_store(&idle_core.encodings[1].run, 1);
}

/* A kernel in which time passes as the core waits. The encoding begins while it does. */
static int on_enter(struct engine *engine, uint64_t timeout_ns)
{
    bool all_have_asked = bench_null.requested_count == CLIENTS;
    int error = bench_null_connect_enter(engine, timeout_ns);
    idle_core.now_ns += timeout_ns > 0 ? timeout_ns : NS_PER_US;
    if (!all_have_asked) {
        world.all_asked_ns = idle_core.now_ns;
    } else if (world.began_ns > 0) {
        return error;
    } else if (world.begins && idle_core.now_ns >= world.all_asked_ns + QUIET_NS) {
        begin_encoding();
    } else {
        world.quiet_enters++;
    }
    return error;
}

static void on_open(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    (void)context, (void)now_ns;
    bool is_plain = core_conn_encoding(core, conn) == 0;
    assert_true(world.began_ns > 0 || is_plain);
    world.plain += is_plain;
    world.inflated += core_link(core, conn)->inflates;
    world.opened++;
}

static struct ws_deflate_terms on_offers(void *context, struct core *core, uint32_t conn,
                                         const struct ws_deflate_offers *offers)
{
    static const struct ws_deflate_policy policy = {.no_takeover = true};
    (void)context, (void)core, (void)conn;
    return ws_extensions_negotiate(offers, &policy);
}

static void on_close(void *context, struct core *core, uint32_t conn,
                     const struct core_conn_end *end)
{
    (void)context, (void)core, (void)conn;
    world.closed += end->close_code != 1001;
}

/* Ends the run: all are served, or it is too late. */
static void on_turn(void *context, struct core *core, uint64_t now_ns)
{
    (void)context;
    bool is_late = world.all_asked_ns > 0 && now_ns > world.all_asked_ns + 8 * NS_PER_SECOND;
    world.turns_until_opened += world.began_ns > 0 && world.opened < CLIENTS;
    bool all_are_refused = counter_get(&idle_core.counters.refused_busy) == CLIENTS;
    if (is_late || all_are_refused || counter_get(&idle_core.counters.messages_in) == CLIENTS) {
        world.waiters_at_end = core_claims_count(&idle_core.claims, 1);
        core_stop(core);
    }
}

/* ---- Grants that follow later ---- */

/* Requests are decided one in a turn; every third is refused. */
static struct {
    uint32_t asked[CLIENTS]; /* conns, in the order in which they asked, */
    uint32_t asked_count;    /* each once with its request, */
    uint32_t decided_count;  /* and again until it was decided */
    uint32_t left;           /* that may be decided in this turn */
    bool never;
} grants;

static enum core_grant on_request(void *context, struct core *core, uint32_t conn, uint64_t now_ns,
                                  const struct core_request *request,
                                  struct core_refusal *refusal_out)
{
    (void)context, (void)core, (void)now_ns;
    if (request != NULL) {
        grants.asked[grants.asked_count++] = conn;
        return CORE_LATER;
    }
    if (grants.never || grants.left == 0) {
        return CORE_LATER;
    }
    assert_int_equal(conn, grants.asked[grants.decided_count]);
    grants.left--;
    *refusal_out = (struct core_refusal){.status_line = "401 Unauthorized", .text = "no"};
    return grants.decided_count++ % 3 == 2 ? CORE_REFUSED : CORE_GRANTED;
}

static void on_grants_turn(void *context, struct core *core, uint64_t now_ns)
{
    (void)context;
    bool is_late = grants.asked_count == CLIENTS && now_ns > world.all_asked_ns + 8 * NS_PER_SECOND;
    grants.left = 1;
    idle_core.now_ns += grants.never ? NS_PER_MS : 0;
    if (is_late || counter_get(&idle_core.counters.messages_in) == CLIENTS - CLIENTS / 3) {
        core_stop(core);
    }
}

static const struct core_ops ops = {
    .on_offers = on_offers,
    .on_open = on_open,
    .on_close = on_close,
    .on_quiet = idle_on_quiet,
    .on_channel = idle_on_channel,
    .on_turn = on_turn,
    .channel_count = idle_one_channel,
    .log = idle_log,
};

/* All clients ask for the second encoding, which is not written; whether it will be, begins says.
 */
static void run_core(bool begins)
{
    static const struct handshake_protocol protocols[] = {{"second", 1, 1}};
    static const uint8_t ping[] = {0x89, 0x80, 0, 0, 0, 0};
    struct core_options options = idle_core_begin(CLIENTS, 2, NULL);
    memset(&world, 0, sizeof world);
    world.begins = begins;
    memcpy(bench_null.request + bench_null.request_bytes, ping, sizeof ping);
    bench_null.request_bytes += sizeof ping;
    idle_core.enter = on_enter;
    options.site.protocols = protocols;
    options.site.protocol_count = 1;
    options.ops = &ops;
    idle_core_run(&options);
}

static void all_who_wait_for_an_encoding_are_served_when_it_begins(void **state)
{
    (void)state;
    run_core(true);
    assert_int_equal(world.opened, CLIENTS);
    assert_int_equal(world.closed, 0);
    /* What each sent behind its request was not lost. */
    assert_int_equal(counter_get(&idle_core.counters.messages_in), CLIENTS);
}

static void they_cost_no_turns_while_they_wait_and_are_served_at_once(void **state)
{
    (void)state;
    run_core(true);
    assert_true(world.quiet_enters <= 3);
    assert_int_equal(world.turns_until_opened, CLIENTS / OPENING_STARTS_PER_TURN + 1);
}

static void who_waits_longer_than_five_seconds_is_let_go(void **state)
{
    (void)state;
    run_core(false);
    assert_int_equal(world.opened, 0);
    assert_int_equal(world.waiters_at_end, 0);
    assert_int_equal(counter_get(&idle_core.counters.refused_late), CLIENTS);
    assert_int_equal(counter_get(&idle_core.counters.opening_left), 0);
}

static void run_core_with_grants(bool never)
{
    static const uint8_t ping[] = {0x89, 0x80, 0, 0, 0, 0};
    static struct core_ops grant_ops;
    struct core_options options = idle_core_begin(CLIENTS, 1, NULL);
    memset(&world, 0, sizeof world);
    memset(&grants, 0, sizeof grants);
    grants.never = never;
    world.began_ns = 1;
    memcpy(bench_null.request + bench_null.request_bytes, ping, sizeof ping);
    bench_null.request_bytes += sizeof ping;
    idle_core.enter = on_enter;
    grant_ops = ops;
    grant_ops.on_request = on_request;
    grant_ops.on_turn = on_grants_turn;
    options.ops = &grant_ops;
    idle_core_run(&options);
    assert_int_equal(grants.asked_count, CLIENTS);
}

static void requests_are_decided_in_the_order_in_which_they_came(void **state)
{
    (void)state;
    run_core_with_grants(false);
    assert_int_equal(grants.decided_count, CLIENTS);
    assert_int_equal(world.opened, CLIENTS - CLIENTS / 3);
    /* What each sent behind its request was not lost, and of those refused it is not read. */
    assert_int_equal(counter_get(&idle_core.counters.messages_in), CLIENTS - CLIENTS / 3);
}

static void who_is_not_decided_within_five_seconds_is_let_go(void **state)
{
    (void)state;
    run_core_with_grants(true);
    assert_int_equal(world.opened, 0);
    assert_int_equal(atomic_load(&idle_core.place_count), 0);
}

/* ---- A core that stands still ---- */

/* Time passes between the completion at hand and the next turn. */
static enum core_admission on_accept(void *context, struct core *core, uint32_t conn,
                                     uint64_t now_ns, struct core_refusal *refusal_out)
{
    (void)context, (void)core, (void)conn, (void)now_ns, (void)refusal_out;
    idle_core.now_ns += world.stop_ns;
    world.stop_ns = 0;
    return CORE_ADMIT;
}

static int on_late_enter(struct engine *engine, uint64_t timeout_ns)
{
    bool is_silent = bench_null.accepted_count > 0 && world.silent_count > 0;
    world.silent_count -= is_silent;
    idle_core.now_ns += is_silent ? world.again_ns : 0;
    idle_core.now_ns += timeout_ns > 0 ? timeout_ns : NS_PER_US;
    world.all_asked_ns = idle_core.now_ns;
    return is_silent ? 0 : bench_null_connect_enter(engine, timeout_ns);
}

static void on_standing_turn(void *context, struct core *core, uint64_t now_ns)
{
    (void)context;
    uint64_t late_count = counter_get(&idle_core.counters.refused_late);
    if (world.opened + late_count == CLIENTS || now_ns > 60 * NS_PER_SECOND) {
        core_stop(core);
    }
}

/* silent_count: how often it enters the kernel until its buffers are free again, and it reads. */
static void run_core_that_stands_still(uint64_t stop_ns, uint32_t silent_count, uint64_t again_ns)
{
    struct core_ops standing = ops;
    struct core_options options = idle_core_begin(CLIENTS, 1, NULL);
    memset(&world, 0, sizeof world);
    world.began_ns = 1;
    world.stop_ns = stop_ns;
    world.silent_count = silent_count;
    world.again_ns = again_ns;
    standing.on_accept = on_accept;
    standing.on_turn = on_standing_turn;
    idle_core.enter = on_late_enter;
    options.ops = &standing;
    idle_core_run(&options);
}

static void requests_that_came_while_the_core_stood_still_are_read_first(void **state)
{
    (void)state;
    for (uint32_t silent_count = 0; silent_count <= 4; silent_count += 2) {
        run_core_that_stands_still(60 * NS_PER_MS, silent_count, 0);
        assert_int_equal(world.opened, CLIENTS);
        run_core_that_stands_still(10 * NS_PER_SECOND, silent_count, 0);
        assert_int_equal(world.opened, CLIENTS);
        assert_int_equal(counter_get(&idle_core.counters.refused_late), 0);
    }
}

static void a_core_that_stands_still_again_reads_what_came_first(void **state)
{
    (void)state;
    for (uint32_t silent_count = 1; silent_count <= 2; silent_count++) {
        run_core_that_stands_still(10 * NS_PER_SECOND, silent_count, 5 * NS_PER_SECOND);
        assert_int_equal(world.opened, CLIENTS);
        assert_int_equal(counter_get(&idle_core.counters.refused_late), 0);
    }
}

static void a_core_whose_turns_are_all_too_long_keeps_its_deadlines(void **state)
{
    (void)state;
    run_core_that_stands_still(10 * NS_PER_SECOND, 20, NS_PER_SECOND);
    assert_true(counter_get(&idle_core.counters.refused_late) > 0);
    assert_true(idle_core.now_ns < 40 * NS_PER_SECOND);
}

static void who_says_nothing_is_late_a_second_after_the_core_goes_on(void **state)
{
    (void)state;
    run_core_that_stands_still(10 * NS_PER_SECOND, 60, 0);
    assert_true(counter_get(&idle_core.counters.refused_late) > 0);
    assert_true(idle_core.now_ns < 20 * NS_PER_SECOND);
}

/* ---- Under pressure ---- */

/* S91: admission control. */
static void under_pressure_all_requests_are_refused_and_none_takes_a_place(void **state)
{
    (void)state;
    struct pressure pressure = {.refusal = "the server is short of something"};
    struct core_options options = idle_core_begin(CLIENTS, 1, NULL);
    memset(&world, 0, sizeof world);
    world.began_ns = 1;
    idle_core.enter = on_enter;
    options.ops = &ops;
    options.pressure = &pressure;
    idle_core_run(&options);
    assert_int_equal(world.opened, 0);
    assert_int_equal(counter_get(&idle_core.counters.refused_busy), CLIENTS);
    assert_int_equal(atomic_load(&idle_core.place_count), 0);
}

static void there_are_no_more_places_than_are_granted(void **state)
{
    (void)state;
    struct core_options options = idle_core_begin(CLIENTS, 1, NULL);
    memset(&world, 0, sizeof world);
    world.began_ns = 1;
    idle_core.enter = on_enter;
    options.ops = &ops;
    options.place_count_max = CLIENTS / 3;
    idle_core_run(&options);
    assert_int_equal(world.opened, CLIENTS / 3);
    assert_int_equal(counter_get(&idle_core.counters.refused_busy), CLIENTS - CLIENTS / 3);
}

/* ---- Without room for the second encoding ---- */

/* All clients have this wish. */
static void run_core_without_room(struct handshake_wish wish,
                                  const struct handshake_protocol *protocols, uint32_t count)
{
    static const uint8_t ping[] = {0x89, 0x80, 0, 0, 0, 0};
    struct core_options options = idle_core_begin(CLIENTS, 2, NULL);
    memset(&world, 0, sizeof world);
    idle_core.claims.open_max = 0;
    idle_core.enter = on_enter;
    bench_null.request_bytes =
        handshake_client_request(bench_null.request, sizeof bench_null.request, "test", "/",
                                 "dGhlIHNhbXBsZSBub25jZQ==", &wish);
    memcpy(bench_null.request + bench_null.request_bytes, ping, sizeof ping);
    bench_null.request_bytes += sizeof ping;
    options.site.protocols = protocols;
    options.site.protocol_count = count;
    options.ops = &ops;
    idle_core_run(&options);
    assert_int_equal(world.waiters_at_end, 0);
    assert_int_equal(core_claims_refused(&idle_core.claims), CLIENTS);
}

static void who_offers_only_what_has_no_room_is_refused_at_once(void **state)
{
    (void)state;
    static const struct handshake_protocol protocols[] = {{"first", 0, 0}, {"second", 1, 1}};
    run_core_without_room((struct handshake_wish){.protocol = "second"}, protocols, 2);
    assert_int_equal(counter_get(&idle_core.counters.refused_busy), CLIENTS);
    assert_int_equal(world.opened, 0);
}

static void who_offers_another_subprotocol_gets_that(void **state)
{
    (void)state;
    static const struct handshake_protocol protocols[] = {{"first", 0, 0}, {"second", 1, 1}};
    run_core_without_room((struct handshake_wish){.protocol = "second, first"}, protocols, 2);
    assert_int_equal(world.plain, CLIENTS);
    assert_int_equal(counter_get(&idle_core.counters.messages_in), CLIENTS);
}

static void who_offers_compression_is_served_without(void **state)
{
    (void)state;
    static const struct handshake_protocol protocols[] = {{"first", 0, 1}};
    run_core_without_room((struct handshake_wish){.deflate = true}, protocols, 1);
    assert_int_equal(world.plain, CLIENTS);
    assert_int_equal(world.inflated, 0);
    assert_int_equal(counter_get(&idle_core.counters.messages_in), CLIENTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_who_wait_for_an_encoding_are_served_when_it_begins),
        cmocka_unit_test(they_cost_no_turns_while_they_wait_and_are_served_at_once),
        cmocka_unit_test(who_waits_longer_than_five_seconds_is_let_go),
        cmocka_unit_test(requests_are_decided_in_the_order_in_which_they_came),
        cmocka_unit_test(who_is_not_decided_within_five_seconds_is_let_go),
        cmocka_unit_test(requests_that_came_while_the_core_stood_still_are_read_first),
        cmocka_unit_test(a_core_that_stands_still_again_reads_what_came_first),
        cmocka_unit_test(a_core_whose_turns_are_all_too_long_keeps_its_deadlines),
        cmocka_unit_test(who_says_nothing_is_late_a_second_after_the_core_goes_on),
        cmocka_unit_test(under_pressure_all_requests_are_refused_and_none_takes_a_place),
        cmocka_unit_test(there_are_no_more_places_than_are_granted),
        cmocka_unit_test(who_offers_only_what_has_no_room_is_refused_at_once),
        cmocka_unit_test(who_offers_another_subprotocol_gets_that),
        cmocka_unit_test(who_offers_compression_is_served_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
