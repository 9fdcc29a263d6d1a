#include "src/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/resource.h>

#include "codec/base/check.h"
#include "src/admin/admin.h"
#include "src/base/log.h"

uint64_t descriptors_raise(uint64_t needed)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
        return 0;
    }
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_max != RLIM_INFINITY && limit.rlim_max < needed ? limit.rlim_max : 0;
}

/* The rest answers those that find no place: a twentieth, at least one, at most 64. */
static uint32_t descriptors_places(uint32_t client_count, uint32_t connections_max)
{
    uint32_t spare_count = 1 + client_count / 20;
    spare_count = spare_count < DESCRIPTORS_SPARE_MAX ? spare_count : DESCRIPTORS_SPARE_MAX;
    uint32_t place_count = client_count > spare_count ? client_count - spare_count : client_count;
    return place_count < connections_max ? place_count : connections_max;
}

int descriptors_share(uint64_t limit, uint64_t own_count, uint32_t connections_max,
                      struct descriptors_share *share_out)
{
    *share_out = (struct descriptors_share){.admin_count = ADMIN_CONNECTIONS_MAX};
    if (limit == 0) {
        return 0;
    }
    uint64_t free_count = 0;
    for (uint64_t fd = 0; fd < limit; fd++) {
        free_count += fcntl((int)fd, F_GETFD) < 0;
    }
    uint64_t rest = free_count < own_count ? 0 : free_count - own_count;
    if (rest >= (uint64_t)connections_max + DESCRIPTORS_SPARE_MAX + ADMIN_CONNECTIONS_MAX) {
        return 0; /* They suffice after all. */
    }
    uint64_t admin_count = rest / 4 < ADMIN_CONNECTIONS_MAX ? rest / 4 : ADMIN_CONNECTIONS_MAX;
    if (admin_count == 0) {
        log_write(LOG_LEVEL_ERROR,
                  "the limit of open files is %" PRIu64
                  ", which leaves no descriptors for clients; raise it with ulimit -n, or with "
                  "LimitNOFILE= of systemd",
                  limit);
        return -EMFILE;
    }
    assert_always(admin_count < rest);
    share_out->admin_count = (uint32_t)admin_count;
    share_out->client_count = (uint32_t)(rest - admin_count);
    share_out->place_count = descriptors_places(share_out->client_count, connections_max);
    log_write(
        LOG_LEVEL_WARNING,
        "the limit of open files is %" PRIu64
        ": the server serves %u clients at a time instead of --max-connections %u, and "
        "further clients receive 503; raise it with ulimit -n, or with LimitNOFILE= of systemd",
        limit, share_out->place_count, connections_max);
    return 0;
}
