#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "src/request/request_keys.h"

/* What a message's answer warns of: "FIELD: MESSAGE", a line each. */
static void check(const char *text, const char *expected)
{
    struct request request;
    struct request_error error;
    struct reply reply = {0};
    char lines[2000] = "";
    request_parse(&request, (const uint8_t *)text, strlen(text), &error);
    reply_text(&reply, "{\"retry\":true");
    request_keys_warn(&request, &reply);
    reply_text(&reply, "}");
    json_t *data = json_loadb(reply.text, reply.bytes, JSON_REJECT_DUPLICATES, NULL);
    const json_t *warnings = json_object_get(data, "warnings");
    assert_int_equal(warnings != NULL, request_keys_count(&request) > 0);
    for (size_t i = 0; i < json_array_size(warnings); i++) {
        const json_t *entry = json_array_get(warnings, i);
        const char *field = json_string_value(json_object_get(entry, "field"));
        size_t bytes = strlen(lines);
        snprintf(lines + bytes, sizeof lines - bytes, "%s: %s\n", field != NULL ? field : "(none)",
                 json_string_value(json_object_get(entry, "message")));
    }
    assert_non_null(data);
    assert_string_equal(lines, expected);
    json_decref(data);
    reply_deinit(&reply);
    request_deinit(&request);
}

#define NAMES "\"symbols\":\"A\",\"data_types\":\"quote\""
#define UNUSED ": SUBSCRIBE does not use it"

static void every_key_that_a_type_has_is_used(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"type\":\"LIST\",\"id\":1,\"data\":{}}",
        "{\"type\":\"SUBSCRIBE\",\"data\":{" NAMES ",\"snapshot\":true,\"depth\":null,\"bar\":null,"
        "\"delivery\":{\"mode\":\"all\",\"interval_ms\":null,\"on_lag\":\"skip\",\"max_lag_ms\":1},"
        "\"since\":{\"epoch\":\"e\",\"seq\":1}}}",
        "{\"type\":\"UNSUBSCRIBE\",\"data\":{" NAMES ",\"depth\":null,\"bar\":null,\"delivery\":"
        "{\"mode\":\"all\",\"interval_ms\":null}}}",
        "{\"type\":\"MODIFY\",\"data\":{" NAMES ",\"depth\":null,\"bar\":null,\"delivery\":"
        "{\"mode\":\"all\",\"interval_ms\":null,\"on_lag\":\"skip\",\"max_lag_ms\":1}}}",
        "{\"type\":\"SNAPSHOT\",\"data\":{" NAMES ",\"depth\":null,\"bar\":null,\"delivery\":"
        "{\"mode\":\"all\",\"interval_ms\":null}}}",
        "{\"type\":\"RESUME\",\"data\":{\"epoch\":\"e\",\"cursors\":{\"1\":2,\"7\":8},\"delivery\":"
        "{\"mode\":\"all\",\"on_lag\":\"skip\",\"max_lag_ms\":1}}}",
        "{\"type\":\"REPLAY\",\"data\":{" NAMES ",\"depth\":null,\"bar\":null,\"from\":1,\"to\":2,"
        "\"speed\":1,\"delivery\":{\"mode\":\"all\",\"on_lag\":\"skip\",\"max_lag_ms\":1}}}",
        "{\"type\":\"PING\",\"t0\":1,\"data\":{\"t0\":1}}",
        "{\"type\":\"AUTH\",\"data\":{\"token\":\"x\"}}",
        "{\"type\":\"STATUS\"}",
        "{\"type\":\"heartbeat\",\"data\":null}",
        "not JSON",
        "[{\"x\":1}]",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        check(texts[i], "");
    }
}

static void a_key_that_is_not_used_is_named_with_its_path(void **state)
{
    (void)state;
    check("{\"type\":\"SUBSCRIBE\",\"label\":7,\"data\":{" NAMES ",\"colour\":1,"
          "\"delivery\":{\"way\":1},\"since\":{\"epoch\":\"e\",\"seq\":1,\"channel\":1}}}",
          "label" UNUSED "\n"
          "data.colour" UNUSED "\n"
          "data.delivery.way" UNUSED "\n"
          "data.since.channel" UNUSED "\n");
    check("{\"type\":\"list\",\"data\":{\"symbols\":{\"x\":1}}}",
          "data.symbols: LIST does not use it\n");
    check("{\"type\":\"UNSUBSCRIBE\",\"data\":{" NAMES ",\"since\":{\"x\":1},"
          "\"delivery\":{\"on_lag\":\"skip\"}}}",
          "data.since: UNSUBSCRIBE does not use it\n"
          "data.delivery.on_lag: UNSUBSCRIBE does not use it\n");
}

static void a_hint_names_the_key_that_was_meant(void **state)
{
    (void)state;
    check("{\"type\":\"SUBSCRIBE\",\"data\":{" NAMES ",\"delivry\":{}}}",
          "data.delivry" UNUSED "; did you mean data.delivery?\n");
    check("{\"type\":\"SUBSCRIBE\",\"data\":{" NAMES ",\"on_lag\":1,\"delivery\":{\"on-lag\":1,"
          "\"snapshot\":1}}}",
          "data.on_lag" UNUSED "; did you mean data.delivery.on_lag?\n"
          "data.delivery.on-lag" UNUSED "; did you mean data.delivery.on_lag?\n"
          "data.delivery.snapshot" UNUSED "; did you mean data.snapshot?\n");
    check("{\"TYPE\":\"LIST\"}", "TYPE: the server does not use it; did you mean type?\n");
    check("{\"type\":\"SUBSCRIBE\",\"Data_Types\":1}",
          "Data_Types" UNUSED "; did you mean data.data_types?\n");
    check("{\"type\":\"MODIFY\",\"data\":{" NAMES ",\"delivery\":{\"max_lag\":1,\"foo\":1}}}",
          "data.delivery.max_lag: MODIFY does not use it; did you mean data.delivery.max_lag_ms?\n"
          "data.delivery.foo: MODIFY does not use it\n");
    check("{\"type\":\"PING\",\"data\":{\"t1\":1}}",
          "data.t1: PING does not use it; did you mean data.t0?\n");
}

/* The message could not be answered, perhaps for the very key. */
static void a_fault_has_warnings_too(void **state)
{
    (void)state;
    check("{\"type\":\"SUBSCRIBE\",\"symbols\":\"A\",\"data\":{\"symbol\":\"A\"}}",
          "symbols" UNUSED "; did you mean data.symbols?\n"
          "data.symbol" UNUSED "; did you mean data.symbols?\n");
    check("{\"typ\":\"LIST\",\"data\":{\"x\":1}}",
          "typ: the server does not use it; did you mean type?\n");
    check("{\"type\":\"SUBSCRIBE\",\"data\":7,\"x\":1}", "x" UNUSED "\n");
}

static void only_the_first_are_named(void **state)
{
    (void)state;
    check("{\"type\":\"SUBSCRIBE\",\"1\":1,\"2\":1,\"3\":1,\"4\":1,\"5\":1,\"6\":1,\"7\":1,"
          "\"data\":{" NAMES ",\"8\":1,\"9\":1,\"delivery\":{\"10\":1,\"11\":1}}}",
          "1" UNUSED "\n2" UNUSED "\n3" UNUSED "\n4" UNUSED "\n5" UNUSED "\n6" UNUSED "\n7" UNUSED
          "\ndata.8" UNUSED "\n(none): 3 more keys are not used\n");
    check("{\"type\":\"LIST\",\"data\":{\"1\":1,\"2\":1,\"3\":1,\"4\":1,\"5\":1,\"6\":1,\"7\":1,"
          "\"8\":1,\"9\":1}}",
          "data.1: LIST does not use it\ndata.2: LIST does not use it\n"
          "data.3: LIST does not use it\ndata.4: LIST does not use it\n"
          "data.5: LIST does not use it\ndata.6: LIST does not use it\n"
          "data.7: LIST does not use it\ndata.8: LIST does not use it\n"
          "(none): 1 more key is not used\n");
}

static void a_key_of_any_text_is_cut_and_escaped(void **state)
{
    (void)state;
    check("{\"type\":\"SUBSCRIBE\",\"\":1,\"a\\\"\\u0001\\n\":1}",
          UNUSED "\na\"\x01\n" UNUSED "\n");
#define KEY "abcdefghijabcdefghijabcdefghijabcdefghi"
    check("{\"type\":\"SUBSCRIBE\",\"" KEY "j\":1,\"" KEY "jk\":1,\"" KEY "\xe5\xb9\xb3\":1}",
          KEY "j" UNUSED "\n" KEY "j..." UNUSED "\n" KEY "..." UNUSED "\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_that_a_type_has_is_used),
        cmocka_unit_test(a_key_that_is_not_used_is_named_with_its_path),
        cmocka_unit_test(a_hint_names_the_key_that_was_meant),
        cmocka_unit_test(a_fault_has_warnings_too),
        cmocka_unit_test(only_the_first_are_named),
        cmocka_unit_test(a_key_of_any_text_is_cut_and_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
