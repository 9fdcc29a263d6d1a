#include "ring/fan/subscriber.h"

#include "codec/base/check.h"

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
