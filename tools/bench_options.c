#include "tools/bench_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/units.h"

static const char help[] =
    "Usage: ringcast-bench [options] URL\n"
    "\n"
    "Subscribes with many connections at once and measures what arrives: latency from the\n"
    "server's ts_pub to the receipt, reach (received / due), gaps, rates, the server's CPU.\n"
    "URL is ws://host[:port][/path] or unix:///path.\n"
    "\n"
    "  -c, --connections N         connections in all (default 10)\n"
    "  -t, --threads N             threads, one ring each (1)\n"
    "  -d, --duration SECONDS      the measured time (10)\n"
    "  -w, --warmup SECONDS        before it, all subscribed (1)\n"
    "  -s, --symbols A,B|*         what to subscribe to (*)\n"
    "  -y, --types quote,trade     data types (quote)\n"
    "      --snapshot              ask for the newest frame of each channel first\n"
    "  -p, --pid PID               report this process's CPU time and RSS\n"
    "      --cpu N                 report how busy this core was, per delivered frame\n"
    "  -j, --json                  one JSON object instead of text\n"
    "      --allow-gaps            gaps and lost connections do not make the run invalid\n"
    "      --in-flight N           connections being made at one time (256)\n"
    "      --connect-timeout SEC   until all are subscribed (30)\n"
    "      --receive-buffer-bytes N    SO_RCVBUF of the readers\n"
    "      --stalled N             N of the connections subscribe and then stop reading\n"
    "      --stalled-buffer-bytes N    their SO_RCVBUF (4096)\n"
    "      --stalled-resume SEC    they read again, so long after the window's begin\n"
    "      --stalled-silent N      of them N never read again\n"
    "  -h, --help\n"
    "\n"
    "Exit code: 0 valid; 1 usage or set-up; 2 connections failed or were closed; 3 gaps,\n"
    "duplicates, malformed frames or nothing received.\n";

enum {
    OPTION_SNAPSHOT = 256,
    OPTION_CPU,
    OPTION_ALLOW_GAPS,
    OPTION_IN_FLIGHT,
    OPTION_CONNECT_TIMEOUT,
    OPTION_RECEIVE_BUFFER,
    OPTION_STALLED,
    OPTION_STALLED_BUFFER,
    OPTION_STALLED_RESUME,
    OPTION_STALLED_SILENT,
};

static const struct option long_options[] = {
    {"connections", required_argument, NULL, 'c'},
    {"threads", required_argument, NULL, 't'},
    {"duration", required_argument, NULL, 'd'},
    {"warmup", required_argument, NULL, 'w'},
    {"symbols", required_argument, NULL, 's'},
    {"types", required_argument, NULL, 'y'},
    {"snapshot", no_argument, NULL, OPTION_SNAPSHOT},
    {"pid", required_argument, NULL, 'p'},
    {"cpu", required_argument, NULL, OPTION_CPU},
    {"json", no_argument, NULL, 'j'},
    {"allow-gaps", no_argument, NULL, OPTION_ALLOW_GAPS},
    {"in-flight", required_argument, NULL, OPTION_IN_FLIGHT},
    {"connect-timeout", required_argument, NULL, OPTION_CONNECT_TIMEOUT},
    {"receive-buffer-bytes", required_argument, NULL, OPTION_RECEIVE_BUFFER},
    {"stalled", required_argument, NULL, OPTION_STALLED},
    {"stalled-buffer-bytes", required_argument, NULL, OPTION_STALLED_BUFFER},
    {"stalled-resume", required_argument, NULL, OPTION_STALLED_RESUME},
    {"stalled-silent", required_argument, NULL, OPTION_STALLED_SILENT},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static bool bench_options_count(const char *text, uint64_t min, uint64_t max, uint64_t *value_out)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != 0 || text[0] == '-' || value < min || value > max) {
        fprintf(stderr, "ringcast-bench: '%s' is not a number from %llu to %llu\n", text,
                (unsigned long long)min, (unsigned long long)max);
        return false;
    }
    *value_out = value;
    return true;
}

static bool bench_options_u32(const char *text, uint32_t min, uint32_t max, uint32_t *value_out)
{
    uint64_t value;
    if (!bench_options_count(text, min, max, &value)) {
        return false;
    }
    *value_out = (uint32_t)value;
    return true;
}

static bool bench_options_int(const char *text, int min, int *value_out)
{
    uint64_t value;
    if (!bench_options_count(text, (uint64_t)min, INT32_MAX, &value)) {
        return false;
    }
    *value_out = (int)value;
    return true;
}

static bool bench_options_seconds(const char *text, uint64_t *value_ns_out)
{
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end != 0 || !(seconds >= 0.0) || seconds > 1e6) {
        fprintf(stderr, "ringcast-bench: '%s' is not a number of seconds\n", text);
        return false;
    }
    *value_ns_out = (uint64_t)(seconds * (double)NS_PER_SECOND);
    return true;
}

static bool bench_options_take_long(struct bench_options *options, int option, const char *value)
{
    switch (option) {
    case OPTION_SNAPSHOT:
        options->snapshot = true;
        return true;
    case OPTION_CPU:
        return bench_options_int(value, 0, &options->cpu);
    case OPTION_ALLOW_GAPS:
        options->allow_gaps = true;
        return true;
    case OPTION_IN_FLIGHT:
        return bench_options_u32(value, 1, 65536, &options->in_flight_max);
    case OPTION_CONNECT_TIMEOUT:
        return bench_options_seconds(value, &options->connect_timeout_ns);
    case OPTION_RECEIVE_BUFFER:
        return bench_options_u32(value, 1, 1u << 30, &options->receive_buffer_bytes);
    case OPTION_STALLED:
        return bench_options_u32(value, 0, BENCH_CONNECTIONS_MAX, &options->stalled_count);
    case OPTION_STALLED_BUFFER:
        return bench_options_u32(value, 1, 1u << 30, &options->stalled_buffer_bytes);
    case OPTION_STALLED_RESUME:
        return bench_options_seconds(value, &options->stalled_resume_ns);
    case OPTION_STALLED_SILENT:
        return bench_options_u32(value, 0, BENCH_CONNECTIONS_MAX, &options->silent_count);
    default: /* getopt has said what is wrong */
        return false;
    }
}

static bool bench_options_take(struct bench_options *options, int option, const char *value)
{
    switch (option) {
    case 'c':
        return bench_options_u32(value, 1, BENCH_CONNECTIONS_MAX, &options->connection_count);
    case 't':
        return bench_options_u32(value, 1, BENCH_THREADS_MAX, &options->thread_count);
    case 'd':
        return bench_options_seconds(value, &options->duration_ns);
    case 'w':
        return bench_options_seconds(value, &options->warmup_ns);
    case 's':
        options->symbols = value;
        return true;
    case 'y':
        options->types = value;
        return true;
    case 'p':
        return bench_options_int(value, 1, &options->pid);
    case 'j':
        options->json = true;
        return true;
    default:
        return bench_options_take_long(options, option, value);
    }
}

static int bench_options_finish(struct bench_options *options)
{
    char error[WS_CLIENT_ERROR_BYTES_MAX];
    if (options->stalled_count > options->connection_count ||
        options->silent_count > options->stalled_count) {
        fprintf(stderr, "ringcast-bench: stalled connections are a part of -c, silent ones a part "
                        "of --stalled\n");
        return 1;
    }
    if (options->thread_count > options->connection_count) {
        options->thread_count = options->connection_count;
    }
    if (ws_client_parse_url(&options->url, options->url_text, error) != 0 ||
        ws_client_resolve(&options->url, &options->address, error) != 0) {
        fprintf(stderr, "ringcast-bench: %s\n", error);
        return 1;
    }
    return -1;
}

int bench_options_parse(struct bench_options *options_out, int argc, char **argv)
{
    int option;
    *options_out = (struct bench_options){
        .symbols = "*",
        .types = "quote",
        .connection_count = 10,
        .thread_count = 1,
        .in_flight_max = 256,
        .stalled_buffer_bytes = 4096,
        .duration_ns = 10 * NS_PER_SECOND,
        .warmup_ns = NS_PER_SECOND,
        .connect_timeout_ns = 30 * NS_PER_SECOND,
        .cpu = -1,
    };
    while ((option = getopt_long(argc, argv, "c:t:d:w:s:y:p:jh", long_options, NULL)) != -1) {
        if (option == 'h') {
            fputs(help, stdout);
            return 0;
        }
        if (!bench_options_take(options_out, option, optarg)) {
            fprintf(stderr, "Try ringcast-bench --help\n");
            return 1;
        }
    }
    if (optind + 1 != argc) {
        fprintf(stderr, "ringcast-bench: exactly one URL, please. Try ringcast-bench --help\n");
        return 1;
    }
    options_out->url_text = argv[optind];
    return bench_options_finish(options_out);
}
