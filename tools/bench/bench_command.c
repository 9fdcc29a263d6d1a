#include "tools/bench/bench_command.h"

#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/base/units.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum bench_command_kind {
    KIND_FLAG,
    KIND_U32,
    KIND_INT,
    KIND_SECONDS,
    KIND_REAL,
    KIND_TEXT,
    KIND_LIST
};

struct bench_command_option {
    const char *name;
    char letter;
    enum bench_command_kind kind;
    size_t offset;
    uint64_t min, max; /* a list: where its origin is, and 0 */
    const char *argument;
    const char *help;
};

#define AT(field) offsetof(struct bench_options, field)
#define ROLE(role) (AT(role_counts) + (role) * sizeof(uint32_t))
#define U32(field, min, max) KIND_U32, AT(field), min, max
#define INT(field, min) KIND_INT, AT(field), min, INT32_MAX
#define SECONDS(field) KIND_SECONDS, AT(field), 0, 0
#define REAL(field) KIND_REAL, AT(field), 0, 0
#define TEXT(field) KIND_TEXT, AT(field), 0, 0
#define LIST(field) KIND_LIST, AT(field), AT(field##_origin), 0
#define FLAG(field) KIND_FLAG, AT(field), 0, 0
#define CROWD(role) KIND_U32, ROLE(role), 0, BENCH_CONNECTIONS_MAX

/* A row without a kind's offset (name NULL) is a heading. */
static const struct bench_command_option bench_command_table[] = {
    {.help = "The load"},
    {"connections", 'c', U32(connection_count, 1, BENCH_CONNECTIONS_MAX), "N",
     "connections in all (10)"},
    {"threads", 't', U32(thread_count, 1, BENCH_THREADS_MAX), "N", "threads, one ring each (1)"},
    {"duration", 'd', SECONDS(duration_ns), "SEC", "the measured time (10)"},
    {"warmup", 'w', SECONDS(warmup_ns), "SEC", "before it, all subscribed (1)"},
    {"in-flight", 0, U32(in_flight_max, 1, 65536), "N", "connections being made at one time (256)"},
    {"connect-timeout", 0, SECONDS(connect_timeout_ns), "SEC", "until all are subscribed (30)"},
    {"receive-buffer-bytes", 0, U32(receive_buffer_bytes, 1, 1u << 30), "N",
     "SO_RCVBUF of the readers (the kernel's choice)"},
    {"source", 0, LIST(source_list), "A,B,..",
     "addresses to connect from, in turn; given again, it adds"},
    {"spin", 0, FLAG(spin), NULL, "never sleep: for the latency of few connections"},
    {"scenario", 0, KIND_TEXT, SIZE_MAX, 0, 0, "FILE",
     "options from a file, one a line, without dashes"},

    {.help = "What is subscribed"},
    {"symbols", 's', LIST(symbols), "A,B|*",
     "names; S{000..199} stands for 200 of them; given again, it adds (*)"},
    {"types", 'y', LIST(types), "T,T", "ringcast: data types; given again, it adds (quote)"},
    {"subscriptions", 0, U32(subscription_count, 0, 1000), "N",
     "of the symbols, each connection takes N (all)"},
    {"zipf", 0, REAL(zipf), "S", "drawn with popularity 1/rank^S (0: all alike)"},
    {"seed", 0, U32(seed, 0, UINT32_MAX), "N", "of what is drawn (1)"},
    {"snapshot", 0, FLAG(snapshot), NULL, "ask for the newest frame of each channel first"},
    {"depth", 0, U32(depth, 0, 50), "N", "ringcast: books cut to N levels a side (0: the feed's)"},
    {"at-once", 0, FLAG(at_once), NULL, "subscribe when all are upgraded"},
    {"by-url", 0, FLAG(by_url), NULL, "ringcast: subscribe by the URL of the upgrade"},

    {.help = "The server's language"},
    {"protocol", 0, TEXT(protocol_name), "NAME",
     "ringcast, plain (each message is a tick), nats, mqtt (ringcast)"},
    {"encoding", 0, TEXT(encoding_name), "NAME",
     "json, sbe (ringcast's md.sbe.v1), deflate (permessage-deflate) (json)"},
    {"topic", 0, TEXT(topic), "TEXT",
     "nats, mqtt: the subject or topic of a symbol (md.{symbol}, md/{symbol})"},
    {"send", 0, TEXT(send_text), "TEXT", "plain: a message after the upgrade"},
    {"time-pattern", 0, TEXT(time_pattern), "TEXT",
     "what stands before a tick's time (\"ts_pub\":)"},
    {"time-unit", 0, TEXT(time_unit), "UNIT", "ns, us, ms or s (ns)"},
    {"seq-pattern", 0, TEXT(seq_pattern), "TEXT",
     "before its number in its channel; '': it has none (\"seq\":)"},
    {"channel-pattern", 0, TEXT(channel_pattern), "TEXT",
     "before its channel's number; '': there is one channel (\"ch\":)"},
    {"symbol-pattern", 0, TEXT(symbol_pattern), "TEXT", "before its symbol (\"symbol\":\")"},

    {"light-readers", 0, CROWD(BENCH_LIGHT_READER), "N",
     "of -c, only count their ticks: where the load is the limit"},

    {.help = "Connections that behave badly, parts of -c"},
    {"stalled", 0, CROWD(BENCH_STALLED), "N", "subscribe and then stop reading"},
    {"stalled-buffer-bytes", 0, U32(stalled_buffer_bytes, 1, 1u << 30), "N",
     "SO_RCVBUF of the stalled and the slow (4096)"},
    {"stalled-resume", 0, SECONDS(stalled_resume_ns), "SEC",
     "they read again, so long after the window's begin"},
    {"stalled-silent", 0, U32(silent_count, 0, BENCH_CONNECTIONS_MAX), "N",
     "of them N never read again"},
    {"slow", 0, CROWD(BENCH_SLOW), "N", "read a few bytes at a time"},
    {"slow-rate", 0, U32(slow_bytes_per_second, 10, BENCH_SLOW_RATE_MAX), "N",
     "bytes a second that each slow one reads (4096)"},
    {"half-open", 0, CROWD(BENCH_HALF_OPEN), "N",
     "send nothing, half a request or half a frame, and wait"},
    {"churn", 0, CROWD(BENCH_CHURN), "N", "leave and come again, each at times of its own"},
    {"churn-life", 0, SECONDS(churn_life_ns), "SEC", "how long they stay, on average (1)"},
    {"storm", 0, CROWD(BENCH_STORM), "N", "leave and come again, all at once"},
    {"storm-every", 0, SECONDS(storm_every_ns), "SEC", "how often they do (3)"},
    {"malformed-clients", 0, CROWD(BENCH_MALFORMED), "N",
     "break the protocol, in turn in every way, and wait"},
    {"patience", 0, SECONDS(patience_ns), "SEC",
     "how long they and the half-open wait to be closed (15)"},
    {"resubscribers", 0, CROWD(BENCH_RESUBSCRIBER), "N",
     "subscribe and unsubscribe as fast as they are answered"},

    {.help = "What is measured, and told"},
    {"until", 0, TEXT(until_text), "P=TIME",
     "how many connections are served with, say, p99=5ms; -c is the first try"},
    {"until-max", 0, U32(until_max, 1, BENCH_CONNECTIONS_MAX), "N", "not more than so many"},
    {"publish", 0, TEXT(publish), "SPEC",
     "what the publisher was asked for (rate=..,burst=..): told when it sends less"},
    {"pid", 'p', INT(pid, 1), "PID", "report this process's CPU time, RSS, context switches"},
    {"cpu", 0, INT(cpu, 0), "N", "report how busy this core was, per delivered frame"},
    {"allow-gaps", 0, FLAG(allow_gaps), NULL,
     "lost frames and connections do not make the run invalid; all else does"},
    {"json", 'j', FLAG(json), NULL, "one JSON object instead of text"},
    {"csv", 0, TEXT(csv_path), "FILE", "a line a second"},
    {"hdr-log", 0, TEXT(hdr_path), "FILE", "an HdrHistogram log of the latencies"},
    {"plot", 0, TEXT(plot_path), "FILE", "a picture, .svg or .png; needs gnuplot"},
    {"help", 'h', FLAG(help), NULL, "this text"},
};

static void bench_command_help(void)
{
    printf(
        "Usage: ringcast-bench [options] URL\n"
        "\n"
        "Subscribes with many connections at once and measures what arrives: latency from the\n"
        "time in each tick to its receipt, reach, gaps, spread, rates, the server's CPU. URL is\n"
        "ws://host[:port][/path] or unix:///path; {symbols} in it becomes what a connection\n"
        "subscribes to.\n");
    for (size_t i = 0; i < COUNT(bench_command_table); i++) {
        const struct bench_command_option *row = &bench_command_table[i];
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
    printf("\nExit code: 0 valid; 1 usage, set-up or output; 2 connections failed or were closed;\n"
           "3 gaps, duplicates, differing or malformed frames, or nothing received.\n");
}

static bool bench_command_number(const struct bench_command_option *row, const char *text,
                                 uint64_t *value_out)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != 0 || text[0] == '-' || value < row->min ||
        value > row->max) {
        fprintf(stderr, "ringcast-bench: --%s: '%s' is not a number from %llu to %llu\n", row->name,
                text, (unsigned long long)row->min, (unsigned long long)row->max);
        return false;
    }
    *value_out = value;
    return true;
}

static bool bench_command_real(const struct bench_command_option *row, const char *text, double max,
                               double *value_out)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != 0 || !(value >= 0.0) || value > max) {
        fprintf(stderr, "ringcast-bench: --%s: '%s' is not a number from 0 to %.0f\n", row->name,
                text, max);
        return false;
    }
    *value_out = value;
    return true;
}

/* Keeps a text for as long as the options; NULL: there is no room. */
static char *bench_command_keep(struct bench_options *options, char *text)
{
    if (text == NULL || options->kept_text_count == BENCH_KEPT_TEXTS_MAX) {
        free(text);
        return NULL;
    }
    options->kept_texts[options->kept_text_count++] = text;
    return text;
}

/* A list that is given twice adds up, but a scenario file and the command line replace each
 * other's. */
static bool bench_command_add(struct bench_options *options, const struct bench_command_option *row,
                              const char *text)
{
    const char **list = (const char **)(void *)((char *)options + row->offset);
    const char **origin = (const char **)(void *)((char *)options + row->min);
    if (*origin == options->origin) {
        char *joined;
        text = asprintf(&joined, "%s,%s", *list, text) < 0 ? NULL
                                                           : bench_command_keep(options, joined);
    }
    if (text == NULL) {
        bench_options_fail("no room for '%s'", row->name);
        return false;
    }
    *origin = options->origin;
    *list = text;
    return true;
}

static bool bench_command_set(struct bench_options *options, const struct bench_command_option *row,
                              const char *text)
{
    uint64_t number = 0;
    double real = 0.0;
    char *at = (char *)options + row->offset;
    switch (row->kind) {
    case KIND_FLAG:
        *(bool *)(void *)at = true;
        return true;
    case KIND_TEXT:
        *(const char **)(void *)at = text;
        return true;
    case KIND_LIST:
        return bench_command_add(options, row, text);
    case KIND_REAL:
        return bench_command_real(row, text, 10.0, (double *)(void *)at);
    case KIND_SECONDS:
        if (!bench_command_real(row, text, 1e6, &real)) {
            return false;
        }
        *(uint64_t *)(void *)at = (uint64_t)(real * (double)NS_PER_SECOND);
        return true;
    default:
        if (!bench_command_number(row, text, &number)) {
            return false;
        }
        *(uint32_t *)(void *)at = (uint32_t)number; /* int is as long, and the table's max fits */
        return true;
    }
}

static const struct bench_command_option *bench_command_find(const char *name)
{
    for (size_t i = 0; i < COUNT(bench_command_table); i++) {
        if (bench_command_table[i].name != NULL && strcmp(bench_command_table[i].name, name) == 0) {
            return &bench_command_table[i];
        }
    }
    return NULL;
}

/* ---- The scenario file ---- */

/* Cuts a comment (after a blank) and blanks off both ends. */
static char *bench_command_trim(char *line)
{
    line += strspn(line, " \t");
    for (char *at = line; *at != 0; at++) {
        if (*at == '#' && (at == line || at[-1] == ' ' || at[-1] == '\t')) {
            *at = 0;
            break;
        }
    }
    size_t bytes = strlen(line);
    while (bytes > 0 && strchr(" \t\r\n", line[bytes - 1]) != NULL) {
        line[--bytes] = 0;
    }
    return line;
}

static bool bench_command_take_line(struct bench_options *options, char *line)
{
    char *name = bench_command_trim(line);
    if (*name == 0) {
        return true;
    }
    char *name_end = name + strcspn(name, " \t=");
    char *value = name_end + strspn(name_end, " \t");
    bool has_sign = *value == '=';
    value += has_sign;
    value += strspn(value, " \t");
    *name_end = 0;
    const struct bench_command_option *row = bench_command_find(name);
    if (row == NULL || row->offset == SIZE_MAX) {
        bench_options_fail("a scenario file has no '%s'", name);
        return false;
    }
    if (row->kind == KIND_FLAG && (*value != 0 || has_sign)) {
        bench_options_fail("'%s' takes no value", name);
        return false;
    }
    if (row->kind != KIND_FLAG && *value == 0 && !has_sign) {
        bench_options_fail("'%s' needs a value; an empty one is written as ' ='", name);
        return false;
    }
    char *kept = bench_command_keep(options, strdup(value));
    if (kept == NULL) {
        bench_options_fail("no room for '%s'", name);
        return false;
    }
    return bench_command_set(options, row, kept);
}

static bool bench_command_load(struct bench_options *options, const char *path)
{
    char *line = NULL;
    size_t line_capacity = 0;
    unsigned number = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        fprintf(stderr, "ringcast-bench: %s: %s\n", path, strerror(errno));
        return false;
    }
    bool good = true;
    const char *origin = options->origin;
    options->origin = path;
    while (good && getline(&line, &line_capacity, file) >= 0) {
        number++;
        good = bench_command_take_line(options, line);
    }
    options->origin = origin;
    if (good && ferror(file)) {
        bench_options_fail("it cannot be read: %s", strerror(errno));
        good = false;
    }
    free(line);
    fclose(file);
    if (!good) {
        fprintf(stderr, "ringcast-bench: in %s, line %u\n", path, number);
    }
    return good;
}

/* ---- The command line ---- */

static bool bench_command_take(struct bench_options *options, int found, const char *value)
{
    for (size_t i = 0; i < COUNT(bench_command_table); i++) {
        const struct bench_command_option *row = &bench_command_table[i];
        bool is_long = found >= 256 && (size_t)(found - 256) == i;
        if (row->name != NULL && (is_long || (found < 256 && row->letter == found))) {
            return row->offset == SIZE_MAX ? bench_command_load(options, value)
                                           : bench_command_set(options, row, value);
        }
    }
    return false; /* getopt has said what is wrong */
}

int bench_command_parse(struct bench_options *options_out, int argc, char **argv)
{
    struct option long_options[COUNT(bench_command_table) + 1] = {0};
    char letters[2 * COUNT(bench_command_table) + 1] = "";
    size_t count = 0;
    size_t letter_bytes = 0;
    int found;
    bench_options_defaults(options_out);
    for (size_t i = 0; i < COUNT(bench_command_table); i++) {
        const struct bench_command_option *row = &bench_command_table[i];
        int has_argument = row->argument != NULL ? required_argument : no_argument;
        if (row->name == NULL) {
            continue;
        }
        long_options[count++] = (struct option){row->name, has_argument, NULL, 256 + (int)i};
        if (row->letter != 0) {
            letters[letter_bytes++] = row->letter;
        }
        if (row->letter != 0 && row->argument != NULL) {
            letters[letter_bytes++] = ':';
        }
    }
    while ((found = getopt_long(argc, argv, letters, long_options, NULL)) != -1) {
        if (!bench_command_take(options_out, found, optarg)) {
            fprintf(stderr, "Try ringcast-bench --help\n");
            return 1;
        }
    }
    if (options_out->help) {
        bench_command_help();
        return 0;
    }
    if (optind + 1 != argc) {
        return bench_options_fail("exactly one URL, please%s", "");
    }
    options_out->url_text = argv[optind];
    return bench_options_finish(options_out);
}
