/* Networks: the golden data, every operation and its derivatives against an oracle in double, the memory plan,
   determinism, the U-Net's flags, initialisation, vector functions, the score model; on every tier. */
#ifndef TEST_NN_H
#define TEST_NN_H

#include "golden.h"
#include "nn_oracle.h"
#include "threads.h"

/* The tiers of this machine: every index below their number is one. */
static int nn_tier(int index, ssde_context *context) {
    int tier = 0;
    while (index >= 0 && core_next_tier(&tier, context)) index--;
    return index < 0;
}

/* ---- golden networks ---- */

enum { GOLDEN_ROWS = 2, GOLDEN_DIM = 3 * 16 * 16 };

/* The algorithm of 3x3 convolutions in the runs that these tests create. */
static ssde_convolution nn_convolution;

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

static double nn_norm(const float *x, size_t count) {
    double square = 0.0;
    size_t i;
    for (i = 0; i < count; i++) square += (double)x[i] * (double)x[i];
    return sqrt(square);
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
    desc.convolution = nn_convolution;
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

static void test_nn_golden_ddpmpp_vp(void) { nn_golden_network("ddpmpp_vp"); }
static void test_nn_golden_ddpmpp_subvp(void) { nn_golden_network("ddpmpp_subvp_1ch"); }
static void test_nn_golden_ncsnpp_ve(void) { nn_golden_network("ncsnpp_ve"); }
static void test_nn_golden_ncsnpp_ve_skip(void) { nn_golden_network("ncsnpp_ve_skip"); }
static void test_nn_golden_ddpm_vp(void) { nn_golden_network("ddpm_vp"); }

/* ---- flags that the golden networks lack, against the reference (unet_flags.safetensors names its source) ---- */

static ssde_run *nn_run(const ssde_net *net, ssde_context *context, ssde_run_mode mode, size_t max_rows) {
    ssde_run_desc desc;
    ssde_run *run = NULL;
    memset(&desc, 0, sizeof desc);
    desc.mode = mode;
    desc.max_rows = max_rows;
    desc.convolution = nn_convolution;
    desc.context = context;
    CHECK_OK(ssde_run_create(&run, net, &desc));
    return run;
}

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
    float label, sigma, norms[256], *gradient, largest = 0.0f;
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
    for (i = 0; i < (size_t)net->node_count; i++)
        if (net->nodes[i].operation == SSDEI_OPERATION_dropout) net->nodes[i].scale = 0.0;
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
    for (i = 0; i < ssde_net_parameter_count(net); i++) largest = norms[i] > largest ? norms[i] : largest;
    for (i = 0; i < ssde_net_parameter_count(net); i++) {
        double norm = nn_norm(gradient + net->parameters[i].offset, net->parameters[i].info.count);
        /* what is zero but for rounding (nn_golden_loss) is so beside the others */
        CHECK_NEAR(norm, norms[i], 1e-4 * (double)norms[i] + 1e-6 * (double)largest);
    }
    free(gradient);
    ssde_net_destroy(net);
}

static void test_nn_golden_flags(void) {
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

/* get_score_fn over networks of those cases; discrete and continuous, N of its own. */
static void test_nn_golden_scores(void) {
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
        ssde_score_net_desc desc;
        ssde_score_net *score_net = NULL;
        ssde_score_model model;
        memset(&desc, 0, sizeof desc);
        desc.discrete = cases[i].discrete;
        sde.num_scales = cases[i].num_scales;
        CHECK_OK(ssde_score_net_create(&score_net, net, &sde, &desc));
        model = ssde_score_net_model(score_net);
        snprintf(name, sizeof name, "%d.%s.labels", cases[i].which, cases[i].name);
        golden_floats(file, name, labels, ROWS);
        for (row = 0; row < ROWS; row++) {
            float label, sigma;
            nn_flags_image((uint32_t)(1000 + row), &shape, 0.5f, x + row * FLAGS_DIM);
            if (desc.discrete)
                CHECK_OK(ssde_score_net_label_discrete(NULL, &sde, t[row], &label, &sigma));
            else
                CHECK_OK(ssde_score_net_label(NULL, &sde, t[row], &label, &sigma));
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

/* ---- an oracle's network on every tier ---- */

typedef struct nn_options {
    size_t rows;
    double mean, spread;      /* of the input */
    double forward, gradient; /* tolerances */
} nn_options;

/* 2e-6: a node's own rounding (a few 1e-7 of the norm) and that of the handful of nodes before it. 5e-6: the same for
   the way back, of the gradient's norm; differences of the oracle err by about 1e-7. */
static nn_options nn_usual(void) {
    nn_options options;
    options.rows = 2;
    options.mean = 0.0;
    options.spread = 1.0;
    options.forward = 2e-6;
    options.gradient = 5e-6;
    return options;
}

/* What goes in, and slopes of sum(v output) by differences: along two directions of the input, one of each parameter.
 */
typedef struct nn_data {
    size_t rows, dim;
    float *x, *v, *label, *sigma;
    double *x_double, input_slope[2], *parameter_slope;
} nn_data;

static double nn_objective(oracle *o, const nn_data *data) {
    double sum = 0.0;
    size_t row, i;
    for (row = 0; row < data->rows; row++) {
        const double *out =
            oracle_forward(o, data->x_double + row * data->dim, (double)data->label[row], (double)data->sigma[row]);
        for (i = 0; i < data->dim; i++) sum += (double)data->v[row * data->dim + i] * out[i];
    }
    return sum;
}

/* Central difference of the objective along the normals of `seed` in values [count], which the oracle reads. The step's
   third-order error is of the order of (step |direction|)^2 < 1e-7. */
static double nn_difference(oracle *o, const nn_data *data, double *values, size_t count, uint64_t seed, double step) {
    double *kept = (double *)malloc(count * sizeof *kept), side[2];
    size_t i;
    int k;
    memcpy(kept, values, count * sizeof *kept);
    for (k = 0; k < 2; k++) {
        uint64_t state = seed;
        for (i = 0; i < count; i++) values[i] = kept[i] + (k ? -step : step) * oracle_normal(&state);
        side[k] = nn_objective(o, data);
    }
    memcpy(values, kept, count * sizeof *kept);
    free(kept);
    return (side[0] - side[1]) / (2.0 * step);
}

static void nn_data_open(nn_data *data, oracle *o, const nn_options *options) {
    size_t count = options->rows * o->nodes[o->net->input].count, i;
    memset(data, 0, sizeof *data);
    data->rows = options->rows;
    data->dim = o->nodes[o->net->input].count;
    data->x = (float *)malloc(2 * count * sizeof *data->x);
    data->v = data->x + count;
    data->label = (float *)malloc(2 * options->rows * sizeof *data->label);
    data->sigma = data->label + options->rows;
    data->x_double = (double *)malloc(count * sizeof *data->x_double);
    data->parameter_slope = (double *)calloc(o->parameters + 1, sizeof(double));
    oracle_normals(11, options->spread, count, data->x);
    oracle_normals(12, 1.0, count, data->v);
    for (i = 0; i < count; i++) {
        data->x[i] += (float)options->mean;
        data->x_double[i] = (double)data->x[i];
    }
    for (i = 0; i < options->rows; i++) {
        data->label[i] = 0.4f + 0.7f * (float)i;
        data->sigma[i] = 0.3f + 0.5f * (float)i;
    }
    for (i = 0; i < 2; i++)
        data->input_slope[i] = nn_difference(o, data, data->x_double, count, 21 + i, 1e-5 * options->spread);
    for (i = 0; i < o->parameters; i++)
        data->parameter_slope[i] =
            nn_difference(o, data, o->weights + o->first[i], o->first[i + 1] - o->first[i], 31 + i, 1e-5);
}

static void nn_data_close(nn_data *data) {
    free(data->x);
    free(data->label);
    free(data->x_double);
    free(data->parameter_slope);
}

static double nn_along(const float *gradient, size_t count, uint64_t seed, double *norm) {
    double dot = 0.0, square = 0.0;
    size_t i;
    for (i = 0; i < count; i++) {
        dot += (double)gradient[i] * oracle_normal(&seed);
        square += (double)gradient[i] * (double)gradient[i];
    }
    *norm = sqrt(square);
    return dot;
}

/* NaN wherever nothing may be kept from one forward pass to the next: values, gradients, workspaces, sums. */
static void nn_poison(ssde_run *run) {
    size_t i;
    for (i = 0; i < run->zeros; i++) run->arena[i] = NAN;
    for (i = run->workspace; i < run->workspace + run->tasks * run->task_floats; i++) run->arena[i] = NAN;
    CHECK_OK(ssde_run_set_classes(run, NULL, 0));
}

/* The run, which is used up, with an arena of so many floats, not fewer: NaN behind what there is. */
static ssde_run *nn_with_arena(ssde_run *run, size_t floats) {
    ssde_run copy = *run, *larger;
    size_t i;
    copy.arena_floats = floats;
    larger = (ssde_run *)ssdei_object_create(run->context, &copy, sizeof copy, ssdei_run_arrays);
    ssdei_run_take_steps(larger, run->steps, run->gathers);
    memcpy(larger->arena, run->arena, run->arena_floats * sizeof *run->arena);
    for (i = run->arena_floats; i < floats; i++) larger->arena[i] = NAN;
    ssde_run_destroy(run);
    return larger;
}

/* Gives every value, gradient and statistic a place of its own, so that nothing is ever overwritten: what a plan that
   shares memory rightly must agree with, bit for bit. */
static ssde_run *nn_unshare(ssde_run *run) {
    size_t total = run->arena_floats, nodes = (size_t)run->net->node_count, i;
    for (i = 0; i < nodes; i++) {
        const ssdei_node *node = &run->net->nodes[i];
        size_t floats = ssdei_round_floats(run->max_rows * node->count);
        run->steps[i].value = total;
        run->steps[i].gradient = total + floats;
        run->steps[i].saved = total + 2 * floats;
        total += 2 * floats + ssdei_round_floats(run->max_rows * run->steps[i].saved_floats);
    }
    return nn_with_arena(run, total);
}

static ssde_status nn_forward(ssde_run *run, const nn_data *data, float *out) {
    return ssde_run_forward(run, data->x, data->label, data->sigma, data->rows, 0, 0, NULL, out);
}

/* Every node's value. */
static void nn_check_values(oracle *o, const nn_data *data, const ssde_run *run, double tolerance) {
    double *error = (double *)calloc(2 * (size_t)o->count, sizeof *error), *norm = error + o->count;
    size_t row, i;
    int node;
    for (row = 0; row < data->rows; row++) {
        oracle_forward(o, data->x_double + row * data->dim, (double)data->label[row], (double)data->sigma[row]);
        for (node = 0; node < o->count; node++) {
            size_t count = o->nodes[node].count;
            for (i = 0; i < count; i++) {
                double expected = oracle_value(o, node)[i];
                double difference = (double)ssdei_value(run, node)[row * count + i] - expected;
                error[node] += difference * difference;
                norm[node] += expected * expected;
            }
        }
    }
    for (node = 0; node < o->count; node++) {
        check_count++;
        if (!(sqrt(error[node]) <= tolerance * sqrt(norm[node])))
            check_report(__FILE__, __LINE__, "%s: node %d (kind %d): relative distance %.3g, allowed %.3g",
                         ssde_tier_name(run->kernels->tier), node, (int)o->nodes[node].kind,
                         sqrt(error[node] / norm[node]), tolerance);
    }
    free(error);
}

/* The gradient of every parameter of interest, each along its direction. Where a gradient cancels (a bias before a
   norm) its rounding is that of the others, hence the floor. */
static void nn_check_parameters(const oracle *o, const nn_data *data, const float *gradient, double tolerance) {
    float *file = (float *)malloc((ssde_net_weight_count(o->net) + 1) * sizeof *file);
    double norm, largest = 0.0, slope;
    size_t i;
    for (i = 0; i < o->parameters; i++) {
        nn_along(gradient + o->net->parameters[i].offset, o->net->parameters[i].info.count, 31 + i, &norm);
        if (largest < norm) largest = norm;
    }
    for (i = 0; i < o->parameters; i++) {
        const ssdei_parameter *parameter = &o->net->parameters[i];
        ssdei_parameter_to_file(parameter, gradient + parameter->offset, file);
        slope = nn_along(file, parameter->info.count, 31 + i, &norm);
        if (!parameter->info.trainable) {
            CHECK(norm == 0.0);
            continue;
        }
        check_count++;
        if (!(fabs(slope - data->parameter_slope[i]) <= tolerance * (norm + 0.2 * largest)))
            check_report(__FILE__, __LINE__, "gradient of %s: slope %.9g, by differences %.9g, norm %.3g of %.3g",
                         parameter->info.name, slope, data->parameter_slope[i], norm, largest);
    }
    free(file);
}

/* One tier: values of every node, the same output in every mode, derivatives; memory shared and not. */
static void nn_check_tier(oracle *o, const nn_data *data, const nn_options *options, ssde_context *context) {
    static const ssde_run_mode modes[] = {SSDE_RUN_INFERENCE, SSDE_RUN_VJP, SSDE_RUN_TRAIN};
    size_t count = data->rows * data->dim, weights = ssde_net_weight_count(o->net), i;
    float *buffer = (float *)calloc(3 * count + 2 * weights + 1, sizeof *buffer), *out = buffer, *first = out + count;
    float *again = first + count, *gradient = again + count, *second = gradient + weights;
    ssde_run *run;
    double norm, slope;
    int mode, apart;
    for (mode = 0; mode < 3; mode++) {
        for (apart = 0; apart < (mode ? 2 : 1); apart++) {
            run = nn_run(o->net, context, modes[mode], data->rows + (size_t)mode);
            if (!run) continue;
            if (apart) run = nn_unshare(run);
            nn_poison(run);
            CHECK_OK(nn_forward(run, data, mode || apart ? again : out));
            if (mode) CHECK_SAME(again, out, count * sizeof *out);
            if (apart) nn_check_values(o, data, run, options->forward);
            if (modes[mode] == SSDE_RUN_VJP) {
                CHECK_OK(ssde_run_backward(run, data->v, apart ? again : first, NULL));
                if (apart) CHECK_SAME(again, first, count * sizeof *out);
                CHECK_OK(ssde_run_backward(run, data->v, again, NULL));
                CHECK_SAME(again, first, count * sizeof *out);
            } else if (mode) {
                memset(second, 0, weights * sizeof *second);
                CHECK_OK(ssde_run_backward(run, data->v, NULL, apart ? second : gradient));
                if (apart) CHECK_SAME(second, gradient, weights * sizeof *gradient);
            }
            ssde_run_destroy(run);
        }
    }
    for (i = 0; i < 2; i++) {
        slope = nn_along(first, count, 21 + i, &norm);
        CHECK_NEAR(slope, data->input_slope[i], options->gradient * norm);
    }
    nn_check_parameters(o, data, gradient, options->gradient);
    free(buffer);
}

/* Winograd, if the network has a layer for it. */
static int nn_most_convolution(const ssde_net *net) {
    int i;
    for (i = 0; i < net->node_count; i++) {
        const ssdei_node *node = &net->nodes[i];
        if (node->operation == SSDEI_OPERATION_conv && node->kernel == 3 && node->stride == 1)
            return SSDE_CONVOLUTION_WINOGRAD;
    }
    return SSDE_CONVOLUTION_DIRECT;
}

static void nn_check(oracle *o, const nn_options *options) {
    nn_options usual = nn_usual();
    unsigned long fails = check_fails;
    ssde_context context;
    nn_data data;
    int tier, convolution;
    if (options) usual = *options;
    CHECK(o->net->finished && o->values != NULL);
    if (!o->net->finished) return;
    nn_data_open(&data, o, &usual);
    for (convolution = SSDE_CONVOLUTION_DIRECT; convolution <= nn_most_convolution(o->net); convolution++) {
        nn_convolution = (ssde_convolution)convolution;
        for (tier = 0; nn_tier(tier, &context) && fails == check_fails; tier++)
            nn_check_tier(o, &data, &usual, &context);
        /* of which Winograd's transforms take the larger part: a few 1e-6 of the norm for each layer */
        usual.forward *= 5.0;
        usual.gradient *= 5.0;
    }
    nn_convolution = SSDE_CONVOLUTION_AUTO;
    nn_data_close(&data);
}

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
static void test_nn_conv_padding(void) {
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
static void test_nn_conv_sizes(void) {
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

/* The residual is the convolution's own input: two gradients meet. */
static void test_nn_conv_residual(void) {
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
static void test_nn_conv_channel_residual(void) {
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

static void test_nn_conv_wide(void) {
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
                ssde_run_desc desc;
                ssde_run *run;
                memset(&hook, 0, sizeof hook);
                hook.threads = threads;
                context.parallel_for = threads > 1 ? threads_parallel_for : NULL;
                context.user = &hook;
                context.threads = threads;
                memset(&desc, 0, sizeof desc);
                desc.max_rows = WIDE_ROWS;
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

/* Files' axes: convolution [out, in, h, w], linear [out, in], NIN [in, out]; in memory the kernel before the channels.
 */
static void test_nn_parameter_order(void) {
    ssde_context context;
    ssde_net *net = NULL;
    ssde_conv_desc conv = ssde_conv(3, 3), nin = ssde_conv(2, 1);
    float values[64], back[64];
    size_t i, o, k, y;
    int x;
    memset(&context, 0, sizeof context);
    CHECK_OK(ssde_net_create(&context, &net, 1));
    x = ssde_conv2d(net, ssde_input(net, 4, 4, 2), &conv, "conv");
    x = ssde_linear(net, x, 4, 1.0, "linear");
    x = ssde_nin(net, x, &nin, "nin");
    CHECK_OK(ssde_net_finish(net, x));
    CHECK(ssde_net_parameter_count(net) == 6);
    for (i = 0; i < 6; i++) {
        static const char *const names[] = {"conv.weight", "conv.bias", "linear.weight",
                                            "linear.bias", "nin.W",     "nin.b"};
        static const size_t shapes[][4] = {{3, 2, 3, 3}, {3}, {4, 3}, {4}, {4, 2}, {2}};
        static const int ranks[] = {4, 1, 2, 1, 2, 1};
        const ssde_parameter *parameter = ssde_net_parameter(net, i);
        CHECK(!strcmp(parameter->name, names[i]) && parameter->rank == ranks[i] && parameter->trainable);
        CHECK_SAME(parameter->shape, shapes[i], (size_t)ranks[i] * sizeof(size_t));
        for (k = 0; k < 64; k++) values[k] = (float)(100 * i + k);
        CHECK_OK(ssde_net_set(net, i, values));
        CHECK_OK(ssde_net_get(net, i, back));
        CHECK_SAME(back, values, parameter->count * sizeof *values);
        /* derivatives lie as the weights do */
        memset(back, 0, sizeof back);
        CHECK_OK(ssde_net_get_gradient(net, i, net->weights, back));
        CHECK_SAME(back, values, parameter->count * sizeof *values);
    }
    for (o = 0; o < 3; o++)
        for (i = 0; i < 2; i++)
            for (y = 0; y < 9; y++) CHECK(net->weights[(y * 2 + i) * 3 + o] == (float)((o * 2 + i) * 9 + y));
    for (o = 0; o < 4; o++)
        for (i = 0; i < 3; i++) CHECK(net->weights[net->parameters[2].offset + i * 4 + o] == (float)(200 + o * 3 + i));
    for (i = 0; i < 8; i++) CHECK(net->weights[net->parameters[4].offset + i] == (float)(400 + i));
    CHECK(ssde_net_parameter(net, 6) == NULL && ssde_net_parameter(NULL, 0) == NULL);
    CHECK_FAILS(&context, ssde_net_get(net, 6, values), SSDE_ERROR_ARGUMENT, "index is 6, wanted below 6");
    CHECK_FAILS(&context, ssde_net_get(net, 0, NULL), SSDE_ERROR_ARGUMENT, "ssde_net_get: values is NULL");
    CHECK_STATUS(ssde_net_get(NULL, 0, values), SSDE_ERROR_ARGUMENT);
    CHECK_FAILS(&context, ssde_net_set(net, SIZE_MAX, values), SSDE_ERROR_ARGUMENT, "wanted below 6");
    CHECK_FAILS(&context, ssde_net_set(net, 0, NULL), SSDE_ERROR_ARGUMENT, "ssde_net_set: values is NULL");
    CHECK_STATUS(ssde_net_set(NULL, 0, values), SSDE_ERROR_ARGUMENT);
    CHECK_FAILS(&context, ssde_net_get_gradient(net, 6, values, back), SSDE_ERROR_ARGUMENT, "index is 6");
    CHECK_FAILS(&context, ssde_net_get_gradient(net, 0, NULL, back), SSDE_ERROR_ARGUMENT, "weight_gradients is NULL");
    CHECK_FAILS(&context, ssde_net_get_gradient(net, 0, values, NULL), SSDE_ERROR_ARGUMENT, ": values is NULL");
    CHECK_STATUS(ssde_net_get_gradient(NULL, 0, values, back), SSDE_ERROR_ARGUMENT);
    values[3] = NAN;
    CHECK_STATUS(ssde_net_set(net, 0, values), SSDE_ERROR_NUMERIC);
    CHECK(net->weights[net->parameters[1].offset] == 100.0f);
    ssde_net_destroy(net);
}

/* One's own optimiser, by public functions alone: the denoising loss of an MLP falls as fast as its gradient says, and
   plain gradient descent brings it down. */
static void test_nn_own_optimiser(void) {
    enum { ROWS = 32, STEPS = 60, MOST = 1 << 12 };
    static float gradients[1 << 15], weights[MOST], slopes[MOST];
    float x0[2 * ROWS], x[2 * ROWS], z[2 * ROWS], out[2 * ROWS], slope[2 * ROWS], label[ROWS], sigma[ROWS];
    double t[ROWS], weight[ROWS], losses[ROWS], before = 0.0, expected = 0.0, rate = 1e-4, loss = 0.0, first = 0.0;
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_mlp_desc shape = ssde_mlp(2);
    ssde_loss_desc how;
    ssde_net *net = NULL;
    ssde_run *run;
    size_t i, k, r;
    int step;
    memset(&how, 0, sizeof how);
    how.output = SSDE_PREDICT_NOISE;
    how.eps = 1e-3;
    shape.hidden = 32;
    shape.layers = 2;
    shape.embedding_type = SSDE_EMBEDDING_FOURIER; /* with frequencies that are not trained */
    CHECK_OK(ssde_mlp_create(&net, &shape));
    CHECK(ssde_net_weight_count(net) <= sizeof gradients / sizeof *gradients);
    run = nn_run(net, NULL, SSDE_RUN_TRAIN, ROWS);
    for (i = 0; i < 2 * ROWS; i++) x0[i] = (float)(i % 4 < 2 ? 1.0 : -1.0); /* two points, on a diagonal */
    CHECK_OK(ssde_loss_times(&sde, &how, 5, 0, NULL, ROWS, t, weight));
    CHECK_OK(ssde_random_normal(NULL, 5, SSDE_STREAM_NOISE, 0, NULL, ROWS, 2, z));
    CHECK_OK(ssde_loss_perturb(&sde, &how, x0, z, t, ROWS, 2, x));
    for (r = 0; r < ROWS; r++) CHECK_OK(ssde_score_net_label(NULL, &sde, t[r], &label[r], &sigma[r]));
    for (step = 0; step < STEPS; step++) {
        before = loss;
        CHECK_OK(ssde_run_forward(run, x, label, sigma, ROWS, 0, 0, NULL, out));
        CHECK_OK(ssde_loss(&sde, &how, out, x, z, t, weight, ROWS, 2, 1.0 / (double)ROWS, losses, slope));
        for (r = 0, loss = 0.0; r < ROWS; r++) loss += losses[r] / (double)ROWS;
        if (!step) first = loss;
        /* a step of `rate` along the gradient lowers the loss by rate |gradient|^2, to first order */
        if (step == 1) CHECK_RELATIVE(before - loss, expected, 0.05);
        if (step == 1) rate = 0.1;
        memset(gradients, 0, sizeof gradients);
        CHECK_OK(ssde_run_backward(run, slope, NULL, gradients));
        for (i = 0; i < ssde_net_parameter_count(net); i++) {
            const ssde_parameter *parameter = ssde_net_parameter(net, i);
            CHECK(parameter->count <= MOST);
            CHECK_OK(ssde_net_get(net, i, weights));
            CHECK_OK(ssde_net_get_gradient(net, i, gradients, slopes));
            for (k = 0; k < parameter->count; k++) {
                CHECK(parameter->trainable || slopes[k] == 0.0f);
                if (!step) expected += rate * (double)slopes[k] * (double)slopes[k];
                weights[k] -= (float)rate * slopes[k];
            }
            CHECK_OK(ssde_net_set(net, i, weights));
        }
    }
    CHECK(loss < 0.6 * first);
    ssde_run_destroy(run);
    ssde_net_destroy(net);
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

static void test_nn_group_norm(void) {
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
static void test_nn_group_norm_extremes(void) {
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

static void test_nn_channel_moments(void) {
    static const size_t pixels[] = {1, 2, 63, 64, 65, 200}, channels[] = {1, 3, 16, 17, 64, 77};
    ssde_context context;
    size_t i, k;
    int tier, kind;
    for (tier = 0; nn_tier(tier, &context); tier++)
        for (kind = 0; kind < 7; kind++)
            for (i = 0; i < 6; i++)
                for (k = 0; k < 6; k++) nn_moments_case(ssdei_nn_kernels_for(&context), kind, pixels[i], channels[k]);
}

/* |y - exact| in units of the last place of a float of exact's size. */
static double nn_ulps(float y, double exact) {
    int exponent;
    frexp(exact, &exponent);
    if (exponent < -125) exponent = -125;
    return fabs((double)y - exact) / ldexp(1.0, exponent - 24);
}

/* silu(x) = x / (1 + e^-x): 3 ulp, down to where it ends at about -86 e^-86 = -4e-36; the derivative by its own
   formula, whose 1 + x (1 - s) cancels near its root. */
static void test_nn_silu(void) {
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

/* q, k and v from convolutions, or shared in every way. */
static void nn_attention_case(size_t height, size_t width, size_t channels, int shared) {
    static const int which[][3] = {{0, 1, 2}, {0, 0, 0}, {0, 0, 1}, {0, 1, 0}, {0, 1, 1}};
    oracle o;
    int x, projected[3], i;
    oracle_open(&o);
    x = oracle_input(&o, height, width, 2);
    for (i = 0; i < 3; i++) projected[i] = oracle_conv1(&o, x, channels);
    oracle_finish(&o, oracle_attention(&o, projected[which[shared][0]], projected[which[shared][1]],
                                       projected[which[shared][2]]));
    nn_check(&o, NULL);
    oracle_close(&o);
}

/* Pixels on either side of blocks of query pixels, which are 16 to 48. */
static void test_nn_attention(void) {
    static const size_t sizes[][2] = {{1, 1}, {1, 5}, {4, 4}, {7, 7}, {1, 97}, {1, 131}}, channels[] = {1, 3, 17, 32};
    size_t s, c;
    int shared;
    for (s = 0; s < (check_quick ? 2u : 6u); s++)
        for (c = 0; c < 4; c++)
            for (shared = 0; shared < 5; shared++)
                if (!check_quick || s == 1 || shared == 0)
                    nn_attention_case(sizes[s][0], sizes[s][1], channels[c], shared);
    if (check_quick) nn_attention_case(1, 97, 17, 1);
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
static void test_nn_attention_company(void) {
    enum { ROWS = 5, PIXELS = 131, CHANNELS = 17, DIM = PIXELS * CHANNELS };
    static float x[ROWS * DIM], out[2][ROWS * DIM], gradient[2][ROWS * DIM];
    ssde_context context;
    ssde_net *net = NULL;
    ssde_node h;
    size_t row;
    int tier, threads;
    CHECK_OK(ssde_net_create(NULL, &net, 1));
    h = ssde_input(net, 1, PIXELS, CHANNELS);
    CHECK_OK(ssde_net_finish(net, ssde_attention(net, ssde_activate(net, h, SSDE_SILU), h, h)));
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

/* The matrix of all pairs of pixels is never there: 64 MiB for 64 x 64. */
static void test_nn_attention_memory(void) {
    ssde_run_desc desc;
    ssde_net *net = NULL;
    ssde_node h;
    ssde_context context;
    int tier, mode;
    CHECK_OK(ssde_net_create(NULL, &net, 1));
    h = ssde_input(net, 64, 64, 16);
    CHECK_OK(ssde_net_finish(net, ssde_attention(net, h, h, h)));
    for (tier = 0; nn_tier(tier, &context); tier++)
        for (mode = SSDE_RUN_INFERENCE; mode <= SSDE_RUN_TRAIN; mode++) {
            size_t bytes;
            context.threads = 1; /* each has its own workspace */
            memset(&desc, 0, sizeof desc);
            desc.mode = (ssde_run_mode)mode;
            desc.max_rows = 1;
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

static void test_nn_softmax(void) {
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
        case 15: other = oracle_conv3(o, h, channels); return oracle_attention(o, h, other, other);
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
        default: return -1;
    }
    return oracle_add(o, oracle_add(o, h, other, 0.9), other, 1.1);
}

static void test_nn_small_operations(void) {
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
    CHECK(which == 30);
}

/* The output is not the last node: what comes after it leaves it alone. */
static void test_nn_early_output(void) {
    ssde_net *net = NULL;
    oracle o;
    ssde_conv_desc conv = ssde_conv(5, 3);
    int h, i;
    CHECK_OK(ssde_net_create(NULL, &net, 1));
    h = ssde_conv2d(net, ssde_input(net, 4, 4, 5), &conv, "output");
    for (i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "after%d", i);
        ssde_conv2d(net, h + i, &conv, name);
    }
    CHECK_OK(ssde_net_finish(net, h));
    oracle_from_net(&o, net);
    oracle_random_weights(&o, 1);
    nn_check(&o, NULL);
    oracle_close(&o);
}

/* Odd and even sizes, asymmetric kernels and padding, every up and down. */
static void test_nn_resampling(void) {
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

/* Labels up to 999. A float angle of size a is off by a few a 2^-24, and so is its sine: 3e-4 at most here. Even
   entries of the layout: sines, then cosines. */
static void test_nn_embeddings(void) {
    static const float labels[] = {0.0f, 1e-3f, 0.5f, 1.0f, 17.25f, 500.0f, 999.0f};
    ssde_net *net = NULL;
    ssde_run *run;
    float x[7] = {0}, w[6];
    ssde_node label, positional, fourier;
    size_t row, i;
    CHECK_OK(ssde_net_create(NULL, &net, 3));
    ssde_input(net, 1, 1, 1);
    label = ssde_input_label(net);
    CHECK(ssde_input_label(net) == label);
    positional = ssde_positional_embedding(net, label, 10);
    fourier = ssde_fourier_embedding(net, label, 6, 16.0, "fourier");
    CHECK_OK(ssde_net_finish(net, 0));
    CHECK(!strcmp(ssde_net_parameter(net, 0)->name, "fourier.W") && !ssde_net_parameter(net, 0)->trainable);
    CHECK_OK(ssde_net_get(net, 0, w));
    run = nn_run(net, NULL, SSDE_RUN_INFERENCE, 7);
    run = nn_unshare(run);
    CHECK_OK(ssde_run_forward(run, x, labels, NULL, 7, 0, 0, NULL, NULL));
    for (row = 0; row < 7; row++) {
        const float *y = ssdei_value(run, positional) + row * 10;
        for (i = 0; i < 5; i++) {
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

/* ---- dropout ---- */

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

static void test_nn_dropout(void) {
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
            float keep = (float)(1.0 / (1.0 - p));
            ssde_net *net = nn_dropout_net(p);
            ssde_run *run = nn_run(net, &context, SSDE_RUN_TRAIN, 3), *calm;
            run = nn_unshare(run);
            nn_dropout_masks(run, 3, 9, 4, samples, a, b);
            for (i = 0; i < 3 * n; i++) {
                if (a[i] != 0.0f) CHECK_NEAR(a[i], keep, 2e-7 * (double)keep);
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

/* ---- runs ---- */

/* Everything a U-Net has, small: FIR, both pyramids, attention at both resolutions, dropout, embeddings, scaling. */
static ssde_unet_desc nn_small_unet(void) {
    ssde_unet_desc desc = ssde_ncsnpp(8, 8, 3);
    desc.nf = 8;
    desc.num_levels = 2;
    desc.num_res_blocks = 1;
    desc.num_attn_resolutions = 1;
    desc.attn_resolutions[0] = 8;
    desc.progressive = SSDE_OUTPUT_SKIP;
    desc.fourier_scale = 2.0;
    desc.dropout = 0.2;
    desc.init_scale = 1.0;
    return desc;
}

enum { RUN_ROWS = 7, RUN_DIM = 8 * 8 * 3 };
typedef struct nn_run_data {
    float x[RUN_ROWS * RUN_DIM], v[RUN_ROWS * RUN_DIM], label[RUN_ROWS], sigma[RUN_ROWS];
    uint64_t sample[RUN_ROWS];
} nn_run_data;

static void nn_run_data_fill(nn_run_data *data) {
    size_t i;
    oracle_normals(1, 1.0, RUN_ROWS * RUN_DIM, data->x);
    oracle_normals(2, 1.0, RUN_ROWS * RUN_DIM, data->v);
    for (i = 0; i < RUN_ROWS; i++) {
        data->label[i] = data->sigma[i] = 0.1f + 0.3f * (float)i;
        data->sample[i] = 40 - 3 * i;
    }
}

/* Forward and backward over `count` rows from `first` on in a run of its own. */
static void nn_run_once(const ssde_net *net, const nn_run_data *data, ssde_context *context, ssde_run_mode mode,
                        size_t first, size_t count, size_t max_rows, int skip_cache, float *out, float *gradient) {
    ssde_run_desc desc;
    ssde_run *run = NULL;
    size_t at = first * RUN_DIM;
    memset(&desc, 0, sizeof desc);
    desc.mode = mode;
    desc.max_rows = max_rows;
    desc.skip_weight_cache = skip_cache;
    desc.context = context;
    CHECK_OK(ssde_run_create(&run, net, &desc));
    if (!run) return;
    nn_poison(run);
    CHECK_OK(ssde_run_forward(run, data->x + at, data->label + first, data->sigma + first, count, 3, 2,
                              data->sample + first, out));
    if (mode == SSDE_RUN_VJP) CHECK_OK(ssde_run_backward(run, data->v + at, gradient, NULL));
    if (mode == SSDE_RUN_TRAIN) CHECK_OK(ssde_run_backward(run, data->v + at, NULL, gradient));
    ssde_run_destroy(run);
}

/* Sample i's output and derivative are the same bits alone and in company, for any capacity, number of threads, and
   with or without packed copies; the gradient by weights for any of these but the rows. */
static void test_nn_run_company(void) {
    static nn_run_data data;
    static float out[RUN_ROWS * RUN_DIM], slope[RUN_ROWS * RUN_DIM], other[RUN_ROWS * RUN_DIM],
        other_slope[RUN_ROWS * RUN_DIM];
    ssde_unet_desc shape = nn_small_unet();
    ssde_context context;
    ssde_net *net = NULL;
    float *weights, *other_weights;
    size_t row;
    int tier, threads;
    CHECK_OK(ssde_unet_create(&net, &shape));
    if (!net) return;
    nn_run_data_fill(&data);
    weights = (float *)calloc(2 * ssde_net_weight_count(net), sizeof *weights);
    other_weights = weights + ssde_net_weight_count(net);
    for (tier = 0; nn_tier(tier, &context); tier++) {
        nn_run_once(net, &data, &context, SSDE_RUN_VJP, 0, RUN_ROWS, RUN_ROWS, 0, out, slope);
        for (row = 0; row < RUN_ROWS; row += check_quick ? 3 : 1) {
            nn_run_once(net, &data, &context, SSDE_RUN_VJP, row, 1, row + 1, (int)row % 2, other, other_slope);
            CHECK_SAME(other, out + row * RUN_DIM, RUN_DIM * sizeof *out);
            CHECK_SAME(other_slope, slope + row * RUN_DIM, RUN_DIM * sizeof *out);
        }
        nn_run_once(net, &data, &context, SSDE_RUN_INFERENCE, 2, 3, 19, 1, other, NULL);
        CHECK_SAME(other, out + 2 * RUN_DIM, 3 * RUN_DIM * sizeof *out);
        memset(weights, 0, ssde_net_weight_count(net) * sizeof *weights);
        nn_run_once(net, &data, &context, SSDE_RUN_TRAIN, 0, RUN_ROWS, RUN_ROWS, 0, out, weights);
        for (row = 0; row < RUN_ROWS; row += 3) { /* with its dropout */
            memset(other_weights, 0, ssde_net_weight_count(net) * sizeof *weights);
            nn_run_once(net, &data, &context, SSDE_RUN_TRAIN, row, 1, 2, 0, other, other_weights);
            CHECK_SAME(other, out + row * RUN_DIM, RUN_DIM * sizeof *out);
        }
        nn_run_once(net, &data, &context, SSDE_RUN_VJP, 0, RUN_ROWS, RUN_ROWS, 0, out, slope);
        for (threads = 1; threads <= 4; threads++) {
            threads_hook hook;
            ssde_context several = context;
            hook.threads = threads;
            hook.calls = 0;
            several.parallel_for = threads_parallel_for;
            several.user = &hook;
            several.threads = threads < 4 ? threads : 13; /* tasks without any work too */
            nn_run_once(net, &data, &several, SSDE_RUN_VJP, 0, RUN_ROWS, RUN_ROWS + 1, threads % 2, other, other_slope);
            CHECK_SAME(other, out, sizeof out);
            CHECK_SAME(other_slope, slope, sizeof slope);
            memset(other_weights, 0, ssde_net_weight_count(net) * sizeof *weights);
            nn_run_once(net, &data, &several, SSDE_RUN_TRAIN, 0, RUN_ROWS, RUN_ROWS + 2, threads % 2, other,
                        other_weights);
            CHECK_SAME(other_weights, weights, ssde_net_weight_count(net) * sizeof *weights);
            CHECK((hook.calls > 0) == (threads > 1));
            if (check_quick && threads > 1) break;
        }
    }
    free(weights);
    ssde_net_destroy(net);
}

/* Gradients add to what is there; packed copies follow the weights. */
static void test_nn_run_reuse(void) {
    static nn_run_data data;
    static float out[RUN_ROWS * RUN_DIM], other[RUN_ROWS * RUN_DIM], slope[RUN_ROWS * RUN_DIM],
        other_slope[RUN_ROWS * RUN_DIM];
    ssde_unet_desc shape = nn_small_unet();
    ssde_net *net = NULL;
    ssde_run *runs[2];
    float *weights, *values;
    size_t count, i;
    int k;
    CHECK_OK(ssde_unet_create(&net, &shape));
    if (!net) return;
    nn_run_data_fill(&data);
    count = ssde_net_weight_count(net);
    weights = (float *)calloc(3 * count, sizeof *weights);
    values = weights + 2 * count;
    for (i = 0; i < count; i++) weights[count + i] = 5.0f;
    for (k = 0; k < 2; k++)
        nn_run_once(net, &data, NULL, SSDE_RUN_TRAIN, 0, RUN_ROWS, RUN_ROWS, 0, out, weights + (size_t)k * count);
    for (i = 0; i < count; i++) {
        const float difference = weights[count + i] - 5.0f;
        CHECK_NEAR(difference, weights[i], 1e-6 * (10.0 + fabs((double)weights[i])));
    }
    for (k = 0; k < 2; k++) {
        ssde_run_desc desc;
        memset(&desc, 0, sizeof desc);
        desc.mode = SSDE_RUN_VJP;
        desc.max_rows = RUN_ROWS;
        desc.skip_weight_cache = k;
        CHECK_OK(ssde_run_create(&runs[k], net, &desc));
    }
    for (k = 0; k < 3; k++) { /* the second pass has the copies, the third other weights */
        CHECK_OK(ssde_run_forward(runs[0], data.x, data.label, data.sigma, RUN_ROWS, 0, 0, NULL, out));
        CHECK_OK(ssde_run_backward(runs[0], data.v, slope, NULL));
        CHECK_OK(ssde_run_forward(runs[1], data.x, data.label, data.sigma, RUN_ROWS, 0, 0, NULL, other));
        CHECK_OK(ssde_run_backward(runs[1], data.v, other_slope, NULL));
        CHECK_SAME(other, out, sizeof out);
        CHECK_SAME(other_slope, slope, sizeof slope);
        for (i = 0; k == 1 && i < ssde_net_parameter_count(net); i++) {
            CHECK_OK(ssde_net_get(net, i, values));
            values[0] += 0.25f;
            CHECK_OK(ssde_net_set(net, i, values));
        }
    }
    nn_run_once(net, &data, NULL, SSDE_RUN_VJP, 0, RUN_ROWS, RUN_ROWS, 0, out, slope);
    CHECK_SAME(other, out, sizeof out);
    CHECK_SAME(other_slope, slope, sizeof slope);
    for (k = 0; k < 2; k++) ssde_run_destroy(runs[k]);
    free(weights);
    ssde_net_destroy(net);
}

/* An allocator that counts, and refuses the allocation numbered refuse (-1: none). */
typedef struct nn_memory {
    long made, live, refuse;
    size_t bytes, most; /* asked for and not given back; the most there ever were */
} nn_memory;
enum { NN_MEMORY_HEADER = 16 };
static void *nn_allocate(void *user, size_t size) {
    nn_memory *memory = (nn_memory *)user;
    char *block;
    if (memory->made++ == memory->refuse) return NULL;
    memory->live++;
    memory->bytes += size;
    if (memory->most < memory->bytes) memory->most = memory->bytes;
    block = (char *)malloc(NN_MEMORY_HEADER + size);
    memcpy(block, &size, sizeof size);
    return block + NN_MEMORY_HEADER;
}
static void nn_release(void *user, void *pointer) {
    char *block = (char *)pointer - NN_MEMORY_HEADER;
    size_t size;
    memcpy(&size, block, sizeof size);
    ((nn_memory *)user)->bytes -= size;
    ((nn_memory *)user)->live--;
    free(block);
}
static ssde_context nn_counting(nn_memory *memory) {
    ssde_context context;
    memset(&context, 0, sizeof context);
    memset(memory, 0, sizeof *memory);
    memory->refuse = -1;
    context.allocate = nn_allocate;
    context.release = nn_release;
    context.user = memory;
    return context;
}

/* A run is one block of as many bytes as ssde_run_memory says, to which asking takes little. Nothing is taken by
   passes. */
static void test_nn_run_memory(void) {
    ssde_unet_desc shape = nn_small_unet();
    ssde_net *net = NULL;
    size_t bytes[3][2];
    static nn_run_data data;
    static float out[RUN_ROWS * RUN_DIM];
    int mode, skip;
    CHECK_OK(ssde_unet_create(&net, &shape));
    if (!net) return;
    nn_run_data_fill(&data);
    for (mode = SSDE_RUN_INFERENCE; mode <= SSDE_RUN_TRAIN; mode++) {
        for (skip = 0; skip < 2; skip++) {
            nn_memory memory;
            ssde_context context = nn_counting(&memory);
            ssde_run_desc desc;
            ssde_run *run = NULL;
            long made;
            memset(&desc, 0, sizeof desc);
            desc.mode = (ssde_run_mode)mode;
            desc.max_rows = RUN_ROWS;
            desc.skip_weight_cache = skip;
            desc.context = &context;
            bytes[mode][skip] = ssde_run_memory(net, &desc);
            CHECK(memory.live == 0 && memory.most < bytes[mode][skip] / 4);
            CHECK_OK(ssde_run_create(&run, net, &desc));
            CHECK(memory.bytes == bytes[mode][skip] && memory.live == 1);
            made = memory.made;
            CHECK_OK(ssde_run_forward(run, data.x, data.label, data.sigma, RUN_ROWS, 0, 0, NULL, out));
            if (mode == SSDE_RUN_VJP) CHECK_OK(ssde_run_backward(run, data.v, out, NULL));
            CHECK(memory.made == made);
            ssde_run_destroy(run);
            CHECK(memory.live == 0);
        }
        CHECK(mode == SSDE_RUN_TRAIN ? bytes[mode][1] == bytes[mode][0] : bytes[mode][1] < bytes[mode][0]);
    }
    /* of a network this small, weights and workspaces are most: compare what the rows take */
    for (mode = SSDE_RUN_INFERENCE; mode <= SSDE_RUN_TRAIN; mode++) {
        ssde_run_desc desc;
        memset(&desc, 0, sizeof desc);
        desc.mode = (ssde_run_mode)mode;
        desc.max_rows = 1;
        bytes[mode][0] = ssde_run_memory(net, &desc);
        desc.max_rows = 1001;
        bytes[mode][1] = ssde_run_memory(net, &desc);
        CHECK(bytes[mode][1] > bytes[mode][0]);
        bytes[mode][1] -= bytes[mode][0];
    }
    CHECK(5 * bytes[SSDE_RUN_INFERENCE][1] < bytes[SSDE_RUN_TRAIN][1]);
    CHECK(bytes[SSDE_RUN_VJP][1] < bytes[SSDE_RUN_TRAIN][1]);
    ssde_net_destroy(net);
}

/* The same of a trainer, which has the averaged network and a run. */
static void test_nn_trainer_memory(void) {
    ssde_unet_desc shape = nn_small_unet();
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_train_desc desc = ssde_train_defaults(&sde, 0);
    ssde_net *net = NULL;
    ssde_trainer *trainer = NULL;
    nn_memory memory;
    ssde_context context = nn_counting(&memory);
    size_t before, said;
    shape.context = &context;
    CHECK_OK(ssde_unet_create(&net, &shape));
    if (!net) return;
    desc.batch = 5;
    desc.context = &context;
    before = memory.bytes;
    said = ssde_trainer_memory(net, &desc);
    CHECK(said > 0 && memory.bytes == before);
    CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
    CHECK(memory.bytes == before + said);
    CHECK(ssde_net_memory(ssde_trainer_ema(trainer)) < ssde_net_memory(net));
    ssde_trainer_destroy(trainer);
    CHECK(memory.bytes == before);
    desc.batch = 0;
    CHECK(ssde_trainer_memory(net, &desc) == 0);
    desc.batch = INT_MAX;
    CHECK(ssde_trainer_memory(NULL, &desc) == 0 && ssde_trainer_memory(net, NULL) == 0);
    desc.batch = 5;
    desc.class_dropout = 0.5;
    CHECK(ssde_trainer_memory(net, &desc) == 0);
    ssde_net_destroy(net);
    CHECK(memory.live == 0);
}

/* And of networks: two blocks, which a network that is still to be finished foretells. */
static void test_nn_net_memory(void) {
    nn_memory memory;
    ssde_context context = nn_counting(&memory);
    ssde_unet_desc shape = nn_small_unet();
    ssde_classifier_desc classes = ssde_classifier_of(&shape, 4);
    ssde_mlp_desc mlp = ssde_mlp(3);
    ssde_net *net = NULL;
    size_t said;
    ssde_node h;
    int which;
    shape.context = classes.body.context = mlp.context = &context;
    for (which = 0; which < 3; which++) {
        said = which == 0   ? ssde_unet_memory(&shape)
               : which == 1 ? ssde_classifier_net_memory(&classes)
                            : ssde_mlp_memory(&mlp);
        CHECK(said > 0 && memory.live == 0 && memory.most < said);
        CHECK_OK(which == 0   ? ssde_unet_create(&net, &shape)
                 : which == 1 ? ssde_classifier_net_create(&net, &classes)
                              : ssde_mlp_create(&net, &mlp));
        CHECK(memory.live == 2 && memory.bytes == said && ssde_net_memory(net) == said);
        CHECK(said > 4 * ssde_net_weight_count(net));
        ssde_net_destroy(net);
        memory.most = 0;
    }
    shape.nf = 3;
    classes.classes = 1;
    mlp.dim = 0;
    CHECK(!ssde_unet_memory(&shape) && !ssde_classifier_net_memory(&classes) && !ssde_mlp_memory(&mlp));
    CHECK(!ssde_unet_memory(NULL) && !ssde_classifier_net_memory(NULL) && !ssde_mlp_memory(NULL));
    CHECK_OK(ssde_net_create(&context, &net, 1));
    h = ssde_upsample_nearest(net, ssde_average_pool(net, ssde_input(net, 4, 4, 2)));
    said = ssde_net_memory(net);
    CHECK_OK(ssde_net_finish(net, h)); /* without parameters */
    CHECK(said > 0 && memory.live == 2 && memory.bytes == said && ssde_net_memory(net) == said);
    ssde_net_destroy(net);
    CHECK_OK(ssde_net_create(&context, &net, 1));
    ssde_linear(net, ssde_input(net, 1, 1, 2), 0, 1.0, "linear");
    CHECK(ssde_net_memory(net) == 0 && ssde_net_memory(NULL) == 0);
    ssde_net_destroy(net);
    CHECK(memory.live == 0);
}

/* And of score nets and classifiers. */
static void test_nn_model_memory(void) {
    ssde_unet_desc shape = nn_small_unet();
    ssde_classifier_desc wanted;
    ssde_sde sde = ssde_vp(0.1, 20.0), wrong = ssde_vp(20.0, 0.1);
    ssde_net *net = NULL, *classes = NULL;
    ssde_score_net *score_net = NULL;
    ssde_classifier *classifier = NULL;
    nn_memory memory;
    ssde_context context = nn_counting(&memory);
    ssde_score_net_desc desc;
    size_t said;
    int way;
    shape.classes = 3;
    CHECK_OK(ssde_unet_create(&net, &shape));
    shape.classes = 0;
    wanted = ssde_classifier_of(&shape, 4);
    CHECK_OK(ssde_classifier_net_create(&classes, &wanted));
    memset(&desc, 0, sizeof desc);
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

/* What the README says of DDPM++ for CIFAR-10, 61.8 million weights, at batch 8: 450 MB to evaluate and 1.7 GB to
   train, weights included. */
static void test_nn_memory_ddpmpp(void) {
    ssde_unet_desc shape = ssde_ddpmpp(32, 32, 3);
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_train_desc train = ssde_train_defaults(&sde, 0);
    ssde_net *net = NULL;
    ssde_run_desc run;
    double weights;
    if (check_quick) shape.num_res_blocks = 1; /* bounds that are easier to keep, of weights that are quicker to draw */
    CHECK_OK(ssde_unet_create(&net, &shape));
    if (!net) return;
    weights = 4.0 * (double)ssde_net_weight_count(net);
    memset(&run, 0, sizeof run);
    run.max_rows = train.batch = 8;
    run.skip_weight_cache = 1;
    CHECK(ssde_run_memory(net, &run) > 0 && (double)ssde_run_memory(net, &run) + weights < 450e6);
    CHECK(ssde_trainer_memory(net, &train) > 0 && (double)ssde_trainer_memory(net, &train) + weights < 1.7e9);
    ssde_net_destroy(net);
}

/* What can be created and asked for, under an allocator that refuses any one request. */
enum {
    NN_CREATE_UNET,
    NN_CREATE_CLASSIFIER_NET,
    NN_CREATE_MLP,
    NN_CREATE_NET,
    NN_NETS,
    NN_CREATE_RUN = NN_NETS,
    NN_CREATE_SCORE_NET,
    NN_CREATE_CLASSIFIER,
    NN_CREATE_TRAINER,
    NN_UNET_MEMORY,
    NN_CLASSIFIER_NET_MEMORY,
    NN_MLP_MEMORY,
    NN_RUN_MEMORY,
    NN_SCORE_NET_MEMORY,
    NN_CLASSIFIER_MEMORY,
    NN_TRAINER_MEMORY,
    NN_CREATIONS
};

static ssde_status nn_build_net(ssde_context *context, ssde_net **net) {
    ssde_node h;
    ssdei_try(ssde_net_create(context, net, 1));
    h = ssde_upsample_nearest(*net, ssde_average_pool(*net, ssde_input(*net, 2, 2, 3)));
    if (ssde_net_finish(*net, ssde_linear(*net, h, 3, 1.0, "linear")) == SSDE_OK) return SSDE_OK;
    ssde_net_destroy(*net);
    *net = NULL;
    return SSDE_ERROR_MEMORY;
}

static ssde_status nn_create_net(ssde_context *context, int which, ssde_net **net) {
    ssde_unet_desc shape = nn_small_unet();
    ssde_classifier_desc classes = ssde_classifier_of(&shape, 3);
    ssde_mlp_desc mlp = ssde_mlp(3);
    shape.context = classes.body.context = mlp.context = context;
    mlp.hidden = 8;
    switch (which) {
        case NN_CREATE_UNET: return ssde_unet_create(net, &shape);
        case NN_CREATE_CLASSIFIER_NET: return ssde_classifier_net_create(net, &classes);
        case NN_CREATE_MLP: return ssde_mlp_create(net, &mlp);
        case NN_UNET_MEMORY: return ssde_unet_memory(&shape) ? SSDE_OK : SSDE_ERROR_MEMORY;
        case NN_CLASSIFIER_NET_MEMORY: return ssde_classifier_net_memory(&classes) ? SSDE_OK : SSDE_ERROR_MEMORY;
        case NN_MLP_MEMORY: return ssde_mlp_memory(&mlp) ? SSDE_OK : SSDE_ERROR_MEMORY;
        default: return nn_build_net(context, net);
    }
}

/* Of the networks [NN_NETS] there are. */
static ssde_status nn_create(ssde_context *context, int which, ssde_net *const *nets) {
    ssde_sde sde = ssde_ve(0.01, 50.0);
    ssde_train_desc train = ssde_train_defaults(&sde, 0);
    ssde_score_net_desc how;
    ssde_run_desc desc;
    ssde_net *net = NULL;
    ssde_run *run = NULL;
    ssde_score_net *score_net = NULL;
    ssde_classifier *classifier = NULL;
    ssde_trainer *trainer = NULL;
    ssde_status status = SSDE_OK;
    size_t bytes = 1;
    memset(&desc, 0, sizeof desc);
    memset(&how, 0, sizeof how);
    desc.mode = SSDE_RUN_TRAIN;
    desc.max_rows = how.max_rows = train.batch = 2;
    desc.context = how.context = train.context = context;
    switch (which) {
        case NN_CREATE_RUN: status = ssde_run_create(&run, nets[NN_CREATE_UNET], &desc); break;
        case NN_CREATE_SCORE_NET: status = ssde_score_net_create(&score_net, nets[NN_CREATE_UNET], &sde, &how); break;
        case NN_CREATE_CLASSIFIER:
            status = ssde_classifier_create(&classifier, nets[NN_CREATE_CLASSIFIER_NET], &sde, &how);
            break;
        case NN_CREATE_TRAINER: status = ssde_trainer_create(&trainer, nets[NN_CREATE_MLP], &sde, &train); break;
        case NN_RUN_MEMORY: bytes = ssde_run_memory(nets[NN_CREATE_UNET], &desc); break;
        case NN_SCORE_NET_MEMORY: bytes = ssde_score_net_memory(nets[NN_CREATE_UNET], &sde, &how); break;
        case NN_CLASSIFIER_MEMORY: bytes = ssde_classifier_memory(nets[NN_CREATE_CLASSIFIER_NET], &sde, &how); break;
        case NN_TRAINER_MEMORY: bytes = ssde_trainer_memory(nets[NN_CREATE_MLP], &train); break;
        default: status = nn_create_net(context, which, &net);
    }
    if (!bytes) status = SSDE_ERROR_MEMORY;
    CHECK((net || run || score_net || classifier || trainer) == (status == SSDE_OK && which < NN_UNET_MEMORY));
    ssde_trainer_destroy(trainer);
    ssde_classifier_destroy(classifier);
    ssde_score_net_destroy(score_net);
    ssde_run_destroy(run);
    ssde_net_destroy(net);
    return status;
}

static void test_nn_allocation(void) {
    ssde_net *nets[NN_NETS] = {NULL};
    int which;
    for (which = 0; which < NN_NETS; which++) CHECK_OK(nn_create_net(NULL, which, &nets[which]));
    for (which = 0; which < NN_CREATIONS; which++) {
        long needed, n;
        nn_memory memory;
        ssde_context context = nn_counting(&memory);
        CHECK_OK(nn_create(&context, which, nets));
        needed = memory.made;
        CHECK(needed > 0 && memory.live == 0);
        for (n = 0; n < needed; n += check_quick && needed > 10 ? 1 + n / 3 : 1) {
            context = nn_counting(&memory);
            memory.refuse = n;
            CHECK_FAILS(&context, nn_create(&context, which, nets), SSDE_ERROR_MEMORY, "allocate");
            CHECK(memory.live == 0);
        }
    }
    for (which = 0; which < NN_NETS; which++) ssde_net_destroy(nets[which]);
}

static void test_nn_run_errors(void) {
    ssde_context context;
    ssde_run_desc desc;
    ssde_run *run = NULL, *inference;
    ssde_net *net = NULL, *unfinished = NULL, *constant = NULL, *wide = NULL;
    float x[4] = {1.0f, 2.0f, 3.0f, 4.0f}, out[4], label[2] = {1.0f, 1.0f}, gradient[64] = {0};
    uint64_t sample[2] = {1, (uint64_t)1 << 48};
    ssde_node h;
    memset(&context, 0, sizeof context);
    CHECK_OK(ssde_net_create(&context, &net, 1));
    h = ssde_linear(net, ssde_input(net, 1, 1, 2), 2, 1.0, "linear");
    h = ssde_add_scaled(
        net, h, ssde_linear(net, ssde_positional_embedding(net, ssde_input_label(net), 4), 2, 1.0, "label"), 1.0);
    h = ssde_scale_rows(net, ssde_dropout(net, h, 0.5), ssde_input_sigma(net), SSDE_OVER_SIGMA);
    CHECK_OK(ssde_net_finish(net, h));
    CHECK_OK(ssde_net_create(&context, &unfinished, 1));
    ssde_input(unfinished, 1, 1, 2);
    memset(&desc, 0, sizeof desc);
    desc.context = &context;
    desc.mode = SSDE_RUN_VJP;
    CHECK_FAILS(&context, ssde_run_create(NULL, net, &desc), SSDE_ERROR_ARGUMENT, "run is NULL");
    CHECK_FAILS(&context, ssde_run_create(&run, NULL, &desc), SSDE_ERROR_ARGUMENT, "NULL");
    CHECK_STATUS(ssde_run_create(&run, net, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_FAILS(&context, ssde_run_create(&run, net, &desc), SSDE_ERROR_ARGUMENT, "max_rows is 0");
    CHECK(ssde_run_memory(net, &desc) == 0 && ssde_run_memory(NULL, &desc) == 0 && ssde_run_memory(net, NULL) == 0);
    desc.max_rows = (size_t)1 << 31;
    CHECK_FAILS(&context, ssde_run_create(&run, net, &desc), SSDE_ERROR_ARGUMENT, "max_rows is 2147483648");
    desc.max_rows = 2;
    CHECK_FAILS(&context, ssde_run_create(&run, unfinished, &desc), SSDE_ERROR_ARGUMENT, "not finished");
    desc.mode = (ssde_run_mode)3;
    CHECK_FAILS(&context, ssde_run_create(&run, net, &desc), SSDE_ERROR_ARGUMENT, "mode is 3");
    CHECK(run == NULL);
    CHECK_STATUS(ssde_run_forward(NULL, x, label, label, 1, 0, 0, NULL, out), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_run_backward(NULL, x, out, NULL), SSDE_ERROR_ARGUMENT);
    ssde_run_destroy(NULL);
    run = nn_run(net, &context, SSDE_RUN_VJP, 2);
    CHECK_FAILS(&context, ssde_run_backward(run, x, out, NULL), SSDE_ERROR_ARGUMENT, "no forward");
    CHECK_FAILS(&context, ssde_run_forward(run, NULL, label, label, 1, 0, 0, NULL, out), SSDE_ERROR_ARGUMENT,
                "x is NULL");
    CHECK_FAILS(&context, ssde_run_forward(run, x, NULL, label, 1, 0, 0, NULL, out), SSDE_ERROR_ARGUMENT,
                "label is NULL");
    CHECK_FAILS(&context, ssde_run_forward(run, x, label, NULL, 1, 0, 0, NULL, out), SSDE_ERROR_ARGUMENT,
                "sigma is NULL");
    CHECK_FAILS(&context, ssde_run_forward(run, x, label, label, 0, 0, 0, NULL, out), SSDE_ERROR_ARGUMENT, "rows is 0");
    CHECK_FAILS(&context, ssde_run_forward(run, x, label, label, 3, 0, 0, NULL, out), SSDE_ERROR_ARGUMENT, "rows is 3");
    CHECK_FAILS(&context, ssde_run_backward(run, x, out, NULL), SSDE_ERROR_ARGUMENT, "no forward");
    CHECK_OK(ssde_run_forward(run, x, label, label, 2, 0, 0, NULL, NULL));
    CHECK_FAILS(&context, ssde_run_backward(run, NULL, out, NULL), SSDE_ERROR_ARGUMENT, "gradient is NULL");
    CHECK_FAILS(&context, ssde_run_backward(run, x, out, gradient), SSDE_ERROR_ARGUMENT, "mode");
    CHECK_OK(ssde_run_backward(run, x, NULL, NULL));
    CHECK_OK(ssde_run_backward(run, x, out, NULL));
    ssde_run_destroy(run);
    inference = nn_run(net, &context, SSDE_RUN_INFERENCE, 2);
    CHECK_OK(ssde_run_forward(inference, x, label, label, 2, 0, 0, sample, out));
    CHECK_FAILS(&context, ssde_run_backward(inference, x, out, NULL), SSDE_ERROR_ARGUMENT, "mode");
    ssde_run_destroy(inference);
    run = nn_run(net, &context, SSDE_RUN_TRAIN, 2);
    CHECK_FAILS(&context, ssde_run_forward(run, x, label, label, 2, 0, 0, sample, out), SSDE_ERROR_ARGUMENT, "2^48");
    CHECK_OK(ssde_run_forward(run, x, label, label, 1, 0, 0, sample, out));
    CHECK_FAILS(&context, ssde_run_backward(run, x, out, NULL), SSDE_ERROR_ARGUMENT, "mode");
    CHECK_OK(ssde_run_backward(run, x, NULL, gradient));
    CHECK_FAILS(&context, ssde_run_backward(run, x, NULL, gradient), SSDE_ERROR_ARGUMENT, "forward"); /* only once */
    ssde_run_destroy(run);
    /* an output that does not depend on the input has derivative 0 */
    CHECK_OK(ssde_net_create(&context, &constant, 1));
    ssde_input(constant, 1, 1, 2);
    h = ssde_linear(constant, ssde_positional_embedding(constant, ssde_input_label(constant), 4), 2, 1.0, "label");
    CHECK_OK(ssde_net_finish(constant, h));
    run = nn_run(constant, &context, SSDE_RUN_VJP, 2);
    CHECK_OK(ssde_run_forward(run, x, label, NULL, 2, 0, 0, NULL, NULL));
    out[0] = out[1] = out[2] = out[3] = 7.0f;
    CHECK_OK(ssde_run_backward(run, x, out, NULL));
    CHECK(out[0] == 0.0f && out[1] == 0.0f && out[2] == 0.0f && out[3] == 0.0f);
    ssde_run_destroy(run);
    /* sizes that overflow */
    CHECK_OK(ssde_net_create(&context, &wide, 1));
    CHECK_OK(ssde_net_finish(wide, ssde_input(wide, SIZE_MAX / 128, 1, 1)));
    desc.mode = SSDE_RUN_INFERENCE;
    desc.max_rows = 1 << 20;
    CHECK(ssde_run_memory(wide, &desc) == 0);
    CHECK_FAILS(&context, ssde_run_create(&run, wide, &desc), SSDE_ERROR_MEMORY, "allocate");
    ssde_net_destroy(wide);
    CHECK_OK(ssde_net_create(&context, &wide, 1));
    h = ssde_input(wide, SIZE_MAX / 128, 1, 1); /* attention of P pixels takes 16 P and more */
    CHECK_OK(ssde_net_finish(wide, ssde_attention(wide, h, h, h)));
    desc.max_rows = 1;
    CHECK(ssde_run_memory(wide, &desc) == 0);
    ssde_net_destroy(wide);
    ssde_net_destroy(constant);
    ssde_net_destroy(unfinished);
    ssde_net_destroy(net);
}

static ssde_node nn_conv_with(ssde_net *net, ssde_node x, int kernel, int stride, int before, int after,
                              size_t channels, ssde_node residual) {
    ssde_conv_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.channels = channels;
    desc.kernel = kernel;
    desc.stride = stride;
    desc.pad_before = before;
    desc.pad_after = after;
    desc.residual = residual;
    return ssde_conv2d(net, x, &desc, "w");
}

/* A wrong call on a network with nodes 0: input 4 x 4 x 3, 1: label, 2: sigma, 3: 2 x 2 x 3; and words of its error;
   NULL at the end. */
static const char *nn_wrong(ssde_net *net, int which, ssde_node *node) {
    static const double kernel[] = {1.0, 2.0, -3.0, 1.0}, infinite[] = {1.0, NAN};
    const ssde_conv_desc three = ssde_conv(3, 3), one = ssde_conv(3, 1);
    char name[96];
    memset(name, 'n', sizeof name);
    name[95] = 0;
    switch (which) {
        case 0: return *node = nn_conv_with(net, 0, 2, 1, 1, 1, 3, -1), "kernel is 2";
        case 1: return *node = nn_conv_with(net, 0, 3, 3, 1, 1, 3, -1), "stride 3";
        case 2: return *node = nn_conv_with(net, 0, 3, 0, 1, 1, 3, -1), "stride 0";
        case 3: return *node = nn_conv_with(net, 0, 3, 1, 3, 1, 3, -1), "padding";
        case 4: return *node = nn_conv_with(net, 0, 3, 1, 1, -1, 3, -1), "padding";
        case 5: return *node = nn_conv_with(net, 0, 3, 1, 1, 1, 0, -1), "channels is 0";
        case 6: return *node = nn_conv_with(net, 0, 3, 1, 1, 1, 3, 3), "residual";
        case 7: return *node = nn_conv_with(net, 0, 3, 1, 1, 1, 3, 99), "not a node";
        case 8: return *node = ssde_conv2d(net, -1, &three, "w"), "not a node";
        case 9: return *node = ssde_conv2d(net, 99, &three, "w"), "not a node";
        case 10: return *node = ssde_conv2d(net, 0, NULL, "w"), "desc is NULL";
        case 11: return *node = ssde_conv2d(net, 0, &three, NULL), "name";
        case 12: return *node = ssde_conv2d(net, 0, &three, name), "too long";
        case 13: return *node = ssde_nin(net, 0, &three, "w"), "kernel is 3, wanted 1";
        case 14: return *node = ssde_nin(net, 0, NULL, "w"), "desc is NULL";
        case 15: return *node = ssde_nin(net, -1, &one, "w"), "not a node";
        case 16: return *node = ssde_linear(net, 0, 0, 1.0, "w"), "channels is 0";
        case 17: return *node = ssde_linear(net, 0, 2, -1.0, "w"), "scale";
        case 18: return *node = ssde_linear(net, 0, 2, NAN, "w"), "scale";
        case 19: return *node = ssde_linear(net, 0, SIZE_MAX / 4, 1.0, "w"), "";
        case 20: return *node = ssde_group_norm(net, 0, 0, SSDE_SILU, "w"), "groups";
        case 21: return *node = ssde_group_norm(net, 0, 2, SSDE_SILU, "w"), "groups";
        case 22: return *node = ssde_group_norm(net, 0, 1, SSDE_RELU, "w"), "activation";
        case 23: return *node = ssde_group_norm(net, 0, 1, SSDE_SILU, name), "too long";
        case 24: return *node = ssde_group_norm(net, 7, 1, SSDE_SILU, "w"), "not a node";
        case 25: return *node = ssde_attention(net, 0, 3, 0), "differ in shape";
        case 26: return *node = ssde_attention(net, 0, 0, 3), "differ in shape";
        case 27: return *node = ssde_attention(net, 0, 0, -1), "not a node";
        case 28: return *node = ssde_add_scaled(net, 0, 3, 1.0), "a's shape";
        case 29: return *node = ssde_add_scaled(net, 0, 1, 1.0), "a's shape";
        case 30: return *node = ssde_concat(net, 0, 3), "differ in size";
        case 31: return *node = ssde_dropout(net, 0, 1.0), "probability";
        case 32: return *node = ssde_dropout(net, 0, -0.1), "probability";
        case 33: return *node = ssde_dropout(net, 0, NAN), "probability";
        case 34: return *node = ssde_dropout(net, 50, 0.0), "not a node";
        case 35: return *node = ssde_fir(net, 0, 1, 1, 1, 1, kernel, 0), "taps 0";
        case 36: return *node = ssde_fir(net, 0, 1, 1, 1, 1, kernel, 9), "taps 9";
        case 37: return *node = ssde_fir(net, 0, 1, 1, 1, 1, NULL, 2), "kernel is NULL";
        case 38: return *node = ssde_fir(net, 0, 3, 1, 1, 1, kernel, 2), "up is 3";
        case 39: return *node = ssde_fir(net, 0, 1, 0, 1, 1, kernel, 2), "down 0";
        case 40: return *node = ssde_fir(net, 0, 1, 1, -1, 1, kernel, 2), "padding";
        case 41: return *node = ssde_fir(net, 0, 1, 1, 1, 9, kernel, 2), "padding";
        case 42: return *node = ssde_fir(net, 0, 1, 1, 1, 1, kernel, 3), "sum is 0";
        case 43: return *node = ssde_fir(net, 0, 1, 1, 1, 1, infinite, 2), "wanted a finite number";
        case 44: return *node = ssde_fir(net, 1, 1, 1, 0, 0, kernel, 4), "shorter than the filter of 4";
        case 45: return *node = ssde_fir(net, 20, 1, 1, 0, 0, kernel, 4), "not a node";
        case 46: return *node = ssde_average_pool(net, 1), "shorter than the filter of 2";
        case 47: return *node = ssde_upsample_nearest(net, -1), "not a node";
        case 48: return *node = ssde_positional_embedding(net, 1, 3), "dim is 3";
        case 49: return *node = ssde_positional_embedding(net, 0, 8), "48 labels";
        case 50: return *node = ssde_fourier_embedding(net, 1, 0, 1.0, "w"), "dim is 0";
        case 51: return *node = ssde_fourier_embedding(net, 0, 4, 1.0, "w"), "48 labels";
        case 52: return *node = ssde_fourier_embedding(net, 1, 4, (double)INFINITY, "w"), "scale";
        case 53: return *node = ssde_fourier_embedding(net, 1, 4, 1.0, name), "too long";
        case 54: return *node = ssde_scale_rows(net, 0, 3, SSDE_OVER_SIGMA), "12 values per sample, wanted 1";
        case 55: return *node = nn_conv_with(net, 1, 3, 1, 1, 0, 3, -1), "2 x 2 is smaller than the kernel of 3";
        case 56: return *node = ssde_activate(net, 0, (ssde_activation)6), "activation is 6";
        case 57: return *node = ssde_activate(net, 4, SSDE_SILU), "not a node";
        case 58: return *node = ssde_affine_map(net, -2, 1.0, 1.0), "not a node";
        case 59: return *node = ssde_input(net, 4, 4, 3), "input already";
        case 60: return *node = ssde_modulate(net, 0, 3), "two values per channel";
        case 61: return *node = ssde_modulate(net, 0, -1), "not a node";
        case 62: return *node = ssde_mean_pixels(net, 9), "not a node";
        case 63: return *node = ssde_class_embedding(net, 1, 3, 4, "w"), "ssde_input_class";
        case 64: return *node = ssde_class_embedding(net, ssde_input_class(net), 0, 4, "w"), "classes is 0";
        case 65:
            ssde_class_embedding(net, ssde_input_class(net), 3, 4, "v");
            return *node = ssde_class_embedding(net, ssde_input_class(net), 4, 4, "w"), "classes is 4, another one's 3";
        case 66: return *node = ssde_concat(net, 1, 0), "differ in size";
        case 67: return *node = -1, ssde_net_finish(net, 9) == SSDE_OK ? "" : "not a node";
        default: return NULL;
    }
}

/* The calls that every network refuses after a failure, without one, and when it is finished. */
static void nn_refuses(ssde_net *net) {
    static const double kernel[] = {1.0, 1.0};
    ssde_conv_desc desc = ssde_conv(3, 1);
    size_t parameters = ssde_net_parameter_count(net);
    CHECK(ssde_input(net, 4, 4, 3) == -1 && ssde_conv2d(net, 0, &desc, "w") == -1);
    CHECK(ssde_linear(net, 0, 2, 1.0, "w") == -1 && ssde_nin(net, 0, &desc, "w") == -1);
    CHECK(ssde_activate(net, 0, SSDE_SILU) == -1 && ssde_group_norm(net, 0, 1, SSDE_SILU, "w") == -1);
    CHECK(ssde_attention(net, 0, 0, 0) == -1 && ssde_add_scaled(net, 0, 0, 1.0) == -1 && ssde_concat(net, 0, 0) == -1);
    CHECK(ssde_affine_map(net, 0, 1.0, 0.0) == -1 && ssde_dropout(net, 0, 0.5) == -1 &&
          ssde_dropout(net, 0, 0.0) == -1);
    CHECK(ssde_upsample_nearest(net, 0) == -1 && ssde_average_pool(net, 0) == -1);
    CHECK(ssde_fir(net, 0, 1, 1, 1, 0, kernel, 2) == -1 && ssde_positional_embedding(net, 1, 8) == -1);
    CHECK(ssde_fourier_embedding(net, 1, 8, 1.0, "w") == -1 && ssde_scale_rows(net, 0, 2, SSDE_OVER_SIGMA) == -1);
    CHECK(ssde_net_finish(net, 0) != SSDE_OK);
    CHECK(ssde_net_parameter_count(net) == parameters);
}

static void test_nn_build_errors(void) {
    ssde_context context;
    ssde_net *net = NULL;
    size_t height = 9, width = 9, channels = 9;
    int which = 0;
    const char *words = "";
    memset(&context, 0, sizeof context);
    for (which = 0; words; which++) {
        ssde_node node = -1;
        CHECK_OK(ssde_net_create(&context, &net, 1));
        CHECK(ssde_input(net, 4, 4, 3) == 0 && ssde_input_label(net) == 1 && ssde_input_sigma(net) == 2);
        CHECK(ssde_average_pool(net, 0) == 3);
        context.error[0] = 0;
        words = nn_wrong(net, which, &node);
        if (words) {
            CHECK(node == -1 && context.error[0]);
            check_count++;
            if (!strstr(context.error, words))
                check_report(__FILE__, __LINE__, "case %d: the error '%s' does not mention '%s'", which, context.error,
                             words);
            nn_refuses(net);
        }
        ssde_net_destroy(net);
    }
    CHECK(which == 69);
#ifndef __cplusplus
    CHECK_OK(ssde_net_create(&context, &net, 1));
    CHECK(ssde_scale_rows(net, ssde_input(net, 1, 1, 1), ssde_input_sigma(net), (ssde_row_scale)2) == -1);
    CHECK(strstr(context.error, "scale is 2, wanted an ssde_row_scale") != NULL &&
          ssde_net_finish(net, 0) == SSDE_ERROR_SHAPE);
    ssde_net_destroy(net);
#endif
    CHECK_OK(ssde_net_create(&context, &net, 1));
    CHECK_FAILS(&context, ssde_net_finish(net, 0), SSDE_ERROR_SHAPE, "no input");
    ssde_net_destroy(net);
    CHECK_OK(ssde_net_create(&context, &net, 1));
    CHECK(ssde_concat(net, ssde_input(net, 1, 1, 1), ssde_input_class(net)) == 2);
    CHECK_FAILS(&context, ssde_net_finish(net, 2), SSDE_ERROR_SHAPE, "ssde_class_embedding");
    ssde_net_destroy(net);
    CHECK_OK(ssde_net_create(&context, &net, 1));
    CHECK(ssde_input(net, 0, 4, 3) == -1 && ssde_net_finish(net, 0) == SSDE_ERROR_SHAPE);
    ssde_net_destroy(net);
    CHECK_OK(ssde_net_create(&context, &net, 1));
    CHECK(ssde_input(net, SIZE_MAX / 2, SIZE_MAX / 2, 3) == -1 && ssde_net_finish(net, 0) == SSDE_ERROR_SHAPE);
    ssde_net_destroy(net);
    CHECK_OK(ssde_net_create(&context, &net, 1));
    ssde_input(net, 4, 4, 3), ssde_input_label(net), ssde_input_sigma(net);
    CHECK(ssde_net_finish(net, 0) == SSDE_OK);
    CHECK(ssde_linear(net, 0, 2, 1.0, "late") == -1 && ssde_net_parameter_count(net) == 0);
    nn_refuses(net);
    nn_refuses(NULL);
    CHECK(ssde_input_label(NULL) == -1 && ssde_input_sigma(NULL) == -1);
    CHECK_FAILS(&context, ssde_net_create(&context, NULL, 1), SSDE_ERROR_ARGUMENT, "net is NULL");
    CHECK(ssde_net_dim(NULL) == 0 && ssde_net_parameter_count(NULL) == 0 && ssde_net_weight_count(NULL) == 0);
    CHECK(ssde_net_dim(net) == 48);
    ssde_net_shape(NULL, &height, &width, &channels);
    CHECK(height == 0 && width == 0 && channels == 0);
    ssde_net_shape(net, &height, NULL, &channels);
    CHECK(height == 4 && channels == 3);
    ssde_net_destroy(net);
    ssde_net_destroy(NULL);
}

/* ---- U-Nets ---- */

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
        ssdei_parameter_to_file(&o->net->parameters[i], gradient + o->net->parameters[i].offset, file + o->first[i]);
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
/* With FIR the filter before the kernel: test_nn_unet_resampling has the reference's order. */
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
    h = nn_wire_product(w, oracle_attention(&w->o, q, k, v), channels, ORACLE_AS_NIN, "NIN_3");
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
static void test_nn_unet_flags(void) {
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
static void test_nn_unet_resampling(void) {
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
    ssde_context context;
    ssde_net *net = NULL;
    memset(&context, 0, sizeof context);
    desc.context = &context;
    CHECK_FAILS(&context, ssde_unet_create(&net, &desc), status, words);
    CHECK(net == NULL);
}

static void test_nn_unet_errors(void) {
    const ssde_unet_desc good = nn_small_unet();
    const ssde_status argument = SSDE_ERROR_ARGUMENT, wrong_shape = SSDE_ERROR_SHAPE;
    ssde_context context;
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
    memset(&context, 0, sizeof context);
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

/* The same seed starts the same, another does not; no two tensors share their draws; and the constructors' sizes. */
static void test_nn_initialisation(void) {
    ssde_unet_desc desc = nn_small_unet();
    ssde_net *nets[3] = {NULL, NULL, NULL};
    size_t i, j;
    for (i = 0; i < 3; i++) {
        desc.seed = i / 2;
        CHECK_OK(ssde_unet_create(&nets[i], &desc));
    }
    CHECK_SAME(nets[0]->weights, nets[1]->weights, ssde_net_weight_count(nets[0]) * sizeof(float));
    for (i = 0; i < ssde_net_parameter_count(nets[0]); i++) {
        const ssdei_parameter *parameter = &nets[0]->parameters[i];
        const float *values = nets[0]->weights + parameter->offset;
        if (parameter->info.rank == 1) continue;
        CHECK(memcmp(values, nets[2]->weights + parameter->offset, parameter->info.count * sizeof *values) != 0);
        for (j = 0; j < i; j++) {
            const ssdei_parameter *other = &nets[0]->parameters[j];
            if (other->info.count != parameter->info.count) continue;
            CHECK(memcmp(values, nets[0]->weights + other->offset, parameter->info.count * sizeof *values) != 0);
        }
    }
    for (i = 0; i < 3; i++) ssde_net_destroy(nets[i]);
    desc = ssde_ddpmpp(28, 28, 1);
    CHECK(desc.num_levels == 3 && desc.nf == 128 && desc.ch_mult[2] == 2 && desc.centered && !desc.fir);
    desc = ssde_ncsnpp(32, 32, 3);
    CHECK(desc.num_levels == 4 && desc.fir && !desc.centered && desc.scale_by_sigma);
    desc = ssde_ddpmpp(7, 32, 1);
    CHECK(desc.num_levels == 1);
}

static void test_nn_mlp(void) {
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

/* ---- vector functions ---- */

/* Runs a tier's ssdei_exp, ssdei_log_positive or ssdei_sigmoid (function 0, 1, 2) over count values, a multiple of 16.
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
            else if (function == 1)                                                                       \
                v = ssdei_log_positive_##tier(v);                                                         \
            else                                                                                          \
                v = ssdei_sigmoid_##tier(v);                                                              \
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
static double nn_vector_exact(int function, double x) {
    return function == 0 ? exp(x) : function == 1 ? log(x) : 1.0 / (1.0 + exp(-x));
}

/* The largest error over evenly spaced numbers (exponential, sigmoid) or bit patterns (logarithm). */
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

static void test_nn_vector_functions(void) {
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
        CHECK(nn_vector_error(vector, 2, -87.3, 87.3, blocks) <= 2.5);
        CHECK(nn_vector_error(vector, 2, -4.0, 4.0, blocks) <= 2.5);
        for (i = 0; i < 16; i++) x[i] = 0.0f;
        x[0] = NAN, x[1] = INFINITY, x[2] = -INFINITY, x[3] = 88.7228f, x[4] = 88.7229f, x[5] = 1e30f;
        x[6] = -87.3366f, x[7] = -87.3365f, x[8] = -104.0f, x[9] = -1e30f, x[10] = -0.0f, x[11] = 1e-40f, x[12] = -NAN;
        vector(0, x, y, 16);
        CHECK(isnan(y[0]) && isnan(y[12]) && isinf(y[1]) && y[1] > 0.0f && y[2] == 0.0f);
        CHECK(y[3] < INFINITY && y[3] > 3.4e38f && isinf(y[4]) && isinf(y[5]));
        CHECK(y[6] == 0.0f && y[7] >= 1.17549435e-38f && y[8] == 0.0f && y[9] == 0.0f);
        CHECK(y[10] == 1.0f && y[11] == 1.0f && y[15] == 1.0f);
        vector(2, x, y, 16);
        CHECK(isnan(y[0]) && isnan(y[12]) && y[1] == 1.0f && y[2] == 0.0f && y[5] == 1.0f && y[9] == 0.0f &&
              y[10] == 0.5f);
    }
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

static void test_nn_configurations(void) {
    ssde_context context;
    ssde_unet_desc shape;
    ssde_train_desc train;
    ssde_sde sde;
    size_t count = sizeof nn_configurations / sizeof nn_configurations[0], i, j;
    memset(&context, 0, sizeof context);
    for (i = 0; i < count; i++) {
        ssde_net *net = NULL;
        ssde_node output;
        CHECK_OK(ssde_configuration(&context, nn_configurations[i].name, &shape, &sde, &train));
        for (j = 0; ssde_configuration_name(j) && strcmp(ssde_configuration_name(j), nn_configurations[i].name);) j++;
        CHECK(ssde_configuration_name(j) != NULL);
        shape = ssdei_unet_as_built(&shape);
        CHECK_OK(ssdei_unet_build(&net, &shape, &output));  /* the weights themselves would take up to 450 MB */
        if (sizeof(size_t) < 8 && net->status != SSDE_OK) { /* large networks do not fit into 32 bits */
            CHECK(net->status == SSDE_ERROR_MEMORY && nn_configurations[i].weights > 100000000);
            ssde_net_destroy(net);
            continue;
        }
        CHECK(net && net->status == SSDE_OK && ssdei_is_node(net, output));
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
    CHECK(!ssde_configuration_name(count));
    CHECK_OK(ssde_configuration(NULL, "vp/ddpm/cifar10", NULL, NULL, NULL));
    CHECK_FAILS(&context, ssde_configuration(&context, "vp/cifar10", &shape, &sde, &train), SSDE_ERROR_ARGUMENT,
                "no configuration 'vp/cifar10'");
    CHECK(strstr(context.error, "ssde_configuration_name") != NULL); /* the text fits */
    CHECK_STATUS(ssde_configuration(NULL, NULL, &shape, &sde, &train), SSDE_ERROR_ARGUMENT);
}

/* ---- score models ---- */

static double nn_affine_drift(void *user, double t) {
    (void)user;
    return -0.5 * t;
}
static double nn_affine_diffusion(void *user, double t) {
    (void)user;
    return 1.0 + t;
}

/* score = -net(x, 999 t) / std(t), or net(x, std(t)) for VE; the VJP the same way; against the oracle and its
 * differences. */
static void nn_score_case(ssde_sde sde, ssde_context *context) {
    enum { ROWS = 4, DIM = 3 };
    static const double times[ROWS] = {0.3, 0.3, 1.0, 1e-3};
    ssde_score_net_desc desc;
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
    memset(&desc, 0, sizeof desc);
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
        CHECK_OK(ssde_score_net_label(context, &sde, times[row], &net_label, &sigma));
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

static void test_nn_score_net(void) {
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
        nn_score_case(ssde_affine(nn_affine_drift, nn_affine_diffusion, NULL), &context);
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
    CHECK_STATUS(ssde_score_net_label(NULL, &sde, 0.5, NULL, &sigma), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_score_net_label(NULL, &sde, 0.5, &label, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_score_net_label(NULL, NULL, 0.5, &label, &sigma), SSDE_ERROR_ARGUMENT);
    ssde_net_destroy(net);
}

#define TEST_NN_LIST(X)         \
    X(nn_golden_ddpmpp_vp)      \
    X(nn_golden_ddpmpp_subvp)   \
    X(nn_golden_ncsnpp_ve)      \
    X(nn_golden_ncsnpp_ve_skip) \
    X(nn_golden_ddpm_vp)        \
    X(nn_golden_flags)          \
    X(nn_golden_scores)         \
    X(nn_conv_padding)          \
    X(nn_conv_sizes)            \
    X(nn_conv_residual)         \
    X(nn_conv_channel_residual) \
    X(nn_conv_wide)             \
    X(nn_parameter_order)       \
    X(nn_own_optimiser)         \
    X(nn_group_norm)            \
    X(nn_group_norm_extremes)   \
    X(nn_channel_moments)       \
    X(nn_silu)                  \
    X(nn_attention)             \
    X(nn_attention_company)     \
    X(nn_attention_memory)      \
    X(nn_softmax)               \
    X(nn_small_operations)      \
    X(nn_early_output)          \
    X(nn_resampling)            \
    X(nn_embeddings)            \
    X(nn_dropout)               \
    X(nn_run_company)           \
    X(nn_run_reuse)             \
    X(nn_run_memory)            \
    X(nn_trainer_memory)        \
    X(nn_net_memory)            \
    X(nn_model_memory)          \
    X(nn_memory_ddpmpp)         \
    X(nn_run_errors)            \
    X(nn_allocation)            \
    X(nn_build_errors)          \
    X(nn_unet_flags)            \
    X(nn_unet_resampling)       \
    X(nn_unet_errors)           \
    X(nn_initialisation)        \
    X(nn_mlp)                   \
    X(nn_vector_functions)      \
    X(nn_configurations)        \
    X(nn_score_net)

#endif
