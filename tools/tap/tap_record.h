/*
 * tap_record: a capture of what a server sends, for --feed replay: (docs/recordings.md).
 *
 *   ws://localhost:8765/ <-> 1700000000.000000 md.json.v1
 *   1700000000.251000: {"type":"WELCOME", ...}
 *   1700000000.251384: {"type":"quote", ...}
 *
 * Owner    main. Threads: one; a write may block.
 * Memory   A buffer of 256 KiB.
 * Units    Times in the file are seconds since the Unix epoch, when the message was received.
 * Errors   Exit codes of tap_options.h, or false; the error has been printed.
 */
#ifndef RINGCAST_TOOLS_TAP_RECORD_H
#define RINGCAST_TOOLS_TAP_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/common/ws_client.h"

struct tap_record;

/* A file that is not empty is refused; a FIFO or a device is not. TAP_EXIT_DONE: *record_out is
 * open. path is borrowed. */
int tap_record_open(struct tap_record **record_out, const char *path);

/* Closes the file. false: it does not have everything. */
bool tap_record_close(struct tap_record *record);

/* A connection begins: writes a line with the server's name, without path and query, which may hold
 * a token. */
void tap_record_connection(struct tap_record *record, const struct ws_client_url *url);

/* One message, a tick or another, as JSON text. */
void tap_record_message(struct tap_record *record, const void *json, size_t json_bytes);

/* Hands what is buffered to the kernel. false: the file does not have everything, now or since an
 * earlier call. */
bool tap_record_flush(struct tap_record *record);

#endif
