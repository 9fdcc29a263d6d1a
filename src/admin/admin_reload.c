#include "src/admin/admin_reload.h"

#include <errno.h>

#include "codec/base/check.h"

void admin_reload_answer(struct admin_page *page)
{
    const struct admin_sources *sources = page->sources;
    json_t *answer = NULL;
    assert_always(sources->reload != NULL);
    int error = sources->reload(sources->reload_context, &answer);
    if (error < 0 && error != -EINVAL) {
        admin_page_refuse(page, error);
    } else {
        admin_page_json(page, error == 0 ? MHD_HTTP_OK : MHD_HTTP_UNPROCESSABLE_CONTENT, answer);
    }
}
