#include "src/base/access_log.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "src/base/log.h"
#include "src/base/log_line.h"

#define ACCESS_LOG_ADDRESS_BYTES_MAX 46 /* all of these as they are written */
#define ACCESS_LOG_USER_BYTES_MAX 64
#define ACCESS_LOG_WORD_BYTES_MAX 24
#define ACCESS_LOG_NAMES_BYTES_MAX 80   /* of a server name or certificate; */
#define ACCESS_LOG_SHORT_NAMES_BYTES 24 /* where a line has no room for that */
#define ACCESS_LOG_PIECE_BYTES_MAX 64
#define ACCESS_LOG_KEY_BYTES_MAX 64 /* of a query parameter, as far as it is looked at */

enum access_log_field {
    ACCESS_LOG_REMOTE_ADDR,
    ACCESS_LOG_USER,
    ACCESS_LOG_TIMESTAMP,
    ACCESS_LOG_REQUEST,
    ACCESS_LOG_STATUS,
    ACCESS_LOG_BYTES,
    ACCESS_LOG_DURATION,
    ACCESS_LOG_SESSION,
    ACCESS_LOG_CLOSE_CODE,
    ACCESS_LOG_ENCODING,
    ACCESS_LOG_TLS,
    ACCESS_LOG_CIPHER,
    ACCESS_LOG_SERVER_NAME,
    ACCESS_LOG_CERTIFICATE,
    ACCESS_LOG_FIELD_COUNT,
};

static const char *const access_log_names[] = {
    "remote_addr", "user",       "timestamp", "request", "status", "bytes",       "duration",
    "session",     "close_code", "encoding",  "tls",     "cipher", "server_name", "certificate",
};
static_assert(sizeof access_log_names / sizeof access_log_names[0] == ACCESS_LOG_FIELD_COUNT,
              "each field has a name");

/* Chosen by main. */
static struct {
    uint8_t fields[ACCESS_LOG_FIELD_COUNT]; /* each at most once: a line has room for all */
    uint32_t count;
} access_log;

/* ---- The choice ---- */

static int access_log_find(const char *name, size_t name_bytes)
{
    for (int i = 0; i < ACCESS_LOG_FIELD_COUNT; i++) {
        if (strlen(access_log_names[i]) == name_bytes &&
            memcmp(access_log_names[i], name, name_bytes) == 0) {
            return i;
        }
    }
    return -1;
}

static int access_log_refuse(const char *name, size_t name_bytes, char *error_out,
                             size_t error_bytes)
{
    int used = snprintf(error_out, error_bytes,
                        "--access-log-format: there is no field \"%.*s\"; the fields are:",
                        (int)(name_bytes < 64 ? name_bytes : 64), name);
    for (int i = 0; i < ACCESS_LOG_FIELD_COUNT && (size_t)used < error_bytes; i++) {
        used += snprintf(error_out + used, error_bytes - (size_t)used, " %s", access_log_names[i]);
    }
    return -EINVAL;
}

int access_log_choose(const char *names, char *error_out, size_t error_bytes)
{
    access_log.count = 0;
    for (names += strspn(names, " "); *names != '\0'; names += strspn(names, " ")) {
        size_t bytes = strcspn(names, " ");
        int field = access_log_find(names, bytes);
        if (field < 0) {
            return access_log_refuse(names, bytes, error_out, error_bytes);
        }
        if (memchr(access_log.fields, field, access_log.count) != NULL) {
            snprintf(error_out, error_bytes, "--access-log-format: name %s once",
                     access_log_names[field]);
            return -EINVAL;
        }
        access_log.fields[access_log.count++] = (uint8_t)field;
        names += bytes;
    }
    if (access_log.count == 0) {
        snprintf(error_out, error_bytes, "--access-log-format: name at least one field");
        return -EINVAL;
    }
    return 0;
}

/* ---- What is kept of a request ---- */

/* Whether a name of a query parameter, which may be percent-encoded, contains "token". */
static bool access_log_is_secret(const char *name, size_t name_bytes)
{
    char plain[ACCESS_LOG_KEY_BYTES_MAX + 1];
    size_t used = 0;
    for (size_t i = 0; i < name_bytes && used < ACCESS_LOG_KEY_BYTES_MAX; i++) {
        unsigned code = (unsigned char)name[i];
        if (code == '%' && i + 2 < name_bytes && isxdigit((unsigned char)name[i + 1]) &&
            isxdigit((unsigned char)name[i + 2])) {
            (void)sscanf(name + i + 1, "%2x", &code);
            i += 2;
        }
        plain[used++] = code == 0 ? ' ' : (char)tolower((int)code);
    }
    plain[used] = '\0';
    return strstr(plain, "token") != NULL;
}

void access_log_keep_request(char out[ACCESS_LOG_REQUEST_BYTES_MAX], const void *head,
                             size_t head_bytes)
{
    const char *text = head;
    size_t used = 0;
    size_t name = 0; /* where the name of the parameter begins; 0: in none */
    for (size_t i = 0; i < head_bytes && used < ACCESS_LOG_REQUEST_BYTES_MAX - 1; i++) {
        char at = text[i];
        if (at == '\r' || at == '\n') {
            break;
        }
        out[used++] = at == '\0' ? '?' : at;
        if (at == '=' && name > 0 && access_log_is_secret(text + name, i - name)) {
            for (int k = 0; k < 3 && used < ACCESS_LOG_REQUEST_BYTES_MAX - 1; k++) {
                out[used++] = '*';
            }
            while (i + 1 < head_bytes && strchr("& \r\n", text[i + 1]) == NULL) {
                i++;
            }
        }
        if (at == '?' || at == '&' || at == '=' || at == ' ') {
            name = at == '?' || at == '&' ? i + 1 : 0;
        }
    }
    out[used] = '\0';
}

/* ---- A line ---- */

/* A line that is being written; what does not fit is counted. */
struct access_log_out {
    char text[LOG_POST_BYTES_MAX];
    size_t wanted_bytes;
    bool is_json;
};

static void access_log_put(struct access_log_out *out, const char *bytes, size_t count)
{
    if (out->wanted_bytes + count < sizeof out->text) {
        memcpy(out->text + out->wanted_bytes, bytes, count);
        out->text[out->wanted_bytes + count] = '\0';
    }
    out->wanted_bytes += count;
}

__attribute__((format(printf, 2, 3))) static void access_log_print(struct access_log_out *out,
                                                                   const char *format, ...)
{
    char piece[ACCESS_LOG_PIECE_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(piece, sizeof piece, format, arguments);
    va_end(arguments);
    assert_always(bytes >= 0 && (size_t)bytes < sizeof piece);
    access_log_put(out, piece, (size_t)bytes);
}

/* A value of at most bytes_max bytes as it is written; cut at a whole character. */
static void access_log_put_value(struct access_log_out *out, const char *value, size_t bytes_max)
{
    for (; *value != '\0'; value++) {
        char piece[8] = {*value};
        unsigned char at = (unsigned char)*value;
        size_t bytes = 1;
        if (at < 0x20 || at >= 0x7f) {
            bytes = (size_t)sprintf(piece, out->is_json ? "\\u%04x" : "\\x%02x", at);
        } else if (at == '"' || at == '\\') {
            bytes = (size_t)sprintf(piece, "\\%c", at);
        }
        if (bytes > bytes_max) {
            return;
        }
        bytes_max -= bytes;
        access_log_put(out, piece, bytes);
    }
}

static void access_log_put_text(struct access_log_out *out, const char *value, size_t bytes_max,
                                bool is_quoted)
{
    if (value == NULL || value[0] == '\0') {
        access_log_print(out, out->is_json ? "null" : "-");
        return;
    }
    is_quoted = is_quoted || out->is_json || strpbrk(value, " \"\\") != NULL;
    access_log_print(out, is_quoted ? "\"" : "");
    access_log_put_value(out, value, bytes_max);
    access_log_print(out, is_quoted ? "\"" : "");
}

static void access_log_put_number(struct access_log_out *out, int64_t value, bool is_known)
{
    if (is_known) {
        access_log_print(out, "%" PRId64, value);
    } else {
        access_log_print(out, out->is_json ? "null" : "-");
    }
}

/* How much of them a line has room for. */
struct access_log_room {
    size_t request_bytes;
    size_t name_bytes; /* server_name and certificate, each */
};

static void access_log_put_field(struct access_log_out *out, enum access_log_field field,
                                 const struct access_log_entry *entry,
                                 const struct access_log_room *room)
{
    char when[40];
    switch (field) {
    case ACCESS_LOG_REMOTE_ADDR:
        access_log_put_text(out, entry->remote_addr, ACCESS_LOG_ADDRESS_BYTES_MAX, false);
        return;
    case ACCESS_LOG_USER:
        access_log_put_text(out, entry->user, ACCESS_LOG_USER_BYTES_MAX, false);
        return;
    case ACCESS_LOG_TIMESTAMP:
        log_line_format_time(when, sizeof when, entry->wall_ns);
        access_log_put_text(out, when, sizeof when, false);
        return;
    case ACCESS_LOG_REQUEST:
        access_log_put_text(out, entry->request, room->request_bytes, true);
        return;
    case ACCESS_LOG_STATUS:
        access_log_put_number(out, entry->status, true);
        return;
    case ACCESS_LOG_BYTES:
        access_log_put_number(out, entry->bytes, entry->bytes >= 0);
        return;
    case ACCESS_LOG_DURATION:
        if (entry->open_ns >= 0) {
            access_log_print(out, "%.3f", (double)entry->open_ns / (double)NS_PER_SECOND);
        } else {
            access_log_put_number(out, 0, false);
        }
        return;
    case ACCESS_LOG_SESSION:
        access_log_put_text(out, entry->session, ACCESS_LOG_WORD_BYTES_MAX, false);
        return;
    case ACCESS_LOG_CLOSE_CODE:
        access_log_put_number(out, entry->close_code, entry->close_code != 0);
        return;
    case ACCESS_LOG_ENCODING:
        access_log_put_text(out, entry->encoding, ACCESS_LOG_WORD_BYTES_MAX, false);
        return;
    case ACCESS_LOG_TLS:
        access_log_put_text(out, entry->tls, ACCESS_LOG_WORD_BYTES_MAX, false);
        return;
    case ACCESS_LOG_CIPHER:
        access_log_put_text(out, entry->cipher, ACCESS_LOG_WORD_BYTES_MAX, false);
        return;
    case ACCESS_LOG_SERVER_NAME:
        access_log_put_text(out, entry->server_name, room->name_bytes, false);
        return;
    default:
        access_log_put_text(out, entry->certificate, room->name_bytes, false);
        return;
    }
}

static void access_log_put_line(struct access_log_out *out, const struct access_log_entry *entry,
                                const struct access_log_room *room)
{
    *out = (struct access_log_out){.is_json = log_is_json()};
    for (uint32_t i = 0; i < access_log.count; i++) {
        enum access_log_field field = (enum access_log_field)access_log.fields[i];
        if (out->is_json) {
            access_log_print(out, "%s\"%s\":", i == 0 ? "{" : ",", access_log_names[field]);
        } else {
            access_log_print(out, i == 0 ? "" : " ");
        }
        access_log_put_field(out, field, entry, room);
    }
    access_log_print(out, out->is_json ? "}" : "");
}

/* A request that is too long for the line is cut, and names where that does not suffice. */
static void access_log_format(struct access_log_out *out, const struct access_log_entry *entry)
{
    struct access_log_room room = {sizeof out->text, ACCESS_LOG_NAMES_BYTES_MAX};
    assert_always(access_log.count > 0);
    access_log_put_line(out, entry, &room);
    if (out->wanted_bytes < sizeof out->text) {
        return;
    }
    room.request_bytes = 0;
    access_log_put_line(out, entry, &room);
    if (out->wanted_bytes >= sizeof out->text) {
        room.name_bytes = ACCESS_LOG_SHORT_NAMES_BYTES;
        access_log_put_line(out, entry, &room);
    }
    assert_always(out->wanted_bytes < sizeof out->text);
    room.request_bytes = sizeof out->text - 1 - out->wanted_bytes;
    access_log_put_line(out, entry, &room);
    assert_always(out->wanted_bytes < sizeof out->text);
}

void access_log_write(const struct access_log_entry *entry)
{
    struct access_log_out out;
    access_log_format(&out, entry);
    log_write_access(out.text);
}

void access_log_post(uint32_t producer, const struct access_log_entry *entry)
{
    struct access_log_out out;
    access_log_format(&out, entry);
    log_post_access(producer, out.text);
}
