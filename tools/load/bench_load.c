#include "tools/load/bench_load.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "tools/load/bench_mqtt.h"
#include "tools/load/bench_nats.h"
#include "tools/load/bench_template.h"

#define SYMBOL_BYTES_MAX 64
#define RANGE_DIGITS_MAX 9
#define TRIES_MAX 64 /* to draw what is not drawn yet; then the most popular one left is taken */

struct bench_load {
    const struct bench_options *options;
    char **symbols;
    uint32_t symbol_count;
    double *popularity; /* running sum; NULL: nothing is drawn */
    uint32_t *found;    /* symbol index + 1 by hash */
    uint32_t found_mask;
    uint32_t *drawn; /* readers x subscription_count symbol indexes; NULL: nothing is drawn */
};

static int bench_load_fail(char *error_out, int error, const char *text)
{
    snprintf(error_out, WS_CLIENT_ERROR_BYTES_MAX, "%s", text);
    return error;
}

/* ---- The list ---- */

static int bench_load_add(struct bench_load *load, const char *text, size_t text_bytes)
{
    if (load->symbol_count == BENCH_SYMBOLS_MAX || text_bytes > SYMBOL_BYTES_MAX) {
        return -E2BIG;
    }
    load->symbols[load->symbol_count] = strndup(text, text_bytes);
    if (load->symbols[load->symbol_count] == NULL) {
        return -ENOMEM;
    }
    load->symbol_count++;
    return 0;
}

/* "S{000..199}.X": as many digits as the first number has. */
static int bench_load_add_range(struct bench_load *load, const char *text, size_t text_bytes,
                                const char *brace)
{
    static const char digits[] = "0123456789";
    char name[2 * SYMBOL_BYTES_MAX];
    size_t head_bytes = (size_t)(brace - text);
    const char *first = brace + 1;
    size_t first_digits = strspn(first, digits);
    const char *last = first + first_digits + 2;
    size_t last_digits = strncmp(first + first_digits, "..", 2) == 0 ? strspn(last, digits) : 0;
    if (head_bytes > SYMBOL_BYTES_MAX || first_digits == 0 || first_digits > RANGE_DIGITS_MAX ||
        last_digits == 0 || last_digits > RANGE_DIGITS_MAX || last[last_digits] != '}') {
        return -EINVAL;
    }
    const char *tail = last + last_digits + 1;
    size_t tail_bytes = text_bytes - (size_t)(tail - text);
    unsigned long end = strtoul(last, NULL, 10);
    unsigned long number = strtoul(first, NULL, 10);
    if (end < number || memchr(tail, '{', tail_bytes) != NULL) {
        return -EINVAL;
    }
    for (; number <= end; number++) {
        int bytes = snprintf(name, sizeof name, "%.*s%0*lu%.*s", (int)head_bytes, text,
                             (int)first_digits, number, (int)tail_bytes, tail);
        int error = bench_load_add(load, name, (size_t)bytes);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

static int bench_load_list(struct bench_load *load, char *error_out)
{
    const char *at = load->options->symbols;
    load->symbols = calloc(BENCH_SYMBOLS_MAX, sizeof *load->symbols);
    if (load->symbols == NULL) {
        return bench_load_fail(error_out, -ENOMEM, "out of memory");
    }
    while (*at != 0) {
        size_t bytes = strcspn(at, ",");
        const char *brace = memchr(at, '{', bytes);
        int error = bytes == 0      ? 0
                    : brace != NULL ? bench_load_add_range(load, at, bytes, brace)
                                    : bench_load_add(load, at, bytes);
        if (error != 0) {
            return bench_load_fail(error_out, error,
                                   "--symbols: a range is like S{000..199}; at most 100 000 "
                                   "symbols of at most 64 bytes");
        }
        at += bytes + (at[bytes] == ',');
    }
    return load->symbol_count > 0 ? 0 : bench_load_fail(error_out, -EINVAL, "--symbols is empty");
}

static uint32_t bench_load_hash(const char *text, size_t bytes)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < bytes; i++) {
        hash = (hash ^ (uint8_t)text[i]) * 16777619u;
    }
    return hash;
}

static int bench_load_index(struct bench_load *load)
{
    uint32_t size = 4;
    while (size < 2 * load->symbol_count) {
        size *= 2;
    }
    load->found_mask = size - 1;
    load->found = calloc(size, sizeof *load->found);
    if (load->found == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < load->symbol_count; i++) {
        uint32_t place = bench_load_hash(load->symbols[i], strlen(load->symbols[i]));
        while (load->found[place & load->found_mask] != 0) {
            place++;
        }
        load->found[place & load->found_mask] = i + 1;
    }
    return 0;
}

uint32_t bench_load_find(const struct bench_load *load, const char *symbol, size_t symbol_bytes)
{
    uint32_t place = bench_load_hash(symbol, symbol_bytes);
    for (;; place++) {
        uint32_t index_plus_1 = load->found[place & load->found_mask];
        if (index_plus_1 == 0) {
            return BENCH_SYMBOL_NONE;
        }
        const char *name = load->symbols[index_plus_1 - 1];
        if (strncmp(name, symbol, symbol_bytes) == 0 && name[symbol_bytes] == 0) {
            return index_plus_1 - 1;
        }
    }
}

const char *bench_load_symbol(const struct bench_load *load, uint32_t symbol)
{
    assert_always(symbol < load->symbol_count);
    return load->symbols[symbol];
}

/* ---- The draw ---- */

static double bench_load_random(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15); /* SplitMix64 */
    uint64_t z = *state;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ z >> 31) >> 11) * 0x1.0p-53;
}

static uint32_t bench_load_pick(const struct bench_load *load, uint64_t *state)
{
    double wanted = bench_load_random(state) * load->popularity[load->symbol_count - 1];
    uint32_t low = 0, high = load->symbol_count - 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (load->popularity[middle] > wanted) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static bool bench_load_has(const uint32_t *drawn, uint32_t count, uint32_t symbol)
{
    for (uint32_t i = 0; i < count; i++) {
        if (drawn[i] == symbol) {
            return true;
        }
    }
    return false;
}

/* The same for the same seed, connection and list. */
static void bench_load_draw(const struct bench_load *load, uint32_t conn_index, uint32_t *drawn)
{
    uint64_t state = (uint64_t)load->options->seed << 32 | conn_index;
    uint32_t most_popular = 0;
    for (uint32_t i = 0; i < load->options->subscription_count; i++) {
        uint32_t symbol = bench_load_pick(load, &state);
        for (uint32_t tries = 0; bench_load_has(drawn, i, symbol) && tries < TRIES_MAX; tries++) {
            symbol = bench_load_pick(load, &state);
        }
        while (bench_load_has(drawn, i, symbol)) {
            symbol = most_popular++;
        }
        drawn[i] = symbol;
    }
}

static int bench_load_prepare_draw(struct bench_load *load, char *error_out)
{
    const struct bench_options *options = load->options;
    uint32_t count = options->subscription_count;
    if (count == 0) {
        return 0;
    }
    if (count > load->symbol_count || strchr(options->symbols, '*') != NULL) {
        return bench_load_fail(error_out, -EINVAL,
                               "--subscriptions draws from --symbols: name at least as many, and "
                               "no patterns");
    }
    load->popularity = calloc(load->symbol_count, sizeof *load->popularity);
    load->drawn = calloc((size_t)options->connection_count * count, sizeof *load->drawn);
    if (load->popularity == NULL || load->drawn == NULL) {
        return bench_load_fail(error_out, -ENOMEM, "out of memory");
    }
    double sum = 0.0;
    for (uint32_t i = 0; i < load->symbol_count; i++) {
        sum += pow((double)i + 1.0, -options->zipf);
        load->popularity[i] = sum;
    }
    for (uint32_t i = 0; i < options->connection_count; i++) {
        bench_load_draw(load, i, load->drawn + (size_t)i * count);
    }
    return 0;
}

int bench_load_create(struct bench_load **load_out, const struct bench_options *options,
                      char error_out[WS_CLIENT_ERROR_BYTES_MAX])
{
    struct bench_load *load = calloc(1, sizeof *load);
    if (load == NULL) {
        return bench_load_fail(error_out, -ENOMEM, "out of memory");
    }
    load->options = options;
    int error = bench_load_list(load, error_out);
    if (error == 0 && (error = bench_load_index(load)) != 0) {
        bench_load_fail(error_out, error, "out of memory");
    }
    if (error == 0) {
        error = bench_load_prepare_draw(load, error_out);
    }
    if (error != 0) {
        bench_load_destroy(load);
        return error;
    }
    *load_out = load;
    return 0;
}

void bench_load_destroy(struct bench_load *load)
{
    for (uint32_t i = 0; i < load->symbol_count; i++) {
        free(load->symbols[i]);
    }
    free(load->symbols);
    free(load->popularity);
    free(load->drawn);
    free(load->found);
    free(load);
}

enum bench_role bench_load_role(const struct bench_load *load, uint32_t conn_index)
{
    uint32_t role = BENCH_READER;
    uint32_t end = load->options->role_counts[BENCH_READER];
    while (conn_index >= end) {
        role++;
        assert_always(role < BENCH_ROLES);
        end += load->options->role_counts[role];
    }
    return (enum bench_role)role;
}

bool bench_load_is_common(const struct bench_load *load)
{
    return load->drawn == NULL;
}

char *bench_load_text(const struct bench_load *load, uint32_t conn_index)
{
    uint32_t count = load->drawn != NULL ? load->options->subscription_count : load->symbol_count;
    const uint32_t *drawn = load->drawn != NULL ? load->drawn + (size_t)conn_index * count : NULL;
    char *text = malloc((size_t)count * (SYMBOL_BYTES_MAX + 1) + 1);
    size_t bytes = 0;
    for (uint32_t i = 0; text != NULL && i < count; i++) {
        const char *symbol = load->symbols[drawn != NULL ? drawn[i] : i];
        size_t symbol_bytes = strlen(symbol);
        if (i > 0) {
            text[bytes++] = ',';
        }
        memcpy(text + bytes, symbol, symbol_bytes);
        bytes += symbol_bytes;
        text[bytes] = 0;
    }
    return text;
}

/* ---- Messages ---- */

static const char place[] = BENCH_TEMPLATE_PLACE;

bool bench_load_path(const struct bench_load *load, uint32_t conn_index, char *path_out)
{
    const char *path = load->options->url.path;
    const char *found = strstr(path, place);
    if (found == NULL) {
        strcpy(path_out, path);
        return true;
    }
    char *symbols = bench_load_text(load, conn_index);
    int bytes = symbols == NULL
                    ? -1
                    : snprintf(path_out, WS_CLIENT_PATH_BYTES_MAX, "%.*s%s%s", (int)(found - path),
                               path, symbols, found + sizeof place - 1);
    free(symbols);
    return bytes >= 0 && (size_t)bytes < WS_CLIENT_PATH_BYTES_MAX;
}

char *bench_load_subscribe_text(const struct bench_load *load, uint32_t conn_index,
                                size_t *bytes_out)
{
    const struct bench_options *options = load->options;
    char *symbols = bench_load_text(load, conn_index);
    char *text = NULL;
    if (symbols != NULL && options->protocol == BENCH_NATS) {
        text = bench_nats_subscribe_text(symbols, options->topic, bytes_out);
    } else if (symbols != NULL && options->protocol == BENCH_MQTT) {
        text = bench_mqtt_subscribe_text(symbols, options->topic, bytes_out);
    } else if (symbols != NULL && options->protocol == BENCH_PLAIN) {
        text = bench_template_fill(options->send_text, symbols);
        *bytes_out = text == NULL ? 0 : strlen(text);
    } else if (symbols != NULL) {
        struct ws_client_subscription subscription = {
            .symbols = symbols,
            .types = options->types,
            .depth = options->depth,
            .snapshot = options->snapshot,
            .on_lag = "skip",
        };
        text = ws_client_subscribe_text(&subscription);
        *bytes_out = text == NULL ? 0 : strlen(text);
    }
    free(symbols);
    return text;
}

/* The connection with the longest list of symbols. */
static uint32_t bench_load_longest(const struct bench_load *load, size_t *list_bytes_out)
{
    uint32_t longest = 0;
    *list_bytes_out = 0;
    uint32_t conns = load->drawn != NULL ? load->options->connection_count : 1;
    uint32_t count = load->drawn != NULL ? load->options->subscription_count : load->symbol_count;
    for (uint32_t i = 0; i < conns; i++) {
        size_t bytes = count - 1; /* the commas */
        for (uint32_t k = 0; k < count; k++) {
            uint32_t symbol = load->drawn != NULL ? load->drawn[(size_t)i * count + k] : k;
            bytes += strlen(load->symbols[symbol]);
        }
        if (bytes > *list_bytes_out) {
            *list_bytes_out = bytes;
            longest = i;
        }
    }
    return longest;
}

int bench_load_check(const struct bench_load *load, char error_out[WS_CLIENT_ERROR_BYTES_MAX])
{
    const char *path = load->options->url.path;
    size_t list_bytes, bytes = 0;
    uint32_t longest = bench_load_longest(load, &list_bytes);
    size_t path_bytes = strlen(path) + list_bytes + 1 - sizeof place;
    if (strstr(path, place) != NULL && path_bytes >= WS_CLIENT_PATH_BYTES_MAX) {
        snprintf(error_out, WS_CLIENT_ERROR_BYTES_MAX,
                 "--symbols: with them the path of the URL has %zu bytes, and at most %d are "
                 "possible: name fewer, or draw fewer by --subscriptions",
                 path_bytes, WS_CLIENT_PATH_BYTES_MAX - 1);
        return -EMSGSIZE;
    }
    if (load->options->protocol == BENCH_PLAIN && load->options->send_text == NULL) {
        return 0;
    }
    char *text = bench_load_subscribe_text(load, longest, &bytes);
    free(text);
    if (text == NULL) {
        return bench_load_fail(error_out, -ENOMEM,
                               "out of memory, --types is empty, or not all of it is UTF-8");
    }
    if (bytes > WS_CLIENT_MESSAGE_BYTES_MAX) {
        snprintf(error_out, WS_CLIENT_ERROR_BYTES_MAX,
                 "--symbols: the subscription of a connection has %zu bytes, and at most %d are "
                 "possible: name fewer, or draw fewer by --subscriptions",
                 bytes, WS_CLIENT_MESSAGE_BYTES_MAX);
        return -EMSGSIZE;
    }
    return 0;
}

uint32_t bench_load_readers(const struct bench_load *load, uint32_t symbol)
{
    uint32_t readers = load->options->role_counts[BENCH_READER];
    uint32_t count = load->options->subscription_count;
    if (load->drawn == NULL) {
        return readers;
    }
    uint32_t found = 0;
    for (uint32_t i = 0; i < readers; i++) {
        found += bench_load_has(load->drawn + (size_t)i * count, count, symbol);
    }
    return found;
}
