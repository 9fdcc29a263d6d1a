#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "codec/base/units.h"
#include "codec/ws_deflate.h"
#include "tests/ws_decoder_harness.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define TEST_SEED UINT64_C(0x5eedde1a7e)
#define LIMIT (70 * KIB)
#define DEFLATED_MAX WS_DEFLATE_BYTES_MAX(LIMIT)
#define LEVEL 6

static uint8_t deflated[DEFLATED_MAX];
static uint8_t inflated[LIMIT];

static uint64_t test_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static struct ws_deflate *make_deflate(uint8_t window_bits, bool keeps_context)
{
    struct ws_deflate *deflate = NULL;
    struct ws_deflate_options options = {
        .level = LEVEL, .window_bits = window_bits, .keeps_context = keeps_context};
    assert_int_equal(ws_deflate_create(&deflate, &options), 0);
    return deflate;
}

static struct ws_inflate *make_inflate(bool keeps_context)
{
    struct ws_inflate *inflate = NULL;
    assert_int_equal(ws_inflate_create(&inflate, keeps_context), 0);
    return inflate;
}

/* The verdict on a compressed binary message; its payload is then in inflated. */
static enum ws_status inflate_within(struct ws_inflate *inflate, const void *payload, size_t bytes,
                                     size_t bytes_max, size_t *bytes_out)
{
    struct ws_message message = {
        .opcode = WS_BINARY,
        .payload = (uint8_t *)(uintptr_t)payload,
        .payload_bytes = bytes,
        .is_compressed = true,
    };
    enum ws_status status = ws_inflate_message(inflate, &message, inflated, bytes_max);
    if (status == WS_OK) {
        assert_ptr_equal(message.payload, inflated);
        assert_false(message.is_compressed);
        assert_true(message.payload_bytes <= bytes_max);
        *bytes_out = message.payload_bytes;
    }
    return status;
}

static void assert_inflates_to(struct ws_inflate *inflate, const void *payload, size_t bytes,
                               const void *expected, size_t expected_bytes)
{
    size_t got = SIZE_MAX;
    assert_int_equal(inflate_within(inflate, payload, bytes, sizeof inflated, &got), WS_OK);
    assert_int_equal(got, expected_bytes);
    assert_memory_equal(inflated, expected, expected_bytes);
}

/* ---- What is compressed ---- */

/* Text like a tick's, noise, runs, and what repeats at a distance around every window's size. */
static size_t fill(uint8_t *out, unsigned kind, size_t bytes, uint64_t *seed)
{
    static const size_t distances[] = {1,    200,  250,  255,   256,   257,   512,  1000,
                                       1024, 4096, 8192, 16384, 32506, 32768, 40000};
    switch (kind % 4) {
    case 0:
        for (size_t at = 0; at < bytes;) {
            char field[64];
            int length = snprintf(field, sizeof field, "{\"seq\":%u,\"price\":%u.%02u},",
                                  (unsigned)test_random(seed) % 100000, (unsigned)at,
                                  (unsigned)test_random(seed) % 100);
            size_t taken = bytes - at < (size_t)length ? bytes - at : (size_t)length;
            memcpy(out + at, field, taken);
            at += taken;
        }
        break;
    case 1:
        for (size_t at = 0; at < bytes; at++) {
            out[at] = (uint8_t)(test_random(seed) >> 32);
        }
        break;
    case 2:
        memset(out, (int)(test_random(seed) & 0x7f), bytes);
        break;
    default: {
        size_t distance = distances[test_random(seed) % COUNT(distances)];
        for (size_t at = 0; at < bytes; at++) {
            out[at] = at < distance ? (uint8_t)(test_random(seed) >> 32) : out[at - distance];
        }
    }
    }
    return bytes;
}

static void check_round_trips(const struct ws_deflate_options *options, uint64_t *seed)
{
    static const size_t lengths[] = {0, 1, 2, 5, 0, 0, 125, 126, 300, 2048, 16384, 65536, LIMIT};
    static uint8_t payload[LIMIT];
    struct ws_deflate *deflate;
    struct ws_inflate *inflate = make_inflate(options->keeps_context);
    assert_int_equal(ws_deflate_create(&deflate, options), 0);
    for (size_t i = 0; i < 4 * COUNT(lengths); i++) {
        size_t bytes =
            fill(payload, (unsigned)(i / COUNT(lengths)), lengths[i % COUNT(lengths)], seed);
        size_t deflated_bytes =
            ws_deflate_message(deflate, deflated, WS_DEFLATE_BYTES_MAX(bytes), payload, bytes);
        assert_true(deflated_bytes > 0);
        assert_inflates_to(inflate, deflated, deflated_bytes, payload, bytes);
    }
    ws_deflate_destroy(deflate);
    ws_inflate_destroy(inflate);
}

static void messages_survive_at_every_level_and_window(void **state)
{
    (void)state;
    uint64_t seed = TEST_SEED;
    for (int level = 1; level <= 9; level++) {
        for (int keeps_context = 0; keeps_context < 2; keeps_context++) {
            uint8_t window_bits = (uint8_t)(8 + (level - 1) % 8);
            struct ws_deflate_options options = {
                .level = level, .window_bits = window_bits, .keeps_context = keeps_context};
            check_round_trips(&options, &seed);
            options.window_bits = (uint8_t)(15 - (level - 1) % 8);
            check_round_trips(&options, &seed);
        }
    }
}

/* zlib reads it with no more of a window than was agreed, over many messages. */
static void what_is_written_keeps_within_its_window(void **state)
{
    (void)state;
    static const uint8_t tail[] = {0, 0, 0xff, 0xff};
    static uint8_t payload[LIMIT];
    uint64_t seed = TEST_SEED;
    for (uint8_t bits = 8; bits <= 15; bits++) {
        struct ws_deflate *deflate = make_deflate(bits, true);
        z_stream stream = {0};
        assert_int_equal(inflateInit2(&stream, -bits), Z_OK);
        for (unsigned i = 0; i < 60; i++) {
            size_t bytes = fill(payload, i, 1 + test_random(&seed) % LIMIT, &seed);
            size_t deflated_bytes =
                ws_deflate_message(deflate, deflated, sizeof deflated, payload, bytes);
            stream.next_out = inflated;
            stream.avail_out = sizeof inflated;
            stream.next_in = deflated;
            stream.avail_in = (uInt)deflated_bytes;
            assert_int_equal(inflate(&stream, Z_SYNC_FLUSH), Z_OK);
            stream.next_in = (uint8_t *)(uintptr_t)tail;
            stream.avail_in = sizeof tail;
            int status = inflate(&stream, Z_SYNC_FLUSH);
            assert_true(status == Z_OK || status == Z_BUF_ERROR);
            assert_int_equal(sizeof inflated - stream.avail_out, bytes);
            assert_memory_equal(inflated, payload, bytes);
        }
        inflateEnd(&stream);
        ws_deflate_destroy(deflate);
    }
}

static void a_message_that_stands_alone_depends_on_itself_only(void **state)
{
    (void)state;
    static uint8_t first[DEFLATED_MAX];
    uint8_t payload[2048], other[5000];
    uint64_t seed = TEST_SEED;
    fill(payload, 0, sizeof payload, &seed);
    fill(other, 0, sizeof other, &seed);
    struct ws_deflate *deflate = make_deflate(15, false);
    struct ws_inflate *inflate = make_inflate(false);
    size_t bytes = ws_deflate_message(deflate, first, sizeof first, payload, sizeof payload);
    ws_deflate_message(deflate, deflated, sizeof deflated, other, sizeof other);
    assert_int_equal(ws_deflate_message(deflate, deflated, 100, other, sizeof other), 0);
    assert_int_equal(
        ws_deflate_message(deflate, deflated, sizeof deflated, payload, sizeof payload), bytes);
    assert_memory_equal(deflated, first, bytes);

    size_t got;
    assert_int_equal(inflate_within(inflate, first, bytes / 2, LIMIT, &got), WS_BAD_DEFLATE);
    assert_int_equal(inflate_within(inflate, first, bytes, 100, &got), WS_TOO_LONG);
    assert_inflates_to(inflate, first, bytes, payload, sizeof payload);
    ws_deflate_destroy(deflate);
    ws_inflate_destroy(inflate);
}

static void a_context_makes_the_second_message_short(void **state)
{
    (void)state;
    uint8_t payload[2048];
    uint64_t seed = TEST_SEED;
    fill(payload, 1, sizeof payload, &seed);
    struct ws_deflate *deflate = make_deflate(15, true);
    struct ws_inflate *inflate = make_inflate(true);
    for (int i = 0; i < 3; i++) {
        size_t bytes =
            ws_deflate_message(deflate, deflated, sizeof deflated, payload, sizeof payload);
        assert_true(i == 0 ? bytes > sizeof payload : bytes < 50);
        assert_inflates_to(inflate, deflated, bytes, payload, sizeof payload);
    }
    ws_deflate_destroy(deflate);
    ws_inflate_destroy(inflate);
}

static void any_room_is_enough_or_refused_and_nothing_is_written_behind_it(void **state)
{
    (void)state;
    uint8_t payload[600];
    uint64_t seed = TEST_SEED;
    struct guard_page guard;
    guard_page_init(&guard, 4096);
    struct ws_deflate *deflate = make_deflate(15, false);
    for (unsigned kind = 0; kind < 3; kind++) {
        fill(payload, kind, sizeof payload, &seed);
        size_t bytes =
            ws_deflate_message(deflate, deflated, sizeof deflated, payload, sizeof payload);
        assert_true(bytes > 0);
        for (size_t room = 0; room < bytes + 20; room++) {
            uint8_t *out = guard_page_tail(&guard, room);
            size_t got = ws_deflate_message(deflate, out, room, payload, sizeof payload);
            assert_int_equal(got, room >= bytes + 5 ? bytes : 0);
            assert_memory_equal(out, deflated, got);
        }
    }
    assert_int_equal(ws_deflate_message(deflate, deflated, 0, payload, 0), 0);
    assert_int_equal(ws_deflate_message(deflate, deflated, 1, payload, 0), 1);
    assert_int_equal(deflated[0], 0);
    ws_deflate_destroy(deflate);
    guard_page_deinit(&guard);
}

static void nothing_is_allocated_after_creation(void **state)
{
    (void)state;
    static uint8_t payload[LIMIT];
    uint64_t seed = TEST_SEED;
    for (int keeps_context = 0; keeps_context < 2; keeps_context++) {
        struct ws_deflate *deflate = make_deflate(15, keeps_context);
        struct ws_inflate *inflate = make_inflate(keeps_context);
        size_t before = mallinfo2().uordblks;
        for (unsigned i = 0; i < 40; i++) {
            size_t bytes = fill(payload, i, 1 + test_random(&seed) % LIMIT, &seed);
            size_t deflated_bytes =
                ws_deflate_message(deflate, deflated, sizeof deflated, payload, bytes);
            assert_inflates_to(inflate, deflated, deflated_bytes, payload, bytes);
        }
        assert_int_equal(mallinfo2().uordblks, before);
        ws_deflate_destroy(deflate);
        ws_inflate_destroy(inflate);
    }
}

static void options_out_of_range_are_refused(void **state)
{
    (void)state;
    static const struct ws_deflate_options bad[] = {
        {.level = 0, .window_bits = 15},  {.level = 10, .window_bits = 15},
        {.level = -1, .window_bits = 15}, {.level = 6, .window_bits = 7},
        {.level = 6, .window_bits = 16},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct ws_deflate *deflate = NULL;
        assert_int_equal(ws_deflate_create(&deflate, &bad[i]), -EINVAL);
        assert_null(deflate);
    }
    ws_deflate_destroy(NULL);
    ws_inflate_destroy(NULL);
}

/* Whatever a peer sets its zlib to, a message of the greatest length is accepted. */
static void no_setting_of_zlib_takes_more_room_than_is_given(void **state)
{
    (void)state;
    static uint8_t payload[16 * KIB];
    uint64_t seed = TEST_SEED;
    fill(payload, 1, sizeof payload, &seed);
    for (int mem_level = 1; mem_level <= 9; mem_level++) {
        for (int strategy = Z_DEFAULT_STRATEGY; strategy <= Z_FIXED; strategy++) {
            for (int level = 0; level <= 9; level += 3) {
                z_stream stream = {0};
                int window_bits = 9 + (mem_level + level) % 7;
                assert_int_equal(
                    deflateInit2(&stream, level, Z_DEFLATED, -window_bits, mem_level, strategy),
                    Z_OK);
                stream.next_in = payload;
                stream.avail_in = sizeof payload;
                stream.next_out = deflated;
                stream.avail_out = sizeof deflated;
                assert_int_equal(deflate(&stream, Z_SYNC_FLUSH), Z_OK);
                assert_true(sizeof deflated - stream.avail_out <=
                            WS_DEFLATE_BYTES_MAX(sizeof payload));
                deflateEnd(&stream);
            }
        }
    }
}

/* ---- Frames for everybody ---- */

static struct ws_deflate *make_framer(uint32_t payload_bytes_min)
{
    struct ws_deflate *deflate = NULL;
    struct ws_deflate_options options = {
        .level = LEVEL, .window_bits = 15, .payload_bytes_min = payload_bytes_min};
    assert_int_equal(ws_deflate_create(&deflate, &options), 0);
    return deflate;
}

static void frames_are_whole_and_say_that_they_are_compressed(void **state)
{
    (void)state;
    static const size_t lengths[] = {50, 125, 126, 300, 2048, 65535, LIMIT};
    static uint8_t payload[LIMIT];
    static uint8_t frame[64 * KIB];
    uint64_t seed = TEST_SEED;
    struct ws_deflate *deflate = make_framer(0);
    struct ws_inflate *inflate = make_inflate(false);
    for (size_t i = 0; i < 2 * COUNT(lengths); i++) {
        size_t bytes = fill(payload, i % 2 ? 2 : 0, lengths[i / 2], &seed);
        memset(frame, 0xee, sizeof frame);
        size_t frame_bytes =
            ws_deflate_frame(deflate, frame, sizeof frame, WS_TEXT, payload, bytes);
        struct ws_decoder decoder;
        struct ws_message message;
        size_t consumed;
        assert_in_range(frame_bytes, 3, bytes + 3);
        ws_decoder_init(&decoder, LIMIT, false, NULL);
        decoder.inflates = true;
        assert_int_equal(frame[0], FINAL | WS_COMPRESSED_BIT | WS_TEXT);
        assert_int_equal(ws_decode(&decoder, frame, frame_bytes, &consumed, &message), WS_OK);
        assert_int_equal(consumed, frame_bytes);
        assert_true(message.payload_bytes < bytes);
        assert_int_equal(ws_inflate_message(inflate, &message, inflated, LIMIT), WS_OK);
        assert_int_equal(message.payload_bytes, bytes);
        assert_memory_equal(message.payload, payload, bytes);
    }
    ws_deflate_destroy(deflate);
    ws_inflate_destroy(inflate);
}

static void a_frame_that_is_short_or_would_not_be_shorter_is_left_plain(void **state)
{
    (void)state;
    uint8_t payload[2048];
    uint8_t frame[4096];
    uint64_t seed = TEST_SEED;
    struct ws_deflate *deflate = make_framer(1024);
    fill(payload, 0, sizeof payload, &seed);
    assert_int_equal(ws_deflate_frame(deflate, frame, sizeof frame, WS_TEXT, payload, 1023), 0);
    assert_true(ws_deflate_frame(deflate, frame, sizeof frame, WS_TEXT, payload, 1024) > 0);
    fill(payload, 1, sizeof payload, &seed);
    assert_int_equal(ws_deflate_frame(deflate, frame, sizeof frame, WS_TEXT, payload, 2048), 0);
    ws_deflate_destroy(deflate);
    deflate = make_framer(0);
    assert_int_equal(ws_deflate_frame(deflate, frame, sizeof frame, WS_TEXT, payload, 0), 0);
    assert_int_equal(ws_deflate_frame(deflate, frame, sizeof frame, WS_TEXT, "a", 1), 0);
    ws_deflate_destroy(deflate);
}

static void a_frame_keeps_within_its_room(void **state)
{
    (void)state;
    uint8_t payload[1500], frame[2048];
    uint64_t seed = TEST_SEED;
    struct guard_page guard;
    guard_page_init(&guard, 4096);
    struct ws_deflate *deflate = make_framer(0);
    for (size_t bytes = 120; bytes <= sizeof payload; bytes += 460) {
        fill(payload, 0, bytes, &seed);
        size_t needed = ws_deflate_frame(deflate, frame, sizeof frame, WS_TEXT, payload, bytes);
        assert_true(needed > 0);
        for (size_t room = 0; room < needed + 20; room++) {
            uint8_t *out = guard_page_tail(&guard, room);
            size_t got = ws_deflate_frame(deflate, out, room, WS_TEXT, payload, bytes);
            assert_true(got == needed || (got == 0 && room < needed + 7));
            assert_memory_equal(out, frame, got);
        }
    }
    ws_deflate_destroy(deflate);
    guard_page_deinit(&guard);
}

/* ---- What is inflated ---- */

/* RFC 7692 section 7.2.3. */
static void the_examples_of_the_rfc_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *payload;
        size_t payload_bytes;
        const char *text;
        bool follows; /* uses the context of the one before */
    } examples[] = {
        {T("\xf2\x48\xcd\xc9\xc9\x07\x00"), "Hello", false},
        {T("\xf2\x00\x11\x00\x00"), "Hello", true},
        {T("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), "Hello", false},
        {T("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), "Hello", false},
        {T("\xf2\x00\x11\x00\x00"), "Hello", true}, /* also behind a block that was the last */
        {T("\xf3\x48\xcd\xc9\xc9\x07\x00"), "Hello", false}, /* without the byte added to it */
        {T("\xf2\x00\x11\x00\x00"), "Hello", true},
        {T("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), "Hello", false},
        {T("\x00"), "", false},
        {T(""), "", false}, /* what zlib gives who flushes twice */
        {T("\xf2\x48\xcd\xc9\xc9\x07\x00"), "Hello", false},
    };
    struct ws_inflate *keeps = make_inflate(true);
    struct ws_inflate *forgets = make_inflate(false);
    for (size_t i = 0; i < COUNT(examples); i++) {
        const char *text = examples[i].text;
        assert_inflates_to(keeps, examples[i].payload, examples[i].payload_bytes, text,
                           strlen(text));
        if (!examples[i].follows) {
            assert_inflates_to(forgets, examples[i].payload, examples[i].payload_bytes, text,
                               strlen(text));
            continue;
        }
        size_t got;
        assert_int_equal(
            inflate_within(forgets, examples[i].payload, examples[i].payload_bytes, LIMIT, &got),
            WS_BAD_DEFLATE);
    }
    ws_inflate_destroy(keeps);
    ws_inflate_destroy(forgets);
}

/* Several in one message: the window goes on through them. */
static void a_block_that_says_it_is_the_last_may_be_followed_by_others(void **state)
{
    (void)state;
    static const char payload[] = "\xf3\x48\xcd\xc9\xc9\x07\x00" /* Hello, last */
                                  "\xf2\x00\x11\x00\x00"         /* five bytes, 5 back */
                                  "\x00\x00\xff\xff"             /* the end of an empty block */
                                  "\x03\x00\x03\x00"             /* two empty ones, both last */
                                  "\xf3\x00\x11\x00\x00";        /* and again, last */
    struct ws_inflate *inflate = make_inflate(false);
    assert_inflates_to(inflate, payload, sizeof payload - 1, "HelloHelloHello", 15);
    ws_inflate_destroy(inflate);
}

static void an_inflated_message_is_limited_to_the_byte(void **state)
{
    (void)state;
    static uint8_t payload[LIMIT];
    uint64_t seed = TEST_SEED;
    struct guard_page guard;
    guard_page_init(&guard, LIMIT);
    struct ws_deflate *deflate = make_deflate(15, false);
    struct ws_inflate *inflate = make_inflate(false);
    for (unsigned i = 0; i < 24; i++) {
        size_t bytes = fill(payload, i, 2 + test_random(&seed) % (i < 12 ? 500 : 60000), &seed);
        size_t deflated_bytes =
            ws_deflate_message(deflate, deflated, sizeof deflated, payload, bytes);
        for (size_t below = 0; below < 3; below++) {
            size_t bytes_max = bytes - below > 0 ? bytes - below : 1;
            struct ws_message message = {
                .opcode = WS_BINARY,
                .payload = deflated,
                .payload_bytes = deflated_bytes,
                .is_compressed = true,
            };
            uint8_t *out = guard_page_tail(&guard, bytes_max);
            enum ws_status status = ws_inflate_message(inflate, &message, out, bytes_max);
            assert_int_equal(status, bytes_max >= bytes ? WS_OK : WS_TOO_LONG);
            assert_memory_equal(out, payload, bytes_max < bytes ? bytes_max : bytes);
        }
    }
    ws_deflate_destroy(deflate);
    ws_inflate_destroy(inflate);
    guard_page_deinit(&guard);
}

/* 64 MiB in 64 KiB. */
static void a_bomb_costs_no_more_than_the_limit(void **state)
{
    (void)state;
    static uint8_t zeros[16 * MIB];
    static uint8_t bomb[128 * KIB];
    size_t got;
    struct guard_page guard;
    guard_page_init(&guard, LIMIT);
    struct ws_deflate *deflate = make_deflate(15, true);
    struct ws_inflate *inflate = make_inflate(false);
    size_t bytes = 0;
    for (int i = 0; i < 4; i++) {
        bytes +=
            ws_deflate_message(deflate, bomb + bytes, sizeof bomb - bytes, zeros, sizeof zeros);
        memcpy(bomb + bytes, "\x00\x00\xff\xff", 4);
        bytes += 4;
    }
    bytes -= 4;
    assert_true(bytes < 70 * KIB);
    assert_int_equal(inflate_within(inflate, bomb, bytes, 16384, &got), WS_TOO_LONG);
    assert_int_equal(inflate_within(inflate, bomb, bytes, 1, &got), WS_TOO_LONG);
    struct ws_message message = {
        .opcode = WS_TEXT, .payload = bomb, .payload_bytes = bytes, .is_compressed = true};
    uint8_t *out = guard_page_tail(&guard, LIMIT);
    assert_int_equal(ws_inflate_message(inflate, &message, out, LIMIT), WS_TOO_LONG);
    ws_deflate_destroy(deflate);
    ws_inflate_destroy(inflate);
    guard_page_deinit(&guard);
}

/* Of what is one block: between two, a cut would not show. */
static void what_is_cut_off_is_refused_at_every_length(void **state)
{
    (void)state;
    uint8_t payload[2048];
    uint64_t seed = TEST_SEED;
    struct guard_page guard;
    guard_page_init(&guard, sizeof payload + 64);
    struct ws_deflate *deflate = make_deflate(15, false);
    struct ws_inflate *inflate = make_inflate(false);
    for (unsigned kind = 0; kind < 4; kind += 2) {
        fill(payload, kind, sizeof payload, &seed);
        size_t bytes =
            ws_deflate_message(deflate, deflated, sizeof deflated, payload, sizeof payload);
        for (size_t cut = 1; cut < bytes; cut++) {
            size_t got;
            const uint8_t *part = guard_page_copy(&guard, deflated, cut);
            enum ws_status status = inflate_within(inflate, part, cut, LIMIT, &got);
            if (status != WS_BAD_DEFLATE) {
                fail_msg("kind %u, %zu of %zu bytes: %d", kind, cut, bytes, (int)status);
            }
        }
    }
    ws_deflate_destroy(deflate);
    ws_inflate_destroy(inflate);
    guard_page_deinit(&guard);
}

static void what_is_corrupt_is_refused_or_read_within_the_limit(void **state)
{
    (void)state;
    static const struct frame bad[] = {
        {0, T("\xff")},
        {0, T("\x07")},
        {0, T("\x06\x01")},
        {0, T("\x00\x05\x00\xfa\xfe"
              "Hello\x00")}, /* a length that is not its complement */
        {0, T("\x04")},
        {0, T("\x00\x00\x00\xff\xff")}, /* its end was not taken off */
        {0, T("\x00\x00")},
    };
    uint8_t payload[300];
    uint64_t seed = TEST_SEED;
    size_t got;
    size_t refused = 0;
    struct ws_deflate *deflate = make_deflate(15, false);
    struct ws_inflate *inflate = make_inflate(false);
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(inflate_within(inflate, bad[i].payload, bad[i].payload_bytes, LIMIT, &got),
                         WS_BAD_DEFLATE);
    }
    fill(payload, 0, sizeof payload, &seed);
    size_t bytes = ws_deflate_message(deflate, deflated, sizeof deflated, payload, sizeof payload);
    for (size_t bit = 0; bit < 8 * bytes; bit++) {
        deflated[bit / 8] ^= (uint8_t)(1u << bit % 8);
        enum ws_status status = inflate_within(inflate, deflated, bytes, 400, &got);
        assert_true(status == WS_OK || status == WS_TOO_LONG || status == WS_BAD_DEFLATE);
        refused += status != WS_OK;
        deflated[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_inflates_to(inflate, deflated, bytes, payload, sizeof payload);
    }
    assert_true(refused > bytes);
    ws_deflate_destroy(deflate);
    ws_inflate_destroy(inflate);
}

static void text_is_checked_when_it_is_inflated(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t text_bytes;
        enum ws_status status;
    } cases[] = {
        {T("\xe5\xb9\xb3"), WS_OK}, {T("\xe5\xb9"), WS_BAD_UTF8},
        {T("a\xff"), WS_BAD_UTF8},  {T("\xed\xa0\x80"), WS_BAD_UTF8},
        {T("\0"), WS_OK},
    };
    struct ws_deflate *deflate = make_deflate(15, false);
    struct ws_inflate *inflate = make_inflate(false);
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t bytes = ws_deflate_message(deflate, deflated, sizeof deflated, cases[i].text,
                                          cases[i].text_bytes);
        struct ws_message message = {
            .opcode = WS_TEXT,
            .payload = deflated,
            .payload_bytes = bytes,
            .is_compressed = true,
        };
        assert_int_equal(ws_inflate_message(inflate, &message, inflated, LIMIT), cases[i].status);
        assert_inflates_to(inflate, deflated, bytes, cases[i].text, cases[i].text_bytes);
    }
    ws_deflate_destroy(deflate);
    ws_inflate_destroy(inflate);
}

/* ---- From the wire ---- */

/* Compressed messages in fragments of a few bytes, with pings between, all in one context. */
static size_t write_stream(struct stream *stream, struct frame *expected, uint8_t (*payloads)[200],
                           bool keeps_context, uint64_t *seed)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    size_t count = 0;
    struct ws_deflate *deflate = make_deflate(15, keeps_context);
    stream->bytes_count = 0;
    for (unsigned i = 0; i < 4; i++) {
        size_t payload_bytes = fill(payloads[i], 2 * i, i == 2 ? 0 : 200, seed);
        size_t bytes =
            ws_deflate_message(deflate, deflated, sizeof deflated, payloads[i], payload_bytes);
        uint8_t first = WS_COMPRESSED_BIT | WS_TEXT;
        for (size_t at = 0; at < bytes;) {
            size_t part = 1 + test_random(seed) % 60;
            part = part < bytes - at ? part : bytes - at;
            struct frame frame = {first, (char *)deflated + at, part};
            struct frame ping = {FINAL | WS_PING, T("p")};
            frame.first |= at + part == bytes ? FINAL : 0;
            stream_append(stream, &frame, mask);
            first = WS_CONTINUATION;
            at += part;
            if (at < bytes) {
                stream_append(stream, &ping, mask);
                expected[count++] = (struct frame){WS_PING, T("p")};
            }
        }
        expected[count++] = (struct frame){WS_TEXT, (char *)payloads[i], payload_bytes};
    }
    ws_deflate_destroy(deflate);
    return count;
}

struct reader {
    struct ws_decoder decoder;
    struct ws_inflate *inflate;
    uint8_t buffer[WS_DEFLATE_BYTES_MAX(1000)];
    size_t count;
};

static void read_chunk(struct reader *reader, const struct guard_page *guard, const uint8_t *chunk,
                       size_t chunk_bytes, const struct frame *expected)
{
    uint8_t *bytes = guard_page_copy(guard, chunk, chunk_bytes);
    for (;;) {
        size_t consumed;
        struct ws_message message;
        enum ws_status status =
            ws_decode(&reader->decoder, bytes, chunk_bytes, &consumed, &message);
        bytes += consumed;
        chunk_bytes -= consumed;
        if (status == WS_NEED_MORE) {
            return;
        }
        assert_int_equal(status, WS_OK);
        if (message.is_compressed) {
            assert_int_equal(ws_inflate_message(reader->inflate, &message, inflated, 1000), WS_OK);
        }
        assert_int_equal(message.opcode, expected[reader->count].first);
        assert_int_equal(message.payload_bytes, expected[reader->count].payload_bytes);
        assert_memory_equal(message.payload, expected[reader->count].payload,
                            message.payload_bytes);
        reader->count++;
    }
}

static void compressed_messages_arrive_whole_from_every_split_of_the_stream(void **state)
{
    (void)state;
    uint8_t payloads[4][200];
    struct frame expected[200];
    uint64_t seed = TEST_SEED;
    struct stream stream = {.bytes = malloc(TEST_STREAM_BYTES_MAX)};
    struct guard_page guard;
    guard_page_init(&guard, TEST_STREAM_BYTES_MAX);
    for (int keeps_context = 0; keeps_context < 2; keeps_context++) {
        size_t count = write_stream(&stream, expected, payloads, keeps_context, &seed);
        for (size_t split = 0; split <= stream.bytes_count; split++) {
            struct reader reader = {.inflate = make_inflate(keeps_context)};
            ws_decoder_init(&reader.decoder, 1000, true, reader.buffer);
            reader.decoder.inflates = true;
            read_chunk(&reader, &guard, stream.bytes, split, expected);
            read_chunk(&reader, &guard, stream.bytes + split, stream.bytes_count - split, expected);
            assert_int_equal(reader.count, count);
            assert_true(ws_decoder_is_idle(&reader.decoder));
            ws_inflate_destroy(reader.inflate);
        }
    }
    free(stream.bytes);
    guard_page_deinit(&guard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_survive_at_every_level_and_window),
        cmocka_unit_test(what_is_written_keeps_within_its_window),
        cmocka_unit_test(a_message_that_stands_alone_depends_on_itself_only),
        cmocka_unit_test(a_context_makes_the_second_message_short),
        cmocka_unit_test(any_room_is_enough_or_refused_and_nothing_is_written_behind_it),
        cmocka_unit_test(nothing_is_allocated_after_creation),
        cmocka_unit_test(options_out_of_range_are_refused),
        cmocka_unit_test(no_setting_of_zlib_takes_more_room_than_is_given),
        cmocka_unit_test(frames_are_whole_and_say_that_they_are_compressed),
        cmocka_unit_test(a_frame_that_is_short_or_would_not_be_shorter_is_left_plain),
        cmocka_unit_test(a_frame_keeps_within_its_room),
        cmocka_unit_test(the_examples_of_the_rfc_are_read),
        cmocka_unit_test(a_block_that_says_it_is_the_last_may_be_followed_by_others),
        cmocka_unit_test(an_inflated_message_is_limited_to_the_byte),
        cmocka_unit_test(a_bomb_costs_no_more_than_the_limit),
        cmocka_unit_test(what_is_cut_off_is_refused_at_every_length),
        cmocka_unit_test(what_is_corrupt_is_refused_or_read_within_the_limit),
        cmocka_unit_test(text_is_checked_when_it_is_inflated),
        cmocka_unit_test(compressed_messages_arrive_whole_from_every_split_of_the_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
