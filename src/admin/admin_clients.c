#include "src/admin/admin_clients.h"

#include <string.h>

#include "codec/base/check.h"
#include "src/admin/admin_roll.h"

#define ADMIN_CLIENTS_LIMIT 100
#define ADMIN_CLIENTS_LIMIT_MAX 1000

struct admin_clients_query {
    struct admin_roll_filter filter;
    enum admin_roll_key key;
    bool is_descending;
    uint64_t limit, offset;
};

/* The place of the value in names; fallback: it is not given. -1: it is another, and the page says
 * so. */
static int admin_clients_choice(struct admin_page *page, const char *name, const char *valid,
                                const char *const *names, int count, int fallback)
{
    const char *text = admin_page_argument(page, name);
    if (text == NULL) {
        return fallback;
    }
    for (int i = 0; i < count; i++) {
        if (strcmp(names[i], text) == 0) {
            return i;
        }
    }
    admin_page_error(page, MHD_HTTP_BAD_REQUEST, "%s: \"%.40s\" is not valid; give %s", name, text,
                     valid);
    return -1;
}

static bool admin_clients_read_order(struct admin_page *page, struct admin_clients_query *query)
{
    static const char *const orders[] = {"asc", "desc"};
    int key =
        admin_clients_choice(page, "sort", "lag, lost, bytes, connected, quality or subscriptions",
                             admin_roll_keys, ADMIN_ROLL_KEY_COUNT, ADMIN_ROLL_LAG);
    if (key < 0) {
        return false;
    }
    int order = admin_clients_choice(page, "order", "asc or desc", orders, 2, 1);
    query->key = (enum admin_roll_key)key;
    query->is_descending = order == 1;
    return order >= 0;
}

static bool admin_clients_read_filter(struct admin_page *page, struct admin_roll_filter *filter)
{
    char error[ADMIN_ROLL_ERROR_BYTES_MAX];
    const char *encoding = admin_page_argument(page, "encoding");
    *filter = (struct admin_roll_filter){
        .name = admin_page_argument(page, "name"),
        .address = admin_page_argument(page, "address"),
        .session = admin_page_argument(page, "session"),
        .encoding = encoding == NULL ? -1 : admin_roll_encoding(encoding),
    };
    if (encoding != NULL && filter->encoding < 0) {
        admin_page_error(page, MHD_HTTP_BAD_REQUEST,
                         "encoding: \"%.40s\" is not valid; give json, sbe or json%%2Bdeflate",
                         encoding);
        return false;
    }
    if (admin_roll_filter_init(filter, error) < 0) {
        admin_page_error(page, MHD_HTTP_BAD_REQUEST, "%s", error);
        return false;
    }
    return true;
}

static bool admin_clients_read(struct admin_page *page, struct admin_clients_query *query)
{
    static const char *const names[] = {"sort",    "order",    "limit",   "offset", "name",
                                        "address", "encoding", "session", NULL};
    return admin_roll_takes(page, names) && admin_clients_read_order(page, query) &&
           admin_page_number(page, "limit", 1, ADMIN_CLIENTS_LIMIT_MAX, ADMIN_CLIENTS_LIMIT,
                             &query->limit) &&
           admin_page_number(page, "offset", 0, UINT32_MAX, 0, &query->offset) &&
           admin_clients_read_filter(page, &query->filter);
}

void admin_clients(struct admin_page *page)
{
    struct admin_clients_query query;
    if (!admin_clients_read(page, &query)) {
        return;
    }
    assert_always(query.limit > 0);
    /* Addresses and bytes cost system calls: mostly they are asked for the rows of the page only.
     */
    struct roll roll = {.with_details =
                            query.filter.address != NULL || query.key == ADMIN_ROLL_BYTES};
    if (admin_roll_list(page, &roll, &query.filter)) {
        admin_roll_sort(roll.picked, roll.picked_count, query.key, query.is_descending);
        json_t *rows = admin_roll_show(page, &roll, (uint32_t)query.offset, (uint32_t)query.limit);
        if (rows != NULL) {
            admin_page_json(page, MHD_HTTP_OK,
                            json_pack("{s:I, s:I, s:o}", "total", (json_int_t)roll_count(&roll),
                                      "matched", (json_int_t)roll.picked_count, "clients", rows));
        }
    }
    admin_roll_end(&roll);
    admin_roll_filter_deinit(&query.filter);
}
