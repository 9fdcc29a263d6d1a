#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec/base/units.h"
#include "src/base/access_log.h"
#include "src/base/log.h"

#define DEFAULT "remote_addr user timestamp request status bytes"
#define ALL DEFAULT " duration session close_code encoding tls cipher server_name certificate"

static char path[] = "/tmp/test_access_log.XXXXXX";
static char text[65536];
static char error[512];

static const struct access_log_entry known = {
    .remote_addr = "203.0.113.9",
    .user = "desk-1",
    .request = "GET / HTTP/1.1",
    .session = "0-12",
    .encoding = "md.json.v1",
    .tls = "1.3",
    .cipher = "AES-128-GCM",
    .server_name = "ticks.example.com",
    .certificate = "cn:Desk 1",
    .status = 101,
    .close_code = 1000,
    .bytes = 4096,
    .open_ns = 1500 * NS_PER_MS,
    .wall_ns = 1767268800 * NS_PER_SECOND + 123 * NS_PER_MS,
};

/* The line of an entry. */
static const char *line_of(const char *fields, bool json, const struct access_log_entry *entry)
{
    FILE *file = fopen(path, "w"); /* empty */
    assert_non_null(file);
    fclose(file);
    assert_int_equal(access_log_choose(fields, error, sizeof error), 0);
    assert_int_equal(log_open(LOG_LEVEL_CRITICAL, json, 2), 0); /* The level does not matter. */
    assert_int_equal(log_open_file(LOG_SINK_ACCESS, path), 0);
    access_log_post(1, entry);
    log_close();
    file = fopen(path, "r");
    assert_non_null(file);
    size_t bytes = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[bytes] = '\0';
    assert_true(bytes > 0 && bytes <= LOG_POST_BYTES_MAX);
    assert_ptr_equal(strchr(text, '\n'), text + bytes - 1);
    text[bytes - 1] = '\0';
    return text;
}

static const char *kept(const char *head)
{
    static char out[ACCESS_LOG_REQUEST_BYTES_MAX];
    access_log_keep_request(out, head, strlen(head));
    return out;
}

/* S53 */
static void a_line_has_the_fields_that_were_chosen(void **state)
{
    (void)state;
    assert_string_equal(line_of(DEFAULT, false, &known),
                        "203.0.113.9 desk-1 2026-01-01T12:00:00.123Z \"GET / HTTP/1.1\" 101 4096");
    assert_string_equal(line_of("  close_code   session encoding duration ", false, &known),
                        "1000 0-12 md.json.v1 1.500");
    assert_string_equal(line_of("bytes session", true, &known),
                        "{\"bytes\":4096,\"session\":\"0-12\"}");
    assert_string_equal(line_of("tls cipher server_name certificate", false, &known),
                        "1.3 AES-128-GCM ticks.example.com \"cn:Desk 1\"");
}

/* S53 */
static void what_is_unknown_is_a_dash_or_null(void **state)
{
    static const struct access_log_entry unknown = {
        .status = 400, .bytes = ACCESS_LOG_UNKNOWN, .open_ns = ACCESS_LOG_UNKNOWN};
    (void)state;
    assert_string_equal(line_of(ALL, false, &unknown),
                        "- - 1970-01-01T00:00:00.000Z - 400 - - - - - - - - -");
    assert_string_equal(line_of("user request bytes duration close_code", true, &unknown),
                        "{\"user\":null,\"request\":null,\"bytes\":null,\"duration\":null,"
                        "\"close_code\":null}");
}

/* S53 */
static void other_names_are_refused_with_the_list(void **state)
{
    (void)state;
    assert_int_equal(access_log_choose("status referer", error, sizeof error), -EINVAL);
    assert_string_equal(error,
                        "--access-log-format: there is no field \"referer\"; the fields are: "
                        "remote_addr user timestamp request status bytes duration session "
                        "close_code encoding tls cipher server_name certificate");
    assert_int_equal(access_log_choose("status  status", error, sizeof error), -EINVAL);
    assert_string_equal(error, "--access-log-format: name status once");
    assert_int_equal(access_log_choose("  ", error, sizeof error), -EINVAL);
}

/* S119 */
static void no_token_is_kept(void **state)
{
    (void)state;
    assert_string_equal(kept("GET /?token=secret HTTP/1.1\r\nX: y"), "GET /?token=*** HTTP/1.1");
    assert_string_equal(kept("GET /?a=b&Token=secret&c=d HTTP/1.1"),
                        "GET /?a=b&Token=***&c=d HTTP/1.1");
    assert_string_equal(kept("GET /?%74%6Fken=secret"), "GET /?%74%6Fken=***");
    assert_string_equal(kept("GET /?access_token=secret=secret"), "GET /?access_token=***");
    assert_string_equal(kept("GET /?a=1?token=x"), "GET /?a=1?token=***");
    assert_string_equal(kept("GET /?symbols=token&b=token HTTP/1.1"),
                        "GET /?symbols=token&b=token HTTP/1.1");
    char long_head[2 * ACCESS_LOG_REQUEST_BYTES_MAX] = "GET /";
    memset(long_head + 5, 'x', ACCESS_LOG_REQUEST_BYTES_MAX - 16);
    strcat(long_head, "?token=secret");
    assert_null(strstr(kept(long_head), "sec"));
}

/* S119: what a client sends ends neither its line nor its field. */
static void no_byte_of_a_request_ends_its_field(void **state)
{
    struct access_log_entry entry = known;
    json_error_t json_error;
    (void)state;
    entry.request = kept("GET /\x1b\x01\" \\\xff\xc3\xa9\nGET / HTTP/1.1");
    assert_string_equal(line_of("request status", false, &entry),
                        "\"GET /\\x1b\\x01\\\" \\\\\\xff\\xc3\\xa9\" 101");
    json_t *object = json_loads(line_of("request status", true, &entry), 0, &json_error);
    assert_non_null(object);
    assert_string_equal(json_string_value(json_object_get(object, "request")),
                        "GET /\x1b\x01\" \\\xc3\xbf\xc3\x83\xc2\xa9");
    json_decref(object);
    entry.user = "a name 101 4096 \"";
    assert_string_equal(line_of("user status", false, &entry), "\"a name 101 4096 \\\"\" 101");
}

static void a_long_line_is_cut_in_its_request(void **state)
{
    struct access_log_entry entry = known;
    char wide[ACCESS_LOG_REQUEST_BYTES_MAX];
    char name[ACCESS_LOG_NAME_BYTES_MAX];
    json_error_t json_error;
    (void)state;
    memset(wide, '\x01', sizeof wide - 1);
    wide[sizeof wide - 1] = '\0';
    memset(name, '"', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    entry.request = wide;
    entry.user = name;
    entry.server_name = name;
    entry.certificate = name;
    entry.cipher = "CHACHA20-POLY1305";
    entry.remote_addr = "2001:db8:1111:2222:3333:4444:5555:6666";
    entry.session = "63-18446744073709551615";
    entry.bytes = INT64_MAX;
    entry.open_ns = INT64_MAX;
    for (int json = 0; json < 2; json++) {
        const char *line = line_of(ALL, json == 1, &entry);
        assert_non_null(strstr(line, json == 1 ? "\\u0001" : "\\x01"));
        assert_non_null(strstr(line, "md.json.v1"));
        assert_non_null(strstr(line, "CHACHA20-POLY1305"));
    }
    json_t *object = json_loads(text, 0, &json_error);
    assert_non_null(object);
    assert_int_equal(json_integer_value(json_object_get(object, "status")), 101);
    json_decref(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_the_fields_that_were_chosen),
        cmocka_unit_test(what_is_unknown_is_a_dash_or_null),
        cmocka_unit_test(other_names_are_refused_with_the_list),
        cmocka_unit_test(no_token_is_kept),
        cmocka_unit_test(no_byte_of_a_request_ends_its_field),
        cmocka_unit_test(a_long_line_is_cut_in_its_request),
    };
    int fd = mkstemp(path);
    close(fd);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
