/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <string.h>

#include "codec/running_hash.h"
#include "tests/guard_page.h"

/* The example of docs/protocol.md; made with python3-xxhash. */
static const struct {
    const char *payload;
    uint64_t payload_hash;
    uint64_t hash;
} chain[] = {
    {"{\"seq\":1}", UINT64_C(0xd43428a58b1a3e09), UINT64_C(0x2343855e3d482f97)},
    {"{\"seq\":2}", UINT64_C(0x87c712ad224537e9), UINT64_C(0x4d8682f1d636c7e3)},
};

static void the_example_of_the_protocol_comes_out(void **state)
{
    (void)state;
    uint64_t hash = RUNNING_HASH_START;
    for (size_t i = 0; i < sizeof chain / sizeof chain[0]; i++) {
        uint64_t payload = running_hash_payload(chain[i].payload, strlen(chain[i].payload));
        assert_true(payload == chain[i].payload_hash);
        hash = running_hash_add(hash, payload);
        assert_true(hash == chain[i].hash);
    }
}

static void every_frame_its_order_and_each_of_its_bytes_count(void **state)
{
    (void)state;
    uint64_t a = running_hash_payload("a", 1);
    uint64_t b = running_hash_payload("b", 1);
    uint64_t ab = running_hash_add(running_hash_add(RUNNING_HASH_START, a), b);
    assert_true(ab != running_hash_add(running_hash_add(RUNNING_HASH_START, b), a));
    assert_true(ab != running_hash_add(RUNNING_HASH_START, b));
    assert_true(ab != running_hash_add(ab, b));
    assert_true(running_hash_add(a, b) != running_hash_add(b, a));
    assert_true(running_hash_payload("", 0) != running_hash_payload("\0", 1));
}

static void nothing_is_read_behind_a_payload_of_any_length(void **state)
{
    (void)state;
    static uint8_t payload[600];
    uint64_t before = 0;
    struct guard_page guard;
    guard_page_init(&guard, sizeof payload);
    memset(payload, 'x', sizeof payload);
    for (size_t bytes = 0; bytes <= sizeof payload; bytes++) {
        uint64_t hash = running_hash_payload(guard_page_copy(&guard, payload, bytes), bytes);
        assert_true(hash == running_hash_payload(payload, bytes));
        assert_true(hash != before);
        before = hash;
    }
    guard_page_deinit(&guard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_protocol_comes_out),
        cmocka_unit_test(every_frame_its_order_and_each_of_its_bytes_count),
        cmocka_unit_test(nothing_is_read_behind_a_payload_of_any_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
