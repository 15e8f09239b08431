/* What changes to the code showed that no other test would notice. */
#ifndef TEST_SURVIVORS_H
#define TEST_SURVIVORS_H

#include "check.h"
#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif
#include "test_nn.h"
#include "test_nn_conditioning.h"
#include "test_nn_files.h"
#include "test_solvers.h"

/* The first bytes of images may be those of another format: what is a whole number of records is CIFAR-10. */
static void test_files_cifar10_alike(void) {
    static const unsigned char starts[3][4] = {{8, 7, 18, 0}, {0, 0, 8, 3}, {8, 7, 18, 8}}; /* ONNX, IDX, ONNX */
    static unsigned char file[2 * 3073];
    ssde_context context;
    ssde_tensor images, labels;
    size_t i;
    memset(&context, 0, sizeof context);
    for (i = 0; i < 3; i++) {
        memcpy(file, starts[i], 4);
        files_write(FILES_PATH, file, sizeof file);
        CHECK_OK(ssde_cifar10_load(&context, FILES_PATH, &images, &labels));
        CHECK(images.data && images.data[3] == (float)starts[i][2] && labels.data[0] == (float)starts[i][0]);
        ssde_tensor_release(&context, &images);
        ssde_tensor_release(&context, &labels);
    }
    remove(FILES_PATH);
}

/* A view of a storage fits where its last element does: offset + sum of (size - 1) stride is below the storage's. */
static void test_files_views(void) {
    static const struct {
        int rank;
        size_t shape[3], stride[3];
        uint64_t offset, total;
        int fits;
    } views[] = {{1, {3, 0, 0}, {2, 0, 0}, 0, 5, 1},        {1, {3, 0, 0}, {2, 0, 0}, 0, 4, 0},
                 {1, {3, 0, 0}, {2, 0, 0}, 1, 5, 0},        {1, {3, 0, 0}, {2, 0, 0}, 1, 6, 1},
                 {2, {2, 3, 0}, {3, 1, 0}, 0, 6, 1},        {2, {2, 3, 0}, {3, 1, 0}, 0, 5, 0},
                 {2, {3, 2, 0}, {1, 3, 0}, 4, 10, 1},       {2, {3, 2, 0}, {1, 3, 0}, 4, 9, 0},
                 {3, {2, 5, 4}, {100, 0, 7}, 0, 122, 1},    {3, {2, 5, 4}, {100, 0, 7}, 0, 121, 0},
                 {1, {2, 0, 0}, {SIZE_MAX, 0, 0}, 1, 9, 0}, {1, {0, 0, 0}, {9, 0, 0}, 4, 4, 1},
                 {0, {0, 0, 0}, {0, 0, 0}, 3, 4, 1},        {0, {0, 0, 0}, {0, 0, 0}, 4, 4, 0}};
    size_t i;
    for (i = 0; i < sizeof views / sizeof *views; i++) {
        ssdei_entry entry;
        memset(&entry, 0, sizeof entry);
        entry.info.rank = views[i].rank;
        memcpy(entry.info.shape, views[i].shape, sizeof views[i].shape);
        memcpy(entry.stride, views[i].stride, sizeof views[i].stride);
        CHECK(ssdei_entry_fits(&entry, views[i].offset, views[i].total) == views[i].fits);
    }
}

/* A storage's type is known by its whole name. */
static void test_files_pth_whole_names(void) {
#define SURVIVORS_TYPE(type) \
    { "\x80\2}X\1\0\0\0a" FILES_TENSOR_2(type, "0", "\10", "K\1K\2\x85K\2\x85") "s.", sizeof type }
    static const struct {
        const char bytes[200];
        size_t type;
    } pickles[] = {SURVIVORS_TYPE("torch\nFloatStorage"),  SURVIVORS_TYPE("torch\nFloatStorag"),
                   SURVIVORS_TYPE("torch\nFloatStorages"), SURVIVORS_TYPE("orch\nFloatStorage"),
                   SURVIVORS_TYPE("torch.\nFloatStorage"), SURVIVORS_TYPE("torch\nloatStorage")};
    static const size_t rest = sizeof "\x80\2}X\1\0\0\0a" FILES_TENSOR_2("", "0", "\10", "K\1K\2\x85K\2\x85") "s." - 1;
    ssde_context context;
    ssde_tensor_file *file;
    size_t i;
    memset(&context, 0, sizeof context);
    for (i = 0; i < sizeof pickles / sizeof *pickles; i++) {
        float values[2] = {0, 0};
        ssde_status status;
        files_write_pickle(FILES_PTH, pickles[i].bytes, rest + pickles[i].type - 1, "little");
        status = ssde_tensor_file_open(&context, &file, FILES_PTH);
        if (status == SSDE_OK) status = ssde_tensor_file_read(file, ssde_tensor_file_find(file, "a"), values);
        CHECK((status == SSDE_OK) == (i == 0));
        if (!i) CHECK(values[0] == 1.0f && values[1] == 3.0f);
        ssde_tensor_file_close(file);
    }
    remove(FILES_PTH);
#undef SURVIVORS_TYPE
}

/* A program whose standard input is closed gets descriptor 0 for its file. */
static void test_files_saving_without_input(void) {
#if defined(__unix__) || defined(__APPLE__)
    float x[2] = {1.0f, 2.0f};
    ssde_tensor tensor = ssde_tensor_1d(x, 2), back;
    int kept = dup(0);
    close(0);
    CHECK_OK(ssde_npy_save(NULL, FILES_PATH, &tensor));
    CHECK_OK(ssde_npy_load(NULL, FILES_PATH, &back));
    if (kept >= 0) dup2(kept, 0), close(kept);
    CHECK(back.data && back.data[1] == 2.0f);
    ssde_tensor_release(NULL, &back);
    remove(FILES_PATH);
#else
    CHECK(1);
#endif
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

/* Every pixel of a row is where its mirror image was, for even widths and odd. */
static void test_train_flip(void) {
    size_t width, y, x, c;
    for (width = 1; width <= 9; width++) {
        float image[2 * 9 * 3];
        ssde_net *net = NULL;
        CHECK_OK(ssde_net_create(NULL, &net, 1));
        ssde_input(net, 2, width, 3);
        for (x = 0; x < 2 * width * 3; x++) image[x] = (float)x;
        ssdei_flip(net, image);
        for (y = 0; y < 2; y++)
            for (x = 0; x < width; x++)
                for (c = 0; c < 3; c++)
                    CHECK(image[(y * width + x) * 3 + c] == (float)((y * width + width - 1 - x) * 3 + c));
        ssde_net_destroy(net);
    }
}

/* By index, a t that was computed as 1 - (N - 1 - i) / (N - 1) is the i-th as i / (N - 1) is, in all that a step asks:
   the same bits. */
static void test_sampler_step_index(void) {
    static const ssde_predictor predictors[3] = {SSDE_PREDICTOR_ANCESTRAL, SSDE_PREDICTOR_REVERSE_DIFFUSION,
                                                 SSDE_PREDICTOR_DDPM};
    static const float x[2] = {0.3f, -1.2f}, score[2] = {0.7f, 0.1f}, z[2] = {-0.4f, 1.1f};
    int which, p, i, n, different = 0;
    for (n = 40; n <= 1000; n += 320) {
        for (which = 0; which < 2; which++) {
            for (p = 0; p < 3; p++) {
                ssde_sde sde = solver_sde(which);
                ssde_sampler_desc how;
                float next[2][2], mean[2][2];
                memset(&how, 0, sizeof how);
                how.predictor = predictors[p];
                how.grid = SSDE_GRID_REFERENCE;
                if (how.predictor == SSDE_PREDICTOR_DDPM) how.grid = SSDE_GRID_DISCRETE;
                if (how.predictor == SSDE_PREDICTOR_DDPM && which == 0) continue;
                sde.num_scales = n;
                for (i = 1; i < n; i += check_quick ? 7 : 1) {
                    const double t[2] = {(double)i / (n - 1), 1.0 - (double)(n - 1 - i) / (n - 1)};
                    int k;
                    if (t[0] == t[1]) continue;
                    for (k = 0; k < 2; k++)
                        CHECK_OK(ssde_predictor_step(&sde, &how, x, score, z, &t[k], NULL, 1, 2, next[k], mean[k]));
                    CHECK_SAME(next[0], next[1], sizeof next[0]);
                    CHECK_SAME(mean[0], mean[1], sizeof mean[0]);
                    different++;
                }
            }
        }
    }
    CHECK(different > 20);
}

/* By the Euler discretisation, a step of reverse diffusion between any two times is one of Euler-Maruyama. */
static void test_sampler_euler_discretisation(void) {
    static const float x[2] = {0.3f, -1.2f}, score[2] = {0.7f, 0.1f}, z[2] = {-0.4f, 1.1f};
    static const double times[3][2] = {{0.9, 0.7}, {0.31, 0.3}, {1.0, 0.2}};
    int which, k, flow;
    for (which = 0; which < 3; which++) {
        for (k = 0; k < 6; k++) {
            ssde_sde sde = solver_sde(which);
            ssde_sampler_desc how;
            float next[2][2], mean[2][2];
            const double *t = times[k / 2];
            memset(&how, 0, sizeof how);
            flow = k % 2;
            how.grid = SSDE_GRID_UNIFORM;
            how.discretisation = SSDE_DISCRETISE_EULER;
            how.probability_flow = flow;
            how.predictor = SSDE_PREDICTOR_EULER_MARUYAMA;
            CHECK_OK(ssde_predictor_step(&sde, &how, x, score, z, &t[0], &t[1], 1, 2, next[0], mean[0]));
            how.predictor = SSDE_PREDICTOR_REVERSE_DIFFUSION;
            CHECK_OK(ssde_predictor_step(&sde, &how, x, score, z, &t[0], &t[1], 1, 2, next[1], mean[1]));
            CHECK_ARRAY(next[1], next[0], 2, 3e-7); /* two roundings to float */
            CHECK_ARRAY(mean[1], mean[0], 2, 3e-7);
        }
    }
}

/* The weights make up for times that are drawn by importance, above any eps: their mean is 1. */
static void test_loss_importance_eps(void) {
    enum { ROWS = 4000 };
    static double t[ROWS], weight[ROWS];
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_loss_desc desc;
    double mean = 0.0, squares = 0.0, rows = ROWS;
    size_t r;
    memset(&desc, 0, sizeof desc);
    desc.importance_times = 1;
    desc.eps = 0.3;
    CHECK_OK(ssde_loss_times(&sde, &desc, 4, 0, NULL, ROWS, t, weight));
    for (r = 0; r < ROWS; r++) {
        CHECK(t[r] >= 0.3 && t[r] <= 1.0);
        mean += weight[r] / rows;
        squares += weight[r] * weight[r] / rows;
    }
    CHECK_NEAR(mean, 1.0, 4.0 * sqrt((squares - mean * mean) / rows));
    CHECK(squares - mean * mean < 1.0);
}

/* What is missing is named, whichever it is. */
static void test_classifier_missing(void) {
    ssde_context context;
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_net *net = classifier_net(4, 4, 2, 3);
    ssde_score_net_desc options;
    ssde_classifier *classifier = NULL;
    float x[4 * 4 * 2] = {0}, gradient[4 * 4 * 2];
    double t = 0.5;
    memset(&context, 0, sizeof context);
    memset(&options, 0, sizeof options);
    options.context = &context;
    CHECK_OK(ssde_classifier_create(&classifier, net, &sde, &options));
    CHECK_FAILS(&context, ssde_classifier_gradient(classifier, NULL, &t, NULL, 1, gradient), SSDE_ERROR_ARGUMENT,
                "x is");
    CHECK_FAILS(&context, ssde_classifier_gradient(classifier, x, NULL, NULL, 1, gradient), SSDE_ERROR_ARGUMENT,
                "t is");
    CHECK_FAILS(&context, ssde_classifier_gradient(classifier, x, &t, NULL, 1, NULL), SSDE_ERROR_ARGUMENT, "gradient");
    CHECK_FAILS(&context, ssde_classifier_log_probability(classifier, NULL, &t, 1, gradient), SSDE_ERROR_ARGUMENT,
                "x is");
    CHECK_FAILS(&context, ssde_classifier_log_probability(classifier, x, NULL, 1, gradient), SSDE_ERROR_ARGUMENT,
                "t is");
    CHECK_FAILS(&context, ssde_classifier_log_probability(classifier, x, &t, 1, NULL), SSDE_ERROR_ARGUMENT,
                "log_probability");
    ssde_classifier_destroy(classifier);
    ssde_net_destroy(net);
}

/* A discrete level's sigma is that of its index, however its t was computed. */
static void test_score_net_discrete_index(void) {
    static const int levels[3] = {10, 300, 1000};
    int k, i, way;
    for (k = 0; k < 3; k++) {
        ssde_sde sde = ssde_vp(0.1, 5.0);
        sde.num_scales = levels[k];
        for (i = 0; i < levels[k]; i += check_quick ? 3 : 1) {
            double std;
            CHECK_OK(ssde_discrete_marginal(NULL, &sde, i, NULL, &std, NULL));
            for (way = 0; way < 2; way++) {
                double last = levels[k] - 1, t = way ? 1.0 - (last - i) / last : i / last;
                float label, sigma;
                CHECK_OK(ssde_score_net_label_discrete(NULL, &sde, t, &label, &sigma));
                CHECK(sigma == (float)std);
                CHECK_NEAR(label, i, 1e-4);
            }
        }
    }
}

typedef struct path_asked {
    uint32_t step[32];
    size_t count;
} path_asked;
static ssde_status path_asked_fill(void *user, int stream, uint32_t step, const uint64_t *sample, size_t rows,
                                   size_t dim, float *out) {
    path_asked *asked = (path_asked *)user;
    size_t i;
    (void)sample;
    if (stream != SSDE_STREAM_BROWNIAN || asked->count == 32) return SSDE_ERROR_ARGUMENT;
    asked->step[asked->count++] = step;
    for (i = 0; i < rows * dim; i++) out[i] = 0.0f;
    return SSDE_OK;
}

/* What a place on a path is made of: draw 0, then of each level l, until the place is an endpoint, draw 2^l + the
   number of the interval that holds it. No two intervals share a draw. */
static void test_path_draws(void) {
    ssde_noise_source source;
    path_asked asked;
    uint64_t sample = 3;
    float work, out;
    size_t place;
    source.fill = path_asked_fill, source.user = &asked;
    for (place = 1; place < 64; place++) {
        double t = (double)place / 64.0;
        size_t level = 0;
        asked.count = 0;
        CHECK_OK(ssde_brownian(NULL, &source, 1, &t, &sample, 1, 1, &work, &out));
        CHECK(asked.count > 1 && asked.step[0] == 0);
        for (level = 0; place << level & 63; level++)
            CHECK(asked.count > level + 1 && asked.step[level + 1] == (1u << level) + (uint32_t)(place << level) / 64);
        CHECK(asked.count == level + 1);
    }
}

/* Each of the tolerances is looked at. */
static void test_ode_each_tolerance(void) {
    double tolerances[3], y[3] = {1.0, 2.0, -0.5};
    ssde_context context;
    ssde_ode_desc how;
    size_t i;
    memset(&context, 0, sizeof context);
    memset(&how, 0, sizeof how);
    how.context = &context;
    how.atol_each = tolerances;
    for (i = 0; i < 3; i++) {
        char words[32];
        tolerances[0] = tolerances[1] = tolerances[2] = 1e-6;
        tolerances[i] = 0.0;
        snprintf(words, sizeof words, "atol_each[%d] is 0", (int)i);
        CHECK_FAILS(&context, ssde_ode_integrate(&how, solver_swing, NULL, 1, 3, 0.0, 1.0, y, NULL),
                    SSDE_ERROR_ARGUMENT, words);
    }
}

/* Times at which the stages of Dormand and Prince's pair are asked for: a step from t begins at t + h / 5. */
typedef struct ode_steps {
    double t[20000];
    size_t count;
} ode_steps;
static ssde_status ode_steps_function(void *user, const double *y, const double *t, const uint64_t *system, size_t rows,
                                      double *dy) {
    ode_steps *seen = (ode_steps *)user;
    (void)system;
    CHECK(rows == 1);
    if (seen->count < 20000) seen->t[seen->count++] = t[0];
    dy[0] = -60.0 * (y[0] - cos(9.0 * t[0]) - (t[0] > 1.7 ? 1.0 : 0.0));
    return SSDE_OK;
}

/* A step that was refused is followed by none that is longer, however nearly it was accepted. */
static void test_ode_refused_steps(void) {
    static ode_steps seen;
    double tolerance, before, length = 0.0;
    size_t i, refused = 0, after = 0;
    for (tolerance = 1e-9; tolerance < 2e-3; tolerance *= 3.0) {
        ssde_ode_desc how;
        double y = 2.0;
        int was_refused = 0;
        memset(&how, 0, sizeof how);
        how.rtol = how.atol = tolerance;
        seen.count = 0;
        CHECK_OK(ssde_ode_integrate(&how, ode_steps_function, &seen, 1, 1, 0.0, 4.0, &y, NULL));
        before = -1.0;
        for (i = 2; i + 6 <= seen.count && seen.count < 20000; i += 6) { /* t + h / 5, ..., t + h, t + h */
            double h = (seen.t[i + 5] - seen.t[i]) / 0.8, start = seen.t[i] - h / 5.0;
            int again = before >= 0.0 && fabs(start - before) < 1e-9 * h + 1e-14;
            if (was_refused && !again) {
                CHECK(h <= length * (1.0 + 1e-9));
                after++;
            }
            was_refused = again;
            refused += (size_t)again;
            before = start;
            length = h;
        }
    }
    CHECK(refused > 50 && after > 30);
}

/* The first number of integer data is looked at as the last is. */
static void test_likelihood_whole_numbers(void) {
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_mixture *mixture = NULL;
    ssde_likelihood_desc how = ssde_likelihood_defaults();
    ssde_likelihood_result results[2];
    ssde_context context;
    ssde_score_model model;
    size_t i;
    memset(&context, 0, sizeof context);
    CHECK_OK(ssde_gaussian_create(NULL, &mixture, 2, 0.0, 1.0));
    model = ssde_mixture_model(mixture, &sde);
    how.levels = 16.0, how.low = -1.0, how.high = 1.0;
    how.context = &context;
    for (i = 0; i < 4; i++) {
        ssde_rng rng = ssde_rng_seed(1);
        float x[4] = {0, 15, 3, 7};
        char words[32];
        snprintf(words, sizeof words, "x[%d][%d] is", (int)(i / 2), (int)(i % 2));
        x[i] = i % 2 ? 16.0f : 2.5f;
        CHECK_FAILS(&context, ssde_likelihood(&sde, &model, &how, &rng, 2, x, results), SSDE_ERROR_ARGUMENT, words);
        CHECK(rng.next_sample == 0);
    }
    ssde_mixture_destroy(mixture);
}

#define TEST_SURVIVORS_LIST(X)      \
    X(files_cifar10_alike)          \
    X(files_views)                  \
    X(files_pth_whole_names)        \
    X(files_saving_without_input)   \
    X(networks_init_scale)          \
    X(train_flip)                   \
    X(path_draws)                   \
    X(sampler_euler_discretisation) \
    X(loss_importance_eps)          \
    X(classifier_missing)           \
    X(score_net_discrete_index)     \
    X(sampler_step_index)           \
    X(ode_each_tolerance)           \
    X(ode_refused_steps)            \
    X(likelihood_whole_numbers)

#endif
