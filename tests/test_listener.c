/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ring/listener.h"

#define LISTENERS 4

static char words[512];

static struct listener_options options_of(uint16_t port)
{
    return (struct listener_options){
        .host = "127.0.0.1",
        .port = port,
        .send_buffer_bytes = 65536,
        .user_timeout_ms = 30000,
    };
}

/* A listener of somebody else's; returns its port. */
static uint16_t take_port(bool reuse_port, int *fd_out)
{
    int one = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    socklen_t bytes = sizeof address;
    *fd_out = socket(AF_INET, SOCK_STREAM, 0);
    if (reuse_port) {
        setsockopt(*fd_out, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    }
    assert_int_equal(bind(*fd_out, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(*fd_out, 1), 0);
    getsockname(*fd_out, (struct sockaddr *)&address, &bytes);
    return ntohs(address.sin_port);
}

static void port_0_is_any_free_one_and_several_listeners_share_it(void **state)
{
    (void)state;
    int fds[LISTENERS];
    uint16_t port = 0;
    struct listener_options options = options_of(0);
    assert_int_equal(listener_open_tcp(&options, fds, LISTENERS, &port, words, sizeof words), 0);
    assert_true(port > 0);
    for (int i = 0; i < LISTENERS; i++) {
        struct sockaddr_in address;
        socklen_t bytes = sizeof address;
        assert_int_equal(getsockname(fds[i], (struct sockaddr *)&address, &bytes), 0);
        assert_int_equal(ntohs(address.sin_port), port);
        close(fds[i]);
    }
}

static void a_port_that_is_taken_is_refused_with_what_to_do(void **state)
{
    (void)state;
    for (int reuse_port = 0; reuse_port < 2; reuse_port++) {
        int theirs;
        int ours;
        uint16_t port = take_port(reuse_port, &theirs);
        struct listener_options options = options_of(port);
        assert_int_equal(listener_open_tcp(&options, &ours, 1, &port, words, sizeof words),
                         -EADDRINUSE);
        assert_non_null(strstr(words, "choose another port"));
        close(theirs);
    }
}

static void the_port_of_another_ringcast_is_refused_although_both_share_ports(void **state)
{
    (void)state;
    int fds[2];
    int ours;
    uint16_t port;
    struct listener_options options = options_of(0);
    assert_int_equal(listener_open_tcp(&options, fds, 2, &port, words, sizeof words), 0);
    options.port = port;
    assert_int_equal(listener_open_tcp(&options, &ours, 1, &port, words, sizeof words),
                     -EADDRINUSE);
    close(fds[0]);
    close(fds[1]);
}

static void a_host_that_is_none_of_ours_is_refused_with_what_to_do(void **state)
{
    (void)state;
    int fd;
    uint16_t port;
    struct listener_options options = options_of(0);
    options.host = "192.0.2.1"; /* TEST-NET-1, RFC 5737 */
    assert_int_equal(listener_open_tcp(&options, &fd, 1, &port, words, sizeof words),
                     -EADDRNOTAVAIL);
    assert_non_null(strstr(words, "192.0.2.1"));
    options.host = "not a host";
    assert_int_equal(listener_open_tcp(&options, &fd, 1, &port, words, sizeof words), -EINVAL);
    assert_non_null(strstr(words, "not a host"));
}

static void ipv6_works_where_the_kernel_has_it(void **state)
{
    (void)state;
    int fd;
    uint16_t port;
    struct listener_options options = options_of(0);
    options.host = "::1";
    int error = listener_open_tcp(&options, &fd, 1, &port, words, sizeof words);
    if (error == -EADDRNOTAVAIL || error == -EAFNOSUPPORT || error == -EINVAL) {
        print_message("SKIPPED: no IPv6 here\n");
        skip();
    }
    assert_int_equal(error, 0);
    close(fd);
}

static void a_unix_path_left_by_a_dead_process_is_taken_over_and_a_live_one_refused(void **state)
{
    (void)state;
    char path[64];
    int first;
    int second;
    snprintf(path, sizeof path, "/tmp/ringcast-test-unix-%d", (int)getpid());
    assert_int_equal(listener_open_unix(path, &first, words, sizeof words), 0);
    assert_int_equal(listener_open_unix(path, &second, words, sizeof words), -EADDRINUSE);
    assert_non_null(strstr(words, path));
    close(first); /* The path stays, as after kill -9. */
    assert_int_equal(listener_open_unix(path, &second, words, sizeof words), 0);
    close(second);
    unlink(path);
}

static void a_file_that_is_no_socket_is_never_removed(void **state)
{
    (void)state;
    char path[64];
    int fd;
    snprintf(path, sizeof path, "/tmp/ringcast-test-file-%d", (int)getpid());
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(listener_open_unix(path, &fd, words, sizeof words), -EADDRINUSE);
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
}

static void a_unix_path_that_is_too_long_is_refused(void **state)
{
    (void)state;
    char path[sizeof((struct sockaddr_un *)0)->sun_path + 1];
    int fd;
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_int_equal(listener_open_unix(path, &fd, words, sizeof words), -ENAMETOOLONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(port_0_is_any_free_one_and_several_listeners_share_it),
        cmocka_unit_test(a_port_that_is_taken_is_refused_with_what_to_do),
        cmocka_unit_test(the_port_of_another_ringcast_is_refused_although_both_share_ports),
        cmocka_unit_test(a_host_that_is_none_of_ours_is_refused_with_what_to_do),
        cmocka_unit_test(ipv6_works_where_the_kernel_has_it),
        cmocka_unit_test(a_unix_path_left_by_a_dead_process_is_taken_over_and_a_live_one_refused),
        cmocka_unit_test(a_file_that_is_no_socket_is_never_removed),
        cmocka_unit_test(a_unix_path_that_is_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
