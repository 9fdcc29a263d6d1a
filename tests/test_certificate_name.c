/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "src/access/certificate_name.h"

#define DIGITS "482e7d505e2137e1e10c38a9e187fdf7c73c53a0913e58cb86ebab8fe13791c4"
#define UPPER_DIGITS "482E7D505E2137E1E10C38A9E187FDF7C73C53A0913E58CB86EBAB8FE13791C4"
#define LABEL "a23456789-a23456789-a23456789-a23456789-a23456789-a23456789-abc" /* 63 bytes */

static char folded[CERTIFICATE_NAME_BYTES_MAX + 1];
static char error[256];

static int read_name(const char *name)
{
    error[0] = '\0';
    return certificate_name_read(folded, name, strlen(name), error, sizeof error);
}

static void only_domains_and_digits_are_compared_without_case(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"dns:Desk-1.EXAMPLE.com", "dns:desk-1.example.com"},
        {"email:Desk.One@EXAMPLE.com", "email:Desk.One@example.com"},
        {"uri:spiffe://Example/Desk-1", "uri:spiffe://Example/Desk-1"},
        {"cn:Desk 1", "cn:Desk 1"},
        {"cn:\xe4\xba\xa4\xe6\x98\x93\xe5\x8f\xb0 A@B:C",
         "cn:\xe4\xba\xa4\xe6\x98\x93\xe5\x8f\xb0 A@B:C"},
        {"spki-sha256:" UPPER_DIGITS, "spki-sha256:" DIGITS},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (read_name(cases[i][0]) != 0 || strcmp(folded, cases[i][1]) != 0) {
            fail_msg("%s: %s: %s", cases[i][0], folded, error);
        }
        memset(folded, 'x', sizeof folded);
        assert_int_equal(certificate_name_fold(folded, cases[i][0], strlen(cases[i][0])),
                         strlen(cases[i][1]));
        assert_string_equal(folded, cases[i][1]);
    }
}

static void malformed_names_are_refused_and_not_shown(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "1 to 2048 bytes"},
        {"SECRET-token-0123456789", "it must begin with uri:"},
        {"spiffe://SECRET/desk-1", "it must begin with uri:"},
        {"DNS:SECRET.example.com", "it must begin with uri:"},
        {" dns:SECRET.example.com", "it must begin with uri:"},
        {"dns:", "no domain name"},
        {"dns:*.SECRET.com", "a name with * matches no certificate"},
        {"dns:SECRET.example.com.", "no domain name"},
        {"dns:.SECRET", "no domain name"},
        {"dns:a..SECRET", "no domain name"},
        {"dns:a SECRET", "no domain name"},
        {"dns:SECRET\xc3\xa9.com", "no domain name"},
        {"dns:" LABEL "4", "no domain name"},
        {"dns:" LABEL "." LABEL "." LABEL "." LABEL, "no domain name"}, /* 255 bytes */
        {"email:SECRET", "no email address"},
        {"email:@SECRET.com", "no email address"},
        {"email:a@b@SECRET.com", "no email address"},
        {"email:SECRET@", "no domain name"},
        {"email:SECRET@*.com", "a name with *"},
        {"uri:", "no URI"},
        {"uri:SECRET/desk-1", "no URI"},
        {"uri:://SECRET", "no URI"},
        {"uri:spiffe:", "no URI"},
        {"uri:spiffe://SECRET/a b", "no URI"},
        {"cn:", "printable UTF-8"},
        {"cn:SECRET\n", "printable UTF-8"},
        {"cn:SECRET\xff", "printable UTF-8"},
        {"spki-sha256:" DIGITS "0", "64 hexadecimal digits"},
        {"spki-sha256:SECRET", "64 hexadecimal digits"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (read_name(cases[i][0]) != -EINVAL || strstr(error, cases[i][1]) == NULL ||
            strstr(error, "SECRET") != NULL) {
            fail_msg("%s: %s", cases[i][0], error);
        }
    }
    assert_int_equal(read_name("dns:" LABEL "." LABEL "." LABEL), 0);
}

static void a_name_may_be_long_but_not_too_long(void **state)
{
    (void)state;
    char name[CERTIFICATE_NAME_BYTES_MAX + 2];
    memset(name, 'a', sizeof name);
    memcpy(name, "cn:", 3);
    assert_int_equal(certificate_name_read(folded, name, sizeof name - 2, error, sizeof error), 0);
    assert_int_equal(strlen(folded), CERTIFICATE_NAME_BYTES_MAX);
    assert_int_equal(certificate_name_read(folded, name, sizeof name - 1, error, sizeof error),
                     -EINVAL);
    assert_int_equal(certificate_name_fold(folded, name, sizeof name - 1), 0);
}

/* In a certificate anything may stand, such as a wildcard or a kind that is not ours. */
static void names_of_certificates_are_folded_whatever_they_are(void **state)
{
    (void)state;
    assert_int_equal(certificate_name_fold(folded, "dns:*.EXAMPLE.com", 17), 17);
    assert_string_equal(folded, "dns:*.example.com");
    assert_int_equal(certificate_name_fold(folded, "email:NOBODY", 12), 12);
    assert_string_equal(folded, "email:NOBODY");
    assert_int_equal(certificate_name_fold(folded, "ip:192.0.2.1", 12), 12);
    assert_int_equal(certificate_name_fold(folded, "", 0), 0);
}

static void a_name_is_cut_between_characters(void **state)
{
    (void)state;
    char out[6];
    certificate_name_cut(out, sizeof out, "cn:ab");
    assert_string_equal(out, "cn:ab");
    certificate_name_cut(out, sizeof out, "cn:abc");
    assert_string_equal(out, "cn:ab");
    certificate_name_cut(out, sizeof out, "cn:\xe4\xba\xa4");
    assert_string_equal(out, "cn:");
    certificate_name_cut(out, sizeof out, "cn\xe4\xba\xa4");
    assert_string_equal(out, "cn\xe4\xba\xa4");
    certificate_name_cut(out, 1, "cn:");
    assert_string_equal(out, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_domains_and_digits_are_compared_without_case),
        cmocka_unit_test(malformed_names_are_refused_and_not_shown),
        cmocka_unit_test(a_name_may_be_long_but_not_too_long),
        cmocka_unit_test(names_of_certificates_are_folded_whatever_they_are),
        cmocka_unit_test(a_name_is_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
