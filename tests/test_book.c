/* The book against one that is a plain table of all prices, sorted anew for each question. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "codec/crc32c.h"
#include "codec/decimal.h"
#include "src/market/book.h"

#define PRICES 400
#define ROUNDS 20000

static uint64_t seed;

static uint32_t below(uint32_t bound)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 20) % bound;
}

static struct md_decimal decimal(int64_t mantissa, int exponent)
{
    return (struct md_decimal){.mantissa = mantissa, .exponent = (int8_t)exponent};
}

/* The same price, now and then with other digits after the point. */
static struct md_level level_of(uint32_t price, uint32_t size)
{
    uint32_t more = below(3);
    int64_t scale = more == 0 ? 1 : more == 1 ? 10 : 100;
    return (struct md_level){
        .price = decimal(((int64_t)price + 1) * scale, -2 - (int)more),
        .size = decimal((int64_t)size * scale, -(int)more),
    };
}

static int set_up(void **state)
{
    static struct book book;
    seed = UINT64_C(0x2545f4914f6cdd1d);
    book_init(&book);
    *state = &book;
    return 0;
}

static int tear_down(void **state)
{
    book_deinit(*state);
    return 0;
}

/* ---- The model: sizes by price, 0: no such level. ---- */

struct model {
    uint32_t sizes[2][PRICES];
};

static void check_side(const struct md_level *levels, uint32_t count, const uint32_t *sizes,
                       bool is_bid, uint32_t level_count_max)
{
    uint32_t seen = 0;
    for (uint32_t i = 0; i < PRICES && seen < level_count_max; i++) {
        uint32_t price = is_bid ? PRICES - 1 - i : i;
        if (sizes[price] == 0) {
            continue;
        }
        assert_true(seen < count);
        assert_int_equal(decimal_compare(levels[seen].price, decimal((int64_t)price + 1, -2)), 0);
        assert_int_equal(decimal_compare(levels[seen].size, decimal(sizes[price], 0)), 0);
        seen++;
    }
    assert_int_equal(seen, count);
}

/* A tick at random, into the model and the book. */
static void apply_random(struct book *book, struct model *model)
{
    struct md_level levels[2][PRICES];
    uint32_t counts[2] = {0, 0};
    bool is_snapshot = below(500) == 0;
    for (uint32_t side = 0; side < 2; side++) {
        if (is_snapshot) {
            memset(model->sizes[side], 0, sizeof model->sizes[side]);
            for (uint32_t left = below(PRICES); left > 0; left--) { /* some twice, some of size 0 */
                uint32_t price = below(PRICES);
                model->sizes[side][price] = below(4) * below(300);
                levels[side][counts[side]++] = level_of(price, model->sizes[side][price]);
            }
            continue;
        }
        for (uint32_t left = below(6); left > 0; left--) {
            uint32_t price = below(PRICES);
            uint32_t size = below(2) == 0 ? 0 : 1 + below(1000);
            model->sizes[side][price] = size;
            levels[side][counts[side]++] = level_of(price, size);
        }
    }
    struct md_depth depth = {
        .action = is_snapshot ? MD_SNAPSHOT : MD_DELTA,
        .bids = levels[0],
        .asks = levels[1],
        .bid_count = counts[0],
        .ask_count = counts[1],
    };
    book_apply(book, &depth);
}

/* ---- A client: what it makes of the deltas. ---- */

struct client {
    struct book book;
};

static void the_top_levels_are_those_of_a_table_of_all_prices(void **state)
{
    static const uint32_t depths[] = {5, 10, 20, 50};
    static struct book_changes changes;
    static struct book_cut cuts[4];
    struct book *book = *state;
    struct model model = {0};
    struct client clients[4];
    struct md_depth depth = {.action = MD_SNAPSHOT};
    book_apply(book, &depth);
    for (uint32_t i = 0; i < 4; i++) {
        cuts[i] = (struct book_cut){.level_count_max = depths[i]};
        book_init(&clients[i].book);
        book_apply(&clients[i].book, &depth);
    }
    for (uint32_t round = 0; round < ROUNDS; round++) {
        apply_random(book, &model);
        for (uint32_t i = 0; i < 4; i++) {
            struct book_cut before = cuts[i];
            bool has_changed = book_cut_update(&cuts[i], book, &changes, &depth);
            check_side(cuts[i].bids, cuts[i].bid_count, model.sizes[0], true, depths[i]);
            check_side(cuts[i].asks, cuts[i].ask_count, model.sizes[1], false, depths[i]);
            if (!has_changed) {
                assert_int_equal(before.bid_count, cuts[i].bid_count);
                assert_int_equal(book_checksum(&before), book_checksum(&cuts[i]));
                continue;
            }
            /* Who only ever gets the deltas has the same levels, and no more of them. */
            struct book_cut copy = {.level_count_max = BOOK_CUT_LEVELS_MAX};
            book_apply(&clients[i].book, &depth);
            book_cut_update(&copy, &clients[i].book, &changes, &depth);
            check_side(copy.bids, copy.bid_count, model.sizes[0], true, depths[i]);
            check_side(copy.asks, copy.ask_count, model.sizes[1], false, depths[i]);
            assert_int_equal(book_checksum(&copy), book_checksum(&cuts[i]));
        }
    }
    for (uint32_t i = 0; i < 4; i++) {
        book_deinit(&clients[i].book);
    }
}

static void deltas_before_the_first_snapshot_are_ignored(void **state)
{
    struct book *book = *state;
    struct md_level level = {decimal(5, 0), decimal(7, 0)};
    struct md_depth depth = {.action = MD_DELTA, .bids = &level, .bid_count = 1};
    book_apply(book, &depth);
    assert_false(book->is_whole);
    assert_int_equal(book->bids.count, 0);
    depth.action = MD_SNAPSHOT;
    book_apply(book, &depth);
    assert_true(book->is_whole);
    assert_int_equal(book->bids.count, 1);
}

static void a_side_keeps_the_best_levels(void **state)
{
    struct book *book = *state;
    uint32_t count = BOOK_LEVELS_MAX + 100;
    struct md_level *bids = malloc(count * sizeof *bids);
    struct md_level *asks = malloc(count * sizeof *asks);
    for (uint32_t i = 0; i < count; i++) {
        bids[i] = (struct md_level){decimal(1000000 - i, 0), decimal(1, 0)};
        asks[i] = (struct md_level){decimal(2000000 + i, 0), decimal(1, 0)};
    }
    struct md_depth depth = {MD_SNAPSHOT, bids, asks, count, BOOK_LEVELS_MAX, false, 0};
    assert_true(book_apply(book, &depth));
    /* Asks that are worse and better than the worst. */
    depth = (struct md_depth){MD_DELTA, bids, asks + BOOK_LEVELS_MAX, 0, 1, false, 0};
    assert_true(book_apply(book, &depth));
    asks[0].price = decimal(1999999, 0);
    depth.asks = asks;
    assert_true(book_apply(book, &depth));
    assert_int_equal(book->bids.count, BOOK_LEVELS_MAX);
    assert_int_equal(book->asks.count, BOOK_LEVELS_MAX);
    assert_int_equal(book->bids.levels[BOOK_LEVELS_MAX - 1].price.mantissa, 1000000);
    assert_int_equal(book->bids.levels[0].price.mantissa, 1000000 - BOOK_LEVELS_MAX + 1);
    assert_int_equal(book->asks.levels[BOOK_LEVELS_MAX - 1].price.mantissa, 1999999);
    assert_int_equal(book->asks.levels[0].price.mantissa, 2000000 + BOOK_LEVELS_MAX - 2);
    free(bids);
    free(asks);
}

static void the_checksum_is_of_the_plain_text_of_ten_levels(void **state)
{
    static const char text[] = "12.3:500,12.29:null,|12.34:0.5,100:7,";
    struct book_cut cut = {
        .level_count_max = 5,
        .bid_count = 2,
        .ask_count = 2,
        .bids = {{decimal(1230, -2), decimal(500, 0)}, {decimal(1229, -2), md_none}},
        .asks = {{decimal(1234, -2), decimal(50, -2)}, {decimal(100, 0), decimal(70, -1)}},
    };
    (void)state;
    assert_int_equal(book_checksum(&cut), crc32c(text, strlen(text)));
    struct book_cut deep = {.level_count_max = 20, .bid_count = 11};
    for (int64_t i = 0; i < 11; i++) {
        deep.bids[i] = (struct md_level){decimal(100 - i, 0), decimal(1, 0)};
    }
    uint32_t before = book_checksum(&deep);
    deep.bids[10].size.mantissa = 2;
    assert_int_equal(book_checksum(&deep), before);
    deep.bids[9].size.mantissa = 2;
    assert_int_not_equal(book_checksum(&deep), before);
}

static void the_crc_is_castagnolis(void **state)
{
    uint8_t zeros[32] = {0};
    (void)state;
    assert_int_equal(crc32c("123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(zeros, sizeof zeros), 0x8a9136aa); /* RFC 3720, B.4 */
    assert_int_equal(crc32c("", 0), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_top_levels_are_those_of_a_table_of_all_prices),
        TEST(deltas_before_the_first_snapshot_are_ignored),
        TEST(a_side_keeps_the_best_levels),
        cmocka_unit_test(the_checksum_is_of_the_plain_text_of_ten_levels),
        cmocka_unit_test(the_crc_is_castagnolis),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
