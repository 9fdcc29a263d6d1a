#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "codec/utf8.h"
#include "codec/ws_frame.h"
#include "tests/guard_page.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const uint8_t test_mask[4] = {0x37, 0xfa, 0x21, 0x3d};

static void headers_have_the_shortest_length_form(void **state)
{
    (void)state;
    static const struct {
        uint64_t payload_bytes;
        size_t header_bytes;
        uint8_t header[10];
    } cases[] = {
        {0, 2, {0x82, 0}},
        {125, 2, {0x82, 125}},
        {126, 4, {0x82, 126, 0, 126}},
        {65535, 4, {0x82, 126, 0xff, 0xff}},
        {65536, 10, {0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0}},
        {INT64_MAX, 10, {0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint8_t header[WS_HEADER_BYTES_MAX];
        size_t bytes = ws_frame_header(header, WS_BINARY, cases[i].payload_bytes);
        assert_int_equal(bytes, cases[i].header_bytes);
        assert_memory_equal(header, cases[i].header, bytes);

        bytes = ws_frame_client_header(header, WS_BINARY, cases[i].payload_bytes, test_mask);
        assert_int_equal(bytes, cases[i].header_bytes + 4);
        assert_int_equal(header[1], cases[i].header[1] | 0x80);
        assert_memory_equal(header + bytes - 4, test_mask, 4);
    }
}

static void the_examples_of_the_rfc_are_written_to_the_letter(void **state)
{
    (void)state;
    static const uint8_t unmasked[] = {0x81, 0x05, 'H', 'e', 'l', 'l', 'o'};
    static const uint8_t masked[] = {0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d,
                                     0x7f, 0x9f, 0x4d, 0x51, 0x58};
    uint8_t frame[16];
    memcpy(frame + WS_FRAME_FINISH_GAP, "Hello", 5);
    assert_int_equal(ws_frame_finish(frame, WS_TEXT, 5), sizeof unmasked);
    assert_memory_equal(frame, unmasked, sizeof unmasked);

    size_t header_bytes = ws_frame_client_header(frame, WS_TEXT, 5, test_mask);
    memcpy(frame + header_bytes, "Hello", 5);
    ws_frame_mask(frame + header_bytes, 5, test_mask, 0);
    assert_int_equal(header_bytes + 5, sizeof masked);
    assert_memory_equal(frame, masked, sizeof masked);
}

static void masking_agrees_with_the_definition_at_every_length_and_offset(void **state)
{
    (void)state;
    struct guard_page guard;
    guard_page_init(&guard, 256);
    for (size_t count = 0; count < 80; count++) {
        for (uint64_t offset = 0; offset < 9; offset++) {
            uint8_t *bytes = guard_page_tail(&guard, count + 1);
            for (size_t i = 0; i < count; i++) {
                bytes[i] = (uint8_t)(i * 7 + 3);
            }
            bytes[count] = 0xee;
            ws_frame_mask(bytes, count, test_mask, offset);
            for (size_t i = 0; i < count; i++) {
                assert_int_equal(bytes[i], (uint8_t)(i * 7 + 3) ^ test_mask[(offset + i) % 4]);
            }
            assert_int_equal(bytes[count], 0xee);
        }
    }
    guard_page_deinit(&guard);
}

static void masking_in_parts_is_masking_the_whole(void **state)
{
    (void)state;
    uint8_t whole[53];
    memset(whole, 0x5a, sizeof whole);
    ws_frame_mask(whole, sizeof whole, test_mask, 0);
    for (size_t split = 0; split <= sizeof whole; split++) {
        uint8_t parts[sizeof whole];
        memset(parts, 0x5a, sizeof parts);
        ws_frame_mask(parts, split, test_mask, 0);
        ws_frame_mask(parts + split, sizeof parts - split, test_mask, split);
        assert_memory_equal(parts, whole, sizeof whole);
    }
}

static void a_finished_frame_begins_at_its_first_byte(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 125, 126, 127, 1000, WS_FRAME_FINISH_BYTES_MAX};
    struct guard_page guard;
    guard_page_init(&guard, WS_FRAME_FINISH_GAP + WS_FRAME_FINISH_BYTES_MAX);
    for (size_t i = 0; i < COUNT(lengths); i++) {
        uint8_t *frame = guard_page_tail(&guard, WS_FRAME_FINISH_GAP + lengths[i]);
        for (size_t j = 0; j < lengths[i]; j++) {
            frame[WS_FRAME_FINISH_GAP + j] = (uint8_t)(j * 31);
        }
        uint8_t header[WS_HEADER_BYTES_MAX];
        size_t header_bytes = ws_frame_header(header, WS_TEXT, lengths[i]);
        assert_int_equal(ws_frame_finish(frame, WS_TEXT, lengths[i]), header_bytes + lengths[i]);
        assert_memory_equal(frame, header, header_bytes);
        for (size_t j = 0; j < lengths[i]; j++) {
            assert_int_equal(frame[header_bytes + j], (uint8_t)(j * 31));
        }
    }
    guard_page_deinit(&guard);
}

static void a_close_payload_is_code_and_reason(void **state)
{
    (void)state;
    uint8_t out[WS_CONTROL_BYTES_MAX];
    assert_int_equal(ws_frame_close_payload(out, 4201, "drain"), 7);
    assert_memory_equal(out,
                        "\x10\x69"
                        "drain",
                        7);
    assert_int_equal(ws_frame_close_payload(out, 1000, ""), 2);
}

static void a_long_reason_is_cut_between_characters(void **state)
{
    (void)state;
    for (size_t ascii_bytes = 115; ascii_bytes <= 125; ascii_bytes++) {
        char reason[200];
        memset(reason, 'a', ascii_bytes);
        strcpy(reason + ascii_bytes, "\xe4\xb8\xad\xf0\x9f\x93\x88\xc3\xa9 tail");
        uint8_t out[WS_CONTROL_BYTES_MAX];
        size_t bytes = ws_frame_close_payload(out, 1000, reason);
        assert_in_range(bytes, WS_CONTROL_BYTES_MAX - 3, WS_CONTROL_BYTES_MAX);
        assert_memory_equal(out + 2, reason, bytes - 2);
        assert_true(utf8_is_valid(out + 2, bytes - 2));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_have_the_shortest_length_form),
        cmocka_unit_test(the_examples_of_the_rfc_are_written_to_the_letter),
        cmocka_unit_test(masking_agrees_with_the_definition_at_every_length_and_offset),
        cmocka_unit_test(masking_in_parts_is_masking_the_whole),
        cmocka_unit_test(a_finished_frame_begins_at_its_first_byte),
        cmocka_unit_test(a_close_payload_is_code_and_reason),
        cmocka_unit_test(a_long_reason_is_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
