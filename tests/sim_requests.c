/* sim_requests: what a client asks for, and what the answers change. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim_subscriber.h"

#define REQUESTS_BYTES_MAX 8192
#define REQUESTS_CURSORS_MAX 60
#define REQUESTS_SEQ_MAX UINT64_C(1000000000000000)

static const char *const policy_names[] = {"skip", "conflate", "disconnect"};

/* ---- Asking ---- */

static char text[REQUESTS_BYTES_MAX];
static size_t text_bytes;

__attribute__((format(printf, 1, 2))) static void put(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    text_bytes += (size_t)vsnprintf(text + text_bytes, sizeof text - text_bytes, format, arguments);
    va_end(arguments);
    assert_always(text_bytes < sizeof text);
}

/* An id is any number or string, and comes back as it was. */
static const char *id_text(uint64_t id)
{
    static const char *const forms[] = {"%llu", "%llu.50", "18446744073709551615%llu",
                                        "\"\\u0041%llu\"", "-%lluE999"};
    static char written[64];
    snprintf(written, sizeof written, forms[id % (sizeof forms / sizeof forms[0])],
             (unsigned long long)id);
    return written;
}

static void begin(struct subscriber *subscriber, enum ask_kind kind, const char *type)
{
    uint64_t id = subscriber->asked.id + 1;
    subscriber->asked = (struct asked){.kind = kind, .id = id};
    text_bytes = 0;
    put("{\"type\":\"%s\",\"id\":%s", type, id_text(id));
}

static void end(struct subscriber *subscriber)
{
    struct asked *asked = &subscriber->asked;
    if (asked->id % 3 == 0 && asked->kind != ASK_SNAPSHOT) { /* It may have several answers. */
        put(",\"typ\":null,\"unused\":[1e999,-99999999999999999999,{\"id\":0}]");
        asked->unused_count = 2;
    }
    put("}");
    subscriber_trace(subscriber, "->", text);
    sim_peer_send(&subscriber->peer, WS_TEXT, text, text_bytes, SIZE_MAX);
}

static void put_delivery(struct subscriber *subscriber, bool may_conflate, uint32_t interval_ms)
{
    struct asked *asked = &subscriber->asked;
    asked->max_lag_is_given = sim_random(4) == 0;
    asked->policy_is_given =
        sim_random(2) == 0 || (asked->kind == ASK_MODIFY && !asked->max_lag_is_given);
    uint64_t policy = sim_random(6) == 0 ? LAG_DISCONNECT : may_conflate ? sim_random(2) : 0;
    asked->entry.policy = (enum lag_policy)policy;
    put(",\"delivery\":{\"mode\":\"%s\"", interval_ms > 0 ? "conflated" : "all");
    if (interval_ms > 0) {
        put(",\"interval_ms\":%u", interval_ms);
    }
    if (asked->policy_is_given) {
        put(",\"on_lag\":\"%s\"", policy_names[policy]);
        subscriber->may_be_cut |= policy == LAG_DISCONNECT;
    }
    if (asked->max_lag_is_given) {
        asked->entry.max_lag_ms = sim_random(3) == 0 ? 0 : 20 + (uint32_t)sim_random(300);
        put(",\"max_lag_ms\":%u", asked->entry.max_lag_ms);
        subscriber->has_lag_limit |= asked->entry.max_lag_ms > 0;
    }
    put("}");
}

static void put_settings(struct variant variant)
{
    if (variant.depth != 0) {
        put(",\"depth\":%u", variant.depth);
    }
    if (variant.bar != 0) {
        put(",\"bar\":\"%s\"", variant_bar_name(variant.bar));
    }
}

static const char *some_symbol(void)
{
    return sim_random(40) == 0 ? "nothing" : ticks_symbol((uint32_t)sim_random(WORLD_SYMBOLS));
}

/* Which there are depends on the type. */
static struct variant some_variant(enum md_type type)
{
    static const uint16_t intervals[] = {100, 250, 1000};
    struct variant variant = {0};
    if (type == MD_DEPTH && sim_random(2) == 0) {
        variant.depth = sim_random(2) == 0 ? 5 : 20;
    }
    if (type == MD_BAR && sim_random(2) == 0) {
        variant.bar = (uint8_t)(1 + sim_random(2));
    }
    if ((type == MD_QUOTE || variant.depth != 0) && sim_random(3) == 0) {
        variant.interval_ms = intervals[sim_random(3)];
    }
    return variant;
}

static void ask_subscribe(struct subscriber *subscriber)
{
    enum md_type type = (enum md_type)sim_random(MD_TYPE_COUNT);
    struct variant variant = some_variant(type);
    bool may_conflate = type == MD_QUOTE || type == MD_BAR || variant.interval_ms != 0;
    begin(subscriber, ASK_SUBSCRIBE, "SUBSCRIBE");
    subscriber->asked.snapshot = sim_random(2) == 0;
    put(",\"data\":{\"symbols\":[\"%s\"", some_symbol());
    for (uint64_t more = sim_random(3); more > 0; more--) {
        put(",\"%s\"", some_symbol());
    }
    put("],\"data_types\":[\"%s\"],\"snapshot\":%s", md_type_name(type),
        subscriber->asked.snapshot ? "true" : "false");
    put_settings(variant);
    put_delivery(subscriber, may_conflate, variant.interval_ms);
    put("}");
    end(subscriber);
}

const char *subscriber_ask_by_url(struct subscriber *subscriber)
{
    enum md_type type = (enum md_type)sim_random(MD_TYPE_COUNT);
    struct variant variant = some_variant(type);
    struct asked *url = &subscriber->url;
    *url = (struct asked){.kind = ASK_SUBSCRIBE, .snapshot = sim_random(2) == 0};
    text_bytes = 0;
    put("/?snapshot=%s&types=%s", url->snapshot ? "true" : "false", md_type_name(type));
    for (uint64_t count = 1 + sim_random(3); count > 0; count--) {
        put("&symbols=");
        for (const char *at = some_symbol(); *at != '\0'; at++) {
            put("%%%02x", (uint8_t)*at);
        }
    }
    if (variant.depth != 0) {
        put("&depth=%u", variant.depth);
    }
    if (variant.bar != 0) {
        put("&bar=%s", variant_bar_name(variant.bar));
    }
    if (variant.interval_ms != 0) {
        put("&interval_ms=%u", variant.interval_ms);
    }
    if (sim_random(2) == 0) {
        url->policy_is_given = true;
        put("&on_lag=skip");
    }
    subscriber_trace(subscriber, "->", text);
    return text;
}

static void ask_pattern(struct subscriber *subscriber)
{
    static const char *const patterns[] = {"*", "A*", "B*", "*.X", "A*.Y", "*1*"};
    enum md_type type = (enum md_type)sim_random(MD_TYPE_COUNT);
    begin(subscriber, ASK_SUBSCRIBE, "SUBSCRIBE");
    subscriber->asked.snapshot = sim_random(2) == 0;
    put(",\"data\":{\"symbols\":\"%s\",\"data_types\":\"%s\",\"snapshot\":%s",
        patterns[sim_random(sizeof patterns / sizeof patterns[0])], md_type_name(type),
        subscriber->asked.snapshot ? "true" : "false");
    put_delivery(subscriber, type == MD_QUOTE || type == MD_BAR, 0);
    put("}");
    end(subscriber);
}

/* One of those that it has, by its own text. false: there is none. */
static bool put_some_entry(struct subscriber *subscriber, bool *may_conflate_out,
                           struct variant *variant_out)
{
    uint32_t count = channels_count(world.channels);
    uint32_t first = (uint32_t)sim_random(count + SUBSCRIBER_PATTERNS_MAX);
    for (uint32_t i = 0; i < count + SUBSCRIBER_PATTERNS_MAX; i++) {
        uint32_t place = (first + i) % (count + SUBSCRIBER_PATTERNS_MAX);
        const struct pattern_entry *pattern =
            &subscriber->patterns[place < count ? 0 : place - count];
        if (place < count && subscriber->exact[place].is_there) {
            const struct channel_name name = subscriber_name(subscriber, place);
            put(",\"data\":{\"symbols\":[\"%s\"],\"data_types\":[\"%s\"]", name.symbol,
                md_type_name(name.type));
            put_settings(name.variant);
            *variant_out = name.variant;
            *may_conflate_out =
                name.type == MD_QUOTE || name.type == MD_BAR || name.variant.interval_ms != 0;
            return true;
        }
        if (place >= count && pattern->text[0] != '\0') {
            put(",\"data\":{\"symbols\":\"%s\",\"data_types\":\"%s\"", pattern->text,
                md_type_name(pattern->type));
            *variant_out = (struct variant){0};
            *may_conflate_out = pattern->type == MD_QUOTE || pattern->type == MD_BAR;
            return true;
        }
    }
    return false;
}

static void ask_unsubscribe(struct subscriber *subscriber)
{
    struct variant variant;
    bool may_conflate;
    begin(subscriber, ASK_UNSUBSCRIBE, "UNSUBSCRIBE");
    if (sim_random(8) > 0 && put_some_entry(subscriber, &may_conflate, &variant)) {
        if (variant.interval_ms != 0) {
            put(",\"delivery\":{\"mode\":\"conflated\",\"interval_ms\":%u}", variant.interval_ms);
        }
        put("}");
    } else {
        subscriber->asked.is_of_all = true;
    }
    end(subscriber);
}

static void ask_modify(struct subscriber *subscriber)
{
    struct variant variant;
    bool may_conflate;
    begin(subscriber, ASK_MODIFY, "MODIFY");
    if (!put_some_entry(subscriber, &may_conflate, &variant)) {
        subscriber->asked.kind = ASK_NO;
        return;
    }
    put_delivery(subscriber, may_conflate, variant.interval_ms);
    put("}");
    end(subscriber);
}

static void ask_snapshot(struct subscriber *subscriber)
{
    static const enum md_type types[] = {MD_QUOTE, MD_TRADE, MD_BAR, MD_DEPTH, MD_STATUS};
    enum md_type type = types[sim_random(5)];
    begin(subscriber, ASK_SNAPSHOT, "SNAPSHOT");
    uint32_t first = (uint32_t)sim_random(WORLD_SYMBOLS - 3);
    subscriber->asked.verdicts_due = 1 + (uint32_t)sim_random(3);
    put(",\"data\":{\"data_types\":[\"%s\"],\"symbols\":[", md_type_name(type));
    for (uint32_t i = 0; i < subscriber->asked.verdicts_due; i++) {
        put("%s\"%s\"", i == 0 ? "" : ",", ticks_symbol(first + i));
    }
    put("]}");
    end(subscriber);
}

static void ask_replay(struct subscriber *subscriber)
{
    static const char *const speeds[] = {"0", "0", "1", "50"};
    if (channels_count(world.channels) == 0) {
        return;
    }
    uint32_t number = (uint32_t)sim_random(channels_count(world.channels));
    const struct channel *channel = channels_get(world.channels, number);
    uint64_t count = world.published[number].count;
    bool may_be_unnamed = world.leaps && channel->group == CHANNELS_VARIANTS_GROUP;
    if (count == 0 || may_be_unnamed || subscriber_is_covered(subscriber, number)) {
        return;
    }
    bool by_seq = sim_random(2) == 0;
    uint64_t from = by_seq ? count - sim_random(count < 200 ? count : 200)
                           : sim_wall_ns() - sim_random(NS_PER_SECOND / 4);
    begin(subscriber, ASK_REPLAY, "REPLAY");
    subscriber->asked.replay_ends = sim_random(2) == 0;
    subscriber->asked.replay_from = by_seq ? from : 0;
    put(",\"data\":{\"symbols\":[\"%s\"],\"data_types\":[\"%s\"],\"from\":%llu,\"speed\":%s",
        channel->symbol, md_type_name((enum md_type)channel->type), (unsigned long long)from,
        speeds[sim_random(4)]);
    if (subscriber->asked.replay_ends) {
        put(",\"to\":%llu",
            (unsigned long long)(from + sim_random(by_seq ? 300 : NS_PER_SECOND / 8)));
    }
    put_settings(channel->variant);
    put_delivery(subscriber, channel->type == MD_QUOTE || channel->type == MD_BAR,
                 channel->variant.interval_ms);
    put("}");
    end(subscriber);
}

void subscriber_ask_resume(struct subscriber *subscriber)
{
    uint32_t count = 0;
    begin(subscriber, ASK_RESUME, "RESUME");
    put(",\"data\":{\"epoch\":\"%s\",\"cursors\":{", subscriber->epoch);
    for (uint32_t i = 0; i < WORLD_CHANNELS_MAX && count < REQUESTS_CURSORS_MAX; i++) {
        if (subscriber->cursors[i] != 0 && sim_random(8) > 0) {
            put("%s\"%u\":%llu", count == 0 ? "" : ",", i,
                (unsigned long long)subscriber->cursors[i] - 1);
            count++;
        }
    }
    put("}}");
    if (count == 0) {
        subscriber->asked.kind = ASK_NO;
        return;
    }
    end(subscriber);
}

void subscriber_ask_token(struct subscriber *subscriber, const char *token)
{
    begin(subscriber, ASK_AUTH, "AUTH");
    subscriber->asked.token = token;
    put(",\"data\":{\"token\":\"%s\"}", token);
    end(subscriber);
}

static void ask_simply(struct subscriber *subscriber, enum ask_kind kind, const char *type)
{
    begin(subscriber, kind, type);
    if (kind == ASK_PING) {
        put(",\"data\":{\"t0\":%s}", id_text(subscriber->asked.id));
    }
    end(subscriber);
}

static void ask_symbols(struct subscriber *subscriber)
{
    static const char *const patterns[] = {"*", "*1*", "S*"};
    begin(subscriber, ASK_SYMBOLS, "SYMBOLS");
    put(",\"data\":{\"pattern\":\"%s\",\"limit\":%u}", patterns[sim_random(3)],
        1 + (uint32_t)sim_random(2 * WORLD_SYMBOLS));
    end(subscriber);
}

static void ask_badly(struct subscriber *subscriber)
{
    static const char *const bad[] = {
        "SUBSCRIBE", "NONSENSE", "REPLAY", "MODIFY", "AUTH", "SNAPSHOT",
    };
    begin(subscriber, ASK_BAD, bad[sim_random(sizeof bad / sizeof bad[0])]);
    put(",\"data\":{\"symbols\":17}");
    end(subscriber);
}

static void ask_smaller_scope(struct subscriber *subscriber)
{
    static const char *const tokens[] = {TOKEN_ALL, TOKEN_SOME, TOKEN_FEW};
    if (world.needs_auth) {
        subscriber_ask_token(subscriber, tokens[sim_random(3)]);
    }
}

void subscriber_ask(struct subscriber *subscriber)
{
    uint64_t draw = sim_random(100);
    /* What is replayed is to come once only. */
    draw = subscriber->has_replay ? 84 + sim_random(16) : draw;
    if (draw < 30) {
        ask_subscribe(subscriber);
    } else if (draw < 40) {
        ask_pattern(subscriber);
    } else if (draw < 50) {
        ask_unsubscribe(subscriber);
    } else if (draw < 58) {
        ask_modify(subscriber);
    } else if (draw < 68) {
        ask_snapshot(subscriber);
    } else if (draw < 78) {
        ask_replay(subscriber);
    } else if (draw < 84) {
        subscriber_remember(subscriber);
        subscriber_ask_resume(subscriber);
    } else if (draw < 88) {
        ask_smaller_scope(subscriber);
    } else if (draw < 92) {
        ask_simply(subscriber, ASK_LIST, "LIST");
    } else if (draw < 93) {
        ask_symbols(subscriber);
    } else if (draw < 94) {
        ask_simply(subscriber, ASK_HEARTBEAT, "HEARTBEAT");
    } else if (draw < 96) {
        ask_simply(subscriber, ASK_PING, "PING");
    } else if (draw < 98) {
        ask_simply(subscriber, ASK_STATUS, "STATUS");
    } else {
        ask_badly(subscriber);
    }
}

/* ---- What an answer names ---- */

static uint64_t number_of(json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    EXPECT(json_is_integer(value) && json_integer_value(value) >= 0);
    return (uint64_t)json_integer_value(value);
}

static const char *string_of(json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    EXPECT(value != NULL);
    return value;
}

static enum md_type type_of(json_t *entry)
{
    const char *name = string_of(entry, "type");
    enum md_type type = md_type_by_name(name, strlen(name));
    EXPECT(type < MD_TYPE_COUNT);
    return type;
}

static uint32_t optional_of(json_t *entry, const char *key)
{
    json_t *value = json_object_get(entry, key);
    return value == NULL ? 0 : (uint32_t)json_integer_value(value);
}

static struct channel_name name_of(json_t *entry)
{
    const char *symbol = string_of(entry, "symbol");
    const char *bar = json_string_value(json_object_get(entry, "bar"));
    struct channel_name name = {.type = type_of(entry)};
    for (uint32_t i = 0; i < WORLD_SYMBOLS; i++) {
        name.symbol = strcmp(ticks_symbol(i), symbol) == 0 ? ticks_symbol(i) : name.symbol;
    }
    EXPECT(name.symbol != NULL);
    name.variant.depth = (uint8_t)optional_of(entry, "depth");
    name.variant.interval_ms = (uint16_t)optional_of(entry, "interval_ms");
    name.variant.bar = bar == NULL ? 0 : variant_bar_by_name(bar);
    return name;
}

/* The channel that an entry is about. */
static uint32_t channel_of(struct subscriber *subscriber, json_t *entry)
{
    struct channel_name name = name_of(entry);
    for (uint32_t i = 0; json_object_get(entry, "ch") == NULL; i++) { /* one that it had */
        const struct channel_name *own = &subscriber->names[i];
        EXPECT(i < channels_count(world.channels));
        if (subscriber->exact[i].is_there && own->symbol == name.symbol && own->type == name.type &&
            variant_is_same(own->variant, name.variant)) {
            return i;
        }
    }
    uint32_t channel = (uint32_t)number_of(entry, "ch");
    EXPECT(channel < channels_count(world.channels));
    uint32_t found = channels_find_variant(world.channels, name.symbol, strlen(name.symbol),
                                           name.type, name.variant);
    EXPECT(found == channel || world.leaps); /* It may have ended since. */
    subscriber->names[channel] = name;
    return channel;
}

static bool is_pattern(json_t *entry)
{
    return strchr(string_of(entry, "symbol"), '*') != NULL;
}

static struct pattern_entry *find_pattern(struct subscriber *subscriber, json_t *entry)
{
    const char *symbol = string_of(entry, "symbol");
    enum md_type type = type_of(entry);
    for (uint32_t i = 0; i < SUBSCRIBER_PATTERNS_MAX; i++) {
        struct pattern_entry *pattern = &subscriber->patterns[i];
        if (strcmp(pattern->text, symbol) == 0 && pattern->type == type) {
            return pattern;
        }
    }
    return NULL;
}

static enum lag_policy default_policy(enum md_type type, struct variant variant)
{
    return type == MD_QUOTE || variant.interval_ms != 0 ? LAG_CONFLATE : LAG_SKIP;
}

static void set_entry(const struct asked *asked, struct entry *entry, enum md_type type,
                      struct variant variant)
{
    bool is_new = !entry->is_there;
    if (asked->policy_is_given || is_new) {
        entry->policy =
            asked->policy_is_given ? asked->entry.policy : default_policy(type, variant);
    }
    if (asked->max_lag_is_given || is_new) {
        entry->max_lag_ms = asked->max_lag_is_given ? asked->entry.max_lag_ms : 0;
    }
    entry->is_there = true;
}

static void check_settings(json_t *told, const struct entry *entry)
{
    EXPECT(strcmp(string_of(told, "on_lag"), policy_names[entry->policy]) == 0);
    EXPECT(optional_of(told, "max_lag_ms") == entry->max_lag_ms);
}

/* ---- Answers ---- */

static void on_subscribed_pattern(struct subscriber *subscriber, json_t *entry)
{
    bool was_covered[WORLD_CHANNELS_MAX];
    struct pattern_entry *pattern = find_pattern(subscriber, entry);
    const struct asked *asked = &subscriber->asked;
    uint32_t count = channels_count(world.channels);
    EXPECT(token_opens(subscriber->token, string_of(entry, "symbol"), type_of(entry)));
    for (uint32_t i = 0; i < count; i++) {
        was_covered[i] = subscriber_is_covered(subscriber, i);
    }
    for (uint32_t i = 0; pattern == NULL && i < SUBSCRIBER_PATTERNS_MAX; i++) {
        if (subscriber->patterns[i].text[0] == '\0') {
            pattern = &subscriber->patterns[i];
            *pattern = (struct pattern_entry){.type = type_of(entry)};
            snprintf(pattern->text, sizeof pattern->text, "%s", string_of(entry, "symbol"));
            bool is_star = strcmp(pattern->text, "*") == 0;
            pattern->place = is_star ? UINT64_MAX : ++subscriber->entry_count;
        }
    }
    if (pattern == NULL) { /* More than it keeps count of. */
        subscriber->wants_to_leave = true;
        return;
    }
    set_entry(asked, &pattern->entry, pattern->type, (struct variant){0});
    for (uint32_t i = 0; i < count; i++) {
        if (!was_covered[i] && subscriber_is_covered(subscriber, i)) {
            subscriber->expected[i] = (struct expected){
                .is_due = true,
                .high = world.published[i].count + 1,
            };
        }
    }
    world.marks.patterns++;
}

static void on_subscribed_exact(struct subscriber *subscriber, json_t *entry)
{
    uint32_t number = channel_of(subscriber, entry);
    const struct channel *channel = channels_get(world.channels, number);
    const struct channel_name name = subscriber_name(subscriber, number);
    uint64_t next_seq = number_of(entry, "next_seq");
    bool was_covered = subscriber_is_covered(subscriber, number);
    EXPECT(token_opens(subscriber->token, name.symbol, name.type));
    EXPECT(next_seq >= 1 && next_seq <= world.published[number].count + 1);
    set_entry(&subscriber->asked, &subscriber->exact[number], name.type, name.variant);
    if (!was_covered) {
        subscriber->expected[number] = (struct expected){
            .is_due = true,
            .next = next_seq,
            .snapshot = subscriber->asked.snapshot && next_seq > 1,
        };
    }
    world.marks.subscribed++;
    world.marks.derived += channel->group == CHANNELS_VARIANTS_GROUP;
}

static void on_subscribed(struct subscriber *subscriber, json_t *data)
{
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(data, "ok"), i, entry)
    {
        if (is_pattern(entry)) {
            on_subscribed_pattern(subscriber, entry);
        } else {
            on_subscribed_exact(subscriber, entry);
        }
    }
}

static void on_unsubscribed(struct subscriber *subscriber, json_t *data)
{
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(data, "ok"), i, entry)
    {
        if (is_pattern(entry)) {
            struct pattern_entry *pattern = find_pattern(subscriber, entry);
            EXPECT(pattern != NULL);
            pattern->text[0] = '\0';
        } else {
            uint32_t channel = channel_of(subscriber, entry);
            EXPECT(subscriber->exact[channel].is_there);
            subscriber->exact[channel].is_there = false;
        }
    }
    for (uint32_t k = 0; subscriber->asked.is_of_all && k < channels_count(world.channels); k++) {
        EXPECT(!subscriber_is_covered(subscriber, k));
    }
}

static void on_modified(struct subscriber *subscriber, json_t *data)
{
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(data, "ok"), i, entry)
    {
        struct pattern_entry *pattern = is_pattern(entry) ? find_pattern(subscriber, entry) : NULL;
        uint32_t channel = is_pattern(entry) ? 0 : channel_of(subscriber, entry);
        struct entry *own = pattern != NULL ? &pattern->entry : &subscriber->exact[channel];
        EXPECT(own->is_there);
        set_entry(&subscriber->asked, own, type_of(entry), (struct variant){0});
        check_settings(entry, own);
        world.marks.modified++;
    }
}

static void on_list(struct subscriber *subscriber, json_t *data)
{
    size_t i, count = 0;
    json_t *entry;
    json_t *entries = json_object_get(data, "subscriptions");
    json_array_foreach(entries, i, entry)
    {
        struct pattern_entry *pattern = is_pattern(entry) ? find_pattern(subscriber, entry) : NULL;
        EXPECT(pattern != NULL || !is_pattern(entry));
        const struct entry *own =
            pattern != NULL ? &pattern->entry : &subscriber->exact[channel_of(subscriber, entry)];
        EXPECT(own->is_there);
        check_settings(entry, own);
    }
    for (uint32_t k = 0; k < channels_count(world.channels); k++) {
        count += subscriber->exact[k].is_there;
    }
    for (uint32_t k = 0; k < SUBSCRIBER_PATTERNS_MAX; k++) {
        count += subscriber->patterns[k].text[0] != '\0';
    }
    /* Channels of a replay that goes on with live frames count, and are not listed. */
    EXPECT(json_array_size(entries) == count && number_of(data, "count") >= count);
    EXPECT(number_of(data, "count") == count || subscriber->has_replay);
    world.marks.lists++;
}

/* Each channel is what the server has, may be seen, and is as far as it has been published. */
static void on_symbols(struct subscriber *subscriber, json_t *data)
{
    size_t i, k;
    json_t *listed, *entry;
    const char *before = "";
    json_array_foreach(json_object_get(data, "symbols"), i, listed)
    {
        const char *symbol = string_of(listed, "symbol");
        EXPECT(strcmp(before, symbol) < 0);
        before = symbol;
        json_array_foreach(json_object_get(listed, "types"), k, entry)
        {
            enum md_type type = type_of(entry);
            EXPECT(subscriber->token == NULL || token_opens(subscriber->token, symbol, type));
            if (json_object_get(entry, "ch") != NULL) {
                uint32_t channel = (uint32_t)number_of(entry, "ch");
                EXPECT(channel == channels_find(world.channels, symbol, strlen(symbol), type));
                EXPECT(number_of(entry, "seq") <= world.published[channel].count);
            }
        }
        EXPECT(k > 0);
    }
    EXPECT(i > 0 || json_object_get(data, "next") == NULL);
    world.marks.listings += i > 0;
}

static void on_snapshot_of(struct subscriber *subscriber, json_t *entry)
{
    uint32_t channel = channel_of(subscriber, entry);
    uint64_t as_of = number_of(entry, "as_of");
    uint32_t parts = optional_of(entry, "parts");
    const struct expected *expected = &subscriber->expected[channel];
    EXPECT(as_of <= world.published[channel].count);
    if (parts > 0) {
        uint32_t i = 0;
        while (i < SUBSCRIBER_BOOKS_MAX && subscriber->books[i].parts > 0) {
            i++;
        }
        EXPECT(i < SUBSCRIBER_BOOKS_MAX);
        subscriber->books[i] =
            (struct book_parts){.channel = channel, .as_of = as_of, .next = 1, .parts = parts};
        return;
    }
    /* What is still to come of a channel follows on it. */
    EXPECT(!expected->is_due || expected->next == 0 || as_of + 1 == expected->next ||
           (as_of + 1 > expected->next && expected->conflated) || expected->is_replayed);
    EXPECT(subscriber->snapshot_count < SUBSCRIBER_SNAPSHOTS_MAX);
    subscriber->snapshots[subscriber->snapshot_count].channel = channel;
    subscriber->snapshots[subscriber->snapshot_count].seq = as_of;
    subscriber->snapshot_count++;
    world.marks.snapshots++;
}

/* Each book has an answer of its own. */
static void on_snapshot(struct subscriber *subscriber, json_t *data)
{
    size_t i;
    json_t *entry;
    size_t count = json_array_size(json_object_get(data, "ok")) +
                   json_array_size(json_object_get(data, "failed"));
    EXPECT(count > 0 && count <= subscriber->asked.verdicts_due);
    subscriber->asked.verdicts_due -= (uint32_t)count;
    json_array_foreach(json_object_get(data, "ok"), i, entry)
    {
        on_snapshot_of(subscriber, entry);
    }
}

static void on_replaying(struct subscriber *subscriber, json_t *data)
{
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(data, "ok"), i, entry)
    {
        uint32_t channel = channel_of(subscriber, entry);
        EXPECT(!subscriber_is_covered(subscriber, channel));
        subscriber->expected[channel] = (struct expected){
            .is_due = true,
            .is_replayed = true,
            .next = subscriber->asked.replay_from,
            .high = UINT64_MAX,
        };
        subscriber->has_replay = true;
        subscriber->replay_ends = subscriber->asked.replay_ends;
        subscriber->replay_asked = subscriber->asked;
    }
}

static void on_replay_end_of(struct subscriber *subscriber, json_t *entry, bool is_whole)
{
    uint32_t channel = channel_of(subscriber, entry);
    struct expected *expected = &subscriber->expected[channel];
    const struct channel_name name = subscriber_name(subscriber, channel);
    json_t *last = json_object_get(entry, "last");
    uint64_t last_seq = last == NULL ? 0 : number_of(entry, "last");
    EXPECT(expected->is_replayed);
    EXPECT(!is_whole || !expected->jumped);
    EXPECT(!is_whole || last == NULL || expected->next == 0 || expected->next == last_seq + 1);
    bool goes_on = !subscriber->replay_ends;

    *expected = (struct expected){0};
    if (goes_on) {
        subscriber->exact[channel].is_there = false;
        set_entry(&subscriber->replay_asked, &subscriber->exact[channel], name.type, name.variant);
        *expected = (struct expected){
            .is_due = true,
            .next = last_seq + 1,
            .past_seq = last_seq,
        };
    }
    world.marks.replays++;
    world.marks.replays_in_part += !is_whole;
}

static void on_replay_end(struct subscriber *subscriber, json_t *data)
{
    size_t i;
    json_t *entry;
    EXPECT(subscriber->has_replay);
    subscriber->has_replay = false;
    json_array_foreach(json_object_get(data, "ok"), i, entry)
    {
        on_replay_end_of(subscriber, entry, true);
    }
    json_array_foreach(json_object_get(data, "gaps"), i, entry)
    {
        on_replay_end_of(subscriber, entry, false);
    }
    for (uint32_t k = 0; k < channels_count(world.channels); k++) {
        if (subscriber->expected[k].is_replayed) {
            subscriber->expected[k] = (struct expected){0};
        }
    }
    subscriber_settle(subscriber);
}

static void on_resumed_of(struct subscriber *subscriber, json_t *entry, bool is_whole)
{
    uint32_t channel = channel_of(subscriber, entry);
    const struct channel_name name = subscriber_name(subscriber, channel);
    struct expected *expected = &subscriber->expected[channel];
    bool is_same_epoch = strcmp(subscriber->epoch, world.epoch) == 0;
    uint64_t next_seq = number_of(entry, "next_seq");
    uint64_t next = is_same_epoch ? subscriber->cursors[channel] : 1;
    EXPECT(!is_whole || number_of(entry, "from") == next);
    subscriber->left_conflated |= expected->conflated;
    subscriber->exact[channel].is_there = false;
    set_entry(&subscriber->asked, &subscriber->exact[channel], name.type, name.variant);
    *expected = (struct expected){
        .is_due = true,
        .next = next,
        .past_seq = next_seq - 1,
        .restart_due = !is_whole && !is_same_epoch,
        .overrun_due = !is_whole && is_same_epoch,
    };
    world.marks.resumed += is_whole;
    world.marks.resumed_in_part += !is_whole;
}

static void on_resumed(struct subscriber *subscriber, json_t *data)
{
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(data, "ok"), i, entry)
    {
        on_resumed_of(subscriber, entry, true);
    }
    json_array_foreach(json_object_get(data, "gaps"), i, entry)
    {
        on_resumed_of(subscriber, entry, false);
    }
}

static void on_authenticated(struct subscriber *subscriber)
{
    const char *token = subscriber->asked.token;
    bool is_first = subscriber->token == NULL;
    EXPECT(world.needs_auth);
    world.marks.scopes += strcmp(token, TOKEN_ALL) != 0;
    subscriber->token = token;
    for (uint32_t i = 0; i < channels_count(world.channels); i++) {
        const struct channel_name name = subscriber_name(subscriber, i);
        if (!token_opens(token, name.symbol, name.type)) {
            subscriber->exact[i].is_there = false;
            subscriber->expected[i].is_replayed = false;
        }
    }
    for (uint32_t i = 0; i < SUBSCRIBER_PATTERNS_MAX; i++) {
        struct pattern_entry *pattern = &subscriber->patterns[i];
        if (!token_opens(token, pattern->text, pattern->type)) {
            pattern->text[0] = '\0';
        }
    }
    for (uint32_t i = 0; i < SUBSCRIBER_BOOKS_MAX; i++) {
        struct book_parts *book = &subscriber->books[i];
        if (book->parts > 0 &&
            !token_opens(token, subscriber_name(subscriber, book->channel).symbol, MD_DEPTH)) {
            book->parts = 0;
        }
    }
    if (is_first && subscriber->url.kind == ASK_NO && sim_random(4) > 0) {
        subscriber->resumes_next = true;
    }
}

static void on_error(struct subscriber *subscriber, json_t *message, json_t *data)
{
    uint64_t code = number_of(data, "code");
    world.marks.errors++;
    json_t *id = json_object_get(message, "id");
    if (id == NULL) { /* What it did is not known: it begins anew. */
        EXPECT(world.is_scarce);
        subscriber->wants_to_leave = true;
        return;
    }
    switch (subscriber->asked.kind) {
    case ASK_BAD:
        EXPECT(code == 107 || code == 104 || code == 108 || (code == 100 && world.is_scarce));
        break;
    case ASK_REPLAY:
        EXPECT(code == 124 || code == 107 || code == 106 || world.is_scarce);
        break;
    default:
        EXPECT(world.is_scarce || code == 106);
        subscriber->wants_to_leave = true;
    }
}

static const char *const answers[] = {
    [ASK_AUTH] = "AUTHENTICATED",
    [ASK_SUBSCRIBE] = "SUBSCRIBED",
    [ASK_UNSUBSCRIBE] = "UNSUBSCRIBED",
    [ASK_MODIFY] = "MODIFIED",
    [ASK_LIST] = "SUBSCRIPTIONS",
    [ASK_SNAPSHOT] = "SNAPSHOT",
    [ASK_REPLAY] = "REPLAYING",
    [ASK_RESUME] = "RESUMED",
    [ASK_HEARTBEAT] = "HEARTBEAT",
    [ASK_PING] = "PONG",
    [ASK_STATUS] = "STATUS",
    [ASK_SYMBOLS] = "SYMBOLS",
    [ASK_BAD] = "ERROR",
};

static void on_answer(struct subscriber *subscriber, json_t *data)
{
    switch (subscriber->asked.kind) {
    case ASK_AUTH:
        on_authenticated(subscriber);
        break;
    case ASK_SUBSCRIBE:
        on_subscribed(subscriber, data);
        break;
    case ASK_UNSUBSCRIBE:
        on_unsubscribed(subscriber, data);
        break;
    case ASK_MODIFY:
        on_modified(subscriber, data);
        break;
    case ASK_LIST:
        on_list(subscriber, data);
        break;
    case ASK_SYMBOLS:
        on_symbols(subscriber, data);
        break;
    case ASK_SNAPSHOT:
        on_snapshot(subscriber, data);
        break;
    case ASK_REPLAY:
        on_replaying(subscriber, data);
        break;
    case ASK_RESUME:
        on_resumed(subscriber, data);
        break;
    default:
        break;
    }
    subscriber_settle(subscriber);
}

static void on_url_answer(struct subscriber *subscriber, json_t *data)
{
    struct asked asked = subscriber->asked;
    EXPECT(subscriber->url.kind == ASK_SUBSCRIBE);
    EXPECT(!world.needs_auth || subscriber->token != NULL);
    subscriber->asked = subscriber->url;
    on_answer(subscriber, data);
    subscriber->asked = asked;
    subscriber->url.kind = ASK_NO;
    world.marks.urls++;
}

/* Whether it begins with the id of what was asked, to the letter; then it has what else it is to
 * repeat, and warns of what was not used. */
static bool is_answer(const struct asked *asked, const char *type, const char *answer,
                      size_t answer_bytes, json_t *data)
{
    char begins[128];
    char t0[128];
    size_t bytes = (size_t)snprintf(begins, sizeof begins, "{\"type\":\"%s\",\"id\":%s,", type,
                                    id_text(asked->id));
    if (asked->kind == ASK_NO || answer_bytes < bytes || memcmp(answer, begins, bytes) != 0) {
        return false;
    }
    bytes = (size_t)snprintf(t0, sizeof t0, "{\"t0\":%s,", id_text(asked->id));
    EXPECT(strcmp(type, "PONG") != 0 || memmem(answer, answer_bytes, t0, bytes) != NULL);
    bool is_unread = strcmp(type, "ERROR") == 0 && (asked->kind == ASK_BAD || world.is_scarce);
    EXPECT(is_unread || json_array_size(json_object_get(data, "warnings")) == asked->unused_count);
    return true;
}

bool subscriber_on_answer(struct subscriber *subscriber, const char *type, const char *answer,
                          size_t answer_bytes, json_t *message, json_t *data)
{
    struct asked *asked = &subscriber->asked;
    if (strcmp(type, "END_OF_REPLAY") == 0) {
        on_replay_end(subscriber, data);
        return true;
    }
    bool is_error = strcmp(type, "ERROR") == 0;
    if (is_error) {
        on_error(subscriber, message, data);
    }
    if (is_error && json_object_get(message, "id") == NULL) {
        return true;
    }
    if (strcmp(type, "SUBSCRIBED") == 0 && json_object_get(message, "id") == NULL) {
        on_url_answer(subscriber, data);
        return true;
    }
    if (!is_answer(asked, type, answer, answer_bytes, data)) {
        return false;
    }
    if (!is_error) {
        EXPECT(strcmp(type, answers[asked->kind]) == 0);
        on_answer(subscriber, data);
    }
    if (is_error || asked->kind != ASK_SNAPSHOT || asked->verdicts_due == 0) {
        asked->kind = ASK_NO;
    }
    if (subscriber->resumes_next) {
        subscriber->resumes_next = false;
        subscriber_ask_resume(subscriber);
    }
    return true;
}
