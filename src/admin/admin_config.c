#include "src/admin/admin_config.h"

#include "codec/base/check.h"
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
    if (admin_page_command(page, admin_config_read, &reading)) {
        admin_page_json(page, MHD_HTTP_OK, reading.json);
    }
}
