/*
 * request_url: what the URL of an upgrade subscribes, as the SUBSCRIBE that says the same.
 *
 * Threads, memory, errors   As request.h; the field at fault is "path[2]" or the key of the query.
 * Source   docs/protocol.md, "Subscribing by URL".
 */
#ifndef RINGCAST_SRC_REQUEST_URL_H
#define RINGCAST_SRC_REQUEST_URL_H

#include "src/request/request.h"

#define REQUEST_URL_KEYS_COUNT 10

/* The keys that a query may have. */
extern const char *const request_url_keys[REQUEST_URL_KEYS_COUNT];

/* text: what follows the site's path, "/NAME/NAME?KEY=VALUE". With true and type REQUEST_NONE it
 * asks for nothing. */
bool request_url_parse(struct request *request, const char *text, size_t text_bytes,
                       struct request_error *error_out);

#endif
