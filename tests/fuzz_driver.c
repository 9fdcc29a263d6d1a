/*
 * fuzz_driver: runs a fuzz target over its corpus, then over seeded mutations of it.
 *
 * Run  fuzz_NAME CORPUS_DIR [SECONDS [SEED]]     (10 seconds and seed 1 when not given)
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

#define FUZZ_INPUTS_MAX 1024
#define FUZZ_INPUT_BYTES_MAX 65536

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
static char fuzz_crash_path[128]; /* NAME.crash, in the folder where it runs. */

static uint64_t fuzz_random(uint64_t below)
{
    fuzz_state ^= fuzz_state << 13;
    fuzz_state ^= fuzz_state >> 7;
    fuzz_state ^= fuzz_state << 17;
    return below == 0 ? 0 : fuzz_state % below;
}

static int fuzz_read_corpus(const char *path)
{
    DIR *directory = opendir(path);
    if (directory == NULL) {
        fprintf(stderr, "fuzz: no corpus at %s\n", path);
        return -1;
    }
    struct dirent *entry;
    while ((entry = readdir(directory)) != NULL && fuzz_input_count < FUZZ_INPUTS_MAX) {
        int fd = openat(dirfd(directory), entry->d_name, O_RDONLY);
        uint8_t *bytes = malloc(FUZZ_INPUT_BYTES_MAX);
        ssize_t count = fd < 0 || bytes == NULL ? -1 : read(fd, bytes, FUZZ_INPUT_BYTES_MAX);
        if (fd >= 0) {
            close(fd);
        }
        if (count < 0) {
            free(bytes);
            continue;
        }
        fuzz_inputs[fuzz_input_count++] =
            (struct fuzz_input){.bytes = bytes, .count = (size_t)count};
    }
    closedir(directory);
    return 0;
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
    /* An exact copy on the heap, so that a sanitizer sees a read past its end. */
    uint8_t *copy = malloc(fuzz_current_count + (fuzz_current_count == 0));
    if (copy != NULL) {
        memcpy(copy, fuzz_current, fuzz_current_count);
        (void)LLVMFuzzerTestOneInput(copy, fuzz_current_count);
    }
    free(copy);
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
    const char *slash = strrchr(argv[0], '/');
    snprintf(fuzz_crash_path, sizeof fuzz_crash_path, "%s.crash",
             slash == NULL ? argv[0] : slash + 1);
    signal(SIGABRT, fuzz_on_crash);
    signal(SIGSEGV, fuzz_on_crash);
    signal(SIGILL, fuzz_on_crash);
    if (fuzz_read_corpus(argv[1]) < 0) {
        return 2;
    }
    static const struct fuzz_input nothing;
    fuzz_run(&nothing, 0);
    for (size_t i = 0; i < fuzz_input_count; i++) {
        fuzz_run(&fuzz_inputs[i], 0);
    }
    uint64_t runs = 1 + fuzz_input_count;
    time_t end = time(NULL) + (time_t)seconds;
    while (time(NULL) < end) {
        for (uint32_t i = 0; i < 1000; i++, runs++) {
            const struct fuzz_input *input =
                fuzz_input_count == 0 ? &nothing : &fuzz_inputs[fuzz_random(fuzz_input_count)];
            fuzz_run(input, 1 + fuzz_random(8));
        }
    }
    printf("%s: %llu inputs from %zu in the corpus, no fault\n", argv[0], (unsigned long long)runs,
           fuzz_input_count);
    for (size_t i = 0; i < fuzz_input_count; i++) {
        free(fuzz_inputs[i].bytes);
    }
    return 0;
}
