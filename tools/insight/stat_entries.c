#include "tools/insight/stat_entries.h"

#include <inttypes.h>
#include <string.h>

#include "codec/base/check.h"
#include "tools/common/terminal_text.h"

#define ID_BYTES_MAX 64
#define ID_COLUMNS 32

static const struct {
    const char *text;
    const char *key; /* of JSON */
    double share;
} stat_entries_percentiles[] = {
    {"p50", "p50", 0.5},
    {"p99", "p99", 0.99},
    {"p99.9", "p99_9", 0.999},
    {"max", "max", 1},
};
#define PERCENTILES (sizeof stat_entries_percentiles / sizeof stat_entries_percentiles[0])

/* Of cores only one may be wanted. */
static bool stat_entries_wants(uint32_t scope, uint32_t instance, uint32_t core)
{
    return scope != COUNTERS_CORE || core == COUNTERS_READ_ALL || core == instance;
}

/* ---- Text ---- */

static void stat_entries_print_one(FILE *out, const struct stat_sample *sample,
                                   const struct counters_entry *entry, uint32_t instance)
{
    static struct counters_read_histogram histogram;
    const struct counters_scope_entry *scope = &sample->read.scopes[entry->scope];
    char id[ID_BYTES_MAX];
    char number[16] = "";
    assert_always(instance < scope->count);
    if (entry->scope == COUNTERS_CORE || scope->count > 1) {
        snprintf(number, sizeof number, "-%u", instance);
    }
    snprintf(id, sizeof id, "%s%s.%s:", scope->name, number, entry->name);
    terminal_text_print(out, id, strlen(id));
    fprintf(out, "%*s", strlen(id) < ID_COLUMNS ? (int)(ID_COLUMNS - strlen(id)) : 0, "");
    if (entry->kind == COUNTERS_HISTOGRAM) {
        stat_sample_histogram(sample, NULL, entry, instance, &histogram);
        fprintf(out, " count %" PRIu64, histogram.count);
        for (size_t i = 0; i < PERCENTILES; i++) {
            fprintf(out, " %s %" PRIu64, stat_entries_percentiles[i].text,
                    counters_read_percentile(&histogram, stat_entries_percentiles[i].share));
        }
    } else {
        fprintf(out, " %16" PRIu64, stat_sample_value(sample, NULL, entry, instance));
    }
    fputs(entry->unit == COUNTERS_NS ? " ns - " : " - ", out);
    terminal_text_print(out, entry->meaning, strlen(entry->meaning));
    fputc('\n', out);
}

static void stat_entries_print_instance(FILE *out, const struct stat_sample *sample, uint32_t scope,
                                        uint32_t instance)
{
    struct counters_entry entry;
    for (uint32_t i = 0; i < sample->read.header.entry_count; i++) {
        if (counters_read_entry(&sample->read, i, &entry) && entry.scope == scope) {
            stat_entries_print_one(out, sample, &entry, instance);
        }
    }
}

void stat_entries_print(FILE *out, const struct stat_sample *sample, uint32_t core)
{
    for (uint32_t i = 0; i < COUNTERS_READ_SCOPES_MAX; i++) {
        for (uint32_t instance = 0; instance < sample->read.scopes[i].count; instance++) {
            if (stat_entries_wants(i, instance, core)) {
                stat_entries_print_instance(out, sample, i, instance);
            }
        }
    }
}

/* ---- JSON ---- */

/* Whether it can be a key as it is. */
static bool stat_entries_is_key(const char *name)
{
    return name[0] != '\0' && name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';
}

static void stat_entries_json_histogram(FILE *out, const struct stat_sample *now,
                                        const struct stat_sample *before,
                                        const struct counters_entry *entry, uint32_t instance)
{
    static struct counters_read_histogram histogram;
    const char *unit = entry->unit == COUNTERS_NS ? "_ns" : "";
    stat_sample_histogram(now, before, entry, instance, &histogram);
    fprintf(out, "{\"count\":%" PRIu64 ",\"sum%s\":%" PRIu64, histogram.count, unit, histogram.sum);
    for (size_t i = 0; i < PERCENTILES; i++) {
        fprintf(out, ",\"%s%s\":%" PRIu64, stat_entries_percentiles[i].key, unit,
                counters_read_percentile(&histogram, stat_entries_percentiles[i].share));
    }
    fputc('}', out);
}

static void stat_entries_json_instance(FILE *out, const struct stat_sample *now,
                                       const struct stat_sample *before, uint32_t scope,
                                       uint32_t instance)
{
    struct counters_entry entry;
    const char *separator = "";
    uint64_t lag;
    assert_always(instance < now->read.scopes[scope].count);
    fputc('{', out);
    if (scope == COUNTERS_CORE) {
        fprintf(out, "\"core\":%u", instance);
        separator = ",";
    }
    if (scope == COUNTERS_CORE && stat_sample_lag(now, instance, &lag)) {
        fprintf(out, ",\"lag_frames\":%" PRIu64, lag);
    }
    for (uint32_t i = 0; i < now->read.header.entry_count; i++) {
        if (!counters_read_entry(&now->read, i, &entry) || entry.scope != scope ||
            !stat_entries_is_key(entry.name)) {
            continue;
        }
        fprintf(out, "%s\"%s\":", separator, entry.name);
        separator = ",";
        if (entry.kind == COUNTERS_HISTOGRAM) {
            stat_entries_json_histogram(out, now, before, &entry, instance);
        } else {
            fprintf(out, "%" PRIu64, stat_sample_value(now, before, &entry, instance));
        }
    }
    fputc('}', out);
}

static void stat_entries_json_scope(FILE *out, const struct stat_sample *now,
                                    const struct stat_sample *before, uint32_t index, uint32_t core)
{
    const struct counters_scope_entry *scope = &now->read.scopes[index];
    const char *separator = "";
    bool is_list = index == COUNTERS_CORE || scope->count > 1;
    fprintf(out, ",\"%s%s\":%s", scope->name, is_list ? "s" : "", is_list ? "[" : "");
    for (uint32_t i = 0; i < scope->count; i++) {
        if (stat_entries_wants(index, i, core)) {
            fputs(separator, out);
            separator = ",";
            stat_entries_json_instance(out, now, before, index, i);
        }
    }
    fputs(is_list ? "]" : "", out);
}

void stat_entries_print_json(FILE *out, const struct stat_sample *now,
                             const struct stat_sample *before, uint32_t core, bool is_live)
{
    const struct counters_header *header = &now->read.header;
    fprintf(out,
            "{\"pid\":%" PRIu64 ",\"alive\":%s,\"started_ns\":%" PRIu64 ",\"time_ns\":%" PRIu64,
            header->pid, is_live ? "true" : "false", header->started_ns, now->realtime_ns);
    if (before != NULL) {
        assert_always(now->monotonic_ns >= before->monotonic_ns);
        fprintf(out, ",\"interval_ns\":%" PRIu64, now->monotonic_ns - before->monotonic_ns);
    }
    for (uint32_t i = 0; i < COUNTERS_READ_SCOPES_MAX; i++) {
        if (now->read.scopes[i].count > 0 && stat_entries_is_key(now->read.scopes[i].name)) {
            stat_entries_json_scope(out, now, before, i, core);
        }
    }
    fputs("}\n", out);
}
