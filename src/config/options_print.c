#include "src/config/options_print.h"

#include <string.h>

#include "codec/base/check.h"
#include "codec/base/version.h"
#include "codec/utf8.h"
#include "src/config/options_origin.h"
#include "src/config/options_value.h"
#include "src/config/options_variables.h"

#define OPTIONS_PRINT_SECRET "secret, not shown"

/* In a file, and in a variable. */
static bool options_print_has_key(const struct option_spec *spec)
{
    return spec->key != NULL && option_kind(spec) != OPTION_IGNORED;
}

/* YAML permits it everywhere. Below 0xfe00: neither a byte order mark nor what is no character. */
static bool options_print_is_plain(const struct utf8_character *character)
{
    return character->is_valid && character->is_printable && character->code < 0xfe00;
}

/* Warnings are otherwise for the log, which a program that only prints does not have. */
static void options_print_head(FILE *out, const struct options *options, const char *what)
{
    fprintf(out, "# %s of ringcast %s\n", what, RINGCAST_VERSION);
    assert_always(options->warning_count <= OPTIONS_WARNINGS_MAX);
    for (uint32_t i = 0; i < options->warning_count; i++) {
        fprintf(out, "# warning: ");
        for (const char *at = options->warnings[i]; *at != '\0';) {
            struct utf8_character character = utf8_character_at(at, strlen(at));
            bool is_shown = options_print_is_plain(&character);
            fprintf(out, "%.*s", is_shown ? (int)character.bytes : 1, is_shown ? at : "?");
            at += character.bytes;
        }
        fputc('\n', out);
    }
}

/* ---- YAML ---- */

/* In double quotes, with escapes for all that YAML does not permit or this line cannot have. */
static void options_print_quoted(FILE *out, const char *text)
{
    fputc('"', out);
    for (const char *at = text; *at != '\0';) {
        struct utf8_character character = utf8_character_at(at, strlen(at));
        assert_debug(character.is_valid);
        if (character.code == '"' || character.code == '\\') {
            fprintf(out, "\\%c", *at);
        } else if (options_print_is_plain(&character)) {
            fprintf(out, "%.*s", (int)character.bytes, at);
        } else {
            fprintf(out, "\\U%08x", character.code);
        }
        at += character.bytes;
    }
    fputc('"', out);
}

/* Of a key, below its section. */
struct options_print_name {
    const char *indent;
    const char *text;
};

static struct options_print_name options_print_name(const struct option_spec *spec)
{
    const char *dot = strchr(spec->key, '.');
    return (struct options_print_name){.indent = dot == NULL ? "" : "  ",
                                       .text = dot == NULL ? spec->key : dot + 1};
}

/* "  port: 8765 # default" */
static void options_print_entry(FILE *out, const struct options *options,
                                const struct option_spec *spec)
{
    char buffer[OPTIONS_VALUE_TEXT_BYTES_MAX];
    char origin[OPTIONS_ORIGIN_BYTES_MAX];
    struct options_print_name name = options_print_name(spec);
    const char *text = options_value_text(options, spec, buffer);
    options_origin(options, spec, origin);
    if (text == NULL) {
        fprintf(out, "%s# %s: not set\n", name.indent, name.text);
    } else if ((spec->kind & OPTION_SECRET) != 0) {
        fprintf(out, "%s# %s: " OPTIONS_PRINT_SECRET " # %s\n", name.indent, name.text, origin);
    } else if (!utf8_is_valid((const uint8_t *)text, strlen(text))) {
        fprintf(out, "%s# %s: not UTF-8; give --%s # %s\n", name.indent, name.text, spec->name,
                origin);
    } else {
        fprintf(out, "%s%s: ", name.indent, name.text);
        if (option_kind(spec) == OPTION_TEXT) {
            options_print_quoted(out, text);
        } else {
            fputs(text, out);
        }
        fprintf(out, " # %s\n", origin);
    }
}

static void options_print_list(FILE *out, const struct options *options,
                               const struct option_spec *spec)
{
    char origin[OPTIONS_ORIGIN_BYTES_MAX];
    struct options_print_name name = options_print_name(spec);
    const struct options_list *list = options_value_list(options, spec);
    options_origin(options, spec, origin);
    if (list->count == 0) {
        fprintf(out, "%s# %s: not set\n", name.indent, name.text);
        return;
    }
    fprintf(out, "%s%s: # %s\n", name.indent, name.text, origin);
    assert_always(list->count <= OPTIONS_LIST_MAX);
    for (uint32_t i = 0; i < list->count; i++) {
        const char *text = list->texts[i];
        if (utf8_is_valid((const uint8_t *)text, strlen(text))) {
            fprintf(out, "%s  - ", name.indent);
            options_print_quoted(out, text);
            fputc('\n', out);
        } else {
            fprintf(out, "%s  # not UTF-8; give --%s\n", name.indent, spec->name);
        }
    }
}

/* Rows of the section of first, which begins it, or those without one. */
static void options_print_section(FILE *out, const struct options *options,
                                  const struct option_spec *first)
{
    size_t count;
    const struct option_spec *table = options_table(&count);
    size_t bytes = first == NULL ? 0 : (size_t)(strchr(first->key, '.') - first->key) + 1;
    if (first != NULL) {
        fprintf(out, "%.*s:\n", (int)bytes - 1, first->key);
    }
    for (size_t i = 0; i < count; i++) {
        if (!options_print_has_key(&table[i]) ||
            (first == NULL ? strchr(table[i].key, '.') != NULL
                           : strncmp(table[i].key, first->key, bytes) != 0)) {
            continue;
        }
        if (option_kind(&table[i]) == OPTION_LIST) {
            options_print_list(out, options, &table[i]);
        } else {
            options_print_entry(out, options, &table[i]);
        }
    }
}

/* Whether no row before has the section of this one. */
static bool options_print_is_first(const struct option_spec *spec)
{
    size_t count;
    const struct option_spec *table = options_table(&count);
    const char *dot = options_print_has_key(spec) ? strchr(spec->key, '.') : NULL;
    if (dot == NULL) {
        return false;
    }
    size_t bytes = (size_t)(dot - spec->key) + 1;
    for (; table < spec; table++) {
        if (options_print_has_key(table) && strncmp(table->key, spec->key, bytes) == 0) {
            return false;
        }
    }
    return true;
}

void options_print_config(FILE *out, const struct options *options)
{
    size_t count;
    const struct option_spec *table = options_table(&count);
    options_print_head(out, options, "The effective configuration");
    options_print_section(out, options, NULL);
    for (size_t i = 0; i < count; i++) {
        if (options_print_is_first(&table[i])) {
            options_print_section(out, options, &table[i]);
        }
    }
}

/* ---- Variables ---- */

/* A line of the file is a value, whole; of a list, ';' is between the texts. */
static bool options_print_fits(const char *text, bool is_of_list)
{
    return *text != '\0' && text[strcspn(text, is_of_list ? "\r\n;" : "\r\n")] == '\0';
}

static void options_print_list_variable(FILE *out, const struct options *options,
                                        const struct option_spec *spec, const char *name)
{
    const struct options_list *list = options_value_list(options, spec);
    bool fits = true;
    assert_always(list->count <= OPTIONS_LIST_MAX);
    for (uint32_t i = 0; i < list->count; i++) {
        fits = fits && options_print_fits(list->texts[i], true);
    }
    if (!fits) {
        fprintf(out, "# %s: a text of the list has a semicolon or ends the line; give --%s\n", name,
                spec->name);
        return;
    }
    for (uint32_t i = 0; i < list->count; i++) {
        fprintf(out, "%s%s%s", i == 0 ? name : ";", i == 0 ? "=" : "", list->texts[i]);
    }
    fputc('\n', out);
}

static void options_print_variable(FILE *out, const struct options *options,
                                   const struct option_spec *spec)
{
    char buffer[OPTIONS_VALUE_TEXT_BYTES_MAX];
    char name[OPTIONS_VARIABLES_NAME_BYTES_MAX];
    const char *text = options_value_text(options, spec, buffer);
    options_variables_name(spec, name);
    if (option_kind(spec) == OPTION_LIST) {
        options_print_list_variable(out, options, spec, name);
    } else if ((spec->kind & OPTION_SECRET) != 0) {
        fprintf(out, "# %s: " OPTIONS_PRINT_SECRET "\n", name);
    } else if (text == NULL || !options_print_fits(text, false)) {
        fprintf(out, "# %s: empty, or of several lines; give --%s\n", name, spec->name);
    } else {
        fprintf(out, "%s=%s\n", name, text);
    }
}

void options_print_env(FILE *out, const struct options *options)
{
    size_t count;
    const struct option_spec *table = options_table(&count);
    options_print_head(out, options, "The variables for the configuration");
    for (size_t i = 0; i < count; i++) {
        if (options_print_has_key(&table[i]) && options->layers[i] != OPTIONS_LAYER_DEFAULT) {
            options_print_variable(out, options, &table[i]);
        }
    }
}

void options_print(FILE *out, const struct options *options)
{
    if (options->print_config) {
        options_print_config(out, options);
    } else {
        options_print_env(out, options);
    }
}
