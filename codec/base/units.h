/* units: sizes and durations by name. Time is nanoseconds everywhere inside ringcast. */
#ifndef RINGCAST_CODEC_BASE_UNITS_H
#define RINGCAST_CODEC_BASE_UNITS_H

#include <stdint.h>

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_SECOND UINT64_C(1000000000)

#define CACHE_LINE_BYTES 64

#endif
