#include "src/admin/admin_config.h"

#include <errno.h>

#include "codec/base/check.h"
#include "src/command/command.h"
#include "src/config/options_json.h"

struct admin_config_reading {
    const struct options *options;
    json_t *json;
};

static bool admin_config_read(void *context, struct commands *commands, uint64_t now_ns)
{
    struct admin_config_reading *reading = context;
    (void)commands;
    (void)now_ns;
    reading->json = options_json(reading->options);
    return true;
}

void admin_config_answer(struct admin_page *page)
{
    assert_always(page->sources->options != NULL);
    struct admin_config_reading reading = {.options = page->sources->options};
    struct command command = {.step = admin_config_read, .context = &reading};
    int error = commands_call(page->sources->commands, &command);
    if (error < 0) {
        admin_page_error(page, MHD_HTTP_SERVICE_UNAVAILABLE, "%s",
                         error == -ETIMEDOUT ? "the server is busy" : "the server ends");
    } else {
        admin_page_json(page, MHD_HTTP_OK, reading.json);
    }
}
