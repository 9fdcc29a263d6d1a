/* Books on their way from the publisher to a core: slots that run out and come back, and parts that
 * make the book. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "codec/ws_frame.h"
#include "src/market/book_images.h"

#define LEVELS 4000

static struct book_images *images;
static struct channel channel = {.type = MD_DEPTH};

static int set_up(void **state)
{
    (void)state;
    /* The longest head there is: each byte is an escape of 6. */
    memset(channel.symbol, 1, MD_SYMBOL_BYTES_MAX);
    channel.symbol_bytes = MD_SYMBOL_BYTES_MAX;
    return book_images_create(&images);
}

static int tear_down(void **state)
{
    (void)state;
    book_images_destroy(images);
    return 0;
}

static void make(uint32_t number, const struct book *book)
{
    struct book_images_source source = {
        .channel = &channel,
        .number = UINT32_MAX - 1,
        .book = book,
        .as_of = UINT64_MAX / 4,
        .ts_event_ns = 5,
        .ts_recv_ns = 6,
        .ts_pub_ns = 7,
        .payload_bytes_max = 65531,
    };
    book_images_begin(images, number, &source);
    while (!book_images_go_on(images)) {
        assert_null(book_images_get(images, number));
    }
}

static void slots_run_out_and_come_back(void **state)
{
    (void)state;
    assert_false(book_images_are_asked(images));
    assert_int_equal(book_images_next(images, 1), BOOK_IMAGES_NONE);
    for (uint32_t i = 0; i < BOOK_IMAGES_MAX; i++) {
        assert_int_equal(book_images_ask(images, i), i);
    }
    assert_int_equal(book_images_ask(images, 1), BOOK_IMAGES_NONE);
    assert_true(book_images_are_asked(images));
    for (uint32_t i = 0; i < BOOK_IMAGES_MAX; i++) {
        assert_null(book_images_get(images, i));
        assert_int_equal(book_images_next(images, 1), i);
        make(i, NULL);
        assert_int_equal(book_images_get(images, i)->error, -ENODATA);
    }
    assert_false(book_images_are_asked(images));
    assert_int_equal(book_images_ask(images, 1), BOOK_IMAGES_NONE);
    book_images_release(images, 3);
    assert_int_equal(book_images_ask(images, 1), 3);
    images->due_ns = 100;
    assert_int_equal(book_images_next(images, 99), BOOK_IMAGES_NONE);
    assert_int_equal(book_images_next(images, 100), 3);
}

static void what_waits_is_bounded(void **state)
{
    (void)state;
    struct book book;
    struct md_level bid = {{1, 0}, {1, 0}};
    struct md_depth depth = {.action = MD_SNAPSHOT, .bids = &bid, .bid_count = 1};
    book_init(&book);
    book_apply(&book, &depth);
    assert_int_equal(book_images_ask(images, 1), 0);
    make(0, &book);
    assert_true(images->bytes > 0);
    images->bytes += BOOK_IMAGES_BYTES_MAX;
    assert_int_equal(book_images_ask(images, 1), 1);
    assert_int_equal(book_images_next(images, 1), BOOK_IMAGES_NONE);
    images->bytes -= BOOK_IMAGES_BYTES_MAX;
    book_images_release(images, 0);
    assert_true(images->bytes == 0);
    assert_int_equal(book_images_next(images, 1), 1);
    book_deinit(&book);
}

static json_t *part_of(const struct book_image *image, uint32_t i)
{
    const uint8_t *frame = image->bytes + (i == 0 ? 0 : image->ends[i - 1]);
    size_t header_bytes = ws_frame_finished_header_bytes(frame);
    size_t bytes = (size_t)(image->bytes + image->ends[i] - frame) - header_bytes;
    json_t *part =
        json_loadb((const char *)frame + header_bytes, bytes, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(part);
    return part;
}

static json_int_t int_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* Best first, so that each goes on where the last ended. */
static void check_levels(const json_t *levels, int64_t *price, int step)
{
    for (size_t i = 0; i < json_array_size(levels); i++) {
        assert_int_equal(json_integer_value(json_array_get(json_array_get(levels, i), 0)), *price);
        *price += step;
    }
}

static void the_parts_are_the_book(void **state)
{
    (void)state;
    static struct md_level bids[LEVELS], asks[LEVELS];
    struct book book;
    int64_t bid = LEVELS;
    int64_t ask = LEVELS + 1;
    for (int64_t i = 0; i < LEVELS; i++) {
        bids[i] = (struct md_level){{bid - i, 0}, {i + 1, -8}};
        asks[i] = (struct md_level){{ask + i, 0}, {i + 1, -8}};
    }
    struct md_depth depth = {MD_SNAPSHOT, bids, asks, LEVELS, LEVELS, false, 0};
    book_init(&book);
    book_apply(&book, &depth);
    uint32_t number = book_images_ask(images, 1);
    make(number, &book);
    const struct book_image *image = book_images_get(images, number);
    assert_int_equal(image->error, 0);
    assert_in_range(image->part_count, 2, 10);
    for (uint32_t i = 0; i < image->part_count; i++) {
        json_t *part = part_of(image, i);
        json_t *data = json_object_get(part, "data");
        assert_int_equal(int_of(part, "part"), i + 1);
        assert_int_equal(int_of(part, "parts"), image->part_count);
        assert_true(int_of(part, "as_of") == (json_int_t)(UINT64_MAX / 4));
        assert_true(int_of(part, "seq") == (json_int_t)(UINT64_MAX / 4));
        assert_int_equal(int_of(part, "ch"), UINT32_MAX - 1);
        assert_string_equal(json_string_value(json_object_get(data, "action")),
                            i == 0 ? "snapshot" : "delta");
        check_levels(json_object_get(data, "bids"), &bid, -1);
        check_levels(json_object_get(data, "asks"), &ask, 1);
        json_decref(part);
    }
    assert_int_equal(bid, 0);
    assert_int_equal(ask, 2 * LEVELS + 1);
    book.is_whole = false;
    assert_int_equal(book_images_ask(images, 1), number + 1);
    make(number + 1, &book);
    assert_int_equal(book_images_get(images, number + 1)->error, -ENODATA);
    book_deinit(&book);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(slots_run_out_and_come_back),
        TEST(what_waits_is_bounded),
        TEST(the_parts_are_the_book),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
