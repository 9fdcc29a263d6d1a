#include "src/signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "src/admin/dump.h"
#include "src/base/log.h"
#include "src/reload.h"
#include "src/server.h"

/* What signals_on_early takes back; NULL: nothing yet. */
static const struct server *signals_starting;

/* During the start, whatever it waits for: ends the program as the signal does by default. */
static void signals_on_early(int number)
{
    if (signals_starting != NULL) {
        counters_file_remove(&signals_starting->counters_file);
        sockets_unlink(&signals_starting->sockets);
    }
    signal(number, SIG_DFL);
    raise(number);
    _exit(128 + number); /* The kernel spares process 1. */
}

int signals_catch_early(struct server *server)
{
    struct sigaction action = {.sa_handler = signals_on_early, .sa_flags = SA_NODEFER};
    signals_starting = server;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return 0;
}

int signals_ignore(struct server *server)
{
    (void)server;
    signal(SIGPIPE, SIG_IGN);
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* They wait until main reads them. */
    return 0;
}

/* From here on main reads SIGINT and SIGTERM. Before the threads, which inherit the mask; after all
 * that may wait: a file, a name. */
int signals_open(struct server *server)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    server->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    return server->signal_fd < 0 ? server_fail(-errno, "cannot receive signals",
                                               "raise the limit of open files (ulimit -n)")
                                 : 0;
}

static void signals_dump(struct server *server)
{
    log_audit("GRANTED", "dump by SIGUSR2");
    int error = dump_begin(server->dump, server->metrics);
    if (error < 0) {
        log_write(LOG_LEVEL_WARNING, "no dump: %s", dump_error_text(error));
    }
}

void signals_act(struct server *server, int number)
{
    if (number == SIGUSR1) {
        log_reopen();
    } else if (number == SIGUSR2) {
        signals_dump(server);
    } else {
        assert_always(number == SIGHUP);
        log_write(LOG_LEVEL_INFO, "SIGHUP received: the configuration is read again");
        reload_on_signal(server);
    }
}
