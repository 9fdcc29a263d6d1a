/*
 * request_keys: the keys of a message that its type does not have, for `warnings` of the answer.
 *
 * Threads  The caller's.
 * Source   docs/protocol.md, "Messages".
 */
#ifndef RINGCAST_SRC_REQUEST_KEYS_H
#define RINGCAST_SRC_REQUEST_KEYS_H

#include "src/request/reply.h"
#include "src/request/request.h"

#define REQUEST_KEYS_NAMED_MAX 8
#define REQUEST_KEYS_BYTES_MAX 40 /* of a key, as it is named */

/* How many such keys there are, however many; what there was no verb for has none in data. */
uint32_t request_keys_count(const struct request *request);

/* Writes ,"warnings":[{"field":PATH,"message":TEXT},...]: each of the first ones, and how many more
 * there are. Nothing when there are none. Returns how many were named. */
uint32_t request_keys_warn(const struct request *request, struct reply *reply);

#endif
