#include "codec/ws_extensions.h"

#include <stdio.h>
#include <string.h>

#include "codec/base/check.h"

#define WS_DEFLATE_NAME "permessage-deflate"
#define WS_EXTENSIONS_VALUE_BYTES_MAX 2 /* of a value that any parameter of ours can have */

enum ws_deflate_parameter {
    WS_SERVER_NO_TAKEOVER,
    WS_CLIENT_NO_TAKEOVER,
    WS_SERVER_WINDOW_BITS,
    WS_CLIENT_WINDOW_BITS,
    WS_PARAMETER_COUNT, /* not one of ours */
};

static const char *const ws_deflate_parameters[WS_PARAMETER_COUNT] = {
    [WS_SERVER_NO_TAKEOVER] = "server_no_context_takeover",
    [WS_CLIENT_NO_TAKEOVER] = "client_no_context_takeover",
    [WS_SERVER_WINDOW_BITS] = "server_max_window_bits",
    [WS_CLIENT_WINDOW_BITS] = "client_max_window_bits",
};

struct ws_extensions_reader {
    const char *at;
    const char *end;
};

struct ws_extensions_token {
    const char *text;
    size_t bytes;
};

/* What comes after a parameter's '='. A longer value is counted, and fits no parameter. */
struct ws_extensions_value {
    char text[WS_EXTENSIONS_VALUE_BYTES_MAX];
    size_t bytes; /* 0: none was given; a token is never empty */
};

static void ws_extensions_skip_blanks(struct ws_extensions_reader *reader)
{
    while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\t')) {
        reader->at++;
    }
}

static bool ws_extensions_take(struct ws_extensions_reader *reader, char c)
{
    ws_extensions_skip_blanks(reader);
    if (reader->at == reader->end || *reader->at != c) {
        return false;
    }
    reader->at++;
    return true;
}

/* Without bytes: something else is there. */
static struct ws_extensions_token ws_extensions_take_token(struct ws_extensions_reader *reader)
{
    ws_extensions_skip_blanks(reader);
    struct ws_extensions_token token = {.text = reader->at};
    while (reader->at < reader->end && ws_extensions_is_token_char(*reader->at)) {
        reader->at++;
    }
    token.bytes = (size_t)(reader->at - token.text);
    return token;
}

static bool ws_extensions_equal(struct ws_extensions_token token, const char *text)
{
    return token.bytes == strlen(text) && memcmp(token.text, text, token.bytes) == 0;
}

static void ws_extensions_add(struct ws_extensions_value *value, char c)
{
    if (value->bytes < sizeof value->text) {
        value->text[value->bytes] = c;
    }
    value->bytes++;
}

/* A token, plain or between quotes, where any character may be escaped. */
static bool ws_extensions_take_value(struct ws_extensions_reader *reader,
                                     struct ws_extensions_value *value)
{
    if (!ws_extensions_take(reader, '"')) {
        struct ws_extensions_token token = ws_extensions_take_token(reader);
        for (size_t i = 0; i < token.bytes; i++) {
            ws_extensions_add(value, token.text[i]);
        }
        return token.bytes > 0;
    }
    for (; reader->at < reader->end; reader->at++) {
        if (*reader->at == '"') {
            reader->at++;
            return value->bytes > 0;
        }
        if (*reader->at == '\\') {
            reader->at++;
        }
        if (reader->at == reader->end || !ws_extensions_is_token_char(*reader->at)) {
            return false;
        }
        ws_extensions_add(value, *reader->at);
    }
    return false;
}

static enum ws_deflate_parameter ws_extensions_find(struct ws_extensions_token name)
{
    unsigned parameter = 0;
    while (parameter < WS_PARAMETER_COUNT &&
           !ws_extensions_equal(name, ws_deflate_parameters[parameter])) {
        parameter++;
    }
    return (enum ws_deflate_parameter)parameter;
}

/* "8" to "15", without a leading zero; 0: anything else. */
static uint8_t ws_extensions_window_bits(const struct ws_extensions_value *value)
{
    const char *text = value->text;
    if (value->bytes == 1) {
        return text[0] == '8' || text[0] == '9' ? (uint8_t)(text[0] - '0') : 0;
    }
    bool fits = value->bytes == 2 && text[0] == '1' && text[1] >= '0' && text[1] <= '5';
    return fits ? (uint8_t)(10 + text[1] - '0') : 0;
}

/* Notes a parameter of permessage-deflate; false: the offer is to be passed over. */
static bool ws_extensions_see(struct ws_deflate_offer *offer, enum ws_deflate_parameter parameter,
                              const struct ws_extensions_value *value)
{
    bool has_value = value->bytes > 0;
    uint8_t window_bits = ws_extensions_window_bits(value);
    switch (parameter) {
    case WS_SERVER_NO_TAKEOVER:
        offer->server_no_takeover = true;
        return !has_value;
    case WS_CLIENT_NO_TAKEOVER:
        offer->client_no_takeover = true;
        return !has_value;
    case WS_SERVER_WINDOW_BITS:
        offer->server_window_bits = window_bits;
        return window_bits != 0;
    case WS_CLIENT_WINDOW_BITS:
        offer->client_window_bits = window_bits;
        offer->names_client_window = true;
        return window_bits != 0 || !has_value;
    case WS_PARAMETER_COUNT:
        break;
    }
    return false;
}

/* One extension with its parameters. */
static bool ws_extensions_take_offer(struct ws_extensions_reader *reader,
                                     struct ws_deflate_offers *offers)
{
    struct ws_extensions_token name = ws_extensions_take_token(reader);
    struct ws_deflate_offer offer = {0};
    bool is_good = ws_extensions_equal(name, WS_DEFLATE_NAME);
    unsigned seen = 0;
    if (name.bytes == 0) {
        return false;
    }
    while (ws_extensions_take(reader, ';')) {
        struct ws_extensions_value value = {.bytes = 0};
        name = ws_extensions_take_token(reader);
        if (name.bytes == 0 ||
            (ws_extensions_take(reader, '=') && !ws_extensions_take_value(reader, &value))) {
            return false;
        }
        enum ws_deflate_parameter parameter = ws_extensions_find(name);
        is_good &= (seen & 1u << parameter) == 0 && ws_extensions_see(&offer, parameter, &value);
        seen |= 1u << parameter;
    }
    offers->named_count++;
    if (is_good && offers->count < WS_DEFLATE_OFFERS_MAX) {
        offers->offers[offers->count++] = offer;
    }
    return true;
}

bool ws_extensions_parse(struct ws_deflate_offers *offers, const char *value, size_t value_bytes)
{
    struct ws_extensions_reader reader = {.at = value, .end = value + value_bytes};
    do {
        ws_extensions_skip_blanks(&reader);
        bool is_empty = reader.at == reader.end || *reader.at == ','; /* as elements may be */
        if (!is_empty && !ws_extensions_take_offer(&reader, offers)) {
            return false;
        }
    } while (ws_extensions_take(&reader, ','));
    return reader.at == reader.end;
}

struct ws_deflate_terms ws_extensions_negotiate(const struct ws_deflate_offers *offers,
                                                const struct ws_deflate_policy *policy)
{
    assert_always(offers->count <= WS_DEFLATE_OFFERS_MAX);

    for (uint32_t i = 0; i < offers->count; i++) {
        const struct ws_deflate_offer *offer = &offers->offers[i];
        if (offer->server_window_bits == 0 ||
            offer->server_window_bits >= policy->server_window_bits_min) {
            return (struct ws_deflate_terms){
                .is_on = true,
                .server_no_takeover = policy->no_takeover || offer->server_no_takeover,
                .client_no_takeover = policy->no_takeover || offer->client_no_takeover,
                .server_window_bits = offer->server_window_bits,
                .client_window_bits = offer->client_window_bits,
            };
        }
    }
    return (struct ws_deflate_terms){.is_on = false};
}

void ws_extensions_answer(char *out, const struct ws_deflate_terms *terms)
{
    assert_always(terms->is_on);
    char server_window[32] = "";
    char client_window[32] = "";
    if (terms->server_window_bits != 0) {
        snprintf(server_window, sizeof server_window, "; server_max_window_bits=%d",
                 terms->server_window_bits);
    }
    if (terms->client_window_bits != 0) {
        snprintf(client_window, sizeof client_window, "; client_max_window_bits=%d",
                 terms->client_window_bits);
    }
    int bytes = snprintf(out, WS_DEFLATE_ANSWER_BYTES_MAX, WS_DEFLATE_NAME "%s%s%s%s",
                         terms->server_no_takeover ? "; server_no_context_takeover" : "",
                         terms->client_no_takeover ? "; client_no_context_takeover" : "",
                         server_window, client_window);
    assert_always(bytes > 0 && bytes < WS_DEFLATE_ANSWER_BYTES_MAX);
}
