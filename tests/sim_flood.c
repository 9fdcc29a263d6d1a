/* sim_flood: more clients at once than a core does TLS handshakes, and most of them stop in the
 * middle: those who go on are served all the same. */
#include <string.h>

#include "tests/sim_world.h"

#define FLOOD_AT_NS (NOISE_NS / 4)
#define FLOOD_MUTE_PERCENT 90

enum flood_state {
    FLOOD_AWAY,
    FLOOD_MUTE,    /* It has sent the beginning of its first flight, and sends no more. */
    FLOOD_SHAKING, /* It goes on. */
    FLOOD_GONE,
};

static struct flood_client {
    enum flood_state state;
    struct sim_peer peer;
    struct sim_tls tls;
} flood_clients[FLOOD_CLIENTS];

void flood_begin(void)
{
    for (uint32_t i = 0; i < FLOOD_CLIENTS; i++) {
        flood_clients[i].state = FLOOD_AWAY;
    }
}

static void flood_connect(struct flood_client *client)
{
    bool is_mute = sim_random(100) < FLOOD_MUTE_PERCENT;
    struct handshake_wish wish = {0};
    bool is_connected = sim_peer_connect(&client->peer, WORLD_TLS_LISTENER_FD, 60000,
                                         is_mute ? NULL : &client->tls);
    assert_always(is_connected);
    if (is_mute) {
        static const uint8_t beginning[] = {TLS_HANDSHAKE, 3, 1, 0};
        sim_client_send(client->peer.socket, beginning, sizeof beginning);
        client->state = FLOOD_MUTE;
    } else {
        sim_peer_request(&client->peer, wish, SIZE_MAX);
        client->state = FLOOD_SHAKING;
    }
}

static void flood_leave(struct flood_client *client)
{
    if (client->peer.is_open) {
        sim_tls_notify(client->peer.tls);
    }
    sim_client_close(client->peer.socket, false);
    client->state = FLOOD_GONE;
}

static void flood_on_message(void *context, const struct ws_message *message)
{
    (void)context, (void)message;
}

static void flood_step_one(struct flood_client *client)
{
    const struct sim_socket *socket = client->peer.socket;
    const char *fault = NULL;
    if (client->state == FLOOD_SHAKING) {
        fault = sim_peer_read(&client->peer, SIZE_MAX, flood_on_message, NULL);
    }
    if (fault != NULL) {
        world_fail(fault);
    } else if (client->state == FLOOD_SHAKING && client->peer.is_open) {
        world.flooded++;
        flood_leave(client);
    } else if (socket->server_closed && socket->to_client_bytes == 0) {
        EXPECT(client->state == FLOOD_MUTE || client->tls.facts.fails || world.is_scarce);
        flood_leave(client);
    }
}

void flood_step(void)
{
    if (sim.now_ns < world.began_ns + FLOOD_AT_NS) {
        return;
    }
    for (uint32_t i = 0; i < FLOOD_CLIENTS && world.fault[0] == '\0'; i++) {
        struct flood_client *client = &flood_clients[i];
        if (client->state == FLOOD_AWAY) {
            flood_connect(client);
        } else if (client->state != FLOOD_GONE) {
            flood_step_one(client);
        }
    }
    uint64_t waiting = counter_get(&world.counters.tls_waiting);
    world.waiting_max = waiting > world.waiting_max ? waiting : world.waiting_max;
}

void flood_check(void)
{
    for (uint32_t i = 0; i < FLOOD_CLIENTS; i++) {
        EXPECT(flood_clients[i].state != FLOOD_SHAKING);
    }
}
