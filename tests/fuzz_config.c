/* No file may make the reader of configurations read out of bounds, hand on a path or a kind that
 * cannot be, or end without words. Input: a file. */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "codec/base/check.h"
#include "src/config/config.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char error[CONFIG_ERROR_BYTES_MAX] = "";
    uint32_t line = 1;
    struct config_sink sink = {.context = &line, .take = fuzz_config_take};
    int status = config_parse("fuzz.yaml", data, size, &sink, error);
    assert_always((status == 0) == (error[0] == '\0'));
    assert_always(memchr(error, '\0', sizeof error) != NULL);
    return 0;
}
