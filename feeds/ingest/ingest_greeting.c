#include "feeds/ingest/ingest_greeting.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "codec/base/check.h"
#include "feeds/ingest/ingest_reply.h"
#include "feeds/ingest/ingest_ticks.h"

static const char *ingest_greeting_token(const struct ingest_producer *producer)
{
    return producer->has_grant ? producer->grant.name : "";
}

/* The other connection of the same name and token; NULL: none. */
static struct ingest_producer *ingest_greeting_find(const struct ingest_producer *producer)
{
    for (uint32_t i = 0; i < INGEST_PLACES_MAX; i++) {
        struct ingest_producer *other = producer->ingest->producers[i];
        if (other != NULL && other != producer && other->is_named && other->stage == INGEST_OPEN &&
            strcmp(other->hello.name, producer->hello.name) == 0 &&
            strcmp(ingest_greeting_token(other), ingest_greeting_token(producer)) == 0) {
            return other;
        }
    }
    return NULL;
}

static void ingest_greeting_open_place(struct ingest_producer *producer)
{
    uint64_t epoch = producer->hello.epoch;
    if (epoch > 0) {
        producer->place = ingest_names_open(
            producer->ingest->names, ingest_greeting_token(producer), producer->hello.name, epoch);
    }
}

static void ingest_greeting_log(struct ingest_producer *producer)
{
    char position[64] = "";
    if (producer->place->has_q) {
        snprintf(position, sizeof position, "; it goes on after %" PRIu64, producer->place->q);
    }
    ingest_log(producer->ingest, FEED_INFO, "ingest: %s is connected, %s form, epoch %" PRIu64 "%s",
               producer->label, producer->input.form == INGEST_FORM_BINARY ? "binary" : "text",
               producer->hello.epoch, position);
}

static void ingest_greeting_accept(struct ingest_producer *producer)
{
    struct ingest *ingest = producer->ingest;
    const char *token = ingest_greeting_token(producer);
    snprintf(producer->label, sizeof producer->label, "%s%s%s%s", producer->hello.name,
             token[0] == '\0' ? "" : " (token ", token, token[0] == '\0' ? "" : ")");
    ingest_greeting_open_place(producer);
    if (producer->place->epoch > producer->hello.epoch) {
        ingest_reply_error(producer, INGEST_OLD_EPOCH, NULL);
        return;
    }
    struct ingest_producer *other = ingest_greeting_find(producer);
    if (other != NULL) {
        ingest_reply_error(other, INGEST_REPLACED, NULL); /* It has the same place, with its ACK. */
    }
    if (producer->place->epoch < producer->hello.epoch) {
        *producer->place = (struct ingest_place){.epoch = producer->hello.epoch};
    }
    producer->stage = INGEST_OPEN;
    producer->is_named = true;
    producer->input.message_bytes_max = INGEST_INPUT_MESSAGE_BYTES_MAX;
    if (list_empty(&producer->ready_link)) { /* Messages may have come behind HELLO. */
        list_append(&ingest->ready, &producer->ready_link);
    }
    ingest_reply_welcome(producer);
    ingest_greeting_log(producer);
}

void ingest_greeting_go_on(struct ingest_producer *producer)
{
    struct ingest *ingest = producer->ingest;
    const struct feed_admission *admission = ingest->feed.sink->admission;
    const char *fault = NULL;
    int error =
        admission->admit(admission->context, producer->hello.token, producer->hello.token_bytes,
                         ingest->now_ns, &producer->grant, &fault);
    if (error == -EAGAIN) {
        producer->stage = INGEST_ADMITTING;
        if (list_empty(&producer->admission_link)) {
            list_append(&ingest->admissions, &producer->admission_link);
        }
        return;
    }
    list_remove(&producer->admission_link);
    ingest_hello_drop_token(&producer->hello);
    if (error == 0) {
        producer->has_grant = true;
        ingest_greeting_accept(producer);
    } else {
        ingest_reply_error(producer,
                           error == -EKEYEXPIRED                  ? INGEST_TOKEN_EXPIRED
                           : error == -EPERM                      ? INGEST_FORBIDDEN
                           : error == -EUSERS || error == -ENOMEM ? INGEST_TOO_MANY_PRODUCERS
                                                                  : INGEST_BAD_TOKEN,
                           fault);
    }
}

void ingest_greeting_take(struct ingest_producer *producer)
{
    if (producer->has_message) {
        ingest_reply_error(producer, INGEST_HELLO_FIRST, "HELLO came after another message");
        return;
    }
    const char *fault = ingest_control_check_length(producer->input.message_bytes);
    if (fault != NULL) {
        ingest_reply_error(producer, INGEST_TOO_LONG, fault);
        return;
    }
    fault = ingest_control_read_hello(&producer->hello, producer->input.message,
                                      producer->input.message_bytes);
    if (fault != NULL) {
        ingest_reply_error(producer,
                           producer->hello.is_hello ? INGEST_MALFORMED : INGEST_HELLO_FIRST, fault);
    } else if (producer->stage == INGEST_OPEN || !producer->ingest->needs_token) {
        ingest_greeting_accept(producer);
    } else if (producer->hello.token == NULL) {
        ingest_reply_error(producer, INGEST_BAD_TOKEN, "HELLO has no token");
    } else {
        assert_always(producer->ingest->feed.sink->admission != NULL);
        ingest_greeting_go_on(producer);
    }
}

/* The token of an open producer under a new revision. */
static void ingest_greeting_judge_grant(struct ingest_producer *producer)
{
    const struct feed_admission *admission = producer->ingest->feed.sink->admission;
    const char *fault = NULL;
    int verdict = admission->judge(admission->context, &producer->grant, &fault);
    if (verdict < 0) {
        ingest_reply_error(producer, INGEST_BAD_TOKEN, fault);
    } else if (verdict > 0) {
        ingest_ticks_limit(producer);
    }
}

void ingest_greeting_judge(struct ingest_producer *producer)
{
    bool needs_token = producer->ingest->needs_token && !producer->is_standard_input;
    if (producer->stage == INGEST_ADMITTING && needs_token) {
        producer->grant.key_next = 0;
    } else if (producer->stage == INGEST_ADMITTING) {
        list_remove(&producer->admission_link);
        ingest_hello_drop_token(&producer->hello);
        producer->grant = (struct feed_grant){0};
        ingest_greeting_accept(producer);
    } else if (producer->stage == INGEST_OPEN && producer->has_grant) {
        ingest_greeting_judge_grant(producer);
    } else if (producer->stage == INGEST_OPEN && needs_token) {
        ingest_reply_error(producer, INGEST_BAD_TOKEN, "a token is needed now");
    }
}

void ingest_greeting_drop(struct ingest_producer *producer)
{
    const struct feed_admission *admission = producer->ingest->feed.sink->admission;
    if (producer->place != &producer->own_place) {
        ingest_names_close(producer->ingest->names, producer->place);
        producer->place = &producer->own_place;
    }
    if (producer->has_grant) {
        admission->drop_grant(admission->context, &producer->grant);
        producer->has_grant = false;
    }
    ingest_hello_drop_token(&producer->hello);
}
