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

/* ---- networks: every part by the oracle ---- */

/* Of two or three levels of few channels, together of every kind that the golden networks lack labels or sizes for. */
static ssde_unet2d_desc unet2d_small(int kind) {
    ssde_unet2d_desc desc = ssde_unet2d(4, 8, 2);
    desc.block_out_channels[0] = 4;
    desc.block_out_channels[1] = 6;
    desc.num_levels = 2;
    desc.layers_per_block = 1;
    desc.norm_num_groups = 2;
    desc.dropout = 0.0;
    memset(desc.down, 0, sizeof desc.down);
    memset(desc.up, 0, sizeof desc.up);
    if (kind == 0) { /* as OpenAI's: heads by their number, other ones on the way up, blocks between the levels */
        desc.scale_shift = 1;
        desc.num_heads = 2;
        desc.num_heads_up = 3;
        desc.attn_norm_num_groups = 3;
        desc.down[1].attention = desc.up[1].attention = 1;
        desc.down[0].resampling = desc.up[1].resampling = SSDE_RESAMPLING_BLOCK;
        desc.time_width = 6;
        desc.class_embed_type = SSDE_UNET2D_CLASS_TABLE;
        desc.num_class_embeds = 3;
        desc.out_channels = 2;
    } else if (kind == 1) { /* heads that do not divide the width, a vector, no convolution between the levels */
        desc.act_fn = SSDE_GELU;
        desc.attention_head_dim = 3;
        desc.down[0].attention = desc.up[1].attention = 1;
        desc.down[0].resampling = desc.up[1].resampling = SSDE_RESAMPLING_PLAIN;
        desc.class_embed_type = SSDE_UNET2D_CLASS_VECTOR;
        desc.time_embedding_dim = 10;
        desc.center_input_sample = 1;
        desc.mid_block_scale_factor = 1.5;
        desc.freq_shift = 0.5;
    } else if (kind == 2) { /* Skip blocks below others, and the label in three ways */
        desc.block_out_channels[0] = desc.block_out_channels[1] = 4;
        desc.down[0].skip = desc.up[0].skip = desc.up[1].skip = 1;
        desc.down[1].attention = 1;
        desc.attention_head_dim = 0;
        desc.time_embedding_type = SSDE_UNET2D_FOURIER;
        desc.class_embed_type = SSDE_UNET2D_CLASS_TIMESTEP;
        desc.time_width = 4;
    } else {
        desc.act_fn = SSDE_MISH;
        desc.no_mid_block = 1;
        desc.downsample_padding = 0;
        desc.flip_sin_to_cos = 0;
        desc.freq_shift = 1.0;
        desc.class_embed_type = SSDE_UNET2D_CLASS_TIMESTEP;
        desc.norm_eps = 0.1;
    }
    return desc;
}

static void test_networks_unet2d_oracle(void) {
    nn_options options = nn_usual();
    int kind;
    /* through some thirty nodes */
    options.forward = 1e-5;
    options.gradient = 3e-5;
    for (kind = check_quick ? 3 : 0; kind < 4; kind++) {
        ssde_unet2d_desc desc = unet2d_small(kind);
        ssde_net *net = NULL;
        oracle o;
        CHECK_OK(ssde_unet2d_create(&net, &desc));
        if (!net) continue;
        CHECK(ssde_unet2d_memory(&desc) == ssde_net_memory(net));
        oracle_from_net(&o, net);
        oracle_random_weights(&o, 5);
        nn_check(&o, &options);
        oracle_close(&o);
    }
}

/* A fresh network starts at its blocks' zeros and learns: the loss of noise falls by much in some steps. */
static void test_networks_unet2d_trains(void) {
    enum { ROWS = 8, DIM = 4 * 8 * 2, STEPS = 60 };
    ssde_sde sde = ssde_vp(0.1, 20.0);
    int kind;
    for (kind = 0; kind < 4; kind++) {
        ssde_context context = ssde_context_defaults();
        ssde_unet2d_desc desc = unet2d_small(kind);
        ssde_train_desc train = ssde_train_defaults(&sde, STEPS);
        ssde_batch batch;
        static float x[ROWS * DIM], vectors[ROWS * 16];
        int32_t classes[ROWS] = {0, 1, 2, 0, 1, 2, 0, 1};
        ssde_trainer *trainer = NULL;
        ssde_net *net = NULL;
        double first = 0.0, loss = 0.0, error;
        int step;
        if (kind == 2) continue; /* divides by the label: VE's */
        desc.context = train.context = &context;
        train.batch = ROWS;
        train.lr = 2e-3;
        train.warmup = 1;
        CHECK_OK(ssde_unet2d_create(&net, &desc));
        train.class_dropout = 0.5;
        if (ssde_net_classes(net))
            CHECK_FAILS(&context, ssde_trainer_create(&trainer, net, &sde, &train), SSDE_ERROR_ARGUMENT,
                        "knows no null class");
        train.class_dropout = 0.0;
        CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &train));
        oracle_normals(1, 0.1, ROWS * DIM, x);
        oracle_normals(2, 1.0, ROWS * 16, vectors);
        batch = ssde_batch_of(x, ROWS);
        if (ssde_net_classes(net))
            CHECK_FAILS(&context, ssde_train_step(trainer, &batch, NULL), SSDE_ERROR_ARGUMENT, "classes is NULL");
        batch.classes = classes;
        if (ssde_net_vector(net)) {
            CHECK_FAILS(&context, ssde_train_step(trainer, &batch, NULL), SSDE_ERROR_ARGUMENT,
                        "wanted 0 as ssde_run_set_vectors was given");
            batch.vectors = vectors;
        }
        CHECK_OK(ssde_trainer_evaluate(trainer, &batch, 1, &first, &error));
        for (step = 0; step < STEPS; step++) CHECK_OK(ssde_train_step(trainer, &batch, &loss));
        CHECK_OK(ssde_trainer_evaluate(trainer, &batch, 1, &loss, &error));
        CHECK(loss < 0.8 * first);
        batch.classes = NULL;
        if (ssde_net_classes(net))
            CHECK_FAILS(&context, ssde_trainer_evaluate(trainer, &batch, 1, &loss, &error), SSDE_ERROR_ARGUMENT,
                        "there is no null class");
        ssde_trainer_destroy(trainer);
        ssde_net_destroy(net);
    }
}

/* Each of the numbers that a description may not have. */
static void test_networks_unet2d_errors(void) {
    ssde_context context = ssde_context_defaults();
    int which;
    const char *words = "";
    ssde_net *net = NULL;
    for (which = 0; words; which++) {
        ssde_unet2d_desc desc = unet2d_small(0);
        desc.context = &context;
        switch (which) {
            case 0: desc.height = 0, words = "height is 0"; break;
            case 1: desc.width = 7, words = "width 7, wanted multiples of 2"; break;
            case 2: desc.in_channels = 0, words = "in_channels is 0"; break;
            case 3: desc.out_channels = 5000, words = "out_channels is 5000"; break;
            case 4: desc.num_levels = 0, words = "num_levels is 0"; break;
            case 5: desc.num_levels = 11, words = "num_levels is 11"; break;
            case 6: desc.block_out_channels[1] = 0, words = "block_out_channels[1] is 0"; break;
            case 7: desc.layers_per_block = 0, words = "layers_per_block is 0"; break;
            case 8: desc.layers_per_block = 127, words = "layers_per_block is 127, wanted 1 to 126"; break;
            case 9: desc.downsample_padding = 2, words = "downsample_padding is 2"; break;
            case 10: desc.act_fn = SSDE_ELU, words = "act_fn is 3"; break;
            case 11: desc.dropout = 1.0, words = "dropout is 1"; break;
            case 12: desc.norm_num_groups = 3, words = "groups is 3, wanted a divisor of 4"; break;
            case 13: desc.norm_eps = 0.0, words = "eps is 0"; break;
            case 14: desc.num_heads = 4, words = "num_heads is 4, wanted a divisor of 6"; break;
            case 15: desc.num_heads_up = 5, words = "num_heads_up is 5, wanted a divisor of 6"; break;
            case 16: desc.num_heads = 0, desc.attention_head_dim = 7, words = "attention_head_dim is 7"; break;
            case 17: desc.mid_block_scale_factor = 0.0, words = "mid_block_scale_factor is 0"; break;
            case 18: desc.mid_block_scale_factor = NAN, words = "mid_block_scale_factor is nan"; break;
            case 19: desc.attn_norm_num_groups = 4, words = "groups is 4, wanted a divisor of 6"; break;
            case 20: desc.time_width = 1, words = "dim is 1"; break;
            case 21: desc.freq_shift = 3.0, words = "shift 3"; break;
            case 22: desc.time_embedding_dim = 1 << 20, words = "time_embedding_dim is 1048576"; break;
            case 23: desc.num_class_embeds = 0, words = "num_class_embeds is 0"; break;
            case 24: desc.time_embedding_type = SSDE_UNET2D_LEARNED, words = "num_train_timesteps is 0"; break;
            case 25: desc.up[1].skip = 1, words = "up[1] has skip blocks and up[0] has not"; break;
            case 26:
                desc.num_levels = 3, desc.block_out_channels[2] = 6, desc.down[1].skip = 1;
                words = "down[1] has skip blocks and down[0] has not";
                break;
            case 27: /* one group for 4 channels */
                desc.norm_num_groups = 0, desc.block_out_channels[0] = 3, words = "groups is 0";
                break;
            default: words = NULL;
        }
        if (!words) break;
        CHECK(ssde_unet2d_create(&net, &desc) != SSDE_OK);
        check_count++;
        if (!strstr(context.error, words))
            check_report(__FILE__, __LINE__, "case %d: the error '%s' does not mention '%s'", which, context.error,
                         words);
        CHECK(!net && ssde_unet2d_memory(&desc) == 0);
    }
    CHECK(which == 28);
#ifndef __cplusplus
    for (which = 0; which < 4; which++) {
        ssde_unet2d_desc desc = unet2d_small(0);
        desc.context = &context;
        if (which == 0) desc.time_embedding_type = (ssde_unet2d_time)9;
        if (which == 1) desc.class_embed_type = (ssde_unet2d_classes)9;
        if (which == 2) desc.down[0].resampling = (ssde_unet2d_resampling)9;
        if (which == 3) desc.up[1].resampling = (ssde_unet2d_resampling)9;
        CHECK_FAILS(&context, ssde_unet2d_create(&net, &desc), SSDE_ERROR_ARGUMENT, "is 9, wanted an ssde_unet2d_");
    }
#endif
}

/* ---- score net: what these networks are told ---- */

/* A table's classes are given or refused; learned times are indices; vectors go by the sample's number. */
static void test_score_net_unet2d_told(void) {
    enum { DIM = 8 * 8 * 3, IDENTITY = 32 };
    static float x[2 * 16 * 16 * 3], out[2][2 * 16 * 16 * 3], vectors[3 * IDENTITY];
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_score_net_desc desc = ssde_score_net_defaults();
    ssde_score_net *score_net = NULL;
    ssde_score_model model;
    unet2d_golden g;
    double t[2] = {0.25, 0.25};
    uint64_t sample[2] = {7, 6};
    int32_t classes[2] = {3, -1};
    float label[2] = {3.0f, 4.5f};
    ssde_run *run;
    desc.context = &context;
    oracle_normals(3, 1.0, sizeof x / sizeof *x, x);
    oracle_normals(4, 1.0, 3 * IDENTITY, vectors);
    if (unet2d_open(&g, &context, "class_scale_shift")) {
        CHECK(ssde_net_classes(g.net) == 10 && !ssde_net_null_class(g.net) && ssde_net_vector(g.net) == 0);
        desc.guidance = 1.0;
        CHECK_FAILS(&context, ssde_score_net_create(&score_net, g.net, &sde, &desc), SSDE_ERROR_UNSUPPORTED,
                    "knows no null class");
        desc.guidance = 0.0;
        CHECK_OK(ssde_score_net_create(&score_net, g.net, &sde, &desc));
        model = ssde_score_net_model(score_net);
        CHECK_FAILS(&context, model.score(model.user, x, t, NULL, 2, 0, out[0]), SSDE_ERROR_ARGUMENT,
                    "there is no null class");
        CHECK_FAILS(&context, ssde_score_net_set_classes(score_net, classes, 2, 0), SSDE_ERROR_ARGUMENT,
                    "classes[1] is -1, wanted 0 to 9: there is no null class");
        CHECK_FAILS(&context, ssde_score_net_set_vectors(score_net, vectors, 1, 0), SSDE_ERROR_ARGUMENT, "takes none");
        classes[1] = 4;
        CHECK_OK(ssde_score_net_set_classes(score_net, classes, 2, 0));
        CHECK_OK(model.score(model.user, x, t, NULL, 2, 0, out[0]));
        classes[0] = 4;
        CHECK_OK(ssde_score_net_set_classes(score_net, classes, 2, 0));
        CHECK_OK(model.score(model.user, x, t, NULL, 2, 0, out[1]));
        CHECK(check_distance(out[0], out[1], 16 * 16 * 3) > 1e-3);
        CHECK_SAME(out[0] + 16 * 16 * 3, out[1] + 16 * 16 * 3, 16 * 16 * 3 * sizeof(float));
        ssde_score_net_destroy(score_net);
        run = nn_run(g.net, &context, SSDE_RUN_INFERENCE, 2);
        CHECK_FAILS(&context, ssde_run_forward(run, x, label, NULL, 1, 0, 0, NULL, NULL), SSDE_ERROR_ARGUMENT,
                    "wanted 0 as ssde_run_set_classes was given");
        CHECK_FAILS(&context, ssde_run_set_vectors(run, vectors, 1), SSDE_ERROR_ARGUMENT, "takes none");
        ssde_run_destroy(run);
    }
    unet2d_close(&g);
    if (unet2d_open(&g, &context, "learned_time")) {
        run = nn_run(g.net, &context, SSDE_RUN_INFERENCE, 2);
        CHECK_FAILS(&context, ssde_run_forward(run, x, label, NULL, 2, 0, 0, NULL, NULL), SSDE_ERROR_ARGUMENT,
                    "label[1] is 4.5, wanted a whole number from 0 to 19");
        label[1] = 20.0f;
        CHECK_FAILS(&context, ssde_run_forward(run, x, label, NULL, 2, 0, 0, NULL, NULL), SSDE_ERROR_ARGUMENT,
                    "label[1] is 20");
        label[1] = NAN;
        CHECK_FAILS(&context, ssde_run_forward(run, x, label, NULL, 2, 0, 0, NULL, NULL), SSDE_ERROR_ARGUMENT,
                    "label[1] is nan");
        label[1] = 19.0f;
        CHECK_OK(ssde_run_forward(run, x, label, NULL, 2, 0, 0, NULL, NULL));
        ssde_run_destroy(run);
    }
    unet2d_close(&g);
    if (unet2d_open(&g, &context, "fourier")) {
        ssde_sde ve = ssde_ve(0.01, 50.0);
        CHECK(ssde_net_vector(g.net) == IDENTITY && !ssde_net_classes(g.net) && !ssde_net_discrete(g.net));
        CHECK_OK(ssde_score_net_create(&score_net, g.net, &ve, &desc));
        model = ssde_score_net_model(score_net);
        CHECK_FAILS(&context, model.score(model.user, x, t, sample, 2, 0, out[0]), SSDE_ERROR_ARGUMENT,
                    "sample 7 has no vector");
        CHECK_FAILS(&context, ssde_score_net_set_vectors(score_net, vectors, 0, 5), SSDE_ERROR_ARGUMENT, "count is 0");
        vectors[IDENTITY + 2] = NAN;
        CHECK_FAILS(&context, ssde_score_net_set_vectors(score_net, vectors, 3, 5), SSDE_ERROR_NUMERIC,
                    "value 2 of sample 1");
        vectors[IDENTITY + 2] = 0.5f;
        CHECK_OK(ssde_score_net_set_vectors(score_net, vectors, 3, 5));
        CHECK_OK(model.score(model.user, x, t, sample, 2, 0, out[0]));
        run = nn_run(g.net, &context, SSDE_RUN_INFERENCE, 1);
        CHECK_OK(ssde_score_net_label(&context, g.net, &ve, t[0], &label[0], &label[1], NULL));
        CHECK_FAILS(&context, ssde_run_set_vectors(run, vectors, 2), SSDE_ERROR_ARGUMENT, "wanted 1 to max_rows = 1");
        CHECK_OK(ssde_run_set_vectors(run, vectors + 2 * IDENTITY, 1)); /* sample 7's */
        CHECK_OK(ssde_run_forward(run, x, label, NULL, 1, 0, 0, NULL, out[1]));
        CHECK_SAME(out[0], out[1], DIM * sizeof(float));
        CHECK_OK(ssde_run_set_vectors(run, NULL, 0));
        CHECK_FAILS(&context, ssde_run_forward(run, x, label, NULL, 1, 0, 0, NULL, out[1]), SSDE_ERROR_ARGUMENT,
                    "wanted 0 as ssde_run_set_vectors was given");
        ssde_run_destroy(run);
        CHECK_OK(ssde_score_net_set_vectors(score_net, NULL, 0, 0));
        CHECK_FAILS(&context, model.score(model.user, x, t, sample, 2, 0, out[0]), SSDE_ERROR_ARGUMENT,
                    "sample 7 has no vector");
        ssde_score_net_destroy(score_net);
    }
    unet2d_close(&g);
}

/* ---- models: diffusers' files ---- */

#define UNET2D_CONFIG "scoresde_test_unet2d.json"
#define UNET2D_WEIGHTS "scoresde_test_unet2d.safetensors"

/* Copies the weights of a golden network. `from` in a name becomes `to`; NULL: the tensor is left out. `twin` is
   written once more under another name, times `times`. */
static void unet2d_copy(const char *name, const char *from, const char *to, const char *twin, const char *as,
                        float times) {
    char path[160], changed[200];
    ssdei_tensor_writer writer;
    ssde_tensor_file *file;
    float *values;
    size_t i, j, number;
    int writing;
    snprintf(path, sizeof path, UNET2D_GOLDEN "%s.weights.safetensors", name);
    CHECK_OK(ssde_tensor_file_open(NULL, &file, path));
    if (!file) return;
    values = (float *)calloc(1 << 20, sizeof *values);
    ssdei_tensor_writer_begin(&writer, NULL);
    for (writing = 0; writing < 2; writing++) {
        if (writing) CHECK_OK(ssdei_tensor_writer_open(&writer, UNET2D_WEIGHTS));
        for (i = 0; i < ssde_tensor_file_count(file); i++) {
            const ssde_file_tensor *tensor = ssde_tensor_file_get(file, i);
            const char *at = from ? strstr(tensor->name, from) : NULL;
            if (at && !to) continue;
            CHECK(tensor->count <= 1 << 20);
            CHECK_OK(ssde_tensor_file_read(file, tensor, values));
            for (number = 0; number < 2; number++) {
                if (number && (!twin || strcmp(tensor->name, twin))) continue;
                snprintf(changed, sizeof changed, "%s", number ? as : tensor->name);
                if (at && !number)
                    snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - tensor->name), tensor->name, to,
                             at + strlen(from));
                for (j = 0; number && j < tensor->count; j++) values[j] *= times;
                if (writing)
                    ssdei_tensor_writer_put(&writer, values, tensor->count);
                else
                    ssdei_tensor_writer_declare(&writer, "", changed, tensor->rank, tensor->shape);
            }
        }
    }
    CHECK_OK(ssdei_tensor_writer_end(&writer, SSDE_OK));
    ssde_tensor_file_close(file);
    free(values);
}

/* Older and newer names, the frequencies under two, prefixes; what is missing, superfluous or twice. */
static void test_models_diffusers_names(void) {
    static const struct {
        const char *name, *from, *to, *twin, *as;
        float times;
        ssde_status status;
        const char *words;
    } cases[] = {
        {"fourier", NULL, NULL, NULL, NULL, 1, SSDE_OK, ""},
        {"fourier", "to_out.0", "proj_attn", NULL, NULL, 1, SSDE_OK, ""},
        {"fourier", ".to_q.", ".query.", NULL, NULL, 1, SSDE_OK, ""},
        {"mnist_old_keys", ".key.", ".to_k.", NULL, NULL, 1, SSDE_OK, ""},
        {"fourier", "time_proj.weight", "time_proj.W", NULL, NULL, 1, SSDE_OK, ""},
        {"fourier", NULL, NULL, "time_proj.weight", "time_proj.W", 1, SSDE_OK, ""},
        {"fourier", NULL, NULL, "time_proj.weight", "time_proj.W", 2, SSDE_ERROR_FORMAT, "'time_proj.W' that the"},
        {"fourier", "time_proj.weight", NULL, NULL, NULL, 1, SSDE_ERROR_FORMAT, "no tensor 'time_proj.weight'"},
        {"fourier", "mid_block.attentions.0.to_q.bias", NULL, NULL, NULL, 1, SSDE_ERROR_FORMAT,
         "no tensor 'mid_block.attentions.0.to_q.bias'"},
        {"fourier", "conv_in.weight", NULL, NULL, NULL, 1, SSDE_ERROR_FORMAT, "no tensor 'conv_in.weight'"},
        {"fourier", NULL, NULL, "conv_in.bias", "extra.bias", 1, SSDE_ERROR_FORMAT, "'extra.bias' that the network"},
        {"fourier", NULL, NULL, "conv_in.weight", "ema.conv_in.weight", 1, SSDE_ERROR_FORMAT, "has several"},
        {"fourier", NULL, NULL, "mid_block.attentions.0.to_q.bias", "mid_block.attentions.0.query.bias", 1,
         SSDE_ERROR_FORMAT, "'mid_block.attentions.0.query.bias' that the network lacks"},
        {"fourier", NULL, NULL, "conv_in.bias", "scalar", INFINITY, SSDE_ERROR_FORMAT, "'scalar' that the network"}};
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    size_t i;
    long all;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        char config[160], weights[160];
        ssde_net *net = NULL, *other = NULL;
        snprintf(config, sizeof config, UNET2D_GOLDEN "%s.config.json", cases[i].name);
        snprintf(weights, sizeof weights, UNET2D_GOLDEN "%s.weights.safetensors", cases[i].name);
        unet2d_copy(cases[i].name, cases[i].from, cases[i].to, cases[i].twin, cases[i].as, cases[i].times);
        if (cases[i].status == SSDE_OK) {
            CHECK_OK(ssde_net_load_diffusers(&context, &net, config, UNET2D_WEIGHTS));
            CHECK_OK(ssde_net_load_diffusers(&context, &other, config, weights));
            if (net && other) CHECK_SAME(net->weights, other->weights, net->weight_count * sizeof(float));
        } else
            CHECK_FAILS(&context, ssde_net_load_diffusers(&context, &net, config, UNET2D_WEIGHTS), cases[i].status,
                        cases[i].words);
        ssde_net_destroy(net);
        ssde_net_destroy(other);
        CHECK(memory.live == 0);
        memory.made = 0;
        for (all = i ? 0 : 1; all > 0; all--) { /* what memory refuses is not called a strange tensor */
            CHECK_OK(ssde_net_load_diffusers(&context, &net, config, UNET2D_WEIGHTS));
            ssde_net_destroy(net);
            for (all = memory.made, memory.refuse = 0; memory.refuse < all; memory.refuse += check_quick ? 29 : 3) {
                memory.made = 0;
                CHECK_STATUS(ssde_net_load_diffusers(&context, &net, config, UNET2D_WEIGHTS), SSDE_ERROR_MEMORY);
                CHECK(!net && memory.live == 0);
            }
            memory.refuse = -1;
            all = 1;
        }
    }
    remove(UNET2D_WEIGHTS);
}

/* A golden configuration with one piece of its text, which it has once, replaced. */
static void unet2d_write_config(const char *name, const char *piece, const char *by) {
    char path[160], *text = NULL, *changed;
    unsigned char *bytes = NULL;
    size_t size = 0, place;
    const char *at;
    snprintf(path, sizeof path, UNET2D_GOLDEN "%s.config.json", name);
    CHECK_OK(ssdei_file_read(NULL, path, &bytes, &size));
    text = (char *)calloc(size + 1, 1);
    memcpy(text, bytes, size);
    ssdei_release(NULL, bytes);
    at = strstr(text, piece);
    CHECK(at && !strstr(at + 1, piece));
    place = at ? (size_t)(at - text) : 0;
    changed = (char *)calloc(size + strlen(by) + 1, 1);
    memcpy(changed, text, place);
    strcpy(changed + place, by);
    if (at) strcat(changed, at + strlen(piece));
    write_file(UNET2D_CONFIG, changed, strlen(changed));
    free(text);
    free(changed);
}

#define UNET2D_CHANNELS "[\n    8,\n    16,\n    16\n  ]"

static void test_models_diffusers_bad_configs(void) {
    static const char base[] = "class_scale_shift";
    static const char scheduler[] = "{\"beta_end\": 0.02, \"_class_name\": \"DDPMScheduler\"}";
    static const struct {
        const char *piece, *by;
        ssde_status status;
        const char *words;
    } cases[] = {
        {"\"silu\"", "\"tanh\"", SSDE_ERROR_UNSUPPORTED, "'act_fn' in its description is 'tanh'"},
        {"\"silu\"", "\"swish\"", SSDE_OK, ""},
        {"\"silu\"", "3", SSDE_ERROR_FORMAT, "'act_fn'"},
        {"1e-05", "0", SSDE_ERROR_SHAPE, "eps is 0"},
        {"\"norm_num_groups\": 4", "\"norm_num_groups\": null", SSDE_ERROR_UNSUPPORTED, "must be Skip blocks"},
        {"\"norm_num_groups\": 4", "\"norm_num_groups\": 3", SSDE_ERROR_SHAPE, "groups is 3, wanted a divisor of 8"},
        {"\"norm_num_groups\": 4", "\"norm_num_groups\": 0", SSDE_ERROR_FORMAT, "'norm_num_groups'"},
        {"\"attn_norm_num_groups\": null", "\"attn_norm_num_groups\": 4", SSDE_ERROR_FORMAT,
         "no tensor 'mid_block.attentions.0.group_norm.weight'"},
        {"\"attention_head_dim\": 8", "\"attention_head_dim\": 17", SSDE_ERROR_SHAPE, "attention_head_dim is 17"},
        {"\"attention_head_dim\": 8", "\"attention_head_dim\": [8]", SSDE_ERROR_FORMAT, "'attention_head_dim'"},
        {"  \"attention_head_dim\": 8,\n", "", SSDE_OK, ""},
        {"  \"norm_eps\": 1e-05,\n", "", SSDE_OK, ""},
        {"  \"flip_sin_to_cos\": true,\n", "", SSDE_OK, ""},
        {"  \"mid_block_type\": \"UNetMidBlock2D\",\n", "", SSDE_OK, ""},
        {"\"UNetMidBlock2D\"", "\"UNetMidBlock2DOfAnyName\"", SSDE_OK, ""},
        {"\"UNetMidBlock2D\"", "null", SSDE_ERROR_FORMAT, "a tensor 'mid_block."},
        {"\"UNetMidBlock2D\"", "3", SSDE_ERROR_FORMAT, "'mid_block_type'"},
        {"\"sample_size\": 16", "\"sample_size\": null", SSDE_ERROR_UNSUPPORTED, "'sample_size' is missing or null"},
        {"  \"sample_size\": 16,\n", "", SSDE_ERROR_UNSUPPORTED, "'sample_size' is missing or null"},
        {"\"sample_size\": 16", "\"sample_size\": [8, 24]", SSDE_OK, ""},
        {"\"sample_size\": 16", "\"sample_size\": [16]", SSDE_ERROR_FORMAT, "is not height and width"},
        {"\"sample_size\": 16", "\"sample_size\": 18", SSDE_ERROR_SHAPE, "multiples of 4"},
        {"\"sample_size\": 16", "\"sample_size\": \"16\"", SSDE_ERROR_FORMAT, "'sample_size'"},
        {"\"mid_block_scale_factor\": 1", "\"mid_block_scale_factor\": 0", SSDE_ERROR_ARGUMENT, "scale_factor is 0"},
        {"\"out_channels\": 3", "\"out_channels\": 6", SSDE_ERROR_SHAPE, "'conv_out.weight'"},
        {"\"in_channels\": 3", "\"in_channels\": -1e300", SSDE_ERROR_FORMAT, "'in_channels'"},
        {"\"in_channels\": 3", "\"in_channels\": null", SSDE_ERROR_FORMAT, "'in_channels'"},
        {"\"layers_per_block\": 1", "\"layers_per_block\": 2", SSDE_ERROR_FORMAT, "'down_blocks.0.resnets.1."},
        {"\"layers_per_block\": 1", "\"layers_per_block\": 2147483647", SSDE_ERROR_ARGUMENT, "layers_per_block is 21"},
        {"\"layers_per_block\": 1", "\"layers_per_block\": 0", SSDE_ERROR_ARGUMENT, "layers_per_block is 0"},
        {"\"layers_per_block\": 1", "\"layers_per_block\": 0.5", SSDE_ERROR_FORMAT, "'layers_per_block'"},
        {"\"add_attention\": true", "\"add_attention\": false", SSDE_ERROR_FORMAT, "a tensor 'mid_block.attentions."},
        {UNET2D_CHANNELS, "[8, 16]", SSDE_ERROR_FORMAT, "'down_block_types'"},
        {UNET2D_CHANNELS, "[]", SSDE_ERROR_FORMAT, "'block_out_channels'"},
        {UNET2D_CHANNELS, "[8, 16, 20]", SSDE_ERROR_FORMAT, "no tensor 'down_blocks.2.resnets.0.conv_shortcut.weight'"},
        {UNET2D_CHANNELS, "[8, 16, 4096]", SSDE_ERROR_SHAPE, "or more parameters"},
        {UNET2D_CHANNELS, "[8, 16, 65537]", SSDE_ERROR_FORMAT, "'block_out_channels'"},
        {"\"AttnUpBlock2D\"", "\"CrossAttnUpBlock2D\"", SSDE_ERROR_UNSUPPORTED, "'CrossAttnUpBlock2D'"},
        {"\"AttnUpBlock2D\"", "\"UNetResAttnUpBlock2D\"", SSDE_OK, ""},
        {"\"AttnUpBlock2D\"", "\"UpBlock2D\"", SSDE_ERROR_FORMAT, "a tensor 'up_blocks.1.attentions."},
        {"\"AttnDownBlock2D\"", "\"SkipDownBlock2D\"", SSDE_ERROR_UNSUPPORTED, "down[1] has skip blocks"},
        {"\"AttnDownBlock2D\"", "\"ResnetDownsampleBlock2D\"", SSDE_ERROR_FORMAT,
         "no tensor 'down_blocks.1.downsamplers.0.norm1.weight'"},
        {"\"class_embed_type\": null", "\"class_embed_type\": \"timestep\"", SSDE_ERROR_FORMAT,
         "no tensor 'class_embedding.linear_1.weight'"},
        {"\"class_embed_type\": null", "\"class_embed_type\": \"identity\"", SSDE_ERROR_FORMAT,
         "a tensor 'class_embedding.weight' that the network lacks"},
        {"\"class_embed_type\": null", "\"class_embed_type\": \"projection\"", SSDE_ERROR_FORMAT,
         "a tensor 'class_embedding.weight' that the network lacks"},
        {"\"num_class_embeds\": 10", "\"num_class_embeds\": 11", SSDE_ERROR_SHAPE, "'class_embedding.weight'"},
        {"\"num_class_embeds\": 10", "\"num_class_embeds\": 0", SSDE_ERROR_FORMAT, "'num_class_embeds'"},
        {"\"num_class_embeds\": 10", "\"num_class_embeds\": null", SSDE_ERROR_FORMAT, "'class_embedding.weight'"},
        {"\"positional\"", "\"learned\"", SSDE_ERROR_UNSUPPORTED, "'num_train_timesteps'"},
        {"\"positional\"", "\"sinusoidal\"", SSDE_ERROR_UNSUPPORTED, "'sinusoidal'"},
        {"\"positional\"", "\"fourier\"", SSDE_ERROR_FORMAT, "no tensor 'time_proj.weight'"},
        {"\"time_embedding_dim\": null", "\"time_embedding_dim\": 24", SSDE_ERROR_SHAPE,
         "'time_embedding.linear_1.weight'"},
        {"\"num_train_timesteps\": null", "\"num_train_timesteps\": 1000", SSDE_OK, ""},
        {"\"scale_shift\"", "\"ada_group\"", SSDE_ERROR_UNSUPPORTED, "'ada_group'"},
        {"\"scale_shift\"", "\"default\"", SSDE_ERROR_FORMAT, "no tensor 'mid_block.attentions.0.group_norm.weight'"},
        {"\"downsample_type\": \"conv\"", "\"downsample_type\": \"fir\"", SSDE_ERROR_UNSUPPORTED, "'downsample_type'"},
        {"\"upsample_type\": \"conv\"", "\"upsample_type\": \"fir\"", SSDE_ERROR_UNSUPPORTED, "'upsample_type'"},
        {"\"upsample_type\": \"conv\"", "\"upsample_type\": null", SSDE_OK, ""},
        {"\"downsample_type\": \"conv\"", "\"downsample_type\": \"resnet\"", SSDE_ERROR_FORMAT,
         "no tensor 'down_blocks.1.downsamplers.0.norm1.weight'"},
        {"\"downsample_padding\": 1", "\"downsample_padding\": 2", SSDE_ERROR_ARGUMENT, "downsample_padding is 2"},
        {"\"freq_shift\": 0", "\"freq_shift\": 4", SSDE_ERROR_SHAPE, "shift 4"},
        {"\"dropout\": 0.0", "\"dropout\": 1.0", SSDE_ERROR_ARGUMENT, "dropout is 1"},
        {"{", "{\"unheard_of\": null, ", SSDE_OK, ""},
        {"{", "{\"unheard_of\": 1, ", SSDE_ERROR_UNSUPPORTED, "'unheard_of'"},
        {"{", "{\"freq_shift\": 1, ", SSDE_ERROR_FORMAT, "comes twice"},
        {"{", "[{", SSDE_ERROR_FORMAT, "is not a JSON object but a text"},
        {"{", "<!doctype html>", SSDE_ERROR_FORMAT, "is not a JSON object but a web page"},
        {"\"act_fn\": \"silu\"", "\"beta_end\": 0.02", SSDE_ERROR_UNSUPPORTED, "'beta_end'"},
        {"\"UNet2DModel\"", "\"UNet2DConditionModel\"", SSDE_ERROR_UNSUPPORTED, "'UNet2DConditionModel'"},
        {"\"dropout\": 0.0", "\"dropout\"", SSDE_ERROR_FORMAT, "cannot be read"}};
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    ssde_net *net;
    size_t i;
    write_file(UNET2D_CONFIG, scheduler, sizeof scheduler - 1);
    CHECK_FAILS(&context, ssde_net_load_diffusers(&context, &net, UNET2D_CONFIG, "none"), SSDE_ERROR_UNSUPPORTED,
                "'DDPMScheduler'");
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        unet2d_write_config(base, cases[i].piece, cases[i].by);
        if (cases[i].status != SSDE_OK) {
            unsigned long fails = check_fails;
            CHECK_FAILS(&context,
                        ssde_net_load_diffusers(&context, &net, UNET2D_CONFIG,
                                                UNET2D_GOLDEN "class_scale_shift.weights.safetensors"),
                        cases[i].status, cases[i].words);
            if (check_fails > fails) check_report(__FILE__, __LINE__, "%s -> %s", cases[i].piece, cases[i].by);
            CHECK(!net);
        } else {
            CHECK_OK(ssde_net_load_diffusers(&context, &net, UNET2D_CONFIG,
                                             UNET2D_GOLDEN "class_scale_shift.weights.safetensors"));
            if (!net) check_report(__FILE__, __LINE__, "%s: %s", cases[i].by, context.error);
            ssde_net_destroy(net);
        }
        CHECK(memory.live == 0);
    }
    CHECK_FAILS(&context, ssde_net_load_diffusers(&context, &net, "nowhere.json", UNET2D_WEIGHTS), SSDE_ERROR_FILE,
                "nowhere.json");
    remove(UNET2D_CONFIG);
}

/* Without any key the description is that of UNet2DModel's own defaults. */
static void test_models_diffusers_defaults(void) {
    static const size_t channels[4] = {224, 448, 672, 896};
    ssde_unet2d_desc desc;
    int i;
    write_file(UNET2D_CONFIG, "{}", 2);
    memset(&desc, 0x55, sizeof desc);
    CHECK_OK(ssde_unet2d_config(NULL, &desc, UNET2D_CONFIG));
    CHECK(desc.height == 0 && desc.width == 0 && desc.in_channels == 3 && desc.out_channels == 3);
    CHECK(desc.num_levels == 4 && desc.layers_per_block == 2 && desc.downsample_padding == 1);
    for (i = 0; i < 4; i++) {
        CHECK(desc.block_out_channels[i] == channels[i]);
        CHECK(desc.down[i].attention == (i > 0) && desc.up[i].attention == (i > 0));
        CHECK(!desc.down[i].skip && !desc.up[i].skip);
        CHECK(desc.down[i].resampling == SSDE_RESAMPLING_CONV && desc.up[i].resampling == SSDE_RESAMPLING_CONV);
    }
    CHECK(desc.act_fn == SSDE_SILU && desc.norm_num_groups == 32 && desc.attention_head_dim == 8);
    CHECK(desc.norm_eps >= 1e-5 && desc.norm_eps <= 1e-5 && desc.flip_sin_to_cos == 1);
    CHECK(!desc.num_heads && !desc.num_heads_up && !desc.no_mid_block && !desc.no_mid_attention && !desc.scale_shift);
    CHECK(!desc.center_input_sample && !desc.time_embedding_dim && !desc.time_width && !desc.num_class_embeds);
    CHECK(!desc.attn_norm_num_groups && !desc.class_embed_type && !desc.time_embedding_type);
    CHECK(!(fabs(desc.freq_shift) > 0.0) && !(fabs(desc.mid_block_scale_factor - 1.0) > 0.0));
    remove(UNET2D_CONFIG);
}

/* Another size of image than the configuration's: every value by the oracle. */
static void test_models_diffusers_sizes(void) {
    ssde_context context = ssde_context_defaults();
    ssde_unet2d_desc desc;
    ssde_net *net = NULL, *again = NULL;
    nn_options options = nn_usual();
    oracle o;
    options.forward = 1e-5;
    CHECK_OK(ssde_unet2d_config(&context, &desc, UNET2D_GOLDEN "odd_heads.config.json"));
    CHECK(desc.height == 8 && desc.width == 12);
    desc.height = 4;
    desc.width = 6;
    CHECK_OK(ssde_unet2d_load(&net, &desc, UNET2D_GOLDEN "odd_heads.weights.safetensors"));
    desc.width = 7;
    CHECK_FAILS(&context, ssde_unet2d_load(&again, &desc, UNET2D_GOLDEN "odd_heads.weights.safetensors"),
                SSDE_ERROR_SHAPE, "wanted multiples of 2");
    CHECK(!again);
    if (!net) return;
    oracle_from_net(&o, net);
    {
        nn_data data;
        int tier;
        memset(&data, 0, sizeof data);
        o.parameters = 0; /* values alone */
        nn_data_open(&data, &o, &options);
        for (tier = 0; nn_tier(tier, &context); tier++) {
            ssde_run *run = nn_unshare(nn_run(net, &context, SSDE_RUN_INFERENCE, data.rows));
            CHECK_OK(nn_forward(run, &data, NULL));
            nn_check_values(&o, &data, run, options.forward);
            ssde_run_destroy(run);
        }
        nn_data_close(&data);
    }
    oracle_close(&o);
}

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
    X(networks_unet2d_skip_heads)        \
    X(networks_unet2d_oracle)            \
    X(networks_unet2d_trains)            \
    X(networks_unet2d_errors)            \
    X(score_net_unet2d_told)             \
    X(models_diffusers_names)            \
    X(models_diffusers_bad_configs)      \
    X(models_diffusers_defaults)         \
    X(models_diffusers_sizes)

#endif
