#include "tools/load/bench_data.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "tools/common/sbe_scan.h"

#define FAR_NS (3600 * NS_PER_SECOND) /* A tick so late has a time in another unit. */

/* The identity of a tick. */
struct bench_data_place {
    struct bench_channel *channel;
    uint64_t *next_seq; /* the connection's, of that channel */
    uint64_t seq;
    uint64_t time_ns;
};

/* The symbol in a tick; NULL: there is none. */
static const char *bench_data_symbol_text(const struct bench_data *data, const uint8_t *payload,
                                          size_t payload_bytes, size_t *symbol_bytes_out)
{
    const char *pattern = data->crew->options->symbol_pattern;
    const uint8_t *end = payload + payload_bytes;
    size_t match_bytes;
    const uint8_t *at =
        pattern_scan_search(pattern, strlen(pattern), payload, payload_bytes, &match_bytes);
    if (at == NULL) {
        return NULL;
    }
    at += match_bytes;
    const uint8_t *quote = memchr(at, '"', (size_t)(end - at));
    *symbol_bytes_out = quote != NULL ? (size_t)(quote - at) : 0;
    return quote != NULL ? (const char *)at : NULL;
}

/* The tick's symbol in the list, which shows the connections to which it is due. */
static uint32_t bench_data_symbol(const struct bench_data *data, const uint8_t *payload,
                                  size_t payload_bytes)
{
    size_t bytes;
    const char *text = bench_data_symbol_text(data, payload, payload_bytes, &bytes);
    return text == NULL ? BENCH_SYMBOL_NONE
                        : bench_load_find(data->crew->control->load, text, bytes);
}

/* UINT32_MAX: the number is out of range, or there are too many channels. */
static uint32_t bench_data_new_channel(struct bench_data *data, uint64_t number)
{
    if (number >= BENCH_CHANNEL_NUMBER_MAX || data->channel_count == BENCH_CHANNELS_MAX) {
        return UINT32_MAX;
    }
    uint32_t index = data->channel_count++;
    data->channels[index] = (struct bench_channel){
        .channel = number,
        .first_seq = UINT64_MAX,
        .symbol = BENCH_SYMBOL_NONE,
    };
    data->channel_indexes[number] = index + 1;
    return index;
}

static bool bench_data_grow(struct bench_conn *conn, uint32_t index)
{
    uint32_t count = conn->next_seq_count == 0 ? 4 : conn->next_seq_count;
    while (count <= index) {
        count *= 2;
    }
    uint64_t *next_seqs = realloc(conn->next_seqs, count * sizeof *next_seqs);
    if (next_seqs == NULL) {
        return false;
    }
    memset(next_seqs + conn->next_seq_count, 0, (count - conn->next_seq_count) * sizeof *next_seqs);
    conn->next_seqs = next_seqs;
    conn->next_seq_count = count;
    return true;
}

/* The place of a channel's next seq in the connection; NULL: no memory for it. */
static inline uint64_t *bench_data_next_seq(struct bench_data *data, struct bench_conn *conn,
                                            uint64_t channel, uint32_t *index_out)
{
    uint32_t index = channel < BENCH_CHANNEL_NUMBER_MAX ? data->channel_indexes[channel] : 0;
    index = index > 0 ? index - 1 : bench_data_new_channel(data, channel);
    if (index == UINT32_MAX) {
        return NULL;
    }
    if (index >= conn->next_seq_count && !bench_data_grow(conn, index)) {
        return NULL;
    }
    assert_always(index < data->channel_count && index < conn->next_seq_count);
    *index_out = index;
    return &conn->next_seqs[index];
}

/* Notes the receipt, and checks whether the bytes are those that other connections received. */
static void bench_data_note(struct bench_data *data, const struct bench_conn *conn,
                            struct bench_channel *channel, uint64_t seq, uint64_t time_ns,
                            const struct bench_tick_bytes *tick)
{
    struct bench_crew *crew = data->crew;
    struct bench_tick *noted = bench_ticks_at(&channel->ticks, seq);
    if (noted == NULL) {
        return;
    }
    uint64_t hash = bench_ticks_hash(tick->payload, tick->payload_bytes);
    if (noted->count == 0) {
        noted->first_ns = crew->now_ns;
        noted->time_ns = time_ns;
        noted->hash = hash;
    } else if (noted->hash != hash) {
        crew->totals.differing++;
    }
    bench_places_note(&data->receipts, channel->channel, seq, crew->now_ns,
                      crew->first_conn_index + bench_crew_index_of(crew, conn));
    noted->last_ns = crew->now_ns;
    noted->count++;
}

static void bench_data_measure(struct bench_data *data, uint64_t time_ns,
                               const struct bench_tick_bytes *tick)
{
    struct bench_crew *crew = data->crew;
    uint64_t latency_ns = crew->now_ns > time_ns ? crew->now_ns - time_ns : 0;
    crew->totals.early_ticks += crew->now_ns < time_ns;
    crew->totals.window_frames++;
    crew->totals.window_wire_bytes += tick->wire_bytes;
    if (data->has_times) {
        histogram_record(&data->latency, latency_ns);
    }
    if (data->intervals != NULL) {
        uint64_t place = (time_ns - data->window_start_ns) / crew->control->interval_ns;
        if (place < crew->control->interval_count) {
            struct bench_interval *interval = &data->intervals[place];
            if (data->has_times) {
                histogram_record(&interval->latency, latency_ns);
            }
            interval->frames++;
            interval->bytes += tick->payload_bytes;
        }
    }
}

/* --slow-ticks: it is slower than those that are kept. SBE has no symbol. */
static void bench_data_note_slow(struct bench_data *data, const struct bench_conn *conn,
                                 const struct bench_channel *channel, uint64_t seq,
                                 uint64_t time_ns, const struct bench_tick_bytes *tick)
{
    struct bench_crew *crew = data->crew;
    struct bench_slow_tick slow = {
        .latency_ns = crew->now_ns - time_ns,
        .time_ns = time_ns,
        .channel = channel->channel,
        .seq = seq,
        .conn_index = crew->first_conn_index + bench_crew_index_of(crew, conn),
    };
    size_t bytes = 0;
    const char *text = NULL;
    if (tick->form == BENCH_FORM_TEXT) {
        text = bench_data_symbol_text(data, tick->payload, tick->payload_bytes, &bytes);
    } else if (channel->symbol != BENCH_SYMBOL_NONE) {
        text = bench_load_symbol(crew->control->load, channel->symbol);
        bytes = strlen(text);
    }
    slow.symbol_bytes = (uint8_t)(bytes < sizeof slow.symbol ? bytes : sizeof slow.symbol);
    if (text != NULL) {
        memcpy(slow.symbol, text, slow.symbol_bytes);
    }
    bench_slow_ticks_add(&data->slow_ticks, &slow);
}

/* The channel's first tick on any connection of this thread. An SBE tick has no symbol: DEFINITION
 * has given it before. */
static void bench_data_identify(struct bench_data *data, struct bench_channel *channel,
                                const struct bench_tick_bytes *tick)
{
    if (channel->symbol == BENCH_SYMBOL_NONE) {
        channel->symbol = bench_data_symbol(data, tick->payload, tick->payload_bytes);
    }
}

/* seq is not the next one: returns whether it is new. */
static bool bench_data_on_jump(struct bench_stream_totals *totals, uint64_t next_seq, uint64_t seq)
{
    if (seq < next_seq) {
        totals->duplicates++;
        return false;
    }
    totals->holes++;
    totals->hole_frames += seq - next_seq;
    return true;
}

/* A tick's time. It is known already if another connection of this thread has received the tick. */
static bool bench_data_time(struct bench_data *data, const struct bench_channel *channel,
                            const struct pattern_place *place, const struct bench_tick_bytes *tick,
                            uint64_t *time_ns_out)
{
    struct bench_crew *crew = data->crew;
    const struct bench_tick *noted =
        data->has_seqs ? bench_ticks_find(&channel->ticks, place->seq) : NULL;
    if (!data->has_times) {
        *time_ns_out = crew->now_ns;
        return true;
    }
    if (noted == NULL && tick->form == BENCH_FORM_SBE) {
        return sbe_scan_time(tick->payload, crew->options->sbe_time_at, time_ns_out);
    }
    if (noted == NULL) {
        return pattern_scan_time(&data->scan, tick->payload, tick->payload_bytes, place,
                                 time_ns_out);
    }
    *time_ns_out = noted->time_ns;
    return true;
}

/* A whole image, or a change of what was before? Only books have changes. */
static bool bench_data_is_image(const struct bench_tick_bytes *tick)
{
    static const char delta[] = "\"action\":\"delta\"";
    return tick->form == BENCH_FORM_SBE
               ? sbe_scan_is_image(tick->payload, tick->payload_bytes)
               : memmem(tick->payload, tick->payload_bytes, delta, sizeof delta - 1) == NULL;
}

/* A tick of a reader with a time inside the window. */
static void bench_data_count(struct bench_data *data, struct bench_conn *conn,
                             struct bench_channel *channel, uint64_t seq, uint64_t time_ns,
                             const struct bench_tick_bytes *tick)
{
    assert_debug(time_ns - data->window_start_ns < data->window_ns);

    conn->window_ticks++;
    bench_data_measure(data, time_ns, tick);
    uint64_t now_ns = data->crew->now_ns;
    if (now_ns > time_ns && now_ns - time_ns > data->slow_ticks.above_ns) {
        bench_data_note_slow(data, conn, channel, seq, time_ns, tick);
    }
    if (data->echo != NULL && bench_echo_is_last(data->echo, conn, seq - 1, data->window_end_ns)) {
        bench_conn_finish(data->crew, conn);
    }
    if (!data->has_seqs || data->echo != NULL) {
        return;
    }
    if (channel->first_seq == UINT64_MAX) {
        bench_data_identify(data, channel, tick);
    }
    channel->first_seq = seq < channel->first_seq ? seq : channel->first_seq;
    channel->last_seq = seq > channel->last_seq ? seq : channel->last_seq;
    bench_data_note(data, conn, channel, seq, time_ns, tick);
}

/* The identity of the tick, the place of the channel's next seq in the connection, and the time. */
static bool bench_data_read(struct bench_data *data, struct bench_conn *conn,
                            const struct bench_tick_bytes *tick, struct bench_data_place *out)
{
    struct pattern_place place = {0};
    bool is_tick =
        data->echo != NULL ? bench_echo_read(data->echo, conn, tick->payload, tick->payload_bytes,
                                             &place.seq, &out->time_ns)
        : tick->form == BENCH_FORM_SBE
            ? sbe_scan_place(tick->payload, tick->payload_bytes, &place)
            : pattern_scan_place(&data->scan, tick->payload, tick->payload_bytes, &place);
    if (is_tick && data->crew->options->channel_is_symbol) {
        place.channel = bench_data_symbol(data, tick->payload, tick->payload_bytes);
    }
    uint32_t index;
    out->next_seq = is_tick ? bench_data_next_seq(data, conn, place.channel, &index) : NULL;
    if (out->next_seq == NULL) {
        return false;
    }
    out->seq = place.seq;
    out->channel = &data->channels[index];
    if (data->echo != NULL) {
        out->seq++; /* The number of the first message is 0, which is no seq. */
        return true;
    }
    return bench_data_time(data, out->channel, &place, tick, &out->time_ns);
}

/* Whether --ignore names it. */
static bool bench_data_is_ignored(const struct bench_data *data,
                                  const struct bench_tick_bytes *tick)
{
    const struct bench_texts *ignored = &data->crew->options->ignored;
    for (uint32_t i = 0; i < ignored->count; i++) {
        const char *text = ignored->list[i];
        if (memmem(tick->payload, tick->payload_bytes, text, strlen(text)) != NULL) {
            return true;
        }
    }
    return false;
}

/* A message that is not a tick. Other servers than ringcast greet a client, or acknowledge its
 * messages, before its first tick. */
static void bench_data_on_no_tick(struct bench_data *data, const struct bench_conn *conn,
                                  const struct bench_tick_bytes *tick)
{
    struct bench_crew *crew = data->crew;
    if (crew->options->protocol != BENCH_RINGCAST && conn->phase_ns != 0) {
        bench_totals_unread(&crew->totals, tick->payload, tick->payload_bytes);
    } else {
        bench_totals_malformed(&crew->totals, NULL, tick->payload, tick->payload_bytes);
    }
}

void bench_data_on_tick(struct bench_data *data, struct bench_conn *conn,
                        const struct bench_tick_bytes *tick)
{
    struct bench_crew *crew = data->crew;
    struct bench_stream_totals *totals = bench_crew_totals(crew, conn);
    struct bench_data_place place;
    if (bench_data_is_ignored(data, tick)) {
        crew->totals.ignored++;
        return;
    }
    if (conn->role == BENCH_LIGHT_READER) {
        totals->frames++;
        if (conn->phase_ns != 0) {
            bench_conn_on_first_tick(crew, conn);
        }
        return;
    }
    if (!bench_data_read(data, conn, tick, &place)) {
        bench_data_on_no_tick(data, conn, tick);
        return;
    }
    totals->frames++;
    uint64_t next_seq = *place.next_seq;
    if (place.seq != next_seq && next_seq != 0 && data->has_seqs &&
        !bench_data_on_jump(totals, next_seq, place.seq)) {
        return;
    }
    *place.next_seq = place.seq + 1;
    if (conn->phase_ns != 0) {
        bench_conn_on_first_tick(crew, conn);
    }
    if (conn->asked_ns != 0 && crew->options->snapshot && bench_data_is_image(tick)) {
        bench_conn_on_image(crew, conn);
    }
    if (conn->role == BENCH_READER && place.time_ns - data->window_start_ns < data->window_ns) {
        bench_data_count(data, conn, place.channel, place.seq, place.time_ns, tick);
    } else {
        bool is_far =
            place.time_ns < crew->now_ns - FAR_NS || place.time_ns > crew->now_ns + FAR_NS;
        if (is_far) {
            crew->totals.far_ticks++;
            crew->totals.far_number = data->scan.number;
        }
        if (place.time_ns >= data->window_end_ns) {
            bench_conn_finish(crew, conn);
        }
    }
}

void bench_data_on_gap(struct bench_data *data, struct bench_conn *conn,
                       const struct control_reply *reply)
{
    struct bench_crew *crew = data->crew;
    struct bench_stream_totals *totals = bench_crew_totals(crew, conn);
    uint32_t index;
    uint64_t *next_seq = bench_data_next_seq(data, conn, reply->channel, &index);
    if (next_seq == NULL || reply->to < reply->from) {
        bench_totals_malformed(&crew->totals, "its channel or its numbers are wrong", reply->name,
                               strlen(reply->name));
        return;
    }
    totals->gaps++;
    totals->gap_frames += reply->to - reply->from + 1;
    if (conn->role == BENCH_LIGHT_READER) {
        return; /* It does not know where it was. */
    }
    if (*next_seq != 0 && reply->from != *next_seq) {
        totals->gaps_wrong++;
    }
    *next_seq = reply->to + 1;
}

void bench_data_on_heartbeat(struct bench_data *data, struct bench_conn *conn,
                             const struct control_reply *reply)
{
    struct bench_crew *crew = data->crew;
    uint64_t time_ns;
    const char *key;
    json_t *promised;
    if (!control_reply_u64(reply->root, "ts", &time_ns) || time_ns < data->window_end_ns) {
        return;
    }
    json_object_foreach(json_object_get(reply->data, "next_seq"), key, promised)
    {
        uint64_t channel = strtoull(key, NULL, 10);
        uint32_t place = channel < BENCH_CHANNEL_NUMBER_MAX ? data->channel_indexes[channel] : 0;
        bool has_come =
            place > 0 && place <= conn->next_seq_count && conn->next_seqs[place - 1] > 0;
        if (has_come && (uint64_t)json_integer_value(promised) > conn->next_seqs[place - 1]) {
            return;
        }
    }
    bench_conn_finish(crew, conn);
}

void bench_data_on_definition(struct bench_data *data, const struct control_reply *reply)
{
    struct bench_crew *crew = data->crew;
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(reply->data, "channels"), i, entry)
    {
        uint64_t number;
        const char *symbol = json_string_value(json_object_get(entry, "symbol"));
        if (symbol == NULL || !control_reply_u64(entry, "ch", &number) ||
            number >= BENCH_CHANNEL_NUMBER_MAX) {
            bench_totals_malformed(&crew->totals, "a channel of it is wrong", reply->name,
                                   strlen(reply->name));
            return;
        }
        uint32_t index_plus_1 = data->channel_indexes[number];
        uint32_t index = index_plus_1 > 0 ? index_plus_1 - 1 : bench_data_new_channel(data, number);
        if (index != UINT32_MAX) {
            data->channels[index].symbol =
                bench_load_find(crew->control->load, symbol, strlen(symbol));
        }
    }
}

static int bench_data_set_patterns(struct bench_data *data)
{
    struct bench_crew *crew = data->crew;
    const struct bench_options *options = crew->options;
    data->scan.time_unit_ns = options->time_unit_ns;
    data->has_seqs = options->seq_pattern[0] != 0 || options->echo;
    data->has_times = options->time_pattern[0] != 0;
    bool fits = pattern_scan_set(&data->scan, PATTERN_TIME, options->time_pattern) &&
                pattern_scan_set(&data->scan, PATTERN_SEQ, options->seq_pattern) &&
                pattern_scan_set(&data->scan, PATTERN_CHANNEL, options->channel_pattern);
    return fits ? 0 : -EMSGSIZE;
}

int bench_data_init(struct bench_data *data, struct bench_crew *crew)
{
    uint32_t interval_count = crew->control->interval_count;
    data->crew = crew;
    data->channels = calloc(BENCH_CHANNELS_MAX, sizeof *data->channels);
    bench_slow_ticks_begin(&data->slow_ticks, crew->options->slow_tick_count);
    data->receipts.count_max = BENCH_RECEIPTS_MAX / crew->options->thread_count;
    data->channel_indexes = calloc(BENCH_CHANNEL_NUMBER_MAX, sizeof *data->channel_indexes);
    if (data->channels == NULL || data->channel_indexes == NULL) {
        return -ENOMEM;
    }
    if (interval_count > 0) {
        data->intervals = calloc(interval_count, sizeof *data->intervals);
        if (data->intervals == NULL) {
            return -ENOMEM;
        }
    }
    return bench_data_set_patterns(data);
}

void bench_data_deinit(struct bench_data *data)
{
    for (uint32_t i = 0; i < data->channel_count; i++) {
        bench_ticks_deinit(&data->channels[i].ticks);
    }
    bench_places_forget(&data->receipts);
    free(data->intervals);
    free(data->channels);
    free(data->channel_indexes);
}
