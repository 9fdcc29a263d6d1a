#include "codec/json_tick.h"

#include <string.h>

#include "codec/base/check.h"
#include "codec/decimal.h"
#include "codec/json_escape.h"

#define JSON_TICK_FIELD_BYTES_MAX (16 + DECIMAL_TEXT_BYTES_MAX) /* "prev_close":0.5, */
#define JSON_TICK_LEVEL_BYTES_MAX (2 * DECIMAL_TEXT_BYTES_MAX + 4)
#define JSON_TICK_STRING_CHUNK 64 /* Characters of a string that are written as one group. */
#define JSON_TICK_ENVELOPE_BYTES_MAX (JSON_TICK_HEAD_BYTES_MAX + 4 * 32 + 8)
#define JSON_TICK_GROUP_BYTES_MAX 512

/*
 * A payload is written in groups of fields. A group whose longest form fits into what is left
 * is written in place without further checks; else it is written to the scratch space and
 * copied if its true length fits. Every field writes a comma after itself, and a closing
 * bracket takes the place of the last comma.
 */
struct json_tick_writer {
    char *at;
    char *end;
    bool full; /* Something did not fit. */
    char scratch[JSON_TICK_GROUP_BYTES_MAX];
};
static_assert(7 * JSON_TICK_FIELD_BYTES_MAX <= JSON_TICK_GROUP_BYTES_MAX, "prices of a quote");
static_assert(JSON_TICK_ENVELOPE_BYTES_MAX <= JSON_TICK_GROUP_BYTES_MAX, "the envelope");
static_assert(JSON_ESCAPE_BYTES_MAX * JSON_TICK_STRING_CHUNK <= JSON_TICK_GROUP_BYTES_MAX,
              "a chunk that is all escapes");

/* Appends a literal: the copy has a known size and becomes a few moves. */
#define JSON_TICK_PUT(at, literal) json_tick_put(at, literal, sizeof(literal) - 1)

/* Appends "name":decimal, unless the decimal is not given. */
#define JSON_TICK_PUT_DECIMAL(at, name, decimal)                                                   \
    json_tick_put_decimal(at, "\"" name "\":", sizeof(name) + 2, decimal)

/* Appends "name":integer, */
#define JSON_TICK_PUT_U64(at, name, value)                                                         \
    json_tick_put_u64(JSON_TICK_PUT(at, "\"" name "\":"), value)

static inline char *json_tick_put(char *at, const char *text, size_t text_bytes)
{
    memcpy(at, text, text_bytes);
    return at + text_bytes;
}

static inline char *json_tick_put_decimal(char *at, const char *key, size_t key_bytes,
                                          struct md_decimal decimal)
{
    if (!md_is_given(decimal)) {
        return at;
    }
    at = json_tick_put(at, key, key_bytes);
    at += decimal_format(at, decimal);
    *at = ',';
    return at + 1;
}

static inline char *json_tick_put_u64(char *at, uint64_t value)
{
    at += decimal_format_u64(at, value);
    *at = ',';
    return at + 1;
}

static inline char *json_tick_begin(struct json_tick_writer *writer, size_t group_bytes_max)
{
    assert_debug(group_bytes_max <= JSON_TICK_GROUP_BYTES_MAX);

    size_t room = (size_t)(writer->end - writer->at);
    return __builtin_expect(room >= group_bytes_max, 1) ? writer->at : writer->scratch;
}

static inline void json_tick_end(struct json_tick_writer *writer, char *begin, char *end)
{
    if (__builtin_expect(begin != writer->scratch, 1)) {
        writer->at = end;
        return;
    }
    size_t bytes = (size_t)(end - begin);
    if (bytes > (size_t)(writer->end - writer->at)) {
        writer->full = true;
        return;
    }
    memcpy(writer->at, begin, bytes);
    writer->at += bytes;
}

static inline void json_tick_bytes(struct json_tick_writer *writer, const char *text,
                                   size_t text_bytes)
{
    char *begin = json_tick_begin(writer, JSON_TICK_FIELD_BYTES_MAX);
    assert_debug(text_bytes <= JSON_TICK_FIELD_BYTES_MAX);

    json_tick_end(writer, begin, json_tick_put(begin, text, text_bytes));
}

static inline void json_tick_literal(struct json_tick_writer *writer, const char *text)
{
    json_tick_bytes(writer, text, strlen(text));
}

/* Puts the closing character over the last comma, or behind the opening bracket. */
static inline void json_tick_close(struct json_tick_writer *writer, char closing)
{
    if (writer->at[-1] == ',') {
        writer->at[-1] = closing;
    } else if (writer->at < writer->end) {
        *writer->at++ = closing;
    } else {
        writer->full = true;
    }
}

/* Writes "key":"text", unless text is NULL. key: with quotes and colon. */
static void json_tick_string(struct json_tick_writer *writer, const char *key, const char *text)
{
    if (text == NULL) {
        return;
    }
    json_tick_literal(writer, key);
    json_tick_literal(writer, "\"");
    size_t chunk_bytes;
    for (; *text != '\0' && !writer->full; text += chunk_bytes) {
        chunk_bytes = strnlen(text, JSON_TICK_STRING_CHUNK);
        char *begin = json_tick_begin(writer, JSON_ESCAPE_BYTES_MAX * chunk_bytes);
        json_tick_end(writer, begin, json_escape(begin, text, chunk_bytes));
    }
    json_tick_literal(writer, "\",");
}

static inline char *json_tick_put_level(char *at, const struct md_level *level)
{
    *at = '[';
    at += 1 + decimal_format(at + 1, level->price);
    *at++ = ',';
    if (md_is_given(level->size)) {
        at += decimal_format(at, level->size);
    } else {
        at = JSON_TICK_PUT(at, "null");
    }
    return JSON_TICK_PUT(at, "],");
}

/* Writes "bids":[[price,size],...], ; key: "bids":[ or "asks":[ */
static void json_tick_levels(struct json_tick_writer *writer, const char key[static 8],
                             const struct md_level *levels, uint32_t level_count)
{
    json_tick_bytes(writer, key, 8);
    for (uint32_t i = 0; i < level_count && !writer->full; i++) {
        char *begin = json_tick_begin(writer, JSON_TICK_LEVEL_BYTES_MAX);
        json_tick_end(writer, begin, json_tick_put_level(begin, &levels[i]));
    }
    json_tick_close(writer, ']');
    json_tick_literal(writer, ",");
}

static void json_tick_quote(struct json_tick_writer *writer, const struct md_quote *quote)
{
    char *begin = json_tick_begin(writer, 7 * JSON_TICK_FIELD_BYTES_MAX);
    char *at = JSON_TICK_PUT_DECIMAL(begin, "last", quote->last);
    at = JSON_TICK_PUT_DECIMAL(at, "open", quote->open);
    at = JSON_TICK_PUT_DECIMAL(at, "high", quote->high);
    at = JSON_TICK_PUT_DECIMAL(at, "low", quote->low);
    at = JSON_TICK_PUT_DECIMAL(at, "prev_close", quote->prev_close);
    at = JSON_TICK_PUT_DECIMAL(at, "volume", quote->volume);
    at = JSON_TICK_PUT_DECIMAL(at, "turnover", quote->turnover);
    json_tick_end(writer, begin, at);

    if (quote->bid_count > 0) {
        json_tick_levels(writer, "\"bids\":[", quote->bids, quote->bid_count);
    }
    if (quote->ask_count > 0) {
        json_tick_levels(writer, "\"asks\":[", quote->asks, quote->ask_count);
    }
    json_tick_string(writer, "\"status\":", quote->status);
}

static void json_tick_trade(struct json_tick_writer *writer, const struct md_trade *trade)
{
    char *begin = json_tick_begin(writer, 4 * JSON_TICK_FIELD_BYTES_MAX);
    char *at = JSON_TICK_PUT_DECIMAL(begin, "price", trade->price);
    at = JSON_TICK_PUT_DECIMAL(at, "size", trade->size);
    if (trade->side == MD_SIDE_BUY) {
        at = JSON_TICK_PUT(at, "\"side\":\"buy\",");
    } else if (trade->side == MD_SIDE_SELL) {
        at = JSON_TICK_PUT(at, "\"side\":\"sell\",");
    }
    if (trade->has_id) {
        at = JSON_TICK_PUT_U64(at, "id", trade->id);
    }
    json_tick_end(writer, begin, at);
}

static void json_tick_bar(struct json_tick_writer *writer, const struct md_bar *bar)
{
    json_tick_string(writer, "\"interval\":", bar->interval[0] != '\0' ? bar->interval : NULL);

    char *begin = json_tick_begin(writer, 9 * JSON_TICK_FIELD_BYTES_MAX);
    char *at = begin;
    if (bar->start_ns != 0) {
        at = JSON_TICK_PUT_U64(at, "start", bar->start_ns);
    }
    at = JSON_TICK_PUT_DECIMAL(at, "open", bar->open);
    at = JSON_TICK_PUT_DECIMAL(at, "high", bar->high);
    at = JSON_TICK_PUT_DECIMAL(at, "low", bar->low);
    at = JSON_TICK_PUT_DECIMAL(at, "close", bar->close);
    at = JSON_TICK_PUT_DECIMAL(at, "volume", bar->volume);
    at = JSON_TICK_PUT_DECIMAL(at, "turnover", bar->turnover);
    if (bar->has_count) {
        at = JSON_TICK_PUT_U64(at, "count", bar->count);
    }
    at = bar->closed ? JSON_TICK_PUT(at, "\"closed\":true,")
                     : JSON_TICK_PUT(at, "\"closed\":false,");
    json_tick_end(writer, begin, at);
}

static void json_tick_depth(struct json_tick_writer *writer, const struct md_depth *depth)
{
    json_tick_literal(writer, depth->action == MD_SNAPSHOT ? "\"action\":\"snapshot\","
                                                           : "\"action\":\"delta\",");
    json_tick_levels(writer, "\"bids\":[", depth->bids, depth->bid_count);
    json_tick_levels(writer, "\"asks\":[", depth->asks, depth->ask_count);
    if (depth->has_checksum) {
        char *begin = json_tick_begin(writer, JSON_TICK_FIELD_BYTES_MAX);
        json_tick_end(writer, begin, JSON_TICK_PUT_U64(begin, "checksum", depth->checksum));
    }
}

static void json_tick_data(struct json_tick_writer *writer, const struct md_update *update)
{
    switch (update->type) {
    case MD_QUOTE:
        json_tick_quote(writer, &update->quote);
        return;
    case MD_TRADE:
        json_tick_trade(writer, &update->trade);
        return;
    case MD_BAR:
        json_tick_bar(writer, &update->bar);
        return;
    case MD_DEPTH:
        json_tick_depth(writer, &update->depth);
        return;
    case MD_STATUS:
        json_tick_string(writer, "\"state\":", update->status.state);
        json_tick_string(writer, "\"reason\":", update->status.reason);
        return;
    case MD_TYPE_COUNT:
        break;
    }
    assert_always(!"a tick has one of the types above");
}

static void json_tick_envelope(struct json_tick_writer *writer, const struct json_tick_head *head,
                               const struct md_update *update, uint64_t seq, uint64_t ts_pub_ns)
{
    char *begin = json_tick_begin(writer, JSON_TICK_ENVELOPE_BYTES_MAX);
    char *at = json_tick_put(begin, head->text, head->text_bytes);
    at = json_tick_put_u64(at, seq);
    if (update->ts_event_ns != 0) {
        at = JSON_TICK_PUT_U64(at, "ts_event", update->ts_event_ns);
    }
    if (update->ts_recv_ns != 0) {
        at = JSON_TICK_PUT_U64(at, "ts_recv", update->ts_recv_ns);
    }
    at = JSON_TICK_PUT_U64(at, "ts_pub", ts_pub_ns);
    at = JSON_TICK_PUT(at, "\"data\":{");
    json_tick_end(writer, begin, at);
}

/* Ends the payload with a filler up to the last byte of the room. */
static void json_tick_pad(struct json_tick_writer *writer)
{
    static const char closing[] = {'"', '}', '}'};
    json_tick_literal(writer, "\"pad\":\"");
    size_t room = (size_t)(writer->end - writer->at);
    if (writer->full || room < sizeof closing) {
        writer->full = true;
        return;
    }
    memset(writer->at, 'x', room - sizeof closing);
    memcpy(writer->end - sizeof closing, closing, sizeof closing);
    writer->at = writer->end;
}

void json_tick_head_init(struct json_tick_head *head, enum md_type type, const char *symbol,
                         size_t symbol_bytes, uint32_t channel)
{
    assert_always(symbol_bytes <= MD_SYMBOL_BYTES_MAX);

    const char *name = md_type_name(type);
    char *at = JSON_TICK_PUT(head->text, "{\"type\":\"");
    at = json_tick_put(at, name, strlen(name));
    at = JSON_TICK_PUT(at, "\",\"symbol\":\"");
    at = json_escape(at, symbol, symbol_bytes);
    at = JSON_TICK_PUT(at, "\",\"ch\":");
    at = json_tick_put_u64(at, channel);
    at = JSON_TICK_PUT(at, "\"seq\":");
    head->text_bytes = (uint16_t)(at - head->text);
}

size_t json_tick_encode(uint8_t *out, size_t out_bytes, const struct json_tick_head *head,
                        const struct md_update *update, uint64_t seq, uint64_t ts_pub_ns)
{
    assert_always(head->text_bytes <= JSON_TICK_HEAD_BYTES_MAX);

    bool is_padded = update->pad_bytes != 0 && update->type == MD_QUOTE;
    if (is_padded && update->pad_bytes > out_bytes) {
        return 0;
    }
    struct json_tick_writer writer;
    writer.at = (char *)out;
    writer.end = (char *)out + (is_padded ? update->pad_bytes : out_bytes);
    writer.full = false;

    json_tick_envelope(&writer, head, update, seq, ts_pub_ns);
    if (writer.full) {
        return 0;
    }
    if (is_padded) {
        char *begin = json_tick_begin(&writer, JSON_TICK_FIELD_BYTES_MAX);
        json_tick_end(&writer, begin, JSON_TICK_PUT_DECIMAL(begin, "last", update->quote.last));
        json_tick_pad(&writer);
    } else {
        json_tick_data(&writer, update);
        json_tick_close(&writer, '}');
        json_tick_close(&writer, '}');
    }
    return writer.full ? 0 : (size_t)(writer.at - (char *)out);
}
