#include "feeds/ingest/ingest_names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/base/list.h"

struct ingest_names {
    uint64_t use_count;
    struct ingest_names_entry {
        struct ingest_place place;
        uint64_t used; /* when it was closed last, counted in closes */
        uint32_t open_count;
        char token[FEED_GRANT_NAME_BYTES_MAX + 1];
        char name[INGEST_NAME_BYTES_MAX + 1]; /* empty: free */
    } entries[INGEST_NAMES_MAX];
};

int ingest_names_create(struct ingest_names **names_out)
{
    *names_out = calloc(1, sizeof **names_out);
    return *names_out == NULL ? -ENOMEM : 0;
}

void ingest_names_destroy(struct ingest_names *names)
{
    free(names);
}

/* The entry of the name; otherwise the first free one, or the one that has been away for the
 * longest. */
static struct ingest_names_entry *ingest_names_find(struct ingest_names *names, const char *token,
                                                    const char *name)
{
    struct ingest_names_entry *best = NULL;
    for (uint32_t i = 0; i < INGEST_NAMES_MAX; i++) {
        struct ingest_names_entry *entry = &names->entries[i];
        if (entry->name[0] == '\0') { /* Entries are filled from the front. */
            return entry;
        }
        if (strcmp(entry->name, name) == 0 && strcmp(entry->token, token) == 0) {
            return entry;
        }
        if (entry->open_count == 0 && (best == NULL || entry->used < best->used)) {
            best = entry;
        }
    }
    return best;
}

struct ingest_place *ingest_names_open(struct ingest_names *names, const char *token,
                                       const char *name, uint64_t epoch)
{
    struct ingest_names_entry *entry = ingest_names_find(names, token, name);
    assert_always(epoch != 0);
    assert_always(entry != NULL); /* Far fewer producers are connected than there are places. */
    if (strcmp(entry->name, name) != 0 || strcmp(entry->token, token) != 0) {
        *entry = (struct ingest_names_entry){.place = {.epoch = epoch}};
        snprintf(entry->token, sizeof entry->token, "%s", token);
        snprintf(entry->name, sizeof entry->name, "%s", name);
    }
    entry->open_count++;
    return &entry->place;
}

void ingest_names_close(struct ingest_names *names, struct ingest_place *place)
{
    struct ingest_names_entry *entry = container_of(place, struct ingest_names_entry, place);
    assert_always(entry->open_count > 0);
    entry->open_count--;
    entry->used = ++names->use_count;
}
