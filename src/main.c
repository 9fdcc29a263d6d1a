/*
 * main: sets the broadcaster up, waits for signals, and takes it down again.
 *
 * `ringcast WORD` runs one of the commands instead: help, archive, restore, doctor, stat
 * (tools/insight), ctl or health (tools/ctl).
 *
 * Set-up is a table of steps (server.h); each builds on those before it and says in one line what
 * went wrong. main_close() takes down whatever has been set up, in the opposite order.
 */
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/standard_fds.h"
#include "codec/base/units.h"
#include "codec/nearest.h"
#include "src/admin/host.h"
#include "src/admin/metrics.h"
#include "src/announce.h"
#include "src/archive/archive_command.h"
#include "src/base/arenas.h"
#include "src/base/log.h"
#include "src/command/command.h"
#include "src/config/options_help.h"
#include "src/config/options_parse.h"
#include "src/config/options_print.h"
#include "src/doctor/doctor_command.h"
#include "src/market/channel_rates.h"
#include "src/market/publisher.h"
#include "src/market/staleness_watch.h"
#include "src/reload.h"
#include "src/server.h"
#include "src/server_admin.h"
#include "src/server_dump.h"
#include "src/server_guard.h"
#include "src/server_log.h"
#include "src/server_notify.h"
#include "src/server_record.h"
#include "src/server_roll.h"
#include "src/server_tls.h"
#include "src/signals.h"
#include "src/tls/tls_memory.h"
#include "tools/ctl/ctl_command.h"
#include "tools/ctl/health_command.h"
#include "tools/insight/stat_command.h"

#define MAIN_DRAIN_INTERVAL_MS 100 /* how often the log is written */
#define MAIN_START_INTERVAL_MS 1
#define MAIN_COMMAND_INTERVAL_MS 1 /* between two steps of a command */
/* So many lines at once come from a crowd, which would fill the log's rings within an interval. */
#define MAIN_CROWD_LINES 64
#define MAIN_CROWD_INTERVAL_MS 10
#define MAIN_STOP_INTERVAL_MS 10
/* For handshakes that have begun when another server receives new connections. A SYN-ACK that is
 * lost is sent again after 1 s. */
#define MAIN_LEAVE_NS (1500 * NS_PER_MS)
#define MAIN_STOP_NS (2 * NS_PER_SECOND)
#define MAIN_STOP_STEP_NS (100 * NS_PER_MS) /* more from one look to the next is not counted */
/* timeout(1) and a Ctrl-C under a script signal twice: so soon it is the same wish. */
#define MAIN_SAME_SIGNAL_NS (200 * NS_PER_MS)
/* Beside main and the cores: publisher, recorder, three logs, a dump; admin, its socket and the
 * metrics port. */
#define MAIN_OTHER_THREADS 9

/* ---- Commands ---- */

static int main_help(int argc, char **argv);

/* None starts a server. */
static const struct {
    const char *word;
    const char *about;
    int (*run)(int argc, char **argv); /* argv[0] is the word; returns the exit code */
} main_commands[] = {
    {"stat", "show what a running server does, once a second", stat_command},
    {"ctl", "control a running server: ringcast ctl --help", ctl_command},
    {"health", "check whether a running server is well, for probes", health_command},
    {"doctor", "say what to change at this host for a low latency", doctor_command},
    {"archive", "put the configuration and its files into one archive", archive_command},
    {"restore", "put the files of an archive back", restore_command},
    {"help", "explain a topic or an option: ringcast help [TOPIC|OPTION]", main_help},
};
#define MAIN_COMMAND_COUNT (sizeof main_commands / sizeof main_commands[0])

static int main_command(int argc, char **argv)
{
    const char *words[MAIN_COMMAND_COUNT];
    assert_always(argc > 0);
    for (size_t i = 0; i < MAIN_COMMAND_COUNT; i++) {
        words[i] = main_commands[i].word;
        if (strcmp(argv[0], words[i]) == 0) {
            return main_commands[i].run(argc, argv);
        }
    }
    const char *nearest = nearest_name(argv[0], words, MAIN_COMMAND_COUNT);
    log_say(STDERR_FILENO,
            "ringcast: \"%.100s\" is neither an option nor a command%s%s%s\nCommands:", argv[0],
            nearest == NULL ? "" : "; did you mean ", nearest == NULL ? "" : nearest,
            nearest == NULL ? "" : "?");
    for (size_t i = 0; i < MAIN_COMMAND_COUNT; i++) {
        log_say(STDERR_FILENO, " %s", main_commands[i].word);
    }
    log_say(STDERR_FILENO, "\n");
    return SERVER_EXIT_USAGE;
}

/* ---- Help ---- */

static void main_print_help(FILE *out)
{
    fprintf(out, "Usage: ringcast [--OPTION VALUE]...\n"
                 "       ringcast COMMAND [ARGUMENT]...\n\n"
                 "Broadcasts market data over WebSockets. Without options, it serves a simulated\n"
                 "market on port 8765, and health, statistics and metrics on 127.0.0.1:8080.\n\n"
                 "Commands:\n");
    for (size_t i = 0; i < MAIN_COMMAND_COUNT; i++) {
        fprintf(out, "  %-12s %s\n", main_commands[i].word, main_commands[i].about);
    }
    fputc('\n', out);
    options_help_print(out);
    fprintf(out, "\nReference: docs/options.md, ringcast(1).\n");
}

/* argv[0]: help or --help. */
static int main_help(int argc, char **argv)
{
    char text[OPTIONS_ERROR_BYTES_MAX];
    if (argc > 2) {
        log_say(STDERR_FILENO, "ringcast: help takes one topic or option\n");
        return SERVER_EXIT_USAGE;
    }
    for (size_t i = 0; i + 1 < MAIN_COMMAND_COUNT; i++) { /* The last is help itself. */
        if (argc == 2 && strcmp(argv[1], main_commands[i].word) == 0) {
            char *words[] = {argv[1], (char *)(uintptr_t) "--help", NULL};
            return main_commands[i].run(2, words);
        }
    }
    if (argc == 1) {
        main_print_help(stdout);
    } else if (options_help_print_topic(stdout, argv[1], text) < 0) {
        log_say(STDERR_FILENO, "ringcast: %s\n", text);
        return SERVER_EXIT_USAGE;
    }
    return standard_fds_flush("ringcast") ? 0 : SERVER_EXIT_FAILED;
}

/* ---- Set-up ---- */

/* The keys of all tables that others choose the names of, before any of them is made. jansson's own
 * would otherwise be chosen by the first thread that makes an object. */
static int main_choose_keys(struct server *server)
{
    size_t seed;
    if (getrandom(&server->key, sizeof server->key, 0) != (ssize_t)sizeof server->key ||
        getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed) {
        return server_fail(-errno, "cannot get random numbers for hash tables",
                           "allow getrandom(2), which a seccomp profile may forbid");
    }
    json_object_seed(seed);
    return 0;
}

static int main_warn(struct server *server)
{
    for (uint32_t i = 0; i < server->options.warning_count; i++) {
        log_write(LOG_LEVEL_WARNING, "%s", server->options.warnings[i]);
    }
    return 0;
}

/* clang-format off */
static server_step *const main_prepare_steps[] = {
    server_open_logs,
    main_warn,
    signals_ignore,
    server_raise_limits,
    server_choose_epoch,
    main_choose_keys,
    server_create_channels,
    server_create_staleness,
    server_create_encodings,
    signals_catch_early,
    server_open_counters,
    server_create_access,
    server_record_create,
    server_create_publisher,
    server_admin_load_tokens,
    server_tls_load,
    server_check_listeners,
    NULL,
};
static server_step *const main_open_steps[] = {
    server_measure_sends,
    server_open_sockets,
    server_create_guard,
    server_tls_start,
    server_create_cores,
    server_record_start,
    server_create_commands,
    server_create_dump,
    reload_create,
    server_admin_start,
    signals_open,
    server_write_pid_file,
    server_start_threads,
    NULL,
};
/* clang-format on */

/* What main shows of its progress, whatever it does. */
static void main_count_turn(const struct server *server)
{
    if (server->counters != NULL) {
        counter_add(&server->counters->process.main_turns, 1);
    }
}

static int main_run_steps(struct server *server, server_step *const *steps)
{
    int error = 0;
    for (size_t i = 0; error == 0 && steps[i] != NULL; i++) {
        error = steps[i](server);
        assert_always(error <= 0);
        main_count_turn(server);
    }
    return error;
}

/* ---- Running ---- */

static int main_timeout_ms(const struct server *server, int timeout_ms)
{
    int most_ms = server->has_commands ? MAIN_COMMAND_INTERVAL_MS
                  : server->has_crowd  ? MAIN_CROWD_INTERVAL_MS
                                       : timeout_ms;
    return most_ms < timeout_ms ? most_ms : timeout_ms;
}

/* Waits for a signal or a command at most timeout_ms; the log is written meanwhile. Returns whether
 * a signal came that ends the program. */
static bool main_wait(struct server *server, int timeout_ms)
{
    assert_always(server->signal_fd >= 0);
    struct pollfd fds[] = {{.fd = server->signal_fd, .events = POLLIN},
                           {.fd = commands_fd(server->commands), .events = POLLIN}};
    (void)poll(fds, 2, main_timeout_ms(server, timeout_ms));
    main_count_turn(server);
    server->has_crowd = log_drain() >= MAIN_CROWD_LINES;
    server->has_commands = commands_read(server->commands, clock_ns(CLOCK_MONOTONIC));
    reload_go_on(server);
    struct signalfd_siginfo info;
    if (read(server->signal_fd, &info, sizeof info) != (ssize_t)sizeof info) {
        return false;
    }
    bool ends = info.ssi_signo == SIGINT || info.ssi_signo == SIGTERM;
    if (ends && server->signal_ns == 0) {
        server->signal_ns = clock_ns(CLOCK_MONOTONIC);
    }
    if (ends) {
        log_write(LOG_LEVEL_INFO, "SIG%s received", sigabbrev_np((int)info.ssi_signo));
    } else {
        signals_act(server, (int)info.ssi_signo);
    }
    return ends;
}

/* How long each core and the publisher were without a CPU. */
static void main_count_run_delays(struct server *server)
{
    for (uint32_t i = 0; i < server->thread_count; i++) {
        const struct server_thread *thread = &server->threads[i];
        uint32_t tid = atomic_load_explicit(&thread->record->tid, memory_order_relaxed);
        uint64_t delay_ns = host_run_delay_ns(tid);
        if (delay_ns > counter_get(thread->run_delay_ns)) {
            counter_set(thread->run_delay_ns, delay_ns);
        }
    }
}

static void main_sample_channels(struct server *server, uint64_t now_ns)
{
    channel_rates_sample(server->rates, server->channels, server->symbols.log, now_ns,
                         clock_ns(CLOCK_REALTIME));
    staleness_watch(server->staleness, now_ns, (int64_t)time(NULL));
}

/* Each time main has waited; samples are taken once a second. */
static void main_tick(struct server *server)
{
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    watchdog_look(&server->watchdog, now_ns);
    server_notify_tick(server, now_ns);
    if (now_ns - server->tick_ns >= NS_PER_SECOND) {
        server->tick_ns = now_ns;
        main_count_run_delays(server);
        counter_set(&server->counters->process.log_lost, log_lost_count());
        main_sample_channels(server, now_ns);
        metrics_tick(server->metrics, now_ns);
        server_roll_tick(server, now_ns);
        server_guard_tick(server, now_ns);
        if (server_tls_tick(server, now_ns)) {
            reload_on_signal(server);
        }
    }
}

/* The threads open rings of their own, which may fail. true: all of them run. */
static bool main_await_threads(struct server *server)
{
    bool stop = false;
    watchdog_look(&server->watchdog, clock_ns(CLOCK_MONOTONIC));
    while (!stop && !watchdog_has_begun(&server->watchdog) &&
           atomic_load(&server->ended_count) == 0) {
        stop = main_wait(server, MAIN_START_INTERVAL_MS);
        watchdog_look(&server->watchdog, clock_ns(CLOCK_MONOTONIC));
    }
    return !stop && atomic_load(&server->ended_count) == 0;
}

/* Returns when a signal or a request to drain has come, or a thread has ended by itself. */
static void main_run(struct server *server)
{
    bool stop = false;
    metrics_set_state(server->metrics, METRICS_READY);
    control_set_state(server->control, LAYOUT_RUNS);
    log_end_start();
    announce_ready(server);
    announce_greet(server);
    server_notify_ready(server);
    server->tick_ns = clock_ns(CLOCK_MONOTONIC);
    main_sample_channels(server, server->tick_ns);
    server_guard_tick(server, server->tick_ns);
    while (!stop && !server->drain.is_made && atomic_load(&server->ended_count) == 0) {
        stop = main_wait(server, MAIN_DRAIN_INTERVAL_MS);
        main_tick(server);
    }
    if (server->drain.is_made) {
        log_write(LOG_LEVEL_INFO, "an operator asked the server to drain");
        (void)main_wait(server, MAIN_STOP_INTERVAL_MS); /* The answer leaves. */
    }
}

/* ---- The end ---- */

/* Nothing more can be waited for: the kernel gives everything back. */
_Noreturn static void main_exit_now(struct server *server, enum log_level level, const char *why)
{
    log_write(level, "%s", why);
    counters_file_remove(&server->counters_file);
    pid_file_remove(&server->pid_file);
    sockets_unlink(&server->sockets);
    log_flush();
    _exit(SERVER_EXIT_FAILED);
}

/* Waits a little; a second signal ends the program. */
static void main_wait_stopping(struct server *server)
{
    bool is_signalled = main_wait(server, MAIN_STOP_INTERVAL_MS);
    if (is_signalled && clock_ns(CLOCK_MONOTONIC) - server->signal_ns > MAIN_SAME_SIGNAL_NS) {
        main_exit_now(server, LOG_LEVEL_WARNING, "second signal received: ending at once");
    }
}

/* Gives new clients to another server at the same ports, and waits for those that are on their way
 * here. Returns whether there is one. */
static bool main_leave(struct server *server)
{
    if (!sockets_leave(&server->sockets)) {
        return false;
    }
    log_write(LOG_LEVEL_INFO, "another server listens at the same ports: it receives new clients");
    uint64_t end_ns = clock_ns(CLOCK_MONOTONIC) + MAIN_LEAVE_NS;
    while (clock_ns(CLOCK_MONOTONIC) < end_ns && atomic_load(&server->ended_count) == 0) {
        main_wait_stopping(server);
        main_tick(server);
    }
    return true;
}

/* Clients go one after the other while frames go on. Returns when there are none, or the time is
 * over. */
static void main_drain(struct server *server)
{
    uint64_t began_ns = clock_ns(CLOCK_MONOTONIC);
    uint64_t timeout_ns =
        server->drain.is_made ? server->drain.timeout_ns : server->options.drain_timeout_ns;
    metrics_set_state(server->metrics, METRICS_DRAINING);
    control_set_state(server->control, LAYOUT_ENDS);
    server_notify_stopping(server, MAIN_LEAVE_NS + timeout_ns, atomic_load(&server->conn_count));
    bool has_left = main_leave(server);
    bool refuses = !has_left && !sockets_are_passed(&server->sockets);
    uint64_t end_ns = began_ns + (has_left ? MAIN_LEAVE_NS : 0) + timeout_ns;
    uint32_t conn_count = atomic_load(&server->conn_count);
    if (timeout_ns == 0 || conn_count == 0) {
        return;
    }
    log_write(LOG_LEVEL_INFO, "draining: %u clients are notified, and closed within %.1f s",
              conn_count, (double)timeout_ns / (double)NS_PER_SECOND);
    for (uint32_t i = 0; i < server->core_count; i++) {
        core_drain(server->cores[i], end_ns, refuses);
    }
    while (atomic_load(&server->conn_count) > 0 && clock_ns(CLOCK_MONOTONIC) < end_ns &&
           atomic_load(&server->ended_count) == 0) {
        main_wait_stopping(server);
        main_tick(server);
    }
}

/* Tells every thread to end, and joins them within MAIN_STOP_NS. While this thread stands still,
 * the others may, too: that is not their time. */
static void main_stop_threads(struct server *server)
{
    uint64_t waited_ns = 0;
    uint64_t looked_ns = clock_ns(CLOCK_MONOTONIC);
    for (uint32_t i = 0; i < server->core_count; i++) {
        core_stop(server->cores[i]);
    }
    if (server->publisher != NULL) {
        publisher_stop(server->publisher);
    }
    while (atomic_load(&server->ended_count) < server->thread_count) {
        main_wait_stopping(server);
        uint64_t step_ns = clock_ns(CLOCK_MONOTONIC) - looked_ns;
        looked_ns += step_ns;
        waited_ns += step_ns < MAIN_STOP_STEP_NS ? step_ns : MAIN_STOP_STEP_NS;
        if (waited_ns > MAIN_STOP_NS) {
            main_exit_now(server, LOG_LEVEL_CRITICAL,
                          "threads did not end within 2 s: ending without waiting for them");
        }
    }
    assert_always(atomic_load(&server->ended_count) == server->thread_count);
    for (uint32_t i = 0; i < server->thread_count; i++) {
        pthread_join(server->threads[i].thread, NULL);
    }
    server->thread_count = 0;
}

/* Takes down whatever has been set up. */
static void main_close(struct server *server)
{
    if (server->metrics != NULL) {
        metrics_set_state(server->metrics, METRICS_DRAINING);
    }
    main_stop_threads(server);
    if (server->commands != NULL) {
        commands_close(server->commands);
    }
    if (server->control != NULL) {
        control_set_state(server->control, LAYOUT_ENDED);
    }
    server_destroy(server);
    pid_file_close(&server->pid_file);
    if (server->signal_fd >= 0) {
        close(server->signal_fd);
    }
}

static int main_serve(struct server *server)
{
    server->signal_fd = -1;
    sockets_init(&server->sockets);
    server->counters_file.fd = -1;
    server->pid_file.fd = -1;
    server->exit_status = SERVER_EXIT_FAILED;
    int error = main_run_steps(server, main_prepare_steps);
    if (error == 0 && server->options.check_config) {
        printf("configuration is good\n");
        main_close(server);
        return standard_fds_flush("ringcast") ? 0 : SERVER_EXIT_FAILED;
    }
    if (error == 0) {
        error = main_run_steps(server, main_open_steps);
    }
    if (error < 0) {
        main_close(server);
        return server->exit_status;
    }
    if (main_await_threads(server)) {
        main_run(server);
    }
    main_drain(server);
    log_write(LOG_LEVEL_INFO, "stopping: closing the remaining clients takes at most 2 s");
    main_close(server);
    log_drain();
    log_write(LOG_LEVEL_INFO, "stopped");
    return atomic_load(&server->failed) ? SERVER_EXIT_FAILED : 0;
}

/* The parent may have blocked these signals; they must end the start all the same. */
static void main_unblock_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
}

int main(int argc, char **argv)
{
    static struct server server;
    char text[OPTIONS_ERROR_BYTES_MAX];
    cpu_set_t cpus;
    standard_fds_open("ringcast");
    signal(SIGXFSZ, SIG_IGN); /* A file that has reached its limit (ulimit -f) is an error. */
    if (argc > 1 && argv[1][0] != '-') {
        return main_command(argc - 1, argv + 1);
    }
    tls_memory_wipe();
    main_unblock_signals();
    if (getpid() == 1) { /* of a container: without a handler the kernel drops the signals */
        signals_catch_early(NULL);
    }
    struct options_input input = options_input_here(argc, argv, &cpus);
    server.input = &input;
    if (options_parse(&server.options, &input, text) < 0) {
        log_say(STDERR_FILENO, "ringcast: %s\n", text);
        return SERVER_EXIT_USAGE;
    }
    if (server.options.action == OPTIONS_ACTION_HELP) {
        bool has_topic = argc == 3 && argv[2][0] != '-'; /* ringcast --help TOPIC */
        return main_help(has_topic ? 2 : 1, argv + 1);
    }
    if (server.options.action == OPTIONS_ACTION_VERSION) {
        options_print_version(stdout);
        return standard_fds_flush("ringcast") ? 0 : SERVER_EXIT_FAILED;
    }
    if (server.options.print_config || server.options.print_env) {
        options_print(stdout, &server.options);
        return standard_fds_flush("ringcast") ? 0 : SERVER_EXIT_FAILED;
    }
    if (activation_take(&server.activation, text, sizeof text) < 0) {
        log_say(STDERR_FILENO, "ringcast: %s\n", text);
        return SERVER_EXIT_USAGE;
    }
    server.notices.open_error = notify_open(&server.notices.notify);
    int error =
        arenas_create(server.options.core_count + MAIN_OTHER_THREADS +
                      (options_has_tls(&server.options) ? server.options.tls.thread_count : 0));
    if (error == 0) {
        error = log_open((enum log_level)server.options.log_level, server.options.log_format == 1,
                         1 + server.options.core_count);
    }
    if (error < 0) {
        log_say(STDERR_FILENO, "ringcast: log: %s\n", strerror(-error));
        return SERVER_EXIT_FAILED;
    }
    int status = main_serve(&server);
    log_close();
    notify_close(&server.notices.notify);
    options_deinit(&server.options);
    return status;
}
