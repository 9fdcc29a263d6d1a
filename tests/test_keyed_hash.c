/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "codec/base/keyed_hash.h"

static const struct keyed_hash key = {
    {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)},
};

/* openssl mac -macopt size:8 -macopt c-rounds:1 -macopt d-rounds:3 \
 *     -macopt hexkey:000102030405060708090a0b0c0d0e0f SIPHASH */
static void the_function_is_siphash_1_3(void **state)
{
    static const struct {
        size_t count;
        uint64_t value;
    } cases[] = {
        {0, UINT64_C(0xabac0158050fc4dc)}, {1, UINT64_C(0xc9f49bf37d57ca93)},
        {2, UINT64_C(0x82cb9b024dc7d44d)}, {7, UINT64_C(0xd3927d989bb11140)},
        {8, UINT64_C(0x369095118d299a8e)}, {15, UINT64_C(0xd320d86d2a519956)},
    };
    uint8_t bytes[16];
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)i;
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(keyed_hash_bytes(&key, bytes, cases[i].count), cases[i].value);
    }
}

static void a_word_is_its_eight_bytes(void **state)
{
    (void)state;
    assert_int_equal(keyed_hash_word(&key, UINT64_C(0x0706050403020100)),
                     UINT64_C(0x369095118d299a8e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_function_is_siphash_1_3),
        cmocka_unit_test(a_word_is_its_eight_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
