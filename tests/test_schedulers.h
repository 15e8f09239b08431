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
                if (getenv("SHOW")) printf("%-40s tier %d follow %d: %g\n", run.name, tier, follow, off);
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

#define TEST_SCHEDULERS_LIST(X) X(scheduler_golden)

#endif
