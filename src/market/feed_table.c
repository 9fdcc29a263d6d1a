#include "src/market/feed_table.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "codec/base/check.h"

#define FEED_TABLE_TRIES_MAX 100 /* A writer that lost its CPU does not keep a reader waiting. */

#define FEED_TABLE_COUNTER(member, text)                                                           \
    {                                                                                              \
#member, false, offsetof(struct feed_counters, member), text                               \
    }

const struct feed_table_column feed_table_columns[FEED_TABLE_COLUMNS] = {
    FEED_TABLE_COUNTER(ticks, "Ticks that the feed passed on."),
    FEED_TABLE_COUNTER(skipped, "Well-formed input that is not a tick."),
    FEED_TABLE_COUNTER(malformed, "Input that does not parse."),
    FEED_TABLE_COUNTER(holes, "Missing stretches in a source's own sequence."),
    FEED_TABLE_COUNTER(passes, "Completed passes of a looping replay."),
    FEED_TABLE_COUNTER(lost, "Ticks lost because the queue of the feed's thread was full."),
    FEED_TABLE_COUNTER(refused, "Ticks of producers that were refused."),
    FEED_TABLE_COUNTER(duplicates, "Ticks that a producer had sent before."),
    {"producers", true, offsetof(struct feed_counters, producers), "Producers that are connected."},
};

static_assert(FEED_TABLE_COLUMNS * sizeof(uint64_t) == sizeof(struct feed_counters),
              "each counter of a feed is shown");
static_assert(FEED_CAUSE_BYTES_MAX % sizeof(uint64_t) == 0, "a cause is whole words");

struct feed_table_row *feed_table_add(struct feed_table *table, const char *name, size_t name_bytes,
                                      uint64_t wall_ns)
{
    char plain[FEED_TABLE_NAME_BYTES_MAX - 4];
    uint32_t same_count = 1;
    assert_always(table->count < FEED_TABLE_FEEDS_MAX);
    snprintf(plain, sizeof plain, "%.*s", (int)(name_bytes < 99 ? name_bytes : 99), name);
    for (uint32_t i = 0; i < table->count; i++) {
        size_t bytes = strcspn(table->rows[i].name, "#");
        same_count += bytes == strlen(plain) && memcmp(table->rows[i].name, plain, bytes) == 0;
    }
    struct feed_table_row *row = &table->rows[table->count++];
    *row = (struct feed_table_row){0};
    if (same_count == 1) {
        snprintf(row->name, sizeof row->name, "%s", plain);
    } else {
        snprintf(row->name, sizeof row->name, "%s#%u", plain, same_count);
    }
    counter_set(&row->since_ns, wall_ns);
    return row;
}

/* Readers take what they read when the version was even, and the same before and after. */
static void feed_table_write_state(struct feed_table_row *row, const struct feed *feed)
{
    uint64_t words[FEED_TABLE_CAUSE_WORDS] = {0};
    char text[FEED_CAUSE_BYTES_MAX] = "";
    for (size_t i = 0; i < sizeof text - 1 && feed->cause[i] != '\0'; i++) {
        text[i] = feed->cause[i] >= ' ' && feed->cause[i] <= '~' ? feed->cause[i] : '?';
    }
    memcpy(words, text, sizeof words);
    uint32_t version = atomic_load_explicit(&row->version, memory_order_relaxed);
    assert_always(version % 2 == 0);
    atomic_store_explicit(&row->version, version + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    counter_set(&row->state, (uint64_t)feed->state);
    counter_set(&row->since_ns, feed->state_since_ns);
    for (size_t i = 0; i < FEED_TABLE_CAUSE_WORDS; i++) {
        counter_set(&row->cause[i], words[i]);
    }
    atomic_store_explicit(&row->version, version + 2, memory_order_release);
}

void feed_table_write(struct feed_table_row *row, const struct feed *feed, uint64_t wall_ns)
{
    if (feed->counters.ticks != counter_get(&row->counts[0])) {
        counter_set(&row->tick_ns, wall_ns);
    }
    for (uint32_t i = 0; i < FEED_TABLE_COLUMNS; i++) {
        const void *value = (const char *)&feed->counters + feed_table_columns[i].offset;
        counter_set(&row->counts[i], *(const uint64_t *)value);
    }
    if (feed->state_revision != row->revision) {
        row->revision = feed->state_revision;
        feed_table_write_state(row, feed);
    }
}

void feed_table_read(const struct feed_table *table, uint32_t index, struct feed_table_view *out)
{
    assert_always(index < table->count);
    const struct feed_table_row *row = &table->rows[index];
    uint64_t words[FEED_TABLE_CAUSE_WORDS];
    uint64_t state = 0;
    bool is_whole = false;
    out->name = row->name;
    for (uint32_t i = 0; i < FEED_TABLE_COLUMNS; i++) {
        out->counts[i] = counter_get(&row->counts[i]);
    }
    out->tick_ns = counter_get(&row->tick_ns);
    for (uint32_t i = 0; i < FEED_TABLE_TRIES_MAX && !is_whole; i++) {
        uint32_t version = atomic_load_explicit(&row->version, memory_order_acquire);
        state = counter_get(&row->state);
        out->since_ns = counter_get(&row->since_ns);
        for (size_t word = 0; word < FEED_TABLE_CAUSE_WORDS; word++) {
            words[word] = counter_get(&row->cause[word]);
        }
        atomic_thread_fence(memory_order_acquire);
        is_whole = version % 2 == 0 &&
                   atomic_load_explicit(&row->version, memory_order_relaxed) == version;
    }
    memcpy(out->cause, words, sizeof out->cause);
    if (!is_whole) {
        out->cause[0] = '\0'; /* The state is right, the text may be of two. */
    }
    out->state = feed_state_name((enum feed_state)state);
}
