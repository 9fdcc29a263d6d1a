/*
 * bench_mqtt: the client side of MQTT 3.1.1, as far as a subscriber with QoS 0 needs it.
 *
 * Owner    The caller. Threads: no state.
 * Memory   The bytes that subscribe.
 * Source   OASIS MQTT 3.1.1, sections 2, 3 and 6 (WebSocket); mosquitto 2.0.
 */
#ifndef RINGCAST_TOOLS_BENCH_MQTT_H
#define RINGCAST_TOOLS_BENCH_MQTT_H

#include "tools/load/bench_broker.h"

#define BENCH_MQTT_SUBPROTOCOL "mqtt"
#define BENCH_MQTT_TOPIC "md/{symbol}" /* the default of --topic */
#define BENCH_MQTT_KEEP_ALIVE_SECONDS 30
#define BENCH_MQTT_CONNECT_BYTES 14
#define BENCH_MQTT_PINGREQ "\xc0\0" /* 2 bytes */
#define BENCH_MQTT_DISCONNECT "\xe0\0"

/* CONNECT with a clean session, and no client identifier: the server invents one. */
void bench_mqtt_connect(uint8_t out[BENCH_MQTT_CONNECT_BYTES], uint8_t keep_alive_seconds);

/* CONNECT, and SUBSCRIBE with a topic for each of "A,B". The symbol "*" becomes "+", which matches
 * one level. To be freed; NULL: out of memory. */
char *bench_mqtt_subscribe_text(const char *symbols, const char *topic, size_t *bytes_out);

/* What stands before the payload of a PUBLISH with QoS 0; returns its bytes, at most
 * topic_bytes + 7. */
size_t bench_mqtt_publish_head(uint8_t *out, const char *topic, size_t topic_bytes,
                               size_t payload_bytes);

/* The first packet of these bytes; returns its number of bytes, or 0: it is not complete. */
size_t bench_mqtt_read(const uint8_t *bytes, size_t bytes_count,
                       struct bench_broker_packet *packet_out);

#endif
