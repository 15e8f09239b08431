/* Networks: the golden data on every tier, every operation against a naive version and against differences, memory,
   determinism. */
#ifndef TEST_NN_H
#define TEST_NN_H

#include "golden.h"

/* The tiers of this machine: every index below the count is one. */
static int nn_tier(int index, ssde_context *context) {
    ssde_tier tiers[4];
    int count = 0;
    memset(context, 0, sizeof *context);
    tiers[count++] = SSDE_TIER_SCALAR;
    if (ssde_tier_used(context) == SSDE_TIER_NEON) tiers[count++] = SSDE_TIER_NEON;
    if (ssde_tier_used(context) >= SSDE_TIER_AVX2) tiers[count++] = SSDE_TIER_AVX2;
    if (ssde_tier_used(context) >= SSDE_TIER_AVX512) tiers[count++] = SSDE_TIER_AVX512;
    if (index >= count) return 0;
    context->tier = tiers[index];
    return 1;
}

/* rows x [c, h, w] to [h, w, c], or back */
static void nn_swap_axes(const float *from, float *to, size_t rows, size_t h, size_t w, size_t c, int to_nhwc) {
    size_t n, y, x, k;
    for (n = 0; n < rows; n++)
        for (y = 0; y < h; y++)
            for (x = 0; x < w; x++)
                for (k = 0; k < c; k++) {
                    size_t nchw = ((n * c + k) * h + y) * w + x, nhwc = ((n * h + y) * w + x) * c + k;
                    to[to_nhwc ? nhwc : nchw] = from[to_nhwc ? nchw : nhwc];
                }
}

/* ---- golden networks ---- */

enum { GOLDEN_ROWS = 2, GOLDEN_DIM = 3 * 16 * 16 };

typedef struct nn_golden {
    golden_file *io;
    ssde_net *net;
    ssde_sde sde;
    size_t dim, height, width, channels;
} nn_golden;

static int nn_golden_open(nn_golden *golden, ssde_context *context, const char *name) {
    char path[160];
    snprintf(path, sizeof path, "tests/golden/%s.weights.safetensors", name);
    memset(golden, 0, sizeof *golden);
    CHECK_OK(ssde_net_load(context, &golden->net, &golden->sde, path));
    if (!golden->net) printf("    %s\n", context->error);
    snprintf(path, sizeof path, "tests/golden/%s.io.safetensors", name);
    golden->io = golden_open(path);
    golden->dim = ssde_net_dim(golden->net);
    ssde_net_shape(golden->net, &golden->height, &golden->width, &golden->channels);
    return golden->net && golden->io && golden->dim <= GOLDEN_DIM;
}

static void nn_golden_close(nn_golden *golden) {
    golden_close(golden->io);
    ssde_net_destroy(golden->net);
}

/* An image tensor of the golden file, as NHWC. */
static void nn_golden_images(const nn_golden *golden, const char *name, float *out) {
    float planar[GOLDEN_ROWS * GOLDEN_DIM];
    golden_floats(golden->io, name, planar, GOLDEN_ROWS * golden->dim);
    nn_swap_axes(planar, out, GOLDEN_ROWS, golden->height, golden->width, golden->channels, 1);
}

/* 2e-5 relative is what 30 layers of float rounding amount to in the reference itself against double. */
static void nn_golden_forward(const nn_golden *golden, ssde_context *context) {
    float x[GOLDEN_ROWS * GOLDEN_DIM], expected[GOLDEN_ROWS * GOLDEN_DIM], out[GOLDEN_ROWS * GOLDEN_DIM];
    float label[GOLDEN_ROWS], sigma[GOLDEN_ROWS], t_float[GOLDEN_ROWS];
    double t[GOLDEN_ROWS];
    size_t count = GOLDEN_ROWS * golden->dim, i;
    ssde_score_net *score_net = NULL;
    ssde_score_model model;
    nn_golden_images(golden, "x", x);
    golden_floats(golden->io, "t", t_float, GOLDEN_ROWS);
    golden_floats(golden->io, "labels", expected, GOLDEN_ROWS);
    for (i = 0; i < GOLDEN_ROWS; i++) {
        t[i] = (double)t_float[i];
        CHECK_OK(ssde_score_net_label(context, &golden->sde, t[i], &label[i], &sigma[i]));
        CHECK_RELATIVE(label[i], expected[i], 1e-6);
    }
    CHECK_OK(ssde_score_net_create(&score_net, golden->net, &golden->sde, NULL));
    ssde_score_net_destroy(score_net);
    {
        ssde_score_net_desc desc;
        memset(&desc, 0, sizeof desc);
        desc.context = context;
        desc.max_rows = 3;
        CHECK_OK(ssde_score_net_create(&score_net, golden->net, &golden->sde, &desc));
    }
    model = ssde_score_net_model(score_net);
    CHECK_OK(model.score(model.user, x, t, NULL, GOLDEN_ROWS, 1, out));
    nn_golden_images(golden, "score", expected);
    CHECK_ARRAY(out, expected, count, 2e-5);
    /* the golden VJP is of the raw output: undo the score's scaling of v */
    nn_golden_images(golden, "vjp_v", x);
    if (golden->sde.kind != SSDE_VE)
        for (i = 0; i < count; i++) x[i] *= -sigma[i / golden->dim];
    CHECK_OK(model.vjp(model.user, x, GOLDEN_ROWS, out));
    nn_golden_images(golden, "vjp_x", expected);
    CHECK_ARRAY(out, expected, count, 2e-5);
    CHECK_OK(model.vjp(model.user, x, GOLDEN_ROWS, out)); /* a second time: nothing may have been used up */
    CHECK_ARRAY(out, expected, count, 2e-5);
    ssde_score_net_destroy(score_net);
}

/* Losses and parameter gradients of the denoising loss, (half the sum, weight std^2). */
static void nn_golden_loss(const nn_golden *golden, ssde_context *context) {
    float x0[GOLDEN_ROWS * GOLDEN_DIM], z[GOLDEN_ROWS * GOLDEN_DIM], xt[GOLDEN_ROWS * GOLDEN_DIM];
    float out[GOLDEN_ROWS * GOLDEN_DIM], slope[GOLDEN_ROWS * GOLDEN_DIM], label[GOLDEN_ROWS], sigma[GOLDEN_ROWS];
    float *gradient = (float *)calloc(ssde_net_weight_count(golden->net), sizeof *gradient), *expected, *actual;
    double t[GOLDEN_ROWS], losses[GOLDEN_ROWS], golden_losses[GOLDEN_ROWS], norm = 0.0, golden_norm;
    size_t i, parameters = 0;
    ssde_loss_desc loss;
    ssde_run_desc desc;
    ssde_run *run = NULL;
    const golden_tensor *tensor = NULL;
    memset(&loss, 0, sizeof loss);
    loss.half_sum = 1;
    loss.output = ssdei_net_output(&golden->sde);
    loss.context = context;
    nn_golden_images(golden, "dsm_x0", x0);
    nn_golden_images(golden, "dsm_z", z);
    golden_doubles(golden->io, "t", t, GOLDEN_ROWS);
    for (i = 0; i < GOLDEN_ROWS; i++) CHECK_OK(ssde_score_net_label(context, &golden->sde, t[i], &label[i], &sigma[i]));
    CHECK_OK(ssde_perturb(context, &golden->sde, x0, z, t, GOLDEN_ROWS, golden->dim, xt));
    memset(&desc, 0, sizeof desc);
    desc.mode = SSDE_RUN_TRAIN;
    desc.max_rows = GOLDEN_ROWS;
    desc.context = context;
    CHECK_OK(ssde_run_create(&run, golden->net, &desc));
    /* the golden gradients are without dropout: run in evaluation, as the reference did, by dropping nothing */
    for (i = 0; i < (size_t)golden->net->node_count; i++)
        if (golden->net->nodes[i].operation == SSDEI_OPERATION_dropout) golden->net->nodes[i].scale = 0.0;
    CHECK_OK(ssde_run_forward(run, xt, label, sigma, GOLDEN_ROWS, 0, 0, NULL, out));
    loss.weighting = SSDE_WEIGHT_LIKELIHOOD;
    CHECK_OK(ssde_loss(&golden->sde, &loss, out, xt, z, t, NULL, GOLDEN_ROWS, golden->dim, 0.5, losses, NULL));
    golden_doubles(golden->io, "dsm_losses_likelihood_weighted", golden_losses, GOLDEN_ROWS);
    for (i = 0; i < GOLDEN_ROWS; i++) CHECK_RELATIVE(losses[i], golden_losses[i], 2e-5);
    loss.weighting = SSDE_WEIGHT_STD2;
    CHECK_OK(ssde_loss(&golden->sde, &loss, out, xt, z, t, NULL, GOLDEN_ROWS, golden->dim, 0.5, losses, slope));
    golden_doubles(golden->io, "dsm_losses", golden_losses, GOLDEN_ROWS);
    for (i = 0; i < GOLDEN_ROWS; i++) CHECK_RELATIVE(losses[i], golden_losses[i], 2e-5);
    CHECK_OK(ssde_run_backward(run, slope, NULL, gradient));
    for (i = 0; i < ssde_net_weight_count(golden->net); i++) norm += (double)gradient[i] * (double)gradient[i];
    golden_doubles(golden->io, "grad_norm", &golden_norm, 1);
    CHECK_RELATIVE(sqrt(norm), golden_norm, 1e-4);
    while ((tensor = golden_next(golden->io, tensor, "grad/")) != NULL) {
        for (i = 0; i < golden->net->parameter_count; i++) {
            const ssdei_parameter *parameter = &golden->net->parameters[i];
            if (strcmp(parameter->info.name, tensor->name + 5)) continue;
            expected = (float *)calloc(tensor->count, sizeof *expected);
            actual = (float *)calloc(tensor->count, sizeof *actual);
            golden_floats(golden->io, tensor->name, expected, parameter->info.count);
            ssdei_parameter_to_file(parameter, gradient + parameter->offset, actual);
            CHECK_ARRAY(actual, expected, tensor->count, 1e-4);
            parameters++;
            free(expected);
            free(actual);
        }
    }
    CHECK(parameters >= 4);
    free(gradient);
    ssde_run_destroy(run);
}

static void nn_golden_network(const char *name) {
    ssde_context context;
    nn_golden golden;
    int tier;
    for (tier = 0; nn_tier(tier, &context); tier++) {
        if (nn_golden_open(&golden, &context, name)) {
            nn_golden_forward(&golden, &context);
            nn_golden_loss(&golden, &context);
        }
        nn_golden_close(&golden);
    }
}

static void test_nn_golden_ddpmpp_vp(void) { nn_golden_network("ddpmpp_vp"); }
static void test_nn_golden_ddpmpp_subvp(void) { nn_golden_network("ddpmpp_subvp_1ch"); }
static void test_nn_golden_ncsnpp_ve(void) { nn_golden_network("ncsnpp_ve"); }
static void test_nn_golden_ncsnpp_ve_skip(void) { nn_golden_network("ncsnpp_ve_skip"); }

#define TEST_NN_LIST(X)                                                                                                \
    X(nn_golden_ddpmpp_vp)                                                                                             \
    X(nn_golden_ddpmpp_subvp)                                                                                          \
    X(nn_golden_ncsnpp_ve)                                                                                             \
    X(nn_golden_ncsnpp_ve_skip)

#endif
