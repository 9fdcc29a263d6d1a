/*
 * session_double: a core that notes what a session asks of it (subscriptions in a table, and the
 * texts that were sent), and what the tests of sessions say and look up. Linked in place of the
 * ring; tests/integration runs the real core. One thread; set_up() makes all, tear_down() frees it.
 */
#ifndef RINGCAST_TESTS_SESSION_DOUBLE_H
#define RINGCAST_TESTS_SESSION_DOUBLE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "ring/core/core_limits.h"
#include "ring/tls_service.h"
#include "src/base/log.h"
#include "src/market/publisher.h"
#include "src/request/request.h"
#include "src/session/session.h"

#define CONNS 4
#define CHANNELS 12000
#define TEXTS_MAX 16
#define SLICES_MAX 1000000
#define LIMIT 10
#define EPOCH "0123456789abcdef"

struct fake_sub {
    bool on;
    bool snapshot;
    uint8_t group, policy, tag;
    uint16_t max_lag_ms;
    uint64_t resumed_from; /* 0: it was subscribed otherwise */
};

struct core {
    struct sessions *sessions;
    struct fake_sub subs[CONNS][CHANNELS];
    struct fake_sub groups[CONNS][CORE_GROUPS_MAX];
    uint64_t newest_seq; /* of every channel; those up to dropped_seq are gone */
    uint64_t dropped_seq;
    struct core_snapshot sent[CONNS]; /* the last snapshots, */
    uint32_t sent_count;
    uint32_t sent_after; /* and how many texts were sent before */
    int snapshot_error;  /* of them all */
    struct core_replay replay;
    struct core_replayed replayed[CONNS];
    uint32_t replayed_count;
    int replay_result;
    uint32_t room;     /* subscriptions that are still accepted */
    uint32_t encoding; /* of every conn */
    bool is_behind;
    uint64_t frames_sent; /* to every conn, and 5 more */
    uint64_t seq_count;   /* calls of core_next_seq */
    bool is_full;         /* What was sent has not left yet. */
    bool is_silent;       /* No channel has had a frame. */
    bool has_images;      /* The newest frames are. */
    json_t *texts[TEXTS_MAX];
    uint32_t text_count;
    char line[LOG_LINE_BYTES_MAX]; /* the last one logged */
    uint32_t line_count;
    struct core_source source;  /* of every conn */
    const struct tls_peer *tls; /* of every conn; NULL: it speaks no TLS */
    uint16_t close_code;        /* of the last core_close */
    uint64_t spent;             /* units of the slice, which ends with */
    uint64_t slice_units;       /* so many; 0: never */
    uint64_t most_spent;        /* in a slice, */
    uint32_t slice_count;       /* and how many there were */
    bool is_held[CONNS];
    bool is_closing[CONNS];    /* by core_close */
    struct core_limits limits; /* of core_set_limits */
    uint32_t hastened_count;   /* calls of core_hasten_ping */
    size_t room_bytes;         /* of what a conn may still be sent; 0: any */
};

extern struct core *core;
extern uint64_t slice_units;           /* of the core that set_up() makes; 0 at first */
extern uint64_t heartbeat_interval_ns; /* the same; 30 s at first */
extern struct channels *channels;
extern const struct core_lag behind; /* of a conn, once core->is_behind */
extern struct symbols symbols;       /* Of them no channel has had a frame. */

/* A channel appears; and clients that wait for it are told of it. */
void show_channel(const char *symbol, enum md_type type);
void open_channel(const char *symbol, enum md_type type);
void forget_texts(void);
void open_conn(uint32_t conn);
/* The same of a request whose URL goes on with this behind the site's path: answered to the end, or
 * only the first slice. */
void open_url(uint32_t conn, const char *rest);
void begin_url(uint32_t conn, const char *rest);
void end_conn(uint32_t conn);

/* What SYMBOLS lists, once there are channels; for a test that makes its own sessions. */
void make_symbols(void);

/* Conn 0 is open, and there are six channels. */
int set_up(void **state);

int set_up_wide(void **state);
int tear_down(void **state);
/* Answered to the end. */
void say(uint32_t conn, const char *text);
/* Only the first slice; and another one, if it is not answered yet. */
void begin(uint32_t conn, const char *text);
void go_on(uint32_t conn);

/* The one answer to a message, as wanted: its type, and its data. */
json_t *ask(const char *text, const char *type);

const char *text_of(const json_t *object, const char *key);
long long number_of(const json_t *object, const char *key);

/* The entry of a symbol and type in a list of verdicts, or NULL. */
json_t *entry_of(const json_t *data, const char *list, const char *symbol, const char *type);

size_t count_of(const json_t *data, const char *list);
long long failure(const json_t *data, const char *symbol, const char *type);
long long covered(const json_t *data, const char *pattern);

/* '.' for each channel that is not subscribed, else its policy's letter, in capitals if exact. */
const char *table(uint32_t conn);

/* The channels of the DEFINITION that came as text number i, as "0 3 5". */
const char *defined(uint32_t i);

#define SUBSCRIBE_WITH(symbols, types, rest)                                                       \
    "{\"type\":\"SUBSCRIBE\",\"data\":{\"symbols\":[" symbols "],\"data_types\":[" types "]" rest  \
    "}}"
#define SUBSCRIBE(symbols, types) SUBSCRIBE_WITH(symbols, types, "")
#define ON_LAG(policy) ",\"delivery\":{\"on_lag\":\"" policy "\"}"
#define UNSUBSCRIBE(symbols, types)                                                                \
    "{\"type\":\"UNSUBSCRIBE\",\"data\":{\"symbols\":[" symbols "],\"data_types\":[" types "]}}"
#define QUOTE "\"quote\""

#endif
