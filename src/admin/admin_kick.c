#include "src/admin/admin_kick.h"

#include "codec/base/check.h"
#include "src/admin/admin_roll.h"
#include "src/base/log.h"

#define ADMIN_KICK_CLOSE_CODE 4115
#define ADMIN_KICK_CODE_MIN 4100
#define ADMIN_KICK_CODE_MAX 4299
#define ADMIN_KICK_LINES 20 /* of the audit log for one request; the others are summed up */

struct admin_kick_query {
    struct admin_roll_filter filter;
    uint16_t code;
};

static bool admin_kick_read_code(struct admin_page *page, uint16_t *code_out)
{
    const json_t *code = json_object_get(page->asked, "code");
    json_int_t number = code == NULL ? ADMIN_KICK_CLOSE_CODE : json_integer_value(code);
    if ((code != NULL && !json_is_integer(code)) || number < ADMIN_KICK_CODE_MIN ||
        number > ADMIN_KICK_CODE_MAX) {
        admin_page_error(page, MHD_HTTP_BAD_REQUEST, "code: give a whole number from %d to %d",
                         ADMIN_KICK_CODE_MIN, ADMIN_KICK_CODE_MAX);
        return false;
    }
    *code_out = (uint16_t)number;
    return true;
}

/* The body has one of session, name and address, and perhaps code. */
static bool admin_kick_read_who(struct admin_page *page, struct admin_roll_filter *filter)
{
    char error[ADMIN_ROLL_ERROR_BYTES_MAX];
    *filter = (struct admin_roll_filter){
        .name = json_string_value(json_object_get(page->asked, "name")),
        .address = json_string_value(json_object_get(page->asked, "address")),
        .session = json_string_value(json_object_get(page->asked, "session")),
        .encoding = -1,
    };
    int count = (filter->name != NULL) + (filter->address != NULL) + (filter->session != NULL);
    size_t has_code = json_object_get(page->asked, "code") != NULL ? 1 : 0;
    if (count != 1 || json_object_size(page->asked) != 1 + has_code ||
        (filter->name != NULL && filter->name[0] == '\0')) {
        admin_page_error(page, MHD_HTTP_BAD_REQUEST,
                         "give one of {\"session\":\"0-12\"}, {\"name\":\"desk-1\"} and "
                         "{\"address\":\"10.0.0.0/8\"}, and if wanted \"code\":4115");
        return false;
    }
    if (admin_roll_filter_init(filter, error) < 0) {
        admin_page_error(page, MHD_HTTP_BAD_REQUEST, "%s", error);
        return false;
    }
    return true;
}

/* Returns how many were closed. */
static uint32_t admin_kick_audit(const struct roll *roll, uint16_t code)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < roll->picked_count; i++) {
        const struct roll_row *row = roll->picked[i];
        char session[ADMIN_ROLL_SESSION_BYTES_MAX];
        char address[ADMIN_ROLL_ADDRESS_BYTES_MAX];
        if (!row->is_there || ++count > ADMIN_KICK_LINES) {
            continue;
        }
        assert_always(row->number != 0);
        admin_roll_session(row, session);
        admin_roll_address(row, address);
        log_audit("KICKED", "%s: client %s%s%s, code %u", address, session,
                  row->name[0] == '\0' ? "" : " as ", row->name, code);
    }
    if (count > ADMIN_KICK_LINES) {
        log_audit("KICKED", "%u more clients, code %u", count - ADMIN_KICK_LINES, code);
    }
    return count;
}

void admin_kick(struct admin_page *page)
{
    struct admin_kick_query query;
    static const char *const no_names[] = {NULL};
    if (!admin_roll_takes(page, no_names) || !admin_kick_read_code(page, &query.code) ||
        !admin_kick_read_who(page, &query.filter)) {
        return;
    }
    struct roll roll = {.with_details = query.filter.address != NULL, .code = query.code};
    assert_always(query.code >= ADMIN_KICK_CODE_MIN);
    bool is_listed = admin_roll_list(page, &roll, &query.filter);
    roll.round = ROLL_CLOSE;
    if (is_listed && (roll.picked_count == 0 || admin_roll_run(page, &roll))) {
        uint32_t count = admin_kick_audit(&roll, query.code);
        admin_page_json(page, MHD_HTTP_OK, json_pack("{s:I}", "kicked", (json_int_t)count));
    }
    admin_roll_end(&roll);
    admin_roll_filter_deinit(&query.filter);
}
