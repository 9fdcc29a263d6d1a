/*
 * sim_tls: TLS on the simulated kernel: the client's side of a connection, and a service for the
 * cores' handshakes. Records are real. The handshake is not: its flights have the form and lengths
 * of TLS, and all secrets come from a number that the client sends in its first one.
 *
 * Owner    A simulation; one at a time. Threads: one.
 * Memory   The structs; a handshake and its struct tls_peer are allocated.
 * Errors   sim_tls_read returns what was wrong with the server's bytes, or NULL.
 */
#ifndef RINGCAST_TESTS_SIM_TLS_H
#define RINGCAST_TESTS_SIM_TLS_H

#include "ring/tls_service.h"
#include "tests/sim_engine.h"

#define SIM_TLS_BYTES_MAX 65536
#define SIM_TLS_WAITING_BYTES_MAX 2048

/* What both sides know of a handshake by its number. */
struct sim_tls_facts {
    enum tls_version version;
    enum tls_suite suite;
    bool fails;         /* The server refuses it. */
    bool is_resumed;    /* as the server's peer says */
    uint16_t plain_max; /* of the server's records */
    uint32_t ticket_count;
    uint64_t tx_seq; /* of the server's first record */
};

enum sim_tls_state {
    SIM_TLS_HELLO,    /* The server's flight is awaited. */
    SIM_TLS_FINISHED, /* TLS 1.2: the server's Finished is. */
    SIM_TLS_KEYED,
    SIM_TLS_REFUSED,
};

/* The client's side. */
struct sim_tls {
    struct sim_socket *socket; /* NULL: not in use */
    uint64_t number;
    struct sim_tls_facts facts;
    enum sim_tls_state state;
    struct tls_keys tx, rx;
    uint8_t tx_secret[TLS_SECRET_BYTES_MAX], rx_secret[TLS_SECRET_BYTES_MAX];
    bool owes_update; /* The server was asked for new keys. */
    bool is_notified; /* by the server's close_notify: nothing may follow */
    bool is_spoilt;   /* It sent what the server must not take. */
    uint32_t updates; /* sent */
    size_t waiting_bytes;
    uint8_t waiting[SIM_TLS_WAITING_BYTES_MAX]; /* to be sent when there are keys */
    size_t in_bytes;
    uint8_t in[SIM_TLS_BYTES_MAX]; /* not yet opened */
};

/* What happened, of all connections. */
struct sim_tls_marks {
    uint64_t finished, refused, given_up, records, tickets, updates, notified, spoilt, alerts;
    uint64_t jobs_max; /* at one time */
};
extern struct sim_tls_marks sim_tls_marks;

/* For core_options.tls. */
struct tls_service *sim_tls_open(void);
/* How many handshakes the service still has, or jobs. */
uint32_t sim_tls_left(void);
void sim_tls_close(void);

/* Begins a handshake on a socket that has just connected. */
void sim_tls_connect(struct sim_tls *tls, struct sim_socket *socket);
void sim_tls_send(struct sim_tls *tls, const void *bytes, size_t count);
/* Takes at most max bytes from the socket. *count_out: the plaintext in out, which has
 * SIM_TLS_BYTES_MAX. */
const char *sim_tls_read(struct sim_tls *tls, uint8_t *out, size_t max, size_t *count_out);
/* Asks the server for new keys, or only changes its own; not when all is calm (TLS 1.3). */
void sim_tls_update(struct sim_tls *tls);
void sim_tls_notify(struct sim_tls *tls);
/* A record with a bit that is wrong. */
void sim_tls_spoil(struct sim_tls *tls);

#endif
