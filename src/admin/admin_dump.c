#include "src/admin/admin_dump.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "src/admin/dump.h"
#include "src/base/log.h"

/* Other requests wait so long at most. */
#define ADMIN_DUMP_WAIT_NS (2 * NS_PER_SECOND)

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
    log_audit("GRANTED", "dump by POST /admin/dump");
    int error = dump_begin(page->sources->dump, page->sources->metrics);
    if (error < 0) {
        bool is_early = error == -EBUSY || error == -EAGAIN;
        admin_page_error(page,
                         is_early ? MHD_HTTP_TOO_MANY_REQUESTS : MHD_HTTP_INTERNAL_SERVER_ERROR,
                         "no dump: %s", dump_error_text(error));
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
