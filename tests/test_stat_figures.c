/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/units.h"
#include "ring/board/counters.h"
#include "tools/insight/stat_entries.h"
#include "tools/insight/stat_figures.h"
#include "tools/insight/stat_table.h"
#include "tools/insight/stat_tls.h"

#define CORES 2
#define DAMAGES 1000

/* What `ringcast stat` says of two moments of a server that these tests play. */
static struct counters *server;
static struct counters_read file;
static struct stat_sample before;
static struct stat_sample now;
static struct stat_figures figures;

static void read_server(void)
{
    assert_int_equal(counters_read_memory(&file, server, counters_bytes(CORES)), 0);
    assert_int_equal(stat_sample_init(&before, &file), 0);
    assert_int_equal(stat_sample_init(&now, &file), 0);
}

static int set_up(void **state)
{
    (void)state;
    return counters_open(&server, -1, CORES);
}

static int tear_down(void **state)
{
    (void)state;
    stat_sample_deinit(&before);
    stat_sample_deinit(&now);
    counters_close(server);
    return 0;
}

static void take(struct stat_sample *sample, uint64_t seconds)
{
    assert_int_equal(stat_sample_take(sample, &file), 0);
    sample->monotonic_ns = seconds * NS_PER_SECOND;
    sample->realtime_ns = seconds * NS_PER_SECOND;
}

static double figure(enum stat_figure index, uint32_t core)
{
    stat_figures_make(&figures, &now, &before, core);
    return figures.values[index];
}

static void assert_figure(enum stat_figure index, uint32_t core, double value)
{
    double found = figure(index, core);
    if (fabs(found - value) > 1e-9) {
        fail_msg("figure %d of core %u: %g, not %g", index, core, found, value);
    }
}

static struct counters_entry *entry_named(const char *name, enum counters_scope scope)
{
    for (uint32_t i = 0; i < server->header.entry_count; i++) {
        if (server->entries[i].scope == scope && strcmp(server->entries[i].name, name) == 0) {
            return &server->entries[i];
        }
    }
    fail_msg("no entry %s", name);
    return NULL;
}

/* What a print function prints; freed by the next call. */
#define PRINTED(call)                                                                              \
    ({                                                                                             \
        FILE *out = printed_begin();                                                               \
        call;                                                                                      \
        printed_end(out);                                                                          \
    })

static char *printed;
static size_t printed_bytes;

static FILE *printed_begin(void)
{
    free(printed);
    FILE *out = open_memstream(&printed, &printed_bytes);
    assert_non_null(out);
    return out;
}

static const char *printed_end(FILE *out)
{
    fclose(out);
    return printed;
}

/* ---- Figures ---- */

static void counters_become_rates_and_gauges_are_as_they_are(void **state)
{
    (void)state;
    read_server();
    counter_set(&server->cores[0].sends, 100);
    counter_set(&server->cores[0].frames_out, 1000);
    counter_set(&server->publisher.ticks, 7);
    take(&before, 10);
    counter_set(&server->cores[0].sends, 500);
    counter_set(&server->cores[0].frames_out, 2000);
    counter_set(&server->cores[1].sends, 50);
    counter_set(&server->cores[0].conns_open, 3);
    counter_set(&server->cores[1].conns_open, 4);
    counter_set(&server->publisher.ticks, 27);
    take(&now, 12);
    assert_figure(STAT_SENDS, 0, 200);
    assert_figure(STAT_SENDS, 1, 25);
    assert_figure(STAT_SENDS, COUNTERS_READ_ALL, 225);
    assert_figure(STAT_FRAMES_OF_SEND, 0, 2.5);
    assert_figure(STAT_FRAMES_OF_SEND, 1, 0);
    assert_figure(STAT_OPEN, 0, 3);
    assert_figure(STAT_OPEN, COUNTERS_READ_ALL, 7);
    assert_figure(STAT_TICKS, 0, 10);
    assert_figure(STAT_TICKS, COUNTERS_READ_ALL, 10);
}

static void nothing_sent_is_no_number_of_frames_and_no_latency(void **state)
{
    (void)state;
    read_server();
    take(&before, 1);
    take(&now, 2);
    assert_figure(STAT_SENDS, 0, 0);
    assert_true(isnan(figure(STAT_FRAMES_OF_SEND, 0)));
    assert_true(isnan(figure(STAT_FLUSH_P50, 0)));
    assert_true(isnan(figure(STAT_FLUSH_P99, COUNTERS_READ_ALL)));
}

static void percentiles_are_of_the_interval_alone(void **state)
{
    (void)state;
    read_server();
    counters_histogram_add(&server->cores[0].flush, 5 * NS_PER_SECOND, 1000);
    take(&before, 1);
    counters_histogram_add(&server->cores[0].flush, 10 * NS_PER_US, 98);
    counters_histogram_add(&server->cores[0].flush, 10 * NS_PER_MS, 2);
    counters_histogram_add(&server->cores[1].flush, 20 * NS_PER_US, 102);
    take(&now, 2);
    assert_figure(STAT_FLUSH_P50, 0, 10.24);    /* the limit of 8.192 to 10.24 us */
    assert_figure(STAT_FLUSH_P99, 0, 10485.76); /* of 8388 to 10486 us */
    assert_figure(STAT_FLUSH_P50, 1, 20.48);
    assert_figure(STAT_FLUSH_P50, COUNTERS_READ_ALL, 20.48);
    assert_figure(STAT_FLUSH_P99, COUNTERS_READ_ALL, 20.48); /* 198 of 200 */
}

static void busy_and_wait_are_shares_of_the_interval(void **state)
{
    (void)state;
    read_server();
    take(&before, 4);
    counter_set(&server->cores[0].busy_ns, NS_PER_SECOND);
    counter_set(&server->cores[1].busy_ns, NS_PER_SECOND / 2);
    counter_set(&server->cores[1].run_delay_ns, NS_PER_SECOND / 5);
    take(&now, 6);
    assert_figure(STAT_BUSY, 0, 50);
    assert_figure(STAT_BUSY, COUNTERS_READ_ALL, 37.5);
    assert_figure(STAT_WAIT, 0, 0);
    assert_figure(STAT_WAIT, 1, 10);
    assert_figure(STAT_WAIT, COUNTERS_READ_ALL, 5);
}

static void lag_is_of_the_slowest_core_and_never_below_0(void **state)
{
    (void)state;
    read_server();
    counter_set(&server->publisher.log_head, 100);
    counter_set(&server->cores[0].position, 93);
    counter_set(&server->cores[1].position, 101);
    take(&before, 1);
    take(&now, 2);
    assert_figure(STAT_LAG, 0, 7);
    assert_figure(STAT_LAG, 1, 0);
    assert_figure(STAT_LAG, COUNTERS_READ_ALL, 7);
}

static void a_counter_that_jumps_back_counts_from_0(void **state)
{
    (void)state;
    read_server();
    counter_set(&server->cores[0].sends, 1000);
    counters_histogram_add(&server->cores[0].flush, NS_PER_SECOND, 1000);
    take(&before, 1);
    counter_set(&server->cores[0].sends, 30);
    memset(&server->cores[0].flush, 0, sizeof server->cores[0].flush);
    counters_histogram_add(&server->cores[0].flush, 10 * NS_PER_US, 3);
    take(&now, 2);
    assert_figure(STAT_SENDS, 0, 30);
    assert_figure(STAT_FLUSH_P99, 0, 10.24);
}

static void what_the_file_does_not_have_is_no_number(void **state)
{
    (void)state;
    strcpy(entry_named("flush", COUNTERS_CORE)->name, "flush_else");
    strcpy(entry_named("busy_ns", COUNTERS_CORE)->name, "work_ns");
    entry_named("sends", COUNTERS_CORE)->kind = 77;
    strcpy(entry_named("log_head", COUNTERS_PUBLISHER)->name, "head");
    entry_named("conns_open", COUNTERS_CORE)->unit = 99;
    counter_set(&server->cores[0].conns_open, 5);
    server->header.version = COUNTERS_VERSION + 1;
    read_server();
    take(&before, 1);
    take(&now, 2);
    assert_true(isnan(figure(STAT_FLUSH_P50, 0)));
    assert_true(isnan(figure(STAT_BUSY, 0)));
    assert_true(isnan(figure(STAT_SENDS, 0)));
    assert_true(isnan(figure(STAT_LAG, COUNTERS_READ_ALL)));
    assert_figure(STAT_OPEN, 0, 5);
    const char *line = PRINTED(stat_table_print_line(out, 0, 0, &figures));
    assert_non_null(strstr(line, "    -       -       -"));
}

static void tls_has_a_line_once_a_handshake_has_begun(void **state)
{
    (void)state;
    read_server();
    take(&before, 1);
    take(&now, 3);
    assert_false(stat_tls_is_used(&now, COUNTERS_READ_ALL));
    counter_set(&server->cores[1].tls_left, 1);
    take(&now, 3);
    assert_true(stat_tls_is_used(&now, COUNTERS_READ_ALL));
    assert_true(stat_tls_is_used(&now, 1));
    assert_false(stat_tls_is_used(&now, 0));
    counter_set(&server->cores[0].tls_12, 3);
    counter_set(&server->cores[1].tls_13, 100);
    counter_set(&server->cores[0].tls_full, 20);
    counter_set(&server->cores[1].tls_resumed, 4);
    counter_set(&server->cores[1].tls_running, 2);
    counter_set(&server->cores[0].tls_records_out, 111418);
    take(&now, 3);
    assert_string_equal(PRINTED(stat_tls_print_line(out, &now, &before, COUNTERS_READ_ALL)),
                        "         tls: clients 103, handshakes/s 12 (resumed 2), failed/s 0.5, "
                        "unfinished 2, records/s 55709\n");
    assert_string_equal(PRINTED(stat_tls_print_line(out, &now, &before, 1)),
                        "         tls: clients 100, handshakes/s 2 (resumed 2), failed/s 0.5, "
                        "unfinished 2, records/s 0\n");
    strcpy(entry_named("tls_13", COUNTERS_CORE)->name, "tls_14");
    take(&now, 3);
    assert_non_null(strstr(PRINTED(stat_tls_print_line(out, &now, &before, 1)), "clients 0,"));
}

/* ---- The table ---- */

static void a_header_and_its_lines_are_of_one_width(void **state)
{
    (void)state;
    const char *header = PRINTED(stat_table_print_header(out));
    size_t width = strcspn(header, "\n");
    assert_int_equal(width, 104);
    assert_int_equal(strlen(header), 2 * (width + 1));
    assert_int_equal(header[width], '\n');
    assert_non_null(strstr(header, "time core  open  blk pull"));
    for (size_t i = 0; i < STAT_FIGURES; i++) {
        figures.values[i] = i % 3 == 0 ? NAN : i % 3 == 1 ? 0 : 123456789.0;
    }
    for (uint32_t core = 0; core < 2; core++) {
        const char *line =
            PRINTED(stat_table_print_line(out, 0, core == 0 ? 63 : COUNTERS_READ_ALL, &figures));
        assert_int_equal(strlen(line), width + 1);
    }
}

static void assert_shown(double value, const char *text)
{
    const char *line;
    figures.values[STAT_SENDS] = value; /* 7 columns, from 43 on */
    line = PRINTED(stat_table_print_line(out, 0, 0, &figures));
    size_t start = 43;
    size_t blanks = strspn(line + start, " ");
    if (strncmp(line + start + blanks, text, strlen(text)) != 0 || blanks + strlen(text) != 7) {
        fail_msg("%g: not '%s' in: %s", value, text, line);
    }
}

static void numbers_stay_readable(void **state)
{
    (void)state;
    memset(&figures, 0, sizeof figures);
    assert_shown(0, "0");
    assert_shown(0.001, "0.0");
    assert_shown(0.25, "0.2");
    assert_shown(9, "9");
    assert_shown(9.9, "9.9");
    assert_shown(9.96, "10");
    assert_shown(9999999, "9999999");
    assert_shown(9999999.7, "10000k");
    assert_shown(12345678, "12346k");
    assert_shown(1e9, "1000M");
    assert_shown(1e10, "10000M");
    assert_shown(1.8e19, "18000P");
    assert_shown(NAN, "-");
}

/* ---- Every counter ---- */

static void totals_have_a_line_for_each_counter_of_each_core(void **state)
{
    (void)state;
    counter_set(&server->cores[1].sends, 12);
    counter_set(&server->publisher.ticks, 34);
    counters_histogram_add(&server->cores[0].flush, 10 * NS_PER_US, 5);
    read_server();
    take(&now, 1);
    const char *text = PRINTED(stat_entries_print(out, &now, COUNTERS_READ_ALL));
    assert_non_null(strstr(text, "core-0.sends:                                   0 - Send "
                                 "operations that sent all.\n"));
    assert_non_null(strstr(text, "core-1.sends:                                  12 - Send "));
    assert_non_null(strstr(text, "publisher.ticks:                               34 - Ticks "));
    assert_non_null(strstr(text, "core-0.flush:                    count 5 p50 10240 p99 10240 "
                                 "p99.9 10240 max 10240 ns - Time from"));
    text = PRINTED(stat_entries_print(out, &now, 1));
    assert_null(strstr(text, "core-0."));
    assert_non_null(strstr(text, "core-1.sends:"));
    assert_non_null(strstr(text, "publisher.ticks:"));
}

static void json_has_what_a_counter_grew_by_in_the_interval(void **state)
{
    (void)state;
    counter_set(&server->cores[0].sends, 100);
    read_server();
    take(&before, 5);
    counter_set(&server->cores[0].sends, 130);
    counter_set(&server->cores[0].conns_open, 4);
    counters_histogram_add(&server->cores[0].flush, 10 * NS_PER_US, 5);
    take(&now, 6);
    const char *text =
        PRINTED(stat_entries_print_json(out, &now, &before, COUNTERS_READ_ALL, true));
    assert_non_null(strstr(text, "\"alive\":true"));
    assert_non_null(strstr(text, "\"interval_ns\":1000000000"));
    assert_non_null(strstr(text, "\"cores\":[{\"core\":0,\"lag_frames\":0,"));
    assert_non_null(strstr(text, "\"sends\":30,"));
    assert_non_null(strstr(text, "\"conns_open\":4,"));
    assert_non_null(strstr(text, "\"flush\":{\"count\":5,\"sum_ns\":50000,\"p50_ns\":10240,"));
    text = PRINTED(stat_entries_print_json(out, &now, NULL, COUNTERS_READ_ALL, false));
    assert_non_null(strstr(text, "\"alive\":false"));
    assert_null(strstr(text, "interval_ns"));
    assert_non_null(strstr(text, "\"sends\":130,"));
    text = PRINTED(stat_entries_print_json(out, &now, NULL, 1, true));
    assert_non_null(strstr(text, "\"cores\":[{\"core\":1,"));
    assert_null(strstr(text, "\"core\":0"));
}

static void a_newer_file_is_read_by_what_it_says(void **state)
{
    (void)state;
    struct counters_entry *fed = entry_named("ticks", COUNTERS_PUBLISHER);
    strcpy(fed->name, "fed");
    fed->unit = 200;
    strcpy(server->scopes[COUNTERS_PUBLISHER].name, "feed");
    counter_set(&server->publisher.ticks, 9);
    strcpy(entry_named("turns", COUNTERS_CORE)->name, "no\"key\033[2J");
    entry_named("enters", COUNTERS_CORE)->kind = 200;
    entry_named("gaps_sent", COUNTERS_CORE)->scope = 200;
    server->header.version = COUNTERS_VERSION + 1;
    read_server();
    take(&now, 1);
    const char *text = PRINTED(stat_entries_print_json(out, &now, NULL, COUNTERS_READ_ALL, true));
    assert_non_null(strstr(text, "\"feed\":{"));
    assert_non_null(strstr(text, "\"fed\":9,"));
    assert_null(strstr(text, "key"));
    assert_null(strstr(text, "\"enters\""));
    assert_null(strstr(text, "\"gaps_sent\""));
    text = PRINTED(stat_entries_print(out, &now, COUNTERS_READ_ALL));
    assert_non_null(strstr(text, "feed.fed: "));
    assert_non_null(strstr(text, "core-0.no\"key\\x1b[2J: "));
    assert_null(strchr(text, '\033'));
}

static void a_file_that_is_damaged_meanwhile_is_an_error(void **state)
{
    (void)state;
    read_server();
    take(&now, 1);
    server->header.entries_at = UINT32_MAX - 7;
    assert_true(stat_sample_take(&now, &file) < 0);
}

static uint64_t random_state = 1;

static uint64_t draw(uint64_t limit)
{
    random_state = random_state * UINT64_C(6364136223846793005) + 1;
    return (random_state >> 33) % limit;
}

/* Writes over a few words of what describes the file, and of its numbers. */
static void damage(void)
{
    static const uint64_t values[] = {0, 1, 7, 8, 255, 4096, UINT32_MAX, UINT64_MAX, INT64_MAX};
    unsigned char *bytes = (unsigned char *)server;
    for (uint64_t i = draw(8); i > 0; i--) {
        uint64_t value = values[draw(sizeof values / sizeof values[0])];
        size_t at = draw(2) == 0 ? draw(offsetof(struct counters, entries))
                                 : draw(counters_bytes(CORES) - sizeof value);
        memcpy(bytes + at, &value, 1 + draw(sizeof value));
    }
}

static void a_damaged_file_is_an_error_or_shows_something(void **state)
{
    (void)state;
    static struct counters whole;
    uint32_t shown_count = 0;
    FILE *out = fopen("/dev/null", "w");
    assert_non_null(out);
    read_server();
    memcpy(&whole, server, counters_bytes(CORES));
    for (uint32_t i = 0; i < DAMAGES; i++) {
        memcpy(server, &whole, counters_bytes(CORES));
        if (stat_sample_take(&before, &file) < 0) {
            fail_msg("the whole file is refused");
        }
        damage();
        if (stat_sample_take(&now, &file) < 0) {
            continue;
        }
        shown_count++;
        for (uint32_t core = 0; core < CORES; core++) {
            stat_figures_make(&figures, &now, &before, core);
            stat_table_print_line(out, now.realtime_ns, core, &figures);
            stat_tls_print_line(out, &now, &before, core);
        }
        stat_figures_make(&figures, &now, &before, COUNTERS_READ_ALL);
        stat_table_print_line(out, now.realtime_ns, COUNTERS_READ_ALL, &figures);
        stat_entries_print(out, &now, 0);
        stat_entries_print_json(out, &now, &before, 1, true);
    }
    fclose(out);
    assert_true(shown_count > DAMAGES / 5 && shown_count < DAMAGES);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(counters_become_rates_and_gauges_are_as_they_are),
        TEST(nothing_sent_is_no_number_of_frames_and_no_latency),
        TEST(percentiles_are_of_the_interval_alone),
        TEST(busy_and_wait_are_shares_of_the_interval),
        TEST(lag_is_of_the_slowest_core_and_never_below_0),
        TEST(a_counter_that_jumps_back_counts_from_0),
        TEST(what_the_file_does_not_have_is_no_number),
        TEST(tls_has_a_line_once_a_handshake_has_begun),
        TEST(a_header_and_its_lines_are_of_one_width),
        TEST(numbers_stay_readable),
        TEST(totals_have_a_line_for_each_counter_of_each_core),
        TEST(json_has_what_a_counter_grew_by_in_the_interval),
        TEST(a_newer_file_is_read_by_what_it_says),
        TEST(a_file_that_is_damaged_meanwhile_is_an_error),
        TEST(a_damaged_file_is_an_error_or_shows_something),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(printed);
    return failed;
}
