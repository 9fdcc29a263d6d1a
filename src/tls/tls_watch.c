#include "src/tls/tls_watch.h"

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "src/tls/tls_context.h"
#include "src/tls/tls_files.h"

/* Files that do not load, for a while. */
static bool tls_watch_is_patient(struct tls_watch *watch, const struct tls_options *options,
                                 uint64_t now_ns)
{
    char error[TLS_CONTEXT_ERROR_BYTES_MAX];
    struct tls_context *context;
    if (tls_context_load(&context, options, NULL, error) == 0) {
        tls_context_release(context);
        return false;
    }
    if (watch->failing_ns == 0) {
        watch->failing_ns = now_ns;
    }
    assert_always(now_ns >= watch->failing_ns);
    return now_ns - watch->failing_ns < TLS_WATCH_PATIENCE_NS;
}

bool tls_watch_look(struct tls_watch *watch, const struct tls_options *options,
                    uint64_t loaded_stamp, uint64_t now_ns)
{
    assert_always(now_ns >= watch->looked_ns);
    if (now_ns - watch->looked_ns < TLS_WATCH_LOOK_NS) {
        return false;
    }
    watch->looked_ns = now_ns;
    uint64_t stamp = tls_files_stamp(options);
    if (stamp == loaded_stamp) {
        watch->failing_ns = 0;
        return false;
    }
    bool is_asked = watch->asked_ns != 0 && watch->asked_stamp == stamp &&
                    now_ns - watch->asked_ns < TLS_WATCH_AGAIN_NS;
    if (is_asked || tls_watch_is_patient(watch, options, now_ns)) {
        return false;
    }
    watch->failing_ns = 0;
    watch->asked_ns = now_ns;
    watch->asked_stamp = stamp;
    return true;
}
