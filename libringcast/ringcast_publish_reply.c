#include "libringcast/ringcast_publish_reply.h"

#include <string.h>

#include "codec/json_member.h"

/* The value of a string, cut to fit. An escape stays as it was sent, except of a quote, a slash and
 * a backslash. */
static void ringcast_publish_reply_string(char *out, size_t out_bytes,
                                          const struct json_member *data, const char *key)
{
    struct json_member value;
    size_t at = 0;
    out[0] = '\0';
    if (!json_member_find(data->text, data->bytes, key, &value) || value.bytes < 2 ||
        value.text[0] != '"') {
        return;
    }
    for (size_t i = 1; i + 1 < value.bytes && at + 1 < out_bytes; i++) {
        if (value.text[i] == '\\' && memchr("\"/\\", value.text[i + 1], 3) != NULL) {
            i++;
        }
        out[at++] = value.text[i];
    }
    out[at] = '\0';
}

/* 0: null, not there, or not an integer of 63 bits. */
static uint64_t ringcast_publish_reply_number(const struct json_member *data, const char *key)
{
    struct json_member value;
    uint64_t number = 0;
    if (!json_member_find(data->text, data->bytes, key, &value) || value.bytes > 19) {
        return 0;
    }
    for (size_t i = 0; i < value.bytes; i++) {
        if (value.text[i] < '0' || value.text[i] > '9') {
            return 0;
        }
        number = number * 10 + (uint64_t)(value.text[i] - '0');
    }
    return number <= INT64_MAX ? number : 0;
}

static enum ringcast_publish_reply_kind ringcast_publish_reply_kind(const struct json_member *type)
{
    static const struct {
        const char *name;
        enum ringcast_publish_reply_kind kind;
    } kinds[] = {
        {"\"ACK\"", RINGCAST_PUBLISH_ACK},
        {"\"REFUSED\"", RINGCAST_PUBLISH_REFUSED},
        {"\"WELCOME\"", RINGCAST_PUBLISH_WELCOME},
        {"\"ERROR\"", RINGCAST_PUBLISH_ERROR},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strlen(kinds[i].name) == type->bytes &&
            memcmp(kinds[i].name, type->text, type->bytes) == 0) {
            return kinds[i].kind;
        }
    }
    return RINGCAST_PUBLISH_OTHER;
}

bool ringcast_publish_reply_read(struct ringcast_publish_reply *reply_out, const char *text,
                                 size_t text_bytes)
{
    struct json_member type, data, retry;
    *reply_out = (struct ringcast_publish_reply){.retry = true};
    if (!json_member_find(text, text_bytes, "type", &type)) {
        return false;
    }
    reply_out->kind = ringcast_publish_reply_kind(&type);
    if (reply_out->kind == RINGCAST_PUBLISH_OTHER) {
        return true;
    }
    if (!json_member_find(text, text_bytes, "data", &data)) {
        return false;
    }
    reply_out->q = ringcast_publish_reply_number(&data, "q");
    if (reply_out->kind == RINGCAST_PUBLISH_ACK) {
        return true;
    }
    reply_out->heartbeat_s = ringcast_publish_reply_number(&data, "heartbeat_s");
    reply_out->silent_s = ringcast_publish_reply_number(&data, "silent_s");
    ringcast_publish_reply_string(reply_out->epoch, sizeof reply_out->epoch, &data, "epoch");
    ringcast_publish_reply_string(reply_out->code, sizeof reply_out->code, &data, "code");
    ringcast_publish_reply_string(reply_out->text, sizeof reply_out->text, &data,
                                  reply_out->kind == RINGCAST_PUBLISH_REFUSED ? "reason"
                                                                              : "message");
    reply_out->retry = !json_member_find(data.text, data.bytes, "retry", &retry) ||
                       retry.bytes != 5 || memcmp(retry.text, "false", 5) != 0;
    return true;
}
