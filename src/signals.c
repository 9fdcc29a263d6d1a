#include "src/signals.h"

#include <signal.h>

#include "codec/base/check.h"
#include "src/admin/dump.h"
#include "src/base/log.h"
#include "src/reload.h"
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
        assert_always(number == SIGHUP);
        log_write(LOG_LEVEL_INFO, "SIGHUP received: the configuration is read again");
        reload_on_signal(server);
    }
}
