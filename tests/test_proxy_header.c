#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "codec/proxy_header.h"
#include "tests/guard_page.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\xc0\x00\x02\x01\x0a\x00\x00\x01\xdc\x04\x22\x3d"
#define V6                                                                                         \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"                                                   \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x08"                                                   \
    "\xdc\x04\x22\x3d"
/* A NOOP of three bytes. */
#define NOOP                                                                                       \
    "\x04\x00\x03"                                                                                 \
    "abc"

struct proxy_case {
    const char *bytes;
    size_t count; /* of the header */
    enum proxy_status status;
    const char *source; /* NULL: none */
    uint16_t port;
};
#define CASE(text, status, source, port)                                                           \
    {                                                                                              \
        text, sizeof text - 1, status, source, port                                                \
    }

static const struct proxy_case proxy_cases[] = {
    CASE("PROXY TCP4 192.0.2.1 10.0.0.1 56324 8765\r\n", PROXY_OK, "192.0.2.1", 56324),
    CASE("PROXY TCP6 2001:db8::7 ::1 1 65535\r\n", PROXY_OK, "2001:db8::7", 1),
    CASE("PROXY TCP6 ::ffff:192.0.2.1 ::1 0 0\r\n", PROXY_OK, "192.0.2.1", 0),
    CASE("PROXY UNKNOWN\r\n", PROXY_OK, NULL, 0),
    CASE("PROXY UNKNOWN ffff:f...f:ffff whatever\r\n", PROXY_OK, NULL, 0),
    CASE(SIGNATURE "\x21\x11\x00\x0c" V4, PROXY_OK, "192.0.2.1", 56324),
    CASE(SIGNATURE "\x21\x11\x00\x12" V4 NOOP, PROXY_OK, "192.0.2.1", 56324),
    CASE(SIGNATURE "\x21\x21\x00\x24" V6, PROXY_OK, "2001:db8::7", 56324),
    CASE(SIGNATURE "\x20\x00\x00\x00", PROXY_OK, NULL, 0),
    CASE(SIGNATURE "\x20\x11\x00\x0c" V4, PROXY_OK, NULL, 0),
    CASE(SIGNATURE "\x21\x00\x00\x03xyz", PROXY_OK, NULL, 0),

    CASE("GET / HTTP/1.1\r\n", PROXY_ABSENT, NULL, 0),
    CASE("proxy TCP4 192.0.2.1 10.0.0.1 56324 8765\r\n", PROXY_ABSENT, NULL, 0),
    CASE("\r\n\r\n\0\r\nQUIX\n", PROXY_ABSENT, NULL, 0),
    CASE("PROXY\tTCP4", PROXY_ABSENT, NULL, 0),

    CASE("PROXY \r\n", PROXY_BAD, NULL, 0),
    CASE("PROXY TCP5 192.0.2.1 10.0.0.1 56324 8765\r\n", PROXY_BAD, NULL, 0),
    CASE("PROXY TCP4 2001:db8::7 ::1 1 2\r\n", PROXY_BAD, NULL, 0),
    CASE("PROXY TCP6 192.0.2.1 10.0.0.1 1 2\r\n", PROXY_BAD, NULL, 0),
    CASE("PROXY TCP4 192.0.2.1 10.0.0.1 56324\r\n", PROXY_BAD, NULL, 0),
    CASE("PROXY TCP4 192.0.2.1 10.0.0.1 56324 8765 9\r\n", PROXY_BAD, NULL, 0),
    CASE("PROXY TCP4 192.0.2.1 10.0.0.1 56324 8765 \r\n", PROXY_BAD, NULL, 0),
    CASE("PROXY TCP4  192.0.2.1 10.0.0.1 56324 8765\r\n", PROXY_BAD, NULL, 0),
    CASE("PROXY TCP4 192.0.2.1 10.0.0.1 65536 8765\r\n", PROXY_BAD, NULL, 0),
    CASE("PROXY TCP4 192.0.2.1 10.0.0.1 056324 8765\r\n", PROXY_BAD, NULL, 0),
    CASE("PROXY TCP4 192.0.2.1 10.0.0.1 01 8765\r\n", PROXY_BAD, NULL, 0),
    CASE("PROXY TCP4 192.0.2.1 10.0.0.1 -1 8765\r\n", PROXY_BAD, NULL, 0),
    CASE("PROXY TCP4 192.0.2.1 10.0.0.1 56324 8765\n", PROXY_BAD, NULL, 0),
    CASE(SIGNATURE "\x11\x11\x00\x0c" V4, PROXY_BAD, NULL, 0), /* version 1 */
    CASE(SIGNATURE "\x22\x11\x00\x0c" V4, PROXY_BAD, NULL, 0), /* no such command */
    CASE(SIGNATURE "\x21\x12\x00\x0c" V4, PROXY_BAD, NULL, 0), /* datagrams */
    CASE(SIGNATURE "\x21\x41\x00\x0c" V4, PROXY_BAD, NULL, 0),
    CASE(SIGNATURE "\x21\x11\x00\x0b\xc0\x00\x02\x01\x0a\x00\x00\x01\xdc\x04\x22", PROXY_BAD, NULL,
         0),
    CASE(SIGNATURE "\x21\x21\x00\x0c" V4, PROXY_BAD, NULL, 0),
    CASE(SIGNATURE "\x21\x11\x00\x0e" V4 "\x04\x00", PROXY_BAD, NULL, 0), /* half a TLV */
    CASE(SIGNATURE "\x21\x11\x00\x10" V4 "\x04\x00\x02x", PROXY_BAD, NULL, 0),
    CASE(SIGNATURE "\x21\x11\x00\x10" V4 "\x03\x00\x01x", PROXY_BAD, NULL, 0),
    CASE(SIGNATURE "\x21\x11\xff\xff", PROXY_BAD, NULL, 0), /* too long, told at once */
};

/* Each case, followed by the client's bytes, before an unreadable page and at every split. */
static void every_split_gives_the_same_verdict(void **state)
{
    (void)state;
    struct guard_page guard;
    guard_page_init(&guard, 256);
    for (size_t i = 0; i < sizeof proxy_cases / sizeof proxy_cases[0]; i++) {
        const struct proxy_case *one = &proxy_cases[i];
        for (size_t count = 0; count < one->count; count++) {
            struct proxy_header header;
            enum proxy_status status =
                proxy_header_parse(guard_page_copy(&guard, one->bytes, count), count, &header);
            if (status != PROXY_NEED_MORE && (one->status == PROXY_OK || status != one->status)) {
                fail_msg("case %zu, the first %zu bytes: %d", i, count, status);
            }
        }
        uint8_t whole[256];
        struct proxy_header header = {0};
        memcpy(whole, one->bytes, one->count);
        memcpy(whole + one->count, "GET /", 5);
        size_t whole_bytes = one->count + 5;
        enum proxy_status status =
            proxy_header_parse(guard_page_copy(&guard, whole, whole_bytes), whole_bytes, &header);
        if (status != one->status) {
            fail_msg("case %zu: %d", i, status);
        }
        if (status != PROXY_OK) {
            continue;
        }
        assert_int_equal(header.header_bytes, one->count);
        assert_int_equal(header.has_source, one->source != NULL);
        if (one->source != NULL) {
            char text[IP_ADDRESS_TEXT_BYTES_MAX];
            ip_address_format(&header.source, text);
            assert_string_equal(text, one->source);
            assert_int_equal(header.source_port, one->port);
        }
    }
    guard_page_deinit(&guard);
}

static void a_checksum_is_checked_where_there_is_one(void **state)
{
    (void)state;
    /* The checksum is that of an independent, table-driven CRC-32C. */
    static const uint8_t good[] = SIGNATURE "\x21\x11\x00\x19" V4 NOOP "\x03\x00\x04"
                                            "\x4a\x9b\xea\x59";
    struct proxy_header header;
    uint8_t bytes[sizeof good - 1];
    memcpy(bytes, good, sizeof bytes);
    assert_int_equal(proxy_header_parse(bytes, sizeof bytes, &header), PROXY_OK);
    for (size_t i = 16; i < sizeof bytes; i++) {
        if (i == sizeof bytes - 7) {
            continue; /* Then it is no checksum any more. */
        }
        bytes[i] ^= 0x10; /* A source, a length, a value, the checksum. */
        assert_int_not_equal(proxy_header_parse(bytes, sizeof bytes, &header), PROXY_OK);
        bytes[i] ^= 0x10;
    }
}

static void a_line_without_end_is_refused_at_its_limit(void **state)
{
    (void)state;
    uint8_t bytes[200];
    struct proxy_header header;
    memset(bytes, 'x', sizeof bytes);
    memcpy(bytes, "PROXY UNKNOWN ", 14);
    assert_int_equal(proxy_header_parse(bytes, 106, &header), PROXY_NEED_MORE);
    assert_int_equal(proxy_header_parse(bytes, 107, &header), PROXY_BAD);
    memcpy(bytes + 105, "\r\n", 2);
    assert_int_equal(proxy_header_parse(bytes, sizeof bytes, &header), PROXY_OK);
    assert_int_equal(header.header_bytes, 107);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_split_gives_the_same_verdict),
        cmocka_unit_test(a_checksum_is_checked_where_there_is_one),
        cmocka_unit_test(a_line_without_end_is_refused_at_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
