#include "libringcast/ringcast_publish.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/decimal.h"
#include "codec/md.h"
#include "codec/sbe_tick.h"
#include "codec/utf8.h"
#include "libringcast/ringcast_publish_link.h"

#define RINGCAST_PUBLISH_BUFFER_BYTES (16 * MIB)
#define RINGCAST_PUBLISH_CHANNELS_MAX 65536
#define RINGCAST_PUBLISH_TICK_BYTES 160 /* of any tick, without levels and texts */
#define RINGCAST_PUBLISH_LEVEL_BYTES 16
/* A message of the server's limit fits. */
static_assert(RINGCAST_PUBLISH_TICK_BYTES + 2 * SBE_TICK_LEVELS_MAX * RINGCAST_PUBLISH_LEVEL_BYTES +
                      2 * SBE_TICK_TEXT_BYTES_MAX <
                  4 * MIB,
              "the server takes the longest message");

/* The levels of a caller are passed on as they are. */
static_assert(sizeof(struct ringcast_level) == sizeof(struct md_level), "");
static_assert(offsetof(struct ringcast_level, size) == offsetof(struct md_level, size), "");
static_assert(offsetof(struct ringcast_decimal, exponent) == offsetof(struct md_decimal, exponent),
              "");
static_assert(RINGCAST_NONE == MD_NONE, "");
static_assert((int)RINGCAST_STATUS == (int)MD_STATUS && (int)RINGCAST_QUOTE == (int)MD_QUOTE, "");
static_assert((int)RINGCAST_TRADE == (int)MD_TRADE && (int)RINGCAST_BAR == (int)MD_BAR, "");
static_assert((int)RINGCAST_SIDE_SELL == (int)MD_SIDE_SELL, "");
static_assert((int)RINGCAST_DELTA == (int)MD_DELTA, "");

/* ---- Opening ---- */

static bool ringcast_publish_is_printable(const char *text, size_t bytes_max)
{
    size_t bytes = strnlen(text, bytes_max + 1);
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] < ' ' || text[i] > '~') {
            return false;
        }
    }
    return bytes > 0 && bytes <= bytes_max;
}

static int ringcast_publish_check(const struct ringcast_publish_options *options, char *error_out)
{
    const char *wrong = NULL;
    if (options->name == NULL ||
        !ringcast_publish_is_printable(options->name, RINGCAST_PUBLISH_NAME_BYTES_MAX)) {
        wrong = "name: give 1 to 64 printable ASCII characters";
    } else if (options->token != NULL &&
               !ringcast_publish_is_printable(options->token, RINGCAST_PUBLISH_TOKEN_BYTES_MAX)) {
        wrong = "token: give 1 to 8192 printable ASCII characters, or NULL for none";
    } else if (options->epoch > INT64_MAX) {
        wrong = "epoch: give a number of up to 63 bits";
    }
    if (wrong == NULL) {
        return 0;
    }
    snprintf(error_out, RINGCAST_PUBLISH_ERROR_BYTES_MAX, "%s", wrong);
    return -EINVAL;
}

static void ringcast_publish_free(struct ringcast_publish *publish)
{
    ringcast_publish_ring_destroy(&publish->ring);
    if (publish->epoll_fd >= 0) {
        close(publish->epoll_fd);
    }
    if (publish->timer_fd >= 0) {
        close(publish->timer_fd);
    }
    free(publish->channels);
    free(publish->hello);
    free(publish);
}

static int ringcast_publish_set_up(struct ringcast_publish *publish,
                                   const struct ringcast_publish_options *options)
{
    size_t bytes =
        options->buffer_bytes > 0 ? options->buffer_bytes : RINGCAST_PUBLISH_BUFFER_BYTES;
    publish->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    publish->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (publish->epoll_fd < 0 || publish->timer_fd < 0) {
        return -errno;
    }
    uint64_t epoch = options->epoch;
    if (epoch == 0) {
        epoch = clock_ns(CLOCK_REALTIME) / NS_PER_US;
    }
    publish->hello_bytes =
        ringcast_publish_control_hello(publish->control, options->name, options->token, epoch);
    publish->hello = malloc(publish->hello_bytes);
    if (publish->hello == NULL) {
        return -ENOMEM;
    }
    memcpy(publish->hello, publish->control, publish->hello_bytes);
    publish->on_refused = options->on_refused;
    publish->context = options->context;
    publish->next_q = 1;
    return ringcast_publish_ring_create(&publish->ring, bytes);
}

int ringcast_publish_open(struct ringcast_publish **publish_out,
                          const struct ringcast_publish_options *options,
                          char error_out[RINGCAST_PUBLISH_ERROR_BYTES_MAX])
{
    char unwanted[RINGCAST_PUBLISH_ERROR_BYTES_MAX];
    error_out = error_out != NULL ? error_out : unwanted;
    int error = ringcast_publish_check(options, error_out);
    if (error < 0) {
        return error;
    }
    struct ringcast_publish *publish = calloc(1, sizeof *publish);
    if (publish == NULL) {
        snprintf(error_out, RINGCAST_PUBLISH_ERROR_BYTES_MAX, "out of memory");
        return -ENOMEM;
    }
    publish->epoll_fd = -1;
    publish->timer_fd = -1;
    error = ringcast_publish_address_find(&publish->addresses, options->address, error_out,
                                          RINGCAST_PUBLISH_ERROR_BYTES_MAX);
    if (error == 0) {
        error = ringcast_publish_set_up(publish, options);
        snprintf(error_out, RINGCAST_PUBLISH_ERROR_BYTES_MAX, "the publisher has no buffer: %s",
                 strerror(-error));
    }
    if (error < 0) {
        ringcast_publish_free(publish);
        return error;
    }
    ringcast_publish_link_open(publish);
    error_out[0] = '\0';
    *publish_out = publish;
    return 0;
}

uint64_t ringcast_publish_close(struct ringcast_publish *publish, int drain_ms)
{
    if (publish == NULL) {
        return 0;
    }
    uint64_t end_ns =
        clock_ns(CLOCK_MONOTONIC) + (uint64_t)(drain_ms > 0 ? drain_ms : 0) * NS_PER_MS;
    int error = ringcast_publish_flush(publish);
    while ((error < 0 || publish->ring.tick_count > 0) && error != -ECONNABORTED) {
        uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
        if (now_ns >= end_ns) {
            break;
        }
        ringcast_publish_poll(publish, (int)((end_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS));
        error = ringcast_publish_flush(publish);
    }
    uint64_t unacked = publish->ring.tick_count;
    ringcast_publish_link_close(publish);
    ringcast_publish_free(publish);
    return unacked;
}

/* ---- Channels ---- */

int ringcast_publish_channel(struct ringcast_publish *publish, const char *symbol,
                             enum ringcast_type type)
{
    size_t bytes = strnlen(symbol, MD_SYMBOL_BYTES_MAX + 1);
    if (bytes == 0 || bytes > MD_SYMBOL_BYTES_MAX ||
        !utf8_is_valid((const uint8_t *)symbol, bytes) || (unsigned)type >= MD_TYPE_COUNT) {
        return -EINVAL;
    }
    if (publish->channel_count == RINGCAST_PUBLISH_CHANNELS_MAX) {
        return -ENOSPC;
    }
    if (publish->channel_count == publish->channel_capacity) {
        uint32_t capacity = publish->channel_capacity > 0 ? 2 * publish->channel_capacity : 64;
        void *larger = realloc(publish->channels, capacity * sizeof *publish->channels);
        if (larger == NULL) {
            return -ENOMEM;
        }
        publish->channels = larger;
        publish->channel_capacity = capacity;
    }
    struct ringcast_publish_channel *channel = &publish->channels[publish->channel_count];
    memcpy(channel->symbol, symbol, bytes);
    channel->symbol_bytes = (uint8_t)bytes;
    channel->type = (uint8_t)type;
    return (int)publish->channel_count++;
}

/* ---- Ticks ---- */

static inline struct md_decimal ringcast_publish_decimal(struct ringcast_decimal decimal,
                                                         bool *is_wrong)
{
    *is_wrong |= decimal.exponent > 0 || decimal.exponent < -DECIMAL_PLACES_MAX;
    return (struct md_decimal){decimal.mantissa, decimal.exponent};
}

static const struct md_level *ringcast_publish_levels(const struct ringcast_level *levels,
                                                      uint32_t level_count, bool *is_wrong)
{
    for (uint32_t i = 0; i < level_count; i++) {
        ringcast_publish_decimal(levels[i].price, is_wrong);
        ringcast_publish_decimal(levels[i].size, is_wrong);
        *is_wrong |= levels[i].price.mantissa == RINGCAST_NONE;
    }
    return (const void *)levels;
}

/* Appends a tick of at most tick_bytes. */
static int ringcast_publish_append(struct ringcast_publish *publish, int channel,
                                   const struct md_update *update, size_t tick_bytes, bool is_wrong)
{
    struct ringcast_publish_ring *ring = &publish->ring;
    if (publish->state == RINGCAST_PUBLISH_FAILED) {
        return -ECONNABORTED;
    }
    if (is_wrong || (uint32_t)channel >= publish->channel_count ||
        publish->channels[channel].type != update->type) {
        return -EINVAL;
    }
    if (RINGCAST_PUBLISH_LENGTH_BYTES + tick_bytes > ring->capacity) {
        return -EMSGSIZE;
    }
    if (!ringcast_publish_ring_has_room(ring, RINGCAST_PUBLISH_LENGTH_BYTES + tick_bytes)) {
        publish->full++;
        return -EAGAIN;
    }
    size_t bytes = sbe_tick_encode(ringcast_publish_ring_next(ring), tick_bytes, (uint32_t)channel,
                                   update, publish->next_q, 0);
    if (bytes == 0) {
        return -ERANGE;
    }
    ringcast_publish_ring_append(ring, bytes);
    publish->next_q++;
    publish->published++;
    return 0;
}

int ringcast_publish_trade(struct ringcast_publish *publish, int channel,
                           const struct ringcast_trade *trade)
{
    bool is_wrong = (unsigned)trade->side > RINGCAST_SIDE_SELL;
    struct md_update update = {
        .type = MD_TRADE,
        .ts_event_ns = trade->ts_event_ns,
        .trade = {.price = ringcast_publish_decimal(trade->price, &is_wrong),
                  .size = ringcast_publish_decimal(trade->size, &is_wrong),
                  .side = (enum md_side)trade->side,
                  .has_id = trade->has_id,
                  .id = trade->id},
    };
    return ringcast_publish_append(publish, channel, &update, RINGCAST_PUBLISH_TICK_BYTES,
                                   is_wrong);
}

/* How many bytes levels and texts take at most; SIZE_MAX: more than there may be. */
static size_t ringcast_publish_variable_bytes(uint32_t bid_count, uint32_t ask_count,
                                              const char *text, const char *other)
{
    size_t text_bytes = text != NULL ? strlen(text) : 0;
    size_t other_bytes = other != NULL ? strlen(other) : 0;
    if (bid_count > SBE_TICK_LEVELS_MAX || ask_count > SBE_TICK_LEVELS_MAX ||
        text_bytes > SBE_TICK_TEXT_BYTES_MAX || other_bytes > SBE_TICK_TEXT_BYTES_MAX) {
        return SIZE_MAX;
    }
    return ((size_t)bid_count + ask_count) * RINGCAST_PUBLISH_LEVEL_BYTES + text_bytes +
           other_bytes;
}

int ringcast_publish_quote(struct ringcast_publish *publish, int channel,
                           const struct ringcast_quote *quote)
{
    bool is_wrong = false;
    size_t more =
        ringcast_publish_variable_bytes(quote->bid_count, quote->ask_count, quote->status, NULL);
    if (more == SIZE_MAX) {
        return -EMSGSIZE;
    }
    struct md_update update = {
        .type = MD_QUOTE,
        .ts_event_ns = quote->ts_event_ns,
        .quote = {.last = ringcast_publish_decimal(quote->last, &is_wrong),
                  .open = ringcast_publish_decimal(quote->open, &is_wrong),
                  .high = ringcast_publish_decimal(quote->high, &is_wrong),
                  .low = ringcast_publish_decimal(quote->low, &is_wrong),
                  .prev_close = ringcast_publish_decimal(quote->prev_close, &is_wrong),
                  .volume = ringcast_publish_decimal(quote->volume, &is_wrong),
                  .turnover = ringcast_publish_decimal(quote->turnover, &is_wrong),
                  .bids = ringcast_publish_levels(quote->bids, quote->bid_count, &is_wrong),
                  .asks = ringcast_publish_levels(quote->asks, quote->ask_count, &is_wrong),
                  .bid_count = quote->bid_count,
                  .ask_count = quote->ask_count,
                  .status = quote->status},
    };
    return ringcast_publish_append(publish, channel, &update, RINGCAST_PUBLISH_TICK_BYTES + more,
                                   is_wrong);
}

int ringcast_publish_bar(struct ringcast_publish *publish, int channel,
                         const struct ringcast_bar *bar)
{
    bool is_wrong = memchr(bar->interval, '\0', sizeof bar->interval) == NULL;
    struct md_update update = {
        .type = MD_BAR,
        .ts_event_ns = bar->ts_event_ns,
        .bar = {.start_ns = bar->start_ns,
                .open = ringcast_publish_decimal(bar->open, &is_wrong),
                .high = ringcast_publish_decimal(bar->high, &is_wrong),
                .low = ringcast_publish_decimal(bar->low, &is_wrong),
                .close = ringcast_publish_decimal(bar->close, &is_wrong),
                .volume = ringcast_publish_decimal(bar->volume, &is_wrong),
                .turnover = ringcast_publish_decimal(bar->turnover, &is_wrong),
                .has_count = bar->has_count,
                .count = bar->count,
                .closed = bar->closed},
    };
    static_assert(sizeof update.bar.interval == sizeof bar->interval, "");
    memcpy(update.bar.interval, bar->interval, sizeof bar->interval);
    return ringcast_publish_append(publish, channel, &update, RINGCAST_PUBLISH_TICK_BYTES,
                                   is_wrong);
}

int ringcast_publish_depth(struct ringcast_publish *publish, int channel,
                           const struct ringcast_depth *depth)
{
    bool is_wrong = (unsigned)depth->action > RINGCAST_DELTA;
    size_t more = ringcast_publish_variable_bytes(depth->bid_count, depth->ask_count, NULL, NULL);
    if (more == SIZE_MAX) {
        return -EMSGSIZE;
    }
    struct md_update update = {
        .type = MD_DEPTH,
        .ts_event_ns = depth->ts_event_ns,
        .depth = {.action = (enum md_action)depth->action,
                  .bids = ringcast_publish_levels(depth->bids, depth->bid_count, &is_wrong),
                  .asks = ringcast_publish_levels(depth->asks, depth->ask_count, &is_wrong),
                  .bid_count = depth->bid_count,
                  .ask_count = depth->ask_count},
    };
    return ringcast_publish_append(publish, channel, &update, RINGCAST_PUBLISH_TICK_BYTES + more,
                                   is_wrong);
}

int ringcast_publish_status(struct ringcast_publish *publish, int channel,
                            const struct ringcast_status *status)
{
    size_t more = ringcast_publish_variable_bytes(0, 0, status->state, status->reason);
    if (more == SIZE_MAX) {
        return -EMSGSIZE;
    }
    struct md_update update = {
        .type = MD_STATUS,
        .ts_event_ns = status->ts_event_ns,
        .status = {.state = status->state, .reason = status->reason},
    };
    return ringcast_publish_append(publish, channel, &update, RINGCAST_PUBLISH_TICK_BYTES + more,
                                   status->state == NULL);
}

int ringcast_publish_gap(struct ringcast_publish *publish, int channel)
{
    if (publish->state == RINGCAST_PUBLISH_FAILED) {
        return -ECONNABORTED;
    }
    if ((uint32_t)channel >= publish->channel_count) {
        return -EINVAL;
    }
    if (!ringcast_publish_ring_has_room(&publish->ring, RINGCAST_PUBLISH_GAP_BYTES_MAX)) {
        publish->full++;
        return -EAGAIN;
    }
    uint8_t message[RINGCAST_PUBLISH_GAP_BYTES_MAX];
    size_t bytes = ringcast_publish_control_gap(message, &publish->channels[channel]) -
                   RINGCAST_PUBLISH_LENGTH_BYTES;
    memcpy(ringcast_publish_ring_next(&publish->ring), message + RINGCAST_PUBLISH_LENGTH_BYTES,
           bytes);
    ringcast_publish_ring_append(&publish->ring, bytes);
    return 0;
}

int ringcast_publish_set_q(struct ringcast_publish *publish, uint64_t q)
{
    if (q < publish->next_q || q > INT64_MAX) {
        return -EINVAL;
    }
    publish->next_q = q;
    return 0;
}

/* ---- Sending ---- */

int ringcast_publish_flush(struct ringcast_publish *publish)
{
    return ringcast_publish_link_send(publish);
}

int ringcast_publish_poll(struct ringcast_publish *publish, int timeout_ms)
{
    ringcast_publish_link_send(publish);
    if (publish->state != RINGCAST_PUBLISH_FAILED) {
        ringcast_publish_link_poll(publish, timeout_ms);
        ringcast_publish_link_send(publish);
    }
    return publish->state == RINGCAST_PUBLISH_FAILED ? -ECONNABORTED : 0;
}

int ringcast_publish_fd(const struct ringcast_publish *publish)
{
    return publish->epoll_fd;
}

void ringcast_publish_get_info(const struct ringcast_publish *publish,
                               struct ringcast_publish_info *info_out)
{
    *info_out = (struct ringcast_publish_info){
        .state = publish->state,
        .error = publish->error,
        .server_epoch = publish->server_epoch,
        .next_q = publish->next_q,
        .acked_q = publish->acked_q,
        .published = publish->published,
        .unacked = publish->ring.tick_count,
        .refused = publish->refused,
        .full = publish->full,
        .connects = publish->connects,
        .waiting_bytes = (size_t)(publish->ring.end - publish->ring.tail),
        .buffer_bytes = publish->ring.capacity,
    };
}
