#include "tools/bench/bench_files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "codec/base/bytes.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "tools/bench/bench_hgrm.h"
#include "tools/bench/bench_json.h"

#define HDR_COOKIE UINT32_C(0x1c849313)            /* V2 */
#define HDR_COMPRESSED_COOKIE UINT32_C(0x1c849314) /* V2, deflated */
#define HDR_HEAD_BYTES 40
#define HDR_DIGITS 2 /* HISTOGRAM_SUB_BITS' 7 bits: just what HdrHistogram calls 2 digits */
#define LEB_BYTES_MAX 10
#define REPORT_NAME_BYTES_MAX 80
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
static_assert(HISTOGRAM_SUB_BITS == 7, "the buckets are those of an HdrHistogram of 2 digits");

static int bench_files_fail(const char *path, const char *what, int error)
{
    fprintf(stderr, "ringcast-bench: %s: %s%s\n", path, what, strerror(-error));
    return error;
}

static int bench_files_open_one(const char *path, int *fd_out)
{
    *fd_out = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    return *fd_out < 0 ? bench_files_fail(path, "", -errno) : 0;
}

/* Replaces what the file had. A pipe has nothing to forget. */
static int bench_files_put(const char *path, int fd, const char *text, size_t bytes)
{
    int error = 0;
    (void)!ftruncate(fd, 0);
    for (size_t written = 0; written < bytes && error == 0;) {
        ssize_t count = write(fd, text + written, bytes - written);
        error = count < 0 && errno != EINTR ? -errno : 0;
        written += count > 0 ? (size_t)count : 0;
    }
    /* Some file systems tell only here that the disk is full. */
    if (close(fd) < 0 && error == 0 && errno != EINTR) {
        error = -errno;
    }
    return error == 0 ? 0 : bench_files_fail(path, "cannot be written: ", error);
}

static const struct bench_sample *bench_files_begin_of(const struct bench_result *result,
                                                       uint32_t interval)
{
    return interval == 0 ? &result->begin : &result->interval_ends[interval - 1];
}

/* ---- CSV ---- */

/* ",12", or "," for what was not measured. */
static void bench_files_csv_value(FILE *file, bool is_measured, uint64_t value)
{
    if (is_measured) {
        fprintf(file, ",%" PRIu64, value);
    } else {
        fputc(',', file);
    }
}

static void bench_files_csv_share(FILE *file, double share)
{
    if (isfinite(share)) {
        fprintf(file, ",%.6f", share);
    } else {
        fputc(',', file);
    }
}

static void bench_files_csv_row(FILE *file, const struct bench_result *result, uint32_t interval)
{
    const struct bench_interval *in = &result->intervals[interval];
    const struct bench_sample *begin = bench_files_begin_of(result, interval);
    const struct bench_sample *end = &result->interval_ends[interval];
    bool has_server = bench_watch_has_server(begin, end);
    uint64_t server_ns = end->server.user_ns + end->server.system_ns - begin->server.user_ns -
                         begin->server.system_ns;
    fprintf(file, "%.3f,%" PRIu64 ",%" PRIu64, (double)(interval * result->interval_ns) / 1e9,
            in->frames, in->bytes);
    static const double percents[] = {50.0, 90.0, 99.0, 99.9, 99.99, 100.0};
    for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++) {
        bench_files_csv_value(file, in->latency.count > 0,
                              histogram_percentile(&in->latency, percents[i]));
    }
    bench_files_csv_value(file, bench_watch_has_core(begin, end),
                          core_usage_busy_ns(&begin->core, &end->core));
    bench_files_csv_value(file, has_server, server_ns);
    bench_files_csv_value(file, end->has_server, end->server.rss_bytes);
    bench_files_csv_share(file, bench_watch_busy(begin, end));
    bench_files_csv_share(file, bench_watch_waited(begin, end));
    bench_files_csv_share(file, bench_watch_stolen(begin, end));
    bench_files_csv_share(file, bench_watch_throttled(begin, end));
    bench_files_csv_value(file, in->turn_max_ns > 0, in->turn_max_ns);
    fputc('\n', file);
}

static int bench_files_csv(const struct bench_result *result, FILE *file)
{
    fprintf(file, "second,frames,payload_bytes,p50_ns,p90_ns,p99_ns,p99.9_ns,p99.99_ns,max_ns,"
                  "core_busy_ns,server_cpu_ns,server_rss_bytes,load_busy,load_waited,load_stolen,"
                  "load_throttled,loop_max_ns\n");
    for (uint32_t i = 0; i < result->interval_count; i++) {
        bench_files_csv_row(file, result, i);
    }
    return 0;
}

/* ---- HdrHistogram log ---- */

static size_t bench_files_leb(uint8_t *out, int64_t value)
{
    uint64_t left = (uint64_t)value << 1 ^ (uint64_t)(value >> 63); /* ZigZag */
    size_t bytes = 0;
    /* The ninth byte has all of its eight bits. */
    while (left >= 0x80 && bytes < 8) {
        out[bytes++] = (uint8_t)(left | 0x80);
        left >>= 7;
    }
    out[bytes++] = (uint8_t)left;
    return bytes;
}

static void bench_files_be32(uint8_t *out, uint32_t value)
{
    bytes_store_be16(out, (uint16_t)(value >> 16));
    bytes_store_be16(out + 2, (uint16_t)value);
}

/* out holds HDR_HEAD_BYTES + LEB_BYTES_MAX a bucket. */
static size_t bench_files_encode(const struct histogram *histogram, uint8_t *out)
{
    uint32_t bucket_count = HISTOGRAM_BUCKETS;
    size_t used = HDR_HEAD_BYTES;
    while (bucket_count > 0 && histogram->buckets[bucket_count - 1] == 0) {
        bucket_count--;
    }
    for (uint32_t i = 0; i < bucket_count;) {
        uint32_t zeros = 0;
        while (i + zeros < bucket_count && histogram->buckets[i + zeros] == 0) {
            zeros++;
        }
        used += bench_files_leb(out + used,
                                zeros > 0 ? -(int64_t)zeros : (int64_t)histogram->buckets[i]);
        i += zeros > 0 ? zeros : 1;
    }
    bench_files_be32(out, HDR_COOKIE);
    bench_files_be32(out + 4, (uint32_t)(used - HDR_HEAD_BYTES));
    bench_files_be32(out + 8, 0); /* normalizing index offset */
    bench_files_be32(out + 12, HDR_DIGITS);
    bytes_store_be64(out + 16, 1); /* lowest discernible value */
    bytes_store_be64(out + 24, (UINT64_C(1) << HISTOGRAM_VALUE_BITS) - 1);
    bytes_store_be64(out + 32, UINT64_C(0x3ff0000000000000)); /* ratio to integers: 1.0 */
    return used;
}

/* Deflated and in base64; to be freed. NULL: out of memory. */
static char *bench_files_hdr_text(const struct histogram *histogram)
{
    size_t room = HDR_HEAD_BYTES + (size_t)LEB_BYTES_MAX * HISTOGRAM_BUCKETS;
    uint8_t *plain = malloc(room);
    uLongf packed_bytes = compressBound((uLong)room);
    uint8_t *packed = malloc(packed_bytes + 8);
    char *text = NULL;
    if (plain != NULL && packed != NULL) {
        size_t plain_bytes = bench_files_encode(histogram, plain);
        if (compress(packed + 8, &packed_bytes, plain, (uLong)plain_bytes) == Z_OK) {
            bench_files_be32(packed, HDR_COMPRESSED_COOKIE);
            bench_files_be32(packed + 4, (uint32_t)packed_bytes);
            text = malloc((packed_bytes + 8 + 2) / 3 * 4 + 1);
        }
    }
    if (text != NULL) {
        EVP_EncodeBlock((unsigned char *)text, packed, (int)(packed_bytes + 8));
    }
    free(plain);
    free(packed);
    return text;
}

static int bench_files_hdr(const struct bench_result *result, FILE *file)
{
    int error = 0;
    double start = (double)result->window_start_ns / 1e9;
    fprintf(file,
            "#[ringcast-bench %s: latencies in nanoseconds]\n"
            "#[Histogram log format version 1.2]\n"
            "#[StartTime: %.3f (seconds since epoch)]\n"
            "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\","
            "\"Interval_Compressed_Histogram\"\n",
            result->options->url_text, start);
    for (uint32_t i = 0; i < result->interval_count && error == 0; i++) {
        const struct histogram *latency = &result->intervals[i].latency;
        char *text = bench_files_hdr_text(latency);
        if (text == NULL) {
            error = -ENOMEM;
        } else {
            fprintf(file, "%.3f,%.3f,%.6f,%s\n", (double)(i * result->interval_ns) / 1e9,
                    (double)result->interval_ns / 1e9, (double)latency->max_ns / 1e6, text);
        }
        free(text);
    }
    return error;
}

static int bench_files_hgrm(const struct bench_result *result, FILE *file)
{
    bench_hgrm_print(&result->latency, file);
    return 0;
}

/* All of the text is made in memory, so that each error of the file is known with its reason. */
static int bench_files_write_one(const struct bench_result *result, const char *path, int fd,
                                 int (*print)(const struct bench_result *result, FILE *file))
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    int error = file == NULL ? -ENOMEM : print(result, file);
    if (file != NULL && fclose(file) != 0) {
        error = -ENOMEM;
    }
    if (error == 0) {
        error = bench_files_put(path, fd, text, bytes);
    } else {
        close(fd);
        bench_files_fail(path, "cannot be written: ", error);
    }
    free(text);
    return error;
}

/* ---- The report of a stress test ---- */

/* The folder of --report takes a file later: each run has a name of its own. */
static int bench_files_open_report_dir(const char *path, int *fd_out)
{
    *fd_out = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd_out < 0 || faccessat(*fd_out, ".", W_OK, AT_EACCESS) < 0) {
        return bench_files_fail(path, "no report can be written there: ", -errno);
    }
    return 0;
}

/* The name has the time (UTC). A microsecond has one run. */
static int bench_files_write_report(const struct bench_result *result, int dir_fd)
{
    char name[REPORT_NAME_BYTES_MAX];
    struct tm day;
    uint64_t now_ns = clock_ns(CLOCK_REALTIME);
    time_t seconds = (time_t)(now_ns / NS_PER_SECOND);
    gmtime_r(&seconds, &day);
    size_t bytes = strftime(name, sizeof name, "websocket_stress_test_report_%Y%m%d_%H%M%S", &day);
    snprintf(name + bytes, sizeof name - bytes, "_%06u.json",
             (unsigned)(now_ns % NS_PER_SECOND / NS_PER_US));
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    int error = fd < 0 ? bench_files_fail(name, "", -errno)
                       : bench_files_write_one(result, name, fd, bench_json_write);
    if (fd >= 0 && error != 0) { /* No half of a report is taken for one. */
        (void)unlinkat(dir_fd, name, 0);
    }
    close(dir_fd);
    if (error == 0 && !result->options->quiet) {
        fprintf(stderr, "Report: %s/%s\n", result->options->report_dir, name);
    }
    return error;
}

/* ---- A picture ---- */

static void bench_files_plot_data(FILE *gnuplot, const struct bench_result *result)
{
    fprintf(gnuplot, "$percentiles << END\n");
    /* Ten points to each nine. */
    for (double beyond = 1.0; beyond >= 1e-6; beyond *= 0.7943282347) {
        double us = (double)histogram_percentile(&result->latency, 100.0 * (1.0 - beyond)) / 1e3;
        fprintf(gnuplot, "%.9g %.3f\n", 1.0 / beyond, us);
    }
    fprintf(gnuplot, "END\n$seconds << END\n");
    for (uint32_t i = 0; i < result->interval_count; i++) {
        const struct histogram *latency = &result->intervals[i].latency;
        if (latency->count == 0) {
            continue; /* Nothing was measured in it. */
        }
        fprintf(gnuplot, "%.3f %.3f %.3f %.3f\n", (double)(i * result->interval_ns) / 1e9,
                (double)histogram_percentile(latency, 50.0) / 1e3,
                (double)histogram_percentile(latency, 99.0) / 1e3, (double)latency->max_ns / 1e3);
    }
    fprintf(gnuplot, "END\n");
}

/* In single quotes, in which gnuplot has only one special character. */
static void bench_files_plot_output(FILE *gnuplot, const char *path)
{
    fprintf(gnuplot, "set output '");
    for (; *path != 0; path++) {
        fputs(*path == '\'' ? "'" : "", gnuplot);
        fputc(*path, gnuplot);
    }
    fprintf(gnuplot, "'\n");
}

/* gnuplot's name of the picture format of this file name; NULL: only these two can be drawn. */
static const char *bench_files_terminal(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot == NULL                    ? NULL
           : strcasecmp(dot, ".png") == 0 ? "pngcairo"
           : strcasecmp(dot, ".svg") == 0 ? "svg"
                                          : NULL;
}

/* Whether the picture's end is there: gnuplot does not tell that a disk is full. */
static bool bench_files_is_drawn(const char *path)
{
    char tail[17] = "";
    struct stat status;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    if (fstat(fd, &status) < 0 || (S_ISREG(status.st_mode) && status.st_size < 16)) {
        close(fd);
        return false;
    }
    bool is_drawn = true;
    if (S_ISREG(status.st_mode)) {
        is_drawn = pread(fd, tail, 16, status.st_size - 16) == 16 &&
                   (strstr(tail, "</svg>") != NULL || memcmp(tail + 8, "IEND", 4) == 0);
    } else if (S_ISCHR(status.st_mode)) { /* /dev/full */
        is_drawn = write(fd, "\n", 1) == 1;
    }
    close(fd);
    return is_drawn;
}

static int bench_files_plot(const struct bench_result *result, const char *path)
{
    double seconds = (double)(result->interval_count * result->interval_ns) / 1e9;
    if (result->latency.count == 0) {
        fprintf(stderr, "ringcast-bench: --plot %s: no picture: nothing was received\n", path);
        return 0;
    }
    fflush(stdout);
    /* gnuplot draws there when it cannot open the picture. */
    FILE *gnuplot = popen("gnuplot >/dev/null", "we");
    if (gnuplot == NULL) {
        fprintf(stderr, "ringcast-bench: --plot: gnuplot cannot be started\n");
        return -errno;
    }
    bench_files_plot_data(gnuplot, result);
    fprintf(gnuplot, "set terminal %s size 1000,700\n", bench_files_terminal(path));
    bench_files_plot_output(gnuplot, path);
    fprintf(gnuplot,
            "set multiplot layout 2,1 title 'ringcast-bench: %u connections, %.0f frames/s'\n"
            "set grid\nset ylabel 'us'\nset logscale xy\nset key top left\n"
            "set xtics ('50%%%%' 2, '90%%%%' 10, '99%%%%' 100, '99.9%%%%' 1e3,"
            " '99.99%%%%' 1e4, '99.999%%%%' 1e5)\n"
            "plot $percentiles using 1:2 with lines lw 2 title 'latency by percentile'\n"
            "unset logscale x\nset xtics auto\nset xlabel 's'\nset xrange [0:%.3f]\n"
            "plot $seconds using 1:4 with linespoints title 'max',"
            " '' using 1:3 with linespoints title 'p99',"
            " '' using 1:2 with linespoints title 'p50'\n"
            "unset multiplot\n",
            result->options->connection_count,
            result->window_ns > 0
                ? (double)result->totals.window_frames * 1e9 / (double)result->window_ns
                : 0.0,
            seconds);
    if (pclose(gnuplot) != 0) {
        fprintf(stderr, "ringcast-bench: --plot %s: gnuplot failed\n", path);
        return -EIO;
    }
    if (!bench_files_is_drawn(path)) {
        fprintf(stderr, "ringcast-bench: %s: cannot be written (is the disk full?)\n", path);
        return -EIO;
    }
    return 0;
}

/* gnuplot opens the picture itself, so it is checked before the run that it can. */
static int bench_files_try_plot(const char *path)
{
    int fd;
    char command[64];
    const char *terminal = bench_files_terminal(path);
    if (terminal == NULL) {
        fprintf(stderr, "ringcast-bench: --plot %s: the name must end in .svg or .png\n", path);
        return -EINVAL;
    }
    snprintf(command, sizeof command, "gnuplot -e 'set terminal %s' >/dev/null 2>&1", terminal);
    int status = system(command);
    if (status != 0) {
        fprintf(stderr, "ringcast-bench: --plot: gnuplot %s (Debian: gnuplot-nox)\n",
                WIFEXITED(status) && WEXITSTATUS(status) == 127 ? "is not installed"
                                                                : "cannot draw such a picture");
        return -ENOENT;
    }
    int error = bench_files_open_one(path, &fd);
    if (error == 0) {
        close(fd);
    }
    return error;
}

/* One would overwrite the other. The report goes to standard output. */
static int bench_files_check_twice(const struct bench_options *options)
{
    const char *paths[] = {"standard output", options->csv_path, options->hdr_path,
                           options->hgrm_path, options->plot_path};
    struct stat files[COUNT(paths)];
    for (size_t i = 0; i < COUNT(paths); i++) {
        bool is_there = i == 0 ? fstat(STDOUT_FILENO, &files[i]) == 0
                               : paths[i] != NULL && stat(paths[i], &files[i]) == 0;
        bool is_file = is_there && S_ISREG(files[i].st_mode);
        files[i].st_ino = is_file ? files[i].st_ino : 0;
        for (size_t k = 0; k < i; k++) {
            if (is_file && files[k].st_ino == files[i].st_ino &&
                files[k].st_dev == files[i].st_dev) {
                fprintf(stderr, "ringcast-bench: %s and %s are one file\n", paths[k], paths[i]);
                return -EINVAL;
            }
        }
    }
    return 0;
}

int bench_files_open(struct bench_files *files_out, const struct bench_options *options)
{
    int error = 0;
    *files_out =
        (struct bench_files){.csv_fd = -1, .hdr_fd = -1, .hgrm_fd = -1, .report_dir_fd = -1};
    if (options->csv_path != NULL) {
        error = bench_files_open_one(options->csv_path, &files_out->csv_fd);
    }
    if (error == 0 && options->hdr_path != NULL) {
        error = bench_files_open_one(options->hdr_path, &files_out->hdr_fd);
    }
    if (error == 0 && options->hgrm_path != NULL) {
        error = bench_files_open_one(options->hgrm_path, &files_out->hgrm_fd);
    }
    if (error == 0 && options->plot_path != NULL) {
        error = bench_files_try_plot(options->plot_path);
    }
    if (error == 0 && options->report_dir != NULL) {
        error = bench_files_open_report_dir(options->report_dir, &files_out->report_dir_fd);
    }
    return error != 0 ? error : bench_files_check_twice(options);
}

int bench_files_write(const struct bench_files *files, const struct bench_result *result)
{
    const struct bench_options *options = result->options;
    int errors[5] = {0};
    if (files->csv_fd >= 0) {
        errors[0] =
            bench_files_write_one(result, options->csv_path, files->csv_fd, bench_files_csv);
    }
    if (files->hdr_fd >= 0) {
        errors[1] =
            bench_files_write_one(result, options->hdr_path, files->hdr_fd, bench_files_hdr);
    }
    if (files->hgrm_fd >= 0) {
        errors[2] =
            bench_files_write_one(result, options->hgrm_path, files->hgrm_fd, bench_files_hgrm);
    }
    if (options->plot_path != NULL) {
        errors[3] = bench_files_plot(result, options->plot_path);
    }
    if (files->report_dir_fd >= 0) {
        errors[4] = bench_files_write_report(result, files->report_dir_fd);
    }
    int error = 0;
    for (size_t i = 0; i < COUNT(errors); i++) {
        error = error == 0 ? errors[i] : error;
    }
    return error;
}
