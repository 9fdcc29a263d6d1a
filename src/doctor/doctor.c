#include "src/doctor/doctor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec/base/check.h"

#define DOCTOR_NUMBER_BYTES_MAX 64

/* false: the path is too long. */
static bool doctor_path(const struct doctor *doctor, char out[DOCTOR_PATH_BYTES_MAX],
                        const char *format, va_list values)
{
    int root_bytes = snprintf(out, DOCTOR_PATH_BYTES_MAX, "%s", doctor->root);
    assert_always(root_bytes >= 0 && root_bytes < DOCTOR_PATH_BYTES_MAX);
    size_t left = DOCTOR_PATH_BYTES_MAX - (size_t)root_bytes;
    int path_bytes = vsnprintf(out + root_bytes, left, format, values);
    return path_bytes >= 0 && (size_t)path_bytes < left;
}

static bool doctor_read_at(const struct doctor *doctor, char *out, size_t bytes, const char *format,
                           va_list values)
{
    char path[DOCTOR_PATH_BYTES_MAX];
    assert_always(bytes > 0);
    out[0] = '\0';
    FILE *file = doctor_path(doctor, path, format, values) ? fopen(path, "re") : NULL;
    if (file == NULL) {
        return false;
    }
    size_t got = fread(out, 1, bytes - 1, file);
    bool is_read = ferror(file) == 0;
    fclose(file);
    out[is_read ? got : 0] = '\0';
    return is_read;
}

bool doctor_read(const struct doctor *doctor, char *out, size_t bytes, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    bool is_read = doctor_read_at(doctor, out, bytes, format, values);
    va_end(values);
    return is_read;
}

bool doctor_read_number(const struct doctor *doctor, int64_t *out, const char *format, ...)
{
    char text[DOCTOR_NUMBER_BYTES_MAX];
    char *end;
    va_list values;
    va_start(values, format);
    bool is_read = doctor_read_at(doctor, text, sizeof text, format, values);
    va_end(values);
    if (!is_read) {
        return false;
    }
    errno = 0;
    int64_t number = strtoll(text, &end, 10);
    if (end == text || errno != 0) {
        return false;
    }
    *out = number;
    return true;
}

static bool doctor_find_field(FILE *file, char *out, size_t bytes, const char *key)
{
    char *line = NULL;
    size_t line_bytes = 0;
    size_t key_bytes = strlen(key);
    bool is_found = false;
    while (!is_found && getline(&line, &line_bytes, file) >= 0) {
        if (strncmp(line, key, key_bytes) == 0) {
            const char *value = line + key_bytes + strspn(line + key_bytes, ": \t");
            snprintf(out, bytes, "%.*s", (int)strcspn(value, "\n"), value);
            is_found = true;
        }
    }
    free(line);
    return is_found;
}

bool doctor_read_field(const struct doctor *doctor, char *out, size_t bytes, const char *key,
                       const char *format, ...)
{
    char path[DOCTOR_PATH_BYTES_MAX];
    va_list values;
    assert_always(bytes > 0);
    out[0] = '\0';
    va_start(values, format);
    FILE *file = doctor_path(doctor, path, format, values) ? fopen(path, "re") : NULL;
    va_end(values);
    bool is_found = file != NULL && doctor_find_field(file, out, bytes, key);
    if (file != NULL) {
        fclose(file);
    }
    return is_found;
}

bool doctor_has_capability(const struct doctor *doctor, const char *process, int capability)
{
    char text[32];
    assert_always(capability >= 0 && capability < 64);
    return doctor_read_field(doctor, text, sizeof text, "CapEff:", "/proc/%s/status", process) &&
           (strtoull(text, NULL, 16) >> capability & 1) != 0;
}

bool doctor_read_link(const struct doctor *doctor, char *out, size_t bytes, const char *format, ...)
{
    char path[DOCTOR_PATH_BYTES_MAX];
    va_list values;
    assert_always(bytes > 0);
    va_start(values, format);
    bool fits = doctor_path(doctor, path, format, values);
    va_end(values);
    ssize_t got = fits ? readlink(path, out, bytes - 1) : -1;
    out[got >= 0 ? got : 0] = '\0';
    return got >= 0;
}

DIR *doctor_open_directory(const struct doctor *doctor, const char *format, ...)
{
    char path[DOCTOR_PATH_BYTES_MAX];
    va_list values;
    va_start(values, format);
    bool fits = doctor_path(doctor, path, format, values);
    va_end(values);
    return fits ? opendir(path) : NULL;
}

struct doctor_finding *doctor_add(struct doctor *doctor, const char *id, enum doctor_level level)
{
    assert_always(doctor->count < DOCTOR_FINDINGS_MAX);
    assert_always(level <= DOCTOR_FAIL);
    assert_debug(strchr(id, '.') != NULL);
    struct doctor_finding *finding = &doctor->findings[doctor->count++];
    *finding = (struct doctor_finding){.id = id, .level = level};
    return finding;
}

void doctor_text(char out[DOCTOR_TEXT_BYTES_MAX], const char *format, ...)
{
    va_list values;
    va_start(values, format);
    int bytes = vsnprintf(out, DOCTOR_TEXT_BYTES_MAX, format, values);
    va_end(values);
    assert_debug(bytes >= 0 && bytes < DOCTOR_TEXT_BYTES_MAX);
    for (char *at = out; *at != '\0'; at++) {
        if (*at < ' ' || *at > '~') {
            *at = '?';
        }
    }
}
