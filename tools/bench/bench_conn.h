/*
 * bench_conn: one connection of the load: connect, upgrade, SUBSCRIBE, then frames.
 *
 * Owner    Its thread (struct bench_thread), in one array.
 * Threads  That one only.
 * Memory   96 bytes; the seqs of its channels (8 bytes each); and, while a frame is split between
 *          two receives, a block from the thread's pool (1 KiB, more for longer frames).
 * Units    Times: CLOCK_REALTIME nanoseconds, since they are compared with those in ticks.
 */
#ifndef RINGCAST_TOOLS_BENCH_CONN_H
#define RINGCAST_TOOLS_BENCH_CONN_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_FRAME_BYTES_MAX (1u << 20) /* A longer one is malformed. */
#define BENCH_CARRY_BLOCK_BYTES 1024

struct bench_nats;
struct bench_thread;

enum bench_conn_state {
    BENCH_CONN_NEW,         /* No socket. */
    BENCH_CONN_CONNECTING,  /* connect(2) is under way. */
    BENCH_CONN_UPGRADING,   /* The request is sent. */
    BENCH_CONN_SUBSCRIBING, /* Upgraded; the subscription is asked for. */
    BENCH_CONN_STREAMING,   /* Subscribed. */
    BENCH_CONN_STALLED,     /* The same, but nothing is read. */
    BENCH_CONN_WAITING,     /* Did what it should not; the server's close is awaited. */
    BENCH_CONN_CLOSED,      /* Shut down; the last completion may still come. */
};

struct bench_conn {
    int fd;
    uint8_t state; /* enum bench_conn_state, changed by bench_conn_enter only */
    uint8_t role;  /* enum bench_role */
    bool is_silent;
    bool is_finished; /* a reader: what the window owes it has come, as far as is known */
    bool close_is_counted;
    bool rearm_due; /* In thread->rearm. */
    bool recv_armed;
    bool is_back; /* Not its first life. */
    bool is_upgraded;
    uint8_t misdeeds; /* how many it has done, for the choice of the next one */
    uint32_t next_seq_count;
    uint32_t carry_bytes;
    uint32_t carry_capacity;
    uint32_t place_count;
    uint8_t *carry;      /* The beginning of a frame (or answer head); NULL: none. */
    uint64_t *next_seqs; /* By the thread's channel index; 0: no frame yet. */
    uint64_t started_ns;
    uint64_t phase_ns; /* when the last phase of connecting was over; 0: all are */
    uint64_t asked_ns; /* when its subscription was sent; 0: not yet, or its image has come */
    uint64_t due_ns;   /* of its role: when it acts next */
    double place_sum;  /* 0: always the first of its thread to get a tick; 1: the last */
    struct bench_nats *nats;
};
static_assert(sizeof(struct bench_conn) <= 96, "what the header says");

/* Opens the socket and queues the connect. false: it failed and is counted. */
bool bench_conn_start(struct bench_thread *thread, struct bench_conn *conn, uint64_t now_ns);

/* The connect's result: sends the upgrade and begins to read. */
void bench_conn_on_connected(struct bench_thread *thread, struct bench_conn *conn, int error);

/* Bytes from the peer, in order. They are the caller's again afterwards. */
void bench_conn_on_bytes(struct bench_thread *thread, struct bench_conn *conn, const uint8_t *bytes,
                         size_t bytes_count);

/* The end of the stream, however it came. */
void bench_conn_on_end(struct bench_thread *thread, struct bench_conn *conn);

/* Subscribed: from now on it counts. */
void bench_conn_on_subscribed(struct bench_thread *thread, struct bench_conn *conn,
                              uint64_t now_ns);

/* Its first tick since it was subscribed. */
void bench_conn_on_first_tick(struct bench_thread *thread, struct bench_conn *conn);

/* --snapshot: the first whole image since its subscription was sent. */
void bench_conn_on_image(struct bench_thread *thread, struct bench_conn *conn);

/* Subscribes, for --at-once; one that has to wait yet, or has subscribed, does nothing. */
void bench_conn_ask(struct bench_thread *thread, struct bench_conn *conn);

/* A reader has got something from after the window, and all that was before it. */
void bench_conn_finish(struct bench_thread *thread, struct bench_conn *conn);

/* A stalled one begins to read again. */
void bench_conn_resume(struct bench_thread *thread, struct bench_conn *conn);

/* Counts the close under its code (0: no Close frame came) and shuts the socket down. */
void bench_conn_shut(struct bench_thread *thread, struct bench_conn *conn, uint16_t code);

/* Leaves of its own will, which counts as no close: with a Close frame or by a reset. */
void bench_conn_leave(struct bench_thread *thread, struct bench_conn *conn, bool by_reset);

/* It has done wrong, and waits for what the server says to that. */
void bench_conn_wait(struct bench_thread *thread, struct bench_conn *conn);

/* Sends a small masked frame; a full socket loses it, which the peer will tell. */
void bench_conn_send(struct bench_thread *thread, struct bench_conn *conn, int opcode,
                     const void *payload, size_t payload_bytes);

/* SUBSCRIBE, or UNSUBSCRIBE with the same symbols. */
void bench_conn_send_subscribe(struct bench_thread *thread, struct bench_conn *conn,
                               bool unsubscribe);

#endif
