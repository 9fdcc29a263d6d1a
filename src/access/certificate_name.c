#include "src/access/certificate_name.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/utf8.h"

#define CERTIFICATE_NAME_DOMAIN_BYTES_MAX 253
#define CERTIFICATE_NAME_LABEL_BYTES_MAX 63
#define CERTIFICATE_NAME_DIGITS 64 /* of a SHA-256 */

static const char certificate_name_letters[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
static const char certificate_name_digits[] = "0123456789";

/* Only characters of the two sets. */
static bool certificate_name_consists_of(const char *text, const char *set, const char *more)
{
    while (*text != '\0' && (strchr(set, *text) != NULL || strchr(more, *text) != NULL)) {
        text++;
    }
    return *text == '\0';
}

/* ---- The kinds: NULL, or what is wrong with the part behind the colon ---- */

static const char *certificate_name_check_domain(const char *text)
{
    size_t bytes = strlen(text);
    if (strchr(text, '*') != NULL) {
        return "a name with * matches no certificate; give each name an entry of its own";
    }
    bool is_good = bytes > 0 && bytes <= CERTIFICATE_NAME_DOMAIN_BYTES_MAX &&
                   certificate_name_consists_of(text, certificate_name_letters, "0123456789-_.");
    while (is_good && text != NULL) {
        size_t label_bytes = strcspn(text, ".");
        is_good = label_bytes > 0 && label_bytes <= CERTIFICATE_NAME_LABEL_BYTES_MAX;
        text = text[label_bytes] == '.' ? text + label_bytes + 1 : NULL;
    }
    return is_good ? NULL
                   : "it is no domain name; write one as desk-1.example.com, without a dot "
                     "at its end, and with xn-- for other letters";
}

static const char *certificate_name_check_email(const char *text)
{
    const char *at = strrchr(text, '@');
    if (at == NULL || at == text || memchr(text, '@', (size_t)(at - text)) != NULL) {
        return "it is no email address; write one as desk-1@example.com";
    }
    return certificate_name_check_domain(at + 1);
}

static const char *certificate_name_check_uri(const char *text)
{
    size_t scheme_bytes = strcspn(text, ":");
    bool is_good = scheme_bytes > 0 && strchr(certificate_name_letters, text[0]) != NULL &&
                   text[scheme_bytes] == ':' && text[scheme_bytes + 1] != '\0';
    for (const char *at = text; is_good && *at != '\0'; at++) {
        is_good = *at > ' ' && *at <= '~';
    }
    return is_good ? NULL : "it is no URI; write one as spiffe://example/desk-1";
}

static const char *certificate_name_check_cn(const char *text)
{
    size_t left = strlen(text);
    bool is_good = left > 0;
    while (is_good && left > 0) {
        struct utf8_character character = utf8_character_at(text, left);
        is_good = character.is_valid && character.is_printable;
        text += character.bytes;
        left -= character.bytes;
    }
    return is_good ? NULL : "it must be printable UTF-8 of at least one character";
}

static const char *certificate_name_check_spki(const char *text)
{
    bool is_good = strlen(text) == CERTIFICATE_NAME_DIGITS &&
                   certificate_name_consists_of(text, certificate_name_digits, "abcdefABCDEF");
    return is_good ? NULL : "it must be 64 hexadecimal digits";
}

static const struct certificate_name_kind {
    const char *prefix;
    const char *(*check)(const char *text);
    const char *folded_behind; /* Behind this character case does not matter; "": it does. */
} certificate_name_kinds[] = {
    {"uri:", certificate_name_check_uri, ""},
    {"dns:", certificate_name_check_domain, ":"},
    {"email:", certificate_name_check_email, "@"},
    {"cn:", certificate_name_check_cn, ""},
    {"spki-sha256:", certificate_name_check_spki, ":"},
};
#define CERTIFICATE_NAME_KINDS (sizeof certificate_name_kinds / sizeof certificate_name_kinds[0])

/* NULL: none of ours. */
static const struct certificate_name_kind *certificate_name_kind(const char *name)
{
    for (size_t i = 0; i < CERTIFICATE_NAME_KINDS; i++) {
        const char *prefix = certificate_name_kinds[i].prefix;
        if (strncmp(name, prefix, strlen(prefix)) == 0) {
            return &certificate_name_kinds[i];
        }
    }
    return NULL;
}

/* ---- Names ---- */

size_t certificate_name_fold(char out[CERTIFICATE_NAME_BYTES_MAX + 1], const char *name,
                             size_t name_bytes)
{
    if (name_bytes > CERTIFICATE_NAME_BYTES_MAX) {
        return 0;
    }
    memcpy(out, name, name_bytes);
    out[name_bytes] = '\0';
    const struct certificate_name_kind *kind = certificate_name_kind(out);
    char *at = kind == NULL || kind->folded_behind[0] == '\0'
                   ? NULL
                   : strrchr(out, kind->folded_behind[0]);
    for (; at != NULL && *at != '\0'; at++) {
        *at = (char)(*at >= 'A' && *at <= 'Z' ? *at | 0x20 : *at);
    }
    return name_bytes;
}

int certificate_name_read(char out[CERTIFICATE_NAME_BYTES_MAX + 1], const char *name,
                          size_t name_bytes, char *error_out, size_t error_bytes)
{
    if (name_bytes == 0 || certificate_name_fold(out, name, name_bytes) == 0) {
        snprintf(error_out, error_bytes, "a certificate must have 1 to %d bytes, not %zu",
                 CERTIFICATE_NAME_BYTES_MAX, name_bytes);
        return -EINVAL;
    }
    assert_always(memchr(name, '\0', name_bytes) == NULL); /* Our JSON has none. */
    const struct certificate_name_kind *kind = certificate_name_kind(out);
    const char *fault = kind == NULL ? "it must begin with uri:, dns:, email:, cn: or spki-sha256:"
                                     : kind->check(out + strlen(kind->prefix));
    if (fault != NULL) { /* Without the name: it may be a token in the wrong place. */
        snprintf(error_out, error_bytes, "certificate \"%s...\": %s",
                 kind == NULL ? "" : kind->prefix, fault);
    }
    return fault == NULL ? 0 : -EINVAL;
}

void certificate_name_cut(char *out, size_t out_bytes, const char *name)
{
    size_t bytes = strlen(name);
    assert_always(out_bytes > 0);
    bytes = bytes < out_bytes ? bytes : out_bytes - 1;
    while (bytes > 0 && name[bytes] != '\0' && ((unsigned char)name[bytes] & 0xc0) == 0x80) {
        bytes--; /* It is inside a character. */
    }
    memcpy(out, name, bytes);
    out[bytes] = '\0';
}
