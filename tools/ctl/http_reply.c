#include "tools/ctl/http_reply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "codec/base/check.h"

#define HTTP_REPLY_DIGITS_MAX 15 /* of a length; more is beyond any limit */

void http_reply_init(struct http_reply *reply)
{
    memset(reply, 0, offsetof(struct http_reply, line));
}

void http_reply_deinit(struct http_reply *reply)
{
    free(reply->body);
    reply->body = NULL;
}

static int http_reply_fail(struct http_reply *reply, int error, const char *why)
{
    reply->error = why;
    return error;
}

/* ---- Body ---- */

static int http_reply_append(struct http_reply *reply, const char *bytes, size_t count)
{
    assert_always(reply->body_bytes <= HTTP_REPLY_BODY_BYTES_MAX);
    if (count > HTTP_REPLY_BODY_BYTES_MAX - reply->body_bytes) {
        return http_reply_fail(reply, -EMSGSIZE, "the answer has more than 64 MiB");
    }
    size_t needed = reply->body_bytes + count + 1;
    if (needed > reply->body_capacity) {
        size_t capacity = needed < 4096 ? 4096 : 2 * needed;
        char *grown = realloc(reply->body, capacity);
        if (grown == NULL) {
            return http_reply_fail(reply, -ENOMEM, "out of memory");
        }
        reply->body = grown;
        reply->body_capacity = capacity;
    }
    memcpy(reply->body + reply->body_bytes, bytes, count);
    reply->body_bytes += count;
    reply->body[reply->body_bytes] = '\0';
    return 0;
}

/* As much of the body as is there; returns how many bytes, or an error. */
static int64_t http_reply_take_body(struct http_reply *reply, const char *bytes, size_t count)
{
    bool is_open = reply->state == HTTP_REPLY_OPEN;
    size_t take = is_open || count < reply->left ? count : (size_t)reply->left;
    int error = http_reply_append(reply, bytes, take);
    if (error < 0) {
        return error;
    }
    reply->left -= is_open ? 0 : take;
    if (!is_open && reply->left == 0) {
        reply->state = reply->state == HTTP_REPLY_SIZED ? HTTP_REPLY_DONE : HTTP_REPLY_CHUNK_END;
    }
    return (int64_t)take;
}

/* ---- Lines ---- */

/* A number of at least one digit, up to the end or to one of the bytes of ends. */
static bool http_reply_number(const char *text, int base, const char *ends, uint64_t *value_out)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    size_t count = base == 16 ? strspn(text, digits) : strspn(text, "0123456789");
    if (count == 0 || count > HTTP_REPLY_DIGITS_MAX ||
        (text[count] != '\0' && strchr(ends, text[count]) == NULL)) {
        return false;
    }
    *value_out = strtoull(text, NULL, base);
    return true;
}

/* "HTTP/1.1 200 OK" */
static int http_reply_on_status(struct http_reply *reply)
{
    const char *line = reply->line;
    uint64_t status;
    if (strncmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1') || line[8] != ' ' ||
        !http_reply_number(line + 9, 10, " ", &status) || status < 100 || status > 599) {
        return http_reply_fail(reply, -EPROTO, "the answer is not HTTP");
    }
    reply->status = (unsigned)status;
    reply->has_length = false;
    reply->is_chunked = false;
    reply->left = 0;
    reply->state = HTTP_REPLY_HEADER;
    return 0;
}

static int http_reply_on_head_end(struct http_reply *reply)
{
    bool is_empty = reply->status == 204 || reply->status == 304;
    if (reply->status < 200) {
        reply->state = HTTP_REPLY_STATUS;
    } else if (is_empty) {
        reply->state = HTTP_REPLY_DONE;
    } else if (reply->is_chunked && reply->has_length) {
        return http_reply_fail(reply, -EPROTO, "the answer gives its length in two ways");
    } else if (reply->is_chunked) {
        reply->state = HTTP_REPLY_CHUNK;
    } else if (!reply->has_length) {
        reply->state = HTTP_REPLY_OPEN;
    } else {
        reply->state = reply->left == 0 ? HTTP_REPLY_DONE : HTTP_REPLY_SIZED;
    }
    return 0;
}

static int http_reply_on_header(struct http_reply *reply)
{
    char *value = strchr(reply->line, ':');
    if (reply->line[0] == '\0') {
        return http_reply_on_head_end(reply);
    }
    if (value == NULL || value == reply->line) {
        return http_reply_fail(reply, -EPROTO, "the answer has a line that is no header");
    }
    *value++ = '\0';
    value += strspn(value, " \t");
    if (strcasecmp(reply->line, "Content-Length") == 0) {
        uint64_t length;
        if (!http_reply_number(value, 10, " \t", &length) ||
            (reply->has_length && length != reply->left)) {
            return http_reply_fail(reply, -EPROTO, "the answer's Content-Length is not valid");
        }
        reply->has_length = true;
        reply->left = length;
    } else if (strcasecmp(reply->line, "Transfer-Encoding") == 0) {
        if (strncasecmp(value, "chunked", 7) != 0 || value[7 + strspn(value + 7, " \t")] != '\0') {
            return http_reply_fail(reply, -EPROTO, "the answer has an unknown Transfer-Encoding");
        }
        reply->is_chunked = true;
    }
    return 0;
}

static int http_reply_on_chunk(struct http_reply *reply)
{
    if (!http_reply_number(reply->line, 16, "; \t", &reply->left)) {
        return http_reply_fail(reply, -EPROTO, "the answer has a chunk without a size");
    }
    reply->state = reply->left == 0 ? HTTP_REPLY_TRAILER : HTTP_REPLY_CHUNK_DATA;
    return 0;
}

static int http_reply_on_line(struct http_reply *reply)
{
    if (reply->state != HTTP_REPLY_CHUNK && reply->state != HTTP_REPLY_CHUNK_END &&
        ++reply->line_count > HTTP_REPLY_LINES_MAX) {
        return http_reply_fail(reply, -EMSGSIZE, "the answer has too many header lines");
    }
    switch (reply->state) {
    case HTTP_REPLY_STATUS:
        return http_reply_on_status(reply);
    case HTTP_REPLY_HEADER:
        return http_reply_on_header(reply);
    case HTTP_REPLY_CHUNK:
        return http_reply_on_chunk(reply);
    case HTTP_REPLY_CHUNK_END:
        reply->state = HTTP_REPLY_CHUNK;
        return reply->line[0] == '\0'
                   ? 0
                   : http_reply_fail(reply, -EPROTO, "the answer has a chunk without an end");
    default:
        assert_always(reply->state == HTTP_REPLY_TRAILER);
        reply->state = reply->line[0] == '\0' ? HTTP_REPLY_DONE : HTTP_REPLY_TRAILER;
        return 0;
    }
}

/* Returns how many bytes it took, or an error. */
static int64_t http_reply_take_line(struct http_reply *reply, const char *bytes, size_t count)
{
    const char *newline = memchr(bytes, '\n', count);
    size_t take = newline == NULL ? count : (size_t)(newline - bytes);
    assert_always(reply->line_bytes < sizeof reply->line);
    if (take >= sizeof reply->line - reply->line_bytes) {
        return http_reply_fail(reply, -EMSGSIZE, "the answer has a header that is too long");
    }
    memcpy(reply->line + reply->line_bytes, bytes, take);
    reply->line_bytes += take;
    if (newline == NULL) {
        return (int64_t)take;
    }
    if (reply->line_bytes > 0 && reply->line[reply->line_bytes - 1] == '\r') {
        reply->line_bytes--;
    }
    reply->line[reply->line_bytes] = '\0';
    bool is_text = strlen(reply->line) == reply->line_bytes;
    reply->line_bytes = 0;
    int error = is_text ? http_reply_on_line(reply)
                        : http_reply_fail(reply, -EPROTO, "the answer is not HTTP");
    return error < 0 ? error : (int64_t)take + 1;
}

int http_reply_take(struct http_reply *reply, const char *bytes, size_t count)
{
    while (count > 0 && reply->state != HTTP_REPLY_DONE) {
        bool is_body = reply->state == HTTP_REPLY_SIZED || reply->state == HTTP_REPLY_OPEN ||
                       reply->state == HTTP_REPLY_CHUNK_DATA;
        int64_t took = is_body ? http_reply_take_body(reply, bytes, count)
                               : http_reply_take_line(reply, bytes, count);
        if (took < 0) {
            return (int)took;
        }
        assert_always(took > 0);
        bytes += took;
        count -= (size_t)took;
    }
    return reply->state == HTTP_REPLY_DONE;
}

int http_reply_end(struct http_reply *reply)
{
    if (reply->state == HTTP_REPLY_OPEN) {
        reply->state = HTTP_REPLY_DONE;
    }
    bool has_begun = reply->state != HTTP_REPLY_STATUS || reply->line_bytes > 0;
    return reply->state == HTTP_REPLY_DONE
               ? 0
               : http_reply_fail(reply, -EPROTO,
                                 has_begun ? "the answer was cut off"
                                           : "the connection was closed without an answer");
}
