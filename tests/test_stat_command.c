/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ring/board/counters.h"
#include "ring/board/counters_file.h"
#include "tools/insight/stat_command.h"

#define ARGUMENTS_MAX 10

/* Files of servers in a folder of our own: `ringcast stat` sees these only. */
static char directory[64];
static struct counters_file files[2];
static struct counters *servers[2];

/* What the last run said. */
static char said[256 * 1024];
static char complained[8 * 1024];

static int set_up(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/ringcast-stat-XXXXXX");
    return mkdtemp(directory) == NULL ? -1 : 0;
}

static const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static void die(int index)
{
    if (servers[index] != NULL) {
        counters_close(servers[index]);
        close(files[index].fd); /* The kernel does it, whatever ends a process. */
        servers[index] = NULL;
    }
}

static int tear_down(void **state)
{
    (void)state;
    die(0);
    die(1);
    DIR *listing = opendir(directory);
    struct dirent *entry;
    while ((entry = readdir(listing)) != NULL) {
        unlink(path_of(entry->d_name));
    }
    closedir(listing);
    return rmdir(directory);
}

/* Both have our process ID, as servers in two containers may. */
static void begin(int index, uint32_t core_count)
{
    assert_int_equal(counters_file_open(&files[index], directory, counters_bytes(core_count)), 0);
    assert_int_equal(counters_open(&servers[index], files[index].fd, core_count), 0);
    assert_int_equal(counters_file_publish(&files[index], directory), 0);
}

static void read_back(int fd, char *out, size_t out_bytes)
{
    ssize_t bytes = pread(fd, out, out_bytes - 1, 0);
    assert_true(bytes >= 0);
    out[bytes] = '\0';
    close(fd);
}

/* Runs `ringcast stat` with these arguments, which end with NULL, and returns its exit code. */
static int stat_of(const char *argument, ...)
{
    static char word[] = "stat";
    char *argv[ARGUMENTS_MAX] = {word};
    int argc = 1;
    va_list arguments;
    int out = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    int errors = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    int status;
    assert_true(out >= 0 && errors >= 0);
    va_start(arguments, argument);
    for (; argument != NULL; argument = va_arg(arguments, const char *)) {
        assert_true(argc + 1 < ARGUMENTS_MAX);
        argv[argc++] = strdup(argument);
    }
    va_end(arguments);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        dup2(out, STDOUT_FILENO);
        dup2(errors, STDERR_FILENO);
        _exit(stat_command_in(directory, argc, argv));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    while (argc > 1) {
        free(argv[--argc]);
    }
    read_back(out, said, sizeof said);
    read_back(errors, complained, sizeof complained);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("'%s' is not in:\n%s", part, text);
    }
}

static uint32_t lines_of(const char *text)
{
    uint32_t count = 0;
    for (; (text = strchr(text, '\n')) != NULL; text++) {
        count++;
    }
    return count;
}

/* ---- Which server ---- */

static void without_a_server_it_says_where_it_looked(void **state)
{
    (void)state;
    assert_int_equal(stat_of(NULL), 2);
    assert_has(complained, "ringcast stat: no server runs here: there is no /tmp/ringcast-stat-");
    assert_has(complained, "A server in a container is visible only if it shares");
    assert_int_equal(stat_of("--list", NULL), 2);
    assert_int_equal(stat_of("--pid", "7", NULL), 2);
    assert_has(complained, "no server has process ID 7: there is no /tmp/");
}

static void the_only_server_is_meant(void **state)
{
    (void)state;
    begin(0, 1);
    assert_int_equal(stat_of("0.01", "1", NULL), 0);
    assert_int_equal(lines_of(said), 3);
    assert_string_equal(complained, "");
}

static void of_several_one_must_be_named(void **state)
{
    (void)state;
    char second[32];
    begin(0, 1);
    begin(1, 1);
    assert_int_equal(stat_of("0.01", "1", NULL), 2);
    assert_has(complained, "several servers run; choose one with --pid\n  /tmp/");
    assert_int_equal(lines_of(complained), 3);
    snprintf(second, sizeof second, "%ld.2", (long)getpid());
    counter_set(&servers[1]->publisher.ticks, 41);
    assert_int_equal(stat_of("--total", "--pid", second, NULL), 0);
    assert_has(said, " 41 - Ticks ");
    die(0);
    assert_int_equal(stat_of("--total", NULL), 0); /* The other lives. */
    assert_has(said, " 41 - Ticks ");
    die(1);
    assert_int_equal(stat_of("--total", NULL), 2);
    assert_has(complained, "choose one with --pid");
    assert_has(complained, ": has ended");
}

static void a_dead_server_has_last_totals_and_no_rates(void **state)
{
    (void)state;
    begin(0, 2);
    counter_set(&servers[0]->cores[1].sends, 17);
    die(0);
    assert_int_equal(stat_of("0.01", "5", NULL), 3);
    assert_has(said, "core-1.sends:                                  17 - Send");
    assert_null(strstr(said, "sends/s"));
    assert_has(complained, "has ended; these are its last totals");
    assert_int_equal(stat_of("--json", NULL), 3);
    assert_has(said, "\"alive\":false");
    assert_int_equal(lines_of(said), 1);
    assert_int_equal(stat_of("--list", NULL), 0);
    assert_has(said, " ended\n");
}

static void the_list_tells_what_each_file_is(void **state)
{
    (void)state;
    begin(0, 3);
    begin(1, 1);
    die(1);
    assert_int_equal(close(open(path_of("ringcast-5"), O_CREAT | O_WRONLY, 0600)), 0);
    assert_int_equal(close(open(path_of("ringcast-x"), O_CREAT | O_WRONLY, 0600)), 0);
    assert_int_equal(close(open(path_of("ringcast-5.flight"), O_CREAT | O_WRONLY, 0600)), 0);
    assert_int_equal(stat_of("--list", NULL), 0);
    assert_int_equal(lines_of(said), 4);
    assert_has(said, "        5 -              - -                   unreadable: it is no");
    assert_has(said, "     3 20");
    assert_has(said, " alive\n");
    assert_has(said, " ended\n");
    assert_int_equal(stat_of("--list", "--json", NULL), 0);
    assert_int_equal(lines_of(said), 3);
    assert_has(said, "{\"id\":\"5\",\"state\":\"unreadable\"}\n");
    assert_has(said, "\"state\":\"alive\"");
    assert_has(said, "\"cores\":3,");
}

/* ---- Lines ---- */

static void several_cores_have_a_line_each_and_one_for_all(void **state)
{
    (void)state;
    begin(0, 3);
    assert_int_equal(stat_of("0.01", "2", NULL), 0);
    assert_int_equal(lines_of(said), 2 + 2 * 4);
    assert_has(said, "  all ");
    assert_int_equal(stat_of("0.01", "2", "--core", "2", NULL), 0);
    assert_int_equal(lines_of(said), 2 + 2);
    assert_has(said, "    2 ");
    assert_int_equal(stat_of("0.01", "2", "--core", "all", NULL), 0);
    assert_int_equal(lines_of(said), 2 + 2);
    assert_has(said, "  all ");
    assert_int_equal(stat_of("0.01", "2", "--core", "3", NULL), 1);
    assert_has(complained, "--core 3: the server has 3 core(s), numbered from 0");
    assert_int_equal(stat_of("0.01", "30", "--core", "0", NULL), 0);
    assert_int_equal(lines_of(said), 2 * 2 + 30); /* The header comes again. */
    assert_int_equal(stat_of("0.01", "3", "--json", NULL), 0);
    assert_int_equal(lines_of(said), 3);
}

/* Ends when a byte has come: the server that it holds dies then. */
static void be_a_server_until(int read_end, int write_end)
{
    char byte;
    begin(0, 1);
    assert_int_equal(write(write_end, "x", 1), 1);
    (void)!read(read_end, &byte, 1);
    _exit(0);
}

static void a_server_that_dies_meanwhile_ends_it_with_a_last_line(void **state)
{
    (void)state;
    int to[2];
    int from[2];
    char byte;
    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(from), 0);
    fflush(NULL);
    pid_t server = fork();
    if (server == 0) {
        be_a_server_until(to[0], from[1]);
    }
    close(from[1]); /* So that the read ends if the child has failed. */
    assert_int_equal(read(from[0], &byte, 1), 1);
    pid_t killer = fork();
    if (killer == 0) {
        usleep(300 * 1000); /* It may come early, too: then there was no interval. */
        kill(server, SIGKILL);
        _exit(0);
    }
    assert_int_equal(stat_of("3600", NULL), 3);
    assert_int_equal(waitpid(server, NULL, 0), server);
    assert_int_equal(waitpid(killer, NULL, 0), killer);
    assert_has(complained, "has ended");
    assert_true(lines_of(said) >= 3);
    close(to[0]);
    close(to[1]);
    close(from[0]);
}

/* ---- Files that are none ---- */

static void write_file(const char *name, const void *bytes, size_t count)
{
    int fd = open(path_of(name), O_CREAT | O_WRONLY | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, count), count);
    close(fd);
}

static void assert_refused(const char *why)
{
    static const char *const forms[] = {"--total", "--json", "1"};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        assert_int_equal(stat_of("--pid", "9", forms[i], NULL), 2);
        assert_has(complained, "no server can be read\n  /tmp/");
        assert_has(complained, why);
        assert_string_equal(said, "");
    }
    assert_int_equal(stat_of("--list", NULL), 0);
    assert_has(said, why);
}

static void a_file_of_an_older_server_is_refused(void **state)
{
    (void)state;
    struct counters_header header = {.magic = COUNTERS_MAGIC, .version = 5, .core_count = 1};
    write_file("ringcast-9", &header, sizeof header);
    assert_refused("its counters have version 5, and versions before 6 cannot be read");
}

static void a_file_that_is_cut_or_something_else_is_refused(void **state)
{
    (void)state;
    static char bytes[64 * 1024];
    begin(0, 1);
    memcpy(bytes, servers[0], counters_bytes(1) < sizeof bytes ? counters_bytes(1) : sizeof bytes);
    for (size_t count = 200; count < counters_bytes(1) && count < sizeof bytes; count += 5001) {
        write_file("ringcast-9", bytes, count);
        assert_refused("it is damaged or incomplete");
    }
    for (size_t count = 0; count < 8; count++) {
        write_file("ringcast-9", bytes, count);
        assert_refused("it is not a counters file of ringcast");
    }
    memset(bytes, 'x', sizeof bytes);
    write_file("ringcast-9", bytes, sizeof bytes);
    assert_refused("it is not a counters file of ringcast");
    unlink(path_of("ringcast-9"));
    assert_int_equal(mkfifo(path_of("ringcast-9"), 0600), 0);
    assert_refused("it is not a counters file of ringcast");
}

static void a_file_that_says_that_it_is_endless_is_refused(void **state)
{
    (void)state;
    begin(0, 1);
    struct counters_header header = servers[0]->header;
    header.file_bytes = UINT32_MAX;
    write_file("ringcast-9", &header, sizeof header);
    assert_int_equal(truncate(path_of("ringcast-9"), (off_t)1 << 33), 0);
    assert_int_equal(stat_of("--pid", "9", "--total", NULL), 2);
    assert_has(complained, "the file is too long");
}

/* ---- The command line ---- */

static void what_is_not_valid_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *arguments[3];
        const char *words;
    } cases[] = {
        {{"--bad"}, "unrecognized option '--bad'"},
        {{"--pid"}, "option '--pid' requires an argument"},
        {{"--pid", "x"}, "--pid 'x' is not a process ID"},
        {{"--pid", "12/../x"}, "--pid '12/../x' is not a process ID"},
        {{"--core", "-1"}, "--core '-1' is not the number of a core, or all"},
        {{"0"}, "INTERVAL '0' is not a number of seconds from 0.01 to 86400"},
        {{"1s"}, "INTERVAL '1s' is not"},
        {{"nan"}, "INTERVAL 'nan' is not"},
        {{"1", "0"}, "COUNT '0' is not a number of intervals"},
        {{"1", "1.5"}, "COUNT '1.5' is not"},
        {{"1", "2", "3"}, "argument '3' is not expected"},
        {{"--total", "1"}, "print once"},
        {{"--list", "--watch"}, "print once"},
        {{"--list", "--total"}, "--total and --list cannot be combined"},
        {{"--list", "--core", "1"}, "--list shows all servers"},
        {{"--json", "--watch"}, "--json and --watch cannot be combined"},
        {{"--watch"}, "--watch: standard output is not a terminal"},
    };
    begin(0, 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *const *arguments = cases[i].arguments;
        assert_int_equal(stat_of(arguments[0], arguments[1], arguments[2], NULL), 1);
        assert_has(complained, cases[i].words);
        assert_has(complained, "ringcast stat: ");
        assert_string_equal(said, "");
    }
    assert_int_equal(stat_of("--bad", "--help", NULL), 1);
    assert_int_equal(stat_of("--help", NULL), 0);
    assert_has(said, "Usage: ringcast stat ");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_server_it_says_where_it_looked),
        TEST(the_only_server_is_meant),
        TEST(of_several_one_must_be_named),
        TEST(a_dead_server_has_last_totals_and_no_rates),
        TEST(the_list_tells_what_each_file_is),
        TEST(several_cores_have_a_line_each_and_one_for_all),
        TEST(a_server_that_dies_meanwhile_ends_it_with_a_last_line),
        TEST(a_file_of_an_older_server_is_refused),
        TEST(a_file_that_is_cut_or_something_else_is_refused),
        TEST(a_file_that_says_that_it_is_endless_is_refused),
        TEST(what_is_not_valid_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
