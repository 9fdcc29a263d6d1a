/*
 * json_load: foreign JSON, parsed. A key that is given twice is a fault; a number that jansson
 * cannot hold is none, see codec/json_numbers.h.
 *
 * Threads  Any.
 * Memory   The value is the caller's: json_decref. For such a number, a copy of the text meanwhile.
 * Errors   NULL and the fault in *fault_out, without a text when there was no memory.
 */
#ifndef RINGCAST_SRC_JSON_LOAD_H
#define RINGCAST_SRC_JSON_LOAD_H

#include <jansson.h>

json_t *json_load(const char *text, size_t text_bytes, json_error_t *fault_out);

#endif
