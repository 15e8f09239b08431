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

/* Counts what is allocated and fails the call number fail_at (from 1; 0: none). */
typedef struct core_allocator {
    size_t calls, fail_at, live;
} core_allocator;

static void *core_allocate(void *user, size_t size) {
    core_allocator *allocator = (core_allocator *)user;
    void *pointer;
    if (++allocator->calls == allocator->fail_at) return NULL;
    pointer = malloc(size);
    if (pointer) allocator->live++;
    return pointer;
}

static void core_release(void *user, void *pointer) {
    ((core_allocator *)user)->live--;
    free(pointer);
}

/* Runs the pieces backwards: any order must do. */
static void core_backwards(void *user, size_t count, void (*function)(void *argument, size_t index), void *argument) {
    if (user) *(size_t *)user += count;
    while (count--) function(argument, count);
}

static const char *core_file(const char *path, const void *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL);
    if (!file) return path;
    if (size) CHECK(fwrite(bytes, 1, size, file) == size);
    fclose(file);
    return path;
}

/* Numbers that look random, from -1 to 1, without the library's own generator. */
static float core_number(size_t i) { return (float)((double)((i * 2654435761u + 12345u) % 65521u) / 32760.5 - 1.0); }

#define CORE_TEMPORARY "tests/tmp_core.bin"

/* Cut off anywhere: an error. Any byte of the header changed: a status, and memory released. */
static void core_hostile(const unsigned char *file, size_t size, size_t header,
                         ssde_status (*load)(ssde_context *context, const char *path, ssde_tensor *tensor)) {
    static const unsigned char flips[] = {0x01, 0x80, 0xff, 0x20};
    core_allocator allocator;
    ssde_context context;
    ssde_tensor tensor;
    unsigned char copy[256];
    size_t i, f;
    memset(&allocator, 0, sizeof allocator);
    memset(&context, 0, sizeof context);
    context.allocate = core_allocate;
    context.release = core_release;
    context.user = &allocator;
    for (i = 0; i <= size + 1; i++) {
        ssde_status status;
        memcpy(copy, file, size);
        copy[size] = 0;
        status = load(&context, core_file(CORE_TEMPORARY, copy, i), &tensor);
        CHECK((status == SSDE_OK) == (i == size));
        if (status != SSDE_OK) CHECK(!tensor.data && context.error[0]);
        ssde_tensor_release(&context, &tensor);
    }
    for (i = 0; i < header; i += check_quick ? 7 : 1) {
        for (f = 0; f < sizeof flips; f++) {
            ssde_status status;
            memcpy(copy, file, size);
            copy[i] = (unsigned char)(copy[i] ^ flips[f]);
            status = load(&context, core_file(CORE_TEMPORARY, copy, size), &tensor);
            CHECK((status == SSDE_OK) == (tensor.data != NULL));
            ssde_tensor_release(&context, &tensor);
        }
    }
    CHECK(allocator.live == 0 && allocator.calls > 0);
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
