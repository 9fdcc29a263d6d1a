/* ingest_fixture: an ingest with a recorder as its sink, a clock of its own, and producers on real
 * sockets. */
#ifndef RINGCAST_TESTS_INGEST_FIXTURE_H
#define RINGCAST_TESTS_INGEST_FIXTURE_H

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "codec/base/units.h"
#include "feed_recorder.h"
#include "feeds/stream_ticks.h"

#define INGEST_NOW_NS UINT64_C(1732078800000000000)
#define INGEST_POLLS_MAX 100000
#define INGEST_HEARD_BYTES (1 << 20)

struct ingest_fixture {
    struct recorder *recorder;
    struct feed *feed;
    char folder[64];
    char path[80];
    uint64_t now_ns;
    uint64_t due_ns; /* of the last poll */
    char heard[INGEST_HEARD_BYTES + 1];
};

/* extra: further keys, with a comma before them. */
static inline struct ingest_fixture *ingest_fixture_create(const struct feed_admission *admission,
                                                           const char *extra)
{
    char spec[256];
    struct ingest_fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->recorder = recorder_create();
    fixture->recorder->sink.admission = admission;
    fixture->recorder->sink.epoch = 0xabc;
    fixture->now_ns = INGEST_NOW_NS;
    strcpy(fixture->folder, "/tmp/ringcast-ingest-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(fixture->path, sizeof fixture->path, "%s/socket", fixture->folder);
    snprintf(spec, sizeof spec, "ingest:unix=%s%s", fixture->path, extra);
    int error = feed_open(&fixture->feed, spec, &fixture->recorder->sink, fixture->now_ns,
                          fixture->recorder->error);
    assert_string_equal(fixture->recorder->error, "");
    assert_int_equal(error, 0);
    return fixture;
}

static inline void ingest_fixture_close(struct ingest_fixture *fixture)
{
    if (fixture->feed != NULL) {
        fixture->feed->ops->close(fixture->feed);
        fixture->feed = NULL;
    }
}

static inline void ingest_fixture_destroy(struct ingest_fixture *fixture)
{
    ingest_fixture_close(fixture);
    assert_int_equal(access(fixture->path, F_OK), -1); /* The feed has removed it. */
    rmdir(fixture->folder);
    recorder_destroy(fixture->recorder);
    free(fixture);
}

static inline void ingest_poll(struct ingest_fixture *fixture)
{
    fixture->due_ns = fixture->feed->ops->poll(fixture->feed, fixture->now_ns);
}

/* Polls until nothing is left to be done at this time, and nothing is to be read. */
static inline void ingest_settle(struct ingest_fixture *fixture)
{
    for (int i = 0; i < INGEST_POLLS_MAX; i++) {
        struct pollfd watched = {.fd = fixture->recorder->watched_fd, .events = POLLIN};
        ingest_poll(fixture);
        if (fixture->due_ns > fixture->now_ns && poll(&watched, 1, 0) == 0) {
            return;
        }
    }
    fail_msg("it asks to be polled again and again");
}

/* Polls as the publisher would, until the time has passed. */
static inline void ingest_pass(struct ingest_fixture *fixture, uint64_t ns)
{
    uint64_t end_ns = fixture->now_ns + ns;
    ingest_settle(fixture);
    while (fixture->due_ns < end_ns) {
        fixture->now_ns = fixture->due_ns;
        ingest_settle(fixture);
    }
    fixture->now_ns = end_ns;
    ingest_settle(fixture);
}

static inline int ingest_dial(struct ingest_fixture *fixture)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    strcpy(address.sun_path, fixture->path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    ingest_settle(fixture);
    return fd;
}

/* Sends all, and polls while the socket takes no more. */
static inline void ingest_send(struct ingest_fixture *fixture, int fd, const void *bytes,
                               size_t count)
{
    for (size_t sent = 0; sent < count;) {
        ssize_t now =
            send(fd, (const char *)bytes + sent, count - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (now < 0) {
            assert_int_equal(errno, EAGAIN);
        }
        sent += now < 0 ? 0 : (size_t)now;
        ingest_settle(fixture);
    }
}

static inline void ingest_say(struct ingest_fixture *fixture, int fd, const char *text)
{
    ingest_send(fixture, fd, text, strlen(text));
}

/* All that has been sent to the producer since the last call; "(end)" behind it when the connection
 * has ended. */
static inline const char *ingest_hear(struct ingest_fixture *fixture, int fd)
{
    size_t count = 0;
    ssize_t now;
    ingest_settle(fixture);
    while ((now = recv(fd, fixture->heard + count, INGEST_HEARD_BYTES - 8 - count, MSG_DONTWAIT)) >
           0) {
        count += (size_t)now;
        ingest_settle(fixture);
    }
    strcpy(fixture->heard + count, now == 0 || errno != EAGAIN ? "(end)" : "");
    return fixture->heard;
}

static inline void ingest_expect(struct ingest_fixture *fixture, int fd, const char *text)
{
    assert_string_equal(ingest_hear(fixture, fd), text);
}

/* Part of what has been sent is text. */
static inline void ingest_expect_part(struct ingest_fixture *fixture, int fd, const char *part)
{
    const char *heard = ingest_hear(fixture, fd);
    if (strstr(heard, part) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", part, heard);
    }
}

#define INGEST_HELLO "{\"type\":\"HELLO\",\"data\":{\"name\":\"desk\",\"epoch\":5}}\n"

/* q 0: without. Returns text. */
static inline const char *ingest_trade(char text[256], const char *symbol, uint64_t q)
{
    char number[40] = "";
    if (q > 0) {
        snprintf(number, sizeof number, "\"q\":%llu,", (unsigned long long)q);
    }
    snprintf(text, 256,
             "{\"type\":\"trade\",\"symbol\":\"%s\",%s\"ts_event\":1700000000100000000,"
             "\"data\":{\"price\":10.32,\"size\":300,\"side\":\"buy\"}}\n",
             symbol, number);
    return text;
}

static inline void ingest_say_trade(struct ingest_fixture *fixture, int fd, const char *symbol,
                                    uint64_t q)
{
    char text[256];
    ingest_say(fixture, fd, ingest_trade(text, symbol, q));
}

#endif
