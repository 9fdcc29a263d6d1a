#include "src/systemd/activation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "codec/base/check.h"

#define ACTIVATION_FD_FIRST 3
#define ACTIVATION_FDS_MAX (ACTIVATION_PURPOSE_COUNT * ACTIVATION_SOCKETS_MAX)
/* Without FileDescriptorName= the name is that of the unit. */
#define ACTIVATION_SUFFIX ".socket"

static const char *const activation_names[ACTIVATION_PURPOSE_COUNT] = {
    [ACTIVATION_CLIENTS] = "ringcast",
    [ACTIVATION_TLS] = "ringcast-tls",
    [ACTIVATION_ADMIN] = "ringcast-admin",
    [ACTIVATION_METRICS] = "ringcast-metrics",
};

const char *activation_name(enum activation_purpose purpose)
{
    assert_always(purpose < ACTIVATION_PURPOSE_COUNT);
    return activation_names[purpose];
}

/* A whole number up to the most. -1: the variable has none. */
static long activation_number(const char *variable, long most)
{
    const char *text = getenv(variable);
    char *end;
    if (text == NULL || text[0] < '0' || text[0] > '9') {
        return -1;
    }
    long number = strtol(text, &end, 10);
    return *end == '\0' && number <= most ? number : -1;
}

/* The name that begins at names, which may be NULL. bytes_out: without the suffix. */
static const char *activation_name_at(const char *names, int *bytes_out)
{
    size_t suffix_bytes = strlen(ACTIVATION_SUFFIX);
    if (names == NULL) { /* By sd_listen_fds_with_names() they are called unknown. */
        names = "unknown";
    }
    size_t bytes = strcspn(names, ":");
    if (bytes > suffix_bytes &&
        memcmp(names + bytes - suffix_bytes, ACTIVATION_SUFFIX, suffix_bytes) == 0) {
        bytes -= suffix_bytes;
    }
    *bytes_out = (int)bytes;
    return names;
}

/* ACTIVATION_PURPOSE_COUNT: the name is not known. Nameless sockets are for clients. */
static enum activation_purpose activation_purpose_of(const char *name, int bytes)
{
    uint32_t purpose = 0;
    if (bytes == strlen("unknown") && memcmp(name, "unknown", (size_t)bytes) == 0) {
        return ACTIVATION_CLIENTS;
    }
    while (purpose < ACTIVATION_PURPOSE_COUNT &&
           (strlen(activation_names[purpose]) != (size_t)bytes ||
            memcmp(activation_names[purpose], name, (size_t)bytes) != 0)) {
        purpose++;
    }
    return purpose;
}

static int activation_option(int fd, int option)
{
    int value = -1;
    socklen_t bytes = sizeof value;
    return getsockopt(fd, SOL_SOCKET, option, &value, &bytes) < 0 ? -1 : value;
}

/* What keeps clients from being accepted from it; NULL: nothing. */
static const char *activation_fault(int fd)
{
    int domain = activation_option(fd, SO_DOMAIN);
    return fcntl(fd, F_GETFD) < 0 ? "it is not open"
           : domain < 0           ? "it is not a socket"
           : domain != AF_INET && domain != AF_INET6 && domain != AF_UNIX
               ? "it is neither a TCP nor a Unix socket"
           : activation_option(fd, SO_TYPE) != SOCK_STREAM
               ? "it is not a stream socket; write ListenStream="
           : activation_option(fd, SO_ACCEPTCONN) != 1 ? "it does not listen; write Accept=no"
                                                       : NULL;
}

/* Puts one where it belongs. Returns what is wrong with it, or NULL. */
static const char *activation_sort(struct activation *activation, int fd, const char *name,
                                   int name_bytes)
{
    enum activation_purpose purpose = activation_purpose_of(name, name_bytes);
    assert_always(fd >= ACTIVATION_FD_FIRST);
    const char *fault = activation_fault(fd);
    if (fault != NULL) {
        return fault;
    }
    if (purpose == ACTIVATION_PURPOSE_COUNT) {
        return "its name is none of ringcast, ringcast-tls, ringcast-admin and ringcast-metrics; "
               "write FileDescriptorName=";
    }
    struct activation_sockets *sockets = &activation->tcp[purpose];
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (activation_option(fd, SO_DOMAIN) != AF_UNIX) {
        if (sockets->count == ACTIVATION_SOCKETS_MAX) {
            return "there are too many sockets of this name (at most 64)";
        }
        sockets->fds[sockets->count++] = fd;
    } else if (purpose != ACTIVATION_CLIENTS) {
        return "a Unix socket can only be for clients (ringcast)";
    } else if (activation->unix_fd >= 0) {
        return "there is another Unix socket of this name, and ringcast takes one";
    } else {
        activation->unix_fd = fd;
    }
    return NULL;
}

/* Sorts so many descriptors. */
static int activation_sort_all(struct activation *activation, long count, const char *names,
                               char *error_out, size_t error_bytes)
{
    for (int i = 0; i < count; i++) {
        int name_bytes;
        const char *name = activation_name_at(names, &name_bytes);
        const char *fault = activation_sort(activation, ACTIVATION_FD_FIRST + i, name, name_bytes);
        if (fault != NULL) {
            snprintf(error_out, error_bytes,
                     "LISTEN_FDS: socket \"%.*s\" of the service manager (descriptor %d): %s",
                     name_bytes, name, ACTIVATION_FD_FIRST + i, fault);
            return -EINVAL;
        }
        names = names == NULL ? NULL : strchr(names, ':');
        names = names == NULL ? NULL : names + 1;
    }
    return 0;
}

int activation_take(struct activation *activation_out, char *error_out, size_t error_bytes)
{
    static_assert(ACTIVATION_SOCKETS_MAX == 64, "activation_sort says so");
    int error = 0;
    bool is_ours = activation_number("LISTEN_PID", INT32_MAX) == getpid();
    *activation_out = (struct activation){.unix_fd = -1};
    if (is_ours) {
        long count = activation_number("LISTEN_FDS", ACTIVATION_FDS_MAX);
        if (count < 0) {
            snprintf(error_out, error_bytes, "LISTEN_FDS: it must be a number up to %d",
                     ACTIVATION_FDS_MAX);
            error = -EINVAL;
        } else {
            error = activation_sort_all(activation_out, count, getenv("LISTEN_FDNAMES"), error_out,
                                        error_bytes);
        }
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return error;
}
