/* What tests of networks in several files share. */
#ifndef FIXTURES_NN_H
#define FIXTURES_NN_H

#include <locale.h>

#include "check.h"
#include "fixtures_core.h"
#include "nn_oracle.h"

/* The tiers of this machine: every index below their number is one. */
static int nn_tier(int index, ssde_context *context) {
    int tier = 0;
    while (index >= 0 && core_next_tier(&tier, context)) index--;
    return index < 0;
}

/* ---- golden networks ---- */

/* The algorithm of 3x3 convolutions in the runs that these tests create. */
static ssde_convolution nn_convolution;

/* ---- flags that the golden networks lack, against the reference (unet_flags.safetensors names its source) ---- */

static ssde_run *nn_run(const ssde_net *net, ssde_context *context, ssde_run_mode mode, size_t max_rows) {
    ssde_run_desc desc = ssde_run_defaults(mode, max_rows);
    ssde_run *run = NULL;
    desc.convolution = nn_convolution;
    desc.context = context;
    CHECK_OK(ssde_run_create(&run, net, &desc));
    return run;
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

/* What goes in, and slopes of sum(v output) by differences: along two directions of the input, one of each parameter;
   and of sum(v output + u J p), p a direction of the input and J p the output's derivative along it, of each parameter.
 */
typedef struct nn_data {
    size_t rows, dim;
    float *x, *v, *u, *p, *label, *sigma;
    double *x_double, *p_double, input_slope[2], *parameter_slope, *tangent_slope;
    int tangents; /* the objective has u J p, too */
} nn_data;

static double nn_objective(oracle *o, const nn_data *data) {
    double sum = 0.0;
    size_t row, i;
    for (row = 0; row < data->rows; row++) {
        size_t at = row * data->dim;
        const double *out = oracle_forward(o, data->x_double + at, (double)data->label[row], (double)data->sigma[row]);
        const double *tangent = data->tangents ? oracle_forward_tangent(o, data->p_double + at) : NULL;
        for (i = 0; i < data->dim; i++)
            sum += (double)data->v[at + i] * out[i] + (tangent ? (double)data->u[at + i] * tangent[i] : 0.0);
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
    data->x = (float *)malloc(4 * count * sizeof *data->x);
    data->v = data->x + count;
    data->u = data->v + count;
    data->p = data->u + count;
    data->label = (float *)malloc(2 * options->rows * sizeof *data->label);
    data->sigma = data->label + options->rows;
    data->x_double = (double *)malloc(2 * count * sizeof *data->x_double);
    data->p_double = data->x_double + count;
    data->parameter_slope = (double *)calloc(2 * o->parameters + 1, sizeof(double));
    data->tangent_slope = data->parameter_slope + o->parameters;
    oracle_normals(11, options->spread, count, data->x);
    oracle_normals(12, 1.0, count, data->v);
    oracle_normals(13, 1.0, count, data->u);
    oracle_normals(14, options->spread, count, data->p);
    for (i = 0; i < count; i++) {
        data->x[i] += (float)options->mean;
        data->x_double[i] = (double)data->x[i];
        data->p_double[i] = (double)data->p[i];
    }
    for (i = 0; i < options->rows; i++) {
        data->label[i] = o->net->label_rows ? (float)((i + 1) % o->net->label_rows) : 0.4f + 0.7f * (float)i;
        data->sigma[i] = 0.3f + 0.5f * (float)i;
    }
    for (i = 0; i < 2; i++)
        data->input_slope[i] = nn_difference(o, data, data->x_double, count, 21 + i, 1e-5 * options->spread);
    for (i = 0; i < 2 * o->parameters; i++) {
        size_t k = i % o->parameters;
        data->tangents = i >= o->parameters;
        data->parameter_slope[i] =
            nn_difference(o, data, o->weights + o->first[k], o->first[k + 1] - o->first[k], 31 + k, 1e-5);
    }
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

/* What oracles are told beside the label: the null class, or class 1 where there is none, and their vector. */
static void nn_tell(ssde_run *run) {
    size_t size = ssde_net_vector(run->net), rows = run->max_rows, row;
    int32_t *classes = (int32_t *)malloc(rows * sizeof *classes);
    float *vectors = (float *)malloc((rows * size + 1) * sizeof *vectors);
    for (row = 0; row < rows; row++) {
        classes[row] = 1;
        oracle_normals(17, 1.0, size, vectors + row * size);
    }
    CHECK_OK(ssde_run_set_classes(run, run->net->no_null_class ? classes : NULL, rows));
    if (size) CHECK_OK(ssde_run_set_vectors(run, vectors, rows));
    free(classes);
    free(vectors);
}

/* NaN wherever nothing may be kept from one forward pass to the next: values, gradients, workspaces, sums. */
static void nn_poison(ssde_run *run) {
    size_t i;
    for (i = 0; i < run->zeros; i++) run->arena[i] = NAN;
    for (i = run->workspace; i < run->workspace + run->tasks * run->task_floats; i++) run->arena[i] = NAN;
    nn_tell(run);
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

/* Gives every value, gradient and statistic a place of its own, so that nothing is ever overwritten, and runs every
   step: what a plan that shares memory rightly must agree with, bit for bit. */
static ssde_run *nn_unshare(ssde_run *run) {
    size_t total = run->arena_floats, nodes = (size_t)run->net->node_count, i;
    for (i = 0; i < nodes; i++) {
        const ssdei_node *node = &run->net->nodes[i];
        size_t floats = ssdei_round_floats((run->steps[i].moves ? 2 : 1) * run->max_rows * node->count);
        run->steps[i].value = total;
        run->steps[i].gradient = total + floats;
        run->steps[i].saved = total + 2 * floats;
        run->steps[i].idle = 0;
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
static void nn_check_parameters(const oracle *o, const double *slopes, const float *gradient, double tolerance) {
    float *file = (float *)malloc((ssde_net_weight_count(o->net) + 1) * sizeof *file);
    double norm, largest = 0.0, slope;
    size_t i;
    for (i = 0; i < o->parameters; i++) {
        nn_along(gradient + o->net->parameters[i].offset, o->net->parameters[i].info.count, 31 + i, &norm);
        if (largest < norm) largest = norm;
    }
    for (i = 0; i < o->parameters; i++) {
        const ssdei_parameter *parameter = &o->net->parameters[i];
        ssdei_parameter_to_file(ssdei_kernels_for(NULL), parameter, gradient + parameter->offset, file);
        slope = nn_along(file, parameter->info.count, 31 + i, &norm);
        if (!parameter->info.trainable) {
            CHECK(norm == 0.0);
            continue;
        }
        check_count++;
        if (!(fabs(slope - slopes[i]) <= tolerance * (norm + 0.2 * largest)))
            check_report(__FILE__, __LINE__, "gradient of %s: slope %.9g, by differences %.9g, norm %.3g of %.3g",
                         parameter->info.name, slope, slopes[i], norm, largest);
    }
    free(file);
}

/* Mode tangent: the output as in the other modes, J p by the oracle and by the input's gradient in mode VJP, the
   parameters' derivatives of <v, output> + <u, J p>. */
static void nn_check_tangents(oracle *o, const nn_data *data, const nn_options *options, ssde_context *context,
                              const float *out, const float *input_gradient) {
    size_t count = data->rows * data->dim, weights = ssde_net_weight_count(o->net), row, i;
    float *buffer = (float *)calloc(3 * count + 2 * weights + 1, sizeof *buffer), *again = buffer;
    float *tangent[2], *gradient[2];
    float *expected = (float *)calloc(count, sizeof *expected);
    double norm = 0.0, sides[2] = {0.0, 0.0};
    const double *exact;
    ssde_run *run;
    int apart;
    for (apart = 0; apart < 2; apart++) {
        tangent[apart] = again + (size_t)(apart + 1) * count;
        gradient[apart] = again + 3 * count + (size_t)apart * weights;
        run = nn_run(o->net, context, SSDE_RUN_TANGENT, data->rows + (size_t)(1 - apart));
        if (!run) continue;
        if (apart) run = nn_unshare(run);
        nn_poison(run);
        CHECK_OK(ssde_run_forward_tangent(run, data->x, data->p, data->label, data->sigma, data->rows, 0, 0, NULL,
                                          again, tangent[apart]));
        CHECK_SAME(again, out, count * sizeof *out);
        CHECK_OK(ssde_run_backward_tangent(run, data->v, data->u, gradient[apart]));
        ssde_run_destroy(run);
    }
    CHECK_SAME(tangent[1], tangent[0], count * sizeof *out);
    CHECK_SAME(gradient[1], gradient[0], weights * sizeof *out);
    for (row = 0; row < data->rows; row++) {
        oracle_forward(o, data->x_double + row * data->dim, (double)data->label[row], (double)data->sigma[row]);
        exact = oracle_forward_tangent(o, data->p_double + row * data->dim);
        for (i = 0; i < data->dim; i++) expected[row * data->dim + i] = (float)exact[i];
    }
    for (i = 0; i < count; i++) {
        norm += (double)input_gradient[i] * (double)input_gradient[i] * options->spread * options->spread;
        sides[0] += (double)data->v[i] * (double)tangent[0][i];
        sides[1] += (double)input_gradient[i] * (double)data->p[i];
    }
    CHECK_ARRAY(tangent[0], expected, count, options->gradient);
    CHECK_NEAR(sides[0], sides[1], options->gradient * sqrt(norm));
    nn_check_parameters(o, data->tangent_slope, gradient[0], 2.0 * options->gradient); /* two ways of rounding */
    free(expected);
    free(buffer);
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
    nn_check_parameters(o, data->parameter_slope, gradient, options->gradient);
    nn_check_tangents(o, data, options, context, out, first);
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

/* ---- numbers; networks that are told of noise and classes; files ---- */

/* |y - exact| in units of the last place of a float of exact's size. */
static double nn_ulps(float y, double exact) {
    int exponent;
    frexp(exact, &exponent);
    if (exponent < -125) exponent = -125;
    return fabs((double)y - exact) / ldexp(1.0, exponent - 24);
}

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

#define CONDITIONING_PATH "test_nn_conditioning.safetensors"

static ssde_unet_desc conditioning_unet(ssde_noise_conditioning noise, size_t classes) {
    ssde_unet_desc desc = nn_small_unet();
    desc.nf = 4;
    desc.height = 4;
    desc.dropout = 0.0;
    desc.noise_conditioning = noise;
    desc.classes = classes;
    return desc;
}

/* A network with weights that are zero nowhere. */
static ssde_net *conditioning_net_of(const ssde_unet_desc *desc, uint64_t seed) {
    ssde_net *net = NULL;
    oracle o;
    CHECK_OK(ssde_unet_create(&net, desc));
    oracle_from_net(&o, net);
    oracle_random_weights(&o, seed);
    o.net = NULL;
    oracle_close(&o);
    return net;
}

static ssde_net *conditioning_net(ssde_noise_conditioning noise, size_t classes, uint64_t seed) {
    ssde_unet_desc desc = conditioning_unet(noise, classes);
    return conditioning_net_of(&desc, seed);
}

static const ssde_parameter *conditioning_parameter(const ssde_net *net, const char *name, size_t *index) {
    for (*index = 0; *index < ssde_net_parameter_count(net); ++*index)
        if (!strcmp(ssde_net_parameter(net, *index)->name, name)) return ssde_net_parameter(net, *index);
    check_report(__FILE__, __LINE__, "no parameter '%s'", name);
    return NULL;
}

enum { CLASS_ROWS = 5, CLASS_DIM = 4 * 8 * 3 };

#define FILES_PATH "scoresde_test.safetensors" /* made and removed in the working directory */
#define FILES_OTHER "scoresde_test_2.safetensors"

/* A file of this header, its length before it, and `data` zero bytes. */
static void files_write_header(const char *path, const char *header, size_t data) {
    unsigned char bytes[4096];
    size_t length = strlen(header), i;
    memset(bytes, 0, sizeof bytes);
    CHECK(8 + length + data <= sizeof bytes);
    for (i = 0; i < 8; i++) bytes[i] = (unsigned char)((uint64_t)length >> 8 * i);
    memcpy(bytes + 8, header, length);
    write_file(path, bytes, 8 + length + data);
}

static size_t files_read(const char *path, unsigned char *bytes, size_t capacity) {
    FILE *stream = fopen(path, "rb");
    size_t size = stream ? fread(bytes, 1, capacity, stream) : 0;
    if (stream) fclose(stream);
    CHECK(size > 0 && size < capacity);
    return size;
}

/* A MLP with every weight drawn anew, so that zero-initialised layers show too. */
static ssde_net *files_mlp(ssde_context *context, size_t dim, size_t hidden, int layers, uint64_t seed) {
    ssde_mlp_desc desc = ssde_mlp(dim);
    ssde_net *net = NULL;
    uint64_t sample = 7;
    size_t i;
    desc.hidden = hidden;
    desc.layers = layers;
    desc.seed = seed;
    desc.context = context;
    if (ssde_mlp_create(&net, &desc) != SSDE_OK) return NULL;
    ssde_random_normal(context, seed, SSDE_STREAM_USER, 0, &sample, 1, net->weight_count, net->weights);
    for (i = 0; i < net->weight_count; i++) net->weights[i] *= 0.3f;
    return net;
}

static ssde_unet_desc files_unet_desc(ssde_context *context) {
    ssde_unet_desc desc = ssde_ddpmpp(8, 16, 2);
    desc.nf = 4;
    desc.num_levels = 2;
    desc.num_res_blocks = 1;
    desc.num_attn_resolutions = 1;
    desc.attn_resolutions[0] = 8;
    desc.dropout = 0.15;
    desc.seed = 5;
    desc.context = context;
    return desc;
}

/* ---- checksums ---- */

/* Makes the keys of the checksums mean nothing. */
static void files_strip_checksums(unsigned char *bytes, size_t size) {
    size_t i;
    for (i = 0; i + 14 <= size; i++)
        if (!memcmp(bytes + i, "scoresde.crc32", 14)) bytes[i + 8] = '_';
}

static void files_flip(const char *path, size_t bit) {
    FILE *stream = fopen(path, "r+b");
    int byte = stream && !fseek(stream, (long)(bit / 8), SEEK_SET) ? fgetc(stream) : EOF;
    CHECK(byte != EOF && !fseek(stream, (long)(bit / 8), SEEK_SET) && fputc(byte ^ 1 << bit % 8, stream) != EOF);
    if (stream) fclose(stream);
}

/* A table-free CRC-32. */
static uint32_t files_plain_crc(const unsigned char *bytes, size_t size) {
    uint32_t crc = 0xffffffffu;
    int bit;
    for (; size; size--, bytes++)
        for (crc ^= *bytes, bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0u);
    return ~crc;
}

/* ---- an affine SDE, which no file holds ---- */

static double files_no_drift(void *user, double t) {
    (void)user;
    (void)t;
    return 0.0;
}
static double files_diffusion(void *user, double t) {
    (void)user;
    return 1.0 + t;
}

/* ---- what an output means, by its definition ---- */

/* One of each kind. */
enum { OUTPUT_SDES = 5 };
static ssde_sde outputs_sde(int which) {
    if (which == 0) return ssde_ve(0.01, 50.0);
    if (which == 1) return ssde_vp(0.1, 20.0);
    if (which == 2) return ssde_subvp(0.1, 20.0);
    return which == 3 ? ssde_affine(files_no_drift, files_diffusion, NULL) : ssde_rectified_flow();
}

/* What EDM's network is given of x, times it. */
static double outputs_input(ssde_parameterisation output, double sigma_data, double mean, double std) {
    return output == SSDE_PREDICT_EDM ? 1.0 / sqrt(std * std + mean * mean * sigma_data * sigma_data) : 1.0;
}

/* z of x = mean x0 + std z that the output o at x stands for. */
static double outputs_noise(ssde_parameterisation output, double sigma_data, double mean, double std, double o,
                            double x) {
    double data = 0.0, noise = 0.0; /* o = data x0 + noise z */
    if (output == SSDE_PREDICT_SCORE) noise = -1.0 / std;
    if (output == SSDE_PREDICT_NOISE) noise = 1.0;
    if (output == SSDE_PREDICT_DATA) data = 1.0;
    if (output == SSDE_PREDICT_VELOCITY) data = -std, noise = mean;
    if (output == SSDE_PREDICT_FLOW) data = -1.0, noise = 1.0;
    if (output == SSDE_PREDICT_EDM) { /* Karras et al. 2022, table 1, with y = x / mean */
        double sigma = std / mean, square = sigma * sigma + sigma_data * sigma_data;
        if (mean == 0.0) return x / std;
        return (x - mean * (sigma_data * sigma_data / square * x / mean + sigma * sigma_data / sqrt(square) * o)) / std;
    }
    return data == 0.0 ? o / noise : (mean * o - data * x) / (mean * noise - data * std);
}

/* ---- PyTorch's files ---- */

#define FILES_PTH "scoresde_test.pth"

/* Bytes that are put one behind the other. */
typedef struct files_buffer {
    unsigned char bytes[1 << 21];
    size_t size;
} files_buffer;

static void files_put(files_buffer *buffer, const void *bytes, size_t size) {
    CHECK(buffer->size + size <= sizeof buffer->bytes);
    if (buffer->size + size > sizeof buffer->bytes) return;
    memcpy(buffer->bytes + buffer->size, bytes, size);
    buffer->size += size;
}

static void files_put_number(files_buffer *buffer, uint64_t number, int size) {
    int i;
    for (i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)(i < 8 ? number >> 8 * i : 0);
        files_put(buffer, &byte, 1);
    }
}

static void files_put_text(files_buffer *buffer, const char *text) { files_put(buffer, text, strlen(text)); }

/* A zip archive of stored records, and its directory; large: in the form for more than 4 GB. */
typedef struct files_archive {
    files_buffer records, directory;
    unsigned count;
    int large;
} files_archive;

static void files_archive_add(files_archive *archive, const char *name, const void *bytes, size_t size) {
    int part;
    size_t offset = archive->records.size;
    for (part = 0; part < 2; part++) {
        files_buffer *to = part ? &archive->directory : &archive->records;
        files_put_text(to, part ? "PK\1\2" : "PK\3\4");
        if (part) files_put_number(to, 20, 2);
        files_put_number(to, 20, 2);
        files_put_number(to, 0, 8); /* flags, method, time, date */
        files_put_number(to, files_plain_crc((const unsigned char *)bytes, size), 4);
        files_put_number(to, archive->large ? 0xffffffffu : size, 4);
        files_put_number(to, archive->large ? 0xffffffffu : size, 4);
        files_put_number(to, strlen(name), 2);
        files_put_number(to, archive->large && part ? 5 + 28 : 0, 2);
        if (part) files_put_number(to, 0, 10);
        if (part) files_put_number(to, archive->large ? 0xffffffffu : offset, 4);
        files_put_text(to, name);
        if (!archive->large || !part) continue;
        files_put(to, "\x99\0\1\0?", 5); /* another extra field */
        files_put_number(to, 1, 2);
        files_put_number(to, 24, 2);
        files_put_number(to, size, 8);
        files_put_number(to, size, 8);
        files_put_number(to, offset, 8);
    }
    files_put(&archive->records, bytes, size);
    archive->count++;
}

static void files_archive_write(files_archive *archive, const char *path) {
    size_t begin = archive->records.size, size = archive->directory.size;
    files_put(&archive->records, archive->directory.bytes, size);
    if (archive->large) {
        files_put_text(&archive->records, "PK\6\6");
        files_put_number(&archive->records, 44, 8);
        files_put_number(&archive->records, 0, 12);
        files_put_number(&archive->records, archive->count, 8);
        files_put_number(&archive->records, archive->count, 8);
        files_put_number(&archive->records, size, 8);
        files_put_number(&archive->records, begin, 8);
        files_put_text(&archive->records, "PK\6\7");
        files_put_number(&archive->records, 0, 4);
        files_put_number(&archive->records, begin + size, 8);
        files_put_number(&archive->records, 1, 4);
    }
    files_put_text(&archive->records, "PK\5\6");
    files_put_number(&archive->records, 0, 4);
    files_put_number(&archive->records, archive->large ? 0xffffu : archive->count, 2);
    files_put_number(&archive->records, archive->large ? 0xffffu : archive->count, 2);
    files_put_number(&archive->records, archive->large ? 0xffffffffu : size, 4);
    files_put_number(&archive->records, archive->large ? 0xffffffffu : begin, 4);
    files_put_number(&archive->records, 0, 2);
    write_file(path, archive->records.bytes, archive->records.size);
}

/* ---- trainers on a few points ---- */

static ssde_train_desc files_train_desc(ssde_context *context, const ssde_sde *sde) {
    ssde_train_desc desc = ssde_train_defaults(sde, 0);
    desc.batch = 8;
    desc.lr = 1e-2;
    desc.warmup = 3;
    desc.ema_rate = 0.9;
    desc.seed = 11;
    desc.context = context;
    return desc;
}

/* Eight points of the plane. */
static const float files_points[16] = {1.0f,  0.0f, 0.7f,  0.7f,  0.0f, 1.0f,  -0.7f, 0.7f,
                                       -1.0f, 0.0f, -0.7f, -0.7f, 0.0f, -1.0f, 0.7f,  -0.7f};

static ssde_batch files_batch(void) { return ssde_batch_of(files_points, 8); }

/* Whether a network of so many weights was built: of the largest, 32 bits cannot count what they would hold. */
static inline int nn_built(ssde_status status, size_t weights) {
    if (sizeof(size_t) < 8 && status == SSDE_ERROR_MEMORY && weights > SIZE_MAX / 64) return 0;
    CHECK_OK(status);
    return status == SSDE_OK;
}

static inline double nn_norm(const float *x, size_t count) {
    double square = 0.0;
    size_t i;
    for (i = 0; i < count; i++) square += (double)x[i] * (double)x[i];
    return sqrt(square);
}

/* Every parameter's part of the gradient has the norm wanted. What is zero but for rounding, such as a bias's before a
   norm that takes the mean away, is so beside the largest. */
static inline void nn_check_norms(const ssde_net *net, const float *gradient, const float *norms) {
    float largest = 0.0f;
    size_t i;
    for (i = 0; i < ssde_net_parameter_count(net); i++) largest = norms[i] > largest ? norms[i] : largest;
    for (i = 0; i < ssde_net_parameter_count(net); i++) {
        double norm = nn_norm(gradient + net->parameters[i].offset, net->parameters[i].info.count);
        CHECK_NEAR(norm, norms[i], 1e-4 * (double)norms[i] + 1e-6 * (double)largest);
    }
}

#endif
