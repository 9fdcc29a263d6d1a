/* Random books of any size, split: a client that applies the parts, read back from their JSON, has
 * what the whole makes, and no part is too long for any encoding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "codec/decimal.h"
#include "codec/json_tick_read.h"
#include "codec/sbe_tick.h"
#include "src/market/book.h"
#include "src/market/book_split.h"

#define PAYLOAD_BYTES_MAX 65532
#define LEVELS 30000

static struct md_level bids[LEVELS], asks[LEVELS];
static struct md_level read_bids[LEVELS], read_asks[LEVELS];
static uint8_t payload[PAYLOAD_BYTES_MAX];
static struct json_tick_head head;
static uint64_t seed;

static uint32_t below(uint32_t bound)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 20) % bound;
}

static int set_up(void **state)
{
    (void)state;
    seed = UINT64_C(0x2545f4914f6cdd1d);
    json_tick_head_init(&head, MD_DEPTH, "A.B", 3, 7);
    return 0;
}

/* Best first; now and then with no size, or as long as a decimal gets. */
static void fill(struct md_level *levels, uint32_t count, int better, bool is_delta)
{
    static const struct md_decimal sizes[] = {
        {1, 0}, {INT64_MAX, -18}, {25, -2}, {INT64_MIN, 0}, {123456789, -8}, {0, 0},
    };
    int64_t scale = below(2) ? 1 : INT64_C(10000000000000);
    for (uint32_t i = 0; i < count; i++) {
        int64_t price = 300000 - better * (int64_t)(i + 1);
        levels[i] = (struct md_level){
            .price = {price * scale, scale == 1 ? -2 : -15},
            .size = sizes[below(is_delta ? 6 : 5)],
        };
    }
}

/* The part as a client reads it. */
static struct md_update pass_through_json(const struct md_depth *part)
{
    struct md_update update = {.type = MD_DEPTH, .depth = *part, .ts_event_ns = UINT64_MAX / 4};
    update.ts_recv_ns = update.ts_event_ns;
    struct json_tick_room room = {read_bids, read_asks, LEVELS, "", ""};
    struct md_update read;
    size_t bytes =
        json_tick_encode(payload, sizeof payload, &head, &update, UINT64_MAX / 4, UINT64_MAX / 4);
    assert_true(bytes > 0);
    assert_true(json_tick_read(&read, &room, MD_DEPTH, &head, payload, bytes));
    return read;
}

static void check_fits_sbe(const struct md_depth *part)
{
    struct md_update update = {.type = MD_DEPTH, .depth = *part};
    size_t bytes = sbe_tick_encode(payload, sizeof payload, 7, &update, 1, 1);
    assert_true(bytes > 0);
}

static void check_same(const struct book_side *a, const struct book_side *b)
{
    assert_int_equal(a->count, b->count);
    for (uint32_t i = 0; i < a->count; i++) {
        assert_int_equal(a->levels[i].price.mantissa, b->levels[i].price.mantissa);
        assert_int_equal(a->levels[i].price.exponent, b->levels[i].price.exponent);
        assert_true(a->levels[i].size.mantissa == b->levels[i].size.mantissa);
    }
}

static void check_top(const struct book *book, const struct md_depth *whole)
{
    assert_true((book->bids.count == 0) == (whole->bid_count == 0));
    assert_true((book->asks.count == 0) == (whole->ask_count == 0));
    if (book->bids.count > 0) {
        assert_true(book->bids.levels[book->bids.count - 1].price.mantissa ==
                    whole->bids[0].price.mantissa);
    }
}

static void check_uncrossed(const struct book *book)
{
    if (book->bids.count > 0 && book->asks.count > 0) {
        assert_true(decimal_compare(book->bids.levels[book->bids.count - 1].price,
                                    book->asks.levels[book->asks.count - 1].price) < 0);
    }
}

/* Returns how many parts there were. */
static uint32_t check_split(struct book *client, struct book *whole_book,
                            const struct md_depth *whole)
{
    struct book_split split = book_split_begin(whole, PAYLOAD_BYTES_MAX);
    struct md_depth part;
    bool has_failed;
    uint32_t parts = 0;
    while (book_split_next(&split, &part, &has_failed)) {
        assert_int_equal(part.action, parts == 0 ? whole->action : MD_DELTA);
        check_fits_sbe(&part);
        struct md_update read = pass_through_json(&part);
        assert_true(book_apply(client, &read.depth));
        if (whole->action == MD_SNAPSHOT) {
            check_top(client, whole);
        }
        parts++;
        bool is_last = split.bids_done == whole->bid_count && split.asks_done == whole->ask_count;
        assert_int_equal(read.depth.has_checksum, is_last && whole->has_checksum);
    }
    assert_false(has_failed);
    assert_true(book_apply(whole_book, whole));
    check_same(&client->bids, &whole_book->bids);
    check_same(&client->asks, &whole_book->asks);
    return parts;
}

static void who_applies_the_parts_has_the_whole(void **state)
{
    (void)state;
    struct book client, whole_book;
    uint32_t most = 0;
    book_init(&client);
    book_init(&whole_book);
    for (uint32_t round = 0; round < 60; round++) {
        uint32_t max = round % 10 == 0 ? LEVELS : below(2) ? 3000 : 20;
        bool is_delta = round % 3 == 2;
        struct md_depth whole = {
            .action = is_delta ? MD_DELTA : MD_SNAPSHOT,
            .bids = bids,
            .asks = asks,
            .bid_count = below(5) == 0 ? 0 : below(max + 1),
            .ask_count = below(5) == 0 ? 0 : below(max + 1),
            .has_checksum = below(2),
            .checksum = 7,
        };
        fill(bids, whole.bid_count, 1, is_delta);
        fill(asks, whole.ask_count, -1, is_delta);
        uint32_t parts = check_split(&client, &whole_book, &whole);
        most = parts > most ? parts : most;
    }
    assert_true(most > 10);
    book_deinit(&client);
    book_deinit(&whole_book);
}

/* The market moves, up and down, further than the book is wide; the delta comes in any order, and
 * says some prices more than once. */
static void between_the_parts_of_a_delta_the_book_is_not_crossed(void **state)
{
    (void)state;
    struct book client, whole_book;
    struct md_level *ordered;
    uint32_t most = 0;
    int64_t middle = 100000;
    book_init(&client);
    book_init(&whole_book);
    struct md_depth whole = {.action = MD_SNAPSHOT, .bids = bids, .asks = asks};
    check_split(&client, &whole_book, &whole);
    for (uint32_t round = 0; round < 8; round++) {
        int64_t next = middle + (round % 2 == 0 ? 7000 : -7000);
        whole = (struct md_depth){.action = MD_DELTA, .bids = bids, .asks = asks};
        for (int64_t i = 0; i < 5000; i++) {
            bids[whole.bid_count++] = (struct md_level){{next - 1 - i, 0}, {i % 7 + 1, 0}};
            asks[whole.ask_count++] = (struct md_level){{next + i, 0}, {i % 5 + 1, 0}};
            if (middle - 1 - i >= next || middle - 1 - i < next - 5000) {
                bids[whole.bid_count++] = (struct md_level){{middle - 1 - i, 0}, {0, 0}};
            }
            if (middle + i < next || middle + i >= next + 5000) {
                asks[whole.ask_count++] = (struct md_level){{middle + i, 0}, {0, 0}};
            }
        }
        for (uint32_t i = 0; i < 100; i++) { /* first said otherwise */
            bids[whole.bid_count++] = bids[i];
            bids[i].size.mantissa = bids[i].size.mantissa == 0;
        }
        middle = next;
        struct md_depth delta = whole;
        assert_true(book_split_order(&delta, &ordered));
        assert_true(delta.bid_count < whole.bid_count);
        struct book_split split = book_split_begin(&delta, PAYLOAD_BYTES_MAX);
        struct md_depth part;
        bool has_failed;
        uint32_t parts = 0;
        while (book_split_next(&split, &part, &has_failed)) {
            assert_true(book_apply(&client, &part));
            check_uncrossed(&client);
            parts++;
        }
        most = parts > most ? parts : most;
        for (uint32_t i = 0; i < whole.bid_count; i += 50) { /* one by one, as they came */
            uint32_t count = whole.bid_count - i < 50 ? whole.bid_count - i : 50;
            part = (struct md_depth){.action = MD_DELTA, .bids = bids + i, .bid_count = count};
            assert_true(book_apply(&whole_book, &part));
        }
        part = (struct md_depth){.action = MD_DELTA, .asks = asks, .ask_count = whole.ask_count};
        assert_true(book_apply(&whole_book, &part));
        check_same(&client.bids, &whole_book.bids);
        check_same(&client.asks, &whole_book.asks);
        assert_int_equal(client.bids.count, 5000);
        free(ordered);
    }
    assert_true(most > 2);
    book_deinit(&client);
    book_deinit(&whole_book);
}

static void a_level_that_fits_nowhere_fails(void **state)
{
    (void)state;
    struct md_depth part, whole = {MD_SNAPSHOT, bids, asks, 1, 0, false, 0};
    bool has_failed;
    fill(bids, 1, 1, false);
    struct book_split split = book_split_begin(&whole, 300);
    assert_false(book_split_next(&split, &part, &has_failed));
    assert_true(has_failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(who_applies_the_parts_has_the_whole, set_up),
        cmocka_unit_test_setup(between_the_parts_of_a_delta_the_book_is_not_crossed, set_up),
        cmocka_unit_test_setup(a_level_that_fits_nowhere_fails, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
