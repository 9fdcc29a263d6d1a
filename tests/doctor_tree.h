/*
 * doctor_tree: a host made of files, and a doctor that looks at it.
 *
 * Owner    The test sets it up and tears it down; each test has an empty tree.
 * Memory   One tree at a time.
 */
#ifndef RINGCAST_TESTS_DOCTOR_TREE_H
#define RINGCAST_TESTS_DOCTOR_TREE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/doctor/doctor_checks.h"
#include "tests/options_fixture.h"

struct doctor_tree {
    char root[64];
    struct doctor_host host; /* of a good host; the test changes it */
    struct options options;  /* the default ones; the test changes them */
    struct doctor doctor;
    void (*later)(struct doctor_tree *tree); /* NULL: nothing changes */
};

/* The time between two looks: what later() writes is seen by the second one. */
static inline uint64_t doctor_tree_pass(void *context)
{
    struct doctor_tree *tree = context;
    if (tree->later != NULL) {
        tree->later(tree);
    }
    return NS_PER_SECOND;
}

static inline int doctor_tree_set_up(void **state)
{
    static struct doctor_tree tree;
    tree = (struct doctor_tree){
        .root = "/tmp/doctor_tree_XXXXXX",
        .host = {.release = "6.12.1",
                 .uring_lacks = "",
                 .clock_ns = 25,
                 .shm_free_bytes = 8192 * MIB},
        .options = options_fixture_parsed("", NULL),
    };
    assert_non_null(mkdtemp(tree.root));
    tree.host.pass = doctor_tree_pass;
    tree.host.pass_context = &tree;
    tree.doctor = (struct doctor){
        .root = tree.root, .host = &tree.host, .options = &tree.options, .process = "self"};
    *state = &tree;
    return 0;
}

static inline int doctor_tree_remove(const char *path, const struct stat *stat, int kind,
                                     struct FTW *at)
{
    (void)stat;
    (void)kind;
    (void)at;
    return remove(path);
}

static inline int doctor_tree_tear_down(void **state)
{
    struct doctor_tree *tree = *state;
    options_deinit(&tree->options);
    return nftw(tree->root, doctor_tree_remove, 8, FTW_DEPTH | FTW_PHYS);
}

#define doctor_tree_test(function)                                                                 \
    cmocka_unit_test_setup_teardown(function, doctor_tree_set_up, doctor_tree_tear_down)

/* Makes the folders above a path; writes the whole path. */
static inline void doctor_tree_path(const struct doctor_tree *tree, const char *path,
                                    char out[DOCTOR_PATH_BYTES_MAX])
{
    snprintf(out, DOCTOR_PATH_BYTES_MAX, "%s%s", tree->root, path);
    for (char *at = out + strlen(tree->root) + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        assert_true(mkdir(out, 0700) == 0 || errno == EEXIST);
        *at = '/';
    }
}

/* A file with this text, in place of one that is there. */
static inline void doctor_tree_write(const struct doctor_tree *tree, const char *path,
                                     const char *text)
{
    char whole[DOCTOR_PATH_BYTES_MAX];
    doctor_tree_path(tree, path, whole);
    FILE *file = fopen(whole, "we");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static inline void doctor_tree_link(const struct doctor_tree *tree, const char *path,
                                    const char *target)
{
    char whole[DOCTOR_PATH_BYTES_MAX];
    doctor_tree_path(tree, path, whole);
    assert_int_equal(symlink(target, whole), 0);
}

/* Runs the checks of these ids, without the findings of an earlier run. */
static inline void doctor_tree_run(struct doctor_tree *tree, const char *only)
{
    tree->doctor.count = 0;
    tree->doctor.window = NULL;
    doctor_checks_run(&tree->doctor, only);
}

/* Runs the checks of one id, which have one finding, at this level. Returns it. */
static inline const struct doctor_finding *
doctor_tree_finds(struct doctor_tree *tree, const char *id, enum doctor_level level)
{
    doctor_tree_run(tree, id);
    if (tree->doctor.count != 1 || tree->doctor.findings[0].level != level) {
        fail_msg("%s: %u findings, the first of level %d: %s", id, tree->doctor.count,
                 (int)tree->doctor.findings[0].level, tree->doctor.findings[0].is);
    }
    const struct doctor_finding *finding = &tree->doctor.findings[0];
    if (level >= DOCTOR_WARN && (finding->why[0] == '\0' || finding->change[0] == '\0')) {
        fail_msg("%s does not say why it matters and what to change", id);
    }
    return finding;
}

/* Whether the finding's texts contain a text. */
static inline void doctor_tree_says(const struct doctor_finding *finding, const char *text)
{
    if (strstr(finding->is, text) == NULL && strstr(finding->why, text) == NULL &&
        strstr(finding->change, text) == NULL) {
        fail_msg("\"%s\" is not in: %s %s %s", text, finding->is, finding->why, finding->change);
    }
}

#endif
