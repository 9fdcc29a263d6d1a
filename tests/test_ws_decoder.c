#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/ws_decoder.h"
#include "tests/ws_decoder_harness.h"

#define TEST_SPLIT_BYTES_MAX 2000 /* Longer streams are not split at every point. */
#define TEST_SEED UINT64_C(0x3c0de5eed)
#define TEST_RANDOM_ROUNDS 3000

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

struct decoder_case {
    const char *name;
    struct frame frames[12];
    struct frame messages[12]; /* first: the opcode */
    enum ws_status fault;      /* WS_OK: none */
};

static void check_ending(const struct harness *harness, const struct decoder_case *the_case,
                         size_t message_count)
{
    if (harness->fault != the_case->fault || harness->expected_index != message_count) {
        fail_msg("%s: fault %d after %zu messages", the_case->name, (int)harness->fault,
                 harness->expected_index);
    }
    if (harness->fault == WS_OK) {
        assert_true(ws_decoder_is_idle(&harness->decoder));
    }
}

/* The stream fed whole, at every split point and byte by byte. */
static void check_stream(struct harness *harness, const struct decoder_case *the_case,
                         const struct stream *stream, bool expect_mask)
{
    size_t message_count = 0;
    while (message_count < COUNT(the_case->messages) && the_case->messages[message_count].first) {
        message_count++;
    }
    harness_start(harness, the_case->messages, expect_mask);
    harness_feed(harness, stream->bytes, stream->bytes_count);
    check_ending(harness, the_case, message_count);

    size_t step = stream->bytes_count > TEST_SPLIT_BYTES_MAX ? 4999 : 1;
    for (size_t split = 0; split < stream->bytes_count; split += step) {
        harness_start(harness, the_case->messages, expect_mask);
        harness_feed(harness, stream->bytes, split);
        harness_feed(harness, stream->bytes + split, stream->bytes_count - split);
        check_ending(harness, the_case, message_count);
    }
    harness_start(harness, the_case->messages, expect_mask);
    for (size_t i = 0; i < stream->bytes_count; i++) {
        harness_feed(harness, stream->bytes + i, 1);
    }
    check_ending(harness, the_case, message_count);
}

static void run_cases_with(const struct decoder_case *cases, size_t case_count, bool inflates)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    struct harness harness;
    harness_init(&harness);
    harness.inflates = inflates;
    struct stream stream = {.bytes = malloc(TEST_STREAM_BYTES_MAX)};
    for (size_t i = 0; i < case_count; i++) {
        for (int masked = 0; masked < 2; masked++) {
            stream.bytes_count = 0;
            for (size_t j = 0; j < COUNT(cases[i].frames) && cases[i].frames[j].payload; j++) {
                stream_append(&stream, &cases[i].frames[j], masked ? mask : NULL);
            }
            check_stream(&harness, &cases[i], &stream, masked);
        }
    }
    free(stream.bytes);
    harness_deinit(&harness);
}

static void run_cases(const struct decoder_case *cases, size_t case_count)
{
    run_cases_with(cases, case_count, false);
}

/* Section 1: text and binary messages of every length form. */
static void messages_of_every_length_form_arrive(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 7, 8, 9, 125, 126, 127, 128, 65535, 65536, 70000};
    static char payload[TEST_MESSAGE_BYTES_MAX];
    memset(payload, '*', sizeof payload);
    for (size_t i = 0; i < COUNT(lengths); i++) {
        const struct decoder_case cases[] = {
            {"text",
             {{FINAL | WS_TEXT, payload, lengths[i]}},
             {{WS_TEXT, payload, lengths[i]}},
             WS_OK},
            {"binary",
             {{FINAL | WS_BINARY, payload, lengths[i]}, {FINAL | WS_TEXT, T("next")}},
             {{WS_BINARY, payload, lengths[i]}, {WS_TEXT, T("next")}},
             WS_OK},
        };
        run_cases(cases, COUNT(cases));
    }
}

#define BYTES_125                                                                                  \
    "0123456789012345678901234567890123456789012345678901234567890123456789"                       \
    "0123456789012345678901234567890123456789012345678901234"

/* Section 2. */
static const struct decoder_case ping_cases[] = {
    {"2.1 empty", {{FINAL | WS_PING, T("")}}, {{WS_PING, T("")}}, WS_OK},
    {"2.2 text", {{FINAL | WS_PING, T("Hello, world!")}}, {{WS_PING, T("Hello, world!")}}, WS_OK},
    {"2.3 binary",
     {{FINAL | WS_PING, T("\0\xff\xfe\xfd\0\xff")}},
     {{WS_PING, T("\0\xff\xfe\xfd\0\xff")}},
     WS_OK},
    {"2.4 125 bytes", {{FINAL | WS_PING, T(BYTES_125)}}, {{WS_PING, T(BYTES_125)}}, WS_OK},
    {"2.5 126 bytes", {{FINAL | WS_PING, T(BYTES_125 "x")}}, {{0}}, WS_BAD_CONTROL},
    {"2.7 unsolicited pong", {{FINAL | WS_PONG, T("")}}, {{WS_PONG, T("")}}, WS_OK},
    {"2.8 pong, ping",
     {{FINAL | WS_PONG, T("un")}, {FINAL | WS_PING, T("ask")}},
     {{WS_PONG, T("un")}, {WS_PING, T("ask")}},
     WS_OK},
    {"2.10 many",
     {{FINAL | WS_PING, T("1")},
      {FINAL | WS_PING, T("")},
      {FINAL | WS_PING, T("333")},
      {FINAL | WS_PING, T("4")}},
     {{WS_PING, T("1")}, {WS_PING, T("")}, {WS_PING, T("333")}, {WS_PING, T("4")}},
     WS_OK},
    {"pong of 126 bytes", {{FINAL | WS_PONG, T(BYTES_125 "x")}}, {{0}}, WS_BAD_CONTROL},
};

/* Section 3. */
static const struct decoder_case reserved_cases[] = {
    {"3.1", {{FINAL | 0x10 | WS_TEXT, T("Hello")}}, {{0}}, WS_RESERVED_BIT},
    {"3.2",
     {{FINAL | WS_TEXT, T("ok")}, {FINAL | 0x20 | WS_TEXT, T("Hello")}},
     {{WS_TEXT, T("ok")}},
     WS_RESERVED_BIT},
    {"3.3", {{FINAL | 0x30 | WS_BINARY, T("")}}, {{0}}, WS_RESERVED_BIT},
    {"3.4", {{FINAL | 0x40 | WS_TEXT, T("")}}, {{0}}, WS_RESERVED_BIT},
    {"3.5", {{FINAL | 0x50 | WS_PING, T("")}}, {{0}}, WS_RESERVED_BIT},
    {"3.6", {{FINAL | 0x60 | WS_PONG, T("")}}, {{0}}, WS_RESERVED_BIT},
    {"3.7", {{FINAL | 0x70 | WS_CLOSE, T("")}}, {{0}}, WS_RESERVED_BIT},
    {"in a continuation", {{WS_TEXT, T("a")}, {FINAL | 0x40, T("b")}}, {{0}}, WS_RESERVED_BIT},
};

/* Section 5. */
static const struct decoder_case fragment_cases[] = {
    {"5.1 ping", {{WS_PING, T("a")}, {FINAL, T("b")}}, {{0}}, WS_BAD_CONTROL},
    {"5.2 pong", {{WS_PONG, T("a")}, {FINAL, T("b")}}, {{0}}, WS_BAD_CONTROL},
    {"close", {{WS_CLOSE, T("")}}, {{0}}, WS_BAD_CONTROL},
    {"5.3 two", {{WS_TEXT, T("frag")}, {FINAL, T("ment")}}, {{WS_TEXT, T("fragment")}}, WS_OK},
    {"binary",
     {{WS_BINARY, T("\xff")}, {0, T("\0")}, {FINAL, T("\xfe")}},
     {{WS_BINARY, T("\xff\0\xfe")}},
     WS_OK},
    {"5.6 ping between",
     {{WS_TEXT, T("frag")}, {FINAL | WS_PING, T("ping")}, {FINAL, T("ment")}},
     {{WS_PING, T("ping")}, {WS_TEXT, T("fragment")}},
     WS_OK},
    {"close between",
     {{WS_TEXT, T("frag")}, {FINAL | WS_CLOSE, T("\x03\xe8")}, {FINAL, T("ment")}},
     {{WS_CLOSE, T("\x03\xe8")}, {WS_TEXT, T("fragment")}},
     WS_OK},
    {"5.9 continuation first", {{FINAL, T("a")}}, {{0}}, WS_BAD_CONTINUATION},
    {"5.10 not final", {{0, T("a")}}, {{0}}, WS_BAD_CONTINUATION},
    {"5.12 after a message",
     {{FINAL | WS_TEXT, T("a")}, {0, T("b")}},
     {{WS_TEXT, T("a")}},
     WS_BAD_CONTINUATION},
    {"after a fragmented message",
     {{WS_TEXT, T("a")}, {FINAL, T("b")}, {FINAL, T("c")}},
     {{WS_TEXT, T("ab")}},
     WS_BAD_CONTINUATION},
    {"5.18 new message inside",
     {{WS_TEXT, T("a")}, {FINAL | WS_TEXT, T("b")}},
     {{0}},
     WS_BAD_CONTINUATION},
    {"binary inside text", {{WS_TEXT, T("a")}, {WS_BINARY, T("b")}}, {{0}}, WS_BAD_CONTINUATION},
    {"5.19 five with pings",
     {{WS_TEXT, T("1")},
      {0, T("2")},
      {FINAL | WS_PING, T("p")},
      {0, T("3")},
      {0, T("4")},
      {FINAL | WS_PONG, T("q")},
      {FINAL, T("5")}},
     {{WS_PING, T("p")}, {WS_PONG, T("q")}, {WS_TEXT, T("12345")}},
     WS_OK},
    {"6.1.2 three empty",
     {{WS_TEXT, T("")}, {0, T("")}, {FINAL, T("")}},
     {{WS_TEXT, T("")}},
     WS_OK},
    {"6.1.3 empty around",
     {{WS_TEXT, T("")}, {0, T("mid")}, {FINAL, T("")}},
     {{WS_TEXT, T("mid")}},
     WS_OK},
    {"one after another",
     {{WS_TEXT, T("a")},
      {FINAL, T("b")},
      {WS_BINARY, T("c")},
      {FINAL, T("d")},
      {FINAL | WS_TEXT, T("e")}},
     {{WS_TEXT, T("ab")}, {WS_BINARY, T("cd")}, {WS_TEXT, T("e")}},
     WS_OK},
};

/* Section 6. */
static const struct decoder_case utf8_cases[] = {
    {"6.2 across frames",
     {{WS_TEXT, T("Hello-\xc2")}, {FINAL, T("\xb5@\xc3\x9f")}},
     {{WS_TEXT, T("Hello-\xc2\xb5@\xc3\x9f")}},
     WS_OK},
    {"6.2.4 byte by byte",
     {{WS_TEXT, T("\xce")}, {0, T("\xba")}, {0, T("\xe1")}, {0, T("\xbd")}, {FINAL, T("\xb9")}},
     {{WS_TEXT, T("\xce\xba\xe1\xbd\xb9")}},
     WS_OK},
    {"across frames with a ping inside",
     {{WS_TEXT, T("\xf0\x9f")}, {FINAL | WS_PING, T("\xff")}, {FINAL, T("\x93\x88")}},
     {{WS_PING, T("\xff")}, {WS_TEXT, T("\xf0\x9f\x93\x88")}},
     WS_OK},
    {"6.3 surrogate",
     {{FINAL | WS_TEXT, T("\xce\xba\xed\xa0\x80"
                          "edited")}},
     {{0}},
     WS_BAD_UTF8},
    {"6.4.1 in a later frame",
     {{WS_TEXT, T("\xce\xba")}, {0, T("\xf4\x90\x80\x80")}, {FINAL, T("edited")}},
     {{0}},
     WS_BAD_UTF8},
    {"6.6 cut", {{FINAL | WS_TEXT, T("\xce")}}, {{0}}, WS_BAD_UTF8},
    {"cut in fragments", {{WS_TEXT, T("a\xe2")}, {FINAL, T("\x82")}}, {{0}}, WS_BAD_UTF8},
    {"cut, then empty", {{WS_TEXT, T("a\xe2")}, {FINAL, T("")}}, {{0}}, WS_BAD_UTF8},
    {"6.7 range",
     {{FINAL | WS_TEXT, T("\0\x7f\xc2\x80\xef\xbf\xbf\xf4\x8f\xbf\xbf")}},
     {{WS_TEXT, T("\0\x7f\xc2\x80\xef\xbf\xbf\xf4\x8f\xbf\xbf")}},
     WS_OK},
    {"6.12 continuation only", {{FINAL | WS_TEXT, T("\x80\xbf")}}, {{0}}, WS_BAD_UTF8},
    {"6.18 overlong", {{FINAL | WS_TEXT, T("\xc0\xaf")}}, {{0}}, WS_BAD_UTF8},
    {"6.18 overlong 3", {{FINAL | WS_TEXT, T("\xe0\x80\xaf")}}, {{0}}, WS_BAD_UTF8},
    {"6.18 overlong 4", {{FINAL | WS_TEXT, T("\xf0\x80\x80\xaf")}}, {{0}}, WS_BAD_UTF8},
    {"6.21 above the range", {{FINAL | WS_TEXT, T("\xf5\x80\x80\x80")}}, {{0}}, WS_BAD_UTF8},
    {"a binary message may hold anything",
     {{FINAL | WS_BINARY, T("\xce\xff")}},
     {{WS_BINARY, T("\xce\xff")}},
     WS_OK},
    {"binary fragments may hold anything",
     {{WS_BINARY, T("\xce")}, {FINAL, T("\xff")}},
     {{WS_BINARY, T("\xce\xff")}},
     WS_OK},
    {"a text after a fragmented binary is checked anew",
     {{WS_BINARY, T("\xce")}, {FINAL, T("\xff")}, {WS_TEXT, T("a")}, {FINAL, T("\xff")}},
     {{WS_BINARY, T("\xce\xff")}},
     WS_BAD_UTF8},
};

/* Section 7. */
static const struct decoder_case close_cases[] = {
    {"7.3.1 empty", {{FINAL | WS_CLOSE, T("")}}, {{WS_CLOSE, T("")}}, WS_OK},
    {"7.3.2 one byte", {{FINAL | WS_CLOSE, T("\x03")}}, {{0}}, WS_BAD_CLOSE},
    {"7.3.3 code", {{FINAL | WS_CLOSE, T("\x03\xe8")}}, {{WS_CLOSE, T("\x03\xe8")}}, WS_OK},
    {"7.3.4 reason",
     {{FINAL | WS_CLOSE, T("\x03\xe8Hello")}},
     {{WS_CLOSE, T("\x03\xe8Hello")}},
     WS_OK},
    {"7.3.6 126 bytes", {{FINAL | WS_CLOSE, T(BYTES_125 "x")}}, {{0}}, WS_BAD_CONTROL},
    {"7.5 reason not UTF-8",
     {{FINAL | WS_CLOSE, T("\x03\xe8\xce\xed\xa0\x80")}},
     {{0}},
     WS_BAD_UTF8},
    {"reason cut", {{FINAL | WS_CLOSE, T("\x03\xe8\xe2\x82")}}, {{0}}, WS_BAD_UTF8},
};

#define RSV1 0x40

/* Where permessage-deflate is agreed on. What is compressed is handed out as it came. */
static const struct decoder_case compressed_cases[] = {
    {"a text that is no UTF-8 yet",
     {{FINAL | RSV1 | WS_TEXT, T("\xff\x00")}, {FINAL | WS_TEXT, T("plain")}},
     {{RSV1 | WS_TEXT, T("\xff\x00")}, {WS_TEXT, T("plain")}},
     WS_OK},
    {"binary", {{FINAL | RSV1 | WS_BINARY, T("x")}}, {{RSV1 | WS_BINARY, T("x")}}, WS_OK},
    {"empty", {{FINAL | RSV1 | WS_TEXT, T("")}}, {{RSV1 | WS_TEXT, T("")}}, WS_OK},
    {"fragments with a ping between",
     {{RSV1 | WS_TEXT, T("\xff")},
      {FINAL | WS_PING, T("ping")},
      {0, T("\xfe")},
      {FINAL, T("\xfd")},
      {WS_TEXT, T("pl")},
      {FINAL, T("ain")}},
     {{WS_PING, T("ping")}, {RSV1 | WS_TEXT, T("\xff\xfe\xfd")}, {WS_TEXT, T("plain")}},
     WS_OK},
    {"empty fragments",
     {{RSV1 | WS_BINARY, T("")}, {0, T("")}, {FINAL, T("")}},
     {{RSV1 | WS_BINARY, T("")}},
     WS_OK},
    {"plain text is checked as ever",
     {{FINAL | RSV1 | WS_TEXT, T("\xff")}, {FINAL | WS_TEXT, T("\xff")}},
     {{RSV1 | WS_TEXT, T("\xff")}},
     WS_BAD_UTF8},
    {"plain fragments after compressed ones too",
     {{RSV1 | WS_TEXT, T("\xff")}, {FINAL, T("")}, {WS_TEXT, T("a")}, {FINAL, T("\xff")}},
     {{RSV1 | WS_TEXT, T("\xff")}},
     WS_BAD_UTF8},
    {"RSV1 in a continuation",
     {{RSV1 | WS_TEXT, T("a")}, {FINAL | RSV1, T("b")}},
     {{0}},
     WS_RESERVED_BIT},
    {"RSV1 in the continuation of a plain message",
     {{WS_TEXT, T("a")}, {FINAL | RSV1, T("b")}},
     {{0}},
     WS_RESERVED_BIT},
    {"RSV1 in a ping", {{FINAL | RSV1 | WS_PING, T("")}}, {{0}}, WS_RESERVED_BIT},
    {"RSV1 in a pong", {{FINAL | RSV1 | WS_PONG, T("")}}, {{0}}, WS_RESERVED_BIT},
    {"RSV1 in a close", {{FINAL | RSV1 | WS_CLOSE, T("")}}, {{0}}, WS_RESERVED_BIT},
    {"RSV1 with a reserved opcode", {{FINAL | RSV1 | 3, T("")}}, {{0}}, WS_RESERVED_BIT},
    {"RSV2", {{FINAL | 0x20 | WS_TEXT, T("a")}}, {{0}}, WS_RESERVED_BIT},
    {"RSV1 and RSV3", {{FINAL | 0x50 | WS_TEXT, T("a")}}, {{0}}, WS_RESERVED_BIT},
    {"a message inside a compressed one",
     {{RSV1 | WS_TEXT, T("a")}, {FINAL | RSV1 | WS_TEXT, T("b")}},
     {{0}},
     WS_BAD_CONTINUATION},
};

static void rsv1_marks_the_first_frame_of_a_compressed_message(void **state)
{
    (void)state;
    run_cases_with(compressed_cases, COUNT(compressed_cases), true);
}

static void what_is_compressed_may_be_longer_than_a_message_but_not_much(void **state)
{
    (void)state;
    static char payload[WS_DEFLATE_BYTES_MAX(TEST_MESSAGE_BYTES_MAX) + 1];
    const size_t most = sizeof payload - 1;
    const struct decoder_case cases[] = {
        {"one frame",
         {{FINAL | RSV1 | WS_BINARY, payload, most}},
         {{RSV1 | WS_BINARY, payload, most}},
         WS_OK},
        {"fragments",
         {{RSV1 | WS_BINARY, payload, most - 7}, {FINAL, payload, 7}},
         {{RSV1 | WS_BINARY, payload, most}},
         WS_OK},
        {"one byte more", {{FINAL | RSV1 | WS_BINARY, payload, most + 1}}, {{0}}, WS_TOO_LONG},
        {"in a fragment", {{RSV1 | WS_TEXT, payload, most}, {FINAL, T("x")}}, {{0}}, WS_TOO_LONG},
        {"plain", {{FINAL | WS_BINARY, payload, TEST_MESSAGE_BYTES_MAX + 1}}, {{0}}, WS_TOO_LONG},
        {"plain fragments after a compressed message",
         {{RSV1 | WS_BINARY, T("a")},
          {FINAL, T("b")},
          {WS_BINARY, payload, TEST_MESSAGE_BYTES_MAX},
          {FINAL, T("x")}},
         {{RSV1 | WS_BINARY, T("ab")}},
         WS_TOO_LONG},
    };
    run_cases_with(cases, COUNT(cases), true);
}

static void pings_and_pongs_follow_the_rules(void **state)
{
    (void)state;
    run_cases(ping_cases, COUNT(ping_cases));
}

static void reserved_bits_are_refused(void **state)
{
    (void)state;
    run_cases(reserved_cases, COUNT(reserved_cases));
}

/* Section 4. */
static void reserved_opcodes_are_refused(void **state)
{
    (void)state;
    static const uint8_t opcodes[] = {3, 4, 5, 6, 7, 11, 12, 13, 14, 15};
    for (size_t i = 0; i < COUNT(opcodes); i++) {
        const struct decoder_case cases[] = {
            {"alone", {{FINAL | opcodes[i], T("x")}}, {{0}}, WS_BAD_OPCODE},
            {"not final", {{opcodes[i], T("")}}, {{0}}, WS_BAD_OPCODE},
            {"after a message",
             {{FINAL | WS_TEXT, T("Hello")}, {FINAL | opcodes[i], T("")}},
             {{WS_TEXT, T("Hello")}},
             WS_BAD_OPCODE},
        };
        run_cases(cases, COUNT(cases));
    }
}

static void fragments_are_put_together_and_kept_in_order(void **state)
{
    (void)state;
    run_cases(fragment_cases, COUNT(fragment_cases));
}

static void texts_must_be_utf8_across_fragments(void **state)
{
    (void)state;
    run_cases(utf8_cases, COUNT(utf8_cases));
}

static void close_frames_follow_the_rules(void **state)
{
    (void)state;
    run_cases(close_cases, COUNT(close_cases));
}

static void only_close_codes_that_may_be_sent_are_accepted(void **state)
{
    (void)state;
    for (uint32_t code = 0; code <= UINT16_MAX; code++) {
        uint8_t frame[4] = {FINAL | WS_CLOSE, 2, (uint8_t)(code >> 8), (uint8_t)code};
        bool is_valid =
            (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
            (code >= 3000 && code < 5000);
        struct ws_decoder decoder;
        struct ws_message message;
        size_t consumed;
        ws_decoder_init(&decoder, 1024, false, NULL);
        enum ws_status status = ws_decode(&decoder, frame, sizeof frame, &consumed, &message);
        assert_int_equal(status, is_valid ? WS_OK : WS_BAD_CLOSE);
    }
}

struct header_case {
    const char *bytes;
    size_t bytes_count; /* The verdict must need no more. */
    enum ws_status status;
};

/* Judged by a server whose messages have at most 1000 bytes. */
static const struct header_case header_cases[] = {
    {T("\x81\x05"), WS_NOT_MASKED},
    {T("\x81\xfe\x00\x7d"), WS_BAD_LENGTH},
    {T("\x81\xff\x00\x00\x00\x00\x00\x00\xff\xff"), WS_BAD_LENGTH},
    {T("\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00"), WS_BAD_LENGTH},
    {T("\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff"), WS_BAD_LENGTH},
    {T("\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff"), WS_TOO_LONG},
    {T("\x81\xfe\x03\xe9"), WS_TOO_LONG},
    {T("\x89\xfe"), WS_BAD_CONTROL},
    {T("\x88\xff"), WS_BAD_CONTROL},
    {T("\x09"), WS_BAD_CONTROL},
    {T("\xc1"), WS_RESERVED_BIT},
    {T("\x83"), WS_BAD_OPCODE},
    {T("\x80"), WS_BAD_CONTINUATION},
    /* One byte, then 1000 more. */
    {T("\x01\x81mask\x00\x80\xfe\x03\xe8"), WS_TOO_LONG},
};

static void headers_are_refused_at_the_first_byte_that_tells(void **state)
{
    (void)state;
    uint8_t buffer[1000];
    for (size_t i = 0; i < COUNT(header_cases); i++) {
        const struct header_case *the_case = &header_cases[i];
        struct ws_decoder decoder;
        struct ws_message message;
        ws_decoder_init(&decoder, sizeof buffer, true, buffer);
        for (size_t at = 0; at < the_case->bytes_count; at++) {
            uint8_t byte = (uint8_t)the_case->bytes[at];
            size_t consumed;
            enum ws_status status = ws_decode(&decoder, &byte, 1, &consumed, &message);
            bool is_last = at + 1 == the_case->bytes_count;
            assert_int_equal(status, is_last ? the_case->status : WS_NEED_MORE);
        }
    }
}

static void a_client_refuses_masked_frames(void **state)
{
    (void)state;
    uint8_t frame[] = {0x81, 0x80, 1, 2, 3, 4};
    struct ws_decoder decoder;
    struct ws_message message;
    size_t consumed;
    ws_decoder_init(&decoder, 1024, false, NULL);
    assert_int_equal(ws_decode(&decoder, frame, sizeof frame, &consumed, &message), WS_NOT_MASKED);
}

static void bad_utf8_is_refused_before_its_frame_is_complete(void **state)
{
    (void)state;
    uint8_t buffer[1024];
    uint8_t start[] = {0x81, 0x7e, 0x03, 0x00, 'o', 'k', 0xf4};
    uint8_t next[] = {0x90};
    struct ws_decoder decoder;
    struct ws_message message;
    size_t consumed;
    ws_decoder_init(&decoder, sizeof buffer, false, buffer);
    assert_int_equal(ws_decode(&decoder, start, sizeof start, &consumed, &message), WS_NEED_MORE);
    assert_int_equal(ws_decode(&decoder, next, sizeof next, &consumed, &message), WS_BAD_UTF8);
}

static void a_whole_frame_is_handed_out_where_it_lies(void **state)
{
    (void)state;
    uint8_t bytes[] = {0x81, 0x82, 0, 0, 0, 0, 'h', 'i', 0x89, 0x80, 0, 0, 0, 0};
    struct ws_decoder decoder;
    struct ws_message message;
    size_t consumed;
    ws_decoder_init(&decoder, 1024, true, NULL);
    assert_int_equal(ws_decode(&decoder, bytes, sizeof bytes, &consumed, &message), WS_OK);
    assert_ptr_equal(message.payload, bytes + 6);
    assert_int_equal(consumed, 8);
    assert_true(ws_decoder_is_idle(&decoder));
}

static void a_buffer_is_asked_for_only_when_payload_must_wait(void **state)
{
    (void)state;
    uint8_t bytes[] = {0x81, 0x82, 0, 0, 0, 0, 'h', 'i'};
    struct ws_decoder decoder;
    struct ws_message message;
    size_t consumed;
    for (size_t split = 1; split < sizeof bytes; split++) {
        ws_decoder_init(&decoder, 1024, true, NULL);
        enum ws_status status = ws_decode(&decoder, bytes, split, &consumed, &message);
        assert_int_equal(status, split <= 6 ? WS_NEED_MORE : WS_NEED_BUFFER);
        assert_int_equal(consumed, split <= 6 ? split : 6);
        assert_false(ws_decoder_is_idle(&decoder));
        if (split <= 6) {
            status = ws_decode(&decoder, bytes + split, sizeof bytes - split, &consumed, &message);
            assert_int_equal(status, WS_OK);
            assert_ptr_equal(message.payload, bytes + 6);
        }
    }
}

static void no_bytes_are_no_message(void **state)
{
    (void)state;
    struct ws_decoder decoder;
    struct ws_message message;
    size_t consumed = 1;
    ws_decoder_init(&decoder, 1024, true, NULL);
    assert_int_equal(ws_decode(&decoder, NULL, 0, &consumed, &message), WS_NEED_MORE);
    assert_int_equal(consumed, 0);
    assert_true(ws_decoder_is_idle(&decoder));
}

static void every_fault_has_a_close_code_and_a_phrase(void **state)
{
    (void)state;
    for (unsigned status = 0; status < WS_STATUS_COUNT; status++) {
        bool is_fault = status > WS_NEED_BUFFER;
        uint16_t code = ws_status_close_code((enum ws_status)status);
        assert_true(is_fault ? code >= 1002 && code <= 1009 : code == 0);
        size_t text_bytes = strlen(ws_status_text((enum ws_status)status));
        assert_in_range(text_bytes, 1, WS_CLOSE_REASON_BYTES_MAX);
    }
}

static uint64_t test_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static uint64_t test_random_below(uint64_t *seed, uint64_t bound)
{
    return test_random(seed) % bound;
}

/* Writes a message as random fragments with pings between them. Returns the messages that are
 * expected, in order. */
static size_t append_random_message(struct stream *stream, uint64_t *seed,
                                    const struct frame *message, bool masked,
                                    struct frame *expected)
{
    size_t expected_count = 0;
    size_t at = 0;
    uint8_t opcode = message->first;
    bool is_last;
    do {
        uint32_t mask = (uint32_t)test_random(seed);
        size_t left = message->payload_bytes - at;
        size_t part = test_random_below(seed, 2) ? left : test_random_below(seed, left + 1);
        is_last = part == left && test_random_below(seed, 4) > 0;
        struct frame frame = {(uint8_t)(opcode | (is_last ? FINAL : 0)), message->payload + at,
                              part};
        stream_append(stream, &frame, masked ? (uint8_t *)&mask : NULL);
        opcode = WS_CONTINUATION;
        at += part;
        if (!is_last && expected_count < 3 && test_random_below(seed, 3) == 0) {
            struct frame ping = {FINAL | WS_PING, T("between")};
            stream_append(stream, &ping, masked ? (uint8_t *)&mask : NULL);
            expected[expected_count++] = (struct frame){WS_PING, T("between")};
        }
    } while (!is_last);
    expected[expected_count++] = *message;
    return expected_count;
}

/* Valid UTF-8 of some length up to a bound, also two- and three-byte characters. */
static size_t random_text(char *text, uint64_t *seed, size_t bytes_max)
{
    size_t bytes = 0;
    size_t wanted = test_random_below(seed, bytes_max - 2);
    while (bytes < wanted) {
        switch (test_random_below(seed, 8)) {
        case 0:
            memcpy(text + bytes, "\xc3\xa9", 2);
            bytes += 2;
            break;
        case 1:
            memcpy(text + bytes, "\xe5\xb9\xb3", 3);
            bytes += 3;
            break;
        default:
            text[bytes++] = (char)('a' + test_random_below(seed, 26));
        }
    }
    return bytes;
}

static void check_random_stream(struct harness *harness, struct stream *stream, uint64_t *seed)
{
    static char texts[4][1024];
    struct frame expected[16];
    size_t expected_count = 0;
    bool masked = test_random_below(seed, 2) > 0;
    stream->bytes_count = 0;
    for (int i = 0; i < 4; i++) {
        size_t bytes_max = test_random_below(seed, 3) ? 200 : sizeof texts[i];
        struct frame message = {test_random_below(seed, 2) ? WS_TEXT : WS_BINARY, texts[i],
                                random_text(texts[i], seed, bytes_max)};
        expected_count +=
            append_random_message(stream, seed, &message, masked, expected + expected_count);
    }
    harness_start(harness, expected, masked);
    for (size_t at = 0; at < stream->bytes_count;) {
        size_t left = stream->bytes_count - at;
        size_t chunk = 1 + test_random_below(seed, test_random_below(seed, 2) ? 16 : left);
        chunk = chunk < left ? chunk : left;
        harness_feed(harness, stream->bytes + at, chunk);
        at += chunk;
    }
    assert_int_equal(harness->fault, WS_OK);
    assert_int_equal(harness->expected_index, expected_count);
    assert_true(ws_decoder_is_idle(&harness->decoder));
}

static void random_messages_survive_random_fragments_masks_and_splits(void **state)
{
    (void)state;
    uint64_t seed = TEST_SEED;
    struct harness harness;
    harness_init(&harness);
    struct stream stream = {.bytes = malloc(TEST_STREAM_BYTES_MAX)};
    for (int round = 0; round < TEST_RANDOM_ROUNDS; round++) {
        if (round % 1000 == 0) {
            print_message("round %d: seed %#llx\n", round, (unsigned long long)seed);
        }
        check_random_stream(&harness, &stream, &seed);
    }
    free(stream.bytes);
    harness_deinit(&harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_of_every_length_form_arrive),
        cmocka_unit_test(pings_and_pongs_follow_the_rules),
        cmocka_unit_test(reserved_bits_are_refused),
        cmocka_unit_test(rsv1_marks_the_first_frame_of_a_compressed_message),
        cmocka_unit_test(what_is_compressed_may_be_longer_than_a_message_but_not_much),
        cmocka_unit_test(reserved_opcodes_are_refused),
        cmocka_unit_test(fragments_are_put_together_and_kept_in_order),
        cmocka_unit_test(texts_must_be_utf8_across_fragments),
        cmocka_unit_test(close_frames_follow_the_rules),
        cmocka_unit_test(only_close_codes_that_may_be_sent_are_accepted),
        cmocka_unit_test(headers_are_refused_at_the_first_byte_that_tells),
        cmocka_unit_test(a_client_refuses_masked_frames),
        cmocka_unit_test(bad_utf8_is_refused_before_its_frame_is_complete),
        cmocka_unit_test(a_whole_frame_is_handed_out_where_it_lies),
        cmocka_unit_test(a_buffer_is_asked_for_only_when_payload_must_wait),
        cmocka_unit_test(no_bytes_are_no_message),
        cmocka_unit_test(every_fault_has_a_close_code_and_a_phrase),
        cmocka_unit_test(random_messages_survive_random_fragments_masks_and_splits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
