#include "tools/common/control_reply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec/json_numbers.h"

static enum control_type control_reply_type(const char *name)
{
    static const struct {
        const char *name;
        enum control_type type;
    } types[] = {
        {"WELCOME", CONTROL_WELCOME},     {"SUBSCRIBED", CONTROL_SUBSCRIBED}, {"GAP", CONTROL_GAP},
        {"HEARTBEAT", CONTROL_HEARTBEAT}, {"ERROR", CONTROL_ERROR},
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(name, types[i].name) == 0) {
            return types[i].type;
        }
    }
    return CONTROL_OTHER;
}

bool control_reply_u64(const json_t *object, const char *key, uint64_t *value_out)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return false;
    }
    *value_out = (uint64_t)json_integer_value(value);
    return true;
}

json_t *control_reply_load(const uint8_t *payload, size_t payload_bytes)
{
    json_error_t fault;
    json_t *root = json_loadb((const char *)payload, payload_bytes, JSON_REJECT_DUPLICATES, &fault);
    if (root != NULL || json_error_code(&fault) != json_error_numeric_overflow) {
        return root;
    }
    char *copy = malloc(payload_bytes + 1);
    if (copy == NULL) {
        return NULL;
    }
    memcpy(copy, payload, payload_bytes);
    json_numbers_clamp(copy, payload_bytes);
    root = json_loadb(copy, payload_bytes, JSON_REJECT_DUPLICATES, NULL);
    free(copy);
    return root;
}

int control_reply_parse(struct control_reply *reply_out, const uint8_t *payload,
                        size_t payload_bytes)
{
    struct control_reply reply = {0};
    reply.root = control_reply_load(payload, payload_bytes);
    reply.name = json_string_value(json_object_get(reply.root, "type"));
    if (reply.name == NULL) {
        json_decref(reply.root);
        return -EPROTO;
    }
    reply.type = control_reply_type(reply.name);
    reply.data = json_object_get(reply.root, "data");
    if (reply.type == CONTROL_GAP && (!control_reply_u64(reply.data, "ch", &reply.channel) ||
                                      !control_reply_u64(reply.data, "from", &reply.from) ||
                                      !control_reply_u64(reply.data, "to", &reply.to))) {
        json_decref(reply.root);
        return -EPROTO;
    }
    if (reply.type == CONTROL_SUBSCRIBED) {
        reply.ok = json_object_get(reply.data, "ok");
        reply.failed = json_object_get(reply.data, "failed");
    }
    *reply_out = reply;
    return 0;
}

void control_reply_free(struct control_reply *reply)
{
    json_decref(reply->root);
    reply->root = NULL;
}
