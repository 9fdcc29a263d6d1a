/*
 * command: what an operator asks of the running server: from a signal, over HTTP, or by ringcast
 * ctl. main carries commands out, one after the other.
 *
 * A command is a step function, which main calls about once a millisecond until it returns true. A
 * command that needs the cores posts a mail to each (commands_post) and goes on when all are done.
 *
 * Owner    main creates the commands before the admin server, and destroys them after it.
 * Threads  commands_call: any but main. commands_read, commands_post, commands_close: main.
 * Memory   The commands and their mails are the callers'; those with drop are freed by it.
 * Errors   Negative errno values, as below.
 */
#ifndef RINGCAST_SRC_COMMAND_H
#define RINGCAST_SRC_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring/core/core_mail.h"

struct commands;

/* On main, until it returns true. */
typedef bool command_step(void *context, struct commands *commands, uint64_t now_ns);

struct command {
    command_step *step;
    void *context;
    /* Frees the context, which has the command in it: for those that wait for cores. NULL: both are
     * the caller's. */
    void (*drop)(void *context);
    struct command *next; /* the commands' own, as are the others */
    bool has_begun;
    bool is_done;
    bool is_left; /* Nobody waits for it any more. */
};

/* error_out: what went wrong and what to do. */
int commands_create(struct commands **commands_out, char *error_out, size_t error_bytes);
void commands_destroy(struct commands *commands);

/* The cores that commands_post knows; before any command. */
void commands_set_cores(struct commands *commands, struct core *const *cores, uint32_t count);

/* Waits until main has carried it out; then it is the caller's again. -ETIMEDOUT: main did not
 * begin within 2 s, or, with drop, the cores did not do their part within 5 s more. -ESHUTDOWN: the
 * server ends. After an error a command with drop is dropped, by main if the cores still have it.
 */
int commands_call(struct commands *commands, struct command *command);
/* main's own: it does not wait. The command lives until it is done (command->is_done). */
void commands_submit(struct commands *commands, struct command *command);

/* Becomes readable when a command is waiting. */
int commands_fd(const struct commands *commands);
/* A step of the command whose turn it is. Returns whether there are commands that wait. */
bool commands_read(struct commands *commands, uint64_t now_ns);
/* Ends all: commands that wait get -ESHUTDOWN. The mails of a command that has begun may still be
 * in a box: the cores are to have ended. */
void commands_close(struct commands *commands);

uint32_t commands_core_count(const struct commands *commands);
/* Posts mails[i] to core i and wakes it. A box that is full is tried again at the next step: false.
 * The mails are zero before the first try. */
bool commands_post(struct commands *commands, struct core_mail *mails);
/* Whether every core has done its mail. */
bool commands_are_done(const struct commands *commands, const struct core_mail *mails);

#endif
