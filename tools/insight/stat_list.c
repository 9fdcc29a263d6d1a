#include "tools/insight/stat_list.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "tools/common/terminal_text.h"

#define TEXT_BYTES_MAX 256

static const char *stat_list_state(const struct insight_file *file)
{
    assert_debug(file->error == 0 || !file->is_live);
    return file->error < 0 ? "unreadable" : file->is_live ? "alive" : "ended";
}

/* The file may hold anything: this replaces what could steer a terminal, and what JSON would need
 * to escape. */
static void stat_list_version(const struct insight_file *file, char out[TEXT_BYTES_MAX])
{
    const char *version = file->header.server_version;
    terminal_text_copy(out, TEXT_BYTES_MAX, version,
                       strnlen(version, sizeof file->header.server_version));
    for (char *at = out; (at = strpbrk(at, "\"\\")) != NULL;) {
        *at = '?';
    }
}

void stat_list_print(FILE *out, const struct insight_file *files, size_t count)
{
    fprintf(out, "%9s %-10s %5s %-19s %s\n", "pid", "version", "cores", "since", "state");
    for (size_t i = 0; i < count; i++) {
        const struct insight_file *file = &files[i];
        char text[TEXT_BYTES_MAX];
        time_t seconds = (time_t)(file->header.started_ns / NS_PER_SECOND);
        struct tm local = {0};
        fprintf(out, "%9s", file->id);
        if (file->error < 0) {
            insight_files_explain(file, text, sizeof text);
            fprintf(out, " %-10s %5s %-19s unreadable: %s\n", "-", "-", "-", text);
            continue;
        }
        stat_list_version(file, text);
        fprintf(out, " %-10s %5u", text, file->header.core_count);
        localtime_r(&seconds, &local);
        strftime(text, sizeof text, "%F %T", &local);
        fprintf(out, " %-19s %s\n", text, stat_list_state(file));
    }
}

void stat_list_print_json(FILE *out, const struct insight_file *files, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct insight_file *file = &files[i];
        char text[TEXT_BYTES_MAX];
        fprintf(out, "{\"id\":\"%s\",\"state\":\"%s\"", file->id, stat_list_state(file));
        if (file->error == 0) {
            stat_list_version(file, text);
            fprintf(out,
                    ",\"pid\":%" PRIu64 ",\"version\":\"%s\",\"cores\":%u,\"started_ns\":%" PRIu64,
                    file->header.pid, text, file->header.core_count, file->header.started_ns);
        }
        fputs("}\n", out);
    }
}
