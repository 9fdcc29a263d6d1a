/*
 * No bytes make a link that speaks TLS touch what is not its own, keep what it has taken, or end in
 * another way when they come in other pieces.
 *
 * Input: a byte of the state that the link is in (below), a byte of how many bytes a receive
 * brings, then what its client sends. In its handshake that is what comes on the wire, behind a
 * PROXY header or not; what comes behind it goes to the job as it is. With keys it is a row of
 * pieces: a byte of what it is (0: bytes of the wire; else a record of that type), a byte of its
 * length, and bytes.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ring/link/input.h"
#include "ring/link/tls_in.h"
#include "tests/tls_link_client.h"

#define FUZZ_WIRE_BYTES_MAX 131072
#define FUZZ_JOB_BYTES_MAX SECURING_BYTES_MAX

enum fuzz_state {
    FUZZ_SECURING,
    FUZZ_PROXIED,
    FUZZ_REQUESTING_13,
    FUZZ_REQUESTING_12,
    FUZZ_STREAMING_13,
    FUZZ_STREAMING_12,
    FUZZ_STATE_COUNT,
};

/* What came of an input. */
struct fuzz_outcome {
    uint8_t stage;
    const char *text;
    size_t messages_bytes;
    uint32_t requests;
    size_t job_bytes_count;
    uint8_t job_bytes[FUZZ_JOB_BYTES_MAX];
};

static uint8_t fuzz_wire[FUZZ_WIRE_BYTES_MAX];
static struct fuzz_outcome fuzz_outcomes[2];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The service takes all that comes, and wants more. */
static void fuzz_tls_link_serve(struct fuzz_outcome *outcome)
{
    while (tls_link.submitted_count > 0) {
        const struct tls_job *job = tls_link_return(TLS_WANTS_MORE, "");
        assert_always(job->in_bytes <= FUZZ_JOB_BYTES_MAX - outcome->job_bytes_count);
        memcpy(outcome->job_bytes + outcome->job_bytes_count, job->in, job->in_bytes);
        outcome->job_bytes_count += job->in_bytes;
        tls_link_go_on();
    }
}

/* false: nothing is received any more. */
static bool fuzz_tls_link_receive(struct link *link, const uint8_t *bytes, size_t count,
                                  struct fuzz_outcome *outcome)
{
    tls_link.links->turn_spent = 0; /* Each in a turn of its own. */
    tls_link_receive(link, bytes, count);
    fuzz_tls_link_serve(outcome);
    input_run_waiting(tls_link.links);
    return link_is_open(link) && link->stage != LINK_CLOSING && link->recv_armed;
}

/* What the pieces are on the wire; returns how many bytes. */
static size_t fuzz_tls_link_seal(const uint8_t *data, size_t size)
{
    size_t wire_bytes = 0;
    while (size >= 2 && wire_bytes + UINT8_MAX + TLS_OVERHEAD_BYTES_MAX + 1 < sizeof fuzz_wire) {
        size_t count = data[1] < size - 2 ? data[1] : size - 2;
        if (data[0] == 0) {
            memcpy(fuzz_wire + wire_bytes, data + 2, count);
            wire_bytes += count;
        } else {
            wire_bytes +=
                tls_link_seal(fuzz_wire + wire_bytes, (enum tls_type)data[0], data + 2, count);
        }
        data += 2 + count;
        size -= 2 + count;
    }
    return wire_bytes;
}

static struct link *fuzz_tls_link_open(enum fuzz_state state)
{
    tls_link.admission = state == FUZZ_PROXIED ? CORE_ADMIT_PROXY : CORE_ADMIT;
    switch (state) {
    case FUZZ_REQUESTING_13:
        return tls_link_secure(TLS_1_3, TLS_AES_128_GCM);
    case FUZZ_REQUESTING_12:
        return tls_link_secure(TLS_1_2, TLS_AES_256_GCM);
    case FUZZ_STREAMING_13:
        return tls_link_stream(TLS_1_3, TLS_CHACHA20_POLY1305);
    case FUZZ_STREAMING_12:
        return tls_link_stream(TLS_1_2, TLS_AES_128_GCM);
    default:
        return tls_link_accept();
    }
}

/* It ends, and all that it had is there again. */
static void fuzz_tls_link_close(struct link *link, struct fuzz_outcome *outcome)
{
    link_doom(tls_link.links, link, 0, "the input has ended");
    core_bury(tls_link.core);
    if (link->recv_armed) {
        tls_link_complete(link, -ECANCELED, 0);
    }
    link_on_operation_ended(tls_link.links, link);
    fuzz_tls_link_serve(outcome);
    assert_always(link->stage == LINK_FREE);
    assert_always(securing_is_idle(tls_link.links));
    assert_always(tls_link.links->tls_parts->free_count == LINK_TLS_PARTS_MAX);
    assert_always(tls_link.links->out_pool.free_count == tls_link.links->out_pool.block_count);
    assert_always(tls_link.links->free_input_count == tls_link.links->input_count);
}

static void fuzz_tls_link_run(enum fuzz_state state, size_t piece_max, const uint8_t *data,
                              size_t size, struct fuzz_outcome *outcome)
{
    outcome->job_bytes_count = 0;
    tls_link.messages_bytes = 0;
    tls_link.request_count = 0;
    tls_link.accepted_count = 0;
    struct link *link = fuzz_tls_link_open(state);
    bool goes_on = true;
    if (state <= FUZZ_PROXIED) {
        size = size < sizeof fuzz_wire ? size : sizeof fuzz_wire;
        memcpy(fuzz_wire, data, size);
        tls_link_speak(link);
    } else {
        size = fuzz_tls_link_seal(data, size);
    }
    for (size_t at = 0; at < size && goes_on;) {
        size_t piece = piece_max < size - at ? piece_max : size - at;
        goes_on = fuzz_tls_link_receive(link, fuzz_wire + at, piece, outcome);
        at += piece;
    }
    outcome->stage = link->stage;
    outcome->text = link_end_text(link);
    outcome->messages_bytes = tls_link.messages_bytes;
    outcome->requests = tls_link.request_count;
    fuzz_tls_link_close(link, outcome);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool has_begun;
    if (!has_begun) {
        has_begun = true;
        (void)tls_link_set_up(NULL);
    }
    if (size < 2) {
        return 0;
    }
    enum fuzz_state state = (enum fuzz_state)(data[0] % FUZZ_STATE_COUNT);
    struct fuzz_outcome *whole = &fuzz_outcomes[0];
    struct fuzz_outcome *pieces = &fuzz_outcomes[1];
    size_t piece_max = state <= FUZZ_PROXIED ? TLS_JOB_IN_BYTES / 2 : LINKS_RECV_BUFFER_BYTES;
    fuzz_tls_link_run(state, piece_max, data + 2, size - 2, whole);
    fuzz_tls_link_run(state, 1 + data[1], data + 2, size - 2, pieces);
    assert_always(pieces->stage == whole->stage);
    assert_always(pieces->text == whole->text);
    assert_always(pieces->messages_bytes == whole->messages_bytes);
    assert_always(pieces->requests == whole->requests);
    assert_always(pieces->job_bytes_count == whole->job_bytes_count ||
                  whole->stage != LINK_SECURING);
    assert_always(memcmp(pieces->job_bytes, whole->job_bytes, pieces->job_bytes_count) == 0 ||
                  whole->stage != LINK_SECURING);
    return 0;
}
