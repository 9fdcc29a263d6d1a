#include "tools/load/bench_crew.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "tools/load/bench_mqtt.h"

uint64_t bench_crew_random(struct bench_crew *crew)
{
    crew->random ^= crew->random << 13;
    crew->random ^= crew->random >> 7;
    crew->random ^= crew->random << 17;
    return crew->random;
}

/* Stalled conns read piecewise until they are subscribed, so that they can stop at will; slow ones
 * always. */
void bench_crew_arm(struct bench_crew *crew, struct bench_conn *conn)
{
    bool is_streaming = conn->state == BENCH_CONN_STREAMING;
    uint32_t bytes_max = 0;
    assert_always(!conn->recv_armed && conn->fd >= 0);

    if (conn->role == BENCH_SLOW && is_streaming) {
        bytes_max = crew->options->slow_bytes_per_second / BENCH_SLOW_PIECES;
    } else if (conn->role == BENCH_SLOW || (conn->role == BENCH_STALLED && !is_streaming)) {
        bytes_max = BENCH_RECV_BUFFER_BYTES;
    }
    conn->recv_armed = true;
    bench_ring_receive(crew->ring, bench_crew_index_of(crew, conn), conn->fd, bytes_max);
}

static void bench_crew_assign_roles(struct bench_crew *crew)
{
    const struct bench_options *options = crew->options;
    crew->first_bad_conn = crew->conn_count;
    for (uint32_t i = crew->conn_count; i-- > 0;) {
        uint32_t conn_index = crew->first_conn_index + i;
        struct bench_conn *conn = &crew->conns[i];
        conn->fd = -1;
        conn->role = (uint8_t)bench_load_role(crew->control->load, conn_index);
        conn->misdeeds = (uint8_t)conn_index;
        if (conn->role != BENCH_READER) {
            crew->first_bad_conn = i;
        }
        /* The last of the stalled ones. */
        uint32_t stalled_end =
            options->role_counts[BENCH_READER] + options->role_counts[BENCH_STALLED];
        conn->is_silent =
            conn->role == BENCH_STALLED && stalled_end - conn_index <= options->silent_count;
    }
}

size_t bench_crew_request(const struct bench_crew *crew, const struct bench_conn *conn,
                          char out[WS_CLIENT_REQUEST_BYTES_MAX])
{
    uint32_t conn_index = crew->first_conn_index + bench_crew_index_of(crew, conn);
    struct ws_client_url url = crew->options->url;
    bool fits = bench_load_path(crew->control->load, conn_index, url.path);
    return fits ? ws_client_request(&url, crew->key, &crew->wish, out) : 0;
}

char *bench_crew_subscribe_text(const struct bench_crew *crew, const struct bench_conn *conn,
                                bool unsubscribe, size_t *bytes_out)
{
    static const char everything[] = "{\"type\":\"UNSUBSCRIBE\",\"id\":2}";
    if (unsubscribe) {
        *bytes_out = sizeof everything - 1;
        return strdup(everything);
    }
    if (crew->subscribe_text != NULL) {
        *bytes_out = crew->subscribe_bytes;
        return crew->subscribe_text;
    }
    return bench_load_subscribe_text(
        crew->control->load, crew->first_conn_index + bench_crew_index_of(crew, conn), bytes_out);
}

static void bench_crew_set_wish(struct bench_crew *crew)
{
    const struct bench_options *options = crew->options;
    if (options->protocol == BENCH_RINGCAST) {
        crew->wish.protocol = options->encoding == BENCH_SBE ? WS_CLIENT_SBE : WS_CLIENT_JSON;
        crew->wish.is_implied = options->encoding != BENCH_SBE;
    } else if (options->protocol == BENCH_MQTT) {
        crew->wish.protocol = BENCH_MQTT_SUBPROTOCOL;
    } else if (options->subprotocol != NULL) {
        crew->wish.protocol = options->subprotocol;
        crew->wish.is_implied = true; /* Many servers do not answer with it. */
    }
    crew->wish.headers = options->headers.text_bytes > 0 ? options->headers.text : NULL;
    crew->wish.deflate = options->encoding == BENCH_DEFLATE;
}

int bench_crew_init(struct bench_crew *crew, const struct bench_options *options,
                    struct bench_control *control, struct bench_ring *ring, uint32_t thread_index)
{
    uint64_t count = options->connection_count;
    uint64_t first = count * thread_index / options->thread_count;
    uint64_t end = count * (thread_index + 1) / options->thread_count;
    uint8_t random[16];
    assert_always(thread_index < options->thread_count);
    if (getrandom(random, sizeof random, 0) != sizeof random) {
        return -EIO;
    }
    /* Each has its part, and at least one. */
    uint32_t in_flight_max = options->in_flight_max / options->thread_count +
                             (thread_index < options->in_flight_max % options->thread_count);
    crew->options = options;
    crew->control = control;
    crew->ring = ring;
    crew->first_conn_index = (uint32_t)first;
    crew->conn_count = (uint32_t)(end - first);
    crew->in_flight_max = in_flight_max + (in_flight_max == 0);
    crew->may_ask = !options->at_once;
    memcpy(&crew->random, random, sizeof crew->random);
    crew->random |= 1; /* xorshift must not begin with 0 */
    ws_client_key(crew->key, random);
    crew->conns = calloc(crew->conn_count, sizeof *crew->conns);
    if (crew->conns == NULL) {
        return -ENOMEM;
    }
    bench_crew_assign_roles(crew);
    bench_crew_set_wish(crew);
    bool subscribes = options->protocol != BENCH_PLAIN || options->send_text != NULL;
    if (bench_load_is_common(control->load) && subscribes) {
        size_t bytes = 0;
        crew->subscribe_text = bench_crew_subscribe_text(crew, crew->conns, false, &bytes);
        crew->subscribe_bytes = bytes;
        return crew->subscribe_text != NULL ? 0 : -ENOMEM;
    }
    return 0;
}

void bench_crew_deinit(struct bench_crew *crew)
{
    for (uint32_t i = 0; i < crew->conn_count; i++) {
        struct bench_conn *conn = &crew->conns[i];
        if (conn->fd >= 0) {
            close(conn->fd);
        }
        tls_client_destroy(conn->tls);
        free(conn->next_seqs);
        free(conn->carry);
        bench_broker_destroy(conn->broker);
    }
    free(crew->subscribe_text);
    free(crew->conns);
}
