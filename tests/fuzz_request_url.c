/* No URL may make its parser read out of bounds or hand on what is not within its limits. Input:
 * what follows the site's path. */
#include <stdint.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/handshake_head.h"
#include "codec/utf8.h"
#include "src/request/request_keys.h"
#include "src/request/request_url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_request_url_check_names(const struct request *request)
{
    assert_always(request->symbol_count > 0);
    assert_always(request->symbol_count <= REQUEST_SYMBOLS_MAX);
    for (uint32_t i = 0; i < request->symbol_count; i++) {
        size_t bytes;
        const char *symbol = request_symbol(request, i, &bytes);
        uint32_t types = request_types_of(request, i);
        struct variant variant = request_variant_of(request, i, MD_DEPTH);
        assert_always(strlen(symbol) == bytes);
        assert_always(utf8_is_valid((const uint8_t *)symbol, bytes));
        assert_always(types != 0 && types < 1u << MD_TYPE_COUNT);
        assert_always(variant.depth == 0 || variant_is_depth(variant.depth));
        assert_always(variant.interval_ms == 0 || variant_is_interval(variant.interval_ms));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct request request;
    struct request_error error;
    struct reply reply = {0};
    if (size > HANDSHAKE_TARGET_BYTES_MAX) {
        return 0;
    }
    for (size_t i = 0; i < size; i++) { /* A head has no other bytes in its target. */
        if (data[i] <= ' ' || data[i] >= 0x7f) {
            return 0;
        }
    }
    if (size > 0 && data[0] != '/' && data[0] != '?') {
        return 0;
    }
    if (!request_url_parse(&request, (const char *)data, size, &error)) {
        assert_always(error.code != PROTOCOL_OK);
        assert_always(error.message[0] != '\0');
        assert_always(utf8_is_valid((const uint8_t *)error.message, strlen(error.message)));
    } else if (request.type != REQUEST_NONE) {
        fuzz_request_url_check_names(&request);
    }
    uint32_t named = request_keys_warn(&request, &reply);
    assert_always(named <= REQUEST_KEYS_NAMED_MAX);
    reply_deinit(&reply);
    request_deinit(&request);
    return 0;
}
