/*
 * standard_input: standard input as the source of one feed.
 *
 * Owner    The feed that opens it closes it. Threads: one at a time.
 * Errors   A negative errno. -EBUSY: another feed has it open, and would take some of its bytes.
 */
#ifndef RINGCAST_FEEDS_STANDARD_INPUT_H
#define RINGCAST_FEEDS_STANDARD_INPUT_H

/* A descriptor of its own that does not block. */
int standard_input_open(void);
/* Standard input is /dev/null from then on. */
void standard_input_close(int fd);

#endif
