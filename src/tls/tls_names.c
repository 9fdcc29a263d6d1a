#include "src/tls/tls_names.h"

#include <errno.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "codec/base/check.h"

static int tls_names_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* NULL: it is no DNS name, or one with a zero in it. */
static const ASN1_IA5STRING *tls_names_dns(const GENERAL_NAMES *all, int i)
{
    int kind;
    const ASN1_IA5STRING *name = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(all, i), &kind);
    bool is_dns = kind == GEN_DNS && ASN1_STRING_length(name) > 0 &&
                  memchr(ASN1_STRING_get0_data(name), 0, (size_t)ASN1_STRING_length(name)) == NULL;
    return is_dns ? name : NULL;
}

static void tls_names_copy(struct tls_names *names, const GENERAL_NAMES *all, char *text)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
        const ASN1_IA5STRING *name = tls_names_dns(all, i);
        if (name == NULL) {
            continue;
        }
        size_t bytes = (size_t)ASN1_STRING_length(name);
        names->names[names->count++] = text;
        for (size_t at = 0; at < bytes; at++) {
            char c = (char)ASN1_STRING_get0_data(name)[at];
            *text++ = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
        }
        *text++ = '\0';
    }
    names->first = names->count == 0 ? NULL : names->names[0];
    qsort(names->names, names->count, sizeof names->names[0], tls_names_compare);
}

int tls_names_read(struct tls_names *names_out, X509 *certificate)
{
    *names_out = (struct tls_names){0};
    GENERAL_NAMES *all = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    size_t count = 0;
    size_t bytes = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
        const ASN1_IA5STRING *name = tls_names_dns(all, i);
        if (name != NULL) {
            count++;
            bytes += (size_t)ASN1_STRING_length(name) + 1;
        }
    }
    if (count > 0) {
        names_out->names = malloc(count * sizeof(char *) + bytes);
    }
    if (names_out->names != NULL) {
        tls_names_copy(names_out, all, (char *)(names_out->names + count));
        assert_always(names_out->count == count);
    }
    GENERAL_NAMES_free(all);
    return names_out->count == count ? 0 : -ENOMEM;
}

void tls_names_free(struct tls_names *names)
{
    free(names->names);
    *names = (struct tls_names){0};
}

bool tls_names_equal(const struct tls_names *a, const struct tls_names *b)
{
    assert_always((a->count > 0) == (a->names != NULL));
    bool is_equal = a->count == b->count;
    for (uint32_t i = 0; is_equal && i < a->count; i++) {
        is_equal = strcmp(a->names[i], b->names[i]) == 0;
    }
    return is_equal;
}

enum tls_names_match tls_names_match(const struct tls_names *names, const char *server_name)
{
    enum tls_names_match best = TLS_NAMES_NONE;
    const char *parent = strchr(server_name, '.'); /* "*" stands for what is before it */
    for (uint32_t i = 0; i < names->count; i++) {
        const char *name = names->names[i];
        if (strcasecmp(name, server_name) == 0) {
            return TLS_NAMES_EXACT;
        }
        if (name[0] == '*' && parent != NULL && parent > server_name &&
            strcasecmp(name + 1, parent) == 0) {
            best = TLS_NAMES_WILDCARD;
        }
    }
    return best;
}
