/* Tests of OpenAI's networks against what their own modules return, tests/golden/gd_NAME. */
#ifndef TEST_NN_OPENAI_H
#define TEST_NN_OPENAI_H

#include "fixtures_nn.h"
#include "golden.h"

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
                /* Norms of one channel a group: the golden VJP of gd_64 itself is 1.1e-5 off what double gives. */
                CHECK_ARRAY(out, expected, OPENAI_ROWS * c.dim, convolution == SSDE_CONVOLUTION_WINOGRAD ? 3e-5 : 2e-5);
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

static ssde_status openai_noise(void *user, int stream, uint32_t step, const uint64_t *sample, size_t rows, size_t dim,
                                float *out) {
    (void)user, (void)stream, (void)step, (void)sample;
    oracle_normals(77, 1.0, rows * dim, out);
    return SSDE_OK;
}

/* The sampler's step from index i to i - 1 draws from that mean and variance, sample by sample. */
static void openai_step(const openai_case *c, const ssde_sde *sde, const char *schedule,
                        const ssde_score_model *model) {
    enum { DIM = 3 * 16 * 16, COUNT = OPENAI_ROWS * DIM };
    static float x[COUNT], mean[COUNT], variance[COUNT], z[DIM];
    double index[OPENAI_ROWS], times[2];
    char name[64];
    size_t row, i;
    golden_images(c->golden, "x", x, OPENAI_ROWS, 16, 16, 3);
    golden_doubles(c->golden, "timesteps", index, OPENAI_ROWS);
    snprintf(name, sizeof name, "%s/mean", schedule);
    golden_images(c->golden, name, mean, OPENAI_ROWS, 16, 16, 3);
    snprintf(name, sizeof name, "%s/log_variance", schedule);
    golden_images(c->golden, name, variance, OPENAI_ROWS, 16, 16, 3);
    CHECK_OK(openai_noise(NULL, 0, 0, NULL, 1, DIM, z));
    for (row = 0; row < OPENAI_ROWS; row++) {
        ssde_sampler_desc how = ssde_sampler_defaults();
        ssde_rng rng = ssde_rng_seed(1);
        rng.next_sample = row;
        times[0] = index[row] / (OPENAI_STEPS - 1);
        times[1] = (index[row] - 1.0) / (OPENAI_STEPS - 1);
        how.predictor = SSDE_PREDICTOR_DDIM;
        how.eta = 1.0;
        how.variance = SSDE_VARIANCE_LEARNED;
        how.times = times;
        how.steps = 1;
        how.given_start = how.skip_denoise = 1;
        how.noise.fill = openai_noise;
        CHECK_OK(ssde_sample(sde, model, &how, &rng, 1, x + row * DIM));
        for (i = row * DIM; i < (row + 1) * DIM; i++)
            mean[i] += (float)exp(0.5 * (double)variance[i]) * z[i - row * DIM];
    }
    CHECK_ARRAY(x, mean, COUNT, 2e-5);
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
                openai_step(&c, &sde, cosine ? "cosine" : "linear", &model);
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
            for (i = 0, total = 0.0; i < (double)OPENAI_ROWS; i++) total += losses[i] / (double)OPENAI_ROWS;
            golden_doubles(c.golden, "cross_entropy", &cross_entropy, 1);
            CHECK_RELATIVE(total, cross_entropy, 2e-5);
            ssde_classifier_destroy(classifier);
        }
        openai_close(&c);
    }
}

/* ---- networks: published ones, and the process ---- */

/* Weights in thousands, as the papers' tables have them in millions. */
static void test_networks_openai_published(void) {
    static const struct {
        const char *name;
        size_t thousands;
        int levels, attention; /* bits of the levels that have it */
    } models[] = {{"64x64_diffusion", 295904, 4, 14},
                  {"128x128_diffusion", 421529, 5, 28},
                  {"256x256_diffusion", 553838, 6, 56},
                  {"256x256_diffusion_uncond", 552814, 6, 56},
                  {"512x512_diffusion", 558997, 7, 112},
                  {"64_256_upsampler", 311795, 6, 56},
                  {"128_512_upsampler", 308835, 6, 48},
                  {"lsun_bedroom", 552814, 6, 56},
                  {"lsun_cat", 552814, 6, 56},
                  {"lsun_horse", 552814, 6, 56},
                  {"lsun_horse_nodropout", 552814, 6, 56},
                  {"64x64_classifier", 65438, 4, 14},
                  {"128x128_classifier", 42568, 5, 28},
                  {"256x256_classifier", 54096, 6, 56},
                  {"512x512_classifier", 54448, 7, 112},
                  {"imagenet64_uncond_100M_1500K", 121063, 4, 12},
                  {"imagenet64_uncond_vlb_100M_1500K", 121063, 4, 12},
                  {"cifar10_uncond_50M_500K", 52546, 4, 6},
                  {"cifar10_uncond_vlb_50M_500K", 52546, 4, 6},
                  {"imagenet64_cond_270M_250K", 273049, 4, 12},
                  {"upsample_cond_500K", 279792, 6, 48},
                  {"lsun_uncond_100M_1200K_bs128", 113676, 6, 16},
                  {"lsun_uncond_100M_2400K_bs64", 113676, 6, 16}};
    ssde_context context = ssde_context_defaults();
    ssde_openai_desc desc;
    size_t i;
    int level;
    for (i = 0; i < sizeof models / sizeof *models; i++) {
        ssde_unet2d_desc shape;
        ssde_net *net = NULL;
        int attention = 0;
        CHECK(ssde_openai_name(i) && !strcmp(ssde_openai_name(i), models[i].name));
        CHECK_OK(ssde_openai_find(&context, models[i].name, &desc));
        CHECK_OK(ssde_openai_unet2d(&desc, &shape));
        for (level = 0; level < shape.num_levels; level++) attention |= shape.down[level].attention << level;
        CHECK(shape.num_levels == models[i].levels && attention == models[i].attention);
        if (nn_built(ssdei_openai_build(&net, &desc), 1000 * models[i].thousands)) {
            CHECK(net && ssde_net_weight_count(net) / 1000 == models[i].thousands);
            CHECK(net && ssde_openai_memory(&desc) == ssde_net_memory(net));
        }
        CHECK(desc.rescale_timesteps == (i > 14 && i < 19) && desc.learn_sigma == !desc.classifier_pool);
        CHECK((desc.diffusion_steps == 4000) == (i > 14 && i < 21) && desc.super_res == (i == 5 || i == 6 || i == 20));
        CHECK((desc.noise_schedule == SSDE_SCHEDULE_COSINE) == (i == 0 || i == 11 || (i > 14 && i < 20)));
        CHECK(desc.use_new_attention_order == (i == 0) && desc.use_scale_shift_norm == (i < 21));
        ssde_net_destroy(net);
    }
    CHECK(ssde_openai_name(i) == NULL);
    CHECK_FAILS(&context, ssde_openai_find(&context, "64x64", &desc), SSDE_ERROR_ARGUMENT, "'64x64'");
}

/* Steps by respace.py: how many, the second, the last, and all in a sum. */
static void test_networks_openai_respacing(void) {
    static const struct {
        int steps;
        const char *respacing;
        int count, second, last, sum;
    } cases[] = {{1000, NULL, 1000, 1, 999, 729977},
                 {1000, "", 1000, 1, 999, 729977},
                 {1000, "250", 250, 4, 999, 167206},
                 {1000, "ddim25", 25, 40, 960, 527308},
                 {1000, "ddim250", 250, 4, 996, 636672},
                 {4000, "ddim50", 50, 80, 3920, 250220},
                 {4000, "100", 100, 40, 3999, 513387},
                 {1000, "10,15,20", 45, 37, 999, 192597},
                 {300, "10, 15,20", 45, 11, 299, 394978},
                 {1000, "1,1,3,90,0,5", 100, 167, 999, 663784},
                 {1000, "27", 27, 38, 999, 723491},
                 {4000, "401,399,7", 807, 3, 3999, 522632},
                 {9, "5", 5, 2, 8, 63620},
                 {11, "6", 6, 2, 10, 972227},
                 {10, "3", 3, 4, 9, 133},
                 {6, "3", 3, 2, 5, 67}};
    static const char *const wrong[] = {"ddim300", "ddim", "ddim10x", "1001", "400,400,400",
                                        "10,",     "ten",  "-5",      "1",    "0"};
    static double mean[4000], std[4000], label[4000], whole[4000];
    ssde_context context = ssde_context_defaults();
    size_t i;
    int k, levels;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        ssde_openai_desc desc = ssde_openai_defaults(64);
        int rescaled;
        desc.context = &context;
        desc.diffusion_steps = cases[i].steps;
        desc.noise_schedule = SSDE_SCHEDULE_COSINE;
        CHECK_OK(ssde_openai_levels(&desc, NULL, whole, std, label, &levels));
        CHECK(levels == cases[i].steps);
        for (rescaled = 0; rescaled < 2; rescaled++) {
            int sum = 0;
            double unit = rescaled ? 1000.0 / cases[i].steps : 1.0;
            desc.rescale_timesteps = rescaled;
            CHECK_OK(ssde_openai_levels(&desc, cases[i].respacing, mean, std, label, &levels));
            CHECK(levels == cases[i].count);
            for (k = 0; k < levels; k++) {
                int step = (int)floor(label[k] / unit + 0.5);
                CHECK_RELATIVE(label[k], step * unit, 2e-7);
                CHECK(mean[k] == whole[step]);
                CHECK_NEAR(mean[k] * mean[k] + std[k] * std[k], 1.0, 1e-12);
                sum = (sum * 31 + step) % 1000003;
                if (k == 1) CHECK(step == cases[i].second);
                if (k == levels - 1) CHECK(step == cases[i].last);
            }
            CHECK(sum == cases[i].sum);
        }
    }
    for (i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ssde_openai_desc desc = ssde_openai_defaults(64);
        desc.context = &context;
        CHECK_FAILS(&context, ssde_openai_levels(&desc, wrong[i], mean, std, label, &levels), SSDE_ERROR_ARGUMENT,
                    "timestep_respacing");
    }
}

/* alphas_cumprod of NumPy. */
static void test_networks_openai_schedules(void) {
    static const struct {
        ssde_schedule_kind kind;
        int steps;
        double first, middle, last;
    } cases[] = {{SSDE_SCHEDULE_LINEAR, 1000, 0.9999, 0.07779665836502389, 4.035829765375676e-05},
                 {SSDE_SCHEDULE_LINEAR, 4000, 0.999975, 0.07874647522425243, 4.246652275802249e-05},
                 {SSDE_SCHEDULE_COSINE, 4000, 0.9999901341811863, 0.49345397967426397, 1.5179804688514517e-10}};
    static double mean[4000], std[4000], label[4000];
    size_t i;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        ssde_openai_desc desc = ssde_openai_defaults(64);
        int steps = cases[i].steps, levels;
        desc.diffusion_steps = steps;
        desc.noise_schedule = cases[i].kind;
        CHECK_OK(ssde_openai_levels(&desc, "", mean, std, label, &levels));
        CHECK_RELATIVE(mean[0] * mean[0], cases[i].first, 1e-12);
        CHECK_RELATIVE(mean[steps / 2] * mean[steps / 2], cases[i].middle, 1e-10);
        CHECK_RELATIVE(mean[steps - 1] * mean[steps - 1], cases[i].last, 1e-9);
    }
}

/* A description with something wrong, and words of its error. */
static const char *openai_wrong(int which, ssde_openai_desc *desc) {
    switch (which) {
        case 0:
            desc->image_size = 48;
            desc->num_levels = 0;
            return "image_size 48";
        case 1: desc->image_size = 17; return "height is 17";
        case 2: desc->num_channels = 0; return "num_channels is 0";
        case 3: desc->channels = 0; return "channels 0";
        case 4: desc->channel_mult[1] = 3.7; return "channel_mult[1] is 3.7";
        case 5: desc->channel_mult[0] = NAN; return "channel_mult[0]";
        case 6: desc->num_levels = 11; return "num_levels is 11";
        case 7: desc->num_attention_resolutions = -1; return "num_attention_resolutions -1";
        case 8: desc->attention_resolutions[1] = 0; return "attention_resolutions[1] is 0";
        case 9: desc->num_head_channels = 0; return "num_heads and num_head_channels are 0";
        case 10: desc->num_head_channels = 7; return "num_head_channels is 7";
        case 11:
            desc->num_head_channels = 0;
            desc->num_heads = 5;
            return "num_heads is 5";
        case 12: desc->num_res_blocks = 0; return "num_res_blocks is 0, wanted 1 to 126";
        case 13: desc->dropout = 1.0; return "dropout is 1";
        case 14: desc->classifier_pool = "spatial"; return "classifier_pool is 'spatial'";
        case 15: desc->classifier_pool = "spatial_v2"; return "classifier_pool is 'spatial_v2'";
        case 16: desc->classifier_pool = "attention"; return "learn_sigma";
        case 17:
            desc->classifier_pool = "adaptive";
            desc->learn_sigma = 0;
            desc->classes = 1;
            return "classes is 1";
        case 18:
            desc->classifier_pool = "attention";
            desc->learn_sigma = 0;
            desc->num_head_channels = 0;
            desc->num_heads = 4;
            return "attention pool";
        case 19: desc->num_levels = -1; return "num_levels is -1";
        case 20:
            desc->num_head_channels = 0;
            desc->num_heads = 4;
            desc->num_heads_upsample = 3;
            return "num_heads_up is 3, wanted a divisor of 32";
        default: return NULL;
    }
}

static void test_networks_openai_errors(void) {
    ssde_context context = ssde_context_defaults();
    double mean[2], std[2], label[2];
    const char *words = "";
    int which, levels;
    for (which = 0; words; which++) {
        ssde_openai_desc desc = openai_desc(0);
        ssde_net *net = NULL;
        desc.context = &context;
        words = openai_wrong(which, &desc);
        if (!words) break;
        CHECK(ssde_openai_create(&net, &desc) != SSDE_OK && !net);
        CHECK(strstr(context.error, words) != NULL);
        if (!strstr(context.error, words)) printf("    %d: '%s'\n", which, context.error);
        CHECK(ssde_openai_memory(&desc) == 0);
    }
    CHECK(which == 21);
    {
        ssde_openai_desc desc = openai_desc(0);
        desc.context = &context;
        desc.noise_schedule = SSDE_SCHEDULE_SIGMOID;
        CHECK_FAILS(&context, ssde_openai_levels(&desc, NULL, mean, std, label, &levels), SSDE_ERROR_ARGUMENT,
                    "noise_schedule");
        desc.noise_schedule = SSDE_SCHEDULE_LINEAR;
        desc.diffusion_steps = 1;
        CHECK_FAILS(&context, ssde_openai_levels(&desc, NULL, mean, std, label, &levels), SSDE_ERROR_ARGUMENT,
                    "diffusion_steps is 1");
    }
}

/* What the golden networks have not: other pools and resampling, heads of the way up, an upsampler; and all of them as
   model files. */
static ssde_openai_desc openai_variant(int which) {
    ssde_openai_desc desc = openai_desc(which < 2 ? 5 : 3);
    desc.num_channels = 32;
    desc.channel_mult[0] = desc.channel_mult[1] = desc.channel_mult[2] = 1;
    desc.num_levels = 2;
    desc.image_size = 4;
    desc.attention_resolutions[0] = 2;
    desc.num_attention_resolutions = 1;
    desc.dropout = 0.0;
    if (which == 1) desc.classifier_pool = "adaptive", desc.num_head_channels = 0, desc.num_heads = 2;
    if (which == 2) desc.no_conv_resample = 1, desc.num_heads_upsample = 2, desc.predict_xstart = 1;
    if (which == 3) desc.super_res = 1, desc.learn_sigma = 1, desc.classes = 3;
    return desc;
}

static void test_networks_openai_oracle(void) {
    nn_options options = nn_usual();
    int which;
    options.forward = 1e-5; /* through some thirty nodes */
    options.gradient = 3e-5;
    for (which = 0; which < (check_quick ? 1 : 3); which++) {
        ssde_openai_desc desc = openai_variant(which);
        ssde_net *net = NULL;
        ssde_node h;
        oracle o;
        if (which < 2) desc.num_levels = 1, desc.image_size = 2;
        CHECK_OK(ssdei_openai_build(&net, &desc));
        h = net->output;
        if (which < 2) h = ssde_add_scaled(net, net->input, ssde_linear(net, h, 3, 1.0, "out"), 1.0); /* x's shape */
        CHECK_OK(ssde_net_finish(net, h));
        oracle_from_net(&o, net);
        nn_check(&o, &options);
        oracle_close(&o);
    }
}

static void test_models_openai_saved(void) {
    static const char path[] = "scoresde_test_openai.safetensors";
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_vp(0.1, 20.0);
    int which;
    for (which = 0; which < 4; which++) {
        ssde_openai_desc desc = openai_variant(which);
        ssde_net *net = NULL, *read = NULL;
        ssde_score_net_desc how = ssde_score_net_defaults();
        ssde_score_net *score_net = NULL;
        CHECK_OK(ssde_openai_create(&net, &desc));
        CHECK_OK(ssde_net_save(net, NULL, path));
        CHECK_OK(ssde_net_load(&context, &read, NULL, path));
        if (read) {
            CHECK(read->node_count == net->node_count && read->weight_count == net->weight_count);
            CHECK_SAME(read->weights, net->weights, net->weight_count * sizeof *net->weights);
            CHECK(ssde_net_output(read, NULL) == (which < 2    ? SSDE_PREDICT_DEFAULT
                                                  : which == 2 ? SSDE_PREDICT_DATA
                                                               : SSDE_PREDICT_NOISE));
            how.context = &context;
            if (which == 3)
                CHECK_FAILS(&context, ssde_score_net_create(&score_net, read, &sde, &how), SSDE_ERROR_UNSUPPORTED,
                            "an image to be enlarged");
        }
        remove(path);
        ssde_net_destroy(read);
        ssde_net_destroy(net);
    }
}

/* ---- models: state dicts ---- */

static const char openai_made[] = "scoresde_test_openai.safetensors";

/* Copies a state dict under a prefix, without what begins with `drop`, with `value` in the first place of `spoil`, and
   with one more tensor [count] of ones, `add`. NULL: none. */
static void openai_rewrite(const char *path, const char *prefix, const char *drop, const char *spoil, double value,
                           const char *add, size_t count) {
    ssdei_tensor_writer writer;
    ssde_tensor_file *file = NULL;
    float *values;
    size_t i, j, most = count;
    int put;
    CHECK_OK(ssde_tensor_file_open(NULL, &file, path));
    for (i = 0; i < ssde_tensor_file_count(file); i++)
        if (most < ssde_tensor_file_get(file, i)->count) most = ssde_tensor_file_get(file, i)->count;
    values = (float *)calloc(most, sizeof *values);
    ssdei_tensor_writer_begin(&writer, NULL);
    for (put = 0; put < 2; put++) {
        if (put) CHECK_OK(ssdei_tensor_writer_open(&writer, openai_made));
        for (i = 0; i < ssde_tensor_file_count(file); i++) {
            const ssde_file_tensor *tensor = ssde_tensor_file_get(file, i);
            if (drop && !strncmp(tensor->name, drop, strlen(drop))) continue;
            if (!put) {
                ssdei_tensor_writer_declare(&writer, prefix, tensor->name, tensor->rank, tensor->shape);
                continue;
            }
            CHECK_OK(ssde_tensor_file_read(file, tensor, values));
            if (spoil && !strcmp(tensor->name, spoil)) values[0] = (float)value;
            ssdei_tensor_writer_put(&writer, values, tensor->count);
        }
        for (j = 0; j < count; j++) values[j] = 1.0f;
        if (add && put) ssdei_tensor_writer_put(&writer, values, count);
        if (add && !put) ssdei_tensor_writer_declare(&writer, "", add, 1, &count);
    }
    CHECK_OK(ssdei_tensor_writer_end(&writer, SSDE_OK));
    free(values);
    ssde_tensor_file_close(file);
}

static void test_models_openai(void) {
    static const char whole[] = "tests/golden/gd_64.pt";
    static const struct {
        const char *prefix, *drop, *spoil, *add;
        double value;
        ssde_status status;
        const char *words;
    } cases[] = {{"", NULL, NULL, NULL, 0.0, SSDE_OK, ""},
                 {"module.", NULL, NULL, NULL, 0.0, SSDE_OK, ""},
                 {"", "middle_block.1.qkv.b", NULL, NULL, 0.0, SSDE_ERROR_FORMAT, "'middle_block.1.qkv.bias'"},
                 {"module.", "output_blocks.1.2.in", NULL, NULL, 0.0, SSDE_ERROR_FORMAT,
                  "'module.output_blocks.1.2.in_layers.0.weight'"},
                 {"", "input_blocks.0", NULL, NULL, 0.0, SSDE_ERROR_FORMAT, "'input_blocks.0.0.weight'"},
                 {"", NULL, NULL, "input_blocks.4.1.norm.bias", 0.0, SSDE_ERROR_FORMAT, "'input_blocks.4.1.norm.bias'"},
                 {"ema.", NULL, NULL, "model.input_blocks.0.0.weight", 0.0, SSDE_ERROR_FORMAT, "has several"},
                 {"", "out.2.bias", NULL, "out.2.bias", 0.0, SSDE_ERROR_SHAPE, "'out.2.bias'"},
                 {"", "middle_block.1.qkv.b", NULL, "middle_block.1.qkv.bias", 0.0, SSDE_ERROR_SHAPE,
                  "'middle_block.1.qkv.bias'"},
                 {"", NULL, "middle_block.1.qkv.weight", NULL, (double)INFINITY, SSDE_ERROR_NUMERIC,
                  "'middle_block.1.qkv.weight'"},
                 {"", NULL, "middle_block.0.in_layers.2.bias", NULL, (double)NAN, SSDE_ERROR_NUMERIC,
                  "'middle_block.0.in_layers.2.bias'"}};
    ssde_context context = ssde_context_defaults();
    ssde_openai_desc desc = openai_desc(0);
    ssde_net *net = NULL, *other = NULL;
    size_t i;
    desc.context = &context;
    CHECK_OK(ssde_net_load_openai(&net, &desc, whole));
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        openai_rewrite(whole, cases[i].prefix, cases[i].drop, cases[i].spoil, cases[i].value, cases[i].add, 5);
        if (cases[i].status == SSDE_OK) {
            CHECK_OK(ssde_net_load_openai(&other, &desc, openai_made));
            if (net && other) CHECK_SAME(other->weights, net->weights, net->weight_count * sizeof *net->weights);
        } else
            CHECK_FAILS(&context, ssde_net_load_openai(&other, &desc, openai_made), cases[i].status, cases[i].words);
        ssde_net_destroy(other);
        other = NULL;
    }
    remove(openai_made);
    ssde_net_destroy(net);
}

/* Flags of another network than the file's. */
static void test_models_openai_flags(void) {
    static const struct {
        int from, which;
        const char *words;
    } cases[] = {{0, 0, "'input_blocks.2.0.op.weight'"},
                 {0, 1, "'out.2.weight'"},
                 {0, 2, "'label_emb.weight'"},
                 {0, 3, "'label_emb.weight' that the network lacks"},
                 {0, 4, "'time_embed.0.weight'"},
                 {0, 5, "'input_blocks.1.0.emb_layers.1.weight'"},
                 {0, 6, "'input_blocks.0.0.weight'"},
                 {0, 7, "'input_blocks.1.1.norm.weight' that the network lacks"},
                 {0, 8, "has no tensor 'input_blocks."},
                 {5, 9, "has no tensor 'out.3."},
                 {5, 10, "'out.2.positional_embedding'"},
                 {3, 11, "has no tensor 'label_emb.weight'"}};
    static const char *const paths[6] = {"gd_64", "", "", "gd_improved", "", "gd_classifier"};
    ssde_context context = ssde_context_defaults();
    size_t i;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        ssde_openai_desc desc = openai_desc(cases[i].from);
        ssde_net *net = NULL;
        char path[64];
        desc.context = &context;
        switch (cases[i].which) {
            case 0: desc.resblock_updown = 0; break;
            case 1: desc.learn_sigma = 0; break;
            case 2: desc.classes = 11; break;
            case 3: desc.classes = 0; break;
            case 4: desc.num_channels = 16, desc.channel_mult[0] = desc.channel_mult[1] = 2; break;
            case 5: desc.use_scale_shift_norm = 0; break;
            case 6: desc.super_res = 1; break;
            case 7: desc.attention_resolutions[0] = 4; break;
            case 8: desc.num_res_blocks = 2; break;
            case 9: desc.classifier_pool = "adaptive"; break;
            case 10: desc.image_size = 32, desc.attention_resolutions[0] = 16, desc.attention_resolutions[1] = 8; break;
            default: desc.classes = 4;
        }
        snprintf(path, sizeof path, "tests/golden/%s.pt", paths[cases[i].from]);
        CHECK(ssde_net_load_openai(&net, &desc, path) != SSDE_OK && !net);
        CHECK(strstr(context.error, cases[i].words) != NULL);
        if (!strstr(context.error, cases[i].words)) printf("    %d: '%s'\n", (int)i, context.error);
    }
}

/* The rows of qkv by fewer heads on the way up than down; and the adaptive pool's weights. */
static void test_models_openai_rows(void) {
    static const struct {
        const char *ours, *theirs;
        size_t heads, part;
    } cases[] = {{"down_blocks.1.attentions.0.to_k.weight", "input_blocks.3.1.qkv.weight", 4, 1},
                 {"mid_block.attentions.0.to_v.weight", "middle_block.1.qkv.weight", 4, 2},
                 {"up_blocks.0.attentions.1.to_q.weight", "output_blocks.1.1.qkv.weight", 2, 0}};
    ssde_openai_desc desc = openai_desc(3);
    ssde_tensor_file *file = NULL;
    ssde_net *net = NULL;
    float ours[32 * 32], theirs[96 * 32];
    size_t i, row, index;
    desc.num_heads_upsample = 2;
    CHECK_OK(ssde_net_load_openai(&net, &desc, "tests/golden/gd_improved.pt"));
    CHECK_OK(ssde_tensor_file_open(NULL, &file, "tests/golden/gd_improved.pt"));
    for (i = 0; net && i < 3; i++) {
        index = ssdei_net_find_parameter(net, cases[i].ours);
        CHECK_OK(ssde_net_get(net, index, ours));
        CHECK_OK(ssde_tensor_file_read(file, ssde_tensor_file_find(file, cases[i].theirs), theirs));
        for (row = 0; row < 32; row++)
            CHECK_SAME(ours + row * 32, theirs + openai_qkv_row(32, cases[i].heads, cases[i].part, row) * 32,
                       32 * sizeof *ours);
    }
    ssde_tensor_file_close(file);
    ssde_net_destroy(net);
    net = NULL;
    desc = openai_desc(5);
    desc.classifier_pool = "adaptive";
    {
        const size_t shape[4] = {10, 32, 1, 1}, classes = 10;
        float weight[320], bias[10];
        ssdei_tensor_writer writer;
        ssde_tensor_file *made = NULL;
        int put;
        openai_rewrite("tests/golden/gd_classifier.pt", "", "out.2", NULL, 0.0, NULL, 0);
        CHECK_OK(ssde_tensor_file_open(NULL, &made, openai_made));
        oracle_normals(1, 1.0, 320, weight);
        oracle_normals(2, 1.0, 10, bias);
        ssdei_tensor_writer_begin(&writer, NULL);
        for (put = 0; put < 2; put++) {
            if (put) CHECK_OK(ssdei_tensor_writer_open(&writer, "scoresde_test_adaptive.safetensors"));
            for (i = 0; i < ssde_tensor_file_count(made); i++) {
                const ssde_file_tensor *tensor = ssde_tensor_file_get(made, i);
                float *values = (float *)calloc(tensor->count, sizeof *values);
                CHECK_OK(ssde_tensor_file_read(made, tensor, values));
                if (put)
                    ssdei_tensor_writer_put(&writer, values, tensor->count);
                else
                    ssdei_tensor_writer_declare(&writer, "", tensor->name, tensor->rank, tensor->shape);
                free(values);
            }
            if (put) {
                ssdei_tensor_writer_put(&writer, weight, 320);
                ssdei_tensor_writer_put(&writer, bias, 10);
            } else {
                ssdei_tensor_writer_declare(&writer, "", "out.3.weight", 4, shape);
                ssdei_tensor_writer_declare(&writer, "", "out.3.bias", 1, &classes);
            }
        }
        CHECK_OK(ssdei_tensor_writer_end(&writer, SSDE_OK));
        ssde_tensor_file_close(made);
        CHECK_OK(ssde_net_load_openai(&net, &desc, "scoresde_test_adaptive.safetensors"));
        if (net) {
            CHECK_OK(ssde_net_get(net, ssdei_net_find_parameter(net, "conv_out.weight"), ours));
            CHECK_SAME(ours, weight, sizeof weight);
        }
        remove("scoresde_test_adaptive.safetensors");
        remove(openai_made);
        ssde_net_destroy(net);
    }
}

#define TEST_NN_OPENAI_LIST(X)         \
    X(networks_openai_64_legacy)       \
    X(networks_openai_64_new)          \
    X(networks_openai_additive)        \
    X(networks_openai_improved_legacy) \
    X(networks_openai_improved_new)    \
    X(networks_openai_classifier)      \
    X(networks_openai_published)       \
    X(networks_openai_respacing)       \
    X(networks_openai_schedules)       \
    X(networks_openai_errors)          \
    X(networks_openai_oracle)          \
    X(models_openai)                   \
    X(models_openai_saved)             \
    X(models_openai_flags)             \
    X(models_openai_rows)              \
    X(score_net_openai)                \
    X(classifier_openai)

#endif
