#include "ring/link/securing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "ring/link/input.h"
#include "ring/link/opening.h"
#include "ring/link/tls_in.h"
#include "ring/link/tls_out.h"
#include "ring/link/turn_away.h"

/* ---- Jobs ---- */

bool securing_is_idle(const struct links *links)
{
    return links->tls_jobs == NULL || links->tls_jobs->free_count == TLS_HANDSHAKES_MAX;
}

static struct tls_job *securing_job(const struct links *links, const struct link *link)
{
    uint16_t number = links_tls(links, link)->job;
    assert_always(number < TLS_HANDSHAKES_MAX);
    return &links->tls_jobs->jobs[number];
}

static struct link_tls_place *securing_place(const struct links *links, const struct tls_job *job)
{
    assert_always(job->number < TLS_HANDSHAKES_MAX);
    return &links->tls_jobs->places[job->number];
}

static void securing_submit(struct links *links, struct tls_job *job)
{
    links->options.tls->submit(links->options.tls, &links->engine, job);
}

static void securing_give(struct links *links, const struct tls_job *job)
{
    struct link_tls_jobs *jobs = links->tls_jobs;
    assert_always(jobs->free_count < TLS_HANDSHAKES_MAX);
    assert_always(job->handshake == NULL);
    jobs->free[jobs->free_count++] = (uint16_t)job->number;
}

/* Its link needs it no more. A handshake that has begun goes by one more job. */
static void securing_release(struct links *links, struct tls_job *job)
{
    struct link_tls_place *place = securing_place(links, job);
    assert_always(place->conn != LINK_NONE);
    place->conn = LINK_NONE;
    list_remove(&place->age_link);
    counter_add(&links->counters->tls_running, (uint64_t)-1);
    tls_job_wipe(job);
    free(job->peer);
    job->peer = NULL;
    if (job->handshake == NULL) {
        securing_give(links, job);
        return;
    }
    job->is_over = true;
    job->in_bytes = 0;
    securing_submit(links, job);
}

/* ---- Receiving ---- */

static void securing_arm(struct links *links, struct link *link)
{
    struct io_uring_sqe *sqe = links_sqe(links);
    size_t room = TLS_JOB_IN_BYTES - securing_job(links, link)->in_bytes;
    assert_always(!link->recv_armed && !link->job_running);
    assert_always(room > 0);
    engine_prepare_recv_once(sqe, link->fd, room);
    sqe->user_data = links_tag_of(links, link, OP_RECV);
    link->recv_armed = true;
}

static void securing_take_job(struct links *links, struct link *link)
{
    struct link_tls_jobs *jobs = links->tls_jobs;
    assert_always(jobs->free_count > 0);
    uint16_t number = jobs->free[--jobs->free_count];
    struct tls_job *job = &jobs->jobs[number];
    struct link_tls_place *place = &jobs->places[number];
    links_tls(links, link)->job = number;
    job->core = links->options.core_number;
    job->number = number;
    job->is_over = false;
    job->in_bytes = 0;
    place->conn = links_index(links, link);
    place->since_ns = links->now_ns;
    place->has_begun = false;
    list_append(&jobs->taken, &place->age_link);
    counter_add(&links->counters->tls_running, 1);
    securing_arm(links, link);
}

static void securing_want_job(struct links *links, struct link *link)
{
    struct link_tls_jobs *jobs = links->tls_jobs;
    if (jobs->free_count > 0 && jobs->waiting_count == 0) {
        securing_take_job(links, link);
        return;
    }
    links_tls(links, link)->job = LINK_TLS_WAITS;
    list_append(&jobs->waiting, &links_backlog(links, link)->answer_link);
    jobs->waiting_count++;
    counter_add(&links->counters->tls_waiting, 1);
}

static void securing_stop_waiting(struct links *links, struct link *link)
{
    assert_always(links_tls(links, link)->job == LINK_TLS_WAITS);
    assert_always(links->tls_jobs->waiting_count > 0);
    links_tls(links, link)->job = LINK_TLS_NO_PART;
    list_remove(&links_backlog(links, link)->answer_link);
    links->tls_jobs->waiting_count--;
    counter_add(&links->counters->tls_waiting, (uint64_t)-1);
}

void securing_forget(struct links *links, struct link *link)
{
    struct link_tls *tls = links_tls(links, link);
    if (tls->job == LINK_TLS_WAITS) {
        securing_stop_waiting(links, link);
    } else if (tls->job != LINK_TLS_NO_PART && !link->job_running) {
        securing_release(links, securing_job(links, link));
        tls->job = LINK_TLS_NO_PART;
    }
}

static counter *securing_gauge(struct links *links, const struct link *link)
{
    return links_tls(links, link)->tx.version == TLS_1_3 ? &links->counters->tls_13
                                                         : &links->counters->tls_12;
}

void securing_end(struct links *links, struct link *link)
{
    securing_forget(links, link);
    if (links_tls(links, link)->is_keyed) {
        counter_add(securing_gauge(links, link), (uint64_t)-1);
    }
}

/* ---- Failures ---- */

static void securing_count_failure(struct links *links, struct link *link, counter *reason,
                                   const char *text)
{
    counter_add(reason, 1);
    link->is_refused = true;
    links_log(links, 0, "TLS handshake failed: %s", text);
}

static void securing_fail(struct links *links, struct link *link, counter *reason, const char *text)
{
    securing_count_failure(links, link, reason, text);
    link_doom(links, link, 0, text);
}

/* Its last words are those of a plain connection. */
static void securing_refuse_plainly(struct links *links, struct link *link, const char *text)
{
    securing_forget(links, link);
    link->is_tls = false;
    opening_refuse_with(links, link, "400 Bad Request", "", text);
    link_arm_recv(links, link);
}

/* Sends bytes as they are, and closes. */
static void securing_close_with(struct links *links, struct link *link, const uint8_t *bytes,
                                size_t count, const char *text)
{
    link_begin_closing(links, link, text);
    tls_out_queue(links, link, bytes, count);
    if (link->stage == LINK_CLOSING) {
        link_arm_recv(links, link);
    }
}

/* A client that left before it said anything is not counted as one whose handshake failed. */
static void securing_on_left(struct links *links, struct link *link, int result)
{
    const char *text = result == 0             ? "closed by the peer"
                       : result == -ECONNRESET ? "reset by the peer"
                                               : "receive failed";
    if (links_tls(links, link)->received > 0) {
        securing_fail(links, link, &links->counters->tls_left, text);
    } else {
        link_doom(links, link, 0, text);
    }
}

void securing_on_timer(struct links *links, struct link *link)
{
    if (!stamp_is_due(link->tick, links->now_ns)) {
        timer_arm(&links->wheel, links_index(links, link),
                  stamp_deadline_ns(link->tick, links->now_ns));
        return;
    }
    securing_fail(links, link, &links->counters->tls_late, "no TLS handshake within 10 s");
}

/* ---- Bytes ---- */

static_assert(TLS_JOB_IN_BYTES >= PROXY_HEADER_BYTES_MAX, "one that needs more has room for it");

/* false: it is not complete, is followed by nothing yet, or is refused. */
static bool securing_read_proxy(struct links *links, struct link *link, struct tls_job *job)
{
    struct proxy_header *header = &links_backlog(links, link)->proxied;
    if (!link->is_proxied || header->header_bytes > 0) {
        return true;
    }
    enum proxy_status status = proxy_header_parse(job->in, job->in_bytes, header);
    if (status == PROXY_ABSENT || status == PROXY_BAD) {
        securing_count_failure(links, link, &links->counters->tls_protocol, opening_proxy_text);
        if (job->in[0] == TLS_HANDSHAKE) {
            uint8_t alert[TURN_AWAY_ALERT_BYTES];
            turn_away_write_alert(alert, TLS_ALERT_ACCESS_DENIED);
            securing_close_with(links, link, alert, sizeof alert, opening_proxy_text);
        } else {
            securing_refuse_plainly(links, link, opening_proxy_text);
        }
        return false;
    }
    if (status == PROXY_OK) {
        job->in_bytes -= (uint32_t)header->header_bytes;
        memmove(job->in, job->in + header->header_bytes, job->in_bytes);
    }
    if (status == PROXY_NEED_MORE || job->in_bytes == 0) {
        securing_arm(links, link);
        return false;
    }
    return true;
}

static void securing_on_bytes(struct links *links, struct link *link, const uint8_t *bytes,
                              size_t count)
{
    struct link_tls *tls = links_tls(links, link);
    struct tls_job *job = securing_job(links, link);
    struct link_tls_place *place = securing_place(links, job);
    assert_always(count <= TLS_JOB_IN_BYTES - job->in_bytes);
    memcpy(job->in + job->in_bytes, bytes, count);
    job->in_bytes += (uint32_t)count;
    counter_add(&links->counters->bytes_in, count);
    tls->received += (uint32_t)count;
    if (tls->received > SECURING_BYTES_MAX) {
        securing_fail(links, link, &links->counters->tls_protocol,
                      "more than 64 KiB in a TLS handshake");
        return;
    }
    if (!securing_read_proxy(links, link, job)) {
        return;
    }
    if (!place->has_begun && job->in[0] != TLS_HANDSHAKE) {
        static const char text[] = "this port speaks TLS: use wss://";
        securing_count_failure(links, link, &links->counters->tls_not_tls, text);
        securing_refuse_plainly(links, link, text);
        return;
    }
    place->has_begun = true;
    link->job_running = true;
    securing_submit(links, job);
}

void securing_on_recv(struct links *links, struct link *link, const struct io_uring_cqe *cqe)
{
    assert_always(link->stage == LINK_SECURING);
    link->recv_armed = false;
    if (cqe->res == -ENOBUFS) {
        counter_add(&links->counters->recv_no_buffer, 1);
        securing_arm(links, link);
    } else if (cqe->res <= 0) {
        securing_on_left(links, link, cqe->res);
    } else if (links_tls(links, link)->job == LINK_TLS_NO_PART) {
        securing_want_job(links, link);
    } else {
        securing_on_bytes(links, link, engine_recv_bytes(&links->engine, cqe), (size_t)cqe->res);
        engine_give_back(&links->engine, cqe);
    }
}

/* ---- Results ---- */

static void securing_count_finished(struct links *links, const struct link *link, uint64_t spent_ns)
{
    const struct tls_peer *peer = links_tls(links, link)->peer;
    counter_add(peer->is_resumed ? &links->counters->tls_resumed : &links->counters->tls_full, 1);
    counter_add(securing_gauge(links, link), 1);
    counters_histogram_add(&links->counters->tls_handshake, spent_ns, 1);
}

/* The time for its request begins. What came behind its Finished is in the job, and no receive will
 * bring it. */
static void securing_finish(struct links *links, struct link *link, struct tls_job *job)
{
    struct link_tls *tls = links_tls(links, link);
    assert_always(job->peer != NULL);
    tls->tx = job->tx;
    tls->rx = job->rx;
    memcpy(tls->tx_secret, job->tx_secret, sizeof tls->tx_secret);
    memcpy(tls->rx_secret, job->rx_secret, sizeof tls->rx_secret);
    tls->peer = job->peer;
    tls->is_keyed = true;
    job->peer = NULL;
    tls_job_wipe(job);
    securing_count_finished(links, link, job->spent_ns);
    opening_begin_request(links, link);
    tls_in_on_bytes(links, link, job->rest, job->rest_bytes);
    input_receive(links, link);
}

static void securing_on_failed(struct links *links, struct link *link, const struct tls_job *job)
{
    counter *const reasons[] = {
        [TLS_FAILURE_PROTOCOL] = &links->counters->tls_protocol,
        [TLS_FAILURE_CERTIFICATE] = &links->counters->tls_certificate,
        [TLS_FAILURE_ALERT] = &links->counters->tls_alert,
        [TLS_FAILURE_INTERNAL] = &links->counters->tls_internal,
    };
    assert_always(job->failure < sizeof reasons / sizeof reasons[0]);
    securing_count_failure(links, link, reasons[job->failure], job->text);
    securing_close_with(links, link, job->out, job->out_bytes, job->text);
}

/* Of a link that is still in its handshake. */
static void securing_go_on_with(struct links *links, struct link *link, struct tls_job *job)
{
    if (job->outcome == TLS_FAILED) {
        securing_on_failed(links, link, job);
        securing_forget(links, link);
        return;
    }
    tls_out_queue(links, link, job->out, job->out_bytes);
    if (link->stage != LINK_SECURING) {
        return; /* No room for it: core_bury() takes the job. */
    }
    if (job->outcome == TLS_FINISHED) {
        securing_finish(links, link, job);
        securing_forget(links, link);
        return;
    }
    job->in_bytes = 0;
    securing_arm(links, link);
}

static void securing_on_result(struct links *links, struct tls_job *job)
{
    uint32_t conn = securing_place(links, job)->conn;
    if (conn == LINK_NONE) { /* It was only to be given up. */
        securing_give(links, job);
        return;
    }
    struct link *link = links_at(links, conn);
    assert_always(link->job_running);
    link->job_running = false;
    if (link->stage == LINK_SECURING) {
        securing_go_on_with(links, link, job);
    } else if (link->stage == LINK_DRAINING) {
        securing_release(links, job);
        link_on_operation_ended(links, link);
    } /* One that is doomed: core_bury() takes the job. */
}

/* ---- Who waits ---- */

static void securing_serve_waiting(struct links *links)
{
    struct link_tls_jobs *jobs = links->tls_jobs;
    while (jobs->free_count > 0 && !list_empty(&jobs->waiting)) {
        const struct link_backlog *first =
            container_of(jobs->waiting.next, struct link_backlog, answer_link);
        struct link *link = links_at(links, (uint32_t)(first - links->backlogs));
        securing_stop_waiting(links, link);
        if (link->stage == LINK_SECURING) {
            securing_take_job(links, link);
        }
    }
}

/* Clients that begin a handshake and do not go on with it must not keep others out: as many as
 * wait, the oldest first. */
static void securing_make_room(struct links *links)
{
    struct link_tls_jobs *jobs = links->tls_jobs;
    uint32_t wanted = jobs->waiting_count;
    for (const struct list_link *at = jobs->taken.next; at != &jobs->taken && wanted > 0;
         at = at->next) {
        const struct link_tls_place *place = container_of(at, struct link_tls_place, age_link);
        struct link *link = links_at(links, place->conn);
        if (links->now_ns < place->since_ns + SECURING_GIVE_WAY_NS) {
            return;
        }
        if (link->job_running) {
            continue;
        }
        if (link->stage == LINK_SECURING) {
            securing_fail(links, link, &links->counters->tls_late,
                          "its TLS handshake was slow while others waited");
        }
        wanted--; /* Also for one that is doomed: core_bury() takes its job. */
    }
}

bool securing_has_result(const struct links *links)
{
    struct tls_service *service = links->options.tls;
    return service != NULL && service->has_result(service, links->options.core_number);
}

void securing_go_on(struct links *links)
{
    struct tls_service *service = links->options.tls;
    if (service == NULL) {
        return;
    }
    for (uint32_t left = TLS_HANDSHAKES_MAX; left > 0; left--) {
        struct tls_job *job = service->next_result(service, links->options.core_number);
        if (job == NULL) {
            break;
        }
        securing_on_result(links, job);
    }
    securing_serve_waiting(links);
    securing_make_room(links);
}
