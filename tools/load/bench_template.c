#include "tools/load/bench_template.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"

#define BLANKS " \t\r\n"

/* A part of the text, from begin up to end. */
struct bench_template_part {
    const char *begin;
    const char *end;
};

static char *bench_template_append(char *out, const char *text, size_t bytes)
{
    memcpy(out, text, bytes);
    return out + bytes;
}

/* The string around the place, with its quotation marks. false: it is not all of an array. */
static bool bench_template_string(const char *text, const char *place,
                                  struct bench_template_part *string_out)
{
    const char *begin = place;
    while (begin > text && *begin != '"') {
        begin--;
    }
    const char *end = strchr(place, '"');
    if (end == NULL || *begin != '"') {
        return false;
    }
    const char *before = begin;
    while (before > text && strchr(BLANKS, before[-1]) != NULL) {
        before--;
    }
    if (before == text || before[-1] != '[' || end[1 + strspn(end + 1, BLANKS)] != ']') {
        return false;
    }
    *string_out = (struct bench_template_part){begin, end + 1};
    return true;
}

char *bench_template_fill(const char *text, const char *symbols)
{
    const char *place = strstr(text, BENCH_TEMPLATE_PLACE);
    if (place == NULL) {
        return strdup(text);
    }
    const char *place_end = place + sizeof BENCH_TEMPLATE_PLACE - 1;
    struct bench_template_part string = {place, place_end};
    bool is_repeated = bench_template_string(text, place, &string);
    size_t symbol_count = 1;
    for (const char *at = symbols; *at != 0; at++) {
        symbol_count += *at == ',';
    }
    size_t string_bytes = (size_t)(string.end - string.begin);
    size_t room =
        strlen(text) + strlen(symbols) + 1 + (is_repeated ? symbol_count : 0) * string_bytes;
    char *filled = malloc(room);
    if (filled == NULL) {
        return NULL;
    }
    char *out = bench_template_append(filled, text, (size_t)(string.begin - text));
    for (const char *at = symbols;;) {
        size_t bytes = is_repeated ? strcspn(at, ",") : strlen(at);
        out = bench_template_append(out, string.begin, (size_t)(place - string.begin));
        out = bench_template_append(out, at, bytes);
        out = bench_template_append(out, place_end, (size_t)(string.end - place_end));
        at += bytes;
        if (*at == 0) {
            break;
        }
        out = bench_template_append(out, at++, 1);
    }
    out = bench_template_append(out, string.end, strlen(string.end) + 1);
    assert_always((size_t)(out - filled) <= room);
    return filled;
}
