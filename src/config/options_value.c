#include "src/config/options_value.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "codec/utf8.h"

static const void *options_value_at(const struct options *options, const struct option_spec *spec)
{
    assert_always(spec->offset < sizeof *options);
    return (const char *)options + spec->offset;
}

const struct options_list *options_value_list(const struct options *options,
                                              const struct option_spec *spec)
{
    assert_always(option_kind(spec) == OPTION_LIST);
    return options_value_at(options, spec);
}

bool options_value_is_set(const struct options *options, const struct option_spec *spec)
{
    if (option_kind(spec) == OPTION_TEXT) {
        return *(const char *const *)options_value_at(options, spec) != NULL;
    }
    if (option_kind(spec) == OPTION_LIST) {
        return options_value_list(options, spec)->count > 0;
    }
    return spec->default_text != NULL || option_kind(spec) == OPTION_FLAG ||
           options->layers[options_row(spec)] != OPTIONS_LAYER_DEFAULT;
}

/* ---- As text ---- */

static uint64_t options_value_bytes(const struct option_spec *spec, const void *value)
{
    return spec->max > UINT32_MAX ? *(const uint64_t *)value : *(const uint32_t *)value;
}

/* With the greatest unit that needs no decimals. */
static void options_value_write_bytes(uint64_t bytes, char *buffer)
{
    static const char units[] = {'\0', 'k', 'm', 'g'};
    size_t unit = 0;
    while (bytes > 0 && bytes % KIB == 0 && unit + 1 < sizeof units) {
        bytes /= KIB;
        unit++;
    }
    assert_debug(unit < sizeof units);
    snprintf(buffer, OPTIONS_VALUE_TEXT_BYTES_MAX, "%" PRIu64 "%.1s", bytes, &units[unit]);
}

/* Without zeros at its end, and a point that nothing follows. */
static void options_value_write_seconds(uint64_t ns, char *buffer)
{
    size_t bytes = (size_t)snprintf(buffer, OPTIONS_VALUE_TEXT_BYTES_MAX, "%" PRIu64 ".%09" PRIu64,
                                    (uint64_t)(ns / NS_PER_SECOND), (uint64_t)(ns % NS_PER_SECOND));
    assert_always(bytes < OPTIONS_VALUE_TEXT_BYTES_MAX);
    while (buffer[bytes - 1] == '0') {
        bytes--;
    }
    bytes -= buffer[bytes - 1] == '.';
    buffer[bytes] = '\0';
}

/* One core that is not pinned is "1"; a list of CPUs otherwise, "3-3" when it is one. */
static void options_value_write_cores(const struct options *options, char *buffer)
{
    size_t used = 0;
    assert_always(options->core_count <= OPTIONS_CORES_MAX);
    if (options->core_count == 1) {
        int cpu = options->cpus[0];
        snprintf(buffer, OPTIONS_VALUE_TEXT_BYTES_MAX, cpu < 0 ? "1" : "%d-%d", cpu, cpu);
        return;
    }
    buffer[0] = '\0';
    for (uint32_t i = 0; i < options->core_count; i++) {
        used += (size_t)snprintf(buffer + used, OPTIONS_VALUE_TEXT_BYTES_MAX - used, "%s%d",
                                 i == 0 ? "" : ",", options->cpus[i]);
        assert_always(used < OPTIONS_VALUE_TEXT_BYTES_MAX);
    }
}

const char *options_value_text(const struct options *options, const struct option_spec *spec,
                               char buffer[OPTIONS_VALUE_TEXT_BYTES_MAX])
{
    const void *value = options_value_at(options, spec);
    if (!options_value_is_set(options, spec)) {
        return NULL;
    }
    switch (option_kind(spec)) {
    case OPTION_FLAG:
        snprintf(buffer, OPTIONS_VALUE_TEXT_BYTES_MAX, *(const bool *)value ? "yes" : "no");
        break;
    case OPTION_TEXT:
        return *(const char *const *)value;
    case OPTION_NUMBER:
        snprintf(buffer, OPTIONS_VALUE_TEXT_BYTES_MAX, "%" PRIu32, *(const uint32_t *)value);
        break;
    case OPTION_SECONDS:
        options_value_write_seconds(*(const uint64_t *)value, buffer);
        break;
    case OPTION_BYTES:
    case OPTION_LOG_BYTES:
        options_value_write_bytes(options_value_bytes(spec, value), buffer);
        break;
    case OPTION_CHOICE:
        return spec->choices[*(const int *)value];
    case OPTION_CORES:
        options_value_write_cores(options, buffer);
        break;
    case OPTION_ACTION:
    case OPTION_LIST:
    case OPTION_IGNORED:
        return NULL;
    }
    return buffer;
}

/* ---- As JSON ---- */

/* A path, say, may be no UTF-8. */
static json_t *options_value_json_text(const char *text)
{
    json_t *json = json_string(text);
    if (json != NULL || utf8_is_valid((const uint8_t *)text, strlen(text))) {
        return json;
    }
    char *good = NULL;
    size_t good_bytes;
    FILE *out = open_memstream(&good, &good_bytes);
    if (out == NULL) {
        return NULL;
    }
    for (const char *at = text; *at != '\0';) {
        struct utf8_character character = utf8_character_at(at, strlen(at));
        if (character.is_valid) {
            fprintf(out, "%.*s", (int)character.bytes, at);
        } else {
            fprintf(out, "\\x%02x", character.code);
        }
        at += character.bytes;
    }
    json = fclose(out) == 0 ? json_string(good) : NULL;
    free(good);
    return json;
}

static json_t *options_value_json_list(const struct options_list *texts)
{
    json_t *list = json_array();
    assert_always(texts->count <= OPTIONS_LIST_MAX);
    for (uint32_t i = 0; i < texts->count; i++) {
        json_array_append_new(list, options_value_json_text(texts->texts[i]));
    }
    return list;
}

json_t *options_value_json(const struct options *options, const struct option_spec *spec)
{
    char buffer[OPTIONS_VALUE_TEXT_BYTES_MAX];
    const void *value = options_value_at(options, spec);
    if (!options_value_is_set(options, spec)) {
        return json_null();
    }
    if ((spec->kind & OPTION_SECRET) != 0) {
        return json_string("***");
    }
    if (option_is_switch(spec)) {
        return json_boolean(*(const int *)value == 1);
    }
    switch (option_kind(spec)) {
    case OPTION_FLAG:
        return json_boolean(*(const bool *)value);
    case OPTION_NUMBER:
        return json_integer(*(const uint32_t *)value);
    case OPTION_SECONDS:
        return json_real((double)*(const uint64_t *)value / (double)NS_PER_SECOND);
    case OPTION_BYTES:
    case OPTION_LOG_BYTES:
        return json_integer((json_int_t)options_value_bytes(spec, value));
    case OPTION_LIST:
        return options_value_json_list(value);
    case OPTION_TEXT:
    case OPTION_CHOICE:
    case OPTION_CORES:
        return options_value_json_text(options_value_text(options, spec, buffer));
    case OPTION_ACTION:
    case OPTION_IGNORED:
        break;
    }
    return json_null();
}

/* ---- Compared ---- */

static bool options_value_equal_lists(const struct options_list *a, const struct options_list *b)
{
    bool is_equal = a->count == b->count;
    assert_always(a->count <= OPTIONS_LIST_MAX);
    for (uint32_t i = 0; is_equal && i < a->count; i++) {
        is_equal = strcmp(a->texts[i], b->texts[i]) == 0;
    }
    return is_equal;
}

bool options_value_equal(const struct options *a, const struct options *b,
                         const struct option_spec *spec)
{
    char a_buffer[OPTIONS_VALUE_TEXT_BYTES_MAX];
    char b_buffer[OPTIONS_VALUE_TEXT_BYTES_MAX];
    if (option_kind(spec) == OPTION_LIST) {
        return options_value_equal_lists(options_value_list(a, spec), options_value_list(b, spec));
    }
    const char *a_text = options_value_text(a, spec, a_buffer);
    const char *b_text = options_value_text(b, spec, b_buffer);
    if (a_text == NULL || b_text == NULL) {
        return a_text == b_text;
    }
    return strcmp(a_text, b_text) == 0;
}
