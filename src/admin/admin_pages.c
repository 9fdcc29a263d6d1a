#include "src/admin/admin_pages.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"

#define ADMIN_PAGES_HASH_BYTES 32
#define ADMIN_PAGES_HASH_TEXT_BYTES 45 /* in base64, terminated */

/* ---- The files ---- */

#ifdef __clang__

#pragma clang diagnostic ignored "-Wc23-extensions"

/* clang-format off */
static const char admin_pages_index_text[] = {
#embed "pages/index.html"
};
static const char admin_pages_play_text[] = {
#embed "pages/play.html"
};
static const char admin_pages_ui_text[] = {
#embed "pages/ui.html"
};
/* clang-format on */

#define ADMIN_PAGES_BYTES(name) sizeof name

#else /* gcc before 15 has no #embed. It is run in the folder of the project. */

__asm__(".section .rodata\n"
        "admin_pages_index_text: .incbin \"src/admin/pages/index.html\"\n"
        "admin_pages_index_text_end: .byte 0\n"
        "admin_pages_play_text: .incbin \"src/admin/pages/play.html\"\n"
        "admin_pages_play_text_end: .byte 0\n"
        "admin_pages_ui_text: .incbin \"src/admin/pages/ui.html\"\n"
        "admin_pages_ui_text_end: .byte 0\n"
        ".previous\n");
extern const char admin_pages_index_text[];
extern const char admin_pages_index_text_end[];
extern const char admin_pages_play_text[];
extern const char admin_pages_play_text_end[];
extern const char admin_pages_ui_text[];
extern const char admin_pages_ui_text_end[];

#define ADMIN_PAGES_BYTES(name) (size_t)(name##_end - name)

#endif

struct admin_pages_file admin_pages_index(void)
{
    return (struct admin_pages_file){
        .text = admin_pages_index_text,
        .bytes = ADMIN_PAGES_BYTES(admin_pages_index_text),
    };
}

struct admin_pages_file admin_pages_play(void)
{
    return (struct admin_pages_file){
        .text = admin_pages_play_text,
        .bytes = ADMIN_PAGES_BYTES(admin_pages_play_text),
        .connects_to = "'self' ws: wss:",
    };
}

struct admin_pages_file admin_pages_ui(void)
{
    return (struct admin_pages_file){
        .text = admin_pages_ui_text,
        .bytes = ADMIN_PAGES_BYTES(admin_pages_ui_text),
        .connects_to = "'self'",
    };
}

/* ---- The list of paths ---- */

static bool admin_pages_is_link(const struct admin_pages_line *line)
{
    return strcmp(line->method, "GET") == 0;
}

static void admin_pages_put_line(FILE *file, const struct admin_pages_line *line)
{
    const char *path = line->shown.path;
    if (admin_pages_is_link(line)) {
        fprintf(file, "<dt><a href=\"%s\">%s</a></dt><dd>%s</dd>\n", path, path, line->shown.about);
    } else {
        fprintf(file, "<dt>%s</dt><dd>%s: %s</dd>\n", path, line->method, line->shown.about);
    }
}

char *admin_pages_write_index(const struct admin_pages_line *lines, size_t count, size_t *bytes_out)
{
    static const char mark[] = "<!-- paths -->";
    struct admin_pages_file page = admin_pages_index();
    const char *at = memmem(page.text, page.bytes, mark, sizeof mark - 1);
    assert_always(at != NULL);
    char *text = NULL;
    FILE *file = open_memstream(&text, bytes_out);
    if (file == NULL) {
        return NULL;
    }
    fwrite(page.text, 1, (size_t)(at - page.text), file);
    for (size_t i = 0; i < count; i++) {
        admin_pages_put_line(file, &lines[i]);
    }
    at += sizeof mark - 1;
    fwrite(at, 1, page.bytes - (size_t)(at - page.text), file);
    if (fclose(file) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

char *admin_pages_write_text(const struct admin_pages_line *lines, size_t count, size_t *bytes_out)
{
    char *text = NULL;
    FILE *file = open_memstream(&text, bytes_out);
    if (file == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        bool is_link = admin_pages_is_link(&lines[i]);
        fprintf(file, "%-20s %s%s%s\n", lines[i].shown.path, is_link ? "" : lines[i].method,
                is_link ? "" : ": ", lines[i].shown.about);
    }
    if (fclose(file) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* ---- Policies ---- */

/* A directive with the hash of each element of that name; nothing where there is none. */
static void admin_pages_put_hashes(FILE *file, const struct admin_pages_file *page,
                                   const char *element)
{
    char begin[16];
    char end[16];
    size_t begin_bytes = (size_t)snprintf(begin, sizeof begin, "<%s>", element);
    size_t end_bytes = (size_t)snprintf(end, sizeof end, "</%s>", element);
    const char *at = page->text;
    const char *page_end = page->text + page->bytes;
    bool is_first = true;
    while ((at = memmem(at, (size_t)(page_end - at), begin, begin_bytes)) != NULL) {
        unsigned char hash[ADMIN_PAGES_HASH_BYTES];
        unsigned char text[ADMIN_PAGES_HASH_TEXT_BYTES];
        at += begin_bytes;
        const char *close = memmem(at, (size_t)(page_end - at), end, end_bytes);
        assert_always(close != NULL);
        assert_always(EVP_Digest(at, (size_t)(close - at), hash, NULL, EVP_sha256(), NULL) == 1);
        EVP_EncodeBlock(text, hash, sizeof hash);
        if (is_first) {
            fprintf(file, "; %s-src", element);
        }
        fprintf(file, " 'sha256-%s'", (const char *)text);
        is_first = false;
        at = close;
    }
}

char *admin_pages_policy(const struct admin_pages_file *page)
{
    char *policy = NULL;
    size_t bytes;
    FILE *file = open_memstream(&policy, &bytes);
    if (file == NULL) {
        return NULL;
    }
    fprintf(file,
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    admin_pages_put_hashes(file, page, "style");
    admin_pages_put_hashes(file, page, "script");
    if (page->connects_to != NULL) {
        fprintf(file, "; connect-src %s", page->connects_to);
    }
    if (fclose(file) != 0) {
        free(policy);
        return NULL;
    }
    return policy;
}
