#include "tests/doctor_tree.h"

#include <netinet/in.h>
#include <sys/socket.h>

#define CLIENTS 8

/* Listens on a loopback address with room for one connection. */
static int listen_on(struct sockaddr_in *address)
{
    socklen_t bytes = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(bind(fd, (const void *)address, sizeof *address), 0);
    assert_int_equal(listen(fd, 0), 0);
    assert_int_equal(getsockname(fd, (void *)address, &bytes), 0);
    return fd;
}

static void what_a_full_queue_drops_is_counted_for_its_port(void **state)
{
    struct doctor_tree *tree = *state;
    struct doctor_network *network = &tree->host.network;
    struct sockaddr_in address;
    int clients[CLIENTS];
    int listener = listen_on(&address);
    tree->options.port = ntohs(address.sin_port);
    doctor_network_read(network, &tree->options);
    if (network->listen_dropped == UINT64_MAX) {
        print_message("SKIPPED: this kernel has no sock_diag for TCP\n");
        assert_int_equal(close(listener), 0);
        skip();
    }
    assert_int_equal(network->listen_dropped, 0);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        assert_true(clients[i] >= 0);
        (void)connect(clients[i], (const void *)&address, sizeof address);
    }
    doctor_network_read(network, &tree->options);
    assert_true(network->listen_dropped > 0);
    assert_true(network->listen_dropped < UINT64_MAX);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        assert_int_equal(close(clients[i]), 0);
    }
    assert_int_equal(close(listener), 0);
}

static void of_a_port_that_the_kernel_chooses_nothing_is_known(void **state)
{
    struct doctor_tree *tree = *state;
    tree->options.port = 0;
    doctor_network_read(&tree->host.network, &tree->options);
    assert_true(tree->host.network.listen_dropped == UINT64_MAX);
}

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
        doctor_tree_test(what_a_full_queue_drops_is_counted_for_its_port),
        doctor_tree_test(of_a_port_that_the_kernel_chooses_nothing_is_known),
        doctor_tree_test(clients_of_a_loopback_address_come_by_no_card),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
