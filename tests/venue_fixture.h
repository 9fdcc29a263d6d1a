/* A venue whose ticks a recorder keeps, and messages for it. */
#ifndef RINGCAST_TESTS_VENUE_FIXTURE_H
#define RINGCAST_TESTS_VENUE_FIXTURE_H

#include <stdlib.h>
#include <string.h>

#include "feeds/venue/venue.h"
#include "tests/feed_recorder.h"

#define NOW_NS UINT64_C(1732078800000000000)

struct fixture {
    struct recorder *recorder;
    struct venue *venue;
    struct feed_counters counters;
};

static inline int venue_fixture_set_up(void **state, const struct venue_ops *ops)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->recorder = recorder_create();
    *state = fixture;
    return venue_create(&fixture->venue, ops, NULL, &fixture->recorder->sink, &fixture->counters);
}

static inline int tear_down(void **state)
{
    struct fixture *fixture = *state;
    venue_destroy(fixture->venue);
    recorder_destroy(fixture->recorder);
    free(fixture);
    return 0;
}

/* In a heap block of its exact size, so that a read behind it is caught. Single quotes in text
 * stand for double ones. */
static inline enum venue_status decode(struct fixture *fixture, const char *text)
{
    size_t bytes = strlen(text);
    char *exact = malloc(bytes);
    for (size_t i = 0; i < bytes; i++) {
        exact[i] = text[i];
        if (text[i] == '\'') {
            exact[i] = '"';
        }
    }
    enum venue_status status = venue_decode(fixture->venue, exact, bytes, NOW_NS);
    free(exact);
    return status;
}

#endif
