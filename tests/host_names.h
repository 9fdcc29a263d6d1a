/*
 * host_names: names of hosts as a test wants them, for the program that includes this. Its own
 * getaddrinfo(3) stands in for the C library's, which answers for numbers alone.
 */
#ifndef RINGCAST_TESTS_HOST_NAMES_H
#define RINGCAST_TESTS_HOST_NAMES_H

#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#define HOST_NAMES_MAX 64

static struct {
    const char *name;
    char address[64];
} host_names[HOST_NAMES_MAX];
static size_t host_names_count;
static int host_names_error; /* errno of each look-up; 0: none fails so */

static void host_names_clear(void)
{
    host_names_count = 0;
    host_names_error = 0;
}

/* One more address of the name, after those that it has. */
static void host_names_add(const char *name, const char *address)
{
    if (host_names_count == HOST_NAMES_MAX || strlen(address) >= sizeof host_names[0].address) {
        abort();
    }
    host_names[host_names_count].name = name;
    strcpy(host_names[host_names_count++].address, address);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **found_out)
{
    static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    struct addrinfo numbers = *hints;
    struct addrinfo **end = found_out;
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    numbers.ai_flags |= AI_NUMERICHOST;
    *found_out = NULL;
    if (host_names_error != 0) {
        errno = host_names_error;
        return EAI_SYSTEM;
    }
    for (size_t i = 0; i < host_names_count; i++) {
        if (strcmp(host_names[i].name, name) == 0) {
            int status = real(host_names[i].address, service, &numbers, end);
            if (status != 0) {
                return status;
            }
            end = &(*end)->ai_next;
        }
    }
    return *found_out == NULL ? real(name, service, &numbers, found_out) : 0;
}

#endif
