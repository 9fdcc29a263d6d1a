#include "src/admin/admin_control.h"

#include <errno.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "src/admin/metrics.h"
#include "src/base/log.h"
#include "src/command/command.h"
#include "src/command/drain_request.h"

#define ADMIN_CONTROL_DRAIN_SECONDS_MAX 3600.0 /* as of --drain-timeout */

/* false: the body has a member of another name, and the page says so. */
static bool admin_control_has_only(struct admin_page *page, const char *wanted)
{
    const char *name;
    json_t *value;
    json_object_foreach(page->asked, name, value)
    {
        if (strcmp(name, wanted) != 0) {
            admin_page_error(page, MHD_HTTP_BAD_REQUEST,
                             "\"%.100s\" is not known here; give \"%s\" only", name, wanted);
            return false;
        }
    }
    return true;
}

/* ---- /admin/drain ---- */

struct admin_control_drain {
    const struct admin_sources *sources;
    uint64_t timeout_ns;
    bool has_timeout;
    bool is_late; /* The server drains already. */
};

/* On main, which looks at the request when the command is done. */
static bool admin_control_drain_step(void *context, struct commands *commands, uint64_t now_ns)
{
    struct admin_control_drain *drain = context;
    struct drain_request *request = drain->sources->drain;
    (void)commands, (void)now_ns;
    drain->is_late = request->is_made || metrics_state(drain->sources->metrics) == METRICS_DRAINING;
    if (!drain->has_timeout) {
        drain->timeout_ns = *drain->sources->drain_timeout_ns;
    }
    if (!drain->is_late) {
        *request = (struct drain_request){.is_made = true, .timeout_ns = drain->timeout_ns};
    }
    return true;
}

/* false: the body is not valid, and the page says so. */
static bool admin_control_drain_read(struct admin_page *page, struct admin_control_drain *drain)
{
    const json_t *seconds = json_object_get(page->asked, "seconds");
    double value = json_number_value(seconds);
    if (!admin_control_has_only(page, "seconds")) {
        return false;
    }
    if (seconds != NULL &&
        (!json_is_number(seconds) || !(value >= 0 && value <= ADMIN_CONTROL_DRAIN_SECONDS_MAX))) {
        admin_page_error(page, MHD_HTTP_BAD_REQUEST,
                         "\"seconds\" is not valid; give a number from 0 to 3600");
        return false;
    }
    drain->has_timeout = seconds != NULL;
    drain->timeout_ns = (uint64_t)(value * (double)NS_PER_SECOND);
    return true;
}

void admin_control_drain(struct admin_page *page)
{
    struct admin_control_drain drain = {.sources = page->sources};
    if (!admin_control_drain_read(page, &drain)) {
        return;
    }
    const struct counters *counters = metrics_options(page->sources->metrics)->counters;
    uint64_t connections = metrics_sum(counters, offsetof(struct core_counters, conns_streaming));
    if (!admin_page_command(page, admin_control_drain_step, &drain)) {
        return;
    }
    if (drain.is_late) {
        admin_page_error(page, MHD_HTTP_CONFLICT, "the server drains already");
    } else {
        admin_page_json(page, MHD_HTTP_OK,
                        json_pack("{s:b, s:I, s:f}", "draining", true, "connections",
                                  (json_int_t)connections, "seconds",
                                  (double)drain.timeout_ns / (double)NS_PER_SECOND));
    }
}

/* ---- /admin/loglevel ---- */

void admin_control_show_level(struct admin_page *page)
{
    admin_page_json(page, MHD_HTTP_OK, json_pack("{s:s}", "level", log_level_name(log_level())));
}

void admin_control_set_level(struct admin_page *page)
{
    const char *name = json_string_value(json_object_get(page->asked, "level"));
    if (!admin_control_has_only(page, "level")) {
        return;
    }
    for (int level = LOG_LEVEL_DEBUG; name != NULL && level <= LOG_LEVEL_CRITICAL; level++) {
        if (strcasecmp(name, log_level_name(level)) == 0) {
            log_write(LOG_LEVEL_INFO, "the log level changes from %s to %s",
                      log_level_name(log_level()), log_level_name(level));
            log_set_level(level);
            admin_control_show_level(page);
            return;
        }
    }
    admin_page_error(page, MHD_HTTP_BAD_REQUEST,
                     "\"level\" is not valid; give DEBUG, INFO, WARNING, ERROR or CRITICAL");
}
