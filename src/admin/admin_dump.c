#include "src/admin/admin_dump.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "src/admin/dump.h"

/* Other requests wait so long at most. */
#define ADMIN_DUMP_WAIT_NS (2 * NS_PER_SECOND)

struct admin_dump_call {
    const struct admin_sources *sources;
    int error;
};

static bool admin_dump_step(void *context, struct commands *commands, uint64_t now_ns)
{
    struct admin_dump_call *call = context;
    (void)commands, (void)now_ns;
    call->error = dump_begin(call->sources->dump, call->sources->metrics);
    return true;
}

static json_t *admin_dump_files(const struct dump_result *result)
{
    json_t *files = json_array();
    for (uint32_t i = 0; i < result->file_count; i++) {
        json_array_append_new(files, json_string(result->files[i]));
    }
    return files;
}

void admin_page_dump(struct admin_page *page)
{
    struct dump_result result;
    struct admin_dump_call call = {.sources = page->sources};
    if (!admin_page_command(page, admin_dump_step, &call)) {
        return;
    }
    if (call.error < 0) {
        bool is_early = call.error == -EBUSY || call.error == -EAGAIN;
        admin_page_error(page,
                         is_early ? MHD_HTTP_TOO_MANY_REQUESTS : MHD_HTTP_INTERNAL_SERVER_ERROR,
                         "no dump: %s", dump_error_text(call.error));
        return;
    }
    dump_wait(page->sources->dump, clock_ns(CLOCK_MONOTONIC) + ADMIN_DUMP_WAIT_NS, &result);
    if (result.error != 0) {
        admin_page_error(page, MHD_HTTP_INSUFFICIENT_STORAGE, "cannot write %s%s%s: %s",
                         result.path, result.failed[0] == '\0' ? "" : "/", result.failed,
                         strerror(-result.error));
        return;
    }
    admin_page_json(
        page, result.is_done ? MHD_HTTP_OK : MHD_HTTP_ACCEPTED,
        json_pack("{s:s, s:o}", "directory", result.path, "files", admin_dump_files(&result)));
}
