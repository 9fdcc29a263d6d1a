/*
 * key_text: texts that hold keys, secrets and tokens, and what else a file of them may be.
 *
 * Owner    The caller; nothing is kept.
 * Threads  Any.
 * Source   RFC 7468 (PEM), 7515 (base64url), 4716 (SSH2), X.690 (DER).
 */
#ifndef RINGCAST_SRC_KEY_TEXT_H
#define RINGCAST_SRC_KEY_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEY_TEXT_DEPTH_MAX 32 /* brackets within each other, in JSON */
#define KEY_TEXT_BLANKS " \t\r\n\v\f"
#define KEY_TEXT_BOM "\xef\xbb\xbf"
#define KEY_TEXT_BEGIN "-----BEGIN "

/* It need not end with a zero. */
struct key_text {
    const char *at;
    size_t bytes;
};

bool key_text_is_blank(char c);
struct key_text key_text_trim_end(struct key_text text);
/* Without byte order marks and blanks around it. */
struct key_text key_text_trim(struct key_text text);
bool key_text_begins(struct key_text text, const char *word); /* in any case */

/* base64url without padding (RFC 7515 section 2); one text for one value: unused bits are 0.
 * Returns the length, -1: it is not that, or longer than out. */
int key_text_base64url(uint8_t *out, size_t out_bytes, const char *text, size_t text_bytes);

/* Every second byte of the first ones is zero. */
bool key_text_is_utf16(struct key_text text);

/* A sequence that begins with a sequence or an integer and is as long as the text, as all keys and
 * certificates are in DER. Blanks may follow. */
bool key_text_is_der(struct key_text text);

/* Whether the bytes are in a text, or in what the text or a long word of it is the base64 or the
 * hexadecimal digits of. */
bool key_text_holds(struct key_text text, const void *bytes, size_t byte_count);

/* Says what a text is: "it is a URL". is_key: and what to do when a key is wanted. false: it is
 * nothing that is known. Secrets that are drawn at random are nothing (but one in some millions).
 */
bool key_text_recognise(struct key_text text, bool is_key, char *out, size_t out_bytes);

#endif
