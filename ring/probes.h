/* probes: USDT probes (docs/probes.md). Without sys/sdt.h they compile to nothing. */
#ifndef RINGCAST_RING_PROBES_H
#define RINGCAST_RING_PROBES_H

#if __has_include(<sys/sdt.h>) && !defined(RINGCAST_NO_PROBES)
#include <sys/sdt.h>
#define PROBE2(name, a, b) DTRACE_PROBE2(ringcast, name, a, b)
#define PROBE3(name, a, b, c) DTRACE_PROBE3(ringcast, name, a, b, c)
#else
#define PROBE2(name, a, b) ((void)(a), (void)(b))
#define PROBE3(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#endif

#endif
