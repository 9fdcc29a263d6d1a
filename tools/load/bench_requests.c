#include "tools/load/bench_requests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "tools/load/bench_conn.h"

int bench_requests_init(struct bench_requests *requests, struct bench_crew *crew)
{
    const struct bench_options *options = crew->options;
    uint32_t each = options->request_count / options->connection_count;
    uint32_t rest = options->request_count % options->connection_count;
    requests->crew = crew;
    requests->conns = calloc(crew->conn_count, sizeof *requests->conns);
    if (requests->conns == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < crew->conn_count; i++) {
        requests->conns[i].left = each + (crew->first_conn_index + i < rest);
        requests->unanswered += requests->conns[i].left;
    }
    return 0;
}

void bench_requests_deinit(struct bench_requests *requests)
{
    free(requests->conns);
}

static void bench_requests_send(struct bench_requests *requests, struct bench_conn *conn,
                                struct bench_requests_conn *state)
{
    static const char list[] = "{\"type\":\"LIST\",\"id\":1}";
    assert_always(state->sent_ns == 0);
    if (state->left == 0 || conn->state != BENCH_CONN_STREAMING) {
        return;
    }
    state->left--;
    state->sent_ns = requests->crew->now_ns;
    bench_conn_send(requests->crew, conn, WS_TEXT, list, sizeof list - 1);
}

void bench_requests_begin(struct bench_requests *requests)
{
    struct bench_crew *crew = requests->crew;
    if (requests->has_begun) {
        return;
    }
    requests->has_begun = true;
    requests->first_ns = crew->now_ns;
    for (uint32_t i = 0; i < crew->conn_count; i++) {
        bench_requests_send(requests, &crew->conns[i], &requests->conns[i]);
    }
}

bool bench_requests_take(struct bench_requests *requests, struct bench_conn *conn,
                         const struct control_reply *reply)
{
    struct bench_crew *crew = requests->crew;
    struct bench_requests_conn *state = &requests->conns[bench_crew_index_of(crew, conn)];
    bool is_error = reply->type == CONTROL_ERROR;
    if (state->sent_ns == 0 || (!is_error && strcmp(reply->name, "SUBSCRIPTIONS") != 0)) {
        return false;
    }
    assert_always(requests->unanswered > 0);
    uint64_t now_ns = crew->now_ns;
    requests->unanswered--;
    requests->last_ns = now_ns;
    if (is_error) {
        requests->refused++;
    } else {
        requests->answered++;
        histogram_record(&requests->response,
                         now_ns > state->sent_ns ? now_ns - state->sent_ns : 0);
    }
    state->sent_ns = 0;
    bench_requests_send(requests, conn, state);
    return true;
}
