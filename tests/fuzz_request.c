/* No message may make the request parser read out of bounds or hand on what is not within its
 * limits, and what is echoed is JSON. Input: a client's message. */
#include <jansson.h>
#include <stdint.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/json_numbers.h"
#include "codec/utf8.h"
#include "ring/core/core.h"
#include "src/request/request_keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* "" or one number or string. */
static void fuzz_request_check_echo(const char text[REQUEST_ECHO_TEXT_BYTES_MAX])
{
    size_t bytes = strnlen(text, REQUEST_ECHO_TEXT_BYTES_MAX);
    assert_always(bytes < REQUEST_ECHO_TEXT_BYTES_MAX);
    if (bytes > 0) {
        char copy[REQUEST_ECHO_TEXT_BYTES_MAX];
        memcpy(copy, text, bytes + 1);
        json_numbers_clamp(copy, bytes);
        json_t *value = json_loadb(copy, bytes, JSON_DECODE_ANY, NULL);
        assert_always(value != NULL);
        assert_always(json_is_number(value) || json_is_string(value));
        json_decref(value);
    }
}

static void fuzz_request_check_accepted(const struct request *request)
{
    assert_always(request->type != REQUEST_NONE);
    assert_always(request->symbol_count <= REQUEST_SYMBOLS_MAX);
    assert_always(request->types < 1u << MD_TYPE_COUNT);
    assert_always(!request->has_on_lag || (unsigned)request->on_lag <= REQUEST_DISCONNECT);
    assert_always(request->max_lag_ms <= REQUEST_MAX_LAG_MS_MAX);
    if (request->type == REQUEST_REPLAY) {
        const struct request_range *range = &request->range;
        assert_always(range->to == 0 || range->to >= range->from);
        assert_always(range->speed >= 0 && range->speed <= REQUEST_SPEED_MAX);
        assert_always(!range->is_by_seq || request->symbol_count == 1);
    }
    if (request->type == REQUEST_RESUME) {
        assert_always(request->epoch != NULL);
        for (uint32_t i = 0; i < request->cursor_count; i++) {
            struct request_cursor cursor = request_cursor(request, i);
            assert_always(cursor.channel <= 999999999 && cursor.seq <= INT64_MAX);
        }
        assert_always(request->cursor_count > 0 && request->cursor_count <= REQUEST_CURSORS_MAX);
    }
    if (request->type == REQUEST_SUBSCRIBE) {
        assert_always(request->symbol_count > 0);
        assert_always(request->types != 0);
    }
    for (uint32_t i = 0; i < request->symbol_count; i++) {
        size_t bytes;
        const char *symbol = request_symbol(request, i, &bytes);
        assert_always(strlen(symbol) == bytes);
        assert_always(utf8_is_valid((const uint8_t *)symbol, bytes));
    }
}

/* Within an object, as an answer has them. */
static void fuzz_request_check_warnings(const struct request *request)
{
    struct reply reply = {0};
    reply_text(&reply, "{\"retry\":false");
    uint32_t named = request_keys_warn(request, &reply);
    reply_text(&reply, "}");
    json_t *data = json_loadb(reply.text, reply.bytes, JSON_REJECT_DUPLICATES, NULL);
    const json_t *warnings = json_object_get(data, "warnings");
    uint32_t count = request_keys_count(request);
    assert_always(data != NULL);
    assert_always(named <= REQUEST_KEYS_NAMED_MAX && named <= count);
    assert_always((warnings != NULL) == (count > 0));
    assert_always(json_array_size(warnings) == named + (named < count));
    json_decref(data);
    reply_deinit(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct request request;
    struct request_error error;
    if (size > CORE_MESSAGE_BYTES_MAX) {
        return 0;
    }
    if (request_parse(&request, data, size, &error)) {
        fuzz_request_check_accepted(&request);
    } else {
        assert_always(error.code != PROTOCOL_OK);
        assert_always(utf8_is_valid((const uint8_t *)error.message, strlen(error.message)));
        assert_always(error.message[0] != '\0');
    }
    fuzz_request_check_warnings(&request);
    fuzz_request_check_echo(request.id);
    fuzz_request_check_echo(request.t0);
    request_deinit(&request);
    return 0;
}
