/*
 * stat_tls: the line of `ringcast stat` about TLS.
 *
 * Threads  One.
 * Memory   The caller's.
 */
#ifndef RINGCAST_TOOLS_STAT_TLS_H
#define RINGCAST_TOOLS_STAT_TLS_H

#include <stdio.h>

#include "tools/insight/stat_sample.h"

/* Whether a TLS handshake has ever begun: else there is nothing to tell. */
bool stat_tls_is_used(const struct stat_sample *now, uint32_t core);
/* core: or COUNTERS_READ_ALL. */
void stat_tls_print_line(FILE *out, const struct stat_sample *now, const struct stat_sample *before,
                         uint32_t core);

#endif
