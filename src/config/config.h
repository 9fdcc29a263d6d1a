/*
 * config: a configuration file, which is YAML, handed over entry by entry with key path and line.
 *
 * Knows YAML and no key. What a configuration has no use for is refused and never followed:
 * anchors, aliases, tags, a second document, lists of anything but texts. So what a file can make
 * it hold is its bytes, CONFIG_BYTES_MAX at most, and what libyaml keeps of one entry.
 *
 * Owner    The caller; nothing outlives the call. An entry is borrowed for the call of the sink.
 * Threads  Any.
 * Errors   -EINVAL, -ENOMEM or what open and read return, with one line that names the file, the
 *          line and the key path. What the sink returns ends it, and is returned.
 * Source   YAML 1.1 as libyaml reads it (docs/decisions/0008).
 */
#ifndef RINGCAST_SRC_CONFIG_H
#define RINGCAST_SRC_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#define CONFIG_BYTES_MAX ((size_t)256 * 1024)
#define CONFIG_DEPTH_MAX 8 /* sections within each other */
#define CONFIG_KEY_BYTES_MAX 64
#define CONFIG_PATH_BYTES_MAX (CONFIG_DEPTH_MAX * (CONFIG_KEY_BYTES_MAX + 1))
#define CONFIG_ERROR_BYTES_MAX 1024

enum config_kind {
    CONFIG_SECTION, /* keys of its own follow */
    CONFIG_LIST,    /* its items follow, one at least */
    CONFIG_ITEM,    /* text, within the list at path */
    CONFIG_VALUE,   /* text */
    CONFIG_NOTHING, /* a key without a value */
};

struct config_entry {
    const char *file;
    const char *path; /* "websocket.port" */
    uint32_t line;    /* from 1: the key's, or the item's */
    enum config_kind kind;
    const char *text; /* of a value or an item; else NULL */
};

struct config_sink {
    void *context;
    int (*take)(void *context, const struct config_entry *entry,
                char error_out[CONFIG_ERROR_BYTES_MAX]);
};

int config_read(const char *path, const struct config_sink *sink,
                char error_out[CONFIG_ERROR_BYTES_MAX]);

/* text is what the file named holds. */
int config_parse(const char *file, const void *text, size_t text_bytes,
                 const struct config_sink *sink, char error_out[CONFIG_ERROR_BYTES_MAX]);

/* Writes "FILE:LINE: PATH: " and the rest, and returns -EINVAL. */
int config_refuse(const struct config_entry *entry, char error_out[CONFIG_ERROR_BYTES_MAX],
                  const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
