/*
 * session_use: what one client may have of each thing that is limited, and how much of it it has.
 *
 * | what | limit | charged |
 * | --- | --- | --- |
 * | entries subscribed | max_subscriptions of its token, or of the server | session_limits.c |
 * | patterns | SESSION_PATTERNS_MAX | session_patterns.c: the length of its list |
 * | derived channels | CHANNELS_CLIENT_VARIANTS_MAX | session_limits.c |
 * | books on their way | SESSION_BOOKS_MAX | session_limits.c |
 * | replays | one, of SESSION_REPLAYED_MAX channels | the core; session_limits.c |
 * | symbols, cursors of a message | REQUEST_SYMBOLS_MAX, REQUEST_CURSORS_MAX | request.c |
 * | bytes of a message | CORE_MESSAGE_BYTES_MAX | the core |
 * | units of a message | SESSION_MESSAGE_UNITS, then it counts as several | session_limits.c |
 * | messages a second | of its token, or of the server | session_access.c |
 * | control bytes waiting | out_pool_share() | the core: core_has_room() |
 */
#ifndef RINGCAST_SRC_SESSION_USE_H
#define RINGCAST_SRC_SESSION_USE_H

#include <stdint.h>

#define SESSION_PATTERNS_MAX 100    /* reported in WELCOME */
#define SESSION_BOOKS_MAX 16        /* asked for and not sent whole */
#define SESSION_REPLAYED_MAX 1000   /* channels of a replay */
#define SESSION_SNAPSHOTS_MAX 1000  /* of a message */
#define SESSION_MESSAGE_UNITS 20000 /* of core_spend(); a dearer message counts as several */
#define SESSION_REFUSED_MAX 50      /* messages over the rate, before the close 4111 */
#define SESSION_GUESS_COST 10       /* this many of them is a wrong token */

/* All 0: nothing. Written by session_limits.c alone. */
struct session_use {
    uint32_t exact_count;
    uint32_t derived_count : 12;  /* of the exact ones: those of channels that ringcast computes */
    uint32_t replayed_count : 12; /* channels that are exact ones when their replay has ended */
    uint32_t book_count : 8;
};

#endif
