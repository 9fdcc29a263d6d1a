#include "tools/ctl/ctl_show.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "tools/ctl/ctl_table.h"

#define COUNT(columns) (sizeof(columns) / sizeof(columns)[0])
#define CTL_SHOW_DEPTH_MAX 8 /* of the configuration's sections */

/* ---- Members of an answer ---- */

/* "connections.open"; NULL: it is not there. */
static const json_t *ctl_show_get(const json_t *object, const char *path)
{
    while (object != NULL && *path != '\0') {
        size_t bytes = strcspn(path, ".");
        object = json_object_getn(object, path, bytes);
        path += bytes + (path[bytes] == '.');
    }
    return object;
}

static double ctl_show_number(const json_t *object, const char *path)
{
    return json_number_value(ctl_show_get(object, path));
}

static unsigned long long ctl_show_count(const json_t *object, const char *path)
{
    double number = ctl_show_number(object, path);
    return number > 0 && number < 1e18 ? (unsigned long long)number : 0;
}

static const char *ctl_show_text(const json_t *object, const char *path,
                                 char out[CTL_TABLE_CELL_BYTES_MAX])
{
    ctl_table_cell(ctl_show_get(object, path), out);
    return out;
}

static double ctl_show_mib(const json_t *object, const char *path)
{
    return ctl_show_number(object, path) / (double)MIB;
}

/* "1 client", "2 clients" */
static const char *ctl_show_plural(unsigned long long count)
{
    return count == 1 ? "" : "s";
}

static void ctl_show_rows(FILE *out, size_t width, const json_t *rows, const char *none,
                          const struct ctl_column *columns, size_t column_count)
{
    if (json_array_size(rows) == 0) {
        fprintf(out, "%s\n", none);
    } else {
        ctl_table_print(out, width, columns, column_count, rows);
    }
}

/* ---- Statistics ---- */

static void ctl_show_uptime(FILE *out, double seconds)
{
    unsigned long whole = seconds > 0 && seconds < 1e12 ? (unsigned long)seconds : 0;
    fprintf(out, "up ");
    if (whole >= 86400) {
        fprintf(out, "%lu d ", whole / 86400);
    }
    fprintf(out, "%02lu:%02lu:%02lu\n", whole / 3600 % 24, whole / 60 % 60, whole % 60);
}

void ctl_show_stats(FILE *out, size_t width, const json_t *answer)
{
    static const struct ctl_column columns[] = {
        {"core", "core", true, false},
        {"open", "conns_open", true, false},
        {"blocked", "conns_blocked", true, false},
        {"behind", "conns_pulling", true, false},
        {"subscriptions", "subscriptions", true, false},
        {"lag", "lag_frames", true, false},
        {"frames lost", "frames_lost", true, false},
    };
    char text[CTL_TABLE_CELL_BYTES_MAX];
    fprintf(out, "server     process %llu, version %s", ctl_show_count(answer, "process.pid"),
            ctl_show_text(answer, "version", text));
    fprintf(out, ", %s, ", ctl_show_text(answer, "status", text));
    ctl_show_uptime(out, ctl_show_number(answer, "uptime_seconds"));
    fprintf(out, "clients    %llu of %llu; %llu blocked, %llu catching up; %llu subscriptions\n",
            ctl_show_count(answer, "connections.active_connections"),
            ctl_show_count(answer, "connections.max_connections"),
            ctl_show_count(answer, "connections.blocked"),
            ctl_show_count(answer, "connections.catching_up"),
            ctl_show_count(answer, "connections.subscriptions"));
    fprintf(out, "ticks      %.0f per second from %zu feed%s\n",
            ctl_show_number(answer, "publisher.ticks_per_second"),
            json_array_size(ctl_show_get(answer, "publisher.feeds")),
            ctl_show_plural(json_array_size(ctl_show_get(answer, "publisher.feeds"))));
    fprintf(out, "messages   %.0f per minute; %llu frames lost, %llu conflated since the start\n",
            ctl_show_number(answer, "application.messages_per_minute"),
            ctl_show_count(answer, "message_queue.frames_lost"),
            ctl_show_count(answer, "message_queue.frames_conflated"));
    fprintf(out, "memory     %.1f MiB resident, %.1f MiB of them frame logs\n",
            ctl_show_mib(answer, "memory.resident_bytes"),
            ctl_show_mib(answer, "memory.frame_log_bytes"));
    fprintf(out, "cpu        %.1f %% of the process's, %.1f %% of the machine's\n\n",
            ctl_show_number(answer, "process.cpu_percent"),
            ctl_show_number(answer, "system.cpu_percent"));
    ctl_table_print(out, width, columns, COUNT(columns), ctl_show_get(answer, "cores"));
}

static const struct ctl_column ctl_show_client_columns[] = {
    {"session", "session", false, false}, {"name", "name", false, true},
    {"address", "address", false, true},  {"subs", "subscriptions", true, false},
    {"lag ms", "lag_ms", true, false},    {"lost", "frames_lost", true, false},
    {"quality", "quality", true, false},  {"state", "state", false, true},
    {"cause", "cause", false, false},
};

void ctl_show_clients(FILE *out, size_t width, const json_t *answer)
{
    const json_t *clients = ctl_show_get(answer, "clients");
    unsigned long long matched = ctl_show_count(answer, "matched");
    ctl_show_rows(out, width, clients, "no client", ctl_show_client_columns,
                  COUNT(ctl_show_client_columns));
    if (json_array_size(clients) < matched) {
        fprintf(out, "%zu of %llu clients; --limit and --offset show others\n",
                json_array_size(clients), matched);
    }
}

void ctl_show_topk(FILE *out, size_t width, const json_t *answer)
{
    static const struct ctl_column columns[] = {
        {"symbol", "symbol", false, true},
        {"type", "type", false, false},
        {"frames/s", "frames_per_second", true, false},
        {"subscribers", "subscribers", true, false},
    };
    ctl_show_rows(out, width, ctl_show_get(answer, "symbols"), "no symbol has ticks", columns,
                  COUNT(columns));
    fputc('\n', out);
    ctl_show_rows(out, width, ctl_show_get(answer, "laggards"), "no client lags",
                  ctl_show_client_columns, COUNT(ctl_show_client_columns));
}

/* Copies of the feeds, in which the times are how many seconds ago they were. */
static json_t *ctl_show_feed_ages(const json_t *feeds)
{
    static const char *const keys[] = {"since_seconds", "last_tick_seconds"};
    double now = (double)clock_ns(CLOCK_REALTIME) / (double)NS_PER_SECOND;
    json_t *rows = json_array();
    size_t index;
    json_t *feed;
    json_array_foreach(feeds, index, feed)
    {
        json_t *row = json_copy(feed);
        for (size_t i = 0; i < COUNT(keys); i++) {
            if (json_is_number(json_object_get(row, keys[i]))) {
                double age = now - ctl_show_number(row, keys[i]);
                json_object_set_new(row, keys[i], json_real(age > 0 ? age : 0));
            }
        }
        json_array_append_new(rows, row);
    }
    return rows;
}

void ctl_show_feeds(FILE *out, size_t width, const json_t *answer)
{
    static const struct ctl_column columns[] = {
        {"feed", "feed", false, true},
        {"state", "state", false, false},
        {"for s", "since_seconds", true, false},
        {"ticks", "ticks", true, false},
        {"last s ago", "last_tick_seconds", true, false},
        {"lost", "lost", true, false},
        {"cause", "cause", false, true},
    };
    json_t *rows = ctl_show_feed_ages(ctl_show_get(answer, "feeds"));
    ctl_show_rows(out, width, rows, "no feed", columns, COUNT(columns));
    json_decref(rows);
}

/* ---- What was done ---- */

void ctl_show_kick(FILE *out, size_t width, const json_t *answer)
{
    unsigned long long count = ctl_show_count(answer, "kicked");
    (void)width;
    fprintf(out, "kicked %llu client%s\n", count, ctl_show_plural(count));
}

void ctl_show_drain(FILE *out, size_t width, const json_t *answer)
{
    unsigned long long count = ctl_show_count(answer, "connections");
    (void)width;
    fprintf(out, "draining %llu client%s within %g s; then the server ends\n", count,
            ctl_show_plural(count), ctl_show_number(answer, "seconds"));
}

void ctl_show_reload(FILE *out, size_t width, const json_t *answer)
{
    static const struct ctl_column columns[] = {{"key", "key", false, true},
                                                {"from", "from", false, true},
                                                {"to", "to", false, true},
                                                {"content", "content", false, true}};
    const json_t *restart = ctl_show_get(answer, "needs_restart");
    fprintf(out, "applied within %.3f s; %llu keys are unchanged\n",
            ctl_show_number(answer, "seconds"), ctl_show_count(answer, "unchanged"));
    ctl_show_rows(out, width, ctl_show_get(answer, "applied"), "nothing was changed", columns,
                  COUNT(columns));
    if (json_array_size(restart) > 0) {
        fprintf(out, "\nthese need a restart:\n");
        ctl_table_print(out, width, columns, COUNT(columns) - 1, restart);
    }
}

void ctl_show_dump(FILE *out, size_t width, const json_t *answer)
{
    char text[CTL_TABLE_CELL_BYTES_MAX];
    size_t index;
    json_t *file;
    (void)width;
    fprintf(out, "%s\n", ctl_show_text(answer, "directory", text));
    json_array_foreach(ctl_show_get(answer, "files"), index, file)
    {
        ctl_table_cell(file, text);
        fprintf(out, "  %s\n", text);
    }
}

void ctl_show_gc(FILE *out, size_t width, const json_t *answer)
{
    (void)width;
    fprintf(out, "gave back %.1f MiB: %.1f MiB were resident, %.1f MiB are\n",
            ctl_show_mib(answer, "freed_bytes"), ctl_show_mib(answer, "resident_before_bytes"),
            ctl_show_mib(answer, "resident_after_bytes"));
}

void ctl_show_loglevel(FILE *out, size_t width, const json_t *answer)
{
    char text[CTL_TABLE_CELL_BYTES_MAX];
    (void)width;
    fprintf(out, "%s\n", ctl_show_text(answer, "level", text));
}

void ctl_show_alerts(FILE *out, size_t width, const json_t *answer)
{
    static const struct ctl_column active[] = {
        {"rule", "rule", false, true},   {"level", "level", false, false},
        {"value", "value", true, false}, {"limit", "limit", true, false},
        {"since", "since", false, true},
    };
    static const struct ctl_column past[] = {
        {"at", "at", false, true},        {"rule", "rule", false, true},
        {"level", "level", false, false}, {"state", "state", false, false},
        {"value", "value", true, false},  {"limit", "limit", true, false},
    };
    ctl_show_rows(out, width, ctl_show_get(answer, "active"), "no alert is active", active,
                  COUNT(active));
    if (json_array_size(ctl_show_get(answer, "history")) > 0) {
        fputc('\n', out);
        ctl_table_print(out, width, past, COUNT(past), ctl_show_get(answer, "history"));
    }
}

/* ---- Configuration ---- */

/* Adds a row for each value of a section, by its whole key. */
static void ctl_show_add_section(json_t *rows, const json_t *section, const json_t *origins,
                                 const char *prefix, int depth)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)section, name, value)
    {
        char key[CTL_TABLE_CELL_BYTES_MAX];
        snprintf(key, sizeof key, "%s%s%s", prefix, prefix[0] == '\0' ? "" : ".", name);
        if (value == origins) {
            continue;
        }
        if (json_is_object(value) && depth < CTL_SHOW_DEPTH_MAX) {
            ctl_show_add_section(rows, value, origins, key, depth + 1);
            continue;
        }
        json_array_append_new(rows, json_pack("{s:s, s:O, s:O?}", "key", key, "value", value,
                                              "origin", json_object_get(origins, key)));
    }
}

void ctl_show_config(FILE *out, size_t width, const json_t *answer)
{
    static const struct ctl_column columns[] = {{"key", "key", false, false},
                                                {"value", "value", false, true},
                                                {"from", "origin", false, true}};
    json_t *rows = json_array();
    ctl_show_add_section(rows, answer, ctl_show_get(answer, "origins"), "", 0);
    ctl_table_print(out, width, columns, COUNT(columns), rows);
    json_decref(rows);
}
