#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/access/cidr.h"

static bool list_has(const char *list_text, const char *text)
{
    struct cidr_list list;
    struct ip_address address;
    char error[256] = "";
    if (cidr_list_init(&list, list_text, error, sizeof error) != 0) {
        fail_msg("%s", error);
    }
    assert_true(ip_address_parse(&address, text, strlen(text)));
    bool has = cidr_list_has(&list, &address);
    cidr_list_deinit(&list);
    return has;
}

static void a_network_has_what_shares_its_prefix(void **state)
{
    (void)state;
    static const struct {
        const char *list, *address;
        bool has;
    } cases[] = {
        {"10.0.0.0/8", "10.255.255.255", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.0.0.0/8", "9.255.255.255", false},
        {"192.168.4.0/22", "192.168.7.255", true},
        {"192.168.4.0/22", "192.168.8.0", false},
        {"192.0.2.128/25", "192.0.2.127", false},
        {"192.0.2.128/25", "192.0.2.128", true},
        {"192.0.2.7", "192.0.2.7", true},
        {"192.0.2.7", "192.0.2.6", false},
        {"192.0.2.7/32", "::ffff:192.0.2.7", true},
        {"::ffff:192.0.2.0/120", "192.0.2.9", true},
        {"::ffff:192.0.2.0/120", "192.0.3.9", false},
        {"0.0.0.0/0", "255.1.2.3", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"::/0", "2001:db8::1", true},
        {"::/0", "1.2.3.4", true},
        {"2001:db8::/32", "2001:db8:ffff::1", true},
        {"2001:db8::/32", "2001:db9::1", false},
        {"::1", "::1", true},
        {"::1", "::2", false},
        {" 10.0.0.0/8 , 2001:db8::/33 ", "2001:db8:7fff::", true},
        {" 10.0.0.0/8 , 2001:db8::/33 ", "2001:db8:8000::", false},
        {" 10.0.0.0/8 , 2001:db8::/33 ", "10.1.1.1", true},
        {"", "1.2.3.4", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (list_has(cases[i].list, cases[i].address) != cases[i].has) {
            fail_msg("%s in \"%s\"", cases[i].address, cases[i].list);
        }
    }
}

static void a_fault_names_the_entry_and_what_is_valid(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"10.0.0.0/8,elsewhere", "\"elsewhere\" is not a network"},
        {"10.0.0.0/8,", "\"\" is not a network"},
        {"10.0.0.0/33", "\"10.0.0.0/33\" has a bad prefix"},
        {"::/129", "bad prefix"},
        {"::/0128", "bad prefix"},
        {"10.0.0.0/", "bad prefix"},
        {"10.0.0.0/-1", "bad prefix"},
        {"10.0.0.0/8 /8", "bad prefix"},
        {"10.0.0.1/8", "\"10.0.0.1/8\" has address bits beyond its prefix"},
        {"2001:db8::1/64", "address bits beyond"},
        {"/8", "is not a network"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cidr_list list;
        char error[256] = "";
        assert_int_equal(cidr_list_init(&list, cases[i][0], error, sizeof error), -EINVAL);
        if (strstr(error, cases[i][1]) == NULL) {
            fail_msg("%s: %s", cases[i][0], error);
        }
        assert_null(list.entries);
    }
}

static void a_list_has_its_limit(void **state)
{
    (void)state;
    char *text = calloc(CIDR_LIST_MAX + 1, 8);
    struct cidr_list list;
    char error[256] = "";
    for (int i = 0; i < CIDR_LIST_MAX; i++) {
        strcat(text, i == 0 ? "::1" : ",::1");
    }
    assert_int_equal(cidr_list_init(&list, text, error, sizeof error), 0);
    assert_int_equal(list.count, CIDR_LIST_MAX);
    cidr_list_deinit(&list);
    strcat(text, ",::1");
    assert_int_equal(cidr_list_init(&list, text, error, sizeof error), -EINVAL);
    assert_non_null(strstr(error, "the maximum is 1024"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_network_has_what_shares_its_prefix),
        cmocka_unit_test(a_fault_names_the_entry_and_what_is_valid),
        cmocka_unit_test(a_list_has_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
