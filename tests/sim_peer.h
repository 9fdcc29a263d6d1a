/*
 * sim_peer: a WebSocket client on a simulated socket: its request, its frames, what it reads.
 *
 * Owner    Whoever simulates the client. Threads: one. Memory: the struct.
 * Errors   sim_peer_read returns what was wrong with the server's bytes, or NULL.
 */
#ifndef RINGCAST_TESTS_SIM_PEER_H
#define RINGCAST_TESTS_SIM_PEER_H

#include <string.h>

#include "codec/base/check.h"
#include "codec/handshake_client.h"
#include "codec/ws_decoder.h"
#include "tests/sim_engine.h"
#include "tests/sim_tls.h"

#define SIM_PEER_MESSAGE_BYTES_MAX 65536
#define SIM_PEER_SECOND "second" /* the subprotocol of the second encoding */
#define SIM_PEER_KEY "dGhlIHNhbXBsZSBub25jZQ=="

struct sim_peer {
    struct sim_socket *socket;
    struct sim_tls *tls; /* NULL: it speaks plainly */
    struct handshake_wish wish;
    bool takes_plain; /* It goes on when its offer of compression is passed over. */
    bool is_open;     /* The upgrade was answered with 101. */
    const char *path; /* of its request, with the query */
    uint8_t head[1024];
    size_t head_bytes;
    struct ws_decoder decoder;
    uint8_t message[WS_DEFLATE_BYTES_MAX(SIM_PEER_MESSAGE_BYTES_MAX)];
};

typedef void sim_peer_reader(void *context, const struct ws_message *message);

/* false: there is no free socket. tls: what it speaks TLS with; NULL: nothing. */
static inline bool sim_peer_connect(struct sim_peer *peer, int listener_fd,
                                    size_t send_buffer_bytes, struct sim_tls *tls)
{
    peer->socket = sim_connect(listener_fd, send_buffer_bytes);
    peer->tls = tls;
    if (peer->socket != NULL && tls != NULL) {
        sim_tls_connect(tls, peer->socket);
    }
    peer->takes_plain = peer->is_open = false;
    peer->path = "/";
    peer->head_bytes = 0;
    ws_decoder_init(&peer->decoder, SIM_PEER_MESSAGE_BYTES_MAX, false, peer->message);
    return peer->socket != NULL;
}

static inline void sim_peer_write(struct sim_peer *peer, const void *bytes, size_t count)
{
    if (peer->tls == NULL) {
        sim_client_send(peer->socket, bytes, count);
    } else {
        sim_tls_send(peer->tls, bytes, count);
    }
}

/* The upgrade request, or the first bytes of it. */
static inline void sim_peer_request(struct sim_peer *peer, struct handshake_wish wish,
                                    size_t bytes_max)
{
    char request[1024];
    size_t count =
        handshake_client_request(request, sizeof request, "sim", peer->path, SIM_PEER_KEY, &wish);
    peer->wish = wish;
    peer->decoder.inflates = wish.deflate;
    assert_always(count > 0);
    sim_peer_write(peer, request, count < bytes_max ? count : bytes_max);
}

/* A masked frame, or the first bytes of it. */
static inline void sim_peer_send(struct sim_peer *peer, enum ws_opcode opcode, const void *payload,
                                 size_t count, size_t bytes_max)
{
    static uint8_t frame[WS_HEADER_BYTES_MAX + SIM_PEER_MESSAGE_BYTES_MAX];
    uint8_t mask[4] = {(uint8_t)sim_random(256), 7, 1, 3};
    assert_always(count <= SIM_PEER_MESSAGE_BYTES_MAX);
    size_t header = ws_frame_client_header(frame, opcode, count, mask);
    memcpy(frame + header, payload, count);
    ws_frame_mask(frame + header, count, mask, 0);
    sim_peer_write(peer, frame, header + count < bytes_max ? header + count : bytes_max);
}

/* Sockets that were accepted and have ended, by how they ended. */
static inline uint64_t sim_peer_ended(const struct core_counters *counters)
{
    return counter_get(&counters->closed) + counter_get(&counters->refused_busy) +
           counter_get(&counters->refused_handshake) + counter_get(&counters->refused_token) +
           counter_get(&counters->refused_forbidden) + counter_get(&counters->refused_rate) +
           counter_get(&counters->refused_late) + counter_get(&counters->opening_left) +
           counter_get(&counters->documents) + counter_get(&counters->tls_protocol) +
           counter_get(&counters->tls_left) + counter_get(&counters->tls_late);
}

/* How many of the bytes belong to the answer of the upgrade; *fault_out: what is wrong with it. */
static inline size_t sim_peer_take_head(struct sim_peer *peer, const uint8_t *bytes, size_t count,
                                        const char **fault_out)
{
    size_t room = sizeof peer->head - peer->head_bytes;
    size_t before = peer->head_bytes;
    size_t head_bytes;
    memcpy(peer->head + before, bytes, count < room ? count : room);
    peer->head_bytes += count < room ? count : room;
    enum handshake_status status = handshake_client_check(peer->head, peer->head_bytes,
                                                          SIM_PEER_KEY, &peer->wish, &head_bytes);
    if (status == HANDSHAKE_BAD_EXTENSIONS && peer->takes_plain) {
        peer->wish.deflate = peer->decoder.inflates = false;
        status = handshake_client_check(peer->head, peer->head_bytes, SIM_PEER_KEY, &peer->wish,
                                        &head_bytes);
    }
    if (status == HANDSHAKE_OK) {
        peer->is_open = true;
        return head_bytes - before;
    }
    *fault_out = status == HANDSHAKE_NEED_MORE ? NULL : handshake_status_text(status);
    return count;
}

/* Reads at most max bytes, and hands each whole message on. */
static inline const char *sim_peer_read(struct sim_peer *peer, size_t max, sim_peer_reader *reader,
                                        void *context)
{
    static uint8_t bytes[SIM_PEER_MESSAGE_BYTES_MAX];
    const char *fault = NULL;
    size_t count;
    max = max < sizeof bytes ? max : sizeof bytes;
    if (peer->tls == NULL) {
        count = sim_client_read(peer->socket, bytes, max);
    } else if ((fault = sim_tls_read(peer->tls, bytes, max, &count)) != NULL) {
        return fault;
    }
    size_t taken = peer->is_open ? 0 : sim_peer_take_head(peer, bytes, count, &fault);
    while (taken < count && fault == NULL) {
        struct ws_message message;
        size_t consumed;
        enum ws_status status =
            ws_decode(&peer->decoder, bytes + taken, count - taken, &consumed, &message);
        taken += consumed;
        if (status == WS_OK) {
            reader(context, &message);
        } else if (status != WS_NEED_MORE) {
            fault = ws_status_text(status);
        }
    }
    return fault;
}

#endif
