/* No header makes the parser read out of bounds, and what is agreed is what may be: the answer is
 * itself well-formed and names nothing that was not offered. Input: a header's value. */
#include <stdint.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/ws_extensions.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_ws_extensions_agree(const struct ws_deflate_offers *offers,
                                     const struct ws_deflate_policy *policy)
{
    char answer[WS_DEFLATE_ANSWER_BYTES_MAX];
    struct ws_deflate_terms terms = ws_extensions_negotiate(offers, policy);
    if (!terms.is_on) {
        return;
    }
    assert_always(terms.server_window_bits == 0 ||
                  (terms.server_window_bits >= policy->server_window_bits_min &&
                   terms.server_window_bits <= WS_DEFLATE_WINDOW_BITS_MAX));
    assert_always(terms.client_window_bits == 0 ||
                  (terms.client_window_bits >= WS_DEFLATE_WINDOW_BITS_MIN &&
                   terms.client_window_bits <= WS_DEFLATE_WINDOW_BITS_MAX));
    assert_always(!policy->no_takeover || (terms.server_no_takeover && terms.client_no_takeover));

    struct ws_deflate_offers again = {0};
    ws_extensions_answer(answer, &terms);
    assert_always(ws_extensions_parse(&again, answer, strlen(answer)));
    assert_always(again.count == 1);
    assert_always(again.offers[0].server_window_bits == terms.server_window_bits);
    assert_always(again.offers[0].client_window_bits == terms.client_window_bits);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct ws_deflate_policy shared = {.no_takeover = true,
                                                    .server_window_bits_min = 15};
    static const struct ws_deflate_policy any = {.server_window_bits_min = 8};
    struct ws_deflate_offers offers = {0};
    bool is_well_formed = ws_extensions_parse(&offers, (const char *)data, size);
    assert_always(offers.count <= WS_DEFLATE_OFFERS_MAX);
    if (is_well_formed) {
        fuzz_ws_extensions_agree(&offers, &shared);
        fuzz_ws_extensions_agree(&offers, &any);
    }
    return 0;
}
