/* NCSN and NCSNv2: networks, configurations, model files, training, sampling, and the rules for their levels. */
#ifndef TEST_NN_REFINENET_H
#define TEST_NN_REFINENET_H

#include "check.h"
#include "fixtures_core.h"
#include "fixtures_nn.h"
#include "golden.h"
#include "test_nn_networks.h"

enum { REFINE_ROWS = 3, REFINE_DIM = 3 * 16 * 16 };
#define REFINE_FILE "scoresde_refinenet_test.safetensors"

static ssde_refinenet_desc refine_small(ssde_context *context, int ncsn) {
    ssde_refinenet_desc desc = ncsn ? ssde_ncsn(8, 8, 1) : ssde_ncsnv2(8, 8, 1);
    desc.nf = 4;
    desc.num_scales = 10;
    desc.sigma_max = 1.0;
    desc.context = context;
    return desc;
}

static ssde_sde refine_sde(const ssde_refinenet_desc *desc) {
    ssde_sde sde = ssde_ve(desc->sigma_min, desc->sigma_max);
    sde.num_scales = desc->num_scales;
    return sde;
}

/* ---- golden networks ---- */

/* Labels, sigmas, scores and their VJPs. */
static void refine_golden_score(const nn_golden *golden, ssde_context *context) {
    float x[REFINE_ROWS * REFINE_DIM], v[REFINE_ROWS * REFINE_DIM], out[REFINE_ROWS * REFINE_DIM];
    float expected[REFINE_ROWS * REFINE_DIM], label, sigma, labels[REFINE_ROWS];
    double t[REFINE_ROWS], sigmas[20];
    size_t count = REFINE_ROWS * golden->dim, i;
    ssde_score_net_desc desc = ssde_score_net_defaults();
    ssde_score_net *score_net = NULL;
    ssde_score_model model;
    golden_doubles(golden->io, "t", t, REFINE_ROWS);
    golden_floats(golden->io, "labels", labels, REFINE_ROWS);
    golden_doubles(golden->io, "sigmas", sigmas, (size_t)golden->sde.num_scales);
    for (i = 0; i < REFINE_ROWS; i++) {
        CHECK_OK(ssde_score_net_label(context, golden->net, &golden->sde, t[i], &label, &sigma, NULL));
        CHECK(label == labels[i]);
        CHECK_RELATIVE(sigma, sigmas[(int)label], 1e-7);
    }
    golden_images(golden->io, "x", x, REFINE_ROWS, golden->height, golden->width, golden->channels);
    golden_images(golden->io, "vjp_v", v, REFINE_ROWS, golden->height, golden->width, golden->channels);
    desc.context = context;
    desc.max_rows = REFINE_ROWS;
    desc.convolution = nn_convolution;
    CHECK_OK(ssde_score_net_create(&score_net, golden->net, &golden->sde, &desc));
    if (!score_net) return;
    model = ssde_score_net_model(score_net);
    CHECK_OK(model.score(model.user, x, t, NULL, REFINE_ROWS, 1, out));
    golden_images(golden->io, "score", expected, REFINE_ROWS, golden->height, golden->width, golden->channels);
    CHECK_ARRAY(out, expected, count, 2e-5);
    for (i = 0; i < REFINE_ROWS; i++) /* low noise has large scores: each by itself */
        CHECK_ARRAY(out + i * golden->dim, expected + i * golden->dim, golden->dim, 2e-5);
    CHECK_OK(model.vjp(model.user, v, REFINE_ROWS, out));
    golden_images(golden->io, "vjp_x", expected, REFINE_ROWS, golden->height, golden->width, golden->channels);
    for (i = 0; i < REFINE_ROWS; i++) CHECK_ARRAY(out + i * golden->dim, expected + i * golden->dim, golden->dim, 2e-5);
    ssde_score_net_destroy(score_net);
}

/* SMLD's loss, half the sum, and its gradients. */
static void refine_golden_loss(const nn_golden *golden, ssde_context *context) {
    float x0[REFINE_ROWS * REFINE_DIM], z[REFINE_ROWS * REFINE_DIM], x[REFINE_ROWS * REFINE_DIM];
    float out[REFINE_ROWS * REFINE_DIM], label[REFINE_ROWS], sigma[REFINE_ROWS];
    float *gradient = (float *)calloc(ssde_net_weight_count(golden->net), sizeof *gradient);
    double t[REFINE_ROWS], losses[REFINE_ROWS], expected[REFINE_ROWS], norm;
    size_t i, parameters = 0;
    ssde_loss_desc loss = ssde_loss_defaults();
    ssde_run *run = nn_run(golden->net, context, SSDE_RUN_TRAIN, REFINE_ROWS);
    const golden_tensor *tensor = NULL;
    loss.half_sum = loss.discrete = 1;
    loss.output = ssde_net_output(golden->net, NULL);
    loss.context = context;
    CHECK(loss.output == SSDE_PREDICT_SCORE && ssde_net_discrete(golden->net));
    golden_images(golden->io, "dsm_x0", x0, REFINE_ROWS, golden->height, golden->width, golden->channels);
    golden_images(golden->io, "dsm_z", z, REFINE_ROWS, golden->height, golden->width, golden->channels);
    golden_doubles(golden->io, "t", t, REFINE_ROWS);
    for (i = 0; i < REFINE_ROWS; i++)
        CHECK_OK(ssde_score_net_label(context, golden->net, &golden->sde, t[i], &label[i], &sigma[i], NULL));
    CHECK_OK(ssde_loss_perturb(&golden->sde, &loss, x0, z, t, REFINE_ROWS, golden->dim, x));
    CHECK_OK(ssde_run_forward(run, x, label, sigma, REFINE_ROWS, 0, 0, NULL, out));
    CHECK_OK(ssde_loss(&golden->sde, &loss, out, x0, z, t, NULL, REFINE_ROWS, golden->dim, 1.0 / (double)REFINE_ROWS,
                       losses, out));
    golden_doubles(golden->io, "dsm_losses", expected, REFINE_ROWS);
    for (i = 0; i < REFINE_ROWS; i++) CHECK_RELATIVE(losses[i], expected[i], 2e-5);
    CHECK_OK(ssde_run_backward(run, out, NULL, gradient));
    golden_doubles(golden->io, "grad_norm", &norm, 1);
    CHECK_RELATIVE(nn_norm(gradient, ssde_net_weight_count(golden->net)), norm, 1e-4);
    while ((tensor = golden_next(golden->io, tensor, "grad/")) != NULL) {
        size_t at = ssdei_net_find_parameter(golden->net, tensor->name + 5);
        float *wanted = (float *)calloc(2 * tensor->count, sizeof *wanted), *actual = wanted + tensor->count;
        golden_floats(golden->io, tensor->name, wanted, tensor->count);
        CHECK_OK(ssde_net_get_gradient(golden->net, at, gradient, actual));
        CHECK_ARRAY(actual, wanted, tensor->count, 1e-4);
        parameters++;
        free(wanted);
    }
    CHECK(parameters >= 20);
    free(gradient);
    ssde_run_destroy(run);
}

/* Names and shapes are the state dict's, in its order. */
static void refine_golden_order(const ssde_net *net, const char *path) {
    golden_file *file = golden_open(path);
    const golden_tensor *tensor = NULL;
    size_t i = 0, offset = 0;
    int axis;
    while ((tensor = golden_next(file, tensor, "")) != NULL) {
        const ssde_parameter *parameter = ssde_net_parameter(net, i);
        if (!strcmp(tensor->name, "sigmas")) continue;
        CHECK(parameter && !strcmp(parameter->name, tensor->name) && parameter->rank == tensor->rank);
        for (axis = 0; parameter && axis < tensor->rank; axis++) CHECK(parameter->shape[axis] == tensor->shape[axis]);
        CHECK(parameter && parameter->trainable && net->parameters[i].offset == offset);
        offset += tensor->count;
        i++;
    }
    CHECK(i == ssde_net_parameter_count(net) && offset == ssde_net_weight_count(net));
    golden_close(file);
}

static void refine_golden(const char *name) {
    ssde_context context;
    nn_golden golden;
    char path[160];
    int tier, convolution;
    snprintf(path, sizeof path, "tests/golden/%s.weights.safetensors", name);
    for (convolution = SSDE_CONVOLUTION_DIRECT; convolution <= SSDE_CONVOLUTION_WINOGRAD; convolution++) {
        nn_convolution = (ssde_convolution)convolution;
        for (tier = 0; nn_tier(tier, &context); tier++) {
            if (nn_golden_open(&golden, &context, name)) {
                if (!tier) refine_golden_order(golden.net, path);
                refine_golden_score(&golden, &context);
                refine_golden_loss(&golden, &context);
            }
            nn_golden_close(&golden);
        }
    }
    nn_convolution = SSDE_CONVOLUTION_AUTO;
}

static void test_networks_golden_ncsn(void) { refine_golden("ncsn"); }
static void test_networks_golden_ncsnv2(void) { refine_golden("ncsnv2"); }

/* ---- flags that the golden networks lack (refinenet_flags.safetensors names its source) ---- */

enum { REFINE_CASES = 13, REFINE_FLAGS_DIM = 2 * 16 * 24, REFINE_MOST_PARAMETERS = 256 };

/* nn_flags_fill, for which a norm's alpha and gamma are weights. */
static void refine_fill(uint32_t index, const ssde_parameter *info, float *values) {
    ssde_parameter named = *info;
    const char *dot = strrchr(info->name, '.');
    if (dot && (!strcmp(dot, ".alpha") || !strcmp(dot, ".gamma"))) strcpy(named.name, "a.weight");
    nn_flags_fill(index, &named, values);
}

static void refine_fill_net(ssde_net *net) {
    size_t i;
    for (i = 0; i < ssde_net_parameter_count(net); i++) {
        const ssde_parameter *info = ssde_net_parameter(net, i);
        float *values = (float *)malloc(info->count * sizeof *values);
        refine_fill((uint32_t)i, info, values);
        CHECK_OK(ssde_net_set(net, i, values));
        free(values);
    }
}

static ssde_net *refine_flags_net(int which, ssde_context *context, ssde_refinenet_desc *desc) {
    ssdei_fields fields;
    ssde_tensor_file *metadata = NULL;
    ssde_net *net = NULL;
    char key[16];
    memset(desc, 0, sizeof *desc);
    snprintf(key, sizeof key, "%d", which);
    CHECK_OK(ssde_tensor_file_open(NULL, &metadata, "tests/golden/refinenet_flags.safetensors"));
    if (!metadata) return NULL;
    fields = ssdei_fields_over(SSDEI_FIELDS_READ, NULL, ssde_tensor_file_metadata(metadata, key), key);
    ssdei_refinenet_fields(&fields, desc);
    CHECK_OK(fields.status);
    desc->context = context;
    CHECK_OK(ssde_refinenet_create(&net, desc));
    ssde_tensor_file_close(metadata);
    if (net) refine_fill_net(net);
    return net;
}

static void refine_image(uint32_t index, const ssde_refinenet_desc *desc, float scale, float *image) {
    float planar[REFINE_FLAGS_DIM];
    ssde_parameter info;
    size_t i;
    memset(&info, 0, sizeof info);
    info.rank = 4;
    info.shape[0] = 1;
    info.count = desc->height * desc->width * desc->channels;
    nn_flags_fill(index, &info, planar);
    for (i = 0; i < info.count; i++) planar[i] *= scale;
    golden_to_nhwc(planar, image, 1, desc->height, desc->width, desc->channels);
}

/* v output, with weights moved by `step` along a direction. */
static double refine_objective(ssde_net *net, ssde_run *run, const float *weights, const float *direction, float step,
                               const float *x, const float *v, float label, float sigma) {
    float out[REFINE_FLAGS_DIM];
    size_t i;
    double sum = 0.0;
    for (i = 0; i < net->weight_count; i++) net->weights[i] = weights[i] + step * direction[i];
    CHECK_OK(ssde_run_forward(run, x, &label, &sigma, 1, 0, 0, NULL, out));
    for (i = 0; i < ssde_net_dim(net); i++) sum += (double)v[i] * (double)out[i];
    memcpy(net->weights, weights, net->weight_count * sizeof *weights);
    return sum;
}

/* Along the gradient itself the objective grows by its square. The step is short, since relu and max have kinks; a
   hundredth is float's rounding of such a difference. */
static void refine_difference(ssde_net *net, ssde_run *run, const float *gradient, const float *x, const float *v,
                              float label, float sigma) {
    size_t count = net->weight_count;
    float *weights = (float *)malloc(count * sizeof *weights), step;
    double norm = nn_norm(gradient, count), slope, sides[2];
    memcpy(weights, net->weights, count * sizeof *weights);
    step = (float)(1e-6 * nn_norm(weights, count) / norm);
    sides[0] = refine_objective(net, run, weights, gradient, -step, x, v, label, sigma);
    sides[1] = refine_objective(net, run, weights, gradient, step, x, v, label, sigma);
    slope = (sides[1] - sides[0]) / (2.0 * (double)step);
    CHECK_RELATIVE(slope, norm * norm, 0.01);
    free(weights);
}

/* Output and VJP within 2e-5; the norm of the gradient by each parameter, in the reference's order, within 1e-4. */
static void refine_flags_case(const golden_file *file, int which, ssde_context *context) {
    static const ssde_run_mode modes[2] = {SSDE_RUN_VJP, SSDE_RUN_TRAIN};
    ssde_refinenet_desc desc;
    ssde_net *net = refine_flags_net(which, context, &desc);
    float x[REFINE_FLAGS_DIM], v[REFINE_FLAGS_DIM], out[REFINE_FLAGS_DIM], vjp[REFINE_FLAGS_DIM];
    float expected[REFINE_FLAGS_DIM], label, sigma, norms[REFINE_MOST_PARAMETERS], *gradient;
    char name[32];
    size_t dim;
    int m;
    dim = ssde_net_dim(net);
    if (!net || dim > REFINE_FLAGS_DIM || ssde_net_parameter_count(net) > REFINE_MOST_PARAMETERS) {
        check_report(__FILE__, __LINE__, "case %d is no network of that size", which);
        ssde_net_destroy(net);
        return;
    }
#define REFINE_NAME(part) (snprintf(name, sizeof name, "%d." part, which), name)
    golden_floats(file, REFINE_NAME("label"), &label, 1);
    sigma = (float)ssdei_levels_sigma(&net->levels, (int)label);
    golden_floats(file, REFINE_NAME("gradient_norms"), norms, ssde_net_parameter_count(net));
    refine_image(1000, &desc, 0.5f, x);
    refine_image(1001, &desc, 1.0f, v);
    gradient = (float *)calloc(ssde_net_weight_count(net), sizeof *gradient);
    for (m = 0; m < 2; m++) {
        ssde_run *run = nn_run(net, context, modes[m], 1);
        CHECK_OK(ssde_run_forward(run, x, &label, &sigma, 1, 0, 0, NULL, out));
        CHECK_OK(ssde_run_backward(run, v, m ? NULL : vjp, m ? gradient : NULL));
        if (m) refine_difference(net, run, gradient, x, v, label, sigma);
        ssde_run_destroy(run);
    }
    golden_images(file, REFINE_NAME("out"), expected, 1, desc.height, desc.width, desc.channels);
    CHECK_ARRAY(out, expected, dim, 2e-5);
    golden_images(file, REFINE_NAME("vjp"), expected, 1, desc.height, desc.width, desc.channels);
    CHECK_ARRAY(vjp, expected, dim, 2e-5);
#undef REFINE_NAME
    nn_check_norms(net, gradient, norms);
    free(gradient);
    ssde_net_destroy(net);
}

static void test_networks_refinenet_flags(void) {
    golden_file *file = golden_open("tests/golden/refinenet_flags.safetensors");
    ssde_context context;
    int which, tier, convolution;
    for (which = 0; which < REFINE_CASES; which += check_quick ? 2 : 1)
        for (convolution = SSDE_CONVOLUTION_DIRECT; convolution <= SSDE_CONVOLUTION_WINOGRAD; convolution++) {
            nn_convolution = (ssde_convolution)convolution;
            for (tier = 0; nn_tier(tier, &context); tier++) refine_flags_case(file, which, &context);
        }
    nn_convolution = SSDE_CONVOLUTION_AUTO;
    golden_close(file);
}

/* ---- networks ---- */

/* Values begin as PyTorch's: convolutions and their biases uniform within 1 / sqrt(fan in). */
static void test_networks_refinenet_start(void) {
    ssde_refinenet_desc desc = ssde_ncsnv2(8, 8, 3);
    ssde_net *net = NULL;
    const char *const names[2] = {"res3.0.shortcut.weight", "res3.0.shortcut.bias"};
    int which;
    desc.nf = 32;
    desc.seed = 5;
    CHECK_OK(ssde_refinenet_create(&net, &desc));
    for (which = 0; net && which < 2; which++) {
        size_t at = ssdei_net_find_parameter(net, names[which]), count, i;
        const ssde_parameter *info = ssde_net_parameter(net, at);
        float *values;
        double limit = 1.0 / sqrt(9.0 * 64.0), largest = 0.0, square = 0.0;
        CHECK(info != NULL);
        if (!info) break;
        count = info->count;
        values = (float *)malloc(count * sizeof *values);
        CHECK_OK(ssde_net_get(net, at, values));
        for (i = 0; i < count; i++) {
            if (largest < fabs((double)values[i])) largest = fabs((double)values[i]);
            square += (double)values[i] * (double)values[i];
        }
        CHECK(largest <= limit && largest > 0.9 * limit);
        CHECK_RELATIVE(square / (double)count, limit * limit / 3.0, 5.0 * sqrt(0.8 / (double)count));
        free(values);
    }
    ssde_net_destroy(net);
}

static void refine_refused(ssde_refinenet_desc desc, ssde_status status, const char *words) {
    ssde_context context = ssde_context_defaults();
    ssde_net *net = (ssde_net *)&context;
    desc.context = &context;
    CHECK_FAILS(&context, ssde_refinenet_create(&net, &desc), status, words);
    CHECK(!net && !ssde_refinenet_memory(&desc));
}

static void test_networks_refinenet_errors(void) {
    const ssde_refinenet_desc small = refine_small(NULL, 0), ncsn = refine_small(NULL, 1);
    ssde_refinenet_desc wrong;
    ssde_net *net = NULL;
#define REFINE_WRONG(from, field, value, status, words) \
    wrong = from;                                       \
    wrong.field = value;                                \
    refine_refused(wrong, status, words)
    REFINE_WRONG(small, height, 15, SSDE_ERROR_SHAPE, "height is 15, wanted a multiple of 2");
    REFINE_WRONG(small, width, 9, SSDE_ERROR_SHAPE, "width is 9, wanted a multiple of 2");
    REFINE_WRONG(ssde_ncsnv2_128(8, 8, 3), width, 6, SSDE_ERROR_SHAPE, "width is 6, wanted a multiple of 4");
    REFINE_WRONG(ssde_ncsnv2_256(8, 8, 3), height, 12, SSDE_ERROR_SHAPE, "height is 12, wanted a multiple of 8");
    REFINE_WRONG(small, channels, 0, SSDE_ERROR_SHAPE, "channels 0");
    REFINE_WRONG(small, nf, 1, SSDE_ERROR_ARGUMENT, "nf is 1");
    REFINE_WRONG(small, nf, 4097, SSDE_ERROR_ARGUMENT, "nf is 4097");
    REFINE_WRONG(small, nonlinearity, SSDE_SOFTPLUS, SSDE_ERROR_ARGUMENT, "nonlinearity is");
    REFINE_WRONG(ncsn, normalization, SSDE_NORMALIZE_VARIANCE, SSDE_ERROR_UNSUPPORTED, "conditional InstanceNorm++");
    REFINE_WRONG(small, num_scales, 1, SSDE_ERROR_ARGUMENT, "num_scales is 1");
    REFINE_WRONG(small, sigma_min, 2.0, SSDE_ERROR_ARGUMENT, "sigma_min is 2 and sigma_max 1");
    REFINE_WRONG(small, sigma_max, HUGE_VAL, SSDE_ERROR_ARGUMENT, "sigma_max inf");
#ifndef __cplusplus
    REFINE_WRONG(small, name, (ssde_refinenet_name)9, SSDE_ERROR_ARGUMENT, "name is 9");
    REFINE_WRONG(small, normalization, (ssde_normalization)9, SSDE_ERROR_ARGUMENT, "normalization is 9");
#endif
#undef REFINE_WRONG
    CHECK_STATUS(ssde_refinenet_create(&net, NULL), SSDE_ERROR_ARGUMENT);
    CHECK(!net && !ssde_refinenet_memory(NULL));
    wrong = small;
    wrong.normalization = SSDE_NORMALIZE_INSTANCE;
    wrong.nf = 1;
    CHECK_OK(ssde_refinenet_create(&net, &wrong));
    ssde_net_destroy(net);
}

/* What a score net is told, and which SDEs it takes. */
static void test_score_net_refinenet(void) {
    ssde_context context = ssde_context_defaults();
    ssde_refinenet_desc desc = refine_small(&context, 1);
    ssde_sde sde = refine_sde(&desc), other, table;
    double mean[3] = {1.0, 1.0, 1.0}, std[3] = {0.01, 0.1, 1.0}, whole[3] = {9.0, 5.0, 0.0}, half[3] = {9.0, 4.5, 0.0};
    double beyond[3] = {10.0, 5.0, 0.0};
    ssde_score_net *score_net = NULL;
    ssde_train_desc train;
    ssde_trainer *trainer = NULL;
    ssde_net *net = NULL;
    float label, sigma;
    int i;
    CHECK_OK(ssde_refinenet_create(&net, &desc));
    CHECK(ssde_net_discrete(net) && ssde_net_output(net, NULL) == SSDE_PREDICT_SCORE);
    for (i = 0; i < 10; i++) { /* label 0 is sigma_max */
        CHECK_OK(ssde_score_net_label(&context, net, &sde, 1.0 - i / 9.0, &label, &sigma, NULL));
        CHECK(label == (float)i);
        CHECK_RELATIVE(sigma, pow(0.01, i / 9.0), 1e-6);
    }
    CHECK_OK(ssde_score_net_label(&context, net, &sde, 0.5, &label, &sigma, NULL));
    CHECK(label == 4.0f); /* half to even */
    other = sde;
    other.num_scales = 11;
    CHECK_FAILS(&context, ssde_score_net_label(&context, net, &other, 0.5, &label, &sigma, NULL), SSDE_ERROR_ARGUMENT,
                "num_scales 11");
    other = sde;
    other.sigma_max = 50.0;
    CHECK_FAILS(&context, ssde_score_net_label(&context, net, &other, 0.5, &label, &sigma, NULL), SSDE_ERROR_ARGUMENT,
                "sigma_max 50");
    other = ssde_vp(0.1, 20.0);
    {
        ssde_score_net_desc how = ssde_score_net_defaults();
        how.context = &context;
        CHECK_FAILS(&context, ssde_score_net_create(&score_net, net, &other, &how), SSDE_ERROR_UNSUPPORTED, "'vp'");
    }
    CHECK_FAILS(&context, ssde_net_save(net, &other, REFINE_FILE), SSDE_ERROR_UNSUPPORTED, "'vp'");
    table = ssde_tabulated(mean, std, whole, 3);
    CHECK_OK(ssde_score_net_label(&context, net, &table, 0.5, &label, &sigma, NULL));
    CHECK(label == 5.0f);
    table = ssde_tabulated(mean, std, half, 3);
    CHECK_FAILS(&context, ssde_score_net_label(&context, net, &table, 0.5, &label, &sigma, NULL), SSDE_ERROR_ARGUMENT,
                "is 4.5, wanted an index");
    table = ssde_tabulated(mean, std, beyond, 3);
    CHECK_FAILS(&context, ssde_score_net_label(&context, net, &table, 0.0, &label, &sigma, NULL), SSDE_ERROR_ARGUMENT,
                "is 10, wanted an index");
    train = ssde_train_defaults(&sde, 0);
    train.context = &context;
    CHECK_FAILS(&context, ssde_trainer_create(&trainer, net, &sde, &train), SSDE_ERROR_UNSUPPORTED,
                "labels are functions of t");
    CHECK(!trainer && !score_net && ssde_net_discrete(net));
    ssde_net_destroy(net);
}

/* ---- configurations ---- */

/* What the reference builds, once it is mended, and its settings. */
static const struct {
    const char *name;
    ssde_refinenet_name net;
    size_t weights, tensors, size;
    double sigma_max;
    int num_scales;
    double lr, ema_rate;
} refine_configurations[] = {
    {"ve/ncsn/celeba", SSDE_NCSN, 30117635, 173, 64, 1.0, 10, 1e-3, 0.0},
    {"ve/ncsn/celeba_124", SSDE_NCSN, 51379715, 173, 64, 90.0, 500, 1e-3, 0.0},
    {"ve/ncsn/celeba_1245", SSDE_NCSN, 51379715, 173, 64, 90.0, 500, 1e-3, 0.999},
    {"ve/ncsn/celeba_5", SSDE_NCSN, 30117635, 173, 64, 1.0, 10, 1e-3, 0.999},
    {"ve/ncsn/cifar10", SSDE_NCSN, 30117635, 173, 32, 1.0, 10, 1e-3, 0.0},
    {"ve/ncsn/cifar10_124", SSDE_NCSN, 39750659, 173, 32, 50.0, 232, 1e-3, 0.0},
    {"ve/ncsn/cifar10_1245", SSDE_NCSN, 39750659, 173, 32, 50.0, 232, 1e-3, 0.999},
    {"ve/ncsn/cifar10_5", SSDE_NCSN, 30117635, 173, 32, 1.0, 10, 1e-3, 0.999},
    {"ve/ncsnv2/bedroom", SSDE_NCSNV2_128, 83445379, 191, 128, 190.0, 1086, 1e-4, 0.9999},
    {"ve/ncsnv2/celeba", SSDE_NCSNV2_64, 29694083, 153, 64, 90.0, 500, 1e-4, 0.999},
    {"ve/ncsnv2/cifar10", SSDE_NCSNV2_64, 29694083, 153, 32, 50.0, 232, 1e-4, 0.999},
};
enum { REFINE_CONFIGURATIONS = sizeof refine_configurations / sizeof refine_configurations[0] };

static void test_configurations_refinenet(void) {
    ssde_context context = ssde_context_defaults();
    ssde_refinenet_desc shape;
    ssde_unet_desc unet;
    ssde_train_desc train;
    ssde_sde sde;
    ssde_net *net;
    size_t i, first = 0;
    while (ssde_configuration_name(first) && strncmp(ssde_configuration_name(first), "ve/ncsn/", 8)) first++;
    for (i = 0; i < REFINE_CONFIGURATIONS; i++) {
        const char *name = refine_configurations[i].name, *listed = ssde_configuration_name(first + i);
        CHECK(listed && !strcmp(listed, name));
        CHECK_OK(ssde_refinenet_configuration(&context, name, &shape, &sde, &train));
        if (nn_built(ssdei_refinenet_build(&net, &shape), refine_configurations[i].weights)) { /* all but the weights */
            CHECK(ssde_net_weight_count(net) == refine_configurations[i].weights);
            CHECK(ssde_net_parameter_count(net) == refine_configurations[i].tensors);
        }
        ssde_net_destroy(net);
        CHECK(shape.name == refine_configurations[i].net && shape.width == refine_configurations[i].size);
        CHECK(shape.height == shape.width && shape.channels == 3 && shape.nf == 128 && !shape.centered);
        CHECK(shape.nonlinearity == SSDE_ELU && shape.normalization == SSDE_NORMALIZE_INSTANCE_PLUS);
        CHECK(sde.kind == SSDE_VE && sde.num_scales == refine_configurations[i].num_scales);
        CHECK(sde.sigma_min == 0.01 && sde.sigma_max == refine_configurations[i].sigma_max);
        CHECK(shape.num_scales == sde.num_scales && shape.sigma_min == 0.01 && shape.sigma_max == sde.sigma_max);
        CHECK(train.loss.discrete && train.loss.half_sum && train.batch == 128 && train.random_flip);
        CHECK(train.lr == refine_configurations[i].lr && train.ema_rate == refine_configurations[i].ema_rate);
        CHECK(train.warmup == 0 && train.grad_clip == 0.0 && train.adam_eps == 1e-8 && train.weight_decay == 0.0);
        CHECK(train.low == 0.0 && train.high == 1.0 && train.context == &context && shape.context == &context);
        CHECK_FAILS(&context, ssde_configuration(&context, name, &unet, &sde, &train), SSDE_ERROR_ARGUMENT,
                    "ssde_refinenet_configuration");
    }
    CHECK(!ssde_configuration_name(first + i));
    CHECK_OK(ssde_refinenet_configuration(NULL, "ve/ncsnv2/cifar10", NULL, NULL, NULL));
    CHECK_FAILS(&context, ssde_refinenet_configuration(&context, "ve/cifar10_ddpm", &shape, &sde, &train),
                SSDE_ERROR_ARGUMENT, "ssde_configuration");
    CHECK_FAILS(&context, ssde_refinenet_configuration(&context, "ve/ncsn/mnist", &shape, &sde, &train),
                SSDE_ERROR_ARGUMENT, "'ve/ncsn/mnist'");
    CHECK(strstr(context.error, "ssde_configuration_name") != NULL); /* the text fits */
    CHECK_STATUS(ssde_refinenet_configuration(NULL, NULL, &shape, &sde, &train), SSDE_ERROR_ARGUMENT);
}

/* ---- model files ---- */

static void refine_same_output(const ssde_net *a, const ssde_net *b) {
    const ssde_net *nets[2] = {a, b};
    float x[2 * 3 * 16 * 16], out[2][2 * 3 * 16 * 16], label[2] = {2.0f, 7.0f}, sigma[2] = {0.4f, 0.1f};
    size_t count = 2 * ssde_net_dim(a);
    int which;
    CHECK(count == 2 * ssde_net_dim(b) && count <= sizeof x / sizeof *x);
    oracle_normals(3, 1.0, count, x);
    for (which = 0; which < 2; which++) {
        ssde_run *run = nn_run(nets[which], NULL, SSDE_RUN_INFERENCE, 2);
        CHECK_OK(ssde_run_forward(run, x, label, sigma, 2, 0, 0, NULL, out[which]));
        ssde_run_destroy(run);
    }
    CHECK_SAME(out[0], out[1], count * sizeof(float));
}

/* A file alone rebuilds each of the networks, with its levels and the SDE that has them. */
static void test_models_refinenet(void) {
    static const ssde_activation nonlinearities[4] = {SSDE_ELU, SSDE_RELU, SSDE_LEAKY_RELU, SSDE_SILU};
    ssde_context context = ssde_context_defaults();
    int which;
    for (which = 0; which < 4; which++) {
        ssde_refinenet_desc desc = refine_small(&context, !which);
        ssde_sde sde, read;
        ssde_net *net = NULL, *back = NULL;
        desc.name = (ssde_refinenet_name)which;
        desc.normalization = (ssde_normalization)which;
        desc.nonlinearity = nonlinearities[3 - which];
        desc.width = 16;
        desc.centered = which % 2;
        desc.seed = 7;
        sde = refine_sde(&desc);
        CHECK_OK(ssde_refinenet_create(&net, &desc));
        refine_fill_net(net);
        CHECK_OK(ssde_net_save(net, &sde, REFINE_FILE));
        CHECK_OK(ssde_net_load(&context, &back, &read, REFINE_FILE));
        if (back) {
            CHECK(read.kind == SSDE_VE && read.num_scales == sde.num_scales && read.sigma_max == sde.sigma_max);
            CHECK(back->levels.count == 10 && back->levels.sigma_min == 0.01 && back->levels.sigma_max == 1.0);
            CHECK(ssde_net_discrete(back) && ssde_net_output(back, NULL) == SSDE_PREDICT_SCORE);
            CHECK(!strcmp(net->description, back->description));
            refine_same_output(net, back);
        }
        ssde_net_destroy(back);
        CHECK_OK(ssde_net_save(net, NULL, REFINE_FILE));
        CHECK_OK(ssde_net_load(&context, &back, NULL, REFINE_FILE));
        if (back) CHECK(ssde_net_discrete(back) && back->levels.count == 10);
        ssde_net_destroy(back);
        CHECK_FAILS(&context, ssde_net_load(&context, &back, &read, REFINE_FILE), SSDE_ERROR_FORMAT, "training.sde");
        sde.num_scales = 1000;
        CHECK_FAILS(&context, ssde_net_save(net, &sde, REFINE_FILE), SSDE_ERROR_ARGUMENT, "num_scales 1000");
        ssde_net_destroy(net);
    }
    remove(REFINE_FILE);
}

/* The reference's checkpoint: the model under "module.", with its buffer, and the list of averages, which are half the
   model's weights (tests/golden/make.py). */
static void test_models_refinenet_checkpoint(void) {
    static const char path[] = "tests/golden/refinenet.checkpoint.pth";
    ssde_context context = ssde_context_defaults();
    ssde_refinenet_desc desc = ssde_ncsnv2(16, 16, 3);
    ssde_net *net = NULL, *wanted = NULL;
    size_t i, k;
    int average;
    desc.nf = 2;
    desc.normalization = SSDE_NORMALIZE_VARIANCE;
    desc.num_scales = 20;
    desc.context = &context;
    CHECK_OK(ssde_refinenet_create(&net, &desc));
    CHECK_OK(ssde_refinenet_create(&wanted, &desc));
    refine_fill_net(wanted);
    for (average = 0; average < 2; average++) {
        CHECK_OK(ssde_net_load_pth(net, path, average ? SSDE_PTH_EMA : SSDE_PTH_MODEL));
        for (i = 0, k = 0; i < net->weight_count; i++)
            k += net->weights[i] == (average ? 0.5f : 1.0f) * wanted->weights[i];
        CHECK(k == net->weight_count);
    }
    ssde_net_destroy(net);
    desc.sigma_max = 40.0; /* not what its buffer says */
    CHECK_OK(ssde_refinenet_create(&net, &desc));
    CHECK_FAILS(&context, ssde_net_load_pth(net, path, SSDE_PTH_MODEL), SSDE_ERROR_FORMAT,
                "'model.module.sigmas' is 50");
    ssde_net_destroy(net);
    desc.num_scales = 21;
    CHECK_OK(ssde_refinenet_create(&net, &desc));
    CHECK_FAILS(&context, ssde_net_load_weights(net, path), SSDE_ERROR_FORMAT, "has several");
    CHECK_FAILS(&context, ssde_net_load_pth(net, path, SSDE_PTH_MODEL), SSDE_ERROR_SHAPE, "has 20 noise levels");
    ssde_net_destroy(net);
    ssde_net_destroy(wanted);
}

/* Copies REFINE_FILE, and ten noise levels of 2 under a name, to path. */
static void refine_add_sigmas(const char *name, const char *path) {
    static const size_t ten = 10;
    static const float sigmas[10] = {2, 2, 2, 2, 2, 2, 2, 2, 2, 2};
    ssde_tensor_file *from = NULL;
    ssdei_tensor_writer writer;
    float *values;
    size_t i;
    CHECK_OK(ssde_tensor_file_open(NULL, &from, REFINE_FILE));
    ssdei_tensor_writer_begin(&writer, NULL);
    for (i = 0; i < ssde_tensor_file_count(from); i++) {
        const ssde_file_tensor *tensor = ssde_tensor_file_get(from, i);
        ssdei_tensor_writer_declare(&writer, "", tensor->name, tensor->rank, tensor->shape);
    }
    ssdei_tensor_writer_declare(&writer, "", name, 1, &ten);
    CHECK_OK(ssdei_tensor_writer_open(&writer, path));
    for (i = 0; i < ssde_tensor_file_count(from); i++) {
        const ssde_file_tensor *tensor = ssde_tensor_file_get(from, i);
        values = (float *)calloc(tensor->count, sizeof *values);
        CHECK_OK(ssde_tensor_file_read(from, tensor, values));
        ssdei_tensor_writer_put(&writer, values, tensor->count);
        free(values);
    }
    ssdei_tensor_writer_put(&writer, sigmas, 10);
    CHECK_OK(ssdei_tensor_writer_end(&writer, SSDE_OK));
    ssde_tensor_file_close(from);
}

/* The list [model, optimizer, epoch, step, average] of NCSNv2's own repository, by the names that it has when read. Its
   noise levels are with the model, and the average's, too. */
static void test_models_refinenet_list(void) {
    ssde_context context = ssde_context_defaults();
    ssde_refinenet_desc desc = refine_small(&context, 0);
    ssdei_part parts[2] = {{"0.module.", 0, NULL}, {"4.", 0, NULL}};
    ssde_net *net = NULL, *back = NULL;
    float *halves;
    size_t i;
    int average;
    CHECK_OK(ssde_refinenet_create(&net, &desc));
    CHECK_OK(ssde_refinenet_create(&back, &desc));
    refine_fill_net(net);
    halves = (float *)malloc(net->weight_count * sizeof *halves);
    for (i = 0; i < net->weight_count; i++) halves[i] = 0.5f * net->weights[i];
    parts[0].values = net->weights;
    parts[1].values = halves;
    CHECK_OK(ssdei_parts_save(&context, net, parts, 2, "{}", NULL, REFINE_FILE));
    for (average = 0; average < 2; average++) {
        CHECK_OK(ssde_net_load_pth(back, REFINE_FILE, average ? SSDE_PTH_EMA : SSDE_PTH_MODEL));
        CHECK_SAME(back->weights, parts[average].values, net->weight_count * sizeof *halves);
    }
    refine_add_sigmas("0.module.sigmas", "scoresde_test_sigmas.safetensors");
    for (average = 0; average < 2; average++)
        CHECK_FAILS(
            &context,
            ssde_net_load_pth(back, "scoresde_test_sigmas.safetensors", average ? SSDE_PTH_EMA : SSDE_PTH_MODEL),
            SSDE_ERROR_FORMAT, "'0.module.sigmas' is 2 at level 0");
    remove("scoresde_test_sigmas.safetensors");
    parts[1].prefix = "5."; /* another list */
    CHECK_OK(ssdei_parts_save(&context, net, parts, 2, "{}", NULL, REFINE_FILE));
    CHECK_FAILS(&context, ssde_net_load_pth(back, REFINE_FILE, SSDE_PTH_EMA), SSDE_ERROR_FORMAT, "'0.module.', '5.'");
    remove(REFINE_FILE);
    free(halves);
    ssde_net_destroy(back);
    ssde_net_destroy(net);
}

/* ---- training ---- */

static ssde_train_desc refine_train_desc(ssde_context *context, const ssde_sde *sde) {
    ssde_train_desc train = ssde_train_defaults(sde, 0);
    train.loss.discrete = 1;
    train.batch = 8;
    train.lr = 2e-3;
    train.warmup = 0;
    train.ema_rate = 0.9;
    train.seed = 3;
    train.context = context;
    return train;
}

/* Eight images of a bright half: left or right. */
static void refine_pictures(float *x) {
    int i;
    for (i = 0; i < 8 * 64; i++) x[i] = (i % 8 < 4) == (i / 64 % 2) ? 0.9f : 0.1f;
}

/* The settings of a configuration train as they stand; with ema_rate 0 the average is the weights. */
static void test_train_refinenet_configuration(void) {
    ssde_context context = ssde_context_defaults();
    ssde_refinenet_desc shape;
    ssde_train_desc train;
    ssde_trainer *trainer = NULL;
    ssde_net *net = NULL;
    ssde_sde sde;
    float x[8 * 64];
    ssde_batch batch = ssde_batch_of(x, 8);
    int step;
    refine_pictures(x);
    CHECK_OK(ssde_refinenet_configuration(&context, "ve/ncsn/cifar10", &shape, &sde, &train));
    shape.height = shape.width = 8;
    shape.channels = 1;
    shape.nf = 4;
    CHECK_OK(ssde_refinenet_create(&net, &shape));
    CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &train));
    for (step = 0; trainer && step < 3; step++) CHECK_OK(ssde_train_step(trainer, &batch, NULL));
    if (trainer) CHECK_SAME(net->weights, ssde_trainer_ema(trainer)->weights, net->weight_count * sizeof(float));
    ssde_trainer_destroy(trainer);
    ssde_net_destroy(net);
}

/* It learns, a checkpoint goes on bit for bit, and the averaged weights are a model that is told what the trainer's
   was. */
static void test_train_refinenet(void) {
    ssde_context context = ssde_context_defaults();
    int ncsn, step, steps = check_quick ? 30 : 80;
    float x[8 * 64];
    ssde_batch batch = ssde_batch_of(x, 8);
    refine_pictures(x);
    for (ncsn = 0; ncsn < 2; ncsn++) {
        ssde_refinenet_desc desc = refine_small(&context, ncsn);
        ssde_sde sde = refine_sde(&desc), read;
        ssde_train_desc train = refine_train_desc(&context, &sde);
        ssde_trainer *trainer = NULL, *resumed = NULL;
        ssde_net *net = NULL, *again = NULL, *model = NULL;
        double first, last, loss, other;
        CHECK_OK(ssde_refinenet_create(&net, &desc));
        desc.seed = 99;
        CHECK_OK(ssde_refinenet_create(&again, &desc));
        CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &train));
        CHECK_OK(ssde_trainer_create(&resumed, again, &sde, &train));
        if (!trainer || !resumed) break;
        CHECK_OK(ssde_trainer_evaluate(trainer, &batch, 1, &first, NULL));
        for (step = 0; step < steps; step++) CHECK_OK(ssde_train_step(trainer, &batch, &loss));
        CHECK_OK(ssde_trainer_evaluate(trainer, &batch, 1, &last, NULL));
        CHECK(last < 0.8 * first);
        CHECK_OK(ssde_trainer_save(trainer, REFINE_FILE));
        CHECK_OK(ssde_trainer_load(resumed, REFINE_FILE));
        CHECK_OK(ssde_train_step(trainer, &batch, &loss));
        CHECK_OK(ssde_train_step(resumed, &batch, &other));
        CHECK(loss == other);
        CHECK_SAME(net->weights, again->weights, net->weight_count * sizeof(float));
        CHECK_OK(ssde_trainer_save_model(trainer, REFINE_FILE));
        CHECK_OK(ssde_net_load(&context, &model, &read, REFINE_FILE));
        if (model) {
            CHECK(ssde_net_discrete(model) && model->levels.count == 10 && read.num_scales == 10);
            refine_same_output(ssde_trainer_ema(trainer), model);
        }
        ssde_net_destroy(model);
        ssde_trainer_destroy(resumed);
        ssde_trainer_destroy(trainer);
        ssde_net_destroy(again);
        ssde_net_destroy(net);
    }
    remove(REFINE_FILE);
}

/* ---- sampling ---- */

/* Annealed Langevin with the papers' numbers: NCSN's 100 steps at each of 10 levels, NCSNv2's 5 at each of 232; and a
   last step to what is denoised. */
static void test_sampler_refinenet(void) {
    ssde_context context = ssde_context_defaults();
    int ncsn;
    for (ncsn = 0; ncsn < 2; ncsn++) {
        ssde_refinenet_desc desc = refine_small(&context, ncsn);
        ssde_score_net *score_net = NULL;
        ssde_score_net_desc memory = ssde_score_net_defaults();
        ssde_score_model model;
        ssde_sampler_desc how = ssde_sampler_defaults();
        ssde_sample_report report;
        ssde_net *net = NULL;
        ssde_sde sde;
        float x[64], noisy[64], score[64];
        double zero = 0.0;
        size_t i;
        if (!ncsn) desc.num_scales = 232, desc.sigma_max = 50.0;
        sde = refine_sde(&desc);
        memory.context = how.context = &context;
        memory.max_rows = 1;
        CHECK_OK(ssde_refinenet_create(&net, &desc));
        CHECK_OK(ssde_score_net_create(&score_net, net, &sde, &memory));
        model = ssde_score_net_model(score_net);
        how.predictor = SSDE_PREDICTOR_SMLD;
        how.corrector_steps = ncsn ? 100 : 5;
        how.step_size = ncsn ? 2e-5 : 2.0 * 6.2e-6;
        how.report = &report;
        for (i = 0; i < 2; i++) {
            ssde_rng rng = ssde_rng_seed(4);
            how.skip_denoise = (int)i;
            CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 1, i ? noisy : x));
            CHECK(report.evaluations == (ncsn ? 1000u : 1160u) + (i ? 0u : 1u) && !report.failed);
        }
        CHECK_OK(model.score(model.user, noisy, &zero, NULL, 1, 0, score));
        for (i = 0; i < 64; i++) score[i] = noisy[i] + 1e-4f * score[i];
        CHECK_ARRAY(x, score, 64, 1e-6);
        ssde_score_net_destroy(score_net);
        ssde_net_destroy(net);
    }
}

/* ---- NCSNv2's rules ---- */

/* Published: dim, sigma_max, number of levels, Langevin steps at each, and epsilon, which of LSUN church is not what
   its rule gives (0 here). */
static const struct {
    double dim, sigma_max;
    int num_scales;
    size_t steps;
    double epsilon;
} rules_published[] = {{32 * 32 * 3, 50.0, 232, 5, 6.2e-6},
                       {64 * 64 * 3, 90.0, 500, 5, 3.3e-6},
                       {96 * 96 * 3, 140.0, 788, 4, 0.0},
                       {128 * 128 * 3, 190.0, 1086, 3, 1.8e-6},
                       {256 * 256 * 3, 348.0, 2311, 3, 0.9e-6}};

/* By its recursion: the variance over the level's own after the steps. */
static double rules_variance(double e, size_t steps, double square) {
    size_t i;
    for (i = 0; i < steps; i++) square = (1.0 - e) * (1.0 - e) * square + 2.0 * e;
    return square;
}

static void test_schedule_rules(void) {
    ssde_context context = ssde_context_defaults();
    double step, excess, own, distance, square;
    float x[3 * 2] = {0.0f, 0.0f, 3.0f, 4.0f, -3.0f, 0.0f}, many[50 * 7];
    ssde_sde sde;
    size_t i, k, j;
    int levels;
    for (i = 0; i < sizeof rules_published / sizeof *rules_published; i++) {
        CHECK_OK(ssde_noise_levels(&context, (size_t)rules_published[i].dim, 0.01, rules_published[i].sigma_max, 0.0,
                                   &levels));
        CHECK(levels == rules_published[i].num_scales);
        sde = ssde_ve(0.01, rules_published[i].sigma_max);
        sde.num_scales = levels;
        CHECK_OK(ssde_langevin_step_size(&context, &sde, rules_published[i].steps, &step, &excess));
        if (rules_published[i].epsilon > 0.0) CHECK_NEAR(0.5 * step, rules_published[i].epsilon, 0.05e-6);
        square = pow(sde.sigma_max / sde.sigma_min, 2.0 / (levels - 1));
        own = rules_variance(0.5 * step / 1e-4, rules_published[i].steps, square) - 1.0;
        CHECK_RELATIVE(excess, own, 1e-9);
        for (k = 0; k < 2; k++) /* no other is nearer */
            CHECK(rules_variance((k ? 0.51 : 0.49) * step / 1e-4, rules_published[i].steps, square) - 1.0 > own);
    }
    /* its defining equation, by steps of the ratio: more overlap, more levels */
    CHECK_OK(ssde_noise_levels(&context, 3072, 0.01, 50.0, 0.5, &levels));
    CHECK(levels == 219);
    CHECK_OK(ssde_noise_levels(&context, 5, 0.01, 50.0, 0.0, &levels));
    CHECK(levels == 4);
    CHECK_FAILS(&context, ssde_noise_levels(&context, 4, 0.01, 50.0, 0.0, &levels), SSDE_ERROR_ARGUMENT, "dim is 4");
    CHECK_FAILS(&context, ssde_noise_levels(&context, 64, 0.01, 50.0, 0.998, &levels), SSDE_ERROR_ARGUMENT,
                "overlap is 0.998");
    CHECK_FAILS(&context, ssde_noise_levels(&context, 64, 50.0, 0.01, 0.0, &levels), SSDE_ERROR_ARGUMENT,
                "sigma_min is 50");
    sde = ssde_vp(0.1, 20.0);
    CHECK_FAILS(&context, ssde_langevin_step_size(&context, &sde, 5, &step, NULL), SSDE_ERROR_UNSUPPORTED, "'vp'");
    sde = ssde_ve(0.01, 50.0);
    CHECK_FAILS(&context, ssde_langevin_step_size(&context, &sde, 0, &step, NULL), SSDE_ERROR_ARGUMENT, "steps 0");
    CHECK_OK(ssde_largest_distance(&context, x, 3, 2, &distance));
    CHECK_NEAR(distance, sqrt(52.0), 1e-12);
    oracle_normals(9, 1.0, 50 * 7, many);
    for (i = 0, own = 0.0; i < 50; i++)
        for (k = 0; k < i; k++) {
            for (j = 0, square = 0.0; j < 7; j++) square += pow((double)many[i * 7 + j] - (double)many[k * 7 + j], 2.0);
            if (own < square) own = square;
        }
    CHECK_OK(ssde_largest_distance(&context, many, 50, 7, &distance));
    CHECK_RELATIVE(distance, sqrt(own), 1e-12);
    CHECK_FAILS(&context, ssde_largest_distance(&context, x, 1, 2, &distance), SSDE_ERROR_ARGUMENT, "n is 1");
    x[3] = (float)NAN;
    CHECK_FAILS(&context, ssde_largest_distance(&context, x, 3, 2, &distance), SSDE_ERROR_NUMERIC, "x");
}

#define TEST_NN_REFINENET_LIST(X)    \
    X(networks_golden_ncsn)          \
    X(networks_golden_ncsnv2)        \
    X(networks_refinenet_flags)      \
    X(networks_refinenet_start)      \
    X(networks_refinenet_errors)     \
    X(score_net_refinenet)           \
    X(configurations_refinenet)      \
    X(models_refinenet)              \
    X(models_refinenet_checkpoint)   \
    X(models_refinenet_list)         \
    X(train_refinenet)               \
    X(train_refinenet_configuration) \
    X(sampler_refinenet)             \
    X(schedule_rules)

#endif
