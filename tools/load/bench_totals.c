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

void bench_totals_refuse(struct bench_totals *totals, const void *text, size_t text_bytes)
{
    if (totals->refusals == 0) {
        size_t bytes = text_bytes;
        bytes = bytes < sizeof totals->refusal_text ? bytes : sizeof totals->refusal_text - 1;
        memcpy(totals->refusal_text, text, bytes);
        totals->refusal_text[bytes] = 0;
    }
    totals->refusals++;
}
