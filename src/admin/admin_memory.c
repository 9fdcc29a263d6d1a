#include "src/admin/admin_memory.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>

#include "codec/base/check.h"
#include "ring/board/frame_log_size.h"
#include "ring/core/core.h"
#include "src/admin/metrics.h"
#include "src/base/memory_purge.h"
#include "src/command/command.h"

#define ADMIN_MEMORY_ALL_ARENAS 4096 /* jemalloc's MALLCTL_ARENAS_ALL */
#define ADMIN_MEMORY_NAME_BYTES_MAX 96

/* jemalloc's, when it is linked. */
extern int mallctl(const char *name, void *old, size_t *old_bytes, void *new, size_t new_bytes)
    __attribute__((weak));

/* ---- /admin/gc ---- */

/* The command that lets main and each core hand back the cache of its thread, and each core the
 * memory of its idle pools. */
struct admin_memory_flush {
    struct command command;
    struct core_mail mails[COUNTERS_CORES_MAX];
    bool has_begun;
    bool are_posted;
};

static bool admin_memory_flush_core(void *context, struct core *core, uint64_t now_ns)
{
    (void)context, (void)now_ns;
    if (!core_trim(core)) {
        return false;
    }
    memory_purge_thread();
    return true;
}

static bool admin_memory_flush_step(void *context, struct commands *commands, uint64_t now_ns)
{
    struct admin_memory_flush *flush = context;
    (void)now_ns;
    assert_always(commands_core_count(commands) <= COUNTERS_CORES_MAX);
    if (!flush->has_begun) {
        flush->has_begun = true;
        memory_purge_thread();
    }
    flush->are_posted = flush->are_posted || commands_post(commands, flush->mails);
    return flush->are_posted && commands_are_done(commands, flush->mails);
}

void admin_memory_purge(struct admin_page *page)
{
    struct admin_memory_flush *flush = calloc(1, sizeof *flush);
    if (flush == NULL) {
        admin_page_refuse(page, -ENOMEM);
        return;
    }
    flush->command =
        (struct command){.step = admin_memory_flush_step, .context = flush, .drop = free};
    for (uint32_t i = 0; i < COUNTERS_CORES_MAX; i++) {
        flush->mails[i].work = admin_memory_flush_core;
    }
    uint64_t before_bytes = memory_resident_bytes();
    int error = commands_call(page->sources->commands, &flush->command);
    if (error < 0) {
        admin_page_refuse(page, error);
        return;
    }
    free(flush);
    (void)memory_purge();
    uint64_t after_bytes = memory_resident_bytes();
    uint64_t freed_bytes = before_bytes > after_bytes ? before_bytes - after_bytes : 0;
    admin_page_json(page, MHD_HTTP_OK,
                    json_pack("{s:I, s:I, s:I}", "freed_bytes", (json_int_t)freed_bytes,
                              "resident_before_bytes", (json_int_t)before_bytes,
                              "resident_after_bytes", (json_int_t)after_bytes));
}

/* ---- /admin/gc-stats ---- */

/* A statistic of jemalloc's; 0: it has none of this name. */
static uint64_t admin_memory_number(const char *name)
{
    uint64_t wide = 0;
    uint32_t narrow = 0;
    size_t wide_bytes = sizeof wide;
    size_t narrow_bytes = sizeof narrow;
    if (mallctl(name, &wide, &wide_bytes, NULL, 0) == 0) {
        return wide;
    }
    return mallctl(name, &narrow, &narrow_bytes, NULL, 0) == 0 ? narrow : 0;
}

static uint64_t admin_memory_of_arena(unsigned arena, const char *what)
{
    char name[ADMIN_MEMORY_NAME_BYTES_MAX];
    snprintf(name, sizeof name, "stats.arenas.%u.%s", arena, what);
    return admin_memory_number(name);
}

static void admin_memory_set(json_t *object, const char *key, uint64_t value)
{
    json_object_set_new(object, key, json_integer((json_int_t)value));
}

static json_t *admin_memory_arena(unsigned arena)
{
    uint64_t page_bytes = admin_memory_number("arenas.page");
    uint64_t small_bytes = admin_memory_of_arena(arena, "small.allocated");
    uint64_t large_bytes = admin_memory_of_arena(arena, "large.allocated");
    json_t *object = json_object();
    admin_memory_set(object, "arena", arena);
    admin_memory_set(object, "threads", admin_memory_of_arena(arena, "nthreads"));
    admin_memory_set(object, "allocated_bytes", small_bytes + large_bytes);
    admin_memory_set(object, "active_bytes", admin_memory_of_arena(arena, "pactive") * page_bytes);
    admin_memory_set(object, "dirty_bytes", admin_memory_of_arena(arena, "pdirty") * page_bytes);
    admin_memory_set(object, "resident_bytes", admin_memory_of_arena(arena, "resident"));
    admin_memory_set(object, "cached_bytes", admin_memory_of_arena(arena, "tcache_bytes"));
    return object;
}

static json_t *admin_memory_arenas(void)
{
    json_t *arenas = json_array();
    unsigned count = mallctl == NULL ? 0 : (unsigned)admin_memory_number("arenas.narenas");
    for (unsigned i = 0; i < count; i++) {
        char name[ADMIN_MEMORY_NAME_BYTES_MAX];
        bool is_made = false;
        size_t bytes = sizeof is_made;
        snprintf(name, sizeof name, "arena.%u.initialized", i);
        if (mallctl(name, &is_made, &bytes, NULL, 0) == 0 && is_made) {
            json_array_append_new(arenas, admin_memory_arena(i));
        }
    }
    return arenas;
}

/* jemalloc keeps small objects of one size together in slabs. */
static json_t *admin_memory_slabs(void)
{
    uint64_t count = 0;
    uint64_t bytes = 0;
    uint64_t used_bytes = 0;
    unsigned bins = mallctl == NULL ? 0 : (unsigned)admin_memory_number("arenas.nbins");
    for (unsigned i = 0; i < bins; i++) {
        char name[ADMIN_MEMORY_NAME_BYTES_MAX];
        snprintf(name, sizeof name, "bins.%u.curslabs", i);
        uint64_t slabs = admin_memory_of_arena(ADMIN_MEMORY_ALL_ARENAS, name);
        snprintf(name, sizeof name, "bins.%u.curregs", i);
        uint64_t objects = admin_memory_of_arena(ADMIN_MEMORY_ALL_ARENAS, name);
        snprintf(name, sizeof name, "arenas.bin.%u.slab_size", i);
        bytes += slabs * admin_memory_number(name);
        snprintf(name, sizeof name, "arenas.bin.%u.size", i);
        used_bytes += objects * admin_memory_number(name);
        count += slabs;
    }
    return json_pack("{s:I, s:I, s:I}", "count", (json_int_t)count, "bytes", (json_int_t)bytes,
                     "used_bytes", (json_int_t)used_bytes);
}

static json_t *admin_memory_allocator(void)
{
    json_t *object = json_object();
    if (mallctl == NULL) {
        struct mallinfo2 info = mallinfo2();
        json_object_set_new(object, "name", json_string("libc"));
        admin_memory_set(object, "allocated_bytes", info.uordblks + info.hblkhd);
        admin_memory_set(object, "mapped_bytes", info.arena + info.hblkhd);
        return object;
    }
    uint64_t epoch = 1; /* Writing it makes the statistics those of now. */
    (void)mallctl("epoch", NULL, NULL, &epoch, sizeof epoch);
    json_object_set_new(object, "name", json_string("jemalloc"));
    admin_memory_set(object, "allocated_bytes", admin_memory_number("stats.allocated"));
    admin_memory_set(object, "active_bytes", admin_memory_number("stats.active"));
    admin_memory_set(object, "metadata_bytes", admin_memory_number("stats.metadata"));
    admin_memory_set(object, "resident_bytes", admin_memory_number("stats.resident"));
    admin_memory_set(object, "mapped_bytes", admin_memory_number("stats.mapped"));
    admin_memory_set(object, "retained_bytes", admin_memory_number("stats.retained"));
    return object;
}

static json_t *admin_memory_logs(const struct metrics_log_memory *memory)
{
    json_t *logs = json_array();
    assert_always(memory->count <= METRICS_LOGS_MAX);
    for (uint32_t i = 0; i < memory->count; i++) {
        const struct frame_log *log = memory->logs[i].log;
        uint64_t tail = frame_log_tail(log);
        uint64_t head = frame_log_head(log);
        json_array_append_new(
            logs, json_pack("{s:s, s:I, s:I, s:I, s:I}", "encoding", memory->logs[i].encoding,
                            "capacity_bytes", (json_int_t)log->capacity_bytes, "now_bytes",
                            (json_int_t)frame_log_size_now(log), "frames",
                            (json_int_t)(head - tail), "frames_published", (json_int_t)head));
    }
    return logs;
}

void admin_memory_show(struct admin_page *page)
{
    const struct metrics_options *source = metrics_options(page->sources->metrics);
    json_t *allocator = admin_memory_allocator(); /* First: it renews what the others read. */
    admin_page_json(page, MHD_HTTP_OK,
                    json_pack("{s:o, s:o, s:o, s:o, s:I}", "allocator", allocator, "arenas",
                              admin_memory_arenas(), "slabs", admin_memory_slabs(), "frame_logs",
                              admin_memory_logs(&source->log_memory), "resident_bytes",
                              (json_int_t)memory_resident_bytes()));
}
