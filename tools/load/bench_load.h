/*
 * bench_load: which connection subscribes to which symbols: the list, and each connection's draw.
 *
 * Owner    main creates it before the threads, destroys it after them.
 * Threads  Constant after creation; any may read.
 * Memory   The list, a table to find a name; for a draw 8 bytes a symbol, and 4 for each drawn
 *          subscription of each connection.
 * Errors   0 or a negative errno, with the reason in error_out.
 */
#ifndef RINGCAST_TOOLS_BENCH_LOAD_H
#define RINGCAST_TOOLS_BENCH_LOAD_H

#include <stddef.h>

#include "tools/load/bench_options.h"

#define BENCH_SYMBOLS_MAX 100000
#define BENCH_DRAW_MAX 1000 /* subscriptions of a connection, when they are drawn */
#define BENCH_SYMBOL_NONE UINT32_MAX

struct bench_load;

int bench_load_create(struct bench_load **load_out, const struct bench_options *options,
                      char error_out[WS_CLIENT_ERROR_BYTES_MAX]);
void bench_load_destroy(struct bench_load *load);

enum bench_role bench_load_role(const struct bench_load *load, uint32_t conn_index);

/* Whether all connections subscribe to the same. Then bench_load_text is the same for all, too. */
bool bench_load_is_common(const struct bench_load *load);

/* The symbols of a connection: "A,B" or the value of --symbols; to be freed. */
char *bench_load_text(const struct bench_load *load, uint32_t conn_index);

/* The path of the URL with {symbols} replaced; path_out has WS_CLIENT_PATH_BYTES_MAX. false: it
 * does not fit. */
bool bench_load_path(const struct bench_load *load, uint32_t conn_index, char *path_out);

/* The message that subscribes; for plain, that of --send; to be freed. NULL: out of memory. */
char *bench_load_subscribe_text(const struct bench_load *load, uint32_t conn_index,
                                size_t *bytes_out);

/* Whether every connection's path and subscription fit. -EMSGSIZE: they do not. */
int bench_load_check(const struct bench_load *load, char error_out[WS_CLIENT_ERROR_BYTES_MAX]);

/* The place of a symbol in the list; BENCH_SYMBOL_NONE: it is not in it (or a pattern covers it).
 */
uint32_t bench_load_find(const struct bench_load *load, const char *symbol, size_t symbol_bytes);

/* The name of a symbol of the list. */
const char *bench_load_symbol(const struct bench_load *load, uint32_t symbol);

/* How many readers subscribe to it. Any symbol, when all subscribe to the same. */
uint32_t bench_load_readers(const struct bench_load *load, uint32_t symbol);

#endif
