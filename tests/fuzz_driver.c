/*
 * fuzz_driver: runs a fuzz target over its corpus, then over seeded mutations of it.
 *
 * Run  fuzz_NAME CORPUS_DIR [SECONDS [SEED]]     (10 seconds and seed 1 when not given)
 *      fuzz_NAME FILE                            that input alone
 *
 * An input that brings the target down, or that it does not end with, is left in fuzz_NAME.crash
 * beside the program. Every FUZZ_TELL_SECONDS a line says how many inputs there were.
 *
 * Also links with libFuzzer instead: clang -fsanitize=fuzzer,address tests/fuzz_NAME.c ...
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/guard_page.h"

#define FUZZ_INPUTS_MAX 1024
#define FUZZ_INPUT_BYTES_MAX 65536
#define FUZZ_INPUTS_A_ROUND 1000 /* between two looks at the clock */
#define FUZZ_ROUND_SECONDS_MAX 120
#define FUZZ_TELL_SECONDS 5

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_input {
    uint8_t *bytes;
    size_t count;
};

static struct fuzz_input fuzz_inputs[FUZZ_INPUTS_MAX];
static size_t fuzz_input_count;
static uint64_t fuzz_state;
static uint8_t fuzz_current[FUZZ_INPUT_BYTES_MAX];
static size_t fuzz_current_count;
static struct guard_page fuzz_guard;
static char fuzz_crash_path[4096];

static uint64_t fuzz_random(uint64_t below)
{
    fuzz_state ^= fuzz_state << 13;
    fuzz_state ^= fuzz_state >> 7;
    fuzz_state ^= fuzz_state << 17;
    return below == 0 ? 0 : fuzz_state % below;
}

/* What is no file is passed over. */
static void fuzz_read_file(int directory_fd, const char *name)
{
    int fd = openat(directory_fd, name, O_RDONLY);
    uint8_t *bytes = malloc(FUZZ_INPUT_BYTES_MAX);
    ssize_t count = fd < 0 || bytes == NULL ? -1 : read(fd, bytes, FUZZ_INPUT_BYTES_MAX);
    if (fd >= 0) {
        close(fd);
    }
    if (count < 0) {
        free(bytes);
        return;
    }
    fuzz_inputs[fuzz_input_count++] = (struct fuzz_input){.bytes = bytes, .count = (size_t)count};
}

static int fuzz_read_corpus(const char *path)
{
    DIR *directory = opendir(path);
    if (directory == NULL) {
        fuzz_read_file(AT_FDCWD, path);
    }
    struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL &&
           fuzz_input_count < FUZZ_INPUTS_MAX) {
        fuzz_read_file(dirfd(directory), entry->d_name);
    }
    if (directory != NULL) {
        closedir(directory);
    }
    if (fuzz_input_count == 0) {
        fprintf(stderr, "fuzz: no input at %s\n", path);
        return -1;
    }
    return directory == NULL ? 1 : 0;
}

/* One change: a byte, a run of bytes taken out or doubled, or the tail of another input. */
static void fuzz_mutate(void)
{
    size_t count = fuzz_current_count;
    size_t at = fuzz_random(count + 1);
    size_t run = fuzz_random(count - at + 1);
    switch (fuzz_random(4)) {
    case 0:
        if (at < count) {
            fuzz_current[at] = (uint8_t)fuzz_random(256);
        }
        break;
    case 1:
        memmove(fuzz_current + at, fuzz_current + at + run, count - at - run);
        fuzz_current_count -= run;
        break;
    case 2:
        if (count + run <= FUZZ_INPUT_BYTES_MAX) {
            memmove(fuzz_current + at + run, fuzz_current + at, count - at);
            fuzz_current_count += run;
        }
        break;
    default:
        if (fuzz_input_count > 0) {
            const struct fuzz_input *other = &fuzz_inputs[fuzz_random(fuzz_input_count)];
            size_t from = fuzz_random(other->count + 1);
            size_t taken = other->count - from;
            if (at + taken <= FUZZ_INPUT_BYTES_MAX) {
                memcpy(fuzz_current + at, other->bytes + from, taken);
                fuzz_current_count = at + taken;
            }
        }
        break;
    }
}

/* Leaves the input that brought the target down where it can be run again. */
static void fuzz_on_crash(int signal_number)
{
    int fd = open(fuzz_crash_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd >= 0) {
        (void)!write(fd, fuzz_current, fuzz_current_count);
        close(fd);
    }
    static const char words[] = "fuzz: the input is in ";
    (void)!write(STDERR_FILENO, words, sizeof words - 1);
    (void)!write(STDERR_FILENO, fuzz_crash_path, strlen(fuzz_crash_path));
    (void)!write(STDERR_FILENO, "\n", 1);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void fuzz_run(const struct fuzz_input *input, uint64_t changes)
{
    fuzz_current_count = input->count;
    if (input->count > 0) {
        memcpy(fuzz_current, input->bytes, input->count);
    }
    while (changes-- > 0) {
        fuzz_mutate();
    }
    /* It ends at an unreadable page: a read past it is a fault. */
    uint8_t *copy = guard_page_copy(&fuzz_guard, fuzz_current, fuzz_current_count);
    (void)LLVMFuzzerTestOneInput(copy, fuzz_current_count);
}

static void fuzz_tell(uint64_t runs)
{
    printf("%llu inputs from %zu in the corpus\n", (unsigned long long)runs, fuzz_input_count);
    fflush(stdout);
}

/* Mutations until the time is over. Returns how many. */
static uint64_t fuzz_explore(double seconds, uint64_t runs)
{
    time_t end = time(NULL) + (time_t)seconds;
    time_t told = time(NULL);
    while (time(NULL) < end) {
        alarm(FUZZ_ROUND_SECONDS_MAX);
        for (uint32_t i = 0; i < FUZZ_INPUTS_A_ROUND; i++, runs++) {
            fuzz_run(&fuzz_inputs[fuzz_random(fuzz_input_count)], 1 + fuzz_random(8));
        }
        if (time(NULL) - told >= FUZZ_TELL_SECONDS) {
            told = time(NULL);
            fuzz_tell(runs);
        }
    }
    return runs;
}

int main(int argc, char **argv)
{
    double seconds = argc > 2 ? atof(argv[2]) : 10;
    fuzz_state = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
    fuzz_state = fuzz_state * UINT64_C(0x9e3779b97f4a7c15) + 1;
    if (argc < 2) {
        fprintf(stderr, "usage: %s CORPUS_DIR [SECONDS [SEED]]\n", argv[0]);
        return 2;
    }
    snprintf(fuzz_crash_path, sizeof fuzz_crash_path, "%s.crash", argv[0]);
    static const int crashes[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGALRM};
    for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++) {
        signal(crashes[i], fuzz_on_crash);
    }
    int is_one_file = fuzz_read_corpus(argv[1]);
    if (is_one_file < 0) {
        return 2;
    }
    guard_page_init(&fuzz_guard, FUZZ_INPUT_BYTES_MAX);
    alarm(FUZZ_ROUND_SECONDS_MAX);
    static const struct fuzz_input nothing;
    fuzz_run(&nothing, 0);
    for (size_t i = 0; i < fuzz_input_count; i++) {
        fuzz_run(&fuzz_inputs[i], 0);
    }
    uint64_t runs = 1 + fuzz_input_count;
    if (!is_one_file) {
        runs = fuzz_explore(seconds, runs);
    }
    alarm(0);
    fuzz_tell(runs);
    for (size_t i = 0; i < fuzz_input_count; i++) {
        free(fuzz_inputs[i].bytes);
    }
    return 0;
}
