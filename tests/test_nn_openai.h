/* Tests of OpenAI's networks against what their own modules return, tests/golden/gd_NAME. */
#ifndef TEST_NN_OPENAI_H
#define TEST_NN_OPENAI_H

#include "fixtures_nn.h"
#include "golden.h"

#define OPENAI_PATH "tests/golden/gd_"

/* ---- networks: as their modules ---- */

enum { OPENAI_ROWS = 3, OPENAI_MOST = 6 * 16 * 16 };

typedef struct openai_case {
    const char *weights, *io; /* files */
    ssde_openai_desc desc;
    ssde_net *net;
    golden_file *golden;
    size_t side, in, out, dim, out_dim; /* out: channels */
} openai_case;

enum { OPENAI_CASES = 6 };

static ssde_openai_desc openai_desc(int which) {
    ssde_openai_desc desc = ssde_openai_defaults(which == 2 ? 8 : 16);
    desc.num_res_blocks = 1;
    desc.num_levels = 2;
    desc.num_heads = 0;
    if (which < 2 || which == 5) {
        desc.resblock_updown = 1;
        desc.num_head_channels = 8;
        desc.classes = 10;
    }
    switch (which) {
        case 0:
        case 1:
            desc.num_channels = 8;
            desc.channel_mult[0] = desc.channel_mult[1] = 4;
            desc.learn_sigma = 1;
            desc.dropout = 0.1;
            desc.use_new_attention_order = which;
            break;
        case 2:
            desc.num_channels = 16;
            desc.num_levels = 1;
            desc.channel_mult[0] = 4;
            desc.num_attention_resolutions = 0;
            desc.num_heads = 1;
            desc.use_scale_shift_norm = 0;
            desc.learn_sigma = 1;
            break;
        case 3:
        case 4:
            desc.num_channels = 16;
            desc.channel_mult[0] = desc.channel_mult[1] = 2;
            desc.num_attention_resolutions = 1;
            desc.attention_resolutions[0] = 8;
            desc.num_heads = 4;
            desc.dropout = 0.3;
            desc.use_new_attention_order = which - 3;
            break;
        default:
            desc.num_channels = 16;
            desc.num_levels = 3;
            desc.channel_mult[0] = desc.channel_mult[1] = desc.channel_mult[2] = 2;
            desc.attention_resolutions[0] = 8;
            desc.attention_resolutions[1] = 4;
            desc.classifier_pool = "attention";
    }
    return desc;
}

static int openai_open(openai_case *c, int which, ssde_context *context) {
    static const char *const weights[OPENAI_CASES] = {"gd_64",       "gd_64",       "gd_additive_f16",
                                                      "gd_improved", "gd_improved", "gd_classifier"};
    static const char *const io[OPENAI_CASES] = {"gd_64_legacy_order",       "gd_64_new_order",       "gd_additive_f16",
                                                 "gd_improved_legacy_order", "gd_improved_new_order", "gd_classifier"};
    char path[128];
    memset(c, 0, sizeof *c);
    c->desc = openai_desc(which);
    c->desc.context = context;
    snprintf(path, sizeof path, "tests/golden/%s.io.safetensors", io[which]);
    c->golden = golden_open(path);
    snprintf(path, sizeof path, "tests/golden/%s.pt", weights[which]);
    CHECK_OK(ssde_net_load_openai(&c->net, &c->desc, path));
    if (!c->net || !c->golden) return 0;
    c->side = c->desc.image_size;
    c->in = 3;
    c->out = c->desc.classifier_pool ? 10 : c->desc.learn_sigma ? 6 : 3;
    c->dim = ssde_net_dim(c->net);
    c->out_dim = ssde_net_output_dim(c->net);
    CHECK(c->dim == 3 * c->side * c->side && c->out_dim == c->out * (c->desc.classifier_pool ? 1 : c->side * c->side) &&
          c->out_dim <= OPENAI_MOST);
    return 1;
}

static void openai_close(openai_case *c) {
    ssde_net_destroy(c->net);
    golden_close(c->golden);
}

/* A tensor like the output. */
static void openai_results(const openai_case *c, const char *name, float *out) {
    if (c->desc.classifier_pool)
        golden_floats(c->golden, name, out, OPENAI_ROWS * c->out_dim);
    else
        golden_images(c->golden, name, out, OPENAI_ROWS, c->side, c->side, c->out);
}

static void openai_classes(const openai_case *c, int32_t *classes) {
    double given[OPENAI_ROWS];
    int i;
    golden_doubles(c->golden, "class_labels", given, OPENAI_ROWS);
    for (i = 0; i < OPENAI_ROWS; i++) classes[i] = (int32_t)given[i];
}

static ssde_run *openai_run(const openai_case *c, ssde_context *context, ssde_run_mode mode, float *out) {
    float x[OPENAI_ROWS * OPENAI_MOST], label[OPENAI_ROWS];
    ssde_run *run = nn_run(c->net, context, mode, OPENAI_ROWS);
    int32_t classes[OPENAI_ROWS];
    golden_images(c->golden, "x", x, OPENAI_ROWS, c->side, c->side, c->in);
    golden_floats(c->golden, "timesteps", label, OPENAI_ROWS);
    if (ssde_net_classes(c->net)) {
        openai_classes(c, classes);
        CHECK_OK(ssde_run_set_classes(run, classes, OPENAI_ROWS));
    }
    CHECK_OK(ssde_run_forward(run, x, label, NULL, OPENAI_ROWS, 0, 0, NULL, out));
    return run;
}

/* Row `row` of qkv of head h of `heads` (1: in the new order) is number `index` of part 0 to 2. */
static size_t openai_qkv_row(size_t channels, size_t heads, size_t part, size_t index) {
    size_t width = channels / heads;
    return index / width * 3 * width + part * width + index % width;
}

/* A golden gradient against ours of the same name, or of its three parts. */
static void openai_gradient(const openai_case *c, const golden_tensor *tensor, const float *gradient,
                            double golden_norm) {
    ssdei_openai_loading how;
    float *expected = (float *)calloc(tensor->count, sizeof *expected);
    float *actual = (float *)calloc(tensor->count, sizeof *actual), *own;
    size_t i, j, found = 0, rows = tensor->shape[0], width = tensor->count / rows;
    how.desc = &c->desc;
    CHECK_OK(ssde_openai_unet2d(&c->desc, &how.shape));
    golden_floats(c->golden, tensor->name, expected, tensor->count);
    own = (float *)calloc(tensor->count, sizeof *own);
    for (i = 0; i < ssde_net_parameter_count(c->net); i++) {
        const ssde_parameter *parameter = ssde_net_parameter(c->net, i);
        const char *part = strstr(parameter->name, ".to_");
        char theirs[128] = "";
        ssdei_openai_tensor(&how, parameter->name, theirs);
        if (strcmp(theirs, tensor->name + 5)) continue;
        CHECK_OK(ssde_net_get_gradient(c->net, i, gradient, own));
        found += parameter->count;
        for (j = 0; j < parameter->shape[0]; j++) {
            size_t channels = rows / 3, heads = c->desc.num_heads ? c->desc.num_heads : channels / 8, row = j;
            if (c->desc.use_new_attention_order || !strncmp(parameter->name, "pool.", 5)) heads = 1;
            if (part && part[4] != 'o')
                row = openai_qkv_row(channels, heads, part[4] == 'q' ? 0 : part[4] == 'k' ? 1 : 2, j);
            memcpy(actual + row * width, own + j * width, width * sizeof *own);
        }
    }
    CHECK(found == tensor->count);
    if (nn_norm(expected, tensor->count) < 1e-7 * golden_norm)
        CHECK_NEAR(nn_norm(actual, tensor->count), 0.0, 1e-7 * golden_norm);
    else
        CHECK_ARRAY(actual, expected, tensor->count, 1e-4);
    free(own);
    free(actual);
    free(expected);
}

/* The mean squared distance to mse_target, and its gradients. */
static void openai_loss(openai_case *c, ssde_context *context) {
    static float out[OPENAI_ROWS * OPENAI_MOST], target[OPENAI_ROWS * OPENAI_MOST];
    float *gradient = (float *)calloc(ssde_net_weight_count(c->net), sizeof *gradient);
    size_t count = OPENAI_ROWS * c->out_dim, i, tensors = 0;
    double loss = 0.0, norm = 0.0, golden_loss, golden_norm;
    const golden_tensor *tensor = NULL;
    ssde_run *run;
    for (i = 0; i < (size_t)c->net->node_count; i++) c->net->nodes[i].drop = 0.0; /* as in evaluation */
    run = openai_run(c, context, SSDE_RUN_TRAIN, out);
    openai_results(c, "mse_target", target);
    for (i = 0; i < count; i++) {
        double away = (double)out[i] - (double)target[i];
        loss += away * away / (double)count;
        out[i] = (float)(2.0 * away / (double)count);
    }
    golden_doubles(c->golden, "mse_loss", &golden_loss, 1);
    CHECK_RELATIVE(loss, golden_loss, 2e-5);
    CHECK_OK(ssde_run_backward(run, out, NULL, gradient));
    for (i = 0; i < ssde_net_weight_count(c->net); i++) norm += (double)gradient[i] * (double)gradient[i];
    golden_doubles(c->golden, "grad_norm", &golden_norm, 1);
    CHECK_RELATIVE(sqrt(norm), golden_norm, 1e-4);
    while ((tensor = golden_next(c->golden, tensor, "grad/")) != NULL) {
        openai_gradient(c, tensor, gradient, golden_norm);
        tensors++;
    }
    CHECK(tensors >= 12);
    ssde_run_destroy(run);
    free(gradient);
}

static void openai_golden(int which) {
    static float out[OPENAI_ROWS * OPENAI_MOST], expected[OPENAI_ROWS * OPENAI_MOST], v[OPENAI_ROWS * OPENAI_MOST];
    ssde_context context;
    int tier, convolution;
    for (convolution = SSDE_CONVOLUTION_DIRECT; convolution <= SSDE_CONVOLUTION_WINOGRAD; convolution++)
        for (tier = 0; nn_tier(tier, &context); tier++) {
            openai_case c;
            nn_convolution = (ssde_convolution)convolution;
            if (openai_open(&c, which, &context)) {
                ssde_run *run = openai_run(&c, &context, SSDE_RUN_VJP, out);
                openai_results(&c, "out", expected);
                CHECK_ARRAY(out, expected, OPENAI_ROWS * c.out_dim, 2e-5);
                openai_results(&c, "vjp_v", v);
                CHECK_OK(ssde_run_backward(run, v, out, NULL));
                golden_images(c.golden, "vjp_x", expected, OPENAI_ROWS, c.side, c.side, c.in);
                CHECK_ARRAY(out, expected, OPENAI_ROWS * c.dim, 2e-5);
                ssde_run_destroy(run);
                openai_loss(&c, &context);
            }
            openai_close(&c);
        }
    nn_convolution = SSDE_CONVOLUTION_AUTO;
}

static void test_networks_openai_64_legacy(void) { openai_golden(0); }
static void test_networks_openai_64_new(void) { openai_golden(1); }
static void test_networks_openai_additive(void) { openai_golden(2); }
static void test_networks_openai_improved_legacy(void) { openai_golden(3); }
static void test_networks_openai_improved_new(void) { openai_golden(4); }
static void test_networks_openai_classifier(void) { openai_golden(5); }

/* ---- score net: learned variance, as gaussian_diffusion.py has it ---- */

enum { OPENAI_STEPS = 1000 };

/* Mean, log variance and x(0) of a step from index i to i - 1 by the score model's members. */
static void openai_posterior(const openai_case *c, const ssde_sde *sde, const char *schedule,
                             const ssde_score_model *model) {
    enum { DIM = 3 * 16 * 16, COUNT = OPENAI_ROWS * DIM };
    static float x[COUNT], score[COUNT], denoised[COUNT], f[COUNT], mean[COUNT], variance[COUNT];
    static float expected[3][COUNT];
    static const char *const names[3] = {"mean", "log_variance", "pred_xstart"};
    double index[OPENAI_ROWS], t[OPENAI_ROWS];
    char name[64];
    size_t i;
    golden_images(c->golden, "x", x, OPENAI_ROWS, 16, 16, 3);
    golden_doubles(c->golden, "timesteps", index, OPENAI_ROWS);
    for (i = 0; i < OPENAI_ROWS; i++) t[i] = index[i] / (OPENAI_STEPS - 1);
    CHECK_OK(model->score(model->user, x, t, NULL, OPENAI_ROWS, 0, score));
    CHECK_OK(model->denoised(model->user, OPENAI_ROWS, denoised));
    CHECK_OK(model->variance(model->user, OPENAI_ROWS, f));
    for (i = 0; i < COUNT; i++) {
        const int level = (int)index[i / DIM];
        const double m = sde->level_mean[level], s = sde->level_std[level];
        const double before = sde->level_mean[level - 1], gone = sde->level_std[level - 1] * sde->level_std[level - 1];
        const double beta = 1.0 - m / before * (m / before), posterior = beta * gone / (s * s);
        mean[i] = (float)(before * beta / (s * s) * (double)denoised[i] + m / before * gone / (s * s) * (double)x[i]);
        variance[i] = (float)((double)f[i] * log(beta) + (1.0 - (double)f[i]) * log(posterior));
    }
    for (i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s/%s", schedule, names[i]);
        golden_images(c->golden, name, expected[i], OPENAI_ROWS, 16, 16, 3);
    }
    CHECK_ARRAY(mean, expected[0], COUNT, 2e-5);
    CHECK_ARRAY(variance, expected[1], COUNT, 2e-5);
    CHECK_ARRAY(denoised, expected[2], COUNT, 2e-5);
}

static void test_score_net_openai(void) {
    static double mean[OPENAI_STEPS], std[OPENAI_STEPS], label[OPENAI_STEPS];
    ssde_context context;
    int tier, which, cosine, levels = 0;
    for (tier = 0; nn_tier(tier, &context); tier++)
        for (which = 0; which < 4; which++) {
            ssde_score_net_desc desc = ssde_score_net_defaults();
            ssde_score_net *score_net = NULL;
            ssde_score_model model;
            int32_t classes[OPENAI_ROWS];
            openai_case c;
            ssde_sde sde;
            cosine = which / 2;
            if (openai_open(&c, which % 2, &context)) {
                c.desc.noise_schedule = cosine ? SSDE_SCHEDULE_COSINE : SSDE_SCHEDULE_LINEAR;
                CHECK_OK(ssde_openai_levels(&c.desc, NULL, mean, std, label, &levels));
                sde = ssde_tabulated(mean, std, label, levels);
                desc.context = &context;
                CHECK_OK(ssde_score_net_create(&score_net, c.net, &sde, &desc));
                openai_classes(&c, classes);
                CHECK_OK(ssde_score_net_set_classes(score_net, classes, OPENAI_ROWS, 0));
                model = ssde_score_net_model(score_net);
                openai_posterior(&c, &sde, cosine ? "cosine" : "linear", &model);
                ssde_score_net_destroy(score_net);
            }
            openai_close(&c);
        }
}

/* The classifier's log-probabilities and their gradients, at the golden labels, through its own guidance. */
static void test_classifier_openai(void) {
    enum { DIM = 3 * 16 * 16, COUNT = OPENAI_ROWS * DIM };
    static float x[COUNT], gradient[COUNT], expected[COUNT];
    float log_probability[10 * OPENAI_ROWS], golden[10 * OPENAI_ROWS];
    static const double mean[3] = {0.9, 0.5, 0.1}, std[3] = {0.3, 0.8, 0.99}, t[OPENAI_ROWS] = {0.0, 0.5, 1.0};
    double label[OPENAI_ROWS], losses[OPENAI_ROWS], total = 0.0, cross_entropy;
    ssde_context context;
    int tier, i;
    for (tier = 0; nn_tier(tier, &context); tier++) {
        ssde_score_net_desc desc = ssde_score_net_defaults();
        ssde_classifier *classifier = NULL;
        int32_t classes[OPENAI_ROWS];
        openai_case c;
        if (openai_open(&c, 5, &context)) {
            ssde_sde sde = ssde_tabulated(mean, std, label, 3);
            golden_doubles(c.golden, "timesteps", label, OPENAI_ROWS);
            golden_images(c.golden, "x", x, OPENAI_ROWS, 16, 16, 3);
            openai_classes(&c, classes);
            desc.context = &context;
            CHECK_OK(ssde_classifier_create(&classifier, c.net, &sde, &desc));
            CHECK_OK(ssde_classifier_log_probability(classifier, x, t, OPENAI_ROWS, log_probability));
            golden_floats(c.golden, "log_probs", golden, 10 * OPENAI_ROWS);
            CHECK_ARRAY(log_probability, golden, 10 * OPENAI_ROWS, 2e-5);
            CHECK_OK(ssde_classifier_set_classes(classifier, classes, OPENAI_ROWS, 0));
            CHECK_OK(ssde_classifier_gradient(classifier, x, t, NULL, OPENAI_ROWS, gradient));
            golden_images(c.golden, "log_prob_grad_x", expected, OPENAI_ROWS, 16, 16, 3);
            CHECK_ARRAY(gradient, expected, COUNT, 2e-5);
            openai_results(&c, "out", golden);
            CHECK_OK(ssde_cross_entropy(&context, golden, classes, OPENAI_ROWS, 10, 1.0, losses, NULL));
            for (i = 0, total = 0.0; i < OPENAI_ROWS; i++) total += losses[i] / OPENAI_ROWS;
            golden_doubles(c.golden, "cross_entropy", &cross_entropy, 1);
            CHECK_RELATIVE(total, cross_entropy, 2e-5);
            ssde_classifier_destroy(classifier);
        }
        openai_close(&c);
    }
}

#define TEST_NN_OPENAI_LIST(X)         \
    X(networks_openai_64_legacy)       \
    X(networks_openai_64_new)          \
    X(networks_openai_additive)        \
    X(networks_openai_improved_legacy) \
    X(networks_openai_improved_new)    \
    X(networks_openai_classifier)      \
    X(score_net_openai)                \
    X(classifier_openai)

#endif
