#include "src/base/json_load.h"

#include <stdlib.h>
#include <string.h>

#include "codec/json_numbers.h"

json_t *json_load(const char *text, size_t text_bytes, json_error_t *fault_out)
{
    json_t *root = json_loadb(text, text_bytes, JSON_REJECT_DUPLICATES, fault_out);
    if (root != NULL || json_error_code(fault_out) != json_error_numeric_overflow) {
        return root;
    }
    char *copy = malloc(text_bytes + 1);
    if (copy == NULL) {
        *fault_out = (json_error_t){.line = -1};
        return NULL;
    }
    memcpy(copy, text, text_bytes);
    json_numbers_clamp(copy, text_bytes);
    root = json_loadb(copy, text_bytes, JSON_REJECT_DUPLICATES, fault_out);
    free(copy);
    return root;
}
