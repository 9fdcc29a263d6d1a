/*
 * reply: the JSON text of a control message, written piece by piece.
 *
 * Owner    The caller. Threads: the caller's.
 * Memory   One buffer that grows by doubling and is used again; reply_trim gives back what an
 *          unusually long message took. A reply that found no memory says so (failed) and takes
 *          nothing more.
 * Source   docs/protocol.md, "Messages".
 */
#ifndef RINGCAST_SRC_REPLY_H
#define RINGCAST_SRC_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REPLY_KEPT_BYTES 65536

struct reply {
    char *text; /* Not terminated. */
    size_t bytes;
    size_t capacity;
    bool failed;
};

void reply_deinit(struct reply *reply);

/* Empties it and gives back a buffer of more than REPLY_KEPT_BYTES. */
void reply_trim(struct reply *reply);

/* Starts again with {"type":TYPE,"id":ID,"ts":TS,"data": ; id: JSON text, or "" for none. */
void reply_begin(struct reply *reply, const char *type, const char *id, uint64_t wall_ns);

/* The last brace of what reply_begin opened. */
void reply_end(struct reply *reply);

void reply_put(struct reply *reply, const char *bytes, size_t bytes_count);
void reply_text(struct reply *reply, const char *text);
void reply_u64(struct reply *reply, uint64_t value);
/* A string of 16 hexadecimal digits, quotes included. */
void reply_hash(struct reply *reply, uint64_t hash);
/* Short ones only, and not where clients come by the thousand: it takes as long as the rest. */
void reply_print(struct reply *reply, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A JSON string, quotes included. text is UTF-8. */
void reply_string(struct reply *reply, const char *text, size_t text_bytes);

/* The same for a caller's own buffer, which holds 6 * text_bytes + 2. Returns the length. */
size_t reply_escape(char *out, const char *text, size_t text_bytes);

#endif
