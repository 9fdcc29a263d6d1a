/*
 * ctl_show: the server's answers, for people.
 *
 * A member that is missing or of another type is shown as "-" or 0: the server may be of another
 * version.
 *
 * Threads  One. Memory: none is kept.
 * Errors   None here; the caller flushes.
 */
#ifndef RINGCAST_TOOLS_CTL_SHOW_H
#define RINGCAST_TOOLS_CTL_SHOW_H

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>

typedef void ctl_show(FILE *out, size_t width, const json_t *answer);

ctl_show ctl_show_stats;
ctl_show ctl_show_clients;
ctl_show ctl_show_topk;
ctl_show ctl_show_kick;
ctl_show ctl_show_drain;
ctl_show ctl_show_reload;
ctl_show ctl_show_dump;
ctl_show ctl_show_gc;
ctl_show ctl_show_feeds;
ctl_show ctl_show_loglevel;
ctl_show ctl_show_alerts;
ctl_show ctl_show_config;

#endif
