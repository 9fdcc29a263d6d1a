#include "src/admin/admin_alerts.h"

#include "codec/base/check.h"
#include "src/admin/admin_sample.h"
#include "src/guard/guard.h"

static json_t *admin_alerts_active(const struct alerts *alerts)
{
    json_t *list = json_array();
    for (enum alert_rule rule = 0; rule < ALERT_RULES; rule++) {
        const struct alert_state *state = &alerts->states[rule];
        if (state->level != ALERT_NONE) {
            json_array_append_new(list, json_pack("{s:s, s:s, s:f, s:f, s:o}", "rule",
                                                  alert_rule_name(rule), "level",
                                                  alert_level_name(state->level), "value",
                                                  state->value, "limit", state->limit, "since",
                                                  admin_sample_timestamp(state->since_wall_s)));
        }
    }
    return list;
}

/* Oldest first. */
static json_t *admin_alerts_history(const struct alerts *alerts)
{
    json_t *list = json_array();
    uint64_t first = alerts->event_count < ALERTS_HISTORY_COUNT_MAX
                         ? 0
                         : alerts->event_count - ALERTS_HISTORY_COUNT_MAX;
    for (uint64_t i = first; i < alerts->event_count; i++) {
        const struct alert_event *event = &alerts->events[i % ALERTS_HISTORY_COUNT_MAX];
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s, s:f, s:f, s:o}", "rule", alert_rule_name(event->rule),
                            "level", alert_level_name(event->level), "state",
                            event->is_cleared ? "cleared" : "raised", "value", event->value,
                            "limit", event->limit, "at", admin_sample_timestamp(event->wall_s)));
    }
    return list;
}

static json_t *admin_alerts_protection(const struct protection *protection)
{
    json_t *list = json_array();
    for (enum protection_rule rule = 0; rule < PROTECTION_RULES; rule++) {
        const struct protection_state *state = &protection->states[rule];
        json_array_append_new(
            list, json_pack("{s:s, s:b, s:f, s:o, s:I}", "rule", protection_rule_name(rule),
                            "active", state->is_active, "value", state->value, "limit",
                            state->limit == 0 ? json_null() : json_real(state->limit), "actions",
                            (json_int_t)state->action_count));
    }
    return list;
}

void admin_alerts_page(struct admin_page *page)
{
    struct alerts alerts;
    struct protection protection;
    assert_always(page->sources->guard != NULL);
    guard_read_alerts(page->sources->guard, &alerts);
    guard_read_protection(page->sources->guard, &protection);
    admin_page_json(page, MHD_HTTP_OK,
                    json_pack("{s:o, s:o, s:o}", "active", admin_alerts_active(&alerts), "history",
                              admin_alerts_history(&alerts), "protection",
                              admin_alerts_protection(&protection)));
}
