/* Tests of scoresde.h: random numbers, tensors, files. */
#ifndef TEST_CORE_RANDOM_TENSOR_H
#define TEST_CORE_RANDOM_TENSOR_H

#define TEST_CORE_RANDOM_TENSOR_LIST(X) \
    X(random_known_answers)             \
    X(random_tiers_match_plain)         \
    X(random_addressing)                \
    X(random_normal_accuracy)           \
    X(random_normal_statistics)         \
    X(random_uniform_statistics)        \
    X(random_no_collisions)             \
    X(random_parallel)                  \
    X(random_arguments)                 \
    X(random_dequantise)                \
    X(tensor_create)                    \
    X(tensor_binary)                    \
    X(tensor_unary)                     \
    X(tensor_reduce)                    \
    X(tensor_matmul)                    \
    X(tensor_product_tiles)             \
    X(tensor_product_deep)              \
    X(tensor_arguments)                 \
    X(npy_round_trip)                   \
    X(npy_types)                        \
    X(npy_headers)                      \
    X(npy_rounding)                     \
    X(npy_fortran)                      \
    X(files_of_other_kinds)             \
    X(npy_hostile)                      \
    X(idx_load)                         \
    X(cifar10_load)                     \
    X(files_failing_allocator)          \
    X(memory_objects)                   \
    X(files_unwritable)                 \
    X(image_grid)

/* ---- helpers ---- */

/* A context for each tier of this machine; 0 when there are no more. Start with *tier = 0. */
static int core_next_tier(int *tier, ssde_context *context) {
    for (++*tier; *tier <= SSDE_TIER_AVX512; ++*tier) {
        memset(context, 0, sizeof *context);
        context->tier = (ssde_tier)*tier;
        if (ssde_tier_used(context) == context->tier) return 1;
    }
    return 0;
}

/* The words of a row, one block at a time by ssde_philox. */
static void core_plain_words(uint64_t seed, int stream, uint32_t step, uint64_t sample, size_t dim, uint32_t *out) {
    uint32_t counter[4], key[2], words[4] = {0, 0, 0, 0};
    size_t i;
    key[0] = (uint32_t)seed;
    key[1] = (uint32_t)(seed >> 32);
    counter[1] = step;
    counter[2] = (uint32_t)sample;
    counter[3] = (uint32_t)(sample >> 32) | (uint32_t)stream << 16;
    for (i = 0; i < dim; i++) {
        counter[0] = (uint32_t)(i / 4);
        if (i % 4 == 0) ssde_philox(counter, key, words);
        out[i] = words[i % 4];
    }
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

/* ---- random ---- */

/* The published vectors of Random123 for philox4x32-10. */
static void test_random_known_answers(void) {
    static const uint32_t vectors[3][10] = {{0, 0, 0, 0, 0, 0, 0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u},
                                            {0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu,
                                             0xffffffffu, 0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu},
                                            {0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u, 0xa4093822u,
                                             0x299f31d0u, 0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}};
    ssde_context context;
    uint32_t words[4];
    int i, tier = 0, tiers = 0;
    for (i = 0; i < 3; i++) {
        ssde_philox(vectors[i], vectors[i] + 4, words);
        CHECK_SAME(words, vectors[i] + 6, sizeof words);
    }
    while (core_next_tier(&tier, &context)) {
        CHECK_OK(ssde_random_words(&context, 0, 0, 0, NULL, 1, 4, words));
        CHECK_SAME(words, vectors[0] + 6, sizeof words);
        tiers++;
    }
    CHECK(tiers >= 1);
}

/* Every tier gives the plain generator's words, and all give the scalar tier's uniforms, normals and signs, for rows of
   every kind: shorter than a block, a vector, or neither. */
static void test_random_tiers_match_plain(void) {
    static const size_t dims[] = {1, 2, 3, 4, 5, 7, 8, 16, 31, 63, 64, 65, 100, 200, 784};
    enum { ROWS = 19, MOST = ROWS * 784 };
    uint32_t *plain = (uint32_t *)malloc(MOST * sizeof *plain), *words = (uint32_t *)malloc(MOST * sizeof *words);
    float *first[3], *values = (float *)malloc(MOST * sizeof *values);
    uint64_t sample[ROWS], seed = 0x0123456789abcdefu;
    size_t d, r, i;
    int kind;
    for (kind = 0; kind < 3; kind++) first[kind] = (float *)malloc(MOST * sizeof *first[kind]);
    for (r = 0; r < ROWS; r++) sample[r] = ((uint64_t)r * 0x9e3779b97f4a7c15u) >> 16;
    for (d = 0; d < sizeof dims / sizeof dims[0]; d++) {
        size_t dim = dims[d], count = ROWS * dim;
        ssde_context context;
        int tier = 0;
        for (r = 0; r < ROWS; r++) core_plain_words(seed, 0xbeef, 77, sample[r], dim, plain + r * dim);
        while (core_next_tier(&tier, &context)) {
            CHECK_OK(ssde_random_words(&context, seed, 0xbeef, 77, sample, ROWS, dim, words));
            CHECK_SAME(words, plain, count * sizeof *words);
            for (kind = 0; kind < 3; kind++) {
                float *to = tier == SSDE_TIER_SCALAR ? first[kind] : values;
                CHECK_OK((kind == 0   ? ssde_random_uniform
                          : kind == 1 ? ssde_random_normal
                                      : ssde_random_sign)(&context, seed, 0xbeef, 77, sample, ROWS, dim, to));
                CHECK_SAME(to, first[kind], count * sizeof *to);
            }
        }
        for (i = 0; i < count; i++) {
            CHECK(first[0][i] == (float)(plain[i] >> 8) / 16777216.0f);
            CHECK(first[2][i] == (plain[i] >> 31 ? -1.0f : 1.0f));
        }
    }
    for (kind = 0; kind < 3; kind++) free(first[kind]);
    free(plain), free(words), free(values);
}

/* A number depends on its address alone: not on the length of the row, the rows drawn with it or their order. */
static void test_random_addressing(void) {
    enum { ROWS = 40, DIM = 100 };
    static float all[ROWS][DIM], some[7][DIM], shorter[ROWS * 7], one[DIM];
    static const size_t order[7] = {5, 39, 0, 5, 17, 38, 1};
    const uint64_t last = ((uint64_t)1 << 48) - 1, near_last[3] = {last, last - 1, (uint64_t)1 << 32};
    uint64_t sample[7], middle = 17;
    ssde_context context;
    int tier = 0;
    size_t r;
    while (core_next_tier(&tier, &context)) {
        CHECK_OK(ssde_random_normal(&context, 9, SSDE_STREAM_NOISE, 3, NULL, ROWS, DIM, all[0]));
        CHECK_OK(ssde_random_normal(&context, 9, SSDE_STREAM_NOISE, 3, NULL, ROWS, 7, shorter));
        for (r = 0; r < ROWS; r++) CHECK_SAME(shorter + 7 * r, all[r], 7 * sizeof(float));
        for (r = 0; r < 7; r++) sample[r] = order[r];
        CHECK_OK(ssde_random_normal(&context, 9, SSDE_STREAM_NOISE, 3, sample, 7, DIM, some[0]));
        for (r = 0; r < 7; r++) CHECK_SAME(some[r], all[order[r]], DIM * sizeof(float));
        CHECK_OK(ssde_random_normal(&context, 9, SSDE_STREAM_NOISE, 3, &middle, 1, DIM, one));
        CHECK_SAME(one, all[17], sizeof one);
        CHECK_OK(ssde_random_normal(&context, 9, SSDE_STREAM_NOISE, 3, near_last, 3, DIM, some[0]));
        CHECK_OK(ssde_random_normal(&context, 9, SSDE_STREAM_NOISE, 3, near_last + 2, 1, DIM, one));
        CHECK_SAME(one, some[2], sizeof one);
        CHECK(memcmp(some[0], some[1], sizeof one) != 0);
        CHECK(memcmp(some[2], all[0], sizeof one) != 0); /* the upper half of the sample counts */
    }
}

/* Against Box-Muller in double on the same words. u1 is the float the definition names, since near 1 its rounding is
   the draw. What is left: 1 ulp of the logarithm, halved by the root, roundings of root and product, 2 ulp of the sine
   (conversion, pi's constant, polynomial): 4 ulp of the result. */
static void test_random_normal_accuracy(void) {
    const size_t count = check_quick ? 4096 : 200000;
    uint32_t *words = (uint32_t *)malloc(count * sizeof *words);
    float *normals = (float *)malloc(count * sizeof *normals);
    double worst = 0.0;
    size_t i;
    CHECK_OK(ssde_random_words(NULL, 5, 1, 2, NULL, 1, count, words));
    CHECK_OK(ssde_random_normal(NULL, 5, 1, 2, NULL, 1, count, normals));
    for (i = 0; i + 2 <= count; i += 2) {
        float u1 = (float)(words[i] >> 1) * 4.656612873077393e-10f + 2.3283064365386963e-10f;
        double radius = sqrt(-2.0 * log((double)u1));
        double angle = 2.0 * SSDEI_PI * ((double)words[i + 1] + 0.5) / 4294967296.0;
        double expected[2];
        int j;
        expected[0] = radius * cos(angle);
        expected[1] = radius * sin(angle);
        for (j = 0; j < 2; j++) {
            double error = fabs((double)normals[i + (size_t)j] - expected[j]);
            double ulps = error / (fabs(expected[j]) * 1.1920929e-7 + 1e-30);
            if (!(ulps <= worst)) worst = ulps;
        }
    }
    CHECK(worst <= 4.0);
    { /* and the same bits on every tier, for many more values than the shapes above */
        float *other = (float *)malloc(count * sizeof *other);
        ssde_context context;
        int tier = 0;
        while (core_next_tier(&tier, &context)) {
            CHECK_OK(ssde_random_normal(&context, 5, 1, 2, NULL, 1, count, other));
            CHECK_SAME(other, normals, count * sizeof *other);
        }
        free(other);
    }
    free(words), free(normals);
}

/* The largest |F_n - F| of sorted values. */
static int core_compare(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}
static double core_kolmogorov(float *values, size_t count, double (*distribution)(double)) {
    double worst = 0.0;
    size_t i;
    qsort(values, count, sizeof *values, core_compare);
    for (i = 0; i < count; i++) {
        double f = distribution((double)values[i]);
        double above = (double)(i + 1) / (double)count - f, below = f - (double)i / (double)count;
        if (above > worst) worst = above;
        if (below > worst) worst = below;
    }
    return worst;
}
static double core_normal_distribution(double x) { return 0.5 * erfc(-x / sqrt(2.0)); }
static double core_uniform_distribution(double x) { return x; }

/* Moments within 5 standard errors (sqrt of 1, 2, 15, 96 over n for the 1st to 4th), neighbours uncorrelated, and
   Kolmogorov's statistic below 2.2 / sqrt(n), which chance exceeds once in 8,000: 2 exp(-2 * 2.2^2). */
static void test_random_normal_statistics(void) {
    const size_t dims[2] = {2, 1000};
    const size_t count = check_quick ? 20000 : 200000;
    float *x = (float *)malloc(count * sizeof *x);
    size_t i, d, lag;
    for (d = 0; d < 2; d++) {
        double moment[5] = {0, 0, 0, 0, 0}, n = (double)count, largest = 0.0;
        CHECK_OK(ssde_random_normal(NULL, 2024, SSDE_STREAM_PRIOR, 0, NULL, count / dims[d], dims[d], x));
        for (i = 0; i < count; i++) {
            double v = (double)x[i];
            moment[1] += v / n, moment[2] += v * v / n, moment[3] += v * v * v / n, moment[4] += v * v * v * v / n;
            if (fabs(v) > largest) largest = fabs(v);
        }
        CHECK_NEAR(moment[1], 0.0, 5.0 / sqrt(n));
        CHECK_NEAR(moment[2], 1.0, 5.0 * sqrt(2.0 / n));
        CHECK_NEAR(moment[3], 0.0, 5.0 * sqrt(15.0 / n));
        CHECK_NEAR(moment[4], 3.0, 5.0 * sqrt(96.0 / n));
        CHECK(largest > 3.5 && largest <= 6.7);
        for (lag = 1; lag <= 4; lag++) { /* of values, and of squares: a shared radius would show */
            double products = 0.0, squares = 0.0;
            for (i = 0; i + lag < count; i++) {
                double a = (double)x[i], b = (double)x[i + lag];
                products += a * b / n;
                squares += (a * a - 1.0) * (b * b - 1.0) / n;
            }
            CHECK_NEAR(products, 0.0, 5.0 / sqrt(n));
            CHECK_NEAR(squares, 0.0, 5.0 * 2.0 / sqrt(n));
        }
        CHECK(core_kolmogorov(x, count, core_normal_distribution) < 2.2 / sqrt(n));
    }
    free(x);
}

/* The same thresholds; signs: the sum of n of them has standard deviation sqrt(n). */
static void test_random_uniform_statistics(void) {
    const size_t count = check_quick ? 20000 : 200000;
    float *x = (float *)malloc(count * sizeof *x);
    double n = (double)count, mean = 0.0, sum = 0.0, smallest = 1.0, largest = 0.0;
    size_t i;
    CHECK_OK(ssde_random_uniform(NULL, 7, SSDE_STREAM_TIME, 1, NULL, count / 50, 50, x));
    for (i = 0; i < count; i++) {
        mean += (double)x[i] / n;
        if (!(x[i] >= 0.0f && x[i] < 1.0f)) check_report(__FILE__, __LINE__, "uniform %g", (double)x[i]);
    }
    CHECK_NEAR(mean, 0.5, 5.0 * sqrt(1.0 / 12.0 / n));
    CHECK(core_kolmogorov(x, count, core_uniform_distribution) < 2.2 / sqrt(n));
    CHECK_OK(ssde_random_sign(NULL, 7, SSDE_STREAM_PROBE, 1, NULL, count / 50, 50, x));
    for (i = 0; i < count; i++) {
        sum += (double)x[i];
        if (x[i] != 1.0f && x[i] != -1.0f) check_report(__FILE__, __LINE__, "sign %g", (double)x[i]);
    }
    CHECK_NEAR(sum, 0.0, 5.0 * sqrt(n));
    for (mean = 0.0, i = 0; i < count; i++) {
        double u = ssde_random_double(7, SSDE_STREAM_TIME, 2, (uint64_t)i << 20, (uint32_t)i);
        mean += u / n;
        if (u < smallest) smallest = u;
        if (u > largest) largest = u;
        x[i] = (float)u;
    }
    {
        uint32_t words[8];
        CHECK_OK(ssde_random_words(NULL, 7, SSDE_STREAM_TIME, 2, NULL, 1, 8, words)); /* block 1 begins at word 4 */
        CHECK(ssde_random_double(7, SSDE_STREAM_TIME, 2, 0, 1) ==
              ldexp((double)(words[4] >> 6), -26) + ldexp((double)(words[5] >> 6) + 0.5, -52));
    }
    CHECK(smallest > 0.0 && largest < 1.0 && smallest < 100.0 / n && largest > 1.0 - 100.0 / n);
    CHECK_NEAR(mean, 0.5, 5.0 * sqrt(1.0 / 12.0 / n));
    CHECK(core_kolmogorov(x, count, core_uniform_distribution) < 2.2 / sqrt(n));
    free(x);
}

/* No two addresses that differ in seed, stream, step, sample or block share a word. Of 16 million pairs among 4,000
   blocks, about 0.004 are equal in a given word by chance, none in two. */
static int core_compare_words(const void *a, const void *b) { return memcmp(a, b, 8); }
static void test_random_no_collisions(void) {
    static uint32_t first[4096][2];
    size_t n = 0, i;
    int bit, j;
    for (bit = 0; bit < 64; bit++) {
        uint64_t one = (uint64_t)1 << bit;
        uint32_t row[40];
        for (j = 0; j < 5; j++) {
            uint64_t seed = j == 0 ? one : 0, sample = j == 1 && bit < 48 ? one : 0;
            uint32_t step = j == 2 && bit < 32 ? (uint32_t)one : 0;
            int stream = j == 3 && bit < 16 ? (int)one : 0;
            if (j && !sample && !step && !stream && (j < 4 || bit)) continue;
            CHECK_OK(ssde_random_words(NULL, seed, stream, step, &sample, 1, 40, row));
            for (i = 0; i < 10; i++) memcpy(first[n++], row + 4 * i, 8);
        }
    }
    qsort(first, n, sizeof first[0], core_compare_words);
    CHECK(n > 1500);
    for (i = 1; i < n; i++) CHECK(memcmp(first[i - 1], first[i], 8) != 0);
}

/* Large draws are cut into pieces, which in any order give the same. */
static void test_random_parallel(void) {
    static const size_t shapes[][2] = {{70000, 1}, {33000, 2}, {300, 784}, {3, 40000}};
    size_t s, pieces;
    for (s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        size_t rows = shapes[s][0], dim = shapes[s][1], r;
        float *cut = (float *)malloc(rows * dim * sizeof *cut), *row = (float *)malloc(dim * sizeof *row);
        ssde_context context;
        memset(&context, 0, sizeof context);
        pieces = 0;
        context.parallel_for = core_backwards;
        context.user = &pieces;
        CHECK_OK(ssde_random_normal(&context, 3, 4, 5, NULL, rows, dim, cut));
        CHECK(pieces > 1);
        for (r = 0; r < rows; r += rows / 97 + 1) {
            uint64_t number = r;
            CHECK_OK(ssde_random_normal(NULL, 3, 4, 5, &number, 1, dim, row));
            CHECK_SAME(row, cut + r * dim, dim * sizeof *row);
        }
        free(cut), free(row);
    }
}

static void test_random_arguments(void) {
    ssde_context context;
    uint64_t large[2] = {1, (uint64_t)1 << 48};
    uint32_t words[4];
    float x[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    ssde_rng rng = ssde_rng_seed(42);
    CHECK(rng.seed == 42 && rng.next_sample == 0);
    memset(&context, 0, sizeof context);
    CHECK_FAILS(&context, ssde_random_words(&context, 1, 0, 0, NULL, 1, 4, NULL), SSDE_ERROR_ARGUMENT, "out");
    CHECK_FAILS(&context, ssde_random_normal(&context, 1, 0, 0, NULL, 0, 4, x), SSDE_ERROR_ARGUMENT, "rows");
    CHECK_FAILS(&context, ssde_random_sign(&context, 1, 0, 0, NULL, 1, 0, x), SSDE_ERROR_ARGUMENT, "dim");
    CHECK_FAILS(&context, ssde_random_uniform(&context, 1, -1, 0, NULL, 1, 4, x), SSDE_ERROR_ARGUMENT, "stream is -1");
    CHECK_FAILS(&context, ssde_random_uniform(&context, 1, 65536, 0, NULL, 1, 4, x), SSDE_ERROR_ARGUMENT, "65536");
    CHECK_FAILS(&context, ssde_random_uniform(&context, 1, 0, 0, large, 2, 4, x), SSDE_ERROR_ARGUMENT, "sample[1]");
    CHECK_FAILS(&context, ssde_random_normal(&context, 1, 0, 0, NULL, SIZE_MAX / 2, 4, x), SSDE_ERROR_ARGUMENT,
                "memory");
    if (SIZE_MAX > 0xffffffffu) {
        size_t beyond = (size_t)1 << 31;
        CHECK_FAILS(&context, ssde_random_normal(&context, 1, 0, 0, NULL, 1, 2 * beyond + 1, x), SSDE_ERROR_ARGUMENT,
                    "2^32");
    }
    CHECK_STATUS(ssde_random_words(NULL, 1, 0, 0, NULL, 1, 4, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_OK(ssde_random_words(NULL, 1, 65535, 0, NULL, 1, 4, words));
    CHECK_FAILS(&context, ssde_dequantise(&context, 1, 0, NULL, NULL, 1, 8, 8, 0, 1, x), SSDE_ERROR_ARGUMENT, "values");
    CHECK_FAILS(&context, ssde_dequantise(&context, 1, 0, NULL, x, 1, 8, 7, 0, 1, x), SSDE_ERROR_ARGUMENT, "element 7");
    CHECK_FAILS(&context, ssde_dequantise(&context, 1, 0, NULL, x, 1, 8, 0.5, 0, 1, x), SSDE_ERROR_ARGUMENT, "levels");
    CHECK_FAILS(&context, ssde_dequantise(&context, 1, 0, NULL, x, 1, 8, NAN, 0, 1, x), SSDE_ERROR_ARGUMENT, "levels");
    CHECK_FAILS(&context, ssde_dequantise(&context, 1, 0, NULL, x, 1, 8, 8, 1, 1, x), SSDE_ERROR_ARGUMENT, "low");
    x[3] = 2.5f;
    CHECK_FAILS(&context, ssde_dequantise(&context, 1, 0, NULL, x, 2, 4, 8, 0, 1, x), SSDE_ERROR_ARGUMENT, "2.5");
    CHECK(x[0] == 0.0f && x[7] == 7.0f); /* untouched */
    x[3] = NAN;
    CHECK_FAILS(&context, ssde_dequantise(&context, 1, 0, NULL, x, 2, 4, 8, 0, 1, x), SSDE_ERROR_ARGUMENT, "row 0");
}

/* Each value lands in its own level, uniformly; in place or not, by any rows; by the uniforms of its address. */
static void test_random_dequantise(void) {
    enum { ROWS = 500, DIM = 17 };
    static float values[ROWS][DIM], out[ROWS][DIM], uniform[ROWS][DIM], one[DIM];
    double mean = 0.0, square = 0.0, n = ROWS * DIM;
    uint64_t number = 123;
    size_t r, i;
    for (r = 0; r < ROWS; r++)
        for (i = 0; i < DIM; i++) values[r][i] = (float)((r + i) % 17);
    CHECK_OK(ssde_dequantise(NULL, 8, 4, NULL, values[0], ROWS, DIM, 17, -1, 1, out[0]));
    CHECK_OK(ssde_random_uniform(NULL, 8, SSDE_STREAM_DEQUANTISATION, 4, NULL, ROWS, DIM, uniform[0]));
    for (r = 0; r < ROWS; r++) {
        for (i = 0; i < DIM; i++) {
            double u = ((double)out[r][i] + 1.0) / 2.0 * 17.0 - (double)values[r][i];
            mean += u / n;
            square += u * u / n;
            CHECK_NEAR(u, uniform[r][i], 17.0 * 6e-8); /* the rounding of a float up to 1, times levels / 2 */
        }
    }
    CHECK_NEAR(mean, 0.5, 5.0 * sqrt(1.0 / 12.0 / n));
    CHECK_NEAR(square, 1.0 / 3.0, 5.0 * sqrt(4.0 / 45.0 / n));
    CHECK_OK(ssde_dequantise(NULL, 8, 4, &number, values[123], 1, DIM, 17, -1, 1, one));
    CHECK_SAME(one, out[123], sizeof one);
    CHECK_OK(ssde_dequantise(NULL, 8, 4, NULL, values[0], ROWS, DIM, 17, -1, 1, values[0]));
    CHECK_SAME(values, out, sizeof out);
}

/* ---- tensors ---- */

static void test_tensor_create(void) {
    const size_t shape[4] = {2, 3, 4, 5};
    const size_t huge[4] = {SIZE_MAX / 2, SIZE_MAX / 2, 2, 2}, empty[2] = {3, 0}, large[2] = {SIZE_MAX / 8, 1};
    ssde_context context;
    ssde_tensor tensor, before;
    size_t i;
    float x[6];
    memset(&context, 0, sizeof context);
    CHECK_OK(ssde_tensor_create(&context, &tensor, 4, shape));
    CHECK(tensor.rank == 4 && ssde_tensor_count(&tensor) == 120 && tensor.shape[3] == 5);
    for (i = 0; i < 120; i++) CHECK(tensor.data[i] == 0.0f);
    before = tensor;
    CHECK_FAILS(&context, ssde_tensor_create(&context, &tensor, 4, huge), SSDE_ERROR_SHAPE, "memory");
    CHECK_FAILS(&context, ssde_tensor_create(&context, &tensor, 2, empty), SSDE_ERROR_SHAPE, "[3, 0]");
    CHECK_FAILS(&context, ssde_tensor_create(&context, &tensor, 5, huge), SSDE_ERROR_ARGUMENT, "rank 5");
    CHECK_FAILS(&context, ssde_tensor_create(&context, &tensor, -1, huge), SSDE_ERROR_ARGUMENT, "rank -1");
    CHECK_FAILS(&context, ssde_tensor_create(&context, &tensor, 1, NULL), SSDE_ERROR_ARGUMENT, "shape");
    CHECK_FAILS(&context, ssde_tensor_create(&context, NULL, 1, shape), SSDE_ERROR_ARGUMENT, "tensor");
    CHECK_SAME(&tensor, &before, sizeof tensor); /* a failure leaves it as it was */
    ssde_tensor_release(&context, &tensor);
    CHECK(!tensor.data && !tensor.rank);
    ssde_tensor_release(&context, &tensor);
    ssde_tensor_release(&context, NULL);
    CHECK_OK(ssde_tensor_create(NULL, &tensor, 0, NULL));
    CHECK(ssde_tensor_count(&tensor) == 1);
    ssde_tensor_release(NULL, &tensor);
    tensor = ssde_tensor_1d(x, 6);
    CHECK(tensor.data == x && tensor.rank == 1 && tensor.shape[0] == 6);
    tensor = ssde_tensor_2d(x, 2, 3);
    CHECK(tensor.data == x && tensor.rank == 2 && tensor.shape[0] == 2 && tensor.shape[1] == 3);
    tensor = ssde_tensor_4d(x, 1, 2, 3, 1);
    CHECK(tensor.rank == 4 && tensor.shape[1] == 2 && tensor.shape[2] == 3 && ssde_tensor_count(&tensor) == 6);
    tensor = ssde_tensor_2d(x, large[0], 64);
    CHECK(ssde_tensor_count(&tensor) == SIZE_MAX);
    CHECK(ssde_tensor_count(NULL) == 0);
}

static float core_binary(ssde_binary_op op, float x, float y) {
    switch (op) {
        case SSDE_ADD: return x + y;
        case SSDE_SUBTRACT: return x - y;
        case SSDE_MULTIPLY: return x * y;
        case SSDE_DIVIDE: return x / y;
        case SSDE_MINIMUM: return y < x ? y : x;
        case SSDE_MAXIMUM: return y > x ? y : x;
    }
    return 0.0f;
}

/* Every pair of shapes of up to four axes of 1 to 3 that broadcast, element by element; those that do not are refused.
 */
static void test_tensor_binary(void) {
    float a_data[81], b_data[81], out_data[81];
    ssde_context context;
    int ra, rb, axis;
    size_t code, i, index[4];
    memset(&context, 0, sizeof context);
    for (i = 0; i < 81; i++) a_data[i] = core_number(i), b_data[i] = core_number(i + 1000) + 2.0f;
    for (ra = 0; ra <= 4; ra++) {
        for (rb = 0; rb <= 4; rb++) {
            for (code = 0; code < 6561; code += check_quick ? 331 : 13) {
                ssde_tensor a = ssde_tensor_1d(a_data, 1), b = a, out = a;
                ssde_binary_op op = (ssde_binary_op)(code % 6);
                size_t rest = code, mismatch = 0;
                a.rank = ra, b.rank = rb, out.rank = ra > rb ? ra : rb;
                b.data = b_data, out.data = out_data;
                for (axis = 0; axis < ra; axis++, rest /= 3) a.shape[axis] = rest % 3 + 1;
                for (axis = 0; axis < rb; axis++, rest /= 3) b.shape[axis] = rest % 3 + 1;
                for (axis = 1; axis <= out.rank; axis++) {
                    size_t sa = axis <= ra ? a.shape[ra - axis] : 1, sb = axis <= rb ? b.shape[rb - axis] : 1;
                    out.shape[out.rank - axis] = sa > sb ? sa : sb;
                    if (sa != sb && sa != 1 && sb != 1) mismatch = 1;
                }
                context.error[0] = 0;
                CHECK_STATUS(ssde_tensor_binary(&context, op, &a, &b, &out), mismatch ? SSDE_ERROR_SHAPE : SSDE_OK);
                if (mismatch) CHECK(strstr(context.error, "broadcast") != NULL);
                for (i = 0; !mismatch && i < ssde_tensor_count(&out); i++) {
                    size_t left = i, at_a = 0, at_b = 0;
                    for (axis = out.rank - 1; axis >= 0; axis--) {
                        index[axis] = left % out.shape[axis];
                        left /= out.shape[axis];
                    }
                    for (axis = 0; axis < ra; axis++)
                        at_a = at_a * a.shape[axis] + (a.shape[axis] == 1 ? 0 : index[out.rank - ra + axis]);
                    for (axis = 0; axis < rb; axis++)
                        at_b = at_b * b.shape[axis] + (b.shape[axis] == 1 ? 0 : index[out.rank - rb + axis]);
                    CHECK(out_data[i] == core_binary(op, a_data[at_a], b_data[at_b]));
                }
            }
        }
    }
    { /* out may be an operand of its own shape */
        float x[6] = {1, 2, 3, 4, 5, 6}, y[3] = {10, 20, 30};
        const float sums[6] = {11, 22, 33, 14, 25, 36}, differences[6] = {1, 2, 3, -4, -5, -6};
        ssde_tensor a = ssde_tensor_2d(x, 2, 3), b = ssde_tensor_1d(y, 3), first = ssde_tensor_2d(x, 1, 3);
        CHECK_OK(ssde_tensor_binary(NULL, SSDE_ADD, &a, &b, &a));
        CHECK_SAME(x, sums, sizeof x);
        CHECK_OK(ssde_tensor_binary(NULL, SSDE_SUBTRACT, &a, &b, &a));
        CHECK_FAILS(&context, ssde_tensor_binary(&context, SSDE_ADD, &a, &first, &a), SSDE_ERROR_ARGUMENT, "b");
        x[3] = -4, x[4] = -5, x[5] = -6;
        CHECK_SAME(x, differences, sizeof x);
    }
    { /* NaN on either side stays */
        float x[2] = {NAN, 1}, y[2] = {1, NAN}, z[2] = {0, 0};
        ssde_tensor a = ssde_tensor_1d(x, 2), b = ssde_tensor_1d(y, 2), out = ssde_tensor_1d(z, 2);
        CHECK_OK(ssde_tensor_binary(NULL, SSDE_MINIMUM, &a, &b, &out));
        CHECK(isnan(z[0]) && isnan(z[1]));
        CHECK_OK(ssde_tensor_binary(NULL, SSDE_MAXIMUM, &a, &b, &out));
        CHECK(isnan(z[0]) && isnan(z[1]));
    }
}

static double core_unary(ssde_unary_op op, double x) {
    switch (op) {
        case SSDE_NEGATE: return -x;
        case SSDE_ABSOLUTE: return fabs(x);
        case SSDE_SQUARE: return x * x;
        case SSDE_SQUARE_ROOT: return sqrt(x);
        case SSDE_EXPONENTIAL: return exp(x);
        case SSDE_LOGARITHM: return log(x);
        case SSDE_TANH: return tanh(x);
        case SSDE_SIGMOID: return 1.0 / (1.0 + exp(-x));
    }
    return 0.0;
}

/* Each within 2 ulp (4e-7 leaves the exponential's 1 ulp, the sum's and the quotient's half for the sigmoid), on every
   tier, any length, in place; values at the ends. */
static void test_tensor_unary(void) {
    enum { MOST = 1000 };
    static float x[MOST], y[MOST], z[MOST];
    ssde_context context;
    int tier = 0, op;
    size_t count, i;
    while (core_next_tier(&tier, &context)) {
        for (op = SSDE_NEGATE; op <= SSDE_SIGMOID; op++) {
            for (count = 1; count <= MOST; count = count < 20 ? count + 1 : count * 7) {
                ssde_tensor a = ssde_tensor_1d(x, count), out = ssde_tensor_1d(y, count);
                int positive = op == SSDE_SQUARE_ROOT || op == SSDE_LOGARITHM;
                for (i = 0; i < count; i++) x[i] = core_number(i) * 20.0f + (positive ? 20.5f : 0.0f);
                CHECK_OK(ssde_tensor_unary(&context, (ssde_unary_op)op, &a, &out));
                for (i = 0; i < count; i++) {
                    double expected = core_unary((ssde_unary_op)op, (double)x[i]);
                    CHECK_NEAR(y[i], expected, 4e-7 * fabs(expected) + 1e-30);
                }
                memcpy(z, x, sizeof z);
                a.data = z;
                CHECK_OK(ssde_tensor_unary(&context, (ssde_unary_op)op, &a, &a));
                CHECK_SAME(z, y, count * sizeof *z);
            }
        }
        x[0] = 1000.0f, x[1] = -1000.0f, x[2] = NAN;
        {
            ssde_tensor a = ssde_tensor_1d(x, 3), out = ssde_tensor_1d(y, 3), wrong = ssde_tensor_2d(y, 1, 3);
            CHECK_OK(ssde_tensor_unary(&context, SSDE_SIGMOID, &a, &out));
            CHECK(y[0] == 1.0f && y[1] == 0.0f && isnan(y[2]));
            CHECK_OK(ssde_tensor_unary(&context, SSDE_EXPONENTIAL, &a, &out));
            CHECK(isinf(y[0]) && y[1] == 0.0f && isnan(y[2]));
            CHECK_FAILS(&context, ssde_tensor_unary(&context, SSDE_NEGATE, &a, &wrong), SSDE_ERROR_SHAPE, "[1, 3]");
        }
    }
}

/* Every operation over every set of axes against a plain sum in double; 1e-6 is the result's rounding to float and,
   where terms cancel, 1e-6 of their size. */
static void test_tensor_reduce(void) {
    const size_t shapes[][4] = {{2, 3, 4, 5}, {1, 7, 1, 3}, {3, 1, 2, 130}, {2, 2, 100, 1}};
    float data[2 * 3 * 130], out_data[2 * 3 * 130];
    size_t s, i, j;
    int rank, op, keep;
    unsigned axes;
    for (s = 0; s < 4; s++) {
        for (rank = 0; rank <= 4; rank++) {
            for (axes = 0; axes < 1u << rank; axes++) {
                for (op = SSDE_SUM; op <= SSDE_MAX; op++) {
                    for (keep = 0; keep < 2; keep++) {
                        ssde_tensor a = ssde_tensor_1d(data, 1), out = ssde_tensor_1d(out_data, 1);
                        double expected[2 * 3 * 130];
                        size_t count, outputs = 1, terms[2 * 3 * 130];
                        int axis;
                        a.rank = rank;
                        out.rank = 0;
                        memcpy(a.shape, shapes[s], sizeof a.shape);
                        count = ssde_tensor_count(&a);
                        for (i = 0; i < count; i++) data[i] = core_number(i + 7 * s);
                        for (axis = 0; axis < rank; axis++) {
                            int gone = (int)(axes >> axis & 1u);
                            if (!gone) outputs *= a.shape[axis];
                            if (keep || !gone) out.shape[out.rank++] = gone ? 1 : a.shape[axis];
                        }
                        for (j = 0; j < outputs; j++) terms[j] = 0, expected[j] = 0.0;
                        for (i = 0; i < count; i++) {
                            size_t left = i, at = 0, step = 1;
                            double x = (double)data[i];
                            for (axis = rank - 1; axis >= 0; axis--) {
                                if (!(axes >> axis & 1u)) at += left % a.shape[axis] * step, step *= a.shape[axis];
                                left /= a.shape[axis];
                            }
                            if (op == SSDE_SUM || op == SSDE_MEAN) expected[at] += x;
                            if (op == SSDE_MIN && (!terms[at] || x < expected[at])) expected[at] = x;
                            if (op == SSDE_MAX && (!terms[at] || x > expected[at])) expected[at] = x;
                            terms[at]++;
                        }
                        CHECK_OK(ssde_tensor_reduce(NULL, (ssde_reduce_op)op, &a, axes, &out));
                        for (j = 0; j < outputs; j++) {
                            if (op == SSDE_MEAN) expected[j] /= (double)terms[j];
                            CHECK_NEAR(out_data[j], expected[j], 1e-6 + 1e-6 * fabs(expected[j]));
                        }
                    }
                }
            }
        }
    }
    for (i = 0; i < 40; i++) { /* a NaN anywhere comes through */
        int inner;
        for (j = 0; j < 40; j++) data[j] = j == i ? NAN : core_number(j);
        for (op = SSDE_SUM; op <= SSDE_MAX; op++) {
            for (inner = 0; inner < 2; inner++) {
                ssde_tensor a = inner ? ssde_tensor_1d(data, 40) : ssde_tensor_2d(data, 40, 1);
                ssde_tensor out = ssde_tensor_1d(out_data, 1);
                CHECK_OK(ssde_tensor_reduce(NULL, (ssde_reduce_op)op, &a, 1, &out));
                CHECK(isnan(out_data[0]));
            }
        }
    }
}

/* All transposes and awkward sizes on every tier. Entries are about sqrt(depth) / 3 of which float products and sums
   lose depth * 6e-8 at worst, mostly the root of that: 1e-6 of the norm. Rows drawn alone are the same bits, and pieces
   may run in any order. */
static void test_tensor_matmul(void) {
    static const size_t sizes[][3] = {{1, 1, 1},    {5, 3, 2},     {12, 32, 16},  {13, 33, 17},
                                      {50, 20, 65}, {7, 600, 100}, {251, 31, 48}, {64, 300, 530}};
    ssde_context context;
    int tier = 0;
    while (core_next_tier(&tier, &context)) {
        size_t s;
        for (s = 0; s < (check_quick ? 6u : 8u); s++) {
            size_t m = sizes[s][0], k = sizes[s][1], n = sizes[s][2], i, j, p;
            float *a = (float *)malloc(m * k * sizeof *a), *b = (float *)malloc(k * n * sizeof *b);
            float *c = (float *)malloc(m * n * sizeof *c), *expected = (float *)malloc(m * n * sizeof *c);
            int transposes;
            for (transposes = 0; transposes < 4; transposes++) {
                int ta = transposes & 1, tb = transposes >> 1;
                ssde_tensor at = ta ? ssde_tensor_2d(a, k, m) : ssde_tensor_2d(a, m, k);
                ssde_tensor bt = tb ? ssde_tensor_2d(b, n, k) : ssde_tensor_2d(b, k, n);
                ssde_tensor ct = ssde_tensor_2d(c, m, n);
                for (i = 0; i < m * k; i++) a[i] = core_number(i);
                for (i = 0; i < k * n; i++) b[i] = core_number(i + 5000);
                for (i = 0; i < m; i++) {
                    for (j = 0; j < n; j++) {
                        double sum = 0.0;
                        for (p = 0; p < k; p++)
                            sum += (double)a[ta ? p * m + i : i * k + p] * (double)b[tb ? j * k + p : p * n + j];
                        expected[i * n + j] = (float)sum;
                    }
                }
                context.parallel_for = core_backwards;
                CHECK_OK(ssde_tensor_matmul(&context, &at, ta, &bt, tb, &ct));
                CHECK_ARRAY(c, expected, m * n, 1e-6);
                if (!ta) {
                    ssde_tensor row = ssde_tensor_2d(a + (m - 1) * k, 1, k), alone = ssde_tensor_2d(expected, 1, n);
                    CHECK_OK(ssde_tensor_matmul(&context, &row, 0, &bt, tb, &alone));
                    CHECK_SAME(expected, c + (m - 1) * n, n * sizeof *c);
                }
            }
            free(a), free(b), free(c), free(expected);
        }
    }
}

/* The product that convolutions and linear layers use: several taps, sums that begin with c, with a bias or with
   nothing, residual and scale, at the tier's register tiles and what is left over. */
static void test_tensor_product_tiles(void) {
    enum { M = 29, K = 41, N = 45, TAPS = 3, STRIDE = 50, OFFSET = 2, WIDE = OFFSET + K };
    static float a[TAPS * M * WIDE], b[TAPS * K * N], c[M * STRIDE], residual[M * STRIDE], expected[M * STRIDE],
        bias[N];
    const float *pointers[(M + SSDEI_MAX_TILE_ROWS) * TAPS];
    ssde_context context;
    int tier = 0, start, ends;
    size_t i, j, p, q;
    for (i = 0; i < TAPS * M * WIDE; i++) a[i] = core_number(i);
    for (i = 0; i < TAPS * K * N; i++) b[i] = core_number(i + 99);
    for (i = 0; i < M * STRIDE; i++) residual[i] = core_number(i + 31) * 9.0f;
    for (i = 0; i < N; i++) bias[i] = core_number(i + 77) * 9.0f;
    while (core_next_tier(&tier, &context)) {
        const ssdei_kernels *kernels = ssdei_kernels_for(&context);
        size_t width = kernels->tile_columns, height = kernels->tile_rows;
        float *packed = (float *)malloc(ssdei_packed_size(kernels, TAPS * K, N) * sizeof *packed);
        ssdei_pack(kernels, b, 1, TAPS * K, TAPS * K, N, packed); /* the transpose of b[N, TAPS K] */
        for (p = 0; p < ssdei_packed_size(kernels, TAPS * K, N); p++) {
            size_t k = p / width % (TAPS * K);
            j = p / (TAPS * K * width) * width + p % width; /* beyond column N all is 0 */
            CHECK(packed[p] == (j < N ? b[j * TAPS * K + k] : 0.0f));
            packed[p] = NAN;
        }
        ssdei_pack(kernels, b, N, 1, TAPS * K, N, packed);
        for (i = 0; i < (M + height - 1) / height * height; i++)
            for (q = 0; q < TAPS; q++)
                pointers[(i / height * TAPS + q) * height + i % height] = a + (q * M + (i < M ? i : 0)) * WIDE;
        for (start = 0; start < 3; start++) {
            for (ends = 0; ends < 2; ends++) {
                ssdei_tiles work;
                memset(&work, 0, sizeof work);
                for (i = 0; i < M * STRIDE; i++) expected[i] = c[i] = core_number(i + 3) * 9.0f;
                for (i = 0; i < M; i++) {
                    for (j = 0; j < N; j++) {
                        float *to = &expected[i * STRIDE + j];
                        double sum = start == 0 ? 0.0 : start == 1 ? (double)bias[j] : (double)*to;
                        for (p = 0; p < TAPS * K; p++)
                            sum += (double)a[(p / K * M + i) * WIDE + OFFSET + p % K] * (double)b[p * N + j];
                        *to = (float)(ends ? (sum + (double)residual[i * STRIDE + j]) * 0.5 : sum);
                    }
                }
                work.taps = TAPS;
                work.depth = K;
                work.a = pointers;
                work.offset = OFFSET;
                work.stride = STRIDE;
                work.rows = M;
                work.scale = ends ? 0.5f : 1.0f;
                work.start_stride = start == 1 ? 0 : STRIDE;
                work.residual_stride = STRIDE;
                work.cold = ends;
                for (j = 0; j < N; j += width) {
                    work.packed = packed + j * TAPS * K;
                    work.c = c + j;
                    work.columns = N - j < width ? N - j : width;
                    work.start = start == 0 ? NULL : start == 1 ? bias + j : work.c;
                    work.residual = ends ? residual + j : NULL;
                    kernels->tiles(&work);
                }
                CHECK_ARRAY(c, expected, M * STRIDE, 1e-6);
                for (i = 0; i < M; i++) /* beyond column N nothing was written */
                    CHECK_SAME(c + i * STRIDE + N, expected + i * STRIDE + N, (STRIDE - N) * sizeof *c);
            }
        }
        free(packed);
    }
}

/* Sums over more rows than one block of packed panels holds, added to what is there. */
static void test_tensor_product_deep(void) {
    enum { M = 5, K = 600, N = 20 };
    static float a[M * K], b[K * N], c[M * N], expected[M * N];
    ssde_context context;
    int tier = 0;
    size_t i, p;
    for (i = 0; i < M * K; i++) a[i] = core_number(i);
    for (i = 0; i < K * N; i++) b[i] = core_number(i + 99);
    while (core_next_tier(&tier, &context)) {
        const ssdei_kernels *kernels = ssdei_kernels_for(&context);
        float *packed = (float *)malloc(ssdei_packed_size(kernels, K, N) * sizeof *packed);
        ssdei_pack(kernels, b, N, 1, K, N, packed);
        for (i = 0; i < M * N; i++) {
            double sum = (double)(c[i] = core_number(i + 3) * 9.0f);
            for (p = 0; p < K; p++) sum += (double)a[i / N * K + p] * (double)b[p * N + i % N];
            expected[i] = (float)sum;
        }
        ssdei_product(kernels, a, K, packed, M, K, N, c, N, 1);
        CHECK_ARRAY(c, expected, M * N, 1e-6);
        free(packed);
    }
}

static void test_tensor_arguments(void) {
    ssde_context context;
    float x[12] = {0}, y[12], z[12];
    ssde_tensor a = ssde_tensor_2d(x, 3, 4), b = ssde_tensor_2d(y, 3, 4), out = ssde_tensor_2d(z, 3, 4), bad = a;
    ssde_tensor flat = ssde_tensor_1d(z, 12), wide = ssde_tensor_2d(z, 4, 3);
    memset(&context, 0, sizeof context);
    memset(y, 0, sizeof y);
    CHECK_FAILS(&context, ssde_tensor_binary(&context, SSDE_ADD, NULL, &b, &out), SSDE_ERROR_ARGUMENT, "a is NULL");
    CHECK_FAILS(&context, ssde_tensor_binary(&context, SSDE_ADD, &a, &b, NULL), SSDE_ERROR_ARGUMENT, "out is NULL");
    CHECK_FAILS(&context, ssde_tensor_binary(&context, (ssde_binary_op)7, &a, &b, &out), SSDE_ERROR_ARGUMENT,
                "op is 7");
    bad.data = NULL;
    CHECK_FAILS(&context, ssde_tensor_binary(&context, SSDE_ADD, &a, &bad, &out), SSDE_ERROR_ARGUMENT, "b->data");
    bad = a;
    bad.shape[1] = 0;
    CHECK_FAILS(&context, ssde_tensor_binary(&context, SSDE_ADD, &bad, &b, &out), SSDE_ERROR_SHAPE, "[3, 0]");
    bad.rank = 9;
    CHECK_FAILS(&context, ssde_tensor_unary(&context, SSDE_NEGATE, &bad, &out), SSDE_ERROR_ARGUMENT, "rank 9");
    CHECK_FAILS(&context, ssde_tensor_binary(&context, SSDE_ADD, &a, &b, &flat), SSDE_ERROR_SHAPE, "[12]");
    CHECK_FAILS(&context, ssde_tensor_reduce(&context, SSDE_SUM, &a, 4, &out), SSDE_ERROR_ARGUMENT, "rank 2");
    CHECK_FAILS(&context, ssde_tensor_reduce(&context, SSDE_SUM, &a, 1, &flat), SSDE_ERROR_SHAPE, "[3, 4]");
#ifndef __cplusplus /* which cannot make such values */
    CHECK_FAILS(&context, ssde_tensor_unary(&context, (ssde_unary_op)99, &a, &out), SSDE_ERROR_ARGUMENT, "99");
    CHECK_FAILS(&context, ssde_tensor_reduce(&context, (ssde_reduce_op)7, &a, 1, &flat), SSDE_ERROR_ARGUMENT,
                "op is 7");
#endif
    CHECK_FAILS(&context, ssde_tensor_reduce(&context, SSDE_SUM, &a, 0, &a), SSDE_ERROR_ARGUMENT, "memory");
    CHECK_FAILS(&context, ssde_tensor_matmul(&context, &a, 0, &b, 0, &out), SSDE_ERROR_SHAPE, "[3, 4] times b [3, 4]");
    CHECK_FAILS(&context, ssde_tensor_matmul(&context, &a, 0, &b, 1, &wide), SSDE_ERROR_SHAPE, "b [3, 4] transposed");
    CHECK_FAILS(&context, ssde_tensor_matmul(&context, &a, 0, &b, 1, &flat), SSDE_ERROR_SHAPE, "1, wanted 2");
    bad = ssde_tensor_2d(x, 3, 3);
    CHECK_FAILS(&context, ssde_tensor_matmul(&context, &a, 0, &b, 1, &bad), SSDE_ERROR_ARGUMENT, "memory");
}

/* ---- files ---- */

#define CORE_TEMPORARY "tests/tmp_core.bin"

static void test_npy_round_trip(void) {
    const size_t shape[4] = {3, 4, 5, 25};
    int rank;
    for (rank = 0; rank <= 4; rank++) {
        ssde_tensor saved, loaded;
        unsigned char *bytes;
        size_t size, i, count;
        CHECK_OK(ssde_tensor_create(NULL, &saved, rank, shape));
        count = ssde_tensor_count(&saved);
        for (i = 0; i < count; i++) saved.data[i] = core_number(i) * 1e30f;
        saved.data[count / 2] = -INFINITY;
        CHECK_OK(ssde_npy_save(NULL, CORE_TEMPORARY, &saved));
        CHECK_OK(ssde_npy_load(NULL, CORE_TEMPORARY, &loaded));
        CHECK(loaded.rank == rank && !memcmp(loaded.shape, saved.shape, sizeof loaded.shape));
        if (loaded.data) CHECK_SAME(loaded.data, saved.data, count * sizeof(float));
        ssde_tensor_release(NULL, &loaded);
        CHECK_OK(ssdei_file_read(NULL, CORE_TEMPORARY, &bytes, &size));
        CHECK(size == 128 + 4 * count && bytes[127] == '\n'); /* as NumPy writes it */
        if (rank == 1) CHECK(!memcmp(bytes + 10, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", 57));
        ssdei_release(NULL, bytes);
        ssde_tensor_release(NULL, &saved);
    }
    remove(CORE_TEMPORARY);
}

/* A version 1 file with this dictionary and these bytes. */
static size_t core_npy(unsigned char *file, int version, const char *dictionary, const void *bytes, size_t size) {
    size_t length = strlen(dictionary), start = version == 1 ? 10 : 12;
    memcpy(file, "\x93NUMPY\x01\x00", 8);
    file[6] = (unsigned char)version;
    memset(file + 8, 0, 4);
    file[8] = (unsigned char)(length & 255u);
    file[9] = (unsigned char)(length >> 8);
    memcpy(file + start, dictionary, length);
    if (size) memcpy(file + start + length, bytes, size);
    return start + length + size;
}

/* Each type in both orders: bytes written out by hand, least significant first. */
static void test_npy_types(void) {
    static const struct {
        const char *type;
        size_t size;
        unsigned char bytes[16];
        float values[2];
    } cases[] = {{"b1", 1, {0, 1}, {0, 1}},
                 {"u1", 1, {7, 255}, {7, 255}},
                 {"i1", 1, {127, 0x80}, {127, -128}},
                 {"u2", 2, {1, 2, 0xff, 0xff}, {513, 65535}},
                 {"i2", 2, {1, 2, 0xfe, 0xff}, {513, -2}},
                 {"u4", 4, {0, 0, 0, 0x80, 1, 0, 0, 0}, {2147483648.0f, 1}},
                 {"i4", 4, {0, 0, 0, 0x80, 0xff, 0xff, 0xff, 0xff}, {-2147483648.0f, -1}},
                 {"u8", 8, {0, 0, 0, 0, 0, 0, 0, 0x80, 9, 0, 0, 0, 0, 0, 0, 0}, {9223372036854775808.0f, 9}},
                 {"i8",
                  8,
                  {0, 0, 0, 0, 0, 0, 0, 0x80, 0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
                  {-9223372036854775808.0f, -3}},
                 {"f2", 2, {0x00, 0x3c, 0x01, 0x80}, {1, -5.9604644775390625e-8f}},
                 {"f2", 2, {0xff, 0x7b, 0x00, 0xfc}, {65504, -INFINITY}},
                 {"f2", 2, {0x00, 0x04, 0x55, 0xb5}, {6.103515625e-5f, -0.333251953125f}},
                 {"f4", 4, {0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc1}, {1, -10}},
                 {"f8", 8, {0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0xf0, 0xff}, {1, -INFINITY}}};
    static const ssdei_dtype half = {"f2", 2, SSDEI_NUMBER_FLOAT, 5, 0};
    size_t i, j;
    int big;
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (big = 0; big < 2; big++) {
            unsigned char file[256], bytes[16];
            char dictionary[128];
            size_t size = cases[i].size, length;
            ssde_tensor tensor;
            for (j = 0; j < 2 * size; j++) bytes[j] = cases[i].bytes[big ? j / size * size + size - 1 - j % size : j];
            snprintf(dictionary, sizeof dictionary, "{'descr': '%c%s', 'fortran_order': False, 'shape': (2,), }\n",
                     big         ? '>'
                     : size == 1 ? '|'
                                 : '<',
                     cases[i].type);
            length = core_npy(file, 1, dictionary, bytes, 2 * size);
            CHECK_OK(ssde_npy_load(NULL, core_file(CORE_TEMPORARY, file, length), &tensor));
            CHECK(tensor.rank == 1 && tensor.shape[0] == 2);
            if (tensor.data) CHECK_SAME(tensor.data, cases[i].values, sizeof cases[i].values);
            ssde_tensor_release(NULL, &tensor);
        }
    }
    for (i = 0; i < 65536; i++) { /* every half against its definition */
        double mantissa = (double)(i & 1023u), value;
        int exponent = (int)(i >> 10 & 31u);
        float actual;
        CHECK(ssdei_number_float(&half, i, &actual));
        if (exponent == 31 && mantissa > 0.0) {
            if (!isnan(actual)) check_report(__FILE__, __LINE__, "half 0x%04x is no NaN", (unsigned)i);
            continue;
        }
        value = exponent == 31  ? HUGE_VAL
                : exponent == 0 ? ldexp(mantissa, -24)
                                : ldexp(1024.0 + mantissa, exponent - 25);
        if ((double)actual != (i >> 15 ? -value : value))
            check_report(__FILE__, __LINE__, "half 0x%04x gave %g", (unsigned)i, (double)actual);
    }
    remove(CORE_TEMPORARY);
}

/* Headers that differ in blanks, quotes, order of keys and version are read; those that are wrong are refused with the
   reason. */
static void test_npy_headers(void) {
    static const char *const good[] = {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }          \n",
                                       "{\"shape\":(2,1),\"fortran_order\":False,\"descr\":\"<f4\"}",
                                       "\t{ 'shape' : ( 2 , 1 , ) , 'descr':'<f4' , 'fortran_order' :\n False }\n\n",
                                       "{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 1L)}",
                                       "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1, ), }",
                                       "{u'descr': u'<f4', u'fortran_order': False, u'shape': (2, 1)}",
                                       "{'descr': '=f4', 'fortran_order': False, 'shape': (2, 1), }",
                                       "{'descr': '|f4', 'fortran_order': False, 'shape': (2, 1), }",
                                       "{'descr': 'f4', 'fortran_order': False, 'shape': (2, 1), }",
                                       "{'descr': 'float32', 'fortran_order': False, 'shape': (2, 1), }",
                                       "{'descr': 'f', 'fortran_order': False, 'shape': (2, 1), }",
                                       "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 1), }"};
    static const struct {
        const char *dictionary;
        ssde_status status;
        const char *words;
    } bad[] = {
        {"", SSDE_ERROR_FORMAT, "{"},
        {"{", SSDE_ERROR_FORMAT, "key"},
        {"{}", SSDE_ERROR_FORMAT, "once"},
        {"{'descr': '<f4', 'shape': (2, 1)}", SSDE_ERROR_FORMAT, "once"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), 'more': 1}", SSDE_ERROR_FORMAT, "once"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2, 1)}", SSDE_ERROR_FORMAT, "once"},
        {"{'descr': '<f4' 'fortran_order': False, 'shape': (2, 1)}", SSDE_ERROR_FORMAT, "comma"},
        {"{'descr' '<f4', 'fortran_order': False, 'shape': (2, 1)}", SSDE_ERROR_FORMAT, "colon"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1)} x", SSDE_ERROR_FORMAT, "blanks"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1", SSDE_ERROR_FORMAT, "shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2 1)}", SSDE_ERROR_FORMAT, "shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2)}", SSDE_ERROR_FORMAT, "comma"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 1)}", SSDE_ERROR_FORMAT, "whole"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (,)}", SSDE_ERROR_FORMAT, "whole"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999, 1)}", SSDE_ERROR_FORMAT,
         "memory"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)}", SSDE_ERROR_FORMAT, "more"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 1)}", SSDE_ERROR_FORMAT, "more"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1)}", SSDE_ERROR_FORMAT, "fewer"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 0)}", SSDE_ERROR_UNSUPPORTED, "empty"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 1, 2)}", SSDE_ERROR_UNSUPPORTED, "4 axes"},
        {"{'descr': '<f4', 'fortran_order': Truth, 'shape': (2, 1)}", SSDE_ERROR_FORMAT, "fortran_order"},
        {"{'descr': '<f4', 'fortran_order': True1, 'shape': (2, 1)}", SSDE_ERROR_FORMAT, "comma"},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 1)}", SSDE_ERROR_FORMAT, "fortran_order"},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (2, 1)}", SSDE_ERROR_UNSUPPORTED, "<c8"},
        {"{'descr': '<<f4', 'fortran_order': False, 'shape': (2, 1)}", SSDE_ERROR_UNSUPPORTED, "<<f4"},
        {"{'descr': '<f16', 'fortran_order': False, 'shape': (2, 1)}", SSDE_ERROR_UNSUPPORTED, "<f16"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (2, 1)}", SSDE_ERROR_UNSUPPORTED, "astype(numpy.float32)"},
        {"{'descr': '<U4', 'fortran_order': False, 'shape': (2, 1)}", SSDE_ERROR_UNSUPPORTED, "<U4"},
        {"{'descr': '|V2', 'fortran_order': False, 'shape': (2, 1)}", SSDE_ERROR_UNSUPPORTED, "|V2"},
        {"{'descr': ('<f4', (2,)), 'fortran_order': False, 'shape': (1,)}", SSDE_ERROR_UNSUPPORTED, "structured"},
        {"{'descr': '', 'fortran_order': False, 'shape': (2, 1)}", SSDE_ERROR_UNSUPPORTED, "''"},
        {"{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (2, 1)}", SSDE_ERROR_UNSUPPORTED, "structured"},
        {"{'descr': <f4, 'fortran_order': False, 'shape': (2, 1)}", SSDE_ERROR_FORMAT, "type"}};
    const unsigned char bytes[8] = {0, 0, 0x80, 0x3f, 0, 0, 0, 0x40}, huge[8] = {0, 0, 0, 0, 0, 0, 0, 0x48};
    unsigned char file[256];
    ssde_context context;
    ssde_tensor tensor;
    size_t i, size;
    int version, wide;
    memset(&context, 0, sizeof context);
    for (i = 0; i < sizeof good / sizeof good[0]; i++) {
        for (version = 1; version <= 3; version++) {
            size = core_npy(file, version, good[i], bytes, sizeof bytes);
            CHECK_OK(ssde_npy_load(&context, core_file(CORE_TEMPORARY, file, size), &tensor));
            CHECK(tensor.rank == 2 && tensor.shape[0] == 2 && tensor.shape[1] == 1);
            if (tensor.data) CHECK(tensor.data[0] == 1.0f && tensor.data[1] == 2.0f);
            ssde_tensor_release(&context, &tensor);
        }
    }
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        size = core_npy(file, 1, bad[i].dictionary, bytes, sizeof bytes);
        core_file(CORE_TEMPORARY, file, size);
        /* where size_t has 32 bits, what is beyond them does not fit into memory, whatever else is wrong */
        wide = sizeof(size_t) < 8 && strstr(bad[i].dictionary, "4611686018427387904") != NULL;
        CHECK_FAILS(&context, ssde_npy_load(&context, CORE_TEMPORARY, &tensor), bad[i].status,
                    wide ? "memory" : bad[i].words);
        CHECK(!tensor.data);
    }
    size = core_npy(file, 1, good[0], bytes, sizeof bytes);
    file[6] = 4;
    core_file(CORE_TEMPORARY, file, size);
    CHECK_FAILS(&context, ssde_npy_load(&context, CORE_TEMPORARY, &tensor), SSDE_ERROR_UNSUPPORTED, "version 4.0");
    file[6] = 2; /* a header of about 2^31 bytes */
    file[10] = 0, file[11] = 0x7f;
    core_file(CORE_TEMPORARY, file, size);
    CHECK_FAILS(&context, ssde_npy_load(&context, CORE_TEMPORARY, &tensor), SSDE_ERROR_FORMAT, "cut off");
    size = core_npy(file, 1, "{'descr': '<f8', 'fortran_order': False, 'shape': ()}", huge, sizeof huge);
    core_file(CORE_TEMPORARY, file, size);
    CHECK_FAILS(&context, ssde_npy_load(&context, CORE_TEMPORARY, &tensor), SSDE_ERROR_NUMERIC, "element 0");
    CHECK_FAILS(&context, ssde_npy_load(&context, "tests/no_such_file.npy", &tensor), SSDE_ERROR_FILE, "no_such_file");
    CHECK_FAILS(&context, ssde_npy_load(&context, NULL, &tensor), SSDE_ERROR_ARGUMENT, "path");
    CHECK_FAILS(&context, ssde_npy_load(&context, CORE_TEMPORARY, NULL), SSDE_ERROR_ARGUMENT, "tensor");
    remove(CORE_TEMPORARY);
}

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

/* One number in `size` bytes, least significant first, as a file of either order. */
static ssde_status core_npy_number(ssde_context *context, const char *type, size_t size, uint64_t bits, int big,
                                   float *value) {
    unsigned char file[256], bytes[8];
    char dictionary[128];
    ssde_tensor tensor;
    ssde_status status;
    size_t i, length;
    for (i = 0; i < size; i++) bytes[big ? size - 1 - i : i] = (unsigned char)(bits >> 8 * i);
    snprintf(dictionary, sizeof dictionary, "{'descr': '%c%s', 'fortran_order': True, 'shape': (), }\n",
             big ? '>' : '<', type);
    length = core_npy(file, 1, dictionary, bytes, size);
    status = ssde_npy_load(context, core_file(CORE_TEMPORARY, file, length), &tensor);
    *value = tensor.data ? *tensor.data : -77.0f;
    CHECK((status == SSDE_OK) == (tensor.data != NULL));
    ssde_tensor_release(context, &tensor);
    return status;
}

/* A number becomes the nearest float, ties to even, in one rounding; what is finite never becomes infinite. */
static void test_npy_rounding(void) {
    static const struct {
        const char *type;
        uint64_t bits;
        float value;
    } cases[] = {
        {"f8", 0x47efffffe0000000u, FLT_MAX},
        {"f8", 0x47efffffe54daff8u, FLT_MAX},  /* 3.4028235e38 */
        {"f8", 0xc7efffffefffffffu, -FLT_MAX}, /* the last below the middle of FLT_MAX and 2^128 */
        {"f8", 0x7ff0000000000000u, HUGE_VALF},
        {"f8", 0xfff0000000000000u, -HUGE_VALF},
        {"f8", 0x3ff0000010000000u, 1.0f}, /* 1 + 2^-24: a tie */
        {"f8", 0x3ff0000010000001u, 1.00000011920928955078f},
        {"f8", 0x36a0000000000000u, 1.40129846432481707092e-45f},
        {"f8", 0x3690000000000001u, 1.40129846432481707092e-45f}, /* just above 2^-150 */
        {"f8", 0x3690000000000000u, 0.0f},
        {"i8", ((uint64_t)1 << 60) + ((uint64_t)1 << 36) + 1, 1152921642045800448.0f}, /* 2^60 + 2^37 */
        {"i8", ((uint64_t)1 << 60) + ((uint64_t)1 << 36), 1152921504606846976.0f},
        {"i8", 0u - (((uint64_t)1 << 60) + ((uint64_t)1 << 36) + 1), -1152921642045800448.0f},
        {"i8", 0x7fffffffffffffffu, 9223372036854775808.0f},
        {"i8", 0x8000000000000000u, -9223372036854775808.0f},
        {"u8", 0x8000008000000001u, 9223373136366403584.0f}, /* 2^63 + 2^39 + 1 */
        {"u8", 0x8000008000000000u, 9223372036854775808.0f},
        {"u8", 0xffffffffffffffffu, 18446744073709551616.0f},
        {"u4", 0xffffffffu, 4294967296.0f},
        {"i4", 0xfeffffffu, -16777216.0f}, /* -(2^24 + 1) */
    };
    ssde_context context;
    float value;
    size_t i;
    int big;
    memset(&context, 0, sizeof context);
    for (big = 0; big < 2; big++) {
        for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            CHECK_OK(
                core_npy_number(&context, cases[i].type, (size_t)(cases[i].type[1] - '0'), cases[i].bits, big, &value));
            CHECK_SAME(&value, &cases[i].value, sizeof value);
        }
        CHECK_FAILS(&context, core_npy_number(&context, "f8", 8, 0x47effffff0000000u, big, &value), SSDE_ERROR_NUMERIC,
                    "element 0 is 3.40282357e+38");
        CHECK_FAILS(&context, core_npy_number(&context, "f8", 8, 0xffefffffffffffffu, big, &value), SSDE_ERROR_NUMERIC,
                    "-1.79769313e+308");
        CHECK_OK(core_npy_number(&context, "f8", 8, 0x7ff8000000000000u, big, &value));
        CHECK(isnan(value));
    }
    remove(CORE_TEMPORARY);
}

/* Element (i, j, k, l) of an array in Fortran order is number i + shape[0] (j + shape[1] (k + ...)) of the file. */
static void test_npy_fortran(void) {
    static const size_t shapes[][4] = {{1, 1, 1, 1}, {5, 1, 1, 1}, {3, 1, 1, 1}, {1, 4, 1, 1},
                                       {2, 3, 1, 1}, {2, 3, 4, 1}, {3, 2, 5, 2}, {1, 3, 1, 2}};
    static const int ranks[] = {0, 1, 2, 2, 2, 3, 4, 4};
    size_t which, i, j, k, l, b, n = 0;
    int big, axis;
    for (which = 0; which < sizeof ranks / sizeof ranks[0]; which++) {
        for (big = 0; big < 2; big++) {
            const size_t *shape = shapes[which], count = shape[0] * shape[1] * shape[2] * shape[3];
            unsigned char file[512], bytes[128];
            char dictionary[128], sizes[40] = "";
            ssde_tensor tensor;
            for (i = 0; i < count; i++)
                for (b = 0; b < 2; b++) bytes[2 * i + b] = (unsigned char)(100 * (i + 1) >> 8 * (big ? 1 - b : b));
            for (axis = 0; axis < ranks[which]; axis++)
                snprintf(sizes + strlen(sizes), sizeof sizes - strlen(sizes), "%d, ", (int)shape[axis]);
            snprintf(dictionary, sizeof dictionary, "{'descr': '%ci2', 'fortran_order': True, 'shape': (%s), }",
                     big ? '>' : '<', sizes);
            n = core_npy(file, 1, dictionary, bytes, 2 * count);
            CHECK_OK(ssde_npy_load(NULL, core_file(CORE_TEMPORARY, file, n), &tensor));
            CHECK(tensor.rank == ranks[which] && !memcmp(tensor.shape, shape, (size_t)tensor.rank * sizeof *shape));
            if (!tensor.data) continue;
            for (i = n = 0; i < shape[0]; i++)
                for (j = 0; j < shape[1]; j++)
                    for (k = 0; k < shape[2]; k++)
                        for (l = 0; l < shape[3]; l++) {
                            size_t at = i + shape[0] * (j + shape[1] * (k + shape[2] * l));
                            CHECK(tensor.data[n++] == 100.0f * (float)(at + 1));
                        }
            ssde_tensor_release(NULL, &tensor);
        }
    }
    remove(CORE_TEMPORARY);
}

/* What people have instead of the file that was meant is named, with what to do. */
static void test_files_of_other_kinds(void) {
    static const struct {
        size_t size;
        const char *start, *words;
    } files[] = {{0, "", "empty"},
                 {4, "\x1f\x8b\x08\0", "gunzip"},
                 {5, "BZh91", "bunzip2"},
                 {6,
                  "\xfd"
                  "7zXZ\0",
                  "unxz"},
                 {40, "PK\3\4\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\7\0\0\0arr.npynumb", "unzip"},
                 {40, "PK\3\4\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xa\0\0\0a/data.pkl", "torch.save"},
                 {4, "PK\3\4", "zip archive"},
                 {22, "PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "zip archive"},
                 {42, "version https://git-lfs.github.com/spec/v1", "git lfs pull"},
                 {15, "<!DOCTYPE html>", "web page"},
                 {15, "\xef\xbb\xbf \n<html></x>", "web page"},
                 {20, "MATLAB 5.0 MAT-file,", "MATLAB"},
                 {8, "\x89HDF\r\n\x1a\n", "HDF5"},
                 {8, "\x89PNG\r\n\x1a\n", "picture"},
                 {4, "\x80\2}q", "pickle"},
                 {12, "@\0\0\0\0\0\0\0{\"a\"", "safetensors"},
                 {2, "{}", "JSON"}};
    static unsigned char tar[512];
    ssde_context context;
    ssde_tensor tensor, labels;
    size_t i;
    memset(&context, 0, sizeof context);
    for (i = 0; i < sizeof files / sizeof files[0]; i++) {
        core_file(CORE_TEMPORARY, (const unsigned char *)files[i].start, files[i].size);
        CHECK_FAILS(&context, ssde_npy_load(&context, CORE_TEMPORARY, &tensor), SSDE_ERROR_FORMAT, files[i].words);
        CHECK(strstr(context.error, ".npy") && strstr(context.error, CORE_TEMPORARY));
        CHECK_FAILS(&context, ssde_idx_load(&context, CORE_TEMPORARY, &tensor), SSDE_ERROR_FORMAT, files[i].words);
        CHECK_FAILS(&context, ssde_cifar10_load(&context, CORE_TEMPORARY, &tensor, &labels), SSDE_ERROR_FORMAT,
                    files[i].words);
        CHECK(!tensor.data && !labels.data);
    }
    memcpy(tar, "cifar-10-batches-bin/", 21);
    memcpy(tar + 257, "ustar", 5);
    core_file(CORE_TEMPORARY, tar, sizeof tar);
    CHECK_FAILS(&context, ssde_cifar10_load(&context, CORE_TEMPORARY, &tensor, NULL), SSDE_ERROR_FORMAT, "tar -xf");
    core_file(CORE_TEMPORARY, (const unsigned char *)"\x93NUMPY\1\0\0\0", 10);
    CHECK_FAILS(&context, ssde_idx_load(&context, CORE_TEMPORARY, &tensor), SSDE_ERROR_FORMAT, "ssde_npy_load");
    core_file(CORE_TEMPORARY, (const unsigned char *)"\0\0\x08\1\0\0\0\1\5", 9);
    CHECK_FAILS(&context, ssde_npy_load(&context, CORE_TEMPORARY, &tensor), SSDE_ERROR_FORMAT, "ssde_idx_load");
    core_file(CORE_TEMPORARY, (const unsigned char *)"plain", 5);
    CHECK_FAILS(&context, ssde_npy_load(&context, CORE_TEMPORARY, &tensor), SSDE_ERROR_FORMAT, "is not a .npy file");
    CHECK_FAILS(&context, ssde_npy_load(&context, "data.npz:x", &tensor), SSDE_ERROR_UNSUPPORTED,
                "run unzip on 'data.npz'");
    remove(CORE_TEMPORARY);
}

static void test_npy_hostile(void) {
    const unsigned char bytes[24] = {0, 0, 0x80, 0x3f};
    unsigned char file[256];
    size_t size = core_npy(file, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }  \n", bytes, 24);
    core_hostile(file, size, size - 24, ssde_npy_load);
}

static void test_idx_load(void) {
    const unsigned char images[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2,  0,  0,
                                    0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 255};
    const unsigned char labels[] = {0, 0, 8, 1, 0, 0, 0, 3, 9, 0, 7}, gzip[] = {0x1f, 0x8b, 8, 0, 0, 0};
    const unsigned char shorts[] = {0, 0, 0x0b, 1, 0, 0, 0, 1, 1, 1}, empty[] = {0, 0, 8, 1, 0, 0, 0, 0};
    const unsigned char huge[] = {0,   0,   8,   4,   255, 255, 255, 255, 255, 255, 255,
                                  255, 255, 255, 255, 255, 0,   0,   0,   2,   1};
    ssde_context context;
    ssde_tensor tensor;
    size_t i;
    memset(&context, 0, sizeof context);
    CHECK_OK(ssde_idx_load(&context, core_file(CORE_TEMPORARY, images, sizeof images), &tensor));
    CHECK(tensor.rank == 4 && tensor.shape[0] == 2 && tensor.shape[1] == 2 && tensor.shape[2] == 3 &&
          tensor.shape[3] == 1);
    for (i = 0; i < 12 && tensor.data; i++) CHECK(tensor.data[i] == (float)images[16 + i]);
    ssde_tensor_release(&context, &tensor);
    CHECK_OK(ssde_idx_load(&context, core_file(CORE_TEMPORARY, labels, sizeof labels), &tensor));
    CHECK(tensor.rank == 1 && tensor.shape[0] == 3);
    if (tensor.data) CHECK(tensor.data[0] == 9.0f && tensor.data[2] == 7.0f);
    ssde_tensor_release(&context, &tensor);
    core_file(CORE_TEMPORARY, gzip, sizeof gzip);
    CHECK_FAILS(&context, ssde_idx_load(&context, CORE_TEMPORARY, &tensor), SSDE_ERROR_FORMAT, "gunzip");
    core_file(CORE_TEMPORARY, shorts, sizeof shorts);
    CHECK_FAILS(&context, ssde_idx_load(&context, CORE_TEMPORARY, &tensor), SSDE_ERROR_UNSUPPORTED, "0x0b");
    core_file(CORE_TEMPORARY, empty, sizeof empty);
    CHECK_FAILS(&context, ssde_idx_load(&context, CORE_TEMPORARY, &tensor), SSDE_ERROR_UNSUPPORTED, "empty");
    core_file(CORE_TEMPORARY, huge, sizeof huge);
    CHECK_FAILS(&context, ssde_idx_load(&context, CORE_TEMPORARY, &tensor), SSDE_ERROR_FORMAT, "more");
    CHECK_FAILS(&context, ssde_idx_load(&context, CORE_TEMPORARY, NULL), SSDE_ERROR_ARGUMENT, "tensor");
    core_hostile(images, sizeof images, 16, ssde_idx_load);
}

static void test_cifar10_load(void) {
    enum { RECORDS = 3, SIZE = RECORDS * 3073 };
    static unsigned char file[SIZE + 1];
    ssde_context context;
    ssde_tensor images, labels;
    size_t i, length;
    memset(&context, 0, sizeof context);
    for (i = 0; i < SIZE; i++) file[i] = (unsigned char)(i * 7 + i / 300);
    file[0] = 0, file[3073] = 9, file[6146] = 4;
    core_file(CORE_TEMPORARY, file, SIZE);
    CHECK_OK(ssde_cifar10_load(&context, CORE_TEMPORARY, &images, &labels));
    CHECK(images.rank == 4 && images.shape[0] == 3 && images.shape[1] == 32 && images.shape[2] == 32 &&
          images.shape[3] == 3 && labels.rank == 1 && labels.shape[0] == 3);
    if (labels.data) CHECK(labels.data[0] == 0.0f && labels.data[1] == 9.0f && labels.data[2] == 4.0f);
    for (i = 0; i < RECORDS * 3072 && images.data; i++) {
        size_t image = i / 3072, pixel = i % 3072 / 3, channel = i % 3;
        CHECK(images.data[i] == (float)file[image * 3073 + 1 + channel * 1024 + pixel]);
    }
    ssde_tensor_release(&context, &images);
    ssde_tensor_release(&context, &labels);
    CHECK_OK(ssde_cifar10_load(&context, CORE_TEMPORARY, &images, NULL));
    ssde_tensor_release(&context, &images);
    for (length = 0; length <= SIZE + 1; length += length < 5 || length > SIZE - 5 ? 1 : 61) {
        if (length && length % 3073 == 0) continue;
        core_file(CORE_TEMPORARY, file, length);
        CHECK_FAILS(&context, ssde_cifar10_load(&context, CORE_TEMPORARY, &images, &labels), SSDE_ERROR_FORMAT, "3073");
        CHECK(!images.data && !labels.data);
    }
    file[3073] = 10;
    core_file(CORE_TEMPORARY, file, SIZE);
    CHECK_FAILS(&context, ssde_cifar10_load(&context, CORE_TEMPORARY, &images, &labels), SSDE_ERROR_FORMAT, "label 10");
    file[0] = 0x1f, file[1] = 0x8b;
    core_file(CORE_TEMPORARY, file, 100);
    CHECK_FAILS(&context, ssde_cifar10_load(&context, CORE_TEMPORARY, &images, &labels), SSDE_ERROR_FORMAT, "gunzip");
    CHECK_FAILS(&context, ssde_cifar10_load(&context, CORE_TEMPORARY, NULL, &labels), SSDE_ERROR_ARGUMENT, "images");
    remove(CORE_TEMPORARY);
}

/* Everything that allocates, with each of its allocations failing in turn. */
static ssde_status core_allocating(ssde_context *context, int which) {
    static const unsigned char idx[] = {0, 0, 8, 1, 0, 0, 0, 3, 9, 0, 7};
    static unsigned char cifar[3073];
    const size_t shape[2] = {20, 20};
    float x[400] = {0}, y[400] = {0}, z[400];
    ssde_tensor a = ssde_tensor_2d(x, 20, 20), b = ssde_tensor_2d(y, 20, 20), out = ssde_tensor_2d(z, 20, 20);
    ssde_tensor tensor, labels;
    ssde_status status = SSDE_OK;
    memset(&tensor, 0, sizeof tensor);
    memset(&labels, 0, sizeof labels);
    switch (which) {
        case 0: status = ssde_tensor_create(context, &tensor, 2, shape); break;
        case 1: status = ssde_tensor_matmul(context, &a, 1, &b, 1, &out); break;
        case 2: status = ssde_npy_save(context, CORE_TEMPORARY, &a); break;
        case 3:
            ssde_npy_save(NULL, CORE_TEMPORARY, &a);
            status = ssde_npy_load(context, CORE_TEMPORARY, &tensor);
            break;
        case 4: status = ssde_idx_load(context, core_file(CORE_TEMPORARY, idx, sizeof idx), &tensor); break;
        case 5:
            core_file(CORE_TEMPORARY, cifar, sizeof cifar);
            status = ssde_cifar10_load(context, CORE_TEMPORARY, &tensor, &labels);
            break;
    }
    CHECK(which == 1 || which == 2 || (status == SSDE_OK) == (tensor.data != NULL));
    ssde_tensor_release(context, &tensor);
    ssde_tensor_release(context, &labels);
    return status;
}

static void test_files_failing_allocator(void) {
    int which;
    for (which = 0; which <= 5; which++) {
        core_allocator allocator;
        ssde_context context;
        size_t needed, n;
        memset(&allocator, 0, sizeof allocator);
        memset(&context, 0, sizeof context);
        context.allocate = core_allocate;
        context.release = core_release;
        context.user = &allocator;
        CHECK_OK(core_allocating(&context, which));
        needed = allocator.calls;
        CHECK((needed > 0) == (which != 2) && allocator.live == 0); /* saving takes none */
        for (n = 1; n <= needed; n++) {
            allocator.calls = 0;
            allocator.fail_at = n;
            CHECK_FAILS(&context, core_allocating(&context, which), SSDE_ERROR_MEMORY, "allocate");
            CHECK(allocator.live == 0);
        }
    }
    remove(CORE_TEMPORARY);
}

/* ---- memory ---- */

typedef struct core_object {
    size_t count;
    double *numbers;
    char *text;
    float *more;
} core_object;
static void core_object_arrays(void *object, ssdei_memory *memory) {
    core_object *o = (core_object *)object;
    o->numbers = ssdei_place(memory, double, o->count);
    o->text = ssdei_place(memory, char, 5);
    o->more = ssdei_place(memory, float, o->count);
}

/* Zeroed, each array on its own cache lines, in the order of their names; between them nothing may be touched, which
   AddressSanitizer sees to. */
static void core_object_check(const core_object *o, const char *begin, const char *end) {
    const char *pieces[4];
    size_t bytes[3], i, k;
    bytes[0] = o->count * sizeof *o->numbers, bytes[1] = 5, bytes[2] = o->count * sizeof *o->more;
    pieces[0] = (const char *)o->numbers, pieces[1] = o->text, pieces[2] = (const char *)o->more, pieces[3] = end;
    CHECK(pieces[0] >= begin);
    for (i = 0; i < 3; i++) {
        CHECK((uintptr_t)pieces[i] % SSDEI_ALIGNMENT == 0 && pieces[i] + bytes[i] <= pieces[i + 1]);
        for (k = 0; k < bytes[i]; k++) CHECK(pieces[i][k] == 0);
#ifdef SSDEI_ADDRESS_SANITIZER
        CHECK(!bytes[i] || !__asan_address_is_poisoned(pieces[i] + bytes[i] - 1));
        CHECK(__asan_address_is_poisoned(pieces[i] + bytes[i]) && __asan_address_is_poisoned(pieces[i + 1] - 1));
#endif
    }
}

/* One block for an object or for its arrays alone, of as many bytes as was said; what no memory holds is refused. */
static void test_memory_objects(void) {
    static const size_t counts[] = {0, 1, 8, 100};
    size_t i, bytes;
    for (i = 0; i < sizeof counts / sizeof *counts; i++) {
        core_object made = {0, NULL, NULL, NULL}, *object;
        char *block;
        made.count = counts[i];
        bytes = ssdei_object_bytes(&made, sizeof made, core_object_arrays) - ssdei_padded(0);
        object = (core_object *)ssdei_object_create(NULL, &made, sizeof made, core_object_arrays);
        CHECK(object->count == counts[i] && !made.numbers && bytes % SSDEI_ALIGNMENT == 0);
        core_object_check(object, (char *)(object + 1), (char *)object + bytes);
        memset(object->text, 1, 5);
        ssdei_release(NULL, object);
        bytes = ssdei_object_bytes(&made, 0, core_object_arrays) - ssdei_padded(0);
        block = (char *)ssdei_object_create(NULL, &made, 0, core_object_arrays);
        core_object_check(&made, block, block + bytes);
        ssdei_release(NULL, block);
    }
    for (i = 0; i < 3; i++) {
        static const size_t large[] = {SIZE_MAX, SIZE_MAX / 8, SIZE_MAX / 8 - 8};
        core_object made = {0, NULL, NULL, NULL};
        ssde_context context;
        memset(&context, 0, sizeof context);
        made.count = large[i];
        CHECK(ssdei_object_bytes(&made, sizeof made, core_object_arrays) == SIZE_MAX);
        CHECK(!ssdei_object_create(&context, &made, sizeof made, core_object_arrays));
        CHECK(strstr(context.error, "cannot allocate") != NULL);
    }
}

/* A path that cannot be written, and a disk that is full: an error, and what stood there before stays. */
static void test_files_unwritable(void) {
    static float large[100000];
    float x[4] = {1, 2, 3, 4};
    ssde_tensor tensor = ssde_tensor_1d(x, 4), before = ssde_tensor_1d(large, 100000), loaded;
    ssde_context context;
    FILE *full;
    memset(&context, 0, sizeof context);
    CHECK_FAILS(&context, ssde_npy_save(&context, "tests/no_such_folder/x.npy", &tensor), SSDE_ERROR_FILE, "no_such");
    CHECK_FAILS(&context, ssde_npy_save(&context, "", &tensor), SSDE_ERROR_ARGUMENT, "path");
    CHECK_FAILS(&context, ssde_npy_save(&context, NULL, &tensor), SSDE_ERROR_ARGUMENT, "path");
    CHECK_FAILS(&context, ssde_npy_save(&context, CORE_TEMPORARY, NULL), SSDE_ERROR_ARGUMENT, "tensor");
    CHECK_OK(ssde_npy_save(&context, CORE_TEMPORARY, &tensor));
    tensor.shape[0] = 0;
    CHECK_FAILS(&context, ssde_npy_save(&context, CORE_TEMPORARY, &tensor), SSDE_ERROR_SHAPE, "empty");
    CHECK_OK(ssde_npy_load(&context, CORE_TEMPORARY, &loaded)); /* still the first */
    CHECK(loaded.shape[0] == 4);
    ssde_tensor_release(&context, &loaded);
    remove(CORE_TEMPORARY);
#if defined(__unix__) || defined(__APPLE__)
    /* a folder, like a device, is not replaced by a file */
    CHECK_FAILS(&context, ssde_npy_save(&context, "tests", &before), SSDE_ERROR_FILE, "not a regular file");
#endif
    /* an error's text may be wrapped in another */
    ssde_fail(&context, SSDE_ERROR_FILE, "inner %d", 7);
    ssde_fail(&context, SSDE_ERROR_FILE, "inner %d", 7);
    ssde_fail(&context, SSDE_ERROR_FILE, "outer: %s", context.error);
    CHECK(!strcmp(context.error, "outer: inner 7"));
    full = fopen("/dev/full", "wb");
    if (full) {
        ssdei_writer writer;
        CHECK_OK(ssdei_writer_open(&writer, &context, CORE_TEMPORARY));
        if (writer.file) fclose(writer.file);
        writer.file = full;
        ssdei_writer_put(&writer, before.data, ssde_tensor_count(&before) * sizeof(float));
        CHECK_FAILS(&context, ssdei_writer_commit(&writer), SSDE_ERROR_FILE, "");
        CHECK(writer.file == NULL && !fopen(writer.aside, "rb") && !fopen(CORE_TEMPORARY, "rb"));
    }
}

static void test_image_grid(void) {
    /* three images of 1 x 2 in a grid of two columns, one pixel apart */
    float x[6] = {-1, 1, 0, -0.5f, -7, NAN}, rgb[6] = {0, 1, 2, 3, 4, 5};
    const unsigned char expected[2][5] = {{0, 255, 255, 128, 64}, {0, 0, 255, 255, 255}};
    const unsigned char bottom[5] = {255, 255, 255, 255, 255}, colours[6] = {0, 51, 102, 153, 204, 255};
    unsigned char pixels[15], colour[6];
    ssde_tensor images = ssde_tensor_4d(x, 3, 1, 2, 1), coloured = ssde_tensor_4d(rgb, 1, 1, 2, 3), wrong = images;
    ssde_context context;
    int width = 0, height = 0;
    memset(&context, 0, sizeof context);
    CHECK_OK(ssde_image_grid(&context, &images, 2, 1, -1, 1, NULL, &width, &height));
    CHECK(width == 5 && height == 3);
    CHECK_OK(ssde_image_grid(&context, &images, 2, 1, -1, 1, pixels, &width, &height));
    CHECK_SAME(pixels, expected[0], 5);
    CHECK_SAME(pixels + 5, bottom, 5);
    CHECK_SAME(pixels + 10, expected[1], 5);
    CHECK_OK(ssde_image_grid(&context, &coloured, 1, 9, 0, 5, colour, NULL, NULL));
    CHECK_SAME(colour, colours, 6);
    CHECK_FAILS(&context, ssde_image_grid(&context, NULL, 2, 1, -1, 1, pixels, &width, &height), SSDE_ERROR_ARGUMENT,
                "images");
    CHECK_FAILS(&context, ssde_image_grid(&context, &images, 0, 1, -1, 1, pixels, &width, &height), SSDE_ERROR_ARGUMENT,
                "columns");
    CHECK_FAILS(&context, ssde_image_grid(&context, &images, 2, 1, 1, 1, pixels, &width, &height), SSDE_ERROR_ARGUMENT,
                "low");
    CHECK_FAILS(&context, ssde_image_grid(&context, &images, 2, 1, NAN, 1, pixels, &width, &height),
                SSDE_ERROR_ARGUMENT, "low");
    wrong.shape[3] = 2;
    CHECK_FAILS(&context, ssde_image_grid(&context, &wrong, 2, 1, -1, 1, NULL, &width, &height), SSDE_ERROR_SHAPE,
                "1 or 3");
    CHECK_FAILS(&context, ssde_image_grid(&context, &images, SIZE_MAX, 1, -1, 1, NULL, &width, &height),
                SSDE_ERROR_SHAPE, "large");
    CHECK_FAILS(&context, ssde_image_grid(&context, &images, 2, SIZE_MAX, -1, 1, NULL, &width, &height),
                SSDE_ERROR_SHAPE, "large");
    CHECK_FAILS(&context, ssde_image_grid(&context, &images, 3, (size_t)INT_MAX / 2, -1, 1, NULL, &width, &height),
                SSDE_ERROR_SHAPE, "large");
    CHECK(width == 5 && height == 3); /* as they were */
}

#endif
