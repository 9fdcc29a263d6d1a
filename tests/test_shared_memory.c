/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "codec/base/units.h"
#include "ring/board/layout.h"
#include "ring/board/shared_memory.h"
#include "tests/emulator.h"

#define BYTES (4 * MIB)
#define NOEXEC_SEAL 8U

/* ---- A kernel before 6.3, in place of the C library's function ---- */

static bool refuses_noexec;
static unsigned flags_asked;
static unsigned flags_given; /* by the last call that was not refused */

int memfd_create(const char *name, unsigned flags)
{
    flags_asked |= flags;
    if (refuses_noexec && (flags & NOEXEC_SEAL) != 0) {
        errno = EINVAL;
        return -1;
    }
    flags_given = flags;
    return (int)syscall(SYS_memfd_create, name, flags);
}

static struct shared_memory make(uint64_t twice_at)
{
    struct shared_memory memory;
    assert_int_equal(shared_memory_create(&memory, "test", BYTES, twice_at), 0);
    return memory;
}

static mode_t mode_of(int fd)
{
    struct stat known;
    assert_int_equal(fstat(fd, &known), 0);
    return known.st_mode & 07777;
}

static void it_is_the_users_own_and_ends_at_exec(void **state)
{
    (void)state;
    struct shared_memory memory = make(BYTES);
    assert_int_equal(mode_of(memory.fd), 0600);
    assert_int_equal(fcntl(memory.fd, F_GETFD), FD_CLOEXEC);
    /* Nor can it be executed, where the kernel knows the flag. */
    assert_int_equal(flags_asked & NOEXEC_SEAL, NOEXEC_SEAL);
    assert_int_equal(fchmod(memory.fd, 0700) < 0, (flags_given & NOEXEC_SEAL) != 0);
    shared_memory_close(&memory);
}

static void a_kernel_without_noexec_gives_the_same_but_for_that(void **state)
{
    (void)state;
    refuses_noexec = true;
    struct shared_memory memory = make(BYTES);
    refuses_noexec = false;
    assert_int_equal(flags_given & NOEXEC_SEAL, 0);
    assert_int_equal(mode_of(memory.fd), 0600);
    assert_int_equal(shared_memory_seal(&memory), 0);
    shared_memory_close(&memory);
}

static void the_second_view_goes_on_where_the_first_ends(void **state)
{
    (void)state;
    struct shared_memory memory = make(3 * MIB);
    assert_int_equal((uintptr_t)memory.view % LAYOUT_AREA_BYTES, 0);
    memcpy(memory.view + BYTES - 3, "abcdef", 6);
    assert_memory_equal(memory.view + 3 * MIB, "def", 3);
    memory.view[BYTES - 1] = 'z';
    assert_int_equal(memory.view[BYTES + MIB - 1], 'z');
    shared_memory_close(&memory);
}

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t resident_pages(const struct shared_memory *memory)
{
    struct stat known;
    assert_int_equal(fstat(memory->fd, &known), 0);
    return (size_t)known.st_blocks * 512 / page_bytes();
}

static void pages_come_by_touching_and_go_by_punching(void **state)
{
    (void)state;
    EMULATOR_LACKS("madvise");
    struct shared_memory memory = make(2 * MIB);
    assert_int_equal(madvise(memory.view, BYTES + 2 * MIB, MADV_NOHUGEPAGE), 0);
    assert_int_equal(resident_pages(&memory), 0);
    assert_int_equal(shared_memory_touch(&memory, MIB, MIB), 0);
    assert_int_equal(resident_pages(&memory), MIB / page_bytes());
    assert_int_equal(shared_memory_touch(&memory, BYTES, 2 * MIB), 0); /* by the second view */
    assert_int_equal(resident_pages(&memory), 3 * MIB / page_bytes());
    memory.view[2 * MIB] = 'a';
    assert_int_equal(shared_memory_punch(&memory, MIB, 3 * MIB), 0);
    assert_int_equal(resident_pages(&memory), 0);
    assert_int_equal(memory.view[2 * MIB], 0);
    shared_memory_close(&memory);
}

/* Of what this process maps. */
static bool has_huge_page(void)
{
    char line[256];
    unsigned long kib = 0;
    FILE *file = fopen("/proc/self/smaps", "r");
    assert_non_null(file);
    while (kib == 0 && fgets(line, sizeof line, file) != NULL) {
        sscanf(line, "ShmemPmdMapped: %lu kB", &kib);
    }
    fclose(file);
    return kib > 0;
}

static void collapsed_or_not_the_bytes_stay(void **state)
{
    (void)state;
    EMULATOR_LACKS("madvise");
    struct shared_memory memory = make(2 * MIB);
    memory.view[5] = 'a'; /* The second area has no page yet. */
    int error = shared_memory_collapse(&memory, 0, BYTES + 2 * MIB);
    assert_true(error != 0 || (has_huge_page() && resident_pages(&memory) == BYTES / page_bytes()));
    assert_int_equal(memory.view[5], 'a');
    memory.view[BYTES - 1] = 'b';
    assert_int_equal(memory.view[BYTES + 2 * MIB - 1], 'b');
    /* Where it cannot be, that is said. */
    assert_int_equal(munmap(memory.view + 2 * MIB, 2 * MIB), 0);
    assert_true(shared_memory_collapse(&memory, 2 * MIB, 2 * MIB) < 0);
    shared_memory_close(&memory);
    if (error != 0) {
        skip(); /* This kernel makes no huge pages of shared memory. */
    }
}

/* ---- Who can write ---- */

static int error_of(int result)
{
    return result < 0 ? errno : 0;
}

static int map_error(int fd)
{
    void *view = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (view == MAP_FAILED) {
        return errno;
    }
    munmap(view, BYTES);
    return 0;
}

static int punch_error(int fd)
{
    return error_of(
        fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)page_bytes()));
}

static int seal_error(int fd)
{
    return error_of(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
}

/* What it takes a process of the same user to write. */
static int reopen(int fd, int flags)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, flags);
}

/* A second process has this: as A of the measured facts has it, row by row. */
static void a_read_only_descriptor_lets_nobody_write(void **state)
{
    (void)state;
    EMULATOR_LACKS("madvise");
    for (int is_sealed = 0; is_sealed < 2; is_sealed++) {
        struct shared_memory memory = make(BYTES), other;
        memcpy(memory.view, "before", 6);
        assert_int_equal(is_sealed ? shared_memory_seal(&memory) : 0, 0);
        int fd = shared_memory_read_only_fd(&memory);
        assert_true(fd >= 0);
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        assert_int_equal(map_error(fd), EACCES);
        assert_int_equal(error_of(ftruncate(fd, 0)), EINVAL);
        assert_int_equal(punch_error(fd), EBADF);
        assert_int_equal(seal_error(fd), EPERM);
        assert_int_equal(error_of((int)pwrite(fd, "x", 1, 0)), EBADF);
        assert_int_equal(shared_memory_open(&other, fd, BYTES, 2 * MIB), 0);
        assert_memory_equal(other.view, "before", 6);
        assert_int_equal(error_of(mprotect(other.view, page_bytes(), PROT_READ | PROT_WRITE)),
                         EACCES);
        assert_int_equal(error_of(madvise(other.view, page_bytes(), MADV_REMOVE)), EACCES);
        memory.view[BYTES - 1] = 'z'; /* The writer's view stays, and the other one follows. */
        assert_int_equal(other.view[BYTES + 2 * MIB - 1], 'z');
        shared_memory_close(&other);
        shared_memory_close(&memory);
    }
}

static void sealed_nobody_can_write_also_by_a_new_descriptor(void **state)
{
    (void)state;
    struct shared_memory memory = make(BYTES);
    assert_int_equal(shared_memory_seal(&memory), 0);
    int fd = shared_memory_read_only_fd(&memory);
    int again = reopen(fd, O_RDWR);
    assert_true(again >= 0); /* The mode does not keep the same user off. */
    const int fds[] = {again, memory.fd};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(map_error(fds[i]), EPERM);
        assert_int_equal(error_of((int)pwrite(fds[i], "x", 1, 0)), EPERM);
        assert_int_equal(punch_error(fds[i]), EPERM);
        assert_int_equal(error_of(ftruncate(fds[i], 4096)), EPERM);
        assert_int_equal(error_of(ftruncate(fds[i], 2 * BYTES)), EPERM);
        assert_int_equal(seal_error(fds[i]), EPERM);
    }
    assert_int_equal(shared_memory_punch(&memory, 0, 4096), -EPERM);
    assert_int_equal(reopen(fd, O_RDWR | O_TRUNC), -1);
    memory.view[7] = 'a';
    assert_int_equal(memory.view[7], 'a');
    close(again);
    close(fd);
    shared_memory_close(&memory);
}

/* So the test above can fail. */
static void not_sealed_the_same_user_can(void **state)
{
    (void)state;
    struct shared_memory memory = make(BYTES);
    int fd = shared_memory_read_only_fd(&memory);
    int again = reopen(fd, O_RDWR);
    assert_true(again >= 0);
    assert_int_equal(map_error(again), 0);
    assert_int_equal(pwrite(again, "x", 1, 0), 1);
    assert_int_equal(memory.view[0], 'x');
    assert_int_equal(punch_error(again), 0);
    assert_int_equal(memory.view[0], 0);
    close(again);
    close(fd);
    shared_memory_close(&memory);
}

/* In a child; exits with the errno. */
static void try_as_nobody(int fd)
{
    if (setgid(65534) < 0 || setuid(65534) < 0) {
        _exit(errno);
    }
    int again = reopen(fd, O_RDWR);
    _exit(again >= 0 ? 0 : errno);
}

static void another_user_cannot_open_it_for_writing(void **state)
{
    (void)state;
    if (getuid() != 0) {
        print_message("SKIPPED: only root can become another user\n");
        skip();
    }
    struct shared_memory memory = make(BYTES);
    int fd = shared_memory_read_only_fd(&memory);
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        try_as_nobody(fd);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    close(fd);
    shared_memory_close(&memory);
    assert_int_equal(WEXITSTATUS(status), EACCES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_the_users_own_and_ends_at_exec),
        cmocka_unit_test(a_kernel_without_noexec_gives_the_same_but_for_that),
        cmocka_unit_test(the_second_view_goes_on_where_the_first_ends),
        cmocka_unit_test(pages_come_by_touching_and_go_by_punching),
        cmocka_unit_test(collapsed_or_not_the_bytes_stay),
        cmocka_unit_test(a_read_only_descriptor_lets_nobody_write),
        cmocka_unit_test(sealed_nobody_can_write_also_by_a_new_descriptor),
        cmocka_unit_test(not_sealed_the_same_user_can),
        cmocka_unit_test(another_user_cannot_open_it_for_writing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
