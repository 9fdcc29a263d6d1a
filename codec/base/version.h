/* version: the version that all programs of this repository print. */
#ifndef RINGCAST_CODEC_BASE_VERSION_H
#define RINGCAST_CODEC_BASE_VERSION_H

#ifndef RINGCAST_VERSION
#define RINGCAST_VERSION "0.1.0"
#endif

#endif
