#include "src/server_record.h"

#include "ring/board/counters_threads.h"
#include "src/record/record.h"

#define SERVER_RECORD_ERROR_BYTES_MAX 512

int server_record_create(struct server *server)
{
    char text[SERVER_RECORD_ERROR_BYTES_MAX];
    struct record_options options = {
        .path = server->options.record_path,
        .file_bytes_max = server->options.record_file_bytes,
        .file_ns_max = server->options.record_file_ns,
        .ring_bytes = RECORD_RING_BYTES,
        .epoch = server->epoch_number,
        .counters = &server->counters->process,
    };
    if (options.path == NULL) {
        return 0;
    }
    int error = record_create(&server->record, &options, text, sizeof text);
    return error < 0 ? server_refuse(server, error, text) : 0;
}

int server_record_start(struct server *server)
{
    char text[SERVER_RECORD_ERROR_BYTES_MAX];
    if (server->record == NULL) {
        return 0;
    }
    struct counters_thread *thread =
        counters_threads_add(server->counters, "recorder", &server->counters->process.record_turns,
                             COUNTERS_THREAD_RESTS);
    int error = record_start(server->record, thread, text, sizeof text);
    return error < 0 ? server_refuse(server, error, text) : 0;
}
