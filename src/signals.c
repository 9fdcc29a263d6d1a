#include "src/signals.h"

#include <signal.h>
#include <string.h>

#include "src/admin/dump.h"
#include "src/base/log.h"
#include "src/server.h"

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
        log_write(LOG_LEVEL_WARNING, "SIG%s received: it is ignored; SIGTERM ends the server",
                  sigabbrev_np(number));
    }
}
