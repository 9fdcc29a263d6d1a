#include "codec/nearest.h"

#include <stdbool.h>
#include <string.h>

#include "codec/base/check.h"

#define NEAREST_DISTANCE_MAX 3

/* Levenshtein's, one row at a time. Both are at most NEAREST_NAME_BYTES_MAX long. */
static size_t nearest_edit_distance(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    size_t row[NEAREST_NAME_BYTES_MAX + 1];
    assert_always(a_bytes <= NEAREST_NAME_BYTES_MAX);
    assert_always(b_bytes <= NEAREST_NAME_BYTES_MAX);

    for (size_t j = 0; j <= b_bytes; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a_bytes; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_bytes; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            best = row[j] + 1 < best ? row[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            row[j] = best;
        }
    }
    return row[b_bytes];
}

const char *nearest_name(const char *text, const char *const *names, size_t name_count)
{
    const char *nearest = NULL;
    size_t nearest_distance = NEAREST_DISTANCE_MAX + 1;
    size_t nearest_bytes = 0;
    size_t text_bytes = strnlen(text, NEAREST_NAME_BYTES_MAX + 1);
    if (text_bytes > NEAREST_NAME_BYTES_MAX) {
        return NULL;
    }
    for (size_t i = 0; i < name_count; i++) {
        size_t name_bytes = strlen(names[i]);
        size_t distance = nearest_edit_distance(text, text_bytes, names[i], name_bytes);
        bool is_nearer = distance < nearest_distance ||
                         (distance == nearest_distance && name_bytes > nearest_bytes);
        if (is_nearer && distance <= NEAREST_DISTANCE_MAX && 2 * distance <= name_bytes + 1) {
            nearest_distance = distance;
            nearest_bytes = name_bytes;
            nearest = names[i];
        }
    }
    return nearest;
}
