#include "src/base/quality.h"

#include "codec/base/check.h"

static_assert(sizeof(struct quality) == 20, "counted per connection");
static_assert(QUALITY_BLOCKED_POINTS + QUALITY_LOST_POINTS + QUALITY_AGAIN_POINTS +
                      QUALITY_PONG_POINTS ==
                  100,
              "the worst connection has 0");
static_assert(QUALITY_LONGEST_NS / NS_PER_MS <= UINT16_MAX, "blocked_ms does not run over");

static_assert(QUALITY_SAMPLES == 3, "each has a field");

#define QUALITY_24_BITS 0xffffffu
#define QUALITY_22_BITS 0x3fffffu

bool quality_is_of(const struct quality *quality, uint64_t number)
{
    return quality->number == (number & QUALITY_22_BITS);
}

void quality_begin(struct quality *quality, uint64_t number)
{
    *quality = (struct quality){.number = number & QUALITY_22_BITS};
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
    uint32_t lost = ((uint32_t)counts->frames_lost - quality->frames_lost) & QUALITY_24_BITS;
    uint32_t segments = (counts->segments - quality->segments) & QUALITY_24_BITS;
    uint16_t again = (uint16_t)(counts->segments_again - quality->segments_again);
    uint16_t blocked_ms = (uint16_t)(counts->blocked_ns / NS_PER_MS - quality->blocked_ms);
    double cost = quality_cost(QUALITY_BLOCKED_POINTS, QUALITY_BLOCKED_SHARE, blocked_ms,
                               (double)passed_ns / NS_PER_MS) +
                  quality_cost(QUALITY_LOST_POINTS, QUALITY_LOST_SHARE, lost, (double)sent + lost) +
                  quality_cost(QUALITY_AGAIN_POINTS, QUALITY_AGAIN_SHARE, again, segments) +
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
        quality->oldest_cost = quality->middle_cost;
        quality->middle_cost = quality->newest_cost;
        quality->newest_cost = (uint8_t)(cost + 0.5);
        quality->cost_count += quality->cost_count < QUALITY_SAMPLES;
    }
    quality->frames_sent = (uint32_t)counts->frames_sent;
    quality->frames_lost = (uint32_t)counts->frames_lost & QUALITY_24_BITS;
    quality->segments = counts->segments & QUALITY_24_BITS;
    quality->segments_again = (uint16_t)counts->segments_again;
    quality->blocked_ms = (uint16_t)(counts->blocked_ns / NS_PER_MS);
}

int quality_score(const struct quality *quality)
{
    int count = (int)quality->cost_count;
    if (count == 0) {
        return QUALITY_UNKNOWN;
    }
    /* Costs that are not there yet are 0. */
    int sum = (int)(quality->newest_cost + quality->middle_cost + quality->oldest_cost);
    assert_debug(sum <= 100 * count);
    return 100 - (sum + count / 2) / count;
}
