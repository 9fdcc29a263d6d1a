/*
 * layout: what is in the board's files of shared memory, byte by byte: the ABI for other processes.
 *
 * Owner    control writes the control file, frame_log one file for each log.
 * Threads  One writer for each field; anybody reads, also a second process.
 * Memory   All is little-endian, and zero where it is not used. The areas of a log begin at
 *          multiples of LAYOUT_AREA_BYTES. A reader takes all positions and sizes from the headers,
 *          never from here: a later minor version may append areas, fields in what is reserved,
 *          and longer records. A reader refuses another major version.
 * Units    An index counts frames since the log's creation, a position bytes; both only grow. Frame
 *          i has the descriptor i % desc_count. Its bytes begin at position % capacity_bytes of the
 *          bytes area, which a reader maps twice, back to back, so that no frame wraps.
 * Errors   None: there are no functions.
 *
 * A frame is a whole WebSocket frame. Its header is 2 bytes when frame_bytes <= 127, else 4.
 *
 * What the writer does, in this order:
 *
 *   1. To take room back: it sets the channels' dropped_seq and dropped_hash, and saves images; it
 *      publishes the head; it stores the tail (release); a seq_cst fence. Only then it overwrites.
 *   2. A frame: its bytes, then all fields of its descriptor except the tag.
 *   3. tag = index + 1 (release). From here on the frame may be read.
 *   4. The channel's last_index_plus_1 (release).
 *   5. After a batch of frames: the head (release).
 *   6. An image: image_version + 1 (relaxed, now odd); a release fence; its bytes and fields;
 *      image_version + 1 (release).
 *
 * So dropped_seq moves before the tail does: for a moment a frame up to it may still be read.
 *
 * What a reader does for the frame at index i; the writer does not know of it:
 *
 *   1. It loads the tag (acquire). If that is not i + 1, it loads the tail. If the tail is over i,
 *      the frame is gone; else there is no such frame yet.
 *   2. It copies the descriptor's fields; an acquire fence; it loads the tail (relaxed). If that is
 *      over i, the frame is gone.
 *   3. It takes frame_bytes as at most frame_bytes_max, and position % capacity_bytes: then nothing
 *      that it reads leads it out of its mapping.
 *   4. It copies the bytes; an acquire fence; the tail again. If that is over i, the copy must not
 *      be used. Why this is enough: the writer stores the tail before its fence, and overwrites the
 *      first byte after it. A reader that has read such a byte sees that tail after a fence of its
 *      own.
 *
 * What a reader does for a channel's newest full image: it takes the newest frame, that of
 * last_index_plus_1 (acquire), if that is flagged and in the log, checked as above. Else it takes
 * what was saved: image_version (acquire) is even; it copies the fields and the bytes, image_bytes
 * as at most frame_bytes_max, image_at within the area; an acquire fence; image_version and
 * last_index_plus_1 (relaxed) are what they were. If not, it begins again. If a newer frame has
 * come, the one before may have left the log without being saved, and what was saved is older.
 *
 * What a reader does for the seq of a channel's newest frame before an index, which is at most a
 * head that it has seen: it goes from last_index_plus_1 (acquire) back by previous_distance to the
 * first frame before the index, each checked as above. Where previous_distance is 0, the seq is one
 * less than that frame's. If the newest frame of all has left the log, the seq is dropped_seq
 * (acquire), unless last_index_plus_1 has changed since: then it begins again.
 */
#ifndef RINGCAST_RING_LAYOUT_H
#define RINGCAST_RING_LAYOUT_H

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>

#include "codec/base/units.h"

#define LAYOUT_MAJOR 1
#define LAYOUT_MINOR 0
#define LAYOUT_HEADER_BYTES 256
#define LAYOUT_AREA_BYTES (2 * MIB)
#define LAYOUT_CONTROL_MAGIC UINT64_C(0x31706174676e6972) /* "ringtap1" */
#define LAYOUT_LOG_MAGIC UINT64_C(0x31676f6c676e6972)     /* "ringlog1" */

/* What both headers begin with. */
struct layout_file {
    uint64_t magic;
    uint16_t major;
    uint16_t minor;
    uint32_t header_bytes; /* LAYOUT_HEADER_BYTES */
    uint64_t bytes;
    uint64_t epoch; /* of the server's run: the same in all its files */
};
static_assert(sizeof(struct layout_file) == 32, "both headers go on at 32");

/* ---- The control file ---- */

enum layout_state {
    LAYOUT_STARTS = 0,
    LAYOUT_RUNS = 1,
    LAYOUT_ENDS = 2,  /* The clients were notified. */
    LAYOUT_ENDED = 3, /* Nothing is written any more. */
};

/* One channel of the directory, by its number. It is complete before channel_count covers it.
 *
 * With name_version 0 it never changes. Otherwise the channel is computed for those who want it
 * (a depth, a bar, an interval), and its number gets another name when nobody wants it any more:
 * then the version grows, is odd while the entry is written, and first_seq parts the names. The
 * frames with a lower seq are of the names before, the last of which is a GAP. While a consumer is
 * counted as a subscriber of the channel its name stays.
 *
 * The writer: name_version + 1 (relaxed, now odd); a release fence; the fields; name_version + 1
 * (release). It publishes a frame of the new name only after that. A reader: name_version (acquire)
 * is even; it copies the entry; an acquire fence; name_version (relaxed) is the same as before. If
 * not, again. A reader that does so after the tag of a frame knows by first_seq whether the name is
 * the frame's. */
struct layout_entry {
    char symbol[32]; /* zero-filled, not terminated */
    uint8_t symbol_bytes;
    uint8_t type;
    uint8_t group;
    uint8_t depth;
    uint8_t bar; /* 1: 1 second, 2: 1 minute, 3: 5 minutes */
    uint8_t reserved;
    uint16_t interval_ms;
    _Atomic uint32_t name_version; /* 0: constant */
    uint32_t reserved_44;
    uint64_t first_seq; /* of the channel's frames, the first that has this name */
    uint8_t reserved_56[8];
};
static_assert(sizeof(struct layout_entry) == CACHE_LINE_BYTES, "the table of the ABI");

struct layout_control {
    /* Set at creation, then constant. */
    struct layout_file file;
    uint64_t started_ns; /* wall clock */
    uint64_t pid;
    uint64_t channels_at; /* the directory's first entry */
    uint32_t entry_bytes; /* from one entry to the next */
    uint32_t entry_count_max;

    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t heartbeat; /* the publisher's */
    _Atomic uint32_t state;                                /* enum layout_state; main's */
    uint8_t reserved_76[52];

    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t channel_count; /* release */
    uint8_t reserved_132[124];
};
static_assert(sizeof(struct layout_control) == LAYOUT_HEADER_BYTES, "the table of the ABI");

/* ---- A log ---- */

struct layout_log {
    /* Set at creation, then constant. */
    struct layout_file file;
    uint32_t encoding; /* 0: JSON, 1: SBE, 2: JSON, each message compressed */
    uint32_t frame_bytes_max;
    uint64_t records_at; /* a record for each channel of the directory */
    uint32_t record_bytes;
    uint32_t record_count;
    uint64_t descs_at;
    uint32_t desc_bytes;
    uint32_t reserved_68;
    uint64_t desc_count; /* a power of two */
    uint64_t images_at;
    uint64_t images_bytes;
    uint64_t bytes_at;
    uint64_t capacity_bytes; /* likewise */
    uint8_t reserved_112[16];

    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t head; /* of the next frame to be published */
    uint8_t reserved_136[56];

    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t tail; /* of the oldest readable frame */
    uint8_t reserved_200[56];
};
static_assert(sizeof(struct layout_log) == LAYOUT_HEADER_BYTES, "the table of the ABI");

enum frame_flags {
    FRAME_FULL_IMAGE = 1, /* A newer frame of the channel replaces it (quotes, bars). */
    FRAME_IS_JSON = 2,    /* A text message among binary ones: what its encoding cannot say. */
};

struct frame_desc {
    _Atomic uint64_t tag; /* index + 1, stored last */
    uint64_t position;
    uint64_t seq; /* One more than that of the channel's previous frame. */
    uint64_t ts_pub_ns;
    uint64_t hash; /* The channel's running hash, this frame included. */
    uint32_t channel;
    uint32_t frame_bytes;
    uint32_t previous_distance; /* Frames back to the channel's previous one; 0: none in reach. */
    uint8_t group;              /* What src sorts channels by: the data type. */
    uint8_t flags;
    uint8_t reserved[10];
};
static_assert(sizeof(struct frame_desc) == CACHE_LINE_BYTES, "one line says that and what");

struct frame_record {
    _Atomic uint64_t last_index_plus_1; /* 0: no frame yet */
    _Atomic uint64_t dropped_seq;       /* Of the newest frame behind the tail; 0: none */
    _Atomic uint64_t dropped_hash;      /* What it bore, or a newer one did: it is stored first. */
    _Atomic uint32_t image_version;     /* odd: the image is being written */
    _Atomic uint32_t image_bytes;
    _Atomic uint64_t image_seq; /* 0: no image is saved */
    _Atomic uint64_t image_ts_pub_ns;
    _Atomic uint64_t image_at; /* in the images area */
    _Atomic uint64_t image_hash;
};
static_assert(sizeof(struct frame_record) == CACHE_LINE_BYTES, "the table of the ABI");

#endif
