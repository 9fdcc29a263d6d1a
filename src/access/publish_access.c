#include "src/access/publish_access.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/base/list.h"

static_assert(TOKEN_NAME_BYTES_MAX == FEED_GRANT_NAME_BYTES_MAX, "a name is whole");

struct publish_access {
    struct feed_admission admission;
    struct access *access;
    struct access_desk desk;
    uint64_t poll_ns;        /* the poll that the desk's budget is of */
    struct list_link grants; /* not yet dropped */

    /* Between main, which offers a policy, and the publisher, which takes it. */
    _Atomic(struct access *) offered;
    _Atomic(struct access *) taken;
};

/* What a producer was granted. */
struct publish_grant {
    struct access_grant granted;
    struct list_link link; /* in grants */
    bool is_revoked;
    bool is_other; /* It permits something else since judge was asked last. */
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
    struct publish_grant *kept = calloc(1, sizeof *kept);
    if (kept == NULL) {
        access_drop_grant(granted);
        *fault_out = "no memory";
        return -ENOMEM;
    }
    kept->granted = *granted;
    list_append(&publish->grants, &kept->link);
    bool is_forever = granted->life_ns >= UINT64_MAX - now_ns;
    grant->handle = kept;
    grant->expires_ns = is_forever ? UINT64_MAX : now_ns + granted->life_ns;
    memcpy(grant->name, granted->name, sizeof grant->name);
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
    const struct publish_access *publish = context;
    const struct publish_grant *kept = grant->handle;
    if (kept == NULL || !access_needs_token(publish->access)) {
        return true;
    }
    return !kept->is_revoked &&
           scope_covers(kept->granted.scope->publish, symbol, symbol_bytes, type);
}

static void publish_access_drop_grant(void *context, struct feed_grant *grant)
{
    struct publish_grant *kept = grant->handle;
    (void)context;
    if (kept != NULL) {
        list_remove(&kept->link);
        access_drop_grant(&kept->granted);
        free(kept);
    }
    *grant = (struct feed_grant){0};
}

/* ---- A policy that replaces another ---- */

static int publish_access_judge(void *context, const struct feed_grant *grant,
                                const char **fault_out)
{
    struct publish_grant *kept = grant->handle;
    (void)context;
    assert_always(kept != NULL);
    bool is_other = kept->is_other;
    kept->is_other = false;
    *fault_out = "the token is not valid any more";
    return kept->is_revoked ? -EACCES : is_other;
}

/* Once no token is needed there is no grant, and a later policy that needs one revokes it. */
static void publish_access_judge_one(struct publish_access *publish, struct publish_grant *kept)
{
    if (kept->is_revoked) {
        return;
    }
    enum access_change change = access_judge(publish->access, &kept->granted);
    bool is_open = !access_needs_token(publish->access);
    kept->is_other = kept->is_other || is_open || change != ACCESS_KEPT;
    kept->is_revoked = !is_open && (change == ACCESS_REVOKED || change == ACCESS_MISSING ||
                                    kept->granted.scope->publish == NULL);
    if (kept->is_revoked) { /* Later policies do not judge it, and this one will be freed. */
        access_drop_grant(&kept->granted);
    }
}

void publish_access_poll(void *context)
{
    struct publish_access *publish = context;
    struct access *offered = atomic_load_explicit(&publish->offered, memory_order_acquire);
    if (__builtin_expect(offered == publish->access, 1)) {
        return;
    }
    publish->access = offered;
    access_desk_follow(&publish->desk, offered);
    for (struct list_link *at = publish->grants.next; at != &publish->grants; at = at->next) {
        publish_access_judge_one(publish, container_of(at, struct publish_grant, link));
    }
    publish->admission.needs_token = access_needs_token(offered);
    publish->admission.revision++;
    atomic_store_explicit(&publish->taken, offered, memory_order_release);
}

void publish_access_offer(struct publish_access *publish, struct access *access)
{
    atomic_store_explicit(&publish->offered, access, memory_order_release);
}

bool publish_access_has_taken(const struct publish_access *publish, const struct access *access)
{
    return atomic_load_explicit(&publish->taken, memory_order_acquire) == access;
}

struct publish_access *publish_access_create(struct access *access)
{
    struct publish_access *publish = calloc(1, sizeof *publish);
    if (publish == NULL) {
        return NULL;
    }
    publish->access = access;
    atomic_init(&publish->offered, access);
    atomic_init(&publish->taken, access);
    list_init(&publish->grants);
    publish->admission = (struct feed_admission){
        .context = publish,
        .needs_token = access_needs_token(access),
        .admit = publish_access_admit,
        .may_publish = publish_access_may_publish,
        .drop_grant = publish_access_drop_grant,
        .judge = publish_access_judge,
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
    assert_always(list_empty(&publish->grants));
    access_desk_close(&publish->desk);
    free(publish);
}

const struct feed_admission *publish_access_admission(const struct publish_access *publish)
{
    return &publish->admission;
}
