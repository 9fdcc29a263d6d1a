/*
 * log_double: what a double of the log answers apart from its lines: there is no access log, and
 * lines with fields and audit lines are lines. One file of a program includes it, and defines
 * log_post.
 */
#ifndef RINGCAST_TESTS_LOG_DOUBLE_H
#define RINGCAST_TESTS_LOG_DOUBLE_H

#include <stdio.h>
#include <stdlib.h>

#include "src/base/log.h"

bool log_has_access(void)
{
    return false;
}

bool log_is_json(void)
{
    return false;
}

void log_write_access(const char *line)
{
    (void)line;
    abort();
}

void log_post_access(uint32_t producer, const char *line)
{
    (void)producer;
    log_write_access(line);
}

void log_post_fields(uint32_t producer, enum log_level level, const struct log_fields *fields,
                     const char *text)
{
    (void)fields;
    log_post(producer, level, text);
}

void log_post_audit(uint32_t producer, const char *word, const struct log_fields *fields,
                    const char *text)
{
    char line[LOG_LINE_BYTES_MAX];
    (void)fields;
    snprintf(line, sizeof line, "audit: %s %s", word, text);
    log_post(producer, LOG_LEVEL_WARNING, line);
}

#endif
