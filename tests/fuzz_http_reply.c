/* No answer of a server makes ringcast ctl read out of bounds, and the pieces in which it arrives
 * do not matter. Input: a byte that gives the size of the pieces, and the answer. */
#include <string.h>

#include "codec/base/check.h"
#include "tools/ctl/http_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_in_pieces(struct http_reply *reply, const char *bytes, size_t count, size_t piece)
{
    int result = 0;
    http_reply_init(reply);
    for (size_t at = 0; at < count && result == 0; at += piece) {
        result = http_reply_take(reply, bytes + at, count - at < piece ? count - at : piece);
    }
    return result == 0 ? http_reply_end(reply) : result == 1 ? 0 : result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_reply whole;
    struct http_reply split;
    if (size == 0) {
        return 0;
    }
    const char *bytes = (const char *)data + 1;
    int result = read_in_pieces(&whole, bytes, size - 1, size);
    int split_result = read_in_pieces(&split, bytes, size - 1, 1u + data[0] % 16u);
    assert_always(result == split_result);
    if (result == 0) {
        assert_always(whole.status >= 200 && whole.status <= 599);
        assert_always(whole.status == split.status);
        assert_always(whole.body_bytes <= size);
        assert_always(whole.body_bytes == split.body_bytes);
        assert_always(whole.body_bytes == 0 ||
                      memcmp(whole.body, split.body, whole.body_bytes) == 0);
    } else {
        assert_always(whole.error != NULL);
    }
    http_reply_deinit(&whole);
    http_reply_deinit(&split);
    return 0;
}
