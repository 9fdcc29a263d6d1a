#include "src/symbols/symbols.h"

#include <string.h>

#include "codec/base/check.h"
#include "ring/board/frame_log_glance.h"
#include "src/base/pattern.h"
#include "src/market/channel_rates.h"
#include "src/market/channels.h"
#include "src/market/staleness.h"
#include "src/request/reply.h"
#include "src/request/request_symbols.h"

#define SYMBOLS_SEEK_UNITS 100
#define SYMBOLS_LOOK_UNITS 2   /* for a symbol that is looked at */
#define SYMBOLS_ENTRY_UNITS 16 /* for a type that is written */

/* A symbol and its channels, by type; CHANNEL_NONE: no feed sends that type. */
struct symbols_entry {
    const char *symbol;
    size_t bytes;
    uint32_t channels[MD_TYPE_COUNT];
};

/* ---- The walk ---- */

/* What all symbols of the pattern begin with: the pattern's length where it is one symbol. */
static size_t symbols_prefix_bytes(const struct request_symbols *query)
{
    return strcspn(query->pattern, "*");
}

static bool symbols_is_one(const struct request_symbols *query)
{
    return query->pattern[symbols_prefix_bytes(query)] == '\0';
}

/* Where the first symbol is that comes after `after` and may match. */
static uint32_t symbols_seek(const struct symbols *symbols, const struct request_symbols *query)
{
    char prefix[PATTERN_BYTES_MAX + 1] = "";
    size_t bytes = symbols_prefix_bytes(query);
    assert_always(bytes < sizeof prefix);
    memcpy(prefix, query->pattern, bytes);
    const struct channel_order *order = &symbols->channels->order;
    return strcmp(query->after, prefix) >= 0 && query->after[0] != '\0'
               ? channel_order_seek(order, query->after, true)
               : channel_order_seek(order, prefix, false);
}

/* The symbol that begins at a channel, and where the one after it begins. */
static uint32_t symbols_gather(const struct symbols *symbols, uint32_t channel,
                               struct symbols_entry *entry_out)
{
    const struct channel *first = channels_get(symbols->channels, channel);
    entry_out->symbol = first->symbol;
    entry_out->bytes = first->symbol_bytes;
    for (unsigned type = 0; type < MD_TYPE_COUNT; type++) {
        entry_out->channels[type] = CHANNEL_NONE;
    }
    while (channel != CHANNEL_NONE) {
        const struct channel *other = channels_get(symbols->channels, channel);
        assert_always(other->type < MD_TYPE_COUNT);
        if (strcmp(other->symbol, first->symbol) != 0) {
            break;
        }
        assert_debug(variant_is_none(other->variant));
        entry_out->channels[other->type] = channel;
        channel = channel_order_next(&symbols->channels->order, channel);
    }
    return channel;
}

/* Whether the symbol, and all after it, lie behind those of the pattern. */
static bool symbols_is_behind(const struct request_symbols *query,
                              const struct symbols_entry *entry)
{
    return symbols_is_one(query)
               ? strcmp(entry->symbol, query->pattern) != 0
               : strncmp(entry->symbol, query->pattern, symbols_prefix_bytes(query)) != 0;
}

/* Removes the types that the viewer may not see; bars are built from trades that it may not see,
 * too. A bit mask of the types that are left. */
static unsigned symbols_types(const struct symbols_entry *entry,
                              const struct symbols_viewer *viewer)
{
    unsigned types = 0;
    for (unsigned type = 0; type < MD_TYPE_COUNT; type++) {
        bool is_there = entry->channels[type] != CHANNEL_NONE ||
                        (type == MD_BAR && entry->channels[MD_TRADE] != CHANNEL_NONE);
        if (is_there && (viewer->may_see == NULL ||
                         viewer->may_see(viewer->context, entry->symbol, entry->bytes, type))) {
            types |= 1u << type;
        }
    }
    return types;
}

static bool symbols_is_stale(const struct symbols *symbols, const struct symbols_entry *entry,
                             uint64_t now_ns)
{
    const struct staleness *staleness = symbols->staleness;
    for (unsigned type = 0; staleness != NULL && type < MD_TYPE_COUNT; type++) {
        if (type != MD_STATUS && entry->channels[type] != CHANNEL_NONE) {
            uint32_t symbol = staleness_symbol(staleness, entry->channels[type]);
            return symbol != CHANNEL_NONE && staleness_is_stale(staleness, symbol, now_ns);
        }
    }
    return false;
}

/* ---- The text ---- */

static void symbols_put_channel(const struct symbols *symbols, uint32_t channel,
                                struct reply *reply)
{
    struct frame_log_glance glance = frame_log_glance(symbols->log, channel);
    float rate;
    bool has_rate = channel_rates_get(symbols->rates, channel, &rate);
    if (glance.ts_pub_ns == 0 && glance.seq > 0) {
        glance.ts_pub_ns = channel_rates_newest_ns(symbols->rates, channel);
    }
    reply_text(reply, ",\"ch\":");
    reply_u64(reply, channel);
    reply_text(reply, ",\"seq\":");
    reply_u64(reply, glance.seq);
    reply_text(reply, ",\"ts\":");
    if (glance.ts_pub_ns != 0) {
        reply_u64(reply, glance.ts_pub_ns);
    } else {
        reply_text(reply, "null");
    }
    reply_print(reply, has_rate ? ",\"rate\":%.1f" : ",\"rate\":null", (double)rate);
}

static const char *symbols_variants(const struct symbols_entry *entry, unsigned type)
{
    switch (type) {
    case MD_QUOTE:
        return "[\"interval_ms\"]";
    case MD_DEPTH:
        return "[\"depth\",\"interval_ms\"]";
    case MD_BAR:
        return entry->channels[MD_TRADE] != CHANNEL_NONE ? "[\"bar\"]" : "[]";
    default:
        return "[]";
    }
}

static uint32_t symbols_put_entry(const struct symbols *symbols, const struct symbols_entry *entry,
                                  unsigned types, bool is_stale, struct reply *reply)
{
    const char *separator = "";
    reply_text(reply, "{\"symbol\":");
    reply_string(reply, entry->symbol, entry->bytes);
    reply_text(reply, is_stale ? ",\"stale\":true,\"types\":[" : ",\"types\":[");
    for (unsigned type = 0; type < MD_TYPE_COUNT; type++) {
        if ((types & (1u << type)) == 0) {
            continue;
        }
        reply_text(reply, separator);
        reply_text(reply, "{\"type\":\"");
        reply_text(reply, md_type_name((enum md_type)type));
        reply_text(reply, "\"");
        if (entry->channels[type] != CHANNEL_NONE) {
            symbols_put_channel(symbols, entry->channels[type], reply);
        }
        reply_text(reply, ",\"variants\":");
        reply_text(reply, symbols_variants(entry, type));
        reply_text(reply, "}");
        separator = ",";
    }
    reply_text(reply, "]}");
    return SYMBOLS_ENTRY_UNITS * (uint32_t)__builtin_popcount(types);
}

/* ---- A page ---- */

static uint32_t symbols_begin(const struct symbols *symbols, const struct request_symbols *query,
                              struct symbols_place *place, struct reply *reply)
{
    const char *fault_field;
    assert_debug(request_symbols_fault(query, &fault_field) == NULL);
    place->has_begun = true;
    place->next = symbols_seek(symbols, query);
    reply_text(reply, "{\"epoch\":\"");
    reply_text(reply, symbols->epoch);
    reply_text(reply, "\",\"variants\":" VARIANT_ALL_JSON ",\"symbols\":[");
    return SYMBOLS_SEEK_UNITS;
}

static void symbols_end(const struct symbols *symbols, struct symbols_place *place, bool has_more,
                        struct reply *reply)
{
    reply_text(reply, "]");
    if (has_more) {
        assert_always(place->count > 0);
        const struct channel *last = channels_get(symbols->channels, place->last);
        reply_text(reply, ",\"next\":");
        reply_string(reply, last->symbol, last->symbol_bytes);
    }
    place->is_done = true;
}

uint32_t symbols_step(const struct symbols *symbols, const struct request_symbols *query,
                      const struct symbols_viewer *viewer, struct symbols_place *place,
                      struct reply *reply)
{
    struct symbols_entry entry;
    assert_always(!place->is_done);
    if (!place->has_begun) {
        return symbols_begin(symbols, query, place, reply);
    }
    uint32_t channel = place->next;
    if (channel != CHANNEL_NONE) {
        place->next = symbols_gather(symbols, channel, &entry);
    }
    if (channel == CHANNEL_NONE || symbols_is_behind(query, &entry)) {
        symbols_end(symbols, place, false, reply);
        return SYMBOLS_LOOK_UNITS;
    }
    unsigned types =
        pattern_matches(query->pattern, strlen(query->pattern), entry.symbol, entry.bytes)
            ? symbols_types(&entry, viewer)
            : 0;
    bool is_stale = types != 0 && symbols_is_stale(symbols, &entry, place->now_ns);
    if (types == 0 || (query->only_stale && !is_stale)) {
        return SYMBOLS_LOOK_UNITS;
    }
    if (place->count == (uint32_t)query->limit || reply->bytes > SYMBOLS_PAGE_BYTES) {
        symbols_end(symbols, place, true, reply);
        return SYMBOLS_LOOK_UNITS;
    }
    reply_text(reply, place->count == 0 ? "" : ",");
    place->count++;
    place->last = channel;
    return SYMBOLS_LOOK_UNITS + symbols_put_entry(symbols, &entry, types, is_stale, reply);
}

void symbols_write(const struct symbols *symbols, const struct request_symbols *query,
                   uint64_t now_ns, struct reply *reply)
{
    struct symbols_place place = {.now_ns = now_ns};
    struct symbols_viewer everybody = {0};
    while (!place.is_done) {
        symbols_step(symbols, query, &everybody, &place, reply);
    }
    reply_text(reply, "}");
}
