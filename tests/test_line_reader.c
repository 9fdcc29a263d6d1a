#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
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

/* A stream: bytes of it come as the test writes them. */
static char stream_path[64];
static int stream_writer;

static void open_stream(struct line_reader *reader)
{
    snprintf(stream_path, sizeof stream_path, "/tmp/test_line_reader.%d.fifo", (int)getpid());
    assert_int_equal(mkfifo(stream_path, 0600), 0);
    assert_int_equal(line_reader_open(reader, stream_path), 0);
    assert_true(reader->is_stream);
    stream_writer = open(stream_path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(stream_writer >= 0);
}

static void close_stream(struct line_reader *reader)
{
    line_reader_close(reader);
    close(stream_writer);
    unlink(stream_path);
}

static void write_stream(const char *text)
{
    assert_int_equal(write(stream_writer, text, strlen(text)), strlen(text));
}

static void a_stream_without_a_whole_line_is_to_be_waited_for(void **state)
{
    (void)state;
    struct line_reader reader;
    open_stream(&reader);
    assert_int_equal(next_status(&reader), LINE_READER_WAIT);
    static const char text[] = "one\r\ntwo\n";
    for (size_t i = 0; i < sizeof text - 1; i++) {
        write_stream((char[]){text[i], '\0'});
        if (text[i] == '\n') {
            assert_line(&reader, i < 6 ? "one" : "two");
        }
        assert_int_equal(next_status(&reader), LINE_READER_WAIT);
    }
    assert_int_equal(reader.line_number, 2);
    close_stream(&reader);
}

static void a_fifo_has_no_end(void **state)
{
    (void)state;
    struct line_reader reader;
    open_stream(&reader);
    for (int i = 0; i < 3; i++) {
        write_stream("line\n");
        close(stream_writer);
        assert_line(&reader, "line");
        assert_int_equal(next_status(&reader), LINE_READER_WAIT);
        stream_writer = open(stream_path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        assert_true(stream_writer >= 0);
    }
    close_stream(&reader);
}

static void too_long_a_line_of_a_stream_is_passed_over(void **state)
{
    (void)state;
    struct line_reader reader;
    open_stream(&reader);
    char *block = malloc(64 * KIB + 1);
    memset(block, 'x', 64 * KIB);
    block[64 * KIB] = '\0';
    for (size_t written = 0; written <= LINE_READER_LINE_BYTES_MAX; written += 64 * KIB) {
        write_stream(block);
        assert_int_equal(next_status(&reader), LINE_READER_WAIT);
    }
    write_stream("\nnext\n");
    assert_int_equal(next_status(&reader), LINE_READER_TOO_LONG);
    assert_line(&reader, "next");
    free(block);
    close_stream(&reader);
}

/* With descriptor 0 in place of standard input, for as long as it is opened. */
static int open_input(struct line_reader *reader, int input)
{
    int kept = dup(STDIN_FILENO);
    assert_int_equal(dup2(input, STDIN_FILENO), STDIN_FILENO);
    int error = line_reader_open(reader, "-");
    assert_int_equal(dup2(kept, STDIN_FILENO), STDIN_FILENO);
    close(kept);
    return error;
}

static void standard_input_ends_with_its_writer(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct line_reader reader;
        int ends[2];
        assert_int_equal(kind == 0 ? pipe(ends) : socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        assert_int_equal(open_input(&reader, ends[0]), 0);
        struct line_reader other; /* The two would share its lines by chance. */
        assert_int_equal(open_input(&other, ends[0]), -EBUSY);
        if (kind == 0) { /* Others who have it are not to find it changed. */
            assert_false(fcntl(ends[0], F_GETFL) & O_NONBLOCK);
        }
        assert_int_equal(next_status(&reader), LINE_READER_WAIT);
        assert_int_equal(write(ends[1], "one\ntwo", 7), 7);
        assert_line(&reader, "one");
        assert_int_equal(next_status(&reader), LINE_READER_WAIT);
        close(ends[1]);
        /* Whoever looks at /proc/PID/fd holds the closed end for a moment. */
        assert_int_equal(poll(&(struct pollfd){.fd = ends[0], .events = POLLIN}, 1, -1), 1);
        assert_line(&reader, "two");
        assert_int_equal(next_status(&reader), LINE_READER_END);
        line_reader_close(&reader);
        close(ends[0]);
    }
}

#define COLD_BYTES (4 * MIB)

/* Whether the file system reads without waiting; the file is in memory. */
static bool has_nowait(int fd)
{
    char byte;
    struct iovec iov = {&byte, 1};
    return preadv2(fd, &iov, 1, 0, RWF_NOWAIT) == 1;
}

/* Whether the first page is on the disk only. To read it would fetch it. */
static bool is_cold(int fd)
{
    unsigned char resident = 1;
    void *page = mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(page != MAP_FAILED);
    assert_int_equal(mincore(page, 1, &resident), 0);
    munmap(page, 1);
    return (resident & 1) == 0;
}

/* What is on the disk only is not waited for once the file has been rewound. */
static void a_file_that_is_not_in_memory_is_read_without_waiting(void **state)
{
    (void)state;
    struct line_reader reader;
    char path[] = "/tmp/test_line_reader.XXXXXX";
    int fd = mkstemp(path);
    char line[128];
    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\n';
    for (size_t written = 0; written < COLD_BYTES; written += sizeof line) {
        assert_int_equal(write(fd, line, sizeof line), sizeof line);
    }
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(line_reader_open(&reader, path), 0);
    unlink(path);
    assert_int_equal(line_reader_next(&reader), LINE_READER_LINE);
    bool can_wait = has_nowait(fd);
    for (int pass = 0; pass < 2; pass++) {
        enum line_status status = LINE_READER_LINE;
        bool was_cold = false;
        /* The disk may have answered before the kernel looks, but not always. */
        for (uint32_t i = 0; i < 200 && status != LINE_READER_WAIT; i++) {
            assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
            assert_int_equal(line_reader_rewind(&reader), 0);
            was_cold |= can_wait && is_cold(fd);
            status = line_reader_next(&reader);
        }
        assert_true(!was_cold || status == LINE_READER_WAIT);
        for (uint32_t i = 0; i < COLD_BYTES / sizeof line;) {
            assert_true(status == LINE_READER_LINE || status == LINE_READER_WAIT);
            i += status == LINE_READER_LINE;
            status = line_reader_next(&reader);
        }
        assert_int_equal(status, LINE_READER_END);
        assert_int_equal(reader.line_number, COLD_BYTES / sizeof line);
    }
    line_reader_close(&reader);
    close(fd);
}

static void a_device_is_no_recording(void **state)
{
    (void)state;
    struct line_reader reader;
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(line_reader_open(&reader, "/dev/null"), -EINVAL);
    assert_int_equal(open_input(&reader, null), -EINVAL);
    close(null);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_end_in_lf_or_crlf_and_the_last_in_nothing),
        cmocka_unit_test(an_empty_file_has_no_lines),
        cmocka_unit_test(lines_across_blocks_are_whole),
        cmocka_unit_test(the_limit_is_exact_whatever_the_ending),
        cmocka_unit_test(what_is_no_regular_file_is_refused),
        cmocka_unit_test(a_stream_without_a_whole_line_is_to_be_waited_for),
        cmocka_unit_test(a_fifo_has_no_end),
        cmocka_unit_test(too_long_a_line_of_a_stream_is_passed_over),
        cmocka_unit_test(standard_input_ends_with_its_writer),
        cmocka_unit_test(a_file_that_is_not_in_memory_is_read_without_waiting),
        cmocka_unit_test(a_device_is_no_recording),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
