#include "src/guard/sample_history.h"

#include "codec/base/check.h"

bool sample_history_offer(struct sample_history *history, const struct sample *sample)
{
    if (sample->taken_ns < history->due_ns) {
        return false;
    }
    bool is_late = sample->taken_ns - history->due_ns >= SAMPLE_HISTORY_INTERVAL_NS;
    history->due_ns = (is_late ? sample->taken_ns : history->due_ns) + SAMPLE_HISTORY_INTERVAL_NS;
    history->samples[history->count % SAMPLE_HISTORY_COUNT_MAX] = *sample;
    history->count++;
    assert_always(history->due_ns > sample->taken_ns);
    return true;
}

uint32_t sample_history_copy(const struct sample_history *history, uint64_t since_ns,
                             struct sample *samples_out)
{
    uint64_t first =
        history->count < SAMPLE_HISTORY_COUNT_MAX ? 0 : history->count - SAMPLE_HISTORY_COUNT_MAX;
    uint32_t count = 0;
    for (uint64_t i = first; i < history->count; i++) {
        const struct sample *sample = &history->samples[i % SAMPLE_HISTORY_COUNT_MAX];
        assert_debug(i == first ||
                     sample->taken_ns >=
                         history->samples[(i - 1) % SAMPLE_HISTORY_COUNT_MAX].taken_ns);
        if (sample->taken_ns >= since_ns) {
            samples_out[count++] = *sample;
        }
    }
    assert_always(count <= SAMPLE_HISTORY_COUNT_MAX);
    return count;
}
