#include "feeds/ingest/ingest_reply.h"

#include "codec/base/check.h"
#include "feeds/ingest/ingest_ticks.h"

/* Half of what is promised: a poll may be late, and the next one sends it. */
#define INGEST_REPLY_ACK_NS (INGEST_ACK_MS * NS_PER_MS / 2)

static void ingest_reply_queue(struct ingest_producer *producer, const char *text,
                               size_t text_bytes)
{
    struct ingest *ingest = producer->ingest;
    bool is_binary = producer->input.form == INGEST_FORM_BINARY;
    if (producer->output.fd < 0 ||
        !ingest_output_put(&producer->output, is_binary, text, text_bytes)) {
        return;
    }
    producer->sent_ns = ingest->steady_ns;
    if (!producer->is_blocked && list_empty(&producer->flush_link)) {
        list_append(&ingest->flushes, &producer->flush_link);
    }
}

void ingest_reply_welcome(struct ingest_producer *producer)
{
    char text[INGEST_OUTPUT_MESSAGE_BYTES_MAX];
    uint64_t server_epoch = producer->ingest->feed.sink->epoch;
    assert_always(producer->is_named);
    ingest_reply_queue(producer, text, ingest_control_welcome(text, server_epoch, producer->place));
}

void ingest_reply_refused(struct ingest_producer *producer, uint64_t q, const char *reason)
{
    char text[INGEST_OUTPUT_MESSAGE_BYTES_MAX];
    if (producer->is_named) {
        ingest_reply_queue(producer, text, ingest_control_refused(text, q, reason));
    }
}

void ingest_reply_heartbeat(struct ingest_producer *producer)
{
    char text[INGEST_OUTPUT_MESSAGE_BYTES_MAX];
    if (producer->is_named) {
        ingest_reply_queue(producer, text, ingest_control_heartbeat(text));
    }
}

void ingest_reply_ack(struct ingest_producer *producer)
{
    char text[INGEST_OUTPUT_MESSAGE_BYTES_MAX];
    assert_always(!list_empty(&producer->ack_link));
    assert_always(producer->is_named);
    list_remove(&producer->ack_link);
    ingest_reply_queue(producer, text, ingest_control_ack(text, producer->place->q));
}

void ingest_reply_ack_soon(struct ingest_producer *producer)
{
    struct ingest *ingest = producer->ingest;
    if (producer->is_named && list_empty(&producer->ack_link)) {
        producer->ack_ns = ingest->steady_ns + INGEST_REPLY_ACK_NS;
        list_append(&ingest->acks, &producer->ack_link);
    }
}

static void ingest_reply_leave(struct ingest_producer *producer, enum ingest_stage stage,
                               const char *cause)
{
    producer->stage = stage;
    producer->end_cause = producer->end_cause == NULL ? cause : producer->end_cause;
    producer->closing_ns = producer->ingest->steady_ns;
    producer->ingest->has_ended = true;
    if (!producer->is_silent) {
        ingest_ticks_silence(producer);
    }
    list_remove(&producer->admission_link);
    list_remove(&producer->ack_link);
}

static void ingest_reply_last_ack(struct ingest_producer *producer)
{
    if (!list_empty(&producer->ack_link)) {
        ingest_reply_ack(producer);
    }
}

void ingest_reply_finish(struct ingest_producer *producer, const char *cause)
{
    ingest_reply_last_ack(producer);
    ingest_reply_leave(
        producer, ingest_output_is_empty(&producer->output) ? INGEST_ENDED : INGEST_CLOSING, cause);
}

void ingest_reply_error(struct ingest_producer *producer, enum ingest_code code, const char *detail)
{
    char text[INGEST_OUTPUT_MESSAGE_BYTES_MAX];
    if (producer->stage >= INGEST_CLOSING) {
        return;
    }
    ingest_reply_last_ack(producer);
    ingest_reply_queue(producer, text, ingest_control_error(text, code, detail));
    ingest_reply_finish(producer, detail == NULL ? ingest_control_code_name(code) : detail);
}

void ingest_reply_end(struct ingest_producer *producer, const char *cause)
{
    if (producer->stage != INGEST_ENDED) {
        ingest_reply_leave(producer, INGEST_ENDED, cause);
    }
}
