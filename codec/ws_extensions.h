/*
 * ws_extensions: Sec-WebSocket-Extensions, the header that negotiates permessage-deflate.
 *
 * Threads  Pure functions. Memory: the caller's.
 * Errors   false: the header is not well-formed, which fails the handshake. An offer that cannot be
 *          met (a parameter is unknown, given twice, or has an invalid value) is skipped, and the
 *          client's next offer counts.
 * Source   RFC 6455 section 9.1: the grammar, blanks between all its parts included. RFC 7692
 *          section 7.1: the parameters.
 */
#ifndef RINGCAST_CODEC_WS_EXTENSIONS_H
#define RINGCAST_CODEC_WS_EXTENSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WS_DEFLATE_OFFERS_MAX 8 /* of one client; further ones are ignored */
#define WS_DEFLATE_ANSWER_BYTES_MAX 160
#define WS_DEFLATE_WINDOW_BITS_MIN 8
#define WS_DEFLATE_WINDOW_BITS_MAX 15

/* permessage-deflate, as a client offers it. */
struct ws_deflate_offer {
    bool server_no_takeover;
    bool client_no_takeover;
    uint8_t server_window_bits; /* 0: not named */
    uint8_t client_window_bits; /* 0: not named, or without a value */
    bool names_client_window;
};

struct ws_deflate_offers {
    uint32_t named_count; /* extensions of any name and with any parameters; of these, */
    uint32_t count;       /* permessage-deflate that can be met */
    struct ws_deflate_offer offers[WS_DEFLATE_OFFERS_MAX]; /* as the client prefers them */
};

/* What a server wants. */
struct ws_deflate_policy {
    bool no_takeover;               /* Every message stands alone, both ways. */
    uint8_t server_window_bits_min; /* An offer that insists on less is declined. */
};

/* What is agreed. Bits 0: not named in the answer, the largest window holds. */
struct ws_deflate_terms {
    bool is_on; /* false: no compression */
    bool server_no_takeover;
    bool client_no_takeover;
    uint8_t server_window_bits;
    uint8_t client_window_bits;
};

/* Appends what one header line offers. */
bool ws_extensions_parse(struct ws_deflate_offers *offers, const char *value, size_t value_bytes);

/* Takes the first offer that the policy can meet; terms without one are off. */
struct ws_deflate_terms ws_extensions_negotiate(const struct ws_deflate_offers *offers,
                                                const struct ws_deflate_policy *policy);

/* The answer's value, terminated; out holds WS_DEFLATE_ANSWER_BYTES_MAX. Only for terms that are
 * on. */
void ws_extensions_answer(char *out, const struct ws_deflate_terms *terms);

/* A character of a token (RFC 9110 section 5.6.2). */
static inline bool ws_extensions_is_token_char(char c)
{
    switch (c) {
    case '0' ... '9':
    case 'A' ... 'Z':
    case 'a' ... 'z':
    case '!':
    case '#':
    case '$':
    case '%':
    case '&':
    case '\'':
    case '*':
    case '+':
    case '-':
    case '.':
    case '^':
    case '_':
    case '`':
    case '|':
    case '~':
        return true;
    default:
        return false;
    }
}

#endif
