/*
 * options_tls: the options of TLS in the form that src/tls takes (struct tls_options), once all are
 * known.
 *
 * Owner    The options.
 * Threads  main, before any other, and at a reload.
 * Memory   Paths are kept with the options.
 * Errors   -EINVAL: an option that means nothing without another, or a certificate whose files are
 *          not as said; the line says which one and what to do.
 */
#ifndef RINGCAST_SRC_OPTIONS_TLS_H
#define RINGCAST_SRC_OPTIONS_TLS_H

#include "src/config/options.h"

int options_tls_take(struct options *options, char error_out[OPTIONS_ERROR_BYTES_MAX]);

#endif
