#include "codec/json_member.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "codec/base/check.h"

static size_t json_member_skip_blanks(const char *text, size_t text_bytes, size_t at)
{
    while (at < text_bytes && memchr(" \t\r\n", text[at], 4) != NULL) {
        at++;
    }
    return at;
}

/* From a quote to behind the one that ends the string, or to the end of the text. */
static size_t json_member_skip_string(const char *text, size_t text_bytes, size_t at)
{
    assert_always(at < text_bytes);
    for (at++; at < text_bytes && text[at] != '"'; at++) {
        at += text[at] == '\\';
    }
    return at < text_bytes ? at + 1 : text_bytes;
}

static size_t json_member_skip_value(const char *text, size_t text_bytes, size_t at)
{
    size_t depth = 0;
    while (at < text_bytes) {
        char c = text[at];
        if (c == '"') {
            at = json_member_skip_string(text, text_bytes, at);
        } else if (memchr(",}] \t\r\n", c, 7) != NULL && depth == 0) {
            break;
        } else {
            depth += c == '{' || c == '[';
            depth -= c == '}' || c == ']';
            at++;
        }
    }
    return at;
}

/* text: within the quotes. */
static bool json_member_is_key(const char *text, size_t text_bytes, const char *key)
{
    size_t at = 0;
    for (; *key != '\0' && at < text_bytes; key++) {
        if (text[at] == *key) {
            at++;
            continue;
        }
        char escape[7];
        if (text[at] != '\\' || text_bytes - at < 6) {
            return false;
        }
        snprintf(escape, sizeof escape, "\\u%04x", (uint8_t)*key);
        if (strncasecmp(text + at, escape, 6) != 0) {
            return false;
        }
        at += 6;
    }
    return *key == '\0' && at == text_bytes;
}

bool json_member_find(const char *text, size_t text_bytes, const char *key,
                      struct json_member *value_out)
{
    size_t at = json_member_skip_blanks(text, text_bytes, 0);
    char before = '{';
    while (at < text_bytes && text[at] == before) {
        size_t name = json_member_skip_blanks(text, text_bytes, at + 1);
        if (name == text_bytes || text[name] != '"') {
            return false;
        }
        size_t name_end = json_member_skip_string(text, text_bytes, name);
        at = json_member_skip_blanks(text, text_bytes, name_end);
        if (at == text_bytes || text[at] != ':') {
            return false;
        }
        size_t value = json_member_skip_blanks(text, text_bytes, at + 1);
        at = json_member_skip_value(text, text_bytes, value);
        assert_always(name + 2 <= name_end);
        if (json_member_is_key(text + name + 1, name_end - name - 2, key)) {
            *value_out = (struct json_member){text + value, at - value};
            return at > value;
        }
        at = json_member_skip_blanks(text, text_bytes, at);
        before = ',';
    }
    return false;
}
