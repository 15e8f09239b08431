/* The kernels of each SIMD tier beside naive twins: the same by definition, in double, one number at a time. Counts lie
   around those of vectors; what lies beyond an array is NaN, which must not be read into a result or overwritten.

   scoresde.h                        twin
       tiles                         test_tensor_product_tiles
       strip                         test_kernels_strip
       outer                         test_kernels_outer
       interleave_rows, transpose    test_kernels_rearrange: indices
       exponential                   test_kernels_elements: libm's
       draw                          test_random_tiers_match_plain, test_random_normal_accuracy: ssde_philox, libm's
       plane_scores                  test_sampler_plane_scores, test_mixture_plane_rule
       hessian_product               test_kernels_hessian
       update                        test_kernels_elements: float, the same bits
   scoresde_nn.h
       channel_sums                  test_kernels_norm
       channel_moments               test_operations_channel_moments
       norm, norm_sums,              test_kernels_norm
       norm_backward
       drop                          test_kernels_drop: the same bits
       silu, silu_backward           test_operations_silu
       silu_second                   test_operations_silu_second
       pool_max, pool_route,         test_kernels_pool
       pool_sum
       curve                         test_operations_curve, test_kernels_rectified
       multiply_add, add_scaled      test_kernels_elements
       softmax, softmax_backward     test_operations_softmax
       winograd_*                    test_kernels_winograd: direct sums over one tile
       sines                         test_kernels_sines: libm's, and the same bits on every tier
       squares, adam, approach       test_kernels_adam: and the same bits on every tier */
#ifndef TEST_KERNELS_H
#define TEST_KERNELS_H

#include "check.h"
#include "fixtures_core.h"
#include "fixtures_nn.h"
#include "nn_oracle.h"

/* ---- kernels: vector functions ---- */

/* Runs a tier's ssdei_exp or ssdei_log_positive (function 0, 1) over count values, a multiple of 16.
 */
typedef void (*nn_vector_function)(int function, const float *x, float *y, size_t count);
SSDEI_BEGIN
#define NN_VECTOR_FUNCTION(name, tier)                                                                    \
    SSDEI_TARGET_##tier static void name##_##tier(int function, const float *x, float *y, size_t count) { \
        size_t i;                                                                                         \
        for (i = 0; i < count; i += (size_t)ssdei_width_##tier) {                                         \
            ssdei_v_##tier v = ssdei_load_##tier(x + i);                                                  \
            if (function == 0)                                                                            \
                v = ssdei_exp_##tier(v);                                                                  \
            else                                                                                          \
                v = ssdei_log_positive_##tier(v);                                                         \
            ssdei_store_##tier(y + i, v);                                                                 \
        }                                                                                                 \
    }
SSDEI_TIERS(NN_VECTOR_FUNCTION, nn_vector)
#undef NN_VECTOR_FUNCTION
SSDEI_END

static nn_vector_function nn_vector_for(const ssde_context *context) {
    static const nn_vector_function functions[] = {SSDEI_TIERS(SSDEI_TIER_ITEM, nn_vector)};
    return functions[ssdei_tier_index(context)];
}

enum { VECTOR_BLOCK = 4096 };
static double nn_vector_exact(int function, double x) { return function == 0 ? exp(x) : log(x); }

/* The largest error over evenly spaced numbers (exponential) or bit patterns (logarithm). */
static double nn_vector_error(nn_vector_function vector, int function, double low, double high, size_t blocks) {
    static float x[VECTOR_BLOCK], y[VECTOR_BLOCK];
    double worst = 0.0, error;
    size_t block, i, total = blocks * VECTOR_BLOCK;
    for (block = 0; block < blocks; block++) {
        for (i = 0; i < VECTOR_BLOCK; i++)
            x[i] = (float)(low + (high - low) * (double)(block * VECTOR_BLOCK + i) / (double)(total - 1));
        for (i = 0; function == 1 && i < VECTOR_BLOCK; i++) {
            uint32_t bits = (uint32_t)(low + (high - low) * (double)(block * VECTOR_BLOCK + i) / (double)(total - 1));
            memcpy(&x[i], &bits, sizeof bits);
        }
        vector(function, x, y, VECTOR_BLOCK);
        for (i = 0; i < VECTOR_BLOCK; i++) {
            error = nn_ulps(y[i], nn_vector_exact(function, (double)x[i]));
            if (!(error <= worst)) worst = error;
        }
    }
    return worst;
}

static void test_kernels_vector_functions(void) {
    size_t blocks = check_quick ? 3 : 60, i;
    ssde_context context;
    int tier;
    for (tier = 0; nn_tier(tier, &context); tier++) {
        nn_vector_function vector = nn_vector_for(&context);
        float x[16], y[16];
        CHECK(nn_vector_error(vector, 0, -87.33654, 88.72283, 2 * blocks) <= 1.0);
        CHECK(nn_vector_error(vector, 0, -1.0, 1.0, blocks) <= 1.0);
        CHECK(nn_vector_error(vector, 0, -1e-6, 1e-6, 1) <= 1.0);
        CHECK(nn_vector_error(vector, 1, 8388608.0, 2139095039.0, 2 * blocks) <= 1.0); /* all normal numbers */
        CHECK(nn_vector_error(vector, 1, 1056964608.0, 1073741824.0, blocks) <= 1.0);  /* 1/2 to 2 */
        CHECK(nn_vector_error(vector, 1, 1065353216.0 - 2048.0, 1065353216.0 + 2047.0, 1) <= 1.0); /* around 1 */
        for (i = 0; i < 16; i++) x[i] = 0.0f;
        x[0] = NAN, x[1] = INFINITY, x[2] = -INFINITY, x[3] = 88.7228f, x[4] = 88.7229f, x[5] = 1e30f;
        x[6] = -87.3366f, x[7] = -87.3365f, x[8] = -104.0f, x[9] = -1e30f, x[10] = -0.0f, x[11] = 1e-40f, x[12] = -NAN;
        vector(0, x, y, 16);
        CHECK(isnan(y[0]) && isnan(y[12]) && isinf(y[1]) && y[1] > 0.0f && y[2] == 0.0f);
        CHECK(y[3] < INFINITY && y[3] > 3.4e38f && isinf(y[4]) && isinf(y[5]));
        CHECK(y[6] == 0.0f && y[7] >= 1.17549435e-38f && y[8] == 0.0f && y[9] == 0.0f);
        CHECK(y[10] == 1.0f && y[11] == 1.0f && y[15] == 1.0f);
    }
}

/* ---- kernels ---- */

enum { KERNELS_MOST = 77 };
static const size_t kernels_counts[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, KERNELS_MOST};
enum { KERNELS_COUNTS = sizeof kernels_counts / sizeof *kernels_counts };

/* values[count], NaN from there to room */
static void kernels_fill(uint64_t seed, float *values, size_t count, size_t room) {
    size_t i;
    oracle_normals(seed, 1.0, count, values);
    for (i = count; i < room; i++) values[i] = NAN;
}

/* Nothing was written beyond count. */
static void kernels_check_beyond(const float *values, size_t count, size_t room) {
    size_t i;
    for (i = count; i < room; i++) CHECK(isnan(values[i]));
}

/* Rows that fill up the last register tile hold NaN, which must not come into those before them; more than
   SSDEI_ROWS_BEYOND must not be written. */
static void kernels_strip_case(const ssdei_kernels *kernels, size_t rows, int accumulate) {
    enum { DEPTH = 37, MOST = 2 * SSDEI_MAX_TILE_ROWS, STRIDE_A = DEPTH + 5, STRIDE_C = SSDEI_MAX_TILE_COLUMNS + 3 };
    static float a[(MOST + SSDEI_ROWS_BEYOND) * STRIDE_A], packed[DEPTH * SSDEI_MAX_TILE_COLUMNS];
    static float c[(MOST + SSDEI_ROWS_BEYOND + 1) * STRIDE_C], before[(MOST + SSDEI_ROWS_BEYOND + 1) * STRIDE_C];
    size_t columns = kernels->tile_columns, r, j, k;
    ssdei_strip work;
    kernels_fill(1, a, rows * STRIDE_A, sizeof a / sizeof *a);
    oracle_normals(2, 1.0, DEPTH * columns, packed);
    oracle_normals(3, 1.0, sizeof c / sizeof *c, before);
    memcpy(c, before, sizeof c);
    memset(&work, 0, sizeof work);
    work.a = a, work.stride_a = STRIDE_A, work.packed = work.ahead = packed;
    work.depth = DEPTH, work.rows = rows, work.c = c, work.stride_c = STRIDE_C, work.accumulate = accumulate;
    kernels->strip(&work);
    for (r = 0; r < rows; r++) {
        for (j = 0; j < columns; j++) {
            double sum = accumulate ? (double)before[r * STRIDE_C + j] : 0.0;
            for (k = 0; k < DEPTH; k++) sum += (double)a[r * STRIDE_A + k] * (double)packed[k * columns + j];
            CHECK_NEAR(c[r * STRIDE_C + j], sum, 2e-5);
        }
        CHECK_SAME(c + r * STRIDE_C + columns, before + r * STRIDE_C + columns, (STRIDE_C - columns) * sizeof *c);
    }
    r += SSDEI_ROWS_BEYOND;
    CHECK_SAME(c + r * STRIDE_C, before + r * STRIDE_C, STRIDE_C * sizeof *c);
}

static void test_kernels_strip(void) {
    ssde_context context;
    int tier = 0;
    size_t rows;
    while (core_next_tier(&tier, &context))
        for (rows = 1; rows <= 2 * SSDEI_MAX_TILE_ROWS; rows++) {
            kernels_strip_case(ssdei_kernels_for(&context), rows, 0);
            kernels_strip_case(ssdei_kernels_for(&context), rows, 1);
        }
}

/* c (+)= sum over p of a[p][r] b[p][column] */
static void test_kernels_outer(void) {
    enum { COUNT = 37, WIDE = SSDEI_MAX_TILE_ROWS + 3, STRIDE = SSDEI_MAX_TILE_COLUMNS + 5, OFFSET = 2 };
    static float a[COUNT * WIDE], b[COUNT * SSDEI_MAX_TILE_COLUMNS], c[SSDEI_MAX_TILE_ROWS * STRIDE],
        before[sizeof c / 4];
    const float *pointers[COUNT];
    ssde_context context;
    int tier = 0, accumulate;
    size_t rows, columns, r, j, p;
    ssdei_outer work;
    for (p = 0; p < COUNT; p++) pointers[p] = a + p * WIDE;
    memset(&work, 0, sizeof work);
    work.count = COUNT;
    work.offset = OFFSET;
    work.a = pointers;
    work.b = b;
    work.c = c;
    work.stride = STRIDE;
    oracle_normals(1, 1.0, COUNT * WIDE, a);
    while (core_next_tier(&tier, &context)) {
        const ssdei_kernels *kernels = ssdei_kernels_for(&context);
        oracle_normals(2, 1.0, COUNT * kernels->tile_columns, b);
        for (rows = 1; rows <= kernels->tile_rows; rows++)
            for (columns = 1; columns <= kernels->tile_columns; columns += columns < 5 ? 1 : 3)
                for (accumulate = 0; accumulate < 2; accumulate++) {
                    oracle_normals(3, 1.0, sizeof c / sizeof *c, c);
                    memcpy(before, c, sizeof c);
                    work.b_stride = kernels->tile_columns;
                    work.rows = rows;
                    work.columns = columns;
                    work.accumulate = accumulate;
                    kernels->outer(&work);
                    for (r = 0; r < SSDEI_MAX_TILE_ROWS; r++)
                        for (j = 0; j < STRIDE; j++) {
                            double sum = accumulate ? (double)before[r * STRIDE + j] : 0.0, size = 1.0;
                            for (p = 0; p < COUNT && j < columns; p++) {
                                double term =
                                    (double)pointers[p][OFFSET + r] * (double)b[p * kernels->tile_columns + j];
                                sum += term, size += fabs(term);
                            }
                            if (r < rows && j < columns) /* a chain of 37 roundings */
                                CHECK_NEAR(c[r * STRIDE + j], sum, 37 * 6e-8 * size);
                            else
                                CHECK(c[r * STRIDE + j] == before[r * STRIDE + j]);
                        }
                }
    }
}

static void test_kernels_rearrange(void) {
    enum { ROWS = 23, WIDE = 3 * SSDEI_MAX_TILE_ROWS + KERNELS_MOST, STRIDE = 40 };
    static float a[ROWS * WIDE], to[ROWS * WIDE + 64], square[STRIDE * KERNELS_MOST];
    const float *pointers[ROWS];
    ssde_context context;
    int tier = 0;
    size_t i, p, k, depth, columns;
    for (p = 0; p < ROWS; p++) pointers[p] = a + p * WIDE;
    for (i = 0; i < ROWS * WIDE; i++) a[i] = (float)i;
    while (core_next_tier(&tier, &context)) {
        const ssdei_kernels *kernels = ssdei_kernels_for(&context);
        size_t height = kernels->tile_rows;
        for (depth = 1; depth <= 3 * height; depth++) {
            size_t whole = (depth + height - 1) / height * height;
            kernels_fill(1, to, 0, sizeof to / sizeof *to);
            kernels->interleave_rows(ROWS, pointers, depth, to);
            for (k = 0; k < whole; k++)
                for (p = 0; p < ROWS; p++) CHECK(to[(k / height * ROWS + p) * height + k % height] == pointers[p][k]);
            kernels_check_beyond(to, whole * ROWS, whole * ROWS + 1);
        }
        for (i = 0; i < KERNELS_COUNTS; i++) {
            columns = kernels_counts[i];
            kernels_fill(1, square, 0, sizeof square / sizeof *square);
            kernels->transpose(a, WIDE, ROWS, columns, square, STRIDE);
            for (k = 0; k < KERNELS_MOST; k++)
                for (p = 0; p < STRIDE; p++)
                    CHECK(k < columns && p < ROWS ? square[k * STRIDE + p] == a[p * WIDE + k]
                                                  : isnan(square[k * STRIDE + p]));
        }
    }
}

static void kernels_elements_case(const ssde_context *context, size_t count) {
    enum { ROOM = KERNELS_MOST + 40 };
    const ssdei_kernels *kernels = ssdei_kernels_for(context);
    const ssdei_nn_kernels *nn = ssdei_nn_kernels_for(context);
    const float u[3] = {-0.3f, 0.7f, 0.11f};
    float x[ROOM], y[ROOM], z[ROOM], out[ROOM], mean[ROOM];
    size_t i, period;
    int accumulate;
    kernels_fill(1, x, count, ROOM);
    kernels_fill(2, y, count, ROOM);
    kernels_fill(3, z, count, ROOM);
    kernels_fill(4, out, 0, ROOM);
    kernels->exponential(x, out, count);
    for (i = 0; i < count; i++) CHECK_RELATIVE(out[i], exp((double)x[i]), 1.2e-7); /* 1 ulp */
    kernels_check_beyond(out, count, ROOM);
    kernels_fill(4, out, 0, ROOM);
    kernels_fill(4, mean, 0, ROOM);
    CHECK(kernels->update(x, y, z, count, u, out, mean));
    for (i = 0; i < count; i++) { /* each operation rounds to float on its own, on every tier */
        volatile float of_x = u[0] * x[i], of_score = u[1] * y[i], change = of_x + of_score, middle = x[i] + change;
        volatile float of_noise = u[2] * z[i], next = middle + of_noise;
        CHECK(mean[i] == middle && out[i] == next);
    }
    kernels_check_beyond(out, count, ROOM);
    kernels_check_beyond(mean, count, ROOM);
    y[count - 1] = INFINITY;
    CHECK(!kernels->update(x, y, z, count, u, out, NULL));
    kernels_fill(2, y, count, ROOM);
    for (accumulate = 0; accumulate < 2; accumulate++) {
        kernels_fill(4, out, accumulate ? count : 0, ROOM);
        kernels_fill(4, mean, count, ROOM);
        nn->multiply_add(x, 0.75f, count, accumulate, out);
        for (i = 0; i < count; i++)
            CHECK_NEAR(out[i], 0.75 * (double)x[i] + (accumulate ? (double)mean[i] : 0.0), 1e-6);
        kernels_check_beyond(out, count, ROOM);
    }
    for (period = 1; period <= count; period++) {
        if (count % period) continue;
        kernels_fill(4, out, 0, ROOM);
        nn->add_scaled(x, y, period, 0.75f, count, out);
        for (i = 0; i < count; i++) CHECK_NEAR(out[i], 0.75 * ((double)x[i] + (double)y[i % period]), 1e-6);
        kernels_check_beyond(out, count, ROOM);
    }
}

static void test_kernels_elements(void) {
    ssde_context context;
    int tier = 0;
    size_t i;
    while (core_next_tier(&tier, &context))
        for (i = 0; i < KERNELS_COUNTS; i++) kernels_elements_case(&context, kernels_counts[i]);
}

/* out = sum_k r_k e_k (e_k - e) v - b v */
static void kernels_hessian_case(const ssdei_kernels *kernels, size_t components, size_t dim) {
    size_t stride = (dim + SSDEI_MAX_WIDTH - 1) / SSDEI_MAX_WIDTH * SSDEI_MAX_WIDTH, i, k;
    double *numbers = (double *)ssdei_allocate(NULL, (components + 1) * stride + 2 * components, sizeof *numbers);
    double *b = numbers, *e = b + stride, *r = e + components * stride, mean = 0.0;
    float v[KERNELS_MOST + 1], out[KERNELS_MOST + 1];
    ssdei_hessian work;
    uint64_t state = components + dim;
    memset(&work, 0, sizeof work);
    for (i = 0; i < dim; i++) b[i] = 1.0 + oracle_uniform(&state);
    for (k = 0; k < components; k++) {
        r[k] = 1.0 / (double)components;
        for (i = 0; i < dim; i++) e[k * stride + i] = oracle_normal(&state);
    }
    kernels_fill(5, v, dim, KERNELS_MOST + 1);
    kernels_fill(5, out, 0, KERNELS_MOST + 1);
    work.components = components, work.dim = dim, work.stride = stride;
    work.b = b, work.e = e, work.r = r, work.along = r + components;
    work.v = v, work.out = out;
    kernels->hessian_product(&work);
    for (k = 0; k < components; k++)
        for (i = 0; i < dim; i++) mean += r[k] * e[k * stride + i] * (double)v[i];
    for (i = 0; i < dim; i++) {
        double sum = -b[i] * (double)v[i], size = fabs(sum), along;
        size_t j;
        for (k = 0; k < components; k++) {
            for (j = 0, along = -mean; j < dim; j++) along += e[k * stride + j] * (double)v[j];
            sum += r[k] * along * e[k * stride + i], size += fabs(r[k] * along * e[k * stride + i]);
        }
        CHECK_NEAR(out[i], sum, 1e-7 * fabs(sum) + 1e-13 * size);
    }
    kernels_check_beyond(out, dim, KERNELS_MOST + 1);
    ssdei_release(NULL, numbers);
}

static void test_kernels_hessian(void) {
    ssde_context context;
    int tier = 0;
    size_t i, k;
    while (core_next_tier(&tier, &context))
        for (k = 1; k < 10; k++)
            for (i = 0; i < KERNELS_COUNTS; i++)
                kernels_hessian_case(ssdei_kernels_for(&context), k, kernels_counts[i]);
}

/* Sums per channel and what group norms make of them. Sums of 70 pixels run in chains of floats of up to 64. */
static void kernels_norm_case(const ssdei_nn_kernels *kernels, size_t channels, int activation) {
    enum { PIXELS = 70, ROOM = PIXELS * KERNELS_MOST + 40, MOST = KERNELS_MOST + 40 };
    static float x[ROOM], y[ROOM], dy[ROOM], du[ROOM], dx[ROOM], before[ROOM];
    float mean[MOST], a[MOST], b[MOST], slope[MOST], shift[MOST];
    double sum[KERNELS_MOST + 1], product[KERNELS_MOST + 1], add, add_product;
    size_t count = PIXELS * channels, c, i;
    int accumulate;
    kernels_fill(1, x, count, ROOM);
    kernels_fill(2, dy, count, ROOM);
    kernels_fill(3, mean, channels, MOST);
    kernels_fill(4, a, channels, MOST);
    kernels_fill(5, b, channels, MOST);
    kernels_fill(6, slope, channels, MOST);
    kernels_fill(7, shift, channels, MOST);
    kernels_fill(8, y, 0, ROOM);
    for (c = 0; c <= KERNELS_MOST; c++) sum[c] = product[c] = 1.0;
    kernels->channel_sums(x, PIXELS, channels, sum);
    for (c = 0; c < channels; c++) {
        for (add = 1.0, i = c; i < count; i += channels) add += (double)x[i];
        CHECK_NEAR(sum[c], add, 1e-4);
        sum[c] = 1.0;
    }
    CHECK(sum[channels] == 1.0);
    kernels->norm(x, mean, a, b, PIXELS, channels, activation, y);
    kernels_fill(8, du, 0, ROOM);
    kernels->norm_sums(x, dy, mean, a, b, PIXELS, channels, activation, du, sum, product);
    for (i = 0; i < count; i++) {
        double u = (double)a[i % channels] * ((double)x[i] - (double)mean[i % channels]) + (double)b[i % channels];
        CHECK_NEAR(y[i], oracle_activation(activation, u), 1e-6 * (1.0 + fabs(u)));
        CHECK_NEAR(du[i], (double)dy[i] * oracle_activation_slope(activation, u), 3e-6);
    }
    for (c = 0; c < channels; c++) {
        for (add = add_product = 1.0, i = c; i < count; i += channels) {
            add += (double)du[i];
            add_product += (double)du[i] * ((double)x[i] - (double)mean[c]);
        }
        CHECK_NEAR(sum[c], add, 1e-4);
        CHECK_NEAR(product[c], add_product, 4e-4);
    }
    CHECK(sum[channels] == 1.0 && product[channels] == 1.0);
    for (accumulate = 0; accumulate < 2; accumulate++) {
        kernels_fill(9, before, accumulate ? count : 0, ROOM);
        memcpy(dx, before, sizeof dx);
        kernels->norm_backward(x, du, mean, a, slope, shift, PIXELS, channels, accumulate, dx);
        for (i = 0; i < count; i++) {
            c = i % channels;
            CHECK_NEAR(dx[i],
                       (double)a[c] * (double)du[i] + (double)slope[c] * ((double)x[i] - (double)mean[c]) +
                           (double)shift[c] + (accumulate ? (double)before[i] : 0.0),
                       3e-6);
        }
        kernels_check_beyond(dx, count, ROOM);
    }
    kernels_check_beyond(y, count, ROOM);
    kernels_check_beyond(du, count, ROOM);
}

static void test_kernels_norm(void) {
    ssde_context context;
    int tier = 0, activation;
    size_t i;
    while (core_next_tier(&tier, &context))
        for (i = 0; i < KERNELS_COUNTS; i++)
            for (activation = SSDE_IDENTITY; activation <= SSDE_LEAKY_RELU; activation++)
                kernels_norm_case(ssdei_nn_kernels_for(&context), kernels_counts[i], activation);
}

/* Of every size, to 2 ulp; what is not a number stays so, infinities are what they tend to. */
static void kernels_rectified_case(const ssdei_nn_kernels *kernels, int activation, size_t count) {
    enum { ROOM = KERNELS_MOST + 40 };
    float x[ROOM], y[ROOM], dy[ROOM], dx[ROOM], before[ROOM];
    size_t i;
    int accumulate;
    kernels_fill(1, x, count, ROOM);
    kernels_fill(2, dy, count, ROOM);
    kernels_fill(3, y, 0, ROOM);
    for (i = 0; i < count; i++) x[i] *= (float)pow(10.0, 2.0 - (double)(i % 13));
    kernels->curve(activation, 0, x, NULL, NULL, count, 0, y);
    for (i = 0; i < count; i++) CHECK(nn_ulps(y[i], oracle_activation(activation, (double)x[i])) <= 2.0);
    kernels_check_beyond(y, count, ROOM);
    for (accumulate = 0; accumulate < 2; accumulate++) {
        kernels_fill(4, before, accumulate ? count : 0, ROOM);
        memcpy(dx, before, sizeof dx);
        kernels->curve(activation, 1, x, dy, NULL, count, accumulate, dx);
        for (i = 0; i < count; i++)
            CHECK_NEAR(dx[i],
                       (double)dy[i] * oracle_activation_slope(activation, (double)x[i]) +
                           (accumulate ? (double)before[i] : 0.0),
                       1e-6);
        kernels_check_beyond(dx, count, ROOM);
    }
    kernels->curve(activation, 2, x, NULL, NULL, count, 0, y);
    for (i = 0; i < count; i++)
        CHECK_NEAR(y[i], activation == SSDE_ELU && x[i] <= 0.0f ? exp((double)x[i]) : 0.0, 2e-7);
    x[0] = NAN, x[count / 2] = INFINITY, x[count - 1] = -INFINITY;
    kernels->curve(activation, 0, x, NULL, NULL, count, 0, y);
    for (i = 0; i < count; i++)
        CHECK(isnan(x[i]) ? isnan(y[i])
                          : y[i] == (float)oracle_activation(activation, (double)x[i]) || fabsf(x[i]) < 200);
}

static void test_kernels_rectified(void) {
    static const int activations[] = {SSDE_RELU, SSDE_ELU, SSDE_LEAKY_RELU};
    ssde_context context;
    int tier = 0;
    size_t i, k;
    while (core_next_tier(&tier, &context))
        for (i = 0; i < KERNELS_COUNTS; i++)
            for (k = 0; k < 3; k++)
                kernels_rectified_case(ssdei_nn_kernels_for(&context), activations[k], kernels_counts[i]);
}

/* Values from a few, so that some are equal; strides shorter than a vector, whose taps overlap, and longer. */
static void kernels_pool_case(const ssdei_nn_kernels *kernels, size_t stride, size_t taps, size_t count) {
    enum { ROOM = 6 * KERNELS_MOST + 40 };
    float x[ROOM], rates[ROOM], y[ROOM], rate[ROOM], dx[ROOM], before[ROOM];
    double added[ROOM], sum;
    size_t all = (taps - 1) * stride + count, i, k;
    int accumulate;
    kernels_fill(1, x, all, ROOM);
    kernels_fill(2, rates, all, ROOM);
    kernels_fill(3, y, 0, ROOM);
    kernels_fill(3, rate, 0, ROOM);
    kernels_fill(4, before, all, ROOM);
    for (i = 0; i < all; i++) x[i] = floorf(x[i]), added[i] = (double)before[i];
    kernels->pool_max(x, rates, stride, taps, count, y, rate);
    memcpy(dx, before, sizeof dx);
    kernels->pool_route(x, stride, taps, rates, count, dx);
    for (i = 0; i < count; i++) {
        size_t first = i;
        for (k = 1; k < taps; k++)
            if (x[i + k * stride] > x[first]) first = i + k * stride;
        CHECK(y[i] == x[first] && rate[i] == rates[first]);
        added[first] += (double)rates[i];
    }
    for (i = 0; i < all; i++) CHECK_NEAR(dx[i], added[i], 2e-6);
    kernels_check_beyond(y, count, ROOM);
    kernels_check_beyond(rate, count, ROOM);
    kernels_check_beyond(dx, all, ROOM);
    for (accumulate = 0; accumulate < 2; accumulate++) {
        kernels_fill(5, y, accumulate ? count : 0, ROOM);
        memcpy(before, y, sizeof y);
        kernels->pool_sum(rates, stride, taps, 0.25f, count, accumulate, y);
        for (i = 0; i < count; i++) {
            for (k = 0, sum = 0.0; k < taps; k++) sum += 0.25 * (double)rates[i + k * stride];
            CHECK_NEAR(y[i], sum + (accumulate ? (double)before[i] : 0.0), 1e-6);
        }
        kernels_check_beyond(y, count, ROOM);
    }
    for (k = 0; k < taps; k++) {
        float kept = x[k * stride];
        x[k * stride] = NAN;
        kernels->pool_max(x, NULL, stride, taps, count, y, NULL);
        CHECK(isnan(y[0]));
        x[k * stride] = kept;
    }
}

static void test_kernels_pool(void) {
    ssde_context context;
    int tier = 0;
    size_t i, taps;
    while (core_next_tier(&tier, &context))
        for (i = 0; i < KERNELS_COUNTS; i++)
            for (taps = 1; taps <= 5; taps++) {
                kernels_pool_case(ssdei_nn_kernels_for(&context), KERNELS_MOST, taps, kernels_counts[i]);
                kernels_pool_case(ssdei_nn_kernels_for(&context), 1 + i % 5, taps, kernels_counts[i]);
            }
}

/* Values of which some are dropped, in another place and in x's own. */
static void kernels_drop_case(const ssdei_nn_kernels *kernels, size_t count, uint32_t least, int accumulate) {
    enum { ROOM = KERNELS_MOST + 40 };
    uint32_t words[ROOM];
    float x[ROOM], y[ROOM], before[ROOM];
    size_t i;
    kernels_fill(1, x, count, ROOM);
    kernels_fill(2, before, accumulate ? count : 0, ROOM);
    memcpy(y, before, sizeof y);
    CHECK_OK(ssde_random_words(NULL, 7, SSDE_STREAM_USER, 0, NULL, 1, ROOM, words));
    words[1] = least << 16 | (least - 1); /* just kept, just dropped */
    kernels->drop(x, words, least, 1.25f, count, accumulate, y);
    for (i = 0; i < count; i++) {
        uint32_t word = words[i / 32 * 16 + i % 16], number = i / 16 % 2 ? word >> 16 : word & 0xffff;
        float kept = number < least ? 0.0f * x[i] : 1.25f * x[i];
        CHECK(y[i] == (accumulate ? before[i] + kept : kept));
    }
    kernels_check_beyond(y, count, ROOM);
    kernels->drop(x, words, least, 1.25f, count, 0, x);
    for (i = 0; i < count && !accumulate; i++) CHECK(x[i] == y[i]);
}

static void test_kernels_drop(void) {
    ssde_context context;
    int tier = 0;
    size_t i;
    while (core_next_tier(&tier, &context)) {
        for (i = 0; i < 2 * KERNELS_COUNTS; i++) {
            kernels_drop_case(ssdei_nn_kernels_for(&context), kernels_counts[i / 2], 6554, i % 2);
            kernels_drop_case(ssdei_nn_kernels_for(&context), kernels_counts[i / 2], i % 2 ? 65535 : 1, 0);
        }
    }
}

/* One tile of 4 x 4 outputs, of which the first rows x columns are there, one channel in and out per lane:
   y = (sum over taps x g + bias + residual) scale, and dg = sum over outputs dy x, both through the transforms. */
static void kernels_winograd_case(const ssdei_nn_kernels *kernels, size_t channels, size_t rows, size_t columns,
                                  const ssdei_window *inside) {
    enum { POINT = KERNELS_MOST + 40 };
    static float x[36 * KERNELS_MOST], g[9 * KERNELS_MOST], dy[16 * KERNELS_MOST], residual[16 * KERNELS_MOST];
    static float v[36 * POINT], u[36 * POINT], w[36 * POINT], y[16 * KERNELS_MOST], dg[9 * KERNELS_MOST], bias[POINT];
    float total[POINT];
    ssdei_epilogue epilogue;
    size_t c, i, j, p, q;
    oracle_normals(1, 1.0, 36 * channels, x);
    oracle_normals(2, 1.0, 9 * channels, g);
    oracle_normals(3, 1.0, 16 * channels, dy);
    oracle_normals(4, 1.0, 16 * channels, residual);
    kernels_fill(5, bias, channels, POINT);
    for (i = 0; i < 16 * channels; i++) y[i] = NAN;
    kernels_fill(6, total, 0, POINT);
    for (i = 0; i < 9 * channels; i++) dg[i] = 1.0f;
    kernels->winograd_input(x + (6 * inside->top + inside->left) * channels, 6 * channels, channels, channels, inside,
                            v, POINT);
    for (i = 0; i < 6; i++) /* one input channel, in rows of whole vectors */
        kernels->winograd_weights(g, channels, (channels + 15) / 16 * 16, 1, channels, 2.0f, i, u + 6 * i * POINT,
                                  POINT);
    kernels->winograd_gradient(dy, 4 * channels, channels, rows, columns, channels, 0.5f, w, POINT, total);
    for (p = 0; p < 36; p++)
        for (c = 0; c < channels; c++) u[p * POINT + c] *= v[p * POINT + c], w[p * POINT + c] *= v[p * POINT + c];
    memset(&epilogue, 0, sizeof epilogue);
    epilogue.bias = bias, epilogue.residual = residual, epilogue.scale = 0.25f;
    epilogue.row = 4 * channels, epilogue.pixel = channels;
    kernels->winograd_output(u, POINT, channels, &epilogue, y, 4 * channels, channels, rows, columns);
    kernels->winograd_weight_gradient(w, POINT, channels, dg, channels);
    for (c = 0; c < channels; c++) {
        double slope[9] = {0}, sums = 0.0;
        for (i = 0; i < 4; i++)
            for (j = 0; j < 4; j++) {
                double sum = 0.0, given = 0.5 * (double)dy[(4 * i + j) * channels + c];
                if (i >= rows || j >= columns) {
                    CHECK(isnan(y[(4 * i + j) * channels + c]));
                    continue;
                }
                for (p = 0; p < 3; p++)
                    for (q = 0; q < 3; q++) {
                        size_t r = i + p, s = j + q;
                        int there = r >= inside->top && r < inside->bottom && s >= inside->left && s < inside->right;
                        double at = there ? (double)x[(6 * r + s) * channels + c] : 0.0;
                        sum += at * 2.0 * (double)g[(3 * p + q) * channels + c];
                        slope[3 * p + q] += at * given;
                    }
                sums += given;
                sum = 0.25 * (sum + (double)bias[c] + (double)residual[(4 * i + j) * channels + c]);
                CHECK_NEAR(y[(4 * i + j) * channels + c], sum, 1e-4); /* the transforms lose three digits of seven */
            }
        for (p = 0; p < 9; p++) CHECK_NEAR(dg[p * channels + c], 1.0 + slope[p], 2e-4);
        CHECK_NEAR(total[c], sums, 4e-6);
    }
    kernels_check_beyond(total, channels, POINT);
}

static void test_kernels_winograd(void) {
    static const ssdei_window windows[] = {{0, 6, 0, 6}, {1, 6, 1, 6}, {0, 5, 0, 4}, {1, 3, 2, 6}};
    ssde_context context;
    int tier = 0;
    size_t i, k, rows;
    while (core_next_tier(&tier, &context))
        for (i = 0; i < KERNELS_COUNTS; i++)
            for (k = 0; k < 4; k++)
                for (rows = 1; rows <= 4; rows++)
                    kernels_winograd_case(ssdei_nn_kernels_for(&context), kernels_counts[i], rows, 1 + (rows + k) % 4,
                                          &windows[k]);
}

/* Angles of every size, multiples of pi / 2 rounded to floats among them, which leave least. */
static void test_kernels_sines(void) {
    enum { ANGLES = 4096, ROOM = ANGLES + 40 };
    static float x[ROOM], sine[ROOM], cosine[ROOM], wanted[2][ROOM];
    ssde_context context;
    int tier = 0, first = 1;
    size_t i;
    kernels_fill(30, x, 0, ROOM);
    for (i = 0; i < ANGLES; i++) {
        double size = pow(2.0, 20.0 - 40.0 * (double)(i / 2) / (ANGLES / 2));
        x[i] = (float)(i % 4 < 2 ? size : floor(size / 1.5707963267948966) * 1.5707963267948966);
        if (i % 2) x[i] = -x[i];
    }
    for (; core_next_tier(&tier, &context); first = 0) {
        const ssdei_nn_kernels *kernels = ssdei_nn_kernels_for(&context);
        kernels_fill(31, sine, 0, ROOM);
        memcpy(cosine, x, sizeof cosine);
        kernels->sines(cosine, ANGLES, sine, cosine);
        for (i = 0; i < ANGLES; i++) {
            CHECK(nn_ulps(sine[i], sin((double)x[i])) <= 0.501);
            CHECK(nn_ulps(cosine[i], cos((double)x[i])) <= 0.501);
        }
        kernels_check_beyond(sine, ANGLES, ROOM);
        kernels_check_beyond(cosine, ANGLES, ROOM);
        if (first) memcpy(wanted[0], sine, sizeof sine), memcpy(wanted[1], cosine, sizeof cosine);
        CHECK_SAME(sine, wanted[0], ANGLES * sizeof *sine);
        CHECK_SAME(cosine, wanted[1], ANGLES * sizeof *cosine);
        for (i = 0; i < KERNELS_COUNTS; i++) {
            size_t count = kernels_counts[i];
            kernels_fill(31, sine, 0, ROOM);
            kernels_fill(32, cosine, 0, ROOM);
            kernels->sines(x, count, sine, cosine);
            CHECK_SAME(sine, wanted[0], count * sizeof *sine);
            CHECK_SAME(cosine, wanted[1], count * sizeof *cosine);
            kernels_check_beyond(sine, count, ROOM);
            kernels_check_beyond(cosine, count, ROOM);
        }
    }
}

/* ---- training's update ---- */

enum { ADAM_ROOM = KERNELS_MOST + 40, ADAM_ARRAYS = 5 };
enum { ADAM_GRADIENT, ADAM_WEIGHT, ADAM_AVERAGE, ADAM_FIRST, ADAM_SECOND };

/* Gradients of every size, 0 and those with subnormal squares among them, and what came of others. */
static void kernels_adam_fill(size_t count, float values[ADAM_ARRAYS][ADAM_ROOM]) {
    size_t i, k;
    for (k = 0; k < ADAM_ARRAYS; k++) kernels_fill(20 + k, values[k], count, ADAM_ROOM);
    for (i = 0; i < count; i++) {
        values[ADAM_GRADIENT][i] *= (float)pow(10.0, 4.0 - (double)(i % 27));
        if (i % 27 == 26) values[ADAM_GRADIENT][i] = 0.0f;
        values[ADAM_FIRST][i] *= values[ADAM_GRADIENT][i];
        values[ADAM_SECOND][i] *= values[ADAM_SECOND][i] * values[ADAM_GRADIENT][i] * values[ADAM_GRADIENT][i];
        if (i % 7 == 0 || values[ADAM_SECOND][i] < FLT_MIN) values[ADAM_SECOND][i] = 0.0f;
    }
    if (count <= 8) return;
    values[ADAM_GRADIENT][8] = 0.0f;
    values[ADAM_FIRST][8] = values[ADAM_SECOND][8] = FLT_MIN; /* both decay below it */
}

/* The average moves on by a share, where the weights are. */
static void kernels_approach_case(const ssdei_nn_kernels *kernels, float take, size_t count,
                                  float values[ADAM_ARRAYS][ADAM_ROOM]) {
    float before[ADAM_ROOM];
    size_t i;
    memcpy(before, values[ADAM_AVERAGE], sizeof before);
    kernels->approach(values[ADAM_WEIGHT], take, count, values[ADAM_AVERAGE]);
    for (i = 0; i < count; i++) {
        double mean = (double)before[i], x = (double)values[ADAM_WEIGHT][i];
        CHECK_NEAR(values[ADAM_AVERAGE][i], mean - (double)take * (mean - x), 1.3e-7 * (fabs(mean) + fabs(x)));
    }
}

/* One weight; what is below `least` or FLT_MIN lies so far below eps that no float sees it. */
static void kernels_adam_check(const ssdei_adam *by, float before[ADAM_ARRAYS][ADAM_ROOM],
                               float after[ADAM_ARRAYS][ADAM_ROOM], size_t i) {
    double w = (double)before[ADAM_WEIGHT][i], average = (double)before[ADAM_AVERAGE][i];
    double g = (double)by->clip * (double)before[ADAM_GRADIENT][i] + (double)by->weight_decay * w;
    double first = (double)by->keep1 * (double)before[ADAM_FIRST][i], part = (double)by->take1 * g;
    double second = (double)by->keep2 * (double)before[ADAM_SECOND][i] + (double)by->take2 * g * g, moved;
    CHECK_NEAR(after[ADAM_FIRST][i], first + part, 1.3e-7 * (fabs(first) + fabs(part)) + (double)FLT_MIN);
    CHECK(fabs((double)after[ADAM_FIRST][i]) >= FLT_MIN || after[ADAM_FIRST][i] == 0.0f);
    CHECK_NEAR(after[ADAM_SECOND][i], second, 3e-7 * second + 2.0 * (double)FLT_MIN);
    CHECK(after[ADAM_SECOND][i] >= FLT_MIN || after[ADAM_SECOND][i] == 0.0f);
    moved = (double)by->rate * (first + part) / (sqrt(second) * (double)by->root_scale + (double)by->eps);
    CHECK_NEAR(after[ADAM_WEIGHT][i], w - moved,
               6e-8 * fabs(w - moved) + 6e-7 * fabs(moved) * (fabs(first) + fabs(part)) / (fabs(first + part) + 1e-30));
    w = (double)after[ADAM_WEIGHT][i];
    CHECK_NEAR(after[ADAM_AVERAGE][i], average - (double)by->ema * (average - w), 1.3e-7 * (fabs(average) + fabs(w)));
    CHECK(after[ADAM_GRADIENT][i] == 0.0f);
}

static void kernels_adam_case(const ssdei_adam *by, size_t count) {
    float before[ADAM_ARRAYS][ADAM_ROOM], after[ADAM_ARRAYS][ADAM_ROOM], scalar[ADAM_ARRAYS][ADAM_ROOM];
    ssde_context context;
    double sum, squares, scalar_squares = 0.0;
    int tier = 0, first_tier = 1;
    size_t i, k;
    kernels_adam_fill(count, before);
    for (; core_next_tier(&tier, &context); first_tier = 0) {
        const ssdei_nn_kernels *kernels = ssdei_nn_kernels_for(&context);
        memcpy(after, before, sizeof after);
        squares = kernels->squares(before[ADAM_GRADIENT], count);
        for (sum = 0.0, i = 0; i < count; i++)
            sum += (double)before[ADAM_GRADIENT][i] * (double)before[ADAM_GRADIENT][i];
        CHECK_RELATIVE(squares, sum, 1e-15);
        kernels->adam(by, count, after[ADAM_GRADIENT], after[ADAM_WEIGHT], after[ADAM_AVERAGE], after[ADAM_FIRST],
                      after[ADAM_SECOND]);
        for (i = 0; i < count; i++) kernels_adam_check(by, before, after, i);
        kernels_approach_case(kernels, by->take1, count, after);
        for (k = 0; k < ADAM_ARRAYS; k++) kernels_check_beyond(after[k], count, ADAM_ROOM);
        if (first_tier) memcpy(scalar, after, sizeof scalar), scalar_squares = squares;
        for (k = 0; k < ADAM_ARRAYS; k++) CHECK_SAME(after[k], scalar[k], count * sizeof(float));
        CHECK(squares == scalar_squares);
    }
}

static void test_kernels_adam(void) {
    static const ssdei_adam plain = {1.0f, 0.0f, 0.9f, 0.1f, 0.999f, 0.001f, 2e-3f, 31.6f, 1e-8f, 0.8f, 3.5e-18f};
    static const ssdei_adam decayed = {0.37f, 0.01f, 0.5f, 0.5f, 0.9f, 0.1f, 1e-4f, 1.3f, 1e-6f, 1e-4f, 3.5e-19f};
    size_t i;
    for (i = 0; i < KERNELS_COUNTS; i++) {
        kernels_adam_case(&plain, kernels_counts[i]);
        kernels_adam_case(&decayed, kernels_counts[i]);
    }
}

#define TEST_KERNELS_LIST(X)    \
    X(kernels_vector_functions) \
    X(kernels_strip)            \
    X(kernels_outer)            \
    X(kernels_rearrange)        \
    X(kernels_elements)         \
    X(kernels_hessian)          \
    X(kernels_norm)             \
    X(kernels_rectified)        \
    X(kernels_pool)             \
    X(kernels_drop)             \
    X(kernels_winograd)         \
    X(kernels_sines)            \
    X(kernels_adam)

#endif
