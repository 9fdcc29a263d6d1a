/* No request or answer makes the parsers read out of bounds, and no verdict on a beginning
 * differs from that on the whole. Input: the bytes of a head. */
#include <stdint.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/handshake.h"
#include "codec/handshake_client.h"

#define FUZZ_KEY "dGhlIHNhbXBsZSBub25jZQ=="

static const char *const fuzz_handshake_paths[] = {"/", "/ws"};
static const struct handshake_protocol fuzz_handshake_protocols[] = {
    {.name = "md.json.v1"},
    {.name = "md.sbe.v1"},
};
static const struct handshake_site fuzz_handshake_site = {
    .paths = fuzz_handshake_paths,
    .path_count = 2,
    .protocols = fuzz_handshake_protocols,
    .protocol_count = 2,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_handshake_answer(enum handshake_status status,
                                  const struct handshake_request *request)
{
    char answer[HANDSHAKE_RESPONSE_BYTES_MAX];
    if (status == HANDSHAKE_OK) {
        assert_always(request->head_bytes <= HANDSHAKE_BYTES_MAX);
        size_t answer_bytes = handshake_accept(answer, request);
        char key[25] = {0};
        memcpy(key, request->key, 24);
        size_t head_bytes = 0;
        struct handshake_wish wish = {
            .protocol = request->protocol != NULL ? request->protocol->name : NULL,
        };
        assert_always(handshake_client_check((const uint8_t *)answer, answer_bytes, key, &wish,
                                             &head_bytes) == HANDSHAKE_OK);
        assert_always(head_bytes == answer_bytes);
    } else if (status != HANDSHAKE_NEED_MORE) {
        size_t answer_bytes = handshake_refuse(answer, status, &fuzz_handshake_site);
        assert_always(handshake_answer_head(answer, answer_bytes) < answer_bytes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct handshake_request request = {0};
    struct handshake_progress whole = {.has_line = false};
    struct handshake_progress pieces = {.has_line = false};
    enum handshake_status verdict =
        handshake_parse(&whole, data, size, &fuzz_handshake_site, &request);
    fuzz_handshake_answer(verdict, &request);

    /* What comes in pieces is judged as the whole is, and so is each begin of it by itself. */
    size_t step = 1 + size / 16;
    enum handshake_status status = HANDSHAKE_NEED_MORE;
    for (size_t count = 0; count < size && status == HANDSHAKE_NEED_MORE; count += step) {
        struct handshake_progress fresh = {.has_line = false};
        struct handshake_request part;
        enum handshake_status begin =
            handshake_parse(&fresh, data, count, &fuzz_handshake_site, &part);
        status = handshake_parse(&pieces, data, count, &fuzz_handshake_site, &part);
        assert_always(begin == HANDSHAKE_NEED_MORE || begin == verdict);
        assert_always(status == HANDSHAKE_NEED_MORE || status == verdict);
    }
    if (status == HANDSHAKE_NEED_MORE) {
        status = handshake_parse(&pieces, data, size, &fuzz_handshake_site, &request);
        assert_always(status == verdict ||
                      (status == HANDSHAKE_NEED_MORE && verdict != HANDSHAKE_OK));
    }
    size_t head_bytes;
    for (unsigned wishes = 0; wishes < 4; wishes++) {
        struct handshake_wish wish = {
            .protocol = fuzz_handshake_protocols[wishes & 1].name,
            .is_implied = (wishes & 1) == 0,
            .deflate = (wishes & 2) != 0,
        };
        (void)handshake_client_check(data, size, FUZZ_KEY, &wish, &head_bytes);
        assert_always(head_bytes <= size);
    }
    return 0;
}
