#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "src/log.h"

#define POSTED_AT_ONCE 1024 /* what one producer's ring holds */

static int saved_stderr;
static int file;
static char written[4 << 20];

/* Standard error goes to a file that is read back. */
static void capture(void)
{
    char path[] = "/tmp/test_log.XXXXXX";
    file = mkstemp(path);
    assert_true(file >= 0);
    unlink(path);
    saved_stderr = dup(STDERR_FILENO);
    dup2(file, STDERR_FILENO);
}

static const char *captured(void)
{
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    ssize_t bytes = pread(file, written, sizeof written - 1, 0);
    close(file);
    assert_true(bytes >= 0);
    written[bytes] = '\0';
    return written;
}

static uint32_t count_lines(const char *text)
{
    uint32_t count = 0;
    for (; *text != '\0'; text++) {
        count += *text == '\n';
    }
    return count;
}

static void a_text_line_has_a_time_a_level_and_the_name(void **state)
{
    (void)state;
    capture();
    assert_int_equal(log_open(LOG_LEVEL_INFO, false, 1), 0);
    log_write(LOG_LEVEL_CRITICAL, "%s %d", "seven", 7);
    log_close();
    const char *text = captured();
    int used = 0;
    unsigned year, month, day, hour, minute, second, ms;
    int fields = sscanf(text, "%4u-%2u-%2uT%2u:%2u:%2u.%3uZ%n", &year, &month, &day, &hour, &minute,
                        &second, &ms, &used);
    assert_int_equal(fields, 7);
    assert_int_equal(used, 24);
    assert_string_equal(text + used, " CRITICAL ringcast: seven 7\n");
}

static void lines_below_the_level_are_left_out(void **state)
{
    (void)state;
    capture();
    assert_int_equal(log_open(LOG_LEVEL_WARNING, false, 1), 0);
    log_write(LOG_LEVEL_INFO, "no");
    log_post(0, LOG_LEVEL_DEBUG, "no");
    log_post(0, LOG_LEVEL_ERROR, "yes");
    assert_int_equal(log_drain(), 1);
    log_close();
    const char *text = captured();
    assert_non_null(strstr(text, " ERROR ringcast: yes\n"));
    assert_int_equal(count_lines(text), 1);
}

static void a_json_line_is_one_object_whatever_a_peer_sent(void **state)
{
    (void)state;
    capture();
    assert_int_equal(log_open(LOG_LEVEL_INFO, true, 1), 0);
    log_post(0, LOG_LEVEL_INFO, "a \"quote\", a \\, a\nline, \x01, \xc3\xa9 and \xff\xc3");
    log_close();
    const char *text = captured();
    assert_int_equal(count_lines(text), 1);
    json_error_t error;
    json_t *line = json_loads(text, 0, &error);
    assert_non_null(line);
    assert_string_equal(json_string_value(json_object_get(line, "level")), "INFO");
    assert_string_equal(json_string_value(json_object_get(line, "message")),
                        "a \"quote\", a \\, a\nline, \x01, \xc3\xa9 and ??");
    assert_non_null(json_string_value(json_object_get(line, "ts")));
    json_decref(line);
}

static void a_text_line_stays_one_line(void **state)
{
    (void)state;
    capture();
    assert_int_equal(log_open(LOG_LEVEL_INFO, false, 1), 0);
    log_write(LOG_LEVEL_INFO, "a\nb\x1b[31m\xff");
    log_close();
    assert_non_null(strstr(captured(), " INFO ringcast: a?b?[31m?\n"));
}

static void a_long_line_is_cut_at_a_whole_character(void **state)
{
    (void)state;
    char text[4 * LOG_LINE_BYTES_MAX];
    for (size_t i = 0; i + 2 < sizeof text; i += 2) {
        memcpy(text + i, "\xc3\xa9", 3);
    }
    capture();
    assert_int_equal(log_open(LOG_LEVEL_INFO, true, 1), 0);
    log_post(0, LOG_LEVEL_INFO, text);
    log_post(0, LOG_LEVEL_INFO, text + 1);
    log_write(LOG_LEVEL_INFO, "%s", text);
    log_close();
    const char *lines = captured();
    assert_int_equal(count_lines(lines), 3);
    for (const char *line = lines; *line != '\0'; line = strchr(line, '\n') + 1) {
        json_error_t error;
        json_t *object = json_loads(line, JSON_DISABLE_EOF_CHECK, &error);
        assert_non_null(object);
        assert_true(strlen(json_string_value(json_object_get(object, "message"))) > 400);
        json_decref(object);
    }
}

static void lines_of_several_producers_come_out_in_the_order_of_time(void **state)
{
    (void)state;
    capture();
    assert_int_equal(log_open(LOG_LEVEL_INFO, false, 3), 0);
    log_post(2, LOG_LEVEL_INFO, "first");
    usleep(1000);
    log_post(0, LOG_LEVEL_INFO, "second");
    usleep(1000);
    log_post(1, LOG_LEVEL_INFO, "third");
    assert_int_equal(log_drain(), 3);
    log_close();
    const char *text = captured();
    assert_true(strstr(text, "first") < strstr(text, "second"));
    assert_true(strstr(text, "second") < strstr(text, "third"));
}

static void lines_that_do_not_fit_are_counted_and_reported(void **state)
{
    (void)state;
    capture();
    assert_int_equal(log_open(LOG_LEVEL_INFO, false, 2), 0);
    for (uint32_t i = 0; i < POSTED_AT_ONCE + 7; i++) {
        log_post(1, LOG_LEVEL_INFO, "line");
    }
    log_post(0, LOG_LEVEL_INFO, "another producer has room");
    assert_int_equal(log_lost_count(), 7);
    assert_int_equal(log_drain(), POSTED_AT_ONCE + 1);
    log_post(1, LOG_LEVEL_INFO, "there is room again");
    assert_int_equal(log_drain(), 1);
    log_close();
    const char *text = captured();
    assert_non_null(strstr(text, " WARNING ringcast: 7 log lines were lost"));
    assert_non_null(strstr(text, "there is room again"));
    assert_int_equal(count_lines(text), POSTED_AT_ONCE + 3);
}

static void *post_many(void *argument)
{
    uint32_t producer = (uint32_t)(uintptr_t)argument;
    for (uint32_t i = 0; i < 10000; i++) {
        log_post(producer, LOG_LEVEL_INFO, "a line of exactly so many bytes");
    }
    return NULL;
}

static void every_line_of_busy_threads_is_whole_or_counted(void **state)
{
    (void)state;
    pthread_t threads[2];
    uint32_t drained = 0;
    capture();
    assert_int_equal(log_open(LOG_LEVEL_INFO, false, 2), 0);
    for (uintptr_t i = 0; i < 2; i++) {
        pthread_create(&threads[i], NULL, post_many, (void *)i);
    }
    for (uint32_t i = 0; i < 1000; i++) {
        drained += log_drain();
    }
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    drained += log_drain();
    uint64_t lost = log_lost_count();
    log_close();
    const char *text = captured();
    assert_int_equal(drained + lost, 20000);
    uint32_t whole = 0;
    for (const char *at = text; (at = strstr(at, ": a line of exactly so many bytes\n")) != NULL;
         at++) {
        whole++;
    }
    assert_int_equal(whole, drained);
}

static void too_many_producers_are_refused(void **state)
{
    (void)state;
    assert_int_equal(log_open(LOG_LEVEL_INFO, false, LOG_PRODUCERS_MAX + 1), -EINVAL);
    assert_int_equal(log_open(LOG_LEVEL_INFO, false, 0), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_line_has_a_time_a_level_and_the_name),
        cmocka_unit_test(lines_below_the_level_are_left_out),
        cmocka_unit_test(a_json_line_is_one_object_whatever_a_peer_sent),
        cmocka_unit_test(a_text_line_stays_one_line),
        cmocka_unit_test(a_long_line_is_cut_at_a_whole_character),
        cmocka_unit_test(lines_of_several_producers_come_out_in_the_order_of_time),
        cmocka_unit_test(lines_that_do_not_fit_are_counted_and_reported),
        cmocka_unit_test(every_line_of_busy_threads_is_whole_or_counted),
        cmocka_unit_test(too_many_producers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
