#include "feeds/feed.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/base/yes_no.h"
#include "codec/nearest.h"

#define FEED_KEYS_MAX 32
#define FEED_NUMBER_BYTES_MAX 24

/* Every feed, from the folder of its name. */
extern const struct feed_ops feed_sim;
extern const struct feed_ops feed_replay;
extern const struct feed_ops feed_ingest;

static const struct feed_ops *const feed_registry[] = {
    &feed_sim,
    &feed_replay,
    &feed_ingest,
};

#define FEED_REGISTRY_COUNT (sizeof feed_registry / sizeof feed_registry[0])

const struct feed_ops *feed_at(size_t index)
{
    return index < FEED_REGISTRY_COUNT ? feed_registry[index] : NULL;
}

int feed_fail(char error_out[FEED_ERROR_BYTES_MAX], int error, const char *format, ...)
{
    assert_always(error < 0);

    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error_out, FEED_ERROR_BYTES_MAX, format, arguments);
    va_end(arguments);
    return error;
}

void feed_log(const struct feed *feed, enum feed_level level, const char *format, ...)
{
    char text[FEED_ERROR_BYTES_MAX];

    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    feed->sink->log(feed->sink->context, level, text);
}

void feed_set_state(struct feed *feed, enum feed_state state, uint64_t now_ns, const char *format,
                    ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(feed->cause, sizeof feed->cause, format, arguments);
    va_end(arguments);
    feed->state_revision++;
    if (feed->state == state && feed->state_since_ns != 0) {
        return;
    }
    feed->state = state;
    feed->state_since_ns = now_ns;
    feed_log(feed, state == FEED_LIVE || state == FEED_CONNECTING ? FEED_INFO : FEED_WARNING,
             "feed %s is %s%s%s", feed->sink->name, feed_state_name(state),
             feed->cause[0] == '\0' ? "" : ": ", feed->cause);
}

/* Writes: unknown WHAT "TEXT" (did you mean "NEAR"?); valid: A, B, C. */
static int feed_fail_unknown(char error_out[FEED_ERROR_BYTES_MAX], const char *prefix,
                             const char *what, const char *text, const char *const *names,
                             size_t name_count)
{
    const char *nearest = nearest_name(text, names, name_count);
    int length = snprintf(
        error_out, FEED_ERROR_BYTES_MAX, "%sunknown %s \"%.64s\"%s%s%s; valid: ", prefix, what,
        text, nearest ? " (did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?)" : "");
    for (size_t i = 0; i < name_count && length < FEED_ERROR_BYTES_MAX; i++) {
        length += snprintf(error_out + length, (size_t)(FEED_ERROR_BYTES_MAX - length), "%s%s",
                           i == 0 ? "" : ", ", names[i]);
    }
    return -EINVAL;
}

/* The feed that a spec names; NULL: none. Other servers call the simulated market "mock". */
static const struct feed_ops *feed_find(const char *spec)
{
    size_t name_bytes = strcspn(spec, ":");
    if (name_bytes == strlen("mock") && memcmp(spec, "mock", name_bytes) == 0) {
        return &feed_sim;
    }
    for (size_t i = 0; i < FEED_REGISTRY_COUNT; i++) {
        const struct feed_ops *ops = feed_registry[i];
        if (strlen(ops->name) == name_bytes && memcmp(spec, ops->name, name_bytes) == 0) {
            return ops;
        }
    }
    return NULL;
}

int feed_open(struct feed **feed_out, const char *spec, const struct feed_sink *sink,
              uint64_t now_ns, char error_out[FEED_ERROR_BYTES_MAX])
{
    size_t name_bytes = strcspn(spec, ":");
    const struct feed_ops *ops = feed_find(spec);
    if (ops != NULL) {
        const char *keys = spec + name_bytes + (spec[name_bytes] == ':');
        int error = ops->open(feed_out, keys, sink, now_ns, error_out);
        if (error == 0) {
            (*feed_out)->ops = ops;
        }
        return error;
    }

    const char *names[FEED_REGISTRY_COUNT];
    for (size_t i = 0; i < FEED_REGISTRY_COUNT; i++) {
        names[i] = feed_registry[i]->name;
    }
    char name[NEAREST_NAME_BYTES_MAX + 2]; /* One more, so that too long a name is near to none. */
    snprintf(name, sizeof name, "%.*s", (int)(name_bytes < 1000 ? name_bytes : 1000), spec);
    return feed_fail_unknown(error_out, "", "feed", name, names, FEED_REGISTRY_COUNT);
}

uint32_t feed_connections_max(const char *spec, uint64_t descriptor_count)
{
    const struct feed_ops *ops = feed_find(spec);
    if (ops == NULL) {
        return 0;
    }
    return descriptor_count / 3 < ops->connections_max ? (uint32_t)(descriptor_count / 3)
                                                       : ops->connections_max;
}

static bool feed_parse_u64(const char *text, uint64_t *value_out)
{
    uint64_t value = 0;
    if (*text == '\0') {
        return false;
    }
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || __builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value)) {
            return false;
        }
    }
    *value_out = value;
    return true;
}

/* Digits with an optional point; strtod alone would also take "inf", "0x1p3" and "1e300". */
static bool feed_parse_decimal(const char *text, double *value_out)
{
    size_t bytes = strlen(text);
    size_t digit_count = 0;
    size_t point_count = 0;
    for (size_t i = 0; i < bytes; i++) {
        digit_count += text[i] >= '0' && text[i] <= '9';
        point_count += text[i] == '.';
    }
    if (digit_count == 0 || point_count > 1 || digit_count + point_count != bytes ||
        bytes > FEED_NUMBER_BYTES_MAX) {
        return false;
    }
    *value_out = strtod(text, NULL);
    return true;
}

static int feed_set_key(const char *feed_name, const struct feed_key *key, const char *text,
                        char error_out[FEED_ERROR_BYTES_MAX])
{
    uint64_t number;
    switch (key->kind) {
    case FEED_KEY_U64:
        if (!feed_parse_u64(text, &number) || number < key->min || number > key->max) {
            return feed_fail(error_out, -EINVAL, "%s: %s=%.64s is not an integer from %llu to %llu",
                             feed_name, key->name, text, (unsigned long long)key->min,
                             (unsigned long long)key->max);
        }
        *(uint64_t *)key->value = number;
        return 0;
    case FEED_KEY_TEXT:
        if (*text == '\0') {
            return feed_fail(error_out, -EINVAL, "%s: %s= is empty", feed_name, key->name);
        }
        snprintf(key->value, FEED_TEXT_BYTES_MAX, "%s", text);
        return 0;
    case FEED_KEY_BOOL:
        if (!yes_no_parse(text, key->value)) {
            return feed_fail(error_out, -EINVAL, "%s: %s=%.64s is neither yes nor no", feed_name,
                             key->name, text);
        }
        return 0;
    case FEED_KEY_DECIMAL:
        if (!feed_parse_decimal(text, key->value)) {
            return feed_fail(error_out, -EINVAL, "%s: %s=%.64s is not a number like 1, 0.5 or 100",
                             feed_name, key->name, text);
        }
        return 0;
    }
    assert_always(false);
    return -EINVAL;
}

/* A yes-or-no key alone means yes. */
static bool feed_is_flag(const char *pair, const struct feed_key *keys, size_t key_count)
{
    for (size_t i = 0; i < key_count; i++) {
        if (keys[i].kind == FEED_KEY_BOOL && strcmp(keys[i].name, pair) == 0) {
            return true;
        }
    }
    return false;
}

/* pair: "key=value", terminated, is cut at its '='. */
static int feed_parse_pair(const char *feed_name, char *pair, const struct feed_key *keys,
                           size_t key_count, uint32_t *seen, char error_out[FEED_ERROR_BYTES_MAX])
{
    const char *names[FEED_KEYS_MAX];
    char prefix[NEAREST_NAME_BYTES_MAX + 3];
    char *equals = strchr(pair, '=');
    const char *value = "yes";
    if (equals == NULL && !feed_is_flag(pair, keys, key_count)) {
        return feed_fail(error_out, -EINVAL, "%s: \"%.64s\" is not key=value", feed_name, pair);
    }
    if (equals != NULL) {
        *equals = '\0';
        value = equals + 1;
    }
    for (size_t i = 0; i < key_count; i++) {
        names[i] = keys[i].name;
        if (strcmp(keys[i].name, pair) != 0) {
            continue;
        }
        if (*seen & UINT32_C(1) << i) {
            return feed_fail(error_out, -EINVAL, "%s: %s is given twice", feed_name, pair);
        }
        *seen |= UINT32_C(1) << i;
        return feed_set_key(feed_name, &keys[i], value, error_out);
    }
    snprintf(prefix, sizeof prefix, "%s: ", feed_name);
    return feed_fail_unknown(error_out, prefix, "key", pair, names, key_count);
}

int feed_parse_keys(const char *feed_name, const char *spec, const struct feed_key *keys,
                    size_t key_count, char error_out[FEED_ERROR_BYTES_MAX])
{
    char pair[FEED_TEXT_BYTES_MAX + NEAREST_NAME_BYTES_MAX];
    uint32_t seen = 0; /* a bit for each key */
    assert_always(key_count <= FEED_KEYS_MAX);

    while (*spec != '\0') {
        size_t bytes = strcspn(spec, ",");
        if (bytes >= FEED_TEXT_BYTES_MAX) {
            return feed_fail(error_out, -EINVAL, "%s: \"%.32s...\" is longer than %d bytes",
                             feed_name, spec, FEED_TEXT_BYTES_MAX - 1);
        }
        memcpy(pair, spec, bytes);
        pair[bytes] = '\0';
        int error = feed_parse_pair(feed_name, pair, keys, key_count, &seen, error_out);
        if (error < 0) {
            return error;
        }
        spec += bytes;
        if (*spec == ',' && *++spec == '\0') {
            return feed_fail(error_out, -EINVAL, "%s: the text ends with a comma", feed_name);
        }
    }
    return 0;
}
