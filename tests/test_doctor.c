#include <errno.h>
#include <jansson.h>
#include <sys/wait.h>

#include "src/doctor/doctor_host.h"
#include "src/doctor/doctor_print.h"
#include "src/doctor/doctor_target.h"
#include "tests/doctor_tree.h"

/* ---- Reading ---- */

static void files_are_read_below_the_root(void **state)
{
    struct doctor_tree *tree = *state;
    char text[8];
    int64_t number = 7;
    doctor_tree_write(tree, "/proc/sys/a", "12345678901\n");
    assert_true(doctor_read(&tree->doctor, text, sizeof text, "/proc/sys/%s", "a"));
    assert_string_equal(text, "1234567"); /* cut off */
    assert_true(doctor_read_number(&tree->doctor, &number, "/proc/sys/a"));
    assert_int_equal(number, 12345678901);
    assert_false(doctor_read(&tree->doctor, text, sizeof text, "/proc/sys/b"));
    assert_string_equal(text, "");
    doctor_tree_write(tree, "/proc/sys/a", "max\n");
    assert_false(doctor_read_number(&tree->doctor, &number, "/proc/sys/a"));
    assert_int_equal(number, 12345678901);
}

static void fields_links_and_directories_are_read_below_the_root(void **state)
{
    struct doctor_tree *tree = *state;
    char text[32];
    doctor_tree_write(tree, "/proc/self/status", "Name:\tx\nCapEff:\t0000\nMax open files   10\n");
    assert_true(
        doctor_read_field(&tree->doctor, text, sizeof text, "CapEff", "/proc/%s/status", "self"));
    assert_string_equal(text, "0000");
    assert_true(
        doctor_read_field(&tree->doctor, text, sizeof text, "Max open files", "/proc/self/status"));
    assert_string_equal(text, "10");
    assert_false(doctor_read_field(&tree->doctor, text, sizeof text, "None", "/proc/self/status"));
    doctor_tree_link(tree, "/proc/self/ns/net", "net:[1]");
    assert_true(doctor_read_link(&tree->doctor, text, sizeof text, "/proc/self/ns/net"));
    assert_string_equal(text, "net:[1]");
    assert_false(doctor_read_link(&tree->doctor, text, sizeof text, "/proc/self/ns/mnt"));
    DIR *directory = doctor_open_directory(&tree->doctor, "/proc/%s", "self");
    assert_non_null(directory);
    closedir(directory);
    assert_null(doctor_open_directory(&tree->doctor, "/sys"));
}

static void paths_that_are_too_long_cannot_be_read(void **state)
{
    struct doctor_tree *tree = *state;
    char name[DOCTOR_PATH_BYTES_MAX];
    char text[8];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_false(doctor_read(&tree->doctor, text, sizeof text, "/%s", name));
    assert_null(doctor_open_directory(&tree->doctor, "/%s", name));
}

/* ---- Findings ---- */

static void texts_of_findings_cannot_control_a_terminal(void **state)
{
    char text[DOCTOR_TEXT_BYTES_MAX];
    (void)state;
    doctor_text(text, "a \"%s\" b", "\x1b[2J\xff");
    assert_string_equal(text, "a \"?[2J?\" b");
}

static void worst_findings_come_first_and_equal_ones_in_the_order_of_the_table(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_write(tree, "/proc/sys/kernel/io_uring_disabled", "2\n");
    snprintf(tree->host.release, sizeof tree->host.release, "5.4.0");
    doctor_tree_run(tree, "uring,kernel");
    const struct doctor_finding *findings = tree->doctor.findings;
    assert_int_equal(tree->doctor.count, 5);
    assert_string_equal(findings[0].id, "kernel.version");
    assert_string_equal(findings[1].id, "uring.sysctl");
    assert_string_equal(findings[2].id, "uring.setup");
    assert_int_equal(findings[1].level, DOCTOR_FAIL);
    assert_int_equal(findings[2].level, DOCTOR_OK);
}

static void only_keeps_ids_and_kinds(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_run(tree, "uring.mode,kernel");
    assert_int_equal(tree->doctor.count, 2);
    doctor_tree_run(tree, NULL);
    assert_true(tree->doctor.count > 10);
}

static void ids_and_their_first_parts_are_known(void **state)
{
    char id[DOCTOR_ID_BYTES_MAX];
    (void)state;
    for (size_t i = 0; doctor_checks_id(i, id) != NULL; i++) {
        assert_true(doctor_checks_know(id, strlen(id)));
        assert_true(doctor_checks_know(id, strcspn(id, ".")));
        assert_false(doctor_checks_know(id, strcspn(id, ".") + 1));
    }
    assert_false(doctor_checks_know("", 0));
    assert_false(doctor_checks_know("kern", 4));
    assert_false(doctor_checks_know("kernel.versions", 15));
}

static void each_finding_of_a_host_without_files_has_an_id_and_a_text(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_run(tree, NULL);
    for (uint32_t i = 0; i < tree->doctor.count; i++) {
        const struct doctor_finding *finding = &tree->doctor.findings[i];
        assert_string_not_equal(finding->is, "");
        if (finding->level >= DOCTOR_WARN) {
            assert_string_not_equal(finding->why, "");
            assert_string_not_equal(finding->change, "");
        }
    }
}

/* ---- Printing ---- */

static char *printed(const struct doctor_tree *tree, bool is_json, bool is_verbose)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    if (is_json) {
        assert_int_equal(doctor_print_json(out, &tree->doctor, "a server"), 0);
    } else {
        doctor_print(out, &tree->doctor, "a server", is_verbose);
    }
    assert_int_equal(fclose(out), 0);
    return text;
}

static void text_is_wrapped_and_has_what_is_good_only_when_asked(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_write(tree, "/proc/sys/kernel/io_uring_disabled", "2\n");
    doctor_tree_run(tree, "uring");
    char *text = printed(tree, false, false);
    assert_non_null(strstr(text, "\nFAIL    uring.sysctl   kernel.io_uring_disabled is 2. "));
    assert_null(strstr(text, "uring.setup"));
    assert_non_null(strstr(text, "\n1 FAIL, 0 WARN, 0 INFO, 0 UNKNOWN, 3 OK (--verbose"));
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
        assert_true(strcspn(line, "\n") <= 80);
    }
    free(text);
    text = printed(tree, false, true);
    assert_non_null(strstr(text, "\nOK      uring.setup    A ring can be made.\n"));
    free(text);
}

static void json_has_all_findings(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_run(tree, "uring");
    char *text = printed(tree, true, false);
    json_t *all = json_loads(text, 0, NULL);
    assert_non_null(all);
    json_t *findings = json_object_get(all, "findings");
    assert_int_equal(json_array_size(findings), 4);
    assert_true(json_is_null(json_object_get(all, "pid")));
    for (size_t i = 0; i < 4; i++) {
        const struct doctor_finding *finding = &tree->doctor.findings[i];
        json_t *object = json_array_get(findings, i);
        assert_int_equal(json_object_size(object), 5);
        assert_string_equal(json_string_value(json_object_get(object, "id")), finding->id);
        assert_string_equal(json_string_value(json_object_get(object, "level")), "OK");
        assert_string_equal(json_string_value(json_object_get(object, "is")), finding->is);
    }
    json_decref(all);
    free(text);
}

/* ---- The host ---- */

static void facts_of_this_host_are_found(void **state)
{
    struct doctor_host host;
    (void)state;
    doctor_host_read(&host);
    assert_true(host.release[0] >= '1' && host.release[0] <= '9');
    assert_true(host.clock_ns < 1000000);
    if (host.uring_error == 0) {
        assert_string_equal(host.uring_lacks, "");
    } else {
        assert_null(host.uring_lacks);
    }
}

static void process_that_is_no_server_is_refused(void **state)
{
    struct doctor_target target;
    char error[OPTIONS_ERROR_BYTES_MAX];
    (void)state;
    assert_int_equal(doctor_target_open_server(&target, getpid(), error), -EINVAL);
    assert_non_null(strstr(error, "is not a server of ringcast"));
    assert_int_equal(doctor_target_open_server(&target, 1 << 22, error), -EINVAL);
    assert_non_null(strstr(error, "no process 4194304 runs"));
}

static void process_has_ended_also_while_nobody_has_waited_for_it(void **state)
{
    siginfo_t ended;
    (void)state;
    assert_false(doctor_target_has_ended(getpid()));
    pid_t child = fork();
    if (child == 0) {
        _exit(0);
    }
    assert_int_equal(waitid(P_PID, (id_t)child, &ended, WEXITED | WNOWAIT), 0);
    assert_true(doctor_target_has_ended(child));
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_true(doctor_target_has_ended(1 << 22));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        doctor_tree_test(files_are_read_below_the_root),
        doctor_tree_test(fields_links_and_directories_are_read_below_the_root),
        doctor_tree_test(paths_that_are_too_long_cannot_be_read),
        cmocka_unit_test(texts_of_findings_cannot_control_a_terminal),
        doctor_tree_test(worst_findings_come_first_and_equal_ones_in_the_order_of_the_table),
        doctor_tree_test(only_keeps_ids_and_kinds),
        cmocka_unit_test(ids_and_their_first_parts_are_known),
        doctor_tree_test(each_finding_of_a_host_without_files_has_an_id_and_a_text),
        doctor_tree_test(text_is_wrapped_and_has_what_is_good_only_when_asked),
        doctor_tree_test(json_has_all_findings),
        cmocka_unit_test(facts_of_this_host_are_found),
        cmocka_unit_test(process_that_is_no_server_is_refused),
        cmocka_unit_test(process_has_ended_also_while_nobody_has_waited_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
