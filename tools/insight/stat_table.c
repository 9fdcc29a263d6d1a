#include "tools/insight/stat_table.h"

#include <assert.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "tools/insight/stat_options.h"

#define TEXT_BYTES_MAX 32

static const struct {
    const char *group; /* NULL: of the column before */
    const char *name;
    int width;
    int digits; /* after the point */
} stat_table_columns[] = {
    [STAT_OPEN] = {"clients", "open", 5, 0},
    [STAT_BLOCKED] = {NULL, "blk", 4, 0},
    [STAT_PULLING] = {NULL, "pull", 4, 0},
    [STAT_TICKS] = {"ticks", "in/s", 6, 0},
    [STAT_LAG] = {NULL, "lag", 5, 0},
    [STAT_SENDS] = {"sends", "sends/s", 7, 0},
    [STAT_FRAMES_OF_SEND] = {NULL, "fr/send", 7, 2},
    [STAT_SHORT] = {NULL, "short", 5, 0},
    [STAT_FULL] = {NULL, "full", 4, 0},
    [STAT_LOST] = {"lost", "gap/s", 5, 0},
    [STAT_CONFLATED] = {NULL, "conf/s", 6, 0},
    [STAT_FLUSH_P50] = {"flush us", "p50", 5, 0},
    [STAT_FLUSH_P99] = {NULL, "p99", 5, 0},
    [STAT_BUSY] = {"core %", "busy", 4, 0},
    [STAT_WAIT] = {NULL, "wait", 4, 0},
};
#define COLUMNS (sizeof stat_table_columns / sizeof stat_table_columns[0])
static_assert(COLUMNS == STAT_FIGURES, "each figure has its column");

/* The width of a group from its first column on, blanks between its columns included. */
static int stat_table_group_width(size_t first)
{
    int width = stat_table_columns[first].width;
    assert_debug(stat_table_columns[first].group != NULL);
    for (size_t i = first + 1; i < COLUMNS && stat_table_columns[i].group == NULL; i++) {
        width += 1 + stat_table_columns[i].width;
    }
    return width;
}

void stat_table_print_header(FILE *out)
{
    static const char dashes[] = "------------------------------------------------";
    fprintf(out, "%8s %4s", "", "");
    for (size_t i = 0; i < COLUMNS; i++) {
        const char *group = stat_table_columns[i].group;
        if (group != NULL) {
            int left = stat_table_group_width(i) - (int)strlen(group);
            assert_always(left >= 0 && left < (int)sizeof dashes);
            fprintf(out, " %.*s%s%.*s", left / 2, dashes, group, left - left / 2, dashes);
        }
    }
    fprintf(out, "\n%8s %4s", "time", "core");
    for (size_t i = 0; i < COLUMNS; i++) {
        fprintf(out, " %*s", stat_table_columns[i].width, stat_table_columns[i].name);
    }
    fputc('\n', out);
}

/* As many digits as there is room for; a long number ends with a letter. A small rate is not
 * rounded to 0, because 0 means none at all. */
static void stat_table_number(char text[TEXT_BYTES_MAX], double value, int width, int digits)
{
    static const char letters[] = "\0kMGTPE";
    size_t power = 0;
    if (isnan(value)) {
        snprintf(text, TEXT_BYTES_MAX, "-");
        return;
    }
    assert_always(value >= 0);
    if (digits == 0 && value < 9.95 && value != floor(value)) {
        digits = 1;
    }
    snprintf(text, TEXT_BYTES_MAX, "%.*f", digits, fmin(value, 1e20));
    while ((int)strlen(text) > width && power + 2 < sizeof letters) {
        power++;
        value /= 1000;
        digits = value < 9.95 ? 1 : 0;
        snprintf(text, TEXT_BYTES_MAX, "%.*f%c", digits, fmin(value, 1e20), letters[power]);
    }
}

void stat_table_print_line(FILE *out, uint64_t realtime_ns, uint32_t core,
                           const struct stat_figures *figures)
{
    time_t seconds = (time_t)(realtime_ns / NS_PER_SECOND);
    struct tm local = {0};
    localtime_r(&seconds, &local);
    fprintf(out, "%02d:%02d:%02d ", local.tm_hour, local.tm_min, local.tm_sec);
    assert_debug(core != STAT_EVERY_CORE);
    if (core == COUNTERS_READ_ALL) {
        fprintf(out, "%4s", "all");
    } else {
        fprintf(out, "%4u", core);
    }
    for (size_t i = 0; i < COLUMNS; i++) {
        char text[TEXT_BYTES_MAX];
        stat_table_number(text, figures->values[i], stat_table_columns[i].width,
                          stat_table_columns[i].digits);
        fprintf(out, " %*s", stat_table_columns[i].width, text);
    }
    fputc('\n', out);
}
