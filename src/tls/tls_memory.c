#include "src/tls/tls_memory.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"

static void *tls_memory_allocate(size_t bytes, const char *file, int line)
{
    (void)file;
    (void)line;
    return malloc(bytes);
}

static void tls_memory_free(void *memory, const char *file, int line)
{
    (void)file;
    (void)line;
    if (memory != NULL) {
        explicit_bzero(memory, malloc_usable_size(memory));
        free(memory);
    }
}

/* realloc() would leave a copy behind where it moves. */
static void *tls_memory_resize(void *memory, size_t bytes, const char *file, int line)
{
    void *fresh = bytes == 0 ? NULL : tls_memory_allocate(bytes, file, line);
    if (fresh == NULL && bytes > 0) {
        return NULL;
    }
    if (memory != NULL && fresh != NULL) {
        size_t room = malloc_usable_size(memory);
        memcpy(fresh, memory, room < bytes ? room : bytes);
    }
    tls_memory_free(memory, file, line);
    return fresh;
}

void tls_memory_wipe(void)
{
    int is_set = CRYPTO_set_mem_functions(tls_memory_allocate, tls_memory_resize, tls_memory_free);
    assert_always(is_set == 1);
}
