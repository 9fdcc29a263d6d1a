#include "src/command/command.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "ring/core/core_waker.h"

#define COMMAND_BEGIN_SECONDS 2
#define COMMAND_END_SECONDS 5

struct commands {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct command *first; /* whose turn it is, under the lock, like: */
    struct command **last;
    bool is_closed;

    int fd; /* eventfd */
    struct core_waker *waker;
    struct core *const *cores;
    uint32_t core_count;
};

int commands_create(struct commands **commands_out, char *error_out, size_t error_bytes)
{
    pthread_condattr_t monotonic;
    struct commands *commands = calloc(1, sizeof *commands);
    if (commands == NULL) {
        snprintf(error_out, error_bytes, "no memory");
        return -ENOMEM;
    }
    commands->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int error = commands->fd < 0 ? -errno : 0;
    if (error < 0) {
        snprintf(error_out, error_bytes, "eventfd: %s; raise the limit of open files (ulimit -n)",
                 strerror(-error));
    } else {
        error = core_waker_open(&commands->waker, error_out, error_bytes);
    }
    if (error < 0) {
        if (commands->fd >= 0) {
            close(commands->fd);
        }
        free(commands);
        return error;
    }
    commands->last = &commands->first;
    pthread_mutex_init(&commands->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&commands->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    *commands_out = commands;
    return 0;
}

void commands_destroy(struct commands *commands)
{
    assert_always(commands->first == NULL);
    core_waker_close(commands->waker);
    close(commands->fd);
    pthread_cond_destroy(&commands->changed);
    pthread_mutex_destroy(&commands->lock);
    free(commands);
}

void commands_set_cores(struct commands *commands, struct core *const *cores, uint32_t count)
{
    assert_always(commands->first == NULL);
    commands->cores = cores;
    commands->core_count = count;
}

/* With the lock. */
static void commands_append(struct commands *commands, struct command *command)
{
    command->next = NULL;
    command->has_begun = false;
    command->is_done = false;
    command->is_left = false;
    *commands->last = command;
    commands->last = &command->next;
}

/* With the lock. */
static void commands_remove(struct commands *commands, struct command *command)
{
    struct command **at = &commands->first;
    while (*at != command) {
        assert_always(*at != NULL);
        at = &(*at)->next;
    }
    *at = command->next;
    if (command->next == NULL) {
        commands->last = at;
    }
}

static struct timespec commands_after(int seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;
    return until;
}

/* With the lock. false: main has not begun it in time. */
static bool commands_await_begin(struct commands *commands, const struct command *command)
{
    struct timespec until = commands_after(COMMAND_BEGIN_SECONDS);
    int error = 0;
    while (!command->has_begun && !command->is_done && !commands->is_closed && error == 0) {
        error = pthread_cond_timedwait(&commands->changed, &commands->lock, &until);
    }
    return command->has_begun || command->is_done || commands->is_closed;
}

/* With the lock; main has begun it. */
static int commands_await_end(struct commands *commands, struct command *command)
{
    struct timespec until = commands_after(COMMAND_END_SECONDS);
    int error = 0;
    while (!command->is_done && !commands->is_closed && error == 0) {
        error = command->drop == NULL
                    ? pthread_cond_wait(&commands->changed, &commands->lock)
                    : pthread_cond_timedwait(&commands->changed, &commands->lock, &until);
    }
    if (command->is_done) {
        return 0;
    }
    if (commands->is_closed) {
        return -ESHUTDOWN;
    }
    command->is_left = true;
    return -ETIMEDOUT;
}

int commands_call(struct commands *commands, struct command *command)
{
    int error = -ESHUTDOWN;
    bool is_left = false;
    assert_always(command->step != NULL);
    pthread_mutex_lock(&commands->lock);
    if (!commands->is_closed) {
        commands_append(commands, command);
        (void)eventfd_write(commands->fd, 1); /* Only a counter that runs over could refuse. */
        if (commands_await_begin(commands, command)) {
            error = commands_await_end(commands, command);
            is_left = command->is_left;
        } else {
            commands_remove(commands, command);
            error = -ETIMEDOUT;
        }
    }
    pthread_mutex_unlock(&commands->lock);
    if (error < 0 && !is_left && command->drop != NULL) {
        command->drop(command->context);
    }
    return error;
}

void commands_submit(struct commands *commands, struct command *command)
{
    assert_always(command->step != NULL);
    pthread_mutex_lock(&commands->lock);
    assert_always(!commands->is_closed);
    commands_append(commands, command);
    pthread_mutex_unlock(&commands->lock);
}

int commands_fd(const struct commands *commands)
{
    return commands->fd;
}

bool commands_read(struct commands *commands, uint64_t now_ns)
{
    eventfd_t count;
    (void)eventfd_read(commands->fd, &count);
    pthread_mutex_lock(&commands->lock);
    struct command *command = commands->first;
    if (command != NULL && !command->has_begun) {
        command->has_begun = true;
        pthread_cond_broadcast(&commands->changed);
    }
    pthread_mutex_unlock(&commands->lock);
    if (command == NULL || !command->step(command->context, commands, now_ns)) {
        return command != NULL;
    }
    pthread_mutex_lock(&commands->lock);
    commands_remove(commands, command);
    command->is_done = true;
    bool is_left = command->is_left; /* Otherwise it is its caller's from now on. */
    bool has_more = commands->first != NULL;
    pthread_cond_broadcast(&commands->changed);
    pthread_mutex_unlock(&commands->lock);
    if (is_left) {
        command->drop(command->context);
    }
    return has_more;
}

void commands_close(struct commands *commands)
{
    pthread_mutex_lock(&commands->lock);
    struct command *first = commands->first; /* The others have not begun: somebody waits. */
    bool is_left = first != NULL && first->is_left;
    commands->is_closed = true;
    commands->first = NULL;
    commands->last = &commands->first;
    pthread_cond_broadcast(&commands->changed);
    pthread_mutex_unlock(&commands->lock);
    if (is_left) {
        assert_always(first->has_begun);
        first->drop(first->context);
    }
}

uint32_t commands_core_count(const struct commands *commands)
{
    return commands->core_count;
}

bool commands_post(struct commands *commands, struct core_mail *mails)
{
    bool are_posted = true;
    for (uint32_t i = 0; i < commands->core_count; i++) {
        if (!mails[i].is_posted && core_post(commands->cores[i], &mails[i]) == 0) {
            mails[i].is_posted = true;
            core_waker_wake(commands->waker, commands->cores[i]);
        }
        are_posted = are_posted && mails[i].is_posted;
    }
    core_waker_enter(commands->waker, 0);
    return are_posted;
}

bool commands_are_done(const struct commands *commands, const struct core_mail *mails)
{
    for (uint32_t i = 0; i < commands->core_count; i++) {
        if (!mails[i].is_posted || !core_mail_is_done(&mails[i])) {
            return false;
        }
    }
    return true;
}
