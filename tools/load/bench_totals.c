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

static void bench_totals_keep(struct bench_sample_text *sample, const void *text, size_t text_bytes)
{
    sample->is_cut = text_bytes > sizeof sample->bytes;
    sample->count = (uint32_t)(sample->is_cut ? sizeof sample->bytes : text_bytes);
    memcpy(sample->bytes, text, sample->count);
}

void bench_totals_refuse(struct bench_totals *totals, const void *text, size_t text_bytes)
{
    if (totals->refusals++ == 0) {
        bench_totals_keep(&totals->first_refusal, text, text_bytes);
    }
}

void bench_totals_malformed(struct bench_totals *totals, const char *why, const void *text,
                            size_t text_bytes)
{
    if (totals->malformed++ == 0) {
        bench_totals_keep(&totals->first_malformed, text, text_bytes);
        totals->first_malformed.why = why;
    }
}

void bench_totals_unread(struct bench_totals *totals, const void *text, size_t text_bytes)
{
    totals->unread++;
    bench_totals_keep(&totals->last_unread, text, text_bytes);
}
