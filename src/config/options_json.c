#include "src/config/options_json.h"

#include <string.h>

#include "codec/base/check.h"
#include "src/config/options_origin.h"
#include "src/config/options_value.h"

/* The object that the key is in: root, or its section, which is made when it is new. */
static json_t *options_json_section(json_t *root, const char *key)
{
    const char *dot = strchr(key, '.');
    if (dot == NULL) {
        return root;
    }
    size_t bytes = (size_t)(dot - key);
    json_t *section = json_object_getn(root, key, bytes);
    if (section == NULL) {
        section = json_object();
        (void)json_object_setn_new(root, key, bytes, section);
    }
    return section;
}

json_t *options_json(const struct options *options)
{
    size_t count;
    const struct option_spec *table = options_table(&count);
    const struct option_spec *heartbeat =
        options_find("heartbeat-interval", sizeof "heartbeat-interval" - 1);
    json_t *root = json_object();
    json_t *origins = json_object();
    int failed = json_object_set_new(root, "heartbeat", options_value_json(options, heartbeat));
    assert_always(count <= OPTIONS_TABLE_MAX);
    for (size_t i = 0; failed == 0 && i < count; i++) {
        const char *key = table[i].key;
        if (key == NULL || option_kind(&table[i]) == OPTION_IGNORED) {
            continue;
        }
        char origin[OPTIONS_ORIGIN_BYTES_MAX];
        const char *dot = strchr(key, '.');
        options_origin(options, &table[i], origin);
        failed = json_object_set_new(options_json_section(root, key), dot == NULL ? key : dot + 1,
                                     options_value_json(options, &table[i]));
        failed |= json_object_set_new(origins, key, json_string(origin));
    }
    failed |= json_object_set_new(root, "origins", origins);
    if (failed != 0) {
        json_decref(root);
        return NULL;
    }
    return root;
}
