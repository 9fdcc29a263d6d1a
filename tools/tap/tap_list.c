#include "tools/tap/tap_list.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "codec/base/units.h"
#include "tools/common/control_reply.h"
#include "tools/common/terminal_text.h"

#define PAGE_SYMBOLS 1000
#define SYMBOL_TEXT_BYTES_MAX 140 /* Each of its bytes may become an escape. */

char *tap_list_request(const struct tap_list *list, const char *pattern)
{
    json_t *data = json_pack("{s:s,s:i}", "pattern", pattern, "limit", PAGE_SYMBOLS);
    if (data != NULL && list->after[0] != 0) {
        json_object_set_new(data, "after", json_string(list->after));
    }
    json_t *message = json_pack("{s:s,s:i,s:o}", "type", "SYMBOLS", "id", 1, "data", data);
    char *text = message == NULL ? NULL : json_dumps(message, JSON_COMPACT);
    json_decref(message);
    return text;
}

/* "2026-01-31 09:30:00.123" in UTC, or "-" */
static void tap_list_time(char *out, size_t out_bytes, const json_t *entry)
{
    uint64_t ns;
    struct tm utc;
    if (!control_reply_u64(entry, "ts", &ns)) {
        snprintf(out, out_bytes, "-");
        return;
    }
    time_t seconds = (time_t)(ns / NS_PER_SECOND);
    gmtime_r(&seconds, &utc);
    size_t bytes = strftime(out, out_bytes, "%Y-%m-%d %H:%M:%S", &utc);
    snprintf(out + bytes, out_bytes - bytes, ".%03llu",
             (unsigned long long)(ns % NS_PER_SECOND / NS_PER_MS));
}

/* One data type of a symbol. */
static void tap_list_type(const char *symbol, const json_t *entry)
{
    char type[24], time_text[40], channel_text[24] = "-", rate_text[24] = "-";
    const char *type_name = json_string_value(json_object_get(entry, "type"));
    const json_t *rate = json_object_get(entry, "rate");
    size_t index;
    json_t *variant;
    uint64_t channel;
    terminal_text_copy(type, sizeof type, type_name == NULL ? "?" : type_name,
                       type_name == NULL ? 1 : strlen(type_name));
    tap_list_time(time_text, sizeof time_text, entry);
    if (control_reply_u64(entry, "ch", &channel)) {
        snprintf(channel_text, sizeof channel_text, "%llu", (unsigned long long)channel);
    }
    if (json_is_number(rate)) {
        snprintf(rate_text, sizeof rate_text, "%.1f", json_number_value(rate));
    }
    printf("%-20s  %-6s  %7s  %-23s  %9s", symbol, type, channel_text, time_text, rate_text);
    json_array_foreach(json_object_get(entry, "variants"), index, variant)
    {
        const char *name = json_string_value(variant);
        fputs(index == 0 ? "  " : ",", stdout);
        terminal_text_print(stdout, name, name == NULL ? 0 : strlen(name));
    }
    fputc('\n', stdout);
}

static void tap_list_symbol(const json_t *entry)
{
    char symbol[SYMBOL_TEXT_BYTES_MAX];
    const char *name = json_string_value(json_object_get(entry, "symbol"));
    size_t index;
    json_t *type;
    terminal_text_copy(symbol, sizeof symbol, name, name == NULL ? 0 : strlen(name));
    json_array_foreach(json_object_get(entry, "types"), index, type)
    {
        tap_list_type(symbol, type);
    }
}

void tap_list_on_page(struct tap_list *list, const json_t *data, bool as_json)
{
    size_t index;
    json_t *entry;
    json_t *symbols = json_object_get(data, "symbols");
    const char *next = json_string_value(json_object_get(data, "next"));
    if (!as_json && list->symbols == 0 && json_array_size(symbols) > 0) {
        printf("%-20s  %-6s  %7s  %-23s  %9s  %s\n", "SYMBOL", "TYPE", "CHANNEL", "LAST TICK (UTC)",
               "TICKS/S", "SETTINGS");
    }
    json_array_foreach(symbols, index, entry)
    {
        if (as_json) {
            json_dumpf(entry, stdout, JSON_COMPACT);
            fputc('\n', stdout);
        } else {
            tap_list_symbol(entry);
        }
    }
    list->symbols += json_array_size(symbols);
    list->is_done = next == NULL || next[0] == 0 || strlen(next) >= sizeof list->after ||
                    strcmp(next, list->after) == 0;
    if (!list->is_done) {
        snprintf(list->after, sizeof list->after, "%s", next);
    }
}
