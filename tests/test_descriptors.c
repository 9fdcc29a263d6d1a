/* How many clients there may be where the limit of open files is low. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include "src/admin/admin.h"
#include "src/descriptors.h"

#define TEST_LIMIT 10000
#define TEST_OPEN_MAX 100 /* descriptors of the test itself */
#define TEST_OWN 50
/* So many clients leave nothing of the limit. */
#define TEST_CLIENTS (TEST_LIMIT - TEST_OWN - DESCRIPTORS_SPARE_MAX - ADMIN_CONNECTIONS_MAX)

static struct descriptors_share share_for(uint64_t limit, uint32_t connections_max)
{
    struct descriptors_share share;
    assert_int_equal(descriptors_share(limit, TEST_OWN, connections_max, &share), 0);
    return share;
}

static void without_a_limit_there_are_enough(void **state)
{
    (void)state;
    struct descriptors_share share = share_for(0, TEST_CLIENTS);
    assert_int_equal(share.place_count, 0);
    assert_int_equal(share.client_count, 0);
    assert_int_equal(share.admin_count, ADMIN_CONNECTIONS_MAX);
}

/* What may be needed was a guess, which comes out too high for most hosts. */
static void a_limit_that_suffices_is_none(void **state)
{
    (void)state;
    struct descriptors_share share = share_for(TEST_LIMIT, TEST_CLIENTS - TEST_OPEN_MAX);
    assert_int_equal(share.place_count, 0);
    assert_int_equal(share.client_count, 0);
    assert_int_equal(share.admin_count, ADMIN_CONNECTIONS_MAX);
}

static void clients_share_what_is_left(void **state)
{
    (void)state;
    struct descriptors_share share = share_for(TEST_LIMIT, TEST_CLIENTS + 1);
    assert_true(share.client_count > TEST_CLIENTS - TEST_OPEN_MAX);
    assert_true(share.client_count <= TEST_LIMIT - TEST_OWN - share.admin_count);
    assert_int_equal(share.place_count, share.client_count - DESCRIPTORS_SPARE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_limit_there_are_enough),
        cmocka_unit_test(a_limit_that_suffices_is_none),
        cmocka_unit_test(clients_share_what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
