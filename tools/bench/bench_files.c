#include "tools/bench/bench_files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "codec/base/bytes.h"
#include "codec/base/units.h"

#define HDR_COOKIE UINT32_C(0x1c849313)            /* V2 */
#define HDR_COMPRESSED_COOKIE UINT32_C(0x1c849314) /* V2, deflated */
#define HDR_HEAD_BYTES 40
#define HDR_DIGITS 2 /* HISTOGRAM_SUB_BITS' 7 bits: just what HdrHistogram calls 2 digits */
#define LEB_BYTES_MAX 10
static_assert(HISTOGRAM_SUB_BITS == 7, "the buckets are those of an HdrHistogram of 2 digits");

static int bench_files_open_one(const char *path, FILE **file_out)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    *file_out = fd < 0 ? NULL : fdopen(fd, "w");
    if (*file_out == NULL) {
        int error = -errno;
        fprintf(stderr, "ringcast-bench: %s: %s\n", path, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return error;
    }
    return 0;
}

/* A pipe has nothing to forget. */
static void bench_files_forget_old(FILE *file)
{
    (void)!ftruncate(fileno(file), 0);
}

/* A full disk shows here at the latest. */
static int bench_files_close(const char *path, FILE *file)
{
    bool failed = ferror(file) != 0;
    failed |= fclose(file) != 0;
    if (failed) {
        fprintf(stderr, "ringcast-bench: %s: cannot be written (is the disk full?)\n", path);
        return -EIO;
    }
    return 0;
}

static const struct bench_sample *bench_files_begin_of(const struct bench_result *result,
                                                       uint32_t interval)
{
    return interval == 0 ? &result->begin : &result->interval_ends[interval - 1];
}

/* ---- CSV ---- */

static void bench_files_csv_row(FILE *file, const struct bench_result *result, uint32_t interval)
{
    const struct bench_interval *in = &result->intervals[interval];
    const struct bench_sample *begin = bench_files_begin_of(result, interval);
    const struct bench_sample *end = &result->interval_ends[interval];
    bool is_sampled = end->at_ns > begin->at_ns;
    fprintf(file, "%.3f,%" PRIu64 ",%" PRIu64, (double)(interval * result->interval_ns) / 1e9,
            in->frames, in->bytes);
    static const double percents[] = {50.0, 90.0, 99.0, 99.9, 99.99, 100.0};
    for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++) {
        fprintf(file, ",%" PRIu64, histogram_percentile(&in->latency, percents[i]));
    }
    fprintf(file, ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "\n",
            is_sampled ? end->core.busy_ns - begin->core.busy_ns : 0,
            is_sampled && begin->has_server && end->has_server
                ? end->server.user_ns + end->server.system_ns - begin->server.user_ns -
                      begin->server.system_ns
                : 0,
            end->server.rss_bytes);
}

static int bench_files_csv(const struct bench_result *result, const char *path, FILE *file)
{
    bench_files_forget_old(file);
    fprintf(file, "second,frames,payload_bytes,p50_ns,p90_ns,p99_ns,p99.9_ns,p99.99_ns,max_ns,"
                  "core_busy_ns,server_cpu_ns,server_rss_bytes\n");
    for (uint32_t i = 0; i < result->interval_count; i++) {
        bench_files_csv_row(file, result, i);
    }
    return bench_files_close(path, file);
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

static int bench_files_hdr(const struct bench_result *result, const char *path, FILE *file)
{
    int error = 0;
    bench_files_forget_old(file);
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
    int close_error = bench_files_close(path, file);
    return error != 0 ? error : close_error;
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
        fprintf(gnuplot, "%.3f %.3f %.3f %.3f\n", (double)(i * result->interval_ns) / 1e9,
                (double)histogram_percentile(latency, 50.0) / 1e3,
                (double)histogram_percentile(latency, 99.0) / 1e3, (double)latency->max_ns / 1e3);
    }
    fprintf(gnuplot, "END\n");
}

/* In single quotes, where gnuplot knows but one special character. */
static void bench_files_plot_output(FILE *gnuplot, const char *path)
{
    fprintf(gnuplot, "set output '");
    for (; *path != 0; path++) {
        fputs(*path == '\'' ? "'" : "", gnuplot);
        fputc(*path, gnuplot);
    }
    fprintf(gnuplot, "'\n");
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
    size_t path_bytes = strlen(path);
    bool is_png = path_bytes > 4 && strcmp(path + path_bytes - 4, ".png") == 0;
    fflush(stdout);
    FILE *gnuplot = popen("gnuplot", "we");
    if (gnuplot == NULL) {
        fprintf(stderr, "ringcast-bench: --plot: gnuplot cannot be started\n");
        return -errno;
    }
    bench_files_plot_data(gnuplot, result);
    fprintf(gnuplot, "set terminal %s size 1000,700\n", is_png ? "pngcairo" : "svg");
    bench_files_plot_output(gnuplot, path);
    fprintf(gnuplot,
            "set multiplot layout 2,1 title 'ringcast-bench: %u connections, %.0f frames/s'\n"
            "set grid\nset ylabel 'us'\nset logscale xy\nset key top left\n"
            "set xtics ('50%%%%' 2, '90%%%%' 10, '99%%%%' 100, '99.9%%%%' 1e3,"
            " '99.99%%%%' 1e4, '99.999%%%%' 1e5)\n"
            "plot $percentiles using 1:2 with lines lw 2 title 'latency by percentile'\n"
            "unset logscale x\nset xtics auto\nset xlabel 's'\n"
            "plot $seconds using 1:4 with linespoints title 'max',"
            " '' using 1:3 with linespoints title 'p99',"
            " '' using 1:2 with linespoints title 'p50'\n"
            "unset multiplot\n",
            result->options->connection_count,
            result->window_ns > 0
                ? (double)result->totals.window_frames * 1e9 / (double)result->window_ns
                : 0.0);
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

/* gnuplot opens the picture itself, and would draw on standard output if it could not. */
static int bench_files_try_plot(const char *path)
{
    FILE *file;
    int error = bench_files_open_one(path, &file);
    if (error != 0) {
        return error;
    }
    fclose(file);
    if (system("command -v gnuplot >/dev/null 2>&1") != 0) {
        fprintf(stderr, "ringcast-bench: --plot: gnuplot is not installed (Debian: gnuplot-nox)\n");
        return -ENOENT;
    }
    return 0;
}

int bench_files_open(struct bench_files *files_out, const struct bench_options *options)
{
    int error = 0;
    *files_out = (struct bench_files){.csv = NULL};
    if (options->csv_path != NULL) {
        error = bench_files_open_one(options->csv_path, &files_out->csv);
    }
    if (error == 0 && options->hdr_path != NULL) {
        error = bench_files_open_one(options->hdr_path, &files_out->hdr);
    }
    if (error == 0 && options->plot_path != NULL) {
        error = bench_files_try_plot(options->plot_path);
    }
    return error;
}

int bench_files_write(struct bench_files *files, const struct bench_result *result)
{
    const struct bench_options *options = result->options;
    int errors[3] = {0};
    if (files->csv != NULL) {
        errors[0] = bench_files_csv(result, options->csv_path, files->csv);
    }
    if (files->hdr != NULL) {
        errors[1] = bench_files_hdr(result, options->hdr_path, files->hdr);
    }
    if (options->plot_path != NULL) {
        errors[2] = bench_files_plot(result, options->plot_path);
    }
    return errors[0] != 0 ? errors[0] : errors[1] != 0 ? errors[1] : errors[2];
}
