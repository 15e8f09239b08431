/* What tests of the core in several files share. */
#ifndef FIXTURES_CORE_H
#define FIXTURES_CORE_H

#include "check.h"

/* A context for each tier of this machine; 0 when there are no more. Start with *tier = 0. */
static int core_next_tier(int *tier, ssde_context *context) {
    for (++*tier; *tier < SSDE_TIER_COUNT; ++*tier) {
        memset(context, 0, sizeof *context);
        context->tier = (ssde_tier)*tier;
        if (ssde_tier_used(context) == context->tier) return 1;
    }
    return 0;
}

/* An allocator that counts, and refuses the request numbered `refuse` (from 0; -1: none). */
typedef struct counted_memory {
    long made, live, refuse;
    size_t bytes, most; /* asked for and not given back; the most there ever were */
} counted_memory;
enum { COUNTED_HEADER = 16 };

static void *counted_allocate(void *user, size_t size) {
    counted_memory *memory = (counted_memory *)user;
    char *block;
    if (memory->made++ == memory->refuse) return NULL;
    memory->live++;
    memory->bytes += size;
    if (memory->most < memory->bytes) memory->most = memory->bytes;
    block = (char *)malloc(COUNTED_HEADER + size);
    memcpy(block, &size, sizeof size);
    return block + COUNTED_HEADER;
}

static void counted_release(void *user, void *pointer) {
    char *block = (char *)pointer - COUNTED_HEADER;
    size_t size;
    memcpy(&size, block, sizeof size);
    ((counted_memory *)user)->bytes -= size;
    ((counted_memory *)user)->live--;
    free(block);
}

/* A context of that memory, which has counted nothing yet. */
static ssde_context counted_context(counted_memory *memory) {
    ssde_context context = ssde_context_defaults();
    memset(memory, 0, sizeof *memory);
    memory->refuse = -1;
    context.allocate = counted_allocate;
    context.release = counted_release;
    context.user = memory;
    return context;
}

/* Runs the pieces backwards: any order must do. */
static void core_backwards(void *user, size_t count, void (*function)(void *argument, size_t index), void *argument) {
    if (user) *(size_t *)user += count;
    while (count--) function(argument, count);
}

/* A file of these bytes; its path. */
static const char *write_file(const char *path, const void *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    CHECK(file && fwrite(bytes, 1, size, file) == size);
    if (file) fclose(file);
    return path;
}

/* Numbers that look random, from -1 to 1, without the library's own generator. */
static float core_number(size_t i) { return (float)((double)((i * 2654435761u + 12345u) % 65521u) / 32760.5 - 1.0); }

#define CORE_TEMPORARY "tests/tmp_core.bin"

/* Cut off anywhere: an error. Any byte of the header changed: a status, and memory released. */
static void core_hostile(const unsigned char *file, size_t size, size_t header,
                         ssde_status (*load)(ssde_context *context, const char *path, ssde_tensor *tensor)) {
    static const unsigned char flips[] = {0x01, 0x80, 0xff, 0x20};
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    ssde_tensor tensor;
    unsigned char copy[256];
    size_t i, f;
    for (i = 0; i <= size + 1; i++) {
        ssde_status status;
        memcpy(copy, file, size);
        copy[size] = 0;
        status = load(&context, write_file(CORE_TEMPORARY, copy, i), &tensor);
        CHECK((status == SSDE_OK) == (i == size));
        if (status != SSDE_OK) CHECK(!tensor.data && context.error[0]);
        ssde_tensor_release(&context, &tensor);
    }
    for (i = 0; i < header; i += check_quick ? 7 : 1) {
        for (f = 0; f < sizeof flips; f++) {
            ssde_status status;
            memcpy(copy, file, size);
            copy[i] = (unsigned char)(copy[i] ^ flips[f]);
            status = load(&context, write_file(CORE_TEMPORARY, copy, size), &tensor);
            CHECK((status == SSDE_OK) == (tensor.data != NULL));
            ssde_tensor_release(&context, &tensor);
        }
    }
    CHECK(memory.live == 0 && memory.made > 0);
    remove(CORE_TEMPORARY);
}

static ssde_context errors_context;

/* The call fails with a text of its own that contains these words. */
#define ERRORS_SAYS(words, call)                                                                                    \
    do {                                                                                                            \
        strcpy(errors_context.error, "stale");                                                                      \
        CHECK((call) != SSDE_OK);                                                                                   \
        check_count++;                                                                                              \
        if (!strcmp(errors_context.error, "stale") || !strstr(errors_context.error, words))                         \
            check_report(__FILE__, __LINE__, "%s: '%s' does not mention '%s'", #call, errors_context.error, words); \
    } while (0)

#endif
