/*
 * csv_ticks: rows of a CSV file of ticks (RFC 4180, a header row, columns by name in any order).
 *
 *   ts_ns      nanoseconds since the epoch, UTC; or instead of it
 *   timestamp  (or time) a number of 10, 13, 16 or 19 digits before the point, or ISO 8601 with a
 *              zone, as in time_text.h
 *   symbol     (or sym) 000001.SZ
 *   type       T trade, Q top of book, S status; without the column, a file with a price column
 *              is of trades, another of quotes
 *   price      T: required. Q: the last price, if given
 *   size       (or amount) of the trade
 *   side       B, S, buy, sell, or empty: the aggressor's
 *   id         of the trade, an integer of 64 bits
 *   bid, bid_size (or bsize), ask, ask_size (or asize)
 *   status     S: required, a word like halted.   reason: S, free text
 *
 * Numbers may have an exponent (decimal.h). A field that is empty, or nan, null, none or na in any
 * case, is absent, not zero: a side without a price, or of price 0 and size 0, is left out; a row
 * without a time (or with a time of 0) has none. ts_ns wins where both times are there. Other
 * columns, and those that a row's type does not use, are ignored. A quoted field cannot hold a line
 * break.
 *
 * Owner    The caller. Threads: one at a time.
 * Memory   No allocation. A tick's texts are copied; its symbol too.
 * Units    Prices and sizes keep the digits of the text.
 * Errors   false with *fault_out, a constant sentence.
 */
#ifndef RINGCAST_FEEDS_CSV_TICKS_H
#define RINGCAST_FEEDS_CSV_TICKS_H

#include "codec/md.h"

#define CSV_TICKS_COLUMNS_MAX 256
#define CSV_TICKS_FIELD_BYTES_MAX 255 /* of a field that is used */
#define CSV_TICKS_STATE_BYTES_MAX 31
#define CSV_TICKS_REASON_BYTES_MAX 127

enum csv_ticks_column {
    CSV_TICKS_IGNORED,
    CSV_TICKS_TS_NS,
    CSV_TICKS_TIMESTAMP,
    CSV_TICKS_SYMBOL,
    CSV_TICKS_TYPE,
    CSV_TICKS_PRICE,
    CSV_TICKS_SIZE,
    CSV_TICKS_SIDE,
    CSV_TICKS_ID,
    CSV_TICKS_BID,
    CSV_TICKS_BID_SIZE,
    CSV_TICKS_ASK,
    CSV_TICKS_ASK_SIZE,
    CSV_TICKS_STATUS,
    CSV_TICKS_REASON,
    CSV_TICKS_COLUMN_COUNT,
};

/* The columns by the header row. */
struct csv_ticks {
    uint32_t column_count;
    uint32_t known; /* Bit 1 << column of each column that is there. */
    uint8_t columns[CSV_TICKS_COLUMNS_MAX];
};

struct csv_tick {
    uint64_t ts_event_ns; /* 0: not given */
    uint8_t symbol_bytes;
    char symbol[MD_SYMBOL_BYTES_MAX];
    enum md_type type; /* MD_TRADE, MD_QUOTE or MD_STATUS */
    struct md_trade trade;
    struct md_decimal last;
    struct md_level bid; /* Its price is MD_NONE when it is not given. */
    struct md_level ask;
    char state[CSV_TICKS_STATE_BYTES_MAX + 1];
    char reason[CSV_TICKS_REASON_BYTES_MAX + 1]; /* "" when not given */
};

/* line: without its line end; a byte order mark is skipped. */
bool csv_ticks_parse_header(struct csv_ticks *csv, const char *line, size_t line_bytes,
                            const char **fault_out);

bool csv_ticks_parse_row(const struct csv_ticks *csv, const char *line, size_t line_bytes,
                         struct csv_tick *tick_out, const char **fault_out);

/* The tick without channel and ts_recv_ns; it borrows from tick. */
void csv_ticks_to_update(const struct csv_tick *tick, struct md_update *update_out);

#endif
