#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/log.h"
#include "src/base/log_file.h"
#include "src/base/log_recent.h"

#define LINES 20000
#define ROTATIONS 20

static char folder[64];
static char path[128];
static int saved_stderr;
static int heard; /* what standard error gets; read from it */
static char text[8 << 20];

static int set_up(void **state)
{
    int ends[2];
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/test_log_files.XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/new/log", folder);
    assert_int_equal(pipe(ends), 0);
    saved_stderr = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    heard = ends[0];
    fcntl(heard, F_SETFL, O_NONBLOCK);
    return 0;
}

static int tear_down(void **state)
{
    char command[128];
    (void)state;
    log_close();
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    close(heard);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
    return 0;
}

static const char *content(const char *of)
{
    int fd = open(of, O_RDONLY);
    ssize_t bytes = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    assert_true(bytes >= 0);
    text[bytes] = '\0';
    close(fd);
    return text;
}

static const char *on_standard_error(void)
{
    ssize_t bytes = read(heard, text, sizeof text - 1);
    text[bytes < 0 ? 0 : bytes] = '\0';
    return text;
}

static void start(enum log_level level, bool json)
{
    assert_int_equal(log_open(level, json, 2), 0);
    assert_int_equal(log_open_file(LOG_SINK_LOG, path), 0);
}

/* S69: its directory is made, and what was there stays. */
static void lines_are_appended_to_a_file_in_a_new_directory(void **state)
{
    struct stat found;
    (void)state;
    for (int i = 0; i < 2; i++) {
        start(LOG_LEVEL_INFO, false);
        log_write(LOG_LEVEL_INFO, "line %d", i);
        log_close();
    }
    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(found.st_mode & 0007, 0);
    assert_non_null(strstr(content(path), "ringcast: line 0\n"));
    assert_non_null(strstr(content(path), "ringcast: line 1\n"));
    assert_string_equal(on_standard_error(), "");
}

static void a_path_that_cannot_be_written_is_an_error(void **state)
{
    char deep[160];
    (void)state;
    snprintf(deep, sizeof deep, "%s/a/b/log", folder);
    assert_int_equal(log_open(LOG_LEVEL_INFO, false, 1), 0);
    assert_int_equal(log_open_file(LOG_SINK_LOG, deep), -ENOENT);
    assert_int_equal(log_open_file(LOG_SINK_LOG, folder), -EISDIR);
    assert_int_equal(log_file_check(deep), -ENOENT);
    assert_int_equal(log_file_check(folder), -EISDIR);
    assert_int_equal(log_file_check(path), 0);
    assert_int_equal(access(path, F_OK), -1); /* A check makes nothing. */
}

static _Atomic bool has_posted;

/* A drain that passes nothing on has emptied the ring only if the writer had room before it. */
static void drain_all(void)
{
    bool had_room = false;
    for (uint32_t drained = 1; drained > 0 || !had_room;) {
        had_room = log_writer_has_room(LOG_SINK_LOG);
        drained = log_drain();
    }
}

static void *post_lines(void *unused)
{
    char line[64];
    (void)unused;
    for (int i = 0; i < LINES; i++) {
        snprintf(line, sizeof line, "number %d end", i);
        log_post(1, LOG_LEVEL_WARNING, line);
        if (i % 500 == 499) {
            drain_all();
        }
    }
    atomic_store(&has_posted, true);
    return NULL;
}

/* S65: the file is renamed while lines come; each is in one of the files, whole. */
static void no_line_is_lost_or_torn_by_a_rotation(void **state)
{
    pthread_t poster;
    char old[160];
    int next = 0;
    (void)state;
    start(LOG_LEVEL_WARNING, false);
    atomic_store(&has_posted, false);
    /* The poster passes the lines on as well: main's part is to rotate. */
    assert_int_equal(pthread_create(&poster, NULL, post_lines, NULL), 0);
    int rotation = 0;
    for (; rotation < ROTATIONS || !atomic_load(&has_posted); rotation++) {
        snprintf(old, sizeof old, "%s.%03d", path, rotation);
        assert_int_equal(rename(path, old), 0);
        log_reopen();
        while (access(path, F_OK) != 0) {
        }
        usleep(1000);
    }
    pthread_join(poster, NULL);
    log_close();
    for (int i = 0; i <= rotation; i++) {
        snprintf(old, sizeof old, i < rotation ? "%s.%03d" : "%s", path, i);
        for (const char *line = content(old); *line != '\0'; line = strchr(line, '\n') + 1) {
            int number = -1;
            char end[8] = "";
            assert_int_equal(sscanf(line + 24, " WARNING ringcast: number %d %3s", &number, end),
                             2);
            assert_int_equal(number, next++);
            assert_string_equal(end, "end");
        }
    }
    assert_int_equal(next, LINES);
    assert_int_equal(log_lost_count(), 0);
}

/* S65 */
static void a_file_that_cannot_be_reopened_stays_in_use(void **state)
{
    char moved[160];
    char in_moved[192];
    (void)state;
    start(LOG_LEVEL_INFO, false);
    snprintf(moved, sizeof moved, "%s/moved", folder);
    snprintf(in_moved, sizeof in_moved, "%s/log", moved);
    *strrchr(path, '/') = '\0';
    assert_int_equal(rename(path, moved), 0);
    close(open(path, O_CREAT | O_WRONLY, 0600)); /* a file where the directory was */
    path[strlen(path)] = '/';
    log_reopen();
    log_write(LOG_LEVEL_INFO, "afterwards");
    log_close();
    assert_non_null(strstr(content(in_moved), "ERROR ringcast: cannot reopen the log "));
    assert_non_null(strstr(content(in_moved), "ringcast: afterwards\n"));
}

static void a_full_disk_costs_lines_and_not_more(void **state)
{
    struct rlimit before;
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    start(LOG_LEVEL_INFO, false);
    uint64_t lost_before = log_lost_count();
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit full = {.rlim_cur = 200, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
    for (int i = 0; i < 10; i++) {
        log_write(LOG_LEVEL_INFO, "before there is room again, number %d", i);
    }
    log_flush();
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(log_lost_count() > lost_before);
    log_flush();
    log_write(LOG_LEVEL_INFO, "there is room");
    log_close();
    const char *line = strstr(content(path), " log lines were lost since the start: ");
    assert_non_null(line);
    assert_non_null(strstr(line, strerror(EFBIG)));
    assert_non_null(strstr(line, "ringcast: there is room\n"));
    assert_int_equal(text[200], '\n'); /* The line that was cut off ends. */
}

/* S71, S134: standard error is the journal. */
static void lines_for_the_journal_have_a_priority_and_no_time(void **state)
{
    static const char *const wanted[] = {
        "<7>DEBUG ringcast: a line\n",    "<6>INFO ringcast: a line\n",
        "<4>WARNING ringcast: a line\n",  "<3>ERROR ringcast: a line\n",
        "<2>CRITICAL ringcast: a line\n",
    };
    struct stat found;
    char value[64];
    (void)state;
    assert_int_equal(fstat(STDERR_FILENO, &found), 0);
    snprintf(value, sizeof value, "%ju:%ju", (uintmax_t)found.st_dev, (uintmax_t)found.st_ino);
    setenv("JOURNAL_STREAM", value, 1);
    assert_int_equal(log_open(LOG_LEVEL_DEBUG, false, 1), 0);
    unsetenv("JOURNAL_STREAM");
    for (int level = LOG_LEVEL_DEBUG; level <= LOG_LEVEL_CRITICAL; level++) {
        log_write((enum log_level)level, "a line");
    }
    log_close();
    const char *lines = on_standard_error();
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        assert_memory_equal(lines, wanted[i], strlen(wanted[i]));
        lines += strlen(wanted[i]);
    }
    assert_false(log_file_is_journal(STDERR_FILENO, NULL));
    assert_false(log_file_is_journal(STDERR_FILENO, "1:2"));
    assert_false(log_file_is_journal(STDERR_FILENO, "nonsense"));
    assert_true(log_file_is_journal(STDERR_FILENO, value));
}

/* S135 */
static void a_line_of_json_has_its_fields_as_members(void **state)
{
    struct log_fields fields = {.client = "0-12", .name = "desk \"1\"", .code = 4108};
    char wide[2 * LOG_LINE_BYTES_MAX];
    json_error_t error;
    (void)state;
    start(LOG_LEVEL_INFO, true);
    log_post_fields(1, LOG_LEVEL_INFO, &fields, "Client 0-12 disconnected");
    memset(wide, '\x01', sizeof wide - 1);
    wide[sizeof wide - 1] = '\0';
    log_post_fields(1, LOG_LEVEL_INFO, &fields, wide); /* The text is cut, not the fields. */
    log_close();
    const char *line = content(path);
    for (int i = 0; i < 2; i++) {
        json_t *object = json_loads(line, JSON_DISABLE_EOF_CHECK, &error);
        assert_non_null(object);
        assert_string_equal(json_string_value(json_object_get(object, "client")), "0-12");
        assert_string_equal(json_string_value(json_object_get(object, "name")), "desk \"1\"");
        assert_int_equal(json_integer_value(json_object_get(object, "code")), 4108);
        json_decref(object);
        line = strchr(line, '\n') + 1;
    }
}

/* S73, S120 */
static void audit_lines_have_a_file_of_their_own_whatever_the_level_is(void **state)
{
    static const struct log_fields none;
    char audit[160];
    (void)state;
    snprintf(audit, sizeof audit, "%s/audit", folder);
    start(LOG_LEVEL_CRITICAL, false);
    assert_int_equal(log_open_file(LOG_SINK_AUDIT, audit), 0);
    log_audit("GRANTED", "reload by %s", "SIGHUP");
    log_post_audit(1, "FAILED", &none, "127.0.0.1:1: authentication failed: unknown token");
    log_post(1, LOG_LEVEL_WARNING, "no audit");
    log_close();
    assert_non_null(strstr(content(audit), "INFO ringcast: audit: GRANTED reload by SIGHUP\n"));
    assert_non_null(strstr(content(audit), "WARNING ringcast: audit: FAILED 127.0.0.1:1: "));
    assert_null(strstr(content(audit), "no audit"));
    assert_string_equal(content(path), "");
}

static void errors_of_the_start_are_on_standard_error_too(void **state)
{
    (void)state;
    start(LOG_LEVEL_INFO, false);
    log_write(LOG_LEVEL_WARNING, "a warning");
    log_write(LOG_LEVEL_CRITICAL, "cannot start");
    log_flush();
    log_end_start();
    log_write(LOG_LEVEL_CRITICAL, "while it runs");
    log_close();
    const char *told = on_standard_error();
    assert_non_null(strstr(told, "cannot start\n"));
    assert_null(strstr(told, "a warning"));
    assert_null(strstr(told, "while it runs"));
    assert_non_null(strstr(content(path), "cannot start\n"));
    assert_non_null(strstr(content(path), "while it runs\n"));
}

/* The access log is a FIFO that its reader has left full. */
static void a_log_that_is_stuck_holds_no_other_up(void **state)
{
    char fifo[160];
    char line[401];
    (void)state;
    snprintf(fifo, sizeof fifo, "%s/fifo", folder);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    int reader = open(fifo, O_RDWR | O_NONBLOCK);
    start(LOG_LEVEL_INFO, false);
    assert_int_equal(log_open_file(LOG_SINK_ACCESS, fifo), 0);
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    uint64_t lost_before = log_lost_count();
    for (int i = 0; i < 5000; i++) { /* 2 MB: more than the FIFO, its ring and its writer take */
        log_post_access(1, line);
        if (i % 500 == 0) {
            log_drain();
        }
    }
    assert_true(log_lost_count() > lost_before);
    log_post(1, LOG_LEVEL_INFO, "the log goes on");
    log_drain();
    for (int i = 0; strstr(content(path), "the log goes on") == NULL; i++) {
        assert_true(i < 5000);
        usleep(1000);
    }
    log_flush();
    assert_non_null(strstr(content(path), " access log lines were lost since the start: "));
    while (log_drain() > 0 || !log_writer_flush(LOG_SINK_ACCESS, 0)) {
        (void)!read(reader, text, sizeof text); /* so that its thread can end */
    }
    log_close();
    close(reader);
}

static void the_last_lines_are_kept(void **state)
{
    char copy[160];
    (void)state;
    start(LOG_LEVEL_INFO, false);
    for (int i = 0; i < LOG_RECENT_LINES + 7; i++) {
        log_write(LOG_LEVEL_INFO, "kept %d.", i);
    }
    snprintf(copy, sizeof copy, "%s/copy", folder);
    int fd = open(copy, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(log_recent_write(fd), 0);
    close(fd);
    assert_null(strstr(content(copy), "kept 6."));
    assert_non_null(strstr(content(copy), "kept 7."));
    assert_non_null(strstr(content(copy), "kept 506.\n"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lines_are_appended_to_a_file_in_a_new_directory),
        TEST(a_path_that_cannot_be_written_is_an_error),
        TEST(no_line_is_lost_or_torn_by_a_rotation),
        TEST(a_file_that_cannot_be_reopened_stays_in_use),
        TEST(a_full_disk_costs_lines_and_not_more),
        TEST(lines_for_the_journal_have_a_priority_and_no_time),
        TEST(a_line_of_json_has_its_fields_as_members),
        TEST(audit_lines_have_a_file_of_their_own_whatever_the_level_is),
        TEST(errors_of_the_start_are_on_standard_error_too),
        TEST(a_log_that_is_stuck_holds_no_other_up),
        TEST(the_last_lines_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
