/*
 * request_fields: the fields that several messages have, and how a fault in one is reported. For
 * request.c alone.
 *
 * Errors   false, and the fault in *error.
 */
#ifndef RINGCAST_SRC_REQUEST_FIELDS_H
#define RINGCAST_SRC_REQUEST_FIELDS_H

#include <jansson.h>

#include "src/request/request.h"

#define REQUEST_SLOTS 2048

/* Returns false. */
bool request_fields_fail(struct request_error *error, enum protocol_code code, const char *field,
                         const char *format, ...) __attribute__((format(printf, 4, 5)));
bool request_fields_fail_memory(struct request_error *error);

/* A client may leave a field out or say null. */
json_t *request_fields_get(const json_t *object, const char *key);

/* Symbols that are added one by one, to memory for this many. false: no memory. */
struct request_adding {
    char *text; /* where the next one goes */
    char *text_end;
    uint32_t slot_count;           /* a power of two */
    uint16_t slots[REQUEST_SLOTS]; /* of which slot_count are used, to find one given twice */
};
bool request_fields_begin_symbols(struct request *request, struct request_adding *adding,
                                  size_t count, size_t text_bytes);
/* symbol: its text is copied. */
void request_fields_add_symbol(struct request *request, struct request_adding *adding,
                               struct request_symbol symbol);

bool request_fields_symbols(struct request *request, const json_t *data,
                            struct request_error *error);
bool request_fields_data_types(struct request *request, const json_t *data,
                               struct request_error *error);
/* Both, of which none may be missing. */
bool request_fields_names(struct request *request, const json_t *data, struct request_error *error);

bool request_fields_depth(struct request *request, const json_t *data, struct request_error *error);
bool request_fields_bar(struct request *request, const json_t *data, struct request_error *error);
bool request_fields_delivery(struct request *request, const json_t *data,
                             struct request_error *error);
/* All settings of SUBSCRIBE. */
bool request_fields_settings(struct request *request, const json_t *data,
                             struct request_error *error);
/* Names that are subscribed, or might be, with what tells variants apart. */
bool request_fields_variants(struct request *request, const json_t *data,
                             struct request_error *error);

bool request_fields_is_seq(const json_t *value);
bool request_fields_epoch(struct request *request, const json_t *object, const char *field,
                          struct request_error *error);

#endif
