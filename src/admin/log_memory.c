#include "src/admin/log_memory.h"

#include <inttypes.h>

#include "codec/base/check.h"
#include "ring/board/frame_log_size.h"

void log_memory_write(const struct log_memory *memory, FILE *out)
{
    assert_always(memory->count <= LOG_MEMORY_LOGS_MAX);
    fputs("# HELP ringcast_log_bytes Memory that the frame log of an encoding takes now.\n"
          "# TYPE ringcast_log_bytes gauge\n",
          out);
    for (uint32_t i = 0; i < memory->count; i++) {
        fprintf(out, "ringcast_log_bytes{encoding=\"%s\"} %" PRIu64 "\n", memory->logs[i].encoding,
                frame_log_size_now(memory->logs[i].log));
    }
    if (memory->bytes_max != 0) {
        fprintf(out,
                "# HELP ringcast_log_bytes_max What all frame logs may take (--memory-max).\n"
                "# TYPE ringcast_log_bytes_max gauge\n"
                "ringcast_log_bytes_max %" PRIu64 "\n",
                memory->bytes_max);
    }
    fprintf(out,
            "# HELP ringcast_log_refusals_total Requests for an encoding whose frame log had no "
            "room.\n"
            "# TYPE ringcast_log_refusals_total counter\n"
            "ringcast_log_refusals_total %" PRIu32 "\n",
            atomic_load(memory->refused_count));
}

void log_memory_add(const struct log_memory *memory, json_t *object)
{
    uint64_t sum = 0;
    json_t *logs = json_object();
    assert_always(memory->count <= LOG_MEMORY_LOGS_MAX);
    for (uint32_t i = 0; i < memory->count; i++) {
        uint64_t bytes = frame_log_size_now(memory->logs[i].log);
        json_object_set_new(logs, memory->logs[i].encoding, json_integer((json_int_t)bytes));
        sum += bytes;
    }
    json_object_set_new(object, "frame_log_bytes", json_integer((json_int_t)sum));
    json_object_set_new(object, "frame_logs", logs);
    if (memory->bytes_max != 0) {
        json_object_set_new(object, "frame_log_bytes_max",
                            json_integer((json_int_t)memory->bytes_max));
    }
}
