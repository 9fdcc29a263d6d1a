/*
 * counters_format: how a counters file describes itself, from version 6 on.
 *
 *   header | scopes | entries | threads | numbers        in any order, and with gaps
 *
 * A reader goes by what is here and by nothing else: every place, size and count is in the header,
 * in a scope or in an entry. So a tool of any version reads the file of any other:
 *
 * - A later version appends members to these structs (the header's sizes grow), entries, scopes,
 *   kinds and units. A reader steps by the file's sizes and skips kinds and units that it does
 *   not know. Existing fields keep their place and meaning; any other change gets a new magic.
 * - No table has more than 4096 records, no scope more than 4096 instances, no histogram more than
 *   2048 buckets. A reader may refuse more.
 * - Version 5 and those before it have the magic, the version, the number of cores, and no entries.
 *
 * Threads  The tables are constant before the file has its name; threads are added later.
 * Memory   Little-endian. Numbers lie at multiples of their size. Text is filled with zeros and
 *          ends with one. What is reserved is 0.
 * Source   counters_read.h reads such a file. counters_file.h has its name and its lock.
 */
#ifndef RINGCAST_RING_COUNTERS_FORMAT_H
#define RINGCAST_RING_COUNTERS_FORMAT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define COUNTERS_MAGIC UINT64_C(0x31747363676e6972) /* "ringcst1" */
#define COUNTERS_VERSION 6
#define COUNTERS_VERSION_MIN 6 /* the first with entries, and with a lock (counters_file.h) */

struct counters_header {
    uint64_t magic;
    uint32_t version;
    uint32_t core_count;
    uint64_t pid;          /* in the server's PID namespace */
    uint64_t started_ns;   /* CLOCK_REALTIME */
    uint32_t header_bytes; /* of this struct */
    uint32_t file_bytes;
    uint32_t scopes_at; /* in the file, as each ..._at */
    uint32_t scope_bytes;
    uint32_t scope_count;
    uint32_t entries_at;
    uint32_t entry_bytes;
    uint32_t entry_count;
    uint32_t threads_at;
    uint32_t thread_bytes;
    _Atomic uint32_t thread_count; /* only grows; records below it (acquire) are whole */
    uint32_t reserved_word;
    char server_version[16];
    uint64_t reserved[4];
};

/* Whose numbers: an index into the scopes. */
enum counters_scope {
    COUNTERS_PROCESS = 0,
    COUNTERS_PUBLISHER = 1,
    COUNTERS_CORE = 2,
    COUNTERS_SCOPES,
};

/* Its numbers lie together, once for each core. */
struct counters_scope_entry {
    char name[16]; /* "core" */
    uint32_t at;   /* of the first */
    uint32_t bytes;
    uint32_t count; /* one after the other; 1, or as many as there are cores */
    uint32_t reserved;
};

enum counters_kind {
    COUNTERS_COUNTER = 0, /* only grows */
    COUNTERS_GAUGE = 1,
    COUNTERS_HISTOGRAM = 2,
    COUNTERS_MAX = 3, /* the largest ever; that of all cores is the largest of theirs, no sum */
};

enum counters_unit {
    COUNTERS_COUNT = 0,
    COUNTERS_BYTES = 1,
    COUNTERS_NS = 2,
};

/*
 * A number of 8 bytes; or a histogram: the sum of all values, then `buckets` counts, each of 8
 * bytes. Bucket 0 counts values under 2^first_bits. Then come `steps` buckets of equal width for
 * each power of two, (buckets - 2) / steps powers in all. The last bucket counts what is above.
 */
struct counters_entry {
    char name[32];   /* no two of a scope share one */
    char metric[48]; /* in /metrics, after "ringcast_"; "": it is not there */
    char labels[32]; /* there, beside the core's; entries of one metric are neighbours */
    char meaning[112];
    uint32_t offset; /* in its scope */
    uint8_t scope;
    uint8_t kind;
    uint8_t unit;
    uint8_t first_bits;
    uint16_t buckets;
    uint8_t steps;
    uint8_t reserved[21];
};

#define COUNTERS_THREAD_RESTS 1 /* flag: the progress word moves only when there is work */

/* A thread, and where it shows that it makes progress. Only the tid changes. */
struct counters_thread {
    char name[16];
    _Atomic uint32_t tid; /* in the server's PID namespace; stored by itself; 0: not yet */
    uint32_t progress_at; /* in the file: its word, which moves ten times a second at least */
    uint32_t flags;
    uint32_t reserved[9];
};

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "the file is read on the host that wrote it");
static_assert(sizeof(struct counters_header) == 128, "the layout is the format");
static_assert(sizeof(struct counters_scope_entry) == 32, "the layout is the format");
static_assert(sizeof(struct counters_entry) == 256, "the layout is the format");
static_assert(sizeof(struct counters_thread) == 64, "the layout is the format");
static_assert(offsetof(struct counters_header, started_ns) == 24, "as in version 5");
static_assert(offsetof(struct counters_entry, offset) == 224, "the layout is the format");

#endif
