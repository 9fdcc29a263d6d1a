/*
 * tap_certificate: the findings of tap_verify as JSON.
 *
 * Owner    main. Threads: one.
 */
#ifndef RINGCAST_TOOLS_TAP_CERTIFICATE_H
#define RINGCAST_TOOLS_TAP_CERTIFICATE_H

#include "tools/tap/tap_verify.h"

/* To be called once; the caller decrefs. *is_complete_out: no loss is unreported, nothing differs
 * or is malformed, and something was received. */
json_t *tap_certificate_make(struct tap_verify *verify, bool *is_complete_out);

#endif
