#include "bench/peers/peer_ticks.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "codec/base/units.h"

uint64_t peer_now_ns(int clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

static int peer_spec_set(struct peer_spec *spec, const char *name, const char *value)
{
    const struct {
        const char *name;
        uint32_t *field;
        unsigned long min, max;
    } fields[] = {
        {"symbols", &spec->symbols, 1, PEER_SYMBOLS_MAX},
        {"rate", &spec->rate, 1, PEER_RATE_MAX},
        {"burst", &spec->burst, 1, PEER_BURST_MAX},
        {"pad", &spec->pad, PEER_PAD_MIN, PEER_PAD_MAX},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (strcmp(name, fields[i].name) == 0) {
            char *end;
            unsigned long number = strtoul(value, &end, 10);
            *fields[i].field = (uint32_t)number;
            bool is_number = end != value && *end == '\0';
            return is_number && number >= fields[i].min && number <= fields[i].max ? 0 : -EINVAL;
        }
    }
    return -EINVAL;
}

int peer_spec_parse(struct peer_spec *spec_out, const char *text)
{
    struct peer_spec spec = {.symbols = 1, .rate = 100, .burst = 1, .pad = 256};
    char *copy = strdup(text);
    int error = copy == NULL ? -ENOMEM : 0;
    char *rest = copy;
    for (char *name; error == 0 && (name = strsep(&rest, ",")) != NULL;) {
        char *value = strchr(name, '=');
        if (value == NULL) {
            error = -EINVAL;
            break;
        }
        *value = '\0';
        error = peer_spec_set(&spec, name, value + 1);
    }
    free(copy);
    if (error == 0) {
        *spec_out = spec;
    }
    return error;
}

int peer_ticks_init(struct peer_ticks *ticks, const struct peer_spec *spec)
{
    *ticks = (struct peer_ticks){.spec = *spec};
    ticks->seqs = calloc(spec->symbols, sizeof *ticks->seqs);
    return ticks->seqs == NULL ? -ENOMEM : 0;
}

void peer_ticks_deinit(struct peer_ticks *ticks)
{
    free(ticks->seqs);
}

void peer_ticks_start(struct peer_ticks *ticks)
{
    ticks->start_monotonic_ns = peer_now_ns(CLOCK_MONOTONIC);
    ticks->start_realtime_ns = peer_now_ns(CLOCK_REALTIME);
}

/* From the start to the instant of the next tick. */
static uint64_t peer_ticks_offset_ns(const struct peer_ticks *ticks)
{
    uint64_t first = ticks->made - ticks->made % ticks->spec.burst;
    uint64_t rate = ticks->spec.rate;
    return first / rate * NS_PER_SECOND + first % rate * NS_PER_SECOND / rate;
}

uint64_t peer_ticks_due_ns(const struct peer_ticks *ticks)
{
    return ticks->start_monotonic_ns + peer_ticks_offset_ns(ticks);
}

void peer_symbol_name(uint32_t symbol, char name_out[PEER_NAME_BYTES_MAX])
{
    static const char *const first[] = {"000001.SZ", "600519.SH", "300750.SZ",
                                        "AAPL.US",   "MSFT.US",   "NVDA.US"};
    if (symbol < sizeof first / sizeof *first) {
        snprintf(name_out, PEER_NAME_BYTES_MAX, "%s", first[symbol]);
    } else {
        snprintf(name_out, PEER_NAME_BYTES_MAX, "SIM%05" PRIu32 ".SIM", symbol);
    }
}

uint32_t peer_ticks_make(struct peer_ticks *ticks, char *out)
{
    uint32_t symbol = (uint32_t)(ticks->made % ticks->spec.symbols);
    uint64_t event_ns = ticks->start_realtime_ns + peer_ticks_offset_ns(ticks);
    char name[PEER_NAME_BYTES_MAX];
    char head[PEER_PAD_MIN];
    peer_symbol_name(symbol, name);
    int bytes =
        snprintf(head, sizeof head,
                 "{\"type\":\"quote\",\"symbol\":\"%s\",\"ch\":%" PRIu32 ",\"seq\":%" PRIu64
                 ",\"ts_event\":%" PRIu64 ",\"ts_pub\":%" PRIu64 ",\"filler\":\"",
                 name, symbol, ++ticks->seqs[symbol], event_ns, peer_now_ns(CLOCK_REALTIME));
    ticks->made++;
    size_t end = ticks->spec.pad - 2;
    memcpy(out, head, (size_t)bytes);
    memset(out + bytes, 'x', end - (size_t)bytes);
    memcpy(out + end, "\"}", 2);
    return symbol;
}
