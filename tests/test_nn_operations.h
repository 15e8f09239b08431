/* Every operation and its derivatives against an oracle in double, on every tier. */
#ifndef TEST_NN_OPERATIONS_H
#define TEST_NN_OPERATIONS_H

#include "check.h"
#include "fixtures_nn.h"
#include "nn_oracle.h"
#include "threads.h"

/* ---- operations ---- */

/* A convolution after another, which has parameters too. residual 0: none; 1: another convolution; 2: its own input; 3:
   one value per channel. */
static void nn_conv_case(size_t height, size_t width, size_t in, const ssde_conv_desc *desc, int residual, int as) {
    oracle o;
    ssde_conv_desc conv = *desc;
    int x;
    oracle_open(&o);
    x = oracle_conv1(&o, oracle_input(&o, height, width, 2), in);
    if (residual == 1) conv.residual = oracle_conv(&o, 0, desc, ORACLE_AS_CONV);
    if (residual == 2) conv.residual = x;
    if (residual == 3) conv.residual = oracle_conv1(&o, oracle_positional(&o, oracle_label(&o), 6), desc->channels);
    oracle_finish(&o, oracle_conv(&o, x, &conv, as));
    nn_check(&o, NULL);
    oracle_close(&o);
}

/* Kernel, stride, padding, odd and even sizes down to one pixel; channels and residuals go round with them. */
static void test_operations_conv_padding(void) {
    static const size_t channels[] = {1, 2, 3, 4, 5, 17, 33}, sizes[][2] = {{1, 1}, {1, 5}, {4, 3}, {5, 5}, {6, 7}};
    static const double scales[] = {1.0, 0.70710678118654752, -1.5};
    size_t number, turn, s;
    int kernel, stride, before, after;
    for (turn = 0, number = 0; turn < (check_quick ? 1u : 4u); turn++, number += 2)
        for (kernel = 1; kernel <= 3; kernel += 2)
            for (stride = 1; stride <= 2; stride++)
                for (before = 0; before < kernel; before++)
                    for (after = 0; after < kernel; after++)
                        for (s = 0; s < 5; s++) {
                            ssde_conv_desc desc = ssde_conv(channels[(number * 3 + 1) % 7], kernel);
                            if (sizes[s][0] + (size_t)(before + after) < (size_t)kernel) continue;
                            number++;
                            if (check_quick && number % 12 != 5) continue;
                            desc.stride = stride;
                            desc.pad_before = before;
                            desc.pad_after = after;
                            desc.scale = scales[number % 3];
                            nn_conv_case(sizes[s][0], sizes[s][1], channels[number % 7], &desc, (int)(number / 2 % 2),
                                         ORACLE_AS_CONV);
                        }
}

/* Sums and columns longer than a block, more pixels than a chunk; every width of the last panel. */
static void test_operations_conv_sizes(void) {
    static const size_t shapes[][4] = {{3, 2, 300, 5}, {2, 3, 5, 70},  {13, 11, 3, 4}, {18, 17, 2, 3},
                                       {2, 2, 9, 33},  {1, 2, 33, 17}, {2, 1, 16, 48}, {3, 3, 130, 8}};
    size_t i, n = check_quick ? 2 : 8;
    for (i = 0; i < n; i++) {
        ssde_conv_desc desc = ssde_conv(shapes[i][3], 3);
        desc.scale = 0.5;
        nn_conv_case(shapes[i][0], shapes[i][1], shapes[i][2], &desc, (int)i % 2, ORACLE_AS_CONV);
        desc = ssde_conv(shapes[i][3], 3);
        desc.stride = 2;
        nn_conv_case(shapes[i][0], shapes[i][1], shapes[i][2], &desc, 0, ORACLE_AS_CONV);
        desc = ssde_conv(shapes[i][3], 1);
        nn_conv_case(shapes[i][0], shapes[i][1], shapes[i][2], &desc, 1, ORACLE_AS_NIN);
    }
    for (i = 1; i <= (check_quick ? 3u : 33u); i++) {
        ssde_conv_desc desc = ssde_conv(i, 1);
        nn_conv_case(1, 1, 1 + i % 6, &desc, 0, i % 2 ? ORACLE_AS_LINEAR : ORACLE_AS_NIN);
    }
}

/* Taps apart, on images that dilation divides and such that it does not, smaller than the kernel's reach or larger;
   padding of the same size, none, and such that grids of the input and the output differ. Without bias. */
static void test_operations_conv_dilation(void) {
    static const size_t shapes[][4] = {{5, 7, 3, 5}, {8, 8, 40, 17}, {1, 3, 33, 4}, {13, 10, 9, 40}, {17, 6, 2, 9}};
    static const int dilations[] = {2, 3, 4, 7}, residuals[] = {0, 1, 3};
    size_t i, k, pad;
    for (i = 0; i < 5; i++)
        for (k = 0; k < 4; k++)
            for (pad = 0; pad < 4; pad++) {
                ssde_conv_desc desc = ssde_conv(shapes[i][3], 3);
                int reach = 2 * dilations[k];
                if (check_quick && (i + k + pad) % 7) continue;
                desc.dilation = dilations[k];
                desc.pad_before = pad == 0 ? dilations[k] : pad == 1 ? reach : pad == 2 ? 1 : 0;
                desc.pad_after = pad < 2 ? dilations[k] : reach;
                desc.stride = pad == 3 && k % 2 ? 2 : 1;
                desc.no_bias = k < 2;
                desc.scale = 0.75;
                if ((int)shapes[i][0] + desc.pad_before + desc.pad_after > reach &&
                    (int)shapes[i][1] + desc.pad_before + desc.pad_after > reach)
                    nn_conv_case(shapes[i][0], shapes[i][1], shapes[i][2], &desc, pad ? 0 : residuals[(i + k) % 3],
                                 ORACLE_AS_CONV);
            }
    for (i = 0; i < 2; i++) {
        ssde_conv_desc desc = ssde_conv(5, 1);
        desc.no_bias = 1;
        nn_conv_case(3, 4, 6, &desc, 1, i ? ORACLE_AS_NIN : ORACLE_AS_CONV);
    }
}

/* The residual is the convolution's own input: two gradients meet. */
static void test_operations_conv_residual(void) {
    static const size_t channels[] = {1, 4, 17};
    size_t i;
    for (i = 0; i < 3; i++) {
        ssde_conv_desc desc = ssde_conv(channels[i], 3);
        desc.scale = 0.70710678118654752;
        nn_conv_case(3, 4, channels[i], &desc, 2, ORACLE_AS_CONV);
        desc = ssde_conv(channels[i], 1);
        desc.scale = -2.0;
        nn_conv_case(2, 1, channels[i], &desc, 2, ORACLE_AS_NIN);
    }
}

/* One value per channel is added to every pixel of a sample, whose pixels share chunks and blocks with others'. */
static void test_operations_conv_channel_residual(void) {
    static const size_t sizes[][2] = {{1, 1}, {3, 5}, {9, 8}};
    size_t i;
    for (i = 0; i < 3; i++) {
        ssde_conv_desc desc = ssde_conv(4 * i + 1, 3);
        desc.scale = 0.5;
        nn_conv_case(sizes[i][0], sizes[i][1], 3 + i, &desc, 3, ORACLE_AS_CONV);
        desc = ssde_conv(17, 1);
        nn_conv_case(sizes[i][0], sizes[i][1], 30, &desc, 3, ORACLE_AS_NIN);
        desc = ssde_conv(33, 3);
        nn_conv_case(sizes[i][0], sizes[i][1], 2, &desc, 3, ORACLE_AS_CONV);
    }
}

/* A layer of several blocks of tiles, groups of columns and blocks along the sum: samples of its output and of both
   gradients against sums in double. Direct sums err by some 1e-7 of the result's norm here, Winograd by 1e-6, three
   times that by weights, whose sums are the longest; the same bits from 1 and 3 threads. */
enum { WIDE_ROWS = 3, WIDE_SIDE = 21, WIDE_CHANNELS = 150, WIDE_SAMPLES = 200, WIDE_PIXELS = WIDE_SIDE * WIDE_SIDE };

/* An element of x [rows, side, side, channels], 0 outside. */
static double nn_wide_at(const float *x, size_t row, int iy, int ix, size_t c) {
    if (iy < 0 || ix < 0 || iy >= WIDE_SIDE || ix >= WIDE_SIDE) return 0.0;
    return (double)x[((row * WIDE_SIDE + (size_t)iy) * WIDE_SIDE + (size_t)ix) * WIDE_CHANNELS + c];
}

/* What element `at` of y, dx or dw is, given weights [3][3][in][out]. */
static double nn_wide_output(const float *x, const float *w, size_t at, int backward) {
    size_t c = at % WIDE_CHANNELS, pixel = at / WIDE_CHANNELS, i, k;
    int iy = (int)(pixel / WIDE_SIDE % WIDE_SIDE), ix = (int)(pixel % WIDE_SIDE);
    double sum = 0.0;
    for (k = 0; k < 9; k++) {
        int dy = (int)(k / 3) - 1, dx = (int)(k % 3) - 1;
        for (i = 0; i < WIDE_CHANNELS; i++) {
            const float *tap = w + k * WIDE_CHANNELS * WIDE_CHANNELS;
            sum += backward
                       ? (double)tap[c * WIDE_CHANNELS + i] * nn_wide_at(x, pixel / WIDE_PIXELS, iy - dy, ix - dx, i)
                       : (double)tap[i * WIDE_CHANNELS + c] * nn_wide_at(x, pixel / WIDE_PIXELS, iy + dy, ix + dx, i);
        }
    }
    return sum;
}
static double nn_wide_weight(const float *x, const float *dy, size_t at) {
    size_t o = at % WIDE_CHANNELS, i = at / WIDE_CHANNELS % WIDE_CHANNELS, k = at / WIDE_CHANNELS / WIDE_CHANNELS, p;
    double sum = 0.0;
    for (p = 0; p < WIDE_ROWS * WIDE_PIXELS; p++) {
        int iy = (int)(p / WIDE_SIDE % WIDE_SIDE) + (int)(k / 3) - 1, ix = (int)(p % WIDE_SIDE) + (int)(k % 3) - 1;
        sum += (double)dy[p * WIDE_CHANNELS + o] * nn_wide_at(x, p / WIDE_PIXELS, iy, ix, i);
    }
    return sum;
}

/* what: 0 output, 1 gradient by input, 2 by weights; found is compared with what the others make of it. */
static void nn_wide_compare(int what, const float *found, size_t count, const float *x, const float *w, const float *dy,
                            double tolerance) {
    float some[WIDE_SAMPLES], exact[WIDE_SAMPLES];
    size_t i;
    for (i = 0; i < WIDE_SAMPLES; i++) {
        size_t at = (size_t)(0.61803398875 * (double)(i + 1) * (double)count) % count;
        some[i] = found[at];
        exact[i] = (float)(what == 0   ? nn_wide_output(x, w, at, 0)
                           : what == 1 ? nn_wide_output(dy, w, at, 1)
                                       : nn_wide_weight(x, dy, at));
    }
    CHECK_ARRAY(some, exact, WIDE_SAMPLES, tolerance);
}

static void test_operations_conv_wide(void) {
    enum { COUNT = WIDE_ROWS * WIDE_PIXELS * WIDE_CHANNELS, WEIGHTS = 9 * WIDE_CHANNELS * WIDE_CHANNELS };
    float *x = (float *)malloc(6 * COUNT * sizeof *x), *dy = x + COUNT, *y = dy + COUNT, *dx = y + COUNT,
          *one = dx + COUNT, *one_dx = one + COUNT;
    float *dw = (float *)malloc(2 * (WEIGHTS + WIDE_CHANNELS) * sizeof *dw), *one_dw = dw + WEIGHTS + WIDE_CHANNELS;
    ssde_net *net = NULL;
    ssde_conv_desc conv = ssde_conv(WIDE_CHANNELS, 3);
    ssde_context context;
    int tier, algorithm, threads, mode;
    CHECK_OK(ssde_net_create(NULL, &net, 7));
    CHECK_OK(ssde_net_finish(net, ssde_conv2d(net, ssde_input(net, WIDE_SIDE, WIDE_SIDE, WIDE_CHANNELS), &conv, "c")));
    CHECK_OK(ssde_random_normal(NULL, 1, SSDE_STREAM_USER, 0, NULL, WIDE_ROWS, COUNT / WIDE_ROWS, x));
    CHECK_OK(ssde_random_normal(NULL, 2, SSDE_STREAM_USER, 0, NULL, WIDE_ROWS, COUNT / WIDE_ROWS, dy));
    for (tier = check_quick ? 1 : 0; nn_tier(tier, &context); tier++) {
        for (algorithm = SSDE_CONVOLUTION_DIRECT; algorithm <= SSDE_CONVOLUTION_WINOGRAD; algorithm++) {
            for (threads = 1; threads <= 3; threads += 2) {
                double tolerance = algorithm == SSDE_CONVOLUTION_DIRECT ? 1e-6 : 2e-6;
                threads_hook hook;
                ssde_run_desc desc = ssde_run_defaults(SSDE_RUN_INFERENCE, WIDE_ROWS);
                ssde_run *run;
                memset(&hook, 0, sizeof hook);
                hook.threads = threads;
                context.parallel_for = threads > 1 ? threads_parallel_for : NULL;
                context.user = &hook;
                context.threads = threads;
                desc.convolution = (ssde_convolution)algorithm;
                desc.context = &context;
                for (mode = SSDE_RUN_VJP; mode <= SSDE_RUN_TRAIN; mode++) {
                    desc.mode = (ssde_run_mode)mode;
                    CHECK_OK(ssde_run_create(&run, net, &desc));
                    CHECK_OK(ssde_run_forward(run, x, NULL, NULL, WIDE_ROWS, 0, 0, NULL, y));
                    memset(dw, 0, (WEIGHTS + WIDE_CHANNELS) * sizeof *dw);
                    CHECK_OK(ssde_run_backward(run, dy, mode == SSDE_RUN_VJP ? dx : NULL,
                                               mode == SSDE_RUN_TRAIN ? dw : NULL));
                    ssde_run_destroy(run);
                }
                if (threads == 1) {
                    nn_wide_compare(0, y, COUNT, x, net->weights, dy, tolerance);
                    nn_wide_compare(1, dx, COUNT, x, net->weights, dy, tolerance);
                    nn_wide_compare(2, dw, WEIGHTS, x, net->weights, dy, tolerance);
                    memcpy(one, y, COUNT * sizeof *y);
                    memcpy(one_dx, dx, COUNT * sizeof *dx);
                    memcpy(one_dw, dw, WEIGHTS * sizeof *dw);
                }
                CHECK_SAME(y, one, COUNT * sizeof *y);
                CHECK_SAME(dx, one_dx, COUNT * sizeof *dx);
                CHECK_SAME(dw, one_dw, WEIGHTS * sizeof *dw);
            }
        }
    }
    ssde_net_destroy(net);
    free(x), free(dw);
}

/* Few channels of many tiles, which Winograd's gradient by weights takes in two segments, the second one shorter: by
   weights and bias as the direct sums, and the same bits from 1 and 3 threads. */
static void test_operations_conv_segments(void) {
    enum { HEIGHT = 68, WIDTH = 64, CHANNELS = 9, IN = HEIGHT * WIDTH * CHANNELS, WEIGHTS = 9 * CHANNELS * CHANNELS };
    enum { ALL = WEIGHTS + CHANNELS };
    float *x = (float *)malloc(3 * IN * sizeof *x), *dy = x + IN, *y = dy + IN, dw[3][ALL];
    ssde_net *net = NULL;
    ssde_conv_desc conv = ssde_conv(CHANNELS, 3);
    ssde_context context;
    int tier, i;
    CHECK_OK(ssde_net_create(NULL, &net, 7));
    CHECK_OK(ssde_net_finish(net, ssde_conv2d(net, ssde_input(net, HEIGHT, WIDTH, CHANNELS), &conv, "c")));
    CHECK_OK(ssde_random_normal(NULL, 1, SSDE_STREAM_USER, 0, NULL, 2, IN, x));
    for (tier = 0; nn_tier(tier, &context); tier++) {
        for (i = 0; i < 3; i++) { /* direct; Winograd on 1 and 3 threads */
            threads_hook hook;
            ssde_run_desc desc = ssde_run_defaults(SSDE_RUN_TRAIN, 1);
            ssde_run *run;
            memset(&hook, 0, sizeof hook);
            hook.threads = i == 2 ? 3 : 1;
            context.parallel_for = i == 2 ? threads_parallel_for : NULL;
            context.user = &hook;
            context.threads = hook.threads;
            desc.convolution = i ? SSDE_CONVOLUTION_WINOGRAD : SSDE_CONVOLUTION_DIRECT;
            desc.context = &context;
            CHECK_OK(ssde_run_create(&run, net, &desc));
            CHECK_OK(ssde_run_forward(run, x, NULL, NULL, 1, 0, 0, NULL, y));
            memset(dw[i], 0, sizeof dw[i]);
            CHECK_OK(ssde_run_backward(run, dy, NULL, dw[i]));
            ssde_run_destroy(run);
        }
        CHECK_ARRAY(dw[1], dw[0], WEIGHTS, 2e-6);
        CHECK_ARRAY(dw[1] + WEIGHTS, dw[0] + WEIGHTS, CHANNELS, 1e-6);
        CHECK_SAME(dw[1], dw[2], sizeof dw[1]);
    }
    ssde_net_destroy(net);
    free(x);
}

static void nn_norm_case(size_t height, size_t width, size_t channels, size_t groups, ssde_activation activation,
                         const nn_options *options, int direct) {
    oracle o;
    int x;
    oracle_open(&o);
    x = oracle_input(&o, height, width, channels);
    if (!direct) x = oracle_conv1(&o, x, channels);
    oracle_finish(&o, oracle_norm(&o, x, groups, activation));
    nn_check(&o, options);
    oracle_close(&o);
}

static void test_operations_group_norm(void) {
    static const size_t shapes[][4] = {{1, 1, 8, 2},  {3, 5, 4, 1},  {2, 3, 6, 6},   {9, 8, 12, 3},
                                       {4, 4, 17, 1}, {4, 4, 40, 8}, {1, 7, 33, 11}, {17, 4, 5, 5}};
    size_t i, n = check_quick ? 3 : 8;
    for (i = 0; i < n; i++) {
        nn_norm_case(shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3], SSDE_SILU, NULL, i % 3 == 1);
        nn_norm_case(shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3], SSDE_IDENTITY, NULL, i % 3 == 2);
    }
}

/* Far from zero nothing is lost: floats less a mean near them are exact. The differences lose, by the objective's size:
   the input is part of the output. Tiny variances are eps's: 1e-3 of spread is its size. */
static void test_operations_group_norm_extremes(void) {
    nn_options options = nn_usual();
    options.mean = 1000.0;
    nn_norm_case(6, 7, 8, 2, SSDE_IDENTITY, &options, 1);
    nn_norm_case(5, 4, 20, 4, SSDE_SILU, &options, 1);
    nn_norm_case(11, 13, 33, 3, SSDE_SILU, &options, 1);
    options.mean = -1e6;
    options.gradient = 1e-3;
    nn_norm_case(6, 7, 8, 2, SSDE_IDENTITY, &options, 1);
    nn_norm_case(11, 13, 33, 3, SSDE_SILU, &options, 1);
    options = nn_usual();
    options.spread = 1e-3;
    nn_norm_case(4, 5, 8, 2, SSDE_SILU, &options, 1);
    options.spread = 1e-6;
    nn_norm_case(4, 5, 8, 2, SSDE_IDENTITY, &options, 1);
    options.spread = 1e4;
    nn_norm_case(4, 5, 8, 2, SSDE_SILU, &options, 1);
}

static void nn_instance_case(size_t height, size_t width, size_t channels, int kind, size_t classes, double eps,
                             ssde_activation activation, const nn_options *options, int direct) {
    oracle o;
    int x;
    oracle_open(&o);
    x = oracle_input(&o, height, width, channels);
    if (!direct) x = oracle_conv1(&o, x, channels);
    oracle_finish(&o, oracle_instance_norm(&o, x, classes ? oracle_label(&o) : -1, classes,
                                           (ssde_instance_norm_kind)kind, eps, activation));
    nn_check(&o, options);
    oracle_close(&o);
}

static void test_operations_instance_norm(void) {
    static const size_t shapes[][3] = {{3, 5, 4}, {1, 2, 2}, {9, 8, 12}, {4, 4, 17}, {1, 7, 33}, {17, 4, 5}};
    static const ssde_activation activations[] = {SSDE_IDENTITY, SSDE_SILU, SSDE_RELU, SSDE_ELU, SSDE_LEAKY_RELU};
    size_t i;
    int kind, number = 0;
    for (i = 0; i < (check_quick ? 3u : 6u); i++)
        for (kind = SSDE_INSTANCE_NORM; kind <= SSDE_VARIANCE_NORM; kind++, number++)
            nn_instance_case(shapes[i][0], shapes[i][1], shapes[i][2], kind, 0, i % 2 ? 1e-2 : 1e-5,
                             activations[number % 5], NULL, number % 3 == 1);
    for (i = 0; i < 5; i++)
        nn_instance_case(4, 5, 3 + i, SSDE_INSTANCE_NORM_PLUS, 1 + i, 1e-5, activations[i], NULL, i == 2);
    nn_instance_case(1, 1, 5, SSDE_INSTANCE_NORM_PLUS, 0, 0.3, SSDE_ELU, NULL, 0); /* of one pixel, beta and plus */
    nn_instance_case(6, 5, 7, SSDE_INSTANCE_NORM, 0, 232.0, SSDE_ELU, NULL, 0);
}

/* Labels that name no row are refused, whichever of the rows' they are. */
static void test_operations_conditional_labels(void) {
    static const float wrong[] = {3.0f, -1.0f, 0.5f, NAN, INFINITY, -0.25f};
    float x[2 * 6], label[2], y[2 * 6];
    ssde_context context = ssde_context_defaults();
    ssde_net *net = NULL;
    ssde_node h;
    ssde_run *run;
    size_t i;
    oracle_normals(1, 1.0, 12, x);
    CHECK_OK(ssde_net_create(&context, &net, 1));
    h = ssde_input(net, 1, 2, 3);
    h = ssde_conditional_instance_norm(net, h, ssde_input_label(net), 3, 1e-5, SSDE_ELU, "norm");
    CHECK_OK(ssde_net_finish(net, h));
    CHECK(!strcmp(ssde_net_parameter(net, 0)->name, "norm.embed.weight"));
    CHECK(ssde_net_parameter(net, 0)->shape[0] == 3 && ssde_net_parameter(net, 0)->shape[1] == 9);
    for (i = 0; i < 27; i++) /* gamma and alpha begin near 1, beta at 0 */
        CHECK(i % 9 < 6 ? fabsf(net->weights[i] - 1.0f) < 0.1f && net->weights[i] != 1.0f : net->weights[i] == 0.0f);
    run = nn_run(net, &context, SSDE_RUN_INFERENCE, 2);
    label[0] = 0.0f, label[1] = 2.0f;
    CHECK_OK(ssde_run_forward(run, x, label, NULL, 2, 0, 0, NULL, y));
    for (i = 0; i < 6; i++) {
        label[1] = wrong[i];
        CHECK_FAILS(&context, ssde_run_forward(run, x, label, NULL, 2, 0, 0, NULL, y), SSDE_ERROR_ARGUMENT,
                    "wanted a whole number from 0 to 2");
        CHECK(strstr(context.error, "label[1]") != NULL);
    }
    ssde_run_destroy(run);
    ssde_net_destroy(net);
}

/* Far from zero, as group norms; VarianceNorm keeps the mean. */
static void test_operations_instance_norm_extremes(void) {
    nn_options options = nn_usual();
    options.mean = 1000.0;
    nn_instance_case(6, 7, 8, SSDE_INSTANCE_NORM, 0, 1e-5, SSDE_IDENTITY, &options, 1);
    nn_instance_case(11, 13, 33, SSDE_INSTANCE_NORM_PLUS, 0, 1e-5, SSDE_ELU, &options, 1);
    options.gradient = 1e-4; /* the derivatives by the mean cancel */
    nn_instance_case(6, 7, 8, SSDE_VARIANCE_NORM, 0, 1e-5, SSDE_IDENTITY, &options, 1);
    options = nn_usual();
    options.spread = 1e-3;
    nn_instance_case(4, 5, 8, SSDE_INSTANCE_NORM_PLUS, 0, 1e-5, SSDE_ELU, &options, 1);
    options.spread = 1e4;
    nn_instance_case(4, 5, 8, SSDE_INSTANCE_NORM_PLUS, 3, 1e-5, SSDE_SILU, &options, 1);
}

/* Windows larger than the image, and smaller; of one pixel. */
static void test_operations_pooling(void) {
    static const size_t shapes[][3] = {{5, 4, 3}, {1, 1, 4}, {9, 8, 17}, {1, 12, 33}, {13, 2, 5}, {16, 16, 2}};
    static const int sizes[] = {5, 1, 3, 7, 11};
    size_t i;
    int k, kind;
    for (i = 0; i < (check_quick ? 3u : 6u); i++)
        for (k = 0; k < 5; k++)
            for (kind = SSDE_POOL_MAX; kind <= SSDE_POOL_MEAN; kind++) {
                oracle o;
                if (check_quick && (i + (size_t)k) % 3) continue;
                oracle_open(&o);
                oracle_finish(
                    &o,
                    oracle_window(&o, oracle_conv1(&o, oracle_input(&o, shapes[i][0], shapes[i][1], 2), shapes[i][2]),
                                  (ssde_pool_kind)kind, sizes[k]));
                nn_check(&o, NULL);
                oracle_close(&o);
            }
}

/* Of equals the first has the gradient, line by line, as in torch; NaN is the largest. */
static void test_operations_pool_equals(void) {
    enum { HEIGHT = 9, WIDTH = 7, CHANNELS = 19, COUNT = HEIGHT * WIDTH * CHANNELS };
    float x[COUNT], v[COUNT], y[COUNT], dx[COUNT];
    double values[COUNT], wanted[COUNT];
    oracle_node n;
    ssde_net *net = NULL;
    ssde_context context;
    uint64_t state = 3;
    size_t i;
    int tier;
    CHECK_OK(ssde_net_create(NULL, &net, 1));
    CHECK_OK(ssde_net_finish(net, ssde_pool(net, ssde_input(net, HEIGHT, WIDTH, CHANNELS), SSDE_POOL_MAX, 5)));
    memset(&n, 0, sizeof n);
    n.shape[0] = HEIGHT, n.shape[1] = WIDTH, n.shape[2] = CHANNELS, n.count = COUNT, n.kernel = 5,
    n.kind = ORACLE_MAX_POOL;
    for (i = 0; i < COUNT; i++) {
        values[i] = floor(3.0 * oracle_uniform(&state)) - 1.0;
        x[i] = (float)values[i];
        v[i] = (float)(1 + i % 5); /* whole numbers: sums are exact in any order */
        wanted[i] = 0.0;
    }
    for (i = 0; i < COUNT; i++)
        wanted[oracle_largest(&n, values, i / CHANNELS / WIDTH, i / CHANNELS % WIDTH, i % CHANNELS)] += (double)v[i];
    for (tier = 0; nn_tier(tier, &context); tier++) {
        ssde_run *run = nn_run(net, &context, SSDE_RUN_VJP, 1);
        CHECK_OK(ssde_run_forward(run, x, NULL, NULL, 1, 0, 0, NULL, y));
        CHECK_OK(ssde_run_backward(run, v, dx, NULL));
        for (i = 0; i < COUNT; i++) CHECK((double)dx[i] == wanted[i]);
        x[0] = NAN;
        CHECK_OK(ssde_run_forward(run, x, NULL, NULL, 1, 0, 0, NULL, y));
        for (i = 0; i < COUNT; i++)
            CHECK(isnan(y[i]) == (i % CHANNELS == 0 && i / CHANNELS % WIDTH < 3 && i / CHANNELS / WIDTH < 3));
        x[0] = (float)values[0];
        ssde_run_destroy(run);
    }
    ssde_net_destroy(net);
}

static void test_operations_resize(void) {
    static const size_t shapes[][5] = {{4, 4, 3, 8, 8},  {8, 6, 17, 4, 3}, {1, 1, 5, 3, 2}, {3, 5, 2, 1, 1},
                                       {7, 5, 33, 7, 9}, {2, 9, 4, 13, 9}, {5, 5, 1, 4, 16}};
    size_t i;
    for (i = 0; i < 7; i++) {
        oracle o;
        oracle_open(&o);
        oracle_finish(&o,
                      oracle_resize(&o, oracle_conv1(&o, oracle_input(&o, shapes[i][0], shapes[i][1], 2), shapes[i][2]),
                                    shapes[i][3], shapes[i][4]));
        nn_check(&o, NULL);
        CHECK(ssde_net_parameter_count(o.net) > 0);
        oracle_close(&o);
    }
}

/* x[p][c] of the moments' test: a spread of 1 about 0, about 1e6; a step after the first chunk; one outlier, first or
   last; a slope; a constant. */
static float nn_moments_sample(int kind, size_t p, size_t pixels, uint64_t *state) {
    double value = oracle_normal(state);
    switch (kind) {
        case 0: return (float)value;
        case 1: return (float)(value + 1e6);
        case 2: return (float)(1e-3 * value + (p < 64 ? 0.0 : 1e4));
        case 3: return (float)(value + (p ? 0.0 : 1e4));
        case 4: return (float)(value + (p + 1 < pixels ? 0.0 : 1e4));
        case 5: return (float)(value + 30.0 * (double)p);
        default: return -7.3f;
    }
}

/* Means to a few roundings of the spread, squares to those of their sum: chains of 64 floats err by some 1e-6. */
static void nn_moments_case(const ssdei_nn_kernels *kernels, int kind, size_t pixels, size_t channels) {
    float *x = (float *)malloc(pixels * channels * sizeof *x);
    double *mean = (double *)malloc(2 * channels * sizeof *mean), *square = mean + channels;
    uint64_t state = 5;
    size_t p, c;
    for (p = 0; p < pixels; p++)
        for (c = 0; c < channels; c++) x[p * channels + c] = nn_moments_sample(kind, p, pixels, &state);
    for (c = 0; c < 2 * channels; c++) mean[c] = NAN;
    kernels->channel_moments(x, pixels, channels, mean, square);
    for (c = 0; c < channels; c++) {
        double exact = 0.0, exact_square = 0.0;
        for (p = 0; p < pixels; p++) exact += (double)x[p * channels + c] / (double)pixels;
        for (p = 0; p < pixels; p++) {
            double away = (double)x[p * channels + c] - exact;
            exact_square += away * away;
        }
        CHECK_NEAR(square[c], exact_square, 4e-6 * exact_square + 1e-18);
        CHECK_NEAR(mean[c], exact, 1e-6 * sqrt(exact_square / (double)pixels) + 1e-14 * fabs(exact));
    }
    free(x);
    free(mean);
}

static void test_operations_channel_moments(void) {
    static const size_t pixels[] = {1, 2, 63, 64, 65, 200}, channels[] = {1, 3, 16, 17, 64, 77};
    ssde_context context;
    size_t i, k;
    int tier, kind;
    for (tier = 0; nn_tier(tier, &context); tier++)
        for (kind = 0; kind < 7; kind++)
            for (i = 0; i < 6; i++)
                for (k = 0; k < 6; k++) nn_moments_case(ssdei_nn_kernels_for(&context), kind, pixels[i], channels[k]);
}

/* silu(x) = x / (1 + e^-x): 3 ulp, down to where it ends at about -86 e^-86 = -4e-36; the derivative by its own
   formula, whose 1 + x (1 - s) cancels near its root. */
static void test_operations_silu(void) {
    enum { COUNT = 4099 };
    static float x[COUNT], y[COUNT], ones[COUNT], slope[COUNT];
    ssde_context context;
    int tier, range;
    size_t i;
    for (tier = 0; nn_tier(tier, &context); tier++) {
        const ssdei_nn_kernels *kernels = ssdei_nn_kernels_for(&context);
        double worst = 0.0, worst_slope = 0.0;
        for (range = 0; range < 3; range++) {
            const double size[] = {86.0, 4.0, 1e-3};
            for (i = 0; i < COUNT; i++) {
                x[i] = (float)(size[range] * (2.0 * (double)i / (COUNT - 1) - 1.0));
                ones[i] = 1.0f;
            }
            kernels->silu(x, COUNT, y);
            kernels->silu_backward(x, ones, COUNT, 0, slope);
            for (i = 0; i < COUNT; i++) {
                double u = (double)x[i], s = 1.0 / (1.0 + exp(-u));
                double error = nn_ulps(y[i], u * s), away = fabs((double)slope[i] - s * (1.0 + u * (1.0 - s)));
                if (!(error <= worst)) worst = error;
                if (!(away / (s * (1.0 + fabs(u))) <= worst_slope)) worst_slope = away / (s * (1.0 + fabs(u)));
            }
        }
        CHECK(worst <= 3.0);
        CHECK(worst_slope <= 4e-7);
        x[0] = NAN, x[1] = INFINITY, x[2] = -1e30f, x[3] = 1e30f, x[4] = -200.0f, x[5] = 200.0f, x[6] = -0.0f;
        kernels->silu(x, 7, y);
        kernels->silu_backward(x, ones, 7, 0, slope);
        CHECK(isnan(y[0]) && isnan(slope[0]) && isinf(y[1]) && y[3] == 1e30f && y[5] == 200.0f && y[6] == 0.0f);
        CHECK(fabs((double)y[4]) < 1e-34 && fabs((double)slope[4]) < 1e-34 && slope[5] == 1.0f && slope[3] == 1.0f);
        CHECK(fabs((double)y[2]) < 1e-6 && fabs((double)slope[2]) < 1e-6);
    }
}

/* dx (+)= v dy silu''(x) with silu'' = s (1 - s) (2 + x (1 - 2 s)), whose last factor cancels near its root. */
static void test_operations_silu_second(void) {
    enum { COUNT = 4099 };
    static float x[COUNT + 16], v[COUNT + 16], dy[COUNT + 16], dx[2][COUNT + 16];
    ssde_context context;
    int tier, range, accumulate;
    size_t i;
    for (tier = 0; nn_tier(tier, &context); tier++) {
        const ssdei_nn_kernels *kernels = ssdei_nn_kernels_for(&context);
        double worst = 0.0;
        for (range = 0; range < 3; range++) {
            const double size[] = {80.0, 4.0, 1e-3};
            oracle_normals(1, 1.0, COUNT, v);
            oracle_normals(2, 1.0, COUNT, dy);
            for (i = 0; i < COUNT; i++) x[i] = (float)(size[range] * (2.0 * (double)i / (COUNT - 1) - 1.0));
            for (i = 0; i < COUNT; i++) dx[1][i] = 3.0f;
            for (i = COUNT; i < COUNT + 16; i++) x[i] = v[i] = dy[i] = dx[0][i] = dx[1][i] = NAN;
            for (accumulate = 0; accumulate < 2; accumulate++)
                kernels->silu_second(x, v, dy, COUNT, accumulate, dx[accumulate]);
            for (i = 0; i < COUNT; i++) {
                double u = (double)x[i], s = 1.0 / (1.0 + exp(-u)), curve = s * (1.0 - s);
                double by = (double)v[i] * (double)dy[i], most = fabs(by) * s * (1.0 + fabs(u));
                double away = fabs((double)dx[0][i] - by * curve * (2.0 + u * (1.0 - 2.0 * s)));
                if (!(away / most <= worst)) worst = away / most;
                CHECK_NEAR(dx[1][i], 3.0 + (double)dx[0][i], 3e-7 * (3.0 + fabs((double)dx[0][i])));
            }
            CHECK(isnan(dx[0][COUNT]) && isnan(dx[1][COUNT]));
        }
        CHECK(worst <= 5e-7);
        x[0] = NAN, x[1] = -1e30f, x[2] = 1e30f, x[3] = -200.0f, x[4] = 200.0f;
        for (i = 0; i < 5; i++) v[i] = dy[i] = 1.0f;
        kernels->silu_second(x, v, dy, 5, 0, dx[0]);
        CHECK(isnan(dx[0][0]));
        for (i = 1; i < 5; i++) CHECK(fabs((double)dx[0][i]) < 1e-6);
    }
}

/* f, f' and f'' of mish and gelu, beside the tails absolutely: their parts cancel near the derivatives' roots. */
static double nn_curve_exact(int activation, int order, double x) {
    double t = tanh(log1p(exp(x))), s = 1.0 / (1.0 + exp(-x)), slope = (1.0 - t * t) * s;
    double p = 0.5 * erfc(-x / sqrt(2.0)), density = exp(-0.5 * x * x) / sqrt(2.0 * 3.141592653589793);
    if (activation == SSDE_GELU) return order == 0 ? x * p : order == 1 ? p + x * density : density * (2.0 - x * x);
    if (order == 0) return x * t;
    if (order == 1) return t + x * slope;
    return 2.0 * slope + x * ((1.0 - t * t) * s * (1.0 - s) - 2.0 * t * slope * s);
}

static void nn_curve_case(const ssdei_nn_kernels *kernels, int activation, int order, double size) {
    enum { COUNT = 1027 };
    static float x[COUNT + 16], by[COUNT + 16], with[COUNT + 16], y[3][COUNT + 16];
    double worst = 0.0;
    size_t i;
    for (i = 0; i < COUNT + 16; i++) {
        x[i] = i < COUNT ? (float)(size * (2.0 * (double)i / (COUNT - 1) - 1.0)) : NAN;
        y[0][i] = y[1][i] = y[2][i] = i < COUNT ? 3.0f : NAN;
        by[i] = with[i] = NAN;
    }
    oracle_normals(1, 1.0, COUNT, by);
    oracle_normals(2, 1.0, COUNT, with);
    kernels->curve(activation, order, x, NULL, NULL, COUNT, 0, y[0]);
    kernels->curve(activation, order, x, by, NULL, COUNT, 0, y[1]);
    kernels->curve(activation, order, x, by, with, COUNT, 1, y[2]);
    for (i = 0; i < COUNT; i++) {
        double exact = nn_curve_exact(activation, order, (double)x[i]);
        double away = fabs((double)y[0][i] - exact) / (fabs(exact) + (order ? 1.0 : 1e-3 * fabs((double)x[i])) + 1e-30);
        double product = (double)y[0][i] * (double)by[i];
        if (!(away <= worst)) worst = away;
        CHECK_NEAR(y[1][i], product, 1e-7 * fabs(product) + 1e-37);
        CHECK_NEAR(y[2][i], 3.0 + product * (double)with[i], 4e-7 * (3.0 + fabs(product * (double)with[i])));
    }
    CHECK(worst <= 8e-7);
    for (i = 0; i < 3; i++) CHECK(isnan(y[i][COUNT]) && isnan(y[i][COUNT + 15]));
    x[0] = NAN, x[1] = 1e30f, x[2] = -1e30f, x[3] = 200.0f, x[4] = -200.0f, x[5] = 0.0f;
    kernels->curve(activation, order, x, NULL, NULL, 6, 0, y[0]);
    CHECK(isnan(y[0][0]));
    if (order == 0)
        CHECK(y[0][1] == 1e30f && y[0][3] == 200.0f && y[0][5] == 0.0f);
    else
        for (i = 1; i <= 3; i += 2) CHECK_NEAR(y[0][i], 2 - order, 1e-12);
    CHECK(fabs((double)y[0][2]) < 1e-6 && fabs((double)y[0][4]) < 1e-6);
}

static void test_operations_curve(void) {
    static const double sizes[] = {30.0, 4.0, 1e-3};
    ssde_context context;
    int tier, order, i;
    for (tier = 0; nn_tier(tier, &context); tier++)
        for (order = 0; order < 3; order++)
            for (i = 0; i < 3; i++) {
                nn_curve_case(ssdei_nn_kernels_for(&context), SSDE_MISH, order, sizes[i]);
                nn_curve_case(ssdei_nn_kernels_for(&context), SSDE_GELU, order, sizes[i]);
            }
}

/* q, k and v from convolutions, or shared in every way. */
static void nn_attention_case(size_t height, size_t width, size_t channels, int shared, size_t heads) {
    static const int which[][3] = {{0, 1, 2}, {0, 0, 0}, {0, 0, 1}, {0, 1, 0}, {0, 1, 1}};
    oracle o;
    int x, projected[3], i;
    oracle_open(&o);
    x = oracle_input(&o, height, width, 2);
    for (i = 0; i < 3; i++) projected[i] = oracle_conv1(&o, x, channels);
    oracle_finish(&o, oracle_attention(&o, projected[which[shared][0]], projected[which[shared][1]],
                                       projected[which[shared][2]], heads));
    nn_check(&o, NULL);
    oracle_close(&o);
}

/* Pixels on either side of blocks of query pixels, which are 16 to 48. */
static void test_operations_attention(void) {
    static const size_t sizes[][2] = {{1, 1}, {1, 5}, {4, 4}, {7, 7}, {1, 97}, {1, 131}}, channels[] = {1, 3, 17, 32};
    static const size_t several[][2] = {{2, 2}, {6, 2}, {15, 3}, {68, 4}, {64, 2}}; /* channels, heads */
    size_t s, c;
    int shared;
    for (s = 0; s < (check_quick ? 2u : 6u); s++)
        for (c = 0; c < 4; c++)
            for (shared = 0; shared < 5; shared++)
                if (!check_quick || s == 1 || shared == 0)
                    nn_attention_case(sizes[s][0], sizes[s][1], channels[c], shared, 1);
    for (s = 0; s < (check_quick ? 2u : 6u); s++)
        for (c = 0; c < 5; c++)
            for (shared = 0; shared < 5; shared++)
                if (!check_quick || (s == 1 && shared == 0))
                    nn_attention_case(sizes[s][0], sizes[s][1], several[c][0], shared, several[c][1]);
    if (check_quick) nn_attention_case(1, 97, 17, 1, 1);
    nn_attention_case(1, 53, 12, 1, 2);
}

/* From the mean of all pixels, or from half as many, to others; all of them may want gradients of the same node. */
static void test_operations_attention_pool(void) {
    static const size_t sizes[][2] = {{2, 2}, {6, 8}, {2, 64}, {10, 10}};
    size_t s, heads;
    int which;
    for (s = 0; s < 4; s++)
        for (which = 0; which < 3; which++)
            for (heads = 1; heads <= 5; heads += 4) {
                oracle o;
                int x, k, v, q;
                oracle_open(&o);
                x = oracle_input(&o, sizes[s][0], sizes[s][1], 2);
                k = oracle_conv1(&o, x, 10);
                v = which == 1 ? k : oracle_conv3(&o, x, 10);
                q = which == 2 ? oracle_conv1(&o, oracle_pool(&o, x), 10) : oracle_mean(&o, k);
                oracle_finish(&o,
                              which == 1 ? oracle_attention(&o, k, q, q, heads) : oracle_attention(&o, q, k, v, heads));
                nn_check(&o, NULL);
                oracle_close(&o);
            }
}

/* The output and gradient of attention over samples from first on, in a run of its own. */
static void nn_attention_run(const ssde_net *net, ssde_context *context, const float *x, size_t first, size_t rows,
                             float *out, float *gradient) {
    size_t dim = ssde_net_dim(net);
    ssde_run *run = nn_run(net, context, SSDE_RUN_VJP, rows);
    if (!run) return;
    nn_poison(run);
    CHECK_OK(ssde_run_forward(run, x + first * dim, NULL, NULL, rows, 0, 0, NULL, out));
    CHECK_OK(ssde_run_backward(run, x + first * dim, gradient, NULL));
    ssde_run_destroy(run);
}

/* A sample's blocks may be done by several threads, and its neighbours' by the same: the bits are the same. */
static void nn_attention_company(size_t heads) {
    enum { ROWS = 5, PIXELS = 131, CHANNELS = 18, DIM = PIXELS * CHANNELS };
    static float x[ROWS * DIM], out[2][ROWS * DIM], gradient[2][ROWS * DIM];
    ssde_context context;
    ssde_net *net = NULL;
    ssde_node h;
    size_t row;
    int tier, threads;
    CHECK_OK(ssde_net_create(NULL, &net, 1));
    h = ssde_input(net, 1, PIXELS, CHANNELS);
    CHECK_OK(ssde_net_finish(net, ssde_attention(net, ssde_activate(net, h, SSDE_SILU), h, h, heads)));
    oracle_normals(3, 1.0, ROWS * DIM, x);
    for (tier = 0; nn_tier(tier, &context); tier++) {
        nn_attention_run(net, &context, x, 0, ROWS, out[0], gradient[0]);
        for (row = 0; row < ROWS; row++)
            for (threads = 1; threads <= 3; threads++) {
                threads_hook hook;
                size_t rows = row ? 1 : ROWS;
                hook.threads = threads;
                hook.calls = 0;
                context.parallel_for = threads_parallel_for;
                context.user = &hook;
                context.threads = threads;
                nn_attention_run(net, &context, x, row, rows, out[1], gradient[1]);
                CHECK_SAME(out[1], out[0] + row * DIM, rows * DIM * sizeof(float));
                CHECK_SAME(gradient[1], gradient[0] + row * DIM, rows * DIM * sizeof(float));
                CHECK((hook.calls > 0) == (threads > 1));
            }
    }
    ssde_net_destroy(net);
}
static void test_operations_attention_company(void) {
    nn_attention_company(1);
    nn_attention_company(3);
}

/* The matrix of all pairs of pixels is never there: 64 MiB for 64 x 64. */
static void test_operations_attention_memory(void) {
    ssde_net *net = NULL;
    ssde_node h;
    ssde_context context;
    int tier, mode;
    CHECK_OK(ssde_net_create(NULL, &net, 1));
    h = ssde_input(net, 64, 64, 16);
    CHECK_OK(ssde_net_finish(net, ssde_attention(net, h, h, h, 1)));
    for (tier = 0; nn_tier(tier, &context); tier++)
        for (mode = SSDE_RUN_INFERENCE; mode <= SSDE_RUN_TRAIN; mode++) {
            ssde_run_desc desc = ssde_run_defaults((ssde_run_mode)mode, 1);
            size_t bytes;
            context.threads = 1; /* each has its own workspace */
            desc.context = &context;
            bytes = ssde_run_memory(net, &desc);
            CHECK(bytes > 4 * 64 * 64 * 16 && bytes < (size_t)64 * 64 * 64 * 64 * sizeof(float) / 8);
        }
    ssde_net_destroy(net);
}

/* A row of softmax and its derivative against double, of every length around vectors; a row with a NaN is NaN. */
static void nn_softmax_case(const ssdei_nn_kernels *kernels, size_t count, double spread) {
    float x[300], ds[300];
    double s[300], slope[300], sum = 0.0, dot = 0.0, size = 0.0;
    size_t i;
    oracle_normals(count, spread, count, x);
    oracle_normals(count + 1, 1.0, count, ds);
    for (i = 0; i < count; i++) sum += s[i] = exp(0.25 * ((double)x[i] - (double)x[0]));
    for (i = 0; i < count; i++) dot += (s[i] /= sum) * (double)ds[i];
    for (i = 0; i < count; i++) slope[i] = 0.25 * s[i] * ((double)ds[i] - dot);
    x[count] = ds[count] = NAN; /* not read */
    kernels->softmax(x, 0.25f, count);
    kernels->softmax_backward(x, 0.25f, count, ds);
    for (i = 0; i < count; i++) {
        /* x / 4 is to 24 bits, and so much of it e^x errs */
        CHECK_NEAR(x[i], s[i], s[i] * (1e-6 + 4e-7 * spread) + 1e-37);
        size = s[i] * (1.0 + fabs(dot) + fabs(slope[i] / (s[i] + 1e-300)));
        CHECK_NEAR(ds[i], slope[i], size * (2e-6 + 4e-7 * spread) + 1e-37);
    }
    CHECK(isnan(x[count]) && isnan(ds[count]));
    x[count / 2] = NAN;
    kernels->softmax(x, 0.25f, count);
    for (i = 0; i < count; i++) CHECK(isnan(x[i]));
}

static void test_operations_softmax(void) {
    ssde_context context;
    size_t count;
    int tier;
    for (tier = 0; nn_tier(tier, &context); tier++)
        for (count = 1; count < 300; count += count < 70 ? 1 : 37) {
            nn_softmax_case(ssdei_nn_kernels_for(&context), count, 1.0);
            nn_softmax_case(ssdei_nn_kernels_for(&context), count, 100.0);
        }
}

/* Operations of few lines, on a convolution's output h of 5 x 4 x `channels`; -1 where there is no such case. */
static int nn_small_case(oracle *o, int which, int h, size_t channels) {
    static const double asymmetric[] = {1.0, 2.0, 4.0};
    int other;
    switch (which) {
        case 0: return oracle_activate(o, h, SSDE_IDENTITY);
        case 1: return oracle_activate(o, h, SSDE_SILU);
        case 2: return oracle_activate(o, h, SSDE_RELU);
        case 3: return oracle_activate(o, h, SSDE_ELU);
        case 4: return oracle_activate(o, h, SSDE_SOFTPLUS);
        case 5: return oracle_add(o, h, oracle_conv3(o, h, channels), 0.7);
        case 6: return oracle_add(o, h, h, -0.3);
        case 7: return oracle_concat(o, h, h);
        case 8: return oracle_concat(o, oracle_conv3(o, h, 3), h);
        case 9: return oracle_affine(o, h, 2.0, -1.0);
        case 10: return oracle_add(o, oracle_affine(o, h, -0.5, 3.0), h, 1.0);
        case 11: return oracle_add(o, h, oracle_activate(o, h, SSDE_SILU), 1.0);
        case 12: return oracle_add(o, h, oracle_activate(o, h, SSDE_RELU), 1.0);
        case 13: return oracle_add(o, h, oracle_norm(o, h, 1, SSDE_SILU), 1.0);
        case 14: return oracle_add(o, h, oracle_fir(o, h, 1, 1, 1, 1, asymmetric, 3), 1.0);
        case 15: other = oracle_conv3(o, h, channels); return oracle_attention(o, h, other, other, 1);
        /* a vector of the label added to every pixel, and again to the sum */
        case 16: other = oracle_conv1(o, oracle_positional(o, oracle_label(o), 7), channels); break;
        case 17: other = oracle_conv1(o, oracle_fourier(o, oracle_label(o), 5, 0.5), channels); break;
        case 18: return oracle_rows(o, h, oracle_sigma(o), SSDE_OVER_SIGMA);
        case 19: return oracle_add(o, oracle_rows(o, h, oracle_sigma(o), SSDE_OVER_TOTAL), h, 1.0);
        case 20: return oracle_add(o, oracle_dropout(o, h, 0.5), h, 1.0);
        case 21: return oracle_concat(o, oracle_concat(o, h, h), h);
        /* a node that nothing reads: its parameters' gradient is zero */
        case 22: oracle_conv3(o, h, 2); return oracle_activate(o, h, SSDE_SILU);
        case 23:
            other = oracle_affine(o, oracle_activate(o, h, SSDE_SOFTPLUS), 1.0, 2.0);
            return oracle_add(o, oracle_activate(o, other, SSDE_LOG), h, 1.0);
        case 24:
            other = oracle_conv1(o, oracle_positional(o, oracle_label(o), 7), 2 * channels);
            return oracle_add(o, oracle_modulate(o, h, other), oracle_modulate(o, oracle_conv3(o, h, channels), other),
                              1.0);
        case 25: return oracle_modulate(o, h, oracle_conv1(o, oracle_mean(o, h), 2 * channels));
        case 26: return oracle_add(o, h, oracle_mean(o, h), 0.5);
        case 27:
            other = oracle_conv1(o, oracle_positional(o, oracle_label(o), 7), 3);
            return oracle_concat(o, oracle_concat(o, h, other), other);
        case 28: return oracle_add(o, h, oracle_class(o, 3, channels), 1.0);
        case 29: return oracle_activate(o, h, SSDE_MISH);
        case 30: return oracle_add(o, h, oracle_activate(o, h, SSDE_GELU), 1.0);
        case 31: return oracle_norm_eps(o, h, 1, 0.25, SSDE_MISH);
        case 32: return oracle_add(o, h, oracle_norm_eps(o, h, 1, 1e-3, SSDE_RELU), 1.0);
        /* what the network is told: an added vector of each kind */
        case 33: other = oracle_conv1(o, oracle_sinusoid(o, oracle_label(o), 8, 0.0, 1), channels); break;
        case 34: other = oracle_conv1(o, oracle_vector(o, 7), channels); break;
        case 35:
            o->class_number = 1;
            other = oracle_table(o, oracle_class_number(o), 3, channels);
            break;
        case 36:
            o->class_number = 1;
            other = oracle_conv1(o, oracle_sinusoid(o, oracle_class_number(o), 7, -0.5, 1), channels);
            break;
        case 37: return oracle_activate(o, h, SSDE_LEAKY_RELU);
        case 38: return oracle_add(o, h, oracle_window(o, h, SSDE_POOL_MAX, 5), 0.5);
        case 39: return oracle_add(o, oracle_window(o, h, SSDE_POOL_MEAN, 3), h, 1.0);
        case 40: return oracle_add(o, h, oracle_resize(o, oracle_resize(o, h, 7, 3), 5, 4), 1.0);
        case 41:
            h = oracle_conv3(o, h, channels + 1);
            other = oracle_instance_norm(o, h, oracle_label(o), 3, SSDE_INSTANCE_NORM_PLUS, 1e-5, SSDE_ELU);
            return oracle_add(o, other, h, 1.0);
        case 42: return oracle_tokens(o, h);
        case 43: return oracle_tokens(o, oracle_tokens(o, h));
        default: return -1;
    }
    return oracle_add(o, oracle_add(o, h, other, 0.9), other, 1.1);
}

static void test_operations_small_operations(void) {
    static const size_t channels[] = {1, 5, 19};
    size_t c;
    int which, node;
    for (which = 0, node = 0; node >= 0; which++)
        for (c = check_quick ? 1 : 0; c < (check_quick ? 2u : 3u) && node >= 0; c++) {
            oracle o;
            oracle_open(&o);
            node = oracle_conv3(&o, oracle_input(&o, 5, 4, 2), channels[c]);
            node = nn_small_case(&o, which, node, channels[c]);
            if (node >= 0) {
                oracle_finish(&o, node);
                nn_check(&o, NULL);
            }
            oracle_close(&o);
        }
    CHECK(which == 45);
}

/* Inputs that depend on x beside such that do not, in either place; a result that does not depend on x at all. */
static void test_operations_constants(void) {
    enum { CHANNELS = 5, CASES = 11 };
    int which;
    for (which = 0; which < CASES; which++) {
        ssde_conv_desc conv = ssde_conv(CHANNELS, 1);
        oracle o;
        int x, c, node = -1;
        oracle_open(&o);
        x = oracle_conv1(&o, oracle_input(&o, 1, 1, 2), CHANNELS);
        c = oracle_conv1(&o, oracle_positional(&o, oracle_label(&o), 7), CHANNELS);
        conv.residual = x;
        switch (which) {
            case 0: node = oracle_attention(&o, x, c, c, 1); break;
            case 1: node = oracle_attention(&o, c, x, c, 5); break;
            case 2: node = oracle_attention(&o, c, c, x, 1); break;
            case 3: node = oracle_add(&o, c, x, 0.7); break;
            case 4: node = oracle_concat(&o, c, x); break;
            case 5: node = oracle_modulate(&o, c, oracle_conv1(&o, x, 2 * CHANNELS)); break;
            case 6: node = oracle_modulate(&o, x, oracle_conv1(&o, c, 2 * CHANNELS)); break;
            case 7: node = oracle_conv(&o, c, &conv, ORACLE_AS_CONV); break;
            case 8: node = oracle_add(&o, x, oracle_norm(&o, c, 1, SSDE_SILU), 1.0); break;
            case 9: node = oracle_add(&o, x, oracle_rows(&o, c, oracle_sigma(&o), SSDE_OVER_TOTAL), 1.0); break;
            default: node = oracle_activate(&o, c, SSDE_SILU);
        }
        oracle_finish(&o, node);
        nn_check(&o, NULL);
        oracle_close(&o);
    }
}

/* Odd and even sizes, asymmetric kernels and padding, every up and down. */
static void test_operations_resampling(void) {
    static const double kernels[][8] = {
        {1.0, 3.0, 3.0, 1.0}, {1.0, 2.0, 5.0, -0.5}, {2.0, 1.0}, {1.0}, {1.0, 0.0, 3.0, 4.0, 1.0, 2.0, 0.5, 7.0}};
    static const int taps[] = {4, 4, 2, 1, 8}, pads[][2] = {{2, 1}, {1, 1}, {0, 0}, {0, 3}, {4, 3}};
    static const size_t sizes[][2] = {{4, 4}, {5, 3}, {2, 7}, {1, 1}};
    int kernel, pad, up, down, number = 0;
    size_t s;
    for (s = 0; s < 4; s++) {
        oracle o;
        oracle_open(&o);
        oracle_finish(&o, oracle_nearest(&o, oracle_conv1(&o, oracle_input(&o, sizes[s][0], sizes[s][1], 2), 3 + s)));
        nn_check(&o, NULL);
        oracle_close(&o);
        if (sizes[s][0] < 2) continue;
        oracle_open(&o);
        oracle_finish(&o, oracle_pool(&o, oracle_conv1(&o, oracle_input(&o, sizes[s][0], sizes[s][1], 2), 17 - s)));
        nn_check(&o, NULL);
        oracle_close(&o);
    }
    for (kernel = 0; kernel < 5; kernel++)
        for (pad = 0; pad < 5; pad++)
            for (up = 1; up <= 2; up++)
                for (down = 1; down <= 2; down++)
                    for (s = 0; s < 4; s++) {
                        oracle o;
                        if ((int)sizes[s][0] * up + pads[pad][0] + pads[pad][1] < taps[kernel]) continue;
                        if ((int)sizes[s][1] * up + pads[pad][0] + pads[pad][1] < taps[kernel]) continue;
                        if (++number % (check_quick ? 29 : 1)) continue;
                        oracle_open(&o);
                        oracle_finish(&o,
                                      oracle_fir(&o,
                                                 oracle_conv1(&o, oracle_input(&o, sizes[s][0], sizes[s][1], 2),
                                                              1 + (size_t)number % 5),
                                                 up, down, pads[pad][0], pads[pad][1], kernels[kernel], taps[kernel]));
                        nn_check(&o, NULL);
                        oracle_close(&o);
                    }
}

/* Labels up to 999, and one beyond. A float angle of size a is off by a few a 2^-24, and so is its sine: 3e-4 at most
   here. Even entries of the layout: sines, then cosines. */
static void test_operations_embeddings(void) {
    static const float labels[] = {0.0f, 1e-3f, 0.5f, 1.0f, 17.25f, 500.0f, 999.0f, 3e7f};
    ssde_net *net = NULL;
    ssde_run *run;
    float x[8] = {0}, w[6];
    ssde_node label, positional, fourier;
    size_t row, i;
    CHECK_OK(ssde_net_create(NULL, &net, 3));
    ssde_input(net, 1, 1, 1);
    label = ssde_input_label(net);
    CHECK(ssde_input_label(net) == label);
    positional = ssde_positional_embedding(net, label, 10, 1.0, 0);
    fourier = ssde_fourier_embedding(net, label, 6, 16.0, "fourier");
    CHECK_OK(ssde_net_finish(net, 0));
    CHECK(!strcmp(ssde_net_parameter(net, 0)->name, "fourier.W") && !ssde_net_parameter(net, 0)->trainable);
    CHECK_OK(ssde_net_get(net, 0, w));
    run = nn_run(net, NULL, SSDE_RUN_INFERENCE, 8);
    run = nn_unshare(run);
    CHECK_OK(ssde_run_forward(run, x, labels, NULL, 8, 0, 0, NULL, NULL));
    for (row = 0; row < 8; row++) {
        const float *y = ssdei_value(run, positional) + row * 10;
        if (row == 7) { /* too large for the vectors, and exact */
            CHECK(nn_ulps(y[0], sin(3e7)) <= 0.501);
            CHECK(nn_ulps(y[5], cos(3e7)) <= 0.501);
        }
        for (i = 0; i < 5 && row < 7; i++) {
            double angle = (double)labels[row] * pow(10000.0, -(double)i / 4.0);
            CHECK_NEAR(y[i], sin(angle), 3e-7 * (1.0 + angle));
            CHECK_NEAR(y[5 + i], cos(angle), 3e-7 * (1.0 + angle));
        }
        y = ssdei_value(run, fourier) + row * 12;
        for (i = 0; row && i < 6; i++) {
            double angle = log((double)labels[row]) * (double)w[i] * 6.283185307179586;
            CHECK_NEAR(y[i], sin(angle), 3e-7 * (1.0 + fabs(angle)));
            CHECK_NEAR(y[6 + i], cos(angle), 3e-7 * (1.0 + fabs(angle)));
        }
    }
    ssde_run_destroy(run);
    ssde_net_destroy(net);
}

/* ---- operations: dropout ---- */

enum { DROPOUT_SIDE = 64, DROPOUT_COUNT = DROPOUT_SIDE * DROPOUT_SIDE * 2 };

/* The mask of a forward pass over rows of ones: what the first dropout, and that behind it, made of them. */
static void nn_dropout_masks(ssde_run *run, size_t rows, uint64_t seed, uint32_t step, const uint64_t *sample,
                             float *first, float *second) {
    float *x = (float *)malloc(rows * DROPOUT_COUNT * sizeof *x);
    size_t i;
    for (i = 0; i < rows * DROPOUT_COUNT; i++) x[i] = 1.0f;
    nn_poison(run);
    CHECK_OK(ssde_run_forward(run, x, NULL, NULL, rows, seed, step, sample, NULL));
    memcpy(first, ssdei_value(run, 2), rows * DROPOUT_COUNT * sizeof *first);
    memcpy(second, ssdei_value(run, 3), rows * DROPOUT_COUNT * sizeof *second);
    free(x);
}

/* x through a 1x1 convolution that is the identity (so that there is something to train), and two dropouts of it,
 * added. */
static ssde_net *nn_dropout_net(double p) {
    ssde_conv_desc conv = ssde_conv(2, 1);
    const float identity[4] = {1.0f, 0.0f, 0.0f, 1.0f};
    ssde_net *net = NULL;
    int h;
    CHECK_OK(ssde_net_create(NULL, &net, 1));
    h = ssde_conv2d(net, ssde_input(net, DROPOUT_SIDE, DROPOUT_SIDE, 2), &conv, "conv");
    CHECK(ssde_dropout(net, h, p) == 2 && ssde_dropout(net, h, p) == 3);
    CHECK_OK(ssde_net_finish(net, ssde_add_scaled(net, 2, 3, 1.0)));
    CHECK_OK(ssde_net_set(net, 0, identity));
    return net;
}

/* What the network's n-th dropout, 1 or 2, makes of a row of ones, by the rule. */
static void nn_dropout_ones(double p, uint64_t seed, uint32_t step, uint64_t sample, int n, float *mask) {
    double least = fmin(floor(65536.0 * p + 0.5), 65535.0);
    uint32_t *words = (uint32_t *)malloc(DROPOUT_COUNT / 2 * sizeof *words), number;
    size_t i;
    seed += (uint64_t)n * 0x9e3779b97f4a7c15u;
    CHECK_OK(ssde_random_words(NULL, seed, SSDE_STREAM_DROPOUT, step, &sample, 1, DROPOUT_COUNT / 2, words));
    for (i = 0; i < DROPOUT_COUNT; i++) {
        number = words[i / 32 * 16 + i % 16];
        number = i % 32 < 16 ? number % 65536 : number / 65536;
        mask[i] = (double)number < least ? 0.0f : (float)(1.0 / (1.0 - least / 65536.0));
    }
    free(words);
}

static void test_operations_dropout(void) {
    static const double rates[] = {0.1, 0.5, 0.9};
    static const uint64_t samples[3] = {5, 70000000000u, 0}, reversed[3] = {0, 70000000000u, 5}, numbers[3] = {0, 1, 2};
    size_t n = DROPOUT_COUNT, i, r;
    float *buffer = (float *)malloc(18 * n * sizeof *buffer), *a = buffer, *b = a + 3 * n, *c = b + 3 * n,
          *d = c + 3 * n;
    float *v = d + 3 * n, gradient[6];
    ssde_context context;
    int tier;
    for (tier = 0; nn_tier(tier, &context); tier++) {
        for (r = 0; r < 3; r++) {
            double p = rates[r], same = 0.0, dropped = 0.0;
            ssde_net *net = nn_dropout_net(p);
            ssde_run *run = nn_run(net, &context, SSDE_RUN_TRAIN, 3), *calm;
            run = nn_unshare(run);
            nn_dropout_masks(run, 3, 9, 4, samples, a, b);
            for (i = 0; i < 3; i++) {
                nn_dropout_ones(p, 9, 4, samples[i], 1, c);
                nn_dropout_ones(p, 9, 4, samples[i], 2, d);
                CHECK_SAME(a + i * n, c, n * sizeof *a);
                CHECK_SAME(b + i * n, d, n * sizeof *b);
            }
            for (i = 0; i < 3 * n; i++) {
                dropped += a[i] == 0.0f;
                same += (a[i] == 0.0f) == (b[i] == 0.0f);
            }
            /* five standard deviations */
            CHECK_NEAR(dropped / (3.0 * (double)n), p, 5.0 * sqrt(p * (1.0 - p) / (3.0 * (double)n)));
            CHECK_NEAR(same / (3.0 * (double)n), p * p + (1.0 - p) * (1.0 - p), 5.0 * sqrt(0.25 / (3.0 * (double)n)));
            /* backward drops the same */
            oracle_normals(3, 1.0, 3 * n, v);
            memset(gradient, 0, sizeof gradient);
            CHECK_OK(ssde_run_backward(run, v, NULL, gradient));
            for (i = 0; i < 3 * n; i++) v[i] *= a[i] + b[i];
            CHECK_ARRAY(ssdei_gradient(run, 1), v, 3 * n, 1e-6);
            /* the same samples elsewhere, alone, and by number */
            nn_dropout_masks(run, 3, 9, 4, reversed, c, d);
            CHECK_SAME(c + 2 * n, a, n * sizeof *a);
            CHECK_SAME(c + n, a + n, n * sizeof *a);
            CHECK_SAME(c, a + 2 * n, n * sizeof *a);
            CHECK_SAME(d, b + 2 * n, n * sizeof *a);
            nn_dropout_masks(run, 1, 9, 4, samples + 1, c, d);
            CHECK_SAME(c, a + n, n * sizeof *a);
            nn_dropout_masks(run, 3, 9, 4, NULL, a, b);
            nn_dropout_masks(run, 3, 9, 4, numbers, c, d);
            CHECK_SAME(a, c, 3 * n * sizeof *a);
            CHECK(memcmp(a, a + n, n * sizeof *a) != 0);
            nn_dropout_masks(run, 3, 9, 5, NULL, c, d);
            CHECK(memcmp(a, c, n * sizeof *a) != 0 && memcmp(b, d, n * sizeof *a) != 0);
            nn_dropout_masks(run, 3, 10, 4, NULL, c, d);
            CHECK(memcmp(a, c, n * sizeof *a) != 0 && memcmp(b, d, n * sizeof *a) != 0);
            ssde_run_destroy(run);
            /* nothing outside training */
            calm = nn_run(net, &context, r ? SSDE_RUN_VJP : SSDE_RUN_INFERENCE, 1);
            oracle_normals(5, 1.0, n, a);
            CHECK_OK(ssde_run_forward(calm, a, NULL, NULL, 1, 9, 4, NULL, b));
            for (i = 0; i < n; i++) c[i] = 2.0f * a[i];
            CHECK_SAME(b, c, n * sizeof *a);
            if (r) CHECK_OK(ssde_run_backward(calm, a, b, NULL));
            if (r) CHECK_SAME(b, c, n * sizeof *a);
            ssde_run_destroy(calm);
            ssde_net_destroy(net);
        }
    }
    free(buffer);
}

/* A rate too small for 16 bits drops nothing; one next to 1 keeps one value in 65536. */
static void test_operations_dropout_ends(void) {
    static const double rates[] = {1e-9, 1.0 - 1e-9};
    size_t n = DROPOUT_COUNT, i, r;
    float *buffer = (float *)malloc(9 * n * sizeof *buffer), *a = buffer, *b = a + 3 * n, *c = b + 3 * n;
    for (r = 0; r < 2; r++) {
        ssde_net *net = nn_dropout_net(rates[r]);
        ssde_run *run = nn_unshare(nn_run(net, NULL, SSDE_RUN_TRAIN, 3));
        size_t kept = 0;
        uint64_t row, seed;
        for (seed = 0; seed < 20; seed++) {
            nn_dropout_masks(run, 3, seed, 4, NULL, a, b);
            for (row = 0; row < 3; row++) nn_dropout_ones(rates[r], seed, 4, row, 1, c + row * n);
            CHECK_SAME(a, c, 3 * n * sizeof *a);
            for (i = 0; i < 3 * n; i++) kept += a[i] != 0.0f;
        }
        CHECK(r ? kept > 0 && kept < 20 * 3 * n / 1000 : kept == 20 * 3 * n);
        ssde_run_destroy(run);
        ssde_net_destroy(net);
    }
    free(buffer);
}

/* A group norm's values dropped in one go, or as something between the two wants it; the norm read elsewhere too, or
   not. Of the best tier: kernels have tests of their own. */
static ssde_net *nn_norm_dropout_net(int apart, int read) {
    ssde_conv_desc conv = ssde_conv(24, 1);
    ssde_net *net = NULL;
    ssde_node h, norm;
    CHECK_OK(ssde_net_create(NULL, &net, 1));
    h = ssde_conv2d(net, ssde_input(net, 9, 11, 24), &conv, "front");
    norm = ssde_group_norm(net, h, 6, 1e-6, SSDE_SILU, "norm");
    h = ssde_dropout(net, apart ? ssde_affine_map(net, norm, 1.0, 0.0) : norm, 0.3);
    if (read) h = ssde_add_scaled(net, h, norm, 0.5);
    CHECK_OK(ssde_net_finish(net, h));
    return net;
}

static void test_operations_norm_dropout(void) {
    enum { ROWS = 2, DIM = 9 * 11 * 24, WEIGHTS = 24 * 24 + 3 * 24 };
    static float x[ROWS * DIM], v[ROWS * DIM], out[2][ROWS * DIM], gradient[2][WEIGHTS];
    int read, apart, drops;
    size_t i;
    oracle_normals(1, 1.0, ROWS * DIM, x);
    oracle_normals(2, 1.0, ROWS * DIM, v);
    for (read = 0; read < 2; read++) {
        for (drops = 0; drops < 2; drops++) {
            for (apart = 0; apart < 2; apart++) {
                ssde_net *net = nn_norm_dropout_net(apart, read);
                ssde_run *run = nn_run(net, NULL, SSDE_RUN_TRAIN, ROWS);
                memset(gradient[apart], 0, sizeof gradient[apart]);
                run->dropout = drops;
                CHECK(ssde_net_weight_count(net) == WEIGHTS);
                CHECK_OK(ssde_run_forward(run, x, NULL, NULL, ROWS, 5, 6, NULL, out[apart]));
                CHECK_OK(ssde_run_backward(run, v, NULL, gradient[apart]));
                ssde_run_destroy(run);
                ssde_net_destroy(net);
            }
            for (i = 0; i < ROWS * DIM; i++) CHECK(out[0][i] == out[1][i]);
            /* read twice, the one has the norm's derivatives of each added up, the other those of the sum */
            CHECK_ARRAY(gradient[0], gradient[1], WEIGHTS, read ? 1e-6 : 0.0);
        }
    }
}

#define TEST_NN_OPERATIONS_LIST(X)       \
    X(operations_conv_padding)           \
    X(operations_conv_sizes)             \
    X(operations_conv_dilation)          \
    X(operations_conv_residual)          \
    X(operations_conv_channel_residual)  \
    X(operations_conv_wide)              \
    X(operations_conv_segments)          \
    X(operations_group_norm)             \
    X(operations_group_norm_extremes)    \
    X(operations_instance_norm)          \
    X(operations_conditional_labels)     \
    X(operations_instance_norm_extremes) \
    X(operations_pooling)                \
    X(operations_pool_equals)            \
    X(operations_resize)                 \
    X(operations_channel_moments)        \
    X(operations_silu)                   \
    X(operations_silu_second)            \
    X(operations_curve)                  \
    X(operations_attention)              \
    X(operations_attention_company)      \
    X(operations_attention_memory)       \
    X(operations_softmax)                \
    X(operations_small_operations)       \
    X(operations_constants)              \
    X(operations_resampling)             \
    X(operations_embeddings)             \
    X(operations_dropout)                \
    X(operations_dropout_ends)           \
    X(operations_attention_pool)         \
    X(operations_norm_dropout)

#endif
