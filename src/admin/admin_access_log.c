#include "src/admin/admin_access_log.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "src/base/access_log.h"
#include "src/base/log.h"

/* "GET /symbols?limit=5", as the library has decoded it; what does not fit is cut. */
struct admin_access_request {
    char text[2 * ACCESS_LOG_REQUEST_BYTES_MAX];
    size_t bytes;
    bool has_query;
};

static void admin_access_add(struct admin_access_request *request, const char *text)
{
    assert_always(request->bytes <= sizeof request->text);
    size_t room = sizeof request->text - request->bytes;
    size_t bytes = strnlen(text, room);
    memcpy(request->text + request->bytes, text, bytes);
    request->bytes += bytes;
}

static enum MHD_Result admin_access_add_argument(void *context, enum MHD_ValueKind kind,
                                                 const char *name, const char *value)
{
    struct admin_access_request *request = context;
    (void)kind;
    admin_access_add(request, request->has_query ? "&" : "?");
    admin_access_add(request, name);
    if (value != NULL) {
        admin_access_add(request, "=");
        admin_access_add(request, value);
    }
    request->has_query = true;
    return MHD_YES;
}

static void admin_access_address(const struct admin_page *page,
                                 char text_out[IP_ADDRESS_TEXT_BYTES_MAX])
{
    struct ip_address address;
    uint16_t port;
    text_out[0] = '\0';
    if (page->is_unix) {
        snprintf(text_out, IP_ADDRESS_TEXT_BYTES_MAX, "unix");
    } else if (admin_page_peer(page, &address, &port)) {
        ip_address_format(&address, text_out);
    }
}

void admin_access_log(const struct admin_page *page, const char *method, const char *target)
{
    struct admin_access_request request = {.bytes = 0};
    char address[IP_ADDRESS_TEXT_BYTES_MAX];
    char kept[ACCESS_LOG_REQUEST_BYTES_MAX];
    if (!log_has_access() || page->body == NULL) {
        return;
    }
    assert_debug(page->status != 0);
    admin_access_add(&request, method);
    admin_access_add(&request, " ");
    admin_access_add(&request, target);
    MHD_get_connection_values(page->connection, MHD_GET_ARGUMENT_KIND, admin_access_add_argument,
                              &request);
    access_log_keep_request(kept, request.text, request.bytes);
    admin_access_address(page, address);
    bool has_body = strcmp(method, MHD_HTTP_METHOD_HEAD) != 0;
    struct access_log_entry entry = {
        .remote_addr = address,
        .user = page->user,
        .request = kept,
        .status = (int)page->status,
        .bytes = has_body ? (int64_t)page->body_bytes : 0,
        .open_ns = ACCESS_LOG_UNKNOWN,
        .wall_ns = clock_ns(CLOCK_REALTIME),
    };
    access_log_write(&entry);
}
