#include "tools/tap/tap_certificate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "tools/tap/tap_verify_state.h"

static void tap_certificate_hex(const uint8_t digest[TAP_DIGEST_BYTES],
                                char out[2 * TAP_DIGEST_BYTES + 1])
{
    for (size_t i = 0; i < TAP_DIGEST_BYTES; i++) {
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    }
}

static int tap_certificate_compare_channels(const void *left, const void *right)
{
    const struct tap_channel *a = left;
    const struct tap_channel *b = right;
    return a->number < b->number ? -1 : a->number > b->number;
}

/* One channel of the certificate; its line also goes into the digest over all channels. */
static json_t *tap_certificate_channel(struct tap_verify *verify, struct tap_channel *channel,
                                       EVP_MD_CTX *whole)
{
    uint8_t digest[TAP_DIGEST_BYTES];
    char hex[2 * TAP_DIGEST_BYTES + 1];
    char line[160];
    tap_verify_fold(verify, channel);
    assert_always(EVP_DigestFinal_ex(channel->digest, digest, NULL) == 1);
    tap_certificate_hex(digest, hex);
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
static bool tap_certificate_all_proven(const struct tap_verify *verify)
{
    bool all = verify->hashes_given > 0;
    for (uint32_t reader = 0; reader < verify->reader_count; reader++) {
        all &= !tap_verify_wants_hash(verify, reader);
    }
    return all;
}

json_t *tap_certificate_make(struct tap_verify *verify, bool *is_complete_out)
{
    uint8_t digest[TAP_DIGEST_BYTES];
    char hex[2 * TAP_DIGEST_BYTES + 1];
    bool is_whole = verify->channel_count > 0;
    json_t *channels = json_array();
    EVP_MD_CTX *whole = EVP_MD_CTX_new();
    assert_always(whole != NULL);
    assert_always(EVP_DigestInit_ex2(whole, verify->sha256, NULL) == 1);
    qsort(verify->channels, verify->channel_count, sizeof *verify->channels,
          tap_certificate_compare_channels);
    for (uint32_t i = 0; i < verify->channel_count; i++) {
        if (verify->channels[i].end_seq == 0) {
            continue; /* promised, but it has had no frame */
        }
        json_t *channel = tap_certificate_channel(verify, &verify->channels[i], whole);
        is_whole &= json_is_true(json_object_get(channel, "whole"));
        json_array_append_new(channels, channel);
    }
    assert_always(EVP_DigestFinal_ex(whole, digest, NULL) == 1);
    EVP_MD_CTX_free(whole);
    tap_certificate_hex(digest, hex);
    bool is_same = is_whole && verify->differing == 0 && verify->not_compared == 0;
    bool is_proven = tap_certificate_all_proven(verify) && verify->faults == 0;
    bool is_one = is_same && verify->reported_frames + verify->unreported_frames == 0;
    *is_complete_out =
        is_same && verify->frames > 0 && verify->unreported_frames == 0 && verify->faults == 0;
    return json_pack(
        "{s:s,s:s,s:i,s:I,s:I,s:o,s:s,s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:O,"
        "s:O,s:b}",
        "type", "CERTIFICATE", "epoch", verify->epoch, "connections", (int)verify->reader_count,
        "frames", (json_int_t)verify->frames, "bytes", (json_int_t)verify->bytes, "channels",
        channels, "sha256", hex, "one_digest", is_one, "reported_frames",
        (json_int_t)verify->reported_frames, "reported_ranges", (json_int_t)verify->reported_ranges,
        "unreported_frames", (json_int_t)verify->unreported_frames, "unreported_ranges",
        (json_int_t)verify->unreported_ranges, "duplicates", (json_int_t)verify->duplicates,
        "differing", (json_int_t)verify->differing, "not_compared",
        (json_int_t)verify->not_compared, "faults", (json_int_t)verify->faults, "hash_checks",
        (json_int_t)verify->hash_checks, "proven_frames", (json_int_t)verify->proven_frames,
        "proven", is_proven, "missing", verify->missing, "fault_list", verify->fault_list,
        "complete", *is_complete_out);
}
