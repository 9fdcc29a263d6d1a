#include "tools/tap/tap_record.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "tools/tap/tap_options.h"

#define BUFFER_BYTES (256 * KIB)

struct tap_record {
    const char *path;
    FILE *file;
    bool has_failed; /* It has been reported. */
    char buffer[BUFFER_BYTES];
};

static void tap_record_fail(struct tap_record *record, int error)
{
    if (!record->has_failed) {
        fprintf(stderr, "ringcast-tap: cannot write %s: %s\n", record->path, strerror(error));
    }
    record->has_failed = true;
}

int tap_record_open(struct tap_record **record_out, const char *path)
{
    struct stat status;
    struct tap_record *record = calloc(1, sizeof *record);
    if (record == NULL) {
        fprintf(stderr, "ringcast-tap: no memory for --record\n");
        return TAP_EXIT_OUTPUT;
    }
    record->path = path;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0 || fstat(fd, &status) != 0 || (record->file = fdopen(fd, "w")) == NULL) {
        fprintf(stderr, "ringcast-tap: cannot open %s: %s\n", path, strerror(errno));
        free(record);
        return TAP_EXIT_OUTPUT;
    }
    setvbuf(record->file, record->buffer, _IOFBF, sizeof record->buffer);
    if (S_ISREG(status.st_mode) && status.st_size > 0) {
        fprintf(stderr,
                "ringcast-tap: --record: %s is not empty; remove it, or name another file\n", path);
        fclose(record->file);
        free(record);
        return TAP_EXIT_OUTPUT;
    }
    *record_out = record;
    return TAP_EXIT_DONE;
}

bool tap_record_close(struct tap_record *record)
{
    if (fclose(record->file) != 0) {
        tap_record_fail(record, errno);
    }
    bool is_whole = !record->has_failed;
    free(record);
    return is_whole;
}

static uint64_t tap_record_now_us(void)
{
    return clock_ns(CLOCK_REALTIME) / NS_PER_US;
}

void tap_record_connection(struct tap_record *record, const struct ws_client_url *url)
{
    uint64_t now_us = tap_record_now_us();
    bool is_v6 = strchr(url->host, ':') != NULL;
    if (record->has_failed) {
        return;
    }
    if (url->is_unix) {
        fprintf(record->file, "unix://%s", url->socket_path);
    } else {
        fprintf(record->file, "%s://%s%s%s:%s/", url->is_tls ? "wss" : "ws", is_v6 ? "[" : "",
                url->host, is_v6 ? "]" : "", url->port);
    }
    fprintf(record->file, " <-> %" PRIu64 ".%06" PRIu64 " " WS_CLIENT_JSON "\n", now_us / 1000000,
            now_us % 1000000);
}

void tap_record_message(struct tap_record *record, const void *json, size_t json_bytes)
{
    uint64_t now_us = tap_record_now_us();
    if (record->has_failed) {
        return;
    }
    errno = 0;
    fprintf(record->file, "%" PRIu64 ".%06" PRIu64 ": ", now_us / 1000000, now_us % 1000000);
    fwrite(json, 1, json_bytes, record->file);
    fputc('\n', record->file);
    if (ferror(record->file)) {
        tap_record_fail(record, errno);
    }
}

bool tap_record_flush(struct tap_record *record)
{
    if (!record->has_failed && fflush(record->file) != 0) {
        tap_record_fail(record, errno);
    }
    return !record->has_failed;
}
