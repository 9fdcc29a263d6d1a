/* In place of the log: what the simulated system says is shown on request. */
#include <stdarg.h>
#include <stdio.h>

#include "src/base/log.h"
#include "tests/log_double.h"
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

void log_write(enum log_level level, const char *format, ...)
{
    char text[LOG_LINE_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log_post(0, level, text);
}
