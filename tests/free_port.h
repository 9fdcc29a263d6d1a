/* A port for the listeners of a test, on any address of the machine. */
#ifndef RINGCAST_TESTS_FREE_PORT_H
#define RINGCAST_TESTS_FREE_PORT_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

/* It was free at all addresses a moment ago; tests that run beside this one choose others. 0: there
 * is none. */
static inline uint16_t free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t bytes = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0 ||
        getsockname(fd, (struct sockaddr *)&at, &bytes) < 0) {
        at.sin_port = 0;
    }
    if (fd >= 0) {
        close(fd);
    }
    return ntohs(at.sin_port);
}

#endif
