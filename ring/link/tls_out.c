#include "ring/link/tls_out.h"

#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"

#define TLS_OUT_KEY_UPDATE 24 /* RFC 8446 section 4.6.3 */

/* ---- Sealed bytes ---- */

static void tls_out_consume(struct links *links, struct link_tls *tls, size_t count)
{
    out_chain_consume(&links->out_pool, &tls->sealed, count);
    counter_add(&links->counters->tls_sealed_bytes, -(uint64_t)count);
}

static void tls_out_append(struct links *links, struct link *link, const void *bytes, size_t count)
{
    struct link_tls *tls = links_tls(links, link);
    if (out_chain_append(&links->out_pool, &tls->sealed, bytes, count) < 0) {
        link_doom_slow(links, link, "too slow: no room for its TLS records");
        return;
    }
    counter_add(&links->counters->tls_sealed_bytes, count);
}

void tls_out_queue(struct links *links, struct link *link, const void *bytes, size_t count)
{
    if (!link_is_open(link)) {
        return;
    }
    tls_out_append(links, link, bytes, count);
    link_pause_recv(links, link);
    link_mark_ready(links, link);
}

/* ---- Records of control ---- */

struct tls_out_record {
    size_t size; /* 0: there is none */
    uint8_t bytes[TLS_OUT_CONTROL_BYTES_MAX + TLS_OVERHEAD_BYTES_MAX];
};

static void tls_out_doom(struct links *links, struct link *link)
{
    link_doom(links, link, 0, "TLS: libcrypto failed");
}

static void tls_out_seal(struct links *links, struct link *link, struct tls_out_record *record_out,
                         enum tls_type type, const void *bytes, size_t count)
{
    struct link_tls *tls = links_tls(links, link);
    assert_always(tls->is_keyed);
    assert_always(count <= TLS_OUT_CONTROL_BYTES_MAX);
    memcpy(record_out->bytes + tls_record_front(&tls->tx), bytes, count);
    record_out->size = tls_record_seal(links->ciphers, &tls->tx, type, record_out->bytes, count);
    if (record_out->size == 0) {
        tls_out_doom(links, link);
    }
}

void tls_out_control(struct links *links, struct link *link, enum tls_type type, const void *bytes,
                     size_t count)
{
    struct tls_out_record record;
    if (link_is_open(link)) {
        tls_out_seal(links, link, &record, type, bytes, count);
        tls_out_queue(links, link, record.bytes, record.size);
    }
}

void tls_out_update_keys(struct links *links, struct link *link)
{
    static const uint8_t message[] = {TLS_OUT_KEY_UPDATE, 0, 0, 1, 0};
    struct link_tls *tls = links_tls(links, link);
    assert_always(tls->tx.version == TLS_1_3);
    tls_out_control(links, link, TLS_HANDSHAKE, message, sizeof message);
    if (!link_is_open(link)) {
        return;
    }
    if (!tls_secret_update(&tls->tx, tls->tx_secret)) {
        tls_out_doom(links, link);
        return;
    }
    counter_add(&links->counters->tls_updates_own, 1);
}

void tls_out_notify(struct links *links, struct link *link)
{
    static const uint8_t alert[] = {TLS_ALERT_WARNING, TLS_ALERT_CLOSE_NOTIFY};
    struct link_tls *tls = links_tls(links, link);
    if (tls->is_keyed && !tls->is_notified) {
        tls->is_notified = true;
        tls_out_control(links, link, TLS_ALERT, alert, sizeof alert);
    }
}

void tls_out_fail(struct links *links, struct link *link, enum tls_alert alert, const char *text)
{
    const uint8_t message[] = {TLS_ALERT_FATAL, (uint8_t)alert};
    struct link_tls *tls = links_tls(links, link);
    assert_always(tls->is_keyed);
    if (!link_is_open(link) || link->stage == LINK_CLOSING) {
        link_doom(links, link, 0, text);
        return;
    }
    tls->is_notified = true; /* Nothing follows a fatal alert. */
    out_chain_clear(&links->out_pool, &link->out);
    link_begin_closing(links, link, text);
    tls_out_control(links, link, TLS_ALERT, message, sizeof message);
}

/* ---- Sends ---- */

bool tls_out_has_room(const struct links *links)
{
    return LINKS_ARENA_BYTES - links->batch->arena_bytes >= TLS_OUT_ROOM_BYTES;
}

/* Where the next bytes of stretches lie. */
struct tls_out_source {
    const struct iovec *next;
    const uint8_t *from;
    size_t left;
};

static void tls_out_copy(struct tls_out_source *source, uint8_t *to, size_t count)
{
    while (count > 0) {
        if (source->left == 0) {
            source->from = source->next->iov_base;
            source->left = source->next->iov_len;
            source->next++;
        }
        size_t piece = count < source->left ? count : source->left;
        memcpy(to, source->from, piece);
        source->from += piece;
        source->left -= piece;
        to += piece;
        count -= piece;
    }
}

/* Makes records of as much plaintext as there is room for; send->bytes becomes what they have.
 * false: libcrypto failed. */
static bool tls_out_seal_all(struct links *links, struct tls_keys *keys, struct send *send,
                             const struct iovec *iov)
{
    const uint8_t *arena_end = links->arena + LINKS_ARENA_BYTES;
    struct tls_out_source source = {.next = iov};
    uint64_t left = send->bytes;
    while (left > 0) {
        uint8_t *record = send->wire + send->wire_bytes;
        size_t count = left < keys->record_max ? left : keys->record_max;
        if (tls_record_bytes(keys, count) > (size_t)(arena_end - record)) {
            break;
        }
        tls_out_copy(&source, record + tls_record_front(keys), count);
        size_t bytes = tls_record_seal(links->ciphers, keys, TLS_APPLICATION_DATA, record, count);
        if (bytes == 0) {
            return false;
        }
        send->wire_bytes += bytes;
        left -= count;
    }
    send->bytes -= left;
    return true;
}

void tls_out_build(struct links *links, struct link *link, struct send *send,
                   const struct iovec *iov)
{
    struct link_tls *tls = links_tls(links, link);
    struct send_batch *batch = links->batch;
    uint64_t wanted = send->bytes;
    assert_always(wanted == 0 || tls->tx.record_max > 0); /* It has keys. */
    if (wanted > 0 && tls->tx.seq >= TLS_OUT_UPDATE_SEQ && tls->tx.version == TLS_1_3) {
        tls_out_update_keys(links, link);
    }
    send->wire = links->arena + batch->arena_bytes;
    send->first_seq = tls->tx.seq;
    send->sealed_bytes = out_chain_copy(&links->out_pool, &tls->sealed, send->wire,
                                        LINKS_ARENA_BYTES - batch->arena_bytes);
    send->wire_bytes = send->sealed_bytes;
    if (send->sealed_bytes < tls->sealed.bytes) {
        send->bytes = 0;
    } else if (link_is_open(link) && !tls_out_seal_all(links, &tls->tx, send, iov)) {
        tls_out_doom(links, link);
    }
    if (!link_is_open(link)) {
        send->bytes = 0;
        send->sealed_bytes = 0;
        send->wire_bytes = 0;
    }
    if (send->bytes < wanted) {
        send->has_frames = false;
        send->out_bytes = send->out_bytes < send->bytes ? send->out_bytes : (uint32_t)send->bytes;
    }
    batch->arena_bytes += (uint32_t)send->wire_bytes;
}

/* All records of a send but the last are as long as each other. */
uint64_t tls_out_settle(struct links *links, struct link *link, const struct send *send,
                        uint64_t wire_bytes)
{
    struct link_tls *tls = links_tls(links, link);
    uint64_t record_bytes = tls_record_bytes(&tls->tx, tls->tx.record_max);
    uint64_t sealed_sent = wire_bytes < send->sealed_bytes ? wire_bytes : send->sealed_bytes;
    uint64_t sent = wire_bytes - sealed_sent; /* of the records, which have */
    uint64_t all = send->wire_bytes - send->sealed_bytes;
    uint64_t begun = (sent + record_bytes - 1) / record_bytes;
    uint64_t begun_bytes = begun * record_bytes < all ? begun * record_bytes : all;
    uint64_t plain_bytes = begun * tls->tx.record_max;
    assert_always(wire_bytes <= send->wire_bytes);
    assert_always(tls->tx.seq - send->first_seq == (all + record_bytes - 1) / record_bytes);
    tls->tx.seq = send->first_seq + begun;
    counter_add(&links->counters->tls_records_out, begun);
    tls_out_consume(links, tls, sealed_sent);
    if (begun_bytes > sent) {
        tls_out_append(links, link, send->wire + send->sealed_bytes + sent, begun_bytes - sent);
    }
    return plain_bytes < send->bytes ? plain_bytes : send->bytes;
}

/* ---- Life ---- */

void tls_out_begin(struct links *links, struct link *link)
{
    assert_always(links->tls != NULL);
    link->is_tls = true;
    link->copies = true;
    struct link_tls *tls = links_tls(links, link);
    *tls = (struct link_tls){.part = LINK_TLS_NO_PART, .job = LINK_TLS_NO_PART};
    out_chain_init(&tls->sealed);
}

void tls_out_end(struct links *links, struct link *link)
{
    struct link_tls *tls = links_tls(links, link);
    tls_out_consume(links, tls, tls->sealed.bytes);
    free(tls->peer);
    explicit_bzero(tls, sizeof *tls);
    tls_ciphers_forget(links->ciphers);
    tls_out_begin(links, link);
}
