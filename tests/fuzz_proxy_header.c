/* No bytes make the parser read out of bounds, and no verdict on a beginning differs from that on
 * the whole. Input: what comes first on a connection. */
#include <stdint.h>

#include "codec/base/check.h"
#include "codec/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header header = {0};
    enum proxy_status verdict = proxy_header_parse(data, size, &header);
    assert_always(verdict != PROXY_OK || header.header_bytes <= size);
    size_t step = 1 + size / 64;
    for (size_t count = 0; count < size; count += step) {
        struct proxy_header part;
        enum proxy_status status = proxy_header_parse(data, count, &part);
        assert_always(status == PROXY_NEED_MORE || status == verdict);
        assert_always(status != PROXY_OK || part.header_bytes == header.header_bytes);
    }
    return 0;
}
