#include "src/admin/admin_route.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"

#define ADMIN_ERROR_BYTES_MAX 512

bool admin_page_peer(const struct admin_page *page, struct ip_address *address_out,
                     uint16_t *port_out)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(page->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    return info != NULL && info->client_addr != NULL &&
           ip_address_from_socket(address_out, port_out, info->client_addr);
}

const char *admin_page_argument(const struct admin_page *page, const char *name)
{
    return MHD_lookup_connection_value(page->connection, MHD_GET_ARGUMENT_KIND, name);
}

bool admin_page_number(struct admin_page *page, const char *name, uint64_t min, uint64_t max,
                       uint64_t fallback, uint64_t *value_out)
{
    const char *text = admin_page_argument(page, name);
    char *end = NULL;
    assert_always(min <= max);
    *value_out = fallback;
    if (text == NULL) {
        return true;
    }
    errno = 0;
    *value_out = strtoull(text, &end, 10);
    bool is_number = *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
    if (!is_number || *value_out < min || *value_out > max) {
        admin_page_error(page, MHD_HTTP_BAD_REQUEST,
                         "%s: \"%.100s\" is not valid; give a whole number from %" PRIu64
                         " to %" PRIu64,
                         name, text, min, max);
        return false;
    }
    return true;
}

void admin_page_json(struct admin_page *page, unsigned int status, json_t *json)
{
    page->status = status;
    page->content_type = "application/json";
    page->body = json == NULL ? NULL : json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(15));
    page->body_bytes = page->body == NULL ? 0 : strlen(page->body);
    json_decref(json);
}

void admin_page_error(struct admin_page *page, unsigned int status, const char *format, ...)
{
    char text[ADMIN_ERROR_BYTES_MAX];
    va_list arguments;
    assert_always(status >= MHD_HTTP_BAD_REQUEST);
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    json_t *words = json_string(text);
    if (words == NULL) {
        words = json_string("the request is not valid"); /* Cut within a character. */
    }
    admin_page_json(page, status, json_pack("{s:o}", "error", words));
}

void admin_page_refuse(struct admin_page *page, int error)
{
    assert_always(error < 0);
    admin_page_error(page, MHD_HTTP_SERVICE_UNAVAILABLE, "%s",
                     error == -ESHUTDOWN ? "the server ends"
                     : error == -ENOMEM  ? "no memory"
                                         : "the server is busy; try again in a moment");
}

bool admin_page_command(struct admin_page *page, command_step *step, void *context)
{
    struct command command = {.step = step, .context = context};
    assert_always(page->sources->commands != NULL);
    int error = commands_call(page->sources->commands, &command);
    if (error < 0) {
        admin_page_refuse(page, error);
    }
    return error == 0;
}
