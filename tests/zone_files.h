/*
 * zone_files: a directory of TZif files that a test writes, in place of the system's tzdata.
 */
#ifndef RINGCAST_TESTS_ZONE_FILES_H
#define RINGCAST_TESTS_ZONE_FILES_H

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/base/check.h"

#define ZONE_FILES_NEW_YORK "EST5EDT,M3.2.0,M11.1.0"
#define ZONE_FILES_SHANGHAI "CST-8"

static char zone_files_directory[] = "/tmp/zone_files_XXXXXX";

/* A file without changes of its own: all are in the rules. Returns its length. */
static inline size_t zone_files_make(uint8_t out[256], int32_t offset_s, const char *rules)
{
    static const char head[44] = "TZif2";
    memset(out, 0, 256);
    memcpy(out, head, sizeof head);
    memcpy(out + 44, head, sizeof head);
    out[44 + 39] = 1; /* a type */
    out[44 + 43] = 4; /* characters */
    for (unsigned i = 0; i < 4; i++) {
        out[88 + i] = (uint8_t)((uint32_t)offset_s >> (24 - 8 * i));
    }
    memcpy(out + 94, "XXX", 4);
    int rule_bytes = snprintf((char *)out + 98, 256 - 98, "\n%s\n", rules);
    assert_always(rule_bytes < 256 - 98);
    return 98 + (size_t)rule_bytes;
}

static inline void zone_files_write(const char *name, int32_t offset_s, const char *rules)
{
    char path[128];
    uint8_t bytes[256];
    size_t count = zone_files_make(bytes, offset_s, rules);
    snprintf(path, sizeof path, "%s/%s", zone_files_directory, name);
    *strrchr(path, '/') = '\0';
    mkdir(path, 0700);
    path[strlen(path)] = '/';
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    assert_always(fd >= 0);
    assert_always(write(fd, bytes, count) == (ssize_t)count);
    close(fd);
}

static inline int zone_files_set_up(void **state)
{
    (void)state;
    assert_always(mkdtemp(zone_files_directory) != NULL);
    zone_files_write("America/New_York", -5 * 3600, ZONE_FILES_NEW_YORK);
    zone_files_write("Asia/Shanghai", 8 * 3600, ZONE_FILES_SHANGHAI);
    setenv("TZDIR", zone_files_directory, 1);
    return 0;
}

static inline int zone_files_tear_down(void **state)
{
    static const char *const names[] = {"America/New_York", "Asia/Shanghai", "America", "Asia", ""};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", zone_files_directory, names[i]);
        remove(path);
    }
    unsetenv("TZDIR");
    return 0;
}

#endif
