#include "ring/fan/fanout.h"

#include <string.h>

#include "ring/fan/puller.h"

#define FANOUT_PREFETCH 8 /* subscribers ahead */
static_assert(FANOUT_PREFETCH < FAN_DUE_SPARE, "read beyond the last of fan->due");

/* ---- Pieces ---- */

static inline uint64_t fanout_bit(uint32_t piece)
{
    return UINT64_C(1) << piece % 64;
}

/* Each list is walked once, however many pieces go to its subscribers. */
static void fanout_note_list(struct fan_noted *noted, const struct sub_list *list, uint16_t *note,
                             uint32_t piece)
{
    if (list->count == 0) {
        return;
    }
    if (*note >= noted->note_count || noted->notes[*note].list != list) {
        assert_always(noted->note_count < FAN_PIECES_MAX + FAN_GROUP_LISTS);
        *note = (uint16_t)noted->note_count++;
        noted->notes[*note] = (struct fan_note){.list = list};
    }
    noted->notes[*note].pieces[piece / 64] |= fanout_bit(piece);
}

/* Whether a frame belongs to the piece of the frame before it. */
static inline bool fanout_is_more(const struct fan_stream *stream, const struct frame_desc *before,
                                  const struct frame_desc *desc)
{
    const struct sub_list *channels = stream->subs.channels;
    return before != NULL && before->position + before->frame_bytes == desc->position &&
           (before->channel == desc->channel ||
            (before->group == desc->group && channels[before->channel].count == 0 &&
             channels[desc->channel].count == 0));
}

/* The piece that a frame begins; number 0 if it goes to nobody. NULL: there are as many as there
 * may be. */
static struct fan_piece *fanout_begin_piece(struct fan *fan, struct fan_stream *stream,
                                            const struct frame_desc *desc)
{
    struct fan_noted *noted = fan->noted;
    uint64_t lists = stream->group_lists_used & fan_lists_of_group(desc->group);
    const struct sub_list *channel = &stream->subs.channels[desc->channel];
    if (lists == 0 && channel->count == 0) {
        return &noted->pieces[0];
    }
    if (noted->piece_count == FAN_PIECES_MAX) {
        return NULL;
    }
    uint32_t number = noted->piece_count++;
    for (; lists != 0; lists &= lists - 1) {
        int list = __builtin_ctzll(lists);
        fanout_note_list(noted, &stream->group_lists[list], &stream->group_notes[list], number);
    }
    fanout_note_list(noted, channel, &stream->channels[desc->channel].note, number);
    noted->pieces[number] = (struct fan_piece){.first = stream->position, .start = desc->position};
    return &noted->pieces[number];
}

static void fanout_gather_pieces(struct fan *fan, struct fan_stream *stream, uint64_t head)
{
    const struct frame_desc *before = NULL;
    struct fan_piece *piece = NULL;
    uint64_t bytes = 0;
    while (stream->position < head && stream->position - stream->batch_first < FANOUT_FRAMES_MAX &&
           bytes < FANOUT_BYTES_MAX) {
        const struct frame_desc *desc = frame_log_desc(stream->log, stream->position);
        if (!fanout_is_more(stream, before, desc)) {
            piece = fanout_begin_piece(fan, stream, desc);
        }
        if (piece == NULL) {
            break;
        }
        piece->bytes += desc->frame_bytes;
        piece->frames++;
        stream->position++;
        bytes += desc->frame_bytes;
        before = desc;
        struct fan_channel *known = &stream->channels[desc->channel];
        known->last_seq = desc->seq;
        known->last_index_plus_1 = stream->position;
        known->hash = desc->hash;
        known->group = desc->group;
    }
}

/* ---- What is due ---- */

/* Whether a list's subscribers keep up is seen when they are planned. */
static void fanout_walk(struct fan *fan, const struct fan_note *note)
{
    const uint32_t *conns = note->list->conns;
    uint32_t count = note->list->count;
    uint64_t *pieces = fan->due_pieces[0];
    uint64_t more = note->pieces[0] | fanout_bit(0);
    uint32_t *due = fan->due;
    uint32_t due_count = fan->due_count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t conn = conns[i];
        uint64_t before = pieces[conn];
        due[due_count] = conn; /* There is room behind the last. */
        due_count += before == 0;
        pieces[conn] = before | more;
    }
    assert_always(due_count <= fan->subscriber_count);
    fan->due_count = due_count;
    for (uint32_t word = 1; word < fan_piece_words(fan); word++) {
        for (uint32_t i = 0; note->pieces[word] != 0 && i < count; i++) {
            fan->due_pieces[word][conns[i]] |= note->pieces[word];
        }
    }
}

void fanout_note(struct fan *fan, struct fan_stream *stream, uint64_t head)
{
    struct fan_noted *noted = fan->noted;
    assert_always(!fanout_has_due(fan));
    fan->due_count = 0;
    noted->piece_count = 1;
    noted->note_count = 0;
    memset(noted->reached, 0, sizeof noted->reached);
    fanout_gather_pieces(fan, stream, head);
    for (uint32_t i = 0; i < noted->note_count; i++) {
        fanout_walk(fan, &noted->notes[i]);
    }
    /* It begins with another one each time, so that nobody is always last: multiples of the golden
     * ratio spread best. */
    uint32_t spread = (uint32_t)stream->batch_first * UINT32_C(2654435769);
    fan->due_next = (uint32_t)((uint64_t)spread * fan->due_count >> 32);
    fan->due_left = fan->due_count;
}

struct fanout_reach fanout_reach(const struct fan *fan)
{
    const struct fan_noted *noted = fan->noted;
    struct fanout_reach reach = {0};
    for (uint32_t number = 1; number < noted->piece_count; number++) {
        const struct fan_piece *piece = &noted->pieces[number];
        if ((noted->reached[number / 64] & fanout_bit(number)) != 0) {
            reach.first = reach.frames == 0 ? piece->first : reach.first;
            reach.last = piece->first + piece->frames - 1;
            reach.frames += piece->frames;
        }
    }
    return reach;
}

/* ---- Plans ---- */

/* Adds pieces of one word, whose first is number first, to a plan. Those side by side are one
 * stretch. */
static inline void fanout_add_pieces(struct fan *fan, const struct frame_log *log, uint32_t first,
                                     uint64_t pieces, struct send_plan *plan, uint64_t *end)
{
    struct plan_batch *batch = fan->batch;
    struct iovec *iov = &batch->iovs[batch->iov_count];
    for (; pieces != 0; pieces &= pieces - 1) {
        const struct fan_piece *piece =
            &fan->noted->pieces[first + (uint32_t)__builtin_ctzll(pieces)];
        if (piece->start == *end) {
            iov[-1].iov_len += piece->bytes;
        } else {
            *iov++ = (struct iovec){
                .iov_base = (void *)(uintptr_t)frame_log_at(log, piece->start),
                .iov_len = piece->bytes,
            };
        }
        *end = piece->start + piece->bytes;
        plan->frames += piece->frames;
        plan->bytes += piece->bytes;
    }
    batch->iov_count = (uint32_t)(iov - batch->iovs);
}

/* All that is due to a subscriber that keeps up. */
static inline void fanout_fill(struct fan *fan, const struct fan_stream *stream, uint32_t conn,
                               struct send_plan *plan)
{
    struct plan_batch *batch = fan->batch;
    uint64_t end = UINT64_MAX;
    plan->iov_first = batch->iov_count;
    plan->frames = 0;
    plan->bytes = 0;
    for (uint32_t word = 0; word < fan_piece_words(fan); word++) {
        uint64_t pieces = fan->due_pieces[word][conn] & ~(word == 0 ? fanout_bit(0) : 0);
        fan->noted->reached[word] |= pieces;
        fanout_add_pieces(fan, stream->log, 64 * word, pieces, plan, &end);
    }
    plan->iov_count = batch->iov_count - plan->iov_first;
    assert_debug(plan->iov_count > 0 && plan->frames > 0);
}

static inline void fanout_clear(struct fan *fan, uint32_t conn)
{
    fan->due_pieces[0][conn] = 0;
    for (uint32_t word = 1; word < fan_piece_words(fan); word++) {
        fan->due_pieces[word][conn] = 0;
    }
}

/* Mostly all get the same, and the plan of one is that of the next. */
uint32_t fanout_plan(struct fan *fan, const struct fan_stream *stream, uint32_t count_max)
{
    struct plan_batch *batch = fan->batch;
    struct send_plan plan = {
        .from = stream->batch_first,
        .to = stream->position,
        .kind = SEND_PUSH,
        .log = (uint8_t)(stream - fan->streams),
    };
    uint64_t filled = 0; /* The plan is of these pieces, and of no others. */
    bool is_one_word = fan_piece_words(fan) == 1;
    while (fanout_has_due(fan) && batch->plan_count < count_max &&
           batch->iov_count <= PLAN_IOVS_MAX - FAN_PIECES_MAX) {
        uint32_t conn = fan->due[fan->due_next];
        uint64_t pieces = fan->due_pieces[0][conn];
        struct subscriber *subscriber = fan_subscriber(fan, conn);
        __builtin_prefetch(fan_subscriber(fan, fan->due[fan->due_next + FANOUT_PREFETCH]), 1);
        fan->due_next = fan->due_next + 1 == fan->due_count ? 0 : fan->due_next + 1;
        fan->due_left--;
        if (subscriber->mode != SUBSCRIBER_PUSHED || pieces == 0) {
            fanout_clear(fan, conn); /* It reads the log on its own. */
            continue;
        }
        if (pieces != filled) {
            fanout_fill(fan, stream, conn, &plan);
            filled = is_one_word ? pieces : 0;
        }
        fanout_clear(fan, conn);
        struct send_plan *slot = &batch->plans[batch->plan_count++];
        *slot = plan;
        slot->conn = conn;
        subscriber->frames_sent += plan.frames;
        batch->frames_sent += plan.frames;
    }
    return batch->plan_count;
}

void fanout_settle(struct fan *fan, struct subscriber *subscriber)
{
    if (subscriber->mode == SUBSCRIBER_PUSHED && fan_is_due(fan, subscriber)) {
        puller_start(fan, subscriber, fan_stream(fan, subscriber)->batch_first);
    }
}
