#include "tools/tap/tap_verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "codec/running_hash.h"
#include "tools/common/control_reply.h"
#include "tools/common/sbe_scan.h"
#include "tools/tap/tap_verify_state.h"

#define WINDOW_MIN 64
#define WINDOW_MAX 65536
#define LISTED_MAX 1000 /* Ranges and faults that are kept in words; all are counted. */
#define CHANNEL_NUMBER_MAX (1u << 20)

static void tap_verify_digest(const struct tap_verify *verify, const void *bytes, size_t count,
                              uint8_t out[TAP_DIGEST_BYTES])
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
                              json_pack("{s:i,s:s}", "connection", (int)reader + 1, "what", what));
    }
}

static void tap_verify_missing(struct tap_verify *verify, uint32_t reader, uint64_t channel,
                               uint64_t from, uint64_t to, bool is_reported)
{
    uint64_t count = to - from + 1;
    verify->reported_frames += is_reported ? count : 0;
    verify->reported_ranges += is_reported;
    verify->unreported_frames += is_reported ? 0 : count;
    verify->unreported_ranges += !is_reported;
    if (json_array_size(verify->missing) < LISTED_MAX) {
        json_array_append_new(verify->missing,
                              json_pack("{s:i,s:I,s:I,s:I,s:b}", "connection", (int)reader + 1,
                                        "ch", (json_int_t)channel, "from", (json_int_t)from, "to",
                                        (json_int_t)to, "reported", is_reported));
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

void tap_verify_fold(struct tap_verify *verify, struct tap_channel *channel)
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
            EVP_DigestUpdate(channel->digest, frame->digest, TAP_DIGEST_BYTES);
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

/* The place of the frame with that seq; NULL: it is behind the window. */
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

/* Checks, at the first receipt of a frame, that it is JSON of the agreed form. */
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
        char name[TAP_NAME_BYTES_MAX];
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

/* A data frame as it was received, and as JSON. */
struct tap_verify_frame {
    uint64_t channel, seq;
    const uint8_t *payload;
    size_t payload_bytes;
    const uint8_t *json;
    size_t json_bytes;
};

static void tap_verify_compare(struct tap_verify *verify, struct tap_channel *channel,
                               uint32_t reader, const struct tap_verify_frame *came)
{
    uint64_t hash = running_hash_payload(came->payload, came->payload_bytes);
    tap_verify_chain(&channel->tracks[reader], came->seq, hash);
    struct tap_frame *frame = tap_verify_frame(verify, channel, came->seq);
    if (frame == NULL) {
        /* Before the common range began it does not count. */
        verify->not_compared += channel->digest_first != 0 || channel->digest_is_broken;
    } else if (frame->seq == 0) {
        frame->seq = came->seq;
        frame->hash = hash;
        frame->payload_bytes = came->payload_bytes;
        tap_verify_digest(verify, came->payload, came->payload_bytes, frame->digest);
        tap_verify_shape(verify, channel, reader, came->json, came->json_bytes);
    } else if (frame->hash != hash || frame->payload_bytes != came->payload_bytes) {
        verify->differing++;
        tap_verify_on_fault(verify, reader,
                            "a frame differs from what another connection received");
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
        if (seq != track->gap_to) {
            verify->duplicates++;
            tap_verify_on_fault(verify, reader, "a seq came twice");
        }
        return false;
    }
    track->next_seq = seq + 1;
    track->frames++;
    return true;
}

static void tap_verify_take(struct tap_verify *verify, uint32_t reader,
                            const struct tap_verify_frame *came)
{
    if (came->seq == 0 || came->seq == UINT64_MAX) {
        tap_verify_on_fault(verify, reader, "data frame without ch, seq or ts_pub");
        return;
    }
    struct tap_channel *channel = tap_verify_channel(verify, reader, came->channel);
    if (channel == NULL) {
        return;
    }
    size_t bytes = came->payload_bytes;
    verify->frames++;
    verify->bytes += bytes + (bytes < 126 ? 2 : bytes < 65536 ? 4 : 10);
    if (tap_verify_advance(verify, channel, reader, came->seq)) {
        tap_verify_compare(verify, channel, reader, came);
    }
}

void tap_verify_on_frame(struct tap_verify *verify, uint32_t reader, const uint8_t *payload,
                         size_t payload_bytes)
{
    struct tick_fields fields = {0};
    if (!tick_scan(&verify->scan, payload, payload_bytes, &fields)) {
        fields.seq = 0;
    }
    struct tap_verify_frame came = {fields.channel, fields.seq, payload,
                                    payload_bytes,  payload,    payload_bytes};
    tap_verify_take(verify, reader, &came);
}

void tap_verify_on_sbe(struct tap_verify *verify, uint32_t reader, const uint8_t *payload,
                       size_t payload_bytes, const uint8_t *json, size_t json_bytes)
{
    struct pattern_place place;
    bool is_tick = sbe_scan_place(payload, payload_bytes, &place);
    assert_always(is_tick); /* It was read before. */
    struct tap_verify_frame came = {place.channel, place.seq, payload,
                                    payload_bytes, json,      json_bytes};
    tap_verify_take(verify, reader, &came);
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
        tap_verify_on_fault(verify, reader, "GAP reports frames that were received");
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
    track->gap_to = to;
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
    verify->hashes_given++;
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
                (verify->hashes_given > 0 && !tap_verify_is_proven(channel, reader))) {
                return false;
            }
        }
    }
    return true;
}
