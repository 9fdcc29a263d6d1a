#include "src/base/json_depth.h"

#include "codec/base/check.h"

bool json_depth_is_within(const char *json, size_t json_bytes, uint32_t depth_max)
{
    uint32_t depth = 0;
    bool in_text = false;
    for (size_t i = 0; i < json_bytes; i++) {
        char c = json[i];
        if (in_text) {
            i += c == '\\';
            in_text = c != '"';
        } else if (c == '"') {
            in_text = true;
        } else if (c == '{' || c == '[') {
            if (++depth > depth_max) {
                return false;
            }
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    assert_debug(depth <= depth_max);
    return true;
}
