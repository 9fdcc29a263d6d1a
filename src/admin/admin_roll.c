#include "src/admin/admin_roll.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "src/base/quality.h"
#include "src/market/encoders.h"

const char *const admin_roll_keys[ADMIN_ROLL_KEY_COUNT] = {
    "lag", "lost", "bytes", "connected", "quality", "subscriptions",
};

/* ---- Which ---- */

int admin_roll_encoding(const char *name)
{
    for (int i = 0; i < CORE_ENCODINGS_MAX; i++) {
        if (encoders_rows[i].name != NULL && strcmp(encoders_rows[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

/* Returns where it ends; NULL: there is no number. */
static const char *admin_roll_read_number(const char *text, uint64_t *number_out)
{
    char *end;
    errno = 0;
    *number_out = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && errno == 0 ? end : NULL;
}

/* "0-12" */
static bool admin_roll_read_session(const char *text, uint64_t *core_out, uint64_t *number_out)
{
    const char *end = admin_roll_read_number(text, core_out);
    if (end != NULL && *end == '-') {
        end = admin_roll_read_number(end + 1, number_out);
        return end != NULL && *end == '\0' && *number_out != 0;
    }
    return false;
}

int admin_roll_filter_init(struct admin_roll_filter *filter,
                           char error_out[ADMIN_ROLL_ERROR_BYTES_MAX])
{
    char why[ADMIN_ROLL_ERROR_BYTES_MAX / 2];
    assert_always(filter->encoding < CORE_ENCODINGS_MAX);
    filter->networks = (struct cidr_list){0};
    filter->is_unix = filter->address != NULL && strcmp(filter->address, "unix") == 0;
    if (filter->session != NULL &&
        !admin_roll_read_session(filter->session, &filter->core, &filter->number)) {
        snprintf(error_out, ADMIN_ROLL_ERROR_BYTES_MAX,
                 "session: \"%.40s\" is not valid; give one as WELCOME has it, such as 0-12",
                 filter->session);
        return -EINVAL;
    }
    if (filter->address == NULL || filter->is_unix) {
        return 0;
    }
    int error = cidr_list_init(&filter->networks, filter->address, why, sizeof why);
    if (error == 0 && filter->networks.count == 0) {
        snprintf(why, sizeof why, "it is empty");
        error = -EINVAL;
    }
    if (error < 0) {
        snprintf(error_out, ADMIN_ROLL_ERROR_BYTES_MAX,
                 "address: %s; give an address, a network such as 10.0.0.0/8, or unix",
                 error == -ENOMEM ? "no memory" : why);
    }
    return error;
}

void admin_roll_filter_deinit(struct admin_roll_filter *filter)
{
    cidr_list_deinit(&filter->networks);
}

bool admin_roll_matches(const struct admin_roll_filter *filter, const struct roll_row *row)
{
    if (filter->name != NULL && strcmp(filter->name, row->name) != 0) {
        return false;
    }
    if (filter->session != NULL && (filter->core != row->core || filter->number != row->number)) {
        return false;
    }
    if (filter->encoding >= 0 && filter->encoding != row->encoding) {
        return false;
    }
    if (filter->address == NULL || filter->is_unix) {
        return filter->address == NULL || row->is_unix;
    }
    return !row->is_unix && cidr_list_has(&filter->networks, &row->address);
}

/* ---- In which order ---- */

struct admin_roll_order {
    enum admin_roll_key key;
    bool is_descending;
};

static int admin_roll_compare_numbers(uint64_t left, uint64_t right)
{
    return (left > right) - (left < right);
}

/* The worse a connection is, the larger; without a sample it counts as good. */
static uint64_t admin_roll_badness(const struct roll_row *row)
{
    return row->quality == QUALITY_UNKNOWN ? 0 : (uint64_t)(100 - row->quality);
}

static int admin_roll_compare_lag(const struct roll_row *left, const struct roll_row *right)
{
    int order = admin_roll_compare_numbers(left->lag_ms, right->lag_ms);
    order = order != 0 ? order : admin_roll_compare_numbers(left->lag_frames, right->lag_frames);
    order = order != 0 ? order : admin_roll_compare_numbers(left->frames_lost, right->frames_lost);
    return order != 0
               ? order
               : admin_roll_compare_numbers(admin_roll_badness(left), admin_roll_badness(right));
}

static int admin_roll_compare_key(const struct roll_row *left, const struct roll_row *right,
                                  enum admin_roll_key key)
{
    switch (key) {
    case ADMIN_ROLL_LAG:
        return admin_roll_compare_lag(left, right);
    case ADMIN_ROLL_LOST:
        return admin_roll_compare_numbers(left->frames_lost, right->frames_lost);
    case ADMIN_ROLL_BYTES:
        return admin_roll_compare_numbers(left->bytes_sent, right->bytes_sent);
    case ADMIN_ROLL_CONNECTED:
        return admin_roll_compare_numbers(right->opened_ns, left->opened_ns);
    case ADMIN_ROLL_QUALITY:
        return admin_roll_compare_numbers(admin_roll_badness(right), admin_roll_badness(left));
    default:
        assert_always(key == ADMIN_ROLL_SUBSCRIPTIONS);
        return admin_roll_compare_numbers(left->subscription_count, right->subscription_count);
    }
}

static int admin_roll_compare(const void *left_place, const void *right_place, void *context)
{
    const struct roll_row *left = *(struct roll_row *const *)left_place;
    const struct roll_row *right = *(struct roll_row *const *)right_place;
    const struct admin_roll_order *wanted = context;
    int order = admin_roll_compare_key(left, right, wanted->key);
    if (order != 0) {
        return wanted->is_descending ? -order : order;
    }
    order = admin_roll_compare_numbers(left->core, right->core);
    return order != 0 ? order : admin_roll_compare_numbers(left->number, right->number);
}

void admin_roll_sort(struct roll_row **rows, uint32_t count, enum admin_roll_key key,
                     bool is_descending)
{
    struct admin_roll_order order = {key, is_descending};
    if (count > 0) {
        qsort_r(rows, count, sizeof *rows, admin_roll_compare, &order);
    }
}

/* ---- Rounds ---- */

bool admin_roll_run(struct admin_page *page, struct roll *roll)
{
    const struct roll_desk *desk = &page->sources->roll;
    int error = desk->run(desk->context, roll);
    if (error < 0) {
        admin_page_refuse(page, error);
    }
    return error == 0;
}

bool admin_roll_list(struct admin_page *page, struct roll *roll,
                     const struct admin_roll_filter *filter)
{
    roll->round = ROLL_LIST;
    if (!admin_roll_run(page, roll)) {
        return false;
    }
    uint32_t count = roll_count(roll);
    roll->picked = calloc((size_t)count + 1, sizeof *roll->picked);
    if (roll->picked == NULL) {
        admin_page_error(page, MHD_HTTP_SERVICE_UNAVAILABLE, "no memory");
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (admin_roll_matches(filter, &roll->rows[i])) {
            roll->picked[roll->picked_count++] = &roll->rows[i];
        }
    }
    return true;
}

void admin_roll_end(struct roll *roll)
{
    free(roll->picked);
    free(roll->rows);
    free(roll->channels);
}

/* ---- As JSON ---- */

void admin_roll_session(const struct roll_row *row, char out[ADMIN_ROLL_SESSION_BYTES_MAX])
{
    snprintf(out, ADMIN_ROLL_SESSION_BYTES_MAX, "%" PRIu32 "-%" PRIu64, row->core, row->number);
}

void admin_roll_address(const struct roll_row *row, char out[ADMIN_ROLL_ADDRESS_BYTES_MAX])
{
    char host[IP_ADDRESS_TEXT_BYTES_MAX];
    if (row->is_unix) {
        snprintf(out, ADMIN_ROLL_ADDRESS_BYTES_MAX, "unix");
        return;
    }
    ip_address_format(&row->address, host);
    if (row->port == 0) {
        snprintf(out, ADMIN_ROLL_ADDRESS_BYTES_MAX, "%s", host);
    } else {
        snprintf(out, ADMIN_ROLL_ADDRESS_BYTES_MAX,
                 ip_address_is_v4(&row->address) ? "%s:%u" : "[%s]:%u", host, row->port);
    }
}

static json_t *admin_roll_number(uint64_t number, bool is_known)
{
    return is_known ? json_integer((json_int_t)number) : json_null();
}

static json_t *admin_roll_tls(const struct roll_row *row)
{
    return row->tls == NULL
               ? json_null()
               : json_pack("{s:s, s:s, s:s?}", "version", row->tls, "cipher", row->cipher,
                           "certificate", row->certificate[0] == '\0' ? NULL : row->certificate);
}

static json_t *admin_roll_row(const struct roll_row *row, uint64_t now_ns)
{
    static const char *const states[] = {
        [ROLL_STREAMING] = "streaming",
        [ROLL_BLOCKED] = "blocked",
        [ROLL_CATCHING_UP] = "catching_up",
    };
    char session[ADMIN_ROLL_SESSION_BYTES_MAX];
    char address[ADMIN_ROLL_ADDRESS_BYTES_MAX];
    uint64_t open_ns = now_ns > row->opened_ns ? now_ns - row->opened_ns : 0;
    admin_roll_session(row, session);
    admin_roll_address(row, address);
    assert_always(row->encoding < CORE_ENCODINGS_MAX);
    assert_always(row->state < sizeof states / sizeof states[0]);
    return json_pack(
        "{s:s, s:s?, s:s, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:f, s:s, s:s?, s:o, "
        "s:o}",
        "session", session, "name", row->name[0] == '\0' ? NULL : row->name, "address", address,
        "core", (json_int_t)row->core, "encoding", encoders_rows[row->encoding].name,
        "subscriptions", (json_int_t)row->subscription_count, "lag_frames",
        (json_int_t)row->lag_frames, "lag_ms", (json_int_t)row->lag_ms, "frames_sent",
        (json_int_t)row->frames_sent, "frames_lost", (json_int_t)row->frames_lost,
        "frames_conflated", (json_int_t)row->frames_conflated, "bytes_sent",
        admin_roll_number(row->bytes_sent, row->has_bytes), "round_trip_us",
        admin_roll_number(row->round_trip_us, row->round_trip_us != 0), "connected_seconds",
        (double)(open_ns / NS_PER_MS) / 1000, "state", states[row->state], "cause", row->cause,
        "quality", admin_roll_number((uint64_t)row->quality, row->quality != QUALITY_UNKNOWN),
        "tls", admin_roll_tls(row));
}

json_t *admin_roll_show(struct admin_page *page, struct roll *roll, uint32_t first, uint32_t count)
{
    struct roll shown = {.round = ROLL_DETAIL};
    uint32_t left = first < roll->picked_count ? roll->picked_count - first : 0;
    assert_always(roll->picked_count <= roll_count(roll));
    shown.picked = roll->picked + (left == 0 ? 0 : first);
    shown.picked_count = left < count ? left : count;
    if (!roll->with_details && shown.picked_count > 0 && !admin_roll_run(page, &shown)) {
        return NULL;
    }
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    json_t *rows = json_array();
    for (uint32_t i = 0; i < shown.picked_count; i++) {
        if (roll->with_details || shown.picked[i]->is_there) {
            json_array_append_new(rows, admin_roll_row(shown.picked[i], now_ns));
        }
    }
    return rows;
}

/* ---- What is asked ---- */

struct admin_roll_query {
    struct admin_page *page;
    const char *const *names;
    unsigned seen; /* a bit for each name */
    bool is_good;
};

static void admin_roll_refuse(struct admin_roll_query *query)
{
    char all[120] = "";
    for (const char *const *name = query->names; *name != NULL; name++) {
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", used == 0 ? "" : ", ", *name);
    }
    admin_page_error(query->page, MHD_HTTP_BAD_REQUEST,
                     "the query takes these parameters, each once and with a value: %s", all);
    query->is_good = false;
}

static enum MHD_Result admin_roll_on_key(void *context, enum MHD_ValueKind kind, const char *key,
                                         const char *value)
{
    struct admin_roll_query *query = context;
    (void)kind;
    for (unsigned i = 0; query->names[i] != NULL; i++) {
        bool is_new = (query->seen & 1u << i) == 0;
        if (strcmp(query->names[i], key) == 0 && value != NULL && is_new) {
            query->seen |= 1u << i;
            return MHD_YES;
        }
    }
    admin_roll_refuse(query);
    return MHD_NO;
}

bool admin_roll_takes(struct admin_page *page, const char *const *names)
{
    struct admin_roll_query query = {.page = page, .names = names, .is_good = true};
    MHD_get_connection_values(page->connection, MHD_GET_ARGUMENT_KIND, admin_roll_on_key, &query);
    return query.is_good;
}
