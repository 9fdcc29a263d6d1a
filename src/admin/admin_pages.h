/*
 * admin_pages: pages for browsers, which are part of the program.
 *
 * A page is one file of src/admin/pages, with its style and script in it and nothing from anywhere
 * else. The policy that is sent with it (Content-Security-Policy) allows that style and that
 * script, by their hashes, and nothing more.
 *
 * Threads  Any: constants, and functions of their arguments.
 * Memory   What a function returns is the caller's, to be freed. NULL: there is none.
 */
#ifndef RINGCAST_SRC_ADMIN_PAGES_H
#define RINGCAST_SRC_ADMIN_PAGES_H

#include <stddef.h>

/* A path of the admin server, with a line about it. */
struct admin_pages_path {
    const char *path;
    const char *about;
};

/* A line of a list of paths. */
struct admin_pages_line {
    struct admin_pages_path shown;
    const char *method; /* "GET" can be followed as a link */
};

/* A file of src/admin/pages. */
struct admin_pages_file {
    const char *text; /* not terminated */
    size_t bytes;
    const char *connects_to; /* sources of connect-src; NULL: none */
};
struct admin_pages_file admin_pages_index(void);
struct admin_pages_file admin_pages_play(void);
struct admin_pages_file admin_pages_ui(void);

/* A list of paths: the index page for browsers, or text. */
char *admin_pages_write_index(const struct admin_pages_line *lines, size_t count,
                              size_t *bytes_out);
char *admin_pages_write_text(const struct admin_pages_line *lines, size_t count, size_t *bytes_out);

/* The value of Content-Security-Policy for a page. */
char *admin_pages_policy(const struct admin_pages_file *page);

#endif
