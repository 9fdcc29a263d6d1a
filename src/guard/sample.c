#include "src/guard/sample.h"

const struct sample_row sample_rows[SAMPLE_NUMBERS] = {
    [SAMPLE_CPU_PERCENT] = {"cpu_percent", false},
    [SAMPLE_MEMORY_PERCENT] = {"memory_percent", false},
    [SAMPLE_MEMORY_USED_MB] = {"memory_used_mb", false},
    [SAMPLE_MEMORY_AVAILABLE_MB] = {"memory_available_mb", false},
    [SAMPLE_DISK_USAGE_PERCENT] = {"disk_usage_percent", false},
    [SAMPLE_DISK_FREE_GB] = {"disk_free_gb", false},
    [SAMPLE_NETWORK_BYTES_SENT] = {"network_bytes_sent", true},
    [SAMPLE_NETWORK_BYTES_RECV] = {"network_bytes_recv", true},
    [SAMPLE_ACTIVE_CONNECTIONS] = {"active_connections", true},
    [SAMPLE_LOAD_1M] = {"load_average_1m", false},
    [SAMPLE_LOAD_5M] = {"load_average_5m", false},
    [SAMPLE_LOAD_15M] = {"load_average_15m", false},
    [SAMPLE_ACTIVE_USERS] = {"active_users", true},
    [SAMPLE_TOTAL_MESSAGES] = {"total_messages", true},
    [SAMPLE_MESSAGES_PER_MINUTE] = {"messages_per_minute", false},
    [SAMPLE_RESPONSE_TIME_AVG] = {"response_time_avg", false},
    [SAMPLE_ERROR_RATE] = {"error_rate", false},
    [SAMPLE_PUSH_SUCCESS_RATE] = {"push_success_rate", false},
    [SAMPLE_LOG_LINES_LOST] = {"log_lines_lost", true},
};
