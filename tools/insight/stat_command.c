#include "tools/insight/stat_command.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/standard_fds.h"
#include "codec/base/units.h"
#include "tools/common/terminal_text.h"
#include "tools/insight/insight_files.h"
#include "tools/insight/stat_entries.h"
#include "tools/insight/stat_figures.h"
#include "tools/insight/stat_list.h"
#include "tools/insight/stat_options.h"
#include "tools/insight/stat_sample.h"
#include "tools/insight/stat_screen.h"
#include "tools/insight/stat_table.h"
#include "tools/insight/stat_tls.h"

#define PROGRAM "ringcast stat"
#define LOOK_NS (100 * NS_PER_MS) /* between looks whether the server lives */
#define HEADER_LINES 2
#define LINES_BETWEEN_HEADERS 20 /* where there is no terminal */

enum exit_code {
    EXIT_DONE = 0,
    EXIT_USAGE = 1,     /* Or standard output cannot be written. */
    EXIT_NO_SERVER = 2, /* Or its counters cannot be read. */
    EXIT_ENDED = 3,
};

struct stat_command {
    struct stat_options options;
    struct insight_file file;
    struct counters_read read;
    struct stat_sample samples[2]; /* the newest is [newest] */
    uint32_t newest;
    uint32_t line_count; /* since the last header */
    int signal_fd;       /* of the screen; -1: none */
    char *picture;       /* on the screen */
    size_t picture_bytes;
};

enum stat_command_event { EVENT_DUE, EVENT_ENDED, EVENT_REDRAW, EVENT_SIGNAL, EVENT_OUTPUT_GONE };

/* ---- What it prints ---- */

static int stat_command_flush(int exit_code)
{
    return standard_fds_flush(PROGRAM) ? exit_code : EXIT_USAGE;
}

static int stat_command_list(const struct stat_options *options, const char *directory)
{
    struct insight_file *files;
    size_t count;
    if (insight_files_find(directory, NULL, &files, &count) < 0) {
        fprintf(stderr, PROGRAM ": out of memory\n");
        return EXIT_NO_SERVER;
    }
    if (count == 0) {
        insight_files_say_none(PROGRAM, directory, NULL);
    } else if (options->json) {
        stat_list_print_json(stdout, files, count);
    } else {
        stat_list_print(stdout, files, count);
    }
    free(files);
    return stat_command_flush(count == 0 ? EXIT_NO_SERVER : EXIT_DONE);
}

/* Each core, or one, or all together. */
static uint32_t stat_command_core(const struct stat_command *command)
{
    return command->options.core == STAT_EVERY_CORE ? COUNTERS_READ_ALL : command->options.core;
}

static void stat_command_print_line(const struct stat_command *command, FILE *out, uint32_t core)
{
    struct stat_figures figures;
    const struct stat_sample *now = &command->samples[command->newest];
    stat_figures_make(&figures, now, &command->samples[!command->newest], core);
    stat_table_print_line(out, now->realtime_ns, core, &figures);
}

/* How many cores have a line of their own, unless one core or all together were asked for. */
static uint32_t stat_command_core_lines(const struct stat_command *command)
{
    return command->options.core == STAT_EVERY_CORE
               ? command->samples[command->newest].read.scopes[COUNTERS_CORE].count
               : 0;
}

/* With one core, its line is the total. */
static bool stat_command_has_last_line(const struct stat_command *command)
{
    return stat_command_core_lines(command) != 1;
}

static bool stat_command_has_tls(const struct stat_command *command)
{
    return stat_tls_is_used(&command->samples[command->newest], stat_command_core(command));
}

static void stat_command_print_lines(const struct stat_command *command, FILE *out)
{
    for (uint32_t core = 0; core < stat_command_core_lines(command); core++) {
        stat_command_print_line(command, out, core);
    }
    if (stat_command_has_last_line(command)) {
        stat_command_print_line(command, out, stat_command_core(command));
    }
    if (stat_command_has_tls(command)) {
        stat_tls_print_line(out, &command->samples[command->newest],
                            &command->samples[!command->newest], stat_command_core(command));
    }
}

static void stat_command_print_table(struct stat_command *command)
{
    uint32_t rows = stat_screen_rows();
    uint32_t room = rows > HEADER_LINES + 1 ? rows - HEADER_LINES - 1 : LINES_BETWEEN_HEADERS;
    uint32_t count = stat_command_core_lines(command) + stat_command_has_last_line(command) +
                     stat_command_has_tls(command);
    if (command->line_count == 0 || command->line_count + count > room) {
        stat_table_print_header(stdout);
        command->line_count = 0;
    }
    stat_command_print_lines(command, stdout);
    command->line_count += count;
}

/* has_interval: there are two samples. */
static void stat_command_draw(struct stat_command *command, bool has_interval)
{
    const struct counters_header *header = &command->file.header;
    assert_debug(command->signal_fd >= 0);
    free(command->picture);
    command->picture = NULL;
    FILE *out = open_memstream(&command->picture, &command->picture_bytes);
    if (out == NULL) {
        return;
    }
    fprintf(out, "ringcast ");
    terminal_text_print(out, header->server_version, strlen(header->server_version));
    fprintf(out, ", process %s, every %g s; Ctrl-C ends this\n\n", command->file.id,
            (double)command->options.interval_ns / (double)NS_PER_SECOND);
    stat_table_print_header(out);
    if (has_interval) {
        stat_command_print_lines(command, out);
    }
    if (fclose(out) == 0) {
        stat_screen_draw(command->picture, command->picture_bytes);
    }
}

static void stat_command_print_interval(struct stat_command *command, bool is_live)
{
    if (command->options.json) {
        stat_entries_print_json(stdout, &command->samples[command->newest],
                                &command->samples[!command->newest], stat_command_core(command),
                                is_live);
    } else if (command->options.watch) {
        stat_command_draw(command, true);
    } else {
        stat_command_print_table(command);
    }
}

static int stat_command_print_totals(const struct stat_command *command, bool is_live)
{
    const struct stat_sample *now = &command->samples[command->newest];
    if (command->options.json) {
        stat_entries_print_json(stdout, now, NULL, stat_command_core(command), is_live);
    } else {
        stat_entries_print(stdout, now, stat_command_core(command));
    }
    if (!is_live) {
        fflush(stdout);
        fprintf(stderr, PROGRAM ": server %s has ended; these are its last totals\n",
                command->file.id);
    }
    return stat_command_flush(is_live ? EXIT_DONE : EXIT_ENDED);
}

/* ---- Intervals ---- */

static enum stat_command_event stat_command_wait(const struct stat_command *command,
                                                 uint64_t deadline_ns)
{
    assert_always(command->read.fd >= 0); /* its lock shows whether the server lives */
    for (;;) {
        struct pollfd fds[] = {
            {.fd = STDOUT_FILENO}, /* Errors are reported without being asked for. */
            {.fd = command->signal_fd, .events = POLLIN},
        };
        uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
        uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
        if (!counters_read_is_live(&command->read)) {
            return EVENT_ENDED;
        }
        if (left_ns == 0) {
            return EVENT_DUE;
        }
        left_ns = left_ns < LOOK_NS ? left_ns : LOOK_NS;
        if (poll(fds, 2, (int)((left_ns + NS_PER_MS - 1) / NS_PER_MS)) <= 0) {
            continue;
        }
        if (fds[0].revents != 0) {
            return EVENT_OUTPUT_GONE;
        }
        return stat_screen_on_signal(command->signal_fd) ? EVENT_REDRAW : EVENT_SIGNAL;
    }
}

static bool stat_command_take(struct stat_command *command)
{
    return stat_sample_take(&command->samples[command->newest], &command->read) == 0;
}

/* Until the next line is printed. -1: go on; else the exit code. */
static int stat_command_step(struct stat_command *command, uint64_t deadline_ns, bool is_first)
{
    enum stat_command_event event;
    while ((event = stat_command_wait(command, deadline_ns)) == EVENT_REDRAW) {
        stat_command_draw(command, !is_first);
    }
    if (event == EVENT_SIGNAL) {
        return EXIT_DONE;
    }
    if (event == EVENT_OUTPUT_GONE) {
        return EXIT_USAGE;
    }
    command->newest = !command->newest;
    if (!stat_command_take(command)) {
        return EXIT_NO_SERVER;
    }
    assert_debug(command->samples[command->newest].monotonic_ns >=
                 command->samples[!command->newest].monotonic_ns);
    stat_command_print_interval(command, event != EVENT_ENDED);
    return stat_command_flush(event == EVENT_ENDED ? EXIT_ENDED : -1);
}

static int stat_command_run(struct stat_command *command)
{
    uint64_t deadline_ns = command->samples[command->newest].monotonic_ns;
    int exit_code = -1;
    for (uint64_t i = 0; exit_code < 0; i++) {
        uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
        if (command->options.count > 0 && i == command->options.count) {
            return EXIT_DONE;
        }
        deadline_ns += command->options.interval_ns;
        if (deadline_ns < now_ns) { /* We stood still. */
            deadline_ns = now_ns + command->options.interval_ns;
        }
        exit_code = stat_command_step(command, deadline_ns, i == 0);
    }
    return exit_code;
}

/* On one screen; what was there last stays on the terminal. */
static int stat_command_watch(struct stat_command *command)
{
    assert_debug(!command->options.json && !command->options.total);
    command->signal_fd = stat_screen_open();
    if (command->signal_fd < 0) {
        fprintf(stderr, PROGRAM ": --watch: no descriptor is free; raise ulimit -n\n");
        return EXIT_USAGE;
    }
    stat_command_draw(command, false);
    int exit_code = stat_command_run(command);
    stat_screen_close(command->signal_fd);
    if (command->picture != NULL) {
        fwrite(command->picture, 1, command->picture_bytes, stdout);
        free(command->picture);
    }
    return stat_command_flush(exit_code);
}

static int stat_command_show(struct stat_command *command)
{
    uint32_t core_count = command->read.scopes[COUNTERS_CORE].count;
    bool is_live = counters_read_is_live(&command->read);
    if (command->options.core < STAT_EVERY_CORE && command->options.core >= core_count) {
        fprintf(stderr, PROGRAM ": --core %u: the server has %u core(s), numbered from 0\n",
                command->options.core, core_count);
        return EXIT_USAGE;
    }
    int exit_code = EXIT_NO_SERVER;
    if (stat_command_take(command)) {
        if (command->options.total || !is_live) {
            return stat_command_print_totals(command, is_live);
        }
        exit_code =
            command->options.watch ? stat_command_watch(command) : stat_command_run(command);
    }
    if (exit_code == EXIT_ENDED) {
        fprintf(stderr, PROGRAM ": server %s has ended\n", command->file.id);
    } else if (exit_code == EXIT_NO_SERVER) {
        fprintf(stderr, PROGRAM ": %s is damaged or incomplete\n", command->file.path);
    }
    return exit_code;
}

int stat_command_in(const char *directory, int argc, char **argv)
{
    struct stat_command command = {.signal_fd = -1};
    signal(SIGPIPE, SIG_IGN);
    if (!stat_options_parse(&command.options, argc, argv)) {
        return EXIT_USAGE;
    }
    if (command.options.help) {
        stat_options_print_help();
        return stat_command_flush(EXIT_DONE);
    }
    if (command.options.watch && stat_screen_rows() == 0) {
        fprintf(stderr,
                PROGRAM ": --watch: standard output is not a terminal; leave out --watch\n");
        return EXIT_USAGE;
    }
    if (command.options.list) {
        return stat_command_list(&command.options, directory);
    }
    if (!insight_files_open(PROGRAM, directory, command.options.id, &command.file, &command.read)) {
        return EXIT_NO_SERVER;
    }
    int exit_code = EXIT_NO_SERVER;
    if (stat_sample_init(&command.samples[0], &command.read) == 0 &&
        stat_sample_init(&command.samples[1], &command.read) == 0) {
        exit_code = stat_command_show(&command);
    } else {
        fprintf(stderr, PROGRAM ": %s: out of memory, or the file is too long\n",
                command.file.path);
    }
    stat_sample_deinit(&command.samples[0]);
    stat_sample_deinit(&command.samples[1]);
    counters_read_close(&command.read);
    return exit_code;
}

int stat_command(int argc, char **argv)
{
    return stat_command_in(COUNTERS_FILE_DIRECTORY, argc, argv);
}
