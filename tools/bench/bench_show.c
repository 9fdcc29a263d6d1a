#include "tools/bench/bench_show.h"

#include <math.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "tools/bench/bench_figure.h"
#include "tools/bench/bench_result.h"

#define ERASE_LINE "\r\033[K"
#define LINE_BYTES_MAX 160

void bench_show_begin(struct bench_show *show, const struct bench_options *options,
                      struct bench_control *control, struct bench_thread *const *threads)
{
    uint64_t now_ns = clock_ns(CLOCK_REALTIME);
    bool is_terminal = isatty(STDERR_FILENO) == 1;
    *show = (struct bench_show){
        .options = options,
        .control = control,
        .threads = threads,
        .is_on = !options->quiet && is_terminal,
        .next_ns = UINT64_MAX,
        .before_ns = now_ns,
    };
    if (show->is_on) {
        show->next_ns = now_ns + NS_PER_SECOND;
    }
    /* A program that reads JSON may read standard error, too. */
    if (!options->quiet && options->until_text == NULL && (is_terminal || !options->json)) {
        fprintf(stderr, "Running %.10g s test @ %s, %u connection%s, %u thread%s\n",
                (double)options->duration_ns / 1e9, options->url_text, options->connection_count,
                bench_result_s(options->connection_count), options->thread_count,
                bench_result_s(options->thread_count));
    }
}

/* The latencies so far, of the threads that answer in time. */
static double bench_show_p99(struct bench_show *show)
{
    static struct histogram latency;
    uint32_t round = ++show->round;
    histogram_reset(&latency);
    atomic_store(&show->control->shown_round, round);
    for (uint32_t i = 0; i < show->options->thread_count; i++) {
        for (int wait = 0; wait < 20 && atomic_load(&show->threads[i]->shown_round) != round;
             wait++) {
            usleep(1000);
        }
        if (atomic_load(&show->threads[i]->shown_round) == round) {
            histogram_merge(&latency, &show->threads[i]->shown_latency);
        }
    }
    return latency.count > 0 ? (double)histogram_percentile(&latency, 99.0) : NAN;
}

/* How much of a line fits in one row of the terminal: of two rows only one would be erased. */
static int bench_show_width(void)
{
    struct winsize size;
    bool is_known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return is_known ? size.ws_col - 1 : LINE_BYTES_MAX;
}

static void bench_show_draw(struct bench_show *show, uint64_t now_ns)
{
    char line[LINE_BYTES_MAX];
    const struct bench_options *options = show->options;
    uint64_t begin_ns = atomic_load(&show->control->window_start_ns);
    uint32_t subscribed = 0;
    uint64_t frames = 0;
    for (uint32_t i = 0; i < options->thread_count; i++) {
        subscribed += atomic_load(&show->threads[i]->crew.subscribed_now);
        frames += atomic_load(&show->threads[i]->frames_now);
    }
    double rate = (double)(frames - show->frames_before) * 1e9 /
                  (double)(now_ns > show->before_ns ? now_ns - show->before_ns : 1);
    if (begin_ns == 0) {
        snprintf(line, sizeof line, "connecting: %u of %u", subscribed,
                 bench_result_awaited(options));
    } else if (now_ns < begin_ns) {
        snprintf(line, sizeof line, "warm-up: %u connected, %s/s", subscribed,
                 bench_figure_count(rate).text);
    } else {
        snprintf(line, sizeof line, "%.0f of %.10g s: %u connected, %s/s, p99 %s",
                 (double)(now_ns - begin_ns) / 1e9, (double)options->duration_ns / 1e9, subscribed,
                 bench_figure_count(rate).text, bench_figure_time(bench_show_p99(show)).text);
    }
    fprintf(stderr, ERASE_LINE "%.*s", bench_show_width(), line);
    fflush(stderr);
    show->is_drawn = true;
    show->frames_before = frames;
    show->before_ns = now_ns;
}

void bench_show_update(struct bench_show *show, uint64_t now_ns)
{
    if (show->is_on && now_ns >= show->next_ns) {
        bench_show_draw(show, now_ns);
        show->next_ns = now_ns + NS_PER_SECOND;
    }
}

void bench_show_clear(struct bench_show *show)
{
    if (show->is_drawn) {
        fprintf(stderr, ERASE_LINE);
        fflush(stderr);
        show->is_drawn = false;
    }
}
