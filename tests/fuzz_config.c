/* No file may make the reader of configurations read out of bounds, hand on a path or a kind that
 * cannot be, or end without words. What is taken into options prints as a file that gives the same.
 * Input: a file. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "src/config/config.h"
#include "src/config/options_file.h"
#include "src/config/options_parse.h"
#include "src/config/options_print.h"
#include "src/config/options_profile.h"
#include "src/config/options_value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Counts; refuses nothing. */
static int fuzz_config_take(void *context, const struct config_entry *entry, char *error_out)
{
    uint32_t *line = context;
    size_t path_bytes = strlen(entry->path);
    bool has_text = entry->kind == CONFIG_VALUE || entry->kind == CONFIG_ITEM;
    (void)error_out;
    assert_always(path_bytes >= 1 && path_bytes <= CONFIG_PATH_BYTES_MAX);
    assert_always(has_text == (entry->text != NULL));
    assert_always(entry->line >= *line);
    *line = entry->line;
    return 0;
}

static void fuzz_config_read(const uint8_t *data, size_t size)
{
    char error[CONFIG_ERROR_BYTES_MAX] = "";
    uint32_t line = 1;
    struct config_sink sink = {.context = &line, .take = fuzz_config_take};
    int status = config_parse("fuzz.yaml", data, size, &sink, error);
    assert_always((status == 0) == (error[0] == '\0'));
    assert_always(memchr(error, '\0', sizeof error) != NULL);
}

static int fuzz_config_load(struct options *options_out, const char *text, size_t bytes)
{
    char error[OPTIONS_ERROR_BYTES_MAX] = "";
    char *argv[] = {(char *)(uintptr_t) "ringcast", NULL};
    char *environment[] = {NULL};
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(0, &cpus);
    CPU_SET(1, &cpus);
    struct options_input input = {
        .argc = 1, .argv = argv, .environment = environment, .cpus = &cpus};
    struct options_file_text file = {
        .name = "fuzz.yaml", .text = text, .bytes = bytes, .layer = OPTIONS_LAYER_FILE};
    int status = options_parse(options_out, &input, error);
    assert_always(status == 0);
    status = options_file_take_text(options_out, &file, &cpus, error);
    assert_always((status == 0) == (error[0] == '\0'));
    return status == 0 ? options_profile_take(options_out, &cpus, error) : status;
}

/* A secret is not printed. */
static void fuzz_config_compare(const struct options *a, const struct options *b)
{
    size_t count;
    const struct option_spec *table = options_table(&count);
    for (size_t i = 0; i < count; i++) {
        bool is_printed = table[i].key != NULL && option_kind(&table[i]) != OPTION_IGNORED &&
                          (table[i].kind & OPTION_SECRET) == 0;
        assert_always(!is_printed || options_value_equal(a, b, &table[i]));
    }
}

/* The caller frees it. */
static char *fuzz_config_print(void (*print)(FILE *out, const struct options *options),
                               const struct options *options, size_t *bytes_out)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, bytes_out);
    assert_always(out != NULL);
    print(out, options);
    assert_always(fclose(out) == 0);
    return text;
}

static void fuzz_config_round(const struct options *options)
{
    size_t bytes;
    free(fuzz_config_print(options_print_env, options, &bytes));
    char *text = fuzz_config_print(options_print_config, options, &bytes);
    struct options again;
    assert_always(fuzz_config_load(&again, text, bytes) == 0);
    fuzz_config_compare(options, &again);
    options_deinit(&again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct options options;
    fuzz_config_read(data, size);
    if (fuzz_config_load(&options, (const char *)data, size) == 0) {
        fuzz_config_round(&options);
    }
    options_deinit(&options);
    return 0;
}
