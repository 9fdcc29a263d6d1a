/*
 * ringcast-tap: shows what a ringcast sends, and proves that it is all. See docs/tap.md.
 */
#include <stdio.h>

#include "codec/base/command_line.h"
#include "codec/base/standard_fds.h"
#include "tools/tap/tap_certificate.h"
#include "tools/tap/tap_loop.h"
#include "tools/tap/tap_print.h"

/* Whether all connections were served to the end; if not, reports what became of them, unless it
 * has been reported. */
static bool tap_main_all_served(const struct tap_loop *loop)
{
    const struct tap_sink *sink = loop->sink;
    uint32_t count = loop->options->connections;
    uint32_t served = 0;
    uint32_t unanswered = 0;
    for (uint32_t i = 0; i < count; i++) {
        served += loop->readers[i].fd >= 0 && loop->readers[i].is_subscribed;
        unanswered += loop->readers[i].fd >= 0 && !loop->readers[i].is_subscribed;
    }
    if (count == 1 && tap_events_have_enough(sink)) {
        return true; /* What the server does afterwards does not matter. */
    }
    uint32_t closed = count - served - unanswered - sink->refused_count;
    if (served == count && sink->error_count == 0) {
        return true;
    }
    if (count > 1) {
        fprintf(stderr,
                "ringcast-tap: of %u connections %u served, %u refused, %u closed by the server, "
                "%u without an answer; %u error%s\n",
                count, served, sink->refused_count, closed, unanswered, sink->error_count,
                sink->error_count == 1 ? "" : "s");
    } else if (unanswered > 0) {
        fprintf(stderr, "ringcast-tap: the server did not answer the subscription\n");
    }
    return false;
}

static bool tap_main_print_certificate(const struct tap_sink *sink)
{
    bool is_complete;
    json_t *certificate = tap_certificate_make(sink->verify, &is_complete);
    if (sink->options->json) {
        json_dumpf(certificate, stdout, JSON_COMPACT);
        printf("\n");
    } else {
        tap_print_certificate(stdout, certificate, sink->options->channels);
    }
    json_decref(certificate);
    return is_complete;
}

static int tap_main_conclude(const struct tap_loop *loop)
{
    struct tap_sink *sink = loop->sink;
    bool is_complete = true;
    tap_events_on_end(sink);
    if (sink->verify != NULL && sink->subscribed_count > 0) {
        is_complete = tap_main_print_certificate(sink);
    }
    bool all_served = tap_main_all_served(loop);
    if (!is_complete) {
        return TAP_EXIT_INCOMPLETE;
    }
    if (!all_served) {
        return TAP_EXIT_REFUSED;
    }
    uint64_t wanted = loop->options->count == 0 ? 1 : loop->options->count;
    if (loop->options->list && sink->list.symbols == 0) {
        fprintf(stderr, "ringcast-tap: no symbol matches %s\n",
                loop->options->subscription.symbols);
    }
    uint64_t found = loop->options->list ? sink->list.symbols : sink->ticks;
    return found < wanted ? TAP_EXIT_NO_TICKS : TAP_EXIT_DONE;
}

static int tap_main_run(const struct tap_options *options)
{
    struct tap_sink sink = {.options = options};
    struct tap_loop loop;
    int exit_code = tap_loop_init(&loop, options, &sink);
    sink.verify = options->verify ? tap_verify_create(options->connections) : NULL;
    sink.decode = tap_decode_create(options->encoding, options->connections);
    if ((options->verify && sink.verify == NULL) || sink.decode == NULL) {
        fprintf(stderr, "ringcast-tap: out of memory\n");
        exit_code = TAP_EXIT_UNREACHABLE;
    }
    if (exit_code == TAP_EXIT_DONE) {
        exit_code = tap_events_open(&sink);
    }
    if (exit_code == TAP_EXIT_DONE) {
        exit_code = tap_loop_connect_all(&loop);
    }
    if (exit_code == TAP_EXIT_DONE) {
        exit_code = tap_loop_run(&loop);
    }
    if (exit_code == TAP_EXIT_DONE) {
        exit_code = tap_main_conclude(&loop);
    }
    exit_code = standard_fds_flush("ringcast-tap") ? exit_code : TAP_EXIT_OUTPUT;
    exit_code = tap_events_close(&sink) ? exit_code : TAP_EXIT_OUTPUT;
    tap_loop_deinit(&loop);
    tap_decode_destroy(sink.decode);
    if (sink.verify != NULL) {
        tap_verify_destroy(sink.verify);
    }
    return exit_code;
}

int main(int argc, char **argv)
{
    static struct tap_options options;
    standard_fds_open("ringcast-tap");
    command_line_name(argc, argv, "ringcast-tap");
    int exit_code = tap_options_parse(&options, argc, argv);
    if (exit_code >= 0) {
        return standard_fds_flush("ringcast-tap") ? exit_code : TAP_EXIT_OUTPUT;
    }
    return tap_main_run(&options);
}
