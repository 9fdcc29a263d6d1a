#include "tools/bench/bench_nats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/bench_frames.h"

struct bench_nats {
    size_t bytes;
    size_t capacity;
    uint8_t *held;
};

char *bench_nats_subscribe_text(const char *symbols, size_t *bytes_out)
{
    static const char head[] = "CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":false,"
                               "\"lang\":\"c\",\"version\":\"1\",\"protocol\":1}\r\n";
    size_t room = sizeof head + 32 * (strlen(symbols) + 2) + 16;
    char *text = malloc(room);
    if (text == NULL) {
        return NULL;
    }
    size_t used = (size_t)snprintf(text, room, "%s", head);
    for (unsigned id = 1; *symbols != 0; id++) {
        size_t symbol_bytes = strcspn(symbols, ",");
        used += (size_t)snprintf(text + used, room - used, "SUB md.");
        for (size_t i = 0; i < symbol_bytes; i++) {
            text[used++] = symbols[i] == '.' ? '_' : symbols[i];
        }
        used += (size_t)snprintf(text + used, room - used, " %u\r\n", id);
        symbols += symbol_bytes + (symbols[symbol_bytes] == ',');
    }
    *bytes_out = used + (size_t)snprintf(text + used, room - used, "PING\r\n");
    return text;
}

/* The number at the end of "MSG subject id [reply] 256". */
static size_t bench_nats_payload_bytes(const uint8_t *line, size_t line_bytes)
{
    size_t value = 0, unit = 1;
    for (; line_bytes > 0 && line[line_bytes - 1] >= '0' && line[line_bytes - 1] <= '9';
         line_bytes--, unit *= 10) {
        value += unit * (size_t)(line[line_bytes - 1] - '0');
        if (value > BENCH_NATS_HELD_MAX) {
            break;
        }
    }
    return value;
}

static void bench_nats_on_line(struct bench_thread *thread, struct bench_conn *conn,
                               const uint8_t *line, size_t line_bytes)
{
    if (line_bytes == 4 && memcmp(line, "PING", 4) == 0) {
        thread->totals.pings++;
        bench_conn_send(thread, conn, WS_BINARY, "PONG\r\n", 6);
    } else if (line_bytes == 4 && memcmp(line, "PONG", 4) == 0) {
        if (conn->state == BENCH_CONN_SUBSCRIBING) {
            bench_conn_on_subscribed(thread, conn, thread->now_ns);
        }
    } else if (line_bytes > 4 && memcmp(line, "-ERR", 4) == 0) {
        bench_frames_refused(thread, line, line_bytes);
        bench_conn_shut(thread, conn, 1000);
    } /* INFO, +OK */
}

/* Handles what is complete; returns how many bytes that was. */
static size_t bench_nats_consume(struct bench_thread *thread, struct bench_conn *conn,
                                 const uint8_t *bytes, size_t bytes_count)
{
    size_t used = 0;
    while (used < bytes_count && conn->state != BENCH_CONN_CLOSED) {
        const uint8_t *line = bytes + used;
        const uint8_t *line_end = memchr(line, '\n', bytes_count - used);
        if (line_end == NULL) {
            break;
        }
        size_t line_bytes = (size_t)(line_end - line);
        size_t whole = line_bytes + 1;
        line_bytes -= line_bytes > 0 && line[line_bytes - 1] == '\r';
        if (line_bytes > 4 && memcmp(line, "MSG ", 4) == 0) {
            size_t payload_bytes = bench_nats_payload_bytes(line, line_bytes);
            if (bytes_count - used < whole + payload_bytes + 2) {
                break;
            }
            thread->wire_bytes = whole + payload_bytes + 2; /* without frame headers */
            bench_frames_on_data(thread, conn, BENCH_FORM_TEXT, line + whole, payload_bytes);
            whole += payload_bytes + 2;
        } else {
            bench_nats_on_line(thread, conn, line, line_bytes);
        }
        used += whole;
    }
    return used;
}

static bool bench_nats_hold(struct bench_conn *conn, const uint8_t *bytes, size_t bytes_count)
{
    struct bench_nats *nats = conn->nats;
    if (nats == NULL) {
        nats = conn->nats = calloc(1, sizeof *nats);
    }
    if (nats == NULL || nats->bytes + bytes_count > BENCH_NATS_HELD_MAX) {
        return false;
    }
    if (nats->bytes + bytes_count > nats->capacity) {
        size_t capacity = 2 * (nats->bytes + bytes_count);
        uint8_t *held = realloc(nats->held, capacity);
        if (held == NULL) {
            return false;
        }
        nats->held = held;
        nats->capacity = capacity;
    }
    memcpy(nats->held + nats->bytes, bytes, bytes_count);
    nats->bytes += bytes_count;
    return true;
}

void bench_nats_on_message(struct bench_thread *thread, struct bench_conn *conn,
                           const uint8_t *bytes, size_t bytes_count)
{
    bool is_held = conn->nats != NULL && conn->nats->bytes > 0;
    if (is_held) {
        if (!bench_nats_hold(conn, bytes, bytes_count)) {
            thread->totals.malformed++;
            bench_conn_shut(thread, conn, 1009);
            return;
        }
        bytes = conn->nats->held;
        bytes_count = conn->nats->bytes;
    }
    size_t used = bench_nats_consume(thread, conn, bytes, bytes_count);
    if (is_held) {
        memmove(conn->nats->held, bytes + used, bytes_count - used);
        conn->nats->bytes = bytes_count - used;
    } else if (used < bytes_count && !bench_nats_hold(conn, bytes + used, bytes_count - used)) {
        thread->totals.malformed++;
        bench_conn_shut(thread, conn, 1009);
    }
}

void bench_nats_destroy(struct bench_nats *nats)
{
    if (nats != NULL) {
        free(nats->held);
        free(nats);
    }
}
