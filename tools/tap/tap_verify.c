#include "tools/tap/tap_verify.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "codec/running_hash.h"
#include "tools/common/control_reply.h"

#define DIGEST_BYTES 32
#define CHANNEL_NUMBER_MAX (1u << 20)
#define WINDOW_MIN 64
#define WINDOW_MAX 65536
#define LISTED_MAX 1000 /* Ranges and faults that are kept in words; all are counted. */
#define NAME_BYTES_MAX 96

/* A frame as its first reader received it. */
struct tap_frame {
    uint64_t seq; /* 0: nobody has received it */
    uint64_t hash;
    uint64_t payload_bytes;
    uint8_t digest[DIGEST_BYTES];
};

/* One reader's place in one channel. */
struct tap_track {
    uint64_t first_seq; /* 0: no frame yet */
    uint64_t next_seq;  /* The next frame's; before the first: what SUBSCRIBED promised, or 0. */
    uint64_t frames;
    uint64_t told_to;     /* The last GAP's end: a book's snapshot may repeat it. */
    uint64_t hash;        /* running, after the frame chain_next - 1 */
    uint64_t chain_next;  /* 0: the chain is broken */
    uint64_t proven_next; /* Where it began, or was last compared. */
};

struct tap_channel {
    uint64_t number;
    char name[NAME_BYTES_MAX]; /* symbol and type, as in the frames */
    struct tap_track *tracks;  /* one per reader */
    struct tap_frame *window;  /* a ring by seq: base_seq up to end_seq, not included */
    uint64_t window_count;     /* a power of two */
    uint64_t base_seq;
    uint64_t end_seq;
    uint64_t goal_seq;
    uint64_t digest_first; /* The range that is digested; 0: none yet. */
    uint64_t digest_last;
    uint64_t digest_frames;
    uint64_t digest_bytes;
    bool digest_is_broken; /* A frame left the window before it could be digested. */
    EVP_MD_CTX *digest;
};

struct tap_verify {
    uint32_t reader_count;
    struct tick_scan scan;
    uint32_t *indexes; /* By channel number: index + 1. */
    struct tap_channel *channels;
    uint32_t channel_count;
    uint32_t channel_capacity;
    char epoch[64];
    uint64_t frames;
    uint64_t bytes;
    uint64_t told_frames, told_ranges;
    uint64_t untold_frames, untold_ranges;
    uint64_t duplicates;
    uint64_t differing;
    uint64_t not_compared;
    uint64_t hashes_told;
    uint64_t hash_checks;
    uint64_t proven_frames;
    uint64_t faults;
    json_t *missing;    /* the first LISTED_MAX */
    json_t *fault_list; /* likewise */
    EVP_MD *sha256;
};

static void tap_verify_digest(const struct tap_verify *verify, const void *bytes, size_t count,
                              uint8_t out[DIGEST_BYTES])
{
    assert_always(EVP_Digest(bytes, count, out, NULL, verify->sha256, NULL) == 1);
}

struct tap_verify *tap_verify_create(uint32_t reader_count)
{
    struct tap_verify *verify = calloc(1, sizeof *verify);
    if (verify == NULL) {
        return NULL;
    }
    verify->reader_count = reader_count;
    verify->indexes = calloc(CHANNEL_NUMBER_MAX, sizeof *verify->indexes);
    verify->missing = json_array();
    verify->fault_list = json_array();
    verify->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (verify->indexes == NULL || verify->missing == NULL || verify->fault_list == NULL ||
        verify->sha256 == NULL) {
        tap_verify_destroy(verify);
        return NULL;
    }
    return verify;
}

void tap_verify_destroy(struct tap_verify *verify)
{
    for (uint32_t i = 0; i < verify->channel_count; i++) {
        free(verify->channels[i].tracks);
        free(verify->channels[i].window);
        EVP_MD_CTX_free(verify->channels[i].digest);
    }
    free(verify->channels);
    free(verify->indexes);
    json_decref(verify->missing);
    json_decref(verify->fault_list);
    EVP_MD_free(verify->sha256);
    free(verify);
}

void tap_verify_on_fault(struct tap_verify *verify, uint32_t reader, const char *what)
{
    verify->faults++;
    if (json_array_size(verify->fault_list) < LISTED_MAX) {
        json_array_append_new(verify->fault_list,
                              json_pack("{s:i,s:s}", "reader", (int)reader, "what", what));
    }
}

static void tap_verify_missing(struct tap_verify *verify, uint32_t reader, uint64_t channel,
                               uint64_t from, uint64_t to, bool is_told)
{
    uint64_t count = to - from + 1;
    verify->told_frames += is_told ? count : 0;
    verify->told_ranges += is_told;
    verify->untold_frames += is_told ? 0 : count;
    verify->untold_ranges += !is_told;
    if (json_array_size(verify->missing) < LISTED_MAX) {
        json_array_append_new(verify->missing,
                              json_pack("{s:i,s:I,s:I,s:I,s:b}", "reader", (int)reader, "ch",
                                        (json_int_t)channel, "from", (json_int_t)from, "to",
                                        (json_int_t)to, "told", is_told));
    }
}

static struct tap_channel *tap_verify_new_channel(struct tap_verify *verify, uint64_t number)
{
    if (verify->channel_count == verify->channel_capacity) {
        uint32_t capacity = verify->channel_capacity == 0 ? 16 : verify->channel_capacity * 2;
        struct tap_channel *channels = realloc(verify->channels, capacity * sizeof *channels);
        if (channels == NULL) {
            return NULL;
        }
        verify->channels = channels;
        verify->channel_capacity = capacity;
    }
    struct tap_channel *channel = &verify->channels[verify->channel_count];
    *channel = (struct tap_channel){.number = number, .window_count = WINDOW_MIN};
    channel->tracks = calloc(verify->reader_count, sizeof *channel->tracks);
    channel->window = calloc(WINDOW_MIN, sizeof *channel->window);
    channel->digest = EVP_MD_CTX_new();
    if (channel->tracks == NULL || channel->window == NULL || channel->digest == NULL ||
        EVP_DigestInit_ex2(channel->digest, verify->sha256, NULL) != 1) {
        free(channel->tracks);
        free(channel->window);
        EVP_MD_CTX_free(channel->digest);
        return NULL;
    }
    verify->indexes[number] = ++verify->channel_count;
    return channel;
}

static struct tap_channel *tap_verify_channel(struct tap_verify *verify, uint32_t reader,
                                              uint64_t number)
{
    if (number >= CHANNEL_NUMBER_MAX) {
        tap_verify_on_fault(verify, reader, "channel number out of range");
        return NULL;
    }
    if (verify->indexes[number] > 0) {
        return &verify->channels[verify->indexes[number] - 1];
    }
    return tap_verify_new_channel(verify, number);
}

/* The range that all readers have: false while that of one is not known. A reader that was promised
 * a next seq and has had no frame yet has an empty range there. */
static bool tap_verify_common(const struct tap_verify *verify, const struct tap_channel *channel,
                              uint64_t *first_out, uint64_t *last_out)
{
    *first_out = 0;
    *last_out = UINT64_MAX;
    for (uint32_t i = 0; i < verify->reader_count; i++) {
        const struct tap_track *track = &channel->tracks[i];
        uint64_t first_seq = track->first_seq != 0 ? track->first_seq : track->next_seq;
        if (first_seq == 0) {
            return false;
        }
        *first_out = first_seq > *first_out ? first_seq : *first_out;
        *last_out = track->next_seq - 1 < *last_out ? track->next_seq - 1 : *last_out;
    }
    return true;
}

/* Digests what all readers have and forgets it. */
static void tap_verify_fold(struct tap_verify *verify, struct tap_channel *channel)
{
    uint64_t first;
    uint64_t last;
    if (!tap_verify_common(verify, channel, &first, &last)) {
        return;
    }
    if (channel->digest_first == 0) {
        channel->digest_first = first;
        channel->digest_is_broken |= first < channel->base_seq;
    }
    while (channel->base_seq < channel->end_seq && channel->base_seq <= last) {
        struct tap_frame *frame = &channel->window[channel->base_seq & (channel->window_count - 1)];
        if (channel->base_seq >= channel->digest_first && frame->seq == channel->base_seq) {
            EVP_DigestUpdate(channel->digest, frame->digest, DIGEST_BYTES);
            channel->digest_frames++;
            channel->digest_bytes += frame->payload_bytes;
        }
        frame->seq = 0;
        channel->base_seq++;
    }
    channel->digest_last = last;
}

static void tap_verify_widen(struct tap_channel *channel)
{
    struct tap_frame *window = calloc(channel->window_count * 2, sizeof *window);
    if (window == NULL) {
        return;
    }
    for (uint64_t seq = channel->base_seq; seq < channel->end_seq; seq++) {
        window[seq & (channel->window_count * 2 - 1)] =
            channel->window[seq & (channel->window_count - 1)];
    }
    free(channel->window);
    channel->window = window;
    channel->window_count *= 2;
}

/* Where the frame with that seq is kept; NULL: it is behind the window. */
static struct tap_frame *tap_verify_frame(struct tap_verify *verify, struct tap_channel *channel,
                                          uint64_t seq)
{
    if (channel->end_seq == 0) {
        channel->base_seq = seq;
        channel->end_seq = seq;
    }
    if (seq < channel->base_seq) {
        return NULL;
    }
    if (seq - channel->base_seq >= channel->window_count) {
        tap_verify_fold(verify, channel);
        while (seq - channel->base_seq >= channel->window_count / 2 &&
               channel->window_count < WINDOW_MAX && seq - channel->base_seq < WINDOW_MAX) {
            tap_verify_widen(channel);
        }
    }
    while (seq - channel->base_seq >= channel->window_count) { /* A reader is too far behind. */
        channel->window[channel->base_seq & (channel->window_count - 1)].seq = 0;
        channel->digest_is_broken |= channel->base_seq < channel->end_seq;
        channel->base_seq++;
    }
    channel->end_seq = seq >= channel->end_seq ? seq + 1 : channel->end_seq;
    return &channel->window[seq & (channel->window_count - 1)];
}

/* What the first receipt of a frame is checked for: that it is JSON of the agreed shape. */
static void tap_verify_shape(struct tap_verify *verify, struct tap_channel *channel,
                             uint32_t reader, const uint8_t *payload, size_t payload_bytes)
{
    json_t *root = control_reply_load(payload, payload_bytes);
    const char *type = json_string_value(json_object_get(root, "type"));
    const char *symbol = json_string_value(json_object_get(root, "symbol"));
    const json_t *recv_ns = json_object_get(root, "ts_recv");
    if (type == NULL || symbol == NULL || !json_is_object(json_object_get(root, "data")) ||
        (recv_ns != NULL && !json_is_integer(recv_ns))) {
        tap_verify_on_fault(verify, reader, "data frame without type, symbol or data");
    } else {
        char name[NAME_BYTES_MAX];
        snprintf(name, sizeof name, "%s %s", symbol, type);
        if (channel->name[0] == 0) {
            memcpy(channel->name, name, sizeof name);
        } else if (strcmp(channel->name, name) != 0) {
            tap_verify_on_fault(verify, reader, "a channel's symbol or type changed");
        }
    }
    json_decref(root);
}

/* Adds a frame to the reader's running hash. */
static void tap_verify_chain(struct tap_track *track, uint64_t seq, uint64_t payload_hash)
{
    if (track->chain_next == seq) {
        track->hash = running_hash_add(track->hash, payload_hash);
        track->chain_next++;
    } else if (track->chain_next < seq) { /* An older one is what a subscription began with. */
        track->chain_next = 0;
    }
}

static void tap_verify_compare(struct tap_verify *verify, struct tap_channel *channel,
                               uint32_t reader, const struct tick_fields *fields,
                               const uint8_t *payload, size_t payload_bytes)
{
    uint64_t hash = running_hash_payload(payload, payload_bytes);
    tap_verify_chain(&channel->tracks[reader], fields->seq, hash);
    struct tap_frame *frame = tap_verify_frame(verify, channel, fields->seq);
    if (frame == NULL) {
        /* Before the common range began it does not count. */
        verify->not_compared += channel->digest_first != 0 || channel->digest_is_broken;
    } else if (frame->seq == 0) {
        frame->seq = fields->seq;
        frame->hash = hash;
        frame->payload_bytes = payload_bytes;
        tap_verify_digest(verify, payload, payload_bytes, frame->digest);
        tap_verify_shape(verify, channel, reader, payload, payload_bytes);
    } else if (frame->hash != hash || frame->payload_bytes != payload_bytes) {
        verify->differing++;
        tap_verify_on_fault(verify, reader, "a frame differs from what another reader received");
    }
}

/* Moves the reader's place on; false: the frame is a repeated one. */
static bool tap_verify_advance(struct tap_verify *verify, struct tap_channel *channel,
                               uint32_t reader, uint64_t seq)
{
    struct tap_track *track = &channel->tracks[reader];
    if (track->next_seq != 0 && seq > track->next_seq) {
        tap_verify_missing(verify, reader, channel->number, track->next_seq, seq - 1, false);
    }
    if (track->first_seq == 0) {
        track->first_seq = seq;
    } else if (seq < track->next_seq) {
        if (seq != track->told_to) {
            verify->duplicates++;
            tap_verify_on_fault(verify, reader, "a seq came twice");
        }
        return false;
    }
    track->next_seq = seq + 1;
    track->frames++;
    return true;
}

void tap_verify_on_frame(struct tap_verify *verify, uint32_t reader, const uint8_t *payload,
                         size_t payload_bytes)
{
    struct tick_fields fields;
    if (!tick_scan(&verify->scan, payload, payload_bytes, &fields) || fields.seq == 0 ||
        fields.seq == UINT64_MAX) {
        tap_verify_on_fault(verify, reader, "data frame without ch, seq or ts_pub");
        return;
    }
    struct tap_channel *channel = tap_verify_channel(verify, reader, fields.channel);
    if (channel == NULL) {
        return;
    }
    verify->frames++;
    verify->bytes += payload_bytes + (payload_bytes < 126 ? 2 : payload_bytes < 65536 ? 4 : 10);
    if (tap_verify_advance(verify, channel, reader, fields.seq)) {
        tap_verify_compare(verify, channel, reader, &fields, payload, payload_bytes);
    }
}

void tap_verify_on_gap(struct tap_verify *verify, uint32_t reader, uint64_t number, uint64_t from,
                       uint64_t to)
{
    struct tap_channel *channel = tap_verify_channel(verify, reader, number);
    if (channel == NULL) {
        return;
    }
    struct tap_track *track = &channel->tracks[reader];
    if (from == 0 || to < from || (track->next_seq != 0 && from < track->next_seq)) {
        tap_verify_on_fault(verify, reader, "GAP tells frames that were received");
        return;
    }
    if (track->next_seq != 0 && from > track->next_seq) {
        tap_verify_missing(verify, reader, number, track->next_seq, from - 1, false);
    }
    tap_verify_missing(verify, reader, number, from, to, true);
    if (track->first_seq == 0) {
        track->first_seq = from;
    }
    track->next_seq = to + 1;
    track->told_to = to;
}

void tap_verify_on_next_seq(struct tap_verify *verify, uint32_t reader, uint64_t number,
                            uint64_t next_seq)
{
    struct tap_channel *channel = tap_verify_channel(verify, reader, number);
    if (channel == NULL || next_seq == 0) {
        return;
    }
    struct tap_track *track = &channel->tracks[reader];
    if (track->next_seq != 0 && next_seq > track->next_seq) {
        tap_verify_missing(verify, reader, number, track->next_seq, next_seq - 1, false);
    }
    if (next_seq > track->next_seq) {
        track->next_seq = next_seq;
    }
}

static bool tap_verify_read_hash(const char *text, uint64_t *hash_out)
{
    if (strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16) {
        return false;
    }
    *hash_out = strtoull(text, NULL, 16);
    return true;
}

void tap_verify_on_hash(struct tap_verify *verify, uint32_t reader, uint64_t number,
                        uint64_t next_seq, const char *text)
{
    uint64_t hash;
    struct tap_channel *channel = tap_verify_channel(verify, reader, number);
    if (channel == NULL) {
        return;
    }
    if (next_seq == 0 || !tap_verify_read_hash(text, &hash)) {
        tap_verify_on_fault(verify, reader, "a hash that is not 16 hexadecimal digits");
        return;
    }
    struct tap_track *track = &channel->tracks[reader];
    verify->hashes_told++;
    if (track->chain_next > next_seq) {
        return;
    }
    if (track->chain_next == next_seq) {
        verify->hash_checks++;
        verify->proven_frames += next_seq - track->proven_next;
        if (track->hash != hash) {
            tap_verify_on_fault(verify, reader, "the running hash differs");
        }
    }
    track->hash = hash;
    track->chain_next = track->proven_next = next_seq;
}

static bool tap_verify_is_proven(const struct tap_channel *channel, uint32_t reader)
{
    const struct tap_track *track = &channel->tracks[reader];
    return track->chain_next != 0 && track->proven_next >= channel->goal_seq;
}

bool tap_verify_wants_hash(const struct tap_verify *verify, uint32_t reader)
{
    for (uint32_t i = 0; i < verify->channel_count; i++) {
        const struct tap_channel *channel = &verify->channels[i];
        if (channel->tracks[reader].next_seq != 0 && !tap_verify_is_proven(channel, reader)) {
            return true;
        }
    }
    return false;
}

void tap_verify_on_epoch(struct tap_verify *verify, uint32_t reader, const char *epoch)
{
    if (verify->epoch[0] == 0) {
        snprintf(verify->epoch, sizeof verify->epoch, "%s", epoch);
    } else if (strcmp(verify->epoch, epoch) != 0) {
        tap_verify_on_fault(verify, reader, "the epoch differs");
    }
}

void tap_verify_set_goal(struct tap_verify *verify)
{
    for (uint32_t i = 0; i < verify->channel_count; i++) {
        verify->channels[i].goal_seq = verify->channels[i].end_seq;
    }
}

bool tap_verify_is_at_goal(const struct tap_verify *verify)
{
    for (uint32_t i = 0; i < verify->channel_count; i++) {
        const struct tap_channel *channel = &verify->channels[i];
        for (uint32_t reader = 0; reader < verify->reader_count; reader++) {
            if (channel->tracks[reader].next_seq < channel->goal_seq ||
                (verify->hashes_told > 0 && !tap_verify_is_proven(channel, reader))) {
                return false;
            }
        }
    }
    return true;
}

static void tap_verify_hex(const uint8_t digest[DIGEST_BYTES], char out[2 * DIGEST_BYTES + 1])
{
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    }
}

static int tap_verify_compare_channels(const void *left, const void *right)
{
    const struct tap_channel *a = left;
    const struct tap_channel *b = right;
    return a->number < b->number ? -1 : a->number > b->number;
}

/* One channel of the certificate; its line also goes into the digest over all channels. */
static json_t *tap_verify_channel_json(struct tap_verify *verify, struct tap_channel *channel,
                                       EVP_MD_CTX *whole)
{
    uint8_t digest[DIGEST_BYTES];
    char hex[2 * DIGEST_BYTES + 1];
    char line[160];
    tap_verify_fold(verify, channel);
    assert_always(EVP_DigestFinal_ex(channel->digest, digest, NULL) == 1);
    tap_verify_hex(digest, hex);
    int line_bytes = snprintf(line, sizeof line, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %s\n",
                              channel->number, channel->digest_first, channel->digest_last, hex);
    EVP_DigestUpdate(whole, line, (size_t)line_bytes);
    return json_pack("{s:I,s:s,s:I,s:I,s:I,s:I,s:s,s:b}", "ch", (json_int_t)channel->number, "name",
                     channel->name, "first", (json_int_t)channel->digest_first, "last",
                     (json_int_t)channel->digest_last, "frames", (json_int_t)channel->digest_frames,
                     "bytes", (json_int_t)channel->digest_bytes, "sha256", hex, "whole",
                     channel->digest_first != 0 && !channel->digest_is_broken);
}

/* Whether every reader has proven each channel up to the goal. */
static bool tap_verify_all_proven(const struct tap_verify *verify)
{
    bool all = verify->hashes_told > 0;
    for (uint32_t reader = 0; reader < verify->reader_count; reader++) {
        all &= !tap_verify_wants_hash(verify, reader);
    }
    return all;
}

json_t *tap_verify_certificate(struct tap_verify *verify, bool *is_complete_out)
{
    uint8_t digest[DIGEST_BYTES];
    char hex[2 * DIGEST_BYTES + 1];
    bool is_whole = verify->channel_count > 0;
    json_t *channels = json_array();
    EVP_MD_CTX *whole = EVP_MD_CTX_new();
    assert_always(whole != NULL);
    assert_always(EVP_DigestInit_ex2(whole, verify->sha256, NULL) == 1);
    qsort(verify->channels, verify->channel_count, sizeof *verify->channels,
          tap_verify_compare_channels);
    for (uint32_t i = 0; i < verify->channel_count; i++) {
        if (verify->channels[i].end_seq == 0) {
            continue; /* promised, but it has had no frame */
        }
        json_t *channel = tap_verify_channel_json(verify, &verify->channels[i], whole);
        is_whole &= json_is_true(json_object_get(channel, "whole"));
        json_array_append_new(channels, channel);
    }
    assert_always(EVP_DigestFinal_ex(whole, digest, NULL) == 1);
    EVP_MD_CTX_free(whole);
    tap_verify_hex(digest, hex);
    bool is_same = is_whole && verify->differing == 0 && verify->not_compared == 0;
    bool is_proven = tap_verify_all_proven(verify) && verify->faults == 0;
    bool is_one = is_same && verify->told_frames + verify->untold_frames == 0;
    *is_complete_out =
        is_same && verify->frames > 0 && verify->untold_frames == 0 && verify->faults == 0;
    return json_pack(
        "{s:s,s:s,s:i,s:I,s:I,s:o,s:s,s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:O,"
        "s:O,s:b}",
        "type", "CERTIFICATE", "epoch", verify->epoch, "readers", (int)verify->reader_count,
        "frames", (json_int_t)verify->frames, "bytes", (json_int_t)verify->bytes, "channels",
        channels, "sha256", hex, "one_digest", is_one, "told_frames",
        (json_int_t)verify->told_frames, "told_ranges", (json_int_t)verify->told_ranges,
        "untold_frames", (json_int_t)verify->untold_frames, "untold_ranges",
        (json_int_t)verify->untold_ranges, "duplicates", (json_int_t)verify->duplicates,
        "differing", (json_int_t)verify->differing, "not_compared",
        (json_int_t)verify->not_compared, "faults", (json_int_t)verify->faults, "hash_checks",
        (json_int_t)verify->hash_checks, "proven_frames", (json_int_t)verify->proven_frames,
        "proven", is_proven, "missing", verify->missing, "fault_list", verify->fault_list,
        "complete", *is_complete_out);
}
