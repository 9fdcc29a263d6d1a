#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/config/config.h"
#include "tests/guard_page.h"

/* What the sink has been given, a line each: "3 value websocket.port 8765". */
struct record {
    char text[4096];
    const char *refuse; /* The path at which the sink ends it; NULL: nowhere. */
};

static int record_take(void *context, const struct config_entry *entry, char *error_out)
{
    static const char *const kinds[] = {
        [CONFIG_SECTION] = "section", [CONFIG_LIST] = "list",       [CONFIG_ITEM] = "item",
        [CONFIG_VALUE] = "value",     [CONFIG_NOTHING] = "nothing",
    };
    struct record *record = context;
    size_t used = strlen(record->text);
    assert_true(strlen(entry->path) <= CONFIG_PATH_BYTES_MAX);
    snprintf(record->text + used, sizeof record->text - used, "%u %s %s%s%s\n", entry->line,
             kinds[entry->kind], entry->path, entry->text == NULL ? "" : " ",
             entry->text == NULL ? "" : entry->text);
    if (record->refuse != NULL && strcmp(record->refuse, entry->path) == 0) {
        return config_refuse(entry, error_out, "no");
    }
    return 0;
}

/* Parses a copy that ends at a page which cannot be read. */
static int parse(struct record *record, char *error_out, const char *text, size_t text_bytes)
{
    struct guard_page guard;
    guard_page_init(&guard, text_bytes);
    struct config_sink sink = {.context = record, .take = record_take};
    record->text[0] = error_out[0] = '\0';
    int error = config_parse("a.yaml", guard_page_copy(&guard, text, text_bytes), text_bytes, &sink,
                             error_out);
    guard_page_deinit(&guard);
    return error;
}

static void assert_gives(const char *text, const char *entries)
{
    struct record record = {0};
    char error[CONFIG_ERROR_BYTES_MAX];
    if (parse(&record, error, text, strlen(text)) != 0) {
        fail_msg("%s: %s", text, error);
    }
    assert_string_equal(record.text, entries);
}

static void assert_refused_bytes(const char *text, size_t text_bytes, const char *wanted)
{
    struct record record = {0};
    char error[CONFIG_ERROR_BYTES_MAX];
    assert_int_equal(parse(&record, error, text, text_bytes), -EINVAL);
    if (strncmp(error, wanted, strlen(wanted)) != 0) {
        fail_msg("%.100s: the error is: %s", text, error);
    }
}

static void assert_refused(const char *text, const char *wanted)
{
    assert_refused_bytes(text, strlen(text), wanted);
}

static void each_value_comes_with_its_path_and_line(void **state)
{
    (void)state;
    assert_gives("# of a server\n"
                 "environment: production\n"
                 "websocket:\n"
                 "  host: \"0.0.0.0\" # all\n"
                 "  port: 8765\n"
                 "\n"
                 "feeds:\n"
                 "  - sim:symbols=5,rate=7\n"
                 "  - 'replay:path=a b: c'\n"
                 "monitoring: {enabled: true, deep: {er: [x]}}\n",
                 "2 value environment production\n"
                 "3 section websocket\n"
                 "4 value websocket.host 0.0.0.0\n"
                 "5 value websocket.port 8765\n"
                 "7 list feeds\n"
                 "8 item feeds sim:symbols=5,rate=7\n"
                 "9 item feeds replay:path=a b: c\n"
                 "10 section monitoring\n"
                 "10 value monitoring.enabled true\n"
                 "10 section monitoring.deep\n"
                 "10 list monitoring.deep.er\n"
                 "10 item monitoring.deep.er x\n");
}

static void a_key_without_a_value_is_told_from_an_empty_text(void **state)
{
    (void)state;
    assert_gives("a:\nb: ~\nc: null\nd: ''\ne: 'null'\n",
                 "1 nothing a\n2 nothing b\n3 nothing c\n4 value d \n5 value e null\n");
}

static void a_byte_order_mark_and_line_ends_of_other_systems_are_understood(void **state)
{
    (void)state;
    assert_gives("\xef\xbb\xbf"
                 "a: 1\r\nb:\r\n  c: 2\r\n",
                 "1 value a 1\n2 section b\n3 value b.c 2\n");
}

static void a_file_without_a_key_is_refused(void **state)
{
    (void)state;
    static const char *const empty[] = {"",   "\n\n", "# nothing\n", "---\n", "---\n...\n",
                                        "{}", "~"};
    for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++) {
        assert_refused(empty[i], "a.yaml:1: the file is empty: it has no key");
    }
}

static void what_no_configuration_needs_is_refused(void **state)
{
    (void)state;
    assert_refused("a: 1\nb: &x 2\n", "a.yaml:2: b: anchors (&NAME)");
    assert_refused("&x a: 1\n", "a.yaml:1: anchors (&NAME)");
    assert_refused("a: &x [1]\n", "a.yaml:1: a: anchors (&NAME)");
    assert_refused("&x {a: 1}\n", "a.yaml:1: anchors (&NAME)");
    assert_refused("a: *x\n", "a.yaml:1: a: aliases (*NAME)");
    assert_refused("a:\n  <<: *x\n", "a.yaml:2: a.<<: aliases (*NAME)");
    assert_refused("a: !!int 1\n", "a.yaml:1: a: tags (!NAME)");
    assert_refused("a: ! 1\n", "a.yaml:1: a: tags (!NAME)");
    assert_refused("a: !!seq [1]\n", "a.yaml:1: a: tags (!NAME)");
    assert_refused("!x {a: 1}\n", "a.yaml:1: tags (!NAME)");
    assert_refused("a: 1\n---\na: 2\n", "a.yaml:2: a second document (---)");
    assert_refused("a\n", "a.yaml:1: not a configuration");
    assert_refused("- a\n", "a.yaml:1: a list is not expected here");
    assert_refused("? [a]\n: b\n", "a.yaml:1: a list is not expected here");
    assert_refused("? {a: b}\n: c\n", "a.yaml:1: a section is not expected here");
    assert_refused("a.b: 1\n", "a.yaml:1: a key contains a dot");
    assert_refused("a:\n  '': 1\n", "a.yaml:2: a: a key must have 1 to 64 bytes");
}

static void a_list_holds_one_text_or_more_and_nothing_else(void **state)
{
    (void)state;
    assert_refused("a: []\n", "a.yaml:1: a: the list is empty");
    assert_refused("a:\n  - b\n  - [c]\n", "a.yaml:3: a: a list within a list is not supported");
    assert_refused("a:\n  - b\n  - c: d\n", "a.yaml:3: a: a list may contain only texts");
    assert_refused("a:\n  - b\n  -\n", "a.yaml:3: a: an item of the list is empty");
}

static void bad_yaml_is_refused_with_its_line(void **state)
{
    (void)state;
    assert_refused("a:\n\tb: 1\n", "a.yaml:2: the line is indented with a tab");
    assert_refused("a:\n  b: 1\n\t c: 1\n", "a.yaml:3: the line is indented with a tab");
    assert_refused("a: b: c\n", "a.yaml:1: not valid YAML: mapping values are not allowed");
    assert_refused("a: 1\nb: 'x\n", "a.yaml:3: not valid YAML: while scanning a quoted scalar");
    assert_refused("a: 1\nb: [x\n", "a.yaml:3: not valid YAML: while parsing a flow sequence");
    assert_refused("a: 1\n b: 2\n", "a.yaml:2: not valid YAML");
    assert_refused("a: @x\n", "a.yaml:1: not valid YAML");
    assert_refused("a: 1\n\nb: \xff\n", "a.yaml:3: not UTF-8 text");
    assert_refused("a: 1\nb: \x01\n", "a.yaml:2: not UTF-8 text: control characters");
    assert_refused_bytes("a: 1\0b: 2\n", 10, "a.yaml:1: not UTF-8 text");
    assert_refused("a: \"x\\0y\"\n", "a.yaml:1: a: a text contains a zero byte");
    assert_refused("\"x\\0y\": a\n", "a.yaml:1: a text contains a zero byte");
}

static void sections_are_at_most_eight_deep_and_keys_64_bytes_long(void **state)
{
    (void)state;
    char key[CONFIG_KEY_BYTES_MAX + 1];
    char text[1024] = "";
    struct record record = {0};
    char error[CONFIG_ERROR_BYTES_MAX];
    memset(key, 'k', CONFIG_KEY_BYTES_MAX);
    key[CONFIG_KEY_BYTES_MAX] = '\0';
    for (int i = 0; i < 8; i++) {
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s: ", i == 0 ? "" : "{", key);
    }
    strcat(text, "1}}}}}}}");
    assert_int_equal(parse(&record, error, text, strlen(text)), 0);
    assert_refused("{a: {a: {a: {a: {a: {a: {a: {a: {a: 1}}}}}}}}}",
                   "a.yaml:1: a.a.a.a.a.a.a.a: sections are nested more than 8");
    snprintf(text, sizeof text, "a:\n  %sx: 1\n", key);
    assert_refused(text, "a.yaml:2: a: a key must have 1 to 64 bytes");
}

/* Nothing is kept of what is deep, or repeats: it ends where it begins. */
static void what_nests_or_repeats_without_end_is_refused_where_it_begins(void **state)
{
    (void)state;
    static const char *const units[] = {"[", "{", "{a: ", "a: [", "- ", "? ", "a: {b: "};
    char *text = malloc(CONFIG_BYTES_MAX + 1);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        size_t unit_bytes = strlen(units[i]);
        for (size_t at = 0; at + unit_bytes <= CONFIG_BYTES_MAX; at += unit_bytes) {
            memcpy(text + at, units[i], unit_bytes);
        }
        assert_refused_bytes(text, CONFIG_BYTES_MAX / unit_bytes * unit_bytes, "a.yaml:1: ");
    }
    free(text);
    assert_refused("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n", "a.yaml:1: a: anchors");
}

static void what_the_sink_refuses_ends_it(void **state)
{
    (void)state;
    static const char text[] = "a:\n  b: 1\n  c:\n    - 2\n    - 3\nd: 4\n";
    static const char *const paths[] = {"a", "a.b", "a.c", "d"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct record record = {.refuse = paths[i]};
        char error[CONFIG_ERROR_BYTES_MAX];
        assert_int_equal(parse(&record, error, text, strlen(text)), -EINVAL);
        assert_non_null(strstr(error, paths[i]));
        assert_non_null(strstr(error, ": no"));
        assert_true(strstr(record.text, " d 4") == NULL || i == 3);
    }
}

/* A file that is cut somewhere is good or refused in words, and never read past its end. */
static void a_file_may_end_at_every_byte(void **state)
{
    (void)state;
    static const char text[] =
        "a: 1\nb:\n  c: \"x\\ty\"\n  d: [e, 'f']\ng: |\n  h\n  i\nj: \xc3\xa9\n";
    for (size_t bytes = 0; bytes < sizeof text; bytes++) {
        struct record record = {0};
        char error[CONFIG_ERROR_BYTES_MAX];
        int status = parse(&record, error, text, bytes);
        assert_true(status == 0 || status == -EINVAL);
        assert_true((status == 0) == (error[0] == '\0'));
    }
}

static void write_file(const char *path, size_t bytes)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("a: 1\n", file);
    for (size_t i = 5; i < bytes; i++) {
        fputc('#', file);
    }
    assert_int_equal(fclose(file), 0);
}

static void assert_unread(const char *path, int error_wanted, const char *wanted)
{
    struct record record = {0};
    struct config_sink sink = {.context = &record, .take = record_take};
    char error[CONFIG_ERROR_BYTES_MAX] = "";
    assert_int_equal(config_read(path, &sink, error), error_wanted);
    assert_non_null(strstr(error, path));
    assert_non_null(strstr(error, wanted));
    assert_string_equal(record.text, "");
}

static void a_file_that_is_none_or_too_long_is_refused(void **state)
{
    (void)state;
    char path[] = "/tmp/test_config_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_unread("/tmp", -EISDIR, "a directory");
    assert_unread("/dev/zero", -EFBIG, "longer than 262144 bytes");
    write_file(path, CONFIG_BYTES_MAX + 1);
    assert_unread(path, -EFBIG, "longer than 262144 bytes");
    write_file(path, CONFIG_BYTES_MAX);
    struct record record = {0};
    struct config_sink sink = {.context = &record, .take = record_take};
    char error[CONFIG_ERROR_BYTES_MAX];
    assert_int_equal(config_read(path, &sink, error), 0);
    assert_string_equal(record.text, "1 value a 1\n");
    unlink(path);
    assert_unread(path, -ENOENT, "the file does not exist");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_value_comes_with_its_path_and_line),
        cmocka_unit_test(a_key_without_a_value_is_told_from_an_empty_text),
        cmocka_unit_test(a_byte_order_mark_and_line_ends_of_other_systems_are_understood),
        cmocka_unit_test(a_file_without_a_key_is_refused),
        cmocka_unit_test(what_no_configuration_needs_is_refused),
        cmocka_unit_test(a_list_holds_one_text_or_more_and_nothing_else),
        cmocka_unit_test(bad_yaml_is_refused_with_its_line),
        cmocka_unit_test(sections_are_at_most_eight_deep_and_keys_64_bytes_long),
        cmocka_unit_test(what_nests_or_repeats_without_end_is_refused_where_it_begins),
        cmocka_unit_test(what_the_sink_refuses_ends_it),
        cmocka_unit_test(a_file_may_end_at_every_byte),
        cmocka_unit_test(a_file_that_is_none_or_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
