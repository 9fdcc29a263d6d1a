/* Messages to a service manager: one that does not read, and what its variables may be. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "src/systemd/notify.h"

#define TRIES 20 /* A machine that stands still makes some of them slow. */

static int manager;
static struct notify notify;

/* A manager with an abstract socket. */
static int set_up(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[sizeof address.sun_path];
    (void)state;
    int bytes = snprintf(path, sizeof path, "@ringcast-test-notify-%d", getpid());
    memcpy(address.sun_path + 1, path + 1, (size_t)bytes - 1);
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(manager, (const struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)bytes)),
                     0);
    assert_int_equal(setenv("NOTIFY_SOCKET", path, 1), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    notify_close(&notify);
    return close(manager);
}

static void a_manager_that_does_not_read_is_not_waited_for(void **state)
{
    (void)state;
    uint64_t shortest_ns = UINT64_MAX;
    assert_int_equal(notify_open(&notify), 0);
    while (notify_send(&notify, "STATUS=some", false) == 0) {
    }
    notify.watchdog_interval_ns = 1;
    for (int i = 0; i < TRIES && shortest_ns >= NS_PER_SECOND; i++) {
        uint64_t began_ns = clock_ns(CLOCK_MONOTONIC);
        assert_int_equal(notify_sign_of_life(&notify, began_ns), -EAGAIN);
        uint64_t took_ns = clock_ns(CLOCK_MONOTONIC) - began_ns;
        shortest_ns = took_ns < shortest_ns ? took_ns : shortest_ns;
    }
    assert_true(shortest_ns < NS_PER_SECOND); /* A wait takes at least that. */
    assert_int_equal(notify_send(&notify, "READY=1", true), -EAGAIN);
}

static void a_manager_that_ends_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(notify_open(&notify), 0);
    assert_int_equal(shutdown(manager, SHUT_RDWR), 0);
    assert_true(notify_send(&notify, "READY=1", true) < 0);
}

static void what_is_no_time_is_no_watchdog(void **state)
{
    static const char *const times[] = {"0", "", "junk", "-5", "18446744073709551615"};
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
    (void)state;
    snprintf(path, sizeof path, "%s", getenv("NOTIFY_SOCKET"));
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        assert_int_equal(setenv("NOTIFY_SOCKET", path, 1), 0);
        assert_int_equal(setenv("WATCHDOG_USEC", times[i], 1), 0);
        assert_int_equal(notify_open(&notify), 0);
        assert_int_equal(notify.watchdog_interval_ns, 0);
        assert_false(notify_is_due(&notify, NS_PER_SECOND));
        assert_null(getenv("NOTIFY_SOCKET"));
        assert_null(getenv("WATCHDOG_USEC"));
        notify_close(&notify);
    }
}

static void an_address_that_is_none_is_refused(void **state)
{
    char name[sizeof((struct sockaddr_un *)0)->sun_path + 1] = {0};
    (void)state;
    memset(name, '/', sizeof name - 1);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    assert_int_equal(notify_open(&notify), -ENAMETOOLONG);
    assert_int_equal(setenv("NOTIFY_SOCKET", "vsock:2:1234", 1), 0);
    assert_int_equal(notify_open(&notify), -EAFNOSUPPORT);
    assert_int_equal(setenv("NOTIFY_SOCKET", "", 1), 0);
    assert_int_equal(notify_open(&notify), -EAFNOSUPPORT);
    assert_int_equal(notify_send(&notify, "READY=1", true), 0); /* There is no manager. */
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_manager_that_does_not_read_is_not_waited_for),
        TEST(a_manager_that_ends_is_an_error),
        TEST(what_is_no_time_is_no_watchdog),
        TEST(an_address_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
