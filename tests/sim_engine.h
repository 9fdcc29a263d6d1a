/*
 * sim_engine: a simulated kernel behind the seam of ring/io/engine.h.
 *
 * It runs the SQEs a core fills, on sockets that are plain memory, and from one seed lets go wrong
 * what may: sends that are cut at any byte, submits that take only some, full sockets, POLLOUT
 * with no room behind it, completion queues that are too small, resets, receives in pieces, buffers
 * that run out, multishots that end, accepts without descriptors. What is sent by reference it
 * reads from the file's pages only when the client does, which may be never (they are in a pipe
 * meanwhile, by splice(2)).
 *
 * Owner    A simulation; one at a time. Threads: one. Units: simulated nanoseconds.
 */
#ifndef RINGCAST_TESTS_SIM_ENGINE_H
#define RINGCAST_TESTS_SIM_ENGINE_H

#include "ring/core/core.h"
#include "ring/io/engine.h"

#define SIM_ENGINES_MAX 4   /* open at one time */
#define SIM_LISTENERS_MAX 2 /* of an engine */
#define SIM_SOCKETS_MAX 512
#define SIM_FD_FIRST 1000
#define SIM_LENTS_MAX 256 /* at one time */

/* What goes wrong by chance. */
enum sim_fault {
    SIM_SUBMITS_SOME,     /* A submit takes only some of the operations. */
    SIM_SENDS_SHORT,      /* A send takes only some of the bytes, or none. */
    SIM_REFUSES_FILES,    /* It sends nothing by reference. */
    SIM_ACCEPT_FAILS,     /* -EMFILE */
    SIM_HAS_NO_BUFFER,    /* -ENOBUFS */
    SIM_RECV_ENDS,        /* A multishot is over. */
    SIM_WRITABLE_FALSELY, /* POLLOUT with no room behind it */
    SIM_DELIVERS_LATE,    /* A socket's news wait for the next enter. */
    SIM_FAULT_COUNT,
};

struct sim_kernel;

/* What a simulated client sees of its connection. */
struct sim_socket {
    int listener_fd;
    struct sim_kernel *kernel; /* of the engine that accepted it; NULL: none yet */
    bool is_open;              /* from the client's connect until both ends are closed */
    bool accepted;
    bool server_closed; /* close(2) by the core */
    bool server_shut;   /* shutdown(2) for writing, or closed */
    bool client_closed; /* the core sees the end of the stream after what is queued */
    bool reset;         /* the core sees an error */
    uint8_t *to_client; /* sent by the core, not yet read by the client */
    size_t to_client_bytes;
    size_t to_client_room; /* of the kernel's send buffer */
    uint8_t *to_server;
    size_t to_server_bytes;
    bool recv_armed;
    bool recv_is_poll; /* It ends when there are bytes, and takes none. */
    size_t recv_max;   /* One-shot: of at most this many bytes. 0: multishot */
    uint64_t recv_tag;
    bool writable_armed;
    uint64_t writable_tag;
    bool told_writable; /* and nothing was sent since */
    uint64_t futile_ns; /* when it was told, and then nothing could be sent */
};

/* Pages that a socket's data lies in still, and not in its to_client. */
struct sim_lent {
    struct sim_socket *socket; /* NULL: unused */
    size_t offset;             /* of its bytes in to_client */
    size_t bytes;
    int pipe[2];
};

struct sim {
    uint64_t random;
    uint64_t now_ns;
    int64_t wall_step_ns; /* how far the wall clock was set */
    bool calm;            /* Nothing goes wrong any more. */
    bool is_uneven;       /* Time may pass while a core is stopped anywhere: nobody times it. */
    uint16_t one_in[SIM_FAULT_COUNT]; /* 0: never */
    uint64_t read_hash;               /* of all that clients have read */
    uint32_t socket_count;
    struct sim_socket sockets[SIM_SOCKETS_MAX];
    /* Once per enter(), which may wait for timeout_ns: the world outside moves on. */
    void (*step)(void *context, struct engine *engine, uint64_t timeout_ns);
    void *context;
    uint64_t cut_count, full_count, spurious_count; /* what was injected */
    struct sim_lent lents[SIM_LENTS_MAX];
    uint64_t lent_count;
    unsigned cq_entries; /* of the ring that is opened next; a power of two */
    bool delivers_first; /* An enter posts what became ready before it looks at the SQEs. */
    uint64_t late_count; /* completions that found the queue full */
};

extern struct sim sim;

void sim_open(uint64_t seed, uint32_t socket_count,
              void (*step)(void *context, struct engine *engine, uint64_t timeout_ns),
              void *context);
void sim_close(void);
uint64_t sim_random(uint64_t below);
/* Some faults become more frequent than usual, some rarer, and some never happen. */
void sim_draw_fault_rates(void);

/* For step: time passes, 5 ms at most. */
void sim_pass_time(uint64_t timeout_ns);
/* For step: whether a completion waits for the engine that is inside enter(). */
bool sim_is_ready(struct engine *engine);

/* For core_options. */
int sim_engine_open(struct engine *engine, const struct engine_options *options, char *error_out);
void sim_clock(void *context, struct core_time *time_out);
uint64_t sim_wall_ns(void);

/* The client's side. */
struct sim_socket *sim_connect(int listener_fd, size_t send_buffer_bytes);
void sim_client_send(struct sim_socket *socket, const void *bytes, size_t count);
/* At most max bytes; returns how many. */
size_t sim_client_read(struct sim_socket *socket, uint8_t *out, size_t max);
void sim_client_close(struct sim_socket *socket, bool with_reset);

#endif
