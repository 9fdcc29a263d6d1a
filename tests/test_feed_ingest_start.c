/* How an ingest begins: standard input, addresses, and what cannot be. */
#include <sys/stat.h>

#include "ingest_fixture.h"

/* ---- Standard input ---- */

/* Opens the feed with descriptor 0 in place of standard input. */
static struct feed *open_input(struct recorder *recorder, int input)
{
    struct feed *feed = NULL;
    int kept = dup(STDIN_FILENO);
    assert_int_equal(dup2(input, STDIN_FILENO), STDIN_FILENO);
    int error = feed_open(&feed, "ingest:stdin", &recorder->sink, INGEST_NOW_NS, recorder->error);
    assert_int_equal(dup2(kept, STDIN_FILENO), STDIN_FILENO);
    close(kept);
    assert_int_equal(error, 0);
    return feed;
}

static void standard_input_ends_the_feed_with_its_last_line(void **state)
{
    (void)state;
    char text[256];
    struct recorder *recorder = recorder_create();
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct feed *feed = open_input(recorder, ends[0]);
    assert_true(recorder->watched_fd >= 0);
    struct feed *other;
    assert_int_equal(
        feed_open(&other, "ingest:stdin", &recorder->sink, INGEST_NOW_NS, recorder->error), -EBUSY);
    assert_non_null(strstr(recorder->error, "another feed reads it already"));
    assert_int_equal(
        feed_open(&other, "replay:path=-", &recorder->sink, INGEST_NOW_NS, recorder->error),
        -EBUSY);
    ingest_trade(text, "A", 0);
    assert_int_equal(write(ends[1], text, strlen(text)), strlen(text));
    assert_int_equal(write(ends[1], text, strlen(text) - 1), strlen(text) - 1);
    assert_true(recorder_run(feed, INGEST_NOW_NS, INGEST_NOW_NS) == INGEST_NOW_NS);
    assert_int_equal(recorder->tick_count, 1);
    close(ends[1]);
    while (feed->ops->poll(feed, INGEST_NOW_NS) != FEED_NEVER) {
    }
    assert_int_equal(recorder->tick_count, 2);
    assert_int_equal(recorder->watched_fd, -1);
    assert_int_equal(feed->state, FEED_DOWN);
    feed->ops->close(feed);
    close(ends[0]);
    recorder_destroy(recorder);
}

static void standard_input_may_be_a_file(void **state)
{
    (void)state;
    char text[256];
    struct recorder *recorder = recorder_create();
    FILE *file = tmpfile();
    assert_non_null(file);
    fputs("another program has read this line\n", file);
    long begin = ftell(file);
    for (int i = 0; i < 5000; i++) {
        fputs(ingest_trade(text, "A", 0), file);
    }
    fflush(file);
    assert_int_equal(lseek(fileno(file), begin, SEEK_SET), begin);
    struct feed *feed = open_input(recorder, fileno(file));
    for (int i = 0; i < INGEST_POLLS_MAX; i++) {
        if (feed->ops->poll(feed, INGEST_NOW_NS) == FEED_NEVER) {
            break;
        }
    }
    assert_int_equal(recorder->tick_count, 5000);
    assert_int_equal(feed->counters.malformed, 0);
    assert_int_equal(feed->state, FEED_DOWN);
    feed->ops->close(feed);
    fclose(file);
    recorder_destroy(recorder);
}

/* ---- Starting ---- */

static void assert_start_refused(const char *spec, int error, const char *part)
{
    struct recorder *recorder = recorder_create();
    struct feed *feed;
    int result = feed_open(&feed, spec, &recorder->sink, INGEST_NOW_NS, recorder->error);
    if (result != error || strstr(recorder->error, part) == NULL) {
        fail_msg("%s: %d, \"%s\" does not say \"%s\"", spec, result, recorder->error, part);
    }
    recorder_destroy(recorder);
}

static void a_start_that_cannot_be_says_what_to_do(void **state)
{
    (void)state;
    struct ingest_fixture *fixture = ingest_fixture_create(NULL, "");
    char spec[512];
    assert_start_refused("ingest", -EINVAL, "Give unix=PATH, tcp=HOST:PORT or stdin");
    assert_start_refused("ingest:stdin,udp=x", -EINVAL, "valid: unix, tcp, stdin, open");
    static const char *const addresses[] = {"9000", ":9000", "::1:9000", "h:", "h:x", "h:65536"};
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        snprintf(spec, sizeof spec, "ingest:tcp=%s", addresses[i]);
        assert_start_refused(spec, -EINVAL, "is not HOST:PORT, for example 127.0.0.1:9000");
    }
    assert_start_refused("ingest:tcp=0.0.0.0:0", -EACCES, "add open=yes, or listen on 127.0.0.1");
    snprintf(spec, sizeof spec, "ingest:unix=%s", fixture->path);
    assert_start_refused(spec, -EADDRINUSE, "another program listens there");
    snprintf(spec, sizeof spec, "ingest:unix=%s/%0200d", fixture->folder, 0);
    assert_start_refused(spec, -ENAMETOOLONG, "is too long (at most 107 bytes)");
    snprintf(spec, sizeof spec, "ingest:unix=%s/no/socket", fixture->folder);
    assert_start_refused(spec, -ENOENT, "its directory must exist");
    snprintf(spec, sizeof spec, "ingest:unix=%s", fixture->folder);
    assert_start_refused(spec, -EADDRINUSE, "the file is not a socket");
    ingest_fixture_destroy(fixture);
}

static void a_socket_that_a_dead_server_left_is_replaced(void **state)
{
    (void)state;
    char path[] = "/tmp/ringcast-ingest-XXXXXX";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct recorder *recorder = recorder_create();
    struct feed *feed;
    char spec[128];
    close(mkstemp(path));
    unlink(path);
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd); /* The file stays. */
    snprintf(spec, sizeof spec, "ingest:unix=%s", path);
    assert_int_equal(feed_open(&feed, spec, &recorder->sink, INGEST_NOW_NS, recorder->error), 0);
    feed->ops->close(feed);
    assert_int_equal(access(path, F_OK), -1);
    recorder_destroy(recorder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(standard_input_ends_the_feed_with_its_last_line),
        cmocka_unit_test(standard_input_may_be_a_file),
        cmocka_unit_test(a_start_that_cannot_be_says_what_to_do),
        cmocka_unit_test(a_socket_that_a_dead_server_left_is_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
