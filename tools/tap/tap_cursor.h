/*
 * tap_cursor: the position of ringcast-tap in each channel, kept in a file, and how it continues.
 *
 * The feed's own channels: after WELCOME the user's SUBSCRIBE is sent, without snapshots, for what
 * is new; then RESUME, at most 1000 channels each. Until a channel is resumed its frames are
 * dropped: they come again. A channel without a position, whose first frame is not its first one,
 * is resumed from its beginning.
 *
 * With --depth, --bar or --interval-ms: SUBSCRIBE with `since` for each channel, since the number
 * of such a channel may have another meaning by now; then the user's SUBSCRIBE.
 *
 * Positions of another epoch are void: the loss is reported, and each channel is resumed from its
 * beginning. Frames from before the very first subscription are never handed on.
 *
 * The file is JSON. It is replaced as a whole, by rename(2).
 *
 * Owner    main. Threads: one.
 * Memory   About 250 bytes for each channel, up to TAP_CURSOR_CHANNELS_MAX.
 * Units    monotonic_ns: CLOCK_MONOTONIC.
 * Errors   Exit codes of tap_options.h, or false; the error has been printed.
 */
#ifndef RINGCAST_TOOLS_TAP_CURSOR_H
#define RINGCAST_TOOLS_TAP_CURSOR_H

#include "tools/common/control_reply.h"
#include "tools/common/ws_client.h"
#include "tools/tap/tap_tick.h"

#define TAP_CURSOR_CHANNELS_MAX (1u << 20) /* Greater numbers of channels are not resumed. */

struct tap_cursor;

/* path and subscription are borrowed. A file that does not exist or is empty is a new cursor.
 * TAP_EXIT_DONE, TAP_EXIT_USAGE: it is damaged, or of another subscription; TAP_EXIT_OUTPUT. */
int tap_cursor_open(struct tap_cursor **cursor_out, const char *path,
                    const struct ws_client_subscription *subscription);
void tap_cursor_close(struct tap_cursor *cursor);

/* Whether there is a position to continue at. */
bool tap_cursor_has_position(const struct tap_cursor *cursor);

/* A connection begins. */
void tap_cursor_on_open(struct tap_cursor *cursor);

/* Any message that is not a tick. false: close the connection and try another one. */
bool tap_cursor_on_control(struct tap_cursor *cursor, const struct control_reply *reply);

/* Whether the tick is to be handed on. false: it was handed on before, or will come in its order.
 */
bool tap_cursor_on_tick(struct tap_cursor *cursor, const struct tap_tick *tick);

/* The next message to send, valid until the next call; NULL: none at present. */
const char *tap_cursor_next_message(struct tap_cursor *cursor);

/* How long to wait before connecting again, with jitter; UINT64_MAX: do not try again.
 * close_code: of the server's Close frame, or 0. */
uint64_t tap_cursor_retry_ns(struct tap_cursor *cursor, uint16_t close_code);

/* Writes the file if something has changed and is_last or a second has passed. Call it after the
 * ticks that were handed on have been written: after a crash, ticks are repeated rather than
 * missed. */
bool tap_cursor_save(struct tap_cursor *cursor, uint64_t monotonic_ns, bool is_last);

#endif
