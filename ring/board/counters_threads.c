#include "ring/board/counters_threads.h"

#include <string.h>
#include <unistd.h>

#include "codec/base/check.h"

struct counters_thread *counters_threads_add(struct counters *counters, const char *name,
                                             const counter *progress, uint32_t flags)
{
    uint32_t count = counters_threads_count(counters);
    struct counters_thread *thread = &counters->threads[count];
    size_t progress_at = (size_t)((const char *)progress - (const char *)counters);
    assert_always(count < COUNTERS_THREADS_MAX);
    assert_always(strlen(name) < sizeof thread->name);
    assert_always(progress_at % sizeof(counter) == 0);
    assert_always(progress_at + sizeof(counter) <= counters->header.file_bytes);
    memcpy(thread->name, name, strlen(name));
    thread->progress_at = (uint32_t)progress_at;
    thread->flags = flags;
    atomic_store_explicit(&counters->header.thread_count, count + 1, memory_order_release);
    return thread;
}

void counters_threads_begin(struct counters_thread *thread)
{
    assert_always(thread->name[0] != '\0');
    atomic_store_explicit(&thread->tid, (uint32_t)gettid(), memory_order_relaxed);
}

uint32_t counters_threads_count(const struct counters *counters)
{
    return atomic_load_explicit(&counters->header.thread_count, memory_order_acquire);
}

const struct counters_thread *counters_threads_get(const struct counters *counters, uint32_t index)
{
    assert_always(index < counters_threads_count(counters));
    return &counters->threads[index];
}

uint64_t counters_threads_progress(const struct counters *counters,
                                   const struct counters_thread *thread)
{
    const char *word = (const char *)counters + thread->progress_at;
    assert_always(thread->progress_at + sizeof(counter) <= counters->header.file_bytes);
    return counter_get((const counter *)(const void *)word);
}
