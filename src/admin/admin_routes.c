#include "src/admin/admin_routes.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "codec/base/version.h"
#include "codec/sbe_schema.h"
#include "ring/board/counters_threads.h"
#include "src/admin/admin_pages.h"
#include "src/admin/admin_reload.h"
#include "src/admin/admin_stale.h"
#include "src/admin/admin_symbols.h"
#include "src/admin/metrics.h"
#include "src/admin/prometheus.h"
#include "src/admin/stats.h"

#define ADMIN_MAIN_WAITS 30
#define ADMIN_MAIN_WAIT_US 10000

/* [{"thread":"core-1","seconds":5.2}]; NULL: nobody is stalled. */
static json_t *admin_stalled(const struct watchdog *watchdog)
{
    /* After the whole process was stopped, main needs a moment to look again. */
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    for (int i = 0; i < ADMIN_MAIN_WAITS && watchdog_main_stalled_ns(watchdog, now_ns) > 0; i++) {
        usleep(ADMIN_MAIN_WAIT_US);
        now_ns = clock_ns(CLOCK_MONOTONIC);
    }
    json_t *stalled = json_array();
    const struct counters *counters = watchdog->options.counters;
    for (uint32_t i = 0; i < counters_threads_count(counters); i++) {
        const char *name = counters_threads_get(counters, i)->name;
        uint64_t stalled_ns = watchdog_stalled_ns(watchdog, i, now_ns);
        if (stalled_ns > 0) {
            json_array_append_new(stalled,
                                  json_pack("{s:s, s:o}", "thread", name, "seconds",
                                            json_real((double)stalled_ns / (double)NS_PER_SECOND)));
        }
    }
    if (json_array_size(stalled) == 0) {
        json_decref(stalled);
        return NULL;
    }
    return stalled;
}

static void admin_page_health(struct admin_page *page)
{
    const struct metrics_options *source = metrics_options(page->sources->metrics);
    json_t *stalled = admin_stalled(source->watchdog);
    const char *status = stalled == NULL ? "ok" : "stalled";
    admin_page_json(
        page, stalled == NULL ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
        json_pack("{s:s, s:s, s:s, s:f, s:I, s:o*}", "status", status, "version", RINGCAST_VERSION,
                  "epoch", source->epoch, "uptime_seconds",
                  metrics_uptime_seconds(page->sources->metrics), "active_connections",
                  (json_int_t)metrics_sum(source->counters,
                                          offsetof(struct core_counters, conns_streaming)),
                  "stalled", stalled));
}

static void admin_page_ready(struct admin_page *page)
{
    const struct metrics_options *source = metrics_options(page->sources->metrics);
    enum metrics_state state = metrics_state(page->sources->metrics);
    json_t *stalled = admin_stalled(source->watchdog);
    bool is_stale = admin_stale_is_too_much(source);
    bool ready = state == METRICS_READY && stalled == NULL && !is_stale;
    const char *status = metrics_state_name(state);
    if (state == METRICS_READY && !ready) {
        status = stalled != NULL ? "stalled" : "stale";
    }
    admin_page_json(page, ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
                    json_pack("{s:b, s:s, s:o*, s:o*}", "ready", ready, "status", status, "stalled",
                              stalled, "staleness", is_stale ? admin_stale_json(source) : NULL));
}

static void admin_page_stats(struct admin_page *page)
{
    admin_page_json(page, MHD_HTTP_OK, stats_json(page->sources->metrics));
}

/* /metrics?aliases=no leaves out the names that are kept for old alert rules. */
static void admin_page_metrics(struct admin_page *page)
{
    const char *aliases = admin_page_argument(page, "aliases");
    bool with_aliases = aliases == NULL || strcmp(aliases, "no") != 0;
    page->status = MHD_HTTP_OK;
    page->content_type = "text/plain; version=0.0.4; charset=utf-8";
    page->body = prometheus_write(page->sources->metrics, with_aliases, &page->body_bytes);
}

static void admin_page_symbols(struct admin_page *page)
{
    char error[ADMIN_SYMBOLS_ERROR_BYTES_MAX];
    page->status = MHD_HTTP_OK;
    page->content_type = "application/json";
    page->body =
        admin_symbols_write(page->sources->symbols, page->connection, &page->body_bytes, error);
    if (page->body == NULL && error[0] != '\0') {
        admin_page_error(page, MHD_HTTP_BAD_REQUEST, "%s", error);
    }
}

static void admin_page_schema(struct admin_page *page)
{
    const char *text = sbe_schema_text(&page->body_bytes);
    page->status = MHD_HTTP_OK;
    page->content_type = SBE_SCHEMA_CONTENT_TYPE;
    page->cache_control = "max-age=3600";
    page->body = malloc(page->body_bytes);
    if (page->body != NULL) {
        memcpy(page->body, text, page->body_bytes);
    }
}

static void admin_page_play(struct admin_page *page)
{
    struct admin_pages_file file = admin_pages_play();
    page->status = MHD_HTTP_OK;
    page->content_type = "text/html; charset=utf-8";
    page->policy = admin_pages_policy(&file);
    page->body_bytes = file.bytes;
    page->body = page->policy == NULL ? NULL : malloc(file.bytes);
    if (page->body != NULL) {
        memcpy(page->body, file.text, file.bytes);
    }
}

static void admin_page_index(struct admin_page *page);

static const struct admin_route admin_rows[] = {
    {{"/", "this list"}, "GET", ADMIN_OPEN, admin_page_index},
    {{"/play", "a page to subscribe, watch ticks and copy messages"},
     "GET",
     ADMIN_OPEN,
     admin_page_play},
    {{"/symbols", "the symbols that clients can subscribe to, as JSON"},
     "GET",
     ADMIN_OPEN,
     admin_page_symbols},
    {{"/stats", "numbers of this server, as JSON"}, "GET", ADMIN_OPEN, admin_page_stats},
    {{"/metrics", "numbers for Prometheus"}, "GET", ADMIN_OPEN, admin_page_metrics},
    {{"/health", "200 while the process runs, 503 while a thread is stalled"},
     "GET",
     ADMIN_OPEN,
     admin_page_health},
    {{"/livez", "the same as /health"}, "GET", ADMIN_OPEN, admin_page_health},
    {{"/ready", "200 while the server accepts clients, otherwise 503"},
     "GET",
     ADMIN_OPEN,
     admin_page_ready},
    {{"/readyz", "the same as /ready"}, "GET", ADMIN_OPEN, admin_page_ready},
    {{SBE_SCHEMA_PATH, "the schema of the binary encoding, md.sbe.v1"},
     "GET",
     ADMIN_OPEN,
     admin_page_schema},
    {{"/admin/reload-config", "POST: reads the configuration again"},
     "POST",
     ADMIN_WRITE,
     admin_reload_answer},
};
#define ADMIN_ROW_COUNT (sizeof admin_rows / sizeof admin_rows[0])

const struct admin_route *admin_routes(size_t *count_out)
{
    *count_out = ADMIN_ROW_COUNT;
    return admin_rows;
}

/* For browsers a page, for others text. */
static void admin_page_index(struct admin_page *page)
{
    struct admin_pages_path paths[ADMIN_ROW_COUNT];
    for (size_t i = 0; i < ADMIN_ROW_COUNT; i++) {
        paths[i] = admin_rows[i].shown;
    }
    const char *accept =
        MHD_lookup_connection_value(page->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
    page->status = MHD_HTTP_OK;
    if (accept != NULL && strstr(accept, "text/html") != NULL) {
        struct admin_pages_file file = admin_pages_index();
        page->content_type = "text/html; charset=utf-8";
        page->policy = admin_pages_policy(&file);
        page->body = page->policy == NULL
                         ? NULL
                         : admin_pages_write_index(paths, ADMIN_ROW_COUNT, &page->body_bytes);
    } else {
        page->content_type = "text/plain; charset=utf-8";
        page->body = admin_pages_write_text(paths, ADMIN_ROW_COUNT, &page->body_bytes);
    }
}
