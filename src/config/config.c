#include "src/config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <yaml.h>

#include "codec/base/check.h"
#include "src/base/file.h"

struct config_parser {
    yaml_parser_t yaml;
    const char *file;
    const char *text;
    size_t text_bytes;
    const struct config_sink *sink;
    char *error_out;

    /* The sections that are open, outermost first: how long the path is within each. */
    size_t section_path_bytes[CONFIG_DEPTH_MAX];
    uint32_t depth;
    bool has_key; /* path ends with a key whose value is next */
    bool in_list;
    bool has_document;
    bool has_end;
    uint32_t item_count; /* of the list */
    uint32_t key_count;  /* of the file */
    uint32_t key_line;
    uint32_t event_line;
    char path[CONFIG_PATH_BYTES_MAX + 1];
};

static struct config_entry config_entry(const struct config_parser *parser, enum config_kind kind,
                                        const char *text)
{
    return (struct config_entry){
        .file = parser->file,
        .path = parser->path,
        .line = kind == CONFIG_ITEM ? parser->event_line : parser->key_line,
        .kind = kind,
        .text = text,
    };
}

int config_refuse(const struct config_entry *entry, char error_out[CONFIG_ERROR_BYTES_MAX],
                  const char *format, ...)
{
    assert_debug(entry->line > 0);
    int used = snprintf(error_out, CONFIG_ERROR_BYTES_MAX / 2, "%s:%u: %s: ", entry->file,
                        entry->line, entry->path);
    if (used >= CONFIG_ERROR_BYTES_MAX / 2) {
        used = CONFIG_ERROR_BYTES_MAX / 2 - 1;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error_out + used, CONFIG_ERROR_BYTES_MAX - (size_t)used, format, arguments);
    va_end(arguments);
    return -EINVAL;
}

/* Where no key is to blame. */
static int config_refuse_line(const struct config_parser *parser, uint32_t line, const char *what)
{
    snprintf(parser->error_out, CONFIG_ERROR_BYTES_MAX, "%.*s:%u: %s", CONFIG_ERROR_BYTES_MAX / 2,
             parser->file, line, what);
    return -EINVAL;
}

static int config_refuse_event(const struct config_parser *parser, const char *what)
{
    if (parser->path[0] == '\0') {
        return config_refuse_line(parser, parser->event_line, what);
    }
    struct config_entry entry = config_entry(parser, CONFIG_ITEM, NULL);
    return config_refuse(&entry, parser->error_out, "%s", what);
}

static int config_hand_over(struct config_parser *parser, enum config_kind kind, const char *text)
{
    struct config_entry entry = config_entry(parser, kind, text);
    return parser->sink->take(parser->sink->context, &entry, parser->error_out);
}

/* ---- What libyaml refuses ---- */

/* Whether the line is indented with a tab. Lines count from 1. */
static bool config_has_tab(const struct config_parser *parser, uint32_t line)
{
    const char *at = parser->text;
    const char *end = at + parser->text_bytes;
    for (uint32_t i = 1; i < line && at != NULL; i++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        at = newline == NULL ? NULL : newline + 1;
    }
    while (at != NULL && at < end && *at == ' ') {
        at++;
    }
    return at != NULL && at < end && *at == '\t';
}

/* Of a byte that is no character, libyaml knows the offset alone. */
static uint32_t config_line_of(const struct config_parser *parser, size_t offset)
{
    uint32_t line = 1;
    for (size_t i = 0; i < offset && i < parser->text_bytes; i++) {
        line += parser->text[i] == '\n';
    }
    return line;
}

static int config_refuse_yaml(const struct config_parser *parser)
{
    const yaml_parser_t *yaml = &parser->yaml;
    char what[256];
    if (yaml->error == YAML_MEMORY_ERROR) {
        snprintf(parser->error_out, CONFIG_ERROR_BYTES_MAX, "%.*s: not enough memory",
                 CONFIG_ERROR_BYTES_MAX / 2, parser->file);
        return -ENOMEM;
    }
    const char *problem = yaml->problem == NULL ? "unknown fault" : yaml->problem;
    if (yaml->error == YAML_READER_ERROR) {
        snprintf(what, sizeof what, "not UTF-8 text: %s", problem);
        return config_refuse_line(parser, config_line_of(parser, yaml->problem_offset), what);
    }
    uint32_t line = (uint32_t)yaml->problem_mark.line + 1;
    if (config_has_tab(parser, line)) {
        return config_refuse_line(parser, line,
                                  "the line is indented with a tab; YAML needs spaces");
    }
    snprintf(what, sizeof what, "not valid YAML: %s%s%s",
             yaml->context == NULL ? "" : yaml->context, yaml->context == NULL ? "" : ", ",
             problem);
    return config_refuse_line(parser, line, what);
}

/* ---- Events ---- */

/* The value of the last key has been seen. */
static void config_drop_key(struct config_parser *parser)
{
    assert_always(parser->depth > 0);
    assert_always(parser->depth <= CONFIG_DEPTH_MAX);
    parser->path[parser->section_path_bytes[parser->depth - 1]] = '\0';
    parser->has_key = false;
}

static int config_take_key(struct config_parser *parser, const char *key, size_t key_bytes)
{
    if (key_bytes == 0 || key_bytes > CONFIG_KEY_BYTES_MAX) {
        return config_refuse_event(parser, "a key must have 1 to 64 bytes");
    }
    if (strchr(key, '.') != NULL) {
        return config_refuse_event(parser,
                                   "a key contains a dot; write SECTION: and KEY: below it");
    }
    assert_always(parser->depth > 0);
    assert_always(!parser->has_key);
    size_t used = parser->section_path_bytes[parser->depth - 1];
    /* Each open section has left its key, and a dot, behind. */
    assert_always(used + 1 + key_bytes <= CONFIG_PATH_BYTES_MAX);
    snprintf(parser->path + used, sizeof parser->path - used, "%s%s", used == 0 ? "" : ".", key);
    parser->has_key = true;
    parser->key_line = parser->event_line;
    parser->key_count++;
    return 0;
}

static bool config_is_nothing(const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (*text == '\0' || strcmp(text, "~") == 0 || strcasecmp(text, "null") == 0);
}

static int config_on_scalar(struct config_parser *parser, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t text_bytes = event->data.scalar.length;
    bool is_nothing = config_is_nothing(event);
    if (parser->depth == 0) {
        return is_nothing ? 0 : config_refuse_event(parser, "not a configuration: give KEY: VALUE");
    }
    if (memchr(text, '\0', text_bytes) != NULL) {
        return config_refuse_event(parser, "a text contains a zero byte");
    }
    if (parser->in_list) {
        parser->item_count++;
        return is_nothing ? config_refuse_event(parser, "an item of the list is empty")
                          : config_hand_over(parser, CONFIG_ITEM, text);
    }
    if (!parser->has_key) {
        return config_take_key(parser, text, text_bytes);
    }
    int error = is_nothing ? config_hand_over(parser, CONFIG_NOTHING, NULL)
                           : config_hand_over(parser, CONFIG_VALUE, text);
    config_drop_key(parser);
    return error;
}

static int config_on_list(struct config_parser *parser)
{
    if (parser->in_list) {
        return config_refuse_event(parser, "a list within a list is not supported");
    }
    if (!parser->has_key) {
        return config_refuse_event(parser, "a list is not expected here; give KEY: VALUE");
    }
    parser->in_list = true;
    parser->item_count = 0;
    return config_hand_over(parser, CONFIG_LIST, NULL);
}

static int config_on_list_end(struct config_parser *parser)
{
    if (parser->item_count == 0) {
        return config_refuse_event(parser, "the list is empty; remove the key");
    }
    assert_debug(parser->in_list);
    parser->in_list = false;
    config_drop_key(parser);
    return 0;
}

static int config_on_section(struct config_parser *parser)
{
    if (parser->in_list) {
        return config_refuse_event(
            parser,
            "a list may contain only texts; put a text that has a colon and a space in \"quotes\"");
    }
    if (parser->depth > 0 && !parser->has_key) {
        return config_refuse_event(parser, "a section is not expected here; give KEY: VALUE");
    }
    if (parser->depth == CONFIG_DEPTH_MAX) {
        return config_refuse_event(parser, "sections are nested more than 8 deep");
    }
    int error = parser->depth == 0 ? 0 : config_hand_over(parser, CONFIG_SECTION, NULL);
    assert_always(parser->depth < CONFIG_DEPTH_MAX);
    parser->section_path_bytes[parser->depth++] = strlen(parser->path);
    parser->has_key = false;
    return error;
}

static void config_on_section_end(struct config_parser *parser)
{
    assert_always(parser->depth > 0);
    assert_debug(!parser->has_key && !parser->in_list);
    parser->depth--;
    if (parser->depth > 0) {
        config_drop_key(parser);
    }
}

static int config_refuse_extras(const struct config_parser *parser, const yaml_char_t *anchor,
                                const yaml_char_t *tag)
{
    if (anchor != NULL) {
        return config_refuse_event(parser, "anchors (&NAME) are not supported; remove it");
    }
    return tag == NULL ? 0
                       : config_refuse_event(parser, "tags (!NAME) are not supported; remove it");
}

static int config_on_document(struct config_parser *parser)
{
    if (parser->has_document) {
        return config_refuse_event(parser, "a second document (---) is not supported");
    }
    parser->has_document = true;
    return 0;
}

static int config_on_event(struct config_parser *parser, const yaml_event_t *event)
{
    int error = 0;
    parser->event_line = (uint32_t)event->start_mark.line + 1;
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        return config_on_document(parser);
    case YAML_ALIAS_EVENT:
        return config_refuse_event(parser, "aliases (*NAME) are not supported; give the value");
    case YAML_SCALAR_EVENT:
        error = config_refuse_extras(parser, event->data.scalar.anchor, event->data.scalar.tag);
        return error < 0 ? error : config_on_scalar(parser, event);
    case YAML_SEQUENCE_START_EVENT:
        error = config_refuse_extras(parser, event->data.sequence_start.anchor,
                                     event->data.sequence_start.tag);
        return error < 0 ? error : config_on_list(parser);
    case YAML_SEQUENCE_END_EVENT:
        return config_on_list_end(parser);
    case YAML_MAPPING_START_EVENT:
        error = config_refuse_extras(parser, event->data.mapping_start.anchor,
                                     event->data.mapping_start.tag);
        return error < 0 ? error : config_on_section(parser);
    case YAML_MAPPING_END_EVENT:
        config_on_section_end(parser);
        return 0;
    case YAML_STREAM_END_EVENT:
        parser->has_end = true;
        return 0;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return 0;
    }
    return 0;
}

/* Ends: every event but the last consumes some of the text, or closes what another opened. */
static int config_run(struct config_parser *parser)
{
    int error = 0;
    while (error == 0 && !parser->has_end) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser->yaml, &event)) {
            return config_refuse_yaml(parser);
        }
        error = config_on_event(parser, &event);
        yaml_event_delete(&event);
    }
    assert_debug(error != 0 || parser->depth == 0);
    if (error == 0 && parser->key_count == 0) {
        return config_refuse_line(parser, 1, "the file is empty: it has no key");
    }
    return error;
}

int config_parse(const char *file, const void *text, size_t text_bytes,
                 const struct config_sink *sink, char error_out[CONFIG_ERROR_BYTES_MAX])
{
    struct config_parser parser = {
        .file = file, .text = text, .text_bytes = text_bytes, .sink = sink, .error_out = error_out};
    if (!yaml_parser_initialize(&parser.yaml)) {
        snprintf(error_out, CONFIG_ERROR_BYTES_MAX, "not enough memory");
        return -ENOMEM;
    }
    yaml_parser_set_input_string(&parser.yaml, text, text_bytes);
    int error = config_run(&parser);
    yaml_parser_delete(&parser.yaml);
    return error;
}

/* ---- The file ---- */

static int config_refuse_file(const char *path, int error, char *error_out)
{
    const char *what = strerror(-error);
    if (error == -EISDIR) {
        what = "it is a directory; give a file";
    } else if (error == -EFBIG) {
        what = "the file is longer than 262144 bytes, the maximum";
    } else if (error == -ENOENT) {
        what = "the file does not exist";
    }
    snprintf(error_out, CONFIG_ERROR_BYTES_MAX, "%.*s: %s", CONFIG_ERROR_BYTES_MAX / 2, path, what);
    return error;
}

int config_read(const char *path, const struct config_sink *sink,
                char error_out[CONFIG_ERROR_BYTES_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return config_refuse_file(path, -errno, error_out);
    }
    char *text = NULL;
    size_t bytes = 0;
    int error = file_read(fd, CONFIG_BYTES_MAX, &text, &bytes);
    close(fd);
    error = error < 0 ? config_refuse_file(path, error, error_out)
                      : config_parse(path, text, bytes, sink, error_out);
    free(text);
    return error;
}
