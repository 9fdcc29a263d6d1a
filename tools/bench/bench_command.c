#include "tools/bench/bench_command.h"

#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "codec/base/version.h"
#include "codec/nearest.h"
#include "tools/bench/bench_presets.h"
#include "tools/bench/bench_table.h"
#include "tools/common/quantity.h"
#include "tools/load/bench_address.h"

#define LONG_BASE 256 /* of a long option: this and its row */
#define LETTERS_BYTES_MAX (2 * BENCH_TABLE_ROWS_MAX + 2)

static void bench_command_refuse(const struct bench_table_row *row, const char *text,
                                 const char *expected)
{
    fprintf(stderr, "ringcast-bench: --%s: '%s' is not %s\n", row->name, text, expected);
}

static bool bench_command_number(const struct bench_table_row *row, const char *text,
                                 uint64_t *value_out)
{
    char range[96];
    bool is_number = row->kind == BENCH_TABLE_BYTES ? quantity_bytes(text, row->max, value_out)
                                                    : quantity_count(text, row->max, value_out);
    if (is_number && *value_out >= row->min) {
        return true;
    }
    snprintf(range, sizeof range, "a number from %llu to %llu%s", (unsigned long long)row->min,
             (unsigned long long)row->max,
             row->kind == BENCH_TABLE_INT || row->max < 1000 ? "" : ", such as 500 or 2k");
    bench_command_refuse(row, text, range);
    return false;
}

static bool bench_command_real(const struct bench_table_row *row, const char *text,
                               double *value_out)
{
    char range[96];
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != 0 || !(value >= (double)row->min) || value > (double)row->max) {
        snprintf(range, sizeof range, "a number from %.0f to %.0f", (double)row->min,
                 (double)row->max);
        bench_command_refuse(row, text, range);
        return false;
    }
    *value_out = value;
    return true;
}

/* Keeps a text until the options are freed; NULL: there is no room. */
static char *bench_command_keep(struct bench_options *options, char *text)
{
    if (text == NULL || options->kept_text_count == BENCH_KEPT_TEXTS_MAX) {
        free(text);
        return NULL;
    }
    options->kept_texts[options->kept_text_count++] = text;
    return text;
}

/* A list that is given twice adds up, but a scenario file and the command line replace each
 * other's. */
static bool bench_command_add(struct bench_options *options, const struct bench_table_row *row,
                              const char *text)
{
    const char **list = (const char **)(void *)((char *)options + row->offset);
    const char **origin = (const char **)(void *)((char *)options + row->min);
    if (*origin == options->origin) {
        char *joined;
        text = asprintf(&joined, "%s,%s", *list, text) < 0 ? NULL
                                                           : bench_command_keep(options, joined);
    }
    if (text == NULL) {
        fprintf(stderr, "ringcast-bench: no room for '%s'\n", row->name);
        return false;
    }
    *origin = options->origin;
    *list = text;
    return true;
}

static bool bench_command_add_text(struct bench_options *options, const struct bench_table_row *row,
                                   const char *text)
{
    struct bench_texts *texts = (void *)((char *)options + row->offset);
    texts->count = texts->origin == options->origin ? texts->count : 0;
    texts->origin = options->origin;
    if (texts->count == BENCH_TEXTS_MAX) {
        fprintf(stderr, "ringcast-bench: --%s: given over %d times\n", row->name, BENCH_TEXTS_MAX);
        return false;
    }
    if (text[0] == 0) {
        fprintf(stderr, "ringcast-bench: --%s: the text is empty\n", row->name);
        return false;
    }
    texts->list[texts->count++] = text;
    return true;
}

static bool bench_command_load(struct bench_options *options, const char *path);

static bool bench_command_set(struct bench_options *options, const struct bench_table_row *row,
                              const char *text)
{
    uint64_t number = 0;
    char *at = (char *)options + row->offset;
    switch (row->kind) {
    case BENCH_TABLE_FLAG:
        *(bool *)(void *)at = true;
        return true;
    case BENCH_TABLE_TEXT:
        *(const char **)(void *)at = text;
        return true;
    case BENCH_TABLE_LIST:
        return bench_command_add(options, row, text);
    case BENCH_TABLE_TEXTS:
        return bench_command_add_text(options, row, text);
    case BENCH_TABLE_REAL:
        return bench_command_real(row, text, (double *)(void *)at);
    case BENCH_TABLE_SCENARIO:
        return bench_command_load(options, text);
    case BENCH_TABLE_PRESET:
        return true; /* It has been taken before all others. */
    case BENCH_TABLE_TIME:
        if (!quantity_time(text, NS_PER_SECOND, (uint64_t *)(void *)at)) {
            bench_command_refuse(row, text, "a time such as 10s, 500ms, 2m or 1h");
            return false;
        }
        return true;
    case BENCH_TABLE_COUNT:
    case BENCH_TABLE_BYTES:
    case BENCH_TABLE_INT:
        if (!bench_command_number(row, text, &number)) {
            return false;
        }
        *(uint32_t *)(void *)at = (uint32_t)number; /* int is as long, and the table's max fits */
        return true;
    }
    return false;
}

/* ---- The scenario file ---- */

/* Cuts a comment (after a blank) and blanks off both ends. */
static char *bench_command_trim(char *line)
{
    line += strspn(line, " \t");
    for (char *at = line; *at != 0; at++) {
        if (*at == '#' && (at == line || at[-1] == ' ' || at[-1] == '\t')) {
            *at = 0;
            break;
        }
    }
    size_t bytes = strlen(line);
    while (bytes > 0 && strchr(" \t\r\n", line[bytes - 1]) != NULL) {
        line[--bytes] = 0;
    }
    return line;
}

static bool bench_command_take_line(struct bench_options *options, char *line)
{
    char *name = bench_command_trim(line);
    if (*name == 0) {
        return true;
    }
    char *name_end = name + strcspn(name, " \t=");
    char *value = name_end + strspn(name_end, " \t");
    bool has_sign = *value == '=';
    value += has_sign;
    value += strspn(value, " \t");
    *name_end = 0;
    const struct bench_table_row *row = bench_table_find(name);
    if (row == NULL || row->kind == BENCH_TABLE_SCENARIO || row->kind == BENCH_TABLE_PRESET) {
        fprintf(stderr, "ringcast-bench: unknown option '%s'", name);
        bench_table_print_nearest("", name);
        return false;
    }
    if (row->kind == BENCH_TABLE_FLAG && (*value != 0 || has_sign)) {
        fprintf(stderr, "ringcast-bench: '%s' takes no value\n", name);
        return false;
    }
    if (row->kind != BENCH_TABLE_FLAG && *value == 0 && !has_sign) {
        fprintf(stderr, "ringcast-bench: '%s' needs a value; write '%s =' for an empty one\n", name,
                name);
        return false;
    }
    char *kept = bench_command_keep(options, strdup(value));
    if (kept == NULL) {
        fprintf(stderr, "ringcast-bench: no room for '%s'\n", name);
        return false;
    }
    return bench_command_set(options, row, kept);
}

/* Reads the options of a file, and closes it. */
static bool bench_command_read(struct bench_options *options, FILE *file, const char *name)
{
    char *line = NULL;
    size_t line_capacity = 0;
    unsigned number = 0;
    bool good = true;
    const char *origin = options->origin;
    options->origin = name;
    while (good && getline(&line, &line_capacity, file) >= 0) {
        number++;
        good = bench_command_take_line(options, line);
    }
    options->origin = origin;
    if (good && ferror(file)) {
        fprintf(stderr, "ringcast-bench: it cannot be read: %s\n", strerror(errno));
        good = false;
    }
    free(line);
    fclose(file);
    if (!good) {
        fprintf(stderr, "ringcast-bench: in %s, line %u\n", name, number);
    }
    return good;
}

static bool bench_command_load(struct bench_options *options, const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        fprintf(stderr, "ringcast-bench: %s: %s\n", path, strerror(errno));
        return false;
    }
    return bench_command_read(options, file, path);
}

static bool bench_command_take_preset(struct bench_options *options)
{
    const struct bench_preset *preset = bench_presets_find(options->preset);
    if (preset == NULL) {
        fprintf(stderr, "ringcast-bench: --preset: '%s' is none of these:\n", options->preset);
        bench_presets_print(stderr);
        return false;
    }
    FILE *file = fmemopen((void *)preset->options, strlen(preset->options), "r");
    if (file == NULL) {
        fprintf(stderr, "ringcast-bench: --preset: %s\n", strerror(errno));
        return false;
    }
    return bench_command_read(options, file, preset->name);
}

/* ---- The command line ---- */

/* getopt has refused the option; found is the reason. */
static void bench_command_complain(int found, char **argv)
{
    const char *word = argv[optind - 1];
    size_t count;
    const struct bench_table_row *rows = bench_table_rows(&count);
    const struct bench_table_row *row =
        optopt >= LONG_BASE ? &rows[optopt - LONG_BASE] : NULL; /* a long one that is known */
    if (found == ':' && row != NULL) {
        fprintf(stderr, "ringcast-bench: --%s needs a value: --%s %s\n", row->name, row->name,
                row->argument);
    } else if (found == ':') {
        fprintf(stderr, "ringcast-bench: -%c needs a value\n", optopt);
    } else if (row != NULL) {
        fprintf(stderr, "ringcast-bench: --%s takes no value\n", row->name);
    } else if (optopt != 0) {
        fprintf(stderr, "ringcast-bench: unknown option -%c; ringcast-bench --help lists all\n",
                optopt);
    } else {
        char name[NEAREST_NAME_BYTES_MAX + 1];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(word, "="), word);
        fprintf(stderr, "ringcast-bench: unknown option %s", name);
        bench_table_print_nearest("--", name + strspn(name, "-"));
    }
}

/* Options are read twice: a preset is the first of them, wherever it stands. */
enum bench_command_pass {
    FOR_THE_PRESET,
    FOR_ALL_OTHERS,
};

static bool bench_command_take(struct bench_options *options, enum bench_command_pass pass,
                               int found, char **argv)
{
    size_t count;
    const struct bench_table_row *rows = bench_table_rows(&count);
    for (size_t i = 0; i < count; i++) {
        bool is_long = found >= LONG_BASE && (size_t)(found - LONG_BASE) == i;
        if (rows[i].name == NULL || !(is_long || (found < LONG_BASE && rows[i].letter == found))) {
            continue;
        }
        if (pass == FOR_ALL_OTHERS) {
            options->option_count++;
            return bench_command_set(options, &rows[i], optarg);
        }
        if (rows[i].kind == BENCH_TABLE_PRESET) {
            options->preset = optarg;
        }
        return true;
    }
    if (pass == FOR_ALL_OTHERS) {
        bench_command_complain(found, argv);
    }
    return pass == FOR_THE_PRESET;
}

static bool bench_command_take_all(struct bench_options *options, enum bench_command_pass pass,
                                   int argc, char **argv)
{
    struct option long_options[BENCH_TABLE_ROWS_MAX + 1] = {0};
    char letters[LETTERS_BYTES_MAX] = ":"; /* so that a missing value is reported as ':' */
    size_t count, long_count = 0;
    size_t letter_bytes = 1;
    const struct bench_table_row *rows = bench_table_rows(&count);
    assert_always(count <= BENCH_TABLE_ROWS_MAX);

    for (size_t i = 0; i < count; i++) {
        int has_argument = rows[i].argument != NULL ? required_argument : no_argument;
        if (rows[i].name == NULL) {
            continue;
        }
        long_options[long_count++] =
            (struct option){rows[i].name, has_argument, NULL, LONG_BASE + (int)i};
        if (rows[i].letter != 0) {
            letters[letter_bytes++] = rows[i].letter;
        }
        if (rows[i].letter != 0 && rows[i].argument != NULL) {
            letters[letter_bytes++] = ':';
        }
    }
    opterr = 0; /* Errors are printed here. */
    optind = 0; /* getopt starts again */
    bool good = true;
    int found;
    while (good && (found = getopt_long(argc, argv, letters, long_options, NULL)) != -1) {
        good = bench_command_take(options, pass, found, argv);
    }
    return good;
}

static int bench_command_usage(void)
{
    fprintf(stderr,
            "Usage: ringcast-bench [options] URL\n"
            "\n"
            "  ringcast-bench ws://localhost:8765                  10 connections, 10 s\n"
            "  ringcast-bench -c 1k -t 2 -d 1m ws://localhost:8765\n"
            "  ringcast-bench --protocol plain --time-pattern '' ws://any.server/path\n"
            "\n"
            "  -c N     connections (10)      -s A,B   symbols (*)\n"
            "  -t N     threads (1)           -y T     data types (quote)\n"
            "  -d TIME  duration (10s)        -j       JSON instead of text\n"
            "\n"
            "ringcast-bench --help lists all options, --preset list the servers that have a "
            "preset.\n");
    return 1;
}

/* --compare A B: no other option has a meaning. */
static int bench_command_parse_compare(struct bench_options *options, int argc, char **argv)
{
    if (options->compare_path == NULL || optind + 1 != argc) {
        return bench_options_fail("two files are compared: --compare A.json B.json%s", "");
    }
    if (options->option_count != 1u + options->compare_any || options->preset != NULL) {
        return bench_options_fail("--compare makes no run: it goes with --compare-any only%s", "");
    }
    options->url_text = argv[optind];
    return -1;
}

int bench_command_parse(struct bench_options *options_out, int argc, char **argv)
{
    bench_options_defaults(options_out);
    if (argc <= 1) {
        return bench_command_usage();
    }
    bench_command_take_all(options_out, FOR_THE_PRESET, argc, argv);
    if (options_out->preset != NULL && strcmp(options_out->preset, "list") == 0) {
        bench_presets_print(stdout);
        return 0;
    }
    if ((options_out->preset != NULL && !bench_command_take_preset(options_out)) ||
        !bench_command_take_all(options_out, FOR_ALL_OTHERS, argc, argv)) {
        return 1;
    }
    if (options_out->help) {
        bench_table_print_help();
        return 0;
    }
    if (options_out->version) {
        printf("ringcast-bench " RINGCAST_VERSION "\n");
        return 0;
    }
    if (options_out->compare_path != NULL || options_out->compare_any) {
        return bench_command_parse_compare(options_out, argc, argv);
    }
    if (optind == argc) {
        return bench_options_fail(
            "the URL is missing: ws://host[:port][/path], wss://.. or unix:///path%s", "");
    }
    if (optind + 1 < argc) {
        return bench_options_fail("one URL at a time; '%s' is a second one", argv[optind + 1]);
    }
    options_out->url_text = argv[optind];
    int exit_code = bench_options_finish(options_out);
    return exit_code >= 0 ? exit_code : bench_address_finish(options_out);
}
