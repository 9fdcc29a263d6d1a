#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "feeds/replay/line_reader.h"

static void open_bytes(struct line_reader *reader, const char *bytes, size_t byte_count)
{
    char path[] = "/tmp/test_line_reader.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, byte_count), byte_count);
    close(fd);
    assert_int_equal(line_reader_open(reader, path), 0);
    unlink(path);
}

static enum line_status next_status(struct line_reader *reader)
{
    enum line_status status;
    do {
        status = line_reader_next(reader);
    } while (status == LINE_READER_AGAIN);
    return status;
}

static void assert_line(struct line_reader *reader, const char *text)
{
    assert_int_equal(next_status(reader), LINE_READER_LINE);
    assert_int_equal(reader->text_bytes, strlen(text));
    assert_memory_equal(reader->text, text, reader->text_bytes);
}

static void lines_end_in_lf_or_crlf_and_the_last_in_nothing(void **state)
{
    (void)state;
    struct line_reader reader;
    static const char text[] = "one\r\n\ntwo\rtwo\n\r\nthree";
    open_bytes(&reader, text, sizeof text - 1);
    for (int pass = 0; pass < 2; pass++) {
        assert_line(&reader, "one");
        assert_line(&reader, "");
        assert_line(&reader, "two\rtwo");
        assert_line(&reader, "");
        assert_line(&reader, "three");
        assert_int_equal(reader.line_number, 5);
        assert_int_equal(next_status(&reader), LINE_READER_END);
        assert_int_equal(next_status(&reader), LINE_READER_END);
        assert_int_equal(line_reader_rewind(&reader), 0);
    }
    line_reader_close(&reader);
}

static void an_empty_file_has_no_lines(void **state)
{
    (void)state;
    struct line_reader reader;
    open_bytes(&reader, "", 0);
    assert_int_equal(next_status(&reader), LINE_READER_END);
    assert_int_equal(reader.line_number, 0);
    line_reader_close(&reader);
}

static void lines_across_blocks_are_whole(void **state)
{
    (void)state;
    struct line_reader reader;
    size_t line_count = 3000;
    char *bytes = malloc(line_count * 1000);
    size_t used = 0;
    for (size_t i = 0; i < line_count; i++) {
        size_t length = i * 7919 % 997;
        memset(bytes + used, 'a' + (int)(i % 26), length);
        used += length;
        bytes[used++] = '\n';
    }
    open_bytes(&reader, bytes, used);
    for (size_t i = 0; i < line_count; i++) {
        assert_int_equal(next_status(&reader), LINE_READER_LINE);
        assert_int_equal(reader.text_bytes, i * 7919 % 997);
        for (size_t j = 0; j < reader.text_bytes; j++) {
            assert_int_equal(reader.text[j], 'a' + (int)(i % 26));
        }
    }
    assert_int_equal(next_status(&reader), LINE_READER_END);
    line_reader_close(&reader);
    free(bytes);
}

static void the_limit_is_exact_whatever_the_ending(void **state)
{
    (void)state;
    static const char *const endings[] = {"\nnext", "\r\nnext", ""};
    for (size_t i = 0; i < 3; i++) {
        for (size_t over = 0; over <= 3; over++) {
            struct line_reader reader;
            size_t length = LINE_READER_LINE_BYTES_MAX + over;
            char *bytes = malloc(length + 8);
            memset(bytes, 'x', length);
            memcpy(bytes + length, endings[i], strlen(endings[i]));
            open_bytes(&reader, bytes, length + strlen(endings[i]));
            assert_int_equal(next_status(&reader),
                             over == 0 ? LINE_READER_LINE : LINE_READER_TOO_LONG);
            if (i < 2) {
                assert_line(&reader, "next");
                assert_int_equal(reader.line_number, 2);
            }
            assert_int_equal(next_status(&reader), LINE_READER_END);
            line_reader_close(&reader);
            free(bytes);
        }
    }
}

static void what_is_no_regular_file_is_refused(void **state)
{
    (void)state;
    struct line_reader reader;
    assert_int_equal(line_reader_open(&reader, "/nowhere/at/all"), -ENOENT);
    assert_int_equal(line_reader_open(&reader, "/"), -EISDIR);
    assert_int_equal(line_reader_open(&reader, "/dev/zero"), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_end_in_lf_or_crlf_and_the_last_in_nothing),
        cmocka_unit_test(an_empty_file_has_no_lines),
        cmocka_unit_test(lines_across_blocks_are_whole),
        cmocka_unit_test(the_limit_is_exact_whatever_the_ending),
        cmocka_unit_test(what_is_no_regular_file_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
