#include "src/doctor/doctor_print.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "codec/base/check.h"

#define DOCTOR_PRINT_COLUMNS 80
#define DOCTOR_PRINT_INDENT 23 /* of all lines of a finding but the first */
#define DOCTOR_PRINT_BYTES_MAX (3 * DOCTOR_TEXT_BYTES_MAX + 3)

static const char *const doctor_print_levels[] = {
    [DOCTOR_OK] = "OK",     [DOCTOR_UNKNOWN] = "UNKNOWN", [DOCTOR_INFO] = "INFO",
    [DOCTOR_WARN] = "WARN", [DOCTOR_FAIL] = "FAIL",
};
#define DOCTOR_PRINT_LEVELS (sizeof doctor_print_levels / sizeof doctor_print_levels[0])

static void doctor_print_join(const struct doctor_finding *finding,
                              char out[DOCTOR_PRINT_BYTES_MAX])
{
    const char *const texts[] = {finding->is, finding->why, finding->change};
    size_t used = 0;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i][0] != '\0') {
            used += (size_t)snprintf(out + used, DOCTOR_PRINT_BYTES_MAX - used, "%s%s",
                                     used > 0 ? " " : "", texts[i]);
        }
    }
    assert_always(used < DOCTOR_PRINT_BYTES_MAX);
}

/* Breaks lines at blanks. */
static void doctor_print_wrapped(FILE *out, const char *text)
{
    size_t column = DOCTOR_PRINT_INDENT;
    assert_debug(text[0] != '\0');
    for (const char *word = text; *word != '\0';) {
        size_t bytes = strcspn(word, " ");
        if (column > DOCTOR_PRINT_INDENT && column + 1 + bytes > DOCTOR_PRINT_COLUMNS) {
            fprintf(out, "\n%*s", DOCTOR_PRINT_INDENT, "");
            column = DOCTOR_PRINT_INDENT;
        }
        const char *blank = column > DOCTOR_PRINT_INDENT ? " " : "";
        fprintf(out, "%s%.*s", blank, (int)bytes, word);
        column += bytes + strlen(blank);
        word += bytes + strspn(word + bytes, " ");
    }
    fputc('\n', out);
}

static void doctor_print_counts(FILE *out, const struct doctor *doctor, bool is_verbose)
{
    uint32_t counts[DOCTOR_PRINT_LEVELS] = {0};
    assert_always(doctor->count <= DOCTOR_FINDINGS_MAX);
    for (uint32_t i = 0; i < doctor->count; i++) {
        counts[doctor->findings[i].level]++;
    }
    for (size_t level = DOCTOR_PRINT_LEVELS; level-- > 0;) {
        fprintf(out, "%s%u %s", level + 1 == DOCTOR_PRINT_LEVELS ? "" : ", ", counts[level],
                doctor_print_levels[level]);
    }
    fputs(is_verbose ? "\n" : " (--verbose shows all)\n", out);
}

void doctor_print(FILE *out, const struct doctor *doctor, const char *subject, bool is_verbose)
{
    fprintf(out, "ringcast doctor: %s\n\n", subject);
    for (uint32_t i = 0; i < doctor->count; i++) {
        const struct doctor_finding *finding = &doctor->findings[i];
        char text[DOCTOR_PRINT_BYTES_MAX] = "";
        if (finding->level >= DOCTOR_INFO || is_verbose) {
            fprintf(out, "%-7s %-14s ", doctor_print_levels[finding->level], finding->id);
            doctor_print_join(finding, text);
            doctor_print_wrapped(out, text);
        }
    }
    doctor_print_counts(out, doctor, is_verbose);
}

int doctor_print_json(FILE *out, const struct doctor *doctor, const char *subject)
{
    json_t *findings = json_array();
    for (uint32_t i = 0; i < doctor->count; i++) {
        const struct doctor_finding *finding = &doctor->findings[i];
        json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", finding->id, "level",
                                   doctor_print_levels[finding->level], "is", finding->is, "why",
                                   finding->why, "change", finding->change);
        if (json_array_append_new(findings, object) < 0) {
            json_decref(findings);
            return -ENOMEM;
        }
    }
    json_t *pid = doctor->pid > 0 ? json_integer(doctor->pid) : json_null();
    json_t *all =
        json_pack("{s:s, s:o, s:o}", "subject", subject, "pid", pid, "findings", findings);
    bool is_made = all != NULL && (json_dumpf(all, out, JSON_COMPACT) == 0 || ferror(out) != 0);
    json_decref(all);
    fputc('\n', out);
    return is_made ? 0 : -ENOMEM;
}
