#include "tools/ctl/ctl_table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/utf8.h"
#include "tools/common/terminal_text.h"

#define CTL_TABLE_CUT_MIN 6 /* characters that stay of a column */

size_t ctl_table_width(void)
{
    struct winsize size;
    bool is_terminal = isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;
    if (!is_terminal || size.ws_col == 0) {
        return 80;
    }
    return size.ws_col < CTL_TABLE_WIDTH_MIN ? CTL_TABLE_WIDTH_MIN : size.ws_col;
}

void ctl_table_cell(const json_t *value, char out[CTL_TABLE_CELL_BYTES_MAX])
{
    if (json_is_string(value)) {
        terminal_text_copy(out, CTL_TABLE_CELL_BYTES_MAX, json_string_value(value),
                           json_string_length(value));
    } else if (json_is_integer(value)) {
        snprintf(out, CTL_TABLE_CELL_BYTES_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (json_is_real(value)) {
        double number = json_real_value(value);
        snprintf(out, CTL_TABLE_CELL_BYTES_MAX, fabs(number) < 1000 ? "%.3g" : "%.0f", number);
    } else if (json_is_boolean(value)) {
        snprintf(out, CTL_TABLE_CELL_BYTES_MAX, "%s", json_is_true(value) ? "yes" : "no");
    } else if (value == NULL || json_is_null(value)) {
        snprintf(out, CTL_TABLE_CELL_BYTES_MAX, "-");
    } else {
        char *text = json_dumps(value, JSON_COMPACT);
        terminal_text_copy(out, CTL_TABLE_CELL_BYTES_MAX, text == NULL ? "" : text,
                           text == NULL ? 0 : strlen(text));
        free(text);
    }
}

/* In characters, of valid UTF-8. */
static size_t ctl_table_length(const char *text)
{
    size_t length = 0;
    for (; *text != '\0'; text++) {
        length += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return length;
}

static void ctl_table_measure(const struct ctl_column *columns, size_t column_count,
                              const json_t *rows, size_t widths_out[CTL_TABLE_COLUMNS_MAX])
{
    char cell[CTL_TABLE_CELL_BYTES_MAX];
    size_t index;
    json_t *row;
    for (size_t i = 0; i < column_count; i++) {
        widths_out[i] = strlen(columns[i].title);
        json_array_foreach(rows, index, row)
        {
            ctl_table_cell(json_object_get(row, columns[i].key), cell);
            size_t length = ctl_table_length(cell);
            widths_out[i] = length > widths_out[i] ? length : widths_out[i];
        }
    }
}

static void ctl_table_fit(const struct ctl_column *columns, size_t column_count, size_t width,
                          size_t widths[CTL_TABLE_COLUMNS_MAX])
{
    size_t sum = column_count - 1;
    for (size_t i = 0; i < column_count; i++) {
        sum += widths[i];
    }
    while (sum > width) {
        size_t widest = column_count;
        for (size_t i = 0; i < column_count; i++) {
            if (columns[i].is_cut && widths[i] > CTL_TABLE_CUT_MIN &&
                (widest == column_count || widths[i] > widths[widest])) {
                widest = i;
            }
        }
        if (widest == column_count) {
            return;
        }
        widths[widest]--;
        sum--;
    }
}

/* is_last: without blanks behind it. */
static void ctl_table_print_cell(FILE *out, const char *cell, const struct ctl_column *column,
                                 size_t width, bool is_last)
{
    size_t length = ctl_table_length(cell);
    size_t bytes = 0;
    if (length <= width) {
        int blanks = (int)(width - length);
        fprintf(out, "%*s%s%*s", column->is_right ? blanks : 0, "", cell,
                column->is_right || is_last ? 0 : blanks, "");
        return;
    }
    for (size_t i = 0; i + 1 < width; i++) {
        bytes += utf8_character_at(cell + bytes, strnlen(cell + bytes, 4)).bytes;
    }
    fprintf(out, "%.*s~", (int)bytes, cell);
}

void ctl_table_print(FILE *out, size_t width, const struct ctl_column *columns, size_t column_count,
                     const json_t *rows)
{
    size_t widths[CTL_TABLE_COLUMNS_MAX];
    size_t index;
    json_t *row;
    assert_always(column_count > 0);
    assert_always(column_count <= CTL_TABLE_COLUMNS_MAX);
    ctl_table_measure(columns, column_count, rows, widths);
    ctl_table_fit(columns, column_count, width, widths);
    for (size_t i = 0; i < column_count; i++) {
        fputs(i == 0 ? "" : " ", out);
        ctl_table_print_cell(out, columns[i].title, &columns[i], widths[i], i + 1 == column_count);
    }
    fputc('\n', out);
    json_array_foreach(rows, index, row)
    {
        for (size_t i = 0; i < column_count; i++) {
            char cell[CTL_TABLE_CELL_BYTES_MAX];
            ctl_table_cell(json_object_get(row, columns[i].key), cell);
            fputs(i == 0 ? "" : " ", out);
            ctl_table_print_cell(out, cell, &columns[i], widths[i], i + 1 == column_count);
        }
        fputc('\n', out);
    }
}
