/* Networks as graphs; runs: their memory, what their steps read and write, any company. */
#ifndef TEST_NN_RUN_H
#define TEST_NN_RUN_H

#include "check.h"
#include "fixtures_core.h"
#include "fixtures_nn.h"
#include "nn_oracle.h"
#include "threads.h"

/* ---- net ---- */

/* Files' axes: convolution [out, in, h, w], linear [out, in], NIN [in, out]; in memory the kernel before the channels.
 */
static void test_net_parameter_order(void) {
    ssde_context context = ssde_context_defaults();
    ssde_net *net = NULL;
    ssde_conv_desc conv = ssde_conv(3, 3), nin = ssde_conv(2, 1);
    float values[64], back[64];
    size_t i, o, k, y;
    int x;
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
static void test_net_own_optimiser(void) {
    enum { ROWS = 32, STEPS = 60, MOST = 1 << 12 };
    static float gradients[1 << 15], weights[MOST], slopes[MOST];
    float x0[2 * ROWS], x[2 * ROWS], z[2 * ROWS], out[2 * ROWS], slope[2 * ROWS], label[ROWS], sigma[ROWS];
    double t[ROWS], weight[ROWS], losses[ROWS], before = 0.0, expected = 0.0, rate = 1e-4, loss = 0.0, first = 0.0;
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_mlp_desc shape = ssde_mlp(2);
    ssde_loss_desc how = ssde_loss_defaults();
    ssde_net *net = NULL;
    ssde_run *run;
    size_t i, k, r;
    int step;
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
    for (r = 0; r < ROWS; r++) CHECK_OK(ssde_score_net_label(NULL, net, &sde, t[r], &label[r], &sigma[r], NULL));
    for (step = 0; step < STEPS; step++) {
        before = loss;
        CHECK_OK(ssde_run_forward(run, x, label, sigma, ROWS, 0, 0, NULL, out));
        CHECK_OK(ssde_loss(&sde, &how, out, x0, z, t, weight, ROWS, 2, 1.0 / (double)ROWS, losses, slope));
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

/* And of networks: two blocks, which a network that is still to be finished foretells. */
static void test_net_memory(void) {
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    ssde_unet_desc shape = nn_small_unet();
    ssde_classifier_desc classes = ssde_classifier_of(&shape, 4);
    ssde_mlp_desc mlp = ssde_mlp(3);
    ssde_refinenet_desc refined = ssde_ncsn(8, 8, 1);
    ssde_net *net = NULL;
    size_t said;
    ssde_node h;
    int which;
    refined.nf = 4;
    shape.context = classes.body.context = mlp.context = refined.context = &context;
    for (which = 0; which < 4; which++) {
        said = which == 0   ? ssde_unet_memory(&shape)
               : which == 1 ? ssde_classifier_net_memory(&classes)
               : which == 2 ? ssde_mlp_memory(&mlp)
                            : ssde_refinenet_memory(&refined);
        CHECK(said > 0 && memory.live == 0 && memory.most < said);
        CHECK_OK(which == 0   ? ssde_unet_create(&net, &shape)
                 : which == 1 ? ssde_classifier_net_create(&net, &classes)
                 : which == 2 ? ssde_mlp_create(&net, &mlp)
                              : ssde_refinenet_create(&net, &refined));
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

static ssde_node nn_conv_dilated(ssde_net *net, int dilation, int padding) {
    ssde_conv_desc desc = ssde_conv(3, 3);
    desc.dilation = dilation;
    desc.pad_before = desc.pad_after = padding;
    return ssde_conv2d(net, 0, &desc, "w");
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
        case 20: return *node = ssde_group_norm(net, 0, 0, 1e-6, SSDE_SILU, "w"), "groups";
        case 21: return *node = ssde_group_norm(net, 0, 2, 1e-6, SSDE_SILU, "w"), "groups";
        case 22: return *node = ssde_group_norm(net, 0, 1, 1e-6, (ssde_activation)15, "w"), "activation is 15";
        case 23: return *node = ssde_group_norm(net, 0, 1, 1e-6, SSDE_SILU, name), "too long";
        case 24: return *node = ssde_group_norm(net, 7, 1, 1e-6, SSDE_SILU, "w"), "not a node";
        case 25: return *node = ssde_attention(net, 0, 3, 0, 1), "k and v differ in shape";
        case 26: return *node = ssde_attention(net, 0, 0, 3, 1), "k and v differ in shape";
        case 27: return *node = ssde_attention(net, 0, 0, -1, 1), "not a node";
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
        case 48: return *node = ssde_positional_embedding(net, 1, 3, 1.0, 0), "dim is 3";
        case 49: return *node = ssde_positional_embedding(net, 0, 8, 1.0, 0), "48 labels";
        case 50: return *node = ssde_fourier_embedding(net, 1, 0, 1.0, "w"), "dim is 0";
        case 51: return *node = ssde_fourier_embedding(net, 0, 4, 1.0, "w"), "48 labels";
        case 52: return *node = ssde_fourier_embedding(net, 1, 4, (double)INFINITY, "w"), "scale";
        case 53: return *node = ssde_fourier_embedding(net, 1, 4, 1.0, name), "too long";
        case 54: return *node = ssde_scale_rows(net, 0, 3, SSDE_OVER_SIGMA), "12 values per sample, wanted 1";
        case 55: return *node = nn_conv_with(net, 1, 3, 1, 1, 0, 3, -1), "2 x 2 is smaller than the kernel of 3";
        case 56: return *node = ssde_activate(net, 0, (ssde_activation)15), "activation is 15";
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
        case 67: return *node = nn_conv_with(net, 0, 3, 1, 1, 1, 3, -2), "not a node";
        case 68: return *node = ssde_attention(net, 1, 0, 0, 1), "q has 1 channels, k and v have 3";
        case 69: return *node = ssde_attention(net, 0, 0, 0, 2), "heads is 2";
        case 70: return *node = ssde_attention(net, 0, 0, 0, 0), "heads is 0";
        case 71:
            return *node = ssde_instance_norm(net, 0, (ssde_instance_norm_kind)3, 1e-5, SSDE_ELU, "w"), "kind is 3";
        case 72: return *node = ssde_instance_norm(net, 0, SSDE_INSTANCE_NORM, 0.0, SSDE_ELU, NULL), "eps is 0";
        case 73: return *node = ssde_instance_norm(net, 0, SSDE_INSTANCE_NORM, NAN, SSDE_ELU, NULL), "eps is";
        case 74: return *node = ssde_instance_norm(net, 1, SSDE_INSTANCE_NORM_PLUS, 1e-5, SSDE_ELU, "w"), "1 channel";
        case 75: return *node = ssde_instance_norm(net, 1, SSDE_VARIANCE_NORM, 1e-5, SSDE_ELU, "w"), "1 pixel";
        case 76: return *node = ssde_instance_norm(net, 0, SSDE_VARIANCE_NORM, 1e-5, SSDE_ELU, NULL), "name";
        case 77:
            return *node = ssde_conditional_instance_norm(net, 0, 2, 3, 1e-5, SSDE_ELU, "w"), "wanted ssde_input_label";
        case 78: return *node = ssde_conditional_instance_norm(net, 0, 1, 0, 1e-5, SSDE_ELU, "w"), "classes is 0";
        case 79: return *node = ssde_conditional_instance_norm(net, 0, 1, 3, 1e-5, SSDE_ELU, NULL), "name";
        case 80: return *node = ssde_pool(net, 0, SSDE_POOL_MAX, 4), "size is 4";
        case 81: return *node = ssde_pool(net, 0, SSDE_POOL_MAX, -1), "size is -1";
        case 82: return *node = ssde_pool(net, 0, (ssde_pool_kind)(which - 80), 5), "kind is 2";
        case 83: return *node = ssde_pool(net, 77, SSDE_POOL_MAX, 5), "not a node";
        case 84: return *node = ssde_resize_bilinear(net, 0, 0, 4), "result is 0 x 4";
        case 85: return *node = nn_conv_dilated(net, -1, 1), "dilation is -1";
        case 86: return *node = nn_conv_dilated(net, 2, 5), "padding 5 and 5";
        case 87: return *node = nn_conv_dilated(net, 3, 1), "6 x 6 is smaller than the kernel of 7";
        case 88: return *node = ssde_conditional_instance_norm(net, 0, 1, 3, 1e-5, SSDE_ELU, name), "too long";
        case 89: return *node = ssde_group_norm(net, 0, 1, 0.0, SSDE_SILU, "w"), "eps is 0";
        case 90: return *node = ssde_group_norm(net, 0, 1, NAN, SSDE_SILU, "w"), "eps is nan";
        case 91: return *node = ssde_positional_embedding(net, 1, 8, 4.0, 0), "shift 4";
        case 92: return *node = ssde_positional_embedding(net, 1, 8, NAN, 0), "shift nan";
        case 93: return *node = ssde_table_embedding(net, 2, 3, 4, "w"), "number is node 2";
        case 94: return *node = ssde_table_embedding(net, 1, 0, 4, "w"), "classes is 0";
        case 95: return *node = ssde_table_embedding(net, 1, 3, 0, "w"), "dim 0";
        case 96:
            ssde_table_embedding(net, ssde_input_class(net), 3, 4, "v");
            return *node = ssde_class_embedding(net, ssde_input_class(net), 3, 4, "w"), "knows a null class";
        case 97: ssde_input_vector(net, 3); return *node = ssde_input_vector(net, 4), "already 3";
        case 98: return *node = ssde_input_vector(net, 0), "0";
        case 99: return *node = ssde_tokens(net, 50, "w"), "not a node";
        case 100: return *node = ssde_tokens(net, 0, name), "too long";
        case 101: return *node = nn_conv_dilated(net, 8192, 1), "dilation is 8192";
        case 102: return *node = -1, ssde_net_finish(net, 9) == SSDE_OK ? "" : "not a node";
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
    CHECK(ssde_activate(net, 0, SSDE_SILU) == -1 && ssde_group_norm(net, 0, 1, 1e-6, SSDE_SILU, "w") == -1);
    CHECK(ssde_attention(net, 0, 0, 0, 1) == -1 && ssde_add_scaled(net, 0, 0, 1.0) == -1 &&
          ssde_concat(net, 0, 0) == -1);
    CHECK(ssde_affine_map(net, 0, 1.0, 0.0) == -1 && ssde_dropout(net, 0, 0.5) == -1 &&
          ssde_dropout(net, 0, 0.0) == -1);
    CHECK(ssde_upsample_nearest(net, 0) == -1 && ssde_average_pool(net, 0) == -1);
    CHECK(ssde_fir(net, 0, 1, 1, 1, 0, kernel, 2) == -1 && ssde_positional_embedding(net, 1, 8, 1.0, 0) == -1);
    CHECK(ssde_fourier_embedding(net, 1, 8, 1.0, "w") == -1 && ssde_scale_rows(net, 0, 2, SSDE_OVER_SIGMA) == -1);
    CHECK(ssde_instance_norm(net, 0, SSDE_INSTANCE_NORM, 1e-5, SSDE_ELU, NULL) == -1);
    CHECK(ssde_conditional_instance_norm(net, 0, 1, 3, 1e-5, SSDE_ELU, "w") == -1);
    CHECK(ssde_pool(net, 0, SSDE_POOL_MAX, 5) == -1 && ssde_resize_bilinear(net, 0, 4, 4) == -1);
    CHECK(ssde_net_finish(net, 0) != SSDE_OK);
    CHECK(ssde_net_parameter_count(net) == parameters);
}

static void test_net_build_errors(void) {
    ssde_context context = ssde_context_defaults();
    ssde_net *net = NULL;
    size_t height = 9, width = 9, channels = 9;
    int which = 0;
    const char *words = "";
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
            CHECK(ssde_net_output_dim(net) == 0);
        }
        ssde_net_destroy(net);
    }
    CHECK(which == 104);
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

/* The same seed starts the same, another does not; no two tensors share their draws; and the constructors' sizes. */
static void test_net_initialisation(void) {
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

/* ---- run ---- */

/* The output is not the last node: what comes after it leaves it alone. */
static void test_run_early_output(void) {
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

/* Forward, and backward as far as the mode goes: from v to the input, or added to that of the weights. Mode tangent:
   along x, whose out is the tangent's; v is the slope of both. */
static void nn_run_pass(ssde_run *run, const float *x, const float *v, const float *label, const float *sigma,
                        size_t rows, const uint64_t *sample, float *out, float *derivative) {
    if (run->mode == SSDE_RUN_TANGENT) {
        CHECK_OK(ssde_run_forward_tangent(run, x, x, label, sigma, rows, 3, 2, sample, NULL, out));
        CHECK_OK(ssde_run_backward_tangent(run, v, v, derivative));
        return;
    }
    CHECK_OK(ssde_run_forward(run, x, label, sigma, rows, 3, 2, sample, out));
    if (run->mode == SSDE_RUN_VJP) CHECK_OK(ssde_run_backward(run, v, derivative, NULL));
    if (run->mode == SSDE_RUN_TRAIN) CHECK_OK(ssde_run_backward(run, v, NULL, derivative));
}

/* Forward and backward over `count` rows from `first` on in a run of its own. */
static void nn_run_once(const ssde_net *net, const nn_run_data *data, ssde_context *context, ssde_run_mode mode,
                        size_t first, size_t count, size_t max_rows, float *out, float *gradient) {
    ssde_run_desc desc = ssde_run_defaults(mode, max_rows);
    ssde_run *run = NULL;
    size_t at = first * RUN_DIM;
    desc.context = context;
    CHECK_OK(ssde_run_create(&run, net, &desc));
    if (!run) return;
    nn_poison(run);
    nn_run_pass(run, data->x + at, data->v + at, data->label + first, data->sigma + first, count, data->sample + first,
                out, gradient);
    ssde_run_destroy(run);
}

/* Sample i's output and derivative are the same bits alone and in company, for any capacity and number of threads; the
   gradient by weights for any of these but the rows. */
static void test_run_company(void) {
    static nn_run_data data;
    static float out[RUN_ROWS * RUN_DIM], slope[RUN_ROWS * RUN_DIM], other[RUN_ROWS * RUN_DIM],
        other_slope[RUN_ROWS * RUN_DIM];
    ssde_unet_desc shape = nn_small_unet();
    ssde_context context;
    ssde_net *net = NULL;
    float *weights, *other_weights;
    size_t row;
    int tier, threads, mode;
    CHECK_OK(ssde_unet_create(&net, &shape));
    if (!net) return;
    nn_run_data_fill(&data);
    weights = (float *)calloc(2 * ssde_net_weight_count(net), sizeof *weights);
    other_weights = weights + ssde_net_weight_count(net);
    for (tier = 0; nn_tier(tier, &context); tier++) {
        nn_run_once(net, &data, &context, SSDE_RUN_VJP, 0, RUN_ROWS, RUN_ROWS, out, slope);
        for (row = 0; row < RUN_ROWS; row += check_quick ? 3 : 1) {
            nn_run_once(net, &data, &context, SSDE_RUN_VJP, row, 1, row + 1, other, other_slope);
            CHECK_SAME(other, out + row * RUN_DIM, RUN_DIM * sizeof *out);
            CHECK_SAME(other_slope, slope + row * RUN_DIM, RUN_DIM * sizeof *out);
        }
        nn_run_once(net, &data, &context, SSDE_RUN_INFERENCE, 2, 3, 19, other, NULL);
        CHECK_SAME(other, out + 2 * RUN_DIM, 3 * RUN_DIM * sizeof *out);
        for (mode = SSDE_RUN_TANGENT; mode >= SSDE_RUN_TRAIN; mode--) {
            memset(weights, 0, ssde_net_weight_count(net) * sizeof *weights);
            nn_run_once(net, &data, &context, (ssde_run_mode)mode, 0, RUN_ROWS, RUN_ROWS, out, weights);
            for (row = 0; row < RUN_ROWS; row += 3) { /* with its dropout */
                memset(other_weights, 0, ssde_net_weight_count(net) * sizeof *weights);
                nn_run_once(net, &data, &context, (ssde_run_mode)mode, row, 1, 2, other, other_weights);
                CHECK_SAME(other, out + row * RUN_DIM, RUN_DIM * sizeof *out);
            }
        }
        nn_run_once(net, &data, &context, SSDE_RUN_VJP, 0, RUN_ROWS, RUN_ROWS, out, slope);
        for (threads = 1; threads <= 4; threads++) {
            threads_hook hook;
            ssde_context several = context;
            hook.threads = threads;
            hook.calls = 0;
            several.parallel_for = threads_parallel_for;
            several.user = &hook;
            several.threads = threads < 4 ? threads : 13; /* tasks without any work too */
            nn_run_once(net, &data, &several, SSDE_RUN_VJP, 0, RUN_ROWS, RUN_ROWS + 1, other, other_slope);
            CHECK_SAME(other, out, sizeof out);
            CHECK_SAME(other_slope, slope, sizeof slope);
            memset(other_weights, 0, ssde_net_weight_count(net) * sizeof *weights);
            nn_run_once(net, &data, &several, SSDE_RUN_TRAIN, 0, RUN_ROWS, RUN_ROWS + 2, other, other_weights);
            CHECK_SAME(other_weights, weights, ssde_net_weight_count(net) * sizeof *weights);
            CHECK((hook.calls > 0) == (threads > 1));
            if (check_quick && threads > 1) break;
        }
    }
    free(weights);
    ssde_net_destroy(net);
}

/* Blocks of Winograd's tiles cover all of them, fit where they are kept, and are as many for each worker, unless that
   made them small; workers' tiles differ by a step then. */
static void test_run_even_blocks(void) {
    static ssde_run run;
    static ssdei_team team;
    ssde_context context;
    int tier;
    run.team = &team;
    for (tier = 0; nn_tier(tier, &context); tier++) {
        ssdei_gather gather;
        size_t tiles, step, b;
        memset(&gather, 0, sizeof gather);
        gather.columns = 256;
        gather.kernels = ssdei_kernels_for(&context);
        step = ssdei_row_step(gather.kernels);
        for (run.tasks = 1; run.tasks < 6; run.tasks++) {
            for (tiles = 1; tiles < 300; tiles++) {
                ssdei_winograd w;
                size_t least = SIZE_MAX, most = 0, covered = 0, few;
                memset(&w, 0, sizeof w);
                w.c.gather = &gather;
                w.tiles = tiles;
                w.panels = 256 / gather.kernels->tile_columns;
                ssdei_winograd_cut(&w, 24, 128);
                few = w.blocks;
                w.blocks = ssdei_even_pieces(&run, few, ssdei_divide_up(tiles, step));
                for (b = 0; b < w.blocks; b++) {
                    size_t count = ssdei_winograd_first(&w, b + 1) - ssdei_winograd_first(&w, b);
                    CHECK(ssdei_winograd_first(&w, b) == covered && count > 0 && count <= w.block);
                    covered += count;
                }
                CHECK(covered == tiles && w.blocks >= few && 2 * w.blocks <= 3 * few);
                CHECK(w.blocks % run.tasks == 0 || 2 * (few / run.tasks + 1) * run.tasks > 3 * few ||
                      (few / run.tasks + 1) * run.tasks > ssdei_divide_up(tiles, step));
                for (b = 0; b < run.tasks && w.blocks % run.tasks == 0; b++) {
                    size_t share = ssdei_winograd_first(&w, w.blocks / run.tasks * (b + 1)) -
                                   ssdei_winograd_first(&w, w.blocks / run.tasks * b);
                    least = ssdei_least(least, share);
                    most = ssdei_max(most, share);
                }
                CHECK(most == 0 || most - least < 2 * step);
            }
        }
    }
}

/* Mode tangent with dropout against differences of mode train, whose draws are the same: along x, of the outputs; and
   of the weights' derivatives of <v, out> along x, of the weights' derivatives of <v, J x>, in float. */
static void test_run_tangent_dropout(void) {
    static nn_run_data data;
    static float out[RUN_ROWS * RUN_DIM], side[2][RUN_ROWS * RUN_DIM], x[RUN_ROWS * RUN_DIM];
    const double step = 1.0 / 256.0;
    ssde_unet_desc shape = nn_small_unet();
    ssde_net *net = NULL;
    oracle o;
    ssde_run *run;
    float *gradient, *sides[2];
    size_t count, i;
    int k;
    CHECK_OK(ssde_unet_create(&net, &shape));
    if (!net) return;
    oracle_from_net(&o, net);
    oracle_random_weights(&o, 5);
    nn_run_data_fill(&data);
    count = ssde_net_weight_count(net);
    gradient = (float *)calloc(3 * count, sizeof *gradient);
    for (k = 0; k < 2; k++) {
        sides[k] = gradient + (size_t)(k + 1) * count;
        for (i = 0; i < RUN_ROWS * RUN_DIM; i++) x[i] = (float)((double)data.x[i] * (k ? 1.0 - step : 1.0 + step));
        run = nn_run(net, NULL, SSDE_RUN_TRAIN, RUN_ROWS);
        nn_run_pass(run, x, data.v, data.label, data.sigma, RUN_ROWS, data.sample, side[k], sides[k]);
        ssde_run_destroy(run);
    }
    run = nn_run(net, NULL, SSDE_RUN_TANGENT, RUN_ROWS);
    CHECK_OK(
        ssde_run_forward_tangent(run, data.x, data.x, data.label, data.sigma, RUN_ROWS, 3, 2, data.sample, NULL, out));
    CHECK_OK(ssde_run_backward_tangent(run, NULL, data.v, gradient));
    ssde_run_destroy(run);
    for (i = 0; i < RUN_ROWS * RUN_DIM; i++)
        side[0][i] = (float)(((double)side[0][i] - (double)side[1][i]) / (2.0 * step));
    for (i = 0; i < count; i++) sides[0][i] = (float)(((double)sides[0][i] - (double)sides[1][i]) / (2.0 * step));
    CHECK_ARRAY(out, side[0], RUN_ROWS * RUN_DIM, 1e-3);
    CHECK_ARRAY(gradient, sides[0], count, 1e-3);
    free(gradient);
    oracle_close(&o);
}

/* Gradients add to what is there; a run follows the weights. */
static void test_run_reuse(void) {
    static nn_run_data data;
    static float out[RUN_ROWS * RUN_DIM], other[RUN_ROWS * RUN_DIM], slope[RUN_ROWS * RUN_DIM],
        other_slope[RUN_ROWS * RUN_DIM];
    ssde_unet_desc shape = nn_small_unet();
    ssde_net *net = NULL;
    ssde_run_desc desc = ssde_run_defaults(SSDE_RUN_VJP, RUN_ROWS);
    ssde_run *run = NULL;
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
        nn_run_once(net, &data, NULL, SSDE_RUN_TRAIN, 0, RUN_ROWS, RUN_ROWS, out, weights + (size_t)k * count);
    for (i = 0; i < count; i++) {
        const float difference = weights[count + i] - 5.0f;
        CHECK_NEAR(difference, weights[i], 1e-6 * (10.0 + fabs((double)weights[i])));
    }
    CHECK_OK(ssde_run_create(&run, net, &desc));
    for (k = 0; k < 3; k++) { /* the third pass has other weights */
        CHECK_OK(ssde_run_forward(run, data.x, data.label, data.sigma, RUN_ROWS, 0, 0, NULL, out));
        CHECK_OK(ssde_run_backward(run, data.v, slope, NULL));
        nn_run_once(net, &data, NULL, SSDE_RUN_VJP, 0, RUN_ROWS, RUN_ROWS, other, other_slope);
        CHECK_SAME(other, out, sizeof out);
        CHECK_SAME(other_slope, slope, sizeof slope);
        for (i = 0; k == 1 && i < ssde_net_parameter_count(net); i++) {
            CHECK_OK(ssde_net_get(net, i, values));
            values[0] += 0.25f;
            CHECK_OK(ssde_net_set(net, i, values));
        }
    }
    ssde_run_destroy(run);
    free(weights);
    ssde_net_destroy(net);
}

/* A run is one block of as many bytes as ssde_run_memory says, to which asking takes little. Nothing is taken by
   passes. */
static void test_run_memory(void) {
    ssde_unet_desc shape = nn_small_unet();
    ssde_net *net = NULL;
    size_t bytes[4][2];
    static nn_run_data data;
    static float out[RUN_ROWS * RUN_DIM];
    int mode;
    CHECK_OK(ssde_unet_create(&net, &shape));
    if (!net) return;
    nn_run_data_fill(&data);
    for (mode = SSDE_RUN_INFERENCE; mode <= SSDE_RUN_TANGENT; mode++) {
        counted_memory memory;
        ssde_context context = counted_context(&memory);
        ssde_run_desc desc = ssde_run_defaults((ssde_run_mode)mode, RUN_ROWS);
        ssde_run *run = NULL;
        size_t said;
        long made;
        desc.context = &context;
        said = ssde_run_memory(net, &desc);
        CHECK(memory.live == 0 && memory.most < said / 4);
        CHECK_OK(ssde_run_create(&run, net, &desc));
        CHECK(memory.bytes == said && memory.live == 1);
        made = memory.made;
        nn_run_pass(run, data.x, data.v, data.label, data.sigma, RUN_ROWS, NULL, out,
                    mode == SSDE_RUN_VJP ? out : NULL);
        CHECK(memory.made == made);
        ssde_run_destroy(run);
        CHECK(memory.live == 0);
    }
    /* of a network this small, weights and workspaces are most: compare what the rows take */
    for (mode = SSDE_RUN_INFERENCE; mode <= SSDE_RUN_TANGENT; mode++) {
        ssde_run_desc desc = ssde_run_defaults((ssde_run_mode)mode, 1);
        bytes[mode][0] = ssde_run_memory(net, &desc);
        desc.max_rows = 1001;
        bytes[mode][1] = ssde_run_memory(net, &desc);
        CHECK(bytes[mode][1] > bytes[mode][0]);
        bytes[mode][1] -= bytes[mode][0];
    }
    CHECK(5 * bytes[SSDE_RUN_INFERENCE][1] < bytes[SSDE_RUN_TRAIN][1]);
    CHECK(bytes[SSDE_RUN_VJP][1] < bytes[SSDE_RUN_TRAIN][1]);
    CHECK(2 * bytes[SSDE_RUN_TANGENT][1] < 5 * bytes[SSDE_RUN_TRAIN][1]);
    ssde_net_destroy(net);
}

/* What the README says of DDPM++ for CIFAR-10, 61.8 million weights, at batch 8: 450 MB to evaluate and 1.7 GB to
   train, weights included. */
static void test_run_memory_ddpmpp(void) {
    ssde_unet_desc shape = ssde_ddpmpp(32, 32, 3);
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_train_desc train = ssde_train_defaults(&sde, 0);
    ssde_net *net = NULL;
    ssde_run_desc run = ssde_run_defaults(SSDE_RUN_INFERENCE, 8);
    double weights;
    if (check_quick) shape.num_res_blocks = 1; /* bounds that are easier to keep, of weights that are quicker to draw */
    CHECK_OK(ssde_unet_create(&net, &shape));
    if (!net) return;
    weights = 4.0 * (double)ssde_net_weight_count(net);
    train.batch = 8;
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
    shape.classes = 3;
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
    static const int32_t classes[2] = {1, 0};
    ssde_sde sde = ssde_ve(0.01, 50.0);
    ssde_train_desc train = ssde_train_defaults(&sde, 0);
    ssde_score_net_desc how = ssde_score_net_defaults();
    ssde_run_desc desc = ssde_run_defaults(SSDE_RUN_TRAIN, 2);
    ssde_net *net = NULL;
    ssde_run *run = NULL;
    ssde_score_net *score_net = NULL;
    ssde_classifier *classifier = NULL;
    ssde_trainer *trainer = NULL;
    ssde_status status = SSDE_OK, given = SSDE_OK;
    size_t bytes = 1;
    how.max_rows = train.batch = 2;
    how.guidance = 1.0;
    desc.context = how.context = train.context = context;
    switch (which) {
        case NN_CREATE_RUN: status = ssde_run_create(&run, nets[NN_CREATE_UNET], &desc); break;
        case NN_CREATE_SCORE_NET:
            status = ssde_score_net_create(&score_net, nets[NN_CREATE_UNET], &sde, &how);
            if (score_net) given = ssde_score_net_set_classes(score_net, classes, 2, 0);
            break;
        case NN_CREATE_CLASSIFIER:
            status = ssde_classifier_create(&classifier, nets[NN_CREATE_CLASSIFIER_NET], &sde, &how);
            if (classifier) given = ssde_classifier_set_classes(classifier, classes, 2, 0);
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
    return status == SSDE_OK ? given : status;
}

static void test_run_allocation(void) {
    ssde_net *nets[NN_NETS] = {NULL};
    int which;
    for (which = 0; which < NN_NETS; which++) CHECK_OK(nn_create_net(NULL, which, &nets[which]));
    for (which = 0; which < NN_CREATIONS; which++) {
        long needed, n;
        counted_memory memory;
        ssde_context context = counted_context(&memory);
        CHECK_OK(nn_create(&context, which, nets));
        needed = memory.made;
        CHECK(needed > 0 && memory.live == 0);
        for (n = 0; n < needed; n += check_quick && needed > 10 ? 1 + n / 3 : 1) {
            context = counted_context(&memory);
            memory.refuse = n;
            CHECK_FAILS(&context, nn_create(&context, which, nets), SSDE_ERROR_MEMORY, "allocate");
            CHECK(memory.live == 0);
        }
    }
    for (which = 0; which < NN_NETS; which++) ssde_net_destroy(nets[which]);
}

static void test_run_errors(void) {
    ssde_context context = ssde_context_defaults();
    ssde_run_desc desc = ssde_run_defaults(SSDE_RUN_VJP, 0);
    ssde_run *run = NULL, *inference;
    ssde_net *net = NULL, *unfinished = NULL, *constant = NULL, *wide = NULL;
    float x[4] = {1.0f, 2.0f, 3.0f, 4.0f}, out[4], label[2] = {1.0f, 1.0f}, gradient[64] = {0};
    uint64_t sample[2] = {1, (uint64_t)1 << 48};
    ssde_node h;
    CHECK_OK(ssde_net_create(&context, &net, 1));
    h = ssde_linear(net, ssde_input(net, 1, 1, 2), 2, 1.0, "linear");
    h = ssde_add_scaled(
        net, h, ssde_linear(net, ssde_positional_embedding(net, ssde_input_label(net), 4, 1.0, 0), 2, 1.0, "label"),
        1.0);
    h = ssde_scale_rows(net, ssde_dropout(net, h, 0.5), ssde_input_sigma(net), SSDE_OVER_SIGMA);
    CHECK_OK(ssde_net_finish(net, h));
    CHECK_OK(ssde_net_create(&context, &unfinished, 1));
    ssde_input(unfinished, 1, 1, 2);
    desc.context = &context;
    CHECK_FAILS(&context, ssde_run_create(NULL, net, &desc), SSDE_ERROR_ARGUMENT, "run is NULL");
    CHECK_FAILS(&context, ssde_run_create(&run, NULL, &desc), SSDE_ERROR_ARGUMENT, "NULL");
    CHECK_STATUS(ssde_run_create(&run, net, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_FAILS(&context, ssde_run_create(&run, net, &desc), SSDE_ERROR_ARGUMENT, "max_rows is 0");
    CHECK(ssde_run_memory(net, &desc) == 0 && ssde_run_memory(NULL, &desc) == 0 && ssde_run_memory(net, NULL) == 0);
    desc.max_rows = (size_t)1 << 31;
    CHECK_FAILS(&context, ssde_run_create(&run, net, &desc), SSDE_ERROR_ARGUMENT, "max_rows is 2147483648");
    desc.max_rows = 2;
    CHECK_FAILS(&context, ssde_run_create(&run, unfinished, &desc), SSDE_ERROR_ARGUMENT, "not finished");
    memset(&desc.mode, 1, sizeof desc.mode);
    CHECK_FAILS(&context, ssde_run_create(&run, net, &desc), SSDE_ERROR_ARGUMENT, "mode is 16843009");
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
    h = ssde_linear(constant, ssde_positional_embedding(constant, ssde_input_label(constant), 4, 1.0, 0), 2, 1.0,
                    "label");
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
    CHECK_OK(ssde_net_finish(wide, ssde_attention(wide, h, h, h, 1)));
    desc.max_rows = 1;
    CHECK(ssde_run_memory(wide, &desc) == 0);
    ssde_net_destroy(wide);
    ssde_net_destroy(constant);
    ssde_net_destroy(unfinished);
    ssde_net_destroy(net);
}

/* ---- run: what every step says it needs ---- */

/* Networks of each operation alone, and whole ones, step by step: a step may read and write what its plan wrote down,
   and finds NaN everywhere else. */
enum { STEP_ROWS = 3, STEP_TASKS = 2, STEP_GUARD = 64 };

typedef struct step_data {
    float *x, *v, *out, *gradient; /* [rows, dim], [rows, output_dim] twice, whatever the mode derives */
    float label[STEP_ROWS], sigma[STEP_ROWS];
} step_data;

/* A run whose every piece has a place of its own, and floats behind it that nobody owns. */
typedef struct guarded {
    ssde_run *run;
    float *kept, *before; /* the arena before a step, whole and with what the step may not read as NaN */
    unsigned char *may;   /* it may write here */
    size_t next;
} guarded;

static size_t guarded_place(guarded *g, size_t floats) {
    size_t at = g->next;
    g->next = (at + floats + STEP_GUARD + 15) / 16 * 16;
    return at;
}

/* Without a change of the plan but for the places. */
static void guarded_open(guarded *g, ssde_run *run) {
    size_t nodes = (size_t)run->net->node_count, workspace = 0, sums = 0, shared = 0, zeros, i;
    memset(g, 0, sizeof *g);
    for (i = 0; i < nodes; i++) {
        ssdei_step *step = &run->steps[i];
        size_t floats = ssdei_plan_floats(run, (int)i);
        step->value = guarded_place(g, floats);
        if (step->gradient != SSDEI_NOWHERE) step->gradient = guarded_place(g, floats);
        if (step->saved != SSDEI_NOWHERE) step->saved = guarded_place(g, run->max_rows * step->saved_floats);
        if (step->value_again != SSDEI_NOWHERE) step->value_again = guarded_place(g, floats);
        workspace = ssdei_max(workspace, step->workspace);
        sums = ssdei_max(sums, step->sums);
        shared = ssdei_max(shared, step->shared_floats);
    }
    zeros = run->workspace - run->zeros;
    run->zeros = guarded_place(g, zeros);
    run->sums = guarded_place(g, sums * sizeof(double) / sizeof(float));
    run->shared = guarded_place(g, shared);
    run->workspace = guarded_place(g, 0);
    run->task_floats = (workspace + STEP_GUARD + 15) / 16 * 16;
    g->next += run->tasks * run->task_floats;
    /* a step that writes too much is to be reported, not to crash */
    g->run = run = nn_with_arena(run, ssdei_max(run->arena_floats, g->next + g->next / 4));
    g->kept = (float *)malloc(2 * run->arena_floats * sizeof *g->kept);
    g->before = g->kept + run->arena_floats;
    g->may = (unsigned char *)malloc(run->arena_floats);
    for (i = 0; i < run->arena_floats; i++) run->arena[i] = NAN;
    memset(run->arena + run->zeros, 0, zeros * sizeof *run->arena);
}

/* Gives the inputs, and no step has run. */
static void guarded_give(guarded *g, const step_data *data) {
    ssde_run *run = g->run;
    const ssde_net *net = run->net;
    CHECK_OK(ssde_run_set_classes(run, NULL, 0));
    run->rows = STEP_ROWS;
    run->seed = 3;
    run->step = 2;
    memcpy(ssdei_value(run, net->input), data->x, STEP_ROWS * ssde_net_dim(net) * sizeof *data->x);
    if (run->mode == SSDE_RUN_TANGENT)
        memcpy(ssdei_tangent(run, net->input), data->x, STEP_ROWS * ssde_net_dim(net) * sizeof *data->x);
    if (net->label >= 0) memcpy(ssdei_value(run, net->label), data->label, sizeof data->label);
    if (net->sigma >= 0) memcpy(ssdei_value(run, net->sigma), data->sigma, sizeof data->sigma);
}

static void guarded_close(guarded *g) {
    free(g->kept);
    free(g->may);
    ssde_run_destroy(g->run);
}

/* The step may write there; what it finds is NaN, or what is there. */
static void guarded_allow(guarded *g, size_t at, size_t floats, int keep) {
    size_t i;
    if (at == SSDEI_NOWHERE) return;
    memset(g->may + at, 1, floats);
    for (i = 0; i < floats && !keep; i++) g->run->arena[at + i] = NAN;
}

/* Whether a step reads a node's value, and what is saved with it. */
static int guarded_reads(const ssde_run *run, int index, int backward, int of) {
    const ssdei_node *node = &run->net->nodes[index];
    int i;
    for (i = 0; i < 3; i++) {
        int input = node->input[i];
        if (input < 0) continue;
        if (!backward && input == of) return 1;
        if (!backward || run->steps[index].reads[i] == SSDEI_UNREAD) continue;
        if (run->steps[input].value_again == SSDEI_NOWHERE || run->steps[index].reads[i] == SSDEI_READ) {
            if (input == of) return 1;
        } else if (run->net->nodes[input].input[0] == of)
            return 1;
    }
    return 0;
}

/* NaN in all values that the step does not read. */
static void guarded_hide(guarded *g, int index, int backward) {
    ssde_run *run = g->run;
    size_t floats, k;
    int i;
    for (i = 0; i < run->net->node_count; i++) {
        floats = guarded_reads(run, index, backward, i) ? 0 : ssdei_plan_floats(run, i);
        for (k = 0; k < floats; k++) run->arena[run->steps[i].value + k] = NAN;
    }
}

static void guarded_allow_step(guarded *g, int index, int backward) {
    ssde_run *run = g->run;
    const ssdei_step *step = &run->steps[index];
    const ssdei_node *node = &run->net->nodes[index];
    size_t task;
    int i;
    memset(g->may, 0, run->arena_floats);
    for (task = 0; task < run->tasks; task++)
        guarded_allow(g, run->workspace + task * run->task_floats, step->workspace, 0);
    guarded_allow(g, run->shared, step->shared_floats, 0);
    if (!backward) {
        if (node->input[0] >= 0) guarded_allow(g, step->value, ssdei_plan_floats(run, index), 0); /* else it is given */
        if (step->saved_floats) guarded_allow(g, step->saved, run->rows * step->saved_floats, 0);
        return;
    }
    guarded_allow(g, run->sums, step->sums * sizeof(double) / sizeof(float), 0);
    guarded_allow(g, step->gradient, ssdei_plan_floats(run, index), 1);
    for (i = 0; i < 3; i++) {
        const ssdei_step *input = node->input[i] >= 0 ? &run->steps[node->input[i]] : NULL;
        size_t floats = input ? ssdei_plan_floats(run, node->input[i]) : 0;
        if (input && input->needs) guarded_allow(g, input->gradient, floats, 1);
        if (input && step->reads[i] == SSDEI_READ_AGAIN) guarded_allow(g, input->value_again, floats, input->restored);
    }
}

/* One step, after which only what it may write has changed. */
static void guarded_step(guarded *g, int index, int backward, const char *what) {
    ssde_run *run = g->run;
    const ssdei_node *node = &run->net->nodes[index];
    size_t bytes = run->arena_floats * sizeof(float), i, wrong = 0, first = 0;
    uint32_t bits[2];
    memcpy(g->kept, run->arena, bytes);
    guarded_hide(g, index, backward);
    guarded_allow_step(g, index, backward);
    memcpy(g->before, run->arena, bytes);
    if (!backward) ssdei_operations[node->operation].forward(run, index);
    if (!backward && run->steps[index].moves)
        ssdei_operations[node->operation].tangent(run, index);
    else if (backward && run->steps[index].moves)
        ssdei_run_tangent_backward(run, index);
    else if (backward)
        ssdei_operations[node->operation].backward(run, index);
    for (i = 0; i < run->arena_floats; i++) {
        if (g->may[i]) continue;
        memcpy(bits, &run->arena[i], sizeof(float));
        memcpy(bits + 1, &g->before[i], sizeof(float));
        if (bits[0] != bits[1] && !wrong++) first = i;
        run->arena[i] = g->kept[i];
    }
    check_count++;
    if (wrong)
        check_report(__FILE__, __LINE__, "%s: step %d, %s: wrote %lu floats that are not its own, the first at %lu",
                     what, index, backward ? "backward" : "forward", (unsigned long)wrong, (unsigned long)first);
}

/* Forward, and backward as far as the mode goes. */
static void step_pass(ssde_run *run, const step_data *data, float *out, float *gradient) {
    nn_run_pass(run, data->x, data->v, data->label, data->sigma, STEP_ROWS, NULL, out, gradient);
}

/* The same step by step. */
static void guarded_pass(guarded *g, const step_data *data, const char *what, float *out, float *gradient) {
    ssde_run *run = g->run;
    const ssde_net *net = run->net;
    size_t bytes = STEP_ROWS * ssde_net_output_dim(net) * sizeof *out;
    int tangents = run->mode == SSDE_RUN_TANGENT, i;
    guarded_give(g, data);
    for (i = 0; i < net->node_count; i++)
        if (!run->steps[i].idle) guarded_step(g, i, 0, what);
    memcpy(out, tangents ? ssdei_tangent(run, net->output) : ssdei_value(run, net->output), bytes);
    if (run->mode == SSDE_RUN_INFERENCE || !run->steps[net->output].needs) return;
    ssdei_run_begin_backward(run);
    run->weight_gradients = ssdei_trains(run->mode) ? gradient : NULL;
    memcpy(ssdei_gradient(run, net->output), data->v, bytes);
    if (run->steps[net->output].moves) memcpy(ssdei_tangent_gradient(run, net->output), data->v, bytes);
    run->steps[net->output].written = 1;
    for (i = net->node_count - 1; i >= 0; i--)
        if (run->steps[i].written) guarded_step(g, i, 1, what);
    if (run->mode == SSDE_RUN_VJP)
        memcpy(gradient, ssdei_gradient(run, net->input), STEP_ROWS * ssde_net_dim(net) * sizeof *gradient);
}

/* Every mode: the guarded run and an ordinary one agree bit for bit. */
static void steps_check(const ssde_net *net, ssde_context *context, ssde_convolution convolution, const char *what) {
    size_t dim = STEP_ROWS * ssde_net_dim(net), output = STEP_ROWS * ssde_net_output_dim(net), i;
    size_t derived = ssdei_max(dim, ssde_net_weight_count(net));
    float *buffer = (float *)malloc((dim + 3 * output + 2 * derived) * sizeof *buffer), *again, *gradient_again;
    step_data data;
    unsigned long fails;
    int mode;
    data.x = buffer;
    data.v = data.x + dim;
    data.out = data.v + output;
    again = data.out + output;
    data.gradient = again + output;
    gradient_again = data.gradient + derived;
    oracle_normals(1, 1.0, dim, data.x);
    oracle_normals(2, 1.0, output, data.v);
    for (i = 0; i < STEP_ROWS; i++) data.label[i] = data.sigma[i] = (net->label_rows ? 0.0f : 0.5f) + (float)i;
    for (mode = SSDE_RUN_INFERENCE; mode <= SSDE_RUN_TANGENT; mode++) {
        ssde_run_desc desc = ssde_run_defaults((ssde_run_mode)mode, STEP_ROWS);
        ssde_run *run = NULL, *other = NULL;
        guarded g;
        desc.context = context;
        desc.convolution = convolution;
        CHECK_OK(ssde_run_create(&run, net, &desc));
        CHECK_OK(ssde_run_create(&other, net, &desc));
        if (!run || !other) continue;
        memset(data.gradient, 0, 2 * derived * sizeof *data.gradient);
        fails = check_fails;
        guarded_open(&g, other);
        guarded_pass(&g, &data, what, again, gradient_again);
        guarded_close(&g);
        if (check_fails == fails) step_pass(run, &data, data.out, data.gradient);
        for (i = 0; i < output && check_fails == fails; i++)
            if (!(fabsf(data.out[i]) <= FLT_MAX)) break;
        CHECK(i == output || check_fails > fails);
        CHECK_SAME(again, data.out, output * sizeof *again);
        CHECK_SAME(gradient_again, data.gradient, derived * sizeof *again);
        ssde_run_destroy(run);
    }
    free(buffer);
}

/* ---- run: networks of one operation ---- */

/* dilation 0: with a bias */
static ssde_node steps_conv(ssde_net *net, ssde_node x, size_t channels, int kernel, int stride, int dilation,
                            ssde_node residual) {
    ssde_conv_desc desc = ssde_conv(channels, kernel);
    desc.dilation = dilation;
    desc.no_bias = dilation > 0;
    if (dilation) desc.pad_before = desc.pad_after = dilation;
    desc.stride = stride;
    desc.residual = residual;
    desc.scale = 0.75;
    return ssde_conv2d(net, x, &desc, "conv");
}

/* One value per channel, with a derivative or without. */
static ssde_node steps_vector(ssde_net *net, ssde_node x, size_t channels, int behind) {
    return behind ? ssde_linear(net, ssde_mean_pixels(net, x), channels, 1.0, "vector")
                  : ssde_positional_embedding(net, ssde_input_label(net), channels, 1.0, 0);
}

/* The operation in form 0, 1, ...; -1 where there is no such form. `behind` another that has weights, so that training
   differentiates it. */
static ssde_node steps_operation(ssde_net *net, int operation, int form, int behind) {
    static const size_t convs[][6] = {/* height, width, channels in and out, kernel, stride */
                                      {9, 8, 40, 40, 1, 1},   {19, 21, 40, 40, 3, 1}, {19, 21, 3, 5, 3, 1},
                                      {19, 21, 40, 24, 3, 2}, {10, 9, 250, 70, 1, 1}, {9, 8, 40, 40, 3, 1},
                                      {9, 21, 40, 24, 3, 1}};
    static const double fir[4] = {1.0, 3.0, 3.0, 1.0};
    static const int forms[SSDEI_OPERATION_COUNT] = {1, 7, 5, 4, 2, 2, 2, 1, 1, 3, 1, 1, 1, 1, 1, 1, 4, 1, 1, 1, 1};
    int conv = operation == SSDEI_OPERATION_conv;
    size_t channels = conv && form < 7 ? convs[form][2] : 40;
    ssde_node x;
    if (form >= forms[operation]) return -1;
    x = conv ? ssde_input(net, convs[form][0], convs[form][1], channels) : ssde_input(net, 8, 10, channels);
    if (behind) {
        ssde_conv_desc front = ssde_conv(channels, 1);
        x = ssde_conv2d(net, x, &front, "front");
    }
    switch (operation) {
        case SSDEI_OPERATION_input: return x;
        case SSDEI_OPERATION_conv:
            return steps_conv(net, x, convs[form][3], (int)convs[form][4], (int)convs[form][5], form == 6 ? 4 : 0,
                              form == 0   ? x
                              : form == 5 ? steps_vector(net, x, convs[form][3], behind)
                                          : -1);
        case SSDEI_OPERATION_activate:
            return ssde_activate(net, x,
                                 form == 0   ? SSDE_SILU
                                 : form == 1 ? SSDE_IDENTITY
                                 : form == 2 ? SSDE_SOFTPLUS
                                 : form == 3 ? SSDE_ELU
                                             : SSDE_GELU);
        case SSDEI_OPERATION_group_norm:
            return ssde_dropout(net, ssde_group_norm(net, x, 8, 1e-6, form % 2 ? SSDE_SILU : SSDE_IDENTITY, "norm"),
                                form / 2 * 0.25);
        case SSDEI_OPERATION_attention: return ssde_attention(net, x, x, x, form ? 5 : 1);
        case SSDEI_OPERATION_add:
            return ssde_add_scaled(net, x, form ? steps_vector(net, x, channels, behind) : x, 0.5);
        case SSDEI_OPERATION_concat: return ssde_concat(net, x, form ? steps_vector(net, x, 48, behind) : x);
        case SSDEI_OPERATION_affine: return ssde_affine_map(net, x, 2.0, 0.5);
        case SSDEI_OPERATION_dropout: return ssde_dropout(net, x, 0.25);
        case SSDEI_OPERATION_resample:
            return form == 0   ? ssde_upsample_nearest(net, x)
                   : form == 1 ? ssde_average_pool(net, x)
                               : ssde_fir(net, x, 1, 2, 1, 1, fir, 4);
        case SSDEI_OPERATION_positional: return ssde_positional_embedding(net, ssde_input_label(net), 40, 1.0, 0);
        case SSDEI_OPERATION_fourier: return ssde_fourier_embedding(net, ssde_input_label(net), 40, 1.0, "fourier");
        case SSDEI_OPERATION_scale_rows: return ssde_scale_rows(net, x, ssde_input_sigma(net), SSDE_OVER_SIGMA);
        case SSDEI_OPERATION_modulate: return ssde_modulate(net, x, steps_vector(net, x, 2 * channels, behind));
        case SSDEI_OPERATION_mean_pixels: return ssde_mean_pixels(net, x);
        case SSDEI_OPERATION_tokens: return ssde_tokens(net, x, "tokens");
        case SSDEI_OPERATION_class_embedding:
            return ssde_class_embedding(net, ssde_input_class(net), 6, channels, "class");
        case SSDEI_OPERATION_instance_norm:
            if (form == 3)
                return ssde_conditional_instance_norm(net, x, ssde_input_label(net), STEP_ROWS, 1e-5, SSDE_SILU,
                                                      "norm");
            return ssde_instance_norm(net, x, (ssde_instance_norm_kind)form, 1e-5, SSDE_ELU, "norm");
        case SSDEI_OPERATION_max_pool: return ssde_pool(net, x, SSDE_POOL_MAX, 5);
        case SSDEI_OPERATION_mean_pool: return ssde_pool(net, x, SSDE_POOL_MEAN, 5);
        case SSDEI_OPERATION_resize: return ssde_resize_bilinear(net, x, 13, 5);
        default: return -1;
    }
}

static int steps_has(const ssde_net *net, int operation) {
    int i;
    for (i = 0; i < net->node_count; i++)
        if (net->nodes[i].operation == operation) return 1;
    return 0;
}

/* Every tier; with --quick the best alone. */
static int steps_tier(int index, ssde_context *context) {
    int tier = index;
    while (check_quick && nn_tier(tier + 1, context)) tier++;
    if (!nn_tier(tier, context) || (check_quick && index)) return 0;
    context->threads = STEP_TASKS;
    return 1;
}

/* Every operation of the list. */
static void test_run_steps_alone(void) {
    char what[96];
    int operation, form, behind, tier, convolution, found;
    for (operation = 0; operation < SSDEI_OPERATION_COUNT; operation++) {
        for (form = 0; form == 0 || found; form++) {
            for (behind = found = 0; behind < 2; behind++) {
                ssde_context context;
                ssde_net *net = NULL;
                ssde_node output;
                CHECK_OK(ssde_net_create(NULL, &net, 1));
                output = steps_operation(net, operation, form, behind);
                found = output >= 0;
                if (found || form == 0) CHECK_OK(ssde_net_finish(net, output));
                if (found || form == 0) CHECK(steps_has(net, operation));
                for (tier = 0; found && steps_tier(tier, &context); tier++) {
                    for (convolution = SSDE_CONVOLUTION_DIRECT; convolution <= nn_most_convolution(net);
                         convolution++) {
                        snprintf(what, sizeof what, "operation %d, form %d, tier %d, convolution %d%s", operation, form,
                                 tier, convolution, behind ? ", behind another" : "");
                        steps_check(net, &context, (ssde_convolution)convolution, what);
                    }
                }
                ssde_net_destroy(net);
            }
        }
    }
}

/* Whole networks, where values are computed again and gradients added up. */
static void test_run_steps_networks(void) {
    ssde_unet_desc shapes[2];
    int i, tier;
    shapes[0] = nn_small_unet();
    shapes[1] = ssde_ncsnpp(8, 8, 2);
    shapes[1].nf = 8;
    shapes[1].num_levels = 2;
    shapes[1].num_res_blocks = 1;
    shapes[1].classes = 3;
    for (i = check_quick; i < 2; i++) {
        ssde_context context;
        ssde_net *net = NULL;
        oracle o;
        CHECK_OK(ssde_unet_create(&net, &shapes[i]));
        if (!net) continue;
        oracle_from_net(&o, net);
        oracle_random_weights(&o, 5); /* a fresh network's last weights are zero, and so would its derivatives be */
        for (tier = 0; steps_tier(tier, &context); tier++) {
            steps_check(net, &context, SSDE_CONVOLUTION_AUTO, i ? "ncsnpp" : "ddpmpp");
        }
        oracle_close(&o);
    }
}

/* ---- whoever works ---- */

enum { WORKERS_ROWS = 5, WORKERS_DIM = 20 * 20 * 3 };

/* Networks whose products are cut in all ways: many tiles and several blocks, few tiles and many channels, attention.
   Their dropouts stand behind norms and alone. */
static ssde_net *workers_net(int kind) {
    ssde_unet_desc unet = nn_small_unet();
    ssde_conv_desc wide = ssde_conv(72, 3), few = ssde_conv(40, 3), last = ssde_conv(3, 3);
    ssde_net *net = NULL;
    ssde_node h;
    if (kind == 2) {
        CHECK_OK(ssde_unet_create(&net, &unet));
        return net;
    }
    CHECK_OK(ssde_net_create(NULL, &net, 1));
    h = kind ? ssde_input(net, 6, 5, 3) : ssde_input(net, 20, 20, 3);
    if (kind) few.channels = 136;
    h = ssde_conv2d(net, h, &few, "few");
    h = ssde_dropout(net, ssde_group_norm(net, h, 8, 1e-6, SSDE_SILU, "norm"), 0.3);
    h = ssde_conv2d(net, h, &wide, "wide");
    h = ssde_dropout(net, ssde_dropout(net, ssde_group_norm(net, h, 8, 1e-6, SSDE_SILU, "other"), 0.1), 0.2);
    CHECK_OK(ssde_net_finish(net, ssde_conv2d(net, h, &last, "last")));
    return net;
}

/* What RefineNets are made of. */
static ssde_net *workers_refinenet(void) {
    ssde_conv_desc dilated = ssde_conv(72, 3), last = ssde_conv(3, 3);
    ssde_net *net = NULL;
    ssde_node x, h;
    CHECK_OK(ssde_net_create(NULL, &net, 1));
    x = ssde_input(net, 20, 20, 3);
    dilated.dilation = dilated.pad_before = dilated.pad_after = 2;
    dilated.no_bias = 1;
    h = ssde_conv2d(net, x, &dilated, "dilated");
    h = ssde_conditional_instance_norm(net, h, ssde_input_label(net), WORKERS_ROWS, 1e-5, SSDE_ELU, "norm");
    h = ssde_pool(net, h, SSDE_POOL_MAX, 5);
    h = ssde_instance_norm(net, h, SSDE_VARIANCE_NORM, 1e-5, SSDE_LEAKY_RELU, "other");
    h = ssde_pool(net, ssde_resize_bilinear(net, h, 13, 11), SSDE_POOL_MEAN, 3);
    h = ssde_conv2d(net, ssde_resize_bilinear(net, h, 20, 20), &last, "last");
    CHECK_OK(ssde_net_finish(net, h));
    return net;
}

/* Outputs and derivatives of rows that pass together, or one by one, by so many workers. */
static void workers_pass(const ssde_net *net, ssde_run_desc desc, int workers, int alone, const nn_run_data *data,
                         const float *x, float *out, float *derivatives) {
    size_t count = alone ? 1 : WORKERS_ROWS, dim = ssde_net_dim(net), row;
    threads_hook hook;
    ssde_context context = *desc.context;
    ssde_run *run = NULL;
    hook.threads = workers;
    hook.calls = 0;
    context.parallel_for = threads_parallel_for;
    context.user = &hook;
    context.threads = workers;
    desc.context = &context;
    CHECK_OK(ssde_run_create(&run, net, &desc));
    if (!run) return;
    nn_poison(run);
    for (row = 0; row < WORKERS_ROWS; row += count) {
        const float *at = x + row * dim;
        nn_run_pass(run, at, at, data->label + row, data->sigma + row, count, data->sample + row, out + row * dim,
                    derivatives + (desc.mode == SSDE_RUN_VJP ? row * dim : 0));
    }
    CHECK((hook.calls > 0) == (workers > 1));
    ssde_run_destroy(run);
}

/* The same bits for 1, 2, 3 and 5 workers, who take what pieces they find; of outputs and derivatives by rows also for
   rows alone. */
static void workers_check(const ssde_net *net, ssde_context *context, ssde_convolution convolution,
                          const nn_run_data *data, const float *x) {
    static const int workers[] = {1, 2, 3, 5};
    size_t dim = ssde_net_dim(net), weights = ssde_net_weight_count(net), i;
    size_t floats = ssdei_max(WORKERS_ROWS * dim, weights);
    float *buffer = (float *)malloc((2 * WORKERS_ROWS * dim + 2 * floats) * sizeof *buffer);
    float *out = buffer, *other = out + WORKERS_ROWS * dim, *wanted = other + WORKERS_ROWS * dim;
    float *derivatives = wanted + floats;
    int mode, alone;
    for (mode = SSDE_RUN_VJP; mode <= SSDE_RUN_TANGENT; mode++) {
        ssde_run_desc desc = ssde_run_defaults((ssde_run_mode)mode, WORKERS_ROWS);
        desc.context = context;
        desc.convolution = convolution;
        memset(wanted, 0, floats * sizeof *wanted);
        workers_pass(net, desc, 1, 0, data, x, out, wanted);
        for (i = 0; i < 4; i++) {
            for (alone = 0; alone <= (workers[i] == 3); alone++) {
                memset(derivatives, 0, floats * sizeof *derivatives);
                memset(other, 0, WORKERS_ROWS * dim * sizeof *other);
                workers_pass(net, desc, workers[i], alone, data, x, other, derivatives);
                CHECK_SAME(other, out, WORKERS_ROWS * dim * sizeof *out);
                if (mode == SSDE_RUN_VJP || !alone) CHECK_SAME(derivatives, wanted, floats * sizeof *wanted);
            }
        }
    }
    free(buffer);
}

static void test_run_workers(void) {
    static nn_run_data data;
    static float x[WORKERS_ROWS * WORKERS_DIM];
    int kind, tier, convolution;
    nn_run_data_fill(&data);
    oracle_normals(7, 1.0, WORKERS_ROWS * WORKERS_DIM, x);
    for (kind = 0; kind < 4; kind++) {
        ssde_context context;
        ssde_net *net = kind == 3 ? workers_refinenet() : workers_net(kind);
        int row;
        oracle o;
        if (!net) continue;
        oracle_from_net(&o, net);
        oracle_random_weights(&o, 5);
        for (row = 0; row < WORKERS_ROWS && net->label_rows; row++) data.label[row] = (float)(WORKERS_ROWS - 1 - row);
        for (tier = 0; steps_tier(tier, &context); tier++)
            for (convolution = SSDE_CONVOLUTION_DIRECT; convolution <= SSDE_CONVOLUTION_WINOGRAD; convolution++)
                workers_check(net, &context, (ssde_convolution)convolution, &data, x);
        oracle_close(&o);
    }
}

#define TEST_NN_RUN_LIST(X) \
    X(net_parameter_order)  \
    X(net_own_optimiser)    \
    X(net_memory)           \
    X(net_build_errors)     \
    X(net_initialisation)   \
    X(run_early_output)     \
    X(run_company)          \
    X(run_tangent_dropout)  \
    X(run_even_blocks)      \
    X(run_workers)          \
    X(run_reuse)            \
    X(run_memory)           \
    X(run_memory_ddpmpp)    \
    X(run_allocation)       \
    X(run_errors)           \
    X(run_steps_alone)      \
    X(run_steps_networks)

#endif
