#include "feeds/kind_counts.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool kind_counts_is_plain(char character)
{
    return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
           (character >= '0' && character <= '9') ||
           (character != '\0' && strchr("_-.@!", character) != NULL);
}

static struct kind_count *kind_counts_find(struct kind_counts *counts, const char *name,
                                           size_t name_bytes)
{
    for (uint32_t i = 0; i < counts->count; i++) {
        struct kind_count *kind = &counts->kinds[i];
        if (kind->name_bytes == name_bytes && memcmp(kind->name, name, name_bytes) == 0) {
            return kind;
        }
    }
    return NULL;
}

void kind_counts_add(struct kind_counts *counts, const char *name, size_t name_bytes)
{
    char plain[KIND_COUNTS_NAME_BYTES_MAX];
    name_bytes = name_bytes < sizeof plain ? name_bytes : sizeof plain;
    for (size_t i = 0; i < name_bytes; i++) {
        plain[i] = name[i];
        if (!kind_counts_is_plain(name[i])) {
            plain[i] = '?';
        }
    }

    struct kind_count *kind = kind_counts_find(counts, plain, name_bytes);
    counts->total++;
    if (kind == NULL && counts->count == KIND_COUNTS_MAX) {
        counts->other++;
        return;
    }
    if (kind == NULL) {
        kind = &counts->kinds[counts->count++];
        kind->name_bytes = (uint8_t)name_bytes;
        memcpy(kind->name, plain, name_bytes);
    }
    kind->count++;
}

uint64_t kind_counts_get(const struct kind_counts *counts, const char *name)
{
    for (uint32_t i = 0; i < counts->count; i++) {
        if (strcmp(counts->kinds[i].name, name) == 0) {
            return counts->kinds[i].count;
        }
    }
    return 0;
}

void kind_counts_format(const struct kind_counts *counts, char *text, size_t text_bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < counts->count && used < text_bytes; i++) {
        const struct kind_count *kind = &counts->kinds[i];
        used += (size_t)snprintf(text + used, text_bytes - used, "%s%" PRIu64 " %s",
                                 i == 0 ? "" : ", ", kind->count, kind->name);
    }
    if (counts->other > 0 && used < text_bytes) {
        snprintf(text + used, text_bytes - used, ", %" PRIu64 " other", counts->other);
    }
}
