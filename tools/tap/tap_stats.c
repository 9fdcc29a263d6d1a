#include "tools/tap/tap_stats.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "codec/base/check.h"
#include "codec/base/keyed_hash.h"
#include "codec/base/units.h"
#include "tools/common/histogram.h"
#include "tools/common/terminal_text.h"

#define HEADING_LINES 20 /* The heading is printed again after so many lines. */
#define SLOT_COUNT (2 * TAP_STATS_SYMBOLS_MAX)
#define TIME_BYTES_MAX 16
#define STATS_SYMBOL_BYTES_MAX 192 /* with escapes */

struct tap_stats_symbol {
    uint64_t ticks, bytes;
    uint8_t name_bytes;
    char name[STATS_SYMBOL_BYTES_MAX];
};

/* The counters of a second, or of the whole run. */
struct tap_stats_sum {
    uint64_t ticks, bytes;
    uint64_t gaps, lost; /* GAPs, and the ticks that they report as lost */
    struct histogram event, pub;
};

struct tap_stats {
    FILE *out;
    uint64_t begin_ns; /* monotonic */
    uint64_t line_ns;  /* when the last line was due */
    uint64_t line_count;
    uint64_t live_ns;     /* Ticks that were published before are not measured; 0: not known. */
    uint64_t early_count; /* ticks that arrived before their own ts_event or ts_pub */
    struct tap_stats_sum second, whole;
    struct tap_stats_symbol **slots; /* open addressing; half of them stay free */
    uint32_t symbol_count;
    struct tap_stats_symbol others; /* beyond TAP_STATS_SYMBOLS_MAX */
    struct keyed_hash hash;
};

struct tap_stats *tap_stats_create(FILE *out, uint64_t monotonic_ns)
{
    struct tap_stats *stats = calloc(1, sizeof *stats);
    struct tap_stats_symbol **slots = calloc(SLOT_COUNT, sizeof *slots);
    if (stats == NULL || slots == NULL ||
        getrandom(&stats->hash, sizeof stats->hash, 0) != sizeof stats->hash) {
        free(stats);
        free(slots);
        return NULL;
    }
    stats->out = out;
    stats->begin_ns = monotonic_ns;
    stats->line_ns = monotonic_ns;
    stats->slots = slots;
    return stats;
}

void tap_stats_destroy(struct tap_stats *stats)
{
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        free(stats->slots[i]);
    }
    free(stats->slots);
    free(stats);
}

static struct tap_stats_symbol *tap_stats_symbol_of(struct tap_stats *stats, struct tap_slice name)
{
    size_t name_bytes = name.bytes < STATS_SYMBOL_BYTES_MAX ? name.bytes : STATS_SYMBOL_BYTES_MAX;
    uint64_t slot = keyed_hash_bytes(&stats->hash, name.text, name_bytes);
    static_assert(STATS_SYMBOL_BYTES_MAX <= UINT8_MAX, "the length of a name");
    assert_always(stats->symbol_count <= TAP_STATS_SYMBOLS_MAX);
    for (;; slot++) {
        struct tap_stats_symbol **at = &stats->slots[slot % SLOT_COUNT];
        if (*at == NULL) {
            if (stats->symbol_count < TAP_STATS_SYMBOLS_MAX) {
                *at = calloc(1, sizeof **at);
            }
            if (*at == NULL) {
                return &stats->others;
            }
            stats->symbol_count++;
            (*at)->name_bytes = (uint8_t)name_bytes;
            memcpy((*at)->name, name.text, name_bytes);
            return *at;
        }
        if ((*at)->name_bytes == name_bytes && memcmp((*at)->name, name.text, name_bytes) == 0) {
            return *at;
        }
    }
}

/* since_ns 0: the tick does not have that time. */
static void tap_stats_measure(struct tap_stats *stats, struct histogram *second,
                              struct histogram *whole, uint64_t since_ns, uint64_t received_ns)
{
    if (since_ns == 0) {
        return;
    }
    uint64_t latency_ns = received_ns > since_ns ? received_ns - since_ns : 0;
    stats->early_count += received_ns < since_ns;
    histogram_record(second, latency_ns);
    histogram_record(whole, latency_ns);
}

void tap_stats_on_tick(struct tap_stats *stats, const struct tap_tick *tick, uint64_t received_ns)
{
    struct tap_stats_symbol *symbol = tap_stats_symbol_of(stats, tick->symbol);
    symbol->ticks++;
    symbol->bytes += tick->wire_bytes;
    stats->second.ticks++;
    stats->second.bytes += tick->wire_bytes;
    stats->whole.ticks++;
    stats->whole.bytes += tick->wire_bytes;
    if (stats->live_ns == 0 || tick->ts_pub_ns < stats->live_ns) {
        return;
    }
    tap_stats_measure(stats, &stats->second.event, &stats->whole.event, tick->ts_event_ns,
                      received_ns);
    tap_stats_measure(stats, &stats->second.pub, &stats->whole.pub, tick->ts_pub_ns, received_ns);
}

void tap_stats_on_control(struct tap_stats *stats, const struct control_reply *reply)
{
    static const char *const answers[] = {"SUBSCRIBED", "RESUMED", "END_OF_REPLAY"};
    if (reply->type == CONTROL_GAP) {
        uint64_t lost = reply->to >= reply->from ? reply->to - reply->from + 1 : 0;
        stats->second.gaps++;
        stats->second.lost += lost;
        stats->whole.gaps++;
        stats->whole.lost += lost;
        return;
    }
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        if (strcmp(reply->name, answers[i]) == 0) {
            (void)control_reply_u64(reply->root, "ts", &stats->live_ns);
        }
    }
}

/* "12.3us"; "-": nothing was measured. */
static const char *tap_stats_time(char text[TIME_BYTES_MAX], const struct histogram *histogram,
                                  uint64_t ns)
{
    static const struct {
        double ns;
        const char *name;
    } units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}, {1, "ns"}};
    if (histogram->count == 0) {
        return "-";
    }
    size_t unit = 0;
    while (unit < 3 && (double)ns < units[unit].ns) {
        unit++;
    }
    double value = (double)ns / units[unit].ns;
    snprintf(text, TIME_BYTES_MAX, "%.*f%s", unit == 3 || value >= 99.95 ? 0 : 1, value,
             units[unit].name);
    return text;
}

static void tap_stats_print_latency(FILE *out, const struct histogram *histogram)
{
    char p50[TIME_BYTES_MAX], p99[TIME_BYTES_MAX], most[TIME_BYTES_MAX];
    fprintf(out, " %8s %8s %8s",
            tap_stats_time(p50, histogram, histogram_percentile(histogram, 50)),
            tap_stats_time(p99, histogram, histogram_percentile(histogram, 99)),
            tap_stats_time(most, histogram, histogram->max_ns));
}

static void tap_stats_print_line(struct tap_stats *stats, const char *name,
                                 const struct tap_stats_sum *sum, uint64_t ns)
{
    double seconds = (double)ns / (double)NS_PER_SECOND;
    fprintf(stats->out, "%-8s %10.0f %12.0f", name, (double)sum->ticks / seconds,
            (double)sum->bytes / seconds);
    tap_stats_print_latency(stats->out, &sum->event);
    tap_stats_print_latency(stats->out, &sum->pub);
    fprintf(stats->out, " %6" PRIu64 " %8" PRIu64 "\n", sum->gaps, sum->lost);
}

static void tap_stats_print_heading(FILE *out)
{
    fprintf(out, "%-8s %10s %12s  %-26s %-26s\n", "", "", "", "latency by ts_event",
            "latency by ts_pub");
    fprintf(out, "%-8s %10s %12s %8s %8s %8s %8s %8s %8s %6s %8s\n", "second", "ticks/s", "bytes/s",
            "p50", "p99", "max", "p50", "p99", "max", "gaps", "lost");
}

void tap_stats_on_pass(struct tap_stats *stats, uint64_t monotonic_ns)
{
    char name[24];
    if (monotonic_ns - stats->line_ns < NS_PER_SECOND) {
        return;
    }
    if (stats->line_count++ % HEADING_LINES == 0) {
        tap_stats_print_heading(stats->out);
    }
    snprintf(name, sizeof name, "%" PRIu64, (monotonic_ns - stats->begin_ns) / NS_PER_SECOND);
    tap_stats_print_line(stats, name, &stats->second, monotonic_ns - stats->line_ns);
    fflush(stats->out);
    stats->line_ns = monotonic_ns;
    memset(&stats->second, 0, sizeof stats->second);
}

/* Most ticks first; of as many, by name. */
static int tap_stats_compare(const void *left, const void *right)
{
    const struct tap_stats_symbol *a = *(struct tap_stats_symbol *const *)left;
    const struct tap_stats_symbol *b = *(struct tap_stats_symbol *const *)right;
    if (a->ticks != b->ticks) {
        return a->ticks > b->ticks ? -1 : 1;
    }
    size_t least = a->name_bytes < b->name_bytes ? a->name_bytes : b->name_bytes;
    int order = memcmp(a->name, b->name, least);
    return order != 0 ? order : (int)a->name_bytes - (int)b->name_bytes;
}

static void tap_stats_print_symbol(const struct tap_stats *stats, const char *name,
                                   const struct tap_stats_symbol *symbol, double seconds)
{
    fprintf(stats->out, "%-32s %12" PRIu64 " %10.1f %14" PRIu64 " %6.1f%%\n", name, symbol->ticks,
            (double)symbol->ticks / seconds, symbol->bytes,
            100 * (double)symbol->ticks / (double)stats->whole.ticks);
}

/* Sorted into the first slots; the table is not searched any more. */
static void tap_stats_print_table(struct tap_stats *stats, double seconds)
{
    char name[4 * STATS_SYMBOL_BYTES_MAX + 1];
    uint32_t count = 0;
    struct tap_stats_symbol rest = stats->others;
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        struct tap_stats_symbol *symbol = stats->slots[i];
        if (symbol != NULL) {
            stats->slots[i] = NULL;
            stats->slots[count++] = symbol;
        }
    }
    assert_always(count == stats->symbol_count);
    qsort(stats->slots, count, sizeof *stats->slots, tap_stats_compare);
    fprintf(stats->out, "\n%-32s %12s %10s %14s %7s\n", "symbol", "ticks", "ticks/s", "bytes",
            "share");
    for (uint32_t i = 0; i < count; i++) {
        const struct tap_stats_symbol *symbol = stats->slots[i];
        if (i >= TAP_STATS_ROWS_MAX) {
            rest.ticks += symbol->ticks;
            rest.bytes += symbol->bytes;
            continue;
        }
        terminal_text_copy(name, sizeof name, symbol->name, symbol->name_bytes);
        tap_stats_print_symbol(stats, name, symbol, seconds);
    }
    if (rest.ticks > 0) {
        tap_stats_print_symbol(stats, "(all others)", &rest, seconds);
    }
}

/* "1 tick", "2 ticks" */
static const char *tap_stats_s(uint64_t count)
{
    return count == 1 ? "" : "s";
}

void tap_stats_on_end(struct tap_stats *stats, uint64_t monotonic_ns)
{
    uint64_t run_ns = monotonic_ns > stats->begin_ns ? monotonic_ns - stats->begin_ns : 1;
    double seconds = (double)run_ns / (double)NS_PER_SECOND;
    const struct tap_stats_sum *whole = &stats->whole;
    fprintf(stats->out,
            "\n%" PRIu64 " tick%s, %" PRIu64 " bytes in %.1f s; %" PRIu64 " gap%s, %" PRIu64
            " tick%s lost\n",
            whole->ticks, tap_stats_s(whole->ticks), whole->bytes, seconds, whole->gaps,
            tap_stats_s(whole->gaps), whole->lost, tap_stats_s(whole->lost));
    tap_stats_print_heading(stats->out);
    tap_stats_print_line(stats, "whole", &stats->whole, run_ns);
    if (stats->early_count > 0) {
        fprintf(stats->out,
                "%" PRIu64 " time%s later than the receipt of the tick: the clocks of the hosts "
                "differ, and latencies are wrong by as much\n",
                stats->early_count, stats->early_count == 1 ? " is" : "s are");
    }
    if (stats->whole.ticks > 0) {
        tap_stats_print_table(stats, seconds);
    }
}
