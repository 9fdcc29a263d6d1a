#include "feeds/replay/replay_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/time_text.h"
#include "feeds/kind_counts.h"
#include "feeds/replay/csv_ticks.h"
#include "feeds/replay/line_reader.h"
#include "feeds/replay/replay_format.h"
#include "feeds/replay/replay_frames.h"
#include "feeds/replay/replay_messages.h"
#include "feeds/replay/replay_recording.h"
#include "feeds/replay/replay_symbol.h"

#define REPLAY_FILE_PROBE_LINES_MAX 100 /* with data, or malformed */
#define REPLAY_FILE_KINDS_BYTES_MAX 160

struct replay_file {
    /* Set by open, then constant. */
    const struct feed_sink *sink;
    struct feed_counters *counters;
    const char *name; /* for messages */
    const char *suffix;

    struct replay_format format;
    struct line_reader reader;
    const char *fault;
    char error[FEED_ERROR_BYTES_MAX]; /* after REPLAY_FILE_FAILED */

    /* At most one of the three. */
    struct venue *venue;
    struct replay_frames *frames;
    struct replay_recording *recording;
    struct replay_directory directory; /* of the recording; count 0: it is one file */
    const char *message; /* the JSON of the item that is ready; in the reader's buffer */
    size_t message_bytes;

    /* CSV. */
    struct csv_ticks csv;
    struct csv_tick tick; /* the item that is ready */
    struct kind_counts ticks;
};

static uint32_t replay_file_probe_open_channel(void *context, const char *symbol,
                                               size_t symbol_bytes, enum md_type type)
{
    (void)context;
    (void)symbol;
    (void)symbol_bytes;
    (void)type;
    return 0;
}

static void replay_file_probe_publish(void *context, const struct md_update *update)
{
    (void)context;
    (void)update;
}

static void replay_file_probe_lost(void *context, uint32_t channel)
{
    (void)context;
    (void)channel;
}

/* Takes what a probe of the file decodes. Decoders use no more of a sink than this. */
static const struct feed_sink replay_file_probe_sink = {
    .open_channel = replay_file_probe_open_channel,
    .publish = replay_file_probe_publish,
    .lost = replay_file_probe_lost,
};

static enum replay_file_status replay_file_malformed(struct replay_file *file, const char *fault)
{
    file->fault = fault;
    return REPLAY_FILE_MALFORMED;
}

static enum replay_file_status replay_file_count_malformed(struct replay_file *file,
                                                           const char *fault)
{
    file->counters->malformed++;
    return replay_file_malformed(file, fault);
}

static enum replay_file_status replay_file_take_capture(struct replay_file *file,
                                                        uint64_t *ts_ns_out)
{
    const char *text = file->reader.text;
    size_t text_bytes = file->reader.text_bytes;
    if (text_bytes == 0) {
        return REPLAY_FILE_NOTHING;
    }
    const char *colon = memchr(text, ':', text_bytes);
    if (colon != NULL && time_text_parse_seconds(text, (size_t)(colon - text), ts_ns_out)) {
        file->message = colon + 1;
        file->message_bytes = (size_t)(text + text_bytes - file->message);
        return REPLAY_FILE_READY;
    }
    if (replay_format_is_connection_line(text, text_bytes)) {
        return REPLAY_FILE_NOTHING;
    }
    return replay_file_count_malformed(file, "it is not <seconds>: <JSON>");
}

static enum replay_file_status replay_file_take_row(struct replay_file *file, uint64_t *ts_ns_out)
{
    const struct line_reader *reader = &file->reader;
    const char *fault;
    if (reader->line_number == 1) {
        if (!csv_ticks_parse_header(&file->csv, reader->text, reader->text_bytes, &fault)) {
            return replay_file_count_malformed(file, fault);
        }
        return REPLAY_FILE_NOTHING;
    }
    if (reader->text_bytes == 0) {
        return REPLAY_FILE_NOTHING;
    }
    if (!csv_ticks_parse_row(&file->csv, reader->text, reader->text_bytes, &file->tick, &fault)) {
        return replay_file_count_malformed(file, fault);
    }
    *ts_ns_out = file->tick.ts_event_ns;
    return REPLAY_FILE_READY;
}

/* Directs what is decoded from here on, counted from nothing. */
static int replay_file_direct(struct replay_file *file, const struct feed_sink *sink,
                              struct feed_counters *counters)
{
    file->sink = sink;
    file->counters = counters;
    file->ticks = (struct kind_counts){0};
    venue_destroy(file->venue);
    file->venue = NULL;
    replay_frames_destroy(file->frames);
    file->frames = NULL;
    replay_recording_destroy(file->recording);
    file->recording = NULL;
    switch (file->format.kind) {
    case REPLAY_FORMAT_VENUE:
        return venue_create(&file->venue, file->format.venue, file->suffix, sink, counters);
    case REPLAY_FORMAT_RINGCAST:
        return replay_frames_create(&file->frames, file->suffix, sink, counters);
    case REPLAY_FORMAT_RECORDING:
        return replay_recording_create(
            &file->recording, &(struct replay_recording_options){.reader = &file->reader,
                                                                 .directory = &file->directory,
                                                                 .name = file->name,
                                                                 .suffix = file->suffix,
                                                                 .sink = sink,
                                                                 .counters = counters});
    case REPLAY_FORMAT_UNKNOWN:
    case REPLAY_FORMAT_CSV:
        break;
    }
    return 0;
}

/* Finds out the format by the first line, which has just been read. */
static int replay_file_detect(struct replay_file *file, enum line_status status)
{
    const struct line_reader *reader = &file->reader;
    if (status == LINE_READER_END) {
        return feed_fail(file->error, -EINVAL, "replay: %.200s is empty", file->name);
    }
    if (status == LINE_READER_TOO_LONG) {
        return feed_fail(
            file->error, -EINVAL,
            "replay: %.200s begins with a line longer than 16 MiB: it is not a recording",
            file->name);
    }
    int error = replay_format_by_line(&file->format, file->name, reader->text, reader->text_bytes,
                                      file->error);
    if (error < 0) {
        return error;
    }
    error = replay_file_direct(file, file->sink, file->counters);
    return error == 0 ? 0 : feed_fail(file->error, error, "replay: %s", strerror(-error));
}

/* Finds out whether the file is a recording, whose first bytes are no text. */
static enum line_status replay_file_look(struct replay_file *file)
{
    enum line_status status = line_reader_bytes(&file->reader, REPLAY_MESSAGES_KIND_BYTES);
    if (status == LINE_READER_LINE && file->reader.text_bytes >= REPLAY_MESSAGES_KIND_BYTES &&
        replay_messages_is_recording(file->reader.text)) {
        file->format.kind = REPLAY_FORMAT_RECORDING;
        file->reader.error = replay_file_direct(file, file->sink, file->counters);
        return file->reader.error < 0 ? LINE_READER_FAILED : LINE_READER_LINE;
    }
    bool is_line = memchr(file->reader.text, '\n', file->reader.text_bytes) != NULL;
    return status == LINE_READER_WAIT && is_line ? LINE_READER_LINE : status;
}

static enum replay_file_status replay_file_next_message(struct replay_file *file,
                                                        uint64_t *ts_ns_out)
{
    switch (replay_recording_next(file->recording, ts_ns_out, file->error)) {
    case REPLAY_RECORDING_READY:
        return REPLAY_FILE_READY;
    case REPLAY_RECORDING_NOTHING:
        return REPLAY_FILE_NOTHING;
    case REPLAY_RECORDING_WAIT:
        return REPLAY_FILE_WAIT;
    case REPLAY_RECORDING_MALFORMED: /* It has been counted. */
        return replay_file_malformed(file, replay_recording_fault(file->recording));
    case REPLAY_RECORDING_END:
        return REPLAY_FILE_END;
    case REPLAY_RECORDING_FAILED:
        break;
    }
    return REPLAY_FILE_FAILED;
}

enum replay_file_status replay_file_next(struct replay_file *file, uint64_t *ts_ns_out)
{
    enum line_status status = LINE_READER_LINE;
    if (file->format.kind == REPLAY_FORMAT_UNKNOWN) {
        status = replay_file_look(file);
    }
    if (file->format.kind == REPLAY_FORMAT_RECORDING && status == LINE_READER_LINE) {
        return replay_file_next_message(file, ts_ns_out);
    }
    if (status == LINE_READER_LINE || status == LINE_READER_END) {
        status = line_reader_next(&file->reader);
    }
    switch (status) {
    case LINE_READER_AGAIN:
        return REPLAY_FILE_AGAIN;
    case LINE_READER_WAIT:
        return REPLAY_FILE_WAIT;
    case LINE_READER_FAILED:
        feed_fail(file->error, file->reader.error, "replay: cannot read %.200s: %s", file->name,
                  strerror(-file->reader.error));
        return REPLAY_FILE_FAILED;
    default:
        break;
    }
    if (file->format.kind == REPLAY_FORMAT_UNKNOWN && replay_file_detect(file, status) < 0) {
        return REPLAY_FILE_FAILED;
    }
    if (status == LINE_READER_END) {
        return REPLAY_FILE_END;
    }
    if (status == LINE_READER_TOO_LONG) {
        if (file->venue != NULL) {
            venue_lose_books(file->venue);
        }
        return replay_file_count_malformed(file, "it is longer than 16 MiB");
    }
    return file->format.kind == REPLAY_FORMAT_CSV ? replay_file_take_row(file, ts_ns_out)
                                                  : replay_file_take_capture(file, ts_ns_out);
}

static enum replay_file_status replay_file_deliver_row(struct replay_file *file,
                                                       uint64_t ts_recv_ns)
{
    struct md_update update;
    char symbol[MD_SYMBOL_BYTES_MAX];
    size_t symbol_bytes =
        replay_symbol_rename(symbol, file->tick.symbol, file->tick.symbol_bytes, file->suffix);

    csv_ticks_to_update(&file->tick, &update);
    update.ts_recv_ns = ts_recv_ns;
    update.channel = symbol_bytes == 0 ? UINT32_MAX
                                       : file->sink->open_channel(file->sink->context, symbol,
                                                                  symbol_bytes, update.type);
    if (update.channel == UINT32_MAX) {
        return replay_file_count_malformed(file, REPLAY_SYMBOL_FAULT);
    }
    file->sink->publish(file->sink->context, &update);
    file->counters->ticks++;
    kind_counts_add(&file->ticks, md_type_name(update.type), strlen(md_type_name(update.type)));
    return REPLAY_FILE_TICK;
}

/* A recorded tick, or a GAP in its place. */
static enum replay_file_status replay_file_deliver_message(struct replay_file *file,
                                                           uint64_t ts_recv_ns)
{
    switch (replay_recording_deliver(file->recording, ts_recv_ns)) {
    case REPLAY_RECORDING_READY:
        return REPLAY_FILE_TICK;
    case REPLAY_RECORDING_MALFORMED:
        return replay_file_malformed(file, replay_recording_fault(file->recording));
    default:
        return REPLAY_FILE_NOTHING;
    }
}

/* The recorded frame of a ringcast. */
static enum replay_file_status replay_file_deliver_frame(struct replay_file *file,
                                                         uint64_t ts_recv_ns)
{
    switch (replay_frames_decode(file->frames, file->message, file->message_bytes, ts_recv_ns)) {
    case FRAME_TICKS_TICK:
        return REPLAY_FILE_TICK;
    case FRAME_TICKS_OTHER:
        return REPLAY_FILE_NOTHING;
    case FRAME_TICKS_MALFORMED: /* It has been counted. */
        return replay_file_malformed(file, file->frames->fault);
    }
    assert_always(false);
    return REPLAY_FILE_FAILED;
}

enum replay_file_status replay_file_deliver(struct replay_file *file, uint64_t ts_recv_ns)
{
    if (file->format.kind == REPLAY_FORMAT_CSV) {
        return replay_file_deliver_row(file, ts_recv_ns);
    }
    if (file->format.kind == REPLAY_FORMAT_RECORDING) {
        return replay_file_deliver_message(file, ts_recv_ns);
    }
    assert_always(file->message != NULL);
    if (file->format.kind == REPLAY_FORMAT_RINGCAST) {
        return replay_file_deliver_frame(file, ts_recv_ns);
    }
    switch (venue_decode(file->venue, file->message, file->message_bytes, ts_recv_ns)) {
    case VENUE_TICK:
        return REPLAY_FILE_TICK;
    case VENUE_SKIPPED:
        return REPLAY_FILE_NOTHING;
    case VENUE_MALFORMED: /* The venue has counted it. */
        return replay_file_malformed(file, file->venue->fault);
    }
    assert_always(false);
    return REPLAY_FILE_FAILED;
}

int replay_file_rewind(struct replay_file *file)
{
    file->message = NULL;
    if (file->recording != NULL) {
        return replay_recording_rewind(file->recording);
    }
    if (file->venue != NULL) {
        venue_forget_sequences(file->venue);
    }
    if (file->frames != NULL) {
        replay_frames_restart(file->frames);
    }
    return line_reader_rewind(&file->reader);
}

/* Decodes the first lines for nothing: a file of another format shall not pass for a quiet one. */
static int replay_file_probe(struct replay_file *file, char error_out[FEED_ERROR_BYTES_MAX])
{
    const char *first_fault = NULL;
    uint64_t first_fault_line = 0;
    uint64_t ts_ns;
    for (uint32_t i = 0; i < REPLAY_FILE_PROBE_LINES_MAX;) {
        enum replay_file_status status = replay_file_next(file, &ts_ns);
        if (status == REPLAY_FILE_FAILED) {
            return feed_fail(error_out, -EINVAL, "%s", file->error);
        }
        if (status == REPLAY_FILE_END) {
            break;
        }
        if (status == REPLAY_FILE_READY && replay_file_deliver(file, 0) != REPLAY_FILE_MALFORMED) {
            return 0;
        }
        if (status == REPLAY_FILE_READY || status == REPLAY_FILE_MALFORMED) {
            i++;
            first_fault_line = first_fault == NULL ? file->reader.line_number : first_fault_line;
            first_fault = first_fault == NULL ? file->fault : first_fault;
        }
    }
    if (first_fault == NULL) {
        return feed_fail(error_out, -EINVAL, "replay: %.200s contains no message or row",
                         file->name);
    }
    return feed_fail(error_out, -EINVAL,
                     "replay: %.200s is not a %s recording: none of the first %d lines with data "
                     "is valid; line %" PRIu64 ": %s",
                     file->name, replay_format_name(&file->format), REPLAY_FILE_PROBE_LINES_MAX,
                     first_fault_line, first_fault);
}

static int replay_file_prepare(struct replay_file *file, const struct replay_file_options *options,
                               char error_out[FEED_ERROR_BYTES_MAX])
{
    struct feed_counters unseen = {0};
    int error = replay_format_by_name(&file->format, options->format, error_out);
    if (error < 0) {
        return error;
    }
    if (!file->reader.is_stream) {
        error = replay_file_direct(file, &replay_file_probe_sink, &unseen);
        if (error == 0) {
            error = replay_file_probe(file, error_out);
            if (error < 0) {
                return error;
            }
            error = replay_file_rewind(file);
        }
    }
    if (error == 0) {
        error = replay_file_direct(file, options->sink, options->counters);
    }
    return error == 0 ? 0 : feed_fail(error_out, error, "replay: %s", strerror(-error));
}

/* All recordings of a directory; the reader is at the first one. */
static int replay_file_open_directory(struct replay_file *file, const char *path)
{
    int error = replay_directory_open(&file->directory, path);
    return error < 0 ? error : replay_directory_open_file(&file->directory, 0, &file->reader);
}

int replay_file_open(struct replay_file **file_out, const struct replay_file_options *options,
                     char error_out[FEED_ERROR_BYTES_MAX])
{
    struct replay_file *file = calloc(1, sizeof *file);
    if (file == NULL) {
        return feed_fail(error_out, -ENOMEM, "replay: no memory");
    }
    file->name = options->name;
    file->suffix = options->suffix;
    int error = line_reader_open(&file->reader, options->path);
    if (error == -EISDIR) {
        error = replay_file_open_directory(file, options->path);
    }
    if (error < 0) {
        replay_directory_close(&file->directory);
        free(file);
        return feed_fail(error_out, error, "replay: cannot open %.300s: %s", options->name,
                         error == -EINVAL  ? "it is neither a regular file nor a FIFO or pipe"
                         : error == -EBUSY ? "another feed reads it already"
                         : error == -ENODATA
                             ? "the directory has no recording (" REPLAY_DIRECTORY_PATTERN ")"
                             : strerror(-error));
    }
    error = replay_file_prepare(file, options, error_out);
    if (error < 0) {
        replay_file_close(file);
        return error;
    }
    *file_out = file;
    return 0;
}

void replay_file_close(struct replay_file *file)
{
    venue_destroy(file->venue);
    replay_frames_destroy(file->frames);
    replay_recording_destroy(file->recording);
    replay_directory_close(&file->directory);
    line_reader_close(&file->reader);
    free(file);
}

size_t replay_file_line_bytes(const struct replay_file *file)
{
    return file->recording != NULL ? replay_recording_message_bytes(file->recording)
                                   : file->reader.text_bytes;
}

uint64_t replay_file_line_number(const struct replay_file *file)
{
    return file->recording != NULL ? replay_recording_number(file->recording)
                                   : file->reader.line_number;
}

const char *replay_file_fault(const struct replay_file *file)
{
    return file->fault;
}

const char *replay_file_error(const struct replay_file *file)
{
    return file->error;
}

int replay_file_stream(const struct replay_file *file)
{
    return file->reader.is_stream ? file->reader.fd : -1;
}

void replay_file_summary(const struct replay_file *file, char *text, size_t text_bytes)
{
    static const struct kind_counts none;
    char ticks[REPLAY_FILE_KINDS_BYTES_MAX];
    char skipped[REPLAY_FILE_KINDS_BYTES_MAX];
    const struct feed_counters *counters = file->counters;
    kind_counts_format(file->venue != NULL       ? &file->venue->ticks
                       : file->frames != NULL    ? &file->frames->ticks
                       : file->recording != NULL ? replay_recording_ticks(file->recording)
                                                 : &file->ticks,
                       ticks, sizeof ticks);
    kind_counts_format(file->venue != NULL       ? &file->venue->skipped
                       : file->frames != NULL    ? &file->frames->skipped
                       : file->recording != NULL ? replay_recording_skipped(file->recording)
                                                 : &none,
                       skipped, sizeof skipped);
    snprintf(text, text_bytes,
             "%" PRIu64 " ticks%s%s%s, %" PRIu64 " skipped%s%s%s, %" PRIu64 " malformed, %" PRIu64
             " holes",
             counters->ticks, ticks[0] ? " (" : "", ticks, ticks[0] ? ")" : "", counters->skipped,
             skipped[0] ? " (" : "", skipped, skipped[0] ? ")" : "", counters->malformed,
             counters->holes);
}
