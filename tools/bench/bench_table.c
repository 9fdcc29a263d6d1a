#include "tools/bench/bench_table.h"

#include <stdio.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/nearest.h"
#include "tools/bench/bench_presets.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define AT(field) offsetof(struct bench_options, field)
#define ROLE(role) (AT(role_counts) + (role) * sizeof(uint32_t))
#define U32(field, min, max) BENCH_TABLE_COUNT, AT(field), min, max
#define BYTES(field, min, max) BENCH_TABLE_BYTES, AT(field), min, max
#define INT(field, min) BENCH_TABLE_INT, AT(field), min, INT32_MAX
#define TIME(field) BENCH_TABLE_TIME, AT(field), 0, 0
#define REAL(field) BENCH_TABLE_REAL, AT(field), 0, 10
#define TEXT(field) BENCH_TABLE_TEXT, AT(field), 0, 0
#define TEXTS(field) BENCH_TABLE_TEXTS, AT(field), 0, 0
#define LIST(field) BENCH_TABLE_LIST, AT(field), AT(field##_origin), 0
#define FLAG(field) BENCH_TABLE_FLAG, AT(field), 0, 0
#define CROWD(role) BENCH_TABLE_COUNT, ROLE(role), 0, BENCH_CONNECTIONS_MAX

static const struct bench_table_row bench_table[] = {
    {.help = "Common options"},
    {"connections", 'c', U32(connection_count, 1, BENCH_CONNECTIONS_MAX), "N",
     "connections in total (10)"},
    {"threads", 't', U32(thread_count, 1, BENCH_THREADS_MAX), "N",
     "threads of the load generator (1)"},
    {"duration", 'd', TIME(duration_ns), "TIME", "length of the measurement (10s)"},
    {"warmup", 'w', TIME(warmup_ns), "TIME", "time before it, with all subscribed (1s)"},
    {"symbols", 's', LIST(symbols), "A,B|*", "symbols to subscribe to; S{000..199} is 200 (*)"},
    {"types", 'y', LIST(types), "T,T", "data types; ringcast only (quote)"},
    {"protocol", 0, TEXT(protocol_name), "NAME",
     "ringcast, plain (any WebSocket server), nats or mqtt (ringcast)"},
    {"preset", 0, BENCH_TABLE_PRESET, AT(preset), 0, 0, "NAME",
     "options for a kind of server or a stress test; see the end"},
    {"latency", 'L', FLAG(latency), NULL, "also print the latency by percentile, in detail"},
    {"json", 'j', FLAG(json), NULL, "print one JSON object instead of text"},
    {"quiet", 'q', FLAG(quiet), NULL, "print no first line and no progress"},
    {"version", 'v', FLAG(version), NULL, "print the version"},
    {"help", 'h', FLAG(help), NULL, "print this text"},

    {.help = "Connecting"},
    {"timeout", 'T', TIME(timeout_ns), "TIME", "time for all connections to be subscribed (30s)"},
    {"header", 'H', TEXTS(header_lines), "LINE",
     "add a header to the upgrade: -H 'Name: value'; repeatable"},
    {"token", 0, TEXT(token), "TOKEN", "log in with Authorization: Bearer TOKEN"},
    {"token-file", 0, TEXT(token_file), "FILE", "the same; the token is read from a file"},
    {"cacert", 0, TEXT(tls.cacert), "FILE", "wss: accept certificates of the CAs in FILE only"},
    {"cert", 0, TEXT(tls.cert), "CHAIN[,KEY]", "wss: this client certificate, and its key"},
    {"insecure", 0, FLAG(tls.insecure), NULL, "wss: accept any certificate of the server"},
    {"subprotocol", 0, TEXT(subprotocol), "NAME", "plain: ask for this Sec-WebSocket-Protocol"},
    {"in-flight", 0, U32(in_flight_max, 1, 65536), "N",
     "connections being set up at the same time (256)"},
    {"source", 0, LIST(source_list), "A,B,..", "local addresses to connect from, in turn"},
    {"receive-buffer-bytes", 0, BYTES(receive_buffer_bytes, 1, 1u << 30), "N",
     "SO_RCVBUF of the readers (the kernel's choice)"},
    {"at-once", 0, FLAG(at_once), NULL, "subscribe only when all connections are upgraded"},
    {"by-url", 0, FLAG(by_url), NULL, "ringcast: subscribe by the URL of the upgrade"},
    {"spin", 0, FLAG(spin), NULL, "never sleep; for the lowest latency of few connections"},
    {"scenario", 0, BENCH_TABLE_SCENARIO, 0, 0, 0, "FILE",
     "read options from a file, one on each line, without dashes"},

    {.help = "Subscriptions"},
    {"subscriptions", 0, U32(subscription_count, 0, 1000), "N",
     "each connection draws N of the symbols (all)"},
    {"zipf", 0, REAL(zipf), "S", "draw with popularity 1/rank^S (0: all alike)"},
    {"seed", 0, U32(seed, 0, UINT32_MAX), "N", "seed of what is drawn (1)"},
    {"snapshot", 0, FLAG(snapshot), NULL, "ringcast: ask for the newest frame of each channel"},
    {"depth", 0, U32(depth, 0, 50), "N", "ringcast: levels a side of books (0: the feed's own)"},
    {"encoding", 0, TEXT(encoding_name), "NAME", "json, sbe (ringcast only) or deflate (json)"},

    {.help = "Messages of other servers"},
    {"topic", 0, TEXT(topic), "TEXT", "nats, mqtt: topic of a symbol (md.{symbol}, md/{symbol})"},
    {"send", 0, TEXT(send_text), "TEXT", "plain: send this message after the upgrade"},
    {"ignore", 0, TEXTS(ignored), "TEXT", "a message with this text is no tick; repeatable"},
    {"time-pattern", 0, TEXT(time_pattern), "TEXT",
     "text before a tick's time; '': only count (\"ts_pub\":)"},
    {"time-unit", 0, TEXT(time_unit), "UNIT",
     "unit of that time: ns, us, ms, s, or iso for ISO 8601 (ns)"},
    {"seq-pattern", 0, TEXT(seq_pattern), "TEXT",
     "text before its sequence number; '': none (\"seq\":)"},
    {"channel-pattern", 0, TEXT(channel_pattern), "TEXT",
     "before its channel number, or 'symbol'; '': one channel (\"ch\":)"},
    {"symbol-pattern", 0, TEXT(symbol_pattern), "TEXT", "text before its symbol (\"symbol\":\")"},

    {.help = "Round trips"},
    {"echo", 0, FLAG(echo), NULL,
     "send messages to an echo server, and measure until they are back"},
    {"rate", 'R', U32(echo_rate, 1, 100000000), "N",
     "messages a second, of all connections together (1000)"},
    {"payload-bytes", 0,
     BYTES(payload_bytes, BENCH_ECHO_PAYLOAD_BYTES_MIN, WS_CLIENT_MESSAGE_BYTES_MAX), "N",
     "bytes of a message, 16 to 16384 (64)"},
    {"requests", 0, U32(request_count, 0, 1000000000), "N",
     "ringcast: send N LISTs, one after the other, and grade the answers"},

    {.help = "Measurement and report"},
    {"until", 0, TEXT(until_text), "P=TIME", "find how many connections get, for example, p99=5ms"},
    {"until-max", 0, U32(until_max, 1, BENCH_CONNECTIONS_MAX), "N",
     "try at most N connections (1m)"},
    {"publish", 0, TEXT(publish), "SPEC",
     "what the publisher sends (rate=..,burst=..); warns of less"},
    {"publish-to", 0, TEXT(publish_to), "URL",
     "publish ticks to ws://.. or http://.., for servers that make none"},
    {"publish-rate", 0, U32(publish_to_rate, 1, 10000000), "N", "ticks a second (100)"},
    {"publish-template", 0, TEXT(publish_template), "TEXT",
     "a tick: {symbol} {channel} {seq} {time} {pad}"},
    {"pid", 'p', INT(pid, 1), "PID", "report this process's CPU time, memory and switches"},
    {"cpu", 0, INT(cpu, 0), "N", "report how busy this core was"},
    {"compare", 0, TEXT(compare_path), "A",
     "A and B, in place of URL, are files of --json: compare them"},
    {"compare-any", 0, FLAG(compare_any), NULL, "even if connections, encodings or rates differ"},
    {"allow-gaps", 0, FLAG(allow_gaps), NULL, "lost frames and connections are not a failure"},
    {"slow-ticks", 0, U32(slow_tick_count, 0, BENCH_SLOW_TICKS_MAX), "N",
     "also print the N slowest ticks, and which connection received them"},
    {"csv", 0, TEXT(csv_path), "FILE", "write a row for each second"},
    {"hdr-log", 0, TEXT(hdr_path), "FILE", "write the latencies as an HdrHistogram log"},
    {"hgrm", 0, TEXT(hgrm_path), "FILE",
     "write the latency by percentile, for HdrHistogram's plotter"},
    {"report", 0, TEXT(report_dir), "DIR", "write DIR/websocket_stress_test_report_TIME.json, too"},
    {"plot", 0, TEXT(plot_path), "FILE", "draw a picture, .svg or .png; needs gnuplot"},

    {.help = "Parts of the connections that do not only read"},
    {"light-readers", 0, CROWD(BENCH_LIGHT_READER), "N", "count their ticks only, at less cost"},
    {"stalled", 0, CROWD(BENCH_STALLED), "N", "subscribe and then stop reading"},
    {"stalled-buffer-bytes", 0, BYTES(stalled_buffer_bytes, 1, 1u << 30), "N",
     "SO_RCVBUF of the stalled and slow ones (4096)"},
    {"stalled-resume", 0, TIME(stalled_resume_ns), "TIME",
     "they read again this long into the measurement (0: never)"},
    {"stalled-silent", 0, U32(silent_count, 0, BENCH_CONNECTIONS_MAX), "N",
     "N of the stalled never read again (0)"},
    {"slow", 0, CROWD(BENCH_SLOW), "N", "read a few bytes at a time"},
    {"slow-rate", 0, BYTES(slow_bytes_per_second, 10, BENCH_SLOW_RATE_MAX), "N",
     "bytes each slow one reads per second (4096)"},
    {"half-open", 0, CROWD(BENCH_HALF_OPEN), "N",
     "send nothing, half a request or half a frame, and wait"},
    {"churn", 0, CROWD(BENCH_CHURN), "N", "leave and return, each at its own times"},
    {"churn-life", 0, TIME(churn_life_ns), "TIME", "how long they stay, on average (1s)"},
    {"storm", 0, CROWD(BENCH_STORM), "N", "leave and return, all at once"},
    {"storm-every", 0, TIME(storm_every_ns), "TIME", "how often they do (3s)"},
    {"malformed-clients", 0, CROWD(BENCH_MALFORMED), "N",
     "break the protocol, each time in another way, and wait"},
    {"patience", 0, TIME(patience_ns), "TIME", "how long those that wait do so for a close (15s)"},
    {"resubscribers", 0, CROWD(BENCH_RESUBSCRIBER), "N",
     "subscribe and unsubscribe as fast as possible"},
};
static_assert(COUNT(bench_table) <= BENCH_TABLE_ROWS_MAX, "arrays of rows hold them");

const struct bench_table_row *bench_table_rows(size_t *count_out)
{
    *count_out = COUNT(bench_table);
    return bench_table;
}

const struct bench_table_row *bench_table_find(const char *name)
{
    for (size_t i = 0; i < COUNT(bench_table); i++) {
        if (bench_table[i].name != NULL && strcmp(bench_table[i].name, name) == 0) {
            return &bench_table[i];
        }
    }
    return NULL;
}

void bench_table_print_nearest(const char *dashes, const char *name)
{
    const char *names[COUNT(bench_table)];
    size_t count = 0;
    for (size_t i = 0; i < COUNT(bench_table); i++) {
        if (bench_table[i].name != NULL) {
            names[count++] = bench_table[i].name;
        }
    }
    const char *nearest = nearest_name(name, names, count);
    if (nearest != NULL) {
        fprintf(stderr, "; did you mean %s%s?\n", dashes, nearest);
    } else {
        fprintf(stderr, "; ringcast-bench --help lists all\n");
    }
}

void bench_table_print_help(void)
{
    printf("Usage: ringcast-bench [options] URL\n"
           "\n"
           "Subscribes with many connections to a server that broadcasts over WebSocket. Measures "
           "latency,\n"
           "rates and the server's CPU time, and checks that every subscriber got every tick.\n"
           "URL is ws://host[:port][/path], wss://host[:port][/path] or unix:///path.\n"
           "\n"
           "  ringcast-bench -c 100 -d 5s ws://localhost:8765\n"
           "  ringcast-bench --protocol plain --time-pattern '' ws://localhost:9000/any/server\n"
           "\n"
           "TIME is 10s, 500ms, 2m or 1h; a number alone is seconds. N may be 1k or 2.5k.\n");
    for (size_t i = 0; i < COUNT(bench_table); i++) {
        const struct bench_table_row *row = &bench_table[i];
        char left[64];
        if (row->name == NULL) {
            printf("\n%s:\n", row->help);
            continue;
        }
        snprintf(left, sizeof left, "--%s%s%s", row->name, row->argument != NULL ? " " : "",
                 row->argument != NULL ? row->argument : "");
        printf("  %c%c%c %-27s %s\n", row->letter != 0 ? '-' : ' ',
               row->letter != 0 ? row->letter : ' ', row->letter != 0 ? ',' : ' ', left, row->help);
    }
    printf("\nPresets, whose options all others override:\n");
    bench_presets_print(stdout);
    printf("\nExit code: 0 valid; 1 usage, set-up or output; 2 connections failed or were closed;\n"
           "3 gaps, duplicates, differing or malformed frames, or nothing received.\n");
}
