#include "src/server_pid_file.h"

#define SERVER_PID_FILE_ERROR_BYTES_MAX 4608

int server_write_pid_file(struct server *server)
{
    char text[SERVER_PID_FILE_ERROR_BYTES_MAX];
    if (server->options.pid_file_path == NULL) {
        return 0;
    }
    int error = pid_file_open(&server->pid_file, server->options.pid_file_path, text, sizeof text);
    return error < 0 ? server_refuse(server, error, text) : 0;
}
