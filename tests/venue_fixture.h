/* A venue whose ticks a recorder keeps, and messages for it. */
#ifndef RINGCAST_TESTS_VENUE_FIXTURE_H
#define RINGCAST_TESTS_VENUE_FIXTURE_H

#include <stdlib.h>
#include <string.h>

#include "codec/json_tick.h"
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

/* A message, and what it becomes: "malformed", "skipped", or the time of the tick (0: none) and its
 * data as JSON with single quotes. */
struct venue_case {
    const char *text;
    const char *becomes;
};

static inline void describe(const struct fixture *fixture, char text[static 1000])
{
    struct md_update update = fixture->recorder->ticks[fixture->recorder->tick_count - 1].update;
    struct json_tick_head head;
    uint8_t payload[900] = {0};
    size_t used = (size_t)sprintf(text, "%llu ", (unsigned long long)update.ts_event_ns);
    update.ts_event_ns = 0;
    json_tick_head_init(&head, update.type, "A", 1, 1);
    size_t bytes = json_tick_encode(payload, sizeof payload, &head, &update, 1, 1);
    const char *at = bytes == 0 ? "}" : strstr((const char *)payload, "\"data\":") + 7;
    for (; at[1] != '\0'; at++) { /* without the bracket of the envelope */
        text[used++] = *at == '"' ? '\'' : *at;
    }
    text[used] = '\0';
}

static inline void check_cases(struct fixture *fixture, const struct venue_case *cases,
                               size_t case_count)
{
    for (size_t i = 0; i < case_count; i++) {
        char text[1000] = "malformed";
        switch (decode(fixture, cases[i].text)) {
        case VENUE_TICK:
            describe(fixture, text);
            break;
        case VENUE_SKIPPED:
            strcpy(text, "skipped");
            break;
        case VENUE_MALFORMED:
            break;
        }
        if (strcmp(text, cases[i].becomes) != 0) {
            fail_msg("%s\n  becomes %s\n      not %s", cases[i].text, text, cases[i].becomes);
        }
    }
}

#endif
