#include "src/reload_changes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "src/base/log.h"
#include "src/config/options_value.h"

#define RELOAD_CHANGES_NAMES_BYTES_MAX 180 /* of keys, in the line of the log */

static size_t reload_changes_value_bytes(const struct option_spec *spec)
{
    switch (option_kind(spec)) {
    case OPTION_FLAG:
        return sizeof(bool);
    case OPTION_TEXT:
        return sizeof(const char *);
    case OPTION_NUMBER:
        return sizeof(uint32_t);
    case OPTION_SECONDS:
        return sizeof(uint64_t);
    case OPTION_BYTES:
        return spec->max > UINT32_MAX ? sizeof(uint64_t) : sizeof(uint32_t);
    case OPTION_CHOICE:
        return sizeof(int);
    case OPTION_LIST:
        return sizeof(struct options_list);
    default:
        return 0; /* No row of another kind is live. */
    }
}

bool reload_changes_switch_tls(const struct options *running, const struct options *fresh)
{
    return options_has_tls(running) != options_has_tls(fresh);
}

static bool reload_changes_is_live(const struct reload_compared *compared,
                                   const struct option_spec *spec)
{
    bool is_slab = spec->offset == offsetof(struct options, connections_max);
    bool is_tls = (spec->group & ~OPTION_COMMON) == OPTION_GROUP_TLS;
    return (spec->kind & OPTION_LIVE) != 0 &&
           (!is_tls || !reload_changes_switch_tls(compared->running, compared->fresh)) &&
           (!is_slab || compared->fresh->connections_max <= compared->connections_most);
}

static void reload_changes_copy_origin(struct options *to, const struct options *from,
                                       const struct option_spec *spec)
{
    size_t row = options_row(spec);
    to->layers[row] = from->layers[row];
    to->sources[row] = from->sources[row];
}

static void reload_changes_copy(struct options *to, const struct options *from,
                                const struct option_spec *spec)
{
    size_t bytes = reload_changes_value_bytes(spec);
    assert_always(bytes > 0);
    memcpy((char *)to + spec->offset, (const char *)from + spec->offset, bytes);
    reload_changes_copy_origin(to, from, spec);
}

/* What options_tls.h makes of several rows. Threads need a restart. */
static void reload_changes_copy_tls(struct options *to, const struct options *from)
{
    uint32_t thread_count = to->tls.thread_count;
    to->tls = from->tls;
    to->tls.thread_count = thread_count;
}

void reload_changes_apply(struct options *running, const struct options *merged)
{
    size_t count;
    const struct option_spec *table = options_table(&count);
    for (size_t i = 0; i < count; i++) {
        if ((table[i].kind & OPTION_LIVE) != 0) {
            reload_changes_copy(running, merged, &table[i]);
        }
    }
    running->access.rate_limit_enabled = merged->access.rate_limit_enabled;
    reload_changes_copy_tls(running, merged);
}

/* The number of an option among names; count: it is not there. */
static uint32_t reload_changes_number(const struct option_spec *spec, const char *const *names,
                                      uint32_t count)
{
    uint32_t number = 0;
    while (number < count && strcmp(spec->name, names[number]) != 0) {
        number++;
    }
    return number;
}

/* Whether a file with the same name holds something else. */
static bool reload_changes_is_rewritten(const struct reload_compared *compared,
                                        const struct option_spec *spec)
{
    uint32_t secret = reload_changes_number(spec, secrets_files, SECRETS_FILES);
    uint32_t tls = reload_changes_number(spec, tls_server_files, TLS_SERVER_FILES);
    if (secret < SECRETS_FILES) {
        return memcmp(&compared->running_files[secret], &compared->fresh_files[secret],
                      sizeof(struct secrets_digest)) != 0;
    }
    return tls < TLS_SERVER_FILES && compared->running_tls != NULL &&
           memcmp(&compared->running_tls[tls], &compared->fresh_tls[tls],
                  sizeof(struct tls_digest)) != 0;
}

static int reload_changes_look(struct reload_changes *changes,
                               const struct reload_compared *compared,
                               const struct option_spec *spec)
{
    bool is_equal = options_value_equal(compared->running, compared->fresh, spec);
    bool is_rewritten = is_equal && reload_changes_is_rewritten(compared, spec);
    bool is_live = reload_changes_is_live(compared, spec);
    if (is_live) { /* Also if it is equal: its text is of the fresh options from now on. */
        reload_changes_copy(compared->merged, compared->fresh, spec);
    } else if ((spec->kind & OPTION_LIVE) != 0) { /* The older options, with their texts, go. */
        reload_changes_copy_origin(compared->merged, compared->fresh, spec);
    }
    if (is_equal && !is_rewritten) {
        changes->unchanged_count++;
        return 0;
    }
    json_t *entry = json_pack("{s:s, s:o, s:o}", "key", spec->key != NULL ? spec->key : spec->name,
                              "from", options_value_json(compared->running, spec), "to",
                              options_value_json(compared->fresh, spec));
    if (is_rewritten && entry != NULL) {
        json_object_set_new(entry, "content", json_string("changed"));
    }
    json_t *list = is_live ? changes->applied : changes->needs_restart;
    return json_array_append_new(list, entry) < 0 ? -ENOMEM : 0;
}

int reload_changes_find(struct reload_changes *changes_out, const struct reload_compared *compared)
{
    struct reload_changes changes = {.applied = json_array(), .needs_restart = json_array()};
    int error = changes.applied == NULL || changes.needs_restart == NULL ? -ENOMEM : 0;
    size_t count;
    const struct option_spec *table = options_table(&count);
    for (size_t i = 0; i < count && error == 0; i++) {
        bool is_value = table[i].name != NULL && option_kind(&table[i]) != OPTION_ACTION;
        error = is_value ? reload_changes_look(&changes, compared, &table[i]) : 0;
    }
    compared->merged->access.rate_limit_enabled = compared->merged->rate_limit_enabled != 0;
    if (!reload_changes_switch_tls(compared->running, compared->fresh)) {
        reload_changes_copy_tls(compared->merged, compared->fresh);
    }
    if (error < 0) {
        reload_changes_drop(&changes);
    }
    *changes_out = changes;
    return error;
}

void reload_changes_drop(struct reload_changes *changes)
{
    json_decref(changes->applied);
    json_decref(changes->needs_restart);
    *changes = (struct reload_changes){0};
}

/* " (a, b, c)", or nothing. */
static void reload_changes_write_keys(const json_t *list, char out[RELOAD_CHANGES_NAMES_BYTES_MAX])
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *key = json_string_value(json_object_get(json_array_get(list, i), "key"));
        if (used + strlen(key) + sizeof " (, ...)" > RELOAD_CHANGES_NAMES_BYTES_MAX) {
            used += (size_t)snprintf(out + used, RELOAD_CHANGES_NAMES_BYTES_MAX - used, ", ...");
            break;
        }
        used += (size_t)snprintf(out + used, RELOAD_CHANGES_NAMES_BYTES_MAX - used, "%s%s",
                                 i == 0 ? " (" : ", ", key);
    }
    assert_always(used < RELOAD_CHANGES_NAMES_BYTES_MAX - 1);
    if (used > 0) {
        strcpy(out + used, ")");
    }
}

json_t *reload_changes_report(struct reload_changes *changes, double seconds)
{
    char applied[RELOAD_CHANGES_NAMES_BYTES_MAX];
    char needs_restart[RELOAD_CHANGES_NAMES_BYTES_MAX];
    bool is_partial = json_array_size(changes->needs_restart) > 0;
    reload_changes_write_keys(changes->applied, applied);
    reload_changes_write_keys(changes->needs_restart, needs_restart);
    log_write(is_partial ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO,
              "reloaded in %.0f ms: %zu applied%s, %zu need a restart%s, %u unchanged",
              seconds * 1000, json_array_size(changes->applied), applied,
              json_array_size(changes->needs_restart), needs_restart, changes->unchanged_count);
    json_t *answer = json_pack("{s:b, s:o, s:I, s:o, s:f}", "ok", 1, "applied", changes->applied,
                               "unchanged", (json_int_t)changes->unchanged_count, "needs_restart",
                               changes->needs_restart, "seconds", seconds);
    *changes = (struct reload_changes){0};
    return answer;
}
