#include "src/record/record_input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "codec/json_escape.h"
#include "codec/json_tick.h"
#include "codec/sbe_tick.h"
#include "feeds/stream_ticks.h"

#define RECORD_INPUT_SCRATCH_BYTES (STREAM_TICKS_LENGTH_BYTES + STREAM_TICKS_MESSAGE_BYTES_MAX)
#define RECORD_INPUT_GAP_BYTES_MAX 320
#define RECORD_INPUT_GAPS_MAX 256 /* of one call, which may take 0.1 ms */
#define RECORD_INPUT_SEQ "\"seq\":"
#define RECORD_INPUT_Q "\"q\":"

int record_input_create(struct record_input *input, struct record_queue *queue)
{
    memset(input, 0, sizeof *input);
    input->queue = queue;
    input->scratch = malloc(RECORD_INPUT_SCRATCH_BYTES);
    return input->scratch == NULL ? -ENOMEM : 0;
}

void record_input_destroy(struct record_input *input)
{
    free(input->scratch);
}

bool record_input_knows(const struct record_input *input, uint32_t channel)
{
    assert_always(channel < RECORD_QUEUE_CHANNELS_MAX);
    return input->known[channel / 64] >> (channel % 64) & 1;
}

void record_input_define(struct record_input *input, uint32_t channel, const char *symbol,
                         size_t symbol_bytes, enum md_type type)
{
    struct record_channel *named = &input->queue->channels[channel];
    assert_always(!record_input_knows(input, channel));
    assert_always(symbol_bytes > 0 && symbol_bytes <= sizeof named->symbol);
    *named = (struct record_channel){.type = (uint8_t)type, .symbol_bytes = (uint8_t)symbol_bytes};
    memcpy(named->symbol, symbol, symbol_bytes);
    input->known[channel / 64] |= UINT64_C(1) << (channel % 64);
}

/* The recorder's thread may sleep for 250 ms. A ring that fills up wakes it earlier. */
static void record_input_wake(struct record_input *input)
{
    struct record_queue *queue = input->queue;
    uint64_t head = atomic_load_explicit(&queue->ring.head, memory_order_relaxed);
    if (__builtin_expect(head - input->checked < queue->ring.capacity / 16, 1)) {
        return;
    }
    input->checked = head;
    if (record_ring_used(&queue->ring) > queue->ring.capacity / 4 &&
        atomic_exchange(&queue->is_sleeping, false)) {
        (void)eventfd_write(queue->wake_fd, 1);
    }
}

/* ---- What is left out ---- */

static void record_input_leave_out(struct record_input *input, uint32_t channel)
{
    input->is_leaving_out = true;
    input->lost[channel / 64] |= UINT64_C(1) << (channel % 64);
}

static bool record_input_put_gap(struct record_input *input, uint32_t channel)
{
    char symbol[MD_SYMBOL_BYTES_MAX * JSON_ESCAPE_BYTES_MAX + 1];
    char text[RECORD_INPUT_GAP_BYTES_MAX];
    uint8_t message[RECORD_INPUT_GAP_BYTES_MAX + STREAM_TICKS_LENGTH_BYTES];
    const struct record_channel *named = &input->queue->channels[channel];
    *json_escape(symbol, named->symbol, named->symbol_bytes) = '\0';
    int text_bytes = snprintf(text, sizeof text,
                              "{\"type\":\"GAP\",\"data\":{\"symbol\":\"%s\",\"type\":\"%s\"}}",
                              symbol, md_type_name((enum md_type)named->type));
    assert_always(text_bytes > 0 && (size_t)text_bytes < sizeof text);
    size_t bytes = stream_ticks_put_json(message, sizeof message, text, (size_t)text_bytes);
    return record_ring_put(&input->queue->ring, message, bytes);
}

/* Writes a GAP for each channel that lost some. false: there is no room for all, or further calls
 * have to write the others. */
static bool record_input_put_gaps(struct record_input *input)
{
    uint32_t gaps = 0;
    for (uint32_t word = 0; word < RECORD_QUEUE_CHANNELS_MAX / 64; word++) {
        while (input->lost[word] != 0) {
            uint32_t channel = 64 * word + (uint32_t)__builtin_ctzll(input->lost[word]);
            if (gaps++ == RECORD_INPUT_GAPS_MAX || !record_input_put_gap(input, channel)) {
                return false;
            }
            input->lost[word] &= input->lost[word] - 1;
        }
    }
    return true;
}

/* Whether messages are taken (again). */
static bool record_input_is_open(struct record_input *input)
{
    struct record_queue *queue = input->queue;
    bool is_stopped = atomic_load_explicit(&queue->is_stopped, memory_order_relaxed);
    if (__builtin_expect(!is_stopped && !input->is_leaving_out, 1)) {
        return true;
    }
    if (is_stopped || record_ring_used(&queue->ring) > queue->ring.capacity / 2 ||
        !record_input_put_gaps(input)) {
        return false;
    }
    input->is_leaving_out = false;
    return true;
}

/* ---- Ticks ---- */

/* The JSON data frame, with q in place of seq. 0: it is too long. */
static size_t record_input_put_json(struct record_input *input, const struct md_update *update)
{
    const struct record_channel *named = &input->queue->channels[update->channel];
    struct md_update unpadded = *update;
    struct json_tick_head head;
    unpadded.pad_bytes = 0;
    json_tick_head_init(&head, update->type, named->symbol, named->symbol_bytes, update->channel);
    size_t kept_bytes = head.text_bytes - strlen(RECORD_INPUT_SEQ);
    assert_always(memcmp(head.text + kept_bytes, RECORD_INPUT_SEQ, strlen(RECORD_INPUT_SEQ)) == 0);
    memcpy(head.text + kept_bytes, RECORD_INPUT_Q, strlen(RECORD_INPUT_Q));
    head.text_bytes = (uint16_t)(kept_bytes + strlen(RECORD_INPUT_Q));
    size_t bytes = json_tick_encode(input->scratch + STREAM_TICKS_LENGTH_BYTES,
                                    STREAM_TICKS_MESSAGE_BYTES_MAX, &head, &unpadded, input->q, 0);
    bytes_store_le32(input->scratch, (uint32_t)bytes);
    return bytes == 0 ? 0 : STREAM_TICKS_LENGTH_BYTES + bytes;
}

/* A tick that SBE does not represent to the digit, or that does not fit in front of the end of the
 * ring. */
static __attribute__((noinline)) void
record_input_tick_by_copy(struct record_input *input, const struct md_update *update, bool is_exact)
{
    struct process_counters *counters = input->queue->counters;
    size_t bytes = 0;
    if (is_exact) {
        bytes = stream_ticks_put(input->scratch, RECORD_INPUT_SCRATCH_BYTES, update->channel,
                                 update, input->q);
    }
    if (bytes == 0) {
        bytes = record_input_put_json(input, update);
    }
    if (bytes == 0) {
        counter_add(&counters->record_too_long, 1);
        record_input_lose(input, update->channel);
    } else if (!record_ring_put(&input->queue->ring, input->scratch, bytes)) {
        counter_add(&counters->record_full, 1);
        record_input_leave_out(input, update->channel);
    }
}

void record_input_tick(struct record_input *input, const struct md_update *update)
{
    struct record_queue *queue = input->queue;
    assert_debug(record_input_knows(input, update->channel));
    input->q++;
    if (__builtin_expect(!record_input_is_open(input), 0)) {
        bool is_stopped = atomic_load_explicit(&queue->is_stopped, memory_order_relaxed);
        counter_add(is_stopped ? &queue->counters->record_stopped : &queue->counters->record_full,
                    1);
        record_input_leave_out(input, update->channel);
        return;
    }
    size_t room;
    uint8_t *at = record_ring_room(&queue->ring, &room);
    bool is_exact = sbe_tick_is_exact(update);
    size_t bytes = is_exact ? stream_ticks_put(at, room, update->channel, update, input->q) : 0;
    if (__builtin_expect(bytes > 0, 1)) {
        record_ring_push(&queue->ring, bytes);
    } else {
        record_input_tick_by_copy(input, update, is_exact);
    }
    record_input_wake(input);
}

void record_input_lose(struct record_input *input, uint32_t channel)
{
    assert_always(record_input_knows(input, channel));
    if (!record_input_is_open(input) || !record_input_put_gap(input, channel)) {
        record_input_leave_out(input, channel);
    }
}
