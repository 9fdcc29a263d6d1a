/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/archive/tar.h"

#define HEADER_BYTES 512

static struct tar tar;
static size_t at;
static struct tar_entry entry;
static const char *fault;

static int set_up(void **state)
{
    (void)state;
    tar = (struct tar){0};
    at = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tar_deinit(&tar);
    return 0;
}

static int add(const char *name, const char *text)
{
    struct tar_entry added = {.mode = 0640,
                              .uid = 1000,
                              .gid = 100,
                              .modified_s = 1700000000,
                              .bytes = (const uint8_t *)text,
                              .size = strlen(text)};
    strncpy(added.name, name, sizeof added.name - 1);
    return tar_add(&tar, &added);
}

static int next(void)
{
    return tar_next(tar.bytes, tar.size, &at, &entry, &fault);
}

/* Of the first header, after a change to it. */
static void sum_again(void)
{
    unsigned int sum = 8 * ' ';
    memset(tar.bytes + 148, 0, 8);
    for (int i = 0; i < HEADER_BYTES; i++) {
        sum += tar.bytes[i];
    }
    snprintf((char *)tar.bytes + 148, 8, "%06o", sum);
}

static void what_is_added_is_read_again(void **state)
{
    (void)state;
    assert_int_equal(add("etc/a", "one"), 0);
    assert_int_equal(add("etc/empty", ""), 0);
    assert_int_equal(tar_end(&tar), 0);
    assert_int_equal(tar.size % HEADER_BYTES, 0);
    assert_int_equal(next(), 1);
    assert_string_equal(entry.name, "etc/a");
    assert_int_equal(entry.mode, 0640);
    assert_int_equal(entry.uid, 1000);
    assert_int_equal(entry.gid, 100);
    assert_int_equal(entry.modified_s, 1700000000);
    assert_int_equal(entry.size, 3);
    assert_memory_equal(entry.bytes, "one", 3);
    assert_int_equal(next(), 1);
    assert_int_equal(entry.size, 0);
    assert_int_equal(next(), 0);
}

static void a_long_name_is_cut_at_a_slash(void **state)
{
    (void)state;
    char name[TAR_NAME_BYTES_MAX];
    memset(name, 'x', sizeof name);
    name[150] = '/';
    name[250] = '\0';
    assert_int_equal(add(name, "text"), 0);
    assert_int_equal(tar_end(&tar), 0);
    assert_int_equal(next(), 1);
    assert_string_equal(entry.name, name);
}

static void the_longest_name_is_read_whole(void **state)
{
    (void)state;
    char name[TAR_NAME_BYTES_MAX] = {0};
    memset(name, 'x', sizeof name - 1);
    name[155] = '/';
    assert_int_equal(add(name, "text"), 0);
    assert_int_equal(next(), 1);
    assert_string_equal(entry.name, name);
}

static void a_name_without_a_slash_in_time_is_refused(void **state)
{
    (void)state;
    char name[TAR_NAME_BYTES_MAX] = {0};
    memset(name, 'x', 101);
    assert_int_equal(add(name, "text"), -ENAMETOOLONG);
    assert_int_equal(tar.size, 0);
}

/* Of a directory service, or of a container's range. Their last 21 bits are those of others. */
static void owners_with_large_numbers_are_kept(void **state)
{
    (void)state;
    const struct tar_entry added = {
        .name = "etc/a", .uid = 2097152, .gid = UINT32_MAX, .modified_s = -1};
    assert_int_equal(tar_add(&tar, &added), 0);
    assert_int_equal(next(), 1);
    assert_int_equal(entry.uid, 2097152);
    assert_int_equal(entry.gid, UINT32_MAX);
    assert_int_equal(entry.modified_s, 0);
}

static void names_that_leave_the_folder_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"/etc/a", "../a", "etc/../a", "etc//a",
                                        "./a",    "etc/", ".."};
    assert_int_equal(add("x", "text"), 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        memset(tar.bytes, 0, 100);
        memcpy(tar.bytes, names[i], strlen(names[i]));
        sum_again();
        at = 0;
        assert_int_equal(next(), -EINVAL);
        assert_non_null(strstr(fault, "leaves its folder"));
    }
}

static void names_with_control_characters_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"a\033[2J", "a\nb", "a\177"};
    assert_int_equal(add("xxxxx", "text"), 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(add(names[i], "text"), -EINVAL);
        memcpy(tar.bytes, names[i], strlen(names[i]));
        sum_again();
        at = 0;
        assert_int_equal(next(), -EINVAL);
        assert_non_null(strstr(fault, "control character"));
    }
}

static void links_and_devices_are_refused(void **state)
{
    (void)state;
    assert_int_equal(add("x", "text"), 0);
    for (char type = '1'; type <= '7'; type++) {
        tar.bytes[156] = (uint8_t)type;
        sum_again();
        at = 0;
        assert_int_equal(next(), -EINVAL);
        assert_non_null(strstr(fault, "regular file"));
    }
}

static void each_changed_byte_of_a_header_is_found(void **state)
{
    (void)state;
    assert_int_equal(add("etc/a", "text"), 0);
    for (size_t i = 0; i < HEADER_BYTES; i++) {
        tar.bytes[i] ^= 1;
        at = 0;
        int status = next();
        tar.bytes[i] ^= 1;
        if (i != 154 && i != 155) { /* the ends of the sum itself */
            assert_int_equal(status, -EINVAL);
        }
    }
}

/* Each as memory of its own, so that a sanitizer sees what is read beyond it. */
static void each_shorter_archive_is_refused(void **state)
{
    (void)state;
    assert_int_equal(add("etc/a", "text"), 0);
    assert_int_equal(tar_end(&tar), 0);
    for (size_t size = 0; size < (size_t)3 * HEADER_BYTES; size++) {
        uint8_t *part = malloc(size + 1);
        assert_non_null(part);
        memcpy(part, tar.bytes, size);
        at = 0;
        int status = tar_next(part, size, &at, &entry, &fault);
        if (status == 1) {
            status = tar_next(part, size, &at, &entry, &fault);
        }
        assert_int_equal(status, -EINVAL);
        free(part);
    }
}

static void a_size_beyond_the_end_is_refused(void **state)
{
    (void)state;
    assert_int_equal(add("x", "text"), 0);
    memcpy(tar.bytes + 124, "77777777777", 11);
    sum_again();
    assert_int_equal(next(), -EINVAL);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_added_is_read_again),
        TEST(a_long_name_is_cut_at_a_slash),
        TEST(the_longest_name_is_read_whole),
        TEST(a_name_without_a_slash_in_time_is_refused),
        TEST(owners_with_large_numbers_are_kept),
        TEST(names_that_leave_the_folder_are_refused),
        TEST(names_with_control_characters_are_refused),
        TEST(links_and_devices_are_refused),
        TEST(each_changed_byte_of_a_header_is_found),
        TEST(each_shorter_archive_is_refused),
        TEST(a_size_beyond_the_end_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
