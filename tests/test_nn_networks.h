/* The paper's networks, what they are told, score models and classifiers made of them. */
#ifndef TEST_NN_NETWORKS_H
#define TEST_NN_NETWORKS_H

#include "check.h"
#include "fixtures_core.h"
#include "fixtures_nn.h"
#include "golden.h"
#include "nn_oracle.h"

/* ---- networks: golden networks ---- */

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
    golden_images(golden->io, name, out, GOLDEN_ROWS, golden->height, golden->width, golden->channels);
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
        CHECK_OK(ssde_score_net_label(context, golden->net, &golden->sde, t[i], &label[i], &sigma[i], NULL));
        CHECK_RELATIVE(label[i], expected[i], 1e-6);
    }
    CHECK_OK(ssde_score_net_create(&score_net, golden->net, &golden->sde, NULL));
    ssde_score_net_destroy(score_net);
    {
        ssde_score_net_desc desc = ssde_score_net_defaults();
        desc.context = context;
        desc.max_rows = 3;
        desc.convolution = nn_convolution;
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
    ssde_loss_desc loss = ssde_loss_defaults();
    ssde_run *run = nn_run(golden->net, context, SSDE_RUN_TRAIN, GOLDEN_ROWS);
    const golden_tensor *tensor = NULL;
    loss.half_sum = 1;
    loss.output = SSDE_PREDICT_DEFAULT;
    loss.context = context;
    nn_golden_images(golden, "dsm_x0", x0);
    nn_golden_images(golden, "dsm_z", z);
    golden_doubles(golden->io, "t", t, GOLDEN_ROWS);
    for (i = 0; i < GOLDEN_ROWS; i++)
        CHECK_OK(ssde_score_net_label(context, golden->net, &golden->sde, t[i], &label[i], &sigma[i], NULL));
    CHECK_OK(ssde_perturb(context, &golden->sde, x0, z, t, GOLDEN_ROWS, golden->dim, xt));
    /* the golden gradients are without dropout: run in evaluation, as the reference did, by dropping nothing */
    for (i = 0; i < (size_t)golden->net->node_count; i++) golden->net->nodes[i].drop = 0.0;
    CHECK_OK(ssde_run_forward(run, xt, label, sigma, GOLDEN_ROWS, 0, 0, NULL, out));
    loss.weighting = SSDE_WEIGHT_LIKELIHOOD;
    CHECK_OK(ssde_loss(&golden->sde, &loss, out, x0, z, t, NULL, GOLDEN_ROWS, golden->dim, 0.5, losses, NULL));
    golden_doubles(golden->io, "dsm_losses_likelihood_weighted", golden_losses, GOLDEN_ROWS);
    for (i = 0; i < GOLDEN_ROWS; i++) CHECK_RELATIVE(losses[i], golden_losses[i], 2e-5);
    loss.weighting = SSDE_WEIGHT_STD2;
    CHECK_OK(ssde_loss(&golden->sde, &loss, out, x0, z, t, NULL, GOLDEN_ROWS, golden->dim, 0.5, losses, slope));
    golden_doubles(golden->io, "dsm_losses", golden_losses, GOLDEN_ROWS);
    for (i = 0; i < GOLDEN_ROWS; i++) CHECK_RELATIVE(losses[i], golden_losses[i], 2e-5);
    CHECK_OK(ssde_run_backward(run, slope, NULL, gradient));
    for (i = 0; i < ssde_net_weight_count(golden->net); i++) norm += (double)gradient[i] * (double)gradient[i];
    golden_doubles(golden->io, "grad_norm", &golden_norm, 1);
    CHECK_RELATIVE(sqrt(norm), golden_norm, 1e-4);
    while ((tensor = golden_next(golden->io, tensor, "grad/")) != NULL) {
        for (i = 0; i < ssde_net_parameter_count(golden->net); i++) {
            const ssde_parameter *parameter = ssde_net_parameter(golden->net, i);
            if (strcmp(parameter->name, tensor->name + 5)) continue;
            expected = (float *)calloc(tensor->count, sizeof *expected);
            actual = (float *)calloc(tensor->count, sizeof *actual);
            golden_floats(golden->io, tensor->name, expected, parameter->count);
            CHECK_OK(ssde_net_get_gradient(golden->net, i, gradient, actual));
            /* What moves all logits of an attention row, or all values of a norm's group, alike has gradient zero:
               what is golden there is rounding. */
            if (nn_norm(expected, tensor->count) < 1e-7 * golden_norm)
                CHECK_NEAR(nn_norm(actual, tensor->count), 0.0, 1e-7 * golden_norm);
            else
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
    int tier, convolution;
    for (convolution = SSDE_CONVOLUTION_DIRECT; convolution <= SSDE_CONVOLUTION_WINOGRAD; convolution++) {
        nn_convolution = (ssde_convolution)convolution;
        for (tier = 0; nn_tier(tier, &context); tier++) {
            if (nn_golden_open(&golden, &context, name)) {
                nn_golden_forward(&golden, &context);
                nn_golden_loss(&golden, &context);
            }
            nn_golden_close(&golden);
        }
    }
    nn_convolution = SSDE_CONVOLUTION_AUTO;
}

static void test_networks_golden_ddpmpp_vp(void) { nn_golden_network("ddpmpp_vp"); }
static void test_networks_golden_ddpmpp_subvp(void) { nn_golden_network("ddpmpp_subvp_1ch"); }
static void test_networks_golden_ncsnpp_ve(void) { nn_golden_network("ncsnpp_ve"); }
static void test_networks_golden_ncsnpp_ve_skip(void) { nn_golden_network("ncsnpp_ve_skip"); }
static void test_networks_golden_ddpm_vp(void) { nn_golden_network("ddpm_vp"); }

/* ---- networks: flags that the golden networks lack, against the reference (unet_flags.safetensors names its source)
 * ---- */

enum { FLAGS_CASES = 13, FLAGS_DIM = 2 * 8 * 8 };

/* Tensor `index`: vectors 1 + u named weight, u / 2 otherwise; matrices and kernels [n, ...] u of variance n / count;
   u uniform in [-1/2, 1/2) by a hash of index and element. */
static void nn_flags_fill(uint32_t index, const ssde_parameter *info, float *values) {
    size_t length = strlen(info->name), i;
    int weight = length > 7 && !strcmp(info->name + length - 7, ".weight");
    for (i = 0; i < info->count; i++) {
        uint32_t h = index * 2654435761u + (uint32_t)i * 40503u + 12345u;
        double u;
        h ^= h >> 16;
        h *= 0x85ebca6bu;
        h ^= h >> 13;
        h *= 0xc2b2ae35u;
        h ^= h >> 16;
        u = (double)(h >> 8) / 16777216.0 - 0.5;
        values[i] = (float)(info->rank > 1 ? u * sqrt(12.0 * (double)info->shape[0] / (double)info->count)
                            : weight       ? 1.0 + u
                                           : 0.5 * u);
    }
}

/* The reference's image of that index, [height, width, channels], times scale. */
static void nn_flags_image(uint32_t index, const ssde_unet_desc *desc, float scale, float *image) {
    float planar[FLAGS_DIM];
    ssde_parameter info;
    size_t i;
    memset(&info, 0, sizeof info);
    info.rank = 4;
    info.shape[0] = 1;
    info.count = FLAGS_DIM;
    nn_flags_fill(index, &info, planar);
    for (i = 0; i < FLAGS_DIM; i++) planar[i] *= scale;
    golden_to_nhwc(planar, image, 1, desc->height, desc->width, desc->channels);
}

static ssde_net *nn_flags_net(int which, ssde_unet_desc *desc) {
    ssdei_fields fields;
    ssde_tensor_file *metadata = NULL;
    ssde_net *net = NULL;
    char key[16];
    size_t i;
    memset(desc, 0, sizeof *desc);
    snprintf(key, sizeof key, "%d", which);
    CHECK_OK(ssde_tensor_file_open(NULL, &metadata, "tests/golden/unet_flags.safetensors"));
    if (!metadata) return NULL;
    fields = ssdei_fields_over(SSDEI_FIELDS_READ, NULL, ssde_tensor_file_metadata(metadata, key), key);
    ssdei_unet_fields(&fields, "model.name", desc);
    CHECK_OK(fields.status);
    CHECK_OK(ssde_unet_create(&net, desc));
    ssde_tensor_file_close(metadata);
    for (i = 0; net && i < ssde_net_parameter_count(net); i++) {
        const ssde_parameter *info = ssde_net_parameter(net, i);
        float *values = (float *)malloc(info->count * sizeof *values);
        nn_flags_fill((uint32_t)i, info, values);
        CHECK_OK(ssde_net_set(net, i, values));
        free(values);
    }
    return net;
}

/* Output and VJP within 2e-5; the norm of the gradient by each parameter, in the reference's order, within 1e-4. */
static void nn_flags_case(const golden_file *file, int which, ssde_context *context) {
    static const ssde_run_mode modes[2] = {SSDE_RUN_VJP, SSDE_RUN_TRAIN};
    ssde_unet_desc desc;
    ssde_net *net = nn_flags_net(which, &desc);
    float x[FLAGS_DIM], v[FLAGS_DIM], out[FLAGS_DIM], vjp[FLAGS_DIM], expected[FLAGS_DIM];
    float label, sigma, norms[256], *gradient;
    char name[32];
    size_t i;
    int m;
    if (!net || ssde_net_dim(net) != FLAGS_DIM || ssde_net_parameter_count(net) > 256) {
        check_report(__FILE__, __LINE__, "case %d is no network of that size", which);
        ssde_net_destroy(net);
        return;
    }
#define FLAGS_NAME(part) (snprintf(name, sizeof name, "%d." part, which), name)
    golden_floats(file, FLAGS_NAME("label"), &label, 1);
    golden_floats(file, FLAGS_NAME("sigma"), &sigma, 1);
    golden_floats(file, FLAGS_NAME("gradient_norms"), norms, ssde_net_parameter_count(net));
    nn_flags_image(1000, &desc, 0.5f, x);
    nn_flags_image(1001, &desc, 1.0f, v);
    gradient = (float *)calloc(ssde_net_weight_count(net), sizeof *gradient);
    for (i = 0; i < (size_t)net->node_count; i++) net->nodes[i].drop = 0.0;
    for (m = 0; m < 2; m++) {
        ssde_run *run = nn_run(net, context, modes[m], 1);
        CHECK_OK(ssde_run_forward(run, x, &label, &sigma, 1, 0, 0, NULL, out));
        CHECK_OK(ssde_run_backward(run, v, m ? NULL : vjp, m ? gradient : NULL));
        ssde_run_destroy(run);
    }
    golden_images(file, FLAGS_NAME("out"), expected, 1, desc.height, desc.width, desc.channels);
    CHECK_ARRAY(out, expected, FLAGS_DIM, 2e-5);
    golden_images(file, FLAGS_NAME("vjp"), expected, 1, desc.height, desc.width, desc.channels);
    CHECK_ARRAY(vjp, expected, FLAGS_DIM, 2e-5);
#undef FLAGS_NAME
    nn_check_norms(net, gradient, norms);
    free(gradient);
    ssde_net_destroy(net);
}

static void test_networks_golden_flags(void) {
    golden_file *file = golden_open("tests/golden/unet_flags.safetensors");
    ssde_context context;
    int which, tier, convolution;
    for (which = 0; which < FLAGS_CASES; which += check_quick ? 2 : 1)
        for (convolution = SSDE_CONVOLUTION_DIRECT; convolution <= SSDE_CONVOLUTION_WINOGRAD; convolution++) {
            nn_convolution = (ssde_convolution)convolution;
            for (tier = 0; nn_tier(tier, &context); tier++) nn_flags_case(file, which, &context);
        }
    nn_convolution = SSDE_CONVOLUTION_AUTO;
    golden_close(file);
}

/* ---- networks ---- */

/* The parameters of models/ncsnpp.py and models/ddpm.py in their order: names, shapes, and how they start. */
typedef struct nn_reference {
    const ssde_net *net;
    const ssde_unet_desc *desc;
    int module;
    size_t seen; /* parameters so far, and the index of the next */
} nn_reference;

static const double START_ZERO = -1.0, START_ONE = -2.0, START_NORMAL = -3.0;

/* scale: of fan_avg's uniform, or a START. Its variance over n draws errs by sqrt(4 / (5 n)) of itself, times five
 * here. */
static void nn_expect(nn_reference *r, const char *part, int rank, size_t a, size_t b, size_t k, double scale) {
    const size_t shape[4] = {a, b, k, k};
    const ssde_parameter *parameter = NULL;
    char name[96];
    float *values;
    double fan = 0.5 * (double)(a + b) * (rank == 4 ? (double)(k * k) : 1.0), square = 0.0, largest = 0.0;
    double variance =
        scale == START_NORMAL ? r->desc->fourier_scale * r->desc->fourier_scale : (scale == 0.0 ? 1e-10 : scale) / fan;
    size_t i;
    snprintf(name, sizeof name, "all_modules.%d.%s", r->module, part);
    parameter = ssde_net_parameter(r->net, r->seen);
    check_count++;
    if (!parameter || strcmp(parameter->name, name) || parameter->rank != rank ||
        memcmp(parameter->shape, shape, (size_t)rank * sizeof *shape)) {
        check_report(__FILE__, __LINE__, "parameter %lu is %s, expected %s, or it is of another shape",
                     (unsigned long)r->seen, parameter ? parameter->name : "missing", name);
        return;
    }
    values = (float *)calloc(parameter->count, sizeof *values);
    CHECK_OK(ssde_net_get(r->net, r->seen++, values));
    for (i = 0; i < parameter->count; i++) {
        if (scale == START_ZERO || scale == START_ONE) CHECK(values[i] == (scale == START_ONE ? 1.0f : 0.0f));
        square += (double)values[i] * (double)values[i] / (double)parameter->count;
        if (largest < fabs((double)values[i])) largest = fabs((double)values[i]);
    }
    CHECK(parameter->trainable == !(scale == START_NORMAL));
    if (scale == START_NORMAL) CHECK_NEAR(square, variance, 5.0 * variance * sqrt(2.0 / (double)parameter->count));
    if (scale >= 0.0) {
        CHECK(largest <= sqrt(3.0 * variance) * (1.0 + 1e-6));
        CHECK_NEAR(square, variance, 5.0 * variance * sqrt(0.8 / (double)parameter->count));
    }
    free(values);
}

static const char *nn_part(const char *prefix, const char *name) {
    static char part[64];
    snprintf(part, sizeof part, "%s%s", prefix, name);
    return part;
}
static void nn_expect_norm(nn_reference *r, const char *prefix, size_t channels) {
    nn_expect(r, nn_part(prefix, "weight"), 1, channels, 0, 0, START_ONE);
    nn_expect(r, nn_part(prefix, "bias"), 1, channels, 0, 0, START_ZERO);
}
static void nn_expect_conv(nn_reference *r, const char *prefix, size_t in, size_t out, size_t kernel, double scale) {
    nn_expect(r, nn_part(prefix, "weight"), kernel ? 4 : 2, out, in, kernel, scale);
    nn_expect(r, nn_part(prefix, "bias"), 1, out, 0, 0, START_ZERO);
}
static void nn_expect_nin(nn_reference *r, const char *prefix, size_t in, size_t out, double scale) {
    nn_expect(r, nn_part(prefix, "W"), 2, in, out, 0, scale);
    nn_expect(r, nn_part(prefix, "b"), 1, out, 0, 0, START_ZERO);
}
static void nn_expect_block(nn_reference *r, size_t in, size_t out, int resampled) {
    int biggan = r->desc->resblock_type == SSDE_RESBLOCK_BIGGAN;
    nn_expect_norm(r, "GroupNorm_0.", in);
    nn_expect_conv(r, "Conv_0.", in, out, 3, 1.0);
    nn_expect_conv(r, "Dense_0.", 4 * r->desc->nf, out, 0, 1.0); /* not used where conditional is 0 */
    nn_expect_norm(r, "GroupNorm_1.", out);
    nn_expect_conv(r, "Conv_1.", out, out, 3, r->desc->init_scale);
    if (biggan && (in != out || resampled)) nn_expect_conv(r, "Conv_2.", in, out, 1, 1.0);
    if (!biggan && in != out) nn_expect_nin(r, "NIN_0.", in, out, 0.1);
    r->module++;
}
static void nn_expect_attention(nn_reference *r, size_t channels) {
    nn_expect_norm(r, "GroupNorm_0.", channels);
    nn_expect_nin(r, "NIN_0.", channels, channels, 0.1);
    nn_expect_nin(r, "NIN_1.", channels, channels, 0.1);
    nn_expect_nin(r, "NIN_2.", channels, channels, 0.1);
    nn_expect_nin(r, "NIN_3.", channels, channels, r->desc->init_scale);
    r->module++;
}
/* Upsample and Downsample of ncsnpp.py */
static void nn_expect_resampling(nn_reference *r, size_t in, size_t out, int with_conv) {
    if (with_conv) nn_expect_conv(r, r->desc->fir ? "Conv2d_0." : "Conv_0.", in, out, 3, 1.0);
    r->module++;
}
static void nn_expect_module(nn_reference *r, size_t in, size_t out, size_t kernel, double scale) {
    nn_expect_conv(r, "", in, out, kernel, scale);
    r->module++;
}
static int nn_reference_attends(const ssde_unet_desc *desc, int level) {
    int i, found = 0;
    for (i = 0; i < desc->num_attn_resolutions; i++) found = found || desc->attn_resolutions[i] == desc->width >> level;
    return found;
}

static void nn_expect_unet(const ssde_net *net, const ssde_unet_desc *desc) {
    nn_reference reference, *r = &reference;
    size_t skips[64], count = 0, in = desc->nf, pyramid = desc->channels, width;
    int level, block, biggan = desc->resblock_type == SSDE_RESBLOCK_BIGGAN;
    r->net = net;
    r->desc = desc;
    r->module = 0;
    r->seen = 0;
    width = desc->nf;
    if (desc->embedding_type == SSDE_EMBEDDING_FOURIER) {
        nn_expect(r, "W", 1, desc->nf, 0, 0, START_NORMAL);
        r->module++;
        width = 2 * desc->nf;
    }
    if (desc->conditional) {
        nn_expect_module(r, width, 4 * desc->nf, 0, 1.0);
        nn_expect_module(r, 4 * desc->nf, 4 * desc->nf, 0, 1.0);
    }
    nn_expect_module(r, desc->channels, desc->nf, 3, 1.0);
    skips[count++] = desc->nf;
    for (level = 0; level < desc->num_levels; level++) {
        for (block = 0; block < desc->num_res_blocks; block++) {
            nn_expect_block(r, in, desc->nf * (size_t)desc->ch_mult[level], 0);
            in = desc->nf * (size_t)desc->ch_mult[level];
            if (nn_reference_attends(desc, level)) nn_expect_attention(r, in);
            skips[count++] = in;
        }
        if (level == desc->num_levels - 1) break;
        if (biggan)
            nn_expect_block(r, in, in, 1);
        else
            nn_expect_resampling(r, in, in, desc->resamp_with_conv);
        if (desc->progressive_input == SSDE_INPUT_SKIP) {
            nn_expect_conv(r, "Conv_0.", pyramid, in, 1, 1.0);
            r->module++;
            if (desc->progressive_combine == SSDE_COMBINE_CAT) in *= 2;
        } else if (desc->progressive_input == SSDE_INPUT_RESIDUAL) {
            nn_expect_resampling(r, pyramid, in, 1);
            pyramid = in;
        }
        skips[count++] = in;
    }
    nn_expect_block(r, in, in, 0);
    nn_expect_attention(r, in);
    nn_expect_block(r, in, in, 0);
    for (level = desc->num_levels - 1; level >= 0; level--) {
        for (block = 0; block <= desc->num_res_blocks; block++) {
            nn_expect_block(r, in + skips[--count], desc->nf * (size_t)desc->ch_mult[level], 0);
            in = desc->nf * (size_t)desc->ch_mult[level];
        }
        if (nn_reference_attends(desc, level)) nn_expect_attention(r, in);
        if (desc->progressive == SSDE_OUTPUT_SKIP ||
            (desc->progressive == SSDE_OUTPUT_RESIDUAL && level == desc->num_levels - 1)) {
            int skip = desc->progressive == SSDE_OUTPUT_SKIP;
            nn_expect_norm(r, "", in);
            r->module++;
            nn_expect_module(r, in, skip ? desc->channels : in, 3, skip ? desc->init_scale : 1.0);
        } else if (desc->progressive == SSDE_OUTPUT_RESIDUAL) {
            nn_expect_resampling(r, pyramid, in, 1);
        }
        pyramid = in;
        if (level && biggan) nn_expect_block(r, in, in, 1);
        if (level && !biggan) nn_expect_resampling(r, in, in, desc->resamp_with_conv);
    }
    CHECK(count == 0);
    if (desc->progressive != SSDE_OUTPUT_SKIP) {
        nn_expect_norm(r, "", in);
        r->module++;
        nn_expect_module(r, in, desc->channels, 3, desc->init_scale);
    }
    CHECK(r->seen == ssde_net_parameter_count(net));
}

/* A choice among `count`, by a counter: Weyl sequences with the fraction of the square root of `prime`, which run
   through all combinations. */
static int nn_choice(int which, int prime, int count) {
    double position = (double)which * sqrt((double)prime);
    return (int)((position - floor(position)) * count);
}

/* Flags in combination, on images that are not square. */
static ssde_unet_desc nn_unet_combination(int which) {
    static const int taps[5] = {0, 4, 3, 2, 5};
    ssde_unet_desc desc = nn_small_unet();
    int fir = taps[nn_choice(which, 2, 5)];
    desc.seed = 100 + (uint64_t)which;
    desc.dropout = 0.0;
    desc.nf = 4;
    desc.height = which % 2 ? 8 : 4;
    desc.width = which % 2 ? 4 : 8;
    desc.num_levels = which % 4 ? 2 : 3;
    desc.attn_resolutions[0] = desc.width / 2;
    desc.fir = fir > 0;
    if (fir) desc.fir_taps = fir;
    desc.fir_kernel[fir ? fir - 1 : 0] = 2.0;
    desc.resblock_type = (ssde_resblock_type)nn_choice(which, 3, 2);
    desc.progressive = (ssde_progressive)nn_choice(which, 5, 3);
    desc.progressive_input = (ssde_progressive_input)nn_choice(which, 7, 3);
    desc.progressive_combine = (ssde_progressive_combine)nn_choice(which, 11, 2);
    desc.resamp_with_conv = nn_choice(which, 13, 2);
    desc.conditional = nn_choice(which, 17, 2);
    desc.embedding_type = (ssde_embedding_type)nn_choice(which, 19, 2);
    desc.skip_rescale = nn_choice(which, 23, 2);
    desc.scale_by_sigma = nn_choice(which, 29, 2);
    desc.centered = nn_choice(which, 31, 2);
    return desc;
}

/* DDPM, whose other flags are not read. */
static ssde_unet_desc nn_unet_ddpm(int which) {
    ssde_unet_desc desc = ssde_ddpm(8, which ? 4 : 8, 2);
    desc.nf = 32;
    desc.num_levels = 2;
    desc.ch_mult[1] = 1 + which;
    desc.num_res_blocks = 1;
    desc.dropout = 0.0;
    desc.attn_resolutions[0] = 2;
    desc.resamp_with_conv = !which;
    desc.conditional = !which;
    desc.centered = which;
    desc.scale_by_sigma = which;
    return desc;
}

enum { UNET_SINGLE_CASES = 9, UNET_CASES = UNET_SINGLE_CASES + 2, UNET_COMBINATIONS = 36 };
static ssde_unet_desc nn_unet_case(int which) {
    ssde_unet_desc desc = nn_small_unet();
    int fir = which == 2 || which == 3 || which == 5 || which == 7;
    if (which >= UNET_CASES) return nn_unet_combination(which - UNET_CASES);
    if (which >= UNET_SINGLE_CASES) return nn_unet_ddpm(which - UNET_SINGLE_CASES);
    desc.dropout = 0.0;
    desc.fir = fir;
    desc.resblock_type = which < 4 || which == 8 ? SSDE_RESBLOCK_DDPM : SSDE_RESBLOCK_BIGGAN;
    desc.progressive = SSDE_PROGRESSIVE_NONE;
    desc.progressive_input = SSDE_PROGRESSIVE_INPUT_NONE;
    desc.embedding_type = which % 2 ? SSDE_EMBEDDING_FOURIER : SSDE_EMBEDDING_POSITIONAL;
    desc.scale_by_sigma = which == 1 || which == 5;
    desc.centered = which != 2 && which != 5;
    desc.init_scale = which % 3 ? 1.0 : 0.0;
    desc.seed = (uint64_t)which;
    switch (which) {
        case 0: desc.num_attn_resolutions = 0; break;
        case 1:
            desc.resamp_with_conv = 0;
            desc.num_attn_resolutions = 2;
            desc.attn_resolutions[1] = 4;
            desc.progressive_input = SSDE_INPUT_SKIP;
            desc.progressive_combine = SSDE_COMBINE_CAT;
            break;
        case 2:
            desc.progressive = SSDE_OUTPUT_RESIDUAL;
            desc.progressive_input = SSDE_INPUT_RESIDUAL;
            desc.attn_resolutions[0] = 4;
            break;
        case 3:
            desc.resamp_with_conv = 0;
            desc.progressive = SSDE_OUTPUT_SKIP;
            desc.progressive_input = SSDE_INPUT_SKIP;
            break;
        case 4:
            desc.conditional = 0;
            desc.progressive = SSDE_OUTPUT_RESIDUAL;
            desc.ch_mult[0] = 2;
            desc.ch_mult[1] = 1;
            break;
        case 5: desc.conditional = 0; break;
        case 6: /* 4 x 16: attention at widths 16 and 4 */
            desc.height = 4;
            desc.width = 16;
            desc.num_levels = 3;
            desc.num_attn_resolutions = 2;
            desc.attn_resolutions[0] = 16;
            desc.attn_resolutions[1] = 4;
            desc.progressive = SSDE_OUTPUT_SKIP;
            desc.progressive_input = SSDE_INPUT_SKIP;
            desc.progressive_combine = SSDE_COMBINE_CAT;
            desc.skip_rescale = 0;
            break;
        case 7:
            desc.channels = 1;
            desc.num_res_blocks = 2;
            desc.fir_taps = 6;
            desc.fir_kernel[4] = 2.0;
            desc.fir_kernel[5] = 0.5;
            desc.progressive_input = SSDE_INPUT_RESIDUAL;
            desc.progressive = SSDE_OUTPUT_RESIDUAL;
            desc.skip_rescale = 0;
            break;
        default: /* one level, nothing to resample */
            desc.num_levels = 1;
            desc.height = 3;
            desc.width = 5;
            break;
    }
    return desc;
}

/* The gradient by all parameters along three directions, in which each has about the same weight: an error of 1e-4 in
   one parameter out of a hundred shows. */
static void nn_check_jointly(oracle *o, nn_data *data, const float *gradient, double tolerance) {
    size_t count = ssde_net_weight_count(o->net), parameters = ssde_net_parameter_count(o->net), i, j, k;
    float *file = (float *)calloc(count, sizeof *file);
    double *direction = (double *)calloc(2 * count, sizeof *direction), *kept = direction + count, largest = 0.0,
           *norms;
    norms = (double *)calloc(parameters, sizeof *norms);
    for (i = 0; i < parameters; i++) {
        ssdei_parameter_to_file(ssdei_kernels_for(NULL), &o->net->parameters[i],
                                gradient + o->net->parameters[i].offset, file + o->first[i]);
        nn_along(file + o->first[i], o->first[i + 1] - o->first[i], 1, &norms[i]);
        if (largest < norms[i]) largest = norms[i];
    }
    memcpy(kept, o->weights, count * sizeof *kept);
    for (k = 0; k < 3; k++) {
        uint64_t state = 50 + k;
        double slope = 0.0, side[2], step = 1e-5;
        for (i = 0; i < parameters; i++)
            for (j = o->first[i]; j < o->first[i + 1]; j++) {
                direction[j] = o->net->parameters[i].info.trainable
                                   ? oracle_normal(&state) * 0.1 * largest / (norms[i] + 0.05 * largest)
                                   : 0.0;
                slope += direction[j] * (double)file[j];
            }
        for (i = 0; i < 2; i++) {
            for (j = 0; j < count; j++) o->weights[j] = kept[j] + (i ? -step : step) * direction[j];
            side[i] = nn_objective(o, data);
        }
        memcpy(o->weights, kept, count * sizeof *kept);
        CHECK_NEAR(slope, (side[0] - side[1]) / (2.0 * step), tolerance * 0.1 * largest * sqrt((double)parameters));
    }
    free(norms);
    free(direction);
    free(file);
}

/* The reference's forward pass, operation by operation, for the oracle; parameters under the reference's names. */
typedef struct nn_wiring {
    oracle o;
    const ssde_unet_desc *desc;
    int module, embedding; /* -1: none */
} nn_wiring;

static void nn_wire_name(nn_wiring *w, const char *part) {
    snprintf(w->o.name, sizeof w->o.name, "all_modules.%d%s%s", w->module, part[0] ? "." : "", part);
}
static size_t nn_wire_channels(const nn_wiring *w, int x) { return w->o.nodes[x].shape[2]; }
static int nn_wire_norm(nn_wiring *w, int x, const char *part) {
    size_t groups = nn_wire_channels(w, x) / 4;
    nn_wire_name(w, part);
    return oracle_norm(&w->o, x, groups < 32 && w->desc->name == SSDE_UNET_NCSNPP ? groups : 32, SSDE_IDENTITY);
}
static int nn_wire_norm_act(nn_wiring *w, int x, const char *part) {
    return oracle_activate(&w->o, nn_wire_norm(w, x, part), SSDE_SILU);
}
static int nn_wire_conv(nn_wiring *w, int x, size_t channels, int kernel, const char *part) {
    ssde_conv_desc conv = ssde_conv(channels, kernel);
    nn_wire_name(w, part);
    return oracle_conv(&w->o, x, &conv, ORACLE_AS_CONV);
}
static int nn_wire_product(nn_wiring *w, int x, size_t channels, int as, const char *part) {
    ssde_conv_desc conv = ssde_conv(channels, 1);
    nn_wire_name(w, part);
    return oracle_conv(&w->o, x, &conv, as);
}
static int nn_wire_sum(nn_wiring *w, int a, int b) {
    return oracle_add(&w->o, a, b, w->desc->skip_rescale ? sqrt(0.5) : 1.0);
}

static int nn_wire_up(nn_wiring *w, int x) {
    int p = w->desc->fir_taps - 2;
    if (!w->desc->fir) return oracle_nearest(&w->o, x);
    return oracle_fir(&w->o, x, 2, 1, (p + 1) / 2 + 1, p / 2, w->desc->fir_kernel, w->desc->fir_taps);
}
static int nn_wire_down(nn_wiring *w, int x) {
    int p = w->desc->fir_taps - 2;
    if (!w->desc->fir) return oracle_pool(&w->o, x);
    return oracle_fir(&w->o, x, 1, 2, (p + 1) / 2, p / 2, w->desc->fir_kernel, w->desc->fir_taps);
}
/* With FIR the filter before the kernel: test_networks_unet_resampling has the reference's order. */
static int nn_wire_up_conv(nn_wiring *w, int x, size_t channels) {
    int taps = w->desc->fir_taps;
    ssde_conv_desc conv = ssde_conv(channels, 3);
    if (!w->desc->fir) return nn_wire_conv(w, oracle_nearest(&w->o, x), channels, 3, "Conv_0");
    conv.pad_before = conv.pad_after = 0;
    x = oracle_fir(&w->o, x, 2, 1, (taps - 1) / 2 + 2, taps / 2, w->desc->fir_kernel, taps);
    nn_wire_name(w, "Conv2d_0");
    return oracle_conv(&w->o, x, &conv, ORACLE_AS_CONV);
}
static int nn_wire_down_conv(nn_wiring *w, int x, size_t channels) {
    int p = w->desc->fir_taps;
    ssde_conv_desc conv = ssde_conv(channels, 3);
    conv.stride = 2;
    conv.pad_before = 0;
    conv.pad_after = w->desc->fir ? 0 : 1;
    if (w->desc->fir) x = oracle_fir(&w->o, x, 1, 1, (p + 1) / 2, p / 2, w->desc->fir_kernel, w->desc->fir_taps);
    nn_wire_name(w, w->desc->fir ? "Conv2d_0" : "Conv_0");
    return oracle_conv(&w->o, x, &conv, ORACLE_AS_CONV);
}

static int nn_wire_block(nn_wiring *w, int x, size_t channels, int direction) {
    int biggan = w->desc->resblock_type == SSDE_RESBLOCK_BIGGAN,
        shortcut = nn_wire_channels(w, x) != channels || direction;
    int h = nn_wire_norm_act(w, x, "GroupNorm_0");
    if (direction) {
        h = direction > 0 ? nn_wire_up(w, h) : nn_wire_down(w, h);
        x = direction > 0 ? nn_wire_up(w, x) : nn_wire_down(w, x);
    }
    h = nn_wire_conv(w, h, channels, 3, "Conv_0");
    if (w->embedding >= 0) {
        int e = oracle_activate(&w->o, w->embedding, SSDE_SILU);
        h = oracle_add(&w->o, h, nn_wire_product(w, e, channels, ORACLE_AS_LINEAR, "Dense_0"), 1.0);
    }
    h = nn_wire_conv(w, nn_wire_norm_act(w, h, "GroupNorm_1"), channels, 3, "Conv_1");
    if (shortcut)
        x = biggan ? nn_wire_conv(w, x, channels, 1, "Conv_2")
                   : nn_wire_product(w, x, channels, ORACLE_AS_NIN, "NIN_0");
    w->module++;
    return nn_wire_sum(w, x, h);
}

static int nn_wire_attention(nn_wiring *w, int x) {
    size_t channels = nn_wire_channels(w, x);
    int h = nn_wire_norm(w, x, "GroupNorm_0"), q, k, v;
    q = nn_wire_product(w, h, channels, ORACLE_AS_NIN, "NIN_0");
    k = nn_wire_product(w, h, channels, ORACLE_AS_NIN, "NIN_1");
    v = nn_wire_product(w, h, channels, ORACLE_AS_NIN, "NIN_2");
    h = nn_wire_product(w, oracle_attention(&w->o, q, k, v, 1), channels, ORACLE_AS_NIN, "NIN_3");
    w->module++;
    return nn_wire_sum(w, x, h);
}

static int nn_wire_down_path(nn_wiring *w, int x, int *skips, int *count) {
    const ssde_unet_desc *desc = w->desc;
    int biggan = desc->resblock_type == SSDE_RESBLOCK_BIGGAN, pyramid = x, h, level, block;
    h = nn_wire_conv(w, x, desc->nf, 3, "");
    w->module++;
    skips[(*count)++] = h;
    for (level = 0; level < desc->num_levels; level++) {
        for (block = 0; block < desc->num_res_blocks; block++) {
            h = nn_wire_block(w, h, desc->nf * (size_t)desc->ch_mult[level], 0);
            if (nn_reference_attends(desc, level)) h = nn_wire_attention(w, h);
            skips[(*count)++] = h;
        }
        if (level == desc->num_levels - 1) break;
        if (biggan)
            h = nn_wire_block(w, h, nn_wire_channels(w, h), -1);
        else {
            h = desc->resamp_with_conv ? nn_wire_down_conv(w, h, nn_wire_channels(w, h)) : nn_wire_down(w, h);
            w->module++;
        }
        if (desc->progressive_input == SSDE_INPUT_SKIP) {
            int combined;
            pyramid = nn_wire_down(w, pyramid);
            combined = nn_wire_conv(w, pyramid, nn_wire_channels(w, h), 1, "Conv_0");
            h = desc->progressive_combine == SSDE_COMBINE_CAT ? oracle_concat(&w->o, combined, h)
                                                              : oracle_add(&w->o, combined, h, 1.0);
            w->module++;
        } else if (desc->progressive_input == SSDE_INPUT_RESIDUAL) {
            pyramid = nn_wire_down_conv(w, pyramid, nn_wire_channels(w, h));
            w->module++;
            h = pyramid = nn_wire_sum(w, pyramid, h);
        }
        skips[(*count)++] = h;
    }
    return h;
}

static int nn_wire_up_path(nn_wiring *w, int h, const int *skips, int count) {
    const ssde_unet_desc *desc = w->desc;
    int biggan = desc->resblock_type == SSDE_RESBLOCK_BIGGAN, pyramid = -1, level, block;
    for (level = desc->num_levels - 1; level >= 0; level--) {
        for (block = 0; block <= desc->num_res_blocks; block++)
            h = nn_wire_block(w, oracle_concat(&w->o, h, skips[--count]), desc->nf * (size_t)desc->ch_mult[level], 0);
        if (nn_reference_attends(desc, level)) h = nn_wire_attention(w, h);
        if (desc->progressive == SSDE_OUTPUT_SKIP || (desc->progressive == SSDE_OUTPUT_RESIDUAL && pyramid < 0)) {
            int add = pyramid >= 0 ? nn_wire_up(w, pyramid) : -1, own = nn_wire_norm_act(w, h, "");
            w->module++;
            own = nn_wire_conv(w, own, desc->progressive == SSDE_OUTPUT_SKIP ? desc->channels : nn_wire_channels(w, h),
                               3, "");
            w->module++;
            pyramid = add >= 0 ? oracle_add(&w->o, add, own, 1.0) : own;
        } else if (desc->progressive == SSDE_OUTPUT_RESIDUAL) {
            pyramid = nn_wire_up_conv(w, pyramid, nn_wire_channels(w, h));
            w->module++;
            h = pyramid = nn_wire_sum(w, pyramid, h);
        }
        if (level && biggan) h = nn_wire_block(w, h, nn_wire_channels(w, h), 1);
        if (level && !biggan) {
            h = desc->resamp_with_conv ? nn_wire_up_conv(w, h, nn_wire_channels(w, h)) : nn_wire_up(w, h);
            w->module++;
        }
    }
    return desc->progressive == SSDE_OUTPUT_SKIP ? pyramid : h;
}

static void nn_wire_unet(nn_wiring *w, const ssde_unet_desc *desc) {
    int skips[64], count = 0, x, h;
    oracle_open(&w->o);
    w->desc = desc;
    w->module = 0;
    w->embedding = -1;
    x = oracle_input(&w->o, desc->height, desc->width, desc->channels);
    if (desc->embedding_type == SSDE_EMBEDDING_FOURIER) {
        nn_wire_name(w, "");
        h = oracle_fourier(&w->o, oracle_label(&w->o), desc->nf, desc->fourier_scale);
        w->module++;
    } else {
        h = oracle_positional(&w->o, oracle_label(&w->o), desc->nf);
    }
    if (desc->conditional) {
        h = nn_wire_product(w, h, 4 * desc->nf, ORACLE_AS_LINEAR, "");
        w->module++;
        w->embedding = nn_wire_product(w, oracle_activate(&w->o, h, SSDE_SILU), 4 * desc->nf, ORACLE_AS_LINEAR, "");
        w->module++;
    }
    if (!desc->centered) x = oracle_affine(&w->o, x, 2.0, -1.0);
    h = nn_wire_down_path(w, x, skips, &count);
    h = nn_wire_block(w, h, nn_wire_channels(w, h), 0);
    h = nn_wire_attention(w, h);
    h = nn_wire_block(w, h, nn_wire_channels(w, h), 0);
    h = nn_wire_up_path(w, h, skips, count);
    if (desc->progressive != SSDE_OUTPUT_SKIP) {
        h = nn_wire_norm_act(w, h, "");
        w->module++;
        h = nn_wire_conv(w, h, desc->channels, 3, "");
    }
    if (desc->scale_by_sigma) h = oracle_rows(&w->o, h, oracle_sigma(&w->o), SSDE_OVER_SIGMA);
    CHECK_OK(ssde_net_finish(w->o.net, h));
    w->o.output = h;
    w->o.values = (double *)calloc(w->o.value_count, sizeof(double));
}

/* The reference's forward pass under the network's weights, taken by name. */
static void nn_check_wiring(const ssde_net *net, const ssde_unet_desc *desc, const nn_data *data, double tolerance) {
    nn_wiring wiring;
    ssde_run *run;
    float *out = (float *)calloc(2 * data->dim, sizeof *out), *expected = out + data->dim, *values;
    const double *reference;
    size_t i, j;
    nn_wire_unet(&wiring, desc);
    /* without conditioning the reference's blocks have a dense layer that nothing uses */
    CHECK(!desc->conditional || ssde_net_parameter_count(wiring.o.net) == ssde_net_parameter_count(net));
    values = (float *)calloc(ssde_net_weight_count(net), sizeof *values);
    for (i = 0; i < ssde_net_parameter_count(wiring.o.net); i++) {
        const ssde_parameter *to = ssde_net_parameter(wiring.o.net, i);
        for (j = 0; j < ssde_net_parameter_count(net) && strcmp(ssde_net_parameter(net, j)->name, to->name);) j++;
        CHECK(j < ssde_net_parameter_count(net) && ssde_net_parameter(net, j)->count == to->count);
        if (j == ssde_net_parameter_count(net) || ssde_net_parameter(net, j)->count != to->count) continue;
        CHECK_OK(ssde_net_get(net, j, values));
        CHECK_OK(ssde_net_set(wiring.o.net, i, values));
    }
    oracle_take_weights(&wiring.o);
    reference = oracle_forward(&wiring.o, data->x_double, (double)data->label[0], (double)data->sigma[0]);
    for (i = 0; i < data->dim; i++) expected[i] = (float)reference[i];
    run = nn_run(net, NULL, SSDE_RUN_INFERENCE, 1);
    CHECK_OK(ssde_run_forward(run, data->x, data->label, data->sigma, 1, 0, 0, NULL, out));
    CHECK_ARRAY(out, expected, data->dim, tolerance);
    ssde_run_destroy(run);
    oracle_close(&wiring.o);
    free(values);
    free(out);
}

/* Names, shapes and start as the reference's; then, with other weights, its forward pass, every value and derivatives
   against the oracle.
   About thirty layers' rounding: a few 1e-6. */
static void test_networks_unet_flags(void) {
    nn_options options = nn_usual();
    int which, tier;
    options.rows = 1;
    options.forward = 1e-5;
    options.gradient = 2e-5;
    for (which = 0; which < UNET_CASES + UNET_COMBINATIONS; which += check_quick ? 5 : 1) {
        ssde_unet_desc desc = nn_unet_case(which), given = desc;
        ssde_net *net = NULL;
        ssde_context context;
        nn_data data;
        oracle o;
        float *gradient;
        if (desc.name == SSDE_UNET_DDPM) { /* flags that it does not read */
            given.fir = given.skip_rescale = 1;
            given.resblock_type = SSDE_RESBLOCK_BIGGAN;
            given.progressive = SSDE_OUTPUT_RESIDUAL;
            given.progressive_input = SSDE_INPUT_SKIP;
            given.embedding_type = SSDE_EMBEDDING_FOURIER;
            given.init_scale = 1.0;
        }
        CHECK_OK(ssde_unet_create(&net, &given));
        if (!net) continue;
        nn_expect_unet(net, &desc);
        oracle_from_net(&o, net);
        oracle_random_weights(&o, (uint64_t)which);
        o.parameters = 0; /* jointly, below */
        nn_data_open(&data, &o, &options);
        nn_check_wiring(net, &desc, &data, options.forward);
        gradient = (float *)calloc(ssde_net_weight_count(net), sizeof *gradient);
        for (tier = 0; nn_tier(tier, &context); tier++) {
            ssde_run *run = nn_run(net, &context, SSDE_RUN_TRAIN, 1);
            nn_check_tier(&o, &data, &options, &context);
            CHECK_OK(nn_forward(run, &data, NULL));
            memset(gradient, 0, ssde_net_weight_count(net) * sizeof *gradient);
            CHECK_OK(ssde_run_backward(run, data.v, NULL, gradient));
            ssde_run_destroy(run);
            if (tier == 0 || !check_quick) nn_check_jointly(&o, &data, gradient, options.gradient);
        }
        free(gradient);
        nn_data_close(&data);
        oracle_close(&o);
    }
}

/* Resampling with convolutions as up_or_down_sampling.py composes them: up, zeros are inserted (conv_transpose2d), the
   kernel, the filter of gain 4, the bias; down, the filter, the strided kernel and bias. Filters of 2 to 8 taps. */
static void test_networks_unet_resampling(void) {
    static const double one[1] = {1.0};
    static const float zeros[8] = {0};
    int taps, direction;
    for (taps = 2; taps <= SSDE_MAX_FIR_TAPS; taps++) {
        for (direction = 0; direction < 4; direction++) {
            ssde_unet_desc desc = nn_small_unet();
            ssdei_unet unet;
            ssde_net *net = NULL;
            ssde_conv_desc conv = ssde_conv(3, 3);
            ssde_run *run;
            oracle o;
            float x[4 * 6 * 3], weights[2][64], *expected;
            double x_double[4 * 6 * 3];
            const double *out;
            size_t i, count;
            int h, down = taps, p = taps - 2, result;
            desc.fir_taps = taps;
            for (i = 0; i < (size_t)taps; i++) desc.fir_kernel[i] = (double)(1 + i * i % 5);
            oracle_open(&o);
            h = oracle_input(&o, 4, 6, 2);
            conv.pad_before = conv.pad_after = 0;
            if (direction == 0) {
                h = oracle_fir(&o, h, 2, 1, 2, 1, one,
                               1); /* 2 h + 3: zeros all around, as the whole transposed product */
                h = oracle_conv(&o, h, &conv, ORACLE_AS_CONV);
                h = oracle_fir(&o, h, 1, 1, (taps - 1) / 2, taps / 2 - 1, desc.fir_kernel, taps);
            } else if (direction == 1) {
                conv.stride = 2;
                h = oracle_fir(&o, h, 1, 1, (down + 1) / 2, down / 2, desc.fir_kernel, taps);
                h = oracle_conv(&o, h, &conv, ORACLE_AS_CONV);
            } else if (direction == 2) {
                h = oracle_fir(&o, h, 2, 1, (p + 1) / 2 + 1, p / 2, desc.fir_kernel, taps);
            } else {
                h = oracle_fir(&o, h, 1, 2, (p + 1) / 2, p / 2, desc.fir_kernel, taps);
            }
            oracle_finish(&o, h);
            o.output = h;
            CHECK_OK(ssde_net_create(NULL, &net, 1));
            memset(&unet, 0, sizeof unet);
            unet.net = net;
            unet.desc = &desc;
            ssde_input(net, 4, 6, 2);
            result = direction == 0   ? ssdei_unet_upsample_conv(&unet, 0, 3)
                     : direction == 1 ? ssdei_unet_downsample_conv(&unet, 0, 3)
                     : direction == 2 ? ssdei_unet_upsample(&unet, 0)
                                      : ssdei_unet_downsample(&unet, 0);
            CHECK_OK(ssde_net_finish(net, 0));
            CHECK(net->nodes[result].shape[0] == (direction % 2 ? 2u : 8u) &&
                  net->nodes[result].shape[1] == (direction % 2 ? 3u : 12u));
            CHECK(!memcmp(net->nodes[result].shape, o.nodes[h].shape, sizeof o.nodes[h].shape));
            if (direction < 2) {
                CHECK(strstr(ssde_net_parameter(net, 0)->name, ".Conv2d_0.weight") != NULL);
                CHECK_OK(ssde_net_get(o.net, 0, weights[0]));
                CHECK_OK(ssde_net_get(o.net, 1, weights[1]));
                CHECK_OK(ssde_net_set(net, 0, weights[0]));
                CHECK_OK(ssde_net_set(net, 1, weights[1]));
                CHECK_OK(ssde_net_set(o.net, 1, zeros));
                oracle_take_weights(&o);
            }
            oracle_normals(1, 1.0, 48, x);
            for (i = 0; i < 48; i++) x_double[i] = (double)x[i];
            run = nn_run(net, NULL, SSDE_RUN_INFERENCE, 1);
            run = nn_unshare(run);
            CHECK_OK(ssde_run_forward(run, x, NULL, NULL, 1, 0, 0, NULL, NULL));
            out = oracle_forward(&o, x_double, 0.0, 0.0);
            count = o.nodes[h].count;
            expected = (float *)calloc(count, sizeof *expected);
            for (i = 0; i < count; i++)
                expected[i] = (float)(out[i] + (direction < 2 ? (double)weights[1][i % 3] : 0.0));
            CHECK_ARRAY(ssdei_value(run, result), expected, count, 1e-6);
            free(expected);
            ssde_run_destroy(run);
            ssde_net_destroy(net);
            oracle_close(&o);
        }
    }
}

static void nn_unet_refused(ssde_unet_desc desc, ssde_status status, const char *words) {
    ssde_context context = ssde_context_defaults();
    ssde_net *net = NULL;
    desc.context = &context;
    CHECK_FAILS(&context, ssde_unet_create(&net, &desc), status, words);
    CHECK(net == NULL);
}

static void test_networks_unet_errors(void) {
    const ssde_unet_desc good = nn_small_unet();
    const ssde_status argument = SSDE_ERROR_ARGUMENT, wrong_shape = SSDE_ERROR_SHAPE;
    ssde_context context = ssde_context_defaults();
    ssde_unet_desc desc;
    ssde_mlp_desc mlp = ssde_mlp(2);
    ssde_net *net = NULL;
    CHECK_STATUS(ssde_unet_create(NULL, &good), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_unet_create(&net, NULL), SSDE_ERROR_ARGUMENT);
#define REFUSED(change, status, words)        \
    do {                                      \
        desc = good;                          \
        desc.change;                          \
        nn_unet_refused(desc, status, words); \
    } while (0)
    REFUSED(height = 9, wrong_shape, "multiples of 2");
    REFUSED(width = 7, wrong_shape, "multiples of 2");
    REFUSED(width = 0, wrong_shape, "width 0 and");
    REFUSED(channels = 0, wrong_shape, "channels 0, wanted");
    REFUSED(height = (size_t)1 << 20, wrong_shape, "height is 1048576, width 8");
    REFUSED(nf = 6, argument, "nf is 6");
    REFUSED(nf = 0, argument, "nf is 0");
    REFUSED(nf = SIZE_MAX / 4096, argument, "nf is");
    REFUSED(num_levels = 0, argument, "num_levels");
    REFUSED(num_levels = SSDE_MAX_LEVELS + 1, argument, "num_levels");
    REFUSED(num_levels = 6, wrong_shape, "multiples of 32");
    REFUSED(ch_mult[1] = 0, argument, "ch_mult[1]");
    REFUSED(ch_mult[0] = 300, argument, "ch_mult[0]");
    REFUSED(num_res_blocks = 0, argument, "num_res_blocks");
    REFUSED(num_res_blocks = 128, argument, "num_res_blocks");
    REFUSED(num_res_blocks = INT_MAX, argument, "num_res_blocks");
    REFUSED(attn_resolutions[0] = 0, argument, "attn_resolutions[0] is 0");
    REFUSED(num_attn_resolutions = -1, argument, "num_attn_resolutions");
    REFUSED(num_attn_resolutions = SSDE_MAX_LEVELS + 1, argument, "num_attn_resolutions");
    REFUSED(dropout = 1.0, argument, "dropout");
    REFUSED(dropout = NAN, argument, "dropout");
    REFUSED(init_scale = -1.0, argument, "init_scale");
    REFUSED(init_scale = NAN, argument, "init_scale");
    REFUSED(init_scale = 1e30, argument, "init_scale is 1e+30, wanted 0 to 1e6");
    REFUSED(fourier_scale = NAN, argument, "fourier_scale is nan");
    REFUSED(fir_taps = 1, argument, "fir_taps");
    REFUSED(fir_taps = 9, argument, "fir_taps");
    REFUSED(fir_kernel[1] = NAN, wrong_shape, "fir");
    REFUSED(classes = ((size_t)1 << 20) + 1, argument, "classes is 1048577");
    REFUSED(noise_conditioning = (ssde_noise_conditioning)3, argument, "noise_conditioning");
    REFUSED(progressive = (ssde_progressive)3, argument, "progressive");
    REFUSED(progressive_input = (ssde_progressive_input)3, argument, "progressive_input");
#ifndef __cplusplus /* where an enum cannot hold what is not among its bits */
    REFUSED(name = (ssde_unet_name)2, argument, "name");
    REFUSED(resblock_type = (ssde_resblock_type)2, argument, "resblock_type");
    REFUSED(progressive_combine = (ssde_progressive_combine)2, argument, "progressive_combine");
    REFUSED(embedding_type = (ssde_embedding_type)2, argument, "embedding_type");
#endif
    REFUSED(name = SSDE_UNET_DDPM, argument, "multiple of 32");
    REFUSED(nf = 44, wrong_shape, "groups"); /* 132 channels into 32 groups, where the reference fails too */
#undef REFUSED
    mlp.context = &context;
    CHECK_STATUS(ssde_mlp_create(NULL, &mlp), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_mlp_create(&net, NULL), SSDE_ERROR_ARGUMENT);
    mlp.hidden = 3;
    CHECK_FAILS(&context, ssde_mlp_create(&net, &mlp), SSDE_ERROR_ARGUMENT, "hidden 3");
    mlp.hidden = 4;
    mlp.layers = 0;
    CHECK_FAILS(&context, ssde_mlp_create(&net, &mlp), SSDE_ERROR_ARGUMENT, "layers 0");
    mlp.layers = 1;
    mlp.dim = 0;
    CHECK_FAILS(&context, ssde_mlp_create(&net, &mlp), SSDE_ERROR_ARGUMENT, "dim is 0");
    mlp.dim = 2;
    mlp.embedding_type = SSDE_EMBEDDING_FOURIER;
    mlp.fourier_scale = -1.0;
    CHECK_FAILS(&context, ssde_mlp_create(&net, &mlp), SSDE_ERROR_ARGUMENT, "fourier_scale is -1");
#ifndef __cplusplus
    mlp.embedding_type = (ssde_embedding_type)2;
    CHECK_FAILS(&context, ssde_mlp_create(&net, &mlp), SSDE_ERROR_ARGUMENT, "embedding_type is 2");
#endif
    CHECK(net == NULL);
}

static void test_networks_mlp(void) {
    nn_options options = nn_usual();
    int which;
    options.forward = options.gradient = 1e-5;
    for (which = 0; which < 3; which++) {
        ssde_mlp_desc desc = ssde_mlp(3 + (size_t)which);
        ssde_net *net = NULL;
        oracle o;
        desc.hidden = 9;
        desc.layers = 2;
        desc.embedding_type = which ? SSDE_EMBEDDING_FOURIER : SSDE_EMBEDDING_POSITIONAL;
        desc.fourier_scale = 1.0;
        desc.scale_by_sigma = which == 1;
        CHECK_OK(ssde_mlp_create(&net, &desc));
        if (!net) continue;
        CHECK(ssde_net_dim(net) == 3 + (size_t)which);
        oracle_from_net(&o, net);
        oracle_random_weights(&o, 5);
        nn_check(&o, &options);
        oracle_close(&o);
    }
}

/* U-Nets of every kind, by the oracle: values, derivatives, tangents and theirs. */
static void test_networks_oracle(void) {
    nn_options options = nn_usual();
    int which;
    options.rows = 1;
    options.forward = 1e-5; /* some fifty operations deep */
    options.gradient = 2e-5;
    for (which = 0; which < (check_quick ? 3 : 8); which++) {
        ssde_unet_desc desc = conditioning_unet(SSDE_NOISE_EMBEDDING, which == 1 ? 3 : 0);
        ssde_net *net = NULL;
        oracle o;
        if (which == 2) desc.noise_conditioning = SSDE_NOISE_SCALE_SHIFT;
        if (which == 3) desc.noise_conditioning = SSDE_NOISE_CHANNEL;
        if (which == 4) desc.progressive = SSDE_OUTPUT_RESIDUAL;
        if (which == 5) desc.progressive_input = SSDE_INPUT_SKIP, desc.progressive_combine = SSDE_COMBINE_CAT;
        if (which > 5) {
            desc = which == 6 ? ssde_ddpmpp(4, 8, 2) : ssde_ddpm(4, 4, 1);
            desc.nf = which == 6 ? 4 : 32;
            desc.num_levels = 2;
            desc.ch_mult[1] = 1;
            desc.num_res_blocks = 1;
            desc.num_attn_resolutions = 1;
            desc.attn_resolutions[0] = 4;
            desc.dropout = 0.0;
            desc.resamp_with_conv = which == 7;
        }
        CHECK_OK(ssde_unet_create(&net, &desc));
        if (!net) continue;
        oracle_from_net(&o, net);
        oracle_random_weights(&o, 5);
        nn_check(&o, &options);
        oracle_close(&o);
    }
}

/* The layers that init_scale is for are smaller by its root, the others are as they were. */
static void test_networks_init_scale(void) {
    static const char *const last[] = {"Conv_1.weight", "NIN_3.W"}; /* of residual and of attention blocks */
    ssde_unet_desc desc = nn_small_unet();
    ssde_net *nets[2] = {NULL, NULL};
    float *values[2];
    size_t i, j, k, scaled = 0;
    desc.progressive = SSDE_PROGRESSIVE_NONE;
    for (k = 0; k < 2; k++) {
        desc.init_scale = k ? 0.25 : 1.0;
        CHECK_OK(ssde_unet_create(&nets[k], &desc));
    }
    for (i = 0; i < ssde_net_parameter_count(nets[0]); i++) {
        const ssde_parameter *info = ssde_net_parameter(nets[0], i);
        int is_last = i + 2 == ssde_net_parameter_count(nets[0]); /* the network's: a weight and a bias */
        for (k = 0; k < 2; k++) {
            size_t length = strlen(info->name), end = strlen(last[k]);
            if (length > end && !strcmp(info->name + length - end, last[k])) is_last = 1;
            values[k] = (float *)malloc(info->count * sizeof(float));
            CHECK_OK(ssde_net_get(nets[k], i, values[k]));
        }
        for (j = 0; j < info->count; j++)
            CHECK_NEAR(values[1][j], (is_last ? 0.5 : 1.0) * (double)values[0][j], 1e-7 * fabs((double)values[0][j]));
        scaled += (size_t)is_last;
        for (k = 0; k < 2; k++) free(values[k]);
    }
    CHECK(scaled > 8);
    for (k = 0; k < 2; k++) ssde_net_destroy(nets[k]);
}

/* ---- score net: flags that the golden networks lack, against the reference (unet_flags.safetensors names its source)
 * ---- */

/* get_score_fn over networks of those cases; discrete and continuous, N of its own. */
static void test_score_net_golden(void) {
    enum { ROWS = 4 };
    static const struct {
        const char *name;
        int which, discrete, num_scales;
        double sigma_max; /* 0: VP; below 0: sub-VP */
    } cases[] = {
        {"vp_discrete", 0, 1, 1000, 0.0}, {"vp_discrete_500", 0, 1, 500, 0.0}, {"vp", 0, 0, 1000, 0.0},
        {"subvp", 0, 0, 1000, -1.0},      {"ve_discrete", 10, 1, 1000, 50.0},  {"ve_discrete_ddpm", 11, 1, 300, 90.0},
        {"ve", 2, 0, 1000, 50.0}};
    golden_file *file = golden_open("tests/golden/score_scaling.safetensors");
    double t[ROWS];
    size_t i, row;
    golden_doubles(file, "t", t, ROWS);
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        float x[ROWS * FLAGS_DIM], score[ROWS * FLAGS_DIM], expected[ROWS * FLAGS_DIM];
        float labels[ROWS];
        char name[64];
        ssde_unet_desc shape;
        ssde_net *net = nn_flags_net(cases[i].which, &shape);
        ssde_sde sde = cases[i].sigma_max > 0.0   ? ssde_ve(0.01, cases[i].sigma_max)
                       : cases[i].sigma_max < 0.0 ? ssde_subvp(0.1, 20.0)
                                                  : ssde_vp(0.1, 20.0);
        ssde_score_net_desc desc = ssde_score_net_defaults();
        ssde_score_net *score_net = NULL;
        ssde_score_model model;
        desc.discrete = cases[i].discrete;
        sde.num_scales = cases[i].num_scales;
        CHECK_OK(ssde_score_net_create(&score_net, net, &sde, &desc));
        model = ssde_score_net_model(score_net);
        snprintf(name, sizeof name, "%d.%s.labels", cases[i].which, cases[i].name);
        golden_floats(file, name, labels, ROWS);
        for (row = 0; row < ROWS; row++) {
            float label, sigma;
            nn_flags_image((uint32_t)(1000 + row), &shape, 0.5f, x + row * FLAGS_DIM);
            net->means.discrete = desc.discrete;
            CHECK_OK(ssde_score_net_label(NULL, net, &sde, t[row], &label, &sigma, NULL));
            /* the same float, but for powf's last bit */
            CHECK_RELATIVE(label, labels[row], sde.kind == SSDE_VE && !desc.discrete ? 1.2e-7 : 0.0);
        }
        CHECK_OK(model.score(model.user, x, t, NULL, ROWS, 0, score));
        snprintf(name, sizeof name, "%d.%s.score", cases[i].which, cases[i].name);
        golden_images(file, name, expected, ROWS, shape.height, shape.width, shape.channels);
        for (row = 0; row < ROWS; row++)
            CHECK_ARRAY(score + row * FLAGS_DIM, expected + row * FLAGS_DIM, FLAGS_DIM, 2e-5);
        ssde_score_net_destroy(score_net);
        ssde_net_destroy(net);
    }
    golden_close(file);
}

/* ---- score net ---- */

/* And of score nets and classifiers. */
static void test_score_net_memory(void) {
    ssde_unet_desc shape = nn_small_unet();
    ssde_classifier_desc wanted;
    ssde_sde sde = ssde_vp(0.1, 20.0), wrong = ssde_vp(20.0, 0.1);
    ssde_net *net = NULL, *classes = NULL;
    ssde_score_net *score_net = NULL;
    ssde_classifier *classifier = NULL;
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    ssde_score_net_desc desc = ssde_score_net_defaults();
    size_t said;
    int way;
    shape.classes = 3;
    CHECK_OK(ssde_unet_create(&net, &shape));
    shape.classes = 0;
    wanted = ssde_classifier_of(&shape, 4);
    CHECK_OK(ssde_classifier_net_create(&classes, &wanted));
    desc.context = &context;
    for (way = 0; way < 8; way++) {
        desc.max_rows = way & 1 ? 3 : 0;
        desc.no_derivative = way & 2;
        desc.guidance = way & 4 ? 1.5 : 0.0;
        said = ssde_score_net_memory(net, &sde, &desc);
        CHECK(said > 0 && memory.live == 0 && memory.most < said / 4);
        CHECK_OK(ssde_score_net_create(&score_net, net, &sde, &desc));
        CHECK(memory.bytes == said && memory.live == 2);
        ssde_score_net_destroy(score_net);
        said = ssde_classifier_memory(classes, &sde, &desc);
        CHECK(said > 0 && memory.live == 0);
        CHECK_OK(ssde_classifier_create(&classifier, classes, &sde, &desc));
        CHECK(memory.bytes == said && memory.live == 2);
        ssde_classifier_destroy(classifier);
        memory.most = 0;
    }
    CHECK(ssde_score_net_memory(net, &sde, NULL) > 0 && ssde_classifier_memory(classes, &sde, NULL) > 0);
    CHECK(!ssde_score_net_memory(NULL, &sde, &desc) && !ssde_score_net_memory(net, NULL, &desc));
    CHECK(!ssde_score_net_memory(net, &wrong, &desc) && !ssde_score_net_memory(classes, &sde, NULL));
    CHECK(!ssde_classifier_memory(NULL, &sde, &desc) && !ssde_classifier_memory(classes, NULL, &desc));
    CHECK(!ssde_classifier_memory(net, &sde, NULL));
    desc.max_rows = SIZE_MAX / 2;
    CHECK(!ssde_score_net_memory(net, &sde, &desc) && !ssde_classifier_memory(classes, &sde, &desc));
    ssde_net_destroy(classes);
    ssde_net_destroy(net);
    CHECK(memory.live == 0);
}

static double nn_affine_drift(void *user, double t) {
    (void)user;
    return -0.5 * t;
}

/* score = -net(x, 999 t) / std(t), or net(x, std(t)) for VE; the VJP the same way; against the oracle and its
 * differences. */
static void nn_score_case(ssde_sde sde, ssde_context *context) {
    enum { ROWS = 4, DIM = 3 };
    static const double times[ROWS] = {0.3, 0.3, 1.0, 1e-3};
    ssde_score_net_desc desc = ssde_score_net_defaults();
    ssde_score_net *score_net = NULL;
    ssde_score_model model;
    ssde_net *net;
    oracle o;
    int h, row;
    size_t i;
    float x[ROWS * DIM], v[ROWS * DIM], out[ROWS * DIM], vjp[ROWS * DIM];
    oracle_open(&o);
    h = oracle_conv1(&o, oracle_input(&o, 1, 1, DIM), 8);
    h = oracle_add(&o, h, oracle_conv1(&o, oracle_positional(&o, oracle_label(&o), 6), 8), 1.0);
    oracle_finish(&o, oracle_activate(&o, oracle_conv1(&o, h, 8), SSDE_SILU));
    net = o.net;
    desc.max_rows = ROWS;
    desc.context = context;
    CHECK_OK(ssde_score_net_create(&score_net, net, &sde, &desc));
    model = ssde_score_net_model(score_net);
    CHECK(model.dim == DIM && model.max_rows == ROWS && model.score && model.vjp);
    oracle_normals(1, 1.0, ROWS * DIM, x);
    oracle_normals(2, 1.0, ROWS * DIM, v);
    CHECK_FAILS(context, model.vjp(model.user, v, ROWS, vjp), SSDE_ERROR_ARGUMENT, "vjp");
    CHECK_OK(model.score(model.user, x, times, NULL, ROWS, 1, out));
    CHECK_OK(model.vjp(model.user, v, ROWS, vjp));
    for (row = 0; row < ROWS; row++) {
        ssde_coefficients at;
        double label, factor, x_double[DIM], direction[DIM], slope = 0.0, difference = 0.0, size = 0.0;
        float net_label, sigma;
        int k;
        CHECK_OK(ssde_coefficients_at(context, &sde, times[row], &at));
        label = sde.kind == SSDE_VE ? at.std : 999.0 * times[row];
        factor = sde.kind == SSDE_VE ? 1.0 : -1.0 / at.std;
        CHECK_OK(ssde_score_net_label(context, net, &sde, times[row], &net_label, &sigma, NULL));
        CHECK_RELATIVE(net_label, label, 2e-7);
        CHECK_RELATIVE(sigma, at.std, 1e-7);
        for (k = 0; k < 3; k++) {
            uint64_t state = 9;
            const double *expected;
            for (i = 0; i < DIM; i++) {
                direction[i] = oracle_normal(&state);
                x_double[i] = (double)x[row * DIM + (int)i] + (k == 0 ? 0.0 : k == 1 ? 1e-5 : -1e-5) * direction[i];
            }
            expected = oracle_forward(&o, x_double, (double)net_label, (double)sigma);
            for (i = 0; i < DIM; i++) {
                double value = factor * expected[i];
                /* 999 t in float moves the embedding by up to 999 2^-24 */
                if (!k) CHECK_NEAR(out[row * DIM + (int)i], value, 1e-4 * fabs(factor) * (1.0 + fabs(expected[i])));
                difference += (k == 1 ? 1.0 : k == 2 ? -1.0 : 0.0) * value * (double)v[row * DIM + (int)i] / 2e-5;
            }
        }
        for (i = 0; i < DIM; i++) {
            slope += (double)vjp[row * DIM + (int)i] * direction[i];
            size += fabs((double)vjp[row * DIM + (int)i]);
        }
        CHECK_NEAR(slope, difference, 1e-4 * size);
    }
    /* rows */
    CHECK_FAILS(context, model.vjp(model.user, v, ROWS - 1, vjp), SSDE_ERROR_ARGUMENT, "rows");
    CHECK_FAILS(context, model.score(model.user, x, times, NULL, ROWS + 1, 0, out), SSDE_ERROR_ARGUMENT, "rows is 5");
    CHECK_FAILS(context, model.vjp(model.user, v, ROWS, vjp), SSDE_ERROR_ARGUMENT, "vjp"); /* the last score failed */
    CHECK_FAILS(context, model.score(model.user, x, times, NULL, 0, 0, out), SSDE_ERROR_ARGUMENT, "rows is 0");
    CHECK_FAILS(context, model.score(model.user, NULL, times, NULL, 1, 0, out), SSDE_ERROR_ARGUMENT, "NULL");
    CHECK_FAILS(context, model.score(model.user, x, NULL, NULL, 1, 0, out), SSDE_ERROR_ARGUMENT, "NULL");
    CHECK_FAILS(context, model.score(model.user, x, times, NULL, 1, 0, NULL), SSDE_ERROR_ARGUMENT, "NULL");
    CHECK_OK(model.score(model.user, x, times, NULL, ROWS, 0, vjp));
    CHECK_SAME(vjp, out, sizeof out);
    CHECK_FAILS(context, model.vjp(model.user, v, ROWS, vjp), SSDE_ERROR_ARGUMENT, "differentiate");
    {
        const double bad[][2] = {{0.5, -0.1}, {0.5, 1.1}, {0.5, NAN}}, zero[2] = {0.5, 0.0};
        for (i = 0; i < 3; i++) {
            ssde_status status = model.score(model.user, x, bad[i], NULL, 2, 0, out);
            CHECK(status == SSDE_ERROR_ARGUMENT || status == SSDE_ERROR_NUMERIC);
        }
        if (sde.kind == SSDE_VE)
            CHECK_OK(model.score(model.user, x, zero, NULL, 2, 0, out));
        else
            CHECK_FAILS(context, model.score(model.user, x, zero, NULL, 2, 0, out), SSDE_ERROR_NUMERIC,
                        "variance at t = 0");
    }
    ssde_score_net_destroy(score_net);
    desc.no_derivative = 1;
    CHECK_OK(ssde_score_net_create(&score_net, net, &sde, &desc));
    CHECK(ssde_score_net_model(score_net).vjp == NULL);
    ssde_score_net_destroy(score_net);
    oracle_close(&o);
}

static void test_score_net(void) {
    ssde_context context;
    ssde_sde sde = ssde_ve(0.01, 50.0), broken = ssde_ve(1.0, 0.5);
    ssde_score_net *score_net = NULL;
    ssde_net *net = NULL;
    float label, sigma;
    int tier;
    for (tier = 0; nn_tier(tier, &context); tier++) {
        nn_score_case(ssde_ve(0.01, 50.0), &context);
        nn_score_case(ssde_vp(0.1, 20.0), &context);
        nn_score_case(ssde_subvp(0.1, 20.0), &context);
        nn_score_case(ssde_affine(nn_affine_drift, files_diffusion, NULL), &context);
    }
    CHECK_OK(ssde_net_create(NULL, &net, 1));
    ssde_input(net, 1, 1, 2);
    CHECK_STATUS(ssde_score_net_create(&score_net, net, &sde, NULL), SSDE_ERROR_ARGUMENT); /* not finished */
    CHECK_OK(ssde_net_finish(net, 0));
    CHECK_STATUS(ssde_score_net_create(NULL, net, &sde, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_score_net_create(&score_net, NULL, &sde, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_score_net_create(&score_net, net, NULL, NULL), SSDE_ERROR_ARGUMENT);
    CHECK(ssde_score_net_create(&score_net, net, &broken, NULL) != SSDE_OK && score_net == NULL);
    CHECK_OK(ssde_score_net_create(&score_net, net, &sde, NULL));
    CHECK(ssde_score_net_model(score_net).max_rows == 64);
    ssde_score_net_destroy(score_net);
    ssde_score_net_destroy(NULL);
    CHECK(ssde_score_net_model(NULL).score == NULL);
    CHECK_STATUS(ssde_score_net_label(NULL, NULL, &sde, 0.5, NULL, &sigma, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_score_net_label(NULL, NULL, &sde, 0.5, &label, NULL, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_score_net_label(NULL, NULL, NULL, 0.5, &label, &sigma, NULL), SSDE_ERROR_ARGUMENT);
    ssde_net_destroy(net);
}

/* ---- score net: every meaning of an output ---- */

enum { OUTPUT_ROWS = 5, OUTPUT_DIM = 3 };
static const double outputs_times[OUTPUT_ROWS] = {1e-5, 0.5, 0.5, 1.0 - 1e-4, 1.0};

typedef struct outputs_case {
    oracle o; /* a network of x and a positional embedding */
    ssde_sde sde;
    ssde_parameterisation output;
    double sigma_data;
    float x[OUTPUT_ROWS * OUTPUT_DIM], v[OUTPUT_ROWS * OUTPUT_DIM];
    float score[OUTPUT_ROWS * OUTPUT_DIM], vjp[OUTPUT_ROWS * OUTPUT_DIM]; /* by the score net */
} outputs_case;

static void outputs_run(outputs_case *c, ssde_context *context) {
    ssde_score_net_desc desc = ssde_score_net_defaults();
    ssde_score_net *score_net = NULL;
    ssde_score_model model;
    desc.output = c->output;
    desc.sigma_data = c->sigma_data;
    desc.context = context;
    CHECK_OK(ssde_score_net_create(&score_net, c->o.net, &c->sde, &desc));
    model = ssde_score_net_model(score_net);
    oracle_normals(1, 1.0, OUTPUT_ROWS * OUTPUT_DIM, c->x);
    oracle_normals(2, 1.0, OUTPUT_ROWS * OUTPUT_DIM, c->v);
    CHECK_OK(model.score(model.user, c->x, outputs_times, NULL, OUTPUT_ROWS, 1, c->score));
    CHECK_OK(model.vjp(model.user, c->v, OUTPUT_ROWS, c->vjp));
    ssde_score_net_destroy(score_net);
}

/* Row by row in double from what the network gives to this score net's labels: what is left is the rounding of the
   result, and of x where EDM scales it, however much of the terms cancels. The VJP by the chain rule. */
static void outputs_check_raw(const outputs_case *c, ssde_context *context, const float *label, const float *sigma,
                              const double *mean, const double *std) {
    float in[OUTPUT_ROWS * OUTPUT_DIM], raw[OUTPUT_ROWS * OUTPUT_DIM], back[OUTPUT_ROWS * OUTPUT_DIM];
    ssde_run *run = nn_run(c->o.net, context, SSDE_RUN_VJP, OUTPUT_ROWS);
    int i;
    for (i = 0; i < OUTPUT_ROWS * OUTPUT_DIM; i++) {
        int row = i / OUTPUT_DIM;
        in[i] = (float)((double)c->x[i] * outputs_input(c->output, c->sigma_data, mean[row], std[row]));
    }
    CHECK_OK(ssde_run_forward(run, in, label, sigma, OUTPUT_ROWS, 0, 0, NULL, raw));
    CHECK_OK(ssde_run_backward(run, c->v, back, NULL));
    for (i = 0; i < OUTPUT_ROWS * OUTPUT_DIM; i++) {
        int row = i / OUTPUT_DIM;
        double m = mean[row], s = std[row], o = (double)raw[i], x = (double)c->x[i], factor, by_x, score, chain;
        score = -outputs_noise(c->output, c->sigma_data, m, s, o, x) / s;
        factor = -outputs_noise(c->output, c->sigma_data, m, s, 1.0, 0.0) / s;
        by_x = -outputs_noise(c->output, c->sigma_data, m, s, 0.0, 1.0) / s;
        CHECK_NEAR(c->score[i], score,
                   2e-7 * fabs(score) + (c->output == SSDE_PREDICT_EDM ? 3e-7 * (fabs(o) + 1.0) * fabs(factor) : 0.0));
        chain = factor * outputs_input(c->output, c->sigma_data, m, s);
        /* the network's own rounding on the way back, of a row of a few such numbers */
        CHECK_NEAR(c->vjp[i], chain * (double)back[i] + by_x * (double)c->v[i],
                   3e-6 * (fabs(chain) * nn_norm(back + row * OUTPUT_DIM, OUTPUT_DIM) + fabs(by_x)));
    }
    ssde_run_destroy(run);
}

/* v^T (d score / d x) u for a direction u, by differences of the score in double. */
static void outputs_check_slope(outputs_case *c, int row, double label, double sigma, double mean, double std) {
    double input = outputs_input(c->output, c->sigma_data, mean, std), slope = 0.0, difference = 0.0, size = 0.0;
    int side, i;
    for (side = -1; side <= 1; side += 2) {
        uint64_t state = 9;
        double x[OUTPUT_DIM], in[OUTPUT_DIM];
        const double *o;
        for (i = 0; i < OUTPUT_DIM; i++) {
            double direction = oracle_normal(&state);
            x[i] = (double)c->x[row * OUTPUT_DIM + i] + 1e-5 * side * direction;
            in[i] = input * x[i];
            if (side > 0) slope += (double)c->vjp[row * OUTPUT_DIM + i] * direction;
            if (side > 0) size += fabs((double)c->vjp[row * OUTPUT_DIM + i]);
        }
        o = oracle_forward(&c->o, in, label, sigma);
        for (i = 0; i < OUTPUT_DIM; i++)
            difference -= side * (double)c->v[row * OUTPUT_DIM + i] / 2e-5 / std *
                          outputs_noise(c->output, c->sigma_data, mean, std, o[i], x[i]);
    }
    CHECK_NEAR(slope, difference, 1e-4 * size);
}

/* Every meaning under every SDE, from std = 0 nearly to m = 0: scores and their derivatives are those of the definition
   in double. */
static void test_score_net_outputs(void) {
    ssde_context context;
    int which, output, tier, row;
    for (tier = 0; nn_tier(tier, &context); tier++)
        for (which = 0; which < OUTPUT_SDES; which++)
            for (output = SSDE_PREDICT_DEFAULT; output < SSDE_PREDICT_COUNT; output++) {
                ssde_loss_desc loss = ssde_loss_defaults();
                outputs_case c;
                float label[OUTPUT_ROWS], sigma[OUTPUT_ROWS];
                double mean[OUTPUT_ROWS], std[OUTPUT_ROWS];
                int h;
                oracle_open(&c.o);
                h = oracle_conv1(&c.o, oracle_input(&c.o, 1, 1, OUTPUT_DIM), 8);
                h = oracle_add(&c.o, h, oracle_conv1(&c.o, oracle_positional(&c.o, oracle_label(&c.o), 6), 8), 1.0);
                oracle_finish(&c.o, oracle_conv1(&c.o, oracle_activate(&c.o, h, SSDE_SILU), OUTPUT_DIM));
                c.sde = outputs_sde(which);
                c.output = (ssde_parameterisation)output;
                c.sigma_data = 0.7;
                outputs_run(&c, &context);
                if (output == SSDE_PREDICT_DEFAULT)
                    c.output = c.sde.kind == SSDE_VE               ? SSDE_PREDICT_SCORE
                               : c.sde.kind == SSDE_RECTIFIED_FLOW ? SSDE_PREDICT_FLOW
                                                                   : SSDE_PREDICT_NOISE;
                c.o.net->means.output = c.output; /* what labels go by */
                for (row = 0; row < OUTPUT_ROWS; row++) {
                    double t = outputs_times[row];
                    CHECK_OK(ssde_loss_marginal(&c.sde, &loss, t, &mean[row], &std[row]));
                    CHECK_OK(ssde_score_net_label(NULL, c.o.net, &c.sde, t, &label[row], &sigma[row], NULL));
                    CHECK_RELATIVE(sigma[row], std[row], 1e-7);
                    /* 999 t is a product of floats, VE's label a power of them */
                    CHECK_NEAR(label[row],
                               output != SSDE_PREDICT_EDM ? which ? 999.0 * t : std[row]
                               : mean[row] > 0.0 ? 0.25 * log(std[row] / mean[row])
                                                          : 10.0,
                               output == SSDE_PREDICT_EDM ? 1e-6 : 3e-7 * (which ? 999.0 * t : std[row]));
                }
                outputs_check_raw(&c, &context, label, sigma, mean, std);
                for (row = 0; row < OUTPUT_ROWS; row++)
                    outputs_check_slope(&c, row, (double)label[row], (double)sigma[row], mean[row], std[row]);
                oracle_close(&c.o);
            }
}

/* EDM's label is log(std / m) / 4, its exponential for networks that take the logarithm, within e^10 and e^-10. */
static void test_score_net_edm_label(void) {
    static const ssde_embedding_type types[2] = {SSDE_EMBEDDING_POSITIONAL, SSDE_EMBEDDING_FOURIER};
    int which, k;
    for (which = 0; which < OUTPUT_SDES; which++)
        for (k = 0; k < 4; k++) {
            ssde_sde sde = outputs_sde(which);
            ssde_mlp_desc shape = ssde_mlp(2);
            ssde_unet_desc unet = conditioning_unet(SSDE_NOISE_CHANNEL, 0);
            ssde_net *net = NULL;
            ssde_output_map map;
            double t, noise, mean, std;
            float label, sigma;
            shape.embedding_type = unet.embedding_type = types[k % 2];
            unet.scale_by_sigma = 0;
            CHECK_OK(k < 2 ? ssde_mlp_create(&net, &shape) : ssde_unet_create(&net, &unet));
            net->means.output = SSDE_PREDICT_EDM;
            net->means.sigma_data = 2.0;
            for (t = 0.0; t <= 1.0; t += 0.125) {
                CHECK_OK(ssdei_marginal(NULL, &sde, t, &mean, &std));
                CHECK_OK(ssde_score_net_label(NULL, net, &sde, t, &label, &sigma, &map));
                noise = std == 0.0 ? -10.0 : mean == 0.0 ? 10.0 : 0.25 * log(std / mean);
                CHECK_NEAR(label, k % 2 ? exp(noise) : noise, k % 2 ? 1e-7 * exp(noise) : 1e-6);
                CHECK_RELATIVE(map.input, outputs_input(SSDE_PREDICT_EDM, 2.0, mean, std), 1e-14);
            }
            ssde_net_destroy(net);
        }
}

/* A model that knows nothing of score nets: what the network gives, in double by the definition of its output. */
typedef struct outputs_model {
    ssde_run *run;
    const ssde_net *net;
    ssde_sde sde;
    ssde_parameterisation output;
    double sigma_data, factor[OUTPUT_ROWS], input[OUTPUT_ROWS], by_x[OUTPUT_ROWS];
} outputs_model;

static ssde_status outputs_model_score(void *user, const float *x, const double *t, const uint64_t *sample, size_t rows,
                                       int differentiate, float *out) {
    outputs_model *m = (outputs_model *)user;
    float label[OUTPUT_ROWS], sigma[OUTPUT_ROWS], in[2 * OUTPUT_ROWS], raw[2 * OUTPUT_ROWS];
    size_t i;
    (void)sample;
    (void)differentiate;
    if (!rows || rows > OUTPUT_ROWS) return SSDE_ERROR_ARGUMENT;
    for (i = 0; i < rows; i++) {
        double mean, std;
        CHECK_OK(ssde_score_net_label(NULL, m->net, &m->sde, t[i], &label[i], &sigma[i], NULL));
        CHECK_OK(ssdei_marginal(NULL, &m->sde, t[i], &mean, &std));
        m->input[i] = outputs_input(m->output, m->sigma_data, mean, std);
        m->factor[i] = -outputs_noise(m->output, m->sigma_data, mean, std, 1.0, 0.0) / std;
        m->by_x[i] = -outputs_noise(m->output, m->sigma_data, mean, std, 0.0, 1.0) / std;
    }
    for (i = 0; i < 2 * rows; i++) in[i] = (float)((double)x[i] * m->input[i / 2]);
    CHECK_OK(ssde_run_forward(m->run, in, label, sigma, rows, 0, 0, NULL, raw));
    for (i = 0; i < 2 * rows; i++) out[i] = (float)(m->factor[i / 2] * (double)raw[i] + m->by_x[i / 2] * (double)x[i]);
    return SSDE_OK;
}

static ssde_status outputs_model_vjp(void *user, const float *v, size_t rows, float *out) {
    outputs_model *m = (outputs_model *)user;
    float back[2 * OUTPUT_ROWS];
    size_t i;
    CHECK_OK(ssde_run_backward(m->run, v, back, NULL));
    for (i = 0; i < 2 * rows; i++)
        out[i] = (float)(m->factor[i / 2] * m->input[i / 2] * (double)back[i] + m->by_x[i / 2] * (double)v[i]);
    return SSDE_OK;
}

/* No solver learns what a network is: samples and densities of trained networks are those of that model. */
static void test_score_net_output_solvers(void) {
    static const ssde_parameterisation outputs[3] = {SSDE_PREDICT_VELOCITY, SSDE_PREDICT_EDM, SSDE_PREDICT_FLOW};
    int which, k;
    for (which = 0; which < 6; which++) {
        ssde_sde sde = which < 3 ? ssde_vp(0.1, 20.0) : ssde_ve(0.01, 3.0);
        ssde_train_desc train = files_train_desc(NULL, &sde);
        ssde_net *net = files_mlp(NULL, 2, 8, 1, 3);
        ssde_batch batch = files_batch();
        ssde_trainer *trainer = NULL;
        ssde_score_net *score_net = NULL;
        ssde_score_model models[2];
        ssde_flow_desc flow = ssde_flow_defaults();
        ssde_likelihood_desc price = ssde_likelihood_defaults();
        ssde_likelihood_result results[2][OUTPUT_ROWS];
        outputs_model by_definition;
        float x[2][2 * OUTPUT_ROWS];
        size_t i;
        train.loss.output = outputs[which % 3];
        train.loss.sigma_data = 0.7;
        CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &train));
        for (k = 0; k < 20; k++) CHECK_OK(ssde_train_step(trainer, &batch, NULL));
        CHECK_OK(ssde_score_net_create(&score_net, net, &sde, NULL));
        models[0] = models[1] = ssde_score_net_model(score_net);
        by_definition.run = nn_run(net, NULL, SSDE_RUN_VJP, OUTPUT_ROWS);
        by_definition.net = net;
        by_definition.sde = sde;
        by_definition.output = ssde_net_output(net, &by_definition.sigma_data);
        models[1].score = outputs_model_score;
        models[1].vjp = outputs_model_vjp;
        models[1].user = &by_definition;
        models[1].max_rows = OUTPUT_ROWS;
        flow.rtol = flow.atol = price.rtol = price.atol = 1e-7; /* else steps that were taken by a hair differ more */
        price.trace = SSDE_TRACE_EXACT;
        for (k = 0; k < 2; k++) {
            ssde_rng rng = ssde_rng_seed(7);
            CHECK_OK(ssde_sample_ode(&sde, &models[k], &flow, &rng, OUTPUT_ROWS, x[k], NULL));
            CHECK_OK(ssde_likelihood(&sde, &models[k], &price, &rng, OUTPUT_ROWS, files_points, results[k]));
        }
        CHECK_ARRAY(x[0], x[1], 2 * OUTPUT_ROWS, 5e-5);
        for (i = 0; i < OUTPUT_ROWS; i++) CHECK_NEAR(results[0][i].log_density, results[1][i].log_density, 1e-4);
        ssde_run_destroy(by_definition.run);
        ssde_score_net_destroy(score_net);
        ssde_trainer_destroy(trainer);
        ssde_net_destroy(net);
    }
}

/* What a network cannot mean is refused, by whatever takes it. */
static void test_score_net_output_errors(void) {
    const ssde_sde sdes[2] = {ssde_ve(0.01, 20.0), ssde_vp(0.1, 20.0)};
    const double bad[4] = {-1e-7, 1e-7, 1e7, (double)NAN};
    ssde_context context = ssde_context_defaults();
    ssde_score_net_desc how = ssde_score_net_defaults();
    ssde_score_net *score_net = NULL;
    ssde_trainer *trainer = NULL;
    int output, kind, i;
    how.context = &context;
    for (kind = 0; kind < 4; kind++) {
        ssde_unet_desc unet = conditioning_unet(SSDE_NOISE_EMBEDDING, 0);
        ssde_mlp_desc mlp = ssde_mlp(2);
        ssde_train_desc train = ssde_train_defaults(&sdes[kind % 2], 0);
        const ssde_sde *sde = &sdes[kind % 2];
        ssde_net *net = NULL;
        train.batch = 1;
        train.context = &context;
        mlp.scale_by_sigma = 1;
        CHECK_OK(kind < 2 ? ssde_unet_create(&net, &unet) : ssde_mlp_create(&net, &mlp));
        for (output = SSDE_PREDICT_SCORE; output < SSDE_PREDICT_COUNT; output++) {
            how.output = train.loss.output = (ssde_parameterisation)output;
            if (output <= SSDE_PREDICT_NOISE) {
                CHECK_OK(ssde_score_net_create(&score_net, net, sde, &how));
                ssde_score_net_destroy(score_net);
                CHECK_OK(ssde_trainer_create(&trainer, net, sde, &train));
                ssde_trainer_destroy(trainer);
            } else {
                CHECK_FAILS(&context, ssde_score_net_create(&score_net, net, sde, &how), SSDE_ERROR_UNSUPPORTED,
                            "scale_by_sigma = 0");
                CHECK_FAILS(&context, ssde_trainer_create(&trainer, net, sde, &train), SSDE_ERROR_UNSUPPORTED,
                            ssdei_parameterisation_names[output]);
                CHECK(ssde_net_output(net, NULL) == SSDE_PREDICT_NOISE); /* as the last trainer made it */
            }
        }
        ssde_net_destroy(net);
    }
    for (kind = 0; kind < 2; kind++) {
        ssde_net *net = files_mlp(NULL, 2, 4, 1, 3);
        ssde_train_desc train = ssde_train_defaults(&sdes[kind], 0);
        float label, sigma;
        train.batch = 1;
        train.context = &context;
        how.output = train.loss.output = SSDE_PREDICT_EDM;
        how.discrete = train.loss.discrete = 1;
        CHECK_FAILS(&context, ssde_score_net_create(&score_net, net, &sdes[kind], &how), SSDE_ERROR_UNSUPPORTED,
                    "discrete");
        CHECK_FAILS(&context, ssde_trainer_create(&trainer, net, &sdes[kind], &train), SSDE_ERROR_UNSUPPORTED,
                    "discrete");
        how.discrete = train.loss.discrete = 0;
        for (i = 0; i < 4; i++) {
            how.sigma_data = train.loss.sigma_data = bad[i];
            CHECK_FAILS(&context, ssde_score_net_create(&score_net, net, &sdes[kind], &how), SSDE_ERROR_ARGUMENT,
                        "sigma_data");
            CHECK_FAILS(&context, ssde_trainer_create(&trainer, net, &sdes[kind], &train), SSDE_ERROR_ARGUMENT,
                        "sigma_data");
        }
        train.loss.sigma_data = 0.0;
        CHECK_FAILS(&context, ssde_trainer_create(&trainer, net, &sdes[kind], &train), SSDE_ERROR_ARGUMENT,
                    "sigma_data");
        how.sigma_data = 0.0;
        how.output = train.loss.output = SSDE_PREDICT_COUNT;
        CHECK_FAILS(&context, ssde_score_net_create(&score_net, net, &sdes[kind], &how), SSDE_ERROR_ARGUMENT,
                    "output is 7");
        CHECK_FAILS(&context, ssde_trainer_create(&trainer, net, &sdes[kind], &train), SSDE_ERROR_ARGUMENT,
                    "output is 7");
        CHECK(ssde_net_output(net, NULL) == SSDE_PREDICT_DEFAULT && !score_net && !trainer);
        net->means.discrete = 1; /* told so, but not of EDM */
        how.output = SSDE_PREDICT_EDM;
        CHECK_FAILS(&context, ssde_score_net_create(&score_net, net, &sdes[kind], &how), SSDE_ERROR_UNSUPPORTED,
                    "discrete");
        net->means.output = SSDE_PREDICT_EDM;
        CHECK_FAILS(&context, ssde_score_net_label(&context, net, &sdes[kind], 0.5, &label, &sigma, NULL),
                    SSDE_ERROR_UNSUPPORTED, "discrete");
        ssde_net_destroy(net);
    }
}

/* Every way, with and without classes, both embeddings: values and derivatives against the oracle; parameters of the
   shapes that the way asks for. */
static void test_score_net_ways(void) {
    nn_options options = nn_usual();
    int which, tier;
    options.rows = 1;
    options.forward = 1e-5;
    options.gradient = 2e-5;
    for (which = 0; which < 12; which += check_quick ? 5 : 1) {
        ssde_unet_desc desc = conditioning_unet((ssde_noise_conditioning)(which % 3), which / 3 % 2 ? 3 : 0);
        size_t modulated = desc.noise_conditioning == SSDE_NOISE_SCALE_SHIFT ? 2 : 1, index;
        int channel = desc.noise_conditioning == SSDE_NOISE_CHANNEL;
        int embedded = channel ? desc.classes > 0 : 1;
        ssde_net *net = NULL;
        ssde_context context;
        const ssde_parameter *parameter;
        nn_data data;
        oracle o;
        char name[64];
        desc.embedding_type = which < 6 ? SSDE_EMBEDDING_FOURIER : SSDE_EMBEDDING_POSITIONAL;
        CHECK_OK(ssde_unet_create(&net, &desc));
        if (!net) continue;
        CHECK(ssde_net_classes(net) == desc.classes);
        /* Fourier's W and two dense layers, then the first convolution, then the first block */
        snprintf(name, sizeof name, "all_modules.%d.weight", channel ? 0 : which < 6 ? 3 : 2);
        parameter = conditioning_parameter(net, name, &index);
        CHECK(parameter && parameter->rank == 4 && parameter->shape[1] == 3u + (channel ? 1u : 0u));
        if (embedded) {
            snprintf(name, sizeof name, "all_modules.%d.Dense_0.weight", channel ? 1 : which < 6 ? 4 : 3);
            parameter = conditioning_parameter(net, name, &index);
            CHECK(parameter && parameter->shape[0] == modulated * 4 && parameter->shape[1] == 16);
        }
        if (desc.classes) {
            parameter = conditioning_parameter(net, "class_embedding.weight", &index);
            CHECK(parameter && parameter->rank == 2 && parameter->shape[0] == 4 && parameter->shape[1] == 16);
        }
        oracle_from_net(&o, net);
        oracle_random_weights(&o, (uint64_t)which);
        o.parameters = 0; /* jointly, below */
        nn_data_open(&data, &o, &options);
        for (tier = 0; nn_tier(tier, &context); tier++) {
            float *gradient = (float *)calloc(ssde_net_weight_count(net), sizeof *gradient);
            ssde_run *run = nn_run(net, &context, SSDE_RUN_TRAIN, 1);
            nn_check_tier(&o, &data, &options, &context);
            CHECK_OK(nn_forward(run, &data, NULL));
            CHECK_OK(ssde_run_backward(run, data.v, NULL, gradient));
            ssde_run_destroy(run);
            if (tier == 0) nn_check_jointly(&o, &data, gradient, options.gradient);
            free(gradient);
        }
        nn_data_close(&data);
        oracle_close(&o);
    }
}
typedef struct class_data {
    float x[CLASS_ROWS * CLASS_DIM], v[CLASS_ROWS * CLASS_DIM];
    double t[CLASS_ROWS];
    uint64_t sample[CLASS_ROWS];
} class_data;
static const int32_t class_of_sample[8] = {2, 0, -1, 1, 2, 1, 0, 2}; /* of samples 10 ... 17 */

static void class_data_fill(class_data *data) {
    static const double t[CLASS_ROWS] = {0.5, 0.5, 0.2, 0.9, 0.7};
    static const uint64_t sample[CLASS_ROWS] = {13, 10, 12, 17, 11};
    oracle_normals(1, 1.0, CLASS_ROWS * CLASS_DIM, data->x);
    oracle_normals(2, 1.0, CLASS_ROWS * CLASS_DIM, data->v);
    memcpy(data->t, t, sizeof t);
    memcpy(data->sample, sample, sizeof sample);
}

/* A row's output is that of a network whose null class has the row's class's embedding, to the bit. */
static void test_score_net_classes(void) {
    ssde_context context = ssde_context_defaults();
    ssde_net *net = conditioning_net(SSDE_NOISE_EMBEDDING, 3, 5);
    static const int32_t classes[4] = {2, -1, 0, 1}, wrong[2] = {1, 3}, negative[1] = {-2};
    float x[4 * CLASS_DIM], out[4 * CLASS_DIM], expected[CLASS_DIM], table[4 * 16], moved[4 * 16];
    const float label[4] = {0.5f, 0.5f, 0.5f, 0.5f};
    size_t index, row;
    ssde_run *run;
    run = nn_run(net, &context, SSDE_RUN_INFERENCE, 4);
    oracle_normals(3, 1.0, 4 * CLASS_DIM, x);
    CHECK_OK(ssde_run_set_classes(run, classes, 4));
    CHECK_OK(ssde_run_forward(run, x, label, label, 4, 0, 0, NULL, out));
    CHECK_OK(ssde_run_forward(run, x, label, label, 2, 0, 0, NULL, out + 2 * CLASS_DIM));
    CHECK_SAME(out + 2 * CLASS_DIM, out, 2 * CLASS_DIM * sizeof *out); /* they stay */
    CHECK_OK(ssde_run_forward(run, x, label, label, 4, 0, 0, NULL, out));
    conditioning_parameter(net, "class_embedding.weight", &index);
    CHECK_OK(ssde_net_get(net, index, table));
    CHECK_OK(ssde_run_set_classes(run, NULL, 0));
    for (row = 0; row < 4; row++) {
        memcpy(moved, table, sizeof table);
        memcpy(moved + 3 * 16, table + (classes[row] < 0 ? 3 : classes[row]) * 16, 16 * sizeof *table);
        CHECK_OK(ssde_net_set(net, index, moved));
        CHECK_OK(ssde_run_forward(run, x + row * CLASS_DIM, label, label, 1, 0, 0, NULL, expected));
        CHECK_SAME(out + row * CLASS_DIM, expected, sizeof expected);
        if (row) CHECK(check_distance(out, out + row * CLASS_DIM, CLASS_DIM) > 1e-2);
    }
    CHECK_FAILS(&context, ssde_run_set_classes(run, wrong, 2), SSDE_ERROR_ARGUMENT, "classes[1] is 3, wanted -1 to 2");
    CHECK_FAILS(&context, ssde_run_set_classes(run, negative, 1), SSDE_ERROR_ARGUMENT, "classes[0] is -2");
    CHECK_FAILS(&context, ssde_run_set_classes(run, classes, 0), SSDE_ERROR_ARGUMENT, "rows is 0");
    CHECK_FAILS(&context, ssde_run_set_classes(run, classes, 5), SSDE_ERROR_ARGUMENT, "rows is 5");
    CHECK_STATUS(ssde_run_set_classes(NULL, classes, 1), SSDE_ERROR_ARGUMENT);
    CHECK_OK(ssde_run_set_classes(run, classes, 2));
    CHECK_FAILS(&context, ssde_run_forward(run, x, label, label, 3, 0, 0, NULL, out), SSDE_ERROR_ARGUMENT, "wanted 2");
    ssde_run_destroy(run);
    ssde_net_destroy(net);
    net = conditioning_net(SSDE_NOISE_EMBEDDING, 0, 5);
    run = nn_run(net, &context, SSDE_RUN_INFERENCE, 4);
    CHECK_FAILS(&context, ssde_run_set_classes(run, classes, 1), SSDE_ERROR_ARGUMENT, "has none");
    ssde_run_destroy(run);
    ssde_net_destroy(net);
}

static ssde_score_net *class_score_net(const ssde_net *net, ssde_context *context, ssde_parameterisation output,
                                       double guidance, size_t max_rows) {
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_score_net_desc desc = ssde_score_net_defaults();
    ssde_score_net *score_net = NULL;
    desc.max_rows = max_rows;
    desc.output = output;
    desc.guidance = guidance;
    desc.context = context;
    CHECK_OK(ssde_score_net_create(&score_net, net, &sde, &desc));
    return score_net;
}

/* (1 + w) s(x, c) - w s(x, null) and its VJP, from two models of the same network; rows in any company. */
static void class_guidance_case(ssde_parameterisation output, double w, ssde_context *context) {
    ssde_unet_desc shape = conditioning_unet(SSDE_NOISE_EMBEDDING, 3);
    ssde_net *net;
    ssde_score_net *guided, *with, *without;
    ssde_score_model models[3];
    class_data data;
    float out[2][3][CLASS_ROWS * CLASS_DIM], alone[CLASS_DIM], expected[CLASS_ROWS * CLASS_DIM];
    size_t i, row;
    int m, k;
    class_data_fill(&data);
    shape.scale_by_sigma = output <= SSDE_PREDICT_NOISE;
    net = conditioning_net_of(&shape, 6);
    guided = class_score_net(net, context, output, w, CLASS_ROWS);
    with = class_score_net(net, context, output, 0.0, CLASS_ROWS);
    without = class_score_net(net, context, output, 0.0, CLASS_ROWS);
    CHECK_OK(ssde_score_net_set_classes(guided, class_of_sample, 8, 10));
    CHECK_OK(ssde_score_net_set_classes(with, class_of_sample, 8, 10));
    models[0] = ssde_score_net_model(guided);
    models[1] = ssde_score_net_model(with);
    models[2] = ssde_score_net_model(without);
    for (m = 0; m < 3; m++) {
        CHECK(models[m].max_rows == CLASS_ROWS);
        CHECK_OK(models[m].score(models[m].user, data.x, data.t, data.sample, CLASS_ROWS, 1, out[0][m]));
        CHECK_OK(models[m].vjp(models[m].user, data.v, CLASS_ROWS, out[1][m]));
        CHECK_OK(models[m].vjp(models[m].user, data.v, CLASS_ROWS, expected));
        CHECK_SAME(expected, out[1][m], sizeof expected);
    }
    for (k = 0; k < 2; k++) {
        for (i = 0; i < CLASS_ROWS * CLASS_DIM; i++)
            expected[i] = (float)((1.0 + w) * (double)out[k][1][i] - w * (double)out[k][2][i]);
        CHECK_ARRAY(out[k][0], expected, CLASS_ROWS * CLASS_DIM, 2e-6);
        CHECK(check_distance(out[k][1], out[k][2], CLASS_ROWS * CLASS_DIM) > 1e-2);
    }
    for (row = 0; row < CLASS_ROWS; row++) {
        CHECK_OK(
            models[0].score(models[0].user, data.x + row * CLASS_DIM, data.t + row, data.sample + row, 1, 1, alone));
        CHECK_SAME(alone, out[0][0] + row * CLASS_DIM, sizeof alone);
        CHECK_OK(models[0].vjp(models[0].user, data.v + row * CLASS_DIM, 1, alone));
        CHECK_SAME(alone, out[1][0] + row * CLASS_DIM, sizeof alone);
    }
    /* sample 12 has the null class: guided or not, the same */
    CHECK_ARRAY(out[0][0] + 2 * CLASS_DIM, out[0][2] + 2 * CLASS_DIM, CLASS_DIM, 2e-6);
    data.sample[1] = 9;
    CHECK_FAILS(context, models[0].score(models[0].user, data.x, data.t, data.sample, CLASS_ROWS, 0, expected),
                SSDE_ERROR_ARGUMENT, "sample 9 has no class");
    data.sample[1] = 18;
    CHECK_FAILS(context, models[0].score(models[0].user, data.x, data.t, data.sample, CLASS_ROWS, 0, expected),
                SSDE_ERROR_ARGUMENT, "sample 18 has no class");
    data.sample[1] = ((uint64_t)1 << 60) + 1;
    CHECK_FAILS(context, models[0].score(models[0].user, data.x, data.t, data.sample, CLASS_ROWS, 0, expected),
                SSDE_ERROR_ARGUMENT, "sample 1152921504606846977 has no class");
    CHECK_OK(ssde_score_net_set_classes(guided, NULL, 0, 0));
    CHECK_OK(models[0].score(models[0].user, data.x, data.t, NULL, CLASS_ROWS, 0, expected));
    CHECK_ARRAY(expected, out[0][2], CLASS_ROWS * CLASS_DIM, 2e-6);
    ssde_score_net_destroy(guided);
    ssde_score_net_destroy(with);
    ssde_score_net_destroy(without);
    ssde_net_destroy(net);
}

static void test_score_net_guidance(void) {
    static const int32_t wrong[2] = {0, 3};
    ssde_context context = ssde_context_defaults();
    ssde_net *net;
    ssde_score_net *score_net = NULL;
    ssde_score_net_desc desc = ssde_score_net_defaults();
    ssde_sde sde = ssde_vp(0.1, 20.0);
    int tier;
    for (tier = 0; nn_tier(tier, &context); tier++) {
        int output;
        for (output = SSDE_PREDICT_DEFAULT; output < SSDE_PREDICT_COUNT; output += 2)
            class_guidance_case((ssde_parameterisation)output, 1.5, &context);
        class_guidance_case(SSDE_PREDICT_EDM, -0.5, &context);
        class_guidance_case(SSDE_PREDICT_NOISE, -0.5, &context);
    }
    desc.context = &context;
    net = conditioning_net(SSDE_NOISE_EMBEDDING, 3, 6);
    score_net = class_score_net(net, &context, SSDE_PREDICT_DEFAULT, 0.0, 2);
    CHECK_FAILS(&context, ssde_score_net_set_classes(score_net, wrong, 2, 0), SSDE_ERROR_ARGUMENT, "classes[1] is 3");
    CHECK_FAILS(&context, ssde_score_net_set_classes(score_net, wrong, 0, 0), SSDE_ERROR_ARGUMENT, "count is 0");
    CHECK_STATUS(ssde_score_net_set_classes(NULL, wrong, 1, 0), SSDE_ERROR_ARGUMENT);
    ssde_score_net_destroy(score_net);
    desc.guidance = NAN;
    CHECK_FAILS(&context, ssde_score_net_create(&score_net, net, &sde, &desc), SSDE_ERROR_ARGUMENT, "guidance");
    ssde_net_destroy(net);
    net = conditioning_net(SSDE_NOISE_EMBEDDING, 0, 6);
    desc.guidance = 1.0;
    CHECK_FAILS(&context, ssde_score_net_create(&score_net, net, &sde, &desc), SSDE_ERROR_ARGUMENT, "has no classes");
    CHECK(score_net == NULL);
    score_net = class_score_net(net, &context, SSDE_PREDICT_DEFAULT, 0.0, 2);
    CHECK_FAILS(&context, ssde_score_net_set_classes(score_net, wrong, 1, 0), SSDE_ERROR_ARGUMENT, "has none");
    ssde_score_net_destroy(score_net);
    ssde_net_destroy(net);
}

/* ---- score net: learned variances, and what is denoised ---- */

enum { LEARNED_ROWS = 4, LEARNED_DIM = 2 * 3 * 2 };
static const double learned_times[LEARNED_ROWS] = {0.1, 2.0 / 3.0, 2.0 / 3.0, 1.0};

/* Networks of the same weights whose result is one image (0), another (1), or both along the channels (2). */
static ssde_net *learned_net(int which) {
    const ssde_conv_desc conv = ssde_conv(2, 3);
    ssde_net *net = NULL;
    ssde_node h, result[3];
    CHECK_OK(ssde_net_create(NULL, &net, 1));
    h = ssde_linear(net, ssde_input(net, 2, 3, 2), 8, 1.0, "in");
    h = ssde_add_scaled(net, h, ssde_positional_embedding(net, ssde_input_label(net), 8, 1.0, 0), 1.0);
    h = ssde_add_scaled(net, h, ssde_class_embedding(net, ssde_input_class(net), 3, 8, "class"), 1.0);
    h = ssde_activate(net, h, SSDE_SILU);
    result[0] = ssde_conv2d(net, h, &conv, "output");
    result[1] = ssde_conv2d(net, h, &conv, "variance");
    result[2] = ssde_concat(net, result[0], result[1]);
    CHECK_OK(ssde_net_finish(net, result[which]));
    return net;
}

typedef struct learned_case {
    ssde_net *net[3];
    ssde_score_net *score_net[3];
    ssde_score_model model[3];
    float x[LEARNED_ROWS * LEARNED_DIM], v[LEARNED_ROWS * LEARNED_DIM];
    float score[3][LEARNED_ROWS * LEARNED_DIM], vjp[2][LEARNED_ROWS * LEARNED_DIM];
} learned_case;

static void learned_open(learned_case *c, const ssde_sde *sde, ssde_parameterisation output, double guidance,
                         ssde_context *context) {
    static const int32_t classes[LEARNED_ROWS] = {2, 0, -1, 1};
    int i;
    for (i = 0; i < 3; i++) {
        ssde_score_net_desc desc = ssde_score_net_defaults();
        desc.output = i == 1 ? SSDE_PREDICT_SCORE : output; /* of the variance as it is */
        desc.guidance = i == 1 ? 0.0 : guidance;
        desc.context = context;
        c->net[i] = learned_net(i);
        CHECK_OK(ssde_score_net_create(&c->score_net[i], c->net[i], sde, &desc));
        CHECK_OK(ssde_score_net_set_classes(c->score_net[i], classes, LEARNED_ROWS, 0));
        c->model[i] = ssde_score_net_model(c->score_net[i]);
        CHECK((c->model[i].variance != NULL) == (i == 2) && c->model[i].denoised);
    }
    oracle_normals(1, 1.0, LEARNED_ROWS * LEARNED_DIM, c->x);
    oracle_normals(2, 1.0, LEARNED_ROWS * LEARNED_DIM, c->v);
    for (i = 0; i < 3; i++)
        CHECK_OK(c->model[i].score(c->model[i].user, c->x, learned_times, NULL, LEARNED_ROWS, 1, c->score[i]));
}

static void learned_close(learned_case *c) {
    int i;
    for (i = 0; i < 3; i++) {
        ssde_score_net_destroy(c->score_net[i]);
        ssde_net_destroy(c->net[i]);
    }
}

/* What is denoised goes with the score where m is not 0; where it is, rows are refused, or finite. */
static void learned_denoised(const learned_case *c, const ssde_sde *sde, ssde_parameterisation output,
                             ssde_context *context) {
    float out[LEARNED_ROWS * LEARNED_DIM];
    size_t rows = LEARNED_ROWS, i;
    if (output == SSDE_PREDICT_NOISE || output == SSDE_PREDICT_SCORE) {
        CHECK_FAILS(context, c->model[2].denoised(c->model[2].user, rows, out), SSDE_ERROR_NUMERIC, "where m is 0");
        CHECK_OK(c->model[2].score(c->model[2].user, c->x, learned_times, NULL, --rows, 0, out));
    }
    CHECK_FAILS(context, c->model[2].denoised(c->model[2].user, rows + 1, out), SSDE_ERROR_ARGUMENT, "rows is");
    CHECK_FAILS(context, c->model[2].denoised(c->model[2].user, rows, NULL), SSDE_ERROR_ARGUMENT, "is NULL");
    CHECK_OK(c->model[2].denoised(c->model[2].user, rows, out));
    for (i = 0; i < rows * LEARNED_DIM; i++) {
        ssde_coefficients at;
        double size = fabs((double)c->x[i]) + fabs((double)c->score[2][i]);
        if (learned_times[i / LEARNED_DIM] < 1.0) {
            CHECK_OK(ssde_coefficients_at(NULL, sde, learned_times[i / LEARNED_DIM], &at));
            CHECK_NEAR(out[i], ((double)c->x[i] + at.std * at.std * (double)c->score[2][i]) / at.mean,
                       1e-6 * size / at.mean);
        } else
            CHECK(isfinite(out[i]));
    }
}

static void test_score_net_learned(void) {
    static const double mean[4] = {0.99, 0.8, 0.6, 0.0}, std[4] = {0.141067359796658844, 0.6, 0.8, 1.0};
    ssde_sde sde = ssde_tabulated(mean, std, NULL, 4);
    ssde_context context;
    int tier, output, guided;
    size_t i;
    for (tier = 0; nn_tier(tier, &context); tier++)
        for (output = SSDE_PREDICT_DEFAULT; output < SSDE_PREDICT_COUNT; output++)
            for (guided = 0; guided < 2; guided++) {
                ssde_parameterisation means =
                    output == SSDE_PREDICT_DEFAULT ? SSDE_PREDICT_NOISE : (ssde_parameterisation)output;
                float variance[LEARNED_ROWS * LEARNED_DIM];
                learned_case c;
                learned_open(&c, &sde, (ssde_parameterisation)output, guided * 1.5, &context);
                for (i = 0; i < 2; i++) CHECK_OK(c.model[2 * i].vjp(c.model[2 * i].user, c.v, LEARNED_ROWS, c.vjp[i]));
                CHECK_ARRAY(c.score[2], c.score[0], LEARNED_ROWS * LEARNED_DIM, 1e-6);
                CHECK_ARRAY(c.vjp[1], c.vjp[0], LEARNED_ROWS * LEARNED_DIM, 2e-6);
                CHECK_OK(c.model[2].variance(c.model[2].user, LEARNED_ROWS, variance));
                for (i = 0; i < LEARNED_ROWS * LEARNED_DIM && output != SSDE_PREDICT_EDM; i++) /* another label */
                    CHECK_NEAR(variance[i], 0.5 * ((double)c.score[1][i] + 1.0), 1e-6);
                CHECK_FAILS(&context, c.model[2].variance(c.model[2].user, LEARNED_ROWS - 1, variance),
                            SSDE_ERROR_ARGUMENT, "rows is 3, wanted 4");
                learned_denoised(&c, &sde, means, &context);
                learned_close(&c);
            }
}

/* At m = 0, of data: the output; of velocity: its opposite, for x is all noise. */
static void test_score_net_denoised_at_pure_noise(void) {
    static const double mean[2] = {0.6, 0.0}, std[2] = {0.8, 1.0}, ones[LEARNED_ROWS] = {1.0, 1.0, 1.0, 1.0};
    static const struct {
        ssde_parameterisation output;
        double by_raw, by_x;
    } cases[4] = {{SSDE_PREDICT_DATA, 1.0, 0.0},
                  {SSDE_PREDICT_VELOCITY, -1.0, 0.0},
                  {SSDE_PREDICT_FLOW, -1.0, 1.0},
                  {SSDE_PREDICT_EDM, 0.5, 0.0}};
    ssde_sde sde = ssde_tabulated(mean, std, mean, 2); /* labels that EDM's are, too */
    int which;
    size_t i;
    for (which = 0; which < 4; which++) {
        float raw[LEARNED_ROWS * LEARNED_DIM], out[LEARNED_ROWS * LEARNED_DIM], label[LEARNED_ROWS] = {0};
        learned_case c;
        ssde_run *run;
        learned_open(&c, &sde, cases[which].output, 0.0, NULL);
        run = nn_run(c.net[0], NULL, SSDE_RUN_INFERENCE, LEARNED_ROWS);
        CHECK_OK(ssde_score_net_set_classes(c.score_net[2], NULL, 0, 0));
        CHECK_OK(c.model[2].score(c.model[2].user, c.x, ones, NULL, LEARNED_ROWS, 0, out));
        CHECK_OK(ssde_run_forward(run, c.x, label, NULL, LEARNED_ROWS, 0, 0, NULL, raw));
        CHECK_OK(c.model[2].denoised(c.model[2].user, LEARNED_ROWS, out));
        for (i = 0; i < LEARNED_ROWS * LEARNED_DIM; i++)
            CHECK_NEAR(out[i], cases[which].by_raw * (double)raw[i] + cases[which].by_x * (double)c.x[i],
                       1e-6 * (1.0 + fabs((double)raw[i]) + fabs((double)c.x[i])));
        ssde_run_destroy(run);
        learned_close(&c);
    }
}

/* A trainer has no loss for the variance. */
static void test_score_net_learned_refused(void) {
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_train_desc train = ssde_train_defaults(&sde, 100);
    ssde_trainer *trainer = NULL;
    ssde_net *net = learned_net(2), *odd = NULL;
    ssde_score_net *score_net = NULL;
    ssde_score_net_desc desc = ssde_score_net_defaults();
    train.context = desc.context = &context;
    CHECK_FAILS(&context, ssde_trainer_create(&trainer, net, &sde, &train), SSDE_ERROR_UNSUPPORTED,
                "4 channels of 2: the second half is a learned variance");
    CHECK_OK(ssde_net_create(NULL, &odd, 1));
    CHECK_OK(ssde_net_finish(odd, ssde_linear(odd, ssde_input(odd, 2, 3, 2), 3, 1.0, "in")));
    CHECK_FAILS(&context, ssde_score_net_create(&score_net, odd, &sde, &desc), SSDE_ERROR_SHAPE, "18 values");
    CHECK(!trainer && !score_net);
    ssde_net_destroy(odd);
    ssde_net_destroy(net);
}

/* ---- score net: discrete labels ---- */

/* A network trained on indices says so: its trainer, its file, and the score model of what was read. */
static void test_score_net_discrete_models(void) {
    ssde_context context = ssde_context_defaults();
    ssde_unet_desc shape = conditioning_unet(SSDE_NOISE_EMBEDDING, 0);
    ssde_net *net = NULL, *read = NULL;
    ssde_sde sde = ssde_ve(0.01, 20.0), sde_read;
    ssde_train_desc desc;
    ssde_trainer *trainer = NULL;
    ssde_score_net_desc how = ssde_score_net_defaults();
    ssde_score_net *score_nets[2] = {NULL, NULL};
    ssde_score_model models[2];
    class_data data;
    float out[2][CLASS_ROWS * CLASS_DIM], label, sigma;
    double std;
    int i;
    class_data_fill(&data);
    sde.num_scales = 37;
    desc = ssde_train_defaults(&sde, 0);
    desc.loss.discrete = 1;
    desc.batch = CLASS_ROWS;
    desc.context = &context;
    shape.embedding_type = SSDE_EMBEDDING_POSITIONAL;
    CHECK_OK(ssde_unet_create(&net, &shape));
    CHECK(!ssde_net_discrete(net) && !ssde_net_discrete(NULL));
    CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
    CHECK(ssde_net_discrete(net) && ssde_net_discrete(ssde_trainer_ema(trainer)));
    CHECK_OK(ssde_trainer_save_model(trainer, CONDITIONING_PATH));
    CHECK_OK(ssde_net_load(&context, &read, &sde_read, CONDITIONING_PATH));
    CHECK(ssde_net_discrete(read) && sde_read.num_scales == 37 && sde_read.kind == SSDE_VE);
    CHECK_OK(ssde_net_save(read, &sde_read, CONDITIONING_PATH));
    ssde_net_destroy(read);
    CHECK_OK(ssde_net_load(&context, &read, &sde_read, CONDITIONING_PATH));
    CHECK(ssde_net_discrete(read));
    CHECK_OK(ssde_net_save(read, NULL, CONDITIONING_PATH));
    ssde_net_destroy(read);
    CHECK_OK(ssde_net_load(&context, &read, NULL, CONDITIONING_PATH));
    CHECK(ssde_net_discrete(read));
    ssde_trainer_destroy(trainer);
    /* what training told the network at i / (N - 1) is what the score model tells it there */
    for (i = 0; i < sde.num_scales; i++) {
        CHECK_OK(ssde_score_net_label(&context, read, &sde, (double)i / (sde.num_scales - 1), &label, &sigma, NULL));
        CHECK_OK(ssde_discrete_marginal(&context, &sde, i, NULL, &std, NULL));
        CHECK(label == (float)(sde.num_scales - 1 - i) && sigma == (float)std);
        sde_read = ssde_vp(0.1, 20.0);
        CHECK_OK(ssde_score_net_label(&context, read, &sde_read, (double)i / 999.0, &label, &sigma, NULL));
        CHECK_OK(ssde_discrete_marginal(&context, &sde_read, i, NULL, &std, NULL));
        CHECK(label == (float)i && sigma == (float)std);
    }
    net->means.discrete = 0;
    how.discrete = 1;
    CHECK_OK(ssde_score_net_create(&score_nets[0], read, &sde, NULL));
    CHECK_OK(ssde_score_net_create(&score_nets[1], net, &sde, &how));
    for (i = 0; i < 2; i++) {
        models[i] = ssde_score_net_model(score_nets[i]);
        CHECK_OK(models[i].score(models[i].user, data.x, data.t, NULL, CLASS_ROWS, 0, out[i]));
        ssde_score_net_destroy(score_nets[i]);
    }
    CHECK_SAME(out[0], out[1], sizeof out[0]);
    CHECK_OK(ssde_score_net_create(&score_nets[0], net, &sde, NULL));
    models[0] = ssde_score_net_model(score_nets[0]);
    CHECK_OK(models[0].score(models[0].user, data.x, data.t, NULL, CLASS_ROWS, 0, out[0]));
    CHECK(check_distance(out[0], out[1], CLASS_ROWS * CLASS_DIM) > 1e-2);
    ssde_score_net_destroy(score_nets[0]);
    sde = ssde_affine(nn_affine_drift, files_diffusion, NULL);
    CHECK_STATUS(ssde_score_net_create(&score_nets[0], read, &sde, NULL), SSDE_ERROR_UNSUPPORTED);
    CHECK_STATUS(ssde_score_net_label(NULL, read, &sde, 0.5, &label, &sigma, NULL), SSDE_ERROR_UNSUPPORTED);
    sde = ssde_vp(0.1, 20.0);
    CHECK_STATUS(ssde_score_net_label(NULL, read, &sde, 1.5, &label, &sigma, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_score_net_label(NULL, read, &sde, NAN, &label, &sigma, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_score_net_label(NULL, read, &sde, 0.5, NULL, &sigma, NULL), SSDE_ERROR_ARGUMENT);
    ssde_net_destroy(read);
    ssde_net_destroy(net);
    remove(CONDITIONING_PATH);
}

/* Label 0, the highest noise of VE and the lowest of VP, has no logarithm. */
static void test_score_net_discrete_logarithms(void) {
    const ssde_sde sdes[2] = {ssde_ve(0.01, 20.0), ssde_vp(0.1, 20.0)};
    int noise, which, classifies;
    for (noise = SSDE_NOISE_EMBEDDING; noise <= SSDE_NOISE_SCALE_SHIFT; noise++)
        for (which = 0; which < 4; which++) {
            ssde_context context = ssde_context_defaults();
            ssde_unet_desc body = conditioning_unet((ssde_noise_conditioning)noise, 0);
            ssde_classifier_desc classifies_desc;
            ssde_train_desc train = ssde_train_defaults(&sdes[which % 2], 0);
            ssde_score_net_desc how = ssde_score_net_defaults();
            ssde_net *net = NULL;
            ssde_trainer *trainer = NULL;
            ssde_score_net *score_net = NULL;
            ssde_classifier *classifier = NULL;
            classifies = which / 2;
            how.context = train.context = body.context = &context;
            body.embedding_type = SSDE_EMBEDDING_FOURIER;
            classifies_desc = ssde_classifier_of(&body, 3);
            if (classifies)
                CHECK_OK(ssde_classifier_net_create(&net, &classifies_desc));
            else
                CHECK_OK(ssde_unet_create(&net, &body));
            how.discrete = train.loss.discrete = 1;
            train.classifier = classifies;
            train.batch = 1;
            CHECK_FAILS(&context, ssde_trainer_create(&trainer, net, &sdes[which % 2], &train), SSDE_ERROR_ARGUMENT,
                        "logarithm");
            if (classifies)
                CHECK_FAILS(&context, ssde_classifier_create(&classifier, net, &sdes[which % 2], &how),
                            SSDE_ERROR_ARGUMENT, "logarithm");
            else
                CHECK_FAILS(&context, ssde_score_net_create(&score_net, net, &sdes[which % 2], &how),
                            SSDE_ERROR_ARGUMENT, "logarithm");
            CHECK(!trainer && !score_net && !classifier && !ssde_net_discrete(net));
            train.loss.discrete = 0;
            CHECK_OK(ssde_trainer_create(&trainer, net, &sdes[which % 2], &train));
            ssde_trainer_destroy(trainer);
            ssde_net_destroy(net);
        }
}

/* ---- score net ---- */

/* A discrete level's label and sigma are those of its index, however its t was computed. */
static void test_score_net_discrete_index(void) {
    static const int levels[3] = {10, 300, 1000};
    ssde_net *net = files_mlp(NULL, 1, 4, 1, 3);
    int k, i, way;
    net->means.discrete = 1;
    for (k = 0; k < 3; k++) {
        ssde_sde sde = ssde_vp(0.1, 5.0);
        sde.num_scales = levels[k];
        for (i = 0; i < levels[k]; i += check_quick ? 3 : 1) {
            double std;
            CHECK_OK(ssde_discrete_marginal(NULL, &sde, i, NULL, &std, NULL));
            for (way = 0; way < 2; way++) {
                double last = levels[k] - 1, t = way ? 1.0 - (last - i) / last : i / last;
                float label, sigma;
                CHECK_OK(ssde_score_net_label(NULL, net, &sde, t, &label, &sigma, NULL));
                CHECK(label == (float)i && sigma == (float)std);
            }
        }
    }
    ssde_net_destroy(net);
}

/* ---- classifier ---- */

/* Values and derivatives by their definition in double; logits of any size. */
static void test_classifier_cross_entropy(void) {
    static const float logits[3 * 4] = {0.5f, -1.0f,   2.0f,  0.25f, 1e4f,  -1e4f,
                                        0.0f, 9999.0f, -3.0f, -3.0f, -3.0f, -3.0f};
    static const int32_t classes[3] = {2, 3, 0}, wrong[3] = {0, 4, 0}, negative[3] = {0, 0, -1};
    float gradient[3 * 4], same[3 * 4], infinite[4] = {0.0f, 1.0f, INFINITY, 0.0f};
    double losses[3];
    ssde_context context = ssde_context_defaults();
    int row, c, k;
    CHECK_OK(ssde_cross_entropy(&context, logits, classes, 3, 4, 0.7, losses, gradient));
    for (row = 0; row < 3; row++) {
        double sum = 0.0, own = (double)logits[row * 4 + classes[row]];
        for (k = 0; k < 4; k++) sum += exp((double)logits[row * 4 + k] - own);
        CHECK_NEAR(losses[row], log(sum), 1e-12 * (1.0 + log(sum)));
        for (c = 0; c < 4; c++) {
            double p = exp((double)logits[row * 4 + c] - own) / sum;
            CHECK_NEAR(gradient[row * 4 + c], 0.7 * (p - (c == classes[row] ? 1.0 : 0.0)), 1e-7);
        }
    }
    memcpy(same, logits, sizeof same);
    CHECK_OK(ssde_cross_entropy(&context, same, classes, 3, 4, 0.7, losses, same));
    CHECK_SAME(same, gradient, sizeof same);
    CHECK_OK(ssde_cross_entropy(&context, logits, classes, 3, 4, 0.7, losses, NULL));
    CHECK_FAILS(&context, ssde_cross_entropy(&context, logits, wrong, 3, 4, 1.0, losses, NULL), SSDE_ERROR_ARGUMENT,
                "class_of[1] is 4, wanted 0 to 3");
    CHECK_FAILS(&context, ssde_cross_entropy(&context, logits, negative, 3, 4, 1.0, losses, NULL), SSDE_ERROR_ARGUMENT,
                "class_of[2] is -1");
    CHECK_FAILS(&context, ssde_cross_entropy(&context, infinite, classes, 1, 4, 1.0, losses, NULL), SSDE_ERROR_NUMERIC,
                "row 0, logit 2");
    CHECK_STATUS(ssde_cross_entropy(NULL, NULL, classes, 3, 4, 1.0, losses, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_cross_entropy(NULL, logits, NULL, 3, 4, 1.0, losses, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_cross_entropy(NULL, logits, classes, 3, 4, 1.0, NULL, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_cross_entropy(NULL, logits, classes, 0, 4, 1.0, losses, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_cross_entropy(NULL, logits, classes, 3, 1, 1.0, losses, NULL), SSDE_ERROR_ARGUMENT);
}

enum { CLASSIFIER_ROWS = 3, CLASSIFIER_CLASSES = 4 };

static ssde_net *classifier_net(size_t height, size_t width, size_t channels, size_t classes) {
    ssde_unet_desc body = ssde_ncsnpp(height, width, channels);
    ssde_classifier_desc desc;
    ssde_net *net = NULL;
    body.nf = 8;
    body.num_res_blocks = 1;
    body.num_levels = 2;
    body.attn_resolutions[0] = 2;
    body.dropout = 0.0;
    desc = ssde_classifier_of(&body, classes);
    CHECK_OK(ssde_classifier_net_create(&net, &desc));
    return net;
}

/* log softmax of the oracle's logits at the class */
static double classifier_exact(oracle *o, const double *x, float label, float sigma, int32_t c) {
    const double *logits = oracle_forward(o, x, (double)label, (double)sigma);
    double sum = 0.0;
    int k;
    for (k = 0; k < CLASSIFIER_CLASSES; k++) sum += exp(logits[k] - logits[c]);
    return -log(sum);
}

/* Log-probabilities against the oracle, gradients against its differences, rows in any company. */
static void classifier_case(ssde_context *context) {
    static const int32_t classes[CLASSIFIER_ROWS] = {3, 0, 2};
    static const double t[CLASSIFIER_ROWS] = {0.3, 0.3, 0.8};
    static const uint64_t sample[CLASSIFIER_ROWS] = {6, 5, 7}; /* classes 0, 3, 2 */
    enum { DIM = 4 * 4 * 2 };
    ssde_net *net = classifier_net(4, 4, 2, CLASSIFIER_CLASSES);
    ssde_sde sde = ssde_ve(0.01, 20.0);
    ssde_score_net_desc desc = ssde_score_net_defaults();
    ssde_classifier *classifier = NULL;
    oracle o;
    float x[CLASSIFIER_ROWS * DIM], gradient[CLASSIFIER_ROWS * DIM], again[CLASSIFIER_ROWS * DIM];
    float log_probability[CLASSIFIER_ROWS * CLASSIFIER_CLASSES];
    size_t row, i;
    int32_t k;
    CHECK(ssde_net_output_dim(net) == CLASSIFIER_CLASSES && ssde_net_dim(net) == DIM && ssde_net_classes(net) == 0);
    oracle_from_net(&o, net);
    oracle_random_weights(&o, 3);
    desc.context = context;
    desc.max_rows = 2;
    oracle_normals(5, 1.0, CLASSIFIER_ROWS * DIM, x);
    CHECK_OK(ssde_classifier_create(&classifier, net, &sde, &desc));
    CHECK_FAILS(context, ssde_classifier_gradient(classifier, x, t, NULL, 1, gradient), SSDE_ERROR_ARGUMENT,
                "ssde_classifier_set_classes");
    CHECK_OK(ssde_classifier_set_classes(classifier, classes, CLASSIFIER_ROWS, 5));
    CHECK_OK(ssde_classifier_log_probability(classifier, x, t, CLASSIFIER_ROWS, log_probability));
    CHECK_OK(ssde_classifier_gradient(classifier, x, t, sample, CLASSIFIER_ROWS, gradient));
    for (row = 0; row < CLASSIFIER_ROWS; row++) {
        double at[DIM], direction[DIM], slope = 0.0, difference = 0.0, norm = nn_norm(gradient + row * DIM, DIM);
        uint64_t state = 5 + row;
        float label, sigma;
        int side;
        CHECK_OK(ssde_score_net_label(context, net, &sde, t[row], &label, &sigma, NULL));
        for (i = 0; i < DIM; i++) {
            at[i] = (double)x[row * DIM + i];
            direction[i] = oracle_normal(&state);
            slope += direction[i] * (double)gradient[row * DIM + i];
        }
        for (k = 0; k < CLASSIFIER_CLASSES; k++)
            CHECK_NEAR(log_probability[row * CLASSIFIER_CLASSES + (size_t)k], classifier_exact(&o, at, label, sigma, k),
                       2e-5);
        for (side = -1; side <= 1; side += 2) {
            for (i = 0; i < DIM; i++) at[i] = (double)x[row * DIM + i] + 1e-5 * side * direction[i];
            difference += side * classifier_exact(&o, at, label, sigma, classes[sample[row] - 5]) / 2e-5;
        }
        CHECK_NEAR(slope, difference, 5e-5 * norm * sqrt((double)DIM));
        CHECK_OK(ssde_classifier_gradient(classifier, x + row * DIM, t + row, sample + row, 1, again));
        CHECK_SAME(again, gradient + row * DIM, DIM * sizeof *again);
    }
    {
        static const int32_t wrong[2] = {0, 4}, null_class[1] = {-1};
        static const uint64_t unknown[1] = {8};
        CHECK_FAILS(context, ssde_classifier_set_classes(classifier, wrong, 2, 0), SSDE_ERROR_ARGUMENT,
                    "classes[1] is 4");
        CHECK_FAILS(context, ssde_classifier_set_classes(classifier, null_class, 1, 0), SSDE_ERROR_ARGUMENT, "is -1");
        CHECK_FAILS(context, ssde_classifier_gradient(classifier, x, t, unknown, 1, again), SSDE_ERROR_ARGUMENT,
                    "sample 8 has no class");
        CHECK_STATUS(ssde_classifier_gradient(NULL, x, t, NULL, 1, again), SSDE_ERROR_ARGUMENT);
        CHECK_FAILS(context, ssde_classifier_gradient(classifier, NULL, t, NULL, 1, again), SSDE_ERROR_ARGUMENT,
                    "x is");
        CHECK_FAILS(context, ssde_classifier_gradient(classifier, x, NULL, NULL, 1, again), SSDE_ERROR_ARGUMENT,
                    "t is");
        CHECK_FAILS(context, ssde_classifier_gradient(classifier, x, t, NULL, 1, NULL), SSDE_ERROR_ARGUMENT,
                    "gradient");
        CHECK_FAILS(context, ssde_classifier_log_probability(classifier, NULL, t, 1, again), SSDE_ERROR_ARGUMENT,
                    "x is");
        CHECK_FAILS(context, ssde_classifier_log_probability(classifier, x, NULL, 1, again), SSDE_ERROR_ARGUMENT,
                    "t is");
        CHECK_FAILS(context, ssde_classifier_log_probability(classifier, x, t, 1, NULL), SSDE_ERROR_ARGUMENT,
                    "log_probability");
        x[2 * DIM] = (float)NAN; /* the first row of the second pass */
        CHECK_FAILS(context, ssde_classifier_log_probability(classifier, x, t, CLASSIFIER_ROWS, log_probability),
                    SSDE_ERROR_NUMERIC, "row 2");
        CHECK_STATUS(ssde_classifier_set_classes(NULL, classes, 1, 0), SSDE_ERROR_ARGUMENT);
    }
    ssde_classifier_destroy(classifier);
    ssde_classifier_destroy(NULL);
    oracle_close(&o);
}

static void test_classifier(void) {
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_train_desc train = ssde_train_defaults(&sde, 0);
    ssde_unet_desc body = conditioning_unet(SSDE_NOISE_EMBEDDING, 0);
    ssde_classifier_desc desc;
    ssde_classifier *classifier = NULL;
    ssde_score_net *score_net = NULL;
    ssde_trainer *trainer = NULL;
    ssde_net *net, *unet;
    int tier;
    for (tier = 0; nn_tier(tier, &context); tier++) classifier_case(&context);
    net = classifier_net(4, 4, 2, 3);
    unet = conditioning_net(SSDE_NOISE_EMBEDDING, 3, 1);
    CHECK_STATUS(ssde_score_net_create(&score_net, net, &sde, NULL), SSDE_ERROR_SHAPE);
    CHECK_STATUS(ssde_classifier_create(&classifier, unet, &sde, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_classifier_create(&classifier, NULL, &sde, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_classifier_create(&classifier, net, NULL, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_classifier_create(NULL, net, &sde, NULL), SSDE_ERROR_ARGUMENT);
    CHECK(classifier == NULL);
    train.context = &context;
    CHECK_FAILS(&context, ssde_trainer_create(&trainer, net, &sde, &train), SSDE_ERROR_SHAPE, "no score");
    train.classifier = 1;
    CHECK_FAILS(&context, ssde_trainer_create(&trainer, unet, &sde, &train), SSDE_ERROR_ARGUMENT, "desc.classifier");
    train.class_dropout = 0.5;
    CHECK_FAILS(&context, ssde_trainer_create(&trainer, net, &sde, &train), SSDE_ERROR_ARGUMENT, "class_dropout");
    train.class_dropout = 1.5;
    CHECK_FAILS(&context, ssde_trainer_create(&trainer, net, &sde, &train), SSDE_ERROR_ARGUMENT,
                "class_dropout is 1.5");
    CHECK(trainer == NULL);
    ssde_net_destroy(net);
    ssde_net_destroy(unet);
    body.context = &context;
    desc = ssde_classifier_of(&body, 1);
    CHECK_FAILS(&context, ssde_classifier_net_create(&net, &desc), SSDE_ERROR_ARGUMENT, "classes is 1");
    desc = ssde_classifier_of(&body, 3);
    desc.body.classes = 2;
    CHECK_FAILS(&context, ssde_classifier_net_create(&net, &desc), SSDE_ERROR_ARGUMENT, "body.classes is 2");
    desc = ssde_classifier_of(&body, 3);
    desc.body.nf = 3;
    CHECK_FAILS(&context, ssde_classifier_net_create(&net, &desc), SSDE_ERROR_ARGUMENT, "nf is 3");
    CHECK(net == NULL);
    CHECK_STATUS(ssde_classifier_net_create(&net, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_classifier_net_create(NULL, &desc), SSDE_ERROR_ARGUMENT);
}

/* Two classes of 4 x 4 images, +-mu 0.5 wide, under VP: p_t(class 1 | x) = 1 / (1 + exp(-l)), l = 2 m mu . x / v, v =
   m^2 / 4 + std^2. Training reaches that and, on average over x, its gradient p (1 - p) 2 m mu / v:
   of p, since where p is small the cross-entropy hardly knows log p. */
static void test_classifier_posterior(void) {
    static const int32_t ones[1] = {1};
    enum { DIM = 16, BATCH = 32, STEPS = 600, POINTS = 400 };
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_train_desc desc = ssde_train_defaults(&sde, 0);
    ssde_net *net = classifier_net(4, 4, 1, 2), *read = NULL;
    ssde_trainer *trainer = NULL;
    ssde_classifier *classifier = NULL;
    float x[BATCH * DIM];
    ssde_batch batch = ssde_batch_of(x, BATCH);
    double mu[DIM], mean[DIM] = {0.0}, error = 0.0, along = 0.0, exact_along = 0.0, square = 0.0, loss;
    int32_t classes[BATCH];
    uint64_t state = 1;
    int step, steps = check_quick ? 100 : STEPS, i, j;
    for (j = 0; j < DIM; j++) mu[j] = j % 4 < 2 ? 0.25 : -0.25;
    desc.batch = BATCH;
    desc.lr = 5e-3;
    desc.warmup = 0;
    desc.ema_rate = 0.98;
    desc.classifier = 1;
    batch.classes = classes;
    CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
    for (step = 0; step < steps; step++) {
        for (i = 0; i < BATCH; i++) {
            classes[i] = oracle_uniform(&state) < 0.5;
            for (j = 0; j < DIM; j++)
                x[i * DIM + j] = (float)((classes[i] ? mu[j] : -mu[j]) + 0.5 * oracle_normal(&state));
        }
        CHECK_OK(ssde_train_step(trainer, &batch, &loss));
    }
    classes[5] = -1;
    CHECK_STATUS(ssde_train_step(trainer, &batch, &loss), SSDE_ERROR_ARGUMENT);
    batch.classes = NULL;
    CHECK_STATUS(ssde_trainer_evaluate(trainer, &batch, 1, &loss, NULL), SSDE_ERROR_ARGUMENT);
    batch.classes = classes;
    classes[5] = 0;
    CHECK_OK(ssde_trainer_evaluate(trainer, &batch, 1, &loss, NULL));
    CHECK(loss > 0.0 && loss < log(2.0));
    CHECK_OK(ssde_trainer_save_model(trainer, CONDITIONING_PATH));
    ssde_trainer_destroy(trainer);
    ssde_net_destroy(net);
    CHECK_OK(ssde_net_load(NULL, &read, &sde, CONDITIONING_PATH));
    CHECK(read && ssde_net_output_dim(read) == 2);
    CHECK_OK(ssde_classifier_create(&classifier, read, &sde, NULL));
    CHECK_OK(ssde_classifier_set_classes(classifier, ones, 1, 0));
    for (i = 0; i < POINTS; i++) {
        const double t = 0.1 + 0.2 * (i % 4);
        float point[DIM], log_probability[2], gradient[DIM];
        double variance, side = oracle_uniform(&state) < 0.5 ? 1.0 : -1.0, logit = 0.0, p;
        ssde_coefficients at;
        CHECK_OK(ssde_coefficients_at(NULL, &sde, t, &at));
        variance = at.mean * at.mean * 0.25 + at.std * at.std;
        for (j = 0; j < DIM; j++) {
            point[j] = (float)(side * at.mean * mu[j] + sqrt(variance) * oracle_normal(&state));
            logit += 2.0 * at.mean * mu[j] * (double)point[j] / variance;
        }
        p = 1.0 / (1.0 + exp(-logit));
        CHECK_OK(ssde_classifier_log_probability(classifier, point, &t, 1, log_probability));
        CHECK_NEAR(exp((double)log_probability[0]) + exp((double)log_probability[1]), 1.0, 1e-6);
        CHECK_OK(ssde_classifier_gradient(classifier, point, &t, NULL, 1, gradient));
        error += pow(exp((double)log_probability[1]) - p, 2.0) / (double)POINTS;
        for (j = 0; j < DIM; j++) {
            double exact = p * (1.0 - p) * 2.0 * at.mean * mu[j] / variance, found = p * (double)gradient[j];
            along += found * mu[j] / (double)POINTS;
            exact_along += exact * mu[j] / (double)POINTS;
            mean[j] += found / (double)POINTS;
        }
    }
    for (j = 0; j < DIM; j++) square += mean[j] * mean[j];
    /* a guess errs by 0.34; these are what that much training leaves, with a margin. |mu| = 1 */
    CHECK_NEAR(sqrt(error), 0.0, check_quick ? 0.25 : 0.1);
    CHECK_RELATIVE(along, exact_along, check_quick ? 0.5 : 0.25);
    CHECK(along > (check_quick ? 0.9 : 0.95) * sqrt(square));
    ssde_classifier_destroy(classifier);
    ssde_net_destroy(read);
    remove(CONDITIONING_PATH);
}

/* ---- configurations ---- */

/* What the reference builds in PyTorch from its configs/: parameters in all and tensors of the network, and settings.
 */
static const struct {
    const char *name;
    size_t weights, tensors;
    ssde_sde_kind sde;
    int continuous, reduce_mean;
    size_t batch;
    double lr, ema_rate, sigma_max;
    int num_scales;
    size_t size;
    int centered;
    double dropout;
} nn_configurations[] = {
    {"subvp/cifar10_ddpm_continuous", 35218947, 308, SSDE_SUBVP, 1, 1, 128, 0.0002, 0.9999, 50.0, 1000, 32, 1, 0.1},
    {"subvp/cifar10_ddpmpp_continuous", 61804419, 564, SSDE_SUBVP, 1, 1, 128, 0.0002, 0.9999, 50.0, 1000, 32, 1, 0.1},
    {"subvp/cifar10_ddpmpp_deep_continuous", 106632579, 956, SSDE_SUBVP, 1, 1, 128, 0.0002, 0.9999, 50.0, 1000, 32, 1,
     0.1},
    {"subvp/cifar10_ncsnpp_continuous", 62693251, 570, SSDE_SUBVP, 1, 1, 128, 0.0002, 0.9999, 50.0, 1000, 32, 1, 0.1},
    {"subvp/cifar10_ncsnpp_deep_continuous", 107521411, 962, SSDE_SUBVP, 1, 1, 128, 0.0002, 0.9999, 50.0, 1000, 32, 1,
     0.1},
    {"ve/bedroom_ncsnpp_continuous", 65574549, 645, SSDE_VE, 1, 0, 64, 0.0002, 0.999, 378.0, 2000, 256, 0, 0.0},
    {"ve/celeba_ncsnpp", 62693251, 570, SSDE_VE, 0, 0, 128, 0.0002, 0.999, 90.0, 1000, 64, 0, 0.1},
    {"ve/celebahq_256_ncsnpp_continuous", 65574549, 645, SSDE_VE, 1, 0, 64, 0.0002, 0.999, 348.0, 2000, 256, 0, 0.0},
    {"ve/celebahq_ncsnpp_continuous", 105785896, 553, SSDE_VE, 1, 0, 8, 0.0002, 0.9999, 1348.0, 2000, 1024, 0, 0.0},
    {"ve/church_ncsnpp_continuous", 65574549, 645, SSDE_VE, 1, 0, 64, 0.0002, 0.999, 380.0, 2000, 256, 0, 0.0},
    {"ve/cifar10_ddpm", 35218947, 308, SSDE_VE, 0, 0, 128, 0.0002, 0.999, 50.0, 1000, 32, 0, 0.1},
    {"ve/cifar10_ncsnpp", 62693251, 570, SSDE_VE, 0, 0, 128, 0.0002, 0.999, 50.0, 1000, 32, 0, 0.1},
    {"ve/cifar10_ncsnpp_continuous", 62758915, 571, SSDE_VE, 1, 0, 128, 0.0002, 0.999, 50.0, 1000, 32, 0, 0.1},
    {"ve/cifar10_ncsnpp_deep_continuous", 107587075, 963, SSDE_VE, 1, 0, 128, 0.0002, 0.999, 50.0, 1000, 32, 0, 0.1},
    {"ve/ffhq_256_ncsnpp_continuous", 65574549, 645, SSDE_VE, 1, 0, 64, 0.0002, 0.999, 348.0, 2000, 256, 0, 0.0},
    {"ve/ffhq_ncsnpp_continuous", 105785896, 553, SSDE_VE, 1, 1, 8, 0.0002, 0.9999, 1348.0, 2000, 1024, 0, 0.0},
    {"vp/cifar10_ddpmpp", 61804419, 564, SSDE_VP, 0, 1, 128, 0.0002, 0.9999, 50.0, 1000, 32, 1, 0.1},
    {"vp/cifar10_ddpmpp_continuous", 61804419, 564, SSDE_VP, 1, 1, 128, 0.0002, 0.9999, 50.0, 1000, 32, 1, 0.1},
    {"vp/cifar10_ddpmpp_deep_continuous", 106632579, 956, SSDE_VP, 1, 1, 128, 0.0002, 0.9999, 50.0, 1000, 32, 1, 0.1},
    {"vp/cifar10_ncsnpp", 62693251, 570, SSDE_VP, 0, 1, 128, 0.0002, 0.9999, 50.0, 1000, 32, 1, 0.1},
    {"vp/cifar10_ncsnpp_continuous", 62693251, 570, SSDE_VP, 1, 1, 128, 0.0002, 0.9999, 50.0, 1000, 32, 1, 0.1},
    {"vp/cifar10_ncsnpp_deep_continuous", 107521411, 962, SSDE_VP, 1, 1, 128, 0.0002, 0.9999, 50.0, 1000, 32, 1, 0.1},
    {"vp/ddpm/bedroom", 111569923, 430, SSDE_VP, 0, 1, 64, 2e-05, 0.9999, 378.0, 1000, 256, 1, 0.0},
    {"vp/ddpm/celebahq", 111569923, 430, SSDE_VP, 0, 1, 64, 2e-05, 0.9999, 378.0, 1000, 256, 1, 0.0},
    {"vp/ddpm/church", 111569923, 430, SSDE_VP, 0, 1, 64, 2e-05, 0.9999, 378.0, 1000, 256, 1, 0.0},
    {"vp/ddpm/cifar10", 35218947, 308, SSDE_VP, 0, 1, 128, 0.0002, 0.9999, 50.0, 1000, 32, 1, 0.1},
    {"vp/ddpm/cifar10_continuous", 35218947, 308, SSDE_VP, 1, 1, 128, 0.0002, 0.9999, 50.0, 1000, 32, 1, 0.1},
    {"vp/ddpm/cifar10_unconditional", 34890243, 304, SSDE_VP, 0, 1, 128, 0.0002, 0.9999, 50.0, 1000, 32, 1, 0.1},
};

static void test_configurations(void) {
    ssde_context context = ssde_context_defaults();
    ssde_unet_desc shape;
    ssde_train_desc train;
    ssde_sde sde;
    size_t count = sizeof nn_configurations / sizeof nn_configurations[0], i, j;
    for (i = 0; i < count; i++) {
        ssde_net *net = NULL;
        ssde_status built;
        CHECK_OK(ssde_configuration(&context, nn_configurations[i].name, &shape, &sde, &train));
        for (j = 0; ssde_configuration_name(j) && strcmp(ssde_configuration_name(j), nn_configurations[i].name);) j++;
        CHECK(ssde_configuration_name(j) != NULL);
        shape = ssdei_unet_as_built(&shape);
        built = ssdei_unet_build(&net, &shape); /* the weights themselves would take up to 450 MB */
        if (!nn_built(built, nn_configurations[i].weights)) {
            ssde_net_destroy(net);
            continue;
        }
        CHECK(net && net->status == SSDE_OK && ssdei_is_node(net, net->output));
        CHECK(ssde_net_weight_count(net) == nn_configurations[i].weights);
        CHECK(ssde_net_parameter_count(net) == nn_configurations[i].tensors);
        ssde_net_destroy(net);
        CHECK(sde.kind == nn_configurations[i].sde && sde.num_scales == nn_configurations[i].num_scales);
        CHECK_OK(ssde_sde_check(&context, &sde));
        if (sde.kind == SSDE_VE)
            CHECK(sde.sigma_min == 0.01 && sde.sigma_max == nn_configurations[i].sigma_max);
        else
            CHECK(sde.beta_min == 0.1 && sde.beta_max == 20.0);
        CHECK(train.loss.discrete == !nn_configurations[i].continuous);
        CHECK(train.loss.half_sum == !nn_configurations[i].reduce_mean);
        CHECK(train.batch == nn_configurations[i].batch && train.lr == nn_configurations[i].lr);
        CHECK(train.ema_rate == nn_configurations[i].ema_rate && train.warmup == 5000 && train.grad_clip == 1.0);
        CHECK(train.beta1 == 0.9 && train.adam_eps == 1e-8 && train.weight_decay == 0.0 && train.random_flip);
        CHECK(train.low == (nn_configurations[i].centered ? -1.0 : 0.0) && train.high == 1.0);
        CHECK(train.context == &context && shape.context == &context);
        CHECK(shape.width == nn_configurations[i].size && shape.height == shape.width && shape.channels == 3);
        CHECK(shape.centered == nn_configurations[i].centered && shape.dropout == nn_configurations[i].dropout);
        CHECK(shape.scale_by_sigma == (sde.kind == SSDE_VE));
    }
    CHECK(ssde_configuration_name(count) && !strncmp(ssde_configuration_name(count), "ve/ncsn/", 8)); /* the others */
    CHECK_OK(ssde_configuration(NULL, "vp/ddpm/cifar10", NULL, NULL, NULL));
    CHECK_FAILS(&context, ssde_configuration(&context, "vp/cifar10", &shape, &sde, &train), SSDE_ERROR_ARGUMENT,
                "no configuration 'vp/cifar10'");
    CHECK(strstr(context.error, "ssde_configuration_name") != NULL); /* the text fits */
    CHECK_STATUS(ssde_configuration(NULL, NULL, &shape, &sde, &train), SSDE_ERROR_ARGUMENT);
}

#define TEST_NN_NETWORKS_LIST(X)        \
    X(networks_golden_ddpmpp_vp)        \
    X(networks_golden_ddpmpp_subvp)     \
    X(networks_golden_ncsnpp_ve)        \
    X(networks_golden_ncsnpp_ve_skip)   \
    X(networks_golden_ddpm_vp)          \
    X(networks_golden_flags)            \
    X(networks_unet_flags)              \
    X(networks_unet_resampling)         \
    X(networks_unet_errors)             \
    X(networks_mlp)                     \
    X(networks_oracle)                  \
    X(networks_init_scale)              \
    X(score_net_golden)                 \
    X(score_net_memory)                 \
    X(score_net)                        \
    X(score_net_outputs)                \
    X(score_net_edm_label)              \
    X(score_net_output_solvers)         \
    X(score_net_output_errors)          \
    X(score_net_ways)                   \
    X(score_net_classes)                \
    X(score_net_guidance)               \
    X(score_net_learned)                \
    X(score_net_denoised_at_pure_noise) \
    X(score_net_learned_refused)        \
    X(score_net_discrete_models)        \
    X(score_net_discrete_logarithms)    \
    X(score_net_discrete_index)         \
    X(classifier_cross_entropy)         \
    X(classifier)                       \
    X(classifier_posterior)             \
    X(configurations)

#endif
