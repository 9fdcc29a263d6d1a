#include "tools/insight/stat_options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/base/command_line.h"
#include "codec/base/units.h"
#include "ring/board/counters_read.h"
#include "tools/insight/insight_files.h"

#define INTERVAL_SECONDS_MIN 0.01
#define INTERVAL_SECONDS_MAX 86400.0
#define CORE_MAX 1023 /* The file has the number of cores. */

static const char help[] =
    "Usage: ringcast stat [options] [INTERVAL [COUNT]]\n"
    "\n"
    "Shows what a running server does: each interval, a line for each core, and with\n"
    "several cores a line for all. INTERVAL is in seconds (default: 1), with decimals.\n"
    "The first line comes after one interval. The counters are read from /dev/shm, which\n"
    "costs the server nothing.\n"
    "\n"
    "      --pid PID     show this server; needed only if several run\n"
    "      --core N|all  show only this core, or only the line for all cores\n"
    "      --total       print every counter since the start, with its meaning\n"
    "      --list        list the running servers, and those that left their counters\n"
    "      --json        print a JSON object for each interval, with all counters\n"
    "      --watch       show each interval in place of the last, on one screen\n"
    "  -h, --help        print this help\n"
    "\n"
    "Columns:\n"
    "  clients   open: connections; blk: socket full; pull: catching up from the log\n"
    "  ticks     in/s: published per second; lag: frames that the core must still send\n"
    "  sends     fr/send: frames per send; short, full: sends per second that sent only\n"
    "            a part, or found the socket full\n"
    "  lost      frames per second reported as lost (GAP), or replaced (conflated)\n"
    "  flush us  from a tick's publication to the end of its last send, in microseconds\n"
    "  core %    busy: not asleep; wait: ready to run, but without a CPU\n"
    "\n"
    "Exit codes: 0 success; 1 wrong usage, or the output cannot be written; 2 no such\n"
    "server, or its counters cannot be read; 3 the server has ended.\n";

enum { OPTION_PID = 256, OPTION_CORE, OPTION_TOTAL, OPTION_LIST, OPTION_JSON, OPTION_WATCH };

static const struct option long_options[] = {
    {"pid", required_argument, NULL, OPTION_PID},
    {"core", required_argument, NULL, OPTION_CORE},
    {"total", no_argument, NULL, OPTION_TOTAL},
    {"list", no_argument, NULL, OPTION_LIST},
    {"json", no_argument, NULL, OPTION_JSON},
    {"watch", no_argument, NULL, OPTION_WATCH},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static bool stat_options_refuse(const char *what, const char *text, const char *wanted)
{
    fprintf(stderr, "ringcast stat: %s '%s' is not %s\nTry ringcast stat --help\n", what, text,
            wanted);
    return false;
}

static bool stat_options_integer(const char *text, int64_t min, int64_t max, int64_t *value_out)
{
    char *end;
    errno = 0;
    *value_out = strtoll(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && *value_out >= min &&
           *value_out <= max;
}

static bool stat_options_core(struct stat_options *options, const char *text)
{
    int64_t core;
    if (strcmp(text, "all") == 0) {
        options->core = COUNTERS_READ_ALL;
        return true;
    }
    if (!stat_options_integer(text, 0, CORE_MAX, &core)) {
        return stat_options_refuse("--core", text, "the number of a core, or all");
    }
    options->core = (uint32_t)core;
    return true;
}

static bool stat_options_take(struct stat_options *options, int option, const char *value)
{
    switch (option) {
    case OPTION_PID:
        options->id = value;
        return insight_files_is_id(value) ||
               stat_options_refuse("--pid", value, "a process ID as --list has it");
    case OPTION_CORE:
        return stat_options_core(options, value);
    case OPTION_TOTAL:
        options->total = true;
        return true;
    case OPTION_LIST:
        options->list = true;
        return true;
    case OPTION_JSON:
        options->json = true;
        return true;
    case OPTION_WATCH:
        options->watch = true;
        return true;
    case 'h':
        options->help = true;
        return true;
    default: /* getopt_long has printed the reason. */
        fprintf(stderr, "Try ringcast stat --help\n");
        return false;
    }
}

/* INTERVAL and COUNT. */
static bool stat_options_intervals(struct stat_options *options, int count, char **texts)
{
    assert_always(count >= 0);
    if (count > 2) {
        return stat_options_refuse("argument", texts[2], "expected: INTERVAL and COUNT come last");
    }
    if (count > 0) {
        char *end;
        double seconds = strtod(texts[0], &end);
        if (end == texts[0] || *end != '\0' || !(seconds >= INTERVAL_SECONDS_MIN) ||
            seconds > INTERVAL_SECONDS_MAX) {
            return stat_options_refuse("INTERVAL", texts[0],
                                       "a number of seconds from 0.01 to 86400");
        }
        options->interval_ns = (uint64_t)llround(seconds * (double)NS_PER_SECOND);
    }
    if (count > 1) {
        int64_t intervals;
        if (!stat_options_integer(texts[1], 1, INT64_MAX, &intervals)) {
            return stat_options_refuse("COUNT", texts[1], "a number of intervals, 1 or more");
        }
        options->count = (uint64_t)intervals;
    }
    return true;
}

/* Options that do not go together. */
static bool stat_options_check(const struct stat_options *options, bool has_interval)
{
    const char *fault = NULL;
    if (options->total && options->list) {
        fault = "--total and --list cannot be combined";
    } else if (options->list && (options->id != NULL || options->core != STAT_EVERY_CORE)) {
        fault = "--list shows all servers; it takes no --pid and no --core";
    } else if ((options->total || options->list) && (has_interval || options->watch)) {
        fault = "--total and --list print once; they take no INTERVAL and no --watch";
    } else if (options->json && options->watch) {
        fault = "--json and --watch cannot be combined";
    }
    if (fault != NULL) {
        fprintf(stderr, "ringcast stat: %s\nTry ringcast stat --help\n", fault);
    }
    return fault == NULL;
}

bool stat_options_parse(struct stat_options *options_out, int argc, char **argv)
{
    struct stat_options options = {.interval_ns = NS_PER_SECOND, .core = STAT_EVERY_CORE};
    int option;
    assert_always(argc >= 1);
    command_line_name(argc, argv, "ringcast stat");
    optind = 0;
    while ((option = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
        if (!stat_options_take(&options, option, optarg)) {
            return false;
        }
        if (options.help) {
            break;
        }
    }
    if (!options.help && (!stat_options_intervals(&options, argc - optind, argv + optind) ||
                          !stat_options_check(&options, optind < argc))) {
        return false;
    }
    assert_debug(options.interval_ns > 0);
    *options_out = options;
    return true;
}

void stat_options_print_help(void)
{
    fputs(help, stdout);
}
