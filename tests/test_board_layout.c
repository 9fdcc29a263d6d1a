/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <string.h>

#include "ring/board/layout.h"

/* The tables of the ABI, written out by number: a second process knows nothing else. */

struct row {
    const char *name;
    size_t at, bytes;             /* as the ABI has it */
    size_t field_at, field_bytes; /* as the struct has it */
};
#define ROW(at, bytes, type, field)                                                                \
    {                                                                                              \
#type "." #field, at, bytes, offsetof(struct type, field),                                 \
            sizeof(((struct type *)0)->field)                                                      \
    }

static const struct row control_rows[] = {
    ROW(0, 8, layout_control, file.magic),       ROW(8, 2, layout_control, file.major),
    ROW(10, 2, layout_control, file.minor),      ROW(12, 4, layout_control, file.header_bytes),
    ROW(16, 8, layout_control, file.bytes),      ROW(24, 8, layout_control, file.epoch),
    ROW(32, 8, layout_control, started_ns),      ROW(40, 8, layout_control, pid),
    ROW(48, 8, layout_control, channels_at),     ROW(56, 4, layout_control, entry_bytes),
    ROW(60, 4, layout_control, entry_count_max), ROW(64, 8, layout_control, heartbeat),
    ROW(72, 4, layout_control, state),           ROW(76, 52, layout_control, reserved_76),
    ROW(128, 4, layout_control, channel_count),  ROW(132, 124, layout_control, reserved_132),
};

static const struct row entry_rows[] = {
    ROW(0, 32, layout_entry, symbol),       ROW(32, 1, layout_entry, symbol_bytes),
    ROW(33, 1, layout_entry, type),         ROW(34, 1, layout_entry, group),
    ROW(35, 1, layout_entry, depth),        ROW(36, 1, layout_entry, bar),
    ROW(37, 1, layout_entry, reserved),     ROW(38, 2, layout_entry, interval_ms),
    ROW(40, 4, layout_entry, name_version), ROW(44, 4, layout_entry, reserved_44),
    ROW(48, 8, layout_entry, first_seq),    ROW(56, 8, layout_entry, reserved_56),
};

static const struct row log_rows[] = {
    ROW(0, 8, layout_log, file.magic),       ROW(8, 2, layout_log, file.major),
    ROW(10, 2, layout_log, file.minor),      ROW(12, 4, layout_log, file.header_bytes),
    ROW(16, 8, layout_log, file.bytes),      ROW(24, 8, layout_log, file.epoch),
    ROW(32, 4, layout_log, encoding),        ROW(36, 4, layout_log, frame_bytes_max),
    ROW(40, 8, layout_log, records_at),      ROW(48, 4, layout_log, record_bytes),
    ROW(52, 4, layout_log, record_count),    ROW(56, 8, layout_log, descs_at),
    ROW(64, 4, layout_log, desc_bytes),      ROW(68, 4, layout_log, reserved_68),
    ROW(72, 8, layout_log, desc_count),      ROW(80, 8, layout_log, images_at),
    ROW(88, 8, layout_log, images_bytes),    ROW(96, 8, layout_log, bytes_at),
    ROW(104, 8, layout_log, capacity_bytes), ROW(112, 16, layout_log, reserved_112),
    ROW(128, 8, layout_log, head),           ROW(136, 56, layout_log, reserved_136),
    ROW(192, 8, layout_log, tail),           ROW(200, 56, layout_log, reserved_200),
};

static const struct row desc_rows[] = {
    ROW(0, 8, frame_desc, tag),          ROW(8, 8, frame_desc, position),
    ROW(16, 8, frame_desc, seq),         ROW(24, 8, frame_desc, ts_pub_ns),
    ROW(32, 8, frame_desc, hash),        ROW(40, 4, frame_desc, channel),
    ROW(44, 4, frame_desc, frame_bytes), ROW(48, 4, frame_desc, previous_distance),
    ROW(52, 1, frame_desc, group),       ROW(53, 1, frame_desc, flags),
    ROW(54, 10, frame_desc, reserved),
};

static const struct row record_rows[] = {
    ROW(0, 8, frame_record, last_index_plus_1), ROW(8, 8, frame_record, dropped_seq),
    ROW(16, 8, frame_record, dropped_hash),     ROW(24, 4, frame_record, image_version),
    ROW(28, 4, frame_record, image_bytes),      ROW(32, 8, frame_record, image_seq),
    ROW(40, 8, frame_record, image_ts_pub_ns),  ROW(48, 8, frame_record, image_at),
    ROW(56, 8, frame_record, image_hash),
};

/* Each field is where it is to be, and the fields leave no byte out. */
static void assert_rows(const struct row *rows, size_t count, size_t struct_bytes)
{
    size_t end = 0;
    for (size_t i = 0; i < count; i++) {
        if (rows[i].field_at != rows[i].at || rows[i].field_bytes != rows[i].bytes) {
            fail_msg("%s is at %zu with %zu bytes, not at %zu with %zu", rows[i].name,
                     rows[i].field_at, rows[i].field_bytes, rows[i].at, rows[i].bytes);
        }
        if (rows[i].at != end) {
            fail_msg("%s leaves a hole at %zu", rows[i].name, end);
        }
        end = rows[i].at + rows[i].bytes;
    }
    assert_int_equal(end, struct_bytes);
}
#define ASSERT_ROWS(rows, bytes) assert_rows(rows, sizeof rows / sizeof rows[0], bytes)

static void the_fields_are_where_the_tables_have_them(void **state)
{
    (void)state;
    ASSERT_ROWS(control_rows, 256);
    ASSERT_ROWS(entry_rows, 64);
    ASSERT_ROWS(log_rows, 256);
    ASSERT_ROWS(desc_rows, 64);
    ASSERT_ROWS(record_rows, 64);
}

static void the_constants_are_those_of_version_1_0(void **state)
{
    (void)state;
    const uint64_t magics[] = {LAYOUT_CONTROL_MAGIC, LAYOUT_LOG_MAGIC};
    assert_memory_equal(magics, "ringtap1ringlog1", 16);
    assert_int_equal(LAYOUT_MAJOR, 1);
    assert_int_equal(LAYOUT_MINOR, 0);
    assert_int_equal(LAYOUT_HEADER_BYTES, 256);
    assert_int_equal(LAYOUT_AREA_BYTES, 2097152);
    assert_int_equal(LAYOUT_RUNS, 1);
    assert_int_equal(LAYOUT_ENDS, 2);
    assert_int_equal(LAYOUT_ENDED, 3);
    assert_int_equal(FRAME_FULL_IMAGE, 1);
    assert_int_equal(FRAME_IS_JSON, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fields_are_where_the_tables_have_them),
        cmocka_unit_test(the_constants_are_those_of_version_1_0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
