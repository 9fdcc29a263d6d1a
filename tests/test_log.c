#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/clock.h"
#include "src/base/log.h"
#include "src/base/log_writer.h"

#define POSTED_AT_ONCE 1024 /* what one producer's ring holds, */
#define INFO_AT_ONCE 512    /* of these, what is no warning */

static int saved_stderr;
static int file;
static char written[4 << 20];

/* A machine that is busy: the next write is late by so much. */
static _Atomic uint32_t write_late_s;

/* In place of libc's. */
ssize_t write(int fd, const void *bytes, size_t count)
{
    const struct timespec late = {.tv_sec = (time_t)atomic_exchange(&write_late_s, 0)};
    nanosleep(&late, NULL);
    return syscall(SYS_write, fd, bytes, count);
}

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

static void the_level_changes_while_it_writes(void **state)
{
    (void)state;
    capture();
    assert_int_equal(log_open(LOG_LEVEL_WARNING, false, 1), 0);
    log_post(0, LOG_LEVEL_INFO, "before");
    log_set_level(LOG_LEVEL_DEBUG);
    assert_string_equal(log_level_name(log_level()), "DEBUG");
    log_post(0, LOG_LEVEL_DEBUG, "after");
    log_set_level(LOG_LEVEL_CRITICAL);
    log_write(LOG_LEVEL_ERROR, "too late");
    log_close();
    const char *text = captured();
    assert_null(strstr(text, "before"));
    assert_non_null(strstr(text, "DEBUG ringcast: after\n"));
    assert_null(strstr(text, "too late"));
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
    log_post(0, LOG_LEVEL_INFO, "\xc2\x9b\xe2\x80\xae");
    log_close();
    const char *text = captured();
    assert_int_equal(count_lines(text), 2);
    assert_non_null(strstr(text, "\"message\":\"\\u009b\\u202e\"}\n"));
    json_error_t error;
    json_t *line = json_loads(text, JSON_DISABLE_EOF_CHECK, &error);
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
    log_write(LOG_LEVEL_INFO, "c\x7f\xc2\x9b"
                              "31m\xe2\x80\xae\xe2\x80\xa8 \xe5\xb8\x81");
    log_say(STDERR_FILENO, "d\x1b[2J\xc2\x9b\xff\n");
    log_close();
    const char *text = captured();
    assert_non_null(strstr(text, " INFO ringcast: a?b?[31m?\n"));
    assert_non_null(strstr(text, " INFO ringcast: c??31m?? \xe5\xb8\x81\n"));
    assert_non_null(strstr(text, "\nd?[2J??\n"));
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

/* Until a line would be dated later than all before. */
static void wait_for_a_later_time(void)
{
    uint64_t before_ns = clock_ns(CLOCK_REALTIME);
    while (clock_ns(CLOCK_REALTIME) <= before_ns) {
    }
}

static void lines_of_several_producers_come_out_in_the_order_of_time(void **state)
{
    (void)state;
    capture();
    assert_int_equal(log_open(LOG_LEVEL_INFO, false, 3), 0);
    log_post(2, LOG_LEVEL_INFO, "first");
    wait_for_a_later_time();
    log_post(0, LOG_LEVEL_INFO, "second");
    wait_for_a_later_time();
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
    for (uint32_t i = 0; i < INFO_AT_ONCE + 7; i++) {
        log_post(1, LOG_LEVEL_INFO, "line");
    }
    log_post(0, LOG_LEVEL_INFO, "another producer has room");
    assert_int_equal(log_lost_count(), 7);
    assert_int_equal(log_drain(), INFO_AT_ONCE + 1);
    log_post(1, LOG_LEVEL_INFO, "there is room again");
    assert_int_equal(log_drain(), 1);
    log_close();
    const char *text = captured();
    assert_non_null(strstr(text, " WARNING ringcast: 7 log lines were lost"));
    assert_non_null(strstr(text, "there is room again"));
    assert_int_equal(count_lines(text), INFO_AT_ONCE + 3);
}

static void no_crowd_of_lines_costs_a_warning_or_an_error(void **state)
{
    (void)state;
    capture();
    assert_int_equal(log_open(LOG_LEVEL_DEBUG, false, 1), 0);
    for (uint32_t i = 0; i < 4000; i++) {
        log_post(0, i % 2 == 0 ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "a client came");
        if (i % 8 == 0) {
            log_post(0, i % 16 == 0 ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR, "this matters");
        }
    }
    assert_true(log_lost_count() >= 4000 - INFO_AT_ONCE);
    log_close();
    const char *text = captured();
    uint32_t count = 0;
    for (const char *at = text; (at = strstr(at, ": this matters\n")) != NULL; at++) {
        count++;
    }
    assert_int_equal(count, 500);
    assert_non_null(strstr(text, "accepted them; 0 of them were warnings or errors\n"));
}

static void lost_warnings_are_counted_apart(void **state)
{
    (void)state;
    capture();
    assert_int_equal(log_open(LOG_LEVEL_INFO, false, 1), 0);
    for (uint32_t i = 0; i < POSTED_AT_ONCE + 3; i++) {
        log_post(0, LOG_LEVEL_WARNING, "warning");
    }
    log_post(0, LOG_LEVEL_INFO, "line");
    log_close();
    assert_non_null(strstr(captured(), ": 4 log lines were lost"));
    assert_non_null(strstr(written, "; 3 of them were warnings or errors\n"));
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
    capture();
    assert_int_equal(log_open(LOG_LEVEL_INFO, false, 2), 0);
    for (uintptr_t i = 0; i < 2; i++) {
        pthread_create(&threads[i], NULL, post_many, (void *)i);
    }
    for (uint32_t i = 0; i < 1000; i++) {
        log_drain();
    }
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    uint64_t lost = log_lost_count();
    log_close();
    const char *text = captured();
    uint32_t whole = 0;
    for (const char *at = text; (at = strstr(at, ": a line of exactly so many bytes\n")) != NULL;
         at++) {
        whole++;
    }
    assert_int_equal(whole + lost, 20000);
}

/* Standard error becomes a pipe that holds one page and is full. Returns its other end. */
static int capture_in_a_full_pipe(void)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    long page = fcntl(fds[1], F_SETPIPE_SZ, 1);
    memset(written, 'x', (size_t)page);
    assert_int_equal(write(fds[1], written, (size_t)page), page);
    saved_stderr = dup(STDERR_FILENO);
    dup2(fds[1], STDERR_FILENO);
    close(fds[1]);
    return fds[0];
}

static void read_all(int fd)
{
    size_t used = 0;
    ssize_t bytes;
    while ((bytes = read(fd, written + used, sizeof written - 1 - used)) > 0) {
        used += (size_t)bytes;
    }
    written[used] = '\0';
}

static void a_pipe_that_nobody_reads_holds_nobody_up(void **state)
{
    (void)state;
    int fd = capture_in_a_full_pipe();
    uint64_t lost_before = log_lost_count();
    assert_int_equal(log_open(LOG_LEVEL_INFO, false, 1), 0);
    for (uint32_t i = 0; i < 10000; i++) {
        log_write(LOG_LEVEL_INFO, "a line of exactly so many bytes");
    }
    log_post(0, LOG_LEVEL_INFO, "posted");
    assert_int_equal(log_drain(), 0);
    uint64_t lost = log_lost_count() - lost_before;
    assert_true(lost > 0);
    log_flush(); /* Gives up. */
    assert_int_equal(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);

    assert_true(fcntl(fd, F_SETPIPE_SZ, 1 << 20) > 0); /* Now all has room. */
    log_close();                                       /* Begins where log_flush gave up. */
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    read_all(fd);
    close(fd);
    uint32_t whole = 0;
    for (const char *at = written; (at = strstr(at, ": a line of exactly so many bytes\n")) != NULL;
         at++) {
        whole++;
    }
    assert_int_equal(whole + lost, 10000);
    assert_non_null(strstr(written, ": posted\n"));
    char report[100];
    snprintf(report, sizeof report, " WARNING ringcast: %llu log lines were lost since the start",
             (unsigned long long)(lost_before + lost));
    assert_non_null(strstr(written, report));
}

static void an_end_waits_longer_for_a_thread_that_gets_no_cpu(void **state)
{
    (void)state;
    capture();
    assert_int_equal(log_open(LOG_LEVEL_INFO, false, 1), 0);
    atomic_store(&write_late_s, 1);
    log_write(LOG_LEVEL_INFO, "late");
    log_close();
    atomic_store(&write_late_s, 1);
    log_say(STDERR_FILENO, "said\n");
    const char *text = captured();
    assert_non_null(strstr(text, " INFO ringcast: late\n"));
    assert_non_null(strstr(text, "\nsaid\n"));
}

static void lines_that_a_full_disk_refuses_are_counted_and_reported(void **state)
{
    (void)state;
    capture();
    int disk = dup(STDERR_FILENO);
    dup2(open("/dev/full", O_WRONLY), STDERR_FILENO);
    uint64_t lost_before = log_lost_count();
    assert_int_equal(log_open(LOG_LEVEL_INFO, false, 1), 0);
    log_write(LOG_LEVEL_INFO, "refused");
    log_write(LOG_LEVEL_INFO, "refused");
    log_flush();
    assert_true(log_lost_count() >= lost_before + 2);
    dup2(disk, STDERR_FILENO);
    close(disk);
    log_close();
    assert_int_equal(log_open(LOG_LEVEL_INFO, false, 1), 0);
    log_close();
    const char *text = captured();
    assert_non_null(strstr(text, "log lines were lost since the start: standard error: No space"));
    assert_null(strstr(text, "refused"));
}

static void a_line_that_is_cut_off_spoils_no_other(void **state)
{
    (void)state;
    struct rlimit before;
    capture();
    assert_int_equal(log_open(LOG_LEVEL_INFO, false, 1), 0);
    getrlimit(RLIMIT_FSIZE, &before);
    struct rlimit little = {.rlim_cur = 20, .rlim_max = before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &little);
    log_write(LOG_LEVEL_INFO, "cut off");
    log_flush();
    setrlimit(RLIMIT_FSIZE, &before);
    log_write(LOG_LEVEL_INFO, "whole");
    log_close();
    const char *text = captured();
    assert_null(strstr(text, "cut off"));
    assert_true(strchr(text, '\n') == text + 20);
    assert_true(text[21] == '2');
    assert_non_null(strstr(text + 21, " INFO ringcast: whole\n"));
}

static void text_for_people_is_written_as_it_is(void **state)
{
    (void)state;
    capture();
    log_say(STDERR_FILENO, "%s\n", "before");
    assert_int_equal(log_open(LOG_LEVEL_INFO, false, 1), 0);
    log_say(STDERR_FILENO, "%s\n", "after");
    log_close();
    assert_memory_equal(captured(), "before\nafter\n", strlen("before\nafter\n"));
}

static void too_many_producers_are_refused(void **state)
{
    (void)state;
    assert_int_equal(log_open(LOG_LEVEL_INFO, false, LOG_PRODUCERS_MAX + 1), -EINVAL);
    assert_int_equal(log_open(LOG_LEVEL_INFO, false, 0), -EINVAL);
}

static void its_thread_shows_that_it_writes(void **state)
{
    (void)state;
    _Atomic uint32_t tid = 0;
    _Atomic uint64_t turns = 0;
    capture();
    assert_int_equal(log_open(LOG_LEVEL_INFO, false, 1), 0);
    log_writer_show(&tid, &turns);
    while (atomic_load(&turns) == 0) { /* It shows that it is there, without a line. */
        sched_yield();
    }
    assert_int_not_equal(atomic_load(&tid), 0);
    assert_int_not_equal(atomic_load(&tid), (uint32_t)gettid());
    uint64_t before = atomic_load(&turns);
    log_write(LOG_LEVEL_INFO, "a line");
    log_flush();
    assert_true(atomic_load(&turns) > before);
    log_writer_show(NULL, NULL);
    before = atomic_load(&turns);
    log_write(LOG_LEVEL_INFO, "a line");
    log_close();
    assert_int_equal(atomic_load(&turns), before);
    assert_int_equal(count_lines(captured()), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_line_has_a_time_a_level_and_the_name),
        cmocka_unit_test(its_thread_shows_that_it_writes),
        cmocka_unit_test(lines_below_the_level_are_left_out),
        cmocka_unit_test(the_level_changes_while_it_writes),
        cmocka_unit_test(a_json_line_is_one_object_whatever_a_peer_sent),
        cmocka_unit_test(a_text_line_stays_one_line),
        cmocka_unit_test(a_long_line_is_cut_at_a_whole_character),
        cmocka_unit_test(lines_of_several_producers_come_out_in_the_order_of_time),
        cmocka_unit_test(lines_that_do_not_fit_are_counted_and_reported),
        cmocka_unit_test(no_crowd_of_lines_costs_a_warning_or_an_error),
        cmocka_unit_test(lost_warnings_are_counted_apart),
        cmocka_unit_test(every_line_of_busy_threads_is_whole_or_counted),
        cmocka_unit_test(a_pipe_that_nobody_reads_holds_nobody_up),
        cmocka_unit_test(an_end_waits_longer_for_a_thread_that_gets_no_cpu),
        cmocka_unit_test(lines_that_a_full_disk_refuses_are_counted_and_reported),
        cmocka_unit_test(a_line_that_is_cut_off_spoils_no_other),
        cmocka_unit_test(text_for_people_is_written_as_it_is),
        cmocka_unit_test(too_many_producers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
