#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>

#include "codec/ip_address.h"
#include "tests/guard_page.h"

static struct ip_address address_of(const char *text)
{
    struct ip_address address;
    assert_true(ip_address_parse(&address, text, strlen(text)));
    return address;
}

static void addresses_go_to_text_and_back(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        {"192.0.2.1", "192.0.2.1"},
        {"0.0.0.0", "0.0.0.0"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"::FFFF:c000:201", "192.0.2.1"},
        {"2001:DB8:0:0::1", "2001:db8::1"},
        {"::", "::"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char text[IP_ADDRESS_TEXT_BYTES_MAX];
        struct ip_address address = address_of(texts[i][0]);
        ip_address_format(&address, text);
        assert_string_equal(text, texts[i][1]);
    }
}

static void what_is_no_address_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        " 1.2.3.4",
        "1.2.3.4 ",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "01.2.3.4",
        "1.2.3.4/8",
        "1.2.3.4:80",
        "[::1]",
        "fe80::1%eth0",
        "::1::",
        "localhost",
        "12345::",
        "0x7f.0.0.1",
        "2130706433",
        "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.2555555555",
    };
    struct ip_address address;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_false(ip_address_parse(&address, texts[i], strlen(texts[i])));
    }
    assert_false(ip_address_parse(&address, "1.2.3.4\0", 8));
}

static void nothing_is_read_behind_the_text(void **state)
{
    (void)state;
    struct guard_page guard;
    struct ip_address address;
    static const char text[] = "2001:db8::192.0.2.1";
    guard_page_init(&guard, sizeof text);
    for (size_t count = 0; count < sizeof text; count++) {
        (void)ip_address_parse(&address, (const char *)guard_page_copy(&guard, text, count), count);
    }
    guard_page_deinit(&guard);
}

static void loopback_is_all_of_127_and_one_of_ipv6(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_loopback;
    } cases[] = {
        {"127.0.0.1", true},    {"127.255.0.9", true}, {"::1", true},  {"::ffff:127.0.0.1", true},
        {"128.0.0.1", false},   {"126.0.0.1", false},  {"::2", false}, {"::", false},
        {"::127.0.0.1", false}, {"7f00::1", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ip_address address = address_of(cases[i].text);
        assert_int_equal(ip_address_is_loopback(&address), cases[i].is_loopback);
    }
}

static void a_socket_of_either_family_has_an_address_and_a_port(void **state)
{
    (void)state;
    struct ip_address address;
    uint16_t port;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(8765)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(443)};
    struct sockaddr other = {.sa_family = AF_UNIX};
    inet_pton(AF_INET, "192.0.2.1", &v4.sin_addr);
    inet_pton(AF_INET6, "::ffff:192.0.2.1", &v6.sin6_addr);

    assert_true(ip_address_from_socket(&address, &port, (const struct sockaddr *)&v4));
    struct ip_address wanted = address_of("192.0.2.1");
    assert_true(ip_address_equal(&address, &wanted));
    assert_int_equal(port, 8765);
    assert_true(ip_address_from_socket(&address, &port, (const struct sockaddr *)&v6));
    assert_true(ip_address_equal(&address, &wanted));
    assert_int_equal(port, 443);
    assert_false(ip_address_from_socket(&address, &port, &other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_go_to_text_and_back),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(nothing_is_read_behind_the_text),
        cmocka_unit_test(loopback_is_all_of_127_and_one_of_ipv6),
        cmocka_unit_test(a_socket_of_either_family_has_an_address_and_a_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
