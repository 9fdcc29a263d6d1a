#include "feeds/replay/replay_recording.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/decimal.h"
#include "codec/json_member.h"
#include "feeds/frame_ticks.h"
#include "feeds/json_field.h"
#include "feeds/replay/replay_messages.h"
#include "feeds/replay/replay_symbol.h"
#include "feeds/stream_ticks.h"

#define REPLAY_RECORDING_VERSION 1
#define REPLAY_RECORDING_EPOCH_BYTES 16
#define REPLAY_RECORDING_CHANNELS_MAX 65536 /* of the sink; others get no tick */
#define REPLAY_RECORDING_HOLES_SHOWN_MAX 10

enum replay_recording_item {
    REPLAY_RECORDING_SBE,
    REPLAY_RECORDING_JSON,
    REPLAY_RECORDING_GAP,
};

struct replay_recording {
    /* Set by create, then constant. */
    struct replay_recording_options options;
    struct replay_messages messages;
    struct stream_ticks *sbe_reader;
    struct frame_ticks *json_reader;

    uint32_t file_index; /* in the directory */
    bool has_head;       /* The RECORDING of this file has been read. */
    bool has_before;     /* Something was read before this file: */
    char epoch[REPLAY_RECORDING_EPOCH_BYTES + 1];
    uint64_t last_q; /* of the newest tick; 0: none yet */
    struct stream_ticks_table table;
    uint64_t channels[REPLAY_RECORDING_CHANNELS_MAX /
                      64]; /* a bit each: of the sink, with ticks so far */
    uint64_t books[REPLAY_RECORDING_CHANNELS_MAX / 64]; /* the same, of books in this pass */
    bool is_again;                                      /* It is not the first pass. */
    uint32_t holes_shown;

    /* The item that is ready. */
    enum replay_recording_item item;
    struct stream_tick sbe;
    struct frame_tick json;
    uint32_t gap_channel;

    const char *fault;
    struct kind_counts ticks;
    struct kind_counts skipped;
};

/* ---- Life ---- */

int replay_recording_create(struct replay_recording **recording_out,
                            const struct replay_recording_options *options)
{
    struct replay_recording *recording = calloc(1, sizeof *recording);
    if (recording == NULL) {
        return -ENOMEM;
    }
    recording->options = *options;
    int error = replay_messages_create(&recording->messages, options->reader);
    if (error == 0) {
        error = stream_ticks_create(&recording->sbe_reader);
    }
    if (error == 0) {
        error = frame_ticks_create(&recording->json_reader);
    }
    if (error < 0) {
        replay_recording_destroy(recording);
        return error;
    }
    *recording_out = recording;
    return 0;
}

void replay_recording_destroy(struct replay_recording *recording)
{
    if (recording != NULL) {
        replay_messages_destroy(&recording->messages);
        stream_ticks_destroy(recording->sbe_reader);
        frame_ticks_destroy(recording->json_reader);
        stream_ticks_table_deinit(&recording->table);
        free(recording);
    }
}

/* ---- Reports ---- */

/* Where the recording is, for messages. */
static const char *replay_recording_name(const struct replay_recording *recording)
{
    const struct replay_directory *directory = recording->options.directory;
    return directory->count == 0 ? recording->options.name
                                 : directory->paths[recording->file_index];
}

static void __attribute__((format(printf, 3, 4)))
replay_recording_log(const struct replay_recording *recording, enum feed_level level,
                     const char *format, ...)
{
    char text[FEED_ERROR_BYTES_MAX];
    const struct feed_sink *sink = recording->options.sink;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (sink->log != NULL) { /* A probe of the file has none. */
        sink->log(sink->context, level, text);
    }
}

static enum replay_recording_status replay_recording_malformed(struct replay_recording *recording,
                                                               const char *fault)
{
    recording->options.counters->malformed++;
    recording->fault = fault;
    return REPLAY_RECORDING_MALFORMED;
}

/* ---- Channels ---- */

static bool replay_recording_test(const uint64_t *bits, uint32_t channel)
{
    return bits[channel / 64] >> (channel % 64) & 1;
}

static void replay_recording_set(uint64_t *bits, uint32_t channel)
{
    bits[channel / 64] |= UINT64_C(1) << (channel % 64);
}

/* The sink's channel of a recorded symbol; UINT32_MAX: it gets none. */
static uint32_t replay_recording_channel(void *context, const char *symbol, size_t symbol_bytes,
                                         enum md_type type)
{
    const struct replay_recording_options *options = &((struct replay_recording *)context)->options;
    char renamed[MD_SYMBOL_BYTES_MAX];
    size_t renamed_bytes = replay_symbol_rename(renamed, symbol, symbol_bytes, options->suffix);
    uint32_t channel =
        renamed_bytes == 0
            ? UINT32_MAX
            : options->sink->open_channel(options->sink->context, renamed, renamed_bytes, type);
    return channel < REPLAY_RECORDING_CHANNELS_MAX ? channel : UINT32_MAX;
}

static void replay_recording_lose_all(struct replay_recording *recording)
{
    const struct feed_sink *sink = recording->options.sink;
    for (uint32_t channel = 0; channel < REPLAY_RECORDING_CHANNELS_MAX; channel++) {
        if (replay_recording_test(recording->channels, channel)) {
            sink->lost(sink->context, channel);
        }
    }
}

/* ---- The head of a file ---- */

/* Compares the head with what was read before it. */
static void replay_recording_continue(struct replay_recording *recording, const char *epoch,
                                      uint64_t after)
{
    bool is_same = strcmp(recording->epoch, epoch) == 0;
    if (recording->has_before && !(is_same && after == recording->last_q)) {
        if (is_same) {
            recording->options.counters->holes++;
            replay_recording_log(recording, FEED_WARNING,
                                 "replay: %.200s does not continue the file before it: ticks after "
                                 "number %" PRIu64 " are missing; all channels get a GAP",
                                 replay_recording_name(recording), recording->last_q);
        } else {
            replay_recording_log(recording, FEED_INFO,
                                 "replay: %.200s is of another run of the server than the file "
                                 "before it; all channels get a GAP",
                                 replay_recording_name(recording));
        }
        replay_recording_lose_all(recording);
    }
    snprintf(recording->epoch, sizeof recording->epoch, "%s", epoch);
    recording->last_q = after;
    recording->has_head = true;
    recording->has_before = true;
    stream_ticks_table_deinit(&recording->table);
}

/* message: JSON. Returns what is wrong with it as a head, or NULL. */
static const char *replay_recording_read_head(struct replay_recording *recording,
                                              const json_t *message)
{
    const char *type = json_field_text(json_object_get(message, "type"));
    const json_t *data = json_object_get(message, "data");
    const json_t *after = json_object_get(data, "after");
    const char *epoch = json_field_text(json_object_get(data, "epoch"));
    if (type == NULL || strcmp(type, "RECORDING") != 0) {
        return "it does not begin with a RECORDING: use the feed ingest:stdin for what a producer "
               "sends";
    }
    if (json_integer_value(json_object_get(data, "version")) != REPLAY_RECORDING_VERSION) {
        return "a later version of ringcast wrote it: replay it with that one";
    }
    if (epoch == NULL || strlen(epoch) != REPLAY_RECORDING_EPOCH_BYTES || !json_is_integer(after) ||
        json_integer_value(after) < 0) {
        return "its RECORDING has no epoch of 16 digits, or no after";
    }
    replay_recording_continue(recording, epoch, (uint64_t)json_integer_value(after));
    return NULL;
}

/* ---- Messages ---- */

/* A tick's number: ticks in between are missing. */
static void replay_recording_count(struct replay_recording *recording, uint64_t q)
{
    uint64_t expected = recording->last_q + 1;
    bool is_hole = recording->last_q != 0 && q > expected;
    recording->last_q = q > recording->last_q ? q : recording->last_q;
    recording->options.counters->holes += is_hole;
    if (is_hole && recording->holes_shown < REPLAY_RECORDING_HOLES_SHOWN_MAX) {
        recording->holes_shown++;
        replay_recording_log(recording, FEED_WARNING,
                             "replay: %.200s: %" PRIu64
                             " ticks are missing: the recorder could not write them%s",
                             replay_recording_name(recording), q - expected,
                             recording->holes_shown == REPLAY_RECORDING_HOLES_SHOWN_MAX
                                 ? " (further holes are only counted)"
                                 : "");
    }
}

static enum replay_recording_status replay_recording_take_gap(struct replay_recording *recording,
                                                              const json_t *message,
                                                              uint64_t *ts_ns_out)
{
    const json_t *data = json_object_get(message, "data");
    const char *symbol = json_field_text(json_object_get(data, "symbol"));
    const char *name = json_field_text(json_object_get(data, "type"));
    enum md_type type = name == NULL ? MD_TYPE_COUNT : md_type_by_name(name, strlen(name));
    size_t symbol_bytes = symbol == NULL ? 0 : strlen(symbol);
    if (type == MD_TYPE_COUNT || symbol_bytes == 0 || symbol_bytes > MD_SYMBOL_BYTES_MAX) {
        return replay_recording_malformed(recording, "GAP: it names no symbol and type");
    }
    recording->gap_channel = replay_recording_channel(recording, symbol, symbol_bytes, type);
    if (recording->gap_channel == UINT32_MAX) {
        return replay_recording_malformed(recording, REPLAY_SYMBOL_FAULT);
    }
    recording->item = REPLAY_RECORDING_GAP;
    *ts_ns_out = 0;
    return REPLAY_RECORDING_READY;
}

/* A message that is no tick: the head of a file, a DEFINITION, a GAP, or one that is skipped. */
static enum replay_recording_status replay_recording_take_other(struct replay_recording *recording,
                                                                const char *kind,
                                                                uint64_t *ts_ns_out)
{
    const struct replay_messages *messages = &recording->messages;
    const char *text = (const char *)messages->message;
    const char *fault = NULL;
    enum replay_recording_status status = REPLAY_RECORDING_NOTHING;
    if (strcmp(kind, "DEFINITION") == 0) {
        fault = stream_ticks_define(&recording->table, text, messages->message_bytes,
                                    replay_recording_channel, recording);
        return fault == NULL ? status : replay_recording_malformed(recording, fault);
    }
    json_t *message = json_loadb(text, messages->message_bytes, JSON_REJECT_DUPLICATES, NULL);
    if (strcmp(kind, "RECORDING") == 0) {
        fault = replay_recording_read_head(recording, message);
    } else if (strcmp(kind, "GAP") == 0) {
        status = replay_recording_take_gap(recording, message, ts_ns_out);
    } else {
        recording->options.counters->skipped++;
        kind_counts_add(&recording->skipped, kind, strlen(kind));
    }
    json_decref(message);
    return fault == NULL ? status : replay_recording_malformed(recording, fault);
}

static enum replay_recording_status replay_recording_take_json(struct replay_recording *recording,
                                                               uint64_t *ts_ns_out)
{
    const struct replay_messages *messages = &recording->messages;
    const char *text = (const char *)messages->message;
    struct frame_tick *tick = &recording->json;
    struct json_member ts_recv;
    switch (frame_ticks_parse(recording->json_reader, text, messages->message_bytes, tick)) {
    case FRAME_TICKS_MALFORMED:
        return replay_recording_malformed(recording, tick->fault);
    case FRAME_TICKS_OTHER:
        return replay_recording_take_other(recording, tick->kind, ts_ns_out);
    case FRAME_TICKS_TICK:
        break;
    }
    tick->update.channel =
        replay_recording_channel(recording, tick->symbol, tick->symbol_bytes, tick->update.type);
    *ts_ns_out = 0;
    if (json_member_find(text, messages->message_bytes, "ts_recv", &ts_recv)) {
        (void)decimal_parse_u64(ts_recv.text, ts_recv.bytes, ts_ns_out);
    }
    replay_recording_count(recording, tick->q);
    recording->item = REPLAY_RECORDING_JSON;
    return REPLAY_RECORDING_READY;
}

static enum replay_recording_status replay_recording_take(struct replay_recording *recording,
                                                          uint64_t *ts_ns_out)
{
    const struct replay_messages *messages = &recording->messages;
    struct stream_tick *tick = &recording->sbe;
    switch (stream_ticks_parse(recording->sbe_reader, &recording->table, messages->message,
                               messages->message_bytes, tick)) {
    case STREAM_TICKS_MALFORMED:
        return replay_recording_malformed(recording, tick->fault);
    case STREAM_TICKS_JSON:
        return replay_recording_take_json(recording, ts_ns_out);
    case STREAM_TICKS_TICK:
        break;
    }
    tick->update.channel = tick->channel->value;
    *ts_ns_out = tick->update.ts_recv_ns;
    replay_recording_count(recording, tick->q);
    recording->item = REPLAY_RECORDING_SBE;
    return REPLAY_RECORDING_READY;
}

/* ---- Files ---- */

/* The next file of the directory. false: there is none, or it cannot be opened (*error_out < 0). */
static bool replay_recording_next_file(struct replay_recording *recording, int *error_out)
{
    const struct replay_directory *directory = recording->options.directory;
    struct line_reader *reader = recording->options.reader;
    *error_out = 0;
    if (recording->file_index + 1 >= directory->count) {
        return false;
    }
    recording->file_index++;
    line_reader_close(reader);
    *error_out = replay_directory_open_file(directory, recording->file_index, reader);
    if (*error_out == 0) {
        *error_out = line_reader_rewind(reader); /* From now on it does not wait for the disk. */
    }
    recording->has_head = false;
    replay_messages_restart(&recording->messages);
    return *error_out == 0;
}

static enum replay_recording_status replay_recording_end_file(struct replay_recording *recording,
                                                              bool is_cut, char *error_out)
{
    int error;
    if (is_cut) {
        replay_recording_log(recording, FEED_WARNING,
                             "replay: %.200s ends in the middle of a block, as a file does whose "
                             "server was killed or still writes it; all before it is replayed",
                             replay_recording_name(recording));
    }
    if (replay_recording_next_file(recording, &error)) {
        return REPLAY_RECORDING_NOTHING;
    }
    if (error < 0) {
        feed_fail(error_out, error, "replay: cannot open %.300s: %s",
                  replay_recording_name(recording),
                  error == -EINVAL ? "it is not a regular file" : strerror(-error));
        return REPLAY_RECORDING_FAILED;
    }
    return REPLAY_RECORDING_END;
}

static enum replay_recording_status replay_recording_begin_file(struct replay_recording *recording,
                                                                char *error_out)
{
    const struct replay_messages *messages = &recording->messages;
    json_t *message = json_loadb((const char *)messages->message, messages->message_bytes,
                                 JSON_REJECT_DUPLICATES, NULL);
    const char *fault = replay_recording_read_head(recording, message);
    json_decref(message);
    if (fault != NULL) {
        feed_fail(error_out, -EINVAL, "replay: %.300s cannot be replayed: %s",
                  replay_recording_name(recording), fault);
        return REPLAY_RECORDING_FAILED;
    }
    return REPLAY_RECORDING_NOTHING;
}

enum replay_recording_status replay_recording_next(struct replay_recording *recording,
                                                   uint64_t *ts_ns_out,
                                                   char error_out[FEED_ERROR_BYTES_MAX])
{
    struct replay_messages *messages = &recording->messages;
    enum replay_messages_status status = replay_messages_next(messages);
    switch (status) {
    case REPLAY_MESSAGES_WAIT:
        return REPLAY_RECORDING_WAIT;
    case REPLAY_MESSAGES_END:
    case REPLAY_MESSAGES_CUT:
        return replay_recording_end_file(recording, status == REPLAY_MESSAGES_CUT, error_out);
    case REPLAY_MESSAGES_CORRUPT:
        feed_fail(error_out, -EINVAL,
                  "replay: %.300s is corrupt: at byte %" PRIu64 ", message %" PRIu64
                  ": %s; all before it was replayed",
                  replay_recording_name(recording), messages->offset, messages->number + 1,
                  messages->fault);
        return REPLAY_RECORDING_FAILED;
    case REPLAY_MESSAGES_FAILED:
        feed_fail(error_out, messages->reader->error, "replay: cannot read %.300s: %s",
                  replay_recording_name(recording), strerror(-messages->reader->error));
        return REPLAY_RECORDING_FAILED;
    case REPLAY_MESSAGES_READY:
        break;
    }
    return recording->has_head ? replay_recording_take(recording, ts_ns_out)
                               : replay_recording_begin_file(recording, error_out);
}

int replay_recording_rewind(struct replay_recording *recording)
{
    const struct replay_directory *directory = recording->options.directory;
    struct line_reader *reader = recording->options.reader;
    int error = 0;
    if (recording->file_index > 0) {
        line_reader_close(reader);
        recording->file_index = 0;
        error = replay_directory_open_file(directory, 0, reader);
    }
    if (error == 0) {
        error = line_reader_rewind(reader);
    }
    replay_messages_restart(&recording->messages);
    memset(recording->books, 0, sizeof recording->books);
    recording->has_head = false;
    recording->has_before = false;
    recording->is_again = true;
    return error;
}

/* ---- Delivery ---- */

static enum replay_recording_status replay_recording_publish(struct replay_recording *recording,
                                                             struct md_update *update,
                                                             uint64_t ts_recv_ns)
{
    const struct feed_sink *sink = recording->options.sink;
    const char *name = md_type_name(update->type);
    if (update->channel == UINT32_MAX) {
        return replay_recording_malformed(recording, REPLAY_SYMBOL_FAULT);
    }
    if (update->type == MD_DEPTH) {
        /* A delta of another pass continues the book at the beginning, not that at the end. */
        if (recording->is_again && update->depth.action == MD_DELTA &&
            !replay_recording_test(recording->books, update->channel)) {
            sink->lost(sink->context, update->channel);
        }
        replay_recording_set(recording->books, update->channel);
    }
    replay_recording_set(recording->channels, update->channel);
    update->ts_recv_ns = ts_recv_ns;
    sink->publish(sink->context, update);
    recording->options.counters->ticks++;
    kind_counts_add(&recording->ticks, name, strlen(name));
    return REPLAY_RECORDING_READY;
}

enum replay_recording_status replay_recording_deliver(struct replay_recording *recording,
                                                      uint64_t ts_recv_ns)
{
    const struct feed_sink *sink = recording->options.sink;
    switch (recording->item) {
    case REPLAY_RECORDING_SBE:
        return replay_recording_publish(recording, &recording->sbe.update, ts_recv_ns);
    case REPLAY_RECORDING_JSON:
        return replay_recording_publish(recording, &recording->json.update, ts_recv_ns);
    case REPLAY_RECORDING_GAP:
        sink->lost(sink->context, recording->gap_channel);
        return REPLAY_RECORDING_NOTHING;
    }
    assert_always(!"an item is one of the three");
    return REPLAY_RECORDING_FAILED;
}

/* ---- What was read ---- */

const char *replay_recording_fault(const struct replay_recording *recording)
{
    return recording->fault;
}

uint64_t replay_recording_number(const struct replay_recording *recording)
{
    return recording->messages.number;
}

size_t replay_recording_message_bytes(const struct replay_recording *recording)
{
    return recording->messages.message_bytes;
}

const struct kind_counts *replay_recording_ticks(const struct replay_recording *recording)
{
    return &recording->ticks;
}

const struct kind_counts *replay_recording_skipped(const struct replay_recording *recording)
{
    return &recording->skipped;
}
