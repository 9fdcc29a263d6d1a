#include "codec/json_tick_read.h"

#include <string.h>

#include "codec/base/check.h"
#include "codec/decimal.h"

/* Once something is not as expected, it stays failed and reads nothing more. */
struct json_tick_reader {
    const char *at;
    const char *end;
    bool failed;
};

/* Passes the text, if it comes next. */
static bool json_tick_read_pass(struct json_tick_reader *reader, const char *text)
{
    size_t bytes = strlen(text);
    assert_debug(reader->at <= reader->end);

    if (reader->failed || (size_t)(reader->end - reader->at) < bytes ||
        memcmp(reader->at, text, bytes) != 0) {
        return false;
    }
    reader->at += bytes;
    return true;
}

static void json_tick_read_expect(struct json_tick_reader *reader, const char *text)
{
    reader->failed = !json_tick_read_pass(reader, text);
}

static bool json_tick_read_is_number(char c)
{
    return (c >= '0' && c <= '9') || c == '-' || c == '.';
}

static struct md_decimal json_tick_read_decimal(struct json_tick_reader *reader)
{
    struct md_decimal decimal = md_none;
    const char *begin = reader->at;
    while (reader->at < reader->end && json_tick_read_is_number(*reader->at)) {
        reader->at++;
    }
    reader->failed =
        reader->failed || !decimal_parse(begin, (size_t)(reader->at - begin), &decimal);
    return decimal;
}

static uint64_t json_tick_read_u64(struct json_tick_reader *reader)
{
    uint64_t value = 0;
    const char *begin = reader->at;
    while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9') {
        uint64_t digit = (uint64_t)(*reader->at++ - '0');
        reader->failed |= value > (UINT64_MAX - digit) / 10;
        value = value * 10 + digit;
    }
    reader->failed |= reader->at == begin;
    return value;
}

/* A field is left out when it is not given; what is written has a comma behind it, unless it is
 * the last. */
static struct md_decimal json_tick_read_field(struct json_tick_reader *reader, const char *key)
{
    struct md_decimal decimal = md_none;
    if (json_tick_read_pass(reader, key)) {
        decimal = json_tick_read_decimal(reader);
        json_tick_read_pass(reader, ",");
    }
    return decimal;
}

static bool json_tick_read_u64_field(struct json_tick_reader *reader, const char *key,
                                     uint64_t *value_out)
{
    *value_out = 0;
    if (!json_tick_read_pass(reader, key)) {
        return false;
    }
    *value_out = json_tick_read_u64(reader);
    json_tick_read_pass(reader, ",");
    return true;
}

/* A character that stands for itself in a string. */
static bool json_tick_read_is_plain(char c)
{
    return (uint8_t)c >= 0x20 && c != 0x7f && c != '"' && c != '\\';
}

/* A plain text; one with an escape, or with what is written as one, fails. */
static const char *json_tick_read_text(struct json_tick_reader *reader, const char *key,
                                       char text[JSON_TICK_READ_TEXT_BYTES_MAX])
{
    if (!json_tick_read_pass(reader, key)) {
        return NULL;
    }
    json_tick_read_expect(reader, "\"");
    size_t bytes = 0;
    while (reader->at < reader->end && json_tick_read_is_plain(*reader->at) &&
           bytes < JSON_TICK_READ_TEXT_BYTES_MAX - 1) {
        text[bytes++] = *reader->at++;
    }
    assert_always(bytes < JSON_TICK_READ_TEXT_BYTES_MAX);
    text[bytes] = '\0';
    json_tick_read_expect(reader, "\"");
    json_tick_read_pass(reader, ",");
    return text;
}

static uint32_t json_tick_read_levels(struct json_tick_reader *reader, const char *key,
                                      struct md_level *levels, uint32_t level_count_max)
{
    uint32_t count = 0;
    if (!json_tick_read_pass(reader, key)) {
        return 0;
    }
    while (json_tick_read_pass(reader, "[")) {
        if (count == level_count_max) {
            reader->failed = true;
            return 0;
        }
        struct md_level *level = &levels[count++];
        level->price = json_tick_read_decimal(reader);
        json_tick_read_expect(reader, ",");
        level->size =
            json_tick_read_pass(reader, "null") ? md_none : json_tick_read_decimal(reader);
        json_tick_read_expect(reader, "]");
        json_tick_read_pass(reader, ",");
    }
    json_tick_read_expect(reader, "]");
    json_tick_read_pass(reader, ",");
    assert_always(count <= level_count_max);
    return count;
}

static void json_tick_read_quote(struct json_tick_reader *reader, struct json_tick_room *room,
                                 struct md_quote *quote)
{
    quote->last = json_tick_read_field(reader, "\"last\":");
    quote->open = json_tick_read_field(reader, "\"open\":");
    quote->high = json_tick_read_field(reader, "\"high\":");
    quote->low = json_tick_read_field(reader, "\"low\":");
    quote->prev_close = json_tick_read_field(reader, "\"prev_close\":");
    quote->volume = json_tick_read_field(reader, "\"volume\":");
    quote->turnover = json_tick_read_field(reader, "\"turnover\":");
    quote->bids = room->bids;
    quote->asks = room->asks;
    quote->bid_count =
        json_tick_read_levels(reader, "\"bids\":[", room->bids, room->level_count_max);
    quote->ask_count =
        json_tick_read_levels(reader, "\"asks\":[", room->asks, room->level_count_max);
    quote->status = json_tick_read_text(reader, "\"status\":", room->text);
    if (json_tick_read_pass(reader, "\"pad\":\"")) {
        while (reader->at < reader->end && *reader->at == 'x') {
            reader->at++;
        }
        json_tick_read_expect(reader, "\"");
    }
}

static void json_tick_read_trade(struct json_tick_reader *reader, struct md_trade *trade)
{
    trade->price = json_tick_read_field(reader, "\"price\":");
    trade->size = json_tick_read_field(reader, "\"size\":");
    trade->side = MD_SIDE_NONE;
    if (json_tick_read_pass(reader, "\"side\":\"buy\"")) {
        trade->side = MD_SIDE_BUY;
        json_tick_read_pass(reader, ",");
    } else if (json_tick_read_pass(reader, "\"side\":\"sell\"")) {
        trade->side = MD_SIDE_SELL;
        json_tick_read_pass(reader, ",");
    }
    trade->has_id = json_tick_read_u64_field(reader, "\"id\":", &trade->id);
}

static void json_tick_read_bar(struct json_tick_reader *reader, struct json_tick_room *room,
                               struct md_bar *bar)
{
    const char *interval = json_tick_read_text(reader, "\"interval\":", room->text);
    bar->interval[0] = '\0';
    if (interval != NULL && strlen(interval) <= MD_INTERVAL_BYTES_MAX) {
        memcpy(bar->interval, interval, strlen(interval) + 1);
    }
    json_tick_read_u64_field(reader, "\"start\":", &bar->start_ns);
    bar->open = json_tick_read_field(reader, "\"open\":");
    bar->high = json_tick_read_field(reader, "\"high\":");
    bar->low = json_tick_read_field(reader, "\"low\":");
    bar->close = json_tick_read_field(reader, "\"close\":");
    bar->volume = json_tick_read_field(reader, "\"volume\":");
    bar->turnover = json_tick_read_field(reader, "\"turnover\":");
    bar->has_count = json_tick_read_u64_field(reader, "\"count\":", &bar->count);
    bar->closed = json_tick_read_pass(reader, "\"closed\":true");
    if (!bar->closed) {
        json_tick_read_expect(reader, "\"closed\":false");
    }
}

static void json_tick_read_depth(struct json_tick_reader *reader, struct json_tick_room *room,
                                 struct md_depth *depth)
{
    uint64_t checksum;
    depth->action = MD_SNAPSHOT;
    if (!json_tick_read_pass(reader, "\"action\":\"snapshot\",")) {
        depth->action = MD_DELTA;
        json_tick_read_expect(reader, "\"action\":\"delta\",");
    }
    depth->bids = room->bids;
    depth->asks = room->asks;
    depth->bid_count =
        json_tick_read_levels(reader, "\"bids\":[", room->bids, room->level_count_max);
    depth->ask_count =
        json_tick_read_levels(reader, "\"asks\":[", room->asks, room->level_count_max);
    depth->has_checksum = json_tick_read_u64_field(reader, "\"checksum\":", &checksum);
    depth->checksum = (uint32_t)checksum;
}

bool json_tick_read(struct md_update *update_out, struct json_tick_room *room, enum md_type type,
                    const struct json_tick_head *head, const uint8_t *payload, size_t payload_bytes)
{
    struct json_tick_reader reader = {(const char *)payload, (const char *)payload + payload_bytes,
                                      false};
    uint64_t unused;
    assert_always(head->text_bytes <= sizeof head->text);
    assert_debug((unsigned)type < MD_TYPE_COUNT);

    if (payload_bytes < head->text_bytes || memcmp(payload, head->text, head->text_bytes) != 0) {
        return false;
    }
    reader.at += head->text_bytes;
    (void)json_tick_read_u64(&reader); /* seq */
    json_tick_read_expect(&reader, ",");
    *update_out = (struct md_update){.type = type};
    json_tick_read_u64_field(&reader, "\"ts_event\":", &update_out->ts_event_ns);
    json_tick_read_u64_field(&reader, "\"ts_recv\":", &update_out->ts_recv_ns);
    json_tick_read_u64_field(&reader, "\"ts_pub\":", &unused);
    json_tick_read_expect(&reader, "\"data\":{");
    switch (type) {
    case MD_QUOTE:
        json_tick_read_quote(&reader, room, &update_out->quote);
        break;
    case MD_TRADE:
        json_tick_read_trade(&reader, &update_out->trade);
        break;
    case MD_BAR:
        json_tick_read_bar(&reader, room, &update_out->bar);
        break;
    case MD_DEPTH:
        json_tick_read_depth(&reader, room, &update_out->depth);
        break;
    case MD_STATUS:
        update_out->status.state = json_tick_read_text(&reader, "\"state\":", room->text);
        update_out->status.reason = json_tick_read_text(&reader, "\"reason\":", room->reason);
        break;
    case MD_TYPE_COUNT:
        return false;
    }
    json_tick_read_expect(&reader, "}}");
    return !reader.failed && reader.at == reader.end;
}
