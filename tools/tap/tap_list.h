/*
 * tap_list: the server's symbols as a table (--list), page by page.
 *
 * Owner    main.
 * Threads  One.
 * Source   docs/protocol.md, "SYMBOLS".
 */
#ifndef RINGCAST_TOOLS_TAP_LIST_H
#define RINGCAST_TOOLS_TAP_LIST_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct tap_list {
    char after[132]; /* The last symbol of the page before; empty: none. */
    uint64_t symbols;
    bool is_done;
};

/* The message that asks for the next page, to be freed; NULL: out of memory, or the pattern is not
 * UTF-8. */
char *tap_list_request(const struct tap_list *list, const char *pattern);

/* Prints a page: data is that of the answer. as_json: each symbol as a line of JSON. */
void tap_list_on_page(struct tap_list *list, const json_t *data, bool as_json);

#endif
