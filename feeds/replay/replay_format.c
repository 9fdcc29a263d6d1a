#include "feeds/replay/replay_format.h"

#include <errno.h>
#include <string.h>

#include "codec/nearest.h"
#include "feeds/replay/csv_ticks.h"
#include "feeds/venue/venue_binance.h"
#include "feeds/venue/venue_coinbase.h"

static const struct venue_ops *const replay_format_venues[] = {&venue_coinbase, &venue_binance};

#define REPLAY_FORMAT_VENUE_COUNT (sizeof replay_format_venues / sizeof replay_format_venues[0])
#define REPLAY_FORMAT_KIND_COUNT 4 /* names that are no venue's */
#define REPLAY_FORMAT_NAME_COUNT (REPLAY_FORMAT_KIND_COUNT + REPLAY_FORMAT_VENUE_COUNT)
#define REPLAY_FORMAT_RINGCAST_MARK " md.json.v1" /* the subprotocol ends the connection line */

int replay_format_by_name(struct replay_format *format_out, const char *name,
                          char error_out[FEED_ERROR_BYTES_MAX])
{
    const char *names[REPLAY_FORMAT_NAME_COUNT] = {"auto", "csv", "ringcast", "recording"};
    static const enum replay_format_kind kinds[] = {
        REPLAY_FORMAT_UNKNOWN, REPLAY_FORMAT_CSV, REPLAY_FORMAT_RINGCAST, REPLAY_FORMAT_RECORDING};
    for (size_t i = 0; i < REPLAY_FORMAT_VENUE_COUNT; i++) {
        names[REPLAY_FORMAT_KIND_COUNT + i] = replay_format_venues[i]->name;
    }
    for (size_t i = 0; i < REPLAY_FORMAT_NAME_COUNT; i++) {
        if (strcmp(name, names[i]) != 0) {
            continue;
        }
        bool is_venue = i >= REPLAY_FORMAT_KIND_COUNT;
        *format_out = (struct replay_format){
            .kind = is_venue ? REPLAY_FORMAT_VENUE : kinds[i],
            .venue = is_venue ? replay_format_venues[i - REPLAY_FORMAT_KIND_COUNT] : NULL,
        };
        return 0;
    }
    const char *nearest = nearest_name(name, names, REPLAY_FORMAT_NAME_COUNT);
    return feed_fail(error_out, -EINVAL,
                     "replay: unknown format \"%.64s\"%s%s%s; valid: auto, coinbase, binance, "
                     "ringcast, recording, csv",
                     name, nearest ? " (did you mean \"" : "", nearest ? nearest : "",
                     nearest ? "\"?)" : "");
}

bool replay_format_is_connection_line(const char *line, size_t line_bytes)
{
    return memmem(line, line_bytes, "://", 3) != NULL &&
           (memmem(line, line_bytes, " <-> ", 5) != NULL ||
            memmem(line, line_bytes, " <- ", 4) != NULL);
}

/* The venue whose host the connection line names, or NULL. */
static const struct venue_ops *replay_format_venue_by_host(const char *line, size_t line_bytes)
{
    const char *scheme = memmem(line, line_bytes, "://", 3);
    if (scheme == NULL || !replay_format_is_connection_line(line, line_bytes)) {
        return NULL;
    }
    const char *host = scheme + 3;
    size_t host_bytes = 0;
    while (host + host_bytes < line + line_bytes &&
           strchr("/: ?", host[host_bytes]) == NULL) { /* NUL ends it, too. */
        host_bytes++;
    }
    for (size_t i = 0; i < REPLAY_FORMAT_VENUE_COUNT; i++) {
        const char *part = replay_format_venues[i]->host_part;
        if (memmem(host, host_bytes, part, strlen(part)) != NULL) {
            return replay_format_venues[i];
        }
    }
    return NULL;
}

/* The connection line of ringcast-tap --record, for any host. */
static bool replay_format_is_ringcast(const char *line, size_t line_bytes)
{
    size_t mark_bytes = strlen(REPLAY_FORMAT_RINGCAST_MARK);
    return line_bytes > mark_bytes && replay_format_is_connection_line(line, line_bytes) &&
           memcmp(line + line_bytes - mark_bytes, REPLAY_FORMAT_RINGCAST_MARK, mark_bytes) == 0;
}

int replay_format_by_line(struct replay_format *format_out, const char *source, const char *line,
                          size_t line_bytes, char error_out[FEED_ERROR_BYTES_MAX])
{
    struct csv_ticks csv;
    const char *fault;
    if (line_bytes >= 2 && memcmp(line, "\x1f\x8b", 2) == 0) {
        return feed_fail(error_out, -EINVAL, "replay: %.200s is compressed; unpack it (gunzip)",
                         source);
    }
    if (replay_format_is_ringcast(line, line_bytes)) {
        *format_out = (struct replay_format){.kind = REPLAY_FORMAT_RINGCAST};
        return 0;
    }
    const struct venue_ops *venue = replay_format_venue_by_host(line, line_bytes);
    if (venue != NULL) {
        *format_out = (struct replay_format){.kind = REPLAY_FORMAT_VENUE, .venue = venue};
        return 0;
    }
    if (!csv_ticks_parse_header(&csv, line, line_bytes, &fault)) {
        return feed_fail(
            error_out, -EINVAL,
            "replay: cannot detect the format of %.200s: its first line names no known venue, and "
            "as CSV %s; give format=coinbase, binance, ringcast, recording or csv",
            source, fault);
    }
    *format_out = (struct replay_format){.kind = REPLAY_FORMAT_CSV};
    return 0;
}

const char *replay_format_name(const struct replay_format *format)
{
    return format->kind == REPLAY_FORMAT_RINGCAST    ? "ringcast"
           : format->kind == REPLAY_FORMAT_RECORDING ? "recording"
           : format->venue != NULL                   ? format->venue->name
                                                     : "csv";
}
