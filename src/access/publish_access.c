#include "src/access/publish_access.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"

static_assert(TOKEN_NAME_BYTES_MAX == FEED_GRANT_NAME_BYTES_MAX, "a name is whole");

struct publish_access {
    struct feed_admission admission;
    struct access *access;
    struct access_desk desk;
    uint64_t poll_ns;     /* the poll that the desk's budget is of */
    uint32_t grant_count; /* not yet dropped */
};

static int publish_access_error(enum access_verdict verdict)
{
    switch (verdict) {
    case ACCESS_OK:
        return 0;
    case ACCESS_LATER:
        return -EAGAIN;
    case ACCESS_EXPIRED:
        return -EKEYEXPIRED;
    case ACCESS_FORBIDDEN:
        return -EPERM;
    case ACCESS_TOO_MANY:
        return -EUSERS;
    default:
        return -EACCES;
    }
}

/* The token is valid: what it permits becomes the producer's. */
static int publish_access_keep(struct publish_access *publish, struct access_grant *granted,
                               uint64_t now_ns, struct feed_grant *grant, const char **fault_out)
{
    if (granted->scope->publish == NULL) {
        access_drop_grant(granted);
        *fault_out = "this token may not publish: it has no \"publish\" in its scope";
        return -EPERM;
    }
    struct access_grant *kept = malloc(sizeof *kept);
    if (kept == NULL) {
        access_drop_grant(granted);
        *fault_out = "no memory";
        return -ENOMEM;
    }
    *kept = *granted;
    bool is_forever = granted->life_ns >= UINT64_MAX - now_ns;
    grant->handle = kept;
    grant->expires_ns = is_forever ? UINT64_MAX : now_ns + granted->life_ns;
    memcpy(grant->name, granted->name, sizeof grant->name);
    publish->grant_count++;
    return 0;
}

static int publish_access_admit(void *context, const char *token, size_t token_bytes,
                                uint64_t now_ns, struct feed_grant *grant, const char **fault_out)
{
    struct publish_access *publish = context;
    struct access_grant granted;
    assert_always(grant->handle == NULL);
    if (now_ns != publish->poll_ns) {
        publish->poll_ns = now_ns;
        (void)access_desk_begin_turn(&publish->desk);
    }
    struct access_token presented = {
        .text = token, .bytes = token_bytes, .key_next = grant->key_next};
    struct access_answer answer =
        access_authenticate(publish->access, &publish->desk, &presented, now_ns, &granted);
    grant->key_next = presented.key_next;
    *fault_out = answer.text;
    return answer.verdict == ACCESS_OK
               ? publish_access_keep(publish, &granted, now_ns, grant, fault_out)
               : publish_access_error(answer.verdict);
}

static bool publish_access_may_publish(void *context, const struct feed_grant *grant,
                                       const char *symbol, size_t symbol_bytes, enum md_type type)
{
    const struct access_grant *kept = grant->handle;
    (void)context;
    if (kept == NULL) { /* of a producer that needs no token */
        return true;
    }
    assert_always(kept->scope->publish != NULL);
    return scope_covers(kept->scope->publish, symbol, symbol_bytes, type);
}

static void publish_access_drop_grant(void *context, struct feed_grant *grant)
{
    struct publish_access *publish = context;
    if (grant->handle != NULL) {
        assert_always(publish->grant_count > 0);
        publish->grant_count--;
        access_drop_grant(grant->handle);
        free(grant->handle);
    }
    *grant = (struct feed_grant){0};
}

struct publish_access *publish_access_create(struct access *access)
{
    struct publish_access *publish = calloc(1, sizeof *publish);
    if (publish == NULL) {
        return NULL;
    }
    publish->access = access;
    publish->admission = (struct feed_admission){
        .context = publish,
        .needs_token = access_needs_token(access),
        .admit = publish_access_admit,
        .may_publish = publish_access_may_publish,
        .drop_grant = publish_access_drop_grant,
    };
    if (access_desk_open(&publish->desk) < 0) {
        free(publish);
        return NULL;
    }
    return publish;
}

void publish_access_destroy(struct publish_access *publish)
{
    if (publish == NULL) {
        return;
    }
    assert_always(publish->grant_count == 0);
    access_desk_close(&publish->desk);
    free(publish);
}

const struct feed_admission *publish_access_admission(const struct publish_access *publish)
{
    return &publish->admission;
}
