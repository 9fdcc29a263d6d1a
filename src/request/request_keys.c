#include "src/request/request_keys.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "codec/base/check.h"
#include "codec/nearest.h"
#include "codec/utf8.h"
#include "src/request/request_fields.h"
#include "src/request/request_url.h"

#define REQUEST_KEYS_MAX 8 /* that an object of a message may have */

enum request_keys_level {
    REQUEST_KEYS_TOP,
    REQUEST_KEYS_DATA,
    REQUEST_KEYS_DELIVERY,
    REQUEST_KEYS_SINCE,
    REQUEST_KEYS_LEVEL_COUNT,
};

struct request_keys_names {
    const char *names[REQUEST_KEYS_MAX];
};

#define TOP                                                                                        \
    {                                                                                              \
        "type", "id", "data"                                                                       \
    }
#define NAMES "symbols", "data_types", "depth", "bar", "delivery"
#define CHANNELS "mode", "interval_ms"
#define LAG "on_lag", "max_lag_ms"

static const struct request_keys_names request_keys[][REQUEST_KEYS_LEVEL_COUNT] = {
    [REQUEST_NONE] = {{TOP}},
    [REQUEST_SUBSCRIBE] = {{TOP},
                           {{NAMES, "snapshot", "since"}},
                           {{CHANNELS, LAG}},
                           {{"epoch", "seq"}}},
    [REQUEST_UNSUBSCRIBE] = {{TOP}, {{NAMES}}, {{CHANNELS}}},
    [REQUEST_LIST] = {{TOP}},
    [REQUEST_PING] = {{{"type", "id", "data", "t0"}}, {{"t0"}}},
    [REQUEST_MODIFY] = {{TOP}, {{NAMES}}, {{CHANNELS, LAG}}},
    [REQUEST_SNAPSHOT] = {{TOP}, {{NAMES}}, {{CHANNELS}}},
    [REQUEST_RESUME] = {{TOP}, {{"epoch", "cursors", "delivery"}}, {{CHANNELS, LAG}}},
    [REQUEST_REPLAY] = {{TOP}, {{NAMES, "from", "to", "speed"}}, {{CHANNELS, LAG}}},
    [REQUEST_STATUS] = {{TOP}},
    [REQUEST_HEARTBEAT] = {{TOP}},
    [REQUEST_AUTH] = {{TOP}, {{"token"}}},
    [REQUEST_SYMBOLS] = {{TOP}, {{"pattern", "after", "limit"}}},
};
static_assert(sizeof request_keys / sizeof request_keys[0] == REQUEST_TYPE_COUNT,
              "a row for each type");

static const char *const request_keys_paths[] = {
    [REQUEST_KEYS_TOP] = "",
    [REQUEST_KEYS_DATA] = "data.",
    [REQUEST_KEYS_DELIVERY] = "data.delivery.",
    [REQUEST_KEYS_SINCE] = "data.since.",
};

static const char *const *request_keys_names(const struct request *request, unsigned level,
                                             size_t *count_out)
{
    assert_always((unsigned)request->type < REQUEST_TYPE_COUNT);
    assert_always(level < REQUEST_KEYS_LEVEL_COUNT);
    if (request->is_url) {
        *count_out = level == REQUEST_KEYS_TOP ? REQUEST_URL_KEYS_COUNT : 0;
        return request_url_keys;
    }
    const char *const *names = request_keys[request->type][level].names;
    for (*count_out = 0; *count_out < REQUEST_KEYS_MAX && names[*count_out] != NULL;) {
        ++*count_out;
    }
    return names;
}

/* The objects whose keys are looked at; NULL: there is none. Without a type nothing is known of
 * data, and what is not used as a whole is not looked into. */
static void request_keys_objects(const struct request *request,
                                 json_t *objects_out[REQUEST_KEYS_LEVEL_COUNT])
{
    static const char *const inner[] = {
        [REQUEST_KEYS_DATA] = "data",
        [REQUEST_KEYS_DELIVERY] = "delivery",
        [REQUEST_KEYS_SINCE] = "since",
    };
    bool has_data = request->type != REQUEST_NONE && !request->is_url;
    objects_out[REQUEST_KEYS_TOP] = request->root;
    for (unsigned level = REQUEST_KEYS_DATA; level < REQUEST_KEYS_LEVEL_COUNT; level++) {
        size_t count;
        request_keys_names(request, level, &count);
        bool is_used = has_data && (level == REQUEST_KEYS_DATA || count > 0);
        json_t *parent =
            objects_out[level == REQUEST_KEYS_DATA ? REQUEST_KEYS_TOP : REQUEST_KEYS_DATA];
        objects_out[level] = is_used ? json_object_get(parent, inner[level]) : NULL;
    }
}

static bool request_keys_has(const char *const *names, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(key, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

uint32_t request_keys_count(const struct request *request)
{
    uint32_t count = 0;
    json_t *objects[REQUEST_KEYS_LEVEL_COUNT];
    request_keys_objects(request, objects);
    for (unsigned level = 0; level < REQUEST_KEYS_LEVEL_COUNT; level++) {
        const char *key;
        json_t *value;
        size_t names_count;
        const char *const *names = request_keys_names(request, level, &names_count);
        json_object_foreach(objects[level], key, value)
        {
            count += !request_keys_has(names, names_count, key);
        }
    }
    return count;
}

/* ---- Warnings ---- */

/* "; did you mean data.depth?": a key of another object or another case, or a misspelt one. */
static void request_keys_write_hint(const struct request *request, unsigned level, const char *key,
                                    struct reply *reply)
{
    size_t count;
    const char *const *names = request_keys_names(request, level, &count);
    const char *path = request_keys_paths[level];
    const char *meant = nearest_name(key, names, count);
    for (unsigned other = 0; other < REQUEST_KEYS_LEVEL_COUNT; other++) {
        names = request_keys_names(request, other, &count);
        for (size_t i = 0; i < count; i++) {
            if (strcasecmp(key, names[i]) == 0) {
                path = request_keys_paths[other];
                meant = names[i];
            }
        }
    }
    if (meant != NULL) {
        reply_text(reply, "; did you mean ");
        reply_text(reply, path);
        reply_text(reply, meant);
        reply_text(reply, "?");
    }
}

static void request_keys_write(const struct request *request, unsigned level, const char *key,
                               struct reply *reply)
{
    char field[64];
    size_t key_bytes = strlen(key);
    bool is_cut = key_bytes > REQUEST_KEYS_BYTES_MAX;
    if (is_cut) {
        key_bytes = REQUEST_KEYS_BYTES_MAX;
        while ((key[key_bytes] & 0xc0) == 0x80) { /* not within a character */
            key_bytes--;
        }
    }
    int bytes = snprintf(field, sizeof field, "%s%.*s%s", request_keys_paths[level], (int)key_bytes,
                         key, is_cut ? "..." : "");
    assert_always(bytes >= 0);
    assert_always((size_t)bytes < sizeof field);
    reply_text(reply, "{\"field\":");
    reply_string(reply, field, (size_t)bytes);
    reply_text(reply, ",\"message\":\"");
    reply_text(reply, request->is_url ? "the URL" : request_type_name(request->type));
    reply_text(reply, " does not use it");
    request_keys_write_hint(request, level, key, reply);
    reply_text(reply, "\"}");
}

uint32_t request_keys_warn(const struct request *request, struct reply *reply)
{
    const char *separator = ",\"warnings\":[";
    uint32_t count = request_keys_count(request);
    uint32_t named = 0;
    json_t *objects[REQUEST_KEYS_LEVEL_COUNT];
    request_keys_objects(request, objects);
    for (unsigned level = 0; named < count && level < REQUEST_KEYS_LEVEL_COUNT; level++) {
        const char *key;
        json_t *value;
        size_t names_count;
        const char *const *names = request_keys_names(request, level, &names_count);
        json_object_foreach(objects[level], key, value)
        {
            if (named == REQUEST_KEYS_NAMED_MAX) {
                break;
            }
            if (!request_keys_has(names, names_count, key)) {
                reply_text(reply, separator);
                request_keys_write(request, level, key, reply);
                separator = ",";
                named++;
            }
        }
    }
    assert_always(named <= REQUEST_KEYS_NAMED_MAX);
    if (named < count) {
        reply_print(reply, ",{\"message\":\"%" PRIu32 " more %s not used\"}", count - named,
                    count - named == 1 ? "key is" : "keys are");
    }
    reply_text(reply, count > 0 ? "]" : "");
    return named;
}
