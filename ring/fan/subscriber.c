#include "ring/fan/subscriber.h"

#include "codec/base/check.h"

static_assert(SUBSCRIBER_GROUPS_MAX * SUBSCRIBER_POLICY_BITS <= 16, "a policy for each group");

#define TO(mode) (1u << SUBSCRIBER_##mode)
static const uint8_t subscriber_next_modes[SUBSCRIBER_MODE_COUNT] = {
    [SUBSCRIBER_OFF] = TO(PUSHED),
    [SUBSCRIBER_PUSHED] = TO(PULLING) | TO(OFF),
    [SUBSCRIBER_PULLING] = TO(PUSHED) | TO(PAUSED) | TO(OFF),
    [SUBSCRIBER_PAUSED] = TO(PULLING) | TO(OFF),
};

void subscriber_enter(struct subscriber *subscriber, enum subscriber_mode next)
{
    assert_always((subscriber_next_modes[subscriber->mode] & (1u << next)) != 0);
    assert_always(next != SUBSCRIBER_PUSHED || subscriber->group_seqs == NULL);
    subscriber->mode = (uint8_t)next;
}

void subscriber_set_group_policy(struct subscriber *subscriber, uint32_t group, uint32_t policy)
{
    uint32_t shift = SUBSCRIBER_POLICY_BITS * group;
    uint32_t mask = ((1u << SUBSCRIBER_POLICY_BITS) - 1) << shift;
    assert_always(group < SUBSCRIBER_GROUPS_MAX);
    assert_always(policy < 1u << SUBSCRIBER_POLICY_BITS);
    subscriber->group_policies = (uint16_t)((subscriber->group_policies & ~mask) | policy << shift);
}
