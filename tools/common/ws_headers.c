#include "tools/common/ws_headers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/ws_extensions.h"

static int ws_headers_fail(char *error_out, const char *what)
{
    snprintf(error_out, WS_HEADERS_ERROR_BYTES_MAX, "%s", what);
    return -EINVAL;
}

/* The handshake's own headers. */
static bool ws_headers_is_own(const char *name, size_t name_bytes)
{
    static const char *const names[] = {
        "Host",
        "Upgrade",
        "Connection",
        "Content-Length",
        "Transfer-Encoding",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Extensions",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strlen(names[i]) == name_bytes && strncasecmp(names[i], name, name_bytes) == 0) {
            return true;
        }
    }
    return false;
}

bool ws_headers_is_token(const char *text, size_t text_bytes)
{
    size_t bytes = 0;
    while (bytes < text_bytes && ws_extensions_is_token_char(text[bytes])) {
        bytes++;
    }
    return text_bytes > 0 && bytes == text_bytes;
}

static bool ws_headers_is_value(const char *value)
{
    for (; *value != 0; value++) {
        unsigned char byte = (unsigned char)*value;
        if ((byte < 0x20 && byte != '\t') || byte == 0x7f) {
            return false;
        }
    }
    return true;
}

static int ws_headers_append(struct ws_headers *headers, const char *name, size_t name_bytes,
                             const char *value, char *error_out)
{
    static const char authorization[] = "Authorization";
    bool authorizes =
        name_bytes == sizeof authorization - 1 && strncasecmp(name, authorization, name_bytes) == 0;
    if (authorizes && headers->has_authorization) {
        return ws_headers_fail(error_out, "give one token only, or one Authorization header");
    }
    size_t room = sizeof headers->text - headers->text_bytes;
    int bytes = snprintf(headers->text + headers->text_bytes, room, "%.*s: %s\r\n", (int)name_bytes,
                         name, value);
    if (bytes < 0 || (size_t)bytes >= room) {
        headers->text[headers->text_bytes] = 0;
        return ws_headers_fail(error_out, "the headers are too long: they may have 6 KiB");
    }
    headers->text_bytes += (size_t)bytes;
    headers->has_authorization |= authorizes;
    assert_debug(headers->text_bytes < sizeof headers->text);
    return 0;
}

int ws_headers_add(struct ws_headers *headers, const char *line,
                   char error_out[WS_HEADERS_ERROR_BYTES_MAX])
{
    size_t name_bytes = strcspn(line, ":");
    if (line[name_bytes] != ':' || !ws_headers_is_token(line, name_bytes)) {
        return ws_headers_fail(error_out, "a header has the form 'Name: value'");
    }
    if (ws_headers_is_own(line, name_bytes)) {
        snprintf(error_out, WS_HEADERS_ERROR_BYTES_MAX, "the handshake sets the header %.*s itself",
                 (int)name_bytes, line);
        return -EINVAL;
    }
    const char *value = line + name_bytes + 1;
    value += strspn(value, " \t");
    if (!ws_headers_is_value(value)) {
        return ws_headers_fail(error_out,
                               "a header's value is one line without control characters");
    }
    return ws_headers_append(headers, line, name_bytes, value, error_out);
}

int ws_headers_add_token(struct ws_headers *headers, const char *token,
                         char error_out[WS_HEADERS_ERROR_BYTES_MAX])
{
    char value[WS_HEADERS_BYTES_MAX];
    for (const char *at = token; *at != 0; at++) {
        if (*at <= ' ' || *at > '~') {
            return ws_headers_fail(error_out, "a token has printable ASCII only, and no blanks");
        }
    }
    if (token[0] == 0) {
        return ws_headers_fail(error_out, "the token is empty");
    }
    if (snprintf(value, sizeof value, "Bearer %s", token) >= (int)sizeof value) {
        return ws_headers_fail(error_out, "the token is too long: it may have 6 KiB");
    }
    return ws_headers_append(headers, "Authorization", strlen("Authorization"), value, error_out);
}

int ws_headers_add_token_file(struct ws_headers *headers, const char *path,
                              char error_out[WS_HEADERS_ERROR_BYTES_MAX])
{
    char text[WS_HEADERS_BYTES_MAX];
    size_t bytes = 0;
    ssize_t got;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    do {
        got = fd < 0 ? -1 : read(fd, text + bytes, sizeof text - 1 - bytes);
        bytes += got > 0 ? (size_t)got : 0;
    } while (got > 0 && bytes < sizeof text - 1);
    int error = got < 0 ? -errno : 0;
    if (fd >= 0) {
        close(fd);
    }
    if (error != 0) {
        snprintf(error_out, WS_HEADERS_ERROR_BYTES_MAX, "cannot read the token of %s: %s", path,
                 strerror(-error));
        return error;
    }
    text[bytes] = 0;
    if (strlen(text) != bytes) {
        return ws_headers_fail(error_out, "the file of the token is no text");
    }
    while (bytes > 0 && strchr(" \t\r\n", text[bytes - 1]) != NULL) {
        text[--bytes] = 0;
    }
    return ws_headers_add_token(headers, text + strspn(text, " \t\r\n"), error_out);
}
