#include "src/roll/roll_part.h"

#include <stdio.h>

#include "ring/core/core_conn.h"
#include "src/access/certificate_name.h"
#include "src/session/session_client.h"

#define ROLL_ROUND_SLOT_UNITS 1
#define ROLL_ROUND_ROW_UNITS 20
#define ROLL_ROUND_LAG_UNITS 80    /* two reads of the log, and a system call */
#define ROLL_ROUND_DETAIL_UNITS 80 /* two system calls */
#define ROLL_ROUND_SAMPLE_UNITS 50 /* one */
#define ROLL_ROUND_CHANNEL_UNITS 20
#define ROLL_ROUND_CLOSE_UNITS 300 /* with the send and the end that follow */

static_assert(ROLL_NAME_BYTES_MAX == TOKEN_NAME_BYTES_MAX, "a name fits");

static const enum roll_state roll_part_states[] = {
    [CORE_CONN_STREAMING] = ROLL_STREAMING,
    [CORE_CONN_BLOCKED] = ROLL_BLOCKED,
    [CORE_CONN_CATCHING_UP] = ROLL_CATCHING_UP,
};

static void roll_part_write_details(struct sessions *sessions, struct core *core,
                                    struct roll_row *row)
{
    const struct session_client *entry =
        sessions->clients == NULL ? NULL : &sessions->clients[row->conn];
    struct core_source source;
    struct core_sent sent;
    core_spend(core, ROLL_ROUND_DETAIL_UNITS);
    core_conn_source(core, row->conn, &source);
    row->is_unix = source.is_unix;
    row->address = source.address;
    row->port = source.port;
    struct peer nearest = session_client_peer_of(&source);
    if (entry != NULL && entry->has_client && !session_client_is_same(&nearest, &entry->client)) {
        row->is_unix = entry->client.is_unix;
        row->address = entry->client.address;
        row->port = 0;
    }
    row->has_bytes = core_conn_sent(core, row->conn, &sent);
    row->bytes_sent = sent.bytes;
}

static void roll_part_write_tls(const struct sessions *sessions, struct core *core,
                                struct roll_row *row)
{
    struct core_conn_tls tls;
    assert_always(row->conn < sessions->slab_count);
    if (!core_conn_tls(core, row->conn, &tls)) {
        return;
    }
    const char *name = sessions->clients == NULL
                           ? NULL
                           : access_grant_certificate(&sessions->clients[row->conn].grant);
    row->tls = tls.version;
    row->cipher = tls.cipher;
    certificate_name_cut(row->certificate, sizeof row->certificate, name == NULL ? "" : name);
}

static void roll_part_write_lag(struct core *core, struct roll_row *row)
{
    struct core_lag lag;
    core_spend(core, ROLL_ROUND_LAG_UNITS);
    core_conn_lag(core, row->conn, &lag);
    if (lag.is_behind) {
        row->lag_frames = lag.frames;
        row->lag_ms = lag.ms;
        row->cause = lag_cause_text(lag.cause);
    }
}

static void roll_part_write_row(struct roll_part *self, struct core *core, uint32_t conn,
                                const struct core_conn_stats *stats, uint64_t now_ns)
{
    struct sessions *sessions = self->sessions;
    const struct session *session = session_of(sessions, conn);
    const struct quality *quality = &sessions->qualities[conn];
    uint32_t place = atomic_fetch_add_explicit(&self->roll->count, 1, memory_order_relaxed);
    if (place >= self->roll->capacity) {
        return;
    }
    core_spend(core, ROLL_ROUND_ROW_UNITS);
    struct roll_row *row = &self->roll->rows[place];
    *row = (struct roll_row){
        .number = session->number,
        .core = core_index(core),
        .conn = conn,
        .frames_sent = stats->frames_sent,
        .frames_lost = stats->frames_lost,
        .frames_conflated = stats->frames_conflated,
        .opened_ns = now_ns - stats->open_ns,
        .encoding = (uint8_t)stats->encoding,
        .state = (uint8_t)roll_part_states[stats->state],
        .quality = quality_is_of(quality, session->number) ? (int8_t)quality_score(quality)
                                                           : QUALITY_UNKNOWN,
        .subscription_count = stats->subscription_count,
        .round_trip_us = stats->round_trip_us,
    };
    if (sessions->clients != NULL) {
        snprintf(row->name, sizeof row->name, "%s", sessions->clients[conn].grant.name);
    }
    roll_part_write_tls(sessions, core, row);
    if (stats->state != CORE_CONN_STREAMING) {
        roll_part_write_lag(core, row);
    }
    if (self->roll->with_details) {
        roll_part_write_details(sessions, core, row);
    }
}

static void roll_part_sample(struct roll_part *self, struct core *core, uint32_t conn,
                             const struct core_conn_stats *stats, uint64_t now_ns)
{
    uint64_t number = session_of(self->sessions, conn)->number;
    struct quality *quality = &self->sessions->qualities[conn];
    struct core_sent sent;
    core_spend(core, ROLL_ROUND_SAMPLE_UNITS);
    if (!quality_is_of(quality, number)) {
        quality_begin(quality, number);
    }
    uint64_t passed_ns = now_ns - self->roll->sampled_ns; /* The round before began then. */
    (void)core_conn_sent(core, conn, &sent);
    struct quality_counts counts = {
        .blocked_ns = stats->blocked_ns,
        .frames_sent = stats->frames_sent,
        .frames_lost = stats->frames_lost,
        .segments = sent.segments,
        .segments_again = sent.segments_again,
        .missed_pongs = stats->missed_pongs,
    };
    quality_sample(quality, &counts, passed_ns < stats->open_ns ? passed_ns : stats->open_ns);
    int score = quality_score(quality);
    if (score != QUALITY_UNKNOWN) {
        self->band_counts[score >= QUALITY_GOOD ? 0 : score >= QUALITY_FAIR ? 1 : 2]++;
    }
}

/* A connection of the slab. */
static void roll_part_visit_conn(struct roll_part *self, struct core *core, uint32_t conn,
                                 uint64_t now_ns)
{
    struct core_conn_stats stats;
    core_spend(core, ROLL_ROUND_SLOT_UNITS);
    if (session_of(self->sessions, conn)->number == 0) {
        return;
    }
    core_conn_stats(core, conn, &stats);
    if (stats.state == CORE_CONN_ENDING) {
        return;
    }
    if (self->roll->round == ROLL_SAMPLE) {
        roll_part_sample(self, core, conn, &stats, now_ns);
    } else {
        roll_part_write_row(self, core, conn, &stats, now_ns);
    }
}

/* Perhaps another client has its connection by now. */
static void roll_part_visit_picked(struct roll_part *self, struct core *core, struct roll_row *row)
{
    struct core_conn_stats stats;
    core_spend(core, ROLL_ROUND_SLOT_UNITS);
    assert_always(row->conn < self->sessions->slab_count);
    if (row->core != core_index(core) ||
        session_of(self->sessions, row->conn)->number != row->number) {
        return;
    }
    core_conn_stats(core, row->conn, &stats);
    row->is_there = stats.state != CORE_CONN_ENDING;
    if (!row->is_there) {
        return;
    }
    if (!self->roll->with_details) {
        roll_part_write_details(self->sessions, core, row);
    }
    if (self->roll->round == ROLL_CLOSE) {
        core_spend(core, ROLL_ROUND_CLOSE_UNITS);
        counter_add(&self->sessions->options.counters->closed_kicked, 1);
        core_close(core, row->conn, self->roll->code, "kicked");
    }
}

static void roll_part_count_subscribers(const struct roll *roll, struct core *core)
{
    for (uint32_t i = 0; i < roll->channel_count; i++) {
        struct roll_channel *asked = &roll->channels[i];
        uint32_t count = core_channel_subscribers(core, asked->channel);
        core_spend(core, ROLL_ROUND_CHANNEL_UNITS);
        atomic_fetch_add_explicit(&asked->subscriber_count, count, memory_order_relaxed);
    }
}

static void roll_part_end_samples(const struct roll_part *self)
{
    struct core_counters *counters = self->sessions->options.counters;
    counter_set(&counters->quality_good, self->band_counts[0]);
    counter_set(&counters->quality_fair, self->band_counts[1]);
    counter_set(&counters->quality_poor, self->band_counts[2]);
}

bool roll_part_work(void *context, struct core *core, uint64_t now_ns)
{
    struct roll_part *self = context;
    enum roll_round round = self->roll->round;
    bool is_picked = round == ROLL_DETAIL || round == ROLL_CLOSE;
    uint32_t end = is_picked ? self->roll->picked_count : self->sessions->slab_count;
    assert_always(self->next <= end);
    if (!self->has_counted) {
        roll_part_count_subscribers(self->roll, core);
        self->has_counted = true;
    }
    while (self->next < end && !core_slice_is_over(core)) {
        uint32_t i = self->next++;
        if (is_picked) {
            roll_part_visit_picked(self, core, self->roll->picked[i]);
        } else {
            roll_part_visit_conn(self, core, i, now_ns);
        }
    }
    if (self->next == end && round == ROLL_SAMPLE) {
        roll_part_end_samples(self);
    }
    return self->next == end;
}
