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
#include "src/admin/admin_alerts.h"
#include "src/admin/admin_clients.h"
#include "src/admin/admin_config.h"
#include "src/admin/admin_control.h"
#include "src/admin/admin_dump.h"
#include "src/admin/admin_history.h"
#include "src/admin/admin_kick.h"
#include "src/admin/admin_memory.h"
#include "src/admin/admin_pages.h"
#include "src/admin/admin_reload.h"
#include "src/admin/admin_stale.h"
#include "src/admin/admin_symbols.h"
#include "src/admin/admin_topk.h"
#include "src/admin/metrics.h"
#include "src/admin/prometheus.h"
#include "src/admin/stats.h"
#include "src/guard/guard.h"

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
    const char *refusal = guard_refusal(source->guard);
    bool ready = state == METRICS_READY && stalled == NULL && !is_stale && refusal == NULL;
    const char *status = metrics_state_name(state);
    if (state == METRICS_READY && !ready) {
        status = stalled != NULL ? "stalled" : is_stale ? "stale" : "refusing";
    }
    admin_page_json(page, ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
                    json_pack("{s:b, s:s, s:o*, s:o*, s:s*}", "ready", ready, "status", status,
                              "stalled", stalled, "staleness",
                              is_stale ? admin_stale_json(source) : NULL, "refusal", refusal));
}

static void admin_page_stats(struct admin_page *page)
{
    admin_page_json(page, MHD_HTTP_OK, stats_json(page->sources->metrics));
}

static void admin_page_stats_and_threads(struct admin_page *page)
{
    json_t *stats = stats_json(page->sources->metrics);
    json_object_set_new(stats, "threads", stats_threads(page->sources->metrics));
    admin_page_json(page, MHD_HTTP_OK, stats);
}

static void admin_page_feeds(struct admin_page *page)
{
    const struct metrics_options *source = metrics_options(page->sources->metrics);
    admin_page_json(page, MHD_HTTP_OK, json_pack("{s:o}", "feeds", stats_feeds(source)));
}

static void admin_page_prometheus(struct admin_page *page, bool with_aliases)
{
    if (metrics_options(page->sources->metrics)->is_prometheus_off) {
        admin_page_error(page, MHD_HTTP_NOT_FOUND,
                         "monitoring.prometheus_enabled is no: this server has no metrics page");
        return;
    }
    page->status = MHD_HTTP_OK;
    page->content_type = "text/plain; version=0.0.4; charset=utf-8";
    page->body = prometheus_write(page->sources->metrics, with_aliases, &page->body_bytes);
}

static void admin_page_metrics(struct admin_page *page)
{
    admin_page_prometheus(page, false);
}

/* /metrics?aliases=no leaves out the names that are kept for old alert rules. */
static void admin_page_metrics_and_aliases(struct admin_page *page)
{
    const char *aliases = admin_page_argument(page, "aliases");
    admin_page_prometheus(page, aliases == NULL || strcmp(aliases, "no") != 0);
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

static void admin_page_html(struct admin_page *page, struct admin_pages_file file)
{
    page->status = MHD_HTTP_OK;
    page->content_type = "text/html; charset=utf-8";
    page->policy = admin_pages_policy(&file);
    page->body_bytes = file.bytes;
    page->body = page->policy == NULL ? NULL : malloc(file.bytes);
    if (page->body != NULL) {
        memcpy(page->body, file.text, file.bytes);
    }
}

static void admin_page_play(struct admin_page *page)
{
    admin_page_html(page, admin_pages_play());
}

static void admin_page_ui(struct admin_page *page)
{
    admin_page_html(page, admin_pages_ui());
}

static void admin_page_index(struct admin_page *page);

/* In the order of docs/admin.md. */
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
    {{"/stats/history", "the same numbers minute by minute, of a day; ?minutes=60"},
     "GET",
     ADMIN_OPEN,
     admin_history_page},
    {{"/stats/summary", "average, extremes and trend of these numbers; ?hours=1"},
     "GET",
     ADMIN_OPEN,
     admin_history_page_summary},
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
    {{"/config", "the effective configuration, as JSON"}, "GET", ADMIN_READ, admin_config_answer},
    {{"/admin", "the paths for operators"}, "GET", ADMIN_READ, admin_page_index},
    {{"/admin/ui", "a page with the state of this server"}, "GET", ADMIN_OPEN, admin_page_ui},
    {{"/admin/stats", "numbers of this server, and of each of its threads, as JSON"},
     "GET",
     ADMIN_READ,
     admin_page_stats_and_threads},
    {{"/admin/feeds", "the feeds and their states, as JSON"}, "GET", ADMIN_READ, admin_page_feeds},
    {{"/admin/clients", "the clients: lag, losses, quality; sorted, filtered, in pages"},
     "GET",
     ADMIN_READ,
     admin_clients},
    {{"/admin/topk", "the symbols with the most frames, and the clients that are behind"},
     "GET",
     ADMIN_READ,
     admin_topk},
    {{"/admin/kick", "close clients, by session, name or address"},
     "POST",
     ADMIN_WRITE,
     admin_kick},
    {{"/admin/alerts", "alerts and their history, and what protects the server now"},
     "GET",
     ADMIN_READ,
     admin_alerts_page},
    {{"/admin/config", "the same as /config"}, "GET", ADMIN_READ, admin_config_answer},
    {{"/admin/reload-config", "read the configuration again, as SIGHUP does"},
     "POST",
     ADMIN_WRITE,
     admin_reload_answer},
    {{"/admin/loglevel", "the lowest level that is logged"},
     "GET",
     ADMIN_READ,
     admin_control_show_level},
    {{"/admin/loglevel", "change it: {\"level\":\"DEBUG\"}"},
     "POST",
     ADMIN_WRITE,
     admin_control_set_level},
    {{"/admin/gc", "give memory that is not needed back to the kernel"},
     "POST",
     ADMIN_WRITE,
     admin_memory_purge},
    {{"/admin/gc-stats", "what the memory is used for, as JSON"},
     "GET",
     ADMIN_READ,
     admin_memory_show},
    {{"/admin/dump", "write a directory that describes the process, as SIGUSR2 does"},
     "POST",
     ADMIN_WRITE,
     admin_page_dump},
    {{"/admin/drain", "close the clients one by one and end, as SIGTERM does"},
     "POST",
     ADMIN_WRITE,
     admin_control_drain},
};
#define ADMIN_ROW_COUNT (sizeof admin_rows / sizeof admin_rows[0])

/* What the metrics port serves, and nothing else: it may face the network. */
static const struct admin_route admin_metrics_rows[] = {
    {{"/metrics", "numbers for Prometheus"}, "GET", ADMIN_OPEN, admin_page_metrics_and_aliases},
    {{"/livez", "200 while the process runs, 503 while a thread is stalled"},
     "GET",
     ADMIN_OPEN,
     admin_page_health},
    {{"/readyz", "200 while the server accepts clients, otherwise 503"},
     "GET",
     ADMIN_OPEN,
     admin_page_ready},
    {{"/health", "the same as /livez"}, "GET", ADMIN_OPEN, admin_page_health},
};

struct admin_site admin_routes(void)
{
    return (struct admin_site){admin_rows, ADMIN_ROW_COUNT, true};
}

struct admin_site admin_routes_metrics(void)
{
    return (struct admin_site){admin_metrics_rows,
                               sizeof admin_metrics_rows / sizeof admin_metrics_rows[0], false};
}

/* A path below /admin that is open to everybody is in both lists. */
static bool admin_routes_lists(const struct admin_route *route, bool is_admin)
{
    bool is_below = strncmp(route->shown.path, "/admin/", strlen("/admin/")) == 0;
    return is_below == is_admin || (!is_admin && route->role == ADMIN_OPEN);
}

json_t *admin_routes_paths(const struct admin_site *site, bool is_admin)
{
    json_t *paths = json_array();
    const char *last = "";
    for (size_t i = 0; i < site->count; i++) {
        const char *path = site->routes[i].shown.path;
        if (admin_routes_lists(&site->routes[i], is_admin) && strcmp(path, last) != 0) {
            json_array_append_new(paths, json_string(path));
            last = path;
        }
    }
    return paths;
}

/* The paths for everybody, or those for operators. For browsers a page, for others text. */
static void admin_page_index(struct admin_page *page)
{
    struct admin_pages_line lines[ADMIN_ROW_COUNT];
    size_t count = 0;
    bool is_admin = strcmp(page->target, "/admin") == 0;
    for (size_t i = 0; i < ADMIN_ROW_COUNT; i++) {
        if (admin_routes_lists(&admin_rows[i], is_admin)) {
            lines[count++] = (struct admin_pages_line){admin_rows[i].shown, admin_rows[i].method};
        }
    }
    const char *accept =
        MHD_lookup_connection_value(page->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
    page->status = MHD_HTTP_OK;
    if (accept != NULL && strstr(accept, "text/html") != NULL) {
        struct admin_pages_file file = admin_pages_index();
        page->content_type = "text/html; charset=utf-8";
        page->policy = admin_pages_policy(&file);
        page->body =
            page->policy == NULL ? NULL : admin_pages_write_index(lines, count, &page->body_bytes);
    } else {
        page->content_type = "text/plain; charset=utf-8";
        page->body = admin_pages_write_text(lines, count, &page->body_bytes);
    }
}
