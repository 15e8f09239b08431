/* The general U-Net: diffusers' UNet2DModel of every kind, in and out of files, its descriptions and what it is told.
 */
#ifndef TEST_NN_UNET2D_H
#define TEST_NN_UNET2D_H

#include "check.h"
#include "fixtures_core.h"
#include "fixtures_nn.h"
#include "golden.h"
#include "nn_oracle.h"

/* ---- networks: golden networks of diffusers, tests/golden/df_NAME ---- */

#ifndef UNET2D_GOLDEN
#define UNET2D_GOLDEN "tests/golden/df_"
#endif

typedef struct unet2d_golden {
    golden_file *io;
    ssde_net *net;
    size_t rows, height, width, in, out; /* channels */
    float *x, *label;
} unet2d_golden;

static float *unet2d_images(const unet2d_golden *g, const char *name, size_t channels) {
    float *images = (float *)calloc(g->rows * g->height * g->width * channels, sizeof *images);
    golden_images(g->io, name, images, g->rows, g->height, g->width, channels);
    return images;
}

static int unet2d_open(unet2d_golden *g, ssde_context *context, const char *name) {
    char config[160], weights[160], io[160];
    const golden_tensor *x;
    snprintf(config, sizeof config, UNET2D_GOLDEN "%s.config.json", name);
    snprintf(weights, sizeof weights, UNET2D_GOLDEN "%s.weights.safetensors", name);
    snprintf(io, sizeof io, UNET2D_GOLDEN "%s.io.safetensors", name);
    memset(g, 0, sizeof *g);
    CHECK_OK(ssde_net_load_diffusers(context, &g->net, config, weights));
    if (!g->net) check_report(__FILE__, __LINE__, "%s: %s", name, context->error);
    g->io = golden_open(io);
    x = g->io ? golden_find(g->io, "x") : NULL;
    if (!g->net || !x) return 0;
    g->rows = x->shape[0];
    ssde_net_shape(g->net, &g->height, &g->width, &g->in);
    CHECK(x->shape[1] == g->in && x->shape[2] == g->height && x->shape[3] == g->width);
    g->out = ssde_net_output_dim(g->net) / g->height / g->width;
    g->x = unet2d_images(g, "x", g->in);
    g->label = (float *)calloc(g->rows, sizeof *g->label);
    golden_floats(g->io, "timesteps", g->label, g->rows);
    return 1;
}

static void unet2d_close(unet2d_golden *g) {
    golden_close(g->io);
    ssde_net_destroy(g->net);
    free(g->x);
    free(g->label);
}

/* Classes or vectors, as the network wants them. */
static void unet2d_tell(const unet2d_golden *g, ssde_run *run) {
    size_t size = ssde_net_vector(g->net), row;
    float *labels = (float *)calloc(g->rows * (size + 1), sizeof *labels);
    int32_t classes[16];
    CHECK(g->rows <= 16 && !ssde_net_null_class(g->net));
    if (ssde_net_classes(g->net) || size) golden_floats(g->io, "class_labels", labels, g->rows * (size ? size : 1));
    for (row = 0; row < g->rows && row < 16; row++) classes[row] = (int32_t)labels[row];
    if (ssde_net_classes(g->net)) CHECK_OK(ssde_run_set_classes(run, classes, g->rows));
    if (size) CHECK_OK(ssde_run_set_vectors(run, labels, g->rows));
    free(labels);
}

static void unet2d_check_forward(const unet2d_golden *g, ssde_context *context) {
    size_t out = g->rows * ssde_net_output_dim(g->net), in = g->rows * ssde_net_dim(g->net);
    float *expected = unet2d_images(g, "out", g->out), *v = unet2d_images(g, "vjp_v", g->out);
    float *slope = unet2d_images(g, "vjp_x", g->in), *actual = (float *)calloc(out + in, sizeof *actual);
    int mode;
    for (mode = SSDE_RUN_INFERENCE; mode <= SSDE_RUN_VJP; mode++) {
        ssde_run *run = nn_run(g->net, context, (ssde_run_mode)mode, g->rows);
        unet2d_tell(g, run);
        CHECK_OK(ssde_run_forward(run, g->x, g->label, NULL, g->rows, 0, 0, NULL, actual));
        CHECK_ARRAY(actual, expected, out, 2e-5);
        if (mode == SSDE_RUN_VJP) {
            CHECK_OK(ssde_run_backward(run, v, actual, NULL));
            CHECK_ARRAY(actual, slope, in, 2e-5);
        }
        ssde_run_destroy(run);
    }
    free(expected), free(v), free(slope), free(actual);
}

/* Of the mean square distance to a target, by the parameters. */
static void unet2d_check_gradients(const unet2d_golden *g, ssde_context *context) {
    size_t count = g->rows * ssde_net_output_dim(g->net), weights = ssde_net_weight_count(g->net), i, found = 0;
    float *target = unet2d_images(g, "mse_target", g->out), *out = (float *)calloc(count, sizeof *out);
    float *gradient = (float *)calloc(weights, sizeof *gradient);
    ssde_run *run = nn_run(g->net, context, SSDE_RUN_TRAIN, g->rows);
    const golden_tensor *tensor = NULL;
    double loss = 0.0, golden[2], norm = 0.0;
    run->dropout = 0;
    unet2d_tell(g, run);
    CHECK_OK(ssde_run_forward(run, g->x, g->label, NULL, g->rows, 0, 0, NULL, out));
    for (i = 0; i < count; i++) {
        double away = (double)out[i] - (double)target[i];
        loss += away * away / (double)count;
        out[i] = (float)(2.0 * away / (double)count);
    }
    CHECK_OK(ssde_run_backward(run, out, NULL, gradient));
    for (i = 0; i < weights; i++) norm += (double)gradient[i] * (double)gradient[i];
    golden_doubles(g->io, "mse_loss", golden, 1);
    golden_doubles(g->io, "grad_norm", golden + 1, 1);
    CHECK_NEAR(loss, golden[0], 2e-5 * golden[0]);
    CHECK_NEAR(sqrt(norm), golden[1], 1e-4 * golden[1]);
    while ((tensor = golden_next(g->io, tensor, "grad/")) != NULL) {
        float *pair = (float *)calloc(2 * tensor->count, sizeof *pair);
        double size = 0.0;
        i = ssdei_net_find_parameter(g->net, tensor->name + 5);
        CHECK(i < ssde_net_parameter_count(g->net) && g->net->parameters[i].info.count == tensor->count);
        golden_floats(g->io, tensor->name, pair, tensor->count);
        CHECK_OK(ssde_net_get_gradient(g->net, i, gradient, pair + tensor->count));
        for (i = 0; i < tensor->count; i++) size += (double)pair[i] * (double)pair[i];
        CHECK(sqrt(size) > 1e-7 * golden[1]);
        CHECK_ARRAY(pair + tensor->count, pair, tensor->count, 1e-4);
        found++;
        free(pair);
    }
    CHECK(found >= 12);
    ssde_run_destroy(run);
    free(target), free(out), free(gradient);
}

/* The model file alone rebuilds the network, bit for bit. */
static void unet2d_check_files(const unet2d_golden *g, ssde_context *context) {
    static const char path[] = "scoresde_test_unet2d.safetensors";
    ssde_net *again = NULL;
    CHECK_OK(ssde_net_save(g->net, NULL, path));
    CHECK_OK(ssde_net_load(context, &again, NULL, path));
    if (again) {
        CHECK(!strcmp(again->description, g->net->description) && again->weight_count == g->net->weight_count);
        CHECK_SAME(again->weights, g->net->weights, g->net->weight_count * sizeof(float));
        CHECK(ssde_net_discrete(again) == ssde_net_discrete(g->net));
    }
    ssde_net_destroy(again);
    remove(path);
}

static void unet2d_check(const char *name) {
    int tier, convolution;
    for (tier = 0; tier >= 0; tier++) {
        ssde_context context;
        unet2d_golden g;
        if (!nn_tier(tier, &context)) break;
        if (unet2d_open(&g, &context, name)) {
            for (convolution = SSDE_CONVOLUTION_AUTO; convolution <= nn_most_convolution(g.net); convolution++) {
                nn_convolution = (ssde_convolution)convolution;
                unet2d_check_forward(&g, &context);
                unet2d_check_gradients(&g, &context);
            }
            if (!tier) unet2d_check_files(&g, &context);
        }
        nn_convolution = SSDE_CONVOLUTION_AUTO;
        unet2d_close(&g);
    }
}

static void test_networks_unet2d_cifar_no_head_key(void) { unet2d_check("cifar_no_head_key"); }
static void test_networks_unet2d_class_scale_shift(void) { unet2d_check("class_scale_shift"); }
static void test_networks_unet2d_consistency(void) { unet2d_check("consistency"); }
static void test_networks_unet2d_fourier(void) { unet2d_check("fourier"); }
static void test_networks_unet2d_learned_time(void) { unet2d_check("learned_time"); }
static void test_networks_unet2d_mnist_old_keys(void) { unet2d_check("mnist_old_keys"); }
static void test_networks_unet2d_no_attention(void) { unet2d_check("no_attention"); }
static void test_networks_unet2d_no_mid(void) { unet2d_check("no_mid"); }
static void test_networks_unet2d_odd_heads(void) { unet2d_check("odd_heads"); }
static void test_networks_unet2d_resnet_updown(void) { unet2d_check("resnet_updown"); }
static void test_networks_unet2d_skip_heads(void) { unet2d_check("skip_heads"); }

#define TEST_NN_UNET2D_LIST(X)           \
    X(networks_unet2d_cifar_no_head_key) \
    X(networks_unet2d_class_scale_shift) \
    X(networks_unet2d_consistency)       \
    X(networks_unet2d_fourier)           \
    X(networks_unet2d_learned_time)      \
    X(networks_unet2d_mnist_old_keys)    \
    X(networks_unet2d_no_attention)      \
    X(networks_unet2d_no_mid)            \
    X(networks_unet2d_odd_heads)         \
    X(networks_unet2d_resnet_updown)     \
    X(networks_unet2d_skip_heads)

#endif
