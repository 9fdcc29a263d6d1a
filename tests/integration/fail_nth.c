/*
 * fail_nth: makes the n-th allocation of a program fail, by LD_PRELOAD.
 *
 * FAIL_NTH    which call since main() began fails; 0: none
 * FAIL_KIND   what is counted: own (malloc and its kin, called by the program itself), memory (the
 *             same, by anybody), map (mmap), file (descriptors, their sizes, threads and rings)
 * FAIL_ABORT  set: that call aborts, so that a debugger shows who makes it
 * FAIL_STICKY 1: so do all later ones
 * FAIL_ARM    a file with a number, which is removed when it is read: that call of the main thread
 *             fails, counted from then on, in place of FAIL_NTH
 * FAIL_REPORT a file that says which call failed, or else how many there were before the end
 *
 * test_allocations.py compiles and uses it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define EARLY_BYTES 65536 /* for what dlsym() asks for before malloc() is found */

static atomic_long fail_count;
static atomic_bool fail_has_begun;
static long fail_nth;
static bool fail_is_sticky;
static char fail_kind[16];
static uintptr_t fail_program_start, fail_program_end;
static _Alignas(16) char fail_early[EARLY_BYTES];
static atomic_size_t fail_early_used;

#define REAL(name) ((__typeof__(&name))fail_real((void **)&real_##name, #name))

static void *fail_real(void **slot, const char *name)
{
    if (*slot == NULL) {
        *slot = dlsym(RTLD_NEXT, name);
    }
    return *slot;
}

static void fail_report(const char *text, long number)
{
    char line[96];
    const char *path = getenv("FAIL_REPORT");
    int fd = path == NULL ? -1
                          : (int)syscall(SYS_openat, AT_FDCWD, path,
                                         O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0) {
        int bytes = snprintf(line, sizeof line, "%s %ld\n", text, number);
        (void)!write(fd, line, (size_t)bytes);
        close(fd);
    }
}

static int fail_note_program(struct dl_phdr_info *info, size_t bytes, void *context)
{
    (void)bytes;
    (void)context;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type == PT_LOAD && (part->p_flags & PF_X) != 0) {
            fail_program_start = info->dlpi_addr + part->p_vaddr;
            fail_program_end = fail_program_start + part->p_memsz;
        }
    }
    return 1; /* The first one is the program. */
}

/* FAIL_ARM. false: this call does not count. */
static bool fail_is_armed(void)
{
    char text[24] = "";
    const char *path = getenv("FAIL_ARM");
    if (path == NULL) {
        return true;
    }
    if (syscall(SYS_gettid) != getpid()) {
        return false;
    }
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!read(fd, text, sizeof text - 1);
        close(fd);
        unlink(path);
        fail_nth = strtol(text, NULL, 10);
        atomic_store(&fail_count, 0);
    }
    return true;
}

/* Whether this call is to fail. caller: for memory only. */
static bool fail_now_by(const char *kind, const char *name, const void *caller)
{
    bool is_own = (uintptr_t)caller >= fail_program_start && (uintptr_t)caller < fail_program_end;
    if (!atomic_load(&fail_has_begun) ||
        !(strcmp(kind, fail_kind) == 0 || (is_own && strcmp(fail_kind, "own") == 0)) ||
        !fail_is_armed()) {
        return false;
    }
    long number = atomic_fetch_add(&fail_count, 1) + 1;
    if (fail_nth == 0 || number < fail_nth || (number > fail_nth && !fail_is_sticky)) {
        return false;
    }
    if (number == fail_nth) {
        fail_report(name, number);
        if (getenv("FAIL_ABORT") != NULL) {
            abort();
        }
    }
    return true;
}

static bool fail_now(const char *kind, const char *name)
{
    return fail_now_by(kind, name, NULL);
}

/* ---- Memory ---- */

#define FAIL_MEMORY(name) fail_now_by("memory", #name, __builtin_return_address(0))

static void *(*real_malloc)(size_t);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);
static void *(*real_aligned_alloc)(size_t, size_t);
static int (*real_posix_memalign)(void **, size_t, size_t);
static void (*real_free)(void *);
static _Thread_local bool fail_is_looking;

static bool fail_is_early(const void *memory)
{
    return (const char *)memory >= fail_early && (const char *)memory < fail_early + EARLY_BYTES;
}

static void *fail_take_early(size_t bytes)
{
    size_t at = atomic_fetch_add(&fail_early_used, (bytes + 15) & ~(size_t)15);
    return at + bytes <= EARLY_BYTES ? fail_early + at : NULL;
}

/* dlsym() may allocate itself. */
static bool fail_find_memory(void)
{
    if (real_free != NULL) {
        return true;
    }
    if (fail_is_looking) {
        return false;
    }
    fail_is_looking = true;
    (void)REAL(malloc);
    (void)REAL(calloc);
    (void)REAL(realloc);
    (void)REAL(aligned_alloc);
    (void)REAL(posix_memalign);
    (void)REAL(free);
    fail_is_looking = false;
    return true;
}

static void *fail_no_memory(void)
{
    errno = ENOMEM;
    return NULL;
}

EXPORT void *malloc(size_t bytes)
{
    if (!fail_find_memory()) {
        return fail_take_early(bytes);
    }
    return FAIL_MEMORY(malloc) ? fail_no_memory() : real_malloc(bytes);
}

EXPORT void *calloc(size_t count, size_t bytes)
{
    if (!fail_find_memory()) {
        return fail_take_early(count * bytes);
    }
    return FAIL_MEMORY(calloc) ? fail_no_memory() : real_calloc(count, bytes);
}

EXPORT void *realloc(void *memory, size_t bytes)
{
    if (!fail_find_memory() || fail_is_early(memory)) {
        void *grown = malloc(bytes);
        return grown == NULL || memory == NULL ? grown : memcpy(grown, memory, bytes);
    }
    return FAIL_MEMORY(realloc) ? fail_no_memory() : real_realloc(memory, bytes);
}

EXPORT void *aligned_alloc(size_t alignment, size_t bytes)
{
    (void)fail_find_memory();
    return FAIL_MEMORY(aligned_alloc) ? fail_no_memory() : real_aligned_alloc(alignment, bytes);
}

EXPORT int posix_memalign(void **memory, size_t alignment, size_t bytes)
{
    (void)fail_find_memory();
    return FAIL_MEMORY(posix_memalign) ? ENOMEM : real_posix_memalign(memory, alignment, bytes);
}

EXPORT void free(void *memory)
{
    if (!fail_is_early(memory) && fail_find_memory()) {
        real_free(memory);
    }
}

EXPORT void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    if (fail_now("map", "mmap")) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, at, bytes, protection, flags, fd, offset);
}

/* ---- Descriptors and threads ---- */

#define FAIL_FILE(name, error)                                                                     \
    if (fail_now("file", #name)) {                                                                 \
        errno = error;                                                                             \
        return -1;                                                                                 \
    }

EXPORT int memfd_create(const char *name, unsigned flags)
{
    FAIL_FILE(memfd_create, EMFILE)
    return (int)syscall(SYS_memfd_create, name, flags);
}

EXPORT int ftruncate(int fd, off_t bytes)
{
    FAIL_FILE(ftruncate, EFBIG)
    return (int)syscall(SYS_ftruncate, fd, bytes);
}

EXPORT int posix_fallocate(int fd, off_t offset, off_t bytes)
{
    if (fail_now("file", "posix_fallocate")) {
        return ENOSPC;
    }
    return syscall(SYS_fallocate, fd, 0, offset, bytes) < 0 ? errno : 0;
}

EXPORT int socket(int domain, int type, int protocol)
{
    FAIL_FILE(socket, EMFILE)
    return (int)syscall(SYS_socket, domain, type, protocol);
}

EXPORT int bind(int fd, const struct sockaddr *address, socklen_t address_bytes)
{
    FAIL_FILE(bind, ENOMEM)
    return (int)syscall(SYS_bind, fd, address, address_bytes);
}

EXPORT int listen(int fd, int backlog)
{
    FAIL_FILE(listen, ENOMEM)
    return (int)syscall(SYS_listen, fd, backlog);
}

EXPORT int setsockopt(int fd, int level, int option, const void *value, socklen_t value_bytes)
{
    FAIL_FILE(setsockopt, ENOMEM)
    return (int)syscall(SYS_setsockopt, fd, level, option, value, value_bytes);
}

EXPORT int epoll_create1(int flags)
{
    FAIL_FILE(epoll_create1, EMFILE)
    return (int)syscall(SYS_epoll_create1, flags);
}

EXPORT int eventfd(unsigned value, int flags)
{
    FAIL_FILE(eventfd, EMFILE)
    return (int)syscall(SYS_eventfd2, value, flags);
}

EXPORT int pipe2(int fds[2], int flags)
{
    FAIL_FILE(pipe2, EMFILE)
    return (int)syscall(SYS_pipe2, fds, flags);
}

EXPORT int signalfd(int fd, const void *mask, int flags)
{
    FAIL_FILE(signalfd, EMFILE)
    return (int)syscall(SYS_signalfd4, fd, mask, 8, flags);
}

EXPORT int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    int mode = (flags & O_CREAT) != 0 ? va_arg(arguments, int) : 0;
    va_end(arguments);
    FAIL_FILE(open, EMFILE)
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

EXPORT ssize_t getrandom(void *bytes, size_t byte_count, unsigned flags)
{
    FAIL_FILE(getrandom, ENOSYS)
    return syscall(SYS_getrandom, bytes, byte_count, flags);
}

EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument)
{
    static int (*real_pthread_create)(pthread_t *, const pthread_attr_t *, void *(*)(void *),
                                      void *);
    if (fail_now("file", "pthread_create")) {
        return EAGAIN;
    }
    return REAL(pthread_create)(thread, attributes, run, argument);
}

/* liburing enters the kernel by itself; its functions stand for the calls. */

struct io_uring;
struct io_uring_params;
int io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                               struct io_uring_params *params);
int io_uring_register_buf_ring(struct io_uring *ring, void *registration, unsigned flags);
int io_uring_register(unsigned fd, unsigned opcode, const void *argument, unsigned count);

EXPORT int io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                                      struct io_uring_params *params)
{
    static int (*real_io_uring_queue_init_params)(unsigned, struct io_uring *,
                                                  struct io_uring_params *);
    if (fail_now("file", "io_uring_setup")) {
        return -ENFILE;
    }
    return REAL(io_uring_queue_init_params)(entries, ring, params);
}

EXPORT int io_uring_register_buf_ring(struct io_uring *ring, void *registration, unsigned flags)
{
    static int (*real_io_uring_register_buf_ring)(struct io_uring *, void *, unsigned);
    if (fail_now("file", "io_uring_register_buf_ring")) {
        return -ENOMEM;
    }
    return REAL(io_uring_register_buf_ring)(ring, registration, flags);
}

EXPORT int io_uring_register(unsigned fd, unsigned opcode, const void *argument, unsigned count)
{
    static int (*real_io_uring_register)(unsigned, unsigned, const void *, unsigned);
    if (fail_now("file", "io_uring_register")) {
        return -ENOMEM;
    }
    return REAL(io_uring_register)(fd, opcode, argument, count);
}

/* ---- main ---- */

static int (*fail_program)(int, char **, char **);

static int fail_main(int argc, char **argv, char **environment)
{
    const char *kind = getenv("FAIL_KIND");
    const char *nth = getenv("FAIL_NTH");
    const char *sticky = getenv("FAIL_STICKY");
    fail_nth = nth == NULL ? 0 : atol(nth);
    fail_is_sticky = sticky != NULL && strcmp(sticky, "1") == 0;
    snprintf(fail_kind, sizeof fail_kind, "%s", kind == NULL ? "" : kind);
    dl_iterate_phdr(fail_note_program, NULL);
    atomic_store(&fail_has_begun, true);
    int status = fail_program(argc, argv, environment);
    atomic_store(&fail_has_begun, false);
    fail_report("calls", atomic_load(&fail_count));
    return status;
}

EXPORT int __libc_start_main(int (*program)(int, char **, char **), int argc, char **argv,
                             void (*init)(void), void (*fini)(void), void (*rtld_fini)(void),
                             void *stack_end)
{
    static int (*real___libc_start_main)(int (*)(int, char **, char **), int, char **,
                                         void (*)(void), void (*)(void), void (*)(void), void *);
    fail_program = program;
    return REAL(__libc_start_main)(fail_main, argc, argv, init, fini, rtld_fini, stack_end);
}
