#include "codec/json_escape.h"

#include <stdint.h>
#include <string.h>

char *json_escape(char *out, const char *text, size_t text_bytes)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < text_bytes; i++) {
        uint8_t byte = (uint8_t)text[i];
        if (byte < 0x20 || byte == 0x7f) {
            memcpy(out, "\\u00", 4);
            out[4] = digits[byte >> 4];
            out[5] = digits[byte & 15];
            out += JSON_ESCAPE_BYTES_MAX;
            continue;
        }
        if (byte == '"' || byte == '\\') {
            *out++ = '\\';
        }
        *out++ = (char)byte;
    }
    return out;
}
