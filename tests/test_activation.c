/* Sockets that a service manager passes. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "src/systemd/activation.h"

#define FIRST 3
#define SOCKETS_MAX 4

/* What the parent of these tests has there. */
static int saved[SOCKETS_MAX];

static int save_descriptors(void **state)
{
    (void)state;
    for (int i = 0; i < SOCKETS_MAX; i++) {
        saved[i] = fcntl(FIRST + i, F_DUPFD_CLOEXEC, 100);
        close(FIRST + i);
    }
    return 0;
}

static int restore_descriptors(void **state)
{
    (void)state;
    for (int i = 0; i < SOCKETS_MAX; i++) {
        close(FIRST + i);
        if (saved[i] >= 0) {
            dup2(saved[i], FIRST + i);
            close(saved[i]);
        }
    }
    return 0;
}

/* The lowest free descriptor is the next one from 3 on. */
static void open_socket(int domain, int type, bool listens)
{
    int fd = socket(domain, type, 0);
    assert_in_range(fd, FIRST, FIRST + SOCKETS_MAX - 1);
    if (domain == AF_UNIX) {
        struct sockaddr_un address = {.sun_family = AF_UNIX}; /* the kernel names it */
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
    }
    if (listens) {
        assert_int_equal(listen(fd, 1), 0);
    }
}

static void set_variables(long pid, const char *count, const char *names)
{
    char text[24];
    snprintf(text, sizeof text, "%ld", pid);
    setenv("LISTEN_PID", text, 1);
    setenv("LISTEN_FDS", count, 1);
    if (names != NULL) {
        setenv("LISTEN_FDNAMES", names, 1);
    }
}

static void assert_refused(const char *count, const char *names, const char *words)
{
    struct activation activation;
    char error[512] = "";
    set_variables(getpid(), count, names);
    assert_int_equal(activation_take(&activation, error, sizeof error), -EINVAL);
    if (strstr(error, words) == NULL) {
        fail_msg("%s %s: %s", count, names, error);
    }
    assert_null(getenv("LISTEN_FDS"));
}

static void without_the_variables_nothing_was_passed(void **state)
{
    (void)state;
    struct activation activation;
    char error[512];
    assert_int_equal(activation_take(&activation, error, sizeof error), 0);
    assert_int_equal(activation.unix_fd, -1);
    for (int i = 0; i < ACTIVATION_PURPOSE_COUNT; i++) {
        assert_int_equal(activation.tcp[i].count, 0);
    }
}

static void sockets_are_sorted_by_name_with_and_without_the_suffix(void **state)
{
    (void)state;
    struct activation activation;
    char error[512] = "";
    open_socket(AF_INET, SOCK_STREAM, true);
    open_socket(AF_INET6, SOCK_STREAM, true);
    open_socket(AF_UNIX, SOCK_STREAM, true);
    open_socket(AF_INET, SOCK_STREAM, true);
    set_variables(getpid(), "4", "ringcast-admin:ringcast-tls.socket:ringcast.socket:ringcast");
    assert_int_equal(activation_take(&activation, error, sizeof error), 0);
    assert_int_equal(activation.tcp[ACTIVATION_ADMIN].fds[0], 3);
    assert_int_equal(activation.tcp[ACTIVATION_TLS].fds[0], 4);
    assert_int_equal(activation.unix_fd, 5);
    assert_int_equal(activation.tcp[ACTIVATION_CLIENTS].fds[0], 6);
    assert_int_equal(activation.tcp[ACTIVATION_CLIENTS].count, 1);
    assert_int_equal(activation.tcp[ACTIVATION_METRICS].count, 0);
}

static void children_get_neither_sockets_nor_variables(void **state)
{
    (void)state;
    struct activation activation;
    char error[512] = "";
    open_socket(AF_INET, SOCK_STREAM, true);
    set_variables(getpid(), "1", "ringcast");
    assert_int_equal(activation_take(&activation, error, sizeof error), 0);
    assert_int_equal(fcntl(FIRST, F_GETFD), FD_CLOEXEC);
    assert_null(getenv("LISTEN_PID"));
    assert_null(getenv("LISTEN_FDS"));
    assert_null(getenv("LISTEN_FDNAMES"));
}

static void sockets_without_names_are_for_clients(void **state)
{
    (void)state;
    static const char *const names[] = {NULL, "unknown:unknown", "unknown"};
    open_socket(AF_INET, SOCK_STREAM, true);
    open_socket(AF_INET6, SOCK_STREAM, true);
    for (int i = 0; i < 3; i++) {
        struct activation activation;
        char error[512] = "";
        set_variables(getpid(), "2", names[i]);
        assert_int_equal(activation_take(&activation, error, sizeof error), 0);
        assert_int_equal(activation.tcp[ACTIVATION_CLIENTS].count, 2);
    }
}

static void sockets_of_another_process_are_left_alone(void **state)
{
    (void)state;
    struct activation activation;
    char error[512] = "";
    open_socket(AF_INET, SOCK_STREAM, true);
    set_variables(getppid(), "1", "ringcast");
    assert_int_equal(activation_take(&activation, error, sizeof error), 0);
    assert_int_equal(activation.tcp[ACTIVATION_CLIENTS].count, 0);
    assert_int_equal(fcntl(FIRST, F_GETFD), 0);
    assert_null(getenv("LISTEN_FDS"));
}

static void what_clients_cannot_be_accepted_from_is_refused(void **state)
{
    (void)state;
    assert_refused("x", NULL, "LISTEN_FDS: it must be a number up to 256");
    assert_refused("257", NULL, "LISTEN_FDS: it must be a number up to 256");
    assert_refused("-1", NULL, "LISTEN_FDS: it must be a number up to 256");
    assert_refused("1", "ringcast",
                   "socket \"ringcast\" of the service manager (descriptor 3): "
                   "it is not open");
    assert_int_equal(open("/dev/null", O_RDONLY), FIRST);
    assert_refused("1", "ringcast", "it is not a socket");
    open_socket(AF_INET, SOCK_DGRAM, false);
    assert_int_equal(dup2(FIRST + 1, FIRST), FIRST);
    assert_refused("1", "ringcast", "it is not a stream socket; write ListenStream=");
    close(FIRST);
    open_socket(AF_INET, SOCK_STREAM, false);
    assert_refused("1", "ringcast", "it does not listen; write Accept=no");
    close(FIRST);
    open_socket(AF_NETLINK, SOCK_DGRAM, false);
    assert_refused("1", "ringcast", "it is neither a TCP nor a Unix socket");
}

static void a_name_that_means_nothing_here_is_refused(void **state)
{
    (void)state;
    open_socket(AF_INET, SOCK_STREAM, true);
    open_socket(AF_UNIX, SOCK_STREAM, true);
    open_socket(AF_UNIX, SOCK_STREAM, true);
    assert_refused("1", "web.socket",
                   "socket \"web\" of the service manager (descriptor 3): its "
                   "name is none of ringcast, ringcast-tls");
    assert_refused("1", "", "its name is none of");
    assert_refused("1", "ringcast-", "its name is none of");
    assert_refused("1", ".socket", "its name is none of");
    assert_refused("2", "ringcast:ringcast-admin", "a Unix socket can only be for clients");
    assert_refused("3", "ringcast:ringcast:ringcast", "(descriptor 5): there is another Unix");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, save_descriptors, restore_descriptors)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_the_variables_nothing_was_passed),
        TEST(sockets_are_sorted_by_name_with_and_without_the_suffix),
        TEST(children_get_neither_sockets_nor_variables),
        TEST(sockets_without_names_are_for_clients),
        TEST(sockets_of_another_process_are_left_alone),
        TEST(what_clients_cannot_be_accepted_from_is_refused),
        TEST(a_name_that_means_nothing_here_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
