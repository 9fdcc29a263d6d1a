/*
 * tap_cursor_file: the positions of a cursor, in memory and as a file.
 *
 *   {"ringcast_cursor":1,"epoch":"8ffa0ef193b452c2","since":1795239613730067073,
 *    "symbols":"*","types":"quote","depth":0,"bar":"","interval_ms":0,
 *    "channels":[
 *    {"ch":0,"seq":58211,"symbol":"000001.SZ","type":"quote"}]}
 *
 * Owner    tap_cursor. Threads: one.
 * Memory   An array of places, by channel; names are inside.
 * Errors   Exit codes of tap_options.h, or false; the error has been printed.
 */
#ifndef RINGCAST_TOOLS_TAP_CURSOR_FILE_H
#define RINGCAST_TOOLS_TAP_CURSOR_FILE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "tools/common/ws_client.h"
#include "tools/tap/tap_tick.h"

#define TAP_CURSOR_EPOCH_BYTES_MAX 64
#define TAP_CURSOR_SYMBOL_BYTES_MAX 200 /* a symbol of 32 bytes, all of them escapes */
#define TAP_CURSOR_TYPE_BYTES_MAX 16

struct tap_cursor_place {
    uint64_t seq;           /* the last one that was handed on; 0: none */
    uint64_t live_seq;      /* of the first live frame since it was subscribed or resumed */
    bool is_known;          /* It has a position. */
    bool is_from_beginning; /* Resumed from its beginning: a part may be too old. */
    bool is_asked;          /* It is to be resumed from its beginning. */
    bool is_sent;           /* RESUME has named it, and has not been answered. */
    bool is_awaited;        /* Its frames count from the answer to that on. */
    char symbol[TAP_CURSOR_SYMBOL_BYTES_MAX]; /* as sent, with escapes */
    char type[TAP_CURSOR_TYPE_BYTES_MAX];
};

struct tap_cursor_state {
    char epoch[TAP_CURSOR_EPOCH_BYTES_MAX]; /* "": there is no position yet */
    uint64_t since_ns; /* when the server answered the first subscription; 0: not yet */
    struct tap_cursor_place *places;
    uint32_t place_count;
    char *path;  /* of the file, without symbolic links; NULL: not opened */
    int lock_fd; /* open while path is set; no other ringcast-tap uses the file */
};

/* The position of a channel; NULL: there is none. */
struct tap_cursor_place *tap_cursor_state_find(struct tap_cursor_state *state, uint64_t channel);

/* The same, made when it is new; NULL: no memory, or too great a number. */
struct tap_cursor_place *tap_cursor_state_open(struct tap_cursor_state *state, uint64_t channel);

/* Its symbol and type, if it has none yet. */
void tap_cursor_place_name(struct tap_cursor_place *place, const struct tap_tick *tick);

/* The same, as an entry of an answer or of the file has them. false: it does not have them. */
bool tap_cursor_place_name_as(struct tap_cursor_place *place, const json_t *entry);

/* Without a position. */
void tap_cursor_place_forget(struct tap_cursor_place *place);

/* All channels are without a position; since_ns stays. */
void tap_cursor_state_forget(struct tap_cursor_state *state);

/* Frees what it has, and unlocks the file. */
void tap_cursor_state_clear(struct tap_cursor_state *state);

/* Whether it is a word of at most 63 letters and digits: it goes into messages as it is. */
bool tap_cursor_file_is_epoch(const char *text);

/* A file that does not exist, or is empty, leaves *state as it is. */
int tap_cursor_file_load(struct tap_cursor_state *state, const char *path,
                         const struct ws_client_subscription *subscription);

/* Replaces the file. */
bool tap_cursor_file_save(struct tap_cursor_state *state,
                          const struct ws_client_subscription *subscription);

#endif
