#include "src/admin/admin_sample.h"

#include <time.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "src/base/log.h"

static double admin_sample_percent(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : 100 * (double)part / (double)whole;
}

static void admin_sample_take_system(const struct host_system *system, double *numbers)
{
    assert_always(system->memory_available_bytes <= system->memory_bytes);
    uint64_t memory_used = system->memory_bytes - system->memory_available_bytes;
    uint64_t disk_used = system->disk_bytes - system->disk_free_bytes;
    numbers[SAMPLE_MEMORY_PERCENT] = admin_sample_percent(memory_used, system->memory_bytes);
    numbers[SAMPLE_MEMORY_USED_MB] = (double)memory_used / (double)MIB;
    numbers[SAMPLE_MEMORY_AVAILABLE_MB] = (double)system->memory_available_bytes / (double)MIB;
    numbers[SAMPLE_DISK_USAGE_PERCENT] = admin_sample_percent(disk_used, system->disk_bytes);
    numbers[SAMPLE_DISK_FREE_GB] = (double)system->disk_free_bytes / (double)(KIB * MIB);
    numbers[SAMPLE_NETWORK_BYTES_SENT] = (double)system->network_sent_bytes;
    numbers[SAMPLE_NETWORK_BYTES_RECV] = (double)system->network_received_bytes;
    for (int i = 0; i < 3; i++) {
        numbers[SAMPLE_LOAD_1M + i] = system->load_average[i];
    }
}

void admin_sample_take(struct metrics *metrics, const struct host_system *system,
                       const struct metrics_rates *rates, uint64_t now_ns,
                       struct sample *sample_out)
{
    const struct counters *counters = metrics_options(metrics)->counters;
    double *numbers = sample_out->numbers;
    double connections =
        (double)metrics_sum(counters, offsetof(struct core_counters, conns_streaming));
    *sample_out = (struct sample){.taken_ns = now_ns, .wall_s = (int64_t)time(NULL)};
    admin_sample_take_system(system, numbers);
    numbers[SAMPLE_CPU_PERCENT] = rates->host_cpu_percent;
    numbers[SAMPLE_ACTIVE_CONNECTIONS] = connections;
    numbers[SAMPLE_ACTIVE_USERS] = connections;
    numbers[SAMPLE_TOTAL_MESSAGES] =
        (double)metrics_sum(counters, offsetof(struct core_counters, frames_out));
    numbers[SAMPLE_MESSAGES_PER_MINUTE] = rates->messages_per_minute;
    numbers[SAMPLE_RESPONSE_TIME_AVG] = rates->latency_seconds_mean;
    numbers[SAMPLE_ERROR_RATE] = rates->error_rate;
    numbers[SAMPLE_PUSH_SUCCESS_RATE] = 1 - rates->error_rate;
    numbers[SAMPLE_LOG_LINES_LOST] = (double)log_lost_count();
}

json_t *admin_sample_timestamp(int64_t wall_s)
{
    char text[32];
    struct tm utc;
    time_t now = (time_t)wall_s;
    gmtime_r(&now, &utc);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return json_string(text);
}

json_t *admin_sample_number(double value, bool is_integer)
{
    return is_integer ? json_integer((json_int_t)value) : json_real(value);
}

static void admin_sample_add(json_t *object, const struct sample *sample, enum sample_number first,
                             enum sample_number end)
{
    assert_always(end <= SAMPLE_NUMBERS);
    for (enum sample_number i = first; i < end; i++) {
        json_object_set_new(object, sample_rows[i].name,
                            admin_sample_number(sample->numbers[i], sample_rows[i].is_integer));
    }
}

json_t *admin_sample_system(const struct sample *sample)
{
    const double *load = &sample->numbers[SAMPLE_LOAD_1M];
    json_t *object = json_pack("{s:o}", "timestamp", admin_sample_timestamp(sample->wall_s));
    admin_sample_add(object, sample, 0, SAMPLE_LOAD_1M);
    json_object_set_new(object, "load_average", json_pack("[f, f, f]", load[0], load[1], load[2]));
    return object;
}

json_t *admin_sample_application(const struct sample *sample)
{
    json_t *object = json_object();
    admin_sample_add(object, sample, SAMPLE_ACTIVE_USERS, SAMPLE_NUMBERS);
    return object;
}
