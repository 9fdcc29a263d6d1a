#include "tools/insight/stat_tls.h"

#include <inttypes.h>
#include <math.h>

#include "codec/base/check.h"
#include "codec/base/units.h"

static const char *const stat_tls_connections[] = {"tls_12", "tls_13", NULL};
static const char *const stat_tls_unfinished[] = {"tls_running", "tls_waiting", NULL};
static const char *const stat_tls_resumed[] = {"tls_resumed", NULL};
static const char *const stat_tls_finished[] = {"tls_full", "tls_resumed", NULL};
static const char *const stat_tls_failed[] = {
    "tls_not_tls", "tls_protocol", "tls_certificate", "tls_alert",
    "tls_left",    "tls_late",     "tls_internal",    NULL};
static const char *const stat_tls_sent[] = {"tls_records_out", NULL};

/* The sum of counters; what the file does not have is 0. */
static uint64_t stat_tls_sum(const struct stat_sample *now, const struct stat_sample *before,
                             const char *const *names, uint32_t core)
{
    uint64_t sum = 0;
    for (; *names != NULL; names++) {
        struct counters_entry entry;
        if (counters_read_find(&now->read, COUNTERS_CORE, *names, &entry) &&
            entry.kind != COUNTERS_HISTOGRAM &&
            (core == COUNTERS_READ_ALL || core < counters_read_instances(&now->read, &entry))) {
            sum += stat_sample_value(now, before, &entry, core);
        }
    }
    return sum;
}

bool stat_tls_is_used(const struct stat_sample *now, uint32_t core)
{
    return stat_tls_sum(now, NULL, stat_tls_connections, core) +
               stat_tls_sum(now, NULL, stat_tls_unfinished, core) +
               stat_tls_sum(now, NULL, stat_tls_finished, core) +
               stat_tls_sum(now, NULL, stat_tls_failed, core) >
           0;
}

/* A small rate is not rounded to 0, because 0 means none at all. */
static void stat_tls_print_rate(FILE *out, const char *text, uint64_t count, double seconds)
{
    double rate = (double)count / seconds;
    fprintf(out, "%s%.*f", text, rate < 9.95 && rate != floor(rate) ? 1 : 0, rate);
}

void stat_tls_print_line(FILE *out, const struct stat_sample *now, const struct stat_sample *before,
                         uint32_t core)
{
    assert_always(now->monotonic_ns >= before->monotonic_ns);
    double seconds =
        fmax(1.0, (double)(now->monotonic_ns - before->monotonic_ns)) / (double)NS_PER_SECOND;
    fprintf(out, "%13s clients %" PRIu64,
            "tls:", stat_tls_sum(now, before, stat_tls_connections, core));
    stat_tls_print_rate(out, ", handshakes/s ", stat_tls_sum(now, before, stat_tls_finished, core),
                        seconds);
    stat_tls_print_rate(out, " (resumed ", stat_tls_sum(now, before, stat_tls_resumed, core),
                        seconds);
    stat_tls_print_rate(out, "), failed/s ", stat_tls_sum(now, before, stat_tls_failed, core),
                        seconds);
    fprintf(out, ", unfinished %" PRIu64, stat_tls_sum(now, before, stat_tls_unfinished, core));
    stat_tls_print_rate(out, ", records/s ", stat_tls_sum(now, before, stat_tls_sent, core),
                        seconds);
    fputc('\n', out);
}
