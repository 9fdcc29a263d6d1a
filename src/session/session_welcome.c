#include "src/session/session_welcome.h"

#include <inttypes.h>
#include <stdio.h>

#include "codec/base/version.h"
#include "src/market/encoders.h"
#include "src/session/session_limits.h"

void session_welcome_prepare(struct sessions *sessions)
{
    const struct session_options *options = &sessions->options;
    char *out = sessions->welcome_rest;
    int bytes = snprintf(out, sizeof sessions->welcome_rest,
                         ",\"epoch\":\"%s\",\"version\":\"" RINGCAST_VERSION
                         "\",\"encodings\":[\"" ENCODERS_JSON "\",\"" ENCODERS_SBE "\"]"
                         ",\"heartbeat_interval_ms\":%" PRIu64 ",\"idle_timeout_ms\":%" PRIu64 ",",
                         options->epoch, options->heartbeat_interval_ns / NS_PER_MS,
                         options->idle_timeout_ns / NS_PER_MS);
    assert_always(bytes > 0 && (size_t)bytes < sizeof sessions->welcome_rest);
    bytes += session_limits_write(out + bytes, sizeof sessions->welcome_rest - (size_t)bytes);
    assert_always(bytes > 0 && (size_t)bytes < sizeof sessions->welcome_rest);
}
