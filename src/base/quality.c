#include "src/base/quality.h"

#include <string.h>

#include "codec/base/check.h"

static_assert(sizeof(struct quality) == 24, "counted per connection");
static_assert(QUALITY_BLOCKED_POINTS + QUALITY_LOST_POINTS + QUALITY_AGAIN_POINTS +
                      QUALITY_PONG_POINTS ==
                  100,
              "the worst connection has 0");
static_assert(QUALITY_LONGEST_NS / NS_PER_MS <= UINT16_MAX, "blocked_ms does not run over");

void quality_begin(struct quality *quality, uint32_t number)
{
    *quality = (struct quality){.number = number};
}

/* points, when part is worst_share of the whole; no more than that. */
static double quality_cost(double points, double worst_share, double part, double whole)
{
    assert_debug(worst_share > 0);
    double share = whole > 0 ? part / whole / worst_share : 0;
    return points * (share < 1 ? share : 1);
}

static double quality_cost_of(const struct quality *quality, const struct quality_counts *counts,
                              uint64_t passed_ns)
{
    uint32_t sent = (uint32_t)counts->frames_sent - quality->frames_sent;
    uint32_t lost = (uint32_t)counts->frames_lost - quality->frames_lost;
    uint16_t again = (uint16_t)(counts->segments_again - quality->segments_again);
    uint16_t blocked_ms = (uint16_t)(counts->blocked_ns / NS_PER_MS - quality->blocked_ms);
    double cost = quality_cost(QUALITY_BLOCKED_POINTS, QUALITY_BLOCKED_SHARE, blocked_ms,
                               (double)passed_ns / NS_PER_MS) +
                  quality_cost(QUALITY_LOST_POINTS, QUALITY_LOST_SHARE, lost, (double)sent + lost) +
                  quality_cost(QUALITY_AGAIN_POINTS, QUALITY_AGAIN_SHARE, again,
                               counts->segments - quality->segments) +
                  quality_cost(QUALITY_PONG_POINTS, 1, counts->missed_pongs, QUALITY_PONGS);
    assert_always(cost >= 0 && cost <= 100.5);
    return cost;
}

void quality_sample(struct quality *quality, const struct quality_counts *counts,
                    uint64_t passed_ns)
{
    if (passed_ns < QUALITY_SHORTEST_NS) {
        return;
    }
    if (passed_ns <= QUALITY_LONGEST_NS) {
        double cost = quality_cost_of(quality, counts, passed_ns);
        memmove(quality->costs + 1, quality->costs, sizeof quality->costs - 1);
        quality->costs[0] = (uint8_t)(cost + 0.5);
        quality->cost_count += quality->cost_count < QUALITY_SAMPLES;
    }
    quality->frames_sent = (uint32_t)counts->frames_sent;
    quality->frames_lost = (uint32_t)counts->frames_lost;
    quality->segments = counts->segments;
    quality->segments_again = (uint16_t)counts->segments_again;
    quality->blocked_ms = (uint16_t)(counts->blocked_ns / NS_PER_MS);
}

int quality_score(const struct quality *quality)
{
    int sum = 0;
    assert_debug(quality->cost_count <= QUALITY_SAMPLES);
    if (quality->cost_count == 0) {
        return QUALITY_UNKNOWN;
    }
    for (uint32_t i = 0; i < quality->cost_count; i++) {
        sum += quality->costs[i];
    }
    return 100 - (sum + quality->cost_count / 2) / quality->cost_count;
}
