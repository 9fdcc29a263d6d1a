/* Two servers at one port: who receives new connections before, while and after one of them leaves.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "ring/io/listener.h"
#include "ring/io/listener_group.h"
#include "ring/io/listener_unix.h"

#define OLD_SHARES 2
#define NEW_SHARES 3
#define CLIENTS 90
#define WAIT_MS 20000

static struct listener_tcp old;
static struct listener_tcp new;
static int clients[CLIENTS];
static uint32_t client_count;
static char words[512];

static int open_at(struct listener_tcp *listener, uint16_t port, uint32_t shares, bool reuse_port)
{
    struct listener_options options = {.host = "127.0.0.1", .port = port, .reuse_port = reuse_port};
    return listener_open_tcp(listener, &options, shares, words, sizeof words);
}

static int set_up(void **state)
{
    (void)state;
    client_count = 0;
    return open_at(&old, 0, OLD_SHARES, false) < 0 || open_at(&new, old.port, NEW_SHARES, true) < 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < client_count; i++) {
        close(clients[i]);
    }
    listener_close_tcp(&old);
    listener_close_tcp(&new);
    return 0;
}

/* Each sends a byte, with which it is accepted. */
static void connect_clients(uint32_t count)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    address.sin_port = htons(new.port);
    for (uint32_t i = 0; i < count; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(client_count < CLIENTS);
        assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
        assert_int_equal(send(fd, "x", 1, 0), 1);
        clients[client_count++] = fd;
    }
}

/* Accepts count connections from both. Returns how many of them were at the listener; has_all:
 * whether each of its sockets had one. */
static uint32_t accept_clients(const struct listener_tcp *listener, uint32_t count, bool *has_all)
{
    struct pollfd fds[OLD_SHARES + NEW_SHARES];
    uint32_t counts[OLD_SHARES + NEW_SHARES] = {0};
    uint32_t fd_count = 0;
    uint32_t sum = 0;
    const struct listener_tcp *both[] = {&old, &new};
    for (int i = 0; i < 2; i++) {
        for (uint32_t j = 0; both[i]->address_count > 0 && j < both[i]->share_count; j++) {
            fds[fd_count++] = (struct pollfd){.fd = both[i]->fds[0][j], .events = POLLIN};
        }
    }
    for (uint32_t done = 0; done < count;) {
        assert_true(poll(fds, fd_count, WAIT_MS) > 0);
        for (uint32_t i = 0; i < fd_count; i++) {
            if (fds[i].revents != 0) {
                close(accept4(fds[i].fd, NULL, NULL, SOCK_CLOEXEC));
                counts[i]++;
                done++;
            }
        }
    }
    *has_all = true;
    for (uint32_t i = 0; i < fd_count; i++) {
        for (uint32_t j = 0; j < listener->share_count; j++) {
            bool is_own = fds[i].fd == listener->fds[0][j];
            sum += is_own ? counts[i] : 0;
            *has_all &= !is_own || counts[i] > 0;
        }
    }
    return sum;
}

static void both_receive_connections_while_nobody_leaves(void **state)
{
    (void)state;
    bool has_all;
    connect_clients(CLIENTS);
    uint32_t count = accept_clients(&old, CLIENTS, &has_all);
    assert_true(count > 0);
    assert_true(count < CLIENTS);
}

static void who_leaves_receives_no_new_connection(void **state)
{
    (void)state;
    bool has_all;
    assert_true(listener_group_leave(&old));
    connect_clients(CLIENTS);
    assert_int_equal(accept_clients(&new, CLIENTS, &has_all), CLIENTS);
}

static void the_new_one_can_leave_as_well(void **state)
{
    (void)state;
    bool has_all;
    assert_int_not_equal(new.elders[0], 0);
    assert_true(listener_group_leave(&new));
    connect_clients(CLIENTS);
    assert_int_equal(accept_clients(&old, CLIENTS, &has_all), CLIENTS);
    assert_true(has_all);
}

/* They wait in its queue, and it goes on accepting. */
static void connections_from_before_stay_with_who_leaves(void **state)
{
    (void)state;
    bool has_all;
    connect_clients(CLIENTS / 2);
    assert_true(listener_group_leave(&old));
    connect_clients(CLIENTS / 2);
    uint32_t count = accept_clients(&old, CLIENTS, &has_all);
    assert_true(count > 0);
    assert_true(count < CLIENTS / 2);
}

static void afterwards_all_sockets_of_the_other_are_used(void **state)
{
    (void)state;
    bool has_all;
    assert_true(listener_group_leave(&old));
    listener_group_silence(&old);
    listener_close_tcp(&old);
    connect_clients(CLIENTS);
    assert_int_equal(accept_clients(&new, CLIENTS, &has_all), CLIENTS);
    assert_true(has_all);
}

static void the_next_one_that_joins_receives_connections_as_well(void **state)
{
    (void)state;
    bool has_all;
    assert_true(listener_group_leave(&old));
    listener_close_tcp(&old);
    assert_int_equal(open_at(&old, new.port, 1, true), 0);
    connect_clients(CLIENTS);
    uint32_t count = accept_clients(&old, CLIENTS, &has_all);
    assert_true(count > 0);
    assert_true(count < CLIENTS);
}

static void who_is_alone_does_not_leave(void **state)
{
    (void)state;
    bool has_all;
    listener_close_tcp(&old);
    assert_false(listener_group_leave(&new));
    listener_group_silence(&new);
    connect_clients(10);
    assert_int_equal(accept_clients(&new, 10, &has_all), 10);
}

static void without_reuse_port_the_port_is_taken(void **state)
{
    (void)state;
    struct listener_tcp other;
    assert_int_equal(open_at(&other, new.port, 1, false), -EADDRINUSE);
}

static int connect_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void a_unix_socket_that_is_taken_over_keeps_its_connections(void **state)
{
    (void)state;
    char folder[] = "/tmp/ringcast-group-XXXXXX";
    char path[sizeof folder + 8];
    struct listener_unix first;
    struct listener_unix second;
    struct stat status;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/sock", folder);
    assert_int_equal(listener_unix_open(&first, path, words, sizeof words), 0);
    int early = connect_unix(path);
    assert_int_equal(listener_unix_take_over(&second, path, words, sizeof words), 0);
    int late = connect_unix(path);
    assert_true(close(accept4(first.fd, NULL, NULL, SOCK_CLOEXEC)) == 0);
    assert_true(close(accept4(second.fd, NULL, NULL, SOCK_CLOEXEC)) == 0);
    listener_unix_close(&first);
    assert_int_equal(stat(path, &status), 0);
    listener_unix_close(&second);
    assert_int_equal(rmdir(folder), 0);
    close(early);
    close(late);
}

static void a_file_that_is_no_socket_is_not_taken_over(void **state)
{
    (void)state;
    char path[] = "/tmp/ringcast-group-XXXXXX";
    struct listener_unix listener;
    close(mkstemp(path));
    assert_int_equal(listener_unix_take_over(&listener, path, words, sizeof words), -EADDRINUSE);
    assert_int_equal(unlink(path), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(both_receive_connections_while_nobody_leaves),
        TEST(who_leaves_receives_no_new_connection),
        TEST(the_new_one_can_leave_as_well),
        TEST(connections_from_before_stay_with_who_leaves),
        TEST(afterwards_all_sockets_of_the_other_are_used),
        TEST(the_next_one_that_joins_receives_connections_as_well),
        TEST(who_is_alone_does_not_leave),
        TEST(without_reuse_port_the_port_is_taken),
        cmocka_unit_test(a_unix_socket_that_is_taken_over_keeps_its_connections),
        cmocka_unit_test(a_file_that_is_no_socket_is_not_taken_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
