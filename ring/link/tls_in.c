#include "ring/link/tls_in.h"

#include <string.h>

#include "codec/base/check.h"
#include "ring/link/input.h"
#include "ring/link/tls_out.h"

/* What a handshake record of TLS 1.3 may have: a KeyUpdate alone (RFC 8446 section 4.6.3). */
#define TLS_IN_KEY_UPDATE 24
#define TLS_IN_KEY_UPDATE_BYTES 5
#define TLS_IN_ALERT_BYTES 2

/* ---- Parts of records ---- */

static struct link_tls_part *tls_in_part(const struct links *links, const struct link *link)
{
    uint16_t number = links_tls(links, link)->part;
    assert_always(number < LINK_TLS_PARTS_MAX);
    return &links->tls_parts->parts[number];
}

void tls_in_release(struct links *links, struct link *link)
{
    struct link_tls *tls = links_tls(links, link);
    if (tls->part != LINK_TLS_NO_PART) {
        list_remove(&tls_in_part(links, link)->age_link);
        links->tls_parts->free[links->tls_parts->free_count++] = tls->part;
        tls->part = LINK_TLS_NO_PART;
    }
}

bool tls_in_is_late(const struct links *links, const struct link *link)
{
    return link->is_tls && links_tls(links, link)->part != LINK_TLS_NO_PART &&
           links->now_ns >= tls_in_part(links, link)->since_ns + links->options.half_message_ns;
}

/* As with halves of messages, the oldest makes room. */
static void tls_in_make_room(struct links *links)
{
    const struct link_tls_part *oldest =
        container_of(links->tls_parts->used.next, struct link_tls_part, age_link);
    struct link *victim = links_at(links, oldest->conn);
    tls_in_release(links, victim);
    if (victim->stage != LINK_CLOSING) {
        link_doom(links, victim, 0, "incomplete TLS record for too long");
    }
}

static void tls_in_keep(struct links *links, struct link *link, const uint8_t *bytes, size_t count)
{
    struct link_tls_parts *parts = links->tls_parts;
    assert_always(links_tls(links, link)->part == LINK_TLS_NO_PART);
    if (parts->free_count == 0) {
        tls_in_make_room(links);
    }
    assert_always(parts->free_count > 0);
    links_tls(links, link)->part = parts->free[--parts->free_count];
    struct link_tls_part *part = tls_in_part(links, link);
    assert_always(count < sizeof part->bytes);
    memcpy(part->bytes, bytes, count);
    part->conn = links_index(links, link);
    part->count = (uint32_t)count;
    part->since_ns = links->now_ns;
    list_append(&parts->used, &part->age_link);
}

/* ---- What ends a link ---- */

static void tls_in_refuse(struct links *links, struct link *link, counter *reason,
                          enum tls_alert alert, const char *text)
{
    counter_add(reason, 1);
    tls_out_fail(links, link, alert, text);
}

static void tls_in_refuse_unexpected(struct links *links, struct link *link)
{
    tls_in_refuse(links, link, &links->counters->tls_refused_unexpected,
                  TLS_ALERT_UNEXPECTED_MESSAGE, "a TLS record that means nothing here");
}

static void tls_in_refuse_flood(struct links *links, struct link *link)
{
    tls_in_refuse(links, link, &links->counters->tls_refused_flood, TLS_ALERT_UNEXPECTED_MESSAGE,
                  "too many TLS records without data");
}

/* Why a record has no plaintext. */
static void tls_in_on_fault(struct links *links, struct link *link, enum tls_status status)
{
    if (status == TLS_BAD_MAC) {
        tls_in_refuse(links, link, &links->counters->tls_refused_mac, TLS_ALERT_BAD_RECORD_MAC,
                      "a TLS record that does not open");
    } else if (status == TLS_UNEXPECTED) {
        tls_in_refuse_unexpected(links, link);
    } else {
        tls_in_refuse(links, link, &links->counters->tls_refused_length, TLS_ALERT_RECORD_OVERFLOW,
                      "not a TLS record, or one that is too long or too short");
    }
}

/* ---- Control records ---- */

/* TLS 1.2. false: it was one too many. */
static bool tls_in_skip(struct links *links, struct link *link, uint8_t weight)
{
    struct link_tls *tls = links_tls(links, link);
    tls->warnings = (uint16_t)(tls->warnings + weight);
    if (tls->warnings > TLS_IN_WARNINGS_MAX) {
        tls_in_refuse_flood(links, link);
    }
    return tls->warnings <= TLS_IN_WARNINGS_MAX;
}

/* Ours follows what waits: see link_on_sent(). Then it ends. */
static void tls_in_on_close(struct links *links, struct link *link)
{
    link->close_received = true;
    link_begin_closing(links, link, "closed by the peer");
    if (links_waiting_bytes(links, link) == 0) {
        tls_out_notify(links, link);
    }
}

static void tls_in_on_alert(struct links *links, struct link *link, const struct tls_plain *plain)
{
    bool is_13 = links_tls(links, link)->rx.version == TLS_1_3;
    if (plain->count != TLS_IN_ALERT_BYTES) {
        tls_in_refuse_unexpected(links, link);
        return;
    }
    uint8_t alert = plain->bytes[1];
    if (alert == TLS_ALERT_CLOSE_NOTIFY) {
        tls_in_on_close(links, link);
    } else if (is_13 && alert == TLS_ALERT_USER_CANCELED) {
        return;
    } else if (!is_13 && plain->bytes[0] == TLS_ALERT_WARNING) {
        (void)tls_in_skip(links, link, 1);
    } else {
        link_doom(links, link, 0, "ended by a TLS alert of the peer");
    }
}

/* A minute begins with its first KeyUpdate. */
static bool tls_in_may_update(struct links *links, struct link *link)
{
    struct link_tls *tls = links_tls(links, link);
    if (tls->updates == 0 || stamp_age_ns(tls->updates_since, links->now_ns) >= TLS_IN_UPDATES_NS) {
        tls->updates = 0;
        tls->updates_since = (uint32_t)stamp_of(links->now_ns);
    }
    return ++tls->updates <= TLS_IN_UPDATES_MAX;
}

static void tls_in_on_key_update(struct links *links, struct link *link, uint8_t asks)
{
    struct link_tls *tls = links_tls(links, link);
    if (!tls_in_may_update(links, link)) {
        tls_in_refuse(links, link, &links->counters->tls_refused_flood,
                      TLS_ALERT_UNEXPECTED_MESSAGE, "too many TLS key updates in a minute");
    } else if (!tls_secret_update(&tls->rx, tls->rx_secret)) {
        tls_in_refuse(links, link, &links->counters->tls_internal, TLS_ALERT_INTERNAL_ERROR,
                      "libcrypto failed");
    } else {
        counter_add(&links->counters->tls_updates_peer, 1);
        if (asks == 1) {
            tls_out_update_keys(links, link);
        }
    }
}

static void tls_in_on_handshake(struct links *links, struct link *link,
                                const struct tls_plain *plain)
{
    static const uint8_t head[] = {TLS_IN_KEY_UPDATE, 0, 0, 1};
    if (links_tls(links, link)->rx.version == TLS_1_2) {
        if (tls_in_skip(links, link, 2)) {
            static const uint8_t alert[] = {TLS_ALERT_WARNING, TLS_ALERT_NO_RENEGOTIATION};
            tls_out_control(links, link, TLS_ALERT, alert, sizeof alert);
        }
    } else if (plain->count != TLS_IN_KEY_UPDATE_BYTES ||
               memcmp(plain->bytes, head, sizeof head) != 0 || plain->bytes[sizeof head] > 1) {
        tls_in_refuse_unexpected(links, link);
    } else {
        tls_in_on_key_update(links, link, plain->bytes[sizeof head]);
    }
}

/* ---- Records ---- */

static bool tls_in_is_reading(const struct link *link)
{
    return link->stage == LINK_HANDSHAKING || link->stage == LINK_STREAMING;
}

/* In pieces that are no longer than what a receive brings. */
static void tls_in_on_data(struct links *links, struct link *link, uint8_t *bytes, size_t count)
{
    links_tls(links, link)->empty_count = 0;
    while (count > 0 && tls_in_is_reading(link)) {
        size_t piece = count < LINKS_RECV_BUFFER_BYTES ? count : LINKS_RECV_BUFFER_BYTES;
        input_on_bytes(links, link, bytes, piece);
        bytes += piece;
        count -= piece;
    }
}

static void tls_in_on_plain(struct links *links, struct link *link, const struct tls_plain *plain)
{
    if (plain->type == TLS_APPLICATION_DATA && plain->count > 0) {
        tls_in_on_data(links, link, plain->bytes, plain->count);
    } else if (++links_tls(links, link)->empty_count > TLS_IN_EMPTY_MAX) {
        tls_in_refuse_flood(links, link);
    } else if (plain->type == TLS_ALERT) {
        tls_in_on_alert(links, link, plain);
    } else if (plain->type == TLS_HANDSHAKE) {
        tls_in_on_handshake(links, link, plain);
    } else if (plain->type != TLS_APPLICATION_DATA) {
        tls_in_refuse_unexpected(links, link);
    }
}

static void tls_in_on_record(struct links *links, struct link *link, uint8_t *record,
                             size_t record_bytes)
{
    struct link_tls *tls = links_tls(links, link);
    struct tls_plain plain;
    enum tls_status status =
        tls_record_open(links->ciphers, &tls->rx, record, record_bytes, &plain);
    if (status != TLS_OK) {
        tls_in_on_fault(links, link, status);
        return;
    }
    counter_add(&links->counters->tls_records_in, 1);
    tls_in_on_plain(links, link, &plain);
}

/* How long a record is, as far as its bytes say: at least its header. 0: it is refused. */
static size_t tls_in_record_bytes(struct links *links, struct link *link, const uint8_t *bytes,
                                  size_t count)
{
    size_t record_bytes = TLS_HEADER_BYTES;
    enum tls_status status =
        tls_record_length(&links_tls(links, link)->rx, bytes, count, &record_bytes);
    if (status == TLS_NEED_MORE) {
        return TLS_HEADER_BYTES;
    }
    if (status != TLS_OK) {
        tls_in_on_fault(links, link, status);
        return 0;
    }
    assert_always(record_bytes > TLS_HEADER_BYTES);
    assert_always(record_bytes <= TLS_RECORD_BYTES_MAX);
    return record_bytes;
}

/* Goes on with a part. Returns how many bytes are done with. */
static size_t tls_in_add(struct links *links, struct link *link, const uint8_t *bytes, size_t count)
{
    struct link_tls_part *part = tls_in_part(links, link);
    size_t record_bytes = tls_in_record_bytes(links, link, part->bytes, part->count);
    if (record_bytes == 0) {
        return count;
    }
    assert_always(part->count < record_bytes);
    size_t missing = record_bytes - part->count;
    size_t taken = count < missing ? count : missing;
    memcpy(part->bytes + part->count, bytes, taken);
    part->count += (uint32_t)taken;
    if (part->count == record_bytes && record_bytes > TLS_HEADER_BYTES) {
        tls_in_on_record(links, link, part->bytes, record_bytes);
        tls_in_release(links, link);
    } else if (part->count == TLS_HEADER_BYTES) {
        (void)tls_in_record_bytes(links, link, part->bytes, part->count);
    }
    return taken;
}

/* Returns how many bytes are done with: a record, or all. */
static size_t tls_in_read(struct links *links, struct link *link, uint8_t *bytes, size_t count)
{
    size_t record_bytes = tls_in_record_bytes(links, link, bytes, count);
    if (record_bytes == 0) {
        return count;
    }
    if (count < record_bytes || record_bytes == TLS_HEADER_BYTES) {
        tls_in_keep(links, link, bytes, count);
        return count;
    }
    tls_in_on_record(links, link, bytes, record_bytes);
    return record_bytes;
}

void tls_in_on_bytes(struct links *links, struct link *link, uint8_t *bytes, size_t count)
{
    while (count > 0 && tls_in_is_reading(link)) {
        bool has_part = links_tls(links, link)->part != LINK_TLS_NO_PART;
        size_t taken = has_part ? tls_in_add(links, link, bytes, count)
                                : tls_in_read(links, link, bytes, count);
        bytes += taken;
        count -= taken;
    }
}
