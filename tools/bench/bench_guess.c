#include "tools/bench/bench_guess.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/pattern_scan.h"
#include "tools/common/terminal_text.h"

#define KEYS_MAX 6

/* A key of JSON with a number. */
struct bench_guess_key {
    char text[PATTERN_SCAN_BYTES_MAX + 1]; /* "key": or "key":" */
    double number;
};

const char *bench_guess_unit(const struct bench_result *result, double time)
{
    for (size_t i = 0; i < BENCH_TIME_UNITS; i++) {
        double found = time * (double)bench_time_units[i].ns / (double)result->connect_begin.at_ns;
        if (found > 0.99 && found < 1.01) {
            return bench_time_units[i].name;
        }
    }
    return NULL;
}

void bench_guess_print_sample(const struct bench_sample_text *sample)
{
    terminal_text_print(stdout, sample->bytes, sample->count);
    printf("%s\n", sample->is_cut ? ".." : "");
}

/* The key whose quotation mark is at text. false: there is none, or no number behind it. Keys with
 * an apostrophe are left out: the shell would run what follows it in the hint. */
static bool bench_guess_read_key(const char *text, struct bench_guess_key *key_out)
{
    char *end;
    size_t bytes = strcspn(text + 1, "\"\\'");
    const char *at = text + 1 + bytes;
    if (*at != '"' || bytes == 0 || bytes + 4 > PATTERN_SCAN_BYTES_MAX) {
        return false;
    }
    at += 1 + strspn(at + 1, " \t\r\n");
    if (*at != ':') {
        return false;
    }
    at += 1 + strspn(at + 1, " \t\r\n");
    bool is_quoted = *at == '"';
    at += is_quoted;
    key_out->number = isdigit((unsigned char)*at) ? strtod(at, &end) : 0.0;
    if (!isdigit((unsigned char)*at) || (is_quoted && *end != '"')) {
        return false; /* a date, a word */
    }
    snprintf(key_out->text, sizeof key_out->text, "\"%.*s\":%s", (int)bytes, text + 1,
             is_quoted ? "\"" : "");
    return true;
}

static size_t bench_guess_keys(const struct bench_sample_text *sample,
                               struct bench_guess_key keys_out[KEYS_MAX])
{
    char text[BENCH_SAMPLE_BYTES_MAX + 1];
    size_t count = 0;
    memcpy(text, sample->bytes, sample->count);
    text[sample->count] = 0;
    for (const char *at = text; count < KEYS_MAX && (at = strchr(at, '"')) != NULL; at++) {
        count += bench_guess_read_key(at, &keys_out[count]);
    }
    return count;
}

/* One of its fields, a number unless it is a text. */
static void bench_guess_print_field(const char *option, const char *pattern, bool is_text,
                                    const struct bench_sample_text *sample)
{
    struct pattern_scan scan;
    struct pattern_place place;
    size_t match_bytes;
    const uint8_t *bytes = (const uint8_t *)sample->bytes;
    pattern_scan_set(&scan, PATTERN_CHANNEL, "");
    pattern_scan_set(&scan, PATTERN_SEQ, pattern); /* any field is a number */
    bool is_there =
        pattern[0] == 0 || pattern_scan_search(scan.fields[PATTERN_SEQ].pattern,
                                               scan.fields[PATTERN_SEQ].pattern_bytes, bytes,
                                               sample->count, &match_bytes) != NULL;
    if (is_there && (is_text || pattern_scan_place(&scan, bytes, sample->count, &place))) {
        return;
    }
    printf("  expected    %s %s, but %s\n", option, pattern,
           is_there         ? "no number of at most 19 digits follows"
           : sample->is_cut ? "it is not in what is shown of the message"
                            : "it is not in the message");
}

/* The fields that the message lacks. */
static void bench_guess_print_missing(const struct bench_options *options,
                                      const struct bench_sample_text *sample)
{
    bool is_iso = options->time_unit_ns == 0;
    bench_guess_print_field("--channel-pattern", options->channel_pattern, false, sample);
    bench_guess_print_field("--seq-pattern", options->seq_pattern, false, sample);
    bench_guess_print_field("--time-pattern", options->time_pattern, is_iso, sample);
    if (options->channel_is_symbol) {
        bench_guess_print_field("--symbol-pattern", options->symbol_pattern, true, sample);
    }
}

/* The option that would read the time in the message. */
static void bench_guess_print_time(const struct bench_result *result,
                                   const struct bench_guess_key *key)
{
    const char *unit = bench_guess_unit(result, key->number);
    if (unit != NULL) {
        printf("  hint        a time in %s: --time-pattern '", unit);
        terminal_text_print(stdout, key->text, strlen(key->text));
        printf("' --time-unit %s\n", unit);
    }
}

void bench_guess_print(const struct bench_result *result, const char *label,
                       const struct bench_sample_text *sample)
{
    const struct bench_options *options = result->options;
    struct bench_guess_key keys[KEYS_MAX];
    size_t count = bench_guess_keys(sample, keys);
    printf("  %-11s ", label);
    bench_guess_print_sample(sample);
    if (sample->why != NULL) {
        printf("  because     %s\n", sample->why);
        return;
    }
    if (options->echo) {
        printf(
            "  expected    a message that the same connection had sent; is it an echo server?\n");
        return;
    }
    bool is_ringcast = options->protocol == BENCH_RINGCAST;
    bench_guess_print_missing(options, sample);
    if (is_ringcast) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        bench_guess_print_time(result, &keys[i]);
    }
    if (count > 0) {
        printf("  hint        numbers follow");
        for (size_t i = 0; i < count; i++) {
            printf("%s ", i == 0 ? "" : ",");
            terminal_text_print(stdout, keys[i].text, strlen(keys[i].text));
        }
        printf("\n");
    }
    printf("  hint        --time-pattern '' counts the messages of any server\n");
}
