#include "src/config/options_origin.h"

#include <string.h>

#include "codec/base/check.h"
#include "codec/utf8.h"
#include "src/config/options_profile.h"

/* Copies as much as there is room for; what is not printable becomes '?'. */
static void options_origin_copy(const char *text, size_t bytes, char *out)
{
    size_t used = 0;
    for (size_t i = 0; i < bytes;) {
        struct utf8_character character = utf8_character_at(text + i, bytes - i);
        bool is_shown = character.is_valid && character.is_printable && character.code < 0xfe00;
        size_t shown_bytes = is_shown ? character.bytes : 1;
        if (used + shown_bytes >= OPTIONS_ORIGIN_BYTES_MAX) {
            break;
        }
        memcpy(out + used, is_shown ? text + i : "?", shown_bytes);
        used += shown_bytes;
        i += character.bytes;
    }
    assert_always(used < OPTIONS_ORIGIN_BYTES_MAX);
    out[used] = '\0';
}

/* "FILE:3: websocket.port" without the key. */
static size_t options_origin_file_bytes(const char *source)
{
    size_t bytes = strlen(source);
    for (const char *end = strstr(source, ": "); end != NULL; end = strstr(end + 1, ": ")) {
        bytes = (size_t)(end - source);
    }
    return bytes;
}

void options_origin(const struct options *options, const struct option_spec *spec,
                    char out[OPTIONS_ORIGIN_BYTES_MAX])
{
    size_t row = options_row(spec);
    const char *source = options->sources[row];
    switch ((enum options_layer)options->layers[row]) {
    case OPTIONS_LAYER_DEFAULT:
        snprintf(out, OPTIONS_ORIGIN_BYTES_MAX, "default");
        break;
    case OPTIONS_LAYER_PROFILE:
        snprintf(out, OPTIONS_ORIGIN_BYTES_MAX, "profile %s", options_profile_name(options));
        break;
    case OPTIONS_LAYER_FILE:
        options_origin_copy(source, options_origin_file_bytes(source), out);
        break;
    case OPTIONS_LAYER_CREDENTIAL:
    case OPTIONS_LAYER_VARIABLE:
        options_origin_copy(source, strlen(source), out);
        break;
    case OPTIONS_LAYER_ARGUMENT:
        snprintf(out, OPTIONS_ORIGIN_BYTES_MAX, "--%s", spec->name);
        break;
    }
}
