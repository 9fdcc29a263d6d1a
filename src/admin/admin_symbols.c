#include "src/admin/admin_symbols.h"

#include <microhttpd.h>
#include <stdio.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "src/request/reply.h"
#include "src/request/request_symbols.h"
#include "src/symbols/symbols.h"

#define ADMIN_SYMBOLS_DIGITS_MAX 9

struct admin_symbols_query {
    struct request_symbols symbols;
    unsigned seen; /* a bit for each key */
    char *error;
};

/* 0, which is no limit, for what is no number. */
static int64_t admin_symbols_number(const char *text)
{
    int64_t number = 0;
    size_t digits = strspn(text, "0123456789");
    if (text[digits] != '\0' || digits > ADMIN_SYMBOLS_DIGITS_MAX) {
        return 0;
    }
    for (size_t i = 0; i < digits; i++) {
        number = 10 * number + (text[i] - '0');
    }
    return number;
}

static void admin_symbols_take_stale(struct admin_symbols_query *query, const char *value)
{
    query->symbols.only_stale = strcmp(value, "yes") == 0;
    if (!query->symbols.only_stale && strcmp(value, "no") != 0) {
        snprintf(query->error, ADMIN_SYMBOLS_ERROR_BYTES_MAX, "stale must be yes or no");
    }
}

/* value: NULL for a key without '='. What others chose is not repeated but for the key's name. */
static enum MHD_Result admin_symbols_on_key(void *context, enum MHD_ValueKind kind, const char *key,
                                            size_t key_bytes, const char *value, size_t value_bytes)
{
    static const char *const keys[] = {"pattern", "after", "limit", "stale"};
    struct admin_symbols_query *query = context;
    (void)kind;
    for (unsigned i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (key_bytes != strlen(keys[i]) || memcmp(key, keys[i], key_bytes) != 0) {
            continue;
        }
        if (value == NULL || strlen(value) != value_bytes || (query->seen & (1u << i)) != 0) {
            snprintf(query->error, ADMIN_SYMBOLS_ERROR_BYTES_MAX,
                     "%s must be given once, with a value of text", keys[i]);
            return MHD_NO;
        }
        query->seen |= 1u << i;
        switch (i) {
        case 0:
            query->symbols.pattern = value;
            break;
        case 1:
            query->symbols.after = value;
            break;
        case 2:
            query->symbols.limit = admin_symbols_number(value);
            break;
        default:
            admin_symbols_take_stale(query, value);
        }
        return MHD_YES;
    }
    snprintf(query->error, ADMIN_SYMBOLS_ERROR_BYTES_MAX,
             "/symbols takes pattern, after, limit and stale, and nothing else");
    return MHD_NO;
}

char *admin_symbols_write(const struct symbols *symbols, struct MHD_Connection *connection,
                          size_t *bytes_out, char error_out[ADMIN_SYMBOLS_ERROR_BYTES_MAX])
{
    const char *field;
    struct reply reply = {0};
    struct admin_symbols_query query = {.symbols = REQUEST_SYMBOLS_ALL, .error = error_out};
    error_out[0] = '\0';
    MHD_get_connection_values_n(connection, MHD_GET_ARGUMENT_KIND, admin_symbols_on_key, &query);
    const char *fault = request_symbols_fault(&query.symbols, &field);
    if (error_out[0] == '\0' && fault != NULL) {
        snprintf(error_out, ADMIN_SYMBOLS_ERROR_BYTES_MAX, "%s", fault);
    }
    if (error_out[0] != '\0') {
        return NULL;
    }
    symbols_write(symbols, &query.symbols, clock_ns(CLOCK_MONOTONIC), &reply);
    if (reply.failed) {
        reply_deinit(&reply);
        return NULL;
    }
    assert_always(reply.bytes > 0);
    *bytes_out = reply.bytes;
    return reply.text;
}
