#include "src/access/key_text.h"

#include <ctype.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "codec/base/check.h"
#include "src/base/json_depth.h"

#define KEY_TEXT_ENCODED_BYTES_MAX 8192 /* longer texts are not looked at as base64 */
#define KEY_TEXT_ENCODINGS_MAX 3        /* within each other */
#define KEY_TEXT_MINISIGN_BYTES 56      /* "Ed", the key's number, the key: in base64 */
#define KEY_TEXT_WORD_BYTES_MIN 40      /* shorter words in a text are no encoded keys */

static int key_text_digit(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

int key_text_base64url(uint8_t *out, size_t out_bytes, const char *text, size_t text_bytes)
{
    uint32_t bits = 0;
    uint32_t bit_count = 0;
    size_t count = 0;
    if (text_bytes % 4 == 1) {
        return -1;
    }
    for (size_t i = 0; i < text_bytes; i++) {
        int digit = key_text_digit(text[i]);
        if (digit < 0) {
            return -1;
        }
        bits = bits << 6 | (uint32_t)digit;
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            if (count == out_bytes) {
                return -1;
            }
            out[count++] = (uint8_t)(bits >> bit_count);
            bits &= (1u << bit_count) - 1;
        }
    }
    assert_always(count <= out_bytes);
    assert_debug(count == text_bytes * 3 / 4);
    return bits == 0 ? (int)count : -1;
}

bool key_text_is_blank(char c)
{
    return c != '\0' && strchr(KEY_TEXT_BLANKS, c) != NULL;
}

struct key_text key_text_trim_end(struct key_text text)
{
    while (text.bytes > 0 && key_text_is_blank(text.at[text.bytes - 1])) {
        text.bytes--;
    }
    return text;
}

bool key_text_begins(struct key_text text, const char *word)
{
    size_t bytes = strlen(word);
    return text.bytes >= bytes && strncasecmp(text.at, word, bytes) == 0;
}

struct key_text key_text_trim(struct key_text text)
{
    size_t mark_bytes = sizeof KEY_TEXT_BOM - 1;
    while (text.bytes > 0) {
        size_t bytes =
            key_text_begins(text, KEY_TEXT_BOM) ? mark_bytes : key_text_is_blank(text.at[0]);
        if (bytes == 0) {
            break;
        }
        assert_always(bytes <= text.bytes);
        text.at += bytes;
        text.bytes -= bytes;
    }
    return key_text_trim_end(text);
}

static bool key_text_has(struct key_text text, const char *word) /* in any case */
{
    while (text.bytes > 0 && !key_text_begins(text, word)) {
        text.at++;
        text.bytes--;
    }
    return text.bytes > 0;
}

/* ---- What a text is when it is not what it should be ---- */

/* noun: "it is ..."; remedy: what to do when a key is wanted. */
struct key_text_sign {
    const char *word;
    bool at_start; /* else anywhere */
    const char *noun, *remedy;
};

#define KEY_TEXT_SSH                                                                               \
    "an OpenSSH public key",                                                                       \
        "give a PEM, which the issuer writes with `openssl pkey -in PRIVATE -pubout`"

#define KEY_TEXT_DAMAGED "a PEM whose BEGIN line is damaged"
#define KEY_TEXT_NO_JWT "give a PEM public key (Ed25519) or a JWK set"
#define KEY_TEXT_MINISIGN "a key of minisign or signify", KEY_TEXT_NO_JWT
#define KEY_TEXT_TOKEN "a token", "give the key that it was signed with"
#define KEY_TEXT_LOOSE_JWK "a JWK without its quotation marks", "write it as JSON"

/* The first that fits. */
static const struct key_text_sign key_text_signs[] = {
    {"BEGIN SSH2", false, KEY_TEXT_SSH},
    {"-----BEGIN", false, "a PEM",
     "its BEGIN and END lines must be lines of their own, without other text"},
    {"-----END ", false, "a PEM without its BEGIN line", "copy all of it"},
    {"PuTTY-User-Key-File", true, "a private key of PuTTY",
     "leave it with the issuer, and give the public key as a PEM"},
    {"ssh-ed25519", false, KEY_TEXT_SSH},
    {"ssh-rsa ", false, KEY_TEXT_SSH},
    {"ssh-dss ", false, KEY_TEXT_SSH},
    {"ecdsa-sha2-", false, KEY_TEXT_SSH},
    {"AAAAC3NzaC1", false, KEY_TEXT_SSH},
    {"AAAAB3NzaC1", false, KEY_TEXT_SSH},
    {"AAAAE2VjZHNh", false, KEY_TEXT_SSH},
    {"PUBLIC KEY-", false, KEY_TEXT_DAMAGED, "it needs 5 dashes on each side"},
    {"BEGIN PUBLIC KEY", false, KEY_TEXT_DAMAGED, "it needs 5 dashes on each side"},
    {"BEGIN RSA PUBLIC KEY", false, KEY_TEXT_DAMAGED, "give an Ed25519 key"},
    {"PRIVATE KEY", false, KEY_TEXT_DAMAGED, "give the public key"},
    {"BEGIN CERTIFICATE", false, KEY_TEXT_DAMAGED, "give the public key"},
    {"age1", true, "a public key of age", KEY_TEXT_NO_JWT},
    {"AGE-SECRET-KEY-", false, "a private key of age", KEY_TEXT_NO_JWT},
    {"untrusted comment:", true, KEY_TEXT_MINISIGN},
    {"did:key:", true, "a public key of a DID", KEY_TEXT_NO_JWT},
    {"k4.public.", true, "a public key of PASETO", KEY_TEXT_NO_JWT},
    {"v=DKIM1", true, "a public key of DKIM", KEY_TEXT_NO_JWT},
    {"Modulus=", true, "a modulus of RSA", KEY_TEXT_NO_JWT},
    {"{kty:", true, KEY_TEXT_LOOSE_JWK},
    {"{'kty'", true, KEY_TEXT_LOOSE_JWK},
    {"\x1f\x8b\x08", true, "a file of gzip", "unpack it"},
    {"<!doctype", true, "a page of HTML", "download the key itself"},
    {"bearer eyJ", true, KEY_TEXT_TOKEN},
};
static const struct key_text_sign key_text_token = {NULL, false, KEY_TEXT_TOKEN};
static const struct key_text_sign key_text_page = {.noun = "a page of HTML or XML",
                                                   .remedy = "download the key itself"};
static const struct key_text_sign key_text_url = {
    .noun = "a URL", .remedy = "ringcast downloads nothing; give a file with its content"};
static const struct key_text_sign key_text_json = {
    .noun = "JSON", .remedy = "a JWK set is an object: {\"keys\":[...]}"};
static const struct key_text_sign key_text_utf16 = {.noun = "text in UTF-16",
                                                    .remedy = "save it as UTF-8"};
static const struct key_text_sign key_text_zeros = {
    .noun = "text in UTF-32, or a file of mostly zeros", .remedy = "save it as UTF-8"};
static const struct key_text_sign key_text_minisign = {NULL, false, KEY_TEXT_MINISIGN};
static const struct key_text_sign key_text_lines = {.noun = "text of several lines", .remedy = ""};
static const struct key_text_sign key_text_der = {
    .noun = "a key or a certificate in DER",
    .remedy = "convert a public key to PEM with `openssl pkey -pubin -inform DER -in FILE`"};

static bool key_text_is_url(struct key_text text)
{
    size_t bytes = 0;
    while (bytes < text.bytes && isalpha((unsigned char)text.at[bytes])) {
        bytes++;
    }
    struct key_text rest = {text.at + bytes, text.bytes - bytes};
    return bytes > 0 && key_text_begins(rest, "://");
}

static bool key_text_is_json(struct key_text text)
{
    if (text.bytes == 0 || memchr("{[\"", text.at[0], 3) == NULL) {
        return false;
    }
    json_t *root = json_depth_is_within(text.at, text.bytes, KEY_TEXT_DEPTH_MAX)
                       ? json_loadb(text.at, text.bytes, JSON_DECODE_ANY, NULL)
                       : NULL;
    json_decref(root);
    return root != NULL || key_text_has(text, "\"kty\"") || key_text_has(text, "\"keys\"");
}

bool key_text_is_utf16(struct key_text text)
{
    size_t zeros[2] = {0, 0};
    size_t start = text.bytes > 1 && (memcmp(text.at, "\xff\xfe", 2) == 0 ||
                                      memcmp(text.at, "\xfe\xff", 2) == 0)
                       ? 2
                       : 0;
    size_t pairs = (text.bytes - start) / 2;
    pairs = pairs < 8 ? pairs : 8;
    assert_always(start + 2 * pairs <= text.bytes);
    for (size_t i = 0; i < 2 * pairs; i++) {
        zeros[i % 2] += text.at[start + i] == '\0';
    }
    return pairs > 2 && zeros[0] + zeros[1] == pairs && (zeros[0] == 0 || zeros[1] == 0);
}

bool key_text_is_der(struct key_text text)
{
    const uint8_t *at = (const uint8_t *)text.at;
    size_t head = 2;
    if (text.bytes < 8 || at[0] != 0x30) {
        return false;
    }
    size_t bytes = at[1];
    if (bytes == 0x81) {
        bytes = at[2];
        head = 3;
    } else if (bytes == 0x82) {
        bytes = (size_t)at[2] << 8 | at[3];
        head = 4;
    }
    assert_always(head < text.bytes);
    return (at[head] == 0x30 || at[head] == 0x02) && head + bytes <= text.bytes &&
           head + bytes >= key_text_trim_end(text).bytes;
}

static bool key_text_is_mostly_zeros(struct key_text text)
{
    size_t zeros = 0;
    for (size_t i = 0; i < text.bytes; i++) {
        zeros += text.at[i] == '\0';
    }
    return text.bytes >= 8 && zeros >= text.bytes / 2;
}

static bool key_text_is_digit(char c) /* of base64 or base64url */
{
    return key_text_digit(c) >= 0 || c == '+' || c == '/';
}

/* ASCII in several lines, of which one is more than a word of base64: no secret is drawn so. */
static bool key_text_is_lines(struct key_text whole)
{
    struct key_text text = key_text_trim(whole);
    bool has_lines = false;
    bool has_more = false;
    for (size_t i = 0; i < text.bytes; i++) {
        char c = text.at[i];
        if (!key_text_is_blank(c) && (c < ' ' || c > '~')) {
            return false;
        }
        has_lines |= c == '\n' || c == '\r';
        has_more |=
            c == ' ' || c == '\t' || (!key_text_is_blank(c) && !key_text_is_digit(c) && c != '=');
    }
    return has_lines && has_more;
}

static const struct key_text_sign *key_text_find_sign(struct key_text whole)
{
    struct key_text text = key_text_trim(whole);
    for (size_t i = 0; i < sizeof key_text_signs / sizeof key_text_signs[0]; i++) {
        const struct key_text_sign *sign = &key_text_signs[i];
        if (sign->at_start ? key_text_begins(text, sign->word) : key_text_has(text, sign->word)) {
            return sign;
        }
    }
    if (key_text_is_der(whole)) {
        return &key_text_der;
    }
    if (key_text_is_utf16(whole)) {
        return &key_text_utf16;
    }
    if (key_text_is_mostly_zeros(whole)) {
        return &key_text_zeros;
    }
    if (key_text_is_json(text)) {
        return &key_text_json;
    }
    if (key_text_begins(text, "eyJ") && memchr(text.at, '.', text.bytes) != NULL) {
        return &key_text_token;
    }
    if (key_text_begins(text, "<") && (key_text_has(text, "</") || key_text_has(text, "/>"))) {
        return &key_text_page;
    }
    if (text.bytes == KEY_TEXT_MINISIGN_BYTES && memcmp(text.at, "RW", 2) == 0 &&
        text.at[2] >= 'Q' && text.at[2] <= 'T') { /* base64 of "Ed" */
        return &key_text_minisign;
    }
    return key_text_is_url(text) ? &key_text_url : NULL;
}

/* base64 or base64url, with blanks, with padding or without. Returns the length, -1: it is not. */
static int key_text_from_base64(uint8_t *out, size_t out_bytes, struct key_text text)
{
    char digits[KEY_TEXT_ENCODED_BYTES_MAX];
    size_t count = 0;
    while (text.bytes > 0 &&
           (text.at[text.bytes - 1] == '=' || key_text_is_blank(text.at[text.bytes - 1]))) {
        text.bytes--;
    }
    for (size_t i = 0; i < text.bytes; i++) {
        if (key_text_is_blank(text.at[i])) {
            continue;
        }
        if (count == sizeof digits) {
            return -1;
        }
        char c = text.at[i];
        digits[count++] = c == '+' ? '-' : c == '/' ? '_' : c;
    }
    int bytes = key_text_base64url(out, out_bytes, digits, count);
    OPENSSL_cleanse(digits, sizeof digits);
    return bytes;
}

static int key_text_from_hex(uint8_t *out, size_t out_bytes, struct key_text text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.bytes; i++) {
        if (key_text_is_blank(text.at[i]) || text.at[i] == ':') {
            continue;
        }
        if (!isxdigit((unsigned char)text.at[i]) || count / 2 == out_bytes) {
            return -1;
        }
        uint8_t digit =
            (uint8_t)(text.at[i] <= '9' ? text.at[i] - '0' : (text.at[i] | 32) - 'a' + 10);
        out[count / 2] = (uint8_t)(count % 2 == 0 ? digit << 4 : out[count / 2] | digit);
        count++;
    }
    assert_always(count / 2 <= out_bytes);
    return count % 2 == 0 ? (int)(count / 2) : -1;
}

/* What a text is looked at for. */
struct key_text_search {
    struct key_text wanted; /* .at NULL: any sign */
    const struct key_text_sign *sign;
    const char *encoding;
    bool is_found;
};

static const char *const key_text_encodings[] = {"", "base64 of ", "the hexadecimal digits of "};

static void key_text_look(struct key_text_search *search, struct key_text text, uint32_t depth,
                          uint32_t encoding);

static void key_text_look_within(struct key_text_search *search, struct key_text text,
                                 uint32_t depth, uint32_t outer)
{
    static int (*const decoders[])(uint8_t *, size_t, struct key_text) = {key_text_from_base64,
                                                                          key_text_from_hex};
    uint8_t decoded[KEY_TEXT_ENCODED_BYTES_MAX];
    for (uint32_t i = 0; i < 2 && !search->is_found; i++) {
        int bytes = decoders[i](decoded, sizeof decoded, text);
        assert_always(bytes <= (int)sizeof decoded);
        if (bytes > 0) {
            struct key_text inner = {(const char *)decoded, (size_t)bytes};
            key_text_look(search, inner, depth + 1, outer == 0 ? i + 1 : outer);
        }
    }
    OPENSSL_cleanse(decoded, sizeof decoded);
}

/* The text, what it is the encoding of, and what its long words are. */
static void key_text_look(struct key_text_search *search, struct key_text text, uint32_t depth,
                          uint32_t encoding)
{
    assert_always(depth <= KEY_TEXT_ENCODINGS_MAX); /* The end of the recursion. */
    assert_always(encoding < sizeof key_text_encodings / sizeof key_text_encodings[0]);
    if (search->wanted.at == NULL) {
        search->sign = key_text_find_sign(text);
        search->is_found = search->sign != NULL;
    } else {
        search->is_found =
            memmem(text.at, text.bytes, search->wanted.at, search->wanted.bytes) != NULL;
    }
    search->encoding = key_text_encodings[encoding];
    if (search->is_found || depth == KEY_TEXT_ENCODINGS_MAX) {
        return;
    }
    key_text_look_within(search, key_text_trim(text), depth, encoding);
    size_t start = 0;
    for (size_t i = 0; i <= text.bytes && !search->is_found; i++) {
        if (i < text.bytes && key_text_is_digit(text.at[i])) {
            continue;
        }
        if (i - start >= KEY_TEXT_WORD_BYTES_MIN && i - start < text.bytes) {
            struct key_text word = {text.at + start, i - start};
            key_text_look_within(search, word, depth, encoding);
        }
        start = i + 1;
    }
}

bool key_text_holds(struct key_text text, const void *bytes, size_t byte_count)
{
    struct key_text_search search = {.wanted = {bytes, byte_count}};
    assert_always(bytes != NULL);
    assert_always(byte_count > 0); /* Every text holds nothing. */
    key_text_look(&search, text, 0, 0);
    return search.is_found;
}

bool key_text_recognise(struct key_text text, bool is_key, char *out, size_t out_bytes)
{
    struct key_text_search search = {0};
    key_text_look(&search, text, 0, 0);
    const struct key_text_sign *sign = search.sign;
    const char *encoding = search.encoding;
    if (sign == NULL && !is_key && key_text_is_lines(text)) {
        sign = &key_text_lines;
        encoding = "";
    }
    if (sign == NULL) {
        return false;
    }
    assert_debug(sign->noun != NULL && sign->remedy != NULL);
    const char *remedy = sign->remedy;
    if (encoding[0] != '\0') {
        remedy = sign == &key_text_der && encoding == key_text_encodings[1]
                     ? "put it between the lines -----BEGIN PUBLIC KEY----- and -----END PUBLIC "
                       "KEY-----"
                     : "decode it";
    }
    snprintf(out, out_bytes, "it is %s%s%s%s", encoding, sign->noun, is_key ? "; " : "",
             is_key ? remedy : "");
    return true;
}
