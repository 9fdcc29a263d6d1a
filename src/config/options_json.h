/*
 * options_json: the effective configuration as JSON: {"heartbeat":30.0,"websocket":{"port":8765},
 * "origins":{"websocket.port":"RINGCAST_PORT"}}.
 *
 * Values are by key; "heartbeat" is websocket.heartbeat_interval again. A secret is "***", null
 * stands for what is not set.
 *
 * Owner    The caller has what is returned.
 * Threads  Any, while no thread writes the options.
 * Errors   NULL: no memory.
 */
#ifndef RINGCAST_SRC_OPTIONS_JSON_H
#define RINGCAST_SRC_OPTIONS_JSON_H

#include <jansson.h>

#include "src/config/options.h"

json_t *options_json(const struct options *options);

#endif
