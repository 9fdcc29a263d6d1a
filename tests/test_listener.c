/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ring/io/listener.h"
#include "ring/io/listener_unix.h"
#include "tests/free_port.h"
#include "tests/host_names.h"

#define LISTENERS 4

static struct listener_options options;
static char words[512];
static char directory[64];
static char path[96];

static int set_up(void **state)
{
    (void)state;
    options = (struct listener_options){
        .host = "127.0.0.1",
        .send_buffer_bytes = 65536,
        .user_timeout_ms = 4000,
    };
    words[0] = '\0';
    host_names_clear();
    snprintf(directory, sizeof directory, "/tmp/ringcast-listener-XXXXXX");
    if (mkdtemp(directory) == NULL) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/socket", directory);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(directory);
}

static struct listener_tcp tcp;

/* Of a host with one address. */
static int open_tcp(int *fds, uint32_t count, uint16_t *port)
{
    int error = listener_open_tcp(&tcp, &options, count, words, sizeof words);
    if (error == 0) {
        assert_int_equal(tcp.address_count, 1);
        assert_int_equal(tcp.share_count, count);
        memcpy(fds, tcp.fds[0], count * sizeof *fds);
        *port = tcp.port;
    }
    return error;
}

static int open_unix(const char *at, int *fd)
{
    struct listener_unix listener;
    int error = listener_unix_open(&listener, at, words, sizeof words);
    if (error == 0) {
        *fd = listener.fd;
    }
    return error;
}

static void assert_words_say(const char *text)
{
    if (strstr(words, text) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", words, text);
    }
}

/* A listener of somebody else, on a free port that is put into the options. */
static int somebody_listens_at(const char *host, bool share_port)
{
    int yes = 1;
    options.port = free_port();
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(options.port)};
    assert_int_equal(inet_pton(AF_INET, host, &address.sin_addr), 1);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes), 0);
    if (share_port) {
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes), 0);
    }
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static int somebody_listens(bool share_port)
{
    return somebody_listens_at("127.0.0.1", share_port);
}

/* A descriptor, or -1: nobody accepts there. */
static int connect_to(const char *host, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 address6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    bool is_6 = inet_pton(AF_INET6, host, &address6.sin6_addr) == 1;
    if (!is_6) {
        assert_int_equal(inet_pton(AF_INET, host, &address.sin_addr), 1);
    }
    int fd = socket(is_6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int error = is_6 ? connect(fd, (struct sockaddr *)&address6, sizeof address6)
                     : connect(fd, (struct sockaddr *)&address, sizeof address);
    if (error < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int option_of(int fd, int level, int option)
{
    int value = 0;
    socklen_t bytes = sizeof value;
    assert_int_equal(getsockopt(fd, level, option, &value, &bytes), 0);
    return value;
}

static void a_port_that_another_program_has_is_refused(void **state)
{
    (void)state;
    int fd = -2;
    uint16_t port = 77;
    int other = somebody_listens(false);
    assert_int_equal(open_tcp(&fd, 1, &port), -EADDRINUSE);
    assert_int_equal(port, 77);
    assert_words_say("127.0.0.1");
    assert_words_say("another program");
    close(other);
}

static void a_port_that_another_ringcast_shares_is_refused(void **state)
{
    (void)state;
    int fd = -2;
    uint16_t port;
    int other = somebody_listens(true);
    assert_int_equal(open_tcp(&fd, 1, &port), -EADDRINUSE);
    assert_words_say("another ringcast");
    close(other);
}

static void port_0_is_any_free_one(void **state)
{
    (void)state;
    int fds[2];
    uint16_t ports[2] = {0, 0};
    assert_int_equal(open_tcp(&fds[0], 1, &ports[0]), 0);
    assert_int_equal(open_tcp(&fds[1], 1, &ports[1]), 0);
    assert_int_not_equal(ports[0], 0);
    assert_int_not_equal(ports[1], 0);
    assert_int_not_equal(ports[0], ports[1]);
    int client = connect_to("127.0.0.1", ports[0]);
    assert_true(client >= 0);
    close(client);
    close(fds[0]);
    close(fds[1]);
}

static void all_listeners_share_one_port_and_each_gets_clients(void **state)
{
    (void)state;
    int fds[LISTENERS];
    int clients[200];
    uint16_t port;
    uint32_t mine[LISTENERS] = {0};
    uint32_t accepted = 0;
    assert_int_equal(open_tcp(fds, LISTENERS, &port), 0);
    for (uint32_t i = 0; i < 200; i++) {
        clients[i] = connect_to("127.0.0.1", port);
        assert_true(clients[i] >= 0);
    }
    while (accepted < 200) { /* The last step of a handshake may be late. */
        struct pollfd polled[LISTENERS];
        for (uint32_t i = 0; i < LISTENERS; i++) {
            polled[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
        }
        assert_true(poll(polled, LISTENERS, 30000) > 0);
        for (uint32_t i = 0; i < LISTENERS; i++) {
            if (polled[i].revents != 0) {
                int fd = accept(fds[i], NULL, NULL);
                assert_true(fd >= 0);
                close(fd);
                mine[i]++;
                accepted++;
            }
        }
    }
    for (uint32_t i = 0; i < LISTENERS; i++) {
        assert_true(mine[i] > 0);
    }
    for (uint32_t i = 0; i < 200; i++) {
        close(clients[i]);
    }
    for (uint32_t i = 0; i < LISTENERS; i++) {
        close(fds[i]);
    }
}

static void accepted_sockets_inherit_the_options(void **state)
{
    (void)state;
    int listener;
    uint16_t port;
    assert_int_equal(open_tcp(&listener, 1, &port), 0);
    int client = connect_to("127.0.0.1", port);
    assert_int_equal(send(client, "x", 1, 0), 1);
    int server = accept(listener, NULL, NULL);
    assert_true(server >= 0);
    assert_int_equal(option_of(server, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(option_of(server, IPPROTO_TCP, TCP_USER_TIMEOUT), 4000);
    assert_int_equal(option_of(server, SOL_SOCKET, SO_SNDBUF), 2 * 65536); /* socket(7) */
    close(server);
    close(client);
    close(listener);
}

static void a_client_is_accepted_with_its_first_bytes_or_soon_without(void **state)
{
    (void)state;
    int listener;
    uint16_t port;
    char byte;
    assert_int_equal(open_tcp(&listener, 1, &port), 0);
    int silent = connect_to("127.0.0.1", port);
    int client = connect_to("127.0.0.1", port);
    assert_int_equal(send(client, "x", 1, 0), 1);
    int server = accept(listener, NULL, NULL);
    assert_int_equal(recv(server, &byte, 1, MSG_DONTWAIT), 1);
    close(server);
    server = accept(listener, NULL, NULL);
    assert_true(server >= 0);
    assert_int_equal(recv(server, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    close(server);
    close(client);
    close(silent);
    close(listener);
}

static void the_port_is_free_again_after_a_failure_and_after_close(void **state)
{
    (void)state;
    int fds[2];
    uint16_t port;
    int other = somebody_listens(false);
    assert_int_equal(open_tcp(fds, 2, &port), -EADDRINUSE);
    close(other);
    assert_int_equal(open_tcp(fds, 2, &port), 0);
    assert_int_equal(port, options.port);
    /* The server's side goes first: its connection waits in TIME_WAIT on the port. */
    int client = connect_to("127.0.0.1", port);
    close(fds[0]);
    close(fds[1]);
    close(client);
    assert_int_equal(open_tcp(fds, 2, &port), 0);
    close(fds[0]);
    close(fds[1]);
}

static void a_host_that_is_none_is_refused_in_words(void **state)
{
    (void)state;
    int fd;
    uint16_t port;
    options.host = "a..b";
    assert_int_equal(open_tcp(&fd, 1, &port), -EINVAL);
    assert_words_say("a..b");
    options.host = "192.0.2.1"; /* RFC 5737: of nobody's machine */
    assert_int_equal(open_tcp(&fd, 1, &port), -EADDRNOTAVAIL);
    assert_words_say("not an address of this machine");
}

static void an_address_of_no_machine_is_refused_in_words(void **state)
{
    (void)state;
    static const char *const hosts[] = {"224.0.0.1", "239.255.255.255", "::ffff:224.0.0.1",
                                        "255.255.255.255"};
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        int fd;
        uint16_t port;
        options.host = hosts[i];
        assert_int_equal(open_tcp(&fd, 1, &port), -EINVAL);
        assert_words_say("not an address of a machine");
        assert_int_equal(listener_check_tcp(&options, words, sizeof words), -EINVAL);
    }
}

static void the_limit_of_open_files_is_named(void **state)
{
    (void)state;
    int fd;
    uint16_t port;
    struct rlimit before;
    host_names_error = EMFILE;
    assert_int_equal(open_tcp(&fd, 1, &port), -EMFILE);
    assert_words_say("cannot listen on host '127.0.0.1': Too many open files");
    host_names_error = 0;

    int next = dup(STDERR_FILENO); /* the number that a socket would have */
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit none = {.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int error = open_tcp(&fd, 1, &port);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(error, -EMFILE);
    assert_words_say("Too many open files: raise the limit of open files (ulimit -n)");
}

static void ipv6_takes_clients_where_the_machine_has_it(void **state)
{
    (void)state;
    int fds[2];
    uint16_t port;
    options.host = "::1";
    int error = open_tcp(fds, 2, &port);
    if (error == -EADDRNOTAVAIL || error == -EAFNOSUPPORT || error == -EINVAL) {
        skip();
    }
    assert_int_equal(error, 0);
    assert_int_not_equal(port, 0);
    int client = connect_to("::1", port);
    assert_true(client >= 0);
    close(client);
    close(fds[0]);
    close(fds[1]);
}

/* ---- Hosts with several addresses ---- */

static bool has_ipv6(void)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return has;
}

static int open_host(const char *host, uint32_t share_count)
{
    options.host = host;
    return listener_open_tcp(&tcp, &options, share_count, words, sizeof words);
}

static void assert_takes_clients(const char *host)
{
    int client = connect_to(host, tcp.port);
    assert_true(client >= 0);
    close(client);
}

static void assert_name_is(uint32_t index, const char *host)
{
    char name[LISTENER_NAME_BYTES_MAX];
    snprintf(name, sizeof name, "%s:%u", host, tcp.port);
    assert_string_equal(tcp.names[index], name);
}

static void all_addresses_of_a_host_have_one_port(void **state)
{
    (void)state;
    host_names_add("host", "127.0.0.2");
    host_names_add("host", "127.0.0.1");
    host_names_add("host", "127.0.0.2");
    host_names_add("host", "::ffff:127.0.0.1");
    for (uint32_t shares = 1; shares <= LISTENERS; shares += LISTENERS - 1) {
        options.port = 0;
        assert_int_equal(open_host("host", shares), 0);
        assert_int_equal(tcp.address_count, 2);
        assert_int_not_equal(tcp.port, 0);
        assert_string_equal(tcp.skipped, "");
        assert_name_is(0, "127.0.0.2");
        assert_name_is(1, "127.0.0.1");
        assert_takes_clients("127.0.0.1");
        assert_takes_clients("127.0.0.2");
        assert_int_equal(connect_to("127.0.0.3", tcp.port), -1);
        uint16_t port = tcp.port;
        listener_close_tcp(&tcp);
        assert_int_equal(connect_to("127.0.0.1", port), -1);
        assert_int_equal(connect_to("127.0.0.2", port), -1);
        options.port = port;
        assert_int_equal(open_host("host", shares), 0);
        assert_int_equal(tcp.port, port);
        listener_close_tcp(&tcp);
    }
}

static void a_host_may_have_addresses_of_both_families(void **state)
{
    (void)state;
    if (!has_ipv6()) {
        skip();
    }
    host_names_add("localhost", "::1");
    host_names_add("localhost", "127.0.0.1");
    assert_int_equal(open_host("localhost", 2), 0);
    assert_int_equal(tcp.address_count, 2);
    assert_name_is(0, "[::1]");
    assert_name_is(1, "127.0.0.1");
    assert_takes_clients("::1");
    assert_takes_clients("127.0.0.1");
    listener_close_tcp(&tcp);
}

static void all_of_ipv6_is_all_of_ipv4_too(void **state)
{
    (void)state;
    if (!has_ipv6()) {
        skip();
    }
    host_names_add("all", "0.0.0.0");
    host_names_add("all", "::");
    host_names_add("all", "127.0.0.1");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(open_host(i == 0 ? "::" : "all", 2), 0);
        assert_int_equal(tcp.address_count, 1);
        assert_name_is(0, "[::]");
        assert_int_equal(option_of(tcp.fds[0][0], IPPROTO_IPV6, IPV6_V6ONLY), 0);
        assert_takes_clients("127.0.0.1");
        assert_takes_clients("::1");
        listener_close_tcp(&tcp);
    }
}

/* 192.0.2.1 and 198.51.100.1: of nobody's machine (RFC 5737). */
static void addresses_that_the_machine_lacks_are_skipped(void **state)
{
    (void)state;
    host_names_add("host", "192.0.2.1");
    host_names_add("host", "127.0.0.1");
    host_names_add("host", "fe80::1");
    assert_int_equal(open_host("host", 2), 0);
    assert_int_equal(tcp.address_count, 1);
    assert_name_is(0, "127.0.0.1");
    assert_string_equal(tcp.skipped,
                        "192.0.2.1 (Cannot assign requested address), [fe80::1] (it is a "
                        "link-local address; add its interface (fe80::1%eth0))");
    assert_takes_clients("127.0.0.1");
    listener_close_tcp(&tcp);
    assert_int_equal(listener_check_tcp(&options, words, sizeof words), 0);

    host_names_clear();
    host_names_add("host", "192.0.2.1");
    host_names_add("host", "198.51.100.1");
    assert_int_equal(open_host("host", 2), -EADDRNOTAVAIL);
    assert_words_say("cannot listen on host (192.0.2.1) port 0: ");
    assert_words_say("not an address of this machine");

    host_names_clear();
    host_names_add("host", "ff02::1");
    host_names_add("host", "fe80::1");
    assert_int_equal(open_host("host", 2), -EINVAL);
    assert_words_say("cannot listen on host 'host': it is a multicast address");
    assert_int_equal(listener_check_tcp(&options, words, sizeof words), -EINVAL);
}

static void a_port_that_is_taken_at_one_address_is_refused(void **state)
{
    (void)state;
    int other = somebody_listens_at("127.0.0.2", true);
    host_names_add("host", "127.0.0.1");
    host_names_add("host", "127.0.0.2");
    assert_int_equal(open_host("host", 2), -EADDRINUSE);
    char expected[96];
    snprintf(expected, sizeof expected,
             "cannot listen on host (127.0.0.2) port %u: ", options.port);
    assert_words_say(expected);
    assert_words_say("another program");
    assert_int_equal(connect_to("127.0.0.1", options.port), -1); /* Nothing is left open. */
    /* Any port that is free at both. */
    options.port = 0;
    assert_int_equal(open_host("host", 2), 0);
    assert_int_equal(tcp.address_count, 2);
    listener_close_tcp(&tcp);
    close(other);
}

static void a_host_with_too_many_addresses_is_refused(void **state)
{
    (void)state;
    for (int i = 1; i <= LISTENER_ADDRESSES_MAX + 1; i++) {
        char address[INET_ADDRSTRLEN];
        snprintf(address, sizeof address, "127.0.0.%d", i);
        host_names_add("host", address);
        host_names_add("host", address);
        int expected = i <= LISTENER_ADDRESSES_MAX ? 0 : -EINVAL;
        assert_int_equal(open_host("host", 1), expected);
        assert_int_equal(listener_check_tcp(&options, words, sizeof words), expected);
        if (expected == 0) {
            assert_int_equal(tcp.address_count, i);
            listener_close_tcp(&tcp);
        }
    }
    assert_words_say("too many addresses");
}

static void hosts_conflict_at_any_of_their_addresses(void **state)
{
    (void)state;
    host_names_add("one", "::1");
    host_names_add("one", "127.0.0.1");
    host_names_add("other", "127.0.0.2");
    host_names_add("other", "::1");
    host_names_add("third", "127.0.0.3");
    struct listener_options one = {.host = "one", .port = 8765};
    struct listener_options other = {.host = "other", .port = 8765};
    assert_true(listener_conflicts(&one, &other));
    assert_true(listener_conflicts(&other, &one));
    other.host = "third";
    assert_false(listener_conflicts(&one, &other));
    other.host = "0.0.0.0";
    assert_true(listener_conflicts(&one, &other));
}

static int connect_unix(const char *at)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, at, strlen(at) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void a_unix_path_that_was_left_by_the_dead_is_replaced(void **state)
{
    (void)state;
    int fd;
    assert_int_equal(open_unix(path, &fd), 0);
    close(fd); /* The path stays, as after a kill. */
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(open_unix(path, &fd), 0);
    close(connect_unix(path));
    close(fd);
}

static void a_unix_socket_removes_its_own_file_at_the_end(void **state)
{
    (void)state;
    struct listener_unix listener;
    assert_int_equal(listener_unix_open(&listener, path, words, sizeof words), 0);
    assert_int_equal(access(path, F_OK), 0);
    listener_unix_close(&listener);
    assert_int_equal(access(path, F_OK), -1);
}

static void a_unix_path_that_another_listener_has_by_now_stays(void **state)
{
    (void)state;
    struct listener_unix first;
    struct listener_unix second;
    assert_int_equal(listener_unix_open(&first, path, words, sizeof words), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(listener_unix_open(&second, path, words, sizeof words), 0);
    listener_unix_close(&first);
    close(connect_unix(path));
    listener_unix_close(&second);
    assert_int_equal(access(path, F_OK), -1);
}

static void sockets_of_the_dead_are_removed_and_nothing_else(void **state)
{
    (void)state;
    static const char *const names[] = {"a-1.ctl", "a-2.ctl", "b-1.ctl", "a-1.ctx"};
    char folder[] = "/tmp/ringcast-listener-XXXXXX";
    char paths[4][sizeof folder + 16];
    char file[sizeof folder + 16];
    int fds[4];
    assert_non_null(mkdtemp(folder));
    for (int i = 0; i < 4; i++) {
        snprintf(paths[i], sizeof paths[i], "%s/%s", folder, names[i]);
        assert_int_equal(open_unix(paths[i], &fds[i]), 0);
    }
    snprintf(file, sizeof file, "%s/a-3.ctl", folder);
    close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)); /* no socket */
    for (int i = 1; i < 4; i++) {
        close(fds[i]);
    }
    listener_unix_remove_dead(folder, "a-", ".ctl");
    listener_unix_remove_dead("/nonexistent", "a-", ".ctl");
    assert_int_equal(access(paths[1], F_OK), -1);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(unlink(paths[i]), i == 1 ? -1 : 0);
    }
    close(fds[0]);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(folder), 0);
}

/* A start: 0 when it got the path, and then, to the parent, a byte. It lives until the parent
 * closes its pipe. */
static int start_at_path(int from_parent, int to_parent)
{
    int fd;
    char byte = open_unix(path, &fd) == 0 ? 'y' : 'n';
    if (write(to_parent, &byte, 1) != 1 || read(from_parent, &byte, 1) != 0) {
        return 1;
    }
    return 0;
}

#define STARTERS 8

/* Each starter is a process that says 'y' if it has been opened, and ends when down is closed. */
static void assert_one_wins(int (*start)(int down, int up), void (*reach)(void))
{
    int up[2];
    int down[2];
    assert_int_equal(pipe(up), 0);
    assert_int_equal(pipe(down), 0);
    for (int i = 0; i < STARTERS; i++) {
        if (fork() == 0) {
            close(down[1]);
            _exit(start(down[0], up[1]));
        }
    }
    close(up[1]);
    int winners = 0;
    for (int i = 0; i < STARTERS; i++) {
        char byte;
        assert_int_equal(read(up[0], &byte, 1), 1);
        winners += byte == 'y';
    }
    assert_int_equal(winners, 1);
    reach();
    close(down[0]);
    close(down[1]);
    close(up[0]);
    for (int i = 0; i < STARTERS; i++) {
        int status;
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
}

static void reach_path(void)
{
    close(connect_unix(path));
}

static void of_many_starts_at_one_path_one_has_it(void **state)
{
    (void)state;
    for (int round = 0; round < 100; round++) {
        int fd;
        assert_int_equal(open_unix(path, &fd), 0);
        close(fd); /* Its file stays, as after kill -9. */
        assert_one_wins(start_at_path, reach_path);
    }
    unlink(path);
}

static int start_at_port(int down, int up)
{
    char byte = open_host("host", LISTENERS) == 0 ? 'y' : 'n';
    return write(up, &byte, 1) == 1 && read(down, &byte, 1) == 0 ? 0 : 1;
}

static void reach_port(void)
{
    int client = connect_to("127.9.8.7", options.port);
    assert_true(client >= 0);
    close(client);
}

/* Two that both have it would share the clients. Nobody else uses these addresses: connections of
 * other tests take no port of theirs. */
static void of_many_starts_at_one_port_one_has_it(void **state)
{
    (void)state;
    host_names_add("host", "127.9.8.7");
    host_names_add("host", "127.9.8.6");
    assert_int_equal(open_host("host", 1), 0);
    options.port = tcp.port;
    listener_close_tcp(&tcp);
    for (int round = 0; round < 300; round++) {
        assert_one_wins(start_at_port, reach_port);
    }
}

static void a_unix_path_where_somebody_answers_is_refused(void **state)
{
    (void)state;
    int fd;
    int second = -2;
    assert_int_equal(open_unix(path, &fd), 0);
    assert_int_equal(open_unix(path, &second), -EADDRINUSE);
    assert_int_equal(second, -2);
    assert_words_say(path);
    assert_words_say("another program listens there");
    close(connect_unix(path)); /* The first is as it was. */
    close(fd);
}

static void a_plain_file_at_the_unix_path_is_left_alone(void **state)
{
    (void)state;
    int fd;
    FILE *file = fopen(path, "w");
    fputs("precious", file);
    fclose(file);
    assert_int_equal(open_unix(path, &fd), -EADDRINUSE);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, 8);
}

static void a_unix_path_is_at_most_107_bytes_long(void **state)
{
    (void)state;
    int fd;
    char at[128];
    int length = snprintf(at, sizeof at, "%s/", directory);
    memset(at + length, 'x', sizeof at - (size_t)length);
    at[108] = '\0';
    assert_int_equal(open_unix(at, &fd), -ENAMETOOLONG);
    assert_words_say("at most 107 bytes");
    at[107] = '\0';
    assert_int_equal(open_unix(at, &fd), 0);
    close(connect_unix(at));
    close(fd);
    unlink(at);
}

static void a_unix_path_in_no_directory_is_refused_in_words(void **state)
{
    (void)state;
    int fd;
    assert_int_equal(open_unix("/tmp/ringcast-no-such-directory/socket", &fd), -ENOENT);
    assert_words_say("/tmp/ringcast-no-such-directory/socket");
}

/* The check comes first and opens nothing; each answer is that of the opening. */
static void the_check_of_a_unix_path_is_that_of_its_opening(void **state)
{
    (void)state;
    char at[4][128];
    snprintf(at[0], sizeof at[0], "%s/none/socket", directory);
    snprintf(at[1], sizeof at[1], "%s/link", directory);
    snprintf(at[2], sizeof at[2], "%s/file", directory);
    snprintf(at[3], sizeof at[3], "%s/file/socket", directory);
    assert_int_equal(symlink("nowhere", at[1]), 0);
    fclose(fopen(at[2], "w"));
    static const int errors[] = {-ENOENT, -EADDRINUSE, -EADDRINUSE, -ENOTDIR};
    int fd;
    for (size_t i = 0; i < 4; i++) {
        char checked[sizeof words];
        assert_int_equal(listener_unix_check(at[i], words, sizeof words), errors[i]);
        memcpy(checked, words, sizeof words);
        assert_int_equal(open_unix(at[i], &fd), errors[i]);
        assert_string_equal(words, checked);
    }
    assert_int_equal(listener_unix_check(path, words, sizeof words), 0);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(open_unix(path, &fd), 0);
    close(fd); /* It is left there. */
    assert_int_equal(listener_unix_check(path, words, sizeof words), 0);
    assert_int_equal(open_unix(path, &fd), 0);
    close(fd);
    unlink(at[1]);
    unlink(at[2]);
}

static void two_servers_conflict_where_one_takes_the_others_clients(void **state)
{
    (void)state;
    static const struct {
        const char *hosts[2];
        bool conflict;
    } cases[] = {
        {{"127.0.0.1", "127.0.0.1"}, true},
        {{"0.0.0.0", "127.0.0.1"}, true},
        {{"0.0.0.0", "0.0.0.0"}, true},
        {{"::", "127.0.0.1"}, true},
        {{"::", "0.0.0.0"}, true},
        {{"::", "::1"}, true},
        {{"::1", "::1"}, true},
        {{"127.0.0.1", "127.0.0.2"}, false},
        {{"127.0.0.1", "::ffff:127.0.0.1"}, true},
        {{"0.0.0.0", "::ffff:127.0.0.1"}, true},
        {{"::ffff:0.0.0.0", "127.0.0.1"}, true},
        {{"127.0.0.2", "::ffff:127.0.0.1"}, false},
        {{"0.0.0.0", "::1"}, false},
        {{"127.0.0.1", "::1"}, false},
        {{"127.0.0.1", "a..b"}, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int order = 0; order < 2; order++) {
            struct listener_options one = {.host = cases[i].hosts[order], .port = 8765};
            struct listener_options other = {.host = cases[i].hosts[!order], .port = 8765};
            assert_int_equal(listener_conflicts(&one, &other), cases[i].conflict);
            other.port = 8080;
            assert_false(listener_conflicts(&one, &other));
            one.port = other.port = 0;
            assert_false(listener_conflicts(&one, &other));
        }
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_port_that_another_program_has_is_refused),
        TEST(a_port_that_another_ringcast_shares_is_refused),
        TEST(port_0_is_any_free_one),
        TEST(all_listeners_share_one_port_and_each_gets_clients),
        TEST(accepted_sockets_inherit_the_options),
        TEST(a_client_is_accepted_with_its_first_bytes_or_soon_without),
        TEST(the_port_is_free_again_after_a_failure_and_after_close),
        TEST(a_host_that_is_none_is_refused_in_words),
        TEST(an_address_of_no_machine_is_refused_in_words),
        TEST(the_limit_of_open_files_is_named),
        TEST(ipv6_takes_clients_where_the_machine_has_it),
        TEST(all_addresses_of_a_host_have_one_port),
        TEST(a_host_may_have_addresses_of_both_families),
        TEST(all_of_ipv6_is_all_of_ipv4_too),
        TEST(addresses_that_the_machine_lacks_are_skipped),
        TEST(a_port_that_is_taken_at_one_address_is_refused),
        TEST(a_host_with_too_many_addresses_is_refused),
        TEST(hosts_conflict_at_any_of_their_addresses),
        TEST(a_unix_path_that_was_left_by_the_dead_is_replaced),
        TEST(a_unix_socket_removes_its_own_file_at_the_end),
        TEST(a_unix_path_that_another_listener_has_by_now_stays),
        TEST(sockets_of_the_dead_are_removed_and_nothing_else),
        TEST(of_many_starts_at_one_path_one_has_it),
        TEST(of_many_starts_at_one_port_one_has_it),
        TEST(a_unix_path_where_somebody_answers_is_refused),
        TEST(a_plain_file_at_the_unix_path_is_left_alone),
        TEST(a_unix_path_is_at_most_107_bytes_long),
        TEST(a_unix_path_in_no_directory_is_refused_in_words),
        TEST(the_check_of_a_unix_path_is_that_of_its_opening),
        TEST(two_servers_conflict_where_one_takes_the_others_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
