/* Messages of SBE become JSON by the DEFINITION of their channel, for each connection on its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "codec/sbe_tick.h"
#include "tests/example_tick.h"
#include "tools/tap/tap_decode.h"
#include "tools/tap/tap_tick.h"

static uint8_t message[4096];
static struct tap_decode *decode;

static int set_up(void **state)
{
    (void)state;
    decode = tap_decode_create(TAP_SBE, 2);
    return decode == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    tap_decode_destroy(decode);
    return 0;
}

static const char *define(uint32_t reader, const char *symbol, const char *type, json_int_t channel)
{
    json_t *data =
        json_pack("{s:[{s:s,s:s,s:I}]}", "channels", "symbol", symbol, "type", type, "ch", channel);
    const char *fault = tap_decode_define(decode, reader, data);
    json_decref(data);
    return fault;
}

/* NULL, or what is wrong; *tick_out is the example's quote when there is JSON. */
static const char *read_quote(uint32_t reader, uint32_t channel, struct tap_tick *tick_out)
{
    struct md_update update = example_quote();
    const uint8_t *json;
    size_t json_bytes;
    size_t bytes = sbe_tick_encode(message, sizeof message, channel, &update, 58211, 7);
    const char *fault = tap_decode_sbe(decode, reader, message, bytes, &json, &json_bytes);
    memset(tick_out, 0, sizeof *tick_out);
    if (json != NULL) {
        tap_tick_read(tick_out, json, json_bytes);
    }
    return fault;
}

static void a_message_needs_the_definition_of_its_connection(void **state)
{
    (void)state;
    struct tap_tick tick;
    assert_string_equal(read_quote(0, 9, &tick), "a frame of SBE whose channel has no DEFINITION");
    assert_int_equal(tick.seq, 0);
    assert_null(define(0, "A\"B", "quote", 9));
    assert_null(read_quote(0, 9, &tick));
    assert_int_equal(tick.seq, 58211);
    assert_int_equal(tick.channel, 9);
    assert_int_equal(tick.ts_event_ns, 1732078800123456789);
    assert_int_equal(tick.ts_pub_ns, 7);
    assert_true(tap_tick_is(tick.symbol, "A\\\"B"));
    assert_true(tap_tick_is(tick.type, "quote"));
    assert_int_equal(tick.data.text[tick.data.bytes - 1], '}');
    assert_string_equal(read_quote(1, 9, &tick),
                        "a frame of SBE came before the DEFINITION of its channel");
    assert_int_equal(tick.seq, 58211);
    assert_null(define(1, "A\"B", "quote", 9));
    assert_null(read_quote(1, 9, &tick));
    tap_decode_forget(decode, 1);
    assert_non_null(read_quote(1, 9, &tick));
    assert_null(read_quote(0, 9, &tick));
}

static void a_definition_keeps_its_meaning_on_a_connection(void **state)
{
    (void)state;
    struct tap_tick tick;
    assert_null(define(0, "A", "quote", 1048575));
    assert_null(define(0, "A", "quote", 1048575));
    assert_non_null(define(0, "B", "quote", 1048575));
    assert_null(define(1, "C", "trade", 1048575)); /* It connected later: the channel ended. */
    assert_string_equal(read_quote(1, 1048575, &tick),
                        "a frame of SBE has another type than its DEFINITION");
}

static void a_malformed_definition_is_a_fault(void **state)
{
    (void)state;
    struct tap_tick tick;
    assert_non_null(define(0, "A", "quotes", 1));
    assert_non_null(define(0, "A", "quote", -1));
    assert_non_null(define(0, "A", "quote", 1048576));
    assert_non_null(define(0, "a symbol of more than thirty-two bytes", "quote", 1));
    assert_non_null(read_quote(0, 1, &tick));
    assert_non_null(read_quote(0, UINT32_MAX, &tick));
}

static void without_sbe_there_are_no_binary_frames(void **state)
{
    (void)state;
    const uint8_t *json;
    size_t json_bytes;
    struct tap_decode *plain = tap_decode_create(TAP_JSON, 1);
    assert_non_null(plain);
    assert_non_null(tap_decode_sbe(plain, 0, message, sizeof message, &json, &json_bytes));
    assert_null(json);
    tap_decode_forget(plain, 0);
    tap_decode_destroy(plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_message_needs_the_definition_of_its_connection, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_definition_keeps_its_meaning_on_a_connection, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_malformed_definition_is_a_fault, set_up, tear_down),
        cmocka_unit_test(without_sbe_there_are_no_binary_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
