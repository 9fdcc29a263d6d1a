#include "tests/options_fixture.h"

#include <errno.h>
#include <stdlib.h>

#include "src/config/options_print.h"

static void assert_refused(const char *line, const char *const *environment, const char *words)
{
    char error[OPTIONS_ERROR_BYTES_MAX];
    struct options options = {0};
    assert_int_equal(options_fixture_parse(&options, line, environment, error), -EINVAL);
    if (strstr(error, words) == NULL) {
        fail_msg("%s: %s", line, error);
    }
}

static void without_options_there_is_no_tls(void **state)
{
    (void)state;
    struct options options = options_fixture_parsed("--tls-threads 4 --tls-min-version 1.3", NULL);
    assert_false(options_has_tls(&options));
    assert_int_equal(options.tls.certificate_count, 0);
    assert_int_equal(options.tls.thread_count, 4);
    options_deinit(&options);
}

static void certificates_become_files(void **state)
{
    (void)state;
    struct options options = options_fixture_parsed(
        "--tls-port 0 --tls-certificate a --tls-certificate b,c --tls-certificate d,e,f", NULL);
    const struct tls_certificate_files *files = options.tls.certificates;
    assert_true(options_has_tls(&options));
    assert_int_equal(options.tls.certificate_count, 3);
    assert_string_equal(files[0].chain, "a");
    assert_null(files[0].key);
    assert_string_equal(files[1].chain, "b");
    assert_string_equal(files[1].key, "c");
    assert_null(files[1].ocsp);
    assert_string_equal(files[2].key, "e");
    assert_string_equal(files[2].ocsp, "f");
    options_deinit(&options);
}

static void what_src_tls_takes_is_as_it_was_given(void **state)
{
    (void)state;
    struct options options = options_fixture_parsed(
        "--tls-port 1 --tls-certificate a --tls-min-version 1.3 --tls-client-auth require "
        "--tls-client-ca ca --tls-client-crl crl --tls-ticket-key-file ticket --tls-threads 16",
        NULL);
    const struct tls_options *tls = &options.tls;
    assert_true(tls->is_13_only);
    assert_int_equal(tls->client_auth, TLS_CLIENT_AUTH_REQUIRE);
    assert_string_equal(tls->client_ca, "ca");
    assert_string_equal(tls->client_crl, "crl");
    assert_string_equal(tls->ticket_key_file, "ticket");
    assert_int_equal(tls->thread_count, 16);
    options_deinit(&options);
    options = options_fixture_parsed("--tls-port 1 --tls-certificate a", NULL);
    assert_false(options.tls.is_13_only);
    assert_int_equal(options.tls.client_auth, TLS_CLIENT_AUTH_NONE);
    assert_int_equal(options.tls.thread_count, 1);
    options_deinit(&options);
}

static void tls_listens_at_the_host_of_all_unless_it_has_its_own(void **state)
{
    (void)state;
    struct options options =
        options_fixture_parsed("--host ::1 --tls-port 1 --tls-certificate a", NULL);
    assert_string_equal(options_tls_host(&options), "::1");
    options_deinit(&options);
    options = options_fixture_parsed(
        "--host ::1 --tls-host 127.0.0.1 --tls-port 1 --tls-certificate a", NULL);
    assert_string_equal(options_tls_host(&options), "127.0.0.1");
    assert_string_equal(options.host, "::1");
    options_deinit(&options);
}

static void a_variable_has_several_certificates(void **state)
{
    (void)state;
    static const char *const variables[] = {"RINGCAST_TLS_CERTIFICATE=a,b;c", "RINGCAST_TLS_PORT=0",
                                            NULL};
    struct options options = options_fixture_parsed("", variables);
    assert_int_equal(options.tls.certificate_count, 2);
    assert_string_equal(options.tls.certificates[0].key, "b");
    assert_string_equal(options.tls.certificates[1].chain, "c");
    options_deinit(&options);
    options = options_fixture_parsed("--tls-certificate d", variables);
    assert_int_equal(options.tls.certificate_count, 1); /* The command line replaces the list. */
    options_deinit(&options);
}

static void an_option_without_the_other_is_refused(void **state)
{
    (void)state;
#define PAIR "--tls-port 0 --tls-certificate a "
    static const char *const variables[] = {"RINGCAST_TLS_PORT=0", NULL};
    assert_refused("--tls-port 0", NULL, "--tls-port: TLS needs a certificate");
    assert_refused("", variables, "RINGCAST_TLS_PORT: TLS needs a certificate");
    assert_refused("--tls-certificate a", NULL, "--tls-certificate: no port speaks TLS");
    assert_refused("--tls-client-auth request", NULL, "--tls-client-auth: no port speaks TLS");
    assert_refused("--tls-host ::1", NULL, "--tls-host: no port speaks TLS");
    assert_refused("--tls-ticket-key-file a", NULL, "--tls-ticket-key-file: no port speaks TLS");
    assert_refused(PAIR "--tls-client-auth request", NULL, "give --tls-client-ca FILE");
    assert_refused(PAIR "--tls-client-ca a", NULL, "--tls-client-ca: no client is asked");
    assert_refused("--tls-client-ca a", NULL, "--tls-client-ca: no client is asked");
    assert_refused(PAIR "--tls-client-crl a", NULL, "--tls-client-crl: no client is asked");
#undef PAIR
}

static void a_certificate_has_one_to_three_files(void **state)
{
    (void)state;
    static const char *const bad[] = {",", "a,", ",b", "a,,c", "a,b,", "a,b,c,", "a,b,c,d"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char line[64];
        snprintf(line, sizeof line, "--tls-port 0 --tls-certificate %s", bad[i]);
        assert_refused(line, NULL, "--tls-certificate: \"");
        assert_refused(line, NULL, "give one to three files");
    }
}

/* Below their section, with one more step for each certificate. */
static void certificates_are_printed_as_a_list(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        char *text = NULL;
        size_t bytes;
        FILE *out = open_memstream(&text, &bytes);
        struct options options = options_fixture_parsed(
            i == 0 ? "--print-config --tls-port 0 --tls-certificate a,b --tls-certificate c"
                   : "--print-config",
            NULL);
        options_print(out, &options);
        fclose(out);
        const char *words = i == 0 ? "\n  certificates: # --tls-certificate\n    - \"a,b\"\n    - "
                                     "\"c\"\n  min_version: 1.2 # default\n"
                                   : "\n  # certificates: not set\n";
        assert_non_null(strstr(text, words));
        free(text);
        options_deinit(&options);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_options_there_is_no_tls),
        cmocka_unit_test(certificates_become_files),
        cmocka_unit_test(what_src_tls_takes_is_as_it_was_given),
        cmocka_unit_test(tls_listens_at_the_host_of_all_unless_it_has_its_own),
        cmocka_unit_test(a_variable_has_several_certificates),
        cmocka_unit_test(an_option_without_the_other_is_refused),
        cmocka_unit_test(a_certificate_has_one_to_three_files),
        cmocka_unit_test(certificates_are_printed_as_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
