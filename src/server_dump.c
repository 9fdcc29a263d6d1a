#include "src/server_dump.h"

#include "codec/base/check.h"
#include "src/admin/dump.h"

int server_create_dump(struct server *server)
{
    assert_always(server->dump == NULL);
    struct dump_options options = {
        .options = &server->options,
        .counters_path = server->counters_file.path,
    };
    int error = dump_create(&server->dump, &options);
    return error < 0 ? server_fail(error, "cannot prepare dumps", "free some memory") : 0;
}
