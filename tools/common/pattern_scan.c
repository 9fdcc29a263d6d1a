#include "tools/common/pattern_scan.h"

#include <math.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "codec/time_text.h"
#include "tools/common/tick_scan.h"

#define FAST_NUMBER_BYTES 24 /* what tick_scan_number may read */
#define EXPONENT_MAX 1000
/* Of a time's digits: times its unit it fits in 128 bits. */
#define MANTISSA_MAX ((unsigned __int128)UINT64_MAX * 1000000000)
static_assert(NS_PER_SECOND <= 1000000000, "the largest unit");

static inline bool pattern_scan_is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

/* Whether pattern is at the beginning of text; *match_bytes_out as in pattern_scan_search. */
static bool pattern_scan_match(const char *pattern, size_t pattern_bytes, const uint8_t *text,
                               size_t text_bytes, size_t *match_bytes_out)
{
    size_t at = 0;
    bool is_quoted = false;
    for (size_t i = 0; i < pattern_bytes; i++) {
        while (i > 0 && !is_quoted && at < text_bytes && pattern_scan_is_blank(text[at])) {
            at++;
        }
        if (at == text_bytes || text[at] != (uint8_t)pattern[i]) {
            return false;
        }
        is_quoted ^= pattern[i] == '"';
        at++;
    }
    while (!is_quoted && at < text_bytes && pattern_scan_is_blank(text[at])) {
        at++;
    }
    *match_bytes_out = at;
    return true;
}

const uint8_t *pattern_scan_search(const char *pattern, size_t pattern_bytes, const uint8_t *text,
                                   size_t text_bytes, size_t *match_bytes_out)
{
    const uint8_t *at = text;
    const uint8_t *end = text + text_bytes;
    while (pattern_bytes > 0 && at < end &&
           (at = memchr(at, pattern[0], (size_t)(end - at))) != NULL) {
        if (pattern_scan_match(pattern, pattern_bytes, at, (size_t)(end - at), match_bytes_out)) {
            return at;
        }
        at++;
    }
    return NULL;
}

bool pattern_scan_set(struct pattern_scan *scan, enum pattern_field_name name, const char *text)
{
    struct pattern_field *field = &scan->fields[name];
    bool is_quoted = false;
    assert_always((unsigned)name < PATTERN_FIELDS);

    *field = (struct pattern_field){0};
    for (const char *at = text; *at != 0; at++) {
        if (!is_quoted && pattern_scan_is_blank((uint8_t)*at)) {
            continue;
        }
        if (field->pattern_bytes == sizeof field->pattern) {
            return false;
        }
        is_quoted ^= *at == '"';
        field->pattern[field->pattern_bytes++] = *at;
    }
    static_assert(sizeof field->pattern <= sizeof field->text, "a pattern is a spelling");
    memcpy(field->text, field->pattern, field->pattern_bytes);
    field->text_bytes = field->pattern_bytes;
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

/* As memcmp() == 0, but inline for what patterns mostly are: 5 to 16 bytes. */
static inline bool pattern_scan_is_at(const struct pattern_field *field, const uint8_t *at)
{
    uint32_t bytes = field->text_bytes;
    if (bytes > 16 || bytes < 4) {
        return memcmp(at, field->text, bytes) == 0;
    }
    uint64_t first = 0, last = 0, wanted_first = 0, wanted_last = 0;
    if (bytes >= 8) {
        memcpy(&first, at, 8);
        memcpy(&last, at + bytes - 8, 8);
        memcpy(&wanted_first, field->text, 8);
        memcpy(&wanted_last, field->text + bytes - 8, 8);
    } else {
        memcpy(&first, at, 4);
        memcpy(&last, at + bytes - 4, 4);
        memcpy(&wanted_first, field->text, 4);
        memcpy(&wanted_last, field->text + bytes - 4, 4);
    }
    return ((first ^ wanted_first) | (last ^ wanted_last)) == 0;
}

/* The slow way: anywhere, in any spelling. From now on it is looked for where and as it was here.
 */
__attribute__((noinline, cold)) static const uint8_t *pattern_scan_seek(struct pattern_field *field,
                                                                        const uint8_t *payload,
                                                                        const uint8_t *at,
                                                                        const uint8_t *end)
{
    size_t match_bytes;
    const uint8_t *found = pattern_scan_search(field->pattern, field->pattern_bytes, payload,
                                               (size_t)(end - payload), &match_bytes);
    if (found == NULL) {
        return NULL;
    }
    field->distance = (int32_t)(found - at);
    if (match_bytes <= sizeof field->text) {
        memcpy(field->text, found, match_bytes);
        field->text_bytes = (uint32_t)match_bytes;
    }
    return found + match_bytes;
}

/* Where the field's number begins; *at is the end of the field before. NULL: nowhere. */
static const uint8_t *pattern_scan_find(struct pattern_field *field, const uint8_t *payload,
                                        const uint8_t *at, const uint8_t *end)
{
    size_t before = (size_t)(at - payload);
    size_t place = before + (size_t)(int64_t)field->distance; /* wraps where it is negative */
    size_t payload_bytes = (size_t)(end - payload);
    if (place < payload_bytes && payload_bytes - place >= field->text_bytes &&
        pattern_scan_is_at(field, payload + place)) {
        return payload + place + field->text_bytes;
    }
    const uint8_t *found = memmem(payload, payload_bytes, field->text, field->text_bytes);
    if (found == NULL) {
        return pattern_scan_seek(field, payload, at, end);
    }
    field->distance = (int32_t)(found - at);
    return found + field->text_bytes;
}

/* ".25e3" behind a whole number. false: digits of the exponent are missing. */
static bool pattern_scan_rest(const uint8_t *at, const uint8_t *end, unsigned __int128 *mantissa,
                              int32_t *exponent_out)
{
    int32_t exponent = 0;
    if (at < end && *at == '.') {
        for (at++; at < end && *at >= '0' && *at <= '9'; at++) {
            if (*mantissa < MANTISSA_MAX / 10) { /* What comes behind is less than 1 ns. */
                *mantissa = *mantissa * 10 + (uint64_t)(*at - '0');
                exponent--;
            }
        }
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        bool is_negative = at < end && *at == '-';
        at += at < end && (*at == '-' || *at == '+');
        uint64_t value = 0;
        const uint8_t *first = at;
        for (; at < end && *at >= '0' && *at <= '9'; at++) {
            value = value < EXPONENT_MAX ? value * 10 + (uint64_t)(*at - '0') : EXPONENT_MAX;
        }
        exponent += is_negative ? -(int32_t)value : (int32_t)value;
        *exponent_out = exponent;
        return at > first;
    }
    *exponent_out = exponent;
    return true;
}

/* A time may have a fraction and an exponent. One that does not fit becomes the highest. */
static bool pattern_scan_decimal(struct pattern_scan *scan, uint64_t whole, const uint8_t *at,
                                 const uint8_t *end, uint64_t *time_ns_out)
{
    unsigned __int128 mantissa = whole;
    int32_t exponent;
    if (!pattern_scan_rest(at, end, &mantissa, &exponent)) {
        return false;
    }
    double number = (double)(uint64_t)(mantissa >> 64) * 0x1p64 + (double)(uint64_t)mantissa;
    scan->number = number * pow(10.0, exponent);
    mantissa *= scan->time_unit_ns;
    for (; exponent < 0 && mantissa > 0; exponent++) {
        mantissa /= 10;
    }
    for (; exponent > 0 && mantissa > 0 && mantissa <= UINT64_MAX; exponent--) {
        mantissa *= 10;
    }
    *time_ns_out = mantissa > UINT64_MAX ? UINT64_MAX : (uint64_t)mantissa;
    return true;
}

/* No number is at *at, which is behind the field: are there blanks that were not there before? */
__attribute__((noinline, cold)) static bool
pattern_scan_skip_blanks(struct pattern_field *field, const uint8_t *payload, const uint8_t *end,
                         const uint8_t *before, const uint8_t **at, uint64_t *number_out)
{
    if (*at == end || !pattern_scan_is_blank(**at)) {
        return false;
    }
    *at = pattern_scan_seek(field, payload, before, end);
    return *at != NULL && pattern_scan_bounded_number(at, end, number_out);
}

/* Moves *at over the field. */
static inline bool pattern_scan_field(struct pattern_field *field, const uint8_t *payload,
                                      const uint8_t *end, const uint8_t **at, uint64_t *number_out)
{
    const uint8_t *before = *at;
    *at = pattern_scan_find(field, payload, before, end);
    return *at != NULL && (pattern_scan_number(at, end, number_out) ||
                           pattern_scan_skip_blanks(field, payload, end, before, at, number_out));
}

bool pattern_scan_place(struct pattern_scan *scan, const uint8_t *payload, size_t payload_bytes,
                        struct pattern_place *place)
{
    const uint8_t *at = payload;
    const uint8_t *end = payload + payload_bytes;
    struct pattern_field *channel = &scan->fields[PATTERN_CHANNEL];
    struct pattern_field *seq = &scan->fields[PATTERN_SEQ];
    *place = (struct pattern_place){0};
    if (channel->text_bytes > 0 &&
        !pattern_scan_field(channel, payload, end, &at, &place->channel)) {
        return false;
    }
    if (seq->text_bytes > 0 && !pattern_scan_field(seq, payload, end, &at, &place->seq)) {
        return false;
    }
    place->end = (size_t)(at - payload);
    assert_debug(place->end <= payload_bytes);
    return true;
}

/* ISO 8601, up to the quotation mark. */
static bool pattern_scan_iso(struct pattern_scan *scan, const uint8_t *payload, const uint8_t *at,
                             const uint8_t *end, uint64_t *time_ns_out)
{
    const uint8_t *text = pattern_scan_find(&scan->fields[PATTERN_TIME], payload, at, end);
    const uint8_t *quote = text == NULL ? NULL : memchr(text, '"', (size_t)(end - text));
    scan->number = 0.0;
    return quote != NULL &&
           time_text_parse_iso((const char *)text, (size_t)(quote - text), time_ns_out);
}

bool pattern_scan_time(struct pattern_scan *scan, const uint8_t *payload, size_t payload_bytes,
                       const struct pattern_place *place, uint64_t *time_ns_out)
{
    uint64_t number;
    assert_always(place->end <= payload_bytes);
    const uint8_t *at = payload + place->end;
    const uint8_t *end = payload + payload_bytes;
    if (scan->time_unit_ns == 0) {
        return pattern_scan_iso(scan, payload, at, end, time_ns_out);
    }
    if (!pattern_scan_field(&scan->fields[PATTERN_TIME], payload, end, &at, &number)) {
        return false;
    }
    if (at < end && (*at == '.' || *at == 'e' || *at == 'E')) {
        return pattern_scan_decimal(scan, number, at, end, time_ns_out);
    }
    scan->number = (double)number;
    *time_ns_out =
        number > UINT64_MAX / scan->time_unit_ns ? UINT64_MAX : number * scan->time_unit_ns;
    return true;
}
