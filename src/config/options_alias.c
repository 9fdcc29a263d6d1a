#include "src/config/options_alias.h"

#include <string.h>

#include "codec/base/check.h"

/* With a unit, the number is one of that unit. A row may name its own key: that gets the sections.
 */
static const struct option_alias options_aliases[] = {
    {"idle_timeout", "websocket.idle_timeout", ""},
    {"connection_pool_size", "performance.connection_pool_size", ""},
    {"pool_min", "performance.pool_min", ""},
    {"pool_max", "performance.pool_max", ""},
    {"connection_pool_min", "performance.pool_min", ""},
    {"connection_pool_max", "performance.pool_max", ""},
    {"batch_size", "performance.batch_size", ""},
    {"batch_timeout", "performance.batch_timeout", ""},
    {"flush_interval", "performance.flush_interval", ""},
    {"batch_max_bytes", "performance.batch_max_bytes", ""},
    {"gc_threshold_mb", "memory_soft", "m"},
    {"gc_interval", "gc_interval", ""},
    {"memory_threshold_mb", "memory_hard", "m"},
    {"max_memory_percent", "max_memory_percent", ""},
    {"cleanup_interval", "cleanup_interval", ""},
};
#define OPTIONS_ALIAS_COUNT (sizeof options_aliases / sizeof options_aliases[0])

/* Of keys that may also stand at the top level. */
static const char *const options_alias_sections[] = {"websocket.", "performance."};
#define OPTIONS_ALIAS_SECTION_COUNT                                                                \
    (sizeof options_alias_sections / sizeof options_alias_sections[0])

const struct option_alias *options_alias_table(size_t *count_out)
{
    *count_out = OPTIONS_ALIAS_COUNT;
    return options_aliases;
}

const struct option_alias *options_alias_find(const char *path)
{
    const char *name = path;
    assert_debug(*path != '\0');
    for (size_t i = 0; i < OPTIONS_ALIAS_SECTION_COUNT; i++) {
        size_t bytes = strlen(options_alias_sections[i]);
        if (strncmp(path, options_alias_sections[i], bytes) == 0) {
            name = path + bytes;
        }
    }
    for (size_t i = 0; i < OPTIONS_ALIAS_COUNT; i++) {
        if (strcmp(options_aliases[i].name, name) == 0) {
            return &options_aliases[i];
        }
    }
    return NULL;
}
