#include "ring/fan/roster.h"

#include "ring/fan/fanout.h"
#include "ring/fan/puller.h"
#include "ring/fan/replayer.h"

void roster_join(struct fan *fan, uint32_t index, uint32_t encoding)
{
    struct subscriber *subscriber = fan_subscriber(fan, index);
    assert_always(encoding < fan->encoding_count);
    assert_always(subscriber->sub_first == SUB_NONE && subscriber->group_mask == 0);
    assert_always(!fan_is_due(fan, subscriber));
    *subscriber = (struct subscriber){
        .mode = SUBSCRIBER_OFF,
        .encoding = (uint8_t)encoding,
        .is_pull_queued = subscriber->is_pull_queued, /* It may still be on that queue. */
    };
    subscriber_enter(subscriber, SUBSCRIBER_PUSHED);
}

void roster_leave(struct fan *fan, struct subscriber *subscriber)
{
    assert_always(!fan_is_due(fan, subscriber));
    replayer_forget(fan, subscriber);
    progress_release(fan, subscriber);
    if (subscriber->mode != SUBSCRIBER_OFF) {
        subscriber_enter(subscriber, SUBSCRIBER_OFF);
    }
}

void roster_go_on(struct fan *fan, struct subscriber *subscriber)
{
    if (subscriber->mode == SUBSCRIBER_PAUSED) {
        subscriber_enter(subscriber, SUBSCRIBER_PULLING);
        puller_enqueue(fan, subscriber);
    }
}

int roster_set_groups(struct fan *fan, struct subscriber *subscriber, uint8_t groups)
{
    struct fan_stream *stream = fan_stream(fan, subscriber);
    uint8_t before = subscriber->group_mask;
    uint32_t place = 0;
    assert_always(groups < FAN_GROUP_LISTS);
    assert_always(groups != before);
    if (groups != 0) {
        uint32_t index = fan_index(fan, subscriber);
        int error = sub_list_add(&stream->group_lists[groups], index, &place);
        if (error < 0) {
            return error;
        }
        stream->group_lists_used |= UINT64_C(1) << groups;
    }
    if (before != 0) {
        struct sub_list *list = &stream->group_lists[before];
        uint32_t moved = sub_list_remove(list, subscriber->group_place);
        if (moved != UINT32_MAX) {
            fan_subscriber(fan, moved)->group_place = subscriber->group_place;
        }
        stream->group_lists_used &= ~((uint64_t)(list->count == 0) << before);
    }
    subscriber->group_mask = groups;
    subscriber->group_place = place;
    return 0;
}

void roster_hold(struct fan *fan, struct subscriber *subscriber)
{
    assert_always(subscriber->mode != SUBSCRIBER_OFF);
    assert_always(!subscriber->is_held);
    subscriber->is_held = true;
    fanout_settle(fan, subscriber);
    if (subscriber->mode == SUBSCRIBER_PUSHED) {
        puller_start(fan, subscriber, fan_stream(fan, subscriber)->position);
    }
}

void roster_end_hold(struct fan *fan, struct subscriber *subscriber)
{
    subscriber->is_held = false;
    if (subscriber->mode == SUBSCRIBER_PULLING) {
        puller_enqueue(fan, subscriber);
    }
}
