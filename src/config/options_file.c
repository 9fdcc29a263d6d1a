#include "src/config/options_file.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/nearest.h"
#include "src/config/config.h"
#include "src/config/option_value.h"
#include "src/config/options_alias.h"

#define OPTIONS_FILE_SOURCE_BYTES_MAX 512

static_assert(OPTIONS_ERROR_BYTES_MAX == CONFIG_ERROR_BYTES_MAX, "one buffer serves both");

struct options_file {
    struct options *options;
    enum options_layer layer;
    const cpu_set_t *cpus;
    const struct option_spec *specs;
    size_t spec_count;
    /* Where a row's key, and the section that begins with a row, have been seen. 0: not yet. */
    uint32_t key_lines[OPTIONS_TABLE_MAX];
    uint32_t section_lines[OPTIONS_TABLE_MAX];
};

/* ---- Which row ---- */

static bool options_file_is_below(const char *key, const char *section)
{
    size_t bytes = strlen(section);
    return strncmp(key, section, bytes) == 0 && key[bytes] == '.';
}

/* The first row in the section; NULL: there is no such section. */
static const struct option_spec *options_file_find_section(const struct options_file *file,
                                                           const char *path)
{
    for (size_t i = 0; i < file->spec_count; i++) {
        if (file->specs[i].key != NULL && options_file_is_below(file->specs[i].key, path)) {
            return &file->specs[i];
        }
    }
    return NULL;
}

/* The row with the key or an alias of it; NULL: there is none. */
static const struct option_spec *options_file_find(const struct options_file *file,
                                                   const char *path)
{
    const struct option_alias *alias = options_alias_find(path);
    const char *wanted = alias == NULL ? path : alias->key;
    for (size_t i = 0; i < file->spec_count; i++) {
        if (file->specs[i].key != NULL && strcmp(file->specs[i].key, wanted) == 0) {
            return &file->specs[i];
        }
    }
    assert_debug(alias == NULL);
    return NULL;
}

static const char *options_file_last_part(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot == NULL ? path : dot + 1;
}

/* The key of the same name in another section, else one whose path, else one whose name is spelt
 * like it. */
static const char *options_file_nearest_key(const struct options_file *file, const char *path)
{
    const char *keys[OPTIONS_TABLE_MAX] = {NULL};
    const char *parts[OPTIONS_TABLE_MAX] = {NULL};
    size_t count = 0;
    for (size_t i = 0; i < file->spec_count; i++) {
        const char *key = file->specs[i].key;
        if (key != NULL) {
            assert_always(count < OPTIONS_TABLE_MAX);
            keys[count] = key;
            parts[count] = options_file_last_part(key);
            if (strcmp(parts[count++], options_file_last_part(path)) == 0) {
                return key;
            }
        }
    }
    const char *nearest = nearest_name(path, keys, count);
    const char *part = nearest_name(options_file_last_part(path), parts, count);
    for (size_t i = 0; i < count && nearest == NULL && part != NULL; i++) {
        nearest = parts[i] == part ? keys[i] : NULL;
    }
    return nearest;
}

/* Writes the section that is spelt like path; "": none. */
static void options_file_nearest_section(const struct options_file *file, const char *path,
                                         char section_out[CONFIG_KEY_BYTES_MAX + 1])
{
    char sections[OPTIONS_TABLE_MAX][CONFIG_KEY_BYTES_MAX + 1];
    const char *names[OPTIONS_TABLE_MAX] = {NULL};
    size_t count = 0;
    for (size_t i = 0; i < file->spec_count; i++) {
        const char *key = file->specs[i].key;
        const char *dot = key == NULL ? NULL : strrchr(key, '.');
        if (dot != NULL) {
            assert_always(count < OPTIONS_TABLE_MAX);
            assert_debug(dot - key <= CONFIG_KEY_BYTES_MAX);
            snprintf(sections[count], sizeof sections[count], "%.*s", (int)(dot - key), key);
            names[count] = sections[count];
            count++;
        }
    }
    const char *nearest = nearest_name(path, names, count);
    snprintf(section_out, CONFIG_KEY_BYTES_MAX + 1, "%s", nearest == NULL ? "" : nearest);
}

/* ---- What is refused ---- */

static int options_file_refuse_unknown(const struct options_file *file,
                                       const struct config_entry *entry, char *error_out)
{
    char section[CONFIG_KEY_BYTES_MAX + 1] = "";
    const char *nearest = section;
    if (entry->kind == CONFIG_SECTION && strchr(entry->path, '.') == NULL) {
        options_file_nearest_section(file, entry->path, section);
    } else {
        nearest = options_file_nearest_key(file, entry->path);
    }
    if (nearest == NULL || *nearest == '\0') {
        return config_refuse(entry, error_out, "unknown key; `ringcast help all` lists all");
    }
    return config_refuse(entry, error_out, "unknown key; did you mean %s?", nearest);
}

/* Notes where a key is; a second one is refused. */
static int options_file_note(uint32_t *line, const struct config_entry *entry, char *error_out)
{
    assert_debug(entry->line > 0); /* 0: not seen */
    if (*line != 0) {
        return config_refuse(entry, error_out, "given twice, first in line %u", *line);
    }
    *line = entry->line;
    return 0;
}

static bool options_file_is_list(const struct option_spec *spec)
{
    return option_kind(spec) == OPTION_LIST;
}

/* ---- Entries ---- */

static int options_file_on_section(struct options_file *file, const struct config_entry *entry,
                                   char *error_out)
{
    const struct option_spec *spec = options_file_find_section(file, entry->path);
    if (spec != NULL) {
        return options_file_note(&file->section_lines[spec - file->specs], entry, error_out);
    }
    return options_file_find(file, entry->path) == NULL
               ? options_file_refuse_unknown(file, entry, error_out)
               : config_refuse(entry, error_out, "it takes a value, not a section");
}

static int options_file_take_value(struct options_file *file, const struct option_spec *spec,
                                   const struct config_entry *entry, char *error_out)
{
    const struct option_alias *alias = options_alias_find(entry->path);
    char source[OPTIONS_FILE_SOURCE_BYTES_MAX];
    snprintf(source, sizeof source, "%.*s:%u: %s", OPTIONS_FILE_SOURCE_BYTES_MAX / 2, entry->file,
             entry->line, entry->path);
    struct option_value value = {
        .spec = spec,
        .layer = file->layer,
        .source = option_value_keep(file->options, source, strlen(source)),
        .text = option_value_join(file->options, entry->text, alias == NULL ? "" : alias->unit),
        .cpus = file->cpus,
        .error_out = error_out,
    };
    if (value.source == NULL || value.text == NULL) {
        snprintf(error_out, OPTIONS_ERROR_BYTES_MAX, "%s: not enough memory", source);
        return -ENOMEM;
    }
    return option_value_take(&value, file->options);
}

static int options_file_on_key(struct options_file *file, const struct config_entry *entry,
                               char *error_out)
{
    const struct option_spec *spec = options_file_find(file, entry->path);
    if (spec == NULL && options_file_find_section(file, entry->path) != NULL) {
        /* A section whose keys are all commented out. */
        return entry->kind == CONFIG_NOTHING
                   ? options_file_on_section(file, entry, error_out)
                   : config_refuse(entry, error_out,
                                   "it is a section: write its keys below it, indented");
    }
    if (spec == NULL) {
        return options_file_refuse_unknown(file, entry, error_out);
    }
    int error = options_file_note(&file->key_lines[spec - file->specs], entry, error_out);
    if (error < 0) {
        return error;
    }
    if (entry->kind == CONFIG_NOTHING) {
        return config_refuse(entry, error_out, "it has no value; give one, or remove the key");
    }
    if (entry->kind == CONFIG_LIST) {
        return options_file_is_list(spec)
                   ? 0
                   : config_refuse(entry, error_out, "it takes one value, not a list");
    }
    return options_file_take_value(file, spec, entry, error_out);
}

static int options_file_on_entry(void *context, const struct config_entry *entry, char *error_out)
{
    struct options_file *file = context;
    switch (entry->kind) {
    case CONFIG_SECTION:
        return options_file_on_section(file, entry, error_out);
    case CONFIG_ITEM: { /* Its list has been let through. */
        const struct option_spec *spec = options_file_find(file, entry->path);
        assert_always(spec != NULL);
        assert_debug(options_file_is_list(spec));
        return options_file_take_value(file, spec, entry, error_out);
    }
    case CONFIG_LIST:
    case CONFIG_VALUE:
    case CONFIG_NOTHING:
        return options_file_on_key(file, entry, error_out);
    }
    return 0;
}

static void options_file_init(struct options_file *file, struct options *options,
                              enum options_layer layer, const cpu_set_t *cpus)
{
    *file = (struct options_file){.options = options, .layer = layer, .cpus = cpus};
    file->specs = options_table(&file->spec_count);
    assert_always(file->spec_count <= OPTIONS_TABLE_MAX);
}

int options_file_take(struct options *options, const char *path, const cpu_set_t *cpus,
                      char error_out[OPTIONS_ERROR_BYTES_MAX])
{
    struct options_file file;
    struct config_sink sink = {.context = &file, .take = options_file_on_entry};
    options_file_init(&file, options, OPTIONS_LAYER_FILE, cpus);
    return config_read(path, &sink, error_out);
}

int options_file_take_text(struct options *options, const struct options_file_text *text,
                           const cpu_set_t *cpus, char error_out[OPTIONS_ERROR_BYTES_MAX])
{
    struct options_file file;
    struct config_sink sink = {.context = &file, .take = options_file_on_entry};
    options_file_init(&file, options, text->layer, cpus);
    return config_parse(text->name, text->text, text->bytes, &sink, error_out);
}
