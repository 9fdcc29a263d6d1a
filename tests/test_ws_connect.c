/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/free_port.h"
#include "tests/host_names.h"
#include "tools/common/ws_connect.h"

#define FILLERS_MAX 8
#define TIMEOUT_MS 60000

static struct ws_client_url url;
static struct ws_client_addresses addresses;
static char words[WS_CLIENT_ERROR_BYTES_MAX];
static char port[6];

static int set_up(void **state)
{
    (void)state;
    host_names_clear();
    words[0] = '\0';
    strcpy(port, "0");
    return 0;
}

/* Listens on an address and the port, which the first one chooses. */
static int listens_at(const char *address, int backlog)
{
    int yes = 1;
    if (strcmp(port, "0") == 0) {
        snprintf(port, sizeof port, "%u", free_port());
    }
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
    assert_int_equal(inet_pton(AF_INET, address, &at.sin_addr), 1);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

/* A listener whose queue is full answers nothing, as an address behind a firewall. */
static void fill(int *fds, const char *address)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
    assert_int_equal(inet_pton(AF_INET, address, &at.sin_addr), 1);
    for (int i = 0; i < FILLERS_MAX; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        int error = connect(fds[i], (struct sockaddr *)&at, sizeof at);
        assert_true(error == 0 || errno == EINPROGRESS);
    }
}

static void close_all(int *fds)
{
    for (int i = 0; i < FILLERS_MAX; i++) {
        close(fds[i]);
    }
}

static void resolve(const char *host)
{
    char text[64];
    snprintf(text, sizeof text, "ws://%s:%s/", host, port);
    assert_int_equal(ws_client_parse_url(&url, text, words), 0);
    assert_int_equal(ws_client_resolve(&url, &addresses, words), 0);
}

static const char *first_address(void)
{
    static char text[INET6_ADDRSTRLEN];
    const struct sockaddr_in *in = (const struct sockaddr_in *)&addresses.list[0].address;
    assert_int_equal(in->sin_family, AF_INET);
    return inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
}

static void assert_peer_is(int fd, const char *address)
{
    struct sockaddr_in at;
    socklen_t bytes = sizeof at;
    assert_true(fd >= 0);
    assert_int_equal(getpeername(fd, (struct sockaddr *)&at, &bytes), 0);
    assert_int_equal(at.sin_addr.s_addr, inet_addr(address));
    assert_string_equal(first_address(), address);
}

static void all_addresses_of_a_name_are_taken_once(void **state)
{
    (void)state;
    strcpy(port, "8765");
    host_names_add("both", "::1");
    host_names_add("both", "127.0.0.1");
    host_names_add("both", "127.0.0.1");
    host_names_add("both", "::1");
    host_names_add("both", "127.0.0.2");
    resolve("both");
    assert_int_equal(addresses.count, 3);
    assert_int_equal(addresses.list[0].address.ss_family, AF_INET6);
    assert_int_equal(addresses.list[0].address_bytes, sizeof(struct sockaddr_in6));
    assert_int_equal(addresses.list[1].address.ss_family, AF_INET);
    assert_int_equal(addresses.list[2].address.ss_family, AF_INET);
}

static void more_addresses_than_there_is_room_for_are_left_out(void **state)
{
    (void)state;
    strcpy(port, "8765");
    for (int i = 1; i <= WS_CLIENT_ADDRESSES_MAX + 3; i++) {
        char text[INET_ADDRSTRLEN];
        snprintf(text, sizeof text, "127.0.0.%d", i);
        host_names_add("many", text);
    }
    resolve("many");
    assert_int_equal(addresses.count, WS_CLIENT_ADDRESSES_MAX);
}

static void an_unknown_name_is_told(void **state)
{
    (void)state;
    assert_int_equal(ws_client_parse_url(&url, "ws://nobody/", words), 0);
    assert_int_equal(ws_client_resolve(&url, &addresses, words), -EHOSTUNREACH);
    assert_string_equal(words, "no address of host 'nobody': Name or service not known");
}

/* 127.0.0.3 refuses. */
static void the_next_address_takes_over_and_is_remembered(void **state)
{
    (void)state;
    int listener = listens_at("127.0.0.1", 8);
    host_names_add("name", "127.0.0.3");
    host_names_add("name", "127.0.0.2");
    host_names_add("name", "127.0.0.1");
    resolve("name");
    for (int i = 0; i < 2; i++) {
        int fd = ws_connect(&url, &addresses, TIMEOUT_MS, words);
        assert_peer_is(fd, "127.0.0.1");
        assert_int_equal(addresses.count, 3);
        close(fd);
    }
    close(listener);
    int other = listens_at("127.0.0.2", 8);
    int fd = ws_connect(&url, &addresses, TIMEOUT_MS, words);
    assert_peer_is(fd, "127.0.0.2");
    close(fd);
    close(other);
}

static void an_address_that_does_not_answer_holds_nobody(void **state)
{
    (void)state;
    int fillers[FILLERS_MAX];
    int silent = listens_at("127.0.0.2", 0);
    int listener = listens_at("127.0.0.1", 8);
    fill(fillers, "127.0.0.2");
    host_names_add("name", "127.0.0.2");
    host_names_add("name", "127.0.0.1");
    resolve("name");
    int fd = ws_connect(&url, &addresses, TIMEOUT_MS, words);
    assert_peer_is(fd, "127.0.0.1");
    close(fd);
    close_all(fillers);
    close(listener);
    close(silent);
}

/* The first one is waited for until the end. */
static void a_refusal_does_not_end_the_wait_for_another_address(void **state)
{
    (void)state;
    char expected[128];
    int fillers[FILLERS_MAX];
    int silent = listens_at("127.0.0.2", 0);
    fill(fillers, "127.0.0.2");
    host_names_add("name", "127.0.0.2");
    host_names_add("name", "127.0.0.3");
    resolve("name");
    assert_int_equal(ws_connect(&url, &addresses, 8 * WS_CONNECT_NEXT_MS, words), -ETIMEDOUT);
    snprintf(expected, sizeof expected,
             "cannot connect to name:%s (127.0.0.2: Connection timed out; 127.0.0.3: Connection "
             "refused)",
             port);
    assert_string_equal(words, expected);
    close_all(fillers);
    close(silent);
}

static void an_error_names_host_port_and_all_addresses(void **state)
{
    (void)state;
    char expected[128];
    close(listens_at("127.0.0.1", 1)); /* a free port */
    resolve("127.0.0.1");
    assert_int_equal(ws_connect(&url, &addresses, TIMEOUT_MS, words), -ECONNREFUSED);
    snprintf(expected, sizeof expected, "cannot connect to 127.0.0.1:%s: Connection refused", port);
    assert_string_equal(words, expected);

    host_names_add("one", "127.0.0.1");
    resolve("one");
    assert_int_equal(ws_connect(&url, &addresses, TIMEOUT_MS, words), -ECONNREFUSED);
    snprintf(expected, sizeof expected, "cannot connect to one:%s (127.0.0.1: Connection refused)",
             port);
    assert_string_equal(words, expected);

    /* RFC 3849: of nobody; how it fails is the machine's affair. */
    host_names_add("two", "2001:db8::1");
    host_names_add("two", "127.0.0.1");
    resolve("two");
    assert_true(ws_connect(&url, &addresses, 1000, words) < 0);
    snprintf(expected, sizeof expected, "cannot connect to two:%s ([2001:db8::1]: ", port);
    assert_memory_equal(words, expected, strlen(expected));
    assert_non_null(strstr(words, "; 127.0.0.1: Connection refused)"));
}

static void an_error_of_many_addresses_counts_those_that_it_does_not_name(void **state)
{
    (void)state;
    close(listens_at("127.0.0.1", 1));
    for (int i = 1; i <= WS_CLIENT_ADDRESSES_MAX; i++) {
        char text[INET_ADDRSTRLEN];
        snprintf(text, sizeof text, "127.0.0.1%02d", i);
        host_names_add("many", text);
    }
    resolve("many");
    assert_int_equal(ws_connect(&url, &addresses, TIMEOUT_MS, words), -ECONNREFUSED);
    assert_non_null(strstr(words, "127.0.0.101: Connection refused; 127.0.0.102: "));
    assert_non_null(strstr(words, "127.0.0.108: Connection refused; and 24 more)"));
    assert_null(strstr(words, "127.0.0.109"));
}

static volatile sig_atomic_t is_signalled;

static void on_signal(int number)
{
    (void)number;
    is_signalled = 1;
}

/* No address is to blame: none has failed. */
static void a_signal_ends_the_wait_and_is_named(void **state)
{
    (void)state;
    char expected[64];
    int fillers[FILLERS_MAX];
    struct sigaction action = {.sa_handler = on_signal};
    struct itimerval soon = {.it_value.tv_usec = 1000, .it_interval.tv_usec = 1000};
    struct itimerval never = {0};
    int silent = listens_at("127.0.0.2", 0);
    fill(fillers, "127.0.0.2");
    host_names_add("name", "127.0.0.2");
    host_names_add("name", "127.0.0.3");
    resolve("name");
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
    int error = ws_connect(&url, &addresses, TIMEOUT_MS, words);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(is_signalled, 1);
    assert_int_equal(error, -EINTR);
    snprintf(expected, sizeof expected, "cannot connect to name:%s: Interrupted system call", port);
    assert_string_equal(words, expected);
    close_all(fillers);
    close(silent);
}

static void a_unix_socket_that_is_not_there_is_named(void **state)
{
    (void)state;
    assert_int_equal(ws_client_parse_url(&url, "unix:///nonexistent/socket", words), 0);
    assert_int_equal(ws_client_resolve(&url, &addresses, words), 0);
    assert_int_equal(ws_connect(&url, &addresses, TIMEOUT_MS, words), -ENOENT);
    assert_string_equal(words,
                        "cannot connect to unix:///nonexistent/socket: No such file or directory");
}

#define TEST(function) cmocka_unit_test_setup(function, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_addresses_of_a_name_are_taken_once),
        TEST(more_addresses_than_there_is_room_for_are_left_out),
        TEST(an_unknown_name_is_told),
        TEST(the_next_address_takes_over_and_is_remembered),
        TEST(an_address_that_does_not_answer_holds_nobody),
        TEST(a_refusal_does_not_end_the_wait_for_another_address),
        TEST(an_error_names_host_port_and_all_addresses),
        TEST(an_error_of_many_addresses_counts_those_that_it_does_not_name),
        TEST(a_signal_ends_the_wait_and_is_named),
        TEST(a_unix_socket_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
