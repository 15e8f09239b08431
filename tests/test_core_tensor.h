/* Errors, contexts, tensors and random numbers. */
#ifndef TEST_CORE_TENSOR_H
#define TEST_CORE_TENSOR_H

#include "check.h"
#include "fixtures_core.h"
#include "threads.h"

/* ---- context: threads ---- */

/* What a loop did: how often each unit was done, whether a worker was what it may be. */
enum { LOOP_MOST = 1000, LOOP_WORKERS = 40 };
typedef struct loop_record {
    ssdei_team *team;
    size_t count, chunk, taken[LOOP_WORKERS];
    int seen[LOOP_MOST], at_work[LOOP_WORKERS], wrong[LOOP_WORKERS];
} loop_record;

static void loop_pieces(void *argument, ssdei_worker *worker) {
    loop_record *record = (loop_record *)argument;
    size_t me = worker->index, begin, end;
    if (me >= record->team->workers) abort();
    if (record->at_work[me]++) record->wrong[me] = 1; /* two have one workspace */
    while (ssdei_next_piece(worker, &begin, &end)) {
        if (begin % record->chunk || begin >= end || end > record->count) record->wrong[me] = 1;
        record->taken[me] += end - begin;
        for (; begin < end; begin++) record->seen[begin]++;
    }
    if (ssdei_next_piece(worker, &begin, &end)) record->wrong[me] = 1;
    record->at_work[me]--;
}

static int loop_is_whole(ssdei_team *team, size_t count, size_t chunk, loop_record *record) {
    size_t i, taken = 0;
    int whole = 1;
    memset(record, 0, sizeof *record);
    record->team = team;
    record->count = count;
    record->chunk = chunk;
    ssdei_parallel_for(team, count, chunk, loop_pieces, record);
    for (i = 0; i < LOOP_MOST; i++) whole &= record->seen[i] == (i < count);
    for (i = 0; i < LOOP_WORKERS; i++) {
        whole &= !record->wrong[i];
        taken += record->taken[i];
    }
    return whole && taken == count;
}

typedef struct loop_series {
    ssdei_team team;
    loop_record record;
    int whole, runs;
} loop_series;

static void loop_run_series(void *argument) {
    static const size_t counts[] = {0, 1, 2, 7, 64, LOOP_MOST};
    loop_series *series = (loop_series *)argument;
    size_t i, chunk;
    series->runs++;
    for (i = 0; i < sizeof counts / sizeof *counts; i++)
        for (chunk = 1; chunk < 40; chunk += 1 + chunk * 3)
            series->whole &= loop_is_whole(&series->team, counts[i], chunk, &series->record);
}

/* Every unit is done once, whoever works: alone, in a team that stays, within a parallel region of the user's. */
static void test_context_threads(void) {
    static loop_series series, nested[4];
    ssde_context context = ssde_context_defaults();
    threads_hook hook;
    int way, i;
    for (way = 0; way < 3; way++) {
        for (i = 1; i <= LOOP_WORKERS; i = i < 5 ? i + 1 : i * 2) {
            context.threads = i;
            context.parallel_for = way == 0 ? NULL : way == 1 ? core_backwards : threads_parallel_for;
            context.user = way == 2 ? &hook : NULL;
            hook.threads = 3;
            memset(&series, 0, sizeof series);
            series.whole = 1;
            ssdei_team_set(&series.team, &context);
            CHECK(series.team.workers == (size_t)i);
            loop_run_series(&series);
            ssdei_team_run(&series.team, loop_run_series, &series);
            ssdei_team_run(&series.team, loop_run_series, &series);
            CHECK(series.whole && series.runs == 3);
            CHECK(!series.team.present);
#if defined(__GNUC__)
            /* who is there first leaves nothing to those who are late */
            if (way == 1) CHECK(loop_is_whole(&series.team, LOOP_MOST, 1, &series.record));
            if (way == 1)
                CHECK(series.record.taken[i < SSDEI_MOST_SHARES ? i - 1 : SSDEI_MOST_SHARES - 1] == LOOP_MOST);
#endif
        }
    }
    context = ssde_context_defaults();
#ifdef _OPENMP
#pragma omp parallel for
#endif
    for (i = 0; i < 4; i++) {
        nested[i].whole = 1;
        ssdei_team_set(&nested[i].team, NULL);
        ssdei_team_run(&nested[i].team, loop_run_series, &nested[i]);
    }
    for (i = 0; i < 4; i++) CHECK(nested[i].whole && nested[i].runs == 1);
}

/* ---- tensor ---- */

static void test_tensor_create(void) {
    const size_t shape[4] = {2, 3, 4, 5};
    const size_t huge[4] = {SIZE_MAX / 2, SIZE_MAX / 2, 2, 2}, empty[2] = {3, 0}, large[2] = {SIZE_MAX / 8, 1};
    ssde_context context = ssde_context_defaults();
    ssde_tensor tensor, before;
    size_t i;
    float x[6];
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
    ssde_context context = ssde_context_defaults();
    int ra, rb, axis;
    size_t code, i, index[4];
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
/* A tier runs its own instructions, and AVX-512 alone another's: AVX2's, for few columns. */
static void test_tensor_product_tiers(void) {
    ssde_context context;
    int tier = 0;
    size_t columns;
    while (core_next_tier(&tier, &context)) {
        const ssdei_kernels *kernels = ssdei_kernels_for(&context);
        for (columns = 1; columns <= 64; columns++) {
            const ssdei_kernels *narrow = ssdei_kernels_narrow(kernels, columns);
            if (tier != SSDE_TIER_AVX512 || 2 * columns > kernels->tile_columns)
                CHECK(narrow == kernels);
            else
                CHECK(narrow != kernels && columns <= narrow->tile_columns);
        }
    }
}

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
                work.cold = ends ? 1 : 0;
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
    ssde_context context = ssde_context_defaults();
    float x[12] = {0}, y[12], z[12];
    ssde_tensor a = ssde_tensor_2d(x, 3, 4), b = ssde_tensor_2d(y, 3, 4), out = ssde_tensor_2d(z, 3, 4), bad = a;
    ssde_tensor flat = ssde_tensor_1d(z, 12), wide = ssde_tensor_2d(z, 4, 3);
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

/* ---- tensor: memory ---- */

static void test_tensor_image_grid(void) {
    /* three images of 1 x 2 in a grid of two columns, one pixel apart */
    float x[6] = {-1, 1, 0, -0.5f, -7, NAN}, rgb[6] = {0, 1, 2, 3, 4, 5};
    const unsigned char expected[2][5] = {{0, 255, 255, 128, 64}, {0, 0, 255, 255, 255}};
    const unsigned char bottom[5] = {255, 255, 255, 255, 255}, colours[6] = {0, 51, 102, 153, 204, 255};
    unsigned char pixels[15], colour[6];
    ssde_tensor images = ssde_tensor_4d(x, 3, 1, 2, 1), coloured = ssde_tensor_4d(rgb, 1, 1, 2, 3), wrong = images;
    ssde_context context = ssde_context_defaults();
    int width = 0, height = 0;
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

/* ---- random ---- */

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
        ssde_context context = ssde_context_defaults();
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
    ssde_context context = ssde_context_defaults();
    uint64_t large[2] = {1, (uint64_t)1 << 48};
    uint32_t words[4];
    float x[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    ssde_rng rng = ssde_rng_seed(42);
    CHECK(rng.seed == 42 && rng.next_sample == 0);
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

#define TEST_CORE_TENSOR_LIST(X) \
    X(context_threads)           \
    X(tensor_create)             \
    X(tensor_binary)             \
    X(tensor_unary)              \
    X(tensor_reduce)             \
    X(tensor_matmul)             \
    X(tensor_product_tiers)      \
    X(tensor_product_tiles)      \
    X(tensor_product_deep)       \
    X(tensor_arguments)          \
    X(tensor_image_grid)         \
    X(random_known_answers)      \
    X(random_tiers_match_plain)  \
    X(random_addressing)         \
    X(random_normal_accuracy)    \
    X(random_normal_statistics)  \
    X(random_uniform_statistics) \
    X(random_no_collisions)      \
    X(random_parallel)           \
    X(random_arguments)          \
    X(random_dequantise)

#endif
