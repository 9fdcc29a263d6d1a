/* No control frame of a server makes the tools read out of bounds, and no text of it steers a
 * terminal. Input: the payload. */
#include <string.h>

#include "codec/base/check.h"
#include "codec/utf8.h"
#include "tools/common/control_reply.h"
#include "tools/common/terminal_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct control_reply reply;
    char shown[512];
    if (control_reply_parse(&reply, data, size) == 0) {
        assert_always(reply.name != NULL);
        assert_always(reply.type != CONTROL_GAP || json_is_object(reply.data));
        control_reply_free(&reply);
    }
    terminal_text_copy(shown, sizeof shown, data, size);
    size_t shown_bytes = strnlen(shown, sizeof shown);
    assert_always(shown_bytes < sizeof shown);
    assert_always(utf8_is_valid((const uint8_t *)shown, shown_bytes));
    for (size_t i = 0; i < shown_bytes; i++) {
        assert_always((uint8_t)shown[i] >= ' ' && shown[i] != 0x7f);
    }
    return 0;
}
