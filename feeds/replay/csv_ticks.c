#include "feeds/replay/csv_ticks.h"

#include <string.h>
#include <strings.h>

#include "codec/base/check.h"
#include "codec/decimal.h"
#include "codec/time_text.h"
#include "codec/utf8.h"

#define COLUMN_BIT(column) (UINT32_C(1) << (column))

struct csv_field {
    bool is_too_long; /* text is then only its beginning: an error only where it is used. */
    uint16_t bytes;
    char text[CSV_TICKS_FIELD_BYTES_MAX];
};

/* The fields of a row that mean something. */
struct csv_row {
    struct csv_field fields[CSV_TICKS_COLUMN_COUNT];
};

enum csv_next {
    CSV_NEXT_FIELD, /* A comma followed: there is another. */
    CSV_NEXT_END,
    CSV_NEXT_FAULT,
};

static void csv_ticks_field_add(struct csv_field *field, char character)
{
    if (field->bytes == sizeof field->text) {
        field->is_too_long = true;
        return;
    }
    field->text[field->bytes++] = character;
}

/* Takes a field that begins with a quote; false: its closing quote is missing. */
static bool csv_ticks_field_take_quoted(struct csv_field *field, const char **line, const char *end)
{
    for (const char *at = *line + 1; at < end; at++) {
        if (*at == '"' && (at + 1 == end || at[1] != '"')) {
            *line = at + 1;
            return true;
        }
        at += *at == '"'; /* Two stand for one. */
        csv_ticks_field_add(field, *at);
    }
    return false;
}

/* Takes one field off the line, with its quotes resolved. */
static enum csv_next csv_ticks_field_take(struct csv_field *field, const char **line,
                                          const char *end)
{
    field->bytes = 0;
    field->is_too_long = false;
    if (*line < end && **line == '"') {
        if (!csv_ticks_field_take_quoted(field, line, end)) {
            return CSV_NEXT_FAULT;
        }
    } else {
        for (; *line < end && **line != ','; ++*line) {
            if (**line == '"') {
                return CSV_NEXT_FAULT;
            }
            csv_ticks_field_add(field, **line);
        }
    }
    if (*line == end) {
        return CSV_NEXT_END;
    }
    return *(*line)++ == ',' ? CSV_NEXT_FIELD : CSV_NEXT_FAULT;
}

static enum csv_ticks_column csv_ticks_column_by_name(const struct csv_field *field)
{
    static const struct {
        const char *name;
        enum csv_ticks_column column;
    } names[] = {
        {"ts_ns", CSV_TICKS_TS_NS},
        {"timestamp", CSV_TICKS_TIMESTAMP},
        {"time", CSV_TICKS_TIMESTAMP},
        {"symbol", CSV_TICKS_SYMBOL},
        {"sym", CSV_TICKS_SYMBOL},
        {"type", CSV_TICKS_TYPE},
        {"price", CSV_TICKS_PRICE},
        {"size", CSV_TICKS_SIZE},
        {"amount", CSV_TICKS_SIZE},
        {"side", CSV_TICKS_SIDE},
        {"id", CSV_TICKS_ID},
        {"bid", CSV_TICKS_BID},
        {"bid_size", CSV_TICKS_BID_SIZE},
        {"bsize", CSV_TICKS_BID_SIZE},
        {"ask", CSV_TICKS_ASK},
        {"ask_size", CSV_TICKS_ASK_SIZE},
        {"asize", CSV_TICKS_ASK_SIZE},
        {"status", CSV_TICKS_STATUS},
        {"reason", CSV_TICKS_REASON},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strlen(names[i].name) == field->bytes &&
            strncasecmp(names[i].name, field->text, field->bytes) == 0) {
            return names[i].column;
        }
    }
    return CSV_TICKS_IGNORED;
}

static bool csv_ticks_header_is_usable(const struct csv_ticks *csv, const char **fault_out)
{
    uint32_t times = COLUMN_BIT(CSV_TICKS_TS_NS) | COLUMN_BIT(CSV_TICKS_TIMESTAMP);
    uint32_t values = COLUMN_BIT(CSV_TICKS_PRICE) | COLUMN_BIT(CSV_TICKS_BID) |
                      COLUMN_BIT(CSV_TICKS_ASK) | COLUMN_BIT(CSV_TICKS_STATUS);
    if (!(csv->known & times)) {
        *fault_out = "the header row has no column ts_ns or timestamp";
        return false;
    }
    if (!(csv->known & COLUMN_BIT(CSV_TICKS_SYMBOL))) {
        *fault_out = "the header row has no column symbol";
        return false;
    }
    if (!(csv->known & values)) {
        *fault_out = "the header row has no column price, bid, ask or status";
        return false;
    }
    return true;
}

bool csv_ticks_parse_header(struct csv_ticks *csv, const char *line, size_t line_bytes,
                            const char **fault_out)
{
    static const char mark[] = "\xef\xbb\xbf";
    const char *end = line + line_bytes;
    struct csv_field field;
    enum csv_next next;

    *csv = (struct csv_ticks){0};
    if (line_bytes >= 3 && memcmp(line, mark, 3) == 0) {
        line += 3;
    }
    do {
        next = csv_ticks_field_take(&field, &line, end);
        if (next == CSV_NEXT_FAULT) {
            *fault_out = "the header row has a quote in a wrong place";
            return false;
        }
        if (csv->column_count == CSV_TICKS_COLUMNS_MAX) {
            *fault_out = "the header row has over 256 columns";
            return false;
        }
        enum csv_ticks_column column = csv_ticks_column_by_name(&field);
        if (column != CSV_TICKS_IGNORED && csv->known & COLUMN_BIT(column)) {
            *fault_out = "the header row names a column twice (or by two of its names)";
            return false;
        }
        csv->known |= column == CSV_TICKS_IGNORED ? 0 : COLUMN_BIT(column);
        csv->columns[csv->column_count++] = (uint8_t)column;
    } while (next == CSV_NEXT_FIELD);
    return csv_ticks_header_is_usable(csv, fault_out);
}

/* Splits a row; fields of unknown columns are dropped. */
static bool csv_ticks_split(const struct csv_ticks *csv, const char *line, size_t line_bytes,
                            struct csv_row *row, const char **fault_out)
{
    const char *end = line + line_bytes;
    uint32_t index = 0;
    enum csv_next next;
    for (uint32_t i = 0; i < CSV_TICKS_COLUMN_COUNT; i++) {
        row->fields[i].bytes = 0;
        row->fields[i].is_too_long = false;
    }
    do {
        if (index == csv->column_count) {
            *fault_out = "it has more fields than the header row";
            return false;
        }
        struct csv_field *field = &row->fields[csv->columns[index++]];
        next = csv_ticks_field_take(field, &line, end);
        if (next == CSV_NEXT_FAULT) {
            *fault_out = "a quote is missing, or is in a wrong place";
            return false;
        }
    } while (next == CSV_NEXT_FIELD);
    if (index < csv->column_count) {
        *fault_out = "it has fewer fields than the header row";
        return false;
    }
    return true;
}

static bool csv_ticks_field_is(const struct csv_field *field, const char *word)
{
    return field->bytes == strlen(word) && strncasecmp(field->text, word, field->bytes) == 0;
}

/* What exporters write where they have no value. */
static bool csv_ticks_field_is_absent(const struct csv_field *field)
{
    return field->bytes == 0 || csv_ticks_field_is(field, "nan") ||
           csv_ticks_field_is(field, "null") || csv_ticks_field_is(field, "none") ||
           csv_ticks_field_is(field, "na");
}

/* md_none where the field is absent. */
static bool csv_ticks_row_decimal(const struct csv_row *row, enum csv_ticks_column column,
                                  struct md_decimal *decimal_out)
{
    const struct csv_field *field = &row->fields[column];
    *decimal_out = md_none;
    return csv_ticks_field_is_absent(field) ||
           decimal_parse(field->text, field->bytes, decimal_out);
}

static bool csv_ticks_row_size(const struct csv_row *row, enum csv_ticks_column column,
                               struct md_decimal *decimal_out)
{
    return csv_ticks_row_decimal(row, column, decimal_out) &&
           (!md_is_given(*decimal_out) || decimal_out->mantissa >= 0);
}

static bool csv_ticks_row_side(const struct csv_field *field, enum md_side *side_out)
{
    if (csv_ticks_field_is_absent(field)) {
        *side_out = MD_SIDE_NONE;
    } else if (csv_ticks_field_is(field, "B") || csv_ticks_field_is(field, "buy")) {
        *side_out = MD_SIDE_BUY;
    } else if (csv_ticks_field_is(field, "S") || csv_ticks_field_is(field, "sell")) {
        *side_out = MD_SIDE_SELL;
    } else {
        return false;
    }
    return true;
}

static bool csv_ticks_row_trade(const struct csv_row *row, struct csv_tick *tick,
                                const char **fault_out)
{
    const struct csv_field *id = &row->fields[CSV_TICKS_ID];
    struct md_trade *trade = &tick->trade;
    *trade = (struct md_trade){0};
    if (!csv_ticks_row_decimal(row, CSV_TICKS_PRICE, &trade->price) || !md_is_given(trade->price)) {
        *fault_out = "price is not a decimal of at most 18 digits";
        return false;
    }
    if (!csv_ticks_row_size(row, CSV_TICKS_SIZE, &trade->size)) {
        *fault_out = "size is not a decimal of 0 and more, of at most 18 digits";
        return false;
    }
    if (!csv_ticks_row_side(&row->fields[CSV_TICKS_SIDE], &trade->side)) {
        *fault_out = "side is neither B, S, buy, sell nor empty";
        return false;
    }
    trade->has_id = !csv_ticks_field_is_absent(id);
    if (trade->has_id && !decimal_parse_u64(id->text, id->bytes, &trade->id)) {
        *fault_out = "id is not an integer of 0 to 18446744073709551615";
        return false;
    }
    return true;
}

/* The price is md_none if there is no such side: exporters write nothing, or 0 of 0. */
static bool csv_ticks_row_level(const struct csv_row *row, enum csv_ticks_column price,
                                enum csv_ticks_column size, struct md_level *level)
{
    level->size = md_none;
    if (!csv_ticks_row_decimal(row, price, &level->price) ||
        (md_is_given(level->price) && !csv_ticks_row_size(row, size, &level->size))) {
        return false;
    }
    if (level->price.mantissa == 0 && level->size.mantissa == 0) {
        level->price = md_none;
    }
    return true;
}

static bool csv_ticks_row_quote(const struct csv_row *row, struct csv_tick *tick,
                                const char **fault_out)
{
    if (!csv_ticks_row_decimal(row, CSV_TICKS_PRICE, &tick->last)) {
        *fault_out = "price is not a decimal of at most 18 digits";
        return false;
    }
    if (!csv_ticks_row_level(row, CSV_TICKS_BID, CSV_TICKS_BID_SIZE, &tick->bid) ||
        !csv_ticks_row_level(row, CSV_TICKS_ASK, CSV_TICKS_ASK_SIZE, &tick->ask)) {
        *fault_out = "a bid or ask is not a decimal of at most 18 digits, or its size is below 0";
        return false;
    }
    if (csv_ticks_field_is_absent(&row->fields[CSV_TICKS_PRICE]) &&
        csv_ticks_field_is_absent(&row->fields[CSV_TICKS_BID]) &&
        csv_ticks_field_is_absent(&row->fields[CSV_TICKS_ASK])) {
        *fault_out = "a quote without bid, ask and price";
        return false;
    }
    return true;
}

static bool csv_ticks_row_status(const struct csv_row *row, struct csv_tick *tick,
                                 const char **fault_out)
{
    const struct csv_field *state = &row->fields[CSV_TICKS_STATUS];
    const struct csv_field *reason = &row->fields[CSV_TICKS_REASON];
    if (csv_ticks_field_is_absent(state) || state->bytes > CSV_TICKS_STATE_BYTES_MAX) {
        *fault_out = "status is empty or longer than 31 bytes";
        return false;
    }
    for (size_t i = 0; i < state->bytes; i++) {
        char c = state->text[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_letter && !(c >= '0' && c <= '9') && c != '_' && c != '-') {
            *fault_out = "status is not a word of letters, digits, _ and -";
            return false;
        }
    }
    if (reason->bytes > CSV_TICKS_REASON_BYTES_MAX ||
        memchr(reason->text, '\0', reason->bytes) != NULL ||
        !utf8_is_valid((const uint8_t *)reason->text, reason->bytes)) {
        *fault_out = "reason is not UTF-8 of at most 127 bytes";
        return false;
    }
    memcpy(tick->state, state->text, state->bytes);
    tick->state[state->bytes] = '\0';
    size_t reason_bytes = csv_ticks_field_is_absent(reason) ? 0 : reason->bytes;
    memcpy(tick->reason, reason->text, reason_bytes);
    tick->reason[reason_bytes] = '\0';
    return true;
}

/* 0 where both are absent. */
static bool csv_ticks_row_time(const struct csv_row *row, uint64_t *ns_out, const char **fault_out)
{
    const struct csv_field *ts_ns = &row->fields[CSV_TICKS_TS_NS];
    const struct csv_field *timestamp = &row->fields[CSV_TICKS_TIMESTAMP];
    *ns_out = 0;
    if (!csv_ticks_field_is_absent(ts_ns)) {
        *fault_out = "ts_ns is not an integer of 0 to 9223372036854775807";
        return !ts_ns->is_too_long && decimal_parse_u64(ts_ns->text, ts_ns->bytes, ns_out) &&
               *ns_out <= INT64_MAX;
    }
    *fault_out = "timestamp has not 10, 13, 16 or 19 digits before the point and is not an ISO "
                 "8601 time up to 2261 with a zone (Z or +00:00)";
    return csv_ticks_field_is_absent(timestamp) ||
           (!timestamp->is_too_long && time_text_parse(timestamp->text, timestamp->bytes, ns_out));
}

/* MD_TYPE_COUNT: none. */
static enum md_type csv_ticks_row_type(const struct csv_ticks *csv, const struct csv_row *row)
{
    const struct csv_field *type = &row->fields[CSV_TICKS_TYPE];
    if (!(csv->known & COLUMN_BIT(CSV_TICKS_TYPE))) {
        return csv->known & COLUMN_BIT(CSV_TICKS_PRICE) ? MD_TRADE : MD_QUOTE;
    }
    if (csv_ticks_field_is(type, "T")) {
        return MD_TRADE;
    }
    if (csv_ticks_field_is(type, "Q")) {
        return MD_QUOTE;
    }
    return csv_ticks_field_is(type, "S") ? MD_STATUS : MD_TYPE_COUNT;
}

/* A field of another type may be of any length. */
static bool csv_ticks_row_fits(const struct csv_row *row, enum md_type type)
{
    static const uint32_t used[MD_TYPE_COUNT] = {
        [MD_TRADE] = COLUMN_BIT(CSV_TICKS_PRICE) | COLUMN_BIT(CSV_TICKS_SIZE) |
                     COLUMN_BIT(CSV_TICKS_SIDE) | COLUMN_BIT(CSV_TICKS_ID),
        [MD_QUOTE] = COLUMN_BIT(CSV_TICKS_PRICE) | COLUMN_BIT(CSV_TICKS_BID) |
                     COLUMN_BIT(CSV_TICKS_BID_SIZE) | COLUMN_BIT(CSV_TICKS_ASK) |
                     COLUMN_BIT(CSV_TICKS_ASK_SIZE),
        [MD_STATUS] = COLUMN_BIT(CSV_TICKS_STATUS) | COLUMN_BIT(CSV_TICKS_REASON),
    };
    for (uint32_t i = 0; i < CSV_TICKS_COLUMN_COUNT; i++) {
        if (row->fields[i].is_too_long && (used[type] & COLUMN_BIT(i)) != 0) {
            return false;
        }
    }
    return true;
}

bool csv_ticks_parse_row(const struct csv_ticks *csv, const char *line, size_t line_bytes,
                         struct csv_tick *tick_out, const char **fault_out)
{
    struct csv_row row;
    const struct csv_field *symbol = &row.fields[CSV_TICKS_SYMBOL];
    if (!csv_ticks_split(csv, line, line_bytes, &row, fault_out) ||
        !csv_ticks_row_time(&row, &tick_out->ts_event_ns, fault_out)) {
        return false;
    }
    if (symbol->bytes == 0 || symbol->bytes > MD_SYMBOL_BYTES_MAX) {
        *fault_out = "symbol is empty or longer than 32 bytes";
        return false;
    }
    memcpy(tick_out->symbol, symbol->text, symbol->bytes);
    tick_out->symbol_bytes = (uint8_t)symbol->bytes;
    tick_out->type = csv_ticks_row_type(csv, &row);
    if (tick_out->type == MD_TYPE_COUNT) {
        *fault_out = "type is not T, Q or S";
        return false;
    }
    if (!csv_ticks_row_fits(&row, tick_out->type)) {
        *fault_out = "a field that is used is longer than 255 bytes";
        return false;
    }
    switch (tick_out->type) {
    case MD_TRADE:
        return csv_ticks_row_trade(&row, tick_out, fault_out);
    case MD_QUOTE:
        return csv_ticks_row_quote(&row, tick_out, fault_out);
    default:
        return csv_ticks_row_status(&row, tick_out, fault_out);
    }
}

void csv_ticks_to_update(const struct csv_tick *tick, struct md_update *update_out)
{
    *update_out = (struct md_update){.type = tick->type, .ts_event_ns = tick->ts_event_ns};
    switch (tick->type) {
    case MD_TRADE:
        update_out->trade = tick->trade;
        return;
    case MD_QUOTE:
        update_out->quote = md_quote_none;
        update_out->quote.last = tick->last;
        update_out->quote.bids = &tick->bid;
        update_out->quote.asks = &tick->ask;
        update_out->quote.bid_count = md_is_given(tick->bid.price);
        update_out->quote.ask_count = md_is_given(tick->ask.price);
        return;
    case MD_STATUS:
        update_out->status = (struct md_status){
            .state = tick->state,
            .reason = tick->reason[0] == '\0' ? NULL : tick->reason,
        };
        return;
    default:
        assert_always(false);
    }
}
