#include "tests/doctor_tree.h"

static void clients_of_a_loopback_address_come_by_no_card(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "127.1.2.3", "::1"};
    struct doctor_tree *tree = *state;
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        tree->options.host = hosts[i];
        doctor_network_read(&tree->host.network, &tree->options);
        assert_true(tree->host.network.is_local);
        assert_int_equal(tree->host.network.nic_count, 0);
    }
    tree->options.host = "0.0.0.0";
    doctor_network_read(&tree->host.network, &tree->options);
    assert_false(tree->host.network.is_local);
    for (uint32_t i = 0; i < tree->host.network.nic_count; i++) {
        assert_true(tree->host.network.nics[i].index > 0);
        assert_string_not_equal(tree->host.network.nics[i].name, "lo");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        doctor_tree_test(clients_of_a_loopback_address_come_by_no_card),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
