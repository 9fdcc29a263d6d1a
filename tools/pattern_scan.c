#include "tools/pattern_scan.h"

#include <string.h>

#include "codec/base/units.h"
#include "tools/tick_scan.h"

#define FAST_NUMBER_BYTES 24 /* what tick_scan_number may read */

bool pattern_scan_set(struct pattern_scan *scan, enum pattern_field_name name, const char *text)
{
    struct pattern_field *field = &scan->fields[name];
    size_t text_bytes = strlen(text);
    if (text_bytes > sizeof field->text) {
        return false;
    }
    memcpy(field->text, text, text_bytes);
    field->text_bytes = (uint32_t)text_bytes;
    field->distance = 0;
    return true;
}

static bool pattern_scan_bounded_number(const uint8_t **at, const uint8_t *end, uint64_t *value_out)
{
    uint64_t value = 0;
    uint32_t digits = 0;
    while (*at < end && **at >= '0' && **at <= '9' && digits < 20) {
        value = value * 10 + (uint64_t)(**at - '0');
        *at += 1;
        digits++;
    }
    *value_out = value;
    return digits > 0 && digits <= 19;
}

static bool pattern_scan_number(const uint8_t **at, const uint8_t *end, uint64_t *value_out)
{
    if (end - *at < FAST_NUMBER_BYTES) {
        return pattern_scan_bounded_number(at, end, value_out);
    }
    return tick_scan_number(at, value_out);
}

/* Where the field's number begins; *at is the end of the field before. NULL: nowhere. */
static const uint8_t *pattern_scan_find(struct pattern_field *field, const uint8_t *payload,
                                        const uint8_t *at, const uint8_t *end)
{
    size_t before = (size_t)(at - payload);
    size_t place = before + (size_t)(int64_t)field->distance; /* wraps where it is negative */
    size_t payload_bytes = (size_t)(end - payload);
    if (place < payload_bytes && payload_bytes - place >= field->text_bytes &&
        memcmp(payload + place, field->text, field->text_bytes) == 0) {
        return payload + place + field->text_bytes;
    }
    const uint8_t *found = memmem(payload, payload_bytes, field->text, field->text_bytes);
    if (found == NULL) {
        return NULL;
    }
    field->distance = (int32_t)(found - at);
    return found + field->text_bytes;
}

/* A time in seconds may have a fraction; so may any other unit. */
static uint64_t pattern_scan_time(uint64_t whole, uint64_t unit_ns, const uint8_t *at,
                                  const uint8_t *end)
{
    uint64_t time_ns = whole * unit_ns;
    if (at < end && *at == '.') {
        for (at++; at < end && *at >= '0' && *at <= '9' && unit_ns >= 10; at++) {
            unit_ns /= 10;
            time_ns += (uint64_t)(*at - '0') * unit_ns;
        }
    }
    return time_ns;
}

bool pattern_scan(struct pattern_scan *scan, const uint8_t *payload, size_t payload_bytes,
                  struct pattern_values *values)
{
    uint64_t numbers[PATTERN_FIELDS] = {0};
    const uint8_t *at = payload;
    const uint8_t *end = payload + payload_bytes;
    for (uint32_t i = 0; i < PATTERN_FIELDS; i++) {
        struct pattern_field *field = &scan->fields[i];
        if (field->text_bytes == 0) {
            continue;
        }
        const uint8_t *found = pattern_scan_find(field, payload, at, end);
        if (found == NULL) {
            return false;
        }
        at = found;
        if (!pattern_scan_number(&at, end, &numbers[i])) {
            return false;
        }
    }
    *values = (struct pattern_values){
        .channel = numbers[PATTERN_CHANNEL],
        .seq = numbers[PATTERN_SEQ],
        .time_ns = numbers[PATTERN_TIME],
    };
    if (scan->time_unit_ns != 1) {
        values->time_ns = pattern_scan_time(values->time_ns, scan->time_unit_ns, at, end);
    }
    return true;
}
