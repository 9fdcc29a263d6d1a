#include "src/access/origins.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/handshake.h"

/* An origin is a scheme, a host and perhaps a port, as browsers write it: no path, no capitals. */
static bool origins_is_origin(const char *text, size_t bytes)
{
    const char *scheme = memmem(text, bytes, "://", 3);
    if (bytes == 1 && text[0] == '*') {
        return true;
    }
    if (scheme == NULL || scheme == text || scheme + 3 == text + bytes) {
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        bool is_path = text[i] == '/' && text + i > scheme + 2;
        if (text[i] <= ' ' || text[i] > '~' || (text[i] >= 'A' && text[i] <= 'Z') || is_path) {
            return false;
        }
    }
    return true;
}

static int origins_refuse(char *error_out, size_t error_bytes, int error, const char *text)
{
    snprintf(error_out, error_bytes, "%s", text);
    return error;
}

int origins_init(struct origins *origins, const char *list, char *error_out, size_t error_bytes)
{
    *origins = (struct origins){.allows_any = list == NULL || *list == '\0'};
    if (origins->allows_any) {
        return 0;
    }
    size_t texts_bytes = strlen(list) + 2;
    char *out = origins->texts = malloc(texts_bytes);
    if (out == NULL) {
        return origins_refuse(error_out, error_bytes, -ENOMEM, "no memory");
    }
    for (;; list++) {
        list += strspn(list, " ");
        size_t bytes = strcspn(list, ", ");
        if (!origins_is_origin(list, bytes) || origins->count == ORIGINS_MAX) {
            return origins_refuse(
                error_out, error_bytes, -EINVAL,
                "give at most 256 origins as browsers send them, in lower case and without a path: "
                "https://example.com,https://example.com:8443");
        }
        /* Each origin, and its terminator in the place of a comma. */
        assert_always(out + bytes + 1 <= origins->texts + texts_bytes);
        origins->allows_any |= bytes == 1 && *list == '*';
        memcpy(out, list, bytes);
        out[bytes] = '\0';
        out += bytes + 1;
        origins->count++;
        list += bytes;
        list += strspn(list, " ");
        if (*list != ',') {
            break;
        }
    }
    return *list == '\0'
               ? 0
               : origins_refuse(error_out, error_bytes, -EINVAL, "separate origins by commas");
}

void origins_deinit(struct origins *origins)
{
    free(origins->texts);
    *origins = (struct origins){0};
}

bool origins_allow(const struct origins *origins, const uint8_t *head, size_t head_bytes)
{
    struct handshake_slice origin;
    uint32_t count =
        origins->allows_any ? 0 : handshake_values(head, head_bytes, "Origin", &origin, 1);
    if (count != 1) {
        return count == 0;
    }
    assert_debug(origins->count > 0);
    const char *allowed = origins->texts;
    for (uint32_t i = 0; i < origins->count; i++, allowed += strlen(allowed) + 1) {
        if (handshake_head_equal(origin, allowed)) {
            return true;
        }
    }
    return false;
}
