#include "src/zero_copy.h"

#include <stdio.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "ring/io/send_costs.h"
#include "src/base/log.h"

#define ZERO_COPY_MEASURE_NS (100 * NS_PER_MS) /* most, for each kind of socket */
#define ZERO_COPY_TEXT_BYTES_MAX 192

/* The size for a kind of socket; 0: never. Appends the words for the log to text. */
static uint32_t zero_copy_measure(bool is_unix, char text[ZERO_COPY_TEXT_BYTES_MAX])
{
    struct send_costs costs;
    const char *kind = is_unix ? "Unix-domain sockets" : "TCP";
    size_t used = strlen(text);
    assert_always(used < ZERO_COPY_TEXT_BYTES_MAX);
    int error = send_costs_measure(&costs, is_unix, ZERO_COPY_MEASURE_NS);
    uint32_t bytes = error < 0 ? 0 : send_costs_threshold(&costs);
    if (error < 0) {
        snprintf(text + used, ZERO_COPY_TEXT_BYTES_MAX - used,
                 ", never over %s (its cost cannot be measured: %s)", kind, strerror(-error));
    } else if (bytes > 0) {
        snprintf(text + used, ZERO_COPY_TEXT_BYTES_MAX - used, ", from %zu KiB over %s",
                 bytes / KIB, kind);
    }
    return bytes;
}

struct core_zero_copy zero_copy_choose(const struct options *options)
{
    char text[ZERO_COPY_TEXT_BYTES_MAX] = "";
    uint32_t bytes = options->zero_copy_bytes;
    if (bytes != OPTIONS_ZERO_COPY_MEASURED) {
        return (struct core_zero_copy){.tcp_bytes = bytes, .unix_bytes = bytes};
    }
    bool has_unix = options->unix_path != NULL;
    struct core_zero_copy zero_copy = {
        .tcp_bytes = zero_copy_measure(false, text),
        .unix_bytes = has_unix ? zero_copy_measure(true, text) : 0,
        .sharers_min = SEND_COSTS_SHARERS_MIN,
    };
    if (text[0] == '\0') {
        log_write(LOG_LEVEL_INFO,
                  "zero copy: not used, because copies are cheaper on this machine");
    } else {
        log_write(LOG_LEVEL_INFO, "zero copy: %s", text + strlen(", "));
    }
    return zero_copy;
}
