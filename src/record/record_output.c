#include "src/record/record_output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/decimal.h"
#include "codec/json_escape.h"
#include "codec/json_member.h"
#include "codec/sbe_tick.h"
#include "feeds/stream_ticks.h"
#include "src/base/log.h"

#define RECORD_OUTPUT_FLUSH_NS (NS_PER_SECOND / 2)
#define RECORD_OUTPUT_RETRY_NS (5 * NS_PER_SECOND)
#define RECORD_OUTPUT_WARN_NS (10 * NS_PER_SECOND)
#define RECORD_OUTPUT_TURN_BYTES (4 * MIB)      /* between two checks for flush and rotation */
#define RECORD_OUTPUT_FREE_BYTES_MIN (16 * MIB) /* on the disk, to continue after an error */
#define RECORD_OUTPUT_TEXT_BYTES_MAX 384
#define RECORD_OUTPUT_GAP "{\"type\":\"GAP\""

static_assert(RECORD_RING_LENGTH_BYTES == STREAM_TICKS_LENGTH_BYTES, "the ring has the stream");

static int record_output_append(struct record_output *output, const void *bytes, size_t count)
{
    output->is_dirty = true;
    return record_file_append(&output->file, bytes, count);
}

static int record_output_append_json(struct record_output *output, const char *text)
{
    uint8_t message[RECORD_OUTPUT_TEXT_BYTES_MAX + STREAM_TICKS_LENGTH_BYTES];
    size_t bytes = stream_ticks_put_json(message, sizeof message, text, strlen(text));
    assert_always(bytes > 0);
    return record_output_append(output, message, bytes);
}

static int record_output_begin(struct record_output *output, uint64_t now_ns)
{
    char name[RECORD_DIRECTORY_NAME_BYTES_MAX];
    char text[RECORD_OUTPUT_TEXT_BYTES_MAX];
    uint64_t wall_ns = clock_ns(CLOCK_REALTIME);
    record_directory_name(&output->directory, wall_ns, name);
    int error = record_file_begin(&output->file, name);
    if (error < 0) {
        return error;
    }
    memset(output->defined, 0, sizeof output->defined);
    output->begun_ns = now_ns;
    output->flushed_ns = now_ns;
    output->unwritten = 0;
    counter_add(&output->queue->counters->record_files, 1);
    snprintf(text, sizeof text,
             "{\"type\":\"RECORDING\",\"ts\":%" PRIu64
             ",\"data\":{\"version\":1,\"epoch\":\"%016" PRIx64 "\",\"after\":%" PRIu64 "}}",
             wall_ns, output->epoch, output->last_q);
    return record_output_append_json(output, text);
}

static int record_output_define(struct record_output *output, uint32_t channel)
{
    char symbol[MD_SYMBOL_BYTES_MAX * JSON_ESCAPE_BYTES_MAX + 1];
    char text[RECORD_OUTPUT_TEXT_BYTES_MAX];
    assert_always(channel < RECORD_QUEUE_CHANNELS_MAX);
    const struct record_channel *named = &output->queue->channels[channel];
    *json_escape(symbol, named->symbol, named->symbol_bytes) = '\0';
    snprintf(text, sizeof text,
             "{\"type\":\"DEFINITION\",\"data\":{\"channels\":[{\"ch\":%" PRIu32
             ",\"symbol\":\"%s\",\"type\":\"%s\"}]}}",
             channel, symbol, md_type_name((enum md_type)named->type));
    output->defined[channel / 64] |= UINT64_C(1) << (channel % 64);
    return record_output_append_json(output, text);
}

/* The number of a tick; 0: the message is a GAP. */
static uint64_t record_output_q(const uint8_t *message, size_t bytes)
{
    const char *text = (const char *)message + STREAM_TICKS_LENGTH_BYTES;
    size_t text_bytes = bytes - STREAM_TICKS_LENGTH_BYTES;
    struct json_member member;
    uint64_t q = 0;
    if (text[0] != '{') {
        return bytes_load_le64(message + STREAM_TICKS_LENGTH_BYTES + SBE_TICK_SEQ_AT);
    }
    if (strncmp(text, RECORD_OUTPUT_GAP, strlen(RECORD_OUTPUT_GAP)) != 0) {
        bool is_tick = json_member_find(text, text_bytes, "q", &member) &&
                       decimal_parse_u64(member.text, member.bytes, &q);
        assert_always(is_tick);
    }
    return q;
}

/* A channel's first SBE message in this file has its DEFINITION before it. */
static uint32_t record_output_undefined(const struct record_output *output, const uint8_t *message)
{
    if (message[STREAM_TICKS_LENGTH_BYTES] == '{') {
        return UINT32_MAX;
    }
    uint32_t channel = bytes_load_le32(message + STREAM_TICKS_LENGTH_BYTES + SBE_TICK_CHANNEL_AT);
    assert_always(channel < RECORD_QUEUE_CHANNELS_MAX);
    return output->defined[channel / 64] >> (channel % 64) & 1 ? UINT32_MAX : channel;
}

/* Takes the next message of the ring. *bytes_out 0: there is none. */
static int record_output_take(struct record_output *output, uint64_t now_ns, size_t *bytes_out)
{
    struct record_ring *ring = &output->queue->ring;
    const uint8_t *message = record_ring_next(ring, bytes_out);
    if (message == NULL) {
        *bytes_out = 0;
        return 0;
    }
    int error = output->file.fd < 0 ? record_output_begin(output, now_ns) : 0;
    uint32_t undefined = record_output_undefined(output, message);
    if (error == 0 && undefined != UINT32_MAX) {
        error = record_output_define(output, undefined);
    }
    if (error == 0) {
        error = record_output_append(output, message, *bytes_out);
    }
    uint64_t q = record_output_q(message, *bytes_out);
    if (error == 0 && q != 0) {
        output->last_q = q;
        output->unwritten++;
    }
    return error;
}

/* ---- Errors ---- */

/* Ticks that were not recorded until now, for whatever reason. */
static uint64_t record_output_missing(const struct record_output *output)
{
    const struct process_counters *counters = output->queue->counters;
    return counter_get(&counters->record_full) + counter_get(&counters->record_stopped) +
           counter_get(&counters->record_cut);
}

/* What is in the ring is not recorded. */
static void record_output_discard(struct record_output *output)
{
    struct record_ring *ring = &output->queue->ring;
    const uint8_t *message;
    size_t bytes;
    while ((message = record_ring_next(ring, &bytes)) != NULL) {
        counter_add(&output->queue->counters->record_cut, record_output_q(message, bytes) != 0);
        record_ring_pop(ring, bytes);
    }
}

static void record_output_stop(struct record_output *output, int error, uint64_t now_ns)
{
    struct record_queue *queue = output->queue;
    assert_always(error < 0);
    log_write(
        LOG_LEVEL_ERROR,
        "--record: recording stops: %s/%s cannot be written: %s; the server goes on, and tries "
        "to record again every %d s; free some space, or make the directory writable",
        output->path, output->file.name, strerror(-error),
        (int)(RECORD_OUTPUT_RETRY_NS / NS_PER_SECOND));
    output->missing_before = record_output_missing(output);
    atomic_store(&queue->is_stopped, true);
    counter_set(&queue->counters->record_active, 0);
    counter_add(&queue->counters->record_cut, output->unwritten);
    output->unwritten = 0;
    output->is_dirty = false;
    output->last_q = 0; /* The next file does not continue this one. */
    record_file_abandon(&output->file);
    record_output_discard(output);
    output->retry_ns = now_ns + RECORD_OUTPUT_RETRY_NS;
}

static void record_output_retry(struct record_output *output, uint64_t now_ns)
{
    struct record_queue *queue = output->queue;
    struct statvfs space;
    char text[RECORD_OUTPUT_TEXT_BYTES_MAX];
    record_output_discard(output);
    if (now_ns < output->retry_ns) {
        return;
    }
    output->retry_ns = now_ns + RECORD_OUTPUT_RETRY_NS;
    /* Another directory may have its name by now, or a disk may be mounted there. */
    record_directory_close(&output->directory);
    int error = record_directory_open(&output->directory, output->path, text, sizeof text);
    if (error == 0) {
        error = record_directory_lock(&output->directory, output->path, text, sizeof text);
    }
    output->file.directory_fd = output->directory.fd;
    if (error < 0 || fstatvfs(output->directory.fd, &space) < 0 ||
        space.f_bavail * space.f_frsize < RECORD_OUTPUT_FREE_BYTES_MIN) {
        return;
    }
    error = record_output_begin(output, now_ns);
    if (error == 0) {
        error = record_file_flush(&output->file);
    }
    if (error < 0) {
        record_file_abandon(&output->file);
        return;
    }
    log_write(LOG_LEVEL_INFO,
              "--record: recording continues with %s; %" PRIu64 " ticks were not recorded",
              output->file.name, record_output_missing(output) - output->missing_before);
    counter_set(&queue->counters->record_active, 1);
    atomic_store(&queue->is_stopped, false);
}

/* The publisher found the ring full. */
static void record_output_warn(struct record_output *output, uint64_t now_ns)
{
    uint64_t full = counter_get(&output->queue->counters->record_full);
    if (full == output->full_logged || now_ns - output->warned_ns < RECORD_OUTPUT_WARN_NS) {
        return;
    }
    log_write(LOG_LEVEL_WARNING,
              "--record: the disk is too slow: %" PRIu64
              " ticks were left out of the recording, with a GAP in their place",
              full - output->full_logged);
    output->full_logged = full;
    output->warned_ns = now_ns;
}

/* ---- Turns ---- */

static int record_output_flush(struct record_output *output, uint64_t now_ns)
{
    struct process_counters *counters = output->queue->counters;
    int error = record_file_flush(&output->file);
    if (error == 0) {
        counter_add(&counters->record_ticks, output->unwritten);
        output->unwritten = 0;
        output->is_dirty = false;
        output->flushed_ns = now_ns;
    }
    return error;
}

/* The file is complete; the next message begins another one. */
static int record_output_end_file(struct record_output *output, uint64_t now_ns)
{
    int error = record_output_flush(output, now_ns);
    return error == 0 ? record_file_end(&output->file) : error;
}

static int record_output_write(struct record_output *output, uint64_t now_ns, bool *was_busy_out)
{
    size_t bytes;
    size_t taken = 0;
    int error;
    do {
        error = record_output_take(output, now_ns, &bytes);
        if (error == 0 && bytes > 0) {
            record_ring_pop(&output->queue->ring, bytes);
        }
        taken += bytes;
    } while (error == 0 && bytes > 0 && taken < RECORD_OUTPUT_TURN_BYTES);
    *was_busy_out = taken > 0;
    if (error < 0 || output->file.fd < 0) {
        return error;
    }
    bool is_long = output->file.bytes >= output->file_bytes_max ||
                   now_ns - output->begun_ns >= output->file_ns_max;
    if (is_long) {
        return record_output_end_file(output, now_ns);
    }
    bool is_late = now_ns - output->flushed_ns >= RECORD_OUTPUT_FLUSH_NS;
    return output->is_dirty && is_late ? record_output_flush(output, now_ns) : 0;
}

bool record_output_turn(struct record_output *output, uint64_t now_ns)
{
    bool was_busy = false;
    if (atomic_load(&output->queue->is_stopped)) {
        record_output_retry(output, now_ns);
    } else {
        int error = record_output_write(output, now_ns, &was_busy);
        if (error < 0) {
            record_output_stop(output, error, now_ns);
        }
    }
    counter_set(&output->queue->counters->record_bytes, output->file.all_bytes);
    record_output_warn(output, now_ns);
    return was_busy;
}

void record_output_end(struct record_output *output)
{
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    while (record_output_turn(output, now_ns)) {
    }
    if (output->file.fd >= 0) {
        int error = record_output_end_file(output, now_ns);
        if (error < 0) {
            record_output_stop(output, error, now_ns);
        }
        counter_set(&output->queue->counters->record_bytes, output->file.all_bytes);
    }
}
