#include "src/base/log_line.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "codec/utf8.h"

static const struct {
    const char *name;
    int priority;
} log_line_levels[] = {
    [LOG_LEVEL_DEBUG] = {"DEBUG", 7},       [LOG_LEVEL_INFO] = {"INFO", 6},
    [LOG_LEVEL_WARNING] = {"WARNING", 4},   [LOG_LEVEL_ERROR] = {"ERROR", 3},
    [LOG_LEVEL_CRITICAL] = {"CRITICAL", 2},
};

const char *log_line_level_name(enum log_level level)
{
    assert_always(level <= LOG_LEVEL_CRITICAL);
    return log_line_levels[level].name;
}

size_t log_line_format_time(char *out, size_t out_bytes, uint64_t wall_ns)
{
    time_t seconds = (time_t)(wall_ns / NS_PER_SECOND);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    size_t length = strftime(out, out_bytes, "%Y-%m-%dT%H:%M:%S", &utc);
    int more = snprintf(out + length, out_bytes - length, ".%03uZ",
                        (unsigned)(wall_ns % NS_PER_SECOND / NS_PER_MS));
    return length + (size_t)more;
}

size_t log_line_escape(char *out, const char *text, bool is_json)
{
    size_t length = 0;
    while (*text != '\0') {
        struct utf8_character at = utf8_character_at(text, strnlen(text, 4));
        if (!at.is_printable && at.is_valid && is_json) {
            length += (size_t)sprintf(out + length, "\\u%04x", at.code);
            text += at.bytes;
            continue;
        }
        if (!at.is_printable) {
            out[length++] = '?';
            text += at.bytes;
            continue;
        }
        if (is_json && (*text == '"' || *text == '\\')) {
            out[length++] = '\\';
        }
        memcpy(out + length, text, at.bytes);
        length += at.bytes;
        text += at.bytes;
    }
    return length;
}

static size_t log_line_prefix(char *out, const struct log_line *line, struct log_line_style style)
{
    char when[40];
    char priority[8] = "";
    int length;
    log_line_format_time(when, sizeof when, line->wall_ns);
    if (style.is_journal) {
        snprintf(priority, sizeof priority, "<%d>", log_line_levels[line->level].priority);
    }
    if (style.is_json) {
        length = snprintf(out, LOG_LINE_PREFIX_BYTES_MAX,
                          "%s{\"ts\":\"%s\",\"level\":\"%s\",\"message\":\"", priority, when,
                          log_line_level_name(line->level));
    } else {
        length = snprintf(out, LOG_LINE_PREFIX_BYTES_MAX, "%s%s%s%s ringcast: ", priority,
                          style.is_journal ? "" : when, style.is_journal ? "" : " ",
                          log_line_level_name(line->level));
    }
    assert_always(length < LOG_LINE_PREFIX_BYTES_MAX);
    return (size_t)length;
}

static size_t log_line_member(char *out, const char *name, const char *value)
{
    if (value == NULL || value[0] == '\0') {
        return 0;
    }
    size_t used = (size_t)sprintf(out, ",\"%s\":\"", name);
    used += log_line_escape(out + used, value, true);
    out[used++] = '"';
    return used;
}

size_t log_line_format(char out[LOG_LINE_OUT_BYTES_MAX], const struct log_line *line,
                       struct log_line_style style)
{
    assert_always(line->level <= LOG_LEVEL_CRITICAL);
    size_t used = log_line_prefix(out, line, style);
    used += log_line_escape(out + used, line->text, style.is_json);
    if (style.is_json) {
        out[used++] = '"';
        used += log_line_member(out + used, "client", line->fields.client);
        used += log_line_member(out + used, "name", line->fields.name);
        if (line->fields.code != 0) {
            used += (size_t)sprintf(out + used, ",\"code\":%d", line->fields.code);
        }
        out[used++] = '}';
    }
    out[used++] = '\n';
    assert_always(used <= LOG_LINE_OUT_BYTES_MAX);
    return used;
}
