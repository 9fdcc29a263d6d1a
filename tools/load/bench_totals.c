#include "tools/load/bench_totals.h"

#include <string.h>

void bench_totals_count_close(struct bench_stream_totals *totals, uint32_t code, uint32_t count)
{
    uint32_t i = 0;
    while (i < totals->close_code_count && totals->closes[i].code != code) {
        i++;
    }
    if (i == BENCH_CLOSE_CODES_MAX) {
        return;
    }
    if (i == totals->close_code_count) {
        totals->closes[i] = (struct bench_close_count){.code = code};
        totals->close_code_count++;
    }
    totals->closes[i].count += count;
}

static void bench_totals_keep(char sample[BENCH_SAMPLE_BYTES_MAX], const void *text,
                              size_t text_bytes)
{
    size_t bytes = text_bytes < BENCH_SAMPLE_BYTES_MAX ? text_bytes : BENCH_SAMPLE_BYTES_MAX - 1;
    memcpy(sample, text, bytes);
    sample[bytes] = 0;
}

void bench_totals_refuse(struct bench_totals *totals, const void *text, size_t text_bytes)
{
    if (totals->refusals++ == 0) {
        bench_totals_keep(totals->refusal_text, text, text_bytes);
    }
}

void bench_totals_malformed(struct bench_totals *totals, const void *text, size_t text_bytes)
{
    if (totals->malformed++ == 0) {
        bench_totals_keep(totals->malformed_text, text, text_bytes);
    }
}
