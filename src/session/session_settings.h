/*
 * session_settings: how a subscription is delivered: policy and lag limit.
 */
#ifndef RINGCAST_SRC_SESSION_SETTINGS_H
#define RINGCAST_SRC_SESSION_SETTINGS_H

#include "src/session/session_call.h"

/* What LIST reports of an entry, and MODIFIED. */
struct session_settings {
    enum lag_policy policy;
    uint16_t max_lag_ms;
};

/* Only the newest image in an interval would corrupt trades, bars and the deltas of a book. */
bool session_settings_can_conflate(const struct session_name *name);
/* The policy that the request names. */
enum lag_policy session_settings_asked(const struct request *request);
/* The same, or its type's own. */
enum lag_policy session_settings_policy(const struct session_call *call,
                                        const struct session_name *name);
/* Whether that cannot be; the entry is refused then. */
bool session_settings_refuse(struct session_call *call, const struct session_name *name);
uint8_t session_settings_exact_tag(enum lag_policy policy);

struct session_settings session_settings_of_pattern(const struct session_pattern *pattern);
struct session_settings session_settings_of_star(const struct session_call *call,
                                                 enum md_type type);
struct session_settings session_settings_of_exact(const struct session_call *call,
                                                  uint32_t channel);
void session_settings_put(struct reply *reply, struct session_settings settings);

#endif
