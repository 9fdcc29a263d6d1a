#include "ring/board/control.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "ring/board/shared_memory.h"

#define CONTROL_CHANNELS_AT 4096

struct control {
    struct shared_memory memory;
    struct layout_control *header;
    struct layout_entry *entries;
    uint64_t beat_ns; /* when the heartbeat last moved */
};

int control_create(struct control **control_out, uint64_t epoch, uint32_t entry_count_max)
{
    uint64_t bytes = CONTROL_CHANNELS_AT + entry_count_max * sizeof(struct layout_entry);
    assert_always(bytes % CONTROL_CHANNELS_AT == 0);
    struct control *control = calloc(1, sizeof *control);
    if (control == NULL) {
        return -ENOMEM;
    }
    int error = shared_memory_create(&control->memory, "ringcast-control", bytes, bytes);
    if (error < 0) {
        free(control);
        return error;
    }
    error = shared_memory_seal(&control->memory);
    if (error < 0) {
        control_destroy(control);
        return error;
    }
    control->header = (struct layout_control *)(void *)control->memory.view;
    control->entries = (struct layout_entry *)(void *)(control->memory.view + CONTROL_CHANNELS_AT);
    *control->header = (struct layout_control){
        .file = {.magic = LAYOUT_CONTROL_MAGIC,
                 .major = LAYOUT_MAJOR,
                 .minor = LAYOUT_MINOR,
                 .header_bytes = LAYOUT_HEADER_BYTES,
                 .bytes = bytes,
                 .epoch = epoch},
        .started_ns = clock_ns(CLOCK_REALTIME),
        .pid = (uint64_t)getpid(),
        .channels_at = CONTROL_CHANNELS_AT,
        .entry_bytes = sizeof(struct layout_entry),
        .entry_count_max = entry_count_max,
    };
    *control_out = control;
    return 0;
}

void control_destroy(struct control *control)
{
    shared_memory_close(&control->memory);
    free(control);
}

int control_read_only_fd(const struct control *control)
{
    return shared_memory_read_only_fd(&control->memory);
}

/* ---- The directory ---- */

/* All but the version. */
static void control_copy(struct layout_entry *entry, const struct layout_entry *from)
{
    assert_always(from->symbol_bytes <= sizeof from->symbol);
    memcpy(entry, from, offsetof(struct layout_entry, name_version));
    entry->first_seq = from->first_seq;
}

void control_append(struct control *control, uint32_t number, const struct layout_entry *from,
                    bool may_change)
{
    uint32_t count = atomic_load_explicit(&control->header->channel_count, memory_order_relaxed);
    assert_always(number == count);
    assert_always(number < control->header->entry_count_max);
    struct layout_entry *entry = &control->entries[number];
    control_copy(entry, from);
    atomic_store_explicit(&entry->name_version, may_change ? 2 : 0, memory_order_relaxed);
    atomic_store_explicit(&control->header->channel_count, count + 1, memory_order_release);
}

void control_rename(struct control *control, uint32_t number, const struct layout_entry *from)
{
    assert_always(number <
                  atomic_load_explicit(&control->header->channel_count, memory_order_relaxed));
    struct layout_entry *entry = &control->entries[number];
    uint32_t version = atomic_load_explicit(&entry->name_version, memory_order_relaxed);
    assert_always(version != 0);
    assert_always(version % 2 == 0);
    assert_always(from->first_seq >= entry->first_seq);
    atomic_store_explicit(&entry->name_version, version + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    control_copy(entry, from);
    atomic_store_explicit(&entry->name_version, version + 2, memory_order_release);
}

/* ---- Life ---- */

void control_beat(struct control *control, uint64_t now_ns)
{
    assert_debug(now_ns >= control->beat_ns);
    if (now_ns - control->beat_ns >= CONTROL_BEAT_NS) {
        uint64_t beats = atomic_load_explicit(&control->header->heartbeat, memory_order_relaxed);
        atomic_store_explicit(&control->header->heartbeat, beats + 1, memory_order_relaxed);
        control->beat_ns = now_ns;
    }
}

void control_set_state(struct control *control, enum layout_state state)
{
    uint32_t before = atomic_load_explicit(&control->header->state, memory_order_relaxed);
    assert_always((uint32_t)state > before);
    assert_always(state <= LAYOUT_ENDED);
    atomic_store_explicit(&control->header->state, state, memory_order_release);
}
