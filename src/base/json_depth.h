/*
 * json_depth: how deep JSON from outside is nested, checked before parsing, because parsers
 * recurse.
 *
 * Threads  Any: a pure function.
 */
#ifndef RINGCAST_SRC_JSON_DEPTH_H
#define RINGCAST_SRC_JSON_DEPTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether at most this many brackets stand within each other. */
bool json_depth_is_within(const char *json, size_t json_bytes, uint32_t depth_max);

#endif
