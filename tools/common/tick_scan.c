#include "tools/common/tick_scan.h"

/* Digits at *at before end; like tick_scan_number, for a head near the end of its payload. */
static bool tick_scan_bounded_number(const uint8_t **at, const uint8_t *end, uint64_t *value_out)
{
    uint64_t value = 0;
    uint32_t total = 0;
    while (*at < end && **at >= '0' && **at <= '9' && total < 20) {
        value = value * 10 + (uint64_t)(**at - '0');
        *at += 1;
        total++;
    }
    *value_out = value;
    return total > 0 && total <= 19;
}

/* The position after the next occurrence of key, or NULL. A quote within a JSON string is
 * escaped, so that no value can hold a key with its quotes. */
static const uint8_t *tick_scan_find(const uint8_t *at, const uint8_t *end, const char *key)
{
    size_t key_bytes = strlen(key);
    const uint8_t *found = memmem(at, (size_t)(end - at), key, key_bytes);
    return found == NULL ? NULL : found + key_bytes;
}

bool tick_scan_slow(struct tick_scan *scan, const uint8_t *payload, size_t payload_bytes,
                    struct tick_fields *fields_out)
{
    if (!tick_scan_is_data(payload, payload_bytes)) {
        return false;
    }
    size_t head_bytes =
        payload_bytes < TICK_SCAN_HEAD_BYTES_MAX ? payload_bytes : TICK_SCAN_HEAD_BYTES_MAX;
    const uint8_t *end = payload + head_bytes;
    const uint8_t *at = tick_scan_find(payload, end, "\"ch\":");
    if (at == NULL) {
        return false;
    }
    scan->channel_offset = (uint32_t)(at - payload) - 5;
    if (!tick_scan_bounded_number(&at, end, &fields_out->channel)) {
        return false;
    }
    if (end - at < 7 || memcmp(at, ",\"seq\":", 7) != 0) {
        return false;
    }
    at += 7;
    if (!tick_scan_bounded_number(&at, end, &fields_out->seq)) {
        return false;
    }
    const uint8_t *seq_end = at;
    fields_out->seq_end = (size_t)(at - payload);
    at = tick_scan_find(at, end, "\"ts_pub\":");
    if (at == NULL) {
        return false;
    }
    scan->pub_distance = (uint32_t)(at - seq_end) - 9;
    return tick_scan_bounded_number(&at, end, &fields_out->ts_pub_ns);
}
