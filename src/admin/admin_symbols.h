/*
 * admin_symbols: the page /symbols.
 *
 * Threads  Any: see symbols.h. What it reads is shared with the publisher and the cores, and no
 *          lock is taken.
 * Memory   The page is the caller's, to be freed.
 */
#ifndef RINGCAST_SRC_ADMIN_SYMBOLS_H
#define RINGCAST_SRC_ADMIN_SYMBOLS_H

#include <stddef.h>

struct MHD_Connection;
struct symbols;

#define ADMIN_SYMBOLS_ERROR_BYTES_MAX 160

/* The page that the query asks for. NULL: the query is wrong, as error_out explains, or error_out
 * is empty and there is no memory. */
char *admin_symbols_write(const struct symbols *symbols, struct MHD_Connection *connection,
                          size_t *bytes_out, char error_out[ADMIN_SYMBOLS_ERROR_BYTES_MAX]);

#endif
