/* diffusers' schedulers: runs that it made, step by step, and what it would make NaN of. */
#ifndef TEST_SCHEDULERS_H
#define TEST_SCHEDULERS_H

#include "check.h"
#include "fixtures_core.h"
#include "golden.h"

#define GOLDEN_SCHEDULERS "tests/golden/schedulers.safetensors"
#define GOLDEN_SCHEDULERS_JSON "tests/golden/schedulers.json"

/* ---- schedulers: the golden runs' JSON ---- */

static char *schedulers_text(const char *path) {
    FILE *stream = fopen(path, "rb");
    char *text = (char *)calloc(1, 1 << 20);
    CHECK(stream && text && fread(text, 1, (1 << 20) - 1, stream) > 0);
    if (stream) fclose(stream);
    return text;
}

/* A cursor at the value of an object's key; whether there is one that is not null. */
static int schedulers_find(ssdei_json object, const char *key, ssdei_json *value) {
    char name[64];
    for (ssdei_json_open(&object, '{'); ssdei_json_next(&object, '}');) {
        ssdei_json_key(&object, name, sizeof name);
        if (!strcmp(name, key)) {
            *value = object;
            return !ssdei_json_word(&object, "null");
        }
        ssdei_json_skip(&object);
    }
    return 0;
}

static double schedulers_number(ssdei_json object, const char *key, double otherwise) {
    ssdei_json value;
    return schedulers_find(object, key, &value) ? ssdei_json_number(&value) : otherwise;
}

static size_t schedulers_string(ssdei_json object, const char *key, char *out, size_t size) {
    ssdei_json value;
    out[0] = 0;
    return schedulers_find(object, key, &value) ? ssdei_json_string(&value, out, size) : 0;
}

static size_t schedulers_numbers(ssdei_json object, const char *key, double *out) {
    ssdei_json value;
    size_t count = 0;
    if (!schedulers_find(object, key, &value)) return 0;
    for (ssdei_json_open(&value, '['); ssdei_json_next(&value, ']');) out[count++] = ssdei_json_number(&value);
    return count;
}

/* scheduler_config.json as diffusers writes it: the class's name, and a token of Python's for minus infinity. */
static void schedulers_config(ssdei_json run, const char *key, char *out) {
    ssdei_json value;
    char name[64];
    const char *at, *end;
    schedulers_string(run, "scheduler", name, sizeof name);
    CHECK(schedulers_find(run, key, &value));
    at = value.text + value.at;
    ssdei_json_skip(&value);
    end = value.text + value.at;
    while (*at++ != '{') continue;
    out += sprintf(out, "{\n  \"_class_name\": \"%s\",\n  \"_diffusers_version\": \"0.40.0.dev0\"%s", name,
                   strchr(at, '"') && strchr(at, '"') < end ? "," : "");
    while (at < end) {
        if (!strncmp(at, "\"-inf\"", 6)) {
            out += sprintf(out, "-Infinity");
            at += 6;
        } else
            *out++ = *at++;
    }
    *out = 0;
}

/* ---- schedulers: the toy model ---- */

enum { SCHEDULERS_ROWS = 3, SCHEDULERS_DIM = 4, SCHEDULERS_FLOATS = 12, SCHEDULERS_CALLS = 160 };
enum { SCHEDULERS_NOISE, SCHEDULERS_DATA, SCHEDULERS_V, SCHEDULERS_FLOW };

typedef struct schedulers_toy {
    const ssde_scheduler *scheduler;
    char level[16];                    /* "vp", "c_noise_vp", "flow", "edm", "ve_sigma" */
    double alphas[1000], sigma_data;   /* below 0: EDM's other sign */
    float denoised[SCHEDULERS_FLOATS]; /* of the last score, like the next */
    float variance[SCHEDULERS_FLOATS]; /* (sin 3 x + 1) / 2, x what the network sees */
    size_t calls;
    float told[SCHEDULERS_CALLS]; /* the labels of the calls */
} schedulers_toy;

/* x(0), noise and score of the mixture that the golden runs' model is, at x = a x(0) + b noise. */
static void schedulers_mixture(const double *x, double a, double b, double *data, double *noise, double *score) {
    static const double weight[2] = {0.3, 0.7}, spread[2] = {0.25, 0.4};
    static const double mean[2][4] = {{1.2, -0.8, 0.5, 0.1}, {-0.6, 0.9, -1.1, 0.4}};
    double share[2], v[2];
    int k, j;
    for (k = 0; k < 2; k++) {
        double distance = 0.0;
        v[k] = a * a * spread[k] * spread[k] + b * b;
        for (j = 0; j < 4; j++) distance += (x[j] - a * mean[k][j]) * (x[j] - a * mean[k][j]);
        share[k] = log(weight[k]) - 2.0 * log(v[k]) - 0.5 * distance / v[k];
    }
    share[0] = 1.0 / (1.0 + exp(share[1] - share[0]));
    share[1] = 1.0 - share[0];
    for (j = 0; j < 4; j++) {
        data[j] = noise[j] = score[j] = 0.0;
        for (k = 0; k < 2; k++) {
            double d = x[j] - a * mean[k][j];
            data[j] += share[k] * (mean[k][j] + a * spread[k] * spread[k] / v[k] * d);
            noise[j] += share[k] * b / v[k] * d;
            score[j] -= share[k] * d / v[k];
        }
    }
}

/* a and b that the toy takes a label for. */
static void schedulers_level(const schedulers_toy *toy, double label, double *a, double *b) {
    double s = 0.0;
    if (!strcmp(toy->level, "flow")) {
        *b = label / 1000.0, *a = 1.0 - *b;
        return;
    }
    if (!strcmp(toy->level, "ve_sigma") || !strcmp(toy->level, "edm")) {
        *a = 1.0, *b = toy->level[0] == 'v' ? label : exp(4.0 * label);
        return;
    }
    if (!strcmp(toy->level, "vp_sde")) { /* ssde_vp(0.1, 20), told of 999 t */
        double t = label / 999.0;
        *a = exp(-0.25 * t * t * 19.9 - 0.05 * t), *b = sqrt(1.0 - *a * *a);
        return;
    }
    if (!strcmp(toy->level, "c_noise_vp"))
        s = exp(4.0 * label);
    else if (label == floor(label)) {
        *a = sqrt(toy->alphas[(int)label]), *b = sqrt(1.0 - toy->alphas[(int)label]);
        return;
    } else {
        int n = label < 998.0 ? (int)label : 998;
        double low = 0.5 * log((1.0 - toy->alphas[n]) / toy->alphas[n]);
        double high = 0.5 * log((1.0 - toy->alphas[n + 1]) / toy->alphas[n + 1]);
        s = exp((1.0 - (label - n)) * low + (label - n) * high);
    }
    *a = 1.0 / sqrt(1.0 + s * s);
    *b = s * *a;
}

/* What the toy returns for an input, rounded to float as a network's output is. */
static void schedulers_network(const schedulers_toy *toy, const float *in, double label, float *out) {
    double a, b, x[4], data[4], noise[4], score[4], root = 1.0;
    ssde_parameterisation output = toy->scheduler->output;
    int j;
    schedulers_level(toy, label, &a, &b);
    if (output == SSDE_PREDICT_EDM) root = sqrt(b * b + toy->sigma_data * toy->sigma_data);
    for (j = 0; j < 4; j++) x[j] = (double)in[j] * root;
    schedulers_mixture(x, a, b, data, noise, score);
    for (j = 0; j < 4; j++)
        out[j] = (float)(output == SSDE_PREDICT_NOISE      ? noise[j]
                         : output == SSDE_PREDICT_DATA     ? data[j]
                         : output == SSDE_PREDICT_VELOCITY ? a * noise[j] - b * data[j]
                         : output == SSDE_PREDICT_FLOW     ? noise[j] - data[j]
                         : output == SSDE_PREDICT_SCORE
                             ? score[j]
                             : (data[j] - toy->sigma_data * toy->sigma_data / (root * root) * x[j]) /
                                   (b * toy->sigma_data / root));
}

/* The score of that, as a score net makes it of a network's output. */
static ssde_status schedulers_score(void *user, const float *x, const double *t, const uint64_t *sample, size_t rows,
                                    int differentiate, float *out) {
    schedulers_toy *toy = (schedulers_toy *)user;
    size_t r, j;
    (void)sample, (void)differentiate;
    for (r = 0; r < rows; r++, x += 4, out += 4) {
        ssde_output_map map;
        ssde_coefficients c;
        double label;
        float in[4], o[4];
        CHECK_OK(ssde_sde_label(NULL, &toy->scheduler->sde, t[r], &label));
        CHECK_OK(ssde_output_map_at(NULL, &toy->scheduler->sde, toy->scheduler->output, toy->scheduler->sigma_data,
                                    t[r], &map));
        CHECK_OK(ssdei_marginal(NULL, &toy->scheduler->sde, t[r], &c.mean, &c.std));
        if (!r && toy->calls < SCHEDULERS_CALLS) toy->told[toy->calls++] = (float)label;
        for (j = 0; j < 4; j++) in[j] = (float)(map.input * (double)x[j]);
        schedulers_network(toy, in, label, o);
        for (j = 0; j < 4; j++) {
            out[j] = (float)(-(map.noise_output * (double)o[j] + map.noise_x * (double)x[j]) / c.std);
            toy->variance[4 * r + j] = 0.5f * ((float)sin(3.0 * (double)in[j]) + 1.0f);
            toy->denoised[4 * r + j] = (float)(map.data_output * (double)o[j] + map.data_x * (double)x[j]);
        }
    }
    return SSDE_OK;
}

static ssde_status schedulers_denoised(void *user, size_t rows, float *out) {
    memcpy(out, ((schedulers_toy *)user)->denoised, rows * 4 * sizeof *out);
    return SSDE_OK;
}

static ssde_status schedulers_variance(void *user, size_t rows, float *out) {
    memcpy(out, ((schedulers_toy *)user)->variance, rows * 4 * sizeof *out);
    return SSDE_OK;
}

static ssde_score_model schedulers_model(schedulers_toy *toy) {
    ssde_score_model model;
    memset(&model, 0, sizeof model);
    model.dim = SCHEDULERS_DIM;
    model.score = schedulers_score;
    model.denoised = schedulers_denoised;
    model.variance = schedulers_variance;
    model.user = toy;
    return model;
}

/* ---- schedulers: a golden run ---- */

typedef struct schedulers_run {
    ssdei_json json;
    char name[64], kind[64], config[4096];
    const golden_file *golden;
    size_t steps, calls, draws, corrections;
    float x[SCHEDULERS_CALLS * SCHEDULERS_FLOATS], noise[SCHEDULERS_CALLS * SCHEDULERS_FLOATS];
    double noise_step[SCHEDULERS_CALLS], own[SCHEDULERS_CALLS], init;
    const ssde_scheduler *scheduler; /* in hand */
    double worst;                    /* difference from the golden x, relative to the step's largest */
    size_t seen;
} schedulers_run;

static void schedulers_tensor(const schedulers_run *run, const char *what, float *out, size_t count) {
    char name[128];
    snprintf(name, sizeof name, "%s/%s", run->name, what);
    golden_floats(run->golden, name, out, count);
}

static void schedulers_read(schedulers_run *run, const golden_file *golden, ssdei_json json, schedulers_toy *toy) {
    char name[128];
    const golden_tensor *tensor;
    memset(run, 0, sizeof *run);
    run->json = json;
    run->golden = golden;
    schedulers_string(json, "name", run->name, sizeof run->name);
    schedulers_string(json, "scheduler", run->kind, sizeof run->kind);
    schedulers_config(json, "config", run->config);
    run->steps = (size_t)schedulers_number(json, "num_inference_steps", 0.0);
    run->calls = (size_t)schedulers_number(json, "calls", 0.0);
    run->draws = (size_t)schedulers_number(json, "noise_draws", 0.0);
    run->init = schedulers_number(json, "init_noise_sigma", 1.0);
    snprintf(name, sizeof name, "%s/x", run->name);
    tensor = golden_find(golden, name);
    schedulers_tensor(run, "x", run->x, tensor ? tensor->count : 0);
    if (schedulers_find(json, "config", &json))
        run->corrections = (size_t)schedulers_number(json, "correct_steps", 1.0);
    if (run->draws) {
        schedulers_tensor(run, "noise", run->noise, run->draws * SCHEDULERS_FLOATS);
        snprintf(name, sizeof name, "%s/noise_step", run->name);
        golden_doubles(golden, name, run->noise_step, run->draws);
    }
    memset(toy, 0, sizeof *toy);
    json = run->json;
    schedulers_string(json, "noise_level", toy->level, sizeof toy->level);
    if (schedulers_string(json, "alphas_cumprod", name, sizeof name)) golden_doubles(golden, name, toy->alphas, 1000);
}

/* The recorded draws; the start is noise times init_noise_sigma there. */
static ssde_status schedulers_fill(void *user, int stream, uint32_t step, const uint64_t *sample, size_t rows,
                                   size_t dim, float *out) {
    const schedulers_run *run = (const schedulers_run *)user;
    size_t i, at = 0;
    CHECK(rows == SCHEDULERS_ROWS && dim == SCHEDULERS_DIM && !sample[0]);
    for (i = 0; i < SCHEDULERS_FLOATS; i++) out[i] = (float)((double)run->x[i] / run->init);
    if (stream == SSDE_STREAM_PRIOR) return SSDE_OK;
    if (!strcmp(run->kind, "ScoreSdeVeScheduler"))
        at = stream == SSDE_STREAM_PREDICTOR ? (step + 1) * (run->corrections + 1) - 1 : step + step / run->corrections;
    else {
        CHECK(stream == SSDE_STREAM_PREDICTOR);
        while (at < run->draws && run->noise_step[at] != (double)step) at++;
    }
    CHECK(at < run->draws);
    if (at < run->draws) memcpy(out, run->noise + at * SCHEDULERS_FLOATS, SCHEDULERS_FLOATS * sizeof *out);
    return SSDE_OK;
}

/* Which x of the golden run is that after a step: others are stages of Runge-Kutta or Heun. */
static size_t schedulers_place(const schedulers_run *run, size_t step) {
    if (!strcmp(run->kind, "HeunDiscreteScheduler")) return step < run->steps ? 2 * step : 2 * step - 1;
    if (strcmp(run->kind, "PNDMScheduler")) return step;
    if (strstr(run->config, "\"skip_prk_steps\": true")) return step ? step + 1 : 0;
    return step < 3 ? 4 * step : step + 9;
}

static int schedulers_divided(const schedulers_run *run) {
    return !strncmp(run->kind, "Euler", 5) || !strncmp(run->kind, "Heun", 4);
}

static void schedulers_step(void *user, size_t step, double t, const float *x, size_t n, size_t dim) {
    schedulers_run *run = (schedulers_run *)user;
    const float *wanted = run->x + schedulers_place(run, step) * SCHEDULERS_FLOATS;
    float mean_x[SCHEDULERS_FLOATS * SCHEDULERS_CALLS];
    double largest = 0.0, off = 0.0, mean, std;
    size_t i;
    CHECK_OK(ssdei_marginal(NULL, &run->scheduler->sde, t, &mean, &std));
    if (!schedulers_divided(run)) mean = 1.0;
    if (!strncmp(run->kind, "ScoreSde", 8) && step == run->steps) { /* ends with the mean */
        schedulers_tensor(run, "x_mean", mean_x, run->steps * SCHEDULERS_FLOATS);
        wanted = mean_x + (run->steps - 1) * SCHEDULERS_FLOATS;
    }
    CHECK(n * dim == SCHEDULERS_FLOATS && step == run->seen++);
    for (i = 0; i < SCHEDULERS_FLOATS; i++) {
        largest = fmax(largest, fabs((double)wanted[i]));
        off = fmax(off, fabs((double)x[i] / mean - (double)wanted[i]));
        if (!(fabs((double)x[i]) <= FLT_MAX)) off = HUGE_VAL;
    }
    run->worst = fmax(run->worst, off / largest);
#ifdef OFFS
    OFFS
#endif
}

static ssde_scheduler_desc schedulers_desc(schedulers_run *run, int follow) {
    ssde_scheduler_desc desc = ssde_scheduler_defaults();
    ssdei_json arguments;
    desc.steps = run->steps;
    desc.follow = follow;
    if (schedulers_find(run->json, "set_timesteps", &arguments)) {
        desc.mu = schedulers_number(arguments, "mu", 0.0);
        if (schedulers_numbers(arguments, "timesteps", run->own)) desc.timesteps = run->own;
    }
    if (schedulers_find(run->json, "step", &arguments)) {
        desc.eta = schedulers_number(arguments, "eta", 0.0);
        desc.s_churn = schedulers_number(arguments, "s_churn", 0.0);
        desc.s_tmin = schedulers_number(arguments, "s_tmin", 0.0);
        desc.s_tmax = schedulers_number(arguments, "s_tmax", 0.0);
        desc.s_noise = schedulers_number(arguments, "s_noise", 0.0);
        desc.clipped_eps = strstr(arguments.text + arguments.at, "\"use_clipped_model_output\": true") != NULL &&
                           !strcmp(run->name, "ddim_clipped_output_10");
    }
    return desc;
}

/* The run's largest difference from what diffusers made; HUGE_VAL where it fails. */
static double schedulers_difference(schedulers_run *run, schedulers_toy *toy, const char *config, int follow,
                                    ssde_tier tier) {
    ssde_context context = ssde_context_defaults();
    ssde_scheduler *scheduler = NULL;
    ssde_scheduler_desc desc = schedulers_desc(run, follow);
    ssde_score_model model = schedulers_model(toy);
    ssde_rng rng = ssde_rng_seed(1);
    float x[SCHEDULERS_FLOATS];
    ssde_status status;
    context.tier = tier;
    run->worst = HUGE_VAL;
    status = ssde_scheduler_create(&context, &scheduler, config, strlen(config), &desc);
    if (status != SSDE_OK) check_report(__FILE__, __LINE__, "%s: %s", run->name, context.error);
    if (!scheduler) return HUGE_VAL;
    toy->scheduler = run->scheduler = scheduler;
    toy->sigma_data = scheduler->sigma_data;
    toy->calls = 0;
    run->seen = 0;
    run->worst = 0.0;
    scheduler->how.noise.fill = schedulers_fill;
    scheduler->how.noise.user = run;
    scheduler->how.trajectory = schedulers_step;
    scheduler->how.user = run;
    status = ssde_sample(&scheduler->sde, &model, &scheduler->how, &rng, SCHEDULERS_ROWS, x);
    if (status != SSDE_OK) {
        check_report(__FILE__, __LINE__, "%s: %s", run->name, context.error);
        run->worst = HUGE_VAL;
    } else
        CHECK(run->seen == run->steps + 1);
    ssde_scheduler_destroy(scheduler);
    return run->worst;
}

/* What is right there as it is published, and wrong in diffusers. */
static int schedulers_needs_follow(const char *name) {
    static const char *const names[] = {"ddpm_large_noclip_trailing_50",
                                        "ddpm_cos_sample_large_clip_leading1_50",
                                        "ddim_sample_linspace_10",
                                        "pndm_skip_alpha_one_v_10",
                                        "euler_churn_10",
                                        "edm_euler_churn_10",
                                        "dpm3_sde_10"};
    size_t i;
    for (i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!strcmp(name, names[i])) return 1;
    return 0;
}

static void test_scheduler_golden(void) {
    golden_file *golden = golden_open(GOLDEN_SCHEDULERS);
    char *text = schedulers_text(GOLDEN_SCHEDULERS_JSON);
    static schedulers_run run;
    static schedulers_toy toy;
    ssdei_json runs, json = ssdei_json_over(text, strlen(text));
    size_t count = 0;
    CHECK(schedulers_find(json, "runs", &runs));
    for (ssdei_json_open(&runs, '['); ssdei_json_next(&runs, ']'); count++) {
        int tier, follow;
        schedulers_read(&run, golden, runs, &toy);
        ssdei_json_skip(&runs);
        for (tier = SSDE_TIER_SCALAR; tier < SSDE_TIER_COUNT; tier++) {
            ssde_context context = ssde_context_defaults();
            context.tier = (ssde_tier)tier;
            if (ssde_tier_used(&context) != (ssde_tier)tier) continue;
            for (follow = 0; follow < 2; follow++) {
                double off = schedulers_difference(&run, &toy, run.config, follow, (ssde_tier)tier);
                if (!follow && schedulers_needs_follow(run.name))
                    CHECK(off > 1e-3 && off < HUGE_VAL);
                else
                    check_near(__FILE__, __LINE__, run.name, off, 0.0, 2e-5);
            }
        }
    }
    CHECK(count == 46);
    free(text);
    golden_close(golden);
}

/* ---- schedulers: what has no golden run, by the formulas in double ---- */

/* One of diffusers' schedulers, and what a test needs of a run beside it. */
typedef struct schedulers_case {
    golden_file *golden;
    ssde_scheduler *scheduler;
    schedulers_toy toy;
    float x[SCHEDULERS_FLOATS];      /* of the library */
    double y[SCHEDULERS_FLOATS];     /* of the formulas, */
    double data[SCHEDULERS_FLOATS];  /* the denoised, */
    double noise[SCHEDULERS_FLOATS]; /* the noise, */
    float z[SCHEDULERS_FLOATS];      /* and a draw */
} schedulers_case;

static ssde_status schedulers_begin(schedulers_case *c, const char *config, const ssde_scheduler_desc *desc,
                                    const char *level, const char *alphas) {
    ssde_context context = ssde_context_defaults();
    ssde_status status;
    memset(c, 0, sizeof *c);
    status = ssde_scheduler_create(&context, &c->scheduler, config, strlen(config), desc);
    if (status != SSDE_OK) check_report(__FILE__, __LINE__, "%s: %s", config, context.error);
    CHECK(status == SSDE_OK);
    if (status != SSDE_OK) return status;
    c->scheduler->how.context = NULL;
    c->golden = golden_open(GOLDEN_SCHEDULERS);
    strcpy(c->toy.level, level);
    c->toy.scheduler = c->scheduler;
    c->toy.sigma_data = c->scheduler->sigma_data;
    if (alphas) golden_doubles(c->golden, alphas, c->toy.alphas, 1000);
    return status;
}

static void schedulers_end(schedulers_case *c) {
    golden_close(c->golden);
    ssde_scheduler_destroy(c->scheduler);
}

/* c->z of a step; of the start, as y times its factor. */
static void schedulers_draw(schedulers_case *c, int stream, size_t step) {
    static const uint64_t samples[SCHEDULERS_ROWS] = {0, 1, 2};
    CHECK_OK(ssde_random_normal(NULL, 7, stream, (uint32_t)step, samples, SCHEDULERS_ROWS, SCHEDULERS_DIM, c->z));
}
static void schedulers_start(schedulers_case *c, double factor) {
    size_t i;
    schedulers_draw(c, SSDE_STREAM_PRIOR, 0);
    for (i = 0; i < SCHEDULERS_FLOATS; i++) c->y[i] = factor * (double)c->z[i];
}

/* c->data and c->noise at y, a x(0) + b noise, by the network at a label. */
static void schedulers_ask(schedulers_case *c, double label, double a, double b) {
    size_t i, j;
    for (i = 0; i < SCHEDULERS_FLOATS; i += 4) {
        float in[4], out[4];
        for (j = 0; j < 4; j++) in[j] = (float)c->y[i + j];
        schedulers_network(&c->toy, in, label, out);
        for (j = 0; j < 4; j++) {
            double o = (double)out[j], y = c->y[i + j];
            switch (c->scheduler->output) {
                case SSDE_PREDICT_DATA: c->data[i + j] = o; break;
                case SSDE_PREDICT_VELOCITY: c->data[i + j] = a * y - b * o; break;
                case SSDE_PREDICT_FLOW: c->data[i + j] = y - b * o; break;
                default: c->data[i + j] = (y - b * o) / a;
            }
            c->noise[i + j] = c->scheduler->output == SSDE_PREDICT_NOISE ? o : (y - a * c->data[i + j]) / b;
        }
    }
}

/* The library's run is that of y, to 2e-5 of its largest value. */
static void schedulers_agree(schedulers_case *c, const char *what) {
    ssde_score_model model = schedulers_model(&c->toy);
    ssde_rng rng = ssde_rng_seed(7);
    double largest = 0.0, off = 0.0;
    size_t i;
    CHECK_OK(ssde_sample(&c->scheduler->sde, &model, &c->scheduler->how, &rng, SCHEDULERS_ROWS, c->x));
    for (i = 0; i < SCHEDULERS_FLOATS; i++) {
        largest = fmax(largest, fabs(c->y[i]));
        off = fmax(off, fabs((double)c->x[i] - c->y[i]));
        if (!(fabs((double)c->x[i]) <= FLT_MAX)) off = HUGE_VAL;
    }
    check_near(__FILE__, __LINE__, what, off / largest, 0.0, 2e-5);
}

static int schedulers_compare(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

/* Diffusers' thresholding of one sample of four. */
static void schedulers_threshold(double *data, double quantile, double most) {
    double sorted[4], limit, place = 3.0 * quantile;
    size_t j, below = (size_t)place;
    for (j = 0; j < 4; j++) sorted[j] = fabs(data[j]);
    qsort(sorted, 4, sizeof *sorted, schedulers_compare);
    limit = sorted[below] + (below < 3 ? (place - (double)below) * (sorted[below + 1] - sorted[below]) : 0.0);
    limit = fmin(fmax(limit, 1.0), most);
    for (j = 0; j < 4; j++) data[j] = fmin(fmax(data[j], -limit), limit) / limit;
}

#define SCHEDULERS_SCALED "\"beta_start\": 0.00085, \"beta_end\": 0.012, \"beta_schedule\": \"scaled_linear\""
#define SCHEDULERS_SCALED_TABLE "alphas_cumprod/scaled_linear_0.00085_0.012"

/* DDPM with a learned variance, thresholded: without noise in the last step, and followed with that of diffusers, whose
   smaller variance is 1e-20 there. */
static void schedulers_learned(int follow, double most) {
    schedulers_case c;
    ssde_scheduler_desc desc = ssde_scheduler_defaults();
    char config[400];
    size_t k, i, n = 8;
    desc.steps = n, desc.follow = follow;
    sprintf(config,
            "{\"_class_name\": \"DDPMScheduler\", " SCHEDULERS_SCALED
            ", \"variance_type\": \"learned_range\", \"timestep_spacing\": \"trailing\", \"prediction_type\": "
            "\"v_prediction\", \"thresholding\": true, \"dynamic_thresholding_ratio\": 0.8, \"sample_max_value\": %g}",
            most);
    if (schedulers_begin(&c, config, &desc, "vp", SCHEDULERS_SCALED_TABLE) != SSDE_OK) return;
    schedulers_start(&c, 1.0);
    for (k = 0; k < n; k++) {
        size_t t = 1000 - k * 125 - 1;
        double left = c.toy.alphas[t], next = k + 1 < n ? c.toy.alphas[t - 125] : 1.0, beta = 1.0 - left / next;
        double low = log(fmax((1.0 - next) / (1.0 - left) * beta, 1e-20)), high = log(beta);
        schedulers_ask(&c, (double)t, sqrt(left), sqrt(1.0 - left));
        schedulers_draw(&c, SSDE_STREAM_PREDICTOR, k);
        for (i = 0; i < SCHEDULERS_FLOATS; i++) {
            double part = 0.5 * (sin(3.0 * (double)(float)c.y[i]) + 1.0);
            if (i % 4 == 0) schedulers_threshold(c.data + i, 0.8, most);
            c.noise[i] = exp(0.5 * (part * high + (1.0 - part) * low)) * (k + 1 < n || follow);
        }
        for (i = 0; i < SCHEDULERS_FLOATS; i++)
            c.y[i] = sqrt(next) * beta / (1.0 - left) * c.data[i] +
                     sqrt(left / next) * (1.0 - next) / (1.0 - left) * c.y[i] + c.noise[i] * (double)c.z[i];
    }
    schedulers_agree(&c, "learned_range");
    schedulers_end(&c);
}

/* DDIM where timesteps are not 1000 / steps apart: from one to the next. fixed_large: no noise in the last step. */
static void schedulers_plain(int ddpm) {
    schedulers_case c;
    ssde_scheduler_desc desc = ssde_scheduler_defaults();
    size_t k, i, n = 7;
    desc.steps = n;
    if (schedulers_begin(&c,
                         ddpm ? "{\"_class_name\": \"DDPMScheduler\", " SCHEDULERS_SCALED
                                ", \"clip_sample\": false, \"timestep_spacing\": \"trailing\", \"variance_type\": "
                                "\"fixed_large\"}"
                              : "{\"_class_name\": \"DDIMScheduler\", " SCHEDULERS_SCALED
                                ", \"clip_sample\": false, \"timestep_spacing\": \"trailing\"}",
                         &desc, "vp", SCHEDULERS_SCALED_TABLE) != SSDE_OK)
        return;
    schedulers_start(&c, 1.0);
    for (k = 0; k < n; k++) {
        size_t t = (size_t)floor(1000.0 - (double)k * 1000.0 / 7.0 + 0.5) - 1;
        size_t to = (size_t)floor(1000.0 - (double)(k + 1) * 1000.0 / 7.0 + 0.5) - 1;
        double left = c.toy.alphas[t], next = k + 1 < n ? c.toy.alphas[to] : 1.0, beta = 1.0 - left / next;
        double spread = ddpm ? (1.0 - next) / (1.0 - left) * beta : 0.0;
        schedulers_ask(&c, (double)t, sqrt(left), sqrt(1.0 - left));
        schedulers_draw(&c, SSDE_STREAM_PREDICTOR, k);
        for (i = 0; i < SCHEDULERS_FLOATS; i++) {
            c.y[i] = sqrt(next) * c.data[i] + sqrt(1.0 - next - spread) * c.noise[i];
            if (ddpm && k + 1 < n) c.y[i] += sqrt(beta) * (double)c.z[i];
        }
    }
    schedulers_agree(&c, ddpm ? "fixed_large" : "ddim");
    schedulers_end(&c);
}

/* Euler with churn, in x / m: the model sees what was churned, at its noise, between two levels. */
static void schedulers_churned(void) {
    schedulers_case c;
    ssde_scheduler_desc desc = ssde_scheduler_defaults();
    double sigma[11];
    size_t k, i, n = 10;
    desc.steps = n, desc.s_churn = 3.0, desc.s_tmin = 0.2, desc.s_tmax = 30.0, desc.s_noise = 1.01;
    if (schedulers_begin(&c, "{\"_class_name\": \"EDMEulerScheduler\", \"prediction_type\": \"v_prediction\"}", &desc,
                         "edm", NULL) != SSDE_OK)
        return;
    CHECK(c.scheduler->output == SSDE_PREDICT_EDM && c.scheduler->sigma_data == -0.5);
    for (k = 0; k < n; k++) {
        double part = (double)k / 9.0, high = pow(80.0, 1.0 / 7.0), low = pow(0.002, 1.0 / 7.0);
        sigma[k] = (double)(float)pow(high + part * (low - high), 7.0);
    }
    sigma[n] = 0.0;
    schedulers_start(&c, sqrt(80.0 * 80.0 + 1.0));
    for (k = 0; k < n; k++) {
        double s = sigma[k], hat = s >= 0.2 && s <= 30.0 ? 1.3 * s : s;
        schedulers_draw(&c, SSDE_STREAM_PREDICTOR, k);
        for (i = 0; i < SCHEDULERS_FLOATS; i++) c.y[i] += 1.01 * sqrt(hat * hat - s * s) * (double)c.z[i];
        for (i = 0; i < SCHEDULERS_FLOATS; i += 4) {
            double noise[4], score[4];
            schedulers_mixture(c.y + i, 1.0, hat, c.data + i, noise, score);
        }
        for (i = 0; i < SCHEDULERS_FLOATS; i++) c.y[i] = c.data[i] + sigma[k + 1] / hat * (c.y[i] - c.data[i]);
    }
    schedulers_agree(&c, "churn");
    schedulers_end(&c);
}

/* As diffusers does, where the model does not see the churn, from a sigma of 20,000, where steps go by D. */
static void schedulers_unseen(void) {
    schedulers_case c;
    ssde_scheduler_desc desc = ssde_scheduler_defaults();
    size_t k, i, n = 5;
    desc.steps = n, desc.follow = 1, desc.s_churn = 1.5;
    if (schedulers_begin(&c,
                         "{\"_class_name\": \"EulerDiscreteScheduler\", \"beta_schedule\": \"squaredcos_cap_v2\", "
                         "\"prediction_type\": \"sample\", \"timestep_spacing\": \"trailing\"}",
                         &desc, "vp", "alphas_cumprod/squaredcos_cap_v2") != SSDE_OK)
        return;
    schedulers_start(&c, 1.0);
    for (k = 0; k < n; k++) {
        double a = sqrt(c.toy.alphas[999 - 200 * k]), s = sqrt(1.0 - a * a) / a, hat = 1.3 * s;
        double a_next = k + 1 < n ? sqrt(c.toy.alphas[799 - 200 * k]) : 1.0,
               s_next = sqrt(1.0 - a_next * a_next) / a_next;
        schedulers_ask(&c, (double)(999 - 200 * k), a, sqrt(1.0 - a * a));
        schedulers_draw(&c, SSDE_STREAM_PREDICTOR, k);
        for (i = 0; i < SCHEDULERS_FLOATS; i++) {
            double y = c.y[i] / a + sqrt(hat * hat - s * s) * (double)c.z[i];
            c.y[i] = a_next * (c.data[i] + s_next / hat * (y - c.data[i]));
        }
    }
    schedulers_agree(&c, "churn unseen");
    schedulers_end(&c);
}

/* A step from m = 0.006 to 0 is what a network of x(0) says. */
static void schedulers_at_once(const char *class_name, const char *more) {
    schedulers_case c;
    ssde_scheduler_desc desc = ssde_scheduler_defaults();
    char config[300];
    size_t i;
    desc.steps = 1;
    sprintf(config,
            "{\"_class_name\": \"%sScheduler\", \"prediction_type\": \"sample\", \"timestep_spacing\": "
            "\"trailing\"%s}",
            class_name, more);
    if (schedulers_begin(&c, config, &desc, "vp", "alphas_cumprod/linear_0.0001_0.02") != SSDE_OK) return;
    schedulers_start(&c, 1.0);
    schedulers_ask(&c, 999.0, 0.006, 1.0);
    for (i = 0; i < SCHEDULERS_FLOATS; i++) c.y[i] = c.data[i];
    schedulers_agree(&c, class_name);
    schedulers_end(&c);
}

/* An order that a run is too short to reach changes nothing. */
static void schedulers_short(void) {
    schedulers_case c[2];
    ssde_scheduler_desc desc = ssde_scheduler_defaults();
    desc.steps = 4;
    for (desc.follow = 0; desc.follow < 2; desc.follow++) {
        schedulers_case *here = &c[desc.follow];
        ssde_score_model model;
        ssde_rng rng = ssde_rng_seed(7);
        if (schedulers_begin(here,
                             "{\"_class_name\": \"DPMSolverMultistepScheduler\", \"algorithm_type\": "
                             "\"sde-dpmsolver\", \"solver_order\": 3, \"final_sigmas_type\": \"sigma_min\"}",
                             &desc, "vp", "alphas_cumprod/linear_0.0001_0.02") != SSDE_OK)
            return;
        model = schedulers_model(&here->toy);
        CHECK_OK(ssde_sample(&here->scheduler->sde, &model, &here->scheduler->how, &rng, SCHEDULERS_ROWS, here->x));
        schedulers_end(here);
    }
    CHECK_SAME(c[0].x, c[1].x, sizeof c[0].x);
}

/* score_sde's Euler-Maruyama on its own grid; the last step without noise. */
static void schedulers_vp(void) {
    schedulers_case c;
    ssde_scheduler_desc desc = ssde_scheduler_defaults();
    size_t k, i, n = 50;
    desc.steps = n;
    if (schedulers_begin(&c, "{\"_class_name\": \"ScoreSdeVpScheduler\", \"sampling_eps\": 0.01}", &desc, "vp_sde",
                         NULL) != SSDE_OK)
        return;
    CHECK(c.scheduler->sde.num_scales == 2000 && c.scheduler->output == SSDE_PREDICT_NOISE);
    schedulers_start(&c, 1.0);
    for (k = 0; k < n; k++) {
        double t = 1.0 - 0.99 * (double)k / 49.0, beta = 0.1 + 19.9 * t;
        double a = exp(-0.25 * t * t * 19.9 - 0.05 * t), b = sqrt(1.0 - a * a);
        schedulers_ask(&c, (double)(float)(999.0 * t), a, b);
        schedulers_draw(&c, SSDE_STREAM_PREDICTOR, k);
        for (i = 0; i < SCHEDULERS_FLOATS; i++) {
            c.y[i] += (0.5 * beta * c.y[i] - beta * c.noise[i] / b) / 50.0;
            if (k + 1 < n) c.y[i] += sqrt(beta / 50.0) * (double)c.z[i];
        }
    }
    schedulers_agree(&c, "ScoreSdeVp");
    schedulers_end(&c);
}

/* Stochastic flow matching: all noise is new in every step. */
static void schedulers_flow(void) {
    schedulers_case c;
    ssde_scheduler_desc desc = ssde_scheduler_defaults();
    double levels[6] = {1.0, 0.8, 0.5, 0.3, 0.05, 0.0}, shifted[6];
    size_t k, i, n = 5;
    desc.steps = n, desc.sigmas = levels;
    if (schedulers_begin(&c,
                         "{\"_class_name\": \"FlowMatchEulerDiscreteScheduler\", \"stochastic_sampling\": true, "
                         "\"shift\": 2.0, \"shift_terminal\": 0.1}",
                         &desc, "flow", NULL) != SSDE_OK)
        return;
    for (k = 0; k < n; k++) shifted[k] = 2.0 * levels[k] / (1.0 + levels[k]);
    for (k = 0; k < n; k++) levels[k] = (double)(float)(1.0 - (1.0 - shifted[k]) * 0.9 / (1.0 - shifted[n - 1]));
    schedulers_start(&c, 1.0);
    for (k = 0; k < n; k++) {
        schedulers_ask(&c, (double)(float)(levels[k] * 1000.0), 1.0 - levels[k], levels[k]);
        schedulers_draw(&c, SSDE_STREAM_PREDICTOR, k);
        for (i = 0; i < SCHEDULERS_FLOATS; i++)
            c.y[i] = (1.0 - levels[k + 1]) * c.data[i] + levels[k + 1] * (double)c.z[i];
    }
    schedulers_agree(&c, "stochastic_sampling");
    schedulers_end(&c);
}

static void test_scheduler_formulas(void) {
    schedulers_learned(0, 1.3);
    schedulers_learned(1, 10.0);
    schedulers_learned(0, 1.0);
    schedulers_plain(0);
    schedulers_plain(1);
    schedulers_churned();
    schedulers_unseen();
    schedulers_at_once("DDIM", ", \"clip_sample\": false");
    schedulers_at_once("DPMSolverMultistep", "");
    schedulers_at_once("EulerDiscrete", "");
    schedulers_short();
    schedulers_vp();
    schedulers_flow();
}

/* ---- schedulers: levels and timesteps ---- */

/* The run's sigma (of flows std) and what the network is told, step by step. */
static void schedulers_levels(const char *config, const ssde_scheduler_desc *desc, const double *sigma,
                              const double *label, size_t n, double tolerance) {
    ssde_context context = ssde_context_defaults();
    ssde_scheduler *scheduler = NULL;
    size_t k;
    CHECK_OK(ssde_scheduler_create(&context, &scheduler, config, strlen(config), desc));
    if (!scheduler) {
        check_report(__FILE__, __LINE__, "%s: %s", config, context.error);
        return;
    }
    CHECK(scheduler->how.steps == n && scheduler->sde.num_scales == (int)n + 1);
    for (k = 0; k <= n && scheduler->how.steps == n; k++) {
        double mean, std, told;
        CHECK_OK(ssdei_marginal(NULL, &scheduler->sde, scheduler->how.times[k], &mean, &std));
        CHECK_OK(ssde_sde_label(NULL, &scheduler->sde, scheduler->how.times[k], &told));
        CHECK_NEAR(scheduler->output == SSDE_PREDICT_FLOW ? std : std / mean, sigma[k], tolerance * sigma[k]);
        if (k < n && label) CHECK_NEAR(told, label[k], 1e-4 * (1.0 + fabs(label[k])) * (label[k] != floor(label[k])));
    }
    ssde_scheduler_destroy(scheduler);
}

static double schedulers_sigma(const double *alphas, double t) {
    int i = (int)t < 998 ? (int)t : 998;
    double low = sqrt((1.0 - alphas[i]) / alphas[i]), high = sqrt((1.0 - alphas[i + 1]) / alphas[i + 1]);
    return low + (t - i) * (high - low);
}

static void test_scheduler_levels(void) {
    golden_file *golden = golden_open(GOLDEN_SCHEDULERS);
    ssde_scheduler_desc desc = ssde_scheduler_defaults();
    double alphas[1000], own_alphas[1000], sigma[8], label[8], own[8];
    size_t k, n = 4;
    golden_doubles(golden, SCHEDULERS_SCALED_TABLE, alphas, 1000);
    desc.steps = n;
    sigma[n] = 0.0;

    /* Lu's: equally spaced logarithms of the whole table, in whole timesteps */
    for (k = 0; k < n; k++) {
        double low = log(schedulers_sigma(alphas, 0.0)), high = log(schedulers_sigma(alphas, 999.0)), nearest = 1e9;
        int i;
        sigma[k] = exp(high + (double)k / 3.0 * (low - high));
        for (i = 0; i < 1000; i++) {
            double off = fabs(log(schedulers_sigma(alphas, (double)i)) - log(sigma[k]));
            if (off < nearest) nearest = off, label[k] = (double)i;
        }
    }
    schedulers_levels("{\"_class_name\": \"DPMSolverMultistepScheduler\", " SCHEDULERS_SCALED
                      ", \"use_lu_lambdas\": true}",
                      &desc, sigma, label, n, 2e-4);

    /* Euler's fractions; halves of whole timesteps go to the even one: 499.5 is 500, 832.5 and 166.5 are 832 and 166 */
    for (k = 0; k < n; k++) label[k] = 999.0 - 333.0 * (double)k, sigma[k] = schedulers_sigma(alphas, label[k]);
    schedulers_levels("{\"_class_name\": \"EulerAncestralDiscreteScheduler\", " SCHEDULERS_SCALED "}", &desc, sigma,
                      label, n, 2e-4);
    desc.steps = n = 6;
    for (k = 0; k < n; k++) label[k] = k == 1 ? 832.0 : k == 3 ? 500.0 : k == 5 ? 166.0 : 999.0 - 166.5 * (double)k;
    for (k = 0; k < n; k++) label[k] = floor(label[k]), sigma[k] = schedulers_sigma(alphas, label[k]);
    sigma[n] = 0.0;
    label[3] = 500.0, sigma[3] = schedulers_sigma(alphas, 500.0);
    schedulers_levels("{\"_class_name\": \"UniPCMultistepScheduler\", " SCHEDULERS_SCALED "}", &desc, sigma, label, n,
                      2e-4);

    /* without a terminal signal: m^2 = 2^-24, at which a run still begins unless lambda, -8.3, is clipped above that */
    desc.steps = n = 2;
    golden_doubles(golden, SCHEDULERS_SCALED_TABLE "_zsnr", own_alphas, 1000);
    label[0] = 999.0, label[1] = 500.0;
    sigma[0] = 4096.0, sigma[1] = schedulers_sigma(own_alphas, 500.0), sigma[2] = 0.0;
    schedulers_levels("{\"_class_name\": \"DPMSolverMultistepScheduler\", " SCHEDULERS_SCALED
                      ", \"rescale_betas_zero_snr\": true}",
                      &desc, sigma, label, n, 1e-4);
    schedulers_levels("{\"_class_name\": \"DPMSolverMultistepScheduler\", " SCHEDULERS_SCALED
                      ", \"rescale_betas_zero_snr\": true, \"lambda_min_clipped\": -8.4}",
                      &desc, sigma, label, n, 1e-4);

    /* given sigmas, and the fractions of timesteps that they are; given timesteps */
    desc.steps = n = 3;
    desc.sigmas = own;
    for (k = 0; k < n; k++)
        label[k] = 700.25 - 300.0 * (double)k, own[k] = sigma[k] = schedulers_sigma(alphas, label[k]);
    own[n] = sigma[n] = 0.05;
    for (k = 0; k < n; k++) { /* linear in log sigma, not in sigma */
        double t = floor(label[k]), low = log(schedulers_sigma(alphas, t)),
               high = log(schedulers_sigma(alphas, t + 1.0));
        label[k] = t + (log(own[k]) - low) / (high - low);
    }
    schedulers_levels("{\"_class_name\": \"EulerDiscreteScheduler\", " SCHEDULERS_SCALED "}", &desc, sigma, label, n,
                      1e-6);
    desc.sigmas = NULL, desc.timesteps = own;
    for (k = 0; k < n; k++) own[k] = label[k] = 900.0 - 250.0 * (double)k, sigma[k] = schedulers_sigma(alphas, own[k]);
    sigma[n] = schedulers_sigma(alphas, 0.0);
    schedulers_levels("{\"_class_name\": \"DPMSolverMultistepScheduler\", " SCHEDULERS_SCALED
                      ", \"final_sigmas_type\": \"sigma_min\"}",
                      &desc, sigma, label, n, 5e-4);
    desc.timesteps = NULL;

    /* log_linear: the levels and their timesteps; followed, one more, which no step reaches, and other timesteps */
    for (desc.follow = 0; desc.follow < 2; desc.follow++) {
        double low = log(schedulers_sigma(alphas, 0.0)), high = log(schedulers_sigma(alphas, 999.0));
        for (k = 0; k < n; k++) sigma[k] = exp(high + (double)k / (desc.follow ? 3.0 : 2.0) * (low - high));
        sigma[n] = desc.follow ? exp(low) : 0.0;
        for (k = 0; k < n; k++) label[k] = 999.0 - 499.5 * (double)k;
        schedulers_levels("{\"_class_name\": \"EulerDiscreteScheduler\", " SCHEDULERS_SCALED
                          ", \"interpolation_type\": \"log_linear\"}",
                          &desc, sigma, desc.follow ? label : NULL, n, 5e-4);
    }
    desc.follow = 0;

    /* flows: shifted twice to the last; linear by mu; and under UniPC in whole timesteps */
    for (k = 0; k < n; k++) {
        double least = 3.0 * 0.001 / 1.002, s = 1.0 - (double)k / 2.0 * (1.0 - least);
        sigma[k] = 3.0 * s / (1.0 + 2.0 * s), label[k] = 1000.0 * sigma[k];
    }
    sigma[n] = 0.0;
    schedulers_levels("{\"_class_name\": \"FlowMatchEulerDiscreteScheduler\", \"shift\": 3}", &desc, sigma, label, n,
                      1e-6);
    for (k = 0; k < n; k++) {
        double s = 1.0 - (double)k / 2.0 * 0.999;
        sigma[k] = 0.7 / (0.7 + 1.0 / s - 1.0), label[k] = 1000.0 * sigma[k];
    }
    desc.mu = 0.7;
    schedulers_levels(
        "{\"_class_name\": \"FlowMatchEulerDiscreteScheduler\", \"use_dynamic_shifting\": true, "
        "\"time_shift_type\": \"linear\"}",
        &desc, sigma, label, n, 1e-6);
    desc.mu = 0.0;
    for (k = 0; k < n; k++) {
        double s = 1.0 - (double)k / 3.0 * 0.999;
        sigma[k] = 2.0 * s / (1.0 + s) - (k ? 0.0 : 1e-6), label[k] = floor(1000.0 * sigma[k]);
    }
    schedulers_levels(
        "{\"_class_name\": \"UniPCMultistepScheduler\", \"use_flow_sigmas\": true, \"flow_shift\": 2, "
        "\"prediction_type\": \"flow_prediction\"}",
        &desc, sigma, label, n, 1e-6);
    golden_close(golden);
}

/* ---- schedulers: what is refused ---- */

static void schedulers_refused(const char *class_name, const char *keys, const ssde_scheduler_desc *desc,
                               const char *words) {
    ssde_context context = ssde_context_defaults();
    ssde_scheduler *scheduler = NULL;
    char config[600];
    ssde_status status;
    sprintf(config, "{\"_class_name\": \"%sScheduler\"%s%s}", class_name, *keys ? ", " : "", keys);
    status = ssde_scheduler_create(&context, &scheduler, config, strlen(config), desc);
    check_count++;
    if (status == SSDE_OK || scheduler || !strstr(context.error, words))
        check_report(__FILE__, __LINE__, "%s: status %d, '%s' does not say '%s'", config, (int)status, context.error,
                     words);
    ssde_scheduler_destroy(scheduler);
}

static void test_scheduler_refusals(void) {
    static const double own[4] = {900.0, 500.0, 20.0, 0.0}, rising[3] = {20.0, 500.0, 900.0};
    static const struct {
        const char *class_name, *keys, *words;
        size_t steps;
    } cases[] = {
        {"Foo", "", "'FooScheduler'", 0},
        {"DDPM", "\"nonsense\": 1", "'nonsense' is a key", 0},
        {"DDPM", "\"clip_sample\": true, \"clip_sample\": true", "'clip_sample' comes twice", 0},
        {"DDPM", "\"clip_sample\": 1", "true or false", 0},
        {"DDPM", "\"clip_sample_range\": -1", "clip_sample_range", 0},
        {"DDPM", "\"steps_offset\": 0.5", "steps_offset", 0},
        {"DDPM", "\"variance_type\": \"fixed_large_log\"", "NaN in diffusers", 0},
        {"DDPM", "\"variance_type\": \"learned\"", "below 0", 0},
        {"DDPM", "\"beta_schedule\": \"laplace\"", "'laplace', which is not known", 0},
        {"DDPM", "\"beta_start\": 0", "beta_start", 0},
        {"DDPM", "\"predict_epsilon\": false", "predict_epsilon", 0},
        {"DDPM", "\"trained_betas\": [0.1, 0.2]", "trained_betas", 0},
        {"DDPM", "\"trained_betas\": []", "trained_betas", 0},
        {"DDPM", "\"_class_name\": \"DDIMScheduler\"", "'_class_name' comes twice", 0},
        {"DDPM", "\"steps_offset\": 1", "see 'steps_offset'", 1000},
        {"DDPM", "\"rescale_betas_zero_snr\": true, \"timestep_spacing\": \"trailing\"", "no signal", 10},
        {"DDPM", "\"timestep_spacing\": \"trailing\"", "61 are wanted, the last -1", 61},
        {"DDIM", "\"timestep_spacing\": \"linspace\"", "steps is 1001", 1001},
        {"DDIM", "\"thresholding\": true, \"sample_max_value\": 0.5", "sample_max_value", 0},
        {"PNDM", "\"prediction_type\": \"sample\"", "'sample'", 0},
        {"PNDM", "", "at least 4", 3},
        {"EulerAncestralDiscrete", "\"prediction_type\": \"sample\"", "'sample'", 0},
        {"EulerDiscrete", "\"use_karras_sigmas\": true, \"use_exponential_sigmas\": true", "both true", 0},
        {"EulerDiscrete", "\"use_beta_sigmas\": true", "use_beta_sigmas", 0},
        {"EulerDiscrete", "\"use_karras_sigmas\": true, \"sigma_min\": -1", "'sigma_min' is not above 0", 0},
        {"EulerDiscrete", "\"rescale_betas_zero_snr\": true", "wanted below the one before", 1000},
        {"EulerDiscrete", "\"steps_offset\": 1, \"timestep_spacing\": \"leading\"", "see 'steps_offset'", 1000},
        {"DPMSolverMultistep", "\"algorithm_type\": \"dpmsolver\"", "'final_sigmas_type' zero", 0},
        {"DPMSolverMultistep", "\"solver_order\": 4", "solver_order", 0},
        {"DPMSolverMultistep",
         "\"solver_order\": 3, \"algorithm_type\": \"sde-dpmsolver\", \"final_sigmas_type\": \"sigma_min\"",
         "solver_order", 20},
        {"DPMSolverMultistep", "\"solver_order\": 3, \"use_karras_sigmas\": true, \"final_sigmas_type\": \"sigma_min\"",
         "NaN", 15},
        {"DPMSolverMultistep", "\"prediction_type\": \"flow_prediction\"", "use_flow_sigmas", 0},
        {"UniPCMultistep", "\"use_karras_sigmas\": true, \"beta_schedule\": \"squaredcos_cap_v2\"",
         "first two timesteps are both 999", 20},
        {"DPMSolverMultistep", "", "wanted below", 1000},
        {"UniPCMultistep", "\"solver_type\": \"bh1\"", "bh1, NaN", 0},
        {"UniPCMultistep", "\"predict_x0\": false", "predict_x0", 0},
        {"UniPCMultistep", "\"lower_order_final\": false", "lower_order_final", 0},
        {"UniPCMultistep", "\"solver_p\": {}", "solver_p", 0},
        {"UniPCMultistep", "\"disable_corrector\": [0.5]", "disable_corrector", 0},
        {"EDMEuler", "\"prediction_type\": \"sample\"", "'sample'", 0},
        {"EDMEuler", "\"sigma_max\": 0.001", "sigma_max", 0},
        {"EDMEuler", "\"sigma_data\": 0", "sigma_data", 0},
        {"EDMDPMSolverMultistep", "\"solver_order\": 3, \"algorithm_type\": \"sde-dpmsolver++\"", "solver_order", 20},
        {"FlowMatchEulerDiscrete", "\"use_dynamic_shifting\": true", "mu", 0},
        {"FlowMatchEulerDiscrete", "\"invert_sigmas\": true", "invert_sigmas", 0},
        {"ScoreSdeVe", "\"sampling_eps\": 0", "sampling_eps", 0},
        {"ScoreSdeVp", "\"beta_min\": -1", "beta", 0},
    };
    /* keys of other classes, nulls, private ones and those that do nothing; Python's infinities where they stand */
    static const char idle[] =
        "{\"_class_name\": \"PNDMScheduler\", \"_diffusers_version\": \"0.6.0\", \"clip_sample\": false, "
        "\"lambda_min_clipped\": -Infinity, \"nobody_knows\": null, \"trained_betas\": null, \"base_shift\": 0.5, "
        "\"skip_prk_steps\": true, \"_other\": [{\"a\": 1}]}";
    ssde_scheduler_desc desc = ssde_scheduler_defaults();
    ssde_context context = ssde_context_defaults();
    ssde_scheduler *scheduler = NULL;
    size_t i;
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        desc.steps = cases[i].steps;
        schedulers_refused(cases[i].class_name, cases[i].keys, &desc, cases[i].words);
    }
    desc.steps = 3;
    desc.timesteps = rising;
    schedulers_refused("DDIM", "", &desc, "wanted below");
    schedulers_refused("EulerDiscrete", "\"use_karras_sigmas\": true", &desc, "timesteps is given");
    schedulers_refused("PNDM", "", &desc, "timesteps is given");
    desc.timesteps = NULL, desc.sigmas = own;
    schedulers_refused("DDPM", "", &desc, "sigmas is given");
    schedulers_refused(
        "UniPCMultistep",
        "\"use_flow_sigmas\": true, \"prediction_type\": \"flow_prediction\", \"use_karras_sigmas\": true", &desc,
        "sigmas is given");
    desc.steps = 0;
    schedulers_refused("EulerDiscrete", "", &desc, "steps is 0");
    desc = ssde_scheduler_defaults();
    desc.eta = 0.5;
    schedulers_refused("DDPM", "", &desc, "eta is given");
    desc.eta = 1.5;
    schedulers_refused("DDIM", "", &desc, "eta is 1.5");
    desc.eta = 0.0, desc.s_churn = 1.0;
    schedulers_refused("HeunDiscrete", "", &desc, "s_churn is given");
    desc.s_churn = 0.0, desc.mu = 1.0;
    schedulers_refused("FlowMatchEulerDiscrete", "", &desc, "mu is given");
    desc.mu = 0.0, desc.follow = 1;
    schedulers_refused("HeunDiscrete", "\"beta_schedule\": \"squaredcos_cap_v2\"", &desc, "not followed");
    CHECK_OK(ssde_scheduler_create(&context, &scheduler, idle, strlen(idle), NULL));
    ssde_scheduler_destroy(scheduler);
    schedulers_refused("EulerDiscrete", "\"use_karras_sigmas\": true, \"sigma_min\": -0.1", NULL,
                       "'sigma_min' is not above 0");
    schedulers_refused("UniPCMultistep", "\"use_karras_sigmas\": true, \"sigma_max\": -1", NULL,
                       "'sigma_max' is not above 0");
    desc = ssde_scheduler_defaults();
    desc.steps = 2000;
    schedulers_refused("DDIM", "", &desc, "steps is 2000, wanted at most 1000");
    desc.steps = 0;
    schedulers_refused("CMStochasticIterative", "", &desc,
                       "'CMStochasticIterativeScheduler', wanted one of DDPM, DDIM, PNDM, ");
    schedulers_refused("CMStochasticIterative", "", &desc, ", ScoreSdeVe, ScoreSdeVp");
    CHECK_FAILS(&context, ssde_scheduler_create(&context, &scheduler, "{}", 2, NULL), SSDE_ERROR_FORMAT, "_class_name");
    for (i = 0; i + 1 < sizeof idle - 1; i++)
        CHECK_STATUS(ssde_scheduler_create(&context, &scheduler, idle, i, NULL), SSDE_ERROR_FORMAT);
}

/* From a file what is made of memory; an allocation that fails is said, and nothing leaks. */
static void test_scheduler_file(void) {
    static const char config[] = "{\"_class_name\": \"EulerDiscreteScheduler\", \"use_karras_sigmas\": true}";
    ssde_context context = ssde_context_defaults();
    ssde_scheduler *scheduler = NULL, *loaded = NULL;
    FILE *stream = fopen("tests/scheduler.tmp", "wb");
    CHECK(stream && fwrite(config, 1, sizeof config - 1, stream) == sizeof config - 1);
    if (stream) fclose(stream);
    CHECK_OK(ssde_scheduler_create(&context, &scheduler, config, sizeof config - 1, NULL));
    CHECK_OK(ssde_scheduler_load(&context, &loaded, "tests/scheduler.tmp", NULL));
    if (scheduler && loaded) {
        size_t levels = (size_t)scheduler->sde.num_scales;
        CHECK(levels == 51 && loaded->sde.num_scales == 51 && loaded->how.steps == 50);
        CHECK_SAME(loaded->sde.level_std, scheduler->sde.level_std, levels * sizeof(double));
        CHECK_SAME(loaded->sde.level_label, scheduler->sde.level_label, levels * sizeof(double));
        CHECK_SAME(loaded->how.times, scheduler->how.times, levels * sizeof(double));
    }
    ssde_scheduler_destroy(scheduler);
    ssde_scheduler_destroy(loaded);
    ssde_scheduler_destroy(NULL);
    write_file("tests/scheduler.tmp", "Entry not found", 15);
    CHECK_FAILS(&context, ssde_scheduler_load(&context, &loaded, "tests/scheduler.tmp", NULL), SSDE_ERROR_FORMAT,
                "scheduler.tmp' is not a JSON object but a text");
    remove("tests/scheduler.tmp");
    CHECK_FAILS(&context, ssde_scheduler_load(&context, &loaded, "tests/scheduler.tmp", NULL), SSDE_ERROR_FILE,
                "scheduler.tmp");
    CHECK(!loaded);
}

/* Every class draws from a network that is told indices, as diffusers' are, and says what its timesteps are. */
static void test_scheduler_networks(void) {
    enum { N = 2, DIM = 8 * 8 };
    ssde_context context = ssde_context_defaults();
    ssde_unet2d_desc shape = ssde_unet2d(8, 8, 1);
    ssdei_scheduling w;
    ssde_net *net = NULL;
    shape.num_levels = 2;
    shape.block_out_channels[0] = shape.block_out_channels[1] = 8;
    shape.norm_num_groups = 4;
    CHECK_OK(ssde_unet2d_create(&net, &shape));
    net->means.discrete = 1; /* as of a file */
    for (w.kind = 1; net && w.kind < SSDEI_SCHEDULER_ALL; w.kind *= 2) {
        char config[100];
        float x[N * DIM], label, sigma;
        ssde_score_net_desc meaning = ssde_score_net_defaults();
        ssde_scheduler_desc desc = ssde_scheduler_defaults();
        ssde_scheduler *scheduler = NULL;
        ssde_score_net *score_net = NULL;
        ssde_rng rng = ssde_rng_seed(1);
        desc.steps = 4;
        meaning.context = &context;
        sprintf(config, "{\"_class_name\": \"%s\"}", ssdei_scheduler_name(&w));
        CHECK_OK(ssde_scheduler_create(&context, &scheduler, config, strlen(config), &desc));
        if (!scheduler) continue;
        CHECK(scheduler->how.context == &context);
        meaning.output = scheduler->output, meaning.sigma_data = scheduler->sigma_data;
        CHECK_OK(ssde_score_net_create(&score_net, net, &scheduler->sde, &meaning));
        if (score_net) {
            ssde_score_model model = ssde_score_net_model(score_net);
            CHECK_OK(ssde_sample(&scheduler->sde, &model, &scheduler->how, &rng, N, x));
            if (scheduler->sde.level_label) {
                CHECK_OK(ssde_score_net_label(&context, net, &scheduler->sde, 1.0, &label, &sigma, NULL));
                CHECK(label == (float)scheduler->sde.level_label[scheduler->sde.num_scales - 1]);
            }
        } else
            check_report(__FILE__, __LINE__, "%s: %s", config, context.error);
        ssde_score_net_destroy(score_net);
        ssde_scheduler_destroy(scheduler);
    }
    ssde_net_destroy(net);
}

#define TEST_SCHEDULERS_LIST(X) \
    X(scheduler_golden)         \
    X(scheduler_formulas)       \
    X(scheduler_levels)         \
    X(scheduler_refusals)       \
    X(scheduler_file)           \
    X(scheduler_networks)

#endif
