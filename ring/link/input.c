#include "ring/link/input.h"

#include <string.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "ring/link/opening.h"
#include "ring/trace.h"

/* ---- Half requests and messages ---- */

void input_release(struct links *links, struct link *link)
{
    if (link->input != LINK_NO_INPUT) {
        list_remove(&links_input(links, link->input)->age_link);
        links->free_inputs[links->free_input_count++] = link->input;
        link->input = LINK_NO_INPUT;
    }
}

static struct link_input *input_take(struct links *links, struct link *link)
{
    assert_always(link->input == LINK_NO_INPUT);
    if (links->free_input_count == 0) {
        /* Half-sent requests must not starve the others: the oldest makes room. One that closes
         * already needs its half no more, but still has its last words to say. */
        struct link_input *oldest =
            container_of(links->inputs_in_use.next, struct link_input, age_link);
        struct link *victim = links_at(links, oldest->conn);
        assert_always(victim != link && victim->input != LINK_NO_INPUT);
        input_release(links, victim);
        if (victim->stage != LINK_CLOSING) {
            link_doom(links, victim, 0, "incomplete message for too long");
        }
    }
    assert_always(links->free_input_count > 0);
    link->input = links->free_inputs[--links->free_input_count] & LINK_NO_INPUT;
    struct link_input *input = links_input(links, link->input);
    input->conn = links_index(links, link);
    input->handshake_bytes = 0;
    memset(&input->request, 0, sizeof input->request);
    input->since_ns = links->now_ns;
    list_append(&links->inputs_in_use, &input->age_link);
    return input;
}

/* ---- Slices ---- */

void input_spend(struct links *links, uint32_t units)
{
    links->spent += units;
}

bool input_slice_is_over(const struct links *links)
{
    return links->spent >= links->slice_units;
}

void input_begin_slice(struct links *links, uint64_t units)
{
    links->spent = 0;
    links->slice_units = units;
}

void input_end_slice(struct links *links)
{
    uint64_t longest = counter_get(&links->counters->slice_units_max);
    links->turn_spent += links->spent;
    if (links->spent > longest) {
        counter_set(&links->counters->slice_units_max, links->spent);
    }
}

/* ---- Messages ---- */

static void input_on_pong(struct links *links, struct link *link, const struct ws_message *message)
{
    uint64_t sent_ns;
    if (message->payload_bytes != sizeof sent_ns) {
        return;
    }
    memcpy(&sent_ns, message->payload, sizeof sent_ns);
    /* Of an answer that a client makes up only the stamp is known: its round trip is its own. */
    if (link->was_pinged && sent_ns <= links->now_ns &&
        (uint32_t)stamp_of(sent_ns) == link->asked &&
        links->now_ns - sent_ns <= stamp_age_ns(link->asked, links->now_ns) + 2 * STAMP_NS) {
        link->round_trip_us = (uint32_t)((links->now_ns - sent_ns) / NS_PER_US);
        trace_pong(links->options.core_number, links_index(links, link), links->now_ns - sent_ns);
    }
}

static void input_on_close_frame(struct links *links, struct link *link,
                                 const struct ws_message *message)
{
    uint16_t code = message->payload_bytes >= 2 ? bytes_load_be16(message->payload) : 1000;
    link->close_received = true;
    link_close(links, link, code, "", "closed by the client");
}

static void input_on_message(struct links *links, struct link *link,
                             const struct ws_message *message)
{
    counter_add(&links->counters->messages_in, 1);
    input_spend(links, INPUT_MESSAGE_UNITS);
    switch (message->opcode) {
    case WS_PING:
        link_queue_frame(links, link, WS_PONG, message->payload, message->payload_bytes);
        break;
    case WS_PONG:
        input_on_pong(links, link, message);
        break;
    case WS_CLOSE:
        input_on_close_frame(links, link, message);
        break;
    default:
        link->heard = (uint32_t)stamp_of(links->now_ns);
        links->options.ops->on_message(links->options.context, links->options.core,
                                       links_index(links, link), message->opcode, message->payload,
                                       message->payload_bytes, links->now_ns);
        break;
    }
}

static void input_on_fault(struct links *links, struct link *link, enum ws_status status)
{
    counter_add(&links->counters->closed_protocol, 1);
    link_close(links, link, ws_status_close_code(status), ws_status_text(status),
               ws_status_text(status));
}

/* What is held from here on belongs to a new message, whose time begins now. A control frame in
 * the middle of a message renews nothing. */
static void input_renew(struct links *links, struct link *link, enum ws_opcode opcode)
{
    if (link->input != LINK_NO_INPUT && (opcode == WS_TEXT || opcode == WS_BINARY)) {
        struct link_input *input = links_input(links, link->input);
        input->since_ns = links->now_ns;
        list_remove(&input->age_link);
        list_append(&links->inputs_in_use, &input->age_link);
    }
}

static enum ws_status input_inflate(struct links *links, struct link *link,
                                    struct ws_message *message)
{
    struct ws_inflate *inflate = links->options.ops->inflate_of(
        links->options.context, links->options.core, links_index(links, link));
    enum ws_status status =
        ws_inflate_message(inflate, message, links->inflated, links->options.message_bytes_max);
    input_spend(links, INPUT_INFLATE_UNITS + (uint32_t)message->payload_bytes / INPUT_UNIT_BYTES);
    return status;
}

/* Whether its next message is to wait. */
static bool input_must_wait(const struct links *links, const struct link *link)
{
    return link->is_held || input_slice_is_over(links) || link_is_full(links, link);
}

/* Returns how many bytes are done with: all, unless what follows a message must wait. */
static size_t input_decode(struct links *links, struct link *link, uint8_t *bytes, size_t count)
{
    struct ws_decoder fresh;
    struct ws_decoder *decoder = &fresh;
    size_t total = count;
    bool goes_on = true;
    if (link->input != LINK_NO_INPUT) {
        decoder = &links_input(links, link->input)->decoder;
    } else {
        ws_decoder_init(&fresh, links->options.message_bytes_max, true, NULL);
        fresh.inflates = link->inflates;
    }
    /* Ends: each round consumes bytes, or is the last. */
    while (link->stage == LINK_STREAMING && goes_on) {
        struct ws_message message;
        size_t consumed;
        enum ws_status status = ws_decode(decoder, bytes, count, &consumed, &message);
        bytes += consumed;
        count -= consumed;
        if (status == WS_OK && message.is_compressed) {
            status = input_inflate(links, link, &message);
        }
        if (status == WS_OK) {
            input_on_message(links, link, &message);
            input_renew(links, link, message.opcode);
            /* What a decoder of this call holds cannot wait. */
            goes_on = !input_must_wait(links, link) ||
                      (decoder == &fresh && !ws_decoder_is_idle(decoder));
        } else if (status == WS_NEED_BUFFER ||
                   (status == WS_NEED_MORE && decoder == &fresh && !ws_decoder_is_idle(decoder))) {
            struct link_input *input = input_take(links, link);
            input->decoder = fresh;
            input->decoder.buffer = input->bytes;
            decoder = &input->decoder;
        } else if (status == WS_NEED_MORE) {
            break;
        } else {
            input_on_fault(links, link, status);
        }
    }
    if (link->input != LINK_NO_INPUT && link->stage == LINK_STREAMING &&
        ws_decoder_is_idle(decoder)) {
        input_release(links, link);
    }
    return link->stage == LINK_STREAMING ? total - count : total;
}

/* ---- Messages that wait ---- */

void input_forget(struct links *links, struct link *link)
{
    if (link->is_held) {
        link->is_held = false;
        link->awaits_drain = false;
        if (links->options.ops->on_drop != NULL) {
            links->options.ops->on_drop(links->options.context, links->options.core,
                                        links_index(links, link));
        }
    }
    if (link->has_unread) {
        link->has_unread = false;
        out_chain_clear(&links->out_pool, &links_backlog(links, link)->unread);
    }
}

static void input_keep_unread(struct links *links, struct link *link, const uint8_t *bytes,
                              size_t count)
{
    struct out_chain *unread = &links_backlog(links, link)->unread;
    if (!link->has_unread) {
        out_chain_init(unread);
    }
    if (unread->bytes + count > out_pool_share(&links->out_pool) ||
        out_chain_append(&links->out_pool, unread, bytes, count) < 0) {
        link_doom_slow(links, link, "no room for the messages that the client sent");
        return;
    }
    link->has_unread = true;
    link_pause_recv(links, link);
    if (!link_is_full(links, link)) {
        link_wait(links, link);
    }
}

/* Messages of a conn, or parts of them. */
void input_take_bytes(struct links *links, struct link *link, uint8_t *bytes, size_t count)
{
    size_t taken = 0;
    if (link->stage == LINK_STREAMING && !link_is_to_pause(links, link) &&
        links->turn_spent < INPUT_READ_UNITS) {
        input_begin_slice(links, INPUT_FIRST_SLICE_UNITS);
        taken = input_decode(links, link, bytes, count);
        input_end_slice(links);
    }
    if ((link->stage == LINK_STREAMING || link->awaits_answer) && taken < count) {
        input_keep_unread(links, link, bytes + taken, count - taken);
    }
}

static void input_decode_unread(struct links *links, struct link *link)
{
    uint8_t bytes[LINKS_RECV_BUFFER_BYTES];
    struct out_chain *unread = &links_backlog(links, link)->unread;
    while (link->stage == LINK_STREAMING && link->has_unread && !input_must_wait(links, link)) {
        size_t count = out_chain_copy(&links->out_pool, unread, bytes, sizeof bytes);
        out_chain_consume(&links->out_pool, unread, input_decode(links, link, bytes, count));
        link->has_unread = unread->bytes > 0;
    }
}

static void input_go_on(struct links *links, struct link *link)
{
    link->awaits_drain = false; /* The continuation says so again. */
    if (link->is_held &&
        links->options.ops->on_continue(links->options.context, links->options.core,
                                        links_index(links, link), links->now_ns)) {
        link->is_held = false;
        links->options.asks->on_answered(links->options.core, links_index(links, link));
    }
    input_decode_unread(links, link);
    if (link->stage != LINK_STREAMING) {
        return;
    }
    if (link->is_held ? !link->awaits_drain : link->has_unread && !link_is_full(links, link)) {
        link_wait(links, link);
    }
    link_resume_recv(links, link);
}

void input_run_waiting(struct links *links)
{
    links->turn_spent = 0;
    for (uint32_t left = links->waiting.count; left > 0 && links->turn_spent < INPUT_TURN_UNITS;
         left--) {
        struct link *link = links_at(links, conn_queue_pop(&links->waiting));
        link->is_waiting = false;
        input_begin_slice(links, INPUT_SLICE_UNITS);
        if (link->stage == LINK_STREAMING) {
            input_go_on(links, link);
        }
        input_end_slice(links);
    }
}

/* ---- Receiving ---- */

void input_on_bytes(struct links *links, struct link *link, uint8_t *bytes, size_t count)
{
    link->missed_pongs = 0;
    if (link->stage == LINK_STREAMING || link->awaits_answer) {
        input_take_bytes(links, link, bytes, count);
    } else if (link->stage == LINK_HANDSHAKING && link->input != LINK_NO_INPUT) {
        opening_collect(links, link, bytes, count);
    } else if (link->stage == LINK_HANDSHAKING) {
        struct link_request request = {.proxy = {.header_bytes = 0}};
        size_t head_bytes = opening_on_bytes(links, link, &request, bytes, count);
        if (head_bytes > 0) {
            input_take_bytes(links, link, bytes + head_bytes, count - head_bytes);
        } else if (link->stage == LINK_HANDSHAKING) {
            struct link_input *input = input_take(links, link);
            memcpy(input->bytes, bytes, count);
            input->handshake_bytes = (uint32_t)count;
        }
    }
    /* In LINK_CLOSING what still comes is read and forgotten: unread bytes would make the kernel
     * send a reset, which can overtake our answer. */
}

void input_receive(struct links *links, struct link *link)
{
    if (!link->recv_armed && link_is_open(link) && !link->recv_paused) {
        link->recv_paused = link_is_to_pause(links, link);
        if (!link->recv_paused) {
            link_arm_recv(links, link);
        }
    }
}
