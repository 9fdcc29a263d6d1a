/* In place of the log: what the simulated system says is shown on request. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "src/base/log.h"
#include "tests/sim_engine.h"
#include "tests/sim_system.h"

bool log_wants(enum log_level level)
{
    (void)level;
    return true;
}

void log_post(uint32_t producer, enum log_level level, const char *text)
{
    if (getenv("SIM_TRACE") != NULL) {
        printf("%llu us, producer %u, level %d: %s\n",
               (unsigned long long)(sim.now_ns - world.began_ns) / 1000, producer, (int)level,
               text);
    }
}

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

void log_write(enum log_level level, const char *format, ...)
{
    char text[LOG_LINE_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log_post(0, level, text);
}
