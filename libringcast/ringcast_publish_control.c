#include "libringcast/ringcast_publish_control.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/json_escape.h"

#define RINGCAST_PUBLISH_CONTROL_HEAD_BYTES 4 /* the length */

static_assert(RINGCAST_PUBLISH_CONTROL_BYTES_MAX >
                  256 + 2 * (RINGCAST_PUBLISH_NAME_BYTES_MAX + RINGCAST_PUBLISH_TOKEN_BYTES_MAX),
              "printable ASCII doubles at most");
static_assert(RINGCAST_PUBLISH_DEFINITION_BYTES_MAX >
                  64 + JSON_ESCAPE_BYTES_MAX * MD_SYMBOL_BYTES_MAX,
              "the longest symbol, all escaped");

static char *ringcast_publish_control_put(char *at, const char *text)
{
    size_t bytes = strlen(text);
    memcpy(at, text, bytes);
    return at + bytes;
}

static char *ringcast_publish_control_begin(uint8_t *out)
{
    return (char *)out + RINGCAST_PUBLISH_CONTROL_HEAD_BYTES;
}

static size_t ringcast_publish_control_end(uint8_t *out, const char *end)
{
    size_t bytes = (size_t)(end - (char *)out);
    uint32_t length = (uint32_t)(bytes - RINGCAST_PUBLISH_CONTROL_HEAD_BYTES);
    memcpy(out, &length, sizeof length);
    return bytes;
}

/* "symbol":"MINE","type":"trade"} */
static char *ringcast_publish_control_channel(char *at,
                                              const struct ringcast_publish_channel *channel)
{
    at = ringcast_publish_control_put(at, "\"symbol\":\"");
    at = json_escape(at, channel->symbol, channel->symbol_bytes);
    at = ringcast_publish_control_put(at, "\",\"type\":\"");
    at = ringcast_publish_control_put(at, md_type_name(channel->type));
    return ringcast_publish_control_put(at, "\"}");
}

size_t ringcast_publish_control_hello(uint8_t *out, const char *name, const char *token,
                                      uint64_t epoch)
{
    char *at = ringcast_publish_control_begin(out);
    assert_always(strlen(name) <= RINGCAST_PUBLISH_NAME_BYTES_MAX);

    at = ringcast_publish_control_put(at, "{\"type\":\"HELLO\",\"data\":{\"name\":\"");
    at = json_escape(at, name, strlen(name));
    if (token != NULL) {
        assert_always(strlen(token) <= RINGCAST_PUBLISH_TOKEN_BYTES_MAX);
        at = ringcast_publish_control_put(at, "\",\"token\":\"");
        at = json_escape(at, token, strlen(token));
    }
    at += sprintf(at, "\",\"epoch\":%" PRIu64 "}}", epoch);
    return ringcast_publish_control_end(out, at);
}

size_t ringcast_publish_control_heartbeat(uint8_t *out)
{
    char *at = ringcast_publish_control_begin(out);
    at = ringcast_publish_control_put(at, "{\"type\":\"HEARTBEAT\"}");
    return ringcast_publish_control_end(out, at);
}

size_t ringcast_publish_control_gap(uint8_t *out, const struct ringcast_publish_channel *channel)
{
    char *at = ringcast_publish_control_begin(out);
    at = ringcast_publish_control_put(at, "{\"type\":\"GAP\",\"data\":{");
    at = ringcast_publish_control_channel(at, channel);
    at = ringcast_publish_control_put(at, "}");
    return ringcast_publish_control_end(out, at);
}

size_t ringcast_publish_control_definition(uint8_t *out,
                                           const struct ringcast_publish_channel *channels,
                                           uint32_t *first, uint32_t channel_count)
{
    char *at = ringcast_publish_control_begin(out);
    const char *limit = (char *)out + RINGCAST_PUBLISH_CONTROL_BYTES_MAX -
                        RINGCAST_PUBLISH_DEFINITION_BYTES_MAX - 8;
    const char *separator = "{\"type\":\"DEFINITION\",\"data\":{\"channels\":[";
    assert_always(*first < channel_count);

    while (*first < channel_count && at < limit) {
        at = ringcast_publish_control_put(at, separator);
        at += sprintf(at, "{\"ch\":%" PRIu32 ",", *first);
        at = ringcast_publish_control_channel(at, &channels[*first]);
        separator = ",";
        ++*first;
    }
    at = ringcast_publish_control_put(at, "]}}");
    return ringcast_publish_control_end(out, at);
}
