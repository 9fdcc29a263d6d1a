#include "feeds/frame_ticks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "feeds/json_scan.h"

#define FRAME_TICKS_WORD_BYTES_MAX 32 /* No key or word of ours is as long. */

struct frame_ticks {
    struct md_level *bids; /* FRAME_TICKS_LEVELS_MAX each, touched as needed */
    struct md_level *asks;
    char *texts[2]; /* FRAME_TICKS_TEXT_BYTES_MAX and an end each */
};

/* What the value of a field must be, and so what it is in the tick. */
enum frame_ticks_form {
    FRAME_TICKS_PRICE,    /* struct md_decimal */
    FRAME_TICKS_SIZE,     /* struct md_decimal, not negative */
    FRAME_TICKS_U64,      /* uint64_t */
    FRAME_TICKS_TIME,     /* uint64_t up to INT64_MAX */
    FRAME_TICKS_POSITIVE, /* the same, and not 0 */
    FRAME_TICKS_CHECKSUM, /* uint32_t */
    FRAME_TICKS_TEXT,     /* const char *, of texts[0] */
    FRAME_TICKS_REASON,   /* const char *, of texts[1] */
    FRAME_TICKS_SYMBOL,   /* struct frame_tick */
    FRAME_TICKS_INTERVAL, /* char[MD_INTERVAL_BYTES_MAX + 1] */
    FRAME_TICKS_SIDE,     /* enum md_side */
    FRAME_TICKS_ACTION,   /* enum md_action */
    FRAME_TICKS_BOOL,     /* bool */
    FRAME_TICKS_BIDS,     /* uint32_t, their count */
    FRAME_TICKS_ASKS,     /* uint32_t */
    FRAME_TICKS_TYPE,     /* struct frame_tick */
    FRAME_TICKS_AS_OF,
    FRAME_TICKS_DATA,
};

struct frame_ticks_row {
    const char *key;
    uint8_t key_bytes;
    uint8_t form;
    bool is_required;
    uint16_t offset; /* in struct frame_tick */
    const char *fault;
};

#define ROW(key, form, is_required, field, fault)                                                  \
    {                                                                                              \
        key, sizeof key - 1, FRAME_TICKS_##form, is_required, offsetof(struct frame_tick, field),  \
            fault                                                                                  \
    }

#define TYPE_FAULT "it has no type"
#define SYMBOL_FAULT "symbol is not a string of 1 to 32 bytes"
#define DATA_FAULT "it has no data, or data is not an object"
static const struct frame_ticks_row frame_ticks_envelope_rows[] = {
    ROW("type", TYPE, true, kind, TYPE_FAULT),
    ROW("symbol", SYMBOL, true, symbol, SYMBOL_FAULT),
    ROW("seq", U64, false, seq, "seq is not an integer from 0 to 18446744073709551615"),
    ROW("ts_event", TIME, false, update.ts_event_ns, "ts_event is not a time in nanoseconds"),
    ROW("q", POSITIVE, false, q, "q is not an integer from 1 to 9223372036854775807"),
    ROW("as_of", AS_OF, false, is_book_part, NULL),
    ROW("data", DATA, true, update, DATA_FAULT),
};

#define QUOTE_FAULT "quote: a price, volume or turnover is not a decimal of at most 18 digits"
#define LEVELS_FAULT                                                                               \
    "bids or asks is not an array of at most " FRAME_TICKS_LEVELS_MAX_TEXT " [price, size]"
static const struct frame_ticks_row frame_ticks_quote_rows[] = {
    ROW("last", PRICE, false, update.quote.last, QUOTE_FAULT),
    ROW("open", PRICE, false, update.quote.open, QUOTE_FAULT),
    ROW("high", PRICE, false, update.quote.high, QUOTE_FAULT),
    ROW("low", PRICE, false, update.quote.low, QUOTE_FAULT),
    ROW("prev_close", PRICE, false, update.quote.prev_close, QUOTE_FAULT),
    ROW("volume", SIZE, false, update.quote.volume, QUOTE_FAULT),
    ROW("turnover", PRICE, false, update.quote.turnover, QUOTE_FAULT),
    ROW("bids", BIDS, false, update.quote.bid_count, "quote: " LEVELS_FAULT),
    ROW("asks", ASKS, false, update.quote.ask_count, "quote: " LEVELS_FAULT),
    ROW("status", TEXT, false, update.quote.status, "quote: status is not a string"),
};

#define TRADE_FAULT                                                                                \
    "trade: price is missing, or price or size is not a decimal of at most 18 digits"
static const struct frame_ticks_row frame_ticks_trade_rows[] = {
    ROW("price", PRICE, true, update.trade.price, TRADE_FAULT),
    ROW("size", SIZE, false, update.trade.size, TRADE_FAULT),
    ROW("side", SIDE, false, update.trade.side, "trade: side is neither buy nor sell"),
    ROW("id", U64, false, update.trade.id,
        "trade: id is not an integer from 0 to 18446744073709551615"),
};

#define BAR_FAULT                                                                                  \
    "bar: open, high, low or close is missing, or a number is not a decimal of at most 18 digits"
static const struct frame_ticks_row frame_ticks_bar_rows[] = {
    ROW("interval", INTERVAL, true, update.bar.interval,
        "bar: interval is not a string of 1 to 7 bytes"),
    ROW("start", POSITIVE, true, update.bar.start_ns, "bar: start is not a time in nanoseconds"),
    ROW("open", PRICE, true, update.bar.open, BAR_FAULT),
    ROW("high", PRICE, true, update.bar.high, BAR_FAULT),
    ROW("low", PRICE, true, update.bar.low, BAR_FAULT),
    ROW("close", PRICE, true, update.bar.close, BAR_FAULT),
    ROW("volume", SIZE, false, update.bar.volume, BAR_FAULT),
    ROW("turnover", PRICE, false, update.bar.turnover, BAR_FAULT),
    ROW("count", U64, false, update.bar.count,
        "bar: count is not an integer from 0 to 18446744073709551615"),
    ROW("closed", BOOL, false, update.bar.closed, "bar: closed is neither true nor false"),
};

static const struct frame_ticks_row frame_ticks_depth_rows[] = {
    ROW("action", ACTION, true, update.depth.action, "depth: action is neither snapshot nor delta"),
    ROW("bids", BIDS, false, update.depth.bid_count, "depth: " LEVELS_FAULT),
    ROW("asks", ASKS, false, update.depth.ask_count, "depth: " LEVELS_FAULT),
    ROW("checksum", CHECKSUM, false, update.depth.checksum,
        "depth: checksum is not an integer from 0 to 4294967295"),
};

#define STATUS_FAULT "status: state is missing, or state or reason is not a string"
static const struct frame_ticks_row frame_ticks_status_rows[] = {
    ROW("state", TEXT, true, update.status.state, STATUS_FAULT),
    ROW("reason", REASON, false, update.status.reason, STATUS_FAULT),
};

struct frame_ticks_shape {
    const struct frame_ticks_row *rows; /* in the order in which they usually come */
    uint32_t row_count;
};

#define SHAPE(rows)                                                                                \
    {                                                                                              \
        rows, sizeof rows / sizeof rows[0]                                                         \
    }
static const struct frame_ticks_shape frame_ticks_envelope = SHAPE(frame_ticks_envelope_rows);
static const struct frame_ticks_shape frame_ticks_shapes[MD_TYPE_COUNT] = {
    [MD_QUOTE] = SHAPE(frame_ticks_quote_rows),   [MD_TRADE] = SHAPE(frame_ticks_trade_rows),
    [MD_BAR] = SHAPE(frame_ticks_bar_rows),       [MD_DEPTH] = SHAPE(frame_ticks_depth_rows),
    [MD_STATUS] = SHAPE(frame_ticks_status_rows),
};

/* An object on the way. */
struct frame_ticks_object {
    struct frame_ticks_shape shape;
    bool is_first;
    uint32_t seen;  /* bits of rows that came */
    uint32_t given; /* and were not null */
    uint32_t next;  /* the row that probably comes next */
};

int frame_ticks_create(struct frame_ticks **frames_out)
{
    struct frame_ticks *frames = calloc(1, sizeof *frames);
    if (frames == NULL) {
        return -ENOMEM;
    }
    frames->bids = calloc(FRAME_TICKS_LEVELS_MAX, sizeof *frames->bids);
    frames->asks = calloc(FRAME_TICKS_LEVELS_MAX, sizeof *frames->asks);
    frames->texts[0] = calloc(2, FRAME_TICKS_TEXT_BYTES_MAX + 1);
    if (frames->bids == NULL || frames->asks == NULL || frames->texts[0] == NULL) {
        frame_ticks_destroy(frames);
        return -ENOMEM;
    }
    frames->texts[1] = frames->texts[0] + FRAME_TICKS_TEXT_BYTES_MAX + 1;
    *frames_out = frames;
    return 0;
}

void frame_ticks_destroy(struct frame_ticks *frames)
{
    if (frames == NULL) {
        return;
    }
    free(frames->bids);
    free(frames->asks);
    free(frames->texts[0]);
    free(frames);
}

/* ---- Values ---- */

/* A string that may be a word of ours; NULL: it is another string, or none. */
static inline const char *frame_ticks_word(const struct json_scan_value *value,
                                           char decoded[FRAME_TICKS_WORD_BYTES_MAX],
                                           size_t *bytes_out)
{
    if (value->kind != JSON_SCAN_STRING) {
        return NULL;
    }
    *bytes_out = value->bytes;
    if (!value->has_escape) {
        return value->text;
    }
    *bytes_out = json_scan_text(value, decoded, FRAME_TICKS_WORD_BYTES_MAX);
    return *bytes_out <= FRAME_TICKS_WORD_BYTES_MAX ? decoded : NULL;
}

/* The index of the value among two words; -1: it is neither. */
static int frame_ticks_either(const struct json_scan_value *value, const char *first,
                              const char *second)
{
    char decoded[FRAME_TICKS_WORD_BYTES_MAX];
    size_t bytes;
    const char *text = frame_ticks_word(value, decoded, &bytes);
    if (text == NULL) {
        return -1;
    }
    bool is_first = bytes == strlen(first) && memcmp(text, first, bytes) == 0;
    bool is_second = bytes == strlen(second) && memcmp(text, second, bytes) == 0;
    return is_first ? 0 : is_second ? 1 : -1;
}

/* A string of at most bytes_max, without NUL, and with an end; returns its bytes, or SIZE_MAX. */
static size_t frame_ticks_text(const struct json_scan_value *value, char *out, size_t bytes_max)
{
    size_t bytes =
        value->kind == JSON_SCAN_STRING ? json_scan_text(value, out, bytes_max) : SIZE_MAX;
    if (bytes > bytes_max || memchr(out, '\0', bytes) != NULL) {
        return SIZE_MAX;
    }
    out[bytes] = '\0';
    return bytes;
}

/* [price, size]; a size of null is not given. */
static inline bool frame_ticks_level(struct json_scan *scan, struct md_level *level)
{
    struct json_scan_value value;
    bool is_first = true;
    if (!json_scan_value(scan, &value) || value.kind != JSON_SCAN_ARRAY ||
        !json_scan_more(scan, JSON_SCAN_ARRAY, &is_first) || !json_scan_value(scan, &value) ||
        !json_scan_decimal(&value, &level->price) ||
        !json_scan_more(scan, JSON_SCAN_ARRAY, &is_first) || !json_scan_value(scan, &value)) {
        return false;
    }
    level->size = md_none;
    if (value.kind != JSON_SCAN_NULL &&
        (!json_scan_decimal(&value, &level->size) || level->size.mantissa < 0)) {
        return false;
    }
    return !json_scan_more(scan, JSON_SCAN_ARRAY, &is_first);
}

/* Every level, in order. */
static bool frame_ticks_levels(struct json_scan *scan, const struct json_scan_value *value,
                               struct md_level *levels, uint32_t *count_out)
{
    uint32_t count = 0;
    bool is_first = true;
    if (value->kind != JSON_SCAN_ARRAY) {
        return false;
    }
    while (json_scan_more(scan, JSON_SCAN_ARRAY, &is_first)) {
        if (count == FRAME_TICKS_LEVELS_MAX || !frame_ticks_level(scan, &levels[count])) {
            return false;
        }
        count++;
    }
    *count_out = count;
    return true;
}

static bool frame_ticks_symbol(const struct json_scan_value *value, struct frame_tick *tick)
{
    char symbol[MD_SYMBOL_BYTES_MAX + 1];
    size_t bytes = frame_ticks_text(value, symbol, MD_SYMBOL_BYTES_MAX);
    if (bytes == 0 || bytes == SIZE_MAX) {
        return false;
    }
    tick->symbol_bytes = (uint8_t)bytes;
    memcpy(tick->symbol, symbol, bytes);
    return true;
}

static bool frame_ticks_u64(const struct json_scan_value *value, uint64_t min, uint64_t max,
                            uint64_t *out)
{
    uint64_t number;
    if (!json_scan_u64(value, &number) || number < min || number > max) {
        return false;
    }
    *out = number;
    return true;
}

static bool frame_ticks_checksum(const struct json_scan_value *value, uint32_t *out)
{
    uint64_t checksum;
    if (!frame_ticks_u64(value, 0, UINT32_MAX, &checksum)) {
        return false;
    }
    *out = (uint32_t)checksum;
    return true;
}

/* The value, which is not null, to its place in the tick. false: it is not of the form; an array or
 * object may have been read in part. */
static bool frame_ticks_put(struct frame_ticks *frames, struct json_scan *scan,
                            const struct frame_ticks_row *row, const struct json_scan_value *value,
                            struct frame_tick *tick)
{
    void *place = (char *)tick + row->offset;
    struct md_decimal *decimal = place;
    int index;
    switch ((enum frame_ticks_form)row->form) {
    case FRAME_TICKS_PRICE:
        return json_scan_decimal(value, decimal);
    case FRAME_TICKS_SIZE:
        return json_scan_decimal(value, decimal) && decimal->mantissa >= 0;
    case FRAME_TICKS_U64:
        return frame_ticks_u64(value, 0, UINT64_MAX, place);
    case FRAME_TICKS_TIME:
        return frame_ticks_u64(value, 0, INT64_MAX, place);
    case FRAME_TICKS_POSITIVE:
        return frame_ticks_u64(value, 1, INT64_MAX, place);
    case FRAME_TICKS_CHECKSUM:
        return frame_ticks_checksum(value, place);
    case FRAME_TICKS_TEXT:
    case FRAME_TICKS_REASON:
        index = row->form == FRAME_TICKS_REASON;
        *(const char **)place = frames->texts[index];
        return frame_ticks_text(value, frames->texts[index], FRAME_TICKS_TEXT_BYTES_MAX) !=
               SIZE_MAX;
    case FRAME_TICKS_SYMBOL:
        return frame_ticks_symbol(value, tick);
    case FRAME_TICKS_INTERVAL:
        index = (int)frame_ticks_text(value, place, MD_INTERVAL_BYTES_MAX);
        return index > 0;
    case FRAME_TICKS_SIDE:
        index = frame_ticks_either(value, "buy", "sell");
        *(enum md_side *)place = index == 0 ? MD_SIDE_BUY : MD_SIDE_SELL;
        return index >= 0;
    case FRAME_TICKS_ACTION:
        index = frame_ticks_either(value, "snapshot", "delta");
        *(enum md_action *)place = index == 0 ? MD_SNAPSHOT : MD_DELTA;
        return index >= 0;
    case FRAME_TICKS_BOOL:
        *(bool *)place = value->kind == JSON_SCAN_TRUE;
        return value->kind == JSON_SCAN_TRUE || value->kind == JSON_SCAN_FALSE;
    case FRAME_TICKS_BIDS:
        return frame_ticks_levels(scan, value, frames->bids, place);
    case FRAME_TICKS_ASKS:
        return frame_ticks_levels(scan, value, frames->asks, place);
    case FRAME_TICKS_AS_OF:
        tick->is_book_part = true;
        return json_scan_skip_rest(scan, value);
    case FRAME_TICKS_TYPE:
    case FRAME_TICKS_DATA:
        break;
    }
    assert_always(!"those two are read by frame_ticks_parse");
    return false;
}

/* ---- Objects ---- */

static inline const struct frame_ticks_row *frame_ticks_find(struct frame_ticks_object *object,
                                                             const struct json_scan_value *key)
{
    char decoded[FRAME_TICKS_WORD_BYTES_MAX];
    size_t bytes;
    const char *text = frame_ticks_word(key, decoded, &bytes);
    if (text == NULL) {
        return NULL;
    }
    uint32_t index = object->next;
    for (uint32_t i = 0; i < object->shape.row_count; i++) {
        const struct frame_ticks_row *row = &object->shape.rows[index];
        index = index + 1 == object->shape.row_count ? 0 : index + 1;
        if (row->key_bytes == bytes && memcmp(row->key, text, bytes) == 0) {
            object->next = index;
            return row;
        }
    }
    return NULL;
}

static uint32_t frame_ticks_bit(const struct frame_ticks_object *object,
                                const struct frame_ticks_row *row)
{
    return UINT32_C(1) << (row - object->shape.rows);
}

/* The next member that there is a row for, and its value. NULL: the object has ended, is not JSON,
 * or has such a member twice. */
static const struct frame_ticks_row *frame_ticks_next(struct frame_ticks_object *object,
                                                      struct json_scan *scan,
                                                      struct json_scan_value *value)
{
    while (json_scan_more(scan, JSON_SCAN_OBJECT, &object->is_first)) {
        struct json_scan_value key;
        if (!json_scan_key(scan, &key)) {
            return NULL;
        }
        const struct frame_ticks_row *row = frame_ticks_find(object, &key);
        if (!json_scan_value(scan, value) || (row == NULL && !json_scan_skip_rest(scan, value))) {
            return NULL;
        }
        if (row != NULL) {
            uint32_t bit = frame_ticks_bit(object, row);
            scan->failed |= (object->seen & bit) != 0;
            object->seen |= bit;
            object->given |= value->kind == JSON_SCAN_NULL ? 0 : bit;
            return scan->failed ? NULL : row;
        }
    }
    return NULL;
}

/* The fault of the first row that must be given and is not; NULL: none. */
static const char *frame_ticks_missing(const struct frame_ticks_object *object)
{
    for (uint32_t i = 0; i < object->shape.row_count; i++) {
        if (object->shape.rows[i].is_required && (object->given >> i & 1) == 0) {
            return object->shape.rows[i].fault;
        }
    }
    return NULL;
}

/* Whether a member of this form was given. */
static bool frame_ticks_has(const struct frame_ticks_object *object, enum frame_ticks_form form)
{
    for (uint32_t i = 0; i < object->shape.row_count; i++) {
        if (object->shape.rows[i].form == form) {
            return object->given >> i & 1;
        }
    }
    return false;
}

/* A tick of which nothing is given. */
static void frame_ticks_clear(struct frame_ticks *frames, const struct frame_ticks_shape *shape,
                              struct frame_tick *tick)
{
    struct md_update *update = &tick->update;
    for (uint32_t i = 0; i < shape->row_count; i++) {
        if (shape->rows[i].form == FRAME_TICKS_PRICE || shape->rows[i].form == FRAME_TICKS_SIZE) {
            *(struct md_decimal *)(void *)((char *)tick + shape->rows[i].offset) = md_none;
        }
    }
    if (update->type == MD_QUOTE) {
        update->quote.bids = frames->bids;
        update->quote.asks = frames->asks;
    } else if (update->type == MD_DEPTH) {
        update->depth.bids = frames->bids;
        update->depth.asks = frames->asks;
    }
}

/* The members of data, behind its bracket. NULL, or the fault of the tick; then the object may have
 * been read in part. */
static const char *frame_ticks_data(struct frame_ticks *frames, struct json_scan *scan,
                                    struct frame_tick *tick)
{
    struct md_update *update = &tick->update;
    struct frame_ticks_object object = {.shape = frame_ticks_shapes[update->type],
                                        .is_first = true};
    struct json_scan_value value;
    const struct frame_ticks_row *row;
    frame_ticks_clear(frames, &object.shape, tick);
    while ((row = frame_ticks_next(&object, scan, &value)) != NULL) {
        if (value.kind != JSON_SCAN_NULL && !frame_ticks_put(frames, scan, row, &value, tick)) {
            return row->fault;
        }
    }
    if (update->type == MD_TRADE) {
        update->trade.has_id = frame_ticks_has(&object, FRAME_TICKS_U64);
    } else if (update->type == MD_BAR) {
        update->bar.has_count = frame_ticks_has(&object, FRAME_TICKS_U64);
    } else if (update->type == MD_DEPTH) {
        update->depth.has_checksum = frame_ticks_has(&object, FRAME_TICKS_CHECKSUM);
        if (!frame_ticks_has(&object, FRAME_TICKS_BIDS) &&
            !frame_ticks_has(&object, FRAME_TICKS_ASKS)) {
            return "depth: it has neither bids nor asks";
        }
    }
    return frame_ticks_missing(&object);
}

/* ---- The message ---- */

/* What is known of a message on the way. */
struct frame_ticks_message {
    struct json_scan scan;
    const char *fault;      /* of a field of the envelope; no matter if it is no tick */
    const char *data_fault; /* likewise */
    struct json_scan data;  /* behind its bracket, if it came before the type; or at is NULL */
    enum json_scan_kind data_kind;
};

/* MD_TYPE_COUNT: none of a data frame. STATUS is a control frame, and status is a data frame. */
static enum md_type frame_ticks_type(const char *name)
{
    for (unsigned type = 0; type < MD_TYPE_COUNT; type++) {
        if (strcmp(name, md_type_name((enum md_type)type)) == 0) {
            return (enum md_type)type;
        }
    }
    return MD_TYPE_COUNT;
}

/* An empty kind: it is no name. */
static void frame_ticks_kind(const struct json_scan_value *value, struct frame_tick *tick)
{
    size_t bytes = value->kind == JSON_SCAN_STRING
                       ? json_scan_text(value, tick->kind, FRAME_TICKS_KIND_BYTES_MAX)
                       : 0;
    bytes = bytes < FRAME_TICKS_KIND_BYTES_MAX ? bytes : FRAME_TICKS_KIND_BYTES_MAX;
    bytes = memchr(tick->kind, '\0', bytes) == NULL ? bytes : 0;
    tick->kind[bytes] = '\0';
    tick->update.type = frame_ticks_type(tick->kind);
}

/* data of a tick whose type is known; passes it in any case. */
static void frame_ticks_on_data(struct frame_ticks *frames, struct frame_ticks_message *message,
                                struct json_scan *scan, const struct json_scan_value *value,
                                struct frame_tick *tick)
{
    const struct json_scan begin = *scan;
    message->data_fault =
        value->kind == JSON_SCAN_OBJECT ? frame_ticks_data(frames, scan, tick) : DATA_FAULT;
    if (message->data_fault != NULL && !scan->failed) {
        *scan = begin;
        json_scan_skip_rest(scan, value);
    }
}

/* A member of the envelope, with its value, which is passed. */
static void frame_ticks_on_member(struct frame_ticks *frames, struct frame_ticks_message *message,
                                  const struct frame_ticks_row *row,
                                  const struct json_scan_value *value, struct frame_tick *tick)
{
    struct json_scan *scan = &message->scan;
    if (row->form == FRAME_TICKS_TYPE) {
        frame_ticks_kind(value, tick);
        json_scan_skip_rest(scan, value);
    } else if (row->form != FRAME_TICKS_DATA) {
        bool is_good =
            value->kind == JSON_SCAN_NULL || frame_ticks_put(frames, scan, row, value, tick);
        if (!is_good) {
            message->fault = message->fault == NULL ? row->fault : message->fault;
            json_scan_skip_rest(scan, value);
        }
    } else if (tick->update.type != MD_TYPE_COUNT) {
        frame_ticks_on_data(frames, message, scan, value, tick);
    } else {
        message->data = *scan;
        message->data_kind = value->kind;
        json_scan_skip_rest(scan, value);
    }
}

static enum frame_ticks_status frame_ticks_malformed(struct frame_tick *tick, const char *fault)
{
    tick->fault = fault;
    return FRAME_TICKS_MALFORMED;
}

enum frame_ticks_status frame_ticks_parse(struct frame_ticks *frames, const char *text,
                                          size_t text_bytes, struct frame_tick *tick_out)
{
    struct frame_ticks_message message = {.scan = {.at = text, .end = text + text_bytes}};
    struct frame_ticks_object object = {.shape = frame_ticks_envelope, .is_first = true};
    struct json_scan_value value;
    const struct frame_ticks_row *row;
    *tick_out = (struct frame_tick){.update = {.type = MD_TYPE_COUNT}};
    if (!json_scan_value(&message.scan, &value) || value.kind != JSON_SCAN_OBJECT) {
        return frame_ticks_malformed(tick_out, "it is not a JSON object");
    }
    while ((row = frame_ticks_next(&object, &message.scan, &value)) != NULL) {
        frame_ticks_on_member(frames, &message, row, &value, tick_out);
    }
    if (!json_scan_is_at_end(&message.scan)) {
        tick_out->q = 0;
        return frame_ticks_malformed(tick_out, "it is not JSON, or has a key twice");
    }
    if (tick_out->kind[0] == '\0') {
        return frame_ticks_malformed(tick_out, TYPE_FAULT);
    }
    if (tick_out->update.type == MD_TYPE_COUNT) {
        return FRAME_TICKS_OTHER;
    }
    if (message.data.at != NULL) {
        value.kind = message.data_kind;
        frame_ticks_on_data(frames, &message, &message.data, &value, tick_out);
        if (message.data.failed) {
            return frame_ticks_malformed(tick_out, "it is not JSON, or has a key twice");
        }
    }
    const char *fault = message.fault != NULL ? message.fault : frame_ticks_missing(&object);
    fault = fault != NULL ? fault : message.data_fault;
    return fault == NULL ? FRAME_TICKS_TICK : frame_ticks_malformed(tick_out, fault);
}
