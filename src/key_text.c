#include "src/key_text.h"

#include <ctype.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "src/json_depth.h"

#define KEY_TEXT_ENCODED_BYTES_MAX 8192 /* longer texts are not looked at as base64 */

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
        text.at += bytes;
        text.bytes -= bytes;
    }
    return key_text_trim_end(text);
}

static bool key_text_has(struct key_text text, const char *word)
{
    return memmem(text.at, text.bytes, word, strlen(word)) != NULL;
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
        "a PEM is wanted: `openssl pkey -in PRIVATE -pubout` at the issuer writes it"

/* The first that fits. */
static const struct key_text_sign key_text_signs[] = {
    {"BEGIN SSH2", false, KEY_TEXT_SSH},
    {KEY_TEXT_BEGIN, false, "a PEM",
     "its lines BEGIN and END must each be a line of its own, and nothing may be around them"},
    {"-----END ", false, "a PEM without its BEGIN line", "copy the whole of it"},
    {"PuTTY-User-Key-File", true, "a private key of PuTTY",
     "leave it with the issuer, and give the public key as a PEM"},
    {"ssh-ed25519", false, KEY_TEXT_SSH},
    {"ssh-rsa ", false, KEY_TEXT_SSH},
    {"ssh-dss ", false, KEY_TEXT_SSH},
    {"ecdsa-sha2-", false, KEY_TEXT_SSH},
    {"AAAAC3NzaC1", false, KEY_TEXT_SSH},
    {"AAAAB3NzaC1", false, KEY_TEXT_SSH},
    {"AAAAE2VjZHNh", false, KEY_TEXT_SSH},
    {"BEGIN PUBLIC KEY", false, "a PEM whose BEGIN line is damaged",
     "it has 5 dashes on each side"},
    {"PRIVATE KEY", false, "a PEM whose BEGIN line is damaged", "give the public key"},
    {"BEGIN CERTIFICATE", false, "a PEM whose BEGIN line is damaged", "give the public key"},
    {"<!doctype", true, "a page of HTML", "download the key itself"},
    {"bearer eyJ", true, "a token", "give the key that it was signed with"},
};
static const struct key_text_sign key_text_token = {
    .noun = "a token", .remedy = "give the key that it was signed with"};
static const struct key_text_sign key_text_page = {.noun = "a page of HTML or XML",
                                                   .remedy = "download the key itself"};
static const struct key_text_sign key_text_url = {
    .noun = "a URL", .remedy = "nothing is downloaded; give a file with what is there"};
static const struct key_text_sign key_text_json = {
    .noun = "JSON", .remedy = "a JWK set is an object: {\"keys\":[...]}"};
static const struct key_text_sign key_text_utf16 = {.noun = "text in UTF-16",
                                                    .remedy = "save it as UTF-8"};
static const struct key_text_sign key_text_der = {
    .noun = "a key or a certificate in DER",
    .remedy = "`openssl pkey -pubin -inform DER -in FILE` writes a public key as a PEM"};

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
    return (at[head] == 0x30 || at[head] == 0x02) && head + bytes <= text.bytes &&
           head + bytes >= key_text_trim_end(text).bytes;
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
    if (key_text_is_json(text)) {
        return &key_text_json;
    }
    if (key_text_begins(text, "eyJ") && memchr(text.at, '.', text.bytes) != NULL) {
        return &key_text_token;
    }
    if (key_text_begins(text, "<") && (key_text_has(text, "</") || key_text_has(text, "/>"))) {
        return &key_text_page;
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
    return count % 2 == 0 ? (int)(count / 2) : -1;
}

bool key_text_recognise(struct key_text text, bool is_key, char *out, size_t out_bytes)
{
    static int (*const decoders[])(uint8_t *, size_t, struct key_text) = {key_text_from_base64,
                                                                          key_text_from_hex};
    static const char *const encodings[] = {"base64 of ", "the hexadecimal digits of "};
    uint8_t decoded[KEY_TEXT_ENCODED_BYTES_MAX];
    const char *encoding = "";
    const struct key_text_sign *sign = key_text_find_sign(text);
    for (size_t i = 0; i < 2 && sign == NULL; i++) {
        int bytes = decoders[i](decoded, sizeof decoded, key_text_trim(text));
        if (bytes > 0) {
            struct key_text inner = {(const char *)decoded, (size_t)bytes};
            sign = key_text_find_sign(inner);
            encoding = encodings[i];
        }
    }
    OPENSSL_cleanse(decoded, sizeof decoded);
    if (sign == NULL) {
        return false;
    }
    const char *remedy = sign->remedy;
    if (encoding[0] != '\0') {
        remedy = sign == &key_text_der && encoding == encodings[0]
                     ? "put it between the lines -----BEGIN PUBLIC KEY----- and -----END PUBLIC "
                       "KEY-----"
                     : "decode it";
    }
    snprintf(out, out_bytes, "it is %s%s%s%s", encoding, sign->noun, is_key ? "; " : "",
             is_key ? remedy : "");
    return true;
}
